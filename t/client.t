# The d4 client on standard output: its configuration, where it cuts, its
# sources, signals.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/client";

use Client;
use D4::Proc;
use POSIX qw(mkfifo);
use Test::More;
use Time::HiRes qw(sleep time);

alarm(120);


# the published format, byte for byte but for the time

{
    my $conf = conf(uuid => 'b2d9f4c6-a1e8-4c3b-9f0e-5d7a6c1b2e3f');
    my $before = time();
    my ($code, $out, $err) = run(['-c', $conf], "hello d4\n");

    is($code, 0, 'exit code');
    is($err, '', 'nothing to say');
    is(length $out, 62 + 9, 'one frame');
    is(unpack('H36', $out), '0108b2d9f4c6a1e84c3b9f0e5d7a6c1b2e3f',
       'version, type, uuid');
    is(unpack('x58 H*', $out), '09000000' . unpack('H*', "hello d4\n"),
       'size and payload');

    my ($frames) = frames($out);
    is(@$frames, 1, 'the HMAC is right');
    cmp_ok(abs($frames->[0]{time} - $before), '<', 10, 'the time is now');

    is((run(['-c', $conf], ''))[1], '', 'nothing in, nothing out');

    my ($empty) = frames((run(['-c', $conf, '--eof-frame'], 'x'))[1]);
    is_deeply([map { $_->{payload} } @$empty], ['x', ''],
              'the empty frame of the published client is an option');
}


# the configuration directory

sub refused {
    my ($name, $conf, $message, @options) = @_;

    my ($code, $out, $err) = run(['-c', $conf, @options], "x\n");

    is($code, 1, "$name: refused");
    is($out, '', "$name: nothing is sent");
    like($err, $message, "$name: the message");

    is((run(['-t', '-c', $conf, @options]))[0], 1, "$name: -t agrees");
}

{
    my $conf = conf(uuid => undef);
    my ($code, $out) = run(['-c', $conf], "x\n");
    my $uuid = slurp("$conf/uuid");

    is($code, 0, 'without a uuid');
    like($uuid, qr/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-
                   [0-9a-f]{12}\z/x, 'one of version 4 is made');
    is((stat "$conf/uuid")[2] & 0777, 0600, 'and is private');
    is(newest($out)->{uuid}, $uuid =~ tr/-//dr, 'and used');
    is((glob "$conf/.uuid*")[0], undef, 'no temporary file is left');

    ($code, $out) = run(['-c', $conf], "x\n");
    is(newest($out)->{uuid}, $uuid =~ tr/-//dr, 'the second time, too');

    $conf = conf(uuid => "\n");
    run(['-c', $conf], "x\n");
    is(length slurp("$conf/uuid"), 36, 'an empty file is as good as none');

    $conf = conf(uuid => undef);
    my ($checked, undef, $err) = run(['-t', '-c', $conf]);
    is($checked, 0, '-t without a uuid');
    like($err, qr/uuid: will be made/, 'says that one will be made');
    ok(!-e "$conf/uuid", 'and makes none');

    $conf = conf(uuid => uc($UUID =~ tr/-//dr) . "\r\n");
    is(newest((run(['-c', $conf], "x\n"))[1])->{uuid}, $UUID =~ tr/-//dr,
       '32 digits in capitals');
}

refused('uuid that is none', conf(uuid => 'none'), qr{/uuid: is no uuid});
refused('uuid of version 1', conf(uuid => $UUID =~ s/4def/1def/r),
        qr{/uuid: is no uuid of version 4});

is((payloads((run(['-c', conf(key => $_->[0])], "x\n"))[1], key => $_->[1]))[0],
   "x\n", "key $_->[2]")
    for ["k\n", 'k', 'with a newline'], ["k\r\n", 'k', 'with CR LF'],
        ['k', 'k', 'without'], ["k\n\n", "k\n", 'with two newlines'],
        ['x' x 100 . "\n", 'x' x 100, 'of 100 bytes'],
        ["a\nb\n", "a\nb", 'of two lines'];

refused('no key', conf(key => undef), qr{/key: No such file});
refused('empty key', conf(key => "\r\n"), qr{/key: the key is empty});
refused('long key', conf(key => 'x' x 101), qr{/key: .*longer than 100});
refused('very long key', conf(key => 'x' x 5000), qr{/key: .*longer than 100});

{
    my $conf = conf();
    chmod(0604, "$conf/key");
    refused('public key', $conf, qr{/key: everybody can read it});

    my ($code, undef, $err) = run(['-c', conf(key => " secret\n")], "x\n");
    is($code, 0, 'a key with a space is a key');
    like($err, qr{/key: white space}, 'with a warning');
    unlike($err, qr/secret/, 'that does not show it');
}

refused('no type', conf(type => undef), qr{/type: is missing});
refused("type $_", conf(type => $_), qr{/type: }) for 0, 9, 255, 256, 'x', -1;
refused("version $_", conf(version => $_), qr{/version: "\Q$_\E" is no number})
    for 0, 256, '1.0';
refused("snaplen $_", conf(snaplen => $_), qr{/snaplen: "\Q$_\E" is no number})
    for 0, 1000001, 'four', '99999999999999999999';
refused('zero byte', conf(snaplen => "1\0"), qr{/snaplen: has a zero byte});
refused('source', conf(source => 'd4server'), qr{/source: "d4server" is no});
refused('missing source', conf(source => '/nowhere/x'), qr{No such file});
refused('directory as source', conf(source => '/tmp'), qr{neither a fifo nor});
refused("destination $_", conf(destination => $_),
        qr{/destination: "\Q$_\E" is no destination})
    for 'file', 'localhost', 'localhost:', 'localhost:0', 'localhost:65536',
        ':4443', '::1:4443', '[::1', '[x]:4443', 'a b:1', 'tcp:', 'unix:',
        'host:1x', 'unix:/' . 'x' x 200;
refused('no directory', "$dir/nowhere", qr{nowhere: No such file});
refused('file for directory', file("$dir/plain", ''), qr{is no directory});
refused('no metaheader', conf(type => 254), qr{/metaheader.json: No such file});
refused("metaheader $_->[0]", conf(type => 2, 'metaheader.json' => $_->[0]),
        qr{/metaheader.json: $_->[1]})
    for ['', 'is no JSON'], ['{"type":"x"', 'is no JSON: ends too early'],
        ['["type"]', 'is no JSON object'], ['{"typ":"x"}', 'has no member'],
        ['{"type":1}', 'has no member'], ['{"type":""}', 'has no member'];
refused('long metaheader',
        conf(type => 254, 'metaheader.json' => '{"type":"x"}' . ' ' x 99989),
        qr{longer than 100000});
refused('rootCA.crt', conf(destination => 'localhost:1', 'rootCA.crt' => 'x'),
        qr{/rootCA.crt: no certificates});
refused('fingerprint', conf(destination => 'localhost:1', fingerprint => 'ab'),
        qr{/fingerprint: no SHA-256});
refused('all at once', conf(type => 77, key => ''), qr{/type: .*/key: }s);
refused('option', conf(), qr/--nothing/, '--nothing');
refused('argument', conf(), qr/unexpected argument "x"/, 'x');
refused("option $_->[0] $_->[1]", conf(), qr/\Q$_->[1]\E/, "--$_->[0]", $_->[1])
    for ['linger', 'x'], ['queue', '1q'], ['queue', '4095'], ['overflow', 'drop'], ['rt', '-1'],
        ['rate-frames', '1.5'], ['linger', '99999999999'];

{
    my ($code, $out, $err) = run([]);
    is($code, 1, 'no options at all');
    like($err, qr/usage: d4 -c DIR/, 'shows the usage');

    ($code, $out) = run(['-h']);
    is($code, 0, '-h');
    like($out, qr/usage: d4 -c DIR/, 'shows it on standard output');

    ($code, $out) = run(['--version']);
    is($code, 0, '--version');
    like($out, qr/^d4 \S+ \d+\.\d+\n/, 'shows it');

    ($code, $out, $err) = run(['-t', '-c', conf()]);
    is($code, 0, '-t');
    like($err, qr/is valid/, 'says that all is well');

    my $conf = conf(map { $_ => '' } qw(version snaplen source destination));
    is((run(['-c', $conf], "x\n"))[0], 0, 'empty files are defaults');

    $conf = conf(source => '/nowhere/x', snaplen => 4);
    is(join('|', payloads((run(['-c', $conf, '--source=stdin'], "abcdef"))[1])),
       'abcd|ef', 'an option overrides a file');
    is((run(['-c', $conf], 'x', env => { D4_SOURCE => 'stdin' }))[0], 0,
       'so does the environment');
    is((run(['-c', $conf, '--source', 'stdin'], 'x',
            env => { D4_SOURCE => '/else' }))[0], 0,
       'the command line overrides the environment');
}


# where it cuts

sub cuts {
    my ($name, $conf, $bytes, @expected) = @_;

    my ($code, $out) = run(['-c', $conf], $bytes);

    is($code, 0, "$name: exit code");
    is_deeply([payloads($out)], \@expected, $name);
}

for my $type (3, 6, 8) {
    cuts("type $type: lines", conf(type => $type, snaplen => 10),
         "one\ntwo\nthree\nfou", "one\ntwo\n", "three\nfou");
}

cuts('a longer line spans frames', conf(snaplen => 8),
     "ab\n0123456789012345678\ncd\nef\n", "ab\n", '01234567', '89012345',
     "678\ncd\n", "ef\n");
cuts('snaplen 1', conf(snaplen => 1), "a\n\nb", 'a', "\n", "\n", 'b');
cuts('other types: as they are read', conf(type => 5, snaplen => 4),
     "a\nbc\ndef", "a\nbc", "\ndef");

{
    my $line = join('', map { "$_\n" } 1 .. 30000);
    my ($code, $out) = run(['-c', conf()], $line);
    my @got = payloads($out);

    is(join('', @got), $line, 'nothing is lost or changed');
    is((grep { length > 4096 || !/\n\z/ } @got), 0, 'frames of whole lines');
    cmp_ok(scalar @got, '<', length($line) / 4000, 'and no more than it takes');

    my $meta = '{ "type": "ja3-jl",' . "\n" . '  "encoding": "utf-8" }' . "\n";

    for my $type (2, 254) {
        ($code, $out) = run(['-c', conf(type => $type, snaplen => 16,
                                        'metaheader.json' => $meta)],
                            "{\"a\":1}\n{\"a\":2}\n");
        my ($frames) = frames($out);

        is_deeply([map { $_->{type} } @$frames], [2, 2, 2, 254],
                  "type $type: 2, then 254");
        is(join('', map { $_->{payload} } grep { $_->{type} == 2 } @$frames),
           '{"type":"ja3-jl","encoding":"utf-8"}', 'minified');
    }
}

for my $big (0, 1) {
    for my $ns (0, 1) {
        my @lens = (60, 0, 1500, 9000, 1, 70, 65000, 42);
        my $pcap = pcap_file(\@lens, big => $big, ns => $ns);
        my $name = ($big ? 'big' : 'little') . '-endian '
                   . ($ns ? 'nanoseconds' : 'microseconds');

        for my $snaplen (1600, 65535, 5) {
            my ($code, $out) = run(['-c', conf(type => 1,
                                               snaplen => $snaplen)], $pcap);
            my @got = payloads($out);

            is(join('', @got), $pcap, "$name: unchanged at $snaplen");

            next if $snaplen == 5;

            is($got[0], substr($pcap, 0, 24), "$name: the header first");

            my @starts = (24);
            push @starts, $starts[-1] + 16 + $_ for @lens;
            my %border = map { $_ => 1 } @starts;

            # only a record that is larger than a frame is cut
            my ($pos, $bad) = (0, 0);
            for (@got) {
                $pos += length;
                $bad++ if !$border{$pos} && length != $snaplen;
            }
            is($bad, 0, "$name: cut between records at $snaplen");
        }
    }
}

{
    my ($code, $out, $err) = run(['-c', conf(type => 1)], "\x0a\x0d\x0d\x0aabc");
    is(join('', payloads($out)), "\x0a\x0d\x0d\x0aabc",
       'what is no pcap is sent as it is');

    ($code, $out, $err) = run(['-c', conf(type => 1)], 'not pcap ' x 100);
    is(join('', payloads($out)), 'not pcap ' x 100, 'more of it, too');
    like($err, qr/the input is not pcap/, 'and that is said');

    # the end of what a killed tcpdump wrote
    my $pcap = substr(pcap_file([100, 100, 100]), 0, -30);
    ($code, $out) = run(['-c', conf(type => 1, snaplen => 130)], $pcap);
    is(join('', payloads($out)), $pcap, 'the tail of a cut capture is sent');
}


{
    # captures joined on one input
    my ($one, $two) = (pcap_file([100, 50]), pcap_file([70], link => 113));
    my ($code, $out, $err) = run(['-c', conf(type => 1)], $one x 3);

    is(join('', payloads($out)), $one . substr($one, 24) x 2,
       'joined captures: one header');

    ($code, $out, $err) = run(['-c', conf(type => 1)], $one . $two);
    is(join('|', map { length } payloads($out)), '24|182|24|86',
       'another header stands where it was');
    like($err, qr/another pcap header/, 'which is said');
}


# linger: sparse input is not held back, nor sent byte by byte

{
    my $d4 = spawn(['-c', conf(), '--linger', '50ms'], in => 'pipe');

    $d4->write("one\n");
    $d4->write("two\nthr");
    ok(poll_until(10, sub { $d4->out =~ /two\n/ }), 'sent without an end');
    is_deeply([payloads($d4->out)], ["one\ntwo\n"], 'in one frame, whole lines');

    $d4->write("ee\n");
    ok(poll_until(10, sub { $d4->out =~ /three\n/ }), 'the rest of the line');
    close($d4->{in});
    is($d4->wait, 0, 'and the end');

    $d4 = spawn(['-c', conf(), '--linger', 0], in => 'pipe');
    for my $i (1 .. 3) {
        $d4->write("$i\n");
        poll_until(10, sub { $d4->out =~ /$i\n/ });
    }
    is_deeply([payloads($d4->out)], ["1\n", "2\n", "3\n"], 'no linger');

    $d4 = spawn(['-c', conf(), '--linger', '1h'], in => 'pipe');
    $d4->write("$_\n") for 1 .. 3;
    close($d4->{in});
    $d4->wait;
    is_deeply([payloads($d4->out)], ["1\n2\n3\n"], 'the end ends it');
}


# fifo: writers come and go

{
    my $fifo = "$dir/fifo";
    mkfifo($fifo, 0600) or die;

    my $d4 = spawn(['-c', conf(source => $fifo), '--linger', 0]);

    for my $i (1 .. 5) {
        open(my $fh, '>', $fifo) or die;
        print $fh "writer $i\nunfinished";
        close($fh);
        ok(poll_until(10, sub { text($d4->out)
                                =~ /writer $i\nunfinished\n\z/ }), "writer $i");
    }

    is(join('', payloads($d4->out)),
       join('', map { "writer $_\nunfinished\n" } 1 .. 5),
       'an unfinished line ends with its writer');

    $d4->signal('TERM');
    is($d4->wait, 0, 'TERM ends it');

    # captures: the same header again is no news, a cut record is dropped
    $d4 = spawn(['-c', conf(type => 1, source => $fifo), '--linger', 0]);

    my @files = (pcap_file([10, 20]), pcap_file([30]) . 'x' x 9,
                 pcap_file([40, 50]));
    for (0 .. 2) {
        open(my $fh, '>', $fifo) or die;
        print $fh $files[$_];
        close($fh);
        my $bytes = (24 + 62, 24 + 108, 24 + 230)[$_];
        poll_until(10, sub { length(text($d4->out)) == $bytes
                             && ($_ != 1 || $d4->err =~ /discarded/) });
    }

    $d4->signal('TERM');
    is($d4->wait, 0, 'TERM ends it');
    my ($header, @rest) = payloads($d4->out);
    is($header, substr($files[0], 0, 24), 'one pcap header');
    is_deeply([map { length() - 16 } pcap_parts(join('', @rest))],
              [10, 20, 30, 40, 50], 'and all whole records of three writers');
    like($d4->err, qr/9 bytes are discarded/, 'the rest is reported');
}


# files

{
    my $log = "$dir/log";
    my $seen = sub {
        my ($d4, $text) = @_;
        return poll_until(10, sub { text($d4->out) eq $text });
    };
    my $append = sub {
        open(my $fh, '>>', $log) or die;
        print $fh $_[0];
        close($fh);
    };

    file($log, "1\n2\n");
    is(join('', payloads((run(['-c', conf(source => $log)]))[1])), "1\n2\n",
       'a file once');

    my $d4 = spawn(['-c', conf(source => $log), '--follow', '--linger', 0,
                    '-rl', '10ms']);

    ok($seen->($d4, "1\n2\n"), 'a file followed');
    $append->("3\n");
    ok($seen->($d4, "1\n2\n3\n"), 'appended to');
    rename($log, "$log.1");
    $append->("4\n5");
    ok($seen->($d4, "1\n2\n3\n4\n"), 'rotated');
    $d4->says(qr/was replaced/);
    file($log, "6\n");
    ok($seen->($d4, "1\n2\n3\n4\n5\n6\n"), 'truncated');
    like($d4->err, qr/was truncated/, 'which is said');
    $d4->signal('INT');
    is($d4->wait, 0, 'INT ends it');

    $d4 = spawn(['-c', conf(source => $log), '--follow', '--from-end',
                 '--linger', 0, '-rl', '10ms']);
    poll_until(10, sub { (stat "/proc/$d4->{pid}/exe")
                         && grep { (readlink($_) // '') eq $log }
                            glob "/proc/$d4->{pid}/fd/*" });
    sleep(0.05);
    $append->("7\n");
    ok($seen->($d4, "7\n"), 'from its end');

    $d4 = spawn(['-c', conf(source => "$dir/later"), '--follow', '--linger', 0,
                 '-rl', '10ms']);
    ok($d4->says(qr/waiting for it to appear/), 'a file that is not there yet');
    file("$dir/later", "now\n");
    ok($seen->($d4, "now\n"), 'and is there now');

    $d4 = spawn(['-c', conf(), '--keep-waiting', '--linger', 0, '-rl', '10ms'],
                in => $log);
    ok($seen->($d4, "6\n7\n"), 'standard input, keep waiting');
    $append->("8\n");
    ok($seen->($d4, "6\n7\n8\n"), 'for more');
    ok(!$d4->ended, 'and more');
}


# signals

{
    # TERM: what is still in the pipe, and what had no newline
    my $d4 = spawn(['-c', conf(), '--linger', '1h'], in => 'pipe');
    my $lines = join('', map { "line $_\n" } 1 .. 2000);

    $d4->write($lines . 'end');
    poll_until(10, sub { length $d4->out });
    $d4->signal('TERM');
    is($d4->wait(6), 0, 'TERM');
    is(join('', payloads($d4->out)), $lines . 'end', 'loses nothing');

    # standard output that nobody reads: frames are whole or reported
    pipe(my $read, my $write) or die;
    $d4 = spawn(['-c', conf()], in => 'pipe', out => $write);
    close($write);
    $d4->write('x' x 65536);
    $d4->write('x' x 10000 . "\n");
    sleep(0.1);
    my $start = time();
    $d4->signal('TERM');
    is($d4->wait(6), 2, 'TERM with an output that is stuck');
    cmp_ok(time() - $start, '<', 20, 'in bounded time');
    like($d4->err, qr/\d+ frames could not be sent/, 'and says what is missing');
    close($read);

    # a reader that leaves
    pipe($read, $write) or die;
    $d4 = spawn(['-c', conf()], in => 'pipe', out => $write);
    close($write);
    close($read);
    is($d4->wait(5), 2, 'a closed pipe');
    like($d4->err, qr/standard output was closed/, 'is named');

    # HUP: a new key and uuid, in the same output
    my $conf = conf('metaheader.json' => '{"type":"a"}', type => 254);
    $d4 = spawn(['-c', $conf, '--linger', 0], in => 'pipe');
    $d4->write("one\n");
    poll_until(10, sub { $d4->out =~ /one\n/ });
    my $old = length $d4->out;
    file("$conf/key", 'another key');
    $d4->signal('HUP');
    ok($d4->says(qr/was read again/), 'HUP');
    $d4->write("two\n");
    poll_until(10, sub { $d4->out =~ /two\n/ });
    is_deeply([payloads(substr($d4->out, $old), key => 'another key')],
              ["two\n"], 'another key, no second meta header');

    file("$conf/key", '');
    $d4->signal('HUP');
    ok($d4->says(qr/key is empty.*stays as it was/s), 'HUP, and an error');
    $d4->write("three\n");
    ok(poll_until(10, sub { $d4->out =~ /three\n/ }), 'goes on as before');

    file("$conf/key", 'another key');
    file("$conf/type", 8);
    $d4->signal('HUP');
    ok($d4->says(qr/type cannot be changed/), 'HUP, and another type');

    file("$conf/type", 254);
    file("$conf/snaplen", 4);
    file("$conf/source", "$dir/source");
    file("$dir/source", "a file\n");
    $old = length $d4->out;
    $d4->write('unfin');
    $d4->signal('HUP');
    is($d4->wait, 0, 'HUP, with a file as source');
    is(join('|', payloads(substr($d4->out, $old), key => 'another key')),
       "unfi|n\n|a fi|le\n", 'and another snaplen');
    unlike($d4->err, qr/another key/, 'no key is ever shown');

    # USR1
    $d4 = spawn(['-c', conf()], in => 'pipe');
    $d4->write("one\n");
    poll_until(10, sub { length $d4->out });
    my $s = $d4->statistics;
    is_deeply([@$s{qw(state read_bytes sent_frames sent_bytes queued_frames
                      dropped_frames)}], ['open', 4, 1, 4, 0, 0], 'USR1');
}


# limits

{
    my $start = time();
    my ($code, $out) = run(['-c', conf(snaplen => 2), '--rate-frames', 10],
                           "x\n" x 15);
    is(scalar(payloads($out)), 15, 'a limit of frames');
    cmp_ok(time() - $start, '>=', 0.4, 'takes its time');

    $start = time();
    ($code, $out) = run(['-c', conf(snaplen => 1000), '--rate-bytes', '10k'],
                        'x' x 14000);
    is(scalar(payloads($out)), 14, 'a limit of bytes');
    cmp_ok(time() - $start, '>=', 0.3, 'takes its time');

    # blocking is the default: the writer waits, nothing is lost
    pipe(my $read, my $write) or die;
    my $d4 = spawn(['-c', conf(), '--queue', '64k'], in => 'pipe',
                   out => $write);
    close($write);

    my $all = join('', map { "line $_\n" } 1 .. 100000);
    my $got = '';
    $d4->feed($all);
    sleep(0.2);
    cmp_ok(D4::Proc::rss($d4->{pid}), '<', 64 << 20, 'bounded memory');
    while (sysread($read, my $bytes, 65536)) {
        $got .= $bytes;
    }
    is(join('', payloads($got)), $all, 'an output that is slow');
    is($d4->wait, 0, 'exit code');
}

done_testing();

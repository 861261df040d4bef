# The passive DNS sensor on captures: what a real server answered, as dig saw
# it, against the lines; the same packets in other frames, fragments and
# segments; what the cache does over time; limits; hostile packets.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/pdns-sensor";

use D4::Port qw(free_port);
use D4::Proc;
use Dns;
use File::Temp qw(tempdir);
use Pcap;
use Sensor;
use Test::More;
use Zone;

alarm(300);

my $dir = tempdir('d4-pdns-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $port = 53;                  # of what is put together here


sub run { return sensor_run($dir, @_) }


# Two texts, without showing both when they differ.

sub same {
    my ($got, $want, $name) = @_;

    my @got = split(/\n/, $got);
    my @want = split(/\n/, $want);
    my ($n) = grep { ($got[$_] // '') ne ($want[$_] // '') }
                   0 .. (@got > @want ? $#got : $#want);

    ok($got eq $want, $name)
        or diag("line $n: ", $got[$n] // 'nothing', "\nwanted: ",
                $want[$n] // 'nothing');
}


# Lines without their times and addresses, each as often as it was counted.

sub seen {
    my (@lines) = @_;

    my %seen;

    $seen{join(' ', @$_{qw(name class type)}, tidy($_->{type}, $_->{answer}))}
        += $_->{count} for @lines;

    return \%seen;
}


# What dig saw, in the same form.

sub dig_seen {
    my ($text) = @_;

    my %seen;

    for (answers($text)) {
        my ($owner, undef, $class, $type, $data) = @$_;

        s/\|/\\124/g for $owner, $data;
        $seen{join(' ', lc $owner, $class, $type =~ s/^TYPE//r,
                   tidy($type, $data))}++;
    }

    return \%seen;
}


# All values of a field.

sub all {
    my ($field, @lines) = @_;

    my %all = map { $_->{$field} => 1 } @lines;

    return [sort { $a cmp $b } keys %all];
}


# Where two programs write the same in two ways: hexadecimal digits, numbers
# with and without zeros, names of numbers.

sub tidy {
    my ($type, $data) = @_;

    $data = lc $data if $type =~ /^(?:DS|CDS|TLSA|SMIMEA|SSHFP|ZONEMD|NSAP
                                     |NSEC3PARAM|TYPE\d+|\d+)$/x;
    $data =~ s/\b0+(?=[0-9a-f])//g if $type =~ /^(?:NID|L64)$/;
    $data =~ s/\b0(?=\d\b)|\.00(?=m)//g if $type eq 'LOC';
    $data =~ s/RSASHA256/8/ if $type eq 'CERT';
    $data =~ s/\bkey7=/dohpath=/ if $type =~ /^(?:SVCB|HTTPS)$/;

    return $data;
}


# a real server

SKIP: {
    my %zones = zones($dir);
    my $dns = free_port();
    my $nsd = authority($dir, $dns, %zones);

    open(my $fh, '>', "$dir/questions") or die "questions: $!";
    print $fh map { "$_\n" } questions();
    close($fh);

    my $pcap = "$dir/real.pcap";
    my $tcpdump = D4::Proc->start(['tcpdump', '-i', 'lo', '-U', '-n', '-s', 0,
                                   '-w', $pcap, "port $dns"],
                                  out => "$dir/tcpdump.log");

    poll_until(15, sub { D4::Proc::slurp("$dir/tcpdump.log") =~ /listening on/
                         || !$tcpdump->alive });
    skip('capturing is not permitted: '
         . D4::Proc::slurp("$dir/tcpdump.log"), 1) if !$tcpdump->alive;

    my @udp = ('@127.0.0.1', '-p', $dns, '+dnssec', '-f', "$dir/questions");
    my @tcp = ('@::1', '-p', $dns, '+dnssec', '+tcp', '-f', "$dir/questions");
    my $said = dig(@udp) . dig(@tcp) . dig(@tcp, '+keepopen');

    # all of it is there once what comes last is

    dig(@tcp[0 .. 2], 'last.example.net.', 'A');
    poll_until(15, sub { D4::Proc::slurp($pcap) =~ /\x04last\x07example/ });
    $tcpdump->stop('INT');

    my ($code, $out, $err) = run(['-r', $pcap, '-p', $dns, '-x', 'nxdomain']);

    is($code, 0, 'a real capture: exit code');

    my $expected = dig_seen($said);
    my @lines = lines($out);
    my @nx = grep { $_->{answer} eq 'NXDOMAIN' } @lines;
    my @data = grep { $_->{answer} ne 'NXDOMAIN' } @lines;

    cmp_ok(scalar keys %$expected, '>', 350, 'dig saw many records');
    is_deeply(seen(@data), $expected,
              'the lines are what dig saw, each counted as often');

    my %types = map { $_ => 1 } @{ all('type', @data) };
    cmp_ok(scalar keys %types, '>=', 50, 'types: ' . keys %types);

    is_deeply([grep { !$types{$_} } qw(A NS CNAME SOA MX TXT AAAA SRV DS SSHFP
                   RRSIG NSEC DNSKEY TLSA CAA HTTPS SVCB DNAME NAPTR URI
                   65280)], [], 'among them those that matter');

    is_deeply(seen(@nx), {
                  'nothing.example.net. IN A NXDOMAIN' => 6,
                  'no.example.org. IN MX NXDOMAIN' => 3,
                  'last.example.net. IN A NXDOMAIN' => 1 },
              'NXDOMAIN is about the name that is not there');

    is_deeply(all('server', @lines), ['127.0.0.1', '::1'], 'servers');
    is_deeply(all('client', @lines), ['0.0.0.0', '::'],
              'clients are not shown');
    is_deeply([grep { $_->{ttl} != ($_->{type} eq 'NSEC3PARAM'
                                    || $_->{answer} =~ /^NSEC3PARAM/ ? 3600
                                    : $_->{name} eq 'id.server.' ? 0 : 300) }
                    @data], [], 'TTLs');
    is_deeply([grep { $_->{ttl} != 0 } @nx], [], 'and none without data');

    my $real = statistics($err);
    is($real->{lines}, @lines, 'lines are counted');
    is($real->{records}, eval { my $n = 0; $n += $_->{count} for @lines; $n },
       'records are counted');
    is($real->{$_}, 0, "none: $_") for qw(malformed bad_messages bad_records
        unrelated too_long lost_streams lost_fragments unknown_segments cut
        kernel_dropped evicted);
    cmp_ok($real->{truncated}, '>=', 1, 'the large answer came truncated');

    # the times are those of the packets

    my ($link, $packets) = read_pcap($pcap);
    my %times = map { sprintf('%d.%06d', $_->[0], $_->[1]) => 1 } @$packets;
    is_deeply([grep { !$times{$_->{time}} } @lines], [],
              'each time is that of a packet');

    # options

    (undef, $out) = run(['-r', $pcap, '-p', $dns, '-m', '32,128']);
    is_deeply(all('client', lines($out)), ['127.0.0.1', '::1'],
              '-m 32,128: clients as they are');
    ok(!(grep { $_->{answer} eq 'NXDOMAIN' } lines($out)),
       'no NXDOMAIN without -x');

    (undef, $out) = run(['-r', $pcap, '-p', $dns, '-m', '8']);
    is_deeply(all('client', lines($out)), ['127.0.0.0', '::'], '-m 8');

    (undef, $out) = run(['-r', $pcap, '-p', $dns, '-t', 'https,TYPE65280,16']);
    is_deeply(all('type', lines($out)), [qw(65280 HTTPS TXT)], '-t');

    (undef, $out) = run(['-r', $pcap, '-p', $dns, '-T', 'RRSIG', '-T', 'A']);
    is_deeply(seen(lines($out)),
              { map { ($_ => $expected->{$_}) }
                    grep { (split)[2] !~ /^(?:A|RRSIG)$/ } keys %$expected },
              '-T');

    (undef, $out) = run(['-r', $pcap, '-p', "1,$dns,65535", '-x', 'all']);
    my %rcodes = map { $_->{answer} => 1 } grep { $_->{ttl} == 0
                                                  && $_->{type} ne 'TXT' }
                                                lines($out);
    is_deeply([sort keys %rcodes], [qw(NXDOMAIN REFUSED)], '-x all');

    (undef, $out) = run(['-r', $pcap]);
    is($out, '', 'other ports are not DNS');

    (undef, $out) = run(['-r', $pcap, '-p', $dns, '-f', 'ip6']);
    is_deeply(all('server', lines($out)), ['::1'], '-f');

    ($code, $out) = run(['-r', '-', '-p', $dns, '-x', 'nxdomain'],
                        in => $pcap);
    is_deeply(seen(lines($out)), seen(@lines), 'standard input');

    ($code, $out) = run(['-r', $pcap, '-r', $pcap, '-p', $dns]);
    is_deeply(seen(lines($out)), { map { ($_ => 2 * $expected->{$_}) }
                                       keys %$expected },
              'a file twice counts twice');

    # a line that is longer than the limit

    ($code, $out, $err) = run(['-r', $pcap, '-p', $dns, '-L', '1500',
                               '-x', 'nxdomain']);
    my $cut = { %{ seen(@lines) } };
    delete $cut->{$_} for grep { /^large/ && length > 1000 } keys %$cut;
    is_deeply(seen(lines($out)), $cut, '-L: too long a line is left out');
    cmp_ok(statistics($err)->{too_long}, '>=', 1, 'and counted');

    # other link layers

    my $ip = ip_packets($packets);
    my $want = join('', map { join('||', @$_{@{ fields() }}) . "\n" } @lines);

    for my $kind (qw(ethernet vlan qinq raw sll sll2 null loop)) {
        write_pcap("$dir/$kind.pcap", $kind,
                   [map { [$_->[0], $_->[1], link_frame($kind, $_->[2])] }
                        @$ip]);
        ($code, $out, $err) = run(['-r', "$dir/$kind.pcap", '-p', $dns, '-x',
                                   'nxdomain']);
        same($out, $want, "link layer: $kind");
    }

    # fragments: every packet of so many of them, in order and in disorder

    for my $size (64, 1480) {
        my @fit = grep { length $_->[2] < 100 * $size } @$ip;

        write_pcap("$dir/whole.pcap", 'raw', \@fit);
        (undef, $out) = run(['-r', "$dir/whole.pcap", '-p', $dns]);

        for my $order ('in order', 'in disorder') {
            my @all;

            for my $p (@fit) {
                my @f = fragments($p->[2], $size);
                @f = shuffled(@f) if $order ne 'in order';
                push @all, map { [$p->[0], $p->[1], $_] } @f;
            }

            write_pcap("$dir/fragments.pcap", 'raw', \@all);
            my ($code, $out2, $err) = run(['-r', "$dir/fragments.pcap", '-p',
                                           $dns]);
            same($out2, $out, "fragments of $size bytes $order");
            cmp_ok(statistics($err)->{fragments}, '>', $size == 64 ? @fit : 10,
                   'fragments');
            is(statistics($err)->{lost_fragments}, 0, 'none is lost');
            is(statistics($err)->{fragment_bytes}, 0, 'none is kept');
        }
    }

    # segments: as small as can be, in disorder, twice

    my @streams = tcp_streams($ip, $dns);
    cmp_ok(scalar @streams, '>', 60, 'TCP streams');

    write_pcap("$dir/tcp.pcap", 'raw', tcp_packets($ip, $dns));
    ($code, $out) = run(['-r', "$dir/tcp.pcap", '-p', $dns]);
    my $tcp = seen(lines($out));

    for my $size (1, 7, 536, 1460) {
        for my $order ('in order', 'in disorder, some twice') {
            next if $size == 1 && $order ne 'in order';

            my @all;

            for my $s (@streams) {
                my ($syn, @seg) = resegment($s, $size);

                if ($order ne 'in order') {
                    @seg = (@seg, grep { length($_->[2]) % 3 == 0 } @seg);
                    my @out;
                    push @out, shuffled(splice(@seg, 0, 9)) while @seg;
                    @seg = @out;
                }

                push @all, $syn, @seg;
            }

            write_pcap("$dir/tcp2.pcap", 'raw', \@all);
            my ($code2, $out2, $err2) = run(['-r', "$dir/tcp2.pcap", '-p',
                                             $dns]);
            is_deeply(seen(lines($out2)), $tcp,
                      "segments of $size bytes $order");
            is(statistics($err2)->{lost_streams}, 0, 'none is lost');
        }
    }

    # what is lost is lost alone

    my ($first) = grep { length $_->{data} > 500 } @streams;
    my @gap = resegment($first, 100);
    splice(@gap, 2, 1);
    write_pcap("$dir/gap.pcap", 'raw', [@gap, @{ tcp_packets($ip, $dns) }]);
    ($code, $out, $err) = run(['-r', "$dir/gap.pcap", '-p', $dns]);
    is_deeply(seen(lines($out)), $tcp, 'a segment is missing');

    my ($one, @rest) = fragments($ip->[1][2], 64);
    write_pcap("$dir/gap.pcap", 'raw', [[@{ $ip->[1] }[0, 1], $one],
                                        @$ip[2 .. $#$ip]]);
    (undef, $out) = run(['-r', "$dir/gap.pcap", '-p', $dns]);
    write_pcap("$dir/gap.pcap", 'raw', [@$ip[2 .. $#$ip]]);
    is((run(['-r', "$dir/gap.pcap", '-p', $dns]))[1], $out,
       'a fragment is missing');

    # cut captures: nothing of what is cut is believed

    for my $snap (0, 20, 60, 100, 200) {
        write_pcap("$dir/cut.pcap", 'ethernet',
                   [map { [@$_[0, 1], substr($_->[2], 0, $snap),
                           length $_->[2]] } @$packets]);
        ($code, $out, $err) = run(['-r', "$dir/cut.pcap", '-p', $dns]);
        my $short = seen(lines($out));
        is($code, 0, "snap length $snap: exit code");
        is_deeply([grep { ($expected->{$_} // 0) < $short->{$_} }
                        keys %$short], [], 'nothing that was not there');
    }

    # broken at random: whatever comes of it, lines are lines

    my ($mangled, $seed) = (0, 99);

    for my $round (1 .. 6) {
        my @broken = map {
            my $b = $_->[2];

            for (1 .. 1 + $round) {
                $seed = ($seed * 1103515245 + 12345) & 0x7fffffff;
                substr($b, ($seed >> 8) % length $b, 1)
                    = chr(($seed >> 3) & 255);
            }

            [$_->[0], $_->[1], $b];
        } @$ip;

        write_pcap("$dir/broken.pcap", 'raw', \@broken);
        ($code, $out, $err) = run(['-r', "$dir/broken.pcap", '-p', $dns, '-x',
                                   'all', '-M', '64k', '--tcp', '64k',
                                   '--fragments', '64k']);
        $mangled += statistics($err)->{$_} for qw(malformed bad_messages
            bad_records unrelated lost_streams);
        ok($code == 0 && eval { lines($out); 1 }, "broken packets $round")
            or diag($@, $err);
    }

    cmp_ok($mangled, '>', 100, 'much of it was refused');
}


# Responses put together here.

sub name {
    my ($name) = @_;

    return join('', map { pack('C/a*', $_) } split(/\./, $name)) . "\0";
}


sub response {
    my ($question, $type, $flags, @records) = @_;

    return pack('n6', 1, $flags, 1, scalar @records, 0, 0) . name($question)
           . pack('n2', $type, 1)
           . join('', map { name($_->[0]) . pack('n2 N n/a*', $_->[1], 1,
                                                 $_->[2], $_->[3]) } @records);
}


sub a {
    my ($owner, $ttl, $address) = @_;

    return [$owner, 1, $ttl // 60,
            pack('C4', split(/\./, $address // '192.0.2.1'))];
}


# capture([time, message], ...): in UDP; the file.

sub capture {
    my ($name, @messages) = @_;

    return write_pcap("$dir/$name.pcap", 'raw',
        [map { my $t = $_->[0];
               [int($t), ($t - int($t)) * 1e6, udp_packet($port, $_->[1])] }
             @messages]);
}


sub at { return join(' ', map { "$_->{time} $_->{ttl} $_->{count}" } @_) }


# the cache

{
    my $t = 1700000000;
    my $www = sub { [$t + $_[0], response('www.example', 1, 0x8180,
                                          a('www.example', $_[1]))] };

    my $file = capture('cache', map { $www->(@$_) } [0, 60], [1, 300], [2, 5],
                       [100, 60], [101, 60], [102, 60], [163, 60]);

    my $lines = sub { [lines((run(['-r', $file, @_]))[1])] };

    is(at(@{ $lines->() }), "$t.000000 60 1 1700000163.000000 300 6",
       'first seen at once, the rest at the end, with the highest TTL');

    is(at(@{ $lines->('-P', 100) }),
       "$t.000000 60 1 1700000100.000000 300 3 1700000163.000000 300 3",
       'again when seen again after the period');

    is(at(@{ $lines->('-P', 0) }),
       join(' ', map { sprintf('%d.000000 %d 1', $t + $_->[0], $_->[1]) }
                     [0, 60], [1, 300], [2, 300], [100, 300], [101, 300],
                     [102, 300], [163, 300]),
       'no period: every sighting');

    is(at(@{ $lines->('-C', 50) }),
       "$t.000000 60 1 1700000002.000000 300 2 1700000100.000000 60 1 "
       . '1700000102.000000 60 2 1700000163.000000 60 1',
       'what was not seen for the expiry time is printed and forgotten');

    is(at(@{ $lines->('-C', '1m') }),
       "$t.000000 60 1 1700000002.000000 300 2 1700000100.000000 60 1 "
       . '1700000102.000000 60 2 1700000163.000000 60 1',
       'units');

    # two records, one of which expires while only the other one is seen

    $file = capture('cache2', $www->(0, 60), $www->(1, 60),
                    map { [$t + 10 * $_, response('b', 1, 0x8180, a('b'))] }
                        1 .. 10);
    is_deeply([map { "$_->{name} $_->{time} $_->{count}" }
                   @{ $lines->('-C', 40) }],
              ["www.example. $t.000000 1", 'b. 1700000010.000000 1',
               'www.example. 1700000001.000000 1', 'b. 1700000100.000000 9'],
              'time goes on with the packets');

    # files in the wrong order

    my $late = capture('late', $www->(1000, 60));
    my $early = capture('early', $www->(0, 60));
    is(at(lines((run(['-r', $late, '-r', $early]))[1])),
       '1700001000.000000 60 1 1700001000.000000 60 1',
       'the last sighting is the latest, whatever the order');
}


# the limit of the cache: what makes room is printed, no count is lost

{
    my @messages = map { my $n = $_;
        map { [1700000000 + $n, response("n$n.example", 1, 0x8180,
                                         a("n$n.example"))] } 1 .. 3;
    } 1 .. 3000;

    my $file = capture('many', @messages);
    my ($code, $out, $err) = run(['-r', $file, '-M', '64k']);
    my $s = statistics($err);

    is($code, 0, 'more than fits: exit code');
    cmp_ok($s->{cache_bytes}, '<=', 65536, 'the limit holds');
    cmp_ok($s->{evicted}, '>', 2000, 'records made room');
    is_deeply(seen(lines($out)),
              { map { ("n$_.example. IN A 192.0.2.1" => 3) } 1 .. 3000 },
              'and every sighting is in a line');
}


# what an answer is about

{
    my $file = capture('unrelated',
        [1, response('a.example', 1, 0x8180, a('a.example'),
                     a('bank.example', 60, '192.0.2.66'))],
        [2, response('b.example', 1, 0x8182, a('b.example'))],
        [3, response('c.example', 252, 0x8180, a('c.example'))],
        [4, response('d.example', 1, 0x8380, a('d.example'))],
        [5, response('e.example', 1, 0x0100, a('e.example'))],
        [6, response('f.example', 1, 0xa980, a('f.example'))],
        [7, "\0" x 11], [8, response('g.example', 1, 0x8180) . 'x'],
        [9, response('h.example', 1, 0x8180,
                     ['h.example', 1, 60, 'abc'])]);

    my ($code, $out, $err) = run(['-r', $file, '-x', 'servfail']);
    my $s = statistics($err);

    is_deeply([map { "$_->{name} $_->{answer}" } lines($out)],
              ['a.example. 192.0.2.1', 'b.example. SERVFAIL'],
              'only what was asked for, and answers without data');
    is($s->{unrelated}, 1, 'a record of another name');
    is($s->{other_messages}, 3, 'a query, an update, a transfer');
    is($s->{truncated}, 1, 'a truncated answer');
    is($s->{bad_messages}, 1, 'a message that is none');
    is($s->{bad_records}, 1, 'a record that is none');
}


# a pipe that says nothing, or no more: a signal ends waiting for it

for my $part (0, 10, 24, 60, -1) {
    my $bytes = D4::Proc::slurp("$dir/cache.pcap");
    pipe(my $read, my $write) or die "pipe: $!";
    syswrite($write, substr($bytes, 0, $part < 0 ? length $bytes : $part));

    my $s = sensor($dir, ['-r', '-'], in => "/proc/$$/fd/" . fileno($read));
    poll_until(5, sub { D4::Proc::slurp("/proc/$s->{pid}/wchan")
                        =~ /pipe_|anon_pipe/ });
    is($s->stop, 0, "a pipe after $part bytes: exit code");
    is(scalar(() = lines($s->out)), $part < 0 ? 2 : 0, 'lines');
    is(scalar(() = $s->err =~ /\n/g), 1, 'statistics and nothing else');
}


# files that are none, and options that are wrong

sub refused {
    my ($name, $code, $message, @argv) = @_;

    my ($got, $out, $err) = run([@argv]);

    is($got, $code, "$name: exit code");
    is($out, '', "$name: nothing on standard output");
    like($err, $message, "$name: the message");
}

{
    open(my $fh, '>', "$dir/text") or die;
    print $fh "no capture\n" x 100;
    close($fh);
    open($fh, '>', "$dir/empty") or die;
    close($fh);
    open($fh, '>', "$dir/zeros") or die;
    print $fh "\0" x 1000;
    close($fh);
    open($fh, '>:raw', "$dir/wifi.pcap") or die;
    print $fh pack('V v v V V V V', 0xa1b2c3d4, 2, 4, 0, 0, 262144, 105);
    close($fh);

    refused('no file', 2, qr{nowhere: No such file}, '-r', "$dir/nowhere");
    refused('a text', 2, qr{text: unknown file format}, '-r', "$dir/text");
    refused('an empty file', 2, qr{empty: }, '-r', "$dir/empty");
    refused('zeros', 2, qr{zeros: holds no dnstap}, '-r', "$dir/zeros");
    refused('a link type', 2, qr{link type 105 \(IEEE802_11\) is not},
            '-r', "$dir/wifi.pcap");
    refused('a filter', 2, qr{filter: }, '-r', "$dir/cache.pcap", '-f',
            'no filter');
    refused('nothing to do', 1, qr/^Usage/);
    refused('an argument', 1, qr/unexpected argument "x"/, '-r', 'y', 'x');
    refused('-r and -i', 1, qr/-r cannot go with/, '-r', 'y', '-i', 'lo');
    refused('an interface', 1, qr/nothing0: /, '-i', 'nothing0');
    refused('a user', 1, qr/no user "nobody-of-that-name"/, '-d',
            "$dir/s.sock", '-u', 'nobody-of-that-name');
    refused('a group', 1, qr/no group "nobodies"/, '-d', "$dir/s.sock", '-g',
            'nobodies');
    refused('a socket', 1, qr/path of a socket is too long/, '-d', 'x' x 200);
    refused("option @$_", 1, qr/^\S*d4-pdns: /, '-r', "$dir/cache.pcap", @$_)
        for ['-p', 0], ['-p', '65536'], ['-p', '53,'], ['-p', '53;54'],
            ['-m', '33'], ['-m', '0,129'], ['-m', '1,2,3'], ['-M', '1k'],
            ['-M', '99999999999g'], ['-P', '1w'], ['-C', ''], ['-L', '10'],
            ['-x', 'nx'], ['-t', 'NONE'], ['-T', 'TYPE65536'], ['-T', 'A,'],
            ['--tcp', '0'], ['--fragments', 'x'], ['-z'];

    my ($code, $out) = run(['-h']);
    is($code, 0, '-h');
    like($out, qr/^Usage: d4-pdns/, 'the usage');
    ($code, $out) = run(['-V']);
    like($out, qr/^d4-pdns \(ngx_d4\) \d/, '-V');

    # what was read before an error counts

    my $bytes = D4::Proc::slurp(capture('short', [1, response('a', 1, 0x8180,
                                                              a('a'))],
                                        [2, response('b', 1, 0x8180,
                                                     a('b'))]));
    open($fh, '>:raw', "$dir/short.pcap") or die;
    print $fh substr($bytes, 0, -5);
    close($fh);

    my $err;
    ($code, $out, $err) = run(['-r', "$dir/short.pcap", '-r',
                               "$dir/early.pcap"]);
    is($code, 2, 'a capture that ends within a packet: exit code');
    like($err, qr/short.pcap: truncated/, 'the message');
    is_deeply([map { $_->{name} } lines($out)], ['a.', 'www.example.'],
              'the lines of what was there, and of the next file');
}

done_testing();

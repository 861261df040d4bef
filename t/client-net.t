# The d4 client and servers: TLS, what becomes of frames when a session ends,
# servers that are slow, gone or wrong.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/client";

use Client;
use D4::Proc;
use IO::Socket::IP;
use IO::Socket::SSL;
use IO::Socket::SSL::Utils;
use POSIX ();
use Server;
use Test::More;
use Time::HiRes qw(sleep time);

alarm($ENV{LONG} ? 300 : 150);

# but where it is tested
$ENV{D4_SETTLE} = 0;


# certificates

my $day = 86400;
my $names = [[DNS => 'localhost'], [IP => '127.0.0.1'], [IP => '::1']];

my ($ca, $ca_pair) = Server::certificate('ca', $dir, CA => 1);
my ($other) = Server::certificate('other', $dir, CA => 1);
my @issued = (issuer => $ca_pair, subjectAltNames => $names);
my ($good) = Server::certificate('good', $dir, @issued);
my ($sensor) = Server::certificate('sensor', $dir, issuer => $ca_pair);
my ($foreign) = Server::certificate('foreign', $dir, issuer => $ca_pair,
                                    subjectAltNames => [[DNS => 'x.test']]);
my ($expired) = Server::certificate('expired', $dir, @issued,
                                    not_before => time() - 2 * $day,
                                    not_after => time() - $day);
my ($early) = Server::certificate('early', $dir, @issued,
                                  not_before => time() + $day);

my $rootca = slurp($ca->[0]);

sub tls_conf {
    my ($server, %file) = @_;

    return conf(destination => 'localhost:' . $server->port,
                'rootCA.crt' => $rootca, %file);
}

sub tcp_conf {
    my ($server, %file) = @_;

    return conf(destination => 'tcp:127.0.0.1:' . $server->port, %file);
}


# Runs to its end before anything else is tested: a server that does not end.

my $silent = Server->new;
my $patient = spawn(['-c', tcp_conf($silent)], in => file("$dir/x", "tail\n"));
my $silent_connection = $silent->accept;


# TLS, verified

for my $case (['localhost', '127.0.0.1'], ['127.0.0.1', '127.0.0.1'],
              ['[::1]', '::1'], ['tls:localhost', '127.0.0.1'])
{
    my ($host, $addr) = @$case;
    my $server = Server->new(tls => $good, addr => $addr);
    my $d4 = spawn(['-c', conf(destination => "$host:" . $server->port,
                               'rootCA.crt' => $rootca), '--linger', 0],
                   in => 'pipe');

    $d4->write("one\n");
    my $c = $server->accept or diag $Server::error;
    is($c->{sock}->get_servername // '-', $host =~ /localhost/ ? 'localhost' : '-',
       "$host: server name");
    is($c->{sock}->get_sslversion, 'TLSv1_3', "$host: TLS 1.3");
    ok($c->read(sub { text($_[0]) eq "one\n" }), "$host: a frame");

    $d4->write("two\n");
    close($d4->{in});
    is($c->read_to_end, 'eof', "$host: an orderly end");
    is(join('', payloads($c->{got})), "one\ntwo\n", "$host: all of it");

    ok(!$d4->ended, "$host: waits for the server's end");
    $c->close;
    is($d4->wait, 0, "$host: exit code");
    like($d4->err, qr/connected to \Q$host\E:\d+, TLSv1.3/, "$host: is said");
}

{
    my $server = Server->new(tls => $good, ssl => { SSL_version => 'TLSv1_2' });
    my $d4 = spawn(['-c', tls_conf($server)], in => file("$dir/x", "x\n"));
    my $c = $server->accept;
    is($c->{sock}->get_sslversion, 'TLSv1_2', 'TLS 1.2');
    $c->read_to_end;
    is(join('', payloads($c->{got})), "x\n", 'will do');
    $c->close;
    is($d4->wait, 0, 'exit code');
}

sub refuses {
    my ($name, $server, $conf, $message, @options) = @_;

    my $d4 = spawn(['-c', $conf, @options], in => file("$dir/x", "secret\n"));
    my $c = $server->accept;

    # with TLS 1.3 the server has finished before the client looks
    $c->read_to_end if $c;

    is($d4->wait, 3, "$name: exit code");
    like($d4->err, $message, "$name: the message");
    is($c ? $c->{got} : '', '', "$name: nothing was sent");
}

{
    my $server = Server->new(tls => $good);

    refuses('another CA', $server,
            tls_conf($server, 'rootCA.crt' => slurp($other->[0])),
            qr/certificate is not accepted: .*issuer/);
    refuses('the system does not know it', $server,
            tls_conf($server, 'rootCA.crt' => undef),
            qr/certificate is not accepted/);
    refuses('another fingerprint', $server,
            tls_conf($server, fingerprint => 'ab' x 32),
            qr/has another fingerprint/);
    refuses('another name', $server, tls_conf($server), qr/ostname mismatch/,
            '--tls-name', 'x.test');

    for (['a name', $foreign, qr/ostname mismatch/],
         ['an expired one', $expired, qr/has expired/],
         ['an early one', $early, qr/not yet valid/])
    {
        my ($name, $cert, $message) = @$_;
        my $server = Server->new(tls => $cert);
        refuses($name, $server, tls_conf($server), $message);
    }

    my $old = Server->new(tls => $foreign);
    refuses('an address', $old,
            tls_conf($old, destination => '127.0.0.1:' . $old->port),
            qr/IP address mismatch/);
}

sub accepts {
    my ($name, $server, $conf, @options) = @_;

    my $d4 = spawn(['-c', $conf, @options], in => file("$dir/x", "x\n"));
    my $c = $server->accept or diag $Server::error;

    $c->read_to_end;
    is(join('', payloads($c->{got})), "x\n", "$name: is sent");
    $c->close;
    is($d4->wait, 0, "$name: exit code");

    return $d4;
}

{
    my $server = Server->new(tls => $foreign);
    my $conf = tls_conf($server, 'rootCA.crt' => undef);
    my $print = CERT_asHash(PEM_file2cert($foreign->[0]),
                            'sha256')->{fingerprint_sha256};

    accepts('-k', $server, $conf, '-k');
    accepts('-k and a fingerprint', $server, $conf, '-k', '--pin',
            'ab' x 32 . ",$print");
    accepts('--ca-file, --tls-name', $server, $conf, '--ca-file', $ca->[0],
            '--tls-name', 'x.test');
    accepts('the certificate itself', $server,
            tls_conf($server, 'rootCA.crt' => slurp($foreign->[0])),
            '--tls-name', 'x.test');

    $server = Server->new(tls => $good, ssl => {
        SSL_verify_mode => SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
        SSL_ca_file => $ca->[0] });

    refuses('without the certificate asked for', $server, tls_conf($server),
            qr/certificate required/, '-rt', 0);
    my $with = tls_conf($server, 'client.crt' => slurp($sensor->[0]),
                        'client.key' => slurp($sensor->[1]));
    accepts('with it', $server, $with);

    chmod(0644, "$with/client.key");
    my ($code, undef, $err) = run(['-t', '-c', $with]);
    is($code, 1, 'a client key that everybody can read');
    like($err, qr{/client.key: everybody can read it}, 'is refused');
}


# plain sockets

accepts('TCP', $_, tcp_conf($_)) for Server->new;
accepts('-ce=false', $_, conf(destination => '127.0.0.1:' . $_->port),
        '-ce=false') for Server->new;
accepts('a unix socket', $_, conf(destination => "unix:$dir/socket"))
    for Server->new(path => "$dir/socket");

{
    my $server = Server->new;
    my $d4 = spawn(['-c', tcp_conf($server), '--linger', 0], in => 'pipe');
    $d4->write("one\n");
    my $c = $server->accept;
    $c->send('hello sensor');
    ok($d4->says(qr/sent data, which is ignored/), 'a server that talks');
    $d4->write("two\n");
    ok($c->read(sub { text($_[0]) eq "one\ntwo\n" }), 'is not listened to');
}


# servers that are not there

{
    my $gone = Server->new;
    my $port = $gone->port;
    undef $gone;

    for my $dest ("tcp:127.0.0.1:$port", "127.0.0.1:$port",
                  "unix:$dir/nowhere")
    {
        my ($code, undef, $err) = run(['-c', conf(destination => $dest), '-rt',
                                       0], "x\n");
        is($code, 2, "$dest: exit code with -rt 0");
        like($err, qr/\Q$dest\E: (Connection refused|No such file)/,
             "$dest: the message");
    }

    my ($code, undef, $err) = run(['-c', conf(destination => 'd4.invalid:1'),
                                   '-rt', 0], "x\n");
    is($code, 2, 'a name that does not exist');
    like($err, qr/d4.invalid:1: /, 'is named');

    ($code, undef, $err) = run(['-c', conf(destination => "127.0.0.1:$port"),
                                '-rt', 0], '');
    is($code, 0, 'nothing to send: nobody is asked');

    # a server that says nothing during the handshake
    my $mute = Server->new;
    my $start = time();
    ($code, undef, $err) = run(['-c', conf(destination => '127.0.0.1:'
                                           . $mute->port), '-rt', 0,
                                '-ct', '300ms'], "x\n");
    is($code, 2, 'a mute server');
    like($err, qr/handshake took too long/, 'takes too long');
    cmp_ok(time() - $start, '<', 10, 'and no longer than -ct');

    # TERM while there is nobody
    my $d4 = spawn(['-c', conf(destination => "tcp:127.0.0.1:$port")],
                   in => 'pipe');
    $d4->write("x\n");
    ok($d4->says(qr/refused; next attempt in 1\.[0-5] s, 1 frames/),
       'by default it tries again');
    $start = time();
    $d4->signal('TERM');
    is($d4->wait(6), 2, 'TERM then');
    cmp_ok(time() - $start, '<', 20, 'in bounded time');
    like($d4->err, qr/1 frames could not be sent/, 'says so');

    # from the first attempt on
    $d4 = spawn(['-c', conf(destination => "tcp:127.0.0.1:$port"), '-rt',
                 '50ms'], in => 'pipe');
    $d4->write("early\n");
    $d4->says(qr/next attempt/);
    poll_until(10, sub { $d4->statistics->{failures} >= 3 }, 0.05);
    my $lines = () = $d4->err =~ /next attempt/g;
    is($lines, 1, 'the same failure is said once');
    my $server = Server->new(port => $port);
    my $c = $server->accept;
    ok($c->read(sub { text($_[0]) eq "early\n" }), 'and then it arrives');
}


# servers that refuse

{
    my $rude = Server->new;
    my $d4 = spawn(['-c', tcp_conf($rude), '-rt', 0], in => 'pipe');
    $d4->write("x\n");
    $rude->accept->close;
    is($d4->wait, 3, 'refused with -rt 0');
    like($d4->err, qr/ended the session right away/, 'is said');

    $d4 = spawn(['-c', conf(destination => '127.0.0.1:' . $rude->port), '-rt',
                 0], in => file("$dir/x", "x\n"));
    my $c = $rude->accept;
    $c->read(sub { length $_[0] > 100 });
    $c->send("HTTP/1.1 400 Bad Request\r\n\r\n");
    is($d4->wait, 3, 'not TLS, with -rt 0');
    like($d4->err, qr/TLS handshake: /, 'is said');

    # all was sent, but not read
    $d4 = spawn(['-c', tcp_conf($rude)], in => file("$dir/x", "x\n"));
    $c = $rude->accept;
    $c->{sock}->blocking(1);
    poll_until(10, sub { IO::Select->new($c->{sock})->can_read(0) });
    $c->reset;
    is($d4->wait, 3, 'reset instead of an end');
    like($d4->err, qr/last frames may be lost/, 'is said');
}


sub numbered { return map { sprintf("line %06d %s\n", $_, 'x' x 80) } @_ }


# A server that refuses does so after the first frame: that one is kept, and no
# other is sent before it is clear.

{
    my $server = Server->new(tls => $good);
    my @lines = map { "line $_\n" } 1 .. 5;
    my $d4 = spawn(['-c', tls_conf($server, snaplen => 7), '-rt', '20ms',
                    '--settle', '600ms'], in => file("$dir/x",
                                                     join('', @lines)));

    for my $n (1, 2) {
        my $c = $server->accept;
        $c->read(sub { length text($_[0]) });
        ok(!$c->read(sub { length text($_[0]) > 7 }, 0.2), "refusal $n: one frame");
        $n == 1 ? $c->reset : do { $c->{sock}->blocking(1); $c->{sock}->close };
        is(text($c->{got}), $lines[0], 'the first');
    }

    my $c = $server->accept;
    $c->read(sub { length text($_[0]) > 7 });
    is($c->read_to_end, 'eof', 'accepted');
    is(join('', payloads($c->{got})), join('', @lines), 'nothing was lost');
    $c->close;
    is($d4->wait, 0, 'exit code');

    # an end that is none: the server reads on
    $d4 = spawn(['-c', tls_conf($server, snaplen => 7), '-rt', '20ms',
                 '--settle', '600ms'], in => file("$dir/x", join('', @lines)));
    my @got;
    for my $n (1, 2) {
        my $c = $server->accept;
        $c->read(sub { length text($_[0]) });
        $c->half_close if $n == 1;
        is($c->read_to_end, 'eof', "planned end $n");
        push @got, payloads($c->{got});
        $c->close;
    }
    is(join('', @got), join('', @lines), 'nothing is sent twice');
    is($d4->wait, 0, 'exit code');

    # one frame, and the input ends: it is still clear what became of it
    $d4 = spawn(['-c', tls_conf($server), '-rt', 0, '--settle', '600ms'],
                in => file("$dir/x", "x\n"));
    $c = $server->accept;
    $c->read(sub { length text($_[0]) });
    $c->{sock}->blocking(1);
    $c->{sock}->close;
    is($d4->wait, 3, 'refused with -rt 0');
    like($d4->err, qr/ended the session/, 'is said');
}


# Several sessions, each of which ends while more of its share is under way.

sub sessions {
    my ($server, $d4, $end, @shares) = @_;

    my @conns;

    for my $share (@shares) {
        $d4->write($share);

        my $c = $server->accept or last;
        my $n = length($share) / 2;

        $c->read(sub { length $_[0] > $n });
        $end->($c);
        $c->close;
        push @conns, $c;
    }

    close($d4->{in});

    # what is left, however many sessions that takes
    while (!$d4->ended) {
        my $c = $server->accept(0.05) or next;
        $c->read_to_end;
        $c->close;
        push @conns, $c;
    }

    return @conns;
}

sub planned { my ($c) = @_; $c->half_close; $c->read_to_end }


# A planned end: the server goes on reading, and nothing is lost or doubled.

for my $tls (0, 1) {
    my $name = $tls ? 'TLS' : 'TCP';
    my $server = Server->new($tls ? (tls => $good) : ());
    my $d4 = spawn(['-c', $tls ? tls_conf($server) : tcp_conf($server), '-rt',
                    '20ms'], in => 'pipe');
    my @shares = map { join('', numbered($_ * 5000 .. $_ * 5000 + 4999)) } 0 .. 4;
    my @got = sessions($server, $d4, \&planned, @shares);

    is($d4->wait, 0, "$name, planned ends: exit code");
    cmp_ok(scalar @got, '>=', 5, "$name: several sessions");
    is((grep { $_->{end} ne 'eof' } @got), 0, "$name: all of them answered");
    is(join('', map { payloads($_->{got}) } @got), join('', @shares),
       "$name: nothing lost, nothing twice");
}


# A server that is killed: what it had not read is lost, nothing comes twice,
# and each session begins with a whole line.

{
    my $server = Server->new(tls => $good);
    my $d4 = spawn(['-c', tls_conf($server), '-rt', '20ms', '-v'],
                   in => 'pipe');
    my @shares = map { join('', numbered($_ * 5000 .. $_ * 5000 + 4999)) } 0 .. 4;
    my @got = sessions($server, $d4, sub { $_[0]->reset }, @shares, "end\n");

    # after a reset 0 is right only if all had been delivered before it

    my $code = $d4->wait;
    my $whole = join('', map { payloads($_->{got}) } @got) =~ /end\n\z/;

    ok($got[-1]{end} eq 'eof' ? $code == 0
                              : $code == 3 || $code == 0 && $whole,
       'server killed: exit code') or diag("$code, $got[-1]{end}");

    my (%seen, $torn, $frames);
    for my $c (@got) {
        my ($f) = frames($c->{got});
        $frames += @$f;
        for (map { split /(?<=\n)/, $_->{payload} } @$f) {
            $torn++ if !/^line \d{6} x{80}\n\z|^end\n\z/;
            $seen{$_}++;
        }
    }

    is($torn, undef, 'no line is torn');
    is((grep { $_ != 1 } values %seen), 0, 'none comes twice');

    my ($sent) = $d4->err =~ /sent_frames=(\d+)/;
    cmp_ok($frames, '<=', $sent, 'and no more than were sent');
    cmp_ok(keys %seen, '>', 12000, 'most are there');
}


# Captures: each session starts with the header and has whole records only,
# but where a record that is larger than a frame was cut off by its end.

for my $snaplen (65535, 600) {
    my $server = Server->new;
    my $d4 = spawn(['-c', tcp_conf($server, type => 1, snaplen => $snaplen),
                    '-rt', '20ms', '--linger', 0], in => 'pipe');
    my $header = pcap_file([]);
    my @records = pcap_parts(substr(pcap_file([map { 40 + $_ * 7919 % 1460 }
                                                1 .. 3000]), 24));
    my @shares = map { join('', splice(@records, 0, 600)) } 1 .. 5;
    my @got = sessions($server, $d4, \&planned, $header . $shares[0],
                       @shares[1 .. 4]);

    is($d4->wait, 0, "capture, snaplen $snaplen: exit code");

    my ($headers, $all, $cut) = (0, '', 0);
    for my $c (@got) {
        my $bytes = join('', payloads($c->{got}));
        $headers++ if substr($bytes, 0, 24, '') eq $header;

        while (length $bytes >= 16) {
            my $len = 16 + unpack('x8 V', $bytes);
            last if length $bytes < $len;
            $all .= substr($bytes, 0, $len, '');
        }

        $cut++ if length $bytes;
    }

    is($headers, @got, 'each session starts with the header');
    is($cut, 0, 'and has whole records') if $snaplen == 65535;
    ok($all eq join('', @shares), 'all records once, in order');
}

{
    my ($one, $two) = (pcap_file([100, 50]), pcap_file([70], link => 113));
    my $server = Server->new;
    my $d4 = spawn(['-c', tcp_conf($server, type => 1)],
                   in => file("$dir/x", $one . $two . $two));

    for my $n (1, 2) {
        my $c = $server->accept;
        is($c->read_to_end, 'eof', "session $n ends in order");
        is(join('', payloads($c->{got})),
           $n == 1 ? $one : $two . substr($two, 24),
           "captures of two kinds: session $n");
        $c->close;
    }

    is($d4->wait, 0, 'exit code');
}

{
    my $server = Server->new;
    my $d4 = spawn(['-c', tcp_conf($server, type => 254, snaplen => 10,
                                   'metaheader.json' => '{ "type" : "x-y" }'),
                    '-rt', '20ms', '--linger', 0], in => 'pipe');
    my $c = $server->accept;
    ok($c->read(sub { text($_[0]) eq '{"type":"x-y"}' }),
       'the meta header does not wait for data');
    $d4->write("1\n");
    $c->read(sub { $_[0] =~ /1\n\z/ });
    $c->half_close;
    $c->read_to_end;
    $c->close;
    $c = $server->accept;
    $d4->write("2\n");
    $c->read(sub { $_[0] =~ /2\n\z/ });
    my ($frames) = frames($c->{got});
    is_deeply([map { "$_->{type} $_->{payload}" } @$frames],
              ['2 {"type":"x', '2 -y"}', "254 2\n"],
              'and begins each session');
}

{
    # in the middle of a line that spans frames
    my $server = Server->new;
    my $d4 = spawn(['-c', tcp_conf($server, snaplen => 100), '-rt', '20ms',
                    '--linger', 0], in => 'pipe');
    my $line = 'long ' x 100;
    $d4->write("short\n" . substr($line, 0, 250));
    my $c = $server->accept;
    $c->read(sub { length(text($_[0])) == 206 });
    $c->half_close;
    $c->read_to_end;
    $c->close;
    $d4->write(substr($line, 250) . "\nlast\n");
    $c = $server->accept;
    ok($c->read(sub { $_[0] =~ /last\n\z/ }), 'a line that spans sessions');
    is(text($c->{got}), "$line\nlast\n", 'is whole in the second');
}


# slow servers

{
    my $server = Server->new(tls => $good, rcvbuf => 4096);
    my $d4 = spawn(['-c', tls_conf($server), '--queue', '100k'], in => 'pipe');
    my $all = join('', numbered(1 .. 40000));

    $d4->feed($all);
    my $c = $server->accept;

    my $queued = 0;
    poll_until(10, sub { my $was = $queued;
                         $queued = $d4->statistics->{queued_bytes};
                         $queued >= 100 << 10 && $queued == $was }, 0.05);
    cmp_ok($queued, '<', 120 << 10, 'a server that does not read: it waits');
    cmp_ok(D4::Proc::rss($d4->{pid}), '<', 64 << 20, 'in bounded memory');

    $c->read_to_end(20);
    is(join('', payloads($c->{got})), $all, 'and everything arrives');
    $c->close;
    is($d4->wait, 0, 'exit code');

    # the tail: all is handed over, the server reads later
    $d4 = spawn(['-c', tls_conf($server)], in => file("$dir/x",
                                                     substr($all, 0, 100000)));
    $c = $server->accept;
    sleep(0.5);
    is($c->read_to_end, 'eof', 'a server that reads late');
    is(join('', payloads($c->{got})), substr($all, 0, 100000), 'has it all');
    $c->close;
    is($d4->wait, 0, 'exit code');
}


# drop policies: a listener that does not accept yet, and more than fits

for my $policy ('drop-oldest', 'drop-newest') {
    my $gone = Server->new;
    my $port = $gone->port;
    undef $gone;

    my $d4 = spawn(['-c', conf(destination => "tcp:127.0.0.1:$port",
                               snaplen => 1000), '--queue', '50k',
                    '--overflow', $policy, '-rt', '50ms', '--linger', 0],
                   in => 'pipe');
    my @lines = numbered(1 .. 2000);

    $d4->write(join('', @lines));
    close($d4->{in});
    my $s;
    poll_until(10, sub { $s = $d4->statistics;
                         $s->{read_bytes} == length(join '', @lines) });

    cmp_ok($s->{queued_bytes}, '<=', 50 << 10, "$policy: bounded");
    cmp_ok($s->{dropped_frames}, '>', 100, "$policy: counted");

    my $server = Server->new(port => $port);
    my $c = $server->accept;
    $c->read_to_end;
    $c->close;
    is($d4->wait, 0, "$policy: exit code");

    my @got = map { split /(?<=\n)/ } payloads($c->{got});
    my $dropped = $s->{dropped_bytes} / length($lines[0]);

    is(@got + $dropped, @lines, "$policy: every line is sent or counted");
    is_deeply(\@got, [sort @got], "$policy: in order");
    is($policy eq 'drop-oldest' ? $got[-1] : $got[0],
       $policy eq 'drop-oldest' ? $lines[-1] : $lines[0], "$policy: which");
    like($d4->err, qr/\d+ frames were dropped/, "$policy: is said");
}


# and records that span frames: what cannot be finished ends its session

for my $policy ('drop-oldest', 'drop-newest') {
    my $server = Server->new(rcvbuf => 4096);
    my $d4 = spawn(['-c', tcp_conf($server, type => 1, snaplen => 1000),
                    '--queue', '64k', '--overflow', $policy, '-rt', '20ms'],
                   in => 'pipe');
    my $header = pcap_file([]);
    my @records = pcap_parts(substr(pcap_file([map { $_ % 9 ? $_ : 120000 + $_ }
                                               1 .. 400]), 24));
    my %record = map { $_ => 1 } @records;

    $d4->feed($header . join('', @records));

    my $c = $server->accept;
    poll_until(10, sub { $d4->statistics->{dropped_frames} > 100 }, 0.05);

    my ($n, $whole, $bad) = (0, 0, 0);
    while ($c || !$d4->ended) {
        $c //= $server->accept(0.05) // next;
        $c->read_to_end;
        $n++;

        my $bytes = join('', payloads($c->{got}));
        $bad++ if substr($bytes, 0, 24, '') ne $header;

        while (length $bytes >= 16) {
            my $len = 16 + unpack('x8 V', $bytes);
            last if length $bytes < $len;
            $record{substr($bytes, 0, $len, '')} ? $whole++ : $bad++;
        }

        undef $c;
    }

    is($d4->wait, 0, "$policy, large records: exit code");
    is($bad, 0, 'every session has a header and records as they were');
    cmp_ok($whole, '>', 3, "$whole whole ones");
    cmp_ok($n, '>', 1, 'and what could not be finished ended its session');
}


# HUP: another server, after an orderly end

{
    my ($one, $two) = map { Server->new } 1, 2;
    my $conf = tcp_conf($one);
    my $d4 = spawn(['-c', $conf, '--linger', 0], in => 'pipe');

    $d4->write("one\n");
    my $c = $one->accept;
    $c->read(sub { text($_[0]) eq "one\n" });
    file("$conf/destination", 'tcp:127.0.0.1:' . $two->port);
    $d4->signal('HUP');
    is($c->read_to_end, 'eof', 'HUP: the session ends');
    $c->close;
    $d4->write("two\n");
    close($d4->{in});
    $c = $two->accept;
    $c->read_to_end;
    is(join('', payloads($c->{got})), "two\n", 'and goes on elsewhere');
    $c->close;
    is($d4->wait, 0, 'exit code');
}


# a real capture of real traffic

SKIP: {
    my $port = IO::Socket::IP->new(Listen => 1, LocalHost => '127.0.0.1');
    my $talk = $port->sockport;
    my @tcpdump = ('tcpdump', '-i', 'lo', '-n', '-q', '-U', '-s', 0, '-w', '-',
                   'tcp', 'port', $talk);

    skip('this user may not capture', 6)
        if $> != 0 || system('tcpdump --version >/dev/null 2>&1') != 0;

    my $server = Server->new(tls => $good);
    my $d4 = spawn(['-c', tls_conf($server, type => 1), '-rt', '20ms'],
                   in => 'pipe');

    my $tcpdump = fork();
    if ($tcpdump == 0) {
        open(STDOUT, '>&', $d4->{in});
        open(STDERR, '>', "$dir/tcpdump");
        { exec(@tcpdump) };
        POSIX::_exit(127);
    }
    close($d4->{in});
    poll_until(10, sub { slurp("$dir/tcpdump") =~ /listening on/ });

    # the header comes before any packet
    my $c = $server->accept;
    ok($c->read(sub { length(text($_[0])) == 24 }), 'tcpdump: the header');

    my $traffic = sub {
        for (1 .. 20) {
            my $a = IO::Socket::IP->new(PeerHost => '127.0.0.1',
                                        PeerPort => $talk) or die;
            my $b = $port->accept;
            print $a 'x' x (100 * $_ * $_);
            close($a);
            local $/;
            <$b>;
        }
    };

    $traffic->();
    $c->read(sub { length(text($_[0])) > 200000 });
    $c->half_close;
    $c->read_to_end;
    $c->close;

    my $c2 = $server->accept;
    $traffic->();
    $c2->read(sub { length(text($_[0])) > 200000 });
    kill('INT', $tcpdump);
    waitpid($tcpdump, 0);
    $c2->read_to_end;
    $c2->close;
    is($d4->wait, 0, 'tcpdump: exit code');

    my ($captured) = slurp("$dir/tcpdump") =~ /(\d+) packets? captured/;
    my $packets = 0;
    for (1, 2) {
        my $file = file("$dir/$_.pcap",
                        join('', payloads(($c, $c2)[$_ - 1]{got})));
        my @read = `tcpdump -n -r $file 2>/dev/null`;
        is($?, 0, "tcpdump reads session $_");
        cmp_ok(scalar @read, '>', 100, 'with its packets');
        $packets += @read;
    }
    is($packets, $captured, 'and every packet that was captured');
}


# zero window for more than the time after which a dead server is given up

SKIP: {
    skip('takes 90 s, set LONG=1', 2) if !$ENV{LONG};

    my $server = Server->new(rcvbuf => 4096);
    my $d4 = spawn(['-c', tcp_conf($server), '--queue', '100k'], in => 'pipe');
    my $all = join('', numbered(1 .. 40000));

    $d4->feed($all);
    my $c = $server->accept;
    sleep(85);
    $c->read_to_end(20);
    is(join('', payloads($c->{got})), $all, 'a server that waits very long');
    $c->close;
    is($d4->wait, 0, 'exit code');
}


# it has waited for the server's end for 5 s, not longer

{
    is($patient->wait, 0, 'a server that never ends: exit code');
    $silent_connection->read_to_end;
    is(join('', payloads($silent_connection->{got})), "tail\n",
       'all was sent');
}

done_testing();

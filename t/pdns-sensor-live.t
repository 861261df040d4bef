# The passive DNS sensor on live traffic: an interface, the d4 client behind
# it, VLAN tags and fragments as the kernel hands them out, dnstap of a real
# resolver, signals, rights.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/pdns-sensor",
        "$FindBin::Bin/client";

use Client ();
use D4::Port qw(free_port);
use D4::Proc;
use Dns;
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Pcap;
use POSIX ();
use Sensor;
use Socket;
use Test::More;
use Time::HiRes qw(sleep time);
use Zone;

alarm(300);

# a path of a unix socket has 107 characters at most

my $dir = tempdir('d4-pdns-XXXXXX', CLEANUP => 1,
                  DIR => length($ENV{TMPDIR} // '') < 60
                         ? $ENV{TMPDIR} // '/tmp' : '/tmp');
chmod(0755, $dir);

my $root = $> == 0;
my %zones = zones($dir);
my $port = free_port();
my $nsd = authority($dir, $port, %zones);
my @server = ('@127.0.0.1', '-p', $port);

my ($code, undef, $why) = do {
    my $s = sensor($dir, ['-i', 'lo', '-p', $port]);
    sleep(0.5);
    ($s->stop, '', $s->err);
};
my $captures = $code == 0;


sub names { return [sort map { $_->{name} } @_] }


# one line of this server's for which the count does not matter

sub ask { dig(@server, $_[0], $_[1] // 'A') }


SKIP: {
    skip("capturing is not permitted: $why", 1) if !$captures;

    # lines come within a second, while it runs

    my $s = sensor($dir, ['-i', 'lo', '-p', $port, '-x', 'nxdomain']);
    ok($s->capturing(sub { ask('first.example.net', 'A') }), 'it captures');

    my $t = time();
    ask('www.example.net');
    ok(poll_until(10, sub { $s->out =~ /www\.example\.net\..*192\.0\.2\.2/ }),
       'a line comes while it runs');
    cmp_ok(time() - $t, '<', 20, 'soon');

    # the same again: counted, not printed

    my $size = length $s->out;
    my $before = $s->now->{records};
    ask('www.example.net') for 1 .. 3;
    dig('@::1', '-p', $port, '+tcp', 'www.example.net', 'A');
    poll_until(10, sub { $s->now->{records} == $before + 8 });
    is(length $s->out, $size, 'what was printed is not printed again');

    $s->signal('USR2');
    ok(poll_until(10, sub { length $s->out > $size }), 'USR2 prints it');
    my @www = grep { $_->{name} eq 'www.example.net.' } lines($s->out);
    is(join(' ', sort map { "$_->{answer}:$_->{count}" } @www),
       '192.0.2.1:1 192.0.2.1:4 192.0.2.2:1 192.0.2.2:4', 'with the count');
    is((grep { $_->{count} == 4 } @www)[0]{server}, '::1',
       'and the last server');

    ask('www.example.net');
    ask('mail.example.net');
    is($s->stop, 0, 'TERM: exit code 0');
    @www = grep { $_->{name} eq 'www.example.net.' } lines($s->out);
    is(scalar @www, 6, 'what was left is printed');
    ok((grep { $_->{name} eq 'mail.example.net.' } lines($s->out)),
       'and what came just before');
    unlike($s->err, qr/^(?!d4-pdns: packets=)./m, 'nothing but statistics');

    my $stats = Sensor::statistics($s->err);
    my $sum = 0;
    $sum += $_->{count} for lines($s->out);
    is($stats->{records}, $sum, 'the counts are what was seen');
    is($stats->{kernel_dropped}, 0, 'nothing dropped');

    # behind it the client

    my $conf = Client::conf(type => 8);
    pipe(my $read, my $write) or die "pipe: $!";
    $s = sensor($dir, ['-i', 'lo', '-p', $port], out => $write);
    close($write);

    my $d4out = "$dir/d4.out";
    my $d4 = fork() // die "fork: $!";

    if ($d4 == 0) {
        open(STDIN, '<&', $read);
        open(STDOUT, '>', $d4out);
        { exec(($ENV{D4_BUILD} // 'build') . '/d4', '-c', $conf) };
        POSIX::_exit(127);
    }

    close($read);
    $s->capturing(sub { ask('ns.example.net') });
    ok(poll_until(10, sub {
        Client::text(D4::Proc::slurp($d4out)) =~ /\|\|ns\.example\.net\.\|\|A/
    }), 'through d4 while both run');

    ask('svc.example.net', 'HTTPS');
    is($s->stop, 0, 'exit code');
    waitpid($d4, 0);
    is($?, 0, 'exit code of the client');

    my ($frames, $rest) = Client::frames(D4::Proc::slurp($d4out));
    is($rest, '', 'whole frames');
    is_deeply([grep { $_->{type} != 8 } @$frames], [], 'of type 8');
    my @lines = lines(join('', map { $_->{payload} } @$frames));
    ok((grep { $_->{type} eq 'HTTPS' && $_->{answer} =~ /alpn="h2,h3"/ }
             @lines), 'with the lines');

    # a reader that goes; one that does not read

    pipe($read, $write) or die "pipe: $!";
    $s = sensor($dir, ['-i', 'lo', '-p', $port], out => $write);
    close($write);
    $s->capturing(sub { ask('ns.example.net', 'AAAA') });
    close($read);
    ask('alias.example.net');
    is($s->wait(10), 2, 'no reader: exit code 2');
    like($s->err, qr/standard output: Broken pipe/, 'the message');

    pipe($read, $write) or die "pipe: $!";
    $s = sensor($dir, ['-i', 'lo', '-p', $port, '-P', 0], out => $write);
    close($write);
    $s->capturing(sub { ask('ns.example.net', 'AAAA') });
    dig(@server, '+tcp', 'many.example.net', 'A') for 1 .. 10;
    poll_for(5, sub { 0 });
    $t = time();
    $s->signal('TERM');
    is($s->wait(20), 2, 'a reader that hangs: exit code 2');
    cmp_ok(time() - $t, '<', 30, 'after a few seconds');
    like($s->err, qr/not read, giving up/, 'the message');
    close($read);

    # rights

    SKIP: {
        skip('only root can become somebody else', 4) if !$root;

        $s = sensor($dir, ['-i', 'lo', '-p', $port, '-u', 'nobody']);
        ok($s->capturing(sub { ask('first.example.net', 'A') }),
           '-u: captures');
        my $status = D4::Proc::slurp("/proc/$s->{pid}/status");
        my $uid = getpwnam('nobody');
        like($status, qr/^Uid:\t$uid\t$uid\t$uid\t$uid$/m, 'as nobody');
        like($status, qr/^CapEff:\t0+$/m, 'without capabilities');
        is($s->stop, 0, 'exit code');
    }

    # all interfaces at once: the other link layer

    $s = sensor($dir, ['-i', 'any', '-p', $port]);
    ok($s->capturing(sub { ask('first.example.net', 'A') }), '-i any');
    ask('www.example.net');
    $s->stop;
    ok((grep { $_->{name} eq 'www.example.net.' } lines($s->out)), 'lines');
}


# Frames that come over a wire: a pair of interfaces in a network of their own.
# The kernel takes VLAN tags off, and its filter sees fragments.

SKIP: {
    skip('a network of its own needs root', 1) if !$root || !$captures;

    my $setup = <<'END';
        set -e
        ip link add d4a type veth peer name d4b
        ip link set d4a up
        ip link set d4b up
        ip link set lo up
        exec sleep 120
END
    my $net = D4::Proc->start(['unshare', '-n', 'sh', '-c', $setup],
                              out => "$dir/net.log");
    my @in = ('nsenter', '-t', $net->pid, '-n');

    skip('no veth: ' . D4::Proc::slurp("$dir/net.log"), 1)
        if !poll_until(10, sub {
               system("@in ip link show d4b 2>/dev/null | grep -q 'state UP'")
                   == 0 || !$net->alive
           }) || !$net->alive;

    # answers with so many bytes of text

    my $response = sub {
        my ($n, $len) = @_;
        my $name = pack('C/a* C/a* x', "n$n", 'example');
        my $text = join('', map { pack('C/a*', 'x' x 99) } 1 .. $len / 100);

        return pack('n6', 1, 0x8180, 1, 1, 0, 0) . $name . pack('n2', 16, 1)
               . $name . pack('n2 N n/a*', 16, 1, 60, $text);
    };

    my @frames;
    my %want;

    for my $n (0 .. 29) {
        my $kind = (qw(ethernet vlan qinq))[$n % 3];
        my $ip = udp_packet($port, $response->($n, $n % 2 ? 4000 : 1000));
        my @parts = $n % 2 ? shuffled(fragments($ip, 1024)) : ($ip);

        push @frames, map { link_frame($kind, $_) } @parts;
        $want{"n$n.example."} = 1;
    }

    my $s = sensor($dir, ['-i', 'd4b', '-p', $port], via => \@in);

    open(my $fh, '>:raw', "$dir/frames") or die "frames: $!";
    print $fh map { pack('n/a*', $_) } @frames;
    close($fh);

    # sent by another process, within that network

    open($fh, '>', "$dir/inject.pl") or die "inject.pl: $!";
    print $fh <<'END';
use Socket;
my ($interface, $file) = @ARGV;
socket(my $s, 17, SOCK_RAW, unpack('S', pack('n', 3))) or die "socket: $!";
my ($index) = `ip -o link show $interface` =~ /^(\d+)/;
open(my $fh, '<:raw', $file) or die "$file: $!";
local $/;
my $bytes = <$fh>;
while (length $bytes) {
    my $frame = unpack('n/a*', $bytes);
    substr($bytes, 0, 2 + length $frame) = '';
    send($s, $frame, 0, pack('S n i S C C a8', 17, 3, $index, 0, 0, 6, ''))
        or die "send: $!";
}
END
    close($fh);

    my $inject = sub {
        system(@in, $^X, "$dir/inject.pl", 'd4a', "$dir/frames");
    };

    ok($s->capturing($inject), 'frames over a wire');
    $inject->();
    is($s->stop, 0, 'exit code');

    my %got = map { $_->{name} => 1 } lines($s->out);
    is_deeply(\%got, \%want, 'VLAN, QinQ and fragments pass the filter');
    my $stats = Sensor::statistics($s->err);
    is($stats->{$_}, 0, "none: $_") for qw(malformed lost_fragments
                                           bad_messages bad_records);
    $net->stop;
}


# dnstap of a real resolver

{
    my $socket = "$dir/dnstap.sock";
    my $s = sensor($dir, ['-d', $socket, '-x', 'nxdomain', '-m', '32,128']);

    ok(poll_until(10, sub { -S $socket }), 'the socket is there');
    is((stat $socket)[2] & 0007, 0, 'not for everybody');
    ok(poll_until(10, sub { ((stat $socket)[2] & 0777) == 0660 }),
       'for its group');

    my $rport = free_port();
    my $unbound = resolver($dir, $rport, $port, $socket, keys %zones);
    my @resolver = ('@127.0.0.1', '-p', $rport);

    ok(poll_until(15, sub { $s->now->{connections} == 1 }),
       'the resolver connects');

    my $said = join('', map { dig(@resolver, split) }
                            'www.example.net A', 'www.example.net AAAA',
                            'svc.example.net HTTPS', '_dns.example.net SVCB',
                            'example.net MX', 'example.net CAA',
                            'large.example.net TXT', 'many.example.net A',
                            'chain1.example.net A', 'nope.example.net A',
                            'under.old.example.net AAAA');

    my %dig = map { (lc "$_->[0] $_->[3] " . $_->[4]) => 1 } answers($said);
    cmp_ok(scalar keys %dig, '>', 210, 'dig got its answers');

    my $got = sub {
        return { map { (lc "$_->{name} $_->{type} $_->{answer}"
                            =~ s/\bkey7=/dohpath=/r) => 1 } lines($s->out) };
    };

    my $missing = sub {
        my $seen = $got->();
        return [grep { !$seen->{s/\bkey7=/dohpath=/r} } sort keys %dig];
    };

    poll_until(15, sub { @{ $missing->() } == 0 });
    is_deeply($missing->(), [], 'and each of them is in a line');

    my @lines = lines($s->out);
    is_deeply([keys %{{ map { $_->{server} => 1 } @lines }}], ['127.0.0.1'],
              'the server is the one that the resolver asked');
    ok((grep { $_->{name} eq 'nope.example.net.'
               && $_->{answer} eq 'NXDOMAIN' } @lines), 'NXDOMAIN');
    is_deeply([grep { $_->{name} ne lc $_->{name} } @lines], [],
              'the case that the resolver mixed is not shown');
    is_deeply([grep { abs($_->{time} - time()) > 60 } @lines], [],
              'the time is now');

    my $stats = $s->now;
    is($stats->{$_}, 0, "none: $_") for qw(bad_frames bad_messages
                                           bad_records unrelated packets);

    # a writer that sends something else is none

    my $other = IO::Socket::UNIX->new(Peer => $socket) or die "connect: $!";
    print $other "GET / HTTP/1.0\r\n\r\n";
    $other->flush;
    ok(poll_until(10, sub { $s->err =~ /sends no dnstap/ }),
       'another protocol is refused');
    is(sysread($other, my $byte, 1), 0, 'and its connection closed');
    is($s->now->{connections}, 1, 'the resolver stays');

    # it goes and comes back: the resolver finds it again

    is($s->stop, 0, 'TERM: exit code');
    ok(!-e $socket, 'the socket is gone');
    $s = sensor($dir, ['-d', $socket]);
    ok(poll_until(40, sub { $s->now->{connections} == 1 }, 0.2),
       'after a restart the resolver comes back');
    dig(@resolver, 'mail.example.net', 'A');
    ok(poll_until(15, sub { $s->out =~ /mail\.example\.net\./ }),
       'and its answers with it');

    # one that was killed leaves a socket that the next one takes over

    $s->signal('KILL');
    $s->wait(10);
    ok(-S $socket, 'killed: the socket is left');
    $s = sensor($dir, ['-d', $socket]);
    ok(poll_until(10, sub { $s->now }), 'the next one takes its place');

    my ($rc, undef, $err) = Sensor::sensor_run($dir, ['-d', $socket]);
    is($rc, 1, 'a second one does not');
    like($err, qr/dnstap\.sock: Address already in use/, 'the message');
    $s->stop;
    $unbound->stop;

    # Frame Streams recorded by their own program, read from its file

    my $capture = D4::Proc->start(['fstrm_capture', '-t',
                                   'protobuf:dnstap.Dnstap', '-u', $socket,
                                   '-w', "$dir/dnstap.fstrm"],
                                  out => "$dir/fstrm.log");
    poll_until(10, sub { -S $socket }) or die 'fstrm_capture: '
        . D4::Proc::slurp("$dir/fstrm.log");
    chmod(0666, $socket);
    $unbound = resolver($dir, $rport, $port, $socket, keys %zones);
    sleep(1.5);
    dig(@resolver, 'www.example.net', 'A');
    dig(@resolver, 'svc.example.net', 'HTTPS');
    sleep(1.5);
    $unbound->stop;
    $capture->stop('INT');

    my ($code, $out) = Sensor::sensor_run($dir, ['-r', "$dir/dnstap.fstrm"]);
    is($code, 0, 'a file of dnstap: exit code');
    my %names = map { $_->{name} => $_ } lines($out);
    ok($names{'www.example.net.'} && $names{'svc.example.net.'},
       'the lines of what was recorded');

    # cut off anywhere it is read as far as it goes

    my $bytes = D4::Proc::slurp("$dir/dnstap.fstrm");
    open(my $fh, '>:raw', "$dir/cut.fstrm") or die "cut: $!";
    print $fh substr($bytes, 0, length($bytes) * 2 / 3);
    close($fh);
    ($code, my $part) = Sensor::sensor_run($dir, ['-r', "$dir/cut.fstrm"]);
    is($code, 0, 'cut off: exit code');
    ok(length $part < length $out && index($out, $part) == 0,
       'the lines up to there');
}


# the group that may connect, and the user that it runs as

SKIP: {
    skip('only root can become somebody else', 4) if !$root;

    my $socket = "$dir/group.sock";
    my $s = sensor($dir, ['-d', $socket, '-g', 'daemon', '-u', 'nobody']);

    ok(poll_until(10, sub { $s->now }), '-d with -u and -g');
    my @stat = stat $socket;
    is($stat[4], scalar getpwnam('nobody'), 'the owner');
    is($stat[5], scalar getgrnam('daemon'), 'the group');
    is($s->stop, 0, 'exit code');
}

done_testing();

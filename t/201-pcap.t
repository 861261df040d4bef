# Captures end to end: tcpdump, dumpcap, softflowd and dnscap as they are, the
# real client over TLS, and the files read back by the tools themselves.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/client";

use Client ();
use D4::Consumer;
use D4::Dispatch;
use D4::Proc;
use D4::Test;
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

one_day();

plan(skip_all => 'this user may not capture') if $> != 0;

my $t = D4::Test->new(workers => 2, dispatch => {
    rotate_time => '1s' })->start;
my $metadata = $t->db('metadata');
my $queues = $t->db('queues');

# somebody listens, or every other datagram would be refused
my $sink = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1')
    or die;
my $port = $sink->sockport;
my $udp = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '127.0.0.1',
                                PeerPort => $port);

$metadata->cmd('SADD', 'server:accepted_type', 1, 4, 5, 7);

my %queue = map { $_ => queue_define($metadata, $_) } 1, 4, 5, 7;


# A registered sensor of the real client; its shell command.

sub client {
    my ($type, %file) = @_;

    my $uuid = new_uuid();

    $t->register($uuid, "key of $uuid");

    my $conf = Client::conf(uuid => $uuid, key => "key of $uuid",
                            type => $type,
                            destination => "localhost:$t->{port}",
                            'rootCA.crt' => $t->read_file('ca.crt'), %file);

    return ($uuid, "$t->{build}/d4 -c $conf");
}

sub files_of {
    my ($uuid, $type) = @_;

    return session_files($t->{data}, $uuid, $type, suffix($type));
}

sub output { return scalar qx($_[0]) }

# What tcpdump says of these files, one after the other.

sub dumped {
    my (@files) = @_;

    return join '', map {
        output(/\.gz$/ ? "zcat $_ | tcpdump -n -tt -x -r - 2>$t->{dir}/dump.err"
                       : "tcpdump -n -tt -x -r $_ 2>$t->{dir}/dump.err")
    } @files;
}

# The packets of a capture, while $pid is alive or until $n were sent.

sub traffic {
    my ($n, $pause) = @_;

    for (1 .. $n) {
        $udp->send(sprintf('datagram %06d ', $_) . 'x' x ($_ * 7919 % 900));
        sleep($pause) if $pause;
    }
}

# Files, their queue and what they hold after a session of type $type.

sub closed_files {
    my ($name, $uuid, $type, $least) = @_;

    drained($t, $name);

    my @files = files_of($uuid, $type);

    cmp_ok(scalar @files, '>=', $least, "$name: " . @files . ' files');
    is((grep { !/\.gz$/ } @files), 0, 'all compressed');

    my @paths = grep { m{/$uuid/} } queue_take($queues, $type, $queue{$type});

    is_deeply([ sort @paths ], [ map { "$t->{data}/$_" } sort @files ],
              'the queue has the absolute path of each, once');
    is((grep { !-r } @paths), 0, 'every one can be read');

    return map { "$t->{data}/$_" } @files;
}


# tcpdump on loopback through the client

for my $snaplen ('', 100) {
    my ($uuid, $d4) = client(1, $snaplen ? (snaplen => $snaplen) : ());
    my $sent = "$t->{dir}/sent$snaplen.cap";
    my $err = "$t->{dir}/tcpdump$snaplen.err";
    my $proc = D4::Proc->start([ 'sh', '-c',
        "tcpdump -i lo -n -U -c 300 -w - 'udp dst port $port' 2>$err"
        . " | tee $sent | $d4" ], out => "$t->{dir}/d4.out");

    ok(poll_until(10, sub { D4::Proc::slurp($err) =~ /listening/ }),
       'tcpdump captures');
    traffic(300, 0.02);                # some of it comes after a rotation

    my ($path) = poll_until(15, sub { ($queues->cmd('LINDEX',
        queue_list(1, $queue{1}), -1)) });

    ok($path && -e $path, 'a closed file is queued');
    ok($path && !-e $path =~ s/\.gz$//r, 'when the plain one is gone');
    ok($proc->wait_gone(20), 'and the client ends');

    my @files = closed_files("capture, snaplen '$snaplen'", $uuid, 1, 2);
    my $want = dumped($sent);

    is(() = $want =~ /^\d+\.\d+ IP /mg, 300, 'tcpdump has captured all');
    same_bytes(dumped(@files), $want, 'tcpdump -r reads the same packets');

    for (@files) {
        system("zcat $_ | tcpdump -n -r - >/dev/null 2>$t->{dir}/dump.err");
        is($?, 0, 'a capture by itself');
    }
}

# the same bytes cut at random, both byte orders, nanoseconds

my $capture = Client::slurp("$t->{dir}/sent.cap");

sub swapped {
    my ($cap) = @_;

    my $out = pack('N n n N4', unpack('V v v V4', $cap));
    my $at = 24;

    while ($at < length $cap) {
        my @h = unpack('V4', substr($cap, $at, 16));
        $out .= pack('N4', @h) . substr($cap, $at + 16, $h[2]);
        $at += 16 + $h[2];
    }

    return $out;
}

# Where the records of a capture begin.

sub borders {
    my ($cap) = @_;

    my ($at, @at) = (24);

    while ($at < length $cap) {
        push @at, $at;
        $at += 16 + unpack('V', substr($cap, $at + 8, 4));
    }

    return @at;
}

sub send_cut {
    my ($type, $bytes, %opt) = @_;

    my $s = $t->sensor(type => $type, %opt);
    my @frames;

    for (my $at = 0; $at < length $bytes; ) {
        my $n = $opt{size} // 1 + int(rand(2000));

        push @frames, substr($bytes, $at, $n);
        $at += $n;
    }

    $s->write(join '', map { $s->frame_of($_) } @frames) or die;
    $s->finish if !$opt{stay};

    return $s;
}

srand(1);

for my $case ([ 'big-endian', swapped($capture) ],
              [ 'nanoseconds', pack('V', 0xa1b23c4d) . substr($capture, 4) ],
              [ 'one-byte frames', substr($capture, 0, 24 + 3000), 1 ]) {
    my ($name, $bytes, $size) = @$case;
    my $s = send_cut(1, $bytes, $size ? (size => $size) : ());
    my $file = Client::file("$t->{dir}/case.cap", $bytes);
    my @files = closed_files($name, $s->{uuid}, 1, 1);

    same_bytes(dumped(@files), dumped($file), "$name: the same packets");
}


# what is no capture at all

{
    my $s = $t->sensor(type => 1);

    $s->send("this is a log line, not a capture\n" x 10);

    my $begin = time();
    ok($s->ended(30), sprintf('not a capture: cut off after %.2f s',
                              time() - $begin));
    like(poll_until(5, sub {
        $metadata->cmd('HGET', "metadata_uuid:$s->{uuid}", 'Error')
    }) // '',
         qr/^Error: Type=1, ./, 'the sensor shows why');
    is($t->wait_access($s->{uuid})->{status}, 'incorrect_type',
       'so does the access log');
    drained($t, 'not a capture');
    is_deeply([ tree("$t->{data}/$s->{uuid}") ], [], 'nothing is on disk');
    ok(poll_until(5, sub { ($metadata->cmd('HGET', 'd4:dispatch:' . today(),
                                           '1:rejected') // 0) == 1 }),
       'it is counted');

    # the same sensor may come again with a real one
    my $again = send_cut(1, $capture, uuid => $s->{uuid}, key => $s->{key});
    same_bytes(dumped(closed_files('afterwards', $s->{uuid}, 1, 1)),
               dumped("$t->{dir}/sent.cap"), 'afterwards: the same packets');
    is($metadata->cmd('HGET', "metadata_uuid:$s->{uuid}", 'Error') || undef,
       undef, 'and the sensor shows no error any more');
}


# a sensor that comes back in the middle of its capture sends no header

{
    my @at = borders($capture);
    my $half = $at[150] + 33;          # within a packet
    my $s = send_cut(1, substr($capture, 0, $half));
    my @first = closed_files('a torn capture', $s->{uuid}, 1, 1);

    send_cut(1, substr($capture, $half), uuid => $s->{uuid},
             key => $s->{key});
    drained($t, 'the rest of it');

    my $want = dumped("$t->{dir}/sent.cap");
    my @want = $want =~ /^(\d+\.\d+ IP .*\n(?:\t.*\n)*)/mg;
    my @got = dumped(map { "$t->{data}/$_" } files_of($s->{uuid}, 1))
        =~ /^(\d+\.\d+ IP .*\n(?:\t.*\n)*)/mg;

    splice(@want, 150, 1);
    is(scalar @got, scalar @want, 'all packets but the torn one');
    same_bytes(join('', @got), join('', @want), 'in their order');
}

# a record that cannot be

{
    my @at = borders($capture);
    my $bad = $capture;
    substr($bad, $at[100] + 8, 4) = pack('V', 0xfffffff0);

    my $s = send_cut(1, $bad);
    my @files = closed_files('a corrupt record', $s->{uuid}, 1, 1);
    my @want = dumped("$t->{dir}/sent.cap")
        =~ /^(\d+\.\d+ IP .*\n(?:\t.*\n)*)/mg;
    my @got = dumped(@files) =~ /^(\d+\.\d+ IP .*\n(?:\t.*\n)*)/mg;

    same_bytes(join('', @got[0 .. 99]), join('', @want[0 .. 99]),
               'a corrupt record: all before it');
    cmp_ok(scalar @got, '>=', 290, 'and most behind it: ' . @got);
    my %known = map { $_ => 1 } @want;
    is((grep { !$known{$_} } @got), 0, 'no packet that was not sent');
    ok(scalar $t->log_lines(qr/$s->{uuid}, type 1: /), 'it is logged');
    is($metadata->cmd('HGET', "metadata_uuid:$s->{uuid}", 'Error') || undef,
       undef, 'it is no error of the type');
}


# pcapng, as dumpcap writes it

SKIP: {
    skip('dumpcap is not installed', 1) if !-x '/usr/bin/dumpcap';

    my ($uuid, $d4) = client(5);
    my $sent = "$t->{dir}/sent.pcapng";
    my $err = "$t->{dir}/dumpcap.err";
    my $proc = D4::Proc->start([ 'sh', '-c',
        "dumpcap -q -i lo -n -c 200 -w - -f 'udp dst port $port' 2>$err"
        . " | tee $sent | $d4" ], out => "$t->{dir}/d4.out");

    ok(poll_until(10, sub { D4::Proc::slurp($err) =~ /Capturing|File:/ }),
       'dumpcap captures');
    sleep(0.5);
    traffic(200, 0.015);
    ok($proc->wait_gone(20), 'and ends') or $proc->stop;

    my @files = closed_files('pcapng', $uuid, 5, 2);

    same_bytes(dumped(@files), dumped($sent), 'pcapng: the same packets');

    # as type 1, which is what libpcap reads

    my $bytes = Client::slurp($sent);
    my $s = $t->sensor(type => 1);

    for my $part (unpack('(a' . int(length($bytes) / 3 + 1) . ')*', $bytes)) {
        $s->write($s->frame_of($part)) or die;
        sleep(1.5);
    }

    $s->finish;
    @files = closed_files('pcapng of type 1', $s->{uuid}, 1, 2);

    is((grep { !/\.cap\.gz$/ } @files), 0, 'pcapng of type 1: named .cap.gz');
    is((grep { file_content($_) !~ /^\n\r\r\n/ } @files), 0, 'each a pcapng');
    same_bytes(dumped(@files), dumped($sent), 'with the same packets');

    # the same sensor, with a tool that writes pcap, and back

    for my $next ($capture, $bytes) {
        my %known = map { $_ => 1 } files_of($s->{uuid}, 1);

        send_cut(1, $next, uuid => $s->{uuid}, key => $s->{key});
        drained($t, 'the other format');

        my @new = map { "$t->{data}/$_" }
            grep { !$known{$_} } files_of($s->{uuid}, 1);
        my $file = Client::file("$t->{dir}/other.cap", $next);

        same_bytes(dumped(@new), dumped($file), 'the other format, as well');
    }
}


# Has an IPFIX message nothing but templates?

sub only_templates {
    my ($message) = @_;

    my $at = 16;

    while ($at < length $message) {
        my ($id, $len) = unpack('n2', substr($message, $at, 4));

        return 0 if $id != 2 && $id != 3 || $len < 4;
        $at += $len;
    }

    return 1;
}

# IPFIX, as softflowd exports it

SKIP: {
    skip('softflowd is not installed', 1) if !-x '/usr/sbin/softflowd';

    my $in = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1');
    my $proc = D4::Proc->start([ '/usr/sbin/softflowd', '-d', '-v', 10, '-n',
                                 '127.0.0.1:' . $in->sockport, '-p',
                                 "$t->{dir}/sf.pid", '-c', "$t->{dir}/sf.ctl",
                                 '-r', "$t->{dir}/sent.cap" ],
                               out => "$t->{dir}/softflowd.out");
    my @messages;

    while (IO::Select->new($in)->can_read(@messages ? 1 : 10)) {
        $in->recv(my $message, 65536);
        push @messages, $message if length $message;
    }

    $proc->stop;
    ok(@messages, 'softflowd exports ' . @messages . ' messages');

    my $s = send_cut(7, join('', @messages), size => 50);
    my @files = closed_files('IPFIX', $s->{uuid}, 7, 1);

    # each file begins with the templates in force, in messages of their own

    my $got = '';

    for (@files) {
        my $bytes = file_content($_);

        while (length $bytes) {
            my $message = substr($bytes, 0, unpack('x2 n', $bytes), '');

            $got .= $message if !only_templates($message)
                || grep { $_ eq $message } @messages;
        }
    }

    same_bytes($got, join('', @messages), 'IPFIX: the same messages');
}


# dnscap, of queries in a capture

SKIP: {
    skip('dnscap is not installed', 1) if !-x '/usr/bin/dnscap';

    my $err = "$t->{dir}/dns.err";
    my $proc = D4::Proc->start([ 'tcpdump', '-i', 'lo', '-n', '-U', '-c', 50,
                                 '-w', "$t->{dir}/dns.cap", "udp dst port $port" ],
                               out => $err);

    poll_until(10, sub { D4::Proc::slurp($err) =~ /listening/ });
    $udp->send(pack('n6', $_, 0x100, 1, 0, 0, 0)
               . pack('C/a C/a x n2', "host$_", 'test', 1, 1)) for 1 .. 50;
    $proc->wait_gone(10);

    my $text = output("dnscap -g -N -r $t->{dir}/dns.cap -u $port 2>&1");
    my @records = split /(?=^\[)/m, $text;

    is(scalar @records, 50, 'dnscap writes 50 records');

    my ($uuid, $d4) = client(4, snaplen => 100);
    Client::file("$t->{dir}/dnscap.txt", $text);
    system("$d4 < $t->{dir}/dnscap.txt");
    drained($t, 'dnscap');

    my @files = files_of($uuid, 4);
    my $got = files_content($t->{data}, @files);

    same_bytes($got, $text, 'dnscap: the same text');

    my @got = queue_take($queues, 4, $queue{4});

    is(scalar @got, 50, 'each record is an element');
    is(join('', map { s/\n+\z//r } @got),
       join('', map { s/\n+\z//r } @records), 'in their order');
}

$t->finish;
done_testing();

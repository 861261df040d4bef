# The decoders of types 1, 5 and 7 and what real tools write and read: captures
# of traffic on loopback by tcpdump and dumpcap, flows by softflowd.  Whatever
# the pieces and the sizes of the files, each file is one that its own tool
# takes, and all of them together hold what the original does, in its order.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Proc;
use D4::Test;
use File::Temp ();
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep);

alarm(600);

plan(skip_all => 'this user may not capture') if $> != 0;

my $decode = "$FindBin::Bin/../build/t/d4decode";
my $dir = File::Temp::tempdir('d4dec-XXXXXX', TMPDIR => 1,
                              CLEANUP => !$ENV{D4_KEEP});
my $runs = 0;

# what is sent to them, and nothing else on this machine
my $tcp = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1')
    or die "listen: $!";
my $udp = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1')
    or die "udp: $!";
my $filter = 'port ' . $tcp->sockport . ' or port ' . $udp->sockport;


sub slurp { return D4::Proc::slurp($_[0]) }

sub write_file {
    my ($name, $text) = @_;

    open(my $fh, '>', "$dir/$name") or die "$name: $!";
    binmode($fh);
    print $fh $text;
    close($fh) or die "$name: $!";

    return "$dir/$name";
}

sub output {
    my (@argv) = @_;

    open(my $pipe, '-|', join(' ', map { quotemeta } @argv)
         . " 2>>$dir/errors </dev/null") or die "$argv[0]: $!";
    local $/;
    my $text = <$pipe> // '';
    my $ok = close($pipe);

    return wantarray ? ($text, $ok) : $text;
}

sub datagrams {
    my ($n) = @_;

    my $s = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '127.0.0.1',
                                  PeerPort => $udp->sockport) or die;

    for my $i (1 .. $n) {
        $s->send(pack('N', $i) x (1 + $i * 37 % 350));
        $udp->recv(my $got, 65536);
    }
}

sub connections {
    my ($n) = @_;

    for my $i (1 .. $n) {
        my $c = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                      PeerPort => $tcp->sockport) or die;
        my $s = $tcp->accept or die;

        syswrite($c, "request $i " . 'x' x ($i * 97 % 5000));
        sysread($s, my $got, 65536);
        syswrite($s, "answer $i " . 'y' x ($i * 331 % 9000));
        sysread($c, $got, 65536);
    }
}


# capture(NAME, ARGV): a file of traffic that this tool saw

sub capture {
    my ($name, @argv) = @_;

    my $proc = D4::Proc->start([@argv, '-w', "$dir/$name"],
                               out => "$dir/$name.out");

    poll_until(30, sub {
        datagrams(1);
        return slurp("$dir/$name.out") =~ /listening on|File: /
               || !$proc->alive;
    }) or die "$argv[0]: " . slurp("$dir/$name.out");

    return if !$proc->alive;

    for (1 .. 5) {
        connections(8);
        datagrams(60);
    }

    my $size = 0;

    poll_until(30, sub {
        my $now = -s "$dir/$name" || 0;
        my $still = $now > 1000 && $now == $size;

        $size = $now;
        return $still;
    }, 0.3);

    $proc->stop('INT');

    return "$dir/$name";
}


# decode(TYPE, FILE, PIECE, SIZES, PREAMBLE): what it said, and the files

sub decode {
    my ($type, $file, $piece, $sizes, $preamble) = @_;

    my $prefix = "$dir/part" . $runs++;
    my $argv = "$type $piece $prefix $sizes " . ($preamble // '');
    my $said = qx($decode $argv <$file);

    is($?, 0, "d4decode of type $type");

    return ($said, glob("$prefix.[0-9][0-9][0-9]"));
}

sub packets {
    my (@files) = @_;

    my @lines;

    for my $file (@files) {
        my ($text, $ok) = output('tcpdump', '-S', '-n', '-e', '-tt',
                                 '--time-stamp-precision=nano', '-r', $file);

        return ("tcpdump does not take $file") if !$ok;
        push @lines, split(/\n/, $text);
    }

    return @lines;
}

# What tcpdump said of a file besides its packets.

sub complaints {
    my @said = grep { !/^reading from file/ }
                    split(/\n/, slurp("$dir/errors"));

    unlink("$dir/errors");

    return join("\n", @said);
}

sub same {
    my ($got, $right, $name) = @_;

    my $where = 0;

    $where++ while $where < @$got && $where < @$right
                   && $got->[$where] eq $right->[$where];

    ok(@$got == @$right && $where == @$right, $name)
        or diag(scalar(@$got) . " of " . @$right . ", differ at $where: ",
                $got->[$where] // 'nothing', ' / ',
                $right->[$where] // 'nothing');
}


# pcap: micro- and nanoseconds as tcpdump writes them, and the other byte order

sub swapped {
    my ($pcap) = @_;

    my $big = pack('N n2 N4', unpack('V v2 V4', $pcap));

    for (my $at = 24; $at < length $pcap; ) {
        my @head = unpack('V4', substr($pcap, $at, 16));

        $big .= pack('N4', @head) . substr($pcap, $at + 16, $head[2]);
        $at += 16 + $head[2];
    }

    return $big;
}

my $micro = capture('micro', 'tcpdump', '-i', 'lo', '-n', '-U', '-Z', 'root',
                    $filter);

if (!defined $micro) {
    my $why = slurp("$dir/micro.out");

    plan(skip_all => "captures are not possible here: $why")
        if $why =~ /permi|Operation not/i;
    die $why;
}

my $nano = capture('nano', 'tcpdump', '-i', 'lo', '-n', '-U', '-Z', 'root',
                   '--time-stamp-precision=nano', '-s', '100', $filter);

my %pcap = (
    'microseconds' => $micro,
    'nanoseconds' => $nano,
    'microseconds, swapped' => write_file('micro.big', swapped(slurp($micro))),
    'nanoseconds, swapped' => write_file('nano.big', swapped(slurp($nano))),
);

for my $name (sort keys %pcap) {
    my @packets = packets($pcap{$name});
    my $bytes = slurp($pcap{$name});

    is(complaints(), '', "$name: tcpdump reads its own");
    cmp_ok(scalar @packets, '>', 500, "$name: packets");

    my $third = int(length($bytes) / 3);

    for ([1, $third], [62, '1,3000,500'], [4096, "$third,1000"],
         [65536, 1000], [1 << 20, 1000000])
    {
        my ($piece, $sizes) = @$_;
        my $n = "$name, pieces of $piece";
        my ($said, @files) = decode(1, $pcap{$name}, $piece, $sizes);

        is($said, '', "$n: nothing skipped");
        cmp_ok(scalar @files, '>', $piece < 1 << 20 ? 1 : 0,
               "$n: " . @files . ' files');
        ok(join('', map { substr(slurp($_), 24) } @files)
           eq substr($bytes, 24), "$n: all bytes");
        ok(!(grep { substr(slurp($_), 0, 24) ne substr($bytes, 0, 24) }
             @files), "$n: each begins with the header");

        # a process each: not of hundreds

        next if @files > 10;

        same([packets(@files)], \@packets, "$n: all packets, in order");
        is(complaints(), '', "$n: no complaints");
    }
}


# captures that were joined

{
    my $joined = write_file('joined', join('', map { slurp($pcap{$_}) }
        'microseconds', 'nanoseconds, swapped', 'microseconds',
        'microseconds', 'nanoseconds'));

    my ($said, @files) = decode(1, $joined, 4096, '100000');

    is($said, '', 'joined: nothing skipped');
    same([packets(@files)],
         [map { packets($pcap{$_}) } 'microseconds', 'nanoseconds, swapped',
          'microseconds', 'microseconds', 'nanoseconds'],
         'joined: all packets, in order');
    is(complaints(), '', 'joined: no complaints');
}


# Where something is wrong, the rest is read: how many packets of @$right are
# missing in @$got, whose others have to be in order.

sub missing {
    my ($got, $right) = @_;

    my $at = 0;
    my $missing = 0;

    for my $line (@$right) {
        if ($at < @$got && $got->[$at] eq $line) {
            $at++;

        } else {
            $missing++;
        }
    }

    return $at == @$got ? $missing : "not those: $got->[$at]";
}

# The first border of a pcap, pcapng or IPFIX file behind $at.

sub border {
    my ($type, $bytes, $at) = @_;

    my $u32 = ord($bytes) == 0xa1 ? 'N' : 'V';
    my $pos = $type == 1 ? 24 : 0;

    while ($pos < $at) {
        $pos += $type == 1 ? 16 + unpack($u32, substr($bytes, $pos + 8, 4))
              : $type == 5 ? unpack('V', substr($bytes, $pos + 4, 4))
              : unpack('n', substr($bytes, $pos + 2, 2));
    }

    return $pos;
}

sub damaged {
    my ($bytes, $how) = @_;

    for my $at (map { border(1, $bytes, $_ * int(length($bytes) / 6)) }
                    4, 3, 2, 1)
    {
        if ($how eq 'overwritten') {
            substr($bytes, $at, 300) = "\xff" x 300;

        } elsif ($how eq 'zeros') {
            substr($bytes, $at, 3000) = "\0" x 3000;

        } elsif ($how eq 'cut out') {
            substr($bytes, $at + 7, 400) = '';

        } else {
            substr($bytes, $at, 0) = join('', map { chr($_ * 71 % 256) }
                                              1 .. 70000);
        }
    }

    return $bytes;
}

for my $name (sort keys %pcap) {
    my @packets = packets($pcap{$name});

    for my $how ('overwritten', 'zeros', 'cut out', 'put in') {
        my $file = write_file('damaged', damaged(slurp($pcap{$name}), $how));
        my ($said, @files) = decode(1, $file, 1000, 1000000);
        my @left = packets(@files);
        my $n = "$name, $how";

        like($said, qr/^skip \d+ corrupt record$/m, "$n: is reported")
            or diag("$n: $said");
        is(complaints(), '', "$n: each file is taken");

        # what was only moved along is the content of a packet that was torn

        my $all = join("\n", @packets);
        my @torn = grep { index($all, $_) < 0 } @left;
        my $of = join("\n", @torn);

        cmp_ok(scalar @torn, '<=', 20, "$n: " . @torn . ' torn packets');

        # and what follows a header whose length was torn may be within its
        # packet, by chance few or many

        my ($others, $whole) = map { [ grep { index($of, $_) < 0 } @$_ ] }
            \@left, \@packets;
        my $missing = missing($others, $whole);

        cmp_ok($missing, '<=', $how eq 'zeros' ? 200 : 100,
               "$n: the others are there, but for $missing");
    }
}


# a session that begins in the middle of another one's capture

for my $name (sort keys %pcap) {
    my $bytes = slurp($pcap{$name});
    my @packets = packets($pcap{$name});

    for my $part (2.1, 3.7) {
        my $at = int(length($bytes) / $part);
        my ($said, @first) = decode(1, write_file('half',
                                                  substr($bytes, 0, $at)),
                                    777, '50000');
        my $left = "$dir/part" . ($runs - 1) . '.preamble';

        like($said, qr/\A(skip \d+ truncated record\n)?\z/,
             "$name, resumed: the last record");

        ($said, my @second) = decode(1, write_file('half',
                                                   substr($bytes, $at)),
                                     777, '50000', $left);

        like($said, qr/\A(skip \d+ before the first border.*\n)?\z/,
             "$name, resumed: the first");
        cmp_ok(missing([packets(@first, @second)], \@packets), '<=', 1,
               "$name, resumed: all others, in order");
        is(complaints(), '', "$name, resumed: no complaints");

        # the same client begins with the header again

        ($said, @second) = decode(1, $pcap{$name}, 4096, '1000000', $left);
        is($said, '', "$name, from the start: nothing skipped");
        same([packets(@second)], \@packets, "$name, from the start: all");
    }
}

unlink("$dir/errors");


# pcapng

sub ng_packets {
    my (@files) = @_;

    my @lines;

    for my $file (@files) {
        my ($text, $ok) = output('tshark', '-n', '-r', $file, '-o',
                                 'frame.generate_md5_hash:TRUE', '-T',
                                 'fields', map { ('-e', "frame.$_") }
                                 qw(time_epoch interface_name len cap_len
                                    md5_hash));

        return ("tshark does not take $file") if !$ok;
        push @lines, split(/\n/, $text);
    }

    return @lines;
}

# What capinfos counts, all of it at once; it fails at the first that is not
# sound.

sub ng_count {
    my (@files) = @_;

    my ($text, $ok) = output('capinfos', '-c', '-M', '-T', '-r', @files);
    my $sum = 0;

    return 'capinfos: ' . slurp("$dir/errors") if !$ok;

    $sum += $1 while $text =~ /\t(\d+)$/mg;

    return $sum;
}

my $ng = capture('ng', 'dumpcap', '-q', '-f', $filter, '-i', 'lo');
my $two = capture('two', 'dumpcap', '-q', '-f', $filter, '-i', 'lo', '-i',
                  'any');

for (['one interface', $ng], ['two interfaces', $two]) {
    my ($name, $file) = @$_;
    my @packets = ng_packets($file);

    cmp_ok(scalar @packets, '>', 500, "$name: packets");

    for ([62, '1,3000,500'], [4096, '100000,200000'], [1 << 20, '1000000'])
    {
        my ($piece, $sizes) = @$_;
        my $n = "$name, pieces of $piece";
        my ($said, @files) = decode(5, $file, $piece, $sizes);

        is($said, '', "$n: nothing skipped");
        cmp_ok(scalar @files, '>', $piece < 1 << 20 ? 2 : 0,
               "$n: " . @files . ' files');
        is(ng_count(@files), scalar @packets, "$n: each file is sound");

        next if @files > 10;

        same([ng_packets(@files)], \@packets, "$n: all packets, in order");
    }

    my $bytes = slurp($file);
    my $at = int(length($bytes) / 2.3);
    my ($said, @first) = decode(5, write_file('half', substr($bytes, 0, $at)),
                                777, '1000000');

    ($said, my @second) = decode(5, write_file('half', substr($bytes, $at)),
                                 777, '1000000',
                                 "$dir/part" . ($runs - 1) . '.preamble');

    like($said, qr/\A(skip \d+ before the first border.*\n)?\z/,
         "$name, resumed: the first");
    cmp_ok(missing([ng_packets(@first, @second)], \@packets), '<=', 1,
           "$name, resumed: all others, in order");

    $at = border(5, $bytes, $at);
    substr($bytes, $at, 300) = "\xff" x 300;
    ($said, @first) = decode(5, write_file('damaged', $bytes), 4096,
                              '1000000');
    like($said, qr/\Askip \d+ corrupt record$/m, "$name: damage is reported");
    cmp_ok(missing([ng_packets(@first)], \@packets), '<=', 10,
           "$name, damaged: all others, in order");
}

{
    my ($said, @files) = decode(5, write_file('joined', slurp($ng)
                                              . slurp($two)), 4096, '1000000');

    is($said, '', 'joined: nothing skipped');
    same([ng_packets(@files)], [ng_packets($ng), ng_packets($two)],
         'joined: all packets, in order');
}


# IPFIX: softflowd reads a capture and exports it to us

sub export {
    my ($version, $file) = @_;

    my $sink = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1')
        or die;

    setsockopt($sink, SOL_SOCKET, SO_RCVBUF, pack('i', 4 << 20));

    my $softflowd = (grep { -x } '/usr/sbin/softflowd')[0] // 'softflowd';
    # no control socket: it may wait for ever for somebody to connect there
    my $proc = D4::Proc->start([ $softflowd, '-d', '-v', $version, '-n',
                                 '127.0.0.1:' . $sink->sockport, '-r', $file,
                                 '-p', "$dir/flow.pid", '-c', 'none' ],
                               out => "$dir/flow.out");

    $proc->wait_gone(60) or die 'softflowd: ' . slurp("$dir/flow.out");

    my $all = '';

    $sink->blocking(0);
    $all .= $_ while defined $sink->recv($_, 65536);

    return $all;
}

# Data records as text: what a collector would have stored.

sub flows {
    my (@files) = @_;

    my @lines;

    for my $file (@files) {
        my ($text, $ok) = output('ipfixDump', '--data', '--in', $file);

        return ("ipfixDump does not take $file") if !$ok;

        push @lines, join('', $1 =~ /^\t\(\d+\).*\n/mg)
            while $text =~ /^--- data record \d+ ---\n(.*?)(?=^---|\z)/msg;
    }

    return @lines;
}

{
    # flows that differ, so that there are many messages

    my $many = capture('many', 'tcpdump', '-i', 'lo', '-n', '-U', '-Z', 'root',
                       'udp and ' . $filter);
    my $pcap = slurp($many);
    my $packet = substr($pcap, 24, 16 + unpack('V', substr($pcap, 32, 4)));

    for my $i (1 .. 3000) {
        my $copy = $packet;

        substr($copy, 16 + 14 + 20, 2) = pack('n', 1000 + $i);
        $pcap .= $copy;
    }

    my $export = export(10, write_file('flows.pcap', $pcap));
    my $file = write_file('flows', $export);
    my @flows = flows($file);

    cmp_ok(length $export, '>', 100000, 'softflowd has exported');
    cmp_ok(scalar @flows, '>', 3000, scalar(@flows) . ' flows');

    for ([1, '40000'], [1500, '1,20000,5000'], [65536, '1000'],
         [1 << 20, '1000000'])
    {
        my ($piece, $sizes) = @$_;
        my $n = "IPFIX, pieces of $piece";
        my ($said, @files) = decode(7, $file, $piece, $sizes);

        is($said, '', "$n: nothing skipped");
        cmp_ok(scalar @files, '>', $piece < 1 << 20 ? 1 : 0,
               "$n: " . @files . ' files');
        same([flows(@files)], \@flows, "$n: all flows, in order");

        my (undef, $ok) = output('capinfos', '-c', @files);
        ok($ok, "$n: capinfos takes each file");
    }

    my $at = int(length($export) / 2);
    my ($said, @first) = decode(7, write_file('half', substr($export, 0, $at)),
                                777, '50000');

    ($said, my @second) = decode(7, write_file('half', substr($export, $at)),
                                 777, '50000',
                                 "$dir/part" . ($runs - 1) . '.preamble');

    like($said, qr/\A(skip \d+ before the first border.*\n)?\z/,
         'IPFIX, resumed: the first');
    my $lost = missing([flows(@first, @second)], \@flows);
    cmp_ok($lost, '<=', 40, "IPFIX, resumed: all but a message, $lost flows");

    $at = border(7, $export, $at);
    substr($export, $at, 100) = "\xff" x 100;
    ($said, @first) = decode(7, write_file('damaged', $export), 4096, '50000');
    like($said, qr/\Askip \d+ corrupt record$/m, 'IPFIX: damage is reported');
    $lost = missing([flows(@first)], \@flows);
    cmp_ok($lost, '<=', 80, "IPFIX, damaged: all but two messages, $lost");

    # NetFlow of another version

    my ($other) = decode(7, write_file('v9', export(9, "$dir/flows.pcap")),
                         4096, '50000');
    is($other, "reject not IPFIX\n", 'NetFlow 9 is another type');
}


# what is of another type

for ([1, "$dir/flows", 'reject not pcap'], [5, $micro, 'reject not pcapng'],
     [7, $micro, 'reject not IPFIX'], [5, "$dir/flows", 'reject not pcapng'])
{
    my ($type, $file, $right) = @$_;
    my ($said, @files) = decode($type, $file, 1000, '10000');

    is($said, "$right\n", "$right");
    is(scalar @files, 0, "$right: no file");
}

done_testing();

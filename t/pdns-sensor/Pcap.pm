package Pcap;

# Captures: read, taken apart and put together again in other ways.

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(read_pcap write_pcap ip_packets link_frame fragments
                 tcp_streams tcp_packets udp_packet resegment shuffled);

my %LINK = (ethernet => 1, vlan => 1, qinq => 1, raw => 101, sll => 113,
            sll2 => 276, null => 0, loop => 108);


# The link type, and the packets: [seconds, microseconds, bytes].

sub read_pcap {
    my ($name) = @_;

    open(my $fh, '<:raw', $name) or die "$name: $!";
    local $/;
    my $bytes = <$fh>;

    my ($magic, $link) = unpack('V x16 V', $bytes);
    die "$name: no capture of this machine" if $magic != 0xa1b2c3d4;

    my @packets;
    my $off = 24;

    while ($off + 16 <= length $bytes) {
        my ($sec, $usec, $len) = unpack('V3', substr($bytes, $off, 12));
        push @packets, [$sec, $usec, substr($bytes, $off + 16, $len)];
        $off += 16 + $len;
    }

    return ($link, \@packets);
}


# The packets may have a fourth element, their length when they were not cut.

sub write_pcap {
    my ($name, $kind, $packets) = @_;

    open(my $fh, '>:raw', $name) or die "$name: $!";

    print $fh pack('V v v V V V V', 0xa1b2c3d4, 2, 4, 0, 0, 262144,
                   $LINK{$kind} // die $kind);

    for my $p (@$packets) {
        print $fh pack('V4', $p->[0], $p->[1], length $p->[2],
                       $p->[3] // length $p->[2]), $p->[2];
    }

    close($fh) or die "$name: $!";

    return $name;
}


# Of frames from Ethernet: the IP packets.

sub ip_packets {
    my ($packets) = @_;

    return [map { [$_->[0], $_->[1], substr($_->[2], 14)] }
                grep { unpack('x12 n', $_->[2]) =~ /^(?:2048|34525)$/ }
                @$packets];
}


# An IP packet in a frame of another link layer.

sub link_frame {
    my ($kind, $ip) = @_;

    my $six = unpack('C', $ip) >> 4 == 6;
    my $type = pack('n', $six ? 0x86dd : 0x0800);
    my $mac = "\2\0\0\0\0\1\2\0\0\0\0\2";

    return $mac . $type . $ip if $kind eq 'ethernet';
    return $mac . pack('n2', 0x8100, 100) . $type . $ip if $kind eq 'vlan';
    return $mac . pack('n4', 0x88a8, 100, 0x8100, 0x2065) . $type . $ip
        if $kind eq 'qinq';
    return $ip if $kind eq 'raw';
    return pack('n3 a6 x2', 0, 1, 6, $mac) . $type . $ip if $kind eq 'sll';
    return $type . pack('x2 N n C2 a8', 1, 1, 0, 6, $mac) . $ip
        if $kind eq 'sll2';
    return pack('V', $six ? 30 : 2) . $ip if $kind eq 'null';
    return pack('N', $six ? 24 : 2) . $ip if $kind eq 'loop';

    die $kind;
}


# An IP packet in fragments of so many bytes (a multiple of eight).

my $id = 1000;

sub fragments {
    my ($ip, $size) = @_;

    my $six = unpack('C', $ip) >> 4 == 6;
    my $head = $six ? 40 : (unpack('C', $ip) & 15) * 4;
    my $len = $six ? unpack('x4 n', $ip) : unpack('x2 n', $ip) - $head;
    my $data = substr($ip, $head, $len);
    my @out;

    $id++;

    for (my $off = 0; $off < $len; $off += $size) {
        my $part = substr($data, $off, $size);
        my $more = $off + $size < $len ? 1 : 0;
        my $h = substr($ip, 0, $head);

        if ($six) {
            $part = pack('C2 n N', unpack('x6 C', $ip), 0, $off | $more, $id)
                    . $part;
            substr($h, 4, 2) = pack('n', length $part);
            substr($h, 6, 1) = pack('C', 44);

        } else {
            substr($h, 2, 2) = pack('n', $head + length $part);
            substr($h, 4, 4) = pack('n2', $id, $off / 8 | $more << 13);
        }

        push @out, $h . $part;
    }

    return @out;
}


# A packet's transport: protocol, offset of its header, offset of its data.

sub transport {
    my ($ip) = @_;

    my $six = unpack('C', $ip) >> 4 == 6;
    my $head = $six ? 40 : (unpack('C', $ip) & 15) * 4;
    my $proto = unpack($six ? 'x6 C' : 'x9 C', $ip);
    my $data = $head + ($proto == 6 ? (unpack("x$head x12 C", $ip) >> 4) * 4
                                    : 8);

    return ($proto, $head, $data);
}


# Those packets of TCP that come from a port.

sub tcp_packets {
    my ($packets, $port) = @_;

    return [grep {
        my ($proto, $head) = transport($_->[2]);
        $proto == 6 && unpack("x$head n", $_->[2]) == $port;
    } @$packets];
}


# What a server's port has sent over TCP: a list of { head (of IP and TCP, as
# the SYN has it), time, seq (of the first byte), data }.

sub tcp_streams {
    my ($packets, $port) = @_;

    my (%stream, @order);

    for my $p (@{ tcp_packets($packets, $port) }) {
        my ($proto, $head, $off) = transport($p->[2]);
        my ($to, $seq) = unpack("x$head x2 n N", $p->[2]);
        my $flags = unpack("x$head x13 C", $p->[2]);
        my @addresses = $head == 40 ? (8, 32) : (12, 8);
        my $key = substr($p->[2], $addresses[0], $addresses[1]) . $to;

        if ($flags & 2) {
            $stream{$key} = { head => substr($p->[2], 0, $head + 20),
                              at => $head, time => $p->[0], data => '',
                              seq => ($seq + 1) & 0xffffffff };
            push @order, $stream{$key};
            next;
        }

        my $s = $stream{$key} or next;
        my $data = substr($p->[2], $off);
        my $at = ($seq - $s->{seq}) & 0xffffffff;

        if ($at <= length $s->{data}) {
            substr($s->{data}, $at) = $data if length $data;
        }
    }

    return @order;
}


# A packet of a stream: its flags, where in the stream, which bytes.

sub stream_packet {
    my ($s, $flags, $at, $data) = @_;

    my $ip = $s->{head};
    my $head = $s->{at};

    if ($head == 40) {
        substr($ip, 4, 2) = pack('n', 20 + length $data);

    } else {
        substr($ip, 2, 2) = pack('n', $head + 20 + length $data);
    }

    substr($ip, $head + 4, 4) = pack('N', ($s->{seq} + $at) & 0xffffffff);
    substr($ip, $head + 12, 2) = pack('C2', 0x50, $flags);

    return [$s->{time}, 0, $ip . $data];
}


# A stream in segments of so many bytes: SYN, the segments, FIN.

sub resegment {
    my ($s, $size) = @_;

    my @out = (stream_packet($s, 0x12, -1, ''));
    my $len = length $s->{data};

    for (my $at = 0; $at < $len; $at += $size) {
        push @out, stream_packet($s, 0x18, $at,
                                 substr($s->{data}, $at, $size));
    }

    return (@out, stream_packet($s, 0x11, $len, ''));
}


# A UDP packet from 198.51.100.1 with the content given.

sub udp_packet {
    my ($port, $content, %opt) = @_;

    my $udp = pack('n4', $port, $opt{to} // 4000, 8 + length $content, 0)
              . $content;

    return pack('C2 n3 C2 n a4 a4', 0x45, 0, 20 + length $udp, 1, 0, 64, 17, 0,
                "\306\63\144\1", $opt{client} // "\300\0\2\7") . $udp;
}


# In another order, the same one every time.

sub shuffled {
    my @list = @_;
    my $n = 1;

    for my $i (reverse 1 .. $#list) {
        $n = ($n * 1103515245 + 12345) & 0x7fffffff;
        my $j = ($n >> 8) % ($i + 1);
        @list[$i, $j] = @list[$j, $i];
    }

    return @list;
}

1;

package D4::Port;

# Ports of the loopback addresses for servers that start in a moment.  None
# lies where the kernel takes the ports of outgoing connections from (from
# 32768 on), so that no client of another test can get it in between or while
# a server restarts; and each process has a hundred of its own, held by a UDP
# socket on the first.  A port 10000 further on, which a Redis cluster needs,
# is as free.

use strict;
use warnings;

use Exporter ();
use IO::Socket::IP;

our @ISA = 'Exporter';
our @EXPORT_OK = qw(free_port);

use constant {
    FIRST => 11_000,
    SIZE => 100,
    BLOCKS => 100,
    BUS => 10_000,
};

my ($owner, $hold, $base, $next);


sub bound {
    my ($addr, $port, $proto) = @_;

    return IO::Socket::IP->new(LocalHost => $addr, LocalPort => $port,
                               Proto => $proto,
                               $proto eq 'tcp' ? (Listen => 1) : ());
}


sub take_block {
    my $first = int rand BLOCKS;

    for my $n (0 .. BLOCKS - 1) {
        $base = FIRST + SIZE * (($first + $n) % BLOCKS);
        $hold = bound('127.0.0.1', $base, 'udp') or next;

        ($owner, $next) = ($$, 1);
        return;
    }

    die 'all blocks of ports are taken';
}


# free_port(): one that nobody has, over TCP and UDP, IPv4 and IPv6.

sub free_port {
    take_block() if !$owner || $owner != $$;

    for (1 .. SIZE) {
        my $port = $base + $next;

        $next = $next % (SIZE - 1) + 1;

        my @socks = map { bound(@$_) } ['127.0.0.1', $port, 'tcp'],
            ['127.0.0.1', $port, 'udp'], ['127.0.0.1', $port + BUS, 'tcp'],
            ['::1', $port, 'tcp'], ['::1', $port, 'udp'];

        return $port if @socks == 5;
    }

    die "no free port from $base on";
}


1;

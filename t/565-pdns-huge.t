# Passive DNS: a key with very many records (LONG=1: a million) is paged from
# its newest to its oldest while records arrive: nothing is missing, nothing
# comes twice, a page costs what is on it, and memory stays what it was.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Proc;
use D4::Test;
use Test::More;

my $N = LONG ? 1_000_000 : 20_000;
my $PAGE = LONG ? 5000 : 500;
my $T = 1500000000;

my $t = D4::Pdns->new(lookup => 1, workers => 2,
                      http => 'pdns_flush 20ms; pdns_buffer 4m;')->start;

sub body {
    return join '', map { "$_\n" } @_;
}

# so many names for one address, thousands of them in the same second

for (my $i = 0; $i < $N; $i += 20_000) {
    my $r = $t->post('/ingest', body(map {
        D4::Pdns::line($T + int($_ / 2500), "n$_.huge.example", 'A',
                       '192.0.2.1')
    } $i .. $i + 19_999));

    die "$r->{status} $r->{content}" if $r->{status} != 200;
}

is($t->store->cmd('ZCARD', "R:{c000}\x02\x01"), $N, 'they are in one key');

sub memory {
    my $max = 0;

    for my $pid ($t->workers) {
        my ($kb) = D4::Proc::slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m;
        $max = $kb if $kb > $max;
    }

    return $max / 1024;
}

sub sent {
    return ($t->store->cmd('INFO', 'stats')
            =~ /^total_net_output_bytes:(\d+)/m)[0];
}

# one page, as PyPDNS asks for it or by the text of the place

my ($got, $most);

sub page {
    my ($numbers, $cursor) = @_;

    my $before = sent();

    my %h = ('dribble-paginate-count' => $PAGE);
    $h{'dribble-paginate-cursor'} = $cursor if defined $cursor;

    my $r = $t->get('/query/192.0.2.1', %h);

    die "$r->{status} $r->{content}" if $r->{status} != 200;

    my @names = $r->{content} =~ /"rrname":"([^"]+)"/g;

    my $bytes = sent() - $before;
    $most = $bytes if $bytes > $most;
    $got = \@names;

    return $r->{headers}{$numbers ? 'x-dribble-cursor'
                                        : 'x-pdns-cursor'};
}

for my $numbers (0, 1) {
    my ($cursor, %seen, %again, $pages, $other);

    $most = 0;
    page($numbers) for 1 .. 3;

    my $memory = memory();

    for (;;) {
        $cursor = page($numbers, $cursor);
        $seen{$_}++ for @$got;
        $pages++;

        last if !defined $cursor;

        # new ones, and some that are there come again

        my $now = $T + 1_000_000 + 10_000 * $numbers + $pages;
        my $moved = "n@{[ $pages * 17 ]}.huge.example";

        $again{$moved} = 1;
        $t->ingest(D4::Pdns::line($now, "fresh$numbers-$pages.example", 'A',
                                  '192.0.2.1'),
                   D4::Pdns::line($now, $moved, 'A', '192.0.2.1'));

        # nobody else has to wait for it

        $other++ if 1 == $t->rows("/query/n5.huge.example");
    }

    my $how = $numbers ? 'by numbers' : 'by texts';

    is_deeply([ grep { $seen{$_} > 1 } keys %seen ], [],
              "$how: nothing comes twice");
    is(scalar(grep { !$seen{"n$_.huge.example"}
                     && !$again{"n$_.huge.example"} } 0 .. $N - 1), 0,
       "$how: nothing is missing");
    cmp_ok($pages, '>=', $N / $PAGE, "$how: all of it in pages");
    is($other, $pages - 1, "$how: others are answered between them");

    # far less than the key: its members are read in pieces

    cmp_ok($most, '<', $N > 100_000 ? 2_500_000 : 400_000,
           "$how: a page costs what is on it");

    # the sanitizer keeps 256 MB of what was freed

    cmp_ok(memory() - $memory, '<', ASAN ? 48 + 256 : 48,
           "$how: memory stays what it was");
}

# all at once, as far as one answer goes

my ($rest, %names, $twice) = ('');
my $r = $t->{ua}->get("$t->{url}/lookup/rdata/ip/192.0.2.1?limit=0", {
    data_callback => sub {
        $rest .= $_[0];
        $twice += $names{$1}++ while $rest =~ s/^[^\n]*"rrname":"([^"]+)".*\n//;
    }
});

my $all = $t->store->cmd('ZCARD', "R:{c000}\x02\x01");

is($r->{status}, 200, 'one answer');
is(scalar keys %names, $all < 1_000_000 ? $all : 1_000_000, 'with all of it');
is($twice, 0, 'once');

$t->finish;
done_testing();

# Passive DNS: everything out, and in again somewhere else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use Test::More;

my $t = D4::Pdns->new(lookup => 1, location => 'pdns_export on;')->start;
my $other = D4::Pdns->new(lookup => 1)->start;

sub line { return D4::Pdns::line(@_) }

$t->ingest(map { line(1500000000 + $_, 'n' . $_ % 3000 . ".example$_.com.",
                      'A', '192.0.2.' . $_ % 200, 1 + $_ % 9) } 1 .. 5000);
$t->ingest(map { line(1500000000 + $_, 'big.example.com.', 'A',
                      '10.0.' . int($_ / 250) . '.' . $_ % 250) } 1 .. 3000);
$t->ingest(
    line(1500000000, '.', 'NS', 'a.root-servers.net.'),
    line(1500000000, 'com.', 'NS', 'a.gtld-servers.net.'),
    line(1500000000, '{x}:y\\..example.org.', 'TXT', '"\\"' . 'y' x 90 . '"'),
    line(1500000000, '1.2.0.192.in-addr.arpa.', 'PTR', 'host.example.'),
    line(1500000000, 'x.example.', '65280', '\\# 2 abcd'),
    '{"rrname":"c.example","rrtype":"MX","rdata":"1 x.example","count":4,'
        . '"time_first":1500000000,"time_last":1500000002,'
        . '"bailiwick":"example","sensor_id":"s1","origin":"https://o.test/",'
        . '"zone_time_first":1400000000,"zone_time_last":1400000001}',
);

my ($cursor, $pages, $lines) = ('0', 0, 0);

while (defined $cursor) {
    my $r = $t->get("/export?cursor=$cursor");

    die "$r->{status} $r->{content}" if $r->{status} != 200;

    $pages++;
    $cursor = $r->{headers}{'x-pdns-cursor'};

    my $n = () = $r->{content} =~ /\n/g;
    $lines += $n;
    next if !$n;

    my $in = $other->json->decode(
        $other->post('/ingest', $r->{content})->{content});
    die "$in->{accepted} of $n" if $in->{accepted} != $n;
}

cmp_ok($pages, '>', 3, 'several pages');
is($lines, 8006, 'hold every record');

# equal to the last score; what is not data is left out

sub all {
    my ($store) = @_;

    return { map { ($_ => /^D:/ ? $store->cmd('GET', $_) : $store->zset($_)) }
             grep { !/^[HC]/ } $store->keys };
}

is_deeply(all($other->store), all($t->store), 'and make the same store');

is($t->get('/export?cursor=x')->{status}, 400, 'a bad cursor');
is($other->get('/export')->{status}, 404, 'only where it is configured');

$_->finish for $t, $other;
done_testing();

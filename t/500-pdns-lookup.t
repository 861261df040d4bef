# Passive DNS: lines in, lookups out.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use Test::More;

my $t = D4::Pdns->new(lookup => 1)->start;

sub line { return D4::Pdns::line(@_) }

$t->ingest(
    line(1500000100, 'www.Example.com.', 'A', '192.0.2.1', 3),
    line(1500000200, 'www.example.com.', 'A', '192.0.2.1', 2),
    line(1500000050, 'www.example.com', 'A', '192.0.2.1', 1),
    line(1500000300, 'www.example.com.', 'A', '192.0.2.2'),
    line(1500000400, 'www.example.com.', 'AAAA', '2001:DB8:0:0::1'),
    line(1500000500, 'mail.example.com.', 'CNAME', 'WWW.example.com.'),
    line(1500000600, 'example.com.', 'MX', '10 mail.example.com.'),
    line(1500000700, 'example.com.', 'TXT', '"v=spf1 -ALL"'),
    line(1500000800, 'a.b.example.com.', 'A', '192.0.3.1'),
    line(1500000900, 'example.org.', 'A', '192.0.2.1'),
    line(1500001000, '1.2.0.192.in-addr.arpa.', 'PTR', 'www.example.com.'),
    line(1500001100, 'example.com.', '65280', '\\# 2 ABCD'),
    line(1500001200, 'example.com.', 'TXT', '"' . 'x' x 200 . '"'),
    line(1500001300, 'bücher.example.', 'A', '192.0.2.9'),
    line(1500001300, 'xn--bcher-kva.example.', 'A', '192.0.2.10'),
);

is_deeply([ $t->rows('/query/www.example.com') ],
          [ 'www.example.com AAAA 2001:db8::1 1500000400 1500000400 1',
            'www.example.com A 192.0.2.2 1500000300 1500000300 1',
            'www.example.com A 192.0.2.1 1500000050 1500000200 6' ],
          'a name, newest first, sums and bounds');

is($t->{last}{headers}{'content-type'}, 'application/x-ndjson', 'the type');

for my $same ('WWW.EXAMPLE.COM', 'www.example.com.', 'www.ex%61mple.com') {
    is(scalar(() = $t->rows("/query/$same")), 3, "$same finds it as well");
}

is_deeply([ $t->rows('/query/192.0.2.1') ],
          [ 'example.org A 192.0.2.1 1500000900 1500000900 1',
            'www.example.com A 192.0.2.1 1500000050 1500000200 6' ],
          'an address');

is_deeply([ map { (split)[0] } $t->rows('/query/*.example.com') ],
          [ ('example.com') x 4, 'a.b.example.com', 'mail.example.com',
            ('www.example.com') x 3 ],
          'a wildcard on the left');

is_deeply([ map { (split)[0] } $t->rows('/query/*.b.example.com') ],
          [ 'a.b.example.com' ], 'and one further down');

is_deeply([ map { (split)[0, 2] } $t->rows('/query/192.0.2.0/24') ],
          [ 'example.org', '192.0.2.1', 'www.example.com', '192.0.2.1',
            'www.example.com', '192.0.2.2',
            "b\\195\\188cher.example", '192.0.2.9',
            'xn--bcher-kva.example', '192.0.2.10' ],
          'a network');

is_deeply([ map { (split)[0] } $t->rows('/query/192.0.3.0-192.0.3.255') ],
          [ 'a.b.example.com' ], 'a range');

is_deeply([ map { (split)[0] } $t->rows('/query/www.example.*') ],
          [ ('www.example.com') x 3 ], 'a wildcard on the right');

is_deeply([ map { "@{[ (split)[0, 1] ]}" }
            $t->rows('/fquery/www.example.com') ],
          [ '1.2.0.192.in-addr.arpa PTR', 'mail.example.com CNAME' ],
          'what points to a name');

is_deeply([ map { "@{[ (split)[0, 1, 2, 3] ]}" }
            $t->rows('/fquery/mail.example.com') ],
          [ 'example.com MX 10 mail.example.com' ],
          'also as a part of the data');

is(scalar(() = $t->rows('/fquery/v=spf1%20-ALL')), 1, 'a text');

my ($x) = grep { length $_->{rdata} > 200 } $t->records('/query/example.com');
is($x->{rdata}, '"' . 'x' x 200 . '"', 'long data');

my ($odd) = grep { $_->{rrtype} eq '65280' }
    $t->records('/query/example.com');
is($odd->{rdata}, '\\# 2 abcd', 'data of an unknown type');

is_deeply([ map { (split)[2] } $t->rows('/query/B%C3%9Ccher.example') ],
          [ '192.0.2.10' ], 'a U-label finds the A-label');

is_deeply([ $t->rows('/query/nothing.example') ], [], 'nothing');
is($t->{last}{content}, '', 'is an empty body');

is_deeply([ map { (split)[1] }
            $t->rows('/query/www.example.com?rrtype=AAAA') ],
          [ 'AAAA' ], 'of one type');
is_deeply([ map { (split)[2] } $t->rows(
                '/query/www.example.com?time_last_before=1500000300'
                . '&time_last_after=1500000250') ],
          [ '192.0.2.2' ], 'a time fence');

# is it what it is taken for?

like($t->store->cmd('INFO', 'server'), qr/^valkey_version:/m, 'on Valkey')
    if ($ENV{REDIS_SERVER} // '') =~ /valkey/;

$t->finish;
done_testing();

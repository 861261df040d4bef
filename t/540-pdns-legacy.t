# Passive DNS: a database of the published analyzer is taken over.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Redis;
use D4::Test;
use Test::More;

my $t = D4::Pdns->new(workers => 2);

$t->{redis_lines} = join "\n", $t->redis_lines,
    "    redis pdns_legacy unix:$t->{socket} db=6;";
$t->{http} = 'pdns_migrate on; pdns_flush 50ms;';

$t->redis_start;

my $old = D4::Redis->new(unix => $t->{socket}, db => 6);
my @commands;

# as the published analyzer writes them

sub published {
    my ($name, $type, $data, $first, $last, $count) = @_;

    push @commands, [ 'SADD', "r:$name:$type", $data ],
        [ 'SADD', "v:$data:$type", $name ],
        [ 'SET', "s:$name:$data:$type", $first ],
        [ 'SET', "l:$name:$data:$type", $last ],
        [ 'SET', "o:$name:$data:$type", $count ];
}

published('www.example.com', 1, '192.0.2.1', 1500000000, 1500000100, 7);
published('www.example.com', 28, '2001:db8::1', 1500000001, 1500000101, 8);
published('WWW.Upper.example.', 5, 'target.example', 1500000002, 1500000102,
          9);
published('example.com', 16, 'v=spf1 -all"', 1500000003, 1500000103, 1);
published('gone.example', 1, 'nxdomain', 1500000004, 1500000104, 1);
published('bad..example', 1, '192.0.2.3', 1500000004, 1500000104, 1);
published('1.2.0.192.in-addr.arpa', 12, 'www.example.com', 1500000005,
          1500000105, 3);
published("n$_.many.example", 1, '198.51.100.' . $_ % 250, 1500000000 + $_,
          1500001000 + $_, $_) for 1 .. 5000;
published('big.example', 1, '10.0.' . int($_ / 250) . '.' . $_ % 250,
          1500000000, 1500000000 + $_, 2) for 1 .. 3000;
push @commands, [ 'SET', 'l:orphan:x:1', 1 ], [ 'SET', 'stats:processed', 9 ];

$old->pipeline(@commands);

my $before = $old->snapshot;

$t->nginx_start;

ok(poll_until(60, sub {
    ($t->store->cmd('GET', 'H:migrate:cursor') // '') eq 'done';
}), 'it is taken over to the end');

is_deeply([ sort $t->rows('/query/www.example.com') ],
          [ 'www.example.com A 192.0.2.1 1500000000 1500000100 7',
            'www.example.com AAAA 2001:db8::1 1500000001 1500000101 8' ],
          'times and counts');
is_deeply([ $t->rows('/query/www.upper.example') ],
          [ 'www.upper.example CNAME target.example 1500000002 1500000102 9' ],
          'a name that was not in lower case');
is(scalar(() = $t->rows('/query/1.2.0.192.in-addr.arpa')), 1,
   'types that it never showed');
is_deeply([ $t->rows('/query/gone.example') ], [], 'errors are no data');
is(scalar(() = $t->rows('/query/*.many.example')), 5000, 'all names');
is((split ' ', ($t->rows('/query/n77.many.example'))[0])[5], 77,
   'each with its count, once');
is(scalar(() = $t->rows('/query/big.example')), 3000, 'a large set');

is_deeply($old->snapshot, $before, 'and it is as it was before');

# once more: nothing happens

$t->reload(gone => 20);
select(undef, undef, undef, 1.5);
is((split ' ', ($t->rows('/query/n77.many.example'))[0])[5], 77,
   'it is not taken over again');

$t->finish;
done_testing();

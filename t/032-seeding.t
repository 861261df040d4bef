# Default types are written once, to an empty database.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

one_day();

my $t = D4::Test->new(workers => 2)->start;
my $redis = $t->db('metadata');

my $types = sub { join ' ', sort { $a <=> $b }
                  $redis->members('server:accepted_type') };

ok(poll_until(5, sub { $types->() eq '1 2 4 8 254' }), 'the default types');
is_deeply([ $redis->members('server:accepted_extended_type') ], [ 'ja3-jl' ],
          'and the extended one');
is($redis->cmd('GET', 'first_date'), today(), 'first_date');
ok($redis->cmd('EXISTS', 'd4:seeded'), 'marked');

$redis->cmd('SREM', 'server:accepted_type', 4);
$redis->cmd('SADD', 'server:accepted_type', 3);
$redis->cmd('DEL', 'server:accepted_extended_type');
$redis->cmd('SET', 'first_date', '20200101');

$t->reload;
$t->nginx_stop;
$t->nginx_start;

my $s = $t->sensor(type => 3);
$s->send('x');
is($t->wait_stored($s->{uuid}, 1), 1, 'a type added is accepted');
$s->finish;

is($types->(), '1 2 3 8 254', 'a type removed stays removed');
is_deeply([ $redis->members('server:accepted_extended_type') ], [],
          'the extended one, too');
is($redis->cmd('GET', 'first_date'), '20200101', 'first_date is kept');

$redis->cmd('DEL', 'server:accepted_type');
$t->nginx_stop;
$t->nginx_start;
$s = $t->sensor;
$s->send('x');
ok($s->ended(30), 'no type at all: refused');
is($types->(), '', 'and not forced back');


# a database of the published server

$t->nginx_stop;
$redis->cmd('FLUSHALL');
$redis->cmd('SADD', 'server:accepted_type', 1, 8);
$redis->cmd('SET', 'first_date', '20190101');
$t->nginx_start;
$s = $t->sensor;
$s->send('x');
is($t->wait_stored($s->{uuid}, 1), 1, 'an existing database');
$s->finish;
is($types->(), '1 8', 'keeps its types');
is($redis->cmd('GET', 'first_date'), '20190101', 'and its first date');

$t->finish;
done_testing();

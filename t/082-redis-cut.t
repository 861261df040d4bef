# Connections to Redis are cut in the middle of everything, many times.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

my $t = D4::Test->new(workers => 2)->start;

my $load = $t->load(conns => 4, frames => 0, size => '26-4000', rate => 4000,
                    timeout => LONG ? 900 : 300);
my $big = $t->load(conns => 2, frames => 0, size => '300000-1000000',
                   rate => 20, timeout => LONG ? 900 : 300);
my $admin = $t->new_db('streams');
my ($cuts, $connections) = (0, 0);

poll_until(LONG ? 600 : 120, sub {
    my $n = $admin->cmd('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');

    $cuts++ if $n;
    $connections += $n;
    $cuts >= (LONG ? 400 : 30);
}, 0.12);

cmp_ok($cuts, '>=', LONG ? 400 : 30,
       "$cuts cuts of $connections connections");
ok($_->running, 'all the while under load') for $load, $big;
$_->stop for $load, $big;

exactly_once($_, "$_->{conns} sensors, payloads of $_->{size}")
    for $load, $big;

is($load->{report}{connects} + $big->{report}{connects}, 6,
   'no sensor noticed');

ok(poll_until(10, sub { !$t->live_keys }), 'nothing is shown at the end');
is($t->db('streams')->cmd('SCARD', 'ended_session'), 6,
   'six sessions have ended');

ok($t->nginx_stop, 'nginx quits');

my $redis = $t->db('metadata');
my ($packets, $bytes) = (0, 0);

$packets += $redis->cmd('ZSCORE', $_, 8) // 0 for $redis->keys('daily_type:*');
$bytes += $redis->cmd('ZSCORE', $_, 8) // 0
    for $redis->keys('d4:bytes:*:type');

is($packets, $load->{report}{sent} + $big->{report}{sent},
   'packets are counted once');
is($bytes, $load->{report}{bytes} + $big->{report}{bytes} - 62 * $packets,
   'bytes, too');

$t->finish;
done_testing();

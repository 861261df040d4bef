# 1000 idle sensors: held, cheap, cleared away; and a flood of connections
# that never say anything.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

my $n = LONG ? 4000 : 1000;

my $mute = free_port();

my $t = D4::Test->new(workers => 2, server => 'd4_handshake_timeout 120s;'
                                              . ' d4_frame_timeout 1s;',
                      stream => <<EOF_CONF)->start;
    server {
        listen 127.0.0.1:$mute;
        d4 on;
        d4_handshake_timeout 4s;
    }
EOF_CONF

my $streams = $t->db('streams');
my $rss = sub {
    my $sum = 0;
    $sum += D4::Proc::rss($_) for $t->workers;
    return $sum;
};

my $before = $rss->();
my $load = $t->load(conns => $n, frames => 2, size => 100, hold => 1,
                    timeout => 300);

ok(poll_until(120, sub {
    $streams->cmd('SCARD', 'active_connection:8') == $n
}, 0.2), "$n sensors are live");

my $each = ($rss->() - $before) / $n;
diag(sprintf('%.1f KiB of resident memory for each', $each / 1024));
cmp_ok($each, '<', 100 * 1024, 'each costs less than 100 KiB') if !ASAN;

# those that say nothing at all, beside them

my @mute = map { D4::Sensor->connect(port => $mute, raw => 1) } 1 .. 200;

my $s = $t->sensor;
$s->send('x');
is($t->wait_stored($s->{uuid}, 1), 1, 'another is served');
$s->finish;

ok(poll_until(10, sub { !grep { !$_->ended } @mute }),
   'those that say nothing are ended');

is($streams->cmd('SCARD', 'active_connection:8'), $n,
   'the others are live all the while');
ok($load->running, 'and connected');

$load->stop;
exactly_once($load, "$n sensors");
is($load->{report}{connects}, $n, 'over one connection each');
ok(poll_until(20, sub { !$t->live_keys }), 'nothing is shown at the end');
is($streams->cmd('SCARD', 'ended_session'), $n + 1, 'all have ended');

$t->finish;
done_testing();

# The memory of a worker has a bound, whatever Redis and the sensors do.
# (AddressSanitizer keeps what is freed: no figures then.)

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

use constant MB => 1 << 20;

my $t = D4::Test->new(d4 => 'worker_memory 24m;',
                      server => 'd4_buffer_size 8m;')->start;

my ($worker) = $t->workers;
my $before = D4::Proc::rss($worker);
my $load = $t->load(conns => 20, frames => 300, size => '26-60000',
                    rate => 800, timeout => 120);

# those that are not known when the budget is used up are refused

poll_until(10, sub {
    20 == $t->db('streams')->cmd('SCARD', 'active_connection:8')
}) or fail('twenty sensors are live');

$t->redis_pause;

# 20 sensors could fill 160 MB; they must be held at 24

my ($most, $last, $same) = (0, 0, 0);

poll_until(8, sub {
    my $rss = D4::Proc::rss($worker);

    $most = $rss if $rss > $most;
    $same = $rss == $last ? $same + 1 : 0;
    $last = $rss;
    return $same > 20;
}, 0.1);

cmp_ok($most - $before, '<', 40 * MB,
       sprintf('%.1f MB more while Redis stands', ($most - $before) / MB))
    if !ASAN;
cmp_ok($most - $before, '>', 8 * MB, 'the budget is used');

# no room for those that are unknown: they are refused or wait, known ones stay

my @new = map { D4::Sensor->connect(port => $t->{port}, raw => 1) } 1 .. 20;
$t->redis_resume;
exactly_once($load, 'twenty sensors');
is($load->{report}{connects}, 20, 'none was cut');
$_->drop for @new;

poll_until(5, sub { !$t->live_keys });
cmp_ok(D4::Proc::rss($worker) - $before, '<', 60 * MB, 'and it is given back')
    if !ASAN;

my $s = $t->sensor;
$s->send('x');
is($t->wait_stored($s->{uuid}, 1), 1, 'one that comes later is served');
$s->finish;


# halves of large frames that together are more than the budget: what has
# arrived counts, not what is claimed

{
    my @s = map { my $s = $t->sensor; $s->send('first'); $s } 1 .. 60;

    $t->wait_stored($_->{uuid}, 1) for @s;
    $before = D4::Proc::rss($worker);

    for (@s) {
        $_->write(substr($_->frame_of('y' x 1_000_000), 0, 500_000), 0.2);
    }

    cmp_ok(D4::Proc::rss($worker) - $before, '<', 45 * MB,
           sprintf('60 halves of a large frame: %.1f MB more',
                   (D4::Proc::rss($worker) - $before) / MB)) if !ASAN;

    # the rest never comes

    $_->reset for @s;
    ok(poll_until(10, sub { !$t->live_keys }), 'they have ended');

    my $s = $t->sensor;
    ok($s, 'then there is room again') or last;
    $s->send('small');
    is($t->wait_stored($s->{uuid}, 1), 1, 'for another');
    $s->finish;
}


# the same many whole ones at a time: none is cut, none is lost

{
    my @s = map { my $s = $t->sensor; $s->send('first'); $s } 1 .. 60;

    $t->wait_stored($_->{uuid}, 1) for @s;
    $_->{todo} = $_->frame_of($_->{uuid} x 30_000) for @s;
    $_->{stream} = 'stream:8:' . ($t->sids($_->{uuid}))[0] for @s;

    my $redis = $t->db('streams');

    my $all = poll_until(30, sub {
        for my $s (grep { length $_->{todo} && !$_->ended } @s) {
            my $piece = substr($s->{todo}, 0, 100_000);

            $s->write($piece, 0.01);
            substr($s->{todo}, 0, length($piece) - $s->{unsent}, '');
        }

        return !grep { length $_->{todo} } @s;
    });

    ok($all, '60 large frames at a time: all sent');
    ok(poll_until(15, sub {
        !grep { !$_->ended && $redis->cmd('XLEN', $_->{stream}) < 2 } @s
    }), 'and stored, or ended');
    is((grep { $_->ended } @s), 0, 'none was cut');
    is((grep { $redis->cmd('XLEN', $_->{stream}) == 2 } @s), 60, 'all stored');
    $_->finish for @s;
}


# nothing grows with frames or with sessions

{
    my $fds = sub { scalar(() = glob "/proc/$worker/fd/*") };
    my $many = sub {
        my ($conns, $frames, $runs) = @_;

        for (1 .. $runs) {
            my $load = $t->load(conns => $conns, frames => $frames, size => 26);

            $load->wait && $load->{report}{sent} == $conns * $frames
                or fail('the load ended');
        }

        poll_until(10, sub { !$t->live_keys });
        $t->db('streams')->cmd('FLUSHDB');
    };

    $many->(20, 100, 10);

    my $rss = D4::Proc::rss($worker);
    my $open = $fds->();

    $many->(4, LONG ? 100000 : 9000, LONG ? 10 : 4);
    $many->(20, 5, LONG ? 300 : 30);

    my $more = (D4::Proc::rss($worker) - $rss) / MB;

    cmp_ok($more, '<', 4, sprintf('frames and sessions: %.1f MB more', $more))
        if !ASAN;
    ok(poll_until(5, sub { $fds->() <= $open }), 'no descriptor is left open');
}

$t->finish;
done_testing();

# Owners that sleep through the loss of their lease: a worker that was
# stopped, and all workers while Redis stood still.  Frames in flight are
# stored once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;
use Time::HiRes qw(time);

my @cases;


# A worker sleeps; its sensors have sent and go on sending.  One sensor of
# each kind: stays, comes back at another worker meanwhile.

{
    # the port that spreads its connections over both workers is for those of
    # the beginning; at the other one the worker that is awake takes them all

    my $both = free_port();
    my $t = D4::Test->new(workers => 2, server => "listen 127.0.0.1:$both ssl"
                                                  . ' reuseport;')->start;
    my $load = $t->load(conns => 6, frames => 6000, size => '26-3000',
                        reconnect => 1, timeout => 300, rate => 2000,
                        port => $both);
    my (@s, $victim);

    poll_until(10, sub { $load->stored > 2000 });

    # two idle sensors of one worker, that of at least one of the load

    my %load = map { ($t->worker_of($_) // 0) => 1 } $load->uuids;

    for (1 .. 60) {
        my $s = $t->sensor(port => $both);
        $s->send('before');
        $t->wait_stored($s->{uuid}, 1);

        my $worker = $t->worker_of($s->{uuid});
        $victim //= $worker if $load{$worker};
        push @s, $s if $victim && $worker == $victim;
        last if @s == 2;
    }

    is(scalar @s, 2, 'two sensors of a worker that has some of the load');
    kill('STOP', $victim);
    $_->send('in flight') for @s;

    push @cases, { name => 'a worker', t => $t, load => $load,
                   begin => time(), s => \@s,
                   resume => sub { kill('CONT', $victim) } };
}

# Redis stands still for longer than a lease

{
    my $t = D4::Test->new(workers => 2, d4 => 'redis_timeout 3s;')->start;
    my $load = $t->load(conns => 4, frames => 6000, size => '26-3000',
                        reconnect => 1, timeout => 90, rate => 2000);
    my $s = $t->sensor;

    $s->send('before');
    poll_until(10, sub { $load->stored > 2000 });
    $t->redis_pause;
    $s->send('in flight');

    push @cases, { name => 'Redis', t => $t, load => $load, begin => time(),
                   s => [ $s ], resume => sub { $t->redis_resume } };
}


# while the worker sleeps

my $case = $cases[0];
my $t = $case->{t};
my ($stays, $moves) = @{ $case->{s} };
my $twin;

ok(poll_until(15, sub {
    if (!$twin) {
        $twin = $t->sensor(uuid => $moves->{uuid}, key => $moves->{key},
                           raw => 1);
        $twin->tls or return $twin = undef;
        $twin->send('from the twin');
    }

    return $twin = undef if $twin->ended;
    return grep { $_ eq 'from the twin' } $t->messages($moves->{uuid});
}, 0.3), 'a worker sleeps: its sensor is let in elsewhere');
diag(sprintf('after %.1f s', time() - $case->{begin}));

poll_until(20, sub { time() - $_->{begin} > 13 }, 0.1) for @cases;
ok(!$t->sids($stays->{uuid}), 'the sleeping session was taken for dead');
$_->{resume}->() for @cases;

is($t->wait_stored($stays->{uuid}, 2, 15), 2, 'what was in flight is stored');
is_deeply([ sort $t->messages($stays->{uuid}) ], [ 'before', 'in flight' ],
          'once');

ok($moves->ended(30), 'the session that was replaced is ended');
is($t->wait_stored($moves->{uuid}, 3, 10), 3,
   'what it had in flight is stored');
is_deeply([ sort $t->messages($moves->{uuid}) ],
          [ 'before', 'from the twin', 'in flight' ], 'once');
ok($twin && !$twin->ended, 'the newer session lives');

my $s = $cases[1]{s}[0];
is($cases[1]{t}->wait_stored($s->{uuid}, 2, 15), 2,
   'Redis: what was in flight is stored');
$s->send('after');
is($cases[1]{t}->wait_stored($s->{uuid}, 3, 15), 3, 'and the sensor goes on');
is_deeply([ sort $cases[1]{t}->messages($s->{uuid}) ],
          [ 'after', 'before', 'in flight' ], 'once');

for my $case (@cases) {
    my ($name, $t, $load) = @$case{qw(name t load)};
    my $report = $load->wait;
    my $audit = $load->audit;

    is($report->{unfinished}, 0, "$name: the load ended");
    is($report->{aborts}, 0, "$name: no sensor was cut off");
    is(join(' ', map { "$_ $audit->{$_}" } grep { $audit->{$_} }
            qw(lost extra doubled corrupt holes)), '',
       "$name: $report->{sent} frames sent, each stored once")
        or diag(join ' ', map { "$_=$report->{$_}" }
                qw(connects failures planned aborts unclean));

    for ($stays, $twin, @{ $case->{s} }) {
        $_->finish(3) if $_ && $_->{sock} && !$_->ended;
    }

    ok(poll_until(15, sub { !$t->live_keys }),
       "$name: nothing is shown at the end")
        or diag(join "\n", $t->live_keys);

    my $streams = $t->db('streams');
    my %ended = map { $_ => 1 } $streams->members('ended_session');
    my %known = map { $_ => 1 } $streams->members('session_uuid:8');
    my @sids = map { /([^:]+)$/ } $streams->keys('stream:8:*');

    is((grep { !$ended{$_} } @sids), 0, "$name: all sessions have ended");
    is((grep { !$known{$_} } @sids), 0, "$name: all were announced");
    $t->finish;
}

done_testing();

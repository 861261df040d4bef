# Faults at random, several at a time, none of which may cost a frame: what
# was sent is stored once, counted once, and nothing is left behind.
#
#   SEED=N          other faults (1; with LONG=1 at random)
#   FAULTS=A,B,...  these only
#   LONG=1          for five minutes instead of twenty seconds

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{SEED} // (LONG ? int(time()) % 1_000_000 : 1);
my $seconds = LONG ? 300 : 20;

srand($seed);
diag("SEED=$seed");

my $t = D4::Test->new(
    workers  => 2,
    shutdown => '30s',
    listen   => 'reuseport',

    # a sensor that comes back while its former session sleeps in a stopped
    # worker is no duplicate; refused, it would lose what it had sent by then
    server   => 'd4_duplicate replace;',
    d4       => 'redis_timeout 1s; stat_interval 200ms;',
    redis    => { appendonly => 'yes', appendfsync => 'always' },
)->start;

my @loads = (
    $t->load(conns => 6, frames => 0, size => '26-2000', rate => 1200,
             reconnect => 1, timeout => $seconds + 120),
    $t->load(conns => 2, frames => 0, size => '26-200000', rate => 10,
             reconnect => 1, timeout => $seconds + 120),
    $t->load(conns => 10, frames => 0, size => 26, rate => 5, type => 4,
             reconnect => 1, timeout => $seconds + 120),
);
my @uuids = map { $_->uuids } @loads;
my @plan;                       # [ when, what ]


sub later {
    my ($in, $code) = @_;

    push @plan, [ time() + $in, $code ];
}


# A command to Redis, if it is there to take it.

sub redis {
    my ($role, @args) = @_;

    return if $t->{redis_down};
    return eval { $t->db($role)->cmd(@args) };
}


# name => fault; each ends by itself

my %faults = (
    cut => sub {
        redis('streams', qw(CLIENT KILL TYPE normal SKIPME yes));
    },
    cut_pubsub => sub {
        redis('streams', qw(CLIENT KILL TYPE pubsub));
    },
    redis_pause => sub {
        return if $t->{redis_down}++;
        $t->redis_pause;
        later(rand 3, sub { $t->redis_resume; $t->{redis_down} = 0 });
    },
    redis_kill => sub {
        return if $t->{redis_down}++;
        $t->redis_kill;
        later(rand 1, sub { $t->redis_start; $t->{redis_down} = 0 });
    },
    redis_full => sub {
        my ($used) = (redis('streams', 'INFO', 'memory') // '')
            =~ /used_memory:(\d+)/ or return;

        redis('streams', 'CONFIG', 'SET', 'maxmemory', $used + 10_000);
        later(rand 1, sub {
            redis('streams', 'CONFIG', 'SET', 'maxmemory', 0)
                // later(1, sub {
                    redis('streams', 'CONFIG', 'SET', 'maxmemory', 0) });
        });
    },
    reload => sub {
        $t->{nginx_proc}->signal('HUP');
    },
    worker_sleeps => sub {
        my @workers = $t->workers or return;
        my $pid = $workers[rand @workers];

        kill('STOP', $pid);
        later(rand 2, sub { kill('CONT', $pid) });
    },
    kick => sub {
        my @kicked = $loads[2]->uuids;
        my $uuid = $kicked[rand @kicked];

        redis('streams', 'SADD', 'server:sensor_to_kick', $uuid);
        redis('metadata', 'PUBLISH', 'd4:control', "kick $uuid");
        later($_, sub {
            redis('streams', 'DEL', "temp_blacklist_uuid:$uuid")
        }) for 1, 3, 6;
    },
    recheck => sub {
        redis('metadata', 'PUBLISH', 'd4:control', 'types');
    },
);

$faults{worker_sleeps_long} = sub {
    my @workers = $t->workers or return;
    my $pid = $workers[rand @workers];

    kill('STOP', $pid);
    later(11 + rand 3, sub { kill('CONT', $pid) });
} if LONG;

my @names = $ENV{FAULTS} ? split(/,/, $ENV{FAULTS}) : sort keys %faults;
my $end = time() + $seconds;
my %done;

while (time() < $end || @plan) {
    my @due = grep { $_->[0] <= time() } @plan;
    my %due = map { $_ => 1 } @due;

    @plan = grep { !$due{$_} } @plan;
    $_->[1]->() for sort { $a->[0] <=> $b->[0] } @due;

    if (time() < $end) {
        my $name = $names[rand @names];

        $faults{$name}->();
        $done{$name}++;
    }

    select(undef, undef, undef, LONG ? rand 0.8 : rand 0.4);
}

diag(join ', ', map { "$_ $done{$_}" } sort keys %done);

kill('CONT', $t->workers);
redis('streams', 'CONFIG', 'SET', 'maxmemory', 0);
redis('streams', 'DEL', map { "temp_blacklist_uuid:$_" } @uuids);

# all are served again before they end

ok(poll_until(90, sub {
    my %live = map { $_ => 1 } $t->db('streams')->members('active_connection');
    !grep { !$live{$_} } @uuids;
}, 0.2), 'every sensor is live again');

$_->stop for @loads;
$_->wait for @loads;

# a former session may still be storing what its sensor left behind

ok(poll_until(90, sub { !$t->live_keys }), 'nothing is shown at the end')
    or diag(join "\n", $t->live_keys);

poll_until(120, sub { !grep { $_->audit->{lost} } @loads[0, 1] }, 0.5);
exactly_once($_, "$_->{conns} sensors, $_->{size} bytes") for @loads[0, 1];

# a sensor that is banned loses what it sends all the same

my $report = $loads[2]->wait;
my $kicked = $loads[2]->audit;

is(join(' ', map { "$_ $kicked->{$_}" } grep { $kicked->{$_} }
        qw(extra doubled corrupt holes ids)), '',
   "kicked sensors: $kicked->{stored} of $kicked->{sent} frames, none twice");

my $streams = $t->db('streams');
my %ended = map { $_ => 1 } $streams->members('ended_session');
my %stream;

for ($streams->keys('stream:*')) {
    my (undef, $type, $sid) = split /:/;
    $stream{$sid} = $type;
}

is_deeply([ grep { !$ended{$_} } sort keys %stream ], [],
          'every session with a stream has ended');
is_deeply([ grep { !$stream{$_} } sort keys %ended ], [],
          'and no other');

for my $type (4, 8) {
    my %known = map { $_ => 1 } $streams->members("session_uuid:$type");
    is_deeply([ grep { $stream{$_} == $type && !$known{$_} }
                sort keys %stream ], [], "type $type: every one is announced");
}

ok($t->nginx_stop('QUIT', 35), 'nginx quits');

my $stored = 0;

$stored += $_->audit->{stored} for @loads[0, 1];
$kicked = $loads[2]->audit;

my $metadata = $t->db('metadata');
my %packets;

for my $key ($metadata->keys('daily_type:*')) {
    my $z = $metadata->zset($key);
    $packets{$_} += $z->{$_} for keys %$z;
}

is($packets{8}, $stored, 'type 8: packets are counted once');
is($packets{4}, $kicked->{stored}, 'type 4, too');

is_deeply([ $metadata->keys('d4:claim:*') ], [], 'no claim is left');
is_deeply([ $metadata->keys('d4:sessions:*') ], [], 'no list of sessions');

$t->finish;
done_testing();

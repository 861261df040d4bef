# Analyzer queues: their limits in elements and bytes, what is said when they
# are full or not read, those of a group of sensors, and changes of their
# definitions while a session lives.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $t = D4::Test->new(dispatch => { queue_unread => '2s',
                                    queue_max => 500 })->start;
my $metadata = $t->db('metadata');
my $queues = $t->db('queues');

sub length_of { return $queues->cmd('LLEN', queue_list(8, $_[0])) }

sub state_of { return $queues->hash('d4:queue:' . queue_list(8, $_[0])) }

sub logged {
    my ($queue, $what) = @_;

    return scalar(() = $t->log_lines(qr/\Q@{[ queue_list(8, $queue) ]}\E.*$what/));
}

# A live sensor with a queue of its own, and a consumer of it.

sub sensor_with_queue {
    my (%opt) = @_;

    my $s = $t->sensor;

    $s->{queue} = queue_define($metadata, 8, group => [ $s->{uuid} ], %opt);

    return $s;
}

sub numbered { return map { "element $_\n" } $_[0] .. $_[1] }

sub has_last {
    my ($queue, $n) = @_;

    return poll_until(10, sub {
        ($queues->cmd('LINDEX', queue_list(8, $queue), 0) // '')
            eq "element $n";
    });
}


# exactly as many elements as the limit says, the newest ones

{
    my $s = sensor_with_queue(max_size => 10);

    $s->send(join '', numbered(1, 10));
    ok(has_last($s->{queue}, 10), 'ten elements');
    is(length_of($s->{queue}), 10, 'fill a queue of ten');
    is(logged($s->{queue}, 'is full'), 0, 'and nothing is said');

    for my $n (11 .. 40) {
        $s->send(numbered($n, $n));
        has_last($s->{queue}, $n) if $n % 10 == 0;
    }

    is(length_of($s->{queue}), 10, 'more of them: exactly ten stay');
    is_deeply([ reverse @{ $queues->cmd('LRANGE', queue_list(8, $s->{queue}),
                                        0, -1) } ],
              [ map { "element $_" } 31 .. 40 ], 'the newest');

    my $state = state_of($s->{queue});

    is($state->{pushed}, 40, 'pushed are counted');
    is($state->{dropped}, 30, 'and dropped');
    is($state->{full}, 1, 'its state says that it is full');
    ok($queues->cmd('SISMEMBER', 'd4:queues:full',
                    queue_list(8, $s->{queue})), 'so does the set');
    is(logged($s->{queue}, 'is full'), 1, 'the log says so once');

    is(scalar queue_take($queues, 8, $s->{queue}), 10, 'it is read');
    $s->send(numbered(41, 41));
    has_last($s->{queue}, 41);
    is(state_of($s->{queue})->{full}, 0, 'it is not full any more');
    is(logged($s->{queue}, 'is not full'), 1, 'which is logged once');

    $s->send(join '', numbered(42, 3000));
    ok(has_last($s->{queue}, 3000), 'many at once');
    is(length_of($s->{queue}), 10, 'ten stay');
    is(state_of($s->{queue})->{pushed}, 3000, 'all are counted');
    is(state_of($s->{queue})->{dropped}, 2980, 'what was dropped, too');
    is(logged($s->{queue}, 'is full'), 2, 'and it is full a second time');
    $s->finish;
}

{
    my $s = sensor_with_queue();

    $s->send(join '', numbered(1, 1200));
    ok(has_last($s->{queue}, 1200), 'a queue without a limit of its own');
    is(length_of($s->{queue}), 500, 'has the general one');
    $s->finish;
}


# when something was pushed last

{
    my $s = sensor_with_queue();
    my $key = "analyzer:$s->{queue}";

    $s->send(numbered(1, 1));
    ok(has_last($s->{queue}, 1), 'an element');

    my $updated = poll_until(10, sub { $metadata->cmd('HGET', $key,
                                                      'last_updated') });

    like($updated, qr/^\d+\.\d+$/, 'last_updated of its queue is written');
    sleep(1.5);

    # they go to a file and are no elements

    my ($sid) = $t->sids($s->{uuid});
    my $committed = sub { $queues->cmd('HGET', "d4:cursor:$sid", 'n') };
    my $n = $committed->();

    $s->send("\n");
    ok(poll_until(10, sub { $committed->() > $n }), 'an empty line');
    $s->send("\n");
    ok(poll_until(10, sub { $committed->() > $n + 1 }), 'and another one');
    is($metadata->cmd('HGET', $key, 'last_updated'), $updated,
       'nothing was pushed: last_updated stays');
    $s->send(numbered(2, 2));
    has_last($s->{queue}, 2);
    ok(poll_until(10, sub {
        $metadata->cmd('HGET', $key, 'last_updated') > $updated
    }), 'with an element it moves on');
    $s->finish;
}


# by bytes

{
    my $s = sensor_with_queue(max_size => 1_000_000, max_bytes => 200_000);
    my ($most, $line) = (0, 'x' x 500);

    for my $n (1 .. 60) {
        $s->send(map { "$line\n" } 1 .. 50);
        $s->send(numbered($n, $n));
        has_last($s->{queue}, $n);

        my $use = $queues->cmd('MEMORY', 'USAGE', queue_list(8, $s->{queue}),
                               'SAMPLES', 0);
        $most = $use if $most < $use;
    }

    # looked at after each sixteenth of the limit
    cmp_ok($most, '<', 200_000 * 1.5, "a limit in bytes: $most at most");
    cmp_ok($most, '>', 100_000, 'which is used');

    my $state = state_of($s->{queue});
    is($state->{pushed} - $state->{dropped}, length_of($s->{queue}),
       'what was dropped for it is counted');
    cmp_ok($state->{dropped}, '>', 2000, "$state->{dropped} were");
    is(logged($s->{queue}, 'is full'), 1, 'and it is called full');
    $s->finish;
}


# nobody reads

{
    my $s = sensor_with_queue();

    for my $n (1 .. 8) {
        $s->send(numbered($n, $n));
        sleep(0.5);
    }

    is(logged($s->{queue}, 'no consumer'), 1, 'an unread queue: logged once');
    is(state_of($s->{queue})->{unread}, 1, 'its state');
    ok($queues->cmd('SISMEMBER', 'd4:queues:unread',
                    queue_list(8, $s->{queue})), 'and the set say so');
    is(scalar queue_take($queues, 8, $s->{queue}), 8, 'somebody reads');
    $s->send(numbered(9, 9));
    has_last($s->{queue}, 9);
    is(logged($s->{queue}, 'consumed again'), 1, 'which is logged');
    ok(!$queues->cmd('SISMEMBER', 'd4:queues:unread',
                     queue_list(8, $s->{queue})), 'and it leaves the set');
    ok(!$s->ended, 'the sensor was never stopped');
    $s->finish;
}


# a key that is not a list does not harm the other queues

{
    my $s = sensor_with_queue();
    my $wrong = queue_define($metadata, 8, group => [ $s->{uuid} ]);

    $queues->cmd('SET', queue_list(8, $wrong), 'a string');

    for my $n (1 .. 5) {
        $s->send(numbered($n, $n));
        ok(has_last($s->{queue}, $n), "element $n passes a broken queue");
    }

    is($queues->cmd('GET', queue_list(8, $wrong)), 'a string',
       'the key is left as it is');
    is(logged($wrong, 'is not a list'), 1, 'it is reported, once');

    $queues->cmd('DEL', queue_list(8, $wrong));
    $s->send(numbered(6, 6));
    ok(has_last($wrong, 6), 'and fed when it has been repaired');
    $s->finish;
    same_lines([ queue_take($queues, 8, $s->{queue}) ],
               [ map { "element $_" } 1 .. 6 ], 'the other one');
}


# groups: as published, per sensor, and by the group alone, dashed or not

{
    my ($in, $out) = map { $t->sensor } 1, 2;
    my %queue = map { $_ => dashed(new_uuid()) } qw(sensor hex dashed both);

    $metadata->pipeline(
        [ 'SADD', "sensor:queues:8:$in->{uuid}", @queue{qw(sensor both)} ],
        [ 'SADD', 'analyzer_uuid_group:8', @queue{qw(hex dashed both)} ],
        [ 'SADD', "analyzer_sensor_group:$queue{hex}", $in->{uuid} ],
        [ 'SADD', "analyzer_sensor_group:$queue{both}", $in->{uuid} ],
        [ 'SADD', "analyzer_sensor_group:$queue{dashed}",
          dashed($in->{uuid}) ],
        [ 'SADD', 'analyzer:8', $queue{both} ],
        [ 'HSET', "analyzer:$queue{hex}", 'type', 8 ],
    );

    $_->send("of $_->{uuid}\n") for $in, $out;
    $_->finish for $in, $out;
    drained($t, 'queues of groups');

    for (qw(sensor hex dashed)) {
        is_deeply([ queue_take($queues, 8, $queue{$_}) ],
                  [ "of $in->{uuid}" ], "a group's queue ($_): its sensor's");
    }

    is_deeply([ sort(queue_take($queues, 8, $queue{both})) ],
              [ sort map { "of $_->{uuid}" } $in, $out ],
              'listed in several places: each element once');
    $metadata->cmd('SREM', 'analyzer:8', $queue{both});
}


# added and removed while a session lives, announced and not

for my $announced (1, 0) {
    my $name = $announced ? 'announced' : 'found';
    my $s = $t->sensor;
    my ($n, $fed) = (0);

    $s->send(numbered(++$n, $n));
    $t->wait_live($s->{uuid}, 1);
    sleep(0.2);

    my $queue = queue_define($metadata, 8, group => [ $s->{uuid} ]);
    my $begin = time();
    $t->announce('queues') if $announced;

    $fed = poll_until(8, sub {
        $s->send(numbered(++$n, $n));
        return length_of($queue);
    }, 0.1);

    ok($fed, sprintf('%s: a new queue is fed after %.1f s', $name,
                     time() - $begin));

    $metadata->cmd('SREM', "sensor:queues:8:$s->{uuid}", $queue);
    $metadata->cmd('DEL', "analyzer_sensor_group:$queue");
    $t->announce('queues') if $announced;
    sleep($announced ? 1 : 3);
    queue_take($queues, 8, $queue);
    $s->send(numbered(++$n, $n)) for 1 .. 5;
    $s->finish;
    drained($t, "$name queue");
    is(length_of($queue), 0, "$name: a removed one is not");
    same_lines([ lines_of(files_content($t->{data},
                          session_files($t->{data}, $s->{uuid}, 8,
                                        suffix(8)))) ],
               [ map { "element $_" } 1 .. $n ], 'the file has all');
}

$t->finish;
done_testing();

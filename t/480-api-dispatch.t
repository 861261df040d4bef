# What the API makes is what the dispatcher obeys: queues of all sensors and of
# groups, numbers of queues and types, disk use, extended types.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Api;
use D4::Test;
use Test::More;

my $t = D4::Api->new(dispatch => 1, http => 'd4_monitor_interval 200ms;')
    ->start;
my $queues = $t->db('queues');

my ($one, $two) = map {
    my $r = $t->ok(201, 'POST', 'sensors', body => {});
    { uuid => $r->{uuid}, key => $r->{hmac_key} };
} 1 .. 2;

$t->ok(200, 'PUT', 'extended-types/mine');

my %q = (
    all  => { type => 8 },
    some => { type => 8, sensors => [ dashed(uc $two->{uuid}) ] },
    ext  => { extended_type => 'mine' },
    exts => { extended_type => 'mine', sensors => [ $one->{uuid} ] },
);

$_->{id} = $t->ok(201, 'POST', 'queues', body => $_)->{id} for values %q;

sub list {
    my ($name) = @_;

    my $type = $q{$name}{type} // 'mine';

    return join ' ', reverse $queues->cmd('LRANGE',
                                          "analyzer:$type:$q{$name}{id}", 0, -1);
}

for my $s ($one, $two) {
    my $c = $t->sensor(%$s);
    $c->send("line of $s->{uuid}\n");
    $c->finish;

    my $m = $t->sensor(%$s, type => 2);
    $m->send('{"type":"mine"}');
    $m->write($m->frame_of("extended $s->{uuid}\n", type => 254));
    $m->finish;
}

ok(poll_until(15, sub { list('all') =~ /\Q$_->{uuid}/ or return
                        for $one, $two; 1 }), 'a queue of all sensors');
ok(poll_until(15, sub { list('some') }), 'a queue of a group');
is(list('some'), "line of $two->{uuid}", 'of its sensors only');
ok(poll_until(15, sub { list('ext') =~ /\Q$_->{uuid}/ or return
                        for $one, $two; 1 }), 'of an extended type');
ok(poll_until(15, sub { list('exts') }), 'of a group and an extended type');
is(list('exts'), "extended $one->{uuid}", 'of its sensors only');

# another group

$t->ok(200, 'PATCH', "queues/$q{some}{id}",
       body => { sensors => [ $one->{uuid} ] });

my $c = $t->sensor(%$one);
$c->send("again\n");
$c->finish;
ok(poll_until(15, sub { list('some') =~ / again$/ }), 'another group is fed');

# numbers

ok(poll_until(10, sub {
    ($t->request('GET', "queues/$q{all}{id}")->{json}{pushed} // 0) == 3
}), 'what was pushed is counted');
$queues->cmd('RPOP', "analyzer:8:$q{all}{id}");
is($t->ok(200, 'GET', "queues/$q{all}{id}")->{length}, 2, 'length');
is_deeply([ map { $_->{text} } @{ $t->ok(200, 'GET',
            "queues/$q{some}{id}/sample")->{elements} } ],
          [ 'again', "line of $two->{uuid}" ], 'a sample, newest first');
ok(poll_until(10, sub {
    $t->request('GET', '/metrics')->{content}
        =~ /^d4_queue_consumed_total\{queue="$q{all}{id}",[^}]*\} 1$/m
}), 'what was taken is counted');
like($t->request('GET', '/metrics')->{content},
     qr/^d4_dispatch_elements_total\{type="8"\} 3$/m, 'elements by type');

# how long dispatching takes, and how long what it cannot do waits

sub metric { return ($t->request('GET', '/metrics')->{content}
                     =~ /^\Q$_[0]\E (\S+)$/m)[0] }

my $count = metric('d4_dispatch_lag_seconds_count{type="8"}');

cmp_ok($count, '>=', 3, 'commits are counted');
is(metric('d4_dispatch_lag_seconds_bucket{type="8",le="+Inf"}'), $count,
   'in a histogram');
cmp_ok(metric('d4_dispatch_lag_seconds_sum{type="8"}'), '<', 30 * $count,
       'that sums up');

{
    my $hold = $t->sensor(%$two);

    $hold->send("one\n");
    ok(poll_until(10, sub { list('all') =~ /one$/ }), 'dispatched');
    ok(poll_until(10, sub {
        (metric('d4_dispatch_oldest_seconds{type="8"}') // 1) == 0
    }), 'nothing waits');

    # its cursor cannot be read for a while

    my ($cursor) = grep { $queues->cmd('HGET', $_, 'uuid') eq $two->{uuid}
                          && $queues->cmd('HGET', $_, 'type') == 8 }
        $queues->keys('d4:cursor:*');

    $t->allow(qr/WRONGTYPE/);
    $queues->cmd('RENAME', $cursor, 'aside');
    $queues->cmd('SET', $cursor, 'x');
    $hold->send("two\n");
    ok(poll_until(20, sub {
        (metric('d4_dispatch_oldest_seconds{type="8"}') // 0) > 1
    }), 'what waits is told');
    $queues->cmd('RENAME', 'aside', $cursor);
    ok(poll_until(20, sub {
        (metric('d4_dispatch_oldest_seconds{type="8"}') // 1) == 0
    }), 'until it is done');
    like(list('all'), qr/ two$/, 'which it is');
    $hold->finish;
}

# a queue that is full is told by one line, not by two

{
    my $id = $t->ok(201, 'POST', 'queues',
                    body => { type => 8, max_size => 10 })->{id};
    my $fill = $t->sensor(%$two);
    my $lines = sub { scalar(my @l = $t->log_lines(qr/\Q$id\E.* \Q$_[0]\E/)) };

    # both have to know the queue

    ok(poll_until(10, sub {
        $t->db('metadata')->cmd('EXISTS', "d4:watch:$id")
    }), 'the keeper does');

    for my $round (1, 2) {
        ok(poll_until(20, sub {
            $fill->send("line\n" x 5);
            ($queues->cmd('HGET', "d4:queue:analyzer:8:$id", 'full') // 0) == 1
        }), 'the dispatcher drops');
        ok(poll_until(10, sub { $lines->('is full') >= $round }), 'it is told');

        $queues->cmd('RPOP', "analyzer:8:$id", 5);
        ok(poll_until(20, sub { $lines->('is no longer full') >= $round }),
           'as is that it is not');
        ok(poll_until(20, sub {
            $fill->send("x\n");
            $queues->cmd('RPOP', "analyzer:8:$id", 9);
            ($queues->cmd('HGET', "d4:queue:analyzer:8:$id", 'full') // 1) == 0
        }), 'the dispatcher knows it, too');
    }

    is($lines->('is full'), 2, 'one line for each time');
    is($lines->('is no longer full'), 2, 'and for its end');
    is($lines->('is not full any more'), 0, 'of one of them');
    $fill->finish;
    $t->ok(200, 'DELETE', "queues/$id");
}

# disks

my $files;
ok(poll_until(15, sub {
    $files = $t->request('GET', "sensors/$one->{uuid}/files")->{json};
    grep({ $_->{type} == 8 } @{ $files->{types} })
        && grep({ $_->{type} == 254 } @{ $files->{types} })
}), 'files by type');
cmp_ok($files->{bytes}, '>', 0, 'their bytes');
ok($files->{complete}, 'all of them');

my ($ext) = @{ $t->ok(200, 'GET', "sensors/$one->{uuid}/types")
               ->{extended_types} };
is($ext->{name}, 'mine', 'extended types of a sensor');

# gone

$t->ok(200, 'POST', "queues/$q{all}{id}/empty");
is(list('all'), '', 'emptied');
$t->ok(200, 'DELETE', "queues/$_->{id}") for values %q;

for my $db ($queues, $t->db('metadata')) {
    for my $q (values %q) {
        is_deeply([ grep { /$q->{id}/ } $db->keys('*') ], [],
                  'no key of a queue is left');
    }
}

$t->ok(200, 'DELETE', "sensors/$one->{uuid}");
$t->{agent} = undef;
$t->finish;
done_testing();

# Consumers of lists: order, limits, and that each element comes once while
# nothing fails and is never lost when something does.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;
use Time::HiRes qw(sleep time);

use constant LIST => 'analyzer:8:01234567-89ab-4def-8123-456789abcdef';


# An nginx whose workers consume: consumers => [ "parameters", ... ] of the
# lists LIST, LIST-1, ...

sub consumer {
    my (%opt) = @_;

    my $n = 0;
    my $main = join "\n", map {
        sprintf('test_consume %s out/%d %s;', list($n), $n++, $_)
    } @{ delete $opt{consumers} };

    my $t = D4::Test->new(modules => [ 'ngx_d4_test_consume_module' ],
                          main => $main, %opt);

    mkdir("$t->{dir}/out");
    chmod(0777, "$t->{dir}/out");

    return $t;
}


sub list {
    my ($n) = @_;

    return $n ? LIST . "-$n" : LIST;
}


sub push_list {
    my ($t, $n, @elements) = @_;

    my $q = $t->db('queues');

    while (my @some = splice(@elements, 0, 500)) {
        $q->cmd('LPUSH', list($n), @some);
    }
}


# What was consumed of list n: one list of elements for each worker.  A worker
# that was killed may have left half an element at the end.

sub consumed {
    my ($t, $n) = @_;

    my @workers;

    for my $file (glob "$t->{dir}/out/$n.*") {
        my $text = D4::Proc::slurp($file);
        my ($pos, @elements) = (0);

        while ($pos < length $text) {
            my $colon = index($text, ':', $pos);
            last if $colon < 0;

            my $len = substr($text, $pos, $colon - $pos);
            last if $colon + 1 + $len + 1 > length $text;

            push @elements, substr($text, $colon + 1, $len);
            $pos = $colon + 1 + $len + 1;
        }

        push @workers, \@elements;
    }

    return @workers;
}


sub all_consumed { return map { map { @$_ } consumed(@$_) } @_ }


# Nothing is left in the list, nor in flight.

sub drained {
    my ($t, $seconds) = @_;

    my $q = $t->db('queues');

    return poll_until($seconds, sub {
        !grep { !/^d4:inflights:/ } $q->keys;
    }, 0.1);
}


sub is_each {
    my ($got, $want, $once, $name) = @_;

    my (%got, $bad);

    $got{$_}++ for @$got;

    my @missing = grep { !delete $got{$_} } my @want = @$want;
    my %count;

    $count{$_}++ for @$got;
    $bad .= sprintf('%d missing, ', scalar @missing) if @missing;
    $bad .= sprintf('%d never sent, ', scalar keys %got) if %got;

    my @twice = grep { $count{$_} > 1 } keys %count;
    $bad .= sprintf('%d twice, ', scalar @twice) if $once && @twice;

    diag(sprintf '%s: %d of %d came again', $name, scalar @twice,
         scalar @want) if !$once;

    return ok(!$bad, $name) || diag("$bad" . join ' ', @missing[0 .. 4]);
}


sub numbered { my ($n, $what) = @_; return map { "$what $_" } 1 .. $n }

sub increasing {
    my ($n, $last) = (0, 0);

    for (@_) {
        my ($i) = /(\d+)$/;
        $n++ if $i <= $last;
        $last = $i;
    }

    return $n == 0;
}


# Cases that wait for a lease to end run side by side: each begins here.

my @waiting;

# kill -9 of workers at random moments

{
    my $n = LONG ? 100 : 12;
    my $t = consumer(workers => 2,
                     consumers => [ 'elements=7 blocks=4 delay=3ms' ])->start;
    my @sent = numbered(20000, 'killed');

    $t->allow(qr/exited on signal 9/);
    push_list($t, 0, @sent[0 .. 9999]);

    for (1 .. $n) {
        my @workers = $t->workers;

        kill('KILL', $workers[rand @workers]) if @workers;
        sleep(rand(0.4));
    }

    push_list($t, 0, @sent[10000 .. $#sent]);

    push @waiting, sub {
        ok(drained($t, LONG ? 120 : 40), "$n workers killed: all is consumed");
        is_each([ all_consumed([ $t, 0 ]) ], \@sent, 0, 'nothing is lost');
        ok($t->log_lines('that it had taken were given back') > 0,
           'which had been in flight');

        # those killed last may still be looked at

        my $metadata = $t->db('metadata');
        my $alive = sub { [ map { s/^d4:worker://r }
                            $metadata->keys('d4:worker:*') ] };

        ok(poll_until(30, sub {
            my $members = join ' ', $metadata->members('d4:workers');

            $members eq join(' ', @{ $alive->() })
                && $members eq join ' ', $metadata->members('d4:consumers')
        }, 0.2), 'the dead are forgotten')
            or diag(join ' ', $metadata->members('d4:workers'));
        is_deeply([ $t->db('queues')->keys ],
                  [ map { "d4:inflights:$_" } @{ $alive->() } ],
                  'and nothing of them is left in the queues');
        $t->finish;
    };
}

# all of nginx, on the list of another host

{
    my $t = consumer(consumers => [ 'elements=50 blocks=4 delay=10ms' ])
        ->start;
    my $u = consumer(redis => $t, d4 => 'host other;', workers => 2,
                     consumers => [ 'elements=50 blocks=4 delay=10ms' ])
        ->start;
    my @sent = numbered(20000, 'two hosts');

    push_list($t, 0, @sent);
    poll_until(10, sub { all_consumed([ $u, 0 ]) > 500 });
    $u->nginx_kill;

    push @waiting, sub {
        ok(drained($t, 40), 'a host dies: the other consumes all');
        is_each([ all_consumed([ $t, 0 ], [ $u, 0 ]) ], \@sent, 0,
                'nothing is lost');
        $u->finish;
        $t->finish;
    };
}

# a worker sleeps while its lease ends, with blocks that it goes on with

{
    my $t = consumer(workers => 2,
                     consumers => [ 'elements=20 blocks=4 delay=20ms' ])
        ->start;
    my @sent = numbered(20000, 'asleep');

    push_list($t, 0, @sent);
    poll_until(10, sub { all_consumed([ $t, 0 ]) > 200 });

    # with something in flight

    my $q = $t->db('queues');
    my ($asleep) = $t->workers;

    kill('STOP', $asleep);

    poll_for(2, sub { $q->keys("d4:inflight:*:$asleep:*") }) or do {
        kill('CONT', $asleep);
        ($asleep) = grep { $_ != $asleep } $t->workers;
        kill('STOP', $asleep);
    };

    my $begin = time();

    push @waiting, sub {
        ok(poll_until(40, sub {
            time() - $begin > 13 && !$q->keys("d4:inflight*:$asleep:*")
        }, 0.2), 'a worker sleeps: what it had is given back');
        kill('CONT', $asleep);
        ok($t->wait_log('consume test: block \d+ (is|was) lost', 10),
           'it learns that when it acknowledges');
        ok(drained($t, 20), 'all is consumed');
        push_list($t, 0, 'asleep 20001');
        ok(drained($t, 20), 'and goes on being');
        is_each([ all_consumed([ $t, 0 ]) ], [ @sent, 'asleep 20001' ], 0,
                'nothing is lost');
        is($t->log_lines('were given back meanwhile'), 1, 'it is logged');
        $t->finish;
    };
}

# the only host that is left does not know the queues

{
    my $t = consumer(consumers => [ 'elements=5 blocks=2 delay=1h' ])->start;
    my @sent = numbered(100, 'elsewhere');
    my $u = D4::Test->new(redis => $t, d4 => 'host other;',
                          redis_lines => join '', map {
                              "redis $_->[0] unix:$t->{socket} db=$_->[1];"
                          } [ metadata => 0 ], [ streams => 4 ])->start;

    push_list($t, 0, @sent);

    my ($q, $m) = ($t->db('queues'), $t->db('metadata'));

    poll_until(10, sub { $q->cmd('LLEN', LIST) == 90 });

    my ($dead) = $m->members('d4:consumers');

    # a worker that consumes nothing beside it: once that is forgotten, so
    # would the other have been

    $m->cmd('SADD', 'd4:workers', 'nobody:1:00');
    $t->nginx_kill;

    push @waiting, sub {
        ok(poll_until(40, sub {
            !$m->cmd('EXISTS', "d4:worker:$dead")
                && !$m->cmd('SISMEMBER', 'd4:workers', 'nobody:1:00')
        }, 0.2), 'a host without the queues forgets the dead');
        sleep(5);
        ok($m->cmd('SISMEMBER', 'd4:workers', $dead),
           'but not those who may have taken something');
        is($q->cmd('LLEN', LIST), 90, 'and leaves that alone');

        $t->{main} =~ s/delay=1h//;
        $t->nginx_start;
        ok(drained($t, 40), 'a host with queues gives it back');
        is_each([ all_consumed([ $t, 0 ]) ], \@sent, 1, 'all of it');
        ok(poll_until(20, sub {
            !$m->cmd('SISMEMBER', 'd4:workers', $dead)
        }), 'and forgets it');
        $u->finish;
        $t->finish;
    };
}


# order, bytes of any kind, one worker

{
    my $t = consumer(consumers => [ 'elements=10', 'blocks=4 delay=1ms',
                                    'bytes=1m elements=100' ])->start;
    my @any = ('', "\0", "a\0b\r\n", "\n", "\r\n\$5\r\n", join('', map { chr }
                                                        0 .. 255), 'last');
    my @big = map { chr(97 + $_) x (1024 * 1024 - 2 + $_) } 0 .. 5;
    my @many = numbered(3000, 'ordered');

    push_list($t, 0, @any);
    push_list($t, 1, @many);
    push_list($t, 2, $_) for @big;

    ok(drained($t, 20), 'all is consumed');
    is_deeply([ consumed($t, 0) ], [ \@any ],
              'bytes of any kind come through');
    is_deeply([ consumed($t, 1) ], [ \@many ], 'in order');

    my @got = all_consumed([ $t, 2 ]);

    is(scalar @got, @big, 'long elements');
    is((grep { $got[$_] ne $big[$_] } 0 .. $#big), 0, 'whole');

    # nobody asks all the time for what is not there

    my $calls = sub { $t->db('queues')->cmd('INFO', 'commandstats')
                      =~ /cmdstat_eval:calls=(\d+)/ && $1 };

    sleep(2.5);
    my ($before, $since) = ($calls->(), time());
    sleep(2);
    cmp_ok($calls->() - $before, '<', 7.5 * (time() - $since),
           'an empty list is looked at once a second');

    push_list($t, 0, 'later');
    ok(drained($t, 10), 'and what comes then is found');
    $t->finish;
    is_deeply([ $t->read_file('logs/error.log') =~ /consume test.*/g ], [],
              'nothing was lost');
}


# how much is taken; nothing before it was asked for

{
    my $t = consumer(consumers => [ 'elements=10 delay=1h blocks=2',
                                    'bytes=1000 delay=1h',
                                    'bytes=1 delay=1h',
                                    'bytes=900 blocks=3 delay=1h' ])->start;
    my $q = $t->db('queues');

    push_list($t, 0, numbered(100, 'limit'));
    push_list($t, 1, map { "$_" x 300 } 1 .. 9);
    push_list($t, 2, map { "$_" x 300 } 1 .. 9);
    push_list($t, 3, map { "$_" x 300 } 1 .. 9);

    my @left = (80, 6, 8, 0);

    poll_until(10, sub {
        !grep { $q->cmd('LLEN', list($_)) != $left[$_] } 0 .. 3;
    });
    sleep(1);
    is_deeply([ map { $q->cmd('LLEN', list($_)) } 0 .. 3 ], \@left,
              'blocks are limited in elements, bytes and number');

    my ($key) = $q->keys('d4:inflight:*:' . list(1));
    is_deeply([ $q->cmd('LRANGE', $key, 0, -1) ],
              [ map { "$_" x 300 } reverse 1 .. 3 ],
              'what is taken is in the list of its worker');

    # a quick end does not wait for them, but gives them back

    my ($quick) = $t->db('metadata')->members('d4:workers');

    $t->nginx_stop('TERM');
    is_deeply([ map { [ reverse @{ $q->cmd('LRANGE', list($_), 0, -1) } ] }
                0 .. 3 ],
              [ [ numbered(100, 'limit') ],
                map { [ map { "$_" x 300 } 1 .. 9 ] } 1 .. 3 ],
              'a quick end gives all back, in order');
    is_deeply([ $q->keys('d4:*') ], [], 'and leaves no keys');

    # while a planned one waits

    $t->{main} =~ s/delay=1h/delay=300ms/g;
    $t->nginx_start;
    poll_until(10, sub { $q->cmd('LLEN', list(2)) == 8 });
    $t->nginx_stop('QUIT');
    is_deeply([ $q->keys('d4:*') ], [],
              'a planned end waits for what was taken');

    for my $n (0 .. 3) {
        my @sent = $n ? map { "$_" x 300 } 1 .. 9 : numbered(100, 'limit');
        my @got = all_consumed([ $t, $n ]);

        ok(@got > 0, 'some was consumed');
        is_deeply([ @got, reverse @{ $q->cmd('LRANGE', list($n), 0, -1) } ],
                  \@sent, 'the rest is where it was, in order');
    }

    # those that ended quickly are left for others to look after

    my $metadata = $t->db('metadata');

    is_deeply([ $metadata->members('d4:workers') ], [ $quick ],
              'nor a name of a worker');
    is_deeply([ $metadata->members('d4:consumers') ], [ $quick ],
              'in either set');
    $t->finish;
}


# given back, and acknowledged in another order

{
    my $t = consumer(consumers => [ 'elements=10 blocks=3 delay=30ms nack=4',
                                    'elements=10 blocks=4 delay=2ms reverse' ])
        ->start;
    my @sent = numbered(200, 'nack');

    push_list($t, 0, @sent);
    push_list($t, 1, numbered(1000, 'reverse'));
    ok(drained($t, 20), 'what was given back is consumed');
    is_deeply([ consumed($t, 0) ], [ \@sent ], 'once and in order');
    is_each([ all_consumed([ $t, 1 ]) ], [ numbered(1000, 'reverse') ], 1,
            'acknowledged in another order: once');
    $t->finish;
}


# many, by two hosts of two workers, while one is reloaded

{
    my $t = consumer(workers => 2, consumers => [
                         'elements=200 blocks=4 delay=1ms',
                         'elements=50 blocks=4 delay=20ms' ])->start;
    my $u = consumer(redis => $t, d4 => 'host other;', workers => 2,
                     consumers => [ 'elements=300 blocks=2 delay=2ms',
                                    'elements=50 blocks=4 delay=20ms' ])
        ->start;
    my @sent = numbered(100000, 'many');
    my @slow = numbered(20000, 'slow');

    push_list($t, 1, @slow[0 .. 9999]);

    for my $i (0 .. 9) {
        push_list($t, 0, @sent[$i * 10000 .. $i * 10000 + 9999]);
        push_list($t, 1, @slow[10000 + $i * 1000 .. 10000 + $i * 1000 + 999]);
        $t->reload if $i % 4 == 2;
    }

    ok(drained($t, 60), '100,000 elements');

    is_each([ all_consumed([ $t, 0 ], [ $u, 0 ]) ], \@sent, 1,
            'each comes once');
    ok(all_consumed([ $t, 0 ]) && all_consumed([ $u, 0 ]),
       'both had some of it');
    is_each([ all_consumed([ $t, 1 ], [ $u, 1 ]) ], \@slow, 1,
            'and over reloads');
    $u->finish;
    $t->finish;
}


# a producer in nginx says that there is something

{
    my $t = consumer(consumers => [ 'delay=1ms', 'elements=1 wake=' . LIST
                                                 . ' delay=20ms' ],
                     workers => 2)->start;
    my %took = (waited => 0, woken => 0);

    # the machine may be late once or twice

    for my $round (1 .. 12) {
        last if $round > 3 && $took{woken} < $took{waited};

        for my $how (qw(waited woken)) {
            sleep(2);
            push_list($t, 1, numbered(100, $how)) if $how eq 'woken';
            sleep(0.2);

            my $begin = time();

            push_list($t, 0, "$how $round");
            poll_until(10, sub {
                grep { $_ eq "$how $round" } all_consumed([ $t, 0 ])
            }, 0.01);
            $took{$how} += time() - $begin;
            drained($t, 20);
        }
    }

    cmp_ok($took{woken}, '<', $took{waited},
           sprintf('woken consumers look sooner: %.2f s, else %.2f s',
                   $took{woken}, $took{waited}));
    $t->finish;
}


# what is no list

{
    my $t = consumer(consumers => [ '', '' ])->start;
    my $q = $t->db('queues');

    push_list($t, 0, 'before');
    drained($t, 10);
    $q->cmd('SET', LIST, 'no list');
    ok($t->wait_log('cannot be consumed: "WRONGTYPE', 10),
       'a key of another type is reported');
    push_list($t, 1, 'meanwhile');
    ok(poll_until(10, sub { all_consumed([ $t, 1 ]) }), 'others go on');
    sleep(6);
    is($t->log_lines('cannot be consumed'), 1, 'it is reported once');
    is($q->cmd('GET', LIST), 'no list', 'and left alone');
    $q->cmd('DEL', LIST);
    push_list($t, 0, 'after');
    ok(drained($t, 10), 'a list again: it is consumed');
    ok($t->wait_log('can be consumed again'), 'and that is said');
    is_deeply([ all_consumed([ $t, 0 ]) ], [ 'before', 'after' ], 'once');

    # given back to what is no list any more

    $t->{main} = 'test_consume ' . LIST . ' out/2 delay=1h elements=2;';
    $t->reload(gone => 10);
    push_list($t, 0, numbered(3, 'kept'));
    poll_until(10, sub { $q->cmd('LLEN', LIST) == 1 });
    $q->cmd('SET', LIST, 'no list');
    $t->nginx_stop('TERM');
    my ($key) = $q->keys('d4:inflight:*');
    is_deeply([ $q->cmd('LRANGE', $key, 0, -1) ], [ 'kept 2', 'kept 1' ],
              'what cannot be given back stays');

    $t->{main} = '';
    $t->nginx_start;

    push @waiting, sub {
        ok($t->wait_log('cannot be given back: "WRONGTYPE"', 30),
           'that is reported');
        $q->cmd('DEL', LIST);
        ok(poll_until(20, sub { $q->cmd('LLEN', LIST) == 2 }),
           'and it is given back when it can be');
        is_deeply([ $q->cmd('LRANGE', LIST, 0, -1) ], [ 'kept 2', 'kept 1' ],
                  'in order');
        is($t->log_lines('cannot be given back'), 1, 'it is reported once');
        $t->finish;
    };
}


# Redis without room for more: to consume makes room

{
    my $t = consumer(consumers => [ 'delay=1ms', '' ])->start;
    my $q = $t->db('queues');

    push_list($t, 1, 'before');
    drained($t, 10);
    push_list($t, 0, numbered(5000, 'full'));

    my $used = $q->cmd('INFO', 'memory') =~ /used_memory:(\d+)/ && $1;

    $q->cmd('CONFIG', 'SET', 'maxmemory', int($used / 2));
    ok(poll_until(20, sub { all_consumed([ $t, 0 ]) == 5000 }),
       'a full Redis is emptied');
    is_deeply([ consumed($t, 0) ], [ [ numbered(5000, 'full') ] ],
              'once and in order');
    $q->cmd('CONFIG', 'SET', 'maxmemory', 0);
    $t->finish;
}


# Redis dies and comes back with what it had

{
    my $t = consumer(workers => 2,
                     redis => { appendonly => 'yes', appendfsync => 'always' },
                     consumers => [ 'elements=11 blocks=4 delay=3ms' ])->start;
    my @sent = numbered(6000, 'redis');

    for my $i (0 .. 5) {
        push_list($t, 0, @sent[$i * 1000 .. $i * 1000 + 999]);
        sleep(rand(0.3));
        $t->redis_kill;
        sleep(rand(0.3));
        $t->redis_start;
    }

    ok(drained($t, 30), 'Redis was killed 6 times: all is consumed');

    # whatever the workers did without an answer is known by its position

    is_each([ all_consumed([ $t, 0 ]) ], \@sent, 1, 'each once');
    is((grep { !increasing(@$_) } consumed($t, 0)), 0, 'in order');
    $t->finish;
}

# Redis stands still until the workers give their connections up: it still
# carries out what they had sent, and nobody reads its answers

{
    my $t = consumer(workers => 2, d4 => 'redis_timeout 500ms;',
                     consumers => [ 'elements=11 blocks=4 delay=3ms' ])->start;
    my @sent = numbered(6000, 'unanswered');

    for my $i (0 .. 2) {
        push_list($t, 0, @sent[$i * 2000 .. $i * 2000 + 1999]);
        sleep(0.1 + rand(0.1));
        $t->redis_pause;
        sleep(1.2);
        $t->redis_resume;
        poll_until(10, sub { $t->ready });
    }

    ok(drained($t, 30), 'answers were lost: all is consumed');
    cmp_ok($t->log_lines('redis queues .* down: no answer within'), '>=', 3,
           'connections were given up');
    is_each([ all_consumed([ $t, 0 ]) ], \@sent, 1, 'each comes once');
    is((grep { !increasing(@$_) } consumed($t, 0)), 0, 'in order');
    is($t->log_lines('given back'), 0, 'and nothing had to be given back');
    $t->finish;
}

# and with less than it had

{
    my $t = consumer(workers => 2,
                     redis => { appendonly => 'no' },
                     consumers => [ 'elements=10 blocks=4 delay=50ms' ])
        ->start;
    my @sent = numbered(2000, 'older');

    push_list($t, 0, @sent);
    poll_until(10, sub { all_consumed([ $t, 0 ]) > 100 });
    $t->db('queues')->cmd('SAVE');
    poll_until(10, sub { all_consumed([ $t, 0 ]) > 800 });
    $t->redis_kill;
    sleep(0.3);
    $t->redis_start;

    ok(drained($t, 30), 'Redis came back as it was before: all is consumed');
    is_each([ all_consumed([ $t, 0 ]) ], \@sent, 0, 'nothing is lost');
    $t->finish;
}


# a server without queues, a list that is asked for twice

{
    my $t = consumer(main => 'test_consume a out/0; test_consume a out/1;',
                     consumers => [])->start;

    ok($t->wait_log('d4 list "a" cannot be consumed: it is consumed already'),
       'two consumers of one list in one worker: refused');
    $t->finish;

    my $u = consumer(redis => {}, consumers => [ '' ]);

    $u->{redis_lines} = "redis metadata unix:$u->{socket} db=0;"
        . "redis streams unix:$u->{socket} db=4;";
    $u->start;
    ok($u->wait_log('cannot be consumed: no "redis queues" is defined'),
       'no queues: refused');
    $u->finish;
}


$_->() for @waiting;

done_testing();

# Redis answers that it will not write now: out of memory, a failed snapshot,
# a replica, loading.  Nothing is dropped, nothing is stored twice.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;
use Time::HiRes qw(time);


# Waits until the streams do not grow for $seconds.

sub standstill {
    my ($load, $seconds) = @_;

    my ($n, $since) = (-1, time());

    return poll_until(20, sub {
        my $now = $load->stored;

        ($n, $since) = ($now, time()) if $now != $n;
        return time() - $since > $seconds;
    }, 0.1);
}


# What nginx has said twice about Redis without having said in between that it
# is good again.

sub repeated {
    my ($t) = @_;

    my (%said, @twice);

    for my $line ($t->log_lines(qr/redis/i)) {
        my ($who, $what) = $line =~ /\d+#(\d+: redis \w+) (.*)/ or next;

        if ($what =~ /: (?:takes writes again|ready)$/) {
            delete $said{$who};
            next;
        }

        push @twice, $line if $said{$who}{$what}++;
    }

    return @twice;
}


# refuses($name, $t, $load, $stop, $start): after $stop nothing is stored any
# more, after $start everything.

sub refuses {
    my ($name, $t, $load, $stop, $start) = @_;

    poll_until(10, sub { $load->stored > 500 });
    $stop->();
    ok($t->wait_log(qr/redis streams .*: refuses writes/),
       "$name: Redis refuses");
    ok(standstill($load, 0.7), "$name: and nothing is stored any more");
    ok($load->running, "$name: the sensors wait");

    my $before = $load->stored;

    # one that comes meanwhile

    my $s = $t->sensor(uuid => $t->{spare}, key => 'k', raw => 1);

    $s->tls && $s->send('came meanwhile');
    poll_for(1, sub { $s->ended });
    ok(!$s->ended, "$name: one that comes meanwhile waits, too");
    cmp_ok($load->stored - $before, '<', 20, "$name: nothing is stored");
    is_deeply([ repeated($t) ], [], "$name: and nginx does not repeat itself");

    $start->();
    is($t->wait_stored($s->{uuid}, 1, 15), 1, "$name: served afterwards");
    $s->finish;
}


sub done {
    my ($name, $t, $load) = @_;

    $load->stop;
    exactly_once($load, $name);
    is($load->{report}{connects}, $load->{conns}, "$name: no sensor was cut");
    ok(poll_until(5, sub { !$t->live_keys }), "$name: nothing is left");
    $t->finish;
}


# out of memory, three times, in the middle of batches

{
    my $t = D4::Test->new(workers => 2)->start;
    my $admin = $t->new_db('streams');
    my $load = $t->load(conns => 4, frames => 0, size => '26-9000',
                        rate => 3000, timeout => 300);

    $t->{spare} = $t->register(new_uuid(), 'k');

    refuses('OOM', $t, $load, sub {
        my ($used) = $admin->cmd('INFO', 'memory') =~ /used_memory:(\d+)/;
        $admin->cmd('CONFIG', 'SET', 'maxmemory', $used + (1 << 20));
    }, sub {
        $admin->cmd('CONFIG', 'SET', 'maxmemory', 0);
    });

    # again and again, each time a little more

    for (1 .. 10) {
        my ($used) = $admin->cmd('INFO', 'memory') =~ /used_memory:(\d+)/;
        $admin->cmd('CONFIG', 'SET', 'maxmemory', $used + (1 << 19));
        poll_for(0.3, sub { !$load->running }, 0.1);
    }

    $admin->cmd('CONFIG', 'SET', 'maxmemory', 0);
    done('OOM', $t, $load);
}


# a snapshot that fails (its place is taken by a directory)

{
    my $t = D4::Test->new(workers => 2, redis => { save => '3600 1' })->start;
    my $admin = $t->new_db('streams');
    my $load = $t->load(conns => 4, frames => 0, size => '26-9000',
                        rate => 3000, timeout => 300);
    my $rdb = "$t->{dir}/redis/dump.rdb";
    my $save = sub {
        $admin->cmd('BGSAVE');
        poll_until(10, sub {
            $admin->cmd('INFO', 'persistence') =~ /bgsave_in_progress:0/
        });
    };

    $t->{spare} = $t->register(new_uuid(), 'k');

    refuses('MISCONF', $t, $load, sub {
        unlink $rdb;
        mkdir $rdb;
        $save->();
    }, sub {
        rmdir $rdb;
        $save->();
    });

    done('MISCONF', $t, $load);
}


# a master that becomes a replica of nobody, and a master again

{
    my $t = D4::Test->new(workers => 2)->start;
    my $admin = $t->new_db('streams');
    my $load = $t->load(conns => 4, frames => 0, size => '26-9000',
                        rate => 3000, timeout => 300);
    my $nowhere = free_port();

    $t->{spare} = $t->register(new_uuid(), 'k');

    refuses('READONLY', $t, $load, sub {
        $admin->cmd('REPLICAOF', '127.0.0.1', $nowhere);
    }, sub {
        $admin->cmd('REPLICAOF', 'NO', 'ONE');
    });

    done('READONLY', $t, $load);
}


# restarted, and slow to load what it has

{
    my $t = D4::Test->new(workers => 2, redis => { save => '3600 1' })->start;
    my $load = $t->load(conns => 4, frames => 0, size => '26-3000',
                        rate => 2000, timeout => 300);

    $t->{spare} = $t->register(new_uuid(), 'k');

    # the delay counts for each key

    $t->db('cache')->pipeline(map { [ 'SET', "filler:$_", 'x' ] } 1 .. 3000);

    poll_until(10, sub { $load->stored > 1000 });
    $t->redis_stop;
    $t->redis_start(wait => 0, 'key-load-delay' => 1000,
                    'loading-process-events-interval-bytes' => 1024);

    my $loading = poll_until(5, sub {
        my $r = $t->new_db('streams', any => 1) or return;
        my ($reply) = $r->pipeline([ 'PING' ]);

        ref $reply && $$reply =~ /LOADING/;
    });

    ok($loading, 'Redis is loading');

    my $s = $t->sensor(uuid => $t->{spare}, key => 'k', raw => 1);

    ok(poll_until(30, sub { eval { $t->db('streams')->cmd('PING') } }),
       'Redis has loaded');
    $s->tls && $s->send('came while loading');
    is($t->wait_stored($s->{uuid}, 1, 15), 1, 'who came meanwhile is served');
    $s->finish;

    done('LOADING', $t, $load);
}

done_testing();

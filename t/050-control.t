# Kick, blocklists, keys, types and limits take effect on live sessions, idle
# ones too, in every worker: within a second when announced, within three
# when only the published keys are written.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;
use Time::HiRes qw(time);

use constant {
    ANNOUNCED => 1.0,
    PUBLISHED => 3.0,
    ATTEMPTS  => 5,
};

my $t = D4::Test->new(workers => 2, listen => 'reuseport')->start;
my ($streams, $metadata) = map { $t->db($_) } qw(streams metadata);


# Live idle sensors, at least one in each worker.

sub live {
    my (%o) = @_;

    my (@s, %workers);

    while (@s < 2 || keys %workers < 2 && @s < 60) {
        my $s = $t->sensor(%o);

        $s->send('live');
        $t->wait_stored($s->{uuid}, 1) == 1 or fail('no live sensor');
        $workers{ $t->worker_of($s->{uuid}, $s->{type}) // '' } = 1;
        push @s, $s;
    }

    is(scalar keys %workers, 2, 'sensors in both workers');

    return @s;
}


# Brings sensors with $do and sees how long they stay: until they are ended,
# with this status.  A machine that is busy may be late; of a few attempts one
# is in time.  Returns the sensors of the last one.

sub ended {
    my ($name, $limit, $status, $do) = @_;

    my ($best, @s) = (9e9);

    for my $n (1 .. ATTEMPTS) {
        @s = $do->($n);

        my ($begin, $took) = (time());

        poll_until(30, sub {
            my @open = grep { !$_->ended } @s;
            $took = time() - $begin;
            return !@open;
        }, 0.005);

        ok(!grep({ !$_->ended } @s), "$name: ended");

        for (@s) {
            my $line = $t->wait_access($_->{uuid});
            is($line->{status}, $status, "$name: status");
            $_->drop;
        }

        $best = $took if $took < $best;
        last if $best < $limit;
        diag(sprintf('%s: %.2f s', $name, $took));
    }

    cmp_ok($best, '<', $limit, "$name: within $limit s");

    return @s;
}


sub untouched {
    my ($name, @s) = @_;

    $_->send('still') for @s;

    my @ok = grep {
        my $s = $_;
        poll_until(5, sub { $s->ended
                            || grep { $_ eq 'still' }
                               $t->messages($s->{uuid}) })
            && !$s->ended;
    } @s;

    is(scalar @ok, scalar @s, "$name: the others go on");
}


my $subscribers = sub {
    return ($metadata->cmd('PUBSUB', 'NUMSUB', 'd4:control'))[1];
};

ok(poll_until(30, $subscribers), 'somebody listens on d4:control');

my @bystanders = live();


# kick, announced

{
    my @s = ended('kick, announced', ANNOUNCED, 'kicked', sub {
        my @s = live();

        $streams->cmd('SADD', 'server:sensor_to_kick', map { $_->{uuid} } @s);
        $t->announce("kick $_->{uuid}") for @s;
        return @s;
    });

    for (@s) {
        my $ttl = $streams->cmd('TTL', "temp_blacklist_uuid:$_->{uuid}");
        ok($ttl > 20 && $ttl <= 30, "banned for $ttl s");
        ok(poll_until(2, sub {
            ($metadata->cmd('HGET', "metadata_uuid:$_->{uuid}", 'Error')
             // '') =~ /^Error: /
        }), 'Error');
    }

    ok(poll_until(3, sub {
        !$streams->cmd('SCARD', 'server:sensor_to_kick')
    }), 'taken from the set');

    my $back = $t->sensor(uuid => $s[0]{uuid});
    $back->send('back');
    ok($back->ended(30), 'comes back too early: refused');
    $streams->cmd('DEL', "temp_blacklist_uuid:$s[0]{uuid}");
    $back = $t->sensor(uuid => $s[0]{uuid});
    $back->send('back');
    is($t->wait_stored($s[0]{uuid}, 2), 2, 'after the ban: let in');
    $back->finish;
}


# kick by the published set alone; uuids nobody knows do no harm

{
    ended('kick, published', PUBLISHED, 'kicked', sub {
        my @s = live();

        $streams->cmd('SADD', 'server:sensor_to_kick', new_uuid(), 'nonsense',
                      map { $_->{uuid} } @s);
        return @s;
    });
    ok(poll_until(3, sub {
        !$streams->cmd('SCARD', 'server:sensor_to_kick')
    }), 'the set is drained');
}


# kick all of the sessions of a uuid

{
    ended('all sessions of a uuid', ANNOUNCED, 'kicked', sub {
        my $uuid = $t->register(new_uuid(), 'k');
        my @s = map { $t->sensor(uuid => $uuid, key => 'k', type => $_) }
            1, 4, 8, 2, 2;

        $_->send('{}') for @s;
        ok($t->wait_live($uuid, 5), 'five sessions of a uuid');
        $streams->cmd('SADD', 'server:sensor_to_kick', $uuid);
        $t->announce("kick $uuid");
        return @s;
    });
}


# blocklists

{
    ended('blacklist_uuid, published', PUBLISHED, 'uuid_blocked', sub {
        my @s = live();

        $metadata->cmd('SADD', 'blacklist_uuid', map { $_->{uuid} } @s);
        return @s;
    });

    ended('blacklist_uuid, announced', ANNOUNCED, 'uuid_blocked', sub {
        my @s = live();

        $metadata->cmd('SADD', 'blacklist_uuid', map { $_->{uuid} } @s);
        $t->announce('block');
        return @s;
    });

    ended('blacklist_ip, published', PUBLISHED, 'address_blocked', sub {
        my $from = "127.0.20.$_[0]";
        my @s = live(from => $from);

        $metadata->cmd('SADD', 'blacklist_ip', $from);
        return @s;
    });

    ended('blacklist_ip, announced', ANNOUNCED, 'address_blocked', sub {
        my $from = "127.0.21.$_[0]";
        my @s = live(from => $from);

        $metadata->cmd('SADD', 'blacklist_ip', $from);
        $t->announce('block');
        return @s;
    });

    my ($from, @others);

    ended('blacklist_ip_by_uuid, published', PUBLISHED,
          'uuid_blocks_address', sub {
        $from = "127.0.22.$_[0]";
        (my $s, @others) = live(from => $from);
        $metadata->cmd('SADD', 'blacklist_ip_by_uuid', $s->{uuid});
        return $s;
    });
    ok(poll_until(30, sub {
        $metadata->cmd('SISMEMBER', 'blacklist_ip', $from)
    }), 'its address is blocked');
    ended('whoever else uses the address', PUBLISHED, 'address_blocked', sub {
        if ($_[0] > 1) {
            $from = "127.0.23.$_[0]";
            @others = live(from => $from);
            $metadata->cmd('SADD', 'blacklist_ip', $from);
        }

        return @others;
    });
}


# key, registration

{
    my $new_key = sub {
        my @s = live();

        $metadata->cmd('HSET', "metadata_uuid:$_->{uuid}", 'hmac_key', 'new')
            for @s;
        $t->announce("sensor $_->{uuid}") for @s;
        return @s;
    };

    my @s = ended('key changed', ANNOUNCED, 'key_changed', $new_key);

    my $back = $t->sensor(uuid => $s[0]{uuid}, key => 'new');
    $back->send('with the new key');
    is($t->wait_stored($s[0]{uuid}, 2), 2, 'the new key is good');
    $back->finish;

    @s = live();
    $t->announce("sensor $_->{uuid}") for @s;
    untouched('nothing changed', @s);
    ended('registration removed', ANNOUNCED, 'not_registered', sub {
        @s = live() if $_[0] > 1;
        $metadata->cmd('SREM', 'registered_uuid', map { $_->{uuid} } @s);
        $t->announce("sensor $_->{uuid}") for @s;
        return @s;
    });
}


# types

{
    my $two = $t->sensor(type => 2);
    my $accept = sub {
        $metadata->cmd('SADD', 'server:accepted_type', 4, 254);
        $t->announce('types');
    };
    my $four = sub {
        return poll_until(30, sub {
            my $s = $t->sensor(type => 4);
            $s->send('four');
            poll_until(30, sub { $t->messages($s->{uuid}) || $s->ended });
            $s->ended ? undef : $s;
        });
    };

    $two->send('{"type":"x"}');
    $t->wait_stored($two->{uuid}, 1);

    ended('type removed', ANNOUNCED, 'type_not_accepted', sub {
        if ($_[0] > 1) {
            $accept->();
            $four->();
        }

        my @s = live(type => 4);

        $metadata->cmd('SREM', 'server:accepted_type', 4, 254);
        $t->announce('types');
        return @s;
    });

    $two->write($two->frame_of('x', type => 254));
    ok($two->ended(30), 'type 254 removed: no change to it');
    is(scalar $t->messages($two->{uuid}), 1, 'nothing of it stored');

    $accept->();

    my $back = $four->();
    ok($back, 'type accepted again');
    $back->finish if $back;
}


# a consumer rejects the session

{
    my $s = $t->sensor(type => 1);
    $s->send('not a capture');
    $t->wait_stored($s->{uuid}, 1);

    my ($sid) = $t->sids($s->{uuid});
    $streams->cmd('SADD', 'Error:IncorrectType', $sid);

    my $begin = time();
    poll_until(5, sub { $s->send('more'); $s->ended }, 0.2);
    ok($s->ended, sprintf('incorrect type: ended after %.1f s',
                          time() - $begin));
    is($t->wait_access($s->{uuid})->{status}, 'incorrect_type', 'status');
    ok(poll_until(3, sub {
        !$streams->cmd('SISMEMBER', 'Error:IncorrectType', $sid)
    }), 'taken from the set');
    ok(poll_until(3, sub { !$streams->cmd('EXISTS', "stream:1:$sid") }),
       'the stream is deleted');
}


# stream limit

{
    ended('stream limit 0', ANNOUNCED, 'stream_limit', sub {
        my ($s) = live();

        $metadata->cmd('HSET', 'stream_max_size_by_uuid', $s->{uuid}, 0);
        $t->announce("sensor $s->{uuid}");
        return $s;
    });
}


# nonsense on the channel

$t->announce($_) for '', ' ', 'sensor', 'sensor ', 'kick', "kick \0",
    'sensor ' . 'f' x 31, 'sensor ' . 'f' x 33, 'x' x 100000, "\r\n",
    'queues', 'users', 'unknown verb', 'types types', 'block 1.2.3.4';

untouched('all the while', @bystanders);
$_->finish for @bystanders;


# the channel works again when its connection was cut

{
    ended('key changed, after a cut', ANNOUNCED, 'key_changed', sub {
        my @s = live();
        my $n = $subscribers->();

        $metadata->cmd('CLIENT', 'KILL', 'TYPE', 'pubsub');
        ok(poll_until(30, sub { $subscribers->() == $n }),
           'subscribed again');
        $metadata->cmd('HSET', "metadata_uuid:$_->{uuid}", 'hmac_key', 'new')
            for @s;
        $t->announce("sensor $_->{uuid}") for @s;
        return @s;
    });
}

ok(poll_until(5, sub { !$t->live_keys }), 'nothing is shown at the end');

$t->finish;
done_testing();

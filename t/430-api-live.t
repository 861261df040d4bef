# Live sensors obey what the API says within a second; every resource does to
# Redis what it should.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Api;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep time);

one_day();

my $t = D4::Api->new(workers => 2, listen => 'reuseport')->start;
my ($metadata, $streams) = map { $t->db($_) } qw(metadata streams);


# A sensor that the API registered, connected and stored once.

sub live {
    my (%opt) = @_;

    my $made = $t->ok(201, 'POST', 'sensors', body => { name => 'live' });
    my $s = $t->sensor(uuid => $made->{uuid}, key => $made->{hmac_key}, %opt);

    $s->send('live');
    $t->wait_stored($s->{uuid}, 1) == 1 or fail('the sensor is not let in');

    return $s;
}

my %took;

sub ended_within {
    my ($s, $name, $status) = @_;

    my $begin = time();

    poll_until(30, sub { $s->ended }, 0.005);
    $took{$name} = time() - $begin;
    ok($s->ended, "$name: ended");
    is($t->wait_access($s->{uuid})->{status}, $status, "$name: $status");
    $s->drop;
}


# What the API shows of it.

{
    my $s = live();
    my $u = $s->{uuid};
    my $one = $t->ok(200, 'GET', "sensors/$u");

    ok($one->{connected}, 'connected');
    is_deeply($one->{types}, [ '8' ], 'types');

    my $list = $t->ok(200, 'GET', "sensors/$u/sessions")->{sessions};

    is(scalar @$list, 1, 'one session');
    is($list->[0]{frames}, 1, 'its frames');
    is($list->[0]{type}, 8, 'its type');
    is($list->[0]{address}, '127.0.0.1', 'its address');
    is_deeply([ map { $_->{uuid} } @{ $t->ok(200, 'GET',
        'sensors?connected=true')->{sensors} } ], [ $u ], 'who is connected');

    ok(poll_until(5, sub {
        $t->request('GET', 'stats?by=sensor')->{json}{days}[-1]{values}[0]
    }), 'statistics');

    my ($day) = $t->request('GET', "stats?by=sensor")->{json}{days}[-1];
    is_deeply($day->{values}, [ { key => $u, packets => 1, bytes => 4 } ],
              'packets and bytes');
    is_deeply($t->request('GET', "sensors/$u/stats")->{json}{days}[-1]{types},
              { 8 => 1 }, 'by type');
    like($t->request('GET', '/metrics')->{content},
         qr/\nd4_sessions\{type="8"\}\ 1\n.*
            \nd4_backlog_entries\{type="8"\}\ 1\n/sx, 'metrics');

    # a session of another host is known from Redis alone

    my $sid = '5f0c7b1e-3a52-4d68-9b07-c2e1f4a6d890';

    $streams->cmd('SADD', "map:active_connection-uuid-session_uuid:$u", $sid);
    $metadata->cmd('HSET', "d4:session:$sid", 'type', 4, 'address', '192.0.2.1',
                   'worker', 'elsewhere:1:x', 'start', 1, 'last', 2,
                   'state', 'live');
    my ($other) = grep { $_->{host} eq 'elsewhere' }
        @{ $t->ok(200, 'GET', "sensors/$u/sessions")->{sessions} };
    is_deeply($other, { session => $sid, type => 4, address => '192.0.2.1',
                        host => 'elsewhere', start => 1, last => 2,
                        frames => 0, bytes => 0 }, 'a session elsewhere');
    $streams->cmd('SREM', "map:active_connection-uuid-session_uuid:$u", $sid);
    $metadata->cmd('DEL', "d4:session:$sid");

    $s->finish;
}


# What is done to it.

{
    my $s = live();
    $t->ok(200, 'POST', "sensors/$s->{uuid}/kick", as => 'user');
    ended_within($s, 'kick', 'kicked');

    $s = live();
    $t->ok(200, 'POST', "sensors/$s->{uuid}/block", as => 'user');
    ended_within($s, 'block', 'uuid_blocked');
    ok($t->ok(200, 'GET', "sensors/$s->{uuid}")->{blocked}, 'shown');

    my $back = $t->sensor(uuid => $s->{uuid}, key => $s->{key});
    $back->send('x');
    ok($back->ended(30), 'stays blocked');
    $t->ok(200, 'DELETE', "sensors/$s->{uuid}/block");
    $back = $t->sensor(uuid => $s->{uuid}, key => $s->{key});
    $back->send('x');
    is($t->wait_stored($s->{uuid}, 2), 2, 'unblocked');
    $back->finish;

    $s = live();
    my $key = $t->ok(200, 'PUT', "sensors/$s->{uuid}/key")->{hmac_key};
    like($key, qr/^[\w-]{64}$/, 'a generated key');
    ended_within($s, 'another key', 'key_changed');
    $back = $t->sensor(uuid => $s->{uuid}, key => $key);
    $back->send('x');
    is($t->wait_stored($s->{uuid}, 2), 2, 'the new key is good');
    unlike($t->request('GET', "sensors/$s->{uuid}")->{content}, qr/\Q$key/,
           'it is not shown');
    $back->finish;

    $s = live();
    $t->ok(200, 'PUT', "sensors/$s->{uuid}/key",
           body => { hmac_key => "k&<\"' \xc3\xa9" });
    ended_within($s, 'a key of strange bytes', 'key_changed');
    is($metadata->cmd('HGET', "metadata_uuid:$s->{uuid}", 'hmac_key'),
       "k&<\"' \xc3\x83\xc2\xa9", 'is kept as it was given');

    $s = live();
    $t->ok(200, 'PATCH', "sensors/$s->{uuid}", as => 'user',
           body => { stream_limit => 0 });
    ended_within($s, 'stream limit 0', 'stream_limit');

    $s = live(from => '127.0.0.5');
    $t->ok(200, 'PUT', 'blocklist/addresses/127.0.0.4/30', as => 'user');
    ended_within($s, 'a blocked network', 'address_blocked');
    is_deeply([ $metadata->members('d4:blocknet') ], [ '127.0.0.4/30' ],
              'kept as a network');
    $t->ok(200, 'DELETE', 'blocklist/addresses/127.0.0.7/30');

    $s = live(from => '127.0.0.6');
    $t->ok(200, 'PUT', 'blocklist/addresses/::ffff:127.0.0.6');
    ended_within($s, 'a blocked address', 'address_blocked');
    is_deeply([ $metadata->members('blacklist_ip') ], [ '127.0.0.6' ],
              'as the published server writes it');

    $s = live(from => '127.0.0.8');
    $t->ok(200, 'PUT', "blocklist/addresses-by-uuid/\U$s->{uuid}");
    ended_within($s, 'addresses by uuid', 'uuid_blocks_address');
    ok(poll_until(3, sub {
        $metadata->cmd('SISMEMBER', 'blacklist_ip', '127.0.0.8')
    }), 'its address is blocked');

    $s = live(type => 4);
    $t->ok(200, 'DELETE', 'types/4', as => 'user');
    ended_within($s, 'a type removed', 'type_not_accepted');
    $t->ok(200, 'PUT', 'types/4');

    # one or the other may be late where the machine is busy

    my @late = grep { $took{$_} >= 1 } sort keys %took;

    cmp_ok(scalar @late, '<', keys(%took) / 2, 'within a second')
        || diag(map { sprintf("%s: %.1f s\n", $_, $took{$_}) } @late);
}


# Delete: live sessions end, nothing is left, the uuid may come again.

{
    my $s = live();
    my $u = $s->{uuid};

    $t->ok(200, 'PATCH', "sensors/$u",
           body => { tags => [ 'a', 'b' ], group => 'g', monitoring_delay => 9,
                     stream_limit => 77 });
    my $q = $t->ok(201, 'POST', 'queues',
                   body => { type => 8, sensors => [ $u ] })->{id};
    is_deeply([ $metadata->members("sensor:queues:8:$u") ], [ $q ],
              'a queue of a group is fed where it is read');

    my $begin = time();
    $t->ok(200, 'DELETE', "sensors/$u");
    ok($s->ended(30), 'deleted while connected: ended');
    $s->drop;

    sleep 1.5;                         # what a late flush would bring back

    my @left = grep { /$u/ && !/^(daily|stat|d4:bytes|d4:session)/ }
        $metadata->keys('*');
    is_deeply(\@left, [], 'no key is left');

    for my $key (grep { !/^(daily|stat_|d4:bytes|d4:refused|d4:audit)/ }
                 $metadata->keys('*'))
    {
        my $type = $metadata->cmd('TYPE', $key);
        my @in = $type eq 'set' ? $metadata->members($key)
            : $type eq 'zset' ? $metadata->cmd('ZRANGE', $key, 0, -1)
            : $type eq 'hash' ? $metadata->cmd('HGETALL', $key) : ();

        ok(!grep({ /$u/ } @in), "not in $key") if $key !~ /^d4:session:/;
    }

    $t->ok(404, 'GET', "sensors/$u");
    $t->ok(201, 'POST', 'sensors', as => 'sensor_register',
           body => { uuid => $u, hmac_key => 'again' });
    is($t->ok(200, 'GET', "sensors/$u")->{state}, 'pending',
       'it may register again');

    my $early = $t->sensor(uuid => $u, key => 'again');
    $early->send('x');
    ok($early->ended(30), 'not before it is approved');
    $t->ok(200, 'POST', "sensors/$u/approve");

    my $back = $t->sensor(uuid => $u, key => 'again');
    $back->send('x');
    is($t->wait_stored($u, 2), 2, 'approved: let in');
    $back->finish;
}


# Enrolment as published, with its defects mended.

{
    my $u = new_uuid();
    my $body = { uuid => dashed(uc $u), hmac_key => 'k&<', mail => 'a@b.c',
                 third_party => JSON::PP::true() };

    is_deeply($t->ok(200, 'POST', 'add/sensor/register',
                     as => 'sensor_register', body => $body),
              { uuid => $u }, 'registered, the uuid in hex');
    is($metadata->cmd('HGET', "metadata_uuid:$u", 'hmac_key'), 'k&<',
       'the key as it was given');
    is($metadata->cmd('HGET', "metadata_uuid:$u", 'user_mail'), 'a@b.c',
       'mail');
    ok($metadata->cmd('SISMEMBER', 'sensor_pending_registration', $u),
       'pending');

    for my $case (
        [ 409, $body, 'Sensor already registered' ],
        [ 409, { uuid => $u }, 'Sensor already registered' ],
        [ 400, { uuid => new_uuid() },
          'Mandatory parameter(s) not provided' ],
        [ 400, { uuid => 'x', hmac_key => 'k' }, 'Invalid uuid' ],
        [ 400, { hmac_key => 'k' }, 'Invalid uuid' ],
    ) {
        is($t->ok($case->[0], 'POST', 'add/sensor/register',
                  as => 'sensor_register', body => $case->[1])->{reason},
           $case->[2], $case->[2]);
    }

    is_deeply($t->ok(200, 'GET', 'sensors/monitoring/errors'), [],
              'the published list');
}


# Races: one of many creates; a delete among them.

{
    my @pid;
    my $u = new_uuid();
    my $file = "$t->{dir}/race";

    for my $n (1 .. 8) {
        my $pid = fork() // die "fork: $!";

        if (!$pid) {
            my @status = map {
                $t->{agent} = undef;
                $t->request('POST', 'sensors', body => { uuid => $u })->{status}
            } 1 .. 5;

            open(my $fh, '>>', $file) or POSIX::_exit(1);
            syswrite($fh, "$_\n") for @status;
            POSIX::_exit(0);
        }

        push @pid, $pid;
    }

    waitpid($_, 0) for @pid;

    my %count;
    $count{$_}++ for split /\n/, D4::Proc::slurp($file);
    is_deeply(\%count, { 201 => 1, 409 => 39 }, 'one create of forty');
    $t->ok(200, 'DELETE', "sensors/$u");
}


# In every worker at once while they are reloaded.

{
    my @pid;
    my $file = "$t->{dir}/reload";

    for (1 .. 2) {
        my $pid = fork() // die "fork: $!";

        if (!$pid) {
            my $end = time() + 4;
            my %count;

            while (time() < $end) {
                $t->{agent} = undef;
                $count{ $t->request('GET', 'types')->{status} }++;
            }

            open(my $fh, '>>', $file) or POSIX::_exit(1);
            syswrite($fh, "$_ $count{$_}\n") for keys %count;
            POSIX::_exit(0);
        }

        push @pid, $pid;
    }

    for (1 .. 2) {
        sleep 0.7;
        $t->reload;
    }

    waitpid($_, 0) for @pid;

    my %count;
    $count{ (split)[0] } += (split)[1]
        for split /\n/, D4::Proc::slurp($file);

    is(join(' ', grep { $_ ne '200' } keys %count), '',
       "$count{200} requests, two reloads: each was answered")
        || diag(join ', ', map { "$_: $count{$_}" } sort keys %count);
}

$t->{agent} = undef;
$t->finish;
done_testing();

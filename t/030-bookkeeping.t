# What Redis tells of a session while it lives, and what is left of it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

one_day();

my $t = D4::Test->new(workers => 2, d4 => 'host test-host;')->start;

my ($streams, $metadata) = map { $t->db($_) } qw(streams metadata);


# a connection without a frame, then half a frame: nothing is known

my $s = $t->sensor;
my $uuid = $s->{uuid};

$s->write(substr($s->frame_of('the first'), 0, 65));
select(undef, undef, undef, 0.3);
is_deeply([ $streams->keys ], [], 'half a frame: no key in streams');
is_deeply([ $metadata->keys("*$uuid*") ], [ "metadata_uuid:$uuid" ],
          'no key of the sensor');


# the first frame

$s->write(substr($s->frame_of('the first'), 65));
is($t->wait_stored($uuid, 1), 1, 'the first frame');
ok($t->wait_live($uuid, 1), 'one live session');

my ($sid) = $t->sids($uuid);
my ($stream) = $t->streams($uuid);

is($stream->{sid}, $sid, 'whose id is the one of the stream');

is_deeply({ map { $_ => [ $streams->members($_) ] }
            grep { !/^stream:/ } $streams->keys },
          { 'active_connection'                 => [ $uuid ],
            'active_connection:8'               => [ $uuid ],
            "active_connection_by_uuid:$uuid"   => [ 8 ],
            "active_uuid_type8:$uuid"           => [ $sid ],
            "map:active_connection-uuid-session_uuid:$uuid" => [ $sid ],
            'session_uuid:8'                    => [ $sid ] },
          'all there is in the streams database');

my $session = $metadata->hash("d4:session:$sid");
my $worker = $session->{worker} // '';

is($session->{uuid}, $uuid, 'd4:session: uuid');
is($session->{type}, 8, 'type');
is($session->{address}, '127.0.0.1', 'address');
is($session->{state}, 'live', 'state');
ok(abs(($session->{start} // 0) - time()) < 60, 'start');
like($worker, qr/^test-host:\d+:[^:]+$/, 'worker');
is($metadata->cmd('GET', "d4:claim:8:$uuid"), "$sid $worker", 'claim');
is_deeply([ $metadata->members("d4:sessions:$worker") ], [ $sid ],
          'sessions of the worker');
ok($metadata->cmd('SISMEMBER', 'd4:workers', $worker), 'workers');

my $lease = $metadata->cmd('PTTL', "d4:worker:$worker");
ok($lease > 0 && $lease <= 10000, "lease of $lease ms");

ok((grep { $worker =~ /:$_:/ } $t->workers), 'named by its pid');


# what is known of the sensor

ok(poll_until(3, sub {
    $metadata->cmd('HGET', "metadata_uuid:$uuid", 'last_seen')
}), 'statistics come about once a second');

my $hash = $metadata->hash("metadata_uuid:$uuid");
is_deeply([ sort keys %$hash ], [ sort qw(hmac_key first_seen last_seen) ],
          'first_seen and last_seen');
ok(abs($hash->{$_} - time()) < 60, "$_ in seconds")
    for qw(first_seen last_seen);
is_deeply([ sort keys %{ $metadata->hash("metadata_type_by_uuid:$uuid:8") } ],
          [ qw(first_seen last_seen) ], 'of the type, too');
is_deeply([ $metadata->members("all_types_by_uuid:$uuid") ], [ 8 ], 'types');

my $ips = $metadata->cmd('LRANGE', "list_uuid_ip:$uuid", 0, -1);
is(scalar @$ips, 1, 'one address');
like($ips->[0], qr/^127\.0\.0\.1-\d{14}$/, 'with its time');
is(substr($ips->[0], 10, 8), today(), 'of today');


# another type of the same uuid

{
    my $other = $t->sensor(uuid => $uuid, type => 4);
    $other->send('four');
    ok($t->wait_live($uuid, 2), 'two types at a time');
    is_deeply([ $streams->members("active_connection_by_uuid:$uuid") ],
              [ 4, 8 ], 'both shown');
    $other->finish;
    ok($t->wait_live($uuid, 1), 'one ends');
    ok(poll_until(3, sub {
        "@{[ $streams->members(qq(active_connection_by_uuid:$uuid)) ]}" eq '8'
    }), 'the other stays');
    ok($streams->cmd('SISMEMBER', 'active_connection', $uuid),
       'and the uuid with it');
    ok(!$streams->cmd('EXISTS', 'active_connection:4'), 'type 4 is gone');
}


# the end

$s->send('the last');
$s->finish;

ok(poll_until(5, sub { !$t->live_keys }), 'nothing is shown as connected');
ok(poll_until(3, sub { $streams->members('ended_session') == 2 }),
   'ended_session');
ok($streams->cmd('SISMEMBER', 'ended_session', $sid), 'knows the session');
ok($streams->cmd('SISMEMBER', 'session_uuid:8', $sid),
   'session_uuid is left to the consumer');
ok(poll_until(3, sub {
    !$metadata->keys('d4:claim:*') && !$metadata->keys('d4:sessions:*')
}), 'no claim, no session of a worker');

$session = $metadata->hash("d4:session:$sid");
is($session->{frames}, 2, 'its frames are counted');
is($session->{bytes}, length('the firstthe last'), 'its bytes, too');

for my $key ($metadata->keys('d4:session:*')) {
    is($metadata->cmd('HGET', $key, 'state'), 'ended', 'state: ended');
    cmp_ok($metadata->cmd('TTL', $key), '>', 0, 'and it expires');
}


# a session that stored nothing never was

{
    my $before = $streams->snapshot;
    my $s = $t->sensor;

    $s->write($s->frame_of('forged', key => 'wrong'));
    $s->ended(30);

    my $quiet = $t->sensor;
    $quiet->finish;

    select(undef, undef, undef, 0.5);
    is_deeply($streams->snapshot, $before, 'no session that stored nothing');
}


# the last 16 addresses

{
    my $uuid = $t->register(new_uuid(), 'k');

    for my $i (1 .. 18) {
        my $s = $t->sensor(uuid => $uuid, key => 'k', from => "127.0.0.$i");
        $s->send($i);
        $s->finish;
        poll_until(5, sub { !$t->live_keys });
    }

    my $ips;
    poll_until(5, sub {
        $ips = $metadata->cmd('LRANGE', "list_uuid_ip:$uuid", 0, -1);
        ($ips->[0] // '') =~ /^127\.0\.0\.18-/;
    });

    is_deeply([ map { (split /-/)[0] } @$ips ],
              [ map { "127.0.0.$_" } reverse 3 .. 18 ],
              'list_uuid_ip: 16, the newest first');
}


# ended_session comes behind the last frame, session_uuid with the first

{
    my $monitor = $t->new_db('streams');
    $monitor->cmd('MONITOR');

    my $load = $t->load(conns => 6, frames => 500, size => '26-400');
    exactly_once($load, 'six sessions');
    poll_until(5, sub { !$t->live_keys });
    $streams->cmd('SET', 'end-of-monitor', 1);

    my (%first, %last, %announced, %ended, $n);

    for (;;) {
        my $line = $monitor->_reply;

        $n++;
        last if $line =~ /end-of-monitor/;

        if ($line =~ /"XADD" "stream:8:([^"]+)"/i) {
            $first{$1} //= $n;
            $last{$1} = $n;
        }

        $announced{$1} //= $n
            if $line =~ /"SADD" "session_uuid:8" "([^"]+)"/i;

        if ($line =~ /"SADD" "ended_session" (.*)/i) {
            my $sids = $1;
            $ended{$_} //= $n for $sids =~ /[0-9a-f-]{36}/g;
        }
    }

    is(scalar keys %first, 6, 'monitored');
    is((grep { ($ended{$_} // 0) > $last{$_} } keys %last), 6,
       'ended_session behind the last frame');
    is((grep { $announced{$_} } keys %last), 6, 'session_uuid');
    cmp_ok($announced{$_} // 1e9, '<', $ended{$_} // 0,
           'announced before it ended') for keys %last;
    $streams->cmd('DEL', 'end-of-monitor');
}


# a consumer as published, reading along; its DEL is the end of the stream

{
    my $s = $t->sensor;
    my @read;

    $s->send(map { "line $_" } 1 .. 10);
    $t->wait_stored($s->{uuid}, 10);

    my ($sid) = $t->sids($s->{uuid});
    my $key = "stream:8:$sid";

    my $consume = sub {
        while (my $r = $streams->cmd('XREAD', 'COUNT', 1, 'STREAMS', $key,
                                     '0'))
        {
            my $entry = $r->[0][1][0];

            push @read, { @{ $entry->[1] } }->{message};
            $streams->cmd('XDEL', $key, $entry->[0]);
        }
    };

    $consume->();
    $s->send(map { "line $_" } 11 .. 20);
    poll_until(5, sub { $streams->cmd('XLEN', $key) == 10 });
    $consume->();
    $s->send('line 21');
    $s->finish;
    poll_until(5, sub { $streams->cmd('SISMEMBER', 'ended_session', $sid) });
    $consume->();

    is_deeply(\@read, [ map { "line $_" } 1 .. 21 ], 'consumed to the end');

    $streams->cmd('SREM', $_, $sid) for qw(ended_session session_uuid:8);
    $streams->cmd('DEL', $key);

    select(undef, undef, undef, 1.2);
    is_deeply([ $streams->keys("*$sid*") ], [], 'nothing comes back');
}


# a worker that stops gives its lease back

ok($t->nginx_stop, 'nginx quits');
is_deeply([ $metadata->keys('d4:worker:*') ], [], 'no lease is left');
is_deeply([ $metadata->keys('d4:sessions:*') ], [], 'no sessions are left');
is($metadata->cmd('SCARD', 'd4:workers'), 0, 'no worker is left');

$t->finish;
done_testing();

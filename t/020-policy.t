# Who is refused, why, and that a sensor that did not prove who it is leaves
# no trace in its name.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

one_day();

my ($strict, $skewed) = (free_port(), free_port());

my $t = D4::Test->new(workers => 2, stream => <<EOF_CONF)->start;
    server {
        listen 127.0.0.1:$strict;
        d4 on;
        d4_versions 1 3;
    }
    server {
        listen 127.0.0.1:$skewed;
        d4 on;
        d4_max_skew 60s;
    }
EOF_CONF

my $metadata = $t->db('metadata');
my $streams = $t->db('streams');


sub sensor_known {
    my $uuid = new_uuid();

    return $t->register($uuid, "key of $uuid");
}


# What is refused: name, reason, uuid, what is sent, further options.  All
# are sent at once, then each is judged.

sub refuse {
    my ($name, $reason, $uuid, %o) = @_;

    my $type = $o{type} // 8;
    my $s = $t->sensor(uuid => $uuid, type => $type,
                       $o{key} ? (key => $o{key}) : (),
                       $o{port} ? (port => $o{port}, tls => 0) : (),
                       $o{from} ? (from => $o{from}) : ());

    if (!$s) {
        fail("$name: no connection");
        return;
    }

    my $bytes = $o{bytes}
        // join '', map { $s->frame_of($_) } @{ $o{send} // [ "data\n" ] };

    $s->write($bytes) if length $bytes;

    return { %o, name => $name, reason => $reason, uuid => $uuid,
             type => $type, s => $s };
}


sub judge {
    my ($r) = @_;

    ok($r->{s}->ended(30), "$r->{name}: the connection is ended");
    is($r->{s}{got}, '', 'without an answer');

    my $type = $r->{log_type} // $r->{type};
    my $uuid = $r->{log_uuid} // $r->{uuid};
    my $line = $t->wait_log(qr/d4 refused: .*$uuid/) // '';
    my $reason = ref $r->{reason} ? $r->{reason} : qr/\Q$r->{reason}\E/;

    my $who = qr/uuid: $uuid, type: $type/;
    my $where = qr/client: 127\.0\.0\.\d+, server: 127\.0\.0\.1:\d+/;

    like($line, qr/\[info\].*d4 refused: $reason, $who(?: while [\w ]+)?, $where/,
         "reason $r->{reason}");

    is(scalar $t->log_lines(qr/d4 refused: .*$uuid/), 1, 'one line');

    my $error = $metadata->cmd('HGET', "metadata_uuid:$r->{uuid}", 'Error');

    if ($r->{error}) {
        $error = poll_until(3, sub {
            $metadata->cmd('HGET', "metadata_uuid:$r->{uuid}", 'Error')
        }) if !defined $error;

        like($error // '', qr/^Error: \w/, 'the sensor has its Error');

    } else {
        is($error, undef, 'no Error');
    }

    my $access = (grep { $_->{uuid} eq $r->{uuid} } $t->access_lines)[0];
    like($access ? $access->{status} : '', $reason, 'status');
}


# ---- without a valid HMAC -------------------------------------------------

my ($blocked, $dashed, $blocker, $banned, $nokey, $unknown, $other)
    = (map({ sensor_known() } 1 .. 4), new_uuid(), new_uuid(),
       sensor_known());
my ($v1, $variant) = ('0123456789ab1def8123456789abcdef',
                      '0123456789ab4def4123456789abcdef');

$t->register($nokey);
$t->register($_, "key of $_") for $v1, $variant;
$metadata->cmd('SADD', 'blacklist_uuid', $blocked,
               D4::Sensor::dashed($dashed));
$metadata->cmd('SADD', 'blacklist_ip_by_uuid', $blocker);
$streams->cmd('SET', "temp_blacklist_uuid:$banned", 'x');

my $ours = qr/^(d4:refused|d4:worker)/;
my %before = map { $_ => $t->db($_)->snapshot($ours) } qw(metadata streams);

my @refused = (
    refuse('unknown uuid', 'not_registered', $unknown),
    refuse('blocked uuid', 'uuid_blocked', $blocked),
    refuse('blocked uuid, stored with dashes', 'uuid_blocked', $dashed),
    refuse('uuid of version 1', 'bad_uuid', $v1),
    refuse('uuid of another variant', 'bad_uuid', $variant),
    refuse('no key anywhere', 'no_key', $nokey),
);

{
    my @forged = (
        [ 'wrong key' => { key => 'wrong' } ],
        [ 'payload changed' => { at => 62 + 2 } ],
        [ 'time changed' => { at => 18 } ],
        [ 'version changed' => { at => 0 } ],
        [ 'type changed' => { at => 1, xor => 8 ^ 4, shown => 4 } ],
        [ 'HMAC changed in its last byte' => { at => 57 } ],
        [ 'HMAC of zeros' => { hmac => "\0" x 32 } ],
        [ 'zero size' => { hmac => 'x' x 32, payload => '' } ],
    );

    for (@forged) {
        my ($name, $f) = @$_;
        my $uuid = sensor_known();
        my $bytes = frame(uuid => $uuid, key => "key of $uuid",
                          payload => 'hello', %$f);

        substr($bytes, $f->{at}, 1) ^= chr($f->{xor} // 1)
            if defined $f->{at};

        push @refused, refuse($name, 'bad_hmac', $uuid, bytes => $bytes,
                              type => $f->{shown} // 8);
    }

    my $big = sensor_known();

    push @refused,
        refuse('a header that claims 1,000,001 bytes', 'payload_too_large',
               $big, bytes => substr(frame(uuid => $big, key => 'x',
                                           size => 1_000_001), 0, 62)),
        refuse('a version that is not accepted', 'version', $other,
               port => $strict,
               bytes => frame(uuid => $other, key => "key of $other",
                              version => 2));

    # policies that write an Error, but for a frame that is not authentic

    my ($type, $first) = (sensor_known(), sensor_known());

    push @refused,
        refuse('banned, forged', qr/banned|bad_hmac/, $banned,
               key => 'wrong'),
        refuse('type 3, forged', qr/type_not_accepted|bad_hmac/, $type,
               key => 'wrong', type => 3),
        refuse('254 first, forged', qr/meta_first|bad_hmac/, $first,
               key => 'wrong', type => 254),
        refuse('blocking uuid, forged', 'bad_hmac', $blocker,
               key => 'wrong');
}

# registering made keys; what the refusals made comes on top

my @uuids = map { $_->{uuid} } @refused;

judge($_) for @refused;


# a sensor that only shows a header, or half a frame, and goes away; several
# that hold the connection do not keep the real one out

{
    my $uuid = sensor_known();
    my @squatters;

    for (1 .. 4) {
        my $s = $t->sensor(uuid => $uuid, key => 'wrong');

        $s->write(substr($s->frame_of('x' x 500), 0, 62 + 100 * $_));
        push @squatters, $s;
    }

    my $real = $t->sensor(uuid => $uuid);
    $real->send('mine');
    is($t->wait_stored($uuid, 1), 1, 'a header alone holds no slot');
    ok(!$real->ended, 'the real one goes on');
    $real->finish;
    $_->reset for @squatters;

    push @uuids, $uuid;
}

poll_until(3, sub {
    $metadata->cmd('HGET', 'd4:refused:' . today(), 'bad_hmac')
});

for my $db (qw(metadata streams)) {
    my $after = $t->db($db)->snapshot($ours);
    my %registered = map { ("metadata_uuid:$_" => 1) } @uuids;
    my $skip = $uuids[-1];          # the one that did send something

    my @changed = grep {
        !(defined $before{$db}{$_} && defined $after->{$_}
          && $before{$db}{$_} eq $after->{$_})
    } sort keys %{ { %{ $before{$db} }, %$after } };

    @changed = grep {
        !/$skip/ && $_ ne 'registered_uuid'
        && !/^(daily_|stat_|d4:bytes:|stream:|session_uuid:|ended_session
               |d4:session:|d4:sessions:)/x
        && !($registered{$_} && !$before{$db}{$_})
    } @changed;

    is_deeply(\@changed, [], "$db: no key was touched");
}

for my $uuid (@uuids[0 .. $#uuids - 1]) {
    my $hash = $metadata->hash("metadata_uuid:$uuid");

    delete $hash->{hmac_key};
    is_deeply($hash, {}, "$uuid: no field but its key") if %$hash;

    my @keys = grep { $_ ne "metadata_uuid:$uuid"
                      && $_ ne "temp_blacklist_uuid:$uuid" }
        map { $t->db($_)->keys("*$uuid*") } qw(metadata streams);

    is_deeply(\@keys, [], "$uuid: no key names it") if @keys;
}

is($metadata->cmd('EXISTS', 'blacklist_ip'), 0,
   'a forged frame of a blocking uuid blocks nobody');


# ---- authentic, and refused all the same ----------------------------------

{
    my ($ban, $type, $type0, $meta, $limit, $skew, $block, $wait)
        = map { sensor_known() } 1 .. 8;

    $streams->cmd('SET', "temp_blacklist_uuid:$_", 'x', 'EX', 60)
        for $ban, $wait;
    $metadata->cmd('HSET', 'stream_max_size_by_uuid', $limit, 0);
    $metadata->cmd('SADD', 'blacklist_ip_by_uuid', $block);

    my $old = frame(uuid => $skew, key => "key of $skew", time => time() - 90);

    my @refused = (
        refuse('banned', 'banned', $ban, error => 1),
        refuse('type 3', 'type_not_accepted', $type, type => 3, error => 1),
        refuse('type 0', 'type_not_accepted', $type0, type => 0, error => 1),
        refuse('254 first', 'meta_first', $meta, type => 254, error => 1),
        refuse('stream limit 0', 'stream_limit', $limit, error => 1),
        refuse('clock', 'clock_skew', $skew, port => $skewed, bytes => $old,
               error => 1),
        refuse('a uuid that blocks its address', 'uuid_blocks_address', $block,
               from => '127.0.0.77', error => 1),
    );

    # its payload never comes: refused, without Error, about 2 s later

    my $half = refuse('banned, payload missing', 'banned', $wait,
                      bytes => substr(frame(uuid => $wait, payload => 'x' x 9,
                                            key => "key of $wait"), 0, 65));

    judge($_) for @refused, $half;

    is_deeply([ $t->messages($_) ], [], 'nothing stored')
        for map { $_->{uuid} } @refused, $half;

    ok(poll_until(3, sub {
        $metadata->cmd('SISMEMBER', 'blacklist_ip', '127.0.0.77')
    }), 'the address is blocked now');
    ok($metadata->cmd('SISMEMBER', 'blacklist_ip', '127.0.0.1') == 0,
       'only that one');

    # a frame that is stored clears Error

    $streams->cmd('DEL', "temp_blacklist_uuid:$ban");

    my $s = $t->sensor(uuid => $ban);
    $s->send('again');
    ok(poll_until(5, sub {
        !$metadata->cmd('HEXISTS', "metadata_uuid:$ban", 'Error')
    }), 'Error is cleared by a stored frame');
    is($t->wait_stored($ban, 1), 1, 'which is there');
    $s->finish;

    $s = $t->sensor(uuid => $skew, port => $skewed, tls => 0);
    $s->write($s->frame_of('early', time => time() + 50));
    $s->write($s->frame_of('late', time => time() - 50));
    is($t->wait_stored($skew, 2), 2, 'a clock within the limit');
    $s->finish;
}


# ---- in the middle of a session -------------------------------------------

{
    my ($kind, $who, $hmac, $skew) = map { sensor_known() } 1 .. 4;
    my $victim = sensor_known();
    my @refused;

    # TLS puts both frames into one read

    push @refused, refuse('type 8, then 4', 'type_changed', $kind,
        error => 1, log_type => qr/[48]/, bytes => join('', map {
            frame(uuid => $kind, key => "key of $kind", type => $_,
                  payload => "type $_") } 8, 4));
    push @refused, refuse('another uuid', 'uuid_changed', $who, error => 1,
        log_uuid => qr/(?:$who|$victim)/,
        bytes => frame(uuid => $who, key => "key of $who", payload => 'me')
                 . frame(uuid => $victim, key => "key of $who",
                         payload => 'not me'));
    push @refused, refuse('forged behind a good one', 'bad_hmac', $hmac,
        bytes => frame(uuid => $hmac, key => "key of $hmac", payload => 'good')
                 . frame(uuid => $hmac, key => 'wrong', payload => 'bad'));
    push @refused, refuse('clock, later', 'clock_skew', $skew, error => 1,
        port => $skewed,
        bytes => frame(uuid => $skew, key => "key of $skew", payload => 'now')
                 . frame(uuid => $skew, key => "key of $skew",
                         payload => 'then', time => 0));

    judge($_) for @refused;

    for ([ $kind => 'type 8' ], [ $who => 'me' ], [ $hmac => 'good' ],
         [ $skew => 'now' ])
    {
        my ($uuid, $kept) = @$_;

        $t->wait_stored($uuid, 1);
        is_deeply([ $t->messages($uuid) ], [ $kept ],
                  'the good frame is kept, the other is not');
    }

    is_deeply($metadata->hash("metadata_uuid:$victim"),
              { hmac_key => "key of $victim" },
              'the uuid that was shown is not touched');
}


# ---- the order of reasons -------------------------------------------------

{
    my ($a, $c, $d) = (new_uuid(), sensor_known(), sensor_known());
    my $b = new_uuid();

    $metadata->cmd('SADD', 'blacklist_uuid', $a);
    $streams->cmd('SET', "temp_blacklist_uuid:$_", 1, 'EX', 60)
        for $a, $b, $c;

    judge($_) for
        refuse('blocked, unknown, banned', 'uuid_blocked', $a, type => 3),
        refuse('unknown, banned', 'not_registered', $b, type => 3),
        refuse('banned, type', 'banned', $c, type => 3, error => 1),
        refuse('type, forged twice', qr/bad_hmac|type_not_accepted/, $d,
               type => 3, key => 'wrong');
}


# ---- registration as the published server left it -------------------------

{
    my $uuid = new_uuid();

    $metadata->cmd('SADD', 'registered_uuid', D4::Sensor::dashed($uuid));
    $metadata->cmd('HSET', "metadata_uuid:$uuid", 'hmac_key', "key of $uuid");

    my $s = $t->sensor(uuid => $uuid);
    $s->send('x');
    is($t->wait_stored($uuid, 1), 1, 'registered with dashes');
    $s->finish;
}


is_deeply([ $t->live_keys ], [], 'nobody is shown as connected');

$t->finish;
done_testing();

# Packets and bytes, exact when nginx has stopped.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

one_day();

# Sums over the days that the test may touch.

sub sum {
    my ($t, $pattern) = @_;

    my $redis = $t->db('metadata');
    my %sum;

    for my $key ($redis->keys($pattern)) {
        my $z = $redis->zset($key);
        $sum{$_} += $z->{$_} for keys %$z;
    }

    return \%sum;
}


# known numbers, written at the end only

{
    my $t = D4::Test->new(workers => 2, d4 => 'stat_interval 10m;')->start;

    my @sent = (
        [ '127.0.0.1', 8, [ 10, 20, 30 ] ],
        [ '127.0.0.2', 8, [ 0, 0, 7 ] ],
        [ '127.0.0.2', 1, [ 1000 ] ],
        [ '127.0.0.3', 4, [ (5) x 100 ] ],
    );
    my (%frames, %bytes);
    my $first = $t->register(new_uuid(), 'k');
    my @uuids = ($first, $t->register(new_uuid(), 'k'), $first,
                 $t->register(new_uuid(), 'k'));
    my @sensors;

    for my $i (0 .. $#sent) {
        my ($ip, $type, $sizes) = @{ $sent[$i] };
        my $s = $t->sensor(uuid => $uuids[$i], key => 'k', type => $type,
                           from => $ip);

        $s->send(map { 'x' x $_ } @$sizes);
        push @sensors, $s;

        for ("uuid $uuids[$i]", "ip $ip", "type $type",
             "ui $uuids[$i] $ip", "ut $uuids[$i] $type")
        {
            $frames{$_} += @$sizes;
            my $sum = 0;
            $sum += $_ for @$sizes;
            $bytes{$_} += $sum;
        }
    }

    # a session of 2 and 254: each frame under its own type

    my $meta = $t->sensor(uuid => $first, key => 'k', type => 2,
                          from => '127.0.0.4');
    $meta->send('{"type":"x"}');
    $meta->write(join '', map { $meta->frame_of($_, type => 254) }
                 'abc', 'defg');
    push @sensors, $meta;

    for ([ 'type 2', 1, 12 ], [ 'type 254', 2, 7 ], [ "uuid $first", 3, 19 ],
         [ 'ip 127.0.0.4', 3, 19 ], [ "ui $first 127.0.0.4", 3, 19 ],
         [ "ut $first 2", 1, 12 ], [ "ut $first 254", 2, 7 ])
    {
        my ($what, $n, $b) = @$_;
        $frames{$what} += $n;
        $bytes{$what} += $b;
    }

    # a refused one counts for nothing

    my $forged = $t->sensor(uuid => $uuids[1], key => 'wrong', type => 8);
    $forged->send('forged');
    $forged->ended(30);

    $_->finish for @sensors;
    ok($t->nginx_stop, 'nginx quits');

    my $pick = sub {
        my ($kind, $from) = @_;
        return { map { /^$kind (.*)/ ? ($1 => $from->{$_}) : () }
                 keys %$from };
    };

    is_deeply(sum($t, 'daily_uuid:*'), $pick->('uuid', \%frames),
              'daily_uuid');
    is_deeply(sum($t, 'daily_ip:*'), $pick->('ip', \%frames), 'daily_ip');
    is_deeply(sum($t, 'daily_type:*'), $pick->('type', \%frames),
              'daily_type');
    is_deeply(sum($t, 'd4:bytes:*:uuid'), $pick->('uuid', \%bytes),
              'bytes by uuid');
    is_deeply(sum($t, 'd4:bytes:*:ip'), $pick->('ip', \%bytes),
              'bytes by address');
    is_deeply(sum($t, 'd4:bytes:*:type'), $pick->('type', \%bytes),
              'bytes by type');

    my $ui = $pick->('ui', \%frames);
    my $ut = $pick->('ut', \%frames);

    for (keys %$ui) {
        my ($uuid, $ip) = split / /;

        is(sum($t, "stat_uuid_ip:*:$uuid")->{$ip}, $ui->{$_},
           'stat_uuid_ip');
        is(sum($t, "stat_ip_uuid:*:$ip")->{$uuid}, $ui->{$_},
           'stat_ip_uuid');
    }

    for (keys %$ut) {
        my ($uuid, $type) = split / /;

        is(sum($t, "stat_uuid_type:*:$uuid")->{$type}, $ut->{$_},
           'stat_uuid_type');
        is(sum($t, "stat_type_uuid:*:$type")->{$uuid}, $ut->{$_},
           'stat_type_uuid');
    }

    is((grep { $_ == -1 } map { $t->db('metadata')->cmd('TTL', $_) }
        $t->db('metadata')->keys('daily_*')), 3, 'kept for ever by default');

    my ($total) = (0);
    $total += $_->{frames} for $t->access_lines;
    my $packets = 0;
    $packets += $_ for values %{ sum($t, 'daily_type:*') };
    is($total, $packets, 'the access log counts the same');

    $t->finish;
}


# many sensors, a small budget, two workers, a reload on the way

{
    my $t = D4::Test->new(workers => 2, d4 => <<EOF_CONF)->start;
        stat_interval 100ms;
        stat_budget 5;
        stat_retention 2d;
EOF_CONF

    my $load = $t->load(conns => 40, frames => 100, size => '26-300',
                        rate => 2000, reconnect => 1);

    poll_until(10, sub { $load->stored > 500 });
    $t->reload;
    exactly_once($load, 'forty sensors');
    ok($t->nginx_stop, 'nginx quits');

    my $a = $load->audit;
    my $packets = sum($t, 'daily_uuid:*');
    my @uuids = $load->uuids;
    my %expect;
    @expect{@uuids} = @{ $load->{report}{sent_by} };

    is_deeply($packets, \%expect, 'each sensor has its packets');
    is(sum($t, 'daily_type:*')->{8}, $a->{stored}, 'and the type has all');

    my $bytes = 0;
    $bytes += $_ for values %{ sum($t, 'd4:bytes:*:uuid') };
    is($bytes + 62 * $a->{stored}, $load->{report}{bytes}, 'bytes');

    my @ttl = map { $t->db('metadata')->cmd('TTL', $_) }
        $t->db('metadata')->keys('daily_*'),
        $t->db('metadata')->keys('stat_*'),
        $t->db('metadata')->keys('d4:bytes:*');

    ok(@ttl && !grep({ $_ <= 86400 || $_ > 2 * 86400 } @ttl),
       'retention of two days');

    $t->finish;
}

done_testing();

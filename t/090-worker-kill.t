# kill -9 of a worker, and of all of nginx: sensors are accepted again within
# 15 seconds (on a machine that has nothing else to do), and what the dead have
# left behind is cleared away.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;
use Time::HiRes qw(time);

use constant AGAIN => 20;

my @cases;


# Connects again and again until the server takes the sensor.

sub retry {
    my ($case) = @_;

    for my $r (grep { !$_->{done} } @{ $case->{back} }) {
        if (!$r->{s}) {
            $r->{s} = eval {
                $case->{t}->sensor(uuid => $r->{uuid}, key => $r->{key})
            } or next;
            $r->{s}->send('again');
        }

        if ($r->{s}->ended) {
            delete $r->{s};
            next;
        }

        $r->{done} = time() - $case->{begin}
            if grep { $_ eq 'again' } $case->{t}->messages($r->{uuid});
    }

    return !grep { !$_->{done} } @{ $case->{back} };
}


sub live_sensors {
    my ($t, $n) = @_;

    my @s = map { $t->sensor } 1 .. $n;

    $_->send('before') for @s;
    $t->wait_stored($_->{uuid}, 1) for @s;

    return @s;
}


# one worker of two, with a load that comes back by itself

{
    my $t = D4::Test->new(workers => 2, listen => 'reuseport')->start;
    my @s = live_sensors($t, 10);
    my $load = $t->load(conns => 6, frames => 4000, size => '26-2000',
                        rate => 1500, reconnect => 1, timeout => 60);

    $t->allow(qr/exited on signal 9/);
    poll_until(10, sub { $load->stored > 1000 });

    my %of = map { $_->{uuid} => $t->worker_of($_->{uuid}) } @s;
    my ($victim) = values %of;
    my @hit = grep { $of{$_->{uuid}} == $victim } @s;
    my @spared = grep { $of{$_->{uuid}} != $victim } @s;
    my %dead = map { ($t->sids($_->{uuid}))[0] => $_->{uuid} } @hit;

    kill('KILL', $victim);

    push @cases, { name => 'a worker', t => $t, begin => time(),
                   load => $load, dead => \%dead, spared => \@spared,
                   sensors => \@s,
                   back => [ map { { uuid => $_->{uuid}, key => $_->{key} } }
                             @hit[0 .. $#hit / 2] ],
                   gone => [ @hit[$#hit / 2 + 1 .. $#hit] ] };
}

# all of nginx, started again at once

{
    my $t = D4::Test->new(workers => 2)->start;
    my @s = live_sensors($t, 6);
    my %dead = map { ($t->sids($_->{uuid}))[0] => $_->{uuid} } @s;

    $t->nginx_kill;
    my $begin = time();
    $t->nginx_start;

    push @cases, { name => 'nginx', t => $t, begin => $begin,
                   dead => \%dead, spared => [], sensors => \@s,
                   back => [ map { { uuid => $_->{uuid}, key => $_->{key} } }
                             @s[0 .. 2] ],
                   gone => [ @s[3 .. 5] ] };
}

# all of nginx, while another host lives

{
    my $t = D4::Test->new->start;
    my $u = D4::Test->new(redis => $t, d4 => 'host other;')->start;
    my @s = live_sensors($u, 4);
    my %dead = map { ($t->sids($_->{uuid}))[0] => $_->{uuid} } @s;

    $u->nginx_kill;

    push @cases, { name => 'another host', t => $t, begin => time(),
                   dead => \%dead, spared => [], sensors => \@s,
                   other => $u,
                   back => [ map { { uuid => $_->{uuid}, key => $_->{key} } }
                             @s[0, 1] ],
                   gone => [ @s[2, 3] ] };
}

poll_until(60, sub {
    my $left = 0;

    for my $case (@cases) {
        $left++ if !retry($case);

        my $streams = $case->{t}->db('streams');

        if (!$case->{cleared}) {
            my @still = grep { $case->{t}->sids($_->{uuid}) }
                @{ $case->{gone} };
            $case->{cleared} = time() - $case->{begin} if !@still;
            $left++ if @still;
        }

        if (!$case->{ended}) {
            my @not = grep { !$streams->cmd('SISMEMBER', 'ended_session', $_) }
                keys %{ $case->{dead} };
            $case->{ended} = time() - $case->{begin} if !@not;
            $left++ if @not;
        }
    }

    return !$left;
}, 0.2);

for my $case (@cases) {
    my ($name, $t) = @$case{qw(name t)};
    my $streams = $t->db('streams');

    # some are late where the machine is busy

    my ($first) = sort { $a <=> $b } map { $_->{done} // 99 }
        @{ $case->{back} };

    cmp_ok($first, '<', AGAIN,
           sprintf('%s killed: accepted again after %.1f s', $name, $first));
    ok($_->{done}, sprintf('and after %.1f s', $_->{done} // 99))
        for @{ $case->{back} };
    ok($case->{cleared}, sprintf('%s killed: not shown as live after %.1f s',
                                 $name, $case->{cleared} // 99));
    ok($case->{ended}, "$name killed: its sessions are in ended_session");

    is((grep { $streams->cmd('SISMEMBER', 'active_connection:8', $_->{uuid}) }
        @{ $case->{gone} }), 0, 'nor in active_connection');
    is((grep { $_->ended } @{ $case->{spared} }), 0,
       'sessions of other workers live');

    for my $sid (keys %{ $case->{dead} }) {
        my @n = $t->messages($case->{dead}{$sid});
        is($n[0], 'before', 'what was stored before is there');
    }

    $_->send('still') for @{ $case->{spared} };
    is((grep { $t->wait_stored($_->{uuid}, 2) == 2 } @{ $case->{spared} }),
       scalar @{ $case->{spared} }, 'and store');

    if (my $load = $case->{load}) {
        my $report = $load->wait;
        my $a = $load->audit;

        is($report->{unfinished}, 0, 'the load came back and ended');
        cmp_ok($report->{aborts}, '>', 0, 'it was hit');
        is($a->{doubled} + $a->{extra} + $a->{corrupt} + $a->{ids}
           + $a->{holes}, 0, 'nothing twice, no hole within a session')
            or diag(join ' ', %$a);
        diag("$a->{lost} frames were with the dead worker, or refused");
    }

    $_->{s}->finish for grep { $_->{s} } @{ $case->{back} };
    $_->finish for @{ $case->{spared} };

    ok(poll_until(15, sub { !$t->live_keys }),
       'nothing is shown at the end') or diag(join "\n", $t->live_keys);

    my $metadata = $t->db('metadata');
    my %leases = map { s/^d4:worker://r => 1 } $metadata->keys('d4:worker:*');

    ok(poll_until(10, sub {
        !grep { !$metadata->cmd('EXISTS', "d4:worker:$_") }
            $metadata->members('d4:workers')
    }), 'no dead worker is listed');
    is_deeply([ $metadata->keys('d4:claim:*') ], [], 'no claim is left');

    $case->{other}->finish if $case->{other};
    $t->finish;
}


# again and again under load: nothing twice, no hole, all come back

{
    my $kills = LONG ? 300 : 8;
    my $t = D4::Test->new(workers => 3, listen => 'reuseport')->start;
    my $load = $t->load(conns => 12, frames => 0, size => '26-2000',
                        rate => 1000, reconnect => 1, timeout => 600);

    $t->allow(qr/exited on signal 9/);
    poll_until(10, sub { $load->stored > 500 });

    for (1 .. $kills) {
        my @workers = $t->workers;

        kill('KILL', $workers[rand @workers]) if @workers;
        select(undef, undef, undef, rand 0.5);
    }

    my $begin = time();
    my @uuids = $load->uuids;
    my $back = poll_until(60, sub {
        my %sent = map { $_ => $t->worker_of($_) } @uuids;
        my %alive = map { $_ => 1 } $t->workers;

        !grep { !$_ || !$alive{$_} } values %sent;
    }, 0.2);

    ok($back, sprintf('%d kills: all sensors are back after %.1f s', $kills,
                      time() - $begin));

    $load->stop;

    my $report = $load->wait;
    my $audit = $load->audit;

    is(join(' ', map { "$_ $audit->{$_}" } grep { $audit->{$_} }
            qw(extra doubled corrupt holes ids)), '',
       "$audit->{stored} frames stored, nothing twice, no hole");
    # workers are cleared away a few dozen at a time

    ok(poll_until(LONG ? 120 : 60, sub { !$t->live_keys }),
       'nothing is shown at the end') or diag(join "\n", $t->live_keys);

    my $streams = $t->db('streams');
    my %ended = map { $_ => 1 } $streams->members('ended_session');

    is_deeply([ grep { !$ended{$_} } map { /([^:]+)$/ }
                $streams->keys('stream:8:*') ], [],
              'every session with a stream has ended');

    $t->finish;
}

done_testing();

# Reload, quit, kick and control under load: what was sent is stored, and
# workers exit in time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;
use Time::HiRes qw(time);


# reloads under load, sensors that come back

{
    my $t = D4::Test->new(workers => 2, shutdown => '8s')->start;
    my $reloads = LONG ? 30 : 4;
    my @loads = (
        $t->load(conns => 8, frames => 0, size => '26-4000', rate => 2500,
                 reconnect => 1, timeout => 600),
        $t->load(conns => 2, frames => 0, size => '200000-1000000', rate => 8,
                 reconnect => 1, timeout => 600),
        $t->load(conns => 10, frames => 1, size => 100, reconnect => 1,
                 hold => 1, timeout => 600),
    );
    my (@late, @slow);

    poll_until(10, sub { $loads[0]->stored > 1000 });

    for (1 .. $reloads) {
        my $begin = time();
        my @left = $t->reload(gone => 30);

        push @late, @left;
        push @slow, sprintf('%.1f', time() - $begin);
    }

    ok($_->running, 'all the while under load') for @loads;
    is_deeply(\@late, [], "old workers exit (@slow s)");

    $_->stop for @loads;
    exactly_once($loads[$_], "$reloads reloads, load $_") for 0 .. 2;

    for (@loads) {
        my $r = $_->{report};

        is($r->{aborts}, 0, 'every end was announced');
        cmp_ok($r->{planned}, '>=', $r->{conns},
               "$r->{planned} planned ends");
    }

    ok(poll_until(5, sub { !$t->live_keys }), 'nothing is shown at the end');
    $t->finish;
}


# sensors that are just coming when nginx is reloaded: before TLS, before
# their first frame, before Redis has said who they are

{
    my $t = D4::Test->new(workers => 2)->start;
    my @loads;

    for my $i (1 .. (LONG ? 100 : 16)) {
        push @loads, $t->load(conns => 40, frames => 20, size => '26-3000',
                              reconnect => 1);
        select(undef, undef, undef, 0.01 + 0.004 * ($i % 16));
        $t->{nginx_proc}->signal('HUP');
        $loads[-1]->wait;
    }

    my $sent = 0;
    my %bad;

    for my $load (@loads) {
        my ($audit, $report) = ($load->audit, $load->{report});

        $sent += $audit->{sent};
        $bad{$_} += $audit->{$_} for qw(lost extra doubled corrupt holes);
        $bad{$_} += $report->{$_} for qw(aborts unfinished);
    }

    is(join(' ', map { "$_ $bad{$_}" } grep { $bad{$_} } sort keys %bad), '',
       "reloads while sensors come: $sent frames sent, each stored once");
    ok(poll_until(10, sub { !$t->live_keys }), 'nothing is shown at the end');
    $t->finish;
}


# a reload while Redis does not write: a sensor that comes back finds its own
# former session still busy, and has to wait for it

for my $how ('stands still', 'is full') {
    my $t = D4::Test->new(workers => 2, shutdown => '30s')->start;
    my $admin = $t->new_db('streams');
    my $load = $t->load(conns => 6, frames => 0, size => '26-2000',
                        rate => 2000, reconnect => 1, timeout => 300);

    poll_until(10, sub { $load->stored > 1500 });

    if ($how eq 'is full') {
        my ($used) = $admin->cmd('INFO', 'memory') =~ /used_memory:(\d+)/;
        $admin->cmd('CONFIG', 'SET', 'maxmemory', $used);

    } else {
        $t->redis_pause;
    }

    select(undef, undef, undef, 0.3);
    $t->{nginx_proc}->signal('HUP');
    select(undef, undef, undef, 3);

    if ($how eq 'is full') {
        $admin->cmd('CONFIG', 'SET', 'maxmemory', 0);

    } else {
        $t->redis_resume;
    }

    # until all have come back

    poll_until(60, sub {
        my %new = map { $_ => 1 } $t->workers;
        !grep { !$new{ $t->worker_of($_) // 0 } } $load->uuids;
    });
    $load->stop;
    exactly_once($load, "a reload while Redis $how");
    cmp_ok($load->{report}{planned}, '>=', 6, 'every sensor came back');
    ok(poll_until(10, sub { !$t->live_keys }), 'nothing is shown at the end');
    $t->finish;
}


# quit under load, sensors that end

{
    my $t = D4::Test->new(workers => 2)->start;
    my $load = $t->load(conns => 8, frames => 0, size => '26-8000',
                        timeout => 60);

    poll_until(10, sub { $load->stored > 3000 });

    my $begin = time();

    ok($t->nginx_stop('QUIT', 12), sprintf('quit: gone after %.1f s',
                                           time() - $begin));
    exactly_once($load, 'quit');
    is($load->{report}{planned}, 8, 'eight planned ends');
    is_deeply([ $t->live_keys ], [], 'nothing is shown');
    is($t->db('streams')->cmd('SCARD', 'ended_session'), 8,
       'all have ended');
    $t->finish;
}


# a zone of another size at a reload, TERM, and a start right behind it

{
    my $t = D4::Test->new(workers => 2)->start;
    my $load = $t->load(conns => 4, frames => 2000, size => '26-2000',
                        rate => 2500, reconnect => 1, timeout => 60);
    my $s = $t->sensor;

    poll_until(10, sub { $load->stored > 500 });
    $t->{zone} = '2m';
    is_deeply([ $t->reload(gone => 12) ], [], 'a zone of another size');
    exactly_once($load, 'a zone of another size');

    $s = $t->sensor;
    $s->send('before');
    $t->wait_stored($s->{uuid}, 1);
    ok($t->nginx_stop('TERM', 5), 'TERM: gone at once');
    $t->nginx_start;

    ok(poll_until(15, sub {
        my $again = $t->sensor(uuid => $s->{uuid}, key => $s->{key});
        $again->send('after');
        poll_until(30, sub { $again->ended || $t->messages($s->{uuid}) > 1 })
            && $t->messages($s->{uuid}) == 2;
    }), 'accepted again after TERM');
    $t->finish;
}


# quit with sensors that do not listen, one that goes on sending, and one
# that is in the middle of a frame

{
    my $t = D4::Test->new(server => 'd4_drain_timeout 2s;',
                          shutdown => '40s')->start;
    my ($deaf, $half, $talks, $empty) = map { $t->sensor } 1 .. 4;

    $_->send('one') for $deaf, $half, $talks;
    $t->wait_stored($_->{uuid}, 1) for $deaf, $half, $talks;
    $half->write(substr($half->frame_of('two'), 0, 63));

    my $begin = time();
    my $n = 1;

    $t->{nginx_proc}->signal('QUIT');
    ok($half->ended(30), 'our end is asked for');
    $half->write(substr($half->frame_of('two'), 63));
    $half->finish;
    is_deeply([ $t->messages($half->{uuid}) ], [ 'one', 'two' ],
              'the frame that was begun is kept');

    # one that had not begun, does so now and does not listen either

    $empty->send('late');
    ok(poll_until(2, sub { $t->messages($empty->{uuid}) == 1 }),
       'a first frame during the drain is kept');

    poll_until(10, sub {
        $n++ if $talks->{sock} && $talks->send('more');
        !$t->{nginx_proc}->alive;
    }, 0.1);

    my $took = time() - $begin;

    # d4_drain_timeout, and long before worker_shutdown_timeout

    ok(!$t->{nginx_proc}->alive, 'gone');
    cmp_ok($took, '<', 20, sprintf('after %.1f s', $took));
    cmp_ok(scalar $t->messages($talks->{uuid}), '>', 2,
           'taken until d4_drain_timeout');
    is_deeply([ $t->live_keys ], [], 'nothing is shown');
    delete $t->{nginx_proc};
    $t->finish;
}


# quit while Redis stands still: in time, with what is left said

{
    my $t = D4::Test->new(shutdown => '3s')->start;
    my $s = $t->sensor;

    $s->send('stored');
    $t->wait_stored($s->{uuid}, 1);
    $t->redis_pause;
    $s->send('not stored') for 1 .. 5;

    my $begin = time();

    $t->{nginx_proc}->signal('QUIT');
    ok($t->{nginx_proc}->wait_gone(60), 'quit without Redis ends');
    cmp_ok(time() - $begin, '<', 20, 'within worker_shutdown_timeout');
    ok($t->log_lines(qr/\[(error|crit|warn)\].*(lost|frames)/),
       'the frames that are lost are reported')
        or diag($t->complaints);
    $t->redis_resume;
    delete $t->{nginx_proc};
    $t->allow(qr/lost|frames/);
    $t->finish;
}


# kick under load, again and again; the ban is lifted

{
    my $t = D4::Test->new(workers => 2)->start;
    my $streams = $t->db('streams');
    my $load = $t->load(conns => 4, frames => 0, size => '26-4000',
                        rate => 2000, reconnect => 1, timeout => 300);
    my ($kicked) = $load->uuids;

    for my $i (1 .. 5) {
        my $n = $t->messages($kicked);

        poll_until(5, sub { $t->messages($kicked) > $n + 100 });
        $streams->cmd('SADD', 'server:sensor_to_kick', $kicked);
        $t->announce("kick $kicked");
        poll_until(30, sub {
            $i == grep { $_->{status} eq 'kicked' } $t->access_lines
        }) or fail('not ended');
        $streams->cmd('DEL', "temp_blacklist_uuid:$kicked");
    }

    my $n = $t->messages($kicked);

    poll_until(30, sub { $t->messages($kicked) > $n + 100 });
    $load->stop;
    exactly_once($load, 'kicked five times');
    cmp_ok($load->{report}{connects}, '>=', 4 + 5, 'five times back');
    is($load->{report}{aborts}, 0, 'every end was announced');
    ok(poll_until(5, sub { !$t->live_keys }), 'nothing is shown at the end');
    $t->finish;
}


# key and type change under load

{
    my $t = D4::Test->new(workers => 2)->start;
    my $metadata = $t->db('metadata');
    my $load = $t->load(conns => 3, frames => 3000, size => '26-4000',
                        rate => 3000, reconnect => 1, timeout => 60);

    poll_until(10, sub { $load->stored > 1000 });
    $metadata->cmd('SREM', 'server:accepted_type', 8);
    $t->announce('types');
    poll_until(3, sub { !$t->live_keys });
    $metadata->cmd('SADD', 'server:accepted_type', 8);
    $t->announce('types');

    my $report = $load->wait;
    my $audit = $load->audit;

    is($audit->{doubled} + $audit->{extra} + $audit->{corrupt}
       + $audit->{holes}, 0, 'type removed and added: nothing twice');
    is($report->{unfinished}, 0, 'the load came back');
    $t->finish;
}

done_testing();

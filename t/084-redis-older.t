# The streams vanish or go back to an older state under live sessions: what
# Redis had acknowledged is lost with it, all that follows is stored, once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use File::Copy qw(copy);
use Test::More;


# What is stored of each sensor is its last frames without a gap from some
# point on, and before that, what the older state had.

sub tail_is_whole {
    my ($name, $load, $older) = @_;

    # some more, which must be there

    my $n = $load->stored;
    poll_until(60, sub { $load->stored > $n + 500 });
    $load->stop;

    my $report = $load->wait;
    my $audit = $load->audit;

    is($report->{connects}, $load->{conns}, "$name: no sensor was cut");
    is($audit->{doubled} + $audit->{extra} + $audit->{corrupt}, 0,
       "$name: nothing twice, nothing else");
    cmp_ok($audit->{lost}, '<', $audit->{sent},
           "$name: $audit->{lost} of $audit->{sent} lost");
    cmp_ok($audit->{lost}, '>', 0, "$name: that is, some");

    my $gaps = 0;
    my $last = 0;
    my @sent = @{ $report->{sent_by} };

    for my $uuid ($load->uuids) {
        my @n = sort { $a <=> $b }
            map { (split ' ')[1] } $load->{t}->messages($uuid);

        $gaps += grep { $n[$_] != $n[$_ - 1] + 1 } 1 .. $#n;
        $last += @n && $n[-1] == shift(@sent) - 1;
    }

    is($last, $load->{conns}, "$name: each has its last frame");
    cmp_ok($gaps, '<=', $older, "$name: $gaps gaps");
}


# FLUSHDB of the streams; the session shows up again with all that belongs
# to it

{
    my $t = D4::Test->new(workers => 2)->start;
    my $streams = $t->db('streams');
    my $load = $t->load(conns => 3, frames => 0, size => '26-3000',
                        rate => 3000, timeout => 300);
    my $idle = $t->sensor;

    $idle->send('before');
    $t->wait_stored($idle->{uuid}, 1);

    for (1 .. 3) {
        my $n = $load->stored;
        poll_until(10, sub { $load->stored > $n + 500 });
        $streams->cmd('FLUSHDB');
    }

    ok(poll_until(10, sub {
        3 == grep { $streams->cmd('SISMEMBER', 'active_connection', $_) }
            $load->uuids
    }), 'FLUSHDB: shown as connected again');

    my %announced = map { $_ => 1 } $streams->members('session_uuid:8');
    my @sids = map { /([^:]+)$/ } $streams->keys('stream:8:*');

    is((grep { !$announced{$_} } @sids), 0, 'session_uuid knows the streams');

    $idle->send('after');
    is($t->wait_stored($idle->{uuid}, 1), 1,
       'one that was idle goes on');
    $idle->finish;

    tail_is_whole('FLUSHDB', $load, 0);

    ok(poll_until(5, sub { !$t->live_keys }), 'nothing is shown at the end');

    my %ended = map { $_ => 1 } $streams->members('ended_session');
    is((grep { !$ended{$_} } map { /([^:]+)$/ } $streams->keys('stream:8:*')),
       0, 'all sessions with a stream have ended');

    $t->finish;
}


# everything is gone, the sensors are registered again

{
    my $t = D4::Test->new(workers => 2)->start;
    my $load = $t->load(conns => 3, frames => 0, size => '26-3000',
                        rate => 3000, timeout => 300);

    poll_until(10, sub { $load->stored > 1000 });

    $t->db('metadata')->pipeline(
        [ 'MULTI' ], [ 'FLUSHALL' ],
        [ 'SADD', 'server:accepted_type', 1, 8 ],
        map({ ([ 'SADD', 'registered_uuid', $_ ],
               [ 'HSET', "metadata_uuid:$_", 'hmac_key', $load->{key} ]) }
            $load->uuids),
        [ 'EXEC' ]);

    tail_is_whole('FLUSHALL', $load, 0);

    ok(poll_until(5, sub { !$t->live_keys }), 'nothing is shown at the end');
    $t->finish;
}


# a fail-over to a copy that is a second old

{
    my $t = D4::Test->new(workers => 2, redis => { save => '3600 1' })->start;
    my $admin = $t->new_db('streams');
    my $load = $t->load(conns => 3, frames => 0, size => '26-3000',
                        rate => 2500, timeout => 300);

    poll_until(10, sub { $load->stored > 1000 });
    $admin->cmd('SAVE');
    copy("$t->{dir}/redis/dump.rdb", "$t->{dir}/older.rdb");

    my $older = $load->stored;

    poll_until(10, sub { $load->stored > $older + 2000 });
    $t->redis_kill;
    copy("$t->{dir}/older.rdb", "$t->{dir}/redis/dump.rdb");
    $t->redis_start;

    tail_is_whole('fail-over', $load, 3);

    my $kept = 0;

    for my $uuid ($load->uuids) {
        $kept += ($t->messages($uuid))[0] =~ /^\w{8} 0+ /;
    }

    is($kept, 3, 'what the older state had is still there');

    ok(poll_until(5, sub { !$t->live_keys }), 'nothing is shown at the end');
    $t->finish;
}

done_testing();

# Redis is killed and comes back, in both profiles of durability; what nginx
# says about it is said once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

my $kills = LONG ? 50 : 3;


sub kill_redis {
    my ($t, $load, $name) = @_;

    for my $i (1 .. $kills) {
        my $n = $load->stored;

        poll_until(60, sub { !$load->running || $load->stored >= $n + 1000 });
        ok($load->running, "$name: kill $i under load");
        $t->redis_kill;
        select(undef, undef, undef, 0.3);
        $t->redis_start;
    }
}


# durable: not a frame is lost

{
    my $t = D4::Test->new(workers => 2, redis => {
        appendonly => 'yes', appendfsync => 'always' })->start;
    my $load = $t->load(conns => 4, frames => 0, size => '26-8000',
                        timeout => LONG ? 900 : 300, rate => 4000);

    kill_redis($t, $load, 'durable');
    $load->stop;
    exactly_once($load, 'durable');
    is($load->{report}{connects}, 4, 'no sensor was cut');

    ok(poll_until(5, sub { !$t->live_keys }), 'nothing is shown at the end');
    is($t->db('streams')->cmd('SCARD', 'ended_session'), 4,
       'four sessions have ended');

    $t->finish;
}


# fast: what Redis has acknowledged may be lost with it, but nothing else, and
# nothing is stored twice

{
    my $t = D4::Test->new(workers => 2, redis => {
        appendonly => 'yes', appendfsync => 'everysec' })->start;
    my $load = $t->load(conns => 4, frames => 0, size => '26-8000',
                        timeout => LONG ? 900 : 300, rate => 4000);

    kill_redis($t, $load, 'fast');

    # the last frames come when it is back for good

    my $n = $load->stored;
    poll_until(60, sub { $load->stored >= $n + 1000 });
    $load->stop;

    my $report = $load->wait;
    my $a = $load->audit;

    is($report->{connects}, 4, 'no sensor was cut');
    is($a->{doubled}, 0, 'nothing is stored twice');
    is($a->{extra} + $a->{corrupt}, 0, 'nor anything else');
    cmp_ok($a->{lost}, '<', 4000 * 2 * $kills, "lost: $a->{lost} frames");

    my %last;

    for my $uuid ($load->uuids) {
        my @all = $t->messages($uuid);
        $last{$uuid} = (split ' ', $all[-1])[1] + 0;
    }

    is_deeply([ map { $last{$_} } $load->uuids ],
              [ map { $_ - 1 } @{ $report->{sent_by} } ],
              'every sensor has its last frame');

    $t->finish;
}


# Redis is away when nginx starts, and for a while later: one line for each
# change, not for each attempt

{
    my $t = D4::Test->new(workers => 1);

    $t->nginx_start(wait => 0);

    my $s = poll_until(5, sub {
        D4::Sensor->connect(port => $t->{port}, uuid => new_uuid(),
                            key => 'k')
    });
    ok($s, 'accepts sensors without Redis');
    $s->send('before Redis');

    my $early = poll_until(3, sub { $t->log_lines(qr/redis/) });
    ok($early, 'says that Redis is not there');

    select(undef, undef, undef, 1);
    my @before = $t->log_lines(qr/redis/);
    select(undef, undef, undef, 3);
    my @after = $t->log_lines(qr/redis/);

    is(scalar @after, scalar @before, 'and does not repeat it')
        or diag(join "\n", @after);

    $t->redis_start;
    $t->register($s->{uuid}, 'k');
    is($t->wait_stored($s->{uuid}, 1, 12), 1, 'served when Redis has come');
    ok(poll_until(5, sub { $t->log_lines(qr/redis/) > @after }),
       'the return is logged');
    $s->finish;

    $t->finish;
}

done_testing();

# Redis stands still, for less and for more than redis_timeout.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;
use Time::HiRes qw(time);


my @runs;

for (
    [ 'five seconds', 5, {} ],
    [ 'five seconds, timeout 1 s', 5, { d4 => 'redis_timeout 1s;' } ],
)
{
    my ($name, $seconds, $opt) = @$_;

    my $t = D4::Test->new(workers => 2, %$opt)->start;
    my $new = $t->register(new_uuid(), 'k');
    my $load = $t->load(conns => 6, frames => LONG ? 20000 : 2500,
                        size => '26-20000', timeout => 120);
    my $calm = $t->load(conns => 3, frames => 300, size => 200,
                        rate => 90, timeout => 120);

    poll_until(10, sub { $load->stored > 1000 });
    $t->redis_pause;

    # one that comes while nobody can say who it is

    my $s = $t->sensor(uuid => $new, key => 'k', raw => 1);

    push @runs, { name => $name, seconds => $seconds, t => $t, s => $s,
                  loads => [ $load, $calm ], begin => time() };
}

my @waiting = @runs;

poll_until(30, sub {
    for (grep { time() - $_->{begin} > $_->{seconds} } @waiting) {
        $_->{t}->redis_resume;
        $_->{s}->tls && $_->{s}->send('came while Redis stood');
        $_->{done} = 1;
    }

    @waiting = grep { !$_->{done} } @waiting;
    return !@waiting;
}, 0.05);

for my $run (@runs) {
    my ($name, $t) = @$run{qw(name t)};

    exactly_once($run->{loads}[0], "$name, full speed");
    exactly_once($run->{loads}[1], "$name, calm");

    for my $load (@{ $run->{loads} }) {
        is($load->{report}{connects}, $load->{conns},
           "$name: no sensor was cut");
        is($load->{report}{aborts}, 0, "$name: none aborted");
    }

    is($t->wait_stored($run->{s}{uuid}, 1), 1,
       "$name: who came meanwhile is served");
    ok(!$run->{s}->ended, 'and lives');
    $run->{s}->finish;

    ok(poll_until(5, sub { !$t->live_keys }), 'nothing is shown at the end');
    $t->finish;
}


# while Redis stands, a new sensor waits no longer than the handshake timeout

{
    my $t = D4::Test->new(server => 'd4_handshake_timeout 1s;')->start;
    my $uuid = $t->register(new_uuid(), 'k');

    $t->redis_pause;

    my $s = $t->sensor(uuid => $uuid, key => 'k', raw => 1);
    ok($s->ended(30), 'ended');

    my $line = poll_until(3, sub { ($t->access_lines)[-1] });
    like($line->{status}, qr/^(redis_unavailable|handshake_timeout)$/,
         'status');

    $t->redis_resume;
    ok(poll_until(10, sub {
        my $s = $t->sensor(uuid => $uuid, key => 'k') or return;
        $s->send('y');
        poll_until(30, sub { $s->ended || $t->messages($uuid) })
            && $t->messages($uuid);
    }), 'served when Redis is back');

    $t->finish;
}

done_testing();

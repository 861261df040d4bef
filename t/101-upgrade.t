# Upgrade of the binary (USR2, WINCH, QUIT) and going back, under load.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

my $t = D4::Test->new(workers => 2, daemon => 1)->start;
my $old = $t->{nginx_proc};
my $load = $t->load(conns => 6, frames => 0, size => '26-4000', rate => 3000,
                    reconnect => 1, timeout => 120);

poll_until(10, sub { $load->stored > 1000 });


# Both masters at work.

sub upgrade {
    $old->signal('USR2');

    my $pid = poll_until(10, sub {
        -e "$t->{dir}/nginx.pid.oldbin"
            && $t->read_file('nginx.pid') =~ /(\d+)/ && $1 != $old->pid && $1
    });

    ok($pid, 'a new master') or return;

    my $new = D4::Proc->adopt($pid);

    ok(poll_until(10, sub {
        2 == D4::Proc::children($pid)
    }), 'with its workers');

    $t->{nginx_proc} = $new;
    ok(poll_until(10, sub { $t->ready }), 'which have their leases');

    return $new;
}


# back to the old one

if (my $new = upgrade()) {
    my $s = $t->sensor;
    $s->send('with both');
    is($t->wait_stored($s->{uuid}, 1), 1, 'a sensor meanwhile');
    $s->finish;

    $new->signal('QUIT');
    ok($new->wait_gone(15), 'the new one quits');
    $t->{nginx_proc} = $old;
    ok(poll_until(5, sub { !-e "$t->{dir}/nginx.pid.oldbin" }),
       'the old one has its pid file again');
}


# and forward for good

my $n = $load->stored;
ok(poll_until(10, sub { $load->stored > $n + 500 }), 'the load goes on');

if (my $new = upgrade()) {
    $old->signal('WINCH');
    ok(poll_until(15, sub {
        !grep { $_ != $new->pid } D4::Proc::children($old->pid)
    }), 'the old workers end');

    $n = $load->stored;
    ok(poll_until(10, sub { $load->stored > $n + 500 }),
       'the load has moved');

    $old->signal('QUIT');
    ok($old->wait_gone(15), 'the old master ends');
}

$load->stop;
exactly_once($load, 'two upgrades');
is($load->{report}{aborts}, 0, 'every end was announced');
cmp_ok($load->{report}{planned}, '>', 0, 'there were some');

ok(poll_until(5, sub { !$t->live_keys }), 'nothing is shown at the end');

$t->finish;
done_testing();

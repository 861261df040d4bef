# What a process may suffer, at random moments under load, while files rotate
# and are compressed: workers are killed, stopped beyond their lease and
# continued, all of nginx is killed, Redis is killed with its durable profile,
# connections are cut.  Each byte and element that was stored is there once.
#
#   SEED=N          other moments (1; with LONG=1 at random)
#   FAULTS=A,B,...  these only
#   LONG=1          a hundred moments instead of eight

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Dispatch;
use D4::Storm;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = $ENV{SEED} // (LONG ? int(time()) % 1_000_000 : 1);
my $moments = LONG ? 100 : 8;

srand($seed);
diag("SEED=$seed");

my $t = D4::Test->new(
    workers  => 3,
    listen   => 'reuseport',
    shutdown => '20s',
    server   => 'd4_duplicate replace;',
    d4       => 'redis_timeout 1s;',
    dispatch => { rotate_time => '1s', rotate_size => '60k' },
    redis    => { appendonly => 'yes', appendfsync => 'always' },
)->start;

$t->allow(qr/exited on signal 9/, qr/open socket/);

my $storm = D4::Storm->new($t);
my %sleeping;                          # pid => when it is to go on
my %done;


sub wake {
    my ($all) = @_;

    for my $pid (keys %sleeping) {
        next if !$all && $sleeping{$pid} > time();
        kill('CONT', $pid);
        delete $sleeping{$pid};
    }
}

sub one_worker {
    my @workers = grep { !$sleeping{$_} } $t->workers;

    return @workers > 1 ? $workers[rand @workers] : ();
}

my %faults = (
    worker_killed => sub {
        my $pid = one_worker() or return;

        kill('KILL', $pid);
        $storm->remember;
    },
    nginx_killed => sub {
        $t->nginx_kill;
        %sleeping = ();
        $storm->remember;
        $t->nginx_start;
    },

    # an owner that comes back when its sessions are another's
    worker_sleeps => sub {
        my $pid = one_worker() or return;

        kill('STOP', $pid);
        $storm->remember;
        $sleeping{$pid} = time() + 11 + rand 4;
    },
    redis_killed => sub {
        $t->redis_kill;
        sleep(rand 0.5);
        $t->redis_start;
    },
    redis_sleeps => sub {
        $t->redis_pause;
        sleep(rand 3);
        $t->redis_resume;
    },
    connections_cut => sub {
        eval { $t->db('queues')->cmd(qw(CLIENT KILL TYPE normal SKIPME yes)) };
    },
    reload => sub {
        return if keys %sleeping;
        $t->{nginx_proc}->signal('HUP');
        sleep(0.5);
    },
);

my @names = $ENV{FAULTS} ? split(/,/, $ENV{FAULTS}) : sort keys %faults;

# each kind once, in any order, then at random

my @plan = map { $_->[0] } sort { $a->[1] <=> $b->[1] }
    map { [ $_, rand ] } @names;

push @plan, $names[rand @names] while @plan < $moments;

$storm->flows('at first');

for my $name (@plan) {
    my $end = time() + rand(LONG ? 3 : 2);

    do { wake(); sleep(0.05) } while time() < $end;

    $faults{$name}->();
    $done{$name}++;
}

diag(join ', ', map { "$_ $done{$_}" } sort keys %done);

while (keys %sleeping) {
    wake();
    sleep(0.1);
}

$storm->flows('afterwards', 60);
sleep(1);
$storm->end(@plan . ' faults', kills => 1, seconds => LONG ? 120 : 60);

is_deeply([ $t->log_lines(qr/\[(alert|crit|emerg)\](?!.*exited on signal 9)/) ],
          [], 'nothing is worse than an error');
$t->finish;
done_testing();

# A worker and all of nginx are killed under load, while files rotate and are
# compressed.  Others adopt the sessions in time; each byte and element that
# the server had stored is there once.
#
#   SEED=N   other moments (1; with LONG=1 at random)
#   LONG=1   a hundred kills instead of eight

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Storm;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep time);

# fifteen seconds, and as many for a machine that is busy

use constant ADOPTED => 30;

my $seed = $ENV{SEED} // (LONG ? int(time()) % 1_000_000 : 1);

srand($seed);
diag("SEED=$seed");


# one worker of two: how long its sessions are without an owner

{
    my $t = D4::Test->new(workers => 2, listen => 'reuseport',
                          dispatch => { rotate_time => '1s' })->start;
    my @s = map { $t->sensor } 1 .. 10;

    $t->allow(qr/exited on signal 9/);
    $_->{queue} = queue_define($t->db('metadata'), 8,
                               group => [ $_->{uuid} ]) for @s;
    $_->send("first\nhalf a ") for @s;

    ok(poll_until(10, sub {
        !grep { !session_files($t->{data}, $_->{uuid}, 8, suffix(8)) } @s
    }), 'ten sensors, each with a file');

    my %of = map { $_->{uuid} => $t->worker_of($_->{uuid}) } @s;
    my ($victim) = values %of;
    my @hit = grep { $of{$_->{uuid}} == $victim } @s;
    my @spared = grep { $of{$_->{uuid}} != $victim } @s;

    $_->send("line\n") for @s;
    sleep(0.3);
    kill('KILL', $victim);

    my $begin = time();
    my $queues = $t->db('queues');

    ok(poll_until(ADOPTED + 10, sub {
        !grep { /:$victim:/ } $queues->keys('d4:cursors:*')
    }), 'the sessions of a killed worker are adopted');
    cmp_ok(time() - $begin, '<', ADOPTED,
           sprintf('after %.1f s', time() - $begin));

    $_->send("after\n") for @spared;
    $_->finish for @spared;
    drained($t, 'a killed worker', 30);

    for my $s (@hit, @spared) {
        my $want = "first\nhalf a line\n"
            . ((grep { $_ == $s } @spared) ? "after\n" : '');

        same_bytes(files_content($t->{data}, session_files($t->{data},
                   $s->{uuid}, 8, suffix(8))), $want, 'its file');
        same_lines([ queue_take($queues, 8, $s->{queue}) ],
                   [ lines_of($want) ], 'its queue');
    }

    $t->finish;
}


# again and again under load: a worker, or all of nginx

{
    my $kills = LONG ? 100 : 8;
    my $t = D4::Test->new(workers => 3, listen => 'reuseport',
                          server => 'd4_duplicate replace;',
                          dispatch => { rotate_time => '1s',
                                        rotate_size => '60k' })->start;
    my $storm = D4::Storm->new($t);
    my %done;

    $t->allow(qr/exited on signal 9/, qr/open socket/);
    $storm->flows('at first');

    for (1 .. $kills) {
        sleep(rand 2);

        if (rand() < 0.25) {
            $t->nginx_kill;
            $storm->remember;
            $t->nginx_start;
            $done{nginx}++;
            next;
        }

        my @workers = $t->workers;
        kill('KILL', $workers[rand @workers]);
        $storm->remember;
        $done{worker}++;
    }

    diag(join ', ', map { "$_ killed $done{$_} times" } sort keys %done);
    $storm->flows('after the kills');
    sleep(1);
    $storm->end("$kills kills", kills => 1, seconds => 60);
    $t->finish;
}

done_testing();

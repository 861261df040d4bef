# Planned ends with live sessions that are dispatched: reload after reload, a
# quit, and upgrades of the binary forth and back.  Nothing is lost, nothing
# is there twice, and old workers exit in time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Proc;
use D4::Storm;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my %conf = (
    workers  => 2,
    shutdown => '10s',
    dispatch => { rotate_time => '1s', rotate_size => '60k' },
);


# reloads

{
    my $t = D4::Test->new(%conf)->start;
    my $storm = D4::Storm->new($t);

    $storm->flows('reload');
    sleep(1);

    for my $n (1 .. (LONG ? 30 : 4)) {
        my $begin = time();

        is($t->reload(gone => 15), 0,
           sprintf('reload %d: the old workers exit after %.1f s', $n,
                   time() - $begin));
        sleep(rand 1);
    }

    # several at once

    for (1 .. 3) {
        $t->{nginx_proc}->signal('HUP');
        sleep(0.2);
    }

    sleep(1);
    ok(poll_until(15, sub { $t->workers == 2 && $t->ready }),
       'three at once: two workers are left');
    $storm->flows('after the reloads');
    sleep(1);
    $storm->end('reloads', seconds => 40);
    $t->finish;
}


# a quit while sensors send; who starts again finds what is left

{
    my $t = D4::Test->new(%conf)->start;
    my $storm = D4::Storm->new($t);
    my $quiet = $t->sensor;
    my $queue = queue_define($t->db('metadata'), 8,
                             group => [ $quiet->{uuid} ]);

    $quiet->send("a whole line\nhalf a ", "line");
    $storm->flows('quit');
    sleep(1);

    my $begin = time();

    ok($t->nginx_stop('QUIT', 20), sprintf('nginx quits after %.1f s',
                                           time() - $begin));
    ok($quiet->ended(30), 'and its sensors have been told');
    $quiet->drop;

    # what its workers dealt with while they drained

    is_deeply([ grep { /^d4:cursors?:/ } left($t) ], [],
              'no session is left for others to go on with');

    $t->nginx_start;
    $storm->flows('after the quit');
    sleep(1);
    $storm->end('quit', seconds => 40);
    same_bytes(files_content($t->{data}, session_files($t->{data},
                             $quiet->{uuid}, 8, suffix(8))),
               "a whole line\nhalf a line", 'a quiet session: its file');
    same_lines([ queue_take($t->db('queues'), 8, $queue) ],
               [ 'a whole line', 'half a line' ], 'its queue');
    $t->finish;
}


# upgrades of the binary

{
    my $t = D4::Test->new(%conf, daemon => 1)->start;
    my $old = $t->{nginx_proc};
    my $storm = D4::Storm->new($t);

    my $upgrade = sub {
        $old->signal('USR2');

        my $pid = poll_until(10, sub {
            -e "$t->{dir}/nginx.pid.oldbin"
                && $t->read_file('nginx.pid') =~ /(\d+)/ && $1 != $old->pid
                && $1
        }) or return;

        my $new = D4::Proc->adopt($pid);

        poll_until(10, sub { 2 == D4::Proc::children($pid) }) or return;
        $t->{nginx_proc} = $new;
        poll_until(10, sub { $t->ready }) or return;

        return $new;
    };

    $storm->flows('upgrade');
    sleep(1);

    if (ok(my $new = $upgrade->(), 'an upgrade')) {
        sleep(1);
        $new->signal('QUIT');
        ok($new->wait_gone(20), 'is taken back');
        $t->{nginx_proc} = $old;
        ok(poll_until(5, sub { !-e "$t->{dir}/nginx.pid.oldbin" }),
           'the old one has its pid file again');
        sleep(1);
    }

    if (ok(my $new = $upgrade->(), 'a second one')) {
        $old->signal('WINCH');
        ok(poll_until(20, sub {
            !grep { $_ != $new->pid } D4::Proc::children($old->pid)
        }), 'the old workers exit in time');
        $old->signal('QUIT');
        ok($old->wait_gone(20), 'so does their master');
    }

    $storm->flows('after the upgrades');
    sleep(1);
    $storm->end('upgrades', seconds => 40);
    $t->finish;
}

done_testing();

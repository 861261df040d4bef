# A worker that exits while Redis does not answer: what waits for an answer
# asks for nothing any more.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Dispatch;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep);

for my $sig (qw(TERM QUIT)) {
    my $t = D4::Test->new(workers => 2, tls => 0, shutdown => '2s',
                          dispatch => { rotate_time => '1s' })->start;

    $t->allow(qr/not stored at exit|left to be dispatched|without an answer/);
    $t->register(my $uuids = [ map { new_uuid() } 1 .. 20 ], 'k');

    $t->db('metadata')->cmd('SADD', 'server:accepted_type', 3);

    my @live = map { $t->sensor(uuid => $_, key => 'k') } @$uuids;
    my @closed = map { $t->sensor(uuid => $_, key => 'k', type => 4) }
                     @$uuids;

    $_->send("first\n") for @live, @closed;
    $t->wait_live($_, 2) for @$uuids;

    $t->redis_pause;

    # frames, statistics, commits, sessions that end and such that begin

    my @new = map { $t->sensor(uuid => $_, key => 'k', type => 3) } @$uuids;

    for (1 .. 15) {
        $_->write($_->frame_of("more\n"), 1) for @live;
        sleep(0.1);
    }

    $_->half_close for @closed;
    $_->write($_->frame_of("new\n"), 1) for @new;
    sleep(0.5);

    ok($t->nginx_stop($sig, 20), "$sig while Redis does not answer: it ends");
    is(scalar($t->log_lines(qr/exited on signal/)), 0, 'in order');
    $t->redis_resume;

    # what Redis has goes on

    $t->nginx_start;
    $_->drop for @live, @closed, @new;
    drained($t, $sig, 60);
    $t->finish;
}

done_testing();

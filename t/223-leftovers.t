# What workers leave behind when they are killed between the last steps of a
# session: nothing of it stays in Redis.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Test;
use Test::More;

my $t = D4::Test->new(dispatch => 1)->start;
my ($streams, $queues, $metadata) = map { $t->db($_) }
    qw(streams queues metadata);
my ($host) = ($metadata->keys('d4:worker:*'))[0] =~ /^d4:worker:([^:]+):/;
my $dead = "$host:999999999:0011223344556677";

sub cursor {
    my ($sid, $uuid, $type, %more) = @_;

    $queues->cmd('HSET', "d4:cursor:$sid", worker => $dead, epoch => 1,
                 uuid => $uuid, type => $type, seq => 1, stream => $type,
                 ms => 1700000000000, n => 5, off => 10, %more);
    $queues->cmd('SADD', "d4:cursors:$dead", $sid);
}

my %case = (
    'rejected, its streams deleted' => sub {
        my ($sid, $uuid) = @_;

        $streams->cmd('SADD', 'session_uuid:2', $sid);
        cursor($sid, $uuid, 2);
    },
    'done, and its stream dropped' => sub {
        my ($sid, $uuid) = @_;

        cursor($sid, $uuid, 8, done => 1);
    },
    'rejected and done' => sub {
        my ($sid, $uuid) = @_;

        $streams->cmd('SADD', 'session_uuid:8', $sid);
        cursor($sid, $uuid, 8, done => 1);
    },
    'made anew by who came too late' => sub {
        my ($sid, $uuid) = @_;

        cursor($sid, $uuid, 8, ms => 0, n => 0, off => 0, seq => 0);
    },
    'done and ended' => sub {
        my ($sid, $uuid) = @_;

        $streams->cmd('XADD', "stream:8:$sid", '1700000000000-5', 'message',
                      "0123456789", 'uuid', $uuid, 'timestamp', 1, 'version',
                      1);
        $streams->cmd('SADD', $_, $sid) for 'session_uuid:8', 'ended_session',
                                            'd4:sealed';
        cursor($sid, $uuid, 8, done => 1);
    },
);

$_->(dashed(new_uuid()), new_uuid()) for values %case;
$metadata->cmd('SADD', 'd4:workers', $dead);

drained($t, join(', ', sort keys %case), 40);
ok(poll_until(5, sub {
    !$metadata->cmd('SISMEMBER', 'd4:workers', $dead)
}), 'nor of the worker');
is(join(' ', grep { !/^\./ } tree($t->{data})), '', 'no file is made of it');

$t->finish;
done_testing();

# More sessions of the published server than are read at a time, whose sensors
# are still connected to it: each has its turn, again and again, also when
# Redis comes back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Test;
use Test::More;

use constant MANY => 150;

my $t = D4::Test->new(dispatch => 1)->start;
my $queue = queue_define($t->db('metadata'), 8);
my $list = queue_list(8, $queue);
my @sids = map { dashed(new_uuid()) } 1 .. MANY;
my $uuid = new_uuid();

sub add {
    my ($line) = @_;

    $t->db('streams')->pipeline(map {
        ([ 'XADD', "stream:8:$_", '*', 'message', "$line $_\n", 'uuid', $uuid,
           'timestamp', int(time()), 'version', '1' ],
         [ 'SADD', 'session_uuid:8', $_ ])
    } @sids);
}

sub arrived {
    my ($n) = @_;

    return poll_until(20, sub {
        $t->db('queues')->cmd('LLEN', $list) >= $n * MANY
    });
}

add('first');
ok(arrived(1), MANY . ' sessions are taken over and dispatched');
add('second');
ok(arrived(2), 'each is looked at again');

# a connection that is lost asks for all of them at once

$_->cmd('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    for $t->db('streams');
$t->allow(qr/Redis|redis/);

add('third');
ok(arrived(3), 'and after Redis was away');
add('fourth');
ok(arrived(4), 'for as long as they live');

$t->db('streams')->cmd('SADD', 'ended_session', @sids);
drained($t, 'they end', 40);

my %got;

$got{$_}++ for queue_take($t->db('queues'), 8, $queue);
is((grep { $_ == 1 } values %got), 4 * MANY, 'each line is an element once');

$t->finish;
done_testing();

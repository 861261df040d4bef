# Two hosts with a data directory each on the same Redis, or rather two: the
# streams are in one and the queues in another.  One host dies with sessions
# and with files that are not closed yet, the other adopts, the first returns:
# nothing is lost and nothing is there twice.

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

my $q = D4::Test->new->redis_start;
my %common = (
    workers  => 2,
    listen   => 'reuseport',
    redis_of => { queues => $q },
    server   => 'd4_duplicate replace;',
    dispatch => { rotate_time => '1s', compress_level => 9 },
);

my $one = D4::Test->new(%common, d4 => 'host one;')->start;
my $two = D4::Test->new(%common, d4 => 'host two;', redis => $one)->start;

$one->{all_data} = $two->{all_data} = [ $one->{data}, $two->{data} ];

$one->allow(qr/exited on signal 9/, qr/open socket/);
isnt($one->read_file('data/.d4-store'), '', 'the first data directory');
isnt($one->read_file('data/.d4-store'), $two->read_file('data/.d4-store'),
     'is told apart from the second');

my $queues = $one->db('queues');
my @storms = (D4::Storm->new($one, conns => 3),
              D4::Storm->new($two, conns => 2, lines => 1, captures => 1,
                             rate => 500));
my $store = $one->read_file('data/.d4-store');


# With a file of it on the list of those to be closed, and a file of a quiet
# session that it will never write to again.

my $quiet = $one->sensor;
my $gone = queue_define($one->db('metadata'), 8, group => [ $quiet->{uuid} ]);

$storms[0]->flows('one');
$storms[1]->flows('two');
sleep(2);
$quiet->send("quiet\nhalf");
ok(poll_until(5, sub {
    session_files($one->{data}, $quiet->{uuid}, 8, suffix(8))
}), 'a quiet session has a file on the first host');
ok(poll_until(20, sub { $queues->cmd('HLEN', "d4:closing:$store") }, 0),
   'a file is being closed');

$one->nginx_kill;

my $begin = time();

$storms[0]->remember;
$quiet->drop;

ok($queues->cmd('HLEN', "d4:closing:$store"), 'the first host dies with it');
ok(poll_until(ADOPTED + 10, sub {
    !$queues->keys('d4:cursors:one:*')
}, 0.1), 'the second host adopts its sessions');
cmp_ok(time() - $begin, '<', ADOPTED, sprintf('after %.1f s',
                                              time() - $begin));

# what the dead host had acknowledged comes out of the queue meanwhile

ok($queues->cmd('HLEN', "d4:closing:$store"),
   'what is on the disk of the first is left to it');

$one->nginx_start;
ok(poll_until(60, sub {
    !grep { !/\.gz$/ } session_files($one->{data}, $quiet->{uuid}, 8,
                                     suffix(8))
}), 'it closes it when it returns');

$storms[0]->flows('one again');
$storms[1]->flows('two all the time');
sleep(2);
$storms[1]->{load}->stop;
$_->{proc}->signal('TERM') for @{ $storms[1]{sources} };
# an owner on another host has a minute to come back

$storms[0]->end('the host that died', kills => 1, seconds => 180);
$storms[1]->end('the host that lived', seconds => 180);

my @files = map { my $data = $_;
                  map { "$data/$_" } session_files($data, $quiet->{uuid}, 8,
                                                   suffix(8)) }
    $one->{data}, $two->{data};

is_deeply([ queue_take($queues, 8, $gone) ], [ 'quiet', 'half' ],
          'all of the quiet session has been queued');
same_bytes(join('', map { file_content($_) } @files), "quiet\nhalf",
           'the quiet session: ' . @files . ' files');

$two->finish;
$one->finish;
$q->redis_stop;
$q->{finished} = 1;
done_testing();

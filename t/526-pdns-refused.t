# Passive DNS: a store that refuses what is written.  What has a reason that
# passes is written again until it is taken, without counting twice; a key that
# is something else costs what belongs there, and nothing else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Test;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

my $queue = 'analyzer:8:7d1a3c5e-0000-4000-8000-000000000526';

# the store has a Redis of its own

my $server = D4::Test->new->redis_start;
my $t = D4::Pdns->new(
    http     => "pdns_queue $queue; pdns_flush 20ms; pdns_errors 30d;"
                . ' pdns_retention 30d; pdns_sweep 300ms;',
    location => 'pdns_export on;',
    redis_of => { map { $_ => $server }
                  qw(metadata users queues cache streams) },
)->start;

my $json = D4::Pdns::json();
my $q = $server->new_db('queues');
my $now = time();
my $old = $now - 40 * 86400;

sub line { return D4::Pdns::line(@_) }
sub nx { return line(@_[0, 1], 'A', 'NXDOMAIN') =~ s/\|\|300\|/||0|/r }

# The answer to a post that is made in another process.

sub post_later {
    my (@lines) = @_;

    pipe(my $r, my $w) or die "pipe: $!";

    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        my $answer = $t->post('/ingest', join '', map { "$_\n" } @lines);
        syswrite($w, "$answer->{status} $answer->{content}");
        POSIX::_exit(0);
    }

    close($w);

    return sub { local $/; my $text = <$r>; waitpid($pid, 0); return $text };
}

sub drained {
    return poll_until($_[0], sub {
        !$q->cmd('EXISTS', $queue) && !$q->keys('d4:inflight:*');
    });
}


# keys that are something else

my $s = $t->store;

$t->ingest((map { line($old, "o$_.example.org.", 'A', '192.0.2.1') } 1 .. 50),
           line($now, 'was.example.com.', 'A', '192.0.2.9'),
           line($old, 'old.example.com.', 'A', '192.0.2.9'));

ok(poll_until(20, sub { !$s->keys('N:{org.example}*') }), 'a sweep');

my ($addr) = grep { $s->cmd('ZCARD', $_) == 1 } $s->keys('R:*');

$s->cmd('DEL', $addr);
$s->cmd('SET', $_, 'no set')
    for 'N:{com.example}bad', 'W:{net.example}', 'X:{com.example}gone', $addr;
$s->cmd('DEL', 'H:epoch');
$s->cmd('LPUSH', 'H:epoch', 'no text');

my @lines = (
    line($now, 'bad.example.com.', 'A', '192.0.2.1'),
    line($now, 'good.example.com.', 'A', '192.0.2.1', 3),
    line($now, 'good.example.com.', 'A', '192.0.2.9', 5),
    line($now, 'www.example.net.', 'A', '192.0.2.2', 7),
    nx($now, 'gone.example.com.'), nx($now, 'gone.example.net.'),
);

$q->cmd('LPUSH', $queue, @lines);
ok(drained(20), 'keys that are something else: the queue is taken');
is_deeply([ sort $t->rows('/query/good.example.com'),
            $t->rows('/query/www.example.net') ],
          [ "good.example.com A 192.0.2.1 $now $now 3",
            "good.example.com A 192.0.2.9 $now $now 5",
            "www.example.net A 192.0.2.2 $now $now 7" ],
          'what is written elsewhere is there, and counted once');
is(scalar(() = $t->rows('/query/gone.example.net?errors=1')), 1,
   'error answers, too');
is($s->cmd('GET', 'N:{com.example}bad'), 'no set', 'they are left alone');
is($t->log_lines('writes dropped'), 1, 'it is logged once');
like(($t->log_lines('writes dropped'))[0],
     qr/ 1 writes dropped, the last to "N:\{com\.example\}bad"/,
     'with the key');
is_deeply([ sort map { (split)[0] } $t->rows('/query/*.example.com') ],
          [ ('good.example.com') x 2, 'was.example.com' ],
          'a wildcard finds the others');
ok((grep { /^good/ } $t->rows('/query/192.0.2.1')), 'as does an address');
like($t->get('/export')->{content}, qr/www\.example\.net/, 'and an export');

$t->ingest(map { line($old, "o$_.example.com.", 'A', '192.0.2.9') } 1 .. 50);
ok(poll_until(20, sub { !grep { /\}o/ } $s->keys('N:*') }),
   'sweeps go on beside them');

$s->cmd('DEL', 'N:{com.example}bad', 'H:epoch', $addr);


# refused for a while, in the middle of a batch

my $long = '"' . 'x' x 200 . '"';

$s->cmd('ACL', 'SETUSER', 'default', '-setnx');

my $posted = post_later(line($now, 'half.example.com.', 'A', '192.0.2.3', 11),
                        line($now, 'half.example.com.', 'TXT', $long, 13),
                        nx($now, 'half.example.net.'));

ok($t->wait_log('refuses writes: NOPERM', 20), 'half of a batch is refused');
sleep(2);
$s->cmd('ACL', 'SETUSER', 'default', '+setnx');
like($posted->(), qr/^200 .*"accepted":3/, 'and taken in the end');
is_deeply([ sort $t->rows('/query/half.example.com') ],
          [ "half.example.com A 192.0.2.3 $now $now 11",
            "half.example.com TXT $long $now $now 13" ],
          'what had been counted is not counted again');
is_deeply([ $t->rows('/query/half.example.net?errors=1') ],
          [ "half.example.net A NXDOMAIN $now $now 1" ], 'nor error answers');


# full, until it has more room

my @many = map { line($now - $_, "m$_.full.example.", 'A', '198.51.100.1', 2) }
    1 .. 4000;

$t->ingest(@many[0 .. 999]);

my $used = $s->cmd('INFO', 'memory') =~ /used_memory:(\d+)/ && $1;

$s->cmd('CONFIG', 'SET', 'maxmemory', $used + 300_000);
$posted = post_later(@many);
ok($t->wait_log('refuses writes: OOM', 20), 'a store without room');
sleep(2);
$s->cmd('CONFIG', 'SET', 'maxmemory', 0);
like($posted->(), qr/^200 .*"accepted":4000/, 'takes all when it has room');

my @rows = $t->rows('/query/*.full.example?limit=10000');

is(scalar @rows, 4000, 'each record');
is_deeply([ grep { !/ (\d+) \1 ([24])$/ || $2 != ($1 > $now - 1001 ? 4 : 2) }
            @rows ], [], 'and counts each once');


# From a worker that may not have found the store again.

sub again {
    my ($what, $path) = @_;
    my @all;

    poll_until(20, sub { eval { @all = $t->$what($path); 1 } });

    return @all;
}


# refused, and then away: what it had taken may be lost

$s->cmd('ACL', 'SETUSER', 'default', '-setnx');
$posted = post_later(line($now, 'lost.example.com.', 'A', '192.0.2.3', 11),
                     line($now, 'lost.example.com.', 'TXT', $long, 13));
ok(poll_until(20, sub { $t->log_lines('refuses writes: NOPERM') == 2 }),
   'half of a batch is refused');
$t->redis_kill;
delete $t->{store};
$t->redis_start;
like($posted->(), qr/^200 .*"accepted":2/, 'by a store that is lost then');
is_deeply([ sort { $a cmp $b } again('rows', '/query/lost.example.com') ],
          [ "lost.example.com A 192.0.2.3 $now $now 11",
            "lost.example.com TXT $long $now $now 13" ],
          'all of it is there');


# nothing but what is refused by us, while the store is away

$q->cmd('LPUSH', $queue, 'short');
ok(drained(20), 'an element without a record');
my $downs = $t->log_lines('redis pdns .* down');
$t->redis_kill;
delete $t->{store};
poll_until(10, sub { $t->log_lines('redis pdns .* down') > $downs });
$q->cmd('LPUSH', $queue, 'short');
ok(poll_until(20, sub { $q->keys('d4:inflight:*') }),
   'one that comes while the store is away');
sleep(0.3);
$t->redis_start;
ok(drained(20), 'leaves when the store is back');


# more sensors of one record than a batch keeps: the last one is known

my $n = 3000;

$q->cmd('LPUSH', $queue, join "\n", map {
    sprintf('{"rrname":"many.example","rrtype":"A","rdata":"192.0.2.1",'
            . '"time_first":%d,"time_last":%d,"sensor_id":"s%d"}',
            $now - $_, $now - $_, $_)
} 2 .. $n, 1);
ok(drained(20), 'many sensors of one record');

my ($r) = again('records', '/query/many.example');

is($r->{count}, $n, 'all is counted');
is($r->{sensor_id}, 's1', 'and the last one is told');

$t->finish;
$server->redis_stop;
$server->{finished} = 1;
done_testing();

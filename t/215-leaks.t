# Thousands of sessions: what was there before is there afterwards, in Redis,
# in descriptors and in memory; and more live sessions than files may be open.
#
#   LONG=1   10000 sessions instead of 2000

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Proc;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $sessions = LONG ? 10_000 : 2000;
my $t = D4::Test->new(tls => 0, dispatch => {
    rotate_time => '2s', open_files => 10 })->start;
my $metadata = $t->db('metadata');
my ($worker) = $t->workers;
my @sensors = map { new_uuid() } 1 .. 100;
my $queue = queue_define($metadata, 8);

$t->register(\@sensors, 'k');
$metadata->cmd('SADD', 'server:accepted_extended_type', 'leak');


# Short sessions, sixteen at a time, each of a sensor that has none just now.

sub run_sessions {
    my ($n, $first) = @_;

    my @live;
    my $sent = 0;

    for my $i (1 .. $n) {
        my $meta = $i % 10 == 0;
        my $s = $t->sensor(uuid => $sensors[$i % @sensors], key => 'k',
                           type => $meta ? 2 : 8) or die;

        $s->write($meta
            ? $s->frame_of('{"type":"leak"}')
              . $s->frame_of("ext $i\n", type => 254)
            : $s->frame_of("session " . ($first + $i) . "\nlast $i")) or die;
        $s->half_close;
        push @live, $s;

        if (@live >= 16) {
            my $old = shift @live;

            $old->ended(20) eq 'eof' or die 'a session was cut off';
            $old->drop;
        }
    }

    for (@live) {
        $_->ended(20);
        $_->drop;
    }
}

# Files of the data directory that the worker has open, at one moment.

sub open_now {
    kill('STOP', $worker);
    poll_until(5, sub {
        D4::Proc::slurp("/proc/$worker/stat") =~ /^\d+ \(.*\) T /
    }, 0.001);

    # a thread on its way to a file holds a directory

    my $n = grep { !-d } open_files_of($worker, $t->{data});

    kill('CONT', $worker);

    return $n;
}

sub keys_of {
    my ($role) = @_;

    my %n;

    for ($t->db($role)->keys) {
        next if /^d4:(name|refused|meta|session):?/;   # expire by themselves
        s/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|[0-9a-f]{32}|20\d{6}/*/g;
        s/:127\.0\.0\.1|:\d+:[0-9a-f]{16}$//;
        $n{$_}++;
    }

    return \%n;
}

# a first round shows what one round needs

run_sessions(200, 0);
drained($t, 'the first sessions', 60);
sleep(2.5);

my %before = map { $_ => keys_of($_) } qw(metadata queues streams);
my $fds = worker_fds($worker);

queue_take($t->db('queues'), 8, $queue);
run_sessions($sessions / 2, 0);
drained($t, 'half of the sessions', 60);
sleep(2.5);

my $rss = D4::Proc::rss($worker);

run_sessions($sessions / 2, $sessions);
drained($t, "$sessions sessions", 60);
sleep(2.5);

my $grown = D4::Proc::rss($worker) - $rss;

for my $role (qw(metadata queues streams)) {
    is_deeply(keys_of($role), $before{$role}, "$role: the same kinds of keys");
}

my $now = worker_fds($worker);

cmp_ok($now, '<=', $fds, 'no more descriptors than before')
    or diag(join "\n", map { readlink // '' } glob("/proc/$worker/fd/*"));
is(scalar(my @open = open_files_of($worker, $t->{data})), 0,
   'no file is open');

# a sanitizer keeps what was freed

cmp_ok($grown, '<', 2 << 20,
       sprintf('%d KiB more memory after %d sessions', $grown / 1024,
               $sessions / 2)) if !ASAN;

# names are kept for two minutes, metadata for a month

for my $key (map { ($t->db('queues')->keys("d4:name:*"))[0] } 1) {
    cmp_ok($t->db('queues')->cmd('TTL', $key), '<=', 120,
           'names of files expire') if $key;
}

my %lines = map { $_ => 1 } queue_take($t->db('queues'), 8, $queue);

is(scalar(grep { /^session/ } keys %lines), $sessions * 9 / 10,
   'and every session was queued');


# more live sessions than files may be open

{
    my @s = map { $t->sensor(uuid => $_, key => 'k', type => 8) } @sensors;
    my $most = 0;

    for my $round (1 .. 4) {
        for my $s (@s) {
            $s->send("round $round\nof $s->{uuid} ");
            my $n = open_now();
            $most = $n if $most < $n;
        }
    }

    my $n;

    poll_until(30, sub { ($n = open_now()) <= 10 }, 0.1);
    cmp_ok($n, '<=', 10, "100 live sessions, $n files open");
    # four may be spare, four threads have one each, and one that compresses
    # has two
    cmp_ok($most, '<=', 10 + 4 + 4 + 2, "$most at most");
    $_->half_close for @s;
    $_->ended(20) for @s;
    drained($t, 'many files', 60);

    my $bad = 0;

    for my $s (@s) {
        my $want = join '', map { "round $_\nof $s->{uuid} " } 1 .. 4;
        my $got = files_content($t->{data}, session_files($t->{data},
                                $s->{uuid}, 8, suffix(8)));
        $bad++ if substr($got, -length $want) ne $want;
    }

    is($bad, 0, 'and each file has all of its session');
}

# the zone and the lists of workers know of no session either

my @unlimited = grep { $metadata->cmd('TTL', $_) == -1 }
    map { $metadata->keys("d4:$_:*") } qw(session meta);

is(scalar @unlimited, 0, 'what is kept of a session expires');
is_deeply([ $metadata->keys('d4:claim:*') ], [], 'no claim');
$t->finish;
done_testing();

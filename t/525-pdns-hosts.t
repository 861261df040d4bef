# Passive DNS: two hosts of two workers each take one queue, are posted to and
# sweep one store together.  While nothing fails all figures are exactly
# right; when one of them is killed nothing is lost, times are right and counts
# are not too low.
#
#   LONG=1   five times as much

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Test;
use HTTP::Tiny;
use List::Util qw(max min sum0);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

my $queue = 'analyzer:8:7d1a3c5e-0000-4000-8000-000000000525';
my $http = "pdns_queue $queue; pdns_flush 50ms;";
my $json = D4::Pdns::json();

my $one = D4::Pdns->new(workers => 2, d4 => 'host one;', http => $http)
    ->start;
my $two = D4::Pdns->new(workers => 2, d4 => 'host two;', http => $http,
                        redis => $one)->start;

my $q = $one->new_db('queues');
my $now = time();

sub info { return $json->decode($_[0]->get('/info')->{content}) }

# What was given: "name type data" => [ first, last, count ].

my %want;

sub given {
    my ($time, $name, $data, $count) = @_;

    my $w = $want{"$name A $data"} //= [ $time, $time, 0 ];

    $w->[0] = min($w->[0], $time);
    $w->[1] = max($w->[1], $time);
    $w->[2] += $count;

    return D4::Pdns::line($time, "$name.", 'A', $data, $count);
}


# Lines about the same names from everywhere, in no order of time.

srand(525);

sub lines {
    my ($n, $zone, $names) = @_;

    return map {
        my $i = int(rand($names));
        given($now - int(rand(86400)), "n$i.$zone", '192.0.2.' . $i % 200,
              1 + int(rand(3)));
    } 1 .. $n;
}


# Posts the lines to a host in several bodies, in a process of its own, which
# exits with 0 when all were accepted.  again: until they are.

sub poster {
    my ($t, $again, @lines) = @_;

    my $pid = fork() // die "fork: $!";

    return $pid if $pid;

    my $ua = HTTP::Tiny->new(timeout => 60, keep_alive => 0);
    my $ok = 1;

    while (my @some = splice(@lines, 0, 250)) {
        my $r;

        do {
            $r = $ua->post("$t->{url}/ingest",
                           { content => join '', map { "$_\n" } @some });
        } while ($again && $r->{status} != 200 && sleep(0.1));

        $ok &&= $r->{status} == 200
            && $json->decode($r->{content})->{accepted} == @some;
    }

    POSIX::_exit($ok ? 0 : 1);
}


sub posted {
    return !grep { waitpid($_, 0); $? != 0 } @_;
}


# Elements of one line, and of several, the newest at the head.

sub push_lines {
    my (@lines) = @_;

    while (my @some = splice(@lines, 0, 300)) {
        my @elements;

        push @elements, join "\n", splice(@some, 0, @some % 7 ? 1 : 3)
            while @some;

        $q->pipeline(map { [ 'LPUSH', $queue, $_ ] } @elements);
        sleep(0.01);
    }
}


sub drained {
    my ($seconds) = @_;

    # at once: elements go from the one to the other, and back from the dead

    return poll_until($seconds, sub {
        $q->cmd('EVAL', "return redis.call('EXISTS', KEYS[1])"
                        . " + #redis.call('KEYS', 'd4:inflight:*')",
                1, $queue) == 0;
    });
}


# "name type data" => [ first, last, count ] of all below a zone.

sub stored {
    my ($t, $zone) = @_;

    my (%got, $cursor);

    do {
        my @rows = $t->rows("/query/*.$zone?limit=10000"
                            . (defined $cursor ? "&cursor=$cursor" : ''));

        for (@rows) {
            my (@f) = split;
            $got{"@f[0 .. 2]"} = [ @f[3 .. 5] ];
        }

        $cursor = $t->{last}{headers}{'x-pdns-cursor'};
    } while (defined $cursor);

    return \%got;
}


sub wanted {
    my ($zone) = @_;

    return { map { /^\S+\.\Q$zone\E / ? ($_ => $want{$_}) : () } keys %want };
}


my $n = LONG ? 15000 : 3000;


# nothing fails

my @bodies = map { [ lines($n, 'calm.example', 700) ] } 1 .. 2;
my @queued = lines(2 * $n, 'calm.example', 700);
my @bad = map { D4::Pdns::line($now, "bad..$_.", 'A', '192.0.2.1') } 1 .. 90;

my @posters = (poster($one, 0, @{ $bodies[0] }),
               poster($two, 0, @{ $bodies[1] }));

push_lines(@queued[0 .. $n - 1], @bad, @queued[$n .. $#queued]);

ok(posted(@posters), 'both hosts take what is posted');
ok(drained(30), 'and the queue');

my $calm = wanted('calm.example');

ok(poll_until(10, sub {
    info($one)->{stats} >= 4 * $n && info($one)->{lines}{rejected} >= @bad;
}), 'all lines are counted');

is_deeply(stored($one, 'calm.example'), $calm,
          'times and counts of all records are exactly right');

my ($i, $j) = map { info($_) } $one, $two;

is($i->{stats}, 4 * $n, 'as many lines as there were');
is_deeply($i->{rejects}, { bad_name => scalar @bad }, 'and of those refused');
is($i->{records}, scalar keys %$calm, 'records');
is($i->{names}, scalar $one->store->keys('N:*'), 'names');
is_deeply([ @$j{qw(stats records names)} ], [ @$i{qw(stats records names)} ],
          'whichever host is asked');


# both sweep: one at a time, and what is too old only

my $old = $now - 40 * 86400;

sub old_lines {
    my ($zone) = @_;

    return map { D4::Pdns::line($old, "o$_.$zone.", 'A', '198.51.100.1') }
        1 .. 300;
}

$one->ingest(old_lines('old.example'));
$_->{http} .= ' pdns_retention 30d; pdns_sweep 300ms;' for $one, $two;
$_->reload(gone => 20) for $one, $two;

sub swept {
    my ($name) = @_;

    ok(poll_until(30, sub {
        $one->store->keys('N:*') == keys %$calm
            && info($two)->{records} == keys %$calm;
    }), $name);
    is_deeply(stored($two, 'calm.example'), $calm, 'and nothing else');
}

swept('both sweep: what is too old goes');
is(info($one)->{names}, scalar keys %$calm, 'names go with it');
is(info($one)->{stats}, 4 * $n + 300, 'and no line was counted twice');

# the sweeper is known by the pid in its lease

sub sweeper {
    my ($pid) = ($one->store->cmd('GET', 'H:sweep:lease') // '') =~ /^(\d+)-/;

    return grep { my $t = $_; grep { $_ == ($pid // 0) } $t->workers }
        $one, $two;
}

my ($dead) = poll_until(10, \&sweeper) ? sweeper() : ();
$dead //= $one;
my ($live) = grep { $_ != $dead } $one, $two;

$dead->allow(qr/exited on signal 9/, qr/open socket/);
$dead->nginx_kill;
$live->ingest(old_lines('older.example'));
swept('the host that swept is killed: the other one goes on');
$dead->nginx_start;


# one host is killed in the middle, and comes back

@bodies = map { [ lines($n, 'storm.example', 700) ] } 1 .. 2;
@queued = lines(2 * $n, 'storm.example', 700);
@posters = (poster($one, 1, @{ $bodies[0] }),
            poster($two, 1, @{ $bodies[1] }));

push_lines(@queued[0 .. $n - 1]);

# in the middle of something

my @rest = @queued[$n .. $#queued];

ok(poll_until(20, sub {
    push_lines(splice(@rest, 0, 50)) if @rest > 300;
    kill('STOP', $two->workers);
    return 1 if $q->keys('d4:inflight:two:*');
    kill('CONT', $two->workers);
    return 0;
}, 0.01), 'a host has taken what it has not stored');
$two->allow(qr/exited on signal 9/, qr/open socket/);
$two->nginx_kill;
push_lines(@rest);
$two->nginx_start;

ok(posted(@posters), 'it is killed: what is posted is taken in the end');
ok(drained(60), 'and the queue');

my $storm = wanted('storm.example');
my $got = stored($two, 'storm.example');

is_deeply({ map { $_ => [ @{ $got->{$_} }[0, 1] ] } keys %$got },
          { map { $_ => [ @{ $storm->{$_} }[0, 1] ] } keys %$storm },
          'times of all records are exactly right');
is_deeply([ grep { ($got->{$_}[2] // 0) < $storm->{$_}[2] } keys %$storm ], [],
          'counts are not too low');
diag(sprintf('%d of %d counted again',
             sum0(map { $_->[2] } values %$got)
             - sum0(map { $_->[2] } values %$storm),
             sum0(map { $_->[2] } values %$storm)));

$two->finish;
$one->finish;
done_testing();

# Cursors that somebody else opened, lost answers and a Redis that lost what it
# had: the owner of a living session comes back to it, and everything is there
# once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Source;
use D4::Test;
use Test::More;

my $t = D4::Test->new(dispatch => { rotate_time => '1s' })->start;
my $queues = $t->db('queues');
my $n = 0;

$t->allow(qr/lost/);

sub line { return unit_line($n++) }

sub begin {
    my $s = $t->sensor(@_);

    $s->{queue} = queue_define($t->db('metadata'), 8, group => [ $s->{uuid} ]);
    $s->{all} = '';

    return $s;
}

sub say_to {
    my ($s, $text) = @_;

    $s->{all} .= $text;
    $s->send($text);
}

# everything up to the last "\n" is in the queue

sub arrived {
    my ($s, $name) = @_;

    my @want = map { $_ =~ s/\n//r } $s->{all} =~ /([^\n]+\n)/g;

    poll_until(20, sub {
        @want <= $queues->cmd('LLEN', queue_list(8, $s->{queue}))
    });

    my @got = reverse @{ $queues->cmd('LRANGE', queue_list(8, $s->{queue}),
                                      0, -1) };

    return same_lines(\@got, \@want, $name);
}

sub cursor_of { return 'd4:cursor:' . ($t->sids($_[0]{uuid}))[0] }

sub committed {
    my ($s) = @_;

    return poll_until(10, sub {
        $queues->cmd('HGET', cursor_of($s), 'n')
    });
}

sub at_the_end {
    my ($s, $name) = @_;

    $s->finish;
    drained($t, $name, 60);
    same_bytes(files_content($t->{data}, session_files($t->{data}, $s->{uuid},
                                                       8, suffix(8))),
               $s->{all}, "$name: each byte is in the files once");
}


# Another worker took it over, as if its owner had been dead, and the owner
# does not learn that but from the cursor.

my $s = begin();

say_to($s, line() . line() . 'torn ');
arrived($s, 'at first');
committed($s);

my $sid = ($t->sids($s->{uuid}))[0];

$queues->pipeline([ 'HINCRBY', cursor_of($s), 'epoch', 1 ],
                  [ 'HSET', cursor_of($s), 'worker', 'else:1:2' ]);
say_to($s, "line\n" . line() . 'torn again ');
arrived($s, 'taken back');
say_to($s, "line\n" . line());
arrived($s, 'and on');
is(($t->sids($s->{uuid}))[0], $sid, 'under the same sid');
at_the_end($s, 'taken over');


# The cursor is lost, with and without a file.

$s = begin();
say_to($s, line() . 'torn ');
arrived($s, 'before the cursor is lost');
committed($s);
$queues->cmd('DEL', cursor_of($s));
say_to($s, "line\n" . line());
arrived($s, 'the cursor was lost');
$queues->cmd('DEL', cursor_of($s));
say_to($s, line());
arrived($s, 'and again');

# between two files: the next one needs a name first

poll_until(5, sub { !length $queues->cmd('HGET', cursor_of($s), 'file') });
$queues->cmd('DEL', cursor_of($s));
say_to($s, line());
arrived($s, 'between two files');
at_the_end($s, 'cursor lost');


# a cursor older than what was acknowledged: what is done stays done

$s = begin();
say_to($s, line());
arrived($s, 'before Redis goes back in time');
committed($s);

my @old = @{ $queues->cmd('HGETALL', cursor_of($s)) };

say_to($s, line());
arrived($s, 'acknowledged');
poll_until(5, sub {
    +{ @old }->{seq} < $queues->cmd('HGET', cursor_of($s), 'seq')
});
$queues->cmd('HSET', cursor_of($s), @old);
say_to($s, line());
arrived($s, 'a commit that Redis lost is not repeated');
at_the_end($s, 'older');


# the session goes on under another sid, and has nothing more to say

$s = begin();
say_to($s, line());
arrived($s, 'before it gets another sid');
committed($s);
$sid = ($t->sids($s->{uuid}))[0];
$t->db('streams')->cmd('DEL', "stream:8:$sid");
$t->db('metadata')->cmd('DEL', "d4:session:$sid");
$t->announce("sensor $s->{uuid}");
ok(poll_until(10, sub {
    my @sids = $t->sids($s->{uuid});

    return @sids == 1 && $sids[0] ne $sid;
}), 'it has another one');
at_the_end($s, 'another sid');


# keys that are not what they should be

$s = begin();
say_to($s, line());
arrived($s, 'before the counters go');
$queues->cmd('SET', 'd4:queue:' . queue_list(8, $s->{queue}), 'x');
$queues->cmd('SET', 'd4:queues:full', 'x');
$t->db('metadata')->cmd('HSET', "analyzer:$s->{queue}", 'max_size', 3);
$t->announce('queues');
say_to($s, line() . line());
arrived($s, 'elements are pushed once without counters');
say_to($s, line() . line());

my $last = (split /\n/, $s->{all})[-1];

poll_until(10, sub {
    ($queues->cmd('LINDEX', queue_list(8, $s->{queue}), 0) // '') eq $last
});
is($queues->cmd('LLEN', queue_list(8, $s->{queue})), 3, 'and limited');
$t->db('metadata')->cmd('HSET', "analyzer:$s->{queue}", 'max_size', 0);
$t->announce('queues');
say_to($s, line() . line());
$last = (split /\n/, $s->{all})[-1];
poll_until(10, sub {
    ($queues->cmd('LINDEX', queue_list(8, $s->{queue}), 0) // '') eq $last
});
is($queues->cmd('LLEN', queue_list(8, $s->{queue})), 1,
   'a limit of 0 keeps the last one');
$queues->cmd('DEL', 'd4:queue:' . queue_list(8, $s->{queue}),
             'd4:queues:full');
at_the_end($s, 'without counters');

$t->finish;
done_testing();

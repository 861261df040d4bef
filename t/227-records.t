# Long records of many sensors, which all have begun before one of them ends,
# and which a worker's memory has no room for together: each of them arrives,
# whoever else is slow, leaves or never comes to an end.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep time);

use constant { MANY => ASAN ? 16 : 32, SIZE => 1_000_000, FRAME => 50_000 };

my $t = D4::Test->new(d4 => 'worker_memory 8m;', dispatch => 1, tls => 0,
                      server => 'd4_frame_timeout 5s;')->start;
my ($metadata, $queues) = map { $t->db($_) } qw(metadata queues);

$metadata->cmd('SADD', 'server:accepted_type', 1, 3, 254);
$metadata->cmd('SADD', 'server:accepted_extended_type', 'long');


# A line of SIZE bytes and a short one, in frames.

sub frames {
    my ($s, $n) = @_;

    my $text = sprintf('%08d ', $n)
        . join('', map { sprintf('%07d ', $_) } 1 .. (SIZE - 10) / 8)
        . "\nshort $n\n";

    $s->{text} .= $text;

    return map { $s->frame_of($_) } unpack('(a' . FRAME . ')*', $text);
}

sub begin {
    my ($type, $n) = @_;

    my $s = $t->sensor(type => $type == 254 ? 2 : $type) or return;
    my $ext = $type == 254 ? 'long' : undef;

    $s->{queue} = queue_define($metadata, $type, group => [ $s->{uuid} ],
                               $ext ? (ext => $ext) : ());
    $s->{list} = queue_list($ext // $type, $s->{queue});
    $s->{data} = $type;
    $s->{ext} = $ext;
    $s->{text} = "first\n";
    $s->send('{"type":"long"}') if $ext;
    $s->{type} = $type;
    $s->send($s->{text});

    # who is not known yet is refused where there is little memory
    poll_until(10, sub { $queues->cmd('LLEN', $s->{list}) || $s->ended });
    return if !$queues->cmd('LLEN', $s->{list});

    $s->{frames} = [ map { frames($s, $_) } 1 .. $n ];

    return $s;
}


# Writes what can be written, of all of them in turn, up to so many frames.

sub feed {
    my ($seconds, $frames, @sensors) = @_;

    my $end = time() + $seconds;
    my %left = map { $_ => $frames } @sensors;

    while (time() < $end) {
        my @todo = grep { defined $_->{part}
                          || (@{ $_->{frames} } && $left{$_}) } @sensors
            or return 1;

        for my $s (@todo) {
            if (!defined $s->{part}) {
                $s->{part} = shift @{ $s->{frames} };
                $left{$s}--;
            }

            $s->write($s->{part}, 0.01);
            $s->{part} = $s->{unsent} ? substr($s->{part}, -$s->{unsent})
                                      : undef;
        }
    }

    return 0;
}

# Those of whose lines some are not in the queue, or are not as they were sent.

sub incomplete {
    my (@sensors) = @_;

    my $lines = sub { return scalar(my @l = lines_of($_[0]{text})) };

    poll_until(90, sub {
        !grep { $queues->cmd('LLEN', $_->{list}) < $lines->($_) } @sensors
    });

    my @bad = grep {
        join("\n", reverse @{ $queues->cmd('LRANGE', $_->{list}, 0, -1) })
            ne join("\n", lines_of($_->{text}))
    } @sensors;

    return scalar @bad;
}

sub at_the_end {
    my ($name, @sensors) = @_;

    $_->half_close for @sensors;
    drained($t, $name, 90);

    my @bad = grep {
        my @files = session_files($t->{data}, $_->{uuid}, $_->{data},
                                  suffix($_->{data}), $_->{ext});

        files_content($t->{data}, @files) ne $_->{text} || @files != 1;
    } @sensors;

    is(@bad, 0, "$name: each has its bytes in one file, once");
}


# all begin, then all end

my @sensors = map { begin((8, 3, 254)[$_ % 3], 2) // die } 0 .. MANY - 1;

ok(feed(60, SIZE / FRAME / 2, @sensors), 'halves of ' . MANY . ' records');
ok(feed(120, 1e9, @sensors), 'all of them go on');
is(incomplete(@sensors), 0, 'every record is in its queue');
at_the_end('records', @sensors);


# some never go on, some go away, and the frames are many

@sensors = map { begin((8, 3, 254)[$_ % 3], 1) // die } 0 .. MANY - 1;

my @stalled = map { begin(8, 1) // die } 1 .. MANY / 2;
my @gone = map { begin(8, 1) // die } 1 .. MANY / 4;

ok(feed(90, SIZE / FRAME - 2, @stalled, @gone, @sensors),
   'records of which some will not end');
$_->reset for @gone;
ok(feed(120, 1e9, @sensors), 'those that do go on');
is(incomplete(@sensors), 0, 'every one of them is in its queue');

my $new = poll_until(60, sub { begin(8, 1) });

ok(feed(30, 1e9, $new) && !incomplete($new), 'so is that of a newcomer');

ok(feed(60, 1e9, @stalled), 'the others go on in the end');
is(incomplete(@stalled), 0, 'and are there, too');
at_the_end('records of which some waited', @sensors, @stalled, $new);


# more entries than a stream may have: what was read need not be read again

my $limit = 100;
my @small = map { begin(8, 1) // die } 1 .. MANY / 2;

for my $s (@small) {
    $metadata->cmd('HSET', 'stream_max_size_by_uuid', $s->{uuid}, $limit);
    $t->announce("sensor $s->{uuid}");
    $s->{frames} = [ map { $s->frame_of($_) }
                     unpack('(a2000)*', $s->{text} =~ s/^first\n//r) ];
}

ok(feed(120, 1e9, @small), 'records of more entries than a stream may have');
is(incomplete(@small), 0, 'every one of them is in its queue');
at_the_end('records in many entries', @small);

$t->finish;
done_testing();

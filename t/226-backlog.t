# A full or read-only disk holds sensors back also when their sessions are read
# back from Redis: the stream has a limit then.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Test;
use File::Basename qw(dirname);
use Test::More;
use Time::HiRes qw(sleep time);

use constant { FRAME => 50_000, LIMIT => 1 << 20 };

my $t = D4::Test->new(dispatch => { rotate_time => '1s' },
                      server => 'd4_backlog_size 1m; d4_frame_timeout 5s;')
    ->start;
my ($streams, $queues) = map { $t->db($_) } qw(streams queues);

$t->allow(qr/data directory/);

# The directory of the day, for which the workers have no right for a while.

sub forbid {
    my ($dir) = @_;

    plan(skip_all => 'only root can take the right from workers') if $> != 0;
    chown(0, 0, $dir);
    chmod(0555, $dir);
}

sub permit {
    my ($dir) = @_;

    chmod(0755, $dir);
    $t->give($dir);
}

sub frames { return map { sprintf('%08d ', $_) . 'x' x (FRAME - 10) . "\n" }
                 @_ }


for my $max (undef, 1, 30) {
    my $s = $t->sensor;
    my $name = defined $max ? "at most $max entries" : 'bytes';

    $t->db('metadata')->cmd('HSET', 'stream_max_size_by_uuid', $s->{uuid},
                            $max) if $max;
    $t->announce("sensor $s->{uuid}") if $max;

    my $text = "first\n";

    $s->send($text);
    $t->wait_live($s->{uuid}, 1);

    my ($sid) = $t->sids($s->{uuid});
    my $key = "d4:cursor:$sid";
    my $file;

    poll_until(10, sub {
        ($file) = session_files($t->{data}, $s->{uuid}, 8, suffix(8));
        return $file && !length($queues->cmd('HGET', $key, 'file') // 'x');
    });

    my $dir = dirname("$t->{data}/$file");

    forbid($dir);

    # its owner reads it back

    $queues->pipeline([ 'HINCRBY', $key, 'epoch', 1 ],
                      [ 'HSET', $key, 'worker', 'else:1:2' ]);

    my @frames = frames(1 .. 200);
    my $all = join '', map { $s->frame_of($_) } @frames;

    $text .= join '', @frames;
    $s->write($all, 3);

    my $left = $s->{unsent};

    ok($left > 1_000_000, "$name: the sensor is held back");

    my $most = $streams->cmd('XLEN', "stream:8:$sid");

    cmp_ok($most, '<=', $max ? $max + 2 * LIMIT / FRAME
                             : 4 * LIMIT / FRAME,
           "$name: $most entries in the stream");

    permit($dir);
    ok($s->write(substr($all, length($all) - $left), 30),
       "$name: it goes on when there is room");
    is($s->finish(20), 'eof', "$name: to its end");
    drained($t, $name);
    same_bytes(files_content($t->{data}, session_files($t->{data}, $s->{uuid},
                                                       8, suffix(8))),
               $text, "$name: each byte is there once");
}

$t->finish;
done_testing();

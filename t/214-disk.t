# Disks that are full, read-only or not there, and files that somebody removes,
# shortens or replaces: said once, sensors held back, everything goes on when
# it can, nothing is lost or there twice; nothing is written elsewhere.

use strict;
use warnings;

# a disk of its own needs a mount of its own

BEGIN {
    if ($> == 0 && !$ENV{D4_MOUNTS} && -x '/usr/bin/unshare'
        && system('unshare --mount --propagation private true 2>/dev/null')
           == 0) {
        $ENV{D4_MOUNTS} = 1;
        exec('unshare', '--mount', '--propagation', 'private', $^X,
             (map { "-I$_" } @INC), $0, @ARGV);
    }
}

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Source;
use D4::Proc;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $waits = qr/: [^:]*; sessions wait/;
my $again = qr/is written to again/;


sub content {
    my ($t, $s) = @_;

    return files_content($t->{data}, session_files($t->{data}, $s->{uuid}, 8,
                                                   suffix(8)));
}

sub with_queue {
    my ($t, %opt) = @_;

    my $s = $t->sensor(%opt);

    $s->{queue} = queue_define($t->db('metadata'), 8,
                               group => [ $s->{uuid} ]);

    return $s;
}

sub complete {
    my ($t, $s, $text, $name) = @_;

    same_bytes(content($t, $s), $text, "$name: the file");
    same_lines([ queue_take($t->db('queues'), 8, $s->{queue}) ],
               [ lines_of($text) ], $name);
}

sub said { return scalar(my @l = $_[0]->log_lines($_[1])) }


SKIP: {
    skip('no right to mount', 1) if !$ENV{D4_MOUNTS};

    my $t = D4::Test->new(dispatch => { rotate_size => '300k' },
                          shutdown => '3s', server => 'd4_backlog_size 1m;',
                          listen => 'rcvbuf=128k');
    my (undef, undef, $uid, $gid) = getpwnam('www-data');

    is(system("mount -t tmpfs -o size=4m,mode=755,uid=$uid,gid=$gid tmpfs "
              . $t->{data}), 0, 'a disk of 4 MB');
    $t->start;

    my $fill = sub {
        system("dd if=/dev/zero of=$t->{data}/ballast bs=4k 2>/dev/null");
    };

    # full before a file is begun, and with one open

    my $open = with_queue($t);
    my $text = "before\n";

    $open->send($text);
    poll_until(10, sub { content($t, $open) });
    $fill->();

    my $new = with_queue($t, sndbuf => 65536);
    my $more = join '', map { unit_line($_) } 0 .. 60_000;
    my @frames = unpack('(a4000)*', $more);

    $new->write(join('', map { $new->frame_of($_) } @frames[0 .. 19]), 5);
    $open->send("more\n");
    $text .= "more\n";
    ok($t->wait_log($waits, 10), 'a full disk: it is said');

    # until the server takes no more

    my ($sent, $held) = (20, 0);
    my $frames = join('', map { $new->frame_of($_) } @frames[20 .. $#frames]);

    $held = !$new->write($frames, 5);
    ok($held, 'the sensor is held back: ' . ($new->{unsent} // 0)
              . ' bytes are still with it');
    sleep(2);
    is(said($t, $waits), 1, 'it was said once');
    is(queue_take($t->db('queues'), 8, $new->{queue}) + 0, 0,
       'no element of what is not on disk');
    ok(!$new->ended && !$open->ended, 'the sensors stay');

    unlink("$t->{data}/ballast");
    ok($new->write(substr($frames, length($frames) - $new->{unsent}), 30),
       'there is room again: the rest is taken');
    is($_->finish(30), 'eof', 'and a session ends') for $new, $open;
    drained($t, 'a full disk', 30);
    poll_until(10, sub { said($t, $again) });
    is(said($t, $again), 1, 'that it works again is said once');
    complete($t, $open, $text, 'a file that was open');
    complete($t, $new, $more, 'one that was not');

    # full while a file is compressed

    $t->wait_log($again, 10);
    my $s = with_queue($t);

    $s->send("compressed\n");
    poll_until(10, sub { content($t, $s) });
    $fill->();
    $s->half_close;
    ok(poll_until(10, sub { said($t, $waits) == 2 }),
       'full when a file is to be compressed: it is said');
    ok((grep { !/\.gz$/ } session_files($t->{data}, $s->{uuid}, 8,
                                        suffix(8))), 'the file stays');
    unlink("$t->{data}/ballast");
    drained($t, 'a full disk and a closed file', 30);
    complete($t, $s, "compressed\n", 'it is compressed later');
    is((grep { !/\.gz$/ } session_files($t->{data}, $s->{uuid}, 8,
                                        suffix(8))), 0, 'all of it');

    # read-only

    my $ro = with_queue($t);

    $ro->send("rw\n");
    poll_until(10, sub { content($t, $ro) });

    # a file that is open for writing would keep it from becoming so
    $t->{dispatch}{open_files} = 1;
    $t->nginx_stop;
    is(system("mount -o remount,ro $t->{data}"), 0, 'a read-only disk');
    $t->nginx_start;

    my $s2 = with_queue($t);

    $s2->send("read\n", "only\n");
    ok(poll_until(10, sub { said($t, $waits) >= 3 }), 'it is said');
    sleep(2);
    is(said($t, $waits), 3, 'once');
    is(system("mount -o remount,rw $t->{data}"), 0, 'it can be written to');
    $s2->finish(20);
    drained($t, 'a read-only disk', 40);
    complete($t, $s2, "read\nonly\n", 'what came meanwhile');
    complete($t, $ro, "rw\n", 'and before');

    # by what is left free

    $t->{dispatch}{data_min_free} = '1g';
    $t->reload(gone => 30);

    my $s3 = with_queue($t);

    $s3->send("free\n");
    ok(poll_until(10, sub { said($t, $waits) >= 4 }),
       'less is free than data_min_free');
    $t->{dispatch}{data_min_free} = 0;
    $t->reload;
    $s3->finish(20);
    drained($t, 'data_min_free', 40);
    complete($t, $s3, "free\n", 'less free than wanted');
    $t->finish;
    system("umount -l $t->{data}");
}


# the directory is missing at start

{
    my $t = D4::Test->new(dispatch => { data_access => 'user:rw group:r' });

    rmdir($t->{data}) or die;
    $t->start;
    ok(-d $t->{data}, 'a missing data directory is made');
    my @st = stat($t->{data});
    is(sprintf('%o', $st[2] & 07777), '750', 'with the right mode');
    is(getpwuid($st[4]), $> == 0 ? 'www-data' : getpwuid($>) . '',
       'of the right user');

    my $s = with_queue($t);
    $s->send("x\n");
    $s->finish;
    drained($t, 'a new directory');
    complete($t, $s, "x\n", 'a new directory');

    my ($file) = session_files($t->{data}, $s->{uuid}, 8, suffix(8));
    is(sprintf('%o', (stat("$t->{data}/$file"))[2] & 07777), '640',
       'files have the mode of data_access');
    $t->finish;
}

{
    my $t = D4::Test->new(dispatch => { data => '/nonexistent/d4/data' })
        ->redis_start;

    ok(!eval { $t->nginx_start; 1 }, 'where it cannot be made');
    like($@, qr{\[emerg\].*/nonexistent/d4/data.*No such file},
         'nginx says so and does not start');
    $t->nginx_stop('KILL');
    $t->redis_stop;
    $t->{finished} = 1;
}


# files that others touch; a file is opened again for every write here

for my $case ([ 'removed', sub { unlink($_[0]) } ],
              [ 'shortened', sub { truncate($_[0], 3) } ],
              [ 'replaced by a link', sub { rename($_[0], "$_[0].away");
                                            symlink($_[1], $_[0]) } ]) {
    my ($name, $do) = @$case;

    for my $reopened (0, 1) {
        my $t = D4::Test->new(dispatch => { open_files => 1 })->start;
        my $what = "$name, " . ($reopened ? 'opened again' : 'open');
        my ($s, $other) = map { with_queue($t) } 1, 2;
        my $outside = $t->write_file('outside', 'untouched');

        $t->give($outside);
        $s->send("first line\n");

        my $file = poll_until(10, sub {
            (grep { -s "$t->{data}/$_" } session_files($t->{data}, $s->{uuid},
                                                       8, suffix(8)))[0];
        });

        if ($reopened) {
            $other->send("x\n");
            poll_until(10, sub { content($t, $other) });
        }

        $do->("$t->{data}/$file", $outside);
        $s->send("second line\n");
        $s->finish;
        $other->finish;
        drained($t, $what);

        same_lines([ queue_take($t->db('queues'), 8, $s->{queue}) ],
                   [ 'first line', 'second line' ], $what);
        is($t->read_file('outside'), 'untouched', 'nothing goes elsewhere');
        ok(said($t, qr/\Q$file\E.*committed/), 'it is reported');

        my @left = session_files($t->{data}, $s->{uuid}, 8, suffix(8));
        my @good = grep { !-l "$t->{data}/$_" } @left;
        my $all = files_content($t->{data}, @good);

        unlike($all, qr/\0/, 'no hole is written');
        like($all, qr/second line\n\z/, 'the data goes on in another file')
            if $reopened;
        $t->finish;
    }
}

# a link where a sensor's directory would be

{
    my $t = D4::Test->new(dispatch => 1)->start;
    my $uuid = new_uuid();

    mkdir("$t->{dir}/elsewhere");
    $t->give("$t->{dir}/elsewhere");
    symlink("$t->{dir}/elsewhere", "$t->{data}/$uuid");
    $t->register($uuid, 'k');

    my $s = with_queue($t, uuid => $uuid, key => 'k');
    my $other = with_queue($t);

    $_->send("a line\n") for $s, $other;
    ok($t->wait_log($waits, 10), 'a link instead of a directory: it is said');
    $other->finish;
    ok(poll_until(10, sub {
        grep { /\.gz$/ } session_files($t->{data}, $other->{uuid}, 8,
                                       suffix(8))
    }), 'other sensors go on');
    is_deeply([ tree("$t->{dir}/elsewhere") ], [], 'it is not followed');

    unlink("$t->{data}/$uuid");
    $s->finish;
    drained($t, 'a link instead of a directory');
    complete($t, $s, "a line\n", 'when it is gone');
    $t->finish;
}

done_testing();

# Types 3, 6 and 8 from the sensor to files and queues: every byte once, every
# line once, whatever the frames were.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Source;
use D4::Test;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

one_day();

my $t = D4::Test->new(workers => 2, dispatch => {
    rotate_time => '300s', line_max => '16k' })->start;
my $metadata = $t->db('metadata');

$metadata->cmd('SADD', 'server:accepted_type', 3, 6);

my %all = map { $_ => queue_define($metadata, $_) } 3, 6, 8;

# A session of its own queue with these frames, each a payload; returns the
# sensor, which has ended.

sub session {
    my ($type, @frames) = @_;

    my $uuid = new_uuid();
    my $s = $t->sensor(uuid => $uuid, type => $type,
                       key => $t->register($uuid, "key of $uuid")
                              && "key of $uuid");

    $s->{queue} = queue_define($metadata, $type, group => [ $uuid ]);
    $s->{begin} = time();
    $s->write(join '', map { $s->frame_of($_) } @frames) or die;
    is($s->finish, 'eof', "type $type: the server has taken all")
        if !$s->{stay};

    return $s;
}

sub content {
    my ($s) = @_;

    return files_content($t->{data}, session_files($t->{data}, $s->{uuid},
                                                   $s->{type},
                                                   suffix($s->{type})));
}

sub cut_text {
    my ($text, $size) = @_;

    return unpack("(a$size)*", $text);
}


# what a text is made of, and how it may be cut

my $hard = "first\n\n\nafter empty\r\ncr\r\n\r\n\0nul\0\nutf \xc3\xa9\xff\n"
    . "\n" . 'x' x 300 . "\nspaces  \n \nlast without end";
my $long = join '', map { unit_line($_) } 0 .. 3999;
my %sent;

for my $type (3, 6, 8) {
    for my $case ([ 'bytes', cut_text($hard, 1) ],
                  [ 'one frame', $hard ],
                  [ 'empty frames', map { ('', $_) } cut_text($hard, 7) ],
                  [ 'frames of 16', cut_text(substr($long, 0, 60_000), 16) ],
                  [ 'frames of 4096', cut_text($long, 4096) ],
                  [ 'frames of 65535', cut_text($long, 65535) ],
                  [ 'ends with an end of line', "a\nb\n" ],
                  [ 'one line without end', 'alone' ],
                  [ 'one empty line', "\n" ]) {
        my ($name, @frames) = @$case;

        push @{ $sent{$type} }, [ $name, join('', @frames),
                                  session($type, @frames) ];
    }
}

drained($t, 'lines');

for my $type (3, 6, 8) {
    for (@{ $sent{$type} }) {
        my ($name, $text, $s) = @$_;
        my @files = session_files($t->{data}, $s->{uuid}, $type,
                                  suffix($type));

        same_bytes(content($s), $text, "type $type, $name: the same bytes");
        same_lines([ queue_take($t->db('queues'), $type, $s->{queue}) ],
                   [ lines_of($text) ], "type $type, $name");

        is(scalar @files, 1, 'in one file');
        my $day = POSIX::strftime('%Y/%m/%d', localtime $s->{begin});
        like($files[0] // '', qr{^$s->{uuid}/$type/(?:$day|[\d/]{10})
                                 /$s->{uuid}-\d{4}-\d\d-\d\d-\d{6}
                                 \Q@{[ suffix($type) ]}\E\.gz$}x,
             'of the published name, compressed');
        is_deeply([ tree("$t->{data}/$s->{uuid}") ],
                  [ map { s{^[^/]+/}{}r } @files ], 'and nothing beside it');
    }

    my @got = queue_take($t->db('queues'), $type, $all{$type});
    my @want = map { lines_of($_->[1]) } @{ $sent{$type} };

    same_lines([ sort @got ], [ sort @want ],
               "type $type: the queue of all sensors");
    like($metadata->cmd('HGET', "analyzer:$all{$type}", 'last_updated'),
         qr/^\d{10}\.\d+$/, 'says when it was last fed');
}


# a line that is too long is cut, and nothing of it is lost on disk

{
    my $line = join '', map { sprintf '%07d,', $_ } 0 .. 6249;   # 50000
    my $text = "before\n$line\nafter\n";
    my $s = session(8, cut_text($text, 999));
    my $key = 'd4:dispatch:' . today();

    drained($t, 'a long line');
    same_bytes(content($s), $text, 'a long line: all of it on disk');

    my @got = queue_take($t->db('queues'), 8, $s->{queue});

    is($got[0], 'before', 'the line before it is whole');
    is($got[-1], 'after', 'so is the next one');
    is(join('', @got[1 .. $#got - 1]), $line, 'it comes in parts');
    is((grep { length > 16384 } @got), 0, 'none of them beyond the limit');
    ok(poll_until(5, sub { ($metadata->cmd('HGET', $key, '8:errors') // 0)
                           > 0 }), 'that was counted')
        or diag(explain($metadata->hash($key)));
    is($t->log_lines(qr/type 8: .*$s->{uuid}|$s->{uuid}, type 8: /), 1,
       'and logged once');
}


# files rotate by size and time while a session lives

for my $case ([ 'size', { rotate_size => '40k' } ],
              [ 'time', { rotate_time => '2s' } ]) {
    my ($name, $conf) = @$case;

    $t->{dispatch} = { %$conf, line_max => '16k' };
    is($t->reload(gone => 15), 0, "rotation by $name");

    my $uuid = new_uuid();
    my $s = $t->sensor(uuid => $uuid, type => 8,
                       key => ($t->register($uuid, 'k'), 'k')[1]);
    my $queue = queue_define($metadata, 8, group => [ $uuid ]);
    my ($text, $n) = ('', 0);

    for (1 .. 40) {
        my $part = join '', map { unit_line($n++) } 1 .. 40;

        # torn lines, too
        my $cut = int(length($part) / 3);
        $s->send(substr($part, 0, $cut), substr($part, $cut));
        $text .= $part;
        sleep(0.1);
    }

    my $gz = poll_until(10, sub {
        grep { /\.gz$/ } session_files($t->{data}, $uuid, 8, suffix(8));
    });

    ok($gz, "$name: a closed file is compressed while the session lives");
    is($s->finish, 'eof', 'and it ends');
    drained($t, "rotation by $name");

    my @files = session_files($t->{data}, $uuid, 8, suffix(8));
    my @content = map { file_content("$t->{data}/$_") } @files;

    cmp_ok(scalar @files, '>=', $name eq 'time' ? 2 : 3,
           "$name: several files");
    same_bytes(join('', @content), $text, 'together they are what was sent');
    is((grep { !/\n\z/ } @content), 0, 'no line is in two of them');
    is((grep { !/\.gz$/ } @files), 0, 'all are compressed');
    same_lines([ queue_take($t->db('queues'), 8, $queue) ],
               [ lines_of($text) ], "$name: the queue");
    is((grep { length > 60_000 } @content), 0, 'and none is too long')
        if $name eq 'size';
}

# a quiet session's file does not stay open beyond its time

{
    my $s = $t->sensor(type => 8);

    $s->send("only\n");
    ok(poll_until(10, sub {
        grep { /\.gz$/ } session_files($t->{data}, $s->{uuid}, 8, suffix(8));
    }), 'the file of a quiet session is closed in time');
    $s->send("later\n");
    $s->finish;
    drained($t, 'a quiet session');
    is(content($s), "only\nlater\n", 'and the next one begun when it speaks');
}

# the calendar: the workers' zone is the server's, or UTC

for my $utc ('off', 'on') {
    local $ENV{TZ} = 'Etc/GMT+9';
    my $u = D4::Test->new(dispatch => { data_utc => $utc },
                          main => 'env TZ=Etc/GMT+9;')->start;
    my $s = $u->sensor(type => 8);

    $s->send("x\n");
    $s->finish;
    drained($u, "data_utc $utc");

    my ($file) = session_files($u->{data}, $s->{uuid}, 8, suffix(8));
    my $now = time() - ($utc eq 'on' ? 0 : 9 * 3600);
    my %hour = map { POSIX::strftime('%Y/%m/%d %H', gmtime $now - $_) => 1 }
        0, 60;

    ok($file && $file =~ m{/(\d{4}/\d\d/\d\d)/.*-(\d\d)\d{4}\.passive}
       && $hour{"$1 $2"}, "data_utc $utc: " . ($file // 'no file'));
    $u->finish;
}

$t->finish;
done_testing();

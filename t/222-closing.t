# Files that are to be closed are closed by whom they are of, although nobody
# told him so, however long the list is, and once the data directory is there.

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

sub capture {
    my ($t, $n) = @_;
    my $s = $t->sensor(type => 1);

    $s->{queue} = queue_define($t->db('metadata'), 1, group => [ $s->{uuid} ]);
    $s->send(pcap_header() . join('', map { unit_packet($_) } 0 .. $n));

    return $s;
}

sub file_of {
    my ($t, $s) = @_;
    my $file;

    poll_until(10, sub {
        ($file) = session_files($t->{data}, $s->{uuid}, 1, suffix(1));
        return $file && -s "$t->{data}/$file";
    });

    return $file;
}

sub queued {
    my ($t, $s, $file, $name) = @_;
    my @got;

    poll_until(20, sub {
        push @got, queue_take($t->db('queues'), 1, $s->{queue});
        return @got;
    });

    is("@got", "$t->{data}/$file.gz", $name);
}


# Another worker than the leader has a file on the list that it does not know,
# as when the answer to a script was lost with the connection.

{
    my $t = D4::Test->new(workers => 2, listen => 'reuseport',
                          dispatch => 1)->start;
    my $queues = $t->db('queues');
    my $store = $t->read_file('data/.d4-store');

    $t->allow(qr/redis/);

    for my $pid ($t->workers) {
        my $s;

        for (1 .. 40) {
            $s->finish if $s;
            $s = capture($t, 10);
            $t->wait_live($s->{uuid}, 1);
            last if $t->worker_of($s->{uuid}, 1) == $pid;
        }

        my $file = file_of($t, $s);
        my ($sid) = $t->sids($s->{uuid});
        my $key = "d4:cursor:$sid";
        my ($worker, $length);

        poll_until(5, sub {
            ($worker, $length) = @{ $queues->cmd('HMGET', $key, 'worker',
                                                 'length') };
            return $length;
        });

        # what OPEN does

        $queues->pipeline(
            [ 'HINCRBY', $key, 'epoch', 1 ],
            [ 'HSET', "d4:closing:$store", $file,
              "$worker $length $s->{uuid} 1 -" ],
            [ 'HSET', $key, 'file', '' ],
            [ 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes' ]);

        queued($t, $s, $file, 'a file that worker ' . ($worker =~ /:(\d+):/)[0]
                              . ' was not told of is closed');
        $s->drop;
    }

    $t->finish;
}


# More files on the list than one look shows, of somebody who lives.

{
    my $t = D4::Test->new(workers => 1, dispatch => 1)->start;
    my $queues = $t->db('queues');
    my $store = $t->read_file('data/.d4-store');
    my $s = capture($t, 10);
    my $file = file_of($t, $s);

    $t->db('metadata')->cmd('SET', 'd4:worker:else:1:2', 'x');
    $queues->cmd('HSET', "d4:closing:$store",
                 map { ("x/$_.cap", "else:1:2 1 $s->{uuid} 1 -") } 1 .. 2000);

    # the cursor as a dead worker would have left it

    my ($sid) = $t->sids($s->{uuid});
    my $length = $queues->cmd('HGET', "d4:cursor:$sid", 'length');

    $queues->cmd('HSET', "d4:closing:$store", $file,
                 "dead:1:2 $length $s->{uuid} 1 -");
    $queues->cmd('HSET', "d4:cursor:$sid", 'file', '');

    queued($t, $s, $file, 'a file of a dead worker is found among 2000');
    $queues->cmd('DEL', "d4:closing:$store");
    $s->drop;
    $t->finish;
}


# A dead worker had been given names, and nothing was committed: what it made
# goes, and what others had made under those names stays.

{
    my $t = D4::Test->new(workers => 1, dispatch => 1)->start;
    my $queues = $t->db('queues');
    my $store = $t->read_file('data/.d4-store');
    my $uuid = new_uuid();
    my $dir = "$uuid/8/2020/10/25";
    my %size = (own => 70, other => 90, unknown => 50, empty => 0);
    my (%file, %inode);

    for my $made ('', "/$uuid", "/$uuid/8", "/$uuid/8/2020",
                  "/$uuid/8/2020/10", "/$dir") {
        mkdir("$t->{data}$made");
        $t->give("$t->{data}$made");
    }

    for my $name (sort keys %size) {
        $file{$name} = "$dir/$uuid-2020-10-25-02300"
            . (keys %file) . suffix(8);

        my $path = "$t->{data}/$file{$name}";

        open(my $fh, '>', $path) or die "$path: $!";
        print $fh 'x' x $size{$name};
        close($fh) or die "$path: $!";
        $t->give($path);
        $inode{$name} = (stat $path)[1];
    }

    my %known = (own => " $inode{own}", other => " $inode{own}",
                 empty => ' 0', unknown => '');

    $queues->cmd('HSET', "d4:closing:$store", map {
        ($file{$_}, "dead:1:2 0 $uuid 8 -$known{$_}")
    } sort keys %known);

    ok(poll_until(60, sub { !$queues->cmd('HLEN', "d4:closing:$store") }),
       'files without anything are dealt with');
    is_deeply([ grep { -e "$t->{data}/$file{$_}" } sort keys %file ],
              [ qw(other unknown) ], 'only its own is removed, and an empty');
    is(-s "$t->{data}/$file{other}", 90, 'the other one has what it had');
    is(scalar($t->log_lines(qr/was there before/)), 2, 'which is said');
    $t->finish;
}


# An hour that comes twice: files of these names are there, compressed.

{
    my $t = D4::Test->new(workers => 1, dispatch => 1)->start;
    my $s = $t->sensor;
    my $now = time();
    my $there = 0;

    for my $at ($now - 1 .. $now + 120) {
        my ($day, $second) = split / /,
            POSIX::strftime('%Y-%m-%d %H%M%S', localtime($at));
        my $path = "$t->{data}/$s->{uuid}";

        for my $part ('', 8, split /-/, $day) {
            $path .= "/$part" if length $part;
            mkdir($path) && $t->give($path);
        }

        $path .= "/$s->{uuid}-$day-$second" . suffix(8) . '.gz';
        open(my $fh, '>', $path) or die "$path: $!";
        close($fh) or die "$path: $!";
        $there++;
    }

    $s->send(unit_line($_)) for 0 .. 9;
    $s->finish;
    drained($t, 'names that are taken');

    my @files = session_files($t->{data}, $s->{uuid}, 8, suffix(8));
    my @new = grep { -s "$t->{data}/$_" } @files;

    is(@files, $there + 1, 'a file beside those that were there');
    like("@new", qr/-1\Q${\suffix(8)}\E\.gz$/, 'under the next name');
    same_bytes(files_content($t->{data}, @new),
               join('', map { unit_line($_) } 0 .. 9), 'with all of it');
    $t->finish;
}


# The data directory becomes available when sessions have begun.

{
    my $t = D4::Test->new(dispatch => 1);

    $t->allow(qr/data directory/);
    chmod(0000, $t->{data});
    $t->start;

    my $s = capture($t, 10);

    $t->wait_live($s->{uuid}, 1);
    ok($t->wait_log(qr/data directory .* cannot be used/), 'it is missed');
    chmod(0755, $t->{data});

    my $file = file_of($t, $s);

    ok($file, 'the session goes on when it is there');
    $s->finish;
    queued($t, $s, $file, 'and its file is queued');
    drained($t, 'then');
    $t->finish;
}

done_testing();

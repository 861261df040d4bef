# Sessions of extended types when things go wrong with their objects: nothing
# of them is lost, and nothing else becomes data.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Test;
use Test::More;

my $t = D4::Test->new(dispatch => 1)->start;
my ($streams, $queues, $metadata) = map { $t->db($_) }
    qw(streams queues metadata);
my $ext = 'sysmon-json';
my $object = qq({"type":"$ext","encoding":"utf-8","tags":["tlp:red"]});

$t->allow(qr/extended type/);
$metadata->cmd('SADD', 'server:accepted_extended_type', $ext);
$metadata->cmd('SADD', 'server:accepted_type', 2, 254);

sub begin {
    my $s = $t->sensor(type => 2);

    $s->{queue} = queue_define($metadata, 254, ext => $ext,
                               group => [ $s->{uuid} ]);

    return $s;
}

sub say_to {
    my ($s, $text) = @_;

    $s->write($s->frame_of($text, type => 254));
}

sub arrived {
    my ($s, $want, $name) = @_;
    my $list = queue_list($ext, $s->{queue});

    poll_until(20, sub { @$want <= $queues->cmd('LLEN', $list) });

    return same_lines([ reverse @{ $queues->cmd('LRANGE', $list, 0, -1) } ],
                      $want, $name);
}

sub sid_of { return ($t->sids($_[0]{uuid}))[0] }

sub content {
    my ($s) = @_;

    return files_content($t->{data}, session_files($t->{data}, $s->{uuid},
                                                   254, suffix(254), $ext));
}

sub alive {
    my ($s, $name) = @_;

    ok(!$s->ended, "$name: its sensor stays");
}


# What is to be written down with the object cannot be, for a while.

my $s = begin();
my $wrong = "all_extended_types_by_uuid:$s->{uuid}";

$metadata->cmd('SET', $wrong, 'x');
$s->send($object);
ok($t->wait_log(qr/extended type failed/), 'the object is not accepted yet');
say_to($s, "one\ntwo\n");
$t->wait_stored($s->{uuid}, 2);
alive($s, 'meanwhile');
$metadata->cmd('DEL', $wrong);
arrived($s, [ qw(one two) ], 'it is asked again');
say_to($s, "three\n");
arrived($s, [ qw(one two three) ], 'and goes on');
$s->finish;
drained($t, 'asked again');
is(content($s), "one\ntwo\nthree\n", 'each byte is in the file once');

# the same, and the session ends meanwhile

$s = begin();
$wrong = "all_extended_types_by_uuid:$s->{uuid}";
$metadata->cmd('SET', $wrong, 'x');
$s->send($object);
say_to($s, "one\ntwo\n");
$t->wait_stored($s->{uuid}, 2);
$s->finish;
$t->wait_live($s->{uuid}, 0);
$metadata->cmd('DEL', $wrong);
arrived($s, [ qw(one two) ], 'a session that is over is asked for, too');
drained($t, 'over');


# Half the object has come when the session is read back.

$s = begin();
$s->send($_) for unpack('(a12)*', substr($object, 0, 40));
$t->wait_stored($s->{uuid}, 4);
poll_until(5, sub { $queues->cmd('EXISTS', 'd4:cursor:' . sid_of($s)) });
$queues->pipeline([ 'HINCRBY', 'd4:cursor:' . sid_of($s), 'epoch', 1 ],
                  [ 'HSET', 'd4:cursor:' . sid_of($s), 'worker', 'else:1:2' ]);
$s->send(substr($object, 40));
say_to($s, "one\n");
arrived($s, [ 'one' ], 'an object in pieces, taken back between them');
alive($s, 'in pieces');
$s->finish;
drained($t, 'in pieces');


# Whatever is behind the object, in its frame and in others, is no data, and
# does not stay in Redis.

$s = begin();
$s->send($object . ' ' x 3000 . "no data\n" x 60_000);
$s->send("no data\n" x 100) for 1 .. 300;
ok(poll_until(10, sub {
    my $sid = sid_of($s) // return 0;
    my $reply = eval { $streams->cmd('XINFO', 'STREAM', "stream:2:$sid") };
    my %info = @{ $reply // return 0 };

    return $info{'last-generated-id'} =~ /-301$/ && $info{length} < 100;
}), 'frames behind the object do not pile up');
say_to($s, "data\n");
arrived($s, [ 'data' ], 'nor are they lines');
$s->finish;
drained($t, 'behind the object');
is(content($s), "data\n", 'nor in the file');


# The streams are deleted: the session goes on as another one, which has the
# object, too.

$s = begin();
$s->send($object);
say_to($s, "one\n");
arrived($s, [ 'one' ], 'before the streams are deleted');

my $sid = sid_of($s);

$streams->cmd('DEL', "stream:2:$sid", "stream:254:$sid");
say_to($s, "two\n");
say_to($s, "three\n");
arrived($s, [ qw(one two three) ], 'a session that goes on as another one');
isnt(sid_of($s), $sid, 'with another sid');
alive($s, 'another one');
is(join(' ', $streams->members("active_connection_extended_type:$s->{uuid}")),
   $ext, 'its type is shown');
$s->finish;
drained($t, 'another one');
is(content($s), "one\ntwo\nthree\n", 'each byte is in the files once');


# Half an object when the session ends, and when its stream is deleted: that
# it is no more than half is said and counted.

sub half {
    my ($sid) = @_;

    return $t->wait_log(qr/session $sid .*it ends within its JSON object/, 20);
}

sub errors {
    return $metadata->cmd('HGET', 'd4:dispatch:' . today(), '254:errors') // 0;
}

my $before = errors();

$s = begin();
$s->send(substr($object, 0, 20));
$t->wait_stored($s->{uuid}, 1);
$sid = sid_of($s);
$s->finish;
ok(half($sid), 'a session that ends within its object');
drained($t, 'half an object');

$s = begin();
$s->send(substr($object, 0, 20));
$t->wait_stored($s->{uuid}, 1);
$sid = sid_of($s);
$streams->cmd('DEL', "stream:2:$sid");
$s->send(substr($object, 20));
ok(half($sid), 'one that goes on as another one within it');
ok($s->ended(20), 'which is told that it is none');
$s->drop;
drained($t, 'the other half');
ok(poll_until(10, sub { errors() >= $before + 2 }), 'both are counted');

$t->finish;
done_testing();

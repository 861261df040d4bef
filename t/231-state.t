# A cursor whose decoder state cannot be used: it is said once, looked at again
# now and then, and nothing is lost until somebody mends it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Source;
use D4::Test;
use Test::More;

my $t = D4::Test->new(dispatch => { rotate_time => '300s' })->start;
my $queues = $t->db('queues');
my $ext = 'sysmon-json';
my $object = qq({"type":"$ext","encoding":"utf-8"});

$t->allow(qr/cannot be used/);
$t->db('metadata')->cmd('SADD', 'server:accepted_type', 1, 2, 254);
$t->db('metadata')->cmd('SADD', 'server:accepted_extended_type', $ext);


# Another worker took the session over and wrote what we cannot read.

sub spoil {
    my ($s, $field, $value) = @_;

    $t->wait_live($s->{uuid}, 1, 20);

    my $key = $s->{cursor} = 'd4:cursor:' . ($t->sids($s->{uuid}))[0];

    ok(poll_until(20, sub {
        length($queues->cmd('HGET', $key, $field) // '')
    }), "the cursor has its $field");

    $s->{good} = $queues->cmd('HGET', $key, $field);
    $queues->pipeline([ 'HINCRBY', $key, 'epoch', 1 ],
                      [ 'HSET', $key, $field, $value ]);
}

sub complaints_of {
    my ($s) = @_;

    return $t->log_lines(qr/\Q$s->{cursor}\E of redis queues cannot be used/);
}

# It was opened so often, which moves the epoch.

sub tried {
    my ($s, $n) = @_;
    my $at = $queues->cmd('HGET', $s->{cursor}, 'epoch');

    return poll_until(90, sub {
        $queues->cmd('HGET', $s->{cursor}, 'epoch') >= $at + $n
    });
}


# The header of a capture

my $s = $t->sensor(type => 1);

$s->{queue} = queue_define($t->db('metadata'), 1, group => [ $s->{uuid} ]);
$s->send(pcap_header() . unit_packet(0));
$t->wait_stored($s->{uuid}, 1);
spoil($s, 'state', 'no header of a capture');
$s->send(unit_packet($_)) for 1 .. 5;
ok(poll_until(20, sub { complaints_of($s) }), 'it is said');
ok(tried($s, 3), 'it is looked at again');
is(scalar(complaints_of($s)), 1, 'and not said again');
ok(!$s->ended, 'its sensor stays');

$s->send(unit_packet($_)) for 6 .. 9;
$s->finish;
$t->wait_live($s->{uuid}, 0);
ok(tried($s, 1), 'when the sensor has left, too');

$queues->cmd('HSET', $s->{cursor}, 'state', $s->{good});
drained($t, 'its header was put back', 120);

my @files = session_files($t->{data}, $s->{uuid}, 1, suffix(1));
is_deeply([ map { pcap_records(file_content("$t->{data}/$_")) } @files ],
          [ 0 .. 9 ], 'every packet is there, once');
is_deeply([ sort(queue_take($queues, 1, $s->{queue})) ],
          [ sort map { "$t->{data}/$_" } @files ], 'every file is queued');
is(scalar(complaints_of($s)), 1, 'it was said once');


# The object of an extended type

$s = $t->sensor(type => 2);
$s->{queue} = queue_define($t->db('metadata'), 254, ext => $ext,
                           group => [ $s->{uuid} ]);
$s->send($object);
$s->write($s->frame_of("one\n", type => 254));
spoil($s, 'meta', 'no object');
$s->write($s->frame_of("two\n", type => 254));
ok(poll_until(20, sub { complaints_of($s) }), 'an object: it is said');
ok(tried($s, 2), 'it is looked at again');
is(scalar(complaints_of($s)), 1, 'and not said again');
$queues->cmd('HSET', $s->{cursor}, 'meta', $s->{good});
$s->finish;
drained($t, 'its object was put back', 120);
same_lines([ queue_take($queues, $ext, $s->{queue}) ], [ qw(one two) ],
           'every line');

$t->finish;
done_testing();

# Sessions that the published server left in the streams, and a consumer of
# the published kind beside a server that does not dispatch.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Source;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep time);

# fifteen seconds, and as many for a machine that is busy

use constant ADOPTED => 30;


# What the published server writes for a session: entries with ids of Redis'
# own, the sid in session_uuid, and in ended_session once the sensor is gone.

sub foreign {
    my ($t, $type, $payloads, %opt) = @_;

    my $streams = $t->db('streams');
    my $sid = dashed(new_uuid());
    my $uuid = $opt{uuid} // new_uuid();

    $streams->cmd('XADD', "stream:" . ($opt{stream} // $type) . ":$sid", '*',
                  'message', $_, 'uuid', $uuid, 'timestamp', int(time()),
                  'version', '1') for @$payloads;
    $streams->cmd('SADD', "session_uuid:$type", $sid);
    $streams->cmd('SADD', 'ended_session', $sid) if $opt{ended};
    $streams->cmd('SADD', "working_session_uuid:$type", $sid)
        if $opt{working};

    my $queue = queue_define($t->db('metadata'), $opt{queue_type} // $type,
                             group => [ $uuid ],
                             $opt{ext} ? (ext => $opt{ext}) : ());

    return { sid => $sid, uuid => $uuid, queue => $queue, type => $type,
             stream => $opt{stream} // $type };
}

sub adopted {
    my ($t, $s) = @_;

    return $t->log_lines(qr/$s->{sid} .*taken over/);
}

sub content {
    my ($t, $s) = @_;

    # what is being compressed has both names for a moment, and the plain one
    # no longer when it is read

    poll_until(60, sub { !$t->db('queues')->keys('d4:closing:*') })
        or return 'its files are not closed';

    return files_content($t->{data}, session_files($t->{data}, $s->{uuid},
                                     $s->{type}, suffix($s->{type})));
}

sub gone {
    my ($t, $s) = @_;

    my $streams = $t->db('streams');

    return !$streams->cmd('EXISTS', "stream:$s->{stream}:$s->{sid}")
        && !grep { $streams->cmd('SISMEMBER', $_, $s->{sid}) }
           "session_uuid:$s->{type}", "working_session_uuid:$s->{type}",
           'ended_session', 'd4:sealed';
}


# found at start and later on

{
    my $t = D4::Test->new(dispatch => 1)->redis_start;
    my @lines = map { unit_line($_) } 0 .. 199;
    my @torn = unpack('(a37)*', join '', @lines);

    # as if the switch had been made here: what it wrote before
    $t->db('metadata')->cmd('SADD', 'server:accepted_type', 3, 8);

    my $ended = foreign($t, 8, \@torn, ended => 1);
    my $syslog = foreign($t, 3, \@torn, ended => 1);
    my $working = foreign($t, 8, [ "working\n" ], working => 1);
    my $open = foreign($t, 8, [ "still\nopen" ]);
    my $header = foreign($t, 1, [ pcap_header() . unit_packet(0),
                                  unit_packet(1) ], ended => 1);

    $t->nginx_start;
    my $begin = time();

    ok(poll_until(ADOPTED + 5, sub {
        gone($t, $ended) && gone($t, $syslog) && gone($t, $header)
    }), 'ended sessions of the published server are adopted');
    cmp_ok(time() - $begin, '<', ADOPTED,
           sprintf('after %.1f s', time() - $begin));

    for my $s ($ended, $syslog) {
        same_bytes(content($t, $s), join('', @lines),
                   "type $s->{type}: the file");
        same_lines([ queue_take($t->db('queues'), $s->{type}, $s->{queue}) ],
                   [ lines_of(join '', @lines) ], "type $s->{type}: queue");
    }

    poll_until(10, sub { !left($t) || $t->db('queues')->cmd('LLEN',
        queue_list(1, $header->{queue})) });

    my @paths = queue_take($t->db('queues'), 1, $header->{queue});
    is_deeply([ map { pcap_records(file_content($_)) } @paths ], [ 0, 1 ],
              'a capture: its packets, by the path in the queue');

    # one that has not ended goes on

    ok(poll_until(ADOPTED, sub { adopted($t, $open) }),
       'one that has not ended is adopted, too');
    ok(!gone($t, $open), 'and stays');
    $t->db('streams')->cmd('XADD', "stream:8:$open->{sid}", '*', 'message',
                           " line\nmore\n", 'uuid', $open->{uuid},
                           'timestamp', 1, 'version', 1);
    ok(poll_until(10, sub {
        $t->db('queues')->cmd('LLEN', queue_list(8, $open->{queue})) == 3
    }), 'what is added to it is read');
    $t->db('streams')->cmd('SADD', 'ended_session', $open->{sid});

    # a session that begins while we are there

    my $late = foreign($t, 8, \@torn);

    ok(poll_until(ADOPTED, sub { adopted($t, $late) }),
       'one that begins later is found');
    $t->db('streams')->cmd('SADD', 'ended_session', $late->{sid});
    ok(poll_until(90, sub { gone($t, $open) && gone($t, $late) }),
       'both are dealt with when they have ended');
    same_bytes(content($t, $open), "still\nopen line\nmore\n", 'the first');
    same_lines([ queue_take($t->db('queues'), 8, $open->{queue}) ],
               [ 'still', 'open line', 'more' ], 'its queue');
    same_bytes(content($t, $late), join('', @lines), 'the second');

    # a published worker has it

    ok(!adopted($t, $working), 'a session with a worker is left alone');
    is($t->db('streams')->cmd('XLEN', "stream:8:$working->{sid}"), 1,
       'with what it has');

    $t->{dispatch} = { adopt_foreign => 'on' };
    $t->reload(gone => 15);
    ok(poll_until(ADOPTED, sub { adopted($t, $working) }),
       'unless adopt_foreign is on');
    $t->db('streams')->cmd('SADD', 'ended_session', $working->{sid});
    ok(poll_until(90, sub { gone($t, $working) }), 'it ends');
    same_bytes(content($t, $working), "working\n", 'its file');

    drained($t, 'foreign sessions', 30);
    $t->finish;
}


# entries whose length nobody knows beforehand: many small ones, then large
# ones; Redis ends the connection of who asks for more than it may hold

{
    my $t = D4::Test->new(dispatch => 1)->redis_start;

    $t->db('streams')->cmd('CONFIG', 'SET', 'client-output-buffer-limit',
                           'normal 16mb 0 0');
    $t->db('metadata')->cmd('SADD', 'server:accepted_type', 3);

    my @payloads = ((map { unit_line($_) } 0 .. 4999),
                    map { unit_line($_) . 'x' x 900_000 . "\n" } 5000 .. 5029);
    my $s = foreign($t, 3, \@payloads, ended => 1);

    $t->nginx_start;
    ok(poll_until(ADOPTED + 30, sub { gone($t, $s) }),
       'small entries and large ones behind them are read');
    same_bytes(content($t, $s), join('', @payloads), 'all of them');
    $t->finish;
}


# sessions that are not of their type, while the published server has them: it
# is told by its own key, and ends them

{
    my $t = D4::Test->new(dispatch => 1)->redis_start;
    my ($streams, $metadata) = map { $t->db($_) } qw(streams metadata);
    my $list = 'Error:IncorrectType';
    my $told = sub { $streams->cmd('SISMEMBER', $list, $_[0]{sid}) };

    $metadata->cmd('SADD', 'server:accepted_type', 1, 2, 254);

    my $over = foreign($t, 1, [ 'not a capture' x 4 ], ended => 1);
    my $pcap = foreign($t, 1, [ 'not a capture' x 4 ]);
    my $meta = foreign($t, 2, [ '{"type":"none-such"}' ]);
    my $good = foreign($t, 1, [ pcap_header() . unit_packet(0) ]);

    $t->nginx_start;

    for ([ $pcap, 'a capture that is none' ],
         [ $meta, 'an extended type that is not accepted' ]) {
        my ($s, $name) = @$_;

        ok(poll_until(ADOPTED, sub { $told->($s) }),
           "$name: the published server is told");
        like($metadata->cmd('HGET', "metadata_uuid:$s->{uuid}", 'Error'),
             qr/^Error: Type=$s->{type}, /, 'so is the sensor');
    }

    ok(poll_until(ADOPTED, sub { gone($t, $over) }),
       'a session that had ended is removed');
    ok(!$told->($over), 'without a word');
    ok(!$told->($good), 'what is of its type is not rejected');

    # other workers find it out again; as the published server does with the
    # next frame, but for one whose sensor only leaves

    $streams->cmd('DEL', $list);
    $t->reload(gone => 20);
    ok(poll_until(2 * ADOPTED, sub { $told->($pcap) && $told->($meta) }),
       'after a reload it is told, too');

    $streams->cmd('DEL', "stream:1:$pcap->{sid}");
    $streams->cmd('SREM', $list, $pcap->{sid});
    $streams->cmd('SADD', 'ended_session', $_->{sid}) for $pcap, $meta, $good;

    drained($t, 'sessions that were rejected', 90);
    is_deeply([ grep { /\.cap/ } tree($t->{data}) ],
              [ session_files($t->{data}, $good->{uuid}, 1, suffix(1)) ],
              'nothing of them becomes a file');
    $t->finish;
}


# dispatch off: everything is for other consumers

{
    my $t = D4::Test->new->start;
    my $text = join '', map { unit_line($_) } 0 .. 499;
    my $s = $t->sensor;

    $s->send(unpack('(a501)*', $text));
    is($s->finish, 'eof', 'dispatch off: a session');
    is($t->wait_stored($s->{uuid}, 10), $t->messages($s->{uuid}), 'is stored');

    # a worker as published: one entry at a time from id 0, deleted when it
    # has been dealt with; the session is over when it is empty and has ended

    my $streams = $t->db('streams');
    my ($got, $sid) = ('');

    for ($streams->members('session_uuid:8')) {
        $sid = $_;
        $streams->cmd('SADD', 'working_session_uuid:8', $sid);
    }

    my $end = time() + 20;

    while (time() < $end) {
        my $r = $streams->cmd('XREAD', 'COUNT', 1, 'STREAMS',
                              "stream:8:$sid", 0);

        if (!$r) {
            last if $streams->cmd('SISMEMBER', 'ended_session', $sid);
            sleep(0.05);
            next;
        }

        my ($id, $fields) = @{ $r->[0][1][0] };
        my %f = @$fields;

        is($f{uuid}, $s->{uuid}, 'an entry names its sensor') if !length $got;
        $got .= $f{message};
        $streams->cmd('XDEL', "stream:8:$sid", $id);
    }

    $streams->cmd('SREM', 'ended_session', $sid);
    $streams->cmd('SREM', 'session_uuid:8', $sid);
    $streams->cmd('SREM', 'working_session_uuid:8', $sid);
    $streams->cmd('DEL', "stream:8:$sid");

    same_bytes($got, $text, 'a published worker finds all of it');
    is_deeply([ left($t) ], [], 'and leaves nothing behind');
    $t->finish;
}

done_testing();

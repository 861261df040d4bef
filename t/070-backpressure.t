# When the consumer or Redis is slow, the socket is not read; nothing is cut
# and nothing is lost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;
use Time::HiRes qw(time);

my $t = D4::Test->new(workers => 2, server => <<EOF_CONF)->start;
        d4_frame_timeout 2s;
        d4_buffer_size 256k;
        d4_backlog_size 4m;
EOF_CONF

my ($streams, $metadata) = map { $t->db($_) } qw(streams metadata);


sub backlog {
    my @keys = $streams->keys('stream:8:*');
    my $n = 0;

    $n += $_ for $streams->pipeline(map { [ 'XLEN', $_ ] } @keys);

    return $n;
}


# Waits until the backlog does not grow for a second.

sub standstill {
    my ($n, $since) = (-1, time());

    poll_until(20, sub {
        my $now = backlog();

        ($n, $since) = ($now, time()) if $now != $n;
        return time() - $since > 1;
    });

    return $n;
}


# Takes all entries out, as a dispatcher does, until $want are taken or
# nothing comes any more; returns the numbers in the payloads.

sub consume {
    my ($want, $seconds) = @_;

    my @numbers;

    poll_until($seconds, sub {
        for my $key ($streams->keys('stream:8:*')) {
            my $entries = $streams->cmd('XRANGE', $key, '-', '+', 'COUNT', 200);

            push @numbers, map { (split ' ', { @{ $_->[1] } }->{message})[1] }
                @$entries;
            $streams->cmd('XDEL', $key, map { $_->[0] } @$entries)
                if @$entries;
        }

        return @numbers >= $want;
    }, 0.005);

    return @numbers;
}


sub stalls {
    my ($name, $least, $most, %load) = @_;

    my $load = $t->load(timeout => 90, %load);


    my $n = standstill();

    cmp_ok($n, '>=', $least, "$name: fills to the limit");
    cmp_ok($n, '<=', $most, "$name: and little more ($n)");

    # longer than the frame timeout, with a frame cut in the middle

    poll_for(2.5, sub { !$load->running }, 0.1);
    ok($load->running, "$name: the sensor waits");

    return $load;
}


sub goes_on {
    my ($name, $load) = @_;

    my @numbers = consume($load->{frames}, 30);
    my $report = $load->wait;

    push @numbers, consume($load->{frames} - @numbers, 3);

    is_deeply([ map { $_ + 0 } @numbers ], [ 0 .. $load->{frames} - 1 ],
              "$name: all arrives, once and in order");
    is($report->{connects}, 1, "$name: over one connection");
    is($report->{aborts} + $report->{planned}, 0, "$name: which is not cut");
    $streams->cmd('FLUSHDB');
}


# entries: limits of the uuid.  16 KiB: 256k are 16 of them, and twice that
# may be on the way

my $uuid = '00000000000040008000000000000000';

$metadata->cmd('HSET', 'stream_max_size_by_uuid', $uuid, 100);
goes_on('100 entries', stalls('100 entries', 100, 150, uuid => $uuid,
                              frames => 1000, size => 16384));

# a limit of 1, sizes mixed

$uuid = '00000000000040008000000000000001';
$metadata->cmd('HSET', 'stream_max_size_by_uuid', $uuid, 1);
goes_on('1 entry', stalls('1 entry', 1, 50, uuid => $uuid, frames => 120,
                          size => '8000-40000'));

# bytes: 4 MiB of 100 kB

goes_on('bytes', stalls('bytes', 30, 50, frames => 300, size => 100_000));

# bytes of many small frames: what Redis needs for them counts, or not, but
# the limit holds within a factor of two

goes_on('small frames', stalls('small frames', 2000, 10000, frames => 20000,
                               size => 1000));


# one sensor that stands still does not hold up another; a limit that is
# raised lets it go on; a kick and an end are seen all the same

{
    my ($slow, $kicked) = ('00000000000040008000000000000100',
                           '00000000000040008000000000000101');

    $metadata->cmd('HSET', 'stream_max_size_by_uuid', $slow, 5, $kicked, 5);

    my $load = $t->load(uuid => $slow, conns => 2, frames => 400,
                        size => 8000, timeout => 60);

    standstill();

    my $other = $t->sensor;
    $other->send(map { "not held up $_" } 1 .. 100);
    is($t->wait_stored($other->{uuid}, 100, 3), 100, 'another goes on');
    $other->finish;

    $streams->cmd('SADD', 'server:sensor_to_kick', $kicked);
    $t->announce("kick $kicked");
    ok($t->wait_live($kicked, 0, 3), 'one that stands still is kicked');

    ok($load->running, 'the other stands');
    $metadata->cmd('HSET', 'stream_max_size_by_uuid', $slow, 100000);
    $t->announce("sensor $slow");
    ok(poll_until(5, sub { $t->messages($slow) == 400 }),
       'a raised limit lets it go on');

    my $report = $load->wait;
    is($report->{sent_by}[0], 400, 'to its end') if $report;

    $streams->cmd('FLUSHDB');
}


# Redis answers late, again and again

{
    my $load = $t->load(conns => 4, frames => 2000, size => '26-1500');

    poll_until(30, sub {
        $streams->cmd('CLIENT', 'PAUSE', 200);
        !$load->running;
    }, 0.25);

    exactly_once($load, 'a slow Redis');
}

poll_until(5, sub { !$t->live_keys });
is_deeply([ $t->live_keys ], [], 'nothing is shown at the end');

$t->finish;
done_testing();

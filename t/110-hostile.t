# Peers that are no sensors, sensors that break off, and what they cost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

my $plain = free_port();
my $t = D4::Test->new(workers => 2, server => 'd4_handshake_timeout 6s;',
                      stream => <<EOF_CONF)->start;
    server {
        listen 127.0.0.1:$plain;
        d4 on;
        d4_handshake_timeout 3s;
    }
EOF_CONF

my $before = join ' ', $t->workers;


sub serves {
    my ($name) = @_;

    my $s = $t->sensor;
    $s->send('good');
    is($t->wait_stored($s->{uuid}, 1), 1, "$name: a sensor is served");
    $s->finish;
    is(join(' ', $t->workers), $before, "$name: by the same workers");
}


sub noise {
    my ($n) = @_;

    return join '', map { chr int rand 256 } 1 .. $n;
}


srand(42);

# on the TLS port: HTTP, noise, TLS alerts, half a handshake, nothing

for my $bytes ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", noise(1), noise(5000),
               "\x15\x03\x03\x00\x02\x02\x28", "\x15\x03\x01\x00\x02\x01\x00",
               "\x16\x03\x01\xff\xff" . noise(100), "\x80\x2e\x01\x00\x02",
               "SSH-2.0-x\r\n", "\0" x 1000, '')
{
    for my $end (qw(drop reset)) {
        my $s = D4::Sensor->connect(port => $t->{port}, raw => 1);

        $s->write($bytes);
        select(undef, undef, undef, 0.02);
        $s->$end;
    }
}

serves('noise instead of TLS');


# behind TLS, and on the plain port

for my $port ($t->{port}, $plain) {
    my @s;

    for my $bytes ("GET / HTTP/1.1\r\nHost: x\r\n\r\n" x 5, noise(61),
                   noise(62), noise(63), noise(100_000), "\0" x 62,
                   "\0" x 200_000, "\xff" x 62, "\xff" x 100_000)
    {
        my $s = poll_until(30, sub {
            D4::Sensor->connect(port => $port, tls => $port != $plain);
        });

        $s->write($bytes, 2);
        push @s, $s;
    }

    is((grep { $_->ended(30) } @s), scalar @s, 'noise as frames: all ended');
    is(join('', map { $_->{got} } @s), '', 'without an answer');
}

serves('noise instead of frames');


# broken off at every place of a frame, in every way

{
    my @s;
    my $i = 0;

    for (1 .. 120) {
        my $s = poll_until(30, sub { $t->sensor });
        push @s, $s;

        my $frame = $s->frame_of('x' x 200);

        $s->send('whole') if $i % 2;
        $s->write(substr($frame, 0, 1 + $i * 2));
        (qw(reset drop))[int($i / 2) % 2] eq 'reset' ? $s->reset : $s->drop;
        $i++;
    }

    ok(poll_until(10, sub { !$t->live_keys }), 'all sessions have ended');

    for my $i (0 .. $#s) {
        my @stored = $t->messages($s[$i]{uuid});
        my $limit = $i % 2;

        # a reset may overtake what was sent before it

        is((grep { $_ ne 'whole' } @stored) + (@stored > $limit), 0,
           "broken off after @{[ 1 + $i * 2 ]} bytes") or diag("@stored")
            if @stored > $limit || grep { $_ ne 'whole' } @stored;
    }

    serves('broken off');
}


# sizes that are claimed but not sent cost nothing

{
    my @rss = map { D4::Proc::rss($_) } $t->workers;
    my @s;

    for (1 .. 200) {
        my $s = $t->sensor(port => $plain, tls => 0);

        $s->write(substr($s->frame_of('', size => 1_000_000), 0, 62));
        push @s, $s;
    }

    poll_for(2, sub { 0 });

    my $sum = 0;
    my @now = map { D4::Proc::rss($_) } $t->workers;
    $sum += $now[$_] - $rss[$_] for 0 .. $#now;

    cmp_ok($sum, '<', 20 << 20,
           sprintf('200 claims of 1 MB cost %.1f MB', $sum / (1 << 20)))
        if !ASAN;
    ok(poll_until(6, sub { !grep { !$_->ended } @s }),
       'ended by the handshake timeout');
    serves('claims');
}


# forged frames of a known sensor while it sends

{
    my $load = $t->load(conns => 1, frames => 3000, size => '26-2000',
                        rate => 2000);
    my ($uuid) = $load->uuids;

    poll_until(5, sub { $load->stored > 100 });

    while ($load->running) {
        for my $type (8, 1, 2, 254) {
            my $s = D4::Sensor->connect(port => $plain, tls => 0,
                                        uuid => $uuid, key => 'wrong',
                                        type => $type);
            $s->send('forged');
            $s->ended(30);
        }
    }

    exactly_once($load, 'under forged frames');
    is($load->{report}{connects}, 1, 'undisturbed');
}

# a peer must not be able to fill the log above level info

my @loud = $t->log_lines(qr/\[(notice|warn|error|crit|alert|emerg)\]/);
@loud = grep { !/while SSL handshaking/ }
    grep { /client: / } @loud;
is_deeply(\@loud, [], 'no peer causes more than info');

# nginx 1.22 itself finds some bad handshakes critical

$t->allow(qr/SSL_do_handshake.*while SSL handshaking/);

is_deeply([ $t->live_keys ], [], 'nothing is shown at the end');

$t->finish;
done_testing();

# Time limits, none of which a byte now and then extends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;
use Time::HiRes qw(time);

my $limited = free_port();

my $t = D4::Test->new(server => 'd4_handshake_timeout 4s;'
                                . ' d4_frame_timeout 2s;',
                      stream => <<EOF_CONF)->start;
    limit_conn_zone \$binary_remote_addr zone=addr:64k;
    server {
        listen 127.0.0.1:$limited;
        d4 on;
        d4_handshake_timeout 4s;
        limit_conn addr 3;
    }
EOF_CONF

# name, limit, status, first bytes, one byte each 0.1 s?, raw

my @slow;

sub slow {
    my ($name, $limit, $status, %o) = @_;

    my $begin = time();
    my $s = $o{raw} ? D4::Sensor->connect(port => $t->{port}, raw => 1)
                    : $t->sensor;

    push @slow, { %o, name => $name, limit => $limit, status => $status,
                  s => $s, begin => $begin };

    my $frame = $o{raw} ? "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
                          . 'x' x 500
                        : $s->frame_of('x' x 5000);

    if ($o{good}) {
        $s->send('good');
        $t->wait_stored($s->{uuid}, 1);
        $slow[-1]{begin} = time();
    }

    if ($o{first}) {
        $s->write(substr($frame, 0, $o{first}, ''));
    }

    $slow[-1]{rest} = $frame if $o{drip};
}

slow('nothing, no TLS', 4, 'handshake_timeout', raw => 1);
slow('TLS handshake, a byte at a time', 4, 'handshake_timeout', raw => 1,
     drip => 1);
slow('nothing', 4, 'handshake_timeout');
slow('header, a byte at a time', 4, 'handshake_timeout', drip => 1);
slow('half a header', 4, 'handshake_timeout', first => 31);
slow('payload, a byte at a time', 4, 'handshake_timeout', first => 62,
     drip => 1);
slow('all but the last byte', 4, 'handshake_timeout', first => 62 + 4999);
slow('later header, a byte at a time', 2, 'frame_timeout', good => 1,
     first => 1, drip => 1);
slow('later payload, a byte at a time', 2, 'frame_timeout', good => 1,
     first => 100, drip => 1);
slow('later frame, nothing more', 2, 'frame_timeout', good => 1,
     first => 62);

my @idle = map { my $s = $t->sensor; $s->send('idle'); $s } 1 .. 3;
my $begin = time();
my $next = 0;

poll_until(40, sub {
    if (time() >= $next) {
        for (grep { $_->{rest} && !$_->{took} } @slow) {
            $_->{s}->write(substr($_->{rest}, 0, 1, ''), 0);
        }
        $next = time() + 0.1;
    }

    for (grep { !$_->{took} } @slow) {
        $_->{took} = time() - $_->{begin} if $_->{s}->ended;
    }

    return !grep { !$_->{took} } @slow;
}, 0.01);

for (@slow) {
    my $took = $_->{took} // 99;

    # a byte now and then would take a minute, the default limits half of it

    ok($took > $_->{limit} - 0.1 && $took < $_->{limit} + 20,
       sprintf('%s: ended after %.1f s', $_->{name}, $took));

    if (!$_->{raw} && $_->{s}{uuid} && ($_->{good} || ($_->{first} // 0) > 61))
    {
        is($t->wait_access($_->{s}{uuid})->{status}, $_->{status},
           'status');
    }
}

for (grep { $_->{good} } @slow) {
    is_deeply([ $t->messages($_->{s}{uuid}) ], [ 'good' ],
              'the whole frame is kept');
}

my @unknown = grep { $_->{uuid} eq '-' } $t->access_lines;
is((grep { $_->{status} eq 'handshake_timeout' } @unknown),
   scalar(grep { !$_->{good} && ($_->{first} // 0) < 62 } @slow),
   'those without a header are logged with the reason');


# idle for ever

poll_until(7, sub { time() - $begin > 6 }, 0.1);
ok(!$_->ended, 'an authenticated sensor may be idle') for @idle;
$_->send('again') for @idle;
is($t->wait_stored($_->{uuid}, 2), 2, 'and goes on') for @idle;
$_->finish for @idle;


# a frame that takes long in all, but each in its time

{
    my $s = $t->sensor;

    for (1 .. 4) {
        my $frame = $s->frame_of("slow $_");

        $s->write(substr($frame, 0, 10));
        select(undef, undef, undef, 0.7);
        $s->write(substr($frame, 10));
    }

    is($t->wait_stored($s->{uuid}, 4), 4, 'each frame has its own time');
    $s->finish;
}


# limits on connections compose

{
    my @s = map { D4::Sensor->connect(port => $limited, tls => 0) } 1 .. 3;
    my $more = D4::Sensor->connect(port => $limited, tls => 0);

    ok($more->ended(30), 'limit_conn: one too many');
    ok(!$_->ended, 'the others are held') for @s;
    ok($_->ended(30), 'until the timeout') for @s;

    my $uuid = $t->register(new_uuid(), 'k');
    my $s = $t->sensor(port => $limited, tls => 0, uuid => $uuid, key => 'k');
    $s->send('x');
    is($t->wait_stored($uuid, 1), 1, 'then there is room again');
    $s->finish;
}

$t->allow(qr/limiting connections/);
$t->finish;
done_testing();

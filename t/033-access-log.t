# The variables, and the reason for which each kind of session ended.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

my $t = D4::Test->new(server => 'd4_handshake_timeout 1s;'
                                . ' d4_frame_timeout 1s;')->start;

# status => how the sensor ends

my @cases = (
    [ 'closed', [ 'a', 'bc' ], sub { $_[0]->finish } ],
    [ 'closed', [ ('') x 3 ], sub { $_[0]->finish } ],
    [ 'truncated', [ 'abc' ], sub {
        $_[0]->write(substr($_[0]->frame_of('more'), 0, 64));
        $_[0]->finish;
    } ],
    [ 'truncated', [ 'abc' ], sub {
        $_[0]->write(substr($_[0]->frame_of('more'), 0, 30));
        $_[0]->drop;
    } ],
    [ 'reset', [ 'abc', 'd' ], sub { $_[0]->reset } ],
    [ 'frame_timeout', [ 'abcd' ], sub {
        $_[0]->write(substr($_[0]->frame_of('more'), 0, 63));
        $_[0]->ended(30);
    } ],
    [ 'bad_hmac', [ 'abcde' ], sub {
        $_[0]->write($_[0]->frame_of('more', key => 'wrong'));
        $_[0]->ended(30);
    } ],
);

for (@cases) {
    my ($status, $payloads, $end) = @$_;
    my $s = $t->sensor;

    $s->send(@$payloads);
    $t->wait_stored($s->{uuid}, scalar @$payloads);

    my ($sid) = $t->sids($s->{uuid});

    $end->($s);

    my $line = $t->wait_access($s->{uuid});

    is($line->{status}, $status, "status $status");
    is($line->{type}, 8, 'type');
    is($line->{sid}, $sid, 'session');
    is($line->{frames}, scalar @$payloads, 'frames');
    is($line->{bytes}, length(join '', @$payloads), 'bytes of payload');
    is($line->{sent}, 0, 'no byte sent')
        or diag('nginx counts bytes of TLS here');
    cmp_ok($line->{received}, '>=',
           62 * @$payloads + length(join '', @$payloads), 'received');
}


# no header at all

my $none = sub {
    return grep { $_->{uuid} eq '-' } $t->access_lines;
};

{
    my $n = $none->();
    my $s = D4::Sensor->connect(port => $t->{port});

    ok($s->ended(30), 'no byte: ended');
    ok(poll_until(3, sub { $none->() == $n + 1 }), 'logged');
    is(($none->())[-1]{status}, 'handshake_timeout', 'handshake_timeout');

    $s = D4::Sensor->connect(port => $t->{port});
    $s->finish;
    ok(poll_until(3, sub { $none->() == $n + 2 }), 'logged');
    is(($none->())[-1]{status}, 'closed', 'closed at once');
    like(($none->())[-1]{frames}, qr{^[-0]$}, 'no frame');

    $s = D4::Sensor->connect(port => $t->{port}, raw => 1);
    $s->write("GET / HTTP/1.0\r\n\r\n");
    $s->ended(30);
    ok(poll_until(3, sub { $none->() == $n + 3 }), 'plain HTTP is logged');
    ok((($none->())[-1]{status} =~ /^(tls|-)$/), 'its status is no reason');
}


# at the end of nginx

{
    my $s = $t->sensor;
    $s->send('until the end');
    $t->wait_stored($s->{uuid}, 1);
    $t->{nginx_proc}->signal('QUIT');
    ok($s->ended(30), 'nginx quits: our end is asked for');
    $s->finish;
    $t->{nginx_proc}->wait_gone(15);

    my $line = $t->wait_access($s->{uuid});
    is($line->{status}, 'shutdown', 'shutdown');
    is($line->{frames}, 1, 'frames');
    delete $t->{nginx_proc};
}

$t->finish;
done_testing();

# Blocked addresses and networks, before TLS and in live sessions.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use IO::Socket::INET;
use IO::Socket::IP;
use IO::Socket::UNIX;
use Socket qw(AF_INET6);
use Test::More;

one_day();

my $ipv6 = IO::Socket::IP->new(Listen => 1, LocalHost => '::1') ? 1 : 0;
my ($six, $mapped, $proxied) = map { free_port() } 1 .. 3;

my $t = D4::Test->new(workers => 2, stream => <<EOF_CONF);
    server {
        listen 127.0.0.1:$proxied proxy_protocol;
        set_real_ip_from 127.0.0.1;
        d4 on;
    }
EOF_CONF

$t->{stream} .= <<EOF_CONF;
    server {
        listen unix:$t->{dir}/d4.sock;
        d4 on;
    }
EOF_CONF

$t->{server} = "listen [::1]:$six;"
               . " listen [::ffff:127.0.0.1]:$mapped ipv6only=off;" if $ipv6;

$t->redis_start;

my $metadata = $t->db('metadata');

$metadata->cmd('SADD', 'blacklist_ip', '127.0.0.2');
$metadata->cmd('SADD', 'd4:blocknet', '127.0.1.0/24', '127.1.0.0/16',
               '127.0.3.128/25', '127.0.5.5/32');

$t->nginx_start;


# Ended by the server although nothing was sent?  Within a few seconds where
# it may as well not be.

sub turned_away {
    my ($from, %o) = @_;

    my $s = D4::Sensor->connect(port => $t->{port}, raw => 1, from => $from,
                                %o);

    return $s ? $s->ended($o{seconds} // 30) : 'no connection';
}

for my $from ('127.0.0.2', '127.0.1.0', '127.0.1.77', '127.0.1.255',
              '127.1.200.3', '127.0.3.128', '127.0.3.255', '127.0.5.5')
{
    ok(turned_away($from), "$from is turned away before TLS");

    like($t->wait_log(qr/d4 refused: address_blocked.*client: \Q$from\E,/)
         // '', qr/\[info\]/, 'with a line in the log');
}

my @allowed = map {
    [ $_, D4::Sensor->connect(port => $t->{port}, raw => 1, from => $_) ]
} ('127.0.0.3', '127.0.2.0', '127.0.0.255', '127.2.0.1', '127.0.3.127',
   '127.0.5.4');

for (@allowed) {
    my ($from, $s) = @$_;

    is($s->ended(0.2), '', "$from is not");
}

for (@allowed) {
    my ($from, $s) = @$_;
    my $uuid = new_uuid();

    $t->register($uuid, 'k');
    $s->tls or fail("$from: TLS");
    $s->{uuid} = $uuid;
    $s->{key} = 'k';
    $s->send('in');
    is($t->wait_stored($uuid, 1), 1, "$from delivers");
    $s->finish;
}


# the published key takes single addresses at any time

$metadata->cmd('SADD', 'blacklist_ip', '127.0.0.10');
ok(poll_until(30, sub { turned_away('127.0.0.10', seconds => 2) }),
   'blocked while running');
$metadata->cmd('SREM', 'blacklist_ip', '127.0.0.10');
ok(poll_until(30, sub { turned_away('127.0.0.10', seconds => 2) eq '' }),
   'and let in again');


# live sessions of a network that becomes blocked

{
    my @s = map { $t->sensor(from => "127.0.7.$_") } 1 .. 4;
    my $near = $t->sensor(from => '127.0.8.1');

    $_->send('x') for @s, $near;
    $t->wait_stored($_->{uuid}, 1) for @s, $near;

    $metadata->cmd('SADD', 'd4:blocknet', '127.0.7.0/24');
    $t->announce('block');

    ok($_->ended(30), "$_->{from}: ended") for @s;
    is($t->wait_access($_->{uuid})->{status}, 'address_blocked', 'status')
        for @s;
    is($near->ended(0.5), '', 'the neighbour is not');
    $near->finish;
}


# IPv6, and IPv4 that arrives as IPv6

SKIP: {
    skip('no IPv6 on loopback', 5) if !$ipv6;

    my $connect = sub {
        my $sock = IO::Socket::IP->new(PeerHost => '::1', PeerPort => $six,
                                       Family => AF_INET6) or return;
        $sock->blocking(0);
        return bless { sock => $sock, got => '', type => 8 }, 'D4::Sensor';
    };

    my $s = $connect->();
    my $uuid = new_uuid();

    $t->register($uuid, 'k');
    @$s{qw(uuid key)} = ($uuid, 'k');
    $s->send('six');
    is($t->wait_stored($uuid, 1), 1, 'IPv6 delivers');
    $s->finish;
    ok(poll_until(3, sub {
        $metadata->cmd('ZSCORE', 'daily_ip:' . today(), '::1')
    }), 'known as ::1');

    $metadata->cmd('SADD', 'd4:blocknet', '::/64');
    ok(poll_until(3, sub { $connect->()->ended(1) }), 'an IPv6 network');

    ok(turned_away('127.0.0.2', port => $mapped), 'IPv4 mapped: blocked');

    $s = D4::Sensor->connect(port => $mapped, tls => 0, from => '127.0.0.4',
                             uuid => $uuid, key => 'k', type => 4);
    $s->send('mapped');
    poll_until(5, sub { $t->messages($uuid) > 1 });
    $s->finish;
    ok(poll_until(3, sub {
        $metadata->cmd('ZSCORE', 'daily_ip:' . today(), '127.0.0.4')
    }), 'known by its IPv4 address');
}


# a unix socket has no address: served, and counted under "-"

{
    my $s = $t->sensor(raw => 1);

    $s->drop;
    $s->{sock} = IO::Socket::UNIX->new(Peer => "$t->{dir}/d4.sock")
        or fail("unix socket: $!");
    $s->{sock}->blocking(0);
    $s->send('x');
    is($t->wait_stored($s->{uuid}, 1), 1, 'a unix socket delivers');
    $s->finish;
    ok(poll_until(3, sub {
        $metadata->cmd('ZSCORE', 'daily_ip:' . today(), '-')
    }), 'counted without address');
}


# behind a balancer: the address of the sensor, not of the balancer

{
    $metadata->cmd('SADD', 'blacklist_ip', '192.0.2.66');

    for my $ip ('192.0.2.7', '192.0.2.66') {
        my $s = $t->sensor(port => $proxied, tls => 0);

        $s->write("PROXY TCP4 $ip 127.0.0.1 1234 4443\r\n");

        if ($ip eq '192.0.2.66') {
            ok($s->ended(30), "$ip is turned away behind the balancer");
            next;
        }

        $s->send('x');
        is($t->wait_stored($s->{uuid}, 1), 1, "$ip delivers through it");
        $s->finish;
        ok(poll_until(3, sub {
            $metadata->cmd('ZSCORE', 'daily_ip:' . today(), $ip)
        }), 'and is known by its own address');
    }
}


# counted by reason, aggregated by address

{
    turned_away('127.0.0.2') for 1 .. 20;

    my $day = 'd4:refused:' . today();

    ok(poll_until(3, sub {
        ($metadata->cmd('HGET', $day, 'address_blocked') // 0) >= 28
    }), 'each is counted by its reason');

    my (@entries, $sum);

    ok(poll_until(3, sub {
        @entries = grep { $_->{address} eq '127.0.0.2' }
            map { { @{ $_->[1] } } }
            @{ $metadata->cmd('XRANGE', 'd4:refused', '-', '+') };
        $sum = 0;
        $sum += $_->{count} for @entries;
        $sum >= 21;
    }), 'd4:refused counts them');
    cmp_ok(scalar @entries, '<', 15, 'in few entries');
    is_deeply([ sort keys %{ $entries[0] } ],
              [ sort qw(address reason uuid type count first last) ],
              'its fields');
    is($entries[0]{reason}, 'address_blocked', 'its reason');
    ok($_->{first} <= $_->{last} && abs($_->{last} - time()) < 600
       || abs($_->{last} / 1000 - time()) < 600, 'its times') for $entries[0];
}

is_deeply([ $t->live_keys ], [], 'nobody is shown as connected');

$t->finish;


# d4:refused has a limit

{
    my $t = D4::Test->new(d4 => 'refused_max 20;');

    $t->redis_start;
    $t->db('metadata')->cmd('SADD', 'd4:blocknet', '127.5.0.0/16');
    $t->nginx_start;

    for my $i (0 .. 399) {
        my $s = D4::Sensor->connect(port => $t->{port}, raw => 1,
                                    from => '127.5.' . int($i / 200) . '.'
                                            . ($i % 200 + 1)) or next;
        $s->ended(30);
    }

    my $redis = $t->db('metadata');

    ok(poll_until(5, sub {
        ($redis->cmd('HGET', 'd4:refused:' . today(), 'address_blocked') // 0)
            == 400
    }), '400 addresses: all are counted');
    cmp_ok($redis->cmd('XLEN', 'd4:refused'), '<=', 130,
           'few are listed');
    cmp_ok($redis->cmd('XLEN', 'd4:refused'), '>=', 20, 'but some');

    $t->finish;
}

done_testing();

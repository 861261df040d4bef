# Passive DNS: bodies in every shape that HTTP has, from clients that are slow,
# go away or say wrong things, while the store answers and while it does not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Test;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(sleep);

my $t = D4::Pdns->new(
    lookup   => 1,
    http     => 'pdns_flush 20ms; pdns_memory 1m;',
    location => 'client_body_timeout 2s; client_body_in_file_only on;'
                . ' client_body_in_single_buffer on;'
                . ' client_body_buffer_size 16k;',
)->start;

my $json = D4::Pdns::json();
my $now = time();

sub lines {
    my ($zone, $n) = @_;

    return join '', map {
        D4::Pdns::line($now - $_, "n$_.$zone.", 'A', '192.0.2.1') . "\n"
    } 1 .. $n;
}

sub connected {
    my ($head) = @_;

    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                  PeerPort => $t->{http_port})
        // die "connect: $!";

    $s->autoflush(1);
    print $s "POST /pdns/ingest HTTP/1.1\r\nHost: x\r\n"
        . "Connection: close\r\n$head\r\n";

    return $s;
}

sub answer {
    my ($s) = @_;

    local $/;
    my $text = <$s>;
    close($s);

    return $text // '';
}

sub accepted {
    my ($answer) = @_;

    return $answer =~ /^HTTP\/1.1 200 .*"accepted":(\d+)/s ? $1
         : $answer =~ /^([^\r]*)/ && $1;
}

sub stored { return scalar(() = $t->store->keys("N:{$_[0]}*")) }


# as it is cut into chunks, and with leave to send it

my $body = lines('chunk.example', 5000);
my $s = connected("Transfer-Encoding: chunked\r\n");

for (my ($at, $n) = (0, 1); $at < length $body; $at += $n, $n = $n * 7 % 9001)
{
    my $piece = substr($body, $at, $n);
    printf $s "%x\r\n%s\r\n", length $piece, $piece;
}

print $s "0\r\n\r\n";
is(accepted(answer($s)), 5000, 'a body in chunks');

$body = lines('expect.example', 3000);
$s = connected("Expect: 100-continue\r\nContent-Length: " . length($body)
               . "\r\n");
is(scalar(<$s>), "HTTP/1.1 100 Continue\r\n", 'leave to send a body');
<$s>;
print $s $body;
is(accepted(answer($s)), 3000, 'which is taken');


my %encoded = map {
    $_ => $t->post('/ingest', $body, 'Content-Encoding' => $_)->{status}
} 'gzip', 'identity';

is_deeply(\%encoded, { gzip => 415, identity => 200 },
          'what is compressed is not taken for lines');


# a client that is slow while the store is: only its own time counts

$body = lines('slow.example', 12000);
$s = connected('Content-Length: ' . length($body) . "\r\n");

for (my $at = 0; $at < 600_000; $at += 1500) {
    $t->redis_pause if $at == 1500;
    print $s substr($body, $at, 1500);
    sleep(0.001);
}

sleep(4);
$t->redis_resume;
print $s substr($body, 600_000);
is(accepted(answer($s)), 12000, 'a body that waits for the store');

# clients that go away while their lines wait

$t->redis_pause;

for my $i (1 .. 24) {
    $body = lines("gone$i.example", 200);
    $s = connected('Content-Length: ' . length($body) . "\r\n");
    print $s $i % 2 ? $body : substr($body, 0, 9000);
    setsockopt($s, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if $i % 3 == 0;
    sleep(0.01);
    close($s);
}

# the worker has seen that when it has answered another one

$t->get('/dnsdb/v2/ping');
$t->redis_resume;
is($json->decode($t->post('/ingest', lines('stays.example', 500))->{content})
   ->{accepted}, 500, 'clients went away: another one is served');

# one that went away while the batch before was on its way

my $first = lines('first.example', 10);

$t->redis_pause;
$s = connected('Content-Length: ' . length($first) . "\r\n");
print $s $first;
sleep(0.2);

my $left = connected("Content-Length: 9999\r\n");

print $left lines('left.example', 10);
sleep(0.2);
close($left);
$t->get('/dnsdb/v2/ping');
$t->redis_resume;
is(accepted(answer($s)), 10, 'the batch before is stored');
ok(poll_until(10, sub { stored('example.left') }),
   'what it had sent is stored, too, although nothing follows');


# a body that is not read is not taken for requests

sub unread {
    my ($name, $line, $status) = @_;

    my $inner = "GET /pdns/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

    for my $pause (0, 0.1) {
        my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                      PeerPort => $t->{http_port})
            // die "connect: $!";

        $s->autoflush(1);

        my $head = "$line HTTP/1.1\r\nHost: x\r\nContent-Length: "
            . length($inner) . "\r\n\r\n";

        print $s $pause ? $head : $head . $inner;
        sleep($pause);
        print $s $pause ? $inner : '',
            "GET /pdns/dnsdb/v2/ping HTTP/1.1\r\nHost: x\r\n"
            . "Connection: close\r\n\r\n";

        my @status = answer($s) =~ /^HTTP\/1\.1 (\d+)/mg;

        is("@status", "$status 200", "$name: its body is not read"
                                     . ($pause ? ', later' : ''));
    }
}

unread('another method', 'POST /pdns/query/www.example', 405);
unread('no route', 'POST /pdns/nothing', 405);
unread('GET with a body', 'GET /pdns/ingest', 405);
unread('GET of several', 'GET /pdns/bulk', 405);

$t->redis_kill;
delete $t->{store};
$t->wait_log('redis pdns .* down');
unread('no store', 'POST /pdns/ingest', 503);
$t->redis_start;
poll_until(20, sub { $t->up });

is(scalar(grep { /smuggled/ } split /\n/, $t->read_file('logs/access.log')),
   0, 'nor logged as a request');

$t->finish;
done_testing();

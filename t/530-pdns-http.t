# Passive DNS: what is HTTP about it: methods, errors, bulk requests, slow
# clients and those that leave, and the forms of an answer.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Proc;
use D4::Test;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

my $t = D4::Pdns->new(lookup => 1, location => 'pdns_buffer 64k;')->start;
my $json = D4::Pdns::json();

sub line { return D4::Pdns::line(@_) }

$t->ingest(map { line(1500000000 + $_, "n$_.example.com.", 'A',
                      '192.0.2.1') } 1 .. 10000);
$t->ingest(map { line(1500000000 + $_, 'www.example.net.', 'A',
                      "198.51.100.$_") } 1 .. 5);
$t->ingest(line(1500000009, '212.0/24.2.0.192.in-addr.arpa.', 'PTR',
                'www.example.net.'),
           line(1500000010, 'odd.example.net.', '65280', '\\# 1 aa'),
           line(1500000011, 'txt.example.net.', 'TXT',
                '"quote \\" back \\\\ \\000\\200"'));


# one request over a socket of its own; returns status line, headers, body

sub raw {
    my ($request) = @_;

    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                  PeerPort => $t->{http_port}) or die;
    print $s $request;
    local $/;
    return split /\r\n\r\n/, <$s>, 2;
}

sub request {
    my ($method, $path) = @_;
    return raw("$method /pdns$path HTTP/1.1\r\nHost: h.example\r\n"
               . "Connection: close\r\n\r\n");
}


# the statements of the format, on whatever comes

my @paths = map { ($_, "$_?rdata=array", "$_?ms=1&rfc3339=1") }
    '/query/www.example.net', '/query/198.51.100.0/24',
    '/query/*.example.net', '/fquery/www.example.net';

my %seen;

for my $path (@paths) {
    my $r = $t->get($path);
    my @bad;

    push @bad, 'status' if $r->{status} != 200;
    push @bad, 'type'
        if $r->{headers}{'content-type'} ne 'application/x-ndjson';
    push @bad, 'last line' if $r->{content} !~ /\n\z/;
    push @bad, 'bytes' if $r->{content} =~ /[^\n\x20-\x7e]/;

    my %triple;

    for my $text (split /\n/, $r->{content}) {
        my $o = eval { $json->decode($text) } // { };
        my $data = ref $o->{rdata} ? $o->{rdata} : [ $o->{rdata} ];

        push @bad, 'names' if ref($o->{rrname}) || ref($o->{rrtype});
        push @bad, 'array' if ($path =~ /array/) != (ref $o->{rdata} ? 1 : 0);
        push @bad, 'type is no number' if $o->{rrname} =~ /^odd/
            && $text !~ /"rrtype":65280[,}]/;
        push @bad, 'numbers'
            if grep { $text !~ /"$_":[1-9][0-9]*[,}]/ }
               qw(time_first time_last count);
        push @bad, 'order' if $o->{time_first} > $o->{time_last};
        push @bad, 'origin' if $o->{origin} !~ m{^http://[\w.]+/pdns/$};
        push @bad, 'null' if $text =~ /null/;
        push @bad, 'ms' if $path =~ /ms=1/
            && $o->{time_last_ms} != 1000 * $o->{time_last};
        push @bad, 'rfc' if $path =~ /rfc/
            && $o->{time_last_rfc3339} !~ /^2017-07-14T02:40:\d\dZ$/;
        push @bad, 'twice'
            if $triple{"$o->{rrname} $o->{rrtype} @$data"}++;
    }

    is("@bad", '', "$path is in the format");
}

my ($txt) = $t->records('/query/txt.example.net');
is($txt->{rdata}, '"quote \\" back \\\\ \\000\\200"', 'text as it was');

is(scalar(() = $t->rows('/query/212.0%2F24.2.0.192.in-addr.arpa')), 1,
   'a slash in a name');
is(scalar(() = $t->rows('/query/212.0/24.2.0.192.in-addr.arpa')), 1,
   'escaped or not');


# methods and errors

my ($head, $body) = request('HEAD', '/query/www.example.net');
my ($get) = request('GET', '/query/www.example.net');
like($head, qr{^HTTP/1.1 200 }, 'HEAD');
is($body, '', 'has no body');
my ($len) = $head =~ /^Content-Length: (\d+)/m;
is($len, ($get =~ /^Content-Length: (\d+)/m)[0], 'and the same length');

($head) = request('HEAD', '/query/192.0.2.1');
like($head, qr{^HTTP/1.1 200 }, 'HEAD of a large answer');

for ([ 'DELETE', '/query/a', 405 ], [ 'POST', '/query/a', 405 ],
     [ 'GET', '/ingest', 405 ], [ 'GET', '/bulk', 405 ],
     [ 'GET', '/', 404 ], [ 'GET', '/none', 404 ], [ 'GET', '/query/', 404 ],
     [ 'GET', '/query/a..b', 400 ], [ 'GET', '/query/*', 400 ],
     [ 'GET', '/query/192.0.2.0/99', 400 ],
     [ 'GET', '/query/a?limit=x', 400 ], [ 'GET', '/query/a?limit=0', 400 ],
     [ 'GET', '/query/a?rrtype=NONE', 400 ],
     [ 'GET', '/query/a?cursor=!', 400 ],
     [ 'GET', '/query/a?cursor=4611686018427387905', 400 ],
     [ 'GET', '/query/a?time_last_after=x', 400 ],
     [ 'GET', '/query/a?sort=name', 400 ],
     [ 'GET', '/dnsdb/v2/lookup/rrset/name', 400 ])
{
    my ($method, $path, $status) = @$_;

    ($head, $body) = request($method, $path);
    like($head, qr{^HTTP/1.1 $status }, "$method $path: $status");

    my $error = eval { $json->decode($body) };
    ok($error && $error->{error} && $error->{message}, 'in JSON')
        || diag($body);
}


# bulk

my @values = ('www.example.net', 'N1.example.com.', 'nothing.example',
              '198.51.100.3', '*.example.net', '198.51.100.0/30', '..', '');
my $r = $t->post('/bulk?limit=3', join("\n", @values));
is($r->{status}, 200, 'a bulk request');

my %by;
push @{ $by{$_->{query}} }, $_
    for map { $json->decode($_) } split /\n/, $r->{content};

is_deeply({ map { ($_ => scalar @{ $by{$_} }) } keys %by },
          { 'www.example.net' => 3, 'N1.example.com.' => 1,
            '198.51.100.3' => 1, '*.example.net' => 3,
            '198.51.100.0/30' => 3 },
          'answers each value, up to its limit');

$r = $t->post('/bulk', join("\n", map { "n$_.example.com" } 1 .. 10000));
is(scalar(() = $r->{content} =~ /\n/g), 10000, '10,000 values');
is($t->post('/bulk', "a\n" x 10001)->{status}, 413, 'but not one more');


# a slow client: the answer waits, and the worker's memory with it

my ($worker) = $t->workers;
my $before = D4::Proc::rss($worker);

my @slow = map {
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', Timeout => 10,
                                  PeerPort => $t->{http_port}) or die;
    setsockopt($s, SOL_SOCKET, SO_RCVBUF, pack("i", 32768));
    print $s "GET /pdns/query/192.0.2.1?limit=5000 HTTP/1.1\r\nHost: h\r\n"
        . "Connection: close\r\n\r\n";
    $s;
} 1 .. 20;

sleep(1);
is(scalar(() = $t->rows('/query/www.example.net')), 5,
   'others are served meanwhile');

# AddressSanitizer keeps 256 MiB of what was freed

cmp_ok(D4::Proc::rss($worker) - $before, '<', (ASAN ? 400 : 40) << 20,
       'slow clients cost little memory');

close($_) for splice(@slow, 0, 10);

for my $s (splice(@slow, 0, 1)) {
    local $/;
    my (undef, $body) = split /\r\n\r\n/, <$s>, 2;
    is(scalar(() = $body =~ /"rrname"/g), 5000,
       'a slow client gets all of it in the end');
}

undef @slow;


# clients that leave

for my $n (1 .. 50) {
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                  PeerPort => $t->{http_port}) or die;
    print $s "GET /pdns/query/*.example.com HTTP/1.1\r\nHost: h\r\n\r\n";
    sleep(0.001 * ($n % 7));
    setsockopt($s, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
    close($s);
}

is(scalar(() = $t->rows('/query/www.example.net')), 5,
   'those that leave harm nobody');


# the store stops in the middle

$t->redis_pause;
my $pid = fork() // die;
if ($pid == 0) {
    my $r = $t->get('/query/www.example.net');
    require POSIX;
    POSIX::_exit($r->{status} == 503 ? 0 : 1);
}
sleep(0.5);
$t->{redis_proc}->signal("KILL");
$t->redis_kill;
waitpid($pid, 0);
is($?, 0, 'a request that waits is told when the store goes');
$t->redis_start;
ok(poll_until(20, sub { $t->up }), 'and served again when it is back');

$t->finish;
done_testing();

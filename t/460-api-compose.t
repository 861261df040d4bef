# The API among the rest of nginx: auth_basic, limits, HTTP/1.0 to 2, clients
# that leave at any point, a Redis that hangs or refuses; its directives.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Api;
use D4::Proc;
use D4::Test;
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

my $t = D4::Api->new(
    d4   => 'redis_timeout 2s;',
    http => 'limit_req_zone $binary_remote_addr zone=r:1m rate=1r/m;',
);

# more locations beside those of D4::Api

$t->{http} .= <<EOF_HTTP;

    server {
        listen 127.0.0.1:@{[ $t->{other_port} = free_port() ]};
        client_max_body_size 64m;

        location /basic/ {
            auth_basic closed;
            auth_basic_user_file users;
            d4_api on;
        }

        location /limited/ {
            limit_req zone=r;
            error_page 503 = \@busy;
            d4_api on;
        }

        location \@busy { return 429 "busy\\n"; }

        location /small/ {
            d4_api_body_size 100;
            d4_api on;
        }

        location = /metrics { d4_metrics on; allow 192.0.2.1; deny all; }
    }
EOF_HTTP

$t->write_file('users', 'me:{PLAIN}secret');
$t->start;

sub other {
    my ($method, $path, %headers) = @_;

    return HTTP::Tiny->new(timeout => 20)->request($method,
        "http://127.0.0.1:$t->{other_port}$path", { headers => \%headers,
        exists $headers{body} ? (content => delete $headers{body}) : () });
}

my $basic = 'Basic bWU6c2VjcmV0';

is(other('GET', '/basic/v1/me')->{status}, 401, 'auth_basic: closed');
is(other('GET', '/basic/v1/me', Authorization => $basic)->{status}, 401,
   'open, but no token');
is(other('GET', '/basic/v1/me', Authorization => $basic,
         'X-Auth-Token' => $t->{token}{admin})->{status}, 200,
   'auth_basic and X-Auth-Token');
is(other('GET', '/basic/v1/me', 'X-Auth-Token' => $t->{token}{admin})
   ->{status}, 401, 'not without the password');

is(join(' ', map { other('GET', '/limited/v1/me',
                         Authorization => $t->{token}{admin})->{status} }
             1 .. 2), '200 429', 'limit_req');

is(other('POST', '/small/v1/sensors', Authorization => $t->{token}{admin},
         'Content-Type' => 'application/json', body => ' ' x 101)->{status},
   413, 'd4_api_body_size');
is(other('POST', '/small/v1/sensors', Authorization => $t->{token}{admin},
         'Content-Type' => 'application/json', body => '{}')->{status},
   201, 'less than it');
is(other('GET', '/metrics')->{status}, 403, 'deny');
is(other('POST', '/small/v1/metrics')->{status}, 404, 'nothing there');
is($t->request('POST', '/metrics')->{status}, 405, 'metrics are read');
is($t->request('HEAD', '/health')->{status}, 200, 'HEAD of /health');


# Versions of HTTP, on one connection after another request.

{
    my $auth = "Authorization: $t->{token}{admin}\r\n";
    my $post = "POST /api/v1/sensors HTTP/1.1\r\nHost: x\r\n"
        . "Content-Type: application/json\r\n";

    like($t->raw("GET /api/v1/me HTTP/1.0\r\n$auth\r\n"),
         qr/^HTTP\/1.1 200 .*"admin"/s, 'HTTP/1.0');

    # what a refused request sent is not taken for a request

    my $smuggled = "GET /api/v1/me HTTP/1.1\r\nHost: x\r\n${auth}"
        . "X: y\r\n\r\n";
    my $answers = $t->raw("${post}Content-Length: @{[ length $smuggled ]}\r\n"
        . "\r\n$smuggled" . "GET /api/v1/types HTTP/1.1\r\nHost: x\r\n$auth"
        . "Connection: close\r\n\r\n");
    my @status = $answers =~ /HTTP\/1\.1 (\d+)/g;
    is("@status", '401 200', 'a refused body is not a request');
    unlike($answers, qr/"by":"token"/, 'really not');

    my $many = $t->raw("GET /api/v1/me HTTP/1.1\r\nHost: x\r\n$auth\r\n" x 20
                       . "GET /api/v1/me HTTP/1.1\r\nHost: x\r\n${auth}"
                       . "Connection: close\r\n\r\n");
    is(scalar(() = $many =~ /HTTP\/1.1 200/g), 21, 'pipelined');

    for my $http (qw(--http1.1 --http2)) {
        my $out = `curl -s -k $http -H 'Authorization: $t->{token}{admin}' \\
            -H 'Content-Type: application/json' -d '{"name":"$http"}' \\
            -w '%{http_code}' https://127.0.0.1:$t->{https_port}/api/v1/sensors`;
        like($out, qr/"uuid".*201$/, "curl $http");
    }

    my $out = `curl -s -k --http2 -H 'Authorization: $t->{token}{admin}' \\
        https://127.0.0.1:$t->{https_port}/api/v1/sensors/export`;
    is(() = $out =~ /\n/g, 3, 'a stream over HTTP/2');
}


# Clients that leave: at any byte of a request, and while Redis is asked.

{
    my $request = "POST /api/v1/users HTTP/1.1\r\nHost: x\r\n"
        . "Authorization: $t->{token}{admin}\r\n"
        . "Content-Type: application/json\r\nContent-Length: 63\r\n\r\n"
        . '{"email":"gone@example.org","role":"user","password":"Passw012"}';

    for (my $n = 1; $n <= length $request; $n += 7) {
        close($t->raw(substr($request, 0, $n), keep => 1));
    }

    # a password is being hashed when the client leaves

    close($t->raw($request, keep => 1)) for 1 .. 10;

    $t->redis_pause;

    my @hanging = map { $t->raw("GET /api/v1/$_ HTTP/1.1\r\nHost: x\r\n"
        . "Authorization: $t->{token}{admin}\r\n\r\n", keep => 1) }
        (qw(me sensors types queues users server audit monitoring)) x 5;

    sleep 0.3;
    close($_) for splice(@hanging, 0, 20);
    $t->redis_resume;

    for my $sock (@hanging) {
        my $got = '';
        IO::Select->new($sock)->can_read(20)
            && sysread($sock, $got, 65536);
        like($got, qr/^HTTP\/1.1 (200|503) /, 'answered when Redis goes on');
        close($sock);
    }

    $t->{agent} = undef;
    ok(poll_until(10, sub { $t->request('GET', 'me')->{status} == 200 }),
       'all the while');
}


# A Redis that hangs: 503 in time; one that refuses writes; one of another kind

{
    $t->redis_pause;
    my $r = $t->request('GET', 'me');
    is($r->{status}, 503, 'Redis hangs: 503');
    is($r->{headers}{'retry-after'}, 1, 'Retry-After');
    $t->redis_resume;
    $t->allow(qr/no answer within/);
    ok(poll_until(15, sub { $t->request('GET', 'me')->{status} == 200 }),
       'and comes back');

    my $metadata = $t->db('metadata');

    $metadata->cmd('CONFIG', 'SET', 'maxmemory', 1);
    $r = $t->request('PUT', 'types/3');
    is($r->{status}, 503, 'out of memory: 503');
    like($r->{json}{reason}, qr/does not take requests now/, 'says so');
    $t->ok(200, 'GET', 'me', name => 'reading goes on');
    $metadata->cmd('CONFIG', 'SET', 'maxmemory', 0);

    # a key that is not what it should be is Redis' error, not a crash

    $metadata->cmd('SET', 'd4:blocknet', 'x');
    $t->ok(503, 'PUT', 'blocklist/addresses/192.0.2.0/24');
    ok(scalar($t->log_lines(qr/d4 api: redis answered "WRONGTYPE/)), 'logged');
    $metadata->cmd('DEL', 'd4:blocknet');

    # bytes that are no text

    $t->ok(201, 'POST', 'queues', body => { type => 3 });
    my ($q) = $metadata->members('all_analyzer_queues');
    $t->db('queues')->cmd('LPUSH', "analyzer:3:$q", "\xff\x00\"\\\n<",
                          'x' x 100000);
    my $elements = $t->ok(200, 'GET', "queues/$q/sample")->{elements};
    is($elements->[1]{text}, "\x{fffd}\0\"\\\n<", 'bytes in a sample');
    is(length $elements->[0]{text}, 3000, 'a long one is cut');
    is($elements->[0]{bytes}, 100000, 'its length is told');
}


# A request that is being answered when nginx is told to quit.

{
    my @sock = map { $t->raw("POST /api/v1/users HTTP/1.1\r\nHost: x\r\n"
        . "Authorization: $t->{token}{admin}\r\n"
        . "Content-Type: application/json\r\nContent-Length: 64\r\n\r\n"
        . '{"email":"quit' . $_ . '@example.org","role":"user","password":"Pw01234567"}',
        keep => 1) } 1 .. 4;

    sleep 0.1;
    $t->reload;

    for my $sock (@sock) {
        my $got = '';
        IO::Select->new($sock)->can_read(20)
            && sysread($sock, $got, 65536);
        like($got, qr/^HTTP\/1.1 (201|400) /, 'answered by a worker that quits');
    }
}


# Directives

{
    my $conf = D4::Proc::slurp("$t->{dir}/nginx.conf");

    $t->allow(qr/\[emerg\]/);

    my ($rc, $text) = $t->check($conf);
    is($rc, 0, 'the configuration is good');

    for my $case (
        [ qr/d4_api on;/ => 'd4_api maybe;', qr/must be "on" or "off"/ ],
        [ qr/d4_api on;/ => 'd4_api on; d4_health on;',
          qr/is one of several handlers of a location/ ],
        [ qr/d4_metrics sensors/ => 'd4_metrics all',
          qr/must be "on", "sensors" or "off"/ ],
        [ qr/d4_api_body_size 100/ => 'd4_api_body_size 100m',
          qr/must not be more than 64m/ ],
        [ qr/(?<=limit_req_zone)/ => ' x', qr/./ ],
        [ qr/http \{/ => 'http { d4_webhook ftp://x/;',
          qr/must be a URL that begins with http/ ],
        [ qr/http \{/ => 'http { d4_webhook http://[/;', qr/d4_webhook/ ],
        [ qr/http \{/ => 'http { d4_monitor_interval 1ms;',
          qr/at least 100ms/ ],
        [ qr/redis cache [^;]*;/ => '', qr/need "redis cache" in the "d4"/ ],
    ) {
        my ($re, $new, $want) = @$case;
        my $changed = $conf =~ s/$re/$new/r;

        ($rc, $text) = $t->check($changed);
        isnt($rc, 0, "$new: is refused");
        like($text, $want, "$new: why");
    }

    # the block may stand behind http

    my ($block) = $conf =~ /^(d4 \{.*?^\}\n)/ms;
    ($rc, $text) = $t->check(($conf =~ s/\Q$block\E//r) . $block);
    is($rc, 0, 'the "d4" block may come last') || diag($text);

    ($rc, $text) = $t->check(($conf =~ s/\Q$block\E//r)
                             =~ s/^stream \{.*?^\}\n//msr);
    isnt($rc, 0, 'but not be missing');
    like($text, qr/need a "d4" block/, 'why');
}

$t->{agent} = undef;
$t->finish;
done_testing();

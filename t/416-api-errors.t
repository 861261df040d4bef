# Errors that nginx itself answers where the API is, have the API's shape.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Api;
use D4::Test;
use Test::More;

my $t = D4::Api->new(
    http => 'limit_req_zone $http_x_limited zone=limited:1m rate=1r/m;'
            . ' large_client_header_buffers 4 4k;',
    location => 'limit_req zone=limited; client_max_body_size 2k;'
                . ' if ($http_x_deny) { return 403; }',
)->start;


# The JSON of an error, over a connection of its own.

sub is_error {
    my ($status, $request, $name) = @_;

    my ($head, $body) = split /\r\n\r\n/, $t->raw($request), 2;
    my ($length) = $head =~ /^Content-Length: (\d+)\r?$/mi;
    my $json = eval { $t->json->decode($body // '') };

    like($head, qr{^HTTP/1.1 $status }, "$name: $status");
    like($head, qr{^Content-Type: application/json\r?$}m, "$name: JSON");
    is($length, length $body, "$name: its length");
    is($json->{status}, 'error', "$name: status");
    like($json->{reason}, qr/\w/, "$name: reason");
}

my $auth = "Authorization: $t->{token}{admin}\r\n";
my $get = "GET /api/v1/me HTTP/1.0\r\n$auth";

is_error(413, "POST /api/v1/sensors HTTP/1.0\r\n${auth}Content-Type: "
         . "application/json\r\nContent-Length: 5000\r\n\r\n" . 'x' x 5000,
         'a body too large');
is_error(413, "POST /api/v1/sensors HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
         . "${auth}Content-Type: application/json\r\n"
         . "Transfer-Encoding: chunked\r\n\r\n1388\r\n" . 'x' x 5000
         . "\r\n0\r\n\r\n", 'a chunked one');
is_error(400, "POST /api/v1/sensors HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
         . "${auth}Content-Type: application/json\r\n"
         . "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 'chunks that are none');
is_error(400, "${get}Host: a\r\nHost: b\r\n\r\n", 'a header twice');
is_error(400, "${get}If-Match: \"a\"\r\nIf-Match: \"b\"\r\n\r\n",
         'If-Match twice');
is_error(400, "${get}X: " . 'x' x 5000 . "\r\n\r\n", 'a header too long');
is_error(400, "NONSENSE\r\n\r\n", 'no request');
is_error(414, "GET /api/v1/me?" . 'x' x 5000 . " HTTP/1.0\r\n$auth\r\n",
         'a URI too long');
is_error(405, "TRACE /api/v1/me HTTP/1.0\r\n$auth\r\n", 'TRACE');
is_error(403, "${get}X-Deny: 1\r\n\r\n", 'a rule of the configuration');

$t->raw("${get}X-Limited: 1\r\n\r\n");
is_error(503, "${get}X-Limited: 1\r\n\r\n", 'a limit');

# HEAD has no body, and the connection goes on

my $answer = $t->raw("HEAD /api/v1/me HTTP/1.1\r\nHost: x\r\nX-Deny: 1\r\n\r\n"
                     . "GET /api/v1/me HTTP/1.1\r\nHost: x\r\n"
                     . "Connection: close\r\n$auth\r\n");

like($answer, qr/^HTTP\/1.1 403 .*?\r\n\r\nHTTP\/1.1 200 .*"email"/s,
     'HEAD, and the next request');

is(scalar(() = `curl -s -k --http2 -H 'X-Deny: 1' -w '%{http_code}' \\
          https://127.0.0.1:$t->{https_port}/api/v1/me`
          =~ /^\{"status":"error","reason":"[^"]+"\}403$/g), 1, 'HTTP/2');

# elsewhere nginx is as it is

like($t->raw("GET /other HTTP/1.0\r\n\r\n"), qr/Content-Type: text\/html/,
     'another location');
like($t->raw("GET /other HTTP/1.0\r\nX: " . 'x' x 5000 . "\r\n\r\n"),
     qr/Content-Type: text\/html/, 'an early error of another path');

$t->ok(200, 'GET', 'me');
$t->finish;
done_testing();

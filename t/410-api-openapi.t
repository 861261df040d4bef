# docs/openapi.json against the running server: every path, method, status and
# shape of an answer, and every role.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Api;
use D4::Schema;
use D4::Test;
use Test::More;

my $t = D4::Api->new(
    http => 'set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP;')->start;
my $api = $t->request('GET', 'openapi.json', as => undef)->{json};

is($api->{openapi}, '3.1.0', 'the description is served');
is_deeply($api, $t->json->decode(D4::Proc::slurp(
    "$FindBin::Bin/../docs/openapi.json")), 'it is the one of docs/');

my $schema = D4::Schema->new($api);
my %seen;                              # "method path status" that were met


# One request to an operation of the description; its answer has to be there.

sub call {
    my ($status, $method, $path, $at, %opt) = @_;

    my $name = "\U$method\E $path $status";
    my $op = $api->{paths}{$path}{$method} or return fail("$name: no such");
    my $r = $t->request(uc $method, ($at // substr($path, 1)), %opt);

    is($r->{status}, $status, $name) || diag($r->{content});

    my $answer = $op->{responses}{$status}
        or return fail("$name: is not described");

    $seen{"$method $path $status"} = 1;

    $answer = $schema->resolve($answer);

    my ($type) = keys %{ $answer->{content} };
    is($r->{headers}{'content-type'}, $type, "$name: content type");

    my $shape = $answer->{content}{$type}{schema};

    if ($shape && $type eq 'application/json') {
        is($schema->errors($shape, $r->{json}), '', "$name: shape");

    } elsif ($shape) {
        for my $line (split /\n/, $r->{content}) {
            is($schema->errors($shape, $t->json->decode($line)), '',
               "$name: shape of a line");
        }
    }

    return $r->{json};
}


# Good ways, and what is particular to an operation.

my $u = new_uuid();
my $v = new_uuid();
my $none = new_uuid();

is(call(201, 'post', '/sensors', undef,
        body => { uuid => dashed($u), name => 'one', tags => [ 'x' ] })
   ->{uuid}, $u, 'uuid normalised');
call(409, 'post', '/sensors', undef, body => { uuid => uc $u });
call(200, 'get', '/sensors', undef);
call(200, 'get', '/sensors', 'sensors?limit=1&sort=-name&state=registered');
call(200, 'get', '/sensors/export');
call(200, 'post', '/sensors/import', undef,
     body => "{\"uuid\":\"$v\"}\nnonsense\n",
     headers => { 'Content-Type' => 'application/x-ndjson' });
call(200, 'post', '/sensors/bulk/register', undef,
     body => { sensors => [ { name => 'a' }, { uuid => $u } ] });
call(200, 'post', '/sensors/bulk/approve', undef, body => { uuids => [ $u ] });
call(200, 'post', '/sensors/bulk/tag', undef,
     body => { uuids => [ $u ], add => [ 'y' ], remove => [ 'x' ] });
call(200, 'get', '/sensors/monitoring/errors');
call(200, 'get', '/sensors/{uuid}', "sensors/$u");
call(404, 'get', '/sensors/{uuid}', "sensors/$none");
call(200, 'patch', '/sensors/{uuid}', "sensors/$u",
     body => { group => 'g', stream_limit => 10, monitoring_delay => undef });
call(404, 'patch', '/sensors/{uuid}', "sensors/$none", body => {});

my $sensor = $t->sensor;
$sensor->send('x');
$t->wait_stored($sensor->{uuid}, 1);

my $s = "sensors/$sensor->{uuid}";

ok(poll_until(10, sub {
    @{ $t->request('GET', "$s/addresses")->{json}{addresses} }
}), 'statistics were written');

is(@{ call(200, 'get', '/sensors/{uuid}/sessions', "$s/sessions")->{sessions} },
   1, 'a session');
call(200, 'get', '/sensors/{uuid}/types', "$s/types");
call(200, 'get', '/sensors/{uuid}/stats', "$s/stats");
is(@{ call(200, 'get', '/sensors/{uuid}/addresses', "$s/addresses")
      ->{addresses} }, 1, 'an address');
call(200, 'get', '/sensors/{uuid}', $s);
call(200, 'post', '/sensors/{uuid}/kick', "$s/kick");
call(409, 'post', '/sensors/{uuid}/kick', "sensors/$u/kick");
$sensor->drop;

call(404, 'get', '/sensors/{uuid}/files', "$s/files");
$t->{d4} .= ' data files;';
$t->reload(gone => 15);
$t->{agent} = undef;
call(200, 'get', '/sensors/{uuid}/files', "$s/files");
call(200, 'put', '/sensors/{uuid}/key', "sensors/$u/key");
call(200, 'put', '/sensors/{uuid}/key', "sensors/$u/key",
     body => { hmac_key => 'k' });
call(404, 'put', '/sensors/{uuid}/key', "sensors/$none/key");
call(200, 'delete', '/sensors/{uuid}/key', "sensors/$u/key");
call(404, 'delete', '/sensors/{uuid}/key', "sensors/$none/key");
call(200, 'post', '/sensors/{uuid}/block', "sensors/$u/block");
call(200, 'delete', '/sensors/{uuid}/block', "sensors/$u/block");
call(200, 'post', '/add/sensor/register', undef, as => 'sensor_register',
     body => { uuid => $none, hmac_key => 'k' });
call(409, 'post', '/add/sensor/register', undef,
     body => { uuid => $none, hmac_key => 'k' });
is(@{ call(200, 'get', '/pending')->{sensors} }, 1, 'one is pending');
call(200, 'delete', '/pending/{uuid}', "pending/$none");
call(404, 'delete', '/pending/{uuid}', "pending/$none");
call(200, 'post', '/sensors/{uuid}/approve', "sensors/$none/approve");
call(200, 'delete', '/sensors/{uuid}', "sensors/$none");
call(404, 'delete', '/sensors/{uuid}', "sensors/$none");

call(200, 'get', '/types');
call(200, 'put', '/types/{type}', 'types/9');
call(200, 'delete', '/types/{type}', 'types/9');
call(404, 'delete', '/types/{type}', 'types/9');
call(200, 'get', '/extended-types');
call(200, 'put', '/extended-types/{name}', 'extended-types/mine');
call(200, 'delete', '/extended-types/{name}', 'extended-types/mine');
call(404, 'delete', '/extended-types/{name}', 'extended-types/mine');

call(200, 'put', '/blocklist/addresses/{network}',
     'blocklist/addresses/192.0.2.0/24');
call(200, 'post', '/blocklist/addresses', undef,
     body => { addresses => [ '192.0.2.1', '2001:db8::/32' ] });
call(200, 'get', '/blocklist/addresses');
call(200, 'delete', '/blocklist/addresses/{network}',
     'blocklist/addresses/192.0.2.0%2F24');
call(404, 'delete', '/blocklist/addresses/{network}',
     'blocklist/addresses/192.0.2.0/24');

for my $list (qw(uuids addresses-by-uuid)) {
    call(200, 'put', "/blocklist/$list/{uuid}", "blocklist/$list/$none");
    call(200, 'get', "/blocklist/$list");
    call(200, 'delete', "/blocklist/$list/{uuid}", "blocklist/$list/$none");
    call(404, 'delete', "/blocklist/$list/{uuid}", "blocklist/$list/$none");
}

my $q = call(201, 'post', '/queues', undef, body => { type => 8 })->{id};
my $g = call(201, 'post', '/queues', undef,
             body => { extended_type => 'ja3-jl', sensors => [ $u ],
                       element => 'line' })->{id};
call(409, 'post', '/queues', undef, body => { type => 8, id => $q });
$t->db('queues')->cmd('LPUSH', "analyzer:8:$q", 'a line', "\xff\x00");
call(200, 'get', '/queues');
call(200, 'get', '/queues/{id}', "queues/$g");
call(404, 'get', '/queues/{id}', 'queues/nothing');
call(200, 'patch', '/queues/{id}', "queues/$g",
     body => { sensors => [ $v ], description => 'd' });
call(404, 'patch', '/queues/{id}', 'queues/nothing', body => {});
call(409, 'patch', '/queues/{id}', "queues/$q", body => { sensors => [ $v ] });
is(@{ call(200, 'get', '/queues/{id}/sample', "queues/$q/sample")
      ->{elements} }, 2, 'a sample');
call(404, 'get', '/queues/{id}/sample', 'queues/nothing/sample');
call(200, 'post', '/queues/{id}/empty', "queues/$q/empty");
call(404, 'post', '/queues/{id}/empty', 'queues/nothing/empty');
call(200, 'delete', '/queues/{id}', "queues/$_") for $q, $g;
call(404, 'delete', '/queues/{id}', "queues/$q");

call(200, 'get', '/stats', "stats?by=$_") for qw(type sensor address);
call(200, 'get', '/stats', "stats?sensor=$sensor->{uuid}&by=$_")
    for qw(type address);
call(200, 'get', '/refusals');
call(200, 'get', '/refusals/days');
call(200, 'get', '/monitoring');
call(200, 'get', '/me');
call(200, 'get', '/server');
call(200, 'get', '/audit');
call(200, 'get', '/openapi.json', undef, as => undef);

my $mail = 'new@example.org';

call(201, 'post', '/users', undef,
     body => { email => $mail, role => 'admin', password => 'Password12' });
call(409, 'post', '/users', undef, body => { email => $mail, role => 'user' });
call(200, 'get', '/users');
call(200, 'get', '/users/{email}', "users/$mail");
call(404, 'get', '/users/{email}', 'users/no@example.org');
call(200, 'patch', '/users/{email}', "users/$mail", body => { role => 'user' });
call(404, 'patch', '/users/{email}', 'users/no@example.org', body => {});
call(409, 'patch', '/users/{email}', 'users/admin@example.org',
     body => { role => 'user' });
call(409, 'delete', '/users/{email}', 'users/admin@example.org');
my $id = call(201, 'post', '/users/{email}/tokens', "users/$mail/tokens",
              body => { name => 'n', role => 'viewer' })->{id};
call(404, 'post', '/users/{email}/tokens', 'users/no@example.org/tokens',
     body => { name => 'n' });
call(200, 'get', '/users/{email}/tokens', "users/$mail/tokens");
call(404, 'get', '/users/{email}/tokens', 'users/no@example.org/tokens');
call(200, 'delete', '/users/{email}/tokens/{id}', "users/$mail/tokens/$id");
call(404, 'delete', '/users/{email}/tokens/{id}', "users/$mail/tokens/$id");
publish($mail);
call(200, 'delete', '/users/{email}/tokens/published',
     "users/$mail/tokens/published");
call(404, 'delete', '/users/{email}/tokens/published',
     "users/$mail/tokens/published");

$id = call(201, 'post', '/tokens', undef, body => { name => 'n' })->{id};
call(200, 'get', '/tokens');
call(200, 'delete', '/tokens/{id}', "tokens/$id");
call(404, 'delete', '/tokens/{id}', "tokens/$id");
publish('admin@example.org');
call(200, 'delete', '/tokens/published');
call(404, 'delete', '/tokens/published');

for my $who ([ '/users/{email}/tokens', "users/$mail/tokens", $mail ],
             [ '/tokens', undef, 'admin@example.org' ])
{
    my @many = map { "hash$_" } 1 .. 100;

    $t->db('users')->cmd('SADD', "d4:tokens:$who->[2]", @many);
    $t->db('users')->cmd('HSET', "d4:token:$_", 'email', $who->[2],
                         'created', 1) for @many;
    call(409, 'post', $who->[0], $who->[1], body => { name => 'n' });
    $t->db('users')->cmd('SREM', "d4:tokens:$who->[2]", @many);
}

call(200, 'post', '/login', undef, as => undef,
     body => { email => $mail, password => 'Password12' });
call(401, 'post', '/login', undef, as => undef,
     body => { email => $mail, password => 'Password13' });
$t->db('cache')->cmd('SET', 'failed_login_ip_api:127.0.0.1', 5);
call(429, 'post', '/login', undef, as => undef,
     body => { email => $mail, password => 'Password12' });
forget_failures();
call(200, 'post', '/logout');
$t->db('users')->cmd('HSET', 'user:all', 'admin@example.org',
                     $t->db('users')->cmd('HGET', 'user:all', $mail));
call(200, 'put', '/me/password', undef,
     body => { old => 'Password12', new => 'Password34' });
call(404, 'delete', '/users/{email}', 'users/no@example.org');
call(200, 'delete', '/users/{email}', "users/$mail");


sub publish {
    my ($email) = @_;

    $t->db('users')->cmd('HSET', 'user:tokens', 'x' x 41, $email);
    $t->db('users')->cmd('HSET', "user_metadata:$email", 'token', 'x' x 41);
}


# What all of them have in common.

my @operations = map {
    my $path = $_;
    map { [ $_, $path ] } grep { $_ ne 'parameters' }
        sort keys %{ $api->{paths}{$path} }
} sort keys %{ $api->{paths} };

$q = $t->ok(201, 'POST', 'queues', body => { type => 8 })->{id};

my %at = (uuid => $u, type => 9, name => 'x', network => '192.0.2.9',
          id => $q, email => 'user@example.org');

my %may = (
    admin           => { any => 1, admin => 1, user => 1, viewer => 1,
                         sensor_register => 1 },
    user            => { any => 1, user => 1, viewer => 1,
                         sensor_register => 1 },
    viewer          => { any => 1, viewer => 1 },
    sensor_register => { any => 1, sensor_register => 1 },
);

sub at { return substr($_[0], 1) =~ s/\{(\w+)\}/$at{$1}/gr }

sub body_of {
    my ($op, $text, $type) = @_;

    return if !$op->{requestBody};
    return (body => $text, headers => { 'Content-Type' => $type });
}

sub forget_failures {
    $t->db('cache')->cmd('DEL', 'failed_login_ip_api:127.0.0.1');
}

for (@operations) {
    my ($method, $path) = @$_;
    my $op = $api->{paths}{$path}{$method};
    my $at = at($path);
    my $role = $op->{'x-role'};
    my ($type) = $op->{requestBody} ? keys %{ $op->{requestBody}{content} }
                                    : ();
    my @json = body_of($op, '{}', $type // '');

    call(400, $method, $path, "$at?nonsense=1", @json);

    if ($role) {
        forget_failures();
        call(401, $method, $path, $at, as => undef);

        my $token = $t->{token}{wrong} = 'y' x 41;
        call(401, $method, $path, $at, as => 'wrong');
        $t->db('cache')->cmd('SET', 'failed_login_ip_api:127.0.0.1', 5);
        call(429, $method, $path, $at, as => 'wrong');

        for my $who (sort keys %may) {
            if ($may{$who}{$role}) {
                my $r = $t->request(uc $method, "$at?nonsense=1", @json,
                                    as => $who);
                is($r->{status}, 400, "$who may \U$method\E $path");

            } else {
                call(403, $method, $path, $at, as => $who, @json);
            }
        }

        if ($role eq 'any') {
            my $r = $t->raw("\U$method\E /api/v1/$at HTTP/1.0\r\n"
                            . "Cookie: d4_session=x\r\n\r\n");
            like($r, qr/^HTTP\/1.1 401 /, 'no cookie of ours');
        }
    }

    # none of ours, and nothing has it

    call(412, $method, $path, $at, headers => {
        'If-Match' => '"x"', $type ? ('Content-Type' => $type) : () },
        $type ? (body => '{}') : ());

    if ($op->{requestBody}) {
        call(415, $method, $path, $at, body_of($op, '{}', 'text/plain'));

        if ($type eq 'application/json') {
            call(400, $method, $path, $at, body_of($op, '{', $type));
            call(400, $method, $path, $at,
                 body_of($op, '{"no_such_field":1}', $type));
            call(413, $method, $path, $at,
                 body_of($op, '{"x":"' . 'x' x 1100000 . '"}', $type));
        }
    }
}

forget_failures();

for my $path (sort keys %{ $api->{paths} }) {
    my %known = map { uc $_ => 1 } keys %{ $api->{paths}{$path} };
    my $allow = join ', ', map { $_ eq 'GET' ? 'GET, HEAD' : $_ }
        grep { $known{$_} } qw(GET POST PUT PATCH DELETE);

    for my $method (grep { !$known{$_} } qw(GET POST PUT PATCH DELETE)) {
        my $r = $t->request($method, at($path));

        # tokens/published is also a token's id

        next if $path =~ /published$|\{uuid\}$/ && $r->{status} != 405;
        next if $path =~ m{^/sensors/(export|import)$} && $r->{status} != 405;

        is($r->{status}, 405, "$method $path");
        is($r->{headers}{allow}, $allow, "$method $path: Allow")
            if $path !~ m{published$|^/sensors/(export|import)$};
    }

    next if !$known{GET};

    my $get = $t->request('GET', at($path));
    my $head = $t->request('HEAD', at($path));

    is($head->{status}, $get->{status}, "HEAD $path");
    is($head->{content} // '', '', "HEAD $path: nothing follows");
}


# A login that may not do something from elsewhere.

{
    $t->ok(201, 'POST', 'users', body => { email => $mail, role => 'admin',
                                           password => 'Password12' });
    my $r = $t->request('POST', 'login', as => undef,
                        body => { email => $mail, password => 'Password12' });
    my ($cookie) = $r->{headers}{'set-cookie'} =~ /^(d4_session=[^;]+)/;

    for (@operations) {
        my ($method, $path) = @$_;
        my $op = $api->{paths}{$path}{$method};

        next if !$op->{'x-role'} || $method eq 'get';

        call(403, $method, $path, at($path), as => undef,
             headers => { Cookie => $cookie,
                          Origin => 'http://elsewhere.example' });
    }
}

# Without TLS from another machine.

for (@operations) {
    my ($method, $path) = @$_;

    next if !$api->{paths}{$path}{$method}{responses}{403};

    call(403, $method, $path, at($path),
         headers => { 'X-Real-IP' => '192.0.2.7' });
}


# Without Redis.

$t->{agent} = undef;
$t->redis_stop;

ok(poll_until(10, sub { $t->request('GET', 'me')->{status} == 503 }),
   'Redis is away');

for (@operations) {
    my ($method, $path) = @$_;
    my $op = $api->{paths}{$path}{$method};

    next if !$op->{responses}{503};

    call(503, $method, $path, at($path), $op->{'x-role'} ? () : (
         body => { email => $mail, password => 'x' }));
}

is($t->request('GET', 'me')->{headers}{'retry-after'}, 1, 'Retry-After');

my $health = $t->request('GET', '/health');
is($health->{status}, 503, '/health without Redis');
is(@{ $health->{json}{reasons} }, 5, 'with the reasons');
like($t->request('GET', '/metrics')->{content},
     qr/^d4_redis_up\{role="users"\} 0$/m, '/metrics without Redis');

$t->redis_start;


# Nothing that is described was left out.

for (@operations) {
    my ($method, $path) = @$_;

    for my $status (sort keys %{ $api->{paths}{$path}{$method}{responses} }) {
        ok($seen{"$method $path $status"}, "met: \U$method\E $path $status");
    }
}

$t->finish;
done_testing();

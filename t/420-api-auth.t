# Who may come in: tokens of both kinds, logins, attacks on them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Api;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $t = D4::Api->new(
    workers => 2,
    http => 'set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP;',
)->start;
my ($users, $cache) = map { $t->db($_) } qw(users cache);


# Forms of a token.

for my $form ('%s', 'Bearer %s', 'bearer %s', ' %s ', 'Bearer  %s') {
    my $r = $t->request('GET', 'me', as => undef, headers => {
        Authorization => sprintf($form, $t->{token}{viewer}) });
    is($r->{status}, 200, "Authorization: $form");
    is_deeply($r->{json}, { email => 'viewer@example.org', role => 'viewer',
                            by => 'token' }, 'who it is');
}

is($t->request('GET', 'me', as => undef, headers => {
    'X-Auth-Token' => $t->{token}{user} })->{status}, 200, 'X-Auth-Token');

for my $wrong ('', 'Bearer', 'x', 'd4_', 'd4_' . 'a' x 43,
               'd4_' . 'a' x 44, 'a' x 41, 'a' x 100, 'a' x 5000,
               "d4_*", $t->{token}{admin} . 'x', substr($t->{token}{admin}, 1))
{
    $cache->cmd('FLUSHDB');
    my $r = $t->request('GET', 'me', as => undef,
                        headers => { Authorization => $wrong });
    is($r->{status}, 401, 'refused: ' . substr($wrong, 0, 12));
    is($r->{headers}{'www-authenticate'}, 'Bearer realm="d4"', 'how to');
}

$cache->cmd('FLUSHDB');

like($t->raw("GET /api/v1/me HTTP/1.0\r\nAuthorization: d4_" . $_ x 43
             . "\r\n\r\n"), qr/^HTTP\/1.1 401 /, 'bytes that are no text')
    for "\xff", "\x01", "\t", '*';

$cache->cmd('FLUSHDB');


# The published server's users and tokens, as they lie.

my $old = 'Abc-_' . 'x1' x 18;

$users->cmd('HSET', 'user:all', 'old@test', '$2b$12$' . 'x' x 53);
$users->cmd('HSET', 'user:tokens', $old, 'old@test');
$users->cmd('HSET', 'user_metadata:old@test', 'token', $old, 'role', 'user',
            'change_passwd', 'True');
$users->cmd('SADD', "user_role:$_", 'old@test') for qw(user sensor_register);

$t->{token}{old} = $old;
is($t->ok(200, 'GET', 'me', as => 'old')->{role}, 'user',
   'a published token');
is($users->cmd('HGET', 'user:tokens', $old), 'old@test', 'is left as it was');
is($t->ok(200, 'GET', 'users/old@test')->{published_token}, JSON::PP::true(),
   'is told of');
$t->ok(200, 'DELETE', 'users/old@test/tokens/published');
$t->ok(401, 'GET', 'me', as => 'old');
$cache->cmd('FLUSHDB');


# Tokens of ours: hashed, named, scoped, limited in time.

{
    my $new = $t->ok(201, 'POST', 'tokens',
                     body => { name => 'for reading', role => 'viewer' });
    my $all = join ' ', map { "@{[ $users->cmd('HGETALL', $_) ]} $_" }
        $users->keys('d4:token:*');

    unlike($all, qr/\Q$new->{token}/, 'a token is not kept');
    like($all, qr/for reading/, 'its name is');

    $t->{token}{narrow} = $new->{token};
    is($t->ok(200, 'GET', 'me', as => 'narrow')->{role}, 'viewer',
       'an administrator with a narrow token');
    $t->ok(200, 'GET', 'sensors', as => 'narrow');
    $t->ok(403, 'PUT', 'types/3', as => 'narrow');
    $t->ok(403, 'GET', 'users', as => 'narrow');
    $t->ok(403, 'POST', 'tokens', as => 'narrow',
           body => { name => 'x', role => 'admin' });
    $t->ok(403, 'DELETE', "tokens/$new->{id}", as => 'narrow');

    $t->ok(200, 'DELETE', "tokens/$new->{id}");
    $t->ok(401, 'GET', 'me', as => 'narrow');
    $cache->cmd('FLUSHDB');

    $t->ok(403, 'POST', 'tokens', as => 'user',
           body => { name => 'x', role => 'admin' });
    $t->ok(400, 'POST', 'tokens', body => { name => 'x', expires => 1 });

    my $short = $t->ok(201, 'POST', 'tokens',
                       body => { name => 's', expires => int(time()) + 2 });
    $t->{token}{short} = $short->{token};
    $t->ok(200, 'GET', 'me', as => 'short');
    ok(poll_until(6, sub {
        $t->request('GET', 'me', as => 'short')->{status} == 401
    }), 'a token expires');
    $cache->cmd('FLUSHDB');
}


# A token that was used for reading a moment ago and is deleted, in another
# worker or by another program: soon nothing, and never a change.

{
    my $new = $t->ok(201, 'POST', 'tokens', body => { name => 'gone soon' });

    $t->{token}{gone} = $new->{token};

    # on one connection, so that it is one worker that has seen it

    my $agent = HTTP::Tiny->new(keep_alive => 1, timeout => 30);

    is($t->request('GET', 'sensors', as => 'gone', agent => $agent)->{status},
       200, 'it reads');

    my ($key) = grep { $users->cmd('HGET', $_, 'name') eq 'gone soon' }
        $users->keys('d4:token:*');

    $users->cmd('DEL', $key);
    my $gone = time();

    is($t->request('PUT', 'types/3', as => 'gone', agent => $agent)->{status},
       401, 'no change');
    ok(poll_until(10, sub {
        $t->request('GET', 'sensors', as => 'gone', agent => $agent)->{status}
            =~ /^4/
    }), 'then nothing at all');
    note(sprintf 'after %.1f s', time() - $gone);
    $cache->cmd('FLUSHDB');

    # one of a user whose role is another by the API: at once, in that worker

    my $mail = 'second@example.org';

    $t->user('user', $mail);
    my $second = delete $t->{token}{user};
    $t->user('user');
    $t->{token}{second} = $second;

    is($t->request('GET', 'sensors', as => 'second', agent => $agent)
       ->{status}, 200, 'a user reads');
    $t->ok(200, 'PATCH', "users/$mail", agent => $agent,
           body => { role => 'sensor_register' });
    is($t->request('GET', 'sensors', as => 'second', agent => $agent)
       ->{status}, 403, 'and is none any more');
    $t->ok(200, 'DELETE', "users/$mail", agent => $agent);
    is($t->request('GET', 'sensors', as => 'second', agent => $agent)
       ->{status}, 401, 'and is gone');
    $cache->cmd('FLUSHDB');
}


# Failures are limited by address; valid tokens are not locked out.

{
    my @status = map {
        $t->request('GET', 'me', as => undef,
                    headers => { Authorization => 'z' x 41 })->{status}
    } 1 .. 8;

    is("@status", '401 401 401 401 401 429 429 429', 'limited after five');
    $t->ok(200, 'GET', 'me', name => 'a valid token all the while');

    my $r = $t->request('POST', 'login', as => undef,
                        body => { email => 'a@b', password => 'x' });
    is($r->{status}, 429, 'no login from there either');
    cmp_ok($r->{headers}{'retry-after'}, '>', 200, 'Retry-After');

    is($t->request('GET', 'me', as => undef, headers => {
        'X-Real-IP' => '127.0.0.2', Authorization => 'z' x 41 })->{status},
       401, 'another address is not limited');
    $cache->cmd('FLUSHDB');

    # of IPv6, the whole /64 is one

    @status = map {
        my $out = `curl -s -k -o /dev/null -w '%{http_code}' \\
            -H 'X-Real-IP: 2001:db8::$_' -H 'Authorization: wrong' \\
            https://127.0.0.1:$t->{https_port}/api/v1/me`;
        $out;
    } 1 .. 6;
    is("@status", '401 401 401 401 401 429', 'of IPv6 a /64 is one address');

    is($t->request('GET', 'me', headers => { 'X-Real-IP' => '192.0.2.1' })
       ->{status}, 403, 'without TLS from elsewhere: refused');
}


# Logins.

my $mail = 'new@example.org';

$t->ok(201, 'POST', 'users', body => { email => $mail, role => 'user',
                                       password => 'Password12' });
like($users->cmd('HGET', 'user:all', $mail), qr/^\$2b\$12\$.{53}$/, 'bcrypt');
is(join(' ', sort map { $_->[0] } grep { $_->[1] } map {
    [ $_, $users->cmd('SISMEMBER', "user_role:$_", $mail) ]
} qw(admin user viewer sensor_register)), 'sensor_register user',
   'roles as published');

sub login {
    my ($password, %headers) = @_;

    return $t->request('POST', 'login', as => undef, headers => \%headers,
                       body => { email => $mail, password => $password });
}

sub cookie {
    return $_[0]{headers}{'set-cookie'} =~ /^(d4_session=[^;]*)/ ? $1 : '';
}

sub with {
    my ($cookie, $method, $path, %opt) = @_;

    return $t->request($method, $path, as => undef, %opt, headers => {
        Cookie => $cookie, %{ $opt{headers} || {} } });
}

my $here = { Origin => "http://127.0.0.1:$t->{http_port}" };

{
    my $r = login('Password12');

    is($r->{status}, 200, 'login');
    like($r->{headers}{'set-cookie'}, qr{^d4_session=d4_[\w-]{43};\ Path=/;
         \ Max-Age=43200;\ HttpOnly;\ SameSite=Strict$}x, 'the cookie');

    my $cookie = cookie($r);
    my ($secret) = $cookie =~ /=(.*)/;

    unlike(join(' ', map { "$_ @{[ $cache->cmd('HGETALL', $_) ]}" }
                $cache->keys('d4:login:*')), qr/\Q$secret/,
           'the cookie itself is not kept');

    is_deeply(with($cookie, 'GET', 'me')->{json},
              { email => $mail, role => 'user', by => 'login' },
              'the cookie is good');

    # changes need the same origin, and JSON

    for my $case (
        [ 403, {} ],
        [ 403, { Origin => 'http://elsewhere.example' } ],
        [ 403, { Origin => 'null' } ],
        [ 403, { Origin => "http://127.0.0.1:$t->{http_port}.evil" } ],
        [ 403, { Origin => "https://127.0.0.1" } ],
        [ 403, { 'Sec-Fetch-Site' => 'cross-site' } ],
        [ 403, { 'Sec-Fetch-Site' => 'same-site' } ],
        [ 415, $here ],
        [ 415, { %$here, 'Content-Type' => 'text/plain' } ],
        [ 415, { %$here, 'Content-Type' =>
                         'application/x-www-form-urlencoded' } ],
        [ 200, { %$here, 'Content-Type' => 'application/json' } ],
        [ 200, { 'Sec-Fetch-Site' => 'same-origin',
                 'Content-Type' => 'application/json' } ],
    ) {
        my ($status, $headers) = @$case;
        my $r = with($cookie, 'PUT', 'types/3', headers => $headers);
        is($r->{status}, $status,
           join(' ', 'a change with', map { "$_: $headers->{$_}" }
                                      sort keys %$headers));
    }

    # a login from a page of another site, or one fixed beforehand

    my $again = cookie(login('Password12', Cookie => $cookie));
    isnt($again, $cookie, 'a login never keeps a cookie');
    is(with($cookie, 'GET', 'me')->{status}, 401, 'the former one is void');

    my $fixed = 'd4_session=d4_' . 'f' x 43;
    isnt(cookie(login('Password12', Cookie => $fixed)), $fixed,
         'a cookie that was planted is not taken');
    is(with($fixed, 'GET', 'me')->{status}, 401, 'and not good');

    # shared by workers, kept over a reload

    $t->reload(gone => 15);
    $t->{agent} = undef;
    is_deeply([ map { $t->{agent} = undef; with($again, 'GET', 'me')->{status} }
                1 .. 12 ], [ (200) x 12 ],
              'a login survives a reload, in each worker');

    # logout

    my $out = with($again, 'POST', 'logout',
                   headers => { %$here, 'Content-Type' => 'application/json' });
    is($out->{status}, 200, 'logout');
    like($out->{headers}{'set-cookie'}, qr/^d4_session=; .*Max-Age=0;/,
         'the cookie is taken back');
    is(with($again, 'GET', 'me')->{status}, 401, 'a cookie after logout');

    # another password ends logins

    my $one = cookie(login('Password12'));
    is(with($one, 'GET', 'me')->{status}, 200, 'logged in again');
    is(with($one, 'PUT', 'me/password', headers => $here,
            body => { old => 'Password12', new => 'short' })->{status}, 400,
       'a weak password');
    is(with($one, 'PUT', 'me/password', headers => $here,
            body => { old => 'Wrong12345', new => 'Password34' })->{status},
       401, 'the old one is needed');
    is(with($one, 'PUT', 'me/password', headers => $here,
            body => { old => 'Password12', new => 'Password34' })->{status},
       200, 'another password');
    is(with($one, 'GET', 'me')->{status}, 401, 'the login is over');
    is(login('Password12')->{status}, 401, 'the old password');

    # a user who is gone

    $one = cookie(login('Password34'));
    $t->ok(200, 'DELETE', "users/$mail");
    is(with($one, 'GET', 'me')->{status}, 401, 'a deleted user');
    is(login('Password34')->{status}, 401, 'cannot log in');
    $cache->cmd('FLUSHDB');
}

# over TLS the cookie says so

{
    $t->ok(201, 'POST', 'users', body => { email => $mail, role => 'viewer',
                                           password => 'Password12' });
    my $out = `curl -s -k -i --http2 -H 'Content-Type: application/json' \\
        -d '{"email":"$mail","password":"Password12"}' \\
        https://127.0.0.1:$t->{https_port}/api/v1/login`;
    like($out, qr/^HTTP\/2 200/, 'HTTP/2');
    like($out, qr/^set-cookie: d4_session=.*; SameSite=Strict; Secure\r$/m,
         'Secure');
}

# whatever a table holds that is no bcrypt lets nobody in

for my $hash ('', '*', 'x', '$1$a$b', '$2b$12$', 'Password12') {
    $users->cmd('HSET', 'user:all', $mail, $hash);
    is(login('Password12')->{status}, 401, "no login with \"$hash\"");
    is(login($hash || 'x')->{status}, 401, 'nor with itself');
    $cache->cmd('FLUSHDB');
}

# who only registers sensors does not log in

$t->ok(201, 'POST', 'users', body => { email => 'r@e', password => 'Password12',
                                       role => 'sensor_register' });
is($t->request('POST', 'login', as => undef,
               body => { email => 'r@e', password => 'Password12' })
   ->{status}, 401, 'sensor_register: no login');
$cache->cmd('FLUSHDB');


# JSON that is not good.

for my $case (
    [ 'not an object', '[]' ], [ 'a string', '"x"' ], [ 'nothing', '' ],
    [ 'two', '{}{}' ], [ 'cut', '{"name":"x"' ], [ 'a comma', '{"name":"x",}' ],
    [ 'single quotes', "{'name':'x'}" ],
    [ 'duplicate keys', '{"name":"a","name":"b"}' ],
    [ 'invalid UTF-8', "{\"name\":\"\xff\"}" ],
    [ 'overlong UTF-8', "{\"name\":\"\xc0\x80\"}" ],
    [ 'a surrogate', '{"name":"\\ud800"}' ],
    [ 'NUL', '{"name":"a\\u0000b"}' ],
    [ 'a control character', '{"name":"a\\u0001b"}' ],
    [ 'deep', '{"name":' . '[' x 3000 . ']' x 3000 . '}' ],
    [ 'wide', '{"tags":[' . '0,' x 300000 . '0]}' ],
    [ 'a number', '{"name":1}' ], [ 'null', '{"hmac_key":null}' ],
    [ 'an object', '{"name":{}}' ], [ 'large number', '{"stream_limit":1e300}' ],
    [ 'larger number', '{"stream_limit":' . '9' x 400 . '}' ],
    [ 'negative', '{"stream_limit":-1}' ], [ 'fraction', '{"stream_limit":1.5}' ],
    [ 'a comma in a tag', '{"tags":["a,b"]}' ],
    [ 'a uuid that is none', '{"uuid":"x"}' ],
    [ 'a uuid of version 1', '{"uuid":"01234567-89ab-1def-8123-456789abcdef"}' ],
    [ 'a long name', '{"name":"' . 'x' x 101 . '"}' ],
    [ 'an empty key', '{"hmac_key":""}' ],
) {
    my ($name, $body) = @$case;
    $t->ok(400, 'POST', 'sensors', body => $body, name => $name);
}

for my $path ("sensors/x", "sensors/" . 'a' x 32, "sensors/%00",
              "sensors?limit=0", "sensors?limit=x", "sensors?limit=1001",
              "sensors?sort=x", "sensors?next=x", "sensors?next=",
              "sensors?limit=1&limit=2", "sensors?limit=%zz", "sensors?a=b",
              "sensors?name=%01", "sensors?sort=seen&next=eA",
              "stats?from=2026-02-30", "stats?from=x", "stats?to=20261301",
              "stats?from=20260101&to=20250101", "stats?from=19990101",
              "refusals?next=x", "refusals?next=1-", "types?x",
              "sensors/$$/sessions")
{
    my $r = $t->request('GET', $path);
    ok($r->{status} == 400 || $path =~ /%00/ && $r->{status} == 404,
       "GET $path: 400") || diag($r->{status});
}

for my $path ('blocklist/addresses/1.2.3', 'blocklist/addresses/1.2.3.4/33',
              'blocklist/addresses/::/129', 'blocklist/addresses/x',
              'blocklist/addresses/1.2.3.4/x', 'blocklist/addresses/1.2.3.4/',
              'blocklist/uuids/x', 'types/0', 'types/255', 'types/x',
              'types/1x', 'extended-types/a%20b', 'extended-types/..%2f',
              'extended-types/.x')
{
    my $r = $t->request('PUT', $path);
    ok($r->{status} =~ /^40[04]$/, "PUT $path: $r->{status}");
}

is_deeply([ $t->db('metadata')->members('blacklist_ip') ], [],
          'nothing of it was done');


# Headers that are too large, bodies that are not what they say.

like($t->raw("GET /api/v1/me HTTP/1.0\r\nAuthorization: " . 'x' x 100000
             . "\r\n\r\n"), qr/^HTTP\/1.1 4/, 'a huge header');
like($t->raw("POST /api/v1/sensors HTTP/1.1\r\nHost: x\r\n"
             . "Authorization: $t->{token}{admin}\r\nConnection: close\r\n"
             . "Content-Type: application/json\r\n"
             . "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
     qr/^HTTP\/1.1 201 /, 'a chunked body');
like($t->raw("POST /api/v1/sensors HTTP/1.1\r\nHost: x\r\n"
             . "Authorization: $t->{token}{admin}\r\nConnection: close\r\n"
             . "Content-Type: application/json\r\n"
             . "Transfer-Encoding: chunked\r\n\r\n"
             . sprintf("%x\r\n%s\r\n", 1200000, ' ' x 1200000)
             . "0\r\n\r\n"), qr/^HTTP\/1.1 413 /, 'a long chunked body');


# The audit log: who, what, from where, and no secrets.

{
    my @entries = @{ $t->ok(200, 'GET', 'audit?limit=1000')->{entries} };
    my ($entry) = grep { $_->{target} eq "/api/v1/users/$mail" } @entries;

    is_deeply([ @$entry{qw(user action status address)} ],
              [ 'admin@example.org', 'DELETE', 200, '127.0.0.1' ],
              'an entry of the audit log');
    ok(scalar(grep { $_->{status} == 401 && $_->{target} =~ /login/ }
              @entries), 'failed logins, too');
    ok(scalar($t->log_lines(qr/d4 audit: user: admin\@example.org, action: DELETE, target: \/api\/v1\/users\/\Q$mail\E, status: 200.*client: 127\.0\.0\.1/)),
       'in the log');
    unlike(D4::Proc::slurp("$t->{dir}/logs/error.log"),
           qr/Password12|\Q$t->{token}{admin}/, 'no secret in the log');
}

$t->finish;
done_testing();

# If-Match and If-None-Match where something is changed: what is not in that
# state stays as it is, whoever else changes it at the same moment.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Api;
use D4::Test;
use Test::More;

my $t = D4::Api->new(workers => 2)->start;
my $metadata = $t->db('metadata');


sub tag { return $t->request('GET', $_[0])->{headers}{etag} }

sub change {
    my ($status, $method, $path, $field, $value, %opt) = @_;

    my $name = delete $opt{name} // "$method $path, $field: $value";

    return $t->ok($status, $method, $path, %opt, name => "$name: $status",
                  headers => { $field => $value });
}

sub if_match { my ($status, $tag, $method, $path, %opt) = @_;
               return change($status, $method, $path, 'If-Match', $tag, %opt) }

sub name_of { return $t->request('GET', $_[0])->{json}{name} }


# A sensor: the tag of now, one of before, several, weak ones, none.

my $u = new_uuid();
my $s = "sensors/$u";

$t->ok(201, 'POST', 'sensors', body => { uuid => $u, name => 'a' });

my $old = tag($s);
my $r = $t->request('PATCH', $s, body => { name => 'b' },
                    headers => { 'If-Match' => $old });

is($r->{status}, 200, 'in the state that was read');
is($r->{headers}{etag}, tag($s), 'the answer to the change has the tag of now');
isnt($r->{headers}{etag}, $old, 'which is another');

if_match(412, $old, 'PATCH', $s, body => { name => 'c' });
is(name_of($s), 'b', 'nothing was changed');
if_match(412, $old, 'DELETE', $s);
if_match(412, $old, 'POST', "$s/block");
if_match(412, $old, 'PUT', "$s/key");
if_match(412, $old, 'DELETE', "$s/key");
if_match(412, $old, 'POST', "$s/approve");
if_match(412, $old, 'POST', "$s/kick");
ok(!$metadata->cmd('SISMEMBER', 'blacklist_uuid', $u), 'nor blocked');

my $now = tag($s);

if_match(412, $_, 'PATCH', $s, body => { name => 'c' })
    for '"x"', 'x', '""', '"', ',', "W/$now", uc $now, "$now" =~ tr/"//dr,
        substr($now, 0, 17) . '"', join(', ', ($old) x 3);
is(name_of($s), 'b', 'nor by any of these');

if_match(200, "$old, W/\"x\",$now", 'PATCH', $s, body => { name => 'c' });
if_match(200, '*', 'PATCH', $s, body => { name => 'd' });
is(name_of($s), 'd', 'by one of several, by whatever is there');

if_match(412, '*', 'PATCH', 'sensors/' . new_uuid(), body => { name => 'x' });


# What is there, and what is not.

change(412, 'PATCH', $s, 'If-None-Match', '*', body => { name => 'x' });
change(412, 'PATCH', $s, 'If-None-Match', tag($s), body => { name => 'x' });
change(412, 'PATCH', $s, 'If-None-Match', 'W/' . tag($s),
       body => { name => 'x' });
change(200, 'PATCH', $s, 'If-None-Match', $old, body => { name => 'f' });
change(200, 'PATCH', $s, 'If-Unmodified-Since', 'Thu, 01 Jan 1970 00:00:01 GMT',
       body => { name => 'g' });
is(name_of($s), 'g', 'there are no dates to compare with');

for my $set ([ 'types', 99 ], [ 'extended-types', 'new' ],
             [ 'blocklist/addresses', '192.0.2.99' ],
             [ 'blocklist/addresses', '192.0.2.0/24' ],
             [ 'blocklist/uuids', $u ], [ 'blocklist/addresses-by-uuid', $u ])
{
    my $path = join '/', @$set;

    if_match(412, '*', 'PUT', $path);
    change(200, 'PUT', $path, 'If-None-Match', '*');
    change(412, 'PUT', $path, 'If-None-Match', '*');
    if_match(200, '*', 'PUT', $path);
    if_match(412, $old, 'PUT', $path);
    if_match(412, $old, 'DELETE', $path);
    if_match(200, '*', 'DELETE', $path);
}

$t->ok(200, 'DELETE', 'types/254');
if_match(412, '*', 'PUT', 'extended-types/newer');
ok(!$metadata->cmd('SISMEMBER', 'server:accepted_type', 254),
   'nothing of a change is made');
$t->ok(200, 'PUT', 'types/254');

# a list has nothing that a change could be compared with

my $list = tag('sensors');

if_match(412, $list, 'POST', 'sensors', body => { name => 'x' });
if_match(412, $list, 'POST', 'sensors/bulk/register',
         body => { sensors => [ {} ] });
is(tag('sensors'), $list, 'none was made');
if_match(201, '*', 'POST', 'sensors', body => { name => 'x' });


# What sensors do meanwhile is no change; every change is one.

my $sensor = $t->sensor;
my $p = "sensors/$sensor->{uuid}";

$now = tag($p);
$sensor->send('x');
$t->wait_stored($sensor->{uuid}, 1);
ok(poll_until(10, sub { $t->request('GET', $p)->{json}{last_seen} }),
   'it was seen');

isnt(tag($p), $now, 'the sensor looks otherwise');
is($t->request('GET', $p, headers => { 'If-None-Match' => $now })->{status},
   200, 'for who reads it');
if_match(200, $now, 'PATCH', $p, body => { description => 'x' });
$sensor->drop;

for my $do ([ 'PUT', "$s/key" ], [ 'DELETE', "$s/key" ],
            [ 'POST', "$s/block" ], [ 'DELETE', "$s/block" ],
            [ 'PATCH', $s, body => { tags => [ 'x', 'y' ] } ],
            [ 'PATCH', $s, body => { group => 'x' } ],
            [ 'PATCH', $s, body => { mail => 'x@example.org' } ],
            [ 'PATCH', $s, body => { stream_limit => 7 } ],
            [ 'PATCH', $s, body => { monitoring_delay => 70 } ],
            [ 'POST', 'sensors/bulk/tag',
              body => { uuids => [ $u ], add => [ 'z' ] } ],
            [ 'POST', 'sensors/import?update=true',
              headers => { 'Content-Type' => 'application/x-ndjson' },
              body => "{\"uuid\":\"$u\",\"hmac_key\":\"k\"}\n" ])
{
    my ($method, $path, @opt) = @$do;

    $now = tag($s);
    $t->ok(200, $method, $path, @opt);
    if_match(412, $now, 'PATCH', $s, body => { name => 'x' },
             name => "after $method $path " . join '', %{ $opt[1] || {} });
}

$now = tag($s);
if_match(200, $now, 'DELETE', $s);
if_match(412, $now, 'DELETE', $s);
$t->ok(404, 'DELETE', $s);

my $pending = new_uuid();
$t->ok(201, 'POST', 'sensors', as => 'sensor_register',
       body => { uuid => $pending });
$now = tag("sensors/$pending");
if_match(412, $old, 'DELETE', "pending/$pending");
if_match(200, $now, 'POST', "sensors/$pending/approve");
if_match(412, $now, 'DELETE', "sensors/$pending");


# Queues: as many sensors as before are others all the same.

my ($x, $y) = (new_uuid(), new_uuid());
my $q = 'queues/' . $t->ok(201, 'POST', 'queues',
                           body => { type => 8, sensors => [ $x ] })->{id};

$old = tag($q);
if_match(200, $old, 'PATCH', $q, body => { sensors => [ $y ] });
if_match(412, $old, 'PATCH', $q, body => { sensors => [ $x ] });
is_deeply($t->ok(200, 'GET', $q)->{sensors}, [ $y ], 'as the first said');

my ($key) = $q =~ s{^queues/}{analyzer:8:}r;
$t->db('queues')->cmd('LPUSH', $key, 'x');
if_match(412, $old, 'POST', "$q/empty");
is($t->db('queues')->cmd('LLEN', $key), 1, 'not emptied');
if_match(200, tag($q), 'POST', "$q/empty");
if_match(412, $old, 'DELETE', $q);
if_match(200, tag($q), 'DELETE', $q);
if_match(412, '*', 'DELETE', $q);


# Users: another password is a change, too.

my $m = 'users/new@example.org';
$t->ok(201, 'POST', 'users', body => { email => 'new@example.org',
                                       role => 'user',
                                       password => 'Password12' });
$old = tag($m);
if_match(200, $old, 'PATCH', $m, body => { password => 'Password34' });
if_match(412, $old, 'PATCH', $m, body => { role => 'admin' });
is($t->ok(200, 'GET', $m)->{role}, 'user', 'still a user');
if_match(200, tag($m), 'PATCH', $m, body => { role => 'viewer' });
if_match(412, $old, 'DELETE', $m);
if_match(200, tag($m), 'DELETE', $m);


# Reading.

{
    my $at = "sensors/$sensor->{uuid}";
    my $tag = tag($at);

    for my $method (qw(GET HEAD)) {
        is($t->request($method, $at, headers => { 'If-Match' => $tag })
           ->{status}, 200, "$method of what is there");
        is($t->request($method, $at, headers => { 'If-Match' => '"x"' })
           ->{status}, 412, "$method of what is not");
    }

    is($t->ok(412, 'GET', $at, headers => { 'If-Match' => '"x"' })->{status},
       'error', 'in JSON');
    $t->ok(412, 'GET', 'sensors/export', headers => { 'If-Match' => $tag });
    is($t->request('GET', 'sensors/export', headers => { 'If-Match' => '*' })
       ->{status}, 200, 'a stream');
}


# Many at once: of those that read the same state one makes its change.

for my $round (1 .. 5) {
    my $path = "sensors/$sensor->{uuid}";
    my $tag = tag($path);
    my $body = "{\"name\":\"$round %02d\"}";

    my @socks = map {
        $t->raw("PATCH /api/v1/$path HTTP/1.0\r\nIf-Match: $tag\r\n"
                . "Authorization: $t->{token}{admin}\r\nContent-Length: 15\r\n"
                . "Content-Type: application/json\r\n\r\n", keep => 1)
    } 1 .. 20;

    for my $i (0 .. $#socks) {
        print { $socks[$i] } sprintf $body, $i;
        $socks[$i]->flush;
    }

    my @answers = map { local $/; my $sock = $_; scalar <$sock> } @socks;
    my @won = grep { $answers[$_] =~ /^HTTP\/1.1 200 / } 0 .. $#answers;

    is(scalar @won, 1, 'one of twenty');
    is(scalar(grep { /^HTTP\/1.1 412 / } @answers), 19, 'the others are told');
    is(name_of($path), sprintf("$round %02d", $won[0] // 99), 'it is what it said');
}

$t->finish;
done_testing();

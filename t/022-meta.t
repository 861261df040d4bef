# Types 2 and 254: in this order, in one session, several at a time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

my $t = D4::Test->new(workers => 2)->start;

my $streams = $t->db('streams');
my $meta = '{"type":"ja3-jl"}';


# one session from 2 to 254

my $s = $t->sensor(type => 2);
my $uuid = $s->{uuid};

$s->send(substr($meta, 0, 5), substr($meta, 5));
is($t->wait_stored($uuid, 2), 2, 'a header in two frames');

my ($sid) = $t->sids($uuid);

is_deeply([ $streams->members('active_connection:2') ], [ $uuid ],
          'connected with type 2');
is_deeply([ $streams->members("active_uuid_type2:$uuid") ], [ $sid ],
          'with its session');
is_deeply([ $streams->members("active_connection_by_uuid:$uuid") ], [ 2 ],
          'types of the uuid');
is_deeply([ $streams->members('session_uuid:2') ], [ $sid ],
          'announced to the consumers of type 2');

$s->write(join '', map { $s->frame_of($_, type => 254) } 'one', 'two');
is($t->wait_stored($uuid, 4), 4, 'then 254');

is_deeply([ map { [ $_->{type}, $_->{sid},
                    map { $_->{message} } @{ $_->{entries} } ] }
            $t->streams($uuid) ],
          [ [ 2, $sid, substr($meta, 0, 5), substr($meta, 5) ],
            [ 254, $sid, 'one', 'two' ] ],
          'two streams of one session');

ok(poll_until(3, sub {
    "@{[ $streams->members('active_connection:254') ]}" eq $uuid
    && !$streams->members('active_connection:2')
}), 'connected with 254 now');
is_deeply([ $streams->members("active_uuid_type254:$uuid") ], [ $sid ],
          'with its session');
is($streams->cmd('EXISTS', "active_uuid_type2:$uuid"), 0, 'no more with 2');
is_deeply([ $streams->members("active_connection_by_uuid:$uuid") ], [ 254 ],
          'types of the uuid');
is_deeply([ $streams->members('session_uuid:2') ], [ $sid ],
          'still in session_uuid:2');
is($streams->cmd('EXISTS', 'session_uuid:254'), 0, 'there is none of 254');


# more sessions of the same uuid and types

my @more = map { $t->sensor(uuid => $uuid, type => 2) } 1 .. 3;

for (@more) {
    $_->send($meta);
    $_->write($_->frame_of('more', type => 254));
}

is($t->wait_stored($uuid, 10), 10, 'any number of sessions at a time');
ok($t->wait_live($uuid, 4), 'all shown');

$s->finish;
$_->finish for @more[0, 1];

ok($t->wait_live($uuid, 1), 'one is left');
ok(poll_until(3, sub { $streams->members('ended_session') == 3 }),
   'three have ended');
ok($streams->cmd('SISMEMBER', 'active_connection:254', $uuid),
   'the uuid is shown until the last has ended');

$more[2]->finish;
ok(poll_until(3, sub { !$t->live_keys }), 'then nothing is shown');
ok(poll_until(3, sub { $streams->members('ended_session') == 4 }),
   'and all have ended');


# what is not allowed

for ([ 254 ], [ 2, 254, 2 ], [ 2, 8 ], [ 2, 254, 8 ], [ 8, 2 ], [ 8, 254 ],
     [ 1, 4 ])
{
    my @types = @$_;

    my $s = $t->sensor(type => $types[0]);

    $s->write(join '', map { $s->frame_of("as $_", type => $_) } @types);
    ok($s->ended(30), "@types: ended");

    is($t->wait_access($s->{uuid})->{status},
       @types > 1 ? 'type_changed' : 'meta_first', 'for this reason');

    pop @types;
    $t->wait_stored($s->{uuid}, scalar @types);
    is_deeply([ $t->messages($s->{uuid}) ], [ map { "as $_" } @types ],
              'what was allowed is kept');

    ok(poll_until(3, sub {
        ($t->db('metadata')->cmd('HGET', "metadata_uuid:$s->{uuid}", 'Error')
         // '') =~ /^Error: /
    }), 'the sensor has its Error');
}


# a type 2 that ends without 254

$s = $t->sensor(type => 2);
$s->send($meta);
$s->finish;
ok(poll_until(3, sub { !$t->live_keys }), 'nothing is shown at the end');

$t->finish;
done_testing();

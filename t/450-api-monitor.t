# What is monitored: silent sensors, queues that are full or unread; told once
# for each change, in the log, in metrics and to a webhook.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Api;
use D4::Test;
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

my $hook = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1',
                                 ReuseAddr => 1)
    or die "listen: $!";

my $t = D4::Api->new(
    workers => 2,
    d4   => 'queue_unread 2s;',
    http => 'd4_monitor_interval 200ms;'
            . ' d4_webhook http://127.0.0.1:' . $hook->sockport . '/hook?a=b;',
)->start;
my ($metadata, $queues) = map { $t->db($_) } qw(metadata queues);


# The next request to the webhook: its head, its JSON; answered as is said.
# $meanwhile is called again and again until it comes.

sub posted {
    my ($answer, $meanwhile) = @_;

    poll_until(60, sub {
        $meanwhile->() if $meanwhile;
        IO::Select->new($hook)->can_read(0.3);
    }) or return undef;

    my $c = $hook->accept;
    my $text = '';

    while (IO::Select->new($c)->can_read(30)
           && sysread($c, $text, 65536, length $text))
    {
        last if $text =~ /Content-Length: (\d+).*?\r\n\r\n(.*)/s
            && length $2 >= $1;
    }

    print $c $answer // "HTTP/1.1 204 No Content\r\n\r\n";
    close($c);

    my ($head, $body) = split /\r\n\r\n/, $text, 2;

    return { head => $head, %{ $t->json->decode($body) } };
}

sub is_alert {
    my ($alert, $name, @want) = @_;

    is_deeply([ @{ $alert || {} }{qw(kind id state active)} ],
              [ @want[0 .. 2], $want[3] ? JSON::PP::true()
                                        : JSON::PP::false() ], $name);
}


# A sensor

my $s = $t->sensor;
my $u = $s->{uuid};

$s->send('x');
$t->wait_stored($u, 1);
ok(poll_until(5, sub { $t->request('GET', "sensors/$u")->{json}{last_seen} }),
   'seen');
$t->ok(200, 'PATCH', "sensors/$u", body => { monitoring_delay => 4 });

my $alert = posted();
is_alert($alert, 'silent', 'sensor', $u, 'silent', 1);
like($alert->{head}, qr{^POST /hook\?a=b HTTP/1.0\r\nHost: 127\.0\.0\.1:\d+\r\n},
     'the URL that was given');
is_deeply($t->ok(200, 'GET', 'sensors/monitoring/errors'), [ $u ],
          'the published list');
is_deeply([ map { $_->{uuid} } @{ $t->ok(200, 'GET', 'monitoring')
                                  ->{silent_sensors} } ], [ $u ],
          'monitoring');
like($t->request('GET', '/metrics')->{content}, qr/^d4_sensors_silent 1$/m,
     'metrics');

# it is silent again four seconds later, and the server may be slow to look

is_alert(posted(undef, sub { $s->send('x') }), 'no longer silent', 'sensor',
         $u, 'silent', 0);
$t->ok(200, 'PATCH', "sensors/$u", body => { monitoring_delay => undef });
is_deeply($t->ok(200, 'GET', 'sensors/monitoring/errors'), [],
          'off the list');

is(scalar(my @l = $t->log_lines(qr/d4 alert: sensor $u is silent/)), 1,
   'one line when it begins');
is(scalar(@l = $t->log_lines(qr/d4 alert: sensor $u is no longer silent/)),
   1, 'and one when it ends');


# Queues: of two kinds, full, and unread

my $q = $t->ok(201, 'POST', 'queues', body => { type => 8, max_size => 3 })
    ->{id};
my $e = $t->ok(201, 'POST', 'queues', body => { extended_type => 'ja3-jl' })
    ->{id};

$queues->cmd('LPUSH', "analyzer:8:$q", 1 .. 3);
is_alert(posted(), 'full', 'queue', $q, 'full', 1);
is_alert(posted(), 'unread', 'queue', $q, 'unread', 1);
is_deeply([ map { $_->{id} } @{ $t->ok(200, 'GET', 'monitoring')->{$_} } ],
          [ $q ], $_) for qw(full_queues unread_queues);
ok($t->ok(200, 'GET', "queues/$q")->{$_}, "the queue is $_")
    for qw(full unread);
like($t->request('GET', '/metrics')->{content},
     qr/^d4_queue_full\{queue="$q",type="8",extended_type=""\} 1$/m,
     'metrics of a queue');

$queues->cmd('RPOP', "analyzer:8:$q");

my %after = map { my $a = posted(); ($a->{state} => $a) } 1, 2;
is_alert($after{full}, 'no longer full', 'queue', $q, 'full', 0);
is_alert($after{unread}, 'read again', 'queue', $q, 'unread', 0);

$queues->cmd('LPUSH', "analyzer:ja3-jl:$e", 'x');
my %both = map { my $a = posted(); ($a->{id} => $a) } 1, 2;
is_alert($both{$_}, 'unread', 'queue', $_, 'unread', 1) for $q, $e;

$t->ok(200, 'DELETE', "queues/$_") for $q, $e;
ok(!$queues->cmd('EXISTS', "analyzer:ja3-jl:$e"), 'its list is gone, too');
is_deeply($t->ok(200, 'GET', 'monitoring')->{unread_queues}, [],
          'a queue that is gone is no alert');
ok(!(grep { /$q|$e/ } $metadata->keys('*')), 'no key is left');


# A webhook that fails is asked again, not for ever, and holds nobody up.

{
    my $w = new_uuid();

    $metadata->cmd('HSET', "metadata_uuid:$w", 'last_seen', 1);
    $metadata->cmd('HSET', "to_monitor:sensor:$w", 'delta_time', 5);
    $metadata->cmd('SADD', 'to_monitor:sensors', $w);

    is_alert(posted("HTTP/1.1 500 Oops\r\n\r\n"), 'refused once', 'sensor',
             $w, 'silent', 1);
    is_alert(posted('nonsense'), 'answered with nonsense', 'sensor', $w,
             'silent', 1);
    is_alert(posted(), 'the third time', 'sensor', $w, 'silent', 1);

    $metadata->cmd('DEL', "to_monitor:sensor:$w");
    $metadata->cmd('SREM', 'to_monitor:sensors', $w);
    $metadata->cmd('SREM', 'sensors_monitoring:sensors_error', $w);

    # nobody accepts: the API answers all the while

    close($hook);
    $metadata->cmd('HSET', "to_monitor:sensor:$w", 'delta_time', 5);
    $metadata->cmd('SADD', 'to_monitor:sensors', $w);
    ok($t->wait_log(qr/d4 webhook: /, 10), 'a failure is logged');
    $t->ok(200, 'GET', 'monitoring');
}


# Another worker goes on when the keeper is gone.

{
    my ($keeper) = $metadata->cmd('GET', 'd4:keeper') =~ /:(\d+):\d+:/;
    my $w = new_uuid();

    $t->allow(qr/exited on signal 9/, qr/was killed/);
    kill('KILL', $keeper);
    ok(poll_until(40, sub {
        my ($now) = ($metadata->cmd('GET', 'd4:keeper') // '')
            =~ /:(\d+):\d+:/;
        defined $now && $now != $keeper
    }), 'another worker keeps');

    $metadata->cmd('HSET', "metadata_uuid:$w", 'last_seen', 1);
    $metadata->cmd('HSET', "to_monitor:sensor:$w", 'delta_time', 5);
    $metadata->cmd('SADD', 'to_monitor:sensors', $w);
    ok(poll_until(10, sub {
        $metadata->cmd('SISMEMBER', 'sensors_monitoring:sensors_error', $w)
    }), 'and sees who is silent');
}

$s->drop;
$t->{agent} = undef;
$t->finish;
done_testing();

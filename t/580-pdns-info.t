# Passive DNS: its figures, as JSON and for Prometheus.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep);

my $queue = 'analyzer:8:7d1a3c5e-0000-4000-8000-000000000008';

# the leases are in a Redis of their own: while it does not answer, queues are
# not read

my $leases = D4::Test->new;
my $t = D4::Pdns->new(
    workers  => 2,
    redis_of => { metadata => $leases },
    http     => "pdns_queue $queue; pdns_flush 50ms; pdns_errors 30d;"
                . ' pdns_exclude spamhaus.org;',
    location => 'location = /pdns/metrics { pdns_metrics on; }',
);

$leases->redis_start;
$t->start;

my $json = D4::Pdns::json();

sub line { return D4::Pdns::line(@_) }
sub info { return $json->decode($t->get('/info')->{content}) }

sub metrics {
    my $r = $t->get('/metrics');

    die "metrics: $r->{status}" if $r->{status} != 200;

    my %m = map { /^([^ #]\S*(?:\{.*\})?) (\S+)$/ ? ($1 => $2) : () }
        split /\n/, $r->{content};

    return (\%m, $r);
}

$t->post('/ingest', join("\n",
    (map { line(1500000000, "n$_.example.", 'A', '192.0.2.1') } 1 .. 90),
    line(1500000000, 'e..example.', 'A', '192.0.2.1'),
    line(1500000000, 'e.example.', 'A', '192.0.2'),
    line(1500000000, 'f.example.', 'A', 'none "of them'),
    line(1500000000, 'x.spamhaus.org.', 'A', '192.0.2.1'),
    line(time(), 'gone.example.', 'A', 'NXDOMAIN') =~ s/\|\|300\|/||0|/r),
    'X-Sensor-ID' => 'one');
$t->post('/ingest', join("\n", map {
    line(1500000000, "n$_.example.", 'A', '192.0.2.2') } 1 .. 7),
    'X-Sensor-ID' => 'the "other"');
$t->post('/ingest', line(1500000000, 'n1.example.', 'A', '192.0.2.1'),
         'X-Sensor-ID' => 'the %other\\');

my $i;

ok(poll_until(30, sub { $i = info(); $i->{stats} == 99 }), 'lines taken');
is($i->{lines}{accepted}, 99, 'as accepted');
is($i->{lines}{rejected}, 4, 'and refused');
is_deeply($i->{rejects}, { bad_name => 1, bad_rdata => 2, excluded => 1 },
          'by reason');
like($i->{samples}{bad_rdata}, qr/f\.example\.\|\|A\|\|none "of them/,
     'with the last one of each');
is($i->{records}, 97, 'records');
is($i->{names}, 90, 'names');
is($i->{errors}, 1, 'names with errors');
cmp_ok($i->{store}{memory}, '>', 100_000, 'memory of the store');
is($i->{store}{maxmemory}, 0, 'without a limit');

ok(poll_until(30, sub { info()->{sensors_total} == 3 }), 'sensors');
is_deeply(info()->{sensors}, [ { sensor_id => 'one', count => 91 },
                               { sensor_id => 'the "other"', count => 7 },
                               { sensor_id => 'the %other\\', count => 1 } ],
          'and the records of each');

ok(poll_until(60, sub { info()->{lines}{per_second} >= 1.6 }),
   'lines a second, of the last minute');


# a queue that is not read

ok(poll_until(30, sub {
    my $q = info()->{queues};
    @$q == 1 && $q->[0]{key} eq $queue && $q->[0]{length} == 0;
}), 'an empty queue');

my $q = $t->new_db('queues');

$leases->redis_pause;

ok(poll_until(120, sub {
    $q->cmd('LPUSH', $queue, line(1500000000, 'q.example.', 'A',
                                  '192.0.2.3'));
    sleep(0.5);
    info()->{queues}[0]{length} > 3;
}), 'what waits in a queue is told');

my ($m, $r) = metrics();
like($r->{headers}{'content-type'}, qr{^text/plain; version=0\.0\.4},
     'the type of metrics');
cmp_ok($m->{"pdns_queue_length{queue=\"$queue\"}"}, '>', 3,
       'metrics have it, too');
cmp_ok($m->{"pdns_queue_time_seconds{queue=\"$queue\"}"}, '>', time() - 60,
       'and when that was');

$leases->redis_resume;

ok(poll_until(60, sub { info()->{queues}[0]{length} == 0 }), 'until it is read');


# the same figures for Prometheus; each family with a type

($m, $r) = metrics();
$i = info();

is($m->{pdns_store_up}, 1, 'metrics: the store');
is($m->{pdns_records}, $i->{records}, 'records');
is($m->{pdns_names}, $i->{names}, 'names');
is($m->{pdns_error_names}, 1, 'errors');
is($m->{pdns_sensors}, 3, 'sensors');
is($m->{'pdns_sensor_records_total{sensor_id="one"}'}, 91, 'of one');
is($m->{'pdns_sensor_records_total{sensor_id="the \\"other\\""}'}, 7,
   'whatever its name');
is($m->{'pdns_sensor_records_total{sensor_id="the %25other\\\\"}'}, 1,
   'is, and each has its own');
is($m->{'pdns_lines_total{result="bad_rdata"}'}, 2, 'refused lines');
is($m->{'pdns_lines_total{result="ok"}'}, $i->{lines}{accepted}, 'and taken');
cmp_ok($m->{pdns_store_memory_bytes}, '>', 100_000, 'memory');
ok(exists $m->{pdns_lines_per_second}, 'lines a second');

my %typed = map { $_ => 1 } $r->{content} =~ /^# TYPE (\S+) /mg;
is_deeply([ grep { !$typed{s/\{.*//r} } sort keys %$m ], [],
          'no family without a type');
is_deeply([ grep { !/^(#|[a-z_]+(\{[a-z_]+="([^"\\]|\\["\\])*"\})? [0-9.]+$)/ }
            split /\n/, $r->{content} ], [], 'nothing that is no metric');

is($t->{ua}->post("$t->{url}/metrics", { content => 'x' })->{status}, 405,
   'they are only read');


# the store goes

$t->redis_kill;

ok(poll_until(30, sub {
    my ($m) = eval { metrics() };
    $m && keys %$m == 1 && $m->{pdns_store_up} == 0;
}), 'a store that is away is all that they tell');
is($t->get('/info')->{status}, 503, 'info says so as well');

$t->{allowed} = [ qr/\[alert\].*(exited on signal 9|worker process)/ ];
$t->finish;
$leases->finish;
done_testing();

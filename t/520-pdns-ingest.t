# Passive DNS: how records come in, what is refused, and what is kept when
# the store or nginx goes away.
#
#   LONG=1   five times as much through the queue

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $queue = 'analyzer:8:7d1a3c5e-0000-4000-8000-000000000008';

my $t = D4::Pdns->new(
    workers => 2,
    http    => "pdns_queue $queue; pdns_flush 100ms;"
               . ' pdns_exclude spamhaus.org;',
)->start;

my $json = D4::Pdns::json();

sub line { return D4::Pdns::line(@_) }


# posted: all forms, and what is wrong with the others

my $r = $t->post('/ingest', join("\n",
    line(1500000000, 'a.example.', 'A', '192.0.2.1', 2) . "\r",
    '1500000001.1234567890||c||s||IN||b.example||AAAA||2001:db8::1||300',
    '{"rrname":"c.example.","rrtype":"MX","rdata":["1 x.example","2 y.example"]'
        . ',"time_first":1500000000,"time_last":1500000002,"count":4,'
        . '"bailiwick":"example","sensor_id":"s1","origin":"https://o.example/",'
        . '"zone_time_first":1400000000,"zone_time_last":1400000001}',
    '{"query":"d.example.","class":"IN","type":"TXT","answer":"\"t\"",'
        . '"timestamp_s":1500000003,"timestamp_ms":5,"count":2}',
    '',
    'rubbish',
    line('x', 'e.example.', 'A', '192.0.2.1'),
    line(1500000000, 'e.example.', 'NOTYPE', '192.0.2.1'),
    line(1500000000, 'e..example.', 'A', '192.0.2.1'),
    line(1500000000, 'e.example.', 'A', '192.0.2'),
    '{"rrname":',
    '1500000000.1||c||s||CH||version.bind.||TXT||"9"||0||1',
    '1500000000.1||c||s||IN||nx.example.||A||NXDOMAIN||0||1',
    line(1500000000, 'x.SPAMHAUS.org.', 'A', '127.0.0.2'),
    '{"rrname":"y.spamhaus.org","rrtype":"A","rdata":"127.0.0.2",'
        . '"time_first":1500000000,"time_last":1500000000}',
    line(1500000000, 'f.example.', 'A', '192.0.2.6')),
    'X-Sensor-ID' => 'post');

is($r->{status}, 200, 'a body of lines');
is_deeply($json->decode($r->{content}),
          { lines => 15, accepted => 5,
            rejected => { short => 1, bad_ts => 1, bad_type => 1,
                          bad_name => 1, bad_rdata => 1, bad_json => 1,
                          bad_class => 1, nx => 1, excluded => 2 } },
          'each is counted for what it is');

my ($c, @none) = grep { $_->{rdata} eq '1 x.example' }
    $t->records('/query/c.example');
is_deeply($c, { rrname => 'c.example', rrtype => 'MX',
                rdata => '1 x.example', count => 4,
                time_first => 1500000000, time_last => 1500000002,
                zone_time_first => 1400000000, zone_time_last => 1400000001,
                bailiwick => 'example', sensor_id => 's1',
                origin => 'https://o.example/' },
          'all of a COF record comes back');

my ($f) = $t->records('/query/f.example');
is($f->{sensor_id}, 'post', 'a sensor by header');
like($f->{origin}, qr{^http://127\.0\.0\.1/pdns/$}, 'the default origin');
is(scalar(() = $t->records('/query/a.example')), 1, 'a line with CRLF');

my ($b) = $t->records('/dnsdb/v2/lookup/rrset/name/c.example/MX/example');
is($b->{cond}, 'begin', 'a bailiwick');
is(scalar(() = $t->get('/dnsdb/v2/lookup/rrset/name/c.example/MX/other')
          ->{content} =~ /"obj"/g), 0, 'and another one');


# a large body, in pieces of any size

my $big = join '', map { line(1500000000 + $_, "b$_.big.example.", 'A',
                              '198.51.100.' . $_ % 250) . "\n" } 1 .. 20000;
$r = $t->post('/ingest', $big);
is($json->decode($r->{content})->{accepted}, 20000, 'a large body');
$r = $t->get('/query/*.big.example?limit=10000');
is($r->{content} =~ tr/\n//, 10000, 'as much as a page holds');
ok($r->{headers}{'x-pdns-cursor'}, 'and a cursor');

SKIP: {
    my $pid = fork() // skip('fork', 1);
    if ($pid == 0) {
        my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                      PeerPort => $t->{http_port});
        my $body = line(1500000000, 'slow.example.', 'A', '192.0.2.8');
        syswrite($s, "POST /pdns/ingest HTTP/1.1\r\nHost: x\r\n"
                     . 'Content-Length: ' . length($body) . "\r\n\r\n");
        for (split //, $body) { syswrite($s, $_); sleep(0.002); }
        sysread($s, my $answer, 4096);
        require POSIX;
        POSIX::_exit($answer =~ /"accepted":1/ ? 0 : 1);
    }
    waitpid($pid, 0);
    is($?, 0, 'a body byte by byte');
}


# the queue: pushed at the head, as the dispatcher does

my $q = $t->new_db('queues');
my $few = LONG ? 3000 : 600;

sub push_lines {
    my ($from, $to) = @_;

    $q->pipeline(map { [ 'LPUSH', $queue,
                         line(1500000000 + $_, "q$_.queue.example.", 'A',
                              '203.0.113.' . $_ % 200, 1) ] } $from .. $to);
}

sub queued {
    my $n = 0;

    my $path = '/query/*.queue.example?limit=10000';
    for (;;) {
        my $page = $t->get($path);
        die "$path: $page->{status}" if $page->{status} != 200;
        $n += $page->{content} =~ tr/\n//;
        my $cursor = $page->{headers}{'x-pdns-cursor'} // return $n;
        $path = "/query/*.queue.example?limit=10000&cursor=$cursor";
    }
}

push_lines(1, $few);
ok(poll_until(20, sub { $q->cmd('LLEN', $queue) == 0 }), 'a queue is taken');
ok(poll_until(10, sub { queued() == $few }), 'and stored');


# the store is killed and comes back: with the queue in the same Redis both
# are away, so its data must survive

$q->cmd('CONFIG', 'SET', 'appendonly', 'yes');
poll_until(30, sub {
    $q->cmd('INFO', 'persistence') =~ /aof_rewrite_in_progress:0.*
                                       aof_rewrite_scheduled:0.*
                                       aof_last_bgrewrite_status:ok/sx
}) or fail('the append-only file is begun');
push_lines($few + 1, 7 * $few);
$t->redis_kill;
$r = $t->get('/query/a.example');
is($r->{status}, 503, 'a store that is away');
is(eval { $json->decode($r->{content})->{error} }, 'store', 'is told in JSON');
ok($r->{headers}{'retry-after'}, 'with a time to come again');
is($t->post('/ingest', "x\n")->{status}, 503, 'as is a post');

$t->redis_start(appendonly => 'yes');
delete $t->{store};
$q = $t->new_db('queues');
my $n = poll_until(20, sub { eval { $t->up } });
ok($n, 'it is back');
$n = $q->cmd('LLEN', $queue);
ok(poll_until(30, sub { $q->cmd('LLEN', $queue) == 0 }),
   "what was left is taken ($n)");


# nginx is killed in the middle

push_lines(7 * $few + 1, 14 * $few);
poll_until(30, sub { $q->cmd('LLEN', $queue) < 6.5 * $few });
$t->nginx_kill;
$t->nginx_start;
ok(poll_until(40, sub { $q->cmd('LLEN', $queue) == 0 }),
   'another life of nginx takes the rest');
ok(poll_until(60, sub { queued() == 14 * $few }), 'and what was taken before')
    or diag(queued() . ' of ' . 14 * $few);

my $last = 14 * $few - 1;
my @late = $t->rows("/query/q$last.queue.example");
is((split ' ', $late[0] // '')[3], 1500000000 + $last, 'its times are right');


# a planned end: what was taken is stored first

push_lines(14 * $few + 1, 15 * $few);
sleep(0.3);
$t->reload(gone => 30);
ok(poll_until(20, sub { $q->cmd('LLEN', $queue) == 0 }), 'a reload');
ok(poll_until(20, sub {
    my @row = $t->rows('/query/q' . 15 * $few . '.queue.example');
    @row == 1;
}), 'loses nothing');

my $info = $json->decode($t->get('/info')->{content});
cmp_ok($info->{records}, '>', 20000, 'info: records');
ok($info->{rejects}{bad_name}, 'info: rejects by reason');
like($info->{samples}{bad_name}, qr/e\.\.example/, 'and a sample');

$t->{allowed} = [ qr/\[alert\].*(exited on signal 9|worker process)/ ];
$t->finish;
done_testing();

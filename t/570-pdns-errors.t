# Passive DNS: error answers are kept apart, when that is asked for: with
# their times and counts, within their bounds, out and in again; and never
# among records.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Test;
use Test::More;

my $t = D4::Pdns->new(lookup => 1, workers => 2, location => 'pdns_export on;',
                      http => 'pdns_flush 20ms; pdns_errors 30d max=2000;'
                              . ' pdns_types A;')->start;
my $json = D4::Pdns::json();

sub line { return D4::Pdns::line(@_) }

# as passivedns logs them: no time to live

sub failed {
    my ($time, $name, $type, $rcode, $count) = @_;

    return line($time, $name, $type, $rcode, $count) =~ s/\|\|300\|\|/||0||/r;
}

sub accepted {
    return $json->decode($t->post('/ingest', join "\n", @_)->{content});
}

my $now = time();

$t->ingest(
    failed($now - 100, 'Gone.example.com.', 'A', 'NXDOMAIN', 3),
    failed($now - 50, 'gone.example.com', 'A', 'NXDOMAIN', 2),
    failed($now - 200, 'gone.example.com.', 'A', 'NXDOMAIN'),
    failed($now - 20, 'gone.example.com.', 'AAAA', 'SERVFAIL'),
    failed($now - 10, 'gone.example.com.', 'HTTPS', 'UNKNOWN-ERROR-23'),
    failed($now - 30, 'gone.example.com.', '65280', 'NOTIMPL'),
    '{"query":"json.example.com.","class":"IN","type":"A",'
        . '"answer":"NXDOMAIN","timestamp_s":' . $now . ',"count":4}',
    line($now, 'gone.example.com.', 'A', '192.0.2.1'),
    line($now, 'nxdomain.example.com.', 'A', '192.0.2.1'),
);

is_deeply([ $t->rows('/query/gone.example.com') ],
          [ "gone.example.com A 192.0.2.1 $now $now 1" ],
          'an ordinary answer has none of them');
is_deeply(accepted(line($now, 'gone.example.com.', 'MX', '1 a.example.')),
          { lines => 1, accepted => 0, rejected => { filtered => 1 } },
          'a type that is not kept is not, whatever errors are');
is(scalar(() = $t->rows('/query/*.example.com')), 2, 'nor has a wildcard');
is(scalar(() = $t->rows('/fquery/nxdomain')), 0, 'nor are they data');

my @rows = $t->rows('/query/GONE.example.com.?errors=1');

is_deeply(\@rows, [
    map { my ($type, $rcode, $first, $last, $count) = @$_;
          "gone.example.com $type $rcode " . ($now - $first) . ' '
          . ($now - $last) . " $count" }
    [ 'HTTPS', 'RCODE23', 10, 10, 1 ],
    [ 'AAAA', 'SERVFAIL', 20, 20, 1 ],
    [ 65280, 'NOTIMP', 30, 30, 1 ],
    [ 'A', 'NXDOMAIN', 200, 50, 6 ],
], 'those that are asked for come alone, with their times and counts');

my ($r) = $t->records('/query/json.example.com?errors=1');
is($r->{rcode}, 'NXDOMAIN', 'the code stands in a member of its own');
is($r->{count}, 4, 'of JSON as well');
is($t->{last}{headers}{'content-type'}, 'application/x-ndjson', 'the type');

is_deeply([ map { (split)[2] }
            $t->rows('/query/gone.example.com?errors=1&rrtype=A,AAAA') ],
          [ 'SERVFAIL', 'NXDOMAIN' ], 'filtered by type');
is_deeply([ map { (split)[2] }
            $t->rows('/query/gone.example.com?errors=1&time_last_after='
                     . ($now - 25)) ],
          [ 'RCODE23', 'SERVFAIL' ], 'and by time');

$t->rows('/query/gone.example.com?errors=1&limit=3');
is_deeply([ map { (split)[2] }
            $t->rows('/query/gone.example.com?errors=1&cursor='
                     . $t->{last}{headers}{'x-pdns-cursor'}) ],
          [ 'NXDOMAIN' ], 'and in pages');

my $b = $t->post('/bulk?errors=1', "gone.example.com\n192.0.2.1\n"
                                   . "json.example.com\n");
is_deeply([ map { my $o = $json->decode($_); "$o->{query} $o->{rcode}" }
            split /\n/, $b->{content} ],
          [ 'gone.example.com RCODE23', 'gone.example.com SERVFAIL',
            'gone.example.com NOTIMP', 'gone.example.com NXDOMAIN',
            'json.example.com NXDOMAIN' ],
          'of many names at once');

for my $path ('/query/192.0.2.1?errors=1', '/query/*.example.com?errors=1',
              '/fquery/gone.example.com?errors=1',
              '/query/gone.example.com?errors=2', '/export?errors=x')
{
    is($t->get($path)->{status}, 400, "$path: 400");
}


# out, and in again elsewhere

my $other = D4::Pdns->new(lookup => 1, http => 'pdns_errors 30d;')->start;
my $off = D4::Pdns->new(lookup => 1)->start;

my $out = $t->get('/export?errors=1')->{content};
is(scalar(() = $out =~ /\n/g), 5, 'an export of errors is all of them');
unlike($t->get('/export')->{content}, qr/rcode/, 'of records, none');

is_deeply($json->decode($other->post('/ingest', $out)->{content}),
          { lines => 5, accepted => 5, rejected => {} }, 'it can be taken in');
is_deeply([ $other->rows('/query/gone.example.com?errors=1') ], \@rows,
          'and is the same');
is_deeply([ map { $_->zset('X:{com.example}gone') } $other->store ],
          [ map { $_->zset('X:{com.example}gone') } $t->store ],
          'in the store, too');

is_deeply($json->decode($off->post('/ingest', $out)->{content}),
          { lines => 5, accepted => 0, rejected => { nx => 5 } },
          'where they are not kept they are counted');
is_deeply([ $off->store->keys('X:*'), $off->store->keys('H:errors') ], [],
          'and that is all');

is_deeply($json->decode($t->post('/ingest', join "\n",
              '{"rrname":"r.example","rrtype":"A","rdata":"192.0.2.5",'
                  . "\"time_first\":$now,\"time_last\":$now,\"rcode\":0}",
              '{"rrname":"r.example","rrtype":"A","rdata":"192.0.2.6",'
                  . "\"time_first\":$now,\"time_last\":$now,"
                  . '"rcode":"NOERROR"}')->{content})->{accepted}, 2,
          'what others call rcode makes no error of a record');
is(scalar(() = $t->rows('/query/r.example')), 2, 'it is one');


# bounds

is_deeply(accepted(failed($now - 40 * 86400, 'old.example.', 'A', 'NXDOMAIN'),
                   failed($now, 'x.example.', 'A', 'UNKNOWN-ERROR-none')),
          { lines => 2, accepted => 0, rejected => { nx => 2 } },
          'what is too old already is not kept, nor what is no code');

$t->ingest(map { failed($now - 1000 - $_, "r$_.random.example.", 'A',
                        'NXDOMAIN') } 1 .. 5000);

ok(poll_until(30, sub {
    $t->store->cmd('ZCARD', 'H:errors') == 2000
        && 2000 == scalar(() = $t->store->keys('X:*'));
}), 'the oldest of too many are removed');
is(scalar(() = $t->rows('/query/r1.random.example?errors=1')), 1,
   'the newest stay');
is(scalar(() = $t->rows('/query/r4999.random.example?errors=1')), 0,
   'these are gone');

$t->{http} =~ s/pdns_errors 30d/pdns_errors 500s/;
$t->reload(gone => 20);

is(scalar(() = $t->rows('/query/r1.random.example?errors=1')), 0,
   'what has become too old is hidden');
ok(poll_until(30, sub { 2 == scalar(() = $t->store->keys('X:*')) }),
   'and removed');
is(scalar(() = $t->rows('/query/gone.example.com?errors=1')), 4,
   'nothing else is');

$_->finish for $t, $other, $off;
done_testing();

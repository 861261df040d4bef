# Passive DNS: the format of answers, statement by statement; what parameters
# ask for; and what clients rely on: PyPDNS, MISP, AIL, dnsdbq -u circl.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use B ();
use D4::Pdns;
use IO::Socket::INET;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::More;

my $t = D4::Pdns->new(lookup => 1,
                      location => 'pdns_limit 500; auth_basic $pdns_realm;'
                                  . ' auth_basic_user_file users;',
                      http => 'pdns_flush 20ms; map $http_x_test $pdns_realm'
                              . ' { default off; login pdns; }');
my $json = D4::Pdns::json();

$t->write_file('users', "user:{PLAIN}pass\n");
$t->start;

sub line { return D4::Pdns::line(@_) }

sub post {
    return $json->decode($t->post('/ingest', join '', @_)->{content});
}


# 11: what is taken

is_deeply(post(
    '{"rrname":"bare.example.com.","rrtype":"A","rdata":"192.0.2.1",'
        . '"time_first":1500000000,"time_last":1500000001}' . "\r\n",
    '{"rrname":"one.example.com","rrtype":1,"rdata":["192.0.2.2"],'
        . '"time_first":1500000000,"time_last":1500000001,"count":7,'
        . '"future":{"a":[1]},"sensor_id":"s"}' . "\r\n",
    '{"rrname":"many.example.com","rrtype":"AAAA","rdata":["2001:DB8:0::1",'
        . '"2001:db8::0:2"],"time_first":1500000000,"time_last":1500000001,'
        . '"bailiwick":"example.com.","origin":"https://o.example/x"}' . "\n",
    '{"rrname":"odd.example.com","rrtype":65280,"rdata":["\\\\# 2 ABCD"],'
        . '"time_first":1500000000.25,"time_last":1500000001}' . "\n",
    '{"rrname":"zone.example.com","rrtype":"NS","rdata":"NS1.Example.net.",'
        . '"zone_time_first":1400000000,"zone_time_last":1400000001}' . "\n",
    '{"rrname":"text.example.com","rrtype":"TXT","rdata":'
        . '"\"CaSe \\\\\"q\\\\\" \\\\\\\\ \\\\200\"",'
        . '"time_first":1500000000,"time_last":1500000001}' . "\n",
    '{"rrname":"key.example.com","rrtype":"DNSKEY","rdata":'
        . '"257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+'
        . 'KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==",'
        . '"time_first":1500000000,"time_last":1500000001}' . "\n",
    '{"rrname":"svc.example.com","rrtype":"HTTPS","rdata":'
        . '"1 . alpn=\"h2,h3\"",'
        . '"time_first":1500000000,"time_last":1500000001}' . "\n",
), { lines => 8, accepted => 8, rejected => {} }, '11: all forms are taken');

$t->ingest(map { line(1500000000 + $_, "n$_.example.net.", 'A', '192.0.2.9',
                      $_) } 1 .. 1200);


# 1 to 10 of every answer; a number must be one in the text, too

my %known = map { $_ => 1 } qw(A AAAA NS TXT DNSKEY HTTPS CNAME MX PTR);

sub wrong {
    my ($r) = @_;
    my @bad;

    push @bad, 1 if $r->{status} != 200
        || $r->{headers}{'content-type'} ne 'application/x-ndjson';
    push @bad, 2 if $r->{content} !~ /\A(?:[^\n]+\n)+\z/
        || $r->{content} =~ /[\x00-\x09\x0b-\x1f]/;
    push @bad, 9 if $r->{content} =~ /[^\n\x20-\x7e]/;

    my %triple;

    for my $text (split /\n/, $r->{content}) {
        my $o = eval { $json->decode($text) } // { };
        my @data = ref $o->{rdata} ? @{ $o->{rdata} } : $o->{rdata};

        push @bad, 2 if ref $o ne 'HASH';
        push @bad, 3 if !defined $o->{rrname} || !defined $o->{rrtype}
            || !@data || grep { ref || !defined } @data;
        push @bad, 6 if @data > 1 && !ref $o->{rdata};
        push @bad, 4 if $text =~ /:null|"(time|zone_time|count)[a-z_]*":[^0-9]/
            || $text =~ /"(time|zone_time|count)[a-z0-9_]*":[0-9]+[.eE]/
               && $text !~ /rfc3339/
            || $text !~ /"time_first":[1-9][0-9]*,/
            || $text !~ /"time_last":[1-9][0-9]*,/
            || $o->{time_first} > $o->{time_last};
        push @bad, 5 if $triple{"$o->{rrname} $o->{rrtype} @data"}++;
        push @bad, 7 if $text !~ /"rrtype":(?:"([A-Z0-9-]+)"|65280),/
            || defined $1 && !$known{$1};
        push @bad, 8 if $text !~ /"count":[1-9][0-9]*,/
            || (grep { exists $o->{$_} && $text !~ /"$_":"/ }
                qw(bailiwick sensor_id origin))
            || $o->{origin} !~ m{^[a-z]+://[^/\s]+/\S*$}
            || grep { exists $o->{"${_}_ms"}
                      && int($o->{"${_}_ms"} / 1000) != $o->{$_} }
                   qw(time_first time_last);
        push @bad, 10 if $o->{rrtype} eq 'AAAA'
            && grep { !/^2001:db8::[12]$/ } @data;
    }

    return "@bad";
}

for my $path ('/query/*.example.com', '/query/192.0.2.0/24',
              '/query/*.example.net', '/fquery/192.0.2.9',
              '/query/many.example.com', '/fquery/ns1.example.net')
{
    for my $args ('', 'rdata=array', 'rdata=string', 'ms=1&rfc3339=1') {
        is(wrong($t->get("$path?$args")), '', "1 to 10: $path?$args");
    }
}

my %data = map { ($_->{rrname} => $_->{rdata}) }
    $t->records('/query/*.example.com');

is($data{'text.example.com'}, '"CaSe \\"q\\" \\\\ \\200"',
   '10: texts keep their case and escapes');
like($data{'key.example.com'}, qr/^257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0d/,
     '10: and base64');
is($data{'zone.example.com'}, 'ns1.example.net', 'names have one case');

my ($zone) = $t->records('/query/zone.example.com');
is("$zone->{time_first} $zone->{zone_time_last}", '1400000000 1400000001',
   '3: the times of a zone stand for others');

my $none = $t->get('/query/nothing.example.com');
is("$none->{status}|$none->{content}", '200|', '12: nothing is an empty body');
is($none->{headers}{'content-type'}, 'application/x-ndjson', '1: of its type');

# 5, of all pages of an answer

my (%all, $cursor, $n);

do {
    my @page = $t->records('/query/192.0.2.9?limit=100'
                           . ($cursor ? "&cursor=$cursor" : ''));
    $n += @page;
    $all{"$_->{rrname} $_->{rrtype} $_->{rdata}"}++ for @page;
    $cursor = $t->{last}{headers}{'x-pdns-cursor'};
} while ($cursor && $n < 3000);

is("$n " . keys %all, '1200 1200', '5: no triple twice on all pages');


# parameters

is(scalar(() = $t->records('/query/192.0.2.9')), 500,
   'no more than pdns_limit without a limit');
my $errors = $json->decode($t->{last}{headers}{'x-dribble-errors'});
is("$errors->{error} $errors->{record} $errors->{value}",
   'maxset 192.0.2.9 500', 'which is told');
is(scalar(() = $t->records('/query/192.0.2.9?limit=100000')), 500,
   'nor with one');
is(scalar(() = $t->records('/query/192.0.2.9?limit=7')), 7, 'a limit');
is(scalar(() = $t->records('/query/192.0.2.9',
                           'Dribble-Paginate-Count' => 9)), 9,
   'the same as a header');
is(scalar(() = $t->records('/query/192.0.2.9?limit=7',
                           'dribble-paginate-count' => 9)), 7,
   'the argument goes before the header');

for (
    [ 'time_first_after=1500001199', 2 ], [ 'time_first_before=1500000003', 3 ],
    [ 'time_last_after=1500001199', 2 ], [ 'time_last_before=1500000003', 3 ],
    [ 'time_last_after=1500000010&time_last_before=1500000020', 11 ],
    [ 'time_first_after=1500000010&time_first_before=1500000010', 1 ],
    [ 'time_last_after=2017-07-14T02:59:59Z', 2 ],
    [ 'time_last_before=2017-07-14T02:40:02Z', 2 ],
    [ 'time_last_after=2018-01-01', 0 ], [ 'time_last_before=2017-01-01', 0 ],
    [ 'time_last_after=-100', 0 ],
    [ 'rrtype=A&limit=3', 3 ], [ 'rrtype=a,AAAA&limit=3', 3 ],
    [ 'rrtype=1&limit=3', 3 ], [ 'rrtype=TYPE1&limit=3', 3 ],
    [ 'rrtype=ANY&limit=3', 3 ], [ 'rrtype=MX', 0 ],
    [ 'sort=time_last&limit=3', 3 ], [ 'expand=0&limit=3', 3 ],
    [ 'unknown=1&limit=3', 3 ],
) {
    my ($args, $count) = @$_;
    is(scalar(() = $t->records("/query/192.0.2.9?$args")), $count, $args);
}

for my $args ('rrtype=A,', 'rrtype=A,ANY', 'rrtype=ANY,A',
              qw(rrtype= limit=-1 limit= limit=1x time_first_after=
                 time_last_before=2017-13-01 sort=count expand=maybe
                 rdata=list ms=2 rfc3339=yes cursor=))
{
    is($t->get("/query/192.0.2.9?$args")->{status}, 400, "not: $args");
}

for ([ 'dribble-paginate-count' => 'x' ], [ 'dribble-paginate-cursor' => '!' ],
     [ 'dribble-filter-rrtype' => 'NONE' ])
{
    my $r = $t->get('/query/192.0.2.9', @$_);
    is($r->{status}, 400, "not: $_->[0]: $_->[1]");
    is($json->decode($r->{content})->{error}, 'header', 'as a header');
}

is($t->get('/query/a.example', 'dribble-disable-active-query' => 1)->{status},
   200, 'active queries may be disabled');

# of many values at once, the same

my @values = map { "n$_.example.net\n" } 1 .. 3;
my $bulk = sub { scalar(() = $t->post('/bulk' . (shift), join('', @values),
                                      @_)->{content} =~ /\n/g) };

is($bulk->(''), 3, 'a bulk request');
is($bulk->('?rrtype=AAAA'), 0, 'of another type');
is($bulk->('', 'dribble-filter-rrtype' => 'AAAA'), 0, 'as a header');
is($bulk->('?time_last_after=1500000003'), 1, 'and of a time');
is($t->post('/bulk?cursor=1', 'a')->{status}, 400, 'it has no pages');
is($t->post('/bulk', 'a', 'dribble-paginate-cursor' => 1)->{status}, 400,
   'by header neither');

# all of the names that an address has

$t->ingest(line(1600000000, 'x.example.org.', 'A', '198.51.100.1'),
           line(1600000001, 'x.example.org.', 'TXT', '"x"'),
           line(1600000002, 'x.example.org.', 'A', '198.51.100.2'),
           line(1600000003, 'y.example.org.', 'A', '198.51.100.1'));

is(scalar(() = $t->rows('/query/198.51.100.1')), 2, 'an address');
is_deeply([ sort map { "@{[ (split)[0, 1, 2] ]}" }
            $t->rows('/query/198.51.100.1?expand=1') ],
          [ 'x.example.org A 198.51.100.1', 'x.example.org A 198.51.100.2',
            'x.example.org TXT "x"', 'y.example.org A 198.51.100.1' ],
          'expanded: all that its names have, once');
is($t->get('/query/198.51.100.1?expand=1&cursor=1')->{status}, 400,
   'without pages');


# one name, however it is written

$t->ingest(line(1600000000, '1.2.0.192.IN-ADDR.arpa.', 'PTR', 'H.example.'),
           line(1600000000, 'a\\.b.esc.example.', 'A', '203.0.113.77'),
           line(1600000000, 'sp\\032ace.esc.example.', 'A', '203.0.113.78'),
           line(1600000000, 'xn--bcher-kva.esc.example.', 'A',
                '203.0.113.79'));

for my $names (
    [ '1.2.0.192.in-addr.arpa', '1.2.0.192.IN-ADDR.ARPA.' ],
    [ 'a%5C.b.esc.example', 'A%5c046b.ESC.example.', 'a\\.b.esc.example' ],
    [ 'sp%5C032ace.esc.example', 'SP%20ace.esc.example' ],
    [ 'xn--bcher-kva.esc.example', 'XN--BCHER-KVA.esc.example.',
      'b%C3%BCcher.esc.example', 'B%C3%9CCHER.ESC.EXAMPLE' ],
) {
    for my $name (@$names) {
        is(scalar(() = $t->records("/query/$name")), 1, "$name is found");
    }
}

is(scalar(() = $t->records('/query/a.b.esc.example')), 0,
   'but a dot in a label is not one between labels');

for my $value ('h.example', 'H.EXAMPLE.') {
    is(scalar(() = $t->records("/fquery/$value")), 1, "$value is pointed to");
}


# AIL: times with many digits, no dots at the end, the first word of the data

my @ail = ([ A => '203.0.113.1' ], [ AAAA => '2001:db8::a11' ],
           [ NS => 'ns.ail.example' ], [ MX => '10' ],
           [ SOA => 'ns.ail.example' ], [ TXT => '"v=spf1' ]);

is_deeply(post(map {
    "1700000000.12345678901||127.0.0.1||192.0.2.53||IN||ail.example||"
        . "$_->[0]||$_->[1]||300||1\n"
} @ail), { lines => 6, accepted => 6, rejected => {} }, 'lines of AIL');
is_deeply([ sort map { "$_->{rrtype} $_->{rdata} $_->{time_last}" }
            $t->records('/query/ail.example') ],
          [ sort map { "$_->[0] $_->[1] 1700000000" } @ail ],
          'are found as they came');


# PyPDNS and AIL: GET, the value as it is, Basic authentication; raw sockets,
# since no client of ours would send it so

sub raw {
    my ($path, @headers) = @_;

    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                  PeerPort => $t->{http_port}) or die;
    print $s join("\r\n", "GET /pdns$path HTTP/1.1", 'Host: pdns.example',
                  'Connection: close', @headers, '', '');
    local $/;
    return split /\r\n\r\n/, <$s>, 2;
}

my @python = ('Accept: */*', 'Accept-Encoding: gzip, deflate',
              'User-Agent: PyPDNS / 2.3.1', 'dribble-disable-active-query: 1');
my $basic = 'Authorization: Basic ' . encode_base64('user:pass', '');

for ([ '/query/198.51.100.0/24', 3 ], [ '/query/2001:db8::1', 1 ],
     [ '/query/x.example.org', 3 ])
{
    my ($head, $body) = raw($_->[0], @python, 'X-Test: login', $basic);
    like($head, qr{^HTTP/1.1 200 }, "PyPDNS: $_->[0]");
    is(scalar(() = $body =~ /"rrname"/g), $_->[1], 'its records');
}

my ($head) = raw('/query/x.example.org', @python, 'X-Test: login');
like($head, qr{^HTTP/1.1 401 }, 'without a password');
like($head, qr{^WWW-Authenticate: Basic realm=}mi, 'asked for as it must be');

# what MISP takes without asking whether it is there, and how PyPDNS checks

sub is_text {
    return !(B::svref_2object(\$_[0])->FLAGS & (B::SVf_IOK | B::SVf_NOK));
}

my @bad;
for my $o (map { $t->records("/query/$_") } '*.example.com', '198.51.100.1',
           'x.example.org')
{
    push @bad, "$_ of $o->{rrname}"
        for grep { !defined $o->{$_} || ref $o->{$_} || !is_text($o->{$_}) }
            qw(origin rrname rdata);
    push @bad, "$_ of $o->{rrname}"
        for grep { !defined $o->{$_} || is_text($o->{$_}) }
            qw(count time_first time_last);
}
is_deeply(\@bad, [], 'MISP: all members are there, texts and integers');

# dnsdbq asks for JSON and wants it line by line

my ($answer, $lines) = raw('/query/x.example.org', 'Accept: application/json');
like($answer, qr{^HTTP/1.1 200 .*application/x-ndjson}s,
     'dnsdbq: whatever it says it accepts');

$t->finish;
done_testing();

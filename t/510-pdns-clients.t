# Clients as they are: dnsdbq in both of its modes, and one that pages as
# PyPDNS does while records arrive.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use Test::More;

my $t = D4::Pdns->new(lookup => 1)->start;
my $json = D4::Pdns::json();

sub line { return D4::Pdns::line(@_) }

# one address with many names; some in the same second, and one name with many
# addresses

my $many = 5000;

$t->ingest(map { line(1500000000 + int($_ / 7), "n$_.example.com.", 'A',
                      '192.0.2.1', 1 + $_ % 5) } 1 .. $many);
$t->ingest(map { line(1500000000, "same$_.example.net.", 'A', '192.0.2.2') }
           1 .. 2500);
$t->ingest(map { line(1500000000 + int($_ / 3), 'big.example.com.', 'A',
                      '10.' . int($_ / 65536) . '.' . int($_ / 256) % 256
                      . '.' . $_ % 256) } 1 .. 4000);


# PyPDNS: pages of 50 until a page has no cursor; $more->() between them.

sub iterate {
    my ($query, $more, %headers) = @_;

    my (@all, $cursor, $pages);

    for (;;) {
        my $r = $t->get("/query/$query", 'dribble-paginate-count' => 50,
                        ($cursor ? ('dribble-paginate-cursor' => $cursor)
                                 : ()), %headers);

        die "$r->{status} $r->{content}" if $r->{status} != 200;

        push @all, map { $json->decode($_) } split /\n/, $r->{content};
        $pages++;

        $cursor = $r->{headers}{'x-dribble-cursor'} // return (\@all, $pages);

        die "cursor $cursor" if $cursor !~ /^[1-9][0-9]*$/ || $pages > 500;

        $json->decode($r->{headers}{'x-dribble-errors'})
            if $r->{headers}{'x-dribble-errors'};

        $more->($pages) if $more;
    }
}


sub distinct {
    my %seen;

    $seen{"$_->{rrname} $_->{rrtype} $_->{rdata}"}++ for @_;

    return scalar keys %seen;
}


my ($all, $pages) = iterate('192.0.2.1');

is(scalar @$all, $many, 'pages of an address hold all');
is(distinct(@$all), $many, 'and nothing twice');
is($pages, $many / 50, 'with as many to a page as were asked for');
is_deeply([ map { $_->{time_last} } @$all ],
          [ sort { $b <=> $a } map { $_->{time_last} } @$all ],
          'the newest first');

my %expect = map { ("n$_.example.com" => 1 + $_ % 5) } 1 .. $many;
is_deeply({ map { ($_->{rrname} => $_->{count}) } @$all }, \%expect,
          'each with its count');

($all, $pages) = iterate('192.0.2.1', sub {
    my ($page) = @_;

    # old ones are seen again, and new ones come

    $t->ingest(map { line(1600000000 + $page, "n$_.example.com.", 'A',
                          '192.0.2.1') } map { 1 + int rand $many } 1 .. 20);
    $t->ingest(line(1600000000 + $page, "new$page.example.com.", 'A',
                    '192.0.2.1'));
});

my %names = map { ($_->{rrname} => 1) } @$all;

is(distinct(@$all), scalar @$all, 'nothing twice while records arrive');
cmp_ok($pages, '<', 120, 'and the pages end');

my @missing = grep { !$names{"n$_.example.com"} } 1 .. $many;

# what is missing was seen again before its page came: it is in front now

my %front = map { ($_->{rrname} => 1) }
    grep { $_->{time_last} >= 1600000000 }
    $t->records('/query/192.0.2.1?limit=10000');
is(scalar(grep { !$front{"n$_.example.com"} } @missing), 0,
   'what moved to the front is all that is not in them');

($all) = iterate('192.0.2.2');
is(distinct(@$all), 2500, 'pages within one second');
is(scalar @$all, 2500, 'nothing twice');

($all) = iterate('big.example.com');
is(distinct(@$all), 4000, 'pages of a name with many records');
is(scalar @$all, 4000, 'nothing twice');

($all) = iterate('*.example.net');
is(distinct(@$all), 2500, 'pages of a wildcard');
is(scalar @$all, 2500, 'nothing twice');

($all) = iterate('10.0.0.0/8');
is(distinct(@$all), 4000, 'pages of a network');
is(scalar @$all, 4000, 'nothing twice');

($all) = iterate('192.0.2.1', undef, 'dribble-filter-rrtype' => 'AAAA');
is(scalar @$all, 0, 'a page of another type is empty and the last');


# what is cut says so

$t->records('/query/192.0.2.2?limit=10');
ok(!$t->{last}{headers}{'x-dribble-errors'}, 'a limit that was asked for');
ok($t->{last}{headers}{'x-pdns-cursor'}, 'goes on with a cursor');

my @first = $t->records('/query/192.0.2.2?limit=10');
my @next = $t->records('/query/192.0.2.2?limit=10&cursor='
                       . $t->{last}{headers}{'x-pdns-cursor'});
is(distinct(@first, @next), 20, 'which is the next page');


# dnsdbq

SKIP: {
    skip 'dnsdbq is not installed', 10 if !-x '/usr/bin/dnsdbq';

    $t->ingest(
        line(1500000100, 'www.example.org.', 'A', '192.0.2.77', 3),
        line(1500000200, 'www.example.org.', 'TXT', '"a \\"b\\" \\200"'),
        line(1500000300, 'www.example.org.', 'HTTPS', '1 . alpn=h2'),
        line(1500000400, 'www.example.org.', '65280', '\\# 1 aa'),
        line(1500000500, 'example.org.', 'MX', '10 mail.example.org.'),
    );

    my $dnsdbq = sub {
        my ($env, @args) = @_;

        $t->write_file('.dnsdb-query.conf',
                       map { "$_='$env->{$_}'\n" } sort keys %$env);
        local %ENV = (%ENV, HOME => $t->{dir});
        my $out = '';

        open(my $fh, '-|', 'sh', '-c', 'exec dnsdbq "$@" 2>&1', '-', @args)
            or die "dnsdbq: $!";
        local $/;
        $out = <$fh> // '';
        close($fh);

        return $out;
    };

    my %circl = (CIRCL_SERVER => "$t->{url}/query", CIRCL_AUTH => 'u:p');
    my %dnsdb = (DNSDB_SERVER => $t->{url}, DNSDB_API_KEY => 'key');

    my $out = $dnsdbq->(\%circl, '-u', 'circl', '-r', 'www.example.org',
                        '-j');
    like($out, qr/"rrname":"www\.example\.org".*"rdata":"192\.0\.2\.77"/,
         'dnsdbq -u circl, a name') or diag($out);

    $out = $dnsdbq->(\%circl, '-u', 'circl', '-i', '192.0.2.77', '-j');
    like($out, qr/"rrname":"www\.example\.org"/, 'and an address')
        or diag($out);

    $out = $dnsdbq->(\%dnsdb, '-r', 'www.example.org', '-j');
    like($out, qr/"rrname":"www\.example\.org\."/, 'dnsdbq, a name')
        or diag($out);
    is(scalar(() = $out =~ /"rrname"/g), 4, 'all its records');

    $out = $dnsdbq->(\%dnsdb, '-r', '*.example.org/A', '-j');
    is(scalar(() = $out =~ /"rrname"/g), 1, 'a wildcard and a type')
        or diag($out);

    $out = $dnsdbq->(\%dnsdb, '-i', '192.0.2.0/24', '-l', 5, '-j');
    is(scalar(() = $out =~ /"rrname"/g), 5, 'a network and a limit')
        or diag($out);

    $out = $dnsdbq->(\%dnsdb, '-n', 'mail.example.org', '-A',
                     '2017-07-14 00:00:00', '-j');
    like($out, qr/10 mail\.example\.org\./, 'data and a time') or diag($out);

    $out = $dnsdbq->(\%dnsdb, '-V', 'summarize', '-i', '192.0.2.77', '-j');
    like($out, qr/"num_results":1/, 'a summary') or diag($out);

    $out = $dnsdbq->(\%dnsdb, '-I');
    like($out, qr/results_max: 1000000\n\s*offset_max: 3000000/, 'quotas')
        or diag($out);

    $out = $dnsdbq->(\%dnsdb, '-i', '192.0.2.77', '-O', 3000001, '-j');
    like($out, qr/416|offset is too large/, 'an offset that is too large')
        or diag($out);
}


# the framing itself

my $r = $t->get('/dnsdb/v2/lookup/rrset/name/nothing.example');
is($r->{content}, "{\"cond\":\"begin\"}\n{\"cond\":\"succeeded\"}\n",
   'nothing, framed');
$r = $t->get('/dnsdb/v2/lookup/rdata/ip/192.0.2.1?limit=3');
is((split /\n/, $r->{content})[-1],
   '{"cond":"limited","msg":"Result limit reached"}', 'and cut');
$r = $t->get('/dnsdb/v2/lookup/rdata/ip/192.0.2.2?limit=0');
is(scalar(() = $r->{content} =~ /^\{"obj":/gm), 2500, 'no limit');
is($t->get('/dnsdb/v2/ping')->{content}, "{\"ping\":\"ok\"}\n", 'ping');
is($t->get('/dnsdb/v2/nothing')->{status}, 404, 'no such path');
is($t->get('/dnsdb/v2/lookup/rrset/ip/192.0.2.1')->{status}, 400, 'a bad one');



# offsets, and what the client takes

my $rdata = '/dnsdb/v2/lookup/rdata/ip/192.0.2.2';

$r = $t->get("$rdata?offset=2499");
is(scalar(() = $r->{content} =~ /^\{"obj":/gm), 1, 'an offset');
is($t->get("$rdata?offset=3000000")->{status}, 200, 'the largest');
$r = $t->get("$rdata?offset=3000001");
is($r->{status}, 416, 'a larger one');
is($json->decode($r->{content})->{error}, 'offset', 'says so in JSON');

for ([ 'application/x-ndjson', 200 ], [ 'application/json', 200 ],
     [ '*/*', 200 ], [ 'text/html, application/*;q=0.1', 200 ],
     [ 'text/html,Application/X-NDJSON ; q=1', 200 ], [ 'text/html', 415 ],
     [ 'application/x-ndjson;q=0', 415 ], [ 'text/*, */*; q=0.000', 415 ])
{
    my ($accept, $status) = @$_;

    is($t->get($rdata, Accept => $accept)->{status}, $status,
       "Accept: $accept: $status");
    is($t->get('/query/192.0.2.2', Accept => $accept)->{status}, 200,
       'and never here');
}

is($t->get('/lookup/rdata/ip/192.0.2.2', Accept => 'text/plain')->{status},
   200, 'nor in version 1');


# summaries

my $sum = '/dnsdb/v2/summarize/rdata/ip/192.0.2.2';

for ([ '', 2500, 'succeeded' ], [ 'limit=2500', 2500, 'succeeded' ],
     [ 'limit=2499', 2499, 'limited' ], [ 'max_count=2500', 2500, 'succeeded' ],
     [ 'max_count=2499', 2499, 'limited' ],
     [ 'max_count=9999', 2500, 'succeeded' ],
     [ 'max_count=20&limit=10', 10, 'limited' ],
     [ 'max_count=10&limit=20', 10, 'limited' ],
     [ 'offset=2000&limit=0', 500, 'succeeded' ])
{
    my ($args, $n, $cond) = @$_;
    my @lines = map { $json->decode($_) }
        split /\n/, $t->get("$sum?$args")->{content};

    is_deeply([ $lines[1]{obj}{num_results}, $lines[1]{obj}{count},
                $lines[-1]{cond} ], [ $n, $n, $cond ], "a summary of $args");
}


# version 1, and what is no error or one

for ([ '/lookup/rate_limit', 200 ], [ '/dnsdb/v2/rate_limit', 200 ],
     [ '/summarize/rdata/ip/192.0.2.2', 200 ],
     [ '/summarize/rrset/name/nothing.example', 404 ],
     [ '/lookup/rrset/name/nothing.example', 404 ],
     [ '/lookup/rrset/name/big.example.com?limit=1', 200 ],
     [ "$rdata?aggr=f", 200 ], [ "$rdata?aggr=x", 400 ],
     [ "$rdata?offset=-1", 400 ], [ "$rdata?max_count=x", 400 ],
     [ "$rdata/A/example.net", 400 ])
{
    is($t->get($_->[0])->{status}, $_->[1], "$_->[0]: $_->[1]");
}

is_deeply($json->decode($t->get('/summarize/rdata/ip/192.0.2.2?limit=3')
                          ->{content}),
          { count => 3, num_results => 3, time_first => 1500000000,
            time_last => 1500000000 }, 'a summary of version 1');

$t->finish;
done_testing();

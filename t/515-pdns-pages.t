# Passive DNS: pages: what is cut and how much there would be, and cursors
# that are not what they were.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use Test::More;

my $t = D4::Pdns->new(lookup => 1, location => 'pdns_limit 100;',
                      http => 'pdns_flush 20ms; pdns_errors 20000d;')->start;
my $json = D4::Pdns::json();

sub line { return D4::Pdns::line(@_) }

$t->ingest(
    (map { line(1500000000 + int($_ / 3), "n$_.example.com.", 'A',
                '192.0.2.1', 1 + $_ % 5) } 1 .. 4000),
    (map { line(1500000000 + int($_ / 3), 'big.example.com.', 'A',
                '10.0.' . int($_ / 250) . '.' . $_ % 250, 2000000000) }
         1 .. 4000),
    (map { line(1500000000 + $_, 'small.example.com.', 'TXT', "\"$_\"") }
         1 .. 150),
    (map { line(1500000000 + $_, "m$_.example.com.", 'MX',
                '10 mail.example.com.') } 1 .. 120),
    (map { line(1500000000 + $_, "t$_.example.com.", 'TXT',
                '"mail.example.com"') } 1 .. 120),
    (map { line(1500000000 + $_, 'gone.example.com.', $_, 'NXDOMAIN')
               =~ s/\|\|300\|\|/||0||/r } 1001 .. 1150),
);


# what is cut, and how much there is

sub cut {
    my ($path, %headers) = @_;

    $t->records($path, %headers);
    my $text = $t->{last}{headers}{'x-dribble-errors'} // return 'nothing';
    my $e = $json->decode($text);

    return join ' ', map { $e->{$_} // '-' }
        qw(error record value total_value);
}

for ([ '192.0.2.1', 4000 ], [ 'big.example.com', 4000 ],
     [ 'small.example.com', 150 ], [ '192.0.2.1?rrtype=ANY', 4000 ],
     [ '192.0.2.1?rrtype=A', '-' ], [ '*.example.com', '-' ],
     [ '10.0.0.0/24', '-' ], [ '192.0.2.1?time_last_after=1', '-' ],
     [ '192.0.2.1?time_first_before=1600000000', '-' ],
     [ 'gone.example.com?errors=1', 150 ])
{
    my ($query, $total) = @$_;
    my ($record) = split /\?/, $query;

    is(cut("/query/$query"), "maxset $record 100 $total",
       "$query: $total in all");
}

is(cut('/fquery/mail.example.com'), 'maxset mail.example.com 100 240',
   'of a value that is a name and a text');
is(cut('/query/192.0.2.1?limit=100'), 'nothing', 'what was asked for');
is(cut('/query/192.0.2.1', 'dribble-paginate-count' => 50), 'nothing',
   'in either way');
is(cut('/query/192.0.2.1?limit=101'), 'maxset 192.0.2.1 100 4000',
   'more was asked for');
is(cut('/query/10.0.0.1'), 'nothing', 'what is whole');

$t->records('/fquery/mail.example.com');
is(cut('/fquery/mail.example.com?cursor='
       . $t->{last}{headers}{'x-pdns-cursor'}),
   'maxset mail.example.com 100 240', 'and of a later page');


# all records of all names found are no page that another could follow

$t->records('/query/10.0.0.1?expand=1');
is_deeply([ grep { /cursor/ } keys %{ $t->{last}{headers} } ], [],
          'an expanded answer has no cursor');
is(cut('/query/10.0.0.1?expand=1'), 'maxset 10.0.0.1 100 -',
   'but tells that it is cut');


# a cursor goes with the value it came from: elsewhere it would show what was
# not asked for, or begin anew for ever

$t->ingest(map { line(1500000000 + $_, "x$_.b.example.org.", 'CNAME',
                      "y$_.b.example.org.") } 1 .. 5);

my %cursor = map {
    $t->records("/$_" . (/\?/ ? '&' : '?') . 'limit=2');
    ($_ => $t->{last}{headers}{'x-pdns-cursor'})
} my @queries = ('query/192.0.2.1', 'query/big.example.com',
                 'fquery/mail.example.com', 'query/*.example.com',
                 'query/*.b.example.org', 'query/*.com', 'query/10.0.0.0/8',
                 'query/10.0.1.0/24', 'query/n1.*', 'query/x1.b.*',
                 'fquery/*.b.example.org', 'fquery/y1.b.*',
                 'query/gone.example.com?errors=1');

# what may be the same cursor: of single keys, and of those that are a part

my %part = ('query/*.com' => { 'query/*.example.com' => 1 },
            'query/*.example.com' => { 'query/*.com' => 1 },
            'query/10.0.0.0/8' => { 'query/10.0.1.0/24' => 1 });

for my $of (grep { $cursor{$_} } @queries) {
    my @wrong;

    for my $query (@queries) {
        my $walk = qr/[*]|\d\/\d/;
        my $fits = $of eq $query || $part{$query}{$of}
            || ($of !~ $walk && $query !~ $walk)
            || "$of $query" =~ m{^f?query/\*\.b\.\S+ f?query/\*\.b\.};
        my $r = $t->get("/$query" . ($query =~ /\?/ ? '&' : '?')
                        . "cursor=$cursor{$of}");

        push @wrong, "$query: $r->{status}"
            if $r->{status} != ($fits ? 200 : 400);
    }

    is("@wrong", '', "the cursor of $of");
}

my $r = $t->get('/query/*.example.com?cursor=805306368000000000');
is("$r->{status} " . $json->decode($r->{content})->{error}, '400 cursor',
   'a number of a single key');

# every byte of it changed: an answer of its own records, or none

my @wrong;

for my $i (0 .. length($cursor{'query/*.b.example.org'}) - 1) {
    for my $c ('A', '_', '7') {
        my $text = $cursor{'query/*.b.example.org'};
        substr($text, $i, 1) = $c;

        my $r = $t->get("/query/*.b.example.org?cursor=$text");
        push @wrong, "$text: $r->{status}"
            if $r->{status} != 400
               && ($r->{status} != 200
                   || grep { $_->{rrname} !~ /\.b\.example\.org$/ }
                      map { $json->decode($_) } split /\n/, $r->{content});
    }
}

is("@wrong", '', 'a cursor that was changed shows nothing else');

$t->finish;
done_testing();

# Passive DNS: records that are too old are hidden and removed, with all that
# was about them, and nothing else; what comes back is found again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Test;
use Test::More;

my $t = D4::Pdns->new(lookup => 1, workers => 2,
                      http => 'pdns_flush 20ms;')->start;

sub line { return D4::Pdns::line(@_) }

my $now = time();
my $old = $now - 40 * 86400;
my $week = $now - 7 * 86400;

my @old = (
    (map { line($old, "o$_.old.example.", 'A', '192.0.2.' . $_ % 100) }
     1 .. 2000),
    line($old, 'both.example.com.', 'A', '198.51.100.1'),
    line($old, 'both.example.com.', 'TXT', '"' . 'x' x 100 . '"'),
    line($old, 'mx.example.com.', 'MX', '10 target.example.net.'),
    line($old, 'six.example.com.', 'AAAA', '2001:db8::66'),
    '{"rrname":"extra.example","rrtype":"A","rdata":"192.0.2.200",'
        . "\"time_first\":$old,\"time_last\":$old,\"sensor_id\":\"s\"}",
    line($week, 'txt.example.com.', 'TXT', '"short"'),
);

my @new = (
    line($now, 'both.example.com.', 'AAAA', '2001:db8::1'),
    line($now, 'new.example.com.', 'A', '192.0.2.1'),
    line($now, 'old.example.', 'A', '192.0.2.1'),
    line($week, 'week.example.com.', 'A', '192.0.2.2'),
    line($now, 'p.example.com.', 'CNAME', 'o7.old.example.'),
);

$t->ingest(@new);
my %only_new = %{ $t->store->snapshot('^[HC]') };
$t->ingest(@old);

cmp_ok(scalar $t->store->keys('N:*'), '>', 2000, 'many old records');

$t->{http} .= ' pdns_retention 30d; pdns_retention 2d TXT; pdns_sweep 300ms;';
$t->reload(gone => 20);

is_deeply([ map { (split)[1] } $t->rows('/query/both.example.com') ],
          [ 'AAAA' ], 'what is old is hidden at once');

ok(poll_until(60, sub {
    5 == scalar(() = $t->store->keys('N:*'));
}), 'and removed after a while');

poll_until(10, sub {
    !grep { /^[4R6PDE]:/ && !exists $only_new{$_} } $t->store->keys;
});

my @left = grep { !/^[HCTU]/ && !exists $only_new{$_} } $t->store->keys;
my @lost = grep { !/^[HCTU]/ && !$t->store->cmd('EXISTS', $_) }
    keys %only_new;

# long data of types with a name may stay, as the documentation says

is_deeply(\@left, [], 'nothing about them is left');
is_deeply(\@lost, [], 'and nothing else is gone');

is_deeply([ sort map { (split)[0] } $t->rows('/query/*.example.com') ],
          [ 'both.example.com', 'new.example.com', 'p.example.com',
            'week.example.com' ],
          'the others are found as before');
is(scalar(() = $t->rows('/lookup/rdata/name/*.old.example')), 1,
   'also by what they point to');

$t->ingest(line($now, 'o5.old.example.', 'A', '192.0.2.77'));
is(scalar(() = $t->rows('/query/*.old.example')), 2,
   'what comes back is found by its name');
is_deeply([ map { (split)[0] } $t->rows('/query/192.0.2.64/27') ],
          [ 'o5.old.example' ], 'and by its address');

$t->finish;
done_testing();

# Passive DNS: error answers that a published database holds among its records
# are error answers here: read in place and taken over, with the same answer
# before, while and after that, where they are kept at all.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Redis;
use D4::Test;
use Test::More;

use constant MANY => 6000;

my $t = D4::Pdns->new(workers => 2, location => 'pdns_export on;');
my $json = D4::Pdns::json();

$t->{redis_lines} = join "\n", $t->redis_lines,
    "    redis pdns_legacy unix:$t->{socket} db=6;";

sub configure { $t->{http} = "pdns_flush 20ms; $_[0]" }

configure('pdns_errors 30d; pdns_types A AAAA;');
$t->redis_start;

my $old = D4::Redis->new(unix => $t->{socket}, db => 6);
my $now = time();
my @commands;

# as the published analyzer writes them; times are seconds ago

sub published {
    my ($name, $type, $data, $first, $last, $count) = @_;

    push @commands, [ 'SADD', "r:$name:$type", $data ],
        [ 'SADD', "v:$data:$type", $name ],
        [ 'SET', "s:$name:$data:$type", $now - $first ],
        [ 'SET', "l:$name:$data:$type", $now - $last ],
        [ 'SET', "o:$name:$data:$type", $count ];
}

published('gone.example.com', 1, 'nxdomain', 900, 300, 7);
published('gone.example.com', 28, 'servfail', 800, 200, 3);
published('gone.example.com', 15, 'refused', 800, 700, 2);
published('gone.example.com', 33, 'unknown-error-23', 50, 50, 1);
published('gone.example.com', 16, 'unknown-error-none', 50, 50, 1);
published('gone.example.com', 1, '192.0.2.1', 600, 400, 4);
published('gone.example.com', 12, 'ptr.example.com', 600, 400, 4);
published('spelt.example', 1, 'notimpl', 90, 60, 5);
published('spelt.example', 1, 'notimp', 80, 70, 8);
published('Dotted.example.', 1, 'nxdomain', 90, 60, 5);
published('dotted.example', 1, 'nxdomain', 95, 65, 6);
published('dotted.example.', 1, 'nxdomain', 90, 55, 6);
published('old.example', 1, 'nxdomain', 50 * 86400, 40 * 86400, 5);
published('bad..example', 1, 'nxdomain', 9, 8, 5);
published("n$_.many.example", 1, 'nxdomain', 10000 + $_, 5000 + $_, $_)
    for 1 .. MANY;

$old->pipeline(@commands);
my $before = $old->snapshot;

$t->nginx_start;

sub failed {
    my ($ago, $name, $type, $rcode, $count) = @_;

    return D4::Pdns::line($now - $ago, $name, $type, $rcode, $count)
           =~ s/\|\|300\|\|/||0||/r;
}

# earlier, later, and between; of one that it does not know

$t->ingest(failed(950, 'gone.example.com.', 'A', 'NXDOMAIN', 10),
           failed(150, 'gone.example.com.', 'AAAA', 'SERVFAIL', 20),
           failed(750, 'gone.example.com.', 'MX', 'REFUSED', 30),
           failed(250, 'gone.example.com.', 'A', 'SERVFAIL', 40),
           failed(1, 'new.example.', 'A', 'NXDOMAIN', 1));

sub error { return join ' ', @_[0 .. 2], $now - $_[3], $now - $_[4], $_[5] }

my %want = (
    'gone.example.com' => [
        map { error('gone.example.com', @$_) }
        [ 'SRV', 'RCODE23', 50, 50, 1 ], [ 'AAAA', 'SERVFAIL', 800, 150, 23 ],
        [ 'A', 'SERVFAIL', 250, 250, 40 ], [ 'A', 'NXDOMAIN', 950, 300, 17 ],
        [ 'MX', 'REFUSED', 800, 700, 32 ]
    ],
    'spelt.example' => [ error('spelt.example', 'A', 'NOTIMP', 90, 60, 8) ],
    'new.example' => [ error('new.example', 'A', 'NXDOMAIN', 1, 1, 1) ],
    'old.example' => [],
    'n77.many.example' => [ error('n77.many.example', 'A', 'NXDOMAIN', 10077,
                                  5077, 77) ],
);

sub ready {
    return poll_until(20, sub {
        10 == grep { $t->get('/query/gone.example.com')->{status} == 200 }
            1 .. 10;
    });
}

sub pages {
    my ($path) = @_;

    my @rows = $t->rows("$path&limit=1");

    while (defined(my $cursor = $t->{last}{headers}{'x-pdns-cursor'})) {
        push @rows, $t->rows("$path&limit=1&cursor=$cursor");
        last if @rows > 100;
    }

    return @rows;
}

sub answers {
    my ($when) = @_;

    my %got = map { $_ => [ $t->rows("/query/$_?errors=1") ] } keys %want;

    is_deeply(\%got, \%want, "$when: every answer is what both know");
    is_deeply([ pages('/query/gone.example.com?errors=1') ],
              $want{'gone.example.com'}, "$when: and so are its pages");
    is_deeply([ $t->rows('/query/gone.example.com') ],
              [ error('gone.example.com', 'A', '192.0.2.1', 600, 400, 4) ],
              "$when: records are none of them");
    is(scalar(() = $t->rows('/fquery/nxdomain')), 0, "$when: nor are data");

    my $b = $t->post('/bulk?errors=1',
                     join '', map { "$_\n" } sort(keys %want), '192.0.2.1');

    is_deeply([ map { my $o = $json->decode($_);
                      "$o->{query} $o->{rrtype} $o->{rcode} $o->{count}" }
                split /\n/, $b->{content} ],
              [ map { my $name = $_;
                      map { "$name " . join ' ', (split)[1, 2, 5] }
                      @{ $want{$name} } } sort keys %want ],
              "$when: many at once");
}

# page by page

sub exported {
    my @rows;
    my $cursor = 0;

    while (defined $cursor && @rows < 2 * MANY) {
        push @rows, $t->rows("/export?errors=1&cursor=$cursor");
        $cursor = $t->{last}{headers}{'x-pdns-cursor'};
    }

    return @rows;
}

sub dotted { return $t->rows('/query/dotted.example?errors=1') }
sub cursor { return $t->store->cmd('GET', 'H:migrate:cursor') // '' }

ok(ready(), 'it is connected');
answers('beside a store');

is_deeply([ $t->rows('/query/gone.example.com?errors=1&rrtype=MX,SRV') ],
          [ grep { / (?:MX|SRV) / } @{ $want{'gone.example.com'} } ],
          'of some types');
is_deeply([ dotted() ], [ error('dotted.example', 'A', 'NXDOMAIN', 95, 55, 6) ],
          'two spellings of a name are one');
is(scalar(() = exported()), 5,
   'an export is of the store alone');
is_deeply([ sort $t->store->keys('X:*') ],
          [ 'X:{com.example}gone', 'X:{example.new}' ],
          'and looking at it changes nothing there');


# without pdns_errors they are left out, as ever

configure('pdns_types A AAAA; pdns_migrate on;');
$t->reload(gone => 20);
ok(poll_until(60, sub { cursor() eq 'done' }), 'taken over without errors');
is_deeply([ sort $t->store->keys('X:*') ],
          [ 'X:{com.example}gone', 'X:{example.new}' ],
          'none of them is in the store');
is_deeply([ map { (split)[5] } $t->rows('/query/gone.example.com?errors=1') ],
          [ 20, 40, 30, 10 ], 'those that are there have their own counts');


# it is taken over, and stopped in the middle

configure('pdns_errors 30d; pdns_types A AAAA; pdns_migrate on;');

for my $try (1 .. 20) {
    $t->store->cmd('DEL', 'H:migrate:lease', 'H:migrate:cursor');
    $t->reload(gone => 20);
    poll_until(60, sub { cursor() ne '' }, 0.002);
    $t->nginx_kill;
    last if cursor() ne 'done';
    $t->nginx_start;
}

like(cursor(), qr/^[1-9]\d*$/, 'killed in the middle of it');

configure('pdns_errors 30d; pdns_types A AAAA;');
$t->nginx_start;
ready();
answers('a part is taken over');

$t->store->cmd('DEL', 'H:migrate:lease');
configure('pdns_errors 30d; pdns_types A AAAA; pdns_migrate on;');
$t->reload(gone => 20);
ok(poll_until(120, sub { cursor() eq 'done' }), 'it goes on to its end');
answers('all is taken over');
is($t->store->cmd('ZCARD', 'H:errors'), MANY + 4, 'each name once');

my %is = %{ $t->store->snapshot('^H:(?!errors)|^C') };

$t->store->cmd('DEL', 'H:migrate:lease', 'H:migrate:cursor');
$t->reload(gone => 20);
ok(poll_until(120, sub { cursor() eq 'done' }), 'taken over again');
is_deeply($t->store->snapshot('^H:(?!errors)|^C'), \%is,
          'nothing has changed');

configure('pdns_errors 30d; pdns_types A AAAA; pdns_legacy off;');
$t->reload(gone => 20);
answers('the store alone');
is_deeply([ dotted() ], [ error('dotted.example', 'A', 'NXDOMAIN', 90, 55, 6) =~
                          s/ \d+ (\d+ 6)$/ @{[ $now - 95 ]} $1/r ],
          'all spellings are one there');
is_deeply([ sort grep { /^gone/ } exported() ],
          [ sort @{ $want{'gone.example.com'} } ], 'an export has the sums');
is_deeply($old->snapshot, $before, 'the published database is as it was');


# no more names than may be

$t->store->cmd('FLUSHDB');
configure('pdns_errors 30d max=500; pdns_migrate on; pdns_legacy off;');
$t->reload(gone => 20);
ok(poll_until(60, sub {
    cursor() eq 'done' && $t->store->cmd('ZCARD', 'H:errors') == 500
        && 500 == scalar(() = $t->store->keys('X:*'));
}), 'of too many the oldest go');
is(scalar(() = $t->rows('/query/n1.many.example?errors=1')), 1,
   'the newest stay');
is(scalar(() = $t->rows('/query/n' . MANY . '.many.example?errors=1')), 0,
   'these are gone');

$t->finish;
done_testing();

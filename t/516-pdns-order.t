# Passive DNS: the order of pages, either way, also while many more records
# move than a page has.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Test;
use D4::Redis;
use POSIX ();
use Test::More;

use constant { MANY => 5000, T => 1500000000 };

my $t = D4::Pdns->new(lookup => 1, http => 'pdns_flush 20ms;'
                                           . ' pdns_errors 20000d;')->start;
my $json = D4::Pdns::json();

sub line { return D4::Pdns::line(@_) }

$t->ingest(
    (map { line(T + int($_ / 7), "n$_.example.com.", 'A', '192.0.2.1') }
         1 .. MANY),
    (map { line(T, "same$_.example.net.", 'A', '192.0.2.2') } 1 .. 2500),
    (map { line(T + int($_ / 3), 'big.example.com.', 'A',
                '10.0.' . int($_ / 250) . '.' . $_ % 250, 2000000000) }
         1 .. 4000),
    (map { line(T + int($_ / 3), 'small.example.com.', 'A', "10.1.0.$_") }
         1 .. 200),
    (map { line(T + $_, "m$_.example.com.", 'MX', '10 mail.example.com.') }
         1 .. 120),
    (map { line(T + $_, 'gone.example.com.', $_, 'NXDOMAIN')
               =~ s/\|\|300\|\|/||0||/r } 1001 .. 1150),
);


# pages of some size, by the number of the cursor as PyPDNS does or its text

sub pages {
    my ($path, $size, $by, $between) = @_;

    my (@all, $cursor);

    for (1 .. 3000) {
        push @all, $t->records($path, 'dribble-paginate-count' => $size,
                               (defined $cursor
                                ? ('dribble-paginate-cursor' => $cursor)
                                : ()));
        $cursor = $t->{last}{headers}{"x-$by-cursor"} // return @all;
        $between->($cursor) if $between;
    }

    die "$path: no end of pages";
}

sub text {
    return map { "$_->{rrname} $_->{rrtype} $_->{rdata} $_->{time_last}" } @_;
}

for my $path ('/query/192.0.2.1', '/query/192.0.2.2',
              '/query/big.example.com', '/query/small.example.com',
              '/fquery/mail.example.com',
              '/query/gone.example.com?errors=1')
{
    my $sep = $path =~ /\?/ ? '&' : '?';
    my @newest = text($t->records("$path${sep}sort=time_last"));
    my @oldest = text($t->records("$path${sep}sort=-time_last"));

    is_deeply([ text($t->records($path)) ], \@newest,
              "$path: the newest first is the default");
    is_deeply(\@oldest, [ reverse @newest ],
              'the oldest first is the reverse');

    for my $by ('dribble', 'pdns') {
        is_deeply([ text(pages("$path${sep}sort=-time_last", 97, $by)) ],
                  \@oldest, "in pages by x-$by-cursor");
    }
}

# time fences

for ([ 'time_last_after=1500000100', 100, 714 ],
     [ 'time_last_before=1500000100', 0, 100 ],
     [ 'time_last_after=1500000050&time_last_before=1500000060', 50, 60 ],
     [ 'time_first_after=1500000700', 700, 714 ])
{
    my ($args, $from, $to) = @$_;

    for my $path ('/query/192.0.2.1', '/query/big.example.com') {
        my @page = pages("$path?sort=-time_last&$args", 150, 'pdns');
        my @newest = pages("$path?$args", 150, 'dribble');

        is_deeply([ text(@page) ], [ reverse text(@newest) ],
                  "$path: $args, either way");
        is($page[0]{time_last}, T + $from, 'from its start');
        is($page[-1]{time_last}, T + $to, 'to its end')
            if $path =~ /192/;
    }
}


# what there is not

for my $path ('/query/*.example.com?sort=-time_last',
              '/query/n1.*?sort=-time_last',
              '/query/10.0.0.0/8?sort=-time_last',
              '/query/192.0.2.1?sort=-time_first', '/query/192.0.2.1?sort=',
              '/query/192.0.2.1?sort=time_last%00')
{
    is($t->get($path)->{status}, 400, "$path: 400");
}

is($t->post('/bulk?sort=-time_last', 'big.example.com')->{status}, 400,
   'nor of many');

for my $by ('dribble', 'pdns') {
    for my $sort ('time_last', '-time_last') {
        my $other = $sort eq 'time_last' ? '-time_last' : 'time_last';

        $t->records("/query/192.0.2.1?sort=$sort",
                    'dribble-paginate-count' => 61);
        my $cursor = $t->{last}{headers}{"x-$by-cursor"};

        is($t->get("/query/192.0.2.1?sort=$other&cursor=$cursor")->{status},
           400, "a cursor of $sort goes with no other");
    }
}


# while records arrive: those that are seen again move behind

my %again;
my $n = 0;
my @all = pages('/query/192.0.2.1?sort=-time_last', 50, 'dribble', sub {
    return if $n++ > 40;

    my @some = map { 1 + int rand MANY } 1 .. 40;

    $again{"n$_.example.com"} = 1 for @some;
    $t->ingest(map { line(T + 5000 + $n, "n$_.example.com.", 'A',
                          '192.0.2.1') } @some);
});

my %times;
$times{$_->{rrname}}++ for @all;

is(scalar(keys %times), MANY, 'nothing is missing while records move');
is_deeply([ grep { $times{$_} > 1 && !$again{$_} } keys %times ], [],
          'what comes again was seen again');
is_deeply([ map { $_->{time_last} } @all ],
          [ sort { $a <=> $b } map { $_->{time_last} } @all ], 'in order');


# thousands move between two commands, all the time: to the end, and to the
# front of whoever reads the newest first

sub mover {
    my ($key) = @_;

    my $pid = fork() // die;
    return $pid if $pid != 0;

    # a tenth of what is there, the first of it or the last
    my $script = "local m = redis.call(ARGV[1], KEYS[1], 0, 299)\n"
        . "for i = 1, #m do if m[i]:find('move') then "
        . "redis.call('ZADD', KEYS[1], ARGV[2], m[i]) end end";
    my $store = D4::Redis->new(unix => $t->{socket}, db => $t->DB);

    for my $i (1 .. 1e6) {
        $store->cmd('EVAL', $script, 1, $key,
                    $i % 2 ? 'ZRANGE' : 'ZREVRANGE',
                    $i % 2 ? T + 900000 + $i : T - 900000 - $i);
        select(undef, undef, undef, 0.0005);
    }
    POSIX::_exit(0);
}

$t->ingest(
    (map { line(T + $_, "stay$_.example.org.", 'A', '192.0.2.3') } 1 .. 3000),
    (map { line(T + $_ * 3, "move$_.example.org.", 'A', '192.0.2.3') }
         1 .. 3000));

my ($key) = grep { /^R:/ && $t->store->cmd('ZCARD', $_) == 6000 }
    $t->store->keys('R:*');
my $pid = mover($key);

for my $sort ('-time_last', 'time_last') {
    my %there;

    $there{$_->{rrname}}++
        for pages("/query/192.0.2.3?sort=$sort", 40, 'pdns');

    is(scalar(grep { $there{"stay$_.example.org"} } 1 .. 3000), 3000,
       "sort=$sort: what stays is not missing while thousands move");
    is_deeply([ grep { /^stay/ && $there{$_} > 1 } keys %there ], [],
              'nor comes twice');
}

kill('KILL', $pid);
waitpid($pid, 0);

$t->finish;
done_testing();

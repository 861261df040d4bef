# Passive DNS: a database of the published analyzer is read in place, beside
# the store: the answers are the same before, while and after it is taken over,
# however often that is interrupted; nothing is written to it, and no command
# is sent that Redis 5 does not know.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Proc;
use D4::Redis;
use D4::Test;
use Socket 'inet_aton';
use Test::More;

use constant { NAMES => 8000, SHARED => 2600 };

my $t = D4::Pdns->new(workers => 2);
my $socket = "$t->{dir}/old.sock";
my ($old_proc, $old);
my @commands = qw(auth select ping info client|setname
                  exists scard sscan mget scan);

$t->{redis_lines} = join "\n", $t->redis_lines,
    "    redis pdns_legacy unix:$socket db=3 user=reader"
    . ' password_file=old.key;';
$t->write_file('old.key', "secret\n");

sub configure {
    my ($more) = @_;

    $t->{http} = "pdns_flush 20ms; $more";
}

sub old_start {
    $old_proc = D4::Proc->start(
        [ 'redis-server', '--port', 0, '--unixsocket', $socket,
          '--unixsocketperm', 777, '--dir', "$t->{dir}", '--save', '',
          '--dbfilename', 'old.rdb' ],
        out => "$t->{dir}/logs/old.log");

    poll_until(20, sub {
        $old = D4::Redis->new(unix => $socket, db => 3)
            and eval { $old->cmd('PING') eq 'PONG' };
    }) or die 'no second redis-server';

    # who reads it may send nothing else

    $old->cmd('ACL', 'SETUSER', 'reader', 'on', '>secret', '~*', 'resetchannels',
              '-@all', map { "+$_" } @commands);
}

sub old_stop {
    $old->cmd('SAVE');
    undef $old;
    $old_proc->stop('TERM', 20);
}


# What there is to know: name, type, data => first, last, count.

my %NUMBER = (A => 1, CNAME => 5, PTR => 12, MX => 15, TXT => 16, AAAA => 28);
my (@published, @lines, %know, %about);

# what is asked for, and which records that is

my %asked = (
    '/query/www.example.com'  => sub { /^www\.example\.com / },
    '/query/dotted.example'   => sub { /^dotted\.example / },
    '/query/192.0.2.8'        => sub { / 192\.0\.2\.8$/ },
    '/query/192.0.2.1'        => sub { / A 192\.0\.2\.1$/ },
    '/query/2001:db8:0::1'    => sub { / AAAA 2001:db8::1$/ },
    '/query/203.0.113.5'      => sub { / 203\.0\.113\.5$/ },
    '/query/big.example'      => sub { /^big\.example / },
    '/query/198.51.100.77'    => sub { / 198\.51\.100\.77$/ },
    '/query/n77.many.example' => sub { /^n77\.many/ },
    '/query/1.2.0.192.in-addr.arpa' => sub { /^1\.2\.0/ },
    '/fquery/mx.example.net'  => sub { / mx\.example\.net$/ },
    '/fquery/www.example.com' => sub { / PTR www\.example\.com$/ },
    '/fquery/v=spf1%20-all'   => sub { / TXT v=spf1 -all$/ },
    '/query/10.0.0.0/22'      => sub { / 10\.0\.[0-3]\.\d+$/ },
    '/query/2001:db8::-2001:db8::1:0' => sub { / 2001:db8::/ },
    '/query/192.0.0.0/16'     => sub { / A 192\.0\.\d+\.\d+$/ },
    '/query/nothing.example'  => sub { 0 },
    '/query/www.example.com?rrtype=AAAA' => sub { /^www\.example\.com AAAA/ },
);

sub know {
    my ($name, $type, $data, $first, $last, $count) = @_;

    my $record = "$name $type $data";
    my $k = $know{$record} //= [ $first, $last, 0 ];

    if (!$k->[2]) {
        for my $path (keys %asked) {
            push @{ $about{$path} }, $record
                if grep { $asked{$path}->() } $record;
        }
    }

    $k->[0] = $first if $first < $k->[0];
    $k->[1] = $last if $last > $k->[1];
    $k->[2] += $count;
}

# as the published analyzer writes it

sub published {
    my ($name, $type, $data, $first, $last, $count) = @_;

    my $n = $NUMBER{$type};

    push @published, [ 'SADD', "r:$name:$n", $data ],
        [ 'SADD', "v:$data:$n", $name ],
        [ 'SET', "s:$name:$data:$n", $first ],
        [ 'SET', "l:$name:$data:$n", $last ],
        [ 'SET', "o:$name:$data:$n", $count ];

    know(@_);
}

sub seen {
    my ($name, $type, $data, $time, $count) = @_;

    push @lines, D4::Pdns::line($time, $name, $type, $data, $count);

    know($name, $type, $data, $time, $time, $count);
}

my $T = 1500000000;

published('www.example.com', 'A', '192.0.2.1', $T, $T + 100, 7);
published('www.example.com', 'AAAA', '2001:db8::1', $T + 1, $T + 101, 8);
published('www.example.com', 'CNAME', 'alias.example.net', $T, $T + 50, 2);
published('old.example.com', 'A', '192.0.2.1', $T, $T + 30, 3);
published('mail.example.com', 'MX', 'mx.example.net', $T, $T + 30, 3);
published('text.example.com', 'TXT', 'v=spf1 -all', $T, $T + 3, 1);
published('1.2.0.192.in-addr.arpa', 'PTR', 'www.example.com', $T, $T + 5, 3);

# earlier, later and between: what both know

seen('www.example.com', 'A', '192.0.2.1', $T - 500, 10);
seen('www.example.com', 'AAAA', '2001:db8::1', $T + 900, 20);
seen('www.example.com', 'CNAME', 'alias.example.net', $T + 10, 30);
seen('new.example.com', 'A', '192.0.2.1', $T + 40, 1);
seen('www.example.com', 'A', '198.51.100.7', $T + 60, 1);

for my $i (1 .. NAMES) {
    published("n$i.many.example", 'A', '198.51.100.' . $i % 200, $T + $i,
              $T + 1000 + $i, $i);
}

for my $i (1 .. SHARED) {
    my $last = $T + int($i / 7);

    published("s$i.shared.example", 'A', '203.0.113.5', $T, $last, 2);

    # a third is in both, seen earlier, at the same time, or later

    next if $i % 3;
    seen("s$i.shared.example", 'A', '203.0.113.5',
         $last + ($i % 9 == 0 ? -100 : $i % 9 == 3 ? 0 : 333), 5);
}

for my $i (1 .. 1500) {
    seen("t$i.shared.example", 'A', '203.0.113.5', $T + int($i / 5), 1);
}

published("big.example", 'A', '10.0.' . int($_ / 250) . '.' . $_ % 250, $T,
          $T + $_, 2) for 1 .. 1300;

push @published,
    [ 'SADD', 'r:www.example.com:28', 'nxdomain' ],
    [ 'SET', 's:www.example.com:nxdomain:28', $T ],
    [ 'SET', 'l:www.example.com:nxdomain:28', $T ],
    [ 'SADD', 'r:www.example.com:1', '192.0.2.99' ],      # has expired
    [ 'SET', 'r:www.example.com:2', 'not a set' ],
    [ 'SADD', 'r:dotted.example.:1', '192.0.2.8' ],
    [ 'SADD', 'v:192.0.2.8:1', 'dotted.example.' ],
    [ 'SET', 's:dotted.example.:192.0.2.8:1', $T ],
    [ 'SET', 'l:dotted.example.:192.0.2.8:1', $T ];
know('dotted.example', 'A', '192.0.2.8', $T, $T, 1);

# the same record from wherever it came

sub expected {
    my ($path) = @_;

    return sort map { "$_ @{ $know{$_} }" } @{ $about{$path} // [] };
}

sub wrong {
    my ($path, $got) = @_;

    my @want = expected($path);
    my @have = sort @$got;
    my $last = 9e9;

    for (@$got) {
        my ($data, $time) = (split ' ')[2, -2];
        my $place = $path !~ m{\d/\d} ? $time
                    : -unpack('N', inet_aton($data));

        return "$path: $_ does not come in order" if $place > $last;
        $last = $place;
    }

    return if "@want" eq "@have";

    my %want = map { $_ => 1 } @want;
    my %have;
    $have{$_}++ for @have;

    return "$path: " . @have . ' of ' . @want . ': missing '
        . join(', ', (grep { !$have{$_} } @want)[0, 1, 2]) . '; too much '
        . join(', ', (grep { $have{$_} > 1 || !$want{$_} } @have)[0, 1, 2]);
}

no warnings 'uninitialized';

# page by page, the way PyPDNS does or by the text of the place

sub pages {
    my ($path, $size, $numbers, $between) = @_;

    my (@rows, $cursor);

    for (1 .. 2000) {
        my %h = ('dribble-paginate-count' => $size);

        $h{'dribble-paginate-cursor'} = $cursor if defined $cursor;

        push @rows, $t->rows($path, %h);
        $cursor = $t->{last}{headers}{$numbers ? 'x-dribble-cursor'
                                               : 'x-pdns-cursor'};
        return \@rows if !defined $cursor;
        $between->() if $between;
    }

    die "$path: no end of pages";
}

sub answers {
    my ($when) = @_;

    my @wrong = map { wrong($_, [ $t->rows($_) ]) } sort keys %asked;

    is(join("\n", @wrong), '', "$when: every answer is what both know");

    @wrong = map { wrong("/query/$_->[0]", pages("/query/$_->[0]", @$_[1, 2])) }
        [ '203.0.113.5', 700, 0 ], [ '203.0.113.5', 199, 1 ],
        [ 'www.example.com', 1, 0 ], [ 'big.example', 333, 1 ],
        [ '10.0.0.0/22', 90, 1 ];

    is(join("\n", @wrong), '', "$when: and so are its pages");

    @wrong = map {
        wrong("/query/$_->[0]",
              [ reverse @{ pages("/query/$_->[0]?sort=-time_last",
                                 @$_[1, 2]) } ])
    } [ '203.0.113.5', 700, 1 ], [ 'www.example.com', 1, 0 ],
      [ 'big.example', 333, 0 ];

    is(join("\n", @wrong), '', "$when: with the oldest first, too");
}

sub ready {
    return poll_until(20, sub {
        # both workers have to be connected
        10 == grep { $t->get('/query/www.example.com')->{status} == 200 }
            1 .. 10;
    });
}

sub cursor { return $t->store->cmd('GET', 'H:migrate:cursor') // '' }

$t->redis_start;
old_start();
$old->pipeline(@published);

my $before = $old->snapshot;

configure('');
$t->nginx_start;
ok(ready(), 'it is connected');

$t->ingest(@lines);
answers('beside a store');

# what is answered of more than one key

is(scalar(() = $t->rows('/query/*.shared.example')), 1500 + int(SHARED / 3),
   'of names that the store knows, by a wildcard');
is_deeply([ sort map { (split)[0] } $t->rows('/query/192.0.2.1?expand=1') ],
          [ sort map { (split)[0] } grep { /^(?:www|old|new)\.example\.com / }
            keys %know ],
          'all records of the names that an address has');

my $bulk = $t->post('/bulk', "nothing.example\nold.example.com\n"
                    . "new.example.com\nn5.many.example\n");
is_deeply([ map { D4::Pdns::json->decode($_)->{query} } split /\n/,
            $bulk->{content} ],
          [ 'old.example.com', 'new.example.com', 'n5.many.example' ],
          'many values at once');

is_deeply([ map { (split)[1] }
            $t->rows("/query/www.example.com?time_last_after=@{[ $T + 100 ]}"
                     . "&time_last_before=@{[ $T + 899 ]}") ],
          [ 'A' ], 'time fences are about both');
is_deeply([ map { (split)[1, 2] }
            $t->rows('/query/www.example.com?time_first_before='
                     . ($T - 1)) ], [ 'A', '192.0.2.1' ],
          'and the first times are');

# new records come, and some of those that are there come again

my (%again, $n);
my $rows = pages('/query/203.0.113.5', 150, 1, sub {
    $n++;
    $again{"s$n.shared.example"} = 1;
    $t->ingest(D4::Pdns::line($T + 5000 + $n, "fresh$n.example", 'A',
                              '203.0.113.5'),
               D4::Pdns::line($T + 5000 + $n, "s$n.shared.example", 'A',
                              '203.0.113.5'));
    know("s$n.shared.example", 'A', '203.0.113.5', $T + 5000 + $n,
         $T + 5000 + $n, 1);
    know("fresh$n.example", 'A', '203.0.113.5', $T + 5000 + $n,
         $T + 5000 + $n, 1);
});
my %times;
$times{(split)[0]}++ for @$rows;

is_deeply([ grep { $times{$_} > 1 } keys %times ], [],
          'nothing comes twice while records arrive');
is_deeply([ grep { !$times{$_} && !$again{$_} && !/^fresh/ }
            map { /^(\S+) A 203\.0\.113\.5$/ ? $1 : () } keys %know ], [],
          'and nothing is missing');

answers('after that');

# it is taken over, and stopped at once, in two ways

configure('pdns_migrate on;');

for my $try (1 .. 20) {
    $t->store->cmd('DEL', 'H:migrate:lease', 'H:migrate:cursor');
    $t->reload(gone => 20);
    poll_until(60, sub { cursor() ne '' }, 0.002);
    $t->nginx_kill;
    last if cursor() ne 'done';
    $t->nginx_start;
}

my $middle = cursor();

like($middle, qr/^[1-9]\d*$/, 'killed in the middle of it');

configure('');
$t->nginx_start;
ready();
answers('a part is taken over');

$t->store->cmd('DEL', 'H:migrate:lease');
configure('pdns_migrate on;');
$t->reload(gone => 20);
poll_until(60, sub { cursor() ne $middle }, 0.002);
$t->reload(gone => 20);

my $checks = 0;
my @wrong;

poll_until(120, sub {
    for my $path ('/query/203.0.113.5', '/query/www.example.com',
                  '/query/n77.many.example', '/query/big.example') {
        my $wrong = wrong($path, [ $t->rows($path) ]);
        push @wrong, $wrong if defined $wrong;
    }

    $checks++;
    cursor() eq 'done';
}, 0.01);

is(cursor(), 'done', 'it goes on after a kill and a reload, to its end');
is(join("\n", @wrong), '', "and the answers are the same meanwhile");

answers('all is taken over');

# once more from its start: it is the same store

my %is = %{ $t->store->snapshot('^[HC]') };

$t->store->cmd('DEL', 'H:migrate:lease', 'H:migrate:cursor');
$t->reload(gone => 20);
ok(poll_until(120, sub { cursor() eq 'done' }), 'taken over again');
is_deeply($t->store->snapshot('^[HC]'), \%is, 'nothing has changed');

# without it

configure('pdns_legacy off;');
$t->reload(gone => 20);
answers('the store alone');

is_deeply([ sort map { join ' ', (split)[0, 1, 2] }
            @{ pages('/query/*.example', 5000, 0) } ],
          [ sort grep { /\.example / } keys %know ],
          'and there is nothing else');

is_deeply($old->snapshot, $before, 'the published database is as it was');

# an empty store again, and more than it may read

$t->store->cmd('FLUSHDB');
configure('pdns_legacy_limit 1000;');
$t->reload(gone => 20);
ready();
$t->ingest(D4::Pdns::line($T, 'here.example', 'A', '203.0.113.5'));

is_deeply([ map { (split)[0] } $t->rows('/query/203.0.113.5') ],
          [ 'here.example' ], 'of a larger set only what the store has');
is($t->{last}{headers}{'x-pdns-legacy'}, 'partial', 'and the answer says so');
is(scalar(() = $t->rows('/query/198.51.100.77')), NAMES / 200,
   'others are read');
is($t->{last}{headers}{'x-pdns-legacy'}, undef, 'and whole');

# it is away

old_stop();

my $r;
ok(poll_until(20, sub {
    $r = $t->get('/query/www.example.com');
    $r->{status} == 503
}), 'without it there is no answer');
is(D4::Pdns::json->decode($r->{content})->{error}, 'legacy', 'that says why');
is($t->get('/info')->{status}, 200, 'others are answered');

old_start();
ok(ready(), 'it is back');
is(scalar(() = $t->rows('/query/www.example.com')), 3, 'and is read');

is_deeply([ grep { /NOPERM|unknown command/i } $t->log_lines(qr/legacy/) ],
          [], 'nothing else was asked of it');
$old_proc->stop('TERM', 20);

$t->finish;
done_testing();

# Lists: sorted, filtered, paged, all of them as NDJSON, many in one call; with
# thousands of sensors, a hundred thousand with LONG=1.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Api;
use D4::Proc;
use D4::Test;
use IO::Select;
use Test::More;
use Time::HiRes qw(sleep time);

my $t = D4::Api->new(workers => 2, http => 'd4_monitor_interval 300ms;')
    ->start;
my $metadata = $t->db('metadata');


# All pages of a list, as far as there are any.

sub all {
    my ($path, %opt) = @_;

    my (@sensors, $next, $pages);

    do {
        my $url = $path . ($path =~ /\?/ ? '&' : '?') . 'limit='
            . ($opt{limit} // 100) . (defined $next ? "&next=$next" : '');
        my $r = $t->request('GET', $url);

        if ($r->{status} != 200) {
            fail("GET $url: $r->{status}");
            return [];
        }

        push @sensors, @{ $r->{json}{sensors} };
        $next = $r->{json}{next};
        $pages++;
    } while (defined $next && $pages < 2000);

    return \@sensors;
}

sub uuids { return map { $_->{uuid} } @{ $_[0] } }


# Bulk: results for each, keys that are made are shown.

my %made;

{
    my @sensors = map { {
        uuid => new_uuid(), name => sprintf('%s%03d', $_ % 2 ? 'Odd' : 'even',
                                            $_),
        tags => [ $_ % 3 ? 'x' : 'third', 'tlp:green' ],
        $_ % 5 ? () : (group => 'fives'),
    } } 1 .. 200;

    my $results = $t->ok(200, 'POST', 'sensors/bulk/register',
                         body => { sensors => \@sensors })->{results};

    is(scalar @$results, 200, 'two hundred in one call');
    is(scalar(grep { $_->{status} eq 'success'
                     && $_->{hmac_key} =~ /^[\w-]{64}$/ } @$results), 200,
       'each with a key of its own');

    $results = $t->ok(200, 'POST', 'sensors/bulk/register', body => {
        sensors => [ $sensors[0], { name => 'new' } ] })->{results};
    is_deeply([ map { $_->{status} } @$results ], [ 'error', 'success' ],
              'one of two was there');
    $t->ok(200, 'DELETE', "sensors/$results->[1]{uuid}");

    my $error = $t->ok(400, 'POST', 'sensors/bulk/register', body => {
        sensors => [ { name => 'fine' }, { name => 1 } ] });
    like($error->{reason}, qr/^Sensor 1: /, 'which one is wrong');
    is(scalar $metadata->members('registered_uuid'), 200,
       'nothing is done then');

    %made = map { $_->{uuid} => $_ } @sensors;
}


# Order.

{
    my %name = map { $_ => lc $made{$_}{name} } keys %made;
    my @by_uuid = sort keys %made;
    my @by_name = sort { $name{$a} cmp $name{$b} } keys %made;

    is_deeply([ uuids(all('sensors', limit => $_)) ], \@by_uuid,
              "by uuid, pages of $_") for 1000, 200, 7;
    is_deeply([ uuids(all('sensors?sort=-uuid', limit => 33)) ],
              [ reverse @by_uuid ], 'backwards');
    is_deeply([ uuids(all('sensors?sort=name', limit => 33)) ], \@by_name,
              'by name, in any case');
    is_deeply([ uuids(all('sensors?sort=-name', limit => 33)) ],
              [ reverse @by_name ], 'backwards');

    # last seen, as another program writes it: the keeper follows

    my $n = 0;
    my @seen = map { [ $_, 1000 + int($n++ / 3) ] } @by_uuid;

    $metadata->pipeline(map { [ 'HSET', "metadata_uuid:$_->[0]", 'last_seen',
                                $_->[1] ] } @seen);
    ok(poll_until(60, sub {
        ($t->request('GET', 'sensors?sort=-seen&limit=1')
            ->{json}{sensors}[0]{last_seen} // 0) == $seen[-1][1]
            && $metadata->cmd('ZCOUNT', 'd4:index:seen', 0, 0) == 0
    }), 'the keeper follows last_seen');

    my @order = map { $_->[0] }
        sort { $a->[1] <=> $b->[1] || $a->[0] cmp $b->[0] } @seen;
    is_deeply([ uuids(all('sensors?sort=seen', limit => 7)) ], \@order,
              'by last seen, equal ones by uuid');
    is_deeply([ uuids(all('sensors?sort=-seen', limit => 7)) ],
              [ reverse @order ], 'backwards');
}


# Filters, alone and together.

{
    my @f = (
        [ 'tag=third', sub { grep { $_ eq 'third' } @{ $_[0]{tags} } } ],
        [ 'group=fives', sub { ($_[0]{group} // '') eq 'fives' } ],
        [ 'name=ODD', sub { $_[0]{name} =~ /^odd/i } ],
        [ 'state=registered', sub { 1 } ],
        [ 'state=pending', sub { 0 } ],
    );

    for my $x (0 .. $#f) {
        for my $y ($x .. $#f) {
            for my $sort (qw(uuid -name seen)) {
                next if $x != $y
                    && ($f[$x][0] =~ /^(\w+)/)[0] eq ($f[$y][0] =~ /^(\w+)/)[0];

                my %query = map { $_->[0] => 1 } $f[$x], $f[$y];
                my $query = join('&', sort keys %query) . "&sort=$sort";
                my @want = sort grep { $f[$x][1]($made{$_})
                                       && $f[$y][1]($made{$_}) } keys %made;

                is_deeply([ sort(uuids(all("sensors?$query", limit => 9))) ],
                          \@want, $query);
            }
        }
    }

    is_deeply(all('sensors?tag=none'), [], 'a tag that nobody has');
    is_deeply(all('sensors?connected=true'), [], 'nobody is connected');
    $t->ok(400, 'GET', 'sensors?connected=true&sort=name');
}


# Tags of several.

{
    my @some = (sort keys %made)[0 .. 9];

    is($t->ok(200, 'POST', 'sensors/bulk/tag', as => 'user', body => {
        uuids => [ @some, new_uuid() ], add => [ 'new' ],
        remove => [ 'tlp:green' ] })->{changed}, 10, 'ten are changed');
    is_deeply([ uuids(all('sensors?tag=new')) ], \@some, 'found by the tag');
    is(scalar @{ all('sensors?tag=tlp:green') }, 190, 'the other is gone');
    is($t->ok(200, 'POST', 'sensors/bulk/tag', body => {
        uuids => \@some, add => [ 'new' ] })->{changed}, 0, 'no change');

    $t->ok(200, 'PATCH', "sensors/$some[0]",
           body => { name => undef, tags => [], group => 'other' });
    is(scalar @{ all('sensors?tag=new') }, 9, 'an index follows a change');
    is_deeply([ uuids(all('sensors?group=other')) ], [ $some[0] ],
              'a group, too');
    is((uuids(all('sensors?sort=name')))[0], $some[0],
       'without a name: first');

    my $pending = $t->ok(201, 'POST', 'sensors', as => 'user',
                         body => { name => 'p' })->{uuid};
    is_deeply([ uuids(all('pending')) ], [ $pending ], 'pending');
    is($t->ok(200, 'POST', 'sensors/bulk/approve', body => {
        uuids => [ $pending, $some[0] ] })->{changed}, 1, 'approved');
    is_deeply(all('pending'), [], 'none is pending');
    $t->ok(200, 'DELETE', "sensors/$pending");
}


# What another program registers, or takes away, with dashes, too.

{
    my ($one, $two) = map { new_uuid() } 1 .. 2;

    $metadata->cmd('SADD', 'registered_uuid', $one, dashed($two), 'nonsense');
    ok(poll_until(60, sub {
        my %have = map { $_ => 1 } uuids(all('sensors', limit => 1000));
        $have{$one} && $have{$two}
    }), 'the keeper finds what others register');
    is($t->ok(200, 'GET', "sensors/$two")->{state}, 'registered',
       'with dashes, too');
    $metadata->cmd('SREM', 'registered_uuid', $one, 'nonsense');
    $t->ok(200, 'DELETE', "sensors/$two");
    ok(!$metadata->cmd('SISMEMBER', 'registered_uuid', dashed($two)),
       'the dashed member is gone');
    ok(poll_until(60, sub {
        !grep { $_ eq $one } uuids(all('sensors', limit => 1000))
    }), 'and what they take away');
}


# Export and import.

my $ndjson = { 'Content-Type' => 'application/x-ndjson' };
my $export = $t->request('GET', 'sensors/export')->{content};

{
    my @lines = map { $t->json->decode($_) } split /\n/, $export;

    is_deeply([ sort map { $_->{uuid} } @lines ], [ sort keys %made ],
              'an export has all of them');
    unlike($export, qr/hmac_key/, 'and no keys');

    is_deeply($t->ok(200, 'POST', 'sensors/import', body => $export,
                     headers => $ndjson),
              { created => 0, updated => 0, existing => 200, failed => 0,
                errors => [] }, 'imported where they are');

    my %before = map { $_ => { $metadata->cmd('HGETALL', "metadata_uuid:$_") } }
        keys %made;
    is($t->ok(200, 'POST', 'sensors/import?update=true', body => $export,
              headers => $ndjson)->{updated}, 200, 'updated');
    my %after = map { $_ => { $metadata->cmd('HGETALL', "metadata_uuid:$_") } }
        keys %made;
    is_deeply(\%after, \%before, 'changes nothing, keys stay');

    $t->ok(200, 'DELETE', "sensors/$_") for keys %made;
    is($metadata->cmd('ZCARD', 'd4:index:name'), 0, 'the indexes are empty');
    is($t->ok(200, 'POST', 'sensors/import', body => $export,
              headers => $ndjson)->{created}, 200, 'imported where none are');

    my $again = $t->request('GET', 'sensors/export')->{content};
    my $strip = sub {
        return [ map { my $s = $t->json->decode($_);
                       delete @$s{qw(created own_key last_seen first_seen)};
                       $s } split /\n/, $_[0] ];
    };
    is_deeply($strip->($again), $strip->($export), 'the same again');

    # lines that are not good; a line that is too long; no last newline

    my $good = new_uuid();
    my $r = $t->ok(200, 'POST', 'sensors/import', headers => $ndjson,
                   body => "\n{\"uuid\":\"x\"}\r\n[]\n{\"name\":\"x\"}\n"
                           . '{"uuid":"' . new_uuid() . '","name":"'
                           . 'x' x 70000 . "\"}\n{\"uuid\":\"$good\"}");
    is($r->{created}, 1, 'the good one of five');
    is($r->{failed}, 4, 'four are not');
    is_deeply([ map { $_->{line} } @{ $r->{errors} } ], [ 2, 3, 4, 5 ],
              'which');
    $t->ok(200, 'GET', "sensors/$good");
    $t->ok(200, 'DELETE', "sensors/$good");

    my $bad = $t->ok(200, 'POST', 'sensors/import', headers => $ndjson,
                     body => "x\n" x 5000);
    is($bad->{failed}, 5000, 'five thousand bad lines');
    is(scalar @{ $bad->{errors} }, 100, 'of which a hundred are told');

    is($t->ok(200, 'POST', 'sensors/import', body => '', headers => $ndjson)
       ->{created}, 0, 'an empty import');
}


# Conditional requests, HEAD.

{
    my $u = (keys %made)[0];
    my $r = $t->request('GET', "sensors/$u");
    my $tag = $r->{headers}{etag};

    like($tag, qr/^"[0-9a-f]{32}"$/, 'an entity tag');
    my $same = $t->request('GET', "sensors/$u",
                           headers => { 'If-None-Match' => $tag });
    is($same->{status}, 304, 'not modified');
    is($same->{content} // '', '', 'nothing is sent');
    $t->ok(200, 'PATCH', "sensors/$u", body => { description => 'new' });
    is($t->request('GET', "sensors/$u",
                   headers => { 'If-None-Match' => $tag })->{status}, 200,
       'modified');
    my $head = $t->request('HEAD', "sensors/$u");
    is($head->{headers}{'content-length'},
       length $t->request('GET', "sensors/$u")->{content}, 'HEAD');
}


# Very many.

{
    my $n = LONG ? 100000 : 5000;
    my @many = map { new_uuid() } 1 .. $n;
    my $begin = time();

    my $r = $t->ok(200, 'POST', 'sensors/import', headers => $ndjson,
                   name => "an import of $n", body => join('', map {
        '{"uuid":"' . $_ . '","name":"many ' . $_ . '","tags":["many"],'
            . '"hmac_key":"k"}' . "\n" } @many));
    is($r->{created}, $n, 'all were created');
    diag(sprintf('%d imported in %.1f s', $n, time() - $begin));

    # a worker's memory does not grow with the list

    $t->request('GET', 'sensors/export');
    my %rss = map { $_ => D4::Proc::rss($_) } $t->workers;
    my $lines = 0;

    for (1 .. 4) {
        $t->{agent} = undef;
        $lines = () = $t->request('GET', 'sensors/export')->{content} =~ /\n/g;
    }

    is($lines, $n + 200, 'an export has all of them');

    for my $pid ($t->workers) {
        cmp_ok(D4::Proc::rss($pid) - $rss{$pid}, '<',
               ASAN ? 64 << 20 : 8 << 20, 'and does not need their memory');
    }

    # a client that does not read, while others are served

    my $slow = $t->raw("GET /api/v1/sensors/export HTTP/1.0\r\n"
                       . "Authorization: $t->{token}{admin}\r\n\r\n",
                       keep => 1);
    my @slow = map { $t->raw("GET /api/v1/sensors/export HTTP/1.0\r\n"
                             . "Authorization: $t->{token}{admin}\r\n\r\n",
                             keep => 1) } 1 .. 10;

    sleep 1;
    $t->{agent} = undef;
    $t->ok(200, 'GET', "sensors/$many[0]", name => 'others are served')
        for 1 .. 4;

    close($_) for @slow;               # aborted in the middle

    my $got = '';
    while (IO::Select->new($slow)->can_read(20)
           && sysread($slow, $got, 1 << 20, length $got)) { }
    is(() = $got =~ /\n\{/g, $n + 200, 'the slow one gets all of it');

    # a page in the middle costs what a page costs

    is(scalar @{ all('sensors?tag=many&state=pending', limit => 1000) }, 0,
       'a filter that lets nobody through comes to its end');
    is(scalar @{ $t->ok(200, 'GET', 'sensors?sort=-uuid&limit=1000&tag=many')
                 ->{sensors} }, 1000, 'a page of a thousand');
}

ok($t->request('GET', '/health')->{status} == 200, 'nginx is well');
$t->{agent} = undef;
$t->finish;
done_testing();

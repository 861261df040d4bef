# The configuration of a public service, as it is in conf/: limits for those
# without a token, more with one, what browsers need, and a cache that pages
# can be read through.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Proc;
use D4::Test;
use HTTP::Tiny;
use Test::More;

my $json = D4::Pdns::json();
my $conf = "$FindBin::Bin/../conf";

sub line { return D4::Pdns::line(@_) }


# a server as conf/ has it, with names and paths of this test

sub public {
    my (@files) = @_;

    my $t = D4::Pdns->new(lookup => 1, workers => 2);
    my $port = free_port();

    $t->certificate;
    $t->write_file('pdns-tokens.map', "secret-token 1;\n",
                   "\"Basic dXNlcjpwYXNzd29yZA==\" 1;\n");
    mkdir("$t->{dir}/cache");
    $t->give("$t->{dir}/cache");

    my $text = join '', map { D4::Proc::slurp("$conf/$_") } @files;
    my %here = (
        'listen 443 ssl'         => "listen 127.0.0.1:$port ssl",
        '/etc/nginx/tls/pdns'    => "$t->{dir}/server",
        '/etc/nginx/pdns-tokens' => "$t->{dir}/pdns-tokens",
        '/var/cache/nginx/pdns'  => "$t->{dir}/cache",
        '/run/nginx-pdns.sock'   => "$t->{dir}/p.sock",
    );

    for my $from (keys %here) {
        $text =~ s/\Q$from\E/$here{$from}/g
            or $from =~ /cache|run/ or die "no $from in @files";
    }

    if (@files > 1) {
        $text =~ s/^ +pdns on;\n/proxy_pass http:\/\/pdns_cached;\n/m
            or die 'no pdns on';
    }

    $t->{http} = "pdns_flush 20ms;\n$text";
    $t->start;

    $t->{public} = "https://127.0.0.1:$port/pdns";
    $t->{tls_ua} = HTTP::Tiny->new(timeout => 30,
        SSL_options => { SSL_ca_file => "$t->{dir}/ca.crt" },
        verify_SSL => 1);

    return $t;
}

sub ask {
    my ($t, $path, %headers) = @_;

    return $t->{tls_ua}->get("$t->{public}$path", { headers => \%headers });
}


my $t = public('pdns.conf');

$t->ingest(map { line(1500000000 + $_, "n$_.example.com.", 'A',
                      '192.0.2.1') } 1 .. 300);

my @got = map { ask($t, '/query/n1.example.com') } 1 .. 40;
my @ok = grep { $_->{status} == 200 } @got;
my ($busy) = grep { $_->{status} == 429 } @got;

cmp_ok(@ok, '>=', 11, 'whoever comes first is answered');
is($ok[0]{content} =~ /"rrname":"n1\.example\.com"/, 1, 'with records');
is($json->decode($ok[0]{content})->{origin}, 'https://pdns.example.org/',
   'and the origin of the service');
ok($busy, 'who asks too fast is not');
is(eval { $json->decode($busy->{content})->{error} }, 'rate', 'told in JSON');
ok($busy->{headers}{'retry-after'}, 'with a time to come again');
is($busy->{headers}{'access-control-allow-origin'}, '*',
   'and readable by pages of others');
isnt($busy->{content}, 'Rate Limit Exceeded', 'not what makes clients retry');

is_deeply([ grep { $_ != 200 } map { ask($t, '/query/n2.example.com',
                'X-API-Key' => 'secret-token')->{status} } 1 .. 100 ], [],
          'with a token there is more');
for my $as ('secret-token', 'Basic dXNlcjpwYXNzd29yZA==') {
    is_deeply([ grep { $_ != 200 } map { ask($t, '/query/n2.example.com',
                    Authorization => $as)->{status} } 1 .. 50 ], [],
              "also as Authorization: $as");
}

ok((grep { ask($t, '/query/n1.example.com', Authorization => 'Basic eDp4')
           ->{status} == 429 } 1 .. 40), 'with a wrong one there is not');
ok((grep { ask($t, '/query/n1.example.com', 'X-API-Key' => "guess $_")
           ->{status} == 429 } 1 .. 40), 'nor with a wrong one of the other kind');

my $r = ask($t, '/query/192.0.2.1?limit=100', 'X-API-Key' => 'secret-token',
            Origin => 'https://page.example');
is($r->{headers}{'access-control-allow-origin'}, '*', 'CORS');
like($r->{headers}{'access-control-expose-headers'}, qr/X-Dribble-Cursor/,
     'with the headers of pages');
like($r->{headers}{'cache-control'}, qr/private/, 'no shared cache');
like($r->{headers}{vary}, qr/Dribble-Paginate-Cursor/,
     'and none that mixes pages');

$r = $t->{tls_ua}->request('OPTIONS', "$t->{public}/query/n1.example.com", {
    headers => { Origin => 'https://page.example',
                 'Access-Control-Request-Method' => 'GET',
                 'Access-Control-Request-Headers' => 'x-api-key' } });
is($r->{status}, 204, 'a preflight');
like($r->{headers}{'access-control-allow-headers'}, qr/X-API-Key/,
     'lets the token through');

$r = ask($t, '/query/a..b', 'X-API-Key' => 'secret-token');
is($r->{status}, 400, 'errors are the same');
is($r->{headers}{'access-control-allow-origin'}, '*', 'readable, too');

$r = $t->{tls_ua}->post("$t->{public}/bulk", {
    headers => { 'X-API-Key' => 'secret-token' },
    content => "n1.example.com\nn2.example.com\n" });
is(scalar(() = $r->{content} =~ /\n/g), 2, 'bulk requests');

(my $in = $t->{public}) =~ s{/pdns$}{};
is($t->{tls_ua}->post("$in/pdns-in/ingest", { content => 'x' })->{status}, 403,
   'records come from where they may');
is($t->{tls_ua}->post("$t->{public}/ingest", {
       headers => { 'X-API-Key' => 'secret-token' },
       content => 'x' })->{status}, 405, 'not here');
is($t->{tls_ua}->get("$in/metrics/pdns")->{status}, 403,
   'figures are not for all');


# a refused line has its client's address in it

$t->post('/ingest', "1500000000||192.0.2.250||192.0.2.53||IN||bad||A||x||0||1\n");
ok(poll_until(30, sub { $t->get('/info')->{content} =~ /192\.0\.2\.250/ }),
   'a sample is shown where records are taken');
$r = ask($t, '/info', 'X-API-Key' => 'secret-token');
like($r->{content}, qr/"rejects":\{[^}]*"bad_rdata":1/,
     'everybody may know how many were refused');
unlike($r->{content}, qr/samples|192\.0\.2\.250/, 'and not what');


# with the cache: pages one by one, by header and by argument

my $c = public('pdns.conf', 'pdns-cache.conf');

$c->ingest(map { line(1500000000 + int($_ / 7), "n$_.example.com.", 'A',
                      '192.0.2.1') } 1 .. 600);

sub pages {
    my ($by) = @_;
    my (@names, $cursor);

    for (1 .. 40) {
        my $r = $by eq 'header'
            ? ask($c, '/query/192.0.2.1', 'X-API-Key' => 'secret-token',
                  'dribble-paginate-count' => 50,
                  $cursor ? ('dribble-paginate-cursor' => $cursor) : ())
            : ask($c, '/query/192.0.2.1?limit=50'
                      . ($cursor ? "&cursor=$cursor" : ''),
                  'X-API-Key' => 'secret-token');

        die "$r->{status} $r->{content}" if $r->{status} != 200;

        push @names, map { $json->decode($_)->{rrname} }
            split /\n/, $r->{content};
        $cursor = $by eq 'header' ? $r->{headers}{'x-dribble-cursor'}
                                  : $r->{headers}{'x-pdns-cursor'};
        last if !defined $cursor;
    }

    return @names;
}

for my $by (qw(header argument)) {
    my @names = pages($by);
    my %seen = map { $_ => 1 } @names;

    is(@names, 600, "pages through the cache, by $by");
    is(keys %seen, 600, 'nothing twice');
    is_deeply([ pages($by) ], \@names, 'and the same from the cache');
}

# what is cached is seen by a change that it does not have

my $before = ask($c, '/query/n1.example.com',
                 'X-API-Key' => 'secret-token')->{content};

$c->ingest(line(1600000000, 'n1.example.com.', 'A', '192.0.2.99'));

my $direct = $c->get('/query/n1.example.com')->{content};
my $again = ask($c, '/query/n1.example.com',
                'X-API-Key' => 'secret-token')->{content};

like($direct, qr/192\.0\.2\.99/, 'a record arrives');
ok($again eq $before || $again =~ /192\.0\.2\.99/,
   'an answer is the one from before or the new one');
ok(poll_until(30, sub {
    ask($c, '/query/n1.example.com', 'X-API-Key' => 'secret-token')
        ->{content} =~ /192\.0\.2\.99/;
}), 'and the new one after a while');
ok((() = glob("$c->{dir}/cache/*")), 'there is something in the cache');

like(ask($c, '/query/n1.example.com?rrtype=AAAA',
         'X-API-Key' => 'secret-token')->{content}, qr/^$/,
     'another argument is another answer');
is(ask($c, '/query/192.0.2.1', 'X-API-Key' => 'secret-token',
       'dribble-filter-rrtype' => 'AAAA')->{content}, '',
   'another header as well');

$_->finish for $t, $c;
done_testing();

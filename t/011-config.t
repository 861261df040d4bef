# What nginx -t says about a wrong configuration, and that it talks to nobody.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use IO::Select;
use IO::Socket::INET;
use Test::More;

my $t = D4::Test->new;

my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1')
    or die;
my $redis = '127.0.0.1:' . $listener->sockport;

$t->certificate;
$t->write_file('password', "secret\n");
$t->write_file('key', "the key\n");


my $temp = join ' ', map { "${_}_temp_path tmp;" }
    qw(client_body proxy fastcgi uwsgi scgi);

# conf(main => ..., d4 => ..., stream => ..., server => ...): each replaces
# the part of a configuration that is right; http => ... is one more.

sub conf {
    my (%c) = @_;

    my $core = $c{d4} // 'zone d4 1m; redis metadata ' . $redis
                         . '; redis streams ' . $redis . ' db=4;';

    $core .= " $c{more}" if $c{more};

    my $d4 = $c{main} // "d4 { $core }";
    my $server = $c{server} // 'd4 on;';
    my $listen = $c{listen} // '127.0.0.1:' . $t->{port};
    my $stream = $c{stream} // "server { listen $listen; $server }";

    my @blocks = ($d4, "stream {\n$stream\n}");
    my @http = defined $c{http}
        ? ("load_module $t->{build}/ngx_http_pdns_module.so;") : ();

    push @blocks, "http { access_log off; $temp $c{http} }" if @http;

    return join "\n", $t->load_modules, @http,
        'pid nginx.pid; error_log logs/error.log; events { }',
        $c{last} ? reverse @blocks : @blocks, '';
}


sub pdns { return "server { listen 127.0.0.1:8; location /p/ { $_[0] } }" }

my $pdns = "redis pdns $redis db=5;";

my @right = (
    [ 'the least' ],
    [ 'a unix socket that is not there',
      d4 => 'zone d4 1m; redis metadata unix:none.sock;'
            . ' redis streams unix:/nowhere/none.sock db=3;' ],
    [ 'an IPv6 address',
      d4 => 'zone d4 1m; redis metadata [::1]:6379;'
            . ' redis streams [::1]:6379 db=1;' ],
    [ 'user and password',
      d4 => "zone d4 1m; redis streams $redis;"
            . " redis metadata $redis user=d4 password_file=password db=2;" ],
    [ 'all roles', more => "redis users $redis db=1; redis queues $redis db=2;"
                           . " redis cache $redis db=3;" ],
    [ 'all of d4 { }',
      more => 'mode shared-secret; default_key_file key; host here;'
              . ' worker_memory 64m; batch_size 512k; redis_timeout 5s;'
              . ' stat_interval 500ms; stat_budget 10; stat_retention 30d;'
              . ' refused_max 100;' ],
    [ 'all of the server',
      server => 'd4 on; d4_max_payload 5000; d4_handshake_timeout 5s;'
                . ' d4_frame_timeout 5s; d4_drain_timeout 1s;'
                . ' d4_duplicate replace; d4_buffer_size 1m;'
                . ' d4_backlog_size 8m; d4_versions 1 2; d4_max_skew 1h;' ],
    [ 'the off values',
      server => 'd4 off; d4_versions any; d4_max_skew off;'
                . ' d4_duplicate refuse; return x;' ],
    [ 'd4 { } alone', stream => '' ],
    [ 'd4 { } behind stream { }', last => 1 ],
    [ 'passive DNS', more => $pdns, http => pdns('pdns on;') ],
    [ 'passive DNS without sensors', d4 => $pdns, stream => '',
      http => pdns('pdns on;') ],
    [ 'all of passive DNS',
      more => "$pdns redis queues $redis db=2; redis pdns_legacy $redis db=7;",
      http => 'pdns_queue analyzer:8:a analyzer:8:b; pdns_queue analyzer:8:c;'
              . ' pdns_exclude spam; pdns_types A AAAA TYPE65280 300;'
              . ' pdns_right_wildcard off; pdns_flush 100ms; pdns_memory 1m;'
              . ' pdns_retention 1y; pdns_retention 30d TXT RRSIG;'
              . ' pdns_sweep 1d; pdns_errors 30d max=1000; pdns_migrate on;'
              . ' pdns_limit 1; pdns_bulk 1000000; pdns_buffer 64k;'
              . ' pdns_origin https://pdns.example/; '
              . pdns('pdns on; pdns_ingest on; pdns_export on; pdns_limit 5;'
                     . ' pdns_bulk 5; pdns_buffer 1m; pdns_origin urn:x;'
                     . ' location /p/m { pdns_metrics on; }') ],
    [ 'passive DNS that is off', http => 'pdns_errors off;'
                                         . pdns('pdns off;') ],
    [ 'only figures', more => $pdns, http => pdns('pdns_metrics on;') ],
);

for (@right) {
    my ($name, %c) = @$_;

    my ($status, $out) = $t->check(conf(%c));

    is($status, 0, "right: $name") or diag($out);
    unlike($out, qr/\[(emerg|alert|crit)\]/, 'and says nothing bad');
}


my $zone = 'zone d4 1m;';
my $both = "redis metadata $redis; redis streams $redis db=4;";
my $long = 'unix:/' . 'x' x 120;

my @wrong = (
    # the zone
    [ 'no zone',                  qr/zone/, d4 => $both ],
    [ 'zone too small',           qr/zone.*(too small|small)/i,
      d4 => "zone d4 16k; $both" ],
    [ 'zone of no size',          qr/invalid.*(zone|number)/i,
      d4 => "zone d4; $both" ],
    [ 'zone of a bad size',       qr/zone|size/,
      d4 => "zone d4 lots; $both" ],
    [ 'zone twice',               qr/zone.*duplicate/,
      d4 => "$zone zone e5 1m; $both" ],

    # redis
    [ 'no metadata',              qr/metadata/,
      d4 => "$zone redis streams $redis;" ],
    [ 'no streams',               qr/streams/,
      d4 => "$zone redis metadata $redis;" ],
    [ 'unknown role',             qr/redis.*"?sensors"?/,
      more => "redis sensors $redis;" ],
    [ 'a role twice',             qr/metadata.*duplicate|duplicate.*metadata/,
      more => "redis metadata $redis;" ],
    [ 'a role without address',   qr/redis/, more => 'redis users;' ],
    [ 'a host name',              qr/localhost/,
      more => 'redis users localhost:6379;' ],
    [ 'a bad address',            qr/300\.1\.2\.3/,
      more => 'redis users 300.1.2.3:6379;' ],
    [ 'a bad port',               qr/127\.0\.0\.1:99999/,
      more => 'redis users 127.0.0.1:99999;' ],
    [ 'an empty path',            qr/unix/, more => 'redis users unix:;' ],
    [ 'a path too long',          qr/too long|unix/,
      more => "redis users $long;" ],
    [ 'db that is no number',     qr/db=one/,
      more => "redis users $redis db=one;" ],
    [ 'db below zero',            qr/db=-1/,
      more => "redis users $redis db=-1;" ],
    [ 'a password in the clear',  qr/password=/,
      more => "redis users $redis password=secret;" ],
    [ 'no password file',         qr/no-such-file/,
      more => "redis users $redis password_file=no-such-file;" ],
    [ 'an unknown parameter',     qr/weight/,
      more => "redis users $redis weight=1;" ],

    # other directives of d4 { }
    [ 'mode',                     qr/mode|open/, more => 'mode open;' ],
    [ 'mode twice',               qr/mode.*duplicate/,
      more => 'mode registration; mode registration;' ],
    [ 'no key file',              qr/no-such-file/,
      more => 'default_key_file no-such-file;' ],
    [ 'worker_memory',            qr/worker_memory/,
      more => 'worker_memory much;' ],
    [ 'batch_size',               qr/batch_size/, more => 'batch_size x;' ],
    [ 'redis_timeout',            qr/redis_timeout/,
      more => 'redis_timeout 5q;' ],
    [ 'stat_interval',            qr/stat_interval/,
      more => 'stat_interval often;' ],
    [ 'stat_budget',              qr/stat_budget/, more => 'stat_budget -1;' ],
    [ 'stat_retention',           qr/stat_retention/,
      more => 'stat_retention ever;' ],
    [ 'refused_max',              qr/refused_max/, more => 'refused_max x;' ],
    [ 'an unknown directive',     qr/unknown directive "dispatches"/,
      more => 'dispatches on;' ],
    [ 'too many words',           qr/number of arguments.*"host"/,
      more => 'host a b;' ],
    [ 'd4 { } twice',             qr/d4.*duplicate/,
      main => "d4 { $zone $both } d4 { zone e5 1m; $both }" ],
    [ 'no d4 { }',                qr/d4/, main => '' ],

    # the server
    [ 'd4 that is no flag',       qr/"d4"|yes/, server => 'd4 yes;' ],
    [ 'd4 twice',                 qr/d4.*duplicate/, server => 'd4 on; d4 on;' ],
    [ 'd4 beside another handler', qr/duplicate|handler/,
      server => 'd4 on; return x;' ],
    [ 'd4 over UDP',              qr/udp/i,
      listen => "127.0.0.1:$t->{port} udp" ],
    [ 'd4_max_payload',           qr/d4_max_payload/,
      server => 'd4 on; d4_max_payload big;' ],
    [ 'd4_handshake_timeout',     qr/d4_handshake_timeout/,
      server => 'd4 on; d4_handshake_timeout soon;' ],
    [ 'd4_frame_timeout',         qr/d4_frame_timeout/,
      server => 'd4 on; d4_frame_timeout soon;' ],
    [ 'd4_drain_timeout',         qr/d4_drain_timeout/,
      server => 'd4 on; d4_drain_timeout soon;' ],
    [ 'd4_duplicate',             qr/d4_duplicate|newest/,
      server => 'd4 on; d4_duplicate newest;' ],
    [ 'd4_buffer_size',           qr/d4_buffer_size/,
      server => 'd4 on; d4_buffer_size x;' ],
    [ 'd4_backlog_size',          qr/d4_backlog_size/,
      server => 'd4 on; d4_backlog_size x;' ],
    [ 'd4_versions',              qr/d4_versions|256/,
      server => 'd4 on; d4_versions 256;' ],
    [ 'd4_versions, no number',   qr/d4_versions|all/,
      server => 'd4 on; d4_versions all;' ],
    [ 'd4_max_skew',              qr/d4_max_skew/,
      server => 'd4 on; d4_max_skew some;' ],

    # passive DNS; each of these has "redis pdns", but the first
    [ 'pdns without a store',     qr/redis pdns/, http => pdns('pdns on;') ],
    [ 'pdns_metrics without one', qr/redis pdns/,
      http => pdns('pdns_metrics on;') ],
    [ 'pdns_queue without queues', qr/pdns_queue.*redis queues/,
      more => $pdns, http => 'pdns_queue analyzer:8:a;' ],
    [ 'pdns_queue without sensors', qr/pdns_queue.*redis metadata/,
      d4 => $pdns, stream => '', http => 'pdns_queue analyzer:8:a;' ],
    [ 'pdns_migrate from nowhere', qr/pdns_migrate.*redis pdns_legacy/,
      more => $pdns, http => 'pdns_migrate on;' . pdns('pdns on;') ],
    (map {
        my ($name, $re, $http) = @$_;
        [ $name, $re, more => "$pdns redis queues $redis db=2;",
          http => $http ];
    }
    [ 'pdns that is no flag',     qr/"yes".*"pdns"/, pdns('pdns yes;') ],
    [ 'pdns twice',               qr/"pdns".*duplicate/,
      pdns('pdns on; pdns on;') ],
    [ 'pdns in the server',       qr/"pdns" directive is not allowed/,
      'server { listen 127.0.0.1:8; pdns on; }' ],
    [ 'pdns with figures',        qr/conflicts/,
      pdns('pdns on; pdns_metrics on;') ],
    [ 'figures with pdns',        qr/conflicts/,
      pdns('pdns_metrics on; pdns on;') ],
    [ 'pdns_metrics',             qr/pdns_metrics/, pdns('pdns_metrics 1;') ],
    [ 'pdns_ingest',              qr/pdns_ingest/, pdns('pdns_ingest 1;') ],
    [ 'pdns_ingest in http',      qr/"pdns_ingest" directive is not allowed/,
      'pdns_ingest on;' ],
    [ 'pdns_export',              qr/pdns_export/, pdns('pdns_export all;') ],
    [ 'pdns_export twice',        qr/pdns_export.*duplicate/,
      pdns('pdns_export on; pdns_export on;') ],
    [ 'pdns_limit of none',       qr/value must be/, 'pdns_limit 0;' ],
    [ 'pdns_limit too large',     qr/value must be/, 'pdns_limit 1000001;' ],
    [ 'pdns_limit, no number',    qr/pdns_limit|number/, 'pdns_limit all;' ],
    [ 'pdns_limit twice',         qr/pdns_limit.*duplicate/,
      'pdns_limit 1; pdns_limit 1;' ],
    [ 'pdns_bulk of none',        qr/value must be/, 'pdns_bulk 0;' ],
    [ 'pdns_buffer',              qr/pdns_buffer/, 'pdns_buffer x;' ],
    [ 'pdns_origin twice',        qr/pdns_origin.*duplicate/,
      'pdns_origin a; pdns_origin b;' ],
    [ 'pdns_queue, an empty word', qr/empty word.*pdns_queue/,
      'pdns_queue "";' ],
    [ 'pdns_queue twice the same', qr/duplicate "a"/, 'pdns_queue a b a;' ],
    [ 'pdns_queue in a location', qr/"pdns_queue" directive is not allowed/,
      pdns('pdns_queue a;') ],
    [ 'pdns_queue of nothing',    qr/number of arguments.*"pdns_queue"/,
      'pdns_queue;' ],
    [ 'pdns_exclude, an empty word', qr/empty word.*pdns_exclude/,
      'pdns_exclude a "";' ],
    [ 'pdns_types',               qr/"NONE" is not a type/,
      'pdns_types A NONE;' ],
    [ 'pdns_types ANY',           qr/"ANY" is not a type/, 'pdns_types ANY;' ],
    [ 'pdns_right_wildcard',      qr/pdns_right_wildcard/,
      'pdns_right_wildcard 1;' ],
    [ 'pdns_flush',               qr/pdns_flush/, 'pdns_flush soon;' ],
    [ 'pdns_memory too small',    qr/pdns_memory.*at least 1m/,
      'pdns_memory 512k;' ],
    [ 'pdns_memory',              qr/pdns_memory/, 'pdns_memory x;' ],
    [ 'pdns_retention',           qr/invalid time "ever"/,
      'pdns_retention ever;' ],
    [ 'pdns_retention of nothing', qr/invalid time "0"/,
      'pdns_retention 0;' ],
    [ 'pdns_retention of no type', qr/"NONE" is not a type/,
      'pdns_retention 1d NONE;' ],
    [ 'pdns_retention twice',     qr/pdns_retention.*duplicate/,
      'pdns_retention 1d; pdns_retention 2d;' ],
    [ 'pdns_retention of a type twice', qr/pdns_retention.*duplicate/,
      'pdns_retention 1d TXT; pdns_retention 2d A TXT;' ],
    [ 'pdns_sweep',               qr/pdns_sweep/, 'pdns_sweep often;' ],
    [ 'pdns_errors',              qr/invalid time "on".*pdns_errors/,
      'pdns_errors on;' ],
    [ 'pdns_errors of no time',   qr/invalid time "0".*pdns_errors/,
      'pdns_errors 0;' ],
    [ 'pdns_errors, max',         qr/invalid parameter "max=0"/,
      'pdns_errors 1d max=0;' ],
    [ 'pdns_errors, something else', qr/invalid parameter "min=1"/,
      'pdns_errors 1d min=1;' ],
    [ 'pdns_errors off with max', qr/invalid parameter "max=1"/,
      'pdns_errors off max=1;' ],
    [ 'pdns_errors twice',        qr/pdns_errors.*duplicate/,
      'pdns_errors off; pdns_errors 1d;' ],
    [ 'pdns_errors in a location', qr/"pdns_errors" directive is not allowed/,
      pdns('pdns_errors 1d;') ],
    [ 'pdns_migrate',             qr/pdns_migrate/, 'pdns_migrate 1;' ],
    ),

    # the wrong place
    [ 'd4 { } in stream',         qr/not allowed here|d4/,
      stream => "d4 { $zone $both }" ],
    [ 'redis in the main block',  qr/"redis" directive|unknown directive/,
      main => "redis metadata $redis; d4 { $zone $both }" ],
    [ 'd4_max_payload in d4 { }', qr/d4_max_payload/,
      more => 'd4_max_payload 100;' ],
);

for (@wrong) {
    my ($name, $re, %c) = @$_;

    my ($status, $out) = $t->check(conf(%c));

    isnt($status, 0, "wrong: $name");

    my ($line) = grep { /\[emerg\]/ } split /\n/, $out;

    like($line // $out, $re, 'says what is wrong');
}


# the secret of a file is not shown

{
    my ($status, $out) = $t->check(conf(
        more => "redis users $redis password_file=password;"
                . ' default_key_file key;'));

    unlike($out, qr/secret|the key/, 'secrets are not shown');
}


# plain D4 off the host is warned about; "127.0.0.1" is not

{
    my ($status, $out) = $t->check(conf(listen => "0.0.0.0:$t->{port}"));

    is($status, 0, 'plain D4 on all addresses is allowed');
    like($out, qr/\[warn\].*(ssl|TLS|plain)/i, 'with a warning');

    ($status, $out) = $t->check(conf(listen => "127.0.0.1:$t->{port}"));
    unlike($out, qr/\[warn\]/, 'not on loopback');

    ($status, $out) = $t->check(conf(listen => "unix:$t->{dir}/d4.sock"));
    unlike($out, qr/\[warn\]/, 'not on a unix socket');
    unlink "$t->{dir}/d4.sock";
}

ok(!IO::Select->new($listener)->can_read(0), 'nginx -t connected nowhere');

$t->allow(qr/\[emerg\]/);
$t->finish;
done_testing();

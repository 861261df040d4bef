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


# conf(main => ..., d4 => ..., stream => ..., server => ...): each replaces
# the part of a configuration that is right.

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

    return join "\n", $t->load_modules,
        'pid nginx.pid; error_log logs/error.log; events { }',
        $c{last} ? reverse @blocks : @blocks, '';
}


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

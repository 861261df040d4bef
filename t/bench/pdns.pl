#!/usr/bin/perl

# Copyright (C) The ngx_d4 authors

# make bench: passive DNS.  Lines into the store and lookups out of it, beside
# what Redis and nginx do alone in the same run.
#
#   BENCH_RECORDS   distinct records (1000000; 50000 with BENCH_QUICK)
#   BENCH_SECONDS   of each load of lookups (2)
#   BENCH_WORKERS   workers (2)

use strict;
use warnings;

use Cwd 'abs_path';
use FindBin;
use IO::Handle;
use Time::HiRes qw(sleep time);

use lib $FindBin::Bin;
use Bench;

$| = 1;

my $quick = $ENV{BENCH_QUICK};
my $build = abs_path($ENV{BENCH_BUILD} || "$FindBin::Bin/../../build");
my $records = $ENV{BENCH_RECORDS} || ($quick ? 50_000 : 1_000_000);
my $seconds = $ENV{BENCH_SECONDS} || ($quick ? 1 : 2);
my $workers = (words('BENCH_WORKERS', '2'))[-1];
my $dir = run_dir();
my $socket = "$dir/redis.sock";
my @kinds = qw(name address wildcard network);
my (%ask, $redis, $nginx, $port);


# Records with a realistic skew: a few domains have most of the names, a few
# addresses most of the domains, and what is popular is seen most often.

sub record {
    my ($i) = @_;

    my $domain = int($records / 6 * ($i / $records) ** 2);
    my $mixed = $domain * 40_503_341 % 308_915_776;
    my $word = join '', map { chr(97 + int($mixed / 26 ** $_) % 26) } 0 .. 5;
    my $name = ('www', 'mail', 'api', 'cdn', 'img', "h$i", "x$i")[$i % 7]
        . ".$word." . ('com', 'net', 'org', 'de')[$domain % 4];
    my $kind = $i % 10;

    return ($name, 'A', join '.', 10 + $domain % 40, $domain / 40 % 256,
            $i % 7, $i % 251)
        if $kind < 6;
    return ($name, 'AAAA', sprintf('2001:db8:%x::%x', $domain % 4096,
                                   $i % 977))
        if $kind < 8;
    return ($name, 'CNAME', 'e' . $i % 5000 . '.cdn.net.') if $kind == 8;
    return ($name, 'TXT', "\"v=$i\"");
}


sub line {
    my ($i) = @_;

    my ($name, $type, $data) = record($i);

    return 1_500_000_000 + $i * 7919 % 100_000_000
        . ".123456||192.0.2.1||192.0.2.2||IN||$name.||$type||$data||300||1\n";
}


# Two lines a record: one of each, and as many by popularity among them.

sub write_lines {
    my @files = map { "$dir/lines.$_" } 1 .. $workers;
    my @fh = map { open(my $fh, '>', $_) or die "$_: $!\n"; $fh } @files;

    srand(1);

    for my $i (0 .. $records - 1) {
        my $fh = $fh[$i % @fh];

        print $fh line($i * 7907 % $records),
                  line(int($records * rand() ** 4));
    }

    close($_) for @fh;

    return @files;
}


sub start {
    $port = Bench::free_port();

    my $user = join ' ', scalar getpwuid($>), scalar getgrgid($) + 0);
    my $temp = join "\n", map { "${_}_temp_path $dir/tmp;" }
        qw(client_body proxy fastcgi uwsgi scgi);

    write_file("$dir/pdns.conf", <<"END");
load_module $build/ngx_d4_module.so;
load_module $build/ngx_http_pdns_module.so;
user $user;
daemon off;
worker_processes $workers;
pid pdns.pid;
error_log pdns.error.log notice;
events { worker_connections 1024; }
d4 { redis pdns unix:$socket db=5; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    pdns_right_wildcard off;
    $temp
    server {
        listen 127.0.0.1:$port reuseport;
        location /pdns/ { pdns on; pdns_ingest on; }
        location /200 { return 200 "x"; }
    }
}
END

    my ($program) = grep { -x } '/usr/sbin/nginx', '/usr/local/sbin/nginx';
    my $pid = spawn('pdns.nginx.log', $program, '-p', "$dir/", '-c',
                    "$dir/pdns.conf", '-e', "$dir/pdns.error.log");

    until_true('nginx', 10, sub {
        Bench::alive($pid, 'pdns.nginx.log');
        `curl -s http://127.0.0.1:$port/pdns/info` =~ /records/;
    });

    return $pid;
}


sub used_memory {
    my ($bytes) = redis('INFO', 'memory') =~ /^used_memory:(\d+)/m;
    return $bytes;
}


# What Redis takes of the commonest command, pipelined, from a client of its
# own.

sub raw_writes {
    my $n = $quick ? 100_000 : 500_000;
    my $out = `redis-benchmark -s $socket --dbnum 6 -n $n -r 1000000 -P 128 \\
        -q --csv ZADD N:__rand_int__ GT 1500000000 l1 -1500000000 f1`;

    redis(['SELECT', 6], ['FLUSHDB'], ['SELECT', 5]);

    return $out =~ /"?,"?([\d.]+)"?/ ? $1 : 0;
}


sub raw_reads {
    my ($name) = @{ $ask{name} };
    my ($host, $domain, $top) = split /\./, $name;
    my $n = $quick ? 50_000 : 200_000;
    my $out = `redis-benchmark -s $socket --dbnum 5 -n $n -P 64 -c 64 \\
        -q --csv ZREVRANGE 'N:{$top.$domain}$host' 0 2999 WITHSCORES`;

    return $out =~ /"?,"?([\d.]+)"?/ ? $1 : 0;
}


sub ingest {
    my @files = write_lines();

    redis('SELECT', 5);

    my $before = used_memory();
    my $start = time;
    my @pids = map {
        spawn('curl.log', 'curl', '-sS', '-H', 'Expect:', '--data-binary',
              "\@$_", "http://127.0.0.1:$port/pdns/ingest")
    } @files;

    waitpid($_, 0) for @pids;

    my $took = time - $start;
    my $taken = 0;
    my $log = read_file("$dir/curl.log");

    $taken += $1 while $log =~ /"accepted":(\d+)/g;
    problem("$taken of " . 2 * $records . ' lines were taken')
        if $taken != 2 * $records;

    my ($stored) = `curl -s http://127.0.0.1:$port/pdns/info`
        =~ /"records":(\d+)/;

    unlink @files;

    return ($taken / $took, (used_memory() - $before) / $stored, $stored);
}


# What is asked for: as it is in the store, popular or not.

sub questions {
    srand(2);

    for (1 .. 5000) {
        my $i = int($records * rand());
        my ($name, $type, $data) = record($i);
        my ($domain) = $name =~ /\.(.*)/;

        push @{ $ask{name} }, $name;
        push @{ $ask{wildcard} }, "*.$domain";

        next if $type ne 'A';

        push @{ $ask{address} }, $data;
        push @{ $ask{network} }, $data =~ s/\d+$/0\/24/r;
    }

    for my $kind (@kinds) {
        write_file("$dir/$kind.lua", "local paths = {\n"
            . join('', map { "\"/pdns/query/$_?limit=1000\",\n" }
                       @{ $ask{$kind} })
            . "}\nlocal i = 0\n"
            . "function request()\n"
            . "  i = i % #paths + 1\n"
            . "  return wrk.format('GET', paths[i])\n"
            . "end\n");
    }
}


# Requests a second, and latencies in ms of half of them and of 99 in 100.

sub load {
    my ($connections, $path, @script) = @_;

    my $text = `wrk -t 1 -c $connections -d ${seconds}s --latency @script \\
        'http://127.0.0.1:$port$path'`;
    my %unit = (us => 0.001, ms => 1, s => 1000, m => 60000);
    my ($rate) = $text =~ m{^Requests/sec:\s+([\d.]+)}m;
    my @latency = map {
        $text =~ /^\s+$_%\s+([\d.]+)(us|ms|s|m)$/m ? $1 * $unit{$2} : -1
    } 50, 99;

    problem("wrk: $text") if !$rate || $text =~ /Non-2xx|Socket errors/;

    return ($rate // 0, @latency);
}


built($build, 'ngx_d4_module.so', 'ngx_http_pdns_module.so');

mkdir "$dir/tmp";
chmod 0777, $dir, "$dir/tmp";

$redis = start_redis('off');
$nginx = start();

progress("passive DNS: $records records");

my $raw_writes = raw_writes();
my ($lines, $bytes, $stored) = ingest();

questions();

my $raw_reads = raw_reads();

printf "\nPassive DNS: %d records, %d workers, %d lines\n\n", $stored,
    $workers, 2 * $records;
printf "%-34s %12s %12s %7s\n", '', 'measured', 'baseline', 'ratio';
printf "%-34s %12.0f %12.0f %7.2f\n", 'lines in, a second (Redis: ZADD)',
    $lines, $raw_writes, $raw_writes ? $lines / $raw_writes : 0;
printf "%-34s %12.0f\n", 'bytes of Redis a record', $bytes;

printf "\n%-34s %12s %12s %7s %9s %9s\n", 'lookups a second (return 200)',
    'measured', 'baseline', 'ratio', 'p50 ms', 'p99 ms';

for my $connections (1, 16, 64) {
    my ($base) = load($connections, '/200');

    for my $kind (@kinds) {
        my ($rate, $p50, $p99) = load($connections, '/', '-s',
                                      "$dir/$kind.lua");

        printf "%-34s %12.0f %12.0f %7.2f %9.2f %9.2f\n",
            "$kind, $connections connections", $rate, $base,
            $base ? $rate / $base : 0, $p50, $p99;
    }
}

printf "%-34s %12s %12.0f\n", 'Redis: the same reads, pipelined', '',
    $raw_reads;

Bench::stop($_) for $nginx, $redis;

exit(problems() ? 1 : 0);

#!/usr/bin/perl

# Copyright (C) The ngx_d4 authors

# make bench: passive DNS.  Lines into the store and lookups out of it, beside
# what Redis and nginx do alone in the same run.
#
#   BENCH_RECORDS   distinct records (1000000; 50000 with BENCH_QUICK,
#                   10000000 with LONG)
#   BENCH_SECONDS   of each load of lookups (2)
#   BENCH_WORKERS   workers (2)
#   BENCH_BALBOA    0 leaves balboa out, as do more than a million records

use strict;
use warnings;

use Cwd 'abs_path';
use FindBin;
use IO::Handle;
use IO::Socket::UNIX;
use Time::HiRes qw(sleep time);

use lib $FindBin::Bin;
use Balboa;
use Bench;

$| = 1;

my $quick = $ENV{BENCH_QUICK};
my $build = abs_path($ENV{BENCH_BUILD} || "$FindBin::Bin/../../build");
my $records = $ENV{BENCH_RECORDS}
    || ($quick ? 50_000 : $ENV{LONG} ? 10_000_000 : 1_000_000);
my $seconds = $ENV{BENCH_SECONDS} || ($quick ? 1 : 2);
my $workers = (words('BENCH_WORKERS', '2'))[-1];
my $dir = run_dir();
my $socket = "$dir/redis.sock";
my $per_record = 4.6;
my @kinds = qw(name address wildcard network);
my @pages = (50, 1000);
my (%ask, $redis, $nginx, $port, $plain);


# Records with a realistic skew: a few domains have most of the names, a few
# addresses most of the names, and what is popular is seen most often.  Of a
# hundred records some 63 names and 47 data are distinct; addresses are eight
# by eight in networks that lie apart.

sub mix {
    my ($n) = @_;

    $n = ($n ^ $n >> 15) * 0x2c1b3c6d & 0xffffffff;
    $n = ($n ^ $n >> 12) * 0x297a2d39 & 0xffffffff;

    return ($n ^ $n >> 15) / 2 ** 32;
}


sub record {
    my ($i) = @_;

    my $n = int(0.64 * $i);
    my $domain = int($records / 6 * ($i / $records) ** 2);
    my $mixed = int(mix($domain) * 2 ** 32);
    my $word = join '', map { chr(97 + int($mixed / 26 ** $_) % 26) } 0 .. 5;
    my $name = ('www', 'mail', 'api', 'cdn', 'img', "h$n", "x$n")[$n % 7]
        . ".$word." . ('com', 'net', 'org', 'de')[$domain % 4];
    my $kind = $i % 10;
    my $host = int(0.31 * $records * mix($i) ** 2);

    return ($name, 'A', join '.', unpack 'C4', pack 'N',
            0x0b000000 + int($host / 8) * 8000 + $host % 8 * 11)
        if $kind < 6;
    return ($name, 'AAAA', sprintf('2001:db8:%x::%x', $host % 4096,
                                   $host / 4096))
        if $kind < 8;
    return ($name, 'CNAME', 'e' . $i % 5000 . '.cdn.net.') if $kind == 8;
    return ($name, 'TXT', "\"v=$i\"");
}


# As many lines a record as the data had by which the figures of others were
# taken: one of each, the others by popularity, in the order of time.

sub write_lines {
    my @files = map { "$dir/lines.$_" } 1 .. $workers;
    my @fh = map { open(my $fh, '>', $_) or die "$_: $!\n"; $fh } @files;
    my $lines = int($records * $per_record);
    my $done = 0;
    my @text = map {
        my ($name, $type, $data) = record($_);
        ".123456||192.0.2.1||192.0.2.2||IN||$name.||$type||$data||300||1\n"
    } 0 .. $records - 1;

    srand(1);

    for my $n (0 .. $lines - 1) {
        my $i = $done < ($n + 1) / $per_record
            ? $done++ * 7907 % $records : int($records * rand() ** 4);
        my $fh = $fh[$n % @fh];

        print $fh 1_500_000_000 + int($n * 1e8 / $lines), $text[$i];
    }

    close($_) for @fh;

    return ($lines, @files);
}


sub start {
    $port = Bench::free_port();
    $plain = Bench::free_port();

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
    }
    server {
        listen 127.0.0.1:$plain reuseport;
        return 200 "x";
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


# And what it answers of the same names, with nobody between.

# A hundred at a time, and the next hundred before they are answered.

sub raw_reads {
    my @commands = map {
        my ($host, $domain, $top) = split /\./;
        my $key = "N:{$top.$domain}$host";

        "*5\r\n\$9\r\nZREVRANGE\r\n\$" . length($key) . "\r\n$key\r\n"
            . "\$1\r\n0\r\n\$4\r\n2999\r\n\$10\r\nWITHSCORES\r\n"
    } @{ $ask{name} };
    my @pieces = map {
        join('', @commands[100 * $_ .. 100 * $_ + 99])
            . "*2\r\n\$4\r\nPING\r\n\$13\r\nraw-reads-end\r\n"
    } 0 .. int(@commands / 100) - 1;
    my $s = IO::Socket::UNIX->new(Peer => $socket) or die "redis: $!\n";
    my ($start, $sent, $read) = (time, 0, 0);
    my $in = '';

    syswrite($s, "*2\r\n\$6\r\nSELECT\r\n\$1\r\n5\r\n");
    sysread($s, my $ok, 5);

    while (time - $start < $seconds) {
        syswrite($s, $pieces[$sent++ % @pieces]) while $sent < $read + 2;

        while (index($in, "\$13\r\nraw-reads-end\r\n") < 0) {
            sysread($s, $in, 262144, length $in) or die "redis: $!\n";
        }

        $in = substr($in, index($in, 'raw-reads-end') + 15);
        $read++;
    }

    return 100 * $read / (time - $start);
}


# CPU seconds of Redis and of the workers say what a noisy machine's clock
# does not.

sub cpu_now { return (cpu($redis), cpu(children($nginx))) }


# As it is read: a file may be larger than curl would hold.

sub post {
    my ($file, $times) = @_;

    return spawn('curl.log', 'curl', '-sS', '-X', 'POST', '-H', 'Expect:',
                 ('-T', $file, "http://127.0.0.1:$port/pdns/ingest") x $times);
}


sub ingest {
    my ($lines, @files) = write_lines();

    redis('SELECT', 5);

    my $before = used_memory();
    my @cpu = cpu_now();
    my $start = time;
    my @pids = map { post($_, 1) } @files;

    waitpid($_, 0) for @pids;

    my $took = time - $start;
    my @used = cpu_now();
    my $taken = 0;
    my $log = read_file("$dir/curl.log");

    $taken += $1 while $log =~ /"accepted":(\d+)/g;
    problem("$taken of $lines lines were taken") if $taken != $lines;

    my $stored = 0;

    until_true('counters', 30, sub {
        my $known = $stored;
        sleep 1.5;
        ($stored) = `curl -s http://127.0.0.1:$port/pdns/info`
            =~ /"records":(\d+)/;
        return $known && $known == $stored;
    });

    return { files => \@files, lines => $lines, rate => $taken / $took, stored => $stored,
             bytes => (used_memory() - $before) / $stored,
             redis => ($used[0] - $cpu[0]) / $taken * 1e6,
             nginx => ($used[1] - $cpu[1]) / $taken * 1e6 };
}


# The same lines for balboa, where it is to be had.

my ($balboa, $balboa_lines);

sub balboa {
    my (@files) = @_;

    if (!($ENV{BENCH_BALBOA} // $records <= 1_000_000)) {
        $balboa = 'left out';
        return;
    }

    $balboa = Balboa->new;
    return if !ref $balboa;

    $balboa_lines = $balboa->ingest(@files);
    $balboa->pause;
}


sub balboa_figures {
    if (!ref $balboa) {
        print "\nNo figures of balboa: $balboa\n";
        return;
    }

    $balboa->resume;

    printf "\nbalboa, the same lines and questions\n\n%-34s %12.0f\n",
        'lines in, a second', $balboa_lines;
    printf "%-34s %12s %9s %9s\n", 'lookups a second', 'measured', 'p50 ms',
        'p99 ms';

    for my $connections (1, 16, 64) {
        for ([ name => 'rrname' ], [ address => 'rdata' ]) {
            my ($kind, $by) = @$_;

            printf "%-34s %12.0f %9.2f %9.2f\n",
                "$kind, $connections connections",
                $balboa->load($connections, $seconds, $by, @{ $ask{$kind} });
        }
    }

    $balboa->end;
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
        write_script($kind, $_) for @pages;
    }
}


sub write_script {
    my ($kind, $limit) = @_;

    write_file("$dir/$kind.$limit.lua", "local paths = {\n"
        . join('', map { "\"/pdns/query/$_?limit=$limit\",\n" }
                   @{ $ask{$kind} })
        . "}\nlocal i = 0\n"
        . "function init()\n"
        . "  for n, path in ipairs(paths) do\n"
        . "    paths[n] = wrk.format('GET', path)\n"
        . "  end\n"
        . "end\n"
        . "function request()\n"
        . "  i = i % #paths + 1\n"
        . "  return paths[i]\n"
        . "end\n");
}


# Requests a second, and latencies in ms of half of them and of 99 in 100.

sub load {
    my ($connections, $port, $kind, $limit) = @_;

    my @cpu = cpu_now();
    my $text = `wrk -t 1 -c $connections -d ${seconds}s --latency \\
        -s $dir/$kind.$limit.lua http://127.0.0.1:$port/`;
    my %unit = (us => 0.001, ms => 1, s => 1000, m => 60000);
    my ($rate) = $text =~ m{^Requests/sec:\s+([\d.]+)}m;
    my @latency = map {
        $text =~ /^\s+$_%\s+([\d.]+)(us|ms|s|m)$/m ? $1 * $unit{$2} : -1
    } 50, 99;

    my ($n) = $text =~ /^\s*(\d+) requests in/m;
    my @used = cpu_now();

    problem("wrk: $text") if !$rate || $text =~ /Non-2xx|Socket errors/;

    return ($rate // 0, @latency,
            map { $n ? ($used[$_] - $cpu[$_]) / $n * 1e6 : 0 } 0, 1);
}


# Lookups while lines come in as fast as they are taken: the same ones again,
# so that what is asked for stays what it is.

sub busy {
    my (@files) = @_;
    my @pids = map { post($_, 20) } @files;

    sleep 1;

    my ($start, $before) = (time, accepted());
    my @load = load(16, $port, 'name', 50);
    my $lines = (accepted() - $before) / (time - $start);

    problem('the lines ended before the lookups')
        if grep { waitpid($_, POSIX::WNOHANG()) != 0 } @pids;

    Bench::stop($_) for @pids;

    return ($lines, @load);
}


# Counters reach the store once a second.

sub accepted {
    sleep 1.1;
    my ($n) = `curl -s http://127.0.0.1:$port/pdns/info`
        =~ /"accepted":(\d+)/;
    return $n // 0;
}


built($build, 'ngx_d4_module.so', 'ngx_http_pdns_module.so');

mkdir "$dir/tmp";
chmod 0777, $dir, "$dir/tmp";

$redis = start_redis('off');
$nginx = start();

progress("passive DNS: $records records");

my $raw_writes = raw_writes();
my $in = ingest();

balboa(@{ $in->{files} });
questions();

my $raw_reads = raw_reads();

printf "\nPassive DNS: %d records, %d workers, %d lines\n\n", $in->{stored},
    $workers, $in->{lines};
printf "%-34s %12s %12s %7s\n", '', 'measured', 'baseline', 'ratio';
printf "%-34s %12.0f %12.0f %7.2f\n", 'lines in, a second (Redis: ZADD)',
    $in->{rate}, $raw_writes, $raw_writes ? $in->{rate} / $raw_writes : 0;
printf "%-34s %12.2f\n", 'CPU us a line, Redis', $in->{redis};
printf "%-34s %12.2f\n", 'CPU us a line, workers', $in->{nginx};
printf "%-34s %12.0f\n", 'bytes of Redis a record', $in->{bytes};

printf "\n%-26s %9s %9s %6s %8s %8s %9s %9s\n", 'lookups a second',
    'measured', 'return 200', 'ratio', 'p50 ms', 'p99 ms', 'us Redis',
    'us nginx';

for my $connections (1, 16, 64) {
    my ($base) = load($connections, $plain, 'name', 50);

    for my $kind (@kinds) {
        for my $limit ($connections == 1 ? @pages : $pages[0]) {
            my ($rate, $p50, $p99, @cpu)
                = load($connections, $port, $kind, $limit);

            printf "%-26s %9.0f %9.0f %6.2f %8.2f %8.2f %9.1f %9.1f\n",
                "$kind, $connections" . ($limit > 50 ? ", by $limit" : ''),
                $rate, $base, $base ? $rate / $base : 0, $p50, $p99, @cpu;
        }
    }
}

my ($busy, $rate, $p50, $p99) = busy(@{ $in->{files} });

printf "%-26s %9.0f %9s %6s %8.2f %8.2f\n", 'name, 16, lines come in',
    $rate, '', '', $p50, $p99;
printf "%-26s %9.0f\n", '  lines in meanwhile', $busy;

unlink @{ $in->{files} };

printf "%-34s %12s %12.0f\n", 'Redis: the same reads, pipelined', '',
    $raw_reads;

Bench::stop($_) for $nginx, $redis;

balboa_figures();

exit(problems() ? 1 : 0);

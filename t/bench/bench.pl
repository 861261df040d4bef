#!/usr/bin/perl

# Copyright (C) The ngx_d4 authors

# make bench: frames into Redis through nginx, beside two baselines of the
# same run.  docs/bench.md says how to run it and what the columns mean.

use strict;
use warnings;

use Cwd 'abs_path';
use FindBin;
use List::Util qw(max min sum);
use Time::HiRes qw(sleep time);

use lib $FindBin::Bin;
use Bench;

$| = 1;

my $quick = $ENV{BENCH_QUICK};
my $build = abs_path($ENV{BENCH_BUILD} || "$FindBin::Bin/../../build");
my $runs = $ENV{BENCH_RUNS} || ($quick ? 1 : 3);
my $seconds = $ENV{BENCH_SECONDS} || 2;
my @workers = words('BENCH_WORKERS', $quick ? '1' : '1 2');
my @profiles = words('BENCH_PROFILES', $quick ? 'off' : 'off fast durable');
my @payloads = words('BENCH_PAYLOADS',
                     $quick ? '1460 65535' : '128 1460 16384 65535');
my @connections = words('BENCH_CONNECTIONS', $quick ? '8' : '1 8 64');
my @idle = words('BENCH_IDLE', $ENV{LONG} ? '1000 10000' : '1000');
my $hold = $ENV{BENCH_HOLD} || ($quick ? 5 : 35);

my $key = 'private key to change';
my $type = 8;
my $redis_max = 2.4e9;              # bytes of memory for the frames of a run
my ($redis, $nginx, $port, $sink, $sink_port, $raw);
my (@notes, %result);


sub stored {
    redis('SELECT', 4);
    my @streams = @{ redis('KEYS', 'stream:*') };
    return @streams ? sum(redis(map { ['XLEN', $_] } @streams)) : 0;
}


# Removes the frames, and them from the append-only file; not the sensors.

sub clean {
    redis('SELECT', 4);
    my @keys = map { @{ redis('KEYS', $_) } }
        qw(stream:* key:* session_uuid:* ended_session);
    redis(map { ['DEL', $_] } @keys) if @keys;

    if (redis('CONFIG', 'GET', 'appendonly')->[1] eq 'yes') {
        redis('BGREWRITEAOF');
        until_true('rewrite of the append-only file', 60, sub {
            my $info = redis('INFO', 'persistence');
            $info =~ /aof_rewrite_in_progress:0/
                && $info =~ /aof_rewrite_scheduled:0/;
        });
    }
}


# --- one run of each kind; each returns frames/s and other figures

sub load {
    my ($port, $payload, $c, $frames) = @_;
    return d4load($build, '--key', $key, '--type', $type, '--port', $port,
                  '--payload', $payload, '--connections', $c,
                  '--frames', $frames);
}


sub run_d4 {
    my ($payload, $c, $frames) = @_;
    my @workers = children($nginx);
    my ($n0, $r0, $m0) = (cpu(@workers), cpu($redis), machine_cpu());
    my $what = "$payload bytes, $c connections, $frames frames";

    my %r = load($port, $payload, $c, $frames);

    # normally all is there at once; if not, the wait counts

    my $end = time;
    my ($first, $n) = (1);

    until ((($n = stored()) >= $frames) || time > $end + 15) {
        $first = 0;
        sleep 0.002;
    }

    $r{seconds} += time - $end unless $first;
    $r{other} = machine_cpu() - $m0 - $r{cpu};
    $r{nginx} = cpu(@workers) - $n0;
    $r{redis} = cpu($redis) - $r0;
    $r{other} = ($r{other} - $r{nginx} - $r{redis}) / $r{seconds};
    $r{fps} = $n / $r{seconds};

    problem("$what: $n in Redis") if $n != $frames;
    problem("$what: ended early $r{early}, reset $r{resets}, unfinished "
            . $r{unfinished}) if $r{early} || $r{resets} || $r{unfinished};

    eval {
        until_true("$what: end of the sessions", 15, sub {
            redis('SCARD', 'ended_session') == $c
                && !redis('EXISTS', 'active_connection') });
        1;
    } or problem($@ =~ s/\n//r);

    clean();
    return \%r;
}


sub run_sink {
    my ($payload, $c, $frames) = @_;
    my $cpu = cpu($sink);

    my %r = load($sink_port, $payload, $c, $frames);
    my %s = sink_line() =~ /(\w+)=(\S+)/g;

    problem("sink: $s{frames} of $frames frames") if $s{frames} != $frames;
    $r{sink} = cpu($sink) - $cpu;
    return \%r;
}


sub run_xadd {
    my ($payload, $c, $frames, @xadd) = @_;
    my $cpu = cpu($redis);

    # the list form of open: no shell between us and 64 KB of argument

    open my $out, '-|', 'redis-benchmark', '-s', run_dir() . '/redis.sock',
        '--dbnum', 4, '-c', $c, '-P', 64, '-n', $frames, '-r', $c, '--csv',
        @xadd or die "redis-benchmark: $!\n";
    my @lines = <$out>;
    close $out or die "redis-benchmark failed\n";

    my ($fps) = $lines[-1] =~ /","([\d.]+)"/ or die "redis-benchmark: @lines";
    my $redis = cpu($redis) - $cpu;
    clean();
    return { fps => $fps, redis => $redis };
}


# xadd is the baseline of the aim: entries of one field, trimmed, so that
# memory is used again; xadd4 has our fields and keeps everything, as we do.

my @fields = (uuid => '00000001' . '0' x 24, timestamp => 1700000000,
              version => 1);

my %kinds = (
    d4 => \&run_d4,
    sink => \&run_sink,
    xadd => sub { run_xadd(@_, 'XADD', 'key:__rand_int__', 'MAXLEN', '~', 100,
                           '*', 'message', 'x' x $_[0]) },
    xadd4 => sub { run_xadd(@_, 'XADD', 'key:__rand_int__', '*', 'message',
                            'x' x $_[0], @fields) },
);


# --- measuring

# A first short run warms up and tells how many frames take some seconds.

sub frames_for {
    my ($kind, $payload, $c) = @_;
    my $most = int($redis_max / ($payload * 1.3 + 120));
    my $n = max(64 * $c, min(20000, int(100e6 / $payload)));
    my $fps = $kinds{$kind}->($payload, $c, $n)->{fps};
    my $want = max($n, int($fps * $seconds));

    return $kind =~ /^(d4|xadd4)$/ ? min($most, $want) : $want;
}


sub measure {
    my ($profile, $workers, $payload, $c, @kinds) = @_;
    my %frames = map { $_ => frames_for($_, $payload, $c) } @kinds;
    my %r;

    for my $run (1 .. $runs) {
        for my $kind (@kinds) {
            my $r = $kinds{$kind}->($payload, $c, $frames{$kind});
            my $gb = $frames{$kind} * $payload / 1e9;

            $r->{$_} /= $gb for grep { exists $r->{$_} }
                qw(nginx redis cpu sink);
            push @{ $r{$kind}{$_} }, $r->{$_} for keys %$r;

            my $line = join "\t", $profile, $workers, $payload, $c, $kind,
                $frames{$kind}, map { defined $r->{$_}
                    ? sprintf '%.3f', $r->{$_} : '-' }
                qw(fps nginx redis sink cpu other);
            print $raw "$line\n";
            progress($line);
        }
    }

    return \%r;
}


sub measure_all {
    for my $profile (@profiles) {
        $redis = start_redis($profile);

        for my $w (@workers) {
            my $main = $w == $workers[0];
            next unless $main || $profile eq 'off';

            my @kinds = !$main ? 'd4' : $profile ne 'off' ? qw(d4 xadd)
                : qw(d4 xadd sink xadd4);

            ($nginx, $port) = start_nginx($build, $w, 1024, $key);
            register(max(@connections), $key);

            for my $payload (@payloads) {
                for my $c (@connections) {
                    $result{$profile}{$w}{$payload}{$c} =
                        measure($profile, $w, $payload, $c, @kinds);
                }
            }

            push @notes, sprintf '%s, %d worker(s): a worker was %d MiB at '
                . 'most', $profile, $w,
                max(map { rss('VmHWM', $_) } children($nginx)) / 1024;
            stop($nginx);
        }

        stop($redis);
    }
}


# Silent sensors: resident memory of all workers together, for each of them.

sub measure_idle {
    my ($n) = @_;

    $redis = start_redis('off');
    ($nginx, $port) = start_nginx($build, $workers[0], $n, $key);
    register($n, $key);
    run_d4(1460, 8, 4000);

    my @workers = children($nginx);
    my $before = rss('VmRSS', @workers);
    my $pid = open my $out, '-|', "$build/t/d4load", '--port', $port, '--key',
        $key, '--type', $type, '--payload', 100, '--idle', $n, '--hold', $hold
        or die "d4load: $!\n";

    my %ready = (<$out> // '') =~ /(\w+)=(\S+)/g
        or die "idle sensors: not all got in\n";
    until_true('frames of idle sensors', 15, sub { stored() == $n });

    my $after = $before;
    until_true('steady memory', 10, sub {
        my $last = $after;
        sleep 0.5;
        return $last == ($after = rss('VmRSS', @workers));
    });

    my %r = (<$out> // '') =~ /(\w+)=(\S+)/g;
    close $out;

    push @notes, sprintf 'idle sensors: %d of %d held for %d s, %.1f KiB of '
        . 'resident memory each, %.0f handshakes/s', $r{held} // 0, $n, $hold,
        ($after - $before) / $n, $n / $ready{seconds};
    problem("idle sensors: $r{held} of $n held") if $r{held} != $n;

    stop($nginx);
    stop($redis);
}


# --- printing

sub ratio {
    my ($r, $kind) = @_;
    return ('-', '-') unless $r->{$kind};
    my $base = median(@{ $r->{$kind}{fps} });
    return (sprintf('%.0f', $base),
            sprintf('%.2f', median(@{ $r->{d4}{fps} }) / $base));
}


sub row {
    my ($payload, $c, $r) = @_;
    my $d4 = $r->{d4};
    my $fps = median(@{ $d4->{fps} });

    return $payload, $c,
        sprintf('%.0f (%.0f-%.0f)', $fps, min(@{ $d4->{fps} }),
                max(@{ $d4->{fps} })),
        sprintf('%.1f', $fps * $payload / 1e6),
        map({ sprintf '%.2f', median(@{ $d4->{$_} }) } qw(nginx redis cpu)),
        map { ratio($r, $_) } qw(xadd xadd4 sink);
}


sub table {
    my ($profile, $w) = @_;
    my @head = ('payload', 'c', 'frames/s (min-max)', 'MB/s', 'nginx s/GB',
        'Redis s/GB', 'd4load s/GB', 'XADD/s', 'ratio', 'XADD4/s', 'ratio',
        'sink/s', 'ratio');
    my $cells = $result{$profile}{$w};
    my $out = "\n## $profile, $w worker(s), n=$runs\n\n";

    for my $row (\@head, [('---') x @head],
        map { my $p = $_; map { [row($p, $_, $cells->{$p}{$_})] }
              sort { $a <=> $b } keys %{ $cells->{$p} } }
        sort { $a <=> $b } keys %$cells)
    {
        $out .= '| ' . join(' | ', @$row) . " |\n";
    }

    return $out;
}


sub machine {
    my ($cpu) = read_file('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)/m;
    my $cores = () = read_file('/proc/cpuinfo') =~ /^processor/mg;
    my ($v) = `redis-server --version` =~ /v=(\S+)/;
    my ($ng) = `\${NGINX:-nginx} -v 2>&1` =~ m{nginx/(\S+)};
    my (undef, $ssl) = split ' ', `openssl version`;

    my ($linux) = split ' ', read_file('/proc/sys/kernel/osrelease');

    return sprintf "# Benchmark, %s\n\n%d x %s, Linux %s, nginx %s, "
        . "OpenSSL %s, Redis %s\n", scalar localtime, $cores, $cpu // '?',
        $linux, $ng, $ssl, $v;
}


sub report {
    my $out = machine();

    for my $profile (@profiles) {
        $out .= table($profile, $_)
            for sort { $a <=> $b } keys %{ $result{$profile} };
    }

    my @other = map { @{ $_->{d4}{other} } } map { values %$_ }
        map { values %$_ } map { values %$_ } values %result;

    push @notes, sprintf 'CPU used by others during our runs: median %.2f, '
        . 'at most %.2f cores', median(@other), max(@other) if @other;

    return $out . "\n" . join '', map { "* $_\n" } @notes,
        map { "PROBLEM: $_\n" } problems();
}


# PERF=1: where the time of one cell goes.

sub profile_cell {
    my ($payload, $c) = words('PERF_CELL', '1460 8');

    $redis = start_redis($profiles[0]);
    ($nginx, $port) = start_nginx($build, $workers[0], 1024, $key);
    register($c, $key);

    my $frames = frames_for('d4', $payload, $c);
    my $perf = perf_start(nginx => [children($nginx)], redis => [$redis]);
    my $r = run_d4($payload, $c, $frames);

    printf "%d bytes, %d connections: %.0f frames/s\n", $payload, $c,
        $r->{fps};

    perf_stop($perf);
}


built($build, qw(ngx_d4_module.so ngx_stream_d4_module.so t/d4load t/d4sink));
certificate();

if ($ENV{PERF}) {
    profile_cell();
    exit(problems() ? 1 : 0);
}

my $results = "$build/bench";
mkdir $results;
open $raw, '>', "$results/runs.tsv" or die "$results/runs.tsv: $!\n";
print $raw join("\t", qw(profile workers payload connections kind frames fps
    nginx_s/GB redis_s/GB sink_s/GB d4load_s/GB other_cores)), "\n";

($sink, $sink_port) = start_sink("$build/t/d4sink", $key);
measure_all();
stop($sink);
measure_idle($_) for @idle;

my $report = report();
write_file("$results/report.md", $report);
print $report;
exit(problems() ? 1 : 0);

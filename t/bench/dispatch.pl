#!/usr/bin/perl

# Copyright (C) The ngx_d4 authors

# make bench, its second part: from a sensor's socket to files and a queue,
# beside the rate without the dispatcher in the same run.  docs/bench.md says
# how to read it.

use strict;
use warnings;

use Cwd 'abs_path';
use FindBin;
use IPC::Open2;
use List::Util qw(max min sum sum0);
use Time::HiRes qw(sleep clock_gettime CLOCK_MONOTONIC);

use lib $FindBin::Bin;
use Bench;

$| = 1;

my $quick = $ENV{BENCH_QUICK};
my $build = abs_path($ENV{BENCH_BUILD} || "$FindBin::Bin/../../build");
my $runs = $ENV{BENCH_RUNS} || ($quick ? 1 : 3);
my $seconds = $ENV{BENCH_SECONDS} || ($quick ? 1 : 2);
my $most = ($ENV{BENCH_MB} || ($quick ? 100 : 400)) * 1e6;
my $pings = $ENV{BENCH_PINGS} || ($quick ? 50 : 200);
my ($idle) = words('BENCH_IDLE', $quick ? '300' : '1000');

# type:payload:connections:workers, for captures also :bytes of a packet

my @cells = words('BENCH_CELLS', $quick
    ? '8:65535:8:1 8:1460:1:1 1:65535:8:1:1460'
    : '8:65535:1:1 8:65535:8:1 8:65535:8:2 8:4096:1:1 8:4096:8:1 8:1460:1:1 '
    . '8:1460:8:1 3:65535:8:1 1:65535:1:1:1460 1:65535:8:1:1460 '
    . '1:65535:8:2:1460 1:65535:8:1:128 1:4096:8:1:1460');

# Of the published server, one sensor, 1460 bytes, on a machine of two cores;
# measured once, not by this program.

my %published = (intake => 19_973, lines => 4_891, first => 9.3, memory => 27);

my $key = 'private key to change';
my $files = run_dir() . '/files';
my ($redis, $nginx, $port, $raw, %result, @notes);


sub now { clock_gettime(CLOCK_MONOTONIC) }
sub figures { ($_[0] // '') =~ /(\w+)=(\S+)/g }


# --- one server, with an empty Redis and an empty directory

sub start {
    my ($on, $workers, $sensors, %opt) = @_;

    redis('FLUSHALL');
    system 'rm', '-rf', $files;
    register($sensors, $key);
    redis(['SADD', 'server:accepted_type', 1, 3, 8],
          map { (['SADD', "analyzer:$_", 'bench']) } 1, 3, 8);

    ($nginx, $port) = start_nginx($build, $workers,
        max(1024, 2 * $sensors + 256), $key, %opt,
        d4 => $on ? "dispatch on; data $files; queue_max_bytes 0;" : '',
        server => $on ? '' : 'd4_backlog_size 8000m;');

    until_true('leases of the workers', 10, sub {
        redis('SELECT', 0);
        return redis('SCARD', 'd4:workers') == $workers;
    });
}


# What was not asked for any more is thrown away.

sub end {
    stop($nginx) if defined $nginx;
    undef $nginx;
    system 'rm', '-rf', $files;
}


sub keys_of {
    my ($db, $pattern) = @_;
    redis('SELECT', $db);
    return @{ redis('KEYS', $pattern) };
}


sub entries {
    my @streams = keys_of(4, 'stream:*');
    return @streams ? sum(redis(map { ['XLEN', $_] } @streams)) : 0;
}


# Bytes of open files that are committed.

sub committed {
    my @cursors = keys_of(2, 'd4:cursor:*');
    return 0 unless @cursors;
    return sum0(map { $_ || 0 } redis(map { ['HGET', $_, 'length'] }
                                      @cursors));
}


sub queued { redis('SELECT', 2); return redis('LLEN', "analyzer:$_[0]:bench") }


# --- throughput

# Starts d4load; it stays connected until done_load() and tells when its clock
# began, what it sends, and when all is sent.

sub start_load {
    my (@args) = @_;
    my $pid = open2(my $out, my $in, "$build/t/d4load", '--port', $port,
                    '--key', $key, '--stay', '--timeout', 60, @args);
    my %load = (pid => $pid, in => $in, out => $out);

    %load = (%load, figures(scalar <$out>));
    die "d4load @args failed\n" unless $load{begin};
    return \%load;
}


sub done_load {
    my ($load) = @_;
    my $pid = delete $load->{pid} or return;

    close $load->{in};
    my %r = figures(scalar readline $load->{out});
    close $load->{out};
    waitpid $pid, 0;

    problem("ended early $r{early}, reset $r{resets}, unfinished "
            . $r{unfinished}) if $r{early} || $r{resets} || $r{unfinished};
}


# One run of about so many bytes; the sessions live on.  In the end all that
# was sent is stored or, with the dispatcher, committed and queued.

sub run {
    my ($cell, $on, $bytes) = @_;
    my ($type, $payload, $c, $workers, $packet) = @$cell;
    my $frames = max($c * 5, int($bytes / $payload));

    start($on, $workers, $c);

    my $load = start_load('--type', $type, '--payload', $payload,
        '--connections', $c, '--frames', $frames,
        $packet ? ('--pcap', $packet) : '--lines');

    my @workers = children($nginx);
    my ($n, $r, $m) = (cpu(@workers), cpu($redis), machine_cpu());
    my $ours = cpu($$, $load->{pid});

    readline($load->{out}) // die "d4load: not all was sent\n";

    until_true("$load->{frames} frames, $load->{bytes} bytes", 60, sub {
        return entries() >= $load->{frames} unless $on;
        return committed() >= $load->{bytes}
            && ($packet || queued($type) >= $load->{records});
    });

    $load->{seconds} = now() - $load->{begin};
    $load->{nginx} = cpu(@workers) - $n;
    $load->{redis} = cpu($redis) - $r;
    $load->{other} = (machine_cpu() - $m - $load->{nginx} - $load->{redis}
                      - cpu($$, $load->{pid}) + $ours) / $load->{seconds};
    check($load, $type, $c, $packet) if $on;

    return $load;
}


# Nothing too much, and nothing left in the streams but where cursors stand.

sub check {
    my ($load, $type, $c, $packet) = @_;
    my $want = $packet ? 0 : $load->{records};
    my ($bytes, $n) = (committed(), queued($type));

    problem("$bytes of $load->{bytes} bytes in files")
        if $bytes != $load->{bytes};
    problem("$n of $want lines in the queue") if $n != $want;
    problem('the queue was trimmed')
        if redis('HGET', "d4:queue:analyzer:$type:bench", 'dropped');

    until_true('empty streams', 5, sub { entries() <= $c });
}


sub measure {
    my ($name) = @_;
    my $cell = [split /:/, $name];
    my (%bytes, %r);

    eval {
        for my $on ((0, 1) x (1 + $runs)) {
            my $load = run($cell, $on, $bytes{$on} // 24e6);

            # the first ones warm up, and tell how much takes some seconds

            if (!defined $bytes{$on}) {
                $bytes{$on} = min($most, $load->{bytes} / $load->{seconds}
                                         * $seconds);
            } else {
                push @{ $r{$on}{$_} }, $load->{$_} for keys %$load;
                record($name, $on, $load);
            }

            done_load($load);
            end();
        }

        $result{$name} = \%r;
        1;
    } or problem("$name: " . $@ =~ s/\n//r);

    end();
}


sub record {
    my ($name, $on, $load) = @_;
    my $line = join "\t", $name, $on ? 'dispatched' : 'ingest only',
        map({ $load->{$_} } qw(bytes records)),
        map { sprintf '%.3f', $load->{$_} } qw(seconds nginx redis other);

    print $raw "$line\n";
    progress($line);
}


# --- compression: the sessions end, and all their files are compressed

sub measure_compression {
    my ($name) = @_;
    my $cell = [split /:/, $name];
    my ($type, undef, $c, undef, $packet) = @$cell;

    eval {
        my $load = run($cell, 1, $quick ? 24e6 : 100e6);
        my @workers = children($nginx);
        my ($start, $n) = (now(), cpu(@workers));

        done_load($load);

        until_true('files compressed', 120, sub {
            return !keys_of(2, 'd4:cursor:*') && !keys_of(2, 'd4:closing:*');
        });

        my ($s, $used) = (now() - $start, cpu(@workers) - $n);
        my $mb = $load->{bytes} / 1e6;
        my @gz = split /\n/, `find $files -name '*.gz'`;

        check_files($load, $packet, @gz);
        problem(entries() . ' entries in streams') if entries();
        problem("$c files: " . queued($type) . ' in the queue')
            if $packet && queued($type) != $c;

        push @notes, sprintf 'compression of %s, %d files of together %.0f MB '
            . 'by one thread: %.0f MB/s, to %.0f %%; %.1f s of CPU per GB',
            $packet ? 'captures' : 'lines', scalar @gz, $mb, $mb / $s,
            100 * sum0(map { -s } @gz) / $load->{bytes}, $used / $mb * 1e3;
        1;
    } or problem("compression, $name: " . $@ =~ s/\n//r);

    end();
}


sub check_files {
    my ($load, $packet, @gz) = @_;

    my ($lines, $bytes) = `gzip -dc @gz | wc -lc` =~ /(\d+)\s+(\d+)/;
    problem("$bytes of $load->{bytes} bytes in compressed files")
        if $bytes != $load->{bytes};

    if ($packet) {
        $lines = sum0 map { `gzip -dc $_ | tcpdump --count -r - 2>/dev/null`
                            =~ /^(\d+) packet/m } @gz;
    }

    problem("$lines of $load->{records} records in compressed files")
        if $lines != $load->{records};
}


# --- from the sensor's write to the queue, when nothing else happens

sub measure_latency {
    my @ms;

    eval {
        start(1, 1, 1);
        redis('SELECT', 2);

        my $pid = open2(my $out, my $in, "$build/t/d4ping", '--port', $port,
                        '--key', $key, '--payload', 80);
        my %connect = figures(scalar <$out>);

        for (1 .. $pings + 1) {
            print $in "\n";
            $in->flush;
            my %sent = figures(scalar <$out>);
            my $got = redis('BRPOP', 'analyzer:8:bench', 10);
            my $at = now();

            die "line $_ did not arrive\n" unless $got;
            die "line $_: $got->[1]\n" if $got->[1] !~ /^$_ /;

            # the first one is that of a new connection

            push @ms, ($at - (@ms ? $sent{at} : $connect{connect})) * 1e3;
            sleep 0.005;
        }

        close $in;
        waitpid $pid, 0;

        my $first = shift @ms;
        @ms = sort { $a <=> $b } @ms;

        push @notes, sprintf 'first line of a new sensor in the queue: %.1f '
            . 'ms after it began to connect', $first;
        push @notes, sprintf 'idle, %d single lines: median %.2f ms, p99 '
            . '%.2f ms, most %.2f ms from the sensor\'s write to the answer '
            . 'of BRPOP', scalar @ms, $ms[$#ms / 2], $ms[$#ms * 0.99],
            $ms[-1];
        1;
    } or problem('latency: ' . $@ =~ s/\n//r);

    end();
}


# --- memory of sensors that sent one line each and are silent

sub measure_memory {
    my (%kib, %opt);

    for my $plain (0, 1) {
        for my $on (0, 1) {
            $kib{$on} = eval { memory_of($on, $plain) };
            problem('memory: ' . $@ =~ s/\n//r) unless defined $kib{$on};
            end();
        }

        next if grep { !defined } values %kib;

        push @notes, sprintf 'memory of an idle session, %d %s: %.1f KiB, '
            . '%.1f KiB without dispatcher: %.1f KiB for it', $idle,
            $plain ? 'without TLS' : 'with TLS', $kib{1}, $kib{0},
            $kib{1} - $kib{0};
    }
}


sub memory_of {
    my ($on, $plain) = @_;

    start($on, 1, $idle, plain => $plain);

    # a few come first: what a worker needs once for all is there then, and
    # not so much free memory that the others would be for nothing

    my @args = ('--port', $port, '--key', $key, '--payload', 80,
                $plain ? '--plain' : ());

    d4load($build, @args, '--connections', 8, '--frames', 8);

    until_true('a quiet server', 20, sub {
        return entries() == 8 unless $on;
        return queued(8) == 8 && !keys_of(2, 'd4:cursor:*')
            && !keys_of(2, 'd4:closing:*');
    });

    my @workers = children($nginx);
    my $before = rss('VmRSS', @workers);

    my $pid = open my $out, '-|', "$build/t/d4load", @args, '--idle', $idle,
        '--hold', 3600 or die "d4load: $!\n";

    my %ready = figures(scalar <$out>);

    until_true('lines of idle sensors', 30, sub {
        return ($on ? queued(8) : entries()) == 8 + $idle;
    });

    my $after = $before;
    until_true('steady memory', 10, sub {
        my $last = $after;
        sleep 1;
        return $last == ($after = rss('VmRSS', @workers));
    });

    kill 'TERM', $pid;
    close $out;
    die "not all idle sensors got in\n" if $ready{ready} != $idle;

    return ($after - $before) / $idle;
}


# --- printing

sub number {
    my $n = sprintf '%.0f', $_[0];
    1 while $n =~ s/^(\d+)(\d{3})/$1 $2/;
    return $n;
}


sub rates {
    my ($r, $what) = @_;
    return map { $r->{$what}[$_] / $r->{seconds}[$_] }
        0 .. $#{ $r->{seconds} };
}


sub row {
    my ($name, $what) = @_;
    my ($type, $payload, $c, $workers, $packet) = split /:/, $name;
    my ($off, $on) = @{ $result{$name} }{0, 1};
    my ($unit, $scale) = $packet ? ('bytes', 1e6) : ('records', 1);
    my @on = map { $_ / $scale } rates($on, $unit);
    my @off = map { $_ / $scale } rates($off, $unit);

    my $per = sub {
        my ($cpu, $of) = @_;
        return sprintf '%.2f', median(map { $on->{$cpu}[$_] / $on->{$of}[$_] }
                                      0 .. $#on)
            * ($of eq 'bytes' ? 1e9 : 1e6);
    };

    return $type, $payload, $packet // (), $c, $workers,
        sprintf('%s (%s-%s)', map { number($_) } median(@on), min(@on),
                max(@on)),
        $packet ? () : sprintf('%.0f', median(rates($on, 'bytes')) / 1e6),
        number(median(@off)), sprintf('%.2f', median(@on) / median(@off)),
        map({ $per->($_, 'bytes') } qw(nginx redis)),
        map { $per->($_, 'records') } qw(nginx redis);
}


sub table {
    my ($title, $captures) = @_;
    my @names = grep { !!$captures == (tr/:// == 4) } grep { $result{$_} }
        @cells;
    return '' unless @names;

    my @rate = $captures ? ('MB/s (min-max)', 'ingest only')
                         : ('lines/s (min-max)', 'MB/s', 'ingest only');
    my @head = ('type', 'payload', $captures ? 'packet' : (), 'c', 'w', @rate,
        'ratio', 'nginx s/GB', 'Redis s/GB',
        map { $captures ? "$_ s/M packets" : "$_ s/M lines" } qw(nginx Redis));

    return "\n## $title, n=$runs\n\n"
        . join '', map { '| ' . join(' | ', @$_) . " |\n" }
              \@head, [('---') x @head], map { [row($_)] } @names;
}


sub report {
    my @other = map { @{ $_->{other} } } map { values %$_ } values %result;

    push @notes, sprintf 'CPU used by others during our runs: median %.2f, '
        . 'at most %.2f cores', median(@other), max(@other) if @other;

    return "# From the socket to files and a queue\n"
        . table('Lines', 0)
        . sprintf("\nThe published server, constants measured on a machine of "
            . "two cores with one sensor\nand 1460 bytes, not by this run: "
            . "intake %s lines/s; into the queue %s lines/s,\nthe first after "
            . "%.1f s; a process of %d MiB for each session.\n",
            number($published{intake}), number($published{lines}),
            @published{qw(first memory)})
        . table('Captures', 1)
        . "\n" . join '', map { "* $_\n" } @notes,
        map { "PROBLEM: $_\n" } problems();
}


# PERF=1: where the time of one cell goes.

sub profile_cell {
    my ($name) = words('PERF_DISPATCH', '8:65535:8:1');
    my ($type, $payload, $c, $workers, $packet) = split /:/, $name;

    start(1, $workers, $c);

    my $perf = perf_start(nginx => [children($nginx)], redis => [$redis]);
    my $load = start_load('--type', $type, '--payload', $payload,
        '--connections', $c, '--frames', int($most / $payload),
        $packet ? ('--pcap', $packet) : '--lines');

    until_true('all committed', 60, sub {
        sleep 0.2;
        return committed() >= $load->{bytes};
    });

    printf "%s: %.0f records/s\n", $name,
        $load->{records} / (now() - $load->{begin});

    perf_stop($perf);
    done_load($load);
    end();
}


built($build, qw(ngx_d4_module.so ngx_stream_d4_module.so t/d4load t/d4ping));
certificate();
$redis = start_redis('off');

if ($ENV{PERF}) {
    profile_cell();
    exit(problems() ? 1 : 0);
}

my $results = "$build/bench";
mkdir $results;
open $raw, '>', "$results/dispatch.tsv" or die "$results/dispatch.tsv: $!\n";
print $raw join("\t", qw(cell kind bytes records seconds nginx redis
    other_cores)), "\n";

measure($_) for @cells;
measure_latency();
measure_memory();
measure_compression($_) for '8:65535:4:1', '1:65535:4:1:1460';

my $report = report();
write_file("$results/dispatch.md", $report);
print $report;
exit(problems() ? 1 : 0);

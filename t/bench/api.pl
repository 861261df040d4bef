#!/usr/bin/perl

# Copyright (C) The ngx_d4 authors

# The API under load, beside nginx returning a static file of the same size in
# the same run: one sensor's page, and a list of a thousand.  Both need the same
# connection, so what differs is the work.  Part of make bench; docs/bench.md.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use D4::Api;
use D4::Test;
use POSIX ();
use Test::More;

my $seconds = $ENV{BENCH_SECONDS} || 2;
my $runs = $ENV{BENCH_RUNS} || ($ENV{BENCH_QUICK} ? 1 : 3);
my $connections = $ENV{BENCH_API_CONNECTIONS} || 32;

# what is measured is no test: nothing but the table is printed

Test::More->builder->output('/dev/null');

my $t = D4::Api->new(workers => $ENV{BENCH_API_WORKERS} || 1);

$t->{http} = <<EOF_HTTP;
    server {
        listen 127.0.0.1:@{[ $t->{static_port} = free_port() ]};
        access_log off;
        root $t->{dir}/static;
        default_type application/json;
    }
EOF_HTTP
$t->{location} = 'access_log off;';
mkdir("$t->{dir}/static");
$t->start;


# Requests per second and the latencies of the 50th and the 99th percentile.

sub load {
    my ($url, @headers) = @_;

    my $out = join '', map { my $h = $_; $h =~ s/'//g; " -H '$h'" } @headers;
    my $text = `wrk -t 1 -c $connections -d ${seconds}s --latency $out '$url'`;

    my ($rate) = $text =~ m{Requests/sec:\s+([\d.]+)};
    my %at = $text =~ /^\s+(50|99)%\s+(\S+)/mg;

    die "wrk: $text" if !$rate || $text =~ /Non-2xx/;

    return ($rate, @at{qw(50 99)});
}

sub median { my @s = sort { $a->[0] <=> $b->[0] } @_; return $s[$#s / 2] }

$t->request('POST', 'sensors/import',
            headers => { 'Content-Type' => 'application/x-ndjson' },
            body => join('', map {
    '{"uuid":"' . new_uuid() . '","name":"sensor ' . $_
        . '","tags":["bench","tlp:green"],"group":"all",'
        . "\"hmac_key\":\"k\"}\n" } 1 .. 1000));

my $one = $t->request('GET', 'sensors?limit=1')->{json}{sensors}[0]{uuid};
my @rows;

for my $what ([ 'one sensor', "sensors/$one" ],
              [ 'list of 1,000', 'sensors?limit=1000' ])
{
    my ($name, $path) = @$what;
    my $answer = $t->request('GET', $path);

    die "$path: $answer->{status}\n" if $answer->{status} != 200;

    $t->write_file('static/file', $answer->{content});

    my (@api, @static);

    for (1 .. $runs) {
        push @static, [ load("http://127.0.0.1:$t->{static_port}/file") ];
        push @api, [ load($t->url($path),
                          "Authorization: $t->{token}{viewer}") ];
    }

    my ($api, $static) = (median(@api), median(@static));

    push @rows, [ $name, length $answer->{content}, @$api, @$static,
                  $api->[0] / $static->[0] ];
}

printf "REST API, %d worker, %d connections, %d s, median of %d\n\n",
    $t->{workers}, $connections, $seconds, $runs;
printf "| %-13s | %7s | %9s | %8s | %8s | %10s | %8s | %8s | %9s |\n",
    'request', 'bytes', 'requests/s', '50 %', '99 %', 'static/s', '50 %',
    '99 %', 'of static';
print '|', join('|', ('-') x 9), "|\n";
printf "| %-13s | %7d | %10.0f | %8s | %8s | %10.0f | %8s | %8s | %8.0f %% |\n",
    @$_[0 .. 7], 100 * $_->[8] for @rows;
print "\n";

$t->finish;
done_testing();

#!/usr/bin/perl

# Copyright (C) The ngx_d4 authors

# A writer with hardly any memory: four clients and a queue share it, the store
# stands still meanwhile, and a client goes away while it waits for room.
# Nothing is lost and nobody waits for ever.

use strict;
use warnings;

use FindBin;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes 'sleep';

use lib "$FindBin::Bin/lib";
use D4::Pdns;
use D4::Test;

my $queue = 'analyzer:8:7d1a3c5e-0000-4000-8000-000000000008';
my $t = D4::Pdns->new(
    workers => 1,
    http    => "pdns_queue $queue; pdns_memory 1m;",
)->start;

my $json = D4::Pdns::json();
my $each = LONG ? 40_000 : 8_000;

sub lines {
    my ($who, $n) = @_;

    return map { D4::Pdns::line(1_500_000_000 + $_, "h$_.$who.example.", 'A',
                                '198.51.100.' . $_ % 250, 2) } 1 .. $n;
}

sub post_in_background {
    my ($who) = @_;
    my $pid = fork() // die "fork: $!\n";

    if ($pid == 0) {
        my $r = eval {
            $t->post('/ingest', join '', map { "$_\n" } lines($who, $each));
        };
        my $taken = $r && eval { $json->decode($r->{content})->{accepted} };
        POSIX::_exit(defined $taken && $taken == $each ? 0 : 1);
    }

    return $pid;
}

my $q = $t->new_db('queues');

$q->pipeline(map { [ 'LPUSH', $queue, $_ ] } lines('queue', 3000));

my @clients = map { post_in_background("c$_") } 1 .. 4;


# one that breaks off in the middle of a body that there is no room for

my $broken = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                   PeerPort => $t->{http_port});

print $broken "POST /pdns/ingest HTTP/1.1\r\nHost: x\r\n"
    . "Content-Length: 100000000\r\n\r\n", map { "$_\n" } lines('broken', 500);
$broken->flush;


# the store stands still: everybody waits, and goes on with it

$t->redis_pause;
sleep 1;
close $broken;
$t->redis_resume;

my $failed = 0;

for (@clients) {
    waitpid($_, 0);
    $failed++ if $? != 0;
}

is($failed, 0, 'all clients are answered, every line is taken');
ok(poll_until(60, sub { $q->cmd('LLEN', $queue) == 0 }), 'as is the queue');

for my $who ('queue', map { "c$_" } 1 .. 4) {
    my $n = ($who eq 'queue') ? 3000 : $each;
    my ($cursor, @rows) = ('');

    poll_until(30, sub {
        $t->get("/query/h$n.$who.example")->{content} =~ /"count":2\b/;
    });

    do {
        my $page = $t->get("/query/*.$who.example?limit=10000$cursor");
        my $next = $page->{headers}{'x-pdns-cursor'};

        push @rows, split /\n/, $page->{content};
        $cursor = defined $next ? "&cursor=$next" : '';
    } while ($cursor ne '');

    is(scalar @rows, $n, "all of $who");
    is(scalar(grep { !/"count":2\b/ } @rows), 0, 'each of them once');
}

$t->finish;
done_testing();

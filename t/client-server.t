# The d4 client and the server together: what goes in on one side comes out of
# Redis on the other, whatever happens in between.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/client";

use Client;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep);

alarm(240);

my $t = D4::Test->new(workers => 2)->start;


# A registered sensor's directory.

sub sensor {
    my (%file) = @_;

    my $uuid = new_uuid();

    $t->register($uuid, "key of $uuid") if !delete $file{stranger};

    return ($uuid, conf(uuid => $uuid, key => "key of $uuid",
                        destination => "localhost:$t->{port}",
                        'rootCA.crt' => $t->read_file('ca.crt'), %file));
}

sub numbered { return map { sprintf("line %06d %s\n", $_, 'x' x 80) } @_ }


# all types of framing

{
    my ($uuid, $conf) = sensor(snaplen => 1000);
    my $all = join('', numbered(1 .. 2000));
    my ($code, undef, $err) = run(['-c', $conf], $all);

    is($code, 0, 'lines: exit code');
    ok($t->wait_access($uuid), 'lines: the session has ended');
    is(join('', $t->messages($uuid)), $all, 'lines: all of them');
    is((grep { !/\n\z/ } $t->messages($uuid)), 0, 'whole in each entry');
    is($t->wait_access($uuid)->{status}, 'closed', 'in an orderly way');

    ($uuid, $conf) = sensor(type => 1);
    my $pcap = pcap_file([map { 40 + $_ * 7919 % 1460 } 1 .. 1000]);
    ($code) = run(['-c', $conf], $pcap);
    is($code, 0, 'a capture: exit code');
    ok($t->wait_access($uuid), 'a capture: the session has ended');
    is(join('', $t->messages($uuid)), $pcap, 'a capture: unchanged');

    ($uuid, $conf) = sensor(type => 254,
                            'metaheader.json' => '{ "type" : "ja3-jl" }');
    ($code) = run(['-c', $conf], "{\"a\":1}\n");
    is($code, 0, 'type 254: exit code');
    ok($t->wait_access($uuid), 'type 254: the session has ended');
    my %by = map { $_->{type} => $_ } $t->streams($uuid);
    is($by{2}{entries}[0]{message}, '{"type":"ja3-jl"}', 'the meta header');
    is($by{254}{entries}[0]{message}, "{\"a\":1}\n", 'and the data');
}


# a sensor that nobody knows

{
    my ($uuid, $conf) = sensor(stranger => 1);
    my $d4 = spawn(['-c', $conf, '-rt', 0], in => 'pipe');

    $d4->write("x\n");
    is($d4->wait, 3, 'not registered: exit code with -rt 0');
    ok($t->wait_log(qr/d4 refused: not_registered, uuid: $uuid/), 'refused');

    $d4 = spawn(['-c', $conf, '-rt', '100ms'], in => 'pipe');
    $d4->write("patience\n");
    poll_until(10, sub { my @l = $t->log_lines(qr/not_registered.*$uuid/);
                         @l >= 3 });
    $t->register($uuid, "key of $uuid");
    $t->announce("sensor $uuid");
    close($d4->{in});
    $d4->wait;
    is($d4->{code}, 0, 'approved meanwhile: exit code');
    $t->wait_stored($uuid, 1);
    is(join('', $t->messages($uuid)), "patience\n",
       'no refusal has cost a frame');
}


# reloads while it sends: exactly once

for my $type (8, 1) {
    my ($uuid, $conf) = sensor(type => $type, snaplen => 4000);
    my @records = $type == 1 ? map { pcap_parts(substr(pcap_file([$_]), 24)) }
                                   map { 40 + $_ * 7919 % 1460 } 1 .. 2000
                             : numbered(1 .. 20000);
    my $share = @records / 4;
    my $d4 = spawn(['-c', $conf, '-rt', '50ms'], in => 'pipe');

    $d4->write(pcap_file([])) if $type == 1;

    for my $n (1 .. 4) {
        $d4->write(join('', splice(@{ [@records] }, ($n - 1) * $share, $share)));
        poll_until(10, sub { $t->streams($uuid) == $n });
        $t->reload if $n < 4;
    }

    close($d4->{in});
    is($d4->wait(90), 0, "type $type, reloads: exit code");
    poll_until(10, sub { !grep { $_ eq $uuid }
                         $t->db('streams')->members("active_connection:$type") });

    my @streams = $t->streams($uuid);
    cmp_ok(scalar @streams, '>=', 4, "type $type: a session for each");

    my ($all, $headers) = ('', 0);
    for my $stream (@streams) {
        my $bytes = join('', map { $_->{message} } @{ $stream->{entries} });
        $headers++ if $type == 1
            && substr($bytes, 0, 24, '') eq pcap_file([]);
        $all .= $bytes;
    }

    ok($all eq join('', @records), "type $type: nothing lost, nothing twice");
    is($headers, @streams, 'each session has the pcap header') if $type == 1;
}


# back-pressure: a full stream, then a Redis that stands still

{
    my ($uuid, $conf) = sensor(snaplen => 500);

    $t->db('metadata')->cmd('HSET', 'stream_max_size_by_uuid', $uuid, 50);

    my $d4 = spawn(['-c', $conf, '--queue', '200k'], in => 'pipe');
    my $all = join('', numbered(1 .. 10000));

    $d4->feed($all);
    poll_until(20, sub { $t->messages($uuid) >= 50 });
    is($d4->statistics->{state}, 'open', 'a full stream: the session lives');

    # whoever consumes the stream makes room
    my @got;
    poll_until(60, sub {
        for my $s ($t->streams($uuid)) {
            my @e = @{ $s->{entries} };
            push @got, map { $_->{message} } @e;
            $t->db('streams')->cmd('XDEL', $s->{key}, map { $_->{id} } @e);
            $t->db('metadata')->cmd('HSET', 'stream_max_size_by_uuid', $uuid,
                                    100000);
            $t->announce("sensor $uuid");
        }
        length(join('', @got)) == length($all);
    });

    ok(join('', @got) eq $all, 'all of it in the end');
    is($d4->wait(60), 0, 'exit code');

    ($uuid, $conf) = sensor();
    $d4 = spawn(['-c', $conf], in => 'pipe');
    $d4->write("before\n");
    $t->wait_stored($uuid, 1);
    $t->redis_pause;
    $d4->write("while\n");
    sleep(1);
    $t->redis_resume;
    $d4->write("after\n");
    close($d4->{in});
    is($d4->wait(60), 0, 'Redis stopped: exit code');
    $t->wait_access($uuid);
    is(join('', $t->messages($uuid)), "before\nwhile\nafter\n", 'all of it');
}


# a server that is killed; the next one refuses the sensor until the lease of
# the dead worker has passed, which may take it longer than a second to say

{
    my ($uuid, $conf) = sensor();
    my $d4 = spawn(['-c', $conf, '-rt', '100ms', '--settle', '5s'],
                   in => 'pipe');

    $d4->write("one\n");
    $t->wait_stored($uuid, 1);

    # from then on it is taken for accepted and is not sent once more
    poll_until(10, sub { $d4->statistics->{settled} }, 0.1);
    $t->nginx_kill;
    ok($d4->says(qr/next attempt/), 'nginx killed: noticed');
    $d4->write("two\n");
    $t->nginx_start;
    close($d4->{in});
    is($d4->wait(90), 0, 'nginx killed: exit code');
    poll_until(20, sub { $t->messages($uuid) >= 2 });
    is(join('', $t->messages($uuid)), "one\ntwo\n",
       'what was not sent is sent to the next one');
}

$t->finish;
done_testing();

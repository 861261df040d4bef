# Frames at any split of the byte stream, and what a stream entry holds.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

my ($small, $preread) = (free_port(), free_port());

my $t = D4::Test->new(stream => <<EOF_CONF)->start;
    server {
        listen 127.0.0.1:$small;
        d4 on;
        d4_max_payload 100;
    }
    server {
        listen 127.0.0.1:$preread;
        ssl_preread on;
        d4 on;
    }
EOF_CONF


# the published vectors, byte for byte

my $uuid = '0123456789ab4def8123456789abcdef';
my $key = 'private key to change';

my @vectors = (
    [ 8, "hello\n",
      '9d2f6ea0a1d693c5e2b4e378f0803e5973555df124e95bd7cf45404773abec88' ],
    [ 2, '{"type":"ja3-jl"}',
      '43dbe4670bb674421b6f033b50e1e70c4bb1986ed0c7dae93f02811515f37548' ],
    [ 1, '',
      '6e8c10d14014cdc2dd359c53aa114be98808bb5dcf1feaf53370daa263af1a04' ],
);

$t->register($uuid, $key);

for (@vectors) {
    my ($type, $payload, $hmac) = @$_;

    my $bytes = pack('H*', sprintf('01%02x', $type) . $uuid
                           . '00f1536500000000' . $hmac)
                . pack('V', length $payload) . $payload;

    my $s = $t->sensor(uuid => $uuid, key => $key, type => $type);
    $s->write($bytes);
    is($s->finish, 'eof', "vector of type $type: ended after our end");
    is($s->{got}, '', 'no byte was sent to the sensor');
}

my @streams = $t->streams($uuid);

is(scalar @streams, 3, 'three sessions');

for (@vectors) {
    my ($type, $payload) = @$_;
    my ($stream) = grep { $_->{type} == $type } @streams;

    like($stream->{sid}, qr/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}
                             -[89ab][0-9a-f]{3}-[0-9a-f]{12}$/x,
         "type $type: the session id is a dashed v4 uuid");

    my $raw = $t->db('streams')->cmd('XRANGE', $stream->{key}, '-', '+');

    like($raw->[0][0], qr/^\d{13}-1$/, 'the first id is <ms>-1');
    is_deeply($raw->[0][1],
              [ message => $payload, uuid => $uuid, timestamp => '1700000000',
                version => '1' ], 'stored as published');
    is(scalar @$raw, 1, 'one entry');
}


# the same frames in pieces of any size

my @payloads = ('', 'a', "\r\n", '$5', join('', map { chr } 0 .. 255), '',
                'x' x 61, 'y' x 62, 'z' x 63, '', "last\n");

for my $piece (1, 2, 3, 7, 61, 62, 63, 64, 125, 1000) {
    my $s = $t->sensor;

    $s->write_pieces(join('', map { $s->frame_of($_) } @payloads), $piece);
    $s->finish;

    is_deeply([ $t->messages($s->{uuid}) ], \@payloads,
              "pieces of $piece bytes");
}


# two frames cut at every place, with time between the halves

{
    my $s = $t->sensor;
    my $pair = $s->frame_of('12345') . $s->frame_of('');
    my @expect;

    for my $cut (1 .. length($pair) - 1) {
        $s->write(substr($pair, 0, $cut));
        select(undef, undef, undef, 0.002);
        $s->write(substr($pair, $cut));
        push @expect, '12345', '';
    }

    $s->finish;

    is_deeply([ $t->messages($s->{uuid}) ], \@expect,
              'every split of two frames');

    my ($stream) = $t->streams($s->{uuid});
    my @ids = map { $_->{id} } @{ $stream->{entries} };
    my ($ms) = $ids[0] =~ /^(\d+)-/;

    is_deeply(\@ids, [ map { "$ms-$_" } 1 .. @expect ], 'dense ids');
}


# many frames in one write

{
    my $s = $t->sensor;
    my @many = map { "frame number $_" } 1 .. 5000;

    $s->send(@many);
    $s->finish;

    is_deeply([ $t->messages($s->{uuid}) ], \@many, '5000 in one write');
}


# header values that nothing forbids

{
    my $s = $t->sensor;

    $s->write($s->frame_of('v0', version => 0, time => 0));
    $s->write($s->frame_of('v99', version => 99, time => ~0));
    $s->write($s->frame_of('v255', version => 255, time => 1));
    $s->finish;

    my ($stream) = $t->streams($s->{uuid});

    is_deeply([ map { [ @$_{qw(message version timestamp)} ] }
                @{ $stream->{entries} } ],
              [ [ 'v0', '0', '0' ], [ 'v99', '99', '18446744073709551615' ],
                [ 'v255', '255', '1' ] ], 'any version and time');
}


# the limit is inclusive

{
    my $s = $t->sensor;
    my $big = join('', map { chr($_ % 251) } 1 .. 1_000_000);

    ok($s->send($big, 'after'), '1,000,000 bytes');
    $s->finish;

    my @stored = $t->messages($s->{uuid});

    ok($stored[0] eq $big, 'stored as sent');
    is($stored[1], 'after', 'and the frame behind it');

    $s = $t->sensor;
    $s->send('before');
    $s->write(substr($s->frame_of('', size => 1_000_001), 0, 62));
    ok($s->ended(30), '1,000,001 bytes: ended on the header alone');
    is_deeply([ $t->messages($s->{uuid}) ], [ 'before' ],
              'what came before it is kept');
    is($t->wait_access($s->{uuid})->{status}, 'payload_too_large', 'status');

    $s = $t->sensor(port => $small, tls => 0);
    $s->send('x' x 100);
    $s->finish;
    is_deeply([ $t->messages($s->{uuid}) ], [ 'x' x 100 ],
              'd4_max_payload: the limit itself');

    $s = $t->sensor(port => $small, tls => 0);
    $s->write($s->frame_of('x' x 101));
    ok($s->ended(30), 'd4_max_payload: one more');
    is_deeply([ $t->messages($s->{uuid}) ], [], 'nothing stored');
}


# another module has read the first bytes

for my $first (1, 61, 62, 63, 5000) {
    my $s = $t->sensor(port => $preread, tls => 0);
    my $bytes = join '', map { $s->frame_of($_) } @payloads;

    $s->write(substr($bytes, 0, $first));
    select(undef, undef, undef, 0.05);
    $s->write(substr($bytes, $first)) if $first < length $bytes;
    $s->finish;

    is_deeply([ $t->messages($s->{uuid}) ], \@payloads,
              "behind ssl_preread, $first bytes first");
}


# random splits of frames of random sizes, several sessions

{
    my $load = $t->load(conns => 4, frames => LONG ? 20000 : 400,
                        size => '26-9000', split => 3000);

    exactly_once($load, 'random splits');
}

$t->finish;


# the smallest buffers and batches there may be

{
    my $t = D4::Test->new(workers => 2,
                          d4 => 'batch_size 4k; worker_memory 8m;',
                          server => 'd4_buffer_size 8k;')->start;

    exactly_once($t->load(@$_), 'small buffers')
        for [ conns => 3, frames => 500, size => '26-9000' ],
            [ conns => 3, frames => 3, size => '900000-1000000' ],
            [ conns => 2, frames => 3000, size => 26, split => 200 ];

    $t->finish;
}

done_testing();

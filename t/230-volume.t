# Much data through the real client over TLS: lines and a capture, at the
# smallest frames and at the largest; sums and order are what they were.
#
#   LONG=1   a million lines at each size, and 1 GB of capture

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/client";

use Client ();
use D4::Consumer;
use D4::Dispatch;
use D4::Proc;
use D4::Test;
use Digest::SHA;
use Test::More;
use Time::HiRes qw(time);

my $lines = LONG ? 1_000_000 : 20_000;
my $bytes = LONG ? 1_000_000_000 : 20_000_000;

my $t = D4::Test->new(
    dispatch => { rotate_size => LONG ? '100m' : '2m', compress_level => 1,
                  queue_max_bytes => 0 },
    server => 'd4_backlog_size 100g;')->start;
my $metadata = $t->db('metadata');
my $queues = $t->db('queues');
my %queue = map { $_ => queue_define($metadata, $_) } 1, 8;


# Sends a file through the client; the sensor.

sub through {
    my ($name, $type, $file, $snaplen) = @_;
    my $uuid = new_uuid();

    $t->register($uuid, "key of $uuid");
    $metadata->cmd('HSET', 'stream_max_size_by_uuid', $uuid, 1_000_000_000);

    my $conf = Client::conf(uuid => $uuid, key => "key of $uuid",
                            type => $type, snaplen => $snaplen,
                            destination => "localhost:$t->{port}",
                            'rootCA.crt' => $t->read_file('ca.crt'));
    my $start = time();

    my $rc = system("$t->{build}/d4 -c $conf < $file"
                    . " 2>>$t->{dir}/logs/d4.log");

    is($rc, 0, "$name: the client has sent all of it");
    drained($t, $name, LONG ? 600 : 60);

    diag(sprintf('%s: %.0f s', $name, time() - $start)) if LONG;

    return $uuid;
}


# The digest of what a sensor's files hold, in their order.

sub digest_of {
    my ($uuid, $type) = @_;
    my $sha = Digest::SHA->new(256);
    my @files = session_files($t->{data}, $uuid, $type, suffix($type));

    for my $file (@files) {
        open(my $fh, '-|', 'zcat', "$t->{data}/$file") or die "zcat: $!";
        $sha->addfile($fh);
        close($fh) or die "zcat $file: $?";
    }

    return ($sha->hexdigest, scalar @files);
}


# Numbered lines of all lengths

my $source = "$t->{dir}/lines";
my $sent = Digest::SHA->new(256);

{
    open(my $fh, '>', $source) or die "$source: $!";

    for (1 .. $lines) {
        my $line = sprintf("%07d ", $_) . 'x' x ($_ * 7919 % 97) . "\n";

        print $fh $line;
        $sent->add($line);
    }

    close($fh) or die "$source: $!";
}

my $digest = $sent->hexdigest;

for my $snaplen (16, 4096, 65535) {
    my $name = "$lines lines at $snaplen";
    my $uuid = through($name, 8, $source, $snaplen);
    my ($found) = digest_of($uuid, 8);

    is($found, $digest, "$name: in the files, in order");

    my $list = "analyzer:8:$queue{8}";
    my $elements = Digest::SHA->new(256);
    my $n = 0;

    while (my $block = $queues->cmd('RPOP', $list, 1000)) {
        $elements->add("$_\n") for @$block;
        $n += @$block;
    }

    is($n, $lines, "$name: as many elements");
    is($elements->hexdigest, $digest, "$name: in order");
}


# A capture, as tcpdump would write it

my $capture = "$t->{dir}/capture";
my $packets = 0;

{
    open(my $fh, '>:raw', $capture) or die "$capture: $!";

    print $fh pack('V v v V V V V', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1);

    for (my $size = 24; $size < $bytes; $packets++) {
        my $len = 60 + $packets * 7919 % 1400;

        print $fh pack('V V V V', 1_700_000_000 + int($packets / 1000),
                       $packets % 1000 * 1000, $len, $len),
                  pack('N', $packets) x ($len / 4) . 'y' x ($len % 4);
        $size += 16 + $len;
    }

    close($fh) or die "$capture: $!";
}

$digest = Digest::SHA->new(256)->addfile($capture, 'b')->hexdigest;

for my $snaplen (LONG ? (16, 4096, 65535) : (4096, 65535)) {
    my $name = "a capture of $bytes bytes at $snaplen";
    my $uuid = through($name, 1, $capture, $snaplen);

    my @files = map { "$t->{data}/$_" }
        session_files($t->{data}, $uuid, 1, suffix(1));
    my $sha = Digest::SHA->new(256);
    my ($n, $first) = (0, 1);

    cmp_ok(scalar @files, '>', 1, "$name: several files");

    # each begins with the header; the first one's belongs to the capture

    for my $file (@files) {
        open(my $fh, '-|:raw', 'zcat', $file) or die "zcat: $!";
        read($fh, my $header, 24);
        $sha->add($header) if $first;
        $sha->addfile($fh);
        close($fh) or die "zcat $file: $?";
        $first = 0;

        my ($count) = qx(zcat $file | tcpdump --count -r - 2>/dev/null)
            =~ /^(\d+) packet/m;
        $n += $count // 0;
    }

    is($sha->hexdigest, $digest, "$name: in the files, in order");
    is($n, $packets, "$name: as many packets");

    my @paths = grep { m{/$uuid/} } queue_take($queues, 1, $queue{1});
    is_deeply([ sort @paths ], [ sort @files ], "$name: each file queued");
}

$t->finish;
done_testing();

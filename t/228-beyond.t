# What a dead worker's file has beyond its cursor: the next owner finds it in
# the stream, or it is kept beside the file.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Test;
use File::Basename qw(dirname);
use File::Path qw(make_path);
use Test::More;

my $t = D4::Test->new(dispatch => 1)->start;
my ($streams, $queues, $metadata) = map { $t->db($_) }
    qw(streams queues metadata);
my ($host) = ($metadata->keys('d4:worker:*'))[0] =~ /^d4:worker:([^:]+):/;
my $dead = "$host:999999999:0011223344556677";
my $store = $t->read_file('data/.d4-store');

# id of the entry that the cursor stands behind, bytes of the file behind those
# that were committed, entries of the stream

my %case = (
    'all of them are in the stream' =>
        [ '1700000000000-5', "b\nc\n", 0,
          '1700000000000-5' => "a\n", '1700000000000-6' => "b\n",
          '1700000000000-7' => "c\nd\n" ],
    'nothing is in the stream' =>
        [ '1700000000000-5', "b\nc\n", 1 ],
    'the end of the stream is lost' =>
        [ '1700000000000-5', "b\nc\nd\n", 1,
          '1700000000000-5' => "a\n", '1700000000000-6' => "b\n" ],
    'entries are missing behind the cursor' =>
        [ '1700000000000-5', "b\nc\n", 1,
          '1700000000000-7' => "c\n", '1700000000000-8' => "d\ne\nf\n" ],
    'entries are missing further on' =>
        [ '1700000000000-5', "b\nc\nd\n", 1,
          '1700000000000-5' => "a\n", '1700000000000-6' => "b\n",
          '1700000000000-9' => "e\nf\ng\nh\n" ],
    'an entry that is dealt with in part' =>
        [ '1700000000000-5', "b\nc\n", 1,
          '1700000000000-5' => "a\nb\n" ],
    'the published server wrote it' =>
        [ '1700000000000-5', "b\nc\n", 0, foreign => 1,
          '1700000000000-5' => "a\n", '1700000000000-9' => "b\n",
          '1700000000123-4' => "c\n", '1700000000123-8' => "d\n" ],
    'and Redis lost what it wrote' =>
        [ '1700000000000-5', "b\nc\n", 1, foreign => 1,
          '1700000000000-9' => "b\n" ],
);

for my $name (sort keys %case) {
    my ($id, $beyond, undef, @entries) = @{ $case{$name} };
    my ($sid, $uuid) = (dashed(new_uuid()), new_uuid());
    my ($ms, $n) = split /-/, $id;
    my $file = "$uuid/8/2026/01/02/$uuid-2026-01-02-030405" . suffix(8);
    my @foreign = $entries[0] && $entries[0] eq 'foreign'
                  ? splice(@entries, 0, 2) : ();

    make_path("$t->{data}/" . dirname($file));

    my ($path, @dirs) = ($file);

    open(my $fh, '>', "$t->{data}/$file") or die "$file: $!";
    print $fh "a\n", $beyond;
    close($fh);

    push @dirs, "$t->{data}/$path" while ($path = dirname($path)) ne '.';
    $t->give("$t->{data}/$file", @dirs);

    push @{ $case{$name} = [ @{ $case{$name} }[0 .. 2] ] }, $uuid, $file,
         "a\n" . join('', do { my %e = @entries; delete $e{$id};
                               map { $e{$_} } sort keys %e });

    while (my ($entry, $text) = splice(@entries, 0, 2)) {
        $streams->cmd('XADD', "stream:8:$sid", $entry, message => $text,
                      uuid => $uuid, timestamp => 1, version => 1);
    }

    $streams->cmd('SADD', $_, $sid) for 'session_uuid:8', 'ended_session';
    $queues->cmd('HSET', "d4:cursor:$sid", worker => $dead, epoch => 1,
                 uuid => $uuid, type => 8, seq => 1, stream => 8, ms => $ms,
                 n => $n, off => 2, store => $store, file => $file,
                 length => 2, @foreign);
    $queues->cmd('SADD', "d4:cursors:$dead", $sid);
}

$metadata->cmd('SADD', 'd4:workers', $dead);
drained($t, 'the sessions of a dead worker', 40);

for my $name (sort keys %case) {
    my (undef, $beyond, $aside, $uuid, $file, $all) = @{ $case{$name} };
    my $rest = $name =~ /in part/ ? "b\n" : '';

    same_bytes(files_content($t->{data}, session_files($t->{data}, $uuid, 8,
                                                       suffix(8))),
               "$all$rest", "$name: what is known");
    is_deeply([ grep { /\.beyond/ } tree("$t->{data}/$uuid") ],
              [ $aside ? $file =~ s/^\w+\///r . '.beyond' : () ],
              "$name: bytes are " . ($aside ? 'set aside' : 'cut'));
    is(file_content("$t->{data}/$file.beyond"), $beyond,
       "$name: as they were") if $aside;
    is(scalar($t->log_lines(qr/\Q$file\E.*not committed/)), $aside,
       "$name: reported");
    is(scalar($t->log_lines(qr/of $uuid.*entries are missing/)),
       $name =~ /entries are missing/ ? 1 : 0, "$name: which are missing");
}

$t->finish;
done_testing();

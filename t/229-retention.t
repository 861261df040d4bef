# Files that are kept for a while only: what a session still writes to stays,
# whatever its extended type is called.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Test;
use File::Basename qw(dirname);
use File::Path qw(make_path);
use Test::More;

my $t = D4::Test->new(dispatch => { data_retention => '1h' });
my $uuid = new_uuid();
my $day = "$uuid/254/2024/01/02";
my $name = "$uuid-2024-01-02-030405";
my $old = time() - 86400;

sub file {
    my ($path) = @_;

    make_path("$t->{data}/" . dirname($path));
    open(my $fh, '>', "$t->{data}/$path") or die "$path: $!";
    print $fh "x\n";
    close($fh);
    utime($old, $old, "$t->{data}/$path") or die;
}

my @open = ("$day/name/$name.txt", "$day/files/$name.txt",
            "$uuid/8/2024/01/02/$name.passivedns.txt");
my @complete = ("$day/files/$name.txt.gz", "$day/files/$name.json",
                "$day/filewatcher/files/0123.txt",
                "$day/filewatcher/files/0123.cap",
                "datas/filewatcher/files/0123.txt");

file($_) for @open, @complete;
$t->give(map { "$t->{data}/$_" } @open, @complete);

for my $dir (map { dirname($_) } @open, @complete) {
    for (my $d = $dir; $d ne '.'; $d = dirname($d)) {
        $t->give("$t->{data}/$d");
    }
}

$t->start;

ok(poll_until(90, sub { !grep { -e "$t->{data}/$_" } @complete }),
   'old files that are complete go')
    or diag(join "\n", grep { -e "$t->{data}/$_" } @complete);
is_deeply([ grep { !-e "$t->{data}/$_" } @open ], [],
          'those that wait to be compressed stay');

$t->finish;
done_testing();

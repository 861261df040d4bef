package D4::Consumer;

# An analyzer as the published D4 server knows it: elements by RPOP from the
# lists of database 2, files below the data directory, gzip.  It knows what
# the published interface says (reference d4-core, sections 2.4, 3, 4, 5 and
# 9) and nothing else of the server under test.

use strict;
use warnings;

use Exporter 'import';
use File::Find ();
use IO::Uncompress::Gunzip qw($GunzipError);

our @EXPORT = qw(queue_define queue_list queue_take session_files tree
                 file_content files_content temporary);


# queue_define($metadata, $type, uuid => , ext => , group => [sensor uuids],
# max_size => , ...): as the published web interface stores a new queue
# (section 5.1).  Returns its uuid.

sub queue_define {
    my ($db, $type, %opt) = @_;

    my $uuid = delete $opt{uuid} // D4::Sensor::dashed(D4::Sensor::new_uuid());
    my $ext = delete $opt{ext};
    my $group = delete $opt{group};
    my $name = defined $ext ? "254:$ext" : $type;
    my $by = defined $ext ? "extended_type:$ext" : "format_type:$type";

    $db->pipeline(
        [ 'HSET', "analyzer:$uuid", 'type', $type,
          defined $ext ? (metatype => $ext) : (), %opt ],
        [ 'SADD', 'all_analyzer_queues', $uuid ],
        [ 'SADD', "all:analyzer:by:$by", $uuid ],
        defined $ext ? [ 'SADD', 'all:analyzer:extended_type', $ext ]
                     : [ 'SADD', 'all:analyzer:format_type', $type ],
        $group ? ([ 'SADD', "analyzer_uuid_group:$name", $uuid ],
                  [ 'SADD', "analyzer_sensor_group:$uuid", @$group ],
                  map { [ 'SADD', 'sensor:queues:' . ($ext // $type) . ":$_",
                          $uuid ] } @$group)
               : [ 'SADD', "analyzer:$name", $uuid ],
    );

    return $uuid;
}


# The name of its list: the extended type's name stands for 254.

sub queue_list {
    my ($type, $uuid) = @_;

    return "analyzer:$type:$uuid";
}


# All elements that are there, oldest first.

sub queue_take {
    my ($db, $type, $uuid) = @_;

    my $list = queue_list($type, $uuid);
    my @elements;

    for (;;) {
        my @got = grep { defined }
            $db->pipeline(map { [ 'RPOP', $list ] } 1 .. 500);

        die "redis: ${$got[0]}\n" if @got && ref $got[0];

        push @elements, @got;
        last if @got < 500;
    }

    return @elements;
}


# Every file below a directory, relative to it, sorted.

sub tree {
    my ($dir) = @_;

    my @files;

    return if !-d $dir;

    File::Find::find({ no_chdir => 1, wanted => sub {
        push @files, $File::Find::name =~ s/^\Q$dir\E\///r if !-d || -l;
    } }, $dir);

    @files = sort @files;

    return @files;
}


# Is this a file of the server's own, or one that is not finished?

sub temporary { return $_[0] =~ m{(?:^|/)\.} }


# The files of a sensor's type (for 254: of an extended type) with the given
# suffix, in the order in which they were begun, as paths relative to the data
# directory.  A name that was taken has a number before the suffix.

sub session_files {
    my ($data, $uuid, $type, $suffix, $ext) = @_;

    my $under = defined $ext ? "$ext/" : '';
    my @found;

    for my $file (tree("$data/$uuid/$type")) {
        $file =~ m{^\d{4}/\d\d/\d\d/\Q$under\E\Q$uuid\E
                   -(\d{4}-\d\d-\d\d-\d{6})(?:-(\d+))?\Q$suffix\E(?:\.gz)?$}x
            or next;

        push @found, [ "$1", $2 // 0, "$uuid/$type/$file" ];
    }

    return map { $_->[2] }
        sort { $a->[0] cmp $b->[0] || $a->[1] <=> $b->[1] } @found;
}


# What a file holds; dies when a compressed one is damaged.

sub file_content {
    my ($path) = @_;

    open(my $fh, '<:raw', $path) or die "$path: $!";
    local $/;
    my $bytes = <$fh> // '';

    return $bytes if $path !~ /\.gz$/;

    my $in = IO::Uncompress::Gunzip->new(\$bytes, MultiStream => 1,
                                         Strict => 1)
        or die "$path: $GunzipError";
    my ($out, $rc) = ('');

    while (($rc = $in->read(my $piece, 1 << 20)) > 0) {
        $out .= $piece;
    }

    die "$path: $GunzipError" if $rc < 0;

    return $out;
}


sub files_content {
    my ($data, @files) = @_;

    return join '', map { file_content("$data/$_") } @files;
}

1;

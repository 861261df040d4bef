package D4::Dispatch;

# What the tests of the dispatcher ask of it: that nothing is left, that bytes
# and elements are the same.

use strict;
use warnings;

use D4::Consumer;
use D4::Proc;
use Exporter 'import';
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(left drained lines_of same_bytes same_lines open_files_of
                 worker_fds suffix);

my %suffix = (1 => '.cap', 3 => '.syslog.txt', 4 => '.dnscap.txt',
              5 => '.pcapng', 6 => '.ndjson', 7 => '.ipfix',
              8 => '.passivedns.txt', 254 => '.txt');


sub suffix { return $suffix{$_[0]} }


# Keys of sessions and files that are not dealt with.

sub left {
    my ($t) = @_;

    # their number where that is asked for, of both

    my @keys = (
        (grep { /^(stream:|session_uuid:|ended_session$|working_session_uuid:
                  |d4:sealed|d4:extended:|map:|active_|Error:)/x }
         $t->db('streams')->keys),
        (grep { /^d4:(cursor|cursors|closing)(:|$)/ } $t->db('queues')->keys),
    );

    return @keys;
}


# Everything that was sent has become files and elements, nothing is left.

sub drained {
    my ($t, $name, $seconds) = @_;

    my $begin = time();
    my $ok = poll_until($seconds // 30, sub { !left($t) }, 0.1);

    return ok($ok, sprintf('%s: nothing is left in Redis after %.1f s', $name,
                           time() - $begin))
        || do { my @left = left($t);
                diag(join "\n", @left > 20 ? @left[0 .. 19] : @left); 0 };
}


# The elements that bytes become: lines without their ends, none empty.

sub lines_of { return grep { length } split /\n/, $_[0] }


sub same_bytes {
    my ($got, $want, $name) = @_;

    return pass($name) if $got eq $want;

    my ($n) = ($got ^ $want) =~ /^(\0*)/;
    my $at = length $n;

    fail($name);
    diag(sprintf('%d bytes instead of %d, the first difference at %d:',
                 length $got, length $want, $at));
    diag(map { sprintf("%s %s\n", @$_) }
         [ 'got ', _show($got, $at) ], [ 'want', _show($want, $at) ]);

    return 0;
}


sub _show {
    my ($s, $at) = @_;

    return '(nothing)' if $at >= length $s;
    return substr($s, $at > 20 ? $at - 20 : 0, 60)
        =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
}


sub same_lines {
    my ($got, $want, $name) = @_;

    return same_bytes(join("\n", @$got, ''), join("\n", @$want, ''),
                      "$name: " . @$want . ' elements');
}


# Descriptors of a process that lead below a directory.

sub open_files_of {
    my ($pid, $dir) = @_;

    return grep { defined && m{^\Q$dir\E/} }
        map { readlink } glob("/proc/$pid/fd/*");
}


sub worker_fds {
    my ($pid) = @_;

    my @fds = glob("/proc/$pid/fd/*");

    return scalar @fds;
}

1;

package D4::Audit;

# Files and queues compared with all that sensors have sent: each byte and
# each element once, and nothing missing that the server had stored.

use strict;
use warnings;

use D4::Consumer;
use D4::Dispatch;
use D4::Source;
use Exporter 'import';
use Test::More;

our @EXPORT = qw(audit_numbered audit_lines audit_pcap stored_frames);

my $pattern = '';


# Frames that stand in the streams now: uuid => number of the last one, of
# d4send's frames and of lines.

sub stored_frames {
    my ($t) = @_;

    my $redis = $t->db('streams');
    my %last;

    for my $key ($redis->keys('stream:8:*')) {
        for my $entry (@{ $redis->cmd('XREVRANGE', $key, '+', '-', 'COUNT',
                                      5) }) {
            my $f = { @{ $entry->[1] } };

            my ($seq) = $f->{message} =~ /^[0-9a-f]{8} (\d{16}) /
                ? $1 : $f->{message} =~ /.*^(\d{16})\b.*\n/ms ? $1 : next;

            $last{ $f->{uuid} } = $seq + 0
                if ($last{ $f->{uuid} } // -1) < $seq;
            last;
        }
    }

    return \%last;
}


sub _pattern {
    if (!$pattern) {
        my $x = 4;

        for (1 .. 4099) {
            $x = ($x * 1103515245 + 12345) & 0x7fffffff;
            $pattern .= chr(($x >> 16) & 0xff);
        }

        $pattern x= 20;
    }

    return $pattern;
}


# The files of a sensor, on all hosts that a test has.

sub _files {
    my ($t, $uuid, $type) = @_;

    return map {
        my $data = $_;
        map { "$data/$_" } session_files($data, $uuid, $type, suffix($type));
    } @{ $t->{all_data} // [ $t->{data} ] };
}


# Files and queue of each sensor of a D4::Load, which is one long text cut at
# random.  Each file is found in that text by the numbers in it; together they
# have to be all of it, once.  What is missing ends where a session began, and
# was not in Redis: known is { uuid => last frame seen there, ... }.

sub audit_numbered {
    my ($t, $load, $name, %opt) = @_;

    my $report = $load->wait or return fail("$name: the load did not end");
    my @uuids = $load->uuids;
    my ($bytes, $lost, $files, $elements, @bad) = (0, 0, 0, 0);

    for my $conn (0 .. $#uuids) {
        my $uuid = $uuids[$conn];
        my $n = $report->{sent_by}[$conn];
        my ($text, @start) = ('');

        for my $seq (0 .. $n - 1) {
            push @start, length $text;
            $text .= sprintf('%08x %016d ', $conn, $seq)
                . substr(_pattern(), $seq % 4099, $load->_size($seq) - 26);
        }

        push @start, length $text;

        my (@have, @headless, %want, @order);

        for my $file (_files($t, $uuid, 8)) {
            my $got = file_content($file);

            push @bad, "$file is not compressed" if $file !~ /\.gz$/;
            $files++;

            my @lines = lines_of($got);
            $want{$_}++ for @lines;
            push @order, \@lines;

            if ($got !~ /([0-9a-f]{8}) (\d{16}) /) {
                push @headless, [ $file, $got ];
                next;
            }

            my $at = ($start[$2] // 0) - $-[0];

            if ($at < 0 || hex $1 != $conn
                || substr($text, $at, length $got) ne $got)
            {
                push @bad, "$file has what was not sent";
                next;
            }

            push @have, [ $at, $at + length $got, $file ];
        }

        my ($end, %border) = (0, map { $_ => 1 } @start);

        push @bad, _place_headless($text, \@have, @headless);

        for my $part ((sort { $a->[0] <=> $b->[0] } @have),
                      [ length $text, length $text, 'the end' ]) {
            if ($part->[0] > $end) {
                push @bad, "$uuid: bytes $end to $part->[0] are missing: "
                    . join(', ', _why(\@start, $end, $part->[0],
                                      $opt{known}{$uuid}))
                    if !$opt{kills}
                       || _why(\@start, $end, $part->[0], $opt{known}{$uuid});
                $lost += $part->[0] - $end;
            }

            push @bad, "$uuid: bytes $part->[0] to $end are doubled in "
                . $part->[2] if $part->[0] < $end;
            $bytes += $part->[1] - $part->[0];
            $end = $part->[1];
        }

        push @bad, _compare_queue($t, $uuid, $opt{queue}{$uuid}, \%want,
                                  \@order, \$elements)
            if $opt{queue};
    }

    ok(!@bad, "$name: $bytes bytes in $files files, $elements elements, each "
              . "once; $lost were not received")
        || diag(join "\n", map { s/[^ -~]/?/gr } @bad > 10 ? @bad[0 .. 9]
                                                          : @bad);

    return { bytes => $bytes, lost => $lost, files => $files };
}


# Files without a number in them: where it is missing, best behind another one.

sub _place_headless {
    my ($text, $have, @parts) = @_;

    # one may begin like another: the longer ones fit in fewer places
    @parts = sort { length $b->[1] <=> length $a->[1] } @parts;

    my $free = sub {
        my ($at, $len) = @_;
        return !grep { $at < $_->[1] && $at + $len > $_->[0] } @$have;
    };
    my @bad;

    for my $last (0, 1) {
        for (my $n = @parts; $n > 0; $n--) {
            my $part = shift @parts;
            my ($file, $got) = @$part;
            my $len = length $got;
            my ($at) = grep { substr($text, $_, $len) eq $got
                              && $free->($_, $len) }
                0, map { $_->[1] } @$have;

            for ($at //= $last ? index($text, $got) : undef;
                 defined $at && $at >= 0 && !$free->($at, $len);
                 $at = index($text, $got, $at + 1)) { }

            if (!defined $at) {
                push @parts, $part;
            } elsif ($at < 0) {
                push @bad, "$file has what was not sent, or sent once";
            } else {
                push @$have, [ $at, $at + $len, $file ];
                $n = @parts + 1 if !$last;
            }
        }
    }

    return @bad;
}


# Why these bytes should not be missing.

sub _why {
    my ($start, $from, $to, $known) = @_;

    my @why;
    my %border = map { $start->[$_] => $_ } 0 .. $#$start;

    push @why, 'no session begins behind them' if !defined $border{$to};
    push @why, 'nothing is behind them' if $to == $start->[-1];
    push @why, map { "frame $_ was stored" } grep {
        $start->[$_] >= $from && $start->[$_] < $to
    } @{ $known // [] };

    return @why;
}


# The queue of one sensor has the lines of its files, once, those of each file
# in their order.

sub _compare_queue {
    my ($t, $uuid, $queue, $want, $order, $elements) = @_;

    my @got = queue_take($t->db('queues'), 8, $queue);
    my (%got, %at, @bad);

    $$elements += @got;
    $got{$_}++ for @got;
    @at{@got} = 0 .. $#got;

    for (keys %got) {
        push @bad, "$uuid: element $got{$_} times, in files "
            . ($want->{$_} // 0) . ": " . substr($_, 0, 60)
            if $got{$_} != ($want->{$_} // 0);
    }

    push @bad, map { "$uuid: no element for: " . substr($_, 0, 60) }
        grep { !$got{$_} } keys %$want;

    for my $lines (@$order) {
        my $last = -1;

        for (grep { $want->{$_} == 1 } @$lines) {
            push @bad, "$uuid: element out of order: " . substr($_, 0, 60)
                if ($at{$_} // $last) < $last;
            $last = $at{$_} // $last;
        }
    }

    return @bad;
}


# The same for a source() of lines.  A line that was cut off with its
# connection is sent again from its beginning.

sub audit_lines {
    my ($t, $s, $name, %opt) = @_;

    my $report = $s->{report} or return fail("$name: the sensor did not end");
    my %start = map { $_ => 1 } @{ $report->{starts} };
    my (%seen, %want, @order, @bad);
    my ($partial, $elements) = (0, 0);

    for my $file (_files($t, $s->{uuid}, $s->{type})) {
        my @lines = file_content($file) =~ /([^\n]*\n|[^\n]+\z)/g;

        push @bad, "$file is not compressed" if $file !~ /\.gz$/;
        push @order, [ lines_of(join '', @lines) ];
        $want{$_}++ for @{ $order[-1] };

        my $last;

        for my $i (0 .. $#lines) {
            my ($seq) = $lines[$i] =~ /^(\d{16})/;

            if (defined $seq && $lines[$i] eq unit_line($seq)) {
                $seen{ $seq + 0 }++;
                push @bad, "$file: $last, then $seq"
                    if defined $last && $seq != $last + 1;
                $last = $seq + 0;

            } elsif ($i == $#lines && grep {
                         unit_line($_) =~ /^\Q$lines[$i]\E/ } keys %start) {
                $partial++;

            } else {
                push @bad, "$file: $lines[$i]";
            }
        }
    }

    push @bad, _holes(\%seen, $report, \%opt, $s->{uuid});
    push @bad, _compare_queue($t, $s->{uuid}, $opt{queue}, \%want, \@order,
                              \$elements) if $opt{queue};

    return ok(!@bad, "$name: " . keys(%seen) . " of $report->{sent} lines in "
                     . @{ $report->{starts} } . ' sessions, each once in '
                     . @order . " files, $elements elements"
                     . ($partial ? ", $partial cut off" : ''))
        || diag(join "\n", @bad > 10 ? @bad[0 .. 9] : @bad);
}


# Units that were not seen lie at the end of a session that was killed.

sub _holes {
    my ($seen, $report, $opt, $uuid) = @_;

    my %start = map { $_ => 1 } @{ $report->{starts} };
    my @known = @{ $opt->{known}{$uuid} // [] };
    my @bad = map { "unit $_ $seen->{$_} times" }
        grep { $seen->{$_} > 1 } sort { $a <=> $b } keys %$seen;
    my $from;

    for my $seq (0 .. $report->{sent}) {
        if ($seq < $report->{sent} && !$seen->{$seq}) {
            $from //= $seq;
            next;
        }

        next if !defined $from;

        push @bad, "units $from to " . ($seq - 1) . ' are missing'
            if !$opt->{kills} || !$start{$seq} || $seq == $report->{sent}
               || grep { $_ >= $from && $_ < $seq } @known;
        undef $from;
    }

    return @bad;
}


# A source() of packets: each file a pcap, each packet once, the queue has the
# path of each file once.

sub audit_pcap {
    my ($t, $s, $name, %opt) = @_;

    my $report = $s->{report} or return fail("$name: the sensor did not end");
    my (%seen, @bad, @empty);

    my @files = _files($t, $s->{uuid}, 1);

    for my $file (@files) {
        my @seq = eval { pcap_records(file_content($file)) };

        push @bad, "$file: $@" if $@;
        push @bad, "$file is not compressed" if $file !~ /\.gz$/;
        push @empty, $file if !$@ && !@seq;

        $seen{$_}++ for @seq;

        for (1 .. $#seq) {
            push @bad, "$file: $seq[$_ - 1], then $seq[$_]"
                if $seq[$_] != $seq[$_ - 1] + 1;
        }
    }

    # a session that ended within its first packet has a header all the same

    my @starts = (@{ $report->{starts} }, $report->{sent});
    my $bare = grep {
        my $i = $_;
        !grep { $seen{$_} } $starts[$i] .. $starts[$i + 1] - 1;
    } 0 .. $#starts - 1;

    push @bad, "empty, and $bare sessions without packets: @empty"
        if @empty > $bare;

    push @bad, _holes(\%seen, $report, \%opt, $s->{uuid});

    if ($opt{queue}) {
        my @got = sort(queue_take($t->db('queues'), 1, $opt{queue}));
        my @want = sort @files;

        push @bad, "queue: @got\nfiles: @want" if "@got" ne "@want";
    }

    return ok(!@bad, "$name: " . keys(%seen) . " of $report->{sent} packets in "
                     . @{ $report->{starts} } . ' sessions, each once in '
                     . @files . ' files, each queued once')
        || diag(join "\n", @bad > 10 ? @bad[0 .. 9] : @bad);
}

1;

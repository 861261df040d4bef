package D4::Dispatch;

# What the tests of the dispatcher ask of it: sensors of which every byte is
# known, and comparisons of files and queues with what these have sent.

use strict;
use warnings;

use D4::Consumer;
use D4::Proc;
use Exporter 'import';
use JSON::PP ();
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(left drained lines_of same_bytes same_lines open_files_of
                 source source_stop unit_line unit_packet pcap_header
                 pcap_records audit_numbered audit_lines audit_pcap
                 stored_frames suffix worker_fds);

my %suffix = (1 => '.cap', 3 => '.syslog.txt', 4 => '.dnscap.txt',
              5 => '.pcapng', 6 => '.ndjson', 7 => '.ipfix',
              8 => '.passivedns.txt', 254 => '.txt');

my $pattern = '';


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


# Units of which a sensor's data is made, each of them known by its number.

sub unit_line {
    my ($seq) = @_;

    return sprintf('%016d', $seq)
        . ' 198.51.100.7||example.org||A||' x ($seq % 7) . "\n";
}


sub unit_packet {
    my ($seq) = @_;

    my $data = sprintf('%016d ', $seq) . 'packet' x ($seq % 91);

    return pack('V4', 1_700_000_000 + int($seq / 1000), $seq % 1000,
                length $data, length $data) . $data;
}


sub pcap_header { return pack('V v v V V V V', 0xa1b2c3d4, 2, 4, 0, 0,
                              65535, 147) }


# The records of a pcap of ours, as numbers; dies when it is not a whole one.

sub pcap_records {
    my ($bytes) = @_;

    die 'no pcap header' if substr($bytes, 0, 24) ne pcap_header();

    my ($at, @seq) = (24);

    while ($at < length $bytes) {
        my $seq = substr($bytes, $at + 16, 16);

        die "no record at $at" if $seq !~ /^\d{16}$/
            || substr($bytes, $at, length unit_packet($seq))
               ne unit_packet($seq);

        push @seq, $seq + 0;
        $at += length unit_packet($seq);
    }

    return @seq;
}


# A sensor in a process of its own that comes back whenever it is cut off:
#   kind   lines (frames of whole lines) | torn (cut anywhere) | pcap (so, too)
#   rate   units a second
# It goes on behind the last unit that it has written whole.

sub source {
    my ($t, %opt) = @_;

    my $uuid = $opt{uuid} // D4::Sensor::new_uuid();
    my $n = ++$t->{sources};
    my $out = "$t->{dir}/source$n.json";

    $t->register($uuid, "key of $uuid");

    my $proc = D4::Proc->start([ $^X, '-I', _lib(), '-MD4::Dispatch', '-e',
                                 'D4::Dispatch::_source(@ARGV)', $t->{port},
                                 $t->{tls}, $uuid, $opt{kind},
                                 $opt{rate} // 500, $out,
                                 $opt{type} // ($opt{kind} eq 'pcap' ? 1
                                                                     : 8) ],
                               out => "$t->{dir}/source$n.err");

    return { uuid => $uuid, proc => $proc, out => $out, t => $t,
             kind => $opt{kind}, type => $opt{kind} eq 'pcap' ? 1
                                         : $opt{type} // 8 };
}


sub _lib { return __FILE__ =~ s{/D4/Dispatch\.pm$}{}r }


# Ends it and returns its report: sent (units), starts (the first unit of each
# of its sessions).

sub source_stop {
    my ($s, $seconds) = @_;

    $s->{proc}->signal('TERM');
    $s->{proc}->wait_gone($seconds // 60) or return;

    return $s->{report} = eval {
        JSON::PP::decode_json(D4::Proc::slurp($s->{out}))
    };
}


sub _source {
    my ($port, $tls, $uuid, $kind, $rate, $out, $type) = @_;

    require D4::Sensor;

    my ($stop, $seq, @starts) = (0, 0);
    my $begin = time();

    # other random cuts in each
    srand(hex(substr($uuid, 0, 8)));

    $SIG{TERM} = sub { $stop = 1 };
    $SIG{PIPE} = 'IGNORE';

    my $unit = $kind eq 'pcap' ? \&unit_packet : \&unit_line;
    my $done = 0;

    while (!$done) {
        my $s = D4::Sensor->connect(port => $port, tls => $tls, uuid => $uuid,
                                    key => "key of $uuid", type => $type);
        if (!$s) {
            sleep(0.1);
            next;
        }

        my $head = $kind eq 'pcap' ? pcap_header() : '';
        my ($buf, @ends) = ($head);    # offsets in buf at which units end
        my $first = $seq;

        for (;;) {
            my $due = int((time() - $begin) * $rate) - $seq - @ends;

            $due = 2000 if $due > 2000;

            # its last session has something to lose

            $due = 1 if $stop && $seq + @ends == $first;

            while ((!$stop || $seq + @ends == $first) && $due-- > 0) {
                $buf .= $unit->($seq + @ends);
                push @ends, length $buf;
            }

            if (!length $buf) {
                $done = 1 if $stop;
                last if $s->ended || $done;
                sleep(0.005);
                next;
            }

            my $n = length $buf;

            if ($kind ne 'lines') {
                $n = 1 + int(rand($n > 3000 ? 3000 : $n));

            } elsif ($n > 60000) {
                $n = (grep { $_ <= 60000 } @ends)[-1];
            }

            last if $s->ended
                || !$s->write($s->frame_of(substr($buf, 0, $n)));

            substr($buf, 0, $n, '');
            $_ -= $n for @ends;

            while (@ends && $ends[0] <= 0) {
                shift @ends;
                $seq++;
            }
        }

        push @starts, $first;

        # the end is good when the server has taken everything

        $done = 0 if $done && $s->finish(30) ne 'eof';
        $s->drop;
        sleep(0.05) if !$done;
    }

    open(my $fh, '>', $out) or die "$out: $!";
    print $fh JSON::PP::encode_json({ sent => $seq, starts => \@starts });
    close($fh);
}


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
    my (%seen, @bad);

    my @files = _files($t, $s->{uuid}, 1);

    for my $file (@files) {
        my @seq = eval { pcap_records(file_content($file)) };

        push @bad, "$file: $@" if $@;
        push @bad, "$file is not compressed" if $file !~ /\.gz$/;
        push @bad, "$file is empty" if !$@ && !@seq;

        $seen{$_}++ for @seq;

        for (1 .. $#seq) {
            push @bad, "$file: $seq[$_ - 1], then $seq[$_]"
                if $seq[$_] != $seq[$_ - 1] + 1;
        }
    }

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

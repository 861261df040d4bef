package D4::Source;

# Sensors in processes of their own, every byte of whose data is known.

use strict;
use warnings;

use D4::Proc;
use Exporter 'import';
use JSON::PP ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(source source_stop unit_line unit_packet pcap_header
                 pcap_records);


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

    my $proc = D4::Proc->start([ $^X, '-I', _lib(), '-MD4::Source', '-e',
                                 'D4::Source::_source(@ARGV)', $t->{port},
                                 $t->{tls}, $uuid, $opt{kind},
                                 $opt{rate} // 500, $out,
                                 $opt{type} // ($opt{kind} eq 'pcap' ? 1
                                                                     : 8) ],
                               out => "$t->{dir}/source$n.err");

    return { uuid => $uuid, proc => $proc, out => $out, t => $t,
             kind => $opt{kind}, type => $opt{kind} eq 'pcap' ? 1
                                         : $opt{type} // 8 };
}


sub _lib { return __FILE__ =~ s{/D4/Source\.pm$}{}r }


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

1;

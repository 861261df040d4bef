package D4::Load;

# d4send in the background, and the audit of what it sent against what stands
# in the streams.

use strict;
use warnings;

use D4::Proc;
use JSON::PP ();

use constant {
    NUMBER  => 26,
    PATTERN => 4099,
};

my $pattern = '';


# start($t, conns => 1, frames => 1000, size => 100, ...): registers the
# sensors unless registered => 1.

sub start {
    my ($class, $t, %opt) = @_;

    my $self = bless { %opt, t => $t }, $class;

    $self->{conns} //= 1;
    $self->{frames} //= 1000;
    $self->{type} //= 8;
    $self->{size} //= 100;
    $self->{timeout} //= 60;
    $self->{key} //= 'load key';
    $self->{uuid} //= substr(D4::Sensor::new_uuid(), 0, 24) . '00000000';

    my $name = 'load' . ++$t->{loads};

    $self->{out} = "$t->{dir}/$name.json";
    $self->{err} = "$t->{dir}/$name.err";

    $t->write_file("$name.key", $self->{key});
    $t->register([ $self->uuids ], $self->{key}) if !$opt{registered};

    # the default limit of a stream is 10000 entries

    $t->db('metadata')->pipeline(map {
        [ 'HSET', 'stream_max_size_by_uuid', $_, 1_000_000_000 ]
    } $self->uuids) if !$self->{frames} || $self->{frames} > 9000;

    my @argv = (
        $ENV{D4SEND} || "$t->{build}/t/d4send",
        '-p', $opt{port} // $t->{port}, '-k', "$t->{dir}/$name.key",
        '-u', $self->{uuid}, '-c', $self->{conns}, '-n', $self->{frames},
        '-t', $self->{type}, '-s', $self->{size}, '-T', $self->{timeout},
        '-b', $opt{first} // 0,
        $opt{rate} ? ('-r', $opt{rate}) : (),
        $opt{split} ? ('-w', $opt{split}) : (),
        $opt{reconnect} ? '-R' : (),
        $t->{tls} ? () : '-P',
        $opt{hold} ? '-H' : (),
        $opt{mute} ? '-x' : (),
    );

    $self->{proc} = D4::Proc->start(\@argv, out => $self->{out},
                                    err => $self->{err});

    return $self;
}


sub uuids {
    my ($self) = @_;

    my $base = hex(substr($self->{uuid}, 24));

    return map { substr($self->{uuid}, 0, 24) . sprintf('%08x', $base + $_) }
        0 .. $self->{conns} - 1;
}


# Tells it to stop at the next frame border.

sub stop { $_[0]{proc}->signal('TERM') }

sub running { return $_[0]{proc}->alive }


# Its report, once it has ended; undef if it does not within its own limit.

sub wait {
    my ($self) = @_;

    $self->{proc}->wait_gone($self->{timeout} + 10) or return;

    open(my $fh, '<', $self->{out}) or return;
    local $/;

    return $self->{report} = eval { JSON::PP::decode_json(<$fh>) };
}


# Reads all streams and compares them with the report.
#   sent, stored: frames
#   lost          sent but not stored
#   extra         stored but not sent, or not of this load
#   doubled       stored more than once
#   holes         steps in a session that are not one forward
#   corrupt       payload, uuid or fields differ from what was sent
#   ids           entry ids that are not <session ms>-1, -2, -3...
#   sessions      number of streams

sub audit {
    my ($self) = @_;

    my $redis = $self->{t}->db('streams');
    my $report = $self->{report} || {};
    my $first = $report->{first} // $self->{first} // 0;
    my %a = map { $_ => 0 }
        qw(sent stored lost extra doubled holes corrupt ids sessions);
    my @seen = ('') x $self->{conns};
    my @uuids = $self->uuids;
    my %mine = map { $_ => 1 } @uuids;

    if (!$pattern) {
        my $x = 4;

        for (1 .. PATTERN) {
            $x = ($x * 1103515245 + 12345) & 0x7fffffff;
            $pattern .= chr(($x >> 16) & 0xff);
        }

        $pattern x= 2 + 1_000_000 / PATTERN;
    }

    for my $key ($redis->keys('stream:*')) {
        my ($from, $ms, $n, $last) = ('-', undef, 0);
        my $some = 0;

        for (;;) {
            my $entries = $redis->cmd('XRANGE', $key, $from, '+', 'COUNT',
                                      $self->_page);

            last if !@$entries;

            for my $entry (@$entries) {
                my ($id, $f) = ($entry->[0], { @{ $entry->[1] } });

                next if !$mine{ $f->{uuid} };

                $some = 1;
                $a{stored}++;

                my ($id_ms, $id_n) = split /-/, $id;
                $a{ids}++ if defined $ms && $ms ne $id_ms
                             || $id_n != ++$n && !$self->{trimmed};
                ($ms, $n) = ($id_ms, $id_n);

                my $payload = $f->{message};

                if ($payload !~ /^([0-9a-f]{8}) (\d{16}) /) {
                    $a{corrupt}++;
                    next;
                }

                my ($conn, $seq) = (hex $1, $2 + 0);

                if ($conn >= $self->{conns} || $f->{uuid} ne $uuids[$conn]
                    || $f->{version} ne '1'
                    || abs($f->{timestamp} - time()) > 3600
                    || length($payload) != $self->_size($seq)
                    || substr($payload, NUMBER)
                       ne substr($pattern, $seq % PATTERN,
                                 length($payload) - NUMBER))
                {
                    $a{corrupt}++;
                    next;
                }

                $a{holes}++ if defined $last && $seq != $last + 1;
                $last = $seq;

                $seq -= $first;

                if (vec($seen[$conn], $seq, 1)) {
                    $a{doubled}++;
                }

                vec($seen[$conn], $seq, 1) = 1;
            }

            $from = "($entries->[-1][0]";
        }

        $a{sessions} += $some;
    }

    for my $conn (0 .. $self->{conns} - 1) {
        my $sent = $report->{sent_by}[$conn] // 0;
        my $bits = unpack('b*', $seen[$conn]);
        my $stored = ($bits =~ tr/1//);
        my $within = (substr($bits, 0, $sent) =~ tr/1//);

        $a{sent} += $sent;
        $a{lost} += $sent - $within;
        $a{extra} += $stored - $within;
    }

    return \%a;
}


sub _page {
    my ($self) = @_;

    my ($max) = $self->{size} =~ /(\d+)$/;
    my $n = int(4_000_000 / ($max + 200));

    return $n < 1 ? 1 : $n > 2000 ? 2000 : $n;
}


sub _size {
    my ($self, $seq) = @_;

    my ($min, $max) = split /-/, $self->{size};

    return $min if !defined $max || $max == $min;
    return $min + ($seq * 2654435761) % ($max - $min + 1);
}


# Entries of the load in the streams, without reading them.

sub stored {
    my ($self) = @_;

    my $redis = $self->{t}->db('streams');
    my @keys = $redis->keys("stream:$self->{type}:*");
    my $n = 0;

    $n += $_ for $redis->pipeline(map { [ 'XLEN', $_ ] } @keys);

    return $n;
}

1;

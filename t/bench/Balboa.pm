# Copyright (C) The ngx_d4 authors

# balboa, the passive DNS server that Debian packages, beside ours: the same
# lines through its socket, the same names and addresses through its GraphQL.

package Balboa;

use strict;
use warnings;

use FindBin;
use HTTP::Tiny;
use IO::Socket::UNIX;
use POSIX ();
use Time::HiRes qw(sleep time);

use Bench;


# new(): started, with an empty database; or the reason why not.

sub new {
    my ($class) = @_;

    my $where = `$FindBin::Bin/balboa.sh $FindBin::Bin/../../build/balboa`;

    chomp($where);
    return $where if $?;

    my $dir = run_dir();
    my $self = bless { backend => Bench::free_port(),
                       port => Bench::free_port(), dir => $dir,
                       ua => HTTP::Tiny->new(timeout => 60) }, $class;

    local $ENV{LD_LIBRARY_PATH} = join ':', glob("$where/lib/*-linux-gnu");

    write_file("$dir/feeders.yaml", <<"END");
feeder:
    - name: lines
      type: socket
      path: $dir/balboa.sock
      input_format: gamelinux
END

    $self->{pids} = [
        spawn('balboa-rocksdb.log', "$where/bin/balboa-rocksdb", '-d',
              "$dir/balboa.db", '-p', $self->{backend}, '-R'),
    ];
    until_true('balboa-rocksdb', 20, sub {
        IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                              PeerPort => $self->{backend})
    });

    push @{ $self->{pids} },
        spawn('balboa.log', "$where/bin/balboa", 'serve', '-f',
              "$dir/feeders.yaml", '-H', "127.0.0.1:$self->{backend}", '-l',
              "$dir/balboa.serve.log", '-p', $self->{port});
    until_true('balboa', 20, sub {
        -S "$dir/balboa.sock" && $self->ask('rrname', 'none.example')
    });

    return $self;
}


sub query {
    my ($by, $value) = @_;

    return "{\"query\":\"{entries($by:\\\"$value\\\",limit:1000)"
        . '{rrname rdata rrtype count time_first time_last}}"}';
}


# The answer, when there is one.

sub ask {
    my ($self, $by, $value) = @_;

    my $r = $self->{ua}->post("http://127.0.0.1:$self->{port}/query",
        { headers => { 'Content-Type' => 'application/json' },
          content => query($by, $value) });

    return $r->{status} == 200 ? $r->{content} : undef;
}


sub feed {
    my ($self, $file, $end) = @_;

    my $pid = fork // die "fork: $!\n";

    return $pid if $pid;

    my $s = IO::Socket::UNIX->new(Peer => "$self->{dir}/balboa.sock");
    open(my $fh, '<', $file) or POSIX::_exit(1);

    while ($s && read($fh, my $piece, 1 << 18)) {
        for (my $at = 0; $at < length $piece; ) {
            $at += syswrite($s, $piece, length($piece) - $at, $at)
                || POSIX::_exit(1);
        }
    }

    syswrite($s, "1500000000.123456||192.0.2.1||192.0.2.2||IN||$end.||A||"
                 . "192.0.2.1||300||1\n");
    close($s);
    POSIX::_exit(0);
}


# All lines of the files, each file by a connection of its own: lines a second
# until the last one of each is found.

sub ingest {
    my ($self, @files) = @_;

    my $lines = 0;

    for my $file (@files) {
        $lines += `wc -l < $file`;
    }

    my $start = time;
    my @pids = map { $self->feed($files[$_], "end$_.example") } 0 .. $#files;

    for my $pid (@pids) {
        waitpid($pid, 0);
        problem('balboa takes no lines') if $?;
    }

    for my $n (0 .. $#files) {
        until_true('balboa: the last line', 1800, sub {
            sleep 0.02;
            ($self->ask('rrname', "end$n.example") // '') =~ /"count":1/
        });
    }

    return $lines / (time - $start);
}


# Lookups a second, and latencies in ms of half of them and of 99 in 100, of
# values by which (rrname, rdata) they are to be found.

sub load {
    my ($self, $connections, $seconds, $by, @values) = @_;

    for (@values[0 .. 9]) {
        problem("balboa does not know $_")
            if ($self->ask($by, $_) // '') !~ /"rrname"/;
    }

    write_file("$self->{dir}/balboa.lua",
        "local bodies = {\n" . join('', map { '[==[' . query($by, $_)
                                              . "]==],\n" } @values)
        . "}\nlocal i = 0\n"
        . "local headers = { ['Content-Type'] = 'application/json' }\n"
        . "function request()\n"
        . "  i = i % #bodies + 1\n"
        . "  return wrk.format('POST', '/query', headers, bodies[i])\n"
        . "end\n");

    my $text = `wrk -t 1 -c $connections -d ${seconds}s --latency \\
        -s $self->{dir}/balboa.lua 'http://127.0.0.1:$self->{port}'`;
    my %unit = (us => 0.001, ms => 1, s => 1000, m => 60000);
    my ($rate) = $text =~ m{^Requests/sec:\s+([\d.]+)}m;

    problem("balboa, wrk: $text") if !$rate;

    return ($rate // 0, map {
        $text =~ /^\s+$_%\s+([\d.]+)(us|ms|s|m)$/m ? $1 * $unit{$2} : -1
    } 50, 99);
}


# What it does by itself after an ingest is not to be seen in figures of others.

sub pause { kill 'STOP', @{ $_[0]{pids} } }

sub resume { kill 'CONT', @{ $_[0]{pids} } }


sub end {
    my ($self) = @_;

    Bench::stop($_) for reverse @{ $self->{pids} };
}

1;

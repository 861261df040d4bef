package Sensor;

# The passive DNS sensor under test, and its lines.

use strict;
use warnings;

use Exporter 'import';
use POSIX ();

use D4::Proc;

our @EXPORT = qw(sensor sensor_run lines fields statistics);

my $program = $ENV{D4_PDNS} // ($ENV{D4_BUILD} // 'build') . '/d4-pdns';
my $n = 0;


# sensor(DIR, \@options): a running one; its output is in files.

sub sensor {
    my ($dir, $argv, %opt) = @_;

    my $self = bless { out => "$dir/pdns.out" . $n,
                       err => "$dir/pdns.err" . $n++ }, __PACKAGE__;

    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE USR1 USR2);

        open(STDIN, '<', $opt{in} // '/dev/null') or POSIX::_exit(126);
        open(STDERR, '>', $self->{err}) or POSIX::_exit(126);

        if (ref $opt{out}) {
            open(STDOUT, '>&', $opt{out}) or POSIX::_exit(126);

        } else {
            open(STDOUT, '>', $self->{out}) or POSIX::_exit(126);
        }

        { exec('setpriv', '--pdeathsig', 'KILL', '--', @{ $opt{via} // [] },
               $program, @$argv) };
        POSIX::_exit(127);
    }

    $self->{pid} = $pid;

    # until it is ready for signals: USR1 is bit 9 of those that are caught

    poll_until(15, sub {
        D4::Proc::slurp("/proc/$pid/status") =~ /^SigCgt:\t([0-9a-f]+)$/m
            && hex(substr($1, -8)) & 0x200 || $self->ended
    }, 0.005);

    return $self;
}


# To its end: exit code, standard output, standard error.

sub sensor_run {
    my ($dir, $argv, %opt) = @_;

    my $self = sensor($dir, $argv, %opt);

    $self->wait(60);

    return ($self->{code}, $self->out, $self->err);
}


sub out { return D4::Proc::slurp($_[0]{out}) }
sub err { return D4::Proc::slurp($_[0]{err}) }

sub signal { return kill($_[1], $_[0]{pid}) }


# The exit code, "signal N", or undef when it still runs after so long.

sub wait {
    my ($self, $seconds) = @_;

    poll_until($seconds, sub { $self->ended });

    return $self->{code};
}


sub ended {
    my ($self) = @_;

    return 1 if exists $self->{code};
    return 0 if waitpid($self->{pid}, POSIX::WNOHANG()) != $self->{pid};

    $self->{code} = POSIX::WIFEXITED($?) ? POSIX::WEXITSTATUS($?)
                                         : 'signal ' . POSIX::WTERMSIG($?);

    return 1;
}


sub stop {
    my ($self) = @_;

    $self->signal('TERM');

    return $self->wait(20);
}


# One that captures says nothing: it has begun when it counts packets.

sub capturing {
    my ($self, $packet) = @_;

    return poll_until(15, sub {
        $packet->();
        my $s = $self->now;
        $s && $s->{packets};
    }, 0.1);
}


# What USR1 prints, as a hash.

sub now {
    my ($self) = @_;

    my $before = () = $self->err =~ /^d4-pdns: packets=/mg;

    $self->signal('USR1');

    poll_until(10, sub {
        my $after = () = $self->err =~ /^d4-pdns: packets=.*\n/mg;
        $after > $before || $self->ended;
    });

    return statistics($self->err);
}


sub statistics {
    my ($err) = @_;

    my ($line) = $err =~ /.*^d4-pdns: (packets=[^\n]*)\n/ms;

    return $line ? { $line =~ /(\w+)=(\d+)/g } : undef;
}


sub fields { return [qw(time client server class name type answer ttl count)] }


# The lines of an output as hashes; dies if one is none.

sub lines {
    my ($out) = @_;

    die 'the last line has no end' if length $out && $out !~ /\n\z/;

    return map {
        my @f = split(/\|\|/, $_, -1);
        die "no line: $_" if @f != 9 || /[^ -~]/ || $f[0] !~ /^\d+\.\d{6}\z/
                             || $f[7] !~ /^\d+\z/ || $f[8] !~ /^[1-9]\d*\z/;
        my %l;
        @l{@{ fields() }} = @f;
        \%l;
    } split(/\n/, $out);
}


sub DESTROY {
    my ($self) = @_;

    local ($@, $!, $?);

    if (!$self->ended) {
        kill('KILL', $self->{pid});
        waitpid($self->{pid}, 0);
    }
}

1;

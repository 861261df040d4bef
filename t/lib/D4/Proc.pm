package D4::Proc;

# Processes of a test, each the leader of its own process group, so that what
# it forks is found even after it was killed; and polling with a deadline.

use strict;
use warnings;

use Exporter 'import';
use POSIX ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(poll_until poll_for);

# How long is waited at least for what has to come: a machine that has other
# things to do makes it late, and nothing but a failure takes this long.

use constant PATIENCE => 30;

my $owner = $$;
my %running;                    # pid => D4::Proc


# Calls $code until it returns something true, and returns that; the empty list
# when it does not for $seconds, and not for PATIENCE either.

sub poll_until {
    my ($seconds, $code, $step) = @_;

    return poll_for($seconds > PATIENCE ? $seconds : PATIENCE, $code, $step);
}


# The same for what may well not come: for $seconds and no longer.

sub poll_for {
    my ($seconds, $code, $step) = @_;

    my $end = time() + $seconds;

    for (;;) {
        my $rc = $code->();

        return $rc if $rc;
        return if time() >= $end;

        sleep($step // 0.02);
    }
}


# start(\@argv, out => FILE, env => {}): a new process group.  Dies with the
# test, even when the test is killed.

sub start {
    my ($class, $argv, %opt) = @_;

    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        POSIX::setpgid(0, 0);
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);

        open(STDIN, '<', '/dev/null');

        if (defined $opt{out}) {
            open(STDOUT, '>>', $opt{out}) or POSIX::_exit(126);
        }

        if (defined($opt{err} // $opt{out})) {
            open(STDERR, '>>', $opt{err} // $opt{out})
                or POSIX::_exit(126);
        }

        $ENV{$_} = $opt{env}{$_} for keys %{ $opt{env} || {} };

        { exec('/usr/bin/setpriv', '--pdeathsig', 'TERM', '--', @$argv) };
        POSIX::_exit(127);
    }

    POSIX::setpgid($pid, $pid);

    return $running{$pid} = bless { pid => $pid, pgid => $pid }, $class;
}


# A process that left its parent (a daemon), known by its id only.

sub adopt {
    my ($class, $pid) = @_;

    my $pgid = getpgrp($pid);

    die "process $pid is in the group of the test" if $pgid == getpgrp(0);

    return $running{$pid}
        = bless { pid => $pid, pgid => $pgid, adopted => 1 }, $class;
}


sub pid { return $_[0]{pid} }


sub alive {
    my ($self) = @_;

    return 0 if defined $self->{status};
    return kill(0, $self->{pid}) if $self->{adopted};

    my $rc = waitpid($self->{pid}, POSIX::WNOHANG());

    return 1 if $rc == 0;

    $self->{status} = $rc == $self->{pid} ? $? : -1;

    return 0;
}


# True as soon as the process has ended; its status is in $self->{status}.

sub wait_gone {
    my ($self, $seconds) = @_;

    return poll_until($seconds, sub { !$self->alive });
}


sub signal {
    my ($self, $sig) = @_;

    return $self->alive && kill($sig, $self->{pid});
}


# The signal for the whole group: the process and all it has forked.

sub signal_all {
    my ($self, $sig) = @_;

    return kill($sig, -$self->{pgid});
}


sub group_gone {
    my ($self) = @_;

    $self->alive;

    return !kill(0, -$self->{pgid});
}


# TERM, then KILL for what is left.  Returns true if TERM was enough.

sub stop {
    my ($self, $sig, $seconds) = @_;

    my $clean = 1;

    if (!$self->group_gone) {
        kill('CONT', -$self->{pgid});
        $self->signal($sig // 'TERM');

        $clean = poll_until($seconds // 10, sub { $self->group_gone });

        if (!$clean) {
            kill('KILL', -$self->{pgid});
            poll_until(5, sub { $self->group_gone });
        }
    }

    delete $running{$self->{pid}};

    return $clean;
}


sub children {
    my ($pid) = @_;

    my @children;

    for my $file (glob '/proc/[0-9]*/stat') {
        open(my $fh, '<', $file) or next;
        my $line = <$fh> // next;

        if ($line =~ /^(\d+) \(.*\) (\S) (\d+) / && $3 == $pid && $2 ne 'Z') {
            push @children, $1;
        }
    }

    @children = sort { $a <=> $b } @children;

    return @children;
}


# A file's contents, '' if there is none.

sub slurp {
    my ($name) = @_;

    open(my $fh, '<', $name) or return '';
    local $/;

    return <$fh> // '';
}


# Resident memory in bytes.

sub rss {
    my ($pid) = @_;

    return slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+) kB/m ? $1 * 1024 : 0;
}


sub stop_everything {
    return if $$ != $owner;

    local $?;

    my @all = values %running;

    kill('CONT', -$_->{pgid}) for @all;
    $_->signal('TERM') for @all;
    poll_for(3, sub { !grep { !$_->group_gone } @all });
    kill('KILL', -$_->{pgid}) for grep { !$_->group_gone } @all;
    $_->stop for @all;
}

$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
$SIG{PIPE} = 'IGNORE';

END { stop_everything() }

1;

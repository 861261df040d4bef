package Client;

# The d4 client under test: its configuration directory, its process, and the
# frames that come out of it, read here independently of its own code.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use Errno qw(EAGAIN EINTR);
use Exporter 'import';
use File::Temp qw(tempdir);
use IO::Handle;
use POSIX ();
use Time::HiRes qw(time);

use D4::Proc;

our @EXPORT = qw($KEY $UUID $dir conf file slurp run spawn frames payloads text
                 newest pcap_file pcap_parts);

our $KEY = 'private key to change';
our $UUID = '01234567-89ab-4def-8123-456789abcdef';
our $dir = tempdir('d4-client-XXXXXX', TMPDIR => 1, CLEANUP => 1);

my $program = $ENV{D4_CLIENT} // ($ENV{D4_BUILD} // 'build') . '/d4';
my $n = 0;


# A new configuration directory; a value of undef leaves the file out.

sub conf {
    my (%file) = @_;

    my $conf = "$dir/conf" . $n++;
    mkdir($conf) or die "$conf: $!";

    %file = (uuid => $UUID, key => "$KEY\n", type => 8, %file);

    for my $name (keys %file) {
        file("$conf/$name", $file{$name}) if defined $file{$name};
    }

    chmod(0600, "$conf/key", "$conf/client.key");

    return $conf;
}


sub file {
    my ($name, $bytes) = @_;

    open(my $fh, '>:raw', $name) or die "$name: $!";
    print $fh $bytes;
    close($fh) or die "$name: $!";

    return $name;
}


sub slurp {
    my ($name) = @_;

    open(my $fh, '<:raw', $name) or return '';
    local $/;

    return scalar(<$fh>) // '';
}


# spawn(\@options, in => 'pipe' | FILE, out => FILE handle or name, env => {}):
# the running client.  Its standard input is $self->{in} if it is a pipe.

sub spawn {
    my ($argv, %opt) = @_;

    my $self = bless { out => "$dir/out" . $n, err => "$dir/err" . $n++ },
                     __PACKAGE__;
    my ($read, $write);

    if (($opt{in} // '') eq 'pipe') {
        pipe($read, $write) or die "pipe: $!";
        $write->autoflush(1);
        binmode($write);
        $self->{in} = $write;
    }

    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE USR1);

        if ($read) {
            open(STDIN, '<&', $read);
            close($_) for $read, $write;

        } else {
            open(STDIN, '<', $opt{in} // '/dev/null') or POSIX::_exit(126);
        }

        if (ref $opt{out}) {
            open(STDOUT, '>&', $opt{out});
            close($opt{out});

        } else {
            open(STDOUT, '>', $opt{out} // $self->{out})
                or POSIX::_exit(126);
        }

        open(STDERR, '>', $self->{err}) or POSIX::_exit(126);
        $ENV{$_} = $opt{env}{$_} for keys %{ $opt{env} // {} };

        { exec('setpriv', '--pdeathsig', 'KILL', '--', $program, @$argv) };
        POSIX::_exit(127);
    }

    $self->{pid} = $pid;
    $self->{started} = time();

    return $self;
}


# The same to its end, with bytes for standard input: exit code, standard
# output, standard error.

sub run {
    my ($argv, $bytes, %opt) = @_;

    my $in = file("$dir/in" . $n++, $bytes // '');
    my $d4 = spawn($argv, in => $in, %opt);
    my $code = $d4->wait(15);

    return ($code, slurp($d4->{out}), slurp($d4->{err}));
}


# The exit code, "signal N", or undef when it still runs after so long.

sub wait {
    my ($self, $seconds) = @_;

    poll_until($seconds // 10, sub { $self->ended }, 0.005);

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


sub signal { return kill($_[1], $_[0]{pid}) }

sub err { return slurp($_[0]{err}) }
sub out { return slurp($_[0]{out}) }


# Waits for a line on standard error.

sub says {
    my ($self, $regex, $seconds) = @_;

    return poll_until($seconds // 10, sub { $self->err =~ $regex });
}


# One of the numbers that USR1 prints.

sub statistics {
    my ($self) = @_;

    my $before = () = $self->err =~ /^d4: state=/mg;

    $self->signal('USR1');
    poll_until(10, sub {
        my $now = () = $self->err =~ /^d4: state=.*\n/mg;
        $now > $before;
    });

    my ($line) = $self->err =~ /.*^d4: (state=[^\n]*)\n/ms;

    return { ($line // '') =~ /(\w+)=("[^"]*"|\S+)/g };
}


sub write {
    my ($self, $bytes) = @_;

    return print { $self->{in} } $bytes;
}


# Another process writes all of it and ends the input.

sub feed {
    my ($self, $bytes) = @_;

    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        $self->write($bytes);
        close($self->{in});
        POSIX::_exit(0);
    }

    close($self->{in});
    $self->{feeder} = $pid;
}


sub DESTROY {
    my ($self) = @_;

    local ($@, $!, $?);

    if (!$self->ended) {
        kill('KILL', $self->{pid});
        waitpid($self->{pid}, 0);
    }

    if ($self->{feeder}) {
        kill('KILL', $self->{feeder});
        waitpid($self->{feeder}, 0);
    }
}


# The whole frames in bytes, and what is left over; dies when a header or an
# HMAC is wrong.

sub frames {
    my ($bytes, %opt) = @_;

    my @frames;
    my $off = 0;

    while (length($bytes) - $off >= 62) {
        my $head = substr($bytes, $off, 62);
        my ($version, $type, $uuid, $time, $hmac, $size)
            = unpack('C C H32 Q< a32 V', $head);

        die "a payload of $size bytes" if $size > 1_000_000;
        last if length($bytes) - $off < 62 + $size;

        my $payload = substr($bytes, $off + 62, $size);
        substr($head, 26, 32) = "\0" x 32;

        die 'a wrong HMAC'
            if hmac_sha256($head . $payload, $opt{key} // $KEY) ne $hmac;

        push @frames, { version => $version, type => $type, uuid => $uuid,
                        time => $time, payload => $payload };
        $off += 62 + $size;
    }

    return (\@frames, substr($bytes, $off));
}


# The payloads of frames, all of which must be whole.

sub payloads {
    my ($bytes, %opt) = @_;

    my ($frames, $rest) = frames($bytes, %opt);

    die length($rest) . ' bytes of a frame' if length $rest;

    return map { $_->{payload} } @$frames;
}


# What the whole frames so far carry.

sub text {
    my ($frames) = frames(@_);

    return join('', map { $_->{payload} } @$frames);
}


sub newest { my ($frames) = frames($_[0]); return $frames->[-1] }


# A capture with records of the given lengths: the file's bytes.

sub pcap_file {
    my ($lens, %opt) = @_;

    my $l = $opt{big} ? 'N' : 'V';
    my $s = $opt{big} ? 'n' : 'v';
    my $i = 0;

    return join('',
        pack("$l $s $s $l $l $l $l", $opt{ns} ? 0xa1b23c4d : 0xa1b2c3d4, 2, 4,
             0, 0, $opt{snaplen} // 262144, $opt{link} // 1),
        map { pack("$l $l $l $l", 1700000000 + $i++, $i, $_, $_)
              . join('', map { chr($_ & 255) } $i .. $i + $_ - 1) } @$lens);
}


# Its records, each with its header.  Dies if there is not a whole number.

sub pcap_parts {
    my ($bytes, %opt) = @_;

    my $l = $opt{big} ? 'N' : 'V';
    my @records;

    while (length $bytes) {
        die 'part of a record' if length($bytes) < 16;

        my $len = 16 + unpack("x8 $l", $bytes);

        die 'part of a record' if length($bytes) < $len;

        push @records, substr($bytes, 0, $len, '');
    }

    return @records;
}

1;

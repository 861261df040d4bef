package D4::Redis;

# A small Redis client: commands one by one, or many in one write.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;


# new(unix => PATH | port => PORT, db => N, auth => [user, password])

sub new {
    my ($class, %opt) = @_;

    my $self = bless { %opt, buf => '', pos => 0 }, $class;

    $self->{sock} = $opt{unix}
        ? IO::Socket::UNIX->new(Peer => $opt{unix})
        : IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                PeerPort => $opt{port});

    return if !$self->{sock};

    if ($opt{auth}) {
        my ($r) = $self->pipeline([ 'AUTH', @{ $opt{auth} } ]);
        return if ref $r;
    }

    if ($opt{db}) {
        my ($r) = eval { $self->pipeline([ 'SELECT', $opt{db} ]) };
        return if !defined $r || ref $r && !$opt{any};
    }

    return $self;
}


# One command.  An error reply dies.

sub cmd {
    my ($self, @args) = @_;

    my ($r) = $self->pipeline(\@args);

    die "redis: $$r (@args[0 .. ($#args > 2 ? 2 : $#args)])\n"
        if ref $r eq 'D4::Redis::Error';

    return ref $r eq 'ARRAY' && wantarray ? @$r : $r;
}


# Many commands in one write, in slices so that neither side blocks for ever;
# the replies in order.  An error reply is a D4::Redis::Error reference.

sub pipeline {
    my ($self, @commands) = @_;

    my @replies;

    while (my @slice = splice(@commands, 0, 500)) {
        my $out = '';

        for my $args (@slice) {
            $out .= '*' . @$args . "\r\n";
            $out .= '$' . length($_) . "\r\n$_\r\n" for @$args;
        }

        $self->_write($out);
        push @replies, $self->_reply for @slice;
    }

    return @replies;
}


sub _write {
    my ($self, $out) = @_;

    my $off = 0;

    while ($off < length $out) {
        my $n = syswrite($self->{sock}, $out, length($out) - $off, $off);

        die "redis: write: $!\n" if !$n;
        $off += $n;
    }
}


sub _fill {
    my ($self) = @_;

    if ($self->{pos} > 1 << 20) {
        substr($self->{buf}, 0, $self->{pos}, '');
        $self->{pos} = 0;
    }

    IO::Select->new($self->{sock})->can_read($self->{timeout} // 60)
        or die "redis: timed out\n";

    my $n = sysread($self->{sock}, $self->{buf}, 1 << 18,
                    length $self->{buf});

    die "redis: read: " . (defined $n ? 'closed' : $!) . "\n" if !$n;
}


sub _line {
    my ($self) = @_;

    for (;;) {
        my $i = index($self->{buf}, "\r\n", $self->{pos});

        if ($i >= 0) {
            my $line = substr($self->{buf}, $self->{pos}, $i - $self->{pos});
            $self->{pos} = $i + 2;
            return $line;
        }

        $self->_fill;
    }
}


sub _reply {
    my ($self) = @_;

    my $line = $self->_line;
    my $kind = substr($line, 0, 1, '');

    if ($kind eq '$') {
        return undef if $line < 0;

        $self->_fill while length($self->{buf}) - $self->{pos} < $line + 2;

        my $s = substr($self->{buf}, $self->{pos}, $line);
        $self->{pos} += $line + 2;
        return $s;
    }

    if ($kind eq '*') {
        return undef if $line < 0;
        return [ map { $self->_reply } 1 .. $line ];
    }

    return bless \$line, 'D4::Redis::Error' if $kind eq '-';
    return $line;
}


# Waits for a message of a subscription (the SUBSCRIBE was sent with cmd).

sub message {
    my ($self) = @_;

    my $r = $self->_reply;

    return $r->[2];
}


# All keys that match, sorted.

sub keys {
    my ($self, $match) = @_;

    my ($cursor, %keys) = (0);

    do {
        my $r = $self->cmd('SCAN', $cursor, 'MATCH', $match // '*',
                           'COUNT', 1000);
        $cursor = $r->[0];
        $keys{$_} = 1 for @{ $r->[1] };
    } while ($cursor);

    my @sorted = sort(CORE::keys(%keys));

    return @sorted;
}


# A set's members, sorted.

sub members {
    my ($self, $key) = @_;

    my @sorted = sort @{ $self->cmd('SMEMBERS', $key) };

    return @sorted;
}


sub hash {
    my ($self, $key) = @_;

    return { @{ $self->cmd('HGETALL', $key) } };
}


sub zset {
    my ($self, $key) = @_;

    return { @{ $self->cmd('ZRANGE', $key, 0, -1, 'WITHSCORES') } };
}


# What the database holds, as key => value in Redis' own dump; without the
# keys that match $except.

sub snapshot {
    my ($self, $except) = @_;

    my @keys = grep { !$except || !/$except/ } $self->keys;
    my @dumps = $self->pipeline(map { [ 'DUMP', $_ ] } @keys);

    my %snapshot;
    @snapshot{@keys} = @dumps;

    return \%snapshot;
}

1;

package D4::Sensor;

# A sensor whose every byte and every way to end a connection is chosen by the
# test.  Frames are built here, independent of the code under test.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use Errno qw(EAGAIN EWOULDBLOCK EINTR EINPROGRESS);
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use IO::Socket::SSL;
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF SO_SNDBUF SHUT_WR IPPROTO_TCP
              TCP_NODELAY);
use Time::HiRes qw(sleep time);

our $error;                     # why the last connect() failed

our @EXPORT = qw(frame new_uuid dashed);


sub new_uuid {
    open(my $fh, '<:raw', '/dev/urandom') or die "urandom: $!";
    sysread($fh, my $raw, 16) == 16 or die;

    vec($raw, 6, 8) = vec($raw, 6, 8) & 0x0f | 0x40;
    vec($raw, 8, 8) = vec($raw, 8, 8) & 0x3f | 0x80;

    return unpack('H32', $raw);
}


sub dashed {
    return join('-', unpack('A8 A4 A4 A4 A12', $_[0]));
}


# frame(uuid => HEX, key => KEY, type => 8, payload => '', version => 1,
#       time => now, size => real size, hmac => right one)

sub frame {
    my (%f) = @_;

    $f{payload} //= '';

    my $head = pack('C C a16 Q<', $f{version} // 1, $f{type} // 8,
                    pack('H32', $f{uuid}), $f{time} // int(time()));
    my $size = pack('V', $f{size} // length $f{payload});

    my $hmac = $f{hmac}
        // hmac_sha256($head . "\0" x 32 . $size . $f{payload}, $f{key});

    return $head . $hmac . $size . $f{payload};
}


# Connects and shakes hands, within 10 seconds.  Returns undef when the server
# closes before that.
#   port, addr, from (local address), tls (1), version (TLS), rcvbuf, sndbuf
#   uuid, key, type: defaults of the frames it sends
#   raw: TCP only; tls() can shake hands later

sub connect {
    my ($class, %opt) = @_;

    my $self = bless { type => 8, tls => 1, %opt, got => '' }, $class;

    my $sock = IO::Socket::INET->new(
        Proto    => 'tcp',
        PeerAddr => $opt{addr} // '127.0.0.1',
        PeerPort => $opt{port},
        $opt{from} ? (LocalAddr => $opt{from}) : (),
    ) or do { $error = "connect: $!"; return };

    setsockopt($sock, IPPROTO_TCP, TCP_NODELAY, 1);
    setsockopt($sock, SOL_SOCKET, SO_RCVBUF, $opt{rcvbuf}) if $opt{rcvbuf};
    setsockopt($sock, SOL_SOCKET, SO_SNDBUF, $opt{sndbuf}) if $opt{sndbuf};

    $self->{sock} = $sock;

    if ($self->{tls} && !$opt{raw}) {
        $self->tls(%opt) or return;
    }

    $sock->blocking(0) if $sock;

    return $self;
}


sub tls {
    my ($self, %opt) = @_;

    $self->{sock}->blocking(1);

    my $sock = IO::Socket::SSL->start_SSL(
        $self->{sock},
        SSL_verify_mode => $opt{ca} ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
        $opt{ca} ? (SSL_ca_file => $opt{ca}, SSL_verifycn_name => 'localhost',
                    SSL_verifycn_scheme => 'http') : (),
        $opt{cert} ? (SSL_cert_file => $opt{cert}, SSL_key_file => $opt{certkey},
                      SSL_use_cert => 1) : (),
        $opt{version} ? (SSL_version => $opt{version}) : (),
        SSL_startHandshake => 0,
    ) or do { $error = $SSL_ERROR; return };

    $sock->timeout(10);
    $sock->connect_SSL or do { $error = $SSL_ERROR; return };
    $sock->blocking(0);

    $self->{sock} = $sock;
    $self->{ssl} = 1;

    return $self;
}


sub frame_of {
    my ($self, $payload, %f) = @_;

    return frame(uuid => $self->{uuid}, key => $self->{key},
                 type => $self->{type}, payload => $payload, %f);
}


# One frame for each payload, all in one write.  Returns true if taken.

sub send {
    my ($self, @payloads) = @_;

    return $self->write(join '', map { $self->frame_of($_) } @payloads);
}


# Writes all of it, or returns 0 when the connection breaks or after seconds
# (default 30) without room; what was not written is in $self->{unsent}.

sub write {
    my ($self, $bytes, $seconds) = @_;

    my $off = 0;
    my $end = time() + ($seconds // 30);

    while ($off < length $bytes) {
        my $len = length($bytes) - $off;
        $len = 65536 if $len > 65536;

        my $n = syswrite($self->{sock}, $bytes, $len, $off);

        if ($n) {
            $off += $n;
            next;
        }

        if (!defined $n && ($! == EAGAIN || $! == EINTR || $self->_wants)) {
            if (time() < $end) {
                $self->_wait_io('w', 0.1);
                next;
            }
        }

        $self->{unsent} = length($bytes) - $off;
        return 0;
    }

    $self->{unsent} = 0;
    return 1;
}


# The same in pieces of $piece bytes, each a TLS record and a segment.

sub write_pieces {
    my ($self, $bytes, $piece, $pause) = @_;

    for (my $off = 0; $off < length $bytes; $off += $piece) {
        $self->write(substr($bytes, $off, $piece)) or return 0;
        sleep($pause) if $pause;
    }

    return 1;
}


sub _wants {
    my ($self) = @_;

    return $self->{ssl} && ($SSL_ERROR == SSL_WANT_READ
                            || $SSL_ERROR == SSL_WANT_WRITE);
}


sub _wait_io {
    my ($self, $way, $seconds) = @_;

    my $sel = IO::Select->new($self->{sock});

    return $way eq 'w' ? $sel->can_write($seconds) : $sel->can_read($seconds);
}


# 'eof' or 'reset' once the server has ended the connection, '' while it has
# not.  Application bytes from the server are kept in $self->{got}.

sub ended {
    my ($self, $seconds) = @_;

    my $end = time() + ($seconds // 0);

    return $self->{ended} if $self->{ended};

    for (;;) {
        my $n = sysread($self->{sock}, my $bytes, 65536);

        if (!defined $n) {
            if ($! == EAGAIN || $! == EINTR || $self->_wants) {
                my $left = $end - time();

                return '' if $left <= 0;

                $self->_wait_io('r', $left > 0.1 ? 0.1 : $left);
                next;
            }

            return $self->{ended} = 'reset';
        }

        return $self->{ended} = 'eof' if $n == 0;

        $self->{got} .= $bytes;
    }
}


# close_notify and FIN: nothing more will be sent; reading goes on.

sub half_close {
    my ($self) = @_;

    Net::SSLeay::shutdown($self->{sock}->_get_ssl_object) if $self->{ssl};
    CORE::shutdown($self->{sock}, SHUT_WR);
}


# As a good client ends: half-close, then wait for the server's end, which it
# sends when it has taken everything.

sub finish {
    my ($self, $seconds) = @_;

    $self->half_close;

    my $how = $self->ended($seconds // 15);

    $self->drop;

    return $how;
}


# FIN without close_notify and without waiting.

sub drop {
    my ($self) = @_;

    my $sock = delete $self->{sock} or return;

    $self->{ssl} ? $sock->close(SSL_no_shutdown => 1) : $sock->close;
}


# RST.

sub reset {
    my ($self) = @_;

    setsockopt($self->{sock}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
    $self->drop;
}


sub local_port { return $_[0]{sock}->sockport }


sub DESTROY {
    my ($self) = @_;

    local ($@, $!, $?);
    $self->drop if $self->{sock};
}

1;

package Server;

# A D4 server as far as a client can see it: it accepts, reads, and ends a
# connection in whichever way the test chooses.

use strict;
use warnings;

use D4::Port qw(free_port);
use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use IO::Select;
use IO::Socket::IP;
use IO::Socket::SSL;
use IO::Socket::SSL::Utils;
use IO::Socket::UNIX;
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF SHUT_WR);
use Time::HiRes qw(time sleep);

our $error;                     # why the last accept() failed


# new(tls => [CERT, KEY], addr, port, path, rcvbuf, ssl => {}): listens.

sub new {
    my ($class, %opt) = @_;

    my $listen = $opt{path}
        ? IO::Socket::UNIX->new(Local => $opt{path}, Listen => 10)
        : IO::Socket::IP->new(LocalHost => $opt{addr} // '127.0.0.1',
                              LocalPort => $opt{port} // free_port(),
                              Listen => 10, Proto => 'tcp', ReuseAddr => 1);

    die "listen: $@ $!" if !$listen;

    setsockopt($listen, SOL_SOCKET, SO_RCVBUF, $opt{rcvbuf}) if $opt{rcvbuf};

    return bless { %opt, listen => $listen }, $class;
}


sub port { return $_[0]{listen}->sockport }


# The next connection, with TLS if there is to be, or undef after so long.

sub accept {
    my ($self, $seconds) = @_;

    $error = 'nobody came';
    IO::Select->new($self->{listen})->can_read($seconds // 10) or return;

    my $sock = $self->{listen}->accept or do { $error = "accept: $!"; return };

    if ($self->{tls}) {
        $sock->timeout(10);

        if (!IO::Socket::SSL->start_SSL($sock,
            SSL_server => 1, Timeout => 10,
            SSL_cert_file => $self->{tls}[0], SSL_key_file => $self->{tls}[1],
            %{ $self->{ssl} // {} }))
        {
            $error = $SSL_ERROR;
            close($sock);
            return;
        }
    }

    $sock->blocking(0);

    return bless { sock => $sock, tls => !!$self->{tls}, got => '',
                   end => '' }, 'Server::Connection';
}


# certificate(NAME, DIR, issuer => [cert, key], %CERT_create): the names of two
# new files, and the pair itself.

sub certificate {
    my ($name, $dir, %opt) = @_;

    my ($cert, $key) = CERT_create(key => KEY_create_ec(), ext => [
        { sn => 'extendedKeyUsage', data => 'serverAuth,clientAuth' } ],
        %opt, subject => { commonName => $name });

    my @files = map { "$dir/$name.$_" } qw(crt key);

    PEM_cert2file($cert, $files[0]);
    PEM_key2file($key, $files[1]);

    return (\@files, [$cert, $key]);
}


package Server::Connection;

use Errno qw(EAGAIN EINTR);
use IO::Select;
use IO::Socket::SSL;
use Socket qw(SOL_SOCKET SO_LINGER SHUT_WR);
use Time::HiRes qw(time);


# Reads until $done says so, the end of the stream, or so many seconds; true in
# the first two cases.  $self->{end} is then 'eof' or 'reset'.

sub read {
    my ($self, $done, $seconds) = @_;

    my $end = time() + ($seconds // 10);
    my $select = IO::Select->new($self->{sock});

    for (;;) {
        return 1 if $done && $done->($self->{got});
        return 1 if $self->{end};

        my $n = sysread($self->{sock}, my $bytes, 65536);

        if ($n) {
            $self->{got} .= $bytes;
            next;
        }

        if (defined $n) {
            $self->{end} = 'eof';
            next;
        }

        if ($! == EAGAIN || $! == EINTR
            || $self->{tls} && $SSL_ERROR == SSL_WANT_READ)
        {
            my $left = $end - time();
            return 0 if $left <= 0;
            $select->can_read($left);
            next;
        }

        $self->{end} = 'reset';
    }
}


sub read_to_end { return $_[0]->read(undef, $_[1]) && $_[0]{end} }


# The end of our side only: close_notify and FIN.

sub half_close {
    my ($self) = @_;

    Net::SSLeay::shutdown($self->{sock}->_get_ssl_object) if $self->{tls};
    CORE::shutdown($self->{sock}, SHUT_WR);
}


sub send {
    my ($self, $bytes) = @_;

    return syswrite($self->{sock}, $bytes);
}


sub close {
    my ($self) = @_;

    my $sock = delete $self->{sock} or return;

    $self->{tls} ? $sock->close(SSL_no_shutdown => 1) : $sock->close;
}


sub reset {
    my ($self) = @_;

    setsockopt($self->{sock}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
    $self->close;
}


sub DESTROY { local ($@, $!, $?); $_[0]->close }

1;

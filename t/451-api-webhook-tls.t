# Alerts over HTTPS: to a server whose certificate is trusted and of its name,
# and to nobody else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Api;
use D4::Test;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::SSL;
use Test::More;

{
    package D4::Api::Trusting;

    our @ISA = 'D4::Api';

    # the authorities of the system are those of the test

    sub nginx_env {
        my ($self) = @_;

        return { %{ $self->SUPER::nginx_env },
                 SSL_CERT_FILE => "$self->{dir}/$self->{trust}" };
    }
}


sub silent_sensor {
    my ($t) = @_;

    my $metadata = $t->db('metadata');
    my $u = new_uuid();

    $metadata->cmd('HSET', "metadata_uuid:$u", 'last_seen', 1);
    $metadata->cmd('HSET', "to_monitor:sensor:$u", 'delta_time', 5);
    $metadata->cmd('SADD', 'to_monitor:sensors', $u);

    return $u;
}


# What one connection brings over TLS; undef if there is no handshake.

sub posted {
    my ($t, $listen) = @_;

    IO::Select->new($listen)->can_read(60) or return;

    my $c = $listen->accept;
    my $tls = IO::Socket::SSL->start_SSL($c, SSL_server => 1,
        SSL_cert_file => "$t->{dir}/server.crt",
        SSL_key_file => "$t->{dir}/server.key", Timeout => 30) or return;
    my $text = '';

    while (sysread($tls, $text, 65536, length $text)) {
        last if $text =~ /Content-Length: (\d+).*?\r\n\r\n(.*)/s
            && length $2 >= $1;
    }

    print $tls "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    $tls->close;

    return $text;
}


for my $case ([ 'localhost', 'ca.crt', 1 ],
              [ 'localhost', 'other.crt', 0 ],     # not trusted
              [ '127.0.0.1', 'ca.crt', 0 ])        # another name
{
    my ($name, $trust, $good) = @$case;
    my $listen = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1')
        or die "listen: $!";
    my $t = D4::Api::Trusting->new(
        trust => $trust,
        http  => "d4_monitor_interval 200ms; d4_webhook https://$name:"
                 . $listen->sockport . '/;',
    );

    $t->write_file('other.crt', '');
    $t->start;

    my $u = silent_sensor($t);
    my $text = posted($t, $listen) // '';

    if ($good) {
        like($text, qr/^POST \/ HTTP\/1.0\r\n.*"id":"$u"/s,
             "$name, $trust: posted");
        ok(!$t->log_lines(qr/d4 webhook/), "$name, $trust: no complaint");

    } else {
        is($text, '', "$name, $trust: nothing is sent");
        ok($t->wait_log(qr/d4 webhook: the certificate is not trusted/, 10),
           "$name, $trust: logged");
    }

    $t->finish;
}

done_testing();

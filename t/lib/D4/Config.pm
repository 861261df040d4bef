package D4::Config;

# What the nginx of a test is configured with: a base of D4::Test, whose new()
# says with what.

use strict;
use warnings;

use D4::Proc ();
use IO::Socket::SSL::Utils;

# the databases of Redis, by role

our %DB = (metadata => 0, users => 1, queues => 2, cache => 3, streams => 4);


sub config {
    my ($self) = @_;

    my $user = $> == 0 ? 'user www-data;' : '';
    my $daemon = $self->{daemon} ? 'on' : 'off';
    my $level = $ENV{D4_DEBUG} ? 'debug' : 'info';
    my $ssl = $self->{tls} ? 'ssl' : '';
    my $listen = $self->{listen} // '';
    my %more = map { $_ => $self->{$_} // '' } qw(main d4 stream server);

    my ($files) = D4::Proc::slurp('/proc/self/limits')
        =~ /^Max open files\s+\d+\s+(\d+)/m;
    $files = 8192 if !$files || $files > 8192;

    $more{server} .= ' d4_backlog_size 100g;'
        if $ENV{LONG} && $more{server} !~ /d4_backlog_size/;

    $more{d4} .= $self->dispatch_lines;

    if (defined $self->{default_key}) {
        $self->write_file('default.key', $self->{default_key});
        $more{d4} .= "\n    default_key_file default.key;";
    }

    if ($self->{tls}) {
        $self->certificate;
        $more{server} .= "\n        ssl_certificate server.crt;"
            . "\n        ssl_certificate_key server.key;"
            . "\n        ssl_protocols TLSv1.2 TLSv1.3;";
    }

    return $self->load_modules . $self->asan_env . <<EOF_CONF;
$user
daemon $daemon;
worker_processes $self->{workers};
worker_shutdown_timeout $self->{shutdown};
worker_rlimit_nofile $files;
pid nginx.pid;
lock_file nginx.lock;
error_log logs/error.log $level;
$more{main}

events {
    worker_connections 4096;
}

d4 {
    zone d4 $self->{zone};
@{[ $self->redis_lines ]}
    mode $self->{mode};
    $more{d4}
}

stream {
    log_format sensors '\$remote_addr|\$d4_uuid|\$d4_type|\$d4_session|'
                       '\$d4_frames|\$d4_bytes|\$d4_status|\$status|'
                       '\$bytes_received|\$bytes_sent';
    access_log logs/sensors.log sensors;
    $more{stream}

    server {
        listen 127.0.0.1:$self->{port} $ssl $listen;
        d4 on;
        $more{server}
    }
}
EOF_CONF
}


sub load_modules {
    my ($self) = @_;

    my $stream = '/usr/lib/nginx/modules/ngx_stream_module.so';

    return join '', map { "load_module $_;\n" }
        (-e $stream ? $stream : ()),
        "$self->{build}/ngx_d4_module.so",
        "$self->{build}/ngx_stream_d4_module.so",
        map { "$self->{build}/$_.so" } @{ $self->{modules} || [] };
}


sub redis_lines {
    my ($self) = @_;

    return $self->{redis_lines}
        // join('', map {
            "    redis $_ unix:" . $self->socket_of($_) . " db=$DB{$_};\n"
        } sort keys %DB);
}


sub socket_of {
    my ($self, $role) = @_;

    return ($self->{redis_of}{$role} // $self)->{socket};
}


sub dispatch_lines {
    my ($self) = @_;

    return '' if !$self->{dispatch};

    my %conf = (
        data          => $self->{data},
        data_min_free => 0,
        ref $self->{dispatch} ? %{ $self->{dispatch} } : (),
    );

    return join '', "\n    dispatch on;",
        map { "\n    $_ $conf{$_};" } sort keys %conf;
}


# A CA (ca.crt) and the server's certificate.

sub certificate {
    my ($self) = @_;

    return if -e "$self->{dir}/server.crt";

    my ($ca, $ca_key) = CERT_create(
        subject => { commonName => 'test CA' },
        key     => KEY_create_ec('prime256v1'),
        CA      => 1,
    );
    my ($cert, $key) = CERT_create(
        subject => { commonName => 'localhost' },
        subjectAltNames => [ [ DNS => 'localhost' ], [ IP => '127.0.0.1' ] ],
        key     => KEY_create_ec('prime256v1'),
        issuer  => [ $ca, $ca_key ],
        purpose => 'server',
    );

    PEM_cert2file($ca, "$self->{dir}/ca.crt");
    PEM_cert2file($cert, "$self->{dir}/server.crt");
    PEM_key2file($key, "$self->{dir}/server.key");
    CERT_free($_) for $ca, $cert;
    KEY_free($_) for $ca_key, $key;
}

1;

package D4::Pdns;

# Passive DNS in a D4::Test: an http server with lookups, and what a client
# does with it.

use strict;
use warnings;

use D4::Redis;
use D4::Test;
use HTTP::Tiny;
use JSON::PP ();
use Test::More;

our @ISA = 'D4::Test';

use constant DB => 5;

my $json = JSON::PP->new->utf8->allow_nonref;


# new(...): as of D4::Test, and
#   lookup     1: no sensors at all, only "redis pdns"
#   location   more directives of location /pdns/
#   http       more directives of the http block

sub new {
    my ($class, %opt) = @_;

    my $self = D4::Test::new($class, tls => 0, %opt);

    $self->{http_port} = free_port();
    $self->{url} = "http://127.0.0.1:$self->{http_port}/pdns";
    $self->{ua} = HTTP::Tiny->new(timeout => 30, keep_alive => 0);

    return $self;
}


sub http_block {
    my ($self) = @_;

    my $location = $self->{location} // '';
    my $http = $self->{http} // '';

    return <<EOF_HTTP;
http {
    access_log logs/access.log;
    client_body_temp_path tmp;
    proxy_temp_path tmp;
    fastcgi_temp_path tmp;
    uwsgi_temp_path tmp;
    scgi_temp_path tmp;
    client_max_body_size 0;
    $http

    server {
        listen 127.0.0.1:$self->{http_port};

        location /pdns/ {
            pdns on;
            pdns_ingest on;
            $location
        }
    }
}
EOF_HTTP
}


sub module { return "load_module $_[0]{build}/ngx_http_pdns_module.so;\n" }


sub config {
    my ($self) = @_;

    if (!$self->{lookup}) {
        local $self->{main} = $self->module . $self->http_block
                              . ($self->{main} // '');
        return $self->D4::Test::config;
    }

    my $user = $> == 0 ? 'user www-data;' : '';

    return "load_module $self->{build}/ngx_d4_module.so;\n" . $self->module
        . D4::Test::asan_env() . <<EOF_CONF . $self->http_block;
$user
daemon off;
worker_processes $self->{workers};
worker_shutdown_timeout $self->{shutdown};
pid nginx.pid;
lock_file nginx.lock;
error_log logs/error.log @{[ $ENV{D4_DEBUG} ? 'debug' : 'info' ]};
events { worker_connections 1024; }
d4 { redis pdns unix:$self->{socket} db=@{[ DB ]}; }
EOF_CONF
}


sub redis_lines {
    my ($self) = @_;

    return $self->{redis_lines}
        // $self->D4::Test::redis_lines
           . "    redis pdns unix:$self->{socket} db=@{[ DB ]};\n";
}


# The store itself.

sub store {
    my ($self) = @_;

    return $self->{store} //= D4::Redis->new(unix => $self->{socket},
                                             db => DB);
}


sub ready {
    my ($self) = @_;

    return $self->{lookup} ? $self->up : $self->D4::Test::ready && $self->up;
}


# All workers may not be, but one answers.

sub up {
    my ($self) = @_;

    my $r = $self->get('/info');

    return $r->{status} == 200;
}


sub get {
    my ($self, $path, %headers) = @_;

    return $self->{ua}->get("$self->{url}$path", { headers => \%headers });
}


sub post {
    my ($self, $path, $body, %headers) = @_;

    return $self->{ua}->post("$self->{url}$path",
                             { content => $body, headers => \%headers });
}


# Stores lines; dies when one is not taken.

sub ingest {
    my ($self, @lines) = @_;

    my $r = $self->post('/ingest', join '', map { "$_\n" } @lines);

    die "ingest: $r->{status} $r->{content}" if $r->{status} != 200;

    my $answer = $json->decode($r->{content});

    die "ingest: $r->{content}" if $answer->{accepted} != @lines;

    return $answer;
}


# A line of passivedns.

sub line {
    my ($time, $name, $type, $answer, $count) = @_;

    return join '||', "$time.123456", '192.0.2.12', '198.51.100.8', 'IN',
        $name, $type, $answer, 300, $count // 1;
}


# The records of an answer, each line checked to be one.

sub records {
    my ($self, $path, %headers) = @_;

    my $r = $self->get($path, %headers);

    die "$path: $r->{status} $r->{content}" if $r->{status} != 200;

    $self->{last} = $r;

    return map { $json->decode($_) } split /\n/, $r->{content};
}


# "name type data first last count" of each, as it came.

sub rows {
    my ($self, $path, %headers) = @_;

    return map {
        my $data = ref $_->{rdata} ? join(',', @{ $_->{rdata} })
                                   : $_->{rdata};
        "$_->{rrname} $_->{rrtype} $data"
            . " $_->{time_first} $_->{time_last} $_->{count}"
    } $self->records($path, %headers);
}


sub json { return $json }

1;

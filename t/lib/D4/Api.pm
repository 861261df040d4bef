package D4::Api;

# A D4::Test whose nginx also speaks HTTP: location /api/ with d4_api on,
# /metrics and /health, on 127.0.0.1 without TLS and with it, and a user of
# each role.
#
#   http       more directives of the http block
#   server     see D4::Test (stream)
#   location   more directives of location /api/

use strict;
use warnings;

use D4::Port qw(free_port);
use D4::Test ();
use Digest::SHA qw(sha256_hex);
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP ();
use Time::HiRes qw(time);

our @ISA = 'D4::Test';

my $json = JSON::PP->new->canonical->utf8;

my %ROLES = (
    admin           => [ qw(admin user sensor_register) ],
    user            => [ qw(user sensor_register) ],
    viewer          => [ qw(viewer) ],
    sensor_register => [ qw(sensor_register) ],
);


sub new {
    my ($class, %opt) = @_;

    my $self = $class->SUPER::new(%opt);

    $self->{http_port} //= free_port();
    $self->{https_port} //= free_port();
    $self->{token} = {};

    return $self;
}


sub load_modules {
    my ($self) = @_;

    return $self->SUPER::load_modules
        . "load_module $self->{build}/ngx_http_d4_module.so;\n";
}


sub config {
    my ($self) = @_;

    $self->certificate;

    my $location = $self->{location} // '';
    my $http = $self->{http} // '';

    return $self->SUPER::config . <<EOF_CONF;

http {
    access_log logs/http.log;
    client_body_temp_path tmp_body;
    proxy_temp_path tmp_proxy;
    fastcgi_temp_path tmp_fastcgi;
    uwsgi_temp_path tmp_uwsgi;
    scgi_temp_path tmp_scgi;
    client_max_body_size 64m;
    $http

    server {
        listen 127.0.0.1:$self->{http_port};
        listen 127.0.0.1:$self->{https_port} ssl http2;
        ssl_certificate server.crt;
        ssl_certificate_key server.key;

        location /api/ {
            d4_api on;
            $location
        }

        location = /metrics { d4_metrics sensors; }
        location = /health { d4_health on; }
    }
}
EOF_CONF
}


sub start {
    my ($self) = @_;

    $self->SUPER::start;
    $self->user($_) for sort keys %ROLES;

    return $self;
}


# A user of a role with a token of ours, written as the API itself does.

sub user {
    my ($self, $role, $email) = @_;

    my $users = $self->db('users');
    my $token = 'd4_' . join('', map { ('a' .. 'z', 0 .. 9)[rand 36] } 1 .. 43);
    my $hash = sha256_hex($token);

    $email //= "$role\@example.org";

    $users->cmd('HSET', 'user:all', $email, '*');
    $users->cmd('HSET', "user_metadata:$email", 'role', $role);
    $users->cmd('SADD', "user_role:$_", $email) for @{ $ROLES{$role} };
    $users->cmd('HSET', "d4:token:$hash", 'email', $email, 'name', 'test',
                'role', '', 'created', int(time()), 'expires', 0);
    $users->cmd('SADD', "d4:tokens:$email", $hash);

    return $self->{token}{$role} = $token;
}


sub url {
    my ($self, $path) = @_;

    $path = "/api/v1/$path" if $path !~ m{^/};

    return "http://127.0.0.1:$self->{http_port}$path";
}


# request(METHOD, path, body => {} | text, as => role, headers => {}): a hash
# with status, headers, content and, where it is JSON, json.

sub request {
    my ($self, $method, $path, %opt) = @_;

    my %headers = %{ $opt{headers} || {} };
    my $as = exists $opt{as} ? $opt{as} : 'admin';

    $headers{Authorization} //= $self->{token}{$as} if defined $as;

    my %args = (headers => \%headers);

    if (exists $opt{body}) {
        $args{content} = ref $opt{body} ? $json->encode($opt{body})
                                        : $opt{body};
        $headers{'Content-Type'} //= 'application/json';
    }

    my $agent = $opt{agent} || ($self->{agent} //= HTTP::Tiny->new(
        timeout => 30, keep_alive => 1, max_redirect => 0));
    my $r = $agent->request($method, $self->url($path), \%args);

    if (($r->{headers}{'content-type'} // '') eq 'application/json'
        && length $r->{content})
    {
        $r->{json} = eval { $json->decode($r->{content}) };
    }

    return $r;
}


# The same for a status that is expected: the JSON of the answer.

sub ok {
    my ($self, $status, $method, $path, %opt) = @_;

    my $name = delete $opt{name} // "$method $path: $status";
    my $r = $self->request($method, $path, %opt);

    Test::More::is($r->{status}, $status, $name)
        || Test::More::diag($r->{content});

    if ($status >= 400 && $method ne 'HEAD') {
        Test::More::is($r->{json}{status} // '', 'error',
                       "$name: JSON of an error");
    }

    return $r->{json};
}


# Bytes sent as they are over a connection of their own; what came back.

sub raw {
    my ($self, $text, %opt) = @_;

    my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                     PeerPort => $self->{http_port})
        or die "connect: $!";

    print $sock $text;
    $sock->flush;

    return $sock if $opt{keep};

    my $answer = '';

    local $SIG{ALRM} = sub { die "no answer\n" };
    alarm(20);
    eval { local $/; $answer = <$sock> // '' };
    alarm(0);

    return $answer;
}


sub json { return $json }

1;

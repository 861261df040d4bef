package D4::Seen;

# What a test can see of nginx at work, in Redis and in its logs: a base of
# D4::Test.

use strict;
use warnings;

use D4::Proc qw(poll_until);


# Streams of a uuid: { key, type, sid, entries => [ { id, message, uuid,
# timestamp, version } ] }, oldest first.

sub streams {
    my ($self, $uuid) = @_;

    my $redis = $self->db('streams');
    my @streams;

    for my $key ($redis->keys('stream:*')) {
        my $first = $redis->cmd('XRANGE', $key, '-', '+', 'COUNT', 1);

        next if !@$first || { @{ $first->[0][1] } }->{uuid} ne $uuid;

        my (undef, $type, $sid) = split /:/, $key;

        push @streams, {
            key     => $key,
            type    => $type,
            sid     => $sid,
            entries => [ map { { id => $_->[0], @{ $_->[1] } } }
                         @{ $redis->cmd('XRANGE', $key, '-', '+') } ],
        };
    }

    @streams = sort {
        ($a->{entries}[0]{id} =~ /^(\d+)/)[0]
            <=> ($b->{entries}[0]{id} =~ /^(\d+)/)[0]
        || $a->{type} <=> $b->{type}
    } @streams;

    return @streams;
}


# All messages of a uuid in the order of storage.

sub messages {
    my ($self, $uuid) = @_;

    return map { $_->{message} } map { @{ $_->{entries} } }
        $self->streams($uuid);
}


# Waits until a uuid has n frames in the streams; returns what it has.

sub wait_stored {
    my ($self, $uuid, $n, $seconds) = @_;

    poll_until($seconds // 10, sub { $self->messages($uuid) >= $n });

    return scalar $self->messages($uuid);
}


# Session ids of the sessions of a uuid that the server shows as live.

sub sids {
    my ($self, $uuid) = @_;

    return $self->db('streams')
        ->members("map:active_connection-uuid-session_uuid:$uuid");
}


sub wait_live {
    my ($self, $uuid, $n, $seconds) = @_;

    return poll_until($seconds // 10, sub { $self->sids($uuid) == $n });
}


# Keys of the streams database that tell of live sessions.

sub live_keys {
    my ($self) = @_;

    return grep { /^(active_|map:)/ } $self->db('streams')->keys;
}


# Lines of the error log.

sub log_lines {
    my ($self, $re) = @_;

    return grep { /$re/ } split /\n/, $self->read_file('logs/error.log');
}


sub wait_log {
    my ($self, $re, $seconds) = @_;

    return poll_until($seconds // 5, sub { ($self->log_lines($re))[0] });
}


# Lines of the access log as hashes.

sub access_lines {
    my ($self) = @_;

    return map {
        my %f;
        @f{qw(addr uuid type sid frames bytes status code received sent)}
            = split /\|/;
        \%f;
    } split /\n/, $self->read_file('logs/sensors.log');
}


# The first access log line of a uuid.

sub wait_access {
    my ($self, $uuid, $seconds) = @_;

    return poll_until($seconds // 10, sub {
        (grep { $_->{uuid} eq $uuid } $self->access_lines)[0];
    });
}

1;

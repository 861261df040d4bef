package D4::Storm;

# Sensors of every kind that go on through whatever a test does to the server,
# and the comparison of all they have sent with files and queues at the end:
# texts cut anywhere, whole lines, captures.

use strict;
use warnings;

use D4::Audit;
use D4::Consumer;
use D4::Dispatch;
use D4::Proc;
use D4::Source;
use Test::More;
use Time::HiRes qw(sleep time);


# Names in $dir that are not complete.  A kill just before a compressed file
# gets its name may leave a whole copy, which is removed when it is old.

sub unfinished {
    my ($dir) = @_;

    return grep {
        !m{^(.*/)\.([^/]+\.gz)\.[0-9a-f]{16}\.part$}
            || system('cmp', '-s', "$dir/$_", "$dir/$1$2") != 0
    } grep { m{/} && temporary($_) } tree($dir);
}


# new($t, rate => frames/s of the torn texts, conns => 4, lines => 2,
# captures => 2)

sub new {
    my ($class, $t, %opt) = @_;

    my $self = bless { t => $t, known => {}, conns => 4, lines => 2,
                       captures => 2, rate => 1500, %opt }, $class;
    my $metadata = $t->db('metadata');

    $metadata->cmd('SADD', 'server:accepted_type', 1);

    my $load = $self->{load} = $t->load(
        conns => $self->{conns}, frames => 0, size => $opt{size} // '26-150',
        rate => $self->{rate}, reconnect => 1, timeout => 900);

    for my $uuid ($load->uuids) {
        $self->{queue}{$uuid} = queue_define($metadata, 8,
                                             group => [ $uuid ]);
    }

    for my $kind (('lines') x $self->{lines}, ('pcap') x $self->{captures}) {
        my $s = source($t, kind => $kind, rate => $opt{units} // 400);

        $s->{queue} = queue_define($metadata, $s->{type},
                                   group => [ $s->{uuid} ]);
        push @{ $self->{sources} }, $s;
    }

    return $self;
}


sub uuids {
    my ($self) = @_;

    return ($self->{load}->uuids, map { $_->{uuid} } @{ $self->{sources} });
}


# All are being served, by workers that live.

sub flows {
    my ($self, $name, $seconds) = @_;

    my $t = $self->{t};
    my @waiting;

    poll_until($seconds // 30, sub {
        my %alive = map { $_ => 1 } $t->workers;

        @waiting = grep { my ($uuid, $type) = @$_;
                          !$alive{ $t->worker_of($uuid, $type) // 0 } }
            (map { [ $_, 8 ] } $self->{load}->uuids),
            map { [ $_->{uuid}, $_->{type} ] } @{ $self->{sources} };

        return !@waiting;
    }, 0.1);

    return ok(!@waiting, "$name: every sensor is served")
        || diag(join ' ', map { $_->[0] } @waiting);
}


# What is in the streams now must be in files and queues at the end.

sub remember {
    my ($self) = @_;

    my $last = eval { stored_frames($self->{t}) } or return;

    push @{ $self->{known}{$_} }, $last->{$_} for keys %$last;
}


# The sensors end, everything is dealt with and compared.  kills: sessions
# were lost with their worker, what was on its way to it may be missing.

sub end {
    my ($self, $name, %opt) = @_;

    my $t = $self->{t};

    $self->{load}->stop;
    $_->{proc}->signal('TERM') for @{ $self->{sources} };

    ok($self->{load}->wait, "$name: the texts end");
    ok(source_stop($_, 90), "$name: a sensor of $_->{kind} ends")
        for @{ $self->{sources} };

    drained($t, $name, $opt{seconds} // 60);

    my $a = audit_numbered($t, $self->{load}, "$name: torn texts", %opt,
                           known => $self->{known}, queue => $self->{queue});

    for (@{ $self->{sources} }) {
        ($_->{kind} eq 'pcap' ? \&audit_pcap : \&audit_lines)->(
            $t, $_, "$name: $_->{kind}", %opt, queue => $_->{queue},
            known => $self->{known});
    }

    is_deeply([ map { unfinished($_) } @{ $t->{all_data} // [ $t->{data} ] } ],
              [], "$name: no unfinished file is left");

    return $a;
}

1;

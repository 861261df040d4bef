package Dns;

# Real DNS servers of Debian's packages on loopback, in a private directory,
# and dig to ask them.

use strict;
use warnings;

use Exporter 'import';
use File::Copy qw(copy);
use POSIX ();
use Time::HiRes qw(sleep);

use D4::Port qw(free_port);
use D4::Proc;

our @EXPORT = qw(authority resolver dig answers);


sub program {
    my ($name) = @_;

    for my $dir (split(/:/, $ENV{PATH}), '/usr/sbin', '/sbin') {
        return "$dir/$name" if -x "$dir/$name";
    }

    die "$name is missing";
}


# authority(DIR, PORT, ZONE => FILE, ...): nsd, once it answers.

sub authority {
    my ($dir, $port, %zones) = @_;

    open(my $fh, '>', "$dir/nsd.conf") or die "nsd.conf: $!";
    print $fh <<"END", map { <<"ZONE" } sort keys %zones;
server:
    ip-address: 127.0.0.1\@$port
    ip-address: ::1\@$port
    server-count: 1
    username: ""
    chroot: ""
    database: ""
    zonesdir: "$dir"
    pidfile: "$dir/nsd.pid"
    logfile: "$dir/nsd.log"
    xfrdfile: "$dir/xfrd.state"
    xfrdir: "$dir"
    zonelistfile: "$dir/zone.list"
    hide-version: yes
    identity: "d4"
remote-control:
    control-enable: no
END
zone:
    name: $_
    zonefile: $zones{$_}
ZONE
    close($fh) or die "nsd.conf: $!";

    my $nsd = D4::Proc->start([program('nsd'), '-d', '-c', "$dir/nsd.conf"],
                              out => "$dir/nsd.out");

    my ($zone) = sort keys %zones;

    for my $addr ('127.0.0.1', '::1') {
        poll_until(20, sub {
            dig("\@$addr", '-p', $port, $zone, 'SOA') =~ /SOA/
        }) or die "nsd does not answer: " . D4::Proc::slurp("$dir/nsd.log")
                   . D4::Proc::slurp("$dir/nsd.out");
    }

    return $nsd;
}


# resolver(DIR, PORT, AUTHORITY'S PORT, SOCKET, @ZONES): unbound, which asks
# the authority for these zones and sends dnstap to the socket.  A copy of the
# program, because AppArmor lets the installed one read /etc only.

sub resolver {
    my ($dir, $port, $authority, $socket, @zones) = @_;

    copy(program('unbound'), "$dir/unbound") or die "unbound: $!";
    chmod(0755, "$dir/unbound");

    open(my $fh, '>', "$dir/unbound.conf") or die "unbound.conf: $!";
    print $fh <<"END", map { <<"ZONE" } @zones;
server:
    interface: 127.0.0.1\@$port
    directory: "$dir"
    pidfile: "$dir/unbound.pid"
    logfile: "$dir/unbound.log"
    use-syslog: no
    username: ""
    chroot: ""
    num-threads: 1
    module-config: "iterator"
    do-not-query-localhost: no
    use-caps-for-id: yes
    qname-minimisation: no
    edns-buffer-size: 1232
remote-control:
    control-enable: no
dnstap:
    dnstap-enable: yes
    dnstap-socket-path: "$socket"
    dnstap-log-resolver-response-messages: yes
END
stub-zone:
    name: $_
    stub-addr: 127.0.0.1\@$authority
    stub-prime: no
ZONE
    close($fh) or die "unbound.conf: $!";

    my $unbound = D4::Proc->start(["$dir/unbound", '-d', '-p', '-c',
                                   "$dir/unbound.conf"],
                                  out => "$dir/unbound.out");

    poll_until(20, sub { dig('@127.0.0.1', '-p', $port, 'localhost.', 'A')
                         =~ /127/ })
        or die "unbound does not answer: "
               . D4::Proc::slurp("$dir/unbound.log")
               . D4::Proc::slurp("$dir/unbound.out");

    return $unbound;
}


# What dig says to these arguments; of many questions to "-f FILE".

sub dig {
    my (@argv) = @_;

    my $pid = open(my $fh, '-|') // die "fork: $!";

    if ($pid == 0) {
        open(STDERR, '>&', \*STDOUT);
        delete $ENV{HOME};
        { exec('dig', '+noall', '+answer', '+nosplit', '+time=3', '+tries=2',
               '+nocookie', @argv) };
        POSIX::_exit(127);
    }

    local $/;
    my $out = <$fh> // '';
    close($fh);

    return $out;
}


# The records of dig's output: [owner, ttl, class, type, data].

sub answers {
    my ($out) = @_;

    return map { [split(/\s+/, $_, 5)] }
               grep { length && !/^;/ } split(/\n/, $out);
}

1;

# Copyright (C) The ngx_d4 authors

# What the benchmark needs of the machine: private servers that end with the
# program, a Redis connection, the generator, and what /proc and perf know of a
# process.

package Bench;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use File::Temp ();
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/../lib";
use D4::Port qw(free_port);

our @EXPORT = qw(redis start_redis start_nginx start_sink sink_line stop
    certificate run_dir spawn children cpu machine_cpu rss until_true
    read_file write_file words median progress problem problems built register
    d4load perf_start perf_stop);

my $dir = File::Temp->newdir('d4bench-XXXXXX', TMPDIR => 1);
my $hz = POSIX::sysconf(POSIX::_SC_CLK_TCK());
my $nginx = $ENV{NGINX} || 'nginx';
my $parent = $$;
my (%running, @problems, $sock, $sink_out);

$ENV{PATH} .= ':/usr/sbin:/sbin';
$SIG{INT} = $SIG{TERM} = sub { exit 130 };
$SIG{PIPE} = 'IGNORE';

END {
    if ($$ == $parent) {
        my $status = $?;
        stop($_) for reverse sort { $a <=> $b } keys %running;
        $? = $status;
    }
}


sub run_dir { "$dir" }
sub words { split ' ', $ENV{$_[0]} // $_[1] }
sub median { my @s = sort { $a <=> $b } @_; return $s[$#s / 2] }
sub progress { print STDERR @_, "\n" }
sub problem { push @problems, "@_"; progress("PROBLEM: @_") }
sub problems { @problems }


sub built {
    my ($build, @files) = @_;
    -e "$build/$_" or die "$build/$_: not built\n" for @files;
}


sub read_file {
    my ($path) = @_;
    open my $fh, '<', $path or return '';
    local $/;
    return scalar <$fh> // '';
}


sub write_file {
    my ($path, $text) = @_;
    open my $fh, '>', $path or die "$path: $!\n";
    print $fh $text;
    close $fh or die "$path: $!\n";
}


# Polls until the code returns something true; dies after a number of seconds.

sub until_true {
    my ($what, $seconds, $code) = @_;
    my $deadline = time + $seconds;

    for ( ;; ) {
        my $r = $code->();
        return $r if $r;
        die "$what: not within $seconds s\n" if time > $deadline;
        sleep 0.005;
    }
}


# Starts a program in the background, its output in a log; returns its pid.

sub spawn {
    my ($log, @cmd) = @_;
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$dir/$log" or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT;
        exec { $cmd[0] } @cmd or POSIX::_exit(127);
    }

    $running{$pid} = $cmd[0];
    return $pid;
}


sub stop {
    my ($pid) = @_;
    return unless delete $running{$pid};

    kill 'TERM', $pid;

    for (1 .. 1000) {
        return if waitpid($pid, POSIX::WNOHANG()) != 0;
        sleep 0.01;
    }

    kill 'KILL', $pid;
    waitpid $pid, 0;
}


sub alive {
    my ($pid, $log) = @_;
    return 1 if waitpid($pid, POSIX::WNOHANG()) == 0;
    delete $running{$pid};
    die "did not start:\n" . read_file("$dir/$log");
}


# --- Redis

sub reply {
    my $line = <$sock> // die "redis: connection lost\n";
    $line =~ s/\r\n\z//;
    my ($kind, $rest) = (substr($line, 0, 1), substr($line, 1));

    die "redis: $rest\n" if $kind eq '-';
    return $rest if $kind eq '+' || $kind eq ':';
    return undef if $rest < 0;
    return [ map { reply() } 1 .. $rest ] if $kind eq '*';

    read $sock, my $data, $rest + 2;
    return substr $data, 0, $rest;
}


# One command, or several pipelined when given as array references.

sub redis {
    my @cmds = ref $_[0] ? @_ : ([@_]);
    my @replies;

    while (my @some = splice @cmds, 0, 1000) {
        print $sock map { my $c = $_; '*' . @$c . "\r\n",
                          map { '$' . length($_) . "\r\n$_\r\n" } @$c } @some;
        $sock->flush;
        push @replies, reply() for @some;
    }

    return ref $_[0] ? @replies : $replies[0];
}


my %profile = (
    off     => [qw(--appendonly no)],
    fast    => [qw(--appendonly yes --appendfsync everysec)],
    durable => [qw(--appendonly yes --appendfsync always)],
);


# A fresh and empty Redis; its append-only file is never rewritten by itself.

sub start_redis {
    my ($name) = @_;
    my $options = $profile{$name} // die "no profile $name\n";
    my $path = "$dir/redis.sock";

    system 'rm', '-rf', "$dir/data";
    mkdir "$dir/data" or die "$dir/data: $!\n";

    my $pid = spawn('redis.log', 'redis-server', '--port', 0, '--unixsocket',
        $path, '--dir', "$dir/data", '--save', '', '--daemonize', 'no',
        '--auto-aof-rewrite-percentage', 0, @$options);

    until_true('redis', 10, sub {
        alive($pid, 'redis.log');
        $sock = IO::Socket::UNIX->new(Peer => $path);
    });

    return $pid;
}


# --- the servers that take frames

sub certificate {
    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
        . " -nodes -keyout $dir/key.pem -out $dir/cert.pem -subj /CN=d4bench"
        . " -days 2 2>$dir/openssl.log") == 0
        or die read_file("$dir/openssl.log");
}


# Returns the master's pid and the port.  d4 and server are directives, plain
# is without TLS.

sub start_nginx {
    my ($build, $workers, $connections, $key, %opt) = @_;
    my $port = free_port();
    my $user = join ' ', scalar getpwuid($>), scalar getgrgid($) + 0);
    my $listen = ($opt{plain} ? '' : 'ssl ')
        . ($workers > 1 ? 'reuseport ' : '') . 'backlog=4096';
    my $d4 = $opt{d4} // '';
    my $server = $opt{server} // 'd4_backlog_size 8000m;';
    my ($stream) = grep { -e } map { "$_/ngx_stream_module.so" }
        map { /--modules-path=(\S+)/ } `$nginx -V 2>&1`;

    $stream = defined $stream ? "load_module $stream;" : '';
    write_file("$dir/hmac.key", "$key\n");
    write_file("$dir/nginx.conf", <<"END");
$stream
load_module $build/ngx_d4_module.so;
load_module $build/ngx_stream_d4_module.so;
user $user;
daemon off;
worker_processes $workers;
worker_rlimit_nofile @{[ $connections + 512 ]};
pid nginx.pid;
error_log error.log notice;
events { worker_connections @{[ $connections + 256 ]}; }
d4 {
    zone d4 64m;
    default_key_file $dir/hmac.key;
    redis metadata unix:$dir/redis.sock db=0;
    redis users    unix:$dir/redis.sock db=1;
    redis queues   unix:$dir/redis.sock db=2;
    redis cache    unix:$dir/redis.sock db=3;
    redis streams  unix:$dir/redis.sock db=4;
    $d4
}
stream {
    server {
        listen 127.0.0.1:$port $listen;
        ssl_certificate $dir/cert.pem;
        ssl_certificate_key $dir/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        d4 on;
        $server
    }
}
END

    unlink "$dir/nginx.pid";
    my $pid = spawn('nginx.log', $nginx, '-p', "$dir/", '-c',
        "$dir/nginx.conf", '-e', "$dir/error.log");

    until_true('nginx', 10, sub {
        alive($pid, 'nginx.log');
        -s "$dir/nginx.pid" && children($pid) >= $workers;
    });

    return ($pid, $port);
}


# Returns pid and port of the sink; sink_line() is what it says after a run.

sub start_sink {
    my ($program, $key) = @_;
    my $port = free_port();

    my $pid = open($sink_out, '-|', $program, $port, "$dir/cert.pem",
        "$dir/key.pem", $key) // die "$program: $!\n";

    $running{$pid} = $program;
    until_true('sink', 5, sub {
        IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port");
    });
    sink_line();

    return ($pid, $port);
}


sub sink_line { my $l = <$sink_out>; return $l // die "sink: gone\n" }


# --- sensors

# Those that d4load makes; the limit of entries is out of the way.

sub register {
    my ($count, $key) = @_;
    my @uuids = map { sprintf '%08x000040008000%012x', 1, $_ }
        0 .. $count - 1;

    redis(['SELECT', 0],
          ['SADD', 'registered_uuid', @uuids],
          ['HSET', 'stream_max_size_by_uuid', map { $_, 10_000_000 } @uuids],
          map { ['HSET', "metadata_uuid:$_", 'hmac_key', $key] } @uuids);
}


# Runs d4load; returns the figures that it prints.

sub d4load {
    my ($build, @args) = @_;
    open my $out, '-|', "$build/t/d4load", @args or die "d4load: $!\n";
    my $line = join '', <$out>;
    close $out;
    die "d4load @args failed\n" if $? & 127 || $? >> 8 > 1;
    return $line =~ /(\w+)=(\S+)/g;
}


# --- /proc

sub children {
    my ($pid) = @_;
    my @all = map { m{(\d+)} } glob '/proc/[0-9]*';
    return grep { (read_file("/proc/$_/stat") =~ /.*\) \S (\d+)/s ? $1 : 0)
                  == $pid } @all;
}


# Seconds of CPU that the processes used, with all their threads.

sub cpu {
    my $ticks = 0;

    for my $pid (@_) {
        my ($rest) = read_file("/proc/$pid/stat") =~ /.*\) (.*)/s
            or die "process $pid is gone\n";
        my @f = split ' ', $rest;
        $ticks += $f[11] + $f[12];
    }

    return $ticks / $hz;
}


# Seconds of CPU that all of the machine used, and that was taken from it.

sub machine_cpu {
    my @f = split ' ', (read_file('/proc/stat') =~ /^cpu (.*)/)[0];
    return ($f[0] + $f[1] + $f[2] + $f[5] + $f[6] + $f[7]) / $hz;
}


# KiB resident, now ("VmRSS") or at most so far ("VmHWM"), of all together.

sub rss {
    my ($what, @pids) = @_;
    my $sum = 0;
    $sum += (read_file("/proc/$_/status") =~ /^$what:\s+(\d+)/m)[0] for @pids;
    return $sum;
}


# --- perf

# Records processes, each a name and pids; returns what perf_stop() wants.

sub perf_start {
    my (%pids) = @_;
    my %perf = map { $_ => spawn("perf-$_.log", 'perf', 'record', '-F', 999,
        '-g', '-o', "$dir/$_.perf", '-p', join ',', @{ $pids{$_} }) }
        sort keys %pids;

    sleep 1;
    return \%perf;
}


sub perf_stop {
    my ($perf) = @_;
    kill 'INT', values %$perf;
    waitpid $_, 0 for values %$perf;
    delete $running{$_} for values %$perf;
    perf_report($_) for sort keys %$perf;
}


# By library, then by function; what has no name is one line per library.

sub perf_report {
    my ($name) = @_;
    my (%library, %function);

    my $report = 'perf report --stdio -g none --no-children'
        . " --sort dso,symbol -i $dir/$name.perf 2>/dev/null";

    for (`$report`) {
        my ($percent, $dso, $sym) = /^\s*([\d.]+)%\s+(\S+)\s+\[.\]\s+(\S+)/
            or next;
        $library{$dso} += $percent;
        $function{sprintf '%-24s %s', $dso, $sym =~ /^0x/ ? '-' : $sym}
            += $percent;
    }

    for my $sum (\%library, \%function) {
        my @names = sort { $sum->{$b} <=> $sum->{$a} } keys %$sum;
        splice @names, 25 if @names > 25;
        print "\n$name, percent of its own CPU:\n\n";
        printf "%7.2f  %s\n", $sum->{$_}, $_ for @names;
    }
}


1;

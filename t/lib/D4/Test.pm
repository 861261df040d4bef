package D4::Test;

# An nginx with the D4 modules and a Redis of its own in a private directory,
# for one test.  Whatever it starts, it ends; whatever nginx complains about
# in its error log fails the test.
#
#   D4_BUILD   directory with the modules (default: build)
#   D4_ASAN    1: the modules are built with AddressSanitizer
#   D4_KEEP    1: keep the directories of tests that passed, too
#   D4_DEBUG   1: error log at level debug
#   REDIS_SERVER   the program (default: redis-server), such as valkey-server

use strict;
use warnings;

use Cwd qw(abs_path);
use D4::Config;
use D4::Load;
use D4::Port qw(free_port);
use D4::Proc;
use D4::Redis;
use D4::Seen;
use D4::Sensor;
use Exporter ();
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

our @ISA = qw(Exporter D4::Config D4::Seen);
our @EXPORT = qw(poll_until poll_for new_uuid dashed frame free_port day today
                 one_day exactly_once LONG ASAN);

use constant {
    LONG => $ENV{LONG} ? 1 : 0,
    ASAN => $ENV{D4_ASAN} ? 1 : 0,
};

# a path of a unix socket has 107 characters at most

my $tmp = $ENV{TMPDIR} && length $ENV{TMPDIR} < 60 ? $ENV{TMPDIR} : '/tmp';

my $owner = $$;
my @instances;


sub day { return POSIX::strftime('%Y%m%d', localtime($_[0])) }

sub today { return day(time()) }


# For a test that counts by days: what it does is all of one day.  Shortly
# before midnight it waits for the next.

sub one_day {
    my ($sec, $min, $hour) = localtime;
    my $left = 86400 - ($hour * 3600 + $min * 60 + $sec);

    return if $left > 300;

    diag("waits for midnight, $left s");
    sleep($left + 1);
}


# new(...): nothing is started.
#   workers       worker processes (1)
#   tls           0: the server speaks plain TCP
#   listen        more parameters of listen
#   main, d4, stream, server    more directives of that block
#   modules       more modules to load, such as those of t/modules
#   mode          registration | shared-secret
#   default_key   contents of default_key_file
#   zone          its size (8m)
#   shutdown      worker_shutdown_timeout (10s)
#   daemon        1: as a daemon, so that USR2 works
#   redis         { option => value } for redis-server, or another D4::Test
#                 whose Redis is used
#   redis_lines   the redis directives, instead of the unix socket
#   redis_of      { role => D4::Test }: whose Redis is used for that role
#   dispatch      1 or { directive => value }: dispatches into the directory
#                 data, which is made here unless there is a data => PATH

sub new {
    my ($class, %opt) = @_;

    my $self = bless {
        workers  => 1,
        tls      => 1,
        mode     => 'registration',
        zone     => '8m',
        shutdown => '10s',
        build    => abs_path($ENV{D4_BUILD}
                             || dirname(__FILE__) . '/../../../build'),
        allowed  => [],
        %opt,
        dir      => File::Temp::tempdir('d4t-XXXXXX', DIR => $tmp),
    }, $class;

    chmod(0755, $self->{dir});
    mkdir("$self->{dir}/logs");
    mkdir("$self->{dir}/redis");

    $self->{port} //= free_port();
    $self->{socket} = "$self->{dir}/r.sock";

    if (ref $self->{redis} && ref $self->{redis} ne 'HASH') {
        $self->{shared} = $self->{redis};
        $self->{socket} = $self->{shared}{socket};
    }

    if ($opt{dispatch}) {
        $self->{data} = ref $opt{dispatch} && $opt{dispatch}{data}
            || "$self->{dir}/data";

        if ($self->{data} eq "$self->{dir}/data") {
            mkdir($self->{data});
            $self->give($self->{data});
        }
    }

    push @instances, $self;

    return $self;
}


# Makes a file or directory that of the workers' user.

sub give {
    my ($self, @paths) = @_;

    return if $> != 0;

    my (undef, undef, $uid, $gid) = getpwnam('www-data');

    chown($uid, $gid, @paths) == @paths or die "chown @paths: $!";
}


sub write_file {
    my ($self, $name, @text) = @_;

    open(my $fh, '>', "$self->{dir}/$name") or die "$name: $!";
    print $fh @text;
    close($fh) or die "$name: $!";

    return "$self->{dir}/$name";
}


sub read_file {
    my ($self, $name) = @_;

    return D4::Proc::slurp("$self->{dir}/$name");
}


# Both, until a sensor can be served.

sub start {
    my ($self) = @_;

    $self->redis_start if !$self->{shared};
    $self->nginx_start;

    return $self;
}


sub redis_start {
    my ($self, %more) = @_;

    my %opt = (
        port       => 0,
        unixsocket => $self->{socket},
        unixsocketperm => 777,
        dir        => "$self->{dir}/redis",
        save       => '',
        appendonly => 'no',
        daemonize  => 'no',
        loglevel   => 'notice',
        %{ $self->{redis} || {} },
        %more,
    );

    my $wait = exists $opt{wait} ? delete $opt{wait} : 1;

    unlink $self->{socket};

    $self->{redis_proc} = D4::Proc->start(
        [ $ENV{REDIS_SERVER} || 'redis-server', map { ("--$_", ref $opt{$_} ? @{ $opt{$_} }
                                                      : $opt{$_}) }
          sort keys %opt ],
        out => "$self->{dir}/logs/redis.log");

    delete $self->{conn};

    return $self if !$wait;

    poll_until(20, sub {
        my $r = D4::Redis->new(unix => $self->{socket}) or return;
        my $pong = eval { $r->cmd('PING') } // $@;

        return $pong =~ /PONG|NOAUTH/;
    }) or die "redis-server does not start, see $self->{dir}/logs/redis.log";

    return $self;
}


sub redis_stop {
    my ($self) = @_;

    delete $self->{conn};
    (delete $self->{redis_proc})->stop('TERM', 20);
}


sub redis_kill {
    my ($self) = @_;

    delete $self->{conn};
    (delete $self->{redis_proc})->stop('KILL', 5);
}


sub redis_pause { $_[0]{redis_proc}->signal('STOP') }

sub redis_resume { $_[0]{redis_proc}->signal('CONT') }


# A connection to the database of a role, kept while it lives.

sub db {
    my ($self, $role) = @_;

    my $conn = ($self->{shared} || $self)->{conn} //= {};

    delete $conn->{$role}
        if $conn->{$role} && !eval { $conn->{$role}->cmd('PING') };

    return $conn->{$role} //= $self->new_db($role)
        // die "no connection to redis";
}


# A connection of its own.

sub new_db {
    my ($self, $role, %opt) = @_;

    return D4::Redis->new(unix => $self->socket_of($role),
                          db => $D4::Config::DB{$role}, %opt);
}


sub nginx_env {
    my ($self) = @_;

    return {} if !ASAN;

    chomp(my $lib = `gcc -print-file-name=libasan.so`);

    return {
        LD_PRELOAD   => $lib,
        ASAN_OPTIONS => 'detect_leaks=0:detect_odr_violation=0',
    };
}


# What a binary upgrade must hand on.

sub asan_env {
    return ASAN ? "env LD_PRELOAD;\nenv ASAN_OPTIONS;\n" : '';
}


sub nginx_argv {
    my ($self, @more) = @_;

    return ('/usr/sbin/nginx', '-p', "$self->{dir}/", '-c',
            "$self->{dir}/nginx.conf", '-e', "$self->{dir}/logs/error.log",
            @more);
}


# nginx -t with the given configuration: its exit status and what it says.

sub check {
    my ($self, $conf) = @_;

    $self->write_file('nginx.conf', $conf);

    my $out = "$self->{dir}/check.out";

    unlink $out;

    my $proc = D4::Proc->start([ $self->nginx_argv('-t') ], out => $out,
                               env => $self->nginx_env);

    if (!$proc->wait_gone(20)) {
        $proc->stop('KILL');
        return (-1, 'nginx -t does not end');
    }

    $proc->stop;

    return ($proc->{status} >> 8, $self->read_file('check.out'));
}


# wait => 0: without waiting until it serves (Redis is down).

sub nginx_start {
    my ($self, %opt) = @_;

    $self->write_file('nginx.conf', $self->config);

    unlink "$self->{dir}/nginx.pid";

    my $proc = D4::Proc->start([ $self->nginx_argv ],
                               out => "$self->{dir}/logs/stderr.log",
                               env => $self->nginx_env);

    if ($self->{daemon}) {
        $proc->wait_gone(20);
        $proc->stop;

        my $pid = poll_until(5, sub { $self->read_file('nginx.pid') =~ /(\d+)/
                                      && $1 })
            or die "nginx does not start:\n" . $self->complaints;

        $proc = D4::Proc->adopt($pid);
    }

    $self->{nginx_proc} = $proc;

    return $self if exists $opt{wait} && !$opt{wait};

    poll_until(20, sub {
        !$proc->alive
            || $self->workers == $self->{workers} && $self->ready
    });

    if (!$proc->alive || !$self->ready) {
        die "nginx does not start:\n" . $self->complaints;
    }

    return $self;
}


sub complaints {
    my ($self) = @_;

    return join '', grep { !/\[(info|notice|debug)\]/ }
        map { "$_\n" }
        split(/\n/, $self->read_file('logs/stderr.log')),
        split(/\n/, $self->read_file('logs/error.log'));
}


# Every worker holds its lease.

sub ready {
    my ($self) = @_;

    my %leased = map { (split /:/)[-2] => 1 }
        $self->db('metadata')->keys('d4:worker:*');

    return !grep { !$leased{$_} } $self->workers;
}


sub master { return $_[0]{nginx_proc}->pid }

sub workers {
    my ($self) = @_;

    return D4::Proc::children($self->master);
}


# The pid of the worker that holds the slot of a sensor.

sub worker_of {
    my ($self, $uuid, $type) = @_;

    $type //= 8;

    my $claim = $self->db('metadata')->cmd('GET', "d4:claim:$type:$uuid")
        or return;

    return (split /:/, $claim)[-2];
}


# HUP, until the new workers serve and with gone => SECONDS, until the old
# ones have exited.  Returns the old workers that are left.

sub reload {
    my ($self, %opt) = @_;

    my @old = $self->workers;
    my %old = map { $_ => 1 } @old;

    $self->write_file('nginx.conf', $self->config);
    $self->{nginx_proc}->signal('HUP');

    poll_until(20, sub {
        $self->{workers} == grep { !$old{$_} } $self->workers
    }) or die "no new workers after a reload";

    poll_until(20, sub { $self->ready }) or die "no lease after a reload";

    return $self->old_workers_gone($opt{gone}, @old) if $opt{gone};
    return @old;
}


# Waits until these processes have exited; returns those that have not.

sub old_workers_gone {
    my ($self, $seconds, @pids) = @_;

    poll_until($seconds, sub { !grep { kill(0, $_) } @pids });

    return grep { kill(0, $_) } @pids;
}


# Ends nginx; true if it was gone in time.

sub nginx_stop {
    my ($self, $sig, $seconds) = @_;

    my $proc = delete $self->{nginx_proc} or return 1;

    return $proc->stop($sig // 'QUIT', $seconds // 15);
}


# kill -9 of the master and all workers.

sub nginx_kill {
    my ($self) = @_;

    my $proc = delete $self->{nginx_proc};

    $proc->signal_all('KILL');
    poll_until(5, sub { $proc->group_gone });
    $proc->stop;
}


# register($uuid or [$uuid...], $key): as an administrator does.

sub register {
    my ($self, $uuids, $key) = @_;

    my @uuids = ref $uuids ? @$uuids : $uuids;

    $self->db('metadata')->pipeline(map {
        ([ 'SADD', 'registered_uuid', $_ ],
         defined $key ? [ 'HSET', "metadata_uuid:$_", 'hmac_key', $key ] : ())
    } @uuids);

    return $uuids;
}


# A connected sensor: registered under a new uuid unless it has one.

sub sensor {
    my ($self, %opt) = @_;

    if (!$opt{uuid}) {
        $opt{uuid} = new_uuid();
        $opt{key} //= "key of $opt{uuid}";
        $self->register($opt{uuid}, $opt{key})
            if $self->{mode} eq 'registration';
    }

    $opt{key} //= "key of $opt{uuid}";

    return D4::Sensor->connect(port => $self->{port}, tls => $self->{tls},
                               %opt);
}


sub load { my $self = shift; return D4::Load->start($self, @_) }


# The test expects such lines in the error log.

sub allow {
    my ($self, @re) = @_;

    push @{ $self->{allowed} }, @re;
}


# Publishes on the control channel.

sub announce {
    my ($self, $message) = @_;

    $self->db('metadata')->cmd('PUBLISH', 'd4:control', $message);
}


# The load reached the streams once and in order.

sub exactly_once {
    my ($load, $name) = @_;

    my $report = $load->wait;

    if (!$report) {
        return fail("$name: the load did not end");
    }

    my $a = $load->audit;

    # a former session may still be storing what its sensor left behind

    if ($a->{lost}) {
        poll_until(60, sub { !$load->{t}->live_keys });
        $a = $load->audit;
    }

    my $bad = join ', ', map { "$_ $a->{$_}" }
        grep { $a->{$_} } qw(lost extra doubled holes corrupt ids);

    $bad .= " unfinished $report->{unfinished}" if $report->{unfinished};
    $bad .= " got $report->{got}" if $report->{got};

    return ok(!$bad, "$name: $a->{sent} frames sent, each stored once")
        || !diag("stored $a->{stored} in $a->{sessions} sessions: $bad; "
                 . join(' ', map { "$_=$report->{$_}" }
                        qw(connects failures planned aborts unclean)));
}


# Ends everything and says as one test whether nginx had a reason to complain.

sub finish {
    my ($self) = @_;

    my @bad;

    if ($self->{nginx_proc}) {
        my $proc = $self->{nginx_proc};

        push @bad, 'nginx had died' if !$proc->alive;
        push @bad, 'nginx does not quit' if !$self->nginx_stop('QUIT', 20);

        if (!$self->{daemon} && $proc->{status}) {
            push @bad, "nginx exited with $proc->{status}";
        }
    }

    for my $file (qw(error.log stderr.log)) {
        for my $line (split /\n/, $self->read_file("logs/$file")) {
            next if $line !~ /\[(alert|crit|emerg)\]|Sanitizer|runtime error
                              |open\ socket.*left|still\ referenced
                              |undefined\ symbol/x;
            next if grep { $line =~ $_ } @{ $self->{allowed} };

            push @bad, $line if @bad < 10;
        }
    }

    if ($self->{redis_proc}) {
        $self->redis_stop;
    }

    $self->{finished} = 1;
    $self->{failed} = @bad;

    ok(!@bad, 'nginx ends and has nothing to complain about')
        || diag(join "\n", @bad);
}


# What could not be finished is ended all the same; the directory is kept for
# whoever looks for the reason.

END {
    if ($$ == $owner) {
        my $status = $?;

        D4::Proc::stop_everything();

        my $passed = $status == 0 && Test::More->builder->is_passing;

        for my $t (@instances) {
            if ($passed && $t->{finished} && !$ENV{D4_KEEP}) {
                remove_tree($t->{dir});

            } else {
                diag("kept $t->{dir}");
            }
        }

        $? = $status;
    }
}

1;

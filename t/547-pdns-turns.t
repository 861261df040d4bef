# Passive DNS: what one worker of all does, taking over a published database
# and removing what is old, goes on at once after its end was planned, and
# when its turn has lapsed after a kill.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Proc;
use D4::Redis;
use D4::Test;
use Test::More;

use constant { MANY => 60000, LEASE => 20 };

my $t = D4::Pdns->new(workers => 2);
my $socket = "$t->{dir}/old.sock";

$t->{redis_lines} = join "\n", $t->redis_lines,
    "    redis pdns_legacy unix:$socket db=3;";

sub configure { $t->{http} = "pdns_flush 20ms; pdns_legacy off; $_[0]" }

my $old_proc = D4::Proc->start(
    [ 'redis-server', '--port', 0, '--unixsocket', $socket,
      '--unixsocketperm', 777, '--dir', "$t->{dir}", '--save', '' ],
    out => "$t->{dir}/logs/old.log");
my $old;

poll_until(20, sub {
    $old = D4::Redis->new(unix => $socket, db => 3)
        and eval { $old->cmd('PING') eq 'PONG' };
}) or die 'no second redis-server';

$old->pipeline(map {
    my $name = "n$_.many.example";

    [ 'SADD', "r:$name:1", '192.0.2.1' ],
    map { [ 'SET', "$_:$name:192.0.2.1:1", 1500000000 ] } qw(s l o)
} 1 .. MANY);

sub value { return $t->store->cmd('GET', "H:$_[0]") // '' }

# The database is asked for the next page and does not answer: the cursor
# stands still somewhere in the middle.

sub stuck {
    my ($begin) = @_;

    for my $try (1 .. 20) {
        $old_proc->signal('CONT');
        $t->store->cmd('DEL', 'H:migrate:lease', 'H:migrate:cursor');
        $begin->();
        poll_until(30, sub {
            value('migrate:cursor') ne '' && value('migrate:lease') ne '';
        }, 0.002);
        $old_proc->signal('STOP');

        my $at = '';

        poll_until(30, sub {
            my $was = $at;

            $at = value('migrate:cursor');
            $was eq $at;
        }, 0.3);

        return $at if $at =~ /^[1-9]\d*$/;
    }

    die 'it is always done';
}

# It goes on well before a turn would have lapsed.

sub goes_on {
    my ($at) = @_;

    $old_proc->signal('CONT');

    return poll_for(LEASE / 2, sub {
        value('migrate:cursor') =~ /^(?:[1-9]\d*|done)$/
            && value('migrate:cursor') ne $at;
    });
}

configure('');
$t->redis_start;
$t->nginx_start;

configure('pdns_migrate on;');

my $at = stuck(sub { $t->reload(gone => 20) });
my $who = value('migrate:lease');

isnt($who, '', 'a worker has its turn');
is_deeply([ $t->reload(gone => 20) ], [], 'it ends with a reload');
isnt(value('migrate:lease'), $who, 'and has given up its turn');
ok(goes_on($at), 'the next one goes on at once');

for my $sig ('QUIT', 'TERM') {
    $at = stuck(sub { $t->reload(gone => 20) });
    isnt(value('migrate:lease'), '', 'a worker has its turn');
    $t->nginx_stop($sig);
    is(value('migrate:lease'), '', "it gives it up at a stop by $sig");
    $t->nginx_start;
    ok(goes_on($at), 'the next one goes on at once');
}

# whose turn has lapsed meanwhile takes it from nobody

$at = stuck(sub { $t->reload(gone => 20) });
$t->store->cmd('SET', 'H:migrate:lease', 'another', 'PX', LEASE * 1000);
$t->nginx_stop('QUIT');
is(value('migrate:lease'), 'another', 'only its own');

$t->nginx_start;
$at = stuck(sub { $t->reload(gone => 20) });
$who = value('migrate:lease');
$t->nginx_kill;
is(value('migrate:lease'), $who, 'a kill leaves it as it is');

$t->nginx_start;
$old_proc->signal('CONT');
ok(!poll_for(3, sub { value('migrate:cursor') ne $at }),
   'nobody goes on meanwhile');
$t->store->cmd('PEXPIRE', 'H:migrate:lease', 1);
ok(goes_on($at), 'somebody does when it has lapsed');
ok(poll_until(120, sub { value('migrate:cursor') eq 'done' }), 'to the end');
ok(poll_until(30, sub { value('migrate:lease') eq '' }),
   'where it is nobody\'s turn');


# the sweeper: the same, and the wait of others does not keep a turn alive

sub old_record {
    $t->ingest(D4::Pdns::line(time() - 40 * 86400, "$_[0].old.example", 'A',
                              '192.0.2.2'));
}

sub swept {
    my ($name) = @_;

    return poll_for(LEASE / 2, sub {
        !$t->store->cmd('EXISTS', "N:{example.old}$name");
    });
}

$t->store->cmd('FLUSHDB');
old_record('first');
configure('pdns_retention 30d; pdns_sweep 1h;');
$t->reload(gone => 20);
ok(swept('first'), 'what is old is removed');

$who = value('sweep:lease');
isnt($who, '', 'a worker has its turn until the next sweep');
ok(poll_for(20, sub { $t->store->cmd('PTTL', 'H:sweep:lease') < LEASE * 1000
                                                               - 100 })
   && poll_for(20, sub { $t->store->cmd('PTTL', 'H:sweep:lease')
                         > LEASE * 1000 - 100 }),
   'and renews it');

old_record('second');
$t->reload(gone => 20);
ok(swept('second'), 'the worker of a reload sweeps at once');

for my $sig ('QUIT', 'TERM') {
    $t->nginx_stop($sig);
    is(value('sweep:lease'), '', "its turn is given up at a stop by $sig");
    $t->nginx_start;
    ok(poll_until(20, sub { value('sweep:lease') ne '' }), 'and taken again');
}

$who = value('sweep:lease');
$t->nginx_kill;
is(value('sweep:lease'), $who, 'a kill leaves it as it is');

$t->nginx_start;
old_record('third');
my $left = $t->store->cmd('PTTL', 'H:sweep:lease');
ok(!poll_for(5, sub { $t->store->cmd('PTTL', 'H:sweep:lease') > $left }),
   'whoever waits for it does not renew it');
is($t->store->cmd('EXISTS', 'N:{example.old}third'), 1, 'nor sweeps');
$t->store->cmd('PEXPIRE', 'H:sweep:lease', 1);
ok(swept('third'), 'when it has lapsed the next one does');

$old_proc->stop('TERM', 20);
$t->finish;
done_testing();

# How nginx connects: addresses, users, databases; and what it demands of a
# Redis before it trusts it with frames.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;


sub delivers {
    my ($t, $name) = @_;

    my $uuid = new_uuid();
    my $redis = $t->{admin} // $t->db('metadata');

    $redis->pipeline([ 'SADD', 'registered_uuid', $uuid ],
                     [ 'HSET', "metadata_uuid:$uuid", 'hmac_key', 'k' ]);

    my $s = $t->sensor(uuid => $uuid, key => 'k');

    $s->send('x');
    is($s->finish, 'eof', "$name: a session");

    return $uuid;
}


# TCP, a user with a password and least rights, databases of one's own choice

{
    my $port = free_port();
    my $t = D4::Test->new(redis => { port => $port, bind => '127.0.0.1' });

    $t->{redis_lines} = <<EOF_CONF;
    redis metadata 127.0.0.1:$port user=d4 password_file=password db=7;
    redis streams  unix:r.sock user=d4 password_file=password db=9;
EOF_CONF

    $t->write_file('password', "pass word\n");
    $t->redis_start;

    my $admin = $t->new_db('metadata');

    # the rights that docs/redis.md asks for

    $admin->cmd('ACL', 'SETUSER', 'd4', 'on', '>pass word', '~*',
                '&d4:control', '+@all', '-@admin', '-@dangerous', '+info');
    $admin->cmd('ACL', 'SETUSER', 'default', 'on', '>other');
    $admin->cmd('SELECT', 7);
    $t->{admin} = $admin;

    $t->nginx_start(wait => 0);
    poll_until(10, sub { $admin->keys('d4:worker:*') })
        or fail('no lease in db 7');

    my $uuid = delivers($t, 'TCP, user, db');

    $admin->cmd('SELECT', 9);
    is(scalar $admin->keys('stream:8:*'), 1, 'the stream is in db 9');
    $admin->cmd('SELECT', 0);
    is($admin->cmd('DBSIZE'), 0, 'nothing is in db 0');

    # the password is nowhere to be read

    unlike($t->read_file('logs/error.log'), qr/pass word/, 'not in the log');

    my $ps = '';

    for ($t->master, $t->workers) {
        open(my $fh, '<', "/proc/$_/cmdline") or next;
        $ps .= <$fh> // '';
    }

    unlike($ps, qr/pass word/, 'nor in the command line');

    delete $t->{conn};
    $t->finish;
}


# a wrong password: said, and not said again and again; cured by the operator

{
    my $t = D4::Test->new;

    $t->{redis_lines} = <<EOF_CONF;
    redis metadata unix:r.sock user=d4 password_file=password db=0;
    redis streams  unix:r.sock user=d4 password_file=password db=4;
EOF_CONF

    $t->write_file('password', "right\n");
    $t->redis_start;
    $t->db('metadata')->cmd('ACL', 'SETUSER', 'd4', 'on', '>wrong', '~*',
                            '&*', '+@all');
    $t->nginx_start(wait => 0);

    my $line = $t->wait_log(qr/WRONGPASS/, 10);
    like($line // '', qr/\[(error|crit)\].*redis/, 'the reason is logged');
    unlike($line // '', qr/right/, 'without the secret');

    select(undef, undef, undef, 3);
    cmp_ok(scalar $t->log_lines(qr/WRONGPASS/), '<=', 3,
           'once for each connection');

    $t->db('metadata')->cmd('ACL', 'SETUSER', 'd4', '>right');
    ok(poll_until(12, sub { $t->db('metadata')->keys('d4:worker:*') }),
       'goes on when it is cured');
    delivers($t, 'password');
    $t->allow(qr/WRONGPASS/);
    $t->finish;
}


# what is demanded: name, what the log says, how to spoil it, how to cure it

for (
    [ 'maxmemory-policy', qr/maxmemory-policy|noeviction/,
      { 'maxmemory-policy' => 'allkeys-lru' },
      [ 'CONFIG', 'SET', 'maxmemory-policy', 'noeviction' ] ],
    [ 'a replica', qr/replica|slave|master/,
      { replicaof => [ '127.0.0.1', free_port() ] },
      [ 'REPLICAOF', 'NO', 'ONE' ] ],
    [ 'a cluster', qr/cluster/i, { 'cluster-enabled' => 'yes', port => 7 } ],
)
{
    my ($name, $re, $options, $cure) = @$_;

    # a cluster needs a port, and has only db 0

    $options->{port} = free_port() if $options->{port};

    my $t = D4::Test->new(redis => $options);

    $t->redis_start;
    $t->nginx_start(wait => 0);

    my $line = $t->wait_log($re, 5);
    like($line // '', qr/\[(error|crit|warn)\].*redis/,
         "$name: the reason is logged");

    select(undef, undef, undef, 1);

    my @keys = map { $t->db($_)->keys } $cure ? qw(metadata streams)
                                              : 'metadata';
    is_deeply(\@keys, [], "$name: nothing is written");

    $t->allow(qr/$re/);

    if (!$cure) {
        $t->finish;
        next;
    }

    $t->db('metadata')->cmd(@$cure);
    ok(poll_until(15, sub { $t->db('metadata')->keys('d4:worker:*') }),
       "$name: goes on when it is cured");
    delivers($t, $name);
    $t->finish;
}


# no connection to be had

{
    my $t = D4::Test->new(redis => { maxclients => 2 });

    $t->redis_start;
    my $admin = $t->new_db('metadata');
    $t->nginx_start(wait => 0);

    ok($t->wait_log(qr/\[(error|warn)\].*redis/, 5), 'maxclients: logged');
    select(undef, undef, undef, 0.5);
    my $n = $t->log_lines(qr/redis/);
    select(undef, undef, undef, 2);
    cmp_ok(scalar $t->log_lines(qr/redis/), '<=', $n + 2, 'and not repeated')
        or diag(join "\n", $t->log_lines(qr/redis/));

    $admin->cmd('CONFIG', 'SET', 'maxclients', 100);
    ok(poll_until(12, sub { $admin->keys('d4:worker:*') }),
       'goes on when there are connections');
    delivers($t, 'maxclients');
    $t->finish;
}


# a user who may not ask for INFO

{
    my $t = D4::Test->new;

    $t->{redis_lines} = <<EOF_CONF;
    redis metadata unix:r.sock user=d4 password_file=password db=0;
    redis streams  unix:r.sock user=d4 password_file=password db=4;
EOF_CONF

    $t->write_file('password', "right\n");
    $t->redis_start;
    $t->db('metadata')->cmd('ACL', 'SETUSER', 'd4', 'on', '>right', '~*',
                            '&d4:control', '+@all', '-@admin', '-@dangerous');
    $t->nginx_start;
    ok($t->wait_log(qr/\[warn\].*redis.*(INFO|check)/i, 5),
       'without INFO: a warning');
    delivers($t, 'without INFO');
    $t->finish;
}


# a warning when nothing is kept on disk, none when it is

for my $on ('yes', 'no') {
    my $t = D4::Test->new(redis => { appendonly => $on })->start;

    delivers($t, "appendonly $on");

    my @warned = $t->log_lines(qr/\[warn\].*redis.*append/);

    if ($on eq 'yes') {
        is(scalar @warned, 0, 'append-only: no warning');

    } else {
        cmp_ok(scalar @warned, '>=', 1, 'not append-only: a warning');
    }

    $t->finish;
}


# the state is logged once a change

{
    my $t = D4::Test->new(redis => { appendonly => 'yes' })->start;
    my $lines = sub { scalar $t->log_lines(qr/redis/) };

    delivers($t, 'before');

    my $start = $lines->();

    $t->redis_kill;
    ok(poll_until(5, sub { $lines->() > $start }), 'loss is logged');
    select(undef, undef, undef, 0.5);
    my $down = $lines->();
    select(undef, undef, undef, 2.5);
    is($lines->(), $down, 'once, however often it tries');
    $t->redis_start;
    poll_until(10, sub { $t->db('metadata')->keys('d4:worker:*') });
    ok(poll_until(8, sub { $lines->() > $down }), 'the return is logged');
    cmp_ok($lines->() - $start, '<=', 12, 'in few lines')
        or diag(join "\n", $t->log_lines(qr/redis/));

    delivers($t, 'afterwards');
    $t->finish;
}

done_testing();

# One live session per uuid and type: across workers, reloads and hosts.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;

my $replace = free_port();

my $t = D4::Test->new(workers => 2, listen => 'reuseport',
                      server => 'd4_drain_timeout 2s;',
                      stream => <<EOF_CONF)->start;
    server {
        listen 127.0.0.1:$replace reuseport;
        d4 on;
        d4_duplicate replace;
    }
EOF_CONF

my $metadata = $t->db('metadata');


sub twin {
    my ($s, %o) = @_;

    return $t->sensor(uuid => $s->{uuid}, key => $s->{key},
                      type => $s->{type}, %o);
}


# the holder stays, whatever worker the newcomer meets

{
    my $s = $t->sensor;

    $s->send('first');
    $t->wait_stored($s->{uuid}, 1);

    my $claim = $metadata->cmd('GET', "d4:claim:8:$s->{uuid}");
    my @late = map { twin($s) } 1 .. 12;

    $_->send('late') for @late;
    ok($_->ended(30), 'a twin is refused') for @late;

    my @lines = $t->log_lines(qr/d4 refused: duplicate, uuid: $s->{uuid}/);
    my %pids = map { /\[info\] (\d+)#/ ? ($1 => 1) : () } @lines;

    is(scalar @lines, 12, 'each with a line');
    is(scalar keys %pids, 2, 'by both workers');
    is($metadata->cmd('GET', "d4:claim:8:$s->{uuid}"), $claim,
       'the slot is the same');
    ok(poll_until(3, sub {
        ($metadata->cmd('HGET', "metadata_uuid:$s->{uuid}", 'Error') // '')
            =~ /^Error: /
    }), 'Error tells of it');

    $s->send('second');
    is($t->wait_stored($s->{uuid}, 2), 2, 'the first goes on');
    is_deeply([ $t->messages($s->{uuid}) ], [ 'first', 'second' ],
              'nothing of the others');
    is(scalar $t->sids($s->{uuid}), 1, 'one session is shown');

    my $other = twin($s, type => 4);
    $other->send('other type');
    is($t->wait_stored($s->{uuid}, 3), 3, 'another type is no duplicate');
    $other->finish;

    $s->finish;

    my $next = twin($s);
    $next->send('third');
    is($t->wait_stored($s->{uuid}, 4), 4, 'free after the end');
    $next->finish;
}


# a newcomer at the very moment of the end is let in

{
    my $uuid = $t->register(new_uuid(), 'k');
    my $ok = 0;

    for my $i (1 .. 20) {
        my $s = $t->sensor(uuid => $uuid, key => 'k');

        $s->send("number $i");
        $t->wait_stored($uuid, $i) == $i or last;
        $s->half_close;
        $s->drop;
        $ok++;
    }

    is($ok, 20, 'twenty sessions, one right behind the other');
    is($t->wait_stored($uuid, 20), 20, 'all stored');
}


# twelve at once: one wins

{
    my $uuid = $t->register(new_uuid(), 'k');
    my @s = map { $t->sensor(uuid => $uuid, key => 'k') } 1 .. 12;

    $s[$_]->send("from $_") for 0 .. 11;

    poll_until(5, sub { 11 == grep { $_->ended } @s });

    my @left = grep { !$s[$_]->ended } 0 .. 11;

    is(scalar @left, 1, 'one of twelve is left');
    is_deeply([ $t->messages($uuid) ], [ map { "from $_" } @left ],
              'and only it has stored');
    is(scalar $t->sids($uuid), 1, 'one session is shown');
    $_->finish for @s[@left];
}


# replace: the newest wins; what the old one sent is kept

{
    my $old = $t->sensor(port => $replace, tls => 0);
    my @all = 'number 0';

    $old->send($all[0]);
    $t->wait_stored($old->{uuid}, 1);

    for my $i (1 .. 8) {
        my $new = twin($old, port => $replace, tls => 0);

        $new->send("number $i");
        push @all, "number $i";
        ok($old->ended(30), "$i: the old one is ended");
        is($t->wait_stored($old->{uuid}, $i + 1), $i + 1, 'the new one stores');
        ok(!$new->ended, 'and lives');
        $old = $new;
    }

    is_deeply([ sort $t->messages($old->{uuid}) ], [ sort @all ],
              'nothing is lost');
    ok($t->wait_live($old->{uuid}, 1), 'one session is shown');
    is(scalar(grep { $_->{uuid} eq $old->{uuid}
                     && $_->{status} eq 'replaced' } $t->access_lines),
       8, 'status replaced');

    my $forged = twin($old, port => $replace, tls => 0, key => 'wrong');
    $forged->send('forged');
    ok($forged->ended(30), 'a forged newcomer is refused');
    ok(!$old->ended(0.5), 'and replaces nobody');
    $old->finish;
}


# two hosts, one Redis

{
    my $u = D4::Test->new(redis => $t, d4 => 'host other;')->start;
    my $s = $t->sensor;

    $s->send('here');
    $t->wait_stored($s->{uuid}, 1);

    my $late = twin($s, port => $u->{port});
    $late->send('there');
    ok($late->ended(30), 'a twin at another host is refused');
    is($u->wait_access($s->{uuid})->{status}, 'duplicate', 'for that');

    $s->finish;
    $late = twin($s, port => $u->{port});
    $late->send('there');
    is($t->wait_stored($s->{uuid}, 2), 2, 'taken when the first has ended');

    my $back = twin($s);
    $back->send('here');
    ok($back->ended(30), 'and then this host refuses');
    $late->finish;

    $u->finish;
}


# a reload: the old worker's session ends, its place is free

{
    my $good = $t->sensor;
    my $deaf = $t->sensor;

    $_->send('old') for $good, $deaf;
    $t->wait_stored($_->{uuid}, 1) for $good, $deaf;

    my @old = $t->reload;

    # an old worker that takes it would soon ask it to go as well

    $t->wait_log("$_#$_: gracefully shutting down", 20) for @old;

    # while its former session is drained, for longer than a duplicate waits

    my $early = twin($deaf);
    $early->send('early');

    ok($good->ended(30), 'our end is asked for');
    $good->send('on the way');
    $good->finish;

    my $again = twin($good);
    $again->send('new');
    is($t->wait_stored($good->{uuid}, 3), 3, 'back at once');
    is_deeply([ $t->messages($good->{uuid}) ], [ 'old', 'on the way', 'new' ],
              'what was on the way is kept');
    $again->finish;

    is($t->wait_stored($deaf->{uuid}, 2), 2,
       'the place of one that does not listen is free after d4_drain_timeout');
    ok(!$early->ended, 'who came before that has waited for it');
    $early->finish;

    is_deeply([ $t->old_workers_gone(10, @old) ], [], 'old workers exit');
}


$t->finish;
done_testing();

# A session that has said nothing for more than 10 seconds gives way to a
# newcomer; one that speaks does not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use Test::More;
use Time::HiRes qw(time);

my $t = D4::Test->new(workers => 2)->start;
my $u = D4::Test->new(redis => $t, d4 => 'host other;')->start;

my ($here, $there, $busy, $alone) = map { $t->sensor } 1 .. 4;

$_->send('old') for $here, $there, $busy, $alone;
$t->wait_stored($_->{uuid}, 1) for $here, $there, $busy, $alone;

my $since = time();


sub twin {
    my ($s, $where) = @_;

    my $twin = $where->sensor(uuid => $s->{uuid}, key => $s->{key});
    $twin->send('new');

    return $twin;
}


# five seconds are not enough

poll_until(6, sub { time() - $since > 5 }, 0.1);

for ([ $here, $t ], [ $there, $u ]) {
    my ($s, $where) = @$_;

    ok(twin($s, $where)->ended(30), 'a newcomer after 5 seconds is refused');
    ok(!$s->ended, 'the holder lives');
}


# the busy one speaks

my $n = 1;

poll_until(14, sub {
    $busy->send('busy'), $n++ if time() - $since > 2 + $n;
    time() - $since > 13.5;
}, 0.2);

my %twin = (here => twin($here, $t), there => twin($there, $u));
my @refused = (twin($busy, $t), twin($busy, $u));

is($t->wait_stored($here->{uuid}, 2), 2, 'after 13 seconds: it stores');
ok($here->ended(30), 'the silent one is ended');
ok(!$twin{here}->ended, 'the newcomer lives');
ok(poll_until(3, sub {
    grep { $_->{uuid} eq $here->{uuid} && $_->{status} eq 'replaced' }
        $t->access_lines
}), 'status');
ok($t->wait_live($here->{uuid}, 1), 'one session is shown');

is($t->wait_stored($there->{uuid}, 2), 2, 'the same at another host');
ok($there->ended(30), 'the silent one is ended');
ok(!$twin{there}->ended, 'the newcomer lives');
ok($t->wait_live($there->{uuid}, 1), 'one session is shown');

ok($_->ended(30), 'the busy one does not give way') for @refused;
ok(!$busy->ended, 'it lives');

$alone->send('late');
is($t->wait_stored($alone->{uuid}, 2), 2,
   'without a newcomer, silence ends nothing');

$_->finish for values(%twin), $busy, $alone;

ok(poll_until(5, sub { !$t->live_keys }), 'nothing is shown at the end');

$u->finish;
$t->finish;
done_testing();

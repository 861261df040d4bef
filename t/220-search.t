# A capture that stops making sense: what is of no use leaves Redis while the
# next packet is looked for, and what was found before and after is there once,
# whoever looks.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Source;
use D4::Test;
use Test::More;

my $t = D4::Test->new(dispatch => 1)->start;
my $streams = $t->db('streams');

$t->allow(qr/exited on signal 9/, qr/open socket/);

# no byte of it looks like a length, a time or a magic number

my $garbage = "\xa5\xc3" x 30_000;


sub begin {
    my ($seqs, %opt) = @_;
    my $s = $t->sensor(type => 1, %opt);

    $s->send(($opt{uuid} ? '' : pcap_header())
             . join('', map { unit_packet($_) } @$seqs));
    poll_until(5, sub { $t->sids($s->{uuid}) })
        or diag('the session does not begin');
    $s->{key_of} = 'stream:1:' . ($t->sids($s->{uuid}))[0];

    return $s;
}

# frames of a session that came into its stream so far

sub stored {
    my ($s) = @_;
    my %info = @{ $streams->cmd('XINFO', 'STREAM', $s->{key_of}) };

    return ($info{'last-generated-id'} =~ /-(\d+)$/)[0];
}

sub packets {
    my ($uuid) = @_;

    return map { pcap_records(file_content("$t->{data}/$_")) }
        session_files($t->{data}, $uuid, 1, suffix(1));
}


my $s = begin([ 0 .. 99 ]);

$s->send($garbage) for 1 .. 100;

ok(poll_until(20, sub { $streams->cmd('XLEN', $s->{key_of}) < 40 }),
   'six megabytes of garbage do not stay in the stream')
    or diag($streams->cmd('XLEN', $s->{key_of}) . ' entries');

$s->send(join('', map { unit_packet($_) } 100 .. 199), unit_packet(200));
$s->finish;
drained($t, 'packets around garbage');
is(join(' ', packets($s->{uuid})), join(' ', 0 .. 200),
   'each packet is there once');


# The same with a worker that is killed in the garbage, and in what may be the
# beginning of something.

my @s = (begin([ 0 .. 99 ]), begin([ 0 .. 99 ]), begin([ 0 .. 99 ]));

$s[0]->send($garbage) for 1 .. 50;
$s[1]->send($garbage) for 1 .. 50;
$s[1]->send(join('', map { unit_packet($_) } 100 .. 109));
$s[2]->send($garbage . join('', map { unit_packet($_) } 100 .. 300)
            . substr(unit_packet(301), 0, 30));

ok(poll_until(20, sub { stored($s[0]) == 51 && stored($s[1]) == 52
                            && stored($s[2]) == 2 }), 'all are stored');
ok(poll_until(20, sub {
    $streams->cmd('XLEN', $s[0]{key_of}) < 40
        && ($t->db('queues')->cmd('HGET', "d4:cursor:"
                                  . ($s[0]{key_of} =~ /([^:]+)$/)[0],
                                  'resume') // '') eq '1'
}), 'the cursor says that a packet is looked for');

kill('KILL', $t->workers);
$_->ended(30) for @s;
drained($t, 'a worker was killed', 60);

is(join(' ', packets($s[0]{uuid})), join(' ', 0 .. 99), 'within garbage');
is(join(' ', packets($s[1]{uuid})), join(' ', 0 .. 109),
   'behind garbage: each packet once');
is(join(' ', packets($s[2]{uuid})), join(' ', 0 .. 300),
   'within a packet behind garbage: each packet once');

$t->finish;
done_testing();

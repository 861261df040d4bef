# Captures whose sensors say nothing for a while, as "tcpdump -U" on a quiet
# network, which writes its header at once: a file begins with a packet.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Source;
use D4::Test;
use Test::More;
use Time::HiRes qw(sleep);

my $t = D4::Test->new(dispatch => { rotate_time => '1s' })->start;
my $queues = $t->db('queues');

$t->db('metadata')->cmd('SADD', 'server:accepted_type', 1);

my $queue = queue_define($t->db('metadata'), 1);

sub files_of {
    my ($s) = @_;

    return session_files($t->{data}, $s->{uuid}, 1, suffix(1));
}

# The cursor has the header, and the stream has left what it came in.

sub header_kept {
    my ($s) = @_;

    return poll_until(20, sub {
        my ($sid) = $t->sids($s->{uuid}) or return;

        ($queues->cmd('HGET', "d4:cursor:$sid", 'state') // '')
            eq pcap_header()
    });
}


my $s = $t->sensor(type => 1);
my $none = $t->sensor(type => 1);

$_->send(substr(pcap_header(), 0, 10), substr(pcap_header(), 10))
    for $s, $none;

ok(header_kept($_), 'the header has come') for $s, $none;

# longer than a file lasts; what would be made of it would be made now

sleep(3);
is_deeply([ files_of($s) ], [], 'there is no file yet');
is($queues->cmd('LLEN', queue_list(1, $queue)), 0, 'and none is queued');

$s->send(unit_packet($_)) for 0 .. 2;
ok(poll_until(20, sub { $queues->cmd('LLEN', queue_list(1, $queue)) }),
   'with the first packets there is one');

# again, with a new owner in between

$t->nginx_kill;
$t->nginx_start;
drained($t, 'after a crash', 60);

my $again = $t->sensor(uuid => $s->{uuid}, type => 1);

$again->send(pcap_header());
sleep(2);
$again->send(unit_packet($_)) for 3 .. 5;
$again->finish;
drained($t, 'the end', 60);

my @files = files_of($s);

is_deeply([ map { pcap_records(file_content("$t->{data}/$_")) } @files ],
          [ 0 .. 5 ], 'every packet is in a file');
is((grep { !pcap_records(file_content("$t->{data}/$_")) } @files), 0,
   'no file is without one');
is_deeply([ sort(queue_take($queues, 1, $queue)) ],
          [ sort map { "$t->{data}/$_" } @files ], 'each is queued');
is_deeply([ files_of($none) ], [], 'a header alone has left no file');

$t->finish;
done_testing();

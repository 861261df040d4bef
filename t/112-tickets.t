# A sensor that never reads and closes at once keeps its tail: no byte may
# wait at its side when it closes, not even a session ticket.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use IO::Select;
use Test::More;

# ssl_session_tickets are on, as they are when nothing is said

my $t = D4::Test->new(workers => 2, server => 'ssl_session_tickets on;'
                                             . ' ssl_session_cache none;')->start;

{
    my $s = $t->sensor(version => 'TLSv1_3');

    $s->send('x');
    is($t->wait_stored($s->{uuid}, 1), 1, 'TLS 1.3, stored');
    ok(!IO::Select->new($s->{sock})->can_read(0.2), 'no byte waits');
    $s->finish;
    $t->db('streams')->cmd('FLUSHDB');
}

for my $run (1 .. (LONG ? 200 : 20)) {
    my $load = $t->load(conns => 4, frames => 250, size => '26-8000',
                        mute => 1);
    my $report = $load->wait;

    # nobody waits for them: they arrive behind the sensor's end

    poll_until(10, sub { $load->audit->{lost} == 0 });
    is($load->audit->{lost}, 0, "run $run: $report->{sent} frames")
        or diag("lost " . $load->audit->{lost});
    $t->db('streams')->cmd('FLUSHDB');
}

$t->finish;
done_testing();

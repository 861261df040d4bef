# Passive DNS: a store that is too old is refused, and said so; until it is
# new enough.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Pdns;
use D4::Proc;
use D4::Test;
use Test::More;

my $t = D4::Pdns->new(lookup => 1);
my $json = D4::Pdns::json();

$t->redis_start;

my ($version) = $t->store->cmd('INFO', 'server') =~ /^redis_version:(\S+)/m;

# a relay between nginx and Redis in which all versions look as old as a file
# says

my $real = $t->{socket};
my $old = "$t->{dir}/old.sock";
my $relay = D4::Proc->start([ $^X, '-Mstrict', '-MIO::Select', '-MIO::Socket::UNIX', '-e',
    <<'END', $old, $real, $version, "$t->{dir}/version" ],
my ($at, $to, $version, $file) = @ARGV;
my $listen = IO::Socket::UNIX->new(Local => $at, Listen => 64) or die "$at: $!";
my $select = IO::Select->new($listen);
my %other;
chmod 0777, $at;
for (;;) {
    for my $s ($select->can_read) {
        if ($s == $listen) {
            my $client = $listen->accept or next;
            my $server = IO::Socket::UNIX->new(Peer => $to) or next;
            @other{$client, $server} = ($server, $client);
            $select->add($client, $server);
            next;
        }
        my $other = $other{$s} or next;
        my $n = sysread($s, my $data, 1 << 16);
        if (!$n) {
            $select->remove($s, $other);
            delete @other{$s, $other};
            close $_ for $s, $other;
            next;
        }
        open my $fh, '<', $file or die "$file: $!";
        chomp(my $as = <$fh>);
        $data =~ s/redis_version:\Q$version\E/redis_version:$as/;
        syswrite $other, $data;
    }
}
END
    out => "$t->{dir}/logs/relay.log");

# of the same length: the answer says how long it is

my $digits = length($version) - 4;
my $older = '6.0.' . '1' x $digits;

$t->write_file('version', "$older\n");
ok(poll_until(10, sub { -S $old }), 'a store that says it is old');
$t->{socket} = $old;
$t->nginx_start(wait => 0);

ok($t->wait_log(qr/redis pdns.*version is "\Q$older\E", 6\.2 or later/,
                20),
   'what is wrong with it is said');

my $r;

ok(poll_until(10, sub { ($r = $t->get('/info'))->{status} == 503 }),
   'it is not used');
is($json->decode($r->{content})->{error}, 'store', 'as one that is away');
is($t->get('/query/a.example')->{status}, 503, 'for lookups');
is($t->post('/ingest', "x\n")->{status}, 503, 'and for records');

$t->write_file('version', '6.2.' . '1' x $digits . "\n");

ok(poll_until(60, sub { $t->up }), 'one of 6.2 is');
ok(poll_until(60, sub {
    $t->post('/ingest', D4::Pdns::line(1500000000, 'a.example.', 'A',
                                       '192.0.2.1'))->{status} == 200;
}), 'for records');
is(scalar(() = $t->rows('/query/a.example')), 1, 'and for lookups');

$t->{socket} = $real;
$t->finish;
$relay->stop;
done_testing();

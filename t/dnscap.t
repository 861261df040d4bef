# The decoder of type 4 and what Debian's dnscap really writes: live captures
# of queries to a real name server, over UDP and TCP, of names and packets that
# try to look like the borders of a record.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Proc;
use D4::Test;
use File::Temp ();
use IO::Socket::INET;
use Test::More;

alarm(120);

plan(skip_all => 'this user may not capture') if $> != 0;

my $records = "$FindBin::Bin/../build/t/d4records";
my $nsd = (grep { -x } '/usr/sbin/nsd', '/usr/bin/nsd')[0] // 'nsd';
my $dir = File::Temp::tempdir('d4dns-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $port = free_port();


sub slurp { return D4::Proc::slurp("$dir/$_[0]") }

sub write_file {
    my ($name, $text) = @_;

    open(my $fh, '>', "$dir/$name") or die "$name: $!";
    print $fh $text;
    close($fh) or die "$name: $!";
}


# a name server

write_file('nsd.conf', <<END);
server:
    ip-address: 127.0.0.1\@$port
    ip-address: ::1\@$port
    username: ""
    zonesdir: "$dir"
    database: ""
    pidfile: "$dir/nsd.pid"
    xfrdfile: "$dir/xfrd"
    zonelistfile: "$dir/zones"
    xfrdir: "$dir"
    logfile: "$dir/nsd.log"
remote-control:
    control-enable: no
zone:
    name: "example.org"
    zonefile: "zone"
    provide-xfr: 127.0.0.1 NOKEY
END

write_file('zone', <<'END' . join('', map { "many A 192.0.2.$_\n" } 1 .. 30));
$ORIGIN example.org.
$TTL 300
@ SOA ns root 1 2 3 4 5
@ NS ns
@ MX 10 mail
ns A 127.0.0.1
mail A 192.0.2.1
mail AAAA 2001:db8::1
www CNAME mail
t TXT "a [bracket]" "\010[1] \092"
slash\092 A 192.0.2.2
slash\092\010\091 A 192.0.2.3
alias CNAME x\092.example.org.
alias2 CNAME \010\091.
END

my $server = D4::Proc->start([ $nsd, '-d', '-c', "$dir/nsd.conf" ],
                             out => "$dir/nsd.out");

# drill(QUESTION...): 0 when it was answered
sub drill {
    my (@question) = @_;

    return system("drill -p $port @{[map { quotemeta } @question]}"
                  . " >$dir/drill 2>&1");
}

ok(poll_until(20, sub { drill('-4', 'example.org', '@127.0.0.1', 'SOA') == 0 }),
   'the name server answers')
    or BAIL_OUT(slurp('nsd.out') . slurp('nsd.log') . slurp('drill'));


# capture(NAME, @OPTIONS): what is there when all traffic was seen

sub traffic {
    for my $q (['example.org', 'SOA'], ['example.org', 'MX'],
               ['www.example.org', 'A'], ['t.example.org', 'TXT'],
               ['slash\\\\.example.org', 'A'],
               ['slash\\\\\010[.example.org', 'A'],
               ['alias.example.org', 'A'], ['alias2.example.org', 'A'],
               ['many.example.org', 'A'], ['none.example.org', 'AAAA'],
               ['.', 'NS'])
    {
        drill('-4', $q->[0], '@127.0.0.1', $q->[1]);
    }

    drill('-t', 'many.example.org', '@127.0.0.1', 'A');
    drill('-6', 'mail.example.org', '@::1', 'AAAA');
    drill('example.org', '@127.0.0.1', 'AXFR');

    my $s = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '127.0.0.1',
                                  PeerPort => $port) or die;

    # a label of a line feed, "[" and a backslash; a header alone; rubbish

    $s->send(pack('n6', 1, 0x100, 1, 0, 0, 0) . "\3\n[\\\0\0\1\0\1");
    $s->send(pack('n6', 2, 0x100, 1, 0, 0, 0));
    $s->send("\n[\\\n" x 10);
    $s->send('');
}

sub capture {
    my ($name, @options) = @_;

    my $dnscap = D4::Proc->start([ 'dnscap', '-g', '-N', '-D', '-i', 'lo', '-u',
                                   $port, @options ], out => "$dir/$name");

    # it says nothing before its first packet
    poll_until(20, sub {
        drill('-4', 'begin.example.org', '@127.0.0.1', 'A');
        return slurp($name) =~ /begin/ || !$dnscap->alive;
    });

    traffic();

    poll_until(20, sub {
        drill('-4', 'end.example.org', '@127.0.0.1', 'A');
        return slurp($name) =~ /end.example.org/ || !$dnscap->alive;
    });

    ok($dnscap->alive, "$name: dnscap has lived");
    $dnscap->stop('INT');

    return slurp($name);
}


# A second reader of the same text: a packet begins with its size in brackets
# and goes on with lines that do not begin so.

sub check {
    my ($name, $text) = @_;

    my $packets = () = $text =~ /^\[\d+\] \d{4}-\d\d-\d\d .*\[#\d+ lo/mg;
    cmp_ok($packets, '>=', 30, "$name: $packets packets");

    my %seen;

    for my $piece (1, 7, 100, 4096, 1_000_000) {
        my @list = map { [ split ] } `$records dnscap $piece <$dir/$name`;
        is($?, 0, "$name: pieces of $piece");

        my ($at, $odd, $late, @elements) = (0, 0, 0);

        for (@list) {
            my ($len, $element, $cut, $seen) = @$_;
            my $data = substr($text, $at, $len);
            $at += $len;

            push @elements, substr($data, 0, $element) if $element;

            $odd++ if $cut || $element && $element != $len - 1;
            $odd++ if !$element && $data !~ /^(?:|dnscap: .*)\n\z/;

            # not one byte of the next was needed
            $late++ if $piece == 1 && $seen != $at;
        }

        is($at, length $text, '... every byte');
        is(scalar @elements, $packets, '... an element for each packet');
        is($odd, 0, '... and what dnscap says besides');
        is($late, 0, '... at once') if $piece == 1;

        $odd = grep { !/^\[\d+\] .* \\\n(?:[\t;].* \\\n)*[\t;].*[^\\]\z/ }
            @elements;
        is($odd, 0, '... whole');

        $seen{ join("\0", @elements) } = 1;
    }

    is(keys %seen, 1, "$name: the same in pieces of any size");
}

check('udp', capture('udp'));
check('tcp', capture('tcp', '-T'));
check('all', capture('all', '-T', '-f', '-I'));

like(slurp('udp'), qr/\\010\[\\\\/, 'a name with a line feed was there');
like(slurp('all'), qr/section incomplete/, 'a broken packet was there');

ok($server->stop('TERM'), 'the name server ends');

done_testing();

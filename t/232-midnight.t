# A day ends: files end with it, and what comes then is in the directory of
# the new day.  The day is real; a zone of its own has it end soon.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Source;
use D4::Test;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);


# Local midnight is in so many seconds.

sub midnight_in {
    my ($seconds) = @_;

    my $now = int(time());
    my $west = ($now + $seconds) % 86400;

    $ENV{TZ} = sprintf('DFT%02d:%02d:%02d', int($west / 3600),
                       int($west / 60) % 60, $west % 60);
    POSIX::tzset();

    return $now + $seconds;
}

sub date { return POSIX::strftime('%Y-%m-%d', localtime($_[0])) }

sub files_of {
    my ($t, $s) = @_;

    return session_files($t->{data}, $s->{uuid}, $s->{type},
                         suffix($s->{type}));
}

sub begin {
    my ($t, $type) = @_;
    my $s = $t->sensor(type => $type);

    $s->{type} = $type;
    $s->{n} = 0;
    $s->{queue} = queue_define($t->db('metadata'), $type,
                               group => [ $s->{uuid} ]);
    $s->send(pcap_header()) if $type == 1;

    return $s;
}

sub unit {
    my ($s) = @_;
    my $seq = $s->{n}++;

    $s->send($s->{type} == 1 ? unit_packet($seq) : unit_line($seq));
}


my ($t, $midnight, @all, $busy, $idle);

# on a slow machine it takes longer until all of them have begun

for my $seconds (15, 60, 240) {
    $midnight = midnight_in($seconds);
    $t = D4::Test->new(dispatch => { rotate_time => '1h' });
    $t->start;
    $t->db('metadata')->cmd('SADD', 'server:accepted_type', 1, 8);

    # both kinds once with something to say all the time, once with nothing
    # around midnight

    $busy = [ map { begin($t, $_) } 1, 8 ];
    $idle = [ map { begin($t, $_) } 1, 8 ];
    @all = (@$busy, @$idle);

    unit($_) for @all;
    poll_until($midnight - time(), sub {
        4 == grep { files_of($t, $_) } @all
    });

    last if time() < $midnight - 1;

    $t->finish;
}

cmp_ok(time(), '<', $midnight, 'four sessions have a file before midnight');
is((grep { files_of($t, $_) } @all), 4, 'each');

while (time() < $midnight + 3) {
    unit($_) for @$busy;
    sleep(0.05);
}

for my $s (@$idle) {
    my @files;

    ok(poll_until(30, sub {
        @files = files_of($t, $s);
        return $files[0] =~ /\.gz$/;
    }), "type $s->{type}: the file of a quiet session is closed at midnight");
    is(@files, 1, 'and no other one is begun');
}

unit($_) for @all;
$_->finish for @all;
drained($t, 'the day after', 60);

my @days = map { date($_) } $midnight - 1, $midnight;

isnt($days[0], $days[1], "from $days[0] to $days[1]");

for my $s (@all) {
    my $name = "type $s->{type}" . ((grep { $_ == $s } @$idle) ? ', quiet'
                                                               : '');
    my @files = files_of($t, $s);
    my @want = map {
        my $day = $_;
        "$s->{uuid}/$s->{type}/" . $day =~ tr{-}{/}r . "/$s->{uuid}-$day-"
    } @days;

    is_deeply([ map { s/\d{6}(?=\.)[^\/]*$//r } @files ], \@want,
              "$name: a file in the directory of each day, named by it");

    my ($last, $first) = map { /-(\d{6})\./ } @files;

    cmp_ok($last, '>', '235500', "$name: begun before midnight");
    cmp_ok($first, '<', '000500', "$name: and after it");

    my @got = queue_take($t->db('queues'), $s->{type}, $s->{queue});

    if ($s->{type} == 1) {
        is_deeply([ map { pcap_records(file_content("$t->{data}/$_")) }
                    @files ], [ 0 .. $s->{n} - 1 ],
                  "$name: each packet once, in two captures");
        is_deeply(\@got, [ map { "$t->{data}/$_" } @files ],
                  "$name: both are queued");

    } else {
        my $sent = join '', map { unit_line($_) } 0 .. $s->{n} - 1;

        same_bytes(files_content($t->{data}, @files), $sent,
                   "$name: each byte once");
        same_lines(\@got, [ lines_of($sent) ], $name);
    }
}

$t->finish;
done_testing();

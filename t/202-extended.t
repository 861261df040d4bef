# Type 2 and then 254: the handlers, their files and elements, the object and
# its tags, what is refused, and sensors that would like to write elsewhere.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Consumer;
use D4::Dispatch;
use D4::Source;
use D4::Proc;
use D4::Test;
use Digest::SHA qw(sha1_hex sha256_hex);
use JSON::PP qw(decode_json encode_json);
use MIME::Base64 qw(encode_base64);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

one_day();

my $t = D4::Test->new(workers => 2, dispatch => {
    line_max => '64k', object_max => '2m' })->start;
my $metadata = $t->db('metadata');
my $queues = $t->db('queues');
my @types = qw(sysmon maltrail ja3-jl filewatcher filewatcherjson);

$metadata->cmd('SADD', 'server:accepted_extended_type', @types);

my (%queue, %line_queue);

for (@types) {
    $queue{$_} = queue_define($metadata, 254, ext => $_);
    $line_queue{$_} = queue_define($metadata, 254, ext => $_,
                                   element => 'line');
}


# A session: the object in pieces of $opt{cut} bytes, then the data.

sub session {
    my ($meta, $data, %opt) = @_;

    my $s = $t->sensor(type => 2, %{ $opt{sensor} || {} });
    my $json = ref $meta ? encode_json($meta) : $meta;

    $s->write(join '',
        (map { $s->frame_of($_) } unpack("(a@{[ $opt{cut} // 4096 ]})*",
                                         $json)),
        map { $s->frame_of($_, type => 254) }
        unpack("(a@{[ $opt{size} // 4096 ]})*", $data)) if !$opt{frames};
    $s->write($opt{frames}->($s)) if $opt{frames};
    $s->{json} = $json;
    $s->finish(20) if !$opt{stay};

    return $s;
}

sub dir_of { return "$t->{data}/$_[0]{uuid}/254" }

sub below {
    my ($s) = @_;

    return map { s{^\d{4}/\d\d/\d\d/}{}r } tree(dir_of($s));
}

sub elements { return queue_take($queues, $_[0], $queue{$_[0]}) }

sub line_elements { return queue_take($queues, $_[0], $line_queue{$_[0]}) }


# the default handler, the object in many frames

{
    my $text = join '', map { unit_line($_) } 0 .. 999;
    my $s = session({ type => 'sysmon', encoding => 'utf-8', x => { y => [1] },
                      tags => [ 'tlp:green', 'test:e2e' ],
                      'misp:org' => '5b642239-4db4-4580-adf4-4ebd950d210f' },
                    $text . 'tail', cut => 7, size => 777, stay => 1);

    ok(poll_until(5, sub {
        $t->db('streams')->cmd('SISMEMBER',
            "active_connection_extended_type:$s->{uuid}", 'sysmon')
    }), 'its extended type is shown while it lives');
    ok($t->db('streams')->cmd('HEXISTS', 'map:session-uuid_active_extended_type',
                              ($t->sids($s->{uuid}))[0]), 'by session, too');
    $s->finish;
    drained($t, 'default');

    my @files = session_files($t->{data}, $s->{uuid}, 254, '.txt', 'sysmon');
    my @meta = session_files($t->{data}, $s->{uuid}, 254, '.json', 'sysmon');

    is(scalar @files, 1, 'default: one file');
    like($files[0], qr/\.gz$/, 'which is compressed');
    same_bytes(files_content($t->{data}, @files), $text . 'tail', 'the bytes');
    same_lines([ elements('sysmon') ], [ lines_of($text), 'tail' ],
               'default');
    same_lines([ line_elements('sysmon') ], [ lines_of($text), 'tail' ],
               '"element line" is the same here');
    is(scalar @meta, 1, 'the object is beside it');
    is_deeply(decode_json(file_content("$t->{data}/$meta[0]")),
              decode_json($s->{json}), 'as it was sent');
    is_deeply([ grep { !/sysmon/ } below($s) ], [], 'and nothing else');

    for ('tlp:green', 'test:e2e',
         'misp:org=5b642239-4db4-4580-adf4-4ebd950d210f') {
        my @found = grep { /\Q@{[ s{=.*}{}r ]}\E/ } $metadata->keys('d4:tag:*');
        ok((grep { $metadata->cmd('SISMEMBER', $_, "$s->{uuid} sysmon") }
            @found), "tag $_ leads to the sensor") or diag("@found");
    }

    my $seen = $metadata->hash(
        "metadata_extended_type_by_uuid:$s->{uuid}:sysmon");
    ok($seen->{first_seen} && $seen->{last_seen}, 'seen');
    is_deeply([ $metadata->members(
                "all_extended_types_by_uuid:$s->{uuid}") ], [ 'sysmon' ],
              'the sensor has had this type');
    is(scalar(grep { /extended/ } $t->db('streams')->keys), 0,
       'nothing of it is live any more');
}

# many sessions of one sensor at once, in the same second

{
    my ($s, @more) = ($t->sensor(type => 2));

    push @more, $t->sensor(type => 2, uuid => $s->{uuid}, key => $s->{key})
        for 1 .. 5;

    for my $i (0 .. 5) {
        my $c = ($s, @more)[$i];
        $c->write($c->frame_of('{"type":"sysmon"}')
                  . $c->frame_of("session $i\n" x 100, type => 254));
    }

    $_->finish for $s, @more;
    drained($t, 'six sessions of one sensor');

    my @files = session_files($t->{data}, $s->{uuid}, 254, '.txt', 'sysmon');

    is_deeply([ sort map { file_content("$t->{data}/$_") } @files ],
              [ map { "session $_\n" x 100 } 0 .. 5 ],
              'each has a file of its own');
    is(scalar(my @e = elements('sysmon')), 600, 'all lines are queued');
    line_elements('sysmon');
}


# maltrail

{
    my $s = session({ type => 'maltrail' }, "one\n\ntwo\nthree");

    drained($t, 'maltrail');
    is_deeply([ elements('maltrail') ], [ 'one', 'two', 'three' ],
              'maltrail: lines');
    is((grep { !/\.json$/ } below($s)), 0, 'no file but the object');
}


# ja3-jl, and paths in what is sent

{
    my $evil = "$t->{dir}/evil";
    my @der = map { "certificate $_ " . 'x' x 500 } 1 .. 3;
    my @records = (
        { Timestamp => '2021-02-03T04:05:06.700000Z', JA3 => 'a',
          Certificates => [ map { { Raw => encode_base64($_, '') } }
                            @der[0, 1] ] },
        { Timestamp => '2021-02-03T04:05:07.700000Z',
          Certificates => [ { Raw => encode_base64($der[2], '') } ] },
        { Timestamp => '2021-02-03T04:05:07.700000Z', other => 1,
          Certificates => [] },
        { Timestamp => "../../../../../../$evil", Certificates => [] },
        { Timestamp => "/$evil", Certificates => [] },
        { Timestamp => '..', Certificates => [] },
        { Timestamp => "a\0b/../../c", Certificates => [] },
        { Timestamp => 'no certificates' },
        { Timestamp => 'long' . 'x' x 5000, Certificates => [] },
        { pad => 'y' x 150_000, Timestamp => 'big', Certificates => [] },
    );
    my @lines = map { encode_json($_) } @records;
    my @all = (@lines[0 .. 1], 'not JSON', '[1]', @lines[2 .. $#lines]);
    my $s = session({ type => 'ja3-jl' }, join('', map { "$_\n" } @all));

    drained($t, 'ja3-jl');

    my @paths = elements('ja3-jl');
    my %content = map { $_ => file_content($_) } @paths;

    is(scalar @paths, @records, 'ja3-jl: a path for each record');
    is_deeply([ map { $content{$_} =~ s/\n\z//r } @paths ], \@lines,
              'each leads to its line, in order');
    is(scalar(keys %content), scalar @paths, 'no two to the same file');
    is($paths[0], "$t->{data}/datas/ja3-jl/jsons/"
                  . '2021-02-03T04:05:06.700000Z.json',
       'of the published name');
    is((grep { !m{^\Q$t->{data}\E/datas/ja3-jl/jsons/[A-Za-z0-9:._+-]+\.json$} }
        @paths), 0, 'all of them are where they belong');
    is_deeply([ sort(tree("$t->{data}/datas/ja3-jl/certs")) ],
              [ sort map { sha1_hex($_) . '.crt' } @der ], 'the certificates');
    is(file_content("$t->{data}/datas/ja3-jl/certs/" . sha1_hex($der[0])
                    . '.crt'), $der[0], 'are DER');
    ok(!glob("$evil*"), 'nothing is written outside');

    my @got = line_elements('ja3-jl');
    is_deeply([ grep { /^\{/ } @got ], \@lines,
              '"element line": the lines instead of paths');

    # the same record again is the same file; other content is another one

    session({ type => 'ja3-jl' }, "$lines[0]\n"
            . encode_json({ %{ $records[0] }, changed => 1 }) . "\n");
    drained($t, 'ja3-jl again');

    my @again = elements('ja3-jl');
    is($again[0], $paths[0], 'the same record again: the same path');
    isnt($again[1], $paths[0], 'another one of that time: its own');
    is(file_content($paths[0]) =~ s/\n\z//r, $lines[0],
       'and the first is untouched');
    line_elements('ja3-jl');
}


# file watchers

for my $case ([ {}, '' ], [ { extension => 'exe' }, 'exe' ],
              [ { extension => '../../../../evil' } ],
              [ { extension => "/etc/x" } ], [ { extension => "a\nb" } ],
              [ { compress => JSON::PP::true, extension => 'bin' }, 'bin' ],
              [ { segregate => JSON::PP::false, extension => 'x' }, 'x' ]) {
    my ($meta, $ext) = @$case;
    my $name = 'filewatcher ' . encode_json($meta);
    my @files = ('content one', join('', map { chr } 0 .. 255),
                 'z' x 400_000);
    my $s = session({ type => 'filewatcher', %$meta },
                    join('', map { encode_base64($_, '') . "\n" } @files)
                    . "!! not base64 !!\n", size => 50_000);

    drained($t, $name);

    my @paths = elements('filewatcher');

    is(scalar @paths, 3, "$name: three paths");
    is_deeply([ map { file_content($_) } @paths ], \@files, 'the contents');

    my $day = POSIX::strftime('%Y/%m/%d', localtime);
    my $dir = $meta->{segregate} // 1
        ? "$t->{data}/$s->{uuid}/254/$day/filewatcher/files"
        : "$t->{data}/datas/filewatcher/files";
    my $gz = $meta->{compress} ? '.gz' : '';

    is_deeply(\@paths, [ map { "$dir/" . sha256_hex($_) . ".$ext$gz" }
                         @files ], 'of the published names') if defined $ext;
    is((grep { !m{^\Q$dir\E/[0-9a-f]{64}\.[A-Za-z0-9_-]*(?:\.gz)?$} } @paths),
       0, 'which are where they belong') or diag("@paths");
    line_elements('filewatcher');
}

{
    my @lines = ('{"a":1}', 'anything', '{"a":1}');
    my $s = session({ type => 'filewatcherjson' },
                    join('', map { "$_\n" } @lines));

    drained($t, 'filewatcherjson');
    my @paths = elements('filewatcherjson');

    is_deeply([ map { file_content($_) =~ s/\n\z//r } @paths ], \@lines,
              'filewatcherjson: the lines');
    is_deeply([ map { m{/filewatcherjson/files/([0-9a-f]{64})\.json$} } @paths ],
              [ map { sha256_hex($_) } @lines ], 'of the published names');
    line_elements('filewatcherjson');
}


# links that were put in the way

{
    my $out = "$t->{dir}/outside";

    mkdir($out);
    $t->give($out);

    my $file = 'linked content';
    my $sha = sha256_hex($file);
    my $dir = "$t->{data}/datas/filewatcher/files";

    symlink("$out/target", "$dir/$sha.lnk") or die "$dir: $!";
    my $s = session({ type => 'filewatcher', segregate => JSON::PP::false,
                      extension => 'lnk' }, encode_base64($file, '') . "\n");
    drained($t, 'a link in the way', 20);

    my ($path) = elements('filewatcher');
    is_deeply([ tree($out) ], [], "a link of the file's name: not followed");
    ok(-l "$dir/$sha.lnk", 'it is left alone');
    ok(defined $path && !-l $path && file_content($path) eq $file,
       'the content gets another name');
    line_elements('filewatcher');
}


# what is refused, even if an administrator accepted such a name

$metadata->cmd('SADD', 'server:accepted_extended_type', '../../evil',
               '/tmp/evil');

for my $case ([ 'not accepted', '{"type":"unknown-type"}',
                qr/^Error: Type=2, unsupported extended type unknown-type$/ ],
              [ 'not JSON', '{"type": nonsense}' ],
              [ 'a list', '[{"type":"sysmon"}]' ],
              [ 'a list with type', '["type"]' ],
              [ 'no type', '{"a":1}' ], [ 'type a number', '{"type":254}' ],
              [ 'a path as type', '{"type":"../../evil"}' ],
              [ 'an absolute path', '{"type":"/tmp/evil"}' ],
              [ 'NUL in type', '{"type":"sys\u0000mon"}' ],
              [ 'NUL in extension',
                '{"type":"filewatcher","extension":"a\u0000b"}' ],
              [ 'empty type', '{"type":""}' ],
              [ 'too large', '{"a":"' . 'x' x 150_000 . '"}' ],
              [ 'never complete', '{"type":"sysmon"', undef, 'data' ]) {
    my ($name, $json, $error, $data) = @$case;

    my $s = session($json, $data // '', stay => 1, cut => 50_000);

    $s->ended(30);
    is($t->wait_access($s->{uuid}, 10)->{status} // 'none', 'incorrect_type',
       "$name: refused");
    like(poll_until(5, sub { $metadata->cmd('HGET', "metadata_uuid:$s->{uuid}",
                                            'Error') }) // '',
         $error // qr/^Error: Type=2, ./, 'the sensor says why');
    drained($t, $name, 20);
    is_deeply([ below($s) ], [], 'nothing is on disk');
}

is((grep { -e } "$t->{dir}/evil", '/tmp/evil'), 0, 'nothing is elsewhere');
is_deeply([ grep { !m{^(?:[0-9a-f]{32}/254/|datas/|\.d4)} } tree($t->{data}) ],
          [], 'nor in odd places of the data directory');
$t->finish;
done_testing();

# conf/d4-admin, and the first ten minutes of docs/api.md, line by line.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Api;
use D4::Proc;
use D4::Test;
use Test::More;

my $top = "$FindBin::Bin/..";
my $t = D4::Api->new->start;
my $users = $t->db('users');

sub admin {
    my ($stdin, @args) = @_;

    my $in = $t->write_file('stdin', $stdin);
    my $out = `$top/conf/d4-admin -s $t->{socket} -n 1 @args < $in 2>&1`;

    chomp($out);

    return ($? >> 8, $out);
}


# The first one, and again.

my ($rc, $token) = admin('', 'me@example.org');

is($rc, 0, 'd4-admin');
like($token, qr/^d4_[\w-]{43}$/, 'prints a token');
$t->{token}{me} = $token;
is_deeply($t->ok(200, 'GET', 'me', as => 'me'),
          { email => 'me@example.org', role => 'admin', by => 'token' },
          'of an administrator');
my $hash = $users->cmd('HGET', 'user:all', 'me@example.org');
like($hash, qr/^\$2b\$12\$.{53}$/, 'with a password that nobody knows');

my ($rc2, $again) = admin('', 'me@example.org');

isnt($again, $token, 'another token');
$t->{token}{again} = $again;
$t->ok(200, 'GET', 'me', as => $_) for qw(me again);
is($users->cmd('HGET', 'user:all', 'me@example.org'), $hash,
   'the password stays');

# a password, by which one logs in

($rc) = admin("Password12\n", '-P', 'me@example.org');
is($rc, 0, 'd4-admin -P');
my $r = $t->request('POST', 'login', as => undef, body => {
    email => 'me@example.org', password => 'Password12' });
is($r->{status}, 200, 'login with it');

# a user of the published server becomes an administrator

$users->cmd('HSET', 'user:all', 'old@example.org', 'x');
$users->cmd('SADD', 'user_role:sensor_register', 'old@example.org');
($rc, $t->{token}{old}) = admin('', 'old@example.org');
is($t->ok(200, 'GET', 'me', as => 'old')->{role}, 'admin', 'one who was there');

for my $case ([ "short1A2\n", '-P', 'me@example.org' ],
              [ "nouppercase12\n", '-P', 'me@example.org' ],
              [ '', '-P', 'me@example.org' ], [ '', 'nobody' ], [ '' ],
              [ '', "'a b\@c'" ], [ '', 'a@b', 'c@d' ], [ '', '-z' ])
{
    my ($rc, $out) = admin(@$case);
    isnt($rc, 0, "refused: @$case[1 .. $#$case]") || diag($out);
}

is(`$top/conf/d4-admin -s $t->{dir}/none.sock a\@b 2>/dev/null`, '',
   'no Redis, no token');
isnt($?, 0, 'and an exit code');


# docs/api.md

my ($block) = D4::Proc::slurp("$top/docs/api.md")
    =~ /## The first ten minutes.*?```sh\n(.*?)```/s;

ok($block, 'docs/api.md has the first ten minutes');

$block =~ s/TOKEN=d4_\.\.\. *#[^\n]*/TOKEN=$token/;
$block =~ s/127\.0\.0\.1:8080/127.0.0.1:$t->{http_port}/g;

# each command of its own, with the continued lines and the functions

$block =~ s/\\\n\s*/ /g;

my ($setup, @commands) = ('');

for (grep { /\S/ && !/^#/ } split /\n/, $block) {
    if (/^(export|auth\(\))/) {
        $setup .= "$_\n";

    } else {
        push @commands, $_;
    }
}

cmp_ok(scalar @commands, '>', 30, scalar(@commands) . ' commands');

for my $command (@commands) {
    my $script = $t->write_file('script', "set -e\n$setup$command\n");
    my $out = `bash $script 2>&1`;

    is($?, 0, $command);
    unlike($out, qr/"status":"error"|<html>/, 'is answered') || diag($out);
    like($out, qr/\S/, 'with something') if $command !~ /export/;
}

$t->finish;
done_testing();

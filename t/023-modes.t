# Registration and shared secret, the default key, client certificates.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use D4::Test;
use IO::Socket::SSL::Utils;
use Test::More;


sub stored {
    my ($t, $s) = @_;

    $s->send('x');

    my $n = poll_until(5, sub { $t->messages($s->{uuid}) || $s->ended });

    return scalar $t->messages($s->{uuid});
}


# shared secret with a default key; one trailing newline is not part of it

{
    my $t = D4::Test->new(mode => 'shared-secret',
                          default_key => "shared \n\n")->start;
    my ($own, $none, $bad, $old) = map { new_uuid() } 1 .. 4;

    $t->db('metadata')->cmd('HSET', "metadata_uuid:$own", 'hmac_key', 'mine');

    my $s = $t->sensor(uuid => $none, key => "shared \n");
    is(stored($t, $s), 1, 'any uuid with the default key');
    $s->finish;

    $s = $t->sensor(uuid => $own, key => 'mine');
    is(stored($t, $s), 1, 'a sensor with a key of its own');
    $s->finish;

    $s = $t->sensor(uuid => $own, key => "shared \n");
    $s->send('x');
    ok($s->ended(30), 'for which the default key is not good');
    is(scalar $t->messages($own), 1, 'not stored');

    $s = $t->sensor(uuid => $bad, key => 'shared ');
    $s->send('x');
    ok($s->ended(30), 'a wrong default key');
    is(scalar $t->messages($bad), 0, 'not stored');

    $t->finish;
}


# registration with a default key: registered all the same

{
    my $t = D4::Test->new(default_key => "shared\n")->start;
    my ($known, $unknown) = map { new_uuid() } 1 .. 2;

    $t->register($known);

    my $s = $t->sensor(uuid => $known, key => 'shared');
    is(stored($t, $s), 1, 'registered without a key: the default key');
    $s->finish;

    $s = $t->sensor(uuid => $unknown, key => 'shared');
    $s->send('x');
    ok($s->ended(30), 'not registered');
    is($t->wait_access($unknown)->{status}, 'not_registered', 'status');

    $t->finish;
}


# keys are bytes: long, with newlines, with characters of HTML, empty

{
    my $t = D4::Test->new->start;

    for my $key ('k' x 342, "with\nnewline\n", '&<>"\'', "\0\1\377", 'k') {
        my $uuid = $t->register(new_uuid(), $key);
        my $s = $t->sensor(uuid => $uuid, key => $key);

        is(stored($t, $s), 1, 'a key of ' . length($key) . ' bytes');
        $s->finish;
    }

    my $uuid = $t->register(new_uuid(), 'a' x 100);
    my $s = $t->sensor(uuid => $uuid, key => 'a' x 101);

    $s->send('x');
    ok($s->ended(30), 'nothing is cut from a key');

    $t->finish;
}


# TLS client certificates: nginx's own directives

{
    my $t = D4::Test->new(server => 'ssl_client_certificate sensors.crt;'
                                    . ' ssl_verify_client on;');

    my ($ca, $ca_key) = CERT_create(CA => 1,
                                    key => KEY_create_ec('prime256v1'),
                                    subject => { commonName => 'sensors' });
    my ($cert, $key) = CERT_create(issuer => [ $ca, $ca_key ],
                                   key => KEY_create_ec('prime256v1'),
                                   purpose => 'client',
                                   subject => { commonName => 's1' });
    PEM_cert2file($ca, "$t->{dir}/sensors.crt");
    PEM_cert2file($cert, "$t->{dir}/s1.crt");
    PEM_key2file($key, "$t->{dir}/s1.key");

    $t->start;

    my $s = $t->sensor(cert => "$t->{dir}/s1.crt",
                       certkey => "$t->{dir}/s1.key");
    is(stored($t, $s), 1, 'with a certificate');
    my $known = $s->{uuid};
    $s->finish;

    $s = $t->sensor;

    # TLS 1.3: the client learns of it only behind its own handshake

    if ($s) {
        $s->send('x');
        $s->ended(30);
    }

    is_deeply([ $t->db('streams')->keys('stream:*') ],
              [ map { $_->{key} } $t->streams($known) ],
              'without one: nothing stored');

    # what nginx itself says when it has no use for the sensor's bytes

    $t->allow(qr/SSL_shutdown.*while SSL handshaking/);
    $t->finish;
}


# TLS 1.2 and 1.3 with verification, not 1.1

{
    my $t = D4::Test->new->start;

    for my $version (qw(TLSv1_2 TLSv1_3)) {
        my $s = $t->sensor(version => $version, ca => "$t->{dir}/ca.crt");

        is(stored($t, $s), 1, "$version, verified");
        $s->finish;
    }

    ok(!$t->sensor(version => 'TLSv1_1'), 'not TLS 1.1');

    $t->finish;
}

done_testing();

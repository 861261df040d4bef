package Zone;

# Zones with a record of every type that a server of Debian's knows, written
# to a directory and signed there.

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(zones questions);


my $records = <<'END';
@            SOA    ns hostmaster 2024010101 7200 3600 1209600 300
@            NS     ns
@            NS     ns.example.org.
@            MX     10 mail
@            MX     20 mail.example.org.
@            CAA    0 issue "letsencrypt.org; validationmethods=dns-01"
@            CAA    128 iodef "mailto:security@example.net"
@            TXT    "v=spf1 -all"
ns           A      127.0.0.1
ns           AAAA   ::1
www          A      192.0.2.1
www          A      192.0.2.2
www          AAAA   2001:db8::1
www          AAAA   2001:db8:0:0:1::1
alias        CNAME  www
chain1       CNAME  chain2
chain2       CNAME  chain3
chain3       CNAME  www
gone         CNAME  nothing
old          DNAME  example.org.
mail         A      192.0.2.25
*.wild       A      192.0.2.77
svc          HTTPS  1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1 ech=AEX+DQBB
svc2         HTTPS  0 www
_dns         SVCB   1 ns alpn=dot,doq mandatory=alpn,port port=853 dohpath=/q{?dns}
_dns         SVCB   2 ns key667="a b\"c" no-default-alpn alpn=h2
_443._tcp    TLSA   3 1 1 8cb0fc6c527506a053f4f14c8464bebbd6dede2738d11468dd953d7d6a3021f1
smime        SMIMEA 3 0 0 0102030405
_sip._tcp    SRV    0 5 5060 www
naptr        NAPTR  100 10 "u" "E2U+sip" "!^.*$!sip:info@example.net!" .
txt          TXT    "hello; world" "second \"quoted\" | pipe || two" "\\ \001\255" ""
key._domainkey TXT  "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0" "AbCdEfGhIjKlMnOp+/="
spf          SPF    "v=spf1 -all"
host         HINFO  "PC" "Linux"
loc          LOC    42 21 54 N 71 6 18 W -24m 30m
ssh          SSHFP  1 1 aa65e3415a50d9b3519c2b17aceb815fc2538d88
rp           RP     admin.example.net. txt.example.net.
afs          AFSDB  1 afs.example.org.
rt           RT     10 relay.example.org.
px           PX     10 a.example.org. b.example.org.
kx           KX     10 kx.example.org.
x25          X25    "311061700956"
isdn         ISDN   "150862028003217" "004"
nsap         NSAP   0x47000580005a0000000001e133ffffff00016200
cert         CERT   1 12345 8 AQIDBAUG
ipsec        IPSECKEY 10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==
apl          APL    1:192.168.32.0/21 !1:192.168.38.0/28
dhcid        DHCID  AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=
pgp          OPENPGPKEY AQIDBAUGBwg=
csync        CSYNC  66 3 A NS AAAA
zonemd       ZONEMD 2018031500 1 1 a3b69bad980a3504e1cc1b0e2a0aa2d2c6f1d9a1e2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f7081920313233
nid          NID    10 0014:4fff:ff20:ee64
l32          L32    10 10.1.2.0
l64          L64    10 2001:db8:1140:1000
lp           LP     10 l64
eui48        EUI48  00-00-5e-00-53-2a
eui64        EUI64  00-00-5e-ef-10-00-00-2a
uri          URI    10 1 "https://example.net/a|b?c=\"d\""
unknown      TYPE65280 \# 4 0a0b0c0d
empty        TYPE65281 \# 0
mb           MB     mail
mg           MG     mail
mr           MR     mail
minfo        MINFO  mail.example.org. admin.example.org.
sub          NS     ns.example.org.
ds           NS     ns.example.org.
ds           DS     60485 13 2 d4b7d520e7bb5f0f67674a0cceb1e3e0614b93c4f9e99b8383f6a1e4469da50a
cds          CDS    60485 13 2 d4b7d520e7bb5f0f67674a0cceb1e3e0614b93c4f9e99b8383f6a1e4469da50a
cdnskey      CDNSKEY 257 3 13 AQIDBAUGBwg=
odd\.dot     A      192.0.2.90
odd\032space A      192.0.2.91
odd\124pipe  A      192.0.2.92
odd\255byte  A      192.0.2.93
under_score  A      192.0.2.94
a.b.c.d.e.f.g.h.i.j A 192.0.2.95
END


sub write_zone {
    my ($file, $zone, $text) = @_;

    open(my $fh, '>', $file) or die "$file: $!";
    print $fh "\$ORIGIN $zone.\n\$TTL 300\n", $text;
    close($fh) or die "$file: $!";
}


sub sign {
    my ($dir, $zone, @options) = @_;

    my $in = "cd '$dir' && ";
    my $key = `$in ldns-keygen -a ECDSAP256SHA256 '$zone' 2>&1`;
    chomp($key);
    -e "$dir/$key.private" or die "ldns-keygen: $key";

    my $out = `$in ldns-signzone @options -f $zone.signed $zone.zone $key 2>&1`;
    -s "$dir/$zone.signed" or die "ldns-signzone: $out";

    return "$zone.signed";
}


# Writes the zones; returns them with their files.

sub zones {
    my ($dir) = @_;

    my @large = map { 'x' x 250 . sprintf('%05d', $_) } 1 .. 30;

    write_zone("$dir/example.net.zone", 'example.net', $records
               . 'large TXT ' . join(' ', map { "\"$_\"" } @large) . "\n"
               . join('', map { "many A 10.0.$_.1\n" } 0 .. 199));

    write_zone("$dir/example.org.zone", 'example.org', <<'END');
@     SOA  ns.example.net. hostmaster.example.net. 1 7200 3600 1209600 300
@     NS   ns.example.net.
under A    198.51.100.1
under AAAA 2001:db8:1::1
END

    return ('example.net' => sign($dir, 'example.net'),
            'example.org' => sign($dir, 'example.org', '-n', '-s', 'aabb',
                                  '-t', 3));
}


# What to ask for: all that is there, and some that is not.

sub questions {
    my @list;
    my %seen;

    for (split(/\n/, $records)) {
        my ($owner, $type) = split;
        my $name = $owner eq '@' ? 'example.net.' : "$owner.example.net.";
        $name =~ s/^\*\./some.thing./;
        push @list, "$name $type" if !$seen{"$name $type"}++;
    }

    # a referral is no answer, and a zone's DS is with its parent

    @list = grep { !/^sub\.| NS$/ || /^example/ } @list;

    return (@list,
            'large.example.net. TXT', 'many.example.net. A',
            'alias.example.net. A', 'chain1.example.net. AAAA',
            'gone.example.net. A', 'under.old.example.net. A',
            'WwW.ExAmPlE.nEt. A', 'example.net. DNSKEY', 'example.net. NSEC',
            'example.org. NSEC3PARAM', 'www.example.net. ANY',
            'nothing.example.net. A', 'no.example.org. MX',
            'www.example.net. LOC', 'refused.example.com. A',
            'id.server. CH TXT');
}

1;


/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "pdns_sensor.h"
#include "../../sensor/pdns/pds_line.h"
#include "../../sensor/pdns/pds_rdata.h"

#include <arpa/inet.h>


#define FOO      "03666f6f076578616d706c6503636f6d00"     /* foo.example.com */
#define FOO_ORG  "03666f6f076578616d706c65036f726700"


typedef struct {
    unsigned     type;
    const char  *in;                   /* hex */
    const char  *out;
} text_case_t;


static const text_case_t  texts[] = {
    { 1, "c0000201", "192.0.2.1" },
    { 28, "20010db8000000000000000000000001", "2001:db8::1" },
    { 28, "00000000000000000000ffffc0000201", "::ffff:192.0.2.1" },
    { 2, "00", "." },
    { 5, FOO, "foo.example.com." },

    /* what is special in a name, and what is not */

    { 5, "0961202e5c7c22402c3b" "00", "a\\032\\.\\\\\\124\"@,\\;." },
    { 5, "0628297f80ff0a" "00", "\\(\\)\\127\\128\\255\\010." },
    { 12, "0461622a5f" "00", "ab*_." },

    { 6, "016100" "0162" "00" "00000001" "00000002" "00000003" "00000004"
      "ffffffff", "a. b. 1 2 3 4 4294967295" },
    { 15, "000a" FOO, "10 foo.example.com." },
    { 33, "00010002ffff" FOO, "1 2 65535 foo.example.com." },
    { 16, "0161" "00" "0462222063" "047c5c0aff",
      "\"a\" \"\" \"b\\\" c\" \"\\124\\\\\\010\\255\"" },
    { 99, "0161", "\"a\"" },
    { 261, "0161", "\"a\"" },
    { 13, "0141" "00", "\"A\" \"\"" },
    { 35, "000a0014" "0155" "0645322b736970" "055e2e2a217c" "00",
      "10 20 \"U\" \"E2+sip\" \"^.*!\\124\" ." },
    { 17, "00" "016100", ". a." },

    /* the library's */

    { 257, "8005697373756541" "227c",
      "128 issue \"A\\\"\\124\"" },
    { 52, "030102" "00ff", "3 1 2 00ff" },
    { 43, "00010802" "aabb", "1 8 2 aabb" },
    { 48, "01010308" "aabb", "257 3 8 qrs=" },
    { 46, "0001" "08" "02" "00000e10" "60000000" "60000001" "1234" "016100"
      "aabb", "A 8 2 3600 20210114082536 20210114082537 4660 a. qrs=" },
    { 47, "016100" "0006400000000003" "010140",
      "a. A RRSIG NSEC CAA" },
    { 50, "01" "00" "000a" "02aabb" "05" "0102030405",
      "1 0 10 aabb 04106105" },
    { 51, "01" "00" "000a" "00", "1 0 10 -" },
    { 44, "0101" "aabb", "1 1 aabb" },
    { 256, "00010002" "683a2f7c22", "1 2 \"h:/\\124\\\"\"" },
    { 29, "00121613" "89172dd0" "70be15f0" "0098968d",
      "42 21 54.000 N 71 06 18.000 W 0.13m 1m 10000m 10m" },
    { 108, "00005e005301", "00-00-5e-00-53-01" },
    { 42, "00011803c0a801" "00028001" "20",
      "1:192.168.1.0/24 2:2000:0000:0000:0000:0000:0000:0000:0000/128" },

    /* no form of its own, or data that has none */

    { 65280, "00ff", "\\# 2 00ff" },
    { 65280, "", "\\# 0" },
    { 10, "01", "\\# 1 01" },
    { 11, "7f0000010601", "\\# 6 7f0000010601" },
    { 29, "01121613" "89172dd0" "70be15f0" "0098968d",
      "\\# 16 0112161389172dd070be15f00098968d" },
    { 42, "00011805c0a801", "\\# 7 00011805c0a801" },

    /* RFC 9460, appendix D */

    { 65, "0000" FOO, "0 foo.example.com." },
    { 64, "000100", "1 ." },
    { 64, "0010" FOO "000300020035", "16 foo.example.com. port=53" },
    { 64, "0001" FOO "029b000568656c6c6f",
      "1 foo.example.com. key667=\"hello\"" },
    { 64, "0001" FOO "029b000968656c6c6fd2716f6f",
      "1 foo.example.com. key667=\"hello\\210qoo\"" },
    { 64, "0001" FOO "00060020" "20010db8000000000000000000000001"
      "20010db8000000000000000000530001",
      "1 foo.example.com. ipv6hint=2001:db8::1,2001:db8::53:1" },
    { 64, "0001" FOO "00060010" "20010db80122034400000000c0000221",
      "1 foo.example.com. ipv6hint=2001:db8:122:344::c000:221" },
    { 64, "0010" FOO_ORG "0000000400010004" "0001000902683205" "68332d3139"
      "00040004c0000201", "16 foo.example.org. mandatory=alpn,ipv4hint "
      "alpn=\"h2,h3-19\" ipv4hint=192.0.2.1" },
    { 64, "0010" FOO_ORG "0001000c08665c6f6f2c626172026832",
      "16 foo.example.org. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"" },

    /* other keys */

    { 65, "000100" "00010006" "026832" "026833" "00020000" "00050005"
      "0102030405", "1 . alpn=\"h2,h3\" no-default-alpn ech=AQIDBAU=" },
    { 65, "000100" "0007000c" "2f647b3f646e737d227c2020",
      "1 . dohpath=\"/d{?dns}\\\"\\124  \"" },
    { 65, "000100" "00080000" "00090002001d" "ffff0000",
      "1 . ohttp key9=\"\\000\\029\" key65535" },
    { 65, "000100" "000500040102" "0304", "1 . ech=AQIDBA==" },

    /* malformed parameters are shown as they are */

    { 65, "000100" "00010000", "\\# 7 00010000010000" },
    { 65, "000100" "000100020268", "\\# 9 000100000100020268" },
    { 65, "000100" "0001000100", "\\# 8 0001000001000100" },
    { 65, "000100" "00030001" "01", "\\# 8 0001000003000101" },
    { 65, "000100" "00040003" "010203", "\\# 10 00010000040003010203" },
    { 65, "000100" "00040000", "\\# 7 00010000040000" },
    { 65, "000100" "00050000", "\\# 7 00010000050000" },
    { 65, "000100" "0002000100", "\\# 8 0001000002000100" },
    { 65, "000100" "00000000", "\\# 7 00010000000000" },
    { 65, "000100" "000000020000", "\\# 9 000100000000020000" },
    { 65, "000100" "0000000400030001", "\\# 11 0001000000000400030001" },
    { 65, "000100" "00030002003500030002" "0035",
      "\\# 15 000100000300020035000300020035" },
    { 65, "000100" "000300", "\\# 6 000100000300" },
    { 65, "000100" "00030003" "0035", "\\# 9 000100000300030035" }
};


static pds_print_t  *print;


static void
record_of(pds_record_t *r, unsigned type, const uint8_t *p, size_t len)
{
    memset(r, 0, sizeof(*r));
    r->owner = (const uint8_t *) "\3www\2ex";
    r->owner_len = 8;
    r->type = (uint16_t) type;
    r->class = 1;
    r->rdata = p;
    r->rdata_len = (uint16_t) len;
}


static void
test_rdata(void **state)
{
    char           text[4096];
    size_t         i, len, n;
    uint8_t        in[512], data[PDS_RDATA], *block;
    pds_text_t     t;
    pds_record_t   r;

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        /* it is what the reader of messages lets through */

        len = unit_hex(in, texts[i].in);
        assert_int_equal(pds_rdata_read(data, texts[i].type, 1, in, 0, len),
                         len);

        block = malloc(len == 0 ? 1 : len);
        memcpy(block, data, len);
        record_of(&r, texts[i].type, block, len);

        pds_text_init(&t, text, sizeof(text) - 1);
        pds_print_rdata(print, &t, &r);
        *t.p = '\0';
        assert_false(t.full);
        assert_string_equal(text, texts[i].out);

        /* and never more than there is room for */

        for (n = 0; n < strlen(texts[i].out); n++) {
            memset(text, '#', sizeof(text));
            pds_text_init(&t, text, n);
            pds_print_rdata(print, &t, &r);
            assert_true(t.full);
            assert_int_equal(text[n], '#');
        }

        free(block);
    }
}


/* A class whose A is not an address, and is not shown as one. */

static void
test_class(void **state)
{
    char          text[256];
    pds_text_t    t;
    pds_record_t  r;

    (void) state;

    record_of(&r, 1, (const uint8_t *) "\2ch\0\0\1", 6);
    r.class = 3;
    pds_text_init(&t, text, sizeof(text) - 1);
    pds_print_rdata(print, &t, &r);
    *t.p = '\0';
    assert_string_equal(text, "\\# 6 026368000001");

    record_of(&r, 16, (const uint8_t *) "\3nsd", 4);
    r.class = 3;
    pds_text_init(&t, text, sizeof(text) - 1);
    pds_print_rdata(print, &t, &r);
    *t.p = '\0';
    assert_string_equal(text, "\"nsd\"");
}


/* The largest data: 65535 bytes, of strings without content. */

static void
test_large(void **state)
{
    char            *text;
    pds_text_t       t;
    pds_record_t     r;
    static uint8_t   data[PDS_RDATA];

    (void) state;

    text = malloc(1000000);
    memset(data, 0, sizeof(data));
    record_of(&r, 16, data, sizeof(data));

    pds_text_init(&t, text, 1000000);
    pds_print_rdata(print, &t, &r);
    assert_false(t.full);
    assert_int_equal(t.p - text, 3 * 65535 - 1);

    /* not even begun where it cannot fit */

    pds_text_init(&t, text, 10000);
    pds_print_rdata(print, &t, &r);
    assert_true(t.full);
    assert_ptr_equal(t.p, text);

    free(text);
}


static void
test_line(void **state)
{
    char             line[PDS_LINE_MIN];
    size_t           n, len;
    uint8_t          client[16];
    pds_sighting_t   s;

    static const char  expected[] = "1548624738.000042||192.0.2.12||"
                                    "2001:db8::1||IN||www.ex.||AAAA||"
                                    "2001:db8::200e||299||12\n";

    (void) state;

    record_of(&s.record, 28, (const uint8_t *) "\x20\x01\x0d\xb8\0\0\0\0\0\0"
                                               "\0\0\0\0\x20\x0e", 16);
    s.record.ttl = 299;
    s.last = 1548624738000042;
    s.count = 12;
    pds_addr_set(&s.client, (const uint8_t *) "\300\000\002\014", 4);
    inet_pton(AF_INET6, "2001:db8::1", client);
    pds_addr_set(&s.server, client, 16);

    n = pds_line(print, line, sizeof(line), &s);
    assert_int_equal(n, sizeof(expected) - 1);
    assert_memory_equal(line, expected, n);

    for (len = 0; len < n; len++) {
        memset(line, '#', sizeof(line));
        assert_int_equal(pds_line(print, line, len, &s), 0);
        assert_int_equal(line[len], '#');
    }

    /* what is no record */

    s.record.rdata = NULL;
    s.record.rdata_len = 0;
    s.record.rcode = 3;
    s.record.ttl = 0;
    s.last = 0;
    s.count = UINT64_MAX;
    n = pds_line(print, line, sizeof(line), &s);
    line[n] = '\0';
    assert_string_equal(line, "0.000000||192.0.2.12||2001:db8::1||IN||"
                        "www.ex.||AAAA||NXDOMAIN||0||18446744073709551615\n");
}


/* The longest of all fields but the answer fit in the least there can be. */

static void
test_line_longest(void **state)
{
    char             line[PDS_LINE_MIN];
    size_t           n;
    uint8_t          name[PDS_NAME], addr[16];
    pds_sighting_t   s;

    (void) state;

    memset(name, 0xff, sizeof(name));
    name[0] = name[64] = name[128] = 63;
    name[192] = 61;
    name[254] = 0;
    memset(addr, 0xff, 16);

    memset(&s, 0, sizeof(s));
    s.record.owner = name;
    s.record.owner_len = 255;
    s.record.type = 65280;
    s.record.class = 65280;
    s.record.rcode = 15;
    s.record.ttl = 0x7fffffff;
    s.last = INT64_MAX;
    s.count = UINT64_MAX;
    pds_addr_set(&s.client, addr, 16);
    pds_addr_set(&s.server, addr, 16);

    n = pds_line(print, line, sizeof(line), &s);
    assert_true(n > 1100);
    assert_int_equal(line[n - 1], '\n');
}


static int
setup(void **state)
{
    (void) state;

    print = pds_print_create();

    return print == NULL ? -1 : 0;
}


static int
teardown(void **state)
{
    (void) state;

    pds_print_destroy(print);

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_rdata),
        cmocka_unit_test(test_class),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_line_longest),
    };

    return cmocka_run_group_tests_name("pdns sensor: text", tests, setup,
                                       teardown);
}

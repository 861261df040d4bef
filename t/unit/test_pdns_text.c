
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "pdns_cof.h"
#include "pdns_error.h"
#include "pdns_idn.h"
#include "pdns_json.h"
#include "pdns_line.h"


static char  buf[PDNS_RDATA_TEXT];


static void
name_is(const char *text, const char *canonical)
{
    char         out[PDNS_NAME_TEXT];
    pdns_name_t  name, again;

    assert_int_equal(pdns_name_parse(&name, text, strlen(text)), 0);
    assert_int_equal(pdns_name_text(out, &name), strlen(canonical));
    assert_string_equal(out, canonical);

    assert_int_equal(pdns_name_parse(&again, out, strlen(out)), 0);
    assert_true(pdns_name_equal(&name, &again));

    (void) pdns_name_key(out, &name, 0, name.labels);
    assert_int_equal(pdns_name_unkey(&again, out, strlen(out)), 0);
    assert_true(pdns_name_equal(&name, &again));

    pdns_name_load(&again, name.wire, name.len);
    assert_true(pdns_name_equal(&name, &again));
    assert_int_equal(again.labels, name.labels);
}


static void
name_is_none(const char *text)
{
    pdns_name_t  name;

    assert_int_equal(pdns_name_parse(&name, text, strlen(text)), -1);
}


static void
test_name(void **state)
{
    char    text[512];
    size_t  i;

    (void) state;

    name_is("www.Example.COM.", "www.example.com");
    name_is("com", "com");
    name_is(".", ".");
    name_is("a\\.b.c", "a\\.b.c");
    name_is("\\097\\.b.c", "a\\.b.c");
    name_is("a b.c", "a\\032b.c");
    name_is("a\\ b.c", "a\\032b.c");
    name_is("\xc3\xa9.c", "\\195\\169.c");
    name_is("a\\;\\(\\)\\\"\\@\\$.c", "a\\;\\(\\)\\\"\\@\\$.c");
    name_is("_dmarc.{x}:y.c", "_dmarc.{x}:y.c");
    name_is("a||b.c", "a||b.c");

    name_is_none("");
    name_is_none("..");
    name_is_none(".a");
    name_is_none("a..b");
    name_is_none("a\\");
    name_is_none("a\\25");
    name_is_none("a\\256.b");

    memset(text, 'a', 64);
    text[63] = '\0';
    name_is(text, text);
    text[63] = 'a';
    text[64] = '\0';
    name_is_none(text);

    /* 127 labels are 254 bytes, and the root one more */

    for (i = 0; i < 127; i++) {
        text[2 * i] = 'a';
        text[2 * i + 1] = '.';
    }

    text[254] = '\0';
    text[253] = '\0';
    name_is(text, text);
    strcpy(text + 253, ".a");
    name_is_none(text);
}


static void
test_name_key(void **state)
{
    char         out[PDNS_NAME_TEXT];
    uint8_t      v4[] = { 192, 0, 2, 1 }, v6[16] = { 0x20, 1, 0xd, 0xb8 };
    pdns_name_t  name;

    static const struct {
        const char  *text;
        const char  *key;
        unsigned     tag;
    } names[] = {
        { "www.example.com", "com.example.www", 2 },
        { "com", "com", 1 },
        { "{a}:b.c\\.d.com", "com.c\\.d.\\123a\\125\\058b", 2 },
        { "1.2.0.192.in-addr.arpa", "arpa.in-addr.192.0.2.1", 4 },
        { "in-addr.arpa", "arpa.in-addr", 2 },
        { "b.8.b.d.0.1.0.0.2.ip6.arpa", "arpa.ip6.2.0.0.1.0.d.b.8.b", 10 },
        { "a.e164.arpa", "arpa.e164.a", 2 }
    };

    (void) state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(pdns_name_parse(&name, names[i].text,
                                         strlen(names[i].text)), 0);
        pdns_name_key(out, &name, 0, name.labels);
        assert_string_equal(out, names[i].key);
        assert_int_equal(pdns_name_tag(&name), names[i].tag);
    }

    pdns_name_reverse(&name, v4, 4);
    pdns_name_text(out, &name);
    assert_string_equal(out, "1.2.0.192.in-addr.arpa");

    pdns_name_reverse(&name, v6, 16);
    assert_int_equal(name.labels, 34);
    pdns_name_text(out, &name);
    assert_non_null(strstr(out, "8.b.d.0.1.0.0.2.ip6.arpa"));
}


static void
idn_is(const char *text, const char *ascii)
{
    int   n;
    char  out[256];

    n = pdns_idn_ascii(out, sizeof(out), text, strlen(text));

    if (ascii == NULL) {
        assert_int_equal(n, -1);
        return;
    }

    assert_int_equal(n, strlen(ascii));
    assert_memory_equal(out, ascii, n);
}


static void
test_idn(void **state)
{
    char  small[8];

    (void) state;

    idn_is("www.Example.com.", "www.Example.com.");
    idn_is("bücher.example", "xn--bcher-kva.example");
    idn_is("BÜCHER.example", "xn--bcher-kva.example");
    idn_is("münchen.de", "xn--mnchen-3ya.de");
    idn_is("пример.испытание", "xn--e1afmkfd.xn--80akhbyknj4f");
    idn_is("ПРИМЕР.испытание", "xn--e1afmkfd.xn--80akhbyknj4f");
    idn_is("παράδειγμα", "xn--hxajbheg2az3al");
    idn_is("ΠΑΡΆΔΕΙΓΜΑ", "xn--hxajbheg2az3al");
    idn_is("例え。テスト", "xn--r8jz45g.xn--zckzah");
    idn_is("ＡＢＣ.com", "abc.com");
    idn_is("\xff.com", NULL);
    idn_is("\xc0\x80.com", NULL);
    idn_is("\xed\xa0\x80.com", NULL);

    assert_int_equal(pdns_idn_ascii(small, sizeof(small), "bücher", 7), -1);
}


static void
rdata_is(uint16_t type, const char *text, const char *canonical)
{
    int            n;
    char           again[PDNS_RDATA_TEXT], back[128];
    size_t         len;
    uint8_t        m[PDNS_MEMBER];
    pdns_rdata_t   r, twice;

    assert_int_equal(pdns_rdata_parse(&r, type, text, strlen(text), buf,
                                      sizeof(buf)), 0);
    assert_string_equal(r.text, canonical);
    assert_int_equal(r.len, strlen(canonical));

    assert_int_equal(pdns_rdata_parse(&twice, type, r.text, r.len, again,
                                      sizeof(again)), 0);
    assert_string_equal(twice.text, canonical);
    assert_int_equal(twice.named, r.named);

    len = pdns_member(m, &r);
    assert_true(len <= PDNS_MEMBER);
    n = pdns_member_text(back, sizeof(back), m, len);

    if (r.len <= PDNS_RDATA_SHORT) {
        assert_int_equal(n, r.len);
        assert_string_equal(back, canonical);
        assert_null(pdns_member_digest(m, len));

    } else {
        assert_int_equal(n, -1);
        assert_non_null(pdns_member_digest(m, len));
    }
}


static void
rdata_is_none(uint16_t type, const char *text)
{
    pdns_rdata_t  r;

    assert_int_equal(pdns_rdata_parse(&r, type, text, strlen(text), buf,
                                      sizeof(buf)), -1);
}


static void
test_rdata(void **state)
{
    (void) state;

    rdata_is(PDNS_A, "192.0.2.1", "192.0.2.1");
    rdata_is(PDNS_A, "\\# 4 C0000201", "192.0.2.1");
    rdata_is(PDNS_AAAA, "2001:DB8:0:0:0:0:0:1", "2001:db8::1");
    rdata_is(PDNS_CNAME, "WWW.Example.com.", "www.example.com");
    rdata_is(PDNS_CNAME, "\\# 5 03 636F6D 00", "com");
    rdata_is(PDNS_NS, ".", ".");
    rdata_is(PDNS_MX, "010  Mail.Example.com.", "10 mail.example.com");
    rdata_is(PDNS_MX, "Mail.Example.com.", "mail.example.com");
    rdata_is(PDNS_MX, "10", "10");
    rdata_is(PDNS_SRV, "0 5 5060 SIP.example.com.",
             "0 5 5060 sip.example.com");
    rdata_is(PDNS_SOA, "NS.a. Root.a. 1 2 3 4 5", "ns.a root.a 1 2 3 4 5");
    rdata_is(PDNS_SOA, "NS.a.", "ns.a");
    rdata_is(PDNS_RP, "A.b. C.d.", "a.b c.d");
    rdata_is(PDNS_HTTPS, "1 . alpn=\"h2,H3\"", "1 . alpn=\"h2,H3\"");
    rdata_is(PDNS_SVCB, "1 Foo.example. port=53", "1 foo.example port=53");
    rdata_is(PDNS_TXT, "\"V=spf1  -ALL\"   \"b\"", "\"V=spf1  -ALL\" \"b\"");
    rdata_is(PDNS_TXT, "\"\xc3\xa9\"", "\"\\195\\169\"");
    rdata_is(PDNS_TXT, "\"a\\\"  b\"", "\"a\\\"  b\"");
    rdata_is(PDNS_NAPTR, "1 2 \"U\" \"E2U+sip\" \"!^.*$!x!\" .",
             "1 2 \"U\" \"E2U+sip\" \"!^.*$!x!\" .");
    rdata_is(65280, "\\# 2 ABCD", "\\# 2 abcd");
    rdata_is(65280, "\\#  2 ab  CD ", "\\# 2 abcd");
    rdata_is(65280, "\\# 0", "\\# 0");
    rdata_is(PDNS_TXT, "\"0123456789012345678901234567890123456789"
             "01234567890123456789\"",
             "\"0123456789012345678901234567890123456789"
             "01234567890123456789\"");

    rdata_is_none(PDNS_A, "192.0.2");
    rdata_is_none(PDNS_A, "192.0.2.1.5");
    rdata_is_none(PDNS_A, "2001:db8::1");
    rdata_is_none(PDNS_AAAA, "192.0.2.1");
    rdata_is_none(PDNS_A, "\\# 3 C00002");
    rdata_is_none(PDNS_CNAME, "a..b");
    rdata_is_none(PDNS_CNAME, "a b");
    rdata_is_none(PDNS_MX, "ten mail.example.com");
    rdata_is_none(PDNS_SRV, "1 2 a.b");
    rdata_is_none(PDNS_TXT, "");
    rdata_is_none(PDNS_TXT, "  ");
    rdata_is_none(65280, "\\# 2 ABC");
    rdata_is_none(65280, "\\# 1 ABCD");
    rdata_is_none(65280, "\\# x");
    rdata_is_none(65280, "\\# 99999 00");
}


static pdns_result_t
line(pdns_record_t *r, const char *text)
{
    return pdns_line_parse(r, text, strlen(text), buf, sizeof(buf));
}


static void
rcode_is(const char *text, const char *canonical)
{
    char    out[PDNS_RCODE];
    size_t  len;

    len = pdns_rcode_text(out, text, strlen(text));

    assert_int_equal(len, strlen(canonical));
    assert_memory_equal(out, canonical, len);

    if (len != 0) {
        assert_int_equal(pdns_rcode_text(out, canonical, len), len);
        assert_memory_equal(out, canonical, len);

        /* never as long as an address, which a member would take it for */

        assert_true(len != 4 && len != 16);
    }
}


static void
test_rcode(void **state)
{
    (void) state;

    rcode_is("NXDOMAIN", "NXDOMAIN");
    rcode_is("nxdomain", "NXDOMAIN");
    rcode_is("NOTIMPL", "NOTIMP");
    rcode_is("NOTIMP", "NOTIMP");
    rcode_is("UNKNOWN-ERROR-2", "RCODE2");
    rcode_is("UNKNOWN-ERROR-65535", "RCODE65535");
    rcode_is("RCODE23", "RCODE23");
    rcode_is("RCODE", "");
    rcode_is("RCODE123456", "");
    rcode_is("UNKNOWN-ERROR-", "");
    rcode_is("UNKNOWN-ERROR-x", "");
    rcode_is("NOERROR", "");
    rcode_is("", "");
}


static void
test_line(void **state)
{
    char           text[PDNS_NAME_TEXT];
    pdns_record_t  r;

    (void) state;

    assert_int_equal(line(&r, "1548624738.280922||192.0.2.12||198.51.100.8||"
                          "IN||Www.example.com.||AAAA||2001:db8::200E||299||"
                          "12\n"), PDNS_OK);
    pdns_name_text(text, &r.name);
    assert_string_equal(text, "www.example.com");
    assert_int_equal(r.rdata.type, PDNS_AAAA);
    assert_string_equal(r.rdata.text, "2001:db8::200e");
    assert_int_equal(r.first, 1548624738);
    assert_int_equal(r.last, 1548624738);
    assert_int_equal(r.count, 12);
    assert_null(r.rcode.data);

    /* no count; a long fraction; a syslog prefix; a bar in the answer */

    assert_int_equal(line(&r, "1||c||s||IN||a.||A||192.0.2.1||300"), PDNS_OK);
    assert_int_equal(r.count, 1);
    assert_int_equal(line(&r, "1700000000.1234567890123||c||s||IN||a||A||"
                          "192.0.2.1||300||2"), PDNS_OK);
    assert_int_equal(r.first, 1700000000);
    assert_int_equal(line(&r, "Nov 25 22:00:00 host pdns: 17.5||c||s||IN||a.||"
                          "A||192.0.2.1||300||2"), PDNS_OK);
    assert_int_equal(r.first, 17);
    assert_int_equal(line(&r, "1||c||s||IN||a.||TXT||\"x||y\"||300||2"),
                     PDNS_OK);
    assert_string_equal(r.rdata.text, "\"x||y\"");
    assert_int_equal(r.count, 2);

    /* error answers */

    assert_int_equal(line(&r, "1||c||s||IN||a.||1||NXDOMAIN||0||1"), PDNS_OK);
    assert_non_null(r.rcode.data);
    assert_int_equal(r.rcode.len, 8);

    assert_int_equal(line(&r, ""), PDNS_EMPTY);
    assert_int_equal(line(&r, "\r\n"), PDNS_EMPTY);
    assert_int_equal(line(&r, "1||c||s||IN||a.||A"), PDNS_SHORT);
    assert_int_equal(line(&r, "1||c||s||IN||a.||A||192.0.2.1"), PDNS_SHORT);
    assert_int_equal(line(&r, "x||c||s||IN||a.||A||192.0.2.1||1||1"),
                     PDNS_BAD_TIME);
    assert_int_equal(line(&r, "0||c||s||IN||a.||A||192.0.2.1||1||1"),
                     PDNS_BAD_TIME);
    assert_int_equal(line(&r, "99999999999||c||s||IN||a.||A||192.0.2.1||1||1"),
                     PDNS_BAD_TIME);
    assert_int_equal(line(&r, "1||c||s||CH||a.||A||192.0.2.1||1||1"),
                     PDNS_BAD_CLASS);
    assert_int_equal(line(&r, "1||c||s||IN||a..b||A||192.0.2.1||1||1"),
                     PDNS_BAD_NAME);
    assert_int_equal(line(&r, "1||c||s||IN||a.||NONE||192.0.2.1||1||1"),
                     PDNS_BAD_TYPE);
    assert_int_equal(line(&r, "1||c||s||IN||a.||A||192.0.2||1||1"),
                     PDNS_BAD_RDATA);
    assert_int_equal(line(&r, "1||c||s||IN||a.||A||192.0.2.1||1||0"),
                     PDNS_BAD_COUNT);
    assert_int_equal(line(&r, "1||c||s||IN||a.||A||192.0.2.1||1||"
                          "99999999999999999999999"), PDNS_OK);
    assert_true(r.count == PDNS_COUNT_MAX);
}


typedef struct {
    int   n;
    char  text[4096];
} taken_t;


static void
take(void *ctx, pdns_record_t *r)
{
    char            name[PDNS_NAME_TEXT], out[65536];
    size_t          n;
    taken_t        *t = ctx;
    pdns_answer_t   a;

    memset(&a, 0, sizeof(a));

    a.rrname.data = name;
    a.rrname.len = pdns_name_text(name, &r->name);
    a.rdata.data = r->rdata.text;
    a.rdata.len = r->rdata.len;
    a.type = r->rdata.type;
    a.first = r->first;
    a.last = r->last;
    a.count = r->count;
    a.zone_first = r->zone_first;
    a.zone_last = r->zone_last;
    a.bailiwick = r->bailiwick;
    a.sensor = r->sensor;
    a.origin = r->origin;

    assert_true(pdns_cof_bound(&a) <= sizeof(out));
    n = pdns_cof_write(out, &a, 0);
    assert_true(n <= pdns_cof_bound(&a));
    assert_int_equal(out[n - 1], '\n');
    out[n] = '\0';

    t->n++;

    if (strlen(t->text) + n < sizeof(t->text)) {
        strcat(t->text, out);
    }
}


static pdns_result_t
json(taken_t *t, const char *text)
{
    memset(t, 0, sizeof(taken_t));

    return pdns_json_parse(text, strlen(text), buf, sizeof(buf), take, t);
}


static void
test_json(void **state)
{
    taken_t  t, again;

    (void) state;

    assert_int_equal(json(&t, "{\"rrname\":\"A.example.\",\"rrtype\":\"a\","
        "\"rdata\":\"192.0.2.1\",\"time_first\":1.5,\"time_last\":2,"
        "\"x\":{}}\r\n"), PDNS_OK);
    assert_string_equal(t.text, "{\"time_first\":1,\"time_last\":2,\"count\":1"
        ",\"rrtype\":\"A\",\"rrname\":\"a.example\","
        "\"rdata\":\"192.0.2.1\"}\n");

    assert_int_equal(json(&t, "{\"rrname\":\"a\",\"rrtype\":65280,"
        "\"rdata\":[\"\\\\# 1 aa\",\"\\\\# 1 bb\"],\"time_first\":1,"
        "\"time_last\":2,\"count\":7,\"bailiwick\":\"b\",\"sensor_id\":\"s\","
        "\"origin\":\"u\\u00e9\\ud83d\\ude00\",\"zone_time_first\":3,"
        "\"zone_time_last\":4}"), PDNS_OK);
    assert_int_equal(t.n, 2);
    assert_non_null(strstr(t.text, "\"rrtype\":65280,"));
    assert_non_null(strstr(t.text, "\"zone_time_first\":3,"
                           "\"zone_time_last\":4,"));
    assert_non_null(strstr(t.text, "\"origin\":\"u\\u00e9\\ud83d\\ude00\""));

    /* what is written reads back as the same */

    t.text[strcspn(t.text, "\n") + 1] = '\0';
    assert_int_equal(json(&again, t.text), PDNS_OK);
    assert_string_equal(t.text, again.text);

    assert_int_equal(json(&t, "{\"query\":\"a.\",\"class\":\"IN\","
        "\"type\":\"A\",\"answer\":\"192.0.2.1\",\"timestamp_s\":5,"
        "\"count\":3}"), PDNS_OK);
    assert_non_null(strstr(t.text, "\"count\":3"));

    assert_int_equal(json(&t, "{\"rrname\":\"a\",\"rrtype\":\"A\","
        "\"rdata\":[\"192.0.2.1\",\"x\"],\"time_first\":1,\"time_last\":2}"),
        PDNS_BAD_RDATA);
    assert_int_equal(t.n, 0);

    assert_int_equal(json(&t, "{"), PDNS_BAD_JSON);
    assert_int_equal(json(&t, "[]"), PDNS_BAD_JSON);
    assert_int_equal(json(&t, "{}"), PDNS_BAD_FIELD);
    assert_int_equal(json(&t, "{\"rrname\":\"a\",\"rrtype\":\"A\","
        "\"rdata\":[],\"time_first\":1,\"time_last\":2}"), PDNS_BAD_RDATA);
    assert_int_equal(json(&t, "{\"rrname\":\"a\",\"rrtype\":\"A\","
        "\"rdata\":\"192.0.2.1\",\"time_first\":3,\"time_last\":2}"),
        PDNS_BAD_TIME);
    assert_int_equal(json(&t, "{\"rrname\":\"a\",\"rrtype\":\"A\","
        "\"rdata\":\"192.0.2.1\",\"time_first\":\"1\",\"time_last\":2}"),
        PDNS_BAD_TIME);
    assert_int_equal(json(&t, "{\"rrname\":\"a\",\"rrtype\":\"A\","
        "\"rdata\":\"192.0.2.1\",\"time_first\":1,\"time_last\":2,"
        "\"count\":0}"), PDNS_BAD_COUNT);
}


static void
test_types(void **state)
{
    char      text[PDNS_TYPE_TEXT];
    uint16_t  type;
    uint32_t  n;

    (void) state;

    for (n = 0; n < 65536; n++) {
        pdns_type_text(text, (uint16_t) n);
        assert_int_equal(pdns_type_parse(&type, text, strlen(text)), 0);
        assert_int_equal(type, n);

        if (pdns_type_name((uint16_t) n) != NULL) {
            assert_string_equal(pdns_type_name((uint16_t) n), text);
        }
    }

    assert_string_equal(pdns_type_name(65), "HTTPS");
    assert_string_equal(pdns_type_name(262), "WALLET");
    assert_null(pdns_type_name(54));
    assert_int_equal(pdns_type_parse(&type, "aaaa", 4), 0);
    assert_int_equal(type, PDNS_AAAA);
    assert_int_equal(pdns_type_parse(&type, "*", 1), 0);
    assert_int_equal(type, PDNS_ANY);
    assert_int_equal(pdns_type_parse(&type, "", 0), -1);
    assert_int_equal(pdns_type_parse(&type, "TYPE65536", 9), -1);
    assert_int_equal(pdns_type_parse(&type, "TYPE", 4), -1);
    assert_int_equal(pdns_type_parse(&type, "AB", 2), -1);
    assert_int_equal(pdns_type_parse(&type, "65536", 5), -1);
}


static void
dotted_is(uint16_t type, const char *text, const char *dotted)
{
    char    out[256];
    size_t  n;

    n = pdns_rdata_dotted(out, type, text, strlen(text));
    out[n] = '\0';
    assert_string_equal(out, dotted);
}


static void
test_dots(void **state)
{
    char  out[32];

    (void) state;

    dotted_is(PDNS_A, "192.0.2.1", "192.0.2.1");
    dotted_is(PDNS_CNAME, "a.b", "a.b.");
    dotted_is(PDNS_NS, ".", ".");
    dotted_is(PDNS_MX, "10 a.b", "10 a.b.");
    dotted_is(PDNS_MX, "0 .", "0 .");
    dotted_is(PDNS_MX, "a.b", "a.b.");
    dotted_is(PDNS_SOA, "a b 1 2 3 4 5", "a. b. 1 2 3 4 5");
    dotted_is(PDNS_SRV, "1 2 3 a.b", "1 2 3 a.b.");
    dotted_is(PDNS_HTTPS, "1 . alpn=h2", "1 . alpn=h2");
    dotted_is(PDNS_HTTPS, "1 a.b alpn=h2", "1 a.b. alpn=h2");
    dotted_is(PDNS_TXT, "\"a b\"", "\"a b\"");
    dotted_is(PDNS_CNAME, "\\# 1 aa", "\\# 1 aa");
    dotted_is(PDNS_CNAME, "a\\.", "a\\..");

    pdns_rfc3339(out, 0);
    assert_memory_equal(out, "1970-01-01T00:00:00Z", 20);
    pdns_rfc3339(out, 951782400);
    assert_memory_equal(out, "2000-02-29T00:00:00Z", 20);
    pdns_rfc3339(out, 1548624738);
    assert_memory_equal(out, "2019-01-27T21:32:18Z", 20);
    pdns_rfc3339(out, PDNS_TIME_MAX);
    assert_memory_equal(out, "2242-03-16T12:56:31Z", 20);
}


/* As inet_ntop() writes them. */

static void
test_addr(void **state)
{
    int      i;
    char     text[46], expected[INET_ADDRSTRLEN];
    uint8_t  addr[4];

    (void) state;

    for (i = 0; i < 256; i++) {
        addr[0] = (uint8_t) i;
        addr[1] = (uint8_t) (255 - i);
        addr[2] = (uint8_t) (i / 2);
        addr[3] = (uint8_t) (i + 100);

        assert_non_null(inet_ntop(AF_INET, addr, expected,
                                  sizeof(expected)));
        assert_int_equal(pdns_addr_text(text, addr, 4), strlen(expected));
        assert_string_equal(text, expected);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_name_key),
        cmocka_unit_test(test_idn),
        cmocka_unit_test(test_addr),
        cmocka_unit_test(test_rdata),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_rcode),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_dots),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

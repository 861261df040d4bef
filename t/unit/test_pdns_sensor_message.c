
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
#include "../../sensor/pdns/pds_message.h"
#include "../../sensor/pdns/pds_text.h"
#include "../../sensor/pdns/pds_type.h"

#include <stdio.h>


#define ANSWER    0x8180
#define NXDOMAIN  0x8183


static pds_message_t  reader;
static char           seen[65536];     /* "owner type rdlen rcode;" each */
static int            records;
static uint8_t        msg[70000];


static void
record(void *data, const pds_record_t *r)
{
    char        text[2048];
    pds_text_t  t;

    assert_ptr_equal(data, &reader);
    records++;

    pds_text_init(&t, text, sizeof(text) - 1);
    pds_text_name(&t, r->owner);
    *t.p = '\0';
    assert_false(t.full);

    if (strlen(seen) + strlen(text) + 40 < sizeof(seen)) {
        sprintf(seen + strlen(seen), "%s %u %u %u;", text, r->type,
                r->rdata_len, r->rcode);
    }
}


/* Reads from a block that ends where the message ends. */

static pds_message_result_t
read_message(const uint8_t *end)
{
    size_t                 len;
    uint8_t               *copy;
    pds_message_result_t   rc;

    len = (size_t) (end - msg);
    copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, msg, len);

    reader.record = record;
    reader.data = &reader;
    seen[0] = '\0';
    records = 0;

    rc = pds_message_read(&reader, copy, len);
    free(copy);

    return rc;
}


static void
test_names(void **state)
{
    size_t   pos, len;
    uint8_t  out[PDS_NAME];

    (void) state;

    /* lower case, pointers back, and where one is read from goes on */

    len = unit_hex(msg, "03575757c006" "0245580000" "c006");
    pos = 0;
    assert_int_equal(pds_name_read(out, msg, len, &pos, 1), 0);
    assert_int_equal(pos, 0);

    len = unit_hex(msg, "0245580003575757c000" "c004");
    pos = 4;
    assert_int_equal(pds_name_read(out, msg, len, &pos, 1), 8);
    assert_int_equal(pos, 10);
    assert_memory_equal(out, "\3www\2ex\0", 8);

    pos = 10;
    assert_int_equal(pds_name_read(out, msg, len, &pos, 1), 8);
    assert_int_equal(pos, 12);

    pos = 10;
    assert_int_equal(pds_name_read(out, msg, len, &pos, 0), 0);
    assert_int_equal(pos, 10);

    pos = 12;
    assert_int_equal(pds_name_read(out, msg, len, &pos, 1), 0);

    /* loops */

    len = unit_hex(msg, "c000");
    pos = 0;
    assert_int_equal(pds_name_read(out, msg, len, &pos, 1), 0);

    len = unit_hex(msg, "c002c000");
    pos = 2;
    assert_int_equal(pds_name_read(out, msg, len, &pos, 1), 0);

    len = unit_hex(msg, "0161c000");
    pos = 0;
    assert_int_equal(pds_name_read(out, msg, len, &pos, 1), 0);
    pos = 2;
    assert_int_equal(pds_name_read(out, msg, len, &pos, 1), 0);

    /* kinds of labels that are not used */

    len = unit_hex(msg, "4161008000");
    pos = 0;
    assert_int_equal(pds_name_read(out, msg, len, &pos, 1), 0);
    pos = 3;
    assert_int_equal(pds_name_read(out, msg, len, &pos, 1), 0);

}


/* 63 bytes a label, 255 in all. */

static void
test_names_long(void **state)
{
    size_t   i, pos;
    uint8_t  out[PDS_NAME];

    (void) state;

    memset(msg, 'x', 300);
    msg[0] = msg[64] = msg[128] = 63;
    msg[192] = 61;
    msg[254] = 0;
    pos = 0;
    assert_int_equal(pds_name_read(out, msg, 255, &pos, 1), 255);
    assert_int_equal(pos, 255);

    for (i = 0; i < 255; i++) {
        pos = 0;
        assert_int_equal(pds_name_read(out, msg, i, &pos, 1), 0);
    }

    msg[192] = 62;
    msg[255] = 0;
    pos = 0;
    assert_int_equal(pds_name_read(out, msg, 256, &pos, 1), 0);

    /* 127 labels, each behind a pointer to the one before */

    msg[0] = 1;
    msg[1] = 'a';
    msg[2] = 0;

    for (i = 1; i < 127; i++) {
        msg[i * 4 - 1] = 1;
        msg[i * 4] = 'b';
        put16(msg + i * 4 + 1, 0xc000 | (unsigned) (i == 1 ? 0 : i * 4 - 5));
    }

    pos = 126 * 4 - 1;
    assert_int_equal(pds_name_read(out, msg, 1000, &pos, 1), 255);
    assert_int_equal(out[254], 0);
    assert_int_equal(pos, 126 * 4 + 3);

    assert_true(pds_name_below(out, 255, (const uint8_t *) "\1a", 3));
    assert_true(pds_name_below(out, 255, (const uint8_t *) "", 1));
    assert_true(pds_name_below(out, 255, out, 255));
    assert_false(pds_name_below(out, 255, (const uint8_t *) "\1b", 3));
    assert_false(pds_name_below((const uint8_t *) "\2xa", 4,
                                (const uint8_t *) "\1a", 3));
    assert_false(pds_name_below((const uint8_t *) "", 1,
                                (const uint8_t *) "\1a", 3));
}


static void
test_answer(void **state)
{
    size_t    i;
    uint8_t  *p, *start;

    (void) state;

    /* the answer in the case of the question, the rest of it compressed */

    p = put_question(put_dns(msg, ANSWER, 1, 2), "wWw.ExAmPle.", 1);
    start = p;
    p = put16(p, 0xc00c);
    p = put16(put16(p, 1), 1);
    p = put16(put32(p, 300), 4);
    p = put32(p, 0xc0000201);
    p = put_head(p, "www.example.", 1, 0x80000000, 4);
    p = put32(p, 0xc0000202);

    assert_int_equal(read_message(p), PDS_MESSAGE_ANSWER);
    assert_string_equal(seen, "www.example. 1 4 0;www.example. 1 4 0;");

    /* cut anywhere: nothing of it counts */

    for (i = 0; i < (size_t) (p - msg); i++) {
        assert_int_equal(read_message(msg + i), PDS_MESSAGE_MALFORMED);
        assert_int_equal(records, 0);
    }

    /* more behind it: authority, additional */

    assert_int_equal(read_message(p + 100), PDS_MESSAGE_ANSWER);
    assert_int_equal(records, 2);

    /* what is no answer */

    put16(msg + 2, ANSWER & ~0x8000);
    assert_int_equal(read_message(p), PDS_MESSAGE_QUERY);
    put16(msg + 2, ANSWER | 5 << 11);
    assert_int_equal(read_message(p), PDS_MESSAGE_OTHER);
    put16(msg + 2, ANSWER | 0x0200);
    assert_int_equal(read_message(p), PDS_MESSAGE_TRUNCATED);
    put16(msg + 2, ANSWER);
    put16(msg + 4, 0);
    assert_int_equal(read_message(p), PDS_MESSAGE_OTHER);
    put16(msg + 4, 2);
    assert_int_equal(read_message(p), PDS_MESSAGE_OTHER);
    put16(msg + 4, 1);
    put16(start - 4, PDS_TYPE_AXFR);
    assert_int_equal(read_message(p), PDS_MESSAGE_OTHER);
    put16(start - 4, PDS_TYPE_IXFR);
    assert_int_equal(read_message(p), PDS_MESSAGE_OTHER);
    put16(start - 4, 1);

    /* response codes other than NXDOMAIN have no data */

    put16(msg + 2, 0x8182);
    assert_int_equal(read_message(p), PDS_MESSAGE_ANSWER);
    assert_string_equal(seen, "www.example. 1 0 2;");
}


static uint8_t *
put_cname(uint8_t *p, const char *owner, const char *target)
{
    uint8_t  *len;

    p = put_head(p, owner, PDS_TYPE_CNAME, 60, 0);
    len = p - 2;
    p = put_name(p, target);
    put16(len, (unsigned) (p - len - 2));

    return p;
}


static uint8_t *
put_a(uint8_t *p, const char *owner)
{
    return put32(put_head(p, owner, 1, 60, 4), 0xc0000201);
}


static void
test_chain(void **state)
{
    char      owner[16], target[16];
    uint8_t  *p;
    unsigned  i, before;

    (void) state;

    p = put_question(put_dns(msg, ANSWER, 1, 4), "a.", 1);
    p = put_cname(p, "a.", "B.");
    p = put_cname(p, "b.", "c.");
    p = put_a(p, "C.");
    p = put_a(p, "c.");

    assert_int_equal(read_message(p), PDS_MESSAGE_ANSWER);
    assert_string_equal(seen, "a. 5 3 0;b. 5 3 0;c. 1 4 0;c. 1 4 0;");

    /* in another order */

    p = put_question(put_dns(msg, ANSWER, 1, 3), "a.", 1);
    p = put_a(p, "c.");
    p = put_cname(p, "b.", "c.");
    p = put_cname(p, "a.", "b.");

    assert_int_equal(read_message(p), PDS_MESSAGE_ANSWER);
    assert_string_equal(seen, "a. 5 3 0;b. 5 3 0;c. 1 4 0;");

    /* what was not asked for */

    before = (unsigned) reader.unrelated;
    p = put_question(put_dns(msg, ANSWER, 1, 4), "a.", 1);
    p = put_a(p, "a.");
    p = put_a(p, "bank.");
    p = put_a(p, "x.a.");
    p = put_cname(p, "c.", "a.");

    assert_int_equal(read_message(p), PDS_MESSAGE_ANSWER);
    assert_string_equal(seen, "a. 1 4 0;");
    assert_int_equal(reader.unrelated, before + 3);

    /* DNAME is above its question; its CNAME comes with it */

    p = put_question(put_dns(msg, ANSWER, 1, 5), "w.old.", 1);
    p = put_head(p, "old.", PDS_TYPE_DNAME, 60, 5);
    p = put_name(p, "new.");
    p = put_cname(p, "w.old.", "w.new.");
    p = put_a(p, "w.new.");
    p = put_a(p, "old.");
    p = put_head(p, "other.", PDS_TYPE_DNAME, 60, 5);
    p = put_name(p, "new.");

    assert_int_equal(read_message(p), PDS_MESSAGE_ANSWER);
    assert_string_equal(seen, "old. 39 5 0;w.old. 5 7 0;w.new. 1 4 0;");

    /* round in circles, and longer than anybody follows */

    p = put_question(put_dns(msg, NXDOMAIN, 1, 2), "a.", 1);
    p = put_cname(p, "a.", "b.");
    p = put_cname(p, "b.", "a.");

    assert_int_equal(read_message(p), PDS_MESSAGE_ANSWER);
    assert_string_equal(seen, "a. 5 3 0;b. 5 3 0;b. 1 0 3;");

    p = put_question(put_dns(msg, ANSWER, 1, 20), "n0.", 1);

    for (i = 0; i < 20; i++) {
        sprintf(owner, "n%u.", i);
        sprintf(target, "n%u.", i + 1);
        p = put_cname(p, owner, target);
    }

    assert_int_equal(read_message(p), PDS_MESSAGE_ANSWER);
    assert_int_equal(records, PDS_CHAIN);

    /* what does not exist is the end of the chain */

    p = put_question(put_dns(msg, NXDOMAIN, 1, 1), "a.", 28);
    p = put_cname(p, "a.", "gone.example.");

    assert_int_equal(read_message(p), PDS_MESSAGE_ANSWER);
    assert_string_equal(seen, "a. 5 14 0;gone.example. 28 0 3;");
}


static void
test_sections(void **state)
{
    uint8_t  *p;
    unsigned  i;

    (void) state;

    /* no data: OPT, TSIG, ANY, type 0 */

    p = put_question(put_dns(msg, ANSWER, 1, 5), "a.", 1);

    for (i = 0; i < 4; i++) {
        p = put_head(p, "a.", (unsigned[]) { 41, 250, 255, 0 }[i], 60, 0);
    }

    p = put_a(p, "a.");
    assert_int_equal(read_message(p), PDS_MESSAGE_ANSWER);
    assert_string_equal(seen, "a. 1 4 0;");

    /* data that its type does not have is one record less */

    p = put_question(put_dns(msg, ANSWER, 1, 2), "a.", 1);
    p = put_head(p, "a.", 1, 60, 3);
    p += 3;
    p = put_a(p, "a.");
    assert_int_equal(read_message(p), PDS_MESSAGE_ANSWER);
    assert_string_equal(seen, "a. 1 4 0;");
    assert_int_equal(reader.bad_rdata, 1);

    /* as many records as fit: of a byte each, and of none */

    p = put_question(put_dns(msg, ANSWER, 1, 4000), ".", 10);

    for (i = 0; i < 4000; i++) {
        p = put_head(p, ".", 10, 60, 1);
        *p++ = 0;
    }

    assert_int_equal(read_message(p), PDS_MESSAGE_ANSWER);
    assert_int_equal(records, 4000);

    p = put_question(put_dns(msg, ANSWER, 1, 5000), ".", 10);

    for (i = 0; i < 5000; i++) {
        p = put_head(p, ".", 10, 60, 0);
    }

    assert_int_equal(read_message(p), PDS_MESSAGE_MALFORMED);
    assert_int_equal(records, 0);
}


typedef struct {
    unsigned     type;
    unsigned     class;
    const char  *in;                   /* hex */
    const char  *out;                  /* NULL: malformed */
} rdata_case_t;


/* before the data the message has "EX." at 0, so that "c000" is "ex." */

static const rdata_case_t  rdatas[] = {
    { 1, 1, "c0000201", "c0000201" },
    { 1, 1, "c00002", NULL },
    { 1, 1, "c000020100", NULL },
    { 1, 1, "", NULL },
    { 1, 3, "0243480000c0ff", "0243480000c0ff" },      /* Chaosnet */
    { 28, 1, "20010db8000000000000000000000001",
      "20010db8000000000000000000000001" },
    { 28, 1, "20010db80000000000000000000000", NULL },
    { 2, 1, "034e5331c000", "036e733102657800" },
    { 5, 1, "c000", "02657800" },
    { 5, 1, "c00000", NULL },
    { 12, 1, "00", "00" },
    { 15, 1, "000a044d61696cc000", "000a046d61696c02657800" },
    { 15, 1, "000a", NULL },
    { 6, 1, "c0000148c0000000000100000002000000030000000400000005",
      "026578000168026578000000000100000002000000030000000400000005" },
    { 6, 1, "c0000148c00000000001000000020000000300000004000000", NULL },
    { 16, 1, "0161024120", "0161024120" },
    { 16, 1, "00", "00" },
    { 16, 1, "", NULL },
    { 16, 1, "0261", NULL },
    { 13, 1, "01410142", "01410142" },
    { 13, 1, "0141", NULL },
    { 13, 1, "014101420143", NULL },
    { 33, 1, "000100020003c000", "00010002000302657800" },
    { 35, 1, "000100020141014201430458585858c000",
      "00010002014101420143047878787802657800" },
    { 35, 1, "0001000201410142c000", NULL },
    { 46, 1, "0001080200000e1060000000600000001234024558" "00aabb",
      "0001080200000e1060000000600000001234026578" "00aabb" },
    { 46, 1, "0001080200000e1060000000600000001234c000aabb", NULL },
    { 46, 1, "0001080200000e106000000060000000123402455800", NULL },
    { 24, 1, "0001080200000e1060000000600000001234c000aabb",
      "0001080200000e106000000060000000123402657800aabb" },
    { 47, 1, "014100000140", "016100000140" },
    { 47, 1, "014100", "016100" },
    { 47, 1, "014100000240", NULL },
    { 47, 1, "0141000000", NULL },
    { 47, 1, "014100000140000140", NULL },
    { 47, 1, "014100010140000140", NULL },
    { 47, 1, "0141000021" "000000000000000000000000000000000000000000"
      "000000000000000000000000", NULL },
    { 50, 1, "01000005" "02aabb" "0401020304" "000140",
      "01000005" "02aabb" "0401020304" "000140" },
    { 50, 1, "01000005" "02aabb" "0401020304",
      "01000005" "02aabb" "0401020304" },
    { 50, 1, "01000005" "02aabb" "04010203", NULL },
    { 51, 1, "0100000500", "0100000500" },
    { 52, 1, "03010142", "03010142" },
    { 52, 1, "030101", NULL },
    { 45, 1, "010002aa", "010002aa" },
    { 45, 1, "0101020a000001aa", "0101020a000001aa" },
    { 45, 1, "0102020a000001", NULL },
    { 45, 1, "010302024558" "00aa", "010302026578" "00aa" },
    { 45, 1, "010302c000aa", NULL },
    { 45, 1, "01040200", NULL },
    { 64, 1, "000102455800" "00030002" "01bb", "000102657800" "00030002"
      "01bb" },
    { 65, 1, "0001c000", NULL },
    { 65, 1, "0000", NULL },
    { 257, 1, "0005697373756541", "0005697373756541" },
    { 257, 1, "0000", NULL },
    { 257, 1, "00", NULL },
    { 257, 1, "00056973", NULL },
    { 256, 1, "0001000241", "0001000241" },
    { 256, 1, "00010002", NULL },
    { 39, 1, "c000", "02657800" },
    { 107, 1, "0001c000", NULL },
    { 10, 1, "", "" },
    { 10, 1, "c000", "c000" },
    { 65280, 1, "c000", "c000" },
    { 65280, 1, "", "" },
    { 32769, 1, "00010802aabb", "00010802aabb" }
};


static void
test_rdata(void **state)
{
    int              n;
    size_t           i, len, want;
    uint8_t         *block, expected[256];
    static uint8_t   out[PDS_RDATA];

    (void) state;

    for (i = 0; i < sizeof(rdatas) / sizeof(rdatas[0]); i++) {
        len = 4 + strlen(rdatas[i].in) / 2;
        block = malloc(len);
        memcpy(block, "\2EX", 4);
        unit_hex(block + 4, rdatas[i].in);

        n = pds_rdata_read(out, rdatas[i].type, rdatas[i].class, block, 4,
                           len - 4);
        free(block);

        if (rdatas[i].out == NULL) {
            assert_int_equal(n, -1);
            continue;
        }

        want = unit_hex(expected, rdatas[i].out);
        assert_int_equal(n, want);
        assert_memory_equal(out, expected, want);
    }
}


/* Names that grow by what they point to, up to the largest data there is. */

static void
test_rdata_grown(void **state)
{
    int              n;
    size_t           end;
    static uint8_t   out[PDS_RDATA];

    (void) state;

    memset(msg, 'x', sizeof(msg));
    msg[0] = msg[64] = msg[128] = 63;
    msg[192] = 61;
    msg[254] = 0;
    put16(put16(msg + 255, 1), 0x0802);
    put16(msg + 255 + 18, 0xc000);

    /* SIG: 18 bytes, a name, the signature */

    end = 18 + 2 + 65535 - 18 - 255;
    n = pds_rdata_read(out, 24, 1, msg, 255, end);
    assert_int_equal(n, 65535);

    n = pds_rdata_read(out, 24, 1, msg, 255, end + 1);
    assert_int_equal(n, -1);
}


static void
test_types(void **state)
{
    char      text[PDS_NUMBER_TEXT];
    unsigned  type, named;

    (void) state;

    named = 0;

    for (type = 0; type < 65536; type++) {
        assert_true(pds_type_text(text, type) == strlen(text));
        assert_int_equal(pds_type_number(text, strlen(text)), type);
        named += (pds_type_find(type) != NULL);
    }

    assert_true(named > 90);

    pds_type_text(text, 65);
    assert_string_equal(text, "HTTPS");
    pds_type_text(text, 65280);
    assert_string_equal(text, "65280");

    assert_int_equal(pds_type_number("https", 5), 65);
    assert_int_equal(pds_type_number("TYPE65", 6), 65);
    assert_int_equal(pds_type_number("type65535", 9), 65535);
    assert_int_equal(pds_type_number("TYPE65536", 9), -1);
    assert_int_equal(pds_type_number("TYPE", 4), -1);
    assert_int_equal(pds_type_number("", 0), -1);
    assert_int_equal(pds_type_number("AA", 2), -1);
    assert_int_equal(pds_type_number("99999999999999999999", 20), -1);

    pds_class_text(text, 1);
    assert_string_equal(text, "IN");
    pds_class_text(text, 3);
    assert_string_equal(text, "CH");
    pds_class_text(text, 2);
    assert_string_equal(text, "2");

    pds_rcode_text(text, 3);
    assert_string_equal(text, "NXDOMAIN");
    pds_rcode_text(text, 11);
    assert_string_equal(text, "UNKNOWN-ERROR-11");
    assert_int_equal(pds_rcode_number("nxdomain", 8), 3);
    assert_int_equal(pds_rcode_number("notimpl", 7), 4);
    assert_int_equal(pds_rcode_number("", 0), -1);
    assert_int_equal(pds_rcode_number("NXDOMAI", 7), -1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_names_long),
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_rdata),
        cmocka_unit_test(test_rdata_grown),
        cmocka_unit_test(test_types),
    };

    return cmocka_run_group_tests_name("pdns sensor: messages", tests, NULL,
                                       NULL);
}

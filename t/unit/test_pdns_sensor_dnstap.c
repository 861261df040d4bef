
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
#include "../../sensor/pdns/pds_dnstap.h"
#include "../../sensor/pdns/pds_frames.h"


/* Dnstap: identity "me", version "1", message of so many bytes, type 1 */
#define TAP(len)      "0a026d65" "120131" "72" len
#define TAP_END       "7801"

/* Message: type, IPv4, UDP, both addresses, both ports */
#define MESSAGE(type) "08" type "1001" "1801" "2204c0000202" "2a04c6336401"   \
                      "30c19c02" "3835"

#define QUERY_TIME    "40808ee0a506" "4d78563412"
#define ANSWER_TIME   "60818ee0a506" "6d80fe2f1d"
#define QUERY         "520401020304"
#define ANSWER        "7205aabbccddee"


static uint8_t  frame[1024];


static int
read_tap(pds_dnstap_t *d, const char *hex)
{
    int       rc;
    size_t    len;
    uint8_t  *copy;

    len = unit_hex(frame, hex);
    copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, frame, len);

    rc = pds_dnstap_read(d, copy, len);

    if (rc == 1) {
        assert_true(d->message >= copy && d->message + d->len <= copy + len);
        assert_memory_equal(d->message, "\252\273\314\335\356", d->len);
    }

    free(copy);

    return rc;
}


static void
test_response(void **state)
{
    pds_dnstap_t  d;

    (void) state;

    assert_int_equal(read_tap(&d, TAP("35") MESSAGE("04") QUERY_TIME
                              ANSWER_TIME ANSWER TAP_END), 1);
    assert_int_equal(d.len, 5);
    assert_int_equal(d.client.family, 4);
    assert_memory_equal(d.client.bytes, "\300\0\2\2", 4);
    assert_memory_equal(d.server.bytes, "\306\063\144\001", 4);
    assert_true(d.time == 1689782017489684);

    /* responses of all kinds, whatever else is not one */

    assert_int_equal(read_tap(&d, TAP("1f") MESSAGE("02") ANSWER TAP_END), 1);
    assert_true(d.time == 0);
    assert_int_equal(read_tap(&d, TAP("1f") MESSAGE("06") ANSWER TAP_END), 1);
    assert_int_equal(read_tap(&d, TAP("1f") MESSAGE("08") ANSWER TAP_END), 1);
    assert_int_equal(read_tap(&d, TAP("1f") MESSAGE("0c") ANSWER TAP_END), 1);
    assert_int_equal(read_tap(&d, TAP("1f") MESSAGE("00") ANSWER TAP_END), 0);
    assert_int_equal(read_tap(&d, TAP("1f") MESSAGE("03") ANSWER TAP_END), 0);
    assert_int_equal(read_tap(&d, TAP("1f") MESSAGE("0e") ANSWER TAP_END), 0);
    assert_int_equal(read_tap(&d, TAP("1e") MESSAGE("04") QUERY TAP_END), 0);
    assert_int_equal(read_tap(&d, TAP("1f") MESSAGE("04") ANSWER "7802"), 0);
    assert_int_equal(read_tap(&d, TAP("1f") MESSAGE("04") ANSWER), 0);
    assert_int_equal(read_tap(&d, TAP_END), 0);
    assert_int_equal(read_tap(&d, ""), 0);

    /* the time of the query, where there is no other */

    assert_int_equal(read_tap(&d, TAP("2a") MESSAGE("04") QUERY_TIME ANSWER
                              TAP_END), 1);
    assert_true(d.time == 1689782016305419);

    /* one that cannot be */

    assert_int_equal(read_tap(&d, TAP("2a") MESSAGE("04")
                              "60ffffffffffffffffff01" ANSWER TAP_END), 1);
    assert_true(d.time == 0);

    /* IPv6, and no address at all */

    assert_int_equal(read_tap(&d, "7219" "0804" "2a10"
                              "20010db8000000000000000000000001"
                              "7203aabbcc" TAP_END), 1);
    assert_int_equal(d.client.family, 0);
    assert_int_equal(d.server.family, 6);
    assert_int_equal(d.server.bytes[15], 1);

    /* fields that nobody knows, of every kind */

    assert_int_equal(read_tap(&d, "f80105" "f901" "0102030405060708" "fa01"
                              "00" "fd01" "01020304" "7205" "0804"
                              "7201aa" TAP_END), 1);

    /* a field of another kind than it should have */

    assert_int_equal(read_tap(&d, "7209" "0804" "7005" "7203aabbcc" TAP_END),
                     1);
    assert_int_equal(read_tap(&d, "7209" "0a00" "0804" "7203aabbcc" "7a00"
                              TAP_END), 1);
}


static void
test_malformed(void **state)
{
    int            rc;
    size_t         i, len;
    uint8_t       *copy;
    pds_dnstap_t   d;

    (void) state;

    /* groups, field 0, numbers that do not end or are too large */

    assert_int_equal(read_tap(&d, "0b0c"), -1);
    assert_int_equal(read_tap(&d, "0001"), -1);
    assert_int_equal(read_tap(&d, "78ffffffffffffffffffff01"), -1);
    assert_int_equal(read_tap(&d, "ffffffffff0f"), -1);
    assert_int_equal(read_tap(&d, "f8ffffffff7f01"), -1);
    assert_int_equal(read_tap(&d, "72ffffffffffffffffff01"), -1);
    assert_int_equal(read_tap(&d, "72050804" TAP_END), -1);
    assert_int_equal(read_tap(&d, "72027205" TAP_END), -1);
    assert_int_equal(read_tap(&d, "7e"), -1);

    /* cut anywhere: never a response */

    len = unit_hex(frame, TAP("35") MESSAGE("04") QUERY_TIME ANSWER_TIME ANSWER
                   TAP_END);

    for (i = 0; i < len; i++) {
        copy = malloc(i == 0 ? 1 : i);
        memcpy(copy, frame, i);
        rc = pds_dnstap_read(&d, copy, i);
        assert_true(rc == 0 || rc == -1);
        free(copy);
    }
}


static unsigned   frames;
static size_t     frame_bytes;


static void
take(void *data, const uint8_t *p, size_t len)
{
    size_t  i;

    assert_ptr_equal(data, &frames);

    for (i = 0; i < len; i++) {
        assert_int_equal(p[i], (uint8_t) (len + i));
    }

    frames++;
    frame_bytes += len;
}


static uint8_t *
put_frame(uint8_t *p, size_t len)
{
    size_t  i;

    p = put32(p, (uint32_t) len);

    for (i = 0; i < len; i++) {
        *p++ = (uint8_t) (len + i);
    }

    return p;
}


static uint8_t *
put_control(uint8_t *p, unsigned type, const char *content)
{
    size_t  n;

    n = (content != NULL) ? 8 + strlen(content) : 0;

    p = put32(p, 0);
    p = put32(p, 4 + (uint32_t) n);
    p = put32(p, type);

    if (content != NULL) {
        p = put32(p, 1);
        p = put32(p, (uint32_t) (n - 8));
        memcpy(p, content, n - 8);
        p += n - 8;
    }

    return p;
}


static int
feed(pds_frames_t *f, const uint8_t *p, size_t len, size_t piece)
{
    int       rc;
    size_t    n;
    uint8_t  *copy;

    for (rc = 0; rc == 0 && len != 0; p += n, len -= n) {
        n = (len < piece) ? len : piece;
        copy = malloc(n);
        memcpy(copy, p, n);
        rc = pds_frames_add(f, copy, n);
        free(copy);
    }

    return rc;
}


static void
begin(pds_frames_t *f)
{
    pds_frames_init(f);
    f->frame = take;
    f->data = &frames;
    frames = 0;
    frame_bytes = 0;
}


static void
test_frames(void **state)
{
    size_t           piece, len, i;
    uint8_t         *p, reply[64], *end;
    pds_frames_t     f;
    static uint8_t   in[400000];

    static const size_t  sizes[] = { 1, 2, 3, 4, 5, 100, 4092, 4093, 70000,
                                     PDS_FRAME_MAX, 7 };

    (void) state;

    /* a file: in one direction */

    p = put_control(in, FSTRM_CONTROL_START, PDS_DNSTAP_CONTENT);

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        p = put_frame(p, sizes[i]);
    }

    p = put_control(p, FSTRM_CONTROL_STOP, NULL);
    len = (size_t) (p - in);

    for (piece = 1; piece < len; piece = piece * 3 + 1) {
        begin(&f);
        assert_int_equal(feed(&f, in, len, piece), 1);
        assert_int_equal(frames, 11);
        assert_int_equal(f.reply_len, 0);
        assert_true(f.size <= PDS_FRAME_MAX + 4);
        pds_frames_free(&f);
    }

    /* a socket: the reply to READY, and that to STOP */

    p = put_control(in, FSTRM_CONTROL_READY, PDS_DNSTAP_CONTENT);
    begin(&f);
    assert_int_equal(feed(&f, in, (size_t) (p - in), 1), 0);
    end = put_control(reply, FSTRM_CONTROL_ACCEPT, PDS_DNSTAP_CONTENT);
    assert_int_equal(f.reply_len, end - reply);
    assert_memory_equal(f.reply, reply, f.reply_len);
    f.reply_len = 0;

    p = put_control(in, FSTRM_CONTROL_START, PDS_DNSTAP_CONTENT);
    p = put_frame(p, 10);
    assert_int_equal(feed(&f, in, (size_t) (p - in), 3), 0);
    assert_int_equal(frames, 1);
    assert_int_equal(f.reply_len, 0);

    p = put_control(in, FSTRM_CONTROL_STOP, NULL);
    assert_int_equal(feed(&f, in, (size_t) (p - in), 100), 1);
    end = put_control(reply, FSTRM_CONTROL_FINISH, NULL);
    assert_int_equal(f.reply_len, end - reply);
    assert_memory_equal(f.reply, reply, f.reply_len);
    pds_frames_free(&f);

    /* no content named is any content */

    p = put_control(in, FSTRM_CONTROL_READY, NULL);
    p = put_control(p, FSTRM_CONTROL_START, NULL);
    p = put_frame(p, 10);
    begin(&f);
    assert_int_equal(feed(&f, in, (size_t) (p - in), 5), 0);
    assert_int_equal(frames, 1);
    pds_frames_free(&f);
}


static void
refused(const uint8_t *p, const uint8_t *end)
{
    pds_frames_t  f;

    begin(&f);
    assert_int_equal(feed(&f, p, (size_t) (end - p), 7), -1);
    assert_int_equal(frames, 0);
    assert_int_equal(f.reply_len, 0);
    pds_frames_free(&f);
}


static void
test_frames_refused(void **state)
{
    uint8_t  in[1024], *p;

    (void) state;

    /* other content, data before START, a reply of ours, no such frame */

    refused(in, put_control(in, FSTRM_CONTROL_START, "other"));
    refused(in, put_control(in, FSTRM_CONTROL_READY, "other"));
    refused(in, put_frame(in, 10));
    refused(in, put_control(in, FSTRM_CONTROL_ACCEPT, NULL));
    refused(in, put_control(in, FSTRM_CONTROL_STOP, NULL));
    refused(in, put_control(in, 77, NULL));

    p = put_control(in, FSTRM_CONTROL_START, NULL);
    refused(in, put_control(p, FSTRM_CONTROL_START, NULL));
    refused(in, put_control(p, FSTRM_CONTROL_READY, NULL));

    /* lengths: too large, a control frame that is empty, or too large */

    refused(in, put32(put32(p, PDS_FRAME_MAX + 1), 0));
    refused(in, put32(put32(p, 0xffffffff), 0));
    refused(in, put32(put32(put32(p, 0), 0), 0));
    refused(in, put32(put32(put32(p, 0), 513), 0));

    /* a content that does not end where it says */

    p = put_control(in, FSTRM_CONTROL_START, PDS_DNSTAP_CONTENT);
    put32(in + 16, 100);
    refused(in, p);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_response),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_frames_refused),
    };

    return cmocka_run_group_tests_name("pdns sensor: dnstap", tests, NULL,
                                       NULL);
}

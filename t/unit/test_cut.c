
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../sensor/d4_cut.h"


#define MAX_PIECES  4096


/* what a cutter makes of an input */

typedef struct {
    size_t    n;
    size_t    len[MAX_PIECES];
    unsigned  start[MAX_PIECES];
    unsigned  end[MAX_PIECES];
    uint8_t   bytes[65536];
    size_t    total;
    int       has_header;
    uint8_t   header[D4_PCAP_HEADER];
} result_t;


static void
take(d4_cut_t *c, d4_cut_how_t how, result_t *r)
{
    d4_piece_t  p;

    while (d4_cut_next(c, how, &p)) {
        assert_true(p.len >= 1 && p.len <= c->max);
        assert_true(r->n < MAX_PIECES);
        assert_true(r->total + p.len <= sizeof(r->bytes));

        r->len[r->n] = p.len;
        r->start[r->n] = p.start;
        r->end[r->n] = p.end;
        r->n++;

        memcpy(r->bytes + r->total, p.data, p.len);
        r->total += p.len;
    }
}


static void
feed(d4_cut_t *c, const uint8_t *p, size_t n, result_t *r)
{
    size_t    len, room;
    uint8_t  *buf;

    while (n != 0) {
        buf = d4_cut_room(c, &room);
        assert_true(room != 0);

        len = n < room ? n : room;
        memcpy(buf, p, len);
        d4_cut_added(c, len);
        take(c, D4_CUT_FULL, r);

        p += len;
        n -= len;
    }
}


static void
finish(d4_cut_t *c, result_t *r)
{
    take(c, D4_CUT_ALL, r);

    r->has_header = (d4_cut_header(c) != NULL);

    if (r->has_header) {
        memcpy(r->header, d4_cut_header(c), D4_PCAP_HEADER);
    }
}


static void
expect(const result_t *a, const result_t *b)
{
    size_t  i;

    assert_int_equal(a->n, b->n);

    for (i = 0; i < a->n; i++) {
        assert_int_equal(a->len[i], b->len[i]);
        assert_int_equal(a->start[i], b->start[i]);
        assert_int_equal(a->end[i], b->end[i]);
    }

    assert_int_equal(a->total, b->total);
    assert_memory_equal(a->bytes, b->bytes, a->total);
    assert_int_equal(a->has_header, b->has_header);

    if (a->has_header) {
        assert_memory_equal(a->header, b->header, D4_PCAP_HEADER);
    }
}


/*
 * The same from the whole input at once: border[i] says that the content may
 * be cut in front of byte i.
 */

static void
model(result_t *r, const uint8_t *p, size_t n, const uint8_t *border,
    size_t max)
{
    int     begun;
    size_t  pos, len, i;

    memset(r, 0, sizeof(result_t));
    memcpy(r->bytes, p, n);

    r->total = n;
    begun = 0;

    for (pos = 0; pos < n; pos += len) {
        r->start[r->n] = !begun;

        if (n - pos < max) {
            len = n - pos;
            r->end[r->n] = 1;

        } else {
            len = max;

            for (i = max; i > 0; i--) {
                if (border[pos + i]) {
                    len = i;
                    break;
                }
            }

            r->end[r->n] = border[pos + len];
        }

        begun = !r->end[r->n];
        r->len[r->n++] = len;
    }
}


/* All in one piece, cut in two everywhere, and byte by byte. */

static void
every_split(d4_cut_kind_t kind, size_t max, const uint8_t *p, size_t n,
    const result_t *right)
{
    size_t            i, j;
    d4_cut_t          c;
    static result_t   r;

    for (i = 0; i <= n + 1; i++) {
        memset(&r, 0, sizeof(result_t));
        assert_int_equal(d4_cut_init(&c, kind, max), 0);

        if (i <= n) {
            feed(&c, p, i, &r);
            feed(&c, p + i, n - i, &r);

        } else {
            for (j = 0; j < n; j++) {
                feed(&c, p + j, 1, &r);
            }
        }

        finish(&c, &r);
        expect(&r, right);
        d4_cut_free(&c);
    }
}


static void
test_lines(void **state)
{
    size_t             i, max, n;
    uint8_t            border[256];
    static result_t    right;

    static const char  *texts[] = {
        "", "\n", "\n\n\n", "one\n", "no newline", "one\ntwo\nthree\n",
        "one\ntwo\nthe third has no end",
        "a line which is longer than most of the limits here, by far\nx\n",
        "x\na line which is longer than most of the limits here, by far\n",
        "12345678\n12345678\n1234567\n\n1234567",
    };

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        n = strlen(texts[i]);
        memset(border, 0, sizeof(border));

        for (max = 0; max < n; max++) {
            border[max + 1] = (texts[i][max] == '\n');
        }

        for (max = 1; max <= n + 2; max++) {
            model(&right, (const uint8_t *) texts[i], n, border, max);
            every_split(D4_CUT_LINES, max, (const uint8_t *) texts[i], n,
                        &right);
        }
    }
}


static void
test_raw(void **state)
{
    size_t             max;
    uint8_t            border[64];
    static result_t    right;

    static const char  text[] = "raw \n content\0 of any kind";

    (void) state;

    memset(border, 1, sizeof(border));

    for (max = 1; max <= sizeof(text) + 1; max++) {
        model(&right, (const uint8_t *) text, sizeof(text), border, max);
        every_split(D4_CUT_RAW, max, (const uint8_t *) text, sizeof(text),
                    &right);
    }
}


static uint8_t *
put32(uint8_t *p, uint32_t v, int big)
{
    int  i;

    for (i = 0; i < 4; i++) {
        p[i] = (uint8_t) (v >> (big ? 24 - 8 * i : 8 * i));
    }

    return p + 4;
}


static uint8_t *
put_header(uint8_t *p, uint32_t magic, uint32_t snaplen, int big)
{
    p = put32(p, magic, big);
    p = put32(p, big ? 0x00020004 : 0x00040002, big);
    p = put32(p, 0, big);
    p = put32(p, 0, big);
    p = put32(p, snaplen, big);

    return put32(p, 1, big);
}


static uint8_t *
put_record(uint8_t *p, uint32_t len, int big)
{
    uint32_t  i;

    p = put32(p, 1700000000, big);
    p = put32(p, 123456, big);
    p = put32(p, len, big);
    p = put32(p, len + 10, big);

    for (i = 0; i < len; i++) {
        *p++ = (uint8_t) (i * 7 + len);
    }

    return p;
}


static void
test_pcap(void **state)
{
    int              big, m;
    size_t           i, n, max;
    uint8_t          file[1024], border[1024], *p;
    static result_t  right;

    static const uint32_t  magic[] = { 0xa1b2c3d4, 0xa1b23c4d };
    static const uint32_t  lens[] = { 0, 1, 60, 0, 200, 13, 16, 15 };

    (void) state;

    for (big = 0; big < 2; big++) {
        for (m = 0; m < 2; m++) {

            p = put_header(file, magic[m], 262144, big);
            memset(border, 0, sizeof(border));

            for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
                p = put_record(p, lens[i], big);
                border[p - file - D4_PCAP_HEADER] = 1;
            }

            n = p - file;

            for (max = 1; max <= n; max += (max < 40 ? 1 : 23)) {
                model(&right, file + D4_PCAP_HEADER, n - D4_PCAP_HEADER,
                      border, max);

                right.has_header = 1;
                memcpy(right.header, file, D4_PCAP_HEADER);

                every_split(D4_CUT_PCAP, max, file, n, &right);
            }

            /* the last record is not whole */

            model(&right, file + D4_PCAP_HEADER, n - D4_PCAP_HEADER - 9,
                  border, 64);

            right.has_header = 1;
            memcpy(right.header, file, D4_PCAP_HEADER);

            every_split(D4_CUT_PCAP, 64, file, n - 9, &right);
        }
    }
}


/* What is no pcap goes out as it came, the first bytes as well. */

static void
test_pcap_not(void **state)
{
    size_t           n;
    d4_cut_t         c;
    static uint8_t   text[300];
    static result_t  r;

    (void) state;

    memset(text, 'x', sizeof(text));

    for (n = 0; n < sizeof(text); n++) {
        text[n] = (uint8_t) n;
    }

    for (n = 0; n <= sizeof(text); n++) {
        memset(&r, 0, sizeof(result_t));
        assert_int_equal(d4_cut_init(&c, D4_CUT_PCAP, 10), 0);

        feed(&c, text, n, &r);
        finish(&c, &r);

        assert_false(r.has_header);
        assert_int_equal(r.total, n);
        assert_memory_equal(r.bytes, text, n);
        assert_int_equal(d4_cut_strange(&c), n >= D4_PCAP_HEADER);

        d4_cut_free(&c);
    }
}


/* A record that cannot be: the rest is not understood, but not lost. */

static void
test_pcap_lost(void **state)
{
    size_t           n;
    uint8_t          file[256], *p;
    d4_cut_t         c;
    static result_t  r;

    (void) state;

    p = put_header(file, 0xa1b2c3d4, 262144, 0);
    p = put_record(p, 20, 0);
    p = put32(p, 1, 0);
    p = put32(p, 2, 0);
    p = put32(p, 262145, 0);
    p = put32(p, 262145, 0);
    memset(p, 'y', 100);
    n = p + 100 - file;

    memset(&r, 0, sizeof(result_t));
    assert_int_equal(d4_cut_init(&c, D4_CUT_PCAP, 50), 0);

    feed(&c, file, n, &r);
    assert_true(d4_cut_strange(&c));
    finish(&c, &r);

    assert_true(r.has_header);
    assert_int_equal(r.total, n - D4_PCAP_HEADER);
    assert_memory_equal(r.bytes, file + D4_PCAP_HEADER, r.total);
    d4_cut_free(&c);

    /* one byte less is a record, as is a larger one if the file says so */

    for (n = 0; n < 2; n++) {
        put_header(file, 0xa1b2c3d4, n == 0 ? 96 : 1000000, 0);
        put32(file + D4_PCAP_HEADER + 36 + 8, n == 0 ? 262144 : 1000000, 0);

        memset(&r, 0, sizeof(result_t));
        assert_int_equal(d4_cut_init(&c, D4_CUT_PCAP, 50), 0);
        feed(&c, file, p + 100 - file, &r);
        assert_false(d4_cut_strange(&c));
        d4_cut_free(&c);
    }
}


/* Captures that were joined: nothing goes with the header of another one. */

static void
test_pcap_joined(void **state)
{
    size_t           i, j, n, len, max, room;
    uint8_t          file[1024], *p, *second, *third, *end, *buf;
    d4_cut_t         c;
    d4_piece_t       piece;
    static uint8_t   got[1024];

    (void) state;

    p = put_header(file, 0xa1b2c3d4, 262144, 0);
    p = put_record(p, 60, 0);
    p = put_record(p, 20, 0);
    second = p;
    p = put_header(p, 0xa1b23c4d, 65535, 1);
    p = put_record(p, 30, 1);
    p = put_record(p, 100, 1);
    third = p;
    p = put_header(p, 0xa1b23c4d, 65535, 1);
    p = put_record(p, 40, 1);
    end = p;
    len = end - file;

    for (max = 16; max <= 300; max += (max < 130 ? 1 : 50)) {
        for (i = 1; i <= len; i++) {

            assert_int_equal(d4_cut_init(&c, D4_CUT_PCAP, max), 0);
            n = 0;

            for (j = 0; j <= len; /* void */ ) {

                while (d4_cut_next(&c, j == len ? D4_CUT_ALL : D4_CUT_FULL,
                                   &piece))
                {
                    /* put back into the stream where it stood */

                    if (n == 0 || n == (size_t) (second - file)
                        || n == (size_t) (third - file))
                    {
                        assert_true(piece.start);
                        memcpy(got + n, d4_cut_header(&c), D4_PCAP_HEADER);
                        n += D4_PCAP_HEADER;
                    }

                    assert_true(n + piece.len <= len);
                    assert_memory_equal(d4_cut_header(&c),
                                        n < (size_t) (second - file) ? file
                                        : n < (size_t) (third - file) ? second
                                        : third, D4_PCAP_HEADER);
                    memcpy(got + n, piece.data, piece.len);
                    n += piece.len;
                }

                if (j == len) {
                    break;
                }

                buf = d4_cut_room(&c, &room);

                if (room > i) {
                    room = i;
                }

                if (room > len - j) {
                    room = len - j;
                }

                memcpy(buf, file + j, room);
                d4_cut_added(&c, room);
                j += room;
            }

            assert_int_equal(n, len);
            assert_memory_equal(got, file, len);
            assert_false(d4_cut_strange(&c));
            assert_int_equal(c.headers, 3);
            d4_cut_free(&c);
        }
    }

    /* cut off within the second header: what came of it is not lost */

    for (i = 17; i < D4_PCAP_HEADER; i++) {
        assert_int_equal(d4_cut_init(&c, D4_CUT_PCAP, 300), 0);
        buf = d4_cut_room(&c, &room);
        memcpy(buf, file, second - file + i);
        d4_cut_added(&c, second - file + i);

        assert_true(d4_cut_next(&c, D4_CUT_ALL, &piece));
        assert_int_equal(piece.len, second - file - D4_PCAP_HEADER);
        assert_true(d4_cut_next(&c, D4_CUT_ALL, &piece));
        assert_int_equal(piece.len, i);
        assert_memory_equal(piece.data, second, i);
        assert_memory_equal(d4_cut_header(&c), file, D4_PCAP_HEADER);
        assert_false(d4_cut_next(&c, D4_CUT_ALL, &piece));
        d4_cut_free(&c);
    }
}


/* Lingering: what ends at a border goes, what does not stays. */

static void
test_flush(void **state)
{
    uint8_t          file[256], *p;
    d4_cut_t         c;
    static result_t  r;

    (void) state;

    memset(&r, 0, sizeof(result_t));
    assert_int_equal(d4_cut_init(&c, D4_CUT_LINES, 64), 0);

    feed(&c, (const uint8_t *) "one\ntwo\nthr", 11, &r);
    assert_int_equal(r.n, 0);
    assert_int_equal(d4_cut_ready(&c), 8);

    take(&c, D4_CUT_FLUSH, &r);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.len[0], 8);
    assert_true(r.start[0] && r.end[0]);
    assert_int_equal(d4_cut_ready(&c), 0);

    feed(&c, (const uint8_t *) "ee\n", 3, &r);
    assert_int_equal(d4_cut_ready(&c), 6);
    take(&c, D4_CUT_FLUSH, &r);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.len[1], 6);
    assert_memory_equal(r.bytes, "one\ntwo\nthree\n", 14);
    d4_cut_free(&c);

    memset(&r, 0, sizeof(result_t));
    assert_int_equal(d4_cut_init(&c, D4_CUT_PCAP, 200), 0);
    assert_null(d4_cut_header(&c));

    p = put_header(file, 0xa1b2c3d4, 262144, 1);
    p = put_record(p, 20, 1);
    p = put_record(p, 30, 1);

    feed(&c, file, p - 1 - file, &r);
    assert_non_null(d4_cut_header(&c));
    assert_int_equal(d4_cut_ready(&c), 36);
    take(&c, D4_CUT_FLUSH, &r);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.len[0], 36);

    feed(&c, p - 1, 1, &r);
    assert_int_equal(d4_cut_ready(&c), 46);
    take(&c, D4_CUT_FLUSH, &r);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.len[1], 46);
    d4_cut_free(&c);

    memset(&r, 0, sizeof(result_t));
    assert_int_equal(d4_cut_init(&c, D4_CUT_RAW, 64), 0);
    feed(&c, (const uint8_t *) "abc", 3, &r);
    assert_int_equal(d4_cut_ready(&c), 3);
    take(&c, D4_CUT_FLUSH, &r);
    assert_int_equal(r.n, 1);
    d4_cut_free(&c);
}


static void
test_restart(void **state)
{
    int              broken;
    uint8_t          file[512], *p, *first;
    d4_cut_t         c;
    static result_t  r;

    (void) state;

    /* a line that its writer did not finish */

    memset(&r, 0, sizeof(result_t));
    assert_int_equal(d4_cut_init(&c, D4_CUT_LINES, 8), 0);
    feed(&c, (const uint8_t *) "one\ntw", 6, &r);
    take(&c, D4_CUT_FLUSH, &r);
    assert_int_equal(d4_cut_restart(&c, &broken), 0);
    assert_int_equal(broken, 0);
    take(&c, D4_CUT_FLUSH, &r);
    feed(&c, (const uint8_t *) "three\n", 6, &r);
    finish(&c, &r);
    assert_int_equal(r.total, 13);
    assert_memory_equal(r.bytes, "one\ntw\nthree\n", 13);

    /* and one of which all that was read has been handed out */

    memset(&r, 0, sizeof(result_t));
    feed(&c, (const uint8_t *) "12345678", 8, &r);
    assert_int_equal(r.n, 1);
    assert_false(r.end[0]);
    d4_cut_restart(&c, &broken);
    take(&c, D4_CUT_FLUSH, &r);
    assert_int_equal(r.n, 2);
    assert_false(r.start[1]);
    assert_true(r.end[1]);
    assert_memory_equal(r.bytes, "12345678\n", 9);

    /* nothing is unfinished */

    memset(&r, 0, sizeof(result_t));
    d4_cut_restart(&c, &broken);
    take(&c, D4_CUT_ALL, &r);
    assert_int_equal(r.n, 0);
    d4_cut_free(&c);

    /* a capture that ends within a record, of which a part has gone */

    p = put_header(file, 0xa1b2c3d4, 262144, 0);
    p = put_record(p, 20, 0);
    first = p;
    p = put_record(p, 100, 0);

    memset(&r, 0, sizeof(result_t));
    assert_int_equal(d4_cut_init(&c, D4_CUT_PCAP, 64), 0);
    feed(&c, file, first + 30 - file, &r);
    take(&c, D4_CUT_FLUSH, &r);
    assert_int_equal(d4_cut_restart(&c, &broken), 30);
    assert_int_equal(broken, 0);
    assert_null(d4_cut_header(&c));

    feed(&c, file, p - 10 - file, &r);
    take(&c, D4_CUT_FLUSH, &r);
    assert_int_equal(d4_cut_restart(&c, &broken), 42);
    assert_int_equal(broken, 1);

    /* the next one is a capture again, here of the other byte order */

    memset(&r, 0, sizeof(result_t));
    p = put_header(file, 0xa1b23c4d, 262144, 1);
    p = put_record(p, 20, 1);
    feed(&c, file, p - file, &r);
    finish(&c, &r);
    assert_true(r.has_header);
    assert_memory_equal(r.header, file, D4_PCAP_HEADER);
    assert_int_equal(r.n, 1);
    assert_true(r.start[0] && r.end[0]);
    assert_int_equal(r.total, 36);
    d4_cut_free(&c);
}


static void
test_resize(void **state)
{
    int              rc;
    d4_cut_t         c;
    d4_piece_t       piece;
    static result_t  r;

    (void) state;

    memset(&r, 0, sizeof(result_t));
    assert_int_equal(d4_cut_init(&c, D4_CUT_LINES, 32), 0);
    feed(&c, (const uint8_t *) "one\nabcdefghijklmnop", 20, &r);
    take(&c, D4_CUT_FLUSH, &r);
    assert_int_equal(r.n, 1);

    while ((rc = d4_cut_resize(&c, 5)) == 1) {
        assert_int_equal(d4_cut_split(&c, 5, &piece), 1);
        assert_true(piece.len <= 5);
        memcpy(r.bytes + r.total, piece.data, piece.len);
        r.total += piece.len;
    }

    assert_int_equal(rc, 0);
    feed(&c, (const uint8_t *) "qr\nst\n", 6, &r);
    finish(&c, &r);
    assert_int_equal(r.total, 26);
    assert_memory_equal(r.bytes, "one\nabcdefghijklmnopqr\nst\n", 26);

    assert_int_equal(d4_cut_resize(&c, 100), 0);
    assert_int_equal(d4_cut_split(&c, 5, &piece), 0);
    memset(&r, 0, sizeof(result_t));
    feed(&c, (const uint8_t *) "0123456789012345\n", 17, &r);
    finish(&c, &r);
    assert_int_equal(r.n, 1);
    d4_cut_free(&c);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_pcap),
        cmocka_unit_test(test_pcap_not),
        cmocka_unit_test(test_pcap_lost),
        cmocka_unit_test(test_pcap_joined),
        cmocka_unit_test(test_flush),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_resize),
    };

    return cmocka_run_group_tests_name("cut", tests, NULL, NULL);
}

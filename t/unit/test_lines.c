
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "text_records.h"
#include "nomem.h"


#define S(text)  (const uint8_t *) text, sizeof(text) - 1


static d4_decoder_t *
create(d4_pool_t *pool, size_t max)
{
    return d4_lines_create(pool, max, ".syslog.txt");
}


/* Pieces of *data bytes. */

static size_t
equal(void *data, size_t left)
{
    size_t  n;

    n = *(size_t *) data;

    return (n < left) ? n : left;
}


/* Two pieces, the first of *data bytes. */

static size_t
two(void *data, size_t left)
{
    size_t  n;

    n = *(size_t *) data;
    *(size_t *) data = SIZE_MAX;

    return (n < left) ? n : left;
}


/* What has to come out, found in another way: from the whole, byte by byte. */

static void
model(text_records_t *t, size_t max, const uint8_t *p, size_t len)
{
    size_t       i, from;
    d4_record_t  r;

    t->room = len;
    t->bytes = malloc(len + 1);
    assert_non_null(t->bytes);

    for (from = 0, i = 0; i < len; i++) {
        memset(&r, 0, sizeof(d4_record_t));
        r.data = p + from;
        r.element = i - from;

        if (p[i] == '\n') {
            r.len = r.element + 1;

        } else if (r.element == max) {
            r.len = max;
            r.cut = 1;
            r.reason = "";

        } else {
            continue;
        }

        text_add(t, &r, max);
        from += r.len;
    }

    if (from != len) {
        memset(&r, 0, sizeof(d4_record_t));
        r.data = p + from;
        r.len = r.element = len - from;
        text_add(t, &r, max);
    }
}


/* The same records at any split in two, in pieces of a few sizes. */

static void
check(size_t max, const uint8_t *p, size_t len)
{
    int             renew;
    size_t          i, n;
    text_records_t  want, got;

    memset(&want, 0, sizeof(text_records_t));
    memset(&got, 0, sizeof(text_records_t));
    model(&want, max, p, len);

    for (renew = 0; renew <= 1; renew++) {
        for (i = 1; i <= len; i++) {
            n = i;
            text_run(&got, create, max, renew, p, len, two, &n);
            assert_true(text_same(&got, &want));
            text_free(&got);
        }

        for (i = 1; i <= 9; i++) {
            text_run(&got, create, max, renew, p, len, equal, &i);
            assert_true(text_same(&got, &want));
            text_free(&got);
        }
    }

    text_free(&want);
}


static void
test_records(void **state)
{
    size_t  i, max;

    static const struct {
        const uint8_t  *p;
        size_t          len;
    } list[] = {
        { S("") },
        { S("a") },
        { S("a\n") },
        { S("a\nb") },
        { S("one\ntwo\nthree\n") },
        { S("one\r\ntwo\r\n\r\nthree\r") },
        { S("\n") },
        { S("\n\n\n\n\n\n") },
        { S("\n\na\n\n\nbc\n\n") },
        { S("\0\n\0\0\n\0") },
        { S("a\0b\n\0\xff\xfe\n\x80") },
        { S("no line feed at all") },
        { S("{\"a\":1}\n{\"b\":[2,\"\\n\"]}\n") },
        { S("1234567890123456\n12345678\n1234567890\n") },
    };

    (void) state;

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        for (max = 1; max <= 20; max++) {
            check(max, list[i].p, list[i].len);
        }

        check(1000, list[i].p, list[i].len);
    }
}


/* What the published server made two lines of, and what it lost. */

static void
test_named(void **state)
{
    size_t          n;
    text_records_t  t;

    (void) state;

    memset(&t, 0, sizeof(text_records_t));
    n = 4;
    text_run(&t, create, 100, 0, S("a\nbcd\r\n\nlast"), equal, &n);

    assert_int_equal(t.n, 4);
    assert_int_equal(t.list[0].len, 2);
    assert_int_equal(t.list[0].element, 1);
    assert_int_equal(t.list[1].len, 5);
    assert_int_equal(t.list[1].element, 4);
    assert_int_equal(t.list[2].len, 1);
    assert_int_equal(t.list[2].element, 0);
    assert_int_equal(t.list[3].len, 4);
    assert_int_equal(t.list[3].element, 4);

    text_free(&t);
}


/* Lines on, below and above the limit, and of several times its length. */

static void
test_limit(void **state)
{
    size_t    i, j, max, len;
    uint8_t  *p;

    static const size_t  maxima[] = { 1, 2, 7, 64 };

    (void) state;

    for (i = 0; i < sizeof(maxima) / sizeof(maxima[0]); i++) {
        max = maxima[i];
        p = malloc(3 * (4 * max + 3) + 3);
        assert_non_null(p);

        for (j = max - 1; j <= 4 * max + 1; j++) {
            len = 0;

            /* the long line first, between others, and last, unended */

            memset(p, 'a', j);
            len += j;
            p[len++] = '\n';
            p[len++] = 'x';
            p[len++] = '\n';
            memset(p + len, 'b', j);
            len += j;
            p[len++] = '\n';
            memset(p + len, 'c', j);
            len += j;

            check(max, p, len);
        }

        free(p);
    }
}


/* The parts of a long line, said in so many words. */

static void
test_parts(void **state)
{
    size_t          i, n;
    text_records_t  t;

    (void) state;

    for (n = 1; n <= 40; n++) {
        memset(&t, 0, sizeof(text_records_t));
        text_run(&t, create, 10, 0, S("123456789012345678901234567890\n"
                                      "1234567890\n12345678901\n1234567890"),
                 equal, &n);

        assert_int_equal(t.n, 7);

        for (i = 0; i < 7; i++) {
            assert_int_equal(t.list[i].cut, i < 2 || i == 4);
            assert_int_equal(t.list[i].element, (i == 5) ? 1 : 10);
            assert_int_equal(t.list[i].len,
                             t.list[i].element + !(i < 2 || i == 4 || i == 6));
        }

        text_free(&t);
    }
}


/* Without a limit of one's own it is the one of d4_decoder.h. */

static void
test_default(void **state)
{
    size_t          i, n, len;
    uint8_t        *p;
    d4_pool_t       pool;
    d4_decoder_t   *d;
    text_records_t  t;

    static const size_t  pieces[] = { 1, 4096, 65536, 10000000 };

    (void) state;

    d4_pool_init(&pool, 0);
    d = d4_lines_create(&pool, 0, ".txt");
    assert_non_null(d);
    assert_int_equal(d->max, D4_RECORD_LINE);
    assert_string_equal(d->suffix, ".txt");
    assert_null(d->preamble);
    assert_int_equal(d->preamble_len, 0);
    assert_int_equal(d4_decoder_held(d), 0);
    assert_int_equal(d4_decoder_restore(d, NULL, 0, 1), 0);
    assert_int_equal(d4_decoder_restore(d, (const uint8_t *) "x", 1, 0), -1);
    d4_decoder_free(d);

    len = 3 * D4_RECORD_LINE + 1;
    p = malloc(len);
    assert_non_null(p);
    memset(p, 'x', len);
    p[D4_RECORD_LINE] = '\n';

    for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        n = pieces[i];
        memset(&t, 0, sizeof(text_records_t));
        text_run(&t, create, D4_RECORD_LINE, 0, p, len, equal, &n);

        assert_int_equal(t.n, 3);
        assert_int_equal(t.list[0].element, D4_RECORD_LINE);
        assert_int_equal(t.list[0].len, D4_RECORD_LINE + 1);
        assert_int_equal(t.list[0].cut, 0);
        assert_int_equal(t.list[1].element, D4_RECORD_LINE);
        assert_int_equal(t.list[1].cut, 1);
        assert_int_equal(t.list[2].len, D4_RECORD_LINE);
        assert_int_equal(t.list[2].cut, 0);

        text_free(&t);
    }

    free(p);
}


/* A line that lies whole in the input is handed out where it lies. */

static void
test_in_place(void **state)
{
    d4_pool_t       pool;
    d4_record_t     r;
    d4_decoder_t   *d;
    const uint8_t  *p;

    static const uint8_t  input[] = "one\ntwo\nthr";
    static const uint8_t  rest[] = "ee\nfour\n";

    (void) state;

    d4_pool_init(&pool, 0);
    d = create(&pool, 5);
    assert_non_null(d);

    p = input;
    assert_int_equal(d4_decoder_next(d, &p, input + 11, &r), D4_DECODE_RECORD);
    assert_ptr_equal(r.data, input);
    assert_int_equal(d4_decoder_next(d, &p, input + 11, &r), D4_DECODE_RECORD);
    assert_ptr_equal(r.data, input + 4);
    assert_int_equal(pool.held, 0);

    assert_int_equal(d4_decoder_next(d, &p, input + 11, &r), D4_DECODE_AGAIN);
    assert_ptr_equal(p, input + 11);
    assert_int_equal(d4_decoder_held(d), 3);

    p = rest;
    assert_int_equal(d4_decoder_next(d, &p, rest + 8, &r), D4_DECODE_RECORD);
    assert_ptr_equal(p, rest + 3);
    assert_int_equal(r.len, 6);
    assert_memory_equal(r.data, "three\n", 6);
    assert_int_equal(d4_decoder_held(d), 0);

    assert_int_equal(d4_decoder_next(d, &p, rest + 8, &r), D4_DECODE_RECORD);
    assert_ptr_equal(r.data, rest + 3);
    assert_int_equal(d4_decoder_next(d, &p, rest + 8, &r), D4_DECODE_AGAIN);
    assert_int_equal(d4_decoder_finish(d, &r), D4_DECODE_AGAIN);

    d4_decoder_free(d);
    assert_int_equal(pool.held, 0);
}


/* Random text against the model. */

static void
test_random(void **state)
{
    size_t    i, len, max;
    uint8_t   p[200];
    unsigned  round, seed;

    (void) state;

    seed = 1;

    for (round = 0; round < 200; round++) {
        seed = seed * 1103515245 + 12345;
        len = (seed >> 16) % sizeof(p);
        max = 1 + (seed >> 8) % 40;

        for (i = 0; i < len; i++) {
            seed = seed * 1103515245 + 12345;
            p[i] = (uint8_t) ("ab\r\n"[(seed >> 16) % (round % 4 + 1)]);
        }

        check(max, p, len);
    }
}


/* Without memory nothing of the input is taken, and nothing lost. */

static void
test_nomem(void **state)
{
    size_t           i, size, len;
    uint8_t         *bytes;
    d4_pool_t        pool;
    d4_decode_t      rc[2];
    d4_record_t      r;
    d4_decoder_t    *d;
    const uint8_t   *p[3], *end;
    text_records_t   t;

    (void) state;

    if (!NOMEM_POSSIBLE) {
        skip();
    }

    size = 48 * 1024 * 1024;
    bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, 'x', size);
    bytes[size - 1] = '\n';

    d4_pool_init(&pool, 0);
    d = create(&pool, size);
    assert_non_null(d);

    memset(&t, 0, sizeof(text_records_t));
    t.room = size;
    t.bytes = malloc(size);
    assert_non_null(t.bytes);

    p[0] = bytes;
    assert_int_equal(d4_decoder_next(d, &p[0], bytes + 100, &r),
                     D4_DECODE_AGAIN);

    p[1] = p[2] = p[0];
    end = bytes + size;

    nomem(1);
    rc[0] = d4_decoder_next(d, &p[1], end - 1, &r);     /* to be kept */
    rc[1] = d4_decoder_next(d, &p[2], end, &r);         /* a whole line */
    len = d4_decoder_held(d);
    nomem(0);

    assert_int_equal(rc[0], D4_DECODE_NOMEM);
    assert_ptr_equal(p[1], p[0]);
    assert_int_equal(rc[1], D4_DECODE_NOMEM);
    assert_ptr_equal(p[2], p[0]);
    assert_int_equal(len, 100);

    /* with memory again it goes on, in two halves */

    for (i = 0; i < 2; i++) {
        end = bytes + size / 2 * (i + 1);
        assert_int_equal(text_next(d, &p[0], end, &t),
                         i == 0 ? D4_DECODE_AGAIN : D4_DECODE_RECORD);
    }

    assert_ptr_equal(p[0], end);
    assert_int_equal(t.n, 1);
    assert_int_equal(t.total, size);
    assert_memory_equal(t.bytes, bytes, size);

    text_free(&t);
    d4_decoder_free(d);
    assert_int_equal(pool.held, 0);
    free(bytes);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_default),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

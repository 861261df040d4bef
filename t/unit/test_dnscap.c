
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "text_records.h"
#include "nomem.h"


#define S(text)  (const uint8_t *) text, sizeof(text) - 1

/* what dnscap wrote of real traffic, behind the four bytes of the fuzzer */
#define CORPUS   "t/fuzz/corpus/lines/"


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


/* Where the line ends that begins at i. */

static size_t
line(const uint8_t *p, size_t i, size_t len)
{
    const uint8_t  *lf;

    lf = memchr(p + i, '\n', len - i);

    return (lf != NULL) ? (size_t) (lf + 1 - p) : len;
}


static int
joined(const uint8_t *p, size_t from, size_t to)
{
    return to - from >= 2 && p[to - 1] == '\n' && p[to - 2] == '\\';
}


/* Where the record ends that begins at from: line by line, in the whole. */

static size_t
record(const uint8_t *p, size_t from, size_t len)
{
    int     first;
    size_t  i, to;

    to = line(p, from, len);

    if (p[from] != '[') {
        return to;
    }

    first = joined(p, from, to);
    i = from;

    while (to < len && p[to] != '[' && (!first || joined(p, i, to))) {
        i = to;
        to = line(p, i, len);
    }

    return to;
}


static void
model(text_records_t *t, size_t max, const uint8_t *p, size_t len)
{
    size_t       from, n;
    d4_record_t  r;

    t->room = len;
    t->bytes = malloc(len + 1);
    assert_non_null(t->bytes);

    for (from = 0; from < len; from += r.len) {
        memset(&r, 0, sizeof(d4_record_t));
        n = record(p, from, len) - from;

        r.data = p + from;
        r.len = n;

        if (n > max + 1 || (n == max + 1 && p[from + max] != '\n')) {
            r.len = max + (p[from + max] == '\n');
            r.cut = 1;
            r.reason = "";
        }

        if (p[from] == '[') {
            r.element = r.len - (p[from + r.len - 1] == '\n');
        }

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
            text_run(&got, d4_dnscap_create, max, renew, p, len, two, &n);
            assert_true(text_same(&got, &want));
            text_free(&got);
        }

        for (i = 1; i <= 9; i++) {
            text_run(&got, d4_dnscap_create, max, renew, p, len, equal, &i);
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
        { S("[") },
        { S("[\n") },
        { S("\n") },
        { S("\n\n\n") },
        { S("[\n[\n[\n") },
        { S("[\n\n[") },
        { S("[\\\n\n[") },
        { S("[\\\n") },
        { S("[\\\n[\\\n") },
        { S("\\\n\\\n[") },
        { S("[1] a \\\n\tb \\\n\tc\n[2] d \\\n\te\n") },
        { S("tail of one\n\tmore\n[1] a \\\n\tb\n") },
        { S("[1] a \\\n\tb\nsaid in between\n[2] c \\\n\td\n") },
        { S("[1] a \\\n;: [b] (frag)\n\n[2] a \\\n;: [b] (frag)\n\n") },
        { S("[1] a \\\n\tb \\\n[2] c \\\n\td") },
        { S("[1] a\n\tb \\\n\tc\n\n[2] d\n\te") },
        { S("[1] a \\\r\n\tb\r\n[2] a \\\r\n\tb\r\n") },
        { S("[1] a [x]\n [y]\n[2] [\n") },
        { S("[\0 \\\n\0\\\n\0\n\0\n[\xff\xfe") },
        { S("no dnscap at all") },
        { S("[0123456789012345678901234567890123456789") },
    };

    (void) state;

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        for (max = 1; max <= 20; max++) {
            check(max, list[i].p, list[i].len);
        }

        check(1000, list[i].p, list[i].len);
    }
}


/* The rules of d4_dnscap.c, said in so many words. */

static void
test_named(void **state)
{
    size_t          i, j, n;
    text_records_t  t;

    static const struct {
        const uint8_t  *p;
        size_t          len;
        size_t          want[8];       /* length, element of each record */
    } list[] = {
        /* joined lines */
        { S("[1] \\\n\ta\n[2] \\\n\tb\n"), { 9, 8, 9, 8 } },
        /* what was left of another block, and what dnscap said */
        { S("\ta\n[2] \\\n\tb\nbye\n"), { 3, 0, 9, 8, 4, 0 } },
        /* a fragment has an empty line behind it */
        { S("[1] \\\n;:\n\n[2]"), { 9, 8, 1, 0, 3, 3 } },
        /* cut off by the next */
        { S("[1] \\\n\ta \\\n[2] \\\n\tb\n"), { 11, 10, 9, 8 } },
        /* not of dnscap */
        { S("[1]\na\n\nb \\\nc\n[2]\nd\n"), { 13, 12, 6, 5 } },
        /* not ended */
        { S("[1] \\\n\ta"), { 8, 8 } },
        { S("[1] \\\n"), { 6, 5 } },
    };

    (void) state;

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        for (n = 1; n <= 30; n++) {
            memset(&t, 0, sizeof(text_records_t));
            text_run(&t, d4_dnscap_create, 100, 0, list[i].p, list[i].len,
                     equal, &n);

            for (j = 0; j < t.n; j++) {
                assert_int_equal(t.list[j].len, list[i].want[2 * j]);
                assert_int_equal(t.list[j].element, list[i].want[2 * j + 1]);
                assert_int_equal(t.list[j].cut, 0);
            }

            assert_int_equal(list[i].want[2 * j], 0);
            text_free(&t);
        }
    }
}


/* Blocks of all kinds on, below and above the limit. */

static void
test_limit(void **state)
{
    size_t    i, j, max, len;
    uint8_t  *p;

    static const size_t  maxima[] = { 1, 2, 7, 24 };
    static const char   *forms[] = { "[%0*d\n", "[%0*d \\\n", "[ \\\n%0*d\n",
                                     "[ \\\n%0*d \\\n", "%0*d\n", "[\n%0*d\n",
                                     "[\n%0*d\n\n" };

    (void) state;

    p = malloc(1024);
    assert_non_null(p);

    for (i = 0; i < sizeof(maxima) / sizeof(maxima[0]); i++) {
        max = maxima[i];

        for (j = 0; j < (4 * max + 4) * 7; j++) {
            len = (size_t) snprintf((char *) p, 1024, forms[j % 7],
                                    (int) (j / 7), 0);
            len += (size_t) snprintf((char *) p + len, 1024 - len,
                                     "[x\n%.*s", (int) (j % 3), "[a");
            check(max, p, len);
        }
    }

    free(p);
}


/* The parts of a block that is too long. */

static void
test_parts(void **state)
{
    size_t          i, n;
    text_records_t  t;

    static const struct {
        size_t  len;
        size_t  element;
        int     cut;
    } want[] = {
        { 11, 10, 1 },                 /* "[2345678 \\\n" */
        { 10, 0, 1 },                  /* "\t123456789" */
        { 3, 0, 0 },                   /* "0\\\n" */
        { 4, 0, 0 },                   /* "end\n" */
        { 11, 10, 0 },                 /* "[234567890\n", which is all of it */
        { 11, 10, 1 },                 /* the same, which goes on */
        { 2, 0, 0 },                   /* "x\n" */
        { 10, 10, 1 },                 /* "[23456789a" */
        { 3, 0, 0 },                   /* "bc\n" */
        { 5, 4, 0 }                    /* "[end\n" */
    };

    (void) state;

    for (n = 1; n <= 60; n++) {
        memset(&t, 0, sizeof(text_records_t));
        text_run(&t, d4_dnscap_create, 10, 0,
                 S("[2345678 \\\n\t1234567890\\\nend\n"
                   "[234567890\n[234567890\nx\n[23456789abc\n[end\n"),
                 equal, &n);

        assert_int_equal(t.n, sizeof(want) / sizeof(want[0]));

        for (i = 0; i < t.n; i++) {
            assert_int_equal(t.list[i].len, want[i].len);
            assert_int_equal(t.list[i].element, want[i].element);
            assert_int_equal(t.list[i].cut, want[i].cut);
        }

        text_free(&t);
    }
}


/*
 * What dnscap wrote: as many elements as packets, each whole, and each handed
 * out with its last line, whether another follows or not.
 */

static void
real(const char *name, size_t blocks)
{
    FILE           *f;
    size_t          len, n, i, elements;
    uint8_t        *text, *p;
    text_records_t  t;

    text = malloc(65536);
    assert_non_null(text);

    f = fopen(name, "rb");
    assert_non_null(f);
    len = fread(text, 1, 65536, f);
    assert_in_range(len, 5, 65535);
    fclose(f);

    p = text + 4;
    len -= 4;

    check(D4_RECORD_LINE, p, len);
    check(100, p, len);

    memset(&t, 0, sizeof(text_records_t));
    n = 100;
    text_run(&t, d4_dnscap_create, D4_RECORD_LINE, 1, p, len, equal, &n);

    elements = 0;

    for (i = 0; i < t.n; i++) {
        assert_int_equal(t.list[i].cut, 0);
        assert_int_equal(p[t.list[i].len - 1], '\n');

        if (t.list[i].element) {
            elements++;
            assert_int_equal(p[0], '[');
            assert_int_not_equal(p[t.list[i].element - 1], '\\');

        } else {
            /* behind a fragment, and when it ends */

            assert_true(p[0] == '\n' || memcmp(p, "dnscap: ", 8) == 0);
        }

        p += t.list[i].len;
    }

    assert_int_equal(elements, blocks);

    text_free(&t);
    free(text);
}


static void
test_real(void **state)
{
    (void) state;

    real(CORPUS "dnscap", 12);
    real(CORPUS "dnscap-fragments", 8);
    real(CORPUS "dnscap-short", 3);
}


/* The last block of a quiet sensor does not wait for the next. */

static void
test_at_once(void **state)
{
    size_t          i;
    d4_pool_t       pool;
    d4_record_t     r;
    d4_decoder_t   *d;
    const uint8_t  *p;

    static const uint8_t  input[] = "[1] a \\\n\tb \\\n\tc\n";

    (void) state;

    d4_pool_init(&pool, 0);
    d = d4_dnscap_create(&pool, 0);
    assert_non_null(d);
    assert_int_equal(d->max, D4_RECORD_LINE);
    assert_string_equal(d->suffix, ".dnscap.txt");
    assert_null(d->preamble);
    assert_int_equal(d4_decoder_restore(d, NULL, 0, 1), 0);
    assert_int_equal(d4_decoder_restore(d, input, 1, 1), -1);

    /* in place */

    p = input;
    assert_int_equal(d4_decoder_next(d, &p, input + sizeof(input) - 1, &r),
                     D4_DECODE_RECORD);
    assert_ptr_equal(r.data, input);
    assert_int_equal(r.len, sizeof(input) - 1);
    assert_int_equal(r.element, sizeof(input) - 2);
    assert_int_equal(pool.held, 0);

    /* and byte by byte */

    for (i = 0; i < sizeof(input) - 1; i++) {
        assert_int_equal(d4_decoder_held(d), i);
        p = input + i;
        assert_int_equal(d4_decoder_next(d, &p, input + i + 1, &r),
                         i < sizeof(input) - 2 ? D4_DECODE_AGAIN
                                               : D4_DECODE_RECORD);
        assert_ptr_equal(p, input + i + 1);
    }

    assert_int_equal(r.len, sizeof(input) - 1);
    assert_memory_equal(r.data, input, r.len);
    assert_int_equal(d4_decoder_held(d), 0);

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

    seed = 7;

    for (round = 0; round < 200; round++) {
        seed = seed * 1103515245 + 12345;
        len = (seed >> 16) % sizeof(p);
        max = 1 + (seed >> 8) % 60;

        for (i = 0; i < len; i++) {
            seed = seed * 1103515245 + 12345;
            p[i] = (uint8_t) ("[\\\n\nab"[(seed >> 16) % (3 + round % 4)]);
        }

        check(max, p, len);
    }
}


/* Without memory nothing of the input is taken, and nothing lost. */

static void
test_nomem(void **state)
{
    size_t          size, len;
    uint8_t        *bytes;
    d4_pool_t       pool;
    d4_decode_t     rc[2];
    d4_record_t     r;
    d4_decoder_t   *d;
    const uint8_t  *p[3];
    text_records_t  t;

    (void) state;

    if (!NOMEM_POSSIBLE) {
        skip();
    }

    size = 48 * 1024 * 1024;
    bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, 'x', size);
    memcpy(bytes, "[1] \\\n", 6);

    /* the part that fails has the end of the first line, the last has none */

    bytes[size / 2] = '\n';
    bytes[size / 2 - 1] = '\\';
    bytes[size - 1] = '\n';

    d4_pool_init(&pool, 0);
    d = d4_dnscap_create(&pool, size);
    assert_non_null(d);

    memset(&t, 0, sizeof(text_records_t));
    t.room = size;
    t.bytes = malloc(size);
    assert_non_null(t.bytes);

    p[0] = bytes;
    assert_int_equal(d4_decoder_next(d, &p[0], bytes + 5, &r),
                     D4_DECODE_AGAIN);

    p[1] = p[2] = p[0];

    nomem(1);
    rc[0] = d4_decoder_next(d, &p[1], bytes + size - 1, &r);
    rc[1] = d4_decoder_next(d, &p[2], bytes + size, &r);
    len = d4_decoder_held(d);
    nomem(0);

    assert_int_equal(rc[0], D4_DECODE_NOMEM);
    assert_ptr_equal(p[1], p[0]);
    assert_int_equal(rc[1], D4_DECODE_NOMEM);
    assert_ptr_equal(p[2], p[0]);
    assert_int_equal(len, 5);

    assert_int_equal(text_next(d, &p[0], bytes + size / 2 + 1, &t),
                     D4_DECODE_AGAIN);
    assert_int_equal(text_next(d, &p[0], bytes + size, &t),
                     D4_DECODE_RECORD);
    assert_ptr_equal(p[0], bytes + size);
    assert_int_equal(t.n, 1);
    assert_int_equal(t.list[0].element, size - 1);
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
        cmocka_unit_test(test_real),
        cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

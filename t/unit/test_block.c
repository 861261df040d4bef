
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "nomem.h"


#define SMALL  (D4_BLOCK_SMALL - sizeof(d4_block_t))
#define LARGE  (D4_BLOCK_LARGE - sizeof(d4_block_t))
#define TOTAL  (SMALL + 2 * LARGE + 100)


static uint8_t  text[2 * TOTAL];


/* lengths on, before and behind the borders of the first three blocks */

static const size_t  borders[] = {
    0, 1, 2, SMALL - 2, SMALL - 1, SMALL, SMALL + 1, SMALL + 2,
    SMALL + LARGE - 1, SMALL + LARGE, SMALL + LARGE + 1,
    SMALL + 2 * LARGE - 1, SMALL + 2 * LARGE, SMALL + 2 * LARGE + 1
};

#define BORDERS  (sizeof(borders) / sizeof(borders[0]))


static int
setup(void **state)
{
    size_t  i;

    (void) state;

    for (i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t) (i * 31 + i / 251);
    }

    return 0;
}


/* the pool bytes that n bytes take */

static size_t
held(size_t n)
{
    if (n == 0) {
        return 0;
    }

    if (n <= SMALL) {
        return D4_BLOCK_SMALL;
    }

    return D4_BLOCK_SMALL + (n - SMALL + LARGE - 1) / LARGE * D4_BLOCK_LARGE;
}


/* The buffer holds the n bytes at p and takes no more blocks than it must. */

static void
holds(const d4_blocks_t *b, const uint8_t *p, size_t n)
{
    uint8_t  *flat;

    assert_int_equal(b->bytes, n);
    flat = unit_flat(b);
    assert_memory_equal(flat, p, n);
    free(flat);

    assert_int_equal(b->held, held(n));
}


static void
test_write(void **state)
{
    size_t       i, j, k;
    d4_pool_t    pool;
    d4_blocks_t  b;

    (void) state;

    d4_pool_init(&pool, 0);
    d4_blocks_init(&b, &pool);
    assert_int_equal(b.bytes, 0);
    assert_int_equal(pool.held, 0);

    for (i = 0; i < BORDERS; i++) {
        for (j = i; j < BORDERS; j++) {
            for (k = j; k < BORDERS; k++) {
                assert_int_equal(d4_blocks_write(&b, text, borders[i]), 0);
                holds(&b, text, borders[i]);

                assert_int_equal(d4_blocks_write(&b, text + borders[i],
                                                 borders[j] - borders[i]), 0);
                assert_int_equal(d4_blocks_write(&b, text + borders[j],
                                                 borders[k] - borders[j]), 0);
                holds(&b, text, borders[k]);
                assert_int_equal(pool.held, b.held);

                d4_blocks_free(&b);
                holds(&b, text, 0);
                assert_int_equal(pool.held, 0);
                assert_int_equal(pool.spare_held, 0);
            }
        }
    }
}


/* byte by byte: what was written stays where it is */

static void
test_bytes(void **state)
{
    size_t       i;
    uint8_t     *first, *second;
    d4_pool_t    pool;
    d4_blocks_t  b;

    (void) state;

    d4_pool_init(&pool, 0);
    d4_blocks_init(&b, &pool);
    first = second = NULL;

    for (i = 0; i < TOTAL; i++) {
        assert_int_equal(d4_blocks_write(&b, text + i, 1), 0);

        if (i == 0) {
            first = b.first->data;
        }

        if (i == SMALL) {
            second = b.last->data;
        }
    }

    holds(&b, text, TOTAL);
    assert_ptr_equal(b.first->data, first);
    assert_ptr_equal(b.first->next->data, second);

    d4_blocks_free(&b);
    assert_int_equal(pool.held, 0);
}


static void
test_rewind(void **state)
{
    size_t       i, j, after;
    d4_mark_t    mark;
    d4_pool_t    pool;
    d4_blocks_t  b;

    (void) state;

    d4_pool_init(&pool, 4 * D4_BLOCK_LARGE);
    d4_blocks_init(&b, &pool);

    for (i = 0; i < BORDERS; i++) {
        for (j = i; j < BORDERS; j++) {
            assert_int_equal(d4_blocks_write(&b, text, borders[i]), 0);
            d4_blocks_mark(&b, &mark);
            assert_int_equal(d4_blocks_write(&b, text,
                                             borders[j] - borders[i]), 0);

            d4_blocks_rewind(&b, &mark);
            holds(&b, text, borders[i]);
            assert_int_equal(pool.held, b.held);

            /* twice is as once */

            d4_blocks_rewind(&b, &mark);
            holds(&b, text, borders[i]);

            /* and writing goes on from there, the mark still good */

            after = TOTAL - borders[i];
            assert_int_equal(d4_blocks_write(&b, text + borders[i], after),
                             0);
            holds(&b, text, TOTAL);
            d4_blocks_rewind(&b, &mark);
            holds(&b, text, borders[i]);

            d4_blocks_free(&b);
            assert_int_equal(pool.held, 0);
        }
    }

    d4_pool_clear(&pool);
    assert_int_equal(pool.spare_held, 0);
    assert_null(pool.spare);
}


/* every place near a border, into a buffer that is empty or nearly full */

static void
split(size_t at, size_t total, size_t before)
{
    d4_mark_t    mark;
    d4_pool_t    pool, other;
    d4_blocks_t  b, dst;
    uint8_t     *want;

    d4_pool_init(&pool, 2 * D4_BLOCK_LARGE);
    d4_pool_init(&other, 0);
    d4_blocks_init(&b, &pool);
    d4_blocks_init(&dst, &other);

    assert_int_equal(d4_blocks_write(&dst, text + 77, before), 0);
    assert_int_equal(d4_blocks_write(&b, text, at), 0);
    d4_blocks_mark(&b, &mark);
    assert_int_equal(d4_blocks_write(&b, text + at, total - at), 0);

    assert_int_equal(d4_blocks_split(&b, &mark, &dst), 0);

    want = malloc(before + total - at + 1);
    assert_non_null(want);
    memcpy(want, text + 77, before);
    memcpy(want + before, text + at, total - at);

    holds(&b, text, at);
    holds(&dst, want, before + total - at);
    free(want);

    assert_int_equal(pool.held, b.held);
    assert_int_equal(other.held, dst.held);

    /* both go on by themselves */

    assert_int_equal(d4_blocks_write(&b, text + at, 10), 0);
    holds(&b, text, at + 10);

    d4_blocks_free(&b);
    d4_blocks_free(&dst);
    assert_int_equal(pool.held, 0);
    assert_int_equal(other.held, 0);
    d4_pool_clear(&pool);
}


static void
test_split(void **state)
{
    size_t  i, j, k;

    (void) state;

    for (i = 0; i < BORDERS; i++) {
        for (j = i; j < BORDERS; j++) {
            for (k = 0; k < BORDERS; k += 3) {
                split(borders[i], borders[j], borders[k]);
            }

            split(borders[i], borders[j], SMALL);
        }
    }
}


static void
test_split_each(void **state)
{
    size_t  at;

    (void) state;

    for (at = SMALL - 70; at <= SMALL + 70; at++) {
        split(at, SMALL + 70, 0);
        split(at, SMALL + LARGE + 1, 15);
    }
}


static void
test_pool(void **state)
{
    d4_pool_t    pool;
    d4_block_t  *large;
    d4_blocks_t  a, b;

    (void) state;

    d4_pool_init(&pool, 2 * D4_BLOCK_LARGE - 1);
    d4_blocks_init(&a, &pool);
    d4_blocks_init(&b, &pool);

    assert_int_equal(d4_blocks_write(&a, text, SMALL + 1), 0);
    assert_int_equal(d4_blocks_write(&b, text, SMALL + LARGE + 1), 0);
    assert_int_equal(a.held, D4_BLOCK_SMALL + D4_BLOCK_LARGE);
    assert_int_equal(b.held, D4_BLOCK_SMALL + 2 * D4_BLOCK_LARGE);
    assert_int_equal(pool.held, a.held + b.held);
    assert_int_equal(pool.spare_held, 0);

    /* one large block is kept, there is no room for two */

    large = a.last;
    d4_blocks_free(&a);
    assert_int_equal(pool.held, b.held);
    assert_int_equal(pool.spare_held, D4_BLOCK_LARGE);
    assert_ptr_equal(pool.spare, large);

    d4_blocks_free(&b);
    assert_int_equal(pool.held, 0);
    assert_int_equal(pool.spare_held, D4_BLOCK_LARGE);

    /* and used again, empty */

    assert_int_equal(d4_blocks_write(&a, text, SMALL + 3), 0);
    assert_ptr_equal(a.last, large);
    assert_int_equal(pool.spare_held, 0);
    assert_null(pool.spare);
    holds(&a, text, SMALL + 3);

    /* clearing the pool leaves what buffers hold */

    d4_pool_clear(&pool);
    holds(&a, text, SMALL + 3);
    assert_int_equal(pool.held, a.held);
    d4_blocks_free(&a);
    assert_int_equal(pool.spare_held, D4_BLOCK_LARGE);
    d4_pool_clear(&pool);
    assert_int_equal(pool.spare_held, 0);
    assert_int_equal(pool.held, 0);
}


/* random work on two buffers of one pool, next to plain arrays */

static void
test_random(void **state)
{
    int           i;
    size_t        n[2], at[2], len;
    uint8_t      *model[2];
    unsigned      seed, k, op;
    d4_mark_t     mark[2];
    d4_pool_t     pool;
    d4_blocks_t   b[2];

    (void) state;

    d4_pool_init(&pool, D4_BLOCK_LARGE);
    seed = 20240229;

    for (k = 0; k < 2; k++) {
        d4_blocks_init(&b[k], &pool);
        d4_blocks_mark(&b[k], &mark[k]);
        model[k] = malloc(400000);
        assert_non_null(model[k]);
        n[k] = at[k] = 0;
    }

    for (i = 0; i < 4000; i++) {
        seed = seed * 1103515245 + 12345;
        k = seed >> 16 & 1;
        op = seed >> 17 & 15;
        len = (seed >> 21) * (op < 2 ? 30 : 1);

        if (op < 8 && n[k] + len < 200000) {
            assert_int_equal(d4_blocks_write(&b[k], text + len % 99, len), 0);
            memcpy(model[k] + n[k], text + len % 99, len);
            n[k] += len;

        } else if (op < 11) {
            d4_blocks_mark(&b[k], &mark[k]);
            at[k] = n[k];

        } else if (op < 13) {
            d4_blocks_rewind(&b[k], &mark[k]);
            n[k] = at[k];

        } else if (op < 15 && n[0] + n[1] < 400000) {
            assert_int_equal(d4_blocks_split(&b[k], &mark[k], &b[1 - k]), 0);
            memcpy(model[1 - k] + n[1 - k], model[k] + at[k], n[k] - at[k]);
            n[1 - k] += n[k] - at[k];
            n[k] = at[k];

        } else {
            d4_blocks_free(&b[k]);
            d4_blocks_mark(&b[k], &mark[k]);
            n[k] = at[k] = 0;
        }

        holds(&b[k], model[k], n[k]);
        assert_int_equal(pool.held, b[0].held + b[1].held);
        assert_true(pool.spare_held <= pool.spare_max);
    }

    for (k = 0; k < 2; k++) {
        holds(&b[k], model[k], n[k]);
        d4_blocks_free(&b[k]);
        free(model[k]);
    }

    assert_int_equal(pool.held, 0);
    d4_pool_clear(&pool);
}


/* without memory a write or a split leaves everything as it was */

static void
test_nomem(void **state)
{
    int           rc[3];
    size_t        n, m, big;
    uint8_t      *bytes;
    d4_mark_t     mark;
    d4_pool_t     pool;
    d4_blocks_t   b, dst;

    (void) state;

    if (!NOMEM_POSSIBLE) {
        skip();
    }

    big = 64 * 1024 * 1024;
    bytes = malloc(big);
    assert_non_null(bytes);
    memset(bytes, 'x', big);

    d4_pool_init(&pool, 0);
    d4_blocks_init(&b, &pool);
    d4_blocks_init(&dst, &pool);
    assert_int_equal(d4_blocks_write(&dst, "dst", 3), 0);

    /* what follows the mark begins with a piece that dst has room for */

    assert_int_equal(d4_blocks_write(&b, text, SMALL - 10), 0);
    d4_blocks_mark(&b, &mark);

    nomem(1);

    rc[0] = d4_blocks_write(&b, bytes, big);
    n = b.bytes;

    /* fill up what the process still has, then split what is there */

    while (d4_blocks_write(&b, bytes, LARGE) == 0) { /* void */ }
    m = b.bytes;
    rc[1] = d4_blocks_split(&b, &mark, &dst);
    rc[2] = d4_blocks_write(&b, bytes, LARGE);

    nomem(0);

    assert_int_equal(rc[0], -1);
    assert_int_equal(n, SMALL - 10);
    assert_true(m > SMALL);
    assert_int_equal(rc[1], -1);
    assert_int_equal(rc[2], -1);
    assert_int_equal(b.bytes, m);
    assert_int_equal(b.held, held(m));
    holds(&dst, (const uint8_t *) "dst", 3);
    assert_int_equal(pool.held, b.held + dst.held);

    d4_blocks_rewind(&b, &mark);
    holds(&b, text, SMALL - 10);

    d4_blocks_free(&b);
    d4_blocks_free(&dst);
    assert_int_equal(pool.held, 0);
    free(bytes);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_rewind),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_each),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}

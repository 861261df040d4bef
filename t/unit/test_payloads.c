
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "d4_batch.h"
#include "unit.h"


#define SID    "01234567-89ab-4def-8123-456789abcdef"
#define START  UINT64_C(1700000000123)


typedef struct {
    unsigned   type;
    uint32_t   size;
} frame_t;


/* from the smallest to several blocks, and a change of streams */
static const frame_t  frames[] = {
    { 2, 0 }, { 2, 1 }, { 2, D4_BLOCK_SMALL }, { 254, D4_BLOCK_LARGE },
    { 254, 0 }, { 254, 200000 }, { 254, 7 }
};

#define FRAMES  (sizeof(frames) / sizeof(frames[0]))


static uint8_t
byte(size_t frame, size_t i)
{
    /* what could be taken for the format is part of it */
    static const char  text[] = "*1\r\n$4\r\nXADD\r\n";

    return (uint8_t) (text[i % (sizeof(text) - 1)] + (frame & 1));
}


static void
fill(d4_batch_t *b, const frame_t *f, size_t n)
{
    size_t       i, j;
    uint8_t     *p;
    d4_header_t  h;

    for (i = 0; i < n; i++) {
        memset(&h, 0, sizeof(h));
        h.type = (uint8_t) f[i].type;
        h.size = f[i].size;

        p = malloc(h.size + 1);
        assert_non_null(p);

        for (j = 0; j < h.size; j++) {
            p[j] = byte(i, j);
        }

        assert_int_equal(d4_batch_begin(b, SID, &h, START, i + 1, i == 0), 0);
        assert_int_equal(d4_batch_data(b, p, h.size), 0);
        assert_int_equal(d4_batch_commit(b, &h), 0);

        free(p);
    }
}


static void
check(d4_batch_t *b, size_t n, size_t max)
{
    size_t          i, j, k, len;
    d4_payloads_t   it;
    const uint8_t  *p;

    d4_payloads_init(&it, b);

    for (i = 0; i < n; i++) {
        assert_int_equal(d4_payloads_entry(&it), 1);
        assert_int_equal(it.type, frames[i].type);
        assert_int_equal(it.ms, START);
        assert_int_equal(it.n, i + 1);
        assert_int_equal(it.size, frames[i].size);

        for (j = 0; (len = d4_payloads_piece(&it, &p, max)) != 0; j += len) {
            assert_true(len <= max);

            for (k = 0; k < len; k++) {
                assert_int_equal(p[k], byte(i, j + k));
            }
        }

        assert_int_equal(j, frames[i].size);
    }

    assert_int_equal(d4_payloads_entry(&it), 0);
    assert_int_equal(d4_payloads_entry(&it), 0);
}


static void
test_frames(void **state)
{
    size_t      n;
    d4_pool_t   pool;
    d4_batch_t  b;
    const char *command[] = { "XLEN", "stream:2:" SID };

    (void) state;

    for (n = 0; n <= FRAMES; n++) {
        d4_pool_init(&pool, 0);
        d4_batch_init(&b, &pool);

        fill(&b, frames, n);
        check(&b, n, SIZE_MAX);

        if (n) {
            assert_int_equal(d4_batch_command(&b, 2, command), 0);
            assert_int_equal(d4_batch_seal(&b), 0);
        }

        check(&b, n, SIZE_MAX);
        check(&b, n, 1);
        check(&b, n, 1000);

        d4_batch_clear(&b);
        assert_int_equal(pool.held, 0);
        d4_pool_clear(&pool);
    }
}


/* What is not read of a payload is passed over. */

static void
test_skip(void **state)
{
    size_t          i;
    d4_pool_t       pool;
    d4_batch_t      b;
    d4_payloads_t   it;
    const uint8_t  *p;

    (void) state;

    d4_pool_init(&pool, 0);
    d4_batch_init(&b, &pool);
    fill(&b, frames, FRAMES);

    d4_payloads_init(&it, &b);

    for (i = 0; i < FRAMES; i++) {
        assert_int_equal(d4_payloads_entry(&it), 1);
        assert_int_equal(it.n, i + 1);

        if (i & 1) {
            assert_true(d4_payloads_piece(&it, &p, 3) <= 3);
        }
    }

    assert_int_equal(d4_payloads_entry(&it), 0);

    d4_batch_clear(&b);
    d4_pool_clear(&pool);
}


/* A frame that is still open is none yet, as in a batch that was split. */

static void
test_split(void **state)
{
    d4_pool_t    pool;
    d4_batch_t   b, next;
    d4_header_t  h;

    (void) state;

    d4_pool_init(&pool, 0);
    d4_batch_init(&b, &pool);
    d4_batch_init(&next, &pool);

    fill(&b, frames, 3);

    memset(&h, 0, sizeof(h));
    h.type = (uint8_t) frames[3].type;
    h.size = frames[3].size;

    assert_int_equal(d4_batch_begin(&b, SID, &h, START, 4, 0), 0);
    assert_int_equal(d4_batch_data(&b, (const uint8_t *) "abc", 3), 0);
    assert_int_equal(d4_batch_split(&b, &next), 0);

    check(&b, 3, SIZE_MAX);

    d4_batch_clear(&b);
    d4_batch_clear(&next);
    d4_pool_clear(&pool);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_split)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

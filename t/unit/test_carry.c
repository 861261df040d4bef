
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
#include "../../ngx_d4_module/protocol/d4_carry.h"


static uint8_t  text[300000];


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


/* The carry holds n bytes from text, and its memory is counted. */

static void
holds(const d4_carry_t *c, size_t n)
{
    assert_int_equal(c->len, n);
    assert_true(c->size >= n);
    assert_int_equal(c->pool->held, c->size);

    if (n) {
        assert_memory_equal(c->data, text, n);
    }
}


/* any two lengths, on, before and behind the places where it grows */

static void
test_add(void **state)
{
    size_t      i, j;
    d4_pool_t   pool;
    d4_carry_t  c;

    static const size_t  sizes[] = {
        0, 1, 2, 255, 256, 257, 511, 512, 513, 4095, 4096, 4097, 65535, 65536,
        65537, 100000, 131072, 150000
    };

    (void) state;

    d4_pool_init(&pool, 0);
    d4_carry_init(&c, &pool);
    holds(&c, 0);
    assert_int_equal(pool.held, 0);

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
            assert_int_equal(d4_carry_add(&c, text, sizes[i]), 0);
            holds(&c, sizes[i]);

            assert_int_equal(d4_carry_add(&c, text + sizes[i], sizes[j]), 0);
            holds(&c, sizes[i] + sizes[j]);

            /* never more than twice of what is needed */

            assert_true(c.size <= 256 || c.size < 2 * (sizes[i] + sizes[j]));

            d4_carry_free(&c);
            holds(&c, 0);
            assert_null(c.data);
            assert_int_equal(pool.held, 0);
        }
    }

    /* nothing from nowhere */

    assert_int_equal(d4_carry_add(&c, NULL, 0), 0);
    holds(&c, 0);
    d4_carry_free(&c);
}


/* byte by byte it moves a few times only */

static void
test_bytes(void **state)
{
    size_t      i, size, moves;
    d4_pool_t   pool;
    d4_carry_t  c;

    (void) state;

    d4_pool_init(&pool, 0);
    d4_carry_init(&c, &pool);

    size = 0;
    moves = 0;

    for (i = 0; i < sizeof(text); i++) {
        assert_int_equal(d4_carry_add(&c, text + i, 1), 0);

        if (c.size != size) {
            size = c.size;
            moves++;
        }
    }

    holds(&c, sizeof(text));
    assert_true(moves <= 12);

    d4_carry_free(&c);
    assert_int_equal(pool.held, 0);
}


static void
test_clear(void **state)
{
    size_t      size;
    uint8_t    *data;
    d4_pool_t   pool;
    d4_carry_t  c;

    (void) state;

    d4_pool_init(&pool, 0);
    d4_carry_init(&c, &pool);

    d4_carry_clear(&c);
    holds(&c, 0);

    /* a little memory stays, and is used again */

    assert_int_equal(d4_carry_add(&c, text, D4_CARRY_KEEP), 0);
    data = c.data;
    size = c.size;
    assert_int_equal(size, D4_CARRY_KEEP);

    d4_carry_clear(&c);
    holds(&c, 0);
    assert_int_equal(c.size, size);

    assert_int_equal(d4_carry_add(&c, text, D4_CARRY_KEEP), 0);
    assert_ptr_equal(c.data, data);
    holds(&c, D4_CARRY_KEEP);

    /* much does not */

    assert_int_equal(d4_carry_add(&c, text + D4_CARRY_KEEP, 1), 0);
    holds(&c, D4_CARRY_KEEP + 1);
    d4_carry_clear(&c);
    holds(&c, 0);
    assert_int_equal(pool.held, 0);

    assert_int_equal(d4_carry_add(&c, text, 3), 0);
    holds(&c, 3);
    d4_carry_free(&c);
    assert_int_equal(pool.held, 0);
}


/* two carries of one pool are counted together */

static void
test_pool(void **state)
{
    d4_pool_t   pool;
    d4_carry_t  a, b;

    (void) state;

    d4_pool_init(&pool, 0);
    d4_carry_init(&a, &pool);
    d4_carry_init(&b, &pool);

    assert_int_equal(d4_carry_add(&a, text, 10000), 0);
    assert_int_equal(d4_carry_add(&b, text, 20000), 0);
    assert_int_equal(pool.held, a.size + b.size);

    d4_carry_clear(&a);
    assert_int_equal(pool.held, b.size);

    d4_carry_free(&b);
    assert_int_equal(pool.held, 0);
}


/* a length beyond all memory is refused before anything is computed with it */

static void
test_overflow(void **state)
{
    d4_pool_t   pool;
    d4_carry_t  c;

    (void) state;

    d4_pool_init(&pool, 0);
    d4_carry_init(&c, &pool);
    assert_int_equal(d4_carry_add(&c, text, 10), 0);

    assert_int_equal(d4_carry_add(&c, text, SIZE_MAX), -1);
    holds(&c, 10);
    assert_int_equal(d4_carry_add(&c, text, SIZE_MAX - 10), -1);
    holds(&c, 10);
    assert_int_equal(d4_carry_add(&c, text, SIZE_MAX / 2 + 2), -1);
    holds(&c, 10);

    d4_carry_free(&c);
}


static void
test_nomem(void **state)
{
    int         rc[2];
    size_t      big;
    uint8_t    *bytes;
    d4_pool_t   pool;
    d4_carry_t  c;

    (void) state;

    if (!NOMEM_POSSIBLE) {
        skip();
    }

    big = 64 * 1024 * 1024;
    bytes = calloc(1, big);
    assert_non_null(bytes);

    d4_pool_init(&pool, 0);
    d4_carry_init(&c, &pool);
    assert_int_equal(d4_carry_add(&c, text, 1000), 0);

    nomem(1);
    rc[0] = d4_carry_add(&c, bytes, big);
    rc[1] = d4_carry_add(&c, text + 1000, 24);
    nomem(0);

    assert_int_equal(rc[0], -1);
    assert_int_equal(rc[1], 0);
    holds(&c, 1024);

    assert_int_equal(d4_carry_add(&c, bytes, big), 0);
    assert_int_equal(c.len, 1024 + big);
    assert_memory_equal(c.data, text, 1024);

    d4_carry_free(&c);
    assert_int_equal(pool.held, 0);
    free(bytes);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_clear),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "d4_resp.h"
#include "unit.h"


static void
expect(d4_words_t *w, const char *text, size_t len)
{
    uint8_t  *p;

    assert_int_equal(w->out.bytes, len);

    p = unit_flat(&w->out);
    assert_memory_equal(p, text, len);
    free(p);
}

#define expect_text(w, text)  expect(w, text, sizeof(text) - 1)


static void
test_command(void **state)
{
    d4_pool_t   pool;
    d4_words_t  w;

    (void) state;

    d4_pool_init(&pool, 0);
    d4_words_init(&w, &pool);

    assert_int_equal(d4_words_text(&w, "LPUSH"), 0);
    assert_int_equal(d4_words_add(&w, "a\0\r\nb", 5), 0);
    assert_int_equal(d4_words_text(&w, ""), 0);
    assert_int_equal(d4_words_number(&w, 0), 0);
    assert_int_equal(d4_words_number(&w, UINT64_MAX), 0);

    assert_int_equal(w.count, 5);
    assert_int_equal(w.bytes, 5 + 5 + 0 + 1 + 20);

    assert_int_equal(d4_words_head(&w), 0);

    expect_text(&w, "*5\r\n$5\r\nLPUSH\r\n$5\r\na\0\r\nb\r\n$0\r\n\r\n"
                    "$1\r\n0\r\n$20\r\n18446744073709551615\r\n");

    d4_words_free(&w);
    assert_int_equal(pool.held, 0);
    d4_pool_clear(&pool);
}


/* Joined words are as if they had been added one after the other. */

static void
test_join(void **state)
{
    d4_pool_t   pool;
    d4_words_t  w, more, none;

    (void) state;

    d4_pool_init(&pool, 0);
    d4_words_init(&w, &pool);
    d4_words_init(&more, &pool);
    d4_words_init(&none, &pool);

    assert_int_equal(d4_words_text(&w, "one"), 0);
    assert_int_equal(d4_words_text(&more, "two"), 0);

    d4_words_join(&w, &more);
    d4_words_join(&w, &none);

    assert_int_equal(w.count, 2);
    assert_int_equal(w.bytes, 6);
    assert_int_equal(more.count, 0);
    assert_int_equal(more.out.bytes, 0);

    /* both may be used again */

    assert_int_equal(d4_words_text(&w, "3"), 0);
    assert_int_equal(d4_words_text(&more, "4"), 0);
    d4_words_join(&w, &more);

    d4_words_join(&none, &w);
    expect_text(&none, "$3\r\none\r\n$3\r\ntwo\r\n$1\r\n3\r\n$1\r\n4\r\n");

    d4_words_free(&w);
    d4_words_free(&more);
    d4_words_free(&none);
    assert_int_equal(pool.held, 0);
    d4_pool_clear(&pool);
}


/* Blocks that move keep what they count in the pool. */

static void
test_blocks(void **state)
{
    size_t       n;
    uint8_t     *p, big[D4_BLOCK_LARGE + 100];
    d4_pool_t    pool;
    d4_blocks_t  a, b;

    (void) state;

    memset(big, 'x', sizeof(big));

    d4_pool_init(&pool, 0);
    d4_blocks_init(&a, &pool);
    d4_blocks_init(&b, &pool);

    d4_blocks_join(&a, &b);
    assert_int_equal(a.bytes, 0);

    assert_int_equal(d4_blocks_write(&a, "head", 4), 0);
    assert_int_equal(d4_blocks_write(&b, big, sizeof(big)), 0);

    n = pool.held;
    d4_blocks_join(&a, &b);

    assert_int_equal(pool.held, n);
    assert_int_equal(a.held, n);
    assert_int_equal(b.held, 0);
    assert_int_equal(a.bytes, 4 + sizeof(big));

    assert_int_equal(d4_blocks_write(&a, "tail", 4), 0);

    p = unit_flat(&a);
    assert_memory_equal(p, "headxxx", 7);
    assert_memory_equal(p + a.bytes - 7, "xxxtail", 7);
    free(p);

    d4_blocks_free(&a);
    d4_blocks_free(&b);
    assert_int_equal(pool.held, 0);
    d4_pool_clear(&pool);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_blocks)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "make_ipfix.h"
#include "nomem.h"


/* The preamble is what stands in file from there on; it goes away again. */

static void
preamble(size_t from)
{
    size_t         end;
    d4_pool_t      pool;
    d4_decoder_t  *d;

    end = n;
    n = from;
    d = fed(&pool);
    n = end;

    assert_int_equal(d->preamble_len, end - from);
    assert_memory_equal(d->preamble, file + from, end - from);

    freed(d, &pool);

    n = from;
}


static void
test_preamble(void **state)
{
    size_t          end, one, two;
    uint32_t        s;
    d4_pool_t       pool;
    d4_record_t     r;
    d4_decoder_t   *d;
    const uint8_t  *p;

    (void) state;

    /* of a message its templates remain, with their time and number */

    n = 0;
    s = sequence;
    put_message(9);
    put_data(1024, 10);
    put_set(TEMPLATES);
    put_template(1024, 5, 1);
    put_data(1024, 100);
    put_set(OPTIONS);
    put_template(256, 3, 40);
    one = n;

    sequence = s;
    put_message(9);
    put_set(TEMPLATES);
    put_template(1024, 5, 1);
    put_set(OPTIONS);
    put_template(256, 3, 40);
    preamble(one);

    /* the same again is nothing new */

    put_message(9);
    put_set(OPTIONS);
    put_template(256, 3, 40);
    put_message(9);
    put_set(TEMPLATES);
    put_template(1024, 5, 1);
    two = n;

    sequence = s;
    put_message(9);
    put_set(TEMPLATES);
    put_template(1024, 5, 1);
    put_set(OPTIONS);
    put_template(256, 3, 40);
    preamble(two);

    d = fed(&pool);
    assert_string_equal(d->suffix, ".ipfix");
    assert_int_equal(d->preamble_version, 1);
    freed(d, &pool);

    /* the preamble changes with the record, where there is a border */

    d4_pool_init(&pool, 0);
    d = d4_ipfix_create(&pool, 0);
    p = file;

    assert_int_equal(d4_decoder_next(d, &p, file + one, &r), D4_DECODE_RECORD);
    assert_int_equal(r.len, one);
    assert_false(r.fresh);
    assert_non_null(d->preamble);
    assert_int_equal(d->preamble_version, 1);
    assert_int_equal(d4_decoder_held(d), 0);
    freed(d, &pool);

    /* another one by the same name, in another domain as well */

    sequence = s + 10;
    put_message(10);
    put_set(TEMPLATES);
    put_template(1024, 4, 1);
    put_message(9);
    put_set(TEMPLATES);
    put_template(1024, 5, 3);
    end = n;

    sequence = s;
    put_message(9);
    put_set(OPTIONS);
    put_template(256, 3, 40);
    sequence = s + 10;
    put_message(10);
    put_set(TEMPLATES);
    put_template(1024, 4, 1);
    put_message(9);
    put_set(TEMPLATES);
    put_template(1024, 5, 3);
    preamble(end);

    /* withdrawn: one that is not there, one, all of a kind */

    sequence = s + 20;
    put_message(9);
    put_set(TEMPLATES);
    put_template(300, 0, 0);
    put_template(1024, 0, 0);
    end = n;

    sequence = s;
    put_message(9);
    put_set(OPTIONS);
    put_template(256, 3, 40);
    sequence = s + 10;
    put_message(10);
    put_set(TEMPLATES);
    put_template(1024, 4, 1);
    preamble(end);

    sequence = s + 30;
    put_message(9);
    put_set(TEMPLATES);
    put_template(TEMPLATES, 0, 0);
    put_message(10);
    put_set(OPTIONS);
    put_template(OPTIONS, 0, 0);
    end = n;

    sequence = s;
    put_message(9);
    put_set(OPTIONS);
    put_template(256, 3, 40);
    sequence = s + 10;
    put_message(10);
    put_set(TEMPLATES);
    put_template(1024, 4, 1);
    preamble(end);

    sequence = s + 40;
    put_message(9);
    put_set(OPTIONS);
    put_template(OPTIONS, 0, 0);
    put_message(10);
    put_set(TEMPLATES);
    put_template(TEMPLATES, 0, 0);
    preamble(n);

    d = fed(&pool);
    assert_null(d->preamble);
    freed(d, &pool);
}


/* More than is kept: the oldest give way, and restoring changes nothing. */

static void
test_many(void **state)
{
    int             kind;
    size_t          i, end;
    d4_pool_t       pool, other_pool;
    d4_record_t     r;
    d4_decoder_t   *d, *other;
    const uint8_t  *p;

    (void) state;

    for (kind = 0; kind < 3; kind++) {
        n = 0;

        for (i = 0; i < 4000; i++) {
            if (i % (kind == 0 ? 1000 : kind == 1 ? 1 : 7) == 0) {
                put_message(kind == 2 ? (uint32_t) i % 3 : 0);
                put_set(i % 2 ? TEMPLATES : OPTIONS);
            }

            put_template(256 + (uint32_t) i, kind == 1 ? 30 : 2,
                         (uint32_t) i);
        }

        end = n;
        d = fed(&pool);

        assert_true(d->preamble_len <= D4_PREAMBLE_MAX);
        assert_true(d->preamble_len > 17000);
        n_known = 0;
        assert_true(sound_messages(d->preamble, d->preamble_len));
        assert_int_equal(n_known, kind == 1 ? 439 : 1024);
        assert_true(is_known((kind == 2 ? (uint64_t) (3997 / 7 * 7 % 3) << 32
                                        : 0) | 4255));
        assert_true(pool.held < 400 * 1024);

        d4_pool_init(&other_pool, 0);
        other = d4_ipfix_create(&other_pool, 0);
        assert_int_equal(d4_decoder_restore(other, d->preamble,
                                            d->preamble_len, 0), 0);
        assert_int_equal(other->preamble_len, d->preamble_len);
        assert_memory_equal(other->preamble, d->preamble, d->preamble_len);

        put_message(0);
        put_set(TEMPLATES);

        for (i = 0; i < 700; i++) {
            put_template(256 + (uint32_t) (i * 5 % 4000), 3, 1);
        }

        p = file + end;
        assert_int_equal(d4_decoder_next(d, &p, file + n, &r),
                         D4_DECODE_RECORD);
        assert_int_equal(d4_decoder_next(d, &p, file + n, &r),
                         D4_DECODE_AGAIN);
        p = file + end;
        assert_int_equal(d4_decoder_next(other, &p, file + n, &r),
                         D4_DECODE_RECORD);
        assert_int_equal(d4_decoder_next(other, &p, file + n, &r),
                         D4_DECODE_AGAIN);

        assert_int_equal(other->preamble_len, d->preamble_len);
        assert_memory_equal(other->preamble, d->preamble, d->preamble_len);

        freed(d, &pool);
        freed(other, &other_pool);
    }

    /* one that leaves no room for another */

    n = 0;
    put_message(0);
    put_set(TEMPLATES);
    put_template(256, 10, 1);
    put_message(0);
    put_set(TEMPLATES);
    put_template(257, 16376, 1);
    assert_int_equal(n - message, 65532);
    end = n;

    n = message;
    sequence--;
    put_message(0);
    put_set(TEMPLATES);
    put_template(257, 16376, 1);
    d = fed(&pool);
    assert_int_equal(d->preamble_len, 65532);
    assert_memory_equal(d->preamble, file + message, 65532);
    freed(d, &pool);
}


/* No memory for templates: the message is not handed out before there is. */

static void
test_nomem(void **state)
{
    size_t          i, size;
    d4_pool_t       pool;
    d4_record_t     r;
    d4_decode_t     rc;
    d4_decoder_t   *d[4000];
    const uint8_t  *p;

    (void) state;

    if (!NOMEM_POSSIBLE) {
        skip();
    }

    n = 0;
    put_message(0);
    put_set(TEMPLATES);
    put_template(257, 16376, 1);
    size = n;

    d4_pool_init(&pool, 0);

    for (i = 0; i < 4000; i++) {
        d[i] = d4_ipfix_create(&pool, 0);
        assert_non_null(d[i]);
    }

    nomem(1);

    for (i = 0; i < 4000; i++) {
        p = file;
        rc = d4_decoder_next(d[i], &p, file + size, &r);

        if (rc == D4_DECODE_NOMEM) {
            assert_ptr_equal(p, file);
            break;
        }

        /* half of the memory may be there, or all of it */

        rc = d4_decoder_next(d[i], &p, file + size, &r);

        if (rc == D4_DECODE_NOMEM) {
            assert_null(d[i]->preamble);
            assert_int_not_equal(d4_decoder_held(d[i]), 0);
            break;
        }
    }

    nomem(0);

    assert_int_equal(rc, D4_DECODE_NOMEM);

    while (rc != D4_DECODE_AGAIN) {
        rc = d4_decoder_next(d[i], &p, file + size, &r);
        assert_int_not_equal(rc, D4_DECODE_NOMEM);
    }

    assert_int_equal(d[i]->preamble_len, size);
    assert_memory_equal(d[i]->preamble, file, size);
    assert_int_equal(d4_decoder_held(d[i]), 0);

    for (i = 0; i < 4000; i++) {
        d4_decoder_free(d[i]);
    }

    assert_int_equal(pool.held, 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_preamble),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

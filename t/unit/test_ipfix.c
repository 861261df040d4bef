
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "make_ipfix.h"


static void
test_splits(void **state)
{
    decode_t  t;

    (void) state;

    n = 0;
    put_message(0);
    put_set(TEMPLATES);
    put_template(1024, 5, 1);
    put_template(1025, 1, 7);
    put_set(OPTIONS);
    put_template(256, 3, 40);
    put_data(256, 12);
    put_data(1024, 100);
    put_message(0);
    put_data(1024, 20);
    put_data(1025, 0);
    put_message(77);
    put_set(TEMPLATES);
    put_template(1024, 2, 1);
    put16(0);
    lengths();
    put_data(1024, 17);
    put_message(0);
    put_set(TEMPLATES);
    put_template(1025, 0, 0);
    put_set(TEMPLATES);
    put_template(2000, 2, 2);
    put_message(5);
    put_message(0);
    put_data(2000, 8);
    put_data(1024, 8);
    put_message(77);
    put_data(1024, 80);

    every_split(&t, 1);
    assert_false(t.rejected);
    assert_int_equal(t.records, n);
    assert_int_equal(t.fresh, 0);
    assert_memory_equal(t.file, file, n);
    decode_clear(&t);
}


static void
rejected(void)
{
    size_t    i;
    decode_t  t;

    for (i = 0; i <= n; i++) {
        decode(&t, file, n, i, 0);
        assert_true(t.rejected);
        assert_string_equal(t.reason, "not IPFIX");
        decode_clear(&t);
    }
}


static void
test_reject(void **state)
{
    (void) state;

    n = 0;
    put32(0x0009ffff);
    put32(0);
    put32(0);
    rejected();

    n = 0;
    put_message(1);
    put_set(TEMPLATES);
    put_template(256, 2, 1);
    file[1] = 5;
    rejected();

    file[1] = 10;
    file[0] = 10;
    rejected();
}


static void
test_corrupt(void **state)
{
    size_t    i, j, from, to;
    decode_t  t;

    (void) state;

    for (i = 0; i < 14; i++) {
        n = 0;
        put_message(0);
        put_set(TEMPLATES);
        put_template(256, 2, 1);
        from = n;

        switch (i) {

        case 0:                                /* another version */
            put_message(0);
            put_data(256, 40);
            file[from + 1] = 9;
            break;

        case 1:                                /* lengths that differ */
            put_message(0);
            put_data(256, 40);
            file[from + 19]++;
            break;

        case 2:
            put_message(0);
            put_data(256, 40);
            file[from + 19]--;
            break;

        case 3:
            put_message(0);
            put_data(256, 40);
            put32(0);
            lengths();
            file[from + 19] -= 4;
            break;

        case 4:                                /* set 1 is NetFlow's */
            put_message(0);
            put_data(1, 40);
            break;

        case 5:                                /* a set of no length */
            put_message(0);
            put_data(256, 40);
            file[from + 19] = 3;
            break;

        case 6:                                /* templates that go on */
            put_message(0);
            put_set(TEMPLATES);
            put_template(300, 2, 1);
            file[from + 23] = 3;
            break;

        case 7:
            put_message(0);
            put_set(OPTIONS);
            put_template(300, 1, 1);
            n -= 2;
            lengths();
            break;

        case 8:                                /* an id that is none */
            put_message(0);
            put_set(TEMPLATES);
            put_template(255, 1, 1);
            break;

        case 9:
            put_message(0);
            put_set(TEMPLATES);
            put_template(OPTIONS, 0, 1);
            break;

        case 10:                               /* shorter than its header */
            put_message(0);
            file[from + 3] = 15;
            break;

        case 11:
            memset(file + n, 0, 100);
            n += 100;
            break;

        case 12:
            for (j = 0; j < 70000; j++) {
                file[n++] = (uint8_t) (j % 5 ? 0x81 : j);
            }

            break;

        default:                               /* scope, but no field */
            put_message(0);
            put_set(OPTIONS);
            put_template(300, 1, 1);
            n -= 5;
            lengths();
        }

        to = n;
        put_message(0);
        put_set(TEMPLATES);
        put_template(257, 3, 1);
        put_data(256, 40);
        put_message(0);
        put_data(257, 40);
        put_message(0);
        put_data(256, 44);

        if (n > 10000) {
            decode(&t, file, n, 0, 0);

        } else {
            every_split(&t, 7);
        }

        assert_int_equal(t.skipped, to - from);
        assert_int_equal(t.skips, 1);
        assert_string_equal(t.reason, "corrupt record");
        assert_int_equal(t.fresh, 1);
        assert_int_equal(t.records, n - (to - from));
        assert_memory_equal(t.file, file, from);
        assert_memory_equal(t.file + from, file + to, n - to);
        decode_clear(&t);
    }
}


static void
test_truncated(void **state)
{
    size_t    i, whole, last;
    decode_t  t;

    (void) state;

    n = 0;
    put_message(0);
    put_set(TEMPLATES);
    put_template(256, 2, 1);
    whole = n;
    put_message(0);
    put_data(256, 20);
    last = n;

    for (i = whole + 1; i < last; i++) {
        n = i;
        every_split(&t, 5);
        assert_int_equal(t.records, whole);
        assert_int_equal(t.skipped, i - whole);
        assert_string_equal(t.reason, "truncated record");
        decode_clear(&t);
    }
}


static void
test_resume(void **state)
{
    size_t           j, k, head, at[21];
    decode_t         t, split;
    decode_border_t  b;

    (void) state;

    memset(&t, 0, sizeof(decode_t));
    memset(&split, 0, sizeof(decode_t));

    n = 0;
    put_message(0);
    put_set(TEMPLATES);
    put_template(1024, 5, 1);
    put_set(OPTIONS);
    put_template(256, 3, 40);
    head = n;

    for (j = 0; j < 20; j++) {
        at[j] = n;
        put_message(0);
        put_data(j % 3 ? 1024 : 256, 20 + j * 37 % 50);
    }

    at[j] = n;

    b.preamble = file;
    b.len = head;
    b.resume = 1;

    for (k = head, j = 0; k < at[19]; k++) {
        if (k > at[j]) {
            j++;
        }

        t.sound = sound;
        decode_all(&t, d4_ipfix_create, &b, file + k, n - k, 0, 0);

        assert_int_equal(t.records, n - at[j]);
        assert_memory_equal(t.file, file + at[j], n - at[j]);
        assert_int_equal(t.skipped, at[j] - k);
        assert_int_equal(t.fresh, 1);

        if (k % 16 == 0) {
            decode_all(&split, d4_ipfix_create, &b, file + k, n - k, 1, 1);
            decode_same(&t, 0, &split);
            decode_clear(&split);
        }

        decode_clear(&t);
    }

    /* from the beginning again, and without any templates */

    decode_all(&t, d4_ipfix_create, &b, file, n, 0, 0);
    assert_int_equal(t.records, n);
    assert_int_equal(t.fresh, 1);
    decode_clear(&t);

    b.len = 0;
    decode_all(&t, d4_ipfix_create, &b, file + 7, n - 7, 0, 0);
    assert_int_equal(t.records, n - head);
    assert_int_equal(t.skipped, head - 7);
    assert_int_equal(t.fresh, 1);
    decode_clear(&t);
}


static void
test_restore(void **state)
{
    size_t         i, one;
    d4_pool_t      pool;
    d4_decoder_t  *d;

    (void) state;

    n = 0;
    put_message(0);
    put_set(TEMPLATES);
    put_template(256, 2, 1);
    one = n;
    put_message(0);
    put_set(TEMPLATES);
    put_template(257, 2, 1);

    d4_pool_init(&pool, 0);

    for (i = 0; i <= n; i++) {
        d = d4_ipfix_create(&pool, 0);
        assert_int_equal(d4_decoder_restore(d, file, i, 0),
                         i == 0 || i == one || i == n ? 0 : -1);
        d4_decoder_free(d);
    }

    put_message(0);
    put_data(256, 50);
    d = d4_ipfix_create(&pool, 0);
    assert_int_equal(d4_decoder_restore(d, file, n, 0), -1);
    d4_decoder_free(d);
    assert_int_equal(pool.held, 0);
}


static void
test_endless(void **state)
{
    size_t          i;
    uint32_t        seed;
    d4_pool_t       pool;
    d4_record_t     r;
    d4_decode_t     rc;
    d4_decoder_t   *d;
    const uint8_t  *p;

    (void) state;

    n = 0;
    put_message(0);
    d = fed(&pool);

    n = 0;
    seed = 5;

    while (n < 1000000) {
        seed = seed * 1103515245 + 12345;
        put32(n == 0 ? 0xffffffff : seed ^ seed >> 16);
    }

    for (i = 0; i < 16; i++) {
        for (p = file; /* void */ ; /* void */ ) {
            rc = d4_decoder_next(d, &p, file + n, &r);

            if (rc == D4_DECODE_AGAIN) {
                break;
            }

            assert_int_equal(rc, D4_DECODE_SKIP);
        }

        assert_true(d4_decoder_held(d) <= DECODE_HELD_MAX);
    }

    freed(d, &pool);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_reject),
        cmocka_unit_test(test_corrupt),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_endless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

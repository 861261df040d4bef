
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "make_pcapng.h"


/* Two sections, every kind of block, an interface among packets. */

static void
test_splits(void **state)
{
    int       order;
    size_t    head, at;
    decode_t  t;

    (void) state;

    for (order = 0; order < 4; order++) {
        n = 0;
        big = order & 1;

        put_section(0xffffffff, 0xffffffff, 9);
        put_interface(1, 0);
        put_interface(101, 7);
        head = n;
        put_enhanced(0, 60);
        put_enhanced(1, 0);
        put_other(SIMPLE, 33, 33);
        put_other(PACKET, big ? 0x10000 : 1, 90);
        at = n;
        put_interface(113, 0);
        head += n - at;
        put_enhanced(2, 21);
        put_other(NAMES, 0, 0);
        put_other(0x0bad, 32473, 10);
        put_other(0x7777, 3, 3);
        put_other(STATISTICS, 2, 8);

        big = order >> 1;

        at = n;
        put_section(0, 1234, 0);
        head += n - at;
        put_other(10, 0x544c534b, 77);
        at = n;
        put_interface(1, 2);
        put_interface(1, 0);
        head += n - at;
        put_enhanced(1, 80);

        every_split(&t, 1);

        assert_false(t.rejected);
        assert_int_equal(t.skipped, 0);
        assert_int_equal(t.fresh, 4);
        assert_int_equal(t.headers, head);
        decode_clear(&t);
    }
}


/* A section with its interfaces, once it is known that no more follow. */

static void
test_preamble(void **state)
{
    size_t          head, packet, two;
    d4_pool_t       pool;
    d4_record_t     r;
    d4_decoder_t   *d;
    const uint8_t  *p, *end;

    (void) state;

    n = 0;
    big = 0;
    put_section(0xffffffff, 0xffffffff, 0);
    put_interface(1, 0);
    put_interface(1, 100);
    head = n;
    put_enhanced(1, 50);
    packet = n;
    put_interface(1, 0);
    two = n;

    d4_pool_init(&pool, 0);
    d = d4_pcapng_create(&pool, 0);
    assert_string_equal(d->suffix, ".pcapng");

    p = file;
    end = file + head + 3;
    assert_int_equal(d4_decoder_next(d, &p, end, &r), D4_DECODE_AGAIN);
    assert_null(d->preamble);
    assert_int_equal(d4_decoder_held(d), head + 3);

    end = file + packet;
    assert_int_equal(d4_decoder_next(d, &p, end, &r), D4_DECODE_RECORD);
    assert_int_equal(r.len, 0);
    assert_true(r.fresh);
    assert_int_equal(d->preamble_len, head);
    assert_memory_equal(d->preamble, file, head);
    assert_int_equal(d->preamble_version, 1);

    assert_int_equal(d4_decoder_next(d, &p, end, &r), D4_DECODE_RECORD);
    assert_int_equal(r.len, packet - head);
    assert_false(r.fresh);
    assert_int_equal(d->preamble_len, head);
    assert_int_equal(d4_decoder_held(d), 0);

    /* another interface, which ends with the session */

    end = file + n;
    assert_int_equal(d4_decoder_next(d, &p, end, &r), D4_DECODE_AGAIN);
    assert_int_equal(d->preamble_len, head);
    assert_int_equal(d4_decoder_held(d), two - packet);

    assert_int_equal(d4_decoder_finish(d, &r), D4_DECODE_RECORD);
    assert_int_equal(r.len, 0);
    assert_true(r.fresh);
    assert_int_equal(d->preamble_len, head + two - packet);
    assert_memory_equal(d->preamble, file, head);
    assert_memory_equal(d->preamble + head, file + packet, two - packet);
    assert_int_equal(d->preamble_version, 2);
    assert_int_equal(d4_decoder_held(d), 0);
    assert_int_equal(d4_decoder_finish(d, &r), D4_DECODE_AGAIN);

    d4_decoder_free(d);
    assert_int_equal(pool.held, 0);
}


static void
rejected(const char *reason)
{
    size_t    i;
    decode_t  t;

    for (i = 0; i <= n; i += (n > 1000 ? 977 : 1)) {
        decode(&t, file, n, i, 0);
        assert_true(t.rejected);
        assert_string_equal(t.reason, reason);
        decode_clear(&t);
    }
}


static void
test_reject(void **state)
{
    size_t    i;
    decode_t  t;

    (void) state;

    for (big = 0; big < 2; big++) {
        n = 0;
        put_data(100);
        rejected("not pcapng");

        n = 0;
        put_interface(1, 0);
        rejected("not pcapng");

        /* the length, where it is twice, the magic, the version */

        for (i = 0; i < 28; i++) {
            n = 0;
            put_section(0, 0, 0);
            file[i] ^= 0x40;

            if (i < 4) {
                rejected("not pcapng");

            } else if (i < 14 || i >= 24) {

                /* a length that is still possible is waited for */

                put_data(20000);
                put_data(20000);
                rejected("not a section header of pcapng 1.x");
            }
        }

        n = 0;
        put_section(0, 0, 65508 - 4);
        decode(&t, file, n, 0, 0);
        assert_int_equal(t.headers, 65536);
        decode_clear(&t);

        n = 0;
        put_section(0, 0, 65508);
        rejected("not a section header of pcapng 1.x");

        /* as many interfaces as there is room for, and one more */

        n = 0;
        put_section(0xffffffff, 0xffffffff, 0);

        for (i = 0; i < (65536 - 28) / 20; i++) {
            put_interface(1, 0);
        }

        put_enhanced((uint32_t) i - 1, 60);
        decode(&t, file, n, 0, 0);
        assert_int_equal(t.headers, 28 + 20 * i);
        assert_int_equal(t.records, 92);
        decode_clear(&t);

        put_interface(1, 0);
        put_enhanced(0, 60);
        decode(&t, file, n, 0, 0);
        assert_int_equal(t.records, 92);
        decode_clear(&t);
        rejected("more interfaces than a file can begin with");
    }
}


/* What a reader would give up at is skipped, and nothing else. */

static void
test_corrupt(void **state)
{
    size_t    i, from, to, head;
    decode_t  t;

    (void) state;

    for (big = 0; big < 2; big++) {
        for (i = 0; i < 12; i++) {

            n = 0;
            put_section(0xffffffff, 0xffffffff, 0);
            put_interface(1, 0);
            head = n;
            put_enhanced(0, 60);
            from = n;

            switch (i) {

            case 0:                            /* no such interface */
                put_enhanced(1, 60);
                break;

            case 1:
                put_other(STATISTICS, 77, 4);
                break;

            case 2:
                put_other(PACKET, big ? 0x10000 : 1, 90);
                break;

            case 3:                            /* the second length */
                put_enhanced(0, 60);
                file[n - 1] ^= 0x80;
                break;

            case 4:                            /* the first: not by four */
                put_enhanced(0, 60);
                file[from + (big ? 7 : 4)] ^= 1;
                break;

            case 5:                            /* too large */
                put_enhanced(0, 60);
                file[from + (big ? 4 : 7)] ^= 2;
                break;

            case 6:                            /* too small for its type */
                put_other(ENHANCED, 0, 0);
                break;

            case 7:
                put_other(INTERFACE, 1, 0);
                break;

            case 8:                            /* a packet beyond its block */
                put_enhanced(0, 60);
                file[from + (big ? 23 : 20)] = 64;
                break;

            case 9:
                memset(file + n, 0, 100);
                n += 100;
                break;

            case 10:
                memset(file + n, 0xff, 70001);
                n += 70001;
                break;

            default:                           /* a section that is none */
                put_section(0, 0, 0);
                file[n - 28 + 8] ^= 1;
            }

            to = n;
            put_enhanced(0, 77);
            put_enhanced(0, 40);
            put_enhanced(0, 70);
            put_enhanced(0, 80);

            if (n > 10000) {
                decode(&t, file, n, 0, 0);

            } else {
                every_split(&t, 7);
            }

            assert_int_equal(t.skipped, to - from);
            assert_int_equal(t.skips, 1);
            assert_string_equal(t.reason, "corrupt record");
            assert_int_equal(t.fresh, 2);
            assert_int_equal(t.records, n - head - (to - from));
            assert_memory_equal(t.file, file + head, from - head);
            assert_memory_equal(t.file + from - head, file + to, n - to);
            decode_clear(&t);
        }
    }

    /* the limit of readers: 16 MiB */

    n = 0;
    big = 0;
    put_section(0xffffffff, 0xffffffff, 0);
    put_other(0x7777, 0, 3000000);
    put_section(0xffffffff, 0xffffffff, 0);
    decode(&t, file, n, 0, 0);
    assert_int_equal(t.records, 3000016);
    decode_clear(&t);

    file[28 + 7] = 1;
    decode(&t, file, n, 0, 0);
    assert_string_equal(t.reason, "corrupt record");
    decode_clear(&t);
}


/* Another section, of the other byte order, behind what is corrupt. */

static void
test_section(void **state)
{
    decode_t  t;

    (void) state;

    for (big = 0; big < 2; big++) {
        n = 0;
        put_section(0xffffffff, 0xffffffff, 0);
        put_interface(1, 0);
        put_enhanced(0, 60);
        put_data(200);
        big = !big;
        put_section(0xffffffff, 0xffffffff, 0);
        put_interface(1, 0);
        put_interface(1, 0);
        put_enhanced(1, 90);
        big = !big;

        every_split(&t, 3);
        assert_int_equal(t.skipped, 200);
        assert_int_equal(t.headers, 28 + 20 + 28 + 40);
        assert_int_equal(t.fresh, 2);
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
    big = 1;
    put_section(0xffffffff, 0xffffffff, 0);
    put_interface(1, 0);
    whole = n;
    put_enhanced(0, 60);
    last = n;

    for (i = whole + 1; i < last; i++) {
        n = i;
        every_split(&t, 9);
        assert_int_equal(t.headers, whole);
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
    t.sound = sound;

    for (big = 0; big < 2; big++) {
        n = 0;
        put_section(0xffffffff, 0xffffffff, 0);
        put_interface(1, 0);
        put_interface(101, 0);
        head = n;

        for (j = 0; j < 20; j++) {
            at[j] = n;

            if (j == 7) {
                put_other(STATISTICS, 1, 12);

            } else {
                put_enhanced(j % 2, (uint32_t) (41 + j * 37 % 50));
            }
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
            decode_all(&t, d4_pcapng_create, &b, file + k, n - k, 0, 0);

            assert_int_equal(t.records, n - at[j]);
            assert_memory_equal(t.file, file + at[j], n - at[j]);
            assert_int_equal(t.skipped, at[j] - k);
            assert_int_equal(t.fresh, 1);

            if (k % 16 == 0) {
                decode_all(&split, d4_pcapng_create, &b, file + k, n - k, 1,
                           1);
                decode_same(&t, 0, &split);
                decode_clear(&split);
            }

            decode_clear(&t);
        }

        /* from the beginning again: its section, with its interfaces */

        decode_all(&t, d4_pcapng_create, &b, file, n, 0, 0);
        assert_int_equal(t.records, n - head);
        assert_int_equal(t.headers, head);
        assert_int_equal(t.fresh, 1);
        decode_clear(&t);
    }
}


static void
test_restore(void **state)
{
    size_t         i;
    d4_pool_t      pool;
    d4_decoder_t  *d;

    (void) state;

    big = 0;
    n = 0;
    put_section(0xffffffff, 0xffffffff, 0);
    put_interface(1, 0);
    put_interface(1, 0);

    d4_pool_init(&pool, 0);

    for (i = 1; i <= n + 1; i++) {
        d = d4_pcapng_create(&pool, 0);
        assert_int_equal(d4_decoder_restore(d, file, i, 0),
                         i == 28 || i == 48 || i == 68 ? 0 : -1);
        d4_decoder_free(d);
    }

    put_enhanced(0, 50);
    d = d4_pcapng_create(&pool, 0);
    assert_int_equal(d4_decoder_restore(d, file, n, 0), -1);
    d4_decoder_free(d);

    d = d4_pcapng_create(&pool, 0);
    assert_int_equal(d4_decoder_restore(d, NULL, 0, 1), 0);
    d4_decoder_free(d);
    assert_int_equal(pool.held, 0);
}


/* Blocks that are large, in place, and nothing but noise. */

static void
test_large(void **state)
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
    big = 0;
    put_section(0xffffffff, 0xffffffff, 0);
    put_interface(1, 0);

    for (i = 0; i < 1000; i++) {
        put_enhanced(0, 1500);
    }

    d4_pool_init(&pool, 0);
    d = d4_pcapng_create(&pool, 0);

    for (p = file, i = 48; /* void */ ; i += r.len) {
        rc = d4_decoder_next(d, &p, file + n, &r);

        if (rc == D4_DECODE_AGAIN) {
            break;
        }

        assert_int_equal(rc, D4_DECODE_RECORD);

        if (r.len != 0) {
            assert_ptr_equal(r.data, file + i);
            assert_true(r.len < 65536 + 1532);
        }
    }

    assert_int_equal(i, n);

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

    d4_decoder_free(d);
    assert_int_equal(pool.held, 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_preamble),
        cmocka_unit_test(test_reject),
        cmocka_unit_test(test_corrupt),
        cmocka_unit_test(test_section),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "make_pcap.h"


/*
 * Bytes that are no record, in every place between two records: those in
 * front and those behind are found.
 */

static void
test_corrupt(void **state)
{
    size_t    i, j, k, from, to;
    decode_t  t;

    static const uint8_t  none[] = { 0xff, 0, 0x7f, 0xa1 };
    static const size_t   lens[] = { 1, 15, 16, 300, 70000 };

    (void) state;

    for (i = 0; i < KINDS; i++) {
        for (j = 0; j < sizeof(none); j++) {
            for (k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {

                n = 0;
                put_header(&kinds[i]);
                put_record(&kinds[i], 60);
                put_record(&kinds[i], 80);
                from = n;

                memset(file + n, none[j], lens[k]);
                n += lens[k];
                to = n;

                put_record(&kinds[i], 60);
                put_record(&kinds[i], 42);
                put_record(&kinds[i], 1200);
                put_record(&kinds[i], 77);
                put_record(&kinds[i], 65);

                if (lens[k] > 1000) {
                    decode(&t, file, n, 0, 0);

                } else {
                    every_split(&t, k < 3 ? 53 : 201);
                }

                /*
                 * Fewer than a header of 0, 0x7f or 0xff may look like the
                 * first bytes of a record: then that one is lost as well.
                 */

                if (lens[k] > 15) {
                    assert_int_equal(t.skipped, to - from);
                    assert_int_equal(t.skips, 1);
                    assert_int_equal(t.fresh, 2);
                    assert_int_equal(t.records, n - HEADER - (to - from));
                    assert_memory_equal(t.file, file + HEADER, from - HEADER);
                    assert_memory_equal(t.file + from - HEADER, file + to,
                                        n - to);
                    assert_string_equal(t.reason, "corrupt record");
                }

                decode_clear(&t);
            }
        }
    }
}


/* Some bytes of a record are missing, as if a frame had been lost. */

static void
test_lost(void **state)
{
    size_t    i, j, gap, at[12];
    decode_t  t;

    (void) state;

    for (i = 0; i < KINDS; i++) {
        for (gap = 24; gap < 300; gap += 69) {

            n = 0;
            put_header(&kinds[i]);

            for (j = 0; j < 12; j++) {
                at[j] = n;
                put_record(&kinds[i], 200 + (uint32_t) j);
            }

            memmove(file + at[3] + 100, file + at[3] + 100 + gap,
                    n - at[3] - 100 - gap);
            n -= gap;

            every_split(&t, 307);

            /* three at the beginning and those from the sixth on */

            assert_true(t.records >= at[3] - HEADER + n + gap - at[6]);
            assert_memory_equal(t.file, file + HEADER, at[3] - HEADER);
            assert_memory_equal(t.file + t.records - (n + gap - at[6]),
                                file + at[6] - gap, n + gap - at[6]);
            assert_int_equal(t.fresh, 2);
            decode_clear(&t);
        }
    }
}


/* Captures that were joined: each record has its own header before it. */

static void
test_joined(void **state)
{
    size_t    i, j, records;
    decode_t  t;

    (void) state;

    for (i = 0; i < KINDS; i++) {
        for (j = 0; j < KINDS; j++) {
            n = 0;
            put_header(&kinds[i]);
            put_record(&kinds[i], 30);
            put_record(&kinds[i], 90);
            put_header(&kinds[j]);
            put_header(&kinds[i]);
            put_record(&kinds[i], 30);
            put_header(&kinds[j]);
            put_record(&kinds[j], 20);
            put_record(&kinds[j], 20);

            every_split(&t, 1);

            records = n - 4 * HEADER;
            assert_int_equal(t.records, records);
            assert_int_equal(t.headers, 4 * HEADER);
            assert_int_equal(t.skipped, 0);

            /* the same header again is no reason for a new file */

            assert_int_equal(t.fresh, i == j ? 1 : 4);
            decode_clear(&t);
        }
    }

    /* another capture behind what is corrupt */

    n = 0;
    put_header(&kinds[0]);
    put_record(&kinds[0], 30);
    memset(file + n, 0xff, 100);
    n += 100;
    put_header(&kinds[3]);
    put_record(&kinds[3], 60);
    put_record(&kinds[3], 60);
    put_record(&kinds[3], 60);

    every_split(&t, 1);
    assert_int_equal(t.skipped, 100);
    assert_int_equal(t.headers, 2 * HEADER);
    assert_int_equal(t.fresh, 2);
    decode_clear(&t);
}


/*
 * A session that begins somewhere in the capture of another: whole records
 * come out from the first one on that begins in it.
 */

static void
test_resume(void **state)
{
    size_t           i, j, k, left, at[20];
    decode_t         t, split;
    decode_border_t  b;

    (void) state;

    memset(&t, 0, sizeof(decode_t));
    memset(&split, 0, sizeof(decode_t));

    for (i = 0; i < KINDS; i++) {
        n = 0;
        put_header(&kinds[i]);

        for (j = 0; j < 19; j++) {
            at[j] = n;
            put_record(&kinds[i], 61 + (uint32_t) (j * 37 % 50));
        }

        at[j] = n;

        b.preamble = file;
        b.len = HEADER;
        b.resume = 1;

        for (k = 1, j = 0; k < at[18]; k++) {
            if (k > at[j]) {
                j++;
            }

            t.sound = sound;
            decode_all(&t, d4_pcap_create, &b, file + k, n - k, 0, 0);

            left = n - at[j];
            assert_int_equal(t.records, left);
            assert_memory_equal(t.file, file + at[j], left);
            assert_int_equal(t.skipped, at[j] - k);
            assert_int_equal(t.fresh, 1);

            if (t.skipped) {
                assert_string_equal(t.reason,
                                   "before the first border that can be proven"
                                   );
            }

            if (k % 16 == 0) {
                decode_all(&split, d4_pcap_create, &b, file + k, n - k, 1, 1);
                decode_same(&t, 0, &split);
                decode_clear(&split);
            }

            decode_clear(&t);
        }

        /* the header again, the same or another one, or nothing */

        decode_all(&t, d4_pcap_create, &b, file, n, 0, 0);
        assert_int_equal(t.records, n - HEADER);
        assert_int_equal(t.headers, HEADER);
        assert_int_equal(t.fresh, 1);
        decode_clear(&t);

        b.preamble = (uint8_t *) "\xa1\xb2\xc3\xd4\0\2\0\4\0\0\0\0\0\0\0\0"
                                 "\0\0\xff\xff\0\0\0\xe3";
        decode_all(&t, d4_pcap_create, &b, file, n, 0, 0);
        assert_int_equal(t.records, n - HEADER);
        assert_int_equal(t.headers, HEADER);
        assert_int_equal(t.fresh, 1);
        decode_clear(&t);

        decode_all(&t, d4_pcap_create, &b, file, 0, 0, 0);
        assert_int_equal(t.fresh + t.records + t.skipped, 0);
        decode_clear(&t);
    }
}


/* Nothing that makes sense, without end: little of it is held. */

static void
test_endless(void **state)
{
    size_t          i, j, skipped;
    uint32_t        seed;
    d4_pool_t       pool;
    d4_record_t     r;
    d4_decode_t     rc;
    d4_decoder_t   *d;
    const uint8_t  *p;

    (void) state;

    n = 0;
    put_header(&kinds[0]);
    put_record(&kinds[0], 60);
    put32(0xffffffff, 0);
    put32(0xffffffff, 0);

    seed = 1;
    skipped = 0;
    d4_pool_init(&pool, 0);
    d = d4_pcap_create(&pool, 0);

    for (i = 0; i < 16; i++) {

        /* records that could be, one after the other, but for the third */

        while (i % 2 == 1 && n + 3 * 262160 < 1000000) {
            put_record_as(&kinds[0], 5, 3, 262000, 262000);
            put_data(262000);
            put_record_as(&kinds[0], 5, 3, 262000, 262000);
            put_data(262000);
            put_record_as(&kinds[0], 5, 3000000, 262000, 262000);
        }

        while (n < 1000000) {
            seed = seed * 1103515245 + 12345;
            put32(seed ^ seed >> 16, 0);
        }

        for (p = file; /* void */ ; /* void */ ) {
            rc = d4_decoder_next(d, &p, file + n, &r);

            if (rc == D4_DECODE_AGAIN) {
                break;
            }

            for (j = 0; rc == D4_DECODE_SKIP && j < r.len; j++) {
                skipped++;
            }
        }

        assert_true(d4_decoder_held(d) > 0);
        assert_true(d4_decoder_held(d) <= DECODE_HELD_MAX);
        assert_true(pool.held <= 4 * 1024 * 1024);
        n = 0;
    }

    while (d4_decoder_finish(d, &r) != D4_DECODE_AGAIN) {
        skipped += r.reason != NULL ? r.len : 0;
    }

    assert_int_equal(skipped, 16 * 1000000 - HEADER - 76);

    d4_decoder_free(d);
    assert_int_equal(pool.held, 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_corrupt),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_joined),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_endless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

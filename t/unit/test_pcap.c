
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "make_pcap.h"
#include "nomem.h"


static void
test_splits(void **state)
{
    size_t    i, j;
    decode_t  t;

    static const uint32_t  lens[] = { 60, 20, 200, 14, 0, 16, 31, 1, 90 };

    (void) state;

    for (i = 0; i < KINDS; i++) {
        n = 0;
        put_header(&kinds[i]);

        for (j = 0; j < sizeof(lens) / sizeof(lens[0]); j++) {
            put_record(&kinds[i], lens[j]);
        }

        every_split(&t, 1);

        assert_false(t.rejected);
        assert_int_equal(t.skipped, 0);
        assert_int_equal(t.fresh, 1);
        assert_int_equal(t.headers, HEADER);
        assert_int_equal(t.records, n - HEADER);
        assert_memory_equal(t.file, file + HEADER, n - HEADER);
        decode_clear(&t);
    }
}


/* Large records, and many: in place where they are whole. */

static void
test_large(void **state)
{
    size_t          len, i;
    decode_t        t, split;
    d4_pool_t       pool;
    d4_record_t     r;
    d4_decoder_t   *d;
    const uint8_t  *p;

    (void) state;

    n = 0;
    put_header(&kinds[0]);
    put_record(&kinds[0], 262144);
    put_record(&kinds[0], 65535);

    for (i = 0; i < 1000; i++) {
        put_record(&kinds[0], 1500);
    }

    put_record(&kinds[0], 262144);

    decode(&t, file, n, 0, 0);
    assert_int_equal(t.records, n - HEADER);

    for (i = 1; i < 300000; i = i * 17 + 1) {
        decode(&split, file, n, i, 0);
        decode_same(&t, 0, &split);
        decode_clear(&split);
        decode(&split, file, n, i + 1000, i + 1000);
        decode_same(&t, 0, &split);
        decode_clear(&split);
    }

    decode_clear(&t);

    d4_pool_init(&pool, 0);
    d = d4_pcap_create(&pool, 0);
    p = file;
    len = HEADER;

    assert_int_equal(d4_decoder_next(d, &p, file + n, &r), D4_DECODE_RECORD);
    assert_int_equal(r.len, 0);
    assert_true(r.fresh);
    assert_string_equal(d->suffix, ".cap");
    assert_int_equal(d->preamble_version, 1);

    while (d4_decoder_next(d, &p, file + n, &r) == D4_DECODE_RECORD) {
        assert_ptr_equal(r.data, file + len);
        assert_ptr_equal(p, file + len + r.len);
        assert_true(r.len < 65536 + 16 + 262144);
        assert_int_equal(d4_decoder_held(d), 0);
        assert_int_equal(pool.held, 0);
        len += r.len;
    }

    assert_int_equal(len, n);
    d4_decoder_free(d);
}


static void
rejected(const char *reason)
{
    size_t    i;
    decode_t  t;

    for (i = 0; i <= n; i++) {
        decode(&t, file, n, i, 0);
        assert_true(t.rejected);
        assert_string_equal(t.reason, reason);
        assert_int_equal(t.records + t.skipped + t.headers, 0);
        decode_clear(&t);
    }
}


static void
test_reject(void **state)
{
    size_t    i;
    kind_t    k;
    decode_t  t;

    (void) state;

    n = 0;
    put_data(100);
    rejected("not pcap");

    n = 0;
    put32(0x0a0d0d0a, 0);
    put_data(100);
    rejected("not pcap");

    for (i = 0; i < KINDS; i++) {
        k = kinds[i];
        k.minor = 5;
        n = 0;
        put_header(&k);
        rejected("a version of pcap that is not 2.0 to 2.4");

        k.minor = 4;
        n = 0;
        put_header(&k);
        file[4] ^= 1;
        rejected("a version of pcap that is not 2.0 to 2.4");
    }

    /* too short to tell */

    n = 0;
    put_header(&kinds[0]);

    for (i = 0; i < HEADER; i++) {
        decode(&t, file, i, 0, 0);
        assert_false(t.rejected);
        assert_int_equal(t.skipped, i);
        assert_int_equal(t.headers, 0);
        decode_clear(&t);
    }
}


/* The end of the session in the middle of a record. */

static void
test_truncated(void **state)
{
    size_t    i, whole, last;
    decode_t  t;

    (void) state;

    n = 0;
    put_header(&kinds[1]);
    put_record(&kinds[1], 50);
    whole = n;
    put_record(&kinds[1], 70);
    last = n;

    for (i = whole + 1; i < last; i++) {
        n = i;
        every_split(&t, 17);
        assert_int_equal(t.records, whole - HEADER);
        assert_int_equal(t.skipped, i - whole);
        assert_string_equal(t.reason, "truncated record");
        decode_clear(&t);
    }
}


/* What "tcpdump -r" reads is no reason to lose it. */

static void
test_odd(void **state)
{
    size_t    i;
    kind_t    k;
    decode_t  t;

    static const struct {
        uint32_t  sec;
        uint32_t  fraction;
        uint32_t  captured;
        uint32_t  len;
        int       good;
    } records[] = {
        { 5, 1000000, 60, 60, 1 },             /* nanoseconds after all */
        { 5, 0xffffffff, 60, 60, 1 },
        { 0, 0, 60, 60, 1 },
        { 0, 0, 0, 1, 1 },
        { 1, 0, 0, 0, 1 },
        { 0xffffffff, 3, 60, 60, 1 },
        { 5, 3, 61, 60, 1 },                   /* more than there was */
        { 5, 3, 1060, 36, 1 },
        { 5, 3, 1060, 35, 0 },                 /* far more */
        { 5, 3, 2000, 2000, 1 },               /* more than the limit */
        { 5, 3, 262144, 262144, 1 },
        { 5, 3, 60, 0xffffffff, 1 },
        { 5, 3, 262145, 262145, 0 },
        { 5, 3, 0xffffffff, 0xffffffff, 0 },
        { 7, 7, 60, 60, 1 },
        { 60, 60, 60, 60, 0 },                 /* a pattern */
        { 0, 0, 0, 0, 0 },
        { 5, 1000000, 61, 60, 0 },             /* wrong twice */
        { 5, 1000000, 60, 0xffffffff, 0 },
        { 5, 1000000, 2000, 2000, 0 },
        { 5, 3, 2000, 60, 0 }
    };

    (void) state;

    k = kinds[1];
    k.snaplen = 1500;

    for (i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        n = 0;
        put_header(&k);
        put_record_as(&k, records[i].sec, records[i].fraction,
                      records[i].captured, records[i].len);

        if (records[i].captured <= 262144) {
            put_data(records[i].captured);
        }

        decode(&t, file, n, 0, 0);
        assert_int_equal(t.records, records[i].good ? n - HEADER : 0);
        assert_int_equal(t.skipped, records[i].good ? 0 : n - HEADER);

        if (!records[i].good) {
            assert_string_equal(t.reason, "corrupt record");
        }

        decode_clear(&t);
    }
}


/*
 * A writer that is always wrong in one field: every record comes out, if only
 * when the next one is there, and borders are found all the same.
 */

static void
test_always_odd(void **state)
{
    size_t           i, j, at[201];
    kind_t           k;
    decode_t         t, split;
    decode_border_t  b;

    static const size_t  pieces[] = { 1, 2, 15, 16, 17, 100, 1000, 100000 };

    (void) state;

    for (i = 0; i < KINDS; i++) {
        k = kinds[i];
        k.snaplen = 262144;
        n = 0;
        put_header(&k);

        for (j = 0; j < 200; j++) {
            at[j] = n;
            put_record_as(&k, 5000 + (uint32_t) j,
                          0x3b9aca00 + (uint32_t) (j * 9999), 60, 60);
            put_data(60);
        }

        at[j] = n;

        decode(&t, file, n, 0, 0);
        assert_int_equal(t.records, n - HEADER);
        assert_int_equal(t.skipped, 0);

        for (j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
            decode(&split, file, n, pieces[j], pieces[j]);
            decode_same(&t, 0, &split);

            /* of less than what is looked ahead nothing goes back */

            assert_true(split.n >= (pieces[j] > 16 ? 2 : 1));
            assert_true(split.held < (pieces[j] > 17 ? 1000 : 20000));
            decode_clear(&split);
        }

        decode_clear(&t);

        /* as our client cuts: behind a record */

        memset(&split, 0, sizeof(decode_t));
        split.watch = 1;
        b.preamble = file;
        b.len = HEADER;
        b.resume = 0;

        decode_all(&split, d4_pcap_create, &b, file + HEADER, n - HEADER,
                   at[1] - at[0], at[1] - at[0]);
        assert_int_equal(split.n, 199);
        decode_borders(&split, d4_pcap_create, file + HEADER, n - HEADER, 0);
        decode_clear(&split);

        /* what follows is of another time */

        put32(0, 0);
        n = at[100];
        put_record_as(&k, 5000 + 86500 + 99, 5, 60, 60);
        n = at[200];
        decode(&t, file, n, 0, 0);
        assert_int_equal(t.skips, 1);
        decode_clear(&t);
    }

    /* without end, in small pieces: at most so much is held */

    k = kinds[0];
    n = 0;
    put_header(&k);

    for (j = 0; j < 14500; j++) {
        put_record_as(&k, 5000, 1000000, 60, 60);
        put_data(60);
    }

    decode(&t, file, n, 8, 8);
    assert_int_equal(t.records, n - HEADER);
    assert_int_equal(t.events, 2);
    decode_clear(&t);
}


/* A limit of the caller's, and the link types whose packets are larger. */

static void
test_limit(void **state)
{
    kind_t          k;
    size_t          max;
    d4_pool_t       pool;
    d4_record_t     r;
    d4_decoder_t   *d;
    const uint8_t  *p;

    (void) state;

    k = kinds[0];
    d4_pool_init(&pool, 0);

    for (max = 1015; max <= 1016; max++) {
        n = 0;
        put_header(&k);
        put_record(&k, 1000);

        d = d4_pcap_create(&pool, max);
        p = file;
        assert_int_equal(d4_decoder_next(d, &p, file + n, &r),
                         D4_DECODE_RECORD);
        assert_int_equal(d4_decoder_next(d, &p, file + n, &r),
                         max == 1016 ? D4_DECODE_RECORD : D4_DECODE_AGAIN);
        d4_decoder_free(d);
    }

    k.link = 249;
    k.snaplen = 0;
    n = 0;
    put_header(&k);
    put_record(&k, 3000000);

    d = d4_pcap_create(&pool, 0);
    p = file;
    assert_int_equal(d4_decoder_next(d, &p, file + n, &r), D4_DECODE_RECORD);
    assert_int_equal(d4_decoder_next(d, &p, file + n, &r), D4_DECODE_RECORD);
    assert_int_equal(r.len, 3000016);
    d4_decoder_free(d);
}


static void
test_restore(void **state)
{
    uint8_t        header[HEADER + 1];
    d4_pool_t      pool;
    d4_decoder_t  *d;

    (void) state;

    n = 0;
    put_header(&kinds[0]);
    memcpy(header, file, HEADER);
    d4_pool_init(&pool, 0);

    d = d4_pcap_create(&pool, 0);
    assert_int_equal(d4_decoder_restore(d, header, HEADER - 1, 0), -1);
    assert_int_equal(d4_decoder_restore(d, header, HEADER + 1, 0), -1);
    header[0] ^= 1;
    assert_int_equal(d4_decoder_restore(d, header, HEADER, 0), -1);
    header[0] ^= 1;
    header[6] = 5;
    assert_int_equal(d4_decoder_restore(d, header, HEADER, 1), -1);
    assert_null(d->preamble);
    header[6] = 4;
    assert_int_equal(d4_decoder_restore(d, NULL, 0, 1), 0);
    assert_int_equal(d4_decoder_restore(d, header, HEADER, 1), 0);
    assert_int_equal(d->preamble_len, HEADER);
    d4_decoder_free(d);
}


static void
test_nomem(void **state)
{
    kind_t          k;
    size_t          left, total;
    d4_pool_t       pool;
    d4_record_t     r;
    d4_decode_t     rc;
    d4_decoder_t   *d;
    const uint8_t  *p;

    (void) state;

    if (!NOMEM_POSSIBLE) {
        skip();
    }

    k = kinds[0];
    k.link = 249;
    k.snaplen = 0;

    n = 0;
    put_header(&k);
    put_record_as(&k, 1, 2, 64 * 1024 * 1024, 64 * 1024 * 1024);

    d4_pool_init(&pool, 0);
    d = d4_pcap_create(&pool, 128 * 1024 * 1024);
    total = 0;
    p = file;

    assert_int_equal(d4_decoder_next(d, &p, file + n, &r), D4_DECODE_RECORD);
    assert_int_equal(d4_decoder_next(d, &p, file + n, &r), D4_DECODE_AGAIN);
    memset(file, 'x', sizeof(file));

    /* it has to end somewhere */

    nomem(1);

    for (left = 64 * 1024 * 1024; left != 0; left -= sizeof(file)) {
        p = file;
        rc = d4_decoder_next(d, &p, file + sizeof(file), &r);

        if (rc == D4_DECODE_NOMEM) {
            break;
        }

        total += p - file;
    }

    assert_int_equal(d4_decoder_next(d, &p, file + sizeof(file), &r),
                     D4_DECODE_NOMEM);
    nomem(0);

    assert_ptr_equal(p, file);
    assert_int_equal(d4_decoder_held(d), 16 + total);

    for ( /* void */ ; left != 0; left -= sizeof(file)) {
        p = file;
        rc = d4_decoder_next(d, &p, file + sizeof(file), &r);
        total += p - file;
    }

    assert_int_equal(rc, D4_DECODE_RECORD);
    assert_int_equal(total, 64 * 1024 * 1024);
    assert_int_equal(r.len, 16 + total);
    assert_int_equal(r.data[15], 4);
    assert_int_equal(r.data[16], 'x');
    assert_int_equal(r.data[15 + total], 'x');
    assert_int_equal(d4_decoder_held(d), 0);

    d4_decoder_free(d);
    assert_int_equal(pool.held, 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_reject),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_odd),
        cmocka_unit_test(test_always_odd),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

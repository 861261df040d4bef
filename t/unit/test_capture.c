
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "make_pcapng.h"


#define PCAP    24
#define PCAPNG  48


/* what the two formats begin with: a pcap of this byte order, or a pcapng */
typedef struct {
    int               big;
    size_t            head;
    decode_create_t   create;
} format_t;


static const format_t  formats[] = {
    { 0, PCAP, d4_pcap_create },
    { 1, PCAP, d4_pcap_create },
    { 0, PCAPNG, d4_pcapng_create },
    { 1, PCAPNG, d4_pcapng_create }
};

#define FORMATS  (sizeof(formats) / sizeof(formats[0]))


static void
put_head(const format_t *f)
{
    big = f->big;

    if (f->head == PCAPNG) {
        put_section(0xffffffff, 0xffffffff, 0);
        put_interface(1, 0);
        return;
    }

    put32(0xa1b2c3d4);
    put16(2, 4);
    put32(0);
    put32(0);
    put32(262144);
    put32(1);
}


static void
put_packet(const format_t *f, uint32_t len)
{
    if (f->head == PCAPNG) {
        put_enhanced(0, len);
        return;
    }

    put32(1700000000 + clock / 100);
    put32(clock++ * 9999 % 1000000);
    put32(len);
    put32(len);
    put_data(len);
}


/* A capture with something in it that is corrupt. */

static void
make(const format_t *f)
{
    uint32_t  i;

    n = 0;
    put_head(f);

    for (i = 0; i < 10; i++) {
        if (i == 4) {
            put_data(70);
        }

        put_packet(f, 30 + i * 13 % 50);
    }
}


static void
capture(decode_t *t, const decode_border_t *b, size_t off, size_t first,
    size_t second)
{
    memset(t, 0, sizeof(decode_t));
    t->watch = 1;

    decode_all(t, d4_capture_create, b, file + off, n - off, first, second);
}


/* The same as of want comes out of the input from off on, however split. */

static void
every_split_as(const decode_t *want, const decode_border_t *b, size_t off)
{
    size_t    i;
    decode_t  t;

    for (i = 0; i < n - off; i++) {
        capture(&t, b, off, i, 0);
        decode_same(want, 0, &t);
        assert_int_equal(t.rejected, want->rejected);

        if (i < 40) {
            decode_borders(&t, d4_capture_create, file + off, n - off, 0);
        }

        decode_clear(&t);
    }

    capture(&t, b, off, 1, 1);
    decode_same(want, 0, &t);
    decode_borders(&t, d4_capture_create, file + off, n - off, 7);
    decode_clear(&t);

    capture(&t, b, off, 3, 10);
    decode_same(want, 0, &t);
    decode_clear(&t);
}


static void
test_splits(void **state)
{
    size_t    i;
    decode_t  want;

    (void) state;

    for (i = 0; i < FORMATS; i++) {
        make(&formats[i]);

        memset(&want, 0, sizeof(decode_t));
        decode_all(&want, formats[i].create, NULL, file, n, 0, 0);
        assert_int_equal(want.headers, formats[i].head);
        assert_int_equal(want.skipped, 70);
        assert_int_equal(want.records, n - formats[i].head - 70);

        every_split_as(&want, NULL, 0);
        decode_clear(&want);
    }
}


/* What is held before there is a choice, and that it is seen from outside. */

static void
test_head(void **state)
{
    size_t          i, j, head;
    d4_pool_t       pool;
    d4_record_t     r;
    d4_decoder_t   *d;
    const uint8_t  *p;

    (void) state;

    for (i = 0; i < FORMATS; i++) {
        make(&formats[i]);
        head = formats[i].head;

        d4_pool_init(&pool, 0);
        d = d4_capture_create(&pool, 0);
        assert_string_equal(d->suffix, ".cap");
        assert_int_equal(d->max, D4_RECORD_FILE);
        assert_int_equal(d4_decoder_held(d), 0);

        for (p = file, j = 1; j < head; j++) {
            assert_int_equal(d4_decoder_next(d, &p, file + j, &r),
                             D4_DECODE_AGAIN);
            assert_int_equal(r.len, 0);
            assert_null(r.data);
            assert_int_equal(d4_decoder_held(d), j);
            assert_null(d->preamble);
            assert_int_equal(d->preamble_version, 0);
        }

        assert_int_equal(d4_decoder_next(d, &p, file + n, &r),
                         D4_DECODE_RECORD);
        assert_true(r.fresh);
        assert_int_equal(d->preamble_len, head);
        assert_memory_equal(d->preamble, file, head);
        assert_int_equal(d->preamble_version, 1);
        assert_string_equal(d->suffix, ".cap");

        d4_decoder_free(d);
        assert_int_equal(pool.held, 0);
    }
}


static void
test_reject(void **state)
{
    size_t    i, j;
    decode_t  t, whole;

    static const struct {
        uint32_t     magic;
        const char  *reason;
    } odd[] = {
        { 0x6c6c6548, "not pcap" },
        { 0x0a0d0d0b, "not pcap" },
        { 0xa1b2c3d4, "a version of pcap that is not 2.0 to 2.4" },
        { 0x0a0d0d0a, "not a section header of pcapng 1.x" }
    };

    (void) state;

    big = 0;

    for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        n = 0;
        put32(odd[i].magic);
        put_data(60);

        capture(&whole, NULL, 0, 0, 0);

        for (j = 0; j < n; j++) {
            capture(&t, NULL, 0, j, j);
            decode_same(&whole, 0, &t);
            assert_true(t.rejected);
            assert_string_equal(t.reason, odd[i].reason);
            assert_int_equal(t.records + t.skipped + t.headers, 0);
            decode_clear(&t);
        }

        decode_clear(&whole);
    }
}


/* Less than what would tell. */

static void
test_short(void **state)
{
    size_t           i, len;
    uint8_t          preamble[PCAPNG];
    decode_t         t;
    decode_border_t  b;

    (void) state;

    for (i = 0; i < FORMATS; i++) {
        make(&formats[i]);
        memcpy(preamble, file, formats[i].head);

        b.preamble = preamble;
        b.len = formats[i].head;
        b.resume = 1;

        for (len = 0; len < 24; len++) {
            n = len;

            capture(&t, NULL, 0, 1, 1);
            assert_false(t.rejected);
            assert_int_equal(t.skipped, len);
            decode_clear(&t);

            capture(&t, &b, 0, 1, 1);
            assert_false(t.rejected);
            assert_int_equal(t.skipped, len);
            decode_clear(&t);
        }
    }
}


static void
test_restore(void **state)
{
    size_t         i, head, len;
    d4_pool_t      pool;
    d4_decoder_t  *d;

    (void) state;

    for (i = 0; i < FORMATS; i++) {
        make(&formats[i]);
        head = formats[i].head;

        d4_pool_init(&pool, 0);
        d = d4_capture_create(&pool, 0);

        for (len = 1; len <= head + 1; len++) {
            if (len != head && len != PCAPNG - 20) {
                assert_int_equal(d4_decoder_restore(d, file, len, 0), -1);
                assert_null(d->preamble);
            }
        }

        assert_int_equal(d4_decoder_restore(d, NULL, 0, 1), 0);
        assert_null(d->preamble);

        assert_int_equal(d4_decoder_restore(d, file, head, 1), 0);
        assert_int_equal(d->preamble_len, head);
        assert_memory_equal(d->preamble, file, head);
        assert_int_equal(d->preamble_version, 1);
        assert_int_equal(d4_decoder_held(d), 0);

        d4_decoder_free(d);
        assert_int_equal(pool.held, 0);

        d = d4_capture_create(&pool, 0);
        file[0] ^= 0x55;
        assert_int_equal(d4_decoder_restore(d, file, head, 1), -1);
        d4_decoder_free(d);
        assert_int_equal(pool.held, 0);
    }
}


/* Another session, of the same format or the other, from its beginning. */

static void
test_resume(void **state)
{
    size_t           i, j;
    uint8_t          preamble[PCAPNG];
    decode_t         want;
    decode_border_t  b, *from;

    (void) state;

    for (i = 0; i < FORMATS; i++) {
        for (j = 0; j < FORMATS; j++) {
            make(&formats[i]);
            memcpy(preamble, file, formats[i].head);

            b.preamble = preamble;
            b.len = formats[i].head;
            b.resume = 1;

            make(&formats[j]);

            /* the other one begins as it does without a session before */

            from = (formats[i].head == formats[j].head) ? &b : NULL;

            memset(&want, 0, sizeof(decode_t));
            decode_all(&want, formats[j].create, from, file, n, 0, 0);
            assert_int_equal(want.headers, formats[j].head);
            assert_int_equal(want.records, n - formats[j].head - 70);

            every_split_as(&want, &b, 0);
            decode_clear(&want);
        }
    }
}


/* The preamble of the session before, until there is the other format's. */

static void
test_turn(void **state)
{
    size_t          i, j, old;
    uint8_t         preamble[PCAPNG];
    uint32_t        version;
    d4_pool_t       pool;
    d4_record_t     r;
    d4_decoder_t   *d;
    const uint8_t  *p;

    (void) state;

    for (i = 0; i < FORMATS; i++) {
        make(&formats[i]);
        old = formats[i].head;
        memcpy(preamble, file, old);

        make(&formats[FORMATS - 1 - i]);

        d4_pool_init(&pool, 0);
        d = d4_capture_create(&pool, 0);
        assert_int_equal(d4_decoder_restore(d, preamble, old, 1), 0);
        version = d->preamble_version;

        for (p = file, j = 1; j < formats[FORMATS - 1 - i].head; j++) {
            assert_int_equal(d4_decoder_next(d, &p, file + j, &r),
                             D4_DECODE_AGAIN);
            assert_int_equal(d4_decoder_held(d), j);
            assert_int_equal(d->preamble_len, old);
            assert_memory_equal(d->preamble, preamble, old);
            assert_int_equal(d->preamble_version, version);
        }

        assert_int_equal(d4_decoder_next(d, &p, file + n, &r),
                         D4_DECODE_RECORD);
        assert_true(r.fresh);
        assert_int_equal(d->preamble_len, formats[FORMATS - 1 - i].head);
        assert_memory_equal(d->preamble, file, d->preamble_len);
        assert_int_not_equal(d->preamble_version, version);

        d4_decoder_free(d);
        assert_int_equal(pool.held, 0);
    }
}


/* From the middle on, at any byte, also where it looks like a magic. */

static void
test_middle(void **state)
{
    size_t           i, k;
    uint8_t          preamble[PCAPNG];
    decode_t         want, t;
    decode_border_t  b;

    static const uint32_t  magic[] = { 0x0a0d0d0a, 0xa1b2c3d4, 0xd4c3b2a1 };

    (void) state;

    for (i = 0; i < FORMATS; i++) {
        make(&formats[i]);
        memcpy(preamble, file, formats[i].head);

        b.preamble = preamble;
        b.len = formats[i].head;
        b.resume = 1;

        for (k = formats[i].head; k < n; k++) {
            memset(&want, 0, sizeof(decode_t));
            decode_all(&want, formats[i].create, &b, file + k, n - k, 0, 0);

            capture(&t, &b, k, k % 20, 0);
            decode_same(&want, 0, &t);
            decode_borders(&t, d4_capture_create, file + k, n - k, 0);

            decode_clear(&t);
            decode_clear(&want);
        }

        for (k = 0; k < sizeof(magic) / sizeof(magic[0]); k++) {
            n = 0;
            big = formats[i].big;
            put32(magic[k]);
            put_data(30);
            put_packet(&formats[i], 60);
            put_packet(&formats[i], 70);
            put_packet(&formats[i], 80);
            put_packet(&formats[i], 90);

            memset(&want, 0, sizeof(decode_t));
            decode_all(&want, formats[i].create, &b, file, n, 0, 0);
            assert_int_equal(want.skipped, 34);
            assert_int_equal(want.records, n - 34);

            every_split_as(&want, &b, 0);
            decode_clear(&want);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_reject),
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_turn),
        cmocka_unit_test(test_middle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

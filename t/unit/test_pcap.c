
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DECODE_REQUIRE(truth)  assert_true(truth)

#include "decode.h"
#include "nomem.h"


#define HEADER  24


typedef struct {
    uint32_t  magic;
    int       big;
    uint16_t  minor;
    uint32_t  snaplen;
    uint32_t  link;
} kind_t;


static const kind_t  kinds[] = {
    { 0xa1b2c3d4, 0, 4, 262144, 1 },
    { 0xa1b2c3d4, 1, 4, 262144, 1 },
    { 0xa1b23c4d, 0, 4, 65535, 101 },
    { 0xa1b23c4d, 1, 4, 96, 276 },
    { 0xa1b2cd34, 0, 4, 65535, 1 },
    { 0xa1b2cd34, 1, 4, 0, 113 },
    { 0xa1b2c3d4, 0, 3, 1514, 127 },
    { 0xa1b2c3d4, 1, 2, 1514, 0 },
    { 0xa1b2c3d4, 0, 0, 65535, 1 }
};

#define KINDS  (sizeof(kinds) / sizeof(kinds[0]))


/* what is being made */
static uint8_t   file[4 * 1024 * 1024];
static size_t    n;
static uint32_t  clock;


static void
put32(uint32_t v, int big)
{
    int  i;

    assert_true(n + 4 <= sizeof(file));

    for (i = 0; i < 4; i++) {
        file[n++] = (uint8_t) (v >> (big ? 24 - 8 * i : 8 * i));
    }
}


static void
put_header(const kind_t *k)
{
    put32(k->magic, k->big);
    put32(k->big ? 0x20000 | k->minor : (uint32_t) k->minor << 16 | 2,
          k->big);
    put32(0, k->big);
    put32(0, k->big);
    put32(k->snaplen, k->big);
    put32(k->link, k->big);
}


static void
put_record_as(const kind_t *k, uint32_t sec, uint32_t fraction,
    uint32_t captured, uint32_t len)
{
    put32(sec, k->big);
    put32(fraction, k->big);
    put32(k->minor < 3 ? len : captured, k->big);
    put32(k->minor < 3 ? captured : len, k->big);

    if (k->magic == 0xa1b2cd34) {
        put32(2, k->big);
        put32(0x0800, k->big);
    }
}


static void
put_data(uint32_t len)
{
    assert_true(n + len <= sizeof(file));

    /* no record is to be found in it */

    while (len-- > 0) {
        file[n++] = (uint8_t) (0x80 | (len * 7));
    }
}


static void
put_record(const kind_t *k, uint32_t len)
{
    put_record_as(k, 1700000000 + clock / 100, clock * 9999 % 1000000, len,
                  len + (clock % 3 ? 0 : 1000));
    put_data(len);
    clock++;
}


static uint32_t
get32(const uint8_t *p, int big)
{
    return big ? (uint32_t) p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]
               : (uint32_t) p[3] << 24 | p[2] << 16 | p[1] << 8 | p[0];
}


/* Whether this is a file that ends with a whole record. */

static int
sound(const uint8_t *preamble, size_t preamble_len, const uint8_t *p,
    size_t len)
{
    int       big, old;
    size_t    head;
    uint32_t  a, b;

    if (preamble_len != HEADER) {
        return 0;
    }

    big = (preamble[0] == 0xa1);
    head = (get32(preamble, big) == 0xa1b2cd34) ? 24 : 16;
    old = preamble[big ? 7 : 6];

    while (len >= head) {
        a = get32(p + 8, big);
        b = get32(p + 12, big);

        if (old < 3 || (old == 3 && a > b)) {
            a = b;
        }

        if (a > len - head) {
            return 0;
        }

        p += head + a;
        len -= head + a;
    }

    return len == 0;
}


static void
decode(decode_t *t, const uint8_t *p, size_t len, size_t first, size_t second)
{
    memset(t, 0, sizeof(decode_t));
    t->sound = sound;
    t->watch = 1;

    decode_all(t, d4_pcap_create, NULL, p, len, first, second);

    assert_true(t->held <= DECODE_HELD_MAX);
}


/* Any split gives the same; what that is stays in t. */

static void
every_split(decode_t *t, size_t step)
{
    size_t    i;
    decode_t  split;

    decode(t, file, n, 0, 0);
    decode_borders(t, d4_pcap_create, file, n, 0);

    for (i = 1; i < n; i += step) {
        decode(&split, file, n, i, 0);
        decode_same(t, 0, &split);
        decode_clear(&split);
    }

    decode(&split, file, n, 1, 1);
    decode_same(t, 0, &split);
    decode_borders(&split, d4_pcap_create, file, n, 7);
    decode_clear(&split);

    decode(&split, file, n, 13, 90);
    decode_same(t, 0, &split);
    decode_clear(&split);
}


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
    rejected("pcapng, which is another type, instead of pcap");

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

            /* of less than what is looked ahead there is nothing to give back */

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

    /* without end, a byte at a time: at most so much is held */

    k = kinds[0];
    n = 0;
    put_header(&k);

    for (j = 0; j < 25000; j++) {
        put_record_as(&k, 5000, 1000000, 60, 60);
        put_data(60);
    }

    decode(&t, file, n, 1, 1);
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
        cmocka_unit_test(test_corrupt),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_joined),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "make_pcap.h"

#include "../../ngx_d4_module/protocol/d4_border.h"


/*
 * A session whose owner may die after any event: whoever goes on from its
 * cursor comes to the same packets, each of them once.  The owner commits as
 * the dispatcher does, where a file has to end as well.
 */


#define ENTRIES  (256 * 1024)


typedef struct {
    d4_position_t   at;
    uint8_t         preamble[D4_PREAMBLE_MAX];
    size_t          preamble_len;
    size_t          out;           /* bytes of packets before it */
} cursor_t;


typedef struct {
    d4_decoder_t   *d;
    d4_border_t     track;
    d4_position_t   at;
    d4_position_t   border;
    d4_pool_t       pool;
    uint8_t        *out;
    size_t          len;
    size_t          commits;       /* with bytes that are held */
    int             check;
} owner_t;


static size_t   sizes[ENTRIES];
static size_t   nsizes;
static uint8_t  wanted[sizeof(file)];
static size_t   nwanted;
static uint8_t  got[sizeof(file)];


static void go_on(const cursor_t *c);


static void
commit(owner_t *o)
{
    cursor_t  c;

    if (!o->check) {
        return;
    }

    c.at = o->border;
    c.out = o->len;
    c.preamble_len = o->d->preamble_len;

    if (c.preamble_len != 0) {
        memcpy(c.preamble, o->d->preamble, c.preamble_len);
    }

    o->commits += (d4_decoder_held(o->d) != 0);

    go_on(&c);
}


static void
border(owner_t *o, int resume)
{
    d4_border_get(&o->track, &o->at, d4_decoder_held(o->d), &o->border);
    o->border.resume = (uint64_t) resume;
}


/* What the dispatcher does with an event. */

static void
event(owner_t *o, d4_decode_t rc, const d4_record_t *r)
{
    if (rc == D4_DECODE_SKIP) {
        border(o, 1);
        commit(o);
        return;
    }

    assert_int_equal(rc, D4_DECODE_RECORD);

    /* the file before it ends, with the border as it was */

    if (r->fresh && r->len != 0) {
        commit(o);
    }

    memcpy(o->out + o->len, r->data, r->len);
    o->len += r->len;

    border(o, 0);
    commit(o);
}


static void
entry(owner_t *o, size_t i, const uint8_t *data)
{
    size_t          skip, size;
    uint8_t        *piece;
    d4_decode_t     rc;
    d4_record_t     r;
    const uint8_t  *p, *from;

    size = sizes[i];
    skip = (size_t) d4_border_skip(&o->track, 7, i + 1, size);

    o->at.ms = 7;
    o->at.n = i + 1;
    o->at.off = skip;

    d4_border_entry(&o->track, &o->at, d4_decoder_held(o->d));

    if (d4_decoder_held(o->d) == 0) {
        border(o, (int) o->border.resume);
        commit(o);
    }

    /* gone when it is used up */

    size -= skip;
    piece = decode_alloc(NULL, size);
    memcpy(piece, data + skip, size);

    for (p = piece; /* void */ ; /* void */ ) {
        from = p;
        rc = d4_decoder_next(o->d, &p, piece + size, &r);

        o->at.off += (uint64_t) (p - from);
        d4_border_take(&o->track, p - from);

        if (rc == D4_DECODE_AGAIN) {
            break;
        }

        event(o, rc, &r);
    }

    free(piece);
}


/* From a cursor, or NULL: from the beginning, to the end of the session. */

static void
run(owner_t *o, const cursor_t *c)
{
    size_t       i, pos;
    d4_decode_t  rc;
    d4_record_t  r;

    d4_pool_init(&o->pool, 0);
    o->d = d4_capture_create(&o->pool, 0);
    memset(&o->at, 0, sizeof(d4_position_t));
    memset(&o->border, 0, sizeof(d4_position_t));
    d4_border_init(&o->track, c ? &c->at : NULL);

    if (c != NULL) {
        o->at = o->border = c->at;

        if (c->preamble_len != 0) {
            assert_int_equal(d4_decoder_restore(o->d, c->preamble,
                                                c->preamble_len,
                                                (int) c->at.resume), 0);
        }
    }

    /* entries before the one that the cursor names have left the stream */

    for (pos = 0, i = 0; i < nsizes; pos += sizes[i++]) {
        if (c == NULL || i + 1 >= c->at.n) {
            entry(o, i, file + pos);
        }
    }

    assert_int_equal(pos, n);

    for ( ;; ) {
        rc = d4_decoder_finish(o->d, &r);

        if (rc == D4_DECODE_AGAIN) {
            break;
        }

        event(o, rc, &r);
    }

    d4_decoder_free(o->d);
    assert_int_equal(o->pool.held, 0);
}


static void
go_on(const cursor_t *c)
{
    owner_t  o;

    memset(&o, 0, sizeof(owner_t));
    memcpy(got, wanted, c->out);
    o.out = got;
    o.len = c->out;

    run(&o, c);

    assert_int_equal(o.len, nwanted);
    assert_memory_equal(got, wanted, nwanted);
}


/* All that is in file, in entries of one size, then another one... */

static size_t
every_moment(size_t first, size_t second)
{
    size_t         pos;
    owner_t        o;
    static uint8_t out[sizeof(file)];

    for (pos = 0, nsizes = 0; pos < n; pos += sizes[nsizes++]) {
        sizes[nsizes] = (nsizes % 2) ? second : first;

        if (sizes[nsizes] > n - pos) {
            sizes[nsizes] = n - pos;
        }
    }

    memset(&o, 0, sizeof(owner_t));
    o.out = wanted;
    run(&o, NULL);
    nwanted = o.len;

    memset(&o, 0, sizeof(owner_t));
    o.out = out;
    o.check = 1;
    run(&o, NULL);

    assert_int_equal(o.len, nwanted);

    return o.commits;
}


static void
every_size(void)
{
    (void) every_moment(1, 1);
    (void) every_moment(16, 16);
    (void) every_moment(97, 3);
    (void) every_moment(700, 1);
    (void) every_moment(4096, 4096);
    (void) every_moment(n, n);
}


static void
put_none(uint8_t c, size_t len)
{
    assert_true(n + len <= sizeof(file));

    memset(file + n, c, len);
    n += len;
}


/* Another loss, and a new header, in what is held to prove a border. */

static void
test_lost_again(void **state)
{
    size_t  i, j, k;

    (void) state;

    for (i = 0; i < KINDS; i++) {
        j = (i + 1) % KINDS;
        n = 0;
        put_header(&kinds[i]);
        put_record(&kinds[i], 60);
        put_record(&kinds[i], 300);
        put_none(0xff, 90);

        for (k = 0; k < 5; k++) {
            put_record(&kinds[i], 50 + (uint32_t) k * 9);
        }

        put_none(0xff, 40);
        put_header(&kinds[j]);

        for (k = 0; k < 6; k++) {
            put_record(&kinds[j], 70);
        }

        every_size();

        /* held in small pieces until the whole is there */

        assert_true(every_moment(1, 1) != 0);
    }
}


/* The same without the loss between: the header follows what is held. */

static void
test_joined(void **state)
{
    size_t  i, k;

    (void) state;

    for (i = 0; i < KINDS; i++) {
        n = 0;
        put_header(&kinds[i]);
        put_record(&kinds[i], 60);
        put_none(0x7f, 400);

        for (k = 0; k < 3; k++) {
            put_record(&kinds[i], 50);
        }

        put_header(&kinds[(i + 2) % KINDS]);
        put_header(&kinds[i]);
        put_record(&kinds[i], 1000);
        put_record(&kinds[i], 50);
        put_record(&kinds[i], 50);
        put_none(0, 30);

        every_size();
    }
}


/* Records, headers and losses in any order. */

static void
test_any_order(void **state)
{
    size_t         i, k;
    uint32_t       seed, r;
    const kind_t  *kind;

    (void) state;

    seed = 1;

    for (i = 0; i < 150; i++) {
        n = 0;
        kind = &kinds[i % KINDS];
        put_header(kind);

        for (k = 0; k < 14; k++) {
            seed = seed * 1103515245 + 12345;
            r = seed >> 16;

            switch (r % 8) {

            case 0:
                put_none((uint8_t) (r >> 3), r % 101);
                break;

            case 1:
                kind = &kinds[(r >> 3) % KINDS];
                put_header(kind);
                break;

            default:
                put_record(kind, 40 + r % 200);
            }
        }

        (void) every_moment(1 + r % 20, 1 + r % 7);
        (void) every_moment(1 + r % 400, 1 + r % 90);
    }
}


/* What is skipped goes on over entries, and only behind the right one. */

static void
test_skip(void **state)
{
    d4_border_t    b;
    d4_position_t  p = { 5, 3, 25, 0 };

    (void) state;

    d4_border_init(&b, &p);
    assert_int_equal(d4_border_skip(&b, 5, 3, 10), 10);
    assert_int_equal(d4_border_skip(&b, 5, 4, 0), 0);
    assert_int_equal(d4_border_skip(&b, 5, 5, 10), 10);
    assert_int_equal(d4_border_skip(&b, 5, 6, 10), 5);
    assert_int_equal(d4_border_skip(&b, 5, 7, 10), 0);

    d4_border_init(&b, &p);
    assert_int_equal(d4_border_skip(&b, 5, 4, 10), 0);
    assert_int_equal(d4_border_skip(&b, 5, 3, 10), 0);

    d4_border_init(&b, NULL);
    assert_int_equal(d4_border_skip(&b, 0, 0, 10), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_lost_again),
        cmocka_unit_test(test_joined),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_skip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

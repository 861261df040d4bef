
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DECODE_REQUIRE(truth)  assert_true(truth)

#include "decode.h"
#include "nomem.h"


#define TEMPLATES  2
#define OPTIONS    3


/* what is being made */
static uint8_t   file[4 * 1024 * 1024];
static size_t    n, message, set;
static uint32_t  sequence;


static void
put16(uint32_t v)
{
    assert_true(n + 2 <= sizeof(file));

    file[n++] = (uint8_t) (v >> 8);
    file[n++] = (uint8_t) v;
}


static void
put32(uint32_t v)
{
    put16(v >> 16);
    put16(v & 0xffff);
}


/* A message, a set in it: their lengths follow what is put into them. */

static void
lengths(void)
{
    size_t  end;

    end = n;

    n = message + 2;
    put16((uint32_t) (end - message));

    if (set != 0) {
        n = set + 2;
        put16((uint32_t) (end - set));
    }

    n = end;
}


static void
put_message(uint32_t domain)
{
    message = n;
    set = 0;

    put16(10);
    put16(0);
    put32(1700000000 + sequence / 10);
    put32(sequence++);
    put32(domain);
    lengths();
}


static void
put_set(uint32_t id)
{
    set = n;

    put16(id);
    put16(0);
    lengths();
}


/* A template of so many fields, the last of an enterprise. */

static void
put_template(uint32_t id, uint32_t fields, uint32_t first)
{
    uint32_t  i;

    put16(id);
    put16(fields);

    if (fields != 0 && file[set + 1] == OPTIONS) {
        put16(1);
    }

    for (i = 0; i < fields; i++) {
        put16((first + i) | (i + 1 == fields && i > 0 ? 0x8000 : 0));
        put16(4);

        if (i + 1 == fields && i > 0) {
            put32(6871);
        }
    }

    lengths();
}


static void
put_data(uint32_t id, size_t len)
{
    put_set(id);

    while (len-- > 0) {
        assert_true(n < sizeof(file));
        file[n++] = (uint8_t) (0x80 | (len * 7));
    }

    lengths();
}


static uint32_t
get16(const uint8_t *p)
{
    return (uint32_t) (p[0] << 8 | p[1]);
}


/* the templates that a reader of a file knows */
static uint64_t  known[20000];
static size_t    n_known;


static int
is_known(uint64_t key)
{
    size_t  i;

    for (i = 0; i < n_known; i++) {
        if (known[i] == key) {
            return 1;
        }
    }

    return 0;
}


/* Whether all data has a template in front of it. */

static int
sound_messages(const uint8_t *p, size_t len)
{
    size_t          i, fields, left;
    uint32_t        id;
    uint64_t        domain;
    const uint8_t  *end, *q, *s;

    while (len != 0) {
        if (len < 16 || get16(p) != 10 || get16(p + 2) > len
            || get16(p + 2) < 16)
        {
            return 0;
        }

        end = p + get16(p + 2);
        len -= get16(p + 2);
        domain = (uint64_t) get16(p + 12) << 48 | (uint64_t) get16(p + 14)
                                                   << 32;

        for (s = p + 16; s != end; s += get16(s + 2)) {
            if (end - s < 4 || get16(s + 2) > end - s || get16(s + 2) < 4) {
                return 0;
            }

            id = get16(s);

            if (id >= 256) {
                if (!is_known(domain | id)) {
                    return 0;
                }

                continue;
            }

            left = get16(s + 2) - 4;

            for (q = s + 4; left >= 4 && get16(q) != 0; /* void */ ) {
                fields = get16(q + 2);

                if (n_known == sizeof(known) / sizeof(known[0])) {
                    return 0;
                }

                known[n_known++] = domain | get16(q);

                i = 4;

                if (fields != 0 && id == OPTIONS) {
                    i += 2;
                }

                while (fields-- > 0) {
                    i += (q[i] & 0x80) ? 8 : 4;
                }

                if (i > left) {
                    return 0;
                }

                left -= i;
                q += i;
            }
        }

        p = end;
    }

    return 1;
}


static int
sound(const uint8_t *preamble, size_t preamble_len, const uint8_t *p,
    size_t len)
{
    n_known = 0;

    return sound_messages(preamble, preamble_len) && sound_messages(p, len);
}


static void
decode(decode_t *t, const uint8_t *p, size_t len, size_t first, size_t second)
{
    memset(t, 0, sizeof(decode_t));
    t->sound = sound;
    t->watch = 1;

    decode_all(t, d4_ipfix_create, NULL, p, len, first, second);

    assert_true(t->held <= DECODE_HELD_MAX);
}


static void
every_split(decode_t *t, size_t step)
{
    size_t    i;
    decode_t  split;

    decode(t, file, n, 0, 0);
    decode_borders(t, d4_ipfix_create, file, n, 0);

    for (i = 1; i < n; i += step) {
        decode(&split, file, n, i, 0);
        decode_same(t, 0, &split);
        decode_clear(&split);
    }

    decode(&split, file, n, 1, 1);
    decode_same(t, 0, &split);
    decode_borders(&split, d4_ipfix_create, file, n, 7);
    decode_clear(&split);

    decode(&split, file, n, 13, 90);
    decode_same(t, 0, &split);
    decode_clear(&split);
}


/* A decoder fed with all there is; its preamble is looked at. */

static d4_decoder_t *
fed(d4_pool_t *pool)
{
    d4_record_t     r;
    d4_decode_t     rc;
    d4_decoder_t   *d;
    const uint8_t  *p;

    d4_pool_init(pool, 0);
    d = d4_ipfix_create(pool, 0);
    assert_non_null(d);

    p = file;

    do {
        rc = d4_decoder_next(d, &p, file + n, &r);
        assert_true(rc == D4_DECODE_RECORD || rc == D4_DECODE_AGAIN);
    } while (rc != D4_DECODE_AGAIN);

    return d;
}


static void
freed(d4_decoder_t *d, d4_pool_t *pool)
{
    d4_decoder_free(d);
    assert_int_equal(pool->held, 0);
}


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
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_preamble),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_reject),
        cmocka_unit_test(test_corrupt),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

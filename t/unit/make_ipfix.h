
/*
 * Messages for the tests of the IPFIX decoder, made a template at a time, and
 * what they have to fulfil.
 */


#ifndef _D4_MAKE_IPFIX_H_INCLUDED_
#define _D4_MAKE_IPFIX_H_INCLUDED_


#define DECODE_REQUIRE(truth)  assert_true(truth)

#include "decode.h"


#define TEMPLATES  2
#define OPTIONS    3


/* what is being made */
static uint8_t   file[4 * 1024 * 1024];
static size_t    n, message, set;
static uint32_t  sequence;


static inline void
put16(uint32_t v)
{
    assert_true(n + 2 <= sizeof(file));

    file[n++] = (uint8_t) (v >> 8);
    file[n++] = (uint8_t) v;
}


static inline void
put32(uint32_t v)
{
    put16(v >> 16);
    put16(v & 0xffff);
}


/* A message, a set in it: their lengths follow what is put into them. */

static inline void
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


static inline void
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


static inline void
put_set(uint32_t id)
{
    set = n;

    put16(id);
    put16(0);
    lengths();
}


/* A template of so many fields, the last of an enterprise. */

static inline void
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


static inline void
put_data(uint32_t id, size_t len)
{
    put_set(id);

    while (len-- > 0) {
        assert_true(n < sizeof(file));
        file[n++] = (uint8_t) (0x80 | (len * 7));
    }

    lengths();
}


static inline uint32_t
get16(const uint8_t *p)
{
    return (uint32_t) (p[0] << 8 | p[1]);
}


/* the templates that a reader of a file knows */
static uint64_t  known[20000];
static size_t    n_known;


static inline int
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

static inline int
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


static inline int
sound(const uint8_t *preamble, size_t preamble_len, const uint8_t *p,
    size_t len)
{
    n_known = 0;

    return sound_messages(preamble, preamble_len) && sound_messages(p, len);
}


static inline void
decode(decode_t *t, const uint8_t *p, size_t len, size_t first, size_t second)
{
    memset(t, 0, sizeof(decode_t));
    t->sound = sound;
    t->watch = 1;

    decode_all(t, d4_ipfix_create, NULL, p, len, first, second);

    assert_true(t->held <= DECODE_HELD_MAX);
}


static inline void
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

static inline d4_decoder_t *
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


static inline void
freed(d4_decoder_t *d, d4_pool_t *pool)
{
    d4_decoder_free(d);
    assert_int_equal(pool->held, 0);
}


#endif /* _D4_MAKE_IPFIX_H_INCLUDED_ */

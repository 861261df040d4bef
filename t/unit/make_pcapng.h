
/*
 * Captures for the tests of the pcapng decoder, made a block at a time, and
 * what they have to fulfil.
 */


#ifndef _D4_MAKE_PCAPNG_H_INCLUDED_
#define _D4_MAKE_PCAPNG_H_INCLUDED_


#define DECODE_REQUIRE(truth)  assert_true(truth)

#include "decode.h"


#define SECTION     0x0a0d0d0a
#define INTERFACE   1
#define PACKET      2
#define SIMPLE      3
#define NAMES       4
#define STATISTICS  5
#define ENHANCED    6


/* what is being made */
static uint8_t   file[4 * 1024 * 1024];
static size_t    n;
static int       big;
static uint32_t  clock;


static inline void
put32(uint32_t v)
{
    int  i;

    assert_true(n + 4 <= sizeof(file));

    for (i = 0; i < 4; i++) {
        file[n++] = (uint8_t) (v >> (big ? 24 - 8 * i : 8 * i));
    }
}


static inline void
put16(uint32_t a, uint32_t b)
{
    put32(big ? a << 16 | b : b << 16 | a);
}


static inline void
put_data(size_t len)
{
    while (len-- > 0) {
        assert_true(n < sizeof(file));
        file[n++] = (uint8_t) (0x80 | (len * 7));
    }
}


/* A block: what its two lengths are is seen at the end. */

static inline size_t
put_begin(uint32_t type)
{
    put32(type);
    put32(0);

    return n - 8;
}


static inline void
put_end(size_t begin)
{
    size_t  end;

    while ((n - begin) % 4 != 0) {
        file[n++] = 0;
    }

    end = n;
    n = begin + 4;
    put32((uint32_t) (end + 4 - begin));
    n = end;
    put32((uint32_t) (end + 4 - begin));
}


static inline void
put_section(uint32_t len_high, uint32_t len_low, size_t comment)
{
    size_t  b;

    b = put_begin(SECTION);
    put32(0x1a2b3c4d);
    put16(1, 0);
    put32(len_high);
    put32(len_low);

    if (comment) {
        put16(1, (uint32_t) comment);
        put_data(comment);
    }

    put_end(b);
}


static inline void
put_interface(uint32_t link, size_t comment)
{
    size_t  b;

    b = put_begin(INTERFACE);
    put16(link, 0);
    put32(262144);

    if (comment) {
        put16(1, (uint32_t) comment);
        put_data(comment);
    }

    put_end(b);
}


static inline void
put_enhanced(uint32_t interface, uint32_t len)
{
    size_t  b;

    b = put_begin(ENHANCED);
    put32(interface);
    put32(0x60000);
    put32(clock++);
    put32(len);
    put32(len + 5);
    put_data(len);
    put_end(b);
}


static inline void
put_other(uint32_t type, uint32_t first, uint32_t len)
{
    size_t  b;

    b = put_begin(type);
    put32(first);

    if (type == PACKET) {
        put32(0x60000);
        put32(clock++);
        put32(len);
        put32(len);

    } else if (type == STATISTICS) {
        put32(0x60000);
        put32(clock++);
    }

    put_data(len);
    put_end(b);
}


static inline uint32_t
get32(const uint8_t *p, int order)
{
    return order ? (uint32_t) p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]
                 : (uint32_t) p[3] << 24 | p[2] << 16 | p[1] << 8 | p[0];
}


/* Walks blocks as any reader would; what a file begins with is no data. */

static inline int
sound_blocks(const uint8_t *p, size_t len, int order, uint32_t *interfaces,
    int head)
{
    uint32_t  type, total;

    while (len > 0) {
        if (len < 12) {
            return 0;
        }

        type = get32(p, order);
        total = get32(p + 4, order);

        if (total < 12 || total % 4 || total > len
            || get32(p + total - 4, order) != total)
        {
            return 0;
        }

        switch (type) {

        case SECTION:
            return 0;

        case INTERFACE:
            if (!head) {
                return 0;
            }

            (*interfaces)++;
            break;

        case ENHANCED:
        case STATISTICS:
            if (get32(p + 8, order) >= *interfaces) {
                return 0;
            }

            break;
        }

        p += total;
        len -= total;
    }

    return 1;
}


static inline int
sound(const uint8_t *preamble, size_t preamble_len, const uint8_t *p,
    size_t len)
{
    int       order;
    uint32_t  interfaces, total;

    if (preamble_len < 28 || get32(preamble, 0) != SECTION) {
        return 0;
    }

    order = (preamble[8] == 0x1a);
    total = get32(preamble + 4, order);
    interfaces = 0;

    if (memcmp(preamble + 16, "\377\377\377\377\377\377\377\377", 8) != 0) {
        return 0;
    }

    return sound_blocks(preamble + total, preamble_len - total, order,
                        &interfaces, 1)
           && sound_blocks(p, len, order, &interfaces, 0);
}


static inline void
decode(decode_t *t, const uint8_t *p, size_t len, size_t first, size_t second)
{
    memset(t, 0, sizeof(decode_t));
    t->sound = sound;
    t->watch = 1;

    decode_all(t, d4_pcapng_create, NULL, p, len, first, second);
}


static inline void
every_split(decode_t *t, size_t step)
{
    size_t    i;
    decode_t  split;

    decode(t, file, n, 0, 0);
    decode_borders(t, d4_pcapng_create, file, n, 0);

    for (i = 1; i < n; i += step) {
        decode(&split, file, n, i, 0);
        decode_same(t, 0, &split);
        decode_clear(&split);
    }

    decode(&split, file, n, 1, 1);
    decode_same(t, 0, &split);
    decode_borders(&split, d4_pcapng_create, file, n, 7);
    decode_clear(&split);

    decode(&split, file, n, 13, 90);
    decode_same(t, 0, &split);
    decode_clear(&split);
}


#endif /* _D4_MAKE_PCAPNG_H_INCLUDED_ */

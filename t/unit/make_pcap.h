
/*
 * Captures for the tests of the pcap decoder, made a record at a time, and
 * what they have to fulfil.
 */


#ifndef _D4_MAKE_PCAP_H_INCLUDED_
#define _D4_MAKE_PCAP_H_INCLUDED_


#define DECODE_REQUIRE(truth)  assert_true(truth)

#include "decode.h"


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


static inline void
put32(uint32_t v, int big)
{
    int  i;

    assert_true(n + 4 <= sizeof(file));

    for (i = 0; i < 4; i++) {
        file[n++] = (uint8_t) (v >> (big ? 24 - 8 * i : 8 * i));
    }
}


static inline void
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


static inline void
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


static inline void
put_data(uint32_t len)
{
    assert_true(n + len <= sizeof(file));

    /* no record is to be found in it */

    while (len-- > 0) {
        file[n++] = (uint8_t) (0x80 | (len * 7));
    }
}


static inline void
put_record(const kind_t *k, uint32_t len)
{
    put_record_as(k, 1700000000 + clock / 100, clock * 9999 % 1000000, len,
                  len + (clock % 3 ? 0 : 1000));
    put_data(len);
    clock++;
}


static inline uint32_t
get32(const uint8_t *p, int big)
{
    return big ? (uint32_t) p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]
               : (uint32_t) p[3] << 24 | p[2] << 16 | p[1] << 8 | p[0];
}


/* Whether this is a file that ends with a whole record. */

static inline int
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


static inline void
decode(decode_t *t, const uint8_t *p, size_t len, size_t first, size_t second)
{
    memset(t, 0, sizeof(decode_t));
    t->sound = sound;
    t->watch = 1;

    decode_all(t, d4_pcap_create, NULL, p, len, first, second);

    assert_true(t->held <= DECODE_HELD_MAX);
}


/* Any split gives the same; what that is stays in t. */

static inline void
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


#endif /* _D4_MAKE_PCAP_H_INCLUDED_ */

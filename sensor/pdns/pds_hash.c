
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "pds_hash.h"


#define PDS_ROTATE(x, n)  ((x) << (n) | (x) >> (64 - (n)))


static uint64_t pds_hash_word(const uint8_t *p, size_t len);
static void pds_hash_rounds(uint64_t v[4], int n);


uint64_t
pds_hash(const pds_key_t *key, const void *data, size_t len)
{
    uint64_t        m, v[4];
    const uint8_t  *p, *end;

    v[0] = key->k0 ^ 0x736f6d6570736575;
    v[1] = key->k1 ^ 0x646f72616e646f6d;
    v[2] = key->k0 ^ 0x6c7967656e657261;
    v[3] = key->k1 ^ 0x7465646279746573;

    p = data;
    end = p + (len & ~(size_t) 7);

    for ( /* void */ ; p != end; p += 8) {
        m = pds_hash_word(p, 8);
        v[3] ^= m;
        pds_hash_rounds(v, 2);
        v[0] ^= m;
    }

    m = pds_hash_word(p, len & 7) | (uint64_t) len << 56;

    v[3] ^= m;
    pds_hash_rounds(v, 2);
    v[0] ^= m;

    v[2] ^= 0xff;
    pds_hash_rounds(v, 4);

    return v[0] ^ v[1] ^ v[2] ^ v[3];
}


/* Up to eight bytes as a number, the first one lowest. */

static uint64_t
pds_hash_word(const uint8_t *p, size_t len)
{
    size_t    i;
    uint64_t  word;

    word = 0;

    for (i = 0; i < len; i++) {
        word |= (uint64_t) p[i] << (8 * i);
    }

    return word;
}


static void
pds_hash_rounds(uint64_t v[4], int n)
{
    while (n-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = PDS_ROTATE(v[1], 13) ^ v[0];
        v[3] = PDS_ROTATE(v[3], 16) ^ v[2];
        v[0] = PDS_ROTATE(v[0], 32);

        v[2] += v[1];
        v[0] += v[3];
        v[1] = PDS_ROTATE(v[1], 17) ^ v[2];
        v[3] = PDS_ROTATE(v[3], 21) ^ v[0];
        v[2] = PDS_ROTATE(v[2], 32);
    }
}


#include "pdns_hash.h"

#include <stdlib.h>
#include <string.h>


#define rotl(x, b)  ((x) << (b) | (x) >> (64 - (b)))


static void
pdns_sip(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}


uint64_t
pdns_hash(const uint64_t seed[2], const void *data, size_t len)
{
    size_t          i, n;
    uint64_t        m, v[4];
    const uint8_t  *p;

    v[0] = seed[0] ^ UINT64_C(0x736f6d6570736575);
    v[1] = seed[1] ^ UINT64_C(0x646f72616e646f6d);
    v[2] = seed[0] ^ UINT64_C(0x6c7967656e657261);
    v[3] = seed[1] ^ UINT64_C(0x7465646279746573);

    p = data;

    for (n = len; n >= 8; n -= 8, p += 8) {
        memcpy(&m, p, 8);
        v[3] ^= m;
        pdns_sip(v);
        v[0] ^= m;
    }

    m = (uint64_t) len << 56;

    for (i = 0; i < n; i++) {
        m |= (uint64_t) p[i] << (8 * i);
    }

    v[3] ^= m;
    pdns_sip(v);
    v[0] ^= m;
    v[2] ^= 0xff;

    pdns_sip(v);
    pdns_sip(v);
    pdns_sip(v);

    return v[0] ^ v[1] ^ v[2] ^ v[3];
}


int
pdns_seen_init(pdns_seen_t *s, size_t n)
{
    size_t  sets;

    for (sets = 1; sets * PDNS_SEEN_WAYS < n; sets *= 2) { /* void */ }

    s->mask = sets - 1;
    s->turn = 0;
    s->slots = calloc(sets * PDNS_SEEN_WAYS, sizeof(uint64_t));

    return (s->slots != NULL) ? 0 : -1;
}


void
pdns_seen_free(pdns_seen_t *s)
{
    free(s->slots);
    s->slots = NULL;
}


static uint64_t *
pdns_seen_set(const pdns_seen_t *s, uint64_t hash)
{
    return s->slots + (hash >> 32 & s->mask) * PDNS_SEEN_WAYS;
}


int
pdns_seen(const pdns_seen_t *s, uint64_t hash)
{
    int        i;
    uint64_t  *set;

    set = pdns_seen_set(s, hash);

    for (i = 0; i < PDNS_SEEN_WAYS; i++) {
        if (set[i] == hash && hash != 0) {
            return 1;
        }
    }

    return 0;
}


void
pdns_seen_add(pdns_seen_t *s, uint64_t hash)
{
    if (!pdns_seen(s, hash)) {
        pdns_seen_set(s, hash)[s->turn++ % PDNS_SEEN_WAYS] = hash;
    }
}


void
pdns_seen_clear(pdns_seen_t *s)
{
    memset(s->slots, 0, (s->mask + 1) * PDNS_SEEN_WAYS * sizeof(uint64_t));
}

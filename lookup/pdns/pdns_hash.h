
/*
 * A keyed hash (SipHash-1-3), because sensors choose what is hashed; and a
 * memory of what was hashed lately.
 */


#ifndef _PDNS_HASH_H_INCLUDED_
#define _PDNS_HASH_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


/* The hash of len bytes under the 16 bytes of seed. */
uint64_t pdns_hash(const uint64_t seed[2], const void *p, size_t len);


/* What was seen lately: a fixed table, where the older gives way. */

typedef struct {
    uint64_t  *slots;
    uint64_t   mask;                   /* of sets of PDNS_SEEN_WAYS slots */
    unsigned   turn;
} pdns_seen_t;

#define PDNS_SEEN_WAYS  8


/* A table of at least n hashes.  Returns 0, or -1 without memory. */
int pdns_seen_init(pdns_seen_t *s, size_t n);
void pdns_seen_free(pdns_seen_t *s);

/* 1 when the hash is there. */
int pdns_seen(const pdns_seen_t *s, uint64_t hash);
void pdns_seen_add(pdns_seen_t *s, uint64_t hash);
void pdns_seen_clear(pdns_seen_t *s);


#pragma GCC visibility pop

#endif /* _PDNS_HASH_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Puts fragmented IP datagrams together.  Pure.
 *
 * What is held is bounded in datagrams, in bytes, in fragments of a datagram
 * and in time; at a limit the oldest datagram goes.  A datagram whose
 * fragments overlap is dropped whole (as RFC 5722 has it for IPv6): there is
 * no telling which of them its receiver believed.  One that came twice is
 * ignored.
 */


#ifndef _PDS_FRAG_H_INCLUDED_
#define _PDS_FRAG_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "pds_hash.h"
#include "pds_ip.h"


#define PDS_FRAG_PARTS    128          /* fragments of a datagram */
#define PDS_FRAG_BUCKETS  1024


typedef struct pds_datagram_s  pds_datagram_t;


typedef struct {
    pds_datagram_t  *bucket[PDS_FRAG_BUCKETS];
    pds_datagram_t  *oldest;
    pds_datagram_t  *newest;
    size_t           held;             /* bytes, with those of bookkeeping */
    size_t           max_held;
    unsigned         datagrams;
    unsigned         max_datagrams;
    int64_t          timeout;          /* microseconds, of the whole */
    pds_key_t        key;
    uint64_t         dropped;          /* datagrams */
    uint8_t          whole[65536];     /* the last one put together */
} pds_frag_t;


void pds_frag_init(pds_frag_t *f, const pds_key_t *key, unsigned datagrams,
    size_t bytes, int64_t timeout);
void pds_frag_free(pds_frag_t *f);

/*
 * Takes a fragment that came at now (microseconds).  Returns 1 when it was the
 * last one missing: then ip is the datagram (see pds_ip_whole()), its data
 * valid until the next call; else 0.
 */
int pds_frag_add(pds_frag_t *f, pds_ip_t *ip, int64_t now);

/* Drops what has been waiting for longer than the timeout. */
void pds_frag_expire(pds_frag_t *f, int64_t now);


#endif /* _PDS_FRAG_H_INCLUDED_ */

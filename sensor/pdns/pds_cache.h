
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * What was seen lately, so that one line can stand for many packets.  Pure.
 *
 * A record is printed when it is seen for the first time; when it is seen
 * again and its last line is older than the period; and, with all the
 * sightings that no line has told of, when it was not seen for the expiry
 * time, when it has to make room, and at the end.  So the counts of a record's
 * lines add up to what was seen.
 *
 * The memory is bounded: the record that was not seen for longest makes room.
 */


#ifndef _PDS_CACHE_H_INCLUDED_
#define _PDS_CACHE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "pds_addr.h"
#include "pds_hash.h"
#include "pds_message.h"


#define PDS_CACHE_MIN  65536           /* bytes */


typedef struct pds_entry_s  pds_entry_t;


typedef struct {
    pds_record_t   record;             /* its ttl the highest one seen */
    int64_t        last;               /* microseconds since 1970 */
    uint64_t       count;              /* since the last line */
    pds_addr_t     client;             /* of the last sighting */
    pds_addr_t     server;
} pds_sighting_t;


typedef void (*pds_sighting_pt)(void *data, const pds_sighting_t *s);


typedef struct {
    pds_entry_t     **bucket;
    size_t            mask;
    pds_entry_t      *oldest;
    pds_entry_t      *newest;
    size_t            held;            /* bytes, with the buckets */
    size_t            max_held;
    size_t            entries;
    int64_t           clock;           /* the latest time told of */
    int64_t           period;          /* microseconds */
    int64_t           expiry;
    pds_key_t         key;
    pds_sighting_pt   print;
    void             *data;
    uint64_t          evicted;         /* entries that made room */
    uint8_t           blob[8 + PDS_NAME + PDS_RDATA];
} pds_cache_t;


/*
 * Times are in microseconds, max in bytes (PDS_CACHE_MIN or more).  The caller
 * sets print and data afterwards.  Returns 0, or -1 without memory.
 */
int pds_cache_init(pds_cache_t *c, const pds_key_t *key, size_t max,
    int64_t period, int64_t expiry);

/* Prints nothing. */
void pds_cache_free(pds_cache_t *c);

/*
 * Tells the time, which goes on without sightings, too, and is not theirs: one
 * may come late, or from a machine whose clock is wrong.  Prints what expires.
 */
void pds_cache_clock(pds_cache_t *c, int64_t now);

/* Takes a sighting: its count is how often.  Prints what is due by it. */
void pds_cache_add(pds_cache_t *c, const pds_sighting_t *s);

/* Prints whatever has sightings that were not printed, and keeps it. */
void pds_cache_flush(pds_cache_t *c);


#endif /* _PDS_CACHE_H_INCLUDED_ */

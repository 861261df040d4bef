
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdlib.h>
#include <string.h>

#include "pds_bytes.h"
#include "pds_cache.h"


/* what malloc() adds to a block, about */
#define PDS_MALLOC        16

/* a bucket for so many bytes of the limit: about one for each entry */
#define PDS_CACHE_ENTRY   256

/* before owner and data: rcode, type, class, length of owner */
#define PDS_BLOB          7


struct pds_entry_s {
    pds_entry_t   *next;               /* in the bucket */
    pds_entry_t   *older;
    pds_entry_t   *newer;
    uint64_t       hash;
    int64_t        last;
    int64_t        touched;            /* by the cache's clock */
    int64_t        printed;
    uint64_t       count;
    uint32_t       ttl;
    uint32_t       len;
    pds_addr_t     client;
    pds_addr_t     server;
    uint8_t        blob[];
};


static size_t pds_cache_blob(pds_cache_t *c, const pds_record_t *r);
static pds_entry_t *pds_cache_find(const pds_cache_t *c, uint64_t hash,
    size_t len);
static pds_entry_t *pds_cache_insert(pds_cache_t *c, uint64_t hash,
    size_t len);
static void pds_cache_touch(pds_cache_t *c, pds_entry_t *e);
static void pds_cache_print(pds_cache_t *c, pds_entry_t *e);
static void pds_cache_drop(pds_cache_t *c, pds_entry_t *e);
static void pds_cache_remove(pds_cache_t *c, pds_entry_t *e);
static size_t pds_cache_size(const pds_entry_t *e);


int
pds_cache_init(pds_cache_t *c, const pds_key_t *key, size_t max,
    int64_t period, int64_t expiry)
{
    size_t  n;

    memset(c, 0, sizeof(pds_cache_t));

    c->key = *key;
    c->max_held = max;
    c->period = period;
    c->expiry = expiry;

    for (n = 1; n <= max / PDS_CACHE_ENTRY / 2; n *= 2) { /* void */ }

    c->bucket = calloc(n, sizeof(pds_entry_t *));

    if (c->bucket == NULL) {
        return -1;
    }

    c->mask = n - 1;
    c->held = n * sizeof(pds_entry_t *);

    return 0;
}


void
pds_cache_free(pds_cache_t *c)
{
    while (c->oldest != NULL) {
        pds_cache_remove(c, c->oldest);
    }

    free(c->bucket);
    c->bucket = NULL;
}


void
pds_cache_add(pds_cache_t *c, const pds_sighting_t *s)
{
    size_t        len;
    uint64_t      hash;
    pds_entry_t  *e;

    len = pds_cache_blob(c, &s->record);
    hash = pds_hash(&c->key, c->blob, len);
    e = pds_cache_find(c, hash, len);

    if (e == NULL) {
        e = pds_cache_insert(c, hash, len);
    }

    if (e == NULL) {
        c->print(c->data, s);          /* no memory, but nothing is lost */
        return;
    }

    if (s->last >= e->last) {
        e->last = s->last;
        e->client = s->client;
        e->server = s->server;
    }

    if (s->record.ttl > e->ttl) {
        e->ttl = s->record.ttl;
    }

    e->count += s->count;
    pds_cache_touch(c, e);

    if (e->printed == INT64_MIN || c->clock - e->printed >= c->period) {
        pds_cache_print(c, e);
    }

    while (c->held > c->max_held && c->oldest != e) {
        c->evicted++;
        pds_cache_drop(c, c->oldest);
    }
}


/* Captures may be read in any order: the clock stays where it was then. */

void
pds_cache_clock(pds_cache_t *c, int64_t now)
{
    if (now > c->clock) {
        c->clock = now;
    }

    while (c->oldest != NULL && c->clock - c->oldest->touched > c->expiry) {
        pds_cache_drop(c, c->oldest);
    }
}


void
pds_cache_flush(pds_cache_t *c)
{
    pds_entry_t  *e;

    for (e = c->oldest; e != NULL; e = e->newer) {
        if (e->count != 0) {
            pds_cache_print(c, e);
        }
    }
}


/* All that tells one record from another, in one piece. */

static size_t
pds_cache_blob(pds_cache_t *c, const pds_record_t *r)
{
    uint8_t  *p;

    p = c->blob;

    p[0] = r->rcode;
    pds_put16(p + 1, r->type);
    pds_put16(p + 3, r->class);
    pds_put16(p + 5, r->owner_len);
    p += PDS_BLOB;

    memcpy(p, r->owner, r->owner_len);
    p += r->owner_len;

    if (r->rdata_len != 0) {
        memcpy(p, r->rdata, r->rdata_len);
        p += r->rdata_len;
    }

    return (size_t) (p - c->blob);
}


static pds_entry_t *
pds_cache_find(const pds_cache_t *c, uint64_t hash, size_t len)
{
    pds_entry_t  *e;

    for (e = c->bucket[hash & c->mask]; e != NULL; e = e->next) {
        if (e->hash == hash && e->len == len
            && memcmp(e->blob, c->blob, len) == 0)
        {
            return e;
        }
    }

    return NULL;
}


static pds_entry_t *
pds_cache_insert(pds_cache_t *c, uint64_t hash, size_t len)
{
    pds_entry_t  *e, **bucket;

    e = malloc(sizeof(pds_entry_t) + len);

    if (e == NULL) {
        return NULL;
    }

    memset(e, 0, sizeof(pds_entry_t));
    memcpy(e->blob, c->blob, len);

    e->hash = hash;
    e->len = (uint32_t) len;
    e->last = INT64_MIN;
    e->printed = INT64_MIN;

    bucket = &c->bucket[hash & c->mask];
    e->next = *bucket;
    *bucket = e;

    e->older = c->newest;
    *(c->newest != NULL ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;

    c->held += pds_cache_size(e);
    c->entries++;

    return e;
}


static void
pds_cache_touch(pds_cache_t *c, pds_entry_t *e)
{
    e->touched = c->clock;

    if (e->newer == NULL) {
        return;
    }

    e->newer->older = e->older;
    *(e->older != NULL ? &e->older->newer : &c->oldest) = e->newer;

    e->older = c->newest;
    e->newer = NULL;
    c->newest->newer = e;
    c->newest = e;
}


static void
pds_cache_print(pds_cache_t *c, pds_entry_t *e)
{
    const uint8_t   *p;
    pds_record_t    *r;
    pds_sighting_t   s;

    p = e->blob;
    r = &s.record;

    r->rcode = p[0];
    r->type = pds_get16(p + 1);
    r->class = pds_get16(p + 3);
    r->owner_len = pds_get16(p + 5);
    r->owner = p + PDS_BLOB;
    r->rdata = r->owner + r->owner_len;
    r->rdata_len = (uint16_t) (e->len - PDS_BLOB - r->owner_len);
    r->ttl = e->ttl;

    s.last = e->last;
    s.count = e->count;
    s.client = e->client;
    s.server = e->server;

    e->count = 0;
    e->printed = c->clock;

    c->print(c->data, &s);
}


static void
pds_cache_drop(pds_cache_t *c, pds_entry_t *e)
{
    if (e->count != 0) {
        pds_cache_print(c, e);
    }

    pds_cache_remove(c, e);
}


static void
pds_cache_remove(pds_cache_t *c, pds_entry_t *e)
{
    pds_entry_t  **p;

    for (p = &c->bucket[e->hash & c->mask]; *p != e; p = &(*p)->next) {
        /* void */
    }

    *p = e->next;

    *(e->older != NULL ? &e->older->newer : &c->oldest) = e->newer;
    *(e->newer != NULL ? &e->newer->older : &c->newest) = e->older;

    c->held -= pds_cache_size(e);
    c->entries--;
    free(e);
}


static size_t
pds_cache_size(const pds_entry_t *e)
{
    return sizeof(pds_entry_t) + e->len + PDS_MALLOC;
}

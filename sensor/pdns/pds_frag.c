
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdlib.h>
#include <string.h>

#include "pds_frag.h"


#define PDS_FRAG_KEY  (2 * sizeof(pds_addr_t) + 5)


typedef struct pds_part_s  pds_part_t;

struct pds_part_s {
    pds_part_t      *next;             /* by offset */
    uint16_t         offset;
    uint16_t         len;
    uint8_t          data[];
};


struct pds_datagram_s {
    pds_datagram_t  *next;             /* in the bucket */
    pds_datagram_t  *older;
    pds_datagram_t  *newer;
    pds_part_t      *parts;
    int64_t          since;
    size_t           have;             /* bytes */
    size_t           total;            /* 0: the last one has not come */
    size_t           held;
    unsigned         n;
    unsigned         bucket;
    uint8_t          proto;            /* what the first fragment says */
    uint8_t          key[PDS_FRAG_KEY];
};


static void pds_frag_key(uint8_t *key, const pds_ip_t *ip);
static pds_datagram_t *pds_frag_find(pds_frag_t *f, const pds_ip_t *ip,
    int64_t now);
static int pds_frag_insert(pds_frag_t *f, pds_datagram_t *d,
    const pds_ip_t *ip);
static void pds_frag_whole(pds_frag_t *f, pds_datagram_t *d, pds_ip_t *ip);
static void pds_frag_drop(pds_frag_t *f, pds_datagram_t *d);
static void pds_frag_remove(pds_frag_t *f, pds_datagram_t *d);


void
pds_frag_init(pds_frag_t *f, const pds_key_t *key, unsigned datagrams,
    size_t bytes, int64_t timeout)
{
    memset(f, 0, sizeof(pds_frag_t));

    f->key = *key;
    f->max_datagrams = datagrams;
    f->max_held = bytes;
    f->timeout = timeout;
}


void
pds_frag_free(pds_frag_t *f)
{
    while (f->oldest != NULL) {
        pds_frag_remove(f, f->oldest);
    }
}


int
pds_frag_add(pds_frag_t *f, pds_ip_t *ip, int64_t now)
{
    pds_datagram_t  *d;

    pds_frag_expire(f, now);

    /* all but the last are multiples of eight, and 65535 is the end of IP */

    if (ip->len == 0 || (ip->more && ip->len % 8 != 0)
        || ip->len > (size_t) (65535 - ip->offset))
    {
        f->dropped++;
        return 0;
    }

    d = pds_frag_find(f, ip, now);

    if (d == NULL) {
        f->dropped++;
        return 0;
    }

    if (ip->cut || pds_frag_insert(f, d, ip) != 0) {
        pds_frag_drop(f, d);
        return 0;
    }

    if (d->total == 0 || d->have != d->total) {

        while (f->held > f->max_held) {
            pds_frag_drop(f, f->oldest);
        }

        return 0;
    }

    pds_frag_whole(f, d, ip);
    pds_frag_remove(f, d);

    return 1;
}


void
pds_frag_expire(pds_frag_t *f, int64_t now)
{
    while (f->oldest != NULL && now - f->oldest->since > f->timeout) {
        pds_frag_drop(f, f->oldest);
    }
}


/* RFC 791 tells the datagrams of each protocol apart, RFC 8200 does not. */

static void
pds_frag_key(uint8_t *key, const pds_ip_t *ip)
{
    memcpy(key, &ip->src, sizeof(pds_addr_t));
    key += sizeof(pds_addr_t);
    memcpy(key, &ip->dst, sizeof(pds_addr_t));
    key += sizeof(pds_addr_t);
    memcpy(key, &ip->id, 4);
    key[4] = (ip->src.family == 4) ? ip->proto : 0;
}


static pds_datagram_t *
pds_frag_find(pds_frag_t *f, const pds_ip_t *ip, int64_t now)
{
    unsigned         bucket;
    uint8_t          key[PDS_FRAG_KEY];
    pds_datagram_t  *d;

    pds_frag_key(key, ip);
    bucket = pds_hash(&f->key, key, PDS_FRAG_KEY) % PDS_FRAG_BUCKETS;

    for (d = f->bucket[bucket]; d != NULL; d = d->next) {
        if (memcmp(d->key, key, PDS_FRAG_KEY) == 0) {
            return d;
        }
    }

    if (f->datagrams == f->max_datagrams) {
        pds_frag_drop(f, f->oldest);
    }

    d = calloc(1, sizeof(pds_datagram_t));

    if (d == NULL) {
        return NULL;
    }

    memcpy(d->key, key, PDS_FRAG_KEY);
    d->since = now;
    d->bucket = bucket;
    d->held = sizeof(pds_datagram_t);

    d->next = f->bucket[bucket];
    f->bucket[bucket] = d;

    d->older = f->newest;

    if (f->newest != NULL) {
        f->newest->newer = d;

    } else {
        f->oldest = d;
    }

    f->newest = d;
    f->held += d->held;
    f->datagrams++;

    return d;
}


static int
pds_frag_insert(pds_frag_t *f, pds_datagram_t *d, const pds_ip_t *ip)
{
    size_t        end;
    pds_part_t   *part, **place;

    end = ip->offset + ip->len;

    for (place = &d->parts; *place != NULL; place = &(*place)->next) {
        part = *place;

        if (part->offset >= end) {
            break;
        }

        if (part->offset == ip->offset && part->len == ip->len) {
            return memcmp(part->data, ip->data, ip->len) == 0 ? 0 : -1;
        }

        if ((size_t) part->offset + part->len > ip->offset) {
            return -1;
        }
    }

    if (d->n == PDS_FRAG_PARTS || (d->total != 0 && end > d->total)) {
        return -1;
    }

    if (!ip->more) {
        if (d->total != 0 || *place != NULL) {
            return -1;
        }

        d->total = end;
    }

    part = malloc(sizeof(pds_part_t) + ip->len);

    if (part == NULL) {
        return -1;
    }

    part->offset = ip->offset;
    part->len = (uint16_t) ip->len;
    memcpy(part->data, ip->data, ip->len);

    part->next = *place;
    *place = part;

    if (ip->offset == 0) {
        d->proto = ip->proto;
    }

    d->n++;
    d->have += ip->len;
    d->held += sizeof(pds_part_t) + ip->len;
    f->held += sizeof(pds_part_t) + ip->len;

    return 0;
}


static void
pds_frag_whole(pds_frag_t *f, pds_datagram_t *d, pds_ip_t *ip)
{
    pds_part_t  *part;

    for (part = d->parts; part != NULL; part = part->next) {
        memcpy(f->whole + part->offset, part->data, part->len);
    }

    ip->data = f->whole;
    ip->len = d->total;
    ip->proto = d->proto;
    ip->offset = 0;
}


static void
pds_frag_drop(pds_frag_t *f, pds_datagram_t *d)
{
    f->dropped++;
    pds_frag_remove(f, d);
}


static void
pds_frag_remove(pds_frag_t *f, pds_datagram_t *d)
{
    pds_part_t       *part;
    pds_datagram_t  **p;

    for (p = &f->bucket[d->bucket]; *p != d; p = &(*p)->next) { /* void */ }
    *p = d->next;

    *(d->older != NULL ? &d->older->newer : &f->oldest) = d->newer;
    *(d->newer != NULL ? &d->newer->older : &f->newest) = d->older;

    while (d->parts != NULL) {
        part = d->parts;
        d->parts = part->next;
        free(part);
    }

    f->held -= d->held;
    f->datagrams--;
    free(d);
}

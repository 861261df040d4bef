
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdlib.h>
#include <string.h>

#include "pds_bytes.h"
#include "pds_message.h"
#include "pds_tcp.h"


#define PDS_TCP_HEADER   20
#define PDS_TCP_KEY      (2 * sizeof(pds_addr_t) + 4)
#define PDS_TCP_BUFFER   512           /* the first one of a message */

#define PDS_TCP_FIN      0x01
#define PDS_TCP_SYN      0x02
#define PDS_TCP_RST      0x04


typedef struct pds_early_s  pds_early_t;

struct pds_early_s {
    pds_early_t   *next;               /* by sequence */
    uint32_t       seq;
    uint16_t       len;
    uint8_t        fin;
    uint8_t        data[];
};


struct pds_stream_s {
    pds_stream_t  *next;               /* in the bucket */
    pds_stream_t  *older;
    pds_stream_t  *newer;
    pds_early_t   *early;
    uint8_t       *buf;                /* a message begun, NULL: none */
    size_t         size;
    size_t         have;
    size_t         held;
    int64_t        touched;
    uint32_t       start;              /* sequence of the SYN */
    uint32_t       seq;                /* of the next byte */
    unsigned       n;                  /* early segments */
    unsigned       bucket;
    uint8_t        fin;                /* nothing comes after seq */
    uint8_t        key[PDS_TCP_KEY];
};


static pds_stream_t *pds_tcp_find(pds_tcp_t *t, const uint8_t *key,
    unsigned bucket);
static pds_stream_t *pds_tcp_begin(pds_tcp_t *t, const uint8_t *key,
    unsigned bucket, uint32_t start);
static void pds_tcp_touch(pds_tcp_t *t, pds_stream_t *s, int64_t now);
static int pds_tcp_segment(pds_tcp_t *t, pds_stream_t *s, const pds_ip_t *ip,
    uint32_t seq, const uint8_t *p, size_t len, int fin);
static int pds_tcp_keep(pds_tcp_t *t, pds_stream_t *s, uint32_t seq,
    const uint8_t *p, size_t len, int fin);
static int pds_tcp_in_order(pds_tcp_t *t, pds_stream_t *s, const pds_ip_t *ip,
    uint32_t seq, const uint8_t *p, size_t len, int fin);
static int pds_tcp_take(pds_tcp_t *t, pds_stream_t *s, const pds_ip_t *ip,
    const uint8_t *p, size_t len);
static int pds_tcp_grow(pds_tcp_t *t, pds_stream_t *s, size_t size,
    size_t max);
static void pds_tcp_unbuffer(pds_tcp_t *t, pds_stream_t *s);
static void pds_tcp_drop(pds_tcp_t *t, pds_stream_t *s);
static void pds_tcp_remove(pds_tcp_t *t, pds_stream_t *s);


void
pds_tcp_init(pds_tcp_t *t, const pds_key_t *key, unsigned streams,
    size_t bytes, int64_t timeout)
{
    memset(t, 0, sizeof(pds_tcp_t));

    t->key = *key;
    t->max_streams = streams;
    t->max_held = bytes;
    t->timeout = timeout;
}


void
pds_tcp_free(pds_tcp_t *t)
{
    while (t->oldest != NULL) {
        pds_tcp_remove(t, t->oldest);
    }
}


int
pds_tcp_add(pds_tcp_t *t, const pds_ip_t *ip, int64_t now)
{
    size_t          head;
    unsigned        flags, bucket;
    uint32_t        seq;
    uint8_t         key[PDS_TCP_KEY];
    pds_stream_t   *s;
    const uint8_t  *p;

    pds_tcp_expire(t, now);

    p = ip->data;

    if (ip->len < PDS_TCP_HEADER) {
        return -1;
    }

    head = (p[12] >> 4) * 4;

    if (head < PDS_TCP_HEADER || head > ip->len) {
        return -1;
    }

    memcpy(key, &ip->src, sizeof(pds_addr_t));
    memcpy(key + sizeof(pds_addr_t), &ip->dst, sizeof(pds_addr_t));
    memcpy(key + 2 * sizeof(pds_addr_t), p, 4);

    bucket = pds_hash(&t->key, key, PDS_TCP_KEY) % PDS_TCP_BUCKETS;
    flags = p[13];
    seq = pds_get32(p + 4);
    s = pds_tcp_find(t, key, bucket);

    if (flags & PDS_TCP_RST) {
        if (s != NULL) {
            pds_tcp_drop(t, s);
        }

        return 0;
    }

    if (flags & PDS_TCP_SYN) {

        /* one that came again changes nothing */

        if (s != NULL && s->start != seq) {
            pds_tcp_drop(t, s);
            s = NULL;
        }

        if (s == NULL) {
            s = pds_tcp_begin(t, key, bucket, seq);
        }

        seq++;
    }

    if (s == NULL) {
        t->unknown++;
        return 0;
    }

    pds_tcp_touch(t, s, now);

    if (ip->cut
        || pds_tcp_segment(t, s, ip, seq, p + head, ip->len - head,
                           flags & PDS_TCP_FIN) != 0)
    {
        t->lost++;
        pds_tcp_remove(t, s);
        return 0;
    }

    if (s->fin) {
        pds_tcp_drop(t, s);
    }

    while (t->held > t->max_held) {
        pds_tcp_drop(t, t->oldest);
    }

    return 0;
}


void
pds_tcp_expire(pds_tcp_t *t, int64_t now)
{
    while (t->oldest != NULL && now - t->oldest->touched > t->timeout) {
        pds_tcp_drop(t, t->oldest);
    }
}


static pds_stream_t *
pds_tcp_find(pds_tcp_t *t, const uint8_t *key, unsigned bucket)
{
    pds_stream_t  *s;

    for (s = t->bucket[bucket]; s != NULL; s = s->next) {
        if (memcmp(s->key, key, PDS_TCP_KEY) == 0) {
            return s;
        }
    }

    return NULL;
}


static pds_stream_t *
pds_tcp_begin(pds_tcp_t *t, const uint8_t *key, unsigned bucket,
    uint32_t start)
{
    pds_stream_t  *s;

    if (t->streams == t->max_streams) {
        pds_tcp_drop(t, t->oldest);
    }

    s = calloc(1, sizeof(pds_stream_t));

    if (s == NULL) {
        return NULL;
    }

    memcpy(s->key, key, PDS_TCP_KEY);
    s->bucket = bucket;
    s->start = start;
    s->seq = start + 1;
    s->held = sizeof(pds_stream_t);

    s->next = t->bucket[bucket];
    t->bucket[bucket] = s;

    s->older = t->newest;
    *(t->newest != NULL ? &t->newest->newer : &t->oldest) = s;
    t->newest = s;

    t->held += s->held;
    t->streams++;
    t->begun++;

    return s;
}


static void
pds_tcp_touch(pds_tcp_t *t, pds_stream_t *s, int64_t now)
{
    s->touched = now;

    if (s->newer == NULL) {
        return;
    }

    s->newer->older = s->older;
    *(s->older != NULL ? &s->older->newer : &t->oldest) = s->newer;

    s->older = t->newest;
    s->newer = NULL;
    t->newest->newer = s;
    t->newest = s;
}


/* Returns -1 when the stream cannot be followed any longer. */

static int
pds_tcp_segment(pds_tcp_t *t, pds_stream_t *s, const pds_ip_t *ip,
    uint32_t seq, const uint8_t *p, size_t len, int fin)
{
    int           rc;
    pds_early_t  *early;

    if (len == 0 && !fin) {
        return 0;
    }

    if ((int32_t) (seq - s->seq) > 0) {
        return pds_tcp_keep(t, s, seq, p, len, fin);
    }

    rc = pds_tcp_in_order(t, s, ip, seq, p, len, fin);

    while (rc == 0 && s->early != NULL
           && (int32_t) (s->early->seq - s->seq) <= 0)
    {
        early = s->early;
        s->early = early->next;

        rc = pds_tcp_in_order(t, s, ip, early->seq, early->data, early->len,
                              early->fin);

        s->n--;
        s->held -= sizeof(pds_early_t) + early->len;
        t->held -= sizeof(pds_early_t) + early->len;
        free(early);
    }

    return rc;
}


static int
pds_tcp_keep(pds_tcp_t *t, pds_stream_t *s, uint32_t seq, const uint8_t *p,
    size_t len, int fin)
{
    pds_early_t  *early, **place;

    if (seq - s->seq > PDS_TCP_AHEAD) {
        return 0;                      /* old, or not of this stream */
    }

    for (place = &s->early; *place != NULL; place = &(*place)->next) {
        early = *place;

        if ((int32_t) (early->seq - seq) > 0) {
            break;
        }

        if (early->seq == seq && early->len >= len) {
            return 0;
        }
    }

    if (s->n == PDS_TCP_EARLY) {
        return -1;
    }

    early = malloc(sizeof(pds_early_t) + len);

    if (early == NULL) {
        return -1;
    }

    early->seq = seq;
    early->len = (uint16_t) len;
    early->fin = (fin != 0);
    memcpy(early->data, p, len);

    early->next = *place;
    *place = early;

    s->n++;
    s->held += sizeof(pds_early_t) + len;
    t->held += sizeof(pds_early_t) + len;

    return 0;
}


/* Of bytes that come twice those that came first count. */

static int
pds_tcp_in_order(pds_tcp_t *t, pds_stream_t *s, const pds_ip_t *ip,
    uint32_t seq, const uint8_t *p, size_t len, int fin)
{
    size_t  known;

    known = s->seq - seq;

    if (known < len) {
        s->seq += (uint32_t) (len - known);

        if (pds_tcp_take(t, s, ip, p + known, len - known) != 0) {
            return -1;
        }

        known = len;
    }

    if (fin && known == len) {
        s->fin = 1;
    }

    return 0;
}


static int
pds_tcp_take(pds_tcp_t *t, pds_stream_t *s, const pds_ip_t *ip,
    const uint8_t *p, size_t len)
{
    size_t  n, want;

    while (len != 0) {

        /* most messages lie whole in a segment */

        if (s->have == 0 && len >= 2) {
            want = pds_get16(p);

            if (want < PDS_DNS_HEADER) {
                return -1;
            }

            if (len - 2 >= want) {
                t->message(t->data, ip, p + 2, want);
                p += 2 + want;
                len -= 2 + want;
                continue;
            }
        }

        want = (s->have < 2) ? 2 : 2 + pds_get16(s->buf);
        n = (len < want - s->have) ? len : want - s->have;

        if (pds_tcp_grow(t, s, s->have + n, want) != 0) {
            return -1;
        }

        memcpy(s->buf + s->have, p, n);
        s->have += n;
        p += n;
        len -= n;

        if (s->have == 2 && pds_get16(s->buf) < PDS_DNS_HEADER) {
            return -1;
        }

        if (s->have == want && want > 2) {
            t->message(t->data, ip, s->buf + 2, want - 2);
            pds_tcp_unbuffer(t, s);
        }
    }

    return 0;
}


static int
pds_tcp_grow(pds_tcp_t *t, pds_stream_t *s, size_t size, size_t max)
{
    size_t    room;
    uint8_t  *buf;

    if (size <= s->size) {
        return 0;
    }

    room = (s->size == 0) ? PDS_TCP_BUFFER : s->size * 2;

    if (max > 2 && room > max) {
        room = max;
    }

    if (room < size) {
        room = size;
    }

    buf = realloc(s->buf, room);

    if (buf == NULL) {
        return -1;
    }

    t->held += room - s->size;
    s->held += room - s->size;
    s->buf = buf;
    s->size = room;

    return 0;
}


static void
pds_tcp_unbuffer(pds_tcp_t *t, pds_stream_t *s)
{
    free(s->buf);

    t->held -= s->size;
    s->held -= s->size;
    s->buf = NULL;
    s->size = 0;
    s->have = 0;
}


/* A stream that goes with a message unfinished is lost. */

static void
pds_tcp_drop(pds_tcp_t *t, pds_stream_t *s)
{
    if (s->have != 0 || s->early != NULL) {
        t->lost++;
    }

    pds_tcp_remove(t, s);
}


static void
pds_tcp_remove(pds_tcp_t *t, pds_stream_t *s)
{
    pds_early_t    *early;
    pds_stream_t  **p;

    for (p = &t->bucket[s->bucket]; *p != s; p = &(*p)->next) { /* void */ }
    *p = s->next;

    *(s->older != NULL ? &s->older->newer : &t->oldest) = s->newer;
    *(s->newer != NULL ? &s->newer->older : &t->newest) = s->older;

    while (s->early != NULL) {
        early = s->early;
        s->early = early->next;
        free(early);
    }

    free(s->buf);

    t->held -= s->held;
    t->streams--;
    free(s);
}

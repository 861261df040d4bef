
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * DNS messages out of TCP segments (RFC 7766: two bytes of length before each
 * message), of one direction.  Pure.
 *
 * A stream is followed from its SYN: in the middle of one nothing tells where
 * a message begins.  Segments that come early wait for those before them.
 * What is held is bounded in streams, in bytes of all, in early segments of a
 * stream and in time; at a limit the stream that was silent longest goes, and
 * what was seen of its unfinished message with it.  A buffer grows with what
 * has arrived, never to what a length claims.
 */


#ifndef _PDS_TCP_H_INCLUDED_
#define _PDS_TCP_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "pds_hash.h"
#include "pds_ip.h"


#define PDS_TCP_BUCKETS  16384
#define PDS_TCP_EARLY    64            /* segments of a stream */
#define PDS_TCP_AHEAD    262144        /* how far an early one may be */


typedef struct pds_stream_s  pds_stream_t;


/* A whole message; ip has the addresses of the segment that completed it. */
typedef void (*pds_tcp_pt)(void *data, const pds_ip_t *ip, const uint8_t *p,
    size_t len);


typedef struct {
    pds_stream_t  *bucket[PDS_TCP_BUCKETS];
    pds_stream_t  *oldest;             /* by the last segment */
    pds_stream_t  *newest;
    size_t         held;               /* bytes, with those of bookkeeping */
    size_t         max_held;
    unsigned       streams;
    unsigned       max_streams;
    int64_t        timeout;            /* microseconds of silence */
    pds_key_t      key;
    pds_tcp_pt     message;
    void          *data;
    uint64_t       begun;              /* streams */
    uint64_t       unknown;            /* segments of a stream not followed */
    uint64_t       lost;               /* streams left unfinished */
} pds_tcp_t;


/* The caller sets message and data afterwards. */
void pds_tcp_init(pds_tcp_t *t, const pds_key_t *key, unsigned streams,
    size_t bytes, int64_t timeout);
void pds_tcp_free(pds_tcp_t *t);

/*
 * Takes a segment of a server, seen at now (microseconds): ip->data begins
 * with the TCP header.  Returns 0, or -1 when that is malformed.
 */
int pds_tcp_add(pds_tcp_t *t, const pds_ip_t *ip, int64_t now);

/* Drops streams that were silent for longer than the timeout. */
void pds_tcp_expire(pds_tcp_t *t, int64_t now);


#endif /* _PDS_TCP_H_INCLUDED_ */

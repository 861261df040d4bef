
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * The payloads between source and server: bounded, and kept so that a lost
 * session can be gone on with at a border of the content.  Pure: no input or
 * output.
 *
 * A run of payloads from one with start to one with end is one piece of
 * content (a record larger than a payload, a long line).  What was sent of an
 * unfinished run stays until its end was sent, for d4_queue_rewind(), and so
 * does, with d4_queue_hold(), what was sent at the beginning of a session that
 * may yet be refused.  What is dropped is dropped by whole runs.  A run of
 * which a part was sent and the rest had to be dropped ends its session: the
 * payload after it is fresh.
 */


#ifndef _D4_QUEUE_H_INCLUDED_
#define _D4_QUEUE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "d4_cut.h"


typedef enum {
    D4_QUEUE_BLOCK = 0,            /* the caller stops reading when full */
    D4_QUEUE_DROP_OLDEST,
    D4_QUEUE_DROP_NEWEST
} d4_overflow_t;


typedef struct d4_item_s  d4_item_t;

struct d4_item_s {
    d4_item_t  *next;
    uint64_t    timestamp;
    uint32_t    size;
    unsigned    start:1;
    unsigned    end:1;
    unsigned    fresh:1;           /* must be the first of a session */
    unsigned    has_header:1;      /* belongs to this pcap header */
    uint8_t     header[D4_PCAP_HEADER];
    uint8_t     data[];
};


typedef struct {
    d4_item_t      *head;
    d4_item_t      *tail;
    d4_item_t      *next;          /* first one not sent, NULL: none */
    size_t          limit;
    size_t          bytes;         /* with what an item itself takes */
    uint64_t        frames;        /* not sent yet */
    uint64_t        dropped_frames;
    uint64_t        dropped_bytes; /* of payload */
    d4_overflow_t   overflow;
    unsigned        open:1;        /* the run at the tail has no end yet */
    unsigned        cut:1;         /* the next start is fresh */
    unsigned        busy:1;        /* a part of next may have been written */
    unsigned        hold:1;        /* what is sent is kept for now */
    unsigned        done:1;        /* what was sent ends at a border */
} d4_queue_t;


void d4_queue_init(d4_queue_t *q, size_t limit, d4_overflow_t overflow);
void d4_queue_free(d4_queue_t *q);

/* 1 when a source that can wait should wait. */
int d4_queue_full(const d4_queue_t *q);

/*
 * Appends a payload; header: the pcap header it belongs to, or NULL.  With
 * one of the dropping policies this may drop it, or others.  Returns 0, or -1
 * without memory: then the payload was dropped and counted.
 */
int d4_queue_push(d4_queue_t *q, const d4_piece_t *piece, uint64_t timestamp,
    const uint8_t *header);

/* The content ended here, in the middle of a run or not. */
void d4_queue_end(d4_queue_t *q);

/* It broke off, and what follows has to begin a session. */
void d4_queue_break(d4_queue_t *q);

/* The payload to send now, NULL: none. */
d4_item_t *d4_queue_peek(d4_queue_t *q);

/* Writing of that payload begins; it was sent whole. */
void d4_queue_begin(d4_queue_t *q);
void d4_queue_sent(d4_queue_t *q);

/* From now on what was sent is kept; it need not be any more. */
void d4_queue_hold(d4_queue_t *q);
void d4_queue_release(d4_queue_t *q);

/*
 * The session is lost: the next one starts at a border.  Returns the number
 * of payloads that are sent once more.
 */
uint64_t d4_queue_rewind(d4_queue_t *q);


#endif /* _D4_QUEUE_H_INCLUDED_ */

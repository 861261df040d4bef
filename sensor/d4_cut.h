
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Cuts a sensor's input into payloads at the borders of its content: after a
 * line or between two pcap records, so that a session can start with any
 * payload whose start flag is set.  Pure: no input or output of its own.
 *
 * The caller reads into the cutter's buffer and takes pieces out of it:
 *
 *     n = read(fd, d4_cut_room(c, &room), room);
 *     d4_cut_added(c, n);
 *     while (d4_cut_next(c, D4_CUT_FULL, &piece)) { ... }
 *
 * The global header of a pcap file is no payload: it is kept aside, see
 * d4_cut_header(), because each session has to begin with it.  Another header
 * may come between two records, where captures were joined (unless a payload
 * is smaller than the header of a record).
 */


#ifndef _D4_CUT_H_INCLUDED_
#define _D4_CUT_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define D4_PCAP_HEADER  24
#define D4_PCAP_RECORD  16


typedef enum {
    D4_CUT_RAW = 0,                /* anywhere */
    D4_CUT_LINES,
    D4_CUT_PCAP
} d4_cut_kind_t;


typedef enum {
    D4_CUT_FULL = 0,               /* payloads that have no more room */
    D4_CUT_FLUSH,                  /* and whatever ends at a border */
    D4_CUT_ALL                     /* and the rest: the input ends here */
} d4_cut_how_t;


typedef struct {
    const uint8_t  *data;          /* until the next call */
    size_t          len;           /* 1 to the maximum */
    unsigned        start:1;       /* begins at a border of the content */
    unsigned        end:1;         /* ends at one */
} d4_piece_t;


typedef struct {
    uint8_t   *buf;
    size_t     max;                /* of buf and of a piece */
    size_t     have;
    size_t     border;             /* bytes up to the last border in buf */
    size_t     taken;              /* bytes of the piece handed out last */
    size_t     scanned;            /* pcap: bytes of buf whose end is known */
    uint8_t    asked;              /* d4_cut_kind_t at init */
    uint8_t    kind;               /* RAW once the content is not understood */
    uint8_t    begun;              /* the piece before had no end */
    uint8_t    big;                /* pcap: big-endian */
    uint8_t    heading;            /* pcap: a header is next, not a record */
    uint8_t    joined;             /* after what is in buf up to the border */
    uint8_t    has_header;
    uint8_t    spilling;           /* fresh is no header but payload */
    uint8_t    spill;              /* bytes of it handed out */
    uint8_t    fresh_have;
    uint8_t    record_have;
    uint8_t    header[D4_PCAP_HEADER];
    uint8_t    fresh[D4_PCAP_HEADER];      /* the next header, as it comes */
    uint8_t    record[D4_PCAP_RECORD];
    unsigned   headers;            /* so many came */
    uint32_t   record_max;
    uint32_t   left;               /* bytes of the record still to come */
} d4_cut_t;


/* Returns 0, or -1 without memory.  max is the largest payload, 1 or more. */
int d4_cut_init(d4_cut_t *c, d4_cut_kind_t kind, size_t max);
void d4_cut_free(d4_cut_t *c);

/* Where to put input and how much (1 or more, once full pieces were taken). */
uint8_t *d4_cut_room(d4_cut_t *c, size_t *room);
void d4_cut_added(d4_cut_t *c, size_t n);

/* Takes the next piece: 1 and *piece, or 0 when there is none. */
int d4_cut_next(d4_cut_t *c, d4_cut_how_t how, d4_piece_t *piece);

/* Bytes that D4_CUT_FLUSH would hand out. */
size_t d4_cut_ready(const d4_cut_t *c);

/* The pcap header of the pieces taken now, NULL as long as there is none. */
const uint8_t *d4_cut_header(const d4_cut_t *c);

/* 1 when pcap was asked for and the input is not pcap, or no longer. */
int d4_cut_strange(const d4_cut_t *c);

/*
 * The input starts anew (another writer, another file) after D4_CUT_FLUSH
 * handed out all it had.  An unfinished line gets its newline and is to be
 * taken with D4_CUT_FLUSH; an unfinished record is discarded, and *broken set
 * to 1 if pieces of it were handed out.  Returns the bytes discarded.
 */
size_t d4_cut_restart(d4_cut_t *c, int *broken);

/*
 * Changes the maximum, after D4_CUT_FLUSH handed out all it had.  Returns 0,
 * -1 without memory, or 1 when more than the new maximum waits: then take it
 * with d4_cut_split() and call again.
 */
int d4_cut_resize(d4_cut_t *c, size_t max);

/* Takes at most len bytes, wherever that cuts; 0 when there is nothing. */
int d4_cut_split(d4_cut_t *c, size_t len, d4_piece_t *piece);


#endif /* _D4_CUT_H_INCLUDED_ */

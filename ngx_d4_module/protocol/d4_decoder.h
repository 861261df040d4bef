
/*
 * From the bytes of a session to records, for every type of the wire format:
 * one interface, one decoder a file (d4_lines.c, d4_pcap.c, ...).
 *
 * A decoder takes its input in pieces of any size and hands out whole records,
 * each the same whatever the pieces were.  A record is what must not be torn
 * apart: files begin and end between records.  Where a piece ends within a
 * record, the decoder keeps a copy of what it has of it; what lies before that
 * is dealt with for good.  A border is a moment at which nothing is kept: only
 * there may the caller remember how far it has come, and a new decoder that is
 * restored with the preamble of that moment goes on as the old one would have.
 *
 * The preamble is what every file has to begin with before the first record:
 * the global header of a pcap, section and interface blocks of a pcapng, the
 * templates of IPFIX, nothing for lines.
 */


#ifndef _D4_DECODER_H_INCLUDED_
#define _D4_DECODER_H_INCLUDED_


#include "d4_carry.h"


#pragma GCC visibility push(hidden)


#define D4_PREAMBLE_MAX   65536

#define D4_RECORD_LINE    (1024 * 1024)        /* default longest records */
#define D4_RECORD_FILE    (16 * 1024 * 1024)


typedef enum {
    D4_DECODE_AGAIN = 0,   /* the input is used up */
    D4_DECODE_RECORD,      /* a whole record, or with r->cut a part of one */
    D4_DECODE_SKIP,        /* r->len bytes belong to no record; r->reason */
    D4_DECODE_REJECT,      /* not of this type at all, r->reason; for good */
    D4_DECODE_NOMEM        /* nothing of the input was lost: call again */
} d4_decode_t;


typedef struct {
    const uint8_t  *data;      /* as it goes to a file; valid until the next
                                  call, and only as long as the input */
    size_t          len;       /* 0 with fresh: only the preamble is new */
    size_t          element;   /* the first so many bytes of data are what an
                                  analyzer queue gets; 0: nothing */
    const char     *reason;    /* of SKIP, REJECT and cut; a constant */
    uint8_t         fresh;     /* has to begin a new file: the preamble is
                                  another one */
    uint8_t         cut;       /* longer than the limit: a part of a record,
                                  as long as the limit allows */
} d4_record_t;


typedef struct d4_decoder_s  d4_decoder_t;

typedef struct {
    d4_decode_t (*next)(d4_decoder_t *d, const uint8_t **p,
                        const uint8_t *end, d4_record_t *r);
    d4_decode_t (*finish)(d4_decoder_t *d, d4_record_t *r);
    int (*restore)(d4_decoder_t *d, const uint8_t *preamble, size_t len,
                   int resume);
    size_t (*held)(const d4_decoder_t *d);
    void (*free)(d4_decoder_t *d);
} d4_decoder_ops_t;


/* the head of every decoder's own structure */
struct d4_decoder_s {
    const d4_decoder_ops_t  *ops;
    const char              *suffix;     /* of its files: ".cap" */
    const uint8_t           *preamble;   /* NULL: none (yet) */
    size_t                   preamble_len;
    uint32_t                 preamble_version;   /* moves when it changes */
    size_t                   max;        /* longest record */
    d4_pool_t               *pool;
};


/*
 * One for each type; d4_capture_create() is that of type 1, which is pcap or
 * pcapng, whatever comes.  max: longest record in bytes, 0 for the default.
 * NULL without memory.
 */
d4_decoder_t *d4_lines_create(d4_pool_t *pool, size_t max, const char *suffix);
d4_decoder_t *d4_dnscap_create(d4_pool_t *pool, size_t max);
d4_decoder_t *d4_capture_create(d4_pool_t *pool, size_t max);
d4_decoder_t *d4_pcap_create(d4_pool_t *pool, size_t max);
d4_decoder_t *d4_pcapng_create(d4_pool_t *pool, size_t max);
d4_decoder_t *d4_ipfix_create(d4_pool_t *pool, size_t max);


/*
 * Takes input from *p, which it advances, up to end, and returns the next
 * event.  Call until AGAIN.
 */
#define d4_decoder_next(d, p, end, r)  (d)->ops->next(d, p, end, r)

/*
 * The session is over: what is left of it comes as RECORD (a last line that
 * was not ended) or SKIP (half a record).  Call until AGAIN.
 */
#define d4_decoder_finish(d, r)  (d)->ops->finish(d, r)

/*
 * Before the first input: goes on where another decoder had this preamble.
 * resume 0: at a border of the same session.  resume 1: in another session of
 * the same sensor, which may begin anywhere; then input that does not begin
 * as the type demands is searched for the first record border that can be
 * proven, and what lies before it is skipped.  0, or -1: not a preamble, or no
 * memory.
 */
#define d4_decoder_restore(d, p, len, resume)                                 \
    (d)->ops->restore(d, p, len, resume)

/* Bytes kept of what was taken; 0: a border. */
#define d4_decoder_held(d)  (d)->ops->held(d)

#define d4_decoder_free(d)  (d)->ops->free(d)


#pragma GCC visibility pop

#endif /* _D4_DECODER_H_INCLUDED_ */


/*
 * What pcap, pcapng and IPFIX have in common: units whose beginning tells
 * their length, packet records, blocks, messages.  Here are the walk from unit
 * to unit, the search for one after input that makes no sense, and what is
 * held meanwhile; what a unit is, the formats say.
 *
 * Whole units that follow each other in a piece of input are handed out in
 * place, as one RECORD of about 64 KiB at most.  A unit that cannot be begins
 * a search: the first place from which a chain of units follows, each of them
 * plausible, is a border again, and the record there is fresh, so that the gap
 * lies between two files.  At most 64 KiB that are known to be of no use and
 * 1 MiB that may prove a border are held: a border that takes more is none.
 *
 * Units that were held are handed out as one RECORD, and what follows them
 * goes back to the input or was waited for, so that there is a border; only
 * if something else follows (another preamble, again a unit that cannot be),
 * and after 1 MiB, there may be none.  As long as a search goes on there is
 * none either, but what was received before is no longer needed after a SKIP:
 * a decoder that is restored with resume 1 and gets the input from the first
 * byte that is held goes on just so (unless it looks like a global header
 * there: a session may begin with one, and a search wants proof of it).
 */


#ifndef _D4_UNITS_H_INCLUDED_
#define _D4_UNITS_H_INCLUDED_


#include "d4_decoder.h"


#pragma GCC visibility push(hidden)


typedef enum {
    D4_UNIT_MORE = 0,      /* to tell more takes *size bytes: more than len */
    D4_UNIT_PLAIN,         /* a whole one of *size bytes */
    D4_UNIT_START,         /* the same; it begins a new preamble */
    D4_UNIT_BAD,           /* cannot be; u->reason may say why */
    D4_UNIT_ALIEN          /* not to be decoded at all; u->reason says why */
} d4_unit_t;


typedef struct d4_units_s  d4_units_t;

typedef struct {

    unsigned   chain;      /* whole units in a row that prove a border */

    /*
     * What begins at p, of which len bytes are there; len may be 0.  More than
     * the unit may be asked for as long as u->eof is not set.
     */
    d4_unit_t (*measure)(d4_units_t *u, const uint8_t *p, size_t len,
                         size_t *size);

    /*
     * The same for unit n of a chain, of which n - 1 was there, with all the
     * suspicion that is due when p may be anywhere.
     */
    d4_unit_t (*prove)(d4_units_t *u, unsigned n, const uint8_t *p,
                       size_t len, size_t *size);

    /* START: 1 if this changed the preamble, 0, or -1 without memory */
    int (*start)(d4_units_t *u, const uint8_t *p, size_t size);

    /*
     * PLAIN units, one after the other, are about to be handed out: the same,
     * and *len is how much of them a file may begin with.  May be called again
     * with them.  NULL: they never change it.
     */
    int (*take)(d4_units_t *u, const uint8_t *p, size_t *len);

} d4_units_format_t;


/* the head of a format's own structure */
struct d4_units_s {
    d4_decoder_t              decoder;
    const d4_units_format_t  *format;
    d4_carry_t                carry;
    size_t                    pos;         /* what of it was handed out */
    size_t                    whole;       /* and then whole units */
    size_t                    scan;        /* or what begins with no border */
    const uint8_t            *piece;       /* input of this call */
    const char               *reason;      /* of the format */
    const char               *why;         /* of the search */
    uint8_t                   begun;       /* a unit was there */
    uint8_t                   eof;         /* no more input comes */
    uint8_t                   resume;
    uint8_t                   fresh;       /* to be said of the next record */
    uint8_t                   searching;
    uint8_t                   rejected;
};


/* ops is the format's table with next, finish and held from here. */
void d4_units_init(d4_units_t *u, const d4_units_format_t *format,
    const d4_decoder_ops_t *ops, const char *suffix, d4_pool_t *pool,
    size_t max);

/* To be called by restore() when the preamble is in place. */
void d4_units_restored(d4_units_t *u, int resume);

/* Gives back what is held. */
void d4_units_free(d4_units_t *u);

/*
 * Whether p may be the beginning of a capture of this format: 8 bytes of a
 * pcap, its magic and version, or 12 of a pcapng, a section header with its
 * byte-order magic.
 */
int d4_pcap_begins(const uint8_t *p);
int d4_pcapng_begins(const uint8_t *p);

d4_decode_t d4_units_next(d4_decoder_t *d, const uint8_t **p,
    const uint8_t *end, d4_record_t *r);
d4_decode_t d4_units_finish(d4_decoder_t *d, d4_record_t *r);
size_t d4_units_held(const d4_decoder_t *d);


static inline uint16_t
d4_units_u16(const uint8_t *p, int big)
{
    return (uint16_t) (big ? p[0] << 8 | p[1] : p[1] << 8 | p[0]);
}


static inline uint32_t
d4_units_u32(const uint8_t *p, int big)
{
    if (big) {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
               | (uint32_t) p[2] << 8 | p[3];
    }

    return (uint32_t) p[3] << 24 | (uint32_t) p[2] << 16
           | (uint32_t) p[1] << 8 | p[0];
}


/*
 * 1 when the times, in seconds, may be those of neighbours: a sensor that
 * hears something once a day, or a clock that was set.
 */
static inline int
d4_units_near(uint32_t a, uint32_t b)
{
    return (a > b ? a - b : b - a) <= 86400;
}


#pragma GCC visibility pop

#endif /* _D4_UNITS_H_INCLUDED_ */

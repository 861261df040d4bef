
/*
 * Type 1 as libpcap takes it: pcap or pcapng, told apart by the first bytes of
 * a session.  From then on one of the two decoders does everything.
 *
 * A session that goes on where another one of its sensor was may begin with a
 * header all the same, and with one of the other format if the sensor's tool
 * was replaced.  Where it begins in the middle, four bytes may be anything, so
 * that it takes more to believe that: the version of a pcap, or the byte-order
 * magic of a section, which no record that a search believes in has there.
 */


#include "d4_units.h"

#include <stdlib.h>
#include <string.h>


#define D4_CAPTURE_MAGIC   4
#define D4_CAPTURE_RESUME  12

#define d4_capture_is_section(p)  (memcmp(p, "\n\r\r\n", 4) == 0)


typedef struct {
    d4_decoder_t   decoder;
    d4_decoder_t  *pcap;
    d4_decoder_t  *pcapng;
    d4_decoder_t  *chosen;
    uint32_t       version;    /* of preambles, before it was chosen */
    uint8_t        look;       /* so many bytes choose; 0: it is chosen */
    uint8_t        len;        /* of them held here */
    uint8_t        pos;        /* and of these given to the one chosen */
    uint8_t        first[D4_CAPTURE_RESUME];
} d4_capture_t;


static d4_decode_t d4_capture_next(d4_decoder_t *decoder, const uint8_t **p,
    const uint8_t *end, d4_record_t *r);
static d4_decode_t d4_capture_finish(d4_decoder_t *decoder, d4_record_t *r);
static int d4_capture_restore(d4_decoder_t *decoder, const uint8_t *preamble,
    size_t len, int resume);
static size_t d4_capture_held(const d4_decoder_t *decoder);
static void d4_capture_free(d4_decoder_t *decoder);
static int d4_capture_look(d4_capture_t *d, const uint8_t **p,
    const uint8_t *end);
static void d4_capture_choose(d4_capture_t *d, const uint8_t *p);
static d4_decode_t d4_capture_first(d4_capture_t *d, d4_record_t *r);
static void d4_capture_forward(d4_capture_t *d);


static const d4_decoder_ops_t  d4_capture_ops = {
    d4_capture_next,
    d4_capture_finish,
    d4_capture_restore,
    d4_capture_held,
    d4_capture_free
};


d4_decoder_t *
d4_capture_create(d4_pool_t *pool, size_t max)
{
    d4_capture_t  *d;

    d = calloc(1, sizeof(d4_capture_t));
    if (d == NULL) {
        return NULL;
    }

    d->pcap = d4_pcap_create(pool, max);
    d->pcapng = d4_pcapng_create(pool, max);

    if (d->pcap == NULL || d->pcapng == NULL) {
        d4_capture_free(&d->decoder);
        return NULL;
    }

    d->decoder.ops = &d4_capture_ops;
    d->decoder.suffix = d->pcap->suffix;
    d->decoder.max = d->pcap->max;
    d->decoder.pool = pool;
    d->chosen = d->pcap;
    d->look = D4_CAPTURE_MAGIC;

    return &d->decoder;
}


static void
d4_capture_free(d4_decoder_t *decoder)
{
    d4_capture_t  *d = (d4_capture_t *) decoder;

    if (d->pcap != NULL) {
        d4_decoder_free(d->pcap);
    }

    if (d->pcapng != NULL) {
        d4_decoder_free(d->pcapng);
    }

    free(d);
}


static int
d4_capture_restore(d4_decoder_t *decoder, const uint8_t *preamble, size_t len,
    int resume)
{
    d4_capture_t  *d = (d4_capture_t *) decoder;
    d4_decoder_t  *chosen;

    if (len == 0) {
        return 0;
    }

    chosen = (len >= D4_CAPTURE_MAGIC && d4_capture_is_section(preamble))
                 ? d->pcapng : d->pcap;

    if (d4_decoder_restore(chosen, preamble, len, resume) != 0) {
        return -1;
    }

    d->chosen = chosen;
    d->look = resume ? D4_CAPTURE_RESUME : 0;
    d4_capture_forward(d);

    return 0;
}


static size_t
d4_capture_held(const d4_decoder_t *decoder)
{
    const d4_capture_t  *d = (const d4_capture_t *) decoder;

    return d->len - d->pos + d4_decoder_held(d->chosen);
}


static d4_decode_t
d4_capture_next(d4_decoder_t *decoder, const uint8_t **p, const uint8_t *end,
    d4_record_t *r)
{
    d4_decode_t    rc;
    d4_capture_t  *d = (d4_capture_t *) decoder;

    if (d->look && !d4_capture_look(d, p, end)) {
        memset(r, 0, sizeof(d4_record_t));
        return D4_DECODE_AGAIN;
    }

    rc = d4_capture_first(d, r);

    if (rc == D4_DECODE_AGAIN) {
        rc = d4_decoder_next(d->chosen, p, end, r);
    }

    d4_capture_forward(d);

    return rc;
}


static d4_decode_t
d4_capture_finish(d4_decoder_t *decoder, d4_record_t *r)
{
    d4_decode_t    rc;
    d4_capture_t  *d = (d4_capture_t *) decoder;

    /* too little to choose by is too little for any record, too */

    d->look = 0;
    rc = d4_capture_first(d, r);

    if (rc == D4_DECODE_AGAIN) {
        rc = d4_decoder_finish(d->chosen, r);
    }

    d4_capture_forward(d);

    return rc;
}


/* Chooses by the first bytes, in place if they are there: 1, or 0 to wait. */

static int
d4_capture_look(d4_capture_t *d, const uint8_t **p, const uint8_t *end)
{
    size_t  n;

    if (d->len == 0 && end - *p >= d->look) {
        d4_capture_choose(d, *p);
        return 1;
    }

    n = d->look - d->len;

    if (n > (size_t) (end - *p)) {
        n = end - *p;
    }

    if (n != 0) {
        memcpy(d->first + d->len, *p, n);
        d->len += (uint8_t) n;
        *p += n;
    }

    if (d->len < d->look) {
        return 0;
    }

    d4_capture_choose(d, d->first);

    return 1;
}


static void
d4_capture_choose(d4_capture_t *d, const uint8_t *p)
{
    d4_decoder_t  *chosen;

    chosen = d->chosen;

    if (d->look == D4_CAPTURE_MAGIC) {
        chosen = d4_capture_is_section(p) ? d->pcapng : d->pcap;

    } else if (d4_pcapng_begins(p)) {
        chosen = d->pcapng;

    } else if (d4_pcap_begins(p)) {
        chosen = d->pcap;
    }

    if (chosen != d->chosen) {
        d->version = d->decoder.preamble_version;
        d->chosen = chosen;
    }

    d->look = 0;
}


/* Gives what was held here to the one chosen; AGAIN when that is done. */

static d4_decode_t
d4_capture_first(d4_capture_t *d, d4_record_t *r)
{
    d4_decode_t     rc;
    const uint8_t  *p;

    while (d->pos < d->len) {
        p = d->first + d->pos;
        rc = d4_decoder_next(d->chosen, &p, d->first + d->len, r);

        /* it says so again when it is asked again */

        d->pos = (rc == D4_DECODE_REJECT) ? d->len
                                          : (uint8_t) (p - d->first);

        if (rc != D4_DECODE_AGAIN) {
            return rc;
        }
    }

    return D4_DECODE_AGAIN;
}


/*
 * The preamble of another session is that of this one until there is one, as
 * it is where the format stays the same.
 */

static void
d4_capture_forward(d4_capture_t *d)
{
    if (d->chosen->preamble != NULL) {
        d->decoder.preamble = d->chosen->preamble;
        d->decoder.preamble_len = d->chosen->preamble_len;
    }

    d->decoder.preamble_version = d->version + d->chosen->preamble_version;
}

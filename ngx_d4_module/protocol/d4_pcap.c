
/*
 * pcap, of type 1: savefiles of libpcap, versions 2.0 to 2.4, with micro- or
 * nanoseconds, in both byte orders, and those with the longer record headers
 * of Kuznetzov's patch (see pcap-savefile(5) and the IETF's
 * draft-ietf-opsawg-pcap).  The global header is the preamble, as it came.
 * Another one between two records, where captures were joined, begins a new
 * preamble.
 *
 * What "tcpdump -r" reads is a record, even if one of its fields is wrong: too
 * large a fraction, somewhat more captured than there was, more than the
 * file's own limit, an absurd length.  But then the next one has to be of the
 * same time and not worse, because after a loss any bytes may look like a
 * record.  No writer is known to be wrong twice in one: that is corrupt, as is
 * a record larger than libpcap reads, or one that holds far more than there
 * was.  In a search nothing is forgiven.
 */


#include "d4_units.h"

#include <stdlib.h>
#include <string.h>


#define D4_PCAP_HEADER    24
#define D4_PCAP_RECORD    16
#define D4_PCAP_PATCHED   24           /* a record's header, with the patch */

#define D4_PCAP_LARGEST   262144       /* MAXIMUM_SNAPLEN of libpcap */
#define D4_PCAP_ABSURD    (1024 * 1024)
#define D4_PCAP_SURPLUS   1024         /* captured, but not in the packet */


typedef struct {
    uint32_t  snaplen;
    uint32_t  limit;       /* bytes captured of a packet */
    uint32_t  least;       /* the same: as few as the link type makes */
    uint32_t  second;      /* in fractions */
    uint8_t   big;
    uint8_t   minor;
    uint8_t   record;      /* bytes of a record's header */
} d4_pcap_header_t;


typedef struct {
    uint32_t  sec;
    uint32_t  fraction;
    uint32_t  captured;
    uint32_t  len;
} d4_pcap_record_t;


typedef struct {
    d4_units_t        units;
    d4_pcap_header_t  header;
    d4_pcap_header_t  chain_header;        /* of the chain to be proven */
    uint32_t          chain_sec;           /* of its last record */
    uint8_t           chain_timed;         /* there was one */
    uint8_t           preamble[D4_PCAP_HEADER];
} d4_pcap_t;


static d4_unit_t d4_pcap_measure(d4_units_t *u, const uint8_t *p, size_t len,
    size_t *size);
static d4_unit_t d4_pcap_begin(const uint8_t *p, size_t len, size_t *size,
    const char **reason);
static d4_unit_t d4_pcap_prove(d4_units_t *u, unsigned n, const uint8_t *p,
    size_t len, size_t *size);
static int d4_pcap_start(d4_units_t *u, const uint8_t *p, size_t size);
static int d4_pcap_restore(d4_decoder_t *d, const uint8_t *preamble,
    size_t len, int resume);
static void d4_pcap_free(d4_decoder_t *d);
static int d4_pcap_magic(const uint8_t *p, d4_pcap_header_t *h);
static int d4_pcap_joined(const uint8_t *p);
static int d4_pcap_version(const uint8_t *p, int big);
static int d4_pcap_parse(const uint8_t *p, size_t max, d4_pcap_header_t *h);
static uint32_t d4_pcap_limit(uint32_t link, size_t max);
static uint32_t d4_pcap_least(uint32_t link);
static void d4_pcap_read(const d4_pcap_header_t *h, const uint8_t *p,
    d4_pcap_record_t *rec);
static unsigned d4_pcap_wrong(const d4_pcap_header_t *h,
    const d4_pcap_record_t *rec);
static int d4_pcap_follows(const d4_pcap_header_t *h, const uint8_t *p,
    uint32_t sec);
static int d4_pcap_doubtful(const d4_pcap_header_t *h,
    const d4_pcap_record_t *rec);


static const d4_units_format_t  d4_pcap_format = {
    4,
    d4_pcap_measure,
    d4_pcap_prove,
    d4_pcap_start,
    NULL
};


static const d4_decoder_ops_t  d4_pcap_ops = {
    d4_units_next,
    d4_units_finish,
    d4_pcap_restore,
    d4_units_held,
    d4_pcap_free
};


d4_decoder_t *
d4_pcap_create(d4_pool_t *pool, size_t max)
{
    d4_pcap_t  *d;

    d = calloc(1, sizeof(d4_pcap_t));
    if (d == NULL) {
        return NULL;
    }

    d4_units_init(&d->units, &d4_pcap_format, &d4_pcap_ops, ".cap", pool,
                  max);

    return &d->units.decoder;
}


static void
d4_pcap_free(d4_decoder_t *d)
{
    d4_units_free((d4_units_t *) d);
    free(d);
}


static int
d4_pcap_restore(d4_decoder_t *d, const uint8_t *preamble, size_t len,
    int resume)
{
    d4_pcap_header_t  h;

    if (len == 0) {
        return 0;
    }

    if (len != D4_PCAP_HEADER || d4_pcap_parse(preamble, d->max, &h) != 0) {
        return -1;
    }

    (void) d4_pcap_start((d4_units_t *) d, preamble, len);
    d4_units_restored((d4_units_t *) d, resume);

    return 0;
}


static int
d4_pcap_start(d4_units_t *u, const uint8_t *p, size_t size)
{
    d4_pcap_t  *d = (d4_pcap_t *) u;

    if (u->decoder.preamble != NULL && memcmp(d->preamble, p, size) == 0) {
        return 0;
    }

    (void) d4_pcap_parse(p, u->decoder.max, &d->header);

    memcpy(d->preamble, p, size);
    u->decoder.preamble = d->preamble;
    u->decoder.preamble_len = size;

    return 1;
}


static d4_unit_t
d4_pcap_measure(d4_units_t *u, const uint8_t *p, size_t len, size_t *size)
{
    d4_pcap_t                *d = (d4_pcap_t *) u;
    unsigned                  wrong;
    d4_pcap_record_t          rec;
    const d4_pcap_header_t   *h;

    if (!u->begun) {
        return d4_pcap_begin(p, len, size, &u->reason);
    }

    h = &d->header;
    *size = h->record;

    if (len < *size) {
        return D4_UNIT_MORE;
    }

    if (d4_pcap_joined(p)) {
        *size = D4_PCAP_HEADER;
        return len < *size ? D4_UNIT_MORE : D4_UNIT_START;
    }

    d4_pcap_read(h, p, &rec);
    wrong = d4_pcap_wrong(h, &rec);

    if (wrong > 1) {
        return D4_UNIT_BAD;
    }

    *size += rec.captured;

    if (len < *size) {
        return D4_UNIT_MORE;
    }

    if (wrong == 0) {
        return D4_UNIT_PLAIN;
    }

    if (len - *size < D4_PCAP_RECORD) {
        *size += u->eof ? 0 : D4_PCAP_RECORD;
        return u->eof ? D4_UNIT_PLAIN : D4_UNIT_MORE;
    }

    return d4_pcap_follows(h, p + *size, rec.sec) ? D4_UNIT_PLAIN
                                                  : D4_UNIT_BAD;
}


/* The first bytes of a session. */

static d4_unit_t
d4_pcap_begin(const uint8_t *p, size_t len, size_t *size, const char **reason)
{
    d4_pcap_header_t  h;

    *size = 4;

    if (len < *size) {
        return D4_UNIT_MORE;
    }

    if (d4_pcap_magic(p, &h) != 0) {
        *reason = "not pcap";
        return D4_UNIT_ALIEN;
    }

    *size = D4_PCAP_HEADER;

    if (len < *size) {
        return D4_UNIT_MORE;
    }

    if (d4_pcap_version(p, h.big) != 0) {
        *reason = "a version of pcap that is not 2.0 to 2.4";
        return D4_UNIT_ALIEN;
    }

    return D4_UNIT_START;
}


static d4_unit_t
d4_pcap_prove(d4_units_t *u, unsigned n, const uint8_t *p, size_t len,
    size_t *size)
{
    d4_pcap_t         *d = (d4_pcap_t *) u;
    d4_pcap_header_t  *h;
    d4_pcap_record_t   rec;

    h = &d->chain_header;

    if (n == 0) {
        *h = d->header;
        d->chain_timed = 0;
    }

    *size = h->record;

    if (len < *size) {
        return D4_UNIT_MORE;
    }

    if (d4_pcap_joined(p)) {
        *size = D4_PCAP_HEADER;

        if (len < *size) {
            return D4_UNIT_MORE;
        }

        d->chain_timed = 0;

        return d4_pcap_parse(p, u->decoder.max, h) == 0 ? D4_UNIT_START
                                                        : D4_UNIT_BAD;
    }

    d4_pcap_read(h, p, &rec);

    if (d4_pcap_doubtful(h, &rec)
        || (d->chain_timed && !d4_units_near(rec.sec, d->chain_sec)))
    {
        return D4_UNIT_BAD;
    }

    d->chain_sec = rec.sec;
    d->chain_timed = 1;
    *size += rec.captured;

    return len < *size ? D4_UNIT_MORE : D4_UNIT_PLAIN;
}


int
d4_pcap_begins(const uint8_t *p)
{
    d4_pcap_header_t  h;

    return d4_pcap_magic(p, &h) == 0 && d4_pcap_version(p, h.big) == 0;
}


/* Sets what the magic says: 0, or -1 when it is none. */

static int
d4_pcap_magic(const uint8_t *p, d4_pcap_header_t *h)
{
    uint32_t  magic;

    magic = d4_units_u32(p, 1);

    switch (magic) {

    case 0xa1b2c3d4:
    case 0xa1b23c4d:
    case 0xa1b2cd34:
        h->big = 1;
        break;

    case 0xd4c3b2a1:
    case 0x4d3cb2a1:
    case 0x34cdb2a1:
        h->big = 0;
        magic = d4_units_u32(p, 0);
        break;

    default:
        return -1;
    }

    h->second = (magic == 0xa1b23c4d) ? 1000000000 : 1000000;
    h->record = (magic == 0xa1b2cd34) ? D4_PCAP_PATCHED : D4_PCAP_RECORD;

    return 0;
}


static int
d4_pcap_version(const uint8_t *p, int big)
{
    return (d4_units_u16(p + 4, big) == 2 && d4_units_u16(p + 6, big) <= 4)
               ? 0 : -1;
}


/*
 * A global header where a record is due, told by 16 bytes.  As a record it
 * would be one of the year 2055 or 2082, and of no length.
 */

static int
d4_pcap_joined(const uint8_t *p)
{
    int32_t           zone;
    d4_pcap_header_t  h;

    if (d4_pcap_magic(p, &h) != 0 || d4_pcap_version(p, h.big) != 0) {
        return 0;
    }

    zone = (int32_t) d4_units_u32(p + 8, h.big);

    return zone >= -86400 && zone <= 86400
           && d4_units_u32(p + 12, h.big) == 0;
}


static int
d4_pcap_parse(const uint8_t *p, size_t max, d4_pcap_header_t *h)
{
    uint32_t  link;

    if (d4_pcap_magic(p, h) != 0 || d4_pcap_version(p, h->big) != 0) {
        return -1;
    }

    /* above it: whether frames end with a checksum */
    link = d4_units_u32(p + 20, h->big) & 0xffff;

    h->minor = (uint8_t) d4_units_u16(p + 6, h->big);
    h->snaplen = d4_units_u32(p + 16, h->big);
    h->limit = d4_pcap_limit(link, max > h->record ? max - h->record : 0);
    h->least = d4_pcap_least(link);

    return 0;
}


/* Bytes captured of a packet, at most: one rule, but for few link types. */

static uint32_t
d4_pcap_limit(uint32_t link, size_t max)
{
    uint32_t  limit;

    switch (link) {

    case 189:              /* USB_LINUX */
    case 220:              /* USB_LINUX_MMAPPED */
    case 231:              /* DBUS */
    case 249:              /* USBPCAP */
    case 266:              /* USB_DARWIN */
    case 279:              /* EBHSCR */
        limit = 128 * 1024 * 1024;
        break;

    default:
        limit = D4_PCAP_LARGEST;
    }

    return max < limit ? (uint32_t) max : limit;
}


static uint32_t
d4_pcap_least(uint32_t link)
{
    switch (link) {

    case 1:                /* EN10MB */
        return 14;

    case 12:               /* RAW */
    case 14:
    case 101:
        return 20;

    case 113:              /* LINUX_SLL */
        return 16;

    case 127:              /* IEEE802_11_RADIO */
        return 8;

    case 276:              /* LINUX_SLL2 */
        return 20;

    default:
        return 1;
    }
}


/*
 * Both lengths changed their places with version 2.3, and some writers of
 * that version did not know.
 */

static void
d4_pcap_read(const d4_pcap_header_t *h, const uint8_t *p,
    d4_pcap_record_t *rec)
{
    uint32_t  len;

    rec->sec = d4_units_u32(p, h->big);
    rec->fraction = d4_units_u32(p + 4, h->big);
    rec->captured = d4_units_u32(p + 8, h->big);
    rec->len = d4_units_u32(p + 12, h->big);

    if (h->minor < 3 || (h->minor == 3 && rec->captured > rec->len)) {
        len = rec->captured;
        rec->captured = rec->len;
        rec->len = len;
    }
}


/* How many of its fields are wrong: 2 when it is no record at all. */

static unsigned
d4_pcap_wrong(const d4_pcap_header_t *h, const d4_pcap_record_t *rec)
{
    if (rec->captured > h->limit
        || rec->captured > rec->len + (uint64_t) D4_PCAP_SURPLUS)
    {
        return 2;
    }

    /* equal fields are a pattern that repeats, and zeros a hole in a file */

    return (rec->fraction >= h->second)
           + (rec->fraction == rec->sec)
           + (rec->fraction == rec->sec && rec->sec == rec->len)
           + (rec->captured > rec->len)
           + (rec->captured > h->snaplen && h->snaplen != 0)
           + (rec->len > D4_PCAP_ABSURD && rec->len > h->limit)
           + (rec->len == 0);
}


/* Whether a record at p may follow another one of this time. */

static int
d4_pcap_follows(const d4_pcap_header_t *h, const uint8_t *p, uint32_t sec)
{
    d4_pcap_record_t  rec;

    if (d4_pcap_joined(p)) {
        return 1;
    }

    d4_pcap_read(h, p, &rec);

    return d4_pcap_wrong(h, &rec) <= 1 && d4_units_near(rec.sec, sec);
}


static int
d4_pcap_doubtful(const d4_pcap_header_t *h, const d4_pcap_record_t *rec)
{
    return rec->captured < h->least
           || rec->captured > rec->len
           || rec->captured > h->limit
           || (rec->len > D4_PCAP_LARGEST && rec->len > h->limit)
           || rec->fraction >= h->second
           || rec->fraction == rec->sec;
}

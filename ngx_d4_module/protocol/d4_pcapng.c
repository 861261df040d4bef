
/*
 * pcapng, of types 5 and 1: blocks, in both byte orders, as they came
 * (draft-ietf-opsawg-pcapng).  The preamble is the section header, with its
 * length said to be unknown because a section is spread over files, and the
 * interfaces that came since.  Neither is a record: another section header,
 * or another interface, begins a new file, or the interface would be in one
 * twice that begins there.  As many as follow each other count as one.
 *
 * A block is corrupt when its two lengths differ, when it is too short for its
 * type, or when it speaks of an interface that is not there: what reads such
 * files gives up at any of these.  A section header or interfaces of more than
 * D4_PREAMBLE_MAX bytes cannot be repeated: such a session is rejected.
 */


#include "d4_units.h"

#include <stdlib.h>
#include <string.h>


#define D4_PCAPNG_SECTION    0x0a0d0d0a    /* in either byte order */
#define D4_PCAPNG_INTERFACE  1
#define D4_PCAPNG_PACKET     2             /* obsolete */
#define D4_PCAPNG_SIMPLE     3
#define D4_PCAPNG_STATISTICS 5
#define D4_PCAPNG_ENHANCED   6

#define D4_PCAPNG_BLOCK      12            /* the shortest */


typedef struct {
    uint32_t  interfaces;
    uint8_t   big;
} d4_pcapng_section_t;


typedef struct {
    d4_units_t           units;
    d4_pcapng_section_t  section;
    d4_pcapng_section_t  chain;            /* of the chain to be proven */
    d4_carry_t           preamble;
    size_t               group;            /* bytes of one that are known */
} d4_pcapng_t;


static d4_unit_t d4_pcapng_measure(d4_units_t *u, const uint8_t *p,
    size_t len, size_t *size);
static d4_unit_t d4_pcapng_begin(d4_pcapng_t *d, const uint8_t *p, size_t len,
    size_t *size);
static d4_unit_t d4_pcapng_group(d4_pcapng_t *d, const uint8_t *p, size_t len,
    size_t *size);
static int d4_pcapng_waits(const d4_pcapng_t *d, const d4_pcapng_section_t *s,
    const uint8_t *p, size_t len);
static d4_unit_t d4_pcapng_prove(d4_units_t *u, unsigned n, const uint8_t *p,
    size_t len, size_t *size);
static int d4_pcapng_start(d4_units_t *u, const uint8_t *p, size_t size);
static int d4_pcapng_restore(d4_decoder_t *d, const uint8_t *preamble,
    size_t len, int resume);
static void d4_pcapng_free(d4_decoder_t *d);
static d4_unit_t d4_pcapng_block(const d4_pcapng_section_t *s, size_t max,
    const uint8_t *p, size_t len, size_t *size);
static d4_unit_t d4_pcapng_section(size_t max, const uint8_t *p, size_t len,
    size_t *size);
static int d4_pcapng_order(const uint8_t *p);
static uint32_t d4_pcapng_least(uint32_t type);
static int d4_pcapng_sound(const d4_pcapng_section_t *s, uint32_t type,
    uint32_t total, const uint8_t *p);
static int d4_pcapng_known(uint32_t type);


static const d4_units_format_t  d4_pcapng_format = {
    3,
    d4_pcapng_measure,
    d4_pcapng_prove,
    d4_pcapng_start,
    NULL
};


static const d4_decoder_ops_t  d4_pcapng_ops = {
    d4_units_next,
    d4_units_finish,
    d4_pcapng_restore,
    d4_units_held,
    d4_pcapng_free
};


d4_decoder_t *
d4_pcapng_create(d4_pool_t *pool, size_t max)
{
    d4_pcapng_t  *d;

    d = calloc(1, sizeof(d4_pcapng_t));
    if (d == NULL) {
        return NULL;
    }

    d4_units_init(&d->units, &d4_pcapng_format, &d4_pcapng_ops, ".pcapng",
                  pool, max);
    d4_carry_init(&d->preamble, pool);

    return &d->units.decoder;
}


static void
d4_pcapng_free(d4_decoder_t *decoder)
{
    d4_pcapng_t  *d = (d4_pcapng_t *) decoder;

    d4_units_free(&d->units);
    d4_carry_free(&d->preamble);
    free(d);
}


static int
d4_pcapng_restore(d4_decoder_t *decoder, const uint8_t *preamble, size_t len,
    int resume)
{
    size_t        size;
    d4_unit_t     what;
    d4_pcapng_t  *d = (d4_pcapng_t *) decoder;

    if (len == 0) {
        return 0;
    }

    /* all of it is one group, and nothing comes behind it */

    d->units.eof = 1;
    what = d4_pcapng_begin(d, preamble, len, &size);
    d->units.eof = 0;

    if (what != D4_UNIT_START || size != len
        || d4_pcapng_start(&d->units, preamble, size) == -1)
    {
        return -1;
    }

    d4_units_restored(&d->units, resume);

    return 0;
}


static d4_unit_t
d4_pcapng_measure(d4_units_t *u, const uint8_t *p, size_t len, size_t *size)
{
    d4_unit_t     what;
    d4_pcapng_t  *d = (d4_pcapng_t *) u;

    if (!u->begun) {
        return d4_pcapng_begin(d, p, len, size);
    }

    what = d4_pcapng_block(&d->section, u->decoder.max, p, len, size);

    if (what == D4_UNIT_START
        || (what == D4_UNIT_PLAIN
            && d4_units_u32(p, d->section.big) == D4_PCAPNG_INTERFACE))
    {
        return d4_pcapng_group(d, p, len, size);
    }

    return what;
}


/* The first bytes of a session. */

static d4_unit_t
d4_pcapng_begin(d4_pcapng_t *d, const uint8_t *p, size_t len, size_t *size)
{
    d4_unit_t  what;

    *size = 4;

    if (len < *size) {
        return D4_UNIT_MORE;
    }

    if (d4_units_u32(p, 0) != D4_PCAPNG_SECTION) {
        d->units.reason = "not pcapng";
        return D4_UNIT_ALIEN;
    }

    what = d4_pcapng_section(d->units.decoder.max, p, len, size);

    if (what == D4_UNIT_START) {
        return d4_pcapng_group(d, p, len, size);
    }

    if (what == D4_UNIT_BAD) {
        d->units.reason = "not a section header of pcapng 1.x";
        return D4_UNIT_ALIEN;
    }

    return what;
}


/* The block of *size bytes, and the interfaces that follow it. */

static d4_unit_t
d4_pcapng_group(d4_pcapng_t *d, const uint8_t *p, size_t len, size_t *size)
{
    size_t                off, n, room;
    d4_unit_t             what;
    d4_pcapng_section_t   s;

    s = d->section;
    room = D4_PREAMBLE_MAX;

    if (d4_units_u32(p, 0) == D4_PCAPNG_SECTION) {
        s.big = (uint8_t) d4_pcapng_order(p);

    } else {
        room -= d->preamble.len;
    }

    /* it may come a block at a time, and is not walked through each time */

    off = d->group > *size ? d->group : *size;

    for ( /* void */ ; off <= room; off += n) {

        what = d4_pcapng_block(&s, d->units.decoder.max, p + off, len - off,
                               &n);

        if (what == D4_UNIT_MORE && d4_pcapng_waits(d, &s, p + off, len - off))
        {
            d->group = off;
            *size = off + n;
            return D4_UNIT_MORE;
        }

        if (what != D4_UNIT_PLAIN
            || d4_units_u32(p + off, s.big) != D4_PCAPNG_INTERFACE)
        {
            break;
        }
    }

    if (off > room) {
        d->units.reason = "more interfaces than a file can begin with";
        return D4_UNIT_ALIEN;
    }

    *size = off;

    return D4_UNIT_START;
}


/* Whether what there is of a block may become an interface. */

static int
d4_pcapng_waits(const d4_pcapng_t *d, const d4_pcapng_section_t *s,
    const uint8_t *p, size_t len)
{
    return !d->units.eof
           && (len < 4 || d4_units_u32(p, s->big) == D4_PCAPNG_INTERFACE);
}


static d4_unit_t
d4_pcapng_prove(d4_units_t *u, unsigned n, const uint8_t *p, size_t len,
    size_t *size)
{
    uint32_t              type;
    d4_unit_t             what;
    d4_pcapng_t          *d = (d4_pcapng_t *) u;
    d4_pcapng_section_t  *s;

    s = &d->chain;

    if (n == 0) {
        *s = d->section;
    }

    *size = D4_PCAPNG_BLOCK;

    if (len < *size) {
        return D4_UNIT_MORE;
    }

    type = d4_units_u32(p, s->big);

    if (!d4_pcapng_known(type)) {
        return D4_UNIT_BAD;
    }

    what = d4_pcapng_block(s, u->decoder.max, p, len, size);

    if (what == D4_UNIT_START) {
        s->interfaces = 0;
        s->big = (uint8_t) d4_pcapng_order(p);

    } else if (what == D4_UNIT_PLAIN && type == D4_PCAPNG_INTERFACE) {
        s->interfaces++;
    }

    return what;
}


static int
d4_pcapng_start(d4_units_t *u, const uint8_t *p, size_t size)
{
    size_t        old, off;
    d4_pcapng_t  *d = (d4_pcapng_t *) u;

    old = d->preamble.len;
    off = 0;

    if (d4_carry_add(&d->preamble, p, size) != 0) {
        return -1;
    }

    /* a section takes the place of the old one, which stays without memory */

    if (d4_units_u32(p, 0) == D4_PCAPNG_SECTION) {
        memmove(d->preamble.data, d->preamble.data + old, size);
        memset(d->preamble.data + 16, 0xff, 8);

        d->preamble.len = size;
        d->section.interfaces = 0;
        d->section.big = (uint8_t) d4_pcapng_order(p);

        off = d4_units_u32(p + 4, d->section.big);
    }

    while (off < size) {
        off += d4_units_u32(p + off + 4, d->section.big);
        d->section.interfaces++;
    }

    d->group = 0;

    u->decoder.preamble = d->preamble.data;
    u->decoder.preamble_len = d->preamble.len;

    return 1;
}


/* The block at p: MORE, PLAIN, START for a section header, or BAD. */

static d4_unit_t
d4_pcapng_block(const d4_pcapng_section_t *s, size_t max, const uint8_t *p,
    size_t len, size_t *size)
{
    size_t    head;
    uint32_t  type, total;

    *size = D4_PCAPNG_BLOCK;

    if (len < *size) {
        return D4_UNIT_MORE;
    }

    type = d4_units_u32(p, s->big);
    total = d4_units_u32(p + 4, s->big);

    if (type == D4_PCAPNG_SECTION) {
        return d4_pcapng_section(max, p, len, size);
    }

    if (total % 4 != 0 || total > max || total < d4_pcapng_least(type)) {
        return D4_UNIT_BAD;
    }

    /* the fields that are looked at, then the whole */

    head = d4_pcapng_least(type) - 4;

    if (len < head) {
        *size = head;
        return D4_UNIT_MORE;
    }

    if (!d4_pcapng_sound(s, type, total, p)) {
        return D4_UNIT_BAD;
    }

    *size = total;

    if (len < *size) {
        return D4_UNIT_MORE;
    }

    return d4_units_u32(p + total - 4, s->big) == total ? D4_UNIT_PLAIN
                                                        : D4_UNIT_BAD;
}


/* The same for what begins as a section header. */

static d4_unit_t
d4_pcapng_section(size_t max, const uint8_t *p, size_t len, size_t *size)
{
    int       big;
    uint32_t  total;

    *size = 16;

    if (len < *size) {
        return D4_UNIT_MORE;
    }

    big = d4_pcapng_order(p);

    if (big == -1) {
        return D4_UNIT_BAD;
    }

    total = d4_units_u32(p + 4, big);

    if (total % 4 != 0 || total < 28 || total > max || total > D4_PREAMBLE_MAX
        || d4_units_u16(p + 12, big) != 1)
    {
        return D4_UNIT_BAD;
    }

    *size = total;

    if (len < *size) {
        return D4_UNIT_MORE;
    }

    return d4_units_u32(p + total - 4, big) == total ? D4_UNIT_START
                                                     : D4_UNIT_BAD;
}


int
d4_pcapng_begins(const uint8_t *p)
{
    return d4_units_u32(p, 0) == D4_PCAPNG_SECTION
           && d4_pcapng_order(p) != -1;
}


/* 1 when the section whose header is at p is big-endian, 0, or -1. */

static int
d4_pcapng_order(const uint8_t *p)
{
    switch (d4_units_u32(p + 8, 1)) {

    case 0x1a2b3c4d:
        return 1;

    case 0x4d3c2b1a:
        return 0;
    }

    return -1;
}


static uint32_t
d4_pcapng_least(uint32_t type)
{
    switch (type) {

    case D4_PCAPNG_INTERFACE:
        return 20;

    case D4_PCAPNG_SIMPLE:
        return 16;

    case D4_PCAPNG_STATISTICS:
        return 24;

    case D4_PCAPNG_PACKET:
    case D4_PCAPNG_ENHANCED:
        return 32;
    }

    return D4_PCAPNG_BLOCK;
}


/* Whether the interface is there, and the packet has room in the block. */

static int
d4_pcapng_sound(const d4_pcapng_section_t *s, uint32_t type, uint32_t total,
    const uint8_t *p)
{
    uint32_t  interface;

    switch (type) {

    case D4_PCAPNG_SIMPLE:
        interface = 0;
        break;

    case D4_PCAPNG_PACKET:
        interface = d4_units_u16(p + 8, s->big);
        break;

    case D4_PCAPNG_ENHANCED:
    case D4_PCAPNG_STATISTICS:
        interface = d4_units_u32(p + 8, s->big);
        break;

    default:
        return 1;
    }

    if (interface >= s->interfaces) {
        return 0;
    }

    return (type != D4_PCAPNG_PACKET && type != D4_PCAPNG_ENHANCED)
           || d4_units_u32(p + 20, s->big) <= total - 32;
}


/* Types of the registry that a search believes in. */

static int
d4_pcapng_known(uint32_t type)
{
    switch (type) {

    case D4_PCAPNG_SECTION:
    case D4_PCAPNG_INTERFACE:
    case D4_PCAPNG_PACKET:
    case D4_PCAPNG_SIMPLE:
    case 4:                /* names */
    case D4_PCAPNG_STATISTICS:
    case D4_PCAPNG_ENHANCED:
    case 9:                /* systemd's journal */
    case 10:               /* secrets */
    case 0xbad:            /* custom */
    case 0x40000bad:
        return 1;
    }

    return 0;
}

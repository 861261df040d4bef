
/*
 * IPFIX, type 7, as YAF and other exporters write it to a file or a TCP
 * stream: messages one after the other (RFC 7011, section 3; RFC 5655), as
 * they came.  The preamble is the templates that are in force, in messages
 * made for it (d4_templates.h).  A message that changes them is a record like
 * any other: a file that begins with it has them twice.  One that withdraws or
 * replaces some is the first of its record, because no file may begin without
 * what the data before it needs.
 *
 * NetFlow of other versions has no lengths and is rejected at the beginning of
 * a session, which a border without any templates is taken for.  A message is
 * corrupt when its sets do not fill it, or its templates do not fill their
 * sets.
 */


#include "d4_units.h"
#include "d4_templates.h"

#include <stdlib.h>
#include <string.h>


typedef struct {
    d4_units_t      units;
    d4_templates_t  templates;
    uint32_t        chain_time;    /* of the chain that is to be proven */
} d4_ipfix_t;


static d4_unit_t d4_ipfix_measure(d4_units_t *u, const uint8_t *p,
    size_t len, size_t *size);
static d4_unit_t d4_ipfix_prove(d4_units_t *u, unsigned n, const uint8_t *p,
    size_t len, size_t *size);
static int d4_ipfix_start(d4_units_t *u, const uint8_t *p, size_t size);
static int d4_ipfix_take(d4_units_t *u, const uint8_t *p, size_t *len);
static int d4_ipfix_restore(d4_decoder_t *d, const uint8_t *preamble,
    size_t len, int resume);
static void d4_ipfix_free(d4_decoder_t *d);
static d4_unit_t d4_ipfix_message(size_t max, const uint8_t *p, size_t len,
    size_t *size, size_t *found);


static const d4_units_format_t  d4_ipfix_format = {
    2,
    d4_ipfix_measure,
    d4_ipfix_prove,
    d4_ipfix_start,
    d4_ipfix_take
};


static const d4_decoder_ops_t  d4_ipfix_ops = {
    d4_units_next,
    d4_units_finish,
    d4_ipfix_restore,
    d4_units_held,
    d4_ipfix_free
};


d4_decoder_t *
d4_ipfix_create(d4_pool_t *pool, size_t max)
{
    d4_ipfix_t  *d;

    d = calloc(1, sizeof(d4_ipfix_t));
    if (d == NULL) {
        return NULL;
    }

    d4_units_init(&d->units, &d4_ipfix_format, &d4_ipfix_ops, ".ipfix", pool,
                  max);
    d4_templates_init(&d->templates, pool);

    return &d->units.decoder;
}


static void
d4_ipfix_free(d4_decoder_t *decoder)
{
    d4_ipfix_t  *d = (d4_ipfix_t *) decoder;

    d4_units_free(&d->units);
    d4_templates_free(&d->templates);
    free(d);
}


static int
d4_ipfix_restore(d4_decoder_t *decoder, const uint8_t *preamble, size_t len,
    int resume)
{
    size_t       off, size, found, taken;
    d4_unit_t    what;
    d4_ipfix_t  *d = (d4_ipfix_t *) decoder;

    if (len > D4_PREAMBLE_MAX) {
        return -1;
    }

    for (off = 0; off < len; off += size) {

        what = d4_ipfix_message(len, preamble + off, len - off, &size, &found);

        if (what != D4_UNIT_PLAIN || found == 0) {
            return -1;
        }
    }

    for (off = 0; off < len; off += taken) {
        taken = len - off;

        if (d4_ipfix_take(&d->units, preamble + off, &taken) == -1) {
            return -1;
        }
    }

    if (len != 0 || resume) {
        d4_units_restored(&d->units, resume);
    }

    return 0;
}


static d4_unit_t
d4_ipfix_measure(d4_units_t *u, const uint8_t *p, size_t len, size_t *size)
{
    size_t  found;

    /* no message tells that it is the first: what is resumed is searched */

    if (!u->begun
        && (u->resume
            || (len >= 2 && d4_units_u16(p, 1) != D4_IPFIX_VERSION)))
    {
        u->reason = "not IPFIX";
        return D4_UNIT_ALIEN;
    }

    return d4_ipfix_message(u->decoder.max, p, len, size, &found);
}


static d4_unit_t
d4_ipfix_prove(d4_units_t *u, unsigned n, const uint8_t *p, size_t len,
    size_t *size)
{
    size_t       found;
    uint32_t     t;
    d4_unit_t    what;
    d4_ipfix_t  *d = (d4_ipfix_t *) u;

    what = d4_ipfix_message(u->decoder.max, p, len, size, &found);

    if (what == D4_UNIT_BAD || len < D4_IPFIX_HEADER) {
        return what;
    }

    t = d4_units_u32(p + 4, 1);

    if (*size == D4_IPFIX_HEADER
        || (n > 0 && !d4_units_near(t, d->chain_time)))
    {
        return D4_UNIT_BAD;
    }

    d->chain_time = t;

    return what;
}


/* Never: no message begins a preamble. */

static int
d4_ipfix_start(d4_units_t *u, const uint8_t *p, size_t size)
{
    (void) u;
    (void) p;
    (void) size;

    return 0;
}


static int
d4_ipfix_take(d4_units_t *u, const uint8_t *p, size_t *len)
{
    size_t       off, size, found;
    d4_ipfix_t  *d = (d4_ipfix_t *) u;

    found = 0;
    size = 0;

    for (off = 0; off < *len; off += size) {

        (void) d4_ipfix_message(*len, p + off, *len - off, &size, &found);

        if (found == 0) {
            continue;
        }

        if (off != 0
            && d4_templates_drops(&d->templates, p + off, size, found))
        {
            break;
        }

        if (d4_templates_learn(&d->templates, p + off, size, found) == -1) {
            return -1;
        }
    }

    *len = off;

    if (!d->templates.changed) {
        return 0;
    }

    if (d4_templates_build(&d->templates) != 0) {
        return -1;
    }

    u->decoder.preamble = d->templates.built.len ? d->templates.built.data
                                                 : NULL;
    u->decoder.preamble_len = d->templates.built.len;

    return 1;
}


/* The message at p, and how many template records it holds. */

static d4_unit_t
d4_ipfix_message(size_t max, const uint8_t *p, size_t len, size_t *size,
    size_t *found)
{
    int                 rc;
    size_t              total;
    d4_template_t       tpl;
    d4_template_walk_t  w;

    *size = D4_IPFIX_HEADER;
    *found = 0;

    if (len < 4) {
        return D4_UNIT_MORE;
    }

    total = d4_units_u16(p + 2, 1);

    if (d4_units_u16(p, 1) != D4_IPFIX_VERSION || total < D4_IPFIX_HEADER
        || total > max)
    {
        return D4_UNIT_BAD;
    }

    *size = total;

    if (len < *size) {
        return D4_UNIT_MORE;
    }

    d4_template_walk(&w, p, total);

    for ( ;; ) {
        rc = d4_template_next(&w, &tpl);

        if (rc != 1) {
            return rc == 0 ? D4_UNIT_PLAIN : D4_UNIT_BAD;
        }

        (*found)++;
    }
}

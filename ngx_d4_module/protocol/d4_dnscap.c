
/*
 * The text of "dnscap -g": type 4 (d4-core.md §3.4; the form is that of
 * dnscap(1), "OUTPUT FORMATS", diagnostic).
 *
 * dnscap writes a block for each packet.  Its first line begins with "[", each
 * line but the last ends with a "\", and what could look like either within it
 * dnscap writes otherwise: the line feeds of a name are escaped, and no name
 * ends with a "\" but with a dot.  So:
 *
 *  - A record is a block with its last "\n", which the element goes without.
 *    It is complete with the first line that does not end with a "\", and
 *    need not wait for the next packet of a quiet sensor.
 *
 *  - A block whose first line has no "\" at its end is none of dnscap's; it
 *    goes up to the next line that begins with "[", as the published server
 *    meant to cut, or to the end of the session.
 *
 *  - A "[" at the beginning of a line begins a block always, also where the
 *    one before it was not ended.
 *
 *  - A line outside of a block is a record of its own that is in the file
 *    alone, element 0: what dnscap says in between or was cut short before the
 *    session began, and the empty line behind the block of a fragment.
 *
 * A record has max bytes at most and a "\n" behind them.  Of a longer one that
 * much comes first, with cut set (its "\n" only where the max bytes happen to
 * end a line); what follows is read as if a new record began there, which for
 * the rest of a block means lines outside of one.
 */


#include "d4_text.h"

#include <stdlib.h>
#include <string.h>


typedef enum {
    D4_DNSCAP_OUTSIDE = 0,     /* a line of no block */
    D4_DNSCAP_FIRST,           /* the first line of a block */
    D4_DNSCAP_JOINED,          /* to the first line without a "\" */
    D4_DNSCAP_OTHER            /* to the next "[" */
} d4_dnscap_state_t;


typedef enum {
    D4_DNSCAP_MORE = 0,        /* its end has not arrived */
    D4_DNSCAP_WHOLE,
    D4_DNSCAP_CUT
} d4_dnscap_end_t;


typedef struct {
    d4_text_t          text;
    d4_dnscap_state_t  state;  /* of what is carried */
} d4_dnscap_t;


static d4_decode_t d4_dnscap_next(d4_decoder_t *head, const uint8_t **p,
    const uint8_t *end, d4_record_t *r);
static d4_decode_t d4_dnscap_finish(d4_decoder_t *head, d4_record_t *r);
static d4_dnscap_end_t d4_dnscap_scan(const d4_text_t *t,
    d4_dnscap_state_t *state, const uint8_t *p, const uint8_t *end,
    size_t *len);
static d4_decode_t d4_dnscap_take(d4_text_t *t, d4_dnscap_state_t state,
    const uint8_t **p, size_t len, d4_record_t *r);


static const d4_decoder_ops_t  d4_dnscap_ops = {
    d4_dnscap_next,
    d4_dnscap_finish,
    d4_text_restore,
    d4_text_held,
    d4_text_free
};


d4_decoder_t *
d4_dnscap_create(d4_pool_t *pool, size_t max)
{
    d4_dnscap_t  *d;

    d = calloc(1, sizeof(d4_dnscap_t));
    if (d == NULL) {
        return NULL;
    }

    /* so that max + 1 is a length, too */

    if (max > SIZE_MAX / 2) {
        max = SIZE_MAX / 2;
    }

    d4_text_init(&d->text, &d4_dnscap_ops, pool, max, ".dnscap.txt");

    return &d->text.head;
}


static d4_decode_t
d4_dnscap_next(d4_decoder_t *head, const uint8_t **p, const uint8_t *end,
    d4_record_t *r)
{
    size_t              len;
    d4_text_t          *t;
    d4_decode_t         rc;
    d4_dnscap_t        *d;
    d4_dnscap_end_t     found;
    d4_dnscap_state_t   state;

    d = (d4_dnscap_t *) head;
    t = &d->text;

    d4_text_drop(t);

    if (*p == end) {
        return D4_DECODE_AGAIN;
    }

    if (t->carry.len == 0) {
        state = (**p == '[') ? D4_DNSCAP_FIRST : D4_DNSCAP_OUTSIDE;

    } else {
        state = d->state;
    }

    found = d4_dnscap_scan(t, &state, *p, end, &len);

    if (found == D4_DNSCAP_MORE) {
        rc = d4_text_keep(t, p, end);

        if (rc == D4_DECODE_AGAIN) {
            d->state = state;
        }

        return rc;
    }

    rc = d4_dnscap_take(t, state, p, len, r);

    if (rc == D4_DECODE_RECORD && found == D4_DNSCAP_CUT) {
        r->cut = 1;
        r->reason = "dnscap record is too long";
    }

    return rc;
}


/*
 * Looks in new input only, behind what is carried, for the end of the record:
 * *len is how much of the input belongs to it.
 */

static d4_dnscap_end_t
d4_dnscap_scan(const d4_text_t *t, d4_dnscap_state_t *state, const uint8_t *p,
    const uint8_t *end, size_t *len)
{
    size_t          max, had;
    uint8_t         before;
    const uint8_t  *q, *lf, *stop;

    max = t->head.max;
    had = t->carry.len;
    before = (had != 0) ? t->carry.data[had - 1] : 0;

    stop = ((size_t) (end - p) > max + 1 - had) ? p + (max + 1 - had) : end;

    for (q = p; q != end; q = lf + 1) {

        /* what is carried is never a whole line outside of a block */

        if (before == '\n') {
            *len = (size_t) (q - p);

            if (*q == '[') {
                return D4_DNSCAP_WHOLE;
            }

            if (q == stop) {
                return D4_DNSCAP_CUT;
            }
        }

        lf = memchr(q, '\n', (size_t) (stop - q));

        if (lf == NULL) {
            *len = max - had;

            return ((size_t) (stop - p) > *len) ? D4_DNSCAP_CUT
                                                : D4_DNSCAP_MORE;
        }

        if (lf != p) {
            before = lf[-1];
        }

        if (*state == D4_DNSCAP_FIRST) {
            *state = (before == '\\') ? D4_DNSCAP_JOINED : D4_DNSCAP_OTHER;

        } else if (*state == D4_DNSCAP_OUTSIDE
                   || (*state == D4_DNSCAP_JOINED && before != '\\'))
        {
            *len = (size_t) (lf + 1 - p);

            return D4_DNSCAP_WHOLE;
        }

        before = '\n';
    }

    return D4_DNSCAP_MORE;
}


static d4_decode_t
d4_dnscap_take(d4_text_t *t, d4_dnscap_state_t state, const uint8_t **p,
    size_t len, d4_record_t *r)
{
    d4_decode_t  rc;

    rc = d4_text_take(t, p, len, r);

    if (rc == D4_DECODE_RECORD && state != D4_DNSCAP_OUTSIDE) {
        r->element = r->len - (r->data[r->len - 1] == '\n');
    }

    return rc;
}


static d4_decode_t
d4_dnscap_finish(d4_decoder_t *head, d4_record_t *r)
{
    d4_text_t      *t;
    d4_dnscap_t    *d;
    const uint8_t  *p;

    d = (d4_dnscap_t *) head;
    t = &d->text;

    d4_text_drop(t);

    if (t->carry.len == 0) {
        return D4_DECODE_AGAIN;
    }

    p = t->carry.data;

    return d4_dnscap_take(t, d->state, &p, 0, r);
}

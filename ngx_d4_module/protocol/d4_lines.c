
/*
 * Lines: types 3, 6 and 8, and every handler of 254 (d4-core.md §3.2, §4).
 *
 * A record is a line with its "\n", which the element goes without; a "\r"
 * stays in both.  An empty line is a record, too, but no element: every byte
 * of the input is in exactly one record, in order.  The last line of a session
 * may lack its "\n".
 *
 * A line of more than max bytes, the "\n" not counted, comes in parts: records
 * of max bytes each with cut set, then one with what remains of the line, 1 to
 * max bytes and the "\n" if there is one.  That last part is an ordinary
 * record, with cut 0.  Each part is read as a line of its own would be, so
 * that the moment after it is a border.
 */


#include "d4_text.h"

#include <stdlib.h>
#include <string.h>


static d4_decode_t d4_lines_next(d4_decoder_t *head, const uint8_t **p,
    const uint8_t *end, d4_record_t *r);
static d4_decode_t d4_lines_finish(d4_decoder_t *head, d4_record_t *r);


static const d4_decoder_ops_t  d4_lines_ops = {
    d4_lines_next,
    d4_lines_finish,
    d4_text_restore,
    d4_text_held,
    d4_text_free
};


d4_decoder_t *
d4_lines_create(d4_pool_t *pool, size_t max, const char *suffix)
{
    d4_text_t  *t;

    t = malloc(sizeof(d4_text_t));
    if (t == NULL) {
        return NULL;
    }

    d4_text_init(t, &d4_lines_ops, pool, max, suffix);

    return &t->head;
}


static d4_decode_t
d4_lines_next(d4_decoder_t *head, const uint8_t **p, const uint8_t *end,
    d4_record_t *r)
{
    size_t          room, len;
    d4_text_t      *t;
    d4_decode_t     rc;
    const uint8_t  *lf;

    t = (d4_text_t *) head;

    d4_text_drop(t);

    if (*p == end) {
        return D4_DECODE_AGAIN;
    }

    /* there is no "\n" in the carry, and no more than max bytes */

    room = head->max - t->carry.len;
    len = (size_t) (end - *p);

    lf = memchr(*p, '\n', (len > room) ? room + 1 : len);

    if (lf == NULL && len <= room) {
        return d4_text_keep(t, p, end);
    }

    if (lf != NULL) {
        room = (size_t) (lf + 1 - *p);
    }

    rc = d4_text_take(t, p, room, r);

    if (rc != D4_DECODE_RECORD) {
        return rc;
    }

    r->element = r->len;

    if (lf != NULL) {
        r->element--;
        return rc;
    }

    r->cut = 1;
    r->reason = "line is too long";

    return rc;
}


static d4_decode_t
d4_lines_finish(d4_decoder_t *head, d4_record_t *r)
{
    d4_text_t      *t;
    d4_decode_t     rc;
    const uint8_t  *p;

    t = (d4_text_t *) head;

    d4_text_drop(t);

    if (t->carry.len == 0) {
        return D4_DECODE_AGAIN;
    }

    p = t->carry.data;
    rc = d4_text_take(t, &p, 0, r);
    r->element = r->len;

    return rc;
}

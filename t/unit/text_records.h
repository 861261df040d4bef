
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Runs a decoder of text over an input that is cut into pieces, and keeps what
 * it says.  Each piece lies in memory of exactly its size that is given back
 * when it is used up: a decoder that reads behind it, or later, is seen.
 */


#ifndef _D4_TEXT_RECORDS_H_INCLUDED_
#define _D4_TEXT_RECORDS_H_INCLUDED_


#include "unit.h"
#include "../../ngx_d4_module/protocol/d4_decoder.h"


typedef struct {
    size_t          len;
    size_t          element;
    int             cut;
} text_record_t;


typedef struct {
    text_record_t  *list;
    size_t          n;
    size_t          size;
    uint8_t        *bytes;             /* of all records */
    size_t          total;
    size_t          room;
} text_records_t;


typedef d4_decoder_t *(*text_create_t)(d4_pool_t *pool, size_t max);

/* the length of the next piece, of left bytes */
typedef size_t (*text_piece_t)(void *data, size_t left);


#define text_require(truth)                                                   \
    do { if (!(truth)) { abort(); } } while (0)


static inline void
text_add(text_records_t *t, const d4_record_t *r, size_t max)
{
    if (t->n == t->size) {
        t->size = t->size * 2 + 16;
        t->list = realloc(t->list, t->size * sizeof(text_record_t));
        text_require(t->list != NULL);
    }

    text_require(r->len > 0 && r->element <= r->len && !r->fresh);
    text_require((r->reason != NULL) == r->cut);
    text_require(r->len <= t->room - t->total);
    text_require(r->len <= max
                 || (r->len == max + 1 && r->data[max] == '\n'));
    text_require(!r->cut || r->len >= max);

    memcpy(t->bytes + t->total, r->data, r->len);
    t->total += r->len;

    t->list[t->n].len = r->len;
    t->list[t->n].element = r->element;
    t->list[t->n++].cut = r->cut;
}


static inline d4_decode_t
text_next(d4_decoder_t *d, const uint8_t **p, const uint8_t *end,
    text_records_t *t)
{
    d4_decode_t  rc;
    d4_record_t  r;

    memset(&r, 0xa5, sizeof(d4_record_t));

    rc = (p != NULL) ? d4_decoder_next(d, p, end, &r)
                     : d4_decoder_finish(d, &r);

    if (rc == D4_DECODE_RECORD) {
        text_add(t, &r, d->max);

    } else {
        text_require(rc == D4_DECODE_AGAIN);
    }

    return rc;
}


/*
 * What comes out of len bytes, in t, which begins zeroed and is freed with
 * text_free().  With renew another decoder takes over at each border.
 */

static inline void
text_run(text_records_t *t, text_create_t create, size_t max, int renew,
    const uint8_t *p, size_t len, text_piece_t piece, void *data)
{
    size_t          n, done;
    uint8_t        *copy;
    d4_pool_t       pool;
    d4_decode_t     rc;
    d4_decoder_t   *d;
    const uint8_t  *q;

    t->room = len;
    t->bytes = malloc(len + 1);
    text_require(t->bytes != NULL);

    d4_pool_init(&pool, 0);
    d = create(&pool, max);
    text_require(d != NULL && d4_decoder_restore(d, NULL, 0, 0) == 0);

    for (done = 0; done < len; done += n) {
        n = piece(data, len - done);
        text_require(n > 0 && n <= len - done);

        copy = malloc(n);
        text_require(copy != NULL);
        memcpy(copy, p + done, n);
        q = copy;

        do {
            rc = text_next(d, &q, copy + n, t);

            /* what was taken is dealt with or held */

            text_require(t->total + d4_decoder_held(d)
                         == done + (size_t) (q - copy));
            text_require(d4_decoder_held(d) <= max + 1);

            if (renew && d4_decoder_held(d) == 0) {
                d4_decoder_free(d);
                text_require(pool.held == 0);
                d = create(&pool, max);
                text_require(d != NULL);
                text_require(d4_decoder_restore(d, NULL, 0, 0) == 0);
            }

        } while (rc == D4_DECODE_RECORD);

        text_require(q == copy + n);
        free(copy);
    }

    while (text_next(d, NULL, NULL, t) == D4_DECODE_RECORD) {
        text_require(d4_decoder_held(d) == 0);
    }

    text_require(d4_decoder_held(d) == 0);

    /* every byte once, in order */

    text_require(t->total == len);
    text_require(len == 0 || memcmp(t->bytes, p, len) == 0);

    d4_decoder_free(d);
    text_require(pool.held == 0);
}


static inline int
text_same(const text_records_t *a, const text_records_t *b)
{
    size_t  i;

    if (a->n != b->n || a->total != b->total) {
        return 0;
    }

    for (i = 0; i < a->n; i++) {
        if (a->list[i].len != b->list[i].len
            || a->list[i].element != b->list[i].element
            || a->list[i].cut != b->list[i].cut)
        {
            return 0;
        }
    }

    return 1;
}


static inline void
text_free(text_records_t *t)
{
    free(t->list);
    free(t->bytes);
    memset(t, 0, sizeof(text_records_t));
}


#endif /* _D4_TEXT_RECORDS_H_INCLUDED_ */

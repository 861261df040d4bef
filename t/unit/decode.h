
/*
 * What the tests and the fuzzer of the packet-shaped decoders share: feeds an
 * input in pieces of any size and writes down what comes out, so that it can
 * be compared: for each byte whether it belongs to a record or was skipped,
 * the preamble where a new file has to begin, and that of the end.  Needs
 * DECODE_REQUIRE().
 */


#ifndef _D4_DECODE_H_INCLUDED_
#define _D4_DECODE_H_INCLUDED_


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../ngx_d4_module/protocol/d4_decoder.h"


#define DECODE_HELD_MAX  (1024 * 1024 + 65536 + 16384)


typedef d4_decoder_t *(*decode_create_t)(d4_pool_t *pool, size_t max);

/* whether a file of this preamble and this record is sound */
typedef int (*decode_sound_t)(const uint8_t *preamble, size_t preamble_len,
    const uint8_t *data, size_t len);


typedef struct {
    size_t          pos;           /* of the input */
    size_t          log;           /* of the log */
    size_t          len;
    uint8_t        *preamble;
    int             resume;
} decode_border_t;


typedef struct {
    uint8_t          *log;
    size_t            len;
    size_t            size;
    size_t            records;     /* bytes */
    size_t            skipped;
    size_t            headers;     /* handed out as preamble only */
    size_t            events;      /* RECORD with data */
    size_t            skips;       /* regions, not events */
    size_t            fresh;
    size_t            held;        /* the most */
    const char       *reason;      /* of the last SKIP, or of REJECT */
    int               skipping;
    int               rejected;
    int               watch;       /* keep the borders */
    size_t            n;
    size_t            n_size;
    decode_border_t  *borders;
    decode_sound_t    sound;
    uint8_t          *file;        /* all records, without what was skipped */
    size_t           file_size;
} decode_t;


static inline void *
decode_alloc(void *p, size_t size)
{
    p = realloc(p, size ? size : 1);

    if (p == NULL) {
        abort();
    }

    return p;
}


static inline void
decode_log(decode_t *t, uint8_t tag, const uint8_t *p, size_t len)
{
    size_t  i;

    while (t->size - t->len < 2 * len + 1) {
        t->size = t->size ? t->size * 2 : 4096;
        t->log = decode_alloc(t->log, t->size);
    }

    if (tag == 'F' || tag == 'P') {
        t->log[t->len++] = tag;

        if (len != 0) {
            memcpy(t->log + t->len, p, len);
            t->len += len;
        }

        return;
    }

    for (i = 0; i < len; i++) {
        t->log[t->len++] = tag;
        t->log[t->len++] = p[i];
    }
}


static inline void
decode_clear(decode_t *t)
{
    size_t  i;

    for (i = 0; i < t->n; i++) {
        free(t->borders[i].preamble);
    }

    free(t->borders);
    free(t->log);
    free(t->file);
    memset(t, 0, sizeof(decode_t));
}


static inline void
decode_border(decode_t *t, const d4_decoder_t *d, size_t pos, int resume)
{
    decode_border_t  *b;

    if (t->n == t->n_size) {
        t->n_size = t->n_size ? t->n_size * 2 : 64;
        t->borders = decode_alloc(t->borders,
                                  t->n_size * sizeof(decode_border_t));
    }

    b = &t->borders[t->n++];

    b->pos = pos;
    b->log = t->len;
    b->resume = resume;
    b->len = d->preamble_len;
    b->preamble = decode_alloc(NULL, b->len);

    if (b->len) {
        memcpy(b->preamble, d->preamble, b->len);
    }
}


/* One event that is not AGAIN; 0 when it was the last. */

static inline int
decode_event(decode_t *t, d4_decoder_t *d, d4_decode_t rc,
    const d4_record_t *r)
{
    switch (rc) {

    case D4_DECODE_RECORD:
        t->skipping = 0;

        if (r->fresh) {
            DECODE_REQUIRE(d->preamble_len <= D4_PREAMBLE_MAX);

            /* of IPFIX it may be ahead, as far as the record goes */

            decode_log(t, 'F', d->preamble, strcmp(d->suffix, ".ipfix") == 0
                                            ? 0 : d->preamble_len);
            t->fresh++;
        }

        DECODE_REQUIRE(r->reason == NULL && r->element == 0 && !r->cut);

        if (r->len == 0) {
            return 1;
        }

        DECODE_REQUIRE(t->sound == NULL
                       || t->sound(d->preamble, d->preamble_len, r->data,
                                   r->len));

        decode_log(t, 'R', r->data, r->len);

        if (t->file_size < t->records + r->len) {
            t->file_size = 2 * (t->records + r->len);
            t->file = decode_alloc(t->file, t->file_size);
        }

        memcpy(t->file + t->records, r->data, r->len);

        t->records += r->len;
        t->events++;

        return 1;

    case D4_DECODE_SKIP:
        DECODE_REQUIRE(r->reason != NULL && r->len != 0 && !r->fresh);

        t->reason = r->reason;
        t->skips += !t->skipping;
        t->skipping = 1;
        t->skipped += r->len;
        decode_log(t, strcmp(r->reason, "truncated record") == 0 ? 'T' : 'S',
                   r->data, r->len);

        return 1;

    case D4_DECODE_REJECT:
        DECODE_REQUIRE(r->reason != NULL);

        t->reason = r->reason;
        t->rejected = 1;
        decode_log(t, 'X', (const uint8_t *) "", 1);
        return 0;

    default:
        DECODE_REQUIRE(0);
        return 0;
    }
}


/* All of the input up to there came out, or is what a file begins with. */

static inline void
decode_account(decode_t *t, d4_decode_t rc, const d4_record_t *r, size_t pos)
{
    size_t  known;

    known = t->records + t->skipped + t->headers;

    if (rc == D4_DECODE_RECORD && r->len == 0) {
        DECODE_REQUIRE(pos > known && pos - known <= D4_PREAMBLE_MAX);
        t->headers += pos - known;
        return;
    }

    DECODE_REQUIRE(pos == known);
}


/* One piece, gone when it is used up.  base: where in the input it begins. */

static inline void
decode_piece(decode_t *t, d4_decoder_t *d, const uint8_t *p, size_t len,
    size_t base)
{
    size_t          held;
    uint8_t        *piece;
    d4_decode_t     rc;
    d4_record_t     r;
    const uint8_t  *q;

    piece = decode_alloc(NULL, len);
    memcpy(piece, p, len);
    q = piece;

    for ( ;; ) {
        rc = d4_decoder_next(d, &q, piece + len, &r);

        if (rc == D4_DECODE_AGAIN) {
            DECODE_REQUIRE(q == piece + len);
            break;
        }

        if (!decode_event(t, d, rc, &r)) {
            DECODE_REQUIRE(d4_decoder_next(d, &q, piece + len, &r) == rc);
            break;
        }

        held = d4_decoder_held(d);
        decode_account(t, rc, &r, base + (q - piece) - held);

        if (t->watch) {
            decode_border(t, d, base + (q - piece) - held,
                          rc == D4_DECODE_SKIP);
        }
    }

    held = d4_decoder_held(d);

    if (held > t->held) {
        t->held = held;
    }

    free(piece);
}


static inline void
decode_end(decode_t *t, d4_decoder_t *d, size_t len)
{
    d4_decode_t  rc;
    d4_record_t  r;

    for ( ;; ) {
        rc = d4_decoder_finish(d, &r);

        if (rc == D4_DECODE_AGAIN) {
            break;
        }

        if (!decode_event(t, d, rc, &r)) {
            break;
        }

        decode_account(t, rc, &r, len - d4_decoder_held(d));
    }

    DECODE_REQUIRE(t->rejected || d4_decoder_held(d) == 0);

    if (!t->rejected) {
        decode_log(t, 'P', d->preamble, d->preamble_len);
    }
}


/*
 * The whole input in pieces: first, then second, then first again...  0: all
 * that is left.  b: where another decoder was, or NULL.
 */

static inline void
decode_all(decode_t *t, decode_create_t create, const decode_border_t *b,
    const uint8_t *p, size_t len, size_t first, size_t second)
{
    size_t         pos, n, step[2];
    unsigned       i;
    d4_pool_t      pool;
    d4_decoder_t  *d;

    d4_pool_init(&pool, 0);
    d = create(&pool, 0);
    DECODE_REQUIRE(d != NULL && d4_decoder_held(d) == 0);

    if (b != NULL) {
        DECODE_REQUIRE(d4_decoder_restore(d, b->preamble, b->len, b->resume)
                       == 0);
        DECODE_REQUIRE(d->preamble_len == b->len);
        DECODE_REQUIRE(b->len == 0
                       || memcmp(d->preamble, b->preamble, b->len) == 0);
    }

    step[0] = first;
    step[1] = second;

    for (pos = 0, i = 0; pos < len && !t->rejected; pos += n, i++) {
        n = step[i % 2];

        if (n == 0 || n > len - pos) {
            n = len - pos;
        }

        decode_piece(t, d, p + pos, n, pos);
    }

    decode_end(t, d, len);

    DECODE_REQUIRE(t->rejected
                   || t->records + t->skipped + t->headers == len);

    d4_decoder_free(d);
    DECODE_REQUIRE(pool.held == 0);
}


/* The same came out. */

static inline void
decode_same(const decode_t *a, size_t from, const decode_t *b)
{
    DECODE_REQUIRE(a->len - from == b->len);
    DECODE_REQUIRE(b->len == 0 || memcmp(a->log + from, b->log, b->len) == 0);
}


/*
 * From every border on, the same comes out of a decoder that begins there.
 * Without a preamble it would be one at the beginning of a session.
 */

static inline void
decode_borders(const decode_t *t, decode_create_t create, const uint8_t *p,
    size_t len, size_t first)
{
    size_t           i;
    decode_t         rest;
    decode_border_t  b;

    for (i = 0; i < t->n; i++) {
        b = t->borders[i];

        if (b.len == 0 && !b.resume) {
            continue;
        }

        memset(&rest, 0, sizeof(decode_t));
        rest.sound = t->sound;

        decode_all(&rest, create, &b, p + b.pos, len - b.pos, first, 0);
        decode_same(t, b.log, &rest);
        decode_clear(&rest);
    }
}


#endif /* _D4_DECODE_H_INCLUDED_ */

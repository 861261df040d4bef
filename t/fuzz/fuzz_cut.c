
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The cutter: any split of the input gives the same pieces, and the pieces
 * are the input.  The first four bytes choose the kind of content, the largest
 * piece, how the input is split and when it lingers.
 */


/* the fuzzers are linked with the protocol only */
#include "../../sensor/d4_cut.c"


typedef struct {
    size_t    n;
    size_t    len[65536];
    uint8_t   border[65536];
    size_t    total;
    unsigned  headers;
    int       odd;                     /* headers without records */
    uint8_t   bytes[65536 + D4_PCAP_HEADER];
} result_t;


static result_t  whole, split;


static void
require(int truth)
{
    if (!truth) {
        abort();
    }
}


/* A pcap header belongs in front of the next piece. */

static void
head(const d4_cut_t *c, result_t *r)
{
    if (c->headers == r->headers) {
        return;
    }

    r->odd |= (c->headers != r->headers + 1);
    r->headers = c->headers;

    require(d4_cut_header(c) != NULL);
    require(r->total + D4_PCAP_HEADER <= sizeof(r->bytes));

    memcpy(r->bytes + r->total, d4_cut_header(c), D4_PCAP_HEADER);
    r->total += D4_PCAP_HEADER;
}


static void
take(d4_cut_t *c, d4_cut_how_t how, result_t *r)
{
    size_t       ready;
    d4_piece_t   p;

    ready = d4_cut_ready(c);

    while (d4_cut_next(c, how, &p)) {
        require(p.len >= 1 && p.len <= c->max);
        require(r->n < 65536);

        /* a piece begins at a border if the one before ended at it */

        require(p.start == (r->n == 0 || (r->border[r->n - 1] & 1)));

        if (c->kind == D4_CUT_LINES && how != D4_CUT_ALL) {
            require(p.end == (p.data[p.len - 1] == '\n'));
        }

        head(c, r);
        require(r->total + p.len <= sizeof(r->bytes));

        memcpy(r->bytes + r->total, p.data, p.len);
        r->total += p.len;
        r->border[r->n] = p.end;
        r->len[r->n++] = p.len;

        if (how == D4_CUT_FLUSH) {
            require(p.len <= ready || !p.end);
        }
    }

    if (how != D4_CUT_FULL) {
        require(d4_cut_ready(c) == 0);
    }
}


static void
run(d4_cut_kind_t kind, size_t max, const uint8_t *p, size_t size,
    uint8_t piece, uint8_t linger, result_t *r)
{
    int        broken;
    size_t     n, room, seed;
    uint8_t   *buf;
    d4_cut_t   c;

    r->n = 0;
    r->total = 0;
    r->headers = 0;
    r->odd = 0;
    seed = piece;

    require(d4_cut_init(&c, kind, max) == 0);

    while (size != 0) {
        buf = d4_cut_room(&c, &room);
        require(room >= 1 && room <= max);

        seed = seed * 1103515245 + 12345;
        n = piece == 0 ? size : 1 + (seed >> 16) % piece;

        if (n > room) {
            n = room;
        }

        if (n > size) {
            n = size;
        }

        memcpy(buf, p, n);
        d4_cut_added(&c, n);
        take(&c, D4_CUT_FULL, r);

        if (linger != 0 && (seed >> 8) % linger == 0) {
            take(&c, D4_CUT_FLUSH, r);
        }

        p += n;
        size -= n;
    }

    take(&c, D4_CUT_ALL, r);
    require(d4_cut_next(&c, D4_CUT_ALL, &(d4_piece_t) { 0 }) == 0);

    head(&c, r);

    /* and it can be used again */

    require(d4_cut_restart(&c, &broken) == 0 && broken == 0);
    require(d4_cut_next(&c, D4_CUT_ALL, &(d4_piece_t) { 0 }) == 0);

    d4_cut_free(&c);
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t size)
{
    size_t          max, i;
    d4_cut_kind_t   kind;

    if (size < 4 || size > 65000) {
        return 0;
    }

    kind = p[0] % 3;
    max = p[1] == 0 ? 4096 : p[1];

    run(kind, max, p + 4, size - 4, 0, 0, &whole);

    if (!whole.odd) {
        require(whole.total == size - 4);
        require(memcmp(whole.bytes, p + 4, size - 4) == 0);
    }

    run(kind, max, p + 4, size - 4, p[2] == 0 ? 1 : p[2], 0, &split);
    require(split.n == whole.n);

    for (i = 0; i < split.n; i++) {
        require(split.len[i] == whole.len[i]);
        require(split.border[i] == whole.border[i]);
    }

    require(split.total == whole.total);
    require(memcmp(split.bytes, whole.bytes, whole.total) == 0);

    run(kind, max, p + 4, size - 4, p[2], p[3], &split);

    if (split.odd) {
        return 0;
    }

    require(split.total == whole.total);
    require(memcmp(split.bytes, whole.bytes, whole.total) == 0);

    return 0;
}

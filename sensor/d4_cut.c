
/*
 * Copyright (C) The ngx_d4 authors
 */


#define _GNU_SOURCE                /* memrchr() */

#include <stdlib.h>
#include <string.h>

#include "d4_cut.h"


/* what libpcap accepts of a record, whatever the file's own limit says */
#define D4_RECORD_MAX       0x40000
#define D4_RECORD_LARGEST   0x8000000


static void d4_cut_drop(d4_cut_t *c);
static void d4_cut_take(d4_cut_t *c, size_t len, d4_piece_t *piece);
static void d4_cut_scan(d4_cut_t *c);
static int d4_cut_head(d4_cut_t *c);
static int d4_cut_magic(d4_cut_t *c, const uint8_t *p);
static void d4_cut_record(d4_cut_t *c);
static int d4_cut_is_header(const d4_cut_t *c);
static uint32_t d4_cut_u32(const d4_cut_t *c, const uint8_t *p);


int
d4_cut_init(d4_cut_t *c, d4_cut_kind_t kind, size_t max)
{
    memset(c, 0, sizeof(d4_cut_t));

    c->buf = malloc(max);
    if (c->buf == NULL) {
        return -1;
    }

    c->max = max;
    c->asked = kind;
    c->kind = kind;
    c->heading = (kind == D4_CUT_PCAP);

    return 0;
}


void
d4_cut_free(d4_cut_t *c)
{
    free(c->buf);
    memset(c, 0, sizeof(d4_cut_t));
}


uint8_t *
d4_cut_room(d4_cut_t *c, size_t *room)
{
    d4_cut_drop(c);

    *room = c->max - c->have;

    return c->buf + c->have;
}


void
d4_cut_added(d4_cut_t *c, size_t n)
{
    uint8_t  *p, *nl;

    p = c->buf + c->have;
    c->have += n;

    switch (c->kind) {

    case D4_CUT_LINES:
        nl = memrchr(p, '\n', n);
        if (nl != NULL) {
            c->border = nl + 1 - c->buf;
        }

        break;

    case D4_CUT_PCAP:
        d4_cut_scan(c);
        break;

    default:
        c->border = c->have;
    }
}


int
d4_cut_next(d4_cut_t *c, d4_cut_how_t how, d4_piece_t *piece)
{
    size_t  len;

    d4_cut_drop(c);

    if (how == D4_CUT_ALL && c->heading && !c->joined) {
        c->spilling = 1;
    }

    if (c->spilling && c->spill < c->fresh_have) {
        len = c->fresh_have - c->spill;
        if (len > c->max) {
            len = c->max;
        }

        piece->data = c->fresh + c->spill;
        piece->len = len;
        piece->start = 1;
        piece->end = 1;

        c->spill += len;

        return 1;
    }

    if (c->joined) {
        d4_cut_take(c, c->border, piece);
        return 1;
    }

    if (how == D4_CUT_ALL) {
        if (c->have != 0) {
            d4_cut_take(c, c->have, piece);
            piece->end = 1;
        }

        c->begun = 0;

        return c->have != 0;
    }

    if (c->have == 0) {
        return 0;
    }

    if (c->have < c->max && (how == D4_CUT_FULL || c->border == 0)) {
        return 0;
    }

    d4_cut_take(c, c->border != 0 ? c->border : c->have, piece);

    return 1;
}


size_t
d4_cut_ready(const d4_cut_t *c)
{
    size_t  len;

    len = c->border > c->taken ? c->border - c->taken : 0;

    if (c->spilling) {
        len += c->fresh_have - c->spill;
    }

    return len;
}


const uint8_t *
d4_cut_header(const d4_cut_t *c)
{
    return c->has_header ? c->header : NULL;
}


int
d4_cut_strange(const d4_cut_t *c)
{
    return c->asked == D4_CUT_PCAP && c->kind != D4_CUT_PCAP;
}


size_t
d4_cut_restart(d4_cut_t *c, int *broken)
{
    size_t  lost;

    d4_cut_drop(c);

    *broken = 0;
    lost = 0;

    switch (c->asked) {

    case D4_CUT_LINES:
        if (c->have != 0 || c->begun) {
            c->buf[c->have] = '\n';
            c->have++;
            c->border = c->have;
        }

        break;

    case D4_CUT_PCAP:
        lost = c->have;

        if (c->heading) {
            lost += c->fresh_have - c->spill;
        }

        *broken = c->begun;

        c->kind = D4_CUT_PCAP;
        c->have = 0;
        c->border = 0;
        c->begun = 0;
        c->scanned = 0;
        c->heading = 1;
        c->joined = 0;
        c->has_header = 0;
        c->spilling = 0;
        c->spill = 0;
        c->fresh_have = 0;
        c->record_have = 0;
        c->left = 0;

        break;

    default:
        break;
    }

    return lost;
}


int
d4_cut_resize(d4_cut_t *c, size_t max)
{
    uint8_t  *p;

    d4_cut_drop(c);

    /* one byte must stay free: what is full is handed out, not kept */

    if (c->have >= max) {
        return 1;
    }

    p = realloc(c->buf, max);
    if (p == NULL) {
        return -1;
    }

    c->buf = p;
    c->max = max;

    return 0;
}


int
d4_cut_split(d4_cut_t *c, size_t len, d4_piece_t *piece)
{
    d4_cut_drop(c);

    if (c->have == 0) {
        return 0;
    }

    d4_cut_take(c, c->have < len ? c->have : len, piece);

    return 1;
}


static void
d4_cut_drop(d4_cut_t *c)
{
    if (c->taken == 0) {
        return;
    }

    c->have -= c->taken;
    c->border = c->border > c->taken ? c->border - c->taken : 0;
    c->scanned = c->scanned > c->taken ? c->scanned - c->taken : 0;

    memmove(c->buf, c->buf + c->taken, c->have);

    c->taken = 0;

    if (c->joined) {
        c->joined = 0;
        d4_cut_scan(c);
    }
}


static void
d4_cut_take(d4_cut_t *c, size_t len, d4_piece_t *piece)
{
    piece->data = c->buf;
    piece->len = len;
    piece->start = !c->begun;
    piece->end = (len == c->border);

    c->taken = len;
    c->begun = !piece->end;
}


/* Finds the borders in what was added. */

static void
d4_cut_scan(d4_cut_t *c)
{
    size_t  len;

    while (c->scanned < c->have) {

        if (c->heading) {
            if (d4_cut_head(c) != 0) {
                return;
            }

            continue;
        }

        len = c->have - c->scanned;

        if (c->record_have < D4_PCAP_RECORD) {
            if (len > (size_t) (D4_PCAP_RECORD - c->record_have)) {
                len = D4_PCAP_RECORD - c->record_have;
            }

            memcpy(c->record + c->record_have, c->buf + c->scanned, len);

            c->scanned += len;
            c->record_have += (uint8_t) len;

            if (c->record_have == D4_PCAP_RECORD) {
                d4_cut_record(c);

                if (c->joined || c->kind != D4_CUT_PCAP) {
                    return;
                }
            }

        } else {
            if (len > c->left) {
                len = c->left;
            }

            c->scanned += len;
            c->left -= (uint32_t) len;
        }

        if (c->record_have == D4_PCAP_RECORD && c->left == 0) {
            c->record_have = 0;
            c->border = c->scanned;
        }
    }
}


/*
 * Moves what has come of a header from the buffer to where it is kept.
 * Returns 0 to go on, -1 if there is nothing to go on with.
 */

static int
d4_cut_head(d4_cut_t *c)
{
    size_t    len;
    uint8_t  *p;

    p = c->buf + c->scanned;
    len = c->have - c->scanned;

    if (len > (size_t) (D4_PCAP_HEADER - c->fresh_have)) {
        len = D4_PCAP_HEADER - c->fresh_have;
    }

    memcpy(c->fresh + c->fresh_have, p, len);

    c->have -= len;
    memmove(p, p + len, c->have - c->scanned);

    c->fresh_have += (uint8_t) len;

    if (c->fresh_have < D4_PCAP_HEADER) {
        return -1;
    }

    c->heading = 0;

    if (!d4_cut_magic(c, c->fresh)) {
        c->kind = D4_CUT_RAW;
        c->spilling = 1;
        c->border = c->have;
        return -1;
    }

    memcpy(c->header, c->fresh, D4_PCAP_HEADER);

    c->has_header = 1;
    c->fresh_have = 0;
    c->headers++;

    c->record_max = d4_cut_u32(c, c->header + 16);

    if (c->record_max < D4_RECORD_MAX) {
        c->record_max = D4_RECORD_MAX;

    } else if (c->record_max > D4_RECORD_LARGEST) {
        c->record_max = D4_RECORD_LARGEST;
    }

    return 0;
}


/* 1 when p is one of the four magics: then c->big is its byte order. */

static int
d4_cut_magic(d4_cut_t *c, const uint8_t *p)
{
    c->big = 1;

    switch (d4_cut_u32(c, p)) {

    case 0xa1b2c3d4:
    case 0xa1b23c4d:
        return 1;

    case 0xd4c3b2a1:
    case 0x4d3cb2a1:
        c->big = 0;
        return 1;
    }

    return 0;
}


/* The header of a record is whole. */

static void
d4_cut_record(d4_cut_t *c)
{
    c->left = d4_cut_u32(c, c->record + 8);

    if (c->left > c->record_max) {

        /* out of step: from here on borders are unknown */

        c->kind = D4_CUT_RAW;
        c->border = c->have;
        return;
    }

    if (!d4_cut_is_header(c) || c->scanned < D4_PCAP_RECORD) {
        return;
    }

    /* what is in front of it is handed out before it is looked at again */

    c->scanned -= D4_PCAP_RECORD;
    c->record_have = 0;
    c->left = 0;
    c->heading = 1;
    c->fresh_have = 0;
    c->joined = (c->scanned != 0);
}


/*
 * An empty record of the year 2055 or 2082 is not told from the header of a
 * pcap file, version 2.4: but nobody captures packets of no length.
 */

static int
d4_cut_is_header(const d4_cut_t *c)
{
    size_t   i;

    static const uint8_t  starts[4][8] = {
        { 0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4 },
        { 0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4 },
        { 0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0 },
        { 0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0 }
    };

    for (i = 0; i < 8; i++) {
        if (c->record[8 + i] != 0) {
            return 0;
        }
    }

    for (i = 0; i < 4; i++) {
        if (memcmp(c->record, starts[i], 8) == 0) {
            return 1;
        }
    }

    return 0;
}


static uint32_t
d4_cut_u32(const d4_cut_t *c, const uint8_t *p)
{
    if (c->big) {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
               | (uint32_t) p[2] << 8 | p[3];
    }

    return (uint32_t) p[3] << 24 | (uint32_t) p[2] << 16
           | (uint32_t) p[1] << 8 | p[0];
}

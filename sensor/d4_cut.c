
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
static void d4_cut_judge(d4_cut_t *c);
static void d4_cut_records(d4_cut_t *c, const uint8_t *p, size_t n);
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
    size_t    len;
    uint8_t  *p, *nl;

    p = c->buf + c->have;

    if (c->kind == D4_CUT_PCAP && c->header_have < D4_PCAP_HEADER) {

        /* nothing is in the buffer before the header is whole */

        len = D4_PCAP_HEADER - c->header_have;
        if (len > n) {
            len = n;
        }

        memcpy(c->header + c->header_have, p, len);
        memmove(p, p + len, n - len);

        c->header_have += len;
        n -= len;

        if (c->header_have < D4_PCAP_HEADER) {
            return;
        }

        d4_cut_judge(c);
    }

    switch (c->kind) {

    case D4_CUT_LINES:
        nl = memrchr(p, '\n', n);
        if (nl != NULL) {
            c->border = nl + 1 - c->buf;
        }

        break;

    case D4_CUT_PCAP:
        d4_cut_records(c, p, n);
        break;

    default:
        c->border = c->have + n;
    }

    c->have += n;
}


int
d4_cut_next(d4_cut_t *c, d4_cut_how_t how, d4_piece_t *piece)
{
    size_t  len;

    d4_cut_drop(c);

    if (how == D4_CUT_ALL && c->kind == D4_CUT_PCAP
        && c->header_have < D4_PCAP_HEADER)
    {
        c->spilling = 1;
    }

    if (c->spilling && c->spill < c->header_have) {
        len = c->header_have - c->spill;
        if (len > c->max) {
            len = c->max;
        }

        piece->data = c->header + c->spill;
        piece->len = len;
        piece->start = 1;
        piece->end = 1;

        c->spill += len;

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
        len += c->header_have - c->spill;
    }

    return len;
}


const uint8_t *
d4_cut_header(const d4_cut_t *c)
{
    if (c->asked != D4_CUT_PCAP || c->spilling
        || c->header_have < D4_PCAP_HEADER)
    {
        return NULL;
    }

    return c->header;
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

        if (c->header_have < D4_PCAP_HEADER) {
            lost += c->header_have - c->spill;
        }

        *broken = c->begun;

        c->kind = D4_CUT_PCAP;
        c->have = 0;
        c->border = 0;
        c->begun = 0;
        c->spill = 0;
        c->spilling = 0;
        c->header_have = 0;
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

    memmove(c->buf, c->buf + c->taken, c->have);

    c->taken = 0;
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


/* The pcap header is whole: which byte order, or is it none at all? */

static void
d4_cut_judge(d4_cut_t *c)
{
    uint32_t  magic;

    c->big = 1;
    magic = d4_cut_u32(c, c->header);

    switch (magic) {

    case 0xa1b2c3d4:
    case 0xa1b23c4d:
        break;

    case 0xd4c3b2a1:
    case 0x4d3cb2a1:
        c->big = 0;
        break;

    default:
        c->kind = D4_CUT_RAW;
        c->spilling = 1;
        return;
    }

    c->record_max = d4_cut_u32(c, c->header + 16);

    if (c->record_max < D4_RECORD_MAX) {
        c->record_max = D4_RECORD_MAX;

    } else if (c->record_max > D4_RECORD_LARGEST) {
        c->record_max = D4_RECORD_LARGEST;
    }
}


static void
d4_cut_records(d4_cut_t *c, const uint8_t *p, size_t n)
{
    size_t  len, at;

    at = c->have;

    while (n != 0) {

        if (c->record_have < D4_PCAP_RECORD) {
            len = D4_PCAP_RECORD - c->record_have;
            if (len > n) {
                len = n;
            }

            memcpy(c->record + c->record_have, p, len);
            c->record_have += len;

            if (c->record_have == D4_PCAP_RECORD) {
                c->left = d4_cut_u32(c, c->record + 8);

                if (c->left > c->record_max) {

                    /* out of step: from here on borders are unknown */

                    c->kind = D4_CUT_RAW;
                    c->border = at + n;
                    return;
                }
            }

        } else {
            len = c->left;
            if (len > n) {
                len = n;
            }

            c->left -= len;
        }

        p += len;
        n -= len;
        at += len;

        if (c->record_have == D4_PCAP_RECORD && c->left == 0) {
            c->record_have = 0;
            c->border = at;
        }
    }
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


/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_border.h"

#include <string.h>


void
d4_border_init(d4_border_t *b, const d4_position_t *cursor)
{
    memset(b, 0, sizeof(d4_border_t));

    if (cursor != NULL) {
        b->from = *cursor;
        b->skip = cursor->off;
    }
}


uint64_t
d4_border_skip(d4_border_t *b, uint64_t ms, uint64_t n, uint64_t size)
{
    if (b->skip == 0) {
        return 0;
    }

    /* without the entry that it counts from, nothing is known of the rest */

    if (!b->skipping && (ms != b->from.ms || n != b->from.n)) {
        b->skip = 0;
        return 0;
    }

    b->skipping = 1;

    if (size > b->skip) {
        size = b->skip;
    }

    b->skip -= size;

    return size;
}


void
d4_border_entry(d4_border_t *b, const d4_position_t *at, size_t held)
{
    if (held == 0) {
        b->anchor = *at;
        b->anchor_taken = b->taken;
        b->marked = 0;

    } else if (!b->marked) {
        b->mark = *at;
        b->mark_taken = b->taken;
        b->marked = 1;
    }
}


void
d4_border_get(d4_border_t *b, const d4_position_t *at, size_t held,
    d4_position_t *border)
{
    uint64_t  first;

    first = b->taken - held;

    if (held == 0) {
        d4_border_entry(b, at, held);

    } else if (b->marked && b->mark_taken <= first) {
        b->anchor = b->mark;
        b->anchor_taken = b->mark_taken;
        b->marked = 0;
    }

    *border = b->anchor;
    border->off += first - b->anchor_taken;
    border->resume = 0;
}

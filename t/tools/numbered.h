/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Frames whose payload says which one of which connection it is:
 *
 *   "<connection, 8 hex digits> <number, 16 digits> "
 *
 * and then bytes of a fixed pattern, shifted by the number.  Whoever reads
 * the streams can tell what is missing, doubled, changed or out of order.
 */


#ifndef _NUMBERED_H_INCLUDED_
#define _NUMBERED_H_INCLUDED_


#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../../ngx_d4_module/protocol/d4_header.h"
#include "../../ngx_d4_module/protocol/d4_hmac.h"


#define NUMBERED_MIN      26           /* bytes, without any of the pattern */
#define NUMBERED_PATTERN  4099


static uint8_t  numbered_pattern[2 * NUMBERED_PATTERN];


/* Once, before the first frame. */

static void
numbered_init(void)
{
    size_t    i;
    uint32_t  x;

    x = 4;

    for (i = 0; i < NUMBERED_PATTERN; i++) {
        x = (x * 1103515245u + 12345u) & 0x7fffffff;
        numbered_pattern[i] = (uint8_t) (x >> 16);
    }

    memcpy(numbered_pattern + NUMBERED_PATTERN, numbered_pattern,
           NUMBERED_PATTERN);
}


/* The payload size of a frame: min to max, by its number alone. */

static uint32_t
numbered_size(uint64_t seq, uint32_t min, uint32_t max)
{
    if (max == min) {
        return min;
    }

    return min + (uint32_t) (seq * 2654435761u % (max - min + 1));
}


/* Writes header and payload of size bytes to p; returns their length. */

static size_t
numbered_frame(uint8_t *p, const uint8_t *uuid, int type, unsigned conn,
    uint64_t seq, uint32_t size, const d4_key_t *key)
{
    size_t       n, left;
    char         number[NUMBERED_MIN + 1];
    uint8_t     *out;
    d4_header_t  h;

    h.version = D4_VERSION;
    h.type = (uint8_t) type;
    h.timestamp = (uint64_t) time(NULL);
    h.size = size;
    memcpy(h.uuid, uuid, D4_UUID_SIZE);
    memset(h.hmac, 0, D4_HMAC_SIZE);

    out = p + D4_HEADER_SIZE;

    snprintf(number, sizeof(number), "%08x %016llu ", conn,
             (unsigned long long) seq);
    memcpy(out, number, NUMBERED_MIN);
    out += NUMBERED_MIN;

    for (left = size - NUMBERED_MIN; left > 0; left -= n) {
        n = left < NUMBERED_PATTERN ? left : NUMBERED_PATTERN;
        memcpy(out, numbered_pattern + seq % NUMBERED_PATTERN, n);
        out += n;
    }

    d4_header_encode(p, &h);
    d4_hmac_frame(key, p, p + D4_HEADER_SIZE, size, h.hmac);
    d4_header_encode(p, &h);

    return D4_HEADER_SIZE + size;
}


#endif /* _NUMBERED_H_INCLUDED_ */

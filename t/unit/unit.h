
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What the unit tests and the fuzzers share: the published frames, a reader
 * of RESP that knows nothing of the code under test, small helpers.
 */


#ifndef _D4_UNIT_H_INCLUDED_
#define _D4_UNIT_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../ngx_d4_module/protocol/d4_block.h"


#define UNIT_KEY  "private key to change"

/* key UNIT_KEY, version 1; the frame whole, header and payload */

#define UNIT_HELLO                                                            \
    "01080123456789ab4def8123456789abcdef00f1536500000000"                    \
    "9d2f6ea0a1d693c5e2b4e378f0803e5973555df124e95bd7cf45404773abec88"        \
    "0600000068656c6c6f0a"

#define UNIT_META                                                             \
    "01020123456789ab4def8123456789abcdef00f1536500000000"                    \
    "43dbe4670bb674421b6f033b50e1e70c4bb1986ed0c7dae93f02811515f37548"        \
    "110000007b2274797065223a226a61332d6a6c227d"

#define UNIT_EMPTY                                                            \
    "01010123456789ab4def8123456789abcdef00f1536500000000"                    \
    "6e8c10d14014cdc2dd359c53aa114be98808bb5dcf1feaf53370daa263af1a04"        \
    "00000000"

#define UNIT_SENSOR                                                           \
    "0108b2d9f4c6a1e84c3b9f0e5d7a6c1b2e3f00f1536500000000"                    \
    "8c15500cc46b666308fbfc31860a6523f782c12086dfaeddeac7af0956d03fc4"        \
    "0900000068656c6c6f2064340a"

#define UNIT_SENSOR_EMPTY                                                     \
    "0108b2d9f4c6a1e84c3b9f0e5d7a6c1b2e3f00f1536500000000"                    \
    "510e3354e71858636ec703a5b6357bd4b3f3fa6772907220d4cec2b39140ab32"        \
    "00000000"


typedef struct {
    const uint8_t  *p;
    size_t          len;
} unit_word_t;


/* Writes the bytes of a hex text to out, returns their number. */

static inline size_t
unit_hex(uint8_t *out, const char *hex)
{
    size_t  n;
    char    pair[3] = { 0, 0, 0 };

    for (n = 0; hex[2 * n] != '\0'; n++) {
        memcpy(pair, hex + 2 * n, 2);
        out[n] = (uint8_t) strtoul(pair, NULL, 16);
    }

    return n;
}


/* The content of a buffer in one piece, to be freed. */

static inline uint8_t *
unit_flat(const d4_blocks_t *b)
{
    size_t       n;
    uint8_t     *flat;
    d4_block_t  *block;

    n = 0;
    flat = malloc(b->bytes + 1);

    if (flat == NULL) {
        abort();
    }

    for (block = b->first; block != NULL; block = block->next) {
        if (block->used > b->bytes - n) {
            abort();
        }

        memcpy(flat + n, block->data, block->used);
        n += block->used;
    }

    if (n != b->bytes) {
        abort();
    }

    flat[n] = '\0';

    return flat;
}


static inline int
unit_resp_line(const uint8_t **p, const uint8_t *end, char mark, size_t *n)
{
    const uint8_t  *q;

    q = *p;

    if (q == end || *q++ != (uint8_t) mark) {
        return -1;
    }

    for (*n = 0; q != end && *q >= '0' && *q <= '9'; q++) {
        *n = *n * 10 + (size_t) (*q - '0');
    }

    if (q == *p + 1 || end - q < 2 || q[0] != '\r' || q[1] != '\n') {
        return -1;
    }

    *p = q + 2;

    return 0;
}


/* Reads one command: the number of its words, 0 at the end, -1 when broken. */

static inline int
unit_resp(const uint8_t **p, const uint8_t *end, unit_word_t *words,
    size_t max)
{
    size_t  i, argc;

    if (*p == end) {
        return 0;
    }

    if (unit_resp_line(p, end, '*', &argc) != 0 || argc == 0 || argc > max) {
        return -1;
    }

    for (i = 0; i < argc; i++) {
        if (unit_resp_line(p, end, '$', &words[i].len) != 0
            || (size_t) (end - *p) < 2
            || words[i].len > (size_t) (end - *p) - 2)
        {
            return -1;
        }

        words[i].p = *p;
        *p += words[i].len;

        if ((*p)[0] != '\r' || (*p)[1] != '\n') {
            return -1;
        }

        *p += 2;
    }

    return (int) argc;
}


static inline int
unit_word_is(const unit_word_t *w, const char *text)
{
    return w->len == strlen(text) && memcmp(w->p, text, w->len) == 0;
}


#endif /* _D4_UNIT_H_INCLUDED_ */

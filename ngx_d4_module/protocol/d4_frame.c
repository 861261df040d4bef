
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_frame.h"

#include <string.h>


enum {
    D4_FRAME_S_HEADER = 0,
    D4_FRAME_S_START,      /* HEADER was returned, the key is now known */
    D4_FRAME_S_PAYLOAD,
    D4_FRAME_S_KEYLESS     /* payload of a frame that began without a key */
};


static d4_frame_event_t d4_frame_header(d4_frame_t *f, const uint8_t **p,
    const uint8_t *end);
static void d4_frame_start(d4_frame_t *f);
static void d4_frame_finish(d4_frame_t *f);


void
d4_frame_init(d4_frame_t *f)
{
    memset(f, 0, sizeof(d4_frame_t));
}


d4_frame_event_t
d4_frame_next(d4_frame_t *f, const uint8_t **p, const uint8_t *end,
    const uint8_t **data, size_t *len)
{
    size_t  n;

    if (f->state == D4_FRAME_S_HEADER) {
        return d4_frame_header(f, p, end);
    }

    if (f->state == D4_FRAME_S_START) {
        d4_frame_start(f);
    }

    if (f->left == 0) {
        d4_frame_finish(f);
        return D4_FRAME_END;
    }

    n = (size_t) (end - *p);

    if (n == 0) {
        return D4_FRAME_AGAIN;
    }

    if (n > f->left) {
        n = f->left;
    }

    if (f->state == D4_FRAME_S_PAYLOAD) {
        d4_hmac_update(&f->hmac, *p, n);
    }

    *data = *p;
    *len = n;

    *p += n;
    f->left -= (uint32_t) n;

    return D4_FRAME_DATA;
}


static d4_frame_event_t
d4_frame_header(d4_frame_t *f, const uint8_t **p, const uint8_t *end)
{
    size_t  n, room;

    n = (size_t) (end - *p);

    if (n == 0) {
        return D4_FRAME_AGAIN;
    }

    room = D4_HEADER_SIZE - (size_t) f->have;

    if (n > room) {
        n = room;
    }

    memcpy(f->raw + f->have, *p, n);

    *p += n;
    f->have = (uint8_t) (f->have + n);

    if (f->have < D4_HEADER_SIZE) {
        return D4_FRAME_AGAIN;
    }

    d4_header_decode(&f->header, f->raw);

    f->left = f->header.size;
    f->authentic = 0;
    f->state = D4_FRAME_S_START;

    return D4_FRAME_HEADER;
}


static void
d4_frame_start(d4_frame_t *f)
{
    if (f->key == NULL) {
        f->state = D4_FRAME_S_KEYLESS;
        return;
    }

    memset(f->raw + D4_HMAC_OFFSET, 0, D4_HMAC_SIZE);

    d4_hmac_start(&f->hmac, f->key);
    d4_hmac_update(&f->hmac, f->raw, D4_HEADER_SIZE);

    f->state = D4_FRAME_S_PAYLOAD;
}


static void
d4_frame_finish(d4_frame_t *f)
{
    uint8_t  digest[D4_HMAC_SIZE];

    if (f->state == D4_FRAME_S_PAYLOAD && f->key != NULL) {
        d4_hmac_final(&f->hmac, f->key, digest);
        f->authentic = (uint8_t) d4_hmac_equal(digest, f->header.hmac);
    }

    f->state = D4_FRAME_S_HEADER;
    f->have = 0;
}


size_t
d4_frame_wants(const d4_frame_t *f)
{
    if (f->state == D4_FRAME_S_HEADER) {
        return D4_HEADER_SIZE - (size_t) f->have;
    }

    return f->left;
}


int
d4_frame_begun(const d4_frame_t *f)
{
    return f->state != D4_FRAME_S_HEADER || f->have > 0;
}

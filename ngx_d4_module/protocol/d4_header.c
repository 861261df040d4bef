
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_header.h"

#include <string.h>


void
d4_header_decode(d4_header_t *h, const uint8_t *p)
{
    int  i;

    h->version = p[0];
    h->type = p[1];
    memcpy(h->uuid, p + 2, D4_UUID_SIZE);

    h->timestamp = 0;
    for (i = 7; i >= 0; i--) {
        h->timestamp = h->timestamp << 8 | p[18 + i];
    }

    memcpy(h->hmac, p + D4_HMAC_OFFSET, D4_HMAC_SIZE);

    h->size = 0;
    for (i = 3; i >= 0; i--) {
        h->size = h->size << 8 | p[58 + i];
    }
}


void
d4_header_encode(uint8_t *p, const d4_header_t *h)
{
    int  i;

    p[0] = h->version;
    p[1] = h->type;
    memcpy(p + 2, h->uuid, D4_UUID_SIZE);

    for (i = 0; i < 8; i++) {
        p[18 + i] = (uint8_t) (h->timestamp >> (8 * i));
    }

    memcpy(p + D4_HMAC_OFFSET, h->hmac, D4_HMAC_SIZE);

    for (i = 0; i < 4; i++) {
        p[58 + i] = (uint8_t) (h->size >> (8 * i));
    }
}

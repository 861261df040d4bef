
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <arpa/inet.h>
#include <string.h>

#include "pds_addr.h"


void
pds_addr_set(pds_addr_t *a, const uint8_t *p, size_t len)
{
    memset(a, 0, sizeof(pds_addr_t));

    if (len == 4 || len == 16) {
        a->family = (len == 4) ? 4 : 6;
        memcpy(a->bytes, p, len);
    }
}


void
pds_addr_mask(pds_addr_t *a, unsigned v4, unsigned v6)
{
    size_t    i;
    unsigned  bits;

    bits = (a->family == 6) ? v6 : v4;

    for (i = 0; i < sizeof(a->bytes); i++) {
        if (bits >= 8) {
            bits -= 8;
            continue;
        }

        a->bytes[i] &= (uint8_t) (0xff00 >> bits);
        bits = 0;
    }
}


size_t
pds_addr_text(char out[PDS_ADDR_TEXT], const pds_addr_t *a)
{
    int  family;

    family = (a->family == 6) ? AF_INET6 : AF_INET;

    if (inet_ntop(family, a->bytes, out, PDS_ADDR_TEXT) == NULL) {
        out[0] = '\0';             /* cannot be: there is room for both */
    }

    return strlen(out);
}

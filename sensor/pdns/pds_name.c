
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <string.h>

#include "pds_name.h"


#define PDS_LABEL    63
#define PDS_POINTER  0xc0


size_t
pds_name_read(uint8_t out[PDS_NAME], const uint8_t *msg, size_t len,
    size_t *pos, int pointers)
{
    size_t   n, at, i, end, limit;
    uint8_t  c;

    n = 0;
    at = *pos;
    end = 0;
    limit = at;

    /*
     * What a pointer leads to lies before all that was read so far (a name
     * points to one that came earlier), so that this comes to an end.
     */

    for ( ;; ) {
        if (at >= len) {
            return 0;
        }

        c = msg[at];

        if ((c & PDS_POINTER) == PDS_POINTER) {
            if (!pointers || len - at < 2) {
                return 0;
            }

            if (end == 0) {
                end = at + 2;
            }

            at = (size_t) (c & ~PDS_POINTER) << 8 | msg[at + 1];

            if (at >= limit) {
                return 0;
            }

            limit = at;
            continue;
        }

        if (c > PDS_LABEL || len - at <= c || n + c + 1 > PDS_NAME) {
            return 0;
        }

        if (out != NULL) {
            out[n] = c;

            for (i = 1; i <= c; i++) {
                out[n + i] = msg[at + i];

                if (msg[at + i] >= 'A' && msg[at + i] <= 'Z') {
                    out[n + i] |= 0x20;
                }
            }
        }

        n += c + 1;
        at += c + 1;

        if (c == 0) {
            *pos = (end != 0) ? end : at;
            return n;
        }
    }
}


int
pds_name_below(const uint8_t *name, size_t name_len, const uint8_t *zone,
    size_t zone_len)
{
    while (name_len > zone_len) {
        name_len -= *name + 1;
        name += *name + 1;
    }

    return name_len == zone_len && memcmp(name, zone, zone_len) == 0;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include "pds_bytes.h"
#include "pds_link.h"


#define PDS_ETHER_IP4   0x0800
#define PDS_ETHER_IP6   0x86dd


static int pds_link_vlan(unsigned type);
static int pds_link_family(pds_link_t link, const uint8_t *p);


/* where a link's header has the type of what follows, and where it ends */

static const struct {
    uint8_t  type;
    uint8_t  end;
} pds_link_header[PDS_LINKS] = {
    [PDS_LINK_ETHERNET] = { 12, 14 },
    [PDS_LINK_RAW] = { 0, 0 },
    [PDS_LINK_SLL] = { 14, 16 },
    [PDS_LINK_SLL2] = { 0, 20 },
    [PDS_LINK_NULL] = { 0, 4 },
    [PDS_LINK_LOOP] = { 0, 4 }
};


size_t
pds_link_ip(pds_link_t link, const uint8_t **p, size_t len)
{
    size_t          head;
    unsigned        type;
    const uint8_t  *q;

    q = *p;
    head = pds_link_header[link].end;

    if (len <= head) {
        return 0;
    }

    switch (link) {

    case PDS_LINK_RAW:
        break;

    case PDS_LINK_NULL:
    case PDS_LINK_LOOP:
        if (!pds_link_family(link, q)) {
            return 0;
        }

        break;

    default:
        type = pds_get16(q + pds_link_header[link].type);

        /* a tag: two bytes, then the type of what follows it */

        while (pds_link_vlan(type)) {
            if (len - head < 4) {
                return 0;
            }

            type = pds_get16(q + head + 2);
            head += 4;
        }

        if (type != PDS_ETHER_IP4 && type != PDS_ETHER_IP6) {
            return 0;
        }
    }

    *p = q + head;

    return len - head;
}


static int
pds_link_vlan(unsigned type)
{
    return type == 0x8100 || type == 0x88a8 || type == 0x9100
           || type == 0x9200;
}


/*
 * The address family as a 32-bit number: 2 is IPv4 everywhere, IPv6 is 10, 24,
 * 28 or 30 by system.
 */

static int
pds_link_family(pds_link_t link, const uint8_t *p)
{
    uint32_t  n;

    n = pds_get32(p);

    if (link == PDS_LINK_NULL && (n & 0xffff) == 0) {
        n = (uint32_t) p[1] << 8 | p[0];
    }

    return n == 2 || n == 10 || n == 24 || n == 28 || n == 30;
}

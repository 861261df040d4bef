
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <string.h>

#include "pds_bytes.h"
#include "pds_ip.h"


#define PDS_IP4_HEADER  20
#define PDS_IP6_HEADER  40

#define PDS_HOP_BY_HOP  0
#define PDS_ROUTING     43
#define PDS_FRAGMENT    44
#define PDS_AUTH        51
#define PDS_DESTINATION 60


static int pds_ip4_read(pds_ip_t *ip, const uint8_t *p, size_t len);
static int pds_ip6_read(pds_ip_t *ip, const uint8_t *p, size_t len);
static int pds_ip6_headers(pds_ip_t *ip);
static int pds_ip6_fragment(pds_ip_t *ip);


int
pds_ip_read(pds_ip_t *ip, const uint8_t *p, size_t len)
{
    memset(ip, 0, sizeof(pds_ip_t));

    if (len == 0) {
        return -1;
    }

    switch (p[0] >> 4) {

    case 4:
        return pds_ip4_read(ip, p, len);

    case 6:
        return pds_ip6_read(ip, p, len);
    }

    return -1;
}


int
pds_ip_whole(pds_ip_t *ip)
{
    ip->fragment = 0;
    ip->more = 0;

    if (ip->src.family == 4) {
        return 0;
    }

    /* a fragment of fragments is nothing that anybody sends */

    return (pds_ip6_headers(ip) != 0 || ip->fragment) ? -1 : 0;
}


static int
pds_ip4_read(pds_ip_t *ip, const uint8_t *p, size_t len)
{
    size_t    head, total;
    unsigned  field;

    if (len < PDS_IP4_HEADER) {
        return -1;
    }

    head = (p[0] & 0x0f) * 4;
    total = pds_get16(p + 2);

    if (head < PDS_IP4_HEADER || total < head || len < head) {
        return -1;
    }

    ip->cut = (total > len);

    if (total > len) {
        total = len;
    }

    field = pds_get16(p + 6);

    ip->id = pds_get16(p + 4);
    ip->more = (field & 0x2000) != 0;
    ip->offset = (uint16_t) ((field & 0x1fff) * 8);
    ip->fragment = ip->more || ip->offset != 0;
    ip->proto = p[9];

    pds_addr_set(&ip->src, p + 12, 4);
    pds_addr_set(&ip->dst, p + 16, 4);

    ip->data = p + head;
    ip->len = total - head;

    return 0;
}


static int
pds_ip6_read(pds_ip_t *ip, const uint8_t *p, size_t len)
{
    size_t  total;

    if (len < PDS_IP6_HEADER) {
        return -1;
    }

    len -= PDS_IP6_HEADER;
    total = pds_get16(p + 4);

    ip->cut = (total > len);
    ip->proto = p[6];

    pds_addr_set(&ip->src, p + 8, 16);
    pds_addr_set(&ip->dst, p + 24, 16);

    ip->data = p + PDS_IP6_HEADER;
    ip->len = (total > len) ? len : total;

    return pds_ip6_headers(ip);
}


/* Each header is at least eight bytes of those that are left. */

static int
pds_ip6_headers(pds_ip_t *ip)
{
    size_t  head;

    for ( ;; ) {

        switch (ip->proto) {

        case PDS_HOP_BY_HOP:
        case PDS_ROUTING:
        case PDS_DESTINATION:
        case PDS_AUTH:
            break;

        case PDS_FRAGMENT:
            if (pds_ip6_fragment(ip) != 0) {
                return -1;
            }

            if (ip->fragment) {
                return 0;
            }

            continue;

        default:
            return 0;
        }

        if (ip->len < 8) {
            return -1;
        }

        head = (ip->proto == PDS_AUTH) ? (ip->data[1] + 2) * 4
                                       : (ip->data[1] + 1) * 8;

        if (head < 8 || head > ip->len) {
            return -1;
        }

        ip->proto = ip->data[0];
        ip->data += head;
        ip->len -= head;
    }
}


/* An atomic fragment (RFC 6946) is a datagram of its own. */

static int
pds_ip6_fragment(pds_ip_t *ip)
{
    unsigned  field;

    if (ip->len < 8) {
        return -1;
    }

    field = pds_get16(ip->data + 2);

    ip->id = pds_get32(ip->data + 4);
    ip->more = field & 1;
    ip->offset = (uint16_t) (field & 0xfff8);
    ip->fragment = ip->more || ip->offset != 0;
    ip->proto = ip->data[0];

    ip->data += 8;
    ip->len -= 8;

    return 0;
}

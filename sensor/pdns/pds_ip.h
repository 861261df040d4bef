
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * IPv4 (RFC 791) and IPv6 (RFC 8200) headers.  Pure.
 */


#ifndef _PDS_IP_H_INCLUDED_
#define _PDS_IP_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "pds_addr.h"


#define PDS_TCP  6
#define PDS_UDP  17


typedef struct {
    pds_addr_t      src;
    pds_addr_t      dst;
    const uint8_t  *data;              /* behind the headers read so far */
    size_t          len;               /* without padding */
    uint32_t        id;                /* fragments: of their datagram */
    uint16_t        offset;            /* where data belongs in it, bytes */
    uint8_t         proto;             /* of data: PDS_TCP, ... */
    unsigned        fragment:1;        /* data is a part of a datagram */
    unsigned        more:1;            /* and not the last one */
    unsigned        cut:1;             /* the capture has not all of it */
} pds_ip_t;


/*
 * Reads the headers of the packet in len bytes at p, of IPv6 all up to the
 * transport's or to that of a fragment.  Returns 0, or -1 when they are
 * malformed.
 */
int pds_ip_read(pds_ip_t *ip, const uint8_t *p, size_t len);

/*
 * Goes on behind the fragment header once a datagram is whole: ip->data and
 * ip->len are what was put together, ip->proto what it begins with.  Returns
 * 0, or -1 when it is malformed.
 */
int pds_ip_whole(pds_ip_t *ip);


#endif /* _PDS_IP_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Link layers: from what a capture holds to the IP packet in it.  Pure.
 */


#ifndef _PDS_LINK_H_INCLUDED_
#define _PDS_LINK_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


typedef enum {
    PDS_LINK_ETHERNET = 0,
    PDS_LINK_RAW,                      /* begins with the IP header */
    PDS_LINK_SLL,                      /* Linux cooked, version 1 */
    PDS_LINK_SLL2,                     /* version 2 */
    PDS_LINK_NULL,                     /* BSD loopback, order of its host */
    PDS_LINK_LOOP,                     /* the same in network order */
    PDS_LINKS
} pds_link_t;


/*
 * Finds the IP packet (of either version) in the len bytes at *p, behind any
 * number of VLAN tags (802.1Q, 802.1ad, and the older 0x9100 and 0x9200).
 * Moves *p to it and returns the bytes from there to the end, padding
 * included, or 0 when there is none.
 */
size_t pds_link_ip(pds_link_t link, const uint8_t **p, size_t len);


#endif /* _PDS_LINK_H_INCLUDED_ */

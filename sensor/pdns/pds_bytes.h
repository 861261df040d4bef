
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Numbers in network byte order, wherever they stand.
 */


#ifndef _PDS_BYTES_H_INCLUDED_
#define _PDS_BYTES_H_INCLUDED_


#include <stdint.h>


static inline uint16_t
pds_get16(const uint8_t *p)
{
    return (uint16_t) (p[0] << 8 | p[1]);
}


static inline uint32_t
pds_get32(const uint8_t *p)
{
    return (uint32_t) pds_get16(p) << 16 | pds_get16(p + 2);
}


static inline void
pds_put16(uint8_t *p, unsigned n)
{
    p[0] = (uint8_t) (n >> 8);
    p[1] = (uint8_t) n;
}


#endif /* _PDS_BYTES_H_INCLUDED_ */

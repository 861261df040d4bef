
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * IP addresses of those who ask and those who answer.  Pure.
 */


#ifndef _PDS_ADDR_H_INCLUDED_
#define _PDS_ADDR_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define PDS_ADDR_TEXT  46              /* with the final zero */


typedef struct {
    uint8_t  family;                   /* 4, 6, or 0: not known */
    uint8_t  bytes[16];                /* IPv4: the first four, the rest 0 */
} pds_addr_t;


/* Takes len bytes in network order: 4 or 16, anything else is "not known". */
void pds_addr_set(pds_addr_t *a, const uint8_t *p, size_t len);

/* Clears all but the first v4 (0..32) or v6 (0..128) bits. */
void pds_addr_mask(pds_addr_t *a, unsigned v4, unsigned v6);

/* Writes the text and a zero, "0.0.0.0" if not known.  Returns its length. */
size_t pds_addr_text(char out[PDS_ADDR_TEXT], const pds_addr_t *a);


#endif /* _PDS_ADDR_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * The data of a record in its canonical form: its names uncompressed and in
 * lower case, the rest as it came.  Pure.
 */


#ifndef _PDS_RDATA_H_INCLUDED_
#define _PDS_RDATA_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define PDS_RDATA  65535


/*
 * Reads rdlen bytes at pos (the caller has seen that they are there) of the
 * message msg and writes the canonical form to out.  Returns its length, or
 * -1 when the data is not what its type says.
 */
int pds_rdata_read(uint8_t out[PDS_RDATA], unsigned type, unsigned class,
    const uint8_t *msg, size_t pos, size_t rdlen);


#endif /* _PDS_RDATA_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * The presentation form of SVCB and HTTPS (RFC 9460; dohpath RFC 9461, ohttp
 * RFC 9540).  Written here because libldns 1.8 escapes lists but once, and
 * prints what is malformed as if it were not.  Pure.
 */


#ifndef _PDS_SVCB_H_INCLUDED_
#define _PDS_SVCB_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "pds_text.h"


/*
 * Writes the data of a record as pds_rdata.h has it.  Returns 0, or -1 when
 * its parameters are malformed: then part of it may have been written.
 */
int pds_svcb_text(pds_text_t *t, const uint8_t *p, size_t len);


#endif /* _PDS_SVCB_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * The line of a sighting, as passivedns writes it:
 *
 *     time||client||server||class||name||type||answer||ttl||count LF
 *
 * No input or output of its own.
 */


#ifndef _PDS_LINE_H_INCLUDED_
#define _PDS_LINE_H_INCLUDED_


#include "pds_cache.h"
#include "pds_print.h"


/* what all fields but the answer take at most, and the LF */
#define PDS_LINE_MIN  1280


/*
 * Writes the line of s, its LF included, to the size bytes at out.  Returns
 * its length, or 0 when it does not fit.
 */
size_t pds_line(pds_print_t *print, char *out, size_t size,
    const pds_sighting_t *s);


#endif /* _PDS_LINE_H_INCLUDED_ */

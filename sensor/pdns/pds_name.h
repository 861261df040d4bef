
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Domain names on the wire (RFC 1035, sections 3.1 and 4.1.4).  Pure.
 *
 * Names are kept uncompressed and in lower case: resolvers that mix the case
 * of their questions at random get it mirrored in the answers, and each
 * spelling would be another name.
 */


#ifndef _PDS_NAME_H_INCLUDED_
#define _PDS_NAME_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define PDS_NAME  255                  /* the longest, its root included */


/*
 * Reads the name at *pos of the message in len bytes at msg and moves *pos
 * behind it.  Writes it to out unless that is NULL; without compression when
 * pointers is 0.  Returns its length, 1 for the root, or 0 when it is
 * malformed (then *pos is not changed).
 */
size_t pds_name_read(uint8_t out[PDS_NAME], const uint8_t *msg, size_t len,
    size_t *pos, int pointers);

/* 1 when name is zone or below it; both as written by pds_name_read(). */
int pds_name_below(const uint8_t *name, size_t name_len, const uint8_t *zone,
    size_t zone_len);


#endif /* _PDS_NAME_H_INCLUDED_ */

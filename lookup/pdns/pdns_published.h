
/*
 * The database of the published analyzer, as it is read:
 *
 *   r:<rrname>:<type>   set of data          v:<rdata>:<type>   set of names
 *   s:, l:, o:<rrname>:<rdata>:<type>   first time, last time, count
 *
 * Types are decimal.  Keys cannot be taken apart from the left, because names
 * and data hold colons; they are only made here.
 */


#ifndef _PDNS_PUBLISHED_H_INCLUDED_
#define _PDNS_PUBLISHED_H_INCLUDED_


#include "pdns_record.h"


#pragma GCC visibility push(hidden)


/* Number i of the types that its records may have, 0 behind the last. */
uint16_t pdns_published_type(unsigned i);

/*
 * The bytes of a key of two parts (r, v) or, with data, of three (s, l, o);
 * out has room for pdns_published_size() of the parts.  Returns the length.
 */
size_t pdns_published_size(size_t name, size_t data);
size_t pdns_published_key(char *out, char letter, const pdns_str_t *name,
    const pdns_str_t *data, unsigned type);

/*
 * The record of a name and data, and of what s:, l: and o: hold of it (NULL:
 * nothing): its count is in r->before.  A time that is not there is the other
 * one.  Where the data is an error, the record is an error answer, with its
 * code in r->rcode and in place of data.  PDNS_BAD_TIME: it has no time, and is
 * no record; PDNS_NX: an error that cannot be kept; else as for a line.  Its
 * texts are in buf and in name.
 */
pdns_result_t pdns_published_record(pdns_record_t *r, const pdns_str_t *name,
    const pdns_str_t *data, unsigned type, const pdns_str_t numbers[3],
    char *buf, size_t size);


#pragma GCC visibility pop

#endif /* _PDNS_PUBLISHED_H_INCLUDED_ */

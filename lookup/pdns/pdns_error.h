
/*
 * Error answers: NXDOMAIN and its like have no data, and are kept apart from
 * records, by name, type that was asked for and response code.
 */


#ifndef _PDNS_ERROR_H_INCLUDED_
#define _PDNS_ERROR_H_INCLUDED_


#include "pdns_batch.h"


#pragma GCC visibility push(hidden)


#define PDNS_RCODE         16
#define PDNS_MEMBER_ERROR  (3 + PDNS_RCODE)

/* the names that have any, each with its last time */
#define PDNS_KEY_ERRORS    "H:errors"


/*
 * The one text of a response code, as passivedns, IANA or this store write it:
 * upper case, "RCODE23" for one without a name.  Returns its length, or 0: it
 * is none.
 */
size_t pdns_rcode_text(char out[PDNS_RCODE], const char *p, size_t len);

/* Adds a record whose rcode is one; as pdns_batch_add(). */
int pdns_batch_error(pdns_batch_t *b, const pdns_record_t *r);

/* Writes the commands for the next of a batch, from b->fault on. */
void pdns_write_errors(pdns_batch_t *b, pdns_resp_t *w);


#pragma GCC visibility pop

#endif /* _PDNS_ERROR_H_INCLUDED_ */

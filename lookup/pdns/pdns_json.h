
/*
 * Records as JSON, one object a line: Common Output Format
 * (draft-dulaunoy-dnsop-passive-dns-cof, every version's forms) and what
 * passivedns writes with -j.
 */


#ifndef _PDNS_JSON_H_INCLUDED_
#define _PDNS_JSON_H_INCLUDED_


#include "pdns_record.h"


#pragma GCC visibility push(hidden)


#define PDNS_JSON_MAX  (1024 * 1024)   /* bytes of a line */


/* Takes one record; its texts are gone when it returns. */
typedef void (*pdns_record_pt)(void *ctx, pdns_record_t *r);


/*
 * Reads one line and calls take for each record in it: one, or one for each
 * element of an rdata array.  Either all of them are right and PDNS_OK is
 * returned, or none is taken.  buf is for the data's text.
 */
pdns_result_t pdns_json_parse(const char *p, size_t len, char *buf,
    size_t size, pdns_record_pt take, void *ctx);


#pragma GCC visibility pop

#endif /* _PDNS_JSON_H_INCLUDED_ */


/*
 * What a client asks for: the value in the path, and the parameters by which
 * records are chosen.
 */


#ifndef _PDNS_QUERY_H_INCLUDED_
#define _PDNS_QUERY_H_INCLUDED_


#include "pdns_record.h"


#pragma GCC visibility push(hidden)


typedef enum {
    PDNS_FIND_NAME = 0,                /* records of name */
    PDNS_FIND_BELOW,                   /* of name and all below it */
    PDNS_FIND_PREFIX,                  /* of names that begin with text */
    PDNS_FIND_TARGET,                  /* records that point to name */
    PDNS_FIND_TARGETS,                 /* to name or below it */
    PDNS_FIND_TARGET_PREFIX,           /* to what begins with text */
    PDNS_FIND_ADDR,                    /* to an address low..high */
    PDNS_FIND_DATA                     /* whose data is text */
} pdns_find_t;


typedef struct {
    pdns_find_t   find;
    pdns_name_t   name;
    uint8_t       alen;                /* 4 or 16 */
    uint8_t       low[16];
    uint8_t       high[16];
    size_t        len;
    char          text[PDNS_NAME_TEXT * 4];
} pdns_value_t;


#define PDNS_TYPES_ALL     0           /* every type */
#define PDNS_TYPES_LIST    1           /* those in type[] */
#define PDNS_TYPES_PLAIN   2           /* DNSDB's ANY: not those of DNSSEC */
#define PDNS_TYPES_DNSSEC  3           /* its ANY-DNSSEC */

#define PDNS_TYPES_MAX     32


typedef struct {                       /* which of the records found */
    unsigned      types;
    unsigned      ntypes;
    uint16_t      type[PDNS_TYPES_MAX];
    uint64_t      first_after;         /* all inclusive, 0: no bound */
    uint64_t      first_before;
    uint64_t      last_after;
    uint64_t      last_before;
} pdns_filter_t;


/*
 * Reads an unescaped value: a name, "*.name", "name.*", an address, a network
 * (address/length, or with a comma), a range (address-address); U-labels and
 * any case.  rdata: what is looked for is the data of records.  Returns NULL,
 * or what is wrong with it.
 */
const char *pdns_value_parse(pdns_value_t *v, const char *p, size_t len,
    int rdata);

/*
 * Types as a list separated by commas; "ANY" alone is all of them, or, when
 * dnsdb is set, all but those of DNSSEC, which are "ANY-DNSSEC".  Returns 0,
 * or -1: one of them is none.
 */
int pdns_filter_types(pdns_filter_t *f, const char *p, size_t len, int dnsdb);

/*
 * Unix seconds, or negative: before now; or RFC 3339 in UTC, or its date.
 * Returns 0, or -1.
 */
int pdns_filter_time(uint64_t *t, const char *p, size_t len, uint64_t now);

/* 1 when a record of this type and these times is wanted. */
int pdns_filter_type(const pdns_filter_t *f, uint16_t type);
int pdns_filter_match(const pdns_filter_t *f, uint16_t type, uint64_t first,
    uint64_t last);


#pragma GCC visibility pop

#endif /* _PDNS_QUERY_H_INCLUDED_ */

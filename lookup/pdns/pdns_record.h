
/*
 * One passive DNS record, and why a line does not become one.
 */


#ifndef _PDNS_RECORD_H_INCLUDED_
#define _PDNS_RECORD_H_INCLUDED_


#include "pdns_rdata.h"


#pragma GCC visibility push(hidden)


/* Unix seconds: 33 bits, so that a time and a flag fit a cursor's 63 */
#define PDNS_TIME_MAX   ((UINT64_C(1) << 33) - 1)

/* the scores of a sorted set are doubles */
#define PDNS_COUNT_MAX  (UINT64_C(1) << 53)

#define PDNS_TEXT_MAX   512            /* bailiwick, sensor, origin */


typedef enum {
    PDNS_OK = 0,
    PDNS_EMPTY,                        /* a line with nothing on it */
    PDNS_SHORT,
    PDNS_LONG,
    PDNS_BAD_TIME,
    PDNS_BAD_CLASS,
    PDNS_BAD_TYPE,
    PDNS_BAD_NAME,
    PDNS_BAD_RDATA,
    PDNS_BAD_COUNT,
    PDNS_BAD_JSON,
    PDNS_BAD_FIELD,                    /* a member of the wrong JSON type */
    PDNS_NX,                           /* an error answer, not asked for */
    PDNS_EXCLUDED,
    PDNS_FILTERED,                     /* a type that is not kept */
    PDNS_RESULTS
} pdns_result_t;


typedef struct {
    const char   *data;                /* NULL: not there */
    size_t        len;
} pdns_str_t;


typedef struct {
    pdns_name_t   name;
    pdns_rdata_t  rdata;
    uint64_t      first;
    uint64_t      last;
    uint64_t      count;
    uint64_t      before;              /* counted by another database, which
                                          may tell it again; 0: none */
    uint64_t      zone_first;          /* 0: not there */
    uint64_t      zone_last;
    pdns_str_t    rcode;               /* an error answer: no rdata */
    pdns_str_t    bailiwick;
    pdns_str_t    sensor;
    pdns_str_t    origin;
} pdns_record_t;


/* The word by which a result is counted, such as "bad_name". */
const char *pdns_result_text(pdns_result_t result);


#pragma GCC visibility pop

#endif /* _PDNS_RECORD_H_INCLUDED_ */


/*
 * Answers: Common Output Format (draft-dulaunoy-dnsop-passive-dns-cof-13), one
 * JSON object a line, in pure ASCII; and the same in the framing of DNSDB's
 * API version 2 (Streaming API Format).
 */


#ifndef _PDNS_COF_H_INCLUDED_
#define _PDNS_COF_H_INCLUDED_


#include "pdns_record.h"


#pragma GCC visibility push(hidden)


#define PDNS_COF_ARRAY    0x0001       /* rdata is an array */
#define PDNS_COF_DOTS     0x0002       /* names end with a dot */
#define PDNS_COF_TYPES    0x0004       /* unknown types are "TYPEnnn" */
#define PDNS_COF_RFC3339  0x0008       /* time_*_rfc3339 as well */
#define PDNS_COF_MS       0x0010       /* time_*_ms as well */
#define PDNS_COF_HUMAN    0x0020       /* times are RFC 3339 text */
#define PDNS_COF_SAF      0x0040       /* {"obj":...} around it */


typedef struct {
    pdns_str_t   query;                /* what it answers, if not NULL */
    pdns_str_t   rrname;               /* canonical texts */
    pdns_str_t   rdata;
    uint16_t     type;
    uint64_t     first;
    uint64_t     last;
    uint64_t     count;                /* 0: left out, as are the next two */
    uint64_t     zone_first;
    uint64_t     zone_last;
    pdns_str_t   bailiwick;
    pdns_str_t   sensor;
    pdns_str_t   origin;
    unsigned     error:1;              /* the data is a response code */
} pdns_answer_t;


/* Bytes that pdns_cof_write() writes at most. */
size_t pdns_cof_bound(const pdns_answer_t *a);

/* Writes the object and an LF; returns the length. */
size_t pdns_cof_write(char *out, const pdns_answer_t *a, unsigned flags);

/*
 * Writes text as the inside of a JSON string: at most 6 bytes for each of its
 * own.  What is no UTF-8 becomes U+FFFD.  Returns the length.
 */
size_t pdns_json_escape(char *out, const char *p, size_t len);

/* Writes "1970-01-01T00:00:00Z", without a zero; returns its length, 20. */
size_t pdns_rfc3339(char *out, uint64_t t);

/* The data with dots behind its names: at most 8 bytes longer. */
size_t pdns_rdata_dotted(char *out, uint16_t type, const char *text,
    size_t len);


#pragma GCC visibility pop

#endif /* _PDNS_COF_H_INCLUDED_ */

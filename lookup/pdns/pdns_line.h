
/*
 * Lines of passivedns:
 *
 *   time||client||server||class||query||type||answer||ttl||count
 *
 * and what else goes by that name: no count (versions before 1.0), a syslog
 * prefix, fractions of any length, names without their trailing dot.
 */


#ifndef _PDNS_LINE_H_INCLUDED_
#define _PDNS_LINE_H_INCLUDED_


#include "pdns_record.h"


#pragma GCC visibility push(hidden)


#define PDNS_LINE_MAX  65535


/*
 * Reads one line, with or without its end of line.  On PDNS_OK r is complete,
 * r->rdata.text in buf and the rest of its texts in the line; an error answer
 * (NXDOMAIN and the like) has r->rcode set and no data.  Class, client, server
 * and TTL are read over; another class than IN is PDNS_BAD_CLASS.
 */
pdns_result_t pdns_line_parse(pdns_record_t *r, const char *p, size_t len,
    char *buf, size_t size);

/* 1 when text is an error that passivedns prints as an answer. */
int pdns_rcode(const char *text, size_t len);

/*
 * Unix seconds, with a fraction that is ignored.  Returns 0, or -1: no number,
 * zero, or above PDNS_TIME_MAX.
 */
int pdns_time_parse(uint64_t *t, const char *p, size_t len);


#pragma GCC visibility pop

#endif /* _PDNS_LINE_H_INCLUDED_ */

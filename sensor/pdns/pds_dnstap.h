
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * What a resolver tells of a DNS message in dnstap (dnstap.info, the messages
 * "Dnstap" and "Message" of dnstap.proto).  Pure.
 *
 * Of the few fields that matter here all are numbers and byte strings, read
 * straight from protobuf's wire format: nothing is allocated.
 */


#ifndef _PDS_DNSTAP_H_INCLUDED_
#define _PDS_DNSTAP_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "pds_addr.h"


#define PDS_DNSTAP_CONTENT  "protobuf:dnstap.Dnstap"


typedef struct {
    const uint8_t  *message;           /* of the response, in the input */
    size_t          len;
    pds_addr_t      client;            /* who asked */
    pds_addr_t      server;
    int64_t         time;              /* microseconds since 1970, 0: none */
} pds_dnstap_t;


/*
 * Reads a frame.  Returns 1 for a response to a query, 0 for anything else
 * (queries, updates), -1 when it is malformed.
 */
int pds_dnstap_read(pds_dnstap_t *d, const uint8_t *p, size_t len);


#endif /* _PDS_DNSTAP_H_INCLUDED_ */

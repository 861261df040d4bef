
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * What a DNS response (RFC 1035) says about its question.  Pure.
 *
 * Of the answer section those records count that answer the question: of its
 * name, and of what CNAME and DNAME records lead to from there.  Anything
 * else a server may put there is its claim about names it was not asked for.
 */


#ifndef _PDS_MESSAGE_H_INCLUDED_
#define _PDS_MESSAGE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "pds_name.h"
#include "pds_rdata.h"


#define PDS_DNS_HEADER  12
#define PDS_CHAIN       16             /* names that lead to one another */
#define PDS_ANSWERS     4096           /* records of a message looked at */


typedef enum {
    PDS_MESSAGE_ANSWER = 0,
    PDS_MESSAGE_QUERY,                 /* the rest is not looked at */
    PDS_MESSAGE_MALFORMED,
    PDS_MESSAGE_TRUNCATED,             /* TC: comes again over TCP */
    PDS_MESSAGE_OTHER                  /* opcode, question, transfer */
} pds_message_result_t;


typedef struct {
    const uint8_t  *owner;             /* pds_name.h */
    const uint8_t  *rdata;             /* pds_rdata.h; NULL with an rcode */
    uint32_t        ttl;
    uint16_t        owner_len;
    uint16_t        rdata_len;
    uint16_t        type;
    uint16_t        class;
    uint8_t         rcode;             /* 0, or no record but this answer */
} pds_record_t;


/* The record is valid during the call. */
typedef void (*pds_record_pt)(void *data, const pds_record_t *r);


typedef struct {                       /* of one answer section */
    uint32_t   pos;                    /* of its owner */
    uint32_t   rdata;
    uint32_t   ttl;
    uint16_t   rdlen;
    uint16_t   type;
    uint16_t   class;
    uint8_t    done;
} pds_answer_t;


typedef struct {
    pds_record_pt   record;
    void           *data;

    uint64_t        unrelated;         /* records, so far */
    uint64_t        bad_rdata;

    /* working space */

    const uint8_t  *msg;
    size_t          len;
    unsigned        answers;
    unsigned        names;
    pds_answer_t    answer[PDS_ANSWERS];
    uint16_t        name_len[PDS_CHAIN];
    uint8_t         name[PDS_CHAIN][PDS_NAME];
    uint8_t         rdata[PDS_RDATA];
} pds_message_t;


/*
 * Reads the message in len bytes at p: m->record is called for each record,
 * then, for a response code that is not 0, once with that.  Nothing is called
 * when the result is not PDS_MESSAGE_ANSWER.
 */
pds_message_result_t pds_message_read(pds_message_t *m, const uint8_t *p,
    size_t len);


#endif /* _PDS_MESSAGE_H_INCLUDED_ */

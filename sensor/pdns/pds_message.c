
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <string.h>

#include "pds_bytes.h"
#include "pds_message.h"
#include "pds_type.h"


#define PDS_FLAG_QR       0x8000
#define PDS_FLAG_TC       0x0200
#define PDS_OPCODE(f)     ((f) >> 11 & 15)
#define PDS_RCODE(f)      ((f) & 15)

/*
 * Servers answer in the order of the chain, a few rotate it.  Each round
 * costs as much as the answers are long.
 */
#define PDS_ROUNDS        4


static int pds_message_answers(pds_message_t *m, size_t pos, unsigned count);
static unsigned pds_message_round(pds_message_t *m);
static int pds_message_related(const pds_message_t *m, const pds_answer_t *a,
    const uint8_t *owner, size_t len);
static void pds_message_record(pds_message_t *m, const pds_answer_t *a,
    const uint8_t *owner, size_t len);
static void pds_message_lead(pds_message_t *m, const uint8_t *name,
    size_t len);


pds_message_result_t
pds_message_read(pds_message_t *m, const uint8_t *p, size_t len)
{
    size_t        pos;
    unsigned      flags, type, class, round, left;
    pds_record_t  r;

    if (len < PDS_DNS_HEADER || len > 65535) {
        return PDS_MESSAGE_MALFORMED;
    }

    flags = pds_get16(p + 2);

    if (!(flags & PDS_FLAG_QR)) {
        return PDS_MESSAGE_QUERY;
    }

    /* without its question there is nothing that an answer could be about */

    if (PDS_OPCODE(flags) != 0 || pds_get16(p + 4) != 1) {
        return PDS_MESSAGE_OTHER;
    }

    m->msg = p;
    m->len = len;

    pos = PDS_DNS_HEADER;
    m->name_len[0] = (uint16_t) pds_name_read(m->name[0], p, len, &pos, 0);
    m->names = 1;

    if (m->name_len[0] == 0 || len - pos < 4) {
        return PDS_MESSAGE_MALFORMED;
    }

    type = pds_get16(p + pos);
    class = pds_get16(p + pos + 2);

    if (flags & PDS_FLAG_TC) {
        return PDS_MESSAGE_TRUNCATED;
    }

    if (type == PDS_TYPE_AXFR || type == PDS_TYPE_IXFR) {
        return PDS_MESSAGE_OTHER;
    }

    if (pds_message_answers(m, pos + 4, pds_get16(p + 6)) != 0) {
        return PDS_MESSAGE_MALFORMED;
    }

    /* NXDOMAIN is about the end of the chain, which is there (RFC 2308) */

    if (PDS_RCODE(flags) == PDS_RCODE_OK || PDS_RCODE(flags) == PDS_RCODE_NX) {
        left = m->answers;

        for (round = 0; left != 0 && round < PDS_ROUNDS; round++) {
            left = pds_message_round(m);
        }

        m->unrelated += left;
    }

    if (PDS_RCODE(flags) != PDS_RCODE_OK) {
        memset(&r, 0, sizeof(pds_record_t));

        r.owner = m->name[m->names - 1];
        r.owner_len = m->name_len[m->names - 1];
        r.type = (uint16_t) type;
        r.class = (uint16_t) class;
        r.rcode = PDS_RCODE(flags);

        m->record(m->data, &r);
    }

    return PDS_MESSAGE_ANSWER;
}


/* The whole section has to be well-formed before any of it is believed. */

static int
pds_message_answers(pds_message_t *m, size_t pos, unsigned count)
{
    pds_answer_t   *a;
    const uint8_t  *p;

    m->answers = 0;

    while (count-- != 0) {
        if (m->answers == PDS_ANSWERS) {
            return -1;
        }

        a = &m->answer[m->answers++];
        a->pos = (uint32_t) pos;

        if (pds_name_read(NULL, m->msg, m->len, &pos, 1) == 0
            || m->len - pos < 10)
        {
            return -1;
        }

        p = m->msg + pos;

        a->type = pds_get16(p);
        a->class = pds_get16(p + 2);
        a->ttl = pds_get32(p + 4);
        a->rdlen = pds_get16(p + 8);
        a->rdata = (uint32_t) pos + 10;
        a->done = 0;

        if (m->len - a->rdata < a->rdlen) {
            return -1;
        }

        if (a->ttl > 0x7fffffff) {
            a->ttl = 0;                /* RFC 2181, section 8 */
        }

        if (pds_type_meta(a->type)) {
            m->answers--;
        }

        pos = a->rdata + a->rdlen;
    }

    return 0;
}


/*
 * Takes what belongs to the names known so far.  Returns how many records are
 * left that another round could take.
 */

static unsigned
pds_message_round(pds_message_t *m)
{
    size_t         pos, len;
    uint8_t        owner[PDS_NAME];
    unsigned       i, left;
    pds_answer_t  *a;

    left = 0;

    for (i = 0; i < m->answers; i++) {
        a = &m->answer[i];

        if (a->done) {
            continue;
        }

        pos = a->pos;
        len = pds_name_read(owner, m->msg, m->len, &pos, 1);

        if (!pds_message_related(m, a, owner, len)) {
            left++;
            continue;
        }

        a->done = 1;
        pds_message_record(m, a, owner, len);
    }

    return left;
}


static int
pds_message_related(const pds_message_t *m, const pds_answer_t *a,
    const uint8_t *owner, size_t len)
{
    unsigned  i, below;

    /* a DNAME is an ancestor's, and so is its signature */

    below = (a->type == PDS_TYPE_DNAME || a->type == PDS_TYPE_RRSIG);

    for (i = 0; i < m->names; i++) {
        if (m->name_len[i] == len && memcmp(m->name[i], owner, len) == 0) {
            return 1;
        }

        if (below && pds_name_below(m->name[i], m->name_len[i], owner, len)) {
            return 1;
        }
    }

    return 0;
}


static void
pds_message_record(pds_message_t *m, const pds_answer_t *a,
    const uint8_t *owner, size_t len)
{
    int           n;
    pds_record_t  r;

    n = pds_rdata_read(m->rdata, a->type, a->class, m->msg, a->rdata,
                       a->rdlen);

    if (n == -1) {
        m->bad_rdata++;
        return;
    }

    if (a->type == PDS_TYPE_CNAME) {
        pds_message_lead(m, m->rdata, (size_t) n);
    }

    r.owner = owner;
    r.owner_len = (uint16_t) len;
    r.rdata = m->rdata;
    r.rdata_len = (uint16_t) n;
    r.type = a->type;
    r.class = a->class;
    r.ttl = a->ttl;
    r.rcode = 0;

    m->record(m->data, &r);
}


/* A chain that is longer, or comes back, is left where it is. */

static void
pds_message_lead(pds_message_t *m, const uint8_t *name, size_t len)
{
    unsigned  i;

    for (i = 0; i < m->names; i++) {
        if (m->name_len[i] == len && memcmp(m->name[i], name, len) == 0) {
            return;
        }
    }

    if (m->names < PDS_CHAIN) {
        memcpy(m->name[m->names], name, len);
        m->name_len[m->names++] = (uint16_t) len;
    }
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdlib.h>
#include <string.h>

#include <ldns/ldns.h>

#include "pds_bytes.h"
#include "pds_print.h"
#include "pds_svcb.h"
#include "pds_type.h"


/* a record whose owner is the root: name, type, class, TTL, length of data */
#define PDS_PRINT_HEADER  11

/* no data has a text that is shorter than itself by more than this: SOA */
#define PDS_PRINT_SHORT   64


struct pds_print_s {
    ldns_buffer  *text;
    uint8_t       wire[PDS_PRINT_HEADER + PDS_RDATA];
};


static int pds_print_place(const pds_record_t *r);
static int pds_print_ldns(pds_print_t *print, pds_text_t *t, unsigned type,
    const pds_record_t *r);
static ldns_rr *pds_print_record(pds_print_t *print, unsigned type,
    const pds_record_t *r);
static int pds_print_tidy(pds_text_t *t, const uint8_t *p, size_t len);


pds_print_t *
pds_print_create(void)
{
    pds_print_t  *print;

    print = calloc(1, sizeof(pds_print_t));

    if (print == NULL) {
        return NULL;
    }

    print->text = ldns_buffer_new(1024);

    if (print->text == NULL) {
        free(print);
        return NULL;
    }

    return print;
}


void
pds_print_destroy(pds_print_t *print)
{
    ldns_buffer_free(print->text);
    free(print);
}


void
pds_print_rdata(pds_print_t *print, pds_text_t *t, const pds_record_t *r)
{
    int                rc;
    char              *start;
    const pds_type_t  *type;

    if (r->rdata_len > t->end - t->p + PDS_PRINT_SHORT) {
        t->full = 1;
        return;
    }

    rc = -1;
    start = t->p;
    type = pds_type_find(r->type);

    if (type != NULL && (r->class == PDS_CLASS_IN || !type->in_only)) {

        if (type->as == PDS_AS_FIELDS) {
            pds_text_fields(t, type->layout, r->rdata, r->rdata_len);
            rc = 0;

        } else if (r->type == PDS_TYPE_SVCB || r->type == PDS_TYPE_HTTPS) {
            rc = pds_svcb_text(t, r->rdata, r->rdata_len);

        } else if (r->type == PDS_TYPE_LOC && !pds_print_place(r)) {
            rc = -1;

        } else if (type->as != PDS_AS_GENERIC) {
            rc = pds_print_ldns(print, t, type->as, r);
        }
    }

    if (rc != 0 && !t->full) {
        t->p = start;
        pds_text_generic(t, r->rdata, r->rdata_len);
    }
}


/*
 * RFC 1876: version 0, then three sizes of two decimal digits each.  Of others
 * the library prints something that is neither form.
 */

static int
pds_print_place(const pds_record_t *r)
{
    int  i;

    for (i = 1; i <= 3; i++) {
        if (r->rdata[i] >> 4 > 9 || (r->rdata[i] & 15) > 9) {
            return 0;
        }
    }

    return r->rdata[0] == 0;
}


static int
pds_print_ldns(pds_print_t *print, pds_text_t *t, unsigned type,
    const pds_record_t *r)
{
    int      rc;
    size_t   i;
    ldns_rr *rr;

    rr = pds_print_record(print, type, r);

    if (rr == NULL) {
        return -1;
    }

    rc = -1;
    ldns_buffer_clear(print->text);

    for (i = 0; i < ldns_rr_rd_count(rr); i++) {
        if (i != 0) {
            ldns_buffer_printf(print->text, " ");
        }

        if (ldns_rdf2buffer_str(print->text, ldns_rr_rdf(rr, i))
            != LDNS_STATUS_OK)
        {
            goto done;
        }
    }

    if (ldns_buffer_status_ok(print->text)) {
        rc = pds_print_tidy(t, ldns_buffer_begin(print->text),
                            ldns_buffer_position(print->text));
    }

done:

    ldns_rr_free(rr);

    return rc;
}


static ldns_rr *
pds_print_record(pds_print_t *print, unsigned type, const pds_record_t *r)
{
    size_t    pos;
    ldns_rr  *rr;

    memset(print->wire, 0, PDS_PRINT_HEADER);
    pds_put16(print->wire + 1, type);
    pds_put16(print->wire + 3, PDS_CLASS_IN);
    pds_put16(print->wire + 9, r->rdata_len);
    memcpy(print->wire + PDS_PRINT_HEADER, r->rdata, r->rdata_len);

    rr = NULL;
    pos = 0;

    if (ldns_wire2rr(&rr, print->wire, PDS_PRINT_HEADER + r->rdata_len, &pos,
                     LDNS_SECTION_ANSWER)
        != LDNS_STATUS_OK)
    {
        return NULL;
    }

    return rr;
}


/*
 * One space between two fields and none at the end, where the library leaves
 * more; "|" escaped, which it does not (nor does it write one behind "\\").
 */

static int
pds_print_tidy(pds_text_t *t, const uint8_t *p, size_t len)
{
    int             quotes, space, escaped;
    char           *start;
    const uint8_t  *end;

    start = t->p;
    quotes = 0;
    space = 0;
    escaped = 0;

    for (end = p + len; p < end; p++) {
        if (*p < ' ' || *p > '~') {
            return -1;
        }

        if (*p == ' ' && !quotes) {
            space = 1;
            continue;
        }

        if (space && t->p != start) {
            pds_text_char(t, ' ');
        }

        space = 0;

        if (*p == '"' && !escaped) {
            quotes = !quotes;
        }

        escaped = (*p == '\\' && !escaped);

        if (*p == '|') {
            pds_text_copy(t, "\\124", 4);

        } else {
            pds_text_char(t, (char) *p);
        }
    }

    return (quotes || t->p == start) ? -1 : 0;
}

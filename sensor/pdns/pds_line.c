
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "pds_line.h"
#include "pds_type.h"


static void pds_line_time(pds_text_t *t, int64_t time);
static void pds_line_address(pds_text_t *t, const pds_addr_t *a);
static void pds_line_next(pds_text_t *t);


size_t
pds_line(pds_print_t *print, char *out, size_t size, const pds_sighting_t *s)
{
    char                 text[PDS_NUMBER_TEXT];
    size_t               n;
    pds_text_t           t;
    const pds_record_t  *r;

    r = &s->record;
    pds_text_init(&t, out, size);

    pds_line_time(&t, s->last);
    pds_line_next(&t);

    pds_line_address(&t, &s->client);
    pds_line_next(&t);

    pds_line_address(&t, &s->server);
    pds_line_next(&t);

    n = pds_class_text(text, r->class);
    pds_text_copy(&t, text, n);
    pds_line_next(&t);

    pds_text_name(&t, r->owner);
    pds_line_next(&t);

    n = pds_type_text(text, r->type);
    pds_text_copy(&t, text, n);
    pds_line_next(&t);

    if (r->rcode != 0) {
        n = pds_rcode_text(text, r->rcode);
        pds_text_copy(&t, text, n);

    } else {
        pds_print_rdata(print, &t, r);
    }

    pds_line_next(&t);
    pds_text_number(&t, r->ttl);
    pds_line_next(&t);
    pds_text_number(&t, s->count);
    pds_text_char(&t, '\n');

    return t.full ? 0 : (size_t) (t.p - out);
}


static void
pds_line_time(pds_text_t *t, int64_t time)
{
    int64_t  digit;

    pds_text_number(t, (uint64_t) (time / 1000000));
    pds_text_char(t, '.');

    for (digit = 100000; digit != 0; digit /= 10) {
        pds_text_char(t, (char) ('0' + time / digit % 10));
    }
}


static void
pds_line_address(pds_text_t *t, const pds_addr_t *a)
{
    char    text[PDS_ADDR_TEXT];
    size_t  n;

    n = pds_addr_text(text, a);
    pds_text_copy(t, text, n);
}


static void
pds_line_next(pds_text_t *t)
{
    pds_text_copy(t, "||", 2);
}

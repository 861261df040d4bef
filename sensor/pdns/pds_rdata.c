
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <string.h>

#include "pds_name.h"
#include "pds_rdata.h"
#include "pds_type.h"


typedef struct {
    uint8_t        *out;
    size_t          n;                 /* written */
    const uint8_t  *msg;
    size_t          pos;
    size_t          end;
} pds_rdata_t;


static int pds_rdata_field(pds_rdata_t *r, char field);
static int pds_rdata_copy(pds_rdata_t *r, size_t len);
static int pds_rdata_name(pds_rdata_t *r, int pointers);
static int pds_rdata_string(pds_rdata_t *r);
static int pds_rdata_strings(pds_rdata_t *r);
static int pds_rdata_gateway(pds_rdata_t *r);
static int pds_rdata_bitmap(pds_rdata_t *r);


int
pds_rdata_read(uint8_t out[PDS_RDATA], unsigned type, unsigned class,
    const uint8_t *msg, size_t pos, size_t rdlen)
{
    const char        *field;
    pds_rdata_t        r;
    const pds_type_t  *t;

    t = pds_type_find(type);

    field = (t == NULL || t->layout == NULL
             || (t->in_only && class != PDS_CLASS_IN)) ? "x" : t->layout;

    r.out = out;
    r.n = 0;
    r.msg = msg;
    r.pos = pos;
    r.end = pos + rdlen;

    for ( /* void */ ; *field != '\0'; field++) {
        if (pds_rdata_field(&r, *field) != 0) {
            return -1;
        }
    }

    return (r.pos == r.end) ? (int) r.n : -1;
}


static int
pds_rdata_field(pds_rdata_t *r, char field)
{
    switch (field) {

    case 'b':
        return pds_rdata_copy(r, 1);

    case 'h':
        return pds_rdata_copy(r, 2);

    case 'w':
    case 'i':
        return pds_rdata_copy(r, 4);

    case 'q':
        return pds_rdata_copy(r, 8);

    case 'I':
        return pds_rdata_copy(r, 16);

    case 'n':
        return pds_rdata_name(r, 1);

    case 'N':
        return pds_rdata_name(r, 0);

    case 's':
        return pds_rdata_string(r);

    case 'S':
        return pds_rdata_strings(r);

    case 't':
        if (r->pos == r->end || r->msg[r->pos] == 0) {
            return -1;
        }

        return pds_rdata_string(r);

    case 'g':
        return pds_rdata_gateway(r);

    case 'm':
        return pds_rdata_bitmap(r);

    case 'X':
        if (r->pos == r->end) {
            return -1;
        }

        return pds_rdata_copy(r, r->end - r->pos);

    default: /* x */
        return pds_rdata_copy(r, r->end - r->pos);
    }
}


static int
pds_rdata_copy(pds_rdata_t *r, size_t len)
{
    if (len > r->end - r->pos || len > PDS_RDATA - r->n) {
        return -1;
    }

    memcpy(r->out + r->n, r->msg + r->pos, len);
    r->n += len;
    r->pos += len;

    return 0;
}


/* Names may point out of the data, but not reach beyond its end. */

static int
pds_rdata_name(pds_rdata_t *r, int pointers)
{
    size_t   len;
    uint8_t  name[PDS_NAME];

    len = pds_name_read(name, r->msg, r->end, &r->pos, pointers);

    if (len == 0 || len > PDS_RDATA - r->n) {
        return -1;
    }

    memcpy(r->out + r->n, name, len);
    r->n += len;

    return 0;
}


static int
pds_rdata_string(pds_rdata_t *r)
{
    if (r->pos == r->end) {
        return -1;
    }

    return pds_rdata_copy(r, 1 + r->msg[r->pos]);
}


static int
pds_rdata_strings(pds_rdata_t *r)
{
    do {
        if (pds_rdata_string(r) != 0) {
            return -1;
        }
    } while (r->pos != r->end);

    return 0;
}


/* RFC 4025: the kind of gateway is the second byte of the data. */

static int
pds_rdata_gateway(pds_rdata_t *r)
{
    switch (r->out[1]) {

    case 0:
        return 0;

    case 1:
        return pds_rdata_copy(r, 4);

    case 2:
        return pds_rdata_copy(r, 16);

    case 3:
        return pds_rdata_name(r, 0);
    }

    return -1;
}


/* RFC 4034, section 4.1.2: window, length, bits. */

static int
pds_rdata_bitmap(pds_rdata_t *r)
{
    int      last;
    uint8_t  len;

    last = -1;

    while (r->pos != r->end) {
        if (r->end - r->pos < 2) {
            return -1;
        }

        len = r->msg[r->pos + 1];

        if (r->msg[r->pos] <= last || len == 0 || len > 32) {
            return -1;
        }

        last = r->msg[r->pos];

        if (pds_rdata_copy(r, 2 + len) != 0) {
            return -1;
        }
    }

    return 0;
}

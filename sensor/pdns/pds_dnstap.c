
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <string.h>

#include "pds_dnstap.h"


/* wire types of protobuf; groups are not used by anybody */
#define PDS_VARINT   0
#define PDS_FIXED64  1
#define PDS_BYTES    2
#define PDS_FIXED32  5

/* fields of Dnstap */
#define PDS_DNSTAP_MESSAGE  14
#define PDS_DNSTAP_TYPE     15

/* fields of Message */
#define PDS_TAP_TYPE            1
#define PDS_TAP_QUERY_ADDRESS   4
#define PDS_TAP_ANSWER_ADDRESS  5
#define PDS_TAP_QUERY_SEC       8
#define PDS_TAP_QUERY_NSEC      9
#define PDS_TAP_ANSWER_SEC      12
#define PDS_TAP_ANSWER_NSEC     13
#define PDS_TAP_ANSWER          14

/* Dnstap.Type, and the last Message.Type before updates; responses are even */
#define PDS_DNSTAP_IS_MESSAGE   1
#define PDS_TAP_LAST            12

/* the last second of the year 9999 */
#define PDS_TAP_TIME_MAX        253402300799


typedef struct {
    unsigned        number;
    unsigned        wire;
    uint64_t        value;             /* numbers */
    const uint8_t  *data;              /* byte strings */
    size_t          len;
} pds_field_t;


static int pds_dnstap_message(pds_dnstap_t *d, const uint8_t *p, size_t len);
static int pds_field_next(pds_field_t *f, const uint8_t **p,
    const uint8_t *end);
static int pds_field_varint(uint64_t *value, const uint8_t **p,
    const uint8_t *end);
static int64_t pds_dnstap_time(uint64_t sec, uint64_t nsec);


int
pds_dnstap_read(pds_dnstap_t *d, const uint8_t *p, size_t len)
{
    int             rc, is_message;
    size_t          n;
    pds_field_t     f;
    const uint8_t  *end, *message;

    memset(d, 0, sizeof(pds_dnstap_t));

    is_message = 0;
    message = NULL;
    n = 0;

    for (end = p + len; p != end; /* void */ ) {
        if (pds_field_next(&f, &p, end) != 0) {
            return -1;
        }

        if (f.number == PDS_DNSTAP_MESSAGE && f.wire == PDS_BYTES) {
            message = f.data;
            n = f.len;

        } else if (f.number == PDS_DNSTAP_TYPE && f.wire == PDS_VARINT) {
            is_message = (f.value == PDS_DNSTAP_IS_MESSAGE);
        }
    }

    if (!is_message || message == NULL) {
        return 0;
    }

    rc = pds_dnstap_message(d, message, n);

    return (rc == 1 && d->message == NULL) ? 0 : rc;
}


static int
pds_dnstap_message(pds_dnstap_t *d, const uint8_t *p, size_t len)
{
    uint64_t        type, sec[2], nsec[2];
    pds_field_t     f;
    const uint8_t  *end;

    type = 0;
    memset(sec, 0, sizeof(sec));
    memset(nsec, 0, sizeof(nsec));

    for (end = p + len; p != end; /* void */ ) {
        if (pds_field_next(&f, &p, end) != 0) {
            return -1;
        }

        /* a field of another kind than it should have is not that field */

        switch (f.number << 3 | f.wire) {

        case PDS_TAP_TYPE << 3 | PDS_VARINT:
            type = f.value;
            break;

        case PDS_TAP_QUERY_ADDRESS << 3 | PDS_BYTES:
            pds_addr_set(&d->client, f.data, f.len);
            break;

        case PDS_TAP_ANSWER_ADDRESS << 3 | PDS_BYTES:
            pds_addr_set(&d->server, f.data, f.len);
            break;

        case PDS_TAP_QUERY_SEC << 3 | PDS_VARINT:
            sec[0] = f.value;
            break;

        case PDS_TAP_QUERY_NSEC << 3 | PDS_FIXED32:
            nsec[0] = f.value;
            break;

        case PDS_TAP_ANSWER_SEC << 3 | PDS_VARINT:
            sec[1] = f.value;
            break;

        case PDS_TAP_ANSWER_NSEC << 3 | PDS_FIXED32:
            nsec[1] = f.value;
            break;

        case PDS_TAP_ANSWER << 3 | PDS_BYTES:
            d->message = f.data;
            d->len = f.len;
        }
    }

    if (type == 0 || type > PDS_TAP_LAST || type % 2 != 0) {
        return 0;
    }

    d->time = pds_dnstap_time(sec[1], nsec[1]);

    if (d->time == 0) {
        d->time = pds_dnstap_time(sec[0], nsec[0]);
    }

    return 1;
}


static int
pds_field_next(pds_field_t *f, const uint8_t **p, const uint8_t *end)
{
    size_t    i, n;
    uint64_t  value;

    if (pds_field_varint(&value, p, end) != 0 || value > UINT32_MAX
        || value >> 3 == 0)
    {
        return -1;
    }

    f->number = (unsigned) (value >> 3);
    f->wire = value & 7;

    switch (f->wire) {

    case PDS_VARINT:
        return pds_field_varint(&f->value, p, end);

    case PDS_FIXED32:
    case PDS_FIXED64:
        n = (f->wire == PDS_FIXED32) ? 4 : 8;

        if ((size_t) (end - *p) < n) {
            return -1;
        }

        f->value = 0;

        for (i = 0; i < n; i++) {
            f->value |= (uint64_t) (*p)[i] << (8 * i);
        }

        *p += n;
        return 0;

    case PDS_BYTES:
        if (pds_field_varint(&value, p, end) != 0
            || value > (size_t) (end - *p))
        {
            return -1;
        }

        f->data = *p;
        f->len = (size_t) value;
        *p += value;
        return 0;
    }

    return -1;
}


/* Seven bits a byte, the lowest first. */

static int
pds_field_varint(uint64_t *value, const uint8_t **p, const uint8_t *end)
{
    unsigned  shift;
    uint8_t   c;

    *value = 0;

    for (shift = 0; shift < 70; shift += 7) {
        if (*p == end) {
            return -1;
        }

        c = *(*p)++;
        *value |= (uint64_t) (c & 0x7f) << shift;

        if (!(c & 0x80)) {
            return 0;
        }
    }

    return -1;
}


static int64_t
pds_dnstap_time(uint64_t sec, uint64_t nsec)
{
    if (sec > PDS_TAP_TIME_MAX) {
        return 0;
    }

    return (int64_t) (sec * 1000000 + nsec % 1000000000 / 1000);
}


#include "pdns_published.h"
#include "pdns_error.h"
#include "pdns_line.h"

#include <stdio.h>
#include <string.h>


#define PDNS_NUMBER  5                 /* digits of a type */


/* its table: IANA's of its time, and some that have no mnemonic */

static const struct {
    uint16_t  from;
    uint16_t  to;
} pdns_ranges[] = {
    { 1, 66 }, { 99, 109 }, { 128, 128 }, { 249, 254 }, { 256, 262 },
    { 32768, 32769 }
};


uint16_t
pdns_published_type(unsigned i)
{
    unsigned  n, size;

    for (n = 0; n < sizeof(pdns_ranges) / sizeof(pdns_ranges[0]); n++) {
        size = pdns_ranges[n].to - pdns_ranges[n].from + 1u;

        if (i < size) {
            return (uint16_t) (pdns_ranges[n].from + i);
        }

        i -= size;
    }

    return 0;
}


size_t
pdns_published_size(size_t name, size_t data)
{
    return 2 + name + 1 + data + 1 + PDNS_NUMBER + 1;
}


size_t
pdns_published_key(char *out, char letter, const pdns_str_t *name,
    const pdns_str_t *data, unsigned type)
{
    char  *p;

    p = out;
    *p++ = letter;
    *p++ = ':';
    memcpy(p, name->data, name->len);
    p += name->len;

    if (data != NULL) {
        *p++ = ':';
        memcpy(p, data->data, data->len);
        p += data->len;
    }

    p += snprintf(p, PDNS_NUMBER + 2, ":%u", type & 0xffff);

    return (size_t) (p - out);
}


static uint64_t
pdns_published_time(const pdns_str_t *s)
{
    uint64_t  t;

    return (s->data != NULL && pdns_time_parse(&t, s->data, s->len) == 0)
           ? t : 0;
}


static uint64_t
pdns_published_count(const pdns_str_t *s)
{
    size_t    i;
    uint64_t  n;

    n = 0;

    for (i = 0; s->data != NULL && i < s->len; i++) {

        if (s->data[i] < '0' || s->data[i] > '9') {
            break;
        }

        n = n * 10 + (uint64_t) (s->data[i] - '0');

        if (n > PDNS_COUNT_MAX) {
            n = PDNS_COUNT_MAX;
        }
    }

    return (n == 0) ? 1 : n;
}


/*
 * It keeps the names of errors among data, in lower case: 1 for one, which is
 * then the record's code and its only data.
 */

static int
pdns_published_error(pdns_record_t *r, const pdns_str_t *data, char *buf,
    size_t size)
{
    char    upper[32];
    size_t  i;

    if (data->len > sizeof(upper)) {
        return 0;
    }

    for (i = 0; i < data->len; i++) {
        upper[i] = data->data[i];

        if (upper[i] >= 'a' && upper[i] <= 'z') {
            upper[i] &= ~32;
        }
    }

    if (!pdns_rcode(upper, data->len)) {
        return 0;
    }

    r->rcode.data = buf;
    r->rcode.len = (size >= PDNS_RCODE)
                   ? pdns_rcode_text(buf, upper, data->len) : 0;
    r->rdata.text = buf;
    r->rdata.len = r->rcode.len;

    return 1;
}


pdns_result_t
pdns_published_record(pdns_record_t *r, const pdns_str_t *name,
    const pdns_str_t *data, unsigned type, const pdns_str_t numbers[3],
    char *buf, size_t size)
{
    memset(r, 0, sizeof(pdns_record_t));

    r->first = pdns_published_time(&numbers[0]);
    r->last = pdns_published_time(&numbers[1]);
    r->before = pdns_published_count(&numbers[2]);

    if (r->first == 0 || (r->last != 0 && r->last < r->first)) {
        r->first = r->last;
    }

    if (r->last == 0) {
        r->last = r->first;
    }

    if (r->last == 0) {
        return PDNS_BAD_TIME;          /* it has expired, or never was whole */
    }

    if (pdns_published_error(r, data, buf, size)) {
        r->rdata.type = (uint16_t) type;

        return (r->rcode.len != 0 && type != 0 && type != PDNS_ANY
                && type <= 65535
                && pdns_name_parse(&r->name, name->data, name->len) == 0)
               ? PDNS_OK : PDNS_NX;
    }

    if (type == 0 || type == PDNS_ANY || type > 65535) {
        return PDNS_BAD_TYPE;
    }

    if (pdns_name_parse(&r->name, name->data, name->len) != 0) {
        return PDNS_BAD_NAME;
    }

    return (pdns_rdata_parse(&r->rdata, (uint16_t) type, data->data,
                             data->len, buf, size)
            == 0)
           ? PDNS_OK : PDNS_BAD_RDATA;
}

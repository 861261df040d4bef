
#include "pdns_line.h"

#include <string.h>
#include <strings.h>


#define PDNS_LEFT  6                   /* fields before the answer */


static const char *pdns_delimiter(const char *p, const char *end);
static pdns_result_t pdns_line_right(pdns_record_t *r, pdns_str_t *answer,
    pdns_str_t *ttl);
static pdns_result_t pdns_line_left(pdns_record_t *r,
    const pdns_str_t left[PDNS_LEFT]);
static int pdns_tail(pdns_str_t *s, pdns_str_t *field);
static int pdns_number(uint64_t *n, const pdns_str_t *s);


pdns_result_t
pdns_line_parse(pdns_record_t *r, const char *p, size_t len, char *buf,
    size_t size)
{
    int             i;
    const char     *end, *q;
    pdns_str_t      left[PDNS_LEFT], ttl, answer;
    pdns_result_t   rc;

    static const pdns_str_t  none = { NULL, 0 };

    while (len > 0 && (p[len - 1] == '\n' || p[len - 1] == '\r')) {
        len--;
    }

    if (len == 0) {
        return PDNS_EMPTY;
    }

    if (len > PDNS_LINE_MAX) {
        return PDNS_LONG;
    }

    end = p + len;

    for (i = 0; i < PDNS_LEFT; i++) {
        q = pdns_delimiter(p, end);

        if (q == NULL) {
            return PDNS_SHORT;
        }

        left[i].data = p;
        left[i].len = (size_t) (q - p);
        p = q + 2;
    }

    answer.data = p;
    answer.len = (size_t) (end - p);

    r->before = 0;
    r->zone_first = 0;
    r->zone_last = 0;
    r->rcode = none;
    r->bailiwick = none;
    r->sensor = none;
    r->origin = none;

    rc = pdns_line_right(r, &answer, &ttl);

    if (rc == PDNS_OK) {
        rc = pdns_line_left(r, left);
    }

    if (rc != PDNS_OK) {
        return rc;
    }

    if (ttl.len == 1 && ttl.data[0] == '0'
        && pdns_rcode(answer.data, answer.len))
    {
        r->rcode = answer;
        return PDNS_OK;
    }

    if (r->rdata.type == 0 || r->rdata.type == PDNS_ANY) {
        return PDNS_BAD_TYPE;
    }

    if (pdns_rdata_parse(&r->rdata, r->rdata.type, answer.data, answer.len,
                         buf, size)
        != 0)
    {
        return PDNS_BAD_RDATA;
    }

    return PDNS_OK;
}


static const char *
pdns_delimiter(const char *p, const char *end)
{
    while (end - p >= 2) {
        p = memchr(p, '|', (size_t) (end - p - 1));

        if (p == NULL || p[1] == '|') {
            return p;
        }

        p++;
    }

    return NULL;
}


/* From the right, because the answer may hold what separates fields. */

static pdns_result_t
pdns_line_right(pdns_record_t *r, pdns_str_t *answer, pdns_str_t *ttl)
{
    pdns_str_t  last;

    r->count = 1;

    if (pdns_tail(answer, &last) != 0) {
        return PDNS_SHORT;
    }

    if (pdns_tail(answer, ttl) != 0) {
        *ttl = last;                   /* of a version that does not count */
        return PDNS_OK;
    }

    if (pdns_number(&r->count, &last) != 0 || r->count == 0) {
        return PDNS_BAD_COUNT;
    }

    if (r->count > PDNS_COUNT_MAX) {
        r->count = PDNS_COUNT_MAX;
    }

    return PDNS_OK;
}


static pdns_result_t
pdns_line_left(pdns_record_t *r, const pdns_str_t left[PDNS_LEFT])
{
    size_t  n;

    /* a syslog prefix ends with a blank */

    for (n = left[0].len; n > 0 && left[0].data[n - 1] != ' '; n--) {
        /* void */
    }

    if (pdns_time_parse(&r->last, left[0].data + n, left[0].len - n) != 0) {
        return PDNS_BAD_TIME;
    }

    r->first = r->last;

    if ((left[3].len != 2 || strncasecmp(left[3].data, "IN", 2) != 0)
        && (left[3].len != 1 || left[3].data[0] != '1'))
    {
        return PDNS_BAD_CLASS;
    }

    if (pdns_name_parse(&r->name, left[4].data, left[4].len) != 0) {
        return PDNS_BAD_NAME;
    }

    if (pdns_type_parse(&r->rdata.type, left[5].data, left[5].len) != 0) {
        return PDNS_BAD_TYPE;
    }

    return PDNS_OK;
}


/* Takes the last field off, if it is all digits. */

static int
pdns_tail(pdns_str_t *s, pdns_str_t *field)
{
    size_t       n;
    const char  *p;

    p = s->data;
    n = s->len;

    while (n > 0 && p[n - 1] >= '0' && p[n - 1] <= '9') {
        n--;
    }

    if (n == s->len || n < 2 || p[n - 1] != '|' || p[n - 2] != '|') {
        return -1;
    }

    field->data = p + n;
    field->len = s->len - n;
    s->len = n - 2;

    return 0;
}


/* What is too large is PDNS_COUNT_MAX. */

static int
pdns_number(uint64_t *n, const pdns_str_t *s)
{
    size_t  i;

    *n = 0;

    for (i = 0; i < s->len; i++) {
        if (s->data[i] < '0' || s->data[i] > '9') {
            return -1;
        }

        if (*n < PDNS_COUNT_MAX) {
            *n = *n * 10 + (uint64_t) (s->data[i] - '0');
        }
    }

    return (s->len > 0) ? 0 : -1;
}


int
pdns_time_parse(uint64_t *t, const char *p, size_t len)
{
    size_t  i;

    *t = 0;

    for (i = 0; i < len && p[i] != '.'; i++) {

        if (p[i] < '0' || p[i] > '9') {
            return -1;
        }

        *t = *t * 10 + (uint64_t) (p[i] - '0');

        if (*t > PDNS_TIME_MAX) {
            return -1;
        }
    }

    if (*t == 0) {
        return -1;
    }

    for (i++; i < len; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return -1;
        }
    }

    return 0;
}


int
pdns_rcode(const char *text, size_t len)
{
    size_t  i;

    static const char *const  rcodes[] = {
        "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMPL", "NOTIMP", "REFUSED",
        "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"
    };

    for (i = 0; i < sizeof(rcodes) / sizeof(rcodes[0]); i++) {
        if (strlen(rcodes[i]) == len && memcmp(rcodes[i], text, len) == 0) {
            return 1;
        }
    }

    return len > 14 && len < 20 && memcmp(text, "UNKNOWN-ERROR-", 14) == 0;
}

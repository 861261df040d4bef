
#include "pdns_json.h"
#include "pdns_error.h"
#include "pdns_line.h"

#include <string.h>

#include <jansson.h>


static pdns_result_t pdns_json_cof(pdns_record_t *r, json_t *object);
static pdns_result_t pdns_json_passivedns(pdns_record_t *r, json_t *object);
static pdns_result_t pdns_json_data(pdns_record_t *r, json_t *rdata, char *buf,
    size_t size, pdns_record_pt take, void *ctx);
static int pdns_json_times(pdns_record_t *r, json_t *object);
static int pdns_json_seen(pdns_record_t *r, json_t *object);
static int pdns_json_time(json_t *object, const char *key, uint64_t *t);
static int pdns_json_text(json_t *object, const char *key, pdns_str_t *s);
static int pdns_json_number(json_t *value, double max, uint64_t *n);


pdns_result_t
pdns_json_parse(const char *p, size_t len, char *buf, size_t size,
    pdns_record_pt take, void *ctx)
{
    json_t         *object, *rdata;
    pdns_record_t   r;
    pdns_result_t   rc;

    while (len > 0 && (p[len - 1] == '\n' || p[len - 1] == '\r'
                       || p[len - 1] == ' '))
    {
        len--;
    }

    if (len == 0) {
        return PDNS_EMPTY;
    }

    if (len > PDNS_JSON_MAX) {
        return PDNS_LONG;
    }

    object = json_loadb(p, len, JSON_REJECT_DUPLICATES, NULL);

    if (object == NULL) {
        return PDNS_BAD_JSON;
    }

    memset(&r, 0, sizeof(r));
    r.count = 1;

    if (!json_is_object(object)) {
        rc = PDNS_BAD_JSON;

    } else if (json_object_get(object, "rrname") != NULL) {
        rc = pdns_json_cof(&r, object);
        rdata = json_object_get(object, "rdata");

    } else {
        rc = pdns_json_passivedns(&r, object);
        rdata = json_object_get(object, "answer");
    }

    if (rc == PDNS_OK) {
        rc = pdns_json_data(&r, rdata, buf, size, take, ctx);
    }

    json_decref(object);

    return rc;
}


static pdns_result_t
pdns_json_cof(pdns_record_t *r, json_t *object)
{
    char         rcode[PDNS_RCODE];
    json_t      *value;
    uint64_t     n;
    pdns_str_t   s;

    /* an error answer is told by its code, which others may use freely */

    if (pdns_json_text(object, "rcode", &r->rcode) == 0
        && pdns_rcode_text(rcode, r->rcode.data, r->rcode.len) == 0)
    {
        r->rcode.data = NULL;
    }

    if (pdns_json_text(object, "rrname", &s) != 0 || s.data == NULL) {
        return PDNS_BAD_FIELD;
    }

    if (pdns_name_parse(&r->name, s.data, s.len) != 0) {
        return PDNS_BAD_NAME;
    }

    value = json_object_get(object, "rrtype");

    if (json_is_string(value)) {
        if (pdns_type_parse(&r->rdata.type, json_string_value(value),
                            json_string_length(value))
            != 0)
        {
            return PDNS_BAD_TYPE;
        }

    } else {
        if (!json_is_integer(value)
            || pdns_json_number(value, 65535, &n) != 0)
        {
            return PDNS_BAD_TYPE;
        }

        r->rdata.type = (uint16_t) n;
    }

    if (r->rcode.data == NULL
        && (r->rdata.type == 0 || r->rdata.type == PDNS_ANY))
    {
        return PDNS_BAD_TYPE;
    }

    if (pdns_json_times(r, object) != 0) {
        return PDNS_BAD_TIME;
    }

    value = json_object_get(object, "count");

    if (value != NULL && !json_is_null(value)) {

        if (pdns_json_number(value, (double) PDNS_COUNT_MAX, &r->count) != 0
            || r->count == 0)
        {
            return PDNS_BAD_COUNT;
        }
    }

    if (pdns_json_text(object, "bailiwick", &r->bailiwick) != 0
        || pdns_json_text(object, "sensor_id", &r->sensor) != 0
        || pdns_json_text(object, "origin", &r->origin) != 0
        || r->bailiwick.len > PDNS_TEXT_MAX
        || r->sensor.len > PDNS_TEXT_MAX
        || r->origin.len > PDNS_TEXT_MAX)
    {
        return PDNS_BAD_FIELD;
    }

    return PDNS_OK;
}


static int
pdns_json_times(pdns_record_t *r, json_t *object)
{
    if (pdns_json_time(object, "time_first", &r->first) != 0
        || pdns_json_time(object, "time_last", &r->last) != 0
        || pdns_json_time(object, "zone_time_first", &r->zone_first) != 0
        || pdns_json_time(object, "zone_time_last", &r->zone_last) != 0)
    {
        return -1;
    }

    /* the times of a zone may stand for the others */

    if (r->first == 0) {
        r->first = r->zone_first;
    }

    if (r->last == 0) {
        r->last = r->zone_last;
    }

    if (r->first == 0 || r->last == 0 || r->first > r->last
        || (r->zone_first == 0) != (r->zone_last == 0)
        || r->zone_first > r->zone_last)
    {
        return -1;
    }

    return 0;
}


static pdns_result_t
pdns_json_passivedns(pdns_record_t *r, json_t *object)
{
    json_t         *value;
    uint64_t        n;
    const char     *p;
    pdns_str_t      s;

    if (pdns_json_text(object, "query", &s) != 0 || s.data == NULL) {
        return PDNS_BAD_FIELD;
    }

    if (pdns_name_parse(&r->name, s.data, s.len) != 0) {
        return PDNS_BAD_NAME;
    }

    if (pdns_json_text(object, "class", &s) != 0) {
        return PDNS_BAD_FIELD;
    }

    if (s.data != NULL && (s.len != 2 || memcmp(s.data, "IN", 2) != 0)) {
        return PDNS_BAD_CLASS;
    }

    if (pdns_json_text(object, "type", &s) != 0 || s.data == NULL
        || pdns_type_parse(&r->rdata.type, s.data, s.len) != 0)
    {
        return PDNS_BAD_TYPE;
    }

    if (pdns_json_seen(r, object) != 0) {
        return PDNS_BAD_TIME;
    }

    value = json_object_get(object, "count");

    if (value != NULL
        && (pdns_json_number(value, (double) PDNS_COUNT_MAX, &n) != 0
            || n == 0))
    {
        return PDNS_BAD_COUNT;
    }

    if (value != NULL) {
        r->count = n;
    }

    value = json_object_get(object, "answer");
    p = json_string_value(value);

    if (p != NULL && pdns_rcode(p, json_string_length(value))) {
        r->rcode.data = p;
        r->rcode.len = json_string_length(value);

    } else if (r->rdata.type == 0 || r->rdata.type == PDNS_ANY) {
        return PDNS_BAD_TYPE;
    }

    return PDNS_OK;
}


static int
pdns_json_seen(pdns_record_t *r, json_t *object)
{
    json_t  *value;

    value = json_object_get(object, "timestamp_s");

    if (value == NULL) {
        value = json_object_get(object, "timestamp");
    }

    if (json_is_string(value)) {
        if (pdns_time_parse(&r->last, json_string_value(value),
                            json_string_length(value))
            != 0)
        {
            return -1;
        }

    } else if (pdns_json_number(value, (double) PDNS_TIME_MAX, &r->last) != 0
               || r->last == 0)
    {
        return -1;
    }

    r->first = r->last;

    return 0;
}


/* Twice through an array: what cannot be stored whole is not stored at all. */

static pdns_result_t
pdns_json_data(pdns_record_t *r, json_t *rdata, char *buf, size_t size,
    pdns_record_pt take, void *ctx)
{
    int       pass;
    size_t    i, n;
    json_t   *value;
    uint16_t  type;

    if (r->rcode.data != NULL) {
        take(ctx, r);
        return PDNS_OK;
    }

    type = r->rdata.type;
    n = json_is_array(rdata) ? json_array_size(rdata) : 1;

    if (n == 0) {
        return PDNS_BAD_RDATA;
    }

    for (pass = (n > 1) ? 0 : 1; pass < 2; pass++) {

        for (i = 0; i < n; i++) {
            value = json_is_array(rdata) ? json_array_get(rdata, i) : rdata;

            if (!json_is_string(value)) {
                return PDNS_BAD_FIELD;
            }

            if (pdns_rdata_parse(&r->rdata, type, json_string_value(value),
                                 json_string_length(value), buf, size)
                != 0)
            {
                return PDNS_BAD_RDATA;
            }

            if (pass == 1) {
                take(ctx, r);
            }
        }
    }

    return PDNS_OK;
}


/* *t stays as it is when there is none. */

static int
pdns_json_time(json_t *object, const char *key, uint64_t *t)
{
    json_t  *value;

    value = json_object_get(object, key);

    if (value == NULL || json_is_null(value)) {
        return 0;
    }

    return pdns_json_number(value, (double) PDNS_TIME_MAX, t) != 0 || *t == 0;
}


static int
pdns_json_text(json_t *object, const char *key, pdns_str_t *s)
{
    json_t  *value;

    s->data = NULL;
    s->len = 0;

    value = json_object_get(object, key);

    if (value == NULL || json_is_null(value)) {
        return 0;
    }

    if (!json_is_string(value)) {
        return -1;
    }

    s->data = json_string_value(value);
    s->len = json_string_length(value);

    return 0;
}


static int
pdns_json_number(json_t *value, double max, uint64_t *n)
{
    double  d;

    if (!json_is_number(value)) {
        return -1;
    }

    d = json_number_value(value);

    if (!(d >= 0) || d > max) {
        return -1;
    }

    *n = (uint64_t) d;

    return 0;
}

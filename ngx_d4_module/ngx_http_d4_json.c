
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * From what Redis said to what is answered.
 */


#include "ngx_http_d4_api.h"


#define NGX_HTTP_D4_DAYS  366          /* the longest range */


void
ngx_http_d4_json_string(d4_out_t *o, const char *key,
    ngx_http_d4_reply_t *reply)
{
    if (reply && (reply->type == REDIS_REPLY_STRING
                  || reply->type == REDIS_REPLY_STATUS))
    {
        d4_out_string(o, key, reply->str.data, reply->str.len);
        return;
    }

    d4_out_null(o, key);
}


int64_t
ngx_http_d4_number(ngx_http_d4_reply_t *reply, int64_t none)
{
    size_t   len;
    u_char  *dot;
    int64_t  n;

    if (reply == NULL) {
        return none;
    }

    if (reply->type == REDIS_REPLY_INTEGER) {
        return reply->integer;
    }

    if (reply->type != REDIS_REPLY_STRING) {
        return none;
    }

    /* the published server writes some times with a fraction */

    len = reply->str.len;
    dot = ngx_strlchr(reply->str.data, reply->str.data + len, '.');

    if (dot) {
        len = dot - reply->str.data;
    }

    return d4_number((char *) reply->str.data, len, INT64_MIN, INT64_MAX, &n)
           == 0 ? n : none;
}


void
ngx_http_d4_json_number(d4_out_t *o, const char *key,
    ngx_http_d4_reply_t *reply)
{
    int64_t  n;

    n = ngx_http_d4_number(reply, INT64_MIN);

    if (n == INT64_MIN) {
        d4_out_null(o, key);
        return;
    }

    d4_out_int(o, key, n);
}


void
ngx_http_d4_json_strings(d4_out_t *o, const char *key,
    ngx_http_d4_reply_t *reply)
{
    ngx_uint_t  i;

    d4_out_array(o, key);

    for (i = 0; i < reply->n; i++) {
        ngx_http_d4_json_string(o, NULL, &reply->element[i]);
    }

    d4_out_array_end(o);
}


ngx_http_d4_reply_t *
ngx_http_d4_field(ngx_http_d4_reply_t *reply, const char *name)
{
    size_t      len;
    ngx_uint_t  i;

    len = ngx_strlen(name);

    for (i = 0; i + 1 < reply->n; i += 2) {
        if (reply->element[i].str.len == len
            && ngx_memcmp(reply->element[i].str.data, name, len) == 0)
        {
            return &reply->element[i + 1];
        }
    }

    return NULL;
}


unsigned
ngx_http_d4_today(void)
{
    ngx_tm_t  tm;

    ngx_localtime(ngx_time(), &tm);

    return tm.ngx_tm_year * 10000 + tm.ngx_tm_mon * 100 + tm.ngx_tm_mday;
}


/* Without arguments: the last seven days, as the published server shows. */

ngx_int_t
ngx_http_d4_days(ngx_http_d4_api_t *a, unsigned *from, unsigned *to,
    ngx_uint_t *n)
{
    unsigned    day;
    d4_arg_t   *arg;
    ngx_uint_t  i;

    arg = ngx_http_d4_arg(a, "to");
    *to = arg ? d4_day_parse(arg->value, arg->value_len)
              : ngx_http_d4_today();

    if (*to == 0) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid to");
        return NGX_ERROR;
    }

    arg = ngx_http_d4_arg(a, "from");

    if (arg) {
        *from = d4_day_parse(arg->value, arg->value_len);

        if (*from == 0) {
            ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid from");
            return NGX_ERROR;
        }

    } else {
        *from = *to;

        for (i = 0; i < 6; i++) {
            *from = d4_day_before(*from);
        }
    }

    *n = 1;

    for (day = *from; day < *to && *n <= NGX_HTTP_D4_DAYS;
         day = d4_day_next(day))
    {
        (*n)++;
    }

    if (*from > *to || *n > NGX_HTTP_D4_DAYS) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST,
                          "from must be before to, and no more than %d days",
                          NGX_HTTP_D4_DAYS);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_d4_json_day(d4_out_t *o, const char *key, unsigned day)
{
    char  text[16];

    ngx_snprintf((u_char *) text, sizeof(text), "%04d-%02d-%02d%Z",
                 day / 10000, day / 100 % 100, day % 100);

    d4_out_text(o, key, text);
}


void
ngx_http_d4_json_scan(d4_out_t *o, ngx_http_d4_reply_t *cursor)
{
    if (cursor->str.len == 1 && cursor->str.data[0] == '0') {
        d4_out_null(o, "next");
        return;
    }

    ngx_http_d4_json_string(o, "next", cursor);
}


void
ngx_http_d4_json_dash(d4_out_t *o, const char *key,
    ngx_http_d4_reply_t *reply)
{
    if (reply && reply->str.len == 1 && reply->str.data[0] == '-') {
        d4_out_null(o, key);
        return;
    }

    ngx_http_d4_json_string(o, key, reply);
}

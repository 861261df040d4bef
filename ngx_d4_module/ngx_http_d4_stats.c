
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Statistics by day, and who was refused.
 */


#include "ngx_http_d4_api.h"


static void ngx_http_d4_stats(ngx_http_d4_api_t *a);
static void ngx_http_d4_stats_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_refusals(ngx_http_d4_api_t *a);
static void ngx_http_d4_refusals_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_refusal_days(ngx_http_d4_api_t *a);
static void ngx_http_d4_refusal_days_send(ngx_http_d4_api_t *a);


/*
 * key before and behind the day, the bytes' key behind it or "", limit,
 * day... -> {member, packets, ...}, {bytes, ...} for each day
 */

static const char  ngx_http_d4_script_stats[] =
    "local out={} "
    "for i=5,#ARGV do "
        "local d=ARGV[i] "
        "local r=redis.call('ZREVRANGE',ARGV[1]..d..ARGV[2],0,"
            "tonumber(ARGV[4])-1,'WITHSCORES') "
        "local b={} "
        "if ARGV[3]~='' and #r>0 then "
            "for j=1,#r,2 do b[#b+1]=redis.call('ZSCORE',"
                "'d4:bytes:'..d..ARGV[3],r[j]) end end "
        "out[#out+1]={r,b} end "
    "return out";

static const char  ngx_http_d4_script_refusal_days[] =
    "local out={} "
    "for _,d in ipairs(ARGV) do "
        "out[#out+1]=redis.call('HGETALL','d4:refused:'..d) end "
    "return out";


static const char *const  ngx_http_d4_by[] = {
    "type", "sensor", "address", NULL
};


const ngx_http_d4_route_t  ngx_http_d4_stat_routes[] = {

    { NGX_HTTP_GET, "stats", NGX_HTTP_D4_VIEWER, 0, ngx_http_d4_stats, NULL,
      "from to by limit sensor address type" },

    { NGX_HTTP_GET, "refusals", NGX_HTTP_D4_VIEWER, 0, ngx_http_d4_refusals,
      NULL, "limit next" },

    { NGX_HTTP_GET, "refusals/days", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_refusal_days, NULL, "from to" },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};


/*
 * Which sorted sets answer: of a day by what is asked for, or of one sensor,
 * address or type by the other.  NULL: there are none for that.
 */

static const char *
ngx_http_d4_stats_keys(ngx_uint_t by, const char *of, const char **bytes)
{
    static const struct {
        const char  *of;
        ngx_uint_t   by;
        const char  *key;
        const char  *bytes;
    } keys[] = {
        { "", 0, "daily_type:", ":type" },
        { "", 1, "daily_uuid:", ":uuid" },
        { "", 2, "daily_ip:", ":ip" },
        { "sensor", 0, "stat_uuid_type:", "" },
        { "sensor", 2, "stat_uuid_ip:", "" },
        { "address", 1, "stat_ip_uuid:", "" },
        { "type", 1, "stat_type_uuid:", "" }
    };

    ngx_uint_t  i;

    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (keys[i].by == by && ngx_strcmp(keys[i].of, of) == 0) {
            *bytes = keys[i].bytes;
            return keys[i].key;
        }
    }

    return NULL;
}


/* The sensor, address or type that is asked for, as keys spell it. */

static ngx_int_t
ngx_http_d4_stats_of(ngx_http_d4_api_t *a, const char **of, ngx_str_t *value)
{
    char         text[D4_ADDR_TEXT];
    int64_t      type;
    unsigned     prefix;
    d4_arg_t    *sensor, *address, *arg;
    d4_addr_t    addr;

    sensor = ngx_http_d4_arg(a, "sensor");
    address = ngx_http_d4_arg(a, "address");
    arg = ngx_http_d4_arg(a, "type");

    *of = "";
    ngx_str_null(value);

    if ((sensor != NULL) + (address != NULL) + (arg != NULL) > 1) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST,
                          "One of sensor, address and type");
        return NGX_ERROR;
    }

    if (sensor) {
        if (ngx_http_d4_set_uuid(a, sensor->value, sensor->value_len)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        *of = "sensor";
        *value = a->uuid;

    } else if (address) {
        if (d4_net_parse(address->value, address->value_len, &addr, &prefix)
            != 0
            || prefix != addr.bits)
        {
            ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid address");
            return NGX_ERROR;
        }

        *of = "address";
        *value = ngx_http_d4_copy(a, text, d4_addr_text(text, &addr));

    } else if (arg) {
        if (d4_number(arg->value, arg->value_len, 0, 255, &type) != 0) {
            ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid type");
            return NGX_ERROR;
        }

        *of = "type";
        value->len = ngx_sprintf((u_char *) text, "%L", type)
                     - (u_char *) text;
        *value = ngx_http_d4_copy(a, text, value->len);
    }

    return NGX_OK;
}


static void
ngx_http_d4_stats(ngx_http_d4_api_t *a)
{
    int64_t       limit;
    unsigned      from, to, day;
    ngx_str_t     value;
    ngx_uint_t    i, n, by;
    const char   *of, *key, *bytes;
    ngx_array_t  *words;

    by = 0;
    limit = 100;

    if (ngx_http_d4_days(a, &from, &to, &n) != NGX_OK
        || ngx_http_d4_arg_word(a, "by", ngx_http_d4_by, &by) != NGX_OK
        || ngx_http_d4_arg_number(a, "limit", 1, 1000, &limit) != NGX_OK
        || ngx_http_d4_stats_of(a, &of, &value) != NGX_OK)
    {
        return;
    }

    /* what is said of one is by the other */

    if (*of && ngx_http_d4_arg(a, "by") == NULL) {
        by = (*of == 's') ? 0 : 1;
    }

    key = ngx_http_d4_stats_keys(by, of, &bytes);

    if (key == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST,
                          "There are no such statistics");
        return;
    }

    /* a page of days times members is bounded as one of members is */

    if ((int64_t) n * limit > 40000) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST,
                          "Too many days for that limit");
        return;
    }

    words = ngx_http_d4_words(a, "EVAL %s 0 %s %s%V %s %L",
                              ngx_http_d4_script_stats, key, *of ? ":" : "",
                              &value, bytes, limit);
    day = from;

    for (i = 0; i < n; i++) {
        ngx_http_d4_word_number(words, day);
        day = d4_day_next(day);
    }

    a->number = from;
    a->data = (void *) ngx_http_d4_by[by];

    ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);
    ngx_http_d4_wait(a, ngx_http_d4_stats_send);
}


static void
ngx_http_d4_stats_send(ngx_http_d4_api_t *a)
{
    unsigned              day;
    ngx_uint_t            i, j;
    ngx_http_d4_reply_t  *r, *bytes;

    day = a->number;

    d4_out_object(&a->out, NULL);
    d4_out_text(&a->out, "by", a->data);
    d4_out_array(&a->out, "days");

    for (i = 0; i < a->reply[0]->n; i++) {
        r = &a->reply[0]->element[i].element[0];
        bytes = &a->reply[0]->element[i].element[1];

        d4_out_object(&a->out, NULL);
        ngx_http_d4_json_day(&a->out, "date", day);
        d4_out_array(&a->out, "values");

        for (j = 0; j + 1 < r->n; j += 2) {
            d4_out_object(&a->out, NULL);
            ngx_http_d4_json_string(&a->out, "key", &r->element[j]);
            d4_out_int(&a->out, "packets",
                       ngx_http_d4_number(&r->element[j + 1], 0));

            if (j / 2 < bytes->n) {
                d4_out_int(&a->out, "bytes",
                           ngx_http_d4_number(&bytes->element[j / 2], 0));
            }

            d4_out_object_end(&a->out);
        }

        d4_out_array_end(&a->out);
        d4_out_object_end(&a->out);

        day = d4_day_next(day);
    }

    d4_out_array_end(&a->out);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


/* Newest first. */

static void
ngx_http_d4_refusals(ngx_http_d4_api_t *a)
{
    int64_t    limit;
    ngx_str_t  last;

    limit = 100;

    if (ngx_http_d4_arg_number(a, "limit", 1, 1000, &limit) != NGX_OK
        || ngx_http_d4_arg_entry(a, "next", &last) != NGX_OK)
    {
        return;
    }

    a->number = limit;

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA,
                    "XREVRANGE d4:refused %V - COUNT %L", &last, limit);
    ngx_http_d4_wait(a, ngx_http_d4_refusals_send);
}


static void
ngx_http_d4_refusals_send(ngx_http_d4_api_t *a)
{
    ngx_str_t             next;
    ngx_uint_t            i;
    ngx_http_d4_reply_t  *e;

    ngx_str_null(&next);

    d4_out_object(&a->out, NULL);
    d4_out_array(&a->out, "refusals");

    for (i = 0; i < a->reply[0]->n; i++) {
        e = &a->reply[0]->element[i];
        next = e->element[0].str;
        e = &e->element[1];

        d4_out_object(&a->out, NULL);
        ngx_http_d4_json_string(&a->out, "address",
                                ngx_http_d4_field(e, "address"));
        ngx_http_d4_json_string(&a->out, "reason",
                                ngx_http_d4_field(e, "reason"));
        ngx_http_d4_json_dash(&a->out, "uuid", ngx_http_d4_field(e, "uuid"));
        ngx_http_d4_json_number(&a->out, "type",
                                ngx_http_d4_field(e, "type"));
        ngx_http_d4_json_number(&a->out, "count",
                                ngx_http_d4_field(e, "count"));
        ngx_http_d4_json_number(&a->out, "first",
                                ngx_http_d4_field(e, "first"));
        ngx_http_d4_json_number(&a->out, "last",
                                ngx_http_d4_field(e, "last"));
        d4_out_object_end(&a->out);
    }

    d4_out_array_end(&a->out);

    if (a->reply[0]->n == (ngx_uint_t) a->number) {
        d4_out_string(&a->out, "next", next.data, next.len);

    } else {
        d4_out_null(&a->out, "next");
    }

    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_refusal_days(ngx_http_d4_api_t *a)
{
    unsigned      from, to, day;
    ngx_uint_t    i, n;
    ngx_array_t  *words;

    if (ngx_http_d4_days(a, &from, &to, &n) != NGX_OK) {
        return;
    }

    words = ngx_http_d4_words(a, "EVAL %s 0",
                              ngx_http_d4_script_refusal_days);
    day = from;

    for (i = 0; i < n; i++) {
        ngx_http_d4_word_number(words, day);
        day = d4_day_next(day);
    }

    a->number = from;

    ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);
    ngx_http_d4_wait(a, ngx_http_d4_refusal_days_send);
}


static void
ngx_http_d4_refusal_days_send(ngx_http_d4_api_t *a)
{
    unsigned              day;
    ngx_uint_t            i, j;
    ngx_http_d4_reply_t  *e;

    day = a->number;

    d4_out_object(&a->out, NULL);
    d4_out_array(&a->out, "days");

    for (i = 0; i < a->reply[0]->n; i++) {
        e = &a->reply[0]->element[i];

        d4_out_object(&a->out, NULL);
        ngx_http_d4_json_day(&a->out, "date", day);
        d4_out_object(&a->out, "reasons");

        for (j = 0; j + 1 < e->n; j += 2) {
            d4_out_key(&a->out, e->element[j].str.data, e->element[j].str.len);
            d4_out_int(&a->out, NULL,
                       ngx_http_d4_number(&e->element[j + 1], 0));
        }

        d4_out_object_end(&a->out);
        d4_out_object_end(&a->out);

        day = d4_day_next(day);
    }

    d4_out_array_end(&a->out);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}

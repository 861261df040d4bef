
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Arguments of a lookup, and the headers that mean the same.
 */


#include "ngx_http_pdns.h"


static ngx_uint_t ngx_http_pdns_accepts(ngx_http_request_t *r);
static ngx_uint_t ngx_http_pdns_accepted(u_char *p, u_char *last);
static ngx_int_t ngx_http_pdns_headers(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx);
static ngx_int_t ngx_http_pdns_arg_types(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx, ngx_str_t *value, ngx_uint_t data);
static ngx_int_t ngx_http_pdns_arg_limit(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx, ngx_str_t *value, ngx_uint_t data);
static ngx_int_t ngx_http_pdns_arg_number(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx, ngx_str_t *value, ngx_uint_t data);
static ngx_int_t ngx_http_pdns_arg_cursor(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx, ngx_str_t *value, ngx_uint_t data);
static ngx_int_t ngx_http_pdns_arg_time(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx, ngx_str_t *value, ngx_uint_t data);
static ngx_int_t ngx_http_pdns_arg_flag(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx, ngx_str_t *value, ngx_uint_t data);
static ngx_int_t ngx_http_pdns_arg_rdata(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx, ngx_str_t *value, ngx_uint_t data);
static ngx_int_t ngx_http_pdns_arg_sort(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx, ngx_str_t *value, ngx_uint_t data);
static ngx_int_t ngx_http_pdns_arg_errors(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx, ngx_str_t *value, ngx_uint_t data);
static ngx_int_t ngx_http_pdns_arg_expand(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx, ngx_str_t *value, ngx_uint_t data);


typedef struct {
    ngx_str_t                  name;
    ngx_int_t                (*set)(ngx_http_request_t *r,
                                    ngx_http_pdns_ctx_t *ctx, ngx_str_t *value,
                                    ngx_uint_t data);
    ngx_uint_t                 data;
} ngx_http_pdns_arg_t;


static ngx_http_pdns_arg_t  ngx_http_pdns_cof_args[] = {
    { ngx_string("rrtype"), ngx_http_pdns_arg_types, 0 },
    { ngx_string("limit"), ngx_http_pdns_arg_limit, 0 },
    { ngx_string("cursor"), ngx_http_pdns_arg_cursor, 0 },
    { ngx_string("time_first_after"), ngx_http_pdns_arg_time,
      offsetof(pdns_filter_t, first_after) },
    { ngx_string("time_first_before"), ngx_http_pdns_arg_time,
      offsetof(pdns_filter_t, first_before) },
    { ngx_string("time_last_after"), ngx_http_pdns_arg_time,
      offsetof(pdns_filter_t, last_after) },
    { ngx_string("time_last_before"), ngx_http_pdns_arg_time,
      offsetof(pdns_filter_t, last_before) },
    { ngx_string("sort"), ngx_http_pdns_arg_sort, 0 },
    { ngx_string("expand"), ngx_http_pdns_arg_expand, 0 },
    { ngx_string("errors"), ngx_http_pdns_arg_errors, 0 },
    { ngx_string("rdata"), ngx_http_pdns_arg_rdata, 0 },
    { ngx_string("rfc3339"), ngx_http_pdns_arg_flag, PDNS_COF_RFC3339 },
    { ngx_string("ms"), ngx_http_pdns_arg_flag, PDNS_COF_MS },
    { ngx_null_string, NULL, 0 }
};


static ngx_http_pdns_arg_t  ngx_http_pdns_dnsdb_args[] = {
    { ngx_string("limit"), ngx_http_pdns_arg_limit, 1 },
    { ngx_string("offset"), ngx_http_pdns_arg_number,
      offsetof(ngx_http_pdns_ctx_t, offset) },
    { ngx_string("max_count"), ngx_http_pdns_arg_number,
      offsetof(ngx_http_pdns_ctx_t, max_count) },
    { ngx_string("time_first_after"), ngx_http_pdns_arg_time,
      offsetof(pdns_filter_t, first_after) },
    { ngx_string("time_first_before"), ngx_http_pdns_arg_time,
      offsetof(pdns_filter_t, first_before) },
    { ngx_string("time_last_after"), ngx_http_pdns_arg_time,
      offsetof(pdns_filter_t, last_after) },
    { ngx_string("time_last_before"), ngx_http_pdns_arg_time,
      offsetof(pdns_filter_t, last_before) },
    { ngx_string("humantime"), ngx_http_pdns_arg_flag, PDNS_COF_HUMAN },
    { ngx_string("aggr"), ngx_http_pdns_arg_flag, 0 },   /* always is */
    { ngx_null_string, NULL, 0 }
};


/*
 * Arguments that are not known are left alone, as other services do.  Headers
 * come first, so that an argument overrides its header.  NGX_DECLINED: all is
 * well; else what the handler is to return, an error was sent.
 */

ngx_int_t
ngx_http_pdns_args(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx)
{
    u_char                text[64];
    ngx_int_t             rc;
    ngx_str_t             value;
    ngx_http_pdns_arg_t  *args;

    args = (ctx->form == NGX_HTTP_PDNS_SAF
            || ctx->form == NGX_HTTP_PDNS_DNSDB_1)
           ? ngx_http_pdns_dnsdb_args : ngx_http_pdns_cof_args;

    if (ctx->form == NGX_HTTP_PDNS_COF || ctx->form == NGX_HTTP_PDNS_BULK) {
        rc = ngx_http_pdns_headers(r, ctx);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (ctx->form == NGX_HTTP_PDNS_SAF && !ngx_http_pdns_accepts(r)) {
        return ngx_http_pdns_error(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                   "accept",
                                   "answers are application/x-ndjson");
    }

    for ( /* void */ ; args->set != NULL; args++) {

        if (ngx_http_arg(r, args->name.data, args->name.len, &value)
            != NGX_OK)
        {
            continue;
        }

        if (ngx_http_pdns_unescape(r, &value) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (args->set(r, ctx, &value, args->data) != NGX_OK) {
            ngx_sprintf(text, "the argument %V is not valid%Z", &args->name);

            return ngx_http_pdns_error(r, NGX_HTTP_BAD_REQUEST, "argument",
                                       (char *) text);
        }
    }

    if (ctx->offset > NGX_HTTP_PDNS_OFFSET) {
        return ngx_http_pdns_error(r, NGX_HTTP_RANGE_NOT_SATISFIABLE, "offset",
                                   "the offset is too large");
    }

    if (ctx->expand && (ctx->form != NGX_HTTP_PDNS_COF || ctx->from != NULL
                        || ctx->kept.len != 0))
    {
        return ngx_http_pdns_error(r, NGX_HTTP_BAD_REQUEST, "argument",
                                   "an expanded answer has no pages");
    }

    ctx->expanded = ctx->expand;

    return NGX_DECLINED;
}


/*
 * 0: the client takes none of what JSON lines may be called.  All of its
 * Accept headers are one list (RFC 9110, section 12.5.1); none is any.
 */

static ngx_uint_t
ngx_http_pdns_accepts(ngx_http_request_t *r)
{
    u_char           *p, *last, *comma;
    ngx_uint_t        i, named;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    named = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len != sizeof("Accept") - 1
                || ngx_strncasecmp(h[i].key.data, (u_char *) "Accept", 6)
                   != 0)
            {
                continue;
            }

            last = h[i].value.data + h[i].value.len;

            for (p = h[i].value.data; p < last; p = comma + 1) {
                comma = ngx_strlchr(p, last, ',');
                comma = (comma == NULL) ? last : comma;
                named = 1;

                if (ngx_http_pdns_accepted(p, comma)) {
                    return 1;
                }
            }
        }
    }

    return !named;
}


/* One element of the list; its weight is looked at for being zero. */

static ngx_uint_t
ngx_http_pdns_accepted(u_char *p, u_char *last)
{
    u_char      *end;
    size_t       len;
    ngx_uint_t   i;

    static ngx_str_t  types[] = {
        ngx_string("*/*"),
        ngx_string("application/*"),
        ngx_string("application/x-ndjson"),
        ngx_string("application/jsonl"),
        ngx_string("application/json")
    };

    while (p < last && (*p == ' ' || *p == '\t')) { p++; }

    for (end = p; end < last && *end != ';' && *end != ' ' && *end != '\t';
         end++)
    {
        /* void */
    }

    len = end - p;

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (types[i].len == len
            && ngx_strncasecmp(types[i].data, p, len) == 0)
        {
            break;
        }
    }

    if (i == sizeof(types) / sizeof(types[0])) {
        return 0;
    }

    p = ngx_strlcasestrn(end, last, (u_char *) "q=", 2 - 1);

    if (p == NULL) {
        return 1;
    }

    for (p += 2; p < last && (*p == '0' || *p == '.'); p++) { /* void */ }

    return p < last && *p >= '1' && *p <= '9';
}


static ngx_int_t
ngx_http_pdns_headers(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx)
{
    ngx_int_t         rc;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NGX_DECLINED;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len < sizeof("dribble-") - 1
            || ngx_strncasecmp(h[i].key.data, (u_char *) "dribble-", 8) != 0)
        {
            continue;
        }

        rc = NGX_OK;

#define ngx_http_pdns_dribble(text)                                           \
    (h[i].key.len == sizeof(text) - 1                                         \
     && ngx_strncasecmp(h[i].key.data, (u_char *) text, sizeof(text) - 1)     \
        == 0)

        if (ngx_http_pdns_dribble("dribble-paginate-count")) {
            ctx->paged = 1;
            rc = ngx_http_pdns_arg_limit(r, ctx, &h[i].value, 0);

        } else if (ngx_http_pdns_dribble("dribble-paginate-cursor")) {
            rc = ngx_http_pdns_arg_cursor(r, ctx, &h[i].value, 0);

        } else if (ngx_http_pdns_dribble("dribble-filter-rrtype")) {
            rc = ngx_http_pdns_arg_types(r, ctx, &h[i].value, 0);
        }

        if (rc != NGX_OK) {
            return ngx_http_pdns_error(r, NGX_HTTP_BAD_REQUEST, "header",
                                       "a dribble header is not valid");
        }
    }
}


static ngx_int_t
ngx_http_pdns_arg_types(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx,
    ngx_str_t *value, ngx_uint_t data)
{
    return (pdns_filter_types(&ctx->filter, (char *) value->data, value->len,
                              0)
            == 0)
           ? NGX_OK : NGX_ERROR;
}


/* dnsdb: 0 is as much as there may be */

static ngx_int_t
ngx_http_pdns_arg_limit(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx,
    ngx_str_t *value, ngx_uint_t dnsdb)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n == NGX_ERROR || (n == 0 && !dnsdb)) {
        return NGX_ERROR;
    }

    if (dnsdb) {
        ctx->limit = (n == 0 || n > NGX_HTTP_PDNS_MAX) ? NGX_HTTP_PDNS_MAX : n;

    } else {
        ctx->limit = ngx_min((ngx_uint_t) n, ctx->conf->limit);
    }

    ctx->capped = (ctx->limit < (uint64_t) n);

    return NGX_OK;
}


static ngx_int_t
ngx_http_pdns_arg_number(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx,
    ngx_str_t *value, ngx_uint_t data)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    *(uint64_t *) ((u_char *) ctx + data) = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_pdns_arg_cursor(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx,
    ngx_str_t *value, ngx_uint_t data)
{
    off_t           n;
    pdns_cursor_t  *from;

    from = ngx_palloc(r->pool, sizeof(pdns_cursor_t));
    if (from == NULL) {
        return NGX_ERROR;
    }

    ctx->kept.len = 0;

    n = ngx_atoof(value->data, value->len);

    if (n == NGX_ERROR) {

        if (pdns_cursor_parse(from, (char *) value->data, value->len) != 0) {
            return NGX_ERROR;
        }

        ctx->from = from;
        return NGX_OK;
    }

    if ((uint64_t) n >= PDNS_CURSOR_KEPT) {
        ctx->kept = *value;
        return NGX_OK;
    }

    if (pdns_cursor_numbered(from, (uint64_t) n) != 0) {
        return NGX_ERROR;
    }

    ctx->from = from;

    return NGX_OK;
}


static ngx_int_t
ngx_http_pdns_arg_time(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx,
    ngx_str_t *value, ngx_uint_t data)
{
    return (pdns_filter_time((uint64_t *) ((u_char *) &ctx->filter + data),
                             (char *) value->data, value->len,
                             (uint64_t) ngx_time())
            == 0)
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_pdns_truth(ngx_str_t *value)
{
    if (value->len != 1) {
        return NGX_ERROR;
    }

    switch (value->data[0]) {

    case '1':
    case 't':
    case 'T':
        return 1;

    case '0':
    case 'f':
    case 'F':
        return 0;

    default:
        return NGX_ERROR;
    }
}


static ngx_int_t
ngx_http_pdns_arg_flag(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx,
    ngx_str_t *value, ngx_uint_t data)
{
    ngx_int_t  on;

    on = ngx_http_pdns_truth(value);

    if (on == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (on) {
        ctx->flags |= data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_pdns_arg_rdata(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx,
    ngx_str_t *value, ngx_uint_t data)
{
    if (value->len == 5 && ngx_memcmp(value->data, "array", 5) == 0) {
        ctx->flags |= PDNS_COF_ARRAY;
        return NGX_OK;
    }

    return (value->len == 6 && ngx_memcmp(value->data, "string", 6) == 0)
           ? NGX_OK : NGX_ERROR;
}


/* Of one key only: where there are many, it is their order that counts. */

static ngx_int_t
ngx_http_pdns_arg_sort(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx,
    ngx_str_t *value, ngx_uint_t data)
{
    if (value->len == 9 && ngx_memcmp(value->data, "time_last", 9) == 0) {
        ctx->oldest = 0;
        return NGX_OK;
    }

    if (value->len != 10 || ngx_memcmp(value->data, "-time_last", 10) != 0
        || ctx->form != NGX_HTTP_PDNS_COF)
    {
        return NGX_ERROR;
    }

    switch (ctx->value.find) {

    case PDNS_FIND_ADDR:
        if (ngx_memcmp(ctx->value.low, ctx->value.high, ctx->value.alen)
            != 0)
        {
            return NGX_ERROR;
        }

        break;

    case PDNS_FIND_NAME:
    case PDNS_FIND_TARGET:
    case PDNS_FIND_DATA:
        break;

    default:
        return NGX_ERROR;
    }

    ctx->oldest = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_pdns_arg_expand(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx,
    ngx_str_t *value, ngx_uint_t data)
{
    ngx_int_t  on;

    on = ngx_http_pdns_truth(value);

    if (on == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* names have nothing to expand; of many keys it would be too much */

    ctx->expand = on
                  && (ctx->value.find == PDNS_FIND_TARGET
                      || (ctx->value.find == PDNS_FIND_ADDR
                          && ngx_memcmp(ctx->value.low, ctx->value.high,
                                        ctx->value.alen)
                             == 0));

    return NGX_OK;
}


/* Of names only; those of a bulk request are looked at later. */

static ngx_int_t
ngx_http_pdns_arg_errors(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx,
    ngx_str_t *value, ngx_uint_t data)
{
    ngx_int_t  on;

    on = ngx_http_pdns_truth(value);

    if (on == NGX_ERROR
        || (on && ctx->form == NGX_HTTP_PDNS_COF && !ctx->all
            && ctx->value.find != PDNS_FIND_NAME))
    {
        return NGX_ERROR;
    }

    ctx->errors = on;

    return NGX_OK;
}

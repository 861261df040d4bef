
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * From a URI, its arguments and a few headers to what is asked for.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_PARTS  8         /* of a path, behind the location */


typedef struct {
    ngx_str_t                  part[NGX_HTTP_PDNS_PARTS];   /* not unescaped */
    ngx_uint_t                 n;
} ngx_http_pdns_path_t;


static void ngx_http_pdns_path(ngx_http_request_t *r,
    ngx_http_pdns_path_t *path);
static ngx_int_t ngx_http_pdns_many(ngx_http_request_t *r);
static ngx_int_t ngx_http_pdns_everything(ngx_http_request_t *r);
static ngx_int_t ngx_http_pdns_query(ngx_http_request_t *r,
    ngx_http_pdns_path_t *path, ngx_uint_t rdata);
static ngx_int_t ngx_http_pdns_dnsdb(ngx_http_request_t *r,
    ngx_http_pdns_path_t *path, ngx_uint_t at, ngx_http_pdns_form_t form);
static ngx_int_t ngx_http_pdns_dnsdb_value(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_path_t *path, ngx_uint_t at);
static const char *ngx_http_pdns_raw(ngx_http_pdns_ctx_t *ctx,
    ngx_uint_t rdata);
static ngx_http_pdns_ctx_t *ngx_http_pdns_create(ngx_http_request_t *r);
static ngx_int_t ngx_http_pdns_origin(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx);


static ngx_uint_t
ngx_http_pdns_is(ngx_http_pdns_path_t *path, ngx_uint_t i, const char *text)
{
    return path->n > i && path->part[i].len == ngx_strlen(text)
           && ngx_memcmp(path->part[i].data, text, path->part[i].len) == 0;
}


ngx_int_t
ngx_http_pdns_handler(ngx_http_request_t *r)
{
    ngx_uint_t                 get, i;
    ngx_http_pdns_path_t       path;
    ngx_http_pdns_loc_conf_t  *plcf;

    static ngx_str_t  type = ngx_string("application/json");
    static ngx_str_t  pong = ngx_string("{\"ping\":\"ok\"}\n");
    static ngx_str_t  rate = ngx_string(
        "{\"rate\":{\"limit\":\"unlimited\",\"remaining\":\"n/a\","
        "\"reset\":\"n/a\","
        "\"results_max\":" ngx_value(NGX_HTTP_PDNS_MAX) ","
        "\"offset_max\":" ngx_value(NGX_HTTP_PDNS_OFFSET) "}}\n");

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;     /* the access phase was not for it */
    }

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_pdns_module);
    get = (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) != 0;

    ngx_http_pdns_path(r, &path);

    if (path.n == 1 && ngx_http_pdns_is(&path, 0, "ingest") && plcf->ingest) {
        return (r->method == NGX_HTTP_POST)
               ? ngx_http_pdns_ingest(r)
               : ngx_http_pdns_error(r, NGX_HTTP_NOT_ALLOWED, "post",
                                     "records are posted here");
    }

    if (path.n == 1 && ngx_http_pdns_is(&path, 0, "bulk")) {
        return (r->method == NGX_HTTP_POST)
               ? ngx_http_pdns_many(r)
               : ngx_http_pdns_error(r, NGX_HTTP_NOT_ALLOWED, "post",
                                     "values are posted here, one a line");
    }

    if (!get) {
        return ngx_http_pdns_error(r, NGX_HTTP_NOT_ALLOWED, "method",
                                   "only GET and HEAD are possible here");
    }

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (path.n == 1 && ngx_http_pdns_is(&path, 0, "info")) {
        return ngx_http_pdns_info(r);
    }

    if (path.n == 1 && ngx_http_pdns_is(&path, 0, "export") && plcf->export) {
        return ngx_http_pdns_everything(r);
    }

    if (path.n > 1 && ngx_http_pdns_is(&path, 0, "query")) {
        return ngx_http_pdns_query(r, &path, 0);
    }

    if (path.n > 1 && ngx_http_pdns_is(&path, 0, "fquery")) {
        return ngx_http_pdns_query(r, &path, 1);
    }

    i = ngx_http_pdns_is(&path, 0, "dnsdb") ? 1 : 0;

    if (ngx_http_pdns_is(&path, i, "v2")) {
        i++;

        if (path.n == i + 1 && ngx_http_pdns_is(&path, i, "ping")) {
            return ngx_http_pdns_text(r, NGX_HTTP_OK, &type, &pong);
        }

        if (path.n == i + 1 && ngx_http_pdns_is(&path, i, "rate_limit")) {
            return ngx_http_pdns_text(r, NGX_HTTP_OK, &type, &rate);
        }

        if (ngx_http_pdns_is(&path, i, "lookup")
            || ngx_http_pdns_is(&path, i, "summarize"))
        {
            return ngx_http_pdns_dnsdb(r, &path, i, NGX_HTTP_PDNS_SAF);
        }

    } else if (path.n == i + 2 && ngx_http_pdns_is(&path, i, "lookup")
               && ngx_http_pdns_is(&path, i + 1, "rate_limit"))
    {
        return ngx_http_pdns_text(r, NGX_HTTP_OK, &type, &rate);

    } else if (ngx_http_pdns_is(&path, i, "lookup")
               || ngx_http_pdns_is(&path, i, "summarize"))
    {
        return ngx_http_pdns_dnsdb(r, &path, i, NGX_HTTP_PDNS_DNSDB_1);
    }

    return ngx_http_pdns_error(r, NGX_HTTP_NOT_FOUND, "route",
                               "there is nothing at this path");
}


/*
 * The parts of the path as the client sent it: a "%2F" in a name is no slash.
 * The last part that there is room for holds all that follows.
 */

static void
ngx_http_pdns_path(ngx_http_request_t *r, ngx_http_pdns_path_t *path)
{
    size_t                     i;
    u_char                    *p, *last, *start;
    ngx_uint_t                 skip;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    p = r->unparsed_uri.data;
    last = p + r->unparsed_uri.len;

    for (i = 0; i < r->unparsed_uri.len; i++) {
        if (p[i] == '?' || p[i] == '#') {
            last = p + i;
            break;
        }
    }

    skip = 0;

#if (NGX_PCRE)
    if (clcf->regex == NULL)
#endif
    {
        for (i = 1; i < clcf->name.len; i++) {
            skip += (clcf->name.data[i] != '/'
                     && clcf->name.data[i - 1] == '/');
        }
    }

    path->n = 0;

    while (p < last) {

        if (*p == '/') {
            p++;
            continue;
        }

        start = p;

        if (skip == 0 && path->n == NGX_HTTP_PDNS_PARTS - 1) {
            p = last;

        } else {
            while (p < last && *p != '/') { p++; }
        }

        if (skip != 0) {
            skip--;
            continue;
        }

        path->part[path->n].data = start;
        path->part[path->n].len = p - start;
        path->n++;
    }
}


static ngx_int_t
ngx_http_pdns_many(ngx_http_request_t *r)
{
    ngx_int_t             rc;
    ngx_http_pdns_ctx_t  *ctx;

    ctx = ngx_http_pdns_create(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->form = NGX_HTTP_PDNS_BULK;

    rc = ngx_http_pdns_args(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ctx->from != NULL || ctx->kept.len != 0) {
        return ngx_http_pdns_error(r, NGX_HTTP_BAD_REQUEST, "argument",
                                   "a bulk answer has no pages");
    }

    return ngx_http_pdns_bulk(r, ctx);
}


static ngx_int_t
ngx_http_pdns_everything(ngx_http_request_t *r)
{
    size_t                i;
    ngx_str_t             value;
    ngx_http_pdns_ctx_t  *ctx;

    ctx = ngx_http_pdns_create(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->all = 1;
    ctx->capped = 0;
    ctx->limit = UINT64_MAX;

    if (ngx_http_arg(r, (u_char *) "cursor", 6, &ctx->scan) == NGX_OK) {

        for (i = 0; i < ctx->scan.len; i++) {
            if (ctx->scan.data[i] < '0' || ctx->scan.data[i] > '9') {
                break;
            }
        }

        if (i == 0 || i != ctx->scan.len || i > 20) {
            return ngx_http_pdns_error(r, NGX_HTTP_BAD_REQUEST, "cursor",
                                       "the cursor is not valid");
        }
    }

    if (ngx_http_arg(r, (u_char *) "errors", 6, &value) == NGX_OK) {

        if (value.len != 1 || (value.data[0] != '0' && value.data[0] != '1')) {
            return ngx_http_pdns_error(r, NGX_HTTP_BAD_REQUEST, "argument",
                                       "the argument errors is not valid");
        }

        ctx->errors = (value.data[0] == '1');
    }

    return ngx_http_pdns_lookup(r, ctx);
}


static ngx_http_pdns_ctx_t *
ngx_http_pdns_create(ngx_http_request_t *r)
{
    ngx_http_pdns_ctx_t  *ctx;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_pdns_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    ctx->request = r;
    ctx->conf = ngx_http_get_module_loc_conf(r, ngx_http_pdns_module);
    ctx->limit = ctx->conf->limit;
    ctx->capped = 1;

    ngx_http_set_ctx(r, ctx, ngx_http_pdns_module);

    if (ngx_http_pdns_origin(r, ctx) != NGX_OK) {
        return NULL;
    }

    return ctx;
}


/* The URI of this service, unless one is configured. */

static ngx_int_t
ngx_http_pdns_origin(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx)
{
    u_char                    *p;
    ngx_str_t                  host;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_core_srv_conf_t  *cscf;

    ctx->origin = ctx->conf->origin;

    if (ctx->origin.len != 0) {
        return NGX_OK;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    host = r->headers_in.server;

    if (host.len == 0) {
        host = cscf->server_name;
    }

    if (host.len == 0) {
        ngx_str_set(&host, "localhost");
    }

    p = ngx_pnalloc(r->pool, sizeof("https:///") + host.len + clcf->name.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->origin.data = p;

    p = ngx_cpymem(p, "http", 4);

#if (NGX_HTTP_SSL)
    if (r->connection->ssl) {
        *p++ = 's';
    }
#endif

    p = ngx_cpymem(p, "://", 3);
    p = ngx_cpymem(p, host.data, host.len);

    if (clcf->name.len != 0 && clcf->name.data[0] == '/'
#if (NGX_PCRE)
        && clcf->regex == NULL
#endif
       )
    {
        p = ngx_cpymem(p, clcf->name.data, clcf->name.len);

    } else {
        *p++ = '/';
    }

    ctx->origin.len = p - ctx->origin.data;

    return NGX_OK;
}


/* A network's slash makes two parts of it. */

static ngx_int_t
ngx_http_pdns_query(ngx_http_request_t *r, ngx_http_pdns_path_t *path,
    ngx_uint_t rdata)
{
    ngx_int_t             rc;
    const char           *wrong;
    ngx_http_pdns_ctx_t  *ctx;

    ctx = ngx_http_pdns_create(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->text.data = path->part[1].data;
    ctx->text.len = path->part[path->n - 1].data + path->part[path->n - 1].len
                    - ctx->text.data;

    if (ngx_http_pdns_unescape(r, &ctx->text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    wrong = pdns_value_parse(&ctx->value, (char *) ctx->text.data,
                             ctx->text.len, rdata);

    if (wrong != NULL) {
        return ngx_http_pdns_error(r, NGX_HTTP_BAD_REQUEST, "value", wrong);
    }

    rc = ngx_http_pdns_args(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_pdns_lookup(r, ctx);
}


/*
 * .../{lookup|summarize}/{rrset|rdata}/{name|ip|raw}/VALUE[/TYPE[/BAILIWICK]]
 */

static ngx_int_t
ngx_http_pdns_dnsdb(ngx_http_request_t *r, ngx_http_pdns_path_t *path,
    ngx_uint_t at, ngx_http_pdns_form_t form)
{
    ngx_int_t             rc;
    ngx_str_t             bailiwick;
    pdns_name_t           name;
    ngx_http_pdns_ctx_t  *ctx;

    ctx = ngx_http_pdns_create(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->form = form;
    ctx->flags = PDNS_COF_ARRAY|PDNS_COF_DOTS|PDNS_COF_TYPES;
    ctx->summarize = (path->part[at].len == sizeof("summarize") - 1);

    if (form == NGX_HTTP_PDNS_SAF) {
        ctx->flags |= PDNS_COF_SAF;
    }

    rc = ngx_http_pdns_dnsdb_value(r, ctx, path, at + 1);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    ctx->filter.types = PDNS_TYPES_PLAIN;

    if (path->n > at + 4) {
        if (ngx_http_pdns_unescape(r, &path->part[at + 4]) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (pdns_filter_types(&ctx->filter,
                              (char *) path->part[at + 4].data,
                              path->part[at + 4].len, 1)
            != 0)
        {
            return ngx_http_pdns_error(r, NGX_HTTP_BAD_REQUEST, "rrtype",
                                       "there is no such type");
        }
    }

    if (path->n > at + 5) {
        bailiwick = path->part[at + 5];

        if (path->n > at + 6 || ngx_http_pdns_is(path, at + 1, "rdata")
            || ngx_http_pdns_unescape(r, &bailiwick) != NGX_OK
            || pdns_name_parse(&name, (char *) bailiwick.data, bailiwick.len)
               != 0)
        {
            return ngx_http_pdns_error(r, NGX_HTTP_BAD_REQUEST, "bailiwick",
                                       "the bailiwick is not valid");
        }

        ctx->bailiwick.data = ngx_pnalloc(r->pool, PDNS_NAME_TEXT);
        if (ctx->bailiwick.data == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ctx->bailiwick.len = pdns_name_text((char *) ctx->bailiwick.data,
                                            &name);
    }

    rc = ngx_http_pdns_args(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_pdns_lookup(r, ctx);
}


static ngx_int_t
ngx_http_pdns_dnsdb_value(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_path_t *path, ngx_uint_t at)
{
    const char  *wrong;
    ngx_uint_t   rdata, ip;

    if (path->n < at + 3
        || (!ngx_http_pdns_is(path, at, "rrset")
            && !ngx_http_pdns_is(path, at, "rdata")))
    {
        return ngx_http_pdns_error(r, NGX_HTTP_BAD_REQUEST, "path",
                                   "rrset or rdata, a kind and a value are "
                                   "needed");
    }

    rdata = ngx_http_pdns_is(path, at, "rdata");
    ip = ngx_http_pdns_is(path, at + 1, "ip");

    ctx->text = path->part[at + 2];

    if (ngx_http_pdns_unescape(r, &ctx->text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_pdns_is(path, at + 1, "raw")) {
        wrong = ngx_http_pdns_raw(ctx, rdata);

    } else if (ngx_http_pdns_is(path, at + 1, "name") || (ip && rdata)) {
        wrong = pdns_value_parse(&ctx->value, (char *) ctx->text.data,
                                 ctx->text.len, rdata);

        if (wrong == NULL && ip != (ctx->value.find == PDNS_FIND_ADDR)) {
            wrong = ip ? "the address is not one" : "the name is not one";
        }

    } else {
        wrong = "the kind must be name, ip or raw";
    }

    return (wrong == NULL) ? NGX_DECLINED
           : ngx_http_pdns_error(r, NGX_HTTP_BAD_REQUEST, "value", wrong);
}


/* Wire form in hex: a name, an address, or other data. */

static const char *
ngx_http_pdns_raw(ngx_http_pdns_ctx_t *ctx, ngx_uint_t rdata)
{
    size_t         i, n;
    u_char        *p;
    ngx_int_t      byte;
    pdns_value_t  *v;

    v = &ctx->value;
    p = ctx->text.data;
    n = ctx->text.len / 2;

    if (ctx->text.len % 2 != 0 || n == 0 || n > 512) {
        return "the value must be bytes in hex";
    }

    for (i = 0; i < n; i++) {
        byte = ngx_hextoi(p + 2 * i, 2);

        if (byte == NGX_ERROR) {
            return "the value must be bytes in hex";
        }

        v->text[i] = (char) byte;
    }

    if (rdata && (n == 4 || n == 16)) {
        v->find = PDNS_FIND_ADDR;
        v->alen = n;
        ngx_memcpy(v->low, v->text, n);
        ngx_memcpy(v->high, v->text, n);
        return NULL;
    }

    if (pdns_name_wire(&v->name, (uint8_t *) v->text, n) == 0) {
        v->find = rdata ? PDNS_FIND_TARGET : PDNS_FIND_NAME;
        v->len = pdns_name_text(v->text, &v->name);
        return NULL;
    }

    if (!rdata) {
        return "the bytes are no name";
    }

    v->find = PDNS_FIND_DATA;
    v->len = ngx_sprintf((u_char *) v->text, "\\# %uz ", n)
             - (u_char *) v->text;
    ngx_strlow((u_char *) v->text + v->len, p, 2 * n);
    v->len += 2 * n;

    return NULL;
}


ngx_int_t
ngx_http_pdns_unescape(ngx_http_request_t *r, ngx_str_t *value)
{
    u_char  *dst, *src;

    src = value->data;

    dst = ngx_pnalloc(r->pool, value->len + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    value->data = dst;
    ngx_unescape_uri(&dst, &src, value->len, 0);
    value->len = dst - value->data;

    return NGX_OK;
}

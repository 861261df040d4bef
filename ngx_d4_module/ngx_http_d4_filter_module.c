
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Errors that nginx itself answers within a location of the API (limits,
 * access rules, a body that is too large), or before it has found the location
 * (a request that is malformed or too long), have the shape of the API's own
 * instead of nginx's page.  An error_page of the configuration comes first.
 */


#include "ngx_http_d4_api.h"
#include "ngx_http_d4_module.h"


typedef struct {
    ngx_str_t                text;
    unsigned                 sent:1;
} ngx_http_d4_filter_ctx_t;


static ngx_int_t ngx_http_d4_filter_init(ngx_conf_t *cf);
static ngx_uint_t ngx_http_d4_filter_ours(ngx_http_request_t *r);
static ngx_int_t ngx_http_d4_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_d4_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_module_t  ngx_http_d4_filter_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_d4_filter_init,               /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_d4_filter_module = {
    NGX_MODULE_V1,
    &ngx_http_d4_filter_module_ctx,        /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static const struct {
    ngx_uint_t    status;
    const char   *reason;
} ngx_http_d4_filter_reasons[] = {
    { NGX_HTTP_BAD_REQUEST, "Malformed request" },
    { NGX_HTTP_UNAUTHORIZED, "Authentication needed" },
    { NGX_HTTP_FORBIDDEN, "Access Forbidden" },
    { NGX_HTTP_NOT_FOUND, "404 Not Found" },
    { NGX_HTTP_NOT_ALLOWED, "Method Not Allowed" },
    { NGX_HTTP_REQUEST_TIME_OUT, "The request did not arrive in time" },
    { NGX_HTTP_LENGTH_REQUIRED, "Content-Length needed" },
    { NGX_HTTP_PRECONDITION_FAILED, "Not as the request asks for" },
    { NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, "The body is too large" },
    { NGX_HTTP_REQUEST_URI_TOO_LARGE, "The URI is too long" },
    { NGX_HTTP_TOO_MANY_REQUESTS, "Too many requests" },
    { 431, "The header is too large" },
    { NGX_HTTP_NOT_IMPLEMENTED, "Not implemented" },
    { NGX_HTTP_SERVICE_UNAVAILABLE, "Not available now" },
    { NGX_HTTP_GATEWAY_TIME_OUT, "No answer in time" },
    { 0, NULL }
};


static ngx_int_t
ngx_http_d4_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_d4_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_d4_body_filter;

    return NGX_OK;
}


/*
 * Before a location was found, nginx has the server's own configuration.  What
 * is known of the path then decides; of a path that could not be read nothing
 * is, and a server with an API answers as the API does.
 */

static ngx_uint_t
ngx_http_d4_filter_ours(ngx_http_request_t *r)
{
    ngx_str_t                  *prefix;
    ngx_uint_t                  i;
    ngx_array_t                *locations;
    ngx_http_d4_api_t          *a;
    ngx_http_d4_conf_t         *dlcf;
    ngx_http_core_srv_conf_t   *cscf;

    dlcf = ngx_http_get_module_loc_conf(r, ngx_http_d4_module);

    if (dlcf->api) {
        a = ngx_http_get_module_ctx(r, ngx_http_d4_module);

        return a == NULL || !a->header_sent;
    }

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    if (r->loc_conf != cscf->ctx->loc_conf) {
        return 0;
    }

    locations = *(ngx_array_t **) ngx_http_get_module_srv_conf(r,
                                                        ngx_http_d4_module);

    if (locations == NULL) {
        return 0;
    }

    if (r->uri.len == 0) {
        return 1;
    }

    prefix = locations->elts;

    for (i = 0; i < locations->nelts; i++) {
        if (r->uri.len >= prefix[i].len
            && ngx_strncmp(r->uri.data, prefix[i].data, prefix[i].len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_d4_header_filter(ngx_http_request_t *r)
{
    u_char                    *p;
    ngx_uint_t                 i;
    const char                *reason;
    ngx_http_d4_filter_ctx_t  *ctx;

    if (r != r->main || r->headers_out.status < NGX_HTTP_BAD_REQUEST
        || !ngx_http_d4_filter_ours(r))
    {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_d4_filter_ctx_t));
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    reason = (r->headers_out.status < NGX_HTTP_INTERNAL_SERVER_ERROR)
             ? "Malformed request" : "Internal error";

    for (i = 0; ngx_http_d4_filter_reasons[i].reason; i++) {
        if (ngx_http_d4_filter_reasons[i].status == r->headers_out.status) {
            reason = ngx_http_d4_filter_reasons[i].reason;
            break;
        }
    }

    p = ngx_pnalloc(r->pool, 128);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->text.data = p;
    ctx->text.len = ngx_snprintf(p, 128, "{\"status\":\"error\","
                                 "\"reason\":\"%s\"}", reason)
                    - p;

    ngx_http_set_ctx(r, ctx, ngx_http_d4_filter_module);

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset.len = 0;

    ngx_http_clear_content_length(r);
    r->headers_out.content_length_n = ctx->text.len;

    return ngx_http_next_header_filter(r);
}


/* nginx's page is left where it is: it lies in static memory. */

static ngx_int_t
ngx_http_d4_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t                 *b;
    ngx_chain_t                out;
    ngx_http_d4_filter_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_d4_filter_module);

    if (ctx == NULL || in == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    for ( /* void */ ; in; in = in->next) {
        in->buf->pos = in->buf->last;
    }

    if (ctx->sent) {
        return NGX_OK;
    }

    ctx->sent = 1;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = ctx->text.data;
    b->last = b->pos + ctx->text.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_next_body_filter(r, &out);
}

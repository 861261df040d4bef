
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Many lookups in one request: the values are the lines of the body.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_BULK_BODY  (16 * 1024 * 1024)


static void ngx_http_pdns_bulk_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_pdns_bulk_text(ngx_http_request_t *r,
    ngx_str_t *text);
static ngx_int_t ngx_http_pdns_bulk_values(ngx_http_pdns_ctx_t *ctx,
    ngx_str_t *text);


ngx_int_t
ngx_http_pdns_bulk(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (r->headers_in.content_length_n > NGX_HTTP_PDNS_BULK_BODY) {
        return ngx_http_pdns_error(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                   "bulk", "the body is too large");
    }

    rc = ngx_http_read_client_request_body(r, ngx_http_pdns_bulk_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static void
ngx_http_pdns_bulk_body(ngx_http_request_t *r)
{
    ngx_int_t             rc;
    ngx_str_t             text;
    ngx_http_pdns_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_pdns_module);

    rc = ngx_http_pdns_bulk_text(r, &text);

    if (rc == NGX_OK) {
        rc = ngx_http_pdns_bulk_values(ctx, &text);
    }

    if (rc == NGX_DECLINED) {
        rc = ngx_http_pdns_error(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, "bulk",
                                 "there are too many values");
        ngx_http_finalize_request(r, rc);
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    r->read_event_handler = ngx_http_test_reading;

    /* NGX_DONE took a count of its own, this handler has one to give back */

    rc = ngx_http_pdns_lookup(r, ctx);

    ngx_http_finalize_request(r, rc);
}


/* The body in one piece, from memory and from a file. */

static ngx_int_t
ngx_http_pdns_bulk_text(ngx_http_request_t *r, ngx_str_t *text)
{
    off_t         size;
    size_t        n;
    ssize_t       got;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    size = 0;

    if (r->request_body == NULL) {
        return NGX_ERROR;
    }

    for (cl = r->request_body->bufs; cl != NULL; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    if (size > NGX_HTTP_PDNS_BULK_BODY) {
        return NGX_DECLINED;
    }

    text->len = 0;
    text->data = ngx_pnalloc(r->pool, size + 1);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    for (cl = r->request_body->bufs; cl != NULL; cl = cl->next) {
        b = cl->buf;
        n = ngx_buf_size(b);

        if (ngx_buf_in_memory(b)) {
            ngx_memcpy(text->data + text->len, b->pos, n);

        } else if (b->in_file) {
            got = ngx_read_file(b->file, text->data + text->len, n,
                                b->file_pos);

            if (got != (ssize_t) n) {
                return NGX_ERROR;
            }
        }

        text->len += n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_pdns_bulk_values(ngx_http_pdns_ctx_t *ctx, ngx_str_t *text)
{
    u_char     *p, *last, *lf;
    ngx_str_t  *value;

    ctx->values = ngx_array_create(ctx->request->pool, 64, sizeof(ngx_str_t));
    if (ctx->values == NULL) {
        return NGX_ERROR;
    }

    last = text->data + text->len;

    for (p = text->data; p < last; p = lf + 1) {

        lf = ngx_strlchr(p, last, LF);

        if (lf == NULL) {
            lf = last;
        }

        if (lf == p || (lf == p + 1 && *p == CR)) {
            continue;
        }

        if (ctx->values->nelts == ctx->conf->bulk) {
            return NGX_DECLINED;
        }

        value = ngx_array_push(ctx->values);
        if (value == NULL) {
            return NGX_ERROR;
        }

        value->data = p;
        value->len = lf - p;

        if (value->data[value->len - 1] == CR) {
            value->len--;
        }
    }

    return NGX_OK;
}

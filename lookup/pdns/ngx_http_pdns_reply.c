
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Answers in one piece.
 */


#include "ngx_http_pdns.h"


ngx_int_t
ngx_http_pdns_text(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *type,
    ngx_str_t *text)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    r->headers_out.status = status;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_length_n = text->len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = text->data;
    b->last = text->data + text->len;
    b->memory = (text->len != 0);
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_pdns_error(ngx_http_request_t *r, ngx_uint_t status,
    const char *code, const char *text)
{
    u_char           *p;
    ngx_str_t         body, value;
    ngx_table_elt_t  *h;

    static ngx_str_t  type = ngx_string("application/json");

    /* a body that nobody reads must not be taken for the next request */

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    p = ngx_pnalloc(r->pool, ngx_strlen(code) + ngx_strlen(text) + 32);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.data = p;
    body.len = ngx_sprintf(p, "{\"error\":\"%s\",\"message\":\"%s\"}" CRLF,
                           code, text)
               - p;

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE
        || status == NGX_HTTP_NOT_ALLOWED)
    {
        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        h->hash = 1;

#if (nginx_version >= 1023000)
        h->next = NULL;
#endif

        if (status == NGX_HTTP_NOT_ALLOWED) {
            ngx_str_set(&h->key, "Allow");
            ngx_str_set(&value, "GET, HEAD");

            if (ngx_strcmp(code, "post") == 0) {
                ngx_str_set(&value, "POST");
            }

        } else {
            ngx_str_set(&h->key, "Retry-After");
            ngx_str_set(&value, "5");
        }

        h->value = value;
    }

    return ngx_http_pdns_text(r, status, &type, &body);
}

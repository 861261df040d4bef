
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Answers: whole ones, with an entity tag, and streams of pieces.
 */


#include "ngx_http_d4_match.h"

#include <stdarg.h>
#include <stdio.h>


typedef struct {
    ngx_http_d4_pt           next;
    d4_out_t                 piece;        /* being sent */
    ngx_buf_t                buf;
    ngx_chain_t              chain;
} ngx_http_d4_stream_t;


static void ngx_http_d4_free_out(void *data);
static void ngx_http_d4_tag(ngx_http_d4_api_t *a, char *tag);
static void ngx_http_d4_etag(ngx_http_d4_api_t *a, const char *tag);
static void ngx_http_d4_headers(ngx_http_d4_api_t *a, ngx_uint_t status,
    const char *type);
static void ngx_http_d4_finalize(ngx_http_d4_api_t *a, ngx_int_t rc);
static void ngx_http_d4_stream_writer(ngx_http_request_t *r);
static void ngx_http_d4_stream_wait(ngx_http_d4_api_t *a);
static void ngx_http_d4_stream_next(ngx_http_d4_api_t *a);


void
ngx_http_d4_set_header(ngx_http_d4_api_t *a, const char *name,
    const char *fmt, ...)
{
    int                n;
    char               text[512];
    va_list            args;
    ngx_str_t          value;
    ngx_table_elt_t   *h;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (n < 0 || (size_t) n >= sizeof(text)) {
        return;
    }

    value = ngx_http_d4_copy(a, text, n);

    h = ngx_list_push(&a->request->headers_out.headers);
    if (h == NULL) {
        return;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = value;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
}


static void
ngx_http_d4_headers(ngx_http_d4_api_t *a, ngx_uint_t status, const char *type)
{
    ngx_http_request_t  *r;

    r = a->request;

    r->headers_out.status = status;
    r->headers_out.content_type.data = (u_char *) type;
    r->headers_out.content_type.len = ngx_strlen(type);
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    ngx_http_d4_set_header(a, "Cache-Control", "%s", "private, no-cache");
    ngx_http_d4_set_header(a, "X-Content-Type-Options", "%s", "nosniff");
}


/*
 * Every answer ends here.  From here on the request may be gone, and a with
 * it.
 */

static void
ngx_http_d4_finalize(ngx_http_d4_api_t *a, ngx_int_t rc)
{
    a->answered = 1;
    a->next = NULL;

    if (a->timer.timer_set) {
        ngx_del_timer(&a->timer);
    }

    if (a->guard.timer_set) {
        ngx_del_timer(&a->guard);
    }

    ngx_http_finalize_request(a->request, rc);
}


void
ngx_http_d4_send(ngx_http_d4_api_t *a, ngx_uint_t status)
{
    ngx_http_d4_send_type(a, status, "application/json");
}


void
ngx_http_d4_send_type(ngx_http_d4_api_t *a, ngx_uint_t status,
    const char *type)
{
    ngx_int_t            rc;
    ngx_buf_t           *b;
    ngx_chain_t          out;
    ngx_http_request_t  *r;
    ngx_pool_cleanup_t  *cln;
    char                 tag[D4_HASH + 1];

    r = a->request;

    if (a->answered) {
        return;
    }

    tag[0] = '\0';

    if (status == NGX_HTTP_OK && a->route
        && (a->route->method == NGX_HTTP_GET || a->state.len))
    {
        ngx_http_d4_tag(a, tag);

        if (a->route->method == NGX_HTTP_GET
            && ngx_http_d4_match_answer(a, tag) != NGX_OK)
        {
            return;
        }
    }

    /* what was not read must not be taken for the next request */

    if (!a->body_read) {
        a->body_read = 1;

        if (ngx_http_discard_request_body(r) != NGX_OK) {
            r->keepalive = 0;
        }
    }

    if (a->route && !(a->route->flags & NGX_HTTP_D4_QUIET)
        && a->route->method != NGX_HTTP_GET)
    {
        ngx_http_d4_auth_forget();
        ngx_http_d4_audit(a, status);
    }

    b = ngx_calloc_buf(r->pool);
    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (b == NULL || cln == NULL || a->out.failed) {
        ngx_http_d4_finalize(a, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_d4_headers(a, status, type);

    if (tag[0]) {
        ngx_http_d4_etag(a, tag);
    }

    /* the text goes with the request from here on */

    cln->handler = ngx_http_d4_free_out;
    cln->data = a->out.data;

    b->pos = (u_char *) a->out.data;
    b->last = b->pos + a->out.len;
    b->memory = (a->out.len != 0);
    b->last_buf = 1;
    b->last_in_chain = 1;

    r->headers_out.content_length_n = a->out.len;

    d4_out_init(&a->out);

    a->header_sent = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_http_d4_finalize(a, rc);
        return;
    }

    out.buf = b;
    out.next = NULL;

    ngx_http_d4_finalize(a, ngx_http_output_filter(r, &out));
}


static void
ngx_http_d4_free_out(void *data)
{
    free(data);
}


static void
ngx_http_d4_tag(ngx_http_d4_api_t *a, char *tag)
{
    d4_hash(tag, a->out.data ? a->out.data : "", a->out.len);
    tag[NGX_HTTP_D4_TAG] = '\0';

    if (a->state.len) {
        ngx_memcpy(tag, a->state.data, NGX_HTTP_D4_STATE);
    }
}


static void
ngx_http_d4_etag(ngx_http_d4_api_t *a, const char *tag)
{
    ngx_uint_t        n;
    ngx_table_elt_t  *h;

    n = a->request->headers_out.headers.part.nelts;

    ngx_http_d4_set_header(a, "ETag", "\"%s\"", tag);

    /* the header's list has room for twenty in its first part */

    if (a->request->headers_out.headers.part.nelts == n + 1) {
        h = a->request->headers_out.headers.part.elts;
        a->request->headers_out.etag = &h[n];
    }
}


void
ngx_http_d4_error(ngx_http_d4_api_t *a, ngx_uint_t status, const char *fmt,
    ...)
{
    char     reason[512];
    va_list  args;

    if (a->answered) {
        return;
    }

    va_start(args, fmt);
    vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);

    a->out.len = 0;

    d4_out_object(&a->out, NULL);
    d4_out_text(&a->out, "status", "error");
    d4_out_text(&a->out, "reason", reason);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, status);
}


void
ngx_http_d4_success(ngx_http_d4_api_t *a)
{
    d4_out_object(&a->out, NULL);
    d4_out_text(&a->out, "status", "success");
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


ngx_int_t
ngx_http_d4_stream_begin(ngx_http_d4_api_t *a, const char *type)
{
    ngx_int_t              rc;
    ngx_http_request_t    *r;
    ngx_http_d4_stream_t  *s;

    r = a->request;

    s = ngx_pcalloc(r->pool, sizeof(ngx_http_d4_stream_t));
    if (s == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return NGX_ERROR;
    }

    if (ngx_http_d4_match_answer(a, "") != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_d4_headers(a, NGX_HTTP_OK, type);
    ngx_http_clear_content_length(r);

    a->header_sent = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_http_d4_finalize(a, rc);
        return NGX_ERROR;
    }

    a->streaming = 1;
    a->stream = s;

    return NGX_OK;
}


void
ngx_http_d4_stream_piece(ngx_http_d4_api_t *a, ngx_http_d4_pt next)
{
    ngx_int_t              rc;
    ngx_http_d4_stream_t  *s;

    s = a->stream;

    if (a->out.failed) {
        ngx_http_d4_stream_end(a, 0);
        return;
    }

    s->next = next;
    s->piece = a->out;
    d4_out_init(&a->out);

    if (s->piece.len == 0) {
        ngx_http_d4_stream_next(a);
        return;
    }

    ngx_memzero(&s->buf, sizeof(ngx_buf_t));

    s->buf.start = (u_char *) s->piece.data;
    s->buf.pos = s->buf.start;
    s->buf.last = s->buf.pos + s->piece.len;
    s->buf.end = s->buf.last;
    s->buf.memory = 1;
    s->buf.flush = 1;

    s->chain.buf = &s->buf;
    s->chain.next = NULL;

    rc = ngx_http_output_filter(a->request, &s->chain);

    if (rc == NGX_ERROR) {
        ngx_http_d4_stream_end(a, 0);
        return;
    }

    ngx_http_d4_stream_wait(a);
}


static void
ngx_http_d4_stream_wait(ngx_http_d4_api_t *a)
{
    ngx_event_t               *wev;
    ngx_connection_t          *c;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = a->request;
    c = r->connection;

    if (!r->buffered && !r->postponed && !c->buffered) {
        ngx_http_d4_stream_next(a);
        return;
    }

    /* what Redis says next is asked for when there is room for it */

    r->write_event_handler = ngx_http_d4_stream_writer;

    if (a->guard.timer_set) {
        ngx_del_timer(&a->guard);
    }

    wev = c->write;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        ngx_http_d4_stream_end(a, 0);
    }
}


static void
ngx_http_d4_stream_writer(ngx_http_request_t *r)
{
    ngx_event_t        *wev;
    ngx_http_d4_api_t  *a;

    a = ngx_http_get_module_ctx(r, ngx_http_d4_module);
    wev = r->connection->write;

    if (wev->timedout) {
        r->connection->timedout = 1;
        ngx_http_d4_stream_end(a, 0);
        return;
    }

    if (wev->delayed) {
        ngx_http_d4_stream_wait(a);
        return;
    }

    if (ngx_http_output_filter(r, NULL) == NGX_ERROR) {
        ngx_http_d4_stream_end(a, 0);
        return;
    }

    ngx_http_d4_stream_wait(a);
}


static void
ngx_http_d4_stream_next(ngx_http_d4_api_t *a)
{
    ngx_event_t           *wev;
    ngx_http_d4_stream_t  *s;

    s = a->stream;
    wev = a->request->connection->write;

    if (wev->timer_set && !wev->delayed) {
        ngx_del_timer(wev);
    }

    a->request->write_event_handler = ngx_http_request_empty_handler;

    ngx_add_timer(&a->guard, 60000);

    d4_out_free(&s->piece);

    s->next(a);
}


void
ngx_http_d4_stream_end(ngx_http_d4_api_t *a, ngx_uint_t whole)
{
    ngx_int_t              rc;
    ngx_http_request_t    *r;
    ngx_pool_cleanup_t    *cln;
    ngx_http_d4_stream_t  *s;

    r = a->request;
    s = a->stream;

    if (a->answered) {
        return;
    }

    /* what filters may still hold stays until the request goes */

    if (s->piece.data) {
        cln = ngx_pool_cleanup_add(r->pool, 0);

        if (cln) {
            cln->handler = ngx_http_d4_free_out;
            cln->data = s->piece.data;
            d4_out_init(&s->piece);
        }
    }

    if (!whole) {
        r->keepalive = 0;
        ngx_http_d4_finalize(a, NGX_ERROR);
        return;
    }

    rc = ngx_http_send_special(r, NGX_HTTP_LAST);

    ngx_http_d4_finalize(a, rc);
}

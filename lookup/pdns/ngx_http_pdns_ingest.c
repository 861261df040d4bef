
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Records that are posted, one a line: lines of passivedns, COF, JSON of
 * passivedns, mixed as they may be.  The body is taken as it arrives and read
 * no faster than the store takes it.  The answer follows when all is stored.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_WAIT  60000      /* ms for the store */
#define NGX_HTTP_PDNS_TURN  32768      /* bytes before others have theirs */


typedef struct {
    ngx_http_request_t        *request;
    ngx_http_pdns_waiter_t     waiter;
    ngx_event_t                timer;
    ngx_str_t                  sensor;
    u_char                    *line;      /* begun, not ended */
    size_t                     len;
    size_t                     size;
    uint64_t                   lines;
    uint64_t                   results[PDNS_RESULTS];
    unsigned                   skip:1;    /* the line is too long */
    unsigned                   waiting:1;
    unsigned                   complete:1;
} ngx_http_pdns_post_t;


static void ngx_http_pdns_ingest_header(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);
static void ngx_http_pdns_ingest_body(ngx_http_request_t *r);
static void ngx_http_pdns_ingest_read(ngx_http_request_t *r);
static void ngx_http_pdns_ingest_go(ngx_http_pdns_post_t *post);
static ngx_int_t ngx_http_pdns_ingest_feed(ngx_http_pdns_post_t *post,
    u_char *p, u_char *last);
static void ngx_http_pdns_ingest_line(ngx_http_pdns_post_t *post, u_char *p,
    size_t len);
static ngx_int_t ngx_http_pdns_ingest_carry(ngx_http_pdns_post_t *post,
    u_char *p, size_t len);
static void ngx_http_pdns_ingest_wait(ngx_http_pdns_post_t *post);
static void ngx_http_pdns_ingest_stored(void *data);
static ngx_int_t ngx_http_pdns_ingest_answer(ngx_http_pdns_post_t *post);
static void ngx_http_pdns_ingest_timer(ngx_event_t *ev);
static void ngx_http_pdns_ingest_cleanup(void *data);


ngx_int_t
ngx_http_pdns_ingest(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_str_t              encoding;
    ngx_http_cleanup_t    *cln;
    ngx_http_pdns_post_t  *post;

    if (!ngx_d4_redis_ready(ngx_http_pdns_worker.store)) {
        return ngx_http_pdns_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, "store",
                                   "the store cannot be reached");
    }

    post = ngx_pcalloc(r->pool, sizeof(ngx_http_pdns_post_t));
    cln = ngx_http_cleanup_add(r, 0);

    if (post == NULL || cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_str_null(&encoding);

    post->request = r;
    post->waiter.stored = ngx_http_pdns_ingest_stored;
    post->waiter.data = post;
    post->timer.handler = ngx_http_pdns_ingest_timer;
    post->timer.data = post;
    post->timer.log = r->connection->log;

    cln->handler = ngx_http_pdns_ingest_cleanup;
    cln->data = post;

    ngx_http_set_ctx(r, post, ngx_http_pdns_module);

    ngx_http_pdns_ingest_header(r, "X-Sensor-ID", &post->sensor);
    ngx_http_pdns_ingest_header(r, "Content-Encoding", &encoding);

    if (encoding.len != 0
        && (encoding.len != sizeof("identity") - 1
            || ngx_strncasecmp(encoding.data, (u_char *) "identity",
                               sizeof("identity") - 1)
               != 0))
    {
        return ngx_http_pdns_error(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                   "encoding", "lines are posted as they are");
    }

    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_pdns_ingest_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


/* The last one of that name, if there is any. */

static void
ngx_http_pdns_ingest_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);
    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == len
            && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0)
        {
            *value = h[i].value;
        }
    }
}


static void
ngx_http_pdns_ingest_body(ngx_http_request_t *r)
{
    ngx_http_pdns_post_t  *post;

    post = ngx_http_get_module_ctx(r, ngx_http_pdns_module);

    r->read_event_handler = ngx_http_pdns_ingest_read;

    ngx_http_pdns_ingest_go(post);
}


static void
ngx_http_pdns_ingest_read(ngx_http_request_t *r)
{
    ngx_http_pdns_post_t  *post;

    post = ngx_http_get_module_ctx(r, ngx_http_pdns_module);

    if (post->complete) {
        ngx_http_test_reading(r);
        return;
    }

    if (!post->waiting) {
        ngx_http_pdns_ingest_go(post);
    }
}


static void
ngx_http_pdns_ingest_go(ngx_http_pdns_post_t *post)
{
    size_t               taken;
    ngx_int_t            rc;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = post->request;
    taken = 0;

    for ( ;; ) {

        for (cl = r->request_body->bufs; cl != NULL; cl = cl->next) {

            if (ngx_http_pdns_ingest_feed(post, cl->buf->pos, cl->buf->last)
                != NGX_OK)
            {
                ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
                return;
            }

            taken += cl->buf->last - cl->buf->pos;
            cl->buf->pos = cl->buf->last;
        }

        r->request_body->bufs = NULL;

        if (!r->reading_body) {
            break;
        }

        if (!ngx_http_pdns_store_room()) {
            ngx_http_pdns_ingest_wait(post);
            ngx_http_pdns_store_wait_room(&post->waiter);
            return;
        }

        if (taken >= NGX_HTTP_PDNS_TURN) {

            /* a fast client must not keep the worker from all others */

            ngx_post_event(r->connection->read, &ngx_posted_next_events);
            return;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            ngx_http_finalize_request(r, rc);
            return;
        }

        if (rc == NGX_ERROR) {
            ngx_http_finalize_request(r, NGX_ERROR);
            return;
        }

        if (rc == NGX_AGAIN && r->request_body->bufs == NULL) {
            return;
        }
    }

    if (post->len != 0 || post->skip) {
        ngx_http_pdns_ingest_line(post, post->line, post->len);
        post->len = 0;
    }

    post->complete = 1;

    ngx_http_pdns_ingest_wait(post);
    ngx_http_pdns_store_wait(&post->waiter, 1);
}


static ngx_int_t
ngx_http_pdns_ingest_feed(ngx_http_pdns_post_t *post, u_char *p, u_char *last)
{
    u_char  *lf;

    while (p < last) {
        lf = ngx_strlchr(p, last, LF);

        if (lf == NULL) {
            return ngx_http_pdns_ingest_carry(post, p, last - p);
        }

        if (post->len != 0 || post->skip) {

            if (ngx_http_pdns_ingest_carry(post, p, lf - p) != NGX_OK) {
                return NGX_ERROR;
            }

            ngx_http_pdns_ingest_line(post, post->line, post->len);
            post->len = 0;

        } else {
            ngx_http_pdns_ingest_line(post, p, lf - p);
        }

        p = lf + 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_pdns_ingest_carry(ngx_http_pdns_post_t *post, u_char *p, size_t len)
{
    size_t   size;
    u_char  *line;

    if (post->skip || len > PDNS_JSON_MAX - post->len) {
        post->skip = 1;
        post->len = 0;
        return NGX_OK;
    }

    if (len > post->size - post->len) {
        size = ngx_max(post->len + len, ngx_max(2 * post->size, 4096));

        line = ngx_alloc(size, post->request->connection->log);
        if (line == NULL) {
            return NGX_ERROR;
        }

        if (post->line != NULL) {
            ngx_memcpy(line, post->line, post->len);
            ngx_free(post->line);
        }

        post->line = line;
        post->size = size;
    }

    if (len != 0) {
        ngx_memcpy(post->line + post->len, p, len);
        post->len += len;
    }

    return NGX_OK;
}


static void
ngx_http_pdns_ingest_line(ngx_http_pdns_post_t *post, u_char *p, size_t len)
{
    pdns_result_t  rc;

    if (post->skip) {
        post->skip = 0;
        rc = PDNS_LONG;

    } else {
        rc = ngx_http_pdns_store_line(p, len, &post->sensor);
    }

    post->results[rc]++;
    post->lines += (rc != PDNS_EMPTY);
}


static void
ngx_http_pdns_ingest_wait(ngx_http_pdns_post_t *post)
{
    ngx_event_t  *rev;

    post->waiting = 1;

    /* the client need not send what is not read */

    rev = post->request->connection->read;

    if (rev->timer_set) {
        ngx_del_timer(rev);
    }

    ngx_add_timer(&post->timer, NGX_HTTP_PDNS_WAIT);
}


static void
ngx_http_pdns_ingest_stored(void *data)
{
    ngx_http_pdns_post_t *post = data;

    ngx_int_t            rc;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = post->request;
    c = r->connection;

    post->waiting = 0;

    if (post->timer.timer_set) {
        ngx_del_timer(&post->timer);
    }

    ngx_http_set_log_request(c->log, r);

    if (post->complete) {
        rc = ngx_http_pdns_ingest_answer(post);
        ngx_http_finalize_request(r, rc);

    } else {
        ngx_http_pdns_ingest_go(post);
    }

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_pdns_ingest_answer(ngx_http_pdns_post_t *post)
{
    u_char      *p;
    ngx_str_t    text;
    ngx_uint_t   i, n;

    static ngx_str_t  type = ngx_string("application/json");

    p = ngx_pnalloc(post->request->pool,
                    128 + PDNS_RESULTS * (32 + NGX_INT64_LEN));
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.data = p;
    p = ngx_sprintf(p, "{\"lines\":%uL,\"accepted\":%uL,\"rejected\":{",
                    post->lines, post->results[PDNS_OK]);

    for (i = PDNS_EMPTY + 1, n = 0; i < PDNS_RESULTS; i++) {

        if (post->results[i] != 0) {
            p = ngx_sprintf(p, "%s\"%s\":%uL", n++ ? "," : "",
                            pdns_result_text(i), post->results[i]);
        }
    }

    p = ngx_sprintf(p, "}}\n");
    text.len = p - text.data;

    return ngx_http_pdns_text(post->request, NGX_HTTP_OK, &type, &text);
}


/* The store is away for too long: what was taken may be stored, or not. */

static void
ngx_http_pdns_ingest_timer(ngx_event_t *ev)
{
    ngx_int_t              rc;
    ngx_connection_t      *c;
    ngx_http_request_t    *r;
    ngx_http_pdns_post_t  *post;

    post = ev->data;
    r = post->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    /* an answer that is slow to leave is not followed by another one */

    ngx_http_pdns_store_forget(&post->waiter);
    post->waiting = 0;

    r->keepalive = 0;
    rc = ngx_http_pdns_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, "store",
                             "the store does not answer");
    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_pdns_ingest_cleanup(void *data)
{
    ngx_http_pdns_post_t *post = data;

    if (post->waiting) {
        ngx_http_pdns_store_forget(&post->waiter);
        post->waiting = 0;
    }

    if (post->timer.timer_set) {
        ngx_del_timer(&post->timer);
    }

    if (post->line != NULL) {
        ngx_free(post->line);
        post->line = NULL;
    }
}

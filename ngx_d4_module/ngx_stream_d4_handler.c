
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * One sensor connection: from accept to the end of stream.  Bytes go through
 * the frame decoder into the session, which alone says when to stop reading
 * and when it is over; ngx_stream_d4_end.c ends it.
 */


#include "ngx_stream_d4_module.h"


#define NGX_STREAM_D4_BUFFER   65536
#define NGX_STREAM_D4_READS    16      /* before others have their turn */


static void ngx_stream_d4_answered(void *data, d4_end_t end);
static void ngx_stream_d4_read_handler(ngx_event_t *rev);
static void ngx_stream_d4_no_handler(ngx_event_t *ev);
static void ngx_stream_d4_timed_out(ngx_stream_d4_ctx_t *ctx);
static void ngx_stream_d4_read(ngx_stream_d4_ctx_t *ctx);
static ngx_uint_t ngx_stream_d4_broken(ngx_connection_t *c);
static void ngx_stream_d4_eof(ngx_stream_d4_ctx_t *ctx, ssize_t n);
static void ngx_stream_d4_complete(ngx_stream_d4_ctx_t *ctx);
static ssize_t ngx_stream_d4_recv(ngx_stream_d4_ctx_t *ctx, u_char *buf,
    size_t size);
static d4_end_t ngx_stream_d4_feed(ngx_stream_d4_ctx_t *ctx, u_char *buf,
    size_t len);
static d4_end_t ngx_stream_d4_header(ngx_stream_d4_ctx_t *ctx);
static ngx_int_t ngx_stream_d4_wait(ngx_stream_d4_ctx_t *ctx);
static void ngx_stream_d4_event(void *data, ngx_d4_event_t event,
    d4_end_t reason);


/* every byte read is used up before the next read */
static u_char  ngx_stream_d4_buffer[NGX_STREAM_D4_BUFFER];


/*
 * At accept, before any TLS work: the clock starts, and a blocked address goes
 * no further.
 */

ngx_int_t
ngx_stream_d4_access_handler(ngx_stream_session_t *s)
{
    ngx_connection_t          *c;
    ngx_stream_d4_ctx_t       *ctx;
    ngx_stream_d4_srv_conf_t  *dscf;

    dscf = ngx_stream_get_module_srv_conf(s, ngx_stream_d4_module);

    if (!dscf->enable) {
        return NGX_DECLINED;
    }

    c = s->connection;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_d4_module);

    if (ctx == NULL) {
        ctx = ngx_pcalloc(c->pool, sizeof(ngx_stream_d4_ctx_t));
        if (ctx == NULL) {
            return NGX_ERROR;
        }

        ctx->session = s;
        ctx->deadline.handler = ngx_stream_d4_deadline;
        ctx->deadline.data = c;
        ctx->deadline.log = c->log;

        ngx_stream_d4_keepalive(c);

        d4_addr_set(&ctx->addr, c->sockaddr);
        d4_frame_init(&ctx->frame);

        ngx_stream_set_ctx(s, ctx, ngx_stream_d4_module);

        ngx_add_timer(&ctx->deadline, dscf->handshake_timeout);
    }

    if (ctx->end != D4_END_NONE) {
        return NGX_STREAM_FORBIDDEN;
    }

    if (!ctx->asked) {
        ctx->asked = 1;

        if (!ngx_d4_accept()) {
            ngx_stream_d4_release(ctx, D4_END_MEMORY);
            return NGX_STREAM_SERVICE_UNAVAILABLE;
        }

        ctx->blocked = ngx_d4_blocked(&ctx->addr, ngx_stream_d4_answered, ctx);
    }

    if (ctx->blocked == NULL) {
        return NGX_DECLINED;
    }

    /* behind the PROXY header its reader would take what comes for another */

    c->read->handler = ngx_stream_d4_no_handler;

    return NGX_AGAIN;
}


static void
ngx_stream_d4_answered(void *data, d4_end_t end)
{
    ngx_stream_d4_ctx_t  *ctx = data;

    ctx->blocked = NULL;

    if (end != D4_END_NONE) {
        ngx_stream_d4_release(ctx, end);
    }

    ngx_stream_core_run_phases(ctx->session);
}


void
ngx_stream_d4_handler(ngx_stream_session_t *s)
{
    ngx_connection_t     *c;
    ngx_stream_d4_ctx_t  *ctx;

    c = s->connection;
    ctx = ngx_stream_get_module_ctx(s, ngx_stream_d4_module);

    c->log->action = "reading d4 frames";

    c->read->handler = ngx_stream_d4_read_handler;
    c->write->handler = ngx_stream_d4_no_handler;

    ctx->started = 1;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    ngx_stream_d4_read(ctx);
}


static void
ngx_stream_d4_read_handler(ngx_event_t *rev)
{
    ngx_connection_t      *c;
    ngx_stream_session_t  *s;
    ngx_stream_d4_ctx_t   *ctx;

    c = rev->data;
    s = c->data;
    ctx = ngx_stream_get_module_ctx(s, ngx_stream_d4_module);

    if (c->error) {

        /* worker_shutdown_timeout has passed */

        ngx_stream_d4_end(ctx, D4_END_SHUTDOWN);
        return;
    }

    if (ctx->eof) {
        ngx_stream_d4_complete(ctx);
        return;
    }

    if (c->close && !ctx->draining) {
        ngx_stream_d4_drain(ctx, D4_END_SHUTDOWN);
    }

    if (rev->timedout) {
        rev->timedout = 0;
        ngx_stream_d4_timed_out(ctx);
        return;
    }

    ngx_stream_d4_read(ctx);
}


static void
ngx_stream_d4_no_handler(ngx_event_t *ev)
{
    ngx_log_debug1(NGX_LOG_DEBUG_STREAM, ev->log, 0,
                   "stream d4 %s event: not now",
                   ev->write ? "write" : "read");
}


/*
 * The frame being received has taken too long: the sensor's fault, unless it
 * is we who do not read.
 */

static void
ngx_stream_d4_timed_out(ngx_stream_d4_ctx_t *ctx)
{
    ngx_connection_t          *c;
    ngx_stream_d4_srv_conf_t  *dscf;

    c = ctx->session->connection;

    if (ctx->d4 && ngx_d4_session_stalled(ctx->d4)) {
        ctx->begun_at = ngx_current_msec;
        dscf = ngx_stream_get_module_srv_conf(ctx->session,
                                              ngx_stream_d4_module);
        ngx_add_timer(c->read, dscf->frame_timeout);
        return;
    }

    ngx_stream_d4_end(ctx, D4_END_FRAME_TIMEOUT);
}


static void
ngx_stream_d4_read(ngx_stream_d4_ctx_t *ctx)
{
    size_t             size;
    ssize_t            n;
    d4_end_t           end;
    ngx_uint_t         reads;
    ngx_connection_t  *c;

    c = ctx->session->connection;

    for (reads = 0; /* void */ ; reads++) {

        if (ctx->d4 && !ngx_d4_session_room(ctx->d4)) {
            c->idle = 1;

            if (c->read->pending_eof && ngx_stream_d4_broken(c)) {
                ngx_stream_d4_eof(ctx, NGX_ERROR);
            }

            return;
        }

        size = NGX_STREAM_D4_BUFFER;

        if (!ctx->live) {
            size = ngx_min(size, d4_frame_wants(&ctx->frame));
        }

        if (size == 0) {

            /* an empty first frame ends without another byte */

            n = 0;

        } else {

            if (reads == NGX_STREAM_D4_READS) {
                ngx_post_event(c->read, &ngx_posted_next_events);
                return;
            }

            n = ngx_stream_d4_recv(ctx, ngx_stream_d4_buffer, size);

            if (n == NGX_AGAIN) {
                if (ngx_stream_d4_wait(ctx) != NGX_OK) {
                    ngx_stream_d4_end(ctx, D4_END_INTERNAL);
                }

                return;
            }

            if (n == 0 || n == NGX_ERROR) {
                ngx_stream_d4_eof(ctx, n);
                return;
            }
        }

        end = ngx_stream_d4_feed(ctx, ngx_stream_d4_buffer, n);

        if (end != D4_END_NONE) {
            ngx_stream_d4_end(ctx, end);
            return;
        }
    }
}


static ssize_t
ngx_stream_d4_recv(ngx_stream_d4_ctx_t *ctx, u_char *buf, size_t size)
{
    ssize_t            n;
    ngx_buf_t         *b;
    ngx_connection_t  *c;

    c = ctx->session->connection;
    b = c->buffer;

    if (b && b->pos < b->last) {

        /* a preread module came first */

        n = ngx_min((size_t) (b->last - b->pos), size);
        ngx_memcpy(buf, b->pos, n);
        b->pos += n;

    } else {
        ngx_set_socket_errno(0);
        n = c->recv(c, buf, size);
    }

    if (n > 0) {
        ctx->session->received += n;
    }

    return n;
}


/*
 * A reset that nobody reads: what was not read is gone with it.
 */

static ngx_uint_t
ngx_stream_d4_broken(ngx_connection_t *c)
{
    int        err;
    socklen_t  len;

    err = 0;
    len = sizeof(int);

    return getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1
           || err != 0;
}


/*
 * The stream ended: how, the TLS layer does not tell from a reset.
 */

static void
ngx_stream_d4_eof(ngx_stream_d4_ctx_t *ctx, ssize_t n)
{
    d4_end_t   end;
    ngx_err_t  err;

    err = ngx_socket_errno;

    if (ctx->draining) {
        end = ctx->end;

    } else if (d4_frame_begun(&ctx->frame)) {
        end = D4_END_TRUNCATED;

    } else {
        end = (n == NGX_ERROR || err == NGX_ECONNRESET) ? D4_END_RESET
                                                        : D4_END_CLOSED;
    }

    if (n == NGX_ERROR || err == NGX_ECONNRESET || ctx->d4 == NULL) {
        ngx_stream_d4_end(ctx, end);
        return;
    }

    ctx->eof = 1;
    ctx->end = end;

    ngx_stream_d4_complete(ctx);
}


/*
 * A sensor that waits for our end of stream learns from it that Redis has all
 * it sent; one that does not is gone already.
 */

static void
ngx_stream_d4_complete(ngx_stream_d4_ctx_t *ctx)
{
    ngx_connection_t          *c;
    ngx_stream_d4_srv_conf_t  *dscf;

    if (ngx_d4_session_complete(ctx->d4)) {
        ngx_stream_d4_end(ctx, ctx->end);
        return;
    }

    c = ctx->session->connection;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    if (!ctx->deadline.timer_set) {
        dscf = ngx_stream_get_module_srv_conf(ctx->session,
                                              ngx_stream_d4_module);
        ngx_add_timer(&ctx->deadline, dscf->drain_timeout);
    }
}


/*
 * The socket is empty: between frames a sensor may be silent for ever, within
 * one it may not.
 */

static ngx_int_t
ngx_stream_d4_wait(ngx_stream_d4_ctx_t *ctx)
{
    ngx_msec_t                 passed;
    ngx_connection_t          *c;
    ngx_stream_d4_srv_conf_t  *dscf;

    c = ctx->session->connection;

    c->idle = 1;

    if (ngx_exiting) {

        /* it came too late to be told with the others */

        ngx_stream_d4_drain(ctx, D4_END_SHUTDOWN);
    }

    if (!d4_frame_begun(&ctx->frame)) {
        if (c->read->timer_set) {
            ngx_del_timer(c->read);
        }

    } else if (ctx->live
               && (!c->read->timer_set || ctx->begun != ctx->received))
    {
        dscf = ngx_stream_get_module_srv_conf(ctx->session,
                                              ngx_stream_d4_module);

        if (ctx->begun != ctx->received) {
            ctx->begun = ctx->received;
            ctx->begun_at = ngx_current_msec;
        }

        passed = ngx_current_msec - ctx->begun_at;

        if (c->read->timer_set) {
            ngx_del_timer(c->read);
        }

        ngx_add_timer(c->read, passed < dscf->frame_timeout
                               ? dscf->frame_timeout - passed : 1);
    }

    return ngx_handle_read_event(c->read, 0);
}


static d4_end_t
ngx_stream_d4_feed(ngx_stream_d4_ctx_t *ctx, u_char *buf, size_t len)
{
    size_t          n;
    d4_end_t        end;
    const u_char   *p, *last, *data;

    p = buf;
    last = buf + len;

    for ( ;; ) {

        switch (d4_frame_next(&ctx->frame, &p, last, &data, &n)) {

        case D4_FRAME_HEADER:
            end = ngx_stream_d4_header(ctx);
            break;

        case D4_FRAME_DATA:
            end = ngx_d4_session_data(ctx->d4, data, n);
            break;

        case D4_FRAME_END:
            ctx->received++;

            end = ngx_d4_session_frame(ctx->d4, &ctx->frame.header,
                                       ctx->frame.authentic);

            if (end == D4_END_NONE && !ctx->live) {
                ctx->live = 1;

                if (!ctx->draining) {
                    ngx_del_timer(&ctx->deadline);
                }
            }

            break;

        default: /* D4_FRAME_AGAIN */
            return D4_END_NONE;
        }

        if (end != D4_END_NONE) {
            return end;
        }

        /* the payload is not read before the sensor is known */

        if (ctx->waiting) {
            return D4_END_NONE;
        }
    }
}


static d4_end_t
ngx_stream_d4_header(ngx_stream_d4_ctx_t *ctx)
{
    d4_end_t                   end;
    d4_header_t               *h;
    ngx_stream_d4_srv_conf_t  *dscf;

    h = &ctx->frame.header;

    if (ctx->d4) {
        return ngx_d4_session_header(ctx->d4, h);
    }

    dscf = ngx_stream_get_module_srv_conf(ctx->session, ngx_stream_d4_module);

    ngx_memcpy(ctx->uuid, h->uuid, D4_UUID_SIZE);
    d4_uuid_hex((char *) ctx->info.uuid, h->uuid);
    ctx->info.type = h->type;
    ctx->opened = 1;

    end = d4_policy_header(h, &dscf->session.limits);

    if (end != D4_END_NONE) {
        return end;
    }

    ctx->d4 = ngx_d4_session_open(&dscf->session, &ctx->addr, h,
                                  ngx_stream_d4_event, ctx);
    if (ctx->d4 == NULL) {
        return D4_END_INTERNAL;
    }

    ctx->waiting = 1;

    return D4_END_NONE;
}


static void
ngx_stream_d4_event(void *data, ngx_d4_event_t event, d4_end_t reason)
{
    ngx_stream_d4_ctx_t  *ctx = data;

    ngx_connection_t  *c;

    c = ctx->session->connection;

    if (event == NGX_D4_END) {

        if (ngx_stream_d4_brief(reason) && ctx->live && !ctx->eof) {
            ngx_stream_d4_drain(ctx, reason);
            ngx_post_event(c->read, &ngx_posted_events);
            return;
        }

        ngx_stream_d4_end(ctx, reason);
        return;
    }

    if (ctx->waiting) {
        ctx->waiting = 0;
        ctx->frame.key = ngx_d4_session_key(ctx->d4);
    }

    /* what the TLS layer holds raises no event of its own */

    ctx->begun_at = ngx_current_msec;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    ngx_post_event(c->read, &ngx_posted_events);
}

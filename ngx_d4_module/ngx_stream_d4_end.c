
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * How one sensor connection ends: at once, or after what the sensor had sent
 * by then was read, for a while.
 */


#include "ngx_stream_d4_module.h"


#define NGX_STREAM_D4_BRIEF    500     /* ms at most to drain who has to go */
#define NGX_STREAM_D4_LATE     200     /* ms: this process did not run */
#define NGX_STREAM_D4_LATE_MAX 15      /* times that this counts */


static ngx_uint_t ngx_stream_d4_late(ngx_stream_d4_ctx_t *ctx);
static void ngx_stream_d4_drain_timer(ngx_stream_d4_ctx_t *ctx);
static void ngx_stream_d4_close_notify(ngx_connection_t *c);


void
ngx_stream_d4_deadline(ngx_event_t *ev)
{
    d4_end_t              reason;
    ngx_connection_t     *c;
    ngx_stream_d4_ctx_t  *ctx;

    c = ev->data;
    ctx = ngx_stream_get_module_ctx((ngx_stream_session_t *) c->data,
                                    ngx_stream_d4_module);

    if (ctx->draining && !ctx->eof && ctx->d4
        && (ngx_d4_session_held_up(ctx->d4) || ngx_stream_d4_late(ctx)))
    {

        /* what waits in the socket waits for Redis or for us */

        ngx_stream_d4_drain_timer(ctx);
        return;
    }

    if (ctx->draining || ctx->eof) {
        ngx_stream_d4_end(ctx, ctx->end);
        return;
    }

    reason = ctx->waiting ? D4_END_REDIS : D4_END_HANDSHAKE_TIMEOUT;

    ngx_stream_d4_end(ctx, reason);
}


/*
 * The deadline was seen so late that this process must have been stopped, or
 * have had no processor: it had no time to read.
 */

static ngx_uint_t
ngx_stream_d4_late(ngx_stream_d4_ctx_t *ctx)
{
    if (ngx_current_msec - ctx->drain_until < NGX_STREAM_D4_LATE
        || ctx->late == NGX_STREAM_D4_LATE_MAX)
    {
        return 0;
    }

    ctx->late++;

    return 1;
}


/*
 * An end that we want and the sensor did not: it is told by close_notify and
 * FIN, and what it had sent by then is read up to its own end of stream.
 */

void
ngx_stream_d4_drain(ngx_stream_d4_ctx_t *ctx, d4_end_t reason)
{
    ngx_connection_t  *c;

    if (ctx->draining) {
        return;
    }

    c = ctx->session->connection;

    ctx->draining = 1;
    ctx->end = reason;

    if (ctx->d4 && reason == D4_END_SHUTDOWN) {
        ngx_d4_session_leave(ctx->d4);
    }

    ngx_stream_d4_close_notify(c);

    if (ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == -1) {
        ngx_connection_error(c, ngx_socket_errno,
                             ngx_shutdown_socket_n " failed");
    }

    ngx_stream_d4_drain_timer(ctx);
}


static void
ngx_stream_d4_drain_timer(ngx_stream_d4_ctx_t *ctx)
{
    ngx_msec_t                 timeout;
    ngx_stream_d4_srv_conf_t  *dscf;

    dscf = ngx_stream_get_module_srv_conf(ctx->session, ngx_stream_d4_module);

    timeout = dscf->drain_timeout;

    if (ngx_stream_d4_brief(ctx->end)) {
        timeout = ngx_min(timeout, NGX_STREAM_D4_BRIEF);
    }

    if (ctx->deadline.timer_set) {
        ngx_del_timer(&ctx->deadline);
    }

    /* nginx forgets the time of a timer that has expired */

    ctx->drain_until = ngx_current_msec + timeout;

    ngx_add_timer(&ctx->deadline, timeout);
}


void
ngx_stream_d4_end(ngx_stream_d4_ctx_t *ctx, d4_end_t reason)
{
    ngx_stream_session_t  *s;

    if (ctx->done) {
        return;
    }

    s = ctx->session;

    if (ctx->eof && !ctx->draining) {

        /* nginx leaves a close_notify without an answer */

        ngx_stream_d4_close_notify(s->connection);
    }

    ngx_stream_d4_release(ctx, reason);

    ngx_stream_finalize_session(s, d4_end_refusal(reason)
                                   ? NGX_STREAM_FORBIDDEN : NGX_STREAM_OK);
}


static void
ngx_stream_d4_close_notify(ngx_connection_t *c)
{
#if (NGX_STREAM_SSL)

    if (c->ssl) {
        (void) SSL_shutdown(c->ssl->connection);
        ERR_clear_error();

        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;
    }

#endif
}


/*
 * Lets go of everything but the connection; says why it ended.
 */

void
ngx_stream_d4_release(ngx_stream_d4_ctx_t *ctx, d4_end_t reason)
{
    ngx_connection_t  *c;

    if (ctx->done) {
        return;
    }

    ctx->done = 1;
    ctx->end = reason;

    c = ctx->session->connection;

#if (NGX_STREAM_SSL)

    /* nobody waits here for the answer to a close_notify */

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
    }

#endif

    if (ctx->deadline.timer_set) {
        ngx_del_timer(&ctx->deadline);
    }

    if (ctx->blocked) {
        ngx_d4_blocked_cancel(ctx->blocked);
        ctx->blocked = NULL;
    }

    ngx_d4_refused(c->log, &ctx->addr,
                   ctx->opened ? ctx->uuid : NULL,
                   ctx->opened ? (ngx_int_t) ctx->frame.header.type : -1,
                   reason);

    if (ctx->d4) {
        ngx_d4_session_info(ctx->d4, &ctx->info);
        ngx_d4_session_close(ctx->d4, reason);
        ctx->d4 = NULL;
    }
}


/*
 * Every session comes here, also one that ended without us, in the TLS
 * handshake for one.
 */

ngx_int_t
ngx_stream_d4_log_handler(ngx_stream_session_t *s)
{
    ngx_stream_d4_ctx_t  *ctx;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_d4_module);

    if (ctx) {
        ngx_stream_d4_release(ctx, ctx->started ? D4_END_INTERNAL
                                                : D4_END_TLS);
    }

    return NGX_OK;
}

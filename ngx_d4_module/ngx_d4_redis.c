
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_d4_redis_core.h"

#include <ngx_event_connect.h>


#define NGX_D4_REDIS_BACKOFF_MIN      100
#define NGX_D4_REDIS_BACKOFF_MAX      5000
#define NGX_D4_REDIS_CONNECT_TIMEOUT  5000
#define NGX_D4_REDIS_PING             5000
#define NGX_D4_REDIS_SILENCE          15000
#define NGX_D4_REDIS_DRAIN            1000


/*
 * A unix socket is writable again only when three quarters of its buffer are
 * read.  With the usual size Redis has read the rest before we wake up.
 */
static int  ngx_d4_redis_sndbuf = 2 * 1024 * 1024;


static ngx_d4_redis_t *ngx_d4_redis_create(ngx_d4_redis_conf_t *conf,
    ngx_str_t *channel, ngx_msec_t timeout, ngx_d4_redis_state_pt state,
    ngx_log_t *log);
static void ngx_d4_redis_connect(ngx_d4_redis_t *rd);
static void ngx_d4_redis_connected(ngx_d4_redis_t *rd);
static void ngx_d4_redis_drop(ngx_d4_redis_t *rd,
    ngx_d4_redis_status_t status);
static void ngx_d4_redis_disconnect(ngx_d4_redis_t *rd);
static void ngx_d4_redis_read_handler(ngx_event_t *rev);
static void ngx_d4_redis_write_handler(ngx_event_t *wev);
static void ngx_d4_redis_flush_handler(ngx_event_t *ev);
static void ngx_d4_redis_timer_handler(ngx_event_t *ev);
static void ngx_d4_redis_drain_handler(ngx_event_t *ev);
static void ngx_d4_redis_flush(ngx_d4_redis_t *rd);
static void ngx_d4_redis_ping(ngx_d4_redis_t *rd);


ngx_d4_redis_t *
ngx_d4_redis_open(ngx_d4_redis_conf_t *conf, ngx_msec_t timeout,
    ngx_d4_redis_state_pt state, ngx_log_t *log)
{
    ngx_str_t  none;

    ngx_str_null(&none);

    return ngx_d4_redis_create(conf, &none, timeout, state, log);
}


ngx_d4_redis_t *
ngx_d4_redis_subscribe(ngx_d4_redis_conf_t *conf, ngx_str_t *channel,
    ngx_d4_redis_message_pt message, ngx_d4_redis_state_pt state,
    ngx_log_t *log)
{
    ngx_d4_redis_t  *rd;

    rd = ngx_d4_redis_create(conf, channel, NGX_D4_REDIS_SILENCE, state, log);

    if (rd != NULL) {
        rd->message = message;
    }

    return rd;
}


static ngx_d4_redis_t *
ngx_d4_redis_create(ngx_d4_redis_conf_t *conf, ngx_str_t *channel,
    ngx_msec_t timeout, ngx_d4_redis_state_pt state, ngx_log_t *log)
{
    ngx_d4_redis_t  *rd;

    rd = ngx_calloc(sizeof(ngx_d4_redis_t) + channel->len, log);
    if (rd == NULL) {
        return NULL;
    }

    /*
     * set by ngx_calloc():
     *
     *     rd->connection = NULL;
     *     rd->status = NGX_D4_REDIS_DOWN;
     *     rd->message = NULL;
     *     rd->reader = NULL;
     *     all counters and flags = 0;
     */

    rd->conf = conf;
    rd->log = log;
    rd->ident = -1;
    rd->state = state;
    rd->timeout = timeout;

    rd->channel.len = channel->len;
    rd->channel.data = (u_char *) rd + sizeof(ngx_d4_redis_t);

    if (channel->len) {
        ngx_memcpy(rd->channel.data, channel->data, channel->len);
    }

    ngx_queue_init(&rd->requests);
    ngx_queue_init(&rd->output);

    rd->timer.handler = ngx_d4_redis_timer_handler;
    rd->timer.data = rd;
    rd->timer.log = log;
    rd->timer.cancelable = 1;

    rd->drain.handler = ngx_d4_redis_drain_handler;
    rd->drain.data = rd;
    rd->drain.log = log;
    rd->drain.cancelable = 1;

    rd->flush.handler = ngx_d4_redis_flush_handler;
    rd->flush.data = rd;
    rd->flush.log = log;

    /* the caller has to know rd before anything happens to it */

    ngx_add_timer(&rd->timer, 1);

    return rd;
}


void
ngx_d4_redis_close(ngx_d4_redis_t *rd)
{
    rd->busy++;

    if (!rd->destroyed) {
        rd->destroyed = 1;

        if (rd->status == NGX_D4_REDIS_READY) {

            /* the last words of a worker, such as to give its lease back */

            (void) ngx_d4_redis_write(rd);
        }

        ngx_d4_redis_drop(rd, NGX_D4_REDIS_CLOSED);
    }

    ngx_d4_redis_leave(rd);
}


void
ngx_d4_redis_shut(ngx_d4_redis_t **rds, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        rds[i]->busy++;                    /* for good */

        if (rds[i]->status == NGX_D4_REDIS_READY) {
            (void) ngx_d4_redis_write(rds[i]);
            rds[i]->status = NGX_D4_REDIS_CLOSED;
        }
    }

    for (i = 0; i < n; i++) {
        ngx_d4_redis_close(rds[i]);
    }
}


void
ngx_d4_redis_leave(ngx_d4_redis_t *rd)
{
    if (--rd->busy == 0 && rd->destroyed) {
        ngx_free(rd);
    }
}


ngx_uint_t
ngx_d4_redis_ready(ngx_d4_redis_t *rd)
{
    return rd->status == NGX_D4_REDIS_READY && rd->message == NULL;
}


ngx_int_t
ngx_d4_redis_command(ngx_d4_redis_t *rd, ngx_uint_t argc, ngx_str_t *argv,
    ngx_d4_reply_pt handler, void *data)
{
    if (!ngx_d4_redis_ready(rd)) {
        return NGX_DECLINED;
    }

    return ngx_d4_redis_send(rd, argc, argv, handler, data);
}


ngx_int_t
ngx_d4_redis_blocks(ngx_d4_redis_t *rd, d4_blocks_t *blocks,
    ngx_uint_t nreplies, ngx_d4_reply_pt handler, void *data)
{
    if (!ngx_d4_redis_ready(rd)) {
        return NGX_DECLINED;
    }

    return ngx_d4_redis_send_blocks(rd, blocks, nreplies, 0, handler, data);
}


ngx_int_t
ngx_d4_redis_each(ngx_d4_redis_t *rd, d4_blocks_t *blocks,
    ngx_uint_t nreplies, ngx_d4_reply_pt handler, void *data)
{
    if (!ngx_d4_redis_ready(rd)) {
        return NGX_DECLINED;
    }

    return ngx_d4_redis_send_blocks(rd, blocks, nreplies, 1, handler, data);
}


static void
ngx_d4_redis_connect(ngx_d4_redis_t *rd)
{
    ngx_int_t               rc;
    ngx_log_t               log;
    ngx_connection_t       *c;
    ngx_peer_connection_t   pc;

    rd->status = NGX_D4_REDIS_CONNECTING;

    rd->reader = redisReaderCreate();
    if (rd->reader == NULL) {
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, 0, "no memory");
        return;
    }

    /* each failure would be logged, while we log the first of them */

    log = *rd->log;
    log.log_level = NGX_LOG_ALERT;

    ngx_memzero(&pc, sizeof(ngx_peer_connection_t));

    pc.sockaddr = rd->conf->sockaddr;
    pc.socklen = rd->conf->socklen;
    pc.name = &rd->conf->name;
    pc.get = ngx_event_get_peer;
    pc.log = &log;
    pc.log_error = NGX_ERROR_INFO;
    pc.so_keepalive = (pc.sockaddr->sa_family != AF_UNIX);

    ngx_set_socket_errno(0);

    rc = ngx_event_connect_peer(&pc);

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, ngx_socket_errno,
                          "connect() failed");
        return;
    }

    c = pc.connection;

    c->data = rd;
    c->log = rd->log;
    c->read->log = rd->log;
    c->write->log = rd->log;
    c->read->handler = ngx_d4_redis_read_handler;
    c->write->handler = ngx_d4_redis_write_handler;

    rd->connection = c;

    if (pc.sockaddr->sa_family == AF_UNIX) {

        /* the kernel gives what net.core.wmem_max allows */

        (void) setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF,
                          (const void *) &ngx_d4_redis_sndbuf, sizeof(int));
    }

    if (rc == NGX_AGAIN) {
        ngx_add_timer(&rd->timer, NGX_D4_REDIS_CONNECT_TIMEOUT);
        return;
    }

    ngx_d4_redis_connected(rd);
}


static void
ngx_d4_redis_connected(ngx_d4_redis_t *rd)
{
    ngx_connection_t  *c;

    c = rd->connection;

    if (ngx_tcp_nodelay(c) != NGX_OK) {
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, 0, "connect() failed");
        return;
    }

    rd->status = NGX_D4_REDIS_HANDSHAKE;

    ngx_add_timer(&rd->timer, rd->timeout);

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }

    ngx_d4_redis_handshake(rd);
}


void
ngx_d4_redis_up(ngx_d4_redis_t *rd)
{
    ngx_str_t  none;

    rd->status = NGX_D4_REDIS_READY;
    rd->backoff = 0;

    if (rd->message != NULL) {
        ngx_add_timer(&rd->timer, NGX_D4_REDIS_PING);

    } else if (rd->timer.timer_set) {
        ngx_del_timer(&rd->timer);
    }

    if (rd->mark != 0) {
        rd->mark = 0;
        ngx_str_null(&none);
        ngx_d4_redis_log(rd, NGX_LOG_NOTICE, 0, "ready", &none);
    }

    if (rd->state != NULL) {
        rd->state(rd, 1);
    }
}


void
ngx_d4_redis_down(ngx_d4_redis_t *rd, ngx_uint_t why, ngx_err_t err,
    const char *fmt, ...)
{
    u_char      buf[NGX_MAX_ERROR_STR / 4];
    va_list     args;
    uint32_t    mark;
    ngx_str_t   text;

    va_start(args, fmt);
    text.len = ngx_vslprintf(buf, buf + sizeof(buf), fmt, args) - buf;
    text.data = buf;
    va_end(args);

    /* one line for each change; reasons to be mended are told one by one */

    mark = why;

    if (why == NGX_D4_REDIS_REFUSED) {
        mark |= ngx_crc32_short(text.data, text.len);
    }

    if (mark != rd->mark) {
        rd->mark = mark;
        ngx_d4_redis_log(rd, NGX_LOG_ERR, err, "down: ", &text);
    }

    if (why == NGX_D4_REDIS_REFUSED) {
        rd->backoff = NGX_D4_REDIS_BACKOFF_MAX;

    } else if (rd->backoff == 0) {
        rd->backoff = NGX_D4_REDIS_BACKOFF_MIN;

    } else {
        rd->backoff = ngx_min(rd->backoff * 2, NGX_D4_REDIS_BACKOFF_MAX);
    }

    ngx_d4_redis_drop(rd, NGX_D4_REDIS_DOWN);
}


/* Leaves the state of being connected, for a while or for good. */

static void
ngx_d4_redis_drop(ngx_d4_redis_t *rd, ngx_d4_redis_status_t status)
{
    ngx_uint_t  up;

    up = (rd->status == NGX_D4_REDIS_READY);

    rd->status = status;

    ngx_d4_redis_disconnect(rd);

    if (status == NGX_D4_REDIS_DOWN) {
        ngx_add_timer(&rd->timer,
                      rd->backoff + ngx_random() % (rd->backoff / 4));
    }

    ngx_d4_redis_fail_requests(rd);

    if (up && rd->state != NULL && !rd->destroyed) {
        rd->state(rd, 0);
    }
}


static void
ngx_d4_redis_disconnect(ngx_d4_redis_t *rd)
{
    if (rd->timer.timer_set) {
        ngx_del_timer(&rd->timer);
    }

    if (rd->status == NGX_D4_REDIS_CLOSED && rd->drain.timer_set) {
        ngx_del_timer(&rd->drain);
    }

    if (rd->flush.posted) {
        ngx_delete_posted_event(&rd->flush);
    }

    if (rd->connection != NULL) {
        ngx_close_connection(rd->connection);
        rd->connection = NULL;
    }

    if (rd->reader != NULL) {
        redisReaderFree(rd->reader);
        rd->reader = NULL;
    }

    if (rd->cause != NULL) {
        freeReplyObject(rd->cause);
        rd->cause = NULL;
    }

    ngx_d4_redis_free_output(rd);

    rd->partial = 0;
    rd->stale = 0;
}


static void
ngx_d4_redis_read_handler(ngx_event_t *rev)
{
    ngx_d4_redis_t    *rd;
    ngx_connection_t  *c;

    c = rev->data;
    rd = c->data;

    if (c->close) {

        /*
         * worker_shutdown_timeout is over.  The sessions that end of it come
         * to us only after this, so the end is set a little later.
         */

        c->close = 0;
        c->error = 0;

        if (!rd->drain.timer_set) {
            ngx_add_timer(&rd->drain, NGX_D4_REDIS_DRAIN);
        }

        return;
    }

    if (rd->status == NGX_D4_REDIS_CONNECTING) {
        return;
    }

    rd->busy++;

    ngx_d4_redis_read(rd);

    ngx_d4_redis_leave(rd);
}


static void
ngx_d4_redis_write_handler(ngx_event_t *wev)
{
    int                err;
    socklen_t          len;
    ngx_d4_redis_t    *rd;
    ngx_connection_t  *c;

    c = wev->data;
    rd = c->data;

    rd->busy++;

    if (rd->status != NGX_D4_REDIS_CONNECTING) {
        ngx_d4_redis_flush(rd);
        ngx_d4_redis_leave(rd);
        return;
    }

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, err, "connect() failed");

    } else {
        ngx_d4_redis_connected(rd);
    }

    ngx_d4_redis_leave(rd);
}


static void
ngx_d4_redis_flush_handler(ngx_event_t *ev)
{
    ngx_d4_redis_t  *rd;

    rd = ev->data;

    rd->busy++;

    if (rd->stale) {
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, 0, "it is not a master");

    } else {
        ngx_d4_redis_flush(rd);
    }

    ngx_d4_redis_leave(rd);
}


static void
ngx_d4_redis_flush(ngx_d4_redis_t *rd)
{
    ngx_err_t  err;

    if (ngx_d4_redis_write(rd) == NGX_OK) {
        return;
    }

    err = ngx_socket_errno;

    /* answers, or its last words, may be there although no event told so */

    rd->connection->read->available = -1;

    ngx_d4_redis_read(rd);

    if (rd->connection != NULL) {
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, err, "writev() failed");
    }
}


static void
ngx_d4_redis_timer_handler(ngx_event_t *ev)
{
    ngx_d4_redis_t  *rd;

    rd = ev->data;

    rd->busy++;

    switch (rd->status) {

    case NGX_D4_REDIS_DOWN:
        ngx_d4_redis_connect(rd);
        break;

    case NGX_D4_REDIS_CONNECTING:
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, 0, "connect() timed out");
        break;

    case NGX_D4_REDIS_READY:
        if (rd->message != NULL
            && ngx_current_msec - rd->heard < NGX_D4_REDIS_SILENCE)
        {
            ngx_d4_redis_ping(rd);
            break;
        }

        /* fall through */

    default: /* NGX_D4_REDIS_HANDSHAKE */
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, 0,
                          "no answer within %M ms", rd->timeout);
    }

    ngx_d4_redis_leave(rd);
}


static void
ngx_d4_redis_ping(ngx_d4_redis_t *rd)
{
    ngx_str_t  ping;

    ngx_str_set(&ping, "PING");

    (void) ngx_d4_redis_send(rd, 1, &ping, NULL, NULL);

    ngx_add_timer(&rd->timer, NGX_D4_REDIS_PING);
}


static void
ngx_d4_redis_drain_handler(ngx_event_t *ev)
{
    u_char           buf[NGX_INT_T_LEN];
    ngx_str_t        text;
    ngx_d4_redis_t  *rd;

    rd = ev->data;

    rd->busy++;

    if (rd->pending != 0) {
        text.data = buf;
        text.len = ngx_sprintf(buf, "%ui", rd->pending) - buf;

        ngx_d4_redis_log(rd, NGX_LOG_ERR, 0,
                         "closed at shutdown, requests without an answer: ",
                         &text);
    }

    ngx_d4_redis_drop(rd, NGX_D4_REDIS_CLOSED);

    ngx_d4_redis_leave(rd);
}


void
ngx_d4_redis_log(ngx_d4_redis_t *rd, ngx_uint_t level, ngx_err_t err,
    char *what, ngx_str_t *text)
{
    ngx_log_error(level, rd->log, err, "redis %V %V%s: %s%V",
                  &rd->conf->role, &rd->conf->name,
                  (rd->message != NULL) ? " subscription" : "", what, text);
}

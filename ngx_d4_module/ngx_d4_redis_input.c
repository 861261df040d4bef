
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_d4_redis_core.h"


#define NGX_D4_REDIS_INPUT    65536

/* a feed is small, so that the replies of a batch need not be parsed */
#define NGX_D4_REDIS_FEED     1024


static ngx_int_t ngx_d4_redis_input(ngx_d4_redis_t *rd, u_char *p,
    u_char *last);
static u_char *ngx_d4_redis_skip(ngx_d4_redis_t *rd, u_char *p, u_char *last);
static void ngx_d4_redis_reply(ngx_d4_redis_t *rd, redisReply *reply);
static void ngx_d4_redis_answer(ngx_d4_redis_t *rd, redisReply *reply);
static void ngx_d4_redis_unexpected(ngx_d4_redis_t *rd, redisReply *reply);
static ngx_uint_t ngx_d4_redis_push(ngx_d4_redis_t *rd, redisReply *reply);


static u_char  ngx_d4_redis_buffer[NGX_D4_REDIS_INPUT];


void
ngx_d4_redis_read(ngx_d4_redis_t *rd)
{
    size_t             total;
    ssize_t            n;
    ngx_err_t          err;
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    c = rd->connection;
    rev = c->read;
    total = 0;

    for ( ;; ) {
        n = c->recv(c, ngx_d4_redis_buffer, NGX_D4_REDIS_INPUT);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR) {
            err = ngx_socket_errno;
            ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, err, "recv() failed");
            return;
        }

        if (n == 0) {
            ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, 0,
                              "it closed the connection");
            return;
        }

        rd->heard = ngx_current_msec;

        if (ngx_d4_redis_input(rd, ngx_d4_redis_buffer,
                               ngx_d4_redis_buffer + n)
            != NGX_OK)
        {
            return;
        }

        if (!rev->ready) {
            break;
        }

        total += n;

        if (total >= NGX_D4_REDIS_TURN) {
            ngx_post_event(rev, &ngx_posted_next_events);
            break;
        }
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, 0,
                          "its events cannot be had");
        return;
    }

    if (rd->status == NGX_D4_REDIS_READY && rd->message == NULL) {

        if (rd->pending != 0) {
            ngx_add_timer(&rd->timer, rd->timeout);

        } else if (rd->timer.timer_set) {
            ngx_del_timer(&rd->timer);
        }
    }
}


/* NGX_DONE: the connection went in one of the handlers */

static ngx_int_t
ngx_d4_redis_input(ngx_d4_redis_t *rd, u_char *p, u_char *last)
{
    void         *reply;
    size_t        n;
    redisReader  *reader;

    reader = rd->reader;

    while (p < last) {

        if (!rd->partial) {
            p = ngx_d4_redis_skip(rd, p, last);

            if (p == last) {
                break;
            }
        }

        n = ngx_min(last - p, NGX_D4_REDIS_FEED);

        if (redisReaderFeed(reader, (char *) p, n) != REDIS_OK) {
            ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, 0,
                              "no memory for its replies");
            return NGX_DONE;
        }

        p += n;

        /*
         * The reader is asked for a reply only when it holds something: one
         * that was asked in vain is in the middle of a reply.
         */

        do {
            if (redisReaderGetReply(reader, &reply) != REDIS_OK) {
                ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, 0,
                                  "it does not speak Redis' protocol");
                return NGX_DONE;
            }

            rd->partial = (reply == NULL);

            if (reply == NULL) {
                break;
            }

            ngx_d4_redis_reply(rd, reply);

            if (rd->connection == NULL) {
                return NGX_DONE;
            }

        } while (reader->pos < reader->len);
    }

    return NGX_OK;
}


/* The fixed replies to all but the last command of a batch. */

static u_char *
ngx_d4_redis_skip(ngx_d4_redis_t *rd, u_char *p, u_char *last)
{
    ngx_queue_t             *q;
    ngx_d4_redis_request_t  *r;

    if (ngx_queue_empty(&rd->requests)) {
        return p;
    }

    q = ngx_queue_head(&rd->requests);
    r = ngx_queue_data(q, ngx_d4_redis_request_t, queue);

    while (r->nreplies > 1 && !r->each) {

        if (last - p >= 9 && ngx_memcmp(p, "+QUEUED\r\n", 9) == 0) {
            p += 9;

        } else if (last - p >= 5 && ngx_memcmp(p, "+OK\r\n", 5) == 0) {
            p += 5;

        } else {
            break;
        }

        r->nreplies--;
    }

    return p;
}


/* A reply is for the oldest request, unless it is a message. */

static void
ngx_d4_redis_reply(ngx_d4_redis_t *rd, redisReply *reply)
{
    ngx_queue_t             *q;
    ngx_d4_redis_request_t  *r;

    if (rd->message != NULL && ngx_d4_redis_push(rd, reply)) {
        freeReplyObject(reply);
        return;
    }

    if (ngx_queue_empty(&rd->requests)) {
        ngx_d4_redis_unexpected(rd, reply);
        freeReplyObject(reply);
        return;
    }

    q = ngx_queue_head(&rd->requests);
    r = ngx_queue_data(q, ngx_d4_redis_request_t, queue);

    if (r->nreplies == 1) {
        ngx_d4_redis_answer(rd, reply);
        return;
    }

    r->nreplies--;

    if (r->each) {
        r->handler(r->data, reply);
        freeReplyObject(reply);
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR && rd->cause == NULL) {
        rd->cause = reply;

    } else {
        freeReplyObject(reply);
    }
}


/* The last reply to the oldest request. */

static void
ngx_d4_redis_answer(ngx_d4_redis_t *rd, redisReply *reply)
{
    redisReply              *cause;
    ngx_queue_t             *q;
    ngx_d4_redis_request_t  *r;

    q = ngx_queue_head(&rd->requests);
    r = ngx_queue_data(q, ngx_d4_redis_request_t, queue);

    /* while its blocks are being sent they are not the caller's to change */

    if (rd->sent < r->end) {
        ngx_d4_redis_unexpected(rd, reply);
        freeReplyObject(reply);
        return;
    }

    cause = rd->cause;
    rd->cause = NULL;

    if (cause != NULL) {

        if (reply->type == REDIS_REPLY_ERROR
            && ngx_d4_redis_is(reply->str, reply->len, "EXECABORT"))
        {
            freeReplyObject(reply);
            reply = cause;

        } else {
            freeReplyObject(cause);
        }
    }

    ngx_queue_remove(q);

    if (--rd->pending == 0) {
        rd->drain.cancelable = 1;
    }

    if (r->handler != NULL) {
        r->handler(r->data, reply);
    }

    ngx_free(r);
    freeReplyObject(reply);
}


static void
ngx_d4_redis_unexpected(ngx_d4_redis_t *rd, redisReply *reply)
{
    u_char     buf[NGX_D4_REDIS_TEXT];
    ngx_str_t  text;

    if (reply->type == REDIS_REPLY_ERROR) {

        /* such as the last words to one client too many */

        text = ngx_d4_redis_text(reply, buf, sizeof(buf));
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, 0, "it says: %V", &text);
        return;
    }

    if (rd->message == NULL) {
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, 0,
                          "it answered what was not asked");
    }
}


/* 1: it was a message of the channel */

static ngx_uint_t
ngx_d4_redis_push(ngx_d4_redis_t *rd, redisReply *reply)
{
    ngx_str_t    message;
    redisReply  *kind, *text;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        return 0;
    }

    kind = reply->element[0];
    text = reply->element[2];

    if (kind->type != REDIS_REPLY_STRING
        || kind->len != sizeof("message") - 1
        || ngx_memcmp(kind->str, "message", sizeof("message") - 1) != 0)
    {
        return 0;
    }

    if (rd->status != NGX_D4_REDIS_READY
        || text->type != REDIS_REPLY_STRING
        || memchr(text->str, '\0', text->len) != NULL)
    {
        return 1;
    }

    message.len = text->len;
    message.data = (u_char *) text->str;

    rd->message(&message);

    return 1;
}


void
ngx_d4_redis_fail_requests(ngx_d4_redis_t *rd)
{
    ngx_queue_t             *q;
    ngx_d4_redis_request_t  *r;

    /* a handler may close rd, and so come here again */

    while (!ngx_queue_empty(&rd->requests)) {
        q = ngx_queue_head(&rd->requests);
        r = ngx_queue_data(q, ngx_d4_redis_request_t, queue);

        ngx_queue_remove(q);
        rd->pending--;

        if (r->handler != NULL) {
            r->handler(r->data, NULL);
        }

        ngx_free(r);
    }

    rd->drain.cancelable = 1;
}

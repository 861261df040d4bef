
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The end of error answers: names whose last one is older than pdns_errors
 * says, and the oldest of those that are too many.  A name leaves the list
 * before its key is deleted, so that one that is written meanwhile is in the
 * list again.  One worker of a host does it; those of several hosts may, too.
 */


#include "ngx_http_pdns.h"
#include "pdns_error.h"


#define NGX_HTTP_PDNS_OLDEST  500      /* names looked at together */
#define NGX_HTTP_PDNS_SOON    20       /* ms until the next of them */
#define NGX_HTTP_PDNS_LATER   1000


typedef struct {
    ngx_socket_t               fd[3];  /* debug logs of timers read it */
    ngx_event_t                timer;
    ngx_http_pdns_pipe_t      *pipe;
    ngx_http_pdns_pipe_t      *remove;
    uint64_t                   names;
    ngx_uint_t                 n;      /* to be removed */
} ngx_http_pdns_errors_t;


static void ngx_http_pdns_errors_timer(ngx_event_t *ev);
static void ngx_http_pdns_errors_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_errors_read(void *data, ngx_uint_t ok);
static void ngx_http_pdns_errors_nothing(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_errors_removed(void *data, ngx_uint_t ok);


static ngx_http_pdns_errors_t  ngx_http_pdns_errors;


void
ngx_http_pdns_errors_init(void)
{
    ngx_http_pdns_errors_t  *e;

    e = &ngx_http_pdns_errors;

    ngx_memzero(e, sizeof(ngx_http_pdns_errors_t));

    if (ngx_http_pdns_worker.conf->errors == 0 || ngx_worker != 0) {
        return;
    }

    e->timer.handler = ngx_http_pdns_errors_timer;
    e->timer.data = e;
    e->timer.log = ngx_http_pdns_worker.log;
    e->timer.cancelable = 1;

    ngx_add_timer(&e->timer, NGX_HTTP_PDNS_LATER);
}


void
ngx_http_pdns_errors_exit(void)
{
    ngx_http_pdns_errors_t  *e;

    e = &ngx_http_pdns_errors;

    if (e->timer.timer_set) {
        ngx_del_timer(&e->timer);
    }

    if (e->pipe != NULL) {
        ngx_http_pdns_pipe_cancel(e->pipe);
        e->pipe = NULL;
    }

    if (e->remove != NULL) {
        ngx_http_pdns_pipe_free(e->remove);
        e->remove = NULL;
    }
}


static void
ngx_http_pdns_errors_wait(ngx_msec_t ms)
{
    if (!ngx_exiting) {
        ngx_add_timer(&ngx_http_pdns_errors.timer, ms);
    }
}


static void
ngx_http_pdns_errors_timer(ngx_event_t *ev)
{
    ngx_http_pdns_pipe_t    *pipe;
    ngx_http_pdns_errors_t  *e = ev->data;

    pipe = ngx_http_pdns_pipe();
    e->remove = ngx_http_pdns_pipe();

    e->n = 0;

    if (pipe == NULL || e->remove == NULL) {

        if (pipe != NULL) {
            ngx_http_pdns_pipe_free(pipe);
        }

        ngx_http_pdns_errors_read(e, 0);
        return;
    }

    pdns_resp_command(&pipe->w, 2, "ZCARD");
    pdns_resp_text(&pipe->w, PDNS_KEY_ERRORS);
    pdns_resp_command(&pipe->w, 5, "ZRANGE");
    pdns_resp_text(&pipe->w, PDNS_KEY_ERRORS);
    pdns_resp_text(&pipe->w, "0");
    pdns_resp_number(&pipe->w, NGX_HTTP_PDNS_OLDEST - 1);
    pdns_resp_text(&pipe->w, "WITHSCORES");

    e->names = 0;
    e->pipe = pipe;

    if (ngx_http_pdns_pipe_send(pipe, ngx_http_pdns_errors_reply,
                                ngx_http_pdns_errors_read, e)
        != NGX_OK)
    {
        ngx_http_pdns_errors_read(e, 0);
    }
}


/* The oldest come first: behind one that stays, all do. */

static void
ngx_http_pdns_errors_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_errors_t *e = data;

    int64_t                     least;
    ngx_uint_t                  n;
    redisReply                 *key;
    ngx_http_pdns_main_conf_t  *conf;

    conf = ngx_http_pdns_worker.conf;

    if (i == 0) {
        e->names = (reply->type == REDIS_REPLY_INTEGER) ? reply->integer : 0;
        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY) {
        return;
    }

    least = (int64_t) (ngx_time() - conf->errors);

    for (n = 0; n + 1 < reply->elements; n += 2) {
        key = reply->element[n];

        if (ngx_http_pdns_score(reply->element[n + 1]) > least
            && e->names - e->n <= conf->errors_max)
        {
            return;
        }

        pdns_resp_command(&e->remove->w, 3, "ZREM");
        pdns_resp_text(&e->remove->w, PDNS_KEY_ERRORS);
        pdns_resp_word(&e->remove->w, key->str, key->len);
        pdns_resp_command(&e->remove->w, 2, "UNLINK");
        pdns_resp_word(&e->remove->w, key->str, key->len);

        e->n++;
    }
}


static void
ngx_http_pdns_errors_read(void *data, ngx_uint_t ok)
{
    ngx_http_pdns_errors_t *e = data;

    ngx_http_pdns_pipe_t  *remove;

    remove = e->remove;
    e->remove = NULL;
    e->pipe = NULL;

    if (!ok || e->n == 0) {

        if (remove != NULL) {
            ngx_http_pdns_pipe_free(remove);
        }

        ngx_http_pdns_errors_wait(NGX_HTTP_PDNS_LATER);
        return;
    }

    e->pipe = remove;

    if (ngx_http_pdns_pipe_send(remove, ngx_http_pdns_errors_nothing,
                                ngx_http_pdns_errors_removed, e)
        != NGX_OK)
    {
        ngx_http_pdns_errors_removed(e, 0);
    }
}


static void
ngx_http_pdns_errors_nothing(void *data, ngx_uint_t i, redisReply *reply)
{
    /* void */
}


static void
ngx_http_pdns_errors_removed(void *data, ngx_uint_t ok)
{
    ngx_http_pdns_errors_t *e = data;

    e->pipe = NULL;

    ngx_http_pdns_errors_wait((ok && e->n == NGX_HTTP_PDNS_OLDEST)
                              ? NGX_HTTP_PDNS_SOON : NGX_HTTP_PDNS_LATER);
}

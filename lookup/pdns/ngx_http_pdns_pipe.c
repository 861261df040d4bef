
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_http_pdns.h"


static void ngx_http_pdns_pipe_handler(void *data, redisReply *reply);


ngx_http_pdns_pipe_t *
ngx_http_pdns_pipe(void)
{
    ngx_http_pdns_pipe_t  *pipe;

    pipe = ngx_calloc(sizeof(ngx_http_pdns_pipe_t), ngx_http_pdns_worker.log);
    if (pipe == NULL) {
        return NULL;
    }

    d4_blocks_init(&pipe->blocks, &ngx_http_pdns_worker.pool);
    pdns_resp_init(&pipe->w, &pipe->blocks);

    pipe->rd = ngx_http_pdns_worker.lookup;

    return pipe;
}


void
ngx_http_pdns_pipe_free(ngx_http_pdns_pipe_t *pipe)
{
    d4_blocks_free(&pipe->blocks);
    ngx_free(pipe);
}


ngx_int_t
ngx_http_pdns_pipe_send(ngx_http_pdns_pipe_t *pipe,
    ngx_http_pdns_reply_pt reply, ngx_http_pdns_done_pt done, void *data)
{
    ngx_d4_redis_t  *rd;

    rd = pipe->rd;

    pipe->reply = reply;
    pipe->done = done;
    pipe->data = data;
    pipe->replies = pipe->w.commands;

    if (rd == NULL || pipe->w.failed
        || ngx_d4_redis_each(rd, &pipe->blocks, pipe->replies,
                             ngx_http_pdns_pipe_handler, pipe)
           != NGX_OK)
    {
        ngx_http_pdns_pipe_free(pipe);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_pdns_pipe_cancel(ngx_http_pdns_pipe_t *pipe)
{
    pipe->data = NULL;
}


/*
 * A key may be anything else that lies there, which is as good as none; the
 * reply tells by its type.  Redis 6.2 puts a text before what a script met.
 */

static ngx_uint_t
ngx_http_pdns_pipe_other(redisReply *reply)
{
    return ngx_strstr(reply->str, "WRONGTYPE") != NULL;
}


static void
ngx_http_pdns_pipe_handler(void *data, redisReply *reply)
{
    void                   *to;
    ngx_http_pdns_done_pt   done;
    ngx_http_pdns_pipe_t   *pipe;

    pipe = data;

    if (reply == NULL) {
        pipe->failed = 1;
        pipe->got = pipe->replies;

    } else {
        if (reply->type == REDIS_REPLY_ERROR
            && !ngx_http_pdns_pipe_other(reply))
        {
            if (!pipe->failed) {
                ngx_log_error(NGX_LOG_ERR, ngx_http_pdns_worker.log, 0,
                              "redis pdns%s: %*s",
                              (pipe->rd == ngx_http_pdns_worker.lookup)
                              ? "" : "_legacy",
                              ngx_min(reply->len, 160), reply->str);
            }

            pipe->failed = 1;
        }

        if (pipe->data != NULL && !pipe->failed) {
            pipe->reply(pipe->data, pipe->got, reply);
        }

        pipe->got++;
    }

    if (pipe->got < pipe->replies) {
        return;
    }

    to = pipe->data;
    done = pipe->done;

    if (to != NULL) {
        done(to, !pipe->failed);
    }

    ngx_http_pdns_pipe_free(pipe);
}

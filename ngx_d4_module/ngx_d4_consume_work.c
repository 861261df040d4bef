
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_d4_consume_core.h"


static void ngx_d4_consume_give_handler(void *data, redisReply *reply);
static void ngx_d4_consume_take(ngx_d4_consumer_t *c);
static void ngx_d4_consume_take_handler(void *data, redisReply *reply);
static void ngx_d4_consume_deliver(ngx_d4_consumer_t *c, redisReply *reply);
static void ngx_d4_consume_remove_handler(void *data, redisReply *reply);
static void ngx_d4_consume_removed(ngx_d4_consumer_t *c, uint64_t position);
static void ngx_d4_consume_lost(ngx_d4_consumer_t *c);
static ngx_uint_t ngx_d4_consume_failed(ngx_d4_consumer_t *c,
    redisReply *reply);
static void ngx_d4_consume_works(ngx_d4_consumer_t *c, redisReply *reply);


#define ngx_d4_consume_number(str, buf, fmt, n)                               \
    (str)->data = (buf);                                                      \
    (str)->len = ngx_sprintf(buf, fmt, n) - (buf)


void
ngx_d4_consume_work(ngx_d4_consumer_t *c)
{
    ngx_uint_t  leaving;

    if (!ngx_d4_worker.active || c->busy
        || !ngx_d4_redis_ready(ngx_d4_worker.queues))
    {
        return;
    }

    leaving = ngx_d4_consume_leaving();

    if (c->joined) {
        if (c->removed < c->acked && !c->acking) {
            ngx_d4_consume_remove(c);
        }

        if ((c->back || leaving) && c->nblocks == 0 && !c->acking
            && !c->taking)
        {
            c->joined = 0;
            c->back = 0;
        }
    }

    if (c->joined) {
        if (c->want && !c->taking && !c->timer.timer_set && !leaving
            && !c->back && c->nblocks < c->conf.blocks
            && ngx_d4_control_leased())
        {
            ngx_d4_consume_take(c);
        }

        return;
    }

    /* what is still to be answered must not be taken for what follows */

    if (c->taking || c->acking || (c->timer.timer_set && !leaving)) {
        return;
    }

    if (c->want && !leaving) {
        if (ngx_d4_control_leased()) {
            ngx_d4_consume_give(c, 1);
        }

    } else if (c->present) {
        ngx_d4_consume_give(c, 0);
    }
}


void
ngx_d4_consume_give(ngx_d4_consumer_t *c, ngx_uint_t join)
{
    u_char     at[NGX_INT64_LEN];
    ngx_str_t  argv[3];

    argv[0] = ngx_d4_worker.id;
    argv[1] = c->conf.list;
    ngx_str_set(&argv[2], "");

    if (join) {

        /* beyond all that a take without an answer may have reached */

        c->taken += c->conf.elements + 1;
        c->acked = c->taken;
        c->removed = c->taken;

        ngx_d4_consume_number(&argv[2], at, "%uL", c->taken);
    }

    if (ngx_d4_eval(ngx_d4_worker.queues, &ngx_d4_consume_give_script, 3,
                    argv, ngx_d4_consume_give_handler, c)
        == NGX_OK)
    {
        c->present = 1;
        c->busy = 1;
        c->joined = join;

        ngx_d4_stay();
    }
}


static void
ngx_d4_consume_give_handler(void *data, redisReply *reply)
{
    ngx_d4_consumer_t  *c = data;

    c->busy = 0;

    if (ngx_d4_consume_failed(c, reply)) {
        c->joined = 0;
        return;
    }

    c->present = c->joined;

    ngx_d4_consume_work(c);
}


static void
ngx_d4_consume_take(ngx_d4_consumer_t *c)
{
    u_char     at[NGX_INT64_LEN], n[NGX_INT_T_LEN], bytes[NGX_SIZE_T_LEN];
    ngx_str_t  argv[5];

    argv[0] = ngx_d4_worker.id;
    argv[1] = c->conf.list;
    ngx_d4_consume_number(&argv[2], at, "%uL", c->taken);
    ngx_d4_consume_number(&argv[3], n, "%ui", c->conf.elements);
    ngx_d4_consume_number(&argv[4], bytes, "%uz", c->conf.bytes);

    if (ngx_d4_eval(ngx_d4_worker.queues, &ngx_d4_consume_take_script, 5,
                    argv, ngx_d4_consume_take_handler, c)
        == NGX_OK)
    {
        c->taking = 1;
        c->woken = 0;
    }
}


static void
ngx_d4_consume_take_handler(void *data, redisReply *reply)
{
    ngx_d4_consumer_t  *c = data;

    c->taking = 0;

    if (ngx_d4_consume_failed(c, reply)) {
        return;
    }

    if (!c->joined) {
        /* void: what it took is given back */

    } else if (!ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY)
               || reply->elements > c->conf.elements)
    {
        ngx_d4_consume_lost(c);

    } else if (reply->elements) {
        c->pause = NGX_D4_CONSUME_PAUSE_MIN;
        c->taken += reply->elements;

        /* after a change of mind it is given back with what else there is */

        if (!c->back && !ngx_d4_consume_leaving()) {
            ngx_d4_consume_deliver(c, reply);
        }

    } else if (!c->woken) {
        ngx_d4_consume_wait(c, c->pause);
        c->pause = ngx_min(c->pause * 2, NGX_D4_CONSUME_PAUSE_MAX);
    }

    ngx_d4_consume_work(c);
}


static void
ngx_d4_consume_deliver(ngx_d4_consumer_t *c, redisReply *reply)
{
    size_t           i;
    ngx_d4_taken_t  *block;

    for (i = 0; i < reply->elements; i++) {
        c->elements[i].data = (u_char *) reply->element[i]->str;
        c->elements[i].len = reply->element[i]->len;
    }

    block = &c->blocks[c->nblocks++];
    block->token = c->taken;
    block->acked = 0;

    c->want = 0;

    c->conf.block(c->data, block->token, c->elements, reply->elements);
}


void
ngx_d4_consume_remove(ngx_d4_consumer_t *c)
{
    u_char     at[NGX_INT64_LEN];
    ngx_str_t  argv[3];

    argv[0] = ngx_d4_worker.id;
    argv[1] = c->conf.list;
    ngx_d4_consume_number(&argv[2], at, "%uL", c->acked);

    if (ngx_d4_eval(ngx_d4_worker.queues, &ngx_d4_consume_remove_script, 3,
                    argv, ngx_d4_consume_remove_handler, c)
        == NGX_OK)
    {
        c->acking = 1;
        c->asked = c->acked;
    }
}


static void
ngx_d4_consume_remove_handler(void *data, redisReply *reply)
{
    ngx_d4_consumer_t  *c = data;

    c->acking = 0;

    if (ngx_d4_consume_failed(c, reply)) {
        return;
    }

    if (!c->joined) {
        /* void: a take has found out before */

    } else if (ngx_d4_reply_int(reply) == 1) {
        ngx_d4_consume_removed(c, c->asked);

    } else {
        ngx_d4_consume_lost(c);
    }

    ngx_d4_consume_work(c);
}


static void
ngx_d4_consume_removed(ngx_d4_consumer_t *c, uint64_t position)
{
    uint64_t  token;

    c->removed = position;

    while (c->nblocks && c->blocks[0].token <= position) {
        token = c->blocks[0].token;
        c->nblocks--;

        ngx_memmove(c->blocks, c->blocks + 1,
                    c->nblocks * sizeof(ngx_d4_taken_t));

        if (c->conf.acked) {
            c->conf.acked(c->data, token, 0);
        }
    }
}


/* What was taken is not ours any more. */

static void
ngx_d4_consume_lost(ngx_d4_consumer_t *c)
{
    ngx_uint_t  i, n;

    n = c->nblocks;

    c->joined = 0;
    c->back = 0;
    c->nblocks = 0;

    if (n == 0) {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, ngx_d4_worker.log, 0,
                  "d4 list \"%V\": %ui blocks that this worker had taken were "
                  "given back meanwhile", &c->conf.list, n);

    for (i = 0; i < n; i++) {
        if (c->blocks[i].acked && c->conf.acked) {
            c->conf.acked(c->data, c->blocks[i].token, 1);
        }
    }
}


/* For each answer: 1 if it is none.  What is refused is asked again later. */

static ngx_uint_t
ngx_d4_consume_failed(ngx_d4_consumer_t *c, redisReply *reply)
{
    char  *text;

    if (reply == NULL) {
        return 1;
    }

    if (ngx_d4_redis_try_again(reply)) {
        c->held = 1;
        ngx_d4_redis_writes(ngx_d4_worker.queues, reply);
        ngx_d4_consume_wait(c, NGX_D4_CONSUME_PAUSE_MAX);
        return 1;
    }

    if (ngx_d4_reply_is(reply, REDIS_REPLY_ERROR)) {
        text = reply->str;

    } else if (ngx_d4_reply_int(reply) < 0) {
        text = "WRONGTYPE";

    } else {
        ngx_d4_consume_works(c, reply);
        return 0;
    }

    if (!c->refused) {
        c->refused = 1;
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "d4 list \"%V\" cannot be consumed: \"%s\"",
                      &c->conf.list, text);
    }

    ngx_d4_consume_wait(c, NGX_D4_CONSUME_REFUSED);

    return 1;
}


static void
ngx_d4_consume_works(ngx_d4_consumer_t *c, redisReply *reply)
{
    /* to find a list empty needs no write */

    if (c->held && (!ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY)
                    || reply->elements))
    {
        c->held = 0;
        ngx_d4_redis_writes(ngx_d4_worker.queues, NULL);
    }

    if (c->refused && ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY)) {
        c->refused = 0;
        ngx_log_error(NGX_LOG_NOTICE, ngx_d4_worker.log, 0,
                      "d4 list \"%V\" can be consumed again",
                      &c->conf.list);
    }
}

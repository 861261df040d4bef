
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_d4_consume_core.h"


#define NGX_D4_CONSUME_LIST  1024          /* longest key */


static char *ngx_d4_consume_wrong(ngx_d4_consume_conf_t *conf);
static ngx_d4_consumer_t *ngx_d4_consume_find(ngx_str_t *list);
static void ngx_d4_consume_timer_handler(ngx_event_t *ev);


static ngx_queue_t        ngx_d4_consumers;
static ngx_atomic_uint_t  ngx_d4_consume_seen;


void
ngx_d4_consume_init(void)
{
    ngx_queue_init(&ngx_d4_consumers);

    ngx_d4_consume_seen = ngx_d4_worker.shared->pushed;
}


ngx_d4_consumer_t *
ngx_d4_consume(ngx_d4_consume_conf_t *conf, void *data)
{
    char               *wrong;
    ngx_d4_consumer_t  *c;

    if (!ngx_d4_worker.active) {
        return NULL;
    }

    wrong = ngx_d4_consume_wrong(conf);

    if (wrong != NULL) {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "d4 list \"%V\" cannot be consumed: %s", &conf->list,
                      wrong);
        return NULL;
    }

    c = ngx_calloc(sizeof(ngx_d4_consumer_t)
                   + conf->elements * sizeof(ngx_str_t), ngx_d4_worker.log);
    if (c == NULL) {
        return NULL;
    }

    c->ident = -1;
    c->data = data;
    c->conf = *conf;
    c->pause = NGX_D4_CONSUME_PAUSE_MIN;

    c->timer.handler = ngx_d4_consume_timer_handler;
    c->timer.data = c;
    c->timer.log = ngx_d4_worker.log;
    c->timer.cancelable = 1;

    ngx_queue_insert_tail(&ngx_d4_consumers, &c->queue);

    return c;
}


static char *
ngx_d4_consume_wrong(ngx_d4_consume_conf_t *conf)
{
    if (ngx_d4_worker.queues == NULL) {
        return "no \"redis queues\" is defined";
    }

    if (conf->list.len == 0 || conf->list.len > NGX_D4_CONSUME_LIST
        || conf->elements == 0 || conf->elements > NGX_D4_CONSUME_ELEMENTS
        || conf->bytes == 0 || conf->blocks == 0
        || conf->blocks > NGX_D4_CONSUME_BLOCKS)
    {
        return "a limit is wrong";
    }

    if (ngx_d4_consume_find(&conf->list) != NULL) {
        return "it is consumed already";
    }

    return NULL;
}


static ngx_d4_consumer_t *
ngx_d4_consume_find(ngx_str_t *list)
{
    ngx_queue_t        *q;
    ngx_d4_consumer_t  *c;

    for (q = ngx_queue_head(&ngx_d4_consumers);
         q != ngx_queue_sentinel(&ngx_d4_consumers);
         q = ngx_queue_next(q))
    {
        c = ngx_queue_data(q, ngx_d4_consumer_t, queue);

        if (c->conf.list.len == list->len
            && ngx_memcmp(c->conf.list.data, list->data, list->len) == 0)
        {
            return c;
        }
    }

    return NULL;
}


void
ngx_d4_consume_more(ngx_d4_consumer_t *c)
{
    c->want = 1;

    ngx_d4_consume_work(c);
}


ngx_int_t
ngx_d4_consume_ack(ngx_d4_consumer_t *c, uint64_t token)
{
    ngx_uint_t  i;

    for (i = 0; i < c->nblocks; i++) {
        if (c->blocks[i].token == token) {
            break;
        }
    }

    if (i == c->nblocks || c->blocks[i].acked) {
        return NGX_DECLINED;
    }

    c->blocks[i].acked = 1;

    for (i = 0; i < c->nblocks && c->blocks[i].acked; i++) {
        c->acked = c->blocks[i].token;
    }

    ngx_d4_consume_work(c);

    return NGX_OK;
}


void
ngx_d4_consume_nack(ngx_d4_consumer_t *c)
{
    ngx_uint_t  i;

    /* those on their way out are waited for */

    for (i = 0; i < c->nblocks && c->blocks[i].token <= c->acked; i++) {
        /* void */
    }

    c->nblocks = i;
    c->back = c->joined;

    if (!c->refused) {
        ngx_d4_consume_wait(c, 0);
    }

    ngx_d4_consume_work(c);
}


void
ngx_d4_consume_wake(ngx_str_t *list)
{
    ngx_d4_consumer_t  *c;

    if (!ngx_d4_worker.active) {
        return;
    }

    (void) ngx_atomic_fetch_add(&ngx_d4_worker.shared->pushed, 1);

    c = ngx_d4_consume_find(list);

    if (c != NULL && !c->refused) {
        c->woken = 1;

        ngx_d4_consume_wait(c, 0);
        ngx_d4_consume_work(c);
    }
}


void
ngx_d4_consume_tick(void)
{
    ngx_uint_t          pushed;
    ngx_queue_t        *q;
    ngx_atomic_uint_t   seen;
    ngx_d4_consumer_t  *c;

    seen = ngx_d4_worker.shared->pushed;
    pushed = (seen != ngx_d4_consume_seen);
    ngx_d4_consume_seen = seen;

    for (q = ngx_queue_head(&ngx_d4_consumers);
         q != ngx_queue_sentinel(&ngx_d4_consumers);
         q = ngx_queue_next(q))
    {
        c = ngx_queue_data(q, ngx_d4_consumer_t, queue);

        if (pushed && !c->refused) {
            c->woken = 1;
            ngx_d4_consume_wait(c, 0);
        }

        ngx_d4_consume_work(c);
    }
}


void
ngx_d4_consume_up(void)
{
    ngx_queue_t        *q;
    ngx_d4_consumer_t  *c;

    for (q = ngx_queue_head(&ngx_d4_consumers);
         q != ngx_queue_sentinel(&ngx_d4_consumers);
         q = ngx_queue_next(q))
    {
        c = ngx_queue_data(q, ngx_d4_consumer_t, queue);

        /* Redis may have forgotten what it did last: all is removed again */

        c->removed = 0;

        ngx_d4_consume_wait(c, 0);
        ngx_d4_consume_work(c);
    }
}


ngx_uint_t
ngx_d4_consume_any(void)
{
    return !ngx_queue_empty(&ngx_d4_consumers);
}


/*
 * What is taken may be finished.  To be forgotten needs a Redis that answers;
 * else it is left to the reaper.
 */

ngx_uint_t
ngx_d4_consume_busy(void)
{
    ngx_queue_t        *q;
    ngx_d4_consumer_t  *c;

    for (q = ngx_queue_head(&ngx_d4_consumers);
         q != ngx_queue_sentinel(&ngx_d4_consumers);
         q = ngx_queue_next(q))
    {
        c = ngx_queue_data(q, ngx_d4_consumer_t, queue);

        if (c->nblocks
            || (c->present && !c->refused
                && ngx_d4_redis_ready(ngx_d4_worker.queues)))
        {
            return 1;
        }
    }

    return 0;
}


/* Consumers stay where they are: their modules end later. */

ngx_uint_t
ngx_d4_consume_done(void)
{
    ngx_uint_t          left;
    ngx_queue_t        *q;
    ngx_d4_consumer_t  *c;

    left = 0;

    for (q = ngx_queue_head(&ngx_d4_consumers);
         q != ngx_queue_sentinel(&ngx_d4_consumers);
         q = ngx_queue_next(q))
    {
        c = ngx_queue_data(q, ngx_d4_consumer_t, queue);

        ngx_d4_consume_wait(c, 0);

        if (c->present) {
            left++;

            if (ngx_d4_redis_ready(ngx_d4_worker.queues)) {

                if (c->removed < c->acked) {
                    ngx_d4_consume_remove(c);
                }

                ngx_d4_consume_give(c, 0);
            }
        }
    }

    return left;
}


void
ngx_d4_consume_wait(ngx_d4_consumer_t *c, ngx_msec_t ms)
{
    if (c->timer.timer_set) {
        ngx_del_timer(&c->timer);
    }

    if (ms && ngx_d4_worker.active) {
        ngx_add_timer(&c->timer, ms);
    }
}


static void
ngx_d4_consume_timer_handler(ngx_event_t *ev)
{
    ngx_d4_consume_work(ev->data);
}

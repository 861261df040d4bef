
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Records from queues of the D4 server.  A block of a queue is acknowledged
 * when the store has it; a queue is asked for more only while there is room
 * for what it gives.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_BLOCK   1000     /* elements: a few ms of the worker */
#define NGX_HTTP_PDNS_BYTES   (1024 * 1024)
#define NGX_HTTP_PDNS_BLOCKS  NGX_D4_CONSUME_BLOCKS  /* out at once */


typedef struct {
    ngx_d4_consumer_t         *consumer;
    ngx_uint_t                 out;    /* blocks not yet stored */
    ngx_http_pdns_waiter_t     waiter; /* for room that others have taken */
    ngx_uint_t                 waiting;
} ngx_http_pdns_queue_t;


typedef struct {
    ngx_http_pdns_waiter_t     waiter;
    ngx_http_pdns_queue_t     *queue;
    uint64_t                   token;
} ngx_http_pdns_block_t;


static void ngx_http_pdns_queue_block(void *data, uint64_t token,
    ngx_str_t *elements, ngx_uint_t n);
static void ngx_http_pdns_queue_element(ngx_str_t *element);
static void ngx_http_pdns_queue_stored(void *data);
static void ngx_http_pdns_queue_more(ngx_http_pdns_queue_t *queue);
static void ngx_http_pdns_queue_room(void *data);


ngx_int_t
ngx_http_pdns_queue_init(void)
{
    ngx_str_t              *key;
    ngx_uint_t              i;
    ngx_array_t            *queues;
    ngx_d4_consume_conf_t   conf;
    ngx_http_pdns_queue_t  *queue;

    queues = ngx_http_pdns_worker.conf->queues;

    if (queues == NULL) {
        return NGX_OK;
    }

    key = queues->elts;

    for (i = 0; i < queues->nelts; i++) {

        queue = ngx_calloc(sizeof(ngx_http_pdns_queue_t),
                           ngx_http_pdns_worker.log);
        if (queue == NULL) {
            return NGX_ERROR;
        }

        queue->waiter.stored = ngx_http_pdns_queue_room;
        queue->waiter.data = queue;

        ngx_memzero(&conf, sizeof(ngx_d4_consume_conf_t));

        conf.list = key[i];
        conf.elements = NGX_HTTP_PDNS_BLOCK;
        conf.bytes = NGX_HTTP_PDNS_BYTES;
        conf.blocks = NGX_HTTP_PDNS_BLOCKS;
        conf.block = ngx_http_pdns_queue_block;

        queue->consumer = ngx_d4_consume(&conf, queue);

        if (queue->consumer == NULL) {
            return NGX_ERROR;
        }

        ngx_d4_consume_more(queue->consumer);
    }

    return NGX_OK;
}


static void
ngx_http_pdns_queue_block(void *data, uint64_t token, ngx_str_t *elements,
    ngx_uint_t n)
{
    ngx_http_pdns_queue_t *queue = data;

    ngx_uint_t              i;
    ngx_http_pdns_block_t  *block;

    block = ngx_alloc(sizeof(ngx_http_pdns_block_t),
                      ngx_http_pdns_worker.log);

    if (block == NULL) {
        ngx_d4_consume_nack(queue->consumer);
        ngx_http_pdns_queue_more(queue);
        return;
    }

    block->queue = queue;
    block->token = token;
    block->waiter.stored = ngx_http_pdns_queue_stored;
    block->waiter.data = block;

    queue->out++;

    for (i = 0; i < n; i++) {
        ngx_http_pdns_queue_element(&elements[i]);
    }

    /*
     * less than there might have been is all there is; and what may be out is
     * written by halves, so that one is taken while the other is stored
     */

    ngx_http_pdns_store_wait(&block->waiter,
                             n < NGX_HTTP_PDNS_BLOCK
                             || queue->out >= NGX_HTTP_PDNS_BLOCKS / 2);
    ngx_http_pdns_queue_more(queue);
}


/* One line, or several that were not taken apart. */

static void
ngx_http_pdns_queue_element(ngx_str_t *element)
{
    u_char  *p, *last, *lf;

    last = element->data + element->len;

    for (p = element->data; p < last; p = lf + 1) {

        lf = ngx_strlchr(p, last, LF);

        if (lf == NULL) {
            lf = last;
        }

        (void) ngx_http_pdns_store_line(p, lf - p, NULL);
    }
}


static void
ngx_http_pdns_queue_stored(void *data)
{
    ngx_http_pdns_block_t *block = data;

    ngx_http_pdns_queue_t  *queue;

    queue = block->queue;
    queue->out--;

    /* a block that is lost comes again, and is stored again */

    (void) ngx_d4_consume_ack(queue->consumer, block->token);

    ngx_free(block);

    ngx_http_pdns_queue_more(queue);
}


static void
ngx_http_pdns_queue_more(ngx_http_pdns_queue_t *queue)
{
    if (ngx_http_pdns_store_room()) {

        if (queue->out < NGX_HTTP_PDNS_BLOCKS) {
            ngx_d4_consume_more(queue->consumer);
        }

        return;
    }

    if (queue->out == 0 && !queue->waiting) {
        queue->waiting = 1;
        ngx_http_pdns_store_wait_room(&queue->waiter);
    }
}


static void
ngx_http_pdns_queue_room(void *data)
{
    ngx_http_pdns_queue_t *queue = data;

    queue->waiting = 0;
    ngx_http_pdns_queue_more(queue);
}

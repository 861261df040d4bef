
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_d4_redis_core.h"


#define NGX_D4_REDIS_BUFS     64
#define NGX_D4_REDIS_PIECE    4096


static ngx_d4_redis_request_t *ngx_d4_redis_request(ngx_d4_redis_t *rd,
    ngx_uint_t nreplies, ngx_d4_reply_pt handler, void *data);
static void ngx_d4_redis_queue(ngx_d4_redis_t *rd, ngx_d4_redis_request_t *r,
    size_t len);
static ngx_d4_redis_piece_t *ngx_d4_redis_room(ngx_d4_redis_t *rd,
    size_t len);
static void ngx_d4_redis_chain(ngx_d4_redis_t *rd, ngx_chain_t *chain,
    ngx_buf_t *bufs);
static void ngx_d4_redis_sent(ngx_d4_redis_t *rd, size_t sent);


ngx_int_t
ngx_d4_redis_send(ngx_d4_redis_t *rd, ngx_uint_t argc, ngx_str_t *argv,
    ngx_d4_reply_pt handler, void *data)
{
    size_t                   len;
    u_char                  *p;
    ngx_uint_t               i;
    ngx_d4_redis_piece_t    *piece;
    ngx_d4_redis_request_t  *r;

    len = sizeof("*\r\n") - 1 + NGX_INT_T_LEN;

    for (i = 0; i < argc; i++) {
        len += sizeof("$\r\n\r\n") - 1 + NGX_SIZE_T_LEN + argv[i].len;
    }

    r = ngx_d4_redis_request(rd, 1, handler, data);
    if (r == NULL) {
        return NGX_ERROR;
    }

    piece = ngx_d4_redis_room(rd, len);
    if (piece == NULL) {
        ngx_free(r);
        return NGX_ERROR;
    }

    p = ngx_sprintf(piece->data + piece->used, "*%ui" CRLF, argc);

    for (i = 0; i < argc; i++) {
        p = ngx_sprintf(p, "$%uz" CRLF, argv[i].len);
        p = ngx_cpymem(p, argv[i].data, argv[i].len);
        *p++ = CR; *p++ = LF;
    }

    len = p - (piece->data + piece->used);
    piece->used += len;

    ngx_d4_redis_queue(rd, r, len);

    return NGX_OK;
}


ngx_int_t
ngx_d4_redis_send_blocks(ngx_d4_redis_t *rd, d4_blocks_t *blocks,
    ngx_uint_t nreplies, ngx_uint_t each, ngx_d4_reply_pt handler, void *data)
{
    ngx_d4_redis_piece_t    *piece;
    ngx_d4_redis_request_t  *r;

    if (blocks->bytes == 0 || nreplies == 0) {
        return NGX_ERROR;
    }

    r = ngx_d4_redis_request(rd, nreplies, handler, data);
    if (r == NULL) {
        return NGX_ERROR;
    }

    r->each = each;

    piece = ngx_alloc(sizeof(ngx_d4_redis_piece_t), rd->log);
    if (piece == NULL) {
        ngx_free(r);
        return NGX_ERROR;
    }

    piece->block = blocks->first;
    piece->sent = 0;
    piece->used = 0;
    piece->size = 0;

    ngx_queue_insert_tail(&rd->output, &piece->queue);

    ngx_d4_redis_queue(rd, r, blocks->bytes);

    return NGX_OK;
}


static ngx_d4_redis_request_t *
ngx_d4_redis_request(ngx_d4_redis_t *rd, ngx_uint_t nreplies,
    ngx_d4_reply_pt handler, void *data)
{
    ngx_d4_redis_request_t  *r;

    r = ngx_alloc(sizeof(ngx_d4_redis_request_t), rd->log);
    if (r == NULL) {
        return NULL;
    }

    r->handler = handler;
    r->data = data;
    r->nreplies = nreplies;
    r->each = 0;

    return r;
}


static void
ngx_d4_redis_queue(ngx_d4_redis_t *rd, ngx_d4_redis_request_t *r, size_t len)
{
    rd->queued += len;
    r->end = rd->queued;

    ngx_queue_insert_tail(&rd->requests, &r->queue);

    if (rd->pending++ == 0) {
        rd->drain.cancelable = 0;

        if (rd->status == NGX_D4_REDIS_READY && rd->message == NULL) {
            ngx_add_timer(&rd->timer, rd->timeout);
        }
    }

    /* all that is asked for in a turn of the event loop leaves at once */

    if (rd->connection->write->ready && !rd->flush.posted) {
        ngx_post_event(&rd->flush, &ngx_posted_events);
    }
}


static ngx_d4_redis_piece_t *
ngx_d4_redis_room(ngx_d4_redis_t *rd, size_t len)
{
    size_t                 size;
    ngx_queue_t           *q;
    ngx_d4_redis_piece_t  *piece;

    if (!ngx_queue_empty(&rd->output)) {
        q = ngx_queue_last(&rd->output);
        piece = ngx_queue_data(q, ngx_d4_redis_piece_t, queue);

        if (len <= piece->size - piece->used) {
            return piece;
        }
    }

    size = NGX_D4_REDIS_PIECE - sizeof(ngx_d4_redis_piece_t);

    if (size < len) {
        size = len;
    }

    piece = ngx_alloc(sizeof(ngx_d4_redis_piece_t) + size, rd->log);
    if (piece == NULL) {
        return NULL;
    }

    piece->block = NULL;
    piece->sent = 0;
    piece->used = 0;
    piece->size = size;

    ngx_queue_insert_tail(&rd->output, &piece->queue);

    return piece;
}


ngx_int_t
ngx_d4_redis_write(ngx_d4_redis_t *rd)
{
    off_t              before;
    size_t             sent, total;
    ngx_buf_t          bufs[NGX_D4_REDIS_BUFS];
    ngx_chain_t       *cl, chain[NGX_D4_REDIS_BUFS];
    ngx_connection_t  *c;

    c = rd->connection;
    total = 0;

    while (c->write->ready && !ngx_queue_empty(&rd->output)) {

        if (total >= NGX_D4_REDIS_TURN) {
            ngx_post_event(c->write, &ngx_posted_next_events);
            return NGX_OK;
        }

        ngx_d4_redis_chain(rd, chain, bufs);

        before = c->sent;

        cl = c->send_chain(c, chain, 0);

        sent = (size_t) (c->sent - before);
        total += sent;

        ngx_d4_redis_sent(rd, sent);

        if (cl == NGX_CHAIN_ERROR) {
            return NGX_ERROR;
        }
    }

    return ngx_handle_write_event(c->write, 0);
}


static void
ngx_d4_redis_chain(ngx_d4_redis_t *rd, ngx_chain_t *chain, ngx_buf_t *bufs)
{
    size_t                 sent;
    ngx_buf_t             *b;
    ngx_uint_t             n;
    d4_block_t            *block;
    ngx_queue_t           *q;
    ngx_d4_redis_piece_t  *piece;

    n = 0;

    for (q = ngx_queue_head(&rd->output);
         q != ngx_queue_sentinel(&rd->output) && n < NGX_D4_REDIS_BUFS;
         q = ngx_queue_next(q))
    {
        piece = ngx_queue_data(q, ngx_d4_redis_piece_t, queue);

        block = piece->block;
        sent = piece->sent;

        do {
            b = &bufs[n];
            ngx_memzero(b, sizeof(ngx_buf_t));

            b->memory = 1;

            if (block != NULL) {
                b->pos = block->data + sent;
                b->last = block->data + block->used;
                block = block->next;
                sent = 0;

            } else {
                b->pos = piece->data + sent;
                b->last = piece->data + piece->used;
            }

            if (b->pos == b->last) {
                continue;
            }

            chain[n].buf = b;
            chain[n].next = &chain[n + 1];
            n++;

        } while (block != NULL && n < NGX_D4_REDIS_BUFS);
    }

    /* what is queued is never empty */

    chain[n - 1].next = NULL;
}


static void
ngx_d4_redis_sent(ngx_d4_redis_t *rd, size_t sent)
{
    size_t                 n;
    ngx_queue_t           *q;
    ngx_d4_redis_piece_t  *piece;

    rd->sent += sent;

    while (!ngx_queue_empty(&rd->output)) {
        q = ngx_queue_head(&rd->output);
        piece = ngx_queue_data(q, ngx_d4_redis_piece_t, queue);

        n = (piece->block != NULL) ? piece->block->used : piece->used;

        if (sent < n - piece->sent) {
            piece->sent += sent;
            return;
        }

        sent -= n - piece->sent;
        piece->sent = 0;

        if (piece->block != NULL) {
            piece->block = piece->block->next;

            if (piece->block != NULL) {
                continue;
            }
        }

        ngx_queue_remove(q);
        ngx_free(piece);
    }
}


void
ngx_d4_redis_free_output(ngx_d4_redis_t *rd)
{
    ngx_queue_t           *q;
    ngx_d4_redis_piece_t  *piece;

    while (!ngx_queue_empty(&rd->output)) {
        q = ngx_queue_head(&rd->output);
        piece = ngx_queue_data(q, ngx_d4_redis_piece_t, queue);

        ngx_queue_remove(q);
        ngx_free(piece);
    }

    rd->queued = 0;
    rd->sent = 0;
}

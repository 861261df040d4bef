
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * A large key is read in pieces, each found by the record before it.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_OVERLAP  8       /* ranks that may move meanwhile */
#define NGX_HTTP_PDNS_TRIES    20      /* when more of them do */
#define NGX_HTTP_PDNS_GROUP    1000    /* of one second: read, not searched */

/* what has a lower score in a long list is no time of this world */
#define NGX_HTTP_PDNS_EARLIEST 100000000


static void ngx_http_pdns_locate_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_locate_step(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_search_step(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_search_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_piece(ngx_http_pdns_ctx_t *ctx, uint64_t rank);
static ngx_uint_t ngx_http_pdns_piece_moved(ngx_http_pdns_ctx_t *ctx,
    ngx_array_t *items);
static void ngx_http_pdns_piece_step(ngx_http_pdns_ctx_t *ctx);
static ngx_int_t ngx_http_pdns_piece_names(ngx_http_pdns_ctx_t *ctx,
    ngx_uint_t from);
static ngx_uint_t ngx_http_pdns_piece_last(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_item_t *last, ngx_uint_t records);


/* The leaf is read on from a place in it, or from its start. */

ngx_int_t
ngx_http_pdns_read_start(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_leaf_t *leaf,
    pdns_cursor_t *from)
{
    if (ctx->at == NULL) {
        ctx->at = ngx_palloc(ctx->request->pool, sizeof(pdns_cursor_t));
        if (ctx->at == NULL) {
            return NGX_ERROR;
        }
    }

    ctx->large = leaf;
    ctx->overlap = NGX_HTTP_PDNS_OVERLAP;
    ctx->tries = 0;
    ctx->at->oldest = ctx->oldest;
    ctx->at->leaf_len = 0;
    ctx->at->member_len = 0;

    if (from != NULL) {
        ctx->at->time = from->time;
        ctx->at->member_len = from->member_len;
        ngx_memcpy(ctx->at->member, from->member, from->member_len);

    } else if (ctx->oldest) {

        /* counts of records stand before their times */

        ctx->at->time = (leaf->type == NGX_HTTP_PDNS_OWNER)
                        ? NGX_HTTP_PDNS_EARLIEST - 1 : 0;

    } else {
        ctx->at->time = PDNS_TIME_MAX + 1;
    }

    if (ctx->oldest) {

        if (ctx->filter.last_after > ctx->at->time) {
            ctx->at->time = ctx->filter.last_after - 1;
            ctx->at->member_len = 0;
        }

    } else if (ctx->filter.last_before != 0
               && ctx->at->time > ctx->filter.last_before)
    {
        ctx->at->time = ctx->filter.last_before + 1;
        ctx->at->member_len = 0;
    }

    return NGX_OK;
}


/* The rank where to go on: how many come before, and where the member is. */

void
ngx_http_pdns_read_large(ngx_http_pdns_ctx_t *ctx)
{
    u_char                 bound[NGX_INT64_LEN + 1];
    ngx_int_t              n;
    pdns_key_t             key;
    pdns_cursor_t         *at;
    ngx_http_pdns_pipe_t  *pipe;

    at = ctx->at;

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ctx->rank = -1;
    ctx->score = 0;
    ctx->low = 0;
    ctx->equal = 0;

    ngx_http_pdns_leaf_key(&key, ctx->large);

    n = ngx_sprintf(bound, (at->member_len == 0) ? "%uL" : "(%uL", at->time)
        - bound;

    pdns_resp_command(&pipe->w, 4, "ZCOUNT");
    pdns_resp_word(&pipe->w, key.data, key.len);

    if (ctx->oldest) {
        pdns_resp_text(&pipe->w, "-inf");
        pdns_resp_word(&pipe->w, bound, n);

    } else {
        pdns_resp_word(&pipe->w, bound, n);
        pdns_resp_text(&pipe->w, "+inf");
    }

    if (at->member_len != 0) {

        /* otherwise it is behind the whole second */

        pdns_resp_command(&pipe->w, 4, "ZCOUNT");
        pdns_resp_word(&pipe->w, key.data, key.len);
        pdns_resp_number(&pipe->w, (int64_t) at->time);
        pdns_resp_number(&pipe->w, (int64_t) at->time);

        pdns_resp_command(&pipe->w, 3, ctx->oldest ? "ZRANK" : "ZREVRANK");
        pdns_resp_word(&pipe->w, key.data, key.len);
        pdns_resp_word(&pipe->w, at->member, at->member_len);

        pdns_resp_command(&pipe->w, 3, "ZSCORE");
        pdns_resp_word(&pipe->w, key.data, key.len);
        pdns_resp_word(&pipe->w, at->member, at->member_len);
    }

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_locate_reply,
                      ngx_http_pdns_locate_step);
}


static void
ngx_http_pdns_locate_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    switch (i) {

    case 0:
        ctx->low = (reply->type == REDIS_REPLY_INTEGER) ? reply->integer : 0;
        break;

    case 1:
        ctx->equal = (reply->type == REDIS_REPLY_INTEGER) ? reply->integer : 0;
        break;

    case 2:
        ctx->rank = (reply->type == REDIS_REPLY_INTEGER) ? reply->integer : -1;
        break;

    default:
        ctx->score = ngx_http_pdns_score(reply);
    }
}


static void
ngx_http_pdns_locate_step(ngx_http_pdns_ctx_t *ctx)
{
    if (ctx->at->member_len == 0) {
        ngx_http_pdns_piece(ctx, ctx->low);
        return;
    }

    if (ctx->rank >= 0 && ctx->score == (int64_t) ctx->at->time) {
        ngx_http_pdns_piece(ctx, (uint64_t) ctx->rank + 1);
        return;
    }

    /* the record is not there any more: it was seen again */

    ctx->high = ctx->low + ctx->equal;

    ngx_http_pdns_search_step(ctx);
}


/* By halves: the first of the second whose member is behind the cursor's. */

static void
ngx_http_pdns_search_step(ngx_http_pdns_ctx_t *ctx)
{
    pdns_key_t             key;
    ngx_http_pdns_pipe_t  *pipe;

    if (ctx->high - ctx->low <= NGX_HTTP_PDNS_GROUP) {
        ngx_http_pdns_piece(ctx, ctx->low);
        return;
    }

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ctx->rank = (int64_t) (ctx->low + (ctx->high - ctx->low) / 2);

    ngx_http_pdns_leaf_key(&key, ctx->large);

    pdns_resp_command(&pipe->w, 5, ctx->oldest ? "ZRANGE" : "ZREVRANGE");
    pdns_resp_word(&pipe->w, key.data, key.len);
    pdns_resp_number(&pipe->w, ctx->rank);
    pdns_resp_number(&pipe->w, ctx->rank);
    pdns_resp_text(&pipe->w, "WITHSCORES");

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_search_reply,
                      ngx_http_pdns_search_step);
}


static void
ngx_http_pdns_search_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    redisReply  *member;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        ctx->high = (uint64_t) ctx->rank;
        return;
    }

    member = reply->element[0];

    if (pdns_cursor_behind(ctx->at,
                           (uint64_t) ngx_http_pdns_score(reply->element[1]),
                           (u_char *) member->str, member->len))
    {
        ctx->high = (uint64_t) ctx->rank;

    } else {
        ctx->low = (uint64_t) ctx->rank + 1;
    }
}


static void
ngx_http_pdns_piece(ngx_http_pdns_ctx_t *ctx, uint64_t rank)
{
    pdns_key_t             key;
    ngx_http_pdns_pipe_t  *pipe;

    rank = (rank > ctx->overlap) ? rank - ctx->overlap : 0;
    ctx->start = rank;

    pipe = ngx_http_pdns_pipe();
    ctx->heads = ngx_array_create(ctx->row_pool, 1, sizeof(ngx_array_t));

    if (pipe == NULL || ctx->heads == NULL) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ctx->most = 2 * NGX_HTTP_PDNS_CHUNK + ctx->overlap;

    ngx_http_pdns_leaf_key(&key, ctx->large);

    pdns_resp_command(&pipe->w, 5, ctx->oldest ? "ZRANGE" : "ZREVRANGE");
    pdns_resp_word(&pipe->w, key.data, key.len);
    pdns_resp_number(&pipe->w, (int64_t) rank);
    pdns_resp_number(&pipe->w, (int64_t) (rank + ctx->most - 1));
    pdns_resp_text(&pipe->w, "WITHSCORES");

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_read_reply,
                      ngx_http_pdns_piece_step);
}


/*
 * 1: since the place was found so many records moved that it is not in what
 * was read: all of that is behind it, or all before.  What is between was then
 * perhaps not read.
 */

static ngx_uint_t
ngx_http_pdns_piece_moved(ngx_http_pdns_ctx_t *ctx, ngx_array_t *items)
{
    ngx_http_pdns_item_t  *item, *last;

    if (items->nelts == 0) {
        return ctx->start != 0;
    }

    item = items->elts;
    last = item + items->nelts - 1;

    if (ctx->start != 0 && item->score > 0
        && pdns_cursor_behind(ctx->at, (uint64_t) item->score,
                              item->member.data, item->member.len))
    {
        return 1;
    }

    return items->nelts == ctx->most && last->score > 0
           && !pdns_cursor_behind(ctx->at, (uint64_t) last->score,
                                  last->member.data, last->member.len);
}


static void
ngx_http_pdns_piece_step(ngx_http_pdns_ctx_t *ctx)
{
    ngx_uint_t             i, n, from, records;
    ngx_array_t           *items;
    ngx_http_pdns_item_t  *item, *last;

    items = ctx->heads->elts;

    if (ngx_http_pdns_piece_moved(ctx, items)) {

        if (ctx->tries++ == NGX_HTTP_PDNS_TRIES) {
            ngx_http_pdns_fail(ctx, NGX_HTTP_SERVICE_UNAVAILABLE);
            return;
        }

        ctx->overlap = ngx_min(4 * ctx->overlap, NGX_HTTP_PDNS_CHUNK);
        ngx_http_pdns_read_large(ctx);
        return;
    }

    ctx->tries = 0;
    item = items->elts;
    records = 0;

    for (i = 0, n = 0; i < items->nelts; i++) {

        if (item[i].score <= 0) {

            if (ctx->oldest) {
                continue;
            }

            break;
        }

        if (pdns_cursor_behind(ctx->at, (uint64_t) item[i].score,
                               item[i].member.data, item[i].member.len))
        {
            records += (ctx->large->type != NGX_HTTP_PDNS_OWNER
                        || item[i].member.data[0] == 'l');
            item[n++] = item[i];
        }
    }

    last = (n != 0) ? &item[n - 1] : NULL;
    from = ctx->rows.nelts;
    i = items->nelts;
    items->nelts = n;

    if (ngx_http_pdns_read_rows(ctx, ctx->large, items) != NGX_OK
        || ngx_http_pdns_piece_names(ctx, from) != NGX_OK)
    {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (i < ctx->most || ngx_http_pdns_piece_last(ctx, last, records)) {
        ctx->large = NULL;

    } else {
        ctx->at->time = last->score;
        ctx->at->member_len = last->member.len;
        ngx_memcpy(ctx->at->member, last->member.data, last->member.len);
    }

    if (ngx_http_pdns_overlay(ctx)) {
        ngx_http_pdns_overlay_piece(ctx);
        return;
    }

    ngx_http_pdns_next(ctx);
}


/* Rows of a name do not have it themselves. */

static ngx_int_t
ngx_http_pdns_piece_names(ngx_http_pdns_ctx_t *ctx, ngx_uint_t from)
{
    u_char               *text;
    ngx_str_t             name;
    ngx_http_pdns_row_t  *row;

    if (ctx->large->type != NGX_HTTP_PDNS_OWNER) {
        return NGX_OK;
    }

    text = ngx_pnalloc(ctx->row_pool, PDNS_NAME_TEXT);
    if (text == NULL) {
        return NGX_ERROR;
    }

    name.len = pdns_name_text((char *) text, &ctx->large->name);
    name.data = text;

    for (row = ctx->rows.elts; from < ctx->rows.nelts; from++) {
        row[from].name = name;
    }

    return NGX_OK;
}


/* 1: nothing behind this member is wanted. */

static ngx_uint_t
ngx_http_pdns_piece_last(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_item_t *last,
    ngx_uint_t records)
{
    pdns_filter_t  *f;

    f = &ctx->filter;

    if (last == NULL || last->member.len > sizeof(ctx->at->member)) {
        return 1;
    }

    if (ctx->oldest) {
        return f->last_before != 0 && (uint64_t) last->score > f->last_before;
    }

    return (uint64_t) last->score < f->last_after
           || (records == 0 && last->score < NGX_HTTP_PDNS_EARLIEST);
}

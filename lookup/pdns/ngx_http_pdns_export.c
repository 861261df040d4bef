
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Everything as COF, in pages: each is what a piece of Redis' SCAN has found,
 * and its header says where the next one begins.  Posting the pages to another
 * store's ingest makes it the same.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_SCAN  1000       /* keys looked at for a page */


static void ngx_http_pdns_export_scan(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_export_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_export_step(ngx_http_pdns_ctx_t *ctx);


/* The names of the page become the keys that are read. */

void
ngx_http_pdns_export(ngx_http_pdns_ctx_t *ctx)
{
    ctx->listed = 1;

    if (ctx->scan.len == 0) {
        ngx_str_set(&ctx->scan, "0");
    }

    ctx->pool = ngx_create_pool(4096, ctx->request->connection->log);

    if (ctx->pool == NULL
        || ngx_array_init(&ctx->leaves, ctx->pool, NGX_HTTP_PDNS_LEAVES,
                          sizeof(ngx_http_pdns_leaf_t))
           != NGX_OK)
    {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_pdns_export_scan(ctx);
}


static void
ngx_http_pdns_export_scan(ngx_http_pdns_ctx_t *ctx)
{
    ngx_http_pdns_pipe_t  *pipe;

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    pdns_resp_command(&pipe->w, 6, "SCAN");
    pdns_resp_word(&pipe->w, ctx->scan.data, ctx->scan.len);
    pdns_resp_text(&pipe->w, "MATCH");
    pdns_resp_text(&pipe->w, ctx->errors ? "X:*" : "N:*");
    pdns_resp_text(&pipe->w, "COUNT");
    pdns_resp_number(&pipe->w, NGX_HTTP_PDNS_SCAN);

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_export_reply,
                      ngx_http_pdns_export_step);
}


static void
ngx_http_pdns_export_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    ngx_uint_t             n;
    redisReply            *key;
    ngx_http_pdns_leaf_t  *leaf;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_ARRAY)
    {
        ctx->pipe->failed = 1;
        return;
    }

    ctx->scan.len = reply->element[0]->len;
    ctx->scan.data = ngx_pnalloc(ctx->request->pool, ctx->scan.len + 1);

    if (ctx->scan.data == NULL) {
        ctx->pipe->failed = 1;
        return;
    }

    ngx_memcpy(ctx->scan.data, reply->element[0]->str, ctx->scan.len);

    for (n = 0; n < reply->element[1]->elements; n++) {
        key = reply->element[1]->element[n];

        leaf = ngx_array_push(&ctx->leaves);

        if (leaf == NULL) {
            ctx->pipe->failed = 1;
            return;
        }

        ngx_memzero(leaf, sizeof(ngx_http_pdns_leaf_t));
        leaf->error = ctx->errors;

        if (key->type != REDIS_REPLY_STRING
            || pdns_key_owner(&leaf->name, (uint8_t *) key->str, key->len)
               != 0)
        {
            ctx->leaves.nelts--;
        }
    }
}


static void
ngx_http_pdns_export_step(ngx_http_pdns_ctx_t *ctx)
{
    if (ctx->scan.len == 1 && ctx->scan.data[0] == '0') {
        ctx->scan.len = 0;

    } else if (ctx->leaves.nelts == 0) {
        ngx_http_pdns_export_scan(ctx);
        return;
    }

    ngx_http_pdns_next(ctx);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The addresses of a small network that are known to the store or to the
 * published database, which has no index of them: it is asked for each, and so
 * is the store, in their order.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_RANGE    65536   /* addresses that are asked for */
#define NGX_HTTP_PDNS_BLOCK    1024    /* in one pipeline */


static void ngx_http_pdns_range_keys(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_pipe_t *pipe);
static void ngx_http_pdns_range_legacy_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_range_legacy_step(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_range_store_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_range_store_step(ngx_http_pdns_ctx_t *ctx);


/* Decided on the whole of it, so that all pages are made in the same way. */

void
ngx_http_pdns_range_start(ngx_http_pdns_ctx_t *ctx)
{
    ngx_uint_t     i, n;
    pdns_value_t  *v;

    v = &ctx->value;
    ctx->range = 0;

    if (ngx_http_pdns_worker.legacy == NULL || v->find != PDNS_FIND_ADDR
        || ngx_memcmp(v->low, v->high, v->alen - 4) != 0)
    {
        return;
    }

    n = 0;

    for (i = v->alen - 4; i < v->alen; i++) {
        n = n * 256 + v->high[i];
    }

    for (i = v->alen - 4; i < v->alen; i++) {
        n -= (ngx_uint_t) v->low[i] << 8 * (v->alen - 1 - i);
    }

    ctx->range = (n != 0 && n < NGX_HTTP_PDNS_RANGE);
    ctx->range_next = 0;
}


/* As ngx_http_pdns_walk(); v->low is where a cursor is. */

ngx_int_t
ngx_http_pdns_range_list(ngx_http_pdns_ctx_t *ctx)
{
    u_char                 addr[16];
    ngx_uint_t             i, n, k;
    pdns_value_t          *v;
    ngx_http_pdns_leaf_t  *leaf;
    ngx_http_pdns_pipe_t  *pipe;

    v = &ctx->value;

    for (n = 0; n < NGX_HTTP_PDNS_BLOCK; n++) {

        ngx_memcpy(addr, v->low, v->alen);

        k = ctx->range_next;

        for (i = v->alen; i > 0 && k != 0; i--) {
            k += addr[i - 1];
            addr[i - 1] = (u_char) k;
            k >>= 8;
        }

        if (ngx_memcmp(addr, v->high, v->alen) > 0) {
            break;
        }

        leaf = ngx_array_push(&ctx->leaves);
        if (leaf == NULL) {
            ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return NGX_OK;
        }

        ngx_memzero(leaf, sizeof(ngx_http_pdns_leaf_t));

        leaf->type = NGX_HTTP_PDNS_ADDR;
        leaf->alen = v->alen;
        ngx_memcpy(leaf->addr, addr, v->alen);

        if (ctx->values != NULL) {
            leaf->query = ctx->text;
        }

        ctx->range_next++;
    }

    if (n == 0) {
        return NGX_DONE;
    }

    pipe = ngx_http_pdns_legacy_pipe();

    if (pipe == NULL || ngx_http_pdns_overlay_create(ctx) != NGX_OK) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_OK;
    }

    ngx_http_pdns_range_keys(ctx, pipe);

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_range_legacy_reply,
                      ngx_http_pdns_range_legacy_step);

    return NGX_OK;
}


static void
ngx_http_pdns_range_keys(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_pipe_t *pipe)
{
    char                   text[46], buf[128];
    size_t                 len;
    ngx_uint_t             i;
    pdns_key_t             key;
    pdns_str_t             data;
    ngx_http_pdns_leaf_t  *leaf;

    leaf = ctx->leaves.elts;

    for (i = 0; i < ctx->leaves.nelts; i++) {
        pdns_resp_command(&pipe->w, 2, "EXISTS");

        if (pipe->rd == ngx_http_pdns_worker.lookup) {
            ngx_http_pdns_leaf_key(&key, &leaf[i]);
            pdns_resp_word(&pipe->w, key.data, key.len);
            continue;
        }

        data.data = text;
        data.len = pdns_addr_text(text, leaf[i].addr, leaf[i].alen);

        len = pdns_published_key(buf, 'v', &data, NULL,
                                 (leaf[i].alen == 4) ? PDNS_A : PDNS_AAAA);
        pdns_resp_word(&pipe->w, buf, len);
    }
}


static void
ngx_http_pdns_range_legacy_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    ngx_http_pdns_leaf_t  *leaf;

    leaf = ctx->leaves.elts;

    leaf[i].probed = 1;
    leaf[i].legacy = (reply->type == REDIS_REPLY_INTEGER
                      && reply->integer != 0);
}


static void
ngx_http_pdns_range_legacy_step(ngx_http_pdns_ctx_t *ctx)
{
    ngx_http_pdns_pipe_t  *pipe;

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_pdns_range_keys(ctx, pipe);

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_range_store_reply,
                      ngx_http_pdns_range_store_step);
}


static void
ngx_http_pdns_range_store_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    ngx_http_pdns_leaf_t  *leaf;

    leaf = ctx->leaves.elts;

    leaf[i].stored = (reply->type == REDIS_REPLY_INTEGER
                      && reply->integer != 0);
}


/* Those that nobody knows go; the first may be the one of the cursor. */

static void
ngx_http_pdns_range_store_step(ngx_http_pdns_ctx_t *ctx)
{
    ngx_uint_t             i, n;
    ngx_http_pdns_leaf_t  *leaf;
    ngx_http_pdns_walk_t  *w;

    w = ctx->walk;
    leaf = ctx->leaves.elts;

    for (i = 0, n = 0; i < ctx->leaves.nelts; i++) {

        if (w->resume) {
            w->resume = 0;

            if (ctx->from->time == 0) {
                continue;
            }

            leaf[i].resume = 1;
        }

        if (leaf[i].stored || leaf[i].legacy) {
            leaf[n++] = leaf[i];
        }
    }

    ctx->leaves.nelts = n;

    ngx_http_pdns_next(ctx);
}

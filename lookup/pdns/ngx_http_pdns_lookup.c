
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * A lookup goes in steps, each of which is one round trip to the store: list
 * keys, read a few of them, ask for what is missing of their records.  What a
 * step has found goes to the client before the next is taken, so that an
 * answer of any size takes the memory of a step.
 */


#include "ngx_http_pdns.h"


static ngx_int_t ngx_http_pdns_kept(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_kept_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_kept_step(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_begin(ngx_http_pdns_ctx_t *ctx);
static ngx_int_t ngx_http_pdns_next_value(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_answered(void *data, ngx_uint_t ok);
static void ngx_http_pdns_cleanup(void *data);
static ngx_int_t ngx_http_pdns_pool(ngx_http_pdns_ctx_t *ctx,
    ngx_pool_t **pool);


ngx_int_t
ngx_http_pdns_lookup(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx)
{
    ngx_http_cleanup_t  *cln;

    if (ngx_http_pdns_worker.lookup == NULL
        || !ngx_d4_redis_ready(ngx_http_pdns_worker.lookup))
    {
        return ngx_http_pdns_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "store", "the store cannot be reached");
    }

    if (ngx_http_pdns_published(ctx)
        && !ngx_d4_redis_ready(ngx_http_pdns_worker.legacy))
    {
        return ngx_http_pdns_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, "legacy",
                               "the published database cannot be reached");
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_pdns_cleanup;
    cln->data = ctx;

    ctx->request = r;
    ctx->tail = &ctx->out;
    ctx->page = ctx->limit;

    r->main->count++;

    if (!r->discard_body && ctx->values == NULL) {
        r->read_event_handler = ngx_http_test_reading;
    }

    if (ctx->kept.len != 0) {
        if (ngx_http_pdns_kept(ctx) != NGX_OK) {
            ngx_http_pdns_fail(ctx, NGX_HTTP_SERVICE_UNAVAILABLE);
        }

        return NGX_DONE;
    }

    ngx_http_pdns_begin(ctx);

    return NGX_DONE;
}


/* The cursor is in the store. */

static ngx_int_t
ngx_http_pdns_kept(ngx_http_pdns_ctx_t *ctx)
{
    ngx_http_pdns_pipe_t  *pipe;

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        return NGX_ERROR;
    }

    pdns_resp_command(&pipe->w, 2, "GET");
    pdns_resp_prefixed(&pipe->w, 'C', ctx->kept.data, ctx->kept.len);

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_kept_reply,
                      ngx_http_pdns_kept_step);

    return NGX_OK;
}


static void
ngx_http_pdns_kept_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    pdns_cursor_t  *from;

    if (reply->type != REDIS_REPLY_STRING) {
        return;
    }

    from = ngx_palloc(ctx->request->pool, sizeof(pdns_cursor_t));

    if (from != NULL
        && pdns_cursor_unpack(from, (u_char *) reply->str, reply->len) == 0)
    {
        ctx->from = from;
    }
}


static void
ngx_http_pdns_kept_step(ngx_http_pdns_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->from == NULL) {
        rc = ngx_http_pdns_error(ctx->request, NGX_HTTP_BAD_REQUEST, "cursor",
                                 "the cursor is not known, or too old");
        ngx_http_finalize_request(ctx->request, rc);
        return;
    }

    ngx_http_pdns_begin(ctx);
}


static void
ngx_http_pdns_begin(ngx_http_pdns_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->all) {
        ngx_http_pdns_export(ctx);
        return;
    }

    ngx_http_pdns_range_start(ctx);

    rc = (ctx->values == NULL) ? ngx_http_pdns_walk_start(ctx) : NGX_OK;

    if (rc == NGX_DECLINED) {
        rc = ngx_http_pdns_error(ctx->request, NGX_HTTP_BAD_REQUEST, "cursor",
                                 "the cursor is of another query");
        ngx_http_finalize_request(ctx->request, rc);
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (ctx->values != NULL) {
        ctx->listed = 1;
    }

    ngx_http_pdns_next(ctx);
}


void
ngx_http_pdns_next(ngx_http_pdns_ctx_t *ctx)
{
    ngx_int_t  rc;

    for ( ;; ) {
        rc = ngx_http_pdns_output_flush(ctx);

        if (rc == NGX_AGAIN) {
            return;
        }

        if (rc == NGX_ERROR) {
            ngx_http_finalize_request(ctx->request, NGX_ERROR);
            return;
        }

        if (ctx->over) {
            ngx_http_pdns_output_end(ctx);
            return;
        }

        if (ctx->row < ctx->rows.nelts) {

            if (ctx->row_end <= ctx->row) {
                ctx->window = ngx_min(ctx->window, NGX_HTTP_PDNS_CHUNK);
                ctx->window = ngx_max(ngx_http_pdns_needed(ctx),
                                      2 * ctx->window);
                ctx->row_end = ngx_min(ctx->row + ctx->window,
                                       ctx->rows.nelts);
                ctx->detailed = 0;
            }

            if (ngx_http_pdns_detail(ctx) != NGX_DONE) {
                return;
            }

            rc = ngx_http_pdns_output_rows(ctx);
            ctx->row = ctx->row_end;

            if (rc == NGX_ERROR) {
                ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
                return;
            }

            ctx->over |= (rc == NGX_DONE);
            continue;
        }

        if (ctx->large != NULL || ctx->leaf < ctx->leaves.nelts) {

            if (ngx_http_pdns_pool(ctx, &ctx->row_pool) != NGX_OK
                || ngx_array_init(&ctx->rows, ctx->row_pool, 16,
                                  sizeof(ngx_http_pdns_row_t))
                   != NGX_OK)
            {
                ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
                return;
            }

            ctx->row = 0;
            ctx->row_end = 0;
            ngx_http_pdns_read(ctx);
            return;
        }

        if (ctx->listed) {
            rc = ngx_http_pdns_next_value(ctx);

            if (rc == NGX_ERROR) {
                ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
                return;
            }

            ctx->over = (rc == NGX_DONE);
            continue;
        }

        if (ngx_http_pdns_pool(ctx, &ctx->pool) != NGX_OK
            || ngx_array_init(&ctx->leaves, ctx->pool, NGX_HTTP_PDNS_LEAVES,
                              sizeof(ngx_http_pdns_leaf_t))
               != NGX_OK)
        {
            ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return;
        }

        ctx->leaf = 0;

        rc = ctx->range ? ngx_http_pdns_range_list(ctx)
                        : ngx_http_pdns_walk(ctx);

        if (rc != NGX_DONE) {
            return;
        }

        ctx->listed = 1;
    }
}


uint64_t
ngx_http_pdns_needed(ngx_http_pdns_ctx_t *ctx)
{
    if (ctx->values != NULL || ctx->all
        || ctx->limit > NGX_MAX_INT32_VALUE
        || ctx->offset > NGX_MAX_INT32_VALUE)
    {
        return NGX_MAX_INT32_VALUE;    /* a limit for each, or none */
    }

    return ctx->limit + ctx->offset + 1;
}


ngx_uint_t
ngx_http_pdns_width(ngx_http_pdns_ctx_t *ctx)
{
    uint64_t    needed;
    ngx_uint_t  width;

    needed = ngx_http_pdns_needed(ctx);

    width = (ngx_uint_t) ngx_min(needed, NGX_HTTP_PDNS_LEAVES);
    width = ngx_max(width, ctx->width);

    ctx->width = ngx_min(2 * width, NGX_HTTP_PDNS_LEAVES);

    return width;
}


/*
 * Of a bulk request: as many values that are one key each as are read
 * together, or one that is walked through.  NGX_DONE: there are no more.
 */

static ngx_int_t
ngx_http_pdns_next_value(ngx_http_pdns_ctx_t *ctx)
{
    ngx_str_t             *values;
    ngx_http_pdns_leaf_t  *leaf;

    if (ctx->values == NULL) {
        return NGX_DONE;
    }

    if (ngx_http_pdns_pool(ctx, &ctx->pool) != NGX_OK
        || ngx_array_init(&ctx->leaves, ctx->pool, NGX_HTTP_PDNS_LEAVES,
                          sizeof(ngx_http_pdns_leaf_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->leaf = 0;
    ctx->walk = NULL;
    values = ctx->values->elts;

    while (ctx->nvalue < ctx->values->nelts) {

        ctx->text = values[ctx->nvalue];

        if (pdns_value_parse(&ctx->value, (char *) ctx->text.data,
                             ctx->text.len, 0)
            != NULL)
        {
            ctx->nvalue++;             /* a name that cannot be has none */
            continue;
        }

        if (ctx->errors && ctx->value.find != PDNS_FIND_NAME) {
            ctx->nvalue++;             /* only names have them */
            continue;
        }

        if (ctx->value.find == PDNS_FIND_NAME
            || (ctx->value.find == PDNS_FIND_ADDR
                && ngx_memcmp(ctx->value.low, ctx->value.high,
                              ctx->value.alen)
                   == 0))
        {
            leaf = ngx_array_push(&ctx->leaves);
            if (leaf == NULL) {
                return NGX_ERROR;
            }

            ngx_memzero(leaf, sizeof(ngx_http_pdns_leaf_t));

            leaf->query = ctx->text;

            if (ctx->value.find == PDNS_FIND_NAME) {
                leaf->name = ctx->value.name;
                leaf->error = ctx->errors;

            } else {
                leaf->type = NGX_HTTP_PDNS_ADDR;
                leaf->alen = ctx->value.alen;
                ngx_memcpy(leaf->addr, ctx->value.low, leaf->alen);
            }

            ctx->nvalue++;

            if (ctx->leaves.nelts == NGX_HTTP_PDNS_LEAVES) {
                return NGX_OK;
            }

            continue;
        }

        if (ctx->leaves.nelts != 0) {
            return NGX_OK;
        }

        ctx->nvalue++;
        ctx->listed = 0;

        ngx_http_pdns_range_start(ctx);

        return ngx_http_pdns_walk_start(ctx);
    }

    return (ctx->leaves.nelts != 0) ? NGX_OK : NGX_DONE;
}


void
ngx_http_pdns_ask(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_pipe_t *pipe,
    ngx_http_pdns_reply_pt reply, ngx_http_pdns_step_pt then)
{
    ctx->then = then;
    ctx->pipe = pipe;
    ctx->lost = (pipe->rd != ngx_http_pdns_worker.lookup);

    if (ngx_http_pdns_pipe_send(pipe, reply, ngx_http_pdns_answered, ctx)
        != NGX_OK)
    {
        ctx->pipe = NULL;
        ngx_http_pdns_fail(ctx, NGX_HTTP_SERVICE_UNAVAILABLE);
    }
}


static void
ngx_http_pdns_answered(void *data, ngx_uint_t ok)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ctx->pipe = NULL;

    if (ok) {
        ctx->then(ctx);

    } else {
        ngx_http_pdns_fail(ctx, NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    ngx_http_run_posted_requests(c);
}


void
ngx_http_pdns_fail(ngx_http_pdns_ctx_t *ctx, ngx_int_t status)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->sent) {
        ngx_http_pdns_output_fail(ctx);
        return;
    }

    rc = status;

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE) {
        rc = ctx->lost
             ? ngx_http_pdns_error(r, status, "legacy",
                               "the published database cannot be reached")
             : ngx_http_pdns_error(r, status, "store",
                                   "the store cannot be reached");
    }

    ngx_http_finalize_request(r, rc);
}


static ngx_int_t
ngx_http_pdns_pool(ngx_http_pdns_ctx_t *ctx, ngx_pool_t **pool)
{
    if (*pool != NULL) {
        ngx_destroy_pool(*pool);
    }

    *pool = ngx_create_pool(4096, ctx->request->connection->log);

    return (*pool != NULL) ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_pdns_cleanup(void *data)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    if (ctx->pipe != NULL) {
        ngx_http_pdns_pipe_cancel(ctx->pipe);
        ctx->pipe = NULL;
    }

    if (ctx->pool != NULL) {
        ngx_destroy_pool(ctx->pool);
        ctx->pool = NULL;
    }

    if (ctx->row_pool != NULL) {
        ngx_destroy_pool(ctx->row_pool);
        ctx->row_pool = NULL;
    }

    ngx_http_pdns_legacy_cleanup(ctx);

    if (ctx->walk_data != NULL && ctx->walk_data->pool != NULL) {
        ngx_destroy_pool(ctx->walk_data->pool);
        ctx->walk_data->pool = NULL;
    }
}

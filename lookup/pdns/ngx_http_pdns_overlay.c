
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The records of a key from the store and from the published database, as one.
 * A record stands where the later of its two last times puts it, which is
 * the same place before, while and after it is taken over; so pages go on
 * where they were whatever a migration does meanwhile.
 *
 * The store is read in pieces, each of which is put together with what the
 * other database has between the piece's ends.  A record that both know comes
 * from whichever has it at its place; what the store counts of it is asked for
 * with the details of all rows.
 */


#include "ngx_http_pdns_legacy.h"


#define NGX_HTTP_PDNS_BETWEEN  1000    /* records of the other in one piece */
#define NGX_HTTP_PDNS_PER_ASK  100     /* members in one question */


static ngx_int_t ngx_http_pdns_overlay_order(ngx_http_pdns_ctx_t *ctx);
static ngx_http_pdns_before_t *ngx_http_pdns_overlay_find(
    ngx_http_pdns_overlay_t *o, ngx_str_t *raw);
static ngx_uint_t ngx_http_pdns_overlay_behind(pdns_cursor_t *c, uint64_t time,
    ngx_str_t *raw);
static ngx_int_t ngx_http_pdns_overlay_between(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_overlay_rows(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_overlay_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_overlay_step(ngx_http_pdns_ctx_t *ctx);


static int
ngx_http_pdns_overlay_cmp(ngx_str_t *a, ngx_str_t *b)
{
    int  rc;

    rc = ngx_memcmp(a->data, b->data, ngx_min(a->len, b->len));

    return (rc != 0) ? rc : (a->len > b->len) - (a->len < b->len);
}


static int ngx_libc_cdecl
ngx_http_pdns_overlay_by_raw(const void *one, const void *two)
{
    ngx_http_pdns_before_t  *a = (ngx_http_pdns_before_t *) one;
    ngx_http_pdns_before_t  *b = (ngx_http_pdns_before_t *) two;

    return ngx_http_pdns_overlay_cmp(&a->raw, &b->raw);
}


static int ngx_libc_cdecl
ngx_http_pdns_overlay_by_time(const void *one, const void *two)
{
    ngx_http_pdns_before_t  *a = *(ngx_http_pdns_before_t **) one;
    ngx_http_pdns_before_t  *b = *(ngx_http_pdns_before_t **) two;

    if (a->last != b->last) {
        return (a->last < b->last) ? 1 : -1;
    }

    return ngx_http_pdns_overlay_cmp(&b->raw, &a->raw);
}


static int ngx_libc_cdecl
ngx_http_pdns_overlay_by_age(const void *one, const void *two)
{
    return ngx_http_pdns_overlay_by_time(two, one);
}


/* All that the other database holds of the leaf at hand has been read. */

void
ngx_http_pdns_overlay_begin(ngx_http_pdns_ctx_t *ctx)
{
    pdns_cursor_t         *from;
    ngx_http_pdns_leaf_t  *leaf;

    leaf = ctx->overlay->leaf;
    ctx->leaf++;

    from = (leaf->resume && ctx->from->time != 0) ? ctx->from : NULL;

    if (ngx_http_pdns_overlay_order(ctx) != NGX_OK
        || ngx_http_pdns_read_start(ctx, leaf, from) != NGX_OK)
    {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_pdns_overlay_read(ctx);
}


/* Several spellings of a record become one, then they are put in order. */

static ngx_int_t
ngx_http_pdns_overlay_order(ngx_http_pdns_ctx_t *ctx)
{
    ngx_uint_t                i, n;
    ngx_http_pdns_before_t   *b;
    ngx_http_pdns_overlay_t  *o;

    o = ctx->overlay;
    b = o->records.elts;

    qsort(b, o->records.nelts, sizeof(ngx_http_pdns_before_t),
          ngx_http_pdns_overlay_by_raw);

    n = 0;

    for (i = 0; i < o->records.nelts; i++) {

        if (n > 0
            && ngx_http_pdns_overlay_cmp(&b[n - 1].raw, &b[i].raw) == 0)
        {
            b[n - 1].first = ngx_min(b[n - 1].first, b[i].first);
            b[n - 1].last = ngx_max(b[n - 1].last, b[i].last);
            b[n - 1].count = ngx_max(b[n - 1].count, b[i].count);
            continue;
        }

        b[n++] = b[i];
    }

    o->records.nelts = n;

    o->order = ngx_palloc(o->pool,
                          (n + 1) * sizeof(ngx_http_pdns_before_t *));
    if (o->order == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        o->order[i] = &b[i];
    }

    qsort(o->order, n, sizeof(ngx_http_pdns_before_t *),
          ctx->oldest ? ngx_http_pdns_overlay_by_age
                      : ngx_http_pdns_overlay_by_time);

    return NGX_OK;
}


ngx_int_t
ngx_http_pdns_overlay_create(ngx_http_pdns_ctx_t *ctx)
{
    if (ctx->overlay == NULL) {
        ctx->overlay = ngx_pcalloc(ctx->request->pool,
                                   sizeof(ngx_http_pdns_overlay_t));
    }

    return (ctx->overlay != NULL) ? NGX_OK : NGX_ERROR;
}


ngx_uint_t
ngx_http_pdns_overlay(ngx_http_pdns_ctx_t *ctx)
{
    return ctx->overlay != NULL && ctx->overlay->leaf != NULL;
}


void
ngx_http_pdns_overlay_add(ngx_http_pdns_row_t *row, int64_t count,
    int64_t before)
{
    ngx_http_pdns_before_t  *b;

    b = row->before;

    if (b != NULL) {
        row->first = ngx_min(row->first, b->first);
        before = ngx_max(before, (int64_t) b->count);
    }

    row->count = ngx_http_pdns_total(count, before);
}


/* A piece of the store, from where the last one ended. */

void
ngx_http_pdns_overlay_read(ngx_http_pdns_ctx_t *ctx)
{
    ctx->overlay->start = *ctx->at;

    ngx_http_pdns_read_large(ctx);
}


static ngx_http_pdns_before_t *
ngx_http_pdns_overlay_find(ngx_http_pdns_overlay_t *o, ngx_str_t *raw)
{
    int                      rc;
    ngx_uint_t               low, high, n;
    ngx_http_pdns_before_t  *b;

    b = o->records.elts;
    low = 0;
    high = o->records.nelts;

    while (low < high) {
        n = low + (high - low) / 2;
        rc = ngx_http_pdns_overlay_cmp(raw, &b[n].raw);

        if (rc == 0) {
            return &b[n];
        }

        if (rc < 0) {
            high = n;

        } else {
            low = n + 1;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_pdns_overlay_behind(pdns_cursor_t *c, uint64_t time, ngx_str_t *raw)
{
    return pdns_cursor_behind(c, time, raw->data, raw->len);
}


/*
 * A piece of the store is there: ctx->rows, up to ctx->at if it is not the
 * last.  Those of the other database that belong between its rows are chosen,
 * and the store is asked where it has them.
 */

void
ngx_http_pdns_overlay_piece(ngx_http_pdns_ctx_t *ctx)
{
    pdns_key_t                key;
    ngx_uint_t                i, n;
    ngx_http_pdns_pipe_t     *pipe;
    ngx_http_pdns_before_t  **b;
    ngx_http_pdns_overlay_t  *o;

    o = ctx->overlay;

    if (ngx_http_pdns_overlay_between(ctx) != NGX_OK) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (o->between->nelts == 0) {
        ngx_http_pdns_overlay_step(ctx);
        return;
    }

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_pdns_leaf_key(&key, o->leaf);
    b = o->between->elts;

    for (i = 0; i < o->between->nelts; i++) {

        if (i % NGX_HTTP_PDNS_PER_ASK == 0) {
            n = ngx_min(o->between->nelts - i, NGX_HTTP_PDNS_PER_ASK);

            pdns_resp_command(&pipe->w, 2 + n, "ZMSCORE");
            pdns_resp_word(&pipe->w, key.data, key.len);
        }

        pdns_resp_word(&pipe->w, b[i]->raw.data, b[i]->raw.len);
    }

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_overlay_reply,
                      ngx_http_pdns_overlay_step);
}


/* o->between: in their order, at most so many that the piece ends there. */

static ngx_int_t
ngx_http_pdns_overlay_between(ngx_http_pdns_ctx_t *ctx)
{
    ngx_uint_t                i;
    pdns_cursor_t            *end;
    ngx_http_pdns_before_t   *b, **to;
    ngx_http_pdns_overlay_t  *o;

    o = ctx->overlay;
    end = (ctx->large != NULL) ? ctx->at : NULL;

    o->between = ngx_array_create(ctx->row_pool, 64,
                                  sizeof(ngx_http_pdns_before_t *));
    if (o->between == NULL) {
        return NGX_ERROR;
    }

    ngx_http_pdns_overlay_rows(ctx);

    for (i = 0; i < o->records.nelts; i++) {
        b = o->order[i];

        if (end != NULL && ngx_http_pdns_overlay_behind(end, b->last, &b->raw))
        {
            break;
        }

        if (b->taken
            || !ngx_http_pdns_wanted(ctx, o->leaf, b->type, b->last)
            || !ngx_http_pdns_overlay_behind(&o->start, b->last, &b->raw))
        {
            continue;
        }

        to = ngx_array_push(o->between);
        if (to == NULL) {
            return NGX_ERROR;
        }

        *to = b;

        if (o->between->nelts < NGX_HTTP_PDNS_BETWEEN) {
            continue;
        }

        /* rows of the store that come behind it are read again */

        ctx->large = o->leaf;
        ctx->at->time = b->last;
        ctx->at->member_len = b->raw.len;
        ngx_memcpy(ctx->at->member, b->raw.data, b->raw.len);
        break;
    }

    return NGX_OK;
}


/*
 * Rows that the other database has seen later than the store come at that
 * place instead: they are dropped here.
 */

static void
ngx_http_pdns_overlay_rows(ngx_http_pdns_ctx_t *ctx)
{
    ngx_uint_t               i, n;
    ngx_http_pdns_row_t     *row;
    ngx_http_pdns_before_t  *b;

    row = ctx->rows.elts;

    for (i = 0, n = 0; i < ctx->rows.nelts; i++) {
        b = ngx_http_pdns_overlay_find(ctx->overlay, &row[i].raw);

        if (b != NULL) {

            if (b->last > row[i].last) {
                continue;
            }

            b->taken = 1;
            row[i].before = b;
        }

        row[n++] = row[i];
    }

    ctx->rows.nelts = n;
}


/*
 * What the store has seen later stands at that place: it has been in the
 * answer, or will be when the oldest come first.
 */

static void
ngx_http_pdns_overlay_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    int64_t                   score;
    ngx_uint_t                n;
    ngx_http_pdns_before_t  **b;

    if (reply->type != REDIS_REPLY_ARRAY) {
        return;
    }

    b = ctx->overlay->between->elts;
    b += i * NGX_HTTP_PDNS_PER_ASK;

    for (n = 0; n < reply->elements; n++) {
        score = ngx_http_pdns_score(reply->element[n]);

        if (score > (int64_t) b[n]->last
            && (ctx->oldest
                || !ngx_http_pdns_overlay_behind(&ctx->overlay->start,
                                                 (uint64_t) score,
                                                 &b[n]->raw)))
        {
            b[n]->taken = 1;
        }
    }
}


static void
ngx_http_pdns_overlay_step(ngx_http_pdns_ctx_t *ctx)
{
    ngx_uint_t                i, n;
    ngx_http_pdns_row_t      *row;
    ngx_http_pdns_before_t  **b;
    ngx_http_pdns_overlay_t  *o;

    o = ctx->overlay;
    row = ctx->rows.elts;

    if (ctx->large != NULL) {

        for (i = 0, n = 0; i < ctx->rows.nelts; i++) {

            if (!ngx_http_pdns_overlay_behind(ctx->at, row[i].last,
                                              &row[i].raw))
            {
                row[n++] = row[i];

            } else if (row[i].before != NULL) {
                row[i].before->taken = 0;
            }
        }

        ctx->rows.nelts = n;
    }

    b = o->between->elts;

    for (i = 0; i < o->between->nelts; i++) {

        if (b[i]->taken) {
            continue;
        }

        row = ngx_array_push(&ctx->rows);
        if (row == NULL) {
            ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return;
        }

        ngx_memzero(row, sizeof(ngx_http_pdns_row_t));

        b[i]->taken = 1;

        row->leaf = o->leaf;
        row->before = b[i];
        row->name = b[i]->name;
        row->raw = b[i]->raw;
        row->member = b[i]->member;
        row->rdata = b[i]->rdata;
        row->type = b[i]->type;
        row->last = b[i]->last;
    }

    ngx_http_pdns_rows_order(ctx, 0);

    if (ctx->expand && ngx_http_pdns_expand(ctx) != NGX_OK) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_pdns_next(ctx);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What a value stands for: one key, a few, or ranges of the store's indexes,
 * and where in them a cursor is.
 */


#include "ngx_http_pdns.h"


static ngx_uint_t ngx_http_pdns_walk_foreign(ngx_http_pdns_ctx_t *ctx);
static ngx_int_t ngx_http_pdns_walk_few(ngx_http_pdns_ctx_t *ctx);
static ngx_int_t ngx_http_pdns_walk_data(ngx_http_pdns_ctx_t *ctx,
    ngx_str_t *text, ngx_uint_t index);
static ngx_http_pdns_leaf_t *ngx_http_pdns_walk_leaf(ngx_http_pdns_ctx_t *ctx,
    ngx_uint_t index);
static ngx_int_t ngx_http_pdns_walk_below(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_walk_t *w);
static ngx_int_t ngx_http_pdns_walk_above(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_walk_t *w);
static ngx_int_t ngx_http_pdns_walk_resume(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_walk_t *w);
static ngx_int_t ngx_http_pdns_walk_outer(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_walk_t *w, u_char *data, size_t len);
static void ngx_http_pdns_walk_prefix(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_walk_t *w);
static ngx_int_t ngx_http_pdns_walk_addrs(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_walk_t *w);


ngx_int_t
ngx_http_pdns_walk_start(ngx_http_pdns_ctx_t *ctx)
{
    ngx_http_pdns_walk_t  *w;

    if (ctx->pool == NULL) {
        ctx->pool = ngx_create_pool(4096, ctx->request->connection->log);
        if (ctx->pool == NULL) {
            return NGX_ERROR;
        }
    }

    /* one, mostly; a walk makes room for as many as it lists */

    if (ngx_array_init(&ctx->leaves, ctx->pool, 1,
                       sizeof(ngx_http_pdns_leaf_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->leaf = 0;
    ctx->walk = NULL;

    if (ctx->from != NULL && ngx_http_pdns_walk_foreign(ctx)) {
        return NGX_DECLINED;
    }

    switch (ctx->value.find) {

    case PDNS_FIND_ADDR:
        if (ngx_memcmp(ctx->value.low, ctx->value.high, ctx->value.alen)
            != 0)
        {
            break;
        }

        /* fall through */

    case PDNS_FIND_NAME:
    case PDNS_FIND_TARGET:
    case PDNS_FIND_DATA:
        ctx->listed = 1;
        return ngx_http_pdns_walk_few(ctx);

    default:
        break;
    }

    w = ctx->walk_data;

    if (w == NULL) {
        w = ngx_palloc(ctx->request->pool, sizeof(ngx_http_pdns_walk_t));
        if (w == NULL) {
            return NGX_ERROR;
        }

        w->pool = NULL;
    }

    if (w->pool != NULL) {
        ngx_destroy_pool(w->pool);
    }

    ngx_memzero(w, sizeof(ngx_http_pdns_walk_t));

    w->resume = (ctx->from != NULL && ctx->from->leaf_len != 0);

    ctx->walk = w;
    ctx->walk_data = w;

    switch (ctx->value.find) {

    case PDNS_FIND_PREFIX:
    case PDNS_FIND_TARGET_PREFIX:
        ngx_http_pdns_walk_prefix(ctx, w);
        return NGX_OK;

    case PDNS_FIND_ADDR:
        return ngx_http_pdns_walk_addrs(ctx, w);

    default:
        return ngx_http_pdns_walk_below(ctx, w);
    }
}


/*
 * 1: the cursor's key is none of those that the value stands for, so that what
 * is behind it would be no part of the answer; or its order is the other one.
 */

static ngx_uint_t
ngx_http_pdns_walk_foreign(ngx_http_pdns_ctx_t *ctx)
{
    size_t         len;
    u_char        *p, key[PDNS_NAME_TEXT];
    pdns_name_t    name;
    pdns_value_t  *v;

    v = &ctx->value;
    p = ctx->from->leaf;
    len = ctx->from->leaf_len;

    if (ctx->from->oldest != (int) ctx->oldest) {
        return 1;
    }

    switch (v->find) {

    case PDNS_FIND_NAME:
        return len != 0;

    case PDNS_FIND_TARGET:
    case PDNS_FIND_DATA:
        return len != 0 && (len != 1 || p[0] < 1 || p[0] > 2);

    case PDNS_FIND_ADDR:
        if (ngx_memcmp(v->low, v->high, v->alen) == 0) {
            return len != 0;
        }

        return len != v->alen || ngx_memcmp(p, v->low, len) < 0
               || ngx_memcmp(p, v->high, len) > 0;

    case PDNS_FIND_PREFIX:
    case PDNS_FIND_TARGET_PREFIX:
        return len <= v->len || ngx_memcmp(p, v->text, v->len) != 0
               || p[v->len] != '.'
               || pdns_name_parse(&name, (char *) p, len) != 0;

    default: /* PDNS_FIND_BELOW, PDNS_FIND_TARGETS */
        break;
    }

    if (pdns_name_unkey(&name, (char *) p, len) != 0
        || name.labels < v->name.labels)
    {
        return 1;
    }

    len = pdns_name_key((char *) key, &name, 0, v->name.labels);

    return pdns_name_unkey(&name, (char *) key, len) != 0
           || !pdns_name_equal(&name, &v->name);
}


/* A name, an address, or what may be a name or a text. */

static ngx_int_t
ngx_http_pdns_walk_few(ngx_http_pdns_ctx_t *ctx)
{
    u_char                *p;
    ngx_str_t              text;
    pdns_value_t          *v;
    ngx_http_pdns_leaf_t  *leaf;

    v = &ctx->value;

    if (v->find != PDNS_FIND_DATA) {
        leaf = ngx_http_pdns_walk_leaf(ctx, 0);

        if (leaf == NULL) {
            return (ctx->from != NULL) ? NGX_OK : NGX_ERROR;
        }

        if (v->find == PDNS_FIND_ADDR) {
            leaf->type = NGX_HTTP_PDNS_ADDR;
            leaf->alen = v->alen;
            ngx_memcpy(leaf->addr, v->low, v->alen);
            return NGX_OK;
        }

        leaf->name = v->name;

        if (v->find == PDNS_FIND_NAME) {
            leaf->error = ctx->errors;
            return NGX_OK;
        }

        leaf->type = NGX_HTTP_PDNS_TARGET;
    }

    text.data = (u_char *) v->text;
    text.len = v->len;

    if (ngx_http_pdns_walk_data(ctx, &text, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    if (text.len == 0 || text.data[0] == '"') {
        return NGX_OK;
    }

    /* character strings are kept with their quotes */

    p = ngx_pnalloc(ctx->pool, text.len + 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p[0] = '"';
    ngx_memcpy(p + 1, text.data, text.len);
    p[text.len + 1] = '"';
    text.data = p;
    text.len += 2;

    return ngx_http_pdns_walk_data(ctx, &text, 2);
}


static ngx_int_t
ngx_http_pdns_walk_data(ngx_http_pdns_ctx_t *ctx, ngx_str_t *text,
    ngx_uint_t index)
{
    u_char                *buf;
    size_t                 size;
    pdns_rdata_t           rdata;
    ngx_http_pdns_leaf_t  *leaf;

    size = text->len * 4 + 16;

    buf = ngx_pnalloc(ctx->pool, size);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    if (pdns_rdata_parse(&rdata, PDNS_TXT, (char *) text->data, text->len,
                         (char *) buf, size)
        != 0)
    {
        return NGX_OK;
    }

    leaf = ngx_http_pdns_walk_leaf(ctx, index);

    if (leaf == NULL) {
        return (ctx->from != NULL) ? NGX_OK : NGX_ERROR;
    }

    leaf->type = NGX_HTTP_PDNS_DATA;
    leaf->rdata.data = buf;
    leaf->rdata.len = rdata.len;
    pdns_digest(leaf->digest, rdata.text, rdata.len);

    return NGX_OK;
}


/* NULL without memory, or when a cursor is in one of those behind it. */

static ngx_http_pdns_leaf_t *
ngx_http_pdns_walk_leaf(ngx_http_pdns_ctx_t *ctx, ngx_uint_t index)
{
    ngx_uint_t             from;
    ngx_http_pdns_leaf_t  *leaf;

    from = 0;

    if (ctx->from != NULL && ctx->from->leaf_len == 1) {
        from = ctx->from->leaf[0];
    }

    if (index < from) {
        return NULL;
    }

    leaf = ngx_array_push(&ctx->leaves);
    if (leaf == NULL) {
        return NULL;
    }

    ngx_memzero(leaf, sizeof(ngx_http_pdns_leaf_t));

    leaf->index = index;
    leaf->resume = (ctx->from != NULL && index == from);

    if (ctx->values != NULL) {
        leaf->query = ctx->text;
    }

    return leaf;
}


/* A bound of a range: a mark, "[" or "(", and a member; or "-" or "+". */

void
ngx_http_pdns_bound(ngx_http_pdns_level_t *level, ngx_uint_t high,
    u_char mark, u_char *p, size_t len)
{
    ngx_str_t  *bound;

    bound = high ? &level->max : &level->min;

    bound->data = level->bound[high];
    bound->data[0] = mark;
    bound->len = len + 1;

    if (len != 0) {
        ngx_memcpy(bound->data + 1, p, len);
    }

    level->set = 1;
    level->ended = 0;
}


/* All that begins with p, or all there is. */

void
ngx_http_pdns_range(ngx_http_pdns_level_t *level, u_char *p, size_t len)
{
    u_char  *last;

    if (len == 0) {
        ngx_http_pdns_bound(level, 0, '-', NULL, 0);
        ngx_http_pdns_bound(level, 1, '+', NULL, 0);
        return;
    }

    /* "." and what follows it in ASCII */

    ngx_http_pdns_bound(level, 0, '[', p, len);
    last = level->bound[0] + 1 + len;
    *last = '.';
    level->min.len++;

    ngx_http_pdns_bound(level, 1, '(', p, len);
    last = level->bound[1] + 1 + len;
    *last = '/';
    level->max.len++;
}


static ngx_int_t
ngx_http_pdns_walk_below(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_walk_t *w)
{
    size_t                  len;
    u_char                  text[PDNS_NAME_TEXT];
    unsigned                tag;
    pdns_name_t            *name;
    ngx_http_pdns_leaf_t   *leaf;
    ngx_http_pdns_level_t  *level;

    name = &ctx->value.name;
    tag = pdns_name_tag_below(name);

    if (w->resume
        && pdns_name_unkey(&w->from, (char *) ctx->from->leaf,
                           ctx->from->leaf_len)
           != 0)
    {
        w->resume = 0;
    }

    if (name->labels < tag) {
        return ngx_http_pdns_walk_above(ctx, w);
    }

    w->levels = 1;
    level = &w->level[0];

    w->tag.data = w->tag_data;
    w->tag.len = pdns_name_key((char *) w->tag_data, name, 0, tag);

    pdns_key_below(&level->key, name, tag);

    len = (tag < name->labels)
          ? pdns_name_key((char *) text, name, tag, name->labels) : 0;

    ngx_http_pdns_range(level, text, len);

    if (len != 0 && (!w->resume || pdns_name_equal(&w->from, name))) {

        /* the name itself is not in the range of those below it */

        leaf = ngx_array_push(&ctx->leaves);
        if (leaf == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(leaf, sizeof(ngx_http_pdns_leaf_t));

        leaf->type = (ctx->value.find == PDNS_FIND_TARGETS)
                     ? NGX_HTTP_PDNS_TARGET : NGX_HTTP_PDNS_OWNER;
        leaf->name = *name;
        leaf->resume = w->resume;

        if (ctx->values != NULL) {
            leaf->query = ctx->text;
        }

        w->resume = 0;
        return NGX_OK;
    }

    if (w->resume) {
        len = pdns_name_key((char *) text, &w->from, tag, w->from.labels);
        ngx_http_pdns_bound(level, 0, '[', text, len);
    }

    return NGX_OK;
}


/* Below a top-level domain, or above the tags of a reverse tree. */

static ngx_int_t
ngx_http_pdns_walk_above(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_walk_t *w)
{
    size_t                  len;
    u_char                  text[PDNS_NAME_TEXT];
    pdns_name_t            *name;
    ngx_http_pdns_level_t  *level;

    name = &ctx->value.name;

    w->top.data = w->top_data;
    w->top.len = pdns_name_key((char *) w->top_data, name, 0, 1);

    if (w->resume && ngx_http_pdns_walk_resume(ctx, w) != NGX_OK) {
        return NGX_ERROR;
    }

    level = &w->level[0];
    w->level[1].ended = 1;

    if (name->labels == 1) {
        w->levels = 3;
        w->level[2].ended = 1;

        pdns_key_tops(&level->key, (char *) w->top.data, w->top.len);
        ngx_http_pdns_range(level, NULL, 0);

        if (w->resume) {
            ngx_http_pdns_bound(level, 0, '[', w->resume_top.data,
                                w->resume_top.len);
        }

        return NGX_OK;
    }

    w->levels = 2;

    len = pdns_name_key((char *) text, name, 1, name->labels);

    pdns_key_tags(&level->key, (char *) w->top.data, w->top.len,
                  (char *) text, len);
    ngx_http_pdns_range(level, text, len);

    if (w->resume
        && (w->resume_outer.len != len
            || ngx_memcmp(w->resume_outer.data, text, len) != 0))
    {
        ngx_http_pdns_bound(level, 0, '[', w->resume_outer.data,
                            w->resume_outer.len);
        return NGX_OK;
    }

    /* the tag that is the name itself is not in the range */

    return ngx_http_pdns_walk_outer(ctx, w, text, len);
}


/* Where a cursor is: the top, the tag in it and what is below the tag. */

static ngx_int_t
ngx_http_pdns_walk_resume(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_walk_t *w)
{
    size_t    len;
    u_char    text[PDNS_NAME_TEXT];
    unsigned  tag;

    tag = pdns_name_tag(&w->from);

    len = (tag > 1) ? pdns_name_key((char *) text, &w->from, 1, tag) : 0;
    w->resume_outer.data = ngx_pnalloc(ctx->request->pool, len + 1);
    if (w->resume_outer.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(w->resume_outer.data, text, len);
    w->resume_outer.len = len;
    w->resume_top.data = w->resume_outer.data;
    w->resume_top.len = ngx_min(len, 2);

    len = (tag < w->from.labels)
          ? pdns_name_key((char *) text, &w->from, tag, w->from.labels) : 0;
    w->resume_inner.data = ngx_pnalloc(ctx->request->pool, len + 1);
    if (w->resume_inner.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(w->resume_inner.data, text, len);
    w->resume_inner.len = len;

    return NGX_OK;
}


/* One key of the last level, known without a list of them. */

static ngx_int_t
ngx_http_pdns_walk_outer(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_walk_t *w,
    u_char *data, size_t len)
{
    ngx_str_t  *outer;

    w->pool = ngx_create_pool(1024, ctx->request->connection->log);

    if (w->pool == NULL
        || ngx_array_init(&w->outer, w->pool, 1, sizeof(ngx_str_t)) != NGX_OK)
    {
        return NGX_ERROR;
    }

    outer = ngx_array_push(&w->outer);
    outer->len = len;
    outer->data = ngx_pnalloc(w->pool, len);
    if (outer->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(outer->data, data, len);

    return NGX_OK;
}


static void
ngx_http_pdns_walk_prefix(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_walk_t *w)
{
    ngx_http_pdns_level_t  *level;

    w->levels = 1;
    level = &w->level[0];

    pdns_key_prefix(&level->key, ctx->value.text, ctx->value.len);
    ngx_http_pdns_range(level, (u_char *) ctx->value.text, ctx->value.len);

    if (w->resume) {
        ngx_http_pdns_bound(level, 0, '[', ctx->from->leaf,
                            ctx->from->leaf_len);
    }
}


static ngx_int_t
ngx_http_pdns_walk_addrs(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_walk_t *w)
{
    size_t                  n;
    pdns_value_t           *v;
    ngx_http_pdns_level_t  *level;

    v = &ctx->value;
    w->levels = 2;
    level = &w->level[0];

    if (w->resume && ctx->from->leaf_len == v->alen
        && ngx_memcmp(ctx->from->leaf, v->low, v->alen) >= 0)
    {
        ngx_memcpy(v->low, ctx->from->leaf, v->alen);

    } else {
        w->resume = 0;
    }

    n = pdns_bucket_size(v->alen);

    if (ngx_memcmp(v->low, v->high, n) == 0) {

        /* one bucket: no list of them is needed */

        level->ended = 1;
        w->level[1].ended = 1;

        return ngx_http_pdns_walk_outer(ctx, w, v->low, n);
    }

    pdns_key_buckets(&level->key, v->alen);
    ngx_http_pdns_bound(level, 0, '[', v->low, n);
    ngx_http_pdns_bound(level, 1, '[', v->high, n);

    w->level[1].ended = 1;

    return NGX_OK;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The keys that a value stands for.  Wildcards and networks are ranges of the
 * store's indexes, in up to three levels: T: lists parts of U:, which lists
 * tags, whose W: lists names; 4: lists buckets, whose keys list addresses.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_OUTER   32       /* keys of the last level in one */
#define NGX_HTTP_PDNS_INNER   16       /* and how much of each */


static void ngx_http_pdns_walk_inner(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_walk_t *w, ngx_str_t *outer);
static void ngx_http_pdns_walk_list(ngx_http_pdns_pipe_t *pipe,
    ngx_http_pdns_level_t *level, ngx_uint_t limit);
static void ngx_http_pdns_walk_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_walk_top_step(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_walk_outer_step(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_walk_many_step(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_walk_inner_step(ngx_http_pdns_ctx_t *ctx);
static ngx_int_t ngx_http_pdns_walk_take(ngx_http_pdns_ctx_t *ctx,
    ngx_array_t *list);
static ngx_int_t ngx_http_pdns_walk_member(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_leaf_t *leaf, ngx_str_t *member);


size_t
ngx_http_pdns_leaf_id(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_leaf_t *leaf,
    u_char *id)
{
    if (ctx->walk == NULL) {

        if (leaf->index == 0) {
            return 0;
        }

        id[0] = (u_char) leaf->index;
        return 1;
    }

    if (leaf->type == NGX_HTTP_PDNS_ADDR) {
        ngx_memcpy(id, leaf->addr, leaf->alen);
        return leaf->alen;
    }

    if (ctx->value.find == PDNS_FIND_PREFIX
        || ctx->value.find == PDNS_FIND_TARGET_PREFIX)
    {
        return pdns_name_text((char *) id, &leaf->name);
    }

    return pdns_name_key((char *) id, &leaf->name, 0, leaf->name.labels);
}


/* The last level, of what the level before it has listed. */

static void
ngx_http_pdns_walk_inner(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_walk_t *w,
    ngx_str_t *outer)
{
    size_t                  n;
    pdns_name_t             name;
    pdns_value_t           *v;
    ngx_http_pdns_level_t  *level;

    level = &w->level[w->levels - 1];
    v = &ctx->value;

    if (v->find == PDNS_FIND_ADDR) {
        n = pdns_bucket_size(v->alen);

        w->tag.data = w->tag_data;
        w->tag.len = n;
        ngx_memcpy(w->tag_data, outer->data, n);

        pdns_key_bucket(&level->key, outer->data, v->alen);
        ngx_http_pdns_range(level, NULL, 0);

        if (ngx_memcmp(outer->data, v->low, n) == 0) {
            ngx_http_pdns_bound(level, 0, '[', v->low + n, v->alen - n);
        }

        if (ngx_memcmp(outer->data, v->high, n) == 0) {
            ngx_http_pdns_bound(level, 1, '[', v->high + n, v->alen - n);
        }

        return;
    }

    ngx_memcpy(w->tag_data, w->top.data, w->top.len);
    w->tag.data = w->tag_data;
    w->tag.len = w->top.len;

    if (outer->len != 0) {
        w->tag_data[w->tag.len++] = '.';
        ngx_memcpy(w->tag_data + w->tag.len, outer->data, outer->len);
        w->tag.len += outer->len;
    }

    if (pdns_name_unkey(&name, (char *) w->tag.data, w->tag.len) != 0) {
        name.labels = 0;
    }

    pdns_key_below(&level->key, &name, name.labels);
    ngx_http_pdns_range(level, NULL, 0);

    if (w->resume && outer->len == w->resume_outer.len
        && ngx_memcmp(outer->data, w->resume_outer.data, outer->len) == 0)
    {
        ngx_http_pdns_bound(level, 0, '[', w->resume_inner.data,
                            w->resume_inner.len);
    }
}


ngx_int_t
ngx_http_pdns_walk(ngx_http_pdns_ctx_t *ctx)
{
    ngx_str_t              *outer;
    ngx_uint_t              i;
    ngx_http_pdns_pipe_t   *pipe;
    ngx_http_pdns_walk_t   *w;
    ngx_http_pdns_step_pt   then;
    ngx_http_pdns_level_t  *last, *before;

    w = ctx->walk;

    if (w == NULL) {
        return NGX_DONE;
    }

    last = &w->level[w->levels - 1];
    before = (w->levels > 1) ? last - 1 : NULL;

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_OK;
    }

    w->limit = ngx_http_pdns_width(ctx);

    if (last->set && !last->ended) {
        ngx_http_pdns_walk_list(pipe, last, w->limit);
        then = ngx_http_pdns_walk_inner_step;

    } else if (before == NULL) {
        goto done;

    } else if (w->next < w->outer.nelts) {

        outer = w->outer.elts;
        i = ngx_min(w->outer.nelts - w->next, NGX_HTTP_PDNS_OUTER);

        if (i > 1) {
            i = ngx_min(i, w->limit);
            w->limit = ngx_min(w->limit, NGX_HTTP_PDNS_INNER);
        }

        for (w->asked = 0; w->asked < i; w->asked++) {
            ngx_http_pdns_walk_inner(ctx, w, &outer[w->next + w->asked]);
            ngx_http_pdns_walk_list(pipe, last, w->limit);
        }

        last->ended = 1;
        then = ngx_http_pdns_walk_many_step;

    } else if (before->set && !before->ended) {
        w->limit = ngx_min(w->limit, NGX_HTTP_PDNS_OUTER);
        ngx_http_pdns_walk_list(pipe, before, w->limit);
        then = ngx_http_pdns_walk_outer_step;

    } else if (w->levels == 3 && !w->level[0].ended) {
        ngx_http_pdns_walk_list(pipe, &w->level[0], 1);
        then = ngx_http_pdns_walk_top_step;

    } else {
        goto done;
    }

    w->lists = ngx_array_create(ctx->pool, pipe->w.commands,
                                sizeof(ngx_array_t));
    if (w->lists == NULL) {
        ngx_http_pdns_pipe_free(pipe);
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_OK;
    }

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_walk_reply, then);

    return NGX_OK;

done:

    ngx_http_pdns_pipe_free(pipe);

    return NGX_DONE;
}


static void
ngx_http_pdns_walk_list(ngx_http_pdns_pipe_t *pipe,
    ngx_http_pdns_level_t *level, ngx_uint_t limit)
{
    pdns_resp_command(&pipe->w, 7, "ZRANGEBYLEX");
    pdns_resp_word(&pipe->w, level->key.data, level->key.len);
    pdns_resp_word(&pipe->w, level->min.data, level->min.len);
    pdns_resp_word(&pipe->w, level->max.data, level->max.len);
    pdns_resp_text(&pipe->w, "LIMIT");
    pdns_resp_text(&pipe->w, "0");
    pdns_resp_number(&pipe->w, (int64_t) limit);
}


/* What a reply lists, copied; a list that cannot be kept is left out. */

static void
ngx_http_pdns_walk_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    ngx_str_t    *s;
    ngx_uint_t    n;
    redisReply   *element;
    ngx_array_t  *list;

    list = ngx_array_push(ctx->walk->lists);

    if (list == NULL
        || ngx_array_init(list, ctx->pool, 16, sizeof(ngx_str_t)) != NGX_OK)
    {
        ctx->pipe->failed = 1;
        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY) {
        return;
    }

    for (n = 0; n < reply->elements; n++) {
        element = reply->element[n];

        if (element->type != REDIS_REPLY_STRING
            || element->len > PDNS_NAME_TEXT)
        {
            continue;
        }

        s = ngx_array_push(list);

        if (s != NULL) {
            s->len = element->len;
            s->data = ngx_pnalloc(ctx->pool, s->len + 1);
        }

        if (s == NULL || s->data == NULL) {
            ctx->pipe->failed = 1;
            return;
        }

        ngx_memcpy(s->data, element->str, s->len);
    }
}


/* The range goes on behind what was listed last. */

static void
ngx_http_pdns_walk_on(ngx_http_pdns_level_t *level, ngx_array_t *list,
    ngx_uint_t limit)
{
    ngx_str_t  *s;

    if (list->nelts < limit) {
        level->ended = 1;
        return;
    }

    s = list->elts;
    s += list->nelts - 1;

    ngx_http_pdns_bound(level, 0, '(', s->data, s->len);
}


static void
ngx_http_pdns_walk_top_step(ngx_http_pdns_ctx_t *ctx)
{
    ngx_str_t              *s;
    ngx_array_t            *list;
    ngx_http_pdns_walk_t   *w;
    ngx_http_pdns_level_t  *level;

    w = ctx->walk;
    list = w->lists->elts;
    level = &w->level[1];

    ngx_http_pdns_walk_on(&w->level[0], list, 1);

    if (list->nelts != 0) {
        s = list->elts;

        pdns_key_tags(&level->key, (char *) w->top.data, w->top.len,
                      (char *) s->data, s->len);
        ngx_http_pdns_range(level, NULL, 0);

        if (w->resume && s->len == w->resume_top.len
            && ngx_memcmp(s->data, w->resume_top.data, s->len) == 0)
        {
            ngx_http_pdns_bound(level, 0, '[', w->resume_outer.data,
                                w->resume_outer.len);
        }
    }

    ngx_http_pdns_next(ctx);
}


static void
ngx_http_pdns_walk_outer_step(ngx_http_pdns_ctx_t *ctx)
{
    ngx_str_t             *s, *outer;
    ngx_uint_t             i;
    ngx_array_t           *list;
    ngx_http_pdns_walk_t  *w;

    w = ctx->walk;
    list = w->lists->elts;

    ngx_http_pdns_walk_on(&w->level[w->levels - 2], list, w->limit);

    if (w->pool != NULL) {
        ngx_destroy_pool(w->pool);
    }

    w->pool = ngx_create_pool(4096, ctx->request->connection->log);

    if (w->pool == NULL
        || ngx_array_init(&w->outer, w->pool, NGX_HTTP_PDNS_OUTER,
                          sizeof(ngx_str_t))
           != NGX_OK)
    {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    w->next = 0;
    s = list->elts;

    for (i = 0; i < list->nelts; i++) {

        if (ctx->value.find == PDNS_FIND_ADDR
            && s[i].len != pdns_bucket_size(ctx->value.alen))
        {
            continue;
        }

        outer = ngx_array_push(&w->outer);

        if (outer != NULL) {
            outer->len = s[i].len;
            outer->data = ngx_pstrdup(w->pool, &s[i]);
        }

        if (outer == NULL || (outer->data == NULL && s[i].len != 0)) {
            ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return;
        }
    }

    ngx_http_pdns_next(ctx);
}


/* Several lists, up to one that was not listed to its end. */

static void
ngx_http_pdns_walk_many_step(ngx_http_pdns_ctx_t *ctx)
{
    ngx_str_t              *outer;
    ngx_uint_t              i;
    ngx_array_t            *lists;
    ngx_http_pdns_walk_t   *w;
    ngx_http_pdns_level_t  *last;

    w = ctx->walk;
    last = &w->level[w->levels - 1];
    lists = w->lists->elts;
    outer = w->outer.elts;

    for (i = 0; i < w->asked; i++) {
        ngx_http_pdns_walk_inner(ctx, w, &outer[w->next]);
        w->next++;

        if (ngx_http_pdns_walk_take(ctx, &lists[i]) != NGX_OK) {
            ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return;
        }

        ngx_http_pdns_walk_on(last, &lists[i], w->limit);

        if (!last->ended) {
            break;
        }
    }

    ngx_http_pdns_next(ctx);
}


static void
ngx_http_pdns_walk_inner_step(ngx_http_pdns_ctx_t *ctx)
{
    ngx_array_t           *list;
    ngx_http_pdns_walk_t  *w;

    w = ctx->walk;
    list = w->lists->elts;

    if (ngx_http_pdns_walk_take(ctx, list) != NGX_OK) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_pdns_walk_on(&w->level[w->levels - 1], list, w->limit);
    ngx_http_pdns_next(ctx);
}


static ngx_int_t
ngx_http_pdns_walk_take(ngx_http_pdns_ctx_t *ctx, ngx_array_t *list)
{
    size_t                 len;
    u_char                 id[PDNS_NAME_TEXT];
    ngx_str_t             *s;
    ngx_uint_t             i;
    ngx_http_pdns_leaf_t  *leaf;
    ngx_http_pdns_walk_t  *w;

    w = ctx->walk;
    s = list->elts;

    for (i = 0; i < list->nelts; i++) {
        leaf = ngx_array_push(&ctx->leaves);
        if (leaf == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(leaf, sizeof(ngx_http_pdns_leaf_t));

        if (ngx_http_pdns_walk_member(ctx, leaf, &s[i]) != NGX_OK) {
            ctx->leaves.nelts--;
            continue;
        }

        if (ctx->values != NULL) {
            leaf->query = ctx->text;
        }

        if (!w->resume) {
            continue;
        }

        /* the first key may be the one that the cursor is in */

        w->resume = 0;

        len = ngx_http_pdns_leaf_id(ctx, leaf, id);

        if (len == ctx->from->leaf_len
            && ngx_memcmp(id, ctx->from->leaf, len) == 0)
        {
            if (ctx->from->time == 0) {
                ctx->leaves.nelts--;

            } else {
                leaf->resume = 1;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_pdns_walk_member(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_leaf_t *leaf,
    ngx_str_t *member)
{
    size_t                 len;
    u_char                 text[2 * PDNS_NAME_TEXT];
    ngx_http_pdns_walk_t  *w;

    w = ctx->walk;

    switch (ctx->value.find) {

    case PDNS_FIND_ADDR:
        if (w->tag.len + member->len != ctx->value.alen) {
            return NGX_DECLINED;
        }

        leaf->type = NGX_HTTP_PDNS_ADDR;
        leaf->alen = ctx->value.alen;
        ngx_memcpy(leaf->addr, w->tag.data, w->tag.len);
        ngx_memcpy(leaf->addr + w->tag.len, member->data, member->len);

        return NGX_OK;

    case PDNS_FIND_TARGET_PREFIX:
        leaf->type = NGX_HTTP_PDNS_TARGET;

        /* fall through */

    case PDNS_FIND_PREFIX:
        return pdns_name_parse(&leaf->name, (char *) member->data,
                               member->len)
               == 0 ? NGX_OK : NGX_DECLINED;

    default:
        break;
    }

    if (ctx->value.find == PDNS_FIND_TARGETS) {
        leaf->type = NGX_HTTP_PDNS_TARGET;
    }

    len = w->tag.len;
    ngx_memcpy(text, w->tag.data, len);

    if (member->len != 0) {
        text[len++] = '.';
        ngx_memcpy(text + len, member->data, member->len);
        len += member->len;
    }

    return pdns_name_unkey(&leaf->name, (char *) text, len) == 0
           ? NGX_OK : NGX_DECLINED;
}

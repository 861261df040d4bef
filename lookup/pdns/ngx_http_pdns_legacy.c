
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What the published analyzer's database holds of a key: which keys it knows
 * at all, then the members of its sets and the numbers of each.  It has no
 * order and no ranges, so that all of it is read, up to pdns_legacy_limit.
 */


#include "ngx_http_pdns_legacy.h"


#define NGX_HTTP_PDNS_TYPES    256     /* at least as many as there may be */
#define NGX_HTTP_PDNS_SETS     8       /* read in one pipeline */
#define NGX_HTTP_PDNS_PIECE    500     /* members of each */
#define NGX_HTTP_PDNS_HELD     (8 * 1024 * 1024)


/* The sets that a leaf may be in, one after another. */

typedef struct {
    ngx_http_pdns_ctx_t       *ctx;
    ngx_http_pdns_leaf_t      *leaf;
    ngx_uint_t                 next;
    pdns_str_t                 text;
    char                       buf[PDNS_NAME_TEXT + 1];
} ngx_http_pdns_sets_t;


static void ngx_http_pdns_sets(ngx_http_pdns_sets_t *s,
    ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_leaf_t *leaf);
static ngx_uint_t ngx_http_pdns_sets_next(ngx_http_pdns_sets_t *s,
    ngx_http_pdns_set_t *set);
static void ngx_http_pdns_legacy_key(pdns_resp_t *w, char letter,
    pdns_str_t *name, pdns_str_t *data, ngx_uint_t type);
static void ngx_http_pdns_probe_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_legacy_size(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_legacy_next(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_legacy_members(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_legacy_numbers(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_legacy_record(void *data, ngx_uint_t i,
    redisReply *reply);
static ngx_http_pdns_before_t *ngx_http_pdns_legacy_keep(
    ngx_http_pdns_overlay_t *o, pdns_record_t *r);
static void ngx_http_pdns_legacy_over(ngx_http_pdns_ctx_t *ctx);


/* which kind of key finds records of a type by their data */

static u_char  ngx_http_pdns_kinds[NGX_HTTP_PDNS_TYPES];

static char  ngx_http_pdns_legacy_text[PDNS_RDATA_TEXT];


ngx_int_t
ngx_http_pdns_legacy_init(ngx_cycle_t *cycle)
{
    uint16_t                 type;
    ngx_uint_t               i;
    pdns_rdata_t             rdata;
    ngx_d4_conf_t           *conf;
    ngx_d4_redis_conf_t     *redis;
    ngx_http_pdns_worker_t  *w;

    w = &ngx_http_pdns_worker;
    conf = ngx_d4_get_conf(cycle);
    redis = &conf->redis[NGX_D4_REDIS_PDNS_LEGACY];

    if (redis->sockaddr == NULL || !w->conf->legacy) {
        return NGX_OK;
    }

    for (i = 0; (type = pdns_published_type(i)) != 0; i++) {

        if (type == PDNS_A || type == PDNS_AAAA) {
            ngx_http_pdns_kinds[i] = NGX_HTTP_PDNS_ADDR;
            continue;
        }

        ngx_http_pdns_kinds[i] =
            (pdns_rdata_parse(&rdata, type, "a", 1, ngx_http_pdns_legacy_text,
                              sizeof(ngx_http_pdns_legacy_text))
                 == 0
             && rdata.named)
            ? NGX_HTTP_PDNS_TARGET : NGX_HTTP_PDNS_DATA;
    }

    w->legacy = ngx_d4_redis_open(redis, conf->redis_timeout, NULL, w->log);

    return (w->legacy != NULL) ? NGX_OK : NGX_ERROR;
}


void
ngx_http_pdns_legacy_done(void)
{
    if (ngx_http_pdns_worker.legacy != NULL) {
        ngx_d4_redis_close(ngx_http_pdns_worker.legacy);
        ngx_http_pdns_worker.legacy = NULL;
    }
}


void
ngx_http_pdns_legacy_cleanup(ngx_http_pdns_ctx_t *ctx)
{
    if (ctx->overlay != NULL && ctx->overlay->pool != NULL) {
        ngx_destroy_pool(ctx->overlay->pool);
        ctx->overlay->pool = NULL;
    }
}


static void
ngx_http_pdns_sets(ngx_http_pdns_sets_t *s, ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_leaf_t *leaf)
{
    s->ctx = ctx;
    s->leaf = leaf;
    s->next = 0;
    s->text.data = s->buf;

    switch (leaf->type) {

    case NGX_HTTP_PDNS_ADDR:
        s->text.len = pdns_addr_text(s->buf, leaf->addr, leaf->alen);
        break;

    case NGX_HTTP_PDNS_DATA:
        s->text.data = (char *) leaf->rdata.data;
        s->text.len = leaf->rdata.len;
        break;

    default: /* NGX_HTTP_PDNS_OWNER, NGX_HTTP_PDNS_TARGET */
        s->text.len = pdns_name_text(s->buf, &leaf->name);
        s->buf[s->text.len] = '.';     /* of the second spelling */
    }
}


/* Names stand without their dot, and with it where COF was imported. */

static ngx_uint_t
ngx_http_pdns_sets_next(ngx_http_pdns_sets_t *s, ngx_http_pdns_set_t *set)
{
    uint16_t    type;
    ngx_uint_t  i, named, kind;

    named = (s->leaf->type == NGX_HTTP_PDNS_OWNER
             || s->leaf->type == NGX_HTTP_PDNS_TARGET);

    for ( ;; ) {
        i = named ? s->next / 2 : s->next;
        type = pdns_published_type(i);

        if (type == 0 || i == NGX_HTTP_PDNS_TYPES) {
            return 0;
        }

        kind = ngx_http_pdns_kinds[i];

        if (!pdns_filter_type(&s->ctx->filter, type)
            || (s->leaf->type != NGX_HTTP_PDNS_OWNER
                && (kind != s->leaf->type
                    || (kind == NGX_HTTP_PDNS_ADDR
                        && s->leaf->alen != ((type == PDNS_A) ? 4 : 16)))))
        {
            s->next++;
            continue;
        }

        set->letter = (s->leaf->type == NGX_HTTP_PDNS_OWNER) ? 'r' : 'v';
        set->type = type;
        set->text = s->text;
        set->text.len += (named && s->next % 2 == 1);

        s->next++;

        return 1;
    }
}


static void
ngx_http_pdns_legacy_key(pdns_resp_t *w, char letter, pdns_str_t *name,
    pdns_str_t *data, ngx_uint_t type)
{
    size_t  len;

    /* members of sets are as long as they were made: twice, and the rest */

    len = pdns_published_size(name->len, (data != NULL) ? data->len : 0);

    if (len > sizeof(ngx_http_pdns_legacy_text)) {
        pdns_resp_text(w, "");         /* a key that is not there */
        return;
    }

    len = pdns_published_key(ngx_http_pdns_legacy_text, letter, name, data,
                             type);
    pdns_resp_word(w, ngx_http_pdns_legacy_text, len);
}


ngx_http_pdns_pipe_t *
ngx_http_pdns_legacy_pipe(void)
{
    ngx_http_pdns_pipe_t  *pipe;

    pipe = ngx_http_pdns_pipe();

    if (pipe != NULL) {
        pipe->rd = ngx_http_pdns_worker.legacy;
    }

    return pipe;
}


/* Which of the next leaves it knows: marked, then they are read. */

void
ngx_http_pdns_legacy_probe(ngx_http_pdns_ctx_t *ctx)
{
    ngx_uint_t                i, n;
    ngx_http_pdns_set_t       set;
    ngx_http_pdns_leaf_t     *leaf, **probe;
    ngx_http_pdns_sets_t      sets;
    ngx_http_pdns_pipe_t     *pipe;
    ngx_http_pdns_overlay_t  *o;

    if (ngx_http_pdns_overlay_create(ctx) != NGX_OK) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    pipe = ngx_http_pdns_legacy_pipe();
    o = ctx->overlay;

    o->probes = ngx_array_create(ctx->row_pool, NGX_HTTP_PDNS_LEAVES,
                                 sizeof(ngx_http_pdns_leaf_t *));

    if (o->probes == NULL || pipe == NULL) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    leaf = ctx->leaves.elts;

    for (i = ctx->leaf;
         i < ctx->leaves.nelts && i - ctx->leaf < NGX_HTTP_PDNS_LEAVES;
         i++)
    {
        if (leaf[i].probed) {
            break;
        }

        leaf[i].probed = 1;

        ngx_http_pdns_sets(&sets, ctx, &leaf[i]);

        for (n = 0; ngx_http_pdns_sets_next(&sets, &set); n++) { /* void */ }

        if (n == 0) {
            continue;
        }

        probe = ngx_array_push(o->probes);
        *probe = &leaf[i];

        pdns_resp_command(&pipe->w, 1 + n, "EXISTS");
        ngx_http_pdns_sets(&sets, ctx, &leaf[i]);

        while (ngx_http_pdns_sets_next(&sets, &set)) {
            ngx_http_pdns_legacy_key(&pipe->w, set.letter, &set.text, NULL,
                                     set.type);
        }
    }

    if (pipe->w.commands == 0) {
        ngx_http_pdns_pipe_free(pipe);
        ngx_http_pdns_read(ctx);
        return;
    }

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_probe_reply,
                      ngx_http_pdns_read);
}


static void
ngx_http_pdns_probe_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    ngx_http_pdns_leaf_t  **probe;

    probe = ctx->overlay->probes->elts;

    probe[i]->legacy = (reply->type == REDIS_REPLY_INTEGER
                        && reply->integer > 0);
}


void
ngx_http_pdns_legacy_read(ngx_http_pdns_ctx_t *ctx)
{
    ngx_http_pdns_set_t      *set, one;
    ngx_http_pdns_leaf_t     *leaf;
    ngx_http_pdns_sets_t      sets;
    ngx_http_pdns_pipe_t     *pipe;
    ngx_http_pdns_overlay_t  *o;

    leaf = ctx->leaves.elts;
    leaf += ctx->leaf;

    o = ctx->overlay;
    o->leaf = leaf;
    o->total = 0;
    o->held = 0;
    o->set = 0;
    o->over = 0;

    if (o->pool != NULL) {
        ngx_destroy_pool(o->pool);
    }

    o->pool = ngx_create_pool(16384, ctx->request->connection->log);
    pipe = ngx_http_pdns_legacy_pipe();

    if (o->pool == NULL || pipe == NULL
        || ngx_array_init(&o->sets, o->pool, 2 * NGX_HTTP_PDNS_TYPES,
                          sizeof(ngx_http_pdns_set_t))
           != NGX_OK
        || ngx_array_init(&o->records, o->pool, 64,
                          sizeof(ngx_http_pdns_before_t))
           != NGX_OK)
    {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_pdns_sets(&sets, ctx, leaf);

    while (ngx_http_pdns_sets_next(&sets, &one)) {
        set = ngx_array_push(&o->sets);
        *set = one;

        set->text.data = ngx_pnalloc(o->pool, one.text.len);

        if (set->text.data == NULL) {
            ngx_http_pdns_pipe_free(pipe);
            ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return;
        }

        ngx_memcpy((char *) set->text.data, one.text.data, one.text.len);
        ngx_str_null(&set->cursor);

        pdns_resp_command(&pipe->w, 2, "SCARD");
        ngx_http_pdns_legacy_key(&pipe->w, one.letter, &one.text, NULL,
                                 one.type);
    }

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_legacy_size,
                      ngx_http_pdns_legacy_next);
}


static void
ngx_http_pdns_legacy_size(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    ngx_http_pdns_set_t  *set;

    if (reply->type != REDIS_REPLY_INTEGER || reply->integer <= 0) {
        return;                        /* not there, or no set */
    }

    set = ctx->overlay->sets.elts;

    ngx_str_set(&set[i].cursor, "0");

    ctx->overlay->total += (ngx_uint_t) reply->integer;
}


/* A piece of the next few sets. */

static void
ngx_http_pdns_legacy_next(ngx_http_pdns_ctx_t *ctx)
{
    ngx_uint_t                i;
    pdns_str_t               *text;
    ngx_http_pdns_set_t      *set;
    ngx_http_pdns_pipe_t     *pipe;
    ngx_http_pdns_overlay_t  *o;

    o = ctx->overlay;

    if (o->over || o->total > ngx_http_pdns_worker.conf->legacy_limit) {
        ngx_http_pdns_legacy_over(ctx);
        return;
    }

    set = o->sets.elts;

    while (o->set < o->sets.nelts && set[o->set].cursor.len == 0) {
        o->set++;
    }

    if (o->set == o->sets.nelts) {
        ngx_http_pdns_overlay_begin(ctx);
        return;
    }

    pipe = ngx_http_pdns_legacy_pipe();
    o->members = ngx_array_create(ctx->row_pool, NGX_HTTP_PDNS_PIECE,
                                  sizeof(ngx_http_pdns_member_t));
    ctx->asked = ngx_array_create(ctx->row_pool, NGX_HTTP_PDNS_SETS,
                                  sizeof(ngx_http_pdns_set_t *));

    if (pipe == NULL || o->members == NULL || ctx->asked == NULL) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    for (i = o->set;
         i < o->sets.nelts && ctx->asked->nelts < NGX_HTTP_PDNS_SETS;
         i++)
    {
        if (set[i].cursor.len == 0) {
            continue;
        }

        *(ngx_http_pdns_set_t **) ngx_array_push(ctx->asked) = &set[i];
        text = &set[i].text;

        pdns_resp_command(&pipe->w, 5, "SSCAN");
        ngx_http_pdns_legacy_key(&pipe->w, set[i].letter, text, NULL,
                                 set[i].type);
        pdns_resp_word(&pipe->w, set[i].cursor.data, set[i].cursor.len);
        pdns_resp_text(&pipe->w, "COUNT");
        pdns_resp_number(&pipe->w, NGX_HTTP_PDNS_PIECE);
    }

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_legacy_members,
                      ngx_http_pdns_legacy_numbers);
}


static void
ngx_http_pdns_legacy_members(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    ngx_uint_t                n;
    redisReply               *cursor, *element;
    ngx_http_pdns_set_t      *set;
    ngx_http_pdns_member_t   *member;
    ngx_http_pdns_overlay_t  *o;

    o = ctx->overlay;
    set = ((ngx_http_pdns_set_t **) ctx->asked->elts)[i];

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_ARRAY)
    {
        set->cursor.len = 0;           /* no set any more */
        return;
    }

    cursor = reply->element[0];
    set->cursor.len = 0;

    if (cursor->len != 1 || cursor->str[0] != '0') {
        set->cursor.data = ngx_pnalloc(o->pool, cursor->len);

        if (set->cursor.data == NULL) {
            ctx->pipe->failed = 1;
            return;
        }

        ngx_memcpy(set->cursor.data, cursor->str, cursor->len);
        set->cursor.len = cursor->len;
    }

    for (n = 0; n < reply->element[1]->elements && !o->over; n++) {
        element = reply->element[1]->element[n];

        if (element->type != REDIS_REPLY_STRING) {
            continue;
        }

        member = ngx_array_push(o->members);

        if (member != NULL) {
            member->set = set;
            member->text.len = element->len;
            member->text.data = ngx_pnalloc(ctx->row_pool, element->len + 1);
        }

        if (member == NULL || member->text.data == NULL) {
            ctx->pipe->failed = 1;
            return;
        }

        ngx_memcpy(member->text.data, element->str, element->len);

        o->held += element->len;
        o->over = (o->held > NGX_HTTP_PDNS_HELD
                   || o->records.nelts + o->members->nelts
                      > 2 * ngx_http_pdns_worker.conf->legacy_limit);
    }
}


static void
ngx_http_pdns_legacy_numbers(ngx_http_pdns_ctx_t *ctx)
{
    ngx_uint_t                i, k;
    pdns_str_t                member, *name, *data;
    ngx_http_pdns_pipe_t     *pipe;
    ngx_http_pdns_member_t   *m;
    ngx_http_pdns_overlay_t  *o;

    o = ctx->overlay;

    if (o->over || o->members->nelts == 0) {
        ngx_http_pdns_legacy_next(ctx);
        return;
    }

    pipe = ngx_http_pdns_legacy_pipe();
    if (pipe == NULL) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    m = o->members->elts;

    for (i = 0; i < o->members->nelts; i++) {
        member.data = (char *) m[i].text.data;
        member.len = m[i].text.len;

        name = (m[i].set->letter == 'r') ? &m[i].set->text : &member;
        data = (m[i].set->letter == 'r') ? &member : &m[i].set->text;

        pdns_resp_command(&pipe->w, 4, "MGET");

        for (k = 0; k < 3; k++) {
            ngx_http_pdns_legacy_key(&pipe->w, "slo"[k], name, data,
                                     m[i].set->type);
        }
    }

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_legacy_record,
                      ngx_http_pdns_legacy_next);
}


static void
ngx_http_pdns_legacy_record(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    ngx_uint_t               n, owner;
    pdns_key_t               key, of;
    pdns_str_t               member, numbers[3];
    pdns_record_t            r;
    ngx_http_pdns_leaf_t    *leaf;
    ngx_http_pdns_member_t  *m;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        return;
    }

    for (n = 0; n < 3; n++) {
        numbers[n].data = reply->element[n]->str;
        numbers[n].len = reply->element[n]->len;

        if (reply->element[n]->type != REDIS_REPLY_STRING) {
            numbers[n].data = NULL;
        }
    }

    m = ctx->overlay->members->elts;
    m += i;
    member.data = (char *) m->text.data;
    member.len = m->text.len;

    leaf = ctx->overlay->leaf;
    owner = (leaf->type == NGX_HTTP_PDNS_OWNER);

    if (pdns_published_record(&r, owner ? &m->set->text : &member,
                              owner ? &member : &m->set->text, m->set->type,
                              numbers, ngx_http_pdns_legacy_text,
                              sizeof(ngx_http_pdns_legacy_text))
            != PDNS_OK
        || ngx_http_pdns_store_wanted(&r) != PDNS_OK
        || (r.rcode.data != NULL) != leaf->error)
    {
        return;
    }

    if (!owner) {
        pdns_key_rdata(&of, &r.rdata);
        ngx_http_pdns_leaf_key(&key, leaf);

        if (key.len != of.len || ngx_memcmp(key.data, of.data, of.len) != 0) {
            return;                    /* the store has it elsewhere */
        }
    }

    if (ngx_http_pdns_legacy_keep(ctx->overlay, &r) == NULL) {
        ctx->pipe->failed = 1;
    }
}


static ngx_int_t
ngx_http_pdns_legacy_copy(ngx_pool_t *pool, ngx_str_t *to, const void *p,
    size_t len)
{
    to->len = len;
    to->data = ngx_pnalloc(pool, len + 1);

    if (to->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(to->data, p, len);

    return NGX_OK;
}


static ngx_http_pdns_before_t *
ngx_http_pdns_legacy_keep(ngx_http_pdns_overlay_t *o, pdns_record_t *r)
{
    char                     text[PDNS_NAME_TEXT];
    size_t                   len;
    u_char                   member[PDNS_MEMBER + 1], raw[PDNS_MEMBER_R], *p;
    ngx_http_pdns_before_t  *b;

    b = ngx_array_push(&o->records);
    if (b == NULL) {
        return NULL;
    }

    ngx_memzero(b, sizeof(ngx_http_pdns_before_t));

    b->type = r->rdata.type;
    b->first = r->first;
    b->last = r->last;
    b->count = r->before;

    member[0] = 'l';
    len = pdns_member(member + 1, &r->rdata);

    if (ngx_http_pdns_legacy_copy(o->pool, &b->member, member + 1, len)
        != NGX_OK)
    {
        return NULL;
    }

    if (o->leaf->type == NGX_HTTP_PDNS_OWNER) {
        p = member;
        len++;

    } else {
        p = raw;
        len = pdns_key_rmember(raw, &r->name, &r->rdata);
    }

    if (ngx_http_pdns_legacy_copy(o->pool, &b->raw, p, len) != NGX_OK) {
        return NULL;
    }

    len = pdns_name_text(text, &r->name);

    if (ngx_http_pdns_legacy_copy(o->pool, &b->name, text, len) != NGX_OK
        || ngx_http_pdns_legacy_copy(o->pool, &b->rdata, r->rdata.text,
                                     r->rdata.len)
           != NGX_OK)
    {
        return NULL;
    }

    return b;
}


/* Too much to be put in order: the answer is what the store has of it. */

static void
ngx_http_pdns_legacy_over(ngx_http_pdns_ctx_t *ctx)
{
    ngx_log_error(NGX_LOG_INFO, ctx->request->connection->log, 0,
                  "redis pdns_legacy: more than %ui records of a key, "
                  "left out", ngx_http_pdns_worker.conf->legacy_limit);

    ctx->overlay->leaf->legacy = 0;
    ctx->overlay->leaf = NULL;
    ctx->partial = 1;

    ngx_http_pdns_read(ctx);
}

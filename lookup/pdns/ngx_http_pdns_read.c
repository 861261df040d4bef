
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The records of keys.  Keys are read from their newest record on; most end
 * there.  A large one is read on in pieces (ngx_http_pdns_large.c), so that
 * records that move to the front meanwhile shift nothing.
 */


#include "ngx_http_pdns_legacy.h"


#define NGX_HTTP_PDNS_WHOLE    3000    /* members of a name read at once */
#define NGX_HTTP_PDNS_SOME     300     /* the same, of one of many names */
#define NGX_HTTP_PDNS_FEW      100     /* records of one of many others */


static void ngx_http_pdns_read_heads(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_read_step(ngx_http_pdns_ctx_t *ctx);
static ngx_int_t ngx_http_pdns_read_owner(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_leaf_t *leaf, ngx_array_t *items);
static ngx_int_t ngx_http_pdns_row_of(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_leaf_t *leaf, ngx_http_pdns_row_t *row,
    ngx_http_pdns_item_t *item);
static ngx_int_t ngx_http_pdns_row_member(ngx_http_pdns_row_t *row,
    ngx_http_pdns_leaf_t *leaf);
static ngx_int_t ngx_http_pdns_row_data(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_leaf_t *leaf, ngx_http_pdns_row_t *row);


void
ngx_http_pdns_leaf_key(pdns_key_t *key, ngx_http_pdns_leaf_t *leaf)
{
    switch (leaf->type) {

    case NGX_HTTP_PDNS_TARGET:
        pdns_key_target(key, &leaf->name);
        break;

    case NGX_HTTP_PDNS_ADDR:
        pdns_key_addr(key, leaf->addr, leaf->alen);
        break;

    case NGX_HTTP_PDNS_DATA:
        pdns_key_digest(key, 'R', leaf->digest);
        break;

    default: /* NGX_HTTP_PDNS_OWNER */
        pdns_key_name(key, leaf->error ? 'X' : 'N', &leaf->name);
    }
}


void
ngx_http_pdns_read(ngx_http_pdns_ctx_t *ctx)
{
    ngx_http_pdns_leaf_t  *leaf;

    if (ctx->large != NULL) {

        if (ngx_http_pdns_overlay(ctx)) {
            ngx_http_pdns_overlay_read(ctx);

        } else {
            ngx_http_pdns_read_large(ctx);
        }

        return;
    }

    leaf = ctx->leaves.elts;
    leaf += ctx->leaf;

    if (ngx_http_pdns_published(ctx)) {

        if (!leaf->probed) {
            ngx_http_pdns_legacy_probe(ctx);
            return;
        }

        ctx->overlay->leaf = NULL;

        if (leaf->legacy) {
            ngx_http_pdns_legacy_read(ctx);
            return;
        }
    }

    if (leaf->resume && ctx->from->time != 0) {
        ctx->leaf++;

        if (ngx_http_pdns_read_start(ctx, leaf, ctx->from) != NGX_OK) {
            ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return;
        }

        ngx_http_pdns_read_large(ctx);
        return;
    }

    ngx_http_pdns_read_heads(ctx);
}


static void
ngx_http_pdns_read_heads(ngx_http_pdns_ctx_t *ctx)
{
    pdns_key_t             key;
    ngx_uint_t             i, n, owner;
    ngx_http_pdns_leaf_t  *leaf;
    ngx_http_pdns_pipe_t  *pipe;

    leaf = ctx->leaves.elts;
    leaf += ctx->leaf;

    n = ctx->leaves.nelts - ctx->leaf;

    if (n > 1) {
        n = ngx_min(n, ngx_http_pdns_width(ctx));
    }

    if (ngx_http_pdns_published(ctx)) {

        /* those that the published database knows are read by themselves */

        for (i = 1; i < n && leaf[i].probed && !leaf[i].legacy; i++) {
            /* void */
        }

        n = i;
    }

    owner = (leaf->type == NGX_HTTP_PDNS_OWNER);

    if (n == 1) {
        ctx->most = owner ? NGX_HTTP_PDNS_WHOLE : NGX_HTTP_PDNS_CHUNK;

    } else {
        ctx->most = owner ? NGX_HTTP_PDNS_SOME : NGX_HTTP_PDNS_FEW;
    }

    /* a page of a large key need not be read further than it goes */

    if (!owner && !ctx->expand && ctx->filter.types == PDNS_TYPES_ALL
        && ngx_http_pdns_needed(ctx) < ctx->most)
    {
        ctx->most = (ngx_uint_t) ngx_http_pdns_needed(ctx);
    }

    pipe = ngx_http_pdns_pipe();

    ctx->heads = ngx_array_create(ctx->row_pool, n, sizeof(ngx_array_t));

    if (pipe == NULL || ctx->heads == NULL) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    for (i = 0; i < n; i++) {
        ngx_http_pdns_leaf_key(&key, &leaf[i]);

        pdns_resp_command(&pipe->w, 5, ctx->oldest ? "ZRANGE" : "ZREVRANGE");
        pdns_resp_word(&pipe->w, key.data, key.len);
        pdns_resp_text(&pipe->w, "0");
        pdns_resp_number(&pipe->w, (int64_t) ctx->most - 1);
        pdns_resp_text(&pipe->w, "WITHSCORES");
    }

    ctx->reading = n;

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_read_reply,
                      ngx_http_pdns_read_step);
}


int64_t
ngx_http_pdns_score(redisReply *reply)
{
    u_char     *p, *last;
    double      d;
    int64_t     n;
    ngx_uint_t  negative;

    if (reply->type != REDIS_REPLY_STRING || reply->len == 0) {
        return 0;
    }

    p = (u_char *) reply->str;
    last = p + reply->len;

    negative = (*p == '-');
    p += negative;

    for (n = 0; p < last && *p >= '0' && *p <= '9' && last - p < 18; p++) {
        n = n * 10 + (*p - '0');
    }

    if (p < last) {
        d = strtod(reply->str, NULL);

        if (!(d > -9e15 && d < 9e15)) {
            return (d < 0) ? -9000000000000000LL : 9000000000000000LL;
        }

        return (int64_t) d;
    }

    return negative ? -n : n;
}


void
ngx_http_pdns_read_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    ngx_uint_t             n;
    redisReply            *member;
    ngx_array_t           *items;
    ngx_http_pdns_item_t  *item;

    items = ngx_array_push(ctx->heads);

    if (items == NULL
        || ngx_array_init(items, ctx->row_pool,
                          ngx_max(reply->elements / 2, 1),
                          sizeof(ngx_http_pdns_item_t))
           != NGX_OK)
    {
        ctx->pipe->failed = 1;
        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY) {
        return;
    }

    for (n = 0; n + 1 < reply->elements; n += 2) {
        member = reply->element[n];
        item = ngx_array_push(items);

        if (item == NULL || member->type != REDIS_REPLY_STRING) {
            ctx->pipe->failed = 1;
            return;
        }

        item->score = ngx_http_pdns_score(reply->element[n + 1]);
        item->member.len = member->len;
        item->member.data = ngx_pnalloc(ctx->row_pool, member->len + 1);

        if (item->member.data == NULL) {
            ctx->pipe->failed = 1;
            return;
        }

        ngx_memcpy(item->member.data, member->str, member->len);
    }
}


static void
ngx_http_pdns_read_step(ngx_http_pdns_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_uint_t             i;
    ngx_array_t           *items;
    pdns_cursor_t          from;
    ngx_http_pdns_leaf_t  *leaf;
    ngx_http_pdns_item_t  *last;

    items = ctx->heads->elts;

    for (i = 0; i < ctx->reading && ctx->large == NULL; i++) {

        leaf = ctx->leaves.elts;
        leaf += ctx->leaf++;

        if (items[i].nelts < ctx->most) {
            rc = (leaf->type == NGX_HTTP_PDNS_OWNER)
                 ? ngx_http_pdns_read_owner(ctx, leaf, &items[i])
                 : ngx_http_pdns_read_rows(ctx, leaf, &items[i]);

        } else if (leaf->type == NGX_HTTP_PDNS_OWNER
                   || (ctx->oldest ? ctx->filter.last_after
                                   : ctx->filter.last_before)
                      != 0)
        {
            rc = ngx_http_pdns_read_start(ctx, leaf, NULL);

        } else {
            rc = ngx_http_pdns_read_rows(ctx, leaf, &items[i]);

            last = items[i].elts;
            last += items[i].nelts - 1;

            if (last->member.len > sizeof(from.member)) {
                rc = NGX_ERROR;
            }

            if (rc == NGX_OK) {
                from.time = (last->score > 0) ? last->score : 0;
                from.member_len = last->member.len;
                ngx_memcpy(from.member, last->member.data, last->member.len);

                rc = ngx_http_pdns_read_start(ctx, leaf, &from);
            }
        }

        if (rc != NGX_OK) {
            ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return;
        }
    }

    if (ctx->expand && ngx_http_pdns_expand(ctx) != NGX_OK) {
        ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_pdns_next(ctx);
}


/* What the store has counted, and what was counted elsewhere before. */

uint64_t
ngx_http_pdns_total(int64_t count, int64_t before)
{
    uint64_t  n;

    n = (uint64_t) ngx_max(count, 0) + (uint64_t) ngx_max(before, 0);

    return (n == 0) ? 1 : ngx_min(n, PDNS_COUNT_MAX);
}


/* Those of a record together: its counts, its first and its last time. */

static int ngx_libc_cdecl
ngx_http_pdns_by_record(const void *one, const void *two)
{
    const ngx_http_pdns_item_t  *a = one, *b = two;

    int     rc;
    size_t  n;

    n = ngx_min(a->member.len, b->member.len);

    rc = ngx_memcmp(a->member.data + 1, b->member.data + 1, n - 1);

    if (rc == 0) {
        rc = (a->member.len > b->member.len) - (a->member.len < b->member.len);
    }

    return (rc != 0) ? rc : a->member.data[0] - b->member.data[0];
}


/* The newest first; those of one second as Redis has them from the end. */

static int ngx_libc_cdecl
ngx_http_pdns_by_time(const void *one, const void *two)
{
    const ngx_http_pdns_row_t  *a = one, *b = two;

    int     rc;
    size_t  n;

    if (a->last != b->last) {
        return (a->last < b->last) ? 1 : -1;
    }

    n = ngx_min(a->raw.len, b->raw.len);
    rc = ngx_memcmp(b->raw.data, a->raw.data, n);

    return (rc != 0) ? rc
                     : (b->raw.len > a->raw.len) - (b->raw.len < a->raw.len);
}


static int ngx_libc_cdecl
ngx_http_pdns_by_age(const void *one, const void *two)
{
    return ngx_http_pdns_by_time(two, one);
}


/* Members of one record stand together; 1: the name has an E: key. */

static ngx_uint_t
ngx_http_pdns_group(ngx_array_t *items)
{
    ngx_uint_t             i, n, extra;
    ngx_http_pdns_item_t  *item;

    item = items->elts;
    extra = 0;

    for (i = 0, n = 0; i < items->nelts; i++) {
        if (item[i].member.len < 2) {
            extra |= (item[i].member.len == 1 && *item[i].member.data == 'e');
            continue;
        }

        item[n++] = item[i];
    }

    items->nelts = n;

    qsort(item, n, sizeof(ngx_http_pdns_item_t), ngx_http_pdns_by_record);

    return extra;
}


/* A name whose members are all there. */

static ngx_int_t
ngx_http_pdns_read_owner(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_leaf_t *leaf,
    ngx_array_t *items)
{
    u_char                 text[PDNS_NAME_TEXT];
    int64_t                first, count, before;
    ngx_str_t              name;
    ngx_uint_t             i, extra, from;
    ngx_http_pdns_row_t   *row;
    ngx_http_pdns_item_t  *item;

    if (items->nelts == 0) {
        return NGX_OK;
    }

    name.len = pdns_name_text((char *) text, &leaf->name);
    name.data = ngx_pnalloc(ctx->row_pool, name.len);

    if (name.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(name.data, text, name.len);

    item = items->elts;
    extra = ngx_http_pdns_group(items);

    from = ctx->rows.nelts;
    first = 0;
    count = 0;
    before = 0;

    for (i = 0; i < items->nelts; i++) {

        if (i == 0 || item[i].member.len != item[i - 1].member.len
            || ngx_memcmp(item[i].member.data + 1,
                          item[i - 1].member.data + 1, item[i].member.len - 1)
               != 0)
        {
            first = 0;
            count = 0;
            before = 0;
        }

        switch (item[i].member.data[0]) {

        case 'b':
            before = item[i].score;
            continue;

        case 'c':
            count = item[i].score;
            continue;

        case 'f':
            first = -item[i].score;
            continue;

        case 'l':
            break;

        default:
            continue;
        }

        row = ngx_array_push(&ctx->rows);
        if (row == NULL) {
            return NGX_ERROR;
        }

        if (ngx_http_pdns_row_of(ctx, leaf, row, &item[i]) != NGX_OK) {
            ctx->rows.nelts--;
            continue;
        }

        row->name = name;
        row->known = 1;
        row->extra = extra;
        row->count = ngx_http_pdns_total(count, before);
        row->first = (first > 0 && (uint64_t) first <= row->last)
                     ? (uint64_t) first : row->last;
    }

    ngx_http_pdns_rows_order(ctx, from);

    return NGX_OK;
}


/* Members that are records, already in order. */

ngx_int_t
ngx_http_pdns_read_rows(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_leaf_t *leaf,
    ngx_array_t *items)
{
    ngx_int_t              rc;
    ngx_uint_t             i;
    ngx_http_pdns_row_t   *row;
    ngx_http_pdns_item_t  *item;

    item = items->elts;

    for (i = 0; i < items->nelts; i++) {
        row = ngx_array_push(&ctx->rows);
        if (row == NULL) {
            return NGX_ERROR;
        }

        rc = ngx_http_pdns_row_of(ctx, leaf, row, &item[i]);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED) {
            ctx->rows.nelts--;
        }
    }

    return NGX_OK;
}


/*
 * What a member of a key says of its record; NGX_DECLINED: it is none, or is
 * not wanted.
 */

static ngx_int_t
ngx_http_pdns_row_of(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_leaf_t *leaf,
    ngx_http_pdns_row_t *row, ngx_http_pdns_item_t *item)
{
    int   n;
    char  text[PDNS_RDATA_SHORT + PDNS_NAME_TEXT];

    ngx_memzero(row, sizeof(ngx_http_pdns_row_t));

    if (item->score <= 0 || item->score > (int64_t) PDNS_TIME_MAX
        || item->member.len < 2)
    {
        return NGX_DECLINED;
    }

    row->leaf = leaf;
    row->raw = item->member;
    row->last = item->score;

    if (ngx_http_pdns_row_member(row, leaf) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (!ngx_http_pdns_wanted(ctx, leaf, row->type, row->last)) {
        return NGX_DECLINED;
    }

    if (row->member.len == 0) {
        return ngx_http_pdns_row_data(ctx, leaf, row);
    }

    n = pdns_member_text(text, sizeof(text), row->member.data,
                         row->member.len);

    if (n > 0) {
        row->rdata.len = n;
        row->rdata.data = ngx_pnalloc(ctx->row_pool, n);
        if (row->rdata.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(row->rdata.data, text, n);
    }

    return NGX_OK;
}


/* The parts of the member: of a name type and data; else type and a name. */

static ngx_int_t
ngx_http_pdns_row_member(ngx_http_pdns_row_t *row, ngx_http_pdns_leaf_t *leaf)
{
    size_t   at;
    u_char  *p, *nul;

    p = row->raw.data;

    if (leaf->type == NGX_HTTP_PDNS_OWNER) {

        if (*p != 'l'
            || pdns_member_type(&row->type, &at, p + 1, row->raw.len - 1) != 0)
        {
            return NGX_DECLINED;
        }

        row->member.data = p + 1;
        row->member.len = row->raw.len - 1;

        return NGX_OK;
    }

    if (pdns_member_type(&row->type, &at, p, row->raw.len) != 0) {
        return NGX_DECLINED;
    }

    row->name.data = p + at;
    row->name.len = row->raw.len - at;

    nul = memchr(row->name.data, '\0', row->name.len);

    if (nul != NULL) {
        row->member.data = nul + 1;
        row->member.len = row->name.data + row->name.len - (nul + 1);
        row->name.len = nul - row->name.data;
    }

    return NGX_OK;
}


/* The data is what the key is about. */

static ngx_int_t
ngx_http_pdns_row_data(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_leaf_t *leaf,
    ngx_http_pdns_row_t *row)
{
    char          text[PDNS_NAME_TEXT];
    pdns_rdata_t  rdata;

    ngx_memzero(&rdata, sizeof(pdns_rdata_t));
    rdata.type = row->type;

    switch (leaf->type) {

    case NGX_HTTP_PDNS_ADDR:
        rdata.alen = leaf->alen;
        ngx_memcpy(rdata.addr, leaf->addr, leaf->alen);
        rdata.len = pdns_addr_text(text, leaf->addr, leaf->alen);
        rdata.text = text;
        break;

    case NGX_HTTP_PDNS_TARGET:
        rdata.len = pdns_name_text(text, &leaf->name);
        rdata.text = text;
        break;

    default: /* NGX_HTTP_PDNS_DATA */
        rdata.len = leaf->rdata.len;
        rdata.text = (char *) leaf->rdata.data;
    }

    row->member.data = ngx_pnalloc(ctx->row_pool, PDNS_MEMBER);
    row->rdata.data = ngx_pnalloc(ctx->row_pool, rdata.len);

    if (row->member.data == NULL || row->rdata.data == NULL) {
        return NGX_ERROR;
    }

    row->member.len = pdns_member(row->member.data, &rdata);
    row->rdata.len = rdata.len;
    ngx_memcpy(row->rdata.data, rdata.text, rdata.len);

    return NGX_OK;
}


ngx_uint_t
ngx_http_pdns_wanted(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_leaf_t *leaf,
    uint16_t type, uint64_t last)
{
    time_t  ttl;

    ttl = leaf->error ? ngx_http_pdns_worker.conf->errors
                      : ngx_http_pdns_retention(type);

    return (ttl == 0 || (time_t) last > ngx_time() - ttl)
           && pdns_filter_type(&ctx->filter, type)
           && last >= ctx->filter.last_after
           && (ctx->filter.last_before == 0
               || last <= ctx->filter.last_before);
}


void
ngx_http_pdns_rows_order(ngx_http_pdns_ctx_t *ctx, ngx_uint_t from)
{
    ngx_http_pdns_row_t  *rows;

    rows = ctx->rows.elts;

    qsort(rows + from, ctx->rows.nelts - from, sizeof(ngx_http_pdns_row_t),
          ctx->oldest ? ngx_http_pdns_by_age : ngx_http_pdns_by_time);
}


/*
 * As the published server answers: all records of the names that were found,
 * in place of those that were found.
 */

ngx_int_t
ngx_http_pdns_expand(ngx_http_pdns_ctx_t *ctx)
{
    ngx_uint_t             i, n;
    ngx_http_pdns_row_t   *row;
    ngx_http_pdns_leaf_t  *leaf;

    ctx->expand = 0;
    ctx->large = NULL;

    row = ctx->rows.elts;

    if (ngx_array_init(&ctx->leaves, ctx->pool, NGX_HTTP_PDNS_LEAVES,
                       sizeof(ngx_http_pdns_leaf_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->leaf = 0;

    for (i = 0; i < ctx->rows.nelts; i++) {

        for (n = 0; n < i; n++) {
            if (row[n].name.len == row[i].name.len
                && ngx_memcmp(row[n].name.data, row[i].name.data,
                              row[i].name.len)
                   == 0)
            {
                break;
            }
        }

        if (n < i) {
            continue;
        }

        leaf = ngx_array_push(&ctx->leaves);
        if (leaf == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(leaf, sizeof(ngx_http_pdns_leaf_t));

        if (pdns_name_parse(&leaf->name, (char *) row[i].name.data,
                            row[i].name.len)
            != 0)
        {
            ctx->leaves.nelts--;
        }
    }

    ctx->rows.nelts = 0;

    return NGX_OK;
}

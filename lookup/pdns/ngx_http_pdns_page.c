
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The header of an answer, which says where the next page begins.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_KEEP    900      /* s that a cursor is kept */


static ngx_uint_t ngx_http_pdns_page_countable(ngx_http_pdns_ctx_t *ctx);
static ngx_int_t ngx_http_pdns_page_count(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_page_counted(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_page_kept(void *data, ngx_uint_t i,
    redisReply *reply);
static ngx_int_t ngx_http_pdns_page_cursor(ngx_http_pdns_ctx_t *ctx);


/*
 * The number of the cursor: of itself between two seconds of a single key,
 * else that of a text which the store keeps for a while.
 */

ngx_int_t
ngx_http_pdns_page_keep(ngx_http_pdns_ctx_t *ctx)
{
    size_t                 len;
    u_char                 key[NGX_INT64_LEN + 1];
    uint64_t               number;
    ngx_http_pdns_pipe_t  *pipe;
    uint8_t                bin[PDNS_CURSOR_BIN];

    if (ctx->last == NULL || ctx->form == NGX_HTTP_PDNS_SAF
        || ctx->form == NGX_HTTP_PDNS_DNSDB_1)
    {
        return NGX_OK;
    }

    if (ngx_http_pdns_page_countable(ctx)) {
        return ngx_http_pdns_page_count(ctx);
    }

    ctx->number.data = ngx_pnalloc(ctx->request->pool, NGX_INT64_LEN);
    if (ctx->number.data == NULL) {
        return NGX_ERROR;
    }

    if (ctx->last->leaf_len == 0 && !ctx->within) {
        ctx->number.len = ngx_sprintf(ctx->number.data, "%uL",
                                      pdns_cursor_number(ctx->last))
                          - ctx->number.data;
        return NGX_OK;
    }

    if (!ctx->paged) {
        return NGX_OK;
    }

    number = PDNS_CURSOR_KEPT
             | ((uint64_t) (uint32_t) ngx_random() << 31
                ^ (uint64_t) (uint32_t) ngx_random())
               % PDNS_CURSOR_KEPT;

    ctx->number.len = ngx_sprintf(ctx->number.data, "%uL", number)
                      - ctx->number.data;

    key[0] = 'C';
    ngx_memcpy(key + 1, ctx->number.data, ctx->number.len);

    len = pdns_cursor_pack(bin, ctx->last);

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        return NGX_ERROR;
    }

    pdns_resp_command(&pipe->w, 5, "SET");
    pdns_resp_word(&pipe->w, key, ctx->number.len + 1);
    pdns_resp_word(&pipe->w, bin, len);
    pdns_resp_text(&pipe->w, "EX");
    pdns_resp_number(&pipe->w, NGX_HTTP_PDNS_KEEP);

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_page_kept,
                      ngx_http_pdns_output_end);

    return NGX_AGAIN;
}


/*
 * 1: how many records the keys hold can be asked for, and was not.  Records
 * that a filter, a retention time or the published database takes away or adds
 * would have to be read for that.
 */

static ngx_uint_t
ngx_http_pdns_page_countable(ngx_http_pdns_ctx_t *ctx)
{
    pdns_filter_t         *f;
    ngx_http_pdns_leaf_t  *leaf;

    f = &ctx->filter;
    leaf = ctx->leaves.elts;

    return ctx->capped && !ctx->counted && !ctx->expanded && ctx->walk == NULL
           && ctx->leaves.nelts != 0
           && (ctx->from == NULL || leaf->index == 0)
           && f->types == PDNS_TYPES_ALL && f->first_after == 0
           && f->first_before == 0 && f->last_after == 0
           && f->last_before == 0
           && (leaf->error || ngx_http_pdns_worker.conf->retention == NULL)
           && !ngx_http_pdns_published(ctx);
}


static ngx_int_t
ngx_http_pdns_page_count(ngx_http_pdns_ctx_t *ctx)
{
    pdns_key_t             key;
    ngx_uint_t             i;
    ngx_http_pdns_leaf_t  *leaf;
    ngx_http_pdns_pipe_t  *pipe;

    ctx->counted = 1;

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        return NGX_ERROR;
    }

    leaf = ctx->leaves.elts;

    for (i = 0; i < ctx->leaves.nelts; i++) {
        ngx_http_pdns_leaf_key(&key, &leaf[i]);

        if (leaf[i].type != NGX_HTTP_PDNS_OWNER) {
            pdns_resp_command(&pipe->w, 2, "ZCARD");
            pdns_resp_word(&pipe->w, key.data, key.len);
            continue;
        }

        /* of the members of a record its first time is the negative one */

        pdns_resp_command(&pipe->w, 4, "ZCOUNT");
        pdns_resp_word(&pipe->w, key.data, key.len);
        pdns_resp_text(&pipe->w, "-inf");
        pdns_resp_text(&pipe->w, "(0");
    }

    ngx_http_pdns_ask(ctx, pipe, ngx_http_pdns_page_counted,
                      ngx_http_pdns_output_end);

    return NGX_AGAIN;
}


static void
ngx_http_pdns_page_counted(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    if (reply->type == REDIS_REPLY_INTEGER && reply->integer > 0) {
        ctx->there += reply->integer;
    }
}


static void
ngx_http_pdns_page_kept(void *data, ngx_uint_t i, redisReply *reply)
{
    /* void */
}


static ngx_int_t
ngx_http_pdns_header(ngx_http_request_t *r, const char *key, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) key;
    h->key.len = ngx_strlen(key);
    h->value = *value;

#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}


ngx_int_t
ngx_http_pdns_page_header(ngx_http_pdns_ctx_t *ctx, ngx_uint_t complete)
{
    ngx_int_t            rc;
    ngx_str_t            value;
    ngx_http_request_t  *r;

    r = ctx->request;

    ctx->sent = 1;

    r->headers_out.status = NGX_HTTP_OK;
    ngx_str_set(&r->headers_out.content_type, "application/x-ndjson");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    if (ctx->scan.len != 0
        && ngx_http_pdns_header(r, "X-PDNS-Cursor", &ctx->scan) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->partial) {
        ngx_str_set(&value, "partial");

        if (ngx_http_pdns_header(r, "X-PDNS-Legacy", &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (complete) {
        r->headers_out.content_length_n = ctx->size;

        if (ctx->more && ngx_http_pdns_page_cursor(ctx) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return rc;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_pdns_page_cursor(ngx_http_pdns_ctx_t *ctx)
{
    size_t               len;
    u_char              *p;
    ngx_str_t            value;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->last == NULL || ctx->form == NGX_HTTP_PDNS_SAF
        || ctx->form == NGX_HTTP_PDNS_DNSDB_1 || ctx->summarize)
    {
        return NGX_OK;
    }

    value.data = ngx_pnalloc(r->pool, PDNS_CURSOR_TEXT);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = pdns_cursor_text((char *) value.data, ctx->last);

    if (!ctx->expanded
        && ngx_http_pdns_header(r, "X-PDNS-Cursor", &value) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->number.len != 0 && !ctx->expanded
        && ngx_http_pdns_header(r, "X-Dribble-Cursor", &ctx->number)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!ctx->capped) {
        return NGX_OK;
    }

    /* nobody asked for less than all */

    len = 6 * ctx->text.len + 128;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    p = ngx_sprintf(p, "{\"error\":\"maxset\",\"record\":\"");
    p += pdns_json_escape((char *) p, (char *) ctx->text.data, ctx->text.len);
    p = ngx_sprintf(p, "\",\"value\":%uL", ctx->page);

    if (ctx->there != 0) {
        p = ngx_sprintf(p, ",\"total_value\":%uL", ctx->there);
    }

    *p++ = '}';
    value.len = p - value.data;

    return ngx_http_pdns_header(r, "X-Dribble-Errors", &value);
}

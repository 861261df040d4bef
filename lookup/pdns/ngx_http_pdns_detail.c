
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What the next rows do not know yet: first times and counts of records that
 * were found by their data, texts that are kept by their digest, and then what
 * E: holds of them.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_EXTRAS  1000     /* members of E: that are read */


typedef struct {
    ngx_http_pdns_row_t       *row;
    ngx_uint_t                 text;   /* 1: of its data, 0: its numbers */
} ngx_http_pdns_ask_t;


static ngx_uint_t ngx_http_pdns_detail_lacks(ngx_http_pdns_ctx_t *ctx,
    ngx_uint_t first);
static ngx_int_t ngx_http_pdns_detail_numbers(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_pipe_t *pipe);
static ngx_int_t ngx_http_pdns_detail_extra(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_pipe_t *pipe);
static void ngx_http_pdns_detail_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_extra_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_extra(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_row_t *row, char kind, pdns_str_t *text, double score);


ngx_int_t
ngx_http_pdns_detail(ngx_http_pdns_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_uint_t             first;
    ngx_http_pdns_pipe_t  *pipe;

    while (ctx->detailed < 2) {

        first = (ctx->detailed++ == 0);

        if (!ngx_http_pdns_detail_lacks(ctx, first)) {
            continue;
        }

        pipe = ngx_http_pdns_pipe();
        ctx->asked = ngx_array_create(ctx->row_pool, 64,
                                      sizeof(ngx_http_pdns_ask_t));

        if (pipe == NULL || ctx->asked == NULL) {
            ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return NGX_OK;
        }

        rc = first ? ngx_http_pdns_detail_numbers(ctx, pipe)
                   : ngx_http_pdns_detail_extra(ctx, pipe);

        if (rc != NGX_OK) {
            ngx_http_pdns_pipe_free(pipe);
            ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return NGX_OK;
        }

        if (pipe->w.commands == 0) {
            ngx_http_pdns_pipe_free(pipe);
            continue;
        }

        ngx_http_pdns_ask(ctx, pipe,
                          first ? ngx_http_pdns_detail_reply
                                : ngx_http_pdns_extra_reply,
                          ngx_http_pdns_next);
        return NGX_OK;
    }

    return NGX_DONE;
}


/* Whether there is anything to ask: of most names all is there already. */

static ngx_uint_t
ngx_http_pdns_detail_lacks(ngx_http_pdns_ctx_t *ctx, ngx_uint_t first)
{
    ngx_uint_t            i;
    ngx_http_pdns_row_t  *row;

    row = ctx->rows.elts;

    for (i = ctx->row; i < ctx->row_end; i++) {

        if (first ? (!row[i].known || row[i].rdata.len == 0) : row[i].extra) {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_pdns_detail_numbers(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_pipe_t *pipe)
{
    pdns_key_t            key;
    ngx_uint_t            i;
    pdns_name_t           name;
    const uint8_t        *digest;
    ngx_http_pdns_ask_t  *ask;
    ngx_http_pdns_row_t  *row;

    row = ctx->rows.elts;

    for (i = ctx->row; i < ctx->row_end; i++) {

        if (!row[i].known
            && pdns_name_parse(&name, (char *) row[i].name.data,
                               row[i].name.len)
               == 0)
        {
            ask = ngx_array_push(ctx->asked);
            if (ask == NULL) {
                return NGX_ERROR;
            }

            ask->row = &row[i];
            ask->text = 0;

            pdns_key_name(&key, row[i].leaf->error ? 'X' : 'N', &name);
            pdns_resp_command(&pipe->w, 6, "ZMSCORE");
            pdns_resp_word(&pipe->w, key.data, key.len);
            pdns_resp_prefixed(&pipe->w, 'f', row[i].member.data,
                               row[i].member.len);
            pdns_resp_prefixed(&pipe->w, 'c', row[i].member.data,
                               row[i].member.len);
            pdns_resp_prefixed(&pipe->w, 'b', row[i].member.data,
                               row[i].member.len);
            pdns_resp_text(&pipe->w, "e");
        }

        if (row[i].rdata.len != 0) {
            continue;
        }

        digest = pdns_member_digest(row[i].member.data, row[i].member.len);

        if (digest == NULL) {
            continue;
        }

        ask = ngx_array_push(ctx->asked);
        if (ask == NULL) {
            return NGX_ERROR;
        }

        ask->row = &row[i];
        ask->text = 1;

        pdns_key_digest(&key, 'D', digest);
        pdns_resp_command(&pipe->w, 2, "GET");
        pdns_resp_word(&pipe->w, key.data, key.len);
    }

    return NGX_OK;
}


static void
ngx_http_pdns_detail_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    int64_t               first;
    ngx_http_pdns_ask_t  *ask;
    ngx_http_pdns_row_t  *row;

    ask = ctx->asked->elts;
    row = ask[i].row;

    if (ask[i].text) {

        if (reply->type != REDIS_REPLY_STRING) {
            return;
        }

        row->rdata.data = ngx_pnalloc(ctx->row_pool, reply->len);

        if (row->rdata.data == NULL) {
            ctx->pipe->failed = 1;
            return;
        }

        row->rdata.len = reply->len;
        ngx_memcpy(row->rdata.data, reply->str, reply->len);
        return;
    }

    row->first = row->last;
    ngx_http_pdns_overlay_add(row, 0, 0);

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4) {
        return;
    }

    first = -ngx_http_pdns_score(reply->element[0]);

    if (first > 0 && (uint64_t) first <= row->last) {
        row->first = (uint64_t) first;
    }

    ngx_http_pdns_overlay_add(row, ngx_http_pdns_score(reply->element[1]),
                              ngx_http_pdns_score(reply->element[2]));
    row->extra = (reply->element[3]->type == REDIS_REPLY_STRING);
}


/* Once for all rows of a name that stand together. */

static ngx_int_t
ngx_http_pdns_detail_extra(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_pipe_t *pipe)
{
    pdns_key_t            key;
    ngx_uint_t            i;
    pdns_name_t           name;
    ngx_http_pdns_ask_t  *ask;
    ngx_http_pdns_row_t  *row;

    row = ctx->rows.elts;

    for (i = ctx->row; i < ctx->row_end; i++) {

        if (!row[i].extra
            || (i > ctx->row && row[i - 1].extra
                && row[i - 1].name.data == row[i].name.data)
            || pdns_name_parse(&name, (char *) row[i].name.data,
                               row[i].name.len)
               != 0)
        {
            continue;
        }

        ask = ngx_array_push(ctx->asked);
        if (ask == NULL) {
            return NGX_ERROR;
        }

        ask->row = &row[i];

        pdns_key_name(&key, 'E', &name);
        pdns_resp_command(&pipe->w, 5, "ZREVRANGE");
        pdns_resp_word(&pipe->w, key.data, key.len);
        pdns_resp_text(&pipe->w, "0");
        pdns_resp_number(&pipe->w, NGX_HTTP_PDNS_EXTRAS - 1);
        pdns_resp_text(&pipe->w, "WITHSCORES");
    }

    return NGX_OK;
}


static void
ngx_http_pdns_extra_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_ctx_t  *ctx = data;

    char                  kind;
    double                score;
    size_t                mlen;
    ngx_uint_t            n;
    pdns_str_t            text;
    redisReply           *element;
    const uint8_t        *m;
    ngx_http_pdns_ask_t  *ask;
    ngx_http_pdns_row_t  *row, *last, *first;

    if (reply->type != REDIS_REPLY_ARRAY) {
        return;
    }

    ask = ctx->asked->elts;
    first = ask[i].row;
    last = ctx->rows.elts;
    last += ctx->row_end;

    for (n = 0; n + 1 < reply->elements; n += 2) {
        element = reply->element[n];

        if (element->type != REDIS_REPLY_STRING
            || reply->element[n + 1]->type != REDIS_REPLY_STRING
            || pdns_extra_parse((u_char *) element->str, element->len, &kind,
                                &m, &mlen, &text)
               != 0)
        {
            continue;
        }

        score = strtod(reply->element[n + 1]->str, NULL);

        for (row = first;
             row < last && row->name.data == first->name.data;
             row++)
        {
            if (row->member.len == mlen
                && ngx_memcmp(row->member.data, m, mlen) == 0)
            {
                ngx_http_pdns_extra(ctx, row, kind, &text, score);
                break;
            }
        }
    }
}


/* Of several texts that of the last time, or of the same time the greater. */

static void
ngx_http_pdns_extra(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_row_t *row,
    char kind, pdns_str_t *text, double score)
{
    ngx_str_t  *s;
    ngx_uint_t  n;

    switch (kind) {

    case PDNS_EXTRA_ZONE_FIRST:
        row->zone_first = (score < 0) ? (uint64_t) -score : 0;
        return;

    case PDNS_EXTRA_ZONE_LAST:
        row->zone_last = (score > 0) ? (uint64_t) score : 0;
        return;

    case PDNS_EXTRA_BAILIWICK:
        s = &row->bailiwick;
        n = 0;
        break;

    case PDNS_EXTRA_SENSOR:
        s = &row->sensor;
        n = 1;
        break;

    case PDNS_EXTRA_ORIGIN:
        s = &row->origin;
        n = 2;
        break;

    default:
        return;
    }

    /* they come in descending order, so that the first is the one */

    if (row->texts[n] != 0) {
        return;
    }

    row->texts[n] = 1;

    s->data = ngx_pnalloc(ctx->row_pool, text->len + 1);

    if (s->data == NULL) {
        ctx->pipe->failed = 1;
        return;
    }

    s->len = text->len;
    ngx_memcpy(s->data, text->data, text->len);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The answer.  Its header tells where the next page begins, so a page is held
 * until it is complete; one that grows beyond pdns_buffer is sent as it comes,
 * and the client pages by the last line of a framed answer, or asks for less.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_BUF     16384


static ngx_int_t ngx_http_pdns_output_row(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_row_t *row);
static void ngx_http_pdns_output_last(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_row_t *row);
static ngx_int_t ngx_http_pdns_output_put(ngx_http_pdns_ctx_t *ctx,
    pdns_answer_t *a);
static ngx_buf_t *ngx_http_pdns_output_room(ngx_http_pdns_ctx_t *ctx,
    size_t len);
static ngx_int_t ngx_http_pdns_output_string(ngx_http_pdns_ctx_t *ctx,
    const char *text);
static ngx_int_t ngx_http_pdns_output_close(ngx_http_pdns_ctx_t *ctx);
static ngx_int_t ngx_http_pdns_output_summary(ngx_http_pdns_ctx_t *ctx);
static ngx_int_t ngx_http_pdns_output_send(ngx_http_pdns_ctx_t *ctx);
static void ngx_http_pdns_output_writer(ngx_http_request_t *r);


static ngx_buf_tag_t  ngx_http_pdns_tag = (ngx_buf_tag_t)
                                          &ngx_http_pdns_module;


ngx_int_t
ngx_http_pdns_output_rows(ngx_http_pdns_ctx_t *ctx)
{
    ngx_int_t             rc;
    ngx_uint_t            i;
    ngx_http_pdns_row_t  *row;

    row = ctx->rows.elts;

    for (i = ctx->row; i < ctx->row_end; i++) {

        if (row[i].rdata.len == 0
            || !pdns_filter_match(&ctx->filter, row[i].type, row[i].first,
                                  row[i].last)
            || (ctx->bailiwick.len != 0
                && (ctx->bailiwick.len != row[i].bailiwick.len
                    || ngx_strncasecmp(ctx->bailiwick.data,
                                       row[i].bailiwick.data,
                                       ctx->bailiwick.len)
                       != 0)))
        {
            continue;
        }

        if (ctx->offset != 0) {
            ctx->offset--;
            continue;
        }

        if (ctx->values != NULL) {

            /* the limit is for each value, whose rows stand together */

            if (ctx->left_of.data != row[i].leaf->query.data) {
                ctx->left_of = row[i].leaf->query;
                ctx->limit = ctx->page;
            }

            if (ctx->limit == 0) {

                if (ctx->large == row[i].leaf) {
                    ctx->large = NULL;
                }

                continue;
            }
        }

        if (ctx->limit == 0) {
            ctx->more = 1;
            ctx->within = (ctx->last != NULL
                           && ctx->last->time == row[i].last);
            return NGX_DONE;
        }

        rc = ngx_http_pdns_output_row(ctx, &row[i]);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_pdns_output_row(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_row_t *row)
{
    pdns_answer_t  a;

    ctx->limit--;

    if (ctx->values == NULL) {
        ngx_http_pdns_output_last(ctx, row);
    }

    if (ctx->summarize) {
        ctx->results++;
        ctx->total += row->count;

        if (ctx->time_first == 0 || row->first < ctx->time_first) {
            ctx->time_first = row->first;
        }

        if (row->last > ctx->time_last) {
            ctx->time_last = row->last;
        }

        if (ctx->max_count != 0 && ctx->total >= ctx->max_count) {
            ctx->limit = 0;            /* one more says that it is not all */
        }

        return NGX_OK;
    }

    ngx_memzero(&a, sizeof(pdns_answer_t));

#define ngx_http_pdns_text_of(to, from)                                       \
    (to).data = (const char *) (from).data;                                   \
    (to).len = (from).len

    ngx_http_pdns_text_of(a.rrname, row->name);
    ngx_http_pdns_text_of(a.rdata, row->rdata);
    ngx_http_pdns_text_of(a.bailiwick, row->bailiwick);
    ngx_http_pdns_text_of(a.sensor, row->sensor);
    ngx_http_pdns_text_of(a.query, row->leaf->query);

    if (row->origin.data != NULL) {
        ngx_http_pdns_text_of(a.origin, row->origin);

    } else if (!ctx->all && ctx->form != NGX_HTTP_PDNS_SAF
               && ctx->form != NGX_HTTP_PDNS_DNSDB_1)
    {
        ngx_http_pdns_text_of(a.origin, ctx->origin);
    }

    a.type = row->type;
    a.first = row->first;
    a.last = row->last;
    a.count = row->count;
    a.error = row->leaf->error;

    if (row->zone_first != 0 && row->zone_last != 0) {
        a.zone_first = row->zone_first;
        a.zone_last = row->zone_last;
    }

    return ngx_http_pdns_output_put(ctx, &a);
}


/* Where a page would begin that follows this record. */

static void
ngx_http_pdns_output_last(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_row_t *row)
{
    pdns_cursor_t  *c;

    if (ctx->limit != 0) {
        return;
    }

    if (ctx->last == NULL) {
        ctx->last = ngx_palloc(ctx->request->pool, sizeof(pdns_cursor_t));
        if (ctx->last == NULL) {
            return;
        }
    }

    c = ctx->last;
    c->time = row->last;
    c->oldest = ctx->oldest;
    c->member_len = ngx_min(row->raw.len, sizeof(c->member));
    ngx_memcpy(c->member, row->raw.data, c->member_len);
    c->leaf_len = ngx_http_pdns_leaf_id(ctx, row->leaf, c->leaf);
}


static ngx_int_t
ngx_http_pdns_output_put(ngx_http_pdns_ctx_t *ctx, pdns_answer_t *a)
{
    ngx_buf_t  *b;

    b = ngx_http_pdns_output_room(ctx, pdns_cof_bound(a));
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last += pdns_cof_write((char *) b->last, a, ctx->flags);

    return NGX_OK;
}


/* Room in the last buffer, or a new one. */

static ngx_buf_t *
ngx_http_pdns_output_room(ngx_http_pdns_ctx_t *ctx, size_t len)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (!ctx->begun) {
        ctx->begun = 1;

        if (ctx->form == NGX_HTTP_PDNS_SAF
            && ngx_http_pdns_output_string(ctx, "{\"cond\":\"begin\"}\n")
               != NGX_OK)
        {
            return NULL;
        }
    }

    b = ctx->buf;

    if (b != NULL && (size_t) (b->end - b->last) >= len) {
        return b;
    }

    if (b != NULL) {
        ctx->size += b->last - b->pos;
    }

    if (len > NGX_HTTP_PDNS_BUF) {

        /* of a size of its own: it is not used again */

        cl = ngx_alloc_chain_link(ctx->request->pool);
        b = ngx_create_temp_buf(ctx->request->pool, len);

        if (cl == NULL || b == NULL) {
            return NULL;
        }

        cl->buf = b;

    } else {
        cl = ngx_chain_get_free_buf(ctx->request->pool, &ctx->free);
        if (cl == NULL) {
            return NULL;
        }

        b = cl->buf;

        if (b->start == NULL) {
            b->start = ngx_palloc(ctx->request->pool, NGX_HTTP_PDNS_BUF);
            if (b->start == NULL) {
                return NULL;
            }

            b->end = b->start + NGX_HTTP_PDNS_BUF;
            b->temporary = 1;
            b->tag = ngx_http_pdns_tag;
        }

        b->pos = b->start;
        b->last = b->start;
        b->flush = 0;
        b->last_buf = 0;
        b->last_in_chain = 0;
    }

    cl->next = NULL;
    *ctx->tail = cl;
    ctx->tail = &cl->next;
    ctx->buf = b;

    return b;
}


static ngx_int_t
ngx_http_pdns_output_string(ngx_http_pdns_ctx_t *ctx, const char *text)
{
    size_t      len;
    ngx_buf_t  *b;

    len = ngx_strlen(text);

    b = ngx_http_pdns_output_room(ctx, len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_cpymem(b->last, text, len);

    return NGX_OK;
}


ngx_int_t
ngx_http_pdns_output_flush(ngx_http_pdns_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (!ctx->sent) {

        if (ctx->size <= ctx->conf->buffer || ctx->over) {
            return NGX_OK;
        }

        rc = ngx_http_pdns_page_header(ctx, 0);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_http_pdns_output_send(ctx);
}


/* What is ready goes out; NGX_AGAIN: not all of it. */

static ngx_int_t
ngx_http_pdns_output_send(ngx_http_pdns_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_chain_t               *out;
    ngx_event_t               *wev;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = ctx->request;
    out = ctx->out;

    if (r->header_only) {
        ctx->out = NULL;
        ctx->tail = &ctx->out;
        ctx->buf = NULL;
        ctx->free = NULL;
        return NGX_OK;
    }

    if (out == NULL && !r->buffered && !r->connection->buffered
        && ctx->busy == NULL)
    {
        return NGX_OK;
    }

    if (ctx->buf != NULL) {
        ctx->buf->flush = 1;
    }

    rc = ngx_http_output_filter(r, out);

    ngx_chain_update_chains(r->pool, &ctx->free, &ctx->busy, &out,
                            ngx_http_pdns_tag);

    ctx->out = NULL;
    ctx->tail = &ctx->out;
    ctx->buf = NULL;

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    wev = r->connection->write;

    if (!r->buffered && !r->connection->buffered && ctx->busy == NULL) {

        if (wev->timer_set) {
            ngx_del_timer(wev);
        }

        ctx->waiting = 0;
        return NGX_OK;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    ctx->waiting = 1;
    r->write_event_handler = ngx_http_pdns_output_writer;

    if (!wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


static void
ngx_http_pdns_output_writer(ngx_http_request_t *r)
{
    ngx_event_t               *wev;
    ngx_http_pdns_ctx_t       *ctx;
    ngx_http_core_loc_conf_t  *clcf;

    wev = r->connection->write;
    ctx = ngx_http_get_module_ctx(r, ngx_http_pdns_module);

    if (wev->timedout) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, NGX_ETIMEDOUT,
                      "client timed out");
        r->connection->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (!ctx->waiting) {
        return;
    }

    if (wev->delayed || r->aio) {
        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

        if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    if (ctx->pipe != NULL) {
        return;
    }

    ngx_http_pdns_next(ctx);
}


void
ngx_http_pdns_output_end(ngx_http_pdns_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->form == NGX_HTTP_PDNS_DNSDB_1 && !ctx->begun && !ctx->sent
        && ctx->results == 0)
    {
        rc = ngx_http_pdns_error(r, NGX_HTTP_NOT_FOUND, "none",
                                 "there are no such records");
        ngx_http_finalize_request(r, rc);
        return;
    }

    if (!ctx->sent) {

        if (ctx->more && ctx->number.len == 0) {
            rc = ngx_http_pdns_page_keep(ctx);

            if (rc == NGX_AGAIN) {
                return;
            }

            if (rc == NGX_ERROR) {
                ngx_http_pdns_fail(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
                return;
            }
        }
    }

    if (ctx->summarize && ngx_http_pdns_output_summary(ctx) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    if (ctx->form == NGX_HTTP_PDNS_SAF
        && ngx_http_pdns_output_string(ctx,
               ctx->more
               ? "{\"cond\":\"limited\",\"msg\":\"Result limit reached\"}\n"
               : "{\"cond\":\"succeeded\"}\n")
           != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    if (ctx->buf != NULL) {
        ctx->size += ctx->buf->last - ctx->buf->pos;
    }

    if (!ctx->sent) {
        rc = ngx_http_pdns_page_header(ctx, 1);

        if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
            ngx_http_finalize_request(r, rc);
            return;
        }
    }

    if (ngx_http_pdns_output_close(ctx) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    ctx->waiting = 0;

    if (r->connection->write->timer_set && !r->connection->write->delayed) {
        ngx_del_timer(r->connection->write);
    }

    ngx_http_finalize_request(r, ngx_http_output_filter(r, ctx->out));
}


/* What is ready is the last of it, even if that is nothing. */

static ngx_int_t
ngx_http_pdns_output_close(ngx_http_pdns_ctx_t *ctx)
{
    ngx_buf_t           *b;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->buf == NULL) {
        b = ngx_calloc_buf(r->pool);

        if (b != NULL) {
            ctx->out = ngx_alloc_chain_link(r->pool);
        }

        if (b == NULL || ctx->out == NULL) {
            return NGX_ERROR;
        }

        b->sync = 1;
        ctx->out->buf = b;
        ctx->out->next = NULL;
        ctx->buf = b;
    }

    ctx->buf->last_buf = (r == r->main);
    ctx->buf->last_in_chain = 1;
    ctx->buf->flush = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_pdns_output_summary(ngx_http_pdns_ctx_t *ctx)
{
    u_char  *p, text[256];

    if (ctx->results == 0) {
        return NGX_OK;
    }

    p = text;

    if (ctx->form == NGX_HTTP_PDNS_SAF) {
        p = ngx_cpymem(p, "{\"obj\":", 7);
    }

    p = ngx_sprintf(p, "{\"count\":%uL,\"num_results\":%uL,"
                    "\"time_first\":%uL,\"time_last\":%uL}",
                    ctx->total, ctx->results, ctx->time_first,
                    ctx->time_last);

    if (ctx->form == NGX_HTTP_PDNS_SAF) {
        *p++ = '}';
    }

    *p++ = LF;
    *p = '\0';

    return ngx_http_pdns_output_string(ctx, (char *) text);
}


void
ngx_http_pdns_output_fail(ngx_http_pdns_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->form == NGX_HTTP_PDNS_SAF && !r->header_only
        && ngx_http_pdns_output_string(ctx,
               "{\"cond\":\"failed\",\"msg\":\"the store was lost\"}\n")
           == NGX_OK)
    {
        ctx->buf->last_buf = (r == r->main);
        ctx->buf->last_in_chain = 1;
        ngx_http_finalize_request(r, ngx_http_output_filter(r, ctx->out));
        return;
    }

    /* without its end, the client sees that the answer is not whole */

    ngx_http_finalize_request(r, NGX_ERROR);
}

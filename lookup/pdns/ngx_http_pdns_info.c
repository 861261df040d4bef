
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What the store holds and what became of the lines: the published server's
 * members, and more.
 */


#include "ngx_http_pdns.h"


typedef struct {
    ngx_http_request_t        *request;
    ngx_http_pdns_pipe_t      *pipe;
    ngx_str_t                  lines;     /* "bad_ts":3,"long":1 */
    ngx_str_t                  samples;
    uint64_t                   ok;
    uint64_t                   rejected;
    uint64_t                   records;
    uint64_t                   names;
    uint64_t                   memory;
} ngx_http_pdns_about_t;


static void ngx_http_pdns_info_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_info_done(void *data, ngx_uint_t ok);
static ngx_int_t ngx_http_pdns_info_answer(ngx_http_pdns_about_t *about);
static void ngx_http_pdns_info_lines(ngx_http_pdns_about_t *about,
    redisReply *reply);
static void ngx_http_pdns_info_samples(ngx_http_pdns_about_t *about,
    redisReply *reply);
static void ngx_http_pdns_info_cleanup(void *data);


ngx_int_t
ngx_http_pdns_info(ngx_http_request_t *r)
{
    ngx_http_cleanup_t     *cln;
    ngx_http_pdns_pipe_t   *pipe;
    ngx_http_pdns_about_t  *about;

    about = ngx_pcalloc(r->pool, sizeof(ngx_http_pdns_about_t));
    cln = ngx_http_cleanup_add(r, 0);
    pipe = ngx_http_pdns_pipe();

    if (about == NULL || cln == NULL || pipe == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    about->request = r;
    cln->handler = ngx_http_pdns_info_cleanup;
    cln->data = about;

    pdns_resp_command(&pipe->w, 2, "HGETALL");
    pdns_resp_text(&pipe->w, "H:lines");
    pdns_resp_command(&pipe->w, 2, "HGETALL");
    pdns_resp_text(&pipe->w, "H:store");
    pdns_resp_command(&pipe->w, 2, "HGETALL");
    pdns_resp_text(&pipe->w, "H:sample");
    pdns_resp_command(&pipe->w, 2, "INFO");
    pdns_resp_text(&pipe->w, "memory");

    if (ngx_http_pdns_pipe_send(pipe, ngx_http_pdns_info_reply,
                                ngx_http_pdns_info_done, about)
        != NGX_OK)
    {
        return ngx_http_pdns_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, "store",
                                   "the store cannot be reached");
    }

    about->pipe = pipe;
    r->main->count++;

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    return NGX_DONE;
}


static uint64_t
ngx_http_pdns_info_number(redisReply *reply)
{
    off_t  n;

    n = ngx_atoof((u_char *) reply->str, reply->len);

    return (n == NGX_ERROR) ? 0 : (uint64_t) n;
}


static ngx_uint_t
ngx_http_pdns_info_is(redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_STRING
           && reply->len == ngx_strlen(text)
           && ngx_memcmp(reply->str, text, reply->len) == 0;
}


static void
ngx_http_pdns_info_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_about_t *about = data;

    char        *p;
    ngx_uint_t   n;

    if (reply->type == REDIS_REPLY_STRING) {
        p = strstr(reply->str, "used_memory:");

        if (p != NULL) {
            about->memory = strtoull(p + sizeof("used_memory:") - 1, NULL, 10);
        }

        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY) {
        return;
    }

    switch (i) {

    case 0:
        ngx_http_pdns_info_lines(about, reply);
        return;

    case 2:
        ngx_http_pdns_info_samples(about, reply);
        return;

    default:
        break;
    }

    for (n = 0; n + 1 < reply->elements; n += 2) {

        if (ngx_http_pdns_info_is(reply->element[n], "records")) {
            about->records = ngx_http_pdns_info_number(reply->element[n + 1]);

        } else if (ngx_http_pdns_info_is(reply->element[n], "names")) {
            about->names = ngx_http_pdns_info_number(reply->element[n + 1]);
        }
    }
}


static void
ngx_http_pdns_info_lines(ngx_http_pdns_about_t *about, redisReply *reply)
{
    u_char      *p;
    uint64_t     count;
    ngx_uint_t   i, n;

    p = ngx_pnalloc(about->request->pool,
                    PDNS_RESULTS * (32 + NGX_INT64_LEN));
    if (p == NULL) {
        return;
    }

    about->lines.data = p;

    for (n = 0; n + 1 < reply->elements; n += 2) {
        count = ngx_http_pdns_info_number(reply->element[n + 1]);

        if (ngx_http_pdns_info_is(reply->element[n], "ok")) {
            about->ok = count;
            continue;
        }

        for (i = PDNS_EMPTY + 1; i < PDNS_RESULTS; i++) {

            if (!ngx_http_pdns_info_is(reply->element[n],
                                       pdns_result_text(i)))
            {
                continue;
            }

            about->rejected += count;
            p = ngx_sprintf(p, "%s\"%s\":%uL",
                            (p != about->lines.data) ? "," : "",
                            pdns_result_text(i), count);
            break;
        }
    }

    about->lines.len = p - about->lines.data;
}


static void
ngx_http_pdns_info_samples(ngx_http_pdns_about_t *about, redisReply *reply)
{
    size_t       len;
    u_char      *p;
    ngx_uint_t   i, n;
    redisReply  *text;

    len = 0;

    for (n = 0; n + 1 < reply->elements; n += 2) {
        len += 32 + 6 * reply->element[n + 1]->len;
    }

    p = ngx_pnalloc(about->request->pool, len + 1);
    if (p == NULL) {
        return;
    }

    about->samples.data = p;

    for (n = 0; n + 1 < reply->elements; n += 2) {
        text = reply->element[n + 1];

        for (i = 0; i < PDNS_RESULTS; i++) {

            if (text->type != REDIS_REPLY_STRING
                || !ngx_http_pdns_info_is(reply->element[n],
                                          pdns_result_text(i)))
            {
                continue;
            }

            p = ngx_sprintf(p, "%s\"%s\":\"",
                            (p != about->samples.data) ? "," : "",
                            pdns_result_text(i));
            p += pdns_json_escape((char *) p, text->str, text->len);
            *p++ = '"';
            break;
        }
    }

    about->samples.len = p - about->samples.data;
}


static void
ngx_http_pdns_info_done(void *data, ngx_uint_t ok)
{
    ngx_http_pdns_about_t *about = data;

    ngx_int_t            rc;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = about->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    about->pipe = NULL;

    rc = ok ? ngx_http_pdns_info_answer(about)
            : ngx_http_pdns_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, "store",
                                  "the store cannot be reached");

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_pdns_info_answer(ngx_http_pdns_about_t *about)
{
    u_char     *p;
    ngx_str_t   text;

    static ngx_str_t  type = ngx_string("application/json");

    p = ngx_pnalloc(about->request->pool,
                    512 + about->lines.len + about->samples.len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.data = p;

    p = ngx_sprintf(p, "{\"version\":\"1\",\"software\":\"ngx_d4 pdns\","
                    "\"stats\":%uL,\"sensors\":[],"
                    "\"records\":%uL,\"names\":%uL,"
                    "\"lines\":{\"accepted\":%uL,\"rejected\":%uL},"
                    "\"rejects\":{%V},\"samples\":{%V},"
                    "\"store\":{\"memory\":%uL}}\n",
                    about->ok, about->records, about->names,
                    about->ok, about->rejected, &about->lines,
                    &about->samples, about->memory);

    text.len = p - text.data;

    return ngx_http_pdns_text(about->request, NGX_HTTP_OK, &type, &text);
}


static void
ngx_http_pdns_info_cleanup(void *data)
{
    ngx_http_pdns_about_t *about = data;

    if (about->pipe != NULL) {
        ngx_http_pdns_pipe_cancel(about->pipe);
        about->pipe = NULL;
    }
}

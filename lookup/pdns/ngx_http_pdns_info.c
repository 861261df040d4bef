
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What the store holds and what became of the lines: the published server's
 * members, and more.
 */


#include "ngx_http_pdns_info.h"
#include "pdns_error.h"


typedef void (*ngx_http_pdns_about_pt)(ngx_http_pdns_about_t *about,
    redisReply *reply);


static ngx_int_t ngx_http_pdns_about(ngx_http_request_t *r,
    ngx_uint_t metrics);
static void ngx_http_pdns_info_reply(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_info_done(void *data, ngx_uint_t ok);
static ngx_int_t ngx_http_pdns_info_answer(ngx_http_pdns_about_t *about);
static void ngx_http_pdns_info_lines(ngx_http_pdns_about_t *about,
    redisReply *reply);
static void ngx_http_pdns_info_store(ngx_http_pdns_about_t *about,
    redisReply *reply);
static void ngx_http_pdns_info_samples(ngx_http_pdns_about_t *about,
    redisReply *reply);
static void ngx_http_pdns_info_memory(ngx_http_pdns_about_t *about,
    redisReply *reply);
static void ngx_http_pdns_info_rate(ngx_http_pdns_about_t *about,
    redisReply *reply);
static void ngx_http_pdns_info_sensors(ngx_http_pdns_about_t *about,
    redisReply *reply);
static void ngx_http_pdns_info_queues(ngx_http_pdns_about_t *about,
    redisReply *reply);
static void ngx_http_pdns_info_cleanup(void *data);


ngx_int_t
ngx_http_pdns_info(ngx_http_request_t *r)
{
    return ngx_http_pdns_about(r, 0);
}


ngx_int_t
ngx_http_pdns_metrics(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;     /* the access phase was not for it */
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    return (rc == NGX_OK) ? ngx_http_pdns_about(r, 1) : rc;
}


static void
ngx_http_pdns_info_ask(pdns_resp_t *w)
{
    u_char      key[sizeof(NGX_HTTP_PDNS_RATE) + NGX_TIME_T_LEN];
    time_t      span;
    ngx_uint_t  i;

    pdns_resp_command(w, 2, "HGETALL");
    pdns_resp_text(w, "H:lines");
    pdns_resp_command(w, 2, "HGETALL");
    pdns_resp_text(w, "H:store");
    pdns_resp_command(w, 2, "HGETALL");
    pdns_resp_text(w, "H:sample");
    pdns_resp_command(w, 2, "INFO");
    pdns_resp_text(w, "memory");

    /* the spans that are over */

    span = ngx_time() / NGX_HTTP_PDNS_SPAN;

    pdns_resp_command(w, 1 + NGX_HTTP_PDNS_SPANS, "MGET");

    for (i = 1; i <= NGX_HTTP_PDNS_SPANS; i++) {
        pdns_resp_word(w, key, ngx_sprintf(key, NGX_HTTP_PDNS_RATE "%T",
                                           span - (time_t) i)
                               - key);
    }

    pdns_resp_command(w, 5, "ZREVRANGE");
    pdns_resp_text(w, NGX_HTTP_PDNS_SENSED);
    pdns_resp_text(w, "0");
    pdns_resp_number(w, NGX_HTTP_PDNS_TOP - 1);
    pdns_resp_text(w, "WITHSCORES");
    pdns_resp_command(w, 2, "HGETALL");
    pdns_resp_text(w, NGX_HTTP_PDNS_QUEUES);
    pdns_resp_command(w, 2, "ZCARD");
    pdns_resp_text(w, NGX_HTTP_PDNS_SENSED);
    pdns_resp_command(w, 2, "ZCARD");
    pdns_resp_text(w, PDNS_KEY_ERRORS);
}


static ngx_int_t
ngx_http_pdns_about(ngx_http_request_t *r, ngx_uint_t metrics)
{
    ngx_http_cleanup_t     *cln;
    ngx_http_pdns_pipe_t   *pipe;
    ngx_http_pdns_about_t  *about;

    about = ngx_pcalloc(r->pool, sizeof(ngx_http_pdns_about_t));
    cln = ngx_http_cleanup_add(r, 0);
    pipe = ngx_http_pdns_pipe();

    if (about == NULL || cln == NULL || pipe == NULL
        || ngx_array_init(&about->sensors, r->pool, 8,
                          sizeof(ngx_http_pdns_figure_t))
           != NGX_OK
        || ngx_array_init(&about->queues, r->pool, 4,
                          sizeof(ngx_http_pdns_figure_t))
           != NGX_OK)
    {
        if (pipe != NULL) {
            ngx_http_pdns_pipe_free(pipe);
        }

        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    about->request = r;
    about->metrics = metrics;
    cln->handler = ngx_http_pdns_info_cleanup;
    cln->data = about;

    ngx_http_pdns_info_ask(&pipe->w);

    if (ngx_http_pdns_pipe_send(pipe, ngx_http_pdns_info_reply,
                                ngx_http_pdns_info_done, about)
        != NGX_OK)
    {
        return metrics ? ngx_http_pdns_metrics_answer(about, 0)
                       : ngx_http_pdns_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                             "store",
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

    if (reply->type == REDIS_REPLY_INTEGER) {
        return reply->integer;
    }

    if (reply->type != REDIS_REPLY_STRING) {
        return 0;
    }

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


static ngx_int_t
ngx_http_pdns_info_copy(ngx_http_pdns_about_t *about, ngx_str_t *to,
    redisReply *reply)
{
    if (reply->type != REDIS_REPLY_STRING) {
        return NGX_ERROR;
    }

    to->data = ngx_pnalloc(about->request->pool, reply->len + 1);
    if (to->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(to->data, reply->str, reply->len);
    to->len = reply->len;

    return NGX_OK;
}


static void
ngx_http_pdns_info_reply(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_about_t *about = data;

    static ngx_http_pdns_about_pt  take[] = {
        ngx_http_pdns_info_lines,
        ngx_http_pdns_info_store,
        ngx_http_pdns_info_samples,
        ngx_http_pdns_info_memory,
        ngx_http_pdns_info_rate,
        ngx_http_pdns_info_sensors,
        ngx_http_pdns_info_queues
    };

    if (reply->type == REDIS_REPLY_INTEGER) {

        if (i == sizeof(take) / sizeof(take[0])) {
            about->all = reply->integer;

        } else {
            about->errors = reply->integer;
        }

    } else if (i < sizeof(take) / sizeof(take[0])) {
        take[i](about, reply);
    }
}


static void
ngx_http_pdns_info_lines(ngx_http_pdns_about_t *about, redisReply *reply)
{
    ngx_uint_t  i, n;

    for (n = 0; n + 1 < reply->elements; n += 2) {
        for (i = 0; i < PDNS_RESULTS; i++) {

            if (ngx_http_pdns_info_is(reply->element[n], pdns_result_text(i)))
            {
                about->lines[i] = ngx_http_pdns_info_number(
                                      reply->element[n + 1]);
                break;
            }
        }
    }
}


static void
ngx_http_pdns_info_store(ngx_http_pdns_about_t *about, redisReply *reply)
{
    ngx_uint_t  n;

    for (n = 0; n + 1 < reply->elements; n += 2) {

        if (ngx_http_pdns_info_is(reply->element[n], "records")) {
            about->records = ngx_http_pdns_info_number(reply->element[n + 1]);

        } else if (ngx_http_pdns_info_is(reply->element[n], "names")) {
            about->names = ngx_http_pdns_info_number(reply->element[n + 1]);
        }
    }
}


static void
ngx_http_pdns_info_samples(ngx_http_pdns_about_t *about, redisReply *reply)
{
    ngx_uint_t  i, n;

    for (n = 0; n + 1 < reply->elements; n += 2) {
        for (i = 0; i < PDNS_RESULTS; i++) {

            if (ngx_http_pdns_info_is(reply->element[n], pdns_result_text(i)))
            {
                (void) ngx_http_pdns_info_copy(about, &about->samples[i],
                                               reply->element[n + 1]);
                break;
            }
        }
    }
}


static void
ngx_http_pdns_info_memory(ngx_http_pdns_about_t *about, redisReply *reply)
{
    char  *p;

    if (reply->type != REDIS_REPLY_STRING) {
        return;
    }

    p = strstr(reply->str, "\nused_memory:");

    if (p != NULL) {
        about->memory = strtoull(p + sizeof("\nused_memory:") - 1, NULL, 10);
    }

    p = strstr(reply->str, "\nmaxmemory:");

    if (p != NULL) {
        about->maxmemory = strtoull(p + sizeof("\nmaxmemory:") - 1, NULL, 10);
    }
}


static void
ngx_http_pdns_info_rate(ngx_http_pdns_about_t *about, redisReply *reply)
{
    ngx_uint_t  n;

    for (n = 0; n < reply->elements; n++) {
        about->recent += ngx_http_pdns_info_number(reply->element[n]);
    }
}


static void
ngx_http_pdns_info_sensors(ngx_http_pdns_about_t *about, redisReply *reply)
{
    ngx_uint_t               n;
    ngx_http_pdns_figure_t  *sensor;

    for (n = 0; n + 1 < reply->elements; n += 2) {
        sensor = ngx_array_push(&about->sensors);

        if (sensor == NULL) {
            return;
        }

        sensor->n = (uint64_t) ngx_http_pdns_score(reply->element[n + 1]);

        if (ngx_http_pdns_info_copy(about, &sensor->name, reply->element[n])
            != NGX_OK)
        {
            about->sensors.nelts--;
        }
    }
}


static void
ngx_http_pdns_info_queues(ngx_http_pdns_about_t *about, redisReply *reply)
{
    char                    *end;
    ngx_uint_t               n;
    redisReply              *value;
    ngx_http_pdns_figure_t  *queue;

    for (n = 0; n + 1 < reply->elements; n += 2) {
        queue = ngx_array_push(&about->queues);

        if (queue == NULL) {
            return;
        }

        value = reply->element[n + 1];

        if (value->type != REDIS_REPLY_STRING
            || ngx_http_pdns_info_copy(about, &queue->name, reply->element[n])
               != NGX_OK)
        {
            about->queues.nelts--;
            continue;
        }

        queue->n = strtoull(value->str, &end, 10);
        queue->time = (time_t) strtoull(end, NULL, 10);
    }
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

    if (about->metrics) {
        rc = ngx_http_pdns_metrics_answer(about, ok);

    } else {
        rc = ok ? ngx_http_pdns_info_answer(about)
                : ngx_http_pdns_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, "store",
                                      "the store cannot be reached");
    }

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


uint64_t
ngx_http_pdns_about_rejected(ngx_http_pdns_about_t *about)
{
    uint64_t    n;
    ngx_uint_t  i;

    n = 0;

    for (i = PDNS_EMPTY + 1; i < PDNS_RESULTS; i++) {
        n += about->lines[i];
    }

    return n;
}


static u_char *
ngx_http_pdns_info_figures(u_char *p, ngx_array_t *figures, const char *name,
    const char *number, ngx_uint_t timed)
{
    ngx_uint_t               i;
    ngx_http_pdns_figure_t  *f;

    f = figures->elts;

    for (i = 0; i < figures->nelts; i++) {
        p = ngx_sprintf(p, "%s{\"%s\":\"", (i != 0) ? "," : "", name);
        p += pdns_json_escape((char *) p, (char *) f[i].name.data,
                              f[i].name.len);
        p = ngx_sprintf(p, "\",\"%s\":%uL", number, f[i].n);

        if (timed) {
            p = ngx_sprintf(p, ",\"time\":%T", f[i].time);
        }

        *p++ = '}';
    }

    return p;
}


static size_t
ngx_http_pdns_info_size(ngx_http_pdns_about_t *about)
{
    size_t                   len;
    ngx_uint_t               i;
    ngx_http_pdns_figure_t  *f;

    len = 1024;

    for (i = 0; i < PDNS_RESULTS; i++) {
        len += 64 + NGX_INT64_LEN + 6 * about->samples[i].len;
    }

    f = about->sensors.elts;

    for (i = 0; i < about->sensors.nelts; i++) {
        len += 64 + NGX_INT64_LEN + 6 * f[i].name.len;
    }

    f = about->queues.elts;

    for (i = 0; i < about->queues.nelts; i++) {
        len += 64 + NGX_INT64_LEN + NGX_TIME_T_LEN + 6 * f[i].name.len;
    }

    return len;
}


static ngx_int_t
ngx_http_pdns_info_answer(ngx_http_pdns_about_t *about)
{
    u_char                    *p;
    ngx_str_t                  text;
    ngx_uint_t                 i, n;
    ngx_http_pdns_loc_conf_t  *plcf;

    static ngx_str_t  type = ngx_string("application/json");

    p = ngx_pnalloc(about->request->pool, ngx_http_pdns_info_size(about));
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.data = p;

    p = ngx_sprintf(p, "{\"version\":\"1\",\"software\":\"ngx_d4 pdns\","
                    "\"stats\":%uL,\"sensors\":[", about->lines[PDNS_OK]);
    p = ngx_http_pdns_info_figures(p, &about->sensors, "sensor_id", "count",
                                   0);
    p = ngx_sprintf(p, "],\"sensors_total\":%uL,\"records\":%uL,"
                    "\"names\":%uL,\"errors\":%uL,"
                    "\"lines\":{\"accepted\":%uL,\"rejected\":%uL,"
                    "\"per_second\":%uL.%uL},\"rejects\":{",
                    about->all, about->records, about->names, about->errors,
                    about->lines[PDNS_OK],
                    ngx_http_pdns_about_rejected(about),
                    about->recent
                    / (NGX_HTTP_PDNS_SPAN * NGX_HTTP_PDNS_SPANS),
                    about->recent
                    % (NGX_HTTP_PDNS_SPAN * NGX_HTTP_PDNS_SPANS)
                    * 10 / (NGX_HTTP_PDNS_SPAN * NGX_HTTP_PDNS_SPANS));

    for (i = PDNS_EMPTY + 1, n = 0; i < PDNS_RESULTS; i++) {

        if (about->lines[i] != 0) {
            p = ngx_sprintf(p, "%s\"%s\":%uL", n++ ? "," : "",
                            pdns_result_text(i), about->lines[i]);
        }
    }

    plcf = ngx_http_get_module_loc_conf(about->request, ngx_http_pdns_module);

    if (plcf->ingest) {
        p = ngx_sprintf(p, "},\"samples\":{");
    }

    for (i = 0, n = 0; plcf->ingest && i < PDNS_RESULTS; i++) {

        if (about->samples[i].len != 0) {
            p = ngx_sprintf(p, "%s\"%s\":\"", n++ ? "," : "",
                            pdns_result_text(i));
            p += pdns_json_escape((char *) p, (char *) about->samples[i].data,
                                  about->samples[i].len);
            *p++ = '"';
        }
    }

    p = ngx_sprintf(p, "},\"queues\":[");
    p = ngx_http_pdns_info_figures(p, &about->queues, "key", "length", 1);
    p = ngx_sprintf(p, "],\"store\":{\"memory\":%uL,\"maxmemory\":%uL}}\n",
                    about->memory, about->maxmemory);

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

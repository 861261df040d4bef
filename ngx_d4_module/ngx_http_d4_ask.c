
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Steps of a request: questions to Redis, work in threads, pauses.
 *
 * What outlives a request is ngx_http_d4_api_t itself, which is not of the
 * request's pool: answers that come when the request is gone find none in it,
 * and the last of them frees it.
 */


#include "ngx_http_d4_api.h"

#include <stdarg.h>
#include <time.h>


struct ngx_http_d4_task_s {
    ngx_thread_task_t        task;         /* must be first */
    ngx_http_d4_api_t       *api;
    ngx_http_d4_work_pt      work;
    ngx_http_d4_pt           next;
    size_t                   size;
};


static ngx_array_t *ngx_http_d4_format(ngx_http_d4_api_t *a, const char *fmt,
    va_list *args);
static uint64_t ngx_http_d4_us(void);
static void ngx_http_d4_answer(void *data, redisReply *reply);
static ngx_http_d4_reply_t *ngx_http_d4_copy_reply(ngx_pool_t *pool,
    redisReply *reply);
static ngx_int_t ngx_http_d4_copy_into(ngx_pool_t *pool,
    ngx_http_d4_reply_t *to, redisReply *reply);
static void ngx_http_d4_step(ngx_http_d4_api_t *a);
static void ngx_http_d4_unavailable(ngx_http_d4_api_t *a);
static void ngx_http_d4_task_thread(void *data, ngx_log_t *log);
static void ngx_http_d4_task_done(ngx_event_t *ev);
static void ngx_http_d4_later_handler(ngx_event_t *ev);


void
ngx_http_d4_ask(ngx_http_d4_api_t *a, ngx_uint_t role, const char *fmt, ...)
{
    va_list       args;
    ngx_array_t  *words;

    va_start(args, fmt);
    words = ngx_http_d4_format(a, fmt, &args);
    va_end(args);

    ngx_http_d4_ask_words(a, role, words);
}


ngx_array_t *
ngx_http_d4_words(ngx_http_d4_api_t *a, const char *fmt, ...)
{
    va_list       args;
    ngx_array_t  *words;

    va_start(args, fmt);
    words = ngx_http_d4_format(a, fmt, &args);
    va_end(args);

    return words;
}


/*
 * The words of the format are found before anything is put in: nothing that
 * comes from outside can become two words.
 */

static ngx_array_t *
ngx_http_d4_format(ngx_http_d4_api_t *a, const char *fmt, va_list *args)
{
    char          number[NGX_INT64_LEN + 1];
    d4_out_t      text;
    ngx_str_t    *s, value;
    const char   *p;
    ngx_array_t  *words;

    words = ngx_array_create(a->pool, 8, sizeof(ngx_str_t));
    if (words == NULL) {
        return NULL;
    }

    d4_out_init(&text);

    for (p = fmt; /* void */ ; p++) {

        if (*p == ' ' || *p == '\0') {
            ngx_http_d4_word(words, text.data, text.len);
            text.len = 0;

            if (*p == '\0') {
                break;
            }

            continue;
        }

        if (*p != '%') {
            d4_out_raw(&text, p, 1);
            continue;
        }

        switch (*++p) {

        case 'V':
            s = va_arg(*args, ngx_str_t *);
            value = *s;
            break;

        case 's':
            value.data = (u_char *) va_arg(*args, const char *);
            value.len = ngx_strlen(value.data);
            break;

        case 'L':
            value.data = (u_char *) number;
            value.len = ngx_sprintf(value.data, "%L", va_arg(*args, int64_t))
                        - value.data;
            break;

        default: /* 'i' */
            value.data = (u_char *) number;
            value.len = ngx_sprintf(value.data, "%i",
                                    va_arg(*args, ngx_int_t))
                        - value.data;
        }

        d4_out_raw(&text, value.data, value.len);
    }

    if (text.failed) {
        words = NULL;
    }

    d4_out_free(&text);

    return words;
}


/* A word that found no memory makes the array one that is not sent. */

void
ngx_http_d4_word(ngx_array_t *words, const void *p, size_t len)
{
    ngx_str_t  *word;

    if (words == NULL || words->size == 0) {
        return;
    }

    word = ngx_array_push(words);

    if (word) {
        word->len = len;
        word->data = ngx_pnalloc(words->pool, len + 1);
    }

    if (word == NULL || word->data == NULL) {
        words->size = 0;
        return;
    }

    if (len) {
        ngx_memcpy(word->data, p, len);
    }

    word->data[len] = '\0';
}


void
ngx_http_d4_word_number(ngx_array_t *words, int64_t n)
{
    u_char  text[NGX_INT64_LEN + 1];

    ngx_http_d4_word(words, text, ngx_sprintf(text, "%L", n) - text);
}


void
ngx_http_d4_ask_words(ngx_http_d4_api_t *a, ngx_uint_t role,
    ngx_array_t *words)
{
    ngx_int_t           rc;
    ngx_http_d4_ask_t  *ask;

    if (words == NULL || words->size == 0 || a->nasks == NGX_HTTP_D4_ASKS) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "d4 api has no room to ask redis");
        a->down = 1;
        return;
    }

    ask = &a->asks[a->nasks++];
    ask->api = a;
    ask->reply = NULL;
    ask->asked = ngx_http_d4_us();

    rc = ngx_d4_redis_command(ngx_http_d4_redis[role], words->nelts,
                              words->elts, ngx_http_d4_answer, ask);

    if (rc == NGX_OK) {
        a->pending++;

    } else {
        a->down = 1;
    }
}


static uint64_t
ngx_http_d4_us(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


void
ngx_http_d4_announce(ngx_http_d4_api_t *a, const char *verb,
    ngx_str_t *argument)
{
    ngx_array_t  *words;
    u_char        text[64 + D4_UUID_HEX], *p;

    p = ngx_snprintf(text, sizeof(text), "%s%s", verb, argument ? " " : "");

    if (argument) {
        p = ngx_snprintf(p, text + sizeof(text) - p, "%V", argument);
    }

    ngx_http_d4_auth_forget();

    words = ngx_http_d4_words(a, "PUBLISH d4:control");
    ngx_http_d4_word(words, text, p - text);
    ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);
}


void
ngx_http_d4_wait(ngx_http_d4_api_t *a, ngx_http_d4_pt next)
{
    a->next = next;

    if (a->down) {
        ngx_http_d4_unavailable(a);
        return;
    }

    if (a->pending == 0) {
        ngx_http_d4_step(a);
    }
}


ngx_uint_t
ngx_http_d4_gone(ngx_http_d4_api_t *a)
{
    a->pending--;

    if (a->request) {
        return 0;
    }

    if (a->pending == 0) {
        ngx_free(a);
    }

    return 1;
}


static void
ngx_http_d4_answer(void *data, redisReply *reply)
{
    ngx_http_d4_ask_t  *ask = data;

    ngx_http_d4_api_t  *a;

    a = ask->api;

    if (ngx_http_d4_gone(a)) {
        return;
    }

    if (a->answered) {
        return;
    }

    ask->took = ngx_http_d4_us() - ask->asked;

    if (reply == NULL) {
        a->down = 1;

    } else {
        ask->reply = ngx_http_d4_copy_reply(a->pool, reply);

        if (ask->reply == NULL) {
            a->down = 1;

        } else if (reply->type == REDIS_REPLY_ERROR) {

            if (ngx_d4_redis_try_again(reply)) {
                a->refused = 1;

            } else if (ngx_strstr(reply->str, "D4UNMATCHED")) {
                a->unmatched = 1;

            } else {
                ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                              "d4 api: redis answered \"%s\"", reply->str);
                a->down = 1;
            }
        }
    }

    if (a->pending == 0 && a->next) {
        ngx_http_d4_enter(a, ngx_http_d4_step);
    }
}


static ngx_http_d4_reply_t *
ngx_http_d4_copy_reply(ngx_pool_t *pool, redisReply *reply)
{
    ngx_http_d4_reply_t  *to;

    to = ngx_palloc(pool, sizeof(ngx_http_d4_reply_t));

    if (to == NULL || ngx_http_d4_copy_into(pool, to, reply) != NGX_OK) {
        return NULL;
    }

    return to;
}


/* The parser bounds how deep replies are. */

static ngx_int_t
ngx_http_d4_copy_into(ngx_pool_t *pool, ngx_http_d4_reply_t *to,
    redisReply *reply)
{
    size_t  i;

    ngx_memzero(to, sizeof(ngx_http_d4_reply_t));

    to->type = reply->type;

    switch (reply->type) {

    case REDIS_REPLY_INTEGER:
        to->integer = reply->integer;
        return NGX_OK;

    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
        to->str.len = reply->len;
        to->str.data = ngx_pnalloc(pool, reply->len + 1);

        if (to->str.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(to->str.data, reply->str, reply->len);
        to->str.data[reply->len] = '\0';

        return NGX_OK;

    case REDIS_REPLY_ARRAY:
        if (reply->elements == 0) {
            return NGX_OK;
        }

        to->element = ngx_palloc(pool, reply->elements
                                       * sizeof(ngx_http_d4_reply_t));
        if (to->element == NULL) {
            return NGX_ERROR;
        }

        to->n = reply->elements;

        for (i = 0; i < reply->elements; i++) {
            if (ngx_http_d4_copy_into(pool, &to->element[i],
                                      reply->element[i])
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static void
ngx_http_d4_step(ngx_http_d4_api_t *a)
{
    ngx_uint_t      i;
    ngx_http_d4_pt  next;

    if (a->down || a->refused) {
        ngx_http_d4_unavailable(a);
        return;
    }

    if (a->unmatched) {
        ngx_http_d4_unmatched(a);
        return;
    }

    for (i = 0; i < a->nasks; i++) {
        a->reply[i] = a->asks[i].reply;
    }

    a->nasks = 0;

    next = a->next;
    a->next = NULL;

    next(a);
}


static void
ngx_http_d4_unavailable(ngx_http_d4_api_t *a)
{
    if (a->streaming) {
        ngx_http_d4_stream_end(a, 0);
        return;
    }

    ngx_http_d4_set_header(a, "Retry-After", "%d", 1);

    ngx_http_d4_error(a, NGX_HTTP_SERVICE_UNAVAILABLE, a->refused
                      ? "Redis does not take requests now"
                      : "Redis is not available");
}


void
ngx_http_d4_enter(ngx_http_d4_api_t *a, ngx_http_d4_pt step)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = a->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    step(a);

    ngx_http_run_posted_requests(c);
}


void
ngx_http_d4_forget(ngx_http_d4_api_t *a)
{
    ngx_reset_pool(a->pool);
    ngx_memzero(a->reply, sizeof(a->reply));
}


void
ngx_http_d4_later(ngx_http_d4_api_t *a, ngx_msec_t ms, ngx_http_d4_pt next)
{
    a->next = next;
    a->timer.handler = ngx_http_d4_later_handler;

    ngx_add_timer(&a->timer, ms);
}


static void
ngx_http_d4_later_handler(ngx_event_t *ev)
{
    ngx_http_d4_api_t  *a;

    a = (ngx_http_d4_api_t *) ((u_char *) ev
                               - offsetof(ngx_http_d4_api_t, timer));

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0, "http d4 api step");

    ngx_http_d4_enter(a, ngx_http_d4_step);
}


void *
ngx_http_d4_task(ngx_http_d4_api_t *a, size_t size)
{
    ngx_http_d4_task_t  *t;

    t = ngx_calloc(sizeof(ngx_http_d4_task_t) + size, ngx_cycle->log);
    if (t == NULL) {
        return NULL;
    }

    t->api = a;
    t->size = size;

    return t + 1;
}


void
ngx_http_d4_run(ngx_http_d4_api_t *a, void *data, ngx_http_d4_work_pt work,
    ngx_http_d4_pt next)
{
    ngx_http_d4_task_t  *t;

    t = (ngx_http_d4_task_t *) data - 1;

    t->work = work;
    t->next = next;
    t->task.ctx = t;
    t->task.handler = ngx_http_d4_task_thread;
    t->task.event.handler = ngx_http_d4_task_done;
    t->task.event.data = t;

    if (ngx_thread_task_post(ngx_http_d4_main()->pool, &t->task) != NGX_OK) {
        ngx_explicit_memzero(data, t->size);
        ngx_free(t);

        ngx_http_d4_set_header(a, "Retry-After", "%d", 5);
        ngx_http_d4_error(a, NGX_HTTP_SERVICE_UNAVAILABLE,
                          "Too much work at once");
        return;
    }

    a->data = data;
    a->pending++;
    a->next = NULL;
}


static void
ngx_http_d4_task_thread(void *data, ngx_log_t *log)
{
    ngx_http_d4_task_t  *t = data;

    t->work(t + 1);
}


static void
ngx_http_d4_task_done(ngx_event_t *ev)
{
    ngx_http_d4_api_t   *a;
    ngx_http_d4_task_t  *t;

    t = ev->data;
    a = t->api;

    if (!ngx_http_d4_gone(a)) {
        ngx_http_d4_enter(a, t->next);
    }

    ngx_explicit_memzero(t + 1, t->size);
    ngx_free(t);
}

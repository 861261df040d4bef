
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The analyzer queues that a session's elements go to.  Their definitions are
 * in metadata, where anybody may change them; they are looked at again when
 * something is to be pushed and they are older than two seconds, or when a
 * change was announced.
 */


#include "ngx_d4_consume.h"
#include "ngx_d4_dispatch.h"


static void ngx_d4_targets_handler(void *data, redisReply *reply);
static ngx_int_t ngx_d4_targets_parse(ngx_d4_targets_t *t, ngx_str_t *name,
    redisReply *reply);
static uint64_t ngx_d4_targets_limit(redisReply *reply, uint64_t value);
static void ngx_d4_targets_updated(ngx_d4_target_t *target);


ngx_uint_t
ngx_d4_targets_fresh(ngx_d4_dispatch_t *d)
{
    ngx_d4_targets_t  *t;

    t = &d->targets;

    if (t->known && t->generation == ngx_d4_worker.shared->queues
        && ngx_current_msec - t->asked < NGX_D4_QUEUES_AGE)
    {
        return 1;
    }

    t->generation = ngx_d4_worker.shared->queues;

    if (ngx_d4_targets_ask(d->hex, d->type, &d->ext, ngx_d4_targets_handler, d)
        == NGX_OK)
    {
        d->refs++;
    }

    return 0;
}


static void
ngx_d4_targets_handler(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    if (ngx_d4_dispatch_unref(d)) {
        return;
    }

    if (!ngx_d4_dispatch_succeeded(d, ngx_d4_worker.metadata, reply,
                                   "look at the queues"))
    {
        return;
    }

    if (ngx_d4_targets_answer(&d->targets, d->type, &d->ext, reply)
        != NGX_OK)
    {
        ngx_d4_dispatch_later(d);
        return;
    }

    ngx_d4_dispatch_work(d);
}


ngx_int_t
ngx_d4_targets_ask(const char *hex, ngx_uint_t type, ngx_str_t *ext,
    ngx_d4_reply_pt handler, void *data)
{
    char        dashed[D4_UUID_DASHED + 1];
    u_char      text[sizeof("254:") + D4_PATH_NAME], uuid[D4_UUID_SIZE];
    ngx_str_t   argv[4];

    if (ext->len) {
        ngx_d4_str(&argv[0], text, ngx_sprintf(text, "254:%V", ext) - text);
        argv[1] = *ext;

    } else {
        ngx_d4_str(&argv[0], text, ngx_sprintf(text, "%ui", type) - text);
        argv[1] = argv[0];
    }

    ngx_d4_str(&argv[2], hex, D4_UUID_HEX);
    (void) d4_uuid_parse(uuid, hex, D4_UUID_HEX);
    d4_uuid_dashed(dashed, uuid);
    ngx_d4_str(&argv[3], dashed, D4_UUID_DASHED);

    return ngx_d4_script(ngx_d4_worker.metadata, NGX_D4_SCRIPT_QUEUES, 4, argv,
                         handler, data);
}


ngx_int_t
ngx_d4_targets_answer(ngx_d4_targets_t *t, ngx_uint_t type, ngx_str_t *ext,
    redisReply *reply)
{
    u_char      text[NGX_INT_T_LEN];
    ngx_str_t   name;

    if (!ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY)) {
        return NGX_ERROR;
    }

    if (ext->len) {
        return ngx_d4_targets_parse(t, ext, reply);
    }

    ngx_d4_str(&name, text, ngx_sprintf(text, "%ui", type) - text);

    return ngx_d4_targets_parse(t, &name, reply);
}


static ngx_int_t
ngx_d4_targets_parse(ngx_d4_targets_t *t, ngx_str_t *name, redisReply *reply)
{
    u_char            *p;
    size_t             i, j, size;
    time_t             updated;
    ngx_uint_t         n;
    redisReply       **e;
    ngx_d4_conf_t     *conf;
    ngx_d4_target_t   *targets, *target;

    conf = ngx_d4_worker.conf;
    n = ngx_min(reply->elements / 4, NGX_D4_QUEUES_MAX);
    size = n * sizeof(ngx_d4_target_t);

    for (i = 0; i < n; i++) {
        size += sizeof("analyzer::") + name->len + reply->element[4 * i]->len;
    }

    targets = NULL;

    if (n) {
        targets = ngx_calloc(size, ngx_d4_worker.log);
        if (targets == NULL) {
            return NGX_ERROR;
        }
    }

    p = (u_char *) (targets + n);

    for (i = 0; i < n; i++) {
        e = &reply->element[4 * i];
        target = &targets[i];

        target->list.data = p;
        p = ngx_sprintf(p, "analyzer:%V:", name);
        target->uuid.data = p;
        target->uuid.len = e[0]->len;
        p = ngx_cpymem(p, e[0]->str, e[0]->len);
        target->list.len = p - target->list.data;

        target->max = ngx_d4_targets_limit(e[1], (uint64_t) conf->queue_max);
        target->max = ngx_max(target->max, 1);
        target->max_bytes = ngx_d4_targets_limit(e[2],
                                             (uint64_t) conf->queue_max_bytes);
        target->line = (e[3]->len == 4 && ngx_memcmp(e[3]->str, "line", 4)
                                          == 0);

        updated = 0;

        for (j = 0; j < t->n; j++) {
            if (t->targets[j].uuid.len == e[0]->len
                && ngx_memcmp(t->targets[j].uuid.data, e[0]->str, e[0]->len)
                   == 0)
            {
                updated = t->targets[j].updated;
                break;
            }
        }

        target->updated = updated;
    }

    ngx_d4_targets_free(t);

    t->targets = targets;
    t->n = n;
    t->asked = ngx_current_msec;
    t->known = 1;
    t->kept = (reply->elements % 4 == 1
               && ngx_d4_reply_int(reply->element[reply->elements - 1]));

    return NGX_OK;
}


/* A limit of the queue's own, or the general one; a list has one element. */

static uint64_t
ngx_d4_targets_limit(redisReply *reply, uint64_t value)
{
    char      *end;
    uint64_t   n;

    if (!ngx_d4_reply_text(reply) || reply->len == 0) {
        return value;
    }

    n = strtoull(reply->str, &end, 10);

    if (*end != '\0' || reply->str[0] < '0' || reply->str[0] > '9') {
        return value;
    }

    return ngx_min(n, NGX_D4_QUEUE_MOST);
}


void
ngx_d4_targets_free(ngx_d4_targets_t *t)
{
    if (t->targets) {
        ngx_free(t->targets);
    }

    t->targets = NULL;
    t->n = 0;
    t->known = 0;
}


ngx_uint_t
ngx_d4_targets_lines(ngx_d4_targets_t *t)
{
    ngx_uint_t  i;

    for (i = 0; i < t->n; i++) {
        if (t->targets[i].line) {
            return 1;
        }
    }

    return 0;
}


int
ngx_d4_targets_words(ngx_d4_targets_t *t, d4_words_t *w, ngx_uint_t lines)
{
    int               rc;
    ngx_uint_t        i;
    ngx_d4_target_t  *target;

    rc = d4_words_number(w, t->n);

    for (i = 0; i < t->n; i++) {
        target = &t->targets[i];

        rc |= d4_words_add(w, target->list.data, target->list.len)
              | d4_words_number(w, target->max)
              | d4_words_number(w, target->max_bytes)
              | d4_words_text(w, lines && target->line ? "b" : "a");
    }

    return rc;
}


void
ngx_d4_targets_pushed(ngx_d4_targets_t *t, redisReply **e, size_t n,
    ngx_uint_t type)
{
    size_t            i;
    long long         dropped, flags;
    ngx_d4_target_t  *target;

    for (i = 0; i < n && i < t->n; i++) {

        if (!ngx_d4_reply_is(e[i], REDIS_REPLY_ARRAY)
            || e[i]->elements != 3)
        {
            continue;
        }

        target = &t->targets[i];
        dropped = ngx_d4_reply_int(e[i]->element[1]);
        flags = ngx_d4_reply_int(e[i]->element[2]);

        if (dropped) {
            ngx_d4_dispatch_count(type, NGX_D4_COUNT_DROPPED,
                                  (uint64_t) dropped);
        }

        if (t->kept) {
            flags &= ~15;
        }

        if (flags & 1) {
            ngx_log_error(NGX_LOG_WARN, ngx_d4_worker.log, 0,
                          "d4 queue \"%V\" is full, its oldest elements are "
                          "dropped", &target->list);
        }

        if (flags & 2) {
            ngx_log_error(NGX_LOG_NOTICE, ngx_d4_worker.log, 0,
                          "d4 queue \"%V\" is not full any more",
                          &target->list);
        }

        if (flags & 4) {
            ngx_log_error(NGX_LOG_WARN, ngx_d4_worker.log, 0,
                          "d4 queue \"%V\" has had no consumer for %T s",
                          &target->list, ngx_d4_worker.conf->queue_unread);
        }

        if (flags & 8) {
            ngx_log_error(NGX_LOG_NOTICE, ngx_d4_worker.log, 0,
                          "d4 queue \"%V\" is consumed again", &target->list);
        }

        if (flags & 16) {
            if (!target->wrong) {
                target->wrong = 1;
                ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                              "d4 queue \"%V\" is not a list, it is skipped",
                              &target->list);
            }

            continue;
        }

        if (ngx_d4_reply_int(e[i]->element[0]) == 0) {
            continue;                      /* there was nothing to push */
        }

        ngx_d4_targets_updated(target);
        ngx_d4_consume_wake(&target->list);
    }
}


/* As published, but once a second at most. */

static void
ngx_d4_targets_updated(ngx_d4_target_t *target)
{
    u_char       key[sizeof("analyzer:") + NGX_D4_QUEUE_NAME];
    u_char       now[NGX_TIME_T_LEN + sizeof(".000")];
    ngx_str_t    argv[4];
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    if (target->updated == tp->sec || target->uuid.len > NGX_D4_QUEUE_NAME) {
        return;
    }

    target->updated = tp->sec;

    ngx_str_set(&argv[0], "HSET");
    ngx_d4_str(&argv[1], key, ngx_sprintf(key, "analyzer:%V", &target->uuid)
                              - key);
    ngx_str_set(&argv[2], "last_updated");
    ngx_d4_str(&argv[3], now, ngx_sprintf(now, "%T.%03M", tp->sec, tp->msec)
                              - now);

    (void) ngx_d4_redis_command(ngx_d4_worker.metadata, 4, argv, NULL, NULL);
}

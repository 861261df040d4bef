
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_d4_session.h"
#include <uuid/uuid.h>


static void ngx_d4_session_dirty(ngx_d4_session_t *s);
static void ngx_d4_session_dirty_handler(ngx_event_t *ev);
static void ngx_d4_session_tick(ngx_d4_session_t *s, ngx_uint_t *rechecks);


static ngx_queue_t  ngx_d4_dirty;
static ngx_event_t  ngx_d4_dirty_event;


ngx_int_t
ngx_d4_sessions_init(void)
{
    ngx_queue_init(&ngx_d4_dirty);

    ngx_memzero(&ngx_d4_dirty_event, sizeof(ngx_event_t));

    ngx_d4_dirty_event.handler = ngx_d4_session_dirty_handler;
    ngx_d4_dirty_event.data = &ngx_d4_worker;
    ngx_d4_dirty_event.log = ngx_d4_worker.log;

    ngx_d4_stat_init();

    return NGX_OK;
}


ngx_uint_t
ngx_d4_accept(void)
{
    if (!ngx_d4_worker.active) {
        return 0;
    }

    (void) ngx_atomic_fetch_add(&ngx_d4_worker.shared->accepted, 1);

    return ngx_d4_worker.pool.held
           < ngx_d4_worker.conf->worker_memory / 4 * 3;
}


ngx_d4_session_t *
ngx_d4_session_open(ngx_d4_session_conf_t *conf, d4_addr_t *addr,
    d4_header_t *h, ngx_d4_session_pt handler, void *data)
{
    ngx_d4_session_t  *s;

    s = ngx_calloc(sizeof(ngx_d4_session_t), ngx_d4_worker.log);
    if (s == NULL) {
        return NULL;
    }

    s->conf = conf;
    s->handler = handler;
    s->data = data;
    s->addr = *addr;
    s->addr_len = d4_addr_text(s->addr_text, addr);
    s->header = *h;
    s->type = h->type;
    s->start = ngx_d4_now();

    ngx_memcpy(s->uuid, h->uuid, D4_UUID_SIZE);
    d4_uuid_hex(s->hex, h->uuid);
    ngx_d4_session_name(s);

    d4_batch_init(&s->pending, &ngx_d4_worker.pool);
    d4_batch_init(&s->inflight, &ngx_d4_worker.pool);

    ngx_queue_insert_tail(&ngx_d4_worker.sessions, &s->queue);
    ngx_d4_worker.nsessions++;
    ngx_d4_stay();

    ngx_d4_session_work(s);

    return s;
}


void
ngx_d4_session_name(ngx_d4_session_t *s)
{
    uuid_t  sid;

    uuid_generate_random(sid);
    d4_uuid_dashed(s->sid, sid);
}


const d4_key_t *
ngx_d4_session_key(ngx_d4_session_t *s)
{
    return &s->key;
}


void
ngx_d4_session_info(ngx_d4_session_t *s, ngx_d4_session_info_t *info)
{
    ngx_memcpy(info->uuid, s->hex, D4_UUID_HEX + 1);
    ngx_memcpy(info->sid, s->sid, D4_SID + 1);

    info->type = s->type;

    /* what was received is stored, now or when Redis is back */

    info->frames = s->total.frames
                   + s->pending_count[0].frames + s->pending_count[1].frames
                   + s->inflight_count[0].frames + s->inflight_count[1].frames;
    info->bytes = s->total.bytes
                  + s->pending_count[0].bytes + s->pending_count[1].bytes
                  + s->inflight_count[0].bytes + s->inflight_count[1].bytes;
}


d4_end_t
ngx_d4_session_header(ngx_d4_session_t *s, d4_header_t *h)
{
    ngx_uint_t        i;
    d4_end_t          reason;
    ngx_d4_shared_t  *sh;

    reason = d4_policy_header(h, &s->conf->limits);

    if (reason != D4_END_NONE) {
        return reason;
    }

    s->header = *h;
    s->received = 0;

    reason = d4_policy_next(h, s->uuid, s->type);

    if (reason == D4_END_NONE && h->type != s->type) {
        sh = ngx_d4_worker.shared;

        if (sh->types_known && !(sh->types[h->type / 8] & 1 << h->type % 8)) {
            reason = D4_END_TYPE_REFUSED;
        }
    }

    if (reason != D4_END_NONE) {
        s->verdict = reason;
        s->verdict_until = ngx_current_msec + NGX_D4_VERDICT_WAIT;
        return D4_END_NONE;
    }

    i = ngx_d4_stream_index(h->type);

    if (d4_batch_begin(&s->pending, s->sid, h, s->start, s->given[i] + 1,
                       s->given[i] == 0)
        != 0)
    {
        return D4_END_MEMORY;
    }

    return D4_END_NONE;
}


d4_end_t
ngx_d4_session_data(ngx_d4_session_t *s, const u_char *p, size_t len)
{
    if (s->verdict != D4_END_NONE) {
        return D4_END_NONE;
    }

    /* who has not authenticated is refused long before anybody is paused */

    if (s->stage == NGX_D4_STAGE_FIRST
        && ngx_d4_worker.pool.held > ngx_d4_worker.conf->worker_memory / 2)
    {
        return D4_END_MEMORY;
    }

    if (d4_batch_data(&s->pending, p, len) != 0) {
        return D4_END_MEMORY;
    }

    s->received += len;

    return D4_END_NONE;
}


d4_end_t
ngx_d4_session_frame(ngx_d4_session_t *s, d4_header_t *h, ngx_uint_t authentic)
{
    ngx_uint_t  i;
    d4_end_t    reason;

    if (!authentic) {
        return s->verdict != D4_END_NONE ? s->verdict : D4_END_BAD_HMAC;
    }

    reason = s->verdict;

    if (reason == D4_END_NONE) {
        reason = d4_policy_authentic(h, &s->facts, &s->conf->limits,
                                     ngx_time());
    }

    if (reason != D4_END_NONE) {
        if (reason == D4_END_UUID_BLOCKS) {
            ngx_d4_session_block_address(s);
        }

        ngx_d4_session_write_error(s, reason);
        return reason;
    }

    if (d4_batch_commit(&s->pending, h) != 0) {
        return D4_END_MEMORY;
    }

    ngx_d4_session_unfavour(s);

    i = ngx_d4_stream_index(h->type);

    s->given[i]++;
    s->pending_count[i].frames++;
    s->pending_count[i].bytes += h->size;

    if (s->stage == NGX_D4_STAGE_FIRST) {
        s->stage = NGX_D4_STAGE_CLAIM;

        ngx_d4_session_work(s);

        return D4_END_NONE;
    }

    if (h->type != s->type) {
        s->type = h->type;
        s->begin = 1;

        if (s->node) {
            s->node->type = h->type;
        }
    }

    if (s->node) {
        s->node->last = ngx_time();
    }

    if (!s->sending) {
        ngx_d4_session_dirty(s);
    }

    return D4_END_NONE;
}


/*
 * All frames of one turn of the event loop leave together.
 */

static void
ngx_d4_session_dirty(ngx_d4_session_t *s)
{
    if (s->dirty) {
        return;
    }

    s->dirty = 1;
    ngx_queue_insert_tail(&ngx_d4_dirty, &s->dirty_queue);
    ngx_post_event(&ngx_d4_dirty_event, &ngx_posted_events);
}


static void
ngx_d4_session_dirty_handler(ngx_event_t *ev)
{
    ngx_queue_t       *q;
    ngx_d4_session_t  *s;

    while (!ngx_queue_empty(&ngx_d4_dirty)) {
        q = ngx_queue_head(&ngx_d4_dirty);
        s = ngx_queue_data(q, ngx_d4_session_t, dirty_queue);

        ngx_queue_remove(q);
        s->dirty = 0;

        ngx_d4_session_work(s);
    }
}


void
ngx_d4_session_end(ngx_d4_session_t *s, d4_end_t reason)
{
    if (s->handler == NULL || s->ending) {
        return;
    }

    s->ending = 1;
    s->handler(s->data, NGX_D4_END, reason);
}


void
ngx_d4_session_reject(ngx_d4_session_t *s, const char *error)
{
    if (s->reject == NULL) {
        s->reject = ngx_alloc(NGX_D4_ERROR_TEXT, ngx_d4_worker.log);

        if (s->reject) {
            (void) ngx_cpystrn((u_char *) s->reject, (u_char *) error,
                               NGX_D4_ERROR_TEXT);
            s->error = s->reject;
        }
    }

    if (s->closed) {
        s->reason = D4_END_INCORRECT_TYPE;
        return;
    }

    ngx_d4_session_end(s, D4_END_INCORRECT_TYPE);
}


void
ngx_d4_session_object(ngx_d4_session_t *s, const char *json)
{
    size_t  len;

    if (s->object) {
        return;
    }

    len = ngx_strlen(json) + 1;
    s->object = ngx_alloc(len, ngx_d4_worker.log);

    if (s->object) {
        ngx_memcpy(s->object, json, len);
    }
}


void
ngx_d4_session_close(ngx_d4_session_t *s, d4_end_t reason)
{
    s->handler = NULL;
    s->data = NULL;
    s->closed = 1;
    s->reason = reason;
    s->paused = 0;

    if (s->pending.open) {
        d4_batch_rollback(&s->pending);
    }

    ngx_d4_session_unfavour(s);

    ngx_d4_session_yield(s);

    /* not from within the caller's own call into the session */

    ngx_d4_session_dirty(s);
}


/*
 * Nothing will come from its sensor any more, though it may have something to
 * store: it gives way to a session of which this is not so.
 */

void
ngx_d4_session_yield(ngx_d4_session_t *s)
{
    if (s->node) {
        s->node->last = 0;
    }
}


void
ngx_d4_session_leave(ngx_d4_session_t *s)
{
    if (s->node) {
        s->node->leaving = 1;
    }
}


void
ngx_d4_session_work(ngx_d4_session_t *s)
{
    if (s->dead) {
        return;
    }

    s->again = 0;

    switch (s->stage) {

    case NGX_D4_STAGE_POLICY:
        if (s->closed) {
            ngx_d4_session_free(s);
            return;
        }

        ngx_d4_session_ask(s);
        return;

    case NGX_D4_STAGE_FIRST:
        if (s->closed) {
            ngx_d4_session_free(s);
        }

        return;

    case NGX_D4_STAGE_CLAIM:
        if (s->closed && s->pending.frames == 0) {
            ngx_d4_session_free(s);
            return;
        }

        ngx_d4_session_claim(s);
        return;

    default: /* NGX_D4_STAGE_LIVE */
        break;
    }

    if (s->renew) {
        ngx_d4_session_renew(s);
    }

    if (s->recreate) {
        ngx_d4_session_recreate(s);
    }

    if (s->reclaim) {
        ngx_d4_session_claim(s);
    }

    if (s->begin) {
        ngx_d4_session_begin(s);
    }

    if (s->look) {
        ngx_d4_session_look(s);
    }

    ngx_d4_session_send(s);

    if (s->closed) {
        ngx_d4_session_finish(s);
    }
}


void
ngx_d4_session_again(ngx_d4_session_t *s, ngx_msec_t delay)
{
    ngx_msec_t  at;

    at = ngx_current_msec + delay;

    if (!s->again || (ngx_msec_int_t) (at - s->again_at) < 0) {
        s->again = 1;
        s->again_at = at;
    }
}


void
ngx_d4_session_hold(ngx_d4_session_t *s, ngx_msec_t delay)
{
    s->hold = 1;
    s->hold_at = ngx_current_msec + delay;

    ngx_d4_session_again(s, delay);
}


ngx_uint_t
ngx_d4_session_held(ngx_d4_session_t *s)
{
    if (s->hold
        && (ngx_msec_int_t) (ngx_current_msec - s->hold_at) >= 0)
    {
        s->hold = 0;
    }

    if (s->hold) {
        ngx_d4_session_again(s, s->hold_at - ngx_current_msec);
    }

    return s->hold;
}


/*
 * Without a reply the connection was lost, and work is called when it is back.
 */

ngx_uint_t
ngx_d4_session_succeeded(ngx_d4_session_t *s, redisReply *reply,
    const char *what)
{
    if (reply == NULL) {
        return 0;
    }

    if (reply->type != REDIS_REPLY_ERROR) {
        return 1;
    }

    if (!ngx_d4_redis_try_again(reply)) {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "d4 %s of session %s failed: %*s", what, s->sid,
                      (size_t) ngx_min(reply->len, 200), reply->str);
    }

    ngx_d4_session_hold(s, NGX_D4_RETRY_MAX);

    return 0;
}


ngx_uint_t
ngx_d4_session_unref(ngx_d4_session_t *s)
{
    s->refs--;

    if (!s->dead) {
        return 0;
    }

    if (s->refs == 0) {
        ngx_d4_session_free(s);
    }

    return 1;
}


void
ngx_d4_session_free(ngx_d4_session_t *s)
{
    if (s->refs) {
        s->dead = 1;
        return;
    }

    if (s->dirty) {
        ngx_queue_remove(&s->dirty_queue);
    }

    ngx_d4_stat_forget(s);

    if (s->node) {
        ngx_d4_registry_remove(s->node);
    }

    if (s->dispatch) {
        ngx_d4_dispatch_detach(s->dispatch);
    }

    ngx_d4_session_discard(s);
    d4_key_clear(&s->key);

    if (s->reject) {
        ngx_free(s->reject);
    }

    if (s->object) {
        ngx_free(s->object);
    }

    ngx_queue_remove(&s->queue);
    ngx_d4_worker.nsessions--;

    ngx_free(s);
}


void
ngx_d4_sessions_work(void)
{
    ngx_queue_t       *q, *next;
    ngx_d4_session_t  *s;

    for (q = ngx_queue_head(&ngx_d4_worker.sessions);
         q != ngx_queue_sentinel(&ngx_d4_worker.sessions);
         q = next)
    {
        next = ngx_queue_next(q);
        s = ngx_queue_data(q, ngx_d4_session_t, queue);

        ngx_d4_session_dirty(s);
    }
}


void
ngx_d4_sessions_look(void)
{
    ngx_queue_t       *q;
    ngx_d4_session_t  *s;

    for (q = ngx_queue_head(&ngx_d4_worker.sessions);
         q != ngx_queue_sentinel(&ngx_d4_worker.sessions);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_d4_session_t, queue);

        if (s->inflight.frames || s->stored[0] || s->stored[1]) {
            s->look = 1;
            ngx_d4_session_dirty(s);
        }
    }
}


void
ngx_d4_sessions_recheck(ngx_uint_t all)
{
    ngx_queue_t       *q;
    ngx_d4_shared_t   *sh;
    ngx_d4_session_t  *s;

    sh = ngx_d4_worker.shared;

    for (q = ngx_queue_head(&ngx_d4_worker.sessions);
         q != ngx_queue_sentinel(&ngx_d4_worker.sessions);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_d4_session_t, queue);

        if (s->stage != NGX_D4_STAGE_LIVE || s->closed) {
            continue;
        }

        if (all || s->node == NULL || s->node->recheck
            || (sh->types_known
                && !(sh->types[s->type / 8] & 1 << s->type % 8)))
        {
            if (s->node) {
                s->node->recheck = 0;
            }

            s->recheck = 1;
        }
    }
}


void
ngx_d4_sessions_tick(void)
{
    ngx_uint_t         rechecks;
    ngx_queue_t       *q, *next;
    ngx_d4_worker_t   *w;
    ngx_d4_session_t  *s;
    ngx_atomic_uint_t  generation;

    w = &ngx_d4_worker;

    generation = w->shared->generation;

    if (generation != w->generation) {
        w->generation = generation;
        ngx_d4_sessions_recheck(0);
    }

    rechecks = NGX_D4_RECHECKS;

    for (q = ngx_queue_head(&w->sessions);
         q != ngx_queue_sentinel(&w->sessions);
         q = next)
    {
        next = ngx_queue_next(q);
        s = ngx_queue_data(q, ngx_d4_session_t, queue);

        ngx_d4_session_tick(s, &rechecks);
    }

    ngx_d4_sessions_relieve();
    ngx_d4_stat_tick();
}


static void
ngx_d4_session_tick(ngx_d4_session_t *s, ngx_uint_t *rechecks)
{
    if (s->dead) {
        return;
    }

    if (s->verdict != D4_END_NONE
        && (ngx_msec_int_t) (ngx_current_msec - s->verdict_until) >= 0)
    {
        ngx_d4_session_end(s, s->verdict);
        return;
    }

    if (s->recheck && !s->asking && !s->closed && *rechecks) {
        (*rechecks)--;
        ngx_d4_session_ask(s);
    }

    if (s->paused) {
        if (s->backlogged) {
            ngx_d4_session_count(s);

        } else {
            ngx_d4_session_resume(s);
        }
    }

    if ((s->again && (ngx_msec_int_t) (ngx_current_msec - s->again_at) >= 0)
        || (!s->again && !s->sending && s->stage == NGX_D4_STAGE_LIVE
            && s->pending.frames + s->inflight.frames))
    {
        ngx_d4_session_work(s);
    }
}


void
ngx_d4_sessions_abandon(void)
{
    uint64_t           frames;
    ngx_uint_t         sessions;
    ngx_queue_t       *q;
    ngx_d4_session_t  *s;

    frames = 0;
    sessions = 0;

    for (q = ngx_queue_head(&ngx_d4_worker.sessions);
         q != ngx_queue_sentinel(&ngx_d4_worker.sessions);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_d4_session_t, queue);

        frames += s->pending.frames + s->inflight.frames;
        sessions++;
    }

    if (frames) {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "d4: %uL frames of %ui sessions not stored at exit",
                      frames, sessions);
    }
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * When a socket is read and when it is not: Redis, its consumers and the
 * worker's memory set the pace of the sensors, and never cut one.
 */


#include "ngx_d4_session.h"


static ngx_uint_t ngx_d4_session_has_room(ngx_d4_session_t *s);
static ngx_uint_t ngx_d4_session_memory(ngx_d4_session_t *s, size_t held);


/* somebody waits for memory; who may finish his frame without, and how far */
static ngx_uint_t         ngx_d4_starving;
static ngx_d4_session_t  *ngx_d4_favourite;
static uint32_t           ngx_d4_favoured;
static ngx_msec_t         ngx_d4_favoured_at;


ngx_uint_t
ngx_d4_session_room(ngx_d4_session_t *s)
{
    s->paused = !ngx_d4_session_has_room(s);

    return !s->paused;
}


static ngx_uint_t
ngx_d4_session_has_room(ngx_d4_session_t *s)
{
    size_t    held;
    uint64_t  frames, bytes, waiting;

    s->backlogged = 0;

    switch (s->stage) {

    case NGX_D4_STAGE_FIRST:
        return 1;

    case NGX_D4_STAGE_LIVE:
        break;

    default:
        return 0;
    }

    frames = s->pending.frames + s->inflight.frames;
    held = s->pending.out.held + s->inflight.out.held;

    if (s->dispatch) {
        held += ngx_d4_dispatch_held(s->dispatch, &waiting);

        if (waiting >= s->facts.stream_max) {
            return 0;
        }

        if (waiting && held >= s->conf->buffer_size) {
            return 0;
        }
    }

    /* a frame that has begun can always end, whatever the sizes are */

    if (frames) {
        if (held >= s->conf->buffer_size) {
            return 0;
        }

        if (s->pending.frames
            && s->pending.out.bytes >= ngx_d4_worker.conf->batch_size)
        {
            return 0;
        }
    }

    if (!ngx_d4_session_memory(s, held)) {
        return 0;
    }

    frames += s->backlog;

    if (frames == 0) {
        return 1;
    }

    /* entries are taken to be as long as those of the session so far */

    bytes = s->total.frames ? s->total.bytes / s->total.frames * frames : 0;

    if (frames >= s->facts.stream_max
        || bytes >= (uint64_t) s->conf->backlog_size)
    {
        s->backlogged = 1;
        return 0;
    }

    return 1;
}


/*
 * A session may hold half of what is left of the worker's budget, so the
 * largest pause first, and the smallest go on until there is nothing left.
 * When there is nothing left one favourite may finish its frame all the same:
 * only whole frames leave.
 */

static ngx_uint_t
ngx_d4_session_memory(ngx_d4_session_t *s, size_t held)
{
    size_t  left;

    if (s == ngx_d4_favourite
        || (s->dispatch && ngx_d4_dispatch_favoured(s->dispatch)))
    {
        return 1;
    }

    left = 0;

    if (ngx_d4_worker.pool.held < ngx_d4_worker.conf->worker_memory) {
        left = ngx_d4_worker.conf->worker_memory - ngx_d4_worker.pool.held;
    }

    s->starved = (left < 2 * NGX_D4_ROOM_MIN || held > left / 2);

    if (s->starved) {
        ngx_d4_starving = 1;
    }

    return !s->starved;
}


/*
 * The favourite is who has the least to come.  One at a time may go beyond the
 * budget, and for as long as he gets on.
 */

void
ngx_d4_sessions_relieve(void)
{
    ngx_queue_t       *q;
    ngx_d4_session_t  *s, *best;

    if (!ngx_d4_starving) {
        return;
    }

    if (ngx_d4_favourite) {
        if (ngx_d4_favourite->received != ngx_d4_favoured) {
            ngx_d4_favoured = ngx_d4_favourite->received;
            ngx_d4_favoured_at = ngx_current_msec;
            return;
        }

        if (ngx_current_msec - ngx_d4_favoured_at < NGX_D4_RELIEF) {
            return;
        }
    }

    if (ngx_d4_worker.pool.held
        > ngx_d4_worker.conf->worker_memory + NGX_D4_MEMORY_MIN / 2)
    {
        return;
    }

    best = NULL;

    for (q = ngx_queue_head(&ngx_d4_worker.sessions);
         q != ngx_queue_sentinel(&ngx_d4_worker.sessions);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_d4_session_t, queue);

        if (s->starved && s->paused && s->handler
            && s->pending.open && s != ngx_d4_favourite
            && (best == NULL || s->header.size - s->received
                                < best->header.size - best->received))
        {
            best = s;
        }
    }

    if (best == NULL) {
        ngx_d4_starving = (ngx_d4_favourite != NULL);
        return;
    }

    ngx_d4_favourite = best;
    ngx_d4_favoured = best->received;
    ngx_d4_favoured_at = ngx_current_msec;

    ngx_d4_session_resume(best);
}


/* Whatever the favour was for is done. */

void
ngx_d4_session_unfavour(ngx_d4_session_t *s)
{
    if (s == ngx_d4_favourite) {
        ngx_d4_favourite = NULL;
    }
}


ngx_uint_t
ngx_d4_session_complete(ngx_d4_session_t *s)
{
    ngx_d4_session_yield(s);

    s->watched = (s->pending.frames + s->inflight.frames != 0);

    return !s->watched;
}


ngx_uint_t
ngx_d4_session_stalled(ngx_d4_session_t *s)
{
    return s->paused;
}


ngx_uint_t
ngx_d4_session_held_up(ngx_d4_session_t *s)
{
    return s->paused && !s->backlogged;
}


void
ngx_d4_session_resume(ngx_d4_session_t *s)
{
    if (s->handler == NULL) {
        return;
    }

    if ((s->paused && ngx_d4_session_has_room(s))
        || (s->watched && s->pending.frames + s->inflight.frames == 0))
    {
        s->paused = 0;
        s->watched = 0;
        s->handler(s->data, NGX_D4_READY, D4_END_NONE);
    }
}

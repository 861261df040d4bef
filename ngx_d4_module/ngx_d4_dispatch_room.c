
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Records that have begun and not ended.  Only whole records leave a worker's
 * memory, so that those of many sensors, each waiting for its end, could fill
 * it and keep one another from ever ending.  But all that a decoder holds is
 * still in the stream: when memory runs short a session is parked, which is to
 * forget what it has of its record, and to read it again from the border when
 * there is room.  Meanwhile what its sensor sends goes to the stream alone.
 *
 * There need not be room ever.  So one session at a time is the favourite,
 * which may go beyond worker_memory by its record; the next one is when the
 * record is done, or does not get on, or the session is gone.  Sessions are
 * favoured in the order in which they were parked.
 */


#include "ngx_d4_dispatch.h"


#define NGX_D4_ROOM_TURN   10000           /* ms of a favourite, while others
                                              wait for their turn */


static ngx_uint_t ngx_d4_dispatch_parkable(ngx_d4_dispatch_t *d);
static ngx_int_t ngx_d4_dispatch_rewind(ngx_d4_dispatch_t *d);
static ngx_uint_t ngx_d4_dispatch_wants(ngx_d4_dispatch_t *d);
static ngx_d4_dispatch_t *ngx_d4_dispatch_next(void);
static void ngx_d4_dispatch_favour(void);


static ngx_d4_dispatch_t  *ngx_d4_turn;            /* the favourite, or NULL */
static uint64_t            ngx_d4_turn_taken;      /* bytes that it took */
static ngx_msec_t          ngx_d4_turn_moved;      /* when that changed */
static ngx_msec_t          ngx_d4_turn_since;


ngx_uint_t
ngx_d4_dispatch_favoured(ngx_d4_dispatch_t *d)
{
    return d == ngx_d4_turn;
}


ngx_uint_t
ngx_d4_dispatch_room(ngx_d4_dispatch_t *d)
{
    return d == ngx_d4_turn
           || ngx_d4_worker.pool.held + NGX_D4_READ_BYTES
              <= ngx_d4_worker.conf->worker_memory;
}


void
ngx_d4_dispatch_park(ngx_d4_dispatch_t *d)
{
    size_t  begun;

    begun = ngx_d4_dispatch_begun(d);

    d->parked = begun + 1;

    /* one whose stream was not read to its end has something to come */

    d->missed = d->reading;

    if (begun && ngx_d4_dispatch_rewind(d) != NGX_OK) {
        ngx_d4_dispatch_again(d);
    }

    if (!d->waiting) {
        d->waiting = 1;

        if (d->reading) {
            ngx_d4_worker.nreading--;
        }
    }

    d->reading = 1;

    ngx_queue_remove(&d->queue);
    ngx_queue_insert_tail(&ngx_d4_worker.dispatches, &d->queue);

    ngx_d4_dispatch_unfavour(d);
}


/*
 * The decoder begins again at the border, as that of another owner would:
 * NGX_DECLINED where only the cursor knows how.
 */

static ngx_int_t
ngx_d4_dispatch_rewind(ngx_d4_dispatch_t *d)
{
    d4_decoder_t  *dec, *old;

    old = d->decoder;

    if (old == NULL) {
        d4_meta_free(d->meta);

    } else {
        if (old->preamble_len && old->preamble_version != d->state) {
            return NGX_DECLINED;
        }

        dec = ngx_d4_dispatch_create_decoder(d);
        if (dec == NULL) {
            return NGX_DECLINED;
        }

        if (old->preamble_len) {
            if (d4_decoder_restore(dec, old->preamble, old->preamble_len,
                                   d->committed.resume)
                != 0)
            {
                d4_decoder_free(dec);
                return NGX_DECLINED;
            }

            d->state = dec->preamble_version;
        }

        d4_decoder_free(old);
        d->decoder = dec;
    }

    ngx_d4_dispatch_drop_step(d);

    d->p = NULL;
    d->end = NULL;
    d->border = d->committed;
    d->at = d->committed;
    d->at.resume = 0;
    d->read_begun = 0;

    d4_border_init(&d->track, &d->committed);

    return NGX_OK;
}


size_t
ngx_d4_dispatch_begun(ngx_d4_dispatch_t *d)
{
    if (d->decoder == NULL) {
        return (d->meta && d->stream == D4_TYPE_META) ? d->meta->text.len : 0;
    }

    return d4_decoder_held(d->decoder);
}


/* It waits for more, and nothing else is under way. */

static ngx_uint_t
ngx_d4_dispatch_parkable(ngx_d4_dispatch_t *d)
{
    return !d->dead && !d->parked && d->cursor && !d->step && !d->done
           && !d->rejected && !d->restart && !d->retry && !d->accepting
           && !d->stashed && !d->ended && d != ngx_d4_turn
           && d->refs == (ngx_uint_t) d->posted
           && ngx_queue_empty(&d->input) && d->p == d->end;
}


ngx_uint_t
ngx_d4_dispatch_fits(ngx_d4_dispatch_t *d)
{
    return ngx_d4_dispatch_wants(d)
           && ngx_d4_worker.nreading < NGX_D4_ADOPTED
           && ngx_d4_worker.pool.held + d->parked
              + (ngx_d4_worker.nreading + 1) * NGX_D4_READ_BYTES
              <= ngx_d4_worker.conf->worker_memory / 8 * 3;
}


/* 1 when there is something for one that was parked to read. */

static ngx_uint_t
ngx_d4_dispatch_wants(ngx_d4_dispatch_t *d)
{
    return d->parked && !d->dead && d->refs == (ngx_uint_t) d->posted
           && (ngx_msec_int_t) (ngx_current_msec - d->read_at) >= 0
           && (d->missed || d->session == NULL
               || ngx_d4_session_stalled(d->session));
}


static ngx_d4_dispatch_t *
ngx_d4_dispatch_next(void)
{
    ngx_queue_t        *q;
    ngx_d4_dispatch_t  *d;

    for (q = ngx_queue_head(&ngx_d4_worker.dispatches);
         q != ngx_queue_sentinel(&ngx_d4_worker.dispatches);
         q = ngx_queue_next(q))
    {
        d = ngx_queue_data(q, ngx_d4_dispatch_t, queue);

        if (ngx_d4_dispatch_wants(d)) {
            return d;
        }
    }

    return NULL;
}


static void
ngx_d4_dispatch_favour(void)
{
    ngx_d4_turn = ngx_d4_dispatch_next();

    if (ngx_d4_turn == NULL) {
        return;
    }

    ngx_d4_turn_taken = ngx_d4_turn->track.taken;
    ngx_d4_turn_moved = ngx_current_msec;
    ngx_d4_turn_since = ngx_current_msec;

    ngx_d4_dispatch_unpark(ngx_d4_turn);
}


void
ngx_d4_dispatch_unpark(ngx_d4_dispatch_t *d)
{
    d->parked = 0;
    d->waiting = 0;
    ngx_d4_worker.nreading++;

    ngx_d4_dispatch_post(d);
}


void
ngx_d4_dispatch_unfavour(ngx_d4_dispatch_t *d)
{
    if (d == ngx_d4_turn) {
        ngx_d4_dispatch_favour();
    }
}


void
ngx_d4_dispatch_room_tick(void)
{
    size_t              least, limit;
    ngx_queue_t        *q, *next;
    ngx_d4_worker_t    *w;
    ngx_d4_dispatch_t  *d;

    w = &ngx_d4_worker;
    d = ngx_d4_turn;

    if (d == NULL) {
        ngx_d4_dispatch_favour();

    } else if (d->track.taken != ngx_d4_turn_taken
               && ngx_current_msec - ngx_d4_turn_since < NGX_D4_ROOM_TURN)
    {
        ngx_d4_turn_taken = d->track.taken;
        ngx_d4_turn_moved = ngx_current_msec;

    } else if (ngx_current_msec - ngx_d4_turn_moved >= NGX_D4_RELIEF
               && ngx_d4_dispatch_next() != NULL)
    {
        ngx_d4_dispatch_favour();
    }

    /* newcomers are refused from half on: the longest give way first */

    limit = w->conf->worker_memory / 2;

    if (w->pool.held < limit) {
        return;
    }

    limit = w->conf->worker_memory / 8 * 3;

    for (least = w->conf->worker_memory / 8; least; least /= 8) {

        for (q = ngx_queue_head(&w->dispatches);
             q != ngx_queue_sentinel(&w->dispatches);
             q = next)
        {
            next = ngx_queue_next(q);
            d = ngx_queue_data(q, ngx_d4_dispatch_t, queue);

            if (w->pool.held < limit) {
                return;
            }

            if (ngx_d4_dispatch_parkable(d)
                && ngx_d4_dispatch_begun(d) >= least)
            {
                ngx_d4_dispatch_park(d);
            }
        }
    }
}

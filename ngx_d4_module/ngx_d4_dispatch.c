
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_d4_dispatch.h"


static void ngx_d4_dispatch_post_handler(ngx_event_t *ev);
static ngx_uint_t ngx_d4_dispatch_step(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_end(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_clear(ngx_d4_dispatch_t *d);


static ngx_queue_t  ngx_d4_dispatch_posted;
static ngx_event_t  ngx_d4_dispatch_event;


void
ngx_d4_dispatch_init(void)
{
    ngx_queue_init(&ngx_d4_worker.dispatches);
    ngx_queue_init(&ngx_d4_dispatch_posted);

    ngx_d4_disk_init();
    ngx_d4_closing_init();
    ngx_d4_retention_init();

    ngx_memzero(&ngx_d4_dispatch_event, sizeof(ngx_event_t));

    ngx_d4_dispatch_event.handler = ngx_d4_dispatch_post_handler;
    ngx_d4_dispatch_event.data = &ngx_d4_worker;
    ngx_d4_dispatch_event.log = ngx_d4_worker.log;
}


ngx_d4_dispatch_t *
ngx_d4_dispatch_create(const char *sid, const char *hex, ngx_uint_t type)
{
    ngx_d4_dispatch_t  *d;

    d = ngx_calloc(sizeof(ngx_d4_dispatch_t), ngx_d4_worker.log);
    if (d == NULL) {
        return NULL;
    }

    /*
     * set by ngx_calloc():
     *
     *     d->session, d->meta, d->handler, d->decoder, d->file = NULL;
     *     d->p, d->end = NULL;
     *     all counters, positions and flags = 0;
     */

    ngx_memcpy(d->sid, sid, D4_SID);
    ngx_memcpy(d->hex, hex, ngx_min(ngx_strlen(hex), D4_UUID_HEX));

    d->type = (type == D4_TYPE_EXTENDED) ? (ngx_uint_t) D4_TYPE_META : type;
    d->stream = d->type;
    d->fd = NGX_INVALID_FILE;

    ngx_queue_init(&d->input);
    d4_blocks_init(&d->out, &ngx_d4_worker.pool);
    d4_blocks_init(&d->lines, &ngx_d4_worker.pool);
    d4_words_init(&d->a, &ngx_d4_worker.pool);
    d4_words_init(&d->b, &ngx_d4_worker.pool);
    d4_words_init(&d->commit, &ngx_d4_worker.pool);
    d4_carry_init(&d->stash, &ngx_d4_worker.pool);

    ngx_queue_insert_tail(&ngx_d4_worker.dispatches, &d->queue);
    ngx_d4_worker.ndispatches++;
    ngx_d4_stay();

    return d;
}


/*
 * The session stores its first frames.  Whether somebody else owns its cursor
 * is found out when it is opened.
 */

ngx_d4_dispatch_t *
ngx_d4_dispatch_begin(ngx_d4_session_t *s, ngx_uint_t first)
{
    ngx_d4_dispatch_t  *d;

    d = ngx_d4_dispatch_create(s->sid, s->hex, s->type);

    if (d == NULL) {
        return NULL;
    }

    d->session = s;

    if (!first) {
        d->reading = 1;
        ngx_d4_worker.nreading++;
    }

    return d;
}


ngx_int_t
ngx_d4_dispatch_input(ngx_d4_dispatch_t *d, d4_batch_t *batch)
{
    ngx_d4_input_t  *in;

    in = ngx_alloc(sizeof(ngx_d4_input_t), ngx_d4_worker.log);
    if (in == NULL) {
        return NGX_ERROR;
    }

    in->since = ngx_d4_now();
    in->batch = *batch;
    d4_batch_init(batch, &ngx_d4_worker.pool);

    if (d->undone == 0) {
        ngx_d4_dispatch_undone(d, in->since);
    }

    d->held += in->batch.out.held;
    d->frames += in->batch.frames;

    ngx_queue_insert_tail(&d->input, &in->queue);

    if (ngx_queue_head(&d->input) == &in->queue) {
        d4_payloads_init(&d->it, &in->batch);
    }

    return NGX_OK;
}


ngx_int_t
ngx_d4_dispatch_feed(ngx_d4_dispatch_t *d, d4_batch_t *batch)
{
    /* what is being read back will be found in the stream */

    if (d->rejected || ngx_d4_dispatch_reads(d)) {
        d->missed = 1;
        d4_batch_clear(batch);
        return NGX_OK;
    }

    if (ngx_d4_dispatch_input(d, batch) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_d4_dispatch_post(d);

    return NGX_OK;
}


ngx_uint_t
ngx_d4_dispatch_reads(ngx_d4_dispatch_t *d)
{
    return d->reading || d->restart;
}


/* What a session holds here, for its back-pressure. */

size_t
ngx_d4_dispatch_held(ngx_d4_dispatch_t *d, uint64_t *frames)
{
    *frames = d->frames;

    return d->held + d->out.held + d->lines.held + d->a.out.held
           + d->b.out.held;
}


void
ngx_d4_dispatch_retake(ngx_d4_session_t *s)
{
    if (s->dispatch) {
        ngx_d4_dispatch_free(s->dispatch);
    }

    s->dispatch = ngx_d4_dispatch_begin(s, 0);

    if (s->dispatch) {
        s->dispatch->retake = 1;
        ngx_d4_dispatch_post(s->dispatch);
    }
}


/* The session goes on under another sid; what it stored under this is all. */

void
ngx_d4_dispatch_detach(ngx_d4_dispatch_t *d)
{
    d->session = NULL;
    d->detached = 1;
    d->ended = 1;

    ngx_d4_dispatch_post(d);
}


/*
 * The session is over, and everything of it is in the stream and in the input.
 */

void
ngx_d4_dispatch_ended(ngx_d4_dispatch_t *d)
{
    d->session = NULL;
    d->ended = 1;

    ngx_d4_dispatch_post(d);
}


void
ngx_d4_dispatch_post(ngx_d4_dispatch_t *d)
{
    if (d->dead || d->posted) {
        return;
    }

    d->posted = 1;
    d->refs++;

    ngx_queue_insert_tail(&ngx_d4_dispatch_posted, &d->post_queue);
    ngx_post_event(&ngx_d4_dispatch_event, &ngx_posted_next_events);
}


static void
ngx_d4_dispatch_post_handler(ngx_event_t *ev)
{
    ngx_queue_t         *q, posted;
    ngx_d4_dispatch_t   *d;

    if (ngx_queue_empty(&ngx_d4_dispatch_posted)) {
        return;
    }

    /* those that post themselves again have their turn after all others */

    ngx_queue_init(&posted);
    ngx_queue_add(&posted, &ngx_d4_dispatch_posted);
    ngx_queue_init(&ngx_d4_dispatch_posted);

    while (!ngx_queue_empty(&posted)) {
        q = ngx_queue_head(&posted);
        d = ngx_queue_data(q, ngx_d4_dispatch_t, post_queue);

        ngx_queue_remove(q);
        d->posted = 0;

        if (!ngx_d4_dispatch_unref(d)) {
            ngx_d4_dispatch_work(d);
        }
    }
}


void
ngx_d4_dispatch_work(ngx_d4_dispatch_t *d)
{
    if (d->dead || d->waiting || d->refs > (ngx_uint_t) d->posted) {
        return;                            /* the answer leads here again */
    }

    if (d->restart) {
        ngx_d4_dispatch_again(d);
    }

    if (d->retry) {
        if ((ngx_msec_int_t) (ngx_current_msec - d->retry_at) < 0) {
            return;
        }

        d->retry = 0;
    }

    if (d->done) {
        ngx_d4_dispatch_end(d);
        return;
    }

    if (!ngx_d4_control_leased()) {
        return;                            /* nothing of it may be ours */
    }

    if (!d->cursor) {
        ngx_d4_dispatch_open(d);
        return;
    }

    if (d->rejected) {
        ngx_d4_dispatch_clear(d);

        if (!d->ended) {
            if (d->foreign) {
                ngx_d4_dispatch_tell(d);
            }

            return;
        }
    }

    if (!d->step) {
        ngx_d4_dispatch_decode(d);

        if (d->restart || d->refs > (ngx_uint_t) d->posted) {
            return;
        }

        if (d->rejected && !d->ended) {
            ngx_d4_dispatch_post(d);
            return;
        }
    }

    if (d->step) {
        if (ngx_d4_dispatch_step(d)) {
            ngx_d4_dispatch_later(d);
        }

        return;
    }

    if (d->reading) {
        ngx_d4_dispatch_read(d);
    }
}


/* 1 when the step has to be tried again. */

static ngx_uint_t
ngx_d4_dispatch_step(ngx_d4_dispatch_t *d)
{
    if (!d->written) {

        if (d->out.bytes && d->file == NULL) {

            /* a name is one in the data directory */

            if (!ngx_d4_disk_ready()) {
                return 1;
            }

            ngx_d4_dispatch_name(d);
            return 0;
        }

        /* whose it is has to be known before there is anything in it */

        if (d->out.bytes && !d->create && !d->owned) {
            ngx_d4_dispatch_own(d);
            return 0;
        }

        /* whether lines are wanted beside the paths of objects */

        if (d->nlines && !ngx_d4_targets_fresh(d)) {
            return 0;
        }

        if (d->out.bytes || d->nlines || d->new_meta) {
            return ngx_d4_disk_write(d) != NGX_OK;
        }

        d->written = 1;
    }

    if (!d->sealed && (d->a.count || d->b.count)
        && !ngx_d4_targets_fresh(d))
    {
        return 0;
    }

    ngx_d4_dispatch_commit(d);

    return 0;
}


/* All is committed: the stream goes, then the cursor, then d. */

static void
ngx_d4_dispatch_end(ngx_d4_dispatch_t *d)
{
    if (d->rejected && !d->ended) {
        return;                            /* its sensor is being sent away */
    }

    ngx_d4_dispatch_drop(d);
}


/* What was not decoded yet is not wanted any more. */

static void
ngx_d4_dispatch_clear(ngx_d4_dispatch_t *d)
{
    ngx_queue_t     *q;
    ngx_d4_input_t  *in;

    while (!ngx_queue_empty(&d->input)) {
        q = ngx_queue_head(&d->input);
        in = ngx_queue_data(q, ngx_d4_input_t, queue);

        ngx_queue_remove(q);
        d4_batch_clear(&in->batch);
        ngx_free(in);
    }

    ngx_d4_dispatch_undone(d, 0);

    d->held = 0;
    d->frames = 0;
    d->p = NULL;
    d->end = NULL;
}


/*
 * All that is in memory is forgotten; the cursor is opened again and the
 * stream is read from there on.  Not before what has it on its way is done
 * with it.
 */

void
ngx_d4_dispatch_restart(ngx_d4_dispatch_t *d)
{
    d->restart = 1;

    ngx_d4_dispatch_later(d);
}


void
ngx_d4_dispatch_again(ngx_d4_dispatch_t *d)
{
    d->restart = 0;

    ngx_d4_dispatch_clear(d);
    ngx_d4_dispatch_drop_step(d);
    ngx_d4_disk_close(d);

    if (d->file) {
        ngx_free(d->file);                 /* closed by opening the cursor */
        d->file = NULL;
    }

    if (d->decoder) {
        d4_decoder_free(d->decoder);
        d->decoder = NULL;
    }

    if (d->meta) {
        ngx_d4_dispatch_forget_meta(d);
    }

    if (!d->reading) {
        d->reading = 1;
        ngx_d4_worker.nreading++;
    }

    d->length = 0;
    d->cursor = 0;
    d->accepting = 0;
    d->read_begun = 0;
    d->sealed_stream = 0;
}


void
ngx_d4_dispatch_drop_step(ngx_d4_dispatch_t *d)
{
    d4_blocks_free(&d->out);
    d4_blocks_free(&d->lines);
    d4_words_free(&d->a);
    d4_words_free(&d->b);
    d4_words_free(&d->commit);
    d4_carry_free(&d->stash);

    d->nlines = 0;
    d->elements = 0;
    d->step = 0;
    d->sealed = 0;
    d->written = 0;
    d->rotate = 0;
    d->stashed = 0;
    d->new_meta = 0;
    d->finish = 0;
}


void
ngx_d4_dispatch_later(ngx_d4_dispatch_t *d)
{
    d->retry = 1;
    d->retry_at = ngx_current_msec + NGX_D4_DISPATCH_RETRY;
}


void
ngx_d4_dispatch_unusable(ngx_d4_dispatch_t *d, const char *what)
{
    if (d->unusable == 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "d4 dispatch of session %s of %s, type %ui, waits: the "
                      "%s in d4:cursor:%s of redis queues cannot be used, see "
                      "docs/dispatch.md", d->sid, d->hex, d->type, what,
                      d->sid);
    }

    d->unusable = d->unusable ? 2 * d->unusable : NGX_D4_DISPATCH_RETRY;
    d->unusable = ngx_min(d->unusable, NGX_D4_DISPATCH_LAST);
}


void
ngx_d4_dispatch_put_off(ngx_d4_dispatch_t *d)
{
    ngx_d4_dispatch_later(d);

    if (d->unusable == 0) {
        return;
    }

    d->retry_at = ngx_current_msec + d->unusable;

    /* one that waits for somebody does not take the turn of others */

    if (d->reading) {
        d->read_at = d->retry_at;

        if (!d->waiting) {
            d->waiting = 1;
            ngx_d4_worker.nreading--;
        }
    }
}


void
ngx_d4_dispatch_lose(ngx_d4_dispatch_t *d, const char *why)
{
    ngx_log_error(NGX_LOG_NOTICE, ngx_d4_worker.log, 0,
                  "d4 dispatch of session %s of %s is given up: %s", d->sid,
                  d->hex, why);

    ngx_d4_dispatch_free(d);
}


void
ngx_d4_dispatch_reject(ngx_d4_dispatch_t *d, const char *reason)
{
    u_char             key[sizeof("metadata_uuid:") + D4_UUID_HEX];
    u_char             text[NGX_D4_ERROR_TEXT];
    ngx_str_t          argv[4];
    ngx_d4_session_t  *s;

    d->rejected = 1;

    ngx_snprintf(text, sizeof(text), "Error: Type=%ui, %s%Z", d->type, reason);
    text[sizeof(text) - 1] = '\0';

    ngx_log_error(NGX_LOG_INFO, ngx_d4_worker.log, 0,
                  "d4 session %s of %s is rejected: type %ui, %s", d->sid,
                  d->hex, d->type, reason);

    ngx_d4_dispatch_count(d->type, NGX_D4_COUNT_REJECTED, 1);

    s = d->session;

    if (s != NULL) {
        ngx_d4_session_reject(s, (char *) text);
        return;
    }

    ngx_str_set(&argv[0], "HSET");
    ngx_d4_str(&argv[1], key, ngx_sprintf(key, "metadata_uuid:%s", d->hex)
                              - key);
    ngx_str_set(&argv[2], "Error");
    ngx_d4_str(&argv[3], text, ngx_strlen(text));

    (void) ngx_d4_redis_command(ngx_d4_worker.metadata, 4, argv, NULL, NULL);

    /* a session of the published server is for it to end */

    if (!d->foreign) {
        d->ended = 1;
    }
}


ngx_uint_t
ngx_d4_dispatch_unref(ngx_d4_dispatch_t *d)
{
    d->refs--;

    if (!d->dead) {
        return 0;
    }

    ngx_d4_closing_look();                 /* whatever it did is done */

    if (d->refs == 0) {
        ngx_d4_dispatch_free(d);
    }

    return 1;
}


ngx_uint_t
ngx_d4_dispatch_succeeded(ngx_d4_dispatch_t *d, ngx_d4_redis_t *rd,
    redisReply *reply, const char *what)
{
    if (reply == NULL) {
        return 0;                          /* tried again when it is back */
    }

    if (reply->type != REDIS_REPLY_ERROR) {
        ngx_d4_redis_writes(rd, NULL);
        return 1;
    }

    if (ngx_d4_redis_try_again(reply)) {
        ngx_d4_redis_writes(rd, reply);

    } else {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "d4 dispatch of session %s: %s failed: %*s", d->sid,
                      what, (size_t) ngx_min(reply->len, 200), reply->str);
    }

    ngx_d4_dispatch_later(d);

    return 0;
}


void
ngx_d4_dispatch_free(ngx_d4_dispatch_t *d)
{
    if (!d->dead) {
        d->dead = 1;

        if (d->session) {
            d->session->dispatch = NULL;
            d->session = NULL;
        }

        ngx_d4_dispatch_unfavour(d);
    }

    if (d->refs) {
        return;
    }

    ngx_d4_disk_close(d);
    ngx_d4_dispatch_clear(d);

    ngx_d4_dispatch_drop_step(d);
    ngx_d4_targets_free(&d->targets);

    if (d->decoder) {
        d4_decoder_free(d->decoder);
    }

    if (d->meta) {
        ngx_d4_dispatch_forget_meta(d);
    }

    if (d->file) {
        ngx_free(d->file);
    }

    if (d->former_file) {
        ngx_free(d->former_file);
        ngx_d4_closing_look();
    }

    if (d->reading && !d->waiting) {
        ngx_d4_worker.nreading--;
    }

    ngx_queue_remove(&d->queue);
    ngx_d4_worker.ndispatches--;

    ngx_free(d);
}


/* A Redis came back: what was asked for is asked again. */

void
ngx_d4_dispatches_work(void)
{
    ngx_queue_t        *q;
    ngx_d4_dispatch_t  *d;

    for (q = ngx_queue_head(&ngx_d4_worker.dispatches);
         q != ngx_queue_sentinel(&ngx_d4_worker.dispatches);
         q = ngx_queue_next(q))
    {
        d = ngx_queue_data(q, ngx_d4_dispatch_t, queue);

        ngx_d4_dispatch_post(d);
    }
}


/*
 * Each tick: what is to be tried again, what was taken over and has its turn
 * now, files whose time is over.
 */

void
ngx_d4_dispatches_tick(void)
{
    ngx_queue_t        *q;
    ngx_d4_worker_t    *w;
    ngx_d4_dispatch_t  *d;

    w = &ngx_d4_worker;

    ngx_d4_dispatch_room_tick();

    for (q = ngx_queue_head(&w->dispatches);
         q != ngx_queue_sentinel(&w->dispatches);
         q = ngx_queue_next(q))
    {
        d = ngx_queue_data(q, ngx_d4_dispatch_t, queue);

        if (d->dead || d->refs) {
            continue;
        }

        if (d->parked) {
            if (ngx_d4_dispatch_fits(d)) {
                ngx_d4_dispatch_unpark(d);
            }

            continue;
        }

        if (d->waiting) {
            if (w->nreading >= NGX_D4_ADOPTED
                || (ngx_msec_int_t) (ngx_current_msec - d->read_at) < 0)
            {
                continue;
            }

            w->nreading++;
            d->waiting = 0;
        }

        if (d->retry) {
            if ((ngx_msec_int_t) (ngx_current_msec - d->retry_at) >= 0) {
                ngx_d4_dispatch_post(d);
            }

            continue;
        }

        if (!d->cursor || d->step || d->done || d->reading || d->ended
            || !ngx_queue_empty(&d->input)
            || (d->file && ngx_d4_dispatch_expired(d)))
        {
            ngx_d4_dispatch_post(d);
        }
    }

    if (w->conf->dispatch) {
        ngx_d4_disk_tick();
        ngx_d4_closing_tick();
        ngx_d4_retention_tick();
        ngx_d4_dispatch_stat_tick();
    }
}


/* The time to exit is up: another worker goes on from the cursors. */

void
ngx_d4_dispatches_abandon(void)
{
    if (ngx_d4_worker.ndispatches) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_d4_worker.log, 0,
                      "d4: %ui sessions left to be dispatched by another "
                      "worker", ngx_d4_worker.ndispatches);
    }
}

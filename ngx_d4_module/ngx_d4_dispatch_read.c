
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * A stream read back from Redis: of a session whose worker is gone, of one
 * that the published server left, or of a live one of which this worker does
 * not have everything in memory any more.  What is read becomes input like
 * that of a live session.
 */


#include "ngx_d4_dispatch.h"

#include <signal.h>


#define NGX_D4_READ_MAX    4096            /* entries of one answer */
#define NGX_D4_READ_FEW    8               /* that Redis reads at a time */
#define NGX_D4_READ_WAIT   1000            /* ms, for a stream that may grow */
#define NGX_D4_READ_GRACE  60              /* s an owner of another host gets
                                              to come back */


static void ngx_d4_dispatch_read_handler(void *data, redisReply *reply);
static ngx_uint_t ngx_d4_dispatch_entries(ngx_d4_dispatch_t *d,
    redisReply *reply);
static ngx_int_t ngx_d4_dispatch_entry(ngx_d4_dispatch_t *d,
    d4_batch_t *batch, redisReply *reply);
static void ngx_d4_dispatch_explain(ngx_d4_dispatch_t *d, uint64_t ms,
    uint64_t n, size_t len);
static void ngx_d4_dispatch_at_end(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_wait(ngx_d4_dispatch_t *d);
static ngx_uint_t ngx_d4_dispatch_owner_lives(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_close_stream(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_closed_handler(void *data, redisReply *reply);
static void ngx_d4_dispatch_told_handler(void *data, redisReply *reply);


void
ngx_d4_dispatch_read(ngx_d4_dispatch_t *d)
{
    u_char      key[NGX_D4_STREAM_KEY], id[2 * NGX_INT64_LEN + 3];
    u_char      few[NGX_INT_T_LEN], max[NGX_INT_T_LEN], bytes[NGX_INT_T_LEN];
    u_char     *p;
    ngx_str_t   argv[5];
    ngx_uint_t  n;

    if (d->accepting
        || (ngx_msec_int_t) (ngx_current_msec - d->read_at) < 0)
    {
        return;
    }

    if (!ngx_d4_dispatch_room(d)) {
        ngx_d4_dispatch_park(d);
        return;
    }

    /* the entry that the cursor stands in may have been dealt with in part */

    p = id;

    if (d->read_begun) {
        *p++ = '(';

    } else {
        d->read = d->border;
    }

    /* whatever comes, an answer is no longer than this and so many entries */

    n = NGX_D4_READ_BYTES / (d->largest + 1);
    n = ngx_max(1, ngx_min(n, NGX_D4_READ_FEW));

    ngx_d4_str(&argv[0], key, ngx_sprintf(key, "stream:%ui:%s", d->stream,
                                          d->sid)
                              - key);
    ngx_d4_str(&argv[1], id, ngx_sprintf(p, "%uL-%uL", d->read.ms, d->read.n)
                             - id);
    ngx_d4_str(&argv[2], max, ngx_sprintf(max, "%ui",
                                          (ngx_uint_t) NGX_D4_READ_MAX)
                              - max);
    ngx_d4_str(&argv[3], bytes, ngx_sprintf(bytes, "%ui",
                                            (ngx_uint_t) NGX_D4_READ_BYTES)
                                - bytes);
    ngx_d4_str(&argv[4], few, ngx_sprintf(few, "%ui", n) - few);

    d->missed = 0;

    if (ngx_d4_script(ngx_d4_worker.streams, NGX_D4_SCRIPT_READ, 5, argv,
                      ngx_d4_dispatch_read_handler, d)
        == NGX_OK)
    {
        d->refs++;
    }
}


static void
ngx_d4_dispatch_read_handler(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    if (ngx_d4_dispatch_unref(d)) {
        return;
    }

    if (!ngx_d4_dispatch_succeeded(d, ngx_d4_worker.streams, reply, "read")) {
        return;
    }

    if (!ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY)) {
        ngx_d4_dispatch_later(d);
        return;
    }

    if (reply->elements == 0) {

        if (d->former_file) {
            ngx_d4_dispatch_close_former(d);
        }

        ngx_d4_dispatch_at_end(d);
        return;
    }

    if (ngx_d4_dispatch_entries(d, reply) != reply->elements) {
        ngx_d4_dispatch_restart(d);        /* no memory */
        return;
    }

    d->sealed_stream = 0;

    ngx_d4_dispatch_work(d);
}


static ngx_uint_t
ngx_d4_dispatch_entries(ngx_d4_dispatch_t *d, redisReply *reply)
{
    ngx_uint_t  i;
    d4_batch_t  batch;

    d4_batch_init(&batch, &ngx_d4_worker.pool);

    for (i = 0; i < reply->elements; i++) {
        if (ngx_d4_dispatch_entry(d, &batch, reply->element[i]) != NGX_OK) {
            break;
        }
    }

    if (i == reply->elements
        && ngx_d4_dispatch_input(d, &batch) != NGX_OK)
    {
        i = 0;
    }

    d4_batch_clear(&batch);

    return i;
}


static ngx_int_t
ngx_d4_dispatch_entry(ngx_d4_dispatch_t *d, d4_batch_t *batch,
    redisReply *reply)
{
    char         *p;
    size_t        i;
    uint64_t      ms, n;
    redisReply   *fields, *message;
    d4_header_t   h;

    if (!ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY) || reply->elements != 2
        || !ngx_d4_reply_text(reply->element[0]))
    {
        return NGX_ERROR;
    }

    fields = reply->element[1];
    message = NULL;

    ms = strtoull(reply->element[0]->str, &p, 10);
    n = (*p == '-') ? strtoull(p + 1, NULL, 10) : 0;

    if (ngx_d4_reply_is(fields, REDIS_REPLY_ARRAY)) {
        for (i = 0; i + 1 < fields->elements; i += 2) {
            if (ngx_d4_reply_text(fields->element[i])
                && ngx_d4_reply_text(fields->element[i + 1])
                && ngx_strcmp(fields->element[i]->str, "message") == 0)
            {
                message = fields->element[i + 1];
            }
        }
    }

    ngx_memzero(&h, sizeof(d4_header_t));

    h.type = (uint8_t) d->stream;
    h.size = message ? (uint32_t) message->len : 0;

    if (d4_batch_begin(batch, d->sid, &h, ms, n, 0) != 0
        || (message && d4_batch_data(batch, (u_char *) message->str,
                                     message->len)
                       != 0)
        || d4_batch_commit(batch, &h) != 0)
    {
        return NGX_ERROR;
    }

    if (d->former_file) {
        ngx_d4_dispatch_explain(d, ms, n, h.size);
    }

    d->largest = ngx_max(d->largest, h.size);
    d->read.ms = ms;
    d->read.n = n;
    d->read_begun = 1;

    return NGX_OK;
}


/*
 * What the file of the former owner has beyond the cursor is what this owner
 * makes of the same entries, up to the first one that is missing: the ids of
 * our own sessions are dense, while those of the published server are Redis'
 * own.
 */

static void
ngx_d4_dispatch_explain(ngx_d4_dispatch_t *d, uint64_t ms, uint64_t n,
    size_t len)
{
    uint64_t            done;
    ngx_d4_position_t  *at;

    at = &d->former_at;

    if (ms < at->ms
        || (ms == at->ms && (n < at->n || (n == at->n && d->former_begun))))
    {
        return;                            /* it was read before */
    }

    if (!d->foreign && at->n != 0 && ms == at->ms && n > at->n + 1) {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "d4 session %s of %s: %uL entries are missing in its "
                      "stream before %uL-%uL", d->sid, d->hex,
                      n - at->n - 1, ms, n);

        ngx_d4_dispatch_close_former(d);
        return;
    }

    /* the cursor may stand behind the entry that it names */

    done = ngx_min(at->off, len);

    d->former_known += len - done;
    d->former_begun = 1;

    at->ms = ms;
    at->n = n;
    at->off -= done;
}


void
ngx_d4_dispatch_close_former(ngx_d4_dispatch_t *d)
{
    ngx_d4_closing_add(d->former_file, d->former_length, d->former_inode,
                       d->hex, d->type, &d->ext, d->former_known);

    ngx_free(d->former_file);
    d->former_file = NULL;
}


/*
 * Nothing is left to read, for now or for good.  Nothing can come any more
 * when the session has ended and its end was made final: until then an owner
 * that only slept may take it back.
 */

static void
ngx_d4_dispatch_at_end(ngx_d4_dispatch_t *d)
{
    if (d->session && d->missed) {
        ngx_d4_dispatch_read(d);
        return;
    }

    if (d->session || d->ended || d->sealed_stream) {
        d->reading = 0;
        d->ended = (d->session == NULL);
        ngx_d4_worker.nreading--;

        if (ngx_d4_dispatch_begun(d) == 0) {
            ngx_d4_dispatch_unfavour(d);
        }

        ngx_d4_dispatch_work(d);
        return;
    }

    if (ngx_d4_dispatch_owner_lives(d)) {
        ngx_d4_dispatch_wait(d);
        return;
    }

    ngx_d4_dispatch_close_stream(d);
}


/* For more to come, and while others have their turn. */

static void
ngx_d4_dispatch_wait(ngx_d4_dispatch_t *d)
{
    d->read_at = ngx_current_msec + NGX_D4_READ_WAIT;
    d->waiting = 1;

    ngx_d4_worker.nreading--;

    ngx_queue_remove(&d->queue);
    ngx_queue_insert_tail(&ngx_d4_worker.dispatches, &d->queue);

    ngx_d4_dispatch_unfavour(d);
}


/* The process is there: it sleeps, or another one has its number by now. */

static ngx_uint_t
ngx_d4_dispatch_owner_lives(ngx_d4_dispatch_t *d)
{
    /* the published server does not take back what it has called ended */

    if (d->foreign || d->adopted == 0
        || ngx_time() - d->adopted >= NGX_D4_READ_GRACE)
    {
        return 0;
    }

    return d->former_pid == 0
           || kill(d->former_pid, 0) == 0 || ngx_errno != NGX_ESRCH;
}


static void
ngx_d4_dispatch_close_stream(ngx_d4_dispatch_t *d)
{
    u_char     type[NGX_INT_T_LEN];
    ngx_str_t  argv[2];

    ngx_d4_str(&argv[0], d->sid, D4_SID);
    ngx_d4_str(&argv[1], type, ngx_sprintf(type, "%ui", d->type) - type);

    if (ngx_d4_script(ngx_d4_worker.streams, NGX_D4_SCRIPT_SEAL, 2, argv,
                      ngx_d4_dispatch_closed_handler, d)
        == NGX_OK)
    {
        d->refs++;
    }
}


static void
ngx_d4_dispatch_closed_handler(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    if (ngx_d4_dispatch_unref(d)) {
        return;
    }

    if (!ngx_d4_dispatch_succeeded(d, ngx_d4_worker.streams, reply, "seal")) {
        return;
    }

    if (ngx_d4_reply_int(reply)) {
        d->sealed_stream = 1;
        ngx_d4_dispatch_read(d);           /* what came before it */
        return;
    }

    ngx_d4_dispatch_wait(d);

    if (!d->foreign) {
        ngx_d4_dispatch_verify(d);         /* its owner took it back */
    }
}


/*
 * As long as the published server has not ended the session its stream stays,
 * so that whoever takes it over rejects it again.
 */

void
ngx_d4_dispatch_tell(ngx_d4_dispatch_t *d)
{
    ngx_str_t  argv[1];

    if ((ngx_msec_int_t) (ngx_current_msec - d->read_at) < 0) {
        return;
    }

    ngx_d4_str(&argv[0], d->sid, D4_SID);

    if (ngx_d4_script(ngx_d4_worker.streams, NGX_D4_SCRIPT_TELL, 1, argv,
                      ngx_d4_dispatch_told_handler, d)
        == NGX_OK)
    {
        d->refs++;
    }
}


static void
ngx_d4_dispatch_told_handler(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    if (ngx_d4_dispatch_unref(d)) {
        return;
    }

    if (!ngx_d4_dispatch_succeeded(d, ngx_d4_worker.streams, reply, "tell")) {
        return;
    }

    if (ngx_d4_reply_int(reply)) {
        d->ended = 1;
        ngx_d4_dispatch_work(d);
        return;
    }

    ngx_d4_dispatch_wait(d);
}

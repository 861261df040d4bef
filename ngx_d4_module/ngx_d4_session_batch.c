
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * From received frames to stored entries.  One transaction is on its way at a
 * time and is kept until Redis has said what became of it; the ids within it
 * are fixed, so that repeating one that was carried out changes nothing.
 */


#include "ngx_d4_session.h"


static ngx_int_t ngx_d4_session_prepare(ngx_d4_session_t *s);
static ngx_int_t ngx_d4_session_seal(ngx_d4_session_t *s);
static void ngx_d4_session_sent(void *data, redisReply *reply);
static void ngx_d4_session_delay(ngx_d4_session_t *s);
static void ngx_d4_session_outcome(ngx_d4_session_t *s, redisReply *reply);
static void ngx_d4_session_stored(ngx_d4_session_t *s);
static void ngx_d4_session_dispatch(ngx_d4_session_t *s);
static ngx_uint_t ngx_d4_session_looks_at(ngx_d4_session_t *s);
static void ngx_d4_session_compare(ngx_d4_session_t *s, redisReply *reply);
static void ngx_d4_session_looked(void *data, redisReply *reply);
static ngx_int_t ngx_d4_session_last_id(redisReply *reply, uint64_t *ms,
    uint64_t *n);
static void ngx_d4_session_counted(void *data, redisReply *reply);


static size_t
ngx_d4_session_stream(ngx_d4_session_t *s, u_char *key, ngx_uint_t type)
{
    u_char  *p;

    p = ngx_sprintf(key, "stream:%ui:%s", type, s->sid);
    *p = '\0';

    return p - key;
}


void
ngx_d4_session_send(ngx_d4_session_t *s)
{
    ngx_int_t  rc;

    if (s->sending || s->look || s->renew || s->recreate || s->begin) {
        return;
    }

    if (s->delayed) {
        if ((ngx_msec_int_t) (ngx_current_msec - s->send_at) < 0) {
            ngx_d4_session_again(s, s->send_at - ngx_current_msec);
            return;
        }

        s->delayed = 0;
    }

    if (s->inflight.frames == 0 && s->pending.frames == 0) {
        return;
    }

    if ((s->inflight.frames == 0 && ngx_d4_session_prepare(s) != NGX_OK)
        || (!s->inflight.sealed && ngx_d4_session_seal(s) != NGX_OK))
    {
        ngx_d4_session_delay(s);
        return;
    }

    /* who may have lost the slot without knowing it does not write */

    if (!ngx_d4_control_leased()) {
        return;
    }

    rc = ngx_d4_redis_blocks(ngx_d4_worker.streams, &s->inflight.out,
                             s->inflight.commands + 2, ngx_d4_session_sent, s);

    if (rc == NGX_OK) {
        s->sending = 1;
        s->refs++;

    } else if (rc == NGX_ERROR) {
        ngx_d4_session_delay(s);
    }
}


/*
 * Takes what is pending; the frame being received opens the next batch.
 */

static ngx_int_t
ngx_d4_session_prepare(ngx_d4_session_t *s)
{
    d4_batch_t  next;

    d4_batch_init(&next, &ngx_d4_worker.pool);

    if (d4_batch_split(&s->pending, &next) != 0) {
        return NGX_ERROR;
    }

    s->inflight = s->pending;
    s->pending = next;

    ngx_memcpy(s->inflight_count, s->pending_count, sizeof(s->pending_count));
    ngx_memzero(s->pending_count, sizeof(s->pending_count));

    s->listing = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_d4_session_seal(ngx_d4_session_t *s)
{
    u_char       key[NGX_D4_STREAM_KEY];
    const char  *argv[3];

    /* type 2 stands for 2 and 254 */

    if (!s->listed && !s->listing) {
        (void) ngx_sprintf(key, "session_uuid:%ui%Z",
                           s->type == D4_TYPE_EXTENDED
                           ? (ngx_uint_t) D4_TYPE_META : s->type);

        argv[0] = "SADD";
        argv[1] = (const char *) key;
        argv[2] = s->sid;

        if (d4_batch_command(&s->inflight, 3, argv) != 0) {
            return NGX_ERROR;
        }

        s->listing = 1;
    }

    (void) ngx_d4_session_stream(s, key, s->type);

    argv[0] = "XLEN";
    argv[1] = (const char *) key;

    if (d4_batch_command(&s->inflight, 2, argv) != 0
        || d4_batch_seal(&s->inflight) != 0)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * What will not be stored any more.
 */

void
ngx_d4_session_discard(ngx_d4_session_t *s)
{
    d4_batch_clear(&s->inflight);
    d4_batch_clear(&s->pending);

    ngx_memzero(s->inflight_count, sizeof(s->inflight_count));
    ngx_memzero(s->pending_count, sizeof(s->pending_count));
}


static void
ngx_d4_session_delay(ngx_d4_session_t *s)
{
    s->retry = s->retry ? ngx_min(s->retry * 2, NGX_D4_RETRY_MAX)
                        : NGX_D4_RETRY_MIN;
    s->delayed = 1;
    s->send_at = ngx_current_msec + s->retry;

    ngx_d4_session_again(s, s->retry);
}


static void
ngx_d4_session_sent(void *data, redisReply *reply)
{
    ngx_d4_session_t  *s = data;

    s->sending = 0;

    if (ngx_d4_session_unref(s)) {
        return;
    }

    if (reply == NULL) {
        s->look = 1;
        ngx_d4_session_work(s);
        return;
    }

    if (ngx_d4_reply_is(reply, REDIS_REPLY_ERROR)) {

        /* nothing of it was carried out */

        ngx_d4_redis_writes(ngx_d4_worker.streams, reply);
        ngx_d4_session_delay(s);
        ngx_d4_session_work(s);
        return;
    }

    if (!ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY)
        || reply->elements != s->inflight.commands)
    {
        ngx_log_error(NGX_LOG_ALERT, ngx_d4_worker.log, 0,
                      "d4 session %s: unexpected answer to a batch", s->sid);
        s->look = 1;
        ngx_d4_session_delay(s);
        ngx_d4_session_work(s);
        return;
    }

    ngx_d4_session_outcome(s, reply);
}


/*
 * The entries of a batch share their fate: their streams exist or not, and
 * their ids are new or not.
 */

static void
ngx_d4_session_outcome(ngx_d4_session_t *s, redisReply *reply)
{
    redisReply  *first, *last;

    first = reply->element[0];
    last = reply->element[reply->elements - 1];

    switch (first->type) {

    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        ngx_d4_redis_writes(ngx_d4_worker.streams, NULL);
        s->retry = 0;

        if (ngx_d4_reply_is(last, REDIS_REPLY_INTEGER)) {
            s->backlog = last->integer;
        }

        ngx_d4_session_stored(s);
        return;

    case REDIS_REPLY_ERROR:

        /* the ids are there already, or somebody has closed the stream */

        if (ngx_strncmp(first->str, "ERR The ID specified", 20) == 0) {
            s->refused = 1;
            s->look = 1;
            ngx_d4_session_work(s);
            return;
        }

        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "d4 session %s: entry refused: %*s", s->sid,
                      (size_t) ngx_min(first->len, 200), first->str);

        ngx_d4_session_delay(s);

        /* fall through */

    default:

        /* nil: the stream was deleted under the session */

        s->renew = 1;
        ngx_d4_session_work(s);
        return;
    }
}


static void
ngx_d4_session_stored(ngx_d4_session_t *s)
{
    ngx_uint_t        i;
    ngx_d4_count_t   *count;
    ngx_d4_shared_t  *sh;

    sh = ngx_d4_worker.shared;

    for (i = 0; i < 2; i++) {
        count = &s->inflight_count[i];

        if (count->frames == 0) {
            continue;
        }

        s->stored[i] += count->frames;
        s->total.frames += count->frames;
        s->total.bytes += count->bytes;

        ngx_d4_stat_add(s, i, count);

        if (s->node) {
            (void) ngx_atomic_fetch_add(&s->node->frames, count->frames);
            (void) ngx_atomic_fetch_add(&s->node->bytes, count->bytes);
        }

        (void) ngx_atomic_fetch_add(&sh->frames, count->frames);
        (void) ngx_atomic_fetch_add(&sh->bytes, count->bytes);
    }

    if (s->listing) {
        s->listing = 0;
        s->listed = 1;
    }

    ngx_d4_session_dispatch(s);

    d4_batch_clear(&s->inflight);
    ngx_memzero(s->inflight_count, sizeof(s->inflight_count));

    ngx_d4_sessions_relieve();
    ngx_d4_session_resume(s);
    ngx_d4_session_work(s);
}


/*
 * What was stored goes on to the dispatcher.  One that gets not all of it from
 * the first frame on finds the rest in the stream.
 */

static void
ngx_d4_session_dispatch(ngx_d4_session_t *s)
{
    if (!ngx_d4_worker.conf->dispatch) {
        return;
    }

    if (s->dispatch == NULL) {
        s->dispatch = ngx_d4_dispatch_begin(s, s->stored[0] + s->stored[1]
                                               == s->inflight.frames);
        if (s->dispatch == NULL) {
            return;
        }
    }

    if (ngx_d4_dispatch_feed(s->dispatch, &s->inflight) != NGX_OK) {
        ngx_d4_dispatch_restart(s->dispatch);
    }

    /* what it has not dealt with it counts itself, unless it reads it back */

    if (!ngx_d4_dispatch_reads(s->dispatch)) {
        s->backlog = 0;
    }
}


/*
 * After a connection was lost, or when ids were refused: the last id of the
 * stream tells whether the batch on its way was carried out, and whether Redis
 * still has what it had acknowledged.  One that lies a millisecond on, with
 * the number kept, says that the session was taken for dead (see the END
 * script).
 */

void
ngx_d4_session_look(ngx_d4_session_t *s)
{
    u_char      key[NGX_D4_STREAM_KEY];
    ngx_str_t   argv[3];
    ngx_uint_t  type;

    if (s->looking || s->sending || s->recreate) {
        return;
    }

    type = ngx_d4_stream_type(s, ngx_d4_session_looks_at(s));

    ngx_str_set(&argv[0], "XINFO");
    ngx_str_set(&argv[1], "STREAM");
    ngx_d4_str(&argv[2], key, ngx_d4_session_stream(s, key, type));

    if (ngx_d4_redis_command(ngx_d4_worker.streams, 3, argv,
                             ngx_d4_session_looked, s)
        == NGX_OK)
    {
        s->looking = 1;
        s->refs++;
    }
}


/* the later of the session's streams that Redis may know */

static ngx_uint_t
ngx_d4_session_looks_at(ngx_d4_session_t *s)
{
    return s->inflight_count[1].frames != 0 || s->stored[1] != 0;
}


static void
ngx_d4_session_looked(void *data, redisReply *reply)
{
    ngx_d4_session_t  *s = data;

    s->looking = 0;

    if (ngx_d4_session_unref(s)) {
        return;
    }

    if (reply == NULL
        || (ngx_d4_reply_is(reply, REDIS_REPLY_ERROR)
            && ngx_d4_redis_try_again(reply)))
    {
        ngx_d4_session_again(s, NGX_D4_RETRY_MAX);
        return;
    }

    s->look = 0;

    ngx_d4_session_compare(s, reply);
}


static void
ngx_d4_session_compare(ngx_d4_session_t *s, redisReply *reply)
{
    uint64_t    ms, n;
    ngx_uint_t  i, refused;

    i = ngx_d4_session_looks_at(s);

    refused = s->refused;
    s->refused = 0;

    if (ngx_d4_session_last_id(reply, &ms, &n) != NGX_OK
        || (ms != s->start && ms != s->start + 1))
    {
        /* nothing was stored yet, or nothing is there any more */

        s->renew |= (s->stored[i] != 0);
        ngx_d4_session_work(s);
        return;
    }

    if (n < s->stored[i]) {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "redis streams lost %uL acknowledged frames of d4 "
                      "session %s of %s", s->stored[i] - n, s->sid, s->hex);
    }

    if (s->inflight.frames
        && n >= s->stored[i] + s->inflight_count[i].frames)
    {
        s->retry = 0;
        s->renew |= (ms != s->start);
        ngx_d4_session_stored(s);
        return;
    }

    s->renew |= (ms != s->start || refused);
    ngx_d4_session_work(s);
}


static ngx_int_t
ngx_d4_session_last_id(redisReply *reply, uint64_t *ms, uint64_t *n)
{
    char    *p;
    size_t   i;

    if (!ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY)) {
        return NGX_DECLINED;
    }

    for (i = 0; i + 1 < reply->elements; i += 2) {

        if (!ngx_d4_reply_text(reply->element[i])
            || !ngx_d4_reply_text(reply->element[i + 1])
            || ngx_strcmp(reply->element[i]->str, "last-generated-id") != 0)
        {
            continue;
        }

        *ms = strtoull(reply->element[i + 1]->str, &p, 10);

        if (*p != '-') {
            return NGX_DECLINED;
        }

        *n = strtoull(p + 1, NULL, 10);

        return NGX_OK;
    }

    return NGX_DECLINED;
}


/*
 * How far a consumer has come, while only he is waited for.
 */

void
ngx_d4_session_count(ngx_d4_session_t *s)
{
    u_char      key[NGX_D4_STREAM_KEY];
    ngx_str_t   argv[2];

    if (s->dispatch && !ngx_d4_dispatch_reads(s->dispatch)) {
        s->backlog = 0;
        ngx_d4_session_resume(s);
        return;
    }

    if (s->counting || s->sending
        || (ngx_msec_int_t) (ngx_current_msec - s->backlog_at) < 0)
    {
        return;
    }

    ngx_str_set(&argv[0], "XLEN");
    ngx_d4_str(&argv[1], key, ngx_d4_session_stream(s, key, s->type));

    if (ngx_d4_redis_command(ngx_d4_worker.streams, 2, argv,
                             ngx_d4_session_counted, s)
        == NGX_OK)
    {
        s->counting = 1;
        s->refs++;
        s->backlog_at = ngx_current_msec + NGX_D4_BACKLOG_LOOK;
    }
}


static void
ngx_d4_session_counted(void *data, redisReply *reply)
{
    ngx_d4_session_t  *s = data;

    s->counting = 0;

    if (ngx_d4_session_unref(s)) {
        return;
    }

    if (reply && ngx_d4_reply_is(reply, REDIS_REPLY_INTEGER)) {
        s->backlog = reply->integer;
        ngx_d4_session_resume(s);
    }
}

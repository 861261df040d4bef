
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * A session whose worker was taken for dead, though it only slept: its streams
 * are fenced and somebody else dispatches them.  Nothing of it was lost, so it
 * takes them back as they are, unless their end was made final meanwhile.
 * Then, or when they were deleted, it goes on under a new sid.
 */


#include "ngx_d4_session.h"


typedef struct {
    u_char                   type[2][NGX_INT_T_LEN];
    u_char                   id[2][2 * NGX_INT64_LEN + 2];
} ngx_d4_stream_ids_t;


static void ngx_d4_session_retake(ngx_d4_session_t *s);
static void ngx_d4_session_retaken(void *data, redisReply *reply);
static void ngx_d4_session_rename(ngx_d4_session_t *s);
static void ngx_d4_session_recreated(void *data, redisReply *reply);
static ngx_uint_t ngx_d4_session_streams(ngx_d4_session_t *s,
    ngx_str_t *argv, ngx_d4_stream_ids_t *ids);


void
ngx_d4_session_renew(ngx_d4_session_t *s)
{
    /*
     * What was on its way may be stored under the name that the session has:
     * that is found out first.
     */

    if (s->sending || s->look || s->looking || s->recreating || s->recreate
        || s->beginning || s->claiming || s->asking || s->flushing
        || s->retaking)
    {
        return;                            /* the answer leads here again */
    }

    if (ngx_d4_worker.conf->dispatch && !s->taken
        && s->stored[0] + s->stored[1] != 0)
    {
        ngx_d4_session_retake(s);
        return;
    }

    ngx_d4_session_rename(s);
}


static void
ngx_d4_session_retake(ngx_d4_session_t *s)
{
    u_char               type[NGX_INT_T_LEN];
    ngx_str_t            argv[7];
    ngx_uint_t           n;
    ngx_d4_stream_ids_t  ids;

    if (ngx_d4_session_held(s)) {
        return;
    }

    ngx_d4_str(&argv[0], s->hex, D4_UUID_HEX);
    ngx_d4_str(&argv[1], type, ngx_sprintf(type, "%ui", s->type) - type);
    ngx_d4_str(&argv[2], s->sid, D4_SID);

    n = 3 + ngx_d4_session_streams(s, &argv[3], &ids);

    if (ngx_d4_script(ngx_d4_worker.streams, NGX_D4_SCRIPT_RETAKE, n, argv,
                      ngx_d4_session_retaken, s)
        == NGX_OK)
    {
        s->retaking = 1;
        s->refs++;
    }
}


static void
ngx_d4_session_retaken(void *data, redisReply *reply)
{
    ngx_d4_session_t  *s = data;

    s->retaking = 0;

    if (ngx_d4_session_unref(s)) {
        return;
    }

    if (!ngx_d4_session_succeeded(s, reply, "return")) {
        ngx_d4_session_work(s);
        return;
    }

    s->taken = 1;

    if (ngx_d4_reply_int(reply)) {
        s->renew = 0;
        s->taken = 0;
        s->begin = 1;
        s->reclaim = 1;
        s->former[0] = '\0';

        ngx_log_error(NGX_LOG_NOTICE, ngx_d4_worker.log, 0,
                      "d4 session %s of %s goes on after it was taken for "
                      "dead", s->sid, s->hex);

        ngx_d4_dispatch_retake(s);
    }

    ngx_d4_session_work(s);
}


/*
 * The session's streams are closed or gone: it goes on under a new sid.
 */

static void
ngx_d4_session_rename(ngx_d4_session_t *s)
{
    s->renew = 0;
    s->taken = 0;

    if (s->dispatch) {
        ngx_d4_dispatch_detach(s->dispatch);
        s->dispatch = NULL;
    }

    ngx_memcpy(s->former, s->sid, D4_SID + 1);
    ngx_d4_session_name(s);

    ngx_log_error(NGX_LOG_NOTICE, ngx_d4_worker.log, 0,
                  "d4 session %s of %s goes on as %s: its stream was closed "
                  "or deleted", s->former, s->hex, s->sid);

    d4_batch_rekey(&s->inflight, s->former, s->sid);
    d4_batch_rekey(&s->pending, s->former, s->sid);

    if (s->node) {
        ngx_d4_registry_rename(s->node, s->sid);
    }

    s->recreate = 1;
    s->begin = 1;
    s->reclaim = 1;
    s->backlog = 0;
}


void
ngx_d4_session_recreate(ngx_d4_session_t *s)
{
    u_char               type[NGX_INT_T_LEN];
    ngx_str_t            argv[9];
    ngx_uint_t           n;
    ngx_d4_stream_ids_t  ids;

    if (s->recreating || ngx_d4_session_held(s)) {
        return;
    }

    ngx_d4_str(&argv[0], s->hex, D4_UUID_HEX);
    ngx_d4_str(&argv[1], type, ngx_sprintf(type, "%ui", s->type) - type);
    ngx_d4_str(&argv[2], s->sid, D4_SID);
    ngx_d4_str(&argv[3], s->former, D4_SID);
    ngx_str_null(&argv[4]);

    /* whoever dispatches it has to know what it is */

    if (s->object) {
        ngx_d4_str(&argv[4], s->object, ngx_strlen(s->object));
    }

    n = 5 + ngx_d4_session_streams(s, &argv[5], &ids);

    if (ngx_d4_script(ngx_d4_worker.streams, NGX_D4_SCRIPT_RENEW, n, argv,
                      ngx_d4_session_recreated, s)
        == NGX_OK)
    {
        s->recreating = 1;
        s->refs++;
    }
}


static void
ngx_d4_session_recreated(void *data, redisReply *reply)
{
    ngx_d4_session_t  *s = data;

    s->recreating = 0;

    if (ngx_d4_session_unref(s)) {
        return;
    }

    if (ngx_d4_session_succeeded(s, reply, "renewal")) {
        s->recreate = 0;
        s->listed = (s->stored[0] + s->stored[1] != 0);
    }

    ngx_d4_session_work(s);
}


/* Type and last id of each stream in which something is stored. */

static ngx_uint_t
ngx_d4_session_streams(ngx_d4_session_t *s, ngx_str_t *argv,
    ngx_d4_stream_ids_t *ids)
{
    ngx_uint_t  i, n, t;

    n = 0;

    for (i = 0; i < 2; i++) {
        if (s->stored[i] == 0) {
            continue;
        }

        t = ngx_d4_stream_type(s, i);

        ngx_d4_str(&argv[n], ids->type[i],
                   ngx_sprintf(ids->type[i], "%ui", t) - ids->type[i]);
        ngx_d4_str(&argv[n + 1], ids->id[i],
                   ngx_sprintf(ids->id[i], "%uL-%uL", s->start, s->stored[i])
                   - ids->id[i]);
        n += 2;
    }

    return n;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Whose the cursor of a session is: taken, looked at when it is not as it was
 * left, and given up when everything is done.
 */


#include "ngx_d4_dispatch.h"


static void ngx_d4_dispatch_opened(void *data, redisReply *reply);
static ngx_int_t ngx_d4_dispatch_restore(ngx_d4_dispatch_t *d, redisReply **e);
static ngx_int_t ngx_d4_dispatch_former(ngx_d4_dispatch_t *d, redisReply **e);
static uint64_t ngx_d4_dispatch_number(redisReply *reply);
static void ngx_d4_dispatch_checked(void *data, redisReply *reply);
static void ngx_d4_dispatch_remake(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_remade(void *data, redisReply *reply);
static void ngx_d4_dispatch_verified(void *data, redisReply *reply);
static void ngx_d4_dispatch_drop_handler(void *data, redisReply *reply);
static void ngx_d4_dispatch_forget(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_forgotten(void *data, redisReply *reply);


/* what OPEN answers, behind its first element */
enum {
    NGX_D4_OPEN_EPOCH = 1,
    NGX_D4_OPEN_SEQ,
    NGX_D4_OPEN_STREAM,
    NGX_D4_OPEN_MS,
    NGX_D4_OPEN_N,
    NGX_D4_OPEN_OFF,
    NGX_D4_OPEN_STATE,
    NGX_D4_OPEN_META,
    NGX_D4_OPEN_DONE,
    NGX_D4_OPEN_HEADER,
    NGX_D4_OPEN_UUID,
    NGX_D4_OPEN_TYPE,
    NGX_D4_OPEN_STORE,
    NGX_D4_OPEN_FILE,
    NGX_D4_OPEN_LENGTH,
    NGX_D4_OPEN_RESUME,
    NGX_D4_OPEN_INODE,
    NGX_D4_OPEN_FOREIGN,
    NGX_D4_OPEN_N_ELEMENTS
};


void
ngx_d4_dispatch_open(ngx_d4_dispatch_t *d)
{
    u_char     type[NGX_INT_T_LEN];
    ngx_str_t  argv[6];

    ngx_d4_str(&argv[0], d->sid, D4_SID);
    argv[1] = ngx_d4_worker.id;
    ngx_str_null(&argv[2]);

    if (d->retake) {
        ngx_str_set(&argv[2], "*");
    }

    ngx_d4_str(&argv[3], d->hex, ngx_strlen(d->hex));
    ngx_d4_str(&argv[4], type, ngx_sprintf(type, "%ui", d->type) - type);
    ngx_d4_str(&argv[5], ngx_d4_store_id, ngx_strlen(ngx_d4_store_id));

    if (ngx_d4_script(ngx_d4_worker.queues, NGX_D4_SCRIPT_OPEN, 6, argv,
                      ngx_d4_dispatch_opened, d)
        == NGX_OK)
    {
        d->refs++;
    }
}


static void
ngx_d4_dispatch_opened(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    if (ngx_d4_dispatch_unref(d)) {
        return;
    }

    if (!ngx_d4_dispatch_succeeded(d, ngx_d4_worker.queues, reply, "open")) {
        return;
    }

    if (ngx_d4_dispatch_take(d, reply) != NGX_OK) {
        return;
    }

    ngx_d4_dispatch_work(d);
}


ngx_int_t
ngx_d4_dispatch_take(ngx_d4_dispatch_t *d, redisReply *reply)
{
    redisReply  **e;

    if (!ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY) || reply->elements == 0) {
        ngx_d4_dispatch_later(d);
        return NGX_DECLINED;
    }

    e = reply->element;

    switch (ngx_d4_reply_int(e[0])) {

    case 1:
        if (reply->elements == NGX_D4_OPEN_N_ELEMENTS) {
            break;
        }

        /* fall through */

    default: /* 2: there is no such session any more */
        ngx_d4_dispatch_lose(d, "it has no cursor");
        return NGX_DECLINED;

    case 0:
        if (d->session) {

            /* taken for dead, or for that of a dead worker: it comes back */

            if (!d->session->finishing) {
                d->session->renew = 1;
                ngx_d4_session_again(d->session, 0);
            }

            ngx_d4_dispatch_later(d);
            return NGX_DECLINED;
        }

        ngx_d4_dispatch_lose(d, "another worker has it");
        return NGX_DECLINED;
    }

    if (ngx_d4_dispatch_restore(d, e) != NGX_OK) {
        ngx_d4_dispatch_put_off(d);
        return NGX_DECLINED;
    }

    d->unusable = 0;
    d->cursor = 1;
    d->retake = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_d4_dispatch_restore(ngx_d4_dispatch_t *d, redisReply **e)
{
    ngx_d4_position_t  *at;

    d->epoch = ngx_d4_dispatch_number(e[NGX_D4_OPEN_EPOCH]);
    d->seq = ngx_d4_dispatch_number(e[NGX_D4_OPEN_SEQ]);
    d->stream = ngx_d4_dispatch_number(e[NGX_D4_OPEN_STREAM]);
    d->done = ngx_d4_reply_text(e[NGX_D4_OPEN_DONE])
              && e[NGX_D4_OPEN_DONE]->len != 0;

    if (ngx_d4_dispatch_number(e[NGX_D4_OPEN_FOREIGN])) {
        d->foreign = 1;
    }

    if (ngx_d4_reply_text(e[NGX_D4_OPEN_UUID])) {
        ngx_memcpy(d->hex, e[NGX_D4_OPEN_UUID]->str,
                   ngx_min(e[NGX_D4_OPEN_UUID]->len, D4_UUID_HEX));
    }

    d->type = ngx_d4_dispatch_number(e[NGX_D4_OPEN_TYPE]);

    if (d->type == D4_TYPE_EXTENDED) {
        d->type = D4_TYPE_META;
    }

    at = &d->border;

    at->ms = ngx_d4_dispatch_number(e[NGX_D4_OPEN_MS]);
    at->n = ngx_d4_dispatch_number(e[NGX_D4_OPEN_N]);
    at->off = ngx_d4_dispatch_number(e[NGX_D4_OPEN_OFF]);

    d->at = *at;

    d4_border_init(&d->track, at);

    at->resume = ngx_d4_dispatch_number(e[NGX_D4_OPEN_RESUME]);

    d->committed = *at;

    if (d->done) {
        return NGX_OK;
    }

    if (d->type == D4_TYPE_META) {

        if (ngx_d4_dispatch_recall(d, e[NGX_D4_OPEN_META]) != NGX_OK) {
            return NGX_ERROR;
        }

    } else if (d->decoder == NULL
               && ngx_d4_dispatch_decoder(d, e[NGX_D4_OPEN_STATE],
                                          e[NGX_D4_OPEN_HEADER])
                  != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_d4_dispatch_former(d, e);
}


/*
 * The file of the former owner is on the list already.  If it is on another
 * host's disk, that one closes it when it sees it there.
 */

static ngx_int_t
ngx_d4_dispatch_former(ngx_d4_dispatch_t *d, redisReply **e)
{
    redisReply  *file;

    file = e[NGX_D4_OPEN_FILE];

    if (!ngx_d4_reply_text(file) || file->len == 0
        || !ngx_d4_reply_text(e[NGX_D4_OPEN_STORE])
        || ngx_strcmp(e[NGX_D4_OPEN_STORE]->str, ngx_d4_store_id) != 0
        || d->former_file)
    {
        return NGX_OK;
    }

    d->former_file = ngx_alloc(file->len + 1, ngx_d4_worker.log);

    if (d->former_file == NULL) {
        return NGX_OK;                     /* the list has it */
    }

    ngx_memcpy(d->former_file, file->str, file->len + 1);
    d->former_length = ngx_d4_dispatch_number(e[NGX_D4_OPEN_LENGTH]);
    d->former_inode = ngx_d4_dispatch_number(e[NGX_D4_OPEN_INODE]);
    d->former_at = d->border;
    d->former_known = 0;
    d->former_begun = 0;

    /* every file begins with it */

    if (d->former_length == 0 && d->decoder) {
        d->former_known = d->decoder->preamble_len;
    }

    if (!d->reading) {
        ngx_d4_dispatch_close_former(d);
    }

    return NGX_OK;
}


static uint64_t
ngx_d4_dispatch_number(redisReply *reply)
{
    if (ngx_d4_reply_is(reply, REDIS_REPLY_INTEGER)) {
        return (uint64_t) reply->integer;
    }

    return ngx_d4_reply_text(reply) ? strtoull(reply->str, NULL, 10) : 0;
}


/*
 * The cursor is gone: Redis lost it, or another worker finished the session
 * while this one slept.  In that case the session is not listed any more.
 */

void
ngx_d4_dispatch_check(ngx_d4_dispatch_t *d)
{
    u_char     key[sizeof("session_uuid:254")];
    ngx_str_t  argv[3];

    ngx_str_set(&argv[0], "SISMEMBER");
    ngx_d4_str(&argv[1], key, ngx_sprintf(key, "session_uuid:%ui", d->type)
                              - key);
    ngx_d4_str(&argv[2], d->sid, D4_SID);

    if (ngx_d4_redis_command(ngx_d4_worker.streams, 3, argv,
                             ngx_d4_dispatch_checked, d)
        == NGX_OK)
    {
        d->refs++;

    } else {
        ngx_d4_dispatch_later(d);
    }
}


static void
ngx_d4_dispatch_checked(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    if (ngx_d4_dispatch_unref(d)) {
        return;
    }

    if (!ngx_d4_dispatch_succeeded(d, ngx_d4_worker.streams, reply, "check")) {
        return;
    }

    if (ngx_d4_reply_int(reply) == 0) {
        ngx_d4_dispatch_lose(d, "another worker finished it");
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                  "redis queues lost the cursor of d4 session %s of %s",
                  d->sid, d->hex);

    ngx_d4_dispatch_remake(d);
}


/*
 * The owner knows better than Redis how far it had come: it writes that down
 * and begins again from there.
 */

static void
ngx_d4_dispatch_remake(ngx_d4_dispatch_t *d)
{
    char          closing[NGX_D4_CLOSING_VALUE];
    u_char        num[7][NGX_INT64_LEN], epoch[NGX_INT64_LEN];
    uint64_t      value[7];
    ngx_str_t     argv[18];
    ngx_uint_t    i;

    value[0] = d->type;
    value[1] = d->seq;
    value[2] = d->stream;
    value[3] = d->committed.ms;
    value[4] = d->committed.n;
    value[5] = d->committed.off;
    value[6] = d->committed.resume;

    ngx_memzero(argv, sizeof(argv));
    closing[0] = '\0';

    ngx_d4_str(&argv[0], d->sid, D4_SID);
    argv[1] = ngx_d4_worker.id;
    ngx_d4_str(&argv[2], d->hex, D4_UUID_HEX);

    for (i = 0; i < 7; i++) {
        ngx_d4_str(&argv[3 + i], num[i],
                   ngx_sprintf(num[i], "%uL", value[i]) - num[i]);
    }

    if (d->decoder && d->decoder->preamble_len) {
        ngx_d4_str(&argv[10], d->decoder->preamble, d->decoder->preamble_len);
    }

    if (d->stream == D4_TYPE_EXTENDED) {
        ngx_d4_str(&argv[11], d4_meta_json(d->meta),
                   ngx_strlen(d4_meta_json(d->meta)));
        argv[12] = d->ext;
    }

    ngx_d4_str(&argv[13], ngx_d4_store_id, ngx_strlen(ngx_d4_store_id));

    if (d->file) {
        ngx_d4_closing_value(closing, d->length, d->hex, d->type, &d->ext);
        ngx_d4_str(&argv[14], d->file, ngx_strlen(d->file));
        ngx_d4_str(&argv[15], closing, ngx_strlen(closing));
    }

    /* should the answer be lost, what is repeated is not taken for done */

    ngx_d4_str(&argv[16], epoch, ngx_sprintf(epoch, "%uL", d->epoch + 1)
                                 - epoch);

    if (d->foreign) {
        ngx_str_set(&argv[17], "1");
    }

    if (ngx_d4_script(ngx_d4_worker.queues, NGX_D4_SCRIPT_MAKE, 18, argv,
                      ngx_d4_dispatch_remade, d)
        == NGX_OK)
    {
        d->refs++;

    } else {
        ngx_d4_dispatch_later(d);
    }
}


static void
ngx_d4_dispatch_remade(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    if (ngx_d4_dispatch_unref(d)) {
        return;
    }

    if (!ngx_d4_dispatch_succeeded(d, ngx_d4_worker.queues, reply, "make")) {
        return;
    }

    if (ngx_d4_reply_int(reply) && d->file) {
        ngx_d4_dispatch_close_file(d);
    }

    ngx_d4_dispatch_restart(d);
}


/* Whose is the cursor by now? */

void
ngx_d4_dispatch_verify(ngx_d4_dispatch_t *d)
{
    u_char     key[sizeof("d4:cursor:") + D4_SID];
    ngx_str_t  argv[3];

    ngx_str_set(&argv[0], "HGET");
    ngx_d4_str(&argv[1], key, ngx_sprintf(key, "d4:cursor:%s", d->sid) - key);
    ngx_str_set(&argv[2], "epoch");

    if (ngx_d4_redis_command(ngx_d4_worker.queues, 3, argv,
                             ngx_d4_dispatch_verified, d)
        == NGX_OK)
    {
        d->refs++;
    }
}


static void
ngx_d4_dispatch_verified(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    if (ngx_d4_dispatch_unref(d) || reply == NULL
        || ngx_d4_reply_is(reply, REDIS_REPLY_ERROR))
    {
        return;
    }

    if (!ngx_d4_reply_text(reply)
        || ngx_d4_dispatch_number(reply) != d->epoch)
    {
        ngx_d4_dispatch_lose(d, "its owner took it back");
    }
}


void
ngx_d4_dispatch_drop(ngx_d4_dispatch_t *d)
{
    u_char     type[NGX_INT_T_LEN];
    ngx_str_t  argv[3];

    if (d->dropped) {
        ngx_d4_dispatch_forget(d);
        return;
    }

    ngx_d4_str(&argv[0], d->sid, D4_SID);
    ngx_d4_str(&argv[1], type, ngx_sprintf(type, "%ui", d->type) - type);
    ngx_str_set(&argv[2], "0");

    /* who took the session over made its end final first */

    if (d->rejected || d->detached || !d->adopted) {
        argv[2].data = (u_char *) "1";
    }

    if (ngx_d4_script(ngx_d4_worker.streams, NGX_D4_SCRIPT_DROP, 3, argv,
                      ngx_d4_dispatch_drop_handler, d)
        == NGX_OK)
    {
        d->refs++;
    }
}


static void
ngx_d4_dispatch_drop_handler(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    if (ngx_d4_dispatch_unref(d)) {
        return;
    }

    if (ngx_d4_dispatch_succeeded(d, ngx_d4_worker.streams, reply, "end")) {
        d->dropped = 1;
        ngx_d4_dispatch_forget(d);
    }
}


static void
ngx_d4_dispatch_forget(ngx_d4_dispatch_t *d)
{
    u_char     epoch[NGX_INT64_LEN];
    ngx_str_t  argv[3];

    ngx_d4_str(&argv[0], d->sid, D4_SID);
    ngx_d4_str(&argv[1], epoch, ngx_sprintf(epoch, "%uL", d->epoch) - epoch);
    argv[2] = ngx_d4_worker.id;

    if (ngx_d4_script(ngx_d4_worker.queues, NGX_D4_SCRIPT_FORGET, 3, argv,
                      ngx_d4_dispatch_forgotten, d)
        == NGX_OK)
    {
        d->refs++;
    }
}


static void
ngx_d4_dispatch_forgotten(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    if (ngx_d4_dispatch_unref(d)) {
        return;
    }

    if (ngx_d4_dispatch_succeeded(d, ngx_d4_worker.queues, reply, "end")) {
        ngx_d4_dispatch_free(d);
    }
}

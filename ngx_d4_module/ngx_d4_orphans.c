
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Ends the sessions that a dead worker left behind, and gives back what it had
 * taken from queues.
 *
 * Leaders of several hosts may do this for the same worker at once: each step
 * may be repeated.  For each session first the streams, then its entry in
 * metadata, so that a leader that dies in between leaves the session to be
 * found again.  Nothing that Redis says is put into a key unchecked.
 */


#include "ngx_d4_control.h"
#include "ngx_d4_dispatch.h"


#define NGX_D4_ORPHANS      64             /* at a time */
#define NGX_D4_ORPHANS_KEY                                                    \
    (sizeof("d4:sessions:") + sizeof(ngx_d4_worker.name))


typedef struct {
    ngx_str_t                sid;
    ngx_str_t                uuid;         /* empty: not known */
    ngx_str_t                type;
    u_char                   text[D4_SID + D4_UUID_HEX + 3];
} ngx_d4_orphan_t;


typedef struct {
    ngx_str_t                worker;
    ngx_uint_t               wait;         /* answers to come */
    ngx_uint_t               count;
    unsigned                 failed:1;
    unsigned                 finished:1;   /* none is left */
    ngx_d4_orphan_t          orphans[NGX_D4_ORPHANS];
} ngx_d4_orphans_t;


static void ngx_d4_orphans_chunk(void);
static void ngx_d4_orphans_alive_handler(void *data, redisReply *reply);
static void ngx_d4_orphans_sids_handler(void *data, redisReply *reply);
static void ngx_d4_orphans_sid(ngx_d4_orphan_t *o, redisReply *sid);
static void ngx_d4_orphans_session_handler(void *data, redisReply *reply);
static ngx_int_t ngx_d4_orphans_parse(ngx_d4_orphan_t *o, redisReply *reply);
static void ngx_d4_orphans_ended_handler(void *data, redisReply *reply);
static void ngx_d4_orphans_adopted_handler(void *data, redisReply *reply);
static void ngx_d4_orphans_none(void);
static void ngx_d4_orphans_cursors(void);
static void ngx_d4_orphans_cursors_handler(void *data, redisReply *reply);
static void ngx_d4_orphans_cursor_handler(void *data, redisReply *reply);
static void ngx_d4_orphans_last(void);
static void ngx_d4_orphans_recovered_handler(ngx_uint_t done);
static void ngx_d4_orphans_reap(ngx_d4_orphan_t *o);
static void ngx_d4_orphans_reaped_handler(void *data, redisReply *reply);
static void ngx_d4_orphans_sent(ngx_int_t rc);
static ngx_uint_t ngx_d4_orphans_failed(redisReply *reply);
static ngx_uint_t ngx_d4_orphans_wrong(redisReply *reply);
static void ngx_d4_orphans_step(void);


static ngx_d4_orphans_t  ngx_d4_orphans;


void
ngx_d4_orphans_end(ngx_str_t *worker)
{
    ngx_d4_orphans.worker = *worker;
    ngx_d4_orphans.count = 0;
    ngx_d4_orphans.failed = 0;
    ngx_d4_orphans.finished = 0;

    ngx_d4_orphans_chunk();
}


/* Some of the sessions that the worker had, if it is still dead. */

static void
ngx_d4_orphans_chunk(void)
{
    u_char             key[NGX_D4_ORPHANS_KEY];
    ngx_str_t          argv[3];
    ngx_d4_redis_t    *rd;
    ngx_d4_orphans_t  *os;

    os = &ngx_d4_orphans;
    rd = ngx_d4_worker.metadata;

    os->wait = 1;                          /* until all of it was asked */

    if (ngx_d4_control_leading()) {
        ngx_str_set(&argv[0], "EXISTS");
        argv[1].data = key;
        argv[1].len = ngx_sprintf(key, "d4:worker:%V", &os->worker) - key;

        ngx_d4_orphans_sent(ngx_d4_redis_command(rd, 2, argv,
                                          ngx_d4_orphans_alive_handler, NULL));

        ngx_str_set(&argv[0], "SRANDMEMBER");
        argv[1].len = ngx_sprintf(key, "d4:sessions:%V", &os->worker) - key;
        ngx_str_set(&argv[2], "64");

        ngx_d4_orphans_sent(ngx_d4_redis_command(rd, 3, argv,
                                           ngx_d4_orphans_sids_handler, NULL));
    } else {
        os->failed = 1;
    }

    ngx_d4_orphans_step();
}


static void
ngx_d4_orphans_alive_handler(void *data, redisReply *reply)
{
    if (!ngx_d4_orphans_failed(reply) && reply->integer != 0) {
        ngx_d4_orphans.failed = 1;
    }

    ngx_d4_orphans_step();
}


static void
ngx_d4_orphans_sids_handler(void *data, redisReply *reply)
{
    size_t             i;
    ngx_d4_orphans_t  *os;

    os = &ngx_d4_orphans;

    if (reply && reply->type == REDIS_REPLY_ARRAY && !os->failed) {

        for (i = 0; i < reply->elements && i < NGX_D4_ORPHANS; i++) {
            ngx_d4_orphans_sid(&os->orphans[i], reply->element[i]);
        }

        if (i == 0) {
            ngx_d4_orphans_none();
        }

    } else if (ngx_d4_orphans_wrong(reply)) {
        ngx_d4_orphans_none();

    } else {
        (void) ngx_d4_orphans_failed(reply);
    }

    ngx_d4_orphans_step();
}


/* No session is left of the worker: it may go, when it has no cursors. */

static void
ngx_d4_orphans_none(void)
{
    if (ngx_d4_worker.conf->dispatch) {
        ngx_d4_orphans_cursors();

    } else {
        ngx_d4_orphans_last();
    }
}


static void
ngx_d4_orphans_sid(ngx_d4_orphan_t *o, redisReply *sid)
{
    u_char     key[sizeof("d4:session:") + D4_SID], uuid[D4_UUID_SIZE];
    ngx_str_t  argv[4];

    ngx_str_null(&o->uuid);
    ngx_str_null(&o->type);

    o->sid.data = (u_char *) sid->str;
    o->sid.len = sid->len;

    if (sid->len != D4_SID || d4_uuid_parse(uuid, sid->str, D4_SID) != 0) {
        ngx_d4_orphans_reap(o);
        return;
    }

    o->sid.data = o->text;
    ngx_memcpy(o->text, sid->str, D4_SID);

    ngx_str_set(&argv[0], "HMGET");
    argv[1].data = key;
    argv[1].len = ngx_sprintf(key, "d4:session:%V", &o->sid) - key;
    ngx_str_set(&argv[2], "uuid");
    ngx_str_set(&argv[3], "type");

    ngx_d4_orphans_sent(ngx_d4_redis_command(ngx_d4_worker.metadata, 4, argv,
                                           ngx_d4_orphans_session_handler, o));
}


static void
ngx_d4_orphans_session_handler(void *data, redisReply *reply)
{
    ngx_d4_orphan_t  *o = data;

    ngx_str_t  argv[6];

    if (ngx_d4_orphans_wrong(reply)) {
        ngx_d4_orphans_reap(o);

    } else if (ngx_d4_orphans_failed(reply)) {
        /* void */

    } else if (ngx_d4_orphans_parse(o, reply) != NGX_OK) {
        ngx_d4_orphans_reap(o);

    } else {
        argv[0] = o->uuid;
        argv[1] = o->type;
        argv[2] = o->sid;
        ngx_str_set(&argv[3], "?");        /* stored: look */
        ngx_str_set(&argv[4], "1");        /* fence */
        ngx_str_set(&argv[5], "0");        /* drop nothing */

        ngx_d4_orphans_sent(ngx_d4_script(ngx_d4_worker.streams,
                                          NGX_D4_SCRIPT_END, 6, argv,
                                          ngx_d4_orphans_ended_handler, o));
    }

    ngx_d4_orphans_step();
}


/* NGX_DECLINED when the session's hash does not say whose it was. */

static ngx_int_t
ngx_d4_orphans_parse(ngx_d4_orphan_t *o, redisReply *reply)
{
    u_char       uuid[D4_UUID_SIZE];
    ngx_int_t    n;
    redisReply  *u, *t;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        return NGX_DECLINED;
    }

    u = reply->element[0];
    t = reply->element[1];

    if (u->type != REDIS_REPLY_STRING || u->len != D4_UUID_HEX
        || d4_uuid_parse(uuid, u->str, u->len) != 0
        || t->type != REDIS_REPLY_STRING || t->len > 3)
    {
        return NGX_DECLINED;
    }

    n = ngx_atoi((u_char *) t->str, t->len);
    if (n == NGX_ERROR || n > 255) {
        return NGX_DECLINED;
    }

    o->uuid.data = o->text + D4_SID;
    o->uuid.len = D4_UUID_HEX;
    ngx_memcpy(o->uuid.data, u->str, D4_UUID_HEX);

    o->type.data = o->uuid.data + D4_UUID_HEX;
    o->type.len = t->len;
    ngx_memcpy(o->type.data, t->str, t->len);

    return NGX_OK;
}


static void
ngx_d4_orphans_ended_handler(void *data, redisReply *reply)
{
    ngx_d4_orphan_t  *o = data;

    if (ngx_d4_orphans_failed(reply)) {
        /* void */

    } else if (ngx_d4_worker.conf->dispatch && ngx_d4_reply_int(reply) == 2) {

        /* it stored something, which has to be dispatched */

        ngx_d4_orphans_sent(ngx_d4_adopt(&o->sid, &ngx_d4_orphans.worker,
                                         &o->uuid, &o->type,
                                         ngx_d4_orphans_adopted_handler, o));
    } else {
        ngx_d4_orphans_reap(o);
    }

    ngx_d4_orphans_step();
}


static void
ngx_d4_orphans_adopted_handler(void *data, redisReply *reply)
{
    ngx_d4_orphan_t  *o = data;

    if (!ngx_d4_orphans_failed(reply)) {
        ngx_d4_adopted(&o->sid, &ngx_d4_orphans.worker, reply);
        ngx_d4_orphans_reap(o);
    }

    ngx_d4_orphans_step();
}


/*
 * Sessions that were over, but not dispatched when the worker died: of them it
 * had nothing but their cursors.
 */

static void
ngx_d4_orphans_cursors(void)
{
    u_char     key[NGX_D4_ORPHANS_KEY];
    ngx_str_t  argv[3];

    ngx_str_set(&argv[0], "SRANDMEMBER");
    argv[1].data = key;
    argv[1].len = ngx_sprintf(key, "d4:cursors:%V", &ngx_d4_orphans.worker)
                  - key;
    ngx_str_set(&argv[2], "64");

    ngx_d4_orphans_sent(ngx_d4_redis_command(ngx_d4_worker.queues, 3, argv,
                                        ngx_d4_orphans_cursors_handler, NULL));
}


static void
ngx_d4_orphans_cursors_handler(void *data, redisReply *reply)
{
    size_t             i;
    ngx_str_t          none;
    ngx_d4_orphan_t   *o;
    ngx_d4_orphans_t  *os;

    os = &ngx_d4_orphans;
    ngx_str_null(&none);

    if (reply && reply->type == REDIS_REPLY_ARRAY && !os->failed) {

        for (i = 0; i < reply->elements && i < NGX_D4_ORPHANS; i++) {
            o = &os->orphans[i];

            o->sid.len = ngx_min(reply->element[i]->len, D4_SID);
            o->sid.data = o->text;
            ngx_memcpy(o->text, reply->element[i]->str, o->sid.len);

            ngx_d4_orphans_sent(ngx_d4_adopt(&o->sid, &os->worker, &none,
                                             &none,
                                             ngx_d4_orphans_cursor_handler,
                                             o));
        }

        if (i == 0) {
            ngx_d4_orphans_last();
        }

    } else if (ngx_d4_orphans_wrong(reply)) {
        ngx_d4_orphans_last();

    } else {
        (void) ngx_d4_orphans_failed(reply);
    }

    ngx_d4_orphans_step();
}


static void
ngx_d4_orphans_cursor_handler(void *data, redisReply *reply)
{
    ngx_d4_orphan_t  *o = data;

    if (!ngx_d4_orphans_failed(reply)) {
        ngx_d4_adopted(&o->sid, &ngx_d4_orphans.worker, reply);
    }

    ngx_d4_orphans_step();
}


/*
 * No session is left, nor cursor.  The worker is remembered until what it had
 * taken is back; a host that does not know the queues leaves that to one that
 * does.
 */

static void
ngx_d4_orphans_last(void)
{
    if (ngx_d4_worker.queues == NULL) {
        ngx_d4_orphans_reap(NULL);
        return;
    }

    ngx_d4_orphans_sent(ngx_d4_consume_recover(&ngx_d4_orphans.worker,
                                           ngx_d4_orphans_recovered_handler));
}


static void
ngx_d4_orphans_recovered_handler(ngx_uint_t done)
{
    if (done) {
        ngx_d4_orphans_reap(NULL);

    } else {
        ngx_d4_orphans.failed = 1;
    }

    ngx_d4_orphans_step();
}


/* With NULL: none is left, the worker itself may go. */

static void
ngx_d4_orphans_reap(ngx_d4_orphan_t *o)
{
    ngx_str_t   argv[4];
    ngx_uint_t  n;

    argv[0] = ngx_d4_orphans.worker;
    ngx_str_set(&argv[1], "");
    n = (ngx_d4_worker.queues == NULL) ? 2 : 1;

    if (o) {
        argv[1] = o->sid;
        argv[2] = o->uuid;
        argv[3] = o->type;
        n = 4;
    }

    ngx_d4_orphans_sent(ngx_d4_script(ngx_d4_worker.metadata,
                                      NGX_D4_SCRIPT_REAP, n, argv,
                                      ngx_d4_orphans_reaped_handler, o));
}


static void
ngx_d4_orphans_reaped_handler(void *data, redisReply *reply)
{
    ngx_d4_orphan_t   *o = data;

    ngx_d4_orphans_t  *os;

    os = &ngx_d4_orphans;

    if (ngx_d4_orphans_failed(reply)) {
        /* void */

    } else if (reply->integer != 1) {      /* the worker lives */
        os->failed = 1;

    } else if (o == NULL) {
        os->finished = 1;

    } else if (o->uuid.len) {
        os->count++;
    }

    ngx_d4_orphans_step();
}


/* For each command: there is one more answer to wait for, or it failed. */

static void
ngx_d4_orphans_sent(ngx_int_t rc)
{
    if (rc == NGX_OK) {
        ngx_d4_orphans.wait++;

    } else {
        ngx_d4_orphans.failed = 1;
    }
}


/* For each answer: 1 if it is none. */

static ngx_uint_t
ngx_d4_orphans_failed(redisReply *reply)
{
    ngx_d4_orphans_t  *os;

    os = &ngx_d4_orphans;

    if (reply && reply->type != REDIS_REPLY_ERROR) {
        return 0;
    }

    if (reply && !os->failed && !ngx_d4_redis_try_again(reply)) {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "redis refused to end the sessions of d4 worker "
                      "\"%V\": \"%s\"", &os->worker, reply->str);
    }

    os->failed = 1;

    return 1;
}


/* 1 if a key is not what it has to be, and is as good as missing. */

static ngx_uint_t
ngx_d4_orphans_wrong(redisReply *reply)
{
    return reply && reply->type == REDIS_REPLY_ERROR
           && ngx_strncmp(reply->str, "WRONGTYPE", 9) == 0;
}


/* The last answer of a chunk leads on. */

static void
ngx_d4_orphans_step(void)
{
    ngx_d4_orphans_t  *os;

    os = &ngx_d4_orphans;

    if (--os->wait) {
        return;
    }

    if (os->failed) {
        ngx_d4_reaper_done(0);
        return;
    }

    if (!os->finished) {
        ngx_d4_orphans_chunk();
        return;
    }

    if (os->count) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_d4_worker.log, 0,
                      "d4 worker \"%V\" is gone, %ui of its sessions ended",
                      &os->worker, os->count);
    }

    ngx_d4_reaper_done(1);
}

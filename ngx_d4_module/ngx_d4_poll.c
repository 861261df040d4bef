
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What the leader asks Redis once a second, because other programs write the
 * published keys without telling anyone: which types are accepted, who is to
 * be kicked, and (ngx_d4_poll_live.c) whether a live session of this host
 * stands on a list.  An answer that is missing is asked for again in the next
 * round.
 */


#include "ngx_d4_control.h"


#define NGX_D4_POLL_KICKS    128
#define NGX_D4_POLL_TYPES    256


typedef struct {
    ngx_msec_t               started;      /* the latest round */
    ngx_uint_t               nkicks;
    unsigned                 once:1;       /* there was a round */
    unsigned                 now:1;        /* do not wait for the second */
    unsigned                 types:1;      /* asked, not answered */
    unsigned                 kicks:1;
    unsigned                 more:1;       /* of them */
    u_char                   uuids[NGX_D4_POLL_KICKS][D4_UUID_SIZE];
} ngx_d4_poll_t;


static void ngx_d4_poll_types(void);
static void ngx_d4_poll_types_handler(void *data, redisReply *reply);
static void ngx_d4_poll_kicks(void);
static void ngx_d4_poll_kicks_handler(void *data, redisReply *reply);
static void ngx_d4_poll_kicked_handler(void *data, redisReply *reply);


static ngx_d4_poll_t  ngx_d4_poll;


void
ngx_d4_poll_init(void)
{
    ngx_memzero(&ngx_d4_poll, sizeof(ngx_d4_poll_t));
    ngx_d4_poll_live_init();
}


void
ngx_d4_poll_now(void)
{
    ngx_d4_poll.now = 1;
}


void
ngx_d4_poll_tick(void)
{
    ngx_d4_poll_t  *poll;

    poll = &ngx_d4_poll;

    if (!ngx_d4_redis_ready(ngx_d4_worker.metadata)
        || !ngx_d4_redis_ready(ngx_d4_worker.streams))
    {
        return;
    }

    if (poll->types || poll->kicks || ngx_d4_poll_live_busy()) {
        return;
    }

    if (!poll->now && poll->once
        && ngx_current_msec - poll->started < NGX_D4_POLL)
    {
        return;
    }

    poll->now = 0;
    poll->started = ngx_current_msec;
    poll->once = 1;

    /* who has no slot cannot be looked up here: the owners ask for all */

    if (ngx_d4_worker.shared->unlisted) {
        (void) ngx_atomic_fetch_add(&ngx_d4_worker.shared->generation, 1);
    }

    ngx_d4_poll_types();
    ngx_d4_poll_kicks();
    ngx_d4_poll_live();
}


/* Asks for each type there can be, whatever else is in the set. */

static void
ngx_d4_poll_types(void)
{
    u_char      *p, text[NGX_D4_POLL_TYPES * 3];
    ngx_str_t    argv[2 + NGX_D4_POLL_TYPES];
    ngx_uint_t   t;

    ngx_str_set(&argv[0], "SMISMEMBER");
    ngx_str_set(&argv[1], "server:accepted_type");

    p = text;

    for (t = 0; t < NGX_D4_POLL_TYPES; t++) {
        argv[2 + t].data = p;
        p = ngx_sprintf(p, "%ui", t);
        argv[2 + t].len = p - argv[2 + t].data;
    }

    if (ngx_d4_redis_command(ngx_d4_worker.metadata, 2 + NGX_D4_POLL_TYPES,
                             argv, ngx_d4_poll_types_handler, NULL)
        == NGX_OK)
    {
        ngx_d4_poll.types = 1;
    }
}


static void
ngx_d4_poll_types_handler(void *data, redisReply *reply)
{
    u_char            types[NGX_D4_POLL_TYPES / 8];
    ngx_uint_t        t;
    ngx_d4_shared_t  *shared;

    ngx_d4_poll.types = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != NGX_D4_POLL_TYPES)
    {
        return;
    }

    ngx_memzero(types, sizeof(types));

    for (t = 0; t < NGX_D4_POLL_TYPES; t++) {
        if (reply->element[t]->integer == 1) {
            types[t / 8] |= 1 << (t % 8);
        }
    }

    shared = ngx_d4_worker.shared;

    if (shared->types_known
        && ngx_memcmp(shared->types, types, sizeof(types)) == 0)
    {
        return;
    }

    ngx_memcpy(shared->types, types, sizeof(types));
    shared->types_known = 1;

    (void) ngx_atomic_fetch_add(&shared->generation, 1);
}


static void
ngx_d4_poll_kicks(void)
{
    u_char     count[NGX_INT_T_LEN];
    ngx_str_t  argv[3];

    ngx_str_set(&argv[0], "SRANDMEMBER");
    ngx_str_set(&argv[1], "server:sensor_to_kick");
    argv[2].data = count;
    argv[2].len = ngx_sprintf(count, "%ui", (ngx_uint_t) NGX_D4_POLL_KICKS)
                  - count;

    if (ngx_d4_redis_command(ngx_d4_worker.streams, 3, argv,
                             ngx_d4_poll_kicks_handler, NULL)
        == NGX_OK)
    {
        ngx_d4_poll.kicks = 1;
    }
}


/* The members go back as they were written, or they would stay in the set. */

static void
ngx_d4_poll_kicks_handler(void *data, redisReply *reply)
{
    size_t          i;
    ngx_str_t       argv[NGX_D4_POLL_KICKS];
    ngx_uint_t      n;
    redisReply     *e;
    ngx_d4_poll_t  *poll;

    poll = &ngx_d4_poll;
    poll->kicks = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        return;
    }

    n = 0;
    poll->nkicks = 0;

    for (i = 0; i < reply->elements && n < NGX_D4_POLL_KICKS; i++) {
        e = reply->element[i];

        if (e->type != REDIS_REPLY_STRING) {
            continue;
        }

        argv[n].data = (u_char *) e->str;
        argv[n].len = e->len;
        n++;

        if (d4_uuid_parse(poll->uuids[poll->nkicks], e->str, e->len) == 0) {
            poll->nkicks++;
        }
    }

    poll->more = (n == NGX_D4_POLL_KICKS);

    if (n
        && ngx_d4_script(ngx_d4_worker.streams, NGX_D4_SCRIPT_KICKS, n, argv,
                         ngx_d4_poll_kicked_handler, NULL)
           == NGX_OK)
    {
        poll->kicks = 1;
    }
}


static void
ngx_d4_poll_kicked_handler(void *data, redisReply *reply)
{
    ngx_uint_t      i;
    ngx_d4_poll_t  *poll;

    poll = &ngx_d4_poll;
    poll->kicks = 0;

    if (reply == NULL) {
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "redis refused to kick sensors: \"%s\"", reply->str);
        return;
    }

    for (i = 0; i < poll->nkicks; i++) {
        ngx_d4_registry_mark(poll->uuids[i], NULL);
    }

    if (poll->more) {
        ngx_d4_poll_kicks();
    }
}

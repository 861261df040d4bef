
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Finds dead workers, of any host, by their leases.
 *
 * A worker is dead when its lease was missing in looks over a time in which a
 * living one renews it: the clock of Redis may jump, and all leases are gone
 * at once.  A look counts only if Redis answered promptly and has been there
 * for longer than a worker takes to come back to it: what was stopped may as
 * well have been Redis, or this process.  Should a worker be taken for dead
 * and live, its streams are fenced and it finds out.
 */


#include "ngx_d4_control.h"


#define NGX_D4_REAPER_LOOK     1000    /* ms between looks */
#define NGX_D4_REAPER_SURE     (NGX_D4_LEASE_RENEW + 1000)
#define NGX_D4_REAPER_PROMPT   1000    /* ms for an answer that counts */
#define NGX_D4_REAPER_WORKERS  64

#define NGX_D4_REAPER_NAME     sizeof(ngx_d4_worker.name)
#define NGX_D4_REAPER_KEY      (sizeof("d4:worker:") + NGX_D4_REAPER_NAME)


typedef struct {
    size_t                   len;
    ngx_msec_t               since;        /* of the first look */
    unsigned                 missing:1;
    unsigned                 dead:1;
    u_char                   name[NGX_D4_REAPER_NAME];
} ngx_d4_suspect_t;


typedef struct {
    ngx_msec_t               ready;        /* since when Redis is there */
    ngx_msec_t               swept;
    ngx_msec_t               looked;
    ngx_msec_t               asked;
    ngx_uint_t               nsuspects;
    ngx_d4_suspect_t        *dead;         /* the one being reaped */
    unsigned                 up:1;
    unsigned                 busy:1;
    ngx_d4_suspect_t         suspects[NGX_D4_REAPER_WORKERS];
} ngx_d4_reaper_t;


static void ngx_d4_reaper_forget(void);
static void ngx_d4_reaper_sample_handler(void *data, redisReply *reply);
static void ngx_d4_reaper_suspect(redisReply *name);
static void ngx_d4_reaper_look(void);
static void ngx_d4_reaper_look_handler(void *data, redisReply *reply);
static void ngx_d4_reaper_next(void);


static ngx_d4_reaper_t  ngx_d4_reaper;


void
ngx_d4_reaper_init(void)
{
    ngx_memzero(&ngx_d4_reaper, sizeof(ngx_d4_reaper_t));
}


void
ngx_d4_reaper_tick(void)
{
    ngx_str_t         argv[3];
    ngx_d4_reaper_t  *r;

    r = &ngx_d4_reaper;

    if (ngx_d4_control_leading()
        && ngx_current_msec - r->swept >= NGX_D4_REAPER_LOOK)
    {
        r->swept = ngx_current_msec;
        ngx_d4_registry_sweep();
    }

    if (!ngx_d4_redis_ready(ngx_d4_worker.metadata)
        || !ngx_d4_redis_ready(ngx_d4_worker.streams))
    {
        r->up = 0;
        ngx_d4_reaper_forget();
        return;
    }

    if (!r->up) {
        r->up = 1;
        r->ready = ngx_current_msec;
    }

    if (r->busy || !ngx_d4_control_leading()
        || ngx_current_msec - r->ready < NGX_D4_LEASE
        || ngx_current_msec - r->looked < NGX_D4_REAPER_LOOK)
    {
        return;
    }

    r->looked = ngx_current_msec;

    ngx_str_set(&argv[0], "SRANDMEMBER");
    ngx_str_set(&argv[1], "d4:workers");
    ngx_str_set(&argv[2], "64");

    if (ngx_d4_redis_command(ngx_d4_worker.metadata, 3, argv,
                             ngx_d4_reaper_sample_handler, NULL)
        == NGX_OK)
    {
        r->busy = 1;
    }
}


static void
ngx_d4_reaper_forget(void)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_d4_reaper.nsuspects; i++) {
        ngx_d4_reaper.suspects[i].missing = 0;
        ngx_d4_reaper.suspects[i].dead = 0;
    }
}


static void
ngx_d4_reaper_sample_handler(void *data, redisReply *reply)
{
    size_t  i;

    ngx_d4_reaper.busy = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        ngx_d4_reaper_forget();
        return;
    }

    for (i = 0; i < reply->elements; i++) {
        ngx_d4_reaper_suspect(reply->element[i]);
    }

    if (ngx_d4_reaper.nsuspects) {
        ngx_d4_reaper_look();
    }
}


/* Another worker's name to look at; what is no name leaves the set. */

static void
ngx_d4_reaper_suspect(redisReply *name)
{
    u_char            *p;
    size_t             len, i;
    ngx_str_t          argv[3];
    ngx_d4_reaper_t   *r;
    ngx_d4_suspect_t  *s;

    if (name->type != REDIS_REPLY_STRING) {
        return;
    }

    r = &ngx_d4_reaper;
    p = (u_char *) name->str;
    len = name->len;

    for (i = 0; i < len; i++) {
        if (p[i] <= ' ' || p[i] >= 0x7f) {
            break;
        }
    }

    if (len == 0 || len > NGX_D4_REAPER_NAME || i != len) {
        ngx_str_set(&argv[0], "SREM");
        ngx_str_set(&argv[1], "d4:workers");
        argv[2].data = p;
        argv[2].len = len;

        (void) ngx_d4_redis_command(ngx_d4_worker.metadata, 3, argv, NULL,
                                    NULL);
        return;
    }

    if (len == ngx_d4_worker.id.len
        && ngx_memcmp(p, ngx_d4_worker.id.data, len) == 0)
    {
        return;
    }

    for (i = 0; i < r->nsuspects; i++) {
        s = &r->suspects[i];

        if (s->len == len && ngx_memcmp(s->name, p, len) == 0) {
            return;
        }
    }

    if (r->nsuspects < NGX_D4_REAPER_WORKERS) {
        s = &r->suspects[r->nsuspects++];

        s->len = len;
        s->missing = 0;
        s->dead = 0;
        ngx_memcpy(s->name, p, len);
    }
}


static void
ngx_d4_reaper_look(void)
{
    u_char           *p, text[NGX_D4_REAPER_WORKERS * NGX_D4_REAPER_KEY];
    ngx_str_t         argv[1 + NGX_D4_REAPER_WORKERS];
    ngx_uint_t        i;
    ngx_d4_reaper_t  *r;

    r = &ngx_d4_reaper;
    p = text;

    ngx_str_set(&argv[0], "MGET");

    for (i = 0; i < r->nsuspects; i++) {
        argv[1 + i].data = p;
        p = ngx_cpymem(p, "d4:worker:", sizeof("d4:worker:") - 1);
        p = ngx_cpymem(p, r->suspects[i].name, r->suspects[i].len);
        argv[1 + i].len = p - argv[1 + i].data;
    }

    r->asked = ngx_current_msec;

    if (ngx_d4_redis_command(ngx_d4_worker.metadata, 1 + r->nsuspects, argv,
                             ngx_d4_reaper_look_handler, NULL)
        == NGX_OK)
    {
        r->busy = 1;
    }
}


static void
ngx_d4_reaper_look_handler(void *data, redisReply *reply)
{
    ngx_uint_t         i, n;
    ngx_d4_reaper_t   *r;
    ngx_d4_suspect_t  *s;

    r = &ngx_d4_reaper;

    r->busy = 0;
    r->looked = ngx_current_msec;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != r->nsuspects
        || ngx_current_msec - r->asked >= NGX_D4_REAPER_PROMPT)
    {
        ngx_d4_reaper_forget();
        return;
    }

    n = 0;

    for (i = 0; i < r->nsuspects; i++) {

        if (reply->element[i]->type != REDIS_REPLY_NIL) {
            continue;
        }

        s = &r->suspects[n++];

        if (s != &r->suspects[i]) {
            *s = r->suspects[i];
        }

        if (!s->missing) {
            s->missing = 1;
            s->since = ngx_current_msec;

        } else if (ngx_current_msec - s->since >= NGX_D4_REAPER_SURE) {
            s->dead = 1;
        }
    }

    r->nsuspects = n;

    ngx_d4_reaper_next();
}


static void
ngx_d4_reaper_next(void)
{
    ngx_uint_t        i;
    ngx_str_t         name;
    ngx_d4_reaper_t  *r;

    r = &ngx_d4_reaper;

    for (i = 0; i < r->nsuspects; i++) {
        if (r->suspects[i].dead) {
            r->dead = &r->suspects[i];
            r->busy = 1;

            name.data = r->dead->name;
            name.len = r->dead->len;

            ngx_d4_orphans_end(&name);
            return;
        }
    }
}


/* What could not be done waits for more looks. */

void
ngx_d4_reaper_done(ngx_uint_t ended)
{
    ngx_d4_reaper_t  *r;

    r = &ngx_d4_reaper;
    r->busy = 0;

    if (ended) {
        *r->dead = r->suspects[--r->nsuspects];
        ngx_d4_reaper_next();
        return;
    }

    r->dead->missing = 0;
    r->dead->dead = 0;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Sessions that nobody dispatches: those of dead workers, which the reaper
 * hands over one by one, and those that the published server left in the
 * streams, which the leader of a host looks for.  A session belongs to whoever
 * gets its cursor; all that is done here may be done twice and by several
 * hosts at once.
 */


#include "ngx_d4_control.h"
#include "ngx_d4_dispatch.h"


#define NGX_D4_SCAN_ROUND   5000           /* ms between rounds */
#define NGX_D4_SCAN_COUNT   "100"
#define NGX_D4_SCAN_WAIT    32             /* candidates in work at most */


typedef struct {
    char                     sid[D4_SID + 1];
    ngx_uint_t               type;
    ngx_uint_t               wait;         /* answers to come */
    ngx_uint_t               known;        /* not ours to take */
} ngx_d4_candidate_t;


typedef struct {
    ngx_msec_t               round;        /* when the last one began */
    ngx_uint_t               type;         /* being scanned; 0: none */
    ngx_uint_t               wait;         /* candidates in work */
    size_t                   cursor_len;
    u_char                   cursor[NGX_INT64_LEN + 1];
    unsigned                 busy:1;
} ngx_d4_scan_t;


static void ngx_d4_scan_next(void);
static void ngx_d4_scan_handler(void *data, redisReply *reply);
static void ngx_d4_scan_candidate(redisReply *sid);
static void ngx_d4_candidate_answer(void *data, redisReply *reply);
static void ngx_d4_candidate_step(ngx_d4_candidate_t *c);
static void ngx_d4_candidate_first(void *data, redisReply *reply);
static ngx_int_t ngx_d4_candidate_uuid(redisReply *reply, char *hex);
static void ngx_d4_candidate_opened(void *data, redisReply *reply);
static void ngx_d4_candidate_free(ngx_d4_candidate_t *c);


static ngx_d4_scan_t  ngx_d4_scan;


void
ngx_d4_adopt_init(void)
{
    ngx_memzero(&ngx_d4_scan, sizeof(ngx_d4_scan_t));
}


ngx_int_t
ngx_d4_adopt(ngx_str_t *sid, ngx_str_t *former, ngx_str_t *uuid,
    ngx_str_t *type, ngx_d4_reply_pt handler, void *data)
{
    ngx_str_t  argv[7];

    argv[0] = *sid;
    argv[1] = ngx_d4_worker.id;
    argv[2] = *former;
    argv[3] = *uuid;
    argv[4] = *type;
    ngx_d4_str(&argv[5], ngx_d4_store_id, ngx_strlen(ngx_d4_store_id));
    ngx_str_null(&argv[6]);

    if (former->len == 0) {
        ngx_str_set(&argv[6], "1");
    }

    return ngx_d4_script(ngx_d4_worker.queues, NGX_D4_SCRIPT_OPEN, 7, argv,
                         handler, data);
}


void
ngx_d4_adopted(ngx_str_t *sid, ngx_str_t *former, redisReply *reply)
{
    u_char             *p, *last, text[D4_SID + 1];
    ngx_int_t           pid;
    ngx_queue_t        *q;
    ngx_d4_dispatch_t  *d;

    if (!ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY) || reply->elements < 2
        || ngx_d4_reply_int(reply->element[0]) != 1 || sid->len != D4_SID)
    {
        return;                            /* somebody else was first */
    }

    /* asked twice: its epoch moved on under the one that there is */

    for (q = ngx_queue_head(&ngx_d4_worker.dispatches);
         q != ngx_queue_sentinel(&ngx_d4_worker.dispatches);
         q = ngx_queue_next(q))
    {
        d = ngx_queue_data(q, ngx_d4_dispatch_t, queue);

        if (!d->dead && ngx_memcmp(d->sid, sid->data, D4_SID) == 0) {
            ngx_d4_dispatch_lose(d, "it is taken over again");
            break;
        }
    }

    ngx_memcpy(text, sid->data, D4_SID);
    text[D4_SID] = '\0';

    d = ngx_d4_dispatch_create((char *) text, "", 0);
    if (d == NULL) {
        return;                            /* the reaper comes back to it */
    }

    d->reading = 1;
    d->waiting = 1;
    d->foreign = (former == NULL);
    d->adopted = ngx_time();

    /* <host>:<pid>:<nonce>: whether a worker of this host is gone is known */

    if (former && former->len > ngx_d4_worker.conf->host.len
        && ngx_strncmp(former->data, ngx_d4_worker.conf->host.data,
                       ngx_d4_worker.conf->host.len)
           == 0
        && former->data[ngx_d4_worker.conf->host.len] == ':')
    {
        last = former->data + former->len;
        p = former->data + ngx_d4_worker.conf->host.len + 1;
        pid = ngx_atoi(p, ngx_strlchr(p, last, ':') ? ngx_strlchr(p, last, ':')
                                                      - p : last - p);
        d->former_pid = (pid == NGX_ERROR) ? 0 : (ngx_pid_t) pid;
    }

    if (ngx_d4_dispatch_take(d, reply) == NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_d4_worker.log, 0,
                      "d4 session %s of %s, type %ui, is taken over", d->sid,
                      d->hex, d->type);
    }
}


/* Each tick of the leader. */

void
ngx_d4_adopt_tick(void)
{
    ngx_d4_scan_t  *scan;

    scan = &ngx_d4_scan;

    if (scan->busy || scan->wait >= NGX_D4_SCAN_WAIT) {
        return;
    }

    if (!ngx_d4_redis_ready(ngx_d4_worker.streams)
        || !ngx_d4_redis_ready(ngx_d4_worker.queues)
        || !ngx_d4_redis_ready(ngx_d4_worker.metadata))
    {
        scan->type = 0;
        scan->round = ngx_current_msec;
        return;
    }

    if (scan->type == 0) {

        if (ngx_current_msec - scan->round < NGX_D4_SCAN_ROUND) {
            return;
        }

        scan->round = ngx_current_msec;
        scan->type = 1;
        scan->cursor[0] = '0';
        scan->cursor_len = 1;
    }

    ngx_d4_scan_next();
}


static void
ngx_d4_scan_next(void)
{
    u_char          key[sizeof("session_uuid:254")];
    ngx_str_t       argv[5];
    ngx_d4_scan_t  *scan;

    scan = &ngx_d4_scan;

    ngx_str_set(&argv[0], "SSCAN");
    ngx_d4_str(&argv[1], key, ngx_sprintf(key, "session_uuid:%ui", scan->type)
                              - key);
    ngx_d4_str(&argv[2], scan->cursor, scan->cursor_len);
    ngx_str_set(&argv[3], "COUNT");
    ngx_str_set(&argv[4], NGX_D4_SCAN_COUNT);

    if (ngx_d4_redis_command(ngx_d4_worker.streams, 5, argv,
                             ngx_d4_scan_handler, NULL)
        == NGX_OK)
    {
        scan->busy = 1;
    }
}


static void
ngx_d4_scan_handler(void *data, redisReply *reply)
{
    size_t          i;
    redisReply     *cursor, *sids;
    ngx_d4_scan_t  *scan;

    scan = &ngx_d4_scan;
    scan->busy = 0;

    if (reply == NULL) {
        scan->type = 0;
        return;
    }

    cursor = NULL;

    if (ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY) && reply->elements == 2) {
        cursor = reply->element[0];
        sids = reply->element[1];

        for (i = 0; i < sids->elements; i++) {
            ngx_d4_scan_candidate(sids->element[i]);
        }
    }

    if (cursor && ngx_d4_reply_text(cursor)
        && cursor->len <= NGX_INT64_LEN && ngx_strcmp(cursor->str, "0") != 0)
    {
        ngx_memcpy(scan->cursor, cursor->str, cursor->len);
        scan->cursor_len = cursor->len;
        return;
    }

    scan->cursor[0] = '0';
    scan->cursor_len = 1;

    /* 254 is listed with 2; most types have no sessions at all */

    scan->type = (scan->type == 253) ? 0 : scan->type + 1;

    if (scan->type) {
        ngx_d4_scan_next();
    }
}


/* Whose is it?  Asked of all three. */

static void
ngx_d4_scan_candidate(redisReply *sid)
{
    u_char               key[sizeof("working_session_uuid:254:") + D4_SID];
    u_char               uuid[D4_UUID_SIZE];
    ngx_str_t            argv[3];
    ngx_d4_candidate_t  *c;

    if (!ngx_d4_reply_text(sid) || sid->len != D4_SID
        || d4_uuid_parse(uuid, sid->str, D4_SID) != 0)
    {
        return;
    }

    c = ngx_calloc(sizeof(ngx_d4_candidate_t), ngx_d4_worker.log);
    if (c == NULL) {
        return;
    }

    ngx_memcpy(c->sid, sid->str, D4_SID);
    c->type = ngx_d4_scan.type;
    c->wait = 1;

    ngx_d4_scan.wait++;

    ngx_str_set(&argv[0], "EXISTS");
    ngx_d4_str(&argv[1], key, ngx_sprintf(key, "d4:cursor:%s", c->sid) - key);

    if (ngx_d4_redis_command(ngx_d4_worker.queues, 2, argv,
                             ngx_d4_candidate_answer, c)
        == NGX_OK)
    {
        c->wait++;

    } else {
        c->known = 1;
    }

    ngx_d4_str(&argv[1], key, ngx_sprintf(key, "d4:session:%s", c->sid) - key);

    if (ngx_d4_redis_command(ngx_d4_worker.metadata, 2, argv,
                             ngx_d4_candidate_answer, c)
        == NGX_OK)
    {
        c->wait++;

    } else {
        c->known = 1;
    }

    if (!ngx_d4_worker.conf->adopt_foreign) {
        ngx_str_set(&argv[0], "SISMEMBER");
        ngx_d4_str(&argv[1], key, ngx_sprintf(key, "working_session_uuid:%ui",
                                              c->type)
                                  - key);
        ngx_d4_str(&argv[2], c->sid, D4_SID);

        if (ngx_d4_redis_command(ngx_d4_worker.streams, 3, argv,
                                 ngx_d4_candidate_answer, c)
            == NGX_OK)
        {
            c->wait++;

        } else {
            c->known = 1;
        }
    }

    ngx_d4_candidate_step(c);
}


static void
ngx_d4_candidate_answer(void *data, redisReply *reply)
{
    ngx_d4_candidate_t  *c = data;

    if (reply == NULL || !ngx_d4_reply_is(reply, REDIS_REPLY_INTEGER)
        || reply->integer)
    {
        c->known = 1;
    }

    ngx_d4_candidate_step(c);
}


/* All has been said: whose sensor is it? */

static void
ngx_d4_candidate_step(ngx_d4_candidate_t *c)
{
    u_char     key[NGX_D4_STREAM_KEY];
    ngx_str_t  argv[6];

    if (--c->wait) {
        return;
    }

    if (c->known) {
        ngx_d4_candidate_free(c);
        return;
    }

    ngx_str_set(&argv[0], "XRANGE");
    ngx_d4_str(&argv[1], key, ngx_sprintf(key, "stream:%ui:%s", c->type,
                                          c->sid)
                              - key);
    ngx_str_set(&argv[2], "-");
    ngx_str_set(&argv[3], "+");
    ngx_str_set(&argv[4], "COUNT");
    ngx_str_set(&argv[5], "1");

    if (ngx_d4_redis_command(ngx_d4_worker.streams, 6, argv,
                             ngx_d4_candidate_first, c)
        != NGX_OK)
    {
        ngx_d4_candidate_free(c);
    }
}


static void
ngx_d4_candidate_first(void *data, redisReply *reply)
{
    ngx_d4_candidate_t  *c = data;

    char       hex[D4_UUID_HEX + 1];
    u_char     type[NGX_INT_T_LEN];
    ngx_str_t  sid, none, uuid, t;

    /* an empty stream has nothing to dispatch, and does not say whose it is */

    if (reply == NULL || ngx_d4_candidate_uuid(reply, hex) != NGX_OK) {
        ngx_d4_candidate_free(c);
        return;
    }

    ngx_d4_str(&sid, c->sid, D4_SID);
    ngx_str_null(&none);
    ngx_d4_str(&uuid, hex, D4_UUID_HEX);
    ngx_d4_str(&t, type, ngx_sprintf(type, "%ui", c->type) - type);

    if (ngx_d4_adopt(&sid, &none, &uuid, &t, ngx_d4_candidate_opened, c)
        != NGX_OK)
    {
        ngx_d4_candidate_free(c);
    }
}


/* [[id, [field, value...]]]: the sensor of the first entry. */

static ngx_int_t
ngx_d4_candidate_uuid(redisReply *reply, char *hex)
{
    size_t       i;
    u_char       uuid[D4_UUID_SIZE];
    redisReply  *fields, **e;

    if (!ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY) || reply->elements != 1
        || reply->element[0]->elements != 2)
    {
        return NGX_DECLINED;
    }

    fields = reply->element[0]->element[1];
    e = fields->element;

    for (i = 0; i + 1 < fields->elements; i += 2) {
        if (ngx_strcmp(e[i]->str, "uuid") == 0
            && d4_uuid_parse(uuid, e[i + 1]->str, e[i + 1]->len) == 0)
        {
            d4_uuid_hex(hex, uuid);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static void
ngx_d4_candidate_opened(void *data, redisReply *reply)
{
    ngx_d4_candidate_t  *c = data;

    ngx_str_t  sid;

    if (reply) {
        ngx_d4_str(&sid, c->sid, D4_SID);
        ngx_d4_adopted(&sid, NULL, reply);
    }

    ngx_d4_candidate_free(c);
}


static void
ngx_d4_candidate_free(ngx_d4_candidate_t *c)
{
    ngx_d4_scan.wait--;
    ngx_free(c);
}

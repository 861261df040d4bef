
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The keeper looks at queues: their definitions are in metadata, their lists
 * in queues, and what was seen is written down in metadata.
 */


#include "ngx_http_d4_keeper.h"


#define NGX_HTTP_D4_KEEP_QUEUES  "100"


static void ngx_http_d4_keep_lengths(void *data, redisReply *reply);
static void ngx_http_d4_keep_measured(void *data, redisReply *reply);
static void ngx_http_d4_keep_queues_done(void *data, redisReply *reply);


/*
 * cursor, batch -> next cursor, {queue, its list}...
 */

static const char  ngx_http_d4_script_keep_queues[] =
    "local r=redis.call('SSCAN','all_analyzer_queues',ARGV[1],'COUNT',"
        "ARGV[2]) "
    "local out={r[1]} "
    "for _,q in ipairs(r[2]) do "
        "local m=redis.call('HMGET','analyzer:'..q,'type','metatype') "
        "if m[1] then out[#out+1]={q,'analyzer:'.."
            "(m[1]=='254' and m[2] or m[1])..':'..q} end end "
    "return out";

/* key... -> length, or -1: no list */

static const char  ngx_http_d4_script_keep_lengths[] =
    "local out={} "
    "for i,k in ipairs(ARGV) do "
        "local t=redis.call('TYPE',k).ok "
        "if t=='none' then out[i]=0 "
        "elseif t=='list' then out[i]=redis.call('LLEN',k) "
        "else out[i]=-1 end end "
    "return out";

/*
 * now, unread after (s), [queue, length]... -> {queue, state, on}... that
 * changed
 *
 * A queue is read when it shrank, or is empty, since the last look; it is
 * unread when it was not for so long.
 */

static const char  ngx_http_d4_script_keep_watch[] =
    "local now,unread,out=tonumber(ARGV[1]),tonumber(ARGV[2]),{} "
    "for i=3,#ARGV,2 do "
        "local q,n=ARGV[i],tonumber(ARGV[i+1]) "
        "local k='d4:queue:'..q "
        "local m=redis.call('HMGET',k,'length','read','full','unread','time') "
        "local was,read=tonumber(m[1] or ''),tonumber(m[2] or '') or now "
        "if n<=0 or (was and n<was) then read=now end "
        "local max=tonumber(redis.call('HGET','analyzer:'..q,'max_size') "
            "or '') or 100000000 "
        "local full=n>=max and '1' or '0' "
        "local idle=(n>0 and now-read>unread) and '1' or '0' "
        "local growth=0 "
        "if was and m[5] and now>tonumber(m[5]) then "
            "growth=(n-was)/(now-tonumber(m[5])) end "
        "redis.call('HSET',k,'length',n,'read',read,'full',full,'unread',"
            "idle,'time',now,'growth',string.format('%.0f',growth)) "
        "if full~=(m[3] or '0') then out[#out+1]={q,'full',full} end "
        "if idle~=(m[4] or '0') then out[#out+1]={q,'unread',idle} end "
        "for _,v in ipairs({{'full',full},{'unread',idle}}) do "
            "redis.call(v[2]=='1' and 'SADD' or 'SREM','d4:queues:'..v[1],q) "
        "end end "
    "return out";


/* of the batch whose lengths were asked for, in a pool of its own */
static ngx_array_t  *ngx_http_d4_keep_names;


void
ngx_http_d4_keep_queues(ngx_str_t *cursor)
{
    ngx_str_t  argv[5];

    argv[3] = *cursor;
    ngx_str_set(&argv[4], NGX_HTTP_D4_KEEP_QUEUES);

    (void) ngx_http_d4_keep_ask(NGX_D4_REDIS_METADATA,
                                ngx_http_d4_script_keep_queues, 5, argv,
                                ngx_http_d4_keep_lengths);
}


/* The queues' names are kept until their lengths are known. */

static void
ngx_http_d4_keep_lengths(void *data, redisReply *reply)
{
    size_t       i;
    ngx_str_t   *argv, *name;
    redisReply  *e;
    ngx_pool_t  *pool;

    if (!ngx_http_d4_keep_answer(reply, REDIS_REPLY_ARRAY)) {
        return;
    }

    ngx_http_d4_keep_advance(reply->element[0]->str, reply->element[0]->len);

    if (reply->elements < 2) {
        return;
    }

    pool = ngx_create_pool(4096, ngx_cycle->log);
    if (pool == NULL) {
        return;
    }

    ngx_http_d4_keep_names = ngx_array_create(pool, reply->elements,
                                              sizeof(ngx_str_t));
    argv = ngx_palloc(pool, (reply->elements + 2) * sizeof(ngx_str_t));

    if (ngx_http_d4_keep_names == NULL || argv == NULL) {
        goto failed;
    }

    for (i = 1; i < reply->elements; i++) {
        e = reply->element[i];

        name = ngx_array_push(ngx_http_d4_keep_names);
        name->len = e->element[0]->len;
        name->data = ngx_pnalloc(pool, name->len + 1);

        if (name->data == NULL) {
            goto failed;
        }

        ngx_memcpy(name->data, e->element[0]->str, name->len);

        argv[2 + i].data = (u_char *) e->element[1]->str;
        argv[2 + i].len = e->element[1]->len;
    }

    if (ngx_http_d4_keep_ask(NGX_D4_REDIS_QUEUES,
                             ngx_http_d4_script_keep_lengths,
                             reply->elements + 2, argv,
                             ngx_http_d4_keep_measured))
    {
        return;
    }

failed:

    ngx_http_d4_keep_names = NULL;
    ngx_destroy_pool(pool);
}


static void
ngx_http_d4_keep_measured(void *data, redisReply *reply)
{
    size_t        i;
    u_char        now[NGX_TIME_T_LEN], unread[NGX_TIME_T_LEN];
    ngx_str_t    *argv, *name;
    ngx_uint_t    n;
    ngx_pool_t   *pool;
    ngx_array_t  *queues;

    queues = ngx_http_d4_keep_names;
    pool = queues->pool;
    name = queues->elts;
    ngx_http_d4_keep_names = NULL;

    if (!ngx_http_d4_keep_answer(reply, REDIS_REPLY_ARRAY)
        || reply->elements != queues->nelts)
    {
        goto done;
    }

    argv = ngx_palloc(pool, (5 + 2 * queues->nelts) * sizeof(ngx_str_t));
    if (argv == NULL) {
        goto done;
    }

    argv[3].data = now;
    argv[3].len = ngx_sprintf(now, "%T", ngx_time()) - now;
    argv[4].data = unread;
    argv[4].len = ngx_sprintf(unread, "%T", ngx_http_d4_main()->unread)
                  - unread;
    n = 5;

    for (i = 0; i < queues->nelts; i++) {

        if (reply->element[i]->integer < 0) {
            continue;
        }

        argv[n++] = name[i];
        argv[n].data = ngx_pnalloc(pool, NGX_INT64_LEN);

        if (argv[n].data == NULL) {
            goto done;
        }

        argv[n].len = ngx_sprintf(argv[n].data, "%L",
                                  (int64_t) reply->element[i]->integer)
                      - argv[n].data;
        n++;
    }

    if (n > 5) {
        (void) ngx_http_d4_keep_ask(NGX_D4_REDIS_METADATA,
                                    ngx_http_d4_script_keep_watch, n, argv,
                                    ngx_http_d4_keep_queues_done);
    }

done:

    ngx_destroy_pool(pool);
}


static void
ngx_http_d4_keep_queues_done(void *data, redisReply *reply)
{
    size_t       i;
    ngx_str_t    id;
    redisReply  *e;

    if (!ngx_http_d4_keep_answer(reply, REDIS_REPLY_ARRAY)) {
        return;
    }

    for (i = 0; i < reply->elements; i++) {
        e = reply->element[i];

        id.data = (u_char *) e->element[0]->str;
        id.len = e->element[0]->len;

        ngx_http_d4_alert("queue", &id, e->element[1]->str,
                          e->element[2]->str[0] == '1');
    }
}


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

/*
 * key... -> {length or -1: no list, pushed, dropped} for each; the dispatcher
 * counts what it pushes, another server's workers do not: then it is -1
 */

static const char  ngx_http_d4_script_keep_lengths[] =
    "local out={} "
    "for i,k in ipairs(ARGV) do "
        "local t=redis.call('TYPE',k).ok "
        "local n=t=='none' and 0 or -1 "
        "if t=='list' then n=redis.call('LLEN',k) end "
        "local c=redis.call('HMGET','d4:queue:'..k,'pushed','dropped') "
        "out[i]={n,tonumber(c[1] or '-1'),tonumber(c[2] or '0')} end "
    "return out";

/*
 * now, unread after (s), most elements, [queue, length, pushed, dropped]...
 * -> {queue, state, on}... that changed
 *
 * A queue is full when it has reached its elements, or when something was
 * dropped, as with bytes; no longer when something was taken and a tenth is
 * free.  It is read when it has given more elements than at the last look, or
 * is empty; it is unread when it was not for so long.  Where nobody counts
 * what is pushed, only a queue that shrank has surely given some.
 */

static const char  ngx_http_d4_script_keep_watch[] =
    "local now,unread,most,out=tonumber(ARGV[1]),tonumber(ARGV[2]),"
        "tonumber(ARGV[3]),{} "
    "local names={'length','read','full','unread','time','pushed',"
        "'consumed','dropped'} "
    "for i=4,#ARGV,4 do "
        "local q,n,pushed,dropped=ARGV[i],tonumber(ARGV[i+1]),"
            "tonumber(ARGV[i+2]),tonumber(ARGV[i+3]) "
        "local k='d4:watch:'..q "
        "local m=redis.call('HMGET',k,unpack(names)) "
        "for j,v in ipairs(names) do m[v]=tonumber(m[j] or '') end "
        "local read=m.read or now "
        "local consumed=pushed>=0 and pushed-dropped-n or -1 "
        "local max=tonumber(redis.call('HGET','analyzer:'..q,'max_size') "
            "or '') or most "
        "local drops=m.dropped and dropped>m.dropped "
        "local taken=n<=0 or (m.length and n<m.length) "
            "or (m.consumed and consumed>m.consumed) "
        "local full=(n>=max or drops) and 1 or 0 "
        "if full==0 and m.full==1 and (n>=max*0.9 or not taken) then "
            "full=1 end "
        "if taken then read=now end "
        "local idle=(n>0 and now-read>unread) and 1 or 0 "
        "local set={'length',n,'read',read,'full',full,'unread',idle,'time',"
            "now,'pushed',pushed,'consumed',consumed,'dropped',dropped} "
        "for j=2,#set,2 do set[j]=string.format('%.0f',set[j]) end "
        "if m.time and now>m.time then "
            "local function rate(name,a,b) "
                "if a and a>=0 and b>=0 then set[#set+1]=name "
                    "set[#set+1]=string.format('%.0f',(b-a)/(now-m.time)) "
                "end end "
            "rate('in_rate',m.pushed,pushed) "
            "rate('out_rate',m.consumed,consumed) "
            "rate('growth',m.length,n) end "
        "redis.call('HSET',k,unpack(set)) "
        "for _,v in ipairs({{'full',full},{'unread',idle}}) do "
            "if v[2]~=(m[v[1]] or 0) then "
                "out[#out+1]={q,v[1],tostring(v[2])} end "
            "redis.call(v[2]==1 and 'SADD' or 'SREM','d4:watch:'..v[1],q) "
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


static ngx_int_t
ngx_http_d4_keep_number(ngx_pool_t *pool, ngx_str_t *word, int64_t n)
{
    word->data = ngx_pnalloc(pool, NGX_INT64_LEN + 1);
    if (word->data == NULL) {
        return NGX_ERROR;
    }

    word->len = ngx_sprintf(word->data, "%L", n) - word->data;

    return NGX_OK;
}


static void
ngx_http_d4_keep_measured(void *data, redisReply *reply)
{
    size_t          i;
    ngx_str_t      *argv, *name;
    ngx_uint_t      n, k;
    ngx_pool_t     *pool;
    redisReply     *e;
    ngx_array_t    *queues;
    ngx_d4_conf_t  *conf;

    queues = ngx_http_d4_keep_names;
    pool = queues->pool;
    name = queues->elts;
    ngx_http_d4_keep_names = NULL;

    if (!ngx_http_d4_keep_answer(reply, REDIS_REPLY_ARRAY)
        || reply->elements != queues->nelts)
    {
        goto done;
    }

    argv = ngx_palloc(pool, (6 + 4 * queues->nelts) * sizeof(ngx_str_t));
    if (argv == NULL) {
        goto done;
    }

    conf = ngx_d4_get_conf((ngx_cycle_t *) ngx_cycle);

    if (ngx_http_d4_keep_number(pool, &argv[3], ngx_time()) != NGX_OK
        || ngx_http_d4_keep_number(pool, &argv[4], conf->queue_unread)
           != NGX_OK
        || ngx_http_d4_keep_number(pool, &argv[5], conf->queue_max) != NGX_OK)
    {
        goto done;
    }

    n = 6;

    for (i = 0; i < queues->nelts; i++) {

        e = reply->element[i];

        if (e->type != REDIS_REPLY_ARRAY || e->elements != 3
            || e->element[0]->integer < 0)
        {
            continue;
        }

        argv[n++] = name[i];

        for (k = 0; k < 3; k++) {
            if (ngx_http_d4_keep_number(pool, &argv[n++],
                                        e->element[k]->integer)
                != NGX_OK)
            {
                goto done;
            }
        }
    }

    if (n > 6) {
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

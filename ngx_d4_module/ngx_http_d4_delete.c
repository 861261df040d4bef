
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * A sensor is forgotten completely, connected or not.
 */


#include "ngx_http_d4_match.h"


#define NGX_HTTP_D4_DELETE_WAIT   100      /* ms */
#define NGX_HTTP_D4_DELETE_TRIES  50


typedef struct {
    ngx_uint_t   tries;
    ngx_uint_t   n;
    ngx_str_t   *sids;
} ngx_http_d4_delete_t;


static void ngx_http_d4_sensor_sids(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_deleted(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_ends(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_ended(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_gone(ngx_http_d4_api_t *a);


const char  ngx_http_d4_script_delete[] =
    NGX_HTTP_D4_LUA_INDEX
    "local u=ARGV[1] "
    "local d=dash(u) "
    "local k='metadata_uuid:'..u "
    "local n=redis.call('EXISTS',k)"
        "+redis.call('SREM','registered_uuid',u,d)"
        "+redis.call('SREM','sensor_pending_registration',u,d) "
    "unindex(u) "
    "for _,t in ipairs(redis.call('SMEMBERS','all_types_by_uuid:'..u)) do "
        "redis.call('DEL','metadata_type_by_uuid:'..u..':'..t) end "
    "for _,t in ipairs(redis.call('SMEMBERS','all_extended_types_by_uuid:'.."
        "u)) do "
        "redis.call('DEL','metadata_extended_type_by_uuid:'..u..':'..t) end "
    "for _,s in ipairs({'all:analyzer:format_type',"
        "'all:analyzer:extended_type'}) do "
        "for _,t in ipairs(redis.call('SMEMBERS',s)) do "
            "local sk='sensor:queues:'..t..':'..u "
            "for _,q in ipairs(redis.call('SMEMBERS',sk)) do "
                "redis.call('SREM','analyzer_sensor_group:'..q,u,d) end "
            "redis.call('DEL',sk) end end "
    "redis.call('DEL',k,'all_types_by_uuid:'..u,"
        "'all_extended_types_by_uuid:'..u,'list_uuid_ip:'..u,"
        "'to_monitor:sensor:'..u) "
    "redis.call('HDEL','stream_max_size_by_uuid',u,d) "
    "redis.call('SREM','to_monitor:sensors',u,d) "
    "redis.call('SREM','sensors_monitoring:sensors_error',u,d) "
    "return n>0 and 1 or 0";


/* The same once more, unless it was registered again meanwhile. */

static const char  ngx_http_d4_script_again[] =
    "local u=ARGV[1] "
    "if redis.call('SISMEMBER','registered_uuid',u)==1 "
        "or redis.call('SISMEMBER','sensor_pending_registration',u)==1 then "
        "return 0 end "
    "for _,t in ipairs(redis.call('SMEMBERS','all_types_by_uuid:'..u)) do "
        "redis.call('DEL','metadata_type_by_uuid:'..u..':'..t) end "
    "redis.call('DEL','metadata_uuid:'..u,'all_types_by_uuid:'..u,"
        "'list_uuid_ip:'..u) "
    "return 1";


/*
 * First everything goes, so that no session is let in any more; live sessions
 * are told.  What they still write down about themselves while they end goes
 * afterwards.
 */

void
ngx_http_d4_sensor_delete(ngx_http_d4_api_t *a)
{
    ngx_http_d4_ask(a, NGX_D4_REDIS_STREAMS,
                    "SMEMBERS map:active_connection-uuid-session_uuid:%V",
                    &a->uuid);
    ngx_http_d4_wait(a, ngx_http_d4_sensor_sids);
}


static void
ngx_http_d4_sensor_sids(ngx_http_d4_api_t *a)
{
    ngx_uint_t             i;
    ngx_http_d4_reply_t   *r;
    ngx_http_d4_delete_t  *d;

    r = a->reply[0];

    d = ngx_pcalloc(a->request->pool, sizeof(ngx_http_d4_delete_t)
                                      + r->n * sizeof(ngx_str_t));
    if (d == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return;
    }

    d->sids = (ngx_str_t *) (d + 1);

    for (i = 0; i < r->n && i < NGX_HTTP_D4_ASKS; i++) {
        d->sids[d->n++] = ngx_http_d4_copy(a, r->element[i].str.data,
                                           r->element[i].str.len);
    }

    a->data = d;

    ngx_http_d4_change(a, NGX_D4_REDIS_METADATA, NGX_HTTP_D4_A_SENSOR,
                       &a->uuid,
                       ngx_http_d4_words(a, "EVAL %s 0 %V",
                                         ngx_http_d4_script_delete,
                                         &a->uuid));
    ngx_http_d4_announce(a, "sensor", &a->uuid);
    ngx_http_d4_wait(a, ngx_http_d4_sensor_deleted);
}


static void
ngx_http_d4_sensor_deleted(ngx_http_d4_api_t *a)
{
    ngx_http_d4_delete_t  *d;

    d = a->data;

    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such sensor");
        return;
    }

    if (d->n == 0) {
        ngx_http_d4_success(a);
        return;
    }

    /* who would still be let in is sent away, and banned for a while */

    if (ngx_d4_get_conf((ngx_cycle_t *) ngx_cycle)->mode
        == NGX_D4_MODE_SHARED_SECRET)
    {
        ngx_http_d4_ask(a, NGX_D4_REDIS_STREAMS,
                        "SADD server:sensor_to_kick %V", &a->uuid);
        ngx_http_d4_announce(a, "kick", &a->uuid);
    }

    ngx_http_d4_wait(a, ngx_http_d4_sensor_ends);
}


static void
ngx_http_d4_sensor_ends(ngx_http_d4_api_t *a)
{
    ngx_uint_t             i;
    ngx_http_d4_delete_t  *d;

    d = a->data;

    for (i = 0; i < d->n; i++) {
        ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "HGET d4:session:%V state",
                        &d->sids[i]);
    }

    ngx_http_d4_wait(a, ngx_http_d4_sensor_ended);
}


static void
ngx_http_d4_sensor_ended(ngx_http_d4_api_t *a)
{
    ngx_uint_t             i, live;
    ngx_http_d4_delete_t  *d;

    d = a->data;
    live = 0;

    for (i = 0; i < d->n; i++) {
        live += (a->reply[i]->str.len == 4
                 && ngx_strncmp(a->reply[i]->str.data, "live", 4) == 0);
    }

    if (live && d->tries++ < NGX_HTTP_D4_DELETE_TRIES) {
        ngx_http_d4_forget(a);
        ngx_http_d4_later(a, NGX_HTTP_D4_DELETE_WAIT,
                          ngx_http_d4_sensor_ends);
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "EVAL %s 0 %V",
                    ngx_http_d4_script_again, &a->uuid);
    ngx_http_d4_wait(a, ngx_http_d4_sensor_gone);
}


static void
ngx_http_d4_sensor_gone(ngx_http_d4_api_t *a)
{
    ngx_http_d4_success(a);
}

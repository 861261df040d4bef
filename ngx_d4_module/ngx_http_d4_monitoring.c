
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What the keeper found: silent sensors, queues that are full or that nobody
 * reads.
 */


#include "ngx_http_d4_api.h"


#define NGX_HTTP_D4_MONITORED  "1000"  /* of each kind that are shown */


static void ngx_http_d4_monitoring(ngx_http_d4_api_t *a);
static void ngx_http_d4_monitoring_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_monitoring_errors(ngx_http_d4_api_t *a);
static void ngx_http_d4_monitoring_errors_send(ngx_http_d4_api_t *a);


static const char  ngx_http_d4_script_monitoring[] =
    "local out={{},{},{}} "
    "for _,u in ipairs(redis.call('SRANDMEMBER',"
        "'sensors_monitoring:sensors_error',ARGV[1])) do "
        "local h=string.gsub(string.lower(u),'-','') "
        "local m=redis.call('HMGET','metadata_uuid:'..h,'name','last_seen') "
        "out[1][#out[1]+1]={u,m[1],m[2],"
            "redis.call('HGET','to_monitor:sensor:'..u,'delta_time')} end "
    "for i,k in ipairs({'d4:watch:full','d4:watch:unread'}) do "
        "for _,q in ipairs(redis.call('SRANDMEMBER',k,ARGV[1])) do "
            "local m=redis.call('HMGET','d4:watch:'..q,'length','read',"
                "'growth') "
            "if redis.call('EXISTS','analyzer:'..q)==1 then "
                "out[1+i][#out[1+i]+1]={q,m[1],m[2],m[3]} "
            "else redis.call('SREM',k,q) end end end "
    "return out";


const ngx_http_d4_route_t  ngx_http_d4_monitor_routes[] = {

    { NGX_HTTP_GET, "monitoring", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_monitoring, NULL, NULL },

    { NGX_HTTP_GET, "sensors/monitoring/errors", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_monitoring_errors, NULL, NULL },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};


static void
ngx_http_d4_monitoring(ngx_http_d4_api_t *a)
{
    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "EVAL %s 0 %s",
                    ngx_http_d4_script_monitoring, NGX_HTTP_D4_MONITORED);
    ngx_http_d4_wait(a, ngx_http_d4_monitoring_send);
}


static void
ngx_http_d4_monitoring_send(ngx_http_d4_api_t *a)
{
    d4_out_t             *o;
    ngx_uint_t            i, k;
    ngx_http_d4_reply_t  *e, *list;

    static const char *const  names[] = {
        "silent_sensors", "full_queues", "unread_queues"
    };

    o = &a->out;

    d4_out_object(o, NULL);

    for (k = 0; k < 3; k++) {
        list = &a->reply[0]->element[k];

        d4_out_array(o, names[k]);

        for (i = 0; i < list->n; i++) {
            e = list->element[i].element;

            d4_out_object(o, NULL);

            if (k == 0) {
                ngx_http_d4_json_string(o, "uuid", &e[0]);
                ngx_http_d4_json_string(o, "name", &e[1]);
                ngx_http_d4_json_number(o, "last_seen", &e[2]);
                ngx_http_d4_json_number(o, "monitoring_delay", &e[3]);

            } else {
                ngx_http_d4_json_string(o, "id", &e[0]);
                ngx_http_d4_json_number(o, "length", &e[1]);
                ngx_http_d4_json_number(o, "last_read", &e[2]);
                ngx_http_d4_json_number(o, "growth", &e[3]);
            }

            d4_out_object_end(o);
        }

        d4_out_array_end(o);
    }

    d4_out_object_end(o);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


/* As published: an array of uuids. */

static void
ngx_http_d4_monitoring_errors(ngx_http_d4_api_t *a)
{
    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA,
                    "SRANDMEMBER sensors_monitoring:sensors_error %s",
                    NGX_HTTP_D4_MONITORED);
    ngx_http_d4_wait(a, ngx_http_d4_monitoring_errors_send);
}


static void
ngx_http_d4_monitoring_errors_send(ngx_http_d4_api_t *a)
{
    ngx_http_d4_json_strings(&a->out, NULL, a->reply[0]);
    ngx_http_d4_send(a, NGX_HTTP_OK);
}

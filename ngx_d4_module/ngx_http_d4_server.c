
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The server itself: what it runs with, its description, its audit log, and
 * whether it is well.
 */


#include "ngx_http_d4_api.h"
#include "ngx_http_d4_module.h"
#include "protocol/d4_info.h"


static void ngx_http_d4_server(ngx_http_d4_api_t *a);
static void ngx_http_d4_server_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_server_redis(ngx_http_d4_api_t *a);
static void ngx_http_d4_openapi_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_audit_list(ngx_http_d4_api_t *a);
static void ngx_http_d4_audit_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_health_send(ngx_http_d4_api_t *a);


/* docs/openapi.json as it is, put in when this is assembled */

__asm__(".section .rodata\n"
        ".hidden ngx_http_d4_openapi\n"
        ".globl ngx_http_d4_openapi\n"
        "ngx_http_d4_openapi:\n"
        ".incbin " "\"" NGX_HTTP_D4_OPENAPI "\"" "\n"
        ".hidden ngx_http_d4_openapi_end\n"
        ".globl ngx_http_d4_openapi_end\n"
        "ngx_http_d4_openapi_end:\n"
        ".byte 0\n"
        ".previous\n");

extern const char  ngx_http_d4_openapi[], ngx_http_d4_openapi_end[];


const ngx_http_d4_route_t  ngx_http_d4_server_routes[] = {

    { NGX_HTTP_GET, "openapi.json", NGX_HTTP_D4_ANYONE, 0,
      ngx_http_d4_openapi_send, NULL, NULL },

    { NGX_HTTP_GET, "server", NGX_HTTP_D4_VIEWER, 0, ngx_http_d4_server, NULL,
      NULL },

    { NGX_HTTP_GET, "audit", NGX_HTTP_D4_ADMIN, 0, ngx_http_d4_audit_list,
      NULL, "limit next" },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};

static const ngx_http_d4_route_t  ngx_http_d4_health_route =

    { NGX_HTTP_GET, "", NGX_HTTP_D4_ANYONE, NGX_HTTP_D4_QUIET,
      ngx_http_d4_health_send, NULL, NULL };


static void
ngx_http_d4_openapi_send(ngx_http_d4_api_t *a)
{
    d4_out_raw(&a->out, ngx_http_d4_openapi,
               ngx_http_d4_openapi_end - ngx_http_d4_openapi);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


/* Asks those that are there: one that is not is what is to be told. */

static void
ngx_http_d4_server(ngx_http_d4_api_t *a)
{
    ngx_uint_t  i;

    a->number = 0;

    for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {
        if (ngx_d4_redis_ready(ngx_http_d4_redis[i])) {
            a->number |= 1 << i;
            ngx_http_d4_ask(a, i, "INFO");
        }
    }

    if (a->number & (1 << NGX_D4_REDIS_METADATA)) {
        ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "SCARD registered_uuid");
        ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA,
                        "SCARD sensor_pending_registration");
    }

    ngx_http_d4_wait(a, ngx_http_d4_server_send);
}


static void
ngx_http_d4_server_send(ngx_http_d4_api_t *a)
{
    d4_out_t         *o;
    ngx_uint_t        i, n;
    ngx_d4_conf_t    *conf;
    ngx_d4_totals_t   totals;

    o = &a->out;
    conf = ngx_d4_get_conf((ngx_cycle_t *) ngx_cycle);

    ngx_d4_session_totals(&totals);

    d4_out_object(o, NULL);
    d4_out_text(o, "mode", conf->mode == NGX_D4_MODE_REGISTRATION
                           ? "registration" : "shared-secret");
    d4_out_string(o, "host", conf->host.data, conf->host.len);
    d4_out_text(o, "nginx", NGINX_VERSION);
    d4_out_bool(o, "dispatch", conf->dispatch != 0);
    d4_out_int(o, "time", ngx_time());
    d4_out_int(o, "started", ngx_http_d4_started);
    d4_out_uint(o, "sessions", totals.sessions);

    n = 0;

    for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {
        n += (a->number >> i) & 1;
    }

    if (a->number & (1 << NGX_D4_REDIS_METADATA)) {
        d4_out_int(o, "registered", a->reply[n]->integer);
        d4_out_int(o, "pending", a->reply[n + 1]->integer);

    } else {
        d4_out_null(o, "registered");
        d4_out_null(o, "pending");
    }

    ngx_http_d4_server_redis(a);

    d4_out_object(o, "limits");
    d4_out_uint(o, "sessions", totals.sessions_max);
    d4_out_uint(o, "worker_memory", conf->worker_memory);
    d4_out_uint(o, "batch_size", conf->batch_size);
    d4_out_int(o, "redis_timeout_ms", conf->redis_timeout);
    d4_out_int(o, "stat_interval_ms", conf->stat_interval);
    d4_out_int(o, "stat_retention", conf->stat_retention);
    d4_out_int(o, "refused_max", conf->refused_max);
    d4_out_uint(o, "line_max", conf->line_max);
    d4_out_uint(o, "object_max", conf->object_max);
    d4_out_int(o, "queue_max", conf->queue_max);
    d4_out_int(o, "queue_max_bytes", conf->queue_max_bytes);
    d4_out_int(o, "queue_unread", conf->queue_unread);
    d4_out_int(o, "data_retention", conf->data_retention);
    d4_out_object_end(o);

    d4_out_object_end(o);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_server_redis(ngx_http_d4_api_t *a)
{
    d4_out_t    *o;
    d4_info_t    info;
    ngx_uint_t   i, n, up;

    o = &a->out;
    n = 0;

    d4_out_object(o, "redis");

    for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {

        up = (a->number >> i) & 1;

        d4_out_object(o, ngx_http_d4_redis_role(i));
        d4_out_bool(o, "up", up != 0);
        d4_out_uint(o, "reconnects", ngx_http_d4_lost[i]);

        if (up) {
            d4_info_parse(&info, (char *) a->reply[n]->str.data,
                          a->reply[n]->str.len);
            d4_out_text(o, "version", info.version_text);
            d4_out_text(o, "role", info.role);
            d4_out_bool(o, "append_only", !info.volatile_only);
            d4_out_uint(o, "maxmemory", info.maxmemory);
            n++;
        }

        d4_out_object_end(o);
    }

    d4_out_object_end(o);
}


static void
ngx_http_d4_audit_list(ngx_http_d4_api_t *a)
{
    int64_t    limit;
    ngx_str_t  last;

    limit = 100;

    if (ngx_http_d4_arg_number(a, "limit", 1, 1000, &limit) != NGX_OK
        || ngx_http_d4_arg_entry(a, "next", &last) != NGX_OK)
    {
        return;
    }

    a->number = limit;

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA,
                    "XREVRANGE d4:audit %V - COUNT %L", &last, limit);
    ngx_http_d4_wait(a, ngx_http_d4_audit_send);
}


static void
ngx_http_d4_audit_send(ngx_http_d4_api_t *a)
{
    u_char               *dash;
    d4_out_t             *o;
    int64_t               ms;
    ngx_str_t            *id;
    ngx_uint_t            i, j;
    ngx_http_d4_reply_t  *e;

    static const char *const  names[] = {
        "user", "action", "target", "status", "address", NULL
    };

    o = &a->out;
    id = NULL;

    d4_out_object(o, NULL);
    d4_out_array(o, "entries");

    for (i = 0; i < a->reply[0]->n; i++) {
        e = &a->reply[0]->element[i];
        id = &e->element[0].str;
        dash = ngx_strlchr(id->data, id->data + id->len, '-');

        if (dash == NULL
            || d4_number((char *) id->data, dash - id->data, 0, INT64_MAX,
                         &ms)
               != 0)
        {
            continue;
        }

        d4_out_object(o, NULL);
        d4_out_int(o, "time", ms / 1000);

        for (j = 0; names[j]; j++) {
            if (j == 3) {
                ngx_http_d4_json_number(o, names[j],
                                        ngx_http_d4_field(&e->element[1],
                                                          names[j]));
                continue;
            }

            ngx_http_d4_json_string(o, names[j],
                                    ngx_http_d4_field(&e->element[1],
                                                      names[j]));
        }

        d4_out_object_end(o);
    }

    d4_out_array_end(o);

    if (id && a->reply[0]->n == (ngx_uint_t) a->number) {
        d4_out_string(o, "next", id->data, id->len);

    } else {
        d4_out_null(o, "next");
    }

    d4_out_object_end(o);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


ngx_int_t
ngx_http_d4_health_handler(ngx_http_request_t *r)
{
    return ngx_http_d4_serve(r, &ngx_http_d4_health_route);
}


/*
 * Well is who can take in data: Redis is there in every role, and the shared
 * zone has room.
 */

static void
ngx_http_d4_health_send(ngx_http_d4_api_t *a)
{
    char              reason[64];
    d4_out_t         *o;
    ngx_uint_t        i, bad;
    ngx_d4_totals_t   totals;

    o = &a->out;
    bad = 0;

    d4_out_object(o, NULL);
    d4_out_array(o, "reasons");

    for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {

        if (ngx_d4_redis_ready(ngx_http_d4_redis[i])) {
            continue;
        }

        ngx_snprintf((u_char *) reason, sizeof(reason),
                     "redis %s is not available%Z", ngx_http_d4_redis_role(i));
        d4_out_text(o, NULL, reason);
        bad++;
    }

    ngx_d4_session_totals(&totals);

    if (totals.unlisted) {
        d4_out_text(o, NULL, "the zone has no room for more sessions");
        bad++;
    }

    d4_out_array_end(o);
    d4_out_text(o, "status", bad ? "error" : "success");
    d4_out_object_end(o);

    ngx_http_d4_send(a, bad ? NGX_HTTP_SERVICE_UNAVAILABLE : NGX_HTTP_OK);
}

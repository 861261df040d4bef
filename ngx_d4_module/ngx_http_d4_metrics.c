
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Metrics in Prometheus' text format (exposition format 0.0.4).
 *
 * Counters of this host come from the shared zone; what Redis knows is asked
 * for when it is there, within bounds: the sessions and queues beyond them are
 * counted as left out.
 */


#include "ngx_http_d4_api.h"
#include "ngx_http_d4_module.h"


#define NGX_HTTP_D4_METRIC_QUEUES    1000
#define NGX_HTTP_D4_METRIC_SESSIONS  2000  /* whose streams are looked at */
#define NGX_HTTP_D4_METRIC_SENSORS   20000


typedef struct {
    uint64_t     sessions[256];
    uint64_t     undone[256];          /* the oldest of a type, Unix ms */
    ngx_uint_t   left_out;
    uint64_t     took[NGX_D4_REDIS_SERVER];
    ngx_uint_t   up[NGX_D4_REDIS_SERVER];
} ngx_http_d4_metrics_t;


static void ngx_http_d4_metrics_begin(ngx_http_d4_api_t *a);
static void ngx_http_d4_metrics_live(ngx_http_d4_api_t *a,
    ngx_http_d4_metrics_t *m);
static void ngx_http_d4_metrics_measured(ngx_http_d4_api_t *a);
static void ngx_http_d4_metrics_known(ngx_http_d4_api_t *a);
static void ngx_http_d4_metrics_backlog(ngx_http_d4_api_t *a);
static void ngx_http_d4_metrics_redis(ngx_http_d4_api_t *a);
static void ngx_http_d4_metrics_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_metric(d4_out_t *o, const char *name,
    const char *type, const char *help);


/* key... -> entries, by the type in the key */

static const char  ngx_http_d4_script_backlog[] =
    "local out={} "
    "for _,k in ipairs(ARGV) do "
        "local t=string.match(k,'^stream:(%d+):') "
        "if t and redis.call('TYPE',k).ok=='stream' then "
            "out[t]=(out[t] or 0)+redis.call('XLEN',k) end end "
    "local r={} "
    "for t,n in pairs(out) do r[#r+1]=t r[#r+1]=n end "
    "return r";

/* day -> types, bytes, registered, pending, silent, {queue, state...}... */

static const char  ngx_http_d4_script_metrics[] =
    "local d=ARGV[1] "
    "local q={} "
    "for _,v in ipairs(redis.call('SRANDMEMBER','all_analyzer_queues',"
        "tonumber(ARGV[2]))) do "
        "local m=redis.call('HMGET','d4:watch:'..v,'length','full','unread',"
            "'dropped','pushed','consumed') "
        "local n=redis.call('HMGET','analyzer:'..v,'type','metatype') "
        "if m[1] and n[1] then "
            "q[#q+1]={v,n[1],n[2] or '',m[1],m[2] or '0',m[3] or '0',"
                "m[4] or '0',m[5] or '0',m[6] or '0'} end end "
    "return {redis.call('ZRANGE','daily_type:'..d,0,255,'WITHSCORES'),"
        "redis.call('ZRANGE','d4:bytes:'..d..':type',0,255,'WITHSCORES'),"
        "redis.call('SCARD','registered_uuid'),"
        "redis.call('SCARD','sensor_pending_registration'),"
        "redis.call('SCARD','sensors_monitoring:sensors_error'),q}";


static const ngx_http_d4_route_t  ngx_http_d4_metrics_route =

    { NGX_HTTP_GET, "", NGX_HTTP_D4_ANYONE, NGX_HTTP_D4_QUIET,
      ngx_http_d4_metrics_begin, NULL, NULL };


ngx_int_t
ngx_http_d4_metrics_handler(ngx_http_request_t *r)
{
    return ngx_http_d4_serve(r, &ngx_http_d4_metrics_route);
}


static void
ngx_http_d4_metric(d4_out_t *o, const char *name, const char *type,
    const char *help)
{
    d4_out_printf(o, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}


static void
ngx_http_d4_metrics_begin(ngx_http_d4_api_t *a)
{
    ngx_uint_t              i;
    ngx_http_d4_metrics_t  *m;

    m = ngx_pcalloc(a->request->pool, sizeof(ngx_http_d4_metrics_t));
    if (m == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return;
    }

    a->data = m;

    ngx_http_d4_metrics_live(a, m);

    for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {
        m->up[i] = ngx_d4_redis_ready(ngx_http_d4_redis[i]);

        if (m->up[i]) {
            ngx_http_d4_ask(a, i, "PING");
        }
    }

    ngx_http_d4_wait(a, ngx_http_d4_metrics_measured);
}


static void
ngx_http_d4_metrics_live(ngx_http_d4_api_t *a, ngx_http_d4_metrics_t *m)
{
    d4_out_t               *o;
    uint32_t                cursor;
    ngx_uint_t              i, n, sensors;
    ngx_d4_session_view_t   views[64];
    ngx_http_d4_conf_t     *dlcf;

    dlcf = ngx_http_get_module_loc_conf(a->request, ngx_http_d4_module);

    o = &a->out;
    sensors = 0;

    if (dlcf->metrics == 2) {
        ngx_http_d4_metric(o, "d4_sensor_frames", "gauge",
                           "Frames of a live session of a sensor.");
    }

    for (cursor = 0; (n = ngx_d4_session_list(&cursor, views, 64)); ) {

        for (i = 0; i < n; i++) {
            m->sessions[views[i].type]++;

            if (views[i].undone
                && (m->undone[views[i].type] == 0
                    || views[i].undone < m->undone[views[i].type]))
            {
                m->undone[views[i].type] = views[i].undone;
            }

            if (dlcf->metrics == 2
                && sensors++ < NGX_HTTP_D4_METRIC_SENSORS)
            {
                d4_out_printf(o, "d4_sensor_frames{uuid=\"%s\",type=\"%u\","
                              "session=\"%s\"} %llu\n", views[i].uuid,
                              (unsigned) views[i].type, views[i].sid,
                              (unsigned long long) views[i].frames);
            }
        }
    }
}


static void
ngx_http_d4_metrics_measured(ngx_http_d4_api_t *a)
{
    ngx_uint_t              i, n, count;
    uint32_t                cursor;
    ngx_array_t            *words;
    ngx_d4_session_view_t   views[64];
    ngx_http_d4_metrics_t  *m;

    m = a->data;
    n = 0;

    for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {
        if (m->up[i]) {
            m->took[i] = a->asks[n++].took;
        }
    }

    a->number = 0;

    if (m->up[NGX_D4_REDIS_METADATA]) {
        ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "EVAL %s 0 %i %i",
                        ngx_http_d4_script_metrics,
                        (ngx_int_t) ngx_http_d4_today(),
                        (ngx_int_t) NGX_HTTP_D4_METRIC_QUEUES);
        a->number |= 1;
    }

    if (m->up[NGX_D4_REDIS_STREAMS]) {
        words = ngx_http_d4_words(a, "EVAL %s 0", ngx_http_d4_script_backlog);
        count = 0;

        for (cursor = 0; (n = ngx_d4_session_list(&cursor, views, 64)); ) {
            for (i = 0; i < n; i++) {
                u_char  key[sizeof("stream:255:") + D4_SID];

                if (count++ >= NGX_HTTP_D4_METRIC_SESSIONS) {
                    m->left_out++;
                    continue;
                }

                ngx_http_d4_word(words, key,
                                 ngx_sprintf(key, "stream:%ui:%s",
                                             views[i].type, views[i].sid)
                                 - key);
            }
        }

        ngx_http_d4_ask_words(a, NGX_D4_REDIS_STREAMS, words);
        a->number |= 2;
    }

    ngx_http_d4_wait(a, ngx_http_d4_metrics_send);
}


/* A label's value may be anything: what would end it is left out. */

static void
ngx_http_d4_metric_label(d4_out_t *o, const char *name,
    ngx_http_d4_reply_t *value)
{
    size_t  i;
    u_char  c;

    d4_out_printf(o, "%s=\"", name);

    for (i = 0; i < value->str.len; i++) {
        c = value->str.data[i];

        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            d4_out_raw(o, &c, 1);
        }
    }

    d4_out_raw(o, "\"", 1);
}


static void
ngx_http_d4_metrics_known(ngx_http_d4_api_t *a)
{
    d4_out_t             *o;
    ngx_uint_t            i, j;
    ngx_http_d4_reply_t  *e, *q;

    static const struct {
        const char  *name;
        const char  *help;
    } types[] = {
        { "d4_type_packets_today",
          "Packets of a type since midnight, on all hosts." },
        { "d4_type_bytes_today",
          "Bytes of a type since midnight, on all hosts." }
    };

    static const struct {
        const char  *name;
        const char  *help;
    } numbers[] = {
        { "d4_sensors_registered", "Registered sensors." },
        { "d4_sensors_pending", "Sensors that wait for approval." },
        { "d4_sensors_silent", "Monitored sensors that went silent." }
    };

    static const struct {
        const char  *name;
        const char  *type;
        const char  *help;
    } queues[] = {
        { "d4_queue_length", "gauge", "Elements of a queue." },
        { "d4_queue_full", "gauge", "1 when a queue has reached its limit." },
        { "d4_queue_unread", "gauge", "1 when nobody reads a queue." },
        { "d4_queue_dropped_total", "counter", "Elements dropped." },
        { "d4_queue_pushed_total", "counter",
          "Elements pushed by the dispatcher." },
        { "d4_queue_consumed_total", "counter", "Elements taken." }
    };

    o = &a->out;
    e = a->reply[0]->element;

    for (i = 0; i < 2; i++) {
        ngx_http_d4_metric(o, types[i].name, "gauge", types[i].help);

        for (j = 0; j + 1 < e[i].n; j += 2) {
            d4_out_printf(o, "%s{", types[i].name);
            ngx_http_d4_metric_label(o, "type", &e[i].element[j]);
            d4_out_printf(o, "} %lld\n", (long long)
                          ngx_http_d4_number(&e[i].element[j + 1], 0));
        }
    }

    for (i = 0; i < 3; i++) {
        ngx_http_d4_metric(o, numbers[i].name, "gauge", numbers[i].help);
        d4_out_printf(o, "%s %lld\n", numbers[i].name,
                      (long long) e[2 + i].integer);
    }

    for (i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
        ngx_http_d4_metric(o, queues[i].name, queues[i].type, queues[i].help);

        for (j = 0; j < e[5].n; j++) {
            q = e[5].element[j].element;

            d4_out_printf(o, "%s{", queues[i].name);
            ngx_http_d4_metric_label(o, "queue", &q[0]);
            d4_out_raw(o, ",", 1);
            ngx_http_d4_metric_label(o, "type", &q[1]);
            d4_out_raw(o, ",", 1);
            ngx_http_d4_metric_label(o, "extended_type", &q[2]);
            d4_out_printf(o, "} %lld\n", (long long)
                          ngx_max(ngx_http_d4_number(&q[3 + i], 0), 0));
        }
    }
}


static void
ngx_http_d4_metrics_backlog(ngx_http_d4_api_t *a)
{
    d4_out_t               *o;
    ngx_uint_t              i;
    ngx_http_d4_reply_t    *r;
    ngx_http_d4_metrics_t  *m;

    o = &a->out;
    m = a->data;
    r = a->reply[(a->number & 1) ? 1 : 0];

    ngx_http_d4_metric(o, "d4_backlog_entries", "gauge",
                       "Unread entries in the streams of live sessions.");

    for (i = 0; i + 1 < r->n; i += 2) {
        d4_out_raw(o, "d4_backlog_entries{", 19);
        ngx_http_d4_metric_label(o, "type", &r->element[i]);
        d4_out_printf(o, "} %lld\n",
                      (long long) r->element[i + 1].integer);
    }

    ngx_http_d4_metric(o, "d4_backlog_left_out", "gauge",
                       "Live sessions whose streams were not looked at.");
    d4_out_printf(o, "d4_backlog_left_out %u\n", (unsigned) m->left_out);
}


static void
ngx_http_d4_metrics_redis(ngx_http_d4_api_t *a)
{
    d4_out_t               *o;
    ngx_uint_t              i;
    ngx_http_d4_metrics_t  *m;

    o = &a->out;
    m = a->data;

    ngx_http_d4_metric(o, "d4_redis_up", "gauge",
                       "1 when this worker's connection stands.");

    for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {
        d4_out_printf(o, "d4_redis_up{role=\"%s\"} %u\n",
                      ngx_http_d4_redis_role(i), (unsigned) m->up[i]);
    }

    ngx_http_d4_metric(o, "d4_redis_latency_seconds", "gauge",
                       "Time of a PING just now.");

    for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {
        if (m->up[i]) {
            d4_out_printf(o, "d4_redis_latency_seconds{role=\"%s\"} "
                          "%llu.%06llu\n", ngx_http_d4_redis_role(i),
                          (unsigned long long) m->took[i] / 1000000,
                          (unsigned long long) m->took[i] % 1000000);
        }
    }

    ngx_http_d4_metric(o, "d4_redis_reconnects_total", "counter",
                       "Connections that this worker lost.");

    for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {
        d4_out_printf(o, "d4_redis_reconnects_total{role=\"%s\"} %u\n",
                      ngx_http_d4_redis_role(i),
                      (unsigned) ngx_http_d4_lost[i]);
    }
}


static void
ngx_http_d4_metrics_zone(ngx_http_d4_api_t *a)
{
    d4_out_t               *o;
    ngx_uint_t              i;
    ngx_d4_totals_t         t;
    ngx_http_d4_metrics_t  *m;

    o = &a->out;
    m = a->data;

    ngx_d4_session_totals(&t);

    ngx_http_d4_metric(o, "d4_connections_total", "counter",
                       "Connections of sensors that were accepted.");
    d4_out_printf(o, "d4_connections_total %llu\n",
                  (unsigned long long) t.accepted);

    ngx_http_d4_metric(o, "d4_frames_total", "counter", "Frames taken in.");
    d4_out_printf(o, "d4_frames_total %llu\n", (unsigned long long) t.frames);

    ngx_http_d4_metric(o, "d4_bytes_total", "counter",
                       "Bytes of payload taken in.");
    d4_out_printf(o, "d4_bytes_total %llu\n", (unsigned long long) t.bytes);

    ngx_http_d4_metric(o, "d4_sessions", "gauge", "Live sessions.");

    for (i = 0; i < 256; i++) {
        if (m->sessions[i]) {
            d4_out_printf(o, "d4_sessions{type=\"%u\"} %llu\n", (unsigned) i,
                          (unsigned long long) m->sessions[i]);
        }
    }

    ngx_http_d4_metric(o, "d4_sessions_max", "gauge",
                       "Sessions that the zone has room for.");
    d4_out_printf(o, "d4_sessions_max %u\n", (unsigned) t.sessions_max);

    ngx_http_d4_metric(o, "d4_session_ends_total", "counter",
                       "Ordinary ends of sessions, by reason.");

    for (i = 1; i < D4_END_N; i++) {
        if (!d4_end_refusal(i)) {
            d4_out_printf(o, "d4_session_ends_total{reason=\"%s\"} %llu\n",
                          d4_end_name(i), (unsigned long long) t.ends[i]);
        }
    }

    ngx_http_d4_metric(o, "d4_refusals_total", "counter",
                       "Sessions and connections refused, by reason.");

    for (i = 1; i < D4_END_N; i++) {
        if (d4_end_refusal(i)) {
            d4_out_printf(o, "d4_refusals_total{reason=\"%s\"} %llu\n",
                          d4_end_name(i), (unsigned long long) t.ends[i]);
        }
    }
}


static void
ngx_http_d4_metrics_dispatch(ngx_http_d4_api_t *a)
{
    d4_out_t    *o;
    uint64_t     n;
    ngx_uint_t   type, what;

    static const struct {
        const char  *name;
        const char  *help;
    } kinds[NGX_D4_DISPATCH_WHAT] = {
        { "d4_dispatch_files_total", "Files closed." },
        { "d4_dispatch_bytes_total", "Bytes written to files." },
        { "d4_dispatch_elements_total", "Elements pushed to queues." },
        { "d4_dispatch_dropped_total", "Elements dropped from full queues." },
        { "d4_dispatch_errors_total", "Records that were none." },
        { "d4_dispatch_rejected_total", "Sessions rejected." }
    };

    o = &a->out;

    for (what = 0; what < NGX_D4_DISPATCH_WHAT; what++) {
        ngx_http_d4_metric(o, kinds[what].name, "counter", kinds[what].help);

        for (type = 0; type < 256; type++) {
            n = ngx_d4_dispatch_total(type, what);

            if (n) {
                d4_out_printf(o, "%s{type=\"%u\"} %llu\n", kinds[what].name,
                              (unsigned) type, (unsigned long long) n);
            }
        }
    }
}


/*
 * Two views of the dispatcher's lag: how long it took what is done, and how
 * long that waits by now which is not.
 */

static void
ngx_http_d4_metrics_lag(ngx_http_d4_api_t *a)
{
    d4_out_t               *o;
    uint64_t                n[NGX_D4_LAGS], sum, count, now, ms;
    ngx_time_t             *tp;
    ngx_uint_t              type, i;
    ngx_http_d4_metrics_t  *m;

    o = &a->out;
    m = a->data;

    ngx_http_d4_metric(o, "d4_dispatch_lag_seconds", "histogram",
                       "From storing frames to their being dispatched.");

    for (type = 0; type < 256; type++) {
        sum = ngx_d4_dispatch_lag(type, n);
        count = 0;

        for (i = 0; i < NGX_D4_LAGS; i++) {
            count += n[i];
        }

        if (count == 0) {
            continue;
        }

        count = 0;

        for (i = 0; i < NGX_D4_LAGS; i++) {
            count += n[i];

            d4_out_printf(o, "d4_dispatch_lag_seconds_bucket{type=\"%u\",le=",
                          (unsigned) type);

            if (i + 1 < NGX_D4_LAGS) {
                d4_out_printf(o, "\"%g\"} %llu\n", ngx_d4_lag_ms[i] / 1000.0,
                              (unsigned long long) count);

            } else {
                d4_out_printf(o, "\"+Inf\"} %llu\n",
                              (unsigned long long) count);
            }
        }

        d4_out_printf(o, "d4_dispatch_lag_seconds_sum{type=\"%u\"} "
                      "%llu.%03llu\n", (unsigned) type,
                      (unsigned long long) sum / 1000,
                      (unsigned long long) sum % 1000);
        d4_out_printf(o, "d4_dispatch_lag_seconds_count{type=\"%u\"} %llu\n",
                      (unsigned) type, (unsigned long long) count);
    }

    ngx_http_d4_metric(o, "d4_dispatch_oldest_seconds", "gauge",
                       "Age of the oldest frame of a live session that is "
                       "not dispatched.");

    tp = ngx_timeofday();
    now = (uint64_t) tp->sec * 1000 + tp->msec;

    for (type = 0; type < 256; type++) {

        if (m->sessions[type] == 0) {
            continue;
        }

        ms = (m->undone[type] && m->undone[type] < now)
             ? now - m->undone[type] : 0;

        d4_out_printf(o, "d4_dispatch_oldest_seconds{type=\"%u\"} "
                      "%llu.%03llu\n", (unsigned) type,
                      (unsigned long long) ms / 1000,
                      (unsigned long long) ms % 1000);
    }
}


static void
ngx_http_d4_metrics_send(ngx_http_d4_api_t *a)
{
    ngx_http_d4_metrics_zone(a);
    ngx_http_d4_metrics_dispatch(a);
    ngx_http_d4_metrics_lag(a);
    ngx_http_d4_metrics_redis(a);

    if (a->number & 1) {
        ngx_http_d4_metrics_known(a);
    }

    if (a->number & 2) {
        ngx_http_d4_metrics_backlog(a);
    }

    ngx_http_d4_send_type(a, NGX_HTTP_OK,
                          "text/plain; version=0.0.4; charset=utf-8");
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Metrics in Prometheus' text format (exposition format 0.0.4).
 */


#include "ngx_http_pdns_info.h"


typedef struct {
    const char                *name;
    const char                *type;
    const char                *help;
    uint64_t                   value;
} ngx_http_pdns_metric_t;


static u_char *
ngx_http_pdns_metric(u_char *p, const char *name, const char *type,
    const char *help)
{
    return ngx_sprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                       type);
}


/*
 * A label's value may be anything, and two that differ must do so here, too: a
 * family that has a line twice is refused as a whole.
 */

static u_char *
ngx_http_pdns_metric_label(u_char *p, ngx_str_t *value)
{
    size_t  i;
    u_char  c;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (c < 0x20 || c >= 0x7f || c == '%') {
            p = ngx_sprintf(p, "%%%02Xi", (ngx_uint_t) c);
            continue;
        }

        if (c == '"' || c == '\\') {
            *p++ = '\\';
        }

        *p++ = c;
    }

    return p;
}


static u_char *
ngx_http_pdns_metric_figures(u_char *p, const char *name, const char *label,
    ngx_array_t *figures, ngx_uint_t timed)
{
    ngx_uint_t               i;
    ngx_http_pdns_figure_t  *f;

    f = figures->elts;

    for (i = 0; i < figures->nelts; i++) {
        p = ngx_sprintf(p, "%s{%s=\"", name, label);
        p = ngx_http_pdns_metric_label(p, &f[i].name);
        p = ngx_sprintf(p, "\"} %uL\n", timed ? (uint64_t) f[i].time : f[i].n);
    }

    return p;
}


static size_t
ngx_http_pdns_metrics_size(ngx_http_pdns_about_t *about)
{
    size_t                   len;
    ngx_uint_t               i;
    ngx_http_pdns_figure_t  *f;

    len = 4096 + PDNS_RESULTS * 128;
    f = about->sensors.elts;

    for (i = 0; i < about->sensors.nelts; i++) {
        len += 128 + 3 * f[i].name.len;
    }

    f = about->queues.elts;

    for (i = 0; i < about->queues.nelts; i++) {
        len += 2 * (128 + 3 * f[i].name.len);
    }

    return len;
}


ngx_int_t
ngx_http_pdns_metrics_answer(ngx_http_pdns_about_t *about, ngx_uint_t up)
{
    u_char      *p;
    ngx_str_t    text;
    ngx_uint_t   i;

    static ngx_str_t  type = ngx_string("text/plain; version=0.0.4");

    ngx_http_pdns_metric_t  metrics[] = {
        { "pdns_records", "gauge", "Records in the store.", about->records },
        { "pdns_names", "gauge", "Names in the store.", about->names },
        { "pdns_error_names", "gauge", "Names with error answers.",
          about->errors },
        { "pdns_sensors", "gauge", "Sensors that gave records.", about->all },
        { "pdns_store_memory_bytes", "gauge", "Memory of the store's Redis.",
          about->memory },
        { "pdns_store_memory_max_bytes", "gauge",
          "Its limit, 0 without one.", about->maxmemory }
    };

    p = ngx_pnalloc(about->request->pool, ngx_http_pdns_metrics_size(about));
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.data = p;

    p = ngx_http_pdns_metric(p, "pdns_store_up", "gauge",
                             "1 when the store answers.");
    p = ngx_sprintf(p, "pdns_store_up %ui\n", up);

    if (!up) {
        goto done;
    }

    for (i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        p = ngx_http_pdns_metric(p, metrics[i].name, metrics[i].type,
                                 metrics[i].help);
        p = ngx_sprintf(p, "%s %uL\n", metrics[i].name, metrics[i].value);
    }

    p = ngx_http_pdns_metric(p, "pdns_lines_total", "counter",
                             "Lines by what became of them.");

    for (i = 0; i < PDNS_RESULTS; i++) {

        if (i != PDNS_EMPTY) {
            p = ngx_sprintf(p, "pdns_lines_total{result=\"%s\"} %uL\n",
                            pdns_result_text(i), about->lines[i]);
        }
    }

    p = ngx_http_pdns_metric(p, "pdns_lines_per_second", "gauge",
                             "Lines a second, of the last minute.");
    p = ngx_sprintf(p, "pdns_lines_per_second %.1f\n",
                    (double) about->recent
                    / (NGX_HTTP_PDNS_SPAN * NGX_HTTP_PDNS_SPANS));

    p = ngx_http_pdns_metric(p, "pdns_sensor_records_total", "counter",
                             "Records by sensor, of those with the most.");
    p = ngx_http_pdns_metric_figures(p, "pdns_sensor_records_total",
                                     "sensor_id", &about->sensors, 0);

    p = ngx_http_pdns_metric(p, "pdns_queue_length", "gauge",
                             "Elements that wait in a queue.");
    p = ngx_http_pdns_metric_figures(p, "pdns_queue_length", "queue",
                                     &about->queues, 0);

    p = ngx_http_pdns_metric(p, "pdns_queue_time_seconds", "gauge",
                             "When its length was asked for.");
    p = ngx_http_pdns_metric_figures(p, "pdns_queue_time_seconds", "queue",
                                     &about->queues, 1);

done:

    text.len = p - text.data;

    return ngx_http_pdns_text(about->request, NGX_HTTP_OK, &type, &text);
}

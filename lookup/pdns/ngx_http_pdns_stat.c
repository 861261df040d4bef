
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What a worker counts goes to hashes of the store once a second, where "info"
 * and "pdns_metrics" of any host find the sums: lines by what became of them,
 * with a sample of those refused, lines of the last seconds, records by their
 * sensor, and how much waits in the queues.  What is lost on the way is lost.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_STAT     1000    /* ms between two reports */
#define NGX_HTTP_PDNS_SAMPLE   200     /* bytes of a rejected line */
#define NGX_HTTP_PDNS_SENSORS  64      /* of one report */
#define NGX_HTTP_PDNS_KNOWN    10000   /* sensors that are kept */


typedef struct {
    size_t                     len;
    u_char                     id[PDNS_TEXT_MAX];
    uint64_t                   records;
} ngx_http_pdns_sensor_t;


typedef struct {
    ngx_socket_t               fd[3];  /* debug logs of timers read it */
    ngx_event_t                timer;
    ngx_d4_redis_t            *queues; /* of one worker of a host */
    uint64_t                   results[PDNS_RESULTS];
    u_char                     sample[PDNS_RESULTS][NGX_HTTP_PDNS_SAMPLE];
    size_t                     sample_len[PDNS_RESULTS];
    ngx_http_pdns_sensor_t    *sensors;
    ngx_uint_t                 nsensors;
    ngx_uint_t                 sensor; /* the one of the last record */
    unsigned                   ready:1;
} ngx_http_pdns_stat_t;


static void ngx_http_pdns_stat_timer(ngx_event_t *ev);
static void ngx_http_pdns_stat_lines(void);
static void ngx_http_pdns_stat_sensors(void);
static void ngx_http_pdns_stat_queues(void);
static void ngx_http_pdns_stat_queue(void *data, redisReply *reply);


static ngx_http_pdns_stat_t  ngx_http_pdns_stat;


ngx_int_t
ngx_http_pdns_stat_init(ngx_cycle_t *cycle)
{
    ngx_d4_conf_t         *conf;
    ngx_http_pdns_stat_t  *s;

    s = &ngx_http_pdns_stat;
    conf = ngx_d4_get_conf(cycle);

    ngx_memzero(s, sizeof(ngx_http_pdns_stat_t));

    s->sensors = ngx_alloc(NGX_HTTP_PDNS_SENSORS
                           * sizeof(ngx_http_pdns_sensor_t), cycle->log);
    if (s->sensors == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_pdns_worker.conf->queues != NULL && ngx_worker == 0) {
        s->queues = ngx_d4_redis_open(&conf->redis[NGX_D4_REDIS_QUEUES],
                                      conf->redis_timeout, NULL,
                                      ngx_http_pdns_worker.log);
        if (s->queues == NULL) {
            return NGX_ERROR;
        }
    }

    s->timer.handler = ngx_http_pdns_stat_timer;
    s->timer.data = s;
    s->timer.log = ngx_http_pdns_worker.log;
    s->timer.cancelable = 1;
    s->ready = 1;

    ngx_add_timer(&s->timer, NGX_HTTP_PDNS_STAT);

    return NGX_OK;
}


void
ngx_http_pdns_stat_done(void)
{
    ngx_http_pdns_stat_t  *s;

    s = &ngx_http_pdns_stat;

    if (!s->ready) {
        return;
    }

    s->ready = 0;

    if (s->timer.timer_set) {
        ngx_del_timer(&s->timer);
    }

    if (s->queues != NULL) {
        ngx_d4_redis_close(s->queues);
    }

    /* what came since the last report; the store is closed after us */

    if (ngx_d4_redis_ready(ngx_http_pdns_worker.store)) {
        ngx_http_pdns_stat_lines();
        ngx_http_pdns_stat_sensors();
    }

    ngx_free(s->sensors);
}


void
ngx_http_pdns_stat_result(pdns_result_t rc, u_char *p, size_t len)
{
    size_t                 n;
    u_char                *sample;
    ngx_http_pdns_stat_t  *s;

    s = &ngx_http_pdns_stat;

    s->results[rc]++;

    if (p == NULL || rc == PDNS_OK || rc == PDNS_EMPTY || rc == PDNS_NX) {
        return;
    }

    /* one that is told is enough to see what is wrong */

    sample = s->sample[rc];

    for (n = 0; n < len && n < NGX_HTTP_PDNS_SAMPLE; n++) {
        sample[n] = (p[n] >= ' ' && p[n] < 0x7f) ? p[n] : '?';
    }

    s->sample_len[rc] = n;
}


void
ngx_http_pdns_stat_sensor(const char *id, size_t len)
{
    ngx_uint_t               i;
    ngx_http_pdns_stat_t    *s;
    ngx_http_pdns_sensor_t  *sensor;

    s = &ngx_http_pdns_stat;
    i = s->sensor;

#define ngx_http_pdns_same_sensor(i)                                          \
    (s->sensors[i].len == len && ngx_memcmp(s->sensors[i].id, id, len) == 0)

    if (i >= s->nsensors || !ngx_http_pdns_same_sensor(i)) {

        for (i = 0; i < s->nsensors; i++) {
            if (ngx_http_pdns_same_sensor(i)) {
                break;
            }
        }
    }

    if (i == NGX_HTTP_PDNS_SENSORS) {
        ngx_http_pdns_stat_sensors();
        i = 0;
    }

    sensor = &s->sensors[i];

    if (i == s->nsensors) {
        sensor->len = len;
        sensor->records = 0;
        ngx_memcpy(sensor->id, id, len);
        s->nsensors++;
    }

    sensor->records++;
    s->sensor = i;
}


static void
ngx_http_pdns_stat_timer(ngx_event_t *ev)
{
    ngx_add_timer(ev, NGX_HTTP_PDNS_STAT);

    if (!ngx_d4_redis_ready(ngx_http_pdns_worker.store)) {
        return;
    }

    ngx_http_pdns_stat_lines();
    ngx_http_pdns_stat_sensors();
    ngx_http_pdns_stat_queues();
}


/* name key field number */

static void
ngx_http_pdns_stat_add(const char *name, const char *key, ngx_str_t *field,
    uint64_t n, ngx_uint_t turned)
{
    u_char     text[NGX_INT64_LEN];
    ngx_str_t  argv[4], number;

    number.data = text;
    number.len = ngx_sprintf(text, "%uL", n) - text;

    argv[0].data = (u_char *) name;
    argv[0].len = ngx_strlen(name);
    argv[1].data = (u_char *) key;
    argv[1].len = ngx_strlen(key);
    argv[2] = turned ? number : *field;
    argv[3] = turned ? *field : number;

    (void) ngx_d4_redis_command(ngx_http_pdns_worker.store, 4, argv, NULL,
                                NULL);
}


void
ngx_http_pdns_stat_count(const char *key, const char *field, uint64_t n)
{
    ngx_str_t  word;

    if (n != 0) {
        word.data = (u_char *) field;
        word.len = ngx_strlen(field);
        ngx_http_pdns_stat_add("HINCRBY", key, &word, n, 0);
    }
}


static void
ngx_http_pdns_stat_lines(void)
{
    u_char                 key[sizeof(NGX_HTTP_PDNS_RATE) + NGX_TIME_T_LEN];
    u_char                 text[NGX_INT64_LEN];
    uint64_t               lines;
    ngx_str_t              argv[4];
    ngx_uint_t             i;
    ngx_http_pdns_stat_t  *s;

    s = &ngx_http_pdns_stat;
    lines = 0;

    for (i = 0; i < PDNS_RESULTS; i++) {

        if (s->results[i] == 0) {
            continue;
        }

        ngx_http_pdns_stat_count("H:lines", pdns_result_text(i),
                                 s->results[i]);

        lines += (i != PDNS_EMPTY) ? s->results[i] : 0;
        s->results[i] = 0;

        if (s->sample_len[i] == 0) {
            continue;
        }

        ngx_str_set(&argv[0], "HSET");
        ngx_str_set(&argv[1], "H:sample");
        argv[2].data = (u_char *) pdns_result_text(i);
        argv[2].len = ngx_strlen(argv[2].data);
        argv[3].data = s->sample[i];
        argv[3].len = s->sample_len[i];

        (void) ngx_d4_redis_command(ngx_http_pdns_worker.store, 4, argv, NULL,
                                    NULL);
        s->sample_len[i] = 0;
    }

    if (lines == 0) {
        return;
    }

    /* lines of a span, for as long as it is asked for */

    ngx_str_set(&argv[0], "INCRBY");
    argv[1].data = key;
    argv[1].len = ngx_sprintf(key, NGX_HTTP_PDNS_RATE "%T",
                              ngx_time() / NGX_HTTP_PDNS_SPAN)
                  - key;
    argv[2].data = text;
    argv[2].len = ngx_sprintf(text, "%uL", lines) - text;

    (void) ngx_d4_redis_command(ngx_http_pdns_worker.store, 3, argv, NULL,
                                NULL);

    ngx_str_set(&argv[0], "EXPIRE");
    ngx_str_set(&argv[2], "600");

    (void) ngx_d4_redis_command(ngx_http_pdns_worker.store, 3, argv, NULL,
                                NULL);
}


static void
ngx_http_pdns_stat_sensors(void)
{
    u_char                 text[NGX_INT_T_LEN + 1];
    ngx_str_t              argv[4], id;
    ngx_uint_t             i;
    ngx_http_pdns_stat_t  *s;

    s = &ngx_http_pdns_stat;

    if (s->nsensors == 0) {
        return;
    }

    for (i = 0; i < s->nsensors; i++) {
        id.data = s->sensors[i].id;
        id.len = s->sensors[i].len;
        ngx_http_pdns_stat_add("ZINCRBY", NGX_HTTP_PDNS_SENSED, &id,
                               s->sensors[i].records, 1);
    }

    s->nsensors = 0;

    /* of too many, those with the most records stay */

    ngx_str_set(&argv[0], "ZREMRANGEBYRANK");
    ngx_str_set(&argv[1], NGX_HTTP_PDNS_SENSED);
    ngx_str_set(&argv[2], "0");
    argv[3].data = text;
    argv[3].len = ngx_sprintf(text, "-%d", NGX_HTTP_PDNS_KNOWN + 1) - text;

    (void) ngx_d4_redis_command(ngx_http_pdns_worker.store, 4, argv, NULL,
                                NULL);
}


static void
ngx_http_pdns_stat_queues(void)
{
    ngx_str_t              argv[2], *key;
    ngx_uint_t             i;
    ngx_http_pdns_stat_t  *s;

    s = &ngx_http_pdns_stat;

    if (s->queues == NULL) {
        return;
    }

    key = ngx_http_pdns_worker.conf->queues->elts;

    for (i = 0; i < ngx_http_pdns_worker.conf->queues->nelts; i++) {
        ngx_str_set(&argv[0], "LLEN");
        argv[1] = key[i];

        (void) ngx_d4_redis_command(s->queues, 2, argv,
                                    ngx_http_pdns_stat_queue, &key[i]);
    }
}


/* "length time", so that one that nobody asks any more is seen to be old */

static void
ngx_http_pdns_stat_queue(void *data, redisReply *reply)
{
    ngx_str_t *key = data;

    u_char     text[NGX_INT64_LEN + NGX_TIME_T_LEN + 1];
    ngx_str_t  argv[4];

    if (!ngx_http_pdns_stat.ready || reply == NULL
        || reply->type != REDIS_REPLY_INTEGER)
    {
        return;
    }

    ngx_str_set(&argv[0], "HSET");
    ngx_str_set(&argv[1], NGX_HTTP_PDNS_QUEUES);
    argv[2] = *key;
    argv[3].data = text;
    argv[3].len = ngx_sprintf(text, "%L %T", (int64_t) reply->integer,
                              ngx_time())
                  - text;

    (void) ngx_d4_redis_command(ngx_http_pdns_worker.store, 4, argv, NULL,
                                NULL);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The keeper's rounds: the indexes follow what other programs register, and
 * what is monitored is looked at.  Everything goes in small scripts, one at a
 * time; a step whose answer is lost is done again in the next round.
 */


#include "ngx_http_d4_keeper.h"
#include "ngx_http_d4_module.h"
#include "ngx_http_d4_sensor.h"


#define NGX_HTTP_D4_KEEP_TICK   100    /* ms between steps */
#define NGX_HTTP_D4_KEEP_LOCK   15000  /* ms that the lock lasts */
#define NGX_HTTP_D4_KEEP_RENEW  5000
#define NGX_HTTP_D4_KEEP_REST   3      /* rounds of what is monitored between
                                          those of the indexes */
#define NGX_HTTP_D4_KEEP_BATCH  "500"


typedef enum {
    NGX_HTTP_D4_KEEP_REGISTERED = 0,   /* index what is registered */
    NGX_HTTP_D4_KEEP_PENDING,
    NGX_HTTP_D4_KEEP_INDEXED,          /* forget what is neither */
    NGX_HTTP_D4_KEEP_SENSORS,          /* who is silent */
    NGX_HTTP_D4_KEEP_LISTED_QUEUES,    /* which are full or unread */
    NGX_HTTP_D4_KEEP_DONE
} ngx_http_d4_keep_t;


typedef struct {
    ngx_event_t           timer;
    ngx_connection_t      dummy;       /* debug logs of timers read its fd */
    u_char                id[NGX_MAXHOSTNAMELEN + 48];
    ngx_str_t             name;
    ngx_msec_t            renewed;
    ngx_msec_t            indexed;     /* the latest round of the indexes */
    ngx_msec_t            watched;     /* and of what is monitored */
    ngx_http_d4_keep_t    step;
    u_char                cursor[64];
    size_t                cursor_len;
    unsigned              busy:1;
    unsigned              holds:1;     /* the lock */
    unsigned              once:1;
} ngx_http_d4_keeper_t;


static void ngx_http_d4_keep_tick(ngx_event_t *ev);
static void ngx_http_d4_keep_next(void);
static void ngx_http_d4_keep_lock(void);
static void ngx_http_d4_keep_locked(void *data, redisReply *reply);
static void ngx_http_d4_keep_index(const char *key);
static void ngx_http_d4_keep_stale(void);
static void ngx_http_d4_keep_scanned(void *data, redisReply *reply);
static void ngx_http_d4_keep_sensors(void);
static void ngx_http_d4_keep_sensors_done(void *data, redisReply *reply);


/* keeper, lock (ms) -> 1: it is this one */

static const char  ngx_http_d4_script_lock[] =
    "local v=redis.call('GET','d4:keeper') "
    "if v and v~=ARGV[1] then return 0 end "
    "redis.call('SET','d4:keeper',ARGV[1],'PX',ARGV[2]) "
    "return 1";

/*
 * key of a set, cursor, batch -> next cursor
 *
 * The published server kept some uuids as they were typed.
 */

static const char  ngx_http_d4_script_index[] =
    NGX_HTTP_D4_LUA_INDEX
    "local r=redis.call('SSCAN',ARGV[1],ARGV[2],'COUNT',ARGV[3]) "
    "for _,v in ipairs(r[2]) do "
        "local u=string.gsub(string.lower(v),'-','') "
        "if #u==32 and not string.find(u,'[^0-9a-f]') then "
            "local s=redis.call('ZSCORE','d4:index:seen',u) "
            "local l=tonumber(redis.call('HGET','metadata_uuid:'..u,"
                "'last_seen') or '') or 0 "
            "if not s or not redis.call('ZSCORE','d4:index:uuid',u) then "
                "index(u) "
            "elseif tonumber(s)~=l then "
                "redis.call('ZADD','d4:index:seen',l,u) end end end "
    "return r[1]";

/* "", uuid after which to look, batch -> the last one looked at or "0" */

static const char  ngx_http_d4_script_stale[] =
    NGX_HTTP_D4_LUA_INDEX
    "local r=redis.call('ZRANGEBYLEX','d4:index:uuid',"
        "ARGV[2]=='0' and '-' or '('..ARGV[2],'+','LIMIT',0,ARGV[3]) "
    "for _,u in ipairs(r) do "
        "if not has('registered_uuid',u) "
            "and not has('sensor_pending_registration',u) then "
            "unindex(u) end end "
    "return r[#r] or '0'";

/*
 * now, cursor, batch -> next cursor, {uuid, silent (0 or 1)}... that changed
 *
 * Silent is who has not sent for longer than the delay, or never since it was
 * created; without either time it is from now on.
 */

static const char  ngx_http_d4_script_silent[] =
    "local now=tonumber(ARGV[1]) "
    "local r=redis.call('SSCAN','to_monitor:sensors',ARGV[2],'COUNT',ARGV[3]) "
    "local out={r[1]} "
    "for _,v in ipairs(r[2]) do "
        "local u=string.gsub(string.lower(v),'-','') "
        "local d=tonumber(redis.call('HGET','to_monitor:sensor:'..v,"
            "'delta_time') or '') "
        "if d and d>0 then "
            "local m=redis.call('HMGET','metadata_uuid:'..u,'last_seen',"
                "'created') "
            "local t=tonumber(m[1] or m[2] or '') or 0 "
            "if now-t>d then "
                "if redis.call('SADD','sensors_monitoring:sensors_error',v)"
                    "==1 then out[#out+1]={u,1} end "
            "elseif redis.call('SREM','sensors_monitoring:sensors_error',v)"
                "==1 then out[#out+1]={u,0} end end end "
    "return out";

static ngx_http_d4_keeper_t  ngx_http_d4_keeper;


ngx_int_t
ngx_http_d4_monitor_init(ngx_cycle_t *cycle)
{
    ngx_http_d4_keeper_t  *k;

    k = &ngx_http_d4_keeper;

    ngx_memzero(k, sizeof(ngx_http_d4_keeper_t));

    k->name.data = k->id;
    k->name.len = ngx_snprintf(k->id, sizeof(k->id), "%V:%P:%T:%xD",
                               &ngx_d4_get_conf(cycle)->host, ngx_pid,
                               ngx_time(), (uint32_t) ngx_random())
                  - k->id;

    k->cursor[0] = '0';
    k->cursor_len = 1;

    k->dummy.fd = (ngx_socket_t) -1;

    k->timer.handler = ngx_http_d4_keep_tick;
    k->timer.data = &k->dummy;
    k->timer.log = cycle->log;
    k->timer.cancelable = 1;

    ngx_http_d4_webhook_init(cycle->log);

    ngx_add_timer(&k->timer, NGX_HTTP_D4_KEEP_TICK);

    return NGX_OK;
}


void
ngx_http_d4_monitor_done(void)
{
    ngx_str_t              argv[2];
    ngx_http_d4_keeper_t  *k;

    k = &ngx_http_d4_keeper;

    if (k->timer.timer_set) {
        ngx_del_timer(&k->timer);
    }

    ngx_http_d4_webhook_done();

    /* the next one need not wait until the lock is void */

    if (k->holds
        && ngx_d4_redis_ready(ngx_http_d4_redis[NGX_D4_REDIS_METADATA]))
    {
        ngx_str_set(&argv[0], "DEL");
        ngx_str_set(&argv[1], "d4:keeper");

        (void) ngx_d4_redis_command(ngx_http_d4_redis[NGX_D4_REDIS_METADATA],
                                    2, argv, NULL, NULL);
    }

    k->holds = 0;
}


static void
ngx_http_d4_keep_tick(ngx_event_t *ev)
{
    ngx_http_d4_keeper_t  *k;

    k = &ngx_http_d4_keeper;

    if (ngx_exiting || ngx_quit || ngx_terminate) {
        return;
    }

    ngx_add_timer(&k->timer, NGX_HTTP_D4_KEEP_TICK);

    if (k->busy
        || !ngx_d4_redis_ready(ngx_http_d4_redis[NGX_D4_REDIS_METADATA])
        || !ngx_d4_redis_ready(ngx_http_d4_redis[NGX_D4_REDIS_QUEUES]))
    {
        return;
    }

    if (!k->once
        || ngx_current_msec - k->renewed >= NGX_HTTP_D4_KEEP_RENEW)
    {
        ngx_http_d4_keep_lock();
        return;
    }

    if (k->holds) {
        ngx_http_d4_keep_next();
    }
}


static void
ngx_http_d4_keep_next(void)
{
    ngx_str_t              cursor;
    ngx_http_d4_keeper_t  *k;

    k = &ngx_http_d4_keeper;

    switch (k->step) {

    case NGX_HTTP_D4_KEEP_REGISTERED:
        ngx_http_d4_keep_index("registered_uuid");
        break;

    case NGX_HTTP_D4_KEEP_PENDING:
        ngx_http_d4_keep_index("sensor_pending_registration");
        break;

    case NGX_HTTP_D4_KEEP_INDEXED:
        ngx_http_d4_keep_stale();
        break;

    case NGX_HTTP_D4_KEEP_SENSORS:
        ngx_http_d4_keep_sensors();
        break;

    case NGX_HTTP_D4_KEEP_LISTED_QUEUES:
        cursor.data = k->cursor;
        cursor.len = k->cursor_len;
        ngx_http_d4_keep_queues(&cursor);
        break;

    default: /* NGX_HTTP_D4_KEEP_DONE */

        if (ngx_current_msec - k->indexed
            >= ngx_http_d4_main()->monitor * NGX_HTTP_D4_KEEP_REST)
        {
            k->indexed = ngx_current_msec;
            k->step = NGX_HTTP_D4_KEEP_REGISTERED;

        } else if (ngx_current_msec - k->watched
                   >= ngx_http_d4_main()->monitor)
        {
            k->watched = ngx_current_msec;
            k->step = NGX_HTTP_D4_KEEP_SENSORS;
        }
    }
}


/*
 * Moves to the next batch, or when the cursor is back at 0 to the next step.
 */

void
ngx_http_d4_keep_advance(const char *cursor, size_t len)
{
    ngx_http_d4_keeper_t  *k;

    k = &ngx_http_d4_keeper;

    if (len > sizeof(k->cursor)) {
        cursor = "0";
        len = 1;
    }

    ngx_memcpy(k->cursor, cursor, len);
    k->cursor_len = len;

    if (len == 1 && cursor[0] == '0') {

        /* what is watched may come between rounds of the indexes */

        k->step = (k->step == NGX_HTTP_D4_KEEP_INDEXED)
                  ? NGX_HTTP_D4_KEEP_DONE : k->step + 1;
    }
}


ngx_uint_t
ngx_http_d4_keep_ask(ngx_uint_t role, const char *script, ngx_uint_t argc,
    ngx_str_t *argv, ngx_d4_reply_pt handler)
{
    ngx_str_set(&argv[0], "EVAL");
    argv[1].data = (u_char *) script;
    argv[1].len = ngx_strlen(script);
    ngx_str_set(&argv[2], "0");

    if (ngx_d4_redis_command(ngx_http_d4_redis[role], argc, argv, handler,
                             NULL)
        == NGX_OK)
    {
        ngx_http_d4_keeper.busy = 1;
    }

    return ngx_http_d4_keeper.busy;
}


/* 1 for an answer of the type; errors are logged, and that step is left. */

ngx_uint_t
ngx_http_d4_keep_answer(redisReply *reply, int type)
{
    ngx_http_d4_keeper_t  *k;

    k = &ngx_http_d4_keeper;
    k->busy = 0;

    if (reply && reply->type == type) {
        return 1;
    }

    if (reply && reply->type == REDIS_REPLY_ERROR
        && !ngx_d4_redis_try_again(reply))
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "d4 keeper: redis answered \"%s\"", reply->str);

        ngx_http_d4_keep_advance("0", 1);
    }

    return 0;
}


static void
ngx_http_d4_keep_lock(void)
{
    u_char                 ms[NGX_INT_T_LEN];
    ngx_str_t              argv[5];
    ngx_http_d4_keeper_t  *k;

    k = &ngx_http_d4_keeper;

    argv[3] = k->name;
    argv[4].data = ms;
    argv[4].len = ngx_sprintf(ms, "%ui", (ngx_uint_t) NGX_HTTP_D4_KEEP_LOCK)
                  - ms;

    (void) ngx_http_d4_keep_ask(NGX_D4_REDIS_METADATA,
                                ngx_http_d4_script_lock, 5, argv,
                                ngx_http_d4_keep_locked);
}


static void
ngx_http_d4_keep_locked(void *data, redisReply *reply)
{
    ngx_uint_t             held;
    ngx_http_d4_keeper_t  *k;

    k = &ngx_http_d4_keeper;
    k->busy = 0;

    if (reply == NULL) {
        k->holds = 0;
        return;
    }

    held = k->holds;

    k->once = 1;
    k->renewed = ngx_current_msec;
    k->holds = (reply->type == REDIS_REPLY_INTEGER && reply->integer == 1);

    if (k->holds && !held) {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "d4 worker %P keeps the indexes", ngx_pid);
    }
}


static void
ngx_http_d4_keep_index(const char *key)
{
    ngx_str_t              argv[6];
    ngx_http_d4_keeper_t  *k;

    k = &ngx_http_d4_keeper;

    argv[3].data = (u_char *) key;
    argv[3].len = ngx_strlen(key);
    argv[4].data = k->cursor;
    argv[4].len = k->cursor_len;
    ngx_str_set(&argv[5], NGX_HTTP_D4_KEEP_BATCH);

    (void) ngx_http_d4_keep_ask(NGX_D4_REDIS_METADATA,
                                ngx_http_d4_script_index, 6, argv,
                                ngx_http_d4_keep_scanned);
}


static void
ngx_http_d4_keep_stale(void)
{
    ngx_str_t              argv[6];
    ngx_http_d4_keeper_t  *k;

    k = &ngx_http_d4_keeper;

    ngx_str_null(&argv[3]);
    argv[4].data = k->cursor;
    argv[4].len = k->cursor_len;
    ngx_str_set(&argv[5], NGX_HTTP_D4_KEEP_BATCH);

    (void) ngx_http_d4_keep_ask(NGX_D4_REDIS_METADATA,
                                ngx_http_d4_script_stale, 6, argv,
                                ngx_http_d4_keep_scanned);
}


static void
ngx_http_d4_keep_scanned(void *data, redisReply *reply)
{
    if (ngx_http_d4_keep_answer(reply, REDIS_REPLY_STRING)) {
        ngx_http_d4_keep_advance(reply->str, reply->len);
    }
}


static void
ngx_http_d4_keep_sensors(void)
{
    u_char                 now[NGX_TIME_T_LEN];
    ngx_str_t              argv[6];
    ngx_http_d4_keeper_t  *k;

    k = &ngx_http_d4_keeper;

    argv[3].data = now;
    argv[3].len = ngx_sprintf(now, "%T", ngx_time()) - now;
    argv[4].data = k->cursor;
    argv[4].len = k->cursor_len;
    ngx_str_set(&argv[5], NGX_HTTP_D4_KEEP_BATCH);

    (void) ngx_http_d4_keep_ask(NGX_D4_REDIS_METADATA,
                                ngx_http_d4_script_silent, 6, argv,
                                ngx_http_d4_keep_sensors_done);
}


static void
ngx_http_d4_keep_sensors_done(void *data, redisReply *reply)
{
    size_t       i;
    ngx_str_t    uuid;
    redisReply  *e;

    if (!ngx_http_d4_keep_answer(reply, REDIS_REPLY_ARRAY)) {
        return;
    }

    for (i = 1; i < reply->elements; i++) {
        e = reply->element[i];

        uuid.data = (u_char *) e->element[0]->str;
        uuid.len = e->element[0]->len;

        ngx_http_d4_alert("sensor", &uuid, "silent",
                          e->element[1]->integer == 1);
    }

    ngx_http_d4_keep_advance(reply->element[0]->str, reply->element[0]->len);
}


void
ngx_http_d4_alert(const char *what, ngx_str_t *which, const char *state,
    ngx_uint_t on)
{
    u_char               name[64], c;
    size_t               i, len;
    d4_out_t             text;
    ngx_http_d4_main_t  *conf;

    /* ids of queues may be anything that another program wrote */

    len = ngx_min(which->len, sizeof(name));

    for (i = 0; i < len; i++) {
        c = which->data[i];
        name[i] = (c > 0x20 && c < 0x7f) ? c : '?';
    }

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "d4 alert: %s %*s is %s%s", what, len, name,
                  on ? "" : "no longer ", state);

    conf = ngx_http_d4_main();

    if (conf->webhook == NULL) {
        return;
    }

    d4_out_init(&text);

    d4_out_object(&text, NULL);
    d4_out_text(&text, "kind", what);
    d4_out_string(&text, "id", which->data, which->len);
    d4_out_text(&text, "state", state);
    d4_out_bool(&text, "active", on != 0);
    d4_out_int(&text, "time", ngx_time());
    d4_out_string(&text, "host",
                  ngx_d4_get_conf((ngx_cycle_t *) ngx_cycle)->host.data,
                  ngx_d4_get_conf((ngx_cycle_t *) ngx_cycle)->host.len);
    d4_out_object_end(&text);

    ngx_http_d4_webhook_post(conf, &text);
}


char *
ngx_http_d4_monitor_interval(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t           *value;
    ngx_http_d4_main_t  *dmcf;

    value = cf->args->elts;

    dmcf = (ngx_http_d4_main_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                               ngx_http_d4_core_module);

    if (dmcf->monitor != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    dmcf->monitor = ngx_parse_time(&value[1], 0);

    if (dmcf->monitor == (ngx_msec_t) NGX_ERROR || dmcf->monitor < 100) {
        return "must be a time of at least 100ms";
    }

    return NGX_CONF_OK;
}

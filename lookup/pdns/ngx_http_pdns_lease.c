
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The turn of one worker among those of all hosts: a key of the store that
 * holds who has it, and lapses when it is not renewed.  It is renewed and
 * given up only by whom it belongs to, so that neither the wait of others nor
 * the end of one who was too slow changes anything about it.
 *
 * The connection is one of its own: of what is sent on it when the worker ends
 * Redis reads all, while behind a large batch it may not come so far.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_LEASE  20000     /* ms; many pages */


static ngx_int_t ngx_http_pdns_lease_eval(ngx_http_pdns_lease_t *l,
    const char *script, ngx_d4_reply_pt handler, void *data);


static ngx_d4_redis_t  *ngx_http_pdns_lease_redis;

static const char  ngx_http_pdns_lease_script_take[] =
    "local id = redis.call('GET', KEYS[1]) "
    "if id and id ~= ARGV[1] then return 0 end "
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) "
    "return 1";

static const char  ngx_http_pdns_lease_script_give[] =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then "
    "return redis.call('DEL', KEYS[1]) end "
    "return 0";


ngx_int_t
ngx_http_pdns_lease_init(ngx_cycle_t *cycle, ngx_http_pdns_lease_t *l,
    const char *key)
{
    ngx_d4_conf_t  *conf;

    conf = ngx_d4_get_conf(cycle);

    l->key = key;
    l->held = 0;
    l->id_len = ngx_snprintf(l->id, sizeof(l->id), "%P-%T-%uL", ngx_pid,
                             ngx_time(), (uint64_t) ngx_random())
                - l->id;

    if (ngx_http_pdns_lease_redis == NULL) {
        ngx_http_pdns_lease_redis =
            ngx_d4_redis_open(&conf->redis[NGX_D4_REDIS_PDNS],
                              conf->redis_timeout, NULL,
                              ngx_http_pdns_worker.log);
    }

    return (ngx_http_pdns_lease_redis != NULL) ? NGX_OK : NGX_ERROR;
}


void
ngx_http_pdns_lease_done(void)
{
    if (ngx_http_pdns_lease_redis != NULL) {
        ngx_d4_redis_close(ngx_http_pdns_lease_redis);
        ngx_http_pdns_lease_redis = NULL;
    }
}


ngx_int_t
ngx_http_pdns_lease_take(ngx_http_pdns_lease_t *l, ngx_d4_reply_pt handler,
    void *data)
{
    ngx_int_t  rc;

    rc = ngx_http_pdns_lease_eval(l, ngx_http_pdns_lease_script_take, handler,
                                  data);

    /* it may be ours before the reply says so */

    if (rc == NGX_OK) {
        l->held = 1;
    }

    return rc;
}


ngx_uint_t
ngx_http_pdns_lease_taken(ngx_http_pdns_lease_t *l, redisReply *reply)
{
    if (reply == NULL) {
        return 0;                      /* nobody knows */
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_log_error(NGX_LOG_ERR, ngx_http_pdns_worker.log, 0,
                      "redis pdns: %s: %*s", l->key,
                      ngx_min(reply->len, 160), reply->str);
    }

    l->held = (reply->type == REDIS_REPLY_INTEGER && reply->integer == 1);

    return l->held;
}


void
ngx_http_pdns_lease_give(ngx_http_pdns_lease_t *l)
{
    if (l->held) {
        l->held = 0;

        (void) ngx_http_pdns_lease_eval(l, ngx_http_pdns_lease_script_give,
                                        NULL, NULL);
    }
}


static ngx_int_t
ngx_http_pdns_lease_eval(ngx_http_pdns_lease_t *l, const char *script,
    ngx_d4_reply_pt handler, void *data)
{
    u_char     ms[NGX_INT_T_LEN];
    ngx_str_t  argv[6];

    ngx_str_set(&argv[0], "EVAL");
    argv[1].data = (u_char *) script;
    argv[1].len = ngx_strlen(script);
    ngx_str_set(&argv[2], "1");
    argv[3].data = (u_char *) l->key;
    argv[3].len = ngx_strlen(l->key);
    argv[4].data = l->id;
    argv[4].len = l->id_len;
    argv[5].data = ms;
    argv[5].len = ngx_sprintf(ms, "%d", NGX_HTTP_PDNS_LEASE) - ms;

    return ngx_d4_redis_command(ngx_http_pdns_lease_redis, 6, argv, handler,
                                data);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_d4_redis_core.h"
#include "protocol/d4_info.h"


static void ngx_d4_redis_auth_handler(void *data, redisReply *reply);
static void ngx_d4_redis_select_handler(void *data, redisReply *reply);
static void ngx_d4_redis_info_handler(void *data, redisReply *reply);
static void ngx_d4_redis_subscribe_handler(void *data, redisReply *reply);
static void ngx_d4_redis_verdict(ngx_d4_redis_t *rd, d4_info_t *info);
static void ngx_d4_redis_warn(ngx_d4_redis_t *rd, char *text);
static ngx_uint_t ngx_d4_redis_refused(ngx_d4_redis_t *rd, redisReply *reply,
    char *command);


/*
 * All in one write.  The name and INFO are not needed, so that not being
 * permitted to use them does not fail the handshake.
 */

void
ngx_d4_redis_handshake(ngx_d4_redis_t *rd)
{
    u_char                buf[NGX_INT_T_LEN], name[32];
    ngx_int_t             rc;
    ngx_str_t             argv[3];
    ngx_uint_t            n;
    ngx_d4_redis_conf_t  *conf;

    conf = rd->conf;
    rc = NGX_OK;

    if (conf->password.len != 0) {
        ngx_str_set(&argv[0], "AUTH");
        n = 1;

        if (conf->user.len != 0) {
            argv[n++] = conf->user;
        }

        argv[n++] = conf->password;

        rc |= ngx_d4_redis_send(rd, n, argv, ngx_d4_redis_auth_handler, rd);
    }

    if (conf->db != 0) {
        ngx_str_set(&argv[0], "SELECT");
        argv[1].data = buf;
        argv[1].len = ngx_sprintf(buf, "%ui", conf->db) - buf;

        rc |= ngx_d4_redis_send(rd, 2, argv, ngx_d4_redis_select_handler, rd);
    }

    ngx_str_set(&argv[0], "CLIENT");
    ngx_str_set(&argv[1], "SETNAME");
    argv[2].data = name;
    argv[2].len = ngx_snprintf(name, sizeof(name), "ngx_d4:%V", &conf->role)
                  - name;

    rc |= ngx_d4_redis_send(rd, 3, argv, NULL, NULL);

    if (rd->message != NULL) {
        ngx_str_set(&argv[0], "SUBSCRIBE");
        argv[1] = rd->channel;

        rc |= ngx_d4_redis_send(rd, 2, argv, ngx_d4_redis_subscribe_handler,
                                rd);

    } else {
        ngx_str_set(&argv[0], "INFO");

        rc |= ngx_d4_redis_send(rd, 1, argv, ngx_d4_redis_info_handler, rd);
    }

    if (rc != NGX_OK) {
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOST, 0, "no memory");
    }
}


static void
ngx_d4_redis_auth_handler(void *data, redisReply *reply)
{
    u_char           buf[NGX_D4_REDIS_TEXT];
    size_t           i;
    ngx_str_t        text;
    ngx_d4_redis_t  *rd;

    rd = data;

    if (reply == NULL || reply->type != REDIS_REPLY_ERROR) {
        return;
    }

    /* a server that does not know AUTH repeats its arguments */

    text = ngx_d4_redis_text(reply, buf, sizeof(buf));

    for (i = 0; i < text.len; i++) {
        if (text.data[i] == ',' || text.data[i] == ':'
            || text.data[i] == '`' || text.data[i] == '\'')
        {
            text.len = i;
        }
    }

    ngx_d4_redis_down(rd, NGX_D4_REDIS_REFUSED, 0, "AUTH failed: %V", &text);
}


static void
ngx_d4_redis_select_handler(void *data, redisReply *reply)
{
    (void) ngx_d4_redis_refused(data, reply, "SELECT");
}


static void
ngx_d4_redis_subscribe_handler(void *data, redisReply *reply)
{
    if (reply != NULL && !ngx_d4_redis_refused(data, reply, "SUBSCRIBE")) {
        ngx_d4_redis_up(data);
    }
}


static void
ngx_d4_redis_info_handler(void *data, redisReply *reply)
{
    d4_info_t        info;
    ngx_d4_redis_t  *rd;

    rd = data;

    if (reply == NULL) {
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR
        && ngx_d4_redis_is(reply->str, reply->len, "NOPERM"))
    {
        if (!rd->warned_info) {
            rd->warned_info = 1;
            ngx_d4_redis_warn(rd, "INFO is not permitted to us, so its "
                              "version, role and policy are not checked");
        }

        ngx_d4_redis_up(rd);
        return;
    }

    if (ngx_d4_redis_refused(rd, reply, "INFO")) {
        return;
    }

    if (reply->type != REDIS_REPLY_STRING) {
        ngx_d4_redis_down(rd, NGX_D4_REDIS_REFUSED, 0,
                          "its answer to INFO is not a text");
        return;
    }

    d4_info_parse(&info, reply->str, reply->len);

    ngx_d4_redis_verdict(rd, &info);
}


static void
ngx_d4_redis_verdict(ngx_d4_redis_t *rd, d4_info_t *info)
{
    d4_info_verdict_t  verdict;

    verdict = d4_info_check(info);

    if (rd->conf->any && verdict != D4_INFO_LOADING) {
        ngx_d4_redis_up(rd);
        return;
    }

    switch (verdict) {

    case D4_INFO_USABLE:
        break;

    case D4_INFO_LOADING:
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOADING, 0,
                          "it is loading its data");
        return;

    case D4_INFO_VERSION:
        ngx_d4_redis_down(rd, NGX_D4_REDIS_REFUSED, 0,
                          "its version is \"%s\", 6.2 or later is needed",
                          info->version_text);
        return;

    case D4_INFO_ROLE:
        ngx_d4_redis_down(rd, NGX_D4_REDIS_REFUSED, 0,
                          "its role is \"%s\", but a master is needed",
                          info->role);
        return;

    case D4_INFO_CLUSTER:
        ngx_d4_redis_down(rd, NGX_D4_REDIS_REFUSED, 0,
                          "it runs in cluster mode, "
                          "set \"cluster-enabled no\" in its configuration");
        return;

    case D4_INFO_POLICY:
        ngx_d4_redis_down(rd, NGX_D4_REDIS_REFUSED, 0,
                          "its maxmemory-policy is \"%s\" and it would drop "
                          "data, set \"maxmemory-policy noeviction\" "
                          "in its configuration", info->policy);
        return;
    }

    if (info->volatile_only && !rd->warned_aof) {
        rd->warned_aof = 1;
        ngx_d4_redis_warn(rd, "append-only is off, what it holds is lost "
                          "when it stops, set \"appendonly yes\" "
                          "in its configuration");
    }

    ngx_d4_redis_up(rd);
}


/* Once is enough for all workers. */

static void
ngx_d4_redis_warn(ngx_d4_redis_t *rd, char *text)
{
    if (ngx_worker == 0) {
        ngx_log_error(NGX_LOG_WARN, rd->log, 0, "redis %V %V: %s",
                      &rd->conf->role, &rd->conf->name, text);
    }
}


static ngx_uint_t
ngx_d4_redis_refused(ngx_d4_redis_t *rd, redisReply *reply, char *command)
{
    u_char     buf[NGX_D4_REDIS_TEXT];
    ngx_str_t  text;

    if (reply == NULL || reply->type != REDIS_REPLY_ERROR) {
        return 0;
    }

    text = ngx_d4_redis_text(reply, buf, sizeof(buf));

    if (ngx_d4_redis_is(text.data, text.len, "LOADING")) {
        ngx_d4_redis_down(rd, NGX_D4_REDIS_LOADING, 0,
                          "it is loading its data");

    } else {
        ngx_d4_redis_down(rd,
                          ngx_d4_redis_try_again(reply)
                              ? NGX_D4_REDIS_LOST : NGX_D4_REDIS_REFUSED,
                          0, "%s failed: %V", command, &text);
    }

    return 1;
}


ngx_uint_t
ngx_d4_redis_try_again(redisReply *reply)
{
    const char  **code;

    static const char  *codes[] = {
        "LOADING", "OOM", "MISCONF", "READONLY", "NOREPLICAS", "BUSY",
        "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "EXECABORT", NULL
    };

    if (reply->type != REDIS_REPLY_ERROR) {
        return 0;
    }

    for (code = codes; *code != NULL; code++) {
        if (ngx_d4_redis_is(reply->str, reply->len, *code)) {
            return 1;
        }
    }

    return 0;
}


void
ngx_d4_redis_writes(ngx_d4_redis_t *rd, redisReply *error)
{
    u_char     buf[NGX_D4_REDIS_TEXT];
    ngx_str_t  text;

    if (error == NULL) {

        if (rd->refusing) {
            rd->refusing = 0;
            ngx_str_null(&text);
            ngx_d4_redis_log(rd, NGX_LOG_NOTICE, 0, "takes writes again",
                             &text);
        }

        return;
    }

    text = ngx_d4_redis_text(error, buf, sizeof(buf));

    if (!rd->refusing) {
        rd->refusing = 1;
        ngx_d4_redis_log(rd, NGX_LOG_ERR, 0, "refuses writes: ", &text);
    }

    if (ngx_d4_redis_is(text.data, text.len, "READONLY")
        && rd->status == NGX_D4_REDIS_READY)
    {
        /* not here: the caller need not expect its other requests to fail */

        rd->stale = 1;

        if (!rd->flush.posted) {
            ngx_post_event(&rd->flush, &ngx_posted_events);
        }
    }
}


ngx_str_t
ngx_d4_redis_text(redisReply *reply, u_char *buf, size_t size)
{
    u_char      c, *p;
    size_t      i;
    ngx_str_t   text;

    p = buf;

    for (i = 0; i < reply->len && p < buf + size; i++) {
        c = (u_char) reply->str[i];
        *p++ = (c >= ' ' && c < 0x7f) ? c : '?';
    }

    text.data = buf;
    text.len = p - buf;

    return text;
}


ngx_uint_t
ngx_d4_redis_is(const void *text, size_t len, const char *code)
{
    size_t  n;

    n = ngx_strlen(code);

    return len >= n
           && ngx_memcmp(text, code, n) == 0
           && (len == n || ((const char *) text)[n] == ' ');
}

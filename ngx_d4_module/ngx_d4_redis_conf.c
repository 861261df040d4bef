
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_d4_redis.h"


#define NGX_D4_REDIS_PORT   6379
#define NGX_D4_SECRET_MAX   4096


static char *ngx_d4_redis_address(ngx_conf_t *cf, ngx_d4_redis_conf_t *rc,
    ngx_str_t *value);
static char *ngx_d4_redis_unix_url(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *url);
static char *ngx_d4_redis_parameter(ngx_conf_t *cf, ngx_d4_redis_conf_t *rc,
    ngx_str_t *value);
static char *ngx_d4_secret_read(ngx_conf_t *cf, ngx_file_t *file,
    ngx_str_t *secret);


static ngx_str_t  ngx_d4_redis_roles[] = {
    ngx_string("metadata"),
    ngx_string("users"),
    ngx_string("queues"),
    ngx_string("cache"),
    ngx_string("streams"),
    ngx_string("pdns"),
    ngx_string("pdns_legacy")
};


/* redis ROLE ADDRESS [user=NAME] [password_file=FILE] [db=NUMBER] */

char *
ngx_d4_redis_directive(ngx_conf_t *cf, ngx_d4_redis_conf_t *redis)
{
    ngx_str_t            *value;
    ngx_uint_t            i;
    ngx_d4_redis_conf_t  *rc;

    value = cf->args->elts;

    for (i = 0; i < NGX_D4_REDIS_ROLES; i++) {
        if (value[1].len == ngx_d4_redis_roles[i].len
            && ngx_memcmp(value[1].data, ngx_d4_redis_roles[i].data,
                          value[1].len)
               == 0)
        {
            break;
        }
    }

    if (i == NGX_D4_REDIS_ROLES) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown redis role \"%V\", it must be "
                           "\"metadata\", \"users\", \"queues\", "
                           "\"cache\", \"streams\", \"pdns\" or "
                           "\"pdns_legacy\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    rc = &redis[i];

    if (rc->sockaddr != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate redis role \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    rc->role = ngx_d4_redis_roles[i];
    rc->any = (i == NGX_D4_REDIS_PDNS_LEGACY);

    if (ngx_d4_redis_address(cf, rc, &value[2]) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    for (i = 3; i < cf->args->nelts; i++) {
        if (ngx_d4_redis_parameter(cf, rc, &value[i]) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    if (rc->user.len != 0 && rc->password.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"user=\" of redis role \"%V\" needs "
                           "\"password_file=\"", &rc->role);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_d4_redis_address(ngx_conf_t *cf, ngx_d4_redis_conf_t *rc,
    ngx_str_t *value)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *value;
    u.default_port = NGX_D4_REDIS_PORT;
    u.no_resolve = 1;

    if (value->len >= 5
        && ngx_strncasecmp(value->data, (u_char *) "unix:", 5) == 0
        && ngx_d4_redis_unix_url(cf, value, &u.url) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in redis address \"%V\"",
                           (u.err != NULL) ? u.err : "no memory", &u.url);
        return NGX_CONF_ERROR;
    }

    if (u.naddrs == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "redis address \"%V\" must be a literal address, "
                           "not a host name", value);
        return NGX_CONF_ERROR;
    }

    if (u.wildcard) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "redis address \"%V\" is not one to connect to",
                           value);
        return NGX_CONF_ERROR;
    }

    rc->sockaddr = u.addrs[0].sockaddr;
    rc->socklen = u.addrs[0].socklen;
    rc->name = *value;

    return NGX_CONF_OK;
}


/* A socket's path is relative to the prefix, not to where nginx started. */

static char *
ngx_d4_redis_unix_url(ngx_conf_t *cf, ngx_str_t *value, ngx_str_t *url)
{
    u_char     *p;
    ngx_str_t   path;

    path.len = value->len - 5;
    path.data = value->data + 5;

    if (path.len == 0) {
        return NGX_CONF_OK;                /* ngx_parse_url() complains */
    }

    if (ngx_conf_full_name(cf->cycle, &path, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    url->len = path.len + 5;
    url->data = ngx_pnalloc(cf->pool, url->len + 1);
    if (url->data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = ngx_cpymem(url->data, "unix:", 5);
    p = ngx_cpymem(p, path.data, path.len);
    *p = '\0';

    return NGX_CONF_OK;
}


static char *
ngx_d4_redis_parameter(ngx_conf_t *cf, ngx_d4_redis_conf_t *rc,
    ngx_str_t *value)
{
    u_char     *p;
    ngx_int_t   n;
    ngx_str_t   s;

    if (value->len > 5 && ngx_strncmp(value->data, "user=", 5) == 0) {
        rc->user.len = value->len - 5;
        rc->user.data = value->data + 5;

        return NGX_CONF_OK;
    }

    if (value->len > 14
        && ngx_strncmp(value->data, "password_file=", 14) == 0)
    {
        s.len = value->len - 14;
        s.data = value->data + 14;

        return ngx_d4_secret_file(cf, &s, &rc->password);
    }

    if (ngx_strncmp(value->data, "db=", 3) == 0) {
        n = ngx_atoi(value->data + 3, value->len - 3);

        if (n == NGX_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid number in \"%V\"", value);
            return NGX_CONF_ERROR;
        }

        rc->db = (ngx_uint_t) n;

        return NGX_CONF_OK;
    }

    /* without the value: it may be a password in a wrong place */

    s.data = value->data;
    s.len = value->len;

    p = ngx_strlchr(s.data, s.data + s.len, '=');

    if (p != NULL) {
        s.len = p - s.data + 1;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\"", &s);

    return NGX_CONF_ERROR;
}


char *
ngx_d4_secret_file(ngx_conf_t *cf, ngx_str_t *name, ngx_str_t *secret)
{
    char        *rv;
    ngx_file_t   file;

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name = *name;
    file.log = cf->log;

    if (ngx_conf_full_name(cf->cycle, &file.name, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    /* a fifo must not keep nginx waiting */

    file.fd = ngx_open_file(file.name.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                            NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", &file.name);
        return NGX_CONF_ERROR;
    }

    rv = ngx_d4_secret_read(cf, &file, secret);

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", &file.name);
    }

    return rv;
}


static char *
ngx_d4_secret_read(ngx_conf_t *cf, ngx_file_t *file, ngx_str_t *secret)
{
    ssize_t          n;
    ngx_file_info_t  fi;

    if (ngx_fd_info(file->fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", &file->name);
        return NGX_CONF_ERROR;
    }

    if (!ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not a regular file", &file->name);
        return NGX_CONF_ERROR;
    }

    if (ngx_file_size(&fi) > NGX_D4_SECRET_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is larger than %d bytes", &file->name,
                           NGX_D4_SECRET_MAX);
        return NGX_CONF_ERROR;
    }

    secret->data = ngx_pnalloc(cf->pool, NGX_D4_SECRET_MAX);
    if (secret->data == NULL) {
        return NGX_CONF_ERROR;
    }

    n = ngx_read_file(file, secret->data, NGX_D4_SECRET_MAX, 0);

    if (n == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_file_n " \"%V\" failed", &file->name);
        return NGX_CONF_ERROR;
    }

    if (n != 0 && secret->data[n - 1] == LF) {
        n--;
    }

    if (n == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is empty", &file->name);
        return NGX_CONF_ERROR;
    }

    secret->len = n;

    return NGX_CONF_OK;
}

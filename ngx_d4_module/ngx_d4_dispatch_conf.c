
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What the dispatcher needs of the configuration, and its thread pools.
 */


#include "ngx_d4_dispatch_conf.h"

#include <pwd.h>
#include <grp.h>
#include <sys/stat.h>


#define NGX_D4_POOL_QUEUE  "max_queue=65536"


static ngx_thread_pool_t *ngx_d4_thread_pool(ngx_conf_t *cf, char *name,
    char *threads);


extern ngx_module_t  ngx_thread_pool_module;


void
ngx_d4_dispatch_create_conf(ngx_d4_conf_t *conf)
{
    conf->dispatch = NGX_CONF_UNSET;
    conf->adopt_foreign = NGX_CONF_UNSET;
    conf->data_access = NGX_CONF_UNSET_UINT;
    conf->data_uid = (ngx_uid_t) -1;
    conf->data_gid = (ngx_gid_t) -1;
    conf->data_utc = NGX_CONF_UNSET;
    conf->data_sync = NGX_CONF_UNSET;
    conf->data_min_free = NGX_CONF_UNSET;
    conf->data_retention = NGX_CONF_UNSET;
    conf->data_max = NGX_CONF_UNSET;
    conf->rotate_time = NGX_CONF_UNSET;
    conf->rotate_size = NGX_CONF_UNSET;
    conf->compress_level = NGX_CONF_UNSET;
    conf->open_files = NGX_CONF_UNSET;
    conf->line_max = NGX_CONF_UNSET_SIZE;
    conf->object_max = NGX_CONF_UNSET_SIZE;
    conf->queue_max = NGX_CONF_UNSET;
    conf->queue_max_bytes = NGX_CONF_UNSET;
    conf->queue_unread = NGX_CONF_UNSET;
}


void
ngx_d4_dispatch_init_conf(ngx_d4_conf_t *conf)
{
    ngx_conf_init_value(conf->dispatch, 0);
    ngx_conf_init_value(conf->adopt_foreign, 0);
    ngx_conf_init_uint_value(conf->data_access, 0640);
    ngx_conf_init_value(conf->data_utc, 0);
    ngx_conf_init_value(conf->data_sync, 0);
    ngx_conf_init_value(conf->data_min_free, 64 * 1024 * 1024);
    ngx_conf_init_value(conf->data_retention, 0);
    ngx_conf_init_value(conf->data_max, 0);
    ngx_conf_init_value(conf->rotate_time, 300);
    ngx_conf_init_value(conf->rotate_size, 0);
    ngx_conf_init_value(conf->compress_level, 6);
    ngx_conf_init_value(conf->open_files, 1024);
    ngx_conf_init_size_value(conf->line_max, D4_RECORD_LINE);
    ngx_conf_init_size_value(conf->object_max, D4_RECORD_FILE);
    ngx_conf_init_value(conf->queue_max, 100000000);
    ngx_conf_init_value(conf->queue_max_bytes, 1024 * 1024 * 1024);
    ngx_conf_init_value(conf->queue_unread, 600);
}


/* The block was read: is all there that the dispatcher needs? */

char *
ngx_d4_dispatch_check_conf(ngx_conf_t *cf, ngx_d4_conf_t *conf)
{
    if (conf->dispatch != 1) {
        return NGX_CONF_OK;
    }

    if (conf->redis[NGX_D4_REDIS_QUEUES].sockaddr == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"dispatch on\" needs a \"redis queues\"");
        return NGX_CONF_ERROR;
    }

    if (conf->data.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"dispatch on\" needs a \"data\" directory");
        return NGX_CONF_ERROR;
    }

    conf->data_pool = ngx_d4_thread_pool(cf, "d4_data", "threads=4");
    conf->compress_pool = ngx_d4_thread_pool(cf, "d4_compress", "threads=1");

    if (conf->data_pool == NULL || conf->compress_pool == NULL) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/*
 * A thread pool of our own, as the directive thread_pool makes it: what writes
 * to disks must not hold up the threads of others.
 */

static ngx_thread_pool_t *
ngx_d4_thread_pool(ngx_conf_t *cf, char *name, char *threads)
{
    void           *conf;
    char           *rv;
    ngx_str_t      *value, pool;
    ngx_array_t     args, *saved;
    ngx_command_t  *cmd;

    cmd = ngx_thread_pool_module.commands;
    conf = ngx_get_conf(cf->cycle->conf_ctx, ngx_thread_pool_module);

    if (ngx_array_init(&args, cf->pool, 4, sizeof(ngx_str_t)) != NGX_OK) {
        return NULL;
    }

    value = ngx_array_push_n(&args, 4);

    value[0] = cmd->name;
    value[1].data = (u_char *) name;
    value[1].len = ngx_strlen(name);
    value[2].data = (u_char *) threads;
    value[2].len = ngx_strlen(threads);
    ngx_str_set(&value[3], NGX_D4_POOL_QUEUE);

    saved = cf->args;
    cf->args = &args;

    rv = cmd->set(cf, cmd, conf);

    cf->args = saved;

    if (rv != NGX_CONF_OK) {
        return NULL;
    }

    pool = value[1];

    return ngx_thread_pool_add(cf, &pool);
}


char *
ngx_d4_data(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_d4_conf_t  *dcf = conf;

    u_char     *p, cwd[NGX_MAX_PATH];
    size_t      len;
    ngx_str_t   name, *value;

    if (dcf->data.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    name = value[1];

    while (name.len > 1 && name.data[name.len - 1] == '/') {
        name.data[--name.len] = '\0';
    }

    if (ngx_conf_full_name(cf->cycle, &name, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    /* queues name files by their absolute paths, and a prefix may be none */

    if (name.data[0] != '/') {

        if (ngx_getcwd(cwd, NGX_MAX_PATH) == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                               ngx_getcwd_n " failed");
            return NGX_CONF_ERROR;
        }

        len = ngx_strlen(cwd);

        p = ngx_pnalloc(cf->pool, len + 1 + name.len + 1);
        if (p == NULL) {
            return NGX_CONF_ERROR;
        }

        name.len = ngx_sprintf(p, "%s/%V", cwd, &name) - p;
        name.data = p;
        name.data[name.len] = '\0';
    }

    if (name.len > NGX_MAX_PATH) {
        return "is too long";
    }

    dcf->data = name;

    return NGX_CONF_OK;
}


/* data_owner user [group] */

char *
ngx_d4_data_owner(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_d4_conf_t  *dcf = conf;

    ngx_str_t      *value;
    struct group   *group;
    struct passwd  *user;

    value = cf->args->elts;

    if (dcf->data_uid != (ngx_uid_t) -1 || dcf->data_gid != (ngx_gid_t) -1) {
        return "is duplicate";
    }

    if (ngx_strcmp(value[1].data, "-") != 0) {
        user = getpwnam((char *) value[1].data);

        if (user == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown user \"%V\"", &value[1]);
            return NGX_CONF_ERROR;
        }

        dcf->data_uid = user->pw_uid;
    }

    if (cf->args->nelts == 3) {
        group = getgrnam((char *) value[2].data);

        if (group == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown group \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }

        dcf->data_gid = group->gr_gid;
    }

    return NGX_CONF_OK;
}


/*
 * The master makes the data directory if there is none, as it does with
 * nginx's own: workers may not have the right to.
 */

ngx_int_t
ngx_d4_data_init(ngx_cycle_t *cycle, ngx_d4_conf_t *conf)
{
    mode_t            mode;
    ngx_file_info_t   fi;
    ngx_core_conf_t  *ccf;

    if (!conf->dispatch || ngx_test_config) {
        return NGX_OK;
    }

    if (ngx_file_info(conf->data.data, &fi) != NGX_FILE_ERROR) {
        return NGX_OK;
    }

    if (ngx_errno != NGX_ENOENT) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "data directory \"%V\"", &conf->data);
        return NGX_ERROR;
    }

    mode = ngx_dir_access(conf->data_access);

    if (ngx_create_dir(conf->data.data, mode) == NGX_FILE_ERROR
        || chmod((char *) conf->data.data, mode) == -1)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      ngx_create_dir_n " \"%V\" failed", &conf->data);
        return NGX_ERROR;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (geteuid() == 0 && ccf->user != (ngx_uid_t) NGX_CONF_UNSET_UINT
        && chown((char *) conf->data.data, ccf->user,
                 conf->data_gid != (ngx_gid_t) -1 ? conf->data_gid
                                                  : ccf->group)
           == -1)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "chown(\"%V\") failed", &conf->data);
        return NGX_ERROR;
    }

    return NGX_OK;
}

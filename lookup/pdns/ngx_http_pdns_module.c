
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_http_pdns.h"


static ngx_int_t ngx_http_pdns_init_process(ngx_cycle_t *cycle);
static void ngx_http_pdns_exit_process(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_pdns_init_module(ngx_cycle_t *cycle);
static void *ngx_http_pdns_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_pdns_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_pdns_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_pdns_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_pdns_enable(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_pdns_words(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_pdns_types(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_pdns_keep(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_pdns_keep_errors(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_conf_num_bounds_t  ngx_http_pdns_limits = {
    ngx_conf_check_num_bounds, 1, 1000000
};


static ngx_command_t  ngx_http_pdns_commands[] = {

    { ngx_string("pdns"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_http_pdns_enable,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pdns_loc_conf_t, enable),
      NULL },

    { ngx_string("pdns_ingest"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pdns_loc_conf_t, ingest),
      NULL },

    { ngx_string("pdns_export"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pdns_loc_conf_t, export),
      NULL },

    { ngx_string("pdns_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_http_pdns_enable,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pdns_loc_conf_t, metrics),
      NULL },

    { ngx_string("pdns_limit"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pdns_loc_conf_t, limit),
      &ngx_http_pdns_limits },

    { ngx_string("pdns_bulk"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pdns_loc_conf_t, bulk),
      &ngx_http_pdns_limits },

    { ngx_string("pdns_buffer"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pdns_loc_conf_t, buffer),
      NULL },

    { ngx_string("pdns_origin"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pdns_loc_conf_t, origin),
      NULL },

    { ngx_string("pdns_queue"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_pdns_words,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pdns_main_conf_t, queues),
      NULL },

    { ngx_string("pdns_exclude"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_pdns_words,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pdns_main_conf_t, excludes),
      NULL },

    { ngx_string("pdns_types"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_pdns_types,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pdns_main_conf_t, only),
      NULL },

    { ngx_string("pdns_right_wildcard"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pdns_main_conf_t, right),
      NULL },

    { ngx_string("pdns_migrate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pdns_main_conf_t, migrate),
      NULL },

    { ngx_string("pdns_legacy"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pdns_main_conf_t, legacy),
      NULL },

    { ngx_string("pdns_legacy_limit"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pdns_main_conf_t, legacy_limit),
      &ngx_http_pdns_limits },

    { ngx_string("pdns_retention"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_pdns_keep,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pdns_errors"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_pdns_keep_errors,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pdns_sweep"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pdns_main_conf_t, sweep),
      NULL },

    { ngx_string("pdns_memory"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pdns_main_conf_t, memory),
      NULL },

    { ngx_string("pdns_flush"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pdns_main_conf_t, flush),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_pdns_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_pdns_create_main_conf,        /* create main configuration */
    ngx_http_pdns_init_main_conf,          /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_pdns_create_loc_conf,         /* create location configuration */
    ngx_http_pdns_merge_loc_conf           /* merge location configuration */
};


ngx_module_t  ngx_http_pdns_module = {
    NGX_MODULE_V1,
    &ngx_http_pdns_module_ctx,             /* module context */
    ngx_http_pdns_commands,                /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_pdns_init_module,             /* init module */
    ngx_http_pdns_init_process,            /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_pdns_exit_process,            /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_http_pdns_worker_t  ngx_http_pdns_worker;


static ngx_http_pdns_main_conf_t *
ngx_http_pdns_conf(ngx_cycle_t *cycle)
{
    ngx_http_pdns_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_pdns_module);

    return (pmcf != NULL && (pmcf->used || pmcf->queues != NULL)) ? pmcf
                                                                  : NULL;
}


static ngx_int_t
ngx_http_pdns_init_module(ngx_cycle_t *cycle)
{
    ngx_d4_conf_t              *conf;
    ngx_http_pdns_main_conf_t  *pmcf;

    pmcf = ngx_http_pdns_conf(cycle);
    conf = ngx_d4_get_conf(cycle);

    if (pmcf == NULL) {
        return NGX_OK;
    }

    if (conf->redis[NGX_D4_REDIS_PDNS].sockaddr == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"pdns\" needs \"redis pdns\" in the \"d4\" block");
        return NGX_ERROR;
    }

    if (pmcf->migrate
        && conf->redis[NGX_D4_REDIS_PDNS_LEGACY].sockaddr == NULL)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"pdns_migrate\" needs \"redis pdns_legacy\" in the "
                      "\"d4\" block");
        return NGX_ERROR;
    }

    if (pmcf->queues != NULL
        && (conf->lookup || conf->redis[NGX_D4_REDIS_QUEUES].sockaddr == NULL))
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"pdns_queue\" needs \"redis metadata\", "
                      "\"redis streams\" and \"redis queues\" in the \"d4\" "
                      "block");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_pdns_init_process(ngx_cycle_t *cycle)
{
    ngx_d4_conf_t              *conf;
    ngx_d4_redis_conf_t        *redis;
    ngx_http_pdns_worker_t     *w;
    ngx_http_pdns_main_conf_t  *pmcf;

    w = &ngx_http_pdns_worker;

    ngx_memzero(w, sizeof(ngx_http_pdns_worker_t));

    pmcf = ngx_http_pdns_conf(cycle);

    if (pmcf == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    conf = ngx_d4_get_conf(cycle);
    redis = &conf->redis[NGX_D4_REDIS_PDNS];

    w->conf = pmcf;
    w->log = cycle->log;

    d4_pool_init(&w->pool, 4 * 1024 * 1024);

    w->lookup = ngx_d4_redis_open(redis, conf->redis_timeout, NULL, w->log);
    if (w->lookup == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_pdns_store_init(cycle) != NGX_OK
        || ngx_http_pdns_stat_init(cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_pdns_legacy_init(cycle) != NGX_OK
        || ngx_http_pdns_migrate_init(cycle) != NGX_OK
        || ngx_http_pdns_sweep_init(cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_pdns_errors_init();

    return ngx_http_pdns_queue_init();
}


static void
ngx_http_pdns_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_pdns_worker_t  *w;

    w = &ngx_http_pdns_worker;

    if (w->lookup == NULL) {
        return;
    }

    ngx_http_pdns_errors_exit();
    ngx_http_pdns_sweep_exit();
    ngx_http_pdns_migrate_done();
    ngx_http_pdns_lease_done();
    ngx_http_pdns_stat_done();
    ngx_http_pdns_legacy_done();
    ngx_http_pdns_store_done();
    ngx_d4_redis_close(w->lookup);
    w->lookup = NULL;

    d4_pool_clear(&w->pool);
}


static void *
ngx_http_pdns_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_pdns_main_conf_t  *pmcf;

    pmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_pdns_main_conf_t));
    if (pmcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     pmcf->retention = NULL;
     *     pmcf->queues = NULL;
     *     pmcf->excludes = NULL;
     *     pmcf->only = NULL;
     *     pmcf->used = 0;
     */

    pmcf->right = NGX_CONF_UNSET;
    pmcf->migrate = NGX_CONF_UNSET;
    pmcf->errors = NGX_CONF_UNSET;
    pmcf->legacy = NGX_CONF_UNSET;
    pmcf->legacy_limit = NGX_CONF_UNSET_UINT;
    pmcf->sweep = NGX_CONF_UNSET_MSEC;
    pmcf->memory = NGX_CONF_UNSET_SIZE;
    pmcf->flush = NGX_CONF_UNSET_MSEC;

    return pmcf;
}


static char *
ngx_http_pdns_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_pdns_main_conf_t  *pmcf = conf;

    ngx_conf_init_value(pmcf->right, 1);
    ngx_conf_init_value(pmcf->migrate, 0);
    ngx_conf_init_value(pmcf->errors, 0);
    ngx_conf_init_value(pmcf->legacy, 1);
    ngx_conf_init_uint_value(pmcf->legacy_limit, 10000);
    ngx_conf_init_msec_value(pmcf->sweep, 3600000);
    ngx_conf_init_size_value(pmcf->memory, 128 * 1024 * 1024);
    ngx_conf_init_msec_value(pmcf->flush, 1000);

    if (pmcf->memory < 1024 * 1024) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"pdns_memory\" must be at least 1m");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_pdns_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_pdns_loc_conf_t  *plcf;

    plcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_pdns_loc_conf_t));
    if (plcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     plcf->origin = { 0, NULL };
     */

    plcf->enable = NGX_CONF_UNSET;
    plcf->ingest = NGX_CONF_UNSET;
    plcf->export = NGX_CONF_UNSET;
    plcf->metrics = NGX_CONF_UNSET;
    plcf->limit = NGX_CONF_UNSET_UINT;
    plcf->bulk = NGX_CONF_UNSET_UINT;
    plcf->buffer = NGX_CONF_UNSET_SIZE;

    return plcf;
}


static char *
ngx_http_pdns_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_pdns_loc_conf_t  *prev = parent;
    ngx_http_pdns_loc_conf_t  *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);
    ngx_conf_merge_value(conf->ingest, prev->ingest, 0);
    ngx_conf_merge_value(conf->export, prev->export, 0);
    ngx_conf_merge_value(conf->metrics, prev->metrics, 0);
    ngx_conf_merge_uint_value(conf->limit, prev->limit, 10000);
    ngx_conf_merge_uint_value(conf->bulk, prev->bulk, 10000);
    ngx_conf_merge_size_value(conf->buffer, prev->buffer, 2 * 1024 * 1024);
    ngx_conf_merge_str_value(conf->origin, prev->origin, "");

    return NGX_CONF_OK;
}


static char *
ngx_http_pdns_enable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pdns_loc_conf_t  *plcf = conf;

    char                       *rv;
    ngx_http_core_loc_conf_t   *clcf;
    ngx_http_pdns_main_conf_t  *pmcf;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rv != NGX_CONF_OK
        || *(ngx_flag_t *) ((u_char *) conf + cmd->offset) != 1)
    {
        return rv;
    }

    if (plcf->enable == 1 && plcf->metrics == 1) {
        return "conflicts with \"pdns\" or \"pdns_metrics\" of the same "
               "location";
    }

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_pdns_module);
    pmcf->used = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = (plcf->enable == 1) ? ngx_http_pdns_handler
                                        : ngx_http_pdns_metrics;

    return NGX_CONF_OK;
}


/* Words of one or several directives. */

static char *
ngx_http_pdns_words(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t     *value, *word;
    ngx_uint_t     i, n;
    ngx_array_t  **words;

    words = (ngx_array_t **) ((u_char *) conf + cmd->offset);

    if (*words == NULL) {
        *words = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
        if (*words == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "an empty word in \"%V\"", &cmd->name);
            return NGX_CONF_ERROR;
        }

        word = (*words)->elts;

        for (n = 0; n < (*words)->nelts; n++) {
            if (word[n].len == value[i].len
                && ngx_memcmp(word[n].data, value[i].data, value[i].len) == 0)
            {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "duplicate \"%V\" in \"%V\"", &value[i],
                                   &cmd->name);
                return NGX_CONF_ERROR;
            }
        }

        word = ngx_array_push(*words);
        if (word == NULL) {
            return NGX_CONF_ERROR;
        }

        *word = value[i];
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_pdns_types(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pdns_main_conf_t  *pmcf = conf;

    uint16_t     type;
    ngx_str_t   *value;
    ngx_uint_t   i, *only;

    if (pmcf->only == NULL) {
        pmcf->only = ngx_array_create(cf->pool, 8, sizeof(ngx_uint_t));
        if (pmcf->only == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (pdns_type_parse(&type, (char *) value[i].data, value[i].len) != 0
            || type == 0 || type == PDNS_ANY)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is not a type of records", &value[i]);
            return NGX_CONF_ERROR;
        }

        only = ngx_array_push(pmcf->only);
        if (only == NULL) {
            return NGX_CONF_ERROR;
        }

        *only = type;
    }

    return NGX_CONF_OK;
}


/* pdns_retention TIME [TYPE...]: without types, of all others */

static char *
ngx_http_pdns_keep(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pdns_main_conf_t  *pmcf = conf;

    time_t                      ttl;
    uint16_t                    type;
    ngx_str_t                  *value;
    ngx_uint_t                  i, n;
    ngx_http_pdns_retention_t  *r;

    if (pmcf->retention == NULL) {
        pmcf->retention = ngx_array_create(cf->pool, 4,
                                           sizeof(ngx_http_pdns_retention_t));
        if (pmcf->retention == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;
    ttl = ngx_parse_time(&value[1], 1);

    if (ttl == (time_t) NGX_ERROR || ttl == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid time \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts || i == 2; i++) {
        type = 0;

        if (i < cf->args->nelts
            && (pdns_type_parse(&type, (char *) value[i].data, value[i].len)
                    != 0
                || type == 0 || type == PDNS_ANY))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is not a type of records", &value[i]);
            return NGX_CONF_ERROR;
        }

        r = pmcf->retention->elts;

        for (n = 0; n < pmcf->retention->nelts; n++) {
            if (r[n].type == type) {
                return "is duplicate";
            }
        }

        r = ngx_array_push(pmcf->retention);
        if (r == NULL) {
            return NGX_CONF_ERROR;
        }

        r->type = type;
        r->ttl = ttl;
    }

    return NGX_CONF_OK;
}


/* pdns_errors off | TIME [max=NAMES] */

static char *
ngx_http_pdns_keep_errors(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pdns_main_conf_t  *pmcf = conf;

    ngx_int_t    max;
    ngx_str_t   *value;
    ngx_uint_t   off;

    if (pmcf->errors != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;
    off = (ngx_strcmp(value[1].data, "off") == 0);

    pmcf->errors = off ? 0 : ngx_parse_time(&value[1], 1);

    if (pmcf->errors == (time_t) NGX_ERROR || (pmcf->errors == 0 && !off)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\" in \"pdns_errors\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    pmcf->errors_max = 1000000;

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    max = (ngx_strncmp(value[2].data, "max=", 4) == 0)
          ? ngx_atoi(value[2].data + 4, value[2].len - 4) : NGX_ERROR;

    if (max == NGX_ERROR || max == 0 || off) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"pdns_errors\"",
                           &value[2]);
        return NGX_CONF_ERROR;
    }

    pmcf->errors_max = max;

    return NGX_CONF_OK;
}

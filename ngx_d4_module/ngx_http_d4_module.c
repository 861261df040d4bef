
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Directives of the http part.  Two modules in one: the http module has the
 * directives; a core module beside it has what is one for the whole nginx, is
 * asked when all of the configuration was read, wherever the "d4" block
 * stands, and lives with the worker.
 */


#include "ngx_http_d4_api.h"
#include "ngx_http_d4_module.h"


static void *ngx_http_d4_create_main(ngx_cycle_t *cycle);
static char *ngx_http_d4_init_main(ngx_cycle_t *cycle, void *conf);
static ngx_int_t ngx_http_d4_init_process(ngx_cycle_t *cycle);
static void ngx_http_d4_exit_process(ngx_cycle_t *cycle);
static void ngx_http_d4_redis_state(ngx_d4_redis_t *rd, ngx_uint_t up);
static void *ngx_http_d4_create_srv(ngx_conf_t *cf);
static void *ngx_http_d4_create_conf(ngx_conf_t *cf);
static char *ngx_http_d4_merge_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_d4_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_d4_take(ngx_conf_t *cf, ngx_http_handler_pt handler,
    ngx_flag_t *flag);
static ngx_int_t ngx_http_d4_thread_pool(ngx_conf_t *cf,
    ngx_http_d4_main_t *dmcf);
static char *ngx_http_d4_health(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_d4_metrics(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* in no header of nginx */
extern ngx_module_t  ngx_thread_pool_module;


static ngx_core_module_t  ngx_http_d4_core_module_ctx = {
    ngx_string("http_d4"),
    ngx_http_d4_create_main,
    ngx_http_d4_init_main
};


ngx_module_t  ngx_http_d4_core_module = {
    NGX_MODULE_V1,
    &ngx_http_d4_core_module_ctx,          /* module context */
    NULL,                                  /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_d4_init_process,              /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_d4_exit_process,              /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_command_t  ngx_http_d4_commands[] = {

    { ngx_string("d4_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_http_d4_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("d4_api_insecure"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_d4_conf_t, insecure),
      NULL },

    { ngx_string("d4_api_body_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_d4_conf_t, body),
      NULL },

    { ngx_string("d4_login_time"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_d4_conf_t, login),
      NULL },

    { ngx_string("d4_health"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_http_d4_health,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("d4_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_d4_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("d4_webhook"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_d4_webhook,
      0,
      0,
      NULL },

    { ngx_string("d4_monitor_interval"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_d4_monitor_interval,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_d4_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_http_d4_create_srv,                /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_d4_create_conf,               /* create location configuration */
    ngx_http_d4_merge_conf                 /* merge location configuration */
};


ngx_module_t  ngx_http_d4_module = {
    NGX_MODULE_V1,
    &ngx_http_d4_module_ctx,               /* module context */
    ngx_http_d4_commands,                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_d4_redis_t  *ngx_http_d4_redis[NGX_D4_REDIS_SERVER];
ngx_uint_t       ngx_http_d4_lost[NGX_D4_REDIS_SERVER];
time_t           ngx_http_d4_started;


static const char * const  ngx_http_d4_roles[] = {
    "metadata", "users", "queues", "cache", "streams"
};


const char *
ngx_http_d4_redis_role(ngx_uint_t role)
{
    return ngx_http_d4_roles[role];
}


ngx_http_d4_main_t *
ngx_http_d4_main(void)
{
    return (ngx_http_d4_main_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                               ngx_http_d4_core_module);
}


static void *
ngx_http_d4_create_main(ngx_cycle_t *cycle)
{
    ngx_http_d4_main_t  *conf;

    conf = ngx_pcalloc(cycle->pool, sizeof(ngx_http_d4_main_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->used = 0;
     *     conf->pool = NULL;
     *     conf->webhook = NULL;
     *     conf->webhook_uri = { 0, NULL };
     */

    conf->monitor = NGX_CONF_UNSET_MSEC;

    return conf;
}


static char *
ngx_http_d4_init_main(ngx_cycle_t *cycle, void *conf)
{
    ngx_http_d4_main_t  *dmcf = conf;

    ngx_uint_t      i;
    ngx_d4_conf_t  *d4;

    ngx_conf_init_msec_value(dmcf->monitor, 10000);

    if (!dmcf->used) {
        return NGX_CONF_OK;
    }

    d4 = ngx_d4_get_conf(cycle);

    if (d4->zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"d4_api\", \"d4_metrics\" and \"d4_health\" need a "
                      "\"d4\" block");
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {
        if (d4->redis[i].sockaddr == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "\"d4_api\", \"d4_metrics\" and \"d4_health\" need "
                          "\"redis %s\" in the \"d4\" block",
                          ngx_http_d4_roles[i]);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_d4_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t           i;
    ngx_d4_conf_t       *d4;
    ngx_http_d4_main_t  *dmcf;

    ngx_memzero(ngx_http_d4_redis, sizeof(ngx_http_d4_redis));
    ngx_memzero(ngx_http_d4_lost, sizeof(ngx_http_d4_lost));

    dmcf = (ngx_http_d4_main_t *) ngx_get_conf(cycle->conf_ctx,
                                               ngx_http_d4_core_module);

    if (!dmcf->used
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    d4 = ngx_d4_get_conf(cycle);

    ngx_http_d4_started = ngx_time();

    /*
     * Connections of our own: answers must not queue behind what sensors
     * send, and the core opens those that it needs itself.
     */

    for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {
        ngx_http_d4_redis[i] = ngx_d4_redis_open(&d4->redis[i],
                                                 d4->redis_timeout,
                                                 ngx_http_d4_redis_state,
                                                 cycle->log);
        if (ngx_http_d4_redis[i] == NULL) {
            return NGX_ERROR;
        }
    }

    return ngx_http_d4_monitor_init(cycle);
}


static void
ngx_http_d4_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t  i;

    ngx_http_d4_monitor_done();

    for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {
        if (ngx_http_d4_redis[i]) {
            ngx_d4_redis_close(ngx_http_d4_redis[i]);
            ngx_http_d4_redis[i] = NULL;
        }
    }
}


static void
ngx_http_d4_redis_state(ngx_d4_redis_t *rd, ngx_uint_t up)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {
        if (ngx_http_d4_redis[i] == rd && !up) {
            ngx_http_d4_lost[i]++;
        }
    }
}


/* The names of locations with "d4_api on", for what fails before them. */

static void *
ngx_http_d4_create_srv(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_array_t *));
}


static void *
ngx_http_d4_create_conf(ngx_conf_t *cf)
{
    ngx_http_d4_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_d4_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->api = 0;
     *     conf->health = 0;
     *     conf->metrics = 0;
     */

    conf->insecure = NGX_CONF_UNSET;
    conf->body = NGX_CONF_UNSET_SIZE;
    conf->login = NGX_CONF_UNSET;

    return conf;
}


static char *
ngx_http_d4_merge_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_d4_conf_t  *prev = parent;
    ngx_http_d4_conf_t  *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* "if" and "limit_except" within a location of ours */

    if (clcf->noname && prev->api) {
        conf->api = 1;
    }

    ngx_conf_merge_value(conf->insecure, prev->insecure, 0);
    ngx_conf_merge_size_value(conf->body, prev->body, 1024 * 1024);
    ngx_conf_merge_sec_value(conf->login, prev->login, 12 * 3600);

    if (conf->body > 64 * 1024 * 1024) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"d4_api_body_size\" must not be more than 64m");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* A location has one handler, and one of our flags says which it is. */

static char *
ngx_http_d4_take(ngx_conf_t *cf, ngx_http_handler_pt handler, ngx_flag_t *flag)
{
    ngx_http_d4_main_t        *dmcf;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return "is one of several handlers of a location";
    }

    clcf->handler = handler;
    *flag = 1;

    dmcf = (ngx_http_d4_main_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                               ngx_http_d4_core_module);
    dmcf->used = 1;

    return NGX_CONF_OK;
}


static char *
ngx_http_d4_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_d4_conf_t  *dlcf = conf;

    ngx_str_t                  *value, *name;
    ngx_array_t               **locations;
    ngx_http_d4_main_t         *dmcf;
    ngx_http_core_loc_conf_t   *clcf;

    value = cf->args->elts;

    if (ngx_strcasecmp(value[1].data, (u_char *) "off") == 0) {
        return NGX_CONF_OK;
    }

    if (ngx_strcasecmp(value[1].data, (u_char *) "on") != 0) {
        return "must be \"on\" or \"off\"";
    }

    locations = ngx_http_conf_get_module_srv_conf(cf, ngx_http_d4_module);

    if (*locations == NULL) {
        *locations = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
        if (*locations == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    name = ngx_array_push(*locations);
    if (name == NULL) {
        return NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    *name = clcf->name;

    dmcf = (ngx_http_d4_main_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                               ngx_http_d4_core_module);

    if (dmcf->pool == NULL && ngx_http_d4_thread_pool(cf, dmcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_d4_take(cf, ngx_http_d4_api_handler, &dlcf->api);
}


/*
 * A pool of our own, so that nobody's files wait for a password: the directive
 * "thread_pool d4_api ..." as if it stood in the configuration, because there
 * is no other way to say how many threads a pool has.
 */

static ngx_int_t
ngx_http_d4_thread_pool(ngx_conf_t *cf, ngx_http_d4_main_t *dmcf)
{
    void            *conf;
    ngx_int_t        rc;
    ngx_array_t     *args, words;
    ngx_command_t   *cmd;

    static ngx_str_t  line[] = {
        ngx_string("thread_pool"), ngx_string("d4_api"),
        ngx_string("threads=2"), ngx_string("max_queue=256")
    };

    conf = ngx_get_conf(cf->cycle->conf_ctx, ngx_thread_pool_module);

    words.elts = line;
    words.nelts = 4;
    words.size = sizeof(ngx_str_t);
    words.nalloc = 4;
    words.pool = cf->pool;

    for (cmd = ngx_thread_pool_module.commands; cmd->name.len; cmd++) {

        if (cmd->name.len != line[0].len
            || ngx_strncmp(cmd->name.data, line[0].data, line[0].len) != 0)
        {
            continue;
        }

        args = cf->args;
        cf->args = &words;
        rc = (cmd->set(cf, cmd, conf) == NGX_CONF_OK) ? NGX_OK : NGX_ERROR;
        cf->args = args;

        if (rc == NGX_OK) {
            dmcf->pool = ngx_thread_pool_add(cf, &line[1]);
        }

        break;
    }

    return dmcf->pool ? NGX_OK : NGX_ERROR;
}


static char *
ngx_http_d4_health(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_d4_conf_t  *dlcf = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_strcasecmp(value[1].data, (u_char *) "off") == 0) {
        return NGX_CONF_OK;
    }

    if (ngx_strcasecmp(value[1].data, (u_char *) "on") != 0) {
        return "must be \"on\" or \"off\"";
    }

    return ngx_http_d4_take(cf, ngx_http_d4_health_handler, &dlcf->health);
}


static char *
ngx_http_d4_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_d4_conf_t  *dlcf = conf;

    char        *rv;
    ngx_flag_t   flag;
    ngx_str_t   *value;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "on") != 0
        && ngx_strcmp(value[1].data, "sensors") != 0)
    {
        return "must be \"on\", \"sensors\" or \"off\"";
    }

    rv = ngx_http_d4_take(cf, ngx_http_d4_metrics_handler, &flag);

    if (rv == NGX_CONF_OK) {
        dlcf->metrics = (value[1].data[0] == 's') ? 2 : 1;
    }

    return rv;
}

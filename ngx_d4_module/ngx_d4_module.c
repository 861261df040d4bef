
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_d4_core.h"
#include "ngx_d4_dispatch_conf.h"


#define NGX_D4_CONF       0x02000000
#define NGX_D4_ZONE_MIN   (1024 * 1024)
#define NGX_D4_SPARE_MAX  (16 * 1024 * 1024)


static void *ngx_d4_create_conf(ngx_cycle_t *cycle);
static char *ngx_d4_init_conf(ngx_cycle_t *cycle, void *conf);
static char *ngx_d4_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_d4_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_d4_redis_role(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_d4_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_d4_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_d4_init_process(ngx_cycle_t *cycle);
static void ngx_d4_exit_process(ngx_cycle_t *cycle);
static void ngx_d4_metadata_state(ngx_d4_redis_t *rd, ngx_uint_t up);
static void ngx_d4_streams_state(ngx_d4_redis_t *rd, ngx_uint_t up);
static void ngx_d4_queues_state(ngx_d4_redis_t *rd, ngx_uint_t up);
static void ngx_d4_tick(ngx_event_t *ev);
static ngx_uint_t ngx_d4_overdue(void);


static ngx_conf_enum_t  ngx_d4_modes[] = {
    { ngx_string("registration"), NGX_D4_MODE_REGISTRATION },
    { ngx_string("shared-secret"), NGX_D4_MODE_SHARED_SECRET },
    { ngx_null_string, 0 }
};


static ngx_conf_num_bounds_t  ngx_d4_positive = {
    ngx_conf_check_num_bounds, 1, 1000000000
};


static ngx_conf_num_bounds_t  ngx_d4_level = {
    ngx_conf_check_num_bounds, 1, 9
};


static ngx_command_t  ngx_d4_commands[] = {

    { ngx_string("d4"),
      NGX_MAIN_CONF|NGX_DIRECT_CONF|NGX_CONF_BLOCK|NGX_CONF_NOARGS,
      ngx_d4_block,
      0,
      0,
      NULL },

    { ngx_string("zone"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE2,
      ngx_d4_zone,
      0,
      0,
      NULL },

    { ngx_string("redis"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_2MORE,
      ngx_d4_redis_role,
      0,
      0,
      NULL },

    { ngx_string("mode"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      0,
      offsetof(ngx_d4_conf_t, mode),
      &ngx_d4_modes },

    { ngx_string("default_key_file"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_d4_key_file,
      0,
      0,
      NULL },

    { ngx_string("host"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      0,
      offsetof(ngx_d4_conf_t, host),
      NULL },

    { ngx_string("worker_memory"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      0,
      offsetof(ngx_d4_conf_t, worker_memory),
      NULL },

    { ngx_string("batch_size"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      0,
      offsetof(ngx_d4_conf_t, batch_size),
      NULL },

    { ngx_string("redis_timeout"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      0,
      offsetof(ngx_d4_conf_t, redis_timeout),
      NULL },

    { ngx_string("stat_interval"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      0,
      offsetof(ngx_d4_conf_t, stat_interval),
      NULL },

    { ngx_string("stat_budget"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      0,
      offsetof(ngx_d4_conf_t, stat_budget),
      &ngx_d4_positive },

    { ngx_string("stat_retention"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      0,
      offsetof(ngx_d4_conf_t, stat_retention),
      NULL },

    { ngx_string("refused_max"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      0,
      offsetof(ngx_d4_conf_t, refused_max),
      &ngx_d4_positive },

    { ngx_string("dispatch"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      0,
      offsetof(ngx_d4_conf_t, dispatch),
      NULL },

    { ngx_string("adopt_foreign"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      0,
      offsetof(ngx_d4_conf_t, adopt_foreign),
      NULL },

    { ngx_string("data"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_d4_data,
      0,
      0,
      NULL },

    { ngx_string("data_access"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE123,
      ngx_conf_set_access_slot,
      0,
      offsetof(ngx_d4_conf_t, data_access),
      NULL },

    { ngx_string("data_owner"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE12,
      ngx_d4_data_owner,
      0,
      0,
      NULL },

    { ngx_string("data_utc"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      0,
      offsetof(ngx_d4_conf_t, data_utc),
      NULL },

    { ngx_string("data_sync"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      0,
      offsetof(ngx_d4_conf_t, data_sync),
      NULL },

    { ngx_string("data_min_free"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_off_slot,
      0,
      offsetof(ngx_d4_conf_t, data_min_free),
      NULL },

    { ngx_string("data_retention"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      0,
      offsetof(ngx_d4_conf_t, data_retention),
      NULL },

    { ngx_string("data_max"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_off_slot,
      0,
      offsetof(ngx_d4_conf_t, data_max),
      NULL },

    { ngx_string("rotate_time"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      0,
      offsetof(ngx_d4_conf_t, rotate_time),
      NULL },

    { ngx_string("rotate_size"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_off_slot,
      0,
      offsetof(ngx_d4_conf_t, rotate_size),
      NULL },

    { ngx_string("compress_level"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      0,
      offsetof(ngx_d4_conf_t, compress_level),
      &ngx_d4_level },

    { ngx_string("open_files"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      0,
      offsetof(ngx_d4_conf_t, open_files),
      &ngx_d4_positive },

    { ngx_string("line_max"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      0,
      offsetof(ngx_d4_conf_t, line_max),
      NULL },

    { ngx_string("object_max"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      0,
      offsetof(ngx_d4_conf_t, object_max),
      NULL },

    { ngx_string("queue_max"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      0,
      offsetof(ngx_d4_conf_t, queue_max),
      &ngx_d4_positive },

    { ngx_string("queue_max_bytes"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_off_slot,
      0,
      offsetof(ngx_d4_conf_t, queue_max_bytes),
      NULL },

    { ngx_string("queue_unread"),
      NGX_D4_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      0,
      offsetof(ngx_d4_conf_t, queue_unread),
      NULL },

      ngx_null_command
};


static ngx_core_module_t  ngx_d4_module_ctx = {
    ngx_string("d4"),
    ngx_d4_create_conf,
    ngx_d4_init_conf
};


ngx_module_t  ngx_d4_module = {
    NGX_MODULE_V1,
    &ngx_d4_module_ctx,                    /* module context */
    ngx_d4_commands,                       /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_d4_init_module,                    /* init module */
    ngx_d4_init_process,                   /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_d4_exit_process,                   /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_d4_worker_t  ngx_d4_worker;

ngx_d4_conf_t *
ngx_d4_get_conf(ngx_cycle_t *cycle)
{
    return (ngx_d4_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_d4_module);
}


static ngx_int_t
ngx_d4_init_module(ngx_cycle_t *cycle)
{
    return ngx_d4_data_init(cycle, ngx_d4_get_conf(cycle));
}


static ngx_int_t
ngx_d4_init_process(ngx_cycle_t *cycle)
{
    ngx_d4_conf_t    *conf;
    ngx_d4_worker_t  *w;

    w = &ngx_d4_worker;

    ngx_memzero(w, sizeof(ngx_d4_worker_t));

    conf = ngx_d4_get_conf(cycle);

    if (conf->zone == NULL || conf->lookup
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    w->conf = conf;
    w->shared = conf->zone->data;
    w->shpool = (ngx_slab_pool_t *) conf->zone->shm.addr;
    w->log = cycle->log;

    ngx_queue_init(&w->sessions);
    d4_pool_init(&w->pool, ngx_min(NGX_D4_SPARE_MAX, conf->worker_memory / 8));

    ngx_d4_dispatch_init();
    ngx_d4_consume_init();

    if (ngx_d4_sessions_init() != NGX_OK || ngx_d4_control_init() != NGX_OK) {
        return NGX_ERROR;
    }

    w->metadata = ngx_d4_redis_open(&conf->redis[NGX_D4_REDIS_METADATA],
                                    conf->redis_timeout,
                                    ngx_d4_metadata_state, w->log);

    w->streams = ngx_d4_redis_open(&conf->redis[NGX_D4_REDIS_STREAMS],
                                   conf->redis_timeout,
                                   ngx_d4_streams_state, w->log);

    if (w->metadata == NULL || w->streams == NULL) {
        return NGX_ERROR;
    }

    if (conf->redis[NGX_D4_REDIS_QUEUES].sockaddr != NULL) {
        w->queues = ngx_d4_redis_open(&conf->redis[NGX_D4_REDIS_QUEUES],
                                      conf->redis_timeout,
                                      ngx_d4_queues_state, w->log);
        if (w->queues == NULL) {
            return NGX_ERROR;
        }
    }

    w->tick.handler = ngx_d4_tick;
    w->tick.log = w->log;
    w->tick.data = w;                      /* fd: see ngx_d4_worker_t */
    w->tick.cancelable = 1;
    w->active = 1;

    ngx_add_timer(&w->tick, NGX_D4_TICK);

    return NGX_OK;
}


static void
ngx_d4_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t        n;
    ngx_d4_redis_t   *rds[3];
    ngx_d4_worker_t  *w;

    w = &ngx_d4_worker;

    if (!w->active) {
        return;
    }

    w->active = 0;

    if (w->tick.timer_set) {
        ngx_del_timer(&w->tick);
    }

    ngx_d4_control_done(ngx_d4_consume_done());

    n = 0;

    if (w->queues != NULL) {
        rds[n++] = w->queues;
    }

    rds[n++] = w->streams;
    rds[n++] = w->metadata;

    ngx_d4_redis_shut(rds, n);

    d4_pool_clear(&w->pool);
}


static void
ngx_d4_metadata_state(ngx_d4_redis_t *rd, ngx_uint_t up)
{
    time_t      now;
    ngx_tm_t    tm;
    u_char      sec[NGX_TIME_T_LEN], day[sizeof("20260101")];
    ngx_str_t   argv[3];

    if (up && ngx_worker == 0) {
        now = ngx_time();
        ngx_localtime(now, &tm);

        argv[0].data = sec;
        argv[0].len = ngx_sprintf(sec, "%T", now) - sec;
        argv[1].data = day;
        argv[1].len = ngx_sprintf(day, "%04d%02d%02d", tm.ngx_tm_year,
                                  tm.ngx_tm_mon, tm.ngx_tm_mday)
                      - day;
        argv[2] = ngx_d4_worker.conf->default_key;

        (void) ngx_d4_script(rd, NGX_D4_SCRIPT_SEED, 3, argv, NULL, NULL);
    }

    ngx_d4_sessions_work();
    ngx_d4_dispatches_work();
}


static void
ngx_d4_streams_state(ngx_d4_redis_t *rd, ngx_uint_t up)
{
    if (up) {
        ngx_d4_sessions_look();
    }

    ngx_d4_sessions_work();
    ngx_d4_dispatches_work();
}


static void
ngx_d4_queues_state(ngx_d4_redis_t *rd, ngx_uint_t up)
{
    if (up) {
        ngx_d4_consume_up();
        ngx_d4_closing_look();             /* answers may have been lost */
    }

    ngx_d4_dispatches_work();
}


/*
 * A worker that is to exit stays while sessions have something to store or to
 * write down, for as long as worker_shutdown_timeout allows.
 */

static void
ngx_d4_tick(ngx_event_t *ev)
{
    ngx_d4_worker_t  *w;

    w = ev->data;

    ngx_d4_control_tick();
    ngx_d4_sessions_tick();
    ngx_d4_dispatches_tick();
    ngx_d4_refused_tick();
    ngx_d4_consume_tick();

    ev->cancelable = (w->nsessions == 0 && w->ndispatches == 0
                      && ngx_d4_refused_pending() == 0
                      && !ngx_d4_consume_busy());

    if (ngx_exiting && !ev->cancelable && ngx_d4_overdue()) {
        ngx_d4_sessions_abandon();
        ngx_d4_dispatches_abandon();
        ev->cancelable = 1;
    }

    ngx_add_timer(ev, NGX_D4_TICK);
}


static ngx_uint_t
ngx_d4_overdue(void)
{
    ngx_msec_t         timeout;
    ngx_core_conf_t   *ccf;
    static ngx_msec_t  since;

    if (since == 0) {
        since = ngx_current_msec;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                           ngx_core_module);

    timeout = ccf->shutdown_timeout ? ccf->shutdown_timeout : NGX_D4_EXIT;

    return ngx_current_msec - since >= timeout;
}


static void *
ngx_d4_create_conf(ngx_cycle_t *cycle)
{
    ngx_d4_conf_t  *conf;

    conf = ngx_pcalloc(cycle->pool, sizeof(ngx_d4_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->zone = NULL;
     *     conf->redis[] = { 0 };
     *     conf->default_key = { 0, NULL };
     *     conf->host = { 0, NULL };
     *     conf->data = { 0, NULL };
     *     conf->data_pool = NULL;
     *     conf->compress_pool = NULL;
     */

    conf->mode = NGX_CONF_UNSET_UINT;
    conf->worker_memory = NGX_CONF_UNSET_SIZE;
    conf->batch_size = NGX_CONF_UNSET_SIZE;
    conf->redis_timeout = NGX_CONF_UNSET_MSEC;
    conf->stat_interval = NGX_CONF_UNSET_MSEC;
    conf->stat_budget = NGX_CONF_UNSET;
    conf->stat_retention = NGX_CONF_UNSET;
    conf->refused_max = NGX_CONF_UNSET;

    ngx_d4_dispatch_create_conf(conf);

    return conf;
}


static char *
ngx_d4_init_conf(ngx_cycle_t *cycle, void *conf)
{
    ngx_d4_conf_t  *dcf = conf;

    ngx_uint_t  i;

    ngx_conf_init_uint_value(dcf->mode, NGX_D4_MODE_REGISTRATION);
    ngx_conf_init_size_value(dcf->worker_memory, 256 * 1024 * 1024);
    ngx_conf_init_size_value(dcf->batch_size, 256 * 1024);
    ngx_conf_init_msec_value(dcf->redis_timeout, 15000);
    ngx_conf_init_msec_value(dcf->stat_interval, 1000);
    ngx_conf_init_value(dcf->stat_budget, 1000);
    ngx_conf_init_value(dcf->stat_retention, 0);
    ngx_conf_init_value(dcf->refused_max, 10000);

    ngx_d4_dispatch_init_conf(dcf);

    if (dcf->host.len == 0) {
        dcf->host = cycle->hostname;
    }

    for (i = 0; i < dcf->host.len; i++) {
        if (dcf->host.data[i] <= ' ' || dcf->host.data[i] == ':'
            || dcf->host.data[i] >= 0x7f)
        {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "invalid d4 host name \"%V\"", &dcf->host);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_d4_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_d4_conf_t  *dcf = conf;

    char        *rv;
    ngx_uint_t   i;
    ngx_conf_t   save;

    static const ngx_uint_t  required[] = {
        NGX_D4_REDIS_METADATA, NGX_D4_REDIS_STREAMS
    };

    if (dcf->zone || dcf->lookup) {
        return "is duplicate";
    }

    save = *cf;
    cf->module_type = NGX_CORE_MODULE;
    cf->cmd_type = NGX_D4_CONF;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    /* a server of lookups alone has no sensors, and needs nothing for them */

    if (dcf->redis[NGX_D4_REDIS_METADATA].sockaddr == NULL
        && dcf->redis[NGX_D4_REDIS_STREAMS].sockaddr == NULL
        && dcf->redis[NGX_D4_REDIS_PDNS].sockaddr != NULL)
    {
        dcf->lookup = 1;
        return NGX_CONF_OK;
    }

    if (dcf->zone == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"zone\" is defined in the \"d4\" block");
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
        if (dcf->redis[required[i]].sockaddr == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "no \"redis %s\" is defined in the "
                               "\"d4\" block",
                               required[i] == NGX_D4_REDIS_METADATA
                               ? "metadata" : "streams");
            return NGX_CONF_ERROR;
        }
    }

    /* the longest frame has to fit, with what is read ahead of it */

    if (dcf->worker_memory != NGX_CONF_UNSET_SIZE
        && dcf->worker_memory < NGX_D4_MEMORY_MIN)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"worker_memory\" must be at least 8m");
        return NGX_CONF_ERROR;
    }

    return ngx_d4_dispatch_check_conf(cf, dcf);
}


static char *
ngx_d4_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_d4_conf_t  *dcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (dcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    if (size < NGX_D4_ZONE_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small, 1m is the least",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    dcf->zone = ngx_shared_memory_add(cf, &value[1], size, &ngx_d4_module);
    if (dcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    dcf->zone->init = ngx_d4_registry_init;

    return NGX_CONF_OK;
}


static char *
ngx_d4_redis_role(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_d4_conf_t  *dcf = conf;

    return ngx_d4_redis_directive(cf, dcf->redis);
}


static char *
ngx_d4_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_d4_conf_t  *dcf = conf;

    if (dcf->default_key.data) {
        return "is duplicate";
    }

    return ngx_d4_secret_file(cf, &((ngx_str_t *) cf->args->elts)[1],
                              &dcf->default_key);
}

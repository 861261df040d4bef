
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_stream_d4_module.h"


static void *ngx_stream_d4_create_srv_conf(ngx_conf_t *cf);
static char *ngx_stream_d4_merge_srv_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_stream_d4(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_stream_d4_versions(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_stream_d4_max_skew(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_stream_d4_init(ngx_conf_t *cf);
static ngx_int_t ngx_stream_d4_init_module(ngx_cycle_t *cycle);


static ngx_conf_enum_t  ngx_stream_d4_duplicates[] = {
    { ngx_string("refuse"), NGX_D4_DUPLICATE_REFUSE },
    { ngx_string("replace"), NGX_D4_DUPLICATE_REPLACE },
    { ngx_null_string, 0 }
};


static ngx_conf_num_bounds_t  ngx_stream_d4_payload_bounds = {
    ngx_conf_check_num_bounds, 1, 16777216
};


static ngx_command_t  ngx_stream_d4_commands[] = {

    { ngx_string("d4"),
      NGX_STREAM_SRV_CONF|NGX_CONF_FLAG,
      ngx_stream_d4,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_d4_srv_conf_t, enable),
      NULL },

    { ngx_string("d4_max_payload"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_d4_srv_conf_t, max_payload),
      &ngx_stream_d4_payload_bounds },

    { ngx_string("d4_handshake_timeout"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_d4_srv_conf_t, handshake_timeout),
      NULL },

    { ngx_string("d4_frame_timeout"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_d4_srv_conf_t, frame_timeout),
      NULL },

    { ngx_string("d4_drain_timeout"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_d4_srv_conf_t, drain_timeout),
      NULL },

    { ngx_string("d4_duplicate"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_d4_srv_conf_t, duplicate),
      &ngx_stream_d4_duplicates },

    { ngx_string("d4_buffer_size"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_d4_srv_conf_t, buffer_size),
      NULL },

    { ngx_string("d4_backlog_size"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_off_slot,
      NGX_STREAM_SRV_CONF_OFFSET,
      offsetof(ngx_stream_d4_srv_conf_t, backlog_size),
      NULL },

    { ngx_string("d4_versions"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_1MORE,
      ngx_stream_d4_versions,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("d4_max_skew"),
      NGX_STREAM_MAIN_CONF|NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_stream_d4_max_skew,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_stream_module_t  ngx_stream_d4_module_ctx = {
    ngx_stream_d4_add_variables,           /* preconfiguration */
    ngx_stream_d4_init,                    /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_stream_d4_create_srv_conf,         /* create server configuration */
    ngx_stream_d4_merge_srv_conf           /* merge server configuration */
};


ngx_module_t  ngx_stream_d4_module = {
    NGX_MODULE_V1,
    &ngx_stream_d4_module_ctx,             /* module context */
    ngx_stream_d4_commands,                /* module directives */
    NGX_STREAM_MODULE,                     /* module type */
    NULL,                                  /* init master */
    ngx_stream_d4_init_module,             /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* a server with "d4 on" was configured in this cycle */
static ngx_uint_t  ngx_stream_d4_enabled;


static void *
ngx_stream_d4_create_srv_conf(ngx_conf_t *cf)
{
    ngx_stream_d4_srv_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_stream_d4_srv_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->versions_set = 0;
     *     conf->session = { 0 };
     */

    conf->enable = NGX_CONF_UNSET;
    conf->max_payload = NGX_CONF_UNSET_UINT;
    conf->handshake_timeout = NGX_CONF_UNSET_MSEC;
    conf->frame_timeout = NGX_CONF_UNSET_MSEC;
    conf->drain_timeout = NGX_CONF_UNSET_MSEC;
    conf->duplicate = NGX_CONF_UNSET_UINT;
    conf->buffer_size = NGX_CONF_UNSET_SIZE;
    conf->backlog_size = NGX_CONF_UNSET;
    conf->max_skew = NGX_CONF_UNSET;

    return conf;
}


static char *
ngx_stream_d4_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_stream_d4_srv_conf_t *prev = parent;
    ngx_stream_d4_srv_conf_t *conf = child;

    d4_limits_t                 *limits;
    ngx_stream_core_srv_conf_t  *cscf;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);

    cscf = ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_core_module);

    if (conf->enable && cscf->handler != ngx_stream_d4_handler) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"d4 on\" conflicts with another handler of "
                           "the server at %s:%ui",
                           cscf->file_name, cscf->line);
        return NGX_CONF_ERROR;
    }
    ngx_conf_merge_uint_value(conf->max_payload, prev->max_payload,
                              D4_MAX_PAYLOAD);
    ngx_conf_merge_msec_value(conf->handshake_timeout,
                              prev->handshake_timeout, 30000);
    ngx_conf_merge_msec_value(conf->frame_timeout, prev->frame_timeout, 30000);
    ngx_conf_merge_msec_value(conf->drain_timeout, prev->drain_timeout, 5000);
    ngx_conf_merge_uint_value(conf->duplicate, prev->duplicate,
                              NGX_D4_DUPLICATE_REFUSE);
    ngx_conf_merge_size_value(conf->buffer_size, prev->buffer_size,
                              2 * 1024 * 1024);
    ngx_conf_merge_off_value(conf->backlog_size, prev->backlog_size,
                             256 * 1024 * 1024);
    ngx_conf_merge_value(conf->max_skew, prev->max_skew, 0);

    limits = &conf->session.limits;

    if (!conf->versions_set) {
        if (prev->versions_set) {
            ngx_memcpy(limits->versions, prev->session.limits.versions,
                       sizeof(limits->versions));

        } else {
            ngx_memset(limits->versions, 0xff, sizeof(limits->versions));
        }
    }

    limits->max_payload = conf->max_payload;
    limits->max_skew = conf->max_skew;

    conf->session.duplicate = conf->duplicate;
    conf->session.buffer_size = conf->buffer_size;
    conf->session.backlog_size = conf->backlog_size;

    return NGX_CONF_OK;
}


static char *
ngx_stream_d4(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_stream_d4_srv_conf_t *dscf = conf;

    char                        *rv;
    ngx_stream_core_srv_conf_t  *cscf;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rv != NGX_CONF_OK || !dscf->enable) {
        return rv;
    }

    cscf = ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_core_module);

    if (cscf->handler) {
        return "conflicts with another handler of this server";
    }

    cscf->handler = ngx_stream_d4_handler;

    return NGX_CONF_OK;
}


static char *
ngx_stream_d4_versions(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_stream_d4_srv_conf_t *dscf = conf;

    ngx_int_t    n;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (dscf->versions_set) {
        return "is duplicate";
    }

    dscf->versions_set = 1;

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "any") == 0) {
        ngx_memset(dscf->session.limits.versions, 0xff, 32);
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {
        n = ngx_atoi(value[i].data, value[i].len);

        if (n == NGX_ERROR || n > 255) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid version \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        dscf->session.limits.versions[n / 8] |= 1 << n % 8;
    }

    return NGX_CONF_OK;
}


static char *
ngx_stream_d4_max_skew(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_stream_d4_srv_conf_t *dscf = conf;

    ngx_str_t  *value;

    if (dscf->max_skew != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        dscf->max_skew = 0;
        return NGX_CONF_OK;
    }

    dscf->max_skew = ngx_parse_time(&value[1], 1);

    if (dscf->max_skew == (time_t) NGX_ERROR || dscf->max_skew == 0) {
        return "takes a time or \"off\"";
    }

    return NGX_CONF_OK;
}


/*
 * A sensor that only writes and then closes would answer an unread TLS 1.3
 * session ticket with a reset, and lose the end of what it had sent.
 */

static ngx_int_t
ngx_stream_d4_init(ngx_conf_t *cf)
{
    ngx_uint_t                     i;
    ngx_stream_handler_pt         *h;
    ngx_stream_d4_srv_conf_t      *dscf;
    ngx_stream_core_srv_conf_t   **cscfp;
    ngx_stream_core_main_conf_t   *cmcf;

    cmcf = ngx_stream_conf_get_module_main_conf(cf, ngx_stream_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_STREAM_ACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_stream_d4_access_handler;

    h = ngx_array_push(&cmcf->phases[NGX_STREAM_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_stream_d4_log_handler;

    ngx_stream_d4_enabled = 0;

    cscfp = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {

        dscf = cscfp[i]->ctx->srv_conf[ngx_stream_d4_module.ctx_index];

        if (!dscf->enable) {
            continue;
        }

        ngx_stream_d4_enabled = 1;

#if (NGX_STREAM_SSL)
        {
#if (nginx_version >= 1025005)
        ngx_stream_ssl_srv_conf_t  *sscf;
#else
        ngx_stream_ssl_conf_t      *sscf;
#endif

        sscf = cscfp[i]->ctx->srv_conf[ngx_stream_ssl_module.ctx_index];

        if (sscf->ssl.ctx) {
            (void) SSL_CTX_set_num_tickets(sscf->ssl.ctx, 0);
        }
        }
#endif
    }

    return ngx_stream_d4_check_listens(cf);
}


static ngx_int_t
ngx_stream_d4_init_module(ngx_cycle_t *cycle)
{
    ngx_d4_conf_t  *conf;

    conf = ngx_d4_get_conf(cycle);

    if (ngx_stream_d4_enabled && conf->lookup) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"d4 on\" in a stream server needs \"redis metadata\" "
                      "and \"redis streams\" in the \"d4\" block");
        return NGX_ERROR;
    }

    if (ngx_stream_d4_enabled && conf->zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"d4 on\" in a stream server needs the \"d4\" block");
        return NGX_ERROR;
    }

    return NGX_OK;
}

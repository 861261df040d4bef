
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Between the file of the directives and the parts that have some.
 */


#ifndef _NGX_HTTP_D4_MODULE_H_INCLUDED_
#define _NGX_HTTP_D4_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#pragma GCC visibility push(hidden)


/* ngx_http_d4_health.c, ngx_http_d4_metrics.c */

ngx_int_t ngx_http_d4_health_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_d4_metrics_handler(ngx_http_request_t *r);


/* ngx_http_d4_keeper.c: what one worker does for all, in rounds. */

ngx_int_t ngx_http_d4_monitor_init(ngx_cycle_t *cycle);
void ngx_http_d4_monitor_done(void);

char *ngx_http_d4_monitor_interval(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* ngx_http_d4_webhook.c */

char *ngx_http_d4_webhook(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#pragma GCC visibility pop

#endif /* _NGX_HTTP_D4_MODULE_H_INCLUDED_ */

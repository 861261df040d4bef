
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The dispatcher's part of the block d4.
 */


#ifndef _NGX_D4_DISPATCH_CONF_H_INCLUDED_
#define _NGX_D4_DISPATCH_CONF_H_INCLUDED_


#include "ngx_d4.h"
#include "protocol/d4_decoder.h"


#pragma GCC visibility push(hidden)


void ngx_d4_dispatch_create_conf(ngx_d4_conf_t *conf);
void ngx_d4_dispatch_init_conf(ngx_d4_conf_t *conf);

/* At the end of the block: what is wrong is logged. */
char *ngx_d4_dispatch_check_conf(ngx_conf_t *cf, ngx_d4_conf_t *conf);

/* Makes the data directory if it is missing; errors are logged. */
ngx_int_t ngx_d4_data_init(ngx_cycle_t *cycle, ngx_d4_conf_t *conf);

char *ngx_d4_data(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_d4_data_owner(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#pragma GCC visibility pop

#endif /* _NGX_D4_DISPATCH_CONF_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The keeper: what one worker of one host does for all of them, in rounds, on
 * the lock d4:keeper in metadata.  Two at once for a moment do no harm.
 */


#ifndef _NGX_HTTP_D4_KEEPER_H_INCLUDED_
#define _NGX_HTTP_D4_KEEPER_H_INCLUDED_


#include "ngx_http_d4_api.h"


#pragma GCC visibility push(hidden)


/*
 * One change of state, for the log and the webhook: what ("sensor" or
 * "queue"), which (its uuid), state ("silent", "full", "unread"), on (1: it is
 * so now, 0: no more).
 */
void ngx_http_d4_alert(const char *what, ngx_str_t *which, const char *state,
    ngx_uint_t on);


/* ngx_http_d4_webhook.c */

/* Posts a JSON text, later, with retries; dropped when too many wait. */
void ngx_http_d4_webhook_post(ngx_http_d4_main_t *conf, d4_out_t *text);

void ngx_http_d4_webhook_init(ngx_log_t *log);
void ngx_http_d4_webhook_done(void);


#pragma GCC visibility pop

#endif /* _NGX_HTTP_D4_KEEPER_H_INCLUDED_ */

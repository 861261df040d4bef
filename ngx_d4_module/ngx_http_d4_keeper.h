
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


/*
 * A step: EVAL script 0 with argv[3] on, argc words in all; 1 if it was sent.
 */
ngx_uint_t ngx_http_d4_keep_ask(ngx_uint_t role, const char *script,
    ngx_uint_t argc, ngx_str_t *argv, ngx_d4_reply_pt handler);

/* 1 for an answer of the type; errors are logged, and that step is left. */
ngx_uint_t ngx_http_d4_keep_answer(redisReply *reply, int type);

/* To the next batch of a step, or when the cursor is back at 0 to the next. */
void ngx_http_d4_keep_advance(const char *cursor, size_t len);

/* ngx_http_d4_keep_queues.c: one batch of queues. */
void ngx_http_d4_keep_queues(ngx_str_t *cursor);


/* ngx_http_d4_webhook.c */

/* Posts a JSON text, later, with retries; dropped when too many wait. */
void ngx_http_d4_webhook_post(ngx_http_d4_main_t *conf, d4_out_t *text);

void ngx_http_d4_webhook_init(ngx_log_t *log);
void ngx_http_d4_webhook_done(void);


#pragma GCC visibility pop

#endif /* _NGX_HTTP_D4_KEEPER_H_INCLUDED_ */

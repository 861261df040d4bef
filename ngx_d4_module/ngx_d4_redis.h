
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Asynchronous Redis for nginx's event loop.  nginx owns the socket and its
 * events, hiredis parses the replies.  Each worker has one connection per
 * Redis role that it uses, made when the worker starts and kept up with
 * backoff; requests are pipelined and answered in order.
 */


#ifndef _NGX_D4_REDIS_H_INCLUDED_
#define _NGX_D4_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <hiredis/hiredis.h>

#include "protocol/d4_block.h"


#define NGX_D4_REDIS_METADATA  0
#define NGX_D4_REDIS_USERS     1
#define NGX_D4_REDIS_QUEUES    2
#define NGX_D4_REDIS_CACHE     3
#define NGX_D4_REDIS_STREAMS   4
#define NGX_D4_REDIS_SERVER    5       /* so many are the D4 server's own */

#define NGX_D4_REDIS_PDNS      5
#define NGX_D4_REDIS_PDNS_LEGACY  6
#define NGX_D4_REDIS_ROLES     7


typedef struct {                       /* one "redis" directive */
    ngx_str_t                role;
    ngx_str_t                name;     /* the address, for logs */
    struct sockaddr         *sockaddr; /* NULL: not configured */
    socklen_t                socklen;
    ngx_str_t                user;
    ngx_str_t                password;
    ngx_uint_t               db;
    unsigned                 any:1;    /* of any version, role and policy:
                                          it is only read */
} ngx_d4_redis_conf_t;


typedef struct ngx_d4_redis_s  ngx_d4_redis_t;

/*
 * Called once per request.  reply is freed after the call.  NULL: the
 * connection was lost, and the request may have been carried out or not.
 */
typedef void (*ngx_d4_reply_pt)(void *data, redisReply *reply);

/* The connection became usable (up 1) or was lost (up 0). */
typedef void (*ngx_d4_redis_state_pt)(ngx_d4_redis_t *rd, ngx_uint_t up);

/* A message on the subscribed channel; NUL-free, not zero-terminated. */
typedef void (*ngx_d4_redis_message_pt)(ngx_str_t *message);


/* Parses a "redis" directive into conf->redis[]; errors are logged. */
char *ngx_d4_redis_directive(ngx_conf_t *cf, ngx_d4_redis_conf_t *redis);

/*
 * Reads a secret from a file (relative to the configuration's directory) into
 * secret, without one trailing newline; errors are logged.
 */
char *ngx_d4_secret_file(ngx_conf_t *cf, ngx_str_t *name, ngx_str_t *secret);

/*
 * Makes a connection and keeps it up until closed; timeout is how long the
 * oldest request may wait for its reply before the connection is given up.
 * state (may be NULL) is called at each change.  NULL without memory.
 */
ngx_d4_redis_t *ngx_d4_redis_open(ngx_d4_redis_conf_t *conf,
    ngx_msec_t timeout, ngx_d4_redis_state_pt state, ngx_log_t *log);

/*
 * The same for a connection that only listens on one channel; state is called
 * with up = 1 each time the subscription stands.
 */
ngx_d4_redis_t *ngx_d4_redis_subscribe(ngx_d4_redis_conf_t *conf,
    ngx_str_t *channel, ngx_d4_redis_message_pt message,
    ngx_d4_redis_state_pt state, ngx_log_t *log);

/* Drops it: pending handlers get NULL.  rd is gone afterwards. */
void ngx_d4_redis_close(ngx_d4_redis_t *rd);

/*
 * Drops n of them when the process exits: handlers get NULL when none takes
 * requests any more.  Whoever still asks one afterwards is declined.
 */
void ngx_d4_redis_shut(ngx_d4_redis_t **rds, ngx_uint_t n);

/* 1 when requests are taken now. */
ngx_uint_t ngx_d4_redis_ready(ngx_d4_redis_t *rd);

/*
 * Queues one command of argc words, copied.  NGX_OK: the handler (may be NULL)
 * will be called, later.  NGX_DECLINED: not connected, nothing queued.
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_d4_redis_command(ngx_d4_redis_t *rd, ngx_uint_t argc,
    ngx_str_t *argv, ngx_d4_reply_pt handler, void *data);

/*
 * Queues text that is already in Redis' protocol and makes nreplies replies;
 * the handler sees the last one, or the first error where the last one only
 * says -EXECABORT.  The blocks are sent in place and must stay
 * as they are until the handler was called.
 */
ngx_int_t ngx_d4_redis_blocks(ngx_d4_redis_t *rd, d4_blocks_t *blocks,
    ngx_uint_t nreplies, ngx_d4_reply_pt handler, void *data);

/*
 * The same, but the handler is called for each of the replies in their order,
 * and once with NULL when the connection was lost before the last.
 */
ngx_int_t ngx_d4_redis_each(ngx_d4_redis_t *rd, d4_blocks_t *blocks,
    ngx_uint_t nreplies, ngx_d4_reply_pt handler, void *data);

/*
 * A reply that says "not now" rather than "no": -LOADING, -OOM, -MISCONF,
 * -READONLY, -NOREPLICAS, -BUSY, -MASTERDOWN, -TRYAGAIN, -CLUSTERDOWN or
 * -EXECABORT.
 */
ngx_uint_t ngx_d4_redis_try_again(redisReply *reply);

/*
 * Tells the connection that Redis refuses (text of the error) or takes writes
 * again (NULL); one log line per change.  -READONLY also reconnects, because
 * the server is no longer a master.
 */
void ngx_d4_redis_writes(ngx_d4_redis_t *rd, redisReply *error);


#endif /* _NGX_D4_REDIS_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Inside the Redis connection: what its files share.
 *
 * ngx_d4_redis.c         its life: connect, come up, go down, be closed
 * ngx_d4_redis_output.c  requests out
 * ngx_d4_redis_input.c   replies in
 * ngx_d4_redis_check.c   the handshake, and what is made of errors
 */


#ifndef _NGX_D4_REDIS_CORE_H_INCLUDED_
#define _NGX_D4_REDIS_CORE_H_INCLUDED_


#include "ngx_d4_redis.h"


#pragma GCC visibility push(hidden)


#define NGX_D4_REDIS_TEXT     160      /* of a server's error, in a log line */

/* bytes in one direction after which other connections have their turn */
#define NGX_D4_REDIS_TURN     1048576


typedef enum {
    NGX_D4_REDIS_DOWN = 0,             /* waits for the next try */
    NGX_D4_REDIS_CONNECTING,
    NGX_D4_REDIS_HANDSHAKE,
    NGX_D4_REDIS_READY,
    NGX_D4_REDIS_CLOSED                /* for good */
} ngx_d4_redis_status_t;


/* why it is down: each is logged when it is not the one that stood before */

#define NGX_D4_REDIS_LOST     1        /* no connection */
#define NGX_D4_REDIS_LOADING  2
#define NGX_D4_REDIS_REFUSED  3        /* somebody has to mend something */


typedef struct {
    ngx_queue_t               queue;
    ngx_d4_reply_pt           handler;
    void                     *data;
    ngx_uint_t                nreplies; /* still to come */
    uint64_t                  end;      /* its last byte in the output */
    unsigned                  each:1;   /* handler sees every reply */
} ngx_d4_redis_request_t;


/* A piece of output: commands of our own, or blocks of the caller. */

typedef struct {
    ngx_queue_t               queue;
    d4_block_t               *block;    /* NULL: data[] */
    size_t                    sent;     /* of block, or of data[] */
    size_t                    used;
    size_t                    size;
    u_char                    data[];
} ngx_d4_redis_piece_t;


struct ngx_d4_redis_s {
    ngx_d4_redis_conf_t      *conf;
    ngx_log_t                *log;
    ngx_connection_t         *connection;

    /* event ident must be after 3 pointers as in ngx_connection_t */
    ngx_int_t                 ident;

    ngx_d4_redis_status_t     status;
    ngx_d4_redis_state_pt     state;
    ngx_d4_redis_message_pt   message;  /* NULL: not a subscription */
    ngx_str_t                 channel;

    ngx_msec_t                timeout;
    ngx_msec_t                backoff;  /* of the last try, 0: none yet */
    ngx_msec_t                heard;    /* when something came last */

    ngx_event_t               timer;    /* what for depends on status */
    ngx_event_t               drain;
    ngx_event_t               flush;

    ngx_queue_t               requests; /* ngx_d4_redis_request_t.queue */
    ngx_uint_t                pending;

    ngx_queue_t               output;   /* ngx_d4_redis_piece_t.queue */
    uint64_t                  queued;   /* bytes of this connection */
    uint64_t                  sent;

    redisReader              *reader;
    redisReply               *cause;    /* first error of a batch */

    uint32_t                  mark;     /* of what was logged, 0: it is up */
    ngx_uint_t                busy;     /* frames on the stack that use it */

    unsigned                  partial:1;  /* the reader holds half a reply */
    unsigned                  stale:1;    /* to be reconnected */
    unsigned                  refusing:1; /* writes */
    unsigned                  destroyed:1;
    unsigned                  warned_aof:1;
    unsigned                  warned_info:1;
};


/* Both must be called between busy++ and ngx_d4_redis_leave(). */
void ngx_d4_redis_up(ngx_d4_redis_t *rd);
void ngx_d4_redis_down(ngx_d4_redis_t *rd, ngx_uint_t why, ngx_err_t err,
    const char *fmt, ...);

void ngx_d4_redis_leave(ngx_d4_redis_t *rd);

void ngx_d4_redis_log(ngx_d4_redis_t *rd, ngx_uint_t level, ngx_err_t err,
    char *what, ngx_str_t *text);


/* As the public functions, in any state that has a connection. */
ngx_int_t ngx_d4_redis_send(ngx_d4_redis_t *rd, ngx_uint_t argc,
    ngx_str_t *argv, ngx_d4_reply_pt handler, void *data);
ngx_int_t ngx_d4_redis_send_blocks(ngx_d4_redis_t *rd, d4_blocks_t *blocks,
    ngx_uint_t nreplies, ngx_uint_t each, ngx_d4_reply_pt handler, void *data);

/*
 * Writes what the socket takes.  NGX_ERROR: the connection is broken, and
 * nothing was done about it.
 */
ngx_int_t ngx_d4_redis_write(ngx_d4_redis_t *rd);

/* Reads and answers requests; afterwards the connection may be gone. */
void ngx_d4_redis_read(ngx_d4_redis_t *rd);

/* Forgets what was not sent. */
void ngx_d4_redis_free_output(ngx_d4_redis_t *rd);

/* All handlers get NULL. */
void ngx_d4_redis_fail_requests(ngx_d4_redis_t *rd);


void ngx_d4_redis_handshake(ngx_d4_redis_t *rd);

/* The text of a reply made fit for a log line. */
ngx_str_t ngx_d4_redis_text(redisReply *reply, u_char *buf, size_t size);

/* 1 when the text of an error begins with code. */
ngx_uint_t ngx_d4_redis_is(const void *text, size_t len, const char *code);


#pragma GCC visibility pop

#endif /* _NGX_D4_REDIS_CORE_H_INCLUDED_ */

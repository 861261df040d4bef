
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The sweeper: ngx_http_pdns_sweep.c finds what is too old,
 * ngx_http_pdns_remove.c removes it.
 */


#ifndef _NGX_HTTP_PDNS_SWEEP_H_INCLUDED_
#define _NGX_HTTP_PDNS_SWEEP_H_INCLUDED_


#include "ngx_http_pdns.h"


#pragma GCC visibility push(hidden)


#define NGX_HTTP_PDNS_RETRY   2000     /* ms until what failed is tried */

/* what is gone with a record, and may stand in indexes */
#define NGX_HTTP_PDNS_NAME_GONE    1
#define NGX_HTTP_PDNS_ADDR_GONE    2
#define NGX_HTTP_PDNS_TARGET_GONE  4   /* what its data points to */


typedef struct {
    pdns_name_t                name;
    pdns_name_t                target;
    ngx_str_t                  member; /* type and data */
    ngx_str_t                  text;   /* of the data */
    uint64_t                   cutoff;
    ngx_uint_t                 gone;   /* bits */
    ngx_uint_t                 back;   /* those that are there again */
    unsigned                   named:1;
} ngx_http_pdns_old_t;


typedef struct {
    ngx_socket_t               fd[4];  /* debug logs of timers read it */
    ngx_event_t                timer;
    ngx_http_pdns_lease_t      lease;  /* renewed by each page, and between */
    ngx_msec_t                 next;   /* when the next sweep begins */
    ngx_http_pdns_pipe_t      *pipe;
    ngx_pool_t                *pool;
    ngx_array_t                names;  /* of pdns_name_t */
    ngx_array_t                old;    /* of ngx_http_pdns_old_t */
    ngx_uint_t                 at;
    u_char                     cursor[NGX_INT64_LEN + 1];
    size_t                     cursor_len;
    void                     (*then)(void);
    ngx_uint_t                 removed;
    ngx_uint_t                 gone;
    unsigned                   resting:1; /* until then */
    unsigned                   failed:1;
    unsigned                   done:1;
} ngx_http_pdns_sweep_t;


extern ngx_http_pdns_sweep_t  ngx_http_pdns_sweep;


/* Steps, and what the files call of each other. */
void ngx_http_pdns_sweep_wait(ngx_msec_t ms);
void ngx_http_pdns_sweep_remove(void);
void ngx_http_pdns_sweep_nothing(void *data, ngx_uint_t i,
    redisReply *reply);
void ngx_http_pdns_sweep_page(void);
void ngx_http_pdns_sweep_ask(ngx_http_pdns_pipe_t *pipe,
    ngx_http_pdns_reply_pt reply, void (*then)(void));


#pragma GCC visibility pop

#endif /* _NGX_HTTP_PDNS_SWEEP_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */


#ifndef _NGX_STREAM_D4_MODULE_H_INCLUDED_
#define _NGX_STREAM_D4_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_stream.h>

#include "ngx_d4.h"


#pragma GCC visibility push(hidden)


typedef struct {
    ngx_flag_t               enable;
    ngx_uint_t               max_payload;
    ngx_msec_t               handshake_timeout;
    ngx_msec_t               frame_timeout;
    ngx_msec_t               drain_timeout;
    ngx_uint_t               duplicate;
    size_t                   buffer_size;
    off_t                    backlog_size;
    time_t                   max_skew;
    ngx_uint_t               versions_set;
    ngx_d4_session_conf_t    session;
} ngx_stream_d4_srv_conf_t;


typedef struct {
    ngx_stream_session_t    *session;
    ngx_d4_session_t        *d4;
    void                    *blocked;  /* the question at accept */
    ngx_event_t              deadline; /* until live, then of a drain */
    d4_frame_t               frame;
    d4_addr_t                addr;
    u_char                   uuid[D4_UUID_SIZE];   /* of the session */
    d4_end_t                 end;
    ngx_msec_t               begun_at; /* of the frame being received */
    uint64_t                 received; /* frames, to tell them apart */
    uint64_t                 begun;    /* the frame begun_at is about */
    ngx_d4_session_info_t    info;     /* once d4 is gone */

    ngx_msec_t               drain_until;
    unsigned                 asked:1;
    unsigned                 started:1;    /* the content handler ran */
    unsigned                 opened:1;     /* a header was read */
    unsigned                 waiting:1;    /* for the policy */
    unsigned                 live:1;
    unsigned                 draining:1;
    unsigned                 late:4;       /* times that we did not run */
    unsigned                 eof:1;        /* all was read, not all stored */
    unsigned                 done:1;
} ngx_stream_d4_ctx_t;


ngx_int_t ngx_stream_d4_access_handler(ngx_stream_session_t *s);
void ngx_stream_d4_handler(ngx_stream_session_t *s);

/* ngx_stream_d4_end.c */

/* Those who have to go, and be gone soon. */
#define ngx_stream_d4_brief(reason)                                           \
    ((reason) == D4_END_KICKED || (reason) == D4_END_REPLACED)

/* Tells the sensor; what it had sent by then is read up to its own end. */
void ngx_stream_d4_drain(ngx_stream_d4_ctx_t *ctx, d4_end_t reason);

/* Handler of ctx->deadline. */
void ngx_stream_d4_deadline(ngx_event_t *ev);

/* Ends the connection: ctx is gone. */
void ngx_stream_d4_end(ngx_stream_d4_ctx_t *ctx, d4_end_t reason);

/* Lets go of everything but the connection; says why it ended. */
void ngx_stream_d4_release(ngx_stream_d4_ctx_t *ctx, d4_end_t reason);

ngx_int_t ngx_stream_d4_log_handler(ngx_stream_session_t *s);

ngx_int_t ngx_stream_d4_check_listens(ngx_conf_t *cf);
void ngx_stream_d4_keepalive(ngx_connection_t *c);

ngx_int_t ngx_stream_d4_add_variables(ngx_conf_t *cf);


#pragma GCC visibility pop


extern ngx_module_t  ngx_stream_d4_module;


#endif /* _NGX_STREAM_D4_MODULE_H_INCLUDED_ */

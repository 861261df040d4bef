
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What the core module offers to the stream and http modules.
 */


#ifndef _NGX_D4_H_INCLUDED_
#define _NGX_D4_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_thread_pool.h>

#include "ngx_d4_redis.h"
#include "protocol/d4_addr.h"
#include "protocol/d4_batch.h"
#include "protocol/d4_frame.h"
#include "protocol/d4_policy.h"
#include "protocol/d4_uuid.h"


#define NGX_D4_MODE_REGISTRATION   0
#define NGX_D4_MODE_SHARED_SECRET  1

#define NGX_D4_DUPLICATE_REFUSE    0
#define NGX_D4_DUPLICATE_REPLACE   1


typedef struct {
    ngx_shm_zone_t          *zone;
    ngx_d4_redis_conf_t      redis[NGX_D4_REDIS_ROLES];
    ngx_uint_t               mode;
    ngx_str_t                default_key;
    ngx_str_t                host;
    size_t                   worker_memory;
    size_t                   batch_size;
    ngx_msec_t               redis_timeout;
    ngx_msec_t               stat_interval;
    ngx_int_t                stat_budget;
    time_t                   stat_retention;
    ngx_int_t                refused_max;

    /* the dispatcher */
    ngx_flag_t               dispatch;
    ngx_flag_t               adopt_foreign;
    ngx_str_t                data;         /* ends with a zero */
    ngx_uint_t               data_access;
    ngx_uid_t                data_uid;
    ngx_gid_t                data_gid;
    ngx_flag_t               data_utc;
    ngx_flag_t               data_sync;
    off_t                    data_min_free;
    time_t                   data_retention;
    off_t                    data_max;
    time_t                   rotate_time;
    off_t                    rotate_size;
    ngx_int_t                compress_level;
    ngx_int_t                open_files;
    size_t                   line_max;
    size_t                   object_max;
    ngx_int_t                queue_max;
    off_t                    queue_max_bytes;
    time_t                   queue_unread;
    ngx_thread_pool_t       *data_pool;
    ngx_thread_pool_t       *compress_pool;
    unsigned                 lookup:1; /* no sensors, only lookups */
} ngx_d4_conf_t;


/* what a listening server decides for its sessions */
typedef struct {
    d4_limits_t              limits;
    ngx_uint_t               duplicate;
    size_t                   buffer_size;
    off_t                    backlog_size;
} ngx_d4_session_conf_t;


typedef struct ngx_d4_session_s  ngx_d4_session_t;


/*
 * What a session tells the connection that feeds it.  READY: the answer asked
 * for came, or room came back: go on reading.  END: the session is over for
 * the reason given; the connection is to be closed.
 */
typedef enum {
    NGX_D4_READY = 0,
    NGX_D4_END
} ngx_d4_event_t;

typedef void (*ngx_d4_session_pt)(void *data, ngx_d4_event_t event,
    d4_end_t reason);


extern ngx_module_t  ngx_d4_module;


ngx_d4_conf_t *ngx_d4_get_conf(ngx_cycle_t *cycle);

/* Counts a connection; 0 when the worker has no memory to give to it. */
ngx_uint_t ngx_d4_accept(void);

/*
 * Asks whether an address is blocked; handler is called once, later, with
 * D4_END_ADDRESS_BLOCKED or D4_END_NONE (also when Redis cannot say: the
 * session's own policy asks again).  Returns a handle to cancel with, or NULL
 * when it cannot be asked.
 */
typedef void (*ngx_d4_blocked_pt)(void *data, d4_end_t end);
void *ngx_d4_blocked(d4_addr_t *addr, ngx_d4_blocked_pt handler, void *data);
void ngx_d4_blocked_cancel(void *handle);

/* Counts, logs (one info line on log) and reports a refusal. uuid, type: NULL
 * and -1 when no header was read. */
void ngx_d4_refused(ngx_log_t *log, d4_addr_t *addr, const u_char *uuid,
    ngx_int_t type, d4_end_t reason);


/*
 * A session from the first header to the last acknowledged frame.  It outlives
 * its connection until Redis has everything.
 *
 * ngx_d4_session_open() starts the policy look-up for the sensor of header h;
 * READY follows, or END.  After READY ngx_d4_session_key() is the key to
 * verify with and the frame of the header is already open.  NULL: no memory.
 */
ngx_d4_session_t *ngx_d4_session_open(ngx_d4_session_conf_t *conf,
    d4_addr_t *addr, d4_header_t *h, ngx_d4_session_pt handler, void *data);

const d4_key_t *ngx_d4_session_key(ngx_d4_session_t *s);

/*
 * The frames, in the order of d4_frame_next(): header (later frames only; the
 * first was given at open), data, end.  They return D4_END_NONE, or the reason
 * for which the connection must end.
 */
d4_end_t ngx_d4_session_header(ngx_d4_session_t *s, d4_header_t *h);
d4_end_t ngx_d4_session_data(ngx_d4_session_t *s, const u_char *p, size_t len);
d4_end_t ngx_d4_session_frame(ngx_d4_session_t *s, d4_header_t *h,
    ngx_uint_t authentic);

/*
 * 1 when the socket may be read.  0: wait for READY.
 */
ngx_uint_t ngx_d4_session_room(ngx_d4_session_t *s);

/*
 * This worker exits, and the sensor is about to be told to go.  When it comes
 * back it waits for what is left of this session.
 */
void ngx_d4_session_leave(ngx_d4_session_t *s);

/*
 * No more is to come.  1 when Redis has everything that was given.  0: READY
 * will say when, if the connection is still there.
 */
ngx_uint_t ngx_d4_session_complete(ngx_d4_session_t *s);

/*
 * 1 while unread data is Redis' or the consumer's fault, not the sensor's;
 * held up: Redis' or our memory's, so that it will pass.
 */
ngx_uint_t ngx_d4_session_stalled(ngx_d4_session_t *s);
ngx_uint_t ngx_d4_session_held_up(ngx_d4_session_t *s);

/*
 * The connection is gone.  What was received is still stored; the handler is
 * not called any more, s must not be used any more.
 */
void ngx_d4_session_close(ngx_d4_session_t *s, d4_end_t reason);

/* For the access log. */
typedef struct {
    u_char                   uuid[D4_UUID_HEX + 1];
    u_char                   sid[D4_SID + 1];
    ngx_uint_t               type;
    uint64_t                 frames;
    uint64_t                 bytes;
} ngx_d4_session_info_t;

void ngx_d4_session_info(ngx_d4_session_t *s, ngx_d4_session_info_t *info);


/*
 * The live sessions of this host, as the shared zone has them; copies, so that
 * they may be kept.  Only in a worker of an nginx with a "d4" block.
 */
typedef struct {
    u_char                   uuid[D4_UUID_HEX + 1];
    u_char                   sid[D4_SID + 1];
    ngx_uint_t               type;
    d4_addr_t                addr;
    ngx_pid_t                pid;      /* of the worker */
    time_t                   start;    /* Unix seconds */
    time_t                   last;     /* of the last data */
    uint64_t                 frames;
    uint64_t                 bytes;
    uint64_t                 undone;   /* Unix ms of the oldest frame that is
                                          not dispatched; 0: none */
} ngx_d4_session_view_t;

typedef struct {
    uint64_t                 accepted; /* connections */
    uint64_t                 frames;
    uint64_t                 bytes;
    uint64_t                 ends[D4_END_N];
    ngx_uint_t               sessions; /* live */
    ngx_uint_t               sessions_max;
    ngx_uint_t               unlisted; /* live, beyond sessions_max */
} ngx_d4_totals_t;

/*
 * Copies sessions from *cursor (0 at first) on, up to max (1..64) of them,
 * and moves the cursor; 0 when all were gone through.
 */
ngx_uint_t ngx_d4_session_list(uint32_t *cursor, ngx_d4_session_view_t *views,
    ngx_uint_t max);

/* Copies up to max of the sessions of a uuid (16 bytes); returns how many. */
ngx_uint_t ngx_d4_session_find(const u_char *uuid,
    ngx_d4_session_view_t *views, ngx_uint_t max);

/* Counted since the zone was made. */
void ngx_d4_session_totals(ngx_d4_totals_t *totals);

/*
 * The same of the dispatcher, by type (0..255); NGX_D4_DISPATCH_WHAT kinds, in
 * the order of d4:dispatch:<day>: files, bytes, elements, dropped, errors,
 * rejected.
 */
#define NGX_D4_DISPATCH_WHAT  6
uint64_t ngx_d4_dispatch_total(ngx_uint_t type, ngx_uint_t what);

/*
 * How long commits of a type took, from a frame's being stored to its being
 * dispatched: how many took ms[i] at most (and more than ms[i - 1]), and the
 * sum of all in ms.  The last of ms is UINT64_MAX.
 */
#define NGX_D4_LAGS  8

extern const uint64_t  ngx_d4_lag_ms[NGX_D4_LAGS];

uint64_t ngx_d4_dispatch_lag(ngx_uint_t type, uint64_t n[NGX_D4_LAGS]);


#endif /* _NGX_D4_H_INCLUDED_ */

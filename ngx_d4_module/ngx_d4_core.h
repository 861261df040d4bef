
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Inside the core module: the shared zone, the worker and its sessions.
 */


#ifndef _NGX_D4_CORE_H_INCLUDED_
#define _NGX_D4_CORE_H_INCLUDED_


#include "ngx_d4.h"


#pragma GCC visibility push(hidden)


#define NGX_D4_TICK            100     /* ms between a worker's rounds */
#define NGX_D4_LEASE           10000   /* ms a worker's lease lasts */
#define NGX_D4_LEASE_RENEW     2500
#define NGX_D4_POLL            1000    /* ms between the leader's rounds */
#define NGX_D4_SILENT          10      /* s after which a holder gives way */
#define NGX_D4_EXIT            60000   /* ms to store what is left at exit, if
                                          worker_shutdown_timeout is not set */
#define NGX_D4_MEMORY_MIN      (8 * 1024 * 1024)


/*
 * One live session as every worker of this host sees it.  A slot of a fixed
 * table, so that a reader can go through it in pieces; taken and given back
 * under shpool->mutex, its counters are written by the owner without it.
 */

typedef struct {
    ngx_atomic_t             used;
    ngx_atomic_t             recheck;  /* the owner shall ask Redis again */
    ngx_atomic_t             leaving;  /* the owner exits, its sensor knows */
    ngx_atomic_t             last;     /* Unix seconds of the last data */
    ngx_atomic_t             frames;
    ngx_atomic_t             bytes;
    ngx_atomic_t             undone;   /* Unix ms of the oldest frame that is
                                          not dispatched; 0: none */
    ngx_pid_t                pid;
    time_t                   start;
    uint32_t                 next;     /* free list: slot number + 1 */
    u_char                   type;
    u_char                   uuid[D4_UUID_SIZE];
    char                     sid[D4_SID + 1];
    d4_addr_t                addr;
} ngx_d4_node_t;


/* what the dispatcher counts, for each type */
typedef enum {
    NGX_D4_COUNT_FILES = 0,            /* closed */
    NGX_D4_COUNT_BYTES,                /* written to files */
    NGX_D4_COUNT_ELEMENTS,
    NGX_D4_COUNT_DROPPED,              /* elements, by full queues */
    NGX_D4_COUNT_ERRORS,               /* records that were none */
    NGX_D4_COUNT_REJECTED,             /* sessions of an incorrect type */
    NGX_D4_COUNT_N
} ngx_d4_count_id_t;


typedef struct {
    uint32_t                 magic;
    uint32_t                 layout;
    ngx_atomic_t             generation;    /* moves when a node is marked
                                               or types[] changes */
    ngx_atomic_t             leader;        /* pid */
    ngx_atomic_t             leader_until;  /* Unix ms, see ngx_d4_now() */
    ngx_atomic_t             types_known;
    u_char                   types[32];     /* bit t: type t is accepted */
    ngx_atomic_t             ends[D4_END_N];    /* sessions, refusals */
    ngx_atomic_t             accepted;          /* connections */
    ngx_atomic_t             frames;
    ngx_atomic_t             bytes;
    ngx_atomic_t             unlisted;      /* sessions without a slot */
    ngx_atomic_t             queues;        /* moves when queues change */
    ngx_atomic_t             pushed;        /* moves when a worker has pushed
                                               elements to a queue */
    ngx_atomic_t             dispatch[256][NGX_D4_COUNT_N];
    ngx_atomic_t             lag[256][NGX_D4_LAGS + 1];    /* and the sum */
    uint32_t                 nodes_max;
    uint32_t                 nodes_used;
    uint32_t                 nodes_top;     /* slots ever used */
    uint32_t                 nodes_free;    /* slot number + 1 */
    ngx_d4_node_t           *nodes;
} ngx_d4_shared_t;


/* what a session stored since its statistics were last written */
typedef struct {
    uint64_t                 frames;
    uint64_t                 bytes;
    time_t                   first;
    time_t                   last;
    ngx_uint_t               type;
} ngx_d4_delta_t;


typedef struct {
    ngx_d4_conf_t           *conf;
    ngx_d4_shared_t         *shared;
    ngx_slab_pool_t         *shpool;
    ngx_socket_t             fd;       /* 0: debug logs of timers read it,
                                          as of an ngx_connection_t */
    ngx_log_t               *log;

    ngx_d4_redis_t          *metadata;
    ngx_d4_redis_t          *streams;
    ngx_d4_redis_t          *queues;        /* NULL: not configured */

    u_char                   name[NGX_MAXHOSTNAMELEN + 48];
    ngx_str_t                id;            /* <host>:<pid>:<nonce> */
    ngx_msec_t               lease_until;   /* ngx_current_msec; 0: none */

    ngx_queue_t              sessions;      /* ngx_d4_session_t.queue */
    ngx_uint_t               nsessions;
    ngx_queue_t              dispatches;    /* ngx_d4_dispatch_t.queue */
    ngx_uint_t               ndispatches;
    ngx_uint_t               nreading;      /* of them, from streams */
    d4_pool_t                pool;

    ngx_event_t              tick;
    ngx_atomic_uint_t        generation;    /* last seen */

    unsigned                 active:1;      /* this process runs sessions */
} ngx_d4_worker_t;


extern ngx_d4_worker_t  ngx_d4_worker;


/* Unix milliseconds from nginx's cached clock. */
static ngx_inline uint64_t
ngx_d4_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec;
}


#define ngx_d4_str(str, text, length)                                         \
    (str)->data = (u_char *) (text);                                          \
    (str)->len = (length)


#define ngx_d4_reply_is(reply, t)  ((reply)->type == (t))

#define ngx_d4_reply_int(reply)                                               \
    (ngx_d4_reply_is(reply, REDIS_REPLY_INTEGER) ? (reply)->integer : 0)

#define ngx_d4_reply_text(reply)                                              \
    (ngx_d4_reply_is(reply, REDIS_REPLY_STRING)                               \
     || ngx_d4_reply_is(reply, REDIS_REPLY_STATUS))


/* There is something to do before this worker may exit. */
#define ngx_d4_stay()  ngx_d4_worker.tick.cancelable = 0


/* Scripts (ngx_d4_scripts.c): each is sent whole with EVAL. */

typedef enum {
    NGX_D4_SCRIPT_BLOCKED = 0,
    NGX_D4_SCRIPT_POLICY,
    NGX_D4_SCRIPT_CLAIM,
    NGX_D4_SCRIPT_FLUSH,
    NGX_D4_SCRIPT_BEGIN,
    NGX_D4_SCRIPT_END,
    NGX_D4_SCRIPT_RENEW,
    NGX_D4_SCRIPT_RETAKE,
    NGX_D4_SCRIPT_SEED,
    NGX_D4_SCRIPT_KICKS,
    NGX_D4_SCRIPT_REAP,

    /* ngx_d4_dispatch_scripts.c, in its order */
    NGX_D4_SCRIPT_OPEN,
    NGX_D4_SCRIPT_NAME,
    NGX_D4_SCRIPT_OWN,
    NGX_D4_SCRIPT_COMMIT,
    NGX_D4_SCRIPT_PUSHED,
    NGX_D4_SCRIPT_TAKE,
    NGX_D4_SCRIPT_FORGET,
    NGX_D4_SCRIPT_MAKE,
    NGX_D4_SCRIPT_READ,
    NGX_D4_SCRIPT_TELL,
    NGX_D4_SCRIPT_SEAL,
    NGX_D4_SCRIPT_DROP,
    NGX_D4_SCRIPT_QUEUES,
    NGX_D4_SCRIPT_EXTEND,
    NGX_D4_SCRIPT_META
} ngx_d4_script_t;

extern const ngx_str_t  ngx_d4_dispatch_scripts[];

const ngx_str_t *ngx_d4_script_text(ngx_d4_script_t script);

/* EVAL script 0 argv...; returns as ngx_d4_redis_command(). */
ngx_int_t ngx_d4_script(ngx_d4_redis_t *rd, ngx_d4_script_t script,
    ngx_uint_t argc, ngx_str_t *argv, ngx_d4_reply_pt handler, void *data);

/* The same for a script that only its caller knows. */
ngx_int_t ngx_d4_eval(ngx_d4_redis_t *rd, const ngx_str_t *script,
    ngx_uint_t argc, ngx_str_t *argv, ngx_d4_reply_pt handler, void *data);


/* Live sessions of this host (ngx_d4_registry.c). */

ngx_int_t ngx_d4_registry_init(ngx_shm_zone_t *zone, void *data);

/* A slot filled with what is given, or NULL when the table is full. */
ngx_d4_node_t *ngx_d4_registry_add(const u_char *uuid, ngx_uint_t type,
    const char *sid, d4_addr_t *addr);
void ngx_d4_registry_remove(ngx_d4_node_t *node);

/* The session goes on under another sid. */
void ngx_d4_registry_rename(ngx_d4_node_t *node, const char *sid);

/*
 * Copies used nodes from slot *cursor on, up to max of them, and moves the
 * cursor; 0 when the table was gone through.
 */
ngx_uint_t ngx_d4_registry_read(uint32_t *cursor, ngx_d4_node_t *nodes,
    ngx_uint_t max);

/* Copies used nodes of a uuid, up to max of them; returns how many. */
ngx_uint_t ngx_d4_registry_find(const u_char *uuid, ngx_d4_node_t *nodes,
    ngx_uint_t max);

/*
 * Marks sessions of this host for a new look at Redis: those of a uuid, the
 * one of a sid (of that uuid, with both), or all with both NULL; moves the
 * generation.
 */
void ngx_d4_registry_mark(const u_char *uuid, const char *sid);

/*
 * Seconds since a session of this host last sent, or -1: not of this host.
 * leaving is set to 1 if its worker exits, and else left alone.
 */
time_t ngx_d4_registry_silent(const char *sid, size_t len,
    ngx_uint_t *leaving);

/* Gives back the slots of processes that are gone. */
void ngx_d4_registry_sweep(void);


/* Lease, leader and control channel (ngx_d4_control.c, ngx_d4_reaper.c). */

/* Before the first tick; makes the worker's id and asks for its lease. */
ngx_int_t ngx_d4_control_init(void);

/* Each tick: renews the lease; the leader also polls, listens and reaps. */
void ngx_d4_control_tick(void);

/*
 * At exit: gives the lease back, drops the subscription; consuming: Redis may
 * still hold what this worker has taken.
 */
void ngx_d4_control_done(ngx_uint_t consuming);

/* 1 while this worker's lease surely stands. */
ngx_uint_t ngx_d4_control_leased(void);

void ngx_d4_reaper_tick(void);


/* Refusals (ngx_d4_refused.c): aggregated in the worker, written each tick. */

void ngx_d4_refused_tick(void);

/* Refusals not yet written. */
ngx_uint_t ngx_d4_refused_pending(void);


/* Consumers of queues (ngx_d4_consume.c, ngx_d4_consume.h). */

/* Before modules make consumers. */
void ngx_d4_consume_init(void);

/* The queues' Redis came up. */
void ngx_d4_consume_up(void);

/* Each tick: looks that another worker asks for, what waited for the lease. */
void ngx_d4_consume_tick(void);

/* 1 when this worker has consumers. */
ngx_uint_t ngx_d4_consume_any(void);

/* 1 while blocks are out, or Redis could be told that this worker goes. */
ngx_uint_t ngx_d4_consume_busy(void);

/*
 * At exit: gives back what is out, without waiting for an answer.  Returns for
 * how many consumers it is not known that Redis has forgotten them, so that
 * the worker has to be reaped.
 */
ngx_uint_t ngx_d4_consume_done(void);

/*
 * Gives back what a worker that is dead had taken, then calls the handler with
 * 1, or with 0 if some is left; worker's bytes must stay.  As often as one
 * likes, from any number of hosts, but one at a time in a process.  Not
 * NGX_OK: nothing was done, the handler is not called.
 */
typedef void (*ngx_d4_recovered_pt)(ngx_uint_t done);
ngx_int_t ngx_d4_consume_recover(ngx_str_t *worker,
    ngx_d4_recovered_pt handler);


/* Sessions (ngx_d4_session.c and its parts). */

ngx_int_t ngx_d4_sessions_init(void);

/* The streams' Redis came back: each session compares what it has of it. */
void ngx_d4_sessions_look(void);

/* All sessions: Redis came up or went away, or it is time to look again. */
void ngx_d4_sessions_work(void);

/*
 * Asks Redis again about the sessions marked in the registry, or about all:
 * after the lease was lost, each has to see what it still owns.
 */
void ngx_d4_sessions_recheck(ngx_uint_t all);

/* Each tick: statistics within their budget, paused readers, drains. */
void ngx_d4_sessions_tick(void);

/* The time to exit is up: logs what could not be stored and drops it. */
void ngx_d4_sessions_abandon(void);


/* The dispatcher (ngx_d4_dispatch.h), as sessions and the worker see it. */

typedef struct ngx_d4_dispatch_s  ngx_d4_dispatch_t;

void ngx_d4_dispatch_init(void);

/*
 * For a session that stores frames, which (first 1) are its first, or else
 * follow others in its stream.  NULL: no memory.
 */
ngx_d4_dispatch_t *ngx_d4_dispatch_begin(ngx_d4_session_t *s,
    ngx_uint_t first);

/*
 * A batch was stored: it goes on to the dispatcher and is empty afterwards.
 * NGX_ERROR: no memory, it is as it was.
 */
ngx_int_t ngx_d4_dispatch_feed(ngx_d4_dispatch_t *d, d4_batch_t *batch);

/* Without memory for something: begins again from the cursor. */
void ngx_d4_dispatch_restart(ngx_d4_dispatch_t *d);

/* 1 while it reads a session back from its stream. */
ngx_uint_t ngx_d4_dispatch_reads(ngx_d4_dispatch_t *d);

/* Bytes and frames of a session that wait to be dispatched. */
size_t ngx_d4_dispatch_held(ngx_d4_dispatch_t *d, uint64_t *frames);

/* 1 when it may go beyond the worker's memory, to end its record. */
ngx_uint_t ngx_d4_dispatch_favoured(ngx_d4_dispatch_t *d);

/* The session is over; or it goes on under another sid, and then ends. */
void ngx_d4_dispatch_ended(ngx_d4_dispatch_t *d);
void ngx_d4_dispatch_detach(ngx_d4_dispatch_t *d);

/* The session took its streams back from whoever dispatches them. */
void ngx_d4_dispatch_retake(ngx_d4_session_t *s);

/* Files to be closed may be this worker's though it was not told so. */
void ngx_d4_closing_look(void);

void ngx_d4_dispatches_work(void);
void ngx_d4_dispatches_tick(void);
void ngx_d4_dispatches_abandon(void);


#pragma GCC visibility pop

#endif /* _NGX_D4_CORE_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * A session between its connection and Redis.  Everything that has to be done
 * is a flag or a buffer here; ngx_d4_session_work() does what can be done now
 * and is called again whenever something has changed: an answer, Redis coming
 * up, the tick.  Nothing depends on a request being answered but the flag that
 * says it was asked.
 */


#ifndef _NGX_D4_SESSION_H_INCLUDED_
#define _NGX_D4_SESSION_H_INCLUDED_


#include "ngx_d4_core.h"


#pragma GCC visibility push(hidden)


#define NGX_D4_VERDICT_WAIT    2000    /* ms for the rest of a refused frame */
#define NGX_D4_CLAIM_WAIT      1000    /* ms a newcomer waits for the slot */
#define NGX_D4_CLAIM_RETRY     250
#define NGX_D4_RETRY_MIN       100     /* ms, doubling, after "not now" */
#define NGX_D4_RETRY_MAX       2000
#define NGX_D4_BACKLOG_LOOK    100
#define NGX_D4_RECHECKS        1000    /* policy look-ups a tick starts */
#define NGX_D4_STREAM_MAX      10000   /* entries, as published */
#define NGX_D4_ROOM_MIN        65536
#define NGX_D4_RELIEF          1000    /* ms without progress of a favourite */

#define NGX_D4_STREAM_KEY      (sizeof("stream:254:") + D4_SID)
#define NGX_D4_ERROR_TEXT      192     /* a sensor's Error */


typedef enum {
    NGX_D4_STAGE_POLICY = 0,           /* facts of the sensor are asked for */
    NGX_D4_STAGE_FIRST,                /* the first frame is being received */
    NGX_D4_STAGE_CLAIM,                /* it authenticated, asks the slot */
    NGX_D4_STAGE_LIVE
} ngx_d4_stage_t;


/* type 2 and then 254 are two streams of one session; others have one */
#define ngx_d4_stream_index(type)  ((type) == D4_TYPE_EXTENDED)

#define ngx_d4_stream_type(s, index)                                          \
    ((index) ? (ngx_uint_t) D4_TYPE_EXTENDED                                  \
             : (s)->type == D4_TYPE_EXTENDED ? (ngx_uint_t) D4_TYPE_META      \
                                             : (s)->type)


typedef struct {
    uint64_t                 frames;
    uint64_t                 bytes;
} ngx_d4_count_t;


struct ngx_d4_session_s {
    ngx_queue_t              queue;
    ngx_queue_t              dirty_queue;
    ngx_queue_t              stat_queue;

    ngx_d4_session_pt        handler;  /* NULL: the connection is gone */
    void                    *data;
    ngx_d4_session_conf_t   *conf;

    ngx_d4_node_t           *node;
    d4_addr_t                addr;
    char                     addr_text[D4_ADDR_TEXT];
    size_t                   addr_len;
    u_char                   uuid[D4_UUID_SIZE];
    char                     hex[D4_UUID_HEX + 1];
    char                     sid[D4_SID + 1];
    char                     former[D4_SID + 1];    /* before renewal */
    char                     take[D4_SID + 1];      /* holder to put out */
    d4_header_t              header;   /* of the frame being received */
    uint64_t                 start;    /* Unix ms, in the stream ids */
    ngx_uint_t               type;

    d4_key_t                 key;
    u_char                   key_digest[SHA256_DIGEST_LENGTH];
    d4_facts_t               facts;
    d4_facts_t               answer;   /* being collected */
    u_char                   answer_digest[SHA256_DIGEST_LENGTH];

    d4_batch_t               pending;  /* being filled */
    d4_batch_t               inflight; /* sealed; repeated until stored */
    ngx_d4_count_t           pending_count[2];
    ngx_d4_count_t           inflight_count[2];
    uint64_t                 given[2];     /* last number given to a frame */
    uint64_t                 stored[2];    /* last number acknowledged */
    uint64_t                 backlog;      /* entries, as Redis last said */
    uint32_t                 received;     /* of the frame's payload */
    ngx_d4_count_t           total;        /* acknowledged */

    ngx_d4_delta_t           delta[2];
    ngx_d4_delta_t           flush;        /* sent under seq until answered */
    uint64_t                 seq;
    ngx_msec_t               stat_since;

    ngx_msec_t               again_at;
    ngx_msec_t               hold_at;  /* no scripts before */
    ngx_msec_t               send_at;  /* no batch before */
    ngx_msec_t               retry;    /* the last delay of a batch */
    ngx_msec_t               verdict_until;
    ngx_msec_t               claim_until;
    ngx_msec_t               backlog_at;

    ngx_atomic_uint_t        generation;   /* when its facts were asked */
    ngx_uint_t               refs;     /* answers to come */
    ngx_uint_t               asking;   /* of them, about policy */
    d4_end_t                 verdict;  /* refusal that waits for its frame */
    d4_end_t                 reason;   /* of the end */
    const char              *error;    /* for the sensor, at the end */
    char                    *reject;   /* that of the dispatcher */

    ngx_d4_dispatch_t       *dispatch; /* of its stream; NULL: not here */
    char                    *object;   /* of type 2, once it is accepted */

    unsigned                 stage:2;
    unsigned                 closed:1;
    unsigned                 dead:1;
    unsigned                 ending:1;     /* END is being told */

    unsigned                 again:1;
    unsigned                 hold:1;
    unsigned                 delayed:1;
    unsigned                 paused:1;
    unsigned                 watched:1;    /* READY when all is stored */
    unsigned                 backlogged:1;
    unsigned                 starved:1;    /* by the worker's budget */
    unsigned                 dirty:1;
    unsigned                 in_stat:1;
    unsigned                 stamped:1;    /* address was written down */

    unsigned                 answer_failed:1;
    unsigned                 answer_gone:1;     /* no d4:session:<sid> */
    unsigned                 answer_unclaimed:1;
    unsigned                 answer_replaced:1;
    unsigned                 recheck:1;
    unsigned                 claiming:1;
    unsigned                 waiting:1;    /* until claim_until */
    unsigned                 reclaim:1;
    unsigned                 begin:1;
    unsigned                 beginning:1;
    unsigned                 listed:1;     /* in session_uuid:<type> */
    unsigned                 listing:1;
    unsigned                 sending:1;
    unsigned                 look:1;       /* at the stream, before sending */
    unsigned                 looking:1;
    unsigned                 refused:1;    /* ids were */
    unsigned                 renew:1;
    unsigned                 retaking:1;
    unsigned                 taken:1;      /* could not be taken back */
    unsigned                 recreate:1;
    unsigned                 recreating:1;
    unsigned                 counting:1;   /* XLEN on its way */
    unsigned                 flushing:1;
    unsigned                 finishing:1;
    unsigned                 ended:1;      /* on the streams Redis */
};


/* ngx_d4_session.c */

void ngx_d4_session_work(ngx_d4_session_t *s);

/* work again in so many ms, at the latest */
void ngx_d4_session_again(ngx_d4_session_t *s, ngx_msec_t delay);

/* no scripts of this session for so many ms: one failed, or has to wait */
void ngx_d4_session_hold(ngx_d4_session_t *s, ngx_msec_t delay);
ngx_uint_t ngx_d4_session_held(ngx_d4_session_t *s);

/* an answer to a script: 1 if it succeeded, else the script is to wait */
ngx_uint_t ngx_d4_session_succeeded(ngx_d4_session_t *s, redisReply *reply,
    const char *what);

/* tells the connection that the session is over */
void ngx_d4_session_end(ngx_d4_session_t *s, d4_end_t reason);


/* an answer came; 1: the session was only waiting for it and is gone */
ngx_uint_t ngx_d4_session_unref(ngx_d4_session_t *s);

void ngx_d4_session_free(ngx_d4_session_t *s);

/* lets a newcomer have the slot */
void ngx_d4_session_yield(ngx_d4_session_t *s);

/* a fresh sid */
void ngx_d4_session_name(ngx_d4_session_t *s);

/* what it sent is not what it said: it ends, with this Error */
void ngx_d4_session_reject(ngx_d4_session_t *s, const char *error);

/* what it sends as type 254 is described by this; a copy is kept */
void ngx_d4_session_object(ngx_d4_session_t *s, const char *json);


/* ngx_d4_session_room.c */

/* lets a paused connection go on if there is room now */
void ngx_d4_session_resume(ngx_d4_session_t *s);

/* memory came back: lets one of those who wait for it finish his frame */
void ngx_d4_sessions_relieve(void);

/* the frame is whole, or given up */
void ngx_d4_session_unfavour(ngx_d4_session_t *s);


/* ngx_d4_session_policy.c */

void ngx_d4_session_ask(ngx_d4_session_t *s);
void ngx_d4_session_claim(ngx_d4_session_t *s);
void ngx_d4_session_begin(ngx_d4_session_t *s);
void ngx_d4_session_write_error(ngx_d4_session_t *s, d4_end_t reason);
void ngx_d4_session_block_address(ngx_d4_session_t *s);


/* ngx_d4_session_batch.c */

void ngx_d4_session_send(ngx_d4_session_t *s);
void ngx_d4_session_discard(ngx_d4_session_t *s);
void ngx_d4_session_count(ngx_d4_session_t *s);
void ngx_d4_session_look(ngx_d4_session_t *s);


/* ngx_d4_session_renew.c */

/* its streams are fenced or gone: takes them back, or gets others */
void ngx_d4_session_renew(ngx_d4_session_t *s);
void ngx_d4_session_recreate(ngx_d4_session_t *s);


/* ngx_d4_session_stat.c */

void ngx_d4_stat_init(void);
void ngx_d4_stat_add(ngx_d4_session_t *s, ngx_uint_t index,
    ngx_d4_count_t *count);
void ngx_d4_stat_flush(ngx_d4_session_t *s);
void ngx_d4_stat_forget(ngx_d4_session_t *s);
void ngx_d4_stat_tick(void);

/* END on streams, then the last statistics; frees s when both are done */
void ngx_d4_session_finish(ngx_d4_session_t *s);


#pragma GCC visibility pop

#endif /* _NGX_D4_SESSION_H_INCLUDED_ */

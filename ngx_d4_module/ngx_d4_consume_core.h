
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Inside the consumers: what their files share.
 *
 * ngx_d4_consume.c          what modules and the core call
 * ngx_d4_consume_work.c     a consumer at work: joins, takes, removes, leaves
 * ngx_d4_consume_scripts.c  its steps on Redis, and those of dead workers
 *
 * In the queues' Redis a worker has the hash d4:inflights:<worker>, which
 * names the lists it takes from, and for each of them what is taken and not
 * acknowledged, d4:inflight:<worker>:<list>, the newest at the head.  The
 * hash holds a position for each list: it counts up with every element taken,
 * so that position and length of the in-flight list tell how far both taking
 * and acknowledging have come.  That makes both repeatable: what was carried
 * out already is seen by its position.  A worker never uses a position twice,
 * so that even a command that Redis reads late, from a connection that was
 * given up, finds its time passed.
 *
 * Nothing is taken without the field in the hash.  It is made by a step of its
 * own (join) and removed by whoever gives back, so that a late command of a
 * worker that is dead cannot take what nobody would look for.
 */


#ifndef _NGX_D4_CONSUME_CORE_H_INCLUDED_
#define _NGX_D4_CONSUME_CORE_H_INCLUDED_


#include "ngx_d4_core.h"
#include "ngx_d4_consume.h"


#pragma GCC visibility push(hidden)


#define NGX_D4_CONSUME_PAUSE_MIN  50       /* ms between looks at an empty */
#define NGX_D4_CONSUME_PAUSE_MAX  1000     /* list */
#define NGX_D4_CONSUME_REFUSED    5000     /* ms after an error */


typedef struct {
    uint64_t                  token;       /* position of its last element */
    unsigned                  acked:1;
} ngx_d4_taken_t;


struct ngx_d4_consumer_s {
    ngx_queue_t               queue;
    void                     *data;

    /* event ident must be after 3 pointers as in ngx_connection_t */
    ngx_int_t                 ident;

    ngx_d4_consume_conf_t     conf;
    ngx_event_t               timer;       /* nothing is taken until then */
    ngx_msec_t                pause;

    uint64_t                  taken;       /* positions: of what was taken, */
    uint64_t                  acked;       /* may be removed, */
    uint64_t                  asked;       /* was asked to be, */
    uint64_t                  removed;     /* and is */

    unsigned                  want:1;      /* a block */
    unsigned                  back:1;      /* all is to be given back */
    unsigned                  joined:1;
    unsigned                  present:1;   /* Redis may know of us */
    unsigned                  busy:1;      /* joining or leaving */
    unsigned                  taking:1;
    unsigned                  acking:1;
    unsigned                  woken:1;     /* since it was last asked */
    unsigned                  held:1;      /* Redis says: not now */
    unsigned                  refused:1;   /* it says no: logged */

    ngx_uint_t                nblocks;     /* taken and not removed */
    ngx_d4_taken_t            blocks[NGX_D4_CONSUME_BLOCKS];

    ngx_str_t                 elements[];
};


#define ngx_d4_consume_leaving()  (ngx_exiting || ngx_quit || ngx_terminate)


extern const ngx_str_t  ngx_d4_consume_take_script;
extern const ngx_str_t  ngx_d4_consume_remove_script;
extern const ngx_str_t  ngx_d4_consume_give_script;


/* Does what can be done now; called whenever that may have changed. */
void ngx_d4_consume_work(ngx_d4_consumer_t *c);

/* Joins, after which nothing is in flight, or leaves. */
void ngx_d4_consume_give(ngx_d4_consumer_t *c, ngx_uint_t join);

/* Removes what is acknowledged. */
void ngx_d4_consume_remove(ngx_d4_consumer_t *c);

/* Nothing is taken for so many ms; 0: look now. */
void ngx_d4_consume_wait(ngx_d4_consumer_t *c, ngx_msec_t ms);


#pragma GCC visibility pop

#endif /* _NGX_D4_CONSUME_CORE_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Consuming a list of the queues' Redis without losing what was taken.
 *
 * Producers push at the head of a list, so its oldest element is the last.
 * Elements are taken in blocks from there to an in-flight list of the worker,
 * and leave it when their block is acknowledged.  What a worker has taken and
 * did not acknowledge goes back to where it came from, in its order, when the
 * worker gives it back, exits or is found dead by any host that knows the
 * queues.  Several workers, hosts and other programs may consume one list.
 *
 * While nothing fails each element comes once.  After a failure an element
 * may come again, none is lost: it is to be acknowledged when it is stored.
 */


#ifndef _NGX_D4_CONSUME_H_INCLUDED_
#define _NGX_D4_CONSUME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_D4_CONSUME_ELEMENTS  10000
#define NGX_D4_CONSUME_BLOCKS    64


typedef struct ngx_d4_consumer_s  ngx_d4_consumer_t;


/*
 * A block was taken: its elements, the oldest first.  They and the array are
 * gone when the handler returns.  The token is what the block is acknowledged
 * with, also from within the handler.
 */
typedef void (*ngx_d4_block_pt)(void *data, uint64_t token,
    ngx_str_t *elements, ngx_uint_t n);

/*
 * A block that was acknowledged has left Redis, or (lost 1) it could not: it
 * had been given back before, because the worker was taken for dead or Redis
 * came back with an older state.  Its elements will come again, here or
 * elsewhere.
 */
typedef void (*ngx_d4_acked_pt)(void *data, uint64_t token, ngx_uint_t lost);


typedef struct {
    ngx_str_t            list;      /* its key, such as analyzer:8:<uuid> */
    ngx_uint_t           elements;  /* most of a block, 1 to 10000 */
    size_t               bytes;     /* most of a block; but one element is
                                       taken whatever its size */
    ngx_uint_t           blocks;    /* most not acknowledged, 1 to 64 */
    ngx_d4_block_pt      block;
    ngx_d4_acked_pt      acked;     /* may be NULL */
} ngx_d4_consume_conf_t;


/*
 * Makes this worker a consumer of conf->list, which no other consumer of this
 * worker may have.  To be called when a process starts (init_process, where it
 * comes after the core module's), for the time that the process has; conf is
 * copied, the bytes of the key are not.  Nothing is taken before
 * ngx_d4_consume_more().  NULL: the process is none that consumes (a cache
 * manager, say), or there is no "redis queues", no memory, or conf is wrong;
 * what is wrong has been logged.
 */
ngx_d4_consumer_t *ngx_d4_consume(ngx_d4_consume_conf_t *conf, void *data);

/*
 * Asks for one more block.  It comes when there are elements, the lease of the
 * worker stands and fewer than conf->blocks are out; asking twice before it
 * came is asking once.  Nothing comes any more when the worker is to exit.
 */
void ngx_d4_consume_more(ngx_d4_consumer_t *c);

/*
 * The elements of a block need not come again.  Blocks may be acknowledged in
 * any order; one leaves Redis, and is out no longer, when all that were taken
 * before it are acknowledged, too.  NGX_OK: conf->acked will tell.
 * NGX_DECLINED: the block is lost (see there), or was given back or
 * acknowledged before.
 *
 * A worker that is to exit waits for the blocks that are out, as long as
 * worker_shutdown_timeout lets it.
 */
ngx_int_t ngx_d4_consume_ack(ngx_d4_consumer_t *c, uint64_t token);

/*
 * Gives back all that is not acknowledged; the tokens are void.  Blocks that
 * were acknowledged before older ones were are given back, too.
 */
void ngx_d4_consume_nack(ngx_d4_consumer_t *c);

/*
 * For producers in nginx, once a push is on its way on the connection to the
 * queues: consumers of the list in this worker look at once, those in other
 * workers of the host within a tick.
 */
void ngx_d4_consume_wake(ngx_str_t *list);


#endif /* _NGX_D4_CONSUME_H_INCLUDED_ */

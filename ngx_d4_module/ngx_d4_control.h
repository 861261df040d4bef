
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Between the parts of a worker's control: lease and leader, poll, reaper.
 */


#ifndef _NGX_D4_CONTROL_H_INCLUDED_
#define _NGX_D4_CONTROL_H_INCLUDED_


#include "ngx_d4_core.h"


#pragma GCC visibility push(hidden)


/* 1 while this worker is the one of its host that polls and reaps. */
ngx_uint_t ngx_d4_control_leading(void);


/*
 * Looks at what other programs may have changed (ngx_d4_poll.c): the accepted
 * types, the kick set, and the blocklists and bans of the live sessions.
 */

/* Forgets what an earlier cycle of this process left. */
void ngx_d4_poll_init(void);

/* Each tick of the leader: once a second, or at once when it was asked for. */
void ngx_d4_poll_tick(void);

/* A round through the live sessions, and whether it goes on. */
void ngx_d4_poll_live_init(void);
void ngx_d4_poll_live(void);
ngx_uint_t ngx_d4_poll_live_busy(void);

/* The next tick polls without waiting for its second. */
void ngx_d4_poll_now(void);


/* Dead workers (ngx_d4_reaper.c) and their sessions (ngx_d4_orphans.c). */

void ngx_d4_reaper_init(void);

/*
 * Ends the sessions of a dead worker, whose name stays where it is; then calls
 * ngx_d4_reaper_done(), with 0 if some are left or the worker lives.
 */
void ngx_d4_orphans_end(ngx_str_t *worker);
void ngx_d4_reaper_done(ngx_uint_t ended);


#pragma GCC visibility pop

#endif /* _NGX_D4_CONTROL_H_INCLUDED_ */

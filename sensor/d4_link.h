
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * One connection to a destination, never blocking: from the address to the
 * server's end of stream.  Frames are handed in one at a time; the caller
 * polls, and learns by events what became of them.
 */


#ifndef _D4_LINK_H_INCLUDED_
#define _D4_LINK_H_INCLUDED_


#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include "d4_config.h"
#include "d4_io.h"
#include "d4_resolve.h"


#define D4_LINK_ROOM  16384            /* a record of TLS */


typedef enum {
    D4_LINK_DOWN = 0,
    D4_LINK_RESOLVING,
    D4_LINK_CONNECTING,
    D4_LINK_HANDSHAKE,
    D4_LINK_OPEN,
    D4_LINK_FINISHING,             /* what is at hand, then our end */
    D4_LINK_DRAINING,              /* until the server's end */
    D4_LINK_ASKING                 /* who ended: does it read on? */
} d4_link_state_t;


typedef enum {
    D4_LINK_AGAIN = 0,             /* nothing new: poll */
    D4_LINK_OPENED,
    D4_LINK_SENT,                  /* the frames at hand, whole */
    D4_LINK_CLOSED                 /* see end and error; it is DOWN */
} d4_link_event_t;


typedef enum {
    D4_LINK_DONE = 0,              /* as asked for, d4_link_finish() */
    D4_LINK_ENDED,                 /* by the server, which read on */
    D4_LINK_LOST,                  /* by the server at once, or broken */
    D4_LINK_UNREACHABLE,           /* was never open */
    D4_LINK_REFUSED,               /* never open: the server ended it */
    D4_LINK_UNVERIFIED             /* never open: not the right server */
} d4_link_end_t;


typedef struct {
    const d4_config_t  *config;
    d4_link_state_t     state;
    d4_link_end_t       end;
    d4_io_t             io;
    uint8_t            *out;       /* the frames at hand */
    size_t              room;
    size_t              len;       /* 0: none */
    size_t              off;
    size_t              written;   /* of those at hand when it closed */
    int                 address;   /* index of the one tried */
    int64_t             deadline;  /* 0: none */
    int64_t             watch;
    int64_t             until;
    uint64_t            ignored;   /* bytes the server sent */
    unsigned            asked:1;   /* we ended the session */
    unsigned            ended:1;   /* the server did */
    d4_resolve_t        resolve;
    char                error[D4_IO_ERROR + 32];
} d4_link_t;


/* For frames of up to so much payload.  Returns 0, or -1 without memory. */
int d4_link_init(d4_link_t *l, const d4_config_t *config, size_t payload);
void d4_link_free(d4_link_t *l);

/* From DOWN: begins to connect. */
d4_link_event_t d4_link_start(d4_link_t *l, int64_t now);

/* Fills in what to poll, fd -1: nothing; returns when to step anyway, or 0. */
int64_t d4_link_poll(const d4_link_t *l, struct pollfd *p);

/* Goes on; to be repeated until AGAIN. */
d4_link_event_t d4_link_step(d4_link_t *l, short revents, int64_t now);

/*
 * 1 when frames may be put into l->out, of l->room bytes at most or one of any
 * length, and sent.
 */
int d4_link_ready(const d4_link_t *l);
d4_link_event_t d4_link_send(d4_link_t *l, size_t len, int64_t now);

/* Ends the session after what is at hand; DONE or LOST comes with CLOSED. */
void d4_link_finish(d4_link_t *l);

/* Drops the connection at once; no event. */
void d4_link_abort(d4_link_t *l);


#endif /* _D4_LINK_H_INCLUDED_ */

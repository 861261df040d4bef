
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * The sensor as a whole: one source, one queue, one destination, and what
 * happens between them.  The loop and the input are in d4_client.c, the
 * sessions in d4_session.c.
 */


#ifndef _D4_CLIENT_H_INCLUDED_
#define _D4_CLIENT_H_INCLUDED_


#include <signal.h>
#include <stdint.h>

#include "d4_config.h"
#include "d4_cut.h"
#include "d4_link.h"
#include "d4_queue.h"
#include "d4_rate.h"
#include "d4_source.h"


#define D4_CLIENT_RUN  -1              /* no exit code yet */


/* what stands at the beginning of each session, and how much of it was sent */

typedef struct {
    const uint8_t  *prologue;          /* the meta header, or header */
    size_t          len;
    size_t          off;
    size_t          piece;             /* of it at hand */
    size_t          frames;            /* of the queue at hand */
    uint8_t         header[D4_PCAP_HEADER];
    unsigned        has_header:1;
    unsigned        at_hand:1;         /* the link has a piece of it */
    unsigned        open:1;
    unsigned        begun:1;           /* content was sent */
    unsigned        settled:1;         /* it was not refused */
    int64_t         since;
    int64_t         settle_at;
} d4_session_t;


typedef struct {
    uint64_t        frames;            /* sent whole, with prologues */
    uint64_t        bytes;             /* their payload */
    uint64_t        read;
    uint64_t        sessions;
    uint64_t        failures;          /* attempts that came to nothing */
    uint64_t        again;             /* frames sent once more */
    uint64_t        discarded;         /* bytes of records cut short */
} d4_stats_t;


typedef struct {
    const d4_options_t  *options;
    d4_config_t          config;
    d4_config_t          next;         /* after HUP */
    d4_source_t          source;
    d4_cut_t             cut;
    d4_queue_t           queue;
    d4_link_t            link;
    d4_session_t         session;
    d4_rate_t            rate_bytes;
    d4_rate_t            rate_frames;
    d4_stats_t           stats;
    uint8_t              header[D4_PCAP_HEADER];
    unsigned             has_header:1; /* of the pcap input */
    unsigned             greeted:1;    /* a prologue was sent at some time */
    unsigned             ended:1;      /* there will be no more input */
    unsigned             failed:1;     /* because it could not be read */
    unsigned             stopping:1;
    unsigned             reload:1;     /* next is waiting to be used */
    unsigned             strange:1;    /* was reported */
    int                  code;         /* exit code, or D4_CLIENT_RUN */
    int64_t              pause;        /* before the next attempt, growing */
    int64_t              retry_at;
    int64_t              wait_at;      /* 0: nothing holds the queue */
    int64_t              flush_at;     /* 0: nothing lingers */
    int64_t              stop_at;
    int64_t              read_until;   /* while stopping */
    int64_t              last_read;
    int64_t              dropped_at;   /* when drops were last reported */
    uint64_t             dropped;
    char                 error[D4_IO_ERROR + 32];
} d4_client_t;


/* set by signals */

extern volatile sig_atomic_t  d4_signal_stop;
extern volatile sig_atomic_t  d4_signal_reload;
extern volatile sig_atomic_t  d4_signal_stats;


/*
 * Runs to the end with a configuration, which it takes over.  While it waits
 * the signals are those of mask.  Returns the exit code.
 */
int d4_client_run(const d4_options_t *o, d4_config_t *config,
    const sigset_t *mask);

/* Whether a session is wanted: there is something to send. */
int d4_session_wanted(const d4_client_t *c);

/* Everything was sent that will ever be, and the server has not refused it. */
int d4_session_done(d4_client_t *c, int64_t now);

/* Connects when it is time, sends what may be sent. */
void d4_session_feed(d4_client_t *c, int64_t now);

/* What became of the link. */
void d4_session_event(d4_client_t *c, d4_link_event_t event, int64_t now);


#endif /* _D4_CLIENT_H_INCLUDED_ */

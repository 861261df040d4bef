
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * The command line and the environment.  Each long option has its variable:
 * D4_ and the name in capitals, "_" for "-"; the command line wins.
 */


#ifndef _D4_OPTIONS_H_INCLUDED_
#define _D4_OPTIONS_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "d4_queue.h"


#define D4_CLIENT_VERSION  "0.1"


/* exit codes */
#define D4_EXIT_OK           0
#define D4_EXIT_CONFIG       1
#define D4_EXIT_UNREACHABLE  2
#define D4_EXIT_REFUSED      3


typedef struct {
    const char      *config;           /* directory */
    const char      *source;           /* the texts are NULL unless given */
    const char      *destination;
    const char      *ca_file;
    const char      *client_cert;
    const char      *client_key;
    const char      *pin;
    const char      *tls_name;
    d4_overflow_t    overflow;
    uint64_t         queue;            /* bytes */
    uint64_t         rate_bytes;       /* a second, 0: no limit */
    uint64_t         rate_frames;
    int64_t          linger;           /* these in milliseconds */
    int64_t          settle;
    int64_t          retry;            /* -1: growing pauses, for ever */
    int64_t          connect_timeout;
    int64_t          keepalive;        /* 0: off */
    int64_t          poll;
    int              follow;
    int              from_end;
    int              eof_frame;
    int              keep_waiting;
    int              insecure;
    int              tls;              /* for destinations that do not say */
    int              restamp;
    int              check;
    int              verbose;
} d4_options_t;


/*
 * Returns -1 to go on, or the exit code: help and version were printed, or a
 * message.
 */
int d4_options_parse(d4_options_t *o, int argc, char **argv);


#endif /* _D4_OPTIONS_H_INCLUDED_ */

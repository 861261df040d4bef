
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * The unix socket where resolvers deliver dnstap.
 */


#ifndef _PDS_SOCKET_H_INCLUDED_
#define _PDS_SOCKET_H_INCLUDED_


#include <poll.h>

#include "pds_frames.h"
#include "pds_options.h"


#define PDS_CONNECTIONS  16            /* more of them wait to be accepted */


typedef struct {
    int             fd;                /* -1: free */
    pds_frames_t    frames;
} pds_connection_t;


typedef struct {
    int               fd;              /* -1: not open */
    const char       *path;
    pds_sensor_t     *sensor;
    int64_t           now;
    unsigned          connections;
    pds_connection_t  connection[PDS_CONNECTIONS];
    uint8_t           buf[65536];
} pds_socket_t;


void pds_socket_init(pds_socket_t *s);

/*
 * Binds and listens, for the user and the group of the options.  Takes the
 * place of a socket that nobody listens on any longer.  Returns 0, or -1 with
 * the error reported.
 */
int pds_socket_open(pds_socket_t *s, const pds_options_t *o,
    pds_sensor_t *sensor);
void pds_socket_close(pds_socket_t *s);

/* Fills in what to wait for, 1 + PDS_CONNECTIONS at most; returns how many. */
unsigned pds_socket_poll(const pds_socket_t *s, struct pollfd *pfd);

/*
 * Takes what has come meanwhile, now being the time (microseconds since 1970)
 * of what has none.
 */
void pds_socket_read(pds_socket_t *s, const struct pollfd *pfd, unsigned n,
    int64_t now);


#endif /* _PDS_SOCKET_H_INCLUDED_ */

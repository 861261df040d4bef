
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Addresses of a host.  getaddrinfo() can take a long time, so a child process
 * waits for it while the sensor goes on reading.
 */


#ifndef _D4_RESOLVE_H_INCLUDED_
#define _D4_RESOLVE_H_INCLUDED_


#include <sys/socket.h>
#include <sys/types.h>


#define D4_RESOLVE_MAX  16


typedef struct {
    socklen_t                len;
    struct sockaddr_storage  addr;
} d4_address_t;


typedef struct {
    pid_t         pid;                 /* -1: none runs */
    int           fd;                  /* to poll for input */
    int           n;
    d4_address_t  list[D4_RESOLVE_MAX];
    const char   *error;
} d4_resolve_t;


void d4_resolve_init(d4_resolve_t *r);

/*
 * Returns 1 when the addresses are there at once (a literal one), 0 when they
 * will be, -1 with r->error.
 */
int d4_resolve_start(d4_resolve_t *r, const char *host, const char *port);

/* When fd is ready: 1 when the addresses are there, -1 with r->error. */
int d4_resolve_finish(d4_resolve_t *r);

/* Gives up a search that runs. */
void d4_resolve_stop(d4_resolve_t *r);


#endif /* _D4_RESOLVE_H_INCLUDED_ */

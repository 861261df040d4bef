/*
 * Copyright (C) The ngx_d4 authors
 */

/* What the programs of the benchmark are told. */


#ifndef _OPTIONS_H_INCLUDED_
#define _OPTIONS_H_INCLUDED_


#include <netdb.h>

#include "d4_header.h"


#pragma GCC visibility push(hidden)


typedef struct {
    const char   *host;
    const char   *port;
    const char   *key;
    unsigned      connections;
    unsigned      payload;
    unsigned      type;
    unsigned      seed;
    unsigned      frames;              /* on all connections together */
    unsigned      lines;
    unsigned      pcap;                /* bytes of a packet */
    unsigned      plain;
    unsigned      stay;
    unsigned      idle;
    unsigned      hold;
    unsigned      timeout;
} options_t;


/* Reads the arguments into *opt, or says what is wrong with them and exits. */
void options(options_t *opt, int argc, char **argv);

struct addrinfo *options_address(const options_t *opt);

/* The header of a sensor's frames, but for their size. */
void options_header(const options_t *opt, unsigned number, d4_header_t *h);

__attribute__((noreturn, format(printf, 1, 2)))
void die(const char *fmt, ...);

/* Seconds of CLOCK_MONOTONIC. */
double now(void);


#pragma GCC visibility pop

#endif /* _OPTIONS_H_INCLUDED_ */

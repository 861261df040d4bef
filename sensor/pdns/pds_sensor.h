
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * From packets and dnstap frames to lines.  No input or output of its own:
 * lines go to a function of the caller's.
 */


#ifndef _PDS_SENSOR_H_INCLUDED_
#define _PDS_SENSOR_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "pds_cache.h"
#include "pds_frag.h"
#include "pds_link.h"
#include "pds_message.h"
#include "pds_print.h"
#include "pds_tcp.h"


#define PDS_PORTS  16


/* counters: the field and the name it is reported by, and what it counts */

#define PDS_STATS(X)                                                          \
    X(packets)         /* of a capture */                                     \
    X(not_ip)                                                                 \
    X(malformed)       /* IP, UDP or TCP header */                            \
    X(cut)             /* of which the capture has not all */                 \
    X(fragments)                                                              \
    X(frames)          /* of dnstap */                                        \
    X(bad_frames)                                                             \
    X(messages)        /* DNS, from a server */                               \
    X(bad_messages)                                                           \
    X(truncated)       /* answers that come again over TCP */                 \
    X(other_messages)  /* queries, other opcodes, zone transfers */           \
    X(records)         /* that went into the cache, with response codes */    \
    X(excluded)        /* by type */                                          \
    X(lines)                                                                  \
    X(too_long)        /* for a line */


#define PDS_STAT(name)  uint64_t  name;

typedef struct {
    PDS_STATS(PDS_STAT)
} pds_stats_t;

#undef PDS_STAT


typedef struct {
    unsigned         ports;
    uint16_t         port[PDS_PORTS];  /* of servers */
    unsigned         rcodes;           /* a bit for each to print */
    unsigned         client_v4;        /* bits of clients' addresses kept */
    unsigned         client_v6;
    size_t           line_max;         /* PDS_LINE_MIN or more */
    size_t           cache;            /* bytes */
    size_t           frag;
    size_t           tcp;
    int64_t          period;           /* microseconds */
    int64_t          expiry;
    uint8_t          exclude[8192];    /* a bit for each type */
} pds_conf_t;


/* A line with its LF. */
typedef void (*pds_line_pt)(void *data, const char *line, size_t len);


typedef struct {
    const pds_conf_t  *conf;
    pds_line_pt        line;
    void              *data;
    pds_stats_t        stats;

    int64_t            when;           /* of what is looked at */
    pds_addr_t         client;
    pds_addr_t         server;
    char              *text;           /* conf->line_max bytes */
    pds_print_t       *print;
    pds_frag_t         frag;
    pds_tcp_t          tcp;
    pds_cache_t        cache;
    pds_message_t      message;
} pds_sensor_t;


/*
 * conf stays the caller's and has to stay.  Returns NULL without memory.  The
 * caller sets line and data afterwards.
 */
pds_sensor_t *pds_sensor_create(const pds_conf_t *conf, const pds_key_t *key);
void pds_sensor_destroy(pds_sensor_t *s);

/* A packet that was captured at when (microseconds since 1970). */
void pds_sensor_packet(pds_sensor_t *s, pds_link_t link, int64_t when,
    const uint8_t *p, size_t len);

/*
 * The content of a dnstap frame; when is for one that does not say.  Returns
 * the time it has.
 */
int64_t pds_sensor_frame(pds_sensor_t *s, int64_t when, const uint8_t *p,
    size_t len);

/* Tells the time: prints what expires, forgets what waited for too long. */
void pds_sensor_clock(pds_sensor_t *s, int64_t now);

/* Prints whatever was seen and not printed. */
void pds_sensor_flush(pds_sensor_t *s);


#endif /* _PDS_SENSOR_H_INCLUDED_ */

/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * What a sensor of the benchmark sends: a few frames, built and signed
 * beforehand, which are sent over and over.
 *
 *   text    any bytes, a "\n" after each hundredth and at the frame's end
 *   lines   what passivedns logs, a line going on from one frame to the next
 *   pcap    a capture of UDP packets on Ethernet: its header in a frame of its
 *           own, as tcpdump writes it, then records that go on from one frame
 *           to the next
 */


#ifndef _PAYLOAD_H_INCLUDED_
#define _PAYLOAD_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "d4_header.h"
#include "d4_hmac.h"


#pragma GCC visibility push(hidden)


#define PAYLOAD_PACKET_MIN  60         /* of Ethernet */
#define PAYLOAD_PACKET_MAX  32000


typedef enum {
    PAYLOAD_TEXT = 0,
    PAYLOAD_LINES,
    PAYLOAD_PCAP
} payload_kind_t;


typedef struct {
    payload_kind_t   kind;
    unsigned         packet;           /* bytes of one */
    unsigned         size;             /* of a frame's payload */
    unsigned         number;           /* of the sensor: makes its bytes */
    uint64_t         frames;           /* to be sent, or somewhat more */
    d4_header_t      header;           /* but for its size */
    const d4_key_t  *key;
} payload_order_t;


typedef struct {
    uint8_t         *frames;           /* one behind the other */
    size_t           size;
    size_t           again;            /* where those begin that repeat */
    uint64_t         left;             /* bytes to be sent in all ... */
    uint64_t         count;            /* ... and frames ... */
    uint64_t         bytes;            /* ... and bytes of payload ... */
    uint64_t         records;          /* ... and lines or packets in it */
} payload_t;


/*
 * Builds the frames of a sensor.  Lines and captures are sent whole, however
 * many frames that takes.  0, or -1 without memory or room for one packet.
 */
int payload_build(payload_t *p, const payload_order_t *order);

void payload_free(payload_t *p);


#pragma GCC visibility pop

#endif /* _PAYLOAD_H_INCLUDED_ */


/*
 * The D4 frame header: 62 bytes, packed, little-endian, in front of every
 * payload (D4 core "encapsulation" format, version 1).
 *
 *   off  len
 *     0    1  version
 *     1    1  type
 *     2   16  sensor uuid, RFC 4122 byte order
 *    18    8  timestamp, Unix seconds
 *    26   32  HMAC-SHA-256 of the header, these 32 bytes zero, and the payload
 *    58    4  payload size
 */


#ifndef _D4_HEADER_H_INCLUDED_
#define _D4_HEADER_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


#define D4_VERSION        1

#define D4_HEADER_SIZE    62
#define D4_HMAC_OFFSET    26
#define D4_HMAC_SIZE      32
#define D4_UUID_SIZE      16

/* what the published server accepts at most, inclusive */
#define D4_MAX_PAYLOAD    1000000


typedef enum {
    D4_TYPE_PCAP = 1,
    D4_TYPE_META = 2,
    D4_TYPE_LINE = 3,
    D4_TYPE_DNSCAP = 4,
    D4_TYPE_PCAPNG = 5,
    D4_TYPE_NDJSON = 6,
    D4_TYPE_YAF = 7,
    D4_TYPE_PASSIVEDNS = 8,
    D4_TYPE_EXTENDED = 254
} d4_type_t;


typedef struct {
    uint64_t  timestamp;               /* Unix seconds, as the sensor says */
    uint32_t  size;                    /* payload bytes that follow */
    uint8_t   version;
    uint8_t   type;
    uint8_t   uuid[D4_UUID_SIZE];
    uint8_t   hmac[D4_HMAC_SIZE];
} d4_header_t;


/* Reads the D4_HEADER_SIZE bytes at p; every value is possible, none fails. */
void d4_header_decode(d4_header_t *h, const uint8_t *p);

/* Writes D4_HEADER_SIZE bytes to p, in wire order on any machine. */
void d4_header_encode(uint8_t *p, const d4_header_t *h);


#pragma GCC visibility pop

#endif /* _D4_HEADER_H_INCLUDED_ */

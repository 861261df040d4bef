
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What the unit tests of the passive DNS sensor share: packets and messages
 * put together by hand.
 */


#ifndef _D4_UNIT_PDNS_SENSOR_H_INCLUDED_
#define _D4_UNIT_PDNS_SENSOR_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <string.h>


static inline uint8_t *
put16(uint8_t *p, unsigned n)
{
    p[0] = (uint8_t) (n >> 8);
    p[1] = (uint8_t) n;

    return p + 2;
}


static inline uint8_t *
put32(uint8_t *p, uint32_t n)
{
    return put16(put16(p, n >> 16), n & 0xffff);
}


/* "www.example." or "." */

static inline uint8_t *
put_name(uint8_t *p, const char *name)
{
    size_t  n;

    while (*name != '\0' && *name != '.') {
        n = strcspn(name, ".");
        *p++ = (uint8_t) n;
        memcpy(p, name, n);
        p += n;
        name += n + 1;
    }

    *p++ = 0;

    return p;
}


static inline uint8_t *
put_dns(uint8_t *p, unsigned flags, unsigned questions, unsigned answers)
{
    p = put16(p, 0x1234);
    p = put16(p, flags);
    p = put16(p, questions);
    p = put16(p, answers);

    return put32(p, 0);
}


static inline uint8_t *
put_question(uint8_t *p, const char *name, unsigned type)
{
    return put16(put16(put_name(p, name), type), 1);
}


/* All of a record but its data. */

static inline uint8_t *
put_head(uint8_t *p, const char *owner, unsigned type, uint32_t ttl,
    unsigned len)
{
    p = put16(put16(put_name(p, owner), type), 1);

    return put16(put32(p, ttl), len);
}


static inline uint8_t *
put_ip4(uint8_t *p, unsigned proto, unsigned id, unsigned fragment,
    size_t len)
{
    *p++ = 0x45;
    *p++ = 0;
    p = put16(p, 20 + (unsigned) len);
    p = put16(p, id);
    p = put16(p, fragment);
    *p++ = 64;
    *p++ = (uint8_t) proto;
    p = put16(p, 0);
    p = put32(p, 0xc6336401);          /* 198.51.100.1 */

    return put32(p, 0xc0000202);       /* 192.0.2.2 */
}


static inline uint8_t *
put_ip6(uint8_t *p, unsigned proto, size_t len)
{
    p = put32(p, 0x60000000);
    p = put16(p, (unsigned) len);
    *p++ = (uint8_t) proto;
    *p++ = 64;
    memset(p, 0, 32);
    p[0] = p[16] = 0x20;
    p[1] = p[17] = 0x01;
    p[2] = p[18] = 0x0d;
    p[3] = p[19] = 0xb8;
    p[15] = 1;
    p[31] = 2;

    return p + 32;
}


static inline uint8_t *
put_udp(uint8_t *p, unsigned from, unsigned to, size_t len)
{
    p = put16(p, from);
    p = put16(p, to);
    p = put16(p, 8 + (unsigned) len);

    return put16(p, 0);
}


static inline uint8_t *
put_tcp(uint8_t *p, uint32_t seq, unsigned flags)
{
    p = put16(p, 53);
    p = put16(p, 40000);
    p = put32(p, seq);
    p = put32(p, 0);
    *p++ = 0x50;
    *p++ = (uint8_t) flags;
    p = put16(p, 65535);

    return put32(p, 0);
}


#endif /* _D4_UNIT_PDNS_SENSOR_H_INCLUDED_ */

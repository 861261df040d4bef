/*
 * Copyright (C) The ngx_d4 authors
 */

#include "payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define POOL_BYTES     (256 * 1024)    /* of frames that repeat, or ... */
#define POOL_FRAMES    4               /* ... that many if they are large */

#define LINE_MAX       256
#define PCAP_HEADER    24
#define PCAP_RECORD    16
#define PACKET_HEADERS 42              /* Ethernet, IPv4, UDP */
#define BEGINNING      1700000000      /* seconds: the time in what is sent */


static void text(uint8_t *p, size_t size, unsigned frame, uint64_t *r);
static void lines(uint8_t *p, size_t size, uint64_t *r);
static void capture_header(uint8_t *p);
static void capture(uint8_t *p, size_t size, unsigned packet, uint64_t *r);
static void udp(uint8_t *p, size_t size, uint64_t *r);
static uint64_t full_lines(const uint8_t *content, size_t size);
static uint64_t packets(const uint8_t *content, size_t size);
static uint8_t *sign(uint8_t *out, const payload_order_t *order,
    const uint8_t *content, size_t size);
static uint64_t next(uint64_t *r);
static void put_le(uint8_t *p, unsigned n, uint64_t value);
static void put_be(uint8_t *p, unsigned n, uint64_t value);
static uint64_t get_le(const uint8_t *p, unsigned n);


int
payload_build(payload_t *p, const payload_order_t *order)
{
    size_t     size, i;
    uint8_t   *content, *out, header[PCAP_HEADER];
    uint64_t   repeat, count, r;

    memset(p, 0, sizeof(payload_t));

    repeat = order->frames - (order->kind == PAYLOAD_PCAP);

    count = POOL_BYTES / (D4_HEADER_SIZE + order->size);
    count = (count < POOL_FRAMES) ? POOL_FRAMES : count;
    count = (count > repeat) ? repeat : count;

    size = count * order->size;

    if (order->kind == PAYLOAD_PCAP
        && size < PCAP_RECORD + (size_t) order->packet)
    {
        return -1;
    }

    content = malloc(size + 1);
    p->frames = malloc((count + 1) * D4_HEADER_SIZE + PCAP_HEADER + size);

    if (content == NULL || p->frames == NULL) {
        free(content);
        payload_free(p);
        return -1;
    }

    out = p->frames;
    r = 88172645463325252ull + order->number;

    if (order->kind == PAYLOAD_TEXT) {
        text(content, size, order->size, &r);

    } else {
        repeat = (repeat + count - 1) / count * count;
    }

    if (order->kind == PAYLOAD_LINES) {
        lines(content, size, &r);
    }

    if (order->kind == PAYLOAD_PCAP) {
        capture(content, size, order->packet, &r);
        capture_header(header);
        out = sign(out, order, header, PCAP_HEADER);

        p->count = 1;
        p->bytes = PCAP_HEADER;
        p->records = repeat / count * packets(content, size);

    } else if (count > 0) {
        p->records = repeat / count * full_lines(content, size)
                     + full_lines(content, repeat % count * order->size);
    }

    p->again = out - p->frames;

    for (i = 0; i < count; i++) {
        out = sign(out, order, content + i * order->size, order->size);
    }

    p->size = out - p->frames;
    p->left = p->again + repeat * (D4_HEADER_SIZE + order->size);
    p->count += repeat;
    p->bytes += repeat * order->size;

    free(content);

    return 0;
}


void
payload_free(payload_t *p)
{
    free(p->frames);
    p->frames = NULL;
}


static void
text(uint8_t *p, size_t size, unsigned frame, uint64_t *r)
{
    size_t  i, at;

    for (i = 0; i < size; i++) {
        at = i % frame;
        p[i] = (at % 100 == 99 || at + 1 == frame) ? '\n' : ' ' + next(r) % 95;
    }
}


/* Whole lines, the last of which is as long as there is room. */

static void
lines(uint8_t *p, size_t size, uint64_t *r)
{
    int       len, fill;
    char      line[2 * LINE_MAX], pad[LINE_MAX];
    size_t    i;
    uint64_t  v, w;

    static const char *const  types[] = { "A", "AAAA", "CNAME", "MX" };

    memset(pad, 'x', sizeof(pad));

    for (i = 0; i < size; i += len) {

        v = next(r);
        w = next(r);
        fill = 0;

        for ( ;; ) {
            len = snprintf(line, sizeof(line),
                           "%u.%06u||10.1.%u.%u||10.1.0.53||IN||"
                           "%.*shost%u.example%u.org.||%s||192.0.2.%u||%u||1"
                           "\n",
                           BEGINNING + (unsigned) (i / 1000),
                           (unsigned) (v % 1000000),
                           (unsigned) (v >> 20) % 4,
                           (unsigned) (v >> 22) % 250, fill, pad,
                           (unsigned) (v >> 30) % 50,
                           (unsigned) (w >> 40) % 30000, types[w % 4],
                           (unsigned) (w >> 8) % 250,
                           (unsigned) (w >> 16) % 86400);

            if (fill || size - i >= (size_t) len + LINE_MAX / 2
                || size - i <= (size_t) len)
            {
                break;
            }

            fill = size - i - len;
        }

        if ((size_t) len > size - i) {
            len = size - i;
            line[len - 1] = '\n';
        }

        memcpy(p + i, line, len);
    }
}


/* Little-endian, microseconds, Ethernet. */

static void
capture_header(uint8_t *p)
{
    memset(p, 0, PCAP_HEADER);

    put_le(p, 4, 0xa1b2c3d4);
    put_le(p + 4, 2, 2);
    put_le(p + 6, 2, 4);
    put_le(p + 16, 4, 262144);
    put_le(p + 20, 4, 1);
}


/* Whole records, the last of which takes what is left. */

static void
capture(uint8_t *p, size_t size, unsigned packet, uint64_t *r)
{
    size_t  i, len;

    for (i = 0; i < size; i += PCAP_RECORD + len) {

        len = packet;

        if (size - i < 2 * (PCAP_RECORD + (size_t) packet)) {
            len = size - i - PCAP_RECORD;
        }

        put_le(p + i, 4, BEGINNING + i / 100000);
        put_le(p + i + 4, 4, i % 100000 * 10);
        put_le(p + i + 8, 4, len);
        put_le(p + i + 12, 4, len);

        udp(p + i + PCAP_RECORD, len, r);
    }
}


static void
udp(uint8_t *p, size_t size, uint64_t *r)
{
    size_t    i;
    uint32_t  sum;

    memset(p, 0, PACKET_HEADERS);

    p[0] = p[6] = 0x02;
    p[11] = 1;
    put_be(p + 12, 2, 0x0800);

    p[14] = 0x45;
    put_be(p + 16, 2, size - 14);
    p[22] = 64;
    p[23] = 17;
    put_be(p + 26, 4, 0x0a010000 + next(r) % 1000);
    put_be(p + 30, 4, 0xc0000200 + next(r) % 250);

    sum = 0;

    for (i = 14; i < 34; i += 2) {
        sum += p[i] << 8 | p[i + 1];
    }

    sum = (sum & 0xffff) + (sum >> 16);
    put_be(p + 24, 2, ~(sum + (sum >> 16)));

    put_be(p + 34, 2, 1024 + next(r) % 60000);
    put_be(p + 36, 2, 443);
    put_be(p + 38, 2, size - 34);

    for (i = PACKET_HEADERS; i < size; i++) {
        p[i] = next(r);
    }
}


/* An empty line is none; what comes behind the last "\n" is one. */

static uint64_t
full_lines(const uint8_t *content, size_t size)
{
    size_t    i, len;
    uint64_t  n;

    n = 0;
    len = 0;

    for (i = 0; i < size; i++) {

        if (content[i] != '\n') {
            len++;
            continue;
        }

        n += (len != 0);
        len = 0;
    }

    return n + (len != 0);
}


static uint64_t
packets(const uint8_t *content, size_t size)
{
    size_t    i;
    uint64_t  n;

    n = 0;

    for (i = 0; i < size; i += PCAP_RECORD + get_le(content + i + 8, 4)) {
        n++;
    }

    return n;
}


static uint8_t *
sign(uint8_t *out, const payload_order_t *order, const uint8_t *content,
    size_t size)
{
    d4_header_t  h;

    h = order->header;
    h.size = size;

    d4_header_encode(out, &h);
    memcpy(out + D4_HEADER_SIZE, content, size);
    d4_hmac_frame(order->key, out, out + D4_HEADER_SIZE, size,
                  out + D4_HMAC_OFFSET);

    return out + D4_HEADER_SIZE + size;
}


/* xorshift, by G. Marsaglia */

static uint64_t
next(uint64_t *r)
{
    *r ^= *r << 13;
    *r ^= *r >> 7;
    *r ^= *r << 17;

    return *r;
}


static void
put_le(uint8_t *p, unsigned n, uint64_t value)
{
    unsigned  i;

    for (i = 0; i < n; i++) {
        p[i] = value >> (8 * i);
    }
}


static void
put_be(uint8_t *p, unsigned n, uint64_t value)
{
    unsigned  i;

    for (i = 0; i < n; i++) {
        p[i] = value >> (8 * (n - 1 - i));
    }
}


static uint64_t
get_le(const uint8_t *p, unsigned n)
{
    unsigned  i;
    uint64_t  value;

    value = 0;

    for (i = 0; i < n; i++) {
        value |= (uint64_t) p[i] << (8 * i);
    }

    return value;
}

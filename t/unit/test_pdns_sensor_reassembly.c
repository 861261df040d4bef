
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "pdns_sensor.h"
#include "../../sensor/pdns/pds_frag.h"
#include "../../sensor/pdns/pds_tcp.h"


#define SECOND  1000000

#define FIN  0x01
#define SYN  0x02
#define RST  0x04
#define ACK  0x10


static const pds_key_t  key = { 1, 2 };

static pds_frag_t  frag;
static pds_tcp_t   tcp;
static uint8_t     packet[65536 + 64];
static uint8_t     content[70000];


static void
fill(void)
{
    size_t    i;
    uint32_t  n;

    n = 1;

    for (i = 0; i < sizeof(content); i++) {
        n = n * 1103515245 + 12345;
        content[i] = (uint8_t) (n >> 16);
    }
}


/* One fragment of content; returns what pds_frag_add() says of it. */

static int
fragment(pds_ip_t *ip, int version, unsigned id, size_t offset, size_t len,
    int more, int64_t now)
{
    int       rc;
    size_t    head;
    uint8_t  *p, *copy;

    if (version == 4) {
        p = put_ip4(packet, PDS_UDP, id,
                    (unsigned) (offset / 8) | (more ? 0x2000 : 0), len);

    } else {
        p = put_ip6(packet, 44, 8 + len);
        *p++ = PDS_UDP;
        *p++ = 0;
        p = put16(p, (unsigned) offset | (more ? 1 : 0));
        p = put32(p, id);
    }

    head = (size_t) (p - packet);
    copy = malloc(head + len);
    memcpy(copy, packet, head);
    memcpy(copy + head, content + offset, len);

    assert_int_equal(pds_ip_read(ip, copy, head + len), 0);
    assert_true(ip->fragment);
    rc = pds_frag_add(&frag, ip, now);
    free(copy);

    if (rc) {
        assert_int_equal(pds_ip_whole(ip), 0);
        assert_int_equal(ip->proto, PDS_UDP);
        assert_false(ip->fragment);
        assert_memory_equal(ip->data, content, ip->len);
    }

    return rc;
}


/* All orders of four fragments, of both versions. */

static void
test_fragments(void **state)
{
    int       version, n, order[4], a, b, c, d;
    size_t    i, last;
    pds_ip_t  ip;

    static const size_t  offset[] = { 0, 1480, 1488, 2968, 3000 };

    (void) state;

    fill();
    pds_frag_init(&frag, &key, 16, 65536, 30 * SECOND);

    for (version = 4; version <= 6; version += 2) {
        for (n = 0; n < 256; n++) {
            a = order[0] = n & 3;
            b = order[1] = n >> 2 & 3;
            c = order[2] = n >> 4 & 3;
            d = order[3] = n >> 6;

            if (a == b || a == c || a == d || b == c || b == d || c == d) {
                continue;
            }

            for (i = 0; i < 4; i++) {
                last = offset[order[i] + 1] - offset[order[i]];

                assert_int_equal(fragment(&ip, version, 7, offset[order[i]],
                                          last, order[i] != 3, 0),
                                 i == 3);

                /* a fragment that came twice */

                if (i != 3) {
                    assert_int_equal(fragment(&ip, version, 7,
                                              offset[order[i]], last,
                                              order[i] != 3, 0), 0);
                }
            }

            assert_int_equal(ip.len, 3000);
            assert_int_equal(frag.held, 0);
            assert_int_equal(frag.datagrams, 0);
        }
    }

    assert_int_equal(frag.dropped, 0);

    /* those of other datagrams are others */

    assert_int_equal(fragment(&ip, 4, 7, 0, 1480, 1, 0), 0);
    assert_int_equal(fragment(&ip, 4, 8, 1480, 20, 0, 0), 0);
    assert_int_equal(fragment(&ip, 6, 7, 1480, 20, 0, 0), 0);
    assert_int_equal(frag.datagrams, 3);
    assert_int_equal(fragment(&ip, 4, 7, 1480, 20, 0, 0), 1);
    assert_int_equal(ip.len, 1500);

    pds_frag_free(&frag);
    assert_int_equal(frag.held, 0);
}


static void
test_fragments_wrong(void **state)
{
    size_t    i;
    pds_ip_t  ip;

    (void) state;

    fill();
    pds_frag_init(&frag, &key, 16, 65536, 30 * SECOND);

    /* overlap */

    assert_int_equal(fragment(&ip, 4, 1, 0, 16, 1, 0), 0);
    assert_int_equal(fragment(&ip, 4, 1, 8, 16, 1, 0), 0);
    assert_int_equal(frag.dropped, 1);
    assert_int_equal(frag.datagrams, 0);

    assert_int_equal(fragment(&ip, 4, 1, 16, 16, 1, 0), 0);
    assert_int_equal(fragment(&ip, 4, 1, 0, 24, 1, 0), 0);
    assert_int_equal(frag.dropped, 2);

    /* the same place, other bytes */

    assert_int_equal(fragment(&ip, 4, 1, 0, 16, 1, 0), 0);
    content[3] ^= 1;
    assert_int_equal(fragment(&ip, 4, 1, 0, 16, 1, 0), 0);
    content[3] ^= 1;
    assert_int_equal(frag.dropped, 3);

    /* two ends, something behind the end, no multiple of eight, nothing */

    assert_int_equal(fragment(&ip, 4, 1, 16, 8, 0, 0), 0);
    assert_int_equal(fragment(&ip, 4, 1, 32, 8, 0, 0), 0);
    assert_int_equal(frag.dropped, 4);

    assert_int_equal(fragment(&ip, 4, 1, 16, 8, 0, 0), 0);
    assert_int_equal(fragment(&ip, 4, 1, 24, 8, 1, 0), 0);
    assert_int_equal(frag.dropped, 5);

    assert_int_equal(fragment(&ip, 4, 1, 32, 8, 1, 0), 0);
    assert_int_equal(fragment(&ip, 4, 1, 16, 8, 0, 0), 0);
    assert_int_equal(frag.dropped, 6);

    assert_int_equal(fragment(&ip, 4, 1, 16, 9, 1, 0), 0);
    assert_int_equal(fragment(&ip, 4, 1, 16, 0, 1, 0), 0);
    assert_int_equal(frag.dropped, 8);
    assert_int_equal(frag.datagrams, 0);

    /* longer than a datagram can be, and just as long */

    assert_int_equal(fragment(&ip, 4, 1, 65528, 8, 0, 0), 0);
    assert_int_equal(frag.dropped, 9);

    for (i = 0; i < 65528; i += 4096) {
        assert_int_equal(fragment(&ip, 6, 1, i, i + 4096 > 65528 ? 65528 - i
                                  : 4096, 1, 0), 0);
    }

    frag.max_held = 1 << 20;

    for (i = 0; i < 65528; i += 4096) {
        fragment(&ip, 6, 2, i, i + 4096 > 65528 ? 65528 - i : 4096, 1, 0);
    }

    assert_int_equal(fragment(&ip, 6, 2, 65528, 7, 0, 0), 1);
    assert_int_equal(ip.len, 65535);

    pds_frag_free(&frag);
}


static void
test_fragments_limits(void **state)
{
    unsigned  i;
    pds_ip_t  ip;

    (void) state;

    fill();

    /* datagrams: the oldest goes */

    pds_frag_init(&frag, &key, 4, 1 << 20, 30 * SECOND);

    for (i = 0; i < 5; i++) {
        assert_int_equal(fragment(&ip, 4, i, 0, 8, 1, i), 0);
        assert_true(frag.datagrams <= 4);
    }

    assert_int_equal(frag.dropped, 1);
    assert_int_equal(fragment(&ip, 4, 1, 8, 1, 0, 9), 1);
    assert_int_equal(fragment(&ip, 4, 4, 8, 1, 0, 9), 1);
    assert_int_equal(fragment(&ip, 4, 0, 8, 1, 0, 9), 0);

    /* time */

    pds_frag_expire(&frag, 30 * SECOND);
    assert_int_equal(frag.datagrams, 3);
    pds_frag_expire(&frag, 30 * SECOND + 3);
    assert_int_equal(frag.datagrams, 2);
    pds_frag_expire(&frag, 30 * SECOND + 10);
    assert_int_equal(frag.datagrams, 0);
    assert_int_equal(frag.held, 0);
    pds_frag_free(&frag);

    /* bytes */

    pds_frag_init(&frag, &key, 1000, 65536, 30 * SECOND);

    for (i = 0; i < 200; i++) {
        assert_int_equal(fragment(&ip, 4, i, 0, 1480, 1, 0), 0);
        assert_true(frag.held <= 65536);
    }

    assert_true(frag.datagrams > 30 && frag.datagrams < 45);
    assert_int_equal(fragment(&ip, 4, 199, 1480, 1, 0, 0), 1);
    pds_frag_free(&frag);

    /* fragments of a datagram */

    pds_frag_init(&frag, &key, 1000, 65536, 30 * SECOND);

    for (i = 0; i < PDS_FRAG_PARTS; i++) {
        assert_int_equal(fragment(&ip, 4, 1, 8 * i, 8, 1, 0), 0);
    }

    assert_int_equal(frag.datagrams, 1);
    assert_int_equal(fragment(&ip, 4, 1, 8 * i, 8, 1, 0), 0);
    assert_int_equal(frag.datagrams, 0);
    assert_int_equal(frag.dropped, 1);
    pds_frag_free(&frag);
}


typedef struct {
    size_t   len;
    uint8_t  bytes[200000];
    int      messages;
} got_t;


static got_t  got;


static void
message(void *data, const pds_ip_t *ip, const uint8_t *p, size_t len)
{
    got_t  *g;

    g = data;
    assert_int_equal(ip->src.family, 4);
    assert_true(g->len + len + 2 <= sizeof(g->bytes));

    put16(g->bytes + g->len, (unsigned) len);
    memcpy(g->bytes + g->len + 2, p, len);
    g->len += 2 + len;
    g->messages++;
}


static void
tcp_init(unsigned streams, size_t bytes)
{
    pds_tcp_init(&tcp, &key, streams, bytes, 300 * SECOND);
    tcp.message = message;
    tcp.data = &got;
    memset(&got, 0, sizeof(got));
}


/* A segment with len bytes of p, from a block that ends where it ends. */

static int
segment(unsigned port, uint32_t seq, unsigned flags, const void *p,
    size_t len, int64_t now)
{
    int       rc;
    uint8_t  *copy;
    pds_ip_t  ip;

    put_tcp(put_ip4(packet, PDS_TCP, 1, 0, 20 + len), seq, flags | ACK);
    put16(packet + 22, port);

    copy = malloc(40 + len);
    memcpy(copy, packet, 40);

    if (len != 0) {
        memcpy(copy + 40, p, len);
    }

    assert_int_equal(pds_ip_read(&ip, copy, 40 + len), 0);
    rc = pds_tcp_add(&tcp, &ip, now);
    free(copy);

    return rc;
}


/* Messages of many sizes; returns the length of all. */

static size_t
stream(uint8_t *out)
{
    size_t  i, n;

    static const unsigned  sizes[] = { 12, 511, 13, 512, 40, 1460, 12, 9000,
                                       65535, 100, 12 };

    fill();
    n = 0;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        put16(out + n, sizes[i]);
        memcpy(out + n + 2, content, sizes[i]);
        n += 2 + sizes[i];
    }

    return n;
}


static void
test_tcp_splits(void **state)
{
    size_t          i, n, len, size;
    static uint8_t  all[100000];

    (void) state;

    len = stream(all);

    for (size = 1; size <= 1500; size += (size < 20 ? 1 : 97)) {

        /* the sequence wraps on the way */

        tcp_init(16, 1 << 20);
        segment(40000, 0xffffff00, SYN, NULL, 0, 0);

        for (i = 0; i < len; i += n) {
            n = (len - i < size) ? len - i : size;
            segment(40000, (uint32_t) (0xffffff01 + i), 0, all + i, n, 0);
            assert_true(tcp.held < 140000);
        }

        assert_int_equal(got.messages, 11);
        assert_int_equal(got.len, len);
        assert_memory_equal(got.bytes, all, len);
        assert_int_equal(tcp.streams, 1);

        segment(40000, (uint32_t) (0xffffff01 + len), FIN, NULL, 0, 0);
        assert_int_equal(tcp.streams, 0);
        assert_int_equal(tcp.held, 0);
        assert_int_equal(tcp.lost, 0);
    }
}


static size_t
chance(size_t below)
{
    static uint32_t  n = 7;

    n = n * 1103515245 + 12345;

    return (n >> 8) % below;
}


/* Segments in disorder, twice, overlapping: the same messages. */

static void
test_tcp_disorder(void **state)
{
    int             fin;
    size_t          i, j, n, len, more, at[64], size[64];
    unsigned        round;
    static uint8_t  all[100000];

    (void) state;

    len = stream(all);

    for (round = 0; round < 500; round++) {
        tcp_init(16, 1 << 20);
        segment(40000, 5, SYN, NULL, 0, 0);

        for (i = 0, n = 0; i < len; i += size[n++]) {
            assert_true(n < 64);
            at[n] = i;
            size[n] = 1500 + chance(2500);

            if (size[n] > len - i) {
                size[n] = len - i;
            }
        }

        /* each one up to seven places from where it belongs */

        for (i = 0; i < n; i++) {
            j = i + chance(8);

            if (j < n) {
                more = at[i];
                at[i] = at[j];
                at[j] = more;
                more = size[i];
                size[i] = size[j];
                size[j] = more;
            }
        }

        for (i = 0; i < n; i++) {
            more = chance(5);
            more = (more > at[i]) ? at[i] : more;
            at[i] -= more;
            size[i] += more;

            if (chance(4) == 0) {
                segment(40000, (uint32_t) (6 + at[i]), 0, all + at[i],
                        size[i] / 2, 0);
            }

            fin = (at[i] + size[i] == len) ? FIN : 0;
            segment(40000, (uint32_t) (6 + at[i]), (unsigned) fin,
                    all + at[i], size[i], 0);
        }

        assert_int_equal(got.len, len);
        assert_memory_equal(got.bytes, all, len);
        assert_int_equal(tcp.streams, 0);
        assert_int_equal(tcp.held, 0);
        assert_int_equal(tcp.lost, 0);
    }
}


static void
test_tcp_unknown(void **state)
{
    uint8_t  m[14];

    (void) state;

    memset(m, 0, 14);
    m[1] = 12;
    tcp_init(16, 1 << 20);

    /* the middle of a stream */

    assert_int_equal(segment(40000, 100, 0, m, 14, 0), 0);
    assert_int_equal(got.messages, 0);
    assert_int_equal(tcp.unknown, 1);

    /* SYN, twice; and data with it (RFC 7413) */

    segment(40000, 100, SYN, m, 14, 0);
    assert_int_equal(got.messages, 1);
    segment(40000, 100, SYN, m, 14, 0);
    assert_int_equal(got.messages, 1);
    segment(40000, 115, 0, m, 14, 0);
    assert_int_equal(got.messages, 2);
    assert_int_equal(tcp.begun, 1);

    /* another connection with the same ports */

    segment(40000, 5000, SYN, NULL, 0, 0);
    segment(40000, 129, 0, m, 14, 0);
    assert_int_equal(got.messages, 2);
    segment(40000, 5001, 0, m, 14, 0);
    assert_int_equal(got.messages, 3);
    assert_int_equal(tcp.begun, 2);
    assert_int_equal(tcp.lost, 0);

    segment(40000, 5015, 0, m, 7, 0);
    segment(40000, 5022, RST, NULL, 0, 0);
    assert_int_equal(tcp.streams, 0);
    assert_int_equal(tcp.lost, 1);

    /* no DNS: a message shorter than its header */

    segment(40000, 100, SYN, NULL, 0, 0);
    m[1] = 11;
    segment(40000, 101, 0, m, 14, 0);
    assert_int_equal(tcp.streams, 0);
    assert_int_equal(tcp.lost, 2);

    segment(40000, 100, SYN, NULL, 0, 0);
    segment(40000, 101, 0, m, 1, 0);
    segment(40000, 102, 0, m + 1, 1, 0);
    assert_int_equal(tcp.lost, 3);
    assert_int_equal(got.messages, 3);
    assert_int_equal(tcp.held, 0);

    pds_tcp_free(&tcp);
}


static void
test_tcp_malformed(void **state)
{
    size_t    len;
    uint8_t   *copy;
    pds_ip_t  ip;

    (void) state;

    tcp_init(16, 1 << 20);
    put_tcp(put_ip4(packet, PDS_TCP, 1, 0, 20), 1, SYN);

    for (len = 0; len < 20; len++) {
        put16(packet + 2, 20 + (unsigned) len);
        copy = malloc(20 + len);
        memcpy(copy, packet, 20 + len);
        assert_int_equal(pds_ip_read(&ip, copy, 20 + len), 0);
        assert_int_equal(pds_tcp_add(&tcp, &ip, 0), -1);
        free(copy);
    }

    put16(packet + 2, 40);

    packet[32] = 0x40;
    assert_int_equal(pds_ip_read(&ip, packet, 40), 0);
    assert_int_equal(pds_tcp_add(&tcp, &ip, 0), -1);

    packet[32] = 0x60;
    assert_int_equal(pds_tcp_add(&tcp, &ip, 0), -1);

    packet[32] = 0x50;
    assert_int_equal(pds_tcp_add(&tcp, &ip, 0), 0);
    assert_int_equal(tcp.streams, 1);

    /* what the capture has not all of ends the stream */

    put16(packet + 2, 60);
    packet[33] = 0;
    assert_int_equal(pds_ip_read(&ip, packet, 50), 0);
    assert_int_equal(pds_tcp_add(&tcp, &ip, 0), 0);
    assert_int_equal(tcp.streams, 0);
    assert_int_equal(tcp.lost, 1);

    pds_tcp_free(&tcp);
}


static void
test_tcp_limits(void **state)
{
    size_t    bytes;
    unsigned  i;

    (void) state;

    fill();

    /* streams: the one that was silent longest goes */

    tcp_init(4, 1 << 20);

    for (i = 0; i < 4; i++) {
        segment(40000 + i, 100, SYN, NULL, 0, i);
    }

    segment(40000, 101, 0, "\0\014", 2, 10);
    segment(40004, 100, SYN, NULL, 0, 11);
    assert_int_equal(tcp.streams, 4);

    segment(40001, 101, 0, content, 14, 12);
    assert_int_equal(tcp.unknown, 1);
    segment(40000, 103, 0, content, 12, 12);
    assert_int_equal(got.messages, 1);

    /* time */

    pds_tcp_expire(&tcp, 300 * SECOND + 3);
    assert_int_equal(tcp.streams, 3);
    pds_tcp_expire(&tcp, 301 * SECOND);
    assert_int_equal(tcp.streams, 0);
    assert_int_equal(tcp.held, 0);

    /* bytes of messages begun: what arrived, not what was claimed */

    tcp_init(100, 65536);

    for (i = 0; i < 80; i++) {
        segment(40000 + i, 100, SYN, NULL, 0, i);
        segment(40000 + i, 101, 0, "\377\377", 2, i);
        segment(40000 + i, 103, 0, content, 100, i);
        assert_true(tcp.held <= 65536);
    }

    assert_int_equal(tcp.streams, 80);

    for (i = 0; i < 80; i++) {
        segment(40000 + i, 203, 0, content, 20000, i);
        assert_true(tcp.held <= 65536);
    }

    assert_true(tcp.streams < 80);
    assert_true(tcp.lost != 0);
    pds_tcp_free(&tcp);
    assert_int_equal(tcp.held, 0);

    /* early segments of a stream */

    tcp_init(100, 1 << 20);
    segment(40000, 100, SYN, NULL, 0, 0);
    bytes = tcp.held;

    for (i = 0; i < PDS_TCP_EARLY; i++) {
        segment(40000, 200 + 10 * i, 0, content, 10, 0);
    }

    assert_int_equal(tcp.streams, 1);
    assert_true(tcp.held > bytes);

    /* one that is too far ahead is not kept */

    bytes = tcp.held;
    segment(40000, 101 + PDS_TCP_AHEAD + 1, 0, content, 10, 0);
    assert_int_equal(tcp.held, bytes);

    segment(40000, 190, 0, content, 10, 0);
    assert_int_equal(tcp.streams, 0);
    assert_int_equal(tcp.lost, 1);
    assert_int_equal(tcp.held, 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_fragments_wrong),
        cmocka_unit_test(test_fragments_limits),
        cmocka_unit_test(test_tcp_splits),
        cmocka_unit_test(test_tcp_disorder),
        cmocka_unit_test(test_tcp_unknown),
        cmocka_unit_test(test_tcp_malformed),
        cmocka_unit_test(test_tcp_limits),
    };

    return cmocka_run_group_tests_name("pdns sensor: reassembly", tests, NULL,
                                       NULL);
}

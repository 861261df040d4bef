
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The passive DNS sensor, from packets, messages or dnstap to lines.  Whatever
 * comes in, a line has its nine fields and nothing that could be taken for
 * the end of one; memory stays within its limits; and the counts of all lines
 * are what was seen.
 *
 * The first byte chooses what the pieces are (see piece_t), the second how the
 * link layer is, or how dnstap is cut up.  A piece: what the time goes on by,
 * its length in two bytes, its bytes.
 */


#include <stdlib.h>
#include <string.h>

#include "../unit/pdns_sensor.h"
#include "../../sensor/pdns/pds_frames.h"
#include "../../sensor/pdns/pds_line.h"
#include "../../sensor/pdns/pds_sensor.h"


#define LIMIT    65536
#define SERVER   53

#define LINE_LARGEST  1048576


typedef enum {
    PACKETS = 0,
    MESSAGES,                          /* in UDP, after a header of ours */
    SEGMENTS,                          /* of TCP, the same */
    DNSTAP,                            /* the content of frames */
    STREAM,                            /* dnstap with its frames */
    KINDS
} kind_t;


typedef struct {
    pds_sensor_t  *sensor;
    int64_t        now;
    uint64_t       counted;
} run_t;


static void
require(int truth)
{
    if (!truth) {
        abort();
    }
}


static void
line(void *data, const char *p, size_t len)
{
    run_t       *run;
    size_t       i, fields;
    uint64_t     count;
    const char  *last;

    run = data;
    require(len > 0 && len <= run->sensor->conf->line_max);
    require(p[len - 1] == '\n');

    fields = 1;
    last = p;

    for (i = 0; i < len - 1; i++) {
        require(p[i] >= ' ' && p[i] <= '~');

        if (p[i] == '|') {
            require(p[i + 1] == '|');
            require(&p[i] != last || fields == 1);

            fields++;
            last = &p[i + 2];
            i++;
        }
    }

    require(fields == 9);
    count = strtoull(last, NULL, 10);
    require(count != 0);
    run->counted += count;
}


static void
frame(void *data, const uint8_t *p, size_t len)
{
    run_t  *run;

    run = data;
    pds_sensor_frame(run->sensor, run->now, p, len);
}


static void
piece(run_t *run, kind_t kind, pds_link_t link, uint32_t *seq,
    const uint8_t *p, size_t len)
{
    size_t    head;
    uint8_t  *packet;

    packet = malloc(64 + len);
    require(packet != NULL);
    head = 0;

    switch (kind) {

    case MESSAGES:
        head = (size_t) (put_udp(put_ip4(packet, PDS_UDP, 1, 0, 8 + len),
                                 SERVER, 4000, len) - packet);
        link = PDS_LINK_RAW;
        break;

    case SEGMENTS:
        head = (size_t) (put_tcp(put_ip4(packet, PDS_TCP, 1, 0, 20 + len),
                                 *seq, *seq == 0 ? 2 : 0) - packet);
        *seq += (uint32_t) len + (*seq == 0);
        link = PDS_LINK_RAW;
        break;

    default:
        break;
    }

    memcpy(packet + head, p, len);

    /* no more of it than there is */

    packet = realloc(packet, head + len == 0 ? 1 : head + len);
    require(packet != NULL);

    if (kind == DNSTAP) {
        frame(run, packet, len);

    } else {
        pds_sensor_packet(run->sensor, link, run->now, packet, head + len);
    }

    free(packet);
}


static void
stream(run_t *run, size_t size, const uint8_t *p, size_t len)
{
    int            rc;
    size_t         n;
    uint8_t       *copy;
    pds_frames_t   f;

    pds_frames_init(&f);
    f.frame = frame;
    f.data = run;

    for (rc = 0; rc == 0 && len != 0; p += n, len -= n) {
        n = (len < size) ? len : size;

        copy = malloc(n);
        require(copy != NULL);
        memcpy(copy, p, n);
        rc = pds_frames_add(&f, copy, n);
        free(copy);

        require(f.reply_len <= sizeof(f.reply));
        f.reply_len = 0;
    }

    pds_frames_free(&f);
}


/* One sensor for all inputs: creating it takes longer than most of them. */

static pds_sensor_t *
sensor(pds_conf_t *conf)
{
    static pds_key_t      key;
    static pds_sensor_t  *s;

    if (s != NULL) {
        return s;
    }

    conf->ports = 1;
    conf->port[0] = SERVER;
    conf->rcodes = 0xffff;
    conf->line_max = LINE_LARGEST;
    conf->cache = PDS_CACHE_MIN;
    conf->frag = LIMIT;
    conf->tcp = LIMIT;
    conf->period = 10 * 1000000;
    conf->expiry = 20 * 1000000;

    s = pds_sensor_create(conf, &key);
    require(s != NULL);
    s->line = line;

    return s;
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t size)
{
    run_t               run;
    size_t              len;
    kind_t              kind;
    uint8_t             how;
    uint32_t            seq;
    pds_stats_t         before;
    pds_sensor_t       *s;
    static int64_t      now = (int64_t) 1700000000 * 1000000;
    static pds_conf_t   conf;

    if (size < 2) {
        return 0;
    }

    kind = p[0] % KINDS;
    how = p[1];
    p += 2;
    size -= 2;

    s = sensor(&conf);
    s->data = &run;
    before = s->stats;

    conf.client_v4 = how % 33;
    conf.client_v6 = how % 129;
    conf.line_max = (how & 0x80) ? LINE_LARGEST : PDS_LINE_MIN;

    run.sensor = s;
    run.now = now;
    run.counted = 0;
    seq = 0;

    if (kind == STREAM) {
        stream(&run, how == 0 ? size + 1 : how, p, size);
        size = 0;
    }

    while (size >= 3) {
        run.now += (int64_t) p[0] * p[0] * 1000;
        len = (size_t) p[1] << 8 | p[2];
        p += 3;
        size -= 3;

        if (len > size) {
            len = size;
        }

        pds_sensor_clock(s, run.now);
        piece(&run, kind, how % PDS_LINKS, &seq, p, len);

        require(s->frag.held <= LIMIT);
        require(s->tcp.held <= LIMIT);

        /* one entry may be as large as all of it */

        require(s->cache.held <= PDS_CACHE_MIN || s->cache.entries == 1);

        p += len;
        size -= len;
    }

    pds_sensor_flush(s);

    if (s->stats.too_long == before.too_long) {
        require(run.counted == s->stats.records - before.records);
    }

    /* a day later nothing of it is left */

    now = run.now + (int64_t) 86400 * 1000000;
    pds_sensor_clock(s, now);

    require(s->cache.entries == 0);
    require(s->frag.held == 0);
    require(s->tcp.held == 0);

    return 0;
}

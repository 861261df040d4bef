
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdlib.h>
#include <string.h>

#include "pds_bytes.h"
#include "pds_dnstap.h"
#include "pds_line.h"
#include "pds_sensor.h"


#define PDS_UDP_HEADER    8

/* RFC 8200: a minute; Linux: half of it */
#define PDS_FRAG_TIMEOUT  30000000
#define PDS_DATAGRAMS     4096

/* resolvers keep connections open for less */
#define PDS_TCP_TIMEOUT   300000000
#define PDS_STREAMS       65536


static void pds_sensor_udp(pds_sensor_t *s, const pds_ip_t *ip);
static void pds_sensor_tcp(pds_sensor_t *s, const pds_ip_t *ip);
static void pds_sensor_segments(void *data, const pds_ip_t *ip,
    const uint8_t *p, size_t len);
static void pds_sensor_message(pds_sensor_t *s, const pds_addr_t *server,
    const pds_addr_t *client, const uint8_t *p, size_t len);
static int pds_sensor_port(const pds_sensor_t *s, const uint8_t *p);
static void pds_sensor_record(void *data, const pds_record_t *r);
static void pds_sensor_print(void *data, const pds_sighting_t *sighting);


pds_sensor_t *
pds_sensor_create(const pds_conf_t *conf, const pds_key_t *key)
{
    pds_sensor_t  *s;

    s = calloc(1, sizeof(pds_sensor_t));

    if (s == NULL) {
        return NULL;
    }

    s->conf = conf;
    s->text = malloc(conf->line_max);
    s->print = pds_print_create();

    if (pds_cache_init(&s->cache, key, conf->cache, conf->period,
                       conf->expiry)
        != 0
        || s->text == NULL || s->print == NULL)
    {
        pds_sensor_destroy(s);
        return NULL;
    }

    pds_frag_init(&s->frag, key, PDS_DATAGRAMS, conf->frag, PDS_FRAG_TIMEOUT);
    pds_tcp_init(&s->tcp, key, PDS_STREAMS, conf->tcp, PDS_TCP_TIMEOUT);

    s->tcp.message = pds_sensor_segments;
    s->tcp.data = s;
    s->message.record = pds_sensor_record;
    s->message.data = s;
    s->cache.print = pds_sensor_print;
    s->cache.data = s;

    return s;
}


void
pds_sensor_destroy(pds_sensor_t *s)
{
    pds_frag_free(&s->frag);
    pds_tcp_free(&s->tcp);
    pds_cache_free(&s->cache);

    if (s->print != NULL) {
        pds_print_destroy(s->print);
    }

    free(s->text);
    free(s);
}


void
pds_sensor_packet(pds_sensor_t *s, pds_link_t link, int64_t when,
    const uint8_t *p, size_t len)
{
    pds_ip_t  ip;

    s->stats.packets++;
    s->when = when;

    len = pds_link_ip(link, &p, len);

    if (len == 0) {
        s->stats.not_ip++;
        return;
    }

    if (pds_ip_read(&ip, p, len) != 0) {
        s->stats.malformed++;
        return;
    }

    if (ip.fragment) {
        s->stats.fragments++;

        if (!pds_frag_add(&s->frag, &ip, when)) {
            return;
        }

        if (pds_ip_whole(&ip) != 0) {
            s->stats.malformed++;
            return;
        }
    }

    switch (ip.proto) {

    case PDS_UDP:
        pds_sensor_udp(s, &ip);
        break;

    case PDS_TCP:
        pds_sensor_tcp(s, &ip);
    }
}


int64_t
pds_sensor_frame(pds_sensor_t *s, int64_t when, const uint8_t *p, size_t len)
{
    pds_dnstap_t  d;

    s->stats.frames++;

    switch (pds_dnstap_read(&d, p, len)) {

    case 1:
        s->when = (d.time != 0) ? d.time : when;
        pds_sensor_message(s, &d.server, &d.client, d.message, d.len);
        return s->when;

    case -1:
        s->stats.bad_frames++;
    }

    return when;
}


void
pds_sensor_clock(pds_sensor_t *s, int64_t now)
{
    pds_frag_expire(&s->frag, now);
    pds_tcp_expire(&s->tcp, now);
    pds_cache_clock(&s->cache, now);
}


void
pds_sensor_flush(pds_sensor_t *s)
{
    pds_cache_flush(&s->cache);
}


static void
pds_sensor_udp(pds_sensor_t *s, const pds_ip_t *ip)
{
    size_t  len;

    if (ip->len < PDS_UDP_HEADER) {
        s->stats.malformed++;
        return;
    }

    if (!pds_sensor_port(s, ip->data)) {
        return;
    }

    len = pds_get16(ip->data + 4);

    if (ip->cut) {
        s->stats.cut++;
        return;
    }

    if (len < PDS_UDP_HEADER || len > ip->len) {
        s->stats.malformed++;
        return;
    }

    pds_sensor_message(s, &ip->src, &ip->dst, ip->data + PDS_UDP_HEADER,
                       len - PDS_UDP_HEADER);
}


static void
pds_sensor_tcp(pds_sensor_t *s, const pds_ip_t *ip)
{
    if (ip->len < 2 || !pds_sensor_port(s, ip->data)) {
        return;
    }

    s->stats.cut += ip->cut;

    if (pds_tcp_add(&s->tcp, ip, s->when) != 0) {
        s->stats.malformed++;
    }
}


static void
pds_sensor_segments(void *data, const pds_ip_t *ip, const uint8_t *p,
    size_t len)
{
    pds_sensor_message(data, &ip->src, &ip->dst, p, len);
}


static void
pds_sensor_message(pds_sensor_t *s, const pds_addr_t *server,
    const pds_addr_t *client, const uint8_t *p, size_t len)
{
    s->stats.messages++;

    s->server = *server;
    s->client = *client;
    pds_addr_mask(&s->client, s->conf->client_v4, s->conf->client_v6);

    switch (pds_message_read(&s->message, p, len)) {

    case PDS_MESSAGE_ANSWER:
        break;

    case PDS_MESSAGE_MALFORMED:
        s->stats.bad_messages++;
        break;

    case PDS_MESSAGE_TRUNCATED:
        s->stats.truncated++;
        break;

    case PDS_MESSAGE_QUERY:
    case PDS_MESSAGE_OTHER:
        s->stats.other_messages++;
    }
}


/* The source port: what servers send. */

static int
pds_sensor_port(const pds_sensor_t *s, const uint8_t *p)
{
    unsigned  i, port;

    port = pds_get16(p);

    for (i = 0; i < s->conf->ports; i++) {
        if (s->conf->port[i] == port) {
            return 1;
        }
    }

    return 0;
}


static void
pds_sensor_record(void *data, const pds_record_t *r)
{
    pds_sensor_t    *s;
    pds_sighting_t   sighting;

    s = data;

    if (s->conf->exclude[r->type / 8] & 1 << r->type % 8) {
        s->stats.excluded++;
        return;
    }

    if (r->rcode != 0 && !(s->conf->rcodes & 1u << r->rcode)) {
        return;
    }

    s->stats.records++;

    sighting.record = *r;
    sighting.last = s->when;
    sighting.count = 1;
    sighting.client = s->client;
    sighting.server = s->server;

    pds_cache_add(&s->cache, &sighting);
}


static void
pds_sensor_print(void *data, const pds_sighting_t *sighting)
{
    size_t         len;
    pds_sensor_t  *s;

    s = data;
    len = pds_line(s->print, s->text, s->conf->line_max, sighting);

    if (len == 0) {
        s->stats.too_long++;
        return;
    }

    s->stats.lines++;
    s->line(s->data, s->text, len);
}

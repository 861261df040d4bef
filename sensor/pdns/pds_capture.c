
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <string.h>

#include "pds_capture.h"
#include "pds_log.h"
#include "pds_signal.h"


#define PDS_SNAPLEN       262144
#define PDS_BATCH         1000         /* packets, then others have a turn */
#define PDS_FILTER        2048

/* the last second of the year 9999 */
#define PDS_TIME_MAX      253402300799


static int pds_capture_configure(pds_capture_t *c, const pds_options_t *o);
static int pds_capture_link(pds_capture_t *c);
static int pds_capture_filter(pds_capture_t *c, const pds_options_t *o);
static int pds_capture_install(pds_capture_t *c, const char *filter);
static void pds_capture_expression(char *out, const pds_conf_t *conf);
static void pds_capture_packet(u_char *data, const struct pcap_pkthdr *h,
    const u_char *p);
static int64_t pds_capture_time(const struct pcap_pkthdr *h);


static const struct {
    int         dlt;
    pds_link_t  link;
} pds_capture_links[] = {
    { DLT_EN10MB, PDS_LINK_ETHERNET },
    { DLT_RAW, PDS_LINK_RAW },
    { DLT_IPV4, PDS_LINK_RAW },
    { DLT_IPV6, PDS_LINK_RAW },
    { DLT_LINUX_SLL, PDS_LINK_SLL },
    { DLT_LINUX_SLL2, PDS_LINK_SLL2 },
    { DLT_NULL, PDS_LINK_NULL },
    { DLT_LOOP, PDS_LINK_LOOP }
};


int
pds_capture_interface(pds_capture_t *c, const char *name,
    const pds_options_t *o)
{
    char  error[PCAP_ERRBUF_SIZE];

    memset(c, 0, sizeof(pds_capture_t));

    c->name = name;
    c->live = 1;
    error[0] = '\0';
    c->pcap = pcap_create(name, error);

    if (c->pcap == NULL) {
        pds_log("%s: %s", name, error);
        return -1;
    }

    if (pds_capture_configure(c, o) != 0 || pds_capture_link(c) != 0
        || pds_capture_filter(c, o) != 0)
    {
        pds_capture_close(c);
        return -1;
    }

    if (pcap_setnonblock(c->pcap, 1, error) != 0) {
        pds_log("%s: %s", name, error);
        pds_capture_close(c);
        return -1;
    }

    c->fd = pcap_get_selectable_fd(c->pcap);

    return 0;
}


int
pds_capture_file(pds_capture_t *c, const char *name, FILE *file,
    const pds_options_t *o)
{
    char  error[PCAP_ERRBUF_SIZE];

    memset(c, 0, sizeof(pds_capture_t));

    c->name = name;
    c->fd = -1;
    c->pcap = pcap_fopen_offline(file, error);

    if (c->pcap == NULL) {
        if (!pds_signal_stop) {
            pds_log("%s: %s", name, error);
        }

        fclose(file);
        return -1;
    }

    if (pds_capture_link(c) != 0
        || (o->filter != NULL && pds_capture_install(c, o->filter) != 0))
    {
        pds_capture_close(c);
        return -1;
    }

    return 0;
}


int
pds_capture_read(pds_capture_t *c, pds_sensor_t *sensor)
{
    int  n;

    c->sensor = sensor;
    n = pcap_dispatch(c->pcap, PDS_BATCH, pds_capture_packet, (u_char *) c);

    if (n >= 0) {
        return n;
    }

    if (!c->live && pds_signal_stop) {
        return 0;                      /* the loop, or a read, was ended */
    }

    pds_log("%s: %s", c->name, pcap_geterr(c->pcap));

    return -1;
}


void
pds_capture_stats(const pds_capture_t *c, uint64_t *received,
    uint64_t *dropped)
{
    struct pcap_stat  ps;

    *received = 0;
    *dropped = 0;

    if (c->live && pcap_stats(c->pcap, &ps) == 0) {
        *received = ps.ps_recv;
        *dropped = (uint64_t) ps.ps_drop + ps.ps_ifdrop;
    }
}


void
pds_capture_close(pds_capture_t *c)
{
    pcap_close(c->pcap);
    c->pcap = NULL;
}


static int
pds_capture_configure(pds_capture_t *c, const pds_options_t *o)
{
    int          rc;
    const char  *text;

    pcap_set_snaplen(c->pcap, PDS_SNAPLEN);
    pcap_set_promisc(c->pcap, o->promiscuous);
    pcap_set_timeout(c->pcap, PDS_CAPTURE_DELAY);
    pcap_set_buffer_size(c->pcap, o->buffer);

    rc = pcap_activate(c->pcap);
    text = pcap_geterr(c->pcap);

    if (rc != 0) {
        pds_log("%s: %s%s%s", c->name, pcap_statustostr(rc),
                *text != '\0' ? ": " : "", text);
    }

    /* positive: a warning, such as that "any" cannot be promiscuous */

    return rc < 0 ? -1 : 0;
}


static int
pds_capture_link(pds_capture_t *c)
{
    int          dlt;
    size_t       i;
    const char  *name;

    dlt = pcap_datalink(c->pcap);

    for (i = 0; i < sizeof(pds_capture_links) / sizeof(pds_capture_links[0]);
         i++)
    {
        if (pds_capture_links[i].dlt == dlt) {
            c->link = pds_capture_links[i].link;
            return 0;
        }
    }

    name = pcap_datalink_val_to_name(dlt);
    pds_log("%s: link type %d (%s) is not supported", c->name, dlt,
            name != NULL ? name : "unknown");

    return -1;
}


static int
pds_capture_filter(pds_capture_t *c, const pds_options_t *o)
{
    int                 rc;
    char                plain[PDS_FILTER], tagged[4 * PDS_FILTER];
    struct bpf_program  program;

    if (o->filter != NULL) {
        return *o->filter == '\0' ? 0 : pds_capture_install(c, o->filter);
    }

    /* "vlan" moves all that comes behind it by one tag */

    pds_capture_expression(plain, &o->conf);
    snprintf(tagged, sizeof(tagged), "(%s) or (vlan and ((%s) or (vlan and "
             "(%s))))", plain, plain, plain);

    rc = pcap_compile(c->pcap, &program, tagged, 1, PCAP_NETMASK_UNKNOWN);

    if (rc == 0) {
        pcap_freecode(&program);
        return pds_capture_install(c, tagged);
    }

    /* link types without VLAN */

    return pds_capture_install(c, plain);
}


static int
pds_capture_install(pds_capture_t *c, const char *filter)
{
    int                 rc;
    struct bpf_program  program;

    if (pcap_compile(c->pcap, &program, filter, 1, PCAP_NETMASK_UNKNOWN)
        != 0)
    {
        pds_log("%s: filter: %s", c->name, pcap_geterr(c->pcap));
        return -1;
    }

    rc = pcap_setfilter(c->pcap, &program);
    pcap_freecode(&program);

    if (rc != 0) {
        pds_log("%s: filter: %s", c->name, pcap_geterr(c->pcap));
        return -1;
    }

    return 0;
}


/*
 * What servers send, and what may turn out to be that: later fragments, which
 * have no ports, and IPv6 packets whose ports are behind other headers.
 */

static void
pds_capture_expression(char *out, const pds_conf_t *conf)
{
    int       n;
    unsigned  i;

    n = snprintf(out, PDS_FILTER, "ip[6:2] & 0x1fff != 0 or ip6 proto 0 or "
                 "ip6 proto 43 or ip6 proto 44 or ip6 proto 51 or "
                 "ip6 proto 60");

    for (i = 0; i < conf->ports; i++) {
        n += snprintf(out + n, PDS_FILTER - (size_t) n, " or src port %u",
                      conf->port[i]);
    }
}


static void
pds_capture_packet(u_char *data, const struct pcap_pkthdr *h, const u_char *p)
{
    int64_t         when;
    pds_capture_t  *c;

    c = (pds_capture_t *) data;
    when = pds_capture_time(h);

    if (!c->live) {
        pds_sensor_clock(c->sensor, when);
    }

    pds_sensor_packet(c->sensor, c->link, when, p, h->caplen);

    if (pds_signal_stop && !c->live) {
        pcap_breakloop(c->pcap);
    }
}


static int64_t
pds_capture_time(const struct pcap_pkthdr *h)
{
    if (h->ts.tv_sec < 0 || h->ts.tv_sec > PDS_TIME_MAX) {
        return 0;
    }

    return (int64_t) h->ts.tv_sec * 1000000
           + (int64_t) ((uint64_t) h->ts.tv_usec % 1000000);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pds_line.h"
#include "pds_log.h"
#include "pds_options.h"
#include "pds_type.h"


#define PDS_FRAGMENTS    256           /* options without a letter */
#define PDS_TCP_MEMORY   257

#define PDS_MEGABYTE     1048576
#define PDS_MEMORY_MIN   65536
#define PDS_LINE_LARGEST 1048576


static int pds_options_set(pds_options_t *o, int c, const char *value);
static int pds_options_source(const char **list, unsigned *n, unsigned max,
    const char *value);
static int pds_options_check(const pds_options_t *o);
static int pds_options_number(const char *text, const char **end,
    uint64_t *value);
static int pds_options_unit(const char *text, const char *units,
    const uint64_t *factors, uint64_t *value);
static int pds_options_size(const char *text, uint64_t min, uint64_t max,
    size_t *value);
static int pds_options_time(const char *text, int64_t *value);
static int pds_options_ports(pds_conf_t *conf, const char *text);
static int pds_options_bits(pds_conf_t *conf, const char *text);
static int pds_options_rcodes(pds_conf_t *conf, const char *text);
static int pds_options_types(pds_conf_t *conf, const char *text, int include);
static void pds_options_usage(FILE *out);


static const struct option  pds_options[] = {
    { "interface", required_argument, NULL, 'i' },
    { "read", required_argument, NULL, 'r' },
    { "dnstap", required_argument, NULL, 'd' },
    { "group", required_argument, NULL, 'g' },
    { "user", required_argument, NULL, 'u' },
    { "port", required_argument, NULL, 'p' },
    { "filter", required_argument, NULL, 'f' },
    { "no-promiscuous", no_argument, NULL, 'n' },
    { "buffer", required_argument, NULL, 'B' },
    { "period", required_argument, NULL, 'P' },
    { "expiry", required_argument, NULL, 'C' },
    { "cache", required_argument, NULL, 'M' },
    { "fragments", required_argument, NULL, PDS_FRAGMENTS },
    { "tcp", required_argument, NULL, PDS_TCP_MEMORY },
    { "rcodes", required_argument, NULL, 'x' },
    { "client-bits", required_argument, NULL, 'm' },
    { "types", required_argument, NULL, 't' },
    { "exclude", required_argument, NULL, 'T' },
    { "line", required_argument, NULL, 'L' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 }
};


int
pds_options_parse(pds_options_t *o, int argc, char **argv)
{
    int  c;

    memset(o, 0, sizeof(pds_options_t));

    o->promiscuous = 1;
    o->buffer = 16 * PDS_MEGABYTE;

    o->conf.ports = 1;
    o->conf.port[0] = 53;
    o->conf.line_max = 10000;
    o->conf.cache = 64 * PDS_MEGABYTE;
    o->conf.frag = 4 * PDS_MEGABYTE;
    o->conf.tcp = 32 * PDS_MEGABYTE;
    o->conf.period = (int64_t) 86400 * 1000000;
    o->conf.expiry = (int64_t) 43200 * 1000000;

    for ( ;; ) {
        c = getopt_long(argc, argv, "i:r:d:g:u:p:f:nB:P:C:M:x:m:t:T:L:hV",
                        pds_options, NULL);

        switch (c) {

        case -1:
            if (optind < argc) {
                pds_log("unexpected argument \"%s\"", argv[optind]);
                return PDS_EXIT_CONFIG;
            }

            return pds_options_check(o);

        case 'h':
            pds_options_usage(stdout);
            return PDS_EXIT_OK;

        case 'V':
            printf("d4-pdns (ngx_d4) %s\n", PDS_VERSION);
            return PDS_EXIT_OK;

        case '?':
            fprintf(stderr, "d4-pdns: see d4-pdns -h\n");
            return PDS_EXIT_CONFIG;
        }

        if (pds_options_set(o, c, optarg) != 0) {
            if (c < 256) {
                pds_log("-%c: \"%s\" is no value for it", c, optarg);

            } else {
                pds_log("--%s: \"%s\" is no value for it",
                        c == PDS_FRAGMENTS ? "fragments" : "tcp", optarg);
            }

            return PDS_EXIT_CONFIG;
        }
    }
}


static int
pds_options_set(pds_options_t *o, int c, const char *value)
{
    int     rc;
    size_t  size;

    switch (c) {

    case 'i':
        return pds_options_source(o->interface, &o->interfaces,
                                  PDS_INTERFACES, value);

    case 'r':
        return pds_options_source(o->file, &o->files, PDS_FILES, value);

    case 'd':
        o->dnstap = value;
        return 0;

    case 'g':
        o->group = value;
        return 0;

    case 'u':
        o->user = value;
        return 0;

    case 'p':
        return pds_options_ports(&o->conf, value);

    case 'f':
        o->filter = value;
        return 0;

    case 'n':
        o->promiscuous = 0;
        return 0;

    case 'B':
        rc = pds_options_size(value, PDS_MEMORY_MIN, INT_MAX, &size);
        o->buffer = (int) size;
        return rc;

    case 'P':
        return pds_options_time(value, &o->conf.period);

    case 'C':
        return pds_options_time(value, &o->conf.expiry);

    case 'M':
        return pds_options_size(value, PDS_CACHE_MIN, SIZE_MAX / 2,
                                &o->conf.cache);

    case PDS_FRAGMENTS:
        return pds_options_size(value, PDS_MEMORY_MIN, SIZE_MAX / 2,
                                &o->conf.frag);

    case PDS_TCP_MEMORY:
        return pds_options_size(value, PDS_MEMORY_MIN, SIZE_MAX / 2,
                                &o->conf.tcp);

    case 'x':
        return pds_options_rcodes(&o->conf, value);

    case 'm':
        return pds_options_bits(&o->conf, value);

    case 't':
        return pds_options_types(&o->conf, value, 1);

    case 'T':
        return pds_options_types(&o->conf, value, 0);

    case 'L':
        return pds_options_size(value, PDS_LINE_MIN, PDS_LINE_LARGEST,
                                &o->conf.line_max);
    }

    return -1;
}


static int
pds_options_source(const char **list, unsigned *n, unsigned max,
    const char *value)
{
    if (*n == max || *value == '\0') {
        return -1;
    }

    list[(*n)++] = value;

    return 0;
}


static int
pds_options_check(const pds_options_t *o)
{
    if (o->interfaces == 0 && o->files == 0 && o->dnstap == NULL) {
        pds_options_usage(stderr);
        return PDS_EXIT_CONFIG;
    }

    if (o->files != 0 && (o->interfaces != 0 || o->dnstap != NULL)) {
        pds_log("-r cannot go with -i or -d");
        return PDS_EXIT_CONFIG;
    }

    if (o->group != NULL && o->dnstap == NULL) {
        pds_log("-g is of use with -d only");
        return PDS_EXIT_CONFIG;
    }

    return -1;
}


static int
pds_options_number(const char *text, const char **end, uint64_t *value)
{
    uint64_t     n;
    const char  *p;

    n = 0;

    for (p = text; *p >= '0' && *p <= '9'; p++) {
        if (n > (UINT64_MAX - 9) / 10) {
            return -1;
        }

        n = n * 10 + (uint64_t) (*p - '0');
    }

    *value = n;
    *end = p;

    return p == text ? -1 : 0;
}


/* A number, and one of the letters of units for a factor. */

static int
pds_options_unit(const char *text, const char *units, const uint64_t *factors,
    uint64_t *value)
{
    uint64_t     factor;
    const char  *end, *unit;

    if (pds_options_number(text, &end, value) != 0) {
        return -1;
    }

    if (*end == '\0') {
        return 0;
    }

    unit = strchr(units, *end | 0x20);

    if (unit == NULL || end[1] != '\0') {
        return -1;
    }

    factor = factors[unit - units];

    if (*value > UINT64_MAX / factor) {
        return -1;
    }

    *value *= factor;

    return 0;
}


static int
pds_options_size(const char *text, uint64_t min, uint64_t max, size_t *value)
{
    uint64_t  n;

    static const uint64_t  factors[] = { 1024, 1048576, 1073741824 };

    if (pds_options_unit(text, "kmg", factors, &n) != 0 || n < min || n > max)
    {
        *value = 0;
        return -1;
    }

    *value = (size_t) n;

    return 0;
}


/* Seconds up to some hundred years, so that adding them overflows nothing. */

static int
pds_options_time(const char *text, int64_t *value)
{
    uint64_t  n;

    static const uint64_t  factors[] = { 1, 60, 3600, 86400 };

    if (pds_options_unit(text, "smhd", factors, &n) != 0 || n > UINT32_MAX) {
        return -1;
    }

    *value = (int64_t) n * 1000000;

    return 0;
}


static int
pds_options_ports(pds_conf_t *conf, const char *text)
{
    uint64_t     n;
    const char  *end;

    conf->ports = 0;

    for ( ;; text = end + 1) {
        if (pds_options_number(text, &end, &n) != 0 || n == 0 || n > 65535
            || conf->ports == PDS_PORTS)
        {
            return -1;
        }

        conf->port[conf->ports++] = (uint16_t) n;

        if (*end == '\0') {
            return 0;
        }

        if (*end != ',') {
            return -1;
        }
    }
}


/* V4, or V4,V6 */

static int
pds_options_bits(pds_conf_t *conf, const char *text)
{
    uint64_t     v4, v6;
    const char  *end;

    if (pds_options_number(text, &end, &v4) != 0 || v4 > 32) {
        return -1;
    }

    v6 = 0;

    if (*end == ',' && pds_options_number(end + 1, &end, &v6) != 0) {
        return -1;
    }

    if (*end != '\0' || v6 > 128) {
        return -1;
    }

    conf->client_v4 = (unsigned) v4;
    conf->client_v6 = (unsigned) v6;

    return 0;
}


static int
pds_options_rcodes(pds_conf_t *conf, const char *text)
{
    int     n;
    size_t  len;

    if (strcmp(text, "all") == 0) {
        conf->rcodes = 0xffff;
        return 0;
    }

    for ( ;; ) {
        len = strcspn(text, ",");
        n = pds_rcode_number(text, len);

        if (n == -1) {
            return -1;
        }

        conf->rcodes |= 1u << n;
        text += len;

        if (*text++ == '\0') {
            return 0;
        }
    }
}


static int
pds_options_types(pds_conf_t *conf, const char *text, int include)
{
    int     n;
    size_t  len;

    if (include) {
        memset(conf->exclude, 0xff, sizeof(conf->exclude));
    }

    for ( ;; ) {
        len = strcspn(text, ",");
        n = pds_type_number(text, len);

        if (n == -1) {
            return -1;
        }

        if (include) {
            conf->exclude[n / 8] &= (uint8_t) ~(1 << n % 8);

        } else {
            conf->exclude[n / 8] |= (uint8_t) (1 << n % 8);
        }

        text += len;

        if (*text++ == '\0') {
            return 0;
        }
    }
}


static void
pds_options_usage(FILE *out)
{
    fputs(
"Usage: d4-pdns -i INTERFACE [-i ...] [-d SOCKET] [option ...]\n"
"       d4-pdns -d SOCKET [option ...]\n"
"       d4-pdns -r FILE [-r ...] [option ...]\n"
"\n"
"Writes what DNS servers answer to standard output, in the line format of\n"
"passivedns.\n"
"\n"
"  -i, --interface NAME    capture from it (\"any\": from all)\n"
"  -r, --read FILE         a capture, or dnstap in a file; \"-\": from\n"
"                          standard input\n"
"  -d, --dnstap PATH       socket for a resolver that sends dnstap\n"
"  -g, --group GROUP       who may connect to that socket\n"
"  -u, --user USER         become USER when all is open\n"
"  -p, --port N[,N...]     of DNS servers (53)\n"
"  -f, --filter EXPR       pcap filter (made from the ports)\n"
"  -n, --no-promiscuous\n"
"  -B, --buffer SIZE       of the kernel's for packets (16m)\n"
"  -P, --period TIME       a line again when seen again after TIME (1d)\n"
"  -C, --expiry TIME       forget what was not seen for TIME (12h)\n"
"  -M, --cache SIZE        memory for what was seen (64m)\n"
"      --fragments SIZE    memory for fragments (4m)\n"
"      --tcp SIZE          memory for TCP streams (32m)\n"
"  -x, --rcodes LIST       answers without data to print, too: nxdomain,\n"
"                          servfail, refused, ..., or all\n"
"  -m, --client-bits N[,N] bits of clients' addresses to keep, IPv4 and IPv6\n"
"                          (0,0: none)\n"
"  -t, --types LIST        print these types only: A,AAAA,TYPE65280,...\n"
"  -T, --exclude LIST      do not print these types\n"
"  -L, --line SIZE         longest line (10000)\n"
"  -h, --help, -V, --version\n"
"\n"
"SIZE is a number with k, m or g; TIME one with s, m, h or d.\n", out);
}

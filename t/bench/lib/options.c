/*
 * Copyright (C) The ngx_d4 authors
 */

#define _GNU_SOURCE                    /* program_invocation_short_name */

#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "payload.h"


static void usage(void);


void
die(const char *fmt, ...)
{
    va_list  ap;

    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(2);
}


double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


static void
usage(void)
{
    fprintf(stderr, "usage: %s [--host H] [--port P] [--connections N] "
            "[--payload BYTES]\n"
            "              [--frames TOTAL] [--seed N] [--type N] "
            "[--key KEY] [--plain]\n"
            "              [--lines | --pcap BYTES_OF_A_PACKET]\n"
            "              [--timeout S] [--stay | --idle N [--hold S]]\n",
            program_invocation_short_name);
    exit(2);
}


void
options(options_t *opt, int argc, char **argv)
{
    int             i, k;
    char           *end;
    unsigned long   n;

    const struct {
        const char   *name;
        const char  **text;
        unsigned     *number;
        unsigned      min;
        unsigned      max;             /* 0: takes nothing */
    } table[] = {
        { "--host", &opt->host, NULL, 0, 0 },
        { "--port", &opt->port, NULL, 0, 0 },
        { "--key", &opt->key, NULL, 0, 0 },
        { "--connections", NULL, &opt->connections, 1, 60000 },
        { "--payload", NULL, &opt->payload, 0, 100000000 },
        { "--frames", NULL, &opt->frames, 1, 2000000000 },
        { "--seed", NULL, &opt->seed, 0, 0xffffffff },
        { "--type", NULL, &opt->type, 0, 255 },
        { "--timeout", NULL, &opt->timeout, 1, 86400 },
        { "--hold", NULL, &opt->hold, 0, 86400 },
        { "--idle", NULL, &opt->idle, 1, 60000 },
        { "--pcap", NULL, &opt->pcap, PAYLOAD_PACKET_MIN,
                                      PAYLOAD_PACKET_MAX },
        { "--lines", NULL, &opt->lines, 0, 0 },
        { "--plain", NULL, &opt->plain, 0, 0 },
        { "--stay", NULL, &opt->stay, 0, 0 },
        { NULL, NULL, NULL, 0, 0 }
    };

    memset(opt, 0, sizeof(options_t));

    opt->host = "127.0.0.1";
    opt->port = "4443";
    opt->key = "private key to change";
    opt->connections = 1;
    opt->payload = 1460;
    opt->frames = 1000;
    opt->seed = 1;
    opt->type = D4_TYPE_PASSIVEDNS;
    opt->hold = 5;
    opt->timeout = 120;

    for (i = 1; i < argc; i++) {

        for (k = 0; table[k].name != NULL; k++) {
            if (strcmp(argv[i], table[k].name) == 0) {
                break;
            }
        }

        if (table[k].number != NULL && table[k].max == 0) {
            *table[k].number = 1;
            continue;
        }

        if (table[k].name == NULL || ++i == argc) {
            usage();
        }

        if (table[k].text != NULL) {
            *table[k].text = argv[i];
            continue;
        }

        n = strtoul(argv[i], &end, 10);

        if (end == argv[i] || *end != '\0' || n < table[k].min
            || n > table[k].max)
        {
            die("%s takes a number from %u to %u", table[k].name,
                table[k].min, table[k].max);
        }

        *table[k].number = n;
    }

    if (opt->idle > 0) {
        opt->connections = opt->idle;
        opt->frames = opt->idle;
    }

    if (opt->frames < opt->connections) {
        die("fewer frames than connections");
    }
}


struct addrinfo *
options_address(const options_t *opt)
{
    int               rc;
    struct addrinfo   hints, *address;

    memset(&hints, 0, sizeof(struct addrinfo));
    hints.ai_socktype = SOCK_STREAM;

    rc = getaddrinfo(opt->host, opt->port, &hints, &address);
    if (rc != 0) {
        die("%s: %s", opt->host, gai_strerror(rc));
    }

    return address;
}


void
options_header(const options_t *opt, unsigned number, d4_header_t *h)
{
    unsigned  i;

    memset(h, 0, sizeof(d4_header_t));

    h->version = D4_VERSION;
    h->type = opt->type;
    h->timestamp = time(NULL);
    h->uuid[6] = 0x40;
    h->uuid[8] = 0x80;

    for (i = 0; i < 4; i++) {
        h->uuid[3 - i] = opt->seed >> (8 * i);
        h->uuid[15 - i] = number >> (8 * i);
    }
}

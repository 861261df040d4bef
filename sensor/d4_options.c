
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "d4_log.h"
#include "d4_options.h"


#define D4_QUEUE_MIN  4096


typedef enum {
    D4_OPTION_TEXT = 0,
    D4_OPTION_FLAG,
    D4_OPTION_BOOL,                /* Go's: -x, -x=true, -x=false */
    D4_OPTION_SECONDS,             /* a time; the unit of a bare number */
    D4_OPTION_MILLISECONDS,
    D4_OPTION_RETRY,               /* seconds, or "backoff" */
    D4_OPTION_SIZE,
    D4_OPTION_COUNT,
    D4_OPTION_OVERFLOW,
    D4_OPTION_IGNORED
} d4_option_kind_t;


typedef struct {
    const char        *name;
    d4_option_kind_t   kind;
    size_t             offset;
    char               letter;     /* the same as a letter, 0: none */
    char               alias;      /* of another one: has no variable */
} d4_option_t;


static int d4_option_set(d4_options_t *o, const d4_option_t *option,
    const char *name, const char *value);
static int d4_option_overflow(const char *text, d4_overflow_t *value);
static int d4_option_number(const char *text, const char **end,
    uint64_t *value);
static int d4_option_time(const char *text, uint64_t unit, int64_t *value);
static int d4_option_size(const char *text, uint64_t *value);
static void d4_options_list(struct option *list);
static int d4_options_environment(d4_options_t *o);
static void d4_options_usage(FILE *out);


#define D4_OFFSET(field)  offsetof(d4_options_t, field)


static const d4_option_t  d4_option_list[] = {
    { "config", D4_OPTION_TEXT, D4_OFFSET(config), 'c', 0 },
    { "source", D4_OPTION_TEXT, D4_OFFSET(source), 0, 0 },
    { "destination", D4_OPTION_TEXT, D4_OFFSET(destination), 0, 0 },
    { "ca-file", D4_OPTION_TEXT, D4_OFFSET(ca_file), 0, 0 },
    { "client-cert", D4_OPTION_TEXT, D4_OFFSET(client_cert), 0, 0 },
    { "client-key", D4_OPTION_TEXT, D4_OFFSET(client_key), 0, 0 },
    { "pin", D4_OPTION_TEXT, D4_OFFSET(pin), 0, 0 },
    { "tls-name", D4_OPTION_TEXT, D4_OFFSET(tls_name), 0, 0 },
    { "insecure", D4_OPTION_FLAG, D4_OFFSET(insecure), 'k', 0 },
    { "follow", D4_OPTION_FLAG, D4_OFFSET(follow), 0, 0 },
    { "from-end", D4_OPTION_FLAG, D4_OFFSET(from_end), 0, 0 },
    { "keep-waiting", D4_OPTION_FLAG, D4_OFFSET(keep_waiting), 0, 0 },
    { "eof-frame", D4_OPTION_FLAG, D4_OFFSET(eof_frame), 0, 0 },
    { "restamp", D4_OPTION_FLAG, D4_OFFSET(restamp), 0, 0 },
    { "verbose", D4_OPTION_FLAG, D4_OFFSET(verbose), 'v', 0 },
    { "linger", D4_OPTION_MILLISECONDS, D4_OFFSET(linger), 0, 0 },
    { "settle", D4_OPTION_MILLISECONDS, D4_OFFSET(settle), 0, 0 },
    { "queue", D4_OPTION_SIZE, D4_OFFSET(queue), 0, 0 },
    { "overflow", D4_OPTION_OVERFLOW, D4_OFFSET(overflow), 0, 0 },
    { "rate-bytes", D4_OPTION_SIZE, D4_OFFSET(rate_bytes), 0, 0 },
    { "rate-frames", D4_OPTION_COUNT, D4_OFFSET(rate_frames), 0, 0 },
    { "retry", D4_OPTION_RETRY, D4_OFFSET(retry), 0, 0 },
    { "connect-timeout", D4_OPTION_SECONDS, D4_OFFSET(connect_timeout), 0, 0 },
    { "keepalive", D4_OPTION_SECONDS, D4_OFFSET(keepalive), 0, 0 },
    { "poll", D4_OPTION_MILLISECONDS, D4_OFFSET(poll), 0, 0 },

    /* names of the published Go client */

    { "rt", D4_OPTION_RETRY, D4_OFFSET(retry), 0, 1 },
    { "ct", D4_OPTION_SECONDS, D4_OFFSET(connect_timeout), 0, 1 },
    { "cka", D4_OPTION_SECONDS, D4_OFFSET(keepalive), 0, 1 },
    { "rl", D4_OPTION_MILLISECONDS, D4_OFFSET(poll), 0, 1 },
    { "ce", D4_OPTION_BOOL, D4_OFFSET(tls), 0, 1 },
    { "cc", D4_OPTION_IGNORED, 0, 0, 1 }
};

#define D4_NOPTIONS  (sizeof(d4_option_list) / sizeof(d4_option_list[0]))


int
d4_options_parse(d4_options_t *o, int argc, char **argv)
{
    int                 c, i;
    size_t              n;
    struct option       list[D4_NOPTIONS + 3];
    const d4_option_t  *option;

    memset(o, 0, sizeof(d4_options_t));

    o->queue = 16 * 1024 * 1024;
    o->linger = 200;
    o->settle = 1500;
    o->retry = -1;
    o->connect_timeout = 10000;
    o->keepalive = 30000;
    o->poll = 200;
    o->tls = 1;

    if (d4_options_environment(o) != 0) {
        return D4_EXIT_CONFIG;
    }

    d4_options_list(list);

    for ( ;; ) {
        c = getopt_long_only(argc, argv, "c:kvth", list, &i);

        switch (c) {

        case -1:
            if (optind < argc) {
                d4_log("unexpected argument \"%s\"", argv[optind]);
                return D4_EXIT_CONFIG;
            }

            if (o->config == NULL) {
                d4_options_usage(stderr);
                return D4_EXIT_CONFIG;
            }

            if (o->queue < D4_QUEUE_MIN) {
                d4_log("--queue: %llu bytes are too few, %d at least",
                       (unsigned long long) o->queue, D4_QUEUE_MIN);
                return D4_EXIT_CONFIG;
            }

            return -1;

        case 'h':
            d4_options_usage(stdout);
            return D4_EXIT_OK;

        case 'V':
            printf("d4 (ngx_d4) %s\n", D4_CLIENT_VERSION);
            return D4_EXIT_OK;

        case 't':
            o->check = 1;
            continue;

        case '?':
            fprintf(stderr, "d4: see d4 -h\n");
            return D4_EXIT_CONFIG;
        }

        for (n = 0; n < D4_NOPTIONS; n++) {
            option = &d4_option_list[n];

            if (c == (int) (256 + n)
                || (option->letter != 0 && c == option->letter))
            {
                if (d4_option_set(o, option, option->name, optarg) != 0) {
                    return D4_EXIT_CONFIG;
                }
            }
        }
    }
}


static void
d4_options_list(struct option *list)
{
    size_t               n;
    struct option       *l;
    const d4_option_t   *option;

    memset(list, 0, (D4_NOPTIONS + 3) * sizeof(struct option));

    for (n = 0; n < D4_NOPTIONS; n++) {
        option = &d4_option_list[n];
        l = &list[n];

        l->name = option->name;
        l->val = 256 + n;
        l->has_arg = required_argument;

        if (option->kind == D4_OPTION_FLAG) {
            l->has_arg = no_argument;

        } else if (option->kind == D4_OPTION_BOOL
                   || option->kind == D4_OPTION_IGNORED)
        {
            l->has_arg = optional_argument;
        }
    }

    list[n].name = "help";
    list[n].val = 'h';
    list[n + 1].name = "version";
    list[n + 1].val = 'V';
}


static int
d4_options_environment(d4_options_t *o)
{
    char               *p, name[64];
    size_t              n;
    const char         *value;
    const d4_option_t  *option;

    for (n = 0; n < D4_NOPTIONS; n++) {
        option = &d4_option_list[n];

        if (option->alias) {
            continue;
        }

        snprintf(name, sizeof(name), "D4_%s", option->name);

        for (p = name; *p != '\0'; p++) {
            if (*p >= 'a' && *p <= 'z') {
                *p -= 'a' - 'A';

            } else if (*p == '-') {
                *p = '_';
            }
        }

        value = getenv(name);

        if (value == NULL || *value == '\0') {
            continue;
        }

        if (option->kind == D4_OPTION_FLAG && strcmp(value, "0") == 0) {
            continue;
        }

        if (d4_option_set(o, option, name, value) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
d4_option_set(d4_options_t *o, const d4_option_t *option, const char *name,
    const char *value)
{
    int          rc;
    void        *field;
    const char  *end;

    rc = 0;
    field = (char *) o + option->offset;

    switch (option->kind) {

    case D4_OPTION_TEXT:
        *(const char **) field = value;
        break;

    case D4_OPTION_FLAG:
        *(int *) field = 1;
        break;

    case D4_OPTION_BOOL:
        *(int *) field = 1;

        if (value != NULL && strcmp(value, "true") != 0) {
            *(int *) field = 0;
            rc = strcmp(value, "false") != 0;
        }

        break;

    case D4_OPTION_SECONDS:
        rc = d4_option_time(value, 1000, field);
        break;

    case D4_OPTION_MILLISECONDS:
        rc = d4_option_time(value, 1, field);
        break;

    case D4_OPTION_RETRY:
        if (strcmp(value, "backoff") == 0) {
            *(int64_t *) field = -1;
            break;
        }

        rc = d4_option_time(value, 1000, field);
        break;

    case D4_OPTION_SIZE:
        rc = d4_option_size(value, field);
        break;

    case D4_OPTION_COUNT:
        rc = d4_option_number(value, &end, field);
        rc |= (rc == 0 && *end != '\0');
        break;

    case D4_OPTION_OVERFLOW:
        rc = d4_option_overflow(value, field);
        break;

    case D4_OPTION_IGNORED:
        break;
    }

    if (rc != 0) {
        d4_log("%s: \"%s\" is no valid value", name, value);
        return -1;
    }

    return 0;
}


static int
d4_option_overflow(const char *text, d4_overflow_t *value)
{
    size_t  n;

    static const char  *names[] = { "block", "drop-oldest", "drop-newest" };

    for (n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
        if (strcmp(text, names[n]) == 0) {
            *value = n;
            return 0;
        }
    }

    return -1;
}


static int
d4_option_number(const char *text, const char **end, uint64_t *value)
{
    char                *e;
    unsigned long long   n;

    if (*text < '0' || *text > '9') {
        return -1;
    }

    errno = 0;
    n = strtoull(text, &e, 10);

    if (errno != 0 || n > INT64_MAX / 1000000) {
        return -1;
    }

    *value = n;
    *end = e;

    return 0;
}


static int
d4_option_time(const char *text, uint64_t unit, int64_t *value)
{
    uint64_t     n;
    const char  *end;

    if (d4_option_number(text, &end, &n) != 0) {
        return -1;
    }

    if (strcmp(end, "ms") == 0) {
        unit = 1;

    } else if (strcmp(end, "s") == 0) {
        unit = 1000;

    } else if (strcmp(end, "m") == 0) {
        unit = 60 * 1000;

    } else if (strcmp(end, "h") == 0) {
        unit = 3600 * 1000;

    } else if (*end != '\0') {
        return -1;
    }

    if (n > INT32_MAX / unit) {
        return -1;
    }

    *value = n * unit;

    return 0;
}


static int
d4_option_size(const char *text, uint64_t *value)
{
    unsigned     shift;
    uint64_t     n;
    const char  *end;

    if (d4_option_number(text, &end, &n) != 0) {
        return -1;
    }

    switch (*end) {
    case 'k':
    case 'K':
        shift = 10;
        end++;
        break;

    case 'm':
    case 'M':
        shift = 20;
        end++;
        break;

    case 'g':
    case 'G':
        shift = 30;
        end++;
        break;

    default:
        shift = 0;
    }

    if (*end != '\0' || n > (SIZE_MAX >> 1 >> shift)) {
        return -1;
    }

    *value = n << shift;

    return 0;
}


static void
d4_options_usage(FILE *out)
{
    fputs(
"usage: d4 -c DIR [option...]\n"
"\n"
"Sends what it reads to a D4 server.  DIR holds one value per file: key,\n"
"type, and, unless the default will do, uuid, snaplen, version, source,\n"
"destination, metaheader.json (types 2 and 254), rootCA.crt, client.crt,\n"
"client.key, fingerprint.\n"
"\n"
"  -c, --config DIR         the configuration directory\n"
"  -t                       check the configuration and exit\n"
"      --source S           stdin, or the path of a fifo or file\n"
"      --destination D      stdout, HOST:PORT, [V6]:PORT (TLS),\n"
"                           tcp:HOST:PORT, unix:PATH\n"
"  -k, --insecure           do not verify the server's certificate\n"
"      --ca-file FILE       trust these certificates (DIR/rootCA.crt)\n"
"      --pin HEX[,HEX...]   accept only certificates with this SHA-256\n"
"      --tls-name NAME      the name to verify, instead of HOST\n"
"      --client-cert FILE   certificate to show (DIR/client.crt)\n"
"      --client-key FILE    and its key (DIR/client.key)\n"
"      --follow             follow a file across rotation and truncation\n"
"      --from-end           begin at the end of the file\n"
"      --keep-waiting       go on waiting at the end of the input\n"
"      --eof-frame          send an empty frame at the end of the input\n"
"      --linger TIME        collect content for this long (200ms; 0: do not)\n"
"      --settle TIME        wait this long after a session's first frame, in\n"
"                           case the server refuses it (1500ms; 0: do not)\n"
"      --queue SIZE         memory for unsent frames (16m)\n"
"      --overflow P         when it is full: block, drop-oldest, drop-newest\n"
"      --rate-bytes SIZE    send at most this much a second\n"
"      --rate-frames N      send at most so many frames a second\n"
"      --restamp            the time in a frame is when it is sent, not read\n"
"  -rt, --retry TIME        pause before a new attempt; 0: exit instead\n"
"                           (growing from 1s to 5m, for ever)\n"
"  -ct, --connect-timeout TIME   per address (10s)\n"
"  -cka, --keepalive TIME   idle time before TCP probes (30s; 0: off)\n"
"  -rl, --poll TIME         pause before looking at a file again (200ms)\n"
"  -ce=false                HOST:PORT is plain TCP, not TLS\n"
"  -v, --verbose            say more on standard error\n"
"  -h, --help, --version\n"
"\n"
"TIME is a number with ms, s, m or h (bare: seconds; --linger, --settle and\n"
"--poll: milliseconds), SIZE one with k, m or g.  Each long option can be\n"
"set in the environment: D4_RATE_BYTES=1m.\n"
"\n"
"Signals: TERM and INT send what is there and exit within 5 s, HUP reads DIR\n"
"again, USR1 prints statistics.  Exit codes: 0 done, 1 configuration,\n"
"2 server unreachable or connection lost, 3 TLS verification failed or\n"
"server refused.\n",
        out);
}

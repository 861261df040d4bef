/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Load generator: D4 frames over TLS 1.3 on many connections from one thread.
 *
 * Each connection is a sensor of its own, with the uuid
 * SSSSSSSS-0000-4000-8000-NNNNNNNNNNNN: --seed and the connection's number, in
 * hex.  Frames are built and signed, and connections made, before the clock
 * starts; a connection sends its few frames over and over, as D4 has no replay
 * check.  After its last frame it says close_notify and FIN and waits for the
 * server's end: the time counts until the server has eaten everything, not
 * until the last write.
 *
 * With --idle N, N connections send one frame each, then "ready=N" is printed,
 * they stay silent for --hold S seconds, and those still there are counted.
 *
 * Exit: 0 all done, 1 the server ended a connection early, 2 any other error.
 */

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "d4_header.h"
#include "d4_hmac.h"


#define POOL_BYTES   (256 * 1024)      /* of frames per connection, or ... */
#define POOL_FRAMES  4                 /* ... that many if they are large */
#define CHUNK        65536             /* encrypted, then written, at once */
#define WINDOW       64                /* handshakes at a time */
#define EVENTS       256


typedef enum {
    HANDSHAKE = 0,
    READY,                             /* waiting for the others */
    SENDING,
    SILENT,                            /* --idle: its frame is sent */
    CLOSING,
    DONE
} state_t;


typedef struct {
    int        fd;
    state_t    state;
    uint32_t   events;                 /* that epoll watches for */
    SSL       *ssl;
    BIO       *out;                    /* what TLS wants written */
    size_t     written;                /* of it */
    uint8_t   *pool;                   /* frames, one behind the other */
    size_t     pool_size;
    size_t     pos;
    uint64_t   left;                   /* bytes still to send */
} conn_t;


typedef struct {
    const char   *host;
    const char   *port;
    const char   *key;
    unsigned      connections;
    unsigned      payload;
    unsigned      type;
    unsigned      seed;
    unsigned      frames;              /* on all connections together */
    unsigned      idle;
    unsigned      hold;
    unsigned      timeout;
} options_t;


static options_t         opt = {
    .host = "127.0.0.1", .port = "4443", .key = "private key to change",
    .connections = 1, .payload = 1460, .frames = 1000, .seed = 1,
    .type = D4_TYPE_PASSIVEDNS, .hold = 5, .timeout = 120
};

static conn_t           *conns;
static unsigned          opened, ready, sent, done, early, resets;
static int               epfd;
static SSL_CTX          *tls;
static struct addrinfo  *address;


__attribute__((noreturn, format(printf, 1, 2)))
static void
die(const char *fmt, ...)
{
    va_list  ap;

    fputs("d4load: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(2);
}


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


static double
cpu(void)
{
    struct rusage  ru;

    getrusage(RUSAGE_SELF, &ru);

    return ru.ru_utime.tv_sec + ru.ru_stime.tv_sec
           + (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}


static void
watch(conn_t *c, uint32_t events)
{
    struct epoll_event  ev;

    if (c->events == events) {
        return;
    }

    c->events = events;
    ev.events = events;
    ev.data.ptr = c;

    if (epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &ev) == -1) {
        die("epoll_ctl: %s", strerror(errno));
    }
}


/* The connection's own frames, each with other text and signed. */

static void
build(conn_t *c, const d4_key_t *key)
{
    size_t        size, frames, i, n, count;
    uint8_t      *p;
    uint64_t      r;
    unsigned      number;
    d4_header_t   h;

    number = c - conns;
    size = D4_HEADER_SIZE + opt.payload;

    frames = opt.frames / opt.connections
             + (number < opt.frames % opt.connections);
    c->left = frames * size;

    count = POOL_BYTES / size;
    count = (count < POOL_FRAMES) ? POOL_FRAMES : count;
    count = (count > frames) ? frames : count;

    c->pool_size = count * size;
    c->pool = malloc(c->pool_size + 1);
    if (c->pool == NULL) {
        die("no memory");
    }

    memset(&h, 0, sizeof(d4_header_t));
    h.version = D4_VERSION;
    h.type = opt.type;
    h.timestamp = time(NULL);
    h.size = opt.payload;
    h.uuid[6] = 0x40;
    h.uuid[8] = 0x80;

    for (i = 0; i < 4; i++) {
        h.uuid[3 - i] = opt.seed >> (8 * i);
        h.uuid[15 - i] = number >> (8 * i);
    }

    r = 88172645463325252ull + number;

    for (n = 0, p = c->pool; n < count; n++, p += size) {
        d4_header_encode(p, &h);

        for (i = 0; i < opt.payload; i++) {
            r ^= r << 13;
            r ^= r >> 7;
            r ^= r << 17;
            p[D4_HEADER_SIZE + i] = (i % 100 == 99 || i + 1 == opt.payload)
                                    ? '\n' : ' ' + r % 95;
        }

        d4_hmac_frame(key, p, p + D4_HEADER_SIZE, opt.payload,
                      p + D4_HMAC_OFFSET);
    }
}


static void
open_next(void)
{
    int                  one;
    conn_t              *c;
    struct epoll_event   ev;

    one = 1;
    c = &conns[opened++];

    c->fd = socket(address->ai_family, SOCK_STREAM|SOCK_CLOEXEC, 0);
    if (c->fd == -1) {
        die("socket: %s", strerror(errno));
    }

    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) == -1
        || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(int))
           == -1)
    {
        die("socket options: %s", strerror(errno));
    }

    if (connect(c->fd, address->ai_addr, address->ai_addrlen) == -1
        && errno != EINPROGRESS)
    {
        die("connect: %s", strerror(errno));
    }

    c->ssl = SSL_new(tls);
    c->out = BIO_new(BIO_s_mem());
    if (c->ssl == NULL || c->out == NULL) {
        die("no memory");
    }

    SSL_set0_rbio(c->ssl, BIO_new_socket(c->fd, BIO_NOCLOSE));
    SSL_set0_wbio(c->ssl, c->out);
    SSL_set_connect_state(c->ssl);

    c->events = ev.events = EPOLLOUT;
    ev.data.ptr = c;

    if (epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &ev) == -1) {
        die("epoll_ctl: %s", strerror(errno));
    }
}


static void
finish(conn_t *c, int reset)
{
    unsigned long  e;

    if (c->state == HANDSHAKE) {
        e = ERR_peek_error();
        die("handshake failed: %s", (e != 0) ? ERR_reason_error_string(e)
                                             : strerror(errno));
    }

    if (c->state == SILENT) {
        sent--;
    }

    early += (c->state != CLOSING);
    resets += reset;
    done++;

    close(c->fd);
    SSL_free(c->ssl);
    free(c->pool);
    c->state = DONE;
}


/* Writes what TLS has prepared: 1 all of it, 0 the socket is full, -1 gone. */

static int
flush_out(conn_t *c)
{
    long      size;
    char     *p;
    ssize_t   n;

    size = BIO_get_mem_data(c->out, &p);

    while (c->written < (size_t) size) {
        n = send(c->fd, p + c->written, size - c->written, MSG_NOSIGNAL);

        if (n == -1) {
            return (errno == EAGAIN) ? 0 : -1;
        }

        c->written += n;
    }

    if (size > 0) {
        c->written = 0;
        (void) BIO_reset(c->out);
    }

    return 1;
}


static void
start_close(conn_t *c)
{
    c->state = CLOSING;
    SSL_shutdown(c->ssl);
    watch(c, EPOLLIN|EPOLLOUT);
}


static void
start_sending(conn_t *c)
{
    c->state = SENDING;
    watch(c, EPOLLIN|EPOLLOUT);
}


static void
on_handshake(conn_t *c)
{
    int  rc;

    ERR_clear_error();
    rc = SSL_do_handshake(c->ssl);

    if (rc != 1 && SSL_get_error(c->ssl, rc) != SSL_ERROR_WANT_READ) {
        finish(c, 0);
        return;
    }

    switch (flush_out(c)) {

    case -1:
        finish(c, 1);
        return;

    case 0:
        watch(c, EPOLLIN|EPOLLOUT);
        return;
    }

    watch(c, EPOLLIN);

    if (rc != 1) {
        return;
    }

    c->state = READY;
    ready++;

    if (opened < opt.connections) {
        open_next();
    }

    if (opt.idle) {
        start_sending(c);
    }
}


static void
on_writable(conn_t *c)
{
    size_t  n;

    switch (flush_out(c)) {

    case -1:
        finish(c, 1);
        return;

    case 0:
        return;
    }

    if (c->state == CLOSING) {
        watch(c, EPOLLIN);
        shutdown(c->fd, SHUT_WR);
        return;
    }

    if (c->left == 0) {
        if (opt.idle) {
            c->state = SILENT;
            watch(c, EPOLLIN);
            sent++;
            return;
        }

        start_close(c);

    } else {
        n = c->pool_size - c->pos;
        n = (n > CHUNK) ? CHUNK : n;
        n = (n > c->left) ? c->left : n;

        if (SSL_write(c->ssl, c->pool + c->pos, n) != (int) n) {
            die("SSL_write failed");
        }

        c->pos = (c->pos + n) % c->pool_size;
        c->left -= n;
    }

    if (flush_out(c) == -1) {
        finish(c, 1);
    }
}


/* A D4 server says nothing: tickets at the start, and the end. */

static void
on_readable(conn_t *c)
{
    int      n;
    char     buf[4096];
    ssize_t  rc;

    if (!(SSL_get_shutdown(c->ssl) & SSL_RECEIVED_SHUTDOWN)) {
        ERR_clear_error();
        n = SSL_read(c->ssl, buf, sizeof(buf));

        if (n > 0) {
            die("the server sent application data");
        }

        switch (SSL_get_error(c->ssl, n)) {

        case SSL_ERROR_WANT_READ:
            return;

        case SSL_ERROR_ZERO_RETURN:
            break;

        default:
            finish(c, 1);
            return;
        }
    }

    rc = recv(c->fd, buf, sizeof(buf), 0);

    if (rc == 0) {
        finish(c, 0);

    } else if (rc == -1 && errno != EAGAIN) {
        finish(c, 1);
    }
}


/* Handles events until *counter reaches goal, else -1 at the deadline. */

static int
run(const unsigned *counter, unsigned goal, double deadline)
{
    int                  i, n;
    double               rest;
    conn_t              *c;
    struct epoll_event   events[EVENTS];

    while (counter == NULL || *counter < goal) {

        rest = deadline - now();
        if (rest <= 0) {
            return -1;
        }

        n = epoll_wait(epfd, events, EVENTS, 1 + rest * 1000);

        for (i = 0; i < n; i++) {
            c = events[i].data.ptr;

            if (c->state == HANDSHAKE) {
                on_handshake(c);
                continue;
            }

            if (events[i].events & EPOLLOUT) {
                on_writable(c);
            }

            if (c->state != DONE && (events[i].events & ~EPOLLOUT)) {
                on_readable(c);
            }
        }
    }

    return 0;
}


static void
load(double start, double deadline)
{
    double    begin, seconds, used;
    unsigned  i;

    if (run(&ready, opt.connections, deadline) != 0) {
        die("%u of %u connections made", ready, opt.connections);
    }

    used = cpu();
    begin = now();

    for (i = 0; i < opt.connections; i++) {
        if (conns[i].state == READY) {
            start_sending(&conns[i]);
        }
    }

    (void) run(&done, opt.connections, deadline);

    seconds = now() - begin;
    used = cpu() - used;

    printf("seconds=%.6f frames=%u payload=%u connections=%u fps=%.0f "
           "mbps=%.3f cpu=%.3f handshakes=%.3f early=%u resets=%u "
           "unfinished=%u\n", seconds, opt.frames, opt.payload,
           opt.connections, opt.frames / seconds,
           (double) opt.frames * opt.payload / seconds / 1e6, used,
           begin - start, early, resets, opt.connections - done);
}


static void
idle(double start, double deadline)
{
    unsigned  i, held;

    if (run(&sent, opt.connections, deadline) != 0) {
        die("%u of %u connections idle, %u ended early", sent,
            opt.connections, early);
    }

    printf("ready=%u seconds=%.3f\n", sent, now() - start);
    fflush(stdout);

    (void) run(NULL, 0, now() + opt.hold);
    held = sent;

    for (i = 0; i < opt.connections; i++) {
        if (conns[i].state == SILENT) {
            start_close(&conns[i]);
        }
    }

    (void) run(&done, opt.connections, now() + opt.timeout);

    printf("held=%u early=%u resets=%u unfinished=%u\n", held, early, resets,
           opt.connections - done);
}


static void
usage(void)
{
    fputs("usage: d4load [--host H] [--port P] [--connections N] "
          "[--payload BYTES]\n"
          "              [--frames TOTAL] [--seed N] [--type N] [--key KEY]\n"
          "              [--timeout S] [--idle N [--hold S]]\n", stderr);
    exit(2);
}


static void
options(int argc, char **argv)
{
    int             i, k;
    char           *end;
    unsigned long   n;

    static const struct {
        const char   *name;
        const char  **text;
        unsigned     *number;
        unsigned      min;
        unsigned      max;
    } table[] = {
        { "--host", &opt.host, NULL, 0, 0 },
        { "--port", &opt.port, NULL, 0, 0 },
        { "--key", &opt.key, NULL, 0, 0 },
        { "--connections", NULL, &opt.connections, 1, 60000 },
        { "--payload", NULL, &opt.payload, 0, 100000000 },
        { "--frames", NULL, &opt.frames, 1, 2000000000 },
        { "--seed", NULL, &opt.seed, 0, 0xffffffff },
        { "--type", NULL, &opt.type, 0, 255 },
        { "--timeout", NULL, &opt.timeout, 1, 86400 },
        { "--hold", NULL, &opt.hold, 0, 86400 },
        { "--idle", NULL, &opt.idle, 1, 60000 },
        { NULL, NULL, NULL, 0, 0 }
    };

    for (i = 1; i < argc; i += 2) {

        for (k = 0; table[k].name != NULL; k++) {
            if (strcmp(argv[i], table[k].name) == 0) {
                break;
            }
        }

        if (table[k].name == NULL || i + 1 == argc) {
            usage();
        }

        if (table[k].text != NULL) {
            *table[k].text = argv[i + 1];
            continue;
        }

        n = strtoul(argv[i + 1], &end, 10);

        if (end == argv[i + 1] || *end != '\0' || n < table[k].min
            || n > table[k].max)
        {
            die("%s takes a number from %u to %u", table[k].name,
                table[k].min, table[k].max);
        }

        *table[k].number = n;
    }

    if (opt.idle > 0) {
        opt.connections = opt.idle;
        opt.frames = opt.idle;
    }

    if (opt.frames < opt.connections) {
        die("fewer frames than connections");
    }
}


static void
setup(void)
{
    int              rc;
    d4_key_t         key;
    unsigned         i;
    struct rlimit    lim;
    struct addrinfo  hints;

    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
    }

    memset(&hints, 0, sizeof(struct addrinfo));
    hints.ai_socktype = SOCK_STREAM;

    rc = getaddrinfo(opt.host, opt.port, &hints, &address);
    if (rc != 0) {
        die("%s: %s", opt.host, gai_strerror(rc));
    }

    tls = SSL_CTX_new(TLS_client_method());
    epfd = epoll_create1(EPOLL_CLOEXEC);
    conns = calloc(opt.connections, sizeof(conn_t));
    if (tls == NULL || epfd == -1 || conns == NULL) {
        die("setup failed");
    }

    SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);

    /* nginx answers our close_notify with FIN only */
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);

    d4_key_init(&key, (const uint8_t *) opt.key, strlen(opt.key));

    for (i = 0; i < opt.connections; i++) {
        build(&conns[i], &key);
    }

    d4_key_clear(&key);
}


int
main(int argc, char **argv)
{
    double  start;

    options(argc, argv);
    setup();

    start = now();

    while (opened < opt.connections && opened < WINDOW) {
        open_next();
    }

    if (opt.idle) {
        idle(start, start + opt.timeout);

    } else {
        load(start, start + opt.timeout);
    }

    return (early > 0 || resets > 0 || done < opt.connections) ? 1 : 0;
}

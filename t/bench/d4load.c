/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Load generator: D4 frames over TLS 1.3, or with --plain over TCP, on many
 * connections from one thread.
 *
 * Each connection is a sensor of its own, with the uuid
 * SSSSSSSS-0000-4000-8000-NNNNNNNNNNNN: --seed and the connection's number, in
 * hex.  Frames are built and signed, and connections made, before the clock
 * starts; a connection sends its few frames over and over, as D4 has no replay
 * check.  After its last frame it says close_notify and FIN and waits for the
 * server's end: the time counts until the server has eaten everything, not
 * until the last write.
 *
 * With --stay, "begin=T" is printed when the clock starts, in seconds of
 * CLOCK_MONOTONIC, and "sent=N" when all is sent; the connections stay until
 * standard input ends.
 *
 * What is sent says lib/payload.h: with --lines and --pcap it is whole, though
 * it takes some more frames.  "records" in the last line are lines or packets,
 * "bytes" those of all payloads.
 *
 * With --idle N, N connections send one frame each, then "ready=N" is printed,
 * they stay silent for --hold S seconds, and those still there are counted.
 *
 * Exit: 0 all done, 1 the server ended a connection early, 2 any other error.
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "lib/options.h"
#include "lib/payload.h"


#define CHUNK        65536             /* encrypted, then written, at once */
#define WINDOW       64                /* handshakes at a time */
#define EVENTS       256


typedef enum {
    HANDSHAKE = 0,
    READY,                             /* waiting for the others */
    SENDING,
    SILENT,                            /* --idle, --stay: all is sent */
    CLOSING,
    DONE
} state_t;


typedef struct {
    int        fd;
    state_t    state;
    uint32_t   events;                 /* that epoll watches for */
    SSL       *ssl;
    BIO       *out;                    /* what is to be written */
    size_t     written;                /* of it */
    payload_t  payload;
    size_t     pos;                    /* in it */
} conn_t;


static options_t         opt;
static conn_t           *conns;
static unsigned          opened, ready, sent, done, early, resets, told;
static int               epfd;
static SSL_CTX          *tls;
static struct addrinfo  *address;


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


static void
build(conn_t *c, const d4_key_t *key)
{
    payload_order_t  order;

    memset(&order, 0, sizeof(payload_order_t));

    order.kind = opt.pcap ? PAYLOAD_PCAP
                          : opt.lines ? PAYLOAD_LINES : PAYLOAD_TEXT;
    order.packet = opt.pcap;
    order.size = opt.payload;
    order.number = c - conns;
    order.frames = opt.frames / opt.connections
                   + (order.number < opt.frames % opt.connections);
    order.key = key;

    options_header(&opt, order.number, &order.header);

    if (payload_build(&c->payload, &order) != 0) {
        die("no memory, or a packet is more than all frames");
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
    payload_free(&c->payload);
    c->state = DONE;
}


/* Writes what was prepared: 1 all of it, 0 the socket is full, -1 gone. */

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

    if (!opt.plain) {
        SSL_shutdown(c->ssl);
    }

    watch(c, EPOLLIN|EPOLLOUT);
}


static void
start_sending(conn_t *c)
{
    c->state = SENDING;
    watch(c, EPOLLIN|EPOLLOUT);
}


/* With --plain being connected is all. */

static int
handshake(conn_t *c)
{
    int        error;
    socklen_t  len;

    ERR_clear_error();

    if (!opt.plain) {
        return SSL_do_handshake(c->ssl);
    }

    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1
        || error != 0)
    {
        die("connect: %s", strerror(error));
    }

    return 1;
}


static void
on_handshake(conn_t *c)
{
    int  rc;

    rc = handshake(c);

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
    int         rc;
    size_t      n;
    payload_t  *p;

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

    p = &c->payload;

    if (p->left == 0) {
        if (opt.idle || opt.stay) {
            c->state = SILENT;
            watch(c, EPOLLIN);
            sent++;
            return;
        }

        start_close(c);

    } else {
        n = p->size - c->pos;
        n = (n > CHUNK) ? CHUNK : n;
        n = (n > p->left) ? p->left : n;

        rc = opt.plain ? BIO_write(c->out, p->frames + c->pos, n)
                       : SSL_write(c->ssl, p->frames + c->pos, n);

        if (rc != (int) n) {
            die("SSL_write failed");
        }

        c->pos += n;
        c->pos = (c->pos == p->size) ? p->again : c->pos;
        p->left -= n;
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

    if (!opt.plain && !(SSL_get_shutdown(c->ssl) & SSL_RECEIVED_SHUTDOWN)) {
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

    } else if (rc > 0) {
        die("the server sent application data");

    } else if (rc == -1 && errno != EAGAIN) {
        finish(c, 1);
    }
}


/* Standard input means nothing but its end. */

static void
on_input(void)
{
    char  buf[64];

    if (read(STDIN_FILENO, buf, sizeof(buf)) <= 0) {
        (void) epoll_ctl(epfd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        told = 1;
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

            if (c == NULL) {
                on_input();
                continue;
            }

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


/* All have sent all of their own: until standard input ends. */

static void
stay(double deadline)
{
    unsigned            i;
    struct epoll_event  ev;

    if (run(&sent, opt.connections, deadline) != 0) {
        die("%u of %u connections have sent all, %u ended early", sent,
            opt.connections, early);
    }

    printf("sent=%u\n", sent);
    fflush(stdout);

    ev.events = EPOLLIN;
    ev.data.ptr = NULL;

    if (epoll_ctl(epfd, EPOLL_CTL_ADD, STDIN_FILENO, &ev) == -1) {
        die("--stay wants a pipe as standard input");
    }

    (void) run(&told, 1, deadline);

    for (i = 0; i < opt.connections; i++) {
        if (conns[i].state == SILENT) {
            start_close(&conns[i]);
        }
    }
}


static void
load(double start, double deadline)
{
    double    begin, seconds, used;
    unsigned  i;
    uint64_t  frames, bytes, records;

    if (run(&ready, opt.connections, deadline) != 0) {
        die("%u of %u connections made", ready, opt.connections);
    }

    frames = 0;
    bytes = 0;
    records = 0;

    for (i = 0; i < opt.connections; i++) {
        frames += conns[i].payload.count;
        bytes += conns[i].payload.bytes;
        records += conns[i].payload.records;
    }

    used = cpu();
    begin = now();

    if (opt.stay) {
        printf("begin=%.6f frames=%llu bytes=%llu records=%llu\n", begin,
               (unsigned long long) frames, (unsigned long long) bytes,
               (unsigned long long) records);
        fflush(stdout);
    }

    for (i = 0; i < opt.connections; i++) {
        if (conns[i].state == READY) {
            start_sending(&conns[i]);
        }
    }

    if (opt.stay) {
        stay(deadline);
    }

    (void) run(&done, opt.connections, deadline);

    seconds = now() - begin;
    used = cpu() - used;

    printf("seconds=%.6f frames=%llu payload=%u connections=%u fps=%.0f "
           "mbps=%.3f cpu=%.3f handshakes=%.3f early=%u resets=%u "
           "unfinished=%u bytes=%llu records=%llu\n", seconds,
           (unsigned long long) frames, opt.payload, opt.connections,
           frames / seconds, bytes / seconds / 1e6, used, begin - start, early,
           resets, opt.connections - done, (unsigned long long) bytes,
           (unsigned long long) records);
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
setup(void)
{
    d4_key_t       key;
    unsigned       i;
    struct rlimit  lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
    }

    address = options_address(&opt);
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

    options(&opt, argc, argv);
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

/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Baseline: the least that an honest D4 server must do.  One thread takes TLS
 * connections, cuts the stream into frames, verifies each HMAC and forgets
 * the frame.  Reads TLS as nginx does: read-ahead on, no tickets.
 *
 *     d4sink PORT CERTIFICATE KEY_FILE HMAC_KEY
 *
 * Each time the last open connection has ended it prints what came since the
 * time before: connections, frames, bytes of payload, frames that were not
 * authentic (the connection is cut there), connections cut within a frame.
 */

#define _GNU_SOURCE                    /* accept4() */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "d4_frame.h"


#define BUFFER   16384                 /* a TLS record */
#define EVENTS   64


typedef struct {
    int          fd;
    SSL         *ssl;
    d4_frame_t   frame;
} conn_t;


static struct {
    unsigned long   connections;
    unsigned long   frames;
    unsigned long   bytes;
    unsigned long   bad;
    unsigned long   truncated;
} count;

static int        epfd;
static SSL_CTX   *tls;
static d4_key_t   key;
static unsigned   live;


__attribute__((noreturn, format(printf, 1, 2)))
static void
die(const char *fmt, ...)
{
    va_list  ap;

    fputs("d4sink: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(2);
}


static void
open_conn(int listener)
{
    conn_t              *c;
    struct epoll_event   ev;

    c = malloc(sizeof(conn_t));
    if (c == NULL) {
        die("no memory");
    }

    c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK|SOCK_CLOEXEC);
    if (c->fd == -1) {
        free(c);
        return;
    }

    c->ssl = SSL_new(tls);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1) {
        die("no memory");
    }

    SSL_set_accept_state(c->ssl);

    d4_frame_init(&c->frame);
    c->frame.key = &key;

    ev.events = EPOLLIN;
    ev.data.ptr = c;

    if (epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &ev) == -1) {
        die("epoll_ctl: %s", strerror(errno));
    }

    count.connections++;
    live++;
}


static void
close_conn(conn_t *c)
{
    count.truncated += d4_frame_begun(&c->frame);

    ERR_clear_error();
    (void) SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    close(c->fd);
    free(c);

    if (--live == 0) {
        printf("connections=%lu frames=%lu bytes=%lu bad=%lu truncated=%lu\n",
               count.connections, count.frames, count.bytes, count.bad,
               count.truncated);
        fflush(stdout);
        memset(&count, 0, sizeof(count));
    }
}


/* Returns 0, or -1 at a frame that is not authentic. */

static int
eat(conn_t *c, const uint8_t *p, const uint8_t *end)
{
    size_t          len;
    const uint8_t  *data;

    for ( ;; ) {
        switch (d4_frame_next(&c->frame, &p, end, &data, &len)) {

        case D4_FRAME_AGAIN:
            return 0;

        case D4_FRAME_HEADER:
            break;

        case D4_FRAME_DATA:
            count.bytes += len;
            break;

        case D4_FRAME_END:
            if (!c->frame.authentic) {
                count.bad++;
                return -1;
            }

            count.frames++;
            break;
        }
    }
}


static void
on_readable(conn_t *c)
{
    int             n;
    static uint8_t  buf[BUFFER];

    /* to the end: read-ahead may hold records that epoll knows nothing of */

    for ( ;; ) {
        ERR_clear_error();
        n = SSL_read(c->ssl, buf, BUFFER);

        if (n <= 0) {
            break;
        }

        if (eat(c, buf, buf + n) != 0) {
            close_conn(c);
            return;
        }
    }

    if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ) {
        close_conn(c);
    }
}


static int
listen_on(const char *port)
{
    int                  fd, one;
    struct epoll_event   ev;
    struct sockaddr_in   sin;

    one = 1;
    memset(&sin, 0, sizeof(struct sockaddr_in));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(atoi(port));
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    fd = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (fd == -1
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(int)) == -1
        || bind(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || listen(fd, 511) == -1)
    {
        die("port %s: %s", port, strerror(errno));
    }

    ev.events = EPOLLIN;
    ev.data.ptr = NULL;

    if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) == -1) {
        die("epoll_ctl: %s", strerror(errno));
    }

    return fd;
}


int
main(int argc, char **argv)
{
    int                  i, n, listener;
    struct epoll_event   events[EVENTS];

    if (argc != 5) {
        die("usage: d4sink PORT CERTIFICATE KEY_FILE HMAC_KEY");
    }

    tls = SSL_CTX_new(TLS_server_method());
    epfd = epoll_create1(EPOLL_CLOEXEC);
    if (tls == NULL || epfd == -1) {
        die("setup failed");
    }

    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_num_tickets(tls, 0);
    SSL_CTX_set_read_ahead(tls, 1);

    if (SSL_CTX_use_certificate_chain_file(tls, argv[2]) != 1
        || SSL_CTX_use_PrivateKey_file(tls, argv[3], SSL_FILETYPE_PEM) != 1)
    {
        die("certificate or key: %s",
            ERR_reason_error_string(ERR_peek_error()));
    }

    d4_key_init(&key, (const uint8_t *) argv[4], strlen(argv[4]));
    listener = listen_on(argv[1]);

    for ( ;; ) {
        n = epoll_wait(epfd, events, EVENTS, -1);

        for (i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) {
                open_conn(listener);

            } else {
                on_readable(events[i].data.ptr);
            }
        }
    }
}

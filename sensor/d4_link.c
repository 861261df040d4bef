
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <openssl/err.h>

#include "d4_link.h"
#include "d4_log.h"
#include "d4_tls.h"


#define D4_LINK_DRAIN  5000            /* the server's end, after ours */
#define D4_LINK_WATCH  10000
#define D4_LINK_ASK    2000            /* whether the server reads on */
#define D4_LINK_ASK_STEP  10


static d4_link_event_t d4_link_start_stdout(d4_link_t *l);
static d4_link_event_t d4_link_start_unix(d4_link_t *l);
static d4_link_event_t d4_link_connect(d4_link_t *l, int64_t now);
static d4_link_event_t d4_link_connected(d4_link_t *l, int64_t now);
static d4_link_event_t d4_link_next_address(d4_link_t *l, int64_t now);
static d4_link_event_t d4_link_handshake(d4_link_t *l);
static d4_link_event_t d4_link_open(d4_link_t *l);
static d4_link_event_t d4_link_write(d4_link_t *l);
static d4_link_event_t d4_link_read(d4_link_t *l, int64_t now);
static int d4_link_look(d4_link_t *l);
static d4_link_event_t d4_link_shutdown(d4_link_t *l, int64_t now);
static d4_link_event_t d4_link_drain(d4_link_t *l, int64_t now);
static d4_link_event_t d4_link_ask(d4_link_t *l, int64_t now);
static d4_link_event_t d4_link_timeout(d4_link_t *l, int64_t now);
static d4_link_event_t d4_link_unwritable(d4_link_t *l);
static d4_link_event_t d4_link_broken(d4_link_t *l);
static d4_link_event_t d4_link_close(d4_link_t *l, d4_link_end_t end,
    const char *error);


int
d4_link_init(d4_link_t *l, const d4_config_t *config, size_t payload)
{
    memset(l, 0, sizeof(d4_link_t));

    l->config = config;
    l->io.fd = -1;

    d4_resolve_init(&l->resolve);

    l->room = D4_HEADER_SIZE + payload;

    if (l->room < D4_LINK_ROOM) {
        l->room = D4_LINK_ROOM;
    }

    l->out = malloc(l->room);

    return l->out != NULL ? 0 : -1;
}


void
d4_link_free(d4_link_t *l)
{
    d4_link_abort(l);

    free(l->out);
    l->out = NULL;
}


d4_link_event_t
d4_link_start(d4_link_t *l, int64_t now)
{
    int  rc;

    l->len = 0;
    l->off = 0;
    l->written = 0;
    l->asked = 0;
    l->ended = 0;
    l->deadline = 0;
    l->error[0] = '\0';

    memset(&l->io, 0, sizeof(d4_io_t));
    l->io.fd = -1;

    switch (l->config->dest_kind) {

    case D4_DEST_STDOUT:
        return d4_link_start_stdout(l);

    case D4_DEST_UNIX:
        return d4_link_start_unix(l);

    default:
        break;
    }

    l->io.tcp = 1;
    l->io.socket = 1;
    l->address = 0;

    rc = d4_resolve_start(&l->resolve, l->config->host, l->config->port);

    if (rc == -1) {
        return d4_link_close(l, D4_LINK_UNREACHABLE, l->resolve.error);
    }

    if (rc == 1) {
        return d4_link_connect(l, now);
    }

    l->state = D4_LINK_RESOLVING;
    l->deadline = now + l->config->options->connect_timeout;

    return D4_LINK_AGAIN;
}


int64_t
d4_link_poll(const d4_link_t *l, struct pollfd *p)
{
    int64_t  wake;

    p->fd = l->io.fd;
    p->events = 0;
    p->revents = 0;

    wake = l->deadline;

    switch (l->state) {

    case D4_LINK_DOWN:
        p->fd = -1;
        return 0;

    case D4_LINK_RESOLVING:
        p->fd = l->resolve.fd;
        p->events = POLLIN;
        return wake;

    case D4_LINK_CONNECTING:
        p->events = POLLOUT;
        return wake;

    case D4_LINK_HANDSHAKE:
        p->events = l->io.writable ? POLLOUT : POLLIN;
        return wake;

    case D4_LINK_OPEN:
        if (l->io.socket) {
            p->events = POLLIN;
        }

        if (l->len != 0 && l->io.writable) {
            p->events |= POLLOUT;
        }

        break;

    case D4_LINK_FINISHING:
        p->events = l->io.writable ? POLLOUT : POLLIN;
        break;

    case D4_LINK_DRAINING:
        p->events = POLLIN;
        break;

    case D4_LINK_ASKING:
        p->fd = -1;                /* it would be ready all the time */
        break;
    }

    if (l->watch != 0 && (wake == 0 || l->watch < wake)) {
        wake = l->watch;
    }

    return wake;
}


d4_link_event_t
d4_link_step(d4_link_t *l, short revents, int64_t now)
{
    d4_link_event_t  event;

    if (l->deadline != 0 && now >= l->deadline) {
        event = d4_link_timeout(l, now);

        if (event != D4_LINK_AGAIN) {
            return event;
        }
    }

    if (l->watch != 0 && now >= l->watch) {
        l->watch = (d4_io_watch(&l->io) || l->len != 0)
                   ? now + D4_LINK_WATCH : 0;
    }

    if (revents == 0) {
        return D4_LINK_AGAIN;
    }

    switch (l->state) {

    case D4_LINK_RESOLVING:
        if (d4_resolve_finish(&l->resolve) == -1) {
            return d4_link_close(l, D4_LINK_UNREACHABLE, l->resolve.error);
        }

        return d4_link_connect(l, now);

    case D4_LINK_CONNECTING:
        return d4_link_connected(l, now);

    case D4_LINK_HANDSHAKE:
        return d4_link_handshake(l);

    case D4_LINK_OPEN:
        if (!l->io.socket && (revents & (POLLERR | POLLHUP | POLLNVAL))) {
            return d4_link_close(l, D4_LINK_LOST,
                                 "standard output was closed");
        }

        if (l->io.socket && (revents & ~POLLOUT)) {
            event = d4_link_read(l, now);

            if (event != D4_LINK_AGAIN || l->state != D4_LINK_OPEN) {
                return event;
            }
        }

        return l->len != 0 ? d4_link_write(l) : D4_LINK_AGAIN;

    case D4_LINK_FINISHING:
        return l->len != 0 ? d4_link_write(l) : d4_link_shutdown(l, now);

    case D4_LINK_DRAINING:
        return d4_link_drain(l, now);

    default:
        return D4_LINK_AGAIN;
    }
}


int
d4_link_ready(const d4_link_t *l)
{
    return l->state == D4_LINK_OPEN && l->len == 0;
}


d4_link_event_t
d4_link_send(d4_link_t *l, size_t len, int64_t now)
{
    l->len = len;
    l->off = 0;

    if (l->watch == 0 && l->io.tcp) {
        l->watch = now + D4_LINK_WATCH;
    }

    return d4_link_write(l);
}


void
d4_link_finish(d4_link_t *l)
{
    switch (l->state) {

    case D4_LINK_OPEN:
        l->asked = 1;
        l->io.writable = 1;        /* so that the next poll goes on */
        l->state = D4_LINK_FINISHING;
        break;

    case D4_LINK_FINISHING:
    case D4_LINK_DRAINING:
    case D4_LINK_ASKING:
        break;

    default:
        d4_link_abort(l);
    }
}


void
d4_link_abort(d4_link_t *l)
{
    d4_resolve_stop(&l->resolve);

    d4_io_close(&l->io);

    l->written = l->off;
    l->len = 0;
    l->off = 0;
    l->watch = 0;
    l->deadline = 0;
    l->state = D4_LINK_DOWN;
}


static d4_link_event_t
d4_link_start_stdout(d4_link_t *l)
{
    struct stat  st;

    if (fstat(STDOUT_FILENO, &st) != 0) {
        return d4_link_close(l, D4_LINK_UNREACHABLE, strerror(errno));
    }

    l->io.fd = STDOUT_FILENO;
    l->io.pipe = S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)
                 || isatty(STDOUT_FILENO);

    return d4_link_open(l);
}


static d4_link_event_t
d4_link_start_unix(d4_link_t *l)
{
    struct sockaddr_un  sun;

    memset(&sun, 0, sizeof(struct sockaddr_un));
    sun.sun_family = AF_UNIX;
    strcpy(sun.sun_path, l->config->host);     /* its length was checked */

    l->io.socket = 1;
    l->io.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (l->io.fd == -1
        || connect(l->io.fd, (struct sockaddr *) &sun, sizeof(sun)) == -1)
    {
        return d4_link_close(l, D4_LINK_UNREACHABLE, strerror(errno));
    }

    return d4_link_open(l);
}


static d4_link_event_t
d4_link_connect(d4_link_t *l, int64_t now)
{
    d4_address_t  *a;

    a = &l->resolve.list[l->address];

    l->io.fd = socket(a->addr.ss_family,
                      SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (l->io.fd == -1) {
        return d4_link_next_address(l, now);
    }

    d4_io_tune(&l->io, (l->config->options->keepalive + 999) / 1000);

    l->deadline = now + l->config->options->connect_timeout;
    l->state = D4_LINK_CONNECTING;

    if (connect(l->io.fd, (struct sockaddr *) &a->addr, a->len) == 0) {
        return d4_link_connected(l, now);
    }

    if (errno != EINPROGRESS) {
        return d4_link_next_address(l, now);
    }

    return D4_LINK_AGAIN;
}


static d4_link_event_t
d4_link_connected(d4_link_t *l, int64_t now)
{
    int          err;
    socklen_t    len;
    const char  *name;

    err = 0;
    len = sizeof(int);

    if (getsockopt(l->io.fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0
        && err != 0)
    {
        errno = err;
        return d4_link_next_address(l, now);
    }

    if (l->config->dest_kind != D4_DEST_TLS) {
        return d4_link_open(l);
    }

    name = l->config->options->tls_name;
    if (name == NULL) {
        name = l->config->host;
    }

    l->io.ssl = d4_tls_session(l->config->tls, l->io.fd, name);

    if (l->io.ssl == NULL) {
        return d4_link_close(l, D4_LINK_UNREACHABLE, "no memory for TLS");
    }

    l->state = D4_LINK_HANDSHAKE;

    return d4_link_handshake(l);
}


/* errno says why the last one does not do. */

static d4_link_event_t
d4_link_next_address(d4_link_t *l, int64_t now)
{
    snprintf(l->error, sizeof(l->error), "%s", strerror(errno));

    if (l->io.fd != -1) {
        close(l->io.fd);
        l->io.fd = -1;
    }

    l->address++;

    if (l->address < l->resolve.n) {
        return d4_link_connect(l, now);
    }

    return d4_link_close(l, D4_LINK_UNREACHABLE, NULL);
}


static d4_link_event_t
d4_link_handshake(d4_link_t *l)
{
    int            n;
    char           error[sizeof(l->error)];
    d4_link_end_t  end;

    ERR_clear_error();
    errno = 0;

    n = SSL_do_handshake(l->io.ssl);

    if (n == 1) {
        if (!d4_tls_pinned(l->io.ssl, &l->config->pins)) {
            return d4_link_close(l, D4_LINK_UNVERIFIED, "the server's "
                                 "certificate has another fingerprint");
        }

        return d4_link_open(l);
    }

    switch (SSL_get_error(l->io.ssl, n)) {

    case SSL_ERROR_WANT_READ:
        l->io.writable = 0;
        return D4_LINK_AGAIN;

    case SSL_ERROR_WANT_WRITE:
        l->io.writable = 1;
        return D4_LINK_AGAIN;
    }

    end = d4_tls_rejected(l->io.ssl) ? D4_LINK_UNVERIFIED : D4_LINK_REFUSED;

    snprintf(error, sizeof(error), "TLS handshake: ");
    d4_tls_error(l->io.ssl, n, error + 15, sizeof(error) - 15);

    return d4_link_close(l, end, error);
}


static d4_link_event_t
d4_link_open(d4_link_t *l)
{
    l->state = D4_LINK_OPEN;
    l->deadline = 0;
    l->io.writable = 1;

    return D4_LINK_OPENED;
}


/* Writes what it can of what is at hand. */

static d4_link_event_t
d4_link_write(d4_link_t *l)
{
    ssize_t  n;

    while (l->off < l->len) {
        n = d4_io_write(&l->io, l->out + l->off, l->len - l->off);

        if (n == 0) {
            return D4_LINK_AGAIN;
        }

        if (n < 0) {
            return d4_link_unwritable(l);
        }

        l->off += n;
    }

    l->len = 0;
    l->off = 0;
    l->io.writable = 1;

    return D4_LINK_SENT;
}


/* Nothing is expected from a server but its end of stream. */

static d4_link_event_t
d4_link_read(d4_link_t *l, int64_t now)
{
    if (d4_link_look(l) == 0) {
        return D4_LINK_AGAIN;
    }

    if (!l->io.eof) {
        return d4_link_broken(l);
    }

    /*
     * A server that plans to end reads on: what is at hand is finished, then
     * our own end of stream follows.
     */

    l->ended = 1;
    l->state = D4_LINK_FINISHING;
    l->deadline = now + D4_LINK_DRAIN;
    l->io.writable = 1;

    return D4_LINK_AGAIN;
}


/* Reads what is there.  Returns 0, or -1 at the end of stream or an error. */

static int
d4_link_look(d4_link_t *l)
{
    int      i;
    ssize_t  n;
    uint8_t  buf[4096];

    for (i = 0; i < 64; i++) {
        n = d4_io_read(&l->io, buf, sizeof(buf));

        if (n <= 0) {
            return n;
        }

        if (l->ignored == 0) {
            d4_log("%s sent data, which is ignored", l->config->destination);
        }

        l->ignored += n;
    }

    return 0;
}


/* Our end of stream. */

static d4_link_event_t
d4_link_shutdown(d4_link_t *l, int64_t now)
{
    int  n;

    if (!l->io.socket) {
        return d4_link_close(l, D4_LINK_DONE, NULL);
    }

    n = d4_io_shutdown(&l->io);

    if (n == 0) {
        return D4_LINK_AGAIN;
    }

    if (n < 0) {
        return d4_link_unwritable(l);
    }

    l->state = D4_LINK_DRAINING;
    l->deadline = now + D4_LINK_DRAIN;

    if (l->watch == 0) {
        l->watch = now + D4_LINK_WATCH;
    }

    return d4_link_drain(l, now);
}


/*
 * Reads until the server's end of stream: closing a socket that still holds
 * something to read, such as TLS session tickets, resets the connection, and
 * the server loses what it has not read yet.
 */

static d4_link_event_t
d4_link_drain(d4_link_t *l, int64_t now)
{
    if (d4_link_look(l) == 0) {
        return D4_LINK_AGAIN;
    }

    if (!l->io.eof) {
        return d4_link_broken(l);
    }

    /*
     * Did the server read all, or had it enough?  Its kernel acknowledges our
     * end of stream, or resets the connection.
     */

    l->state = D4_LINK_ASKING;
    l->until = now + D4_LINK_ASK;

    return d4_link_ask(l, now);
}


static d4_link_event_t
d4_link_ask(d4_link_t *l, int64_t now)
{
    if (d4_io_reset(&l->io)) {
        return d4_link_broken(l);
    }

    if (now >= l->until || !d4_io_watch(&l->io)) {
        return d4_link_close(l, l->asked ? D4_LINK_DONE : D4_LINK_ENDED, NULL);
    }

    l->deadline = now + D4_LINK_ASK_STEP;

    return D4_LINK_AGAIN;
}


static d4_link_event_t
d4_link_timeout(d4_link_t *l, int64_t now)
{
    switch (l->state) {

    case D4_LINK_RESOLVING:
        return d4_link_close(l, D4_LINK_UNREACHABLE,
                             "looking up the name took too long");

    case D4_LINK_CONNECTING:
        errno = ETIMEDOUT;
        return d4_link_next_address(l, now);

    case D4_LINK_HANDSHAKE:
        return d4_link_close(l, D4_LINK_UNREACHABLE,
                             "the TLS handshake took too long");

    case D4_LINK_FINISHING:
        return d4_link_broken(l);

    case D4_LINK_ASKING:
        return d4_link_ask(l, now);

    case D4_LINK_DRAINING:
        if (l->asked && d4_io_watch(&l->io)) {

            /* it is slow, not gone: that would be noticed */

            l->deadline = now + 1000;
            return D4_LINK_AGAIN;
        }

        return d4_link_close(l, l->asked ? D4_LINK_DONE : D4_LINK_ENDED,
                             NULL);

    default:
        l->deadline = 0;
        return D4_LINK_AGAIN;
    }
}


/* Writing failed; but the server may have said why, or that it ended. */

static d4_link_event_t
d4_link_unwritable(d4_link_t *l)
{
    if (l->io.socket) {
        (void) d4_link_look(l);
    }

    return d4_link_broken(l);
}


/* Reading or writing failed, l->io.error says how. */

static d4_link_event_t
d4_link_broken(d4_link_t *l)
{
    return d4_link_close(l, D4_LINK_LOST,
                         l->ended ? "the server ended the session at once"
                                   : l->io.error);
}


static d4_link_event_t
d4_link_close(d4_link_t *l, d4_link_end_t end, const char *error)
{
    if (error != NULL && error != l->error) {
        snprintf(l->error, sizeof(l->error), "%s", error);
    }

    l->end = end;
    d4_link_abort(l);

    return D4_LINK_CLOSED;
}

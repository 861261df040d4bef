
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <openssl/err.h>

#include "d4_io.h"
#include "d4_tls.h"


#ifndef TCP_NOTSENT_LOWAT
#define TCP_NOTSENT_LOWAT   25
#endif

#define D4_IO_DEAD          60000      /* data unacknowledged for so long */
#define D4_IO_PROBES        3
#define D4_IO_PROBE         10         /* seconds between keepalive probes */
#define D4_IO_UNSENT        131072     /* what the kernel may hold unsent */


static ssize_t d4_io_write_stdout(d4_io_t *io, const uint8_t *p, size_t len);
static int d4_io_tls(d4_io_t *io, int n);
static int d4_io_error(d4_io_t *io);
static void d4_io_option(d4_io_t *io, int level, int name, int value);


void
d4_io_tune(d4_io_t *io, int keepalive)
{
    d4_io_option(io, IPPROTO_TCP, TCP_NODELAY, 1);
    d4_io_option(io, IPPROTO_TCP, TCP_USER_TIMEOUT, D4_IO_DEAD);

    /* what waits for a slow server waits in our queue, to be sent again */

    d4_io_option(io, IPPROTO_TCP, TCP_NOTSENT_LOWAT, D4_IO_UNSENT);

    if (keepalive != 0) {
        d4_io_option(io, IPPROTO_TCP, TCP_KEEPIDLE, keepalive);
        d4_io_option(io, IPPROTO_TCP, TCP_KEEPINTVL, D4_IO_PROBE);
        d4_io_option(io, IPPROTO_TCP, TCP_KEEPCNT, D4_IO_PROBES);
        d4_io_option(io, SOL_SOCKET, SO_KEEPALIVE, 1);
    }
}


ssize_t
d4_io_write(d4_io_t *io, const uint8_t *p, size_t len)
{
    int      n;
    ssize_t  sent;

    if (io->ssl != NULL) {
        ERR_clear_error();
        errno = 0;

        n = SSL_write(io->ssl, p, len);

        return n > 0 ? n : d4_io_tls(io, n);
    }

    if (io->socket) {
        sent = send(io->fd, p, len, MSG_NOSIGNAL);

    } else {
        sent = d4_io_write_stdout(io, p, len);
    }

    if (sent >= 0) {
        return sent;
    }

    io->writable = 1;

    return d4_io_error(io);
}


ssize_t
d4_io_read(d4_io_t *io, uint8_t *p, size_t len)
{
    int      n;
    ssize_t  got;

    if (io->ssl != NULL && !io->eof) {
        ERR_clear_error();
        errno = 0;

        n = SSL_read(io->ssl, p, len);

        return n > 0 ? n : d4_io_tls(io, n);
    }

    got = recv(io->fd, p, len, 0);

    if (got > 0) {
        return got;
    }

    if (got == 0) {
        io->eof = 1;
        return -1;
    }

    if (d4_io_error(io) == 0) {
        return 0;
    }

    io->eof = 0;                       /* of TLS: it was not all */

    return -1;
}


int
d4_io_shutdown(d4_io_t *io)
{
    int  n;

    if (io->ssl != NULL && !io->shut) {
        ERR_clear_error();
        errno = 0;

        n = SSL_shutdown(io->ssl);

        if (n < 0) {
            return d4_io_tls(io, n);
        }
    }

    io->shut = 1;

    if (shutdown(io->fd, SHUT_WR) == -1) {
        return d4_io_error(io);
    }

    return 1;
}


/*
 * The user timeout would also end a connection to a server that answers but
 * keeps its window closed, that is, one that tells us to wait.  So it is
 * lifted while all that was sent is acknowledged and yet something waits.
 */

int
d4_io_watch(d4_io_t *io)
{
    int  queued, unsent;

    if (!io->tcp || ioctl(io->fd, SIOCOUTQ, &queued) != 0
        || ioctl(io->fd, SIOCOUTQNSD, &unsent) != 0)
    {
        return 0;
    }

    d4_io_option(io, IPPROTO_TCP, TCP_USER_TIMEOUT,
                 (unsent != 0 && queued == unsent) ? 0 : D4_IO_DEAD);

    return queued != 0;
}


int
d4_io_reset(d4_io_t *io)
{
    int        err;
    socklen_t  len;

    len = sizeof(int);

    if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1
        || err == 0)
    {
        return 0;
    }

    snprintf(io->error, sizeof(io->error), "%s", strerror(err));

    return 1;
}


void
d4_io_close(d4_io_t *io)
{
    SSL_free(io->ssl);
    io->ssl = NULL;

    if (io->fd != -1 && io->socket) {
        close(io->fd);
    }

    io->fd = -1;
}


static ssize_t
d4_io_write_stdout(d4_io_t *io, const uint8_t *p, size_t len)
{
    struct pollfd  pfd;

    if (io->pipe) {

        /*
         * Standard output belongs to others, too, so it is not made
         * non-blocking; but so much goes into a pipe that has room.
         */

        if (len > PIPE_BUF) {
            len = PIPE_BUF;
        }

        pfd.fd = io->fd;
        pfd.events = POLLOUT;
        pfd.revents = 0;

        if (poll(&pfd, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
    }

    return write(io->fd, p, len);
}


/* What became of a TLS call that returned n, 0 or less. */

static int
d4_io_tls(d4_io_t *io, int n)
{
    switch (SSL_get_error(io->ssl, n)) {

    case SSL_ERROR_WANT_READ:
        io->writable = 0;
        return 0;

    case SSL_ERROR_WANT_WRITE:
        io->writable = 1;
        return 0;

    case SSL_ERROR_ZERO_RETURN:
        io->eof = 1;
        break;
    }

    d4_tls_error(io->ssl, n, io->error, sizeof(io->error));

    return -1;
}


static int
d4_io_error(d4_io_t *io)
{
    if (errno == EAGAIN || errno == EINTR) {
        return 0;
    }

    snprintf(io->error, sizeof(io->error), "%s", strerror(errno));

    return -1;
}


/* An option that the kernel does not know is not worth a failure. */

static void
d4_io_option(d4_io_t *io, int level, int name, int value)
{
    (void) setsockopt(io->fd, level, name, &value, sizeof(int));
}

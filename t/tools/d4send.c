/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * A load of sensors for the tests: connections that each send numbered frames
 * (numbered.h) under a uuid of their own.  A connection ends with close_notify
 * and waits for the server's end, so that a run is over when the server has
 * taken everything.  When the server ends a connection, the frame that was
 * begun is finished first, and with -R the sensor comes back and goes on.
 */


#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <signal.h>
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

#include "../../ngx_d4_module/protocol/d4_uuid.h"
#include "numbered.h"


#define BUFFER_SIZE   65536
#define RECORD_SIZE   16384
#define RETRY_MS      100
#define RETRY_MAX_MS  1000


typedef enum {
    STATE_WAIT = 0,                    /* until retry_at */
    STATE_CONNECT,
    STATE_HANDSHAKE,
    STATE_RUN,
    STATE_LAST,                        /* up to the border, then FINISH */
    STATE_FINISH,                      /* our end was sent */
    STATE_HOLD,                        /* all was sent, stay */
    STATE_DONE
} state_t;


typedef struct {
    int       fd;
    int       index;
    state_t   state;
    uint32_t  events;                  /* that epoll watches */
    SSL      *ssl;

    uint8_t   uuid[D4_UUID_SIZE];
    uint8_t  *buf;
    size_t    off;                     /* sent of buf */
    size_t    len;
    size_t    pending;                 /* of a write to be repeated */
    size_t    edge;                    /* end in buf of frame sent */

    uint64_t  next;                    /* to be put into buf */
    uint64_t  sent;                    /* frames below were sent whole */

    double    retry_at;
    int       retry_ms;
    unsigned  notified:1;              /* the server's close_notify came */
    unsigned  planned:1;               /* the server ended it */
    unsigned  want_write:1;
    unsigned  want_read:1;
} conn_t;


static struct {
    const char          *address;
    int                  port;
    int                  conns;
    int                  type;
    uint64_t             first;
    uint64_t             frames;       /* a connection; 0: until SIGTERM */
    uint32_t             min;
    uint32_t             max;
    double               rate;         /* frames/s in all; 0: no limit */
    size_t               split;        /* writes of 1 to split bytes */
    double               timeout;
    int                  reconnect;
    int                  plain;
    int                  mute;         /* never read, close at once */
    int                  hold;
    uint8_t              uuid[D4_UUID_SIZE];
} opt = { "127.0.0.1", 4443, 1, 8, 0, 1000, 100, 100, 0, 0, 60,
          0, 0, 0, 0, { 0 } };

static struct {
    uint64_t             bytes;
    uint64_t             got;          /* application bytes of the server */
    unsigned             connects;
    unsigned             failures;     /* no connection or no handshake */
    unsigned             planned;      /* ended by the server with notice */
    unsigned             aborts;       /* ended by the server without */
    unsigned             unclean;      /* no close_notify at our own end */
} count;

static int                    epfd;
static int                    alive;
static double                 started;
static d4_key_t               key;
static SSL_CTX               *ctx;
static struct sockaddr_in     peer;
static volatile sig_atomic_t  stop;


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


static void
on_signal(int signo)
{
    (void) signo;

    stop = 1;
}


static size_t
frame_size(uint64_t seq)
{
    return D4_HEADER_SIZE + numbered_size(seq, opt.min, opt.max);
}


static int
more_frames(conn_t *c)
{
    return !stop && (opt.frames == 0 || c->next < opt.first + opt.frames);
}


/* How many frames the rate allows the connection now. */

static uint64_t
allowance(conn_t *c)
{
    double  n;

    if (opt.rate <= 0) {
        return UINT64_MAX;
    }

    n = (now() - started) * opt.rate / opt.conns - (double) (c->next
                                                             - opt.first);

    return n < 1 ? 0 : (uint64_t) n;
}


static int
fill(conn_t *c)
{
    uint64_t  max;

    if (c->off < c->len) {
        return 1;
    }

    max = allowance(c);

    c->off = 0;
    c->len = 0;

    while (max-- > 0 && more_frames(c)
           && (c->len == 0
               || c->len + frame_size(c->next) <= BUFFER_SIZE))
    {
        c->len += numbered_frame(c->buf + c->len, c->uuid, opt.type,
                                 (unsigned) c->index, c->next,
                                 numbered_size(c->next, opt.min, opt.max),
                                 &key);
        c->next++;
    }

    if (c->len > 0) {
        c->edge = frame_size(c->sent);
    }

    return c->len > 0;
}


/* Accounts n bytes that the server may have received by now. */

static void
advance(conn_t *c, size_t n)
{
    c->off += n;
    count.bytes += n;

    while (c->sent < c->next && c->edge <= c->off) {
        c->sent++;
        c->edge += frame_size(c->sent);
    }
}


/* Takes back the frames that were not begun. */

static void
cut_at_border(conn_t *c)
{
    size_t    begin, must;
    uint64_t  seq;

    if (c->off == c->len) {
        return;
    }

    must = c->off + c->pending;
    seq = c->sent;
    begin = c->edge - frame_size(seq);

    while (begin < must) {
        begin += frame_size(seq);
        seq++;
    }

    c->len = begin;
    c->next = seq;
}


static void
watch(conn_t *c, uint32_t events)
{
    struct epoll_event  ee;

    if (c->events == events) {
        return;
    }

    ee.events = events;
    ee.data.ptr = c;

    epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &ee);
    c->events = events;
}


static void
disconnect(conn_t *c)
{
    if (c->ssl != NULL) {
        SSL_free(c->ssl);
        c->ssl = NULL;
    }

    if (c->fd != -1) {
        close(c->fd);
        c->fd = -1;
    }
}


/* The connection is gone; comes back if it should. */

static void
over(conn_t *c)
{
    disconnect(c);

    /* a frame that was sent in part was not taken: it is sent again */

    c->next = c->sent;
    c->off = 0;
    c->len = 0;

    if (opt.reconnect && (more_frames(c) || (opt.hold && !stop))) {
        c->state = STATE_WAIT;
        c->retry_at = now() + c->retry_ms / 1000.0;
        c->retry_ms = c->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS
                                                     : c->retry_ms * 2;
        return;
    }

    free(c->buf);
    c->buf = NULL;
    c->state = STATE_DONE;
    alive--;
}


static void
failed(conn_t *c)
{
    count.failures++;
    over(c);
}


static void
aborted(conn_t *c)
{
    count.aborts++;
    over(c);
}


/* SSL_write() or write(): bytes taken, 0 to wait, -1 at an error. */

static ssize_t
put(conn_t *c, const uint8_t *p, size_t len)
{
    int      n;
    ssize_t  rc;

    c->want_write = 0;
    c->want_read = 0;

    if (c->ssl == NULL) {
        rc = send(c->fd, p, len, MSG_NOSIGNAL);

        if (rc == -1 && (errno == EAGAIN || errno == EINTR)) {
            c->want_write = 1;
            return 0;
        }

        return rc;
    }

    ERR_clear_error();
    n = SSL_write(c->ssl, p, (int) len);

    if (n > 0) {
        return n;
    }

    switch (SSL_get_error(c->ssl, n)) {

    case SSL_ERROR_WANT_WRITE:
        c->want_write = 1;
        return 0;

    case SSL_ERROR_WANT_READ:
        c->want_read = 1;
        return 0;
    }

    return -1;
}


static void
finish(conn_t *c)
{
    if (c->ssl != NULL) {
        ERR_clear_error();
        (void) SSL_shutdown(c->ssl);
    }

    if (opt.mute) {
        over(c);
        return;
    }

    shutdown(c->fd, SHUT_WR);

    c->state = STATE_FINISH;
    watch(c, EPOLLIN);
}


static void
do_write(conn_t *c)
{
    size_t   n, budget;
    ssize_t  rc;

    for (budget = 4 * BUFFER_SIZE; budget > 0; budget -= n) {

        if (c->state == STATE_RUN && !fill(c)) {

            if (more_frames(c)) {
                watch(c, opt.mute ? 0 : EPOLLIN);     /* the rate */
                return;
            }

            if (opt.hold && !stop) {
                c->state = STATE_HOLD;
                watch(c, EPOLLIN);
                return;
            }

            c->state = STATE_LAST;
        }

        if (c->off == c->len) {
            finish(c);
            return;
        }

        n = c->pending;

        if (n == 0) {
            n = c->len - c->off;

            if (n > RECORD_SIZE) {
                n = RECORD_SIZE;
            }

            if (opt.split > 0 && n > opt.split) {
                n = 1 + (size_t) random() % opt.split;
            }
        }

        rc = put(c, c->buf + c->off, n);

        if (rc < 0) {
            aborted(c);
            return;
        }

        if (rc == 0) {
            c->pending = n;
            break;
        }

        n = (size_t) rc;
        c->pending = 0;
        c->retry_ms = RETRY_MS;
        advance(c, n);

        if (n >= budget) {
            break;
        }
    }

    watch(c, (c->state == STATE_RUN && !opt.mute ? EPOLLIN : 0)
             | (c->want_read ? EPOLLIN : EPOLLOUT));
}


/* The server has ended its side with notice. */

static void
notified(conn_t *c)
{
    c->notified = 1;

    if (c->state == STATE_FINISH) {
        return;
    }

    c->planned = 1;
    count.planned++;

    if (c->state == STATE_HOLD) {
        finish(c);
        return;
    }

    cut_at_border(c);
    c->state = STATE_LAST;
    do_write(c);
}


static void
do_read(conn_t *c)
{
    int             n;
    ssize_t         rc;
    static uint8_t  buf[16384];

    for (;;) {

        if (c->ssl != NULL && !c->notified) {

            ERR_clear_error();
            n = SSL_read(c->ssl, buf, sizeof(buf));

            if (n > 0) {
                count.got += (uint64_t) n;
                continue;
            }

            switch (SSL_get_error(c->ssl, n)) {

            case SSL_ERROR_WANT_READ:
            case SSL_ERROR_WANT_WRITE:
                return;

            case SSL_ERROR_ZERO_RETURN:
                notified(c);

                if (c->state != STATE_FINISH) {
                    return;
                }

                continue;
            }

            if (c->state == STATE_FINISH) {
                count.unclean++;
                over(c);
                return;
            }

            aborted(c);
            return;
        }

        rc = recv(c->fd, buf, sizeof(buf), 0);

        if (rc > 0) {
            count.got += (uint64_t) rc;
            continue;
        }

        if (rc == -1 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }

        if (c->state == STATE_FINISH) {
            count.unclean += (rc == -1);
            over(c);

        } else if (rc == 0 && c->ssl == NULL && !c->notified) {
            notified(c);

        } else {
            aborted(c);
        }

        return;
    }
}


static void
run(conn_t *c)
{
    c->state = STATE_RUN;
    count.connects++;

    do_write(c);
}


static void
do_handshake(conn_t *c)
{
    int  n;

    ERR_clear_error();
    n = SSL_connect(c->ssl);

    if (n == 1) {
        run(c);
        return;
    }

    switch (SSL_get_error(c->ssl, n)) {

    case SSL_ERROR_WANT_READ:
        watch(c, EPOLLIN);
        return;

    case SSL_ERROR_WANT_WRITE:
        watch(c, EPOLLOUT);
        return;
    }

    failed(c);
}


static void
connected(conn_t *c)
{
    int        err;
    socklen_t  len;

    len = sizeof(err);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1
        || err != 0)
    {
        failed(c);
        return;
    }

    if (opt.plain) {
        run(c);
        return;
    }

    c->ssl = SSL_new(ctx);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1) {
        failed(c);
        return;
    }

    c->state = STATE_HANDSHAKE;
    do_handshake(c);
}


static void
start(conn_t *c)
{
    int                 one;
    struct epoll_event  ee;

    one = 1;

    c->pending = 0;
    c->notified = 0;
    c->planned = 0;
    c->state = STATE_CONNECT;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd == -1) {
        failed(c);
        return;
    }

    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    ee.events = EPOLLOUT;
    ee.data.ptr = c;
    c->events = ee.events;

    if (epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &ee) == -1
        || (connect(c->fd, (struct sockaddr *) &peer, sizeof(peer)) == -1
            && errno != EINPROGRESS))
    {
        failed(c);
    }
}


static void
on_event(conn_t *c, uint32_t events)
{
    switch (c->state) {

    case STATE_CONNECT:
        connected(c);
        return;

    case STATE_HANDSHAKE:
        do_handshake(c);
        return;

    case STATE_RUN:
    case STATE_HOLD:
    case STATE_FINISH:

        if ((events & (EPOLLIN|EPOLLHUP|EPOLLERR)) && !opt.mute) {
            do_read(c);
        }

        if (c->state == STATE_RUN
            && ((events & (EPOLLOUT|EPOLLERR)) || c->want_read))
        {
            do_write(c);
        }

        return;

    case STATE_LAST:
        do_write(c);
        return;

    case STATE_WAIT:
    case STATE_DONE:
        return;
    }
}


/* What time brings: reconnects, frames that the rate allows, the end. */

static void
tick(conn_t *conns)
{
    int      i;
    double   t;
    conn_t  *c;

    t = now();

    for (i = 0; i < opt.conns; i++) {
        c = &conns[i];

        if (c->state == STATE_WAIT) {

            if (stop) {
                over(c);

            } else if (c->retry_at <= t) {
                start(c);
            }

        } else if (c->state == STATE_RUN && !(c->events & EPOLLOUT)
                   && !c->want_read)
        {
            do_write(c);

        } else if (c->state == STATE_HOLD && stop) {
            finish(c);
        }
    }
}


static void
loop(conn_t *conns)
{
    int                 i, n;
    double              last, t;
    struct epoll_event  events[256];

    last = 0;

    while (alive > 0) {

        n = epoll_wait(epfd, events, 256, 5);

        for (i = 0; i < n; i++) {
            on_event(events[i].data.ptr, events[i].events);
        }

        t = now();

        if (t - last >= 0.005) {
            tick(conns);
            last = t;
        }

        if (t - started > opt.timeout) {
            return;
        }
    }
}


static void
report(conn_t *conns)
{
    int       i;
    uint64_t  sent;

    sent = 0;

    for (i = 0; i < opt.conns; i++) {
        sent += conns[i].sent - opt.first;
    }

    printf("{\"conns\":%d,\"sent\":%llu,\"bytes\":%llu,\"got\":%llu,"
           "\"connects\":%u,\"failures\":%u,\"planned\":%u,\"aborts\":%u,"
           "\"unclean\":%u,\"unfinished\":%d,\"seconds\":%.3f,"
           "\"first\":%llu,\"min\":%u,\"max\":%u,\"type\":%d,\"sent_by\":[",
           opt.conns, (unsigned long long) sent,
           (unsigned long long) count.bytes, (unsigned long long) count.got,
           count.connects, count.failures, count.planned, count.aborts,
           count.unclean, alive, now() - started,
           (unsigned long long) opt.first, opt.min, opt.max, opt.type);

    for (i = 0; i < opt.conns; i++) {
        printf("%s%llu", i ? "," : "",
               (unsigned long long) (conns[i].sent - opt.first));
    }

    printf("]}\n");
}


static void
read_key(const char *path)
{
    FILE    *fp;
    size_t   n;
    uint8_t  buf[4096];

    fp = fopen(path, "rb");
    if (fp == NULL) {
        perror(path);
        exit(2);
    }

    n = fread(buf, 1, sizeof(buf), fp);
    fclose(fp);

    if (n > 0 && buf[n - 1] == '\n') {
        n--;
    }

    d4_key_init(&key, buf, n);
}


static void
usage(void)
{
    fputs("usage: d4send -p port -k keyfile -u uuid [-a address] [-c conns]\n"
          "    [-n frames (0: until SIGTERM)] [-b first number] [-t type]\n"
          "    [-s size | -s min-max] [-r frames/s] [-w max bytes a write]\n"
          "    [-T seconds] [-R (reconnect)] [-P (no TLS)] [-H (stay)]\n"
          "    [-x (never read, close at once)]\n", stderr);
    exit(2);
}


static void
options(int argc, char **argv)
{
    int          ch;
    char        *end;
    const char  *keyfile, *uuid;

    keyfile = NULL;
    uuid = NULL;

    while ((ch = getopt(argc, argv, "a:b:c:k:n:p:r:s:t:T:u:w:HPRx")) != -1) {

        switch (ch) {

        case 'a': opt.address = optarg; break;
        case 'b': opt.first = strtoull(optarg, NULL, 10); break;
        case 'c': opt.conns = atoi(optarg); break;
        case 'k': keyfile = optarg; break;
        case 'n': opt.frames = strtoull(optarg, NULL, 10); break;
        case 'p': opt.port = atoi(optarg); break;
        case 'r': opt.rate = strtod(optarg, NULL); break;
        case 't': opt.type = atoi(optarg); break;
        case 'T': opt.timeout = strtod(optarg, NULL); break;
        case 'u': uuid = optarg; break;
        case 'w': opt.split = strtoul(optarg, NULL, 10); break;
        case 'H': opt.hold = 1; break;
        case 'P': opt.plain = 1; break;
        case 'R': opt.reconnect = 1; break;
        case 'x': opt.mute = 1; break;

        case 's':
            opt.min = (uint32_t) strtoul(optarg, &end, 10);
            opt.max = *end == '-' ? (uint32_t) strtoul(end + 1, NULL, 10)
                                  : opt.min;
            break;

        default:
            usage();
        }
    }

    if (keyfile == NULL || uuid == NULL || opt.conns < 1
        || opt.min < NUMBERED_MIN || opt.max < opt.min
        || d4_uuid_parse(opt.uuid, uuid, strlen(uuid)) != 0)
    {
        usage();
    }

    read_key(keyfile);
}


int
main(int argc, char **argv)
{
    int               i;
    conn_t           *conns, *c;
    uint32_t          low;
    struct rlimit     rlmt;
    struct sigaction  sa;

    options(argc, argv);
    numbered_init();

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_signal;
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);

    if (getrlimit(RLIMIT_NOFILE, &rlmt) == 0) {
        rlmt.rlim_cur = rlmt.rlim_max;
        setrlimit(RLIMIT_NOFILE, &rlmt);
    }

    peer.sin_family = AF_INET;
    peer.sin_port = htons((uint16_t) opt.port);

    if (inet_pton(AF_INET, opt.address, &peer.sin_addr) != 1) {
        usage();
    }

    ctx = SSL_CTX_new(TLS_client_method());
    conns = calloc((size_t) opt.conns, sizeof(conn_t));
    epfd = epoll_create1(EPOLL_CLOEXEC);

    if (ctx == NULL || conns == NULL || epfd == -1) {
        perror("d4send");
        return 2;
    }

    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                          | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                          | SSL_MODE_RELEASE_BUFFERS);

    started = now();
    alive = opt.conns;

    for (i = 0; i < opt.conns; i++) {
        c = &conns[i];

        c->fd = -1;
        c->index = i;
        c->next = opt.first;
        c->sent = opt.first;
        c->retry_ms = RETRY_MS;

        /* the last four bytes of the uuid count the connections */

        memcpy(c->uuid, opt.uuid, D4_UUID_SIZE);
        low = ((uint32_t) c->uuid[12] << 24) + ((uint32_t) c->uuid[13] << 16)
              + ((uint32_t) c->uuid[14] << 8) + c->uuid[15] + (uint32_t) i;
        c->uuid[12] = (uint8_t) (low >> 24);
        c->uuid[13] = (uint8_t) (low >> 16);
        c->uuid[14] = (uint8_t) (low >> 8);
        c->uuid[15] = (uint8_t) low;

        c->buf = malloc(BUFFER_SIZE + D4_HEADER_SIZE + opt.max);
        if (c->buf == NULL) {
            perror("d4send");
            return 2;
        }

        start(c);
    }

    loop(conns);
    report(conns);

    return alive > 0 ? 3 : 0;
}

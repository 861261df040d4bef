
/*
 * Copyright (C) The ngx_d4 authors
 */


#define _GNU_SOURCE                /* ppoll() */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

#include "d4_client.h"
#include "d4_log.h"


#define D4_STOP         4500           /* from a signal to the exit */
#define D4_STOP_READ    1000           /* of it: what is still in the pipe */
#define D4_STOP_QUIET   100            /* or until nothing came for so long */
#define D4_DROP_REPORT  10000


volatile sig_atomic_t  d4_signal_stop;
volatile sig_atomic_t  d4_signal_reload;
volatile sig_atomic_t  d4_signal_stats;


static int d4_client_init(d4_client_t *c, const d4_options_t *o,
    d4_config_t *config);
static void d4_client_free(d4_client_t *c);
static void d4_client_signals(d4_client_t *c, int64_t now);
static void d4_client_input(d4_client_t *c, int64_t now);
static int d4_client_read(d4_client_t *c, int64_t now);
static void d4_client_linger(d4_client_t *c, int64_t now);
static int d4_client_reading(const d4_client_t *c);
static void d4_client_cut(d4_client_t *c, d4_cut_how_t how);
static void d4_client_push(d4_client_t *c, const d4_piece_t *piece);
static void d4_client_restart(d4_client_t *c);
static void d4_client_rest(d4_client_t *c);
static void d4_client_end(d4_client_t *c);
static void d4_client_output(d4_client_t *c, int64_t now);
static void d4_client_give_up(d4_client_t *c);
static void d4_client_reload(d4_client_t *c, int64_t now);
static void d4_client_switch(d4_client_t *c, int64_t now);
static int d4_client_same(const char *a, const char *b);
static void d4_client_wait(d4_client_t *c, const sigset_t *mask);
static int64_t d4_client_wake(const d4_client_t *c, int64_t link);
static void d4_client_report(d4_client_t *c, int64_t now);
static void d4_client_stats(const d4_client_t *c, int64_t now);


int
d4_client_run(const d4_options_t *o, d4_config_t *config,
    const sigset_t *mask)
{
    int          code;
    d4_client_t  c;

    if (d4_client_init(&c, o, config) != 0) {
        d4_client_free(&c);
        return D4_EXIT_CONFIG;
    }

    while (c.code == D4_CLIENT_RUN) {
        d4_client_signals(&c, d4_now());
        d4_client_linger(&c, d4_now());
        d4_client_output(&c, d4_now());
        d4_client_report(&c, d4_now());

        if (c.code == D4_CLIENT_RUN) {
            d4_client_wait(&c, mask);
        }
    }

    c.dropped_at = 0;
    d4_client_report(&c, D4_DROP_REPORT);

    if (o->verbose) {
        d4_client_stats(&c, d4_now());
    }

    code = (c.code == D4_EXIT_OK && c.failed) ? D4_EXIT_CONFIG : c.code;
    d4_client_free(&c);

    return code;
}


static int
d4_client_init(d4_client_t *c, const d4_options_t *o, d4_config_t *config)
{
    int64_t  now;

    now = d4_now();

    memset(c, 0, sizeof(d4_client_t));

    c->options = o;
    c->config = *config;
    OPENSSL_cleanse(config, sizeof(d4_config_t));

    c->code = D4_CLIENT_RUN;
    c->retry_at = now;

    d4_queue_init(&c->queue, o->queue, o->overflow);
    d4_rate_init(&c->rate_bytes, o->rate_bytes, now);
    d4_rate_init(&c->rate_frames, o->rate_frames, now);

    if (d4_link_init(&c->link, &c->config, c->config.snaplen) != 0
        || d4_cut_init(&c->cut, c->config.cut, c->config.snaplen) != 0)
    {
        d4_log("no memory");
        return -1;
    }

    return d4_source_open(&c->source, &c->config);
}


static void
d4_client_free(d4_client_t *c)
{
    d4_source_close(&c->source);
    d4_link_free(&c->link);
    d4_cut_free(&c->cut);
    d4_queue_free(&c->queue);

    if (c->reload) {
        d4_config_free(&c->next);
    }

    d4_config_free(&c->config);
}


static void
d4_client_signals(d4_client_t *c, int64_t now)
{
    if (d4_signal_stats) {
        d4_signal_stats = 0;
        d4_client_stats(c, now);
    }

    if (d4_signal_reload) {
        d4_signal_reload = 0;

        if (!c->stopping) {
            d4_client_reload(c, now);
        }
    }

    if (d4_signal_stop) {
        d4_signal_stop = 0;

        if (c->stopping) {
            d4_client_give_up(c);
            return;
        }

        c->stopping = 1;
        c->stop_at = now + D4_STOP;
        c->read_until = now + D4_STOP_READ;
        c->last_read = now;
        c->retry_at = now;

        d4_log("stopping");
    }

    if (c->stopping && !c->ended
        && (now >= c->read_until || now - c->last_read >= D4_STOP_QUIET
            || d4_queue_full(&c->queue)))
    {
        d4_client_end(c);
    }

    if (c->stopping && now >= c->stop_at) {
        d4_client_give_up(c);
    }
}


/* Content that waits for more goes out when it has waited long enough. */

static void
d4_client_linger(d4_client_t *c, int64_t now)
{
    if (d4_cut_ready(&c->cut) == 0) {
        c->flush_at = 0;
        return;
    }

    if (c->flush_at == 0) {
        c->flush_at = now + c->options->linger;
    }

    if (now >= c->flush_at && !d4_queue_full(&c->queue)) {
        d4_client_cut(c, D4_CUT_FLUSH);
        c->flush_at = 0;
    }
}


static int
d4_client_reading(const d4_client_t *c)
{
    return !c->ended && !d4_queue_full(&c->queue);
}


static void
d4_client_input(d4_client_t *c, int64_t now)
{
    while (d4_client_read(c, now) && d4_source_held(&c->source)
           && d4_client_reading(c))
    {
        /* what is there needs no poll */
    }
}


/* 1 when something was read. */

static int
d4_client_read(d4_client_t *c, int64_t now)
{
    size_t    room;
    ssize_t   n;
    uint8_t  *p;

    p = d4_cut_room(&c->cut, &room);
    n = d4_source_read(&c->source, p, room, now);

    switch (n) {

    case D4_SOURCE_NOTHING:
        return 0;

    case D4_SOURCE_RESTART:
        d4_client_restart(c);
        return 0;

    case D4_SOURCE_ERROR:
        c->failed = 1;

        /* fall through */

    case D4_SOURCE_END:
        d4_client_end(c);
        return 0;
    }

    c->last_read = now;
    c->stats.read += n;

    d4_cut_added(&c->cut, n);

    if (d4_cut_header(&c->cut) != NULL) {
        memcpy(c->header, d4_cut_header(&c->cut), D4_PCAP_HEADER);
        c->has_header = 1;
    }

    if (d4_cut_strange(&c->cut) && !c->strange) {
        c->strange = 1;
        d4_log("the input is not pcap, or no longer: sent as it is read");
    }

    d4_client_cut(c, D4_CUT_FULL);

    return 1;
}


static void
d4_client_cut(d4_client_t *c, d4_cut_how_t how)
{
    d4_piece_t  piece;

    while (d4_cut_next(&c->cut, how, &piece)) {
        d4_client_push(c, &piece);
    }
}


static void
d4_client_push(d4_client_t *c, const d4_piece_t *piece)
{
    if (d4_queue_push(&c->queue, piece, time(NULL), d4_cut_header(&c->cut))
        != 0)
    {
        d4_log("no memory: a frame is dropped");
    }
}


/* Another writer of the fifo, or another file: what was begun is over. */

static void
d4_client_restart(d4_client_t *c)
{
    int     broken;
    size_t  lost;

    d4_client_cut(c, D4_CUT_FLUSH);

    lost = d4_cut_restart(&c->cut, &broken);

    if (lost != 0) {
        c->stats.discarded += lost;
        d4_log("the input ended within a record, %zu bytes are discarded",
               lost);
    }

    if (broken) {
        d4_queue_break(&c->queue);
    }

    c->strange = 0;

    d4_client_cut(c, D4_CUT_FLUSH);
}


/* What was read from the source is sent, however full the queue is. */

static void
d4_client_rest(d4_client_t *c)
{
    while (d4_source_held(&c->source)) {
        (void) d4_client_read(c, c->last_read);
    }
}


static void
d4_client_end(d4_client_t *c)
{
    d4_piece_t  empty;

    d4_client_rest(c);

    d4_client_cut(c, D4_CUT_ALL);
    d4_queue_end(&c->queue);

    if (c->options->eof_frame) {
        empty.data = c->header;
        empty.len = 0;
        empty.start = 1;
        empty.end = 1;

        d4_client_push(c, &empty);
    }

    c->ended = 1;
    d4_source_close(&c->source);
}


static void
d4_client_output(d4_client_t *c, int64_t now)
{
    if (c->reload && (c->link.state == D4_LINK_DOWN
                      || (c->config.dest_kind == D4_DEST_STDOUT
                          && c->next.dest_kind == D4_DEST_STDOUT
                          && d4_link_ready(&c->link))))
    {
        d4_client_switch(c, now);
    }

    if (c->code == D4_CLIENT_RUN) {
        d4_session_feed(c, now);
    }

    if (c->code != D4_CLIENT_RUN || !d4_session_done(c, now)) {
        return;
    }

    if (c->link.state != D4_LINK_DOWN) {
        d4_link_finish(&c->link);
    }

    if (c->link.state == D4_LINK_DOWN) {
        c->code = D4_EXIT_OK;
    }
}


/* The time to stop is over. */

static void
d4_client_give_up(d4_client_t *c)
{
    if (!c->ended) {
        d4_client_end(c);
    }

    if (!d4_session_wanted(c) && c->link.len == 0) {
        c->code = D4_EXIT_OK;
        return;
    }

    d4_log("%llu frames could not be sent",
           (unsigned long long) c->queue.frames);

    c->code = D4_EXIT_UNREACHABLE;
}


/*
 * Reads the directory again.  The session ends in order before the new values
 * are used, so that each session is of one piece.
 */

static void
d4_client_reload(d4_client_t *c, int64_t now)
{
    d4_config_t  next;

    if (d4_config_load(&next, c->options) != 0) {
        d4_log("the configuration stays as it was");
        return;
    }

    if (next.type != c->config.type) {
        d4_log("the type cannot be changed without a restart, the "
               "configuration stays as it was");
        d4_config_free(&next);
        return;
    }

    d4_log("the configuration was read again");

    if (c->reload) {
        d4_config_free(&c->next);
    }

    c->next = next;
    c->reload = 1;
    OPENSSL_cleanse(&next, sizeof(d4_config_t));

    if (c->config.dest_kind == D4_DEST_STDOUT
        && c->next.dest_kind == D4_DEST_STDOUT)
    {
        return;                    /* at the next border of a frame */
    }

    if (c->link.state != D4_LINK_DOWN) {
        d4_link_finish(&c->link);
    }

    c->retry_at = now;
    c->pause = 0;
}


static void
d4_client_switch(d4_client_t *c, int64_t now)
{
    int            again, max;
    d4_config_t    old;
    d4_piece_t     piece;
    d4_session_t  *s;

    old = c->config;
    c->config = c->next;
    c->reload = 0;

    /* the queue holds payloads of the old size */

    max = old.snaplen > c->config.snaplen ? old.snaplen : c->config.snaplen;

    again = (c->link.state != D4_LINK_DOWN);
    s = &c->session;

    d4_link_free(&c->link);

    if (d4_link_init(&c->link, &c->config, max) != 0) {
        goto failed;
    }

    if (again) {
        (void) d4_link_start(&c->link, now);

        if (s->prologue == (const uint8_t *) old.meta) {

            /* it was sent, or is as good as sent: the output is one session */

            s->prologue = (const uint8_t *) c->config.meta;
            s->len = c->config.meta_len;
            s->off = c->config.meta_len;
        }
    }

    d4_client_cut(c, D4_CUT_FLUSH);

    while ((again = d4_cut_resize(&c->cut, c->config.snaplen)) == 1) {
        if (d4_cut_split(&c->cut, c->config.snaplen, &piece)) {
            d4_client_push(c, &piece);
        }
    }

    if (again != 0) {
        goto failed;
    }

    if (c->ended || d4_client_same(c->config.source, old.source)) {
        c->source.path = c->config.source;

    } else {
        d4_client_rest(c);
        d4_client_restart(c);
        d4_source_close(&c->source);

        if (d4_source_open(&c->source, &c->config) != 0) {
            c->failed = 1;
            d4_client_end(c);
        }
    }

    d4_config_free(&old);

    return;

failed:

    d4_log("no memory");
    d4_config_free(&old);
    c->code = D4_EXIT_CONFIG;
}


static int
d4_client_same(const char *a, const char *b)
{
    if (a == NULL || b == NULL) {
        return a == b;             /* standard input */
    }

    return strcmp(a, b) == 0;
}


/* Waits for input, output, a signal or the next time to do something. */

static void
d4_client_wait(d4_client_t *c, const sigset_t *mask)
{
    int               n, held;
    int64_t           wake, now;
    struct pollfd     p[2];
    struct timespec   ts, *timeout;
    d4_link_event_t   event;

    wake = d4_client_wake(c, d4_link_poll(&c->link, &p[0]));

    p[1].fd = d4_client_reading(c) ? d4_source_fd(&c->source) : -1;
    p[1].events = POLLIN;
    p[1].revents = 0;

    timeout = NULL;
    held = d4_client_reading(c) && d4_source_held(&c->source);

    if (wake != 0 || held) {
        now = d4_now();
        wake = wake > now && !held ? wake - now : 0;

        ts.tv_sec = wake / 1000;
        ts.tv_nsec = wake % 1000 * 1000000;
        timeout = &ts;
    }

    n = ppoll(p, 2, timeout, mask);

    if (n == -1) {
        return;                    /* a signal */
    }

    now = d4_now();

    event = d4_link_step(&c->link, p[0].revents, now);

    if (event != D4_LINK_AGAIN) {
        d4_session_event(c, event, now);
    }

    if (c->code != D4_CLIENT_RUN || !d4_client_reading(c)) {
        return;
    }

    wake = d4_source_wake(&c->source);

    if (p[1].revents != 0 || held || (wake != 0 && now >= wake)) {
        d4_client_input(c, now);
    }
}


/* The earliest time at which something is due; 0: none. */

static int64_t
d4_client_wake(const d4_client_t *c, int64_t link)
{
    int      i, n;
    int64_t  wake, list[7];

    n = 0;
    list[n++] = link;
    list[n++] = c->wait_at;
    list[n++] = c->stopping ? c->stop_at : 0;
    list[n++] = d4_queue_full(&c->queue) ? 0 : c->flush_at;
    list[n++] = d4_client_reading(c) ? d4_source_wake(&c->source) : 0;

    if (c->link.state == D4_LINK_DOWN && d4_session_wanted(c)) {
        list[n++] = c->retry_at;
    }

    if (c->stopping && !c->ended) {
        list[n++] = c->last_read + D4_STOP_QUIET;
    }

    wake = 0;

    for (i = 0; i < n; i++) {
        if (list[i] != 0 && (wake == 0 || list[i] < wake)) {
            wake = list[i];
        }
    }

    return wake;
}


static void
d4_client_report(d4_client_t *c, int64_t now)
{
    uint64_t  n;

    n = c->queue.dropped_frames - c->dropped;

    if (n == 0 || now < c->dropped_at + D4_DROP_REPORT) {
        return;
    }

    d4_log("%llu frames were dropped, %llu in all",
           (unsigned long long) n,
           (unsigned long long) c->queue.dropped_frames);

    c->dropped = c->queue.dropped_frames;
    c->dropped_at = now;
}


static void
d4_client_stats(const d4_client_t *c, int64_t now)
{
    static const char  *states[] = { "down", "resolving", "connecting",
                                     "handshake", "open", "finishing",
                                     "draining", "asking" };

    d4_log("state=%s settled=%d session_s=%lld sessions=%llu failures=%llu "
           "read_bytes=%llu sent_frames=%llu sent_bytes=%llu "
           "resent_frames=%llu dropped_frames=%llu dropped_bytes=%llu "
           "discarded_bytes=%llu queued_frames=%llu queued_bytes=%llu "
           "last_error=\"%s\"",
           states[c->link.state], c->session.settled,
           c->session.open ? (long long) (now - c->session.since) / 1000 : 0,
           (unsigned long long) c->stats.sessions,
           (unsigned long long) c->stats.failures,
           (unsigned long long) c->stats.read,
           (unsigned long long) c->stats.frames,
           (unsigned long long) c->stats.bytes,
           (unsigned long long) c->stats.again,
           (unsigned long long) c->queue.dropped_frames,
           (unsigned long long) c->queue.dropped_bytes,
           (unsigned long long) c->stats.discarded,
           (unsigned long long) c->queue.frames,
           (unsigned long long) c->queue.bytes,
           c->error);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/rand.h>

#include "d4_header.h"
#include "d4_hmac.h"

#include "d4_client.h"
#include "d4_log.h"


#define D4_PAUSE_MIN    1000           /* between attempts, at first */
#define D4_PAUSE_MAX    200000         /* and half as much by chance */

/* a session that lasted so long was accepted: D4 servers do not say */

#define D4_ACCEPTED     10000


static void d4_session_begin(d4_client_t *c, int64_t now);
static int d4_session_fits(d4_client_t *c, const d4_item_t *item);
static int d4_session_joins(const d4_client_t *c, const d4_item_t *item,
    size_t len);
static int d4_session_settled(d4_client_t *c, int64_t now);
static int d4_session_allowed(d4_client_t *c, size_t size, int64_t now);
static d4_link_event_t d4_session_send(d4_client_t *c, int64_t now);
static void d4_session_header(d4_client_t *c, const d4_item_t *item);
static d4_link_event_t d4_session_greet(d4_client_t *c, int64_t now);
static size_t d4_session_payload(d4_client_t *c, uint8_t *out,
    const d4_item_t *item);
static size_t d4_session_seal(d4_client_t *c, uint8_t *out, uint8_t type,
    uint64_t timestamp, const uint8_t *data, size_t size);
static void d4_session_sent(d4_client_t *c);
static void d4_session_count(d4_client_t *c, size_t written);
static void d4_session_closed(d4_client_t *c, int64_t now);
static int d4_session_over(d4_client_t *c);
static int d4_session_exit(d4_client_t *c, int refused);
static void d4_session_retry(d4_client_t *c, uint64_t again, int64_t now);
static int64_t d4_session_jitter(int64_t pause);


int
d4_session_wanted(const d4_client_t *c)
{
    if (c->queue.next != NULL) {
        return 1;
    }

    if (c->config.dest_kind == D4_DEST_STDOUT && !c->ended) {
        return 1;                  /* to see when nobody reads any more */
    }

    return (c->config.meta != NULL || c->has_header)
           && !(c->ended && c->greeted);
}


int
d4_session_done(d4_client_t *c, int64_t now)
{
    if (!c->ended || d4_session_wanted(c) || c->link.len != 0
        || c->session.off < c->session.len)
    {
        return 0;
    }

    return !c->session.open || d4_session_settled(c, now);
}


void
d4_session_feed(d4_client_t *c, int64_t now)
{
    d4_link_event_t  event;

    c->wait_at = 0;

    if (c->link.state == D4_LINK_DOWN && !c->reload && d4_session_wanted(c)
        && now >= c->retry_at)
    {
        d4_debug("connecting to %s", c->config.destination);
        d4_session_event(c, d4_link_start(&c->link, now), now);
    }

    while (c->code == D4_CLIENT_RUN && !c->reload
           && d4_link_ready(&c->link))
    {
        event = d4_session_send(c, now);

        if (event == D4_LINK_AGAIN) {
            return;
        }

        d4_session_event(c, event, now);
    }
}


void
d4_session_event(d4_client_t *c, d4_link_event_t event, int64_t now)
{
    switch (event) {

    case D4_LINK_OPENED:
        d4_session_begin(c, now);
        break;

    case D4_LINK_SENT:
        d4_session_sent(c);
        break;

    case D4_LINK_CLOSED:
        d4_session_closed(c, now);
        break;

    default:
        break;
    }
}


static void
d4_session_begin(d4_client_t *c, int64_t now)
{
    c->stats.sessions++;
    c->error[0] = '\0';

    memset(&c->session, 0, sizeof(d4_session_t));

    c->session.open = 1;
    c->session.since = now;
    c->session.settle_at = now + c->options->settle;

    if (c->config.dest_kind == D4_DEST_STDOUT || c->options->settle == 0) {
        c->session.settled = 1;

    } else {
        d4_queue_hold(&c->queue);
    }

    if (c->config.meta != NULL) {
        c->session.prologue = (const uint8_t *) c->config.meta;
        c->session.len = c->config.meta_len;
    }

    if (c->config.dest_kind != D4_DEST_STDOUT) {
        d4_log("connected to %s%s%s", c->config.destination,
               c->link.io.ssl != NULL ? ", " : "",
               c->link.io.ssl != NULL ? SSL_get_version(c->link.io.ssl) : "");
    }
}


/*
 * Hands the next frame to the link, if there is one and it may go, and those
 * behind it that have room in what is written at once.
 */

static d4_link_event_t
d4_session_send(d4_client_t *c, int64_t now)
{
    size_t         len;
    d4_item_t     *item;
    d4_session_t  *s;

    s = &c->session;
    item = d4_queue_peek(&c->queue);

    if (!s->has_header && !s->begun) {
        d4_session_header(c, item);
    }

    if (s->off < s->len) {
        return d4_session_greet(c, now);
    }

    if (s->begun && !d4_session_settled(c, now)) {
        return D4_LINK_AGAIN;
    }

    if (item == NULL) {
        return D4_LINK_AGAIN;
    }

    if (!d4_session_fits(c, item)) {
        d4_link_finish(&c->link);
        return D4_LINK_AGAIN;
    }

    if (s->off < s->len) {
        return d4_session_greet(c, now);
    }

    if (!d4_session_allowed(c, item->size, now)) {
        return D4_LINK_AGAIN;
    }

    len = d4_session_payload(c, c->link.out, item);
    s->frames = 1;

    if (!s->begun) {
        s->begun = 1;
        s->settle_at = now + c->options->settle;
    }

    for (item = item->next; item != NULL; item = item->next) {

        if (!d4_session_joins(c, item, len)
            || !d4_session_allowed(c, item->size, now))
        {
            break;
        }

        len += d4_session_payload(c, c->link.out + len, item);
        s->frames++;
    }

    d4_queue_begin(&c->queue);

    return d4_link_send(&c->link, len, now);
}


/*
 * 1 when the payload can go behind len bytes of others.  Where payloads may be
 * dropped while they wait, and to standard output, they go one by one.
 */

static int
d4_session_joins(const d4_client_t *c, const d4_item_t *item, size_t len)
{
    const d4_session_t  *s;

    s = &c->session;

    return s->settled && c->queue.overflow == D4_QUEUE_BLOCK
           && c->config.dest_kind != D4_DEST_STDOUT
           && len + D4_HEADER_SIZE + item->size <= c->link.room
           && !item->fresh && item->has_header == s->has_header
           && memcmp(s->header, item->header, D4_PCAP_HEADER) == 0;
}


/* The pcap header of a session is that of its first payload. */

static void
d4_session_header(d4_client_t *c, const d4_item_t *item)
{
    d4_session_t   *s;
    const uint8_t  *header;

    s = &c->session;
    header = NULL;

    if (item != NULL) {
        header = item->has_header ? item->header : NULL;

    } else if (c->has_header) {
        header = c->header;
    }

    if (header != NULL) {
        memcpy(s->header, header, D4_PCAP_HEADER);
        s->has_header = 1;
        s->prologue = s->header;
        s->len = D4_PCAP_HEADER;
        s->off = 0;
    }
}


/* Hands over the next piece of the prologue. */

static d4_link_event_t
d4_session_greet(d4_client_t *c, int64_t now)
{
    size_t         len;
    uint8_t        type;
    d4_session_t  *s;

    s = &c->session;

    s->piece = s->len - s->off;
    if (s->piece > c->config.snaplen) {
        s->piece = c->config.snaplen;
    }

    if (!d4_session_allowed(c, s->piece, now)) {
        return D4_LINK_AGAIN;
    }

    type = (c->config.meta != NULL) ? D4_TYPE_META : c->config.type;
    len = d4_session_seal(c, c->link.out, type, time(NULL),
                          s->prologue + s->off, s->piece);

    s->at_hand = 1;
    s->off += s->piece;

    return d4_link_send(&c->link, len, now);
}


/*
 * 1 when the payload can follow what this session has sent.  Standard output
 * is but one session: there the new header simply follows.
 */

static int
d4_session_fits(d4_client_t *c, const d4_item_t *item)
{
    int            is_stdout;
    d4_session_t  *s;

    s = &c->session;
    is_stdout = (c->config.dest_kind == D4_DEST_STDOUT);

    if (item->has_header == s->has_header
        && memcmp(s->header, item->header, D4_PCAP_HEADER) == 0)
    {
        return !item->fresh || !s->begun || is_stdout;
    }

    if (!is_stdout) {
        d4_log("the capture has another pcap header, a new session begins");
        return 0;
    }

    d4_log("the capture has another pcap header, which goes to the same "
           "standard output");

    s->has_header = item->has_header;
    memcpy(s->header, item->header, D4_PCAP_HEADER);

    if (s->has_header) {
        s->prologue = s->header;
        s->len = D4_PCAP_HEADER;
        s->off = 0;
    }

    return 1;
}


/*
 * A server does not say that it accepts a sensor, it only ends the session of
 * one that it does not.  Whatever it was sent by then is lost; so that is one
 * frame, which is kept, and the rest follows when the session has lasted.
 */

static int
d4_session_settled(d4_client_t *c, int64_t now)
{
    d4_session_t  *s;

    s = &c->session;

    if (s->settled) {
        return 1;
    }

    if (now < s->settle_at) {
        c->wait_at = s->settle_at;
        return 0;
    }

    s->settled = 1;
    d4_queue_release(&c->queue);

    return 1;
}


static int
d4_session_allowed(d4_client_t *c, size_t size, int64_t now)
{
    int64_t  bytes, frames;

    bytes = d4_rate_wait(&c->rate_bytes, D4_HEADER_SIZE + size, now);
    frames = d4_rate_wait(&c->rate_frames, 1, now);

    if (bytes != 0 || frames != 0) {
        c->wait_at = bytes > frames ? bytes : frames;
        return 0;
    }

    d4_rate_spend(&c->rate_bytes, D4_HEADER_SIZE + size);
    d4_rate_spend(&c->rate_frames, 1);

    return 1;
}


static size_t
d4_session_payload(d4_client_t *c, uint8_t *out, const d4_item_t *item)
{
    uint64_t  timestamp;

    timestamp = c->options->restamp ? (uint64_t) time(NULL) : item->timestamp;

    return d4_session_seal(c, out, c->config.type, timestamp, item->data,
                           item->size);
}


/* Makes a frame; returns its length. */

static size_t
d4_session_seal(d4_client_t *c, uint8_t *out, uint8_t type,
    uint64_t timestamp, const uint8_t *data, size_t size)
{
    d4_header_t  h;

    memset(&h, 0, sizeof(d4_header_t));

    h.version = c->config.version;
    h.type = type;
    h.timestamp = timestamp;
    h.size = size;
    memcpy(h.uuid, c->config.uuid, D4_UUID_SIZE);

    d4_header_encode(out, &h);
    memcpy(out + D4_HEADER_SIZE, data, size);

    d4_hmac_frame(&c->config.key, out, out + D4_HEADER_SIZE, size,
                  out + D4_HMAC_OFFSET);

    return D4_HEADER_SIZE + size;
}


static void
d4_session_sent(d4_client_t *c)
{
    d4_session_t  *s;

    s = &c->session;

    if (s->at_hand) {
        s->at_hand = 0;
        c->stats.frames++;
        c->stats.bytes += s->piece;

        if (s->off == s->len) {
            c->greeted = 1;
        }

        return;
    }

    d4_session_count(c, SIZE_MAX);
}


/* Of what was at hand so many bytes were written. */

static void
d4_session_count(d4_client_t *c, size_t written)
{
    size_t         len;
    d4_session_t  *s;

    s = &c->session;

    while (s->frames != 0) {
        len = D4_HEADER_SIZE + c->queue.next->size;

        if (written < len) {
            return;
        }

        written -= len;
        s->frames--;

        c->stats.frames++;
        c->stats.bytes += c->queue.next->size;
        d4_queue_sent(&c->queue);

        if (s->frames != 0) {
            d4_queue_begin(&c->queue);     /* a part of it may be there */
        }
    }
}


static void
d4_session_closed(d4_client_t *c, int64_t now)
{
    int            refused;
    uint64_t       again;
    d4_session_t  *s;

    s = &c->session;
    again = 0;
    refused = 1;

    d4_session_count(c, c->link.written);

    if (s->open) {
        refused = now - s->since < D4_ACCEPTED;

        if (c->link.end == D4_LINK_DONE
            || (c->link.end == D4_LINK_ENDED
                && c->config.dest_kind == D4_DEST_TLS))
        {
            /* the server has read all of it; without TLS it need not have */

            d4_queue_release(&c->queue);
        }

        again = d4_queue_rewind(&c->queue);
        c->stats.again += again;

        if (!refused) {
            c->pause = 0;
        }

    } else {
        c->stats.failures++;
    }

    memset(s, 0, sizeof(d4_session_t));

    c->code = d4_session_over(c);

    if (c->code != D4_CLIENT_RUN) {
        return;
    }

    if (c->link.end == D4_LINK_DONE) {

        /* another pcap header, or a new configuration */

        c->retry_at = now;
        return;
    }

    c->code = d4_session_exit(c, refused);

    if (c->code == D4_CLIENT_RUN) {
        d4_session_retry(c, again, now);
    }
}


/* An exit code when this was the last session. */

static int
d4_session_over(d4_client_t *c)
{
    int  done;

    done = c->ended && !d4_session_wanted(c);

    switch (c->link.end) {

    case D4_LINK_DONE:
        return done ? D4_EXIT_OK : D4_CLIENT_RUN;

    case D4_LINK_ENDED:
    case D4_LINK_LOST:
        break;

    default:
        return D4_CLIENT_RUN;
    }

    if (c->config.dest_kind == D4_DEST_STDOUT) {
        d4_log("%s", c->link.error);
        return D4_EXIT_UNREACHABLE;
    }

    if (!done) {
        return D4_CLIENT_RUN;
    }

    if (c->link.end == D4_LINK_ENDED) {
        return D4_EXIT_OK;
    }

    d4_log("%s: %s before all was read, the last frames may be lost",
           c->config.destination, c->link.error);

    return D4_EXIT_REFUSED;
}


/* An exit code when there is no use in another attempt. */

static int
d4_session_exit(d4_client_t *c, int refused)
{
    if (c->link.end == D4_LINK_UNVERIFIED && c->stats.sessions == 0) {
        d4_log("%s: %s", c->config.destination, c->link.error);
        return D4_EXIT_REFUSED;
    }

    if (c->options->retry != 0) {
        return D4_CLIENT_RUN;
    }

    switch (c->link.end) {

    case D4_LINK_UNREACHABLE:
        d4_log("%s: %s", c->config.destination, c->link.error);
        return D4_EXIT_UNREACHABLE;

    case D4_LINK_REFUSED:
    case D4_LINK_UNVERIFIED:
        d4_log("%s: %s", c->config.destination, c->link.error);
        return D4_EXIT_REFUSED;

    default:
        d4_log("%s: the server ended the session%s%s%s",
               c->config.destination, refused ? " right away" : "",
               c->link.error[0] != '\0' ? ": " : "", c->link.error);

        return refused ? D4_EXIT_REFUSED : D4_EXIT_UNREACHABLE;
    }
}


static void
d4_session_retry(d4_client_t *c, uint64_t again, int64_t now)
{
    int64_t      pause;
    const char  *error;

    error = c->link.error[0] != '\0' ? c->link.error
                                     : "the server ended the session";

    if (c->options->retry > 0) {
        pause = c->options->retry;

    } else {
        c->pause = c->pause == 0 ? D4_PAUSE_MIN : c->pause * 2;

        if (c->pause > D4_PAUSE_MAX) {
            c->pause = D4_PAUSE_MAX;
        }

        pause = d4_session_jitter(c->pause);
    }

    c->retry_at = now + pause;

    /* once is enough for an attempt that fails as the one before */

    if (again == 0 && !d4_log_verbose && strcmp(c->error, error) == 0) {
        return;
    }

    memcpy(c->error, error, strlen(error) + 1);

    d4_log("%s: %s; next attempt in %.1f s, %llu frames are waiting",
           c->config.destination, error, pause / 1000.0,
           (unsigned long long) c->queue.frames);
}


/* Up to half as much more: sensors that were cut off together part. */

static int64_t
d4_session_jitter(int64_t pause)
{
    uint32_t  r;

    if (RAND_bytes((uint8_t *) &r, sizeof(r)) != 1) {
        r = 0;
    }

    return pause + r % (pause / 2 + 1);
}

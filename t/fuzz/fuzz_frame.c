
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Any split of a stream yields the same frames and verdicts as the whole of
 * it, and a frame is believed exactly when its HMAC is right.
 *
 * Input: one byte of mode, one byte n, n bytes of piece lengths (used in
 * turn, 0: an empty piece), then the stream.  In mode 0 the stream is as it
 * stands; else it is made into frames: flags, type, size, payload, and signed.
 */


#include "../unit/unit.h"
#include "../../ngx_d4_module/protocol/d4_frame.h"


#define FRAME_FORGED   1               /* a bit of its HMAC is wrong */
#define FRAME_LONG     2               /* the payload is repeated */
#define FRAME_KEYLESS  4


typedef struct {
    uint8_t  *log;
    size_t    len;
    size_t    max;
    size_t    payload;                 /* where this frame's begins */
    uint8_t   raw[D4_HEADER_SIZE];
} record_t;


static d4_key_t  key;


static void
require(int truth)
{
    if (!truth) {
        abort();
    }
}


static void
record(record_t *r, const void *p, size_t len)
{
    if (r->max - r->len < len) {
        r->max = 2 * (r->max + len);
        r->log = realloc(r->log, r->max);
        require(r->log != NULL);
    }

    memcpy(r->log + r->len, p, len);
    r->len += len;
}


/* a key for all but the frames that say they have none */

static const d4_key_t *
key_of(const d4_header_t *h)
{
    return (h->version & FRAME_KEYLESS) ? NULL : &key;
}


static void
finish(record_t *r, const d4_frame_t *f)
{
    int      good;
    uint8_t  digest[D4_HMAC_SIZE];

    require(r->len - r->payload == f->header.size);

    d4_hmac_frame(&key, r->raw, r->log + r->payload, f->header.size, digest);

    good = key_of(&f->header) != NULL
           && memcmp(digest, f->header.hmac, D4_HMAC_SIZE) == 0;

    require(f->authentic == good);
    require(d4_frame_begun(f) == 0);

    record(r, good ? "E1" : "E0", 2);
}


static void
feed(d4_frame_t *f, record_t *r, const uint8_t *piece, size_t len)
{
    size_t            n, wants;
    uint8_t          *copy;
    const uint8_t    *p, *was, *end, *data;
    d4_frame_event_t  event;

    copy = malloc(len > 0 ? len : 1);
    require(copy != NULL);
    memcpy(copy, piece, len);
    p = copy;
    end = p + len;

    do {
        was = p;
        wants = d4_frame_wants(f);
        event = d4_frame_next(f, &p, end, &data, &n);

        require(p >= was && p <= end && (size_t) (p - was) <= wants);

        switch (event) {

        case D4_FRAME_AGAIN:
            require(p == end);
            break;

        case D4_FRAME_HEADER:
            d4_header_encode(r->raw, &f->header);
            record(r, "H", 1);
            record(r, r->raw, sizeof(r->raw));
            r->payload = r->len;
            f->key = key_of(&f->header);
            break;

        case D4_FRAME_DATA:
            require(n > 0 && data == was && data + n == p);
            record(r, data, n);
            break;

        case D4_FRAME_END:
            require(p == was);
            finish(r, f);
            break;
        }

    } while (event != D4_FRAME_AGAIN);

    free(copy);
}


/* Makes signed frames of what the input says; returns the stream. */

static uint8_t *
build(const uint8_t *p, size_t len, size_t *total, unsigned *good)
{
    int          i, repeat;
    size_t       at;
    uint8_t     *stream, *frame, flags;
    d4_header_t  h;

    stream = malloc(64 * len + D4_HEADER_SIZE);
    require(stream != NULL);
    at = 0;
    *good = 0;

    while (len >= 3) {
        memset(&h, 0, sizeof(h));
        flags = p[0];
        h.version = flags & FRAME_KEYLESS;
        h.type = p[1];
        h.timestamp = len;
        h.size = p[2];
        p += 3;
        len -= 3;

        if (h.size > len) {
            h.size = (uint32_t) len;
        }

        repeat = (flags & FRAME_LONG) ? 30 : 1;
        frame = stream + at;
        at += D4_HEADER_SIZE;

        for (i = 0; i < repeat; i++) {
            memcpy(stream + at, p, h.size);
            at += h.size;
        }

        p += h.size;
        len -= h.size;
        h.size *= (uint32_t) repeat;

        d4_header_encode(frame, &h);
        d4_hmac_frame(&key, frame, frame + D4_HEADER_SIZE, h.size,
                      frame + D4_HMAC_OFFSET);

        if (flags & FRAME_FORGED) {
            frame[D4_HMAC_OFFSET + flags % D4_HMAC_SIZE] ^= 0x10;

        } else if (!(flags & FRAME_KEYLESS)) {
            (*good)++;
        }
    }

    *total = at;

    return stream;
}


static unsigned
believed(const record_t *r, const uint8_t *stream, size_t len)
{
    size_t       at, n;
    unsigned     good;
    d4_header_t  h;

    good = 0;

    for (at = 0, n = 0; n < len; n += D4_HEADER_SIZE + h.size) {
        d4_header_decode(&h, stream + n);
        at += 1 + D4_HEADER_SIZE + (size_t) h.size + 2;
        good += (r->log[at - 1] == '1');
    }

    require(at == r->len);

    return good;
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t size)
{
    int             built;
    size_t          at, n, len, count;
    uint8_t        *stream;
    unsigned        i, good;
    record_t        whole, parts;
    d4_frame_t      f;
    const uint8_t  *lengths;

    if (size < 3) {
        return 0;
    }

    built = p[0];
    count = p[1] % 16;
    p += 2;
    size -= 2;

    if (count > size) {
        count = size;
    }

    lengths = p;
    p += count;
    size -= count;
    good = 0;

    d4_key_init(&key, (const uint8_t *) UNIT_KEY, strlen(UNIT_KEY));

    if (built) {
        stream = build(p, size, &len, &good);

    } else {
        len = size;
        stream = malloc(len + 1);
        require(stream != NULL);
        memcpy(stream, p, len);
    }

    memset(&whole, 0, sizeof(whole));
    memset(&parts, 0, sizeof(parts));

    d4_frame_init(&f);
    feed(&f, &whole, stream, len);

    if (built) {
        require(d4_frame_begun(&f) == 0);
        require(believed(&whole, stream, len) == good);
    }

    d4_frame_init(&f);

    for (at = 0, i = 0; at < len; at += n, i++) {
        n = (i < 10000 && count > 0) ? lengths[i % count] : len - at;

        if (n > len - at) {
            n = len - at;
        }

        feed(&f, &parts, stream + at, n);
    }

    require(whole.len == parts.len);
    require(whole.len == 0 || memcmp(whole.log, parts.log, whole.len) == 0);

    free(whole.log);
    free(parts.log);
    free(stream);

    return 0;
}

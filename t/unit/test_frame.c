
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "../../ngx_d4_module/protocol/d4_frame.h"


#define STREAM_MAX  1024


/* what came out of the decoder: headers, payloads and verdicts in order */

typedef struct {
    uint8_t  log[STREAM_MAX];
    size_t   len;
    int      frames;
    int      authentic;
    int      within;                   /* after HEADER, before END */
    size_t   payload;
} record_t;


static d4_key_t  key, other_key;


static int
setup(void **state)
{
    (void) state;

    d4_key_init(&key, (const uint8_t *) UNIT_KEY, strlen(UNIT_KEY));
    d4_key_init(&other_key, (const uint8_t *) "another", 7);

    return 0;
}


static void
record(record_t *r, const void *p, size_t len)
{
    assert_true(r->len + len <= sizeof(r->log));
    memcpy(r->log + r->len, p, len);
    r->len += len;
}


/* Runs the decoder over one piece, checking each event against its promise. */

static void
feed(d4_frame_t *f, record_t *r, const uint8_t *piece, size_t len,
    const d4_key_t *k)
{
    size_t            n, wants;
    uint8_t           raw[D4_HEADER_SIZE];
    const uint8_t    *p, *end, *was, *data;
    d4_frame_event_t  event;

    p = piece;
    end = piece + len;

    for ( ;; ) {
        wants = d4_frame_wants(f);
        was = p;
        event = d4_frame_next(f, &p, end, &data, &n);

        assert_true(p >= was && (size_t) (p - was) <= wants);

        switch (event) {

        case D4_FRAME_AGAIN:
            assert_true(p == end);
            assert_true(d4_frame_wants(f) > 0);
            assert_int_equal(d4_frame_begun(f),
                             r->within
                             || d4_frame_wants(f) < D4_HEADER_SIZE);
            return;

        case D4_FRAME_HEADER:
            assert_int_equal(r->within, 0);
            assert_int_equal(d4_frame_begun(f), 1);
            assert_int_equal(d4_frame_wants(f), f->header.size);
            r->within = 1;
            r->payload = 0;
            d4_header_encode(raw, &f->header);
            record(r, "H", 1);
            record(r, raw, sizeof(raw));
            f->key = k;
            break;

        case D4_FRAME_DATA:
            assert_int_equal(r->within, 1);
            assert_true(n > 0);
            assert_true(data == was && data + n == p);
            r->payload += n;
            assert_true(r->payload <= f->header.size);
            assert_int_equal(d4_frame_begun(f), 1);
            record(r, data, n);
            break;

        case D4_FRAME_END:
            assert_int_equal(r->within, 1);
            assert_true(p == was);
            assert_int_equal(r->payload, f->header.size);
            assert_int_equal(d4_frame_begun(f), 0);
            assert_int_equal(d4_frame_wants(f), D4_HEADER_SIZE);
            r->within = 0;
            r->frames++;
            r->authentic += f->authentic;
            record(r, f->authentic ? "E1" : "E0", 2);
            break;
        }
    }
}


/* The same from memory of exactly that size, so that a wrong read shows. */

static void
feed_alone(d4_frame_t *f, record_t *r, const uint8_t *piece, size_t len)
{
    uint8_t  *copy;

    copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, piece, len);
    feed(f, r, copy, len, &key);
    free(copy);
}


static void
same(const record_t *a, const record_t *b)
{
    assert_int_equal(a->frames, b->frames);
    assert_int_equal(a->authentic, b->authentic);
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->log, b->log, a->len);
}


/* the five published frames, sizes 6, 17, 0, 9, 0, and one that is forged */

static size_t
published(uint8_t *out)
{
    size_t  n;

    n = unit_hex(out, UNIT_HELLO);
    n += unit_hex(out + n, UNIT_META);
    n += unit_hex(out + n, UNIT_EMPTY);
    n += unit_hex(out + n, UNIT_SENSOR);
    n += unit_hex(out + n, UNIT_SENSOR_EMPTY);
    n += unit_hex(out + n, UNIT_HELLO);
    out[n - 1] ^= 1;

    return n;
}


static void
expected(record_t *r, const uint8_t *stream, size_t len)
{
    size_t       n;
    d4_header_t  h;

    memset(r, 0, sizeof(*r));

    for (n = 0; n < len; n += D4_HEADER_SIZE + h.size) {
        d4_header_decode(&h, stream + n);
        record(r, "H", 1);
        record(r, stream + n, D4_HEADER_SIZE + h.size);
        r->frames++;

        if (n + D4_HEADER_SIZE + h.size < len) {
            r->authentic++;
            record(r, "E1", 2);

        } else {
            record(r, "E0", 2);
        }
    }
}


static void
test_whole(void **state)
{
    size_t      len;
    uint8_t     stream[1024];
    record_t    r, want;
    d4_frame_t  f;

    (void) state;

    len = published(stream);
    expected(&want, stream, len);
    assert_int_equal(want.frames, 6);
    assert_int_equal(want.authentic, 5);

    memset(&r, 0, sizeof(r));
    d4_frame_init(&f);
    assert_int_equal(d4_frame_wants(&f), D4_HEADER_SIZE);
    assert_int_equal(d4_frame_begun(&f), 0);

    feed_alone(&f, &r, stream, len);
    same(&r, &want);
}


static void
test_splits(void **state)
{
    size_t      a, b, len;
    uint8_t     stream[1024];
    record_t    r, want;
    d4_frame_t  f;

    (void) state;

    len = published(stream);
    expected(&want, stream, len);

    for (a = 0; a <= len; a++) {
        for (b = a; b <= len; b++) {
            memset(&r, 0, sizeof(r));
            d4_frame_init(&f);

            feed_alone(&f, &r, stream, a);
            feed_alone(&f, &r, stream + a, b - a);
            feed_alone(&f, &r, stream + b, len - b);

            same(&r, &want);
        }
    }
}


/* pieces of one size, 1 to all */

static void
test_pieces(void **state)
{
    size_t      n, at, len;
    uint8_t     stream[1024];
    record_t    r, want;
    d4_frame_t  f;

    (void) state;

    len = published(stream);
    expected(&want, stream, len);

    for (n = 1; n <= len; n++) {
        memset(&r, 0, sizeof(r));
        d4_frame_init(&f);

        for (at = 0; at < len; at += n) {
            feed_alone(&f, &r, stream + at, (n < len - at) ? n : len - at);
        }

        same(&r, &want);
    }
}


/* a reader that never takes more than it is told it may */

static void
test_wants(void **state)
{
    size_t            n, got, left, len;
    uint8_t           stream[1024], piece[D4_HEADER_SIZE];
    d4_frame_t        f;
    const uint8_t    *p, *end, *data, *at;
    d4_frame_event_t  event;
    unsigned          frames, header, body;

    (void) state;

    len = published(stream);
    at = stream;
    left = len;
    frames = header = body = 0;
    d4_frame_init(&f);
    f.key = &key;

    while (left > 0 || d4_frame_begun(&f)) {
        got = d4_frame_wants(&f);
        assert_true(got <= left);

        if (got > 5) {
            got = 5;                   /* as a socket may */
        }

        memcpy(piece, at, got);
        at += got;
        left -= got;
        p = piece;
        end = piece + got;

        event = d4_frame_next(&f, &p, end, &data, &n);

        /* one call takes all of it: nothing is left over to be kept */

        assert_true(p == end);

        if (got == 0) {
            assert_true(event == D4_FRAME_END);
        }

        switch (event) {
        case D4_FRAME_HEADER:
            header++;
            break;
        case D4_FRAME_DATA:
            body += (unsigned) n;
            break;
        case D4_FRAME_END:
            frames++;
            assert_int_equal(f.authentic, frames < 6);
            break;
        default:
            assert_true(got == 5 || f.have > 0);
        }
    }

    assert_int_equal(frames, 6);
    assert_int_equal(header, 6);
    assert_int_equal(body, 6 + 17 + 9 + 6);
}


/* each bit of a frame changed in turn: none is believed */

static void
test_forged(void **state)
{
    size_t      bit, len;
    uint8_t     frame[128];
    record_t    r;
    d4_frame_t  f;

    (void) state;

    len = unit_hex(frame, UNIT_META);

    for (bit = 0; bit < 8 * len; bit++) {
        frame[bit / 8] ^= (uint8_t) (1 << bit % 8);

        memset(&r, 0, sizeof(r));
        d4_frame_init(&f);
        feed_alone(&f, &r, frame, len);

        assert_int_equal(r.authentic, 0);

        /* but in the size they all come to an end */

        if (bit < 58 * 8) {
            assert_int_equal(r.frames, 1);
        }

        frame[bit / 8] ^= (uint8_t) (1 << bit % 8);
    }
}


static void
test_keys(void **state)
{
    size_t      len;
    uint8_t     stream[1024];
    record_t    r;
    d4_frame_t  f;

    (void) state;

    len = published(stream);

    memset(&r, 0, sizeof(r));
    d4_frame_init(&f);
    feed(&f, &r, stream, len, NULL);
    assert_int_equal(r.frames, 6);
    assert_int_equal(r.authentic, 0);

    memset(&r, 0, sizeof(r));
    d4_frame_init(&f);
    feed(&f, &r, stream, len, &other_key);
    assert_int_equal(r.frames, 6);
    assert_int_equal(r.authentic, 0);

    /* one frame's verdict is not the next one's, nor is its key */

    memset(&r, 0, sizeof(r));
    d4_frame_init(&f);
    len = unit_hex(stream, UNIT_HELLO);
    feed(&f, &r, stream, len, &key);
    assert_int_equal(r.authentic, 1);
    feed(&f, &r, stream, len, &other_key);
    assert_int_equal(r.authentic, 1);
    feed(&f, &r, stream, len, &key);
    assert_int_equal(r.authentic, 2);
    feed(&f, &r, stream, len, NULL);
    assert_int_equal(r.authentic, 2);
    assert_int_equal(r.frames, 4);
}


/* a key that comes or goes after the payload began never makes it good */

static void
test_key_late(void **state)
{
    size_t            n, len;
    uint8_t           frame[128];
    d4_frame_t        f;
    const uint8_t    *p, *data;

    (void) state;

    len = unit_hex(frame, UNIT_HELLO);

    d4_frame_init(&f);
    p = frame;
    assert_true(d4_frame_next(&f, &p, frame + len, &data, &n)
                == D4_FRAME_HEADER);
    assert_true(d4_frame_next(&f, &p, p + 1, &data, &n) == D4_FRAME_DATA);

    /* not even if what an earlier frame left there would make it right */

    memset(frame + D4_HMAC_OFFSET, 0, D4_HMAC_SIZE);
    d4_hmac_start(&f.hmac, &key);
    d4_hmac_update(&f.hmac, frame, D4_HEADER_SIZE + 1);
    f.key = &key;
    assert_true(d4_frame_next(&f, &p, frame + len, &data, &n)
                == D4_FRAME_DATA);
    assert_true(d4_frame_next(&f, &p, p, &data, &n) == D4_FRAME_END);
    assert_int_equal(f.authentic, 0);

    unit_hex(frame, UNIT_HELLO);
    d4_frame_init(&f);
    f.key = &key;
    p = frame;
    assert_true(d4_frame_next(&f, &p, frame + len, &data, &n)
                == D4_FRAME_HEADER);
    assert_true(d4_frame_next(&f, &p, frame + len, &data, &n)
                == D4_FRAME_DATA);
    f.key = NULL;
    assert_true(d4_frame_next(&f, &p, p, &data, &n) == D4_FRAME_END);
    assert_int_equal(f.authentic, 0);
}


/* the greatest size there is: taken as it comes, no limit, no wrap */

static void
test_huge(void **state)
{
    int               i;
    size_t            n;
    uint8_t           raw[D4_HEADER_SIZE], piece[1024];
    d4_frame_t        f;
    d4_header_t       h;
    const uint8_t    *p, *data;

    (void) state;

    memset(&h, 0, sizeof(h));
    h.size = UINT32_MAX;
    d4_header_encode(raw, &h);
    memset(piece, 0, sizeof(piece));

    d4_frame_init(&f);
    p = raw;
    assert_true(d4_frame_next(&f, &p, raw + sizeof(raw), &data, &n)
                == D4_FRAME_HEADER);
    assert_true(d4_frame_wants(&f) == UINT32_MAX);

    for (i = 1; i <= 10; i++) {
        p = piece;
        assert_true(d4_frame_next(&f, &p, piece + sizeof(piece), &data, &n)
                    == D4_FRAME_DATA);
        assert_int_equal(n, sizeof(piece));
        assert_true(d4_frame_wants(&f)
                    == UINT32_MAX - (size_t) i * sizeof(piece));
    }

    assert_int_equal(d4_frame_begun(&f), 1);
}


/* thousands of frames in one buffer, empty ones among them */

static void
test_many(void **state)
{
    int               i, frames, authentic;
    size_t            n, at, payload;
    uint8_t          *stream;
    d4_frame_t        f;
    d4_header_t       h;
    const uint8_t    *p, *end, *data;
    d4_frame_event_t  event;

    (void) state;

    stream = malloc(5000 * (D4_HEADER_SIZE + 7));
    assert_non_null(stream);

    memset(&h, 0, sizeof(h));
    h.version = D4_VERSION;
    h.type = D4_TYPE_LINE;

    for (i = 0, at = 0, payload = 0; i < 5000; i++) {
        h.timestamp = (uint64_t) i;
        h.size = (uint32_t) (i % 8);
        d4_header_encode(stream + at, &h);
        memset(stream + at + D4_HEADER_SIZE, 'a' + i % 26, h.size);
        d4_hmac_frame(&key, stream + at, stream + at + D4_HEADER_SIZE, h.size,
                      stream + at + D4_HMAC_OFFSET);
        at += D4_HEADER_SIZE + h.size;
        payload += h.size;
    }

    d4_frame_init(&f);
    f.key = &key;
    p = stream;
    end = stream + at;
    frames = authentic = 0;

    for ( ;; ) {
        event = d4_frame_next(&f, &p, end, &data, &n);

        if (event == D4_FRAME_AGAIN) {
            break;
        }

        if (event == D4_FRAME_DATA) {
            payload -= n;
        }

        if (event == D4_FRAME_END) {
            assert_int_equal(f.header.timestamp, frames);
            frames++;
            authentic += f.authentic;
        }
    }

    free(stream);

    assert_int_equal(frames, 5000);
    assert_int_equal(authentic, 5000);
    assert_int_equal(payload, 0);
    assert_int_equal(d4_frame_begun(&f), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_wants),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_key_late),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}

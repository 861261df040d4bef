
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "../../ngx_d4_module/protocol/d4_batch.h"


#define SMALL    (D4_BLOCK_SMALL - sizeof(d4_block_t))
#define LARGE    (D4_BLOCK_LARGE - sizeof(d4_block_t))

#define SID      "5f0c7b1e-3a52-4d68-9b07-c2e1f4a6d890"
#define OTHER    "00112233-4455-4677-8899-aabbccddeeff"

#define MULTI    "*1\r\n$5\r\nMULTI\r\n"
#define EXEC     "*1\r\n$4\r\nEXEC\r\n"

#define XADD1                                                                 \
    "*11\r\n$4\r\nXADD\r\n$45\r\nstream:8:" SID "\r\n"                        \
    "$15\r\n1700000000123-1\r\n$7\r\nmessage\r\n$6\r\n"
#define XADD2                                                                 \
    "*12\r\n$4\r\nXADD\r\n$45\r\nstream:8:" SID "\r\n$10\r\nNOMKSTREAM\r\n"   \
    "$16\r\n1700000000123-10\r\n$7\r\nmessage\r\n$6\r\n"
#define FIELDS                                                                \
    "\r\n$4\r\nuuid\r\n$32\r\n0123456789ab4def8123456789abcdef\r\n"           \
    "$9\r\ntimestamp\r\n$10\r\n1700000000\r\n$7\r\nversion\r\n$1\r\n1\r\n"


static d4_pool_t    pool;
static d4_header_t  hello;
static uint8_t      payload[300000];


static int
setup(void **state)
{
    size_t   i;
    uint8_t  frame[128];

    (void) state;

    d4_pool_init(&pool, 0);
    unit_hex(frame, UNIT_HELLO);
    d4_header_decode(&hello, frame);

    for (i = 0; i < sizeof(payload); i++) {
        payload[i] = (uint8_t) (i * 17 + i / 253);
    }

    return 0;
}


/* nothing may stay behind in the pool after any test */

static int
empty(void **state)
{
    (void) state;

    return (pool.held == 0 && pool.spare_held == 0) ? 0 : -1;
}


static void
text_is(const d4_batch_t *b, const char *text)
{
    uint8_t  *flat;

    flat = unit_flat(&b->out);
    assert_string_equal((char *) flat, text);
    free(flat);
}


static void
add(d4_batch_t *b, uint64_t n, size_t size)
{
    d4_header_t  h;

    h = hello;
    h.size = (uint32_t) size;

    assert_int_equal(d4_batch_begin(b, SID, &h, 7, n, 1), 0);
    assert_int_equal(d4_batch_data(b, payload, size), 0);
    assert_int_equal(d4_batch_commit(b, &h), 0);
}


/* Walks the transaction as RESP: its commands, with or without EXEC. */

static int
walk(const d4_batch_t *b, unit_word_t words[][16], int *argc, int max)
{
    int             n, rc;
    uint8_t        *flat;
    const uint8_t  *p, *end;

    flat = unit_flat(&b->out);
    p = flat;
    end = flat + b->out.bytes;

    for (n = 0; n < max; n++) {
        rc = unit_resp(&p, end, words[n], 16);
        assert_int_not_equal(rc, -1);

        if (rc == 0) {
            break;
        }

        argc[n] = rc;
    }

    assert_true(p == end);

    /* kept for the words, freed with walked() */

    words[max][0].p = flat;

    return n;
}


static void
walked(unit_word_t words[][16], int max)
{
    free((void *) (uintptr_t) words[max][0].p);
}


static void
test_text(void **state)
{
    d4_batch_t   b;
    const char  *sadd[] = { "SADD", "session_uuid:8", SID };

    (void) state;

    d4_batch_init(&b, &pool);

    assert_int_equal(d4_batch_begin(&b, SID, &hello, 1700000000123, 1, 1), 0);
    assert_int_equal(b.open, 1);
    text_is(&b, MULTI XADD1);

    assert_int_equal(d4_batch_data(&b, (const uint8_t *) "hel", 3), 0);
    assert_int_equal(d4_batch_data(&b, (const uint8_t *) "lo\n", 3), 0);
    text_is(&b, MULTI XADD1 "hello\n");
    assert_int_equal(b.frames, 0);
    assert_int_equal(b.commands, 0);

    assert_int_equal(d4_batch_commit(&b, &hello), 0);
    assert_int_equal(b.open, 0);
    assert_int_equal(b.frames, 1);
    assert_int_equal(b.commands, 1);
    assert_int_equal(b.bytes, 6);
    text_is(&b, MULTI XADD1 "hello\n" FIELDS);

    assert_int_equal(d4_batch_begin(&b, SID, &hello, 1700000000123, 10, 0),
                     0);
    assert_int_equal(d4_batch_data(&b, (const uint8_t *) "HELLO\n", 6), 0);
    assert_int_equal(d4_batch_commit(&b, &hello), 0);
    assert_int_equal(d4_batch_command(&b, 3, sadd), 0);
    assert_int_equal(b.frames, 2);
    assert_int_equal(b.commands, 3);
    assert_int_equal(b.bytes, 12);

    assert_int_equal(d4_batch_seal(&b), 0);
    assert_int_equal(b.sealed, 1);
    assert_int_equal(b.commands, 3);

    text_is(&b, MULTI XADD1 "hello\n" FIELDS XADD2 "HELLO\n" FIELDS
            "*3\r\n$4\r\nSADD\r\n$14\r\nsession_uuid:8\r\n$36\r\n" SID "\r\n"
            EXEC);

    d4_batch_clear(&b);
    assert_int_equal(b.sealed, 0);
    assert_int_equal(b.frames, 0);
    assert_int_equal(b.commands, 0);
    assert_int_equal(b.bytes, 0);
    assert_int_equal(b.out.bytes, 0);

    /* and again, from the start */

    assert_int_equal(d4_batch_begin(&b, SID, &hello, 1700000000123, 1, 1), 0);
    text_is(&b, MULTI XADD1);
    d4_batch_clear(&b);
    assert_int_equal(b.open, 0);
}


/* the longest and the shortest of every number */

static void
test_numbers(void **state)
{
    int          argc[4];
    d4_batch_t   b;
    d4_header_t  h;
    unit_word_t  words[5][16];

    (void) state;

    d4_batch_init(&b, &pool);
    memset(&h, 0xff, sizeof(h));
    h.timestamp = UINT64_MAX;
    h.size = 0;

    assert_int_equal(d4_batch_begin(&b, SID, &h, UINT64_MAX, UINT64_MAX, 0),
                     0);
    assert_int_equal(d4_batch_commit(&b, &h), 0);

    memset(&h, 0, sizeof(h));
    assert_int_equal(d4_batch_begin(&b, SID, &h, 0, 0, 1), 0);
    assert_int_equal(d4_batch_commit(&b, &h), 0);

    assert_int_equal(walk(&b, words, argc, 4), 3);
    assert_int_equal(argc[0], 1);
    assert_true(unit_word_is(&words[0][0], "MULTI"));

    assert_int_equal(argc[1], 12);
    assert_true(unit_word_is(&words[1][0], "XADD"));
    assert_true(unit_word_is(&words[1][1], "stream:255:" SID));
    assert_true(unit_word_is(&words[1][2], "NOMKSTREAM"));
    assert_true(unit_word_is(&words[1][3],
                             "18446744073709551615-18446744073709551615"));
    assert_true(unit_word_is(&words[1][4], "message"));
    assert_true(unit_word_is(&words[1][5], ""));
    assert_true(unit_word_is(&words[1][6], "uuid"));
    assert_true(unit_word_is(&words[1][7],
                             "ffffffffffffffffffffffffffffffff"));
    assert_true(unit_word_is(&words[1][8], "timestamp"));
    assert_true(unit_word_is(&words[1][9], "18446744073709551615"));
    assert_true(unit_word_is(&words[1][10], "version"));
    assert_true(unit_word_is(&words[1][11], "255"));

    assert_int_equal(argc[2], 11);
    assert_true(unit_word_is(&words[2][1], "stream:0:" SID));
    assert_true(unit_word_is(&words[2][2], "0-0"));
    assert_true(unit_word_is(&words[2][8], "0"));
    assert_true(unit_word_is(&words[2][10], "0"));

    walked(words, 4);
    d4_batch_clear(&b);

    /* the length of the greatest payload stands in front of it */

    h.size = UINT32_MAX;
    assert_int_equal(d4_batch_begin(&b, SID, &h, 1, 1, 1), 0);
    text_is(&b, MULTI "*11\r\n$4\r\nXADD\r\n$45\r\nstream:0:" SID "\r\n"
            "$3\r\n1-1\r\n$7\r\nmessage\r\n$4294967295\r\n");
    d4_batch_clear(&b);
}


/* payloads that end around the borders of blocks, whole and in pieces */

static void
test_sizes(void **state)
{
    int          argc[4];
    size_t       i, at, piece, size;
    d4_batch_t   b;
    d4_header_t  h;
    unit_word_t  words[5][16];

    (void) state;

    for (i = 0; i < 3 * 320; i++) {
        size = (i < 320) ? SMALL - 310 + i
               : (i < 640) ? SMALL + LARGE - 310 + i - 320
               : SMALL + 2 * LARGE - 310 + i - 640;

        d4_batch_init(&b, &pool);
        h = hello;
        h.size = (uint32_t) size;
        piece = 1 + size / (1 + i % 7);

        assert_int_equal(d4_batch_begin(&b, SID, &h, 7, 1, 1), 0);

        for (at = 0; at < size; at += piece) {
            if (piece > size - at) {
                piece = size - at;
            }

            assert_int_equal(d4_batch_data(&b, payload + at, piece), 0);
        }

        assert_int_equal(d4_batch_commit(&b, &h), 0);
        add(&b, 2, 5);
        assert_int_equal(d4_batch_seal(&b), 0);

        assert_int_equal(walk(&b, words, argc, 4), 4);
        assert_int_equal(words[1][4].len, size);
        assert_memory_equal(words[1][4].p, payload, size);
        assert_int_equal(words[2][4].len, 5);
        assert_true(unit_word_is(&words[3][0], "EXEC"));
        assert_int_equal(b.frames, 2);
        assert_int_equal(b.bytes, size + 5);

        walked(words, 4);
        d4_batch_clear(&b);
    }
}


/* whatever was written of the open frame, nothing of it stays */

static void
test_rollback(void **state)
{
    size_t       n, first;
    uint8_t     *before, *after;
    d4_batch_t   b;
    d4_header_t  h;

    (void) state;

    h = hello;
    h.size = 100000;

    for (first = SMALL - 400; first < SMALL; first++) {
        d4_batch_init(&b, &pool);
        n = (first * 131) % 100001;

        /* of the very first frame: MULTI goes too, and all memory */

        assert_int_equal(d4_batch_begin(&b, SID, &h, 7, 1, 1), 0);
        assert_int_equal(d4_batch_data(&b, payload, n), 0);
        d4_batch_rollback(&b);
        assert_int_equal(b.open, 0);
        assert_int_equal(b.out.bytes, 0);
        assert_int_equal(pool.held, 0);

        add(&b, 1, first);
        before = unit_flat(&b.out);

        assert_int_equal(d4_batch_begin(&b, SID, &h, 7, 2, 1), 0);
        assert_int_equal(d4_batch_data(&b, payload, n), 0);
        d4_batch_rollback(&b);

        after = unit_flat(&b.out);
        assert_int_equal(b.open, 0);
        assert_int_equal(b.frames, 1);
        assert_int_equal(b.commands, 1);
        assert_int_equal(b.bytes, first);
        assert_string_equal((char *) after, (char *) before);
        free(before);

        /* the next one follows as if nothing had been */

        before = after;
        add(&b, 2, 3);
        after = unit_flat(&b.out);
        assert_memory_equal(after, before, strlen((char *) before));
        free(before);
        free(after);

        d4_batch_clear(&b);
        assert_int_equal(pool.held, 0);
    }
}


/* an open frame moved behind any number of bytes reads the same */

static void
test_split(void **state)
{
    int          frames, argc[4];
    size_t       n, size;
    d4_batch_t   b, next, alone;
    d4_header_t  h;
    unit_word_t  words[5][16];
    uint8_t     *got, *want;

    (void) state;

    h = hello;
    size = SMALL + LARGE;
    h.size = (uint32_t) size;

    for (n = 0; n <= size; n += (n < 20 || n + 20 > size) ? 1 : 977) {
        for (frames = 0; frames < 2; frames++) {
            d4_batch_init(&b, &pool);
            d4_batch_init(&next, &pool);
            d4_batch_init(&alone, &pool);

            if (frames > 0) {
                add(&b, 1, n);
                add(&alone, 1, n);
            }

            assert_int_equal(d4_batch_begin(&b, SID, &h, 7, 2, 0), 0);
            assert_int_equal(d4_batch_data(&b, payload, n), 0);

            assert_int_equal(d4_batch_split(&b, &next), 0);

            /* what stays is what was there without the open frame */

            assert_int_equal(b.open, 0);
            assert_int_equal(b.frames, frames);
            got = unit_flat(&b.out);
            want = unit_flat(&alone.out);
            assert_int_equal(b.out.bytes, alone.out.bytes);
            assert_memory_equal(got, want, b.out.bytes);
            free(got);
            free(want);
            d4_batch_clear(&alone);

            /* what moved is what would have begun there */

            assert_int_equal(next.open, 1);
            assert_int_equal(next.frames, 0);
            assert_int_equal(next.commands, 0);
            assert_int_equal(d4_batch_begin(&alone, SID, &h, 7, 2, 0), 0);
            assert_int_equal(d4_batch_data(&alone, payload, n), 0);
            got = unit_flat(&next.out);
            want = unit_flat(&alone.out);
            assert_int_equal(next.out.bytes, alone.out.bytes);
            assert_memory_equal(got, want, next.out.bytes);
            free(got);
            free(want);
            d4_batch_clear(&alone);

            /* and it goes on there */

            assert_int_equal(d4_batch_data(&next, payload + n, size - n), 0);
            assert_int_equal(d4_batch_commit(&next, &h), 0);
            assert_int_equal(d4_batch_seal(&next), 0);
            assert_int_equal(walk(&next, words, argc, 4), 3);
            assert_int_equal(words[1][5].len, size);
            assert_memory_equal(words[1][5].p, payload, size);
            walked(words, 4);
            d4_batch_clear(&next);
            d4_batch_clear(&b);
            assert_int_equal(pool.held, 0);
        }
    }
}


/* taken back after it moved, nothing is left where it went */

static void
test_split_rollback(void **state)
{
    d4_batch_t  b, next;

    (void) state;

    d4_batch_init(&b, &pool);
    d4_batch_init(&next, &pool);

    add(&b, 1, 10);

    /* no open frame: nothing to move */

    assert_int_equal(d4_batch_split(&b, &next), 0);
    assert_int_equal(next.out.bytes, 0);
    assert_int_equal(next.open, 0);

    assert_int_equal(d4_batch_begin(&b, SID, &hello, 7, 2, 1), 0);
    assert_int_equal(d4_batch_split(&b, &next), 0);
    d4_batch_rollback(&next);
    assert_int_equal(next.out.bytes, 0);
    assert_int_equal(next.open, 0);

    /* and a frame begun there begins with MULTI */

    assert_int_equal(d4_batch_begin(&next, SID, &hello, 1700000000123, 1, 1),
                     0);
    text_is(&next, MULTI XADD1);

    d4_batch_clear(&b);
    d4_batch_clear(&next);
}


static void
test_commands(void **state)
{
    int          argc[4];
    char        *big;
    d4_batch_t   b;
    unit_word_t  words[5][16];
    const char  *one[] = { "PING" };
    const char  *two[] = { "SET", NULL, "" };

    (void) state;

    big = malloc(2 * LARGE);
    assert_non_null(big);
    memset(big, 'k', 2 * LARGE);
    big[2 * LARGE - 1] = '\0';
    two[1] = big;

    d4_batch_init(&b, &pool);
    add(&b, 1, 2);
    assert_int_equal(d4_batch_command(&b, 1, one), 0);
    assert_int_equal(d4_batch_command(&b, 3, two), 0);
    assert_int_equal(b.commands, 3);
    assert_int_equal(b.frames, 1);

    assert_int_equal(walk(&b, words, argc, 4), 4);
    assert_int_equal(argc[2], 1);
    assert_true(unit_word_is(&words[2][0], "PING"));
    assert_int_equal(argc[3], 3);
    assert_true(unit_word_is(&words[3][1], big));
    assert_int_equal(words[3][2].len, 0);
    walked(words, 4);

    /* a frame that is taken back leaves the commands before it */

    assert_int_equal(d4_batch_begin(&b, SID, &hello, 7, 2, 1), 0);
    d4_batch_rollback(&b);
    assert_int_equal(walk(&b, words, argc, 4), 4);
    walked(words, 4);

    d4_batch_clear(&b);
    free(big);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_teardown(test_text, empty),
        cmocka_unit_test_teardown(test_numbers, empty),
        cmocka_unit_test_teardown(test_sizes, empty),
        cmocka_unit_test_teardown(test_rollback, empty),
        cmocka_unit_test_teardown(test_split, empty),
        cmocka_unit_test_teardown(test_split_rollback, empty),
        cmocka_unit_test_teardown(test_commands, empty),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}

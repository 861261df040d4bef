
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "nomem.h"
#include "../../ngx_d4_module/protocol/d4_batch.h"


/*
 * Rekeying is held against a batch built with the new id from the start; then
 * what a batch promises when memory runs out.
 */


#define SMALL    (D4_BLOCK_SMALL - sizeof(d4_block_t))
#define LARGE    (D4_BLOCK_LARGE - sizeof(d4_block_t))

#define FROM     "5f0c7b1e-3a52-4d68-9b07-c2e1f4a6d890"
#define TO       "00112233-4455-4677-8899-aabbccddeeff"

/* a payload that looks like all that must be changed elsewhere */

#define TRAP                                                                  \
    FROM "\r\n*11\r\n$4\r\nXADD\r\n$45\r\nstream:8:" FROM "\r\n$3\r\n1-1\r\n" \
    "$7\r\nmessage\r\n$0\r\n\r\n*3\r\n$4\r\nSADD\r\n$36\r\n" FROM "\r\n:"     \
    FROM "\r\n*1\r\n$4\r\nEXEC\r\n"

#define TRAP_SIZE  (sizeof(TRAP) - 1)


/* words that hold the old id and must not change */

#define BEFORE     FROM "x"
#define BEHIND     "x" FROM
#define COLON      ":" FROM
#define UPPER      "5F0C7B1E-3a52-4d68-9b07-c2e1f4a6d890"


typedef enum { CLOSED, COMMANDS, SEALED, OPEN } stage_t;


static d4_pool_t    pool;
static d4_header_t  header;
static uint8_t      filler[SMALL + LARGE + 1000];


static int
setup(void **state)
{
    size_t   i;
    uint8_t  frame[128];

    (void) state;

    d4_pool_init(&pool, 0);
    unit_hex(frame, UNIT_HELLO);
    d4_header_decode(&header, frame);

    for (i = 0; i < sizeof(filler); i++) {
        filler[i] = (uint8_t) FROM[i % 36];
    }

    return 0;
}


static int
empty(void **state)
{
    (void) state;

    return (pool.held == 0) ? 0 : -1;
}


static void
add(d4_batch_t *b, const char *sid, uint8_t type, const void *p, size_t size,
    int create)
{
    d4_header_t  h;

    h = header;
    h.type = type;
    h.size = (uint32_t) size;

    assert_int_equal(d4_batch_begin(b, sid, &h, 7, b->frames + 1, create), 0);
    assert_int_equal(d4_batch_data(b, p, size), 0);
    assert_int_equal(d4_batch_commit(b, &h), 0);
}


static void
commands(d4_batch_t *b, const char *sid)
{
    char         key[64];
    const char  *sadd[] = { "SADD", "session_uuid:2", sid };
    const char  *hset[] = { "HSET", key, "a", BEFORE, BEHIND, "b" };
    const char  *xadd[] = { "XADD", "d4:log", "*", "sid", FROM, COLON };
    const char  *name[] = { "GET", key, BEFORE, "", key + 3 };
    const char  *upper[] = { "DEL", UPPER };

    strcpy(key, "d4:session:");
    strcat(key, sid);

    assert_int_equal(d4_batch_command(b, 3, sadd), 0);
    assert_int_equal(d4_batch_command(b, 6, hset), 0);
    assert_int_equal(d4_batch_command(b, 6, xadd), 0);
    assert_int_equal(d4_batch_command(b, 5, name), 0);
    assert_int_equal(d4_batch_command(b, 2, upper), 0);
}


/* A batch whose first payload has pad bytes, so that borders fall anywhere. */

static void
build(d4_batch_t *b, const char *sid, size_t pad, stage_t stage, size_t part)
{
    d4_header_t  h;

    d4_batch_init(b, &pool);

    add(b, sid, 2, filler, pad, 1);
    add(b, sid, 254, TRAP, TRAP_SIZE, 0);
    add(b, sid, 254, "", 0, 0);

    if (stage == CLOSED) {
        return;
    }

    commands(b, sid);

    if (stage == COMMANDS) {
        return;
    }

    if (stage == SEALED) {
        assert_int_equal(d4_batch_seal(b), 0);
        return;
    }

    h = header;
    h.size = TRAP_SIZE;
    assert_int_equal(d4_batch_begin(b, sid, &h, 7, 4, 0), 0);
    assert_int_equal(d4_batch_data(b, (const uint8_t *) TRAP, part), 0);
}


static void
rekeyed(size_t pad, stage_t stage, size_t part)
{
    uint8_t     *got, *want;
    d4_batch_t   a, b;

    build(&a, FROM, pad, stage, part);
    build(&b, TO, pad, stage, part);

    d4_batch_rekey(&a, FROM, TO);

    assert_int_equal(a.out.bytes, b.out.bytes);
    assert_int_equal(a.commands, b.commands);
    assert_int_equal(a.open, b.open);

    got = unit_flat(&a.out);
    want = unit_flat(&b.out);
    assert_memory_equal(got, want, a.out.bytes);
    free(got);

    /* a second time there is nothing to change */

    d4_batch_rekey(&a, FROM, TO);
    got = unit_flat(&a.out);
    assert_memory_equal(got, want, a.out.bytes);
    free(got);
    free(want);

    d4_batch_clear(&a);
    d4_batch_clear(&b);
}


/* the first border moves through all that follows the first payload */

static void
test_borders(void **state)
{
    size_t  pad, span;

    (void) state;

    /* all of a batch from its first payload's end on, and some */

    span = 3000;
    assert_true(span < SMALL);

    for (pad = SMALL - span; pad < SMALL; pad++) {
        rekeyed(pad, SEALED, 0);
        rekeyed(pad, OPEN, pad % (TRAP_SIZE + 1));
    }

    for (pad = SMALL + LARGE - 200; pad < SMALL + LARGE; pad++) {
        rekeyed(pad, CLOSED, 0);
        rekeyed(pad, COMMANDS, 0);
    }
}


/* an open frame cut anywhere in its payload, the end included */

static void
test_open(void **state)
{
    size_t  part;

    (void) state;

    for (part = 0; part <= TRAP_SIZE; part++) {
        rekeyed(0, OPEN, part);
        rekeyed(SMALL - 800, OPEN, part);
    }
}


static void
test_first(void **state)
{
    size_t       part;
    uint8_t     *got, *want;
    d4_batch_t   a, b;
    d4_header_t  h;

    (void) state;

    d4_batch_init(&a, &pool);
    d4_batch_init(&b, &pool);

    d4_batch_rekey(&a, FROM, TO);
    assert_int_equal(a.out.bytes, 0);

    /* nothing but the open frame */

    h = header;
    h.size = 72;

    for (part = 0; part <= h.size; part++) {
        assert_int_equal(d4_batch_begin(&a, FROM, &h, 7, 1, 1), 0);
        assert_int_equal(d4_batch_begin(&b, TO, &h, 7, 1, 1), 0);
        assert_int_equal(d4_batch_data(&a, filler, part), 0);
        assert_int_equal(d4_batch_data(&b, filler, part), 0);

        d4_batch_rekey(&a, FROM, TO);

        got = unit_flat(&a.out);
        want = unit_flat(&b.out);
        assert_int_equal(a.out.bytes, b.out.bytes);
        assert_memory_equal(got, want, a.out.bytes);
        free(got);
        free(want);

        d4_batch_rollback(&a);
        d4_batch_rollback(&b);
    }
}


/* other ids stay */

static void
test_stranger(void **state)
{
    uint8_t     *got, *want;
    d4_batch_t   a, b;

    (void) state;

    build(&a, TO, 100, SEALED, 0);
    build(&b, TO, 100, SEALED, 0);
    d4_batch_rekey(&a, FROM, "ffffffff-ffff-4fff-8fff-ffffffffffff");

    got = unit_flat(&a.out);
    want = unit_flat(&b.out);
    assert_memory_equal(got, want, a.out.bytes);
    free(got);
    free(want);

    d4_batch_clear(&a);
    d4_batch_clear(&b);
}


/* Takes all memory there is for blocks; returns a chain to be freed. */

static void **
exhaust(void)
{
    void  **chain, **more;

    nomem(1);
    chain = NULL;

    while ((more = malloc(D4_BLOCK_SMALL)) != NULL) {
        *more = chain;
        chain = more;
    }

    return chain;
}


static void
relieve(void **chain)
{
    void  **next;

    nomem(0);

    while (chain != NULL) {
        next = *chain;
        free(chain);
        chain = next;
    }
}


/* A batch of one frame, whole, that leaves room bytes in its first block. */

static void
filled(d4_batch_t *b, size_t room)
{
    size_t  size;

    d4_batch_init(b, &pool);
    add(b, FROM, 8, filler, 1000, 1);
    size = 1000 + SMALL - room - b->out.bytes;
    d4_batch_clear(b);

    add(b, FROM, 8, filler, size, 1);
    assert_int_equal(b->out.bytes, SMALL - room);
}


static void
test_nomem(void **state)
{
    int          rc[5];
    void       **chain;
    size_t       room, bytes;
    uint8_t     *got, *want;
    d4_batch_t   b, fresh;
    const char  *sadd[] = { "SADD", "ended_session", FROM };

    (void) state;

    if (!NOMEM_POSSIBLE) {
        skip();
    }

    for (room = 0; room < 14; room++) {
        filled(&b, room);
        d4_batch_init(&fresh, &pool);
        want = unit_flat(&b.out);

        chain = exhaust();
        rc[0] = d4_batch_begin(&fresh, FROM, &header, 7, 1, 1);
        rc[1] = d4_batch_begin(&b, FROM, &header, 7, 2, 1);
        rc[2] = d4_batch_command(&b, 3, sadd);
        rc[3] = d4_batch_seal(&b);
        relieve(chain);

        assert_int_equal(rc[0], -1);
        assert_int_equal(rc[1], -1);
        assert_int_equal(rc[2], -1);
        assert_int_equal(rc[3], -1);

        assert_int_equal(fresh.out.bytes, 0);
        assert_int_equal(fresh.open, 0);

        assert_int_equal(b.open, 0);
        assert_int_equal(b.sealed, 0);
        assert_int_equal(b.commands, 1);
        assert_int_equal(b.out.bytes, SMALL - room);
        got = unit_flat(&b.out);
        assert_memory_equal(got, want, b.out.bytes);
        free(got);
        free(want);

        /* with memory it goes on as if nothing had been */

        assert_int_equal(d4_batch_command(&b, 3, sadd), 0);
        assert_int_equal(d4_batch_begin(&b, FROM, &header, 7, 2, 1), 0);
        bytes = b.out.bytes;

        chain = exhaust();
        rc[0] = d4_batch_split(&b, &fresh);
        rc[1] = d4_batch_data(&b, filler, LARGE);
        relieve(chain);

        assert_int_equal(rc[0], -1);
        assert_int_equal(rc[1], -1);
        assert_int_equal(b.open, 1);
        assert_int_equal(b.out.bytes, bytes);
        assert_int_equal(fresh.open, 0);
        assert_int_equal(fresh.out.bytes, 0);

        d4_batch_rollback(&b);
        assert_int_equal(d4_batch_seal(&b), 0);
        d4_batch_clear(&b);
    }
}


/* memory for the MULTI of the next batch, but not for what should follow it */

static void
test_nomem_split(void **state)
{
    int           rc;
    void        **chain, **rest;
    size_t        bytes;
    uint8_t      *got, *want;
    d4_batch_t    b, next;
    d4_header_t   h;

    (void) state;

    if (!NOMEM_POSSIBLE) {
        skip();
    }

    filled(&b, 300);
    h = header;
    h.size = (uint32_t) LARGE;
    assert_int_equal(d4_batch_begin(&b, FROM, &h, 7, 2, 1), 0);
    assert_int_equal(d4_batch_data(&b, filler, h.size), 0);
    bytes = b.out.bytes;
    want = unit_flat(&b.out);
    d4_batch_init(&next, &pool);

    chain = exhaust();
    rest = *chain;
    free(chain);
    rc = d4_batch_split(&b, &next);
    chain = malloc(D4_BLOCK_SMALL);    /* what it took is there again */
    relieve(rest);

    assert_non_null(chain);
    free(chain);

    assert_int_equal(rc, -1);
    assert_int_equal(next.open, 0);
    assert_int_equal(next.out.bytes, 0);
    assert_int_equal(next.out.held, 0);
    assert_int_equal(b.open, 1);
    assert_int_equal(b.out.bytes, bytes);
    got = unit_flat(&b.out);
    assert_memory_equal(got, want, bytes);
    free(got);
    free(want);

    assert_int_equal(d4_batch_split(&b, &next), 0);
    assert_int_equal(next.open, 1);
    d4_batch_clear(&b);
    d4_batch_clear(&next);
}


static void
test_nomem_commit(void **state)
{
    int          rc;
    void       **chain;
    size_t       bytes;
    d4_batch_t   b;
    d4_header_t  h;

    (void) state;

    if (!NOMEM_POSSIBLE) {
        skip();
    }

    d4_batch_init(&b, &pool);
    h = header;
    h.size = 0;
    assert_int_equal(d4_batch_begin(&b, FROM, &h, 7, 1, 1), 0);
    h.size = (uint32_t) (SMALL - b.out.bytes - 20);
    d4_batch_rollback(&b);

    assert_int_equal(d4_batch_begin(&b, FROM, &h, 7, 1, 1), 0);
    assert_int_equal(d4_batch_data(&b, filler, h.size), 0);
    bytes = b.out.bytes;

    chain = exhaust();
    rc = d4_batch_commit(&b, &h);
    relieve(chain);

    assert_int_equal(rc, -1);
    assert_int_equal(b.open, 1);
    assert_int_equal(b.frames, 0);
    assert_int_equal(b.bytes, 0);
    assert_int_equal(b.out.bytes, bytes);

    assert_int_equal(d4_batch_commit(&b, &h), 0);
    assert_int_equal(b.frames, 1);

    d4_batch_clear(&b);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_teardown(test_borders, empty),
        cmocka_unit_test_teardown(test_open, empty),
        cmocka_unit_test_teardown(test_first, empty),
        cmocka_unit_test_teardown(test_stranger, empty),
        cmocka_unit_test_teardown(test_nomem, empty),
        cmocka_unit_test_teardown(test_nomem_split, empty),
        cmocka_unit_test_teardown(test_nomem_commit, empty),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}

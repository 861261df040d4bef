
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../sensor/d4_queue.h"
#include "../../sensor/d4_rate.h"


#define SIZE    100
#define COST    (sizeof(d4_item_t) + SIZE)

#define START   1
#define END     2
#define WHOLE   (START | END)


static void
push(d4_queue_t *q, char name, int border)
{
    char        data[SIZE];
    d4_piece_t  p;

    memset(data, name, sizeof(data));

    p.data = (const uint8_t *) data;
    p.len = sizeof(data);
    p.start = (border & START) != 0;
    p.end = (border & END) != 0;

    assert_int_equal(d4_queue_push(q, &p, 1700000000, NULL), 0);
}


/* Sends the next one and returns its name; in capitals if it is fresh. */

static char
send_one(d4_queue_t *q)
{
    char        name;
    d4_item_t  *item;

    item = d4_queue_peek(q);

    if (item == NULL) {
        return '-';
    }

    assert_int_equal(item->size, SIZE);
    assert_int_equal(item->timestamp, 1700000000);

    name = (char) item->data[0];

    if (item->fresh) {
        name -= 'a' - 'A';
    }

    d4_queue_begin(q);
    d4_queue_sent(q);

    return name;
}


static void
sends(d4_queue_t *q, const char *names)
{
    for ( /* void */ ; *names != '\0'; names++) {
        assert_int_equal(send_one(q), *names);
    }
}


static void
empty(d4_queue_t *q)
{
    assert_int_equal(send_one(q), '-');
    assert_int_equal(q->frames, 0);
    d4_queue_free(q);
}


static void
test_order(void **state)
{
    d4_queue_t  q;

    (void) state;

    d4_queue_init(&q, 4 * COST, D4_QUEUE_BLOCK);
    assert_null(d4_queue_peek(&q));

    push(&q, 'a', WHOLE);
    push(&q, 'b', WHOLE);
    push(&q, 'c', WHOLE);
    assert_false(d4_queue_full(&q));
    push(&q, 'd', WHOLE);
    assert_true(d4_queue_full(&q));
    assert_int_equal(q.frames, 4);
    assert_int_equal(q.bytes, 4 * COST);

    sends(&q, "a");
    assert_false(d4_queue_full(&q));
    assert_int_equal(q.bytes, 3 * COST);

    push(&q, 'e', WHOLE);
    sends(&q, "bcde-");
    assert_int_equal(q.bytes, 0);
    assert_int_equal(q.dropped_frames, 0);
    empty(&q);
}


/* A session is lost: only what was not sent whole is sent again. */

static void
test_rewind(void **state)
{
    d4_queue_t  q;

    (void) state;

    d4_queue_init(&q, 100 * COST, D4_QUEUE_BLOCK);

    assert_int_equal(d4_queue_rewind(&q), 0);

    push(&q, 'a', WHOLE);
    push(&q, 'b', WHOLE);
    push(&q, 'c', WHOLE);
    sends(&q, "a");
    assert_int_equal(d4_queue_rewind(&q), 0);

    assert_non_null(d4_queue_peek(&q));
    d4_queue_begin(&q);
    assert_int_equal(d4_queue_rewind(&q), 1);
    assert_int_equal(q.frames, 2);
    sends(&q, "bc-");
    empty(&q);
}


/* In the middle of what spans frames: it is sent again from its start. */

static void
test_rewind_run(void **state)
{
    d4_queue_t  q;

    (void) state;

    d4_queue_init(&q, 100 * COST, D4_QUEUE_BLOCK);

    push(&q, 'a', WHOLE);
    push(&q, 'b', START);
    push(&q, 'c', 0);
    sends(&q, "abc");
    assert_int_equal(q.bytes, 2 * COST);
    assert_int_equal(d4_queue_rewind(&q), 2);
    assert_int_equal(q.frames, 2);

    sends(&q, "b");
    d4_queue_begin(&q);
    assert_int_equal(d4_queue_rewind(&q), 2);

    sends(&q, "bc-");
    push(&q, 'd', END);
    push(&q, 'e', WHOLE);
    assert_int_equal(d4_queue_rewind(&q), 2);

    sends(&q, "bcd");
    assert_int_equal(q.bytes, COST);
    assert_int_equal(d4_queue_rewind(&q), 0);
    sends(&q, "e-");
    assert_int_equal(q.dropped_frames, 0);
    empty(&q);
}


/* More of one run than the queue holds: nothing waits for ever. */

static void
test_run_too_long(void **state)
{
    d4_queue_t  q;

    (void) state;

    d4_queue_init(&q, 3 * COST, D4_QUEUE_BLOCK);

    push(&q, 'a', START);
    push(&q, 'b', 0);
    push(&q, 'c', 0);
    assert_true(d4_queue_full(&q));
    sends(&q, "a");
    assert_false(d4_queue_full(&q));
    push(&q, 'd', 0);
    sends(&q, "bcd-");

    /* its beginning is gone, so a new session begins with the next */

    push(&q, 'e', 0);
    assert_int_equal(d4_queue_rewind(&q), 0);
    push(&q, 'f', END);
    assert_int_equal(q.dropped_frames, 2);
    assert_int_equal(q.dropped_bytes, 2 * SIZE);
    push(&q, 'g', WHOLE);
    sends(&q, "g-");
    empty(&q);
}


static void
test_drop_newest(void **state)
{
    d4_queue_t  q;

    (void) state;

    d4_queue_init(&q, 3 * COST, D4_QUEUE_DROP_NEWEST);

    push(&q, 'a', WHOLE);
    push(&q, 'b', WHOLE);
    push(&q, 'c', WHOLE);
    assert_false(d4_queue_full(&q));
    push(&q, 'd', START);
    push(&q, 'e', END);
    assert_int_equal(q.dropped_frames, 2);
    sends(&q, "a");
    push(&q, 'f', WHOLE);
    sends(&q, "bcf-");

    /* a run that does not fit goes whole, even what was taken of it */

    push(&q, 'a', WHOLE);
    push(&q, 'b', START);
    push(&q, 'c', 0);
    push(&q, 'd', 0);
    push(&q, 'e', END);
    assert_int_equal(q.frames, 1);
    assert_int_equal(q.bytes, COST);
    assert_int_equal(q.dropped_frames, 6);
    push(&q, 'f', WHOLE);
    sends(&q, "af-");

    /* unless a part of it was sent: then its session has to end */

    push(&q, 'a', START);
    push(&q, 'b', 0);
    sends(&q, "a");
    d4_queue_begin(&q);
    push(&q, 'c', 0);
    push(&q, 'd', 0);
    push(&q, 'e', 0);
    assert_int_equal(q.frames, 3);
    assert_int_equal(q.dropped_frames, 7);
    push(&q, 'f', END);
    d4_queue_sent(&q);
    sends(&q, "c");
    push(&q, 'g', WHOLE);
    sends(&q, "dG-");
    push(&q, 'h', WHOLE);
    sends(&q, "h-");
    empty(&q);
}


static void
test_drop_oldest(void **state)
{
    d4_queue_t  q;

    (void) state;

    d4_queue_init(&q, 3 * COST, D4_QUEUE_DROP_OLDEST);

    push(&q, 'a', WHOLE);
    push(&q, 'b', START);
    push(&q, 'c', END);
    push(&q, 'd', WHOLE);
    assert_int_equal(q.dropped_frames, 1);
    push(&q, 'e', WHOLE);
    assert_int_equal(q.dropped_frames, 3);
    sends(&q, "de-");

    /* not the one that is being written */

    push(&q, 'a', WHOLE);
    push(&q, 'b', WHOLE);
    push(&q, 'c', WHOLE);
    d4_queue_begin(&q);
    push(&q, 'd', WHOLE);
    d4_queue_sent(&q);
    sends(&q, "cd-");

    /* a run that drops its own beginning drops its end as well */

    push(&q, 'a', START);
    push(&q, 'b', 0);
    push(&q, 'c', 0);
    push(&q, 'd', 0);
    push(&q, 'e', END);
    assert_int_equal(q.frames, 0);
    assert_int_equal(q.bytes, 0);
    push(&q, 'f', WHOLE);
    sends(&q, "f-");

    /* a part was sent: what is dropped ends the session */

    push(&q, 'a', START);
    push(&q, 'b', 0);
    sends(&q, "a");
    push(&q, 'c', 0);
    push(&q, 'd', 0);
    push(&q, 'e', 0);
    push(&q, 'f', END);
    sends(&q, "bcd-");
    push(&q, 'g', WHOLE);
    push(&q, 'h', WHOLE);
    push(&q, 'i', WHOLE);
    push(&q, 'j', WHOLE);

    /* and the mark outlives the one that bore it */

    sends(&q, "Hij-");
    empty(&q);
}


/* Kept for a rewind only: goes before anything is dropped. */

static void
test_forget(void **state)
{
    d4_queue_t  q;

    (void) state;

    d4_queue_init(&q, 3 * COST, D4_QUEUE_DROP_NEWEST);

    push(&q, 'a', START);
    push(&q, 'b', 0);
    sends(&q, "ab");
    assert_int_equal(q.bytes, 2 * COST);
    push(&q, 'c', 0);
    push(&q, 'd', END);
    assert_int_equal(q.dropped_frames, 0);
    assert_int_equal(q.bytes, 2 * COST);

    assert_int_equal(d4_queue_rewind(&q), 0);
    assert_int_equal(q.dropped_frames, 2);
    empty(&q);
}


static void
test_break(void **state)
{
    d4_queue_t  q;

    (void) state;

    d4_queue_init(&q, 100 * COST, D4_QUEUE_BLOCK);

    push(&q, 'a', START);
    d4_queue_break(&q);
    push(&q, 'b', 0);
    push(&q, 'c', WHOLE);
    push(&q, 'd', WHOLE);
    assert_int_equal(q.dropped_frames, 1);
    sends(&q, "aCd-");

    /* what was sent of it is not sent again, neither then nor at the end */

    push(&q, 'a', START);
    sends(&q, "a");
    d4_queue_break(&q);
    assert_int_equal(d4_queue_rewind(&q), 0);

    push(&q, 'b', START);
    sends(&q, "b");
    d4_queue_end(&q);
    assert_int_equal(d4_queue_rewind(&q), 0);
    assert_int_equal(q.bytes, 0);

    push(&q, 'c', START);
    push(&q, 'd', 0);
    sends(&q, "c");
    d4_queue_end(&q);
    assert_int_equal(d4_queue_rewind(&q), 1);
    sends(&q, "cd");
    assert_int_equal(d4_queue_rewind(&q), 0);
    empty(&q);
}


static void
test_rate(void **state)
{
    int         n;
    int64_t     now, t;
    d4_rate_t   r;

    (void) state;

    d4_rate_init(&r, 0, 1000);
    assert_int_equal(d4_rate_wait(&r, UINT32_MAX, 1000), 0);

    /* 10 a second for 10 seconds, with a second's worth to begin with */

    now = 1000;
    n = 0;
    d4_rate_init(&r, 10, now);

    while (now <= 11000) {
        t = d4_rate_wait(&r, 1, now);

        if (t != 0) {
            assert_true(t > now);
            now = t;
            continue;
        }

        d4_rate_spend(&r, 1);
        n++;
    }

    assert_int_equal(n, 110);

    /* more at once than a second allows is paid for afterwards */

    d4_rate_init(&r, 100, 0);
    assert_int_equal(d4_rate_wait(&r, 1000, 0), 0);
    d4_rate_spend(&r, 1000);
    assert_int_equal(d4_rate_wait(&r, 1, 0), 9010);
    assert_int_equal(d4_rate_wait(&r, 1000, 9010), 10000);
    assert_int_equal(d4_rate_wait(&r, 1000, 10000), 0);

    /* a long rest does not overflow */

    assert_int_equal(d4_rate_wait(&r, 1, INT64_MAX), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_rewind),
        cmocka_unit_test(test_rewind_run),
        cmocka_unit_test(test_run_too_long),
        cmocka_unit_test(test_drop_newest),
        cmocka_unit_test(test_drop_oldest),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_break),
        cmocka_unit_test(test_rate),
    };

    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}

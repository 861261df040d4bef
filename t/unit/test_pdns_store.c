
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Batches against a model of the store: what the commands do to sorted sets
 * is the same for any order and any batching of the records.
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "pdns_batch.h"
#include "pdns_cursor.h"
#include "pdns_line.h"
#include "pdns_query.h"


#define MODEL   8192
#define RECORDS 300


typedef struct {
    char     *key;                     /* key, zero, member */
    size_t    len;
    long long score;
} cell_t;

typedef struct {
    cell_t    cells[MODEL];
    size_t    n;
} model_t;


static char           buf[PDNS_RDATA_TEXT];
static const uint64_t seed[2] = { 1, 2 };
static int            failing;         /* batches, now and then */


static long long
number(const unit_word_t *w)
{
    char  text[32];

    assert_true(w->len < sizeof(text));
    memcpy(text, w->p, w->len);
    text[w->len] = '\0';

    return atoll(text);
}


static cell_t *
cell(model_t *m, const unit_word_t *key, const unit_word_t *member, int *new)
{
    char    *name;
    size_t   i, len;

    len = key->len + 1 + member->len;
    name = malloc(len + 1);
    memcpy(name, key->p, key->len);
    name[key->len] = '\0';
    memcpy(name + key->len + 1, member->p, member->len);

    *new = 0;

    for (i = 0; i < m->n; i++) {
        if (m->cells[i].len == len && memcmp(m->cells[i].key, name, len) == 0)
        {
            free(name);
            return &m->cells[i];
        }
    }

    assert_true(m->n < MODEL);

    *new = 1;
    m->cells[m->n].key = name;
    m->cells[m->n].len = len;
    m->cells[m->n].score = 0;

    return &m->cells[m->n++];
}


static int
word_is(const unit_word_t *w, const char *text)
{
    return w->len == strlen(text) && memcmp(w->p, text, w->len) == 0;
}


/* Carries out what a batch sends and answers it; 1: it has more. */

static int
apply(model_t *m, pdns_batch_t *b, pdns_seen_t *seen, int changed)
{
    int             argc, n, new, commands, some;
    size_t          i, nth;
    cell_t         *c;
    uint8_t        *flat;
    d4_pool_t       pool;
    long long       score, added;
    unit_word_t     words[1200];
    d4_blocks_t     out;
    const uint8_t  *p;

    d4_pool_init(&pool, 0);
    d4_blocks_init(&out, &pool);

    /* in pieces of any size */

    commands = 0;

    while (!pdns_batch_written(b)) {
        some = pdns_batch_commands(b, seen, (size_t) (1 + random() % 60),
                                   &out);
        assert_true(some > 0);
        commands += some;
    }

    /* one that has failed is written anew */

    if (failing && random() % 4 == 0) {
        d4_blocks_free(&out);
        pdns_seen_clear(seen);
        pdns_batch_rewind(b);
        commands = pdns_batch_commands(b, seen, SIZE_MAX, &out);
        assert_true(pdns_batch_written(b));
    }

    flat = unit_flat(&out);
    p = flat;
    nth = 0;

    while ((argc = unit_resp(&p, flat + out.bytes, words, 1200)) > 0) {
        added = 0;

        if (word_is(&words[0], "ZADD")) {
            n = word_is(&words[2], "GT") ? 3 : 2;
            assert_int_equal((argc - n) % 2, 0);

            for (i = (size_t) n; i < (size_t) argc; i += 2) {
                c = cell(m, &words[1], &words[i + 1], &new);
                score = number(&words[i]);

                if (new || score > c->score || n == 2) {
                    c->score = score;
                }

                added += new;
            }

        } else if (word_is(&words[0], "ZINCRBY")) {
            assert_int_equal(argc, 4);
            c = cell(m, &words[1], &words[3], &new);
            c->score += number(&words[2]);

        } else if (word_is(&words[0], "SETNX")) {
            assert_int_equal(argc, 3);
            (void) cell(m, &words[1], &words[2], &new);

        } else {
            assert_true(word_is(&words[0], "GET"));
            assert_int_equal(nth, commands - 1);
        }

        pdns_batch_reply(b, nth++, added);
    }

    assert_int_equal(argc, 0);
    assert_int_equal(nth, commands);

    free(flat);
    d4_blocks_free(&out);
    assert_int_equal(pool.held, 0);

    return pdns_batch_more(b, seen, changed);
}


static int
by_key(const void *one, const void *two)
{
    int            rc;
    size_t         n;
    const cell_t  *a = one, *b = two;

    n = (a->len < b->len) ? a->len : b->len;
    rc = memcmp(a->key, b->key, n);

    return (rc != 0) ? rc : (a->len > b->len) - (a->len < b->len);
}


static void
model_free(model_t *m)
{
    while (m->n > 0) {
        free(m->cells[--m->n].key);
    }
}


static void
same(model_t *a, model_t *b)
{
    size_t  i;

    qsort(a->cells, a->n, sizeof(cell_t), by_key);
    qsort(b->cells, b->n, sizeof(cell_t), by_key);

    assert_int_equal(a->n, b->n);

    for (i = 0; i < a->n; i++) {
        assert_int_equal(a->cells[i].len, b->cells[i].len);
        assert_memory_equal(a->cells[i].key, b->cells[i].key, a->cells[i].len);
        assert_true(a->cells[i].score == b->cells[i].score);
    }
}


static char  *lines[RECORDS];


static void
make_lines(void)
{
    int                i;
    char               answer[200], text[512];

    static const char *types[] = { "A", "AAAA", "CNAME", "MX", "TXT", "SOA",
                                   "PTR" };

    srandom(7);

    for (i = 0; i < RECORDS; i++) {
        int  t = (int) (random() % 7), n = (int) (random() % 9);

        switch (t) {
        case 0:
            snprintf(answer, sizeof(answer), "192.0.2.%d", n);
            break;
        case 1:
            snprintf(answer, sizeof(answer), "2001:db8::%d", n);
            break;
        case 2:
            snprintf(answer, sizeof(answer), "t%d.example.net.", n);
            break;
        case 3:
            snprintf(answer, sizeof(answer), "%d mx.example.net.", n);
            break;
        case 4:
            snprintf(answer, sizeof(answer), "\"%0*d\"", 30 + 10 * n, n);
            break;
        case 5:
            snprintf(answer, sizeof(answer), "ns.a. root.b. %d 2 3 4 5", n);
            break;
        default:
            snprintf(answer, sizeof(answer), "%s",
                     (n % 2) ? "NXDOMAIN" : "UNKNOWN-ERROR-23");
        }

        snprintf(text, sizeof(text), "%ld||c||s||IN||n%ld.example%ld.com.||"
                 "%s||%s||%d||%ld", 1500000000 + random() % 1000,
                 random() % 5, random() % 3, types[t], answer,
                 (t == 6) ? 0 : 300, 1 + random() % 9);
        lines[i] = strdup(text);
    }
}


static void
store_lines(model_t *m, int each, int known)
{
    int             i;
    pdns_seen_t     seen;
    pdns_batch_t   *b;
    pdns_record_t   r;

    assert_int_equal(pdns_seen_init(&seen, 4096), 0);
    b = pdns_batch_create(seed, 1);
    assert_non_null(b);

    for (i = 0; i < RECORDS; i++) {
        assert_int_equal(pdns_line_parse(&r, lines[i], strlen(lines[i]), buf,
                                         sizeof(buf)), PDNS_OK);
        r.sensor.data = (r.last % 3) ? "s1" : "s2";
        r.sensor.len = 2;
        assert_int_equal(pdns_batch_add(b, &r), 0);

        if ((i + 1) % each == 0 || i + 1 == RECORDS) {
            if (!known) {
                pdns_seen_clear(&seen);
            }

            assert_int_equal(apply(m, b, &seen, 0), 0);
            pdns_batch_reset(b);
        }
    }

    assert_int_equal(pdns_batch_size(b), 0);
    pdns_batch_free(b);
    pdns_seen_free(&seen);
}


static void
test_any_order(void **state)
{
    int              i, j, round;
    char            *swap;
    static model_t   one, other;

    (void) state;

    make_lines();
    store_lines(&one, RECORDS, 1);

    failing = 1;

    for (round = 0; round < 12; round++) {

        for (i = RECORDS - 1; i > 0; i--) {
            j = (int) (random() % (i + 1));
            swap = lines[i];
            lines[i] = lines[j];
            lines[j] = swap;
        }

        store_lines(&other, 1 + round * 27, round % 2);
        same(&one, &other);
        model_free(&other);
    }

    failing = 0;

    model_free(&one);

    for (i = 0; i < RECORDS; i++) {
        free(lines[i]);
    }
}


/* What another database counts may come again, and is no sum. */

static void
test_before(void **state)
{
    int             i;
    size_t          n, added[3];
    char           *end;
    pdns_seen_t     seen;
    pdns_batch_t   *b;
    pdns_record_t   r;
    pdns_added_t    of;
    static model_t  m;

    static const char  line[] = "1500000000||c||s||IN||a.example.||A||"
                                "192.0.2.1||300||3";

    (void) state;

    assert_int_equal(pdns_seen_init(&seen, 4096), 0);
    b = pdns_batch_create(seed, 0);
    assert_non_null(b);

    for (i = 0; i < 3; i++) {
        assert_int_equal(pdns_line_parse(&r, line, strlen(line), buf,
                                         sizeof(buf)), PDNS_OK);
        assert_true(r.before == 0);

        if (i > 0) {
            r.count = 0;
            r.before = 41 + (uint64_t) i;
        }

        assert_int_equal(pdns_batch_add(b, &r), 0);
        assert_int_equal(apply(&m, b, &seen, 0), 0);
        pdns_batch_added(b, &of);
        added[i] = (size_t) of.records;
        pdns_batch_reset(b);
    }

    assert_int_equal(added[0], 1);
    assert_int_equal(added[1] + added[2], 0);

    for (i = 0, n = 0; n < m.n; n++) {
        if (m.cells[n].len < 6) {
            continue;
        }

        end = m.cells[n].key + m.cells[n].len - 6;

        if (memcmp(end, "c\1\300\0\2\1", 6) == 0) {
            assert_true(m.cells[n].score == 3);
            i++;
        }

        if (memcmp(end, "b\1\300\0\2\1", 6) == 0) {
            assert_true(m.cells[n].score == 43);
            i++;
        }
    }

    assert_int_equal(i, 2);

    model_free(&m);
    pdns_batch_free(b);
    pdns_seen_free(&seen);
}


/* What the store has lost is written again when its epoch says so. */

static void
test_epoch(void **state)
{
    size_t           n;
    pdns_seen_t      seen;
    pdns_batch_t    *b;
    pdns_added_t     added;
    pdns_record_t    r;
    static model_t   m;
    const char      *text = "1||c||s||IN||www.example.com.||A||"
                            "192.0.2.1||9||1";

    (void) state;

    assert_int_equal(pdns_seen_init(&seen, 64), 0);
    b = pdns_batch_create(seed, 1);

    assert_int_equal(pdns_line_parse(&r, text, strlen(text), buf,
                                     sizeof(buf)), PDNS_OK);

    assert_int_equal(pdns_batch_add(b, &r), 0);
    assert_int_equal(apply(&m, b, &seen, 0), 0);
    pdns_batch_added(b, &added);
    assert_int_equal(added.records, 1);
    assert_int_equal(added.names, 1);
    pdns_batch_reset(b);
    n = m.n;

    /* N: three members, R:, W:, T:, U:, P:, 4: twice */

    assert_int_equal(n, 10);

    assert_int_equal(pdns_batch_add(b, &r), 0);
    assert_int_equal(apply(&m, b, &seen, 0), 0);
    pdns_batch_reset(b);
    assert_int_equal(m.n, n);

    model_free(&m);

    assert_int_equal(pdns_batch_add(b, &r), 0);
    assert_int_equal(apply(&m, b, &seen, 1), 1);
    assert_int_equal(m.n, 4);
    assert_int_equal(apply(&m, b, &seen, 0), 0);
    assert_int_equal(m.n, n);

    model_free(&m);
    pdns_batch_free(b);
    pdns_seen_free(&seen);
}


/*
 * Writes the batch and answers: all, with an error to the count number refused
 * (0: none).  Returns how many counts were written.
 */

static int
answer(pdns_batch_t *b, pdns_seen_t *seen, int refused)
{
    int             argc, counts, commands, error;
    char            key[64];
    size_t          i, len;
    uint8_t        *flat;
    d4_pool_t       pool;
    unit_word_t     words[16];
    d4_blocks_t     out;
    const uint8_t  *p;

    d4_pool_init(&pool, 0);
    d4_blocks_init(&out, &pool);

    pdns_seen_clear(seen);
    pdns_batch_rewind(b);
    commands = pdns_batch_commands(b, seen, SIZE_MAX, &out);
    assert_true(pdns_batch_written(b));

    counts = 0;
    flat = unit_flat(&out);
    p = flat;

    for (i = 0; (argc = unit_resp(&p, flat + out.bytes, words, 16)) > 0; i++) {
        error = (word_is(&words[0], "ZINCRBY") && ++counts == refused);
        pdns_batch_reply(b, i, error ? -1 : 0);

        /* the key is found again, as much of it as there is room for */

        len = pdns_resp_key(&out, i, key, sizeof(key));
        assert_int_equal(len, words[1].len);
        assert_memory_equal(key, words[1].p, len);
        assert_int_equal(pdns_resp_key(&out, i, key, 2), 2);
    }

    assert_int_equal(i, commands);
    assert_int_equal(pdns_resp_key(&out, i, key, sizeof(key)), 0);

    free(flat);
    d4_blocks_free(&out);

    return counts;
}


/* A batch that is refused adds no count twice, unless the store was lost. */

static void
test_refused(void **state)
{
    size_t          i;
    pdns_seen_t     seen;
    pdns_batch_t   *b;
    pdns_record_t   r;
    const char     *text[] = {
        "1||c||s||IN||a.example.com.||A||192.0.2.1||9||1",
        "1||c||s||IN||a.example.com.||A||192.0.2.2||9||1",
        "1||c||s||IN||b.example.com.||A||NXDOMAIN||0||1",
        "1||c||s||IN||c.example.com.||A||NXDOMAIN||0||1"
    };

    (void) state;

    assert_int_equal(pdns_seen_init(&seen, 64), 0);
    b = pdns_batch_create(seed, 1);

    for (i = 0; i < 4; i++) {
        assert_int_equal(pdns_line_parse(&r, text[i], strlen(text[i]), buf,
                                         sizeof(buf)), PDNS_OK);
        assert_int_equal(pdns_batch_add(b, &r), 0);
    }

    assert_int_equal(answer(b, &seen, 2), 4);
    assert_int_equal(answer(b, &seen, 1), 1);
    assert_int_equal(answer(b, &seen, 0), 1);
    assert_int_equal(answer(b, &seen, 0), 0);

    pdns_batch_lost(b);
    assert_int_equal(answer(b, &seen, 4), 4);
    assert_int_equal(answer(b, &seen, 0), 1);
    pdns_batch_reset(b);

    assert_int_equal(pdns_batch_add(b, &r), 0);
    assert_int_equal(answer(b, &seen, 0), 1);

    pdns_batch_free(b);
    pdns_seen_free(&seen);
}


static void
value_is(const char *text, int rdata, int find)
{
    const char    *wrong;
    pdns_value_t   v;

    wrong = pdns_value_parse(&v, text, strlen(text), rdata);

    if (find < 0) {
        assert_non_null(wrong);
        return;
    }

    assert_null(wrong);
    assert_int_equal(v.find, find);
}


static void
test_value(void **state)
{
    pdns_value_t  v;
    uint8_t       low[4] = { 192, 0, 2, 0 }, high[4] = { 192, 0, 3, 255 };

    (void) state;

    value_is("example.com", 0, PDNS_FIND_NAME);
    value_is(" example.com ", 0, PDNS_FIND_NAME);
    value_is("*.example.com", 0, PDNS_FIND_BELOW);
    value_is("www.example.*", 0, PDNS_FIND_PREFIX);
    value_is("example.*.", 0, PDNS_FIND_PREFIX);
    value_is("192.0.2.1", 0, PDNS_FIND_ADDR);
    value_is("2001:db8::1", 0, PDNS_FIND_ADDR);
    value_is("192.0.2.0/23", 0, PDNS_FIND_ADDR);
    value_is("192.0.2.0,23", 0, PDNS_FIND_ADDR);
    value_is("192.0.2.0-192.0.2.9", 0, PDNS_FIND_ADDR);
    value_is("212.0/24.2.0.192.in-addr.arpa", 0, PDNS_FIND_NAME);
    value_is("a-b.example", 0, PDNS_FIND_NAME);
    value_is("example.com", 1, PDNS_FIND_TARGET);
    value_is("*.example.com", 1, PDNS_FIND_TARGETS);
    value_is("ns.*", 1, PDNS_FIND_TARGET_PREFIX);
    value_is("v=spf1 -all", 1, PDNS_FIND_DATA);
    value_is("\"x\"", 1, PDNS_FIND_DATA);
    value_is("\xc3\xbc.example", 0, PDNS_FIND_NAME);

    value_is("", 0, -1);
    value_is("*", 0, -1);
    value_is("*.", 0, -1);
    value_is("www.*", 0, -1);
    value_is("a..b", 0, -1);
    value_is("192.0.2.0/33", 0, -1);
    value_is("192.0.2.0/x", 0, -1);
    value_is("192.0.2.9-192.0.2.1", 0, -1);
    value_is("192.0.2.9-2001:db8::1", 0, -1);

    assert_null(pdns_value_parse(&v, "192.0.3.77/23", 13, 0));
    assert_memory_equal(v.low, low, 4);
    assert_memory_equal(v.high, high, 4);
}


static void
test_filter(void **state)
{
    uint64_t       t;
    pdns_filter_t  f;

    (void) state;

    memset(&f, 0, sizeof(f));
    assert_int_equal(pdns_filter_types(&f, "a,AAAA,TYPE65280", 16, 0), 0);
    assert_true(pdns_filter_type(&f, 28));
    assert_true(pdns_filter_type(&f, 65280));
    assert_false(pdns_filter_type(&f, 5));
    assert_int_equal(pdns_filter_types(&f, "a,", 2, 0), -1);
    assert_int_equal(pdns_filter_types(&f, "any", 3, 0), 0);
    assert_true(pdns_filter_type(&f, PDNS_RRSIG));
    assert_int_equal(pdns_filter_types(&f, "any", 3, 1), 0);
    assert_false(pdns_filter_type(&f, PDNS_RRSIG));
    assert_int_equal(pdns_filter_types(&f, "any-dnssec", 10, 1), 0);
    assert_true(pdns_filter_type(&f, PDNS_RRSIG));
    assert_false(pdns_filter_type(&f, PDNS_A));

    assert_int_equal(pdns_filter_time(&t, "1500000000", 10, 0), 0);
    assert_int_equal(t, 1500000000);
    assert_int_equal(pdns_filter_time(&t, "-60", 3, 1000), 0);
    assert_int_equal(t, 940);
    assert_int_equal(pdns_filter_time(&t, "2019-01-27T21:32:18Z", 20, 0), 0);
    assert_int_equal(t, 1548624738);
    assert_int_equal(pdns_filter_time(&t, "2000-02-29", 10, 0), 0);
    assert_int_equal(t, 951782400);
    assert_int_equal(pdns_filter_time(&t, "2000-13-29", 10, 0), -1);
    assert_int_equal(pdns_filter_time(&t, "x", 1, 0), -1);
    assert_int_equal(pdns_filter_time(&t, "", 0, 0), -1);
}


static void
test_cursor(void **state)
{
    char           text[PDNS_CURSOR_TEXT];
    size_t         i, n;
    pdns_cursor_t  c, back;

    (void) state;

    for (i = 0; i < 200; i++) {
        c.time = 1500000000 + i;
        c.oldest = i % 2;
        c.leaf_len = i % 7;
        c.member_len = i;
        memset(c.leaf, (int) i, c.leaf_len);
        memset(c.member, (int) (255 - i), c.member_len);

        n = pdns_cursor_text(text, &c);
        assert_int_equal(strlen(text), n);
        assert_int_equal(pdns_cursor_parse(&back, text, n), 0);
        assert_int_equal(back.time, c.time);
        assert_int_equal(back.oldest, c.oldest);
        assert_int_equal(back.leaf_len, c.leaf_len);
        assert_int_equal(back.member_len, c.member_len);
        assert_memory_equal(back.leaf, c.leaf, c.leaf_len);
        assert_memory_equal(back.member, c.member, c.member_len);
    }

    assert_int_equal(pdns_cursor_parse(&c, "", 0), -1);
    assert_int_equal(pdns_cursor_parse(&c, "!!!!", 4), -1);
    assert_int_equal(pdns_cursor_parse(&c, "AQAAAAAA", 8), -1);

    for (i = 0; i < 2; i++) {
        c.time = 17;
        c.oldest = (int) i;
        assert_int_equal(pdns_cursor_numbered(&back, pdns_cursor_number(&c)),
                         0);
        assert_int_equal(back.time, 17);
        assert_int_equal(back.oldest, i);
    }

    c.time = PDNS_TIME_MAX;
    assert_true(pdns_cursor_number(&c) < PDNS_CURSOR_KEPT);
    assert_int_equal(pdns_cursor_numbered(&c, 1), -1);
    assert_int_equal(pdns_cursor_numbered(&c, 0), -1);
    assert_int_equal(pdns_cursor_numbered(&c, 5), -1);

    /* behind a whole second; behind a member of it */

    c.time = 10;
    c.oldest = 0;
    c.member_len = 0;
    assert_false(pdns_cursor_behind(&c, 10, (uint8_t *) "a", 1));
    assert_true(pdns_cursor_behind(&c, 9, (uint8_t *) "a", 1));
    c.member_len = 1;
    c.member[0] = 'm';
    assert_true(pdns_cursor_behind(&c, 10, (uint8_t *) "l", 1));
    assert_false(pdns_cursor_behind(&c, 10, (uint8_t *) "m", 1));
    assert_false(pdns_cursor_behind(&c, 10, (uint8_t *) "ma", 2));
    assert_false(pdns_cursor_behind(&c, 11, (uint8_t *) "a", 1));

    /* the same, the oldest first */

    c.oldest = 1;
    assert_false(pdns_cursor_behind(&c, 10, (uint8_t *) "l", 1));
    assert_false(pdns_cursor_behind(&c, 10, (uint8_t *) "m", 1));
    assert_true(pdns_cursor_behind(&c, 10, (uint8_t *) "ma", 2));
    assert_true(pdns_cursor_behind(&c, 11, (uint8_t *) "a", 1));
    assert_false(pdns_cursor_behind(&c, 9, (uint8_t *) "z", 1));
    c.member_len = 0;
    assert_false(pdns_cursor_behind(&c, 10, (uint8_t *) "a", 1));
    assert_true(pdns_cursor_behind(&c, 11, (uint8_t *) "a", 1));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_before),
        cmocka_unit_test(test_epoch),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_value),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_cursor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

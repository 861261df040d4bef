
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
#include "pdns_sensor.h"
#include "../../sensor/pdns/pds_cache.h"

#include <stdio.h>


#define SECOND  1000000
#define PERIOD  ((int64_t) 86400 * SECOND)
#define EXPIRY  ((int64_t) 43200 * SECOND)
#define START   ((int64_t) 1700000000 * SECOND)


static const pds_key_t  key = { 3, 4 };

static pds_cache_t     cache;
static pds_sighting_t  last;
static uint8_t         last_owner[PDS_NAME];
static unsigned        lines;
static uint64_t        total;          /* of all counts printed */
static uint64_t        added;


static void
print(void *data, const pds_sighting_t *s)
{
    assert_ptr_equal(data, &cache);

    last = *s;
    memcpy(last_owner, s->record.owner, s->record.owner_len);
    lines++;
    total += s->count;
    assert_true(s->count != 0);
}


static void
begin(size_t max)
{
    assert_int_equal(pds_cache_init(&cache, &key, max, PERIOD, EXPIRY), 0);
    cache.print = print;
    cache.data = &cache;
    lines = 0;
    total = 0;
    added = 0;
    pds_cache_clock(&cache, START);
}


static void
end(void)
{
    pds_cache_flush(&cache);
    assert_int_equal(total, added);
    pds_cache_free(&cache);
}


static void
see(const char *owner, const char *data, uint32_t ttl, int64_t when)
{
    uint8_t          name[PDS_NAME], addr[4], *rdata;
    pds_sighting_t   s;

    memset(&s, 0, sizeof(s));

    s.record.owner = name;
    s.record.owner_len = (uint16_t) (put_name(name, owner) - name);
    s.record.type = 1;
    s.record.class = 1;
    s.record.ttl = ttl;
    s.record.rdata_len = (uint16_t) strlen(data);
    rdata = malloc(strlen(data) + 1);
    memcpy(rdata, data, strlen(data));
    s.record.rdata = rdata;

    s.last = when;
    s.count = 1;
    put32(addr, (uint32_t) (when / SECOND));
    pds_addr_set(&s.client, addr, 4);
    pds_addr_set(&s.server, addr, 4);

    pds_cache_add(&cache, &s);
    free(rdata);
    added++;
}


/* First seen; again within the period; after it; at the end. */

static void
test_period(void **state)
{
    int64_t  t;

    (void) state;

    begin(1 << 20);

    see("a.", "1234", 60, START);
    assert_int_equal(lines, 1);
    assert_int_equal(last.count, 1);
    assert_true(last.last == START);
    assert_memory_equal(last_owner, "\1a", 3);
    assert_int_equal(last.record.rdata_len, 4);
    assert_memory_equal(last.record.rdata, "1234", 4);

    see("a.", "1234", 300, START + SECOND);
    see("a.", "1234", 10, START + 2 * SECOND);
    assert_int_equal(lines, 1);

    /* the period is over when it is seen again, not before */

    for (t = START; t < START + PERIOD; t += EXPIRY / 2) {
        pds_cache_clock(&cache, t);
        see("a.", "1234", 1, t);
    }

    assert_int_equal(lines, 1);

    pds_cache_clock(&cache, START + PERIOD);
    assert_int_equal(lines, 1);
    see("a.", "1234", 2, START + PERIOD);
    assert_int_equal(lines, 2);
    assert_int_equal(last.count, 7);
    assert_int_equal(last.record.ttl, 300);
    assert_true(last.last == START + PERIOD);

    see("a.", "1234", 2, START + PERIOD + 1);
    pds_cache_flush(&cache);
    assert_int_equal(lines, 3);
    assert_int_equal(last.count, 1);

    /* nothing new, nothing to print */

    pds_cache_flush(&cache);
    assert_int_equal(lines, 3);

    end();
}


static void
test_expiry(void **state)
{
    (void) state;

    begin(1 << 20);

    see("a.", "1234", 60, START);
    see("b.", "1234", 60, START);
    see("b.", "1234", 60, START);
    pds_cache_clock(&cache, START + SECOND);
    see("c.", "1234", 60, START + SECOND);
    see("c.", "1234", 60, START + SECOND);
    assert_int_equal(lines, 3);
    assert_int_equal(cache.entries, 3);

    pds_cache_clock(&cache, START + EXPIRY);
    assert_int_equal(cache.entries, 3);

    /* only what has something to tell prints a line */

    pds_cache_clock(&cache, START + EXPIRY + 1);
    assert_int_equal(cache.entries, 1);
    assert_int_equal(lines, 4);
    assert_memory_equal(last_owner, "\1b", 3);
    assert_int_equal(last.count, 1);
    assert_true(last.last == START);

    /* and what comes back is new, with its own TTL */

    see("b.", "1234", 5, START + EXPIRY + 1);
    assert_int_equal(lines, 5);
    assert_int_equal(last.record.ttl, 5);

    /* one that was seen again stays */

    pds_cache_clock(&cache, START + EXPIRY + SECOND);
    see("c.", "1234", 5, START + EXPIRY + SECOND);
    pds_cache_clock(&cache, START + EXPIRY + 2 * SECOND);
    assert_int_equal(cache.entries, 2);

    end();
}


/* Neither a sighting that comes late nor one from the future moves time. */

static void
test_time(void **state)
{
    (void) state;

    begin(1 << 20);

    see("a.", "1234", 60, START + 10 * SECOND);
    see("a.", "1234", 60, START + 5 * SECOND);
    pds_cache_flush(&cache);
    assert_true(last.last == START + 10 * SECOND);
    assert_int_equal(last.client.bytes[3],
                     (uint8_t) (START / SECOND + 10));

    see("b.", "1234", 60, START + 1000 * PERIOD);
    see("c.", "1234", 60, START);
    assert_true(cache.clock == START);
    assert_int_equal(cache.entries, 3);

    pds_cache_clock(&cache, START - 5 * PERIOD);
    assert_true(cache.clock == START);

    pds_cache_clock(&cache, START + EXPIRY + 1);
    assert_int_equal(cache.entries, 0);

    end();
}


/* What differs in any of its parts is another record. */

static void
test_identity(void **state)
{
    unsigned         i;
    uint8_t          name[PDS_NAME];
    pds_sighting_t   s;

    (void) state;

    begin(1 << 20);

    for (i = 0; i < 7; i++) {
        memset(&s, 0, sizeof(s));
        s.record.owner = name;
        s.record.owner_len = (uint16_t) (put_name(name, i == 1 ? "ab." : "a.")
                                         - name);
        s.record.type = (i == 2) ? 2 : 1;
        s.record.class = (i == 3) ? 3 : 1;
        s.record.rcode = (i == 4) ? 3 : 0;
        s.record.rdata = (const uint8_t *) (i == 5 ? "1235" : "1234");
        s.record.rdata_len = (i == 6) ? 3 : 4;
        s.last = START;
        s.count = 1;

        pds_cache_add(&cache, &s);
        pds_cache_add(&cache, &s);
        added += 2;
        assert_int_equal(lines, i + 1);
        assert_int_equal(last.record.owner_len, s.record.owner_len);
        assert_int_equal(last.record.type, s.record.type);
        assert_int_equal(last.record.class, s.record.class);
        assert_int_equal(last.record.rcode, s.record.rcode);
        assert_int_equal(last.record.rdata_len, s.record.rdata_len);
        assert_memory_equal(last.record.rdata, s.record.rdata,
                            s.record.rdata_len);
    }

    assert_int_equal(cache.entries, 7);

    end();
}


/* The limit is one; what makes room is what was not seen for longest. */

static void
test_limit(void **state)
{
    char      owner[32];
    size_t    fit;
    unsigned  i, before;

    (void) state;

    begin(PDS_CACHE_MIN);
    fit = 0;

    for (i = 0; i < 5000; i++) {
        sprintf(owner, "n%u.example.", i);
        see(owner, "1234", 60, START + i);
        see(owner, "1234", 60, START + i);
        see("always.", "1234", 60, START + i);
        assert_true(cache.held <= PDS_CACHE_MIN);

        if (cache.entries > fit) {
            fit = cache.entries;
        }
    }

    assert_true(fit > 200 && fit < 1000);
    assert_int_equal(cache.evicted, 5001 - cache.entries);

    before = lines;
    see("always.", "1234", 60, START);
    see("n4999.example.", "1234", 60, START);
    assert_int_equal(lines, before);
    see("n0.example.", "1234", 60, START);
    assert_true(lines > before);

    end();
}


/* Without memory each sighting is a line of its own. */

static void
test_no_memory(void **state)
{
    void            **block, **blocks;
    size_t            size;
    pds_sighting_t    s;

    (void) state;

    if (!NOMEM_POSSIBLE) {
        skip();
    }

    begin(1 << 20);
    see("a.", "1234", 60, START);

    s = last;
    s.record.owner = (const uint8_t *) "\1b";
    s.record.rdata = (const uint8_t *) "1234";
    s.count = 1;

    /* all that the allocator still has, in a list */

    nomem(1);
    blocks = NULL;

    for (size = 1 << 20; size >= sizeof(void *); /* void */ ) {
        block = malloc(size);

        if (block == NULL) {
            size /= 2;
            continue;
        }

        *block = blocks;
        blocks = block;
    }

    pds_cache_add(&cache, &s);
    pds_cache_add(&cache, &s);
    added += 2;

    nomem(0);

    while (blocks != NULL) {
        block = blocks;
        blocks = *block;
        free(block);
    }

    assert_int_equal(lines, 3);
    assert_int_equal(cache.entries, 1);

    see("b.", "1234", 60, START);
    assert_int_equal(lines, 4);
    assert_int_equal(cache.entries, 2);

    end();
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_period),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests_name("pdns sensor: cache", tests, NULL,
                                       NULL);
}

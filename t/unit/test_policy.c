
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "../../ngx_d4_module/protocol/d4_policy.h"


enum {
    ADDRESS_BLOCKED = 1, UUID_BLOCKED = 2, UUID_BLOCKS = 4, REGISTERED = 8,
    BANNED = 16, TYPE_ACCEPTED = 32, INCORRECT_TYPE = 64, HAS_KEY = 128,
    HAS_STREAM = 256, REGISTRATION = 512, ALL_FACTS = 1023
};


/* a rule applies when the facts under mask are as in value; the first wins */

typedef struct {
    unsigned  mask;
    unsigned  value;
    int       type;                    /* -1: any */
    d4_end_t  end;
} rule_t;


static const rule_t  sensor_rules[] = {
    { ADDRESS_BLOCKED, ADDRESS_BLOCKED, -1, D4_END_ADDRESS_BLOCKED },
    { UUID_BLOCKED, UUID_BLOCKED, -1, D4_END_UUID_BLOCKED },
    { REGISTRATION | REGISTERED, REGISTRATION, -1, D4_END_NOT_REGISTERED },
    { HAS_KEY, 0, -1, D4_END_NO_KEY },
    { BANNED, BANNED, -1, D4_END_BANNED },
    { TYPE_ACCEPTED, 0, -1, D4_END_TYPE_REFUSED },
    { 0, 0, 254, D4_END_META_FIRST },
    { 0, 0, -1, D4_END_NONE }
};

static const rule_t  live_rules[] = {
    { ADDRESS_BLOCKED, ADDRESS_BLOCKED, -1, D4_END_ADDRESS_BLOCKED },
    { UUID_BLOCKED, UUID_BLOCKED, -1, D4_END_UUID_BLOCKED },
    { UUID_BLOCKS, UUID_BLOCKS, -1, D4_END_UUID_BLOCKS },
    { REGISTRATION | REGISTERED, REGISTRATION, -1, D4_END_NOT_REGISTERED },
    { BANNED, BANNED, -1, D4_END_KICKED },
    { TYPE_ACCEPTED, 0, -1, D4_END_TYPE_REFUSED },
    { INCORRECT_TYPE, INCORRECT_TYPE, -1, D4_END_INCORRECT_TYPE },
    { HAS_STREAM, 0, -1, D4_END_NO_STREAM },
    { 0, 0, -1, D4_END_NONE }
};


static d4_end_t
judge(const rule_t *rule, unsigned bits, int type)
{
    while ((bits & rule->mask) != rule->value
           || (rule->type != -1 && rule->type != type))
    {
        rule++;
    }

    return rule->end;
}


static void
facts(d4_facts_t *f, unsigned bits)
{
    memset(f, 0, sizeof(*f));

    f->address_blocked = (bits & ADDRESS_BLOCKED) != 0;
    f->uuid_blocked = (bits & UUID_BLOCKED) != 0;
    f->uuid_blocks = (bits & UUID_BLOCKS) != 0;
    f->registered = (bits & REGISTERED) != 0;
    f->banned = (bits & BANNED) != 0;
    f->type_accepted = (bits & TYPE_ACCEPTED) != 0;
    f->incorrect_type = (bits & INCORRECT_TYPE) != 0;
    f->has_key = (bits & HAS_KEY) != 0;
    f->stream_max = (bits & HAS_STREAM) ? 10000 : 0;
}


static void
test_sensor_live(void **state)
{
    int          type;
    unsigned     bits;
    d4_facts_t   f;
    d4_header_t  h;

    (void) state;

    memset(&h, 0, sizeof(h));

    for (bits = 0; bits <= ALL_FACTS; bits++) {
        facts(&f, bits);

        for (type = 0; type < 256; type++) {
            h.type = (uint8_t) type;

            assert_int_equal(d4_policy_sensor(&h, &f, bits & REGISTRATION),
                             judge(sensor_rules, bits, type));
            assert_int_equal(d4_policy_live(&f, bits & REGISTRATION),
                             judge(live_rules, bits, type));
        }
    }

    /* the sensor everybody hopes for */

    facts(&f, REGISTERED | TYPE_ACCEPTED | HAS_KEY | HAS_STREAM);
    h.type = 8;
    assert_int_equal(d4_policy_sensor(&h, &f, 1), D4_END_NONE);
    assert_int_equal(d4_policy_live(&f, 1), D4_END_NONE);

    f.stream_max = 1;
    assert_int_equal(d4_policy_live(&f, 1), D4_END_NONE);
    f.stream_max = UINT64_MAX;
    assert_int_equal(d4_policy_live(&f, 1), D4_END_NONE);
}


/* no stream and an address blocker say nothing before a frame is authentic */

static void
test_authentic(void **state)
{
    size_t          i;
    unsigned        bits;
    uint64_t        now, skew;
    d4_end_t        want;
    d4_facts_t      f;
    d4_header_t     h;
    d4_limits_t     l;
    const uint64_t  times[] = { 0, 1, 999, 1000, 1001, 4999, 5000, 5001, 8999,
                                9000, 9001, UINT64_MAX - 1, UINT64_MAX };
    const uint32_t  skews[] = { 0, 1, 4000, 4001, UINT32_MAX };

    (void) state;

    memset(&h, 0, sizeof(h));
    memset(&l, 0, sizeof(l));
    now = 5000;

    for (bits = 0; bits <= ALL_FACTS; bits++) {
        facts(&f, bits);

        for (i = 0; i < 5 * 13; i++) {
            h.timestamp = times[i % 13];
            l.max_skew = skews[i / 13];

            skew = (h.timestamp >= now) ? h.timestamp - now
                                        : now - h.timestamp;

            want = (bits & UUID_BLOCKS) ? D4_END_UUID_BLOCKS
                   : (l.max_skew != 0 && skew > l.max_skew) ? D4_END_CLOCK
                   : !(bits & HAS_STREAM) ? D4_END_NO_STREAM : D4_END_NONE;

            assert_int_equal(d4_policy_authentic(&h, &f, &l, now), want);
        }
    }

    /* the limit itself is within, on both sides */

    facts(&f, HAS_STREAM);
    l.max_skew = 60;
    h.timestamp = now + 60;
    assert_int_equal(d4_policy_authentic(&h, &f, &l, now), D4_END_NONE);
    h.timestamp = now + 61;
    assert_int_equal(d4_policy_authentic(&h, &f, &l, now), D4_END_CLOCK);
    h.timestamp = now - 60;
    assert_int_equal(d4_policy_authentic(&h, &f, &l, now), D4_END_NONE);
    h.timestamp = now - 61;
    assert_int_equal(d4_policy_authentic(&h, &f, &l, now), D4_END_CLOCK);
}


static void
test_header(void **state)
{
    int          v, size, good;
    d4_end_t     want;
    uint32_t     sizes[] = { 0, 1, 999999, 1000000, 1000001, UINT32_MAX };
    d4_header_t  h;
    d4_limits_t  l;

    (void) state;

    memset(&h, 0, sizeof(h));
    memset(&l, 0, sizeof(l));
    l.max_payload = D4_MAX_PAYLOAD;
    l.versions[0] = 1 << 1;            /* versions 1 */
    l.versions[31] = 1 << 7;           /* and 255 */
    l.versions[2] = 1 << 3;            /* and 19 */

    for (v = 0; v < 256; v++) {
        for (size = 0; size < 6; size++) {
            for (good = 0; good < 2; good++) {
                h.version = (uint8_t) v;
                h.size = sizes[size];
                h.uuid[6] = 0x4d;
                h.uuid[8] = good ? 0x81 : 0x41;

                want = (v != 1 && v != 19 && v != 255) ? D4_END_VERSION
                       : size > 3 ? D4_END_TOO_LARGE
                       : !good ? D4_END_BAD_UUID : D4_END_NONE;

                assert_int_equal(d4_policy_header(&h, &l), want);
            }
        }
    }

    /* any version, any size */

    memset(l.versions, 0xff, sizeof(l.versions));
    l.max_payload = UINT32_MAX;
    h.size = UINT32_MAX;
    h.uuid[8] = 0xbf;

    for (v = 0; v < 256; v++) {
        h.version = (uint8_t) v;
        assert_int_equal(d4_policy_header(&h, &l), D4_END_NONE);
    }
}


static void
test_next(void **state)
{
    int          was, is, i;
    d4_header_t  h;
    uint8_t      uuid[16];

    (void) state;

    memset(&h, 0, sizeof(h));
    memset(h.uuid, 0x4a, 16);
    memcpy(uuid, h.uuid, 16);

    for (was = 0; was < 256; was++) {
        for (is = 0; is < 256; is++) {
            h.type = (uint8_t) is;
            assert_int_equal(d4_policy_next(&h, uuid, (uint8_t) was),
                             was == is || (was == 2 && is == 254)
                             ? D4_END_NONE : D4_END_TYPE_CHANGED);
        }
    }

    for (i = 0; i < 16; i++) {
        uuid[i] ^= 0x10;
        h.type = 8;
        assert_int_equal(d4_policy_next(&h, uuid, 8), D4_END_UUID_CHANGED);
        assert_int_equal(d4_policy_next(&h, uuid, 4), D4_END_UUID_CHANGED);
        uuid[i] ^= 0x10;
    }
}


static void
test_ends(void **state)
{
    int          i, j, defers;
    const char  *name, *error;

    (void) state;

    for (i = 0; i < D4_END_N; i++) {
        name = d4_end_name((d4_end_t) i);
        error = d4_end_error((d4_end_t) i);

        assert_non_null(name);
        assert_true(strlen(name) > 0);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_-"),
                         strlen(name));

        for (j = 0; j < i; j++) {
            assert_string_not_equal(name, d4_end_name((d4_end_t) j));
        }

        /* only a refused sensor is told, and in the form that is displayed */

        if (error != NULL) {
            assert_int_equal(d4_end_refusal((d4_end_t) i), 1);
            assert_memory_equal(error, "Error: ", 7);
        }

        defers = (i == D4_END_BANNED || i == D4_END_TYPE_REFUSED
                  || i == D4_END_META_FIRST || i == D4_END_TYPE_CHANGED
                  || i == D4_END_UUID_CHANGED);
        assert_int_equal(d4_end_defers((d4_end_t) i), defers);

        if (defers) {
            assert_non_null(error);
        }
    }

    assert_string_equal(d4_end_name(D4_END_NONE), "-");
    assert_string_equal(d4_end_name(D4_END_CLOSED), "closed");
    assert_string_equal(d4_end_name(D4_END_KEY_CHANGED), "key_changed");
    assert_string_equal(d4_end_name(D4_END_TYPE_REFUSED),
                        "type_not_accepted");
    assert_null(d4_end_error(D4_END_BAD_HMAC));
    assert_int_equal(d4_end_refusal(D4_END_SHUTDOWN), 0);
    assert_int_equal(d4_end_refusal(D4_END_REDIS), 0);
    assert_int_equal(d4_end_refusal(D4_END_BAD_HMAC), 1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_sensor_live),
        cmocka_unit_test(test_authentic),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

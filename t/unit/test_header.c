
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "../../ngx_d4_module/protocol/d4_header.h"


static void
test_published(void **state)
{
    d4_header_t  h;
    uint8_t      frame[128], out[D4_HEADER_SIZE], bytes[32];

    (void) state;

    assert_int_equal(unit_hex(frame, UNIT_HELLO), 68);
    d4_header_decode(&h, frame);

    assert_int_equal(h.version, 1);
    assert_int_equal(h.type, D4_TYPE_PASSIVEDNS);
    assert_int_equal(h.timestamp, 1700000000);
    assert_int_equal(h.size, 6);

    unit_hex(bytes, "0123456789ab4def8123456789abcdef");
    assert_memory_equal(h.uuid, bytes, 16);

    unit_hex(bytes, "9d2f6ea0a1d693c5e2b4e378f0803e59"
                    "73555df124e95bd7cf45404773abec88");
    assert_memory_equal(h.hmac, bytes, 32);

    memset(out, 0xa5, sizeof(out));
    d4_header_encode(out, &h);
    assert_memory_equal(out, frame, D4_HEADER_SIZE);
}


/* every byte of the header different: each stands where it belongs */

static void
test_layout(void **state)
{
    int          i;
    uint8_t      raw[D4_HEADER_SIZE], out[D4_HEADER_SIZE];
    d4_header_t  h;

    (void) state;

    for (i = 0; i < D4_HEADER_SIZE; i++) {
        raw[i] = (uint8_t) (0xc0 + i);
    }

    d4_header_decode(&h, raw);

    assert_int_equal(h.version, 0xc0);
    assert_int_equal(h.type, 0xc1);
    assert_memory_equal(h.uuid, raw + 2, 16);
    assert_true(h.timestamp == 0xd9d8d7d6d5d4d3d2ULL);
    assert_memory_equal(h.hmac, raw + 26, 32);
    assert_true(h.size == 0xfdfcfbfaU);

    memset(out, 0, sizeof(out));
    d4_header_encode(out, &h);
    assert_memory_equal(out, raw, sizeof(raw));
}


/* a bit set anywhere in the wire form is a bit of the header and back */

static void
test_bits(void **state)
{
    size_t       bit;
    uint8_t      raw[D4_HEADER_SIZE], out[D4_HEADER_SIZE];
    d4_header_t  h;

    (void) state;

    for (bit = 0; bit < 8 * sizeof(raw); bit++) {
        memset(raw, 0, sizeof(raw));
        raw[bit / 8] = (uint8_t) (1 << bit % 8);

        d4_header_decode(&h, raw);
        memset(out, 0xff, sizeof(out));
        d4_header_encode(out, &h);

        assert_memory_equal(out, raw, sizeof(raw));

        if (bit >= 18 * 8 && bit < 26 * 8) {
            assert_true(h.timestamp == 1ULL << (bit - 18 * 8));
        }

        if (bit >= 58 * 8) {
            assert_true(h.size == 1U << (bit - 58 * 8));
        }
    }
}


static void
test_extremes(void **state)
{
    d4_header_t  h, back;
    uint8_t      raw[D4_HEADER_SIZE];

    (void) state;

    memset(&h, 0xff, sizeof(h));
    h.timestamp = UINT64_MAX;
    h.size = UINT32_MAX;

    d4_header_encode(raw, &h);
    d4_header_decode(&back, raw);

    assert_true(back.timestamp == UINT64_MAX);
    assert_true(back.size == UINT32_MAX);
    assert_int_equal(back.version, 255);
    assert_int_equal(back.type, 255);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_extremes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

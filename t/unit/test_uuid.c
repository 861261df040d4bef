
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "../../ngx_d4_module/protocol/d4_uuid.h"


#define HEX     "0123456789ab4def8123456789abcdef"
#define DASHED  "01234567-89ab-4def-8123-456789abcdef"


static const uint8_t  uuid[16] = {
    0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4d, 0xef,
    0x81, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef
};


static void
test_write(void **state)
{
    char     out[40];
    uint8_t  ends[16];

    (void) state;

    memset(out, 'x', sizeof(out));
    d4_uuid_hex(out, uuid);
    assert_string_equal(out, HEX);
    assert_int_equal(out[33], 'x');

    memset(out, 'x', sizeof(out));
    d4_uuid_dashed(out, uuid);
    assert_string_equal(out, DASHED);
    assert_int_equal(out[37], 'x');

    memset(ends, 0, sizeof(ends));
    ends[15] = 0xf0;
    d4_uuid_hex(out, ends);
    assert_string_equal(out, "000000000000000000000000000000f0");
}


static void
test_parse(void **state)
{
    size_t      i;
    uint8_t     out[16];
    const char *forms[] = {
        HEX, DASHED, "0123456789AB4DEF8123456789ABCDEF",
        "01234567-89AB-4DEF-8123-456789ABCDEF",
        "01234567-89aB-4dEf-8123-456789AbCdeF"
    };

    (void) state;

    for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        memset(out, 0, sizeof(out));
        assert_int_equal(d4_uuid_parse(out, forms[i], strlen(forms[i])), 0);
        assert_memory_equal(out, uuid, 16);
    }

    /* no more than len bytes are read, none behind them matters */

    assert_int_equal(d4_uuid_parse(out, HEX "-and more", 32), 0);
    assert_memory_equal(out, uuid, 16);
}


static void
test_refused(void **state)
{
    char     text[40];
    size_t   i, len;
    uint8_t  out[16], before[16];

    (void) state;

    memset(before, 0x77, sizeof(before));
    memcpy(out, before, sizeof(out));

    for (len = 0; len <= 40; len++) {
        memset(text, 'a', sizeof(text));

        if (len != 32) {
            assert_int_equal(d4_uuid_parse(out, text, len), -1);
        }
    }

    /* a wrong character at every place of both forms */

    for (i = 0; i < 32; i++) {
        memcpy(text, HEX, 33);
        text[i] = 'g';
        assert_int_equal(d4_uuid_parse(out, text, 32), -1);
        text[i] = '-';
        assert_int_equal(d4_uuid_parse(out, text, 32), -1);
        text[i] = '\0';
        assert_int_equal(d4_uuid_parse(out, text, 32), -1);
    }

    for (i = 0; i < 36; i++) {
        memcpy(text, DASHED, 37);
        text[i] = (text[i] == '-') ? '0' : '-';
        assert_int_equal(d4_uuid_parse(out, text, 36), -1);
        text[i] = ' ';
        assert_int_equal(d4_uuid_parse(out, text, 36), -1);
    }

    assert_int_equal(d4_uuid_parse(out, "{0123456789ab4def8123456789abcdef}",
                                   34), -1);

    /* what is refused leaves the old value */

    assert_memory_equal(out, before, 16);
}


/* each character alone: a digit or refused */

static void
test_digits(void **state)
{
    int      c, value;
    char     text[33];
    uint8_t  out[16];

    (void) state;

    for (c = 0; c < 256; c++) {
        memset(text, '0', sizeof(text));
        text[31] = (char) c;

        value = (c >= '0' && c <= '9') ? c - '0'
                : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                : (c >= 'A' && c <= 'F') ? c - 'A' + 10 : -1;

        if (value == -1) {
            assert_int_equal(d4_uuid_parse(out, text, 32), -1);
            continue;
        }

        assert_int_equal(d4_uuid_parse(out, text, 32), 0);
        assert_int_equal(out[15], value);
    }
}


static void
test_v4(void **state)
{
    int      six, eight;
    uint8_t  u[16];

    (void) state;

    memset(u, 0xff, sizeof(u));

    for (six = 0; six < 256; six++) {
        for (eight = 0; eight < 256; eight++) {
            u[6] = (uint8_t) six;
            u[8] = (uint8_t) eight;

            assert_int_equal(d4_uuid_is_v4(u),
                             six / 16 == 4 && eight >= 128 && eight < 192);
        }
    }

    assert_int_equal(d4_uuid_is_v4(uuid), 1);

    memset(u, 0, sizeof(u));
    assert_int_equal(d4_uuid_is_v4(u), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_digits),
        cmocka_unit_test(test_v4),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

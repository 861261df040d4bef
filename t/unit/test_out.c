
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "unit.h"
#include "../../ngx_d4_module/api/d4_out.h"


static void
is_text(d4_out_t *o, const char *want)
{
    assert_false(o->failed);
    assert_int_equal(o->len, strlen(want));
    assert_memory_equal(o->data, want, o->len);

    d4_out_free(o);
    assert_int_equal(o->len, 0);
    assert_null(o->data);
}


static void
test_values(void **state)
{
    d4_out_t  o;

    (void) state;

    d4_out_init(&o);
    d4_out_object(&o, NULL);
    d4_out_object_end(&o);
    is_text(&o, "{}");

    d4_out_array(&o, NULL);
    d4_out_array_end(&o);
    is_text(&o, "[]");

    d4_out_object(&o, NULL);
    d4_out_text(&o, "a", "");
    d4_out_int(&o, "b", INT64_MIN);
    d4_out_uint(&o, "c", UINT64_MAX);
    d4_out_bool(&o, "d", 7);
    d4_out_bool(&o, "e", 0);
    d4_out_null(&o, "f");
    d4_out_array(&o, "g");
    d4_out_int(&o, NULL, 1);
    d4_out_object(&o, NULL);
    d4_out_object_end(&o);
    d4_out_text(&o, NULL, "[");
    d4_out_text(&o, NULL, ":");
    d4_out_array_end(&o);
    d4_out_key(&o, "h\"", 2);
    d4_out_int(&o, NULL, 2);
    d4_out_object_end(&o);
    is_text(&o, "{\"a\":\"\",\"b\":-9223372036854775808,"
                "\"c\":18446744073709551615,\"d\":true,\"e\":false,"
                "\"f\":null,\"g\":[1,{},\"[\",\":\"],\"h\\\"\":2}");

    d4_out_int(&o, NULL, 1);
    d4_out_raw(&o, "\n", 1);
    d4_out_object(&o, NULL);
    d4_out_object_end(&o);
    d4_out_raw(&o, "\n", 1);
    is_text(&o, "1\n{}\n");
}


static void
test_strings(void **state)
{
    size_t    i;
    d4_out_t  o;

    static const struct {
        const char  *in;
        size_t       len;
        const char  *out;
    } cases[] = {
        { "plain", 5, "\"plain\"" },
        { "\"\\\n\r\t\b\0\x1f\x7f", 9,
          "\"\\\"\\\\\\n\\r\\t\\u0008\\u0000\\u001f\\u007f\"" },
        { "\xc3\xa9", 2, "\"\xc3\xa9\"" },
        { "\xe2\x82\xac", 3, "\"\xe2\x82\xac\"" },
        { "\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\"" },

        /* cut, overlong, a surrogate, beyond the last, a lone byte */
        { "\xc3", 1, "\"\xef\xbf\xbd\"" },
        { "a\xe2\x82", 3, "\"a\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "\xf4\x90\x80\x80", 4,
          "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "\x80x\xff", 3, "\"\xef\xbf\xbdx\xef\xbf\xbd\"" }
    };

    (void) state;

    d4_out_init(&o);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        d4_out_string(&o, NULL, cases[i].in, cases[i].len);
        is_text(&o, cases[i].out);
    }
}


/* Whatever goes in, what comes out is JSON, and it is what went in. */

static void
test_round(void **state)
{
    int           i;
    char          text[256];
    json_t       *json;
    d4_out_t      o;

    (void) state;

    for (i = 0; i < 256; i++) {
        text[i] = (char) i;
    }

    d4_out_init(&o);
    d4_out_array(&o, NULL);
    d4_out_string(&o, NULL, text, 128);
    d4_out_string(&o, NULL, text, 256);
    d4_out_array_end(&o);

    json = json_loadb(o.data, o.len, JSON_ALLOW_NUL, NULL);
    assert_non_null(json);
    assert_int_equal(json_string_length(json_array_get(json, 0)), 128);
    assert_memory_equal(json_string_value(json_array_get(json, 0)), text, 128);
    assert_int_equal(json_string_length(json_array_get(json, 1)), 128 + 384);

    json_decref(json);
    d4_out_free(&o);
}


static void
test_growth(void **state)
{
    int       i;
    d4_out_t  o;

    (void) state;

    d4_out_init(&o);

    for (i = 0; i < 100000; i++) {
        d4_out_raw(&o, "0123456789", i % 11);
    }

    assert_int_equal(o.len, 499995);
    assert_true(o.size >= o.len && o.size <= 2 * o.len + 1024);
    d4_out_free(&o);

    d4_out_printf(&o, "%s%d", "x", 7);
    is_text(&o, "x7");

    /* what is too long for a format is an error, not cut */

    d4_out_printf(&o, "%600d", 1);
    assert_true(o.failed);
    d4_out_text(&o, NULL, "nothing more");
    assert_int_equal(o.len, 0);
    d4_out_free(&o);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_growth)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}


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

#include "../../sensor/d4_json.h"


/* The input in memory of exactly its size, so that a byte too many is seen. */

static size_t
minify(const char *text, size_t len, char **out, d4_json_t *j)
{
    *out = malloc(len == 0 ? 1 : len);
    assert_non_null(*out);
    memcpy(*out, text, len);

    return d4_json_minify(*out, len, j);
}


static void
test_minify(void **state)
{
    char       *out;
    size_t      i, n;
    d4_json_t   j;

    static const struct {
        const char  *in;
        const char  *out;
    } list[] = {
        { "{}", "{}" },
        { " {\t\"a\" :\r\n 1 , \"b\":[ 1 ,2, [] , {} ] } \n",
          "{\"a\":1,\"b\":[1,2,[],{}]}" },
        { "[]", "[]" },
        { " null ", "null" },
        { "true", "true" },
        { "[false]", "[false]" },
        { "-0", "-0" },
        { "0.5e+10", "0.5e+10" },
        { "[ -12.25E-3 , 1e5 ]", "[-12.25E-3,1e5]" },
        { "\" a  b \"", "\" a  b \"" },
        { "\"\\\" \\\\ \\/ \\b\\f\\n\\r\\t \\u00e9 \\uD83D\\ude00\"",
          "\"\\\" \\\\ \\/ \\b\\f\\n\\r\\t \\u00e9 \\uD83D\\ude00\"" },
        { "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf\"",
          "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf\"" },
        { "\"\x7f\"", "\"\x7f\"" },
    };

    (void) state;

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        n = minify(list[i].in, strlen(list[i].in), &out, &j);

        assert_null(j.error);
        assert_int_equal(n, strlen(list[i].out));
        assert_memory_equal(out, list[i].out, n);
        assert_int_equal(j.object, list[i].out[0] == '{');
        free(out);
    }
}


static void
test_bad(void **state)
{
    char       *out;
    size_t      i;
    d4_json_t   j;

    static const char  *list[] = {
        "", " ", "{", "}", "[", "]", "[1", "[1,", "[1,]", "[,1]", "{\"a\"",
        "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{\"a\" 1}", "{1:2}",
        "{a:1}", "{'a':1}", "[1 2]", "1 2", "{}{}", "{} x", "[1}", "{\"a\":1]",
        "nul", "nulls", "True", "tru", "01", "-", "+1", ".5", "1.", "1.e5",
        "1e", "1e+", "0x10", "NaN", "Infinity", "\"", "\"a", "\"\\", "\"\\x\"",
        "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800x\"",
        "\"\\ud800\\n\"", "\"\\ud800\\u0041\"", "\"\\udc00\"",
        "\"\\ud800\\ud800\"", "\"a\nb\"", "\"\t\"", "\"\x1f\"", "\"\x80\"",
        "\"\xc3\"", "\"\xc3x\"", "\"\xc0\xaf\"", "\"\xc1\xbf\"",
        "\"\xe0\x80\xaf\"", "\"\xe2\x82\"", "\"\xed\xa0\x80\"",
        "\"\xf0\x80\x80\xaf\"", "\"\xf4\x90\x80\x80\"",
        "\"\xf8\x88\x80\x80\x80\"", "\"\xff\"", "\xef\xbb\xbf{}", "/* */{}",
        "{\"type\":\"a\",\"type\":\"b\"}", "\xc3\xa9", "[\v1]",
    };

    (void) state;

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (minify(list[i], strlen(list[i]), &out, &j) != 0) {
            fail_msg("accepted: %s", list[i]);
        }

        assert_non_null(j.error);
        assert_true(j.at <= strlen(list[i]));
        free(out);
    }

    /* a zero byte is a byte like others */

    assert_int_equal(minify("{}\0", 3, &out, &j), 0);
    free(out);
    assert_int_equal(minify("\"a\0b\"", 5, &out, &j), 0);
    free(out);
}


/* No beginning of a text is a text, as long as it is an object. */

static void
test_every_split(void **state)
{
    char       *out;
    size_t      n, len;
    d4_json_t   j;

    static const char  text[] =
        "{ \"type\" : \"ja3-jl\" , \"list\" : [ 1.5e-3, true, null, \"\\u00e9"
        "\xc3\xa9\\ud83d\\ude00\" ], \"o\" : { \"type\" : [ { } ] } }";

    (void) state;

    len = strlen(text);

    for (n = 0; n < len; n++) {
        assert_int_equal(minify(text, n, &out, &j), 0);
        assert_non_null(j.error);
        free(out);
    }

    n = minify(text, len, &out, &j);
    assert_null(j.error);
    assert_true(j.object);
    assert_int_equal(j.type_len, 6);
    assert_memory_equal(j.type, "ja3-jl", 6);

    /* and what is minified stays as it is */

    assert_int_equal(d4_json_minify(out, n, &j), n);
    free(out);
}


static void
test_type(void **state)
{
    char       *out;
    size_t      i;
    d4_json_t   j;

    static const struct {
        const char  *in;
        const char  *type;
    } list[] = {
        { "{\"type\":\"x\"}", "x" },
        { "{\"a\":{\"type\":\"no\"},\"type\":\"yes\"}", "yes" },
        { "{\"a\":[{\"type\":\"no\"}]}", NULL },
        { "[{\"type\":\"no\"}]", NULL },
        { "{\"type\":1}", NULL },
        { "{\"type\":[\"no\"]}", NULL },
        { "{\"type\":{\"type\":\"no\"},\"a\":\"no\"}", NULL },
        { "{\"types\":\"no\",\"typ\":\"no\",\"a\":\"type\"}", NULL },
        { "{\"type\":\"\"}", "" },
        { "{ \"x\" : \"y\" ,  \"type\" :  \"a b\" }", "a b" },
        { "\"type\"", NULL },
    };

    (void) state;

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        assert_int_not_equal(minify(list[i].in, strlen(list[i].in), &out, &j),
                             0);

        if (list[i].type == NULL) {
            assert_null(j.type);

        } else {
            assert_int_equal(j.type_len, strlen(list[i].type));
            assert_memory_equal(j.type, list[i].type, j.type_len);
        }

        free(out);
    }
}


static void
test_depth(void **state)
{
    char       *out, text[4 * D4_JSON_DEPTH];
    size_t      depth;
    d4_json_t   j;

    (void) state;

    for (depth = D4_JSON_DEPTH; depth <= D4_JSON_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);

        assert_int_equal(minify(text, 2 * depth, &out, &j),
                         depth == D4_JSON_DEPTH ? 2 * depth : 0);
        free(out);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_minify),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_type),
        cmocka_unit_test(test_depth),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}

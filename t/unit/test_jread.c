
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit.h"
#include "../../ngx_d4_module/protocol/d4_jread.h"


/* The kinds of all tokens as letters; strings of values and names in ' '. */

static const char *
tokens(const char *text, size_t len)
{
    char              *copy, *out;
    size_t             n;
    d4_jread_t         r;
    d4_jread_kind_t    kind;

    static char        all[1024];
    static const char  letters[] = "$!{[)\"'0tfn";

    /* of its own, so that reading beyond it is seen */

    copy = malloc(len + (len == 0));
    assert_non_null(copy);
    memcpy(copy, text, len);

    d4_jread_init(&r, copy, len);
    out = all;

    do {
        kind = d4_jread_next(&r);
        *out++ = letters[kind];

        if (kind == D4_JREAD_NAME || kind == D4_JREAD_STRING) {
            assert_true(out + r.len + 2 < all + sizeof(all));
            n = d4_jread_string(&r, out);
            assert_true(n <= r.len);
            out += n;

        } else if (kind == D4_JREAD_NUMBER) {
            assert_true(out + r.len + 2 < all + sizeof(all));
            memcpy(out, r.text, r.len);
            out += r.len;
        }

        assert_true(r.depth <= D4_JREAD_DEPTH);

    } while (kind != D4_JREAD_END && kind != D4_JREAD_BAD);

    *out = '\0';

    /* what stands, stands */

    assert_int_equal(d4_jread_next(&r), kind);
    assert_true((kind == D4_JREAD_BAD) == (r.error != NULL));

    free(copy);

    return all;
}


#define check(text, what)                                                     \
    assert_string_equal(tokens(text, sizeof(text) - 1), what)


static void
test_values(void **state)
{
    (void) state;

    check("{}", "{)$");
    check("[]", "[)$");
    check(" [ ] ", "[)$");
    check("\"\"", "'$");
    check("\"a b\"", "'a b$");
    check("true", "t$");
    check(" false\n", "f$");
    check("null", "n$");
    check("0", "00$");
    check("-0.5e+10", "0-0.5e+10$");
    check("1E5", "01E5$");
    check("[1,2 , 3]", "[010203)$");
    check("{\"a\":1}", "{\"a01)$");
    check("{ \"a\" : [ ] , \"b\" : { \"\" : null } }", "{\"a[)\"b{\"n))$");
    check("[[],{},[{}]]", "[[){)[{)))$");
    check("{\"a\":{\"a\":[{\"a\":\"\"}]}}", "{\"a{\"a[{\"a'))))$");
}


static void
test_numbers(void **state)
{
    size_t      i;
    char        text[1000];
    d4_jread_t  r;

    (void) state;

    /* a modulus of 4096 bits has 1234 digits */

    for (i = 0; i < sizeof(text); i++) {
        text[i] = (char) ('1' + i % 9);
    }

    d4_jread_init(&r, text, sizeof(text));
    assert_int_equal(d4_jread_next(&r), D4_JREAD_NUMBER);
    assert_int_equal(r.len, sizeof(text));
    assert_int_equal(d4_jread_next(&r), D4_JREAD_END);

    check("", "!");
    check(" ", "!");
    check("-", "!");
    check("01", "00!");
    check("1.", "!");
    check(".5", "!");
    check("1e", "!");
    check("1e+", "!");
    check("+1", "!");
    check("0x1", "00!");
    check("1 2", "01!");
    check("NaN", "!");
    check("Infinity", "!");
}


static void
test_strings(void **state)
{
    char        out[64];
    size_t      i;
    d4_jread_t  r;

    static const char *const  bad[] = {
        "\"", "\"abc", "\"\\\"", "\"\\", "\"\\x\"", "\"\\u\"", "\"\\u12\"",
        "\"\\u123g\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"",
        "\"\\ud800\\ud800\"", "\"\\ud800\\", "\"\\ud83d\\ude0", "\"\x1f\"",
        "\"\n\"", "\"\x80\"", "\"\xc0\xaf\"", "\"\xc3\"", "\"\xc3(\"",
        "\"\xe0\x80\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"",
        "\"\xf8\x88\x80\x80\x80\"", "\"\xf0\x9f\x98\"", "'a'",
    };

    (void) state;

    check("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "'\"\\/\b\f\n\r\t$");
    check("\"\\u0041\\u00e9\\u20ac\\uD83D\\uDe00\"",
          "'A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80$");
    check("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"",
          "'\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f$");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_string_equal(tokens(bad[i], strlen(bad[i])), "!");
    }

    d4_jread_init(&r, "\"a\\u0000b\"", 10);
    assert_int_equal(d4_jread_next(&r), D4_JREAD_STRING);
    assert_int_equal(d4_jread_string(&r, out), 3);
    assert_memory_equal(out, "a\0b", 3);
}


static void
test_is(void **state)
{
    d4_jread_t  r;

    (void) state;

#define name(text)                                                            \
    d4_jread_init(&r, text, sizeof(text) - 1);                                \
    assert_int_equal(d4_jread_next(&r), D4_JREAD_STRING)

    name("\"Raw\"");
    assert_true(d4_jread_is(&r, "Raw"));
    assert_false(d4_jread_is(&r, "Ra"));
    assert_false(d4_jread_is(&r, "Raw "));
    assert_false(d4_jread_is(&r, "raw"));
    assert_false(d4_jread_is(&r, ""));

    name("\"R\\u0061w\"");
    assert_true(d4_jread_is(&r, "Raw"));

    name("\"Raw\\u0000\"");
    assert_false(d4_jread_is(&r, "Raw"));

    name("\"\\u0152aw\"");             /* 0x52 is an R */
    assert_false(d4_jread_is(&r, "Raw"));

    name("\"\"");
    assert_true(d4_jread_is(&r, ""));
    assert_false(d4_jread_is(&r, "R"));
}


static void
test_structure(void **state)
{
    (void) state;

    check("{", "{!");
    check("[", "[!");
    check("]", "!");
    check("}", "!");
    check("[}", "[!");
    check("{]", "{!");
    check("[1,]", "[01!");
    check("[,1]", "[!");
    check("[1 2]", "[01!");
    check("[1", "[01!");
    check("[1,", "[01!");
    check("{\"a\"}", "{\"a!");
    check("{\"a\":}", "{\"a!");
    check("{\"a\":1,}", "{\"a01!");
    check("{a:1}", "{!");
    check("{1:1}", "{!");
    check("{\"a\" 1}", "{\"a!");
    check("{\"a\"::1}", "{\"a!");
    check("{\"a\":1 \"b\":2}", "{\"a01!");
    check("[\"a\":1]", "['a!");
    check("{}{}", "{)!");
    check("[],", "[)!");
    check("nul", "!");
    check("nulls", "n!");
    check("\xef\xbb\xbf{}", "!");
    check("{}\0", "{)!");
}


static void
test_depth(void **state)
{
    int         i, j;
    char        text[2 * D4_JREAD_DEPTH + 2];
    d4_jread_t  r;

    (void) state;

    for (i = D4_JREAD_DEPTH; i <= D4_JREAD_DEPTH + 1; i++) {
        memset(text, '[', i);
        memset(text + i, ']', i);
        d4_jread_init(&r, text, 2 * i);

        for (j = 0; j < D4_JREAD_DEPTH; j++) {
            assert_int_equal(d4_jread_next(&r), D4_JREAD_ARRAY);
        }

        if (i > D4_JREAD_DEPTH) {
            assert_int_equal(d4_jread_next(&r), D4_JREAD_BAD);
            assert_string_equal(r.error, "is nested too deeply");
            continue;
        }

        for (j = 0; j < D4_JREAD_DEPTH; j++) {
            assert_int_equal(d4_jread_next(&r), D4_JREAD_CLOSE);
        }

        assert_int_equal(d4_jread_next(&r), D4_JREAD_END);
    }
}


static void
test_skip(void **state)
{
    d4_jread_t       r, saved;
    d4_jread_kind_t  kind;

    static const char  text[] = "{\"a\":[1,{\"b\":[]}],\"c\":2,\"d\":{}}";
    static const char  torn[] = "{\"a\":[1,{\"b\":[}],\"c\":2}";

    (void) state;

    d4_jread_init(&r, text, sizeof(text) - 1);
    assert_int_equal(d4_jread_next(&r), D4_JREAD_OBJECT);
    assert_int_equal(d4_jread_next(&r), D4_JREAD_NAME);
    saved = r;
    kind = d4_jread_next(&r);
    assert_int_equal(kind, D4_JREAD_ARRAY);
    assert_int_equal(d4_jread_skip(&r, kind), 0);
    assert_int_equal(d4_jread_next(&r), D4_JREAD_NAME);
    assert_true(d4_jread_is(&r, "c"));
    kind = d4_jread_next(&r);
    assert_int_equal(d4_jread_skip(&r, kind), 0);
    assert_int_equal(d4_jread_next(&r), D4_JREAD_NAME);
    kind = d4_jread_next(&r);
    assert_int_equal(d4_jread_skip(&r, kind), 0);
    assert_int_equal(d4_jread_next(&r), D4_JREAD_CLOSE);
    assert_int_equal(d4_jread_next(&r), D4_JREAD_END);

    /* a copy goes on from where it was made */

    assert_int_equal(d4_jread_next(&saved), D4_JREAD_ARRAY);
    assert_int_equal(d4_jread_next(&saved), D4_JREAD_NUMBER);

    d4_jread_init(&r, text, sizeof(text) - 1);
    kind = d4_jread_next(&r);
    assert_int_equal(d4_jread_skip(&r, kind), 0);
    assert_int_equal(d4_jread_next(&r), D4_JREAD_END);

    d4_jread_init(&r, torn, sizeof(torn) - 1);
    kind = d4_jread_next(&r);
    assert_int_equal(d4_jread_skip(&r, kind), -1);
    assert_int_equal(d4_jread_next(&r), D4_JREAD_BAD);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_is),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_skip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

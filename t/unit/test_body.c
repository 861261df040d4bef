
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "../../ngx_d4_module/api/d4_body.h"


#define UUID  "01234567-89ab-4def-8123-456789abcdef"


static const d4_field_t  fields[] = {
    { "text", D4_FIELD_STRING, D4_FIELD_NULL, 1, 5, NULL },
    { "tag", D4_FIELD_STRING, 0, 0, 200, d4_check_tag },
    { "uuid", D4_FIELD_UUID, 0, 0, 0, NULL },
    { "int", D4_FIELD_INT, 0, -5, 5, NULL },
    { "bool", D4_FIELD_BOOL, 0, 0, 0, NULL },
    { "list", D4_FIELD_LIST, 0, 1, 3, d4_check_tag },
    { "uuids", D4_FIELD_UUIDS, 0, 0, 2, NULL },
    { "objects", D4_FIELD_OBJECTS, 0, 0, 2, NULL },
    { NULL, 0, 0, 0, 0, NULL }
};

static const d4_field_t  needed[] = {
    { "text", D4_FIELD_STRING, D4_FIELD_REQUIRED, 1, 5, NULL },
    { NULL, 0, 0, 0, 0, NULL }
};


/* The reason for which a body is refused, or "". */

static const char *
check(const char *text, const d4_field_t *f)
{
    int          rc;
    json_t      *json;
    static char  reason[D4_BODY_REASON];

    reason[0] = '\0';

    json = d4_body_parse(text, strlen(text), reason);

    if (json == NULL) {
        assert_string_not_equal(reason, "");
        return reason;
    }

    assert_string_equal(reason, "");

    rc = d4_body_check(json, f, reason);
    json_decref(json);

    assert_int_equal(rc == 0, reason[0] == '\0');

    return reason;
}


static void
test_good(void **state)
{
    size_t  i;

    static const char *const  good[] = {
        "{}", " { } ", "{\"text\":\"abcde\"}", "{\"text\":null}",
        "{\"text\":\"\xc3\xa9\"}", "{\"uuid\":\"" UUID "\"}",
        "{\"int\":-5,\"bool\":true,\"list\":[\"a\",\"b\",\"c\"]}",
        "{\"uuids\":[]}", "{\"uuids\":[\"" UUID "\",\"" UUID "\"]}",
        "{\"objects\":[{},{\"x\":[1]}]}"
    };

    (void) state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_string_equal(check(good[i], fields), "");
    }

    assert_string_equal(check("{\"text\":\"a\"}", needed), "");
}


static void
test_refused(void **state)
{
    size_t  i;

    static const struct {
        const char  *text;
        const char  *reason;
    } bad[] = {
        { "", "Malformed JSON" },
        { "{", "Malformed JSON" },
        { "{}x", "Malformed JSON" },
        { "[]", "A JSON object is needed" },
        { "{\"text\":1}", "text must be a string" },
        { "{\"text\":\"\"}", "Invalid text" },
        { "{\"text\":\"abcdef\"}", "Invalid text" },
        { "{\"text\":\"a\\u0001\"}", "Invalid text" },
        { "{\"text\":\"a\\u007f\"}", "Invalid text" },
        { "{\"text\":\"a\\u0000\"}", "NUL in a JSON string" },
        { "{\"text\":\"\xff\"}", "Invalid UTF-8 in JSON" },
        { "{\"text\":\"a\",\"text\":\"a\"}", "Duplicate key in JSON" },
        { "{\"tag\":\"a,b\"}", "Invalid tag" },
        { "{\"tag\":null}", "tag must be a string" },
        { "{\"uuid\":\"x\"}", "Invalid uuid" },
        { "{\"uuid\":\"01234567-89ab-1def-8123-456789abcdef\"}",
          "Invalid uuid" },
        { "{\"int\":6}", "int must be from -5 to 5" },
        { "{\"int\":1.5}", "int must be an integer" },
        { "{\"int\":\"1\"}", "int must be an integer" },
        { "{\"int\":99999999999999999999}", "Number out of range in JSON" },
        { "{\"bool\":1}", "bool must be true or false" },
        { "{\"list\":\"a\"}", "list must be an array of strings" },
        { "{\"list\":[]}", "list must have from 1 to 3 items" },
        { "{\"list\":[\"a\",\"b\",\"c\",\"d\"]}",
          "list must have from 1 to 3 items" },
        { "{\"list\":[1]}", "list must be an array of strings" },
        { "{\"list\":[\"a\",\"\"]}", "Invalid item 1 of list" },
        { "{\"uuids\":[\"x\"]}", "Invalid item 0 of uuids" },
        { "{\"objects\":[1]}", "objects must be an array of objects" },
        { "{\"what\":1}", "Unknown field: what" },
        { "{\"a\\nb\":1}", "Unknown field: a?b" },
        { "[[[[[[[[[]]]]]]]]]", "JSON is nested too deeply" }
    };

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_memory_equal(check(bad[i].text, fields), bad[i].reason,
                            strlen(bad[i].reason));
    }

    assert_string_equal(check("{}", needed),
                        "Mandatory parameter(s) not provided: text");
    assert_string_equal(check("{\"text\":null}", needed),
                        "text must be a string");
}


static void
test_bounds(void **state)
{
    char    *text;
    size_t   n;

    (void) state;

    /* brackets and commas in strings are neither */

    assert_string_equal(check("{\"objects\":[{\"[[[[[[[[[[[\\\"[\":1}]}",
                              fields), "");

    n = 2 * D4_BODY_VALUES + 10;
    text = malloc(n);
    assert_non_null(text);
    memset(text, ',', n - 1);
    text[n - 1] = '\0';
    assert_string_equal(check(text, fields), "JSON has too many values");

    /* a long name is cut where it is shown */

    memset(text, 'x', 300);
    memcpy(text, "{\"", 2);
    strcpy(text + 300, "\":1}");
    assert_true(strlen(check(text, fields)) < D4_BODY_REASON);

    free(text);
}


static void
test_checks(void **state)
{
    size_t  i;

    static const char *const  words[] = { "a", "ja3-jl", "A.b_9" };
    static const char *const  no_words[] = {
        "", ".a", "a/b", "a b", "\xc3\xa9", "..",
        "0123456789012345678901234567890123456789012345678901234567890123x"
    };
    static const char *const  mails[] = { "a@b", "a.b+c@d.example" };
    static const char *const  no_mails[] = {
        "", "ab", "@b", "a@", "a@b@c", "a b@c", "a:b@c", "a/b@c", "a@b\n",
        "<a@b>"
    };

    (void) state;

    for (i = 0; i < 3; i++) {
        assert_true(d4_check_word(words[i], strlen(words[i])));
    }

    for (i = 0; i < sizeof(no_words) / sizeof(no_words[0]); i++) {
        assert_false(d4_check_word(no_words[i], strlen(no_words[i])));
    }

    for (i = 0; i < 2; i++) {
        assert_true(d4_check_mail(mails[i], strlen(mails[i])));
    }

    for (i = 0; i < sizeof(no_mails) / sizeof(no_mails[0]); i++) {
        assert_false(d4_check_mail(no_mails[i], strlen(no_mails[i])));
    }

    assert_true(d4_check_uuid(UUID, 36));
    assert_false(d4_check_uuid(UUID, 35));
}


static void
test_members(void **state)
{
    size_t   len;
    json_t  *json;
    char     reason[D4_BODY_REASON];

    (void) state;

    /* a final zero is not JSON */

    json = d4_body_parse("{\"s\":\"abc\",\"i\":7,\"b\":true}", 27, reason);
    assert_null(json);
    json = d4_body_parse("{\"s\":\"abc\",\"i\":7,\"b\":true}", 26, reason);
    assert_non_null(json);

    assert_string_equal(d4_body_string(json, "s", &len), "abc");
    assert_int_equal(len, 3);
    assert_null(d4_body_string(json, "i", NULL));
    assert_null(d4_body_string(json, "x", NULL));
    assert_int_equal(d4_body_int(json, "i", 1), 7);
    assert_int_equal(d4_body_int(json, "s", 1), 1);
    assert_true(d4_body_bool(json, "b", 0));
    assert_true(d4_body_bool(json, "x", 1));
    assert_null(d4_body_string(NULL, "s", NULL));

    json_decref(json);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_members)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

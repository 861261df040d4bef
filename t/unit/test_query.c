
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
#include "../../ngx_d4_module/api/d4_query.h"


static int
parse(const char *text, char *buf, d4_arg_t *args)
{
    strcpy(buf, text);

    return d4_query_parse(buf, strlen(text), args);
}


static void
is_arg(const d4_arg_t *arg, const char *name, const char *value)
{
    assert_int_equal(arg->name_len, strlen(name));
    assert_memory_equal(arg->name, name, arg->name_len);
    assert_int_equal(arg->value_len, strlen(value));
    assert_memory_equal(arg->value, value, arg->value_len);
}


static void
test_arguments(void **state)
{
    char      buf[1024];
    size_t    i;
    d4_arg_t  args[D4_QUERY_ARGS];

    static const char *const  bad[] = {
        "%", "%1", "a=%", "a=%g0", "a=%0g", "a=%00", "%00=a", "a=1&a=2",
        "a&a", "a=1&%61=2",
        "a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q"
    };

    (void) state;

    assert_int_equal(parse("", buf, args), 0);
    assert_int_equal(parse("&&&", buf, args), 0);

    assert_int_equal(parse("a=1&b=&c&d=x%20y+z%2F&&e==", buf, args), 5);
    is_arg(&args[0], "a", "1");
    is_arg(&args[1], "b", "");
    is_arg(&args[2], "c", "");
    is_arg(&args[3], "d", "x y z/");
    is_arg(&args[4], "e", "=");

    assert_int_equal(parse("a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p", buf, args), 16);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(bad[i], buf, args), -1);
    }
}


static void
test_routes(void **state)
{
    d4_text_t  p[D4_ROUTE_PARAMS];

    (void) state;

#define match(route, path)  d4_route_match(route, path, strlen(path), p)

    assert_int_equal(match("sensors", "sensors"), 0);
    assert_int_equal(match("sensors", "sensor"), -1);
    assert_int_equal(match("sensors", "sensorsx"), -1);
    assert_int_equal(match("sensors", "sensors/"), -1);
    assert_int_equal(match("sensors", ""), -1);
    assert_int_equal(match("", ""), 0);

    assert_int_equal(match("sensors/{}", "sensors/ab"), 1);
    assert_int_equal(p[0].len, 2);
    assert_memory_equal(p[0].text, "ab", 2);

    assert_int_equal(match("sensors/{}", "sensors/"), -1);
    assert_int_equal(match("sensors/{}", "sensors/a/b"), -1);
    assert_int_equal(match("sensors/{}/key", "sensors/a/key"), 1);
    assert_int_equal(match("sensors/{}/key", "sensors/a/ke"), -1);
    assert_int_equal(match("sensors/{}/key", "sensors//key"), -1);
    assert_int_equal(match("users/{}/tokens/{}", "users/a/tokens/b"), 2);
    assert_memory_equal(p[1].text, "b", 1);

    assert_int_equal(match("net/{*}", "net/10.0.0.0/8"), 1);
    assert_int_equal(p[0].len, 10);
    assert_int_equal(match("net/{*}", "net/"), -1);
}


static void
test_numbers(void **state)
{
    size_t   i;
    int64_t  n;

    static const char *const  bad[] = {
        "", "-", "x", "1x", "0x1", " 1", "1 ", "+1", "--1", "1.0",
        "9999999999999999999", "-11", "11"
    };

    (void) state;

    assert_int_equal(d4_number("0", 1, 0, 0, &n), 0);
    assert_int_equal(d4_number("-10", 3, -10, 10, &n), 0);
    assert_int_equal(n, -10);
    assert_int_equal(d4_number("0010", 4, -10, 10, &n), 0);
    assert_int_equal(n, 10);
    assert_int_equal(d4_number("999999999999999999", 18, 0, INT64_MAX, &n),
                     0);
    assert_true(n == 999999999999999999);

    n = 7;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(d4_number(bad[i], strlen(bad[i]), -10, 10, &n), -1);
    }

    assert_int_equal(n, 7);
}


static void
test_days(void **state)
{
    size_t    i;
    unsigned  day, n;

    static const char *const  bad[] = {
        "", "2026", "20261301", "20260001", "20260100", "20260132",
        "20260229", "21000229", "2026-1-001", "2026/01/01", "2026010x",
        "00000000", "19691231", "202601011"
    };

    (void) state;

    assert_int_equal(d4_day_parse("20261125", 8), 20261125);
    assert_int_equal(d4_day_parse("2026-11-25", 10), 20261125);
    assert_int_equal(d4_day_parse("20240229", 8), 20240229);
    assert_int_equal(d4_day_parse("20000229", 8), 20000229);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(d4_day_parse(bad[i], strlen(bad[i])), 0);
    }

    /* four hundred years have this many days, there and back */

    day = 20000101;

    for (n = 0; day < 24000101; n++) {
        assert_int_equal(d4_day_before(d4_day_next(day)), day);
        day = d4_day_next(day);
    }

    assert_int_equal(n, 146097);
    assert_int_equal(day, 24000101);
}


static void
test_nets(void **state)
{
    char       text[D4_NET_TEXT];
    size_t     i;
    unsigned   prefix;
    d4_addr_t  addr;

    static const struct {
        const char  *in;
        const char  *out;
    } good[] = {
        { "192.0.2.1", "192.0.2.1/32" },
        { "192.0.2.1/24", "192.0.2.0/24" },
        { "0.0.0.0/0", "0.0.0.0/0" },
        { "2001:DB8::1", "2001:db8::1/128" },
        { "2001:db8:0:0::/32", "2001:db8::/32" },
        { "::/0", "::/0" },
        { "::ffff:192.0.2.1", "192.0.2.1/32" },
        { "::ffff:192.0.2.1/120", "192.0.2.0/24" },
        { "::ffff:192.0.2.1/96", "0.0.0.0/0" }
    };

    static const char *const  bad[] = {
        "", "/", "/8", "x", "1.2.3", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/-1",
        "1.2.3.4/a", "1.2.3.4/8/8", "::/129", "fe80::1%eth0", "1.2.3.4 ",
        "::ffff:192.0.2.1/95", "01.2.3.4", "1.2.3.4.5",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"
    };

    (void) state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(d4_net_parse(good[i].in, strlen(good[i].in), &addr,
                                      &prefix), 0);
        d4_addr_net(text, &addr, prefix);
        assert_string_equal(text, good[i].out);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(d4_net_parse(bad[i], strlen(bad[i]), &addr, &prefix),
                         -1);
    }

    assert_int_equal(d4_net_parse("1.2.3.4\0", 8, &addr, &prefix), -1);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_nets)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

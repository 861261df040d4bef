
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "../../ngx_d4_module/protocol/d4_addr.h"

#include <stdio.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>


typedef struct {
    const char  *in;
    const char  *out;
    int          bits;
} addr_case_t;


static const addr_case_t  cases[] = {
    { "0.0.0.0", "0.0.0.0", 32 },
    { "127.0.0.1", "127.0.0.1", 32 },
    { "255.255.255.255", "255.255.255.255", 32 },
    { "192.0.2.7", "192.0.2.7", 32 },
    { "::ffff:192.0.2.7", "192.0.2.7", 32 },
    { "::ffff:0.0.0.0", "0.0.0.0", 32 },
    { "::fffe:192.0.2.7", "::fffe:c000:207", 128 },
    { "::1", "::1", 128 },
    { "::", "::", 128 },
    { "2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1", 128 },
    { "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", 128 },
    { "fe80::0001", "fe80::1", 128 },
    { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128 }
};


static void
addr_of(d4_addr_t *a, const char *text, uint32_t scope)
{
    struct sockaddr_in   in;
    struct sockaddr_in6  in6;

    memset(a, 0xee, sizeof(*a));
    memset(&in, 0, sizeof(in));
    memset(&in6, 0, sizeof(in6));

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        in.sin_family = AF_INET;
        in.sin_port = htons(4443);
        d4_addr_set(a, (struct sockaddr *) &in);
        return;
    }

    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(4443);
    in6.sin6_scope_id = scope;
    d4_addr_set(a, (struct sockaddr *) &in6);
}


static void
test_text(void **state)
{
    char       out[D4_ADDR_TEXT];
    size_t     i;
    d4_addr_t  a;

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        addr_of(&a, cases[i].in, 3);

        assert_int_equal(a.bits, cases[i].bits);
        assert_int_equal(d4_addr_text(out, &a), strlen(cases[i].out));
        assert_string_equal(out, cases[i].out);
    }
}


/* equal addresses are equal in every byte, whatever port, scope or form */

static void
test_equal(void **state)
{
    d4_addr_t  a, b;

    (void) state;

    addr_of(&a, "fe80::1", 0);
    addr_of(&b, "fe80::1", 7);
    assert_memory_equal(a.bytes, b.bytes, 16);

    addr_of(&a, "192.0.2.7", 0);
    addr_of(&b, "::ffff:192.0.2.7", 7);
    assert_memory_equal(a.bytes, b.bytes, 16);
    assert_int_equal(a.bits, b.bits);
}


static void
test_other(void **state)
{
    char                out[D4_NET_TEXT];
    d4_addr_t           a;
    struct sockaddr_un  un;

    (void) state;

    memset(&un, 0, sizeof(un));
    un.sun_family = AF_UNIX;
    strcpy(un.sun_path, "/nowhere");

    d4_addr_set(&a, (struct sockaddr *) &un);

    assert_int_equal(a.bits, 0);
    assert_int_equal(d4_addr_text(out, &a), 1);
    assert_string_equal(out, "-");
    assert_int_equal(d4_addr_net(out, &a, 0), 0);
    assert_string_equal(out, "");
    assert_int_equal(d4_addr_net(out, &a, 8), 0);
}


static void
test_net(void **state)
{
    char       out[D4_NET_TEXT];
    size_t     len;
    d4_addr_t  a;

    (void) state;

    addr_of(&a, "192.0.2.255", 0);

    assert_int_equal(d4_addr_net(out, &a, 0), strlen("0.0.0.0/0"));
    assert_string_equal(out, "0.0.0.0/0");
    d4_addr_net(out, &a, 1);
    assert_string_equal(out, "128.0.0.0/1");
    d4_addr_net(out, &a, 8);
    assert_string_equal(out, "192.0.0.0/8");
    d4_addr_net(out, &a, 23);
    assert_string_equal(out, "192.0.2.0/23");
    d4_addr_net(out, &a, 29);
    assert_string_equal(out, "192.0.2.248/29");
    d4_addr_net(out, &a, 32);
    assert_string_equal(out, "192.0.2.255/32");

    addr_of(&a, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 0);

    d4_addr_net(out, &a, 0);
    assert_string_equal(out, "::/0");
    d4_addr_net(out, &a, 33);
    assert_string_equal(out, "2001:db8:8000::/33");
    d4_addr_net(out, &a, 64);
    assert_string_equal(out, "2001:db8:ffff:ffff::/64");

    len = d4_addr_net(out, &a, 128);
    assert_string_equal(out, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128");
    assert_int_equal(len, strlen(out));

    /* the longest text there is */

    addr_of(&a, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0);
    len = d4_addr_net(out, &a, 128);
    assert_true(len < D4_NET_TEXT);
    assert_string_equal(out, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");
}


/* every prefix, bit by bit: the first bits kept, the rest zero */

static void
net_bits(const char *text, int family)
{
    char       out[D4_NET_TEXT];
    char      *slash;
    size_t     len;
    uint8_t    bytes[16];
    unsigned   prefix, i, bit;
    d4_addr_t  a;

    addr_of(&a, text, 0);

    for (prefix = 0; prefix <= a.bits; prefix++) {
        len = d4_addr_net(out, &a, prefix);
        assert_int_equal(len, strlen(out));

        slash = strchr(out, '/');
        assert_non_null(slash);
        assert_int_equal(atoi(slash + 1), prefix);

        *slash = '\0';
        memset(bytes, 0, sizeof(bytes));
        assert_int_equal(inet_pton(family, out, bytes), 1);

        for (i = 0; i < a.bits; i++) {
            bit = bytes[i / 8] >> (7 - i % 8) & 1;
            assert_int_equal(bit, i < prefix
                                  ? a.bytes[i / 8] >> (7 - i % 8) & 1 : 0);
        }
    }
}


static void
test_net_bits(void **state)
{
    (void) state;

    net_bits("255.255.255.255", AF_INET);
    net_bits("165.90.195.60", AF_INET);
    net_bits("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", AF_INET6);
    net_bits("a5a5:5a5a:c3c3:3c3c:1234:8765:fedc:cdef", AF_INET6);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_other),
        cmocka_unit_test(test_net),
        cmocka_unit_test(test_net_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "pdns_sensor.h"
#include "../../sensor/pdns/pds_hash.h"
#include "../../sensor/pdns/pds_ip.h"
#include "../../sensor/pdns/pds_link.h"


typedef struct {
    pds_link_t   link;
    const char  *head;                 /* hex, before the IP packet */
    int          ip;                   /* there is one */
} link_case_t;


static const link_case_t  links[] = {
    { PDS_LINK_ETHERNET, "ffffffffffff 000102030405 0800", 1 },
    { PDS_LINK_ETHERNET, "ffffffffffff 000102030405 86dd", 1 },
    { PDS_LINK_ETHERNET, "ffffffffffff 000102030405 8100 0064 0800", 1 },
    { PDS_LINK_ETHERNET, "ffffffffffff 000102030405 88a8 0064 8100 0065 86dd",
      1 },
    { PDS_LINK_ETHERNET,
      "ffffffffffff 000102030405 9100 0001 9200 0002 8100 0003 0800", 1 },
    { PDS_LINK_ETHERNET, "ffffffffffff 000102030405 0806", 0 },
    { PDS_LINK_ETHERNET, "ffffffffffff 000102030405 8100 0064 0806", 0 },
    { PDS_LINK_RAW, "", 1 },
    { PDS_LINK_SLL, "0000 0304 0006 000000000000 0000 0800", 1 },
    { PDS_LINK_SLL, "0000 0001 0006 000000000000 0000 8100 0064 86dd", 1 },
    { PDS_LINK_SLL, "0000 0304 0006 000000000000 0000 0806", 0 },
    { PDS_LINK_SLL2, "0800 0000 00000001 0304 00 06 0000000000000000", 1 },
    { PDS_LINK_SLL2,
      "8100 0000 00000001 0304 00 06 0000000000000000 0064 0800", 1 },
    { PDS_LINK_SLL2, "0806 0000 00000001 0304 00 06 0000000000000000", 0 },
    { PDS_LINK_NULL, "02000000", 1 },
    { PDS_LINK_NULL, "00000002", 1 },
    { PDS_LINK_NULL, "1e000000", 1 },
    { PDS_LINK_NULL, "0000001c", 1 },
    { PDS_LINK_NULL, "07000000", 0 },
    { PDS_LINK_LOOP, "00000002", 1 },
    { PDS_LINK_LOOP, "00000018", 1 },
    { PDS_LINK_LOOP, "02000000", 0 }
};


/* With spaces for those who read it. */

static size_t
hex(uint8_t *out, const char *text)
{
    char    packed[512], *p;

    for (p = packed; *text != '\0'; text++) {
        if (*text != ' ') {
            *p++ = *text;
        }
    }

    *p = '\0';

    return unit_hex(out, packed);
}


static void
test_links(void **state)
{
    size_t          i, n, len, head;
    uint8_t         frame[256], *copy;
    const uint8_t  *p;

    (void) state;

    for (i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        head = hex(frame, links[i].head);
        len = head + 40;
        memset(frame + head, 0x45, 40);

        p = frame;
        n = pds_link_ip(links[i].link, &p, len);

        assert_int_equal(n, links[i].ip ? 40 : 0);
        assert_ptr_equal(p, frame + (links[i].ip ? head : 0));

        /* cut anywhere, with nothing readable behind it */

        for (len = 0; len <= head; len++) {
            copy = malloc(len + 1);
            memcpy(copy, frame, len);
            copy = realloc(copy, len == 0 ? 1 : len);
            p = copy;
            assert_int_equal(pds_link_ip(links[i].link, &p, len), 0);
            free(copy);
        }
    }
}


static void
test_ip4(void **state)
{
    size_t    len;
    pds_ip_t  ip;
    uint8_t   packet[256], *p, *copy;

    (void) state;

    p = put_ip4(packet, PDS_UDP, 0x1234, 0, 12);
    memset(p, 0xaa, 20);

    /* padding does not belong to it */

    assert_int_equal(pds_ip_read(&ip, packet, 40), 0);
    assert_int_equal(ip.proto, PDS_UDP);
    assert_int_equal(ip.len, 12);
    assert_ptr_equal(ip.data, packet + 20);
    assert_false(ip.fragment);
    assert_false(ip.cut);
    assert_int_equal(ip.src.family, 4);
    assert_memory_equal(ip.src.bytes, "\306\063\144\001\0\0\0\0", 8);
    assert_memory_equal(ip.dst.bytes, "\300\000\002\002\0\0\0\0", 8);

    for (len = 0; len < 32; len++) {
        copy = malloc(len == 0 ? 1 : len);
        memcpy(copy, packet, len);
        assert_int_equal(pds_ip_read(&ip, copy, len), len < 20 ? -1 : 0);

        if (len >= 20) {
            assert_true(ip.cut);
            assert_int_equal(ip.len, len - 20);
        }

        free(copy);
    }

    /* fragments */

    put_ip4(packet, PDS_UDP, 0x1234, 0x2000, 12);
    assert_int_equal(pds_ip_read(&ip, packet, 40), 0);
    assert_true(ip.fragment && ip.more);
    assert_int_equal(ip.offset, 0);
    assert_int_equal(ip.id, 0x1234);

    put_ip4(packet, PDS_UDP, 0x1234, 0x1fff, 12);
    assert_int_equal(pds_ip_read(&ip, packet, 40), 0);
    assert_true(ip.fragment && !ip.more);
    assert_int_equal(ip.offset, 65528);

    put_ip4(packet, PDS_UDP, 0x1234, 0x4000, 12);      /* don't fragment */
    assert_int_equal(pds_ip_read(&ip, packet, 40), 0);
    assert_false(ip.fragment);

    /* options, and lengths that cannot be */

    packet[0] = 0x47;
    put16(packet + 2, 40);
    assert_int_equal(pds_ip_read(&ip, packet, 40), 0);
    assert_int_equal(ip.len, 12);
    assert_ptr_equal(ip.data, packet + 28);

    packet[0] = 0x44;
    assert_int_equal(pds_ip_read(&ip, packet, 40), -1);

    packet[0] = 0x4f;
    assert_int_equal(pds_ip_read(&ip, packet, 40), -1);

    packet[0] = 0x45;
    put16(packet + 2, 19);
    assert_int_equal(pds_ip_read(&ip, packet, 40), -1);

    packet[0] = 0x55;
    put16(packet + 2, 40);
    assert_int_equal(pds_ip_read(&ip, packet, 40), -1);
}


static void
test_ip6(void **state)
{
    size_t    len, headers;
    pds_ip_t  ip;
    uint8_t   packet[256], *p, *copy;

    (void) state;

    p = put_ip6(packet, PDS_UDP, 12);
    memset(p, 0xaa, 20);
    assert_int_equal(pds_ip_read(&ip, packet, 60), 0);
    assert_int_equal(ip.proto, PDS_UDP);
    assert_int_equal(ip.len, 12);
    assert_int_equal(ip.src.family, 6);
    assert_int_equal(ip.src.bytes[15], 1);
    assert_int_equal(ip.dst.bytes[15], 2);

    /* hop-by-hop, routing, authentication, destination options, UDP */

    headers = hex(packet + 40, "2b 00 0000 00000000"
                               "33 01 0000 00000000 0000000000000000"
                               "3c 02 0000 00000000 0000000000000000"
                               "11 00 0000 00000000");
    put_ip6(packet, 0, headers + 12);
    memset(packet + 40 + headers, 0xbb, 12);

    assert_int_equal(pds_ip_read(&ip, packet, 40 + headers + 12), 0);
    assert_int_equal(ip.proto, PDS_UDP);
    assert_int_equal(ip.len, 12);
    assert_ptr_equal(ip.data, packet + 40 + headers);
    assert_false(ip.fragment);

    for (len = 0; len < 40 + headers; len++) {
        copy = malloc(len == 0 ? 1 : len);
        memcpy(copy, packet, len);
        assert_int_equal(pds_ip_read(&ip, copy, len), -1);
        free(copy);
    }

    /* a fragment, and the one whose fragments are no more than one */

    headers = hex(packet + 40, "11 00 0011 deadbeef");
    put_ip6(packet, 44, headers + 12);
    assert_int_equal(pds_ip_read(&ip, packet, 60), 0);
    assert_true(ip.fragment && ip.more);
    assert_int_equal(ip.offset, 16);
    assert_int_equal(ip.id, 0xdeadbeef);
    assert_int_equal(ip.proto, PDS_UDP);
    assert_int_equal(ip.len, 12);

    hex(packet + 40, "11 00 0000 deadbeef");
    assert_int_equal(pds_ip_read(&ip, packet, 60), 0);
    assert_false(ip.fragment);
    assert_int_equal(ip.proto, PDS_UDP);
    assert_int_equal(ip.len, 12);

    /* a fragment in what was put together */

    hex(packet + 40, "2c 00 0008 deadbeef 11 00 0001 deadbeef");
    assert_int_equal(pds_ip_read(&ip, packet, 60), 0);
    assert_true(ip.fragment);
    ip.proto = 44;
    ip.data = packet + 48;
    ip.len = 12;
    assert_int_equal(pds_ip_whole(&ip), -1);
}


static void
test_addresses(void **state)
{
    char        text[PDS_ADDR_TEXT];
    pds_addr_t  a;
    uint8_t     six[16];

    (void) state;

    pds_addr_set(&a, (const uint8_t *) "\300\000\002\377", 4);
    assert_int_equal(pds_addr_text(text, &a), 11);
    assert_string_equal(text, "192.0.2.255");

    pds_addr_mask(&a, 32, 0);
    pds_addr_text(text, &a);
    assert_string_equal(text, "192.0.2.255");

    pds_addr_mask(&a, 28, 128);
    pds_addr_text(text, &a);
    assert_string_equal(text, "192.0.2.240");

    pds_addr_mask(&a, 1, 128);
    pds_addr_text(text, &a);
    assert_string_equal(text, "128.0.0.0");

    pds_addr_mask(&a, 0, 128);
    pds_addr_text(text, &a);
    assert_string_equal(text, "0.0.0.0");

    memset(six, 0xff, 16);
    pds_addr_set(&a, six, 16);
    pds_addr_mask(&a, 0, 57);
    pds_addr_text(text, &a);
    assert_string_equal(text, "ffff:ffff:ffff:ff80::");

    pds_addr_mask(&a, 32, 0);
    pds_addr_text(text, &a);
    assert_string_equal(text, "::");

    pds_addr_set(&a, six, 15);
    assert_int_equal(a.family, 0);
    pds_addr_text(text, &a);
    assert_string_equal(text, "0.0.0.0");
}


/* The vectors that came with the function: bytes 0, 1, 2, ... */

static void
test_hash(void **state)
{
    size_t     i;
    uint8_t    bytes[16];
    pds_key_t  key;

    (void) state;

    for (i = 0; i < 16; i++) {
        bytes[i] = (uint8_t) i;
    }

    key.k0 = 0x0706050403020100;
    key.k1 = 0x0f0e0d0c0b0a0908;

    assert_true(pds_hash(&key, bytes, 0) == 0x726fdb47dd0e0e31);
    assert_true(pds_hash(&key, bytes, 8) == 0x93f5f5799a932462);
    assert_true(pds_hash(&key, bytes, 15) == 0xa129ca6149be45e5);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_ip4),
        cmocka_unit_test(test_ip6),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_hash),
    };

    return cmocka_run_group_tests_name("pdns sensor: packets", tests, NULL,
                                       NULL);
}

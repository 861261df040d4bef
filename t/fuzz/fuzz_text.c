
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Uuids: what is read is what is written back, and nothing but the two forms
 * is read.  Addresses: the text and each network of them read back.
 */


#include "../unit/unit.h"
#include "../../ngx_d4_module/protocol/d4_addr.h"
#include "../../ngx_d4_module/protocol/d4_uuid.h"

#include <stdio.h>

#include <arpa/inet.h>
#include <netinet/in.h>


static void
require(int truth)
{
    if (!truth) {
        abort();
    }
}


static int
well_formed(const char *text, size_t len)
{
    size_t  i;

    if (len != 32 && len != 36) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (len == 36 && strchr("\010\015\022\027", (int) i) != NULL
            && i != 0)
        {
            if (text[i] != '-') {
                return 0;
            }

        } else if (text[i] == '\0'
                   || strchr("0123456789abcdefABCDEF", text[i]) == NULL)
        {
            return 0;
        }
    }

    return 1;
}


static void
uuid(const char *text, size_t len)
{
    int      rc;
    char     hex[D4_UUID_HEX + 1], dashed[D4_UUID_DASHED + 1];
    size_t   i, j;
    uint8_t  u[16], again[16];

    rc = d4_uuid_parse(u, text, len);
    require((rc == 0) == well_formed(text, len));

    if (rc != 0) {
        return;
    }

    d4_uuid_hex(hex, u);
    d4_uuid_dashed(dashed, u);
    require(strlen(hex) == D4_UUID_HEX && strlen(dashed) == D4_UUID_DASHED);

    require(d4_uuid_parse(again, hex, D4_UUID_HEX) == 0);
    require(memcmp(u, again, 16) == 0);
    memset(again, 0, sizeof(again));
    require(d4_uuid_parse(again, dashed, D4_UUID_DASHED) == 0);
    require(memcmp(u, again, 16) == 0);

    /* the text itself, in lower case, without dashes */

    for (i = 0, j = 0; i < len; i++) {
        if (text[i] != '-') {
            require(hex[j++] == (text[i] >= 'A' && text[i] <= 'F'
                                 ? text[i] + 32 : text[i]));
        }
    }

    require(d4_uuid_is_v4(u) == (hex[12] == '4'
                                 && strchr("89ab", hex[16]) != NULL));
}


static void
nets(const d4_addr_t *a)
{
    int       family;
    char      out[D4_NET_TEXT], tail[8];
    char     *slash;
    uint8_t   bytes[16];
    size_t    len;
    unsigned  prefix, i;

    family = (a->bits == 32) ? AF_INET : AF_INET6;

    len = d4_addr_text(out, a);
    require(len == strlen(out) && len < D4_ADDR_TEXT);
    require(strchr(out, '%') == NULL);
    require(inet_pton(family, out, bytes) == 1);
    require(memcmp(bytes, a->bytes, a->bits / 8) == 0);

    for (prefix = 0; prefix <= a->bits; prefix++) {
        len = d4_addr_net(out, a, prefix);
        require(len == strlen(out) && len < D4_NET_TEXT);

        slash = strchr(out, '/');
        require(slash != NULL);
        snprintf(tail, sizeof(tail), "/%u", prefix);
        require(strcmp(slash, tail) == 0);
        *slash = '\0';
        require(inet_pton(family, out, bytes) == 1);

        for (i = 0; i < a->bits; i++) {
            require((bytes[i / 8] >> (7 - i % 8) & 1)
                    == (i < prefix ? a->bytes[i / 8] >> (7 - i % 8) & 1 : 0));
        }
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t size)
{
    d4_addr_t            a;
    struct sockaddr_in   in;
    struct sockaddr_in6  in6;

    uuid((const char *) p, size);

    if (size == sizeof(in.sin_addr)) {
        memset(&in, 0, sizeof(in));
        in.sin_family = AF_INET;
        memcpy(&in.sin_addr, p, size);
        d4_addr_set(&a, (struct sockaddr *) &in);
        require(a.bits == 32);
        nets(&a);
    }

    if (size == sizeof(in6.sin6_addr)) {
        memset(&in6, 0, sizeof(in6));
        in6.sin6_family = AF_INET6;
        in6.sin6_scope_id = p[0];
        memcpy(&in6.sin6_addr, p, size);
        d4_addr_set(&a, (struct sockaddr *) &in6);
        require(a.bits == (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) ? 32 : 128));
        nets(&a);
    }

    return 0;
}

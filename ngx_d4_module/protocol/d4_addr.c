
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_addr.h"

#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>


void
d4_addr_set(d4_addr_t *a, const struct sockaddr *sa)
{
    struct sockaddr_in   in;
    struct sockaddr_in6  in6;

    memset(a, 0, sizeof(d4_addr_t));

    if (sa->sa_family == AF_INET) {
        memcpy(&in, sa, sizeof(in));
        memcpy(a->bytes, &in.sin_addr, 4);
        a->bits = 32;
        return;
    }

    if (sa->sa_family != AF_INET6) {
        return;
    }

    memcpy(&in6, sa, sizeof(in6));

    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
        memcpy(a->bytes, in6.sin6_addr.s6_addr + 12, 4);
        a->bits = 32;
        return;
    }

    memcpy(a->bytes, in6.sin6_addr.s6_addr, 16);
    a->bits = 128;
}


size_t
d4_addr_text(char out[D4_ADDR_TEXT], const d4_addr_t *a)
{
    int  family;

    if (a->bits == 0) {
        strcpy(out, "-");
        return 1;
    }

    family = (a->bits == 32) ? AF_INET : AF_INET6;

    if (inet_ntop(family, a->bytes, out, D4_ADDR_TEXT) == NULL) {
        out[0] = '\0';
    }

    return strlen(out);
}


size_t
d4_addr_net(char out[D4_NET_TEXT], const d4_addr_t *a, unsigned prefix)
{
    int        n;
    size_t     len;
    unsigned   i, keep;
    d4_addr_t  net;

    if (a->bits == 0) {
        out[0] = '\0';
        return 0;
    }

    if (prefix > a->bits) {
        prefix = a->bits;
    }

    net = *a;

    for (i = 0; i < sizeof(net.bytes); i++) {
        keep = (prefix > 8 * i) ? prefix - 8 * i : 0;

        if (keep < 8) {
            net.bytes[i] &= (uint8_t) (0xff00 >> keep);
        }
    }

    len = d4_addr_text(out, &net);
    n = snprintf(out + len, D4_NET_TEXT - len, "/%u", prefix);

    return len + (size_t) n;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include <arpa/inet.h>
#include <string.h>

#include "pds_bytes.h"
#include "pds_svcb.h"


typedef int (*pds_svcb_pt)(pds_text_t *t, const uint8_t *p, size_t len);


static void pds_svcb_key(pds_text_t *t, unsigned key);
static int pds_svcb_value(pds_text_t *t, unsigned key, const uint8_t *p,
    size_t len);
static int pds_svcb_mandatory(pds_text_t *t, const uint8_t *p, size_t len);
static int pds_svcb_alpn(pds_text_t *t, const uint8_t *p, size_t len);
static int pds_svcb_none(pds_text_t *t, const uint8_t *p, size_t len);
static int pds_svcb_port(pds_text_t *t, const uint8_t *p, size_t len);
static int pds_svcb_ipv4(pds_text_t *t, const uint8_t *p, size_t len);
static int pds_svcb_ipv6(pds_text_t *t, const uint8_t *p, size_t len);
static int pds_svcb_addresses(pds_text_t *t, int family, size_t size,
    const uint8_t *p, size_t len);
static int pds_svcb_base64(pds_text_t *t, const uint8_t *p, size_t len);
static int pds_svcb_string(pds_text_t *t, const uint8_t *p, size_t len);


/* by number */

static const struct {
    const char   *name;
    pds_svcb_pt   value;
} pds_svcb_keys[] = {
    { "mandatory", pds_svcb_mandatory },
    { "alpn", pds_svcb_alpn },
    { "no-default-alpn", pds_svcb_none },
    { "port", pds_svcb_port },
    { "ipv4hint", pds_svcb_ipv4 },
    { "ech", pds_svcb_base64 },
    { "ipv6hint", pds_svcb_ipv6 },
    { "dohpath", pds_svcb_string },
    { "ohttp", pds_svcb_none }
};

#define PDS_SVCB_KEYS  (sizeof(pds_svcb_keys) / sizeof(pds_svcb_keys[0]))


int
pds_svcb_text(pds_text_t *t, const uint8_t *p, size_t len)
{
    int             last;
    size_t          size;
    unsigned        key;
    const uint8_t  *end;

    end = p + len;

    pds_text_number(t, pds_get16(p));
    pds_text_char(t, ' ');
    p = pds_text_name(t, p + 2);
    last = -1;

    while (p < end) {
        if (end - p < 4) {
            return -1;
        }

        key = pds_get16(p);
        size = pds_get16(p + 2);
        p += 4;

        /* sorted, each but once */

        if ((int) key <= last || size > (size_t) (end - p)) {
            return -1;
        }

        last = (int) key;

        pds_text_char(t, ' ');
        pds_svcb_key(t, key);

        if (pds_svcb_value(t, key, p, size) != 0) {
            return -1;
        }

        p += size;
    }

    return 0;
}


static void
pds_svcb_key(pds_text_t *t, unsigned key)
{
    if (key < PDS_SVCB_KEYS) {
        pds_text_copy(t, pds_svcb_keys[key].name,
                      strlen(pds_svcb_keys[key].name));
        return;
    }

    pds_text_copy(t, "key", 3);
    pds_text_number(t, key);
}


static int
pds_svcb_value(pds_text_t *t, unsigned key, const uint8_t *p, size_t len)
{
    if (key < PDS_SVCB_KEYS) {
        return pds_svcb_keys[key].value(t, p, len);
    }

    /* a key that is not known may have no value */

    return (len == 0) ? 0 : pds_svcb_string(t, p, len);
}


static int
pds_svcb_mandatory(pds_text_t *t, const uint8_t *p, size_t len)
{
    int     last;
    size_t  i;

    if (len == 0 || len % 2 != 0) {
        return -1;
    }

    last = 0;                          /* never "mandatory" itself */

    for (i = 0; i < len; i += 2) {
        if (pds_get16(p + i) <= last) {
            return -1;
        }

        last = pds_get16(p + i);

        pds_text_char(t, i == 0 ? '=' : ',');
        pds_svcb_key(t, (unsigned) last);
    }

    return 0;
}


/*
 * A list in a string: commas and backslashes are escaped within the list, and
 * the backslashes that this takes once more in the string (appendix A.1).
 */

static int
pds_svcb_alpn(pds_text_t *t, const uint8_t *p, size_t len)
{
    size_t          i, n;
    const uint8_t  *end;

    if (len == 0) {
        return -1;
    }

    pds_text_copy(t, "=\"", 2);

    for (end = p + len; p < end; p += n) {
        n = *p++;

        if (n == 0 || n > (size_t) (end - p)) {
            return -1;
        }

        for (i = 0; i < n; i++) {
            if (p[i] == ',' || p[i] == '\\') {
                pds_text_quoted(t, '\\');
            }

            pds_text_quoted(t, p[i]);
        }

        if (n != (size_t) (end - p)) {
            pds_text_char(t, ',');
        }
    }

    pds_text_char(t, '"');

    return 0;
}


static int
pds_svcb_none(pds_text_t *t, const uint8_t *p, size_t len)
{
    (void) t;
    (void) p;

    return (len == 0) ? 0 : -1;
}


static int
pds_svcb_port(pds_text_t *t, const uint8_t *p, size_t len)
{
    if (len != 2) {
        return -1;
    }

    pds_text_char(t, '=');
    pds_text_number(t, pds_get16(p));

    return 0;
}


static int
pds_svcb_ipv4(pds_text_t *t, const uint8_t *p, size_t len)
{
    return pds_svcb_addresses(t, AF_INET, 4, p, len);
}


static int
pds_svcb_ipv6(pds_text_t *t, const uint8_t *p, size_t len)
{
    return pds_svcb_addresses(t, AF_INET6, 16, p, len);
}


static int
pds_svcb_addresses(pds_text_t *t, int family, size_t size, const uint8_t *p,
    size_t len)
{
    size_t  i;

    if (len == 0 || len % size != 0) {
        return -1;
    }

    for (i = 0; i < len; i += size) {
        pds_text_char(t, i == 0 ? '=' : ',');
        pds_text_address(t, family, p + i);
    }

    return 0;
}


static int
pds_svcb_base64(pds_text_t *t, const uint8_t *p, size_t len)
{
    char      quad[4];
    size_t    n;
    uint32_t  bits;

    static const char  digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    if (len == 0) {
        return -1;
    }

    pds_text_char(t, '=');

    for ( /* void */ ; len != 0; p += n, len -= n) {
        n = (len < 3) ? len : 3;

        bits = (uint32_t) p[0] << 16;
        bits |= (n > 1) ? (uint32_t) p[1] << 8 : 0;
        bits |= (n > 2) ? p[2] : 0;

        quad[0] = digits[bits >> 18];
        quad[1] = digits[bits >> 12 & 63];
        quad[2] = (n > 1) ? digits[bits >> 6 & 63] : '=';
        quad[3] = (n > 2) ? digits[bits & 63] : '=';

        pds_text_copy(t, quad, 4);
    }

    return 0;
}


static int
pds_svcb_string(pds_text_t *t, const uint8_t *p, size_t len)
{
    pds_text_copy(t, "=\"", 2);

    while (len-- != 0) {
        pds_text_quoted(t, *p++);
    }

    pds_text_char(t, '"');

    return 0;
}


#include "pdns_cursor.h"

#include <string.h>


#define PDNS_CURSOR_NEWEST   1
#define PDNS_CURSOR_OLDEST   2
#define PDNS_CURSOR_SHIFT    29


static const char  pdns_base64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";


/* order, time in 5 bytes, length of the leaf in 2, leaf, member */

size_t
pdns_cursor_pack(uint8_t *out, const pdns_cursor_t *c)
{
    int       i;
    uint8_t  *p;

    p = out;
    *p++ = c->oldest ? PDNS_CURSOR_OLDEST : PDNS_CURSOR_NEWEST;

    for (i = 4; i >= 0; i--) {
        *p++ = (uint8_t) (c->time >> (8 * i));
    }

    *p++ = (uint8_t) (c->leaf_len >> 8);
    *p++ = (uint8_t) c->leaf_len;

    memcpy(p, c->leaf, c->leaf_len);
    p += c->leaf_len;
    memcpy(p, c->member, c->member_len);
    p += c->member_len;

    return (size_t) (p - out);
}


int
pdns_cursor_unpack(pdns_cursor_t *c, const uint8_t *p, size_t len)
{
    int  i;

    if (len < 8
        || (p[0] != PDNS_CURSOR_NEWEST && p[0] != PDNS_CURSOR_OLDEST))
    {
        return -1;
    }

    c->oldest = (p[0] == PDNS_CURSOR_OLDEST);
    c->time = 0;

    for (i = 1; i < 6; i++) {
        c->time = c->time << 8 | p[i];
    }

    c->leaf_len = (size_t) p[6] << 8 | p[7];
    p += 8;
    len -= 8;

    if (c->leaf_len > len || c->leaf_len > sizeof(c->leaf)
        || len - c->leaf_len > sizeof(c->member) || c->time > PDNS_TIME_MAX)
    {
        return -1;
    }

    c->member_len = len - c->leaf_len;

    memcpy(c->leaf, p, c->leaf_len);
    memcpy(c->member, p + c->leaf_len, c->member_len);

    return 0;
}


size_t
pdns_cursor_text(char out[PDNS_CURSOR_TEXT], const pdns_cursor_t *c)
{
    int       bits;
    char     *o;
    size_t    i, len;
    uint8_t   bin[PDNS_CURSOR_BIN];
    uint32_t  acc;

    len = pdns_cursor_pack(bin, c);
    o = out;
    acc = 0;
    bits = 0;

    for (i = 0; i < len; i++) {
        acc = acc << 8 | bin[i];
        bits += 8;

        while (bits >= 6) {
            bits -= 6;
            *o++ = pdns_base64[acc >> bits & 63];
        }
    }

    if (bits > 0) {
        *o++ = pdns_base64[acc << (6 - bits) & 63];
    }

    *o = '\0';

    return (size_t) (o - out);
}


int
pdns_cursor_parse(pdns_cursor_t *c, const char *p, size_t len)
{
    int          bits;
    size_t       i, n;
    uint8_t      bin[PDNS_CURSOR_BIN];
    uint32_t     acc;
    const char  *digit;

    if (len >= PDNS_CURSOR_TEXT) {
        return -1;
    }

    n = 0;
    acc = 0;
    bits = 0;

    for (i = 0; i < len; i++) {

        digit = (p[i] == '\0') ? NULL : strchr(pdns_base64, p[i]);

        if (digit == NULL) {
            return -1;
        }

        acc = acc << 6 | (uint32_t) (digit - pdns_base64);
        bits += 6;

        if (bits >= 8) {
            bits -= 8;

            if (n == sizeof(bin)) {
                return -1;
            }

            bin[n++] = (uint8_t) (acc >> bits);
        }
    }

    return pdns_cursor_unpack(c, bin, n);
}


/* the lowest bit tells the order */

uint64_t
pdns_cursor_number(const pdns_cursor_t *c)
{
    return c->time << PDNS_CURSOR_SHIFT | (c->oldest ? 1 : 0);
}


int
pdns_cursor_numbered(pdns_cursor_t *c, uint64_t number)
{
    if (number >> PDNS_CURSOR_SHIFT == 0 || number >= PDNS_CURSOR_KEPT
        || (number & ((UINT64_C(1) << PDNS_CURSOR_SHIFT) - 1)) > 1)
    {
        return -1;
    }

    c->time = number >> PDNS_CURSOR_SHIFT;
    c->oldest = (number & 1);
    c->leaf_len = 0;
    c->member_len = 0;

    return 0;
}


int
pdns_cursor_behind(const pdns_cursor_t *c, uint64_t time,
    const uint8_t *member, size_t len)
{
    int     rc;
    size_t  n;

    if (time != c->time) {
        return c->oldest ? time > c->time : time < c->time;
    }

    if (c->oldest && c->member_len == 0) {
        return 0;                      /* behind the whole second */
    }

    n = (len < c->member_len) ? len : c->member_len;
    rc = memcmp(member, c->member, n);

    if (rc == 0) {
        rc = (len > c->member_len) - (len < c->member_len);
    }

    return c->oldest ? rc > 0 : rc < 0;
}


#include "pdns_name.h"

#include <stdio.h>
#include <string.h>


static int pdns_name_add(pdns_name_t *name, const uint8_t *label, size_t len);
static int pdns_name_escape(const char **pp, const char *end, uint8_t *byte);
static size_t pdns_name_label(char *out, const pdns_name_t *name, unsigned i,
    int key);
static unsigned pdns_name_tag_rule(const pdns_name_t *name);
static int pdns_name_is(const pdns_name_t *name, unsigned i, const char *text);


/* lower case, of ASCII alone */

static uint8_t
pdns_lower(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') ? (uint8_t) (c + 32) : c;
}


int
pdns_name_parse(pdns_name_t *name, const char *p, size_t len)
{
    size_t       n;
    uint8_t      label[63], byte;
    const char  *end;

    name->len = 0;
    name->labels = 0;

    if (len == 1 && p[0] == '.') {
        return 0;
    }

    end = p + len;
    n = 0;

    while (p < end) {

        if (*p == '.') {
            p++;

            if (pdns_name_add(name, label, n) != 0) {
                return -1;
            }

            n = 0;
            continue;
        }

        if (*p == '\\') {
            if (pdns_name_escape(&p, end, &byte) != 0) {
                return -1;
            }

        } else {
            byte = (uint8_t) *p++;
        }

        if (n == sizeof(label)) {
            return -1;
        }

        label[n++] = pdns_lower(byte);
    }

    if (n > 0) {
        return pdns_name_add(name, label, n);
    }

    return (name->labels > 0) ? 0 : -1;
}


static int
pdns_name_escape(const char **pp, const char *end, uint8_t *byte)
{
    unsigned     n;
    const char  *p;

    p = *pp + 1;

    if (p == end) {
        return -1;
    }

    if (*p < '0' || *p > '9') {
        *byte = (uint8_t) *p;
        *pp = p + 1;
        return 0;
    }

    if (end - p < 3 || p[1] < '0' || p[1] > '9' || p[2] < '0' || p[2] > '9') {
        return -1;
    }

    n = (unsigned) ((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));

    if (n > 255) {
        return -1;
    }

    *byte = (uint8_t) n;
    *pp = p + 3;

    return 0;
}


static int
pdns_name_add(pdns_name_t *name, const uint8_t *label, size_t len)
{
    if (len == 0 || len > 63 || len + 1 > (size_t) PDNS_NAME_WIRE - name->len)
    {
        return -1;
    }

    name->at[name->labels++] = name->len;
    name->wire[name->len] = (uint8_t) len;
    memcpy(name->wire + name->len + 1, label, len);
    name->len = (uint8_t) (name->len + len + 1);

    return 0;
}


void
pdns_name_load(pdns_name_t *name, const uint8_t *wire, size_t len)
{
    size_t  at;

    memcpy(name->wire, wire, len);

    name->len = (uint8_t) len;
    name->labels = 0;

    for (at = 0; at < len; at += 1U + wire[at]) {
        name->at[name->labels++] = (uint8_t) at;
    }
}


int
pdns_name_wire(pdns_name_t *name, const uint8_t *p, size_t len)
{
    size_t   i, n;
    uint8_t  label[63];

    name->len = 0;
    name->labels = 0;

    while (len > 0) {
        n = *p++;
        len--;

        if (n == 0) {
            return (len == 0) ? 0 : -1;
        }

        if (n > 63 || n > len) {
            return -1;
        }

        for (i = 0; i < n; i++) {
            label[i] = pdns_lower(p[i]);
        }

        if (pdns_name_add(name, label, n) != 0) {
            return -1;
        }

        p += n;
        len -= n;
    }

    return -1;
}


size_t
pdns_name_text(char out[PDNS_NAME_TEXT], const pdns_name_t *name)
{
    char      *p;
    unsigned   i;

    if (name->labels == 0) {
        memcpy(out, ".", 2);
        return 1;
    }

    p = out;

    for (i = 0; i < name->labels; i++) {
        if (i > 0) {
            *p++ = '.';
        }

        p += pdns_name_label(p, name, i, 0);
    }

    *p = '\0';

    return (size_t) (p - out);
}


size_t
pdns_name_key(char out[PDNS_NAME_TEXT], const pdns_name_t *name,
    unsigned from, unsigned to)
{
    char      *p;
    unsigned   i;

    p = out;

    if (name->labels == 0 && from == 0) {
        *p++ = '.';
    }

    for (i = from; i < to && i < name->labels; i++) {
        if (i > from) {
            *p++ = '.';
        }

        p += pdns_name_label(p, name, name->labels - 1 - i, 1);
    }

    *p = '\0';

    return (size_t) (p - out);
}


/* At most four characters for a byte. */

static size_t
pdns_name_label(char *out, const pdns_name_t *name, unsigned i, int key)
{
    char           *p;
    size_t          n, len;
    uint8_t         c;
    const uint8_t  *label;

    label = name->wire + name->at[i];
    len = *label++;
    p = out;

    for (n = 0; n < len; n++) {
        c = label[n];

        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-') {
            *p++ = (char) c;
            continue;
        }

        if (c <= 0x20 || c >= 0x7f
            || (key && (c == '{' || c == '}' || c == ':')))
        {
            *p++ = '\\';
            *p++ = (char) ('0' + c / 100);
            *p++ = (char) ('0' + c / 10 % 10);
            *p++ = (char) ('0' + c % 10);
            continue;
        }

        switch (c) {

        case '.':
        case '\\':
        case '"':
        case '(':
        case ')':
        case ';':
        case '@':
        case '$':
            *p++ = '\\';
            break;

        default:
            break;
        }

        *p++ = (char) c;
    }

    return (size_t) (p - out);
}


int
pdns_name_unkey(pdns_name_t *name, const char *p, size_t len)
{
    unsigned     i;
    uint8_t     *label;
    pdns_name_t  reversed;

    if (pdns_name_parse(&reversed, p, len) != 0) {
        return -1;
    }

    name->len = 0;
    name->labels = 0;

    for (i = reversed.labels; i > 0; i--) {
        label = reversed.wire + reversed.at[i - 1];

        if (pdns_name_add(name, label + 1, *label) != 0) {
            return -1;
        }
    }

    return 0;
}


unsigned
pdns_name_tag(const pdns_name_t *name)
{
    unsigned  n;

    n = pdns_name_tag_rule(name);

    return (n < name->labels) ? n : name->labels;
}


unsigned
pdns_name_tag_below(const pdns_name_t *name)
{
    return pdns_name_tag_rule(name);
}


static unsigned
pdns_name_tag_rule(const pdns_name_t *name)
{
    if (name->labels >= 2 && pdns_name_is(name, name->labels - 1U, "arpa")) {

        if (pdns_name_is(name, name->labels - 2U, "in-addr")) {
            return 4;
        }

        if (pdns_name_is(name, name->labels - 2U, "ip6")) {
            return 10;
        }
    }

    return 2;
}


static int
pdns_name_is(const pdns_name_t *name, unsigned i, const char *text)
{
    const uint8_t  *label;

    label = name->wire + name->at[i];

    return *label == strlen(text) && memcmp(label + 1, text, *label) == 0;
}


int
pdns_name_equal(const pdns_name_t *a, const pdns_name_t *b)
{
    return a->len == b->len && memcmp(a->wire, b->wire, a->len) == 0;
}


void
pdns_name_reverse(pdns_name_t *name, const uint8_t *addr, size_t len)
{
    int                i, n;
    char               text[4];

    static const char  digits[] = "0123456789abcdef";

    name->len = 0;
    name->labels = 0;

    for (i = (int) len - 1; i >= 0; i--) {

        if (len == 4) {
            n = snprintf(text, sizeof(text), "%u", addr[i]);
            (void) pdns_name_add(name, (uint8_t *) text, (size_t) n);
            continue;
        }

        text[0] = digits[addr[i] & 15];
        (void) pdns_name_add(name, (uint8_t *) text, 1);
        text[0] = digits[addr[i] >> 4];
        (void) pdns_name_add(name, (uint8_t *) text, 1);
    }

    if (len == 4) {
        (void) pdns_name_add(name, (const uint8_t *) "in-addr", 7);

    } else {
        (void) pdns_name_add(name, (const uint8_t *) "ip6", 3);
    }

    (void) pdns_name_add(name, (const uint8_t *) "arpa", 4);
}

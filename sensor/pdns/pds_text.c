
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <arpa/inet.h>
#include <string.h>

#include "pds_bytes.h"
#include "pds_text.h"


static const uint8_t *pds_text_string(pds_text_t *t, const uint8_t *p);
static void pds_text_decimal(pds_text_t *t, uint8_t c);


void
pds_text_init(pds_text_t *t, char *buf, size_t size)
{
    t->p = buf;
    t->end = buf + size;
    t->full = 0;
}


void
pds_text_char(pds_text_t *t, char c)
{
    if (t->p == t->end) {
        t->full = 1;
        return;
    }

    *t->p++ = c;
}


void
pds_text_copy(pds_text_t *t, const char *s, size_t len)
{
    if (len > (size_t) (t->end - t->p)) {
        t->full = 1;
        return;
    }

    memcpy(t->p, s, len);
    t->p += len;
}


void
pds_text_number(pds_text_t *t, uint64_t n)
{
    char  *p, digits[20];

    p = digits + sizeof(digits);

    do {
        *--p = (char) ('0' + n % 10);
        n /= 10;
    } while (n != 0);

    pds_text_copy(t, p, (size_t) (digits + sizeof(digits) - p));
}


void
pds_text_quoted(pds_text_t *t, uint8_t c)
{
    if (c < ' ' || c > '~' || c == '|') {
        pds_text_decimal(t, c);
        return;
    }

    if (c == '"' || c == '\\') {
        pds_text_char(t, '\\');
    }

    pds_text_char(t, (char) c);
}


void
pds_text_address(pds_text_t *t, int family, const uint8_t *p)
{
    char  text[INET6_ADDRSTRLEN];

    if (inet_ntop(family, p, text, sizeof(text)) != NULL) {
        pds_text_copy(t, text, strlen(text));
    }
}


const uint8_t *
pds_text_name(pds_text_t *t, const uint8_t *name)
{
    uint8_t  len;

    if (*name == 0) {
        pds_text_char(t, '.');
    }

    while (*name != 0) {
        for (len = *name++; len != 0; len--, name++) {

            if (*name <= ' ' || *name > '~' || *name == '|') {
                pds_text_decimal(t, *name);
                continue;
            }

            if (strchr(".;()\\", *name) != NULL) {
                pds_text_char(t, '\\');
            }

            pds_text_char(t, (char) *name);
        }

        pds_text_char(t, '.');
    }

    return name + 1;
}


void
pds_text_fields(pds_text_t *t, const char *layout, const uint8_t *p,
    size_t len)
{
    const char     *field;
    const uint8_t  *end;

    end = p + len;

    for (field = layout; *field != '\0'; field++) {

        if (field != layout) {
            pds_text_char(t, ' ');
        }

        switch (*field) {

        case 'b':
            pds_text_number(t, *p);
            p += 1;
            break;

        case 'h':
            pds_text_number(t, pds_get16(p));
            p += 2;
            break;

        case 'w':
            pds_text_number(t, pds_get32(p));
            p += 4;
            break;

        case 'i':
            pds_text_address(t, AF_INET, p);
            p += 4;
            break;

        case 'I':
            pds_text_address(t, AF_INET6, p);
            p += 16;
            break;

        case 'n':
        case 'N':
            p = pds_text_name(t, p);
            break;

        case 's':
            p = pds_text_string(t, p);
            break;

        default: /* S */
            p = pds_text_string(t, p);

            while (p < end) {
                pds_text_char(t, ' ');
                p = pds_text_string(t, p);
            }
        }
    }
}


void
pds_text_generic(pds_text_t *t, const uint8_t *p, size_t len)
{
    size_t  i;

    static const char  hex[] = "0123456789abcdef";

    pds_text_copy(t, "\\# ", 3);
    pds_text_number(t, len);

    if (len != 0) {
        pds_text_char(t, ' ');
    }

    for (i = 0; i < len; i++) {
        pds_text_char(t, hex[p[i] >> 4]);
        pds_text_char(t, hex[p[i] & 15]);
    }
}


static const uint8_t *
pds_text_string(pds_text_t *t, const uint8_t *p)
{
    size_t  n;

    pds_text_char(t, '"');

    for (n = *p++; n != 0; n--) {
        pds_text_quoted(t, *p++);
    }

    pds_text_char(t, '"');

    return p;
}


static void
pds_text_decimal(pds_text_t *t, uint8_t c)
{
    pds_text_char(t, '\\');
    pds_text_char(t, (char) ('0' + c / 100));
    pds_text_char(t, (char) ('0' + c / 10 % 10));
    pds_text_char(t, (char) ('0' + c % 10));
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_out.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define D4_OUT_MIN  1024


static int d4_out_room(d4_out_t *o, size_t len);
static void d4_out_begin(d4_out_t *o, const char *key);
static void d4_out_quoted(d4_out_t *o, const uint8_t *p, size_t len);
static size_t d4_out_escape(char out[6], uint8_t c);


void
d4_out_init(d4_out_t *o)
{
    memset(o, 0, sizeof(d4_out_t));
}


void
d4_out_free(d4_out_t *o)
{
    free(o->data);
    d4_out_init(o);
}


static int
d4_out_room(d4_out_t *o, size_t len)
{
    char    *data;
    size_t   size;

    if (o->failed) {
        return 0;
    }

    if (len <= o->size - o->len) {
        return 1;
    }

    if (len > SIZE_MAX / 4 || o->size > SIZE_MAX / 4) {
        o->failed = 1;
        return 0;
    }

    size = o->size ? o->size * 2 : D4_OUT_MIN;

    if (size - o->len < len) {
        size = o->len + len;
    }

    data = realloc(o->data, size);
    if (data == NULL) {
        o->failed = 1;
        return 0;
    }

    o->data = data;
    o->size = size;

    return 1;
}


void
d4_out_raw(d4_out_t *o, const void *p, size_t len)
{
    if (len && d4_out_room(o, len)) {
        memcpy(o->data + o->len, p, len);
        o->len += len;
    }
}


void
d4_out_printf(d4_out_t *o, const char *fmt, ...)
{
    int      n;
    char     text[512];
    va_list  args;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (n < 0 || (size_t) n >= sizeof(text)) {
        o->failed = 1;
        return;
    }

    d4_out_raw(o, text, (size_t) n);
}


/*
 * The byte before a value tells whether it is the first one: nothing but an
 * opening bracket, a colon or a newline can stand there outside of a string,
 * and a string ends in a quote.
 */

static void
d4_out_begin(d4_out_t *o, const char *key)
{
    if (o->len && !o->failed && strchr("{[:\n", o->data[o->len - 1]) == NULL) {
        d4_out_raw(o, ",", 1);
    }

    if (key) {
        d4_out_quoted(o, (const uint8_t *) key, strlen(key));
        d4_out_raw(o, ":", 1);
    }
}


void
d4_out_key(d4_out_t *o, const void *key, size_t len)
{
    d4_out_begin(o, NULL);
    d4_out_quoted(o, key, len);
    d4_out_raw(o, ":", 1);
}


void
d4_out_object(d4_out_t *o, const char *key)
{
    d4_out_begin(o, key);
    d4_out_raw(o, "{", 1);
}


void
d4_out_object_end(d4_out_t *o)
{
    d4_out_raw(o, "}", 1);
}


void
d4_out_array(d4_out_t *o, const char *key)
{
    d4_out_begin(o, key);
    d4_out_raw(o, "[", 1);
}


void
d4_out_array_end(d4_out_t *o)
{
    d4_out_raw(o, "]", 1);
}


void
d4_out_string(d4_out_t *o, const char *key, const void *p, size_t len)
{
    d4_out_begin(o, key);
    d4_out_quoted(o, p, len);
}


void
d4_out_text(d4_out_t *o, const char *key, const char *text)
{
    d4_out_string(o, key, text, strlen(text));
}


static void
d4_out_quoted(d4_out_t *o, const uint8_t *p, size_t len)
{
    char            escape[6];
    size_t          n;
    const uint8_t  *last, *from;

    d4_out_raw(o, "\"", 1);

    last = p + len;
    from = p;

    while (p < last) {

        if (*p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\') {
            p++;
            continue;
        }

        n = (*p >= 0x80) ? d4_utf8_len(p, (size_t) (last - p)) : 0;

        if (n) {
            p += n;
            continue;
        }

        d4_out_raw(o, from, (size_t) (p - from));
        d4_out_raw(o, escape, d4_out_escape(escape, *p));

        from = ++p;
    }

    d4_out_raw(o, from, (size_t) (p - from));
    d4_out_raw(o, "\"", 1);
}


static size_t
d4_out_escape(char out[6], uint8_t c)
{
    static const char  hex[] = "0123456789abcdef";

    if (c >= 0x80) {
        memcpy(out, "\xef\xbf\xbd", 3);
        return 3;
    }

    out[0] = '\\';

    switch (c) {

    case '"':
    case '\\':
        out[1] = (char) c;
        return 2;

    case '\n':
        out[1] = 'n';
        return 2;

    case '\r':
        out[1] = 'r';
        return 2;

    case '\t':
        out[1] = 't';
        return 2;
    }

    out[1] = 'u';
    out[2] = '0';
    out[3] = '0';
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];

    return 6;
}


void
d4_out_int(d4_out_t *o, const char *key, int64_t n)
{
    d4_out_begin(o, key);
    d4_out_printf(o, "%" PRId64, n);
}


void
d4_out_uint(d4_out_t *o, const char *key, uint64_t n)
{
    d4_out_begin(o, key);
    d4_out_printf(o, "%" PRIu64, n);
}


void
d4_out_bool(d4_out_t *o, const char *key, int truth)
{
    d4_out_begin(o, key);
    d4_out_raw(o, truth ? "true" : "false", truth ? 4 : 5);
}


void
d4_out_null(d4_out_t *o, const char *key)
{
    d4_out_begin(o, key);
    d4_out_raw(o, "null", 4);
}


size_t
d4_utf8_len(const uint8_t *p, size_t len)
{
    size_t    n, i;
    uint32_t  c;

    static const uint32_t  least[] = { 0, 0, 0x80, 0x800, 0x10000 };

    if (len == 0) {
        return 0;
    }

    if (p[0] < 0x80) {
        return 1;
    }

    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        n = 2;
        c = p[0] & 0x1f;

    } else if ((p[0] & 0xf0) == 0xe0) {
        n = 3;
        c = p[0] & 0x0f;

    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        n = 4;
        c = p[0] & 0x07;

    } else {
        return 0;
    }

    if (len < n) {
        return 0;
    }

    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        c = c << 6 | (p[i] & 0x3f);
    }

    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }

    return n;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_query.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>


static int d4_query_unescape(char *text, size_t *len);
static int d4_query_digit(char c);
static unsigned d4_day_last(unsigned year, unsigned month);


int
d4_query_parse(char *text, size_t len, d4_arg_t args[D4_QUERY_ARGS])
{
    int        i, n;
    char      *p, *last, *end, *value;
    size_t     name_len, value_len;
    d4_arg_t  *arg;

    n = 0;
    last = text + len;

    for (p = text; p < last; p = end + 1) {

        end = memchr(p, '&', (size_t) (last - p));
        if (end == NULL) {
            end = last;
        }

        if (end == p) {
            continue;
        }

        if (n == D4_QUERY_ARGS) {
            return -1;
        }

        value = memchr(p, '=', (size_t) (end - p));

        name_len = (size_t) ((value ? value : end) - p);
        value = value ? value + 1 : end;
        value_len = (size_t) (end - value);

        if (d4_query_unescape(p, &name_len) != 0
            || d4_query_unescape(value, &value_len) != 0)
        {
            return -1;
        }

        for (i = 0; i < n; i++) {
            if (args[i].name_len == name_len
                && memcmp(args[i].name, p, name_len) == 0)
            {
                return -1;
            }
        }

        arg = &args[n++];
        arg->name = p;
        arg->name_len = name_len;
        arg->value = value;
        arg->value_len = value_len;
    }

    return n;
}


static int
d4_query_unescape(char *text, size_t *len)
{
    int     high, low;
    char    c, *dst;
    size_t  i;

    dst = text;

    for (i = 0; i < *len; i++) {
        c = text[i];

        if (c == '+') {
            c = ' ';

        } else if (c == '%') {

            if (*len - i < 3) {
                return -1;
            }

            high = d4_query_digit(text[i + 1]);
            low = d4_query_digit(text[i + 2]);

            if (high < 0 || low < 0) {
                return -1;
            }

            c = (char) (high << 4 | low);
            i += 2;
        }

        if (c == '\0') {
            return -1;
        }

        *dst++ = c;
    }

    *len = (size_t) (dst - text);

    return 0;
}


static int
d4_query_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}


int
d4_route_match(const char *route, const char *path, size_t len,
    d4_text_t params[D4_ROUTE_PARAMS])
{
    int          n;
    const char  *p, *last, *end;

    n = 0;
    p = path;
    last = path + len;

    while (*route) {

        if (*route != '{') {
            if (p == last || *p++ != *route++) {
                return -1;
            }

            continue;
        }

        if (route[1] == '*') {
            end = last;
            route += 3;

        } else {
            end = memchr(p, '/', (size_t) (last - p));
            end = end ? end : last;
            route += 2;
        }

        if (end == p || n == D4_ROUTE_PARAMS) {
            return -1;
        }

        params[n].text = p;
        params[n++].len = (size_t) (end - p);
        p = end;
    }

    return p == last ? n : -1;
}


int
d4_number(const char *text, size_t len, int64_t min, int64_t max, int64_t *n)
{
    int      negative;
    size_t   i;
    int64_t  value;

    negative = (len && text[0] == '-');
    i = negative;

    if (len - i == 0 || len - i > 18) {
        return -1;
    }

    value = 0;

    for ( /* void */ ; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }

        value = value * 10 + (text[i] - '0');
    }

    if (negative) {
        value = -value;
    }

    if (value < min || value > max) {
        return -1;
    }

    *n = value;

    return 0;
}


unsigned
d4_day_parse(const char *text, size_t len)
{
    size_t    i;
    unsigned  day;

    if (len != 8 && len != 10) {
        return 0;
    }

    day = 0;

    for (i = 0; i < len; i++) {
        if (len == 10 && (i == 4 || i == 7)) {
            if (text[i] != '-') {
                return 0;
            }

            continue;
        }

        if (text[i] < '0' || text[i] > '9') {
            return 0;
        }

        day = day * 10 + (unsigned) (text[i] - '0');
    }

    if (day < 19700101
        || day / 100 % 100 < 1 || day / 100 % 100 > 12 || day % 100 < 1
        || day % 100 > d4_day_last(day / 10000, day / 100 % 100))
    {
        return 0;
    }

    return day;
}


static unsigned
d4_day_last(unsigned year, unsigned month)
{
    static const unsigned char  last[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    if (month == 2
        && (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)))
    {
        return 29;
    }

    return last[month - 1];
}


unsigned
d4_day_next(unsigned day)
{
    unsigned  year, month;

    year = day / 10000;
    month = day / 100 % 100;

    if (day % 100 < d4_day_last(year, month)) {
        return day + 1;
    }

    if (month < 12) {
        return year * 10000 + (month + 1) * 100 + 1;
    }

    return (year + 1) * 10000 + 101;
}


unsigned
d4_day_before(unsigned day)
{
    unsigned  year, month;

    year = day / 10000;
    month = day / 100 % 100;

    if (day % 100 > 1) {
        return day - 1;
    }

    if (month > 1) {
        return year * 10000 + (month - 1) * 100
               + d4_day_last(year, month - 1);
    }

    return (year - 1) * 10000 + 1231;
}


int
d4_net_parse(const char *text, size_t len, d4_addr_t *addr, unsigned *prefix)
{
    char                  buf[D4_ADDR_TEXT];
    int64_t               bits;
    const char           *slash;
    unsigned              mapped;
    struct sockaddr_in    sin;
    struct sockaddr_in6   sin6;

    bits = -1;

    slash = memchr(text, '/', len);

    if (slash) {
        if (d4_number(slash + 1, len - (size_t) (slash + 1 - text), 0, 128,
                      &bits)
            != 0)
        {
            return -1;
        }

        len = (size_t) (slash - text);
    }

    if (len == 0 || len >= sizeof(buf) || memchr(text, '\0', len)) {
        return -1;
    }

    memcpy(buf, text, len);
    buf[len] = '\0';

    memset(&sin, 0, sizeof(sin));
    memset(&sin6, 0, sizeof(sin6));

    if (inet_pton(AF_INET, buf, &sin.sin_addr) == 1) {
        sin.sin_family = AF_INET;
        d4_addr_set(addr, (struct sockaddr *) &sin);
        mapped = 0;

    } else if (inet_pton(AF_INET6, buf, &sin6.sin6_addr) == 1) {
        sin6.sin6_family = AF_INET6;
        d4_addr_set(addr, (struct sockaddr *) &sin6);
        mapped = (addr->bits == 32);

    } else {
        return -1;
    }

    if (bits < 0) {
        *prefix = addr->bits;
        return 0;
    }

    if (mapped) {
        if (bits < 96) {
            return -1;
        }

        bits -= 96;
    }

    if (bits > addr->bits) {
        return -1;
    }

    *prefix = (unsigned) bits;

    return 0;
}

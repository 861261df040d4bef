
#include "pdns_cof.h"

#include <stdio.h>
#include <string.h>


/* names of members, digits, brackets: much less than this */
#define PDNS_COF_FIXED  640


static char *pdns_cof_text(char *p, const char *key, const pdns_str_t *s);
static char *pdns_cof_times(char *p, const pdns_answer_t *a, unsigned flags);


#define pdns_put(p, text)                                                     \
    (memcpy(p, text, sizeof(text) - 1), (p) + sizeof(text) - 1)


static char *
pdns_put_key(char *p, const char *key)
{
    size_t  len;

    len = strlen(key);

    *p++ = '"';
    memcpy(p, key, len);
    p += len;
    *p++ = '"';
    *p++ = ':';

    return p;
}


static char *
pdns_put_number(char *p, uint64_t n)
{
    int   i;
    char  digits[20];

    i = 0;

    do {
        digits[i++] = (char) ('0' + n % 10);
        n /= 10;
    } while (n != 0);

    while (i > 0) {
        *p++ = digits[--i];
    }

    return p;
}


size_t
pdns_cof_bound(const pdns_answer_t *a)
{
    return PDNS_COF_FIXED + 2 * a->rrname.len + 2 * a->rdata.len
           + (a->error ? 6 * a->rdata.len : 0)
           + 6 * (a->query.len + a->bailiwick.len + a->sensor.len
                  + a->origin.len);
}


size_t
pdns_cof_write(char *out, const pdns_answer_t *a, unsigned flags)
{
    char        *p, dotted[PDNS_RDATA_TEXT + 8];
    const char  *name;
    pdns_str_t   rdata;

    p = out;

    if (flags & PDNS_COF_SAF) {
        p = pdns_put(p, "{\"obj\":");
    }

    *p++ = '{';

    p = pdns_cof_times(p, a, flags);

    if (a->count != 0) {
        p = pdns_put(p, "\"count\":");
        p = pdns_put_number(p, a->count);
        *p++ = ',';
    }

    p = pdns_put(p, "\"rrtype\":");

    name = pdns_type_name(a->type);

    if (name != NULL || (flags & PDNS_COF_TYPES)) {
        *p++ = '"';
        p += pdns_type_text(p, a->type);
        *p++ = '"';

    } else {
        p = pdns_put_number(p, a->type);
    }

    p = pdns_put(p, ",\"rrname\":\"");
    p += pdns_json_escape(p, a->rrname.data, a->rrname.len);

    if ((flags & PDNS_COF_DOTS)
        && !(a->rrname.len == 1 && a->rrname.data[0] == '.'))
    {
        *p++ = '.';
    }

    p = pdns_put(p, "\",\"rdata\":");

    if (flags & PDNS_COF_ARRAY) {
        *p++ = '[';
    }

    *p++ = '"';

    rdata = a->rdata;

    if (flags & PDNS_COF_DOTS) {
        rdata.len = pdns_rdata_dotted(dotted, a->type, rdata.data, rdata.len);
        rdata.data = dotted;
    }

    p += pdns_json_escape(p, rdata.data, rdata.len);
    *p++ = '"';

    if (flags & PDNS_COF_ARRAY) {
        *p++ = ']';
    }

    if (a->error) {
        p = pdns_cof_text(p, "rcode", &a->rdata);
    }

    p = pdns_cof_text(p, "bailiwick", &a->bailiwick);

    if ((flags & PDNS_COF_DOTS) && a->bailiwick.len != 0 && p[-2] != '.') {
        p[-1] = '.';
        *p++ = '"';
    }

    p = pdns_cof_text(p, "sensor_id", &a->sensor);
    p = pdns_cof_text(p, "origin", &a->origin);
    p = pdns_cof_text(p, "query", &a->query);

    *p++ = '}';

    if (flags & PDNS_COF_SAF) {
        *p++ = '}';
    }

    *p++ = '\n';

    return (size_t) (p - out);
}


static char *
pdns_cof_text(char *p, const char *key, const pdns_str_t *s)
{
    if (s->data == NULL) {
        return p;
    }

    *p++ = ',';
    p = pdns_put_key(p, key);
    *p++ = '"';
    p += pdns_json_escape(p, s->data, s->len);
    *p++ = '"';

    return p;
}


static char *
pdns_cof_time(char *p, const char *key, uint64_t t, unsigned flags)
{
    p = pdns_put_key(p, key);

    if (flags & PDNS_COF_HUMAN) {
        *p++ = '"';
        p += pdns_rfc3339(p, t);
        *p++ = '"';

    } else {
        p = pdns_put_number(p, t);
    }

    *p++ = ',';

    return p;
}


static char *
pdns_cof_times(char *p, const pdns_answer_t *a, unsigned flags)
{
    p = pdns_cof_time(p, "time_first", a->first, flags);
    p = pdns_cof_time(p, "time_last", a->last, flags);

    if (a->zone_first != 0) {
        p = pdns_cof_time(p, "zone_time_first", a->zone_first, flags);
        p = pdns_cof_time(p, "zone_time_last", a->zone_last, flags);
    }

    if (flags & PDNS_COF_MS) {
        p = pdns_cof_time(p, "time_first_ms", a->first * 1000, 0);
        p = pdns_cof_time(p, "time_last_ms", a->last * 1000, 0);
    }

    if (flags & PDNS_COF_RFC3339) {
        p = pdns_cof_time(p, "time_first_rfc3339", a->first, PDNS_COF_HUMAN);
        p = pdns_cof_time(p, "time_last_rfc3339", a->last, PDNS_COF_HUMAN);
    }

    return p;
}


size_t
pdns_rfc3339(char *out, uint64_t t)
{
    char      text[32];
    uint32_t  days, sec, era, doe, yoe, doy, mp, day, month, year;

    /* days since 1970-03-01 of the civil calendar, 400 years an era */

    days = (uint32_t) (t / 86400);
    sec = (uint32_t) (t % 86400);

    days += 719468;
    era = days / 146097;
    doe = days % 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    mp = (5 * doy + 2) / 153;
    day = doy - (153 * mp + 2) / 5 + 1;
    month = (mp < 10) ? mp + 3 : mp - 9;
    year = yoe + era * 400 + (month <= 2);

    snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02uZ",
             year % 10000, month, day, sec / 3600, sec / 60 % 60, sec % 60);

    memcpy(out, text, 20);

    return 20;
}


/* The length of the UTF-8 sequence at p and its character; 0: it is none. */

static size_t
pdns_utf8(const uint8_t *p, size_t len, uint32_t *c)
{
    size_t    i, n;
    uint32_t  least;

    if (p[0] >= 0xc2 && p[0] < 0xe0) {
        n = 2;
        *c = p[0] & 0x1f;
        least = 0x80;

    } else if (p[0] >= 0xe0 && p[0] < 0xf0) {
        n = 3;
        *c = p[0] & 0x0f;
        least = 0x800;

    } else if (p[0] >= 0xf0 && p[0] < 0xf5) {
        n = 4;
        *c = p[0] & 0x07;
        least = 0x10000;

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

        *c = *c << 6 | (p[i] & 0x3f);
    }

    if (*c < least || *c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000)) {
        return 0;
    }

    return n;
}


size_t
pdns_json_escape(char *out, const char *text, size_t len)
{
    char           *o;
    size_t          i, n;
    uint32_t        c;
    const uint8_t  *p;

    o = out;
    p = (const uint8_t *) text;

    for (i = 0; i < len; i += n) {
        c = p[i];
        n = 1;

        if (c == '"' || c == '\\') {
            *o++ = '\\';
            *o++ = (char) c;
            continue;
        }

        if (c >= 0x20 && c < 0x7f) {
            *o++ = (char) c;
            continue;
        }

        if (c >= 0x80) {
            n = pdns_utf8(p + i, len - i, &c);

            if (n == 0) {
                n = 1;
                c = 0xfffd;
            }
        }

        if (c >= 0x10000) {
            c -= 0x10000;
            o += sprintf(o, "\\u%04x", 0xd800 + (c >> 10));
            c = 0xdc00 + (c & 0x3ff);
        }

        o += sprintf(o, "\\u%04x", c);
    }

    return (size_t) (o - out);
}


/* Which words are names, by their place; the last of them may be the rest. */

static unsigned
pdns_dotted_words(uint16_t type, unsigned words)
{
    if (words == 1) {
        switch (type) {

        case PDNS_NS: case PDNS_CNAME: case PDNS_PTR: case PDNS_DNAME:
        case PDNS_MD: case PDNS_MF: case PDNS_MB: case PDNS_MG: case PDNS_MR:
        case PDNS_MX: case PDNS_AFSDB: case PDNS_RT: case PDNS_KX:
        case PDNS_LP: case PDNS_SRV: case PDNS_SOA: case PDNS_RP:
        case PDNS_MINFO: case PDNS_PX:
            return 1;

        default:
            return 0;
        }
    }

    switch (type) {

    case PDNS_MX:
    case PDNS_AFSDB:
    case PDNS_RT:
    case PDNS_KX:
    case PDNS_LP:
    case PDNS_SVCB:
    case PDNS_HTTPS:
        return 1 << 1;

    case PDNS_PX:
        return 1 << 1 | 1 << 2;

    case PDNS_SRV:
        return 1 << 3;

    case PDNS_SOA:
    case PDNS_RP:
    case PDNS_MINFO:
        return 1 << 0 | 1 << 1;

    default:
        return 0;
    }
}


size_t
pdns_rdata_dotted(char *out, uint16_t type, const char *text, size_t len)
{
    char       *o;
    size_t      i;
    unsigned    words, word, dotted;

    words = 1;

    for (i = 0; i < len && words < 2; i++) {
        if (text[i] == ' ') {
            words++;
        }
    }

    dotted = (len > 1 && text[0] == '\\' && text[1] == '#')
             ? 0 : pdns_dotted_words(type, words);

    o = out;
    word = 0;

    for (i = 0; i <= len; i++) {

        if (i < len && text[i] != ' ') {
            *o++ = text[i];
            continue;
        }

        if (word < 8 && (dotted & (1U << word)) && i > 0
            && !(text[i - 1] == '.' && (i == 1 || text[i - 2] == ' ')))
        {
            *o++ = '.';
        }

        word++;

        if (i < len) {
            *o++ = ' ';
        }
    }

    return (size_t) (o - out);
}


#include "pdns_query.h"
#include "pdns_idn.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>


#define PDNS_ADDR_TEXT  46


static int pdns_value_addr(pdns_value_t *v, const char *p, size_t len);
static const char *pdns_value_name(pdns_value_t *v, const char *p, size_t len,
    int rdata);


const char *
pdns_value_parse(pdns_value_t *v, const char *p, size_t len, int rdata)
{
    while (len > 0 && (p[0] == ' ' || p[0] == '\t')) {
        p++;
        len--;
    }

    while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'
                       || p[len - 1] == '\r' || p[len - 1] == '\n')
           && (len < 2 || p[len - 2] != '\\'))
    {
        len--;
    }

    if (len == 0) {
        return "nothing is asked for";
    }

    if (len >= sizeof(v->text)) {
        return "the value is too long";
    }

    switch (pdns_value_addr(v, p, len)) {

    case 0:
        v->find = PDNS_FIND_ADDR;
        return NULL;

    case 1:
        return "the network or range is not one";

    default:
        break;
    }

    if (rdata && (memchr(p, ' ', len) != NULL || p[0] == '"')) {
        v->find = PDNS_FIND_DATA;
        memcpy(v->text, p, len);
        v->text[len] = '\0';
        v->len = len;
        return NULL;
    }

    return pdns_value_name(v, p, len, rdata);
}


static size_t
pdns_value_pton(uint8_t addr[16], const char *p, size_t len)
{
    char  text[PDNS_ADDR_TEXT];

    if (len >= sizeof(text)) {
        return 0;
    }

    memcpy(text, p, len);
    text[len] = '\0';

    if (strlen(text) != len) {
        return 0;
    }

    if (inet_pton(AF_INET, text, addr) == 1) {
        return 4;
    }

    return (inet_pton(AF_INET6, text, addr) == 1) ? 16 : 0;
}


/* 0: one or more addresses; 1: it only begins like some; -1: neither */

static int
pdns_value_addr(pdns_value_t *v, const char *p, size_t len)
{
    size_t       n, i;
    unsigned     bits;
    const char  *sep;

    v->alen = (uint8_t) pdns_value_pton(v->low, p, len);

    if (v->alen != 0) {
        memcpy(v->high, v->low, 16);
        return 0;
    }

    for (n = 0; n < len && strchr("/,-", p[n]) == NULL; n++) { /* void */ }

    if (n == len || p[n] == '\0') {
        return -1;
    }

    v->alen = (uint8_t) pdns_value_pton(v->low, p, n);

    if (v->alen == 0) {
        return -1;
    }

    sep = p + n;
    p += n + 1;
    len -= n + 1;

    if (*sep == '-') {
        return pdns_value_pton(v->high, p, len) == v->alen
               && memcmp(v->low, v->high, v->alen) <= 0 ? 0 : 1;
    }

    if (len == 0 || len > 3) {
        return 1;
    }

    for (bits = 0, i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return 1;
        }

        bits = bits * 10 + (unsigned) (p[i] - '0');
    }

    if (bits > 8U * v->alen) {
        return 1;
    }

    for (i = 0; i < v->alen; i++) {
        n = (bits > 8 * i) ? bits - 8 * i : 0;
        n = (n < 8) ? n : 8;

        v->low[i] &= (uint8_t) (0xff00 >> n);
        v->high[i] = (uint8_t) (v->low[i] | (0xff >> n));
    }

    return 0;
}


static const char *
pdns_value_name(pdns_value_t *v, const char *p, size_t len, int rdata)
{
    int          n;
    char         text[PDNS_NAME_TEXT * 4];

    /* a byte that is no UTF-8 stands for itself, as in a label */

    n = pdns_idn_ascii(text, sizeof(text), p, len);

    if (n > 0) {
        p = text;
        len = (size_t) n;
    }

    if (p[0] == '*' && (len == 1 || (len == 2 && p[1] == '.'))) {
        return "a wildcard alone is everything";
    }

    if (len > 2 && p[0] == '*' && p[1] == '.') {
        v->find = rdata ? PDNS_FIND_TARGETS : PDNS_FIND_BELOW;

        if (pdns_name_parse(&v->name, p + 2, len - 2) != 0) {
            return "the name is not valid";
        }

        return (v->name.labels == 0) ? "a wildcard alone is everything" : NULL;
    }

    if (len > 2 && p[len - 1] == '.' && p[len - 2] == '*') {
        len--;
    }

    if (len > 2 && p[len - 1] == '*' && p[len - 2] == '.'
        && p[len - 3] != '\\')
    {
        v->find = rdata ? PDNS_FIND_TARGET_PREFIX : PDNS_FIND_PREFIX;

        if (pdns_name_parse(&v->name, p, len - 2) != 0) {
            return "the name is not valid";
        }

        v->len = pdns_name_text(v->text, &v->name);

        if (v->name.labels == 1 && v->len == 3
            && memcmp(v->text, "www", 3) == 0)
        {
            return "a wildcard behind www alone is too much";
        }

        return NULL;
    }

    v->find = rdata ? PDNS_FIND_TARGET : PDNS_FIND_NAME;

    if (pdns_name_parse(&v->name, p, len) != 0) {

        if (rdata) {
            v->find = PDNS_FIND_DATA;
            memmove(v->text, p, len);
            v->text[len] = '\0';
            v->len = len;
            return NULL;
        }

        return "the name is not valid";
    }

    if (rdata) {
        memcpy(v->text, p, len);
        v->text[len] = '\0';
        v->len = len;
    }

    return NULL;
}


int
pdns_filter_types(pdns_filter_t *f, const char *p, size_t len, int dnsdb)
{
    size_t    n;
    uint16_t  type;

    f->ntypes = 0;

    if (len == 10 && strncasecmp(p, "ANY-DNSSEC", 10) == 0) {
        f->types = PDNS_TYPES_DNSSEC;
        return 0;
    }

    for ( ;; ) {
        for (n = 0; n < len && p[n] != ','; n++) { /* void */ }

        if (pdns_type_parse(&type, p, n) != 0) {
            return -1;
        }

        if (type == PDNS_ANY) {
            f->types = dnsdb ? PDNS_TYPES_PLAIN : PDNS_TYPES_ALL;
            return (n == len && f->ntypes == 0) ? 0 : -1;
        }

        if (f->ntypes == PDNS_TYPES_MAX) {
            return -1;
        }

        f->type[f->ntypes++] = type;

        if (n == len) {
            f->types = PDNS_TYPES_LIST;
            return 0;
        }

        p += n + 1;
        len -= n + 1;
    }
}


static int
pdns_digits(const char *p, size_t n, uint32_t *out)
{
    *out = 0;

    while (n-- > 0) {
        if (*p < '0' || *p > '9') {
            return -1;
        }

        *out = *out * 10 + (uint32_t) (*p++ - '0');
    }

    return 0;
}


/* YYYY-MM-DD, or YYYY-MM-DDThh:mm:ssZ */

static int
pdns_filter_date(uint64_t *t, const char *p, size_t len)
{
    int64_t   days;
    uint32_t  y, m, d, hour, min, sec, doy, yoe;

    hour = 0;
    min = 0;
    sec = 0;

    if ((len != 10 && len != 20) || p[4] != '-' || p[7] != '-'
        || pdns_digits(p, 4, &y) || pdns_digits(p + 5, 2, &m)
        || pdns_digits(p + 8, 2, &d) || m < 1 || m > 12 || d < 1 || d > 31
        || y < 1970)
    {
        return -1;
    }

    if (len == 20
        && ((p[10] != 'T' && p[10] != 't' && p[10] != ' ')
            || p[13] != ':' || p[16] != ':' || (p[19] != 'Z' && p[19] != 'z')
            || pdns_digits(p + 11, 2, &hour) || pdns_digits(p + 14, 2, &min)
            || pdns_digits(p + 17, 2, &sec)
            || hour > 23 || min > 59 || sec > 60))
    {
        return -1;
    }

    y -= (m <= 2);
    yoe = y % 400;
    doy = (153 * (m + ((m > 2) ? -3U : 9U)) + 2) / 5 + d - 1;
    days = (int64_t) (y / 400) * 146097
           + (int64_t) (yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;

    if (days < 0) {
        return -1;
    }

    *t = (uint64_t) days * 86400 + hour * 3600 + min * 60 + sec;

    return 0;
}


int
pdns_filter_time(uint64_t *t, const char *p, size_t len, uint64_t now)
{
    int       ago;
    size_t    i;
    uint64_t  n;

    if (len >= 10 && p[4] == '-') {
        return pdns_filter_date(t, p, len);
    }

    ago = (len > 0 && p[0] == '-');

    if (ago) {
        p++;
        len--;
    }

    if (len == 0 || len > 18) {
        return -1;
    }

    n = 0;

    for (i = 0; i < len && p[i] != '.'; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return -1;
        }

        n = n * 10 + (uint64_t) (p[i] - '0');
    }

    if (ago) {
        n = (n < now) ? now - n : 1;
    }

    /* the epoch itself is a bound, too; zero says that there is none */

    *t = (n == 0) ? 1 : (n > PDNS_TIME_MAX) ? PDNS_TIME_MAX : n;

    return 0;
}


int
pdns_filter_type(const pdns_filter_t *f, uint16_t type)
{
    unsigned  i;

    switch (f->types) {

    case PDNS_TYPES_ALL:
        return 1;

    case PDNS_TYPES_PLAIN:
        return !pdns_type_dnssec(type);

    case PDNS_TYPES_DNSSEC:
        return pdns_type_dnssec(type);

    default:
        break;
    }

    for (i = 0; i < f->ntypes; i++) {
        if (f->type[i] == type) {
            return 1;
        }
    }

    return 0;
}


int
pdns_filter_match(const pdns_filter_t *f, uint16_t type, uint64_t first,
    uint64_t last)
{
    return pdns_filter_type(f, type)
           && first >= f->first_after
           && (f->first_before == 0 || first <= f->first_before)
           && last >= f->last_after
           && (f->last_before == 0 || last <= f->last_before);
}

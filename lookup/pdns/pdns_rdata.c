
#include "pdns_rdata.h"

#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <openssl/sha.h>


#define PDNS_WORDS  7


typedef struct {
    const char  *p;
    size_t       len;
} pdns_word_t;


typedef struct {
    uint16_t     type;
    uint8_t      words;                /* 0: any number from the shape's on */
    uint8_t      index;                /* the word that is indexed */
    char         shape[8];             /* n: name, i: number */
} pdns_shape_t;


/* what the words of a type's data are; one word alone is the indexed one */

static const pdns_shape_t  pdns_shapes[] = {
    { PDNS_NS,    1, 0, "n" },
    { PDNS_CNAME, 1, 0, "n" },
    { PDNS_PTR,   1, 0, "n" },
    { PDNS_DNAME, 1, 0, "n" },
    { PDNS_MD,    1, 0, "n" },
    { PDNS_MF,    1, 0, "n" },
    { PDNS_MB,    1, 0, "n" },
    { PDNS_MG,    1, 0, "n" },
    { PDNS_MR,    1, 0, "n" },
    { PDNS_MX,    2, 1, "in" },
    { PDNS_AFSDB, 2, 1, "in" },
    { PDNS_RT,    2, 1, "in" },
    { PDNS_KX,    2, 1, "in" },
    { PDNS_LP,    2, 1, "in" },
    { PDNS_SRV,   4, 3, "iiin" },
    { PDNS_SOA,   7, 0, "nniiiii" },
    { PDNS_RP,    2, 0, "nn" },
    { PDNS_MINFO, 2, 0, "nn" },
    { PDNS_PX,    3, 1, "inn" },
    { PDNS_SVCB,  0, 1, "in" },
    { PDNS_HTTPS, 0, 1, "in" }
};


static int pdns_rdata_addr(pdns_rdata_t *r, const char *p, size_t len,
    char *buf, size_t size);
static int pdns_rdata_shaped(pdns_rdata_t *r, const pdns_shape_t *shape,
    const char *p, size_t len, char *buf, size_t size);
static int pdns_rdata_word(pdns_rdata_t *r, const pdns_shape_t *shape,
    unsigned i, pdns_word_t *w, char *buf, size_t size);
static int pdns_rdata_plain(const char *p, size_t len, char *buf,
    size_t size);
static int pdns_rdata_generic(pdns_rdata_t *r, const char *p, size_t len,
    char *buf, size_t size);
static void pdns_rdata_naptr(pdns_rdata_t *r);
static unsigned pdns_words(pdns_word_t words[PDNS_WORDS], const char *p,
    size_t len);


static const pdns_shape_t *
pdns_shape(uint16_t type)
{
    size_t  i;

    for (i = 0; i < sizeof(pdns_shapes) / sizeof(pdns_shapes[0]); i++) {
        if (pdns_shapes[i].type == type) {
            return &pdns_shapes[i];
        }
    }

    return NULL;
}


static int
pdns_blank(char c)
{
    return c == ' ' || c == '\t';
}


int
pdns_rdata_parse(pdns_rdata_t *r, uint16_t type, const char *p, size_t len,
    char *buf, size_t size)
{
    int                  n;
    const pdns_shape_t  *shape;

    r->type = type;
    r->alen = 0;
    r->named = 0;
    r->whole = 0;
    r->text = buf;

    while (len > 0 && pdns_blank(p[0])) {
        p++;
        len--;
    }

    while (len > 0 && pdns_blank(p[len - 1])
           && (len == 1 || p[len - 2] != '\\'))
    {
        len--;
    }

    if (len == 0 || size == 0) {
        return -1;
    }

    if (len > 1 && p[0] == '\\' && p[1] == '#'
        && (len == 2 || pdns_blank(p[2])))
    {
        return pdns_rdata_generic(r, p + 2, len - 2, buf, size);
    }

    if (type == PDNS_A || type == PDNS_AAAA) {
        return pdns_rdata_addr(r, p, len, buf, size);
    }

    shape = pdns_shape(type);

    if (shape != NULL) {
        n = pdns_rdata_shaped(r, shape, p, len, buf, size);

    } else {
        n = pdns_rdata_plain(p, len, buf, size);
    }

    if (n <= 0) {
        return -1;
    }

    r->len = (size_t) n;

    if (type == PDNS_NAPTR) {
        pdns_rdata_naptr(r);
    }

    return 0;
}


static int
pdns_rdata_addr(pdns_rdata_t *r, const char *p, size_t len, char *buf,
    size_t size)
{
    char    text[46];
    size_t  n;

    if (len >= sizeof(text)) {
        return -1;
    }

    memcpy(text, p, len);
    text[len] = '\0';

    if (inet_pton((r->type == PDNS_A) ? AF_INET : AF_INET6, text, r->addr)
        != 1)
    {
        return -1;
    }

    r->alen = (r->type == PDNS_A) ? 4 : 16;

    n = pdns_addr_text(text, r->addr, r->alen);

    if (n >= size) {
        return -1;
    }

    memcpy(buf, text, n + 1);
    r->len = n;

    return 0;
}


size_t
pdns_addr_text(char out[46], const uint8_t *addr, size_t len)
{
    char    *p;
    size_t   i;

    if (len == 4) {

        /* most data is one: without printf(), which inet_ntop() is made of */

        p = out;

        for (i = 0; i < 4; i++) {

            if (addr[i] >= 100) {
                *p++ = (char) ('0' + addr[i] / 100);
            }

            if (addr[i] >= 10) {
                *p++ = (char) ('0' + addr[i] / 10 % 10);
            }

            *p++ = (char) ('0' + addr[i] % 10);
            *p++ = '.';
        }

        *--p = '\0';

        return (size_t) (p - out);
    }

    if (inet_ntop(AF_INET6, addr, out, 46) == NULL) {
        out[0] = '\0';
    }

    return strlen(out);
}


/*
 * Data that does not have the words of its type is refused, but for a single
 * one: passivedns prints only the name of an MX, an SRV or an SOA, and others
 * cut the data of every type at its first blank.
 */

static int
pdns_rdata_shaped(pdns_rdata_t *r, const pdns_shape_t *shape, const char *p,
    size_t len, char *buf, size_t size)
{
    int          n;
    size_t       used, rest;
    unsigned     i, count, nwords;
    pdns_word_t  words[PDNS_WORDS];

    nwords = pdns_words(words, p, len);
    count = (unsigned) strlen(shape->shape);

    if (nwords == 1) {
        for (i = 0; i < words[0].len; i++) {
            if (words[0].p[i] < '0' || words[0].p[i] > '9') {
                break;
            }
        }

        if (i == words[0].len && count > 1) {
            return pdns_rdata_plain(p, len, buf, size);
        }

        r->whole = 1;

        return pdns_rdata_word(r, shape, shape->index, &words[0], buf, size);
    }

    if (nwords < count || (shape->words != 0 && nwords != count)) {
        return -1;
    }

    used = 0;

    for (i = 0; i < count; i++) {

        if (i > 0) {
            if (size - used < 2) {
                return -1;
            }

            buf[used++] = ' ';
        }

        n = pdns_rdata_word(r, shape, i, &words[i], buf + used, size - used);

        if (n <= 0) {
            return -1;
        }

        used += (size_t) n;
    }

    if (nwords > count) {
        rest = len - (size_t) (words[count].p - p);

        if (size - used < 2) {
            return -1;
        }

        buf[used++] = ' ';

        n = pdns_rdata_plain(words[count].p, rest, buf + used, size - used);

        if (n <= 0) {
            return -1;
        }

        used += (size_t) n;
    }

    return (int) used;
}


static int
pdns_rdata_word(pdns_rdata_t *r, const pdns_shape_t *shape, unsigned i,
    pdns_word_t *w, char *buf, size_t size)
{
    size_t        n;
    uint64_t      number;
    char          text[PDNS_NAME_TEXT];
    pdns_name_t   other, *name;

    if (shape->shape[i] == 'i') {

        if (w->len > 10) {
            return -1;
        }

        number = 0;

        for (n = 0; n < w->len; n++) {
            if (w->p[n] < '0' || w->p[n] > '9') {
                return -1;
            }

            number = number * 10 + (uint64_t) (w->p[n] - '0');
        }

        if (number > UINT32_MAX) {
            return -1;
        }

        n = (size_t) snprintf(text, sizeof(text), "%llu",
                              (unsigned long long) number);

    } else {
        name = (i == shape->index) ? &r->name : &other;

        if (pdns_name_parse(name, w->p, w->len) != 0) {
            return -1;
        }

        /* nothing is found by the root, which only says "none" */

        if (i == shape->index && (name->labels > 0 || r->whole)) {
            r->named = 1;
        }

        n = pdns_name_text(text, name);
    }

    if (n >= size) {
        return -1;
    }

    memcpy(buf, text, n + 1);

    return (int) n;
}


/* Splits at blanks that are not escaped, up to PDNS_WORDS and one more. */

static unsigned
pdns_words(pdns_word_t words[PDNS_WORDS], const char *p, size_t len)
{
    size_t    i, start;
    unsigned  n;

    n = 0;
    i = 0;

    while (i < len) {

        if (pdns_blank(p[i])) {
            i++;
            continue;
        }

        start = i;

        while (i < len && !pdns_blank(p[i])) {
            i += (p[i] == '\\' && i + 1 < len) ? 2 : 1;
        }

        if (n == PDNS_WORDS) {
            return n + 1;
        }

        words[n].p = p + start;
        words[n].len = i - start;
        n++;
    }

    return n;
}


static int
pdns_rdata_plain(const char *p, size_t len, char *buf, size_t size)
{
    int       quoted;
    size_t    i, used;
    uint8_t   c;

    used = 0;
    quoted = 0;

    for (i = 0; i < len; i++) {
        c = (uint8_t) p[i];

        if (size - used < 6) {
            return -1;
        }

        if (!quoted && pdns_blank((char) c)) {

            if (used > 0 && buf[used - 1] == ' '
                && (used < 2 || buf[used - 2] != '\\'))
            {
                continue;
            }

            buf[used++] = ' ';
            continue;
        }

        if (c < 0x20 || c > 0x7e) {
            buf[used++] = '\\';
            buf[used++] = (char) ('0' + c / 100);
            buf[used++] = (char) ('0' + c / 10 % 10);
            buf[used++] = (char) ('0' + c % 10);
            continue;
        }

        if (c == '"') {
            quoted = !quoted;
        }

        buf[used++] = (char) c;

        if (c == '\\' && i + 1 < len && p[i + 1] >= 0x20 && p[i + 1] <= 0x7e) {
            buf[used++] = p[++i];
        }
    }

    buf[used] = '\0';

    return (int) used;
}


static int
pdns_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 32;

    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}


/* behind "\#": a length in decimal, and that many bytes in hex */

static int
pdns_rdata_generic(pdns_rdata_t *r, const char *p, size_t len, char *buf,
    size_t size)
{
    int       digit;
    size_t    i, n, length, nibbles;
    uint8_t  *bytes;

    i = 0;
    length = 0;
    n = 0;

    while (i < len && pdns_blank(p[i])) {
        i++;
    }

    for ( /* void */ ; i < len && !pdns_blank(p[i]); i++, n++) {
        if (p[i] < '0' || p[i] > '9' || n == 5) {
            return -1;
        }

        length = length * 10 + (size_t) (p[i] - '0');
    }

    /* the bytes stand at the end of buf until the text is made of them */

    if (n == 0 || length > 65535 || length * 3 + 16 > size) {
        return -1;
    }

    bytes = (uint8_t *) buf + size - length;
    nibbles = 0;

    for ( /* void */ ; i < len; i++) {

        if (pdns_blank(p[i])) {
            continue;
        }

        digit = pdns_hex(p[i]);

        if (digit < 0 || nibbles == 2 * length) {
            return -1;
        }

        if (nibbles % 2 == 0) {
            bytes[nibbles / 2] = (uint8_t) (digit << 4);

        } else {
            bytes[nibbles / 2] |= (uint8_t) digit;
        }

        nibbles++;
    }

    if (nibbles != 2 * length) {
        return -1;
    }

    return pdns_rdata_wire(r, r->type, bytes, length, buf, size);
}


int
pdns_rdata_wire(pdns_rdata_t *r, uint16_t type, const uint8_t *p, size_t len,
    char *buf, size_t size)
{
    size_t               i, n;
    pdns_name_t          name;
    const pdns_shape_t  *shape;

    static const char  digits[] = "0123456789abcdef";

    r->type = type;
    r->alen = 0;
    r->named = 0;
    r->whole = 0;
    r->text = buf;

    if (type == PDNS_A || type == PDNS_AAAA) {

        if (len != ((type == PDNS_A) ? 4 : 16) || size < 46) {
            return -1;
        }

        r->alen = (uint8_t) len;
        memmove(r->addr, p, len);
        r->len = pdns_addr_text(buf, r->addr, len);

        return 0;
    }

    shape = pdns_shape(type);

    if (shape != NULL && shape->words == 1
        && pdns_name_wire(&name, p, len) == 0)
    {
        if (size < PDNS_NAME_TEXT) {
            return -1;
        }

        r->name = name;
        r->named = 1;
        r->whole = 1;
        r->len = pdns_name_text(buf, &name);

        return 0;
    }

    if (len > 65535 || 2 * len + sizeof("\\# 65535 ") > size) {
        return -1;
    }

    n = (size_t) snprintf(buf, size, "\\# %u%s", (unsigned) len,
                          len > 0 ? " " : "");

    /* p may be the end of buf: what is written never passes what is read */

    for (i = 0; i < len; i++) {
        uint8_t  c = p[i];

        buf[n++] = digits[c >> 4];
        buf[n++] = digits[c & 15];
    }

    buf[n] = '\0';
    r->len = n;

    return 0;
}


/* "order preference flags services regexp replacement": the last is a name */

static void
pdns_rdata_naptr(pdns_rdata_t *r)
{
    size_t  i;

    for (i = r->len; i > 0 && r->text[i - 1] != ' '; i--) { /* void */ }

    if (i > 0 && pdns_name_parse(&r->name, r->text + i, r->len - i) == 0
        && r->name.labels > 0)
    {
        r->named = 1;
    }
}


void
pdns_digest(uint8_t out[PDNS_DIGEST], const char *text, size_t len)
{
    uint8_t  md[SHA256_DIGEST_LENGTH];

    SHA256((const uint8_t *) text, len, md);
    memcpy(out, md, PDNS_DIGEST);
}


size_t
pdns_member(uint8_t out[PDNS_MEMBER], const pdns_rdata_t *r)
{
    uint8_t  *p;

    p = out;

    if (r->type < 255) {
        *p++ = (uint8_t) r->type;

    } else {
        *p++ = 0xff;
        *p++ = (uint8_t) (r->type >> 8);
        *p++ = (uint8_t) r->type;
    }

    if (r->alen != 0) {
        memcpy(p, r->addr, r->alen);
        p += r->alen;

    } else if (r->len <= PDNS_RDATA_SHORT) {
        memcpy(p, r->text, r->len);
        p += r->len;

    } else {
        *p++ = 0xff;
        pdns_digest(p, r->text, r->len);
        p += PDNS_DIGEST;
    }

    return (size_t) (p - out);
}


int
pdns_member_type(uint16_t *type, size_t *at, const uint8_t *m, size_t len)
{
    if (len < 2) {
        return -1;
    }

    if (m[0] != 0xff) {
        *type = m[0];
        *at = 1;
        return 0;
    }

    if (len < 4) {
        return -1;
    }

    *type = (uint16_t) (m[1] << 8 | m[2]);
    *at = 3;

    return 0;
}


int
pdns_member_text(char *out, size_t size, const uint8_t *m, size_t len)
{
    size_t    at, n;
    uint16_t  type;

    if (pdns_member_type(&type, &at, m, len) != 0
        || pdns_member_digest(m, len) != NULL)
    {
        return -1;
    }

    n = len - at;

    if ((type == PDNS_A && n == 4) || (type == PDNS_AAAA && n == 16)) {
        return (size < 46) ? -1 : (int) pdns_addr_text(out, m + at, n);
    }

    if (n >= size) {
        return -1;
    }

    memcpy(out, m + at, n);
    out[n] = '\0';

    return (int) n;
}


const uint8_t *
pdns_member_digest(const uint8_t *m, size_t len)
{
    size_t    at;
    uint16_t  type;

    if (pdns_member_type(&type, &at, m, len) != 0
        || type == PDNS_A || type == PDNS_AAAA
        || len - at != 1 + PDNS_DIGEST || m[at] != 0xff)
    {
        return NULL;
    }

    return m + at + 1;
}


#include "d4_jread.h"

#include <string.h>


typedef enum {
    D4_JREAD_VALUE = 0,
    D4_JREAD_FIRST_VALUE,              /* or the end of the array */
    D4_JREAD_FIRST_MEMBER,             /* or the end of the object */
    D4_JREAD_MEMBER,
    D4_JREAD_COLON,
    D4_JREAD_AFTER,                    /* comma, or the end of what is open */
    D4_JREAD_STUCK
} d4_jread_expect_t;


static d4_jread_kind_t d4_jread_bad(d4_jread_t *r, const char *error);
static void d4_jread_space(d4_jread_t *r);
static int d4_jread_peek(const d4_jread_t *r);
static d4_jread_kind_t d4_jread_value(d4_jread_t *r);
static d4_jread_kind_t d4_jread_open(d4_jread_t *r, d4_jread_kind_t kind);
static d4_jread_kind_t d4_jread_close(d4_jread_t *r);
static d4_jread_kind_t d4_jread_quoted(d4_jread_t *r, d4_jread_kind_t kind);
static int d4_jread_escape(d4_jread_t *r);
static int d4_jread_hex(const char *p, const char *end, uint32_t *value);
static int d4_jread_utf8(d4_jread_t *r);
static d4_jread_kind_t d4_jread_number(d4_jread_t *r);
static int d4_jread_digits(d4_jread_t *r);
static d4_jread_kind_t d4_jread_literal(d4_jread_t *r, const char *word,
    d4_jread_kind_t kind);
static const char *d4_jread_unescape(const char *p, const char *end,
    uint32_t *c);
static size_t d4_jread_encode(char *out, uint32_t c);


void
d4_jread_init(d4_jread_t *r, const void *text, size_t len)
{
    memset(r, 0, sizeof(d4_jread_t));

    r->p = text;
    r->end = (len != 0) ? r->p + len : r->p;
    r->expect = D4_JREAD_VALUE;
}


d4_jread_kind_t
d4_jread_next(d4_jread_t *r)
{
    int   c;
    char  close;

    if (r->expect == D4_JREAD_STUCK) {
        return D4_JREAD_BAD;
    }

    d4_jread_space(r);

    c = d4_jread_peek(r);

    if (r->depth == 0 && r->expect == D4_JREAD_AFTER) {
        return c == -1 ? D4_JREAD_END
                       : d4_jread_bad(r, "something follows the value");
    }

    if (c == -1) {
        return d4_jread_bad(r, "ends too early");
    }

    close = '\0';

    if (r->depth != 0) {
        close = (r->objects >> (r->depth - 1) & 1) ? '}' : ']';
    }

    if (r->expect == D4_JREAD_AFTER && c != close) {

        if (c != ',') {
            return d4_jread_bad(r, "a comma or the end of the object or "
                                "array is expected");
        }

        r->p++;
        r->expect = (close == '}') ? D4_JREAD_MEMBER : D4_JREAD_VALUE;

        d4_jread_space(r);

        c = d4_jread_peek(r);
    }

    switch (r->expect) {

    case D4_JREAD_FIRST_VALUE:
    case D4_JREAD_FIRST_MEMBER:
    case D4_JREAD_AFTER:

        if (c == close) {
            return d4_jread_close(r);
        }

        if (r->expect == D4_JREAD_FIRST_VALUE) {
            return d4_jread_value(r);
        }

        /* fall through */

    case D4_JREAD_MEMBER:

        if (c != '"') {
            return d4_jread_bad(r, "a name in quotes is expected");
        }

        return d4_jread_quoted(r, D4_JREAD_NAME);

    case D4_JREAD_COLON:

        if (c != ':') {
            return d4_jread_bad(r, "a colon is expected");
        }

        r->p++;
        d4_jread_space(r);

        /* fall through */

    default: /* D4_JREAD_VALUE */
        return d4_jread_value(r);
    }
}


int
d4_jread_skip(d4_jread_t *r, d4_jread_kind_t kind)
{
    unsigned  depth;

    if (kind != D4_JREAD_OBJECT && kind != D4_JREAD_ARRAY) {
        return 0;
    }

    depth = r->depth;

    while (r->depth >= depth) {
        if (d4_jread_next(r) == D4_JREAD_BAD) {
            return -1;
        }
    }

    return 0;
}


static d4_jread_kind_t
d4_jread_bad(d4_jread_t *r, const char *error)
{
    r->error = error;
    r->expect = D4_JREAD_STUCK;
    r->text = NULL;
    r->len = 0;

    return D4_JREAD_BAD;
}


static void
d4_jread_space(d4_jread_t *r)
{
    while (r->p != r->end
           && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n'
               || *r->p == '\r'))
    {
        r->p++;
    }
}


static int
d4_jread_peek(const d4_jread_t *r)
{
    return (r->p != r->end) ? (uint8_t) *r->p : -1;
}


static d4_jread_kind_t
d4_jread_value(d4_jread_t *r)
{
    switch (d4_jread_peek(r)) {

    case '{':
        return d4_jread_open(r, D4_JREAD_OBJECT);

    case '[':
        return d4_jread_open(r, D4_JREAD_ARRAY);

    case '"':
        return d4_jread_quoted(r, D4_JREAD_STRING);

    case 't':
        return d4_jread_literal(r, "true", D4_JREAD_TRUE);

    case 'f':
        return d4_jread_literal(r, "false", D4_JREAD_FALSE);

    case 'n':
        return d4_jread_literal(r, "null", D4_JREAD_NULL);

    case -1:
        return d4_jread_bad(r, "ends too early");

    default:
        return d4_jread_number(r);
    }
}


static d4_jread_kind_t
d4_jread_open(d4_jread_t *r, d4_jread_kind_t kind)
{
    uint64_t  bit;

    if (r->depth == D4_JREAD_DEPTH) {
        return d4_jread_bad(r, "is nested too deeply");
    }

    bit = (uint64_t) 1 << r->depth++;

    if (kind == D4_JREAD_OBJECT) {
        r->objects |= bit;
        r->expect = D4_JREAD_FIRST_MEMBER;

    } else {
        r->objects &= ~bit;
        r->expect = D4_JREAD_FIRST_VALUE;
    }

    r->p++;

    return kind;
}


static d4_jread_kind_t
d4_jread_close(d4_jread_t *r)
{
    r->p++;
    r->depth--;
    r->expect = D4_JREAD_AFTER;

    return D4_JREAD_CLOSE;
}


static d4_jread_kind_t
d4_jread_quoted(d4_jread_t *r, d4_jread_kind_t kind)
{
    int  c;

    r->escaped = 0;
    r->text = ++r->p;

    for ( ;; ) {
        c = d4_jread_peek(r);

        if (c == -1) {
            return d4_jread_bad(r, "ends within a string");
        }

        if (c == '"') {
            break;
        }

        if (c < 0x20) {
            return d4_jread_bad(r, "a control character in a string");
        }

        if (c == '\\') {
            r->escaped = 1;

            if (d4_jread_escape(r) != 0) {
                return d4_jread_bad(r, "an escape that is none");
            }

        } else if (c < 0x80) {
            r->p++;

        } else if (d4_jread_utf8(r) != 0) {
            return d4_jread_bad(r, "not UTF-8");
        }
    }

    r->len = r->p++ - r->text;
    r->expect = (kind == D4_JREAD_NAME) ? D4_JREAD_COLON : D4_JREAD_AFTER;

    return kind;
}


static int
d4_jread_escape(d4_jread_t *r)
{
    uint32_t     c;
    const char  *p;

    p = d4_jread_unescape(r->p, r->end, &c);
    if (p == NULL) {
        return -1;
    }

    r->p = p;

    return 0;
}


/*
 * The escape at p, a backslash: the character goes to c.  Returns what follows
 * it, or NULL if it is none.
 */

static const char *
d4_jread_unescape(const char *p, const char *end, uint32_t *c)
{
    uint32_t     low;
    const char  *at;

    static const char  letters[] = "\"\\/bfnrt";
    static const char  meaning[] = "\"\\/\b\f\n\r\t";

    if (end - p < 2) {
        return NULL;
    }

    if (p[1] != 'u') {
        at = (p[1] != '\0') ? strchr(letters, p[1]) : NULL;
        if (at == NULL) {
            return NULL;
        }

        *c = (uint32_t) meaning[at - letters];

        return p + 2;
    }

    if (d4_jread_hex(p + 2, end, c) != 0) {
        return NULL;
    }

    p += 6;

    if (*c < 0xd800 || *c > 0xdfff) {
        return p;
    }

    if (*c > 0xdbff
        || end - p < 2 || p[0] != '\\' || p[1] != 'u'
        || d4_jread_hex(p + 2, end, &low) != 0
        || low < 0xdc00 || low > 0xdfff)
    {
        return NULL;
    }

    *c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);

    return p + 6;
}


static int
d4_jread_hex(const char *p, const char *end, uint32_t *value)
{
    int  i, digit;

    if (end - p < 4) {
        return -1;
    }

    *value = 0;

    for (i = 0; i < 4; i++) {

        if (p[i] >= '0' && p[i] <= '9') {
            digit = p[i] - '0';

        } else if (p[i] >= 'a' && p[i] <= 'f') {
            digit = p[i] - 'a' + 10;

        } else if (p[i] >= 'A' && p[i] <= 'F') {
            digit = p[i] - 'A' + 10;

        } else {
            return -1;
        }

        *value = *value << 4 | (uint32_t) digit;
    }

    return 0;
}


static int
d4_jread_utf8(d4_jread_t *r)
{
    int             i, n;
    uint32_t        c;
    const uint8_t  *p;

    static const uint32_t  least[] = { 0, 0, 0x80, 0x800, 0x10000 };

    p = (const uint8_t *) r->p;

    if (p[0] >= 0xc0 && p[0] < 0xe0) {
        n = 2;
        c = p[0] & 0x1f;

    } else if (p[0] >= 0xe0 && p[0] < 0xf0) {
        n = 3;
        c = p[0] & 0x0f;

    } else if (p[0] >= 0xf0 && p[0] < 0xf8) {
        n = 4;
        c = p[0] & 0x07;

    } else {
        return -1;
    }

    if (r->end - r->p < n) {
        return -1;
    }

    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return -1;
        }

        c = c << 6 | (p[i] & 0x3f);
    }

    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return -1;
    }

    r->p += n;

    return 0;
}


static d4_jread_kind_t
d4_jread_number(d4_jread_t *r)
{
    int  c;

    r->text = r->p;
    r->escaped = 0;

    if (d4_jread_peek(r) == '-') {
        r->p++;
    }

    if (d4_jread_peek(r) == '0') {
        r->p++;

    } else if (!d4_jread_digits(r)) {
        return d4_jread_bad(r, "a value is expected");
    }

    if (d4_jread_peek(r) == '.') {
        r->p++;

        if (!d4_jread_digits(r)) {
            return d4_jread_bad(r, "a digit is expected");
        }
    }

    c = d4_jread_peek(r);

    if (c == 'e' || c == 'E') {
        r->p++;
        c = d4_jread_peek(r);

        if (c == '+' || c == '-') {
            r->p++;
        }

        if (!d4_jread_digits(r)) {
            return d4_jread_bad(r, "a digit is expected");
        }
    }

    r->len = r->p - r->text;
    r->expect = D4_JREAD_AFTER;

    return D4_JREAD_NUMBER;
}


/* 1 when there was at least one. */

static int
d4_jread_digits(d4_jread_t *r)
{
    const char  *p;

    p = r->p;

    while (r->p != r->end && *r->p >= '0' && *r->p <= '9') {
        r->p++;
    }

    return r->p != p;
}


static d4_jread_kind_t
d4_jread_literal(d4_jread_t *r, const char *word, d4_jread_kind_t kind)
{
    size_t  n;

    n = strlen(word);

    if ((size_t) (r->end - r->p) < n || memcmp(r->p, word, n) != 0) {
        return d4_jread_bad(r, "a value is expected");
    }

    r->text = r->p;
    r->len = n;
    r->escaped = 0;

    r->p += n;
    r->expect = D4_JREAD_AFTER;

    return kind;
}


int
d4_jread_is(const d4_jread_t *r, const char *word)
{
    uint32_t     c;
    const char  *p, *end;

    p = r->text;
    end = p + r->len;

    while (p != end) {

        if (*p == '\\') {
            p = d4_jread_unescape(p, end, &c);

            if (c == 0) {
                return 0;
            }

        } else {
            c = (uint8_t) *p++;
        }

        if (c != (uint8_t) *word++) {
            return 0;
        }
    }

    return *word == '\0';
}


size_t
d4_jread_string(const d4_jread_t *r, char *out)
{
    char        *to;
    uint32_t     c;
    const char  *p, *end;

    if (!r->escaped) {
        memcpy(out, r->text, r->len);
        return r->len;
    }

    p = r->text;
    end = p + r->len;
    to = out;

    while (p != end) {

        if (*p != '\\') {
            *to++ = *p++;
            continue;
        }

        p = d4_jread_unescape(p, end, &c);
        to += d4_jread_encode(to, c);
    }

    return to - out;
}


/* UTF-8, never longer than the escape was. */

static size_t
d4_jread_encode(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char) c;
        return 1;
    }

    if (c < 0x800) {
        out[0] = (char) (0xc0 | c >> 6);
        out[1] = (char) (0x80 | (c & 0x3f));
        return 2;
    }

    if (c < 0x10000) {
        out[0] = (char) (0xe0 | c >> 12);
        out[1] = (char) (0x80 | (c >> 6 & 0x3f));
        out[2] = (char) (0x80 | (c & 0x3f));
        return 3;
    }

    out[0] = (char) (0xf0 | c >> 18);
    out[1] = (char) (0x80 | (c >> 12 & 0x3f));
    out[2] = (char) (0x80 | (c >> 6 & 0x3f));
    out[3] = (char) (0x80 | (c & 0x3f));

    return 4;
}

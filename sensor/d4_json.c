
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdint.h>
#include <string.h>

#include "d4_json.h"


typedef struct {
    const char  *start;
    const char  *p;
    const char  *end;
    char        *out;              /* never ahead of p */
    d4_json_t   *json;
    size_t       depth;
    char         stack[D4_JSON_DEPTH];
} d4_json_ctx_t;


typedef enum {
    D4_JSON_VALUE = 0,
    D4_JSON_FIRST_VALUE,           /* or the end of the array */
    D4_JSON_FIRST_NAME,            /* or the end of the object */
    D4_JSON_NAME,
    D4_JSON_AFTER,                 /* comma, or the end of what is open */
    D4_JSON_DONE,
    D4_JSON_BAD
} d4_json_state_t;


static d4_json_state_t d4_json_value(d4_json_ctx_t *x);
static d4_json_state_t d4_json_name(d4_json_ctx_t *x, int *type);
static d4_json_state_t d4_json_open(d4_json_ctx_t *x, char c);
static d4_json_state_t d4_json_after(d4_json_ctx_t *x);
static int d4_json_string(d4_json_ctx_t *x);
static int d4_json_escape(d4_json_ctx_t *x);
static int d4_json_hex(d4_json_ctx_t *x, uint32_t *value);
static int d4_json_utf8(d4_json_ctx_t *x);
static int d4_json_number(d4_json_ctx_t *x);
static int d4_json_literal(d4_json_ctx_t *x, const char *word);
static size_t d4_json_digits(d4_json_ctx_t *x);
static void d4_json_space(d4_json_ctx_t *x);
static int d4_json_peek(const d4_json_ctx_t *x);
static void d4_json_copy(d4_json_ctx_t *x, size_t n);
static d4_json_state_t d4_json_bad(d4_json_ctx_t *x, const char *error);


size_t
d4_json_minify(char *text, size_t len, d4_json_t *j)
{
    int               type, is_string;
    char             *value;
    d4_json_ctx_t     x;
    d4_json_state_t   state;

    memset(j, 0, sizeof(d4_json_t));
    memset(&x, 0, sizeof(d4_json_ctx_t));

    x.start = text;
    x.p = text;
    x.end = text + len;
    x.out = text;
    x.json = j;

    state = D4_JSON_VALUE;
    type = 0;

    while (state != D4_JSON_DONE && state != D4_JSON_BAD) {

        d4_json_space(&x);

        switch (state) {

        case D4_JSON_FIRST_NAME:
        case D4_JSON_FIRST_VALUE:
            if (d4_json_peek(&x) == (state == D4_JSON_FIRST_NAME ? '}' : ']'))
            {
                state = d4_json_after(&x);
                break;
            }

            if (state == D4_JSON_FIRST_VALUE) {
                state = D4_JSON_VALUE;
                break;
            }

            /* fall through */

        case D4_JSON_NAME:
            state = d4_json_name(&x, &type);
            break;

        case D4_JSON_VALUE:
            value = x.out;
            is_string = (d4_json_peek(&x) == '"');

            if (x.depth == 0) {
                j->object = (d4_json_peek(&x) == '{');
            }

            state = d4_json_value(&x);

            if (type && is_string && state == D4_JSON_AFTER) {
                j->type = value + 1;
                j->type_len = x.out - value - 2;
            }

            type = 0;
            break;

        default: /* D4_JSON_AFTER */
            state = d4_json_after(&x);
        }
    }

    if (state == D4_JSON_BAD) {
        return 0;
    }

    return x.out - text;
}


static d4_json_state_t
d4_json_value(d4_json_ctx_t *x)
{
    int  c, rc;

    c = d4_json_peek(x);

    switch (c) {

    case '{':
    case '[':
        return d4_json_open(x, c);

    case '"':
        rc = d4_json_string(x);
        break;

    case 't':
        rc = d4_json_literal(x, "true");
        break;

    case 'f':
        rc = d4_json_literal(x, "false");
        break;

    case 'n':
        rc = d4_json_literal(x, "null");
        break;

    case -1:
        return d4_json_bad(x, "ends too early");

    default:
        rc = d4_json_number(x);
    }

    return rc == 0 ? D4_JSON_AFTER : D4_JSON_BAD;
}


/* A member's name and its colon; *type: it is the outermost "type". */

static d4_json_state_t
d4_json_name(d4_json_ctx_t *x, int *type)
{
    char  *name;

    if (d4_json_peek(x) != '"') {
        return d4_json_bad(x, "a name in quotes is expected");
    }

    name = x->out;

    if (d4_json_string(x) != 0) {
        return D4_JSON_BAD;
    }

    *type = (x->depth == 1 && x->out - name == 6
             && memcmp(name, "\"type\"", 6) == 0);

    if (*type && x->json->type != NULL) {
        return d4_json_bad(x, "\"type\" is there twice");
    }

    d4_json_space(x);

    if (d4_json_peek(x) != ':') {
        return d4_json_bad(x, "a colon is expected");
    }

    d4_json_copy(x, 1);

    return D4_JSON_VALUE;
}


static d4_json_state_t
d4_json_open(d4_json_ctx_t *x, char c)
{
    if (x->depth == D4_JSON_DEPTH) {
        return d4_json_bad(x, "is nested too deeply");
    }

    x->stack[x->depth++] = (c == '{') ? '}' : ']';
    d4_json_copy(x, 1);

    return c == '{' ? D4_JSON_FIRST_NAME : D4_JSON_FIRST_VALUE;
}


static d4_json_state_t
d4_json_after(d4_json_ctx_t *x)
{
    int   c;
    char  close;

    c = d4_json_peek(x);

    if (x->depth == 0) {
        return c == -1 ? D4_JSON_DONE
                       : d4_json_bad(x, "something follows the value");
    }

    close = x->stack[x->depth - 1];

    if (c == close) {
        x->depth--;
        d4_json_copy(x, 1);
        return D4_JSON_AFTER;
    }

    if (c == ',') {
        d4_json_copy(x, 1);
        return close == '}' ? D4_JSON_NAME : D4_JSON_VALUE;
    }

    if (c == -1) {
        return d4_json_bad(x, "ends too early");
    }

    return d4_json_bad(x, "a comma or the end of the object or array "
                       "is expected");
}


static int
d4_json_string(d4_json_ctx_t *x)
{
    int  c;

    d4_json_copy(x, 1);

    for ( ;; ) {
        c = d4_json_peek(x);

        if (c == -1) {
            d4_json_bad(x, "ends within a string");
            return -1;
        }

        if (c == '"') {
            d4_json_copy(x, 1);
            return 0;
        }

        if (c < 0x20) {
            d4_json_bad(x, "a control character in a string");
            return -1;
        }

        if (c == '\\') {
            if (d4_json_escape(x) != 0) {
                return -1;
            }

        } else if (c < 0x80) {
            d4_json_copy(x, 1);

        } else if (d4_json_utf8(x) != 0) {
            return -1;
        }
    }
}


static int
d4_json_escape(d4_json_ctx_t *x)
{
    int       c;
    uint32_t  high, low;

    d4_json_copy(x, 1);
    c = d4_json_peek(x);

    if (c != 'u') {
        if (c <= 0 || strchr("\"\\/bfnrt", c) == NULL) {
            d4_json_bad(x, "an unknown escape");
            return -1;
        }

        d4_json_copy(x, 1);
        return 0;
    }

    if (d4_json_hex(x, &high) != 0) {
        return -1;
    }

    if (high < 0xd800 || high > 0xdfff) {
        return 0;
    }

    if (high < 0xdc00 && d4_json_peek(x) == '\\') {
        d4_json_copy(x, 1);

        if (d4_json_peek(x) == 'u') {
            if (d4_json_hex(x, &low) != 0) {
                return -1;
            }

            if (low >= 0xdc00 && low <= 0xdfff) {
                return 0;
            }
        }
    }

    d4_json_bad(x, "half of a surrogate pair");

    return -1;
}


/* The "u" and four hex digits. */

static int
d4_json_hex(d4_json_ctx_t *x, uint32_t *value)
{
    int  c, i;

    d4_json_copy(x, 1);
    *value = 0;

    for (i = 0; i < 4; i++) {
        c = d4_json_peek(x);

        if (c >= '0' && c <= '9') {
            c -= '0';

        } else if (c >= 'a' && c <= 'f') {
            c -= 'a' - 10;

        } else if (c >= 'A' && c <= 'F') {
            c -= 'A' - 10;

        } else {
            d4_json_bad(x, "four hex digits are expected");
            return -1;
        }

        *value = *value << 4 | (uint32_t) c;
        d4_json_copy(x, 1);
    }

    return 0;
}


static int
d4_json_utf8(d4_json_ctx_t *x)
{
    int             i, n;
    uint32_t        c;
    const uint8_t  *p;

    static const uint32_t  least[] = { 0, 0, 0x80, 0x800, 0x10000 };

    p = (const uint8_t *) x->p;

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
        goto bad;
    }

    if (x->end - x->p < n) {
        goto bad;
    }

    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            goto bad;
        }

        c = c << 6 | (p[i] & 0x3f);
    }

    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        goto bad;
    }

    d4_json_copy(x, n);

    return 0;

bad:

    d4_json_bad(x, "not UTF-8");

    return -1;
}


static int
d4_json_number(d4_json_ctx_t *x)
{
    int  c;

    if (d4_json_peek(x) == '-') {
        d4_json_copy(x, 1);
    }

    c = d4_json_peek(x);

    if (c == '0') {
        d4_json_copy(x, 1);

    } else if (d4_json_digits(x) == 0) {
        d4_json_bad(x, "a value is expected");
        return -1;
    }

    if (d4_json_peek(x) == '.') {
        d4_json_copy(x, 1);

        if (d4_json_digits(x) == 0) {
            d4_json_bad(x, "a digit is expected");
            return -1;
        }
    }

    c = d4_json_peek(x);

    if (c == 'e' || c == 'E') {
        d4_json_copy(x, 1);

        c = d4_json_peek(x);
        if (c == '+' || c == '-') {
            d4_json_copy(x, 1);
        }

        if (d4_json_digits(x) == 0) {
            d4_json_bad(x, "a digit is expected");
            return -1;
        }
    }

    return 0;
}


static int
d4_json_literal(d4_json_ctx_t *x, const char *word)
{
    size_t  n;

    n = strlen(word);

    if ((size_t) (x->end - x->p) < n || memcmp(x->p, word, n) != 0) {
        d4_json_bad(x, "a value is expected");
        return -1;
    }

    d4_json_copy(x, n);

    return 0;
}


static size_t
d4_json_digits(d4_json_ctx_t *x)
{
    int     c;
    size_t  n;

    for (n = 0; ; n++) {
        c = d4_json_peek(x);
        if (c < '0' || c > '9') {
            return n;
        }

        d4_json_copy(x, 1);
    }
}


static void
d4_json_space(d4_json_ctx_t *x)
{
    while (x->p < x->end
           && (*x->p == ' ' || *x->p == '\t' || *x->p == '\n'
               || *x->p == '\r'))
    {
        x->p++;
    }
}


/* The next byte, 0 to 255, or -1 at the end. */

static int
d4_json_peek(const d4_json_ctx_t *x)
{
    return x->p < x->end ? (unsigned char) *x->p : -1;
}


static void
d4_json_copy(d4_json_ctx_t *x, size_t n)
{
    memmove(x->out, x->p, n);

    x->out += n;
    x->p += n;
}


static d4_json_state_t
d4_json_bad(d4_json_ctx_t *x, const char *error)
{
    x->json->error = error;
    x->json->at = x->p - x->start;

    return D4_JSON_BAD;
}

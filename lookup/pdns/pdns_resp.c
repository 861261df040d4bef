
#include "pdns_resp.h"

#include <string.h>


static void
pdns_resp_put(pdns_resp_t *w, const void *p, size_t len)
{
    if (d4_blocks_write(w->out, p, len) != 0) {
        w->failed = 1;
    }
}


/* mark, number, CRLF */

static size_t
pdns_resp_length(char *out, char mark, uint64_t n)
{
    int    i;
    char  *p, digits[20];

    i = 0;
    p = out;
    *p++ = mark;

    do {
        digits[i++] = (char) ('0' + n % 10);
        n /= 10;
    } while (n != 0);

    while (i > 0) {
        *p++ = digits[--i];
    }

    *p++ = '\r';
    *p++ = '\n';

    return (size_t) (p - out);
}


void
pdns_resp_init(pdns_resp_t *w, d4_blocks_t *out)
{
    w->out = out;
    w->commands = 0;
    w->failed = 0;
}


void
pdns_resp_command(pdns_resp_t *w, size_t argc, const char *name)
{
    char  head[24];

    pdns_resp_put(w, head, pdns_resp_length(head, '*', argc));
    pdns_resp_text(w, name);
    w->commands++;
}


void
pdns_resp_word(pdns_resp_t *w, const void *p, size_t len)
{
    char    buf[160];
    size_t  n;

    n = pdns_resp_length(buf, '$', len);

    if (len <= sizeof(buf) - 26) {

        /* most words are short: one write */

        if (len > 0) {
            memcpy(buf + n, p, len);
        }

        memcpy(buf + n + len, "\r\n", 2);
        pdns_resp_put(w, buf, n + len + 2);
        return;
    }

    pdns_resp_put(w, buf, n);
    pdns_resp_put(w, p, len);
    pdns_resp_put(w, "\r\n", 2);
}


void
pdns_resp_text(pdns_resp_t *w, const char *text)
{
    pdns_resp_word(w, text, strlen(text));
}


void
pdns_resp_number(pdns_resp_t *w, int64_t n)
{
    int       i;
    char      digits[24];
    uint64_t  u;

    u = (n < 0) ? (uint64_t) 0 - (uint64_t) n : (uint64_t) n;
    i = sizeof(digits);

    do {
        digits[--i] = (char) ('0' + u % 10);
        u /= 10;
    } while (u != 0);

    if (n < 0) {
        digits[--i] = '-';
    }

    pdns_resp_word(w, digits + i, sizeof(digits) - (size_t) i);
}


void
pdns_resp_prefixed(pdns_resp_t *w, char prefix, const void *p, size_t len)
{
    char    buf[160];
    size_t  n;

    n = pdns_resp_length(buf, '$', len + 1);
    buf[n++] = prefix;

    if (len <= sizeof(buf) - 28) {
        memcpy(buf + n, p, len);
        memcpy(buf + n + len, "\r\n", 2);
        pdns_resp_put(w, buf, n + len + 2);
        return;
    }

    pdns_resp_put(w, buf, n);
    pdns_resp_put(w, p, len);
    pdns_resp_put(w, "\r\n", 2);
}


typedef struct {                       /* a place in what was written */
    const d4_block_t  *block;
    size_t             at;
} pdns_place_t;


/* len bytes, the first size of them to out.  Returns 0, or -1 at the end. */

static int
pdns_resp_get(pdns_place_t *place, char *out, size_t size, size_t len)
{
    size_t  n, copy;

    while (len > 0) {

        if (place->block == NULL) {
            return -1;
        }

        n = place->block->used - place->at;

        if (n == 0) {
            place->block = place->block->next;
            place->at = 0;
            continue;
        }

        n = (n < len) ? n : len;
        copy = (n < size) ? n : size;

        if (copy > 0) {
            memcpy(out, place->block->data + place->at, copy);
            out += copy;
            size -= copy;
        }

        place->at += n;
        len -= n;
    }

    return 0;
}


/* What pdns_resp_length() has written. */

static int
pdns_resp_get_length(pdns_place_t *place, char mark, size_t *n)
{
    char  c;

    if (pdns_resp_get(place, &c, 1, 1) != 0 || c != mark) {
        return -1;
    }

    *n = 0;

    while (pdns_resp_get(place, &c, 1, 1) == 0) {

        if (c == '\r') {
            return pdns_resp_get(place, NULL, 0, 1);
        }

        *n = *n * 10 + (size_t) (c - '0');
    }

    return -1;
}


size_t
pdns_resp_key(const d4_blocks_t *in, size_t i, char *out, size_t size)
{
    size_t        argc, k, len;
    pdns_place_t  place;

    place.block = in->first;
    place.at = 0;

    for ( /* void */ ; pdns_resp_get_length(&place, '*', &argc) == 0; i--) {

        for (k = 0; k < argc; k++) {

            if (pdns_resp_get_length(&place, '$', &len) != 0) {
                return 0;
            }

            if (i == 0 && k == 1) {
                len = (len < size) ? len : size;
                return (pdns_resp_get(&place, out, len, len) == 0) ? len : 0;
            }

            if (pdns_resp_get(&place, NULL, 0, len + 2) != 0) {
                return 0;
            }
        }

        if (i == 0) {
            break;
        }
    }

    return 0;
}

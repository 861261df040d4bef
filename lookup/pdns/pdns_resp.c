
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

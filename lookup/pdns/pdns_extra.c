
#include "pdns_extra.h"

#include <string.h>


size_t
pdns_extra_member(uint8_t *out, char kind, const uint8_t *m, size_t len,
    const pdns_str_t *text)
{
    out[0] = (uint8_t) kind;
    out[1] = (uint8_t) len;
    memcpy(out + 2, m, len);

    if (text == NULL) {
        return 2 + len;
    }

    memcpy(out + 2 + len, text->data, text->len);

    return 2 + len + text->len;
}


int
pdns_extra_parse(const uint8_t *p, size_t len, char *kind, const uint8_t **m,
    size_t *mlen, pdns_str_t *text)
{
    if (len < 2 || (size_t) p[1] > len - 2) {
        return -1;
    }

    *kind = (char) p[0];
    *m = p + 2;
    *mlen = p[1];
    text->data = (const char *) p + 2 + p[1];
    text->len = len - 2 - p[1];

    return 0;
}

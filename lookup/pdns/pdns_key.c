
#include "pdns_key.h"

#include <string.h>


static void
pdns_key_put(pdns_key_t *key, const void *p, size_t len)
{
    memcpy(key->data + key->len, p, len);
    key->len += len;
}


static void
pdns_key_hex(pdns_key_t *key, const uint8_t *p, size_t len)
{
    size_t  i;

    static const char  digits[] = "0123456789abcdef";

    for (i = 0; i < len; i++) {
        key->data[key->len++] = (uint8_t) digits[p[i] >> 4];
        key->data[key->len++] = (uint8_t) digits[p[i] & 15];
    }
}


static void
pdns_key_start(pdns_key_t *key, char kind, const char *text)
{
    key->data[0] = (uint8_t) kind;
    key->len = 1;

    pdns_key_put(key, text, strlen(text));
}


void
pdns_key_name(pdns_key_t *key, char kind, const pdns_name_t *name)
{
    char      text[PDNS_NAME_TEXT];
    size_t    n;
    unsigned  tag;

    tag = pdns_name_tag(name);

    pdns_key_start(key, kind, ":{");

    n = pdns_name_key(text, name, 0, tag);
    pdns_key_put(key, text, n);
    pdns_key_put(key, "}", 1);

    if (tag < name->labels) {
        n = pdns_name_key(text, name, tag, name->labels);
        pdns_key_put(key, text, n);
    }
}


int
pdns_key_owner(pdns_name_t *name, const uint8_t *key, size_t len)
{
    char            text[PDNS_KEY];
    size_t          n;
    const uint8_t  *brace;

    if (len < 5 || len > PDNS_KEY || key[1] != ':' || key[2] != '{') {
        return -1;
    }

    brace = memchr(key + 3, '}', len - 3);

    if (brace == NULL) {
        return -1;
    }

    n = (size_t) (brace - (key + 3));
    memcpy(text, key + 3, n);

    len -= n + 4;

    if (len > 0) {
        text[n++] = '.';
        memcpy(text + n, brace + 1, len);
    }

    return pdns_name_unkey(name, text, n + len);
}


void
pdns_key_addr(pdns_key_t *key, const uint8_t *addr, size_t len)
{
    size_t  n;

    n = (len == 4) ? 2 : 6;

    pdns_key_start(key, 'R', ":{");
    pdns_key_hex(key, addr, n);
    pdns_key_put(key, "}", 1);
    pdns_key_put(key, addr + n, len - n);
}


void
pdns_key_target(pdns_key_t *key, const pdns_name_t *name)
{
    pdns_key_name(key, 'R', name);
}


void
pdns_key_digest(pdns_key_t *key, char kind, const uint8_t digest[PDNS_DIGEST])
{
    pdns_key_start(key, kind, ":{#");
    pdns_key_hex(key, digest, 2);
    pdns_key_put(key, "}", 1);
    pdns_key_put(key, digest, PDNS_DIGEST);
}


void
pdns_key_rdata(pdns_key_t *key, const pdns_rdata_t *r)
{
    uint8_t  digest[PDNS_DIGEST];

    if (r->alen != 0) {
        pdns_key_addr(key, r->addr, r->alen);

    } else if (r->named) {
        pdns_key_target(key, &r->name);

    } else {
        pdns_digest(digest, r->text, r->len);
        pdns_key_digest(key, 'R', digest);
    }
}


size_t
pdns_key_rmember(uint8_t *out, const pdns_name_t *name, const pdns_rdata_t *r)
{
    size_t   n;
    uint8_t  m[PDNS_MEMBER];

    n = pdns_member(m, r);

    return pdns_key_rmember_of(out, name, m, n, !r->named || r->whole);
}


size_t
pdns_key_rmember_of(uint8_t *out, const pdns_name_t *name, const uint8_t *m,
    size_t len, int whole)
{
    char      text[PDNS_NAME_TEXT];
    size_t    n;
    uint8_t  *p;

    p = out;

    if (m[0] != 0xff) {
        *p++ = m[0];

    } else {
        memcpy(p, m, 3);
        p += 3;
    }

    n = pdns_name_text(text, name);
    memcpy(p, text, n);
    p += n;

    if (!whole) {
        *p++ = 0;
        memcpy(p, m, len);
        p += len;
    }

    return (size_t) (p - out);
}


void
pdns_key_below(pdns_key_t *key, const pdns_name_t *name, unsigned tag)
{
    char  text[PDNS_NAME_TEXT];

    pdns_key_start(key, 'W', ":{");
    pdns_key_put(key, text, pdns_name_key(text, name, 0, tag));
    pdns_key_put(key, "}", 1);
}


void
pdns_key_tops(pdns_key_t *key, const char *top, size_t len)
{
    pdns_key_start(key, 'T', ":");
    pdns_key_put(key, top, len);
}


void
pdns_key_tags(pdns_key_t *key, const char *top, size_t len, const char *rest,
    size_t rest_len)
{
    pdns_key_start(key, 'U', ":");
    pdns_key_put(key, top, len);
    pdns_key_put(key, ":", 1);
    pdns_key_put(key, rest, (rest_len < 2) ? rest_len : 2);
}


void
pdns_key_prefix(pdns_key_t *key, const char *text, size_t len)
{
    size_t  n;

    if (len > 4 && memcmp(text, "www.", 4) == 0) {
        text += 4;
        len -= 4;
    }

    for (n = 0; n < len && n < PDNS_BUCKET_P && text[n] != '.'; n++) {
        /* void */
    }

    pdns_key_start(key, 'P', ":");
    pdns_key_put(key, text, n);
}


size_t
pdns_bucket_size(size_t alen)
{
    return (alen == 4) ? PDNS_BUCKET_4 : PDNS_BUCKET_6;
}


void
pdns_key_buckets(pdns_key_t *key, size_t alen)
{
    pdns_key_start(key, (alen == 4) ? '4' : '6', ":");
}


void
pdns_key_bucket(pdns_key_t *key, const uint8_t *addr, size_t alen)
{
    pdns_key_buckets(key, alen);
    pdns_key_put(key, addr, pdns_bucket_size(alen));
}

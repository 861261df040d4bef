
#include "d4_handler.h"
#include "d4_decoder.h"

#include <string.h>

#include <openssl/evp.h>


static int d4_handler_digest(char *hex, const EVP_MD *md, const void *p,
    size_t len);


/* the first one is the default; the last three write files */

static const d4_handler_t  d4_handlers[] = {
    { "", D4_RECORD_LINE, 1, 1, 0, NULL },
    { "d4-telemetry", D4_RECORD_LINE, 1, 1, 0, NULL },
    { "fascia", D4_RECORD_LINE, 1, 1, 0, NULL },
    { "maltrail", D4_RECORD_LINE, 0, 1, 0, NULL },
    { "ja3-jl", D4_RECORD_FILE, 0, 0, 1, d4_handler_ja3 },
    { "filewatcher", D4_RECORD_FILE, 0, 0, 1, d4_handler_watched },
    { "filewatcherjson", D4_RECORD_FILE, 0, 0, 1, d4_handler_watched_json }
};


const d4_handler_t *
d4_handler_find(const char *type)
{
    size_t  i;

    for (i = 1; i < sizeof(d4_handlers) / sizeof(d4_handlers[0]); i++) {
        if (strcmp(d4_handlers[i].name, type) == 0) {
            return &d4_handlers[i];
        }
    }

    return &d4_handlers[0];
}


d4_handler_status_t
d4_handler_line(const d4_handler_t *h, const d4_handler_meta_t *meta,
    const void *line, size_t len, d4_handler_out_t *out)
{
    out->reason = NULL;
    out->skipped = 0;

    if (h->line == NULL || len == 0) {
        return D4_HANDLER_DONE;
    }

    return h->line(meta, line, len, out);
}


int
d4_handler_sha1(char hex[D4_HANDLER_SHA1 + 1], const void *p, size_t len)
{
    return d4_handler_digest(hex, EVP_sha1(), p, len);
}


int
d4_handler_sha256(char hex[D4_HANDLER_SHA256 + 1], const void *p, size_t len)
{
    return d4_handler_digest(hex, EVP_sha256(), p, len);
}


static int
d4_handler_digest(char *hex, const EVP_MD *md, const void *p, size_t len)
{
    unsigned       i, n;
    unsigned char  digest[EVP_MAX_MD_SIZE];

    static const char  digits[] = "0123456789abcdef";

    hex[0] = '\0';

    if (EVP_Digest(p, len, digest, &n, md, NULL) != 1) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }

    hex[2 * n] = '\0';

    return 0;
}

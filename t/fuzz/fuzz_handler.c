
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Handlers of extended types.  Whatever the line: paths stay where they belong
 * and are of harmless characters, the same line gives the same objects, files
 * are named by their digest.  What the JSON reader takes for valid and what it
 * finds is what jansson does, but for numbers that only the reader can hold.
 * The first byte chooses the handler and its options.
 */


#include "../unit/unit.h"
#include "../../ngx_d4_module/protocol/d4_handler.h"
#include "../../ngx_d4_module/protocol/d4_jread.h"

#include <jansson.h>
#include <openssl/evp.h>


#define UUID  "0123456789ab4def8123456789abcdef"


typedef struct {
    size_t    n;
    unsigned  elements;
    uint32_t  hash;
    size_t    stop_at;
} taken_t;


static struct tm  day = { .tm_year = 124, .tm_mon = 2, .tm_mday = 5 };


static void
require(int truth)
{
    if (!truth) {
        abort();
    }
}


static uint32_t
hashed(uint32_t hash, const void *p, size_t len)
{
    const uint8_t  *q;

    for (q = p; len != 0; len--) {
        hash = (hash ^ *q++) * 16777619;
    }

    return hash;
}


static void
check_path(const char *path)
{
    size_t       i, n;
    const char  *p;

    static const char *const  places[] = {
        "datas/ja3-jl/certs/", "datas/ja3-jl/jsons/",
        "datas/filewatcher/files/",
        UUID "/254/2024/03/05/filewatcher/files/",
        UUID "/254/2024/03/05/filewatcherjson/files/"
    };

    for (i = 0; ; i++) {
        require(i < sizeof(places) / sizeof(places[0]));

        n = strlen(places[i]);

        if (strncmp(path, places[i], n) == 0) {
            break;
        }
    }

    p = path + n;

    require(*p != '.' && strlen(p) >= 5 && strlen(p) < 120);

    for ( ; *p != '\0'; p++) {
        require((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z')
                || (*p >= 'A' && *p <= 'Z') || strchr(".:_+-", *p) != NULL);
    }
}


static int
take(void *data, const d4_handler_object_t *o)
{
    taken_t        *t = data;

    char            hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned        i, n;
    unsigned char   digest[EVP_MAX_MD_SIZE];

    check_path(o->path);
    check_path(o->other);
    require(strcmp(o->path, o->other) != 0);
    require(o->len != 0);

    if (strstr(o->path, "/jsons/") == NULL) {
        EVP_Digest(o->data, o->len, digest, &n,
                   strstr(o->path, "/certs/") ? EVP_sha1() : EVP_sha256(),
                   NULL);

        for (i = 0; i < n; i++) {
            snprintf(hex + 2 * i, 3, "%02x", digest[i]);
        }

        require(strstr(o->path, hex) != NULL && strstr(o->other, hex) != NULL);
    }

    t->n++;
    t->elements += o->element;
    t->hash = hashed(t->hash, o->path, strlen(o->path));
    t->hash = hashed(t->hash, o->other, strlen(o->other));
    t->hash = hashed(t->hash, o->data, o->len);

    require(!o->element || t->elements == 1);

    return t->n == t->stop_at;
}


static d4_handler_status_t
run(const char *type, const d4_handler_meta_t *meta, const uint8_t *p,
    size_t len, size_t stop_at, taken_t *t, d4_handler_out_t *out)
{
    uint8_t              *copy;
    d4_handler_status_t   status;

    memset(t, 0, sizeof(taken_t));
    t->stop_at = stop_at;

    out->object = take;
    out->data = t;

    copy = malloc(len + (len == 0));
    require(copy != NULL);
    memcpy(copy, p, len);

    status = d4_handler_line(d4_handler_find(type), meta, copy, len, out);

    free(copy);

    return status;
}


static int
ascii(const char *text)
{
    for ( ; *text != '\0'; text++) {
        if ((unsigned char) *text > 0x7f) {
            return 0;
        }
    }

    return 1;
}


/* Reads all; the number of strings and names, and a hash of their bytes. */

static d4_jread_kind_t
read_all(const uint8_t *p, size_t len, uint32_t *hash, size_t *n)
{
    char             *text;
    d4_jread_t        r;
    d4_jread_kind_t   kind;

    d4_jread_init(&r, p, len);
    *hash = 0;
    *n = 0;

    while ((kind = d4_jread_next(&r)) != D4_JREAD_END
           && kind != D4_JREAD_BAD)
    {
        if (kind != D4_JREAD_NAME && kind != D4_JREAD_STRING) {
            continue;
        }

        text = malloc(r.len + 1);
        require(text != NULL);

        len = d4_jread_string(&r, text);
        require(len <= r.len);
        text[len] = '\0';

        require(!ascii(text)
                || d4_jread_is(&r, text) == (strlen(text) == len));

        *hash += hashed(2166136261u, text, len);
        *n += 1;

        free(text);
    }

    return kind;
}


static void
walk(json_t *value, uint32_t *hash, size_t *n)
{
    void        *iter;
    size_t       i;
    const char  *name;

    if (json_is_string(value)) {
        *hash += hashed(2166136261u, json_string_value(value),
                        json_string_length(value));
        *n += 1;
    }

    for (i = 0; i < json_array_size(value); i++) {
        walk(json_array_get(value, i), hash, n);
    }

    for (iter = json_object_iter(value); iter != NULL;
         iter = json_object_iter_next(value, iter))
    {
        name = json_object_iter_key(iter);
        *hash += hashed(2166136261u, name, strlen(name));
        *n += 1;

        walk(json_object_iter_value(iter), hash, n);
    }
}


static void
compare(const uint8_t *p, size_t len)
{
    json_t           *root;
    size_t            n, want_n;
    uint32_t          hash, want;
    json_error_t      error;
    d4_jread_kind_t   kind;

    kind = read_all(p, len, &hash, &n);

    /* jansson takes a zero for the end of the text */

    if (memchr(p, 0, len) != NULL) {
        return;
    }

    root = json_loadb((const char *) p, len,
                      JSON_DECODE_ANY | JSON_ALLOW_NUL
                      | JSON_REJECT_DUPLICATES, &error);

    if (root == NULL) {
        require(kind == D4_JREAD_BAD
                || strstr(error.text, "integer") != NULL
                || strstr(error.text, "overflow") != NULL
                || strstr(error.text, "duplicate") != NULL
                || strstr(error.text, "NUL byte in object key") != NULL);
        return;
    }

    if (kind == D4_JREAD_BAD) {

        /* nested too deeply: the only thing that jansson lets pass */

        require(len > 2 * D4_JREAD_DEPTH);

    } else {
        want = 0;
        want_n = 0;
        walk(root, &want, &want_n);
        require(n == want_n && hash == want);
    }

    json_decref(root);
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    size_t                stop_at;
    taken_t               a, b;
    const char           *type;
    d4_handler_out_t      out;
    d4_handler_meta_t     meta;
    d4_handler_status_t   status, again;

    static const char *const  types[] = {
        "ja3-jl", "filewatcher", "filewatcherjson", "maltrail"
    };

    if (len == 0) {
        return 0;
    }

    memset(&meta, 0, sizeof(meta));

    type = types[p[0] & 3];
    meta.uuid = UUID;
    meta.tm = &day;
    meta.extension = (p[0] & 4) ? "log" : NULL;
    meta.compress = (p[0] & 8) != 0;
    meta.shared = (p[0] & 16) != 0;
    stop_at = p[0] >> 5;

    p++;
    len--;

    status = run(type, &meta, p, len, 0, &a, &out);

    require(status == D4_HANDLER_DONE || status == D4_HANDLER_REFUSED);
    require((status == D4_HANDLER_REFUSED || out.skipped != 0)
            == (out.reason != NULL));
    require(status == D4_HANDLER_DONE || a.n == 0);
    require(a.elements == (a.n != 0));

    again = run(type, &meta, p, len, 0, &b, &out);
    require(again == status && b.n == a.n && b.hash == a.hash);

    if (stop_at != 0) {
        again = run(type, &meta, p, len, stop_at, &b, &out);
        require(a.n < stop_at ? again == status
                              : again == D4_HANDLER_STOPPED
                                && b.n == stop_at);
    }

    compare(p, len);

    return 0;
}

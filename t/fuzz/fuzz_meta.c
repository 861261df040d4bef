
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Meta headers: any split gives the same answer, the parser agrees with it,
 * and what is stored says the same again.  The first two bytes choose the
 * limit and how the input is split.
 */


#include "../unit/unit.h"
#include "../../ngx_d4_module/protocol/d4_meta.h"

#include <jansson.h>


static void
require(int truth)
{
    if (!truth) {
        abort();
    }
}


/* In pieces of up to most bytes; 0: in one. */

static d4_meta_status_t
feed(d4_meta_t *m, const uint8_t *p, size_t len, uint32_t seed, size_t most)
{
    size_t             n;
    uint8_t           *copy;
    d4_meta_status_t   status;

    status = d4_meta_add(m, NULL, 0);
    require(status == D4_META_AGAIN);

    while (len != 0) {
        seed = seed * 1103515245 + 12345;
        n = (most == 0) ? len : 1 + (seed >> 16) % most;

        if (n > len) {
            n = len;
        }

        copy = malloc(n);
        require(copy != NULL);
        memcpy(copy, p, n);
        status = d4_meta_add(m, copy, n);
        free(copy);

        require(status == m->status && status != D4_META_NOMEM);

        p += n;
        len -= n;
    }

    return status;
}


static int
text_same(const char *a, const char *b)
{
    return (a == NULL || b == NULL) ? a == b : strcmp(a, b) == 0;
}


static void
same(const d4_meta_t *a, const d4_meta_t *b)
{
    uint32_t  i;

    require(a->status == b->status);
    require(text_same(d4_meta_json(a), d4_meta_json(b)));
    require(text_same(d4_meta_type(a), d4_meta_type(b)));
    require(text_same(d4_meta_extension(a), d4_meta_extension(b)));
    require(text_same(d4_meta_encoding(a), d4_meta_encoding(b)));
    require(d4_meta_compress(a) == d4_meta_compress(b));
    require(d4_meta_segregate(a) == d4_meta_segregate(b));
    require(a->bad_extension == b->bad_extension);
    require(a->ntags == b->ntags && a->ignored == b->ignored);

    for (i = 0; i < a->ntags; i++) {
        require(text_same(d4_meta_tag(a, i), d4_meta_tag(b, i)));
    }
}


/* What is promised of an object that was taken. */

static void
sound(const d4_meta_t *m, size_t max)
{
    uint32_t     i;
    json_t      *root;
    const char  *p;

    require(strlen(d4_meta_json(m)) <= max);
    require(strchr(d4_meta_json(m), '\n') == NULL);
    require(d4_meta_name_ok(d4_meta_type(m), strlen(d4_meta_type(m))));
    require(strchr(d4_meta_type(m), '/') == NULL);

    root = json_loads(d4_meta_json(m), JSON_REJECT_DUPLICATES, NULL);
    require(root != NULL && json_is_object(root));
    require(text_same(json_string_value(json_object_get(root, "type")),
                      d4_meta_type(m)));
    json_decref(root);

    p = d4_meta_extension(m);

    if (p != NULL) {
        require(*p != '\0' && strlen(p) <= D4_META_EXTENSION);
        require(strcspn(p, "./\\%\n") == strlen(p) && !m->bad_extension);
    }

    require(m->ntags <= D4_META_TAGS);

    for (i = 0; i < m->ntags; i++) {
        p = d4_meta_tag(m, i);
        require(*p != '\0' && strlen(p) <= D4_META_TAG);
        require(strpbrk(p, "\n\r\t\1\177") == NULL);
    }

    require(d4_meta_tag(m, m->ntags) == NULL);
}


/* The published way: line feeds out, then whatever the parser says. */

static void
published(d4_meta_status_t status, const uint8_t *p, size_t len)
{
    char    *text;
    size_t   i, n;
    json_t  *root, *type;

    text = malloc(len + 1);
    require(text != NULL);

    for (n = 0, i = 0; i < len; i++) {
        if (p[i] != '\n') {
            text[n++] = (char) p[i];
        }
    }

    root = json_loadb(text, n, JSON_DISABLE_EOF_CHECK, NULL);
    type = json_object_get(root, "type");

    switch (status) {

    case D4_META_DONE:
    case D4_META_UNSUPPORTED:
        require(json_is_string(type));
        require(d4_meta_name_ok(json_string_value(type),
                                json_string_length(type))
                == (status == D4_META_DONE));
        break;

    case D4_META_TYPE:
        require(json_is_object(root) && !json_is_string(type));
        break;

    case D4_META_LARGE:
    case D4_META_DEEP:
        break;

    default:
        require(!json_is_object(root));
    }

    json_decref(root);
    free(text);
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t size)
{
    size_t      max;
    d4_meta_t   a, b;
    d4_pool_t   pool;

    if (size < 2) {
        return 0;
    }

    max = (p[0] == 0) ? D4_META_MAX : p[0];

    d4_pool_init(&pool, 0);
    d4_meta_init(&a, &pool, max);
    d4_meta_init(&b, &pool, max);

    feed(&a, p + 2, size - 2, 0, 0);
    feed(&b, p + 2, size - 2, p[1], 1 + p[1] % 16);
    same(&a, &b);

    published(a.status, p + 2, size - 2);

    if (a.status == D4_META_DONE) {
        sound(&a, max);
        d4_meta_free(&b);
        feed(&b, (const uint8_t *) d4_meta_json(&a), strlen(d4_meta_json(&a)),
             p[1], 7);
        same(&a, &b);
    }

    d4_meta_free(&a);
    d4_meta_free(&b);
    require(pool.held == 0);

    return 0;
}

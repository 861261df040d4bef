
#include "d4_meta.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>


#define D4_META_LIMIT  (1024 * 1024 * 1024)

/* bytes jansson takes for one of text, at most: "[{},{},..." is the worst */
#define D4_META_TREE   128


static d4_meta_status_t d4_meta_step(d4_meta_scan_t *scan, uint8_t ch);
static d4_meta_status_t d4_meta_parse(d4_meta_t *m);
static int d4_meta_room(size_t len);
static d4_meta_status_t d4_meta_read(d4_meta_t *m, json_t *root);
static int d4_meta_write(const char *p, size_t len, void *data);
static int d4_meta_options(d4_meta_t *m, json_t *root);
static int d4_meta_tags(d4_meta_t *m, json_t *root);
static int d4_meta_tag_add(d4_meta_t *m, const char *prefix, json_t *value);
static int d4_meta_put(d4_meta_t *m, uint32_t *at, const char *prefix,
    json_t *value);
static int d4_meta_alnum(unsigned char ch);
static int d4_meta_visible(unsigned char ch);
static int d4_meta_all(json_t *value, size_t max, int (*is)(unsigned char));
static const char *d4_meta_at(const d4_meta_t *m, uint32_t at);


void
d4_meta_init(d4_meta_t *m, d4_pool_t *pool, size_t max)
{
    memset(m, 0, sizeof(d4_meta_t));

    m->max = (max != 0) ? max : D4_META_MAX;

    if (m->max > D4_META_LIMIT) {
        m->max = D4_META_LIMIT;
    }

    d4_carry_init(&m->text, pool);
}


void
d4_meta_free(d4_meta_t *m)
{
    d4_carry_free(&m->text);
    d4_meta_init(m, m->text.pool, m->max);
}


d4_meta_status_t
d4_meta_add(d4_meta_t *m, const void *data, size_t len)
{
    size_t             had, left;
    const uint8_t     *p, *from, *end;
    d4_meta_scan_t     scan;
    d4_meta_status_t   status;

    if (m->status != D4_META_AGAIN || len == 0) {
        return m->status;
    }

    scan = m->scan;
    had = m->text.len;
    left = m->max - scan.taken;
    status = D4_META_AGAIN;

    p = from = data;
    end = p + ((len < left) ? len : left);

    while (p != end && status == D4_META_AGAIN) {

        if (*p != '\n') {
            status = d4_meta_step(&scan, *p++);
            continue;
        }

        if (d4_carry_add(&m->text, from, (size_t) (p - from)) != 0) {
            m->text.len = had;
            return D4_META_NOMEM;
        }

        from = ++p;
    }

    if (d4_carry_add(&m->text, from, (size_t) (p - from)) != 0) {
        m->text.len = had;
        return D4_META_NOMEM;
    }

    scan.taken += (size_t) (p - (const uint8_t *) data);

    if (status == D4_META_AGAIN && len >= left) {
        status = D4_META_LARGE;
    }

    if (status == D4_META_DONE) {
        status = d4_meta_parse(m);
    }

    if (status == D4_META_NOMEM) {
        m->text.len = had;
        return D4_META_NOMEM;
    }

    if (status != D4_META_AGAIN && status != D4_META_DONE) {
        d4_carry_free(&m->text);
    }

    m->scan = scan;
    m->status = status;

    return status;
}


/*
 * One more byte: DONE when it ends the object.  Whether the braces match, and
 * all else, is left to the parser.
 */

static d4_meta_status_t
d4_meta_step(d4_meta_scan_t *scan, uint8_t ch)
{
    if (scan->string) {

        if (scan->escape) {
            scan->escape = 0;

        } else if (ch == '\\') {
            scan->escape = 1;

        } else if (ch == '"') {
            scan->string = 0;
        }

        return D4_META_AGAIN;
    }

    if (scan->depth == 0 && ch != '{') {
        return (ch == ' ' || ch == '\t' || ch == '\r') ? D4_META_AGAIN
                                                       : D4_META_OBJECT;
    }

    switch (ch) {

    case '"':
        scan->string = 1;
        break;

    case '{':
    case '[':
        if (scan->depth == D4_META_DEPTH) {
            return D4_META_DEEP;
        }

        scan->depth++;
        break;

    case '}':
    case ']':
        scan->depth--;

        if (scan->depth == 0) {
            return D4_META_DONE;
        }

        break;
    }

    return D4_META_AGAIN;
}


/* Puts what was read from the text in its place; on errors it stays. */

static d4_meta_status_t
d4_meta_parse(d4_meta_t *m)
{
    json_t            *root;
    d4_meta_t          made;
    json_error_t       error;
    d4_meta_status_t   status;

    if (d4_meta_room(m->text.len) != 0) {
        return D4_META_NOMEM;
    }

    root = json_loadb((const char *) m->text.data, m->text.len, 0, &error);

    if (root == NULL) {
        return (error.text[0] == '\0') ? D4_META_NOMEM : D4_META_JSON;
    }

    d4_meta_init(&made, m->text.pool, m->max);

    status = d4_meta_read(&made, root);

    json_decref(root);

    if (status != D4_META_DONE) {
        d4_carry_free(&made.text);
        return status;
    }

    d4_carry_free(&m->text);
    *m = made;

    return status;
}


/*
 * jansson reads on when it could not store a byte, so that without memory it
 * may find another text than there is: asked for beforehand, 0 or -1.
 */

static int
d4_meta_room(size_t len)
{
    void *volatile  p;

    p = malloc((len + 64) * D4_META_TREE);

    if (p == NULL) {
        return -1;
    }

    free(p);

    return 0;
}


static d4_meta_status_t
d4_meta_read(d4_meta_t *m, json_t *root)
{
    json_t  *type;

    type = json_object_get(root, "type");

    if (!json_is_string(type)) {
        return D4_META_TYPE;
    }

    if (!d4_meta_name_ok(json_string_value(type), json_string_length(type))) {
        return D4_META_UNSUPPORTED;
    }

    if (json_dump_callback(root, d4_meta_write, &m->text, JSON_COMPACT) != 0) {
        return D4_META_NOMEM;
    }

    /* numbers grow: what is kept has to be good for another d4_meta_t */

    if (m->text.len > m->max) {
        return D4_META_LARGE;
    }

    if (d4_carry_add(&m->text, "", 1) != 0
        || d4_meta_put(m, &m->type, "", type) != 0
        || d4_meta_options(m, root) != 0
        || d4_meta_tags(m, root) != 0)
    {
        return D4_META_NOMEM;
    }

    return D4_META_DONE;
}


static int
d4_meta_write(const char *p, size_t len, void *data)
{
    return d4_carry_add(data, p, len);
}


static int
d4_meta_options(d4_meta_t *m, json_t *root)
{
    json_t  *value;

    m->compress = json_is_true(json_object_get(root, "compress"));
    m->shared = json_is_false(json_object_get(root, "segregate"));

    value = json_object_get(root, "encoding");

    if (d4_meta_all(value, D4_META_ENCODING, d4_meta_visible)
        && d4_meta_put(m, &m->encoding, "", value) != 0)
    {
        return -1;
    }

    value = json_object_get(root, "extension");

    if (d4_meta_all(value, D4_META_EXTENSION, d4_meta_alnum)) {
        return d4_meta_put(m, &m->extension, "", value);
    }

    m->bad_extension = (value != NULL);

    return 0;
}


static int
d4_meta_tags(d4_meta_t *m, json_t *root)
{
    size_t   i;
    json_t  *value;

    value = json_object_get(root, "misp:org");

    if (value != NULL && d4_meta_tag_add(m, "misp:org:", value) != 0) {
        return -1;
    }

    value = json_object_get(root, "tags");

    if (value != NULL && !json_is_array(value)) {
        return d4_meta_tag_add(m, "", value);
    }

    for (i = 0; i < json_array_size(value); i++) {
        if (d4_meta_tag_add(m, "", json_array_get(value, i)) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
d4_meta_tag_add(d4_meta_t *m, const char *prefix, json_t *value)
{
    size_t       i, len;
    const char  *p;

    p = json_string_value(value);
    len = json_string_length(value);

    if (m->ntags == D4_META_TAGS || len == 0
        || len > D4_META_TAG - strlen(prefix))
    {
        m->ignored++;
        return 0;
    }

    for (i = 0; i < len; i++) {
        if ((unsigned char) p[i] < ' ' || p[i] == '\177') {
            m->ignored++;
            return 0;
        }
    }

    if (d4_meta_put(m, &m->tags[m->ntags], prefix, value) != 0) {
        return -1;
    }

    m->ntags++;

    return 0;
}


/* Appends a string to the text; *at is where it is found there. */

static int
d4_meta_put(d4_meta_t *m, uint32_t *at, const char *prefix, json_t *value)
{
    *at = (uint32_t) m->text.len;

    return d4_carry_add(&m->text, prefix, strlen(prefix)) != 0
           || d4_carry_add(&m->text, json_string_value(value),
                           json_string_length(value)) != 0
           || d4_carry_add(&m->text, "", 1) != 0;
}


static int
d4_meta_alnum(unsigned char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
           || (ch >= '0' && ch <= '9');
}


static int
d4_meta_visible(unsigned char ch)
{
    return ch > ' ' && ch < 0x7f;
}


/* 1 for a string of 1 to max such characters. */

static int
d4_meta_all(json_t *value, size_t max, int (*is)(unsigned char))
{
    size_t       i, len;
    const char  *p;

    p = json_string_value(value);
    len = json_string_length(value);

    if (len == 0 || len > max) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (!is((unsigned char) p[i])) {
            return 0;
        }
    }

    return 1;
}


int
d4_meta_name_ok(const char *name, size_t len)
{
    size_t  i;

    if (len == 0 || len > D4_META_NAME || name[0] == '.') {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (!d4_meta_alnum((unsigned char) name[i]) && name[i] != '.'
            && name[i] != '_' && name[i] != '-')
        {
            return 0;
        }
    }

    return 1;
}


const char *
d4_meta_text(d4_meta_status_t status)
{
    switch (status) {

    case D4_META_AGAIN:
        return "JSON object is not complete";

    case D4_META_DONE:
        return "JSON object is complete";

    case D4_META_NOMEM:
        return "no memory";

    case D4_META_LARGE:
        return "JSON object is too large";

    case D4_META_DEEP:
        return "JSON object is nested too deeply";

    case D4_META_OBJECT:
        return "not a JSON object";

    case D4_META_JSON:
        return "incorrect JSON object";

    case D4_META_TYPE:
        return "incorrect JSON object, \"type\" is not a string";

    case D4_META_UNSUPPORTED:
        return "unsupported name of an extended type";
    }

    return "unknown status";
}


static const char *
d4_meta_at(const d4_meta_t *m, uint32_t at)
{
    return (const char *) m->text.data + at;
}


const char *
d4_meta_json(const d4_meta_t *m)
{
    return (m->type != 0) ? d4_meta_at(m, 0) : NULL;
}


const char *
d4_meta_type(const d4_meta_t *m)
{
    return (m->type != 0) ? d4_meta_at(m, m->type) : NULL;
}


const char *
d4_meta_extension(const d4_meta_t *m)
{
    return (m->extension != 0) ? d4_meta_at(m, m->extension) : NULL;
}


const char *
d4_meta_encoding(const d4_meta_t *m)
{
    return (m->encoding != 0) ? d4_meta_at(m, m->encoding) : NULL;
}


int
d4_meta_compress(const d4_meta_t *m)
{
    return m->compress;
}


int
d4_meta_segregate(const d4_meta_t *m)
{
    return !m->shared;
}


const char *
d4_meta_tag(const d4_meta_t *m, uint32_t i)
{
    return (i < m->ntags) ? d4_meta_at(m, m->tags[i]) : NULL;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_body.h"
#include "d4_out.h"
#include "../protocol/d4_uuid.h"

#include <stdio.h>
#include <string.h>


static int d4_body_scan(const char *p, size_t len, char *reason);
static int d4_body_member(const d4_field_t *f, json_t *v, char *reason);
static int d4_body_text(const d4_field_t *f, json_t *v);
static int d4_body_list(const d4_field_t *f, json_t *v, char *reason);
static const char *d4_body_kind(d4_field_type_t type);
static void d4_body_quote(char *out, size_t size, const char *name);


json_t *
d4_body_parse(const char *text, size_t len, char reason[D4_BODY_REASON])
{
    json_t        *json;
    json_error_t   error;

    if (d4_body_scan(text, len, reason) != 0) {
        return NULL;
    }

    json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

    if (json == NULL) {

        /* jansson's own text may quote the body */

        switch (json_error_code(&error)) {

        case json_error_duplicate_key:
            snprintf(reason, D4_BODY_REASON, "Duplicate key in JSON, line %d",
                     error.line);
            break;

        case json_error_invalid_utf8:
            snprintf(reason, D4_BODY_REASON, "Invalid UTF-8 in JSON");
            break;

        case json_error_null_character:
        case json_error_null_byte_in_key:
            snprintf(reason, D4_BODY_REASON, "NUL in a JSON string");
            break;

        case json_error_numeric_overflow:
            snprintf(reason, D4_BODY_REASON, "Number out of range in JSON");
            break;

        default:
            snprintf(reason, D4_BODY_REASON,
                     "Malformed JSON, line %d, column %d", error.line,
                     error.column);
        }
    }

    return json;
}


/*
 * Bounds what the parser will make of the text before it makes it: brackets
 * nest, and every value but the first comes after a bracket, comma or colon.
 */

static int
d4_body_scan(const char *p, size_t len, char *reason)
{
    int          string, escaped;
    size_t       values;
    unsigned     depth;
    const char  *last;

    string = 0;
    escaped = 0;
    values = 0;
    depth = 0;

    for (last = p + len; p < last; p++) {

        if (string) {
            if (escaped) {
                escaped = 0;

            } else if (*p == '\\') {
                escaped = 1;

            } else if (*p == '"') {
                string = 0;
            }

            continue;
        }

        switch (*p) {

        case '"':
            string = 1;
            break;

        case '{':
        case '[':
            if (++depth > D4_BODY_DEPTH) {
                snprintf(reason, D4_BODY_REASON, "JSON is nested too deeply");
                return -1;
            }

            values++;
            break;

        case '}':
        case ']':
            if (depth) {
                depth--;
            }

            break;

        case ',':
        case ':':
            values++;
            break;
        }

        if (values > D4_BODY_VALUES) {
            snprintf(reason, D4_BODY_REASON, "JSON has too many values");
            return -1;
        }
    }

    return 0;
}


int
d4_body_check(json_t *json, const d4_field_t *fields,
    char reason[D4_BODY_REASON])
{
    char               name[80];
    json_t            *value;
    const char        *key;
    const d4_field_t  *f;

    if (!json_is_object(json)) {
        snprintf(reason, D4_BODY_REASON, "A JSON object is needed");
        return -1;
    }

    json_object_foreach(json, key, value) {

        for (f = fields; f->name; f++) {
            if (strcmp(f->name, key) == 0) {
                break;
            }
        }

        if (f->name == NULL) {
            d4_body_quote(name, sizeof(name), key);
            snprintf(reason, D4_BODY_REASON, "Unknown field: %s", name);
            return -1;
        }

        if (json_is_null(value) && (f->flags & D4_FIELD_NULL)) {
            continue;
        }

        if (d4_body_member(f, value, reason) != 0) {
            return -1;
        }
    }

    for (f = fields; f->name; f++) {
        if ((f->flags & D4_FIELD_REQUIRED)
            && json_object_get(json, f->name) == NULL)
        {
            snprintf(reason, D4_BODY_REASON, "Mandatory parameter(s) not "
                     "provided: %s", f->name);
            return -1;
        }
    }

    return 0;
}


static int
d4_body_member(const d4_field_t *f, json_t *v, char *reason)
{
    int       right;
    json_int_t  n;

    switch (f->type) {

    case D4_FIELD_STRING:
    case D4_FIELD_UUID:
        right = json_is_string(v);

        if (right && !d4_body_text(f, v)) {
            snprintf(reason, D4_BODY_REASON, "Invalid %s", f->name);
            return -1;
        }

        break;

    case D4_FIELD_INT:
        right = json_is_integer(v);
        n = json_integer_value(v);

        if (right && (n < f->min || n > f->max)) {
            snprintf(reason, D4_BODY_REASON, "%s must be from %lld to %lld",
                     f->name, (long long) f->min, (long long) f->max);
            return -1;
        }

        break;

    case D4_FIELD_BOOL:
        right = json_is_boolean(v);
        break;

    default:
        right = json_is_array(v);

        if (right) {
            return d4_body_list(f, v, reason);
        }
    }

    if (!right) {
        snprintf(reason, D4_BODY_REASON, "%s must be %s", f->name,
                 d4_body_kind(f->type));
        return -1;
    }

    return 0;
}


static int
d4_body_text(const d4_field_t *f, json_t *v)
{
    size_t       len;
    const char  *text;

    text = json_string_value(v);
    len = json_string_length(v);

    if (f->type == D4_FIELD_UUID || f->type == D4_FIELD_UUIDS) {
        return d4_check_uuid(text, len);
    }

    if (f->type == D4_FIELD_STRING
        && ((int64_t) len < f->min || (int64_t) len > f->max))
    {
        return 0;
    }

    return f->check ? f->check(text, len) : d4_check_text(text, len);
}


static int
d4_body_list(const d4_field_t *f, json_t *v, char *reason)
{
    size_t   i;
    json_t  *item;

    if ((int64_t) json_array_size(v) < f->min
        || (int64_t) json_array_size(v) > f->max)
    {
        snprintf(reason, D4_BODY_REASON, "%s must have from %lld to %lld "
                 "items", f->name, (long long) f->min, (long long) f->max);
        return -1;
    }

    json_array_foreach(v, i, item) {

        if (f->type == D4_FIELD_OBJECTS ? !json_is_object(item)
                                        : !json_is_string(item))
        {
            snprintf(reason, D4_BODY_REASON, "%s must be %s", f->name,
                     d4_body_kind(f->type));
            return -1;
        }

        if (f->type != D4_FIELD_OBJECTS && !d4_body_text(f, item)) {
            snprintf(reason, D4_BODY_REASON, "Invalid item %zu of %s", i,
                     f->name);
            return -1;
        }
    }

    return 0;
}


static const char *
d4_body_kind(d4_field_type_t type)
{
    switch (type) {

    case D4_FIELD_INT:
        return "an integer";

    case D4_FIELD_BOOL:
        return "true or false";

    case D4_FIELD_LIST:
    case D4_FIELD_UUIDS:
        return "an array of strings";

    case D4_FIELD_OBJECTS:
        return "an array of objects";

    default:
        return "a string";
    }
}


/* For people to read: what is not printable ASCII is shown as '?'. */

static void
d4_body_quote(char *out, size_t size, const char *name)
{
    size_t  i;

    for (i = 0; name[i] && i < size - 1; i++) {
        out[i] = (name[i] >= 0x20 && name[i] < 0x7f) ? name[i] : '?';
    }

    out[i] = '\0';
}


const char *
d4_body_string(json_t *json, const char *name, size_t *len)
{
    json_t  *v;

    v = json_object_get(json, name);

    if (!json_is_string(v)) {
        return NULL;
    }

    if (len) {
        *len = json_string_length(v);
    }

    return json_string_value(v);
}


int64_t
d4_body_int(json_t *json, const char *name, int64_t none)
{
    json_t  *v;

    v = json_object_get(json, name);

    return json_is_integer(v) ? json_integer_value(v) : none;
}


int
d4_body_bool(json_t *json, const char *name, int none)
{
    json_t  *v;

    v = json_object_get(json, name);

    return json_is_boolean(v) ? json_is_true(v) : none;
}


int
d4_check_text(const char *text, size_t len)
{
    size_t  n;

    while (len) {
        if ((unsigned char) *text < 0x20 || *text == 0x7f) {
            return 0;
        }

        n = d4_utf8_len((const uint8_t *) text, len);

        if (n == 0) {
            return 0;
        }

        text += n;
        len -= n;
    }

    return 1;
}


int
d4_check_key(const char *text, size_t len)
{
    return len >= 1 && len <= 1000 && d4_check_text(text, len);
}


int
d4_check_word(const char *text, size_t len)
{
    size_t  i;

    if (len == 0 || len > 64) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (!((text[i] >= 'a' && text[i] <= 'z')
              || (text[i] >= 'A' && text[i] <= 'Z')
              || (text[i] >= '0' && text[i] <= '9')
              || text[i] == '.' || text[i] == '_' || text[i] == '-'))
        {
            return 0;
        }
    }

    /* names become those of files */

    return text[0] != '.';
}


int
d4_check_tag(const char *text, size_t len)
{
    return len >= 1 && len <= 100 && memchr(text, ',', len) == NULL
           && d4_check_text(text, len);
}


int
d4_check_mail(const char *text, size_t len)
{
    size_t       i;
    const char  *at;

    if (len < 3 || len > 254) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if ((unsigned char) text[i] <= ' ' || (unsigned char) text[i] >= 0x7f
            || strchr(":/\\\"'<>(),;", text[i]))
        {
            return 0;
        }
    }

    at = memchr(text, '@', len);

    return at && at != text && at != text + len - 1
           && memchr(at + 1, '@', (size_t) (text + len - at - 1)) == NULL;
}


int
d4_check_uuid(const char *text, size_t len)
{
    uint8_t  uuid[16];

    return d4_uuid_parse(uuid, text, len) == 0 && d4_uuid_is_v4(uuid);
}

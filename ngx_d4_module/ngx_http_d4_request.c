
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What a request says: arguments, headers, members of its body.
 */


#include "ngx_http_d4_api.h"


ngx_int_t
ngx_http_d4_set_uuid(ngx_http_d4_api_t *a, const char *text, size_t len)
{
    u_char  uuid[D4_UUID_SIZE];

    if (d4_uuid_parse(uuid, text, len) != 0 || !d4_uuid_is_v4(uuid)) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid uuid");
        return NGX_ERROR;
    }

    d4_uuid_hex(a->uuid_hex, uuid);
    d4_uuid_dashed(a->uuid_dashed, uuid);

    a->uuid.data = (u_char *) a->uuid_hex;
    a->uuid.len = D4_UUID_HEX;

    return NGX_OK;
}


d4_arg_t *
ngx_http_d4_arg(ngx_http_d4_api_t *a, const char *name)
{
    size_t     len;
    ngx_int_t  i;

    len = ngx_strlen(name);

    for (i = 0; i < a->nargs; i++) {
        if (a->args[i].name_len == len
            && ngx_memcmp(a->args[i].name, name, len) == 0)
        {
            return &a->args[i];
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_d4_arg_number(ngx_http_d4_api_t *a, const char *name, int64_t min,
    int64_t max, int64_t *n)
{
    d4_arg_t  *arg;

    arg = ngx_http_d4_arg(a, name);

    if (arg && d4_number(arg->value, arg->value_len, min, max, n) != 0) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST,
                          "%s must be a number from %lld to %lld", name,
                          (long long) min, (long long) max);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_d4_arg_word(ngx_http_d4_api_t *a, const char *name,
    const char *const *words, ngx_uint_t *index)
{
    d4_arg_t    *arg;
    ngx_uint_t   i;

    arg = ngx_http_d4_arg(a, name);

    if (arg == NULL) {
        return NGX_OK;
    }

    for (i = 0; words[i]; i++) {
        if (ngx_strlen(words[i]) == arg->value_len
            && ngx_memcmp(words[i], arg->value, arg->value_len) == 0)
        {
            *index = i;
            return NGX_OK;
        }
    }

    ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid %s", name);

    return NGX_ERROR;
}


ngx_int_t
ngx_http_d4_arg_entry(ngx_http_d4_api_t *a, const char *name, ngx_str_t *end)
{
    u_char      *dash, *last;
    int64_t      n;
    d4_arg_t    *arg;

    arg = ngx_http_d4_arg(a, name);

    if (arg == NULL) {
        ngx_str_set(end, "+");
        return NGX_OK;
    }

    last = (u_char *) arg->value + arg->value_len;
    dash = ngx_strlchr((u_char *) arg->value, last, '-');

    if (dash == NULL
        || d4_number(arg->value, dash - (u_char *) arg->value, 0, INT64_MAX,
                     &n)
           != 0
        || d4_number((char *) dash + 1, last - dash - 1, 0, INT64_MAX, &n)
           != 0)
    {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid %s", name);
        return NGX_ERROR;
    }

    end->len = arg->value_len + 1;
    end->data = ngx_pnalloc(a->request->pool, end->len);

    if (end->data == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return NGX_ERROR;
    }

    end->data[0] = '(';
    ngx_memcpy(end->data + 1, arg->value, arg->value_len);

    return NGX_OK;
}


ngx_str_t *
ngx_http_d4_header(ngx_http_request_t *r, const char *name)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);
    part = &r->headers_in.headers.part;

    for ( /* void */ ; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == len
                && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0)
            {
                return &h[i].value;
            }
        }
    }

    return NULL;
}


ngx_str_t
ngx_http_d4_copy(ngx_http_d4_api_t *a, const void *p, size_t len)
{
    ngx_str_t  s;

    s.len = len;
    s.data = ngx_pnalloc(a->request->pool, len + 1);

    if (s.data == NULL) {
        s.len = 0;
        s.data = (u_char *) "";
        return s;
    }

    if (len) {
        ngx_memcpy(s.data, p, len);
    }

    s.data[len] = '\0';

    return s;
}


ngx_str_t
ngx_http_d4_member(ngx_http_d4_api_t *a, const char *name)
{
    ngx_str_t  s;

    ngx_str_null(&s);

    s.data = (u_char *) d4_body_string(a->body, name, &s.len);

    return s;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_http_d4_match.h"


#define NGX_HTTP_D4_MATCH_TAGS  32     /* that are looked at */


static ngx_int_t ngx_http_d4_match_field(ngx_http_d4_api_t *a,
    ngx_table_elt_t *h, ngx_uint_t weak, size_t digits, ngx_str_t *list);
static u_char *ngx_http_d4_match_tags(ngx_str_t *value, ngx_uint_t weak,
    size_t digits, u_char *p, u_char *end);
static ngx_array_t *ngx_http_d4_conditional(ngx_http_d4_api_t *a,
    ngx_http_d4_kind_t kind, ngx_str_t *id, ngx_array_t *words);


/*
 * Lua: what follows is done only if a state is right.  The last three
 * arguments are the id and the lists of the two fields: empty without the
 * field, "*", or states, each after a space.
 */

#define NGX_HTTP_D4_LUA_CONDITION                                             \
    "local none=table.remove(ARGV) "                                          \
    "local match=table.remove(ARGV) "                                         \
    "local id=table.remove(ARGV) "                                            \
    "local function unmatched() "

#define NGX_HTTP_D4_LUA_COMPARE(state)                                        \
        "local v=" state                                                      \
        "local function any(l) "                                              \
            "if l=='*' then return v end "                                    \
            "return v and v~='' and string.find(l,v,1,true) end "             \
        "return (match~='' and not any(match)) "                              \
            "or (none~='' and any(none)) end "                                \
    "if unmatched() then return {err='D4UNMATCHED'} end "

static const char *const  ngx_http_d4_conditions[] = {

    /* NGX_HTTP_D4_A_SENSOR */
    NGX_HTTP_D4_LUA_CONDITION
    NGX_HTTP_D4_LUA_INDEX
    NGX_HTTP_D4_LUA_SENSOR
    NGX_HTTP_D4_LUA_SENSOR_STATE
    NGX_HTTP_D4_LUA_COMPARE("state(sensors({id})[1]) "),

    /* NGX_HTTP_D4_A_QUEUE */
    NGX_HTTP_D4_LUA_CONDITION
    NGX_HTTP_D4_LUA_QUEUE_STATE
    NGX_HTTP_D4_LUA_COMPARE("state(id) "),

    /* NGX_HTTP_D4_A_USER */
    NGX_HTTP_D4_LUA_CONDITION
    NGX_HTTP_D4_LUA_USER_STATE
    NGX_HTTP_D4_LUA_COMPARE("state(id) "),

    /* NGX_HTTP_D4_A_MEMBER */
    NGX_HTTP_D4_LUA_CONDITION
    "local k,m=string.match(id,'^(%S+) (.*)$') "
    NGX_HTTP_D4_LUA_COMPARE("redis.call('SISMEMBER',k,m)==1 and '' ")
};


ngx_int_t
ngx_http_d4_match(ngx_http_d4_api_t *a)
{
    ngx_uint_t           there;
    ngx_http_request_t  *r;

    if (a->route->method == NGX_HTTP_GET) {
        return NGX_OK;
    }

    r = a->request;

    if (ngx_http_d4_match_field(a, r->headers_in.if_match, 0,
                                NGX_HTTP_D4_STATE, &a->match)
        != NGX_OK
        || ngx_http_d4_match_field(a, r->headers_in.if_none_match, 1,
                                   NGX_HTTP_D4_STATE, &a->none_match)
           != NGX_OK)
    {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return NGX_ERROR;
    }

    /*
     * nginx would compare them with what the answer to a change has, once it
     * was made
     */

    r->headers_in.if_match = NULL;
    r->headers_in.if_none_match = NULL;
    r->headers_in.if_modified_since = NULL;
    r->headers_in.if_unmodified_since = NULL;

    if (a->route->flags & NGX_HTTP_D4_MATCHES) {
        return NGX_OK;
    }

    there = (a->route->flags & NGX_HTTP_D4_IS_THERE) ? 1 : 0;

    if ((a->match.len && !(there && a->match.data[0] == '*'))
        || (there && a->none_match.len && a->none_match.data[0] == '*'))
    {
        ngx_http_d4_unmatched(a);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * If-None-Match is left to nginx.  If-Match is not: its answer to that closes
 * the connection; nor is If-Unmodified-Since, which does not count where
 * there are no dates.
 */

ngx_int_t
ngx_http_d4_match_answer(ngx_http_d4_api_t *a, const char *tag)
{
    ngx_str_t            list;
    ngx_table_elt_t     *h;
    ngx_http_request_t  *r;

    r = a->request;

    r->headers_in.if_unmodified_since = NULL;

    h = r->headers_in.if_match;

    if (h == NULL) {
        return NGX_OK;
    }

    r->headers_in.if_match = NULL;

    if (ngx_http_d4_match_field(a, h, 0, NGX_HTTP_D4_TAG, &list) != NGX_OK) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return NGX_ERROR;
    }

    if (list.data[0] == '*'
        || (*tag && ngx_strnstr(list.data, (char *) tag, list.len)))
    {
        return NGX_OK;
    }

    ngx_http_d4_unmatched(a);

    return NGX_ERROR;
}


/*
 * nginx refuses a request with more than one such field.  A field without a
 * tag of ours is there, and nothing has it.
 */

static ngx_int_t
ngx_http_d4_match_field(ngx_http_d4_api_t *a, ngx_table_elt_t *h,
    ngx_uint_t weak, size_t digits, ngx_str_t *list)
{
    size_t   size;
    u_char  *p;

    if (h == NULL) {
        return NGX_OK;
    }

    if (h->value.len == 1 && h->value.data[0] == '*') {
        *list = h->value;
        return NGX_OK;
    }

    size = NGX_HTTP_D4_MATCH_TAGS * (digits + 1);

    list->data = ngx_pnalloc(a->request->pool, size);
    if (list->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_http_d4_match_tags(&h->value, weak, digits, list->data,
                               list->data + size);

    if (p == list->data) {
        *p++ = ' ';
    }

    list->len = p - list->data;

    return NGX_OK;
}


/*
 * The first digits of the tags of a list, each after a space.  A comma may
 * stand within a tag, so a tag is what is between quotes.
 */

static u_char *
ngx_http_d4_match_tags(ngx_str_t *value, ngx_uint_t weak, size_t digits,
    u_char *p, u_char *end)
{
    size_t       i, len;
    u_char      *tag, *last, *s;
    ngx_uint_t   is_weak;

    s = value->data;
    last = s + value->len;

    while (s < last && (size_t) (end - p) > digits) {

        is_weak = (last - s > 2 && s[0] == 'W' && s[1] == '/');
        s += is_weak ? 2 : 0;

        if (*s != '"') {
            s++;
            continue;
        }

        tag = ++s;

        while (s < last && *s != '"') {
            s++;
        }

        len = s++ - tag;

        if (len != NGX_HTTP_D4_TAG || (is_weak && !weak)) {
            continue;
        }

        for (i = 0; i < digits; i++) {
            if (!((tag[i] >= '0' && tag[i] <= '9')
                  || (tag[i] >= 'a' && tag[i] <= 'f')))
            {
                break;
            }
        }

        if (i == digits) {
            *p++ = ' ';
            p = ngx_cpymem(p, tag, digits);
        }
    }

    return p;
}


static ngx_array_t *
ngx_http_d4_conditional(ngx_http_d4_api_t *a, ngx_http_d4_kind_t kind,
    ngx_str_t *id, ngx_array_t *words)
{
    size_t        len;
    u_char       *p;
    ngx_str_t    *word, script;
    ngx_uint_t    i;
    ngx_array_t  *all;
    const char   *condition;

    if (words == NULL || words->size == 0) {
        return NULL;
    }

    condition = ngx_http_d4_conditions[kind];
    len = ngx_strlen(condition);

    word = words->elts;
    i = 0;

    ngx_str_set(&script, "return redis.call(unpack(ARGV))");

    if (word[0].len == 4 && ngx_strncmp(word[0].data, "EVAL", 4) == 0) {
        script = word[1];
        i = 3;
    }

    p = ngx_pnalloc(a->pool, len + script.len);
    if (p == NULL) {
        return NULL;
    }

    ngx_memcpy(p, condition, len);
    ngx_memcpy(p + len, script.data, script.len);

    all = ngx_http_d4_words(a, "EVAL");
    ngx_http_d4_word(all, p, len + script.len);
    ngx_http_d4_word(all, "0", 1);

    for ( /* void */ ; i < words->nelts; i++) {
        ngx_http_d4_word(all, word[i].data, word[i].len);
    }

    ngx_http_d4_word(all, id->data, id->len);
    ngx_http_d4_word(all, a->match.data, a->match.len);
    ngx_http_d4_word(all, a->none_match.data, a->none_match.len);

    return all;
}


void
ngx_http_d4_change(ngx_http_d4_api_t *a, ngx_uint_t role,
    ngx_http_d4_kind_t kind, ngx_str_t *id, ngx_array_t *words)
{
    if (a->match.len || a->none_match.len) {
        words = ngx_http_d4_conditional(a, kind, id, words);
    }

    ngx_http_d4_ask_words(a, role, words);
}


void
ngx_http_d4_change_member(ngx_http_d4_api_t *a, const char *key,
    ngx_str_t *member, ngx_array_t *words)
{
    ngx_str_t  id;

    id.data = ngx_pnalloc(a->pool, ngx_strlen(key) + 1 + member->len);

    if (id.data == NULL) {
        a->down = 1;
        return;
    }

    id.len = ngx_sprintf(id.data, "%s %V", key, member) - id.data;

    ngx_http_d4_change(a, NGX_D4_REDIS_METADATA, NGX_HTTP_D4_A_MEMBER, &id,
                       words);
}


void
ngx_http_d4_check(ngx_http_d4_api_t *a, ngx_uint_t role,
    ngx_http_d4_kind_t kind, ngx_str_t *id)
{
    if (a->match.len || a->none_match.len) {
        ngx_http_d4_change(a, role, kind, id,
                           ngx_http_d4_words(a, "EVAL %s 0", "return 1"));
    }
}


void
ngx_http_d4_unmatched(ngx_http_d4_api_t *a)
{
    ngx_http_d4_error(a, NGX_HTTP_PRECONDITION_FAILED, "It is not in the "
                      "state that If-Match or If-None-Match asks for");
}


void
ngx_http_d4_set_state(ngx_http_d4_api_t *a, ngx_http_d4_reply_t *state)
{
    if (state->str.len == NGX_HTTP_D4_STATE) {
        a->state = ngx_http_d4_copy(a, state->str.data, state->str.len);
    }
}

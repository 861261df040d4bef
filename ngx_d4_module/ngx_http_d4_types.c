
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Which types are accepted, and which extended types.
 */


#include "ngx_http_d4_match.h"


#define NGX_HTTP_D4_TYPES  256


static void ngx_http_d4_types(ngx_http_d4_api_t *a);
static void ngx_http_d4_types_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_type_add(ngx_http_d4_api_t *a);
static void ngx_http_d4_type_remove(ngx_http_d4_api_t *a);
static void ngx_http_d4_extended(ngx_http_d4_api_t *a);
static void ngx_http_d4_extended_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_extended_add(ngx_http_d4_api_t *a);
static void ngx_http_d4_extended_remove(ngx_http_d4_api_t *a);
static void ngx_http_d4_types_done(ngx_http_d4_api_t *a);
static void ngx_http_d4_types_removed(ngx_http_d4_api_t *a);


static const char *const  ngx_http_d4_type_names[] = {
    "reserved", "pcap (libpcap 2.4)", "meta header (JSON)", "generic log line",
    "dnscap output", "pcapng (diagnostic)", "generic NDJSON or JSON Lines",
    "generic YAF (Yet Another Flowmeter)", "passivedns CSV stream"
};


/* as published: who accepts one accepts 254 */

static const char  ngx_http_d4_script_extended_add[] =
    "redis.call('SADD','server:accepted_type','254') "
    "return redis.call('SADD','server:accepted_extended_type',ARGV[1])";


static const d4_field_t  ngx_http_d4_nothing[] = {
    { NULL, 0, 0, 0, 0, NULL }
};


const ngx_http_d4_route_t  ngx_http_d4_type_routes[] = {

    { NGX_HTTP_GET, "types", NGX_HTTP_D4_VIEWER, 0, ngx_http_d4_types, NULL,
      NULL },

    { NGX_HTTP_PUT, "types/{}", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_NO_BODY|NGX_HTTP_D4_MATCHES, ngx_http_d4_type_add,
      ngx_http_d4_nothing, NULL },

    { NGX_HTTP_DELETE, "types/{}", NGX_HTTP_D4_USER, NGX_HTTP_D4_IS_THERE,
      ngx_http_d4_type_remove, NULL, NULL },

    { NGX_HTTP_GET, "extended-types", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_extended, NULL, "next" },

    { NGX_HTTP_PUT, "extended-types/{}", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_NO_BODY|NGX_HTTP_D4_MATCHES, ngx_http_d4_extended_add,
      ngx_http_d4_nothing, NULL },

    { NGX_HTTP_DELETE, "extended-types/{}", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_IS_THERE, ngx_http_d4_extended_remove, NULL, NULL },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};


const char *
ngx_http_d4_type_name(ngx_uint_t type)
{
    if (type < sizeof(ngx_http_d4_type_names)
               / sizeof(ngx_http_d4_type_names[0]))
    {
        return ngx_http_d4_type_names[type];
    }

    return type == 254 ? "extended type, described by type 2" : "unassigned";
}


static void
ngx_http_d4_types(ngx_http_d4_api_t *a)
{
    unsigned      day;
    ngx_uint_t    i;
    ngx_array_t  *words;

    words = ngx_http_d4_words(a, "SMISMEMBER server:accepted_type");

    for (i = 0; i < NGX_HTTP_D4_TYPES; i++) {
        ngx_http_d4_word_number(words, i);
    }

    ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);

    day = ngx_http_d4_today();

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA,
                    "ZRANGE daily_type:%i 0 255 WITHSCORES", (ngx_int_t) day);
    ngx_http_d4_wait(a, ngx_http_d4_types_send);
}


static void
ngx_http_d4_types_send(ngx_http_d4_api_t *a)
{
    u_char      text[NGX_INT_T_LEN + 1];
    ngx_uint_t  i, accepted;

    d4_out_object(&a->out, NULL);
    d4_out_array(&a->out, "types");

    for (i = 1; i < NGX_HTTP_D4_TYPES - 1; i++) {

        accepted = (a->reply[0]->element[i].integer != 0);

        if (!accepted
            && ngx_strcmp(ngx_http_d4_type_name(i), "unassigned") == 0)
        {
            continue;
        }

        ngx_sprintf(text, "%ui%Z", i);

        d4_out_object(&a->out, NULL);
        d4_out_int(&a->out, "type", i);
        d4_out_text(&a->out, "name", ngx_http_d4_type_name(i));
        d4_out_bool(&a->out, "accepted", accepted);
        d4_out_int(&a->out, "packets_today",
                   ngx_http_d4_number(ngx_http_d4_field(a->reply[1],
                                                        (char *) text), 0));
        d4_out_object_end(&a->out);
    }

    d4_out_array_end(&a->out);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static ngx_int_t
ngx_http_d4_type_param(ngx_http_d4_api_t *a, int64_t *type)
{
    if (d4_number(a->params[0].text, a->params[0].len, 1, 254, type) != 0) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST,
                          "A type is a number from 1 to 254");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_d4_types_done(ngx_http_d4_api_t *a)
{
    ngx_http_d4_success(a);
}


static void
ngx_http_d4_types_removed(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "That type is not accepted");
        return;
    }

    ngx_http_d4_success(a);
}


static void
ngx_http_d4_type_add(ngx_http_d4_api_t *a)
{
    u_char     number[NGX_INT64_LEN];
    int64_t    type;
    ngx_str_t  text;

    if (ngx_http_d4_type_param(a, &type) != NGX_OK) {
        return;
    }

    text.data = number;
    text.len = ngx_sprintf(number, "%L", type) - number;

    ngx_http_d4_change_member(a, "server:accepted_type", &text,
                              ngx_http_d4_words(a,
                                  "SADD server:accepted_type %V", &text));
    ngx_http_d4_announce(a, "types", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_types_done);
}


static void
ngx_http_d4_type_remove(ngx_http_d4_api_t *a)
{
    int64_t  type;

    if (ngx_http_d4_type_param(a, &type) != NGX_OK) {
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA,
                    "SREM server:accepted_type %L", type);
    ngx_http_d4_announce(a, "types", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_types_removed);
}


static void
ngx_http_d4_extended(ngx_http_d4_api_t *a)
{
    int64_t  at;

    at = 0;

    if (ngx_http_d4_arg_number(a, "next", 0, INT64_MAX, &at) != NGX_OK) {
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA,
                    "SSCAN server:accepted_extended_type %L COUNT 1000", at);
    ngx_http_d4_wait(a, ngx_http_d4_extended_send);
}


static void
ngx_http_d4_extended_send(ngx_http_d4_api_t *a)
{
    d4_out_object(&a->out, NULL);
    ngx_http_d4_json_strings(&a->out, "extended_types",
                             &a->reply[0]->element[1]);
    ngx_http_d4_json_scan(&a->out, &a->reply[0]->element[0]);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static ngx_int_t
ngx_http_d4_extended_param(ngx_http_d4_api_t *a, ngx_str_t *name)
{
    if (!d4_check_word(a->params[0].text, a->params[0].len)) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid extended type");
        return NGX_ERROR;
    }

    name->data = (u_char *) a->params[0].text;
    name->len = a->params[0].len;

    return NGX_OK;
}


static void
ngx_http_d4_extended_add(ngx_http_d4_api_t *a)
{
    ngx_str_t  name;

    if (ngx_http_d4_extended_param(a, &name) != NGX_OK) {
        return;
    }

    ngx_http_d4_change_member(a, "server:accepted_extended_type", &name,
                              ngx_http_d4_words(a, "EVAL %s 0 %V",
                                  ngx_http_d4_script_extended_add, &name));
    ngx_http_d4_announce(a, "types", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_types_done);
}


static void
ngx_http_d4_extended_remove(ngx_http_d4_api_t *a)
{
    ngx_str_t  name;

    name.data = (u_char *) a->params[0].text;
    name.len = a->params[0].len;

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA,
                    "SREM server:accepted_extended_type %V", &name);
    ngx_http_d4_announce(a, "types", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_types_removed);
}

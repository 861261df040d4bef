
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Blocklists: addresses and networks, uuids, and uuids that have every address
 * blocked which uses them.
 *
 * A single address is kept where the published server keeps it, a network as
 * one in d4:blocknet.
 */


#include "ngx_http_d4_match.h"


#define NGX_HTTP_D4_BLOCK_PAGE  500
#define NGX_HTTP_D4_BLOCK_BULK  10000


static void ngx_http_d4_addresses(ngx_http_d4_api_t *a);
static void ngx_http_d4_addresses_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_address_add(ngx_http_d4_api_t *a);
static void ngx_http_d4_address_remove(ngx_http_d4_api_t *a);
static void ngx_http_d4_addresses_add(ngx_http_d4_api_t *a);
static void ngx_http_d4_addresses_added(ngx_http_d4_api_t *a);
static ngx_int_t ngx_http_d4_net(ngx_http_d4_api_t *a, const char *text,
    size_t len, char out[D4_NET_TEXT], ngx_uint_t *network);
static void ngx_http_d4_uuids(ngx_http_d4_api_t *a);
static void ngx_http_d4_uuids_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_uuid_add(ngx_http_d4_api_t *a);
static void ngx_http_d4_uuid_remove(ngx_http_d4_api_t *a);
static void ngx_http_d4_blocked_done(ngx_http_d4_api_t *a);
static void ngx_http_d4_blocked_removed(ngx_http_d4_api_t *a);


static int
ngx_http_d4_check_net(const char *text, size_t len)
{
    unsigned   prefix;
    d4_addr_t  addr;

    return d4_net_parse(text, len, &addr, &prefix) == 0;
}


static const d4_field_t  ngx_http_d4_addresses_fields[] = {
    { "addresses", D4_FIELD_LIST, D4_FIELD_REQUIRED, 1,
      NGX_HTTP_D4_BLOCK_BULK, ngx_http_d4_check_net },
    { NULL, 0, 0, 0, 0, NULL }
};

static const d4_field_t  ngx_http_d4_block_nothing[] = {
    { NULL, 0, 0, 0, 0, NULL }
};


const ngx_http_d4_route_t  ngx_http_d4_block_routes[] = {

    { NGX_HTTP_GET, "blocklist/addresses", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_addresses, NULL, "next" },

    { NGX_HTTP_POST, "blocklist/addresses", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_IS_THERE, ngx_http_d4_addresses_add,
      ngx_http_d4_addresses_fields, NULL },

    { NGX_HTTP_PUT, "blocklist/addresses/{*}", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_NO_BODY|NGX_HTTP_D4_MATCHES, ngx_http_d4_address_add,
      ngx_http_d4_block_nothing, NULL },

    { NGX_HTTP_DELETE, "blocklist/addresses/{*}", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_IS_THERE, ngx_http_d4_address_remove, NULL, NULL },

    { NGX_HTTP_GET, "blocklist/uuids", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_uuids, NULL, "next" },

    { NGX_HTTP_PUT, "blocklist/uuids/{}", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_NO_BODY|NGX_HTTP_D4_MATCHES, ngx_http_d4_uuid_add,
      ngx_http_d4_block_nothing, NULL },

    { NGX_HTTP_DELETE, "blocklist/uuids/{}", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_IS_THERE, ngx_http_d4_uuid_remove, NULL, NULL },

    { NGX_HTTP_GET, "blocklist/addresses-by-uuid", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_uuids, NULL, "next" },

    { NGX_HTTP_PUT, "blocklist/addresses-by-uuid/{}", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_NO_BODY|NGX_HTTP_D4_MATCHES, ngx_http_d4_uuid_add,
      ngx_http_d4_block_nothing, NULL },

    { NGX_HTTP_DELETE, "blocklist/addresses-by-uuid/{}", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_IS_THERE, ngx_http_d4_uuid_remove, NULL, NULL },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};


/* The cursor tells which of the two sets it belongs to: a.N or n.N. */

static void
ngx_http_d4_addresses(ngx_http_d4_api_t *a)
{
    int64_t      at;
    d4_arg_t    *arg;
    ngx_uint_t   network;

    at = 0;
    network = 0;

    arg = ngx_http_d4_arg(a, "next");

    if (arg) {
        network = (arg->value_len && arg->value[0] == 'n');

        if (arg->value_len < 3 || arg->value[1] != '.'
            || (arg->value[0] != 'a' && arg->value[0] != 'n')
            || d4_number(arg->value + 2, arg->value_len - 2, 0, INT64_MAX,
                         &at)
               != 0)
        {
            ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid next");
            return;
        }
    }

    a->number = network;

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "SSCAN %s %L COUNT %i",
                    network ? "d4:blocknet" : "blacklist_ip", at,
                    (ngx_int_t) NGX_HTTP_D4_BLOCK_PAGE);
    ngx_http_d4_wait(a, ngx_http_d4_addresses_send);
}


static void
ngx_http_d4_addresses_send(ngx_http_d4_api_t *a)
{
    ngx_str_t  *next;

    next = &a->reply[0]->element[0].str;

    d4_out_object(&a->out, NULL);
    ngx_http_d4_json_strings(&a->out, "addresses", &a->reply[0]->element[1]);

    if (next->len != 1 || next->data[0] != '0') {
        d4_out_key(&a->out, "next", 4);
        d4_out_printf(&a->out, "\"%c.%.20s\"", a->number ? 'n' : 'a',
                      (char *) next->data);

    } else if (a->number == 0) {
        d4_out_text(&a->out, "next", "n.0");

    } else {
        d4_out_null(&a->out, "next");
    }

    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


/* As it is kept: canonical, and whether it is a network. */

static ngx_int_t
ngx_http_d4_net(ngx_http_d4_api_t *a, const char *text, size_t len,
    char out[D4_NET_TEXT], ngx_uint_t *network)
{
    unsigned   prefix;
    d4_addr_t  addr;

    if (d4_net_parse(text, len, &addr, &prefix) != 0) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST,
                          "Invalid address or network");
        return NGX_ERROR;
    }

    *network = (prefix != addr.bits);

    if (*network) {
        (void) d4_addr_net(out, &addr, prefix);

    } else {
        (void) d4_addr_text(out, &addr);
    }

    return NGX_OK;
}


static void
ngx_http_d4_blocked_done(ngx_http_d4_api_t *a)
{
    ngx_http_d4_success(a);
}


static void
ngx_http_d4_blocked_removed(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "That is not blocked");
        return;
    }

    ngx_http_d4_success(a);
}


static void
ngx_http_d4_address_add(ngx_http_d4_api_t *a)
{
    char         text[D4_NET_TEXT];
    ngx_str_t    member;
    ngx_uint_t   network;
    const char  *key;

    if (ngx_http_d4_net(a, a->params[0].text, a->params[0].len, text,
                        &network)
        != NGX_OK)
    {
        return;
    }

    key = network ? "d4:blocknet" : "blacklist_ip";

    member.data = (u_char *) text;
    member.len = ngx_strlen(text);

    ngx_http_d4_change_member(a, key, &member,
                              ngx_http_d4_words(a, "SADD %s %V", key,
                                                &member));
    ngx_http_d4_announce(a, "block", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_blocked_done);
}


static void
ngx_http_d4_address_remove(ngx_http_d4_api_t *a)
{
    char        text[D4_NET_TEXT];
    ngx_uint_t  network;

    if (ngx_http_d4_net(a, a->params[0].text, a->params[0].len, text,
                        &network)
        != NGX_OK)
    {
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "SREM %s %s",
                    network ? "d4:blocknet" : "blacklist_ip", text);
    ngx_http_d4_announce(a, "block", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_blocked_removed);
}


static void
ngx_http_d4_addresses_add(ngx_http_d4_api_t *a)
{
    char          text[D4_NET_TEXT];
    size_t        i;
    json_t       *list, *item;
    ngx_uint_t    network, n[2];
    ngx_array_t  *words[2];

    words[0] = ngx_http_d4_words(a, "SADD blacklist_ip");
    words[1] = ngx_http_d4_words(a, "SADD d4:blocknet");
    n[0] = 0;
    n[1] = 0;

    list = json_object_get(a->body, "addresses");

    json_array_foreach(list, i, item) {

        if (ngx_http_d4_net(a, json_string_value(item),
                            json_string_length(item), text, &network)
            != NGX_OK)
        {
            return;
        }

        ngx_http_d4_word(words[network], text, ngx_strlen(text));
        n[network]++;
    }

    for (network = 0; network < 2; network++) {
        if (n[network]) {
            ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words[network]);
        }
    }

    a->number = (n[0] != 0) + (n[1] != 0);

    ngx_http_d4_announce(a, "block", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_addresses_added);
}


static void
ngx_http_d4_addresses_added(ngx_http_d4_api_t *a)
{
    int64_t  i, added;

    added = 0;

    for (i = 0; i < a->number; i++) {
        added += a->reply[i]->integer;
    }

    d4_out_object(&a->out, NULL);
    d4_out_text(&a->out, "status", "success");
    d4_out_int(&a->out, "added", added);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static const char *
ngx_http_d4_uuids_key(ngx_http_d4_api_t *a)
{
    return a->route->path[10] == 'u' ? "blacklist_uuid"
                                     : "blacklist_ip_by_uuid";
}


static void
ngx_http_d4_uuids(ngx_http_d4_api_t *a)
{
    int64_t  at;

    at = 0;

    if (ngx_http_d4_arg_number(a, "next", 0, INT64_MAX, &at) != NGX_OK) {
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "SSCAN %s %L COUNT %i",
                    ngx_http_d4_uuids_key(a), at,
                    (ngx_int_t) NGX_HTTP_D4_BLOCK_PAGE);
    ngx_http_d4_wait(a, ngx_http_d4_uuids_send);
}


static void
ngx_http_d4_uuids_send(ngx_http_d4_api_t *a)
{
    d4_out_object(&a->out, NULL);
    ngx_http_d4_json_strings(&a->out, "uuids", &a->reply[0]->element[1]);
    ngx_http_d4_json_scan(&a->out, &a->reply[0]->element[0]);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_uuid_add(ngx_http_d4_api_t *a)
{
    if (ngx_http_d4_set_uuid(a, a->params[0].text, a->params[0].len)
        != NGX_OK)
    {
        return;
    }

    ngx_http_d4_change_member(a, ngx_http_d4_uuids_key(a), &a->uuid,
                              ngx_http_d4_words(a, "SADD %s %V",
                                                ngx_http_d4_uuids_key(a),
                                                &a->uuid));
    ngx_http_d4_announce(a, "block", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_blocked_done);
}


static void
ngx_http_d4_uuid_remove(ngx_http_d4_api_t *a)
{
    if (ngx_http_d4_set_uuid(a, a->params[0].text, a->params[0].len)
        != NGX_OK)
    {
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "SREM %s %V %s",
                    ngx_http_d4_uuids_key(a), &a->uuid, a->uuid_dashed);
    ngx_http_d4_announce(a, "block", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_blocked_removed);
}

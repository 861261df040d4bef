
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What a client may say to the API: arguments, paths, numbers, days, networks
 * and bodies; and that what the writer makes of any bytes is JSON.  The first
 * byte chooses.
 */


#include "../unit/unit.h"
#include "../../ngx_d4_module/api/d4_body.h"
#include "../../ngx_d4_module/api/d4_out.h"
#include "../../ngx_d4_module/api/d4_query.h"
#include "../../ngx_d4_module/api/d4_secret.h"

#include <stdio.h>


static const d4_field_t  fields[] = {
    { "name", D4_FIELD_STRING, D4_FIELD_NULL, 1, 100, NULL },
    { "tags", D4_FIELD_LIST, D4_FIELD_NULL, 0, 32, d4_check_tag },
    { "mail", D4_FIELD_STRING, 0, 3, 254, d4_check_mail },
    { "type", D4_FIELD_STRING, 0, 1, 64, d4_check_word },
    { "hmac_key", D4_FIELD_STRING, 0, 1, 1000, d4_check_key },
    { "limit", D4_FIELD_INT, 0, 0, 1000000000, NULL },
    { "uuid", D4_FIELD_UUID, 0, 0, 0, NULL },
    { "uuids", D4_FIELD_UUIDS, 0, 1, 100, NULL },
    { "on", D4_FIELD_BOOL, 0, 0, 0, NULL },
    { "sensors", D4_FIELD_OBJECTS, 0, 1, 100, NULL },
    { NULL, 0, 0, 0, 0, NULL }
};


static void
require(int truth)
{
    if (!truth) {
        abort();
    }
}


static void
arguments(const char *p, size_t len)
{
    int        i, n;
    char      *copy;
    d4_arg_t   args[D4_QUERY_ARGS];

    copy = malloc(len + 1);
    require(copy != NULL);
    memcpy(copy, p, len);

    n = d4_query_parse(copy, len, args);
    require(n >= -1 && n <= D4_QUERY_ARGS);

    for (i = 0; i < n; i++) {
        require(args[i].name >= copy
                && args[i].name + args[i].name_len <= copy + len
                && args[i].value >= copy
                && args[i].value + args[i].value_len <= copy + len);
        require(memchr(args[i].value, '\0', args[i].value_len) == NULL);
    }

    free(copy);
}


static void
path(const char *p, size_t len)
{
    int        i, n;
    size_t     r;
    d4_text_t  params[D4_ROUTE_PARAMS];

    static const char *const  routes[] = {
        "", "{}", "{*}", "sensors/{}", "sensors/{}/key", "users/{}/tokens/{}",
        "blocklist/addresses/{*}", "{}/{}/{}"
    };

    for (r = 0; r < sizeof(routes) / sizeof(routes[0]); r++) {
        n = d4_route_match(routes[r], p, len, params);

        for (i = 0; i < n; i++) {
            require(params[i].len > 0 && params[i].text >= p
                    && params[i].text + params[i].len <= p + len);
        }
    }
}


static void
network(const char *p, size_t len)
{
    char       text[D4_NET_TEXT], again[D4_NET_TEXT];
    int64_t    number;
    unsigned   prefix, day;
    d4_addr_t  addr;

    if (d4_net_parse(p, len, &addr, &prefix) == 0) {
        require(prefix <= addr.bits && addr.bits > 0);
        d4_addr_net(text, &addr, prefix);

        require(d4_net_parse(text, strlen(text), &addr, &prefix) == 0);
        d4_addr_net(again, &addr, prefix);
        require(strcmp(text, again) == 0);
    }

    day = d4_day_parse(p, len);

    if (day) {
        require(d4_day_before(d4_day_next(day)) == day);
    }

    if (d4_number(p, len, -1000, 1000, &number) == 0) {
        require(number >= -1000 && number <= 1000);
    }

    (void) d4_token_ours(p, len);
    (void) d4_token_published(p, len);
    (void) d4_password_good(p, len);
}


static void
body(const char *p, size_t len)
{
    char     reason[D4_BODY_REASON];
    size_t   n;
    json_t  *json;

    memset(reason, 1, sizeof(reason));

    json = d4_body_parse(p, len, reason);

    if (json == NULL) {
        require(memchr(reason, '\0', sizeof(reason)) != NULL);
        return;
    }

    if (d4_body_check(json, fields, reason) != 0) {
        require(memchr(reason, '\0', sizeof(reason)) != NULL);

        for (n = 0; reason[n]; n++) {
            require(reason[n] >= 0x20 && reason[n] < 0x7f);
        }
    }

    json_decref(json);
}


static void
writer(const char *p, size_t len)
{
    json_t    *json;
    d4_out_t   o;

    d4_out_init(&o);
    d4_out_object(&o, NULL);
    d4_out_string(&o, "text", p, len);
    d4_out_array(&o, "list");
    d4_out_string(&o, NULL, p, len / 2);
    d4_out_string(&o, NULL, p + len / 2, len - len / 2);
    d4_out_array_end(&o);
    d4_out_key(&o, "last", 4);
    d4_out_uint(&o, NULL, len);
    d4_out_object_end(&o);
    require(!o.failed);

    json = json_loadb(o.data, o.len, JSON_ALLOW_NUL|JSON_REJECT_DUPLICATES,
                      NULL);
    require(json != NULL);
    require((size_t) json_integer_value(json_object_get(json, "last")) == len);

    json_decref(json);
    d4_out_free(&o);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char  *p;

    if (size == 0) {
        return 0;
    }

    p = (const char *) data + 1;
    size--;

    switch (data[0] % 5) {

    case 0:
        arguments(p, size);
        break;

    case 1:
        path(p, size);
        break;

    case 2:
        network(p, size);
        break;

    case 3:
        body(p, size);
        break;

    default:
        writer(p, size);
    }

    return 0;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What is done to a sensor: approved, kicked, blocked, given another key; and
 * to those that wait for approval.
 */


#include "ngx_http_d4_match.h"


static void ngx_http_d4_approve(ngx_http_d4_api_t *a);
static void ngx_http_d4_kick(ngx_http_d4_api_t *a);
static void ngx_http_d4_kick_known(ngx_http_d4_api_t *a);
static void ngx_http_d4_block(ngx_http_d4_api_t *a);
static void ngx_http_d4_unblock(ngx_http_d4_api_t *a);
static void ngx_http_d4_done(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_change(ngx_http_d4_api_t *a,
    ngx_array_t *words);
static void ngx_http_d4_key_set(ngx_http_d4_api_t *a);
static void ngx_http_d4_key_remove(ngx_http_d4_api_t *a);
static void ngx_http_d4_key_changed(ngx_http_d4_api_t *a);
static void ngx_http_d4_reject(ngx_http_d4_api_t *a);
static void ngx_http_d4_rejecting(ngx_http_d4_api_t *a);


static const char  ngx_http_d4_script_approve[] =
    NGX_HTTP_D4_LUA_INDEX
    "local u=ARGV[1] "
    "unindex(u) "
    "redis.call('SREM','sensor_pending_registration',u,dash(u)) "
    "if not has('registered_uuid',u) then "
        "redis.call('SADD','registered_uuid',u) "
        "redis.call('HSETNX','metadata_uuid:'..u,'created',ARGV[2]) end "
    "index(u) "
    "return 1";


/* uuid, key or "": none -> 1, or 0: no such sensor */

static const char  ngx_http_d4_script_key[] =
    NGX_HTTP_D4_LUA_INDEX
    "local u=ARGV[1] "
    "if not has('registered_uuid',u) "
        "and not has('sensor_pending_registration',u) "
        "and redis.call('EXISTS','metadata_uuid:'..u)==0 then return 0 end "
    "redis.call('HINCRBY','metadata_uuid:'..u,'key_changes',1) "
    "if ARGV[2]=='' then redis.call('HDEL','metadata_uuid:'..u,'hmac_key') "
    "else redis.call('HSET','metadata_uuid:'..u,'hmac_key',ARGV[2]) end "
    "return 1";


static const d4_field_t  ngx_http_d4_key_fields[] = {
    { "hmac_key", D4_FIELD_STRING, 0, 1, 1000, d4_check_key },
    { NULL, 0, 0, 0, 0, NULL }
};

static const d4_field_t  ngx_http_d4_no_fields[] = {
    { NULL, 0, 0, 0, 0, NULL }
};


const ngx_http_d4_route_t  ngx_http_d4_action_routes[] = {

    { NGX_HTTP_POST, "sensors/{}/approve", NGX_HTTP_D4_ADMIN,
      NGX_HTTP_D4_NO_BODY|NGX_HTTP_D4_MATCHES, ngx_http_d4_approve,
      ngx_http_d4_no_fields, NULL },

    { NGX_HTTP_POST, "sensors/{}/kick", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_NO_BODY|NGX_HTTP_D4_MATCHES, ngx_http_d4_kick,
      ngx_http_d4_no_fields, NULL },

    { NGX_HTTP_POST, "sensors/{}/block", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_NO_BODY|NGX_HTTP_D4_MATCHES, ngx_http_d4_block,
      ngx_http_d4_no_fields, NULL },

    { NGX_HTTP_DELETE, "sensors/{}/block", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_MATCHES, ngx_http_d4_unblock, NULL, NULL },

    { NGX_HTTP_PUT, "sensors/{}/key", NGX_HTTP_D4_ADMIN,
      NGX_HTTP_D4_NO_BODY|NGX_HTTP_D4_MATCHES, ngx_http_d4_key_set,
      ngx_http_d4_key_fields, NULL },

    { NGX_HTTP_DELETE, "sensors/{}/key", NGX_HTTP_D4_ADMIN,
      NGX_HTTP_D4_MATCHES, ngx_http_d4_key_remove, NULL, NULL },

    { NGX_HTTP_DELETE, "pending/{}", NGX_HTTP_D4_ADMIN, NGX_HTTP_D4_MATCHES,
      ngx_http_d4_reject, NULL, NULL },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};


static void
ngx_http_d4_done(ngx_http_d4_api_t *a)
{
    ngx_http_d4_success(a);
}


static void
ngx_http_d4_sensor_change(ngx_http_d4_api_t *a, ngx_array_t *words)
{
    ngx_http_d4_change(a, NGX_D4_REDIS_METADATA, NGX_HTTP_D4_A_SENSOR,
                       &a->uuid, words);
}


/* As published, a uuid that never asked may be approved, too. */

static void
ngx_http_d4_approve(ngx_http_d4_api_t *a)
{
    ngx_http_d4_sensor_change(a, ngx_http_d4_words(a, "EVAL %s 0 %V %L",
                                 ngx_http_d4_script_approve, &a->uuid,
                                 (int64_t) ngx_time()));
    ngx_http_d4_announce(a, "sensor", &a->uuid);
    ngx_http_d4_wait(a, ngx_http_d4_done);
}


static void
ngx_http_d4_kick(ngx_http_d4_api_t *a)
{
    ngx_http_d4_ask(a, NGX_D4_REDIS_STREAMS,
                    "SISMEMBER active_connection %V", &a->uuid);
    ngx_http_d4_check(a, NGX_D4_REDIS_METADATA, NGX_HTTP_D4_A_SENSOR,
                      &a->uuid);
    ngx_http_d4_wait(a, ngx_http_d4_kick_known);
}


/* The channel comes after the set: two connections, two steps. */

static void
ngx_http_d4_kick_announce(ngx_http_d4_api_t *a)
{
    ngx_http_d4_announce(a, "kick", &a->uuid);
    ngx_http_d4_wait(a, ngx_http_d4_done);
}


static void
ngx_http_d4_kick_known(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_CONFLICT, "The sensor is not connected");
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_STREAMS,
                    "SADD server:sensor_to_kick %V", &a->uuid);
    ngx_http_d4_wait(a, ngx_http_d4_kick_announce);
}


static void
ngx_http_d4_block(ngx_http_d4_api_t *a)
{
    ngx_http_d4_sensor_change(a, ngx_http_d4_words(a,
                                 "SADD blacklist_uuid %V", &a->uuid));
    ngx_http_d4_announce(a, "block", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_done);
}


static void
ngx_http_d4_unblock(ngx_http_d4_api_t *a)
{
    ngx_http_d4_sensor_change(a, ngx_http_d4_words(a,
                                 "SREM blacklist_uuid %V %s", &a->uuid,
                                 a->uuid_dashed));
    ngx_http_d4_announce(a, "block", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_done);
}


static void
ngx_http_d4_key_set(ngx_http_d4_api_t *a)
{
    char       made[D4_KEY + 1];
    ngx_str_t  key;

    key = ngx_http_d4_member(a, "hmac_key");

    if (key.data == NULL) {

        if (d4_key_make(made) != 0) {
            ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR,
                              "No randomness");
            return;
        }

        a->made = ngx_http_d4_copy(a, made, D4_KEY);
        key = a->made;
    }

    ngx_http_d4_sensor_change(a, ngx_http_d4_words(a, "EVAL %s 0 %V %V",
                                 ngx_http_d4_script_key, &a->uuid, &key));
    ngx_http_d4_announce(a, "sensor", &a->uuid);
    ngx_http_d4_wait(a, ngx_http_d4_key_changed);
}


static void
ngx_http_d4_key_remove(ngx_http_d4_api_t *a)
{
    ngx_http_d4_sensor_change(a, ngx_http_d4_words(a, "EVAL %s 0 %V ",
                                 ngx_http_d4_script_key, &a->uuid));
    ngx_http_d4_announce(a, "sensor", &a->uuid);
    ngx_http_d4_wait(a, ngx_http_d4_key_changed);
}


static void
ngx_http_d4_key_changed(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such sensor");
        return;
    }

    if (a->made.len == 0) {
        ngx_http_d4_success(a);
        return;
    }

    d4_out_object(&a->out, NULL);
    d4_out_string(&a->out, "uuid", a->uuid.data, a->uuid.len);
    d4_out_string(&a->out, "hmac_key", a->made.data, a->made.len);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_reject(ngx_http_d4_api_t *a)
{
    if (ngx_http_d4_set_uuid(a, a->params[0].text, a->params[0].len)
        != NGX_OK)
    {
        return;
    }

    ngx_http_d4_sensor_change(a, ngx_http_d4_words(a,
                                 "SREM sensor_pending_registration %V %s",
                                 &a->uuid, a->uuid_dashed));
    ngx_http_d4_wait(a, ngx_http_d4_rejecting);
}


static void
ngx_http_d4_rejecting(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such sensor is pending");
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "EVAL %s 0 %V",
                    ngx_http_d4_script_delete, &a->uuid);
    ngx_http_d4_wait(a, ngx_http_d4_done);
}

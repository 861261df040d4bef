
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Sensors: one, created, changed, deleted.
 */


#include "ngx_http_d4_match.h"


static void ngx_http_d4_sensor_get(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_got(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_create(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_created(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_register(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_registered(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_update(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_updated(ngx_http_d4_api_t *a);
static ngx_str_t ngx_http_d4_join(ngx_http_d4_api_t *a, json_t *list);
static void ngx_http_d4_field_words(ngx_http_d4_api_t *a, ngx_array_t *words,
    json_t *body, ngx_uint_t empty);


static const char  ngx_http_d4_script_sensor[] =
    NGX_HTTP_D4_LUA_INDEX
    NGX_HTTP_D4_LUA_SENSOR
    NGX_HTTP_D4_LUA_SENSOR_STATE
    "local s=sensors({ARGV[1]})[1] "
    "s[18]=state(s) "
    "return s";


/* Lua: sets the pairs of field and value from ARGV[5] on. */

#define NGX_HTTP_D4_LUA_FIELDS                                                \
    "for i=5,#ARGV,2 do "                                                     \
        "if ARGV[i]=='stream_limit' then "                                    \
            "redis.call('HSET','stream_max_size_by_uuid',u,ARGV[i+1]) "       \
        "elseif ARGV[i]=='monitoring_delay' then "                            \
            "redis.call('HSET','to_monitor:sensor:'..u,'delta_time',"         \
                "ARGV[i+1]) "                                                 \
            "redis.call('SADD','to_monitor:sensors',u) "                      \
            "redis.call('SET','sensors_monitoring:last_updated',ARGV[4]) "    \
        "else redis.call('HSET',k,ARGV[i],ARGV[i+1]) end end "

/*
 * uuid, state, key or "", now, [field, value]... -> 1, or 0: it is there
 *
 * What an earlier sensor of this uuid left behind is overwritten.
 */

const char  ngx_http_d4_script_create[] =
    NGX_HTTP_D4_LUA_INDEX
    "local u=ARGV[1] "
    "if has('registered_uuid',u) or has('sensor_pending_registration',u) then "
        "return 0 end "
    "local k='metadata_uuid:'..u "
    "redis.call('HDEL',k,'name','description','group','tags','user_mail',"
        "'third_party','hmac_key','Error') "
    "redis.call('HSET',k,'created',ARGV[4]) "
    "redis.call('HINCRBY',k,'key_changes',1) "
    "if ARGV[3]~='' then redis.call('HSET',k,'hmac_key',ARGV[3]) end "
    NGX_HTTP_D4_LUA_FIELDS
    "redis.call('SADD',ARGV[2]=='registered' and 'registered_uuid' "
        "or 'sensor_pending_registration',u) "
    "index(u) "
    "redis.call('PUBLISH','d4:control','sensor '..u) "
    "return 1";


/*
 * The same -> 1, or 2: it was there and has what is given; its state and, if
 * none is given, its key stay.
 */

const char  ngx_http_d4_script_upsert[] =
    NGX_HTTP_D4_LUA_INDEX
    "local u=ARGV[1] "
    "local there=has('registered_uuid',u) "
        "or has('sensor_pending_registration',u) "
    "local k='metadata_uuid:'..u "
    "if there then unindex(u) "
    "else "
        "redis.call('HDEL',k,'hmac_key','Error') "
        "redis.call('HSET',k,'created',ARGV[4]) "
        "redis.call('SADD',ARGV[2]=='registered' and 'registered_uuid' "
            "or 'sensor_pending_registration',u) end "
    "redis.call('HDEL',k,'name','description','group','tags','user_mail',"
        "'third_party') "
    "if ARGV[3]~='' then redis.call('HSET',k,'hmac_key',ARGV[3]) end "
    "if ARGV[3]~='' or not there then "
        "redis.call('HINCRBY',k,'key_changes',1) end "
    NGX_HTTP_D4_LUA_FIELDS
    "index(u) "
    "if there and ARGV[3]~='' then "
        "redis.call('PUBLISH','d4:control','sensor '..u) end "
    "return there and 2 or 1";


/*
 * uuid, now, [field, value or "" to remove it]... -> 1, or 0: no such sensor
 */

static const char  ngx_http_d4_script_update[] =
    NGX_HTTP_D4_LUA_INDEX
    "local u=ARGV[1] "
    "local k='metadata_uuid:'..u "
    "local known=has('registered_uuid',u) "
        "or has('sensor_pending_registration',u) "
    "if not known and redis.call('EXISTS',k)==0 then return 0 end "
    "if known then unindex(u) end "
    "for i=3,#ARGV,2 do "
        "local f,v=ARGV[i],ARGV[i+1] "
        "if f=='stream_limit' then "
            "redis.call('HDEL','stream_max_size_by_uuid',u,dash(u)) "
            "if v~='' then "
                "redis.call('HSET','stream_max_size_by_uuid',u,v) end "
        "elseif f=='monitoring_delay' then "
            "if v~='' then "
                "redis.call('HSET','to_monitor:sensor:'..u,'delta_time',v) "
                "redis.call('SADD','to_monitor:sensors',u) "
            "else "
                "redis.call('DEL','to_monitor:sensor:'..u) "
                "redis.call('SREM','to_monitor:sensors',u) "
                "redis.call('SREM','sensors_monitoring:sensors_error',u) end "
            "redis.call('SET','sensors_monitoring:last_updated',ARGV[2]) "
        "elseif v=='' then redis.call('HDEL',k,f) "
        "else redis.call('HSET',k,f,v) end end "
    "if known then index(u) end "
    "return 1";


#define NGX_HTTP_D4_SENSOR_FIELDS                                             \
    { "name", D4_FIELD_STRING, D4_FIELD_NULL, 1, 100, NULL },                 \
    { "description", D4_FIELD_STRING, D4_FIELD_NULL, 0, 1000, NULL },         \
    { "group", D4_FIELD_STRING, D4_FIELD_NULL, 1, 100, NULL },                \
    { "tags", D4_FIELD_LIST, D4_FIELD_NULL, 0, NGX_HTTP_D4_TAGS,              \
      d4_check_tag },                                                         \
    { "mail", D4_FIELD_STRING, D4_FIELD_NULL, 3, 254, d4_check_mail },        \
    { "stream_limit", D4_FIELD_INT, D4_FIELD_NULL, 0, 1000000000, NULL },     \
    { "monitoring_delay", D4_FIELD_INT, D4_FIELD_NULL, 1, 31536000, NULL }


const d4_field_t  ngx_http_d4_create_fields[] = {
    NGX_HTTP_D4_SENSOR_FIELDS,
    { "uuid", D4_FIELD_UUID, 0, 0, 0, NULL },
    { "hmac_key", D4_FIELD_STRING, 0, 1, 1000, d4_check_key },
    { "third_party", D4_FIELD_BOOL, 0, 0, 0, NULL },
    { NULL, 0, 0, 0, 0, NULL }
};

/* as published: all that was known there, and in its order of checks */
static const d4_field_t  ngx_http_d4_register_fields[] = {
    { "uuid", D4_FIELD_STRING, 0, 0, 1000, NULL },
    { "hmac_key", D4_FIELD_STRING, 0, 0, 1000, NULL },
    { "mail", D4_FIELD_STRING, D4_FIELD_NULL, 0, 254, NULL },
    { "description", D4_FIELD_STRING, D4_FIELD_NULL, 0, 1000, NULL },
    { "third_party", D4_FIELD_BOOL, D4_FIELD_NULL, 0, 0, NULL },
    { NULL, 0, 0, 0, 0, NULL }
};

static const d4_field_t  ngx_http_d4_update_fields[] = {
    NGX_HTTP_D4_SENSOR_FIELDS,
    { NULL, 0, 0, 0, 0, NULL }
};


const ngx_http_d4_route_t  ngx_http_d4_sensor_routes[] = {

    { NGX_HTTP_GET, "sensors/{}", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_sensor_get, NULL, NULL },

    { NGX_HTTP_POST, "sensors", NGX_HTTP_D4_REGISTER, NGX_HTTP_D4_IS_THERE,
      ngx_http_d4_sensor_create, ngx_http_d4_create_fields, NULL },

    { NGX_HTTP_PATCH, "sensors/{}", NGX_HTTP_D4_USER, NGX_HTTP_D4_MATCHES,
      ngx_http_d4_sensor_update, ngx_http_d4_update_fields, NULL },

    { NGX_HTTP_DELETE, "sensors/{}", NGX_HTTP_D4_ADMIN, NGX_HTTP_D4_MATCHES,
      ngx_http_d4_sensor_delete, NULL, NULL },

    { NGX_HTTP_POST, "add/sensor/register", NGX_HTTP_D4_REGISTER, 0,
      ngx_http_d4_sensor_register, ngx_http_d4_register_fields, NULL },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};


static void
ngx_http_d4_sensor_get(ngx_http_d4_api_t *a)
{
    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "EVAL %s 0 %V",
                    ngx_http_d4_script_sensor, &a->uuid);
    ngx_http_d4_ask(a, NGX_D4_REDIS_STREAMS,
                    "SISMEMBER active_connection %V", &a->uuid);
    ngx_http_d4_wait(a, ngx_http_d4_sensor_got);
}


static void
ngx_http_d4_sensor_got(ngx_http_d4_api_t *a)
{
    ngx_uint_t            i, known;
    ngx_http_d4_reply_t  *sensor;

    sensor = a->reply[0];

    /* one that sends in mode shared-secret is known, though not registered */

    known = (sensor->element[NGX_HTTP_D4_SENSOR_STATE].str.len != 0);

    for (i = NGX_HTTP_D4_SENSOR_STATE + 2; i < NGX_HTTP_D4_SENSOR_LEN; i++) {
        if (sensor->element[i].type == REDIS_REPLY_STRING
            || (sensor->element[i].type == REDIS_REPLY_INTEGER
                && sensor->element[i].integer))
        {
            known = 1;
        }
    }

    if (!known && !a->reply[1]->integer) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such sensor");
        return;
    }

    ngx_http_d4_set_state(a, &sensor->element[NGX_HTTP_D4_SENSOR_LEN]);
    ngx_http_d4_sensor_json(a, NULL, sensor, a->reply[1]->integer != 0);
    ngx_http_d4_send(a, NGX_HTTP_OK);
}


void
ngx_http_d4_sensor_json(ngx_http_d4_api_t *a, const char *key,
    ngx_http_d4_reply_t *sensor, ngx_uint_t connected)
{
    u_char               *p, *last, *comma;
    d4_out_t             *o;
    ngx_http_d4_reply_t  *e;

    o = &a->out;
    e = sensor->element;

    d4_out_object(o, key);

    ngx_http_d4_json_string(o, "uuid", &e[0]);
    d4_out_text(o, "state", e[1].str.len ? (char *) e[1].str.data
                                         : "unregistered");
    d4_out_bool(o, "connected", connected != 0);
    d4_out_bool(o, "blocked", e[2].integer != 0);
    d4_out_bool(o, "own_key", e[3].integer != 0);
    ngx_http_d4_json_string(o, "name", &e[7]);
    ngx_http_d4_json_string(o, "description", &e[8]);
    ngx_http_d4_json_string(o, "group", &e[9]);

    d4_out_array(o, "tags");

    p = e[10].str.data;
    last = p + e[10].str.len;

    while (p && p < last) {
        comma = ngx_strlchr(p, last, ',');
        comma = comma ? comma : last;
        d4_out_string(o, NULL, p, comma - p);
        p = comma + 1;
    }

    d4_out_array_end(o);

    ngx_http_d4_json_string(o, "mail", &e[11]);
    d4_out_bool(o, "third_party",
                e[12].str.len
                && ngx_strcasecmp(e[12].str.data, (u_char *) "false") != 0);
    ngx_http_d4_json_number(o, "created", &e[13]);
    ngx_http_d4_json_number(o, "first_seen", &e[14]);
    ngx_http_d4_json_number(o, "last_seen", &e[15]);
    ngx_http_d4_json_string(o, "error", &e[16]);
    ngx_http_d4_json_number(o, "stream_limit", &e[4]);
    ngx_http_d4_json_number(o, "monitoring_delay", &e[5]);
    ngx_http_d4_json_strings(o, "types", &e[6]);

    d4_out_object_end(o);
}


static ngx_str_t
ngx_http_d4_join(ngx_http_d4_api_t *a, json_t *list)
{
    size_t     i, len;
    u_char    *p;
    json_t    *item;
    ngx_str_t  s;

    len = 0;

    json_array_foreach(list, i, item) {
        len += json_string_length(item) + 1;
    }

    ngx_str_null(&s);

    if (len == 0) {
        return s;
    }

    p = ngx_pnalloc(a->pool, len);
    if (p == NULL) {
        a->down = 1;
        return s;
    }

    s.data = p;

    json_array_foreach(list, i, item) {
        p = ngx_cpymem(p, json_string_value(item), json_string_length(item));
        *p++ = ',';
    }

    s.len = len - 1;

    return s;
}


/* Pairs of field and value; null and empty lists are "". */

static void
ngx_http_d4_field_words(ngx_http_d4_api_t *a, ngx_array_t *words,
    json_t *body, ngx_uint_t empty)
{
    ngx_str_t          s;
    json_t            *v;
    const char        *name;
    const d4_field_t  *f;

    for (f = ngx_http_d4_update_fields; f->name; f++) {

        v = json_object_get(body, f->name);

        if (v == NULL) {
            continue;
        }

        if (json_is_array(v)) {
            s = ngx_http_d4_join(a, v);

        } else {
            s.data = (u_char *) json_string_value(v);
            s.len = json_string_length(v);
        }

        if (s.len == 0 && !json_is_integer(v) && !empty) {
            continue;
        }

        name = (ngx_strcmp(f->name, "mail") == 0) ? "user_mail" : f->name;

        ngx_http_d4_word(words, name, ngx_strlen(name));

        if (json_is_integer(v)) {
            ngx_http_d4_word_number(words, json_integer_value(v));

        } else {
            ngx_http_d4_word(words, s.data, s.len);
        }
    }
}


void
ngx_http_d4_create_words(ngx_http_d4_api_t *a, ngx_array_t *words,
    json_t *body, const char *uuid, const char *state, const char *key)
{
    ngx_http_d4_word(words, uuid, D4_UUID_HEX);
    ngx_http_d4_word(words, state, ngx_strlen(state));
    ngx_http_d4_word(words, key, ngx_strlen(key));
    ngx_http_d4_word_number(words, ngx_time());

    ngx_http_d4_field_words(a, words, body, 0);

    if (d4_body_bool(body, "third_party", 0)) {
        ngx_http_d4_word(words, "third_party", 11);
        ngx_http_d4_word(words, "True", 4);
    }
}


/*
 * An administrator's sensor is registered at once, others' wait for approval.
 * Without a uuid or a key these are made; a key that was made is shown once.
 */

static void
ngx_http_d4_sensor_create(ngx_http_d4_api_t *a)
{
    u_char        uuid[D4_UUID_SIZE];
    ngx_str_t     given;
    const char   *key, *state;
    ngx_array_t  *words;
    char          made[D4_KEY + 1];

    given = ngx_http_d4_member(a, "uuid");

    if (given.data == NULL) {

        if (d4_uuid_make(uuid) != 0) {
            ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR,
                              "No randomness");
            return;
        }

        d4_uuid_hex(a->uuid_hex, uuid);
        given.data = (u_char *) a->uuid_hex;
        given.len = D4_UUID_HEX;
    }

    if (ngx_http_d4_set_uuid(a, (char *) given.data, given.len) != NGX_OK) {
        return;
    }

    key = d4_body_string(a->body, "hmac_key", NULL);

    if (key == NULL) {

        if (d4_key_make(made) != 0) {
            ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR,
                              "No randomness");
            return;
        }

        a->made = ngx_http_d4_copy(a, made, D4_KEY);
        key = (char *) a->made.data;
    }

    state = (a->rights & NGX_HTTP_D4_ADMIN) ? "registered" : "pending";

    words = ngx_http_d4_words(a, "EVAL %s 0", ngx_http_d4_script_create);
    ngx_http_d4_create_words(a, words, a->body, a->uuid_hex, state, key);
    ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);

    ngx_http_d4_wait(a, ngx_http_d4_sensor_created);
}


static void
ngx_http_d4_sensor_created(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_CONFLICT, "Sensor already registered");
        return;
    }

    d4_out_object(&a->out, NULL);
    d4_out_string(&a->out, "uuid", a->uuid.data, a->uuid.len);
    d4_out_text(&a->out, "state", (a->rights & NGX_HTTP_D4_ADMIN)
                                  ? "registered" : "pending");

    if (a->made.len) {
        d4_out_string(&a->out, "hmac_key", a->made.data, a->made.len);
    }

    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_CREATED);
}


static void
ngx_http_d4_sensor_register(ngx_http_d4_api_t *a)
{
    ngx_str_t     uuid, key;
    ngx_array_t  *words;

    uuid = ngx_http_d4_member(a, "uuid");

    if (ngx_http_d4_set_uuid(a, (char *) uuid.data, uuid.len) != NGX_OK) {
        return;
    }

    /* as published, a uuid that is taken is told before a missing key */

    key = ngx_http_d4_member(a, "hmac_key");

    if (key.len == 0) {
        ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA,
                        "SMISMEMBER registered_uuid %V %s", &a->uuid,
                        a->uuid_dashed);
        ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA,
                        "SMISMEMBER sensor_pending_registration %V %s",
                        &a->uuid, a->uuid_dashed);

    } else {
        words = ngx_http_d4_words(a, "EVAL %s 0", ngx_http_d4_script_create);
        ngx_http_d4_create_words(a, words, a->body, a->uuid_hex, "pending",
                                 (char *) key.data);
        ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);
    }

    ngx_http_d4_wait(a, ngx_http_d4_sensor_registered);
}


static void
ngx_http_d4_sensor_registered(ngx_http_d4_api_t *a)
{
    ngx_uint_t            i, taken;
    ngx_http_d4_reply_t  *r;

    r = a->reply[0];

    if (r->type == REDIS_REPLY_ARRAY) {

        taken = 0;

        for (i = 0; i < 2; i++) {
            taken += a->reply[i]->element[0].integer
                     + a->reply[i]->element[1].integer;
        }

        if (taken == 0) {
            ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST,
                              "Mandatory parameter(s) not provided");
            return;
        }

    } else if (r->integer) {
        d4_out_object(&a->out, NULL);
        d4_out_string(&a->out, "uuid", a->uuid.data, a->uuid.len);
        d4_out_object_end(&a->out);

        ngx_http_d4_send(a, NGX_HTTP_OK);

        return;
    }

    ngx_http_d4_error(a, NGX_HTTP_CONFLICT, "Sensor already registered");
}


static void
ngx_http_d4_sensor_update(ngx_http_d4_api_t *a)
{
    ngx_array_t  *words;

    words = ngx_http_d4_words(a, "EVAL %s 0 %V %L", ngx_http_d4_script_update,
                              &a->uuid, (int64_t) ngx_time());
    ngx_http_d4_field_words(a, words, a->body, 1);
    ngx_http_d4_change(a, NGX_D4_REDIS_METADATA, NGX_HTTP_D4_A_SENSOR,
                       &a->uuid, words);
    ngx_http_d4_announce(a, "sensor", &a->uuid);

    ngx_http_d4_wait(a, ngx_http_d4_sensor_updated);
}


static void
ngx_http_d4_sensor_updated(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such sensor");
        return;
    }

    ngx_http_d4_sensor_get(a);
}

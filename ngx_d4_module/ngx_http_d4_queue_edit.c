
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Analyzer queues are created, changed and deleted.
 *
 * Where the published server is wrong, what is right is written: a queue of a
 * group is fed through sensor:queues:<type or name>:<uuid> with uuids in hex
 * for every type, and a queue of an extended type is the list
 * analyzer:<name>:<queue>.  Deleting removes what either has written.
 */


#include "ngx_http_d4_match.h"
#include "ngx_http_d4_queue.h"


#define NGX_HTTP_D4_QUEUE_GROUP  10000 /* sensors */


static void ngx_http_d4_queue_created(ngx_http_d4_api_t *a);
static void ngx_http_d4_queue_updated(ngx_http_d4_api_t *a);
static void ngx_http_d4_queue_deleted(ngx_http_d4_api_t *a);
static void ngx_http_d4_queue_fields(ngx_array_t *words, json_t *body);
static void ngx_http_d4_queue_members(ngx_array_t *words, json_t *list);


/*
 * queue, type, extended type or "", number of fields, [field, value]...,
 * uuid... -> 1; 0: the queue exists; -1: the extended type is not accepted
 */

static const char  ngx_http_d4_script_queue_create[] =
    "local q,t,e,n=ARGV[1],ARGV[2],ARGV[3],tonumber(ARGV[4]) "
    "if redis.call('SISMEMBER','all_analyzer_queues',q)==1 "
        "or redis.call('EXISTS','analyzer:'..q)==1 then return 0 end "
    "if e~='' and redis.call('SISMEMBER','server:accepted_extended_type',e)"
        "==0 then return -1 end "
    "local group=#ARGV>4+2*n "
    "redis.call('HSET','analyzer:'..q,'type',t) "
    "if e~='' then redis.call('HSET','analyzer:'..q,'metatype',e) end "
    "for i=5,4+2*n,2 do "
        "redis.call('HSET','analyzer:'..q,ARGV[i],ARGV[i+1]) end "
    "local name=e~='' and '254:'..e or t "
    "redis.call('SADD','all_analyzer_queues',q) "
    "if e~='' then "
        "redis.call('SADD','all:analyzer:extended_type',e) "
        "redis.call('SADD','all:analyzer:by:extended_type:'..e,q) "
    "else "
        "redis.call('SADD','all:analyzer:format_type',t) "
        "redis.call('SADD','all:analyzer:by:format_type:'..t,q) end "
    "if group then "
        "redis.call('SADD','analyzer_uuid_group:'..name,q) "
        "for i=5+2*n,#ARGV do "
            "redis.call('SADD','analyzer_sensor_group:'..q,ARGV[i]) "
            "redis.call('SADD','sensor:queues:'..(e~='' and e or t)..':'.."
                "ARGV[i],q) end "
    "else redis.call('SADD','analyzer:'..name,q) end "
    "return 1";


/*
 * Lua: leave(q,t,e) takes all sensors out of a group.  Members may have been
 * written with dashes, and lists under the names that the published server
 * used by mistake.
 */

#define NGX_HTTP_D4_LUA_LEAVE                                                 \
    "local function leave(q,t,e) "                                            \
        "local k='analyzer_sensor_group:'..q "                                \
        "for _,v in ipairs(redis.call('SMEMBERS',k)) do "                     \
            "local u=string.gsub(string.lower(v),'-','') "                    \
            "for _,n in ipairs({t,e,'list','254'}) do "                       \
                "redis.call('SREM','sensor:queues:'..n..':'..u,q) "           \
                "redis.call('SREM','sensor:queues:'..n..':'..v,q) end end "   \
        "redis.call('DEL',k) end "


/*
 * queue, group (0: unchanged, 1), number of fields, [field, value or ""]...,
 * uuid... -> 1; 0: no such queue; -1: it is not one of a group
 */

static const char  ngx_http_d4_script_queue_update[] =
    NGX_HTTP_D4_LUA_LEAVE
    "local q,n=ARGV[1],tonumber(ARGV[3]) "
    "local k='analyzer:'..q "
    "local m=redis.call('HMGET',k,'type','metatype') "
    "if not m[1] then return 0 end "
    "local t,e=m[1],m[2] or '' "
    "if t~='254' and t~='2' then e='' end "
    "if ARGV[2]=='1' then "
        "if redis.call('EXISTS','analyzer_sensor_group:'..q)==0 then "
            "return -1 end "
        "redis.call('HINCRBY',k,'group_changes',1) "
        "leave(q,t,e) "
        "for i=4+2*n,#ARGV do "
            "redis.call('SADD','analyzer_sensor_group:'..q,ARGV[i]) "
            "redis.call('SADD','sensor:queues:'..(e~='' and e or t)..':'.."
                "ARGV[i],q) end end "
    "for i=4,3+2*n,2 do "
        "if ARGV[i+1]=='' then redis.call('HDEL',k,ARGV[i]) "
        "else redis.call('HSET',k,ARGV[i],ARGV[i+1]) end end "
    "return 1";


/* queue -> {type, extended type}, or {}: no such queue */

static const char  ngx_http_d4_script_queue_delete[] =
    NGX_HTTP_D4_LUA_LEAVE
    "local q=ARGV[1] "
    "local m=redis.call('HMGET','analyzer:'..q,'type','metatype') "
    "if not m[1] then "
        "if redis.call('SREM','all_analyzer_queues',q)==0 then return {} end "
        "m[1]='' end "
    "local t,e=m[1],m[2] or '' "
    "leave(q,t,e) "
    "for _,n in ipairs({t,'254:'..e}) do "
        "redis.call('SREM','analyzer:'..n,q) "
        "redis.call('SREM','analyzer_uuid_group:'..n,q) end "
    "for _,v in ipairs({{'all:analyzer:by:format_type:',t,"
        "'all:analyzer:format_type'},{'all:analyzer:by:extended_type:',e,"
        "'all:analyzer:extended_type'}}) do "
        "redis.call('SREM',v[1]..v[2],q) "
        "if redis.call('EXISTS',v[1]..v[2])==0 then "
            "redis.call('SREM',v[3],v[2]) end end "
    "redis.call('SREM','all_analyzer_queues',q) "
    "redis.call('DEL','analyzer:'..q,'d4:watch:'..q) "
    "redis.call('SREM','d4:watch:full',q) "
    "redis.call('SREM','d4:watch:unread',q) "
    "return {t,e}";


static int
ngx_http_d4_check_element(const char *text, size_t len)
{
    return (len == 4 && (memcmp(text, "line", 4) == 0
                         || memcmp(text, "path", 4) == 0));
}


/* queues; list: it goes with what the dispatcher counted of it */

static const char  ngx_http_d4_script_queue_drop[] =
    "redis.call('UNLINK',ARGV[1],'d4:queue:'..ARGV[1]) "
    "redis.call('SREM','d4:queues:full',ARGV[1]) "
    "redis.call('SREM','d4:queues:unread',ARGV[1]) "
    "return 1";


#define NGX_HTTP_D4_QUEUE_FIELDS                                              \
    { "description", D4_FIELD_STRING, D4_FIELD_NULL, 0, 1000, NULL },         \
    { "max_size", D4_FIELD_INT, D4_FIELD_NULL, 1, 1000000000000, NULL },      \
    { "max_bytes", D4_FIELD_INT, D4_FIELD_NULL, 1, 1000000000000000, NULL },  \
    { "element", D4_FIELD_STRING, D4_FIELD_NULL, 4, 4,                        \
      ngx_http_d4_check_element }

const d4_field_t  ngx_http_d4_queue_create_fields[] = {
    NGX_HTTP_D4_QUEUE_FIELDS,
    { "id", D4_FIELD_UUID, 0, 0, 0, NULL },
    { "type", D4_FIELD_INT, 0, 1, 254, NULL },
    { "extended_type", D4_FIELD_STRING, 0, 1, 64, d4_check_word },
    { "sensors", D4_FIELD_UUIDS, 0, 1, NGX_HTTP_D4_QUEUE_GROUP, NULL },
    { NULL, 0, 0, 0, 0, NULL }
};

const d4_field_t  ngx_http_d4_queue_update_fields[] = {
    NGX_HTTP_D4_QUEUE_FIELDS,
    { "sensors", D4_FIELD_UUIDS, 0, 1, NGX_HTTP_D4_QUEUE_GROUP, NULL },
    { NULL, 0, 0, 0, 0, NULL }
};


/* Their number, then the pairs; null is "", which removes. */

static void
ngx_http_d4_queue_fields(ngx_array_t *words, json_t *body)
{
    json_t      *v;
    ngx_uint_t   i, n;

    static const char *const  names[] = {
        "description", "max_size", "max_bytes", "element", NULL
    };

    n = 0;

    for (i = 0; names[i]; i++) {
        n += (json_object_get(body, names[i]) != NULL);
    }

    ngx_http_d4_word_number(words, n);

    for (i = 0; names[i]; i++) {

        v = json_object_get(body, names[i]);

        if (v == NULL) {
            continue;
        }

        ngx_http_d4_word(words, names[i], ngx_strlen(names[i]));

        if (json_is_integer(v)) {
            ngx_http_d4_word_number(words, json_integer_value(v));

        } else {
            ngx_http_d4_word(words, json_string_value(v),
                             json_string_length(v));
        }
    }
}


static void
ngx_http_d4_queue_members(ngx_array_t *words, json_t *list)
{
    char     hex[D4_UUID_HEX + 1];
    size_t   i;
    u_char   uuid[D4_UUID_SIZE];
    json_t  *item;

    json_array_foreach(list, i, item) {
        (void) d4_uuid_parse(uuid, json_string_value(item),
                             json_string_length(item));
        d4_uuid_hex(hex, uuid);
        ngx_http_d4_word(words, hex, D4_UUID_HEX);
    }
}


void
ngx_http_d4_queue_create(ngx_http_d4_api_t *a)
{
    u_char        uuid[D4_UUID_SIZE];
    int64_t       type;
    ngx_str_t     extended, id;
    ngx_array_t  *words;

    type = d4_body_int(a->body, "type", 0);
    extended = ngx_http_d4_member(a, "extended_type");

    if (extended.len) {

        if (type != 0 && type != 254) {
            ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST,
                              "An extended type is of type 254");
            return;
        }

        type = 254;

    } else if (type == 0 || type == 2 || type == 254) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Mandatory parameter(s) "
                          "not provided: type (other than 2 and 254) or "
                          "extended_type");
        return;
    }

    id = ngx_http_d4_member(a, "id");

    if (id.data) {
        (void) d4_uuid_parse(uuid, (char *) id.data, id.len);

    } else if (d4_uuid_make(uuid) != 0) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No randomness");
        return;
    }

    d4_uuid_dashed(a->uuid_dashed, uuid);

    words = ngx_http_d4_words(a, "EVAL %s 0 %s %L %V",
                              ngx_http_d4_script_queue_create,
                              a->uuid_dashed, type, &extended);
    ngx_http_d4_queue_fields(words, a->body);
    ngx_http_d4_queue_members(words, json_object_get(a->body, "sensors"));
    ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);
    ngx_http_d4_announce(a, "queues", NULL);

    ngx_http_d4_wait(a, ngx_http_d4_queue_created);
}


static void
ngx_http_d4_queue_created(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_CONFLICT, "That queue exists");
        return;
    }

    if (a->reply[0]->integer < 0) {
        ngx_http_d4_error(a, NGX_HTTP_CONFLICT,
                          "That extended type is not accepted");
        return;
    }

    d4_out_object(&a->out, NULL);
    d4_out_text(&a->out, "id", a->uuid_dashed);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_CREATED);
}


void
ngx_http_d4_queue_update(ngx_http_d4_api_t *a)
{
    json_t       *sensors;
    ngx_str_t     id;
    ngx_array_t  *words;

    if (ngx_http_d4_queue_id(a, &id) != NGX_OK) {
        return;
    }

    sensors = json_object_get(a->body, "sensors");

    words = ngx_http_d4_words(a, "EVAL %s 0 %V %s",
                              ngx_http_d4_script_queue_update, &id,
                              sensors ? "1" : "0");
    ngx_http_d4_queue_fields(words, a->body);
    ngx_http_d4_queue_members(words, sensors);
    ngx_http_d4_change(a, NGX_D4_REDIS_METADATA, NGX_HTTP_D4_A_QUEUE, &id,
                       words);
    ngx_http_d4_announce(a, "queues", NULL);

    ngx_http_d4_wait(a, ngx_http_d4_queue_updated);
}


static void
ngx_http_d4_queue_updated(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such queue");
        return;
    }

    if (a->reply[0]->integer < 0) {
        ngx_http_d4_error(a, NGX_HTTP_CONFLICT,
                          "That queue is one of all sensors");
        return;
    }

    ngx_http_d4_queue_get(a);
}


void
ngx_http_d4_queue_done(ngx_http_d4_api_t *a)
{
    ngx_http_d4_success(a);
}


/* The definition goes first, so that nothing is pushed any more. */

void
ngx_http_d4_queue_delete(ngx_http_d4_api_t *a)
{
    ngx_str_t  id;

    if (ngx_http_d4_queue_id(a, &id) != NGX_OK) {
        return;
    }

    ngx_http_d4_change(a, NGX_D4_REDIS_METADATA, NGX_HTTP_D4_A_QUEUE, &id,
                       ngx_http_d4_words(a, "EVAL %s 0 %V",
                                         ngx_http_d4_script_queue_delete,
                                         &id));
    ngx_http_d4_announce(a, "queues", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_queue_deleted);
}


static void
ngx_http_d4_queue_deleted(ngx_http_d4_api_t *a)
{
    ngx_str_t             id;
    ngx_array_t          *words;
    ngx_http_d4_reply_t  *e;

    if (a->reply[0]->n == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such queue");
        return;
    }

    e = a->reply[0]->element;

    id.data = (u_char *) a->params[0].text;
    id.len = a->params[0].len;

    words = ngx_http_d4_words(a, "EVAL %s 0", ngx_http_d4_script_queue_drop);
    ngx_http_d4_queue_list_word(words, &e[0].str, &e[1].str, &id);
    ngx_http_d4_ask_words(a, NGX_D4_REDIS_QUEUES, words);
    ngx_http_d4_wait(a, ngx_http_d4_queue_done);
}

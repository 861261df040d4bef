
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * If-Match and If-None-Match where something is changed (RFC 9110, 13.1).
 *
 * An entity tag is 16 digits of what a change of the resource can change, its
 * state, and 16 of the whole answer.  GET compares all of it; a change the
 * state alone, and in the script that makes the change: what a sensor does
 * meanwhile (last_seen, connected) is nobody's lost update.
 */


#ifndef _NGX_HTTP_D4_MATCH_H_INCLUDED_
#define _NGX_HTTP_D4_MATCH_H_INCLUDED_


#include "ngx_http_d4_sensor.h"


#pragma GCC visibility push(hidden)


#define NGX_HTTP_D4_STATE  16          /* digits of a state ... */
#define NGX_HTTP_D4_TAG    32          /* ... and of an entity tag */


/* what the id of a change names */
typedef enum {
    NGX_HTTP_D4_A_SENSOR = 0,          /* uuid, in metadata */
    NGX_HTTP_D4_A_QUEUE,               /* id, in metadata */
    NGX_HTTP_D4_A_USER,                /* e-mail, in users */
    NGX_HTTP_D4_A_MEMBER               /* "key member" of a set */
} ngx_http_d4_kind_t;


/* Lua: digits(...) of strings, numbers and false */

#define NGX_HTTP_D4_LUA_DIGITS                                                \
    "local function digits(...) "                                             \
        "local t={} "                                                         \
        "for i=1,select('#',...) do "                                         \
            "local v=select(i,...) v=v and tostring(v) "                      \
            "t[i]=v and #v..':'..v or '-' end "                               \
        "return string.sub(redis.sha1hex(table.concat(t)),1,16) end "

/*
 * Lua: state(...) is false where there is nothing, '' where there is nothing
 * to compare, or the state; of a sensor it takes what sensors() says of it.
 * No key is in a state, which could be guessed from it; that it was changed
 * is.
 */

#define NGX_HTTP_D4_LUA_SENSOR_STATE                                          \
    NGX_HTTP_D4_LUA_DIGITS                                                    \
    "local function state(s) "                                                \
        "local k='metadata_uuid:'..s[1] "                                     \
        "if s[2]=='' and redis.call('EXISTS',k)==0 then return false end "    \
        "return digits(s[2],s[3],s[4],s[5],s[6],s[8],s[9],s[10],s[11],s[12]," \
            "s[13],s[14],redis.call('HGET',k,'key_changes')) end "

#define NGX_HTTP_D4_LUA_QUEUE_STATE                                           \
    NGX_HTTP_D4_LUA_DIGITS                                                    \
    "local function state(q) "                                                \
        "local m=redis.call('HMGET','analyzer:'..q,'type','metatype',"        \
            "'description','max_size','max_bytes','element',"                 \
            "'group_changes') "                                               \
        "if not m[1] then return false end "                                  \
        "return digits(redis.call('SCARD','analyzer_sensor_group:'..q),"      \
            "unpack(m,1,7)) end "

#define NGX_HTTP_D4_LUA_USER_STATE                                            \
    NGX_HTTP_D4_LUA_DIGITS                                                    \
    "local function state(e) "                                                \
        "local p=redis.call('HGET','user:all',e) "                            \
        "if not p then return false end "                                     \
        "local r={} "                                                         \
        "for i,v in ipairs({'admin','user','viewer','sensor_register'}) do "  \
            "r[i]=redis.call('SISMEMBER','user_role:'..v,e) end "             \
        "return digits(p,r[1],r[2],r[3],r[4]) end "


/*
 * Takes both fields from the request.  NGX_ERROR: it was answered with 412,
 * because the route has nothing that they could hold for.
 */
ngx_int_t ngx_http_d4_match(ngx_http_d4_api_t *a);

/*
 * Before an answer to GET with this entity tag, "" for none.  NGX_ERROR: it
 * was answered with 412.
 */
ngx_int_t ngx_http_d4_match_answer(ngx_http_d4_api_t *a, const char *tag);

/*
 * Asks for a change (a command, or EVAL) under the condition of the request,
 * if it has one: otherwise nothing is changed, and it is answered with 412.
 */
void ngx_http_d4_change(ngx_http_d4_api_t *a, ngx_uint_t role,
    ngx_http_d4_kind_t kind, ngx_str_t *id, ngx_array_t *words);

/* The same for a member of a set in metadata. */
void ngx_http_d4_change_member(ngx_http_d4_api_t *a, const char *key,
    ngx_str_t *member, ngx_array_t *words);

/* The same before a change elsewhere; asks nothing without a condition. */
void ngx_http_d4_check(ngx_http_d4_api_t *a, ngx_uint_t role,
    ngx_http_d4_kind_t kind, ngx_str_t *id);

/* The state of what is being sent, for its entity tag. */
void ngx_http_d4_set_state(ngx_http_d4_api_t *a, ngx_http_d4_reply_t *state);


#pragma GCC visibility pop

#endif /* _NGX_HTTP_D4_MATCH_H_INCLUDED_ */

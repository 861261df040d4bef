
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Sensors in metadata, for all parts of the API that write or show them.
 *
 * Beside the published keys there are indexes of our own, so that lists can be
 * sorted and paged without reading a whole set: d4:index:uuid and
 * d4:index:name in the order of bytes (name, then NUL and uuid),
 * d4:index:seen by last_seen; d4:index:tag:<tag> and d4:index:group:<group> by
 * uuid.  What other programs register is found by the keeper and added.
 */


#ifndef _NGX_HTTP_D4_SENSOR_H_INCLUDED_
#define _NGX_HTTP_D4_SENSOR_H_INCLUDED_


#include "ngx_http_d4_api.h"


#pragma GCC visibility push(hidden)


#define NGX_HTTP_D4_TAGS  32           /* of a sensor */


/*
 * Lua: dash(u); has(k,u), of a set whose members may be dashed; split(s) at
 * commas; unindex(u) and index(u), before and after a sensor is changed.
 */

#define NGX_HTTP_D4_LUA_INDEX                                                 \
    "local function dash(u) return string.sub(u,1,8)..'-'..string.sub(u,9,12)"\
        "..'-'..string.sub(u,13,16)..'-'..string.sub(u,17,20)..'-'.."         \
        "string.sub(u,21) end "                                               \
    "local function has(k,u) "                                                \
        "local r=redis.call('SMISMEMBER',k,u,dash(u)) "                       \
        "return r[1]+r[2]>0 end "                                             \
    "local function split(s) local t={} "                                     \
        "for v in string.gmatch(s or '','[^,]+') do t[#t+1]=v end "           \
        "return t end "                                                       \
    "local function unindex(u) "                                              \
        "local m=redis.call('HMGET','metadata_uuid:'..u,"                     \
            "'name','group','tags') "                                         \
        "redis.call('ZREM','d4:index:uuid',u) "                               \
        "redis.call('ZREM','d4:index:seen',u) "                               \
        "redis.call('ZREM','d4:index:name',"                                  \
            "string.lower(m[1] or '')..'\\0'..u) "                            \
        "if m[2] then redis.call('ZREM','d4:index:group:'..m[2],u) end "      \
        "for _,t in ipairs(split(m[3])) do "                                  \
            "redis.call('ZREM','d4:index:tag:'..t,u) end end "                \
    "local function index(u) "                                                \
        "local m=redis.call('HMGET','metadata_uuid:'..u,"                     \
            "'name','group','tags','last_seen') "                             \
        "redis.call('ZADD','d4:index:uuid',0,u) "                             \
        "redis.call('ZADD','d4:index:seen',tonumber(m[4] or '') or 0,u) "     \
        "redis.call('ZADD','d4:index:name',0,"                                \
            "string.lower(m[1] or '')..'\\0'..u) "                            \
        "if m[2] then redis.call('ZADD','d4:index:group:'..m[2],0,u) end "    \
        "for _,t in ipairs(split(m[3])) do "                                  \
            "redis.call('ZADD','d4:index:tag:'..t,0,u) end end "

/*
 * Lua: sensors(list of no more than 500 uuids) is a list of what
 * ngx_http_d4_sensor_json() shows.  What can be asked about all at once is.
 */

#define NGX_HTTP_D4_LUA_SENSOR                                                \
    "local function sensors(us) "                                             \
        "if #us==0 then return {} end "                                       \
        "local both,out={},{} "                                               \
        "for i,u in ipairs(us) do both[2*i-1]=u both[2*i]=dash(u) end "       \
        "local function in_set(k) "                                           \
            "return redis.call('SMISMEMBER',k,unpack(both)) end "             \
        "local reg,pend,block,mon=in_set('registered_uuid'),"                 \
            "in_set('sensor_pending_registration'),in_set('blacklist_uuid')," \
            "in_set('to_monitor:sensors') "                                   \
        "local max=redis.call('HMGET','stream_max_size_by_uuid',"             \
            "unpack(both)) "                                                  \
        "for i,u in ipairs(us) do "                                           \
            "local a,b=2*i-1,2*i "                                            \
            "local m=redis.call('HMGET','metadata_uuid:'..u,'name',"          \
                "'description','group','tags','user_mail','third_party',"     \
                "'created','first_seen','last_seen','Error','hmac_key') "     \
            "local s='' "                                                     \
            "if reg[a]+reg[b]>0 then s='registered' "                         \
            "elseif pend[a]+pend[b]>0 then s='pending' end "                  \
            "local d=false "                                                  \
            "if mon[a]>0 then d=redis.call('HGET','to_monitor:sensor:'..u,"   \
                "'delta_time') end "                                          \
            "out[i]={u,s,block[a]+block[b],m[11] and 1 or 0,"                 \
                "max[a] or max[b],d,"                                         \
                "redis.call('SMEMBERS','all_types_by_uuid:'..u),"             \
                "unpack(m,1,10)} end "                                        \
        "return out end "

/* elements of that answer */
#define NGX_HTTP_D4_SENSOR_UUID   0
#define NGX_HTTP_D4_SENSOR_STATE  1
#define NGX_HTTP_D4_SENSOR_LEN    17


/* Writes a sensor from that answer. */
void ngx_http_d4_sensor_json(ngx_http_d4_api_t *a, const char *key,
    ngx_http_d4_reply_t *sensor, ngx_uint_t connected);

/*
 * Adds to words what these scripts need for an object that went through the
 * table of fields.
 */
extern const char  ngx_http_d4_script_create[];
extern const char  ngx_http_d4_script_upsert[];
void ngx_http_d4_create_words(ngx_http_d4_api_t *a, ngx_array_t *words,
    json_t *body, const char *uuid, const char *state, const char *key);

/* The fields of a sensor that is created. */
extern const d4_field_t  ngx_http_d4_create_fields[];

/* DELETE sensors/{} (ngx_http_d4_delete.c). */
void ngx_http_d4_sensor_delete(ngx_http_d4_api_t *a);

/* uuid -> 1 or 0; forgets everything but daily statistics and blocklists */
extern const char  ngx_http_d4_script_delete[];


#pragma GCC visibility pop

#endif /* _NGX_HTTP_D4_SENSOR_H_INCLUDED_ */

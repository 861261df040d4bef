
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The steps on Redis that must be one: each script either happened or did
 * not, and each but KICKS may be repeated when its answer was lost.
 */


#include "ngx_d4_core.h"


#define NGX_D4_SCRIPT_ARGS  160


/*
 * metadata; address, network... -> 1 or 0
 */

static const char  ngx_d4_script_blocked[] =
    "if redis.call('SISMEMBER','blacklist_ip',ARGV[1])==1 then return 1 end "
    "if #ARGV>1 then "
    "for _,v in ipairs(redis.call('SMISMEMBER','d4:blocknet',"
        "unpack(ARGV,2))) do if v==1 then return 1 end end end "
    "return 0";


/*
 * metadata; uuid, dashed uuid, type, sid, address, network...
 * -> address blocked, uuid blocked, uuid blocks, registered, type accepted,
 *    stream limit, key, default key, claim, session is known as live
 *
 * The published server kept some uuids as they were typed, with dashes.
 */

static const char  ngx_d4_script_policy[] =
    "local u,d=ARGV[1],ARGV[2] "
    "local function has(k) "
        "local r=redis.call('SMISMEMBER',k,u,d) "
        "if r[1]+r[2]>0 then return 1 end return 0 end "
    "local blocked=redis.call('SISMEMBER','blacklist_ip',ARGV[5]) "
    "if #ARGV>5 then "
    "for _,v in ipairs(redis.call('SMISMEMBER','d4:blocknet',"
        "unpack(ARGV,6))) do if v==1 then blocked=1 end end end "
    "local max=redis.call('HMGET','stream_max_size_by_uuid',u,d) "
    "return {blocked,has('blacklist_uuid'),has('blacklist_ip_by_uuid'),"
        "has('registered_uuid'),"
        "redis.call('SISMEMBER','server:accepted_type',ARGV[3]),"
        "max[1] or max[2],"
        "redis.call('HGET','metadata_uuid:'..u,'hmac_key'),"
        "redis.call('GET','server:hmac_default_key'),"
        "redis.call('GET','d4:claim:'..ARGV[3]..':'..u),"
        "redis.call('HGET','d4:session:'..ARGV[4],'state')=='live' "
            "and 1 or 0}";


/*
 * metadata; uuid, type, sid, worker, take, address, now, former sid or ""
 * -> {1} or {0, holder's sid, holder's last data (Unix s), its worker leaves}
 *
 * take: "" only if nobody living holds the slot, "*" in any case, or the sid
 * of the holder that may be put out.  Types 2 and 254 have no slot.  The
 * former sid is that of the same session before it was renewed; what was
 * written down of its statistics is remembered.
 */

static const char  ngx_d4_script_claim[] =
    "local u,t,sid,w,take=ARGV[1],ARGV[2],ARGV[3],ARGV[4],ARGV[5] "
    "if ARGV[8]~='' then "
        "local seq=redis.call('HGET','d4:session:'..ARGV[8],'seq') "
        "if seq then "
            "redis.call('HSET','d4:session:'..sid,'seq',seq) "
            "redis.call('EXPIRE','d4:session:'..sid,600) end "
        "redis.call('DEL','d4:session:'..ARGV[8]) "
        "redis.call('SREM','d4:sessions:'..w,ARGV[8]) end "
    "if t~='2' and t~='254' then "
        "local k='d4:claim:'..t..':'..u "
        "local v=redis.call('GET',k) "
        "if v then "
            "local osid,ow=string.match(v,'^(%S+) (%S+)$') "
            "if osid and osid~=sid then "
                "local lease=redis.call('GET','d4:worker:'..ow) "
                "if lease "
                    "and take~='*' and take~=osid and ARGV[8]~=osid then "
                    "return {0,osid,"
                    "redis.call('HGET','d4:session:'..osid,'last'),"
                    "string.find(lease,'leaving') and 1 or 0} end "
                "redis.call('PUBLISH','d4:control','sensor '..u) "
            "end end "
        "redis.call('SET',k,sid..' '..w) end "
    "redis.call('HSET','d4:session:'..sid,'uuid',u,'type',t,"
        "'address',ARGV[6],'worker',w,'start',ARGV[7],'last',ARGV[7],"
        "'state','live') "
    "redis.call('PERSIST','d4:session:'..sid) "
    "redis.call('SADD','d4:sessions:'..w,sid) "
    "redis.call('SADD','d4:workers',w) "
    "redis.call('SADD','all_types_by_uuid:'..u,t) "
    "return {1}";


/*
 * metadata; sid, worker, uuid, address, type, seq, frames, bytes, day,
 * first, last (Unix s), retention (s), end (0 or 1), stamp, error
 * -> 1
 *
 * seq makes a repeat count once.  A session that ends keeps its hash for a
 * minute, so that even the repeat of its end is recognised.
 */

static const char  ngx_d4_script_flush[] =
    "local sid,w,u,ip,t,seq,n,b,d=ARGV[1],ARGV[2],ARGV[3],ARGV[4],ARGV[5],"
        "tonumber(ARGV[6]),ARGV[7],ARGV[8],ARGV[9] "
    "local sk='d4:session:'..sid "
    "local live=redis.call('EXISTS',sk)==1 "
    "if n~='0' and tonumber(redis.call('HGET',sk,'seq') or '0')<seq then "
        "local ttl=tonumber(ARGV[12]) "
        "local function inc(k,v,m) redis.call('ZINCRBY',k,v,m) "
            "if ttl>0 then redis.call('EXPIRE',k,ttl) end end "
        "inc('stat_uuid_ip:'..d..':'..u,n,ip) "
        "inc('stat_ip_uuid:'..d..':'..ip,n,u) "
        "inc('daily_uuid:'..d,n,u) "
        "inc('daily_ip:'..d,n,ip) "
        "inc('daily_type:'..d,n,t) "
        "inc('stat_type_uuid:'..d..':'..t,n,u) "
        "inc('stat_uuid_type:'..d..':'..u,n,t) "
        "inc('d4:bytes:'..d..':uuid',b,u) "
        "inc('d4:bytes:'..d..':ip',b,ip) "
        "inc('d4:bytes:'..d..':type',b,t) "
        "local mk='metadata_uuid:'..u "
        "redis.call('HSETNX',mk,'first_seen',ARGV[10]) "
        "redis.call('HSET',mk,'last_seen',ARGV[11]) "
        "redis.call('HDEL',mk,'Error') "
        "local tk='metadata_type_by_uuid:'..u..':'..t "
        "redis.call('HSETNX',tk,'first_seen',ARGV[10]) "
        "redis.call('HSET',tk,'last_seen',ARGV[11]) "
        "redis.call('SADD','all_types_by_uuid:'..u,t) "
        "if ARGV[14]~='' then "
            "redis.call('LPUSH','list_uuid_ip:'..u,ARGV[14]) "
            "redis.call('LTRIM','list_uuid_ip:'..u,0,15) end "
        "if live then redis.call('HSET',sk,'seq',ARGV[6],'type',t,"
            "'last',ARGV[11]) "
            "redis.call('HINCRBY',sk,'frames',n) "
            "redis.call('HINCRBY',sk,'bytes',b) end end "
    "if ARGV[15]~='' then "
        "redis.call('HSET','metadata_uuid:'..u,'Error',ARGV[15]) end "
    "if ARGV[13]=='1' then "
        "local ck='d4:claim:'..t..':'..u "
        "if redis.call('GET',ck)==sid..' '..w then "
            "redis.call('DEL',ck) end "
        "if live then redis.call('HSET',sk,'state','ended') "
            "redis.call('EXPIRE',sk,60) end "
        "redis.call('SREM','d4:sessions:'..w,sid) end "
    "return 1";


/*
 * streams; uuid, type, sid
 *
 * active_uuid_type<t>:<uuid> holds the sids for every type here; the
 * published server knows it for 2 and 254.  254 comes after 2.
 */

static const char  ngx_d4_script_begin[] =
    "local u,t,sid=ARGV[1],ARGV[2],ARGV[3] "
    "if t=='254' then "
        "redis.call('SREM','active_uuid_type2:'..u,sid) "
        "if redis.call('EXISTS','active_uuid_type2:'..u)==0 then "
            "redis.call('SREM','active_connection:2',u) "
            "redis.call('SREM','active_connection_by_uuid:'..u,'2') end end "
    "redis.call('SADD','active_connection:'..t,u) "
    "redis.call('SADD','active_connection_by_uuid:'..u,t) "
    "redis.call('SADD','active_connection',u) "
    "redis.call('SADD','map:active_connection-uuid-session_uuid:'..u,sid) "
    "redis.call('SADD','active_uuid_type'..t..':'..u,sid) "
    "return 1";


/* A session does not send its extended type any more. */

#define NGX_D4_LUA_UNEXTEND                                                   \
    "local function unextend(u,sid) "                                         \
        "local m='map:session-uuid_active_extended_type' "                    \
        "local ext=redis.call('HGET',m,sid) "                                 \
        "if not ext then return end "                                         \
        "redis.call('HDEL',m,sid) "                                           \
        "local k='d4:extended:'..u..':'..ext "                                \
        "redis.call('SREM',k,sid) "                                           \
        "if redis.call('EXISTS',k)==0 then "                                  \
            "redis.call('SREM','active_connection_extended_type:'..u,ext) "   \
        "end end "


/*
 * streams; uuid, type, sid, stored (1, 0, or ? to look), fence (0 or 1),
 * drop (0 or 1) -> 1, or 2: something was stored
 *
 * fence moves the last id of the session's streams one millisecond on, so
 * that an owner that was only asleep is refused, and can still read from it
 * how far it had come; once only, whoever repeats it.  drop deletes what a
 * consumer rejected.
 */

static const char  ngx_d4_script_end[] =
    NGX_D4_LUA_UNEXTEND
    "local u,t,sid=ARGV[1],ARGV[2],ARGV[3] "
    "local types={t} "
    "if t=='2' or t=='254' then types={'2','254'} end "
    "local stored=ARGV[4]=='1' "
    "local ended=redis.call('SISMEMBER','ended_session',sid)==1 "
    "for _,v in ipairs(types) do "
        "local k='stream:'..v..':'..sid "
        "if ARGV[6]=='1' then redis.call('DEL',k) "
        "elseif ARGV[4]=='?' and redis.call('TYPE',k).ok=='stream' then "
            "stored=true "
            "if ARGV[5]=='1' and not ended then "
                "local i=redis.call('XINFO','STREAM',k) "
                "for j=1,#i,2 do if i[j]=='last-generated-id' then "
                    "local ms,n=string.match(i[j+1],'^(%d+)-(%d+)$') "
                    "redis.call('XSETID',k,"
                        "string.format('%.0f',tonumber(ms)+1)..'-'..n) "
                "end end end end "
        "redis.call('SREM','active_uuid_type'..v..':'..u,sid) "
        "if redis.call('EXISTS','active_uuid_type'..v..':'..u)==0 then "
            "redis.call('SREM','active_connection:'..v,u) "
            "redis.call('SREM','active_connection_by_uuid:'..u,v) end end "
    "unextend(u,sid) "
    "redis.call('SREM','map:active_connection-uuid-session_uuid:'..u,sid) "
    "if redis.call('EXISTS','active_connection_by_uuid:'..u)==0 then "
        "redis.call('SREM','active_connection',u) end "
    "if ARGV[6]=='1' then redis.call('SREM','Error:IncorrectType',sid) end "
    "if stored then redis.call('SADD','ended_session',sid) return 2 end "
    "return 1";


/*
 * streams; uuid, type, new sid, former sid, object of type 2 or "",
 * [type, id]...
 *
 * A session goes on under a new sid: makes the streams that it had, entries
 * that follow continue after id, and forgets the former sid.  That of type 2
 * has the object once more.
 */

static const char  ngx_d4_script_renew[] =
    NGX_D4_LUA_UNEXTEND
    "local u,t,sid,old,obj=ARGV[1],ARGV[2],ARGV[3],ARGV[4],ARGV[5] "
    "for i=6,#ARGV,2 do "
        "local k='stream:'..ARGV[i]..':'..sid "
        "if redis.call('EXISTS',k)==0 then "
            "if ARGV[i]=='2' and obj~='' then "
                "redis.call('XADD',k,ARGV[i+1],'message',obj,'uuid',u,"
                    "'timestamp','0','version','1') "
            "else "
                "redis.call('XGROUP','CREATE',k,'d4','$','MKSTREAM') "
                "redis.call('XGROUP','DESTROY',k,'d4') "
                "redis.call('XSETID',k,ARGV[i+1]) end end end "
    "if #ARGV>5 then "
        "redis.call('SADD','session_uuid:'..(t=='254' and '2' or t),sid) end "
    "redis.call('SREM','active_uuid_type'..t..':'..u,old) "
    "redis.call('SREM','map:active_connection-uuid-session_uuid:'..u,old) "
    "unextend(u,old) "
    "return 1";


/*
 * streams; uuid, type, sid, [type, id]... -> 1, or 0: too late
 *
 * A session that was ended by a reaper goes on: its streams are as it left
 * them but for their last id.
 */

static const char  ngx_d4_script_retake[] =
    "local u,t,sid=ARGV[1],ARGV[2],ARGV[3] "
    "if redis.call('SISMEMBER','d4:sealed',sid)==1 then return 0 end "
    "for i=4,#ARGV,2 do "
        "local k='stream:'..ARGV[i]..':'..sid "
        "if redis.call('TYPE',k).ok~='stream' then return 0 end "
        "local x=redis.call('XINFO','STREAM',k) "
        "for j=1,#x,2 do if x[j]=='last-generated-id' then "
            "local ms,n=string.match(x[j+1],'^(%d+)-(%d+)$') "
            "local oms,on=string.match(ARGV[i+1],'^(%d+)-(%d+)$') "
            "if n~=on or tonumber(ms)-tonumber(oms)>1 then return 0 end "
        "end end end "
    "for i=4,#ARGV,2 do "
        "redis.call('XSETID','stream:'..ARGV[i]..':'..sid,ARGV[i+1]) end "
    "redis.call('SREM','ended_session',sid) "
    "redis.call('SADD','session_uuid:'..(t=='254' and '2' or t),sid) "
    "return 1";


/*
 * metadata; now, day, default key or ""
 */

static const char  ngx_d4_script_seed[] =
    "redis.call('SETNX','first_date',ARGV[2]) "
    "if ARGV[3]~='' then "
        "redis.call('SET','server:hmac_default_key',ARGV[3]) end "
    "if redis.call('SETNX','d4:seeded',ARGV[1])==1 "
        "and redis.call('EXISTS','server:accepted_type')==0 "
        "and redis.call('EXISTS','server:accepted_extended_type')==0 then "
        "redis.call('SADD','server:accepted_type','1','2','4','8','254') "
        "redis.call('SADD','server:accepted_extended_type','ja3-jl') end "
    "return 1";


/*
 * streams; uuid... (members of server:sensor_to_kick) -> 1
 *
 * As published, only a sensor that is connected is banned.
 */

static const char  ngx_d4_script_kicks[] =
    "for _,v in ipairs(ARGV) do "
        "redis.call('SREM','server:sensor_to_kick',v) "
        "local u=string.gsub(string.lower(v),'-','') "
        "if string.match(u,'^%x+$') and #u==32 and redis.call('EXISTS',"
            "'map:active_connection-uuid-session_uuid:'..u)==1 then "
            "redis.call('SET','temp_blacklist_uuid:'..u,'1','EX',30) end end "
    "return 1";


/*
 * metadata; worker[, sid, uuid, type] -> 1, or 0: the worker lives
 *
 * Without a sid: the worker goes, unless a session of it was found since.
 * With an empty one: unless it is a consumer, too, what it had taken being for
 * others to give back.  The session's hash stays for a while, should its
 * worker only have slept.
 */

static const char  ngx_d4_script_reap[] =
    "local w,sid,u,t=ARGV[1],ARGV[2],ARGV[3],ARGV[4] "
    "if redis.call('EXISTS','d4:worker:'..w)==1 then return 0 end "
    "local k='d4:sessions:'..w "
    "if sid and sid~='' then "
        "local ck='d4:claim:'..t..':'..u "
        "if redis.call('GET',ck)==sid..' '..w then redis.call('DEL',ck) end "
        "local sk='d4:session:'..sid "
        "if redis.call('TYPE',sk).ok=='hash' then "
            "redis.call('HSET',sk,'state','ended') "
            "redis.call('EXPIRE',sk,600) "
        "else redis.call('DEL',sk) end "
        "redis.call('SREM',k,sid) "
    "elseif redis.call('TYPE',k).ok~='set' and (not sid "
        "or redis.call('SISMEMBER','d4:consumers',w)==0) then "
        "redis.call('DEL',k) "
        "redis.call('SREM','d4:consumers',w) "
        "redis.call('SREM','d4:workers',w) end "
    "return 1";


static const ngx_str_t  ngx_d4_scripts[] = {
    ngx_string(ngx_d4_script_blocked),
    ngx_string(ngx_d4_script_policy),
    ngx_string(ngx_d4_script_claim),
    ngx_string(ngx_d4_script_flush),
    ngx_string(ngx_d4_script_begin),
    ngx_string(ngx_d4_script_end),
    ngx_string(ngx_d4_script_renew),
    ngx_string(ngx_d4_script_retake),
    ngx_string(ngx_d4_script_seed),
    ngx_string(ngx_d4_script_kicks),
    ngx_string(ngx_d4_script_reap)
};


const ngx_str_t *
ngx_d4_script_text(ngx_d4_script_t script)
{
    if (script >= NGX_D4_SCRIPT_OPEN) {
        return &ngx_d4_dispatch_scripts[script - NGX_D4_SCRIPT_OPEN];
    }

    return &ngx_d4_scripts[script];
}


ngx_int_t
ngx_d4_script(ngx_d4_redis_t *rd, ngx_d4_script_t script, ngx_uint_t argc,
    ngx_str_t *argv, ngx_d4_reply_pt handler, void *data)
{
    return ngx_d4_eval(rd, ngx_d4_script_text(script), argc, argv, handler,
                       data);
}


ngx_int_t
ngx_d4_eval(ngx_d4_redis_t *rd, const ngx_str_t *script, ngx_uint_t argc,
    ngx_str_t *argv, ngx_d4_reply_pt handler, void *data)
{
    ngx_uint_t  i;
    ngx_str_t   args[NGX_D4_SCRIPT_ARGS];

    if (argc > NGX_D4_SCRIPT_ARGS - 3) {
        return NGX_ERROR;
    }

    ngx_str_set(&args[0], "EVAL");
    args[1] = *script;
    ngx_str_set(&args[2], "0");

    for (i = 0; i < argc; i++) {
        args[i + 3] = argv[i];
    }

    return ngx_d4_redis_command(rd, argc + 3, args, handler, data);
}

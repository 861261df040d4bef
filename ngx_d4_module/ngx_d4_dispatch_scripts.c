
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The steps of the dispatcher on Redis that must be one.  Each but PUSHED may
 * be repeated when its answer was lost: the cursor of a session carries the
 * epoch of its owner, which a new owner moves on, and the number of the last
 * commit.
 */


#include "ngx_d4_core.h"


/*
 * Pushes ARGV[first..last] to a list and keeps it within max elements and,
 * unless maxb is 0, about maxb bytes of Redis' memory, which is looked at once
 * a second and after each sixteenth of it.  The hash d4:queue:<list> counts;
 * what was neither dropped nor is there was consumed.  -> {length, dropped,
 * flags}: 1 the limit was reached, 2 not any more; 4 nobody has consumed for
 * unread seconds, 8 somebody does again; 16 not a list
 *
 * What a script has done stays done when it fails: once something is pushed,
 * nothing may fail that is only for the counters, or the whole is repeated.
 */

#define NGX_D4_LUA_PUSH                                                       \
    "local function push(list,max,maxb,unread,now,first,last,bytes) "         \
        "if last<first then return {0,0,0} end "                              \
        "local call=redis.pcall "                                             \
        "local n,i=0,first "                                                  \
        "while i<=last do "                                                   \
            "local j=math.min(i+999,last) "                                   \
            "local r=call('LPUSH',list,unpack(ARGV,i,j)) "                    \
            "if type(r)=='table' then return {0,0,16} end "                   \
            "n=r i=j+1 end "                                                  \
        "local function keep(m) "                                             \
            "call('LTRIM',list,0,string.format('%.0f',m-1)) "                 \
            "local d=n-m n=m return d end "                                   \
        "local k='d4:queue:'..list "                                          \
        "local h=call('HMGET',k,'look','checked','consumed','since',"         \
            "'pushed','dropped','full','unread') "                            \
        "local drop=0 "                                                       \
        "if n>max then drop=keep(max) end "                                   \
        "local look=(tonumber(h[1]) or 0)+bytes "                             \
        "if maxb>0 and (look>=maxb/16 or h[2]~=tostring(now)) then "          \
            "look=0 "                                                         \
            "local use=call('MEMORY','USAGE',list,'SAMPLES',16) "             \
            "if type(use)=='number' and use>maxb then "                       \
                "drop=drop+keep(math.max(1,math.floor(n*maxb/use))) end end " \
        "local pushed=(tonumber(h[5]) or 0)+last-first+1 "                    \
        "local dropped=(tonumber(h[6]) or 0)+drop "                           \
        "local consumed=string.format('%.0f',pushed-dropped-n) "              \
        "local since=tonumber(h[4]) or now "                                  \
        "local full,idle,flags=h[7]=='1',h[8]=='1',0 "                        \
        "if drop>0 and not full then full=true flags=flags+1 "                \
            "call('SADD','d4:queues:full',list) "                             \
        "elseif full and drop==0 and n<max*0.9 and h[3]~=consumed then "      \
            "full=false flags=flags+2 "                                       \
            "call('SREM','d4:queues:full',list) end "                         \
        "if h[3]~=consumed then since=now "                                   \
            "if idle then idle=false flags=flags+8 "                          \
                "call('SREM','d4:queues:unread',list) end "                   \
        "elseif not idle and now-since>=unread then "                         \
            "idle=true flags=flags+4 "                                        \
            "call('SADD','d4:queues:unread',list) end "                       \
        "call('HSET',k,'look',look,'checked',now,'consumed',consumed,"        \
            "'since',since,'pushed',string.format('%.0f',pushed),"            \
            "'dropped',string.format('%.0f',dropped),"                        \
            "'full',full and 1 or 0,'unread',idle and 1 or 0) "               \
        "call('HINCRBY',k,'bytes',bytes) "                                    \
        "return {n,drop,flags} end "


/*
 * queues; sid, worker, former worker ("" none, "*" whoever), uuid,
 * type, store, 1 if the published server wrote it
 * -> {0, owner}: somebody else's; {2}: there is none, and uuid is not known;
 *    {1, epoch, seq, stream, ms, n, off, state, meta, done, remembered
 *    header, uuid, type, store, file, length, resume, inode, foreign} with
 *    a file that was open
 *
 * Makes the cursor of a session, or takes it over.  A new owner does not go on
 * in the file of the old one: it is put on the list of those to be closed, of
 * nobody yet if it is in another store.  One of which nothing was committed
 * may be another session's, which had the name first, and is on the list then.
 */

static const char  ngx_d4_script_open[] =
    "local sid,w,old=ARGV[1],ARGV[2],ARGV[3] "
    "local k='d4:cursor:'..sid "
    "local o=redis.call('HGET',k,'worker') "
    "if o and o~=w and o~=old and old~='*' then "
        "if old~='' then redis.call('SREM','d4:cursors:'..old,sid) end "
        "return {0,o} end "
    "if not o and ARGV[4]=='' then "
        "redis.call('SREM','d4:cursors:'..old,sid) return {2} end "
    "if o and o~=w then redis.call('SREM','d4:cursors:'..o,sid) end "
    "redis.call('SADD','d4:cursors:'..w,sid) "
    "local e=redis.call('HINCRBY',k,'epoch',1) "
    "redis.call('HSET',k,'worker',w) "
    "if not o then redis.call('HSET',k,'uuid',ARGV[4],'type',ARGV[5],"
        "'seq','0','stream',ARGV[5]=='254' and '2' or ARGV[5],'ms','0',"
        "'n','0','off','0','foreign',ARGV[7] or '') end "
    "local c=redis.call('HMGET',k,'seq','stream','ms','n','off','state',"
        "'meta','done','uuid','type','store','file','length','ext',"
        "'resume','inode','foreign') "
    "local f,s='',c[11] or '' "
    "if c[12] and c[12]~='' then "
        "f=c[12] "
        "redis.call(c[13]=='0' and 'HSETNX' or 'HSET','d4:closing:'..s,f,"
            "(s==ARGV[6] and w or '-')..' '..c[13]..' '..c[9]..' '"
                "..c[10]..' '..(c[14] or '-')..' '..(c[16] or '0')) "
        "redis.call('HSET',k,'file','') end "
    "return {1,e,c[1],c[2],c[3],c[4],c[5],c[6] or '',c[7] or '',c[8] or '',"
        "redis.call('GET','d4:header:'..c[10]..':'..c[9]) or '',"
        "c[9],c[10],s,f,c[13] or '0',c[15] or '0',c[16] or '0',"
        "c[17] or ''}";


/*
 * queues; sid, epoch, store, path without suffix, suffix, first number, now
 * -> path, or 0: fenced, 1: there is no cursor
 *
 * A name for a new file, which nobody else gets, and which is not that of one
 * that waits to be closed: an hour is repeated once a year.  It is in the
 * cursor before the file exists, so that whatever a crash leaves behind is
 * known.
 */

static const char  ngx_d4_script_name[] =
    "local k='d4:cursor:'..ARGV[1] "
    "local e=redis.call('HGET',k,'epoch') "
    "if e~=ARGV[2] then return e and 0 or 1 end "
    "local i,f=tonumber(ARGV[6]) "
    "repeat "
        "f=ARGV[4]..(i==0 and '' or '-'..i)..ARGV[5] "
        "i=i+1 "
    "until redis.call('HEXISTS','d4:closing:'..ARGV[3],f)==0 and "
        "redis.call('SET','d4:name:'..ARGV[3]..':'..f,ARGV[1],"
        "'NX','EX',120) "
    "redis.call('HSET',k,'file',f,'length','0','inode','0','opened',ARGV[7],"
        "'store',ARGV[3]) "
    "return f";


/*
 * queues; sid, epoch, inode -> 2, or 0: fenced, 1: there is no cursor
 *
 * The file is made, and still empty: what has its name and is another one, a
 * crash before that did not leave behind.
 */

static const char  ngx_d4_script_own[] =
    "local k='d4:cursor:'..ARGV[1] "
    "local e=redis.call('HGET',k,'epoch') "
    "if e~=ARGV[2] then return e and 0 or 1 end "
    "redis.call('HSET',k,'inode',ARGV[3]) "
    "return 2";


/*
 * queues; sid, epoch, seq, stream, ms, n, off, resume, length, value for the
 * list of files to be closed or "", type of the state or "", state, meta or
 * "", ext, done (0 or 1), store, file or "", now, seconds of unread, elements
 * a, elements b, bytes of a, bytes of b, queues, for each: list, max, maxb,
 * kind (a or b); a..., b...
 * -> {"ok" | "older" | "fenced" | "gone", {length, dropped, flags}...}
 *
 * older: Redis had lost commits that it had acknowledged.
 */

static const char  ngx_d4_script_commit[] =
    NGX_D4_LUA_PUSH
    "local k='d4:cursor:'..ARGV[1] "
    "local c=redis.call('HMGET',k,'epoch','seq','uuid') "
    "if not c[1] then return {'gone'} end "
    "if c[1]~=ARGV[2] then return {'fenced'} end "
    "local seq=tonumber(ARGV[3]) "
    "if tonumber(c[2])>=seq then return {'ok'} end "
    "if ARGV[10]~='' then redis.call('HLEN','d4:closing:'..ARGV[16]) end "
    "local out={tonumber(c[2])==seq-1 and 'ok' or 'older'} "
    "local now,unread=tonumber(ARGV[18]),tonumber(ARGV[19]) "
    "local na,nb=tonumber(ARGV[20]),tonumber(ARGV[21]) "
    "local q=tonumber(ARGV[24]) "
    "local a=25+4*q "
    "for i=25,a-1,4 do "
        "local f,l,b=a,a+na-1,ARGV[22] "
        "if ARGV[i+3]=='b' then f,l,b=a+na,a+na+nb-1,ARGV[23] end "
        "out[#out+1]=push(ARGV[i],tonumber(ARGV[i+1]),tonumber(ARGV[i+2]),"
            "unread,now,f,l,tonumber(b)) end "
    "redis.call('HSET',k,'seq',ARGV[3],'stream',ARGV[4],'ms',ARGV[5],"
        "'n',ARGV[6],'off',ARGV[7],'resume',ARGV[8],'length',ARGV[9],"
        "'file',ARGV[17]) "
    "if ARGV[17]~='' then redis.call('HSET',k,'store',ARGV[16]) end "
    "if ARGV[10]~='' then "
        "redis.call('HSET','d4:closing:'..ARGV[16],ARGV[17],ARGV[10]) "
        "redis.call('HSET',k,'file','','length','0') end "
    "if ARGV[11]~='' then "
        "redis.call('HSET',k,'state',ARGV[12]) "
        "redis.call('SET','d4:header:'..ARGV[11]..':'..c[3],ARGV[12],"
            "'EX',2592000) end "
    "if ARGV[13]~='' then "
        "redis.call('HSET',k,'meta',ARGV[13],'ext',ARGV[14]) end "
    "if ARGV[15]=='1' then redis.call('HSET',k,'done','1') end "
    "return out";


/*
 * queues; store, file, seconds of unread, now, bytes of the element, queues,
 * for each: list, max, maxb, kind; element
 * -> {0}: somebody else did it, or {1, {length, dropped, flags}...}
 *
 * A file was closed for good: its name goes to the queues.
 */

static const char  ngx_d4_script_pushed[] =
    NGX_D4_LUA_PUSH
    "if redis.call('HDEL','d4:closing:'..ARGV[1],ARGV[2])==0 then "
        "return {0} end "
    "local out={1} "
    "local a=7+4*tonumber(ARGV[6]) "
    "for i=7,a-1,4 do "
        "out[#out+1]=push(ARGV[i],tonumber(ARGV[i+1]),tonumber(ARGV[i+2]),"
            "tonumber(ARGV[3]),tonumber(ARGV[4]),a,a,tonumber(ARGV[5])) end "
    "return out";


/*
 * queues; store, file, value it had, new value -> 1 or 0
 *
 * Takes over a file to be closed whose worker is gone.
 */

static const char  ngx_d4_script_take[] =
    "local k='d4:closing:'..ARGV[1] "
    "if redis.call('HGET',k,ARGV[2])~=ARGV[3] then return 0 end "
    "redis.call('HSET',k,ARGV[2],ARGV[4]) "
    "return 1";


/*
 * queues; sid, epoch, worker -> 1
 */

static const char  ngx_d4_script_forget[] =
    "local k='d4:cursor:'..ARGV[1] "
    "if redis.call('HGET',k,'epoch')==ARGV[2] then redis.call('DEL',k) end "
    "if redis.call('HGET',k,'worker')~=ARGV[3] then "
        "redis.call('SREM','d4:cursors:'..ARGV[3],ARGV[1]) end "
    "return 1";


/*
 * queues; sid, worker, uuid, type, seq, stream, ms, n, off, resume, state,
 * meta, ext, store, file or "", value for the list of files to be closed,
 * epoch, 1 if the published server wrote it
 * -> 1, or 0: there is one
 *
 * A cursor that Redis lost, made again by its owner.
 */

static const char  ngx_d4_script_make[] =
    "local k='d4:cursor:'..ARGV[1] "
    "if redis.call('EXISTS',k)==1 then return 0 end "
    "redis.call('HSET',k,'worker',ARGV[2],'epoch',ARGV[17],'uuid',ARGV[3],"
        "'type',ARGV[4],'seq',ARGV[5],'stream',ARGV[6],'ms',ARGV[7],"
        "'n',ARGV[8],'off',ARGV[9],'resume',ARGV[10],'state',ARGV[11],"
        "'meta',ARGV[12],'ext',ARGV[13],'foreign',ARGV[18]) "
    "redis.call('SADD','d4:cursors:'..ARGV[2],ARGV[1]) "
    "if ARGV[15]~='' then "
        "redis.call('HSET','d4:closing:'..ARGV[14],ARGV[15],ARGV[16]) end "
    "return 1";


/*
 * Whether a session has no stream: it was dispatched, rejected or deleted.
 */

#define NGX_D4_LUA_GONE                                                       \
    "local function gone(t,sid) "                                             \
        "return redis.call('EXISTS','stream:'..t..':'..sid)==0 "              \
            "and (t~='2' or redis.call('EXISTS','stream:254:'..sid)==0) end "


/*
 * streams; stream, first id, entries at most, bytes, entries at a time
 * -> entries as of XRANGE, no more of them than it takes to have the bytes
 *
 * What an entry holds is not known before it is read, so only a few are read
 * at a time.
 */

static const char  ngx_d4_script_read[] =
    "local k,from,max,want,few=ARGV[1],ARGV[2],tonumber(ARGV[3]),"
        "tonumber(ARGV[4]),tonumber(ARGV[5]) "
    "local out,bytes,n={},0,0 "
    "repeat "
        "local r=redis.call('XRANGE',k,from,'+','COUNT',few) "
        "n=#r "
        "for i=1,n do "
            "local f=r[i][2] "
            "for j=2,#f,2 do bytes=bytes+#f[j] end "
            "out[#out+1]=r[i] end "
        "if n>0 then from='('..r[n][1] end "
    "until n<few or bytes>=want or #out>=max "
    "return out";


/*
 * streams; sid -> 1: the session is over, or 0
 *
 * The published server learns that its session was rejected, and ends it with
 * the sensor's next frame.
 */

static const char  ngx_d4_script_tell[] =
    "if redis.call('SISMEMBER','ended_session',ARGV[1])==1 then return 1 end "
    "redis.call('SADD','Error:IncorrectType',ARGV[1]) "
    "return 0";


/*
 * streams; sid, type -> 1, or 0: it has not ended
 *
 * Makes the end of a session final.
 */

static const char  ngx_d4_script_seal[] =
    NGX_D4_LUA_GONE
    "local sid,t=ARGV[1],ARGV[2] "
    "if redis.call('SISMEMBER','ended_session',sid)==1 then "
        "redis.call('SADD','d4:sealed',sid) return 1 end "
    "return gone(t,sid) and 1 or 0";


/*
 * streams; sid, type, force (0 or 1) -> 1, or 0: the session is not over
 *
 * A session is dispatched: nothing of it remains.
 */

static const char  ngx_d4_script_drop[] =
    NGX_D4_LUA_GONE
    "local sid,t=ARGV[1],ARGV[2] "
    "local ended=redis.call('SISMEMBER','ended_session',sid)==1 "
    "if not ended and ARGV[3]=='0' and not gone(t,sid) then return 0 end "
    "if t=='2' then redis.call('DEL','stream:254:'..sid) end "
    "redis.call('DEL','stream:'..t..':'..sid) "
    "redis.call('SREM','ended_session',sid) "
    "redis.call('SREM','session_uuid:'..t,sid) "
    "redis.call('SREM','working_session_uuid:'..t,sid) "
    "redis.call('SREM','Error:IncorrectType',sid) "
    "redis.call('SREM','d4:sealed',sid) "
    "return 1";


/*
 * metadata; type or 254:ext, type or ext, uuid, dashed uuid
 * -> queue uuid, max_size, max_bytes, element...
 *
 * Queues of all sensors and those of groups, which the published server lists
 * where it does not look for them: by group as well as by sensor.
 */

static const char  ngx_d4_script_queues[] =
    "local out,seen={},{} "
    "local function members(k) "
        "local r=redis.pcall('SMEMBERS',k) "
        "if r.err then return {} end return r end "
    "local function add(q) "
        "if seen[q] or #out>=256 then return end "
        "seen[q]=true "
        "local h=redis.pcall('HMGET','analyzer:'..q,'max_size','max_bytes',"
            "'element') "
        "if h.err then return end "
        "out[#out+1]=q out[#out+1]=h[1] or '' out[#out+1]=h[2] or '' "
        "out[#out+1]=h[3] or '' end "
    "for _,q in ipairs(members('analyzer:'..ARGV[1])) do add(q) end "
    "for _,q in ipairs(members('sensor:queues:'..ARGV[2]..':'..ARGV[3])) do "
        "add(q) end "
    "for _,q in ipairs(members('analyzer_uuid_group:'..ARGV[1])) do "
        "local r=redis.pcall('SMISMEMBER','analyzer_sensor_group:'..q,"
            "ARGV[3],ARGV[4]) "
        "if not r.err and r[1]+r[2]>0 then add(q) end end "
    "out[#out+1]=redis.call('EXISTS','d4:keeper') "
    "return out";


/*
 * streams; uuid, sid, ext -> 1
 */

static const char  ngx_d4_script_extend[] =
    "local u,sid,ext=ARGV[1],ARGV[2],ARGV[3] "
    "if redis.call('SISMEMBER','ended_session',sid)==1 then return 1 end "
    "redis.call('HSET','map:session-uuid_active_extended_type',sid,ext) "
    "redis.call('SADD','active_connection_extended_type:'..u,ext) "
    "redis.call('SADD','d4:extended:'..u..':'..ext,sid) "
    "return 1";


/*
 * metadata; uuid, sid, ext, now, meta object, tag...
 * -> 1, or 0: the extended type is not accepted
 */

static const char  ngx_d4_script_meta[] =
    "local u,sid,ext,now=ARGV[1],ARGV[2],ARGV[3],ARGV[4] "
    "if redis.call('SISMEMBER','server:accepted_extended_type',ext)==0 then "
        "return 0 end "
    "local k='metadata_extended_type_by_uuid:'..u..':'..ext "
    "redis.call('HSETNX',k,'first_seen',now) "
    "redis.call('HSET',k,'last_seen',now) "
    "redis.call('SADD','all_extended_types_by_uuid:'..u,ext) "
    "redis.call('SET','d4:meta:'..sid,ARGV[5],'EX',2592000) "
    "for i=6,#ARGV do redis.call('SADD','d4:tag:'..ARGV[i],u..' '..ext) end "
    "return 1";


const ngx_str_t  ngx_d4_dispatch_scripts[] = {
    ngx_string(ngx_d4_script_open),
    ngx_string(ngx_d4_script_name),
    ngx_string(ngx_d4_script_own),
    ngx_string(ngx_d4_script_commit),
    ngx_string(ngx_d4_script_pushed),
    ngx_string(ngx_d4_script_take),
    ngx_string(ngx_d4_script_forget),
    ngx_string(ngx_d4_script_make),
    ngx_string(ngx_d4_script_read),
    ngx_string(ngx_d4_script_tell),
    ngx_string(ngx_d4_script_seal),
    ngx_string(ngx_d4_script_drop),
    ngx_string(ngx_d4_script_queues),
    ngx_string(ngx_d4_script_extend),
    ngx_string(ngx_d4_script_meta)
};

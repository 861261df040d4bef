
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What consumers do in Redis: each step happened or did not, and each may be
 * repeated.
 */


#include "ngx_d4_consume_core.h"


typedef struct {
    ngx_str_t                 worker;
    ngx_d4_recovered_pt       handler;
    ngx_uint_t                count;
} ngx_d4_recovery_t;


static ngx_int_t ngx_d4_recovery_next(void);
static void ngx_d4_recovery_handler(void *data, redisReply *reply);


/*
 * queues; worker, list, position, elements, bytes
 * -> the elements taken, the oldest first, or 0: the position is not there
 *
 * The list is read in pieces, whose size follows that of the elements, so
 * that not much is read in vain.  A Redis that is out of memory lets a script
 * make something longer only after it made something shorter: the list is cut
 * first.
 */

const ngx_str_t  ngx_d4_consume_take_script = ngx_string(
    "local l,known,max,bytes=ARGV[2],tonumber(ARGV[3]),tonumber(ARGV[4]),"
        "tonumber(ARGV[5]) "
    "local h='d4:inflights:'..ARGV[1] "
    "local k='d4:inflight:'..ARGV[1]..':'..l "
    "local at=tonumber(redis.call('HGET',h,l) or '-1') "
    "local n=redis.call('LLEN',k) "
    "if at<known or at-known>n then return 0 end "
    "local r={} "
    "if at>known then "
        "local v=redis.call('LRANGE',k,0,at-known-1) "
        "for i=#v,1,-1 do r[#r+1]=v[i] end "
        "return r end "
    "local c,size,full=1,0,false "
    "while #r<max and not full do "
        "local v=redis.call('LRANGE',l,-#r-c,-#r-1) "
        "full=#v<c "
        "for i=#v,1,-1 do "
            "size=size+#v[i] "
            "if size>bytes and #r>0 then full=true break end "
            "r[#r+1]=v[i] end "
        "c=math.min(max-#r,4*c,1000,"
            "1+math.floor(math.max(bytes-size,0)/(1+size/(#r+1)))) end "
    "if #r>0 then "
        "redis.call('LTRIM',l,0,-#r-1) "
        "for i=1,#r,1000 do "
            "redis.call('LPUSH',k,unpack(r,i,math.min(i+999,#r))) end "
        "redis.call('HSET',h,l,string.format('%.0f',at+#r)) "
        "redis.call('PERSIST',h) end "
    "return r");


/*
 * queues; worker, list, position
 * -> 1: what was taken up to the position is removed, or 0: it is not there
 */

const ngx_str_t  ngx_d4_consume_remove_script = ngx_string(
    "local l=ARGV[2] "
    "local k='d4:inflight:'..ARGV[1]..':'..l "
    "local at=tonumber(redis.call('HGET','d4:inflights:'..ARGV[1],l) or '-1') "
    "local n=redis.call('LLEN',k) "
    "local drop=tonumber(ARGV[3])-(at-n) "
    "if at<0 or drop>n then return 0 end "
    "if drop==n then redis.call('DEL',k) "
    "elseif drop>0 then redis.call('LTRIM',k,0,n-drop-1) end "
    "return 1");


/*
 * queues; worker[, list, position or ""]
 * -> elements given back, 0: none is left, or -1: what is left cannot be
 *
 * Gives back what the worker has taken: of one list, or of the first of all
 * that has something.  With a position the worker joins (again), else it is
 * forgotten.  A worker that only joined is forgotten by itself: its command
 * may have been read late.
 */

const ngx_str_t  ngx_d4_consume_give_script = ngx_string(
    "local w,at=ARGV[1],ARGV[3] "
    "local h='d4:inflights:'..w "
    "local function give(l) "
        "local k='d4:inflight:'..w..':'..l "
        "local t=redis.call('TYPE',l).ok "
        "if t~='list' and t~='none' and redis.call('EXISTS',k)==1 then "
            "return -1 end "
        "local n=0 "
        "while true do "
            "local v=redis.call('LRANGE',k,0,499) "
            "if #v==0 then return n end "
            "redis.call('LTRIM',k,#v,-1) "
            "redis.call('RPUSH',l,unpack(v)) "
            "n=n+#v end end "
    "if ARGV[2] then "
        "local n=give(ARGV[2]) "
        "if n<0 then return n end "
        "if at=='' then redis.call('HDEL',h,ARGV[2]) "
        "else "
            "local new=redis.call('EXISTS',h)==0 "
            "redis.call('HSET',h,ARGV[2],at) "
            "if new then redis.call('EXPIRE',h,86400) end end "
        "return n end "
    "if redis.call('TYPE',h).ok~='hash' then return 0 end "
    "local left=0 "
    "for _,l in ipairs(redis.call('HKEYS',h)) do "
        "local n=give(l) "
        "if n<0 then left=-1 "
        "else redis.call('HDEL',h,l) if n>0 then return n end end end "
    "return left");


static ngx_d4_recovery_t  ngx_d4_recovery;


ngx_int_t
ngx_d4_consume_recover(ngx_str_t *worker, ngx_d4_recovered_pt handler)
{
    ngx_d4_recovery.worker = *worker;
    ngx_d4_recovery.handler = handler;
    ngx_d4_recovery.count = 0;

    return ngx_d4_recovery_next();
}


/* One list at a time, as each may be long. */

static ngx_int_t
ngx_d4_recovery_next(void)
{
    return ngx_d4_eval(ngx_d4_worker.queues, &ngx_d4_consume_give_script, 1,
                       &ngx_d4_recovery.worker, ngx_d4_recovery_handler,
                       NULL);
}


static void
ngx_d4_recovery_handler(void *data, redisReply *reply)
{
    uint32_t            hash;
    ngx_uint_t          done;
    ngx_d4_recovery_t  *r;
    static uint32_t     reported;

    r = &ngx_d4_recovery;
    done = 0;

    if (reply == NULL || ngx_d4_redis_try_again(reply)) {
        /* void */

    } else if (!ngx_d4_reply_is(reply, REDIS_REPLY_INTEGER)
               || reply->integer < 0)
    {
        hash = ngx_crc32_short(r->worker.data, r->worker.len);

        if (hash != reported) {
            reported = hash;
            ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                          "what d4 worker \"%V\" had taken cannot be given "
                          "back: \"%s\"", &r->worker,
                          ngx_d4_reply_is(reply, REDIS_REPLY_ERROR)
                          ? reply->str : "WRONGTYPE");
        }

    } else if (reply->integer > 0) {
        r->count += (ngx_uint_t) reply->integer;

        if (ngx_d4_recovery_next() == NGX_OK) {
            return;
        }

    } else {
        done = 1;
    }

    if (r->count) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_d4_worker.log, 0,
                      "d4 worker \"%V\" is gone, %ui elements that it had "
                      "taken were given back", &r->worker, r->count);
    }

    r->handler(done);
}

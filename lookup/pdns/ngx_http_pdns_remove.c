
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What the sweeper removes, and in which order.
 */


#include "ngx_http_pdns_sweep.h"


static ngx_int_t ngx_http_pdns_sweep_rdata(ngx_http_pdns_old_t *old,
    pdns_rdata_t *rdata);
static void ngx_http_pdns_sweep_removed(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_sweep_entry(ngx_http_pdns_pipe_t *pipe,
    ngx_http_pdns_old_t *old, ngx_uint_t what, ngx_uint_t add);
static void ngx_http_pdns_sweep_write(ngx_http_pdns_pipe_t *pipe,
    pdns_key_t *key, u_char *p, size_t n, ngx_uint_t add);
static void ngx_http_pdns_sweep_exists(ngx_http_pdns_pipe_t *pipe,
    ngx_http_pdns_old_t *old, ngx_uint_t what);
static void ngx_http_pdns_sweep_indexes(void);
static void ngx_http_pdns_sweep_look(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_sweep_back(void);


static char  ngx_http_pdns_sweep_buf[PDNS_RDATA_TEXT];


static const char  ngx_http_pdns_sweep_n[] =
    "local s = redis.call('ZSCORE', KEYS[1], 'l' .. ARGV[1]) "
    "if not s or tonumber(s) > tonumber(ARGV[2]) then return 0 end "
    "redis.call('ZREM', KEYS[1], 'l' .. ARGV[1], 'f' .. ARGV[1], "
    "'c' .. ARGV[1], 'b' .. ARGV[1]) "
    "local n = redis.call('ZCARD', KEYS[1]) "
    "if n == 0 or (n == 1 and redis.call('ZSCORE', KEYS[1], 'e')) then "
    "redis.call('DEL', KEYS[1], KEYS[2]) return 2 end "
    "return 1";

static const char  ngx_http_pdns_sweep_r[] =
    "local s = redis.call('ZSCORE', KEYS[1], ARGV[1]) "
    "if s and tonumber(s) <= tonumber(ARGV[2]) then "
    "redis.call('ZREM', KEYS[1], ARGV[1]) end "
    "if redis.call('EXISTS', KEYS[1]) == 1 then return 1 end "
    "if KEYS[2] then redis.call('DEL', KEYS[2]) end "
    "return 2";


static ngx_int_t
ngx_http_pdns_sweep_rdata(ngx_http_pdns_old_t *old, pdns_rdata_t *rdata)
{
    size_t    at;
    uint16_t  type;

    return (pdns_member_type(&type, &at, old->member.data, old->member.len)
                == 0
            && pdns_rdata_parse(rdata, type, (char *) old->text.data,
                                old->text.len, ngx_http_pdns_sweep_buf,
                                sizeof(ngx_http_pdns_sweep_buf))
               == 0)
           ? NGX_OK : NGX_DECLINED;
}


void
ngx_http_pdns_sweep_remove(void)
{
    size_t                  n;
    u_char                  rm[PDNS_MEMBER_R];
    pdns_key_t              key, other;
    ngx_uint_t              i;
    const uint8_t          *digest;
    pdns_rdata_t            rdata;
    ngx_http_pdns_old_t    *old;
    ngx_http_pdns_pipe_t   *pipe;
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        ngx_http_pdns_sweep_wait(NGX_HTTP_PDNS_RETRY);
        return;
    }

    old = s->old.elts;

    for (i = 0; i < s->old.nelts; i++) {

        if (ngx_http_pdns_sweep_rdata(&old[i], &rdata) == NGX_OK) {
            old[i].named = rdata.named && rdata.name.labels != 0;

            if (old[i].named) {
                old[i].target = rdata.name;
            }

            pdns_key_rdata(&key, &rdata);
            n = pdns_key_rmember(rm, &old[i].name, &rdata);
            digest = rdata.named ? NULL
                     : pdns_member_digest(old[i].member.data,
                                          old[i].member.len);

            pdns_resp_command(&pipe->w, 6 + (digest != NULL), "EVAL");
            pdns_resp_text(&pipe->w, ngx_http_pdns_sweep_r);
            pdns_resp_text(&pipe->w, (digest != NULL) ? "2" : "1");
            pdns_resp_word(&pipe->w, key.data, key.len);

            if (digest != NULL) {
                pdns_key_digest(&other, 'D', digest);
                pdns_resp_word(&pipe->w, other.data, other.len);
            }

            pdns_resp_word(&pipe->w, rm, n);
            pdns_resp_number(&pipe->w, (int64_t) old[i].cutoff);

        } else {
            pdns_resp_command(&pipe->w, 1, "PING");
        }

        pdns_key_name(&key, 'N', &old[i].name);
        pdns_key_name(&other, 'E', &old[i].name);

        pdns_resp_command(&pipe->w, 7, "EVAL");
        pdns_resp_text(&pipe->w, ngx_http_pdns_sweep_n);
        pdns_resp_text(&pipe->w, "2");
        pdns_resp_word(&pipe->w, key.data, key.len);
        pdns_resp_word(&pipe->w, other.data, other.len);
        pdns_resp_word(&pipe->w, old[i].member.data, old[i].member.len);
        pdns_resp_number(&pipe->w, (int64_t) old[i].cutoff);
    }

    ngx_http_pdns_sweep_ask(pipe, ngx_http_pdns_sweep_removed,
                            ngx_http_pdns_sweep_indexes);
}


static void
ngx_http_pdns_sweep_removed(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_sweep_t  *s = data;

    ngx_http_pdns_old_t  *old;

    if (reply->type != REDIS_REPLY_INTEGER) {
        return;
    }

    old = s->old.elts;
    old += i / 2;

    if (i % 2 == 0) {

        if (reply->integer != 2) {
            return;
        }

        if (old->named) {
            old->gone |= NGX_HTTP_PDNS_TARGET_GONE;

        } else if (old->member.data[0] == PDNS_A
                   || old->member.data[0] == PDNS_AAAA)
        {
            old->gone |= NGX_HTTP_PDNS_ADDR_GONE;
        }

        return;
    }

    if (reply->integer == 2) {
        old->gone |= NGX_HTTP_PDNS_NAME_GONE;
        s->gone++;
    }

    s->removed += (reply->integer != 0);
}


/* The index entries of what is gone: W: and P:, or 4: or 6:. */

static void
ngx_http_pdns_sweep_entry(ngx_http_pdns_pipe_t *pipe,
    ngx_http_pdns_old_t *old, ngx_uint_t what, ngx_uint_t add)
{
    char          text[PDNS_NAME_TEXT];
    size_t        n;
    u_char       *p;
    unsigned      tag;
    pdns_key_t    key;
    pdns_name_t  *name;

    if (what == NGX_HTTP_PDNS_ADDR_GONE) {
        n = old->member.len - 1;
        p = old->member.data + 1;

        pdns_key_bucket(&key, p, n);
        ngx_http_pdns_sweep_write(pipe, &key, p + pdns_bucket_size(n),
                                  n - pdns_bucket_size(n), add);
        return;
    }

    name = (what == NGX_HTTP_PDNS_NAME_GONE) ? &old->name : &old->target;

    tag = pdns_name_tag(name);
    n = (tag < name->labels)
        ? pdns_name_key(text, name, tag, name->labels) : 0;

    pdns_key_below(&key, name, tag);
    ngx_http_pdns_sweep_write(pipe, &key, (u_char *) text, n, add);

    if (add && !ngx_http_pdns_worker.conf->right) {
        return;
    }

    n = pdns_name_text(text, name);

    pdns_key_prefix(&key, text, n);
    ngx_http_pdns_sweep_write(pipe, &key, (u_char *) text, n, add);
}


static void
ngx_http_pdns_sweep_write(ngx_http_pdns_pipe_t *pipe, pdns_key_t *key,
    u_char *p, size_t n, ngx_uint_t add)
{
    pdns_resp_command(&pipe->w, add ? 4 : 3, add ? "ZADD" : "ZREM");
    pdns_resp_word(&pipe->w, key->data, key->len);

    if (add) {
        pdns_resp_text(&pipe->w, "0");
    }

    pdns_resp_word(&pipe->w, p, n);
}


/* Whether a key is there that the entries are about: one or two questions. */

static void
ngx_http_pdns_sweep_exists(ngx_http_pdns_pipe_t *pipe,
    ngx_http_pdns_old_t *old, ngx_uint_t what)
{
    pdns_key_t    key;
    pdns_name_t  *name;

    if (what == NGX_HTTP_PDNS_ADDR_GONE) {
        pdns_key_addr(&key, old->member.data + 1, old->member.len - 1);
        pdns_resp_command(&pipe->w, 2, "EXISTS");
        pdns_resp_word(&pipe->w, key.data, key.len);
        return;
    }

    /* a name is listed as an owner and as what is pointed to */

    name = (what == NGX_HTTP_PDNS_NAME_GONE) ? &old->name : &old->target;

    pdns_key_name(&key, 'N', name);
    pdns_resp_command(&pipe->w, 2, "EXISTS");
    pdns_resp_word(&pipe->w, key.data, key.len);

    pdns_key_target(&key, name);
    pdns_resp_command(&pipe->w, 2, "EXISTS");
    pdns_resp_word(&pipe->w, key.data, key.len);
}


static void
ngx_http_pdns_sweep_indexes(void)
{
    size_t                  n;
    u_char                  epoch[NGX_TIME_T_LEN + NGX_INT64_LEN + 1];
    ngx_uint_t              i, what;
    ngx_http_pdns_old_t    *old;
    ngx_http_pdns_pipe_t   *pipe;
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;
    old = s->old.elts;

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        ngx_http_pdns_sweep_wait(NGX_HTTP_PDNS_RETRY);
        return;
    }

    for (i = 0; i < s->old.nelts; i++) {
        for (what = 1; what <= NGX_HTTP_PDNS_TARGET_GONE; what *= 2) {
            if (old[i].gone & what) {
                ngx_http_pdns_sweep_entry(pipe, &old[i], what, 0);
            }
        }
    }

    if (pipe->w.commands != 0) {
        n = ngx_sprintf(epoch, "%T-%uL", ngx_time(),
                        (uint64_t) ngx_random() << 31
                        ^ (uint64_t) ngx_random())
            - epoch;

        pdns_resp_command(&pipe->w, 3, "SET");
        pdns_resp_text(&pipe->w, PDNS_KEY_EPOCH);
        pdns_resp_word(&pipe->w, epoch, n);
    }

    s->at = pipe->w.commands;

    for (i = 0; i < s->old.nelts; i++) {
        for (what = 1; what <= NGX_HTTP_PDNS_TARGET_GONE; what *= 2) {
            if (old[i].gone & what) {
                ngx_http_pdns_sweep_exists(pipe, &old[i], what);
            }
        }
    }

    ngx_http_pdns_sweep_ask(pipe, ngx_http_pdns_sweep_look,
                            ngx_http_pdns_sweep_back);
}


static void
ngx_http_pdns_sweep_look(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_sweep_t  *s = data;

    ngx_uint_t            n, k, what;
    ngx_http_pdns_old_t  *old;

    if (i < s->at || reply->type != REDIS_REPLY_INTEGER
        || reply->integer == 0)
    {
        return;
    }

    i -= s->at;
    old = s->old.elts;

    for (n = 0; n < s->old.nelts; n++) {
        for (what = 1; what <= NGX_HTTP_PDNS_TARGET_GONE; what *= 2) {

            if (!(old[n].gone & what)) {
                continue;
            }

            k = (what == NGX_HTTP_PDNS_ADDR_GONE) ? 1 : 2;

            if (i < k) {
                old[n].back |= what;
                return;
            }

            i -= k;
        }
    }
}


static void
ngx_http_pdns_sweep_back(void)
{
    ngx_uint_t              i, what;
    ngx_http_pdns_old_t    *old;
    ngx_http_pdns_pipe_t   *pipe;
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;
    old = s->old.elts;

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        ngx_http_pdns_sweep_wait(NGX_HTTP_PDNS_RETRY);
        return;
    }

    for (i = 0; i < s->old.nelts; i++) {
        for (what = 1; what <= NGX_HTTP_PDNS_TARGET_GONE; what *= 2) {
            if (old[i].back & what) {
                ngx_http_pdns_sweep_entry(pipe, &old[i], what, 1);
            }
        }
    }

    if (s->removed != 0) {
        pdns_resp_command(&pipe->w, 4, "HINCRBY");
        pdns_resp_text(&pipe->w, "H:store");
        pdns_resp_text(&pipe->w, "records");
        pdns_resp_number(&pipe->w, -(int64_t) s->removed);

        pdns_resp_command(&pipe->w, 4, "HINCRBY");
        pdns_resp_text(&pipe->w, "H:store");
        pdns_resp_text(&pipe->w, "names");
        pdns_resp_number(&pipe->w, -(int64_t) s->gone);

        s->removed = 0;
        s->gone = 0;
    }

    ngx_http_pdns_sweep_ask(pipe, ngx_http_pdns_sweep_nothing,
                            ngx_http_pdns_sweep_page);
}

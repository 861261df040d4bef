
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Retention: records that were not seen for longer than their type is kept are
 * hidden from lookups at once, and taken out of the store by a sweeper, one
 * worker of all.  A record leaves R: before N:, because N: is what the sweeper
 * finds it by; each is removed only if it is still old.  Index entries of what
 * is gone are removed last: then the epoch is changed, so that writers write
 * anew what they have written there, and what came meanwhile is put back.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_SWEEP   500      /* keys looked at in one page */
#define NGX_HTTP_PDNS_REST    20       /* ms between pages */
#define NGX_HTTP_PDNS_RETRY   2000

/* what is gone with a record, and may stand in indexes */
#define NGX_HTTP_PDNS_NAME_GONE    1
#define NGX_HTTP_PDNS_ADDR_GONE    2
#define NGX_HTTP_PDNS_TARGET_GONE  4   /* what its data points to */


typedef struct {
    pdns_name_t                name;
    pdns_name_t                target;
    ngx_str_t                  member; /* type and data */
    ngx_str_t                  text;   /* of the data */
    uint64_t                   cutoff;
    ngx_uint_t                 gone;   /* bits */
    ngx_uint_t                 back;   /* those that are there again */
    unsigned                   named:1;
} ngx_http_pdns_old_t;


typedef struct {
    ngx_socket_t               fd[4];  /* debug logs of timers read it */
    ngx_event_t                timer;
    ngx_http_pdns_pipe_t      *pipe;
    ngx_pool_t                *pool;
    ngx_array_t                names;  /* of pdns_name_t */
    ngx_array_t                old;    /* of ngx_http_pdns_old_t */
    ngx_uint_t                 at;
    u_char                     cursor[NGX_INT64_LEN + 1];
    size_t                     cursor_len;
    u_char                     id[64];
    size_t                     id_len;
    void                     (*then)(void);
    ngx_uint_t                 removed;
    ngx_uint_t                 gone;
    unsigned                   leased:1;
    unsigned                   failed:1;
} ngx_http_pdns_sweep_t;


static void ngx_http_pdns_sweep_timer(ngx_event_t *ev);
static void ngx_http_pdns_sweep_leased(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_sweep_scan(void);
static void ngx_http_pdns_sweep_keys(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_sweep_records(void);
static void ngx_http_pdns_sweep_record(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_sweep_texts(void);
static void ngx_http_pdns_sweep_text(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_sweep_remove(void);
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
static void ngx_http_pdns_sweep_nothing(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_sweep_page(void);
static ngx_int_t ngx_http_pdns_sweep_rdata(ngx_http_pdns_old_t *old,
    pdns_rdata_t *rdata);
static void ngx_http_pdns_sweep_ask(ngx_http_pdns_pipe_t *pipe,
    ngx_http_pdns_reply_pt reply, void (*then)(void));
static void ngx_http_pdns_sweep_done(void *data, ngx_uint_t ok);
static void ngx_http_pdns_sweep_wait(ngx_msec_t ms);


static ngx_http_pdns_sweep_t  ngx_http_pdns_sweep;

static char  ngx_http_pdns_sweep_buf[PDNS_RDATA_TEXT];


static const char  ngx_http_pdns_sweep_n[] =
    "local s = redis.call('ZSCORE', KEYS[1], 'l' .. ARGV[1]) "
    "if not s or tonumber(s) > tonumber(ARGV[2]) then return 0 end "
    "redis.call('ZREM', KEYS[1], 'l' .. ARGV[1], 'f' .. ARGV[1], "
    "'c' .. ARGV[1]) "
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


time_t
ngx_http_pdns_retention(ngx_uint_t type)
{
    time_t                      ttl;
    ngx_uint_t                  i;
    ngx_array_t                *retention;
    ngx_http_pdns_retention_t  *r;

    retention = ngx_http_pdns_worker.conf->retention;

    if (retention == NULL) {
        return 0;
    }

    ttl = 0;
    r = retention->elts;

    for (i = 0; i < retention->nelts; i++) {

        if (r[i].type == type) {
            return r[i].ttl;
        }

        if (r[i].type == 0) {
            ttl = r[i].ttl;
        }
    }

    return ttl;
}


ngx_int_t
ngx_http_pdns_sweep_init(void)
{
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;

    ngx_memzero(s, sizeof(ngx_http_pdns_sweep_t));

    if (ngx_http_pdns_worker.conf->retention == NULL || ngx_worker != 0) {
        return NGX_OK;
    }

    s->id_len = ngx_snprintf(s->id, sizeof(s->id), "%P-%T-%uL", ngx_pid,
                             ngx_time(), (uint64_t) ngx_random())
                - s->id;

    s->timer.handler = ngx_http_pdns_sweep_timer;
    s->timer.data = s;
    s->timer.log = ngx_http_pdns_worker.log;
    s->timer.cancelable = 1;

    ngx_add_timer(&s->timer, 1000);

    return NGX_OK;
}


void
ngx_http_pdns_sweep_exit(void)
{
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;

    if (s->timer.timer_set) {
        ngx_del_timer(&s->timer);
    }

    if (s->pipe != NULL) {
        ngx_http_pdns_pipe_cancel(s->pipe);
        s->pipe = NULL;
    }

    if (s->pool != NULL) {
        ngx_destroy_pool(s->pool);
        s->pool = NULL;
    }
}


static void
ngx_http_pdns_sweep_wait(ngx_msec_t ms)
{
    if (!ngx_exiting) {
        ngx_add_timer(&ngx_http_pdns_sweep.timer, ms);
    }
}


/* Whoever holds the lease sweeps; it ends by itself. */

static void
ngx_http_pdns_sweep_timer(ngx_event_t *ev)
{
    ngx_http_pdns_pipe_t   *pipe;
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        ngx_http_pdns_sweep_wait(NGX_HTTP_PDNS_RETRY);
        return;
    }

    pdns_resp_command(&pipe->w, 6, "SET");
    pdns_resp_text(&pipe->w, "H:sweep:lease");
    pdns_resp_word(&pipe->w, s->id, s->id_len);
    pdns_resp_text(&pipe->w, "NX");
    pdns_resp_text(&pipe->w, "PX");
    pdns_resp_text(&pipe->w, "60000");
    pdns_resp_command(&pipe->w, 2, "GET");
    pdns_resp_text(&pipe->w, "H:sweep:lease");
    pdns_resp_command(&pipe->w, 3, "PEXPIRE");
    pdns_resp_text(&pipe->w, "H:sweep:lease");
    pdns_resp_text(&pipe->w, "60000");

    s->leased = 0;

    ngx_http_pdns_sweep_ask(pipe, ngx_http_pdns_sweep_leased,
                            ngx_http_pdns_sweep_scan);
}


static void
ngx_http_pdns_sweep_leased(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_sweep_t  *s = data;

    if (i == 1) {
        s->leased = (reply->type == REDIS_REPLY_STRING
                     && reply->len == s->id_len
                     && ngx_memcmp(reply->str, s->id, s->id_len) == 0);
    }
}


static void
ngx_http_pdns_sweep_scan(void)
{
    ngx_http_pdns_pipe_t   *pipe;
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;

    if (!s->leased) {
        ngx_http_pdns_sweep_wait(10 * NGX_HTTP_PDNS_RETRY);
        return;
    }

    if (s->cursor_len == 0) {
        s->cursor[0] = '0';
        s->cursor_len = 1;
    }

    if (s->pool != NULL) {
        ngx_destroy_pool(s->pool);
    }

    s->pool = ngx_create_pool(16384, ngx_http_pdns_worker.log);
    pipe = ngx_http_pdns_pipe();

    if (s->pool == NULL || pipe == NULL
        || ngx_array_init(&s->names, s->pool, 64, sizeof(pdns_name_t))
           != NGX_OK
        || ngx_array_init(&s->old, s->pool, 64, sizeof(ngx_http_pdns_old_t))
           != NGX_OK)
    {
        ngx_http_pdns_sweep_wait(NGX_HTTP_PDNS_RETRY);
        return;
    }

    pdns_resp_command(&pipe->w, 6, "SCAN");
    pdns_resp_word(&pipe->w, s->cursor, s->cursor_len);
    pdns_resp_text(&pipe->w, "MATCH");
    pdns_resp_text(&pipe->w, "N:*");
    pdns_resp_text(&pipe->w, "COUNT");
    pdns_resp_number(&pipe->w, NGX_HTTP_PDNS_SWEEP);

    ngx_http_pdns_sweep_ask(pipe, ngx_http_pdns_sweep_keys,
                            ngx_http_pdns_sweep_records);
}


static void
ngx_http_pdns_sweep_keys(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_sweep_t  *s = data;

    ngx_uint_t    n;
    redisReply   *keys;
    pdns_name_t  *name;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[0]->len >= sizeof(s->cursor))
    {
        s->failed = 1;
        return;
    }

    s->cursor_len = reply->element[0]->len;
    ngx_memcpy(s->cursor, reply->element[0]->str, s->cursor_len);

    keys = reply->element[1];

    for (n = 0; n < keys->elements; n++) {
        name = ngx_array_push(&s->names);

        if (name == NULL) {
            s->failed = 1;
            return;
        }

        if (pdns_key_owner(name, (uint8_t *) keys->element[n]->str,
                           keys->element[n]->len)
            != 0)
        {
            s->names.nelts--;
        }
    }
}


/* The oldest cutoff finds all that may be old; the type decides. */

static void
ngx_http_pdns_sweep_records(void)
{
    time_t                      least;
    pdns_key_t                  key;
    ngx_uint_t                  i;
    pdns_name_t                *name;
    ngx_array_t                *retention;
    ngx_http_pdns_pipe_t       *pipe;
    ngx_http_pdns_sweep_t      *s;
    ngx_http_pdns_retention_t  *r;

    s = &ngx_http_pdns_sweep;

    retention = ngx_http_pdns_worker.conf->retention;
    r = retention->elts;
    least = r[0].ttl;

    for (i = 1; i < retention->nelts; i++) {
        least = ngx_min(least, r[i].ttl);
    }

    pipe = ngx_http_pdns_pipe();
    if (pipe == NULL) {
        ngx_http_pdns_sweep_wait(NGX_HTTP_PDNS_RETRY);
        return;
    }

    name = s->names.elts;

    for (i = 0; i < s->names.nelts; i++) {
        pdns_key_name(&key, 'N', &name[i]);

        pdns_resp_command(&pipe->w, 8, "ZREVRANGEBYSCORE");
        pdns_resp_word(&pipe->w, key.data, key.len);
        pdns_resp_number(&pipe->w, ngx_time() - least);
        pdns_resp_text(&pipe->w, "1");
        pdns_resp_text(&pipe->w, "WITHSCORES");
        pdns_resp_text(&pipe->w, "LIMIT");
        pdns_resp_text(&pipe->w, "0");
        pdns_resp_number(&pipe->w, NGX_HTTP_PDNS_SWEEP);
    }

    ngx_http_pdns_sweep_ask(pipe, ngx_http_pdns_sweep_record,
                            ngx_http_pdns_sweep_texts);
}


static void
ngx_http_pdns_sweep_record(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_sweep_t  *s = data;

    size_t                at;
    time_t                ttl;
    int64_t               last;
    uint16_t              type;
    ngx_uint_t            n;
    redisReply           *member;
    pdns_name_t          *name;
    ngx_http_pdns_old_t  *old;

    if (reply->type != REDIS_REPLY_ARRAY) {
        return;
    }

    name = s->names.elts;

    for (n = 0; n + 1 < reply->elements; n += 2) {
        member = reply->element[n];
        last = (int64_t) strtod(reply->element[n + 1]->str, NULL);

        if (member->len < 2 || member->str[0] != 'l'
            || pdns_member_type(&type, &at, (uint8_t *) member->str + 1,
                                member->len - 1)
               != 0)
        {
            continue;
        }

        ttl = ngx_http_pdns_retention(type);

        if (ttl == 0 || last > ngx_time() - ttl) {
            continue;
        }

        old = ngx_array_push(&s->old);

        if (old == NULL) {
            s->failed = 1;
            return;
        }

        ngx_memzero(old, sizeof(ngx_http_pdns_old_t));

        old->name = name[i];
        old->cutoff = ngx_time() - ttl;
        old->member.len = member->len - 1;
        old->member.data = ngx_pnalloc(s->pool, member->len);

        if (old->member.data == NULL) {
            s->failed = 1;
            return;
        }

        ngx_memcpy(old->member.data, member->str + 1, member->len - 1);
    }
}


/* What is kept by its digest has to be known to find its R: key. */

static void
ngx_http_pdns_sweep_texts(void)
{
    int                     n;
    char                    text[PDNS_RDATA_SHORT + PDNS_NAME_TEXT];
    pdns_key_t              key;
    ngx_uint_t              i;
    const uint8_t          *digest;
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
        digest = pdns_member_digest(old[i].member.data, old[i].member.len);

        if (digest != NULL) {
            pdns_key_digest(&key, 'D', digest);
            pdns_resp_command(&pipe->w, 2, "GET");
            pdns_resp_word(&pipe->w, key.data, key.len);
            continue;
        }

        n = pdns_member_text(text, sizeof(text), old[i].member.data,
                             old[i].member.len);

        if (n > 0) {
            old[i].text.data = ngx_pnalloc(s->pool, n);

            if (old[i].text.data != NULL) {
                old[i].text.len = n;
                ngx_memcpy(old[i].text.data, text, n);
            }
        }
    }

    s->at = 0;

    ngx_http_pdns_sweep_ask(pipe, ngx_http_pdns_sweep_text,
                            ngx_http_pdns_sweep_remove);
}


static void
ngx_http_pdns_sweep_text(void *data, ngx_uint_t i, redisReply *reply)
{
    ngx_http_pdns_sweep_t  *s = data;

    ngx_http_pdns_old_t  *old;

    old = s->old.elts;

    while (pdns_member_digest(old[s->at].member.data, old[s->at].member.len)
           == NULL)
    {
        s->at++;
    }

    old += s->at++;

    if (reply->type == REDIS_REPLY_STRING) {
        old->text.data = ngx_pnalloc(s->pool, reply->len + 1);

        if (old->text.data != NULL) {
            old->text.len = reply->len;
            ngx_memcpy(old->text.data, reply->str, reply->len);
        }
    }
}


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


static void
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


static void
ngx_http_pdns_sweep_nothing(void *data, ngx_uint_t i, redisReply *reply)
{
    /* void */
}


static void
ngx_http_pdns_sweep_page(void)
{
    ngx_uint_t              last;
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;

    last = (s->cursor_len == 1 && s->cursor[0] == '0');

    ngx_http_pdns_sweep_wait(last ? ngx_http_pdns_worker.conf->sweep
                                  : NGX_HTTP_PDNS_REST);
}


/* An empty pipe is answered at once. */

static void
ngx_http_pdns_sweep_ask(ngx_http_pdns_pipe_t *pipe,
    ngx_http_pdns_reply_pt reply, void (*then)(void))
{
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;
    s->failed = 0;

    if (pipe->w.commands == 0) {
        ngx_http_pdns_pipe_free(pipe);
        then();
        return;
    }

    s->then = then;
    s->pipe = pipe;

    if (ngx_http_pdns_pipe_send(pipe, reply, ngx_http_pdns_sweep_done, s)
        != NGX_OK)
    {
        s->pipe = NULL;
        ngx_http_pdns_sweep_wait(NGX_HTTP_PDNS_RETRY);
    }
}


static void
ngx_http_pdns_sweep_done(void *data, ngx_uint_t ok)
{
    ngx_http_pdns_sweep_t  *s = data;

    s->pipe = NULL;

    if (!ok || s->failed) {
        ngx_http_pdns_sweep_wait(NGX_HTTP_PDNS_RETRY);
        return;
    }

    s->then();
}


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


#include "ngx_http_pdns_sweep.h"


#define NGX_HTTP_PDNS_SWEEP   500      /* keys looked at in one page */
#define NGX_HTTP_PDNS_REST    20       /* ms between pages */


static void ngx_http_pdns_sweep_timer(ngx_event_t *ev);
static void ngx_http_pdns_sweep_leased(void *data, redisReply *reply);
static void ngx_http_pdns_sweep_rest(void);
static void ngx_http_pdns_sweep_scan(void);
static void ngx_http_pdns_sweep_keys(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_sweep_records(void);
static void ngx_http_pdns_sweep_record(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_sweep_texts(void);
static void ngx_http_pdns_sweep_text(void *data, ngx_uint_t i,
    redisReply *reply);
static void ngx_http_pdns_sweep_done(void *data, ngx_uint_t ok);


ngx_http_pdns_sweep_t  ngx_http_pdns_sweep;


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
ngx_http_pdns_sweep_init(ngx_cycle_t *cycle)
{
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;

    ngx_memzero(s, sizeof(ngx_http_pdns_sweep_t));

    if (ngx_http_pdns_worker.conf->retention == NULL || ngx_worker != 0) {
        return NGX_OK;
    }

    if (ngx_http_pdns_lease_init(cycle, &s->lease, "H:sweep:lease")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

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

    s->done = 1;

    ngx_http_pdns_lease_give(&s->lease);

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


void
ngx_http_pdns_sweep_wait(ngx_msec_t ms)
{
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;

    if (s->done) {
        return;
    }

    if (ngx_exiting) {
        ngx_http_pdns_lease_give(&s->lease);
        return;
    }

    ngx_add_timer(&s->timer, ms);
}


/*
 * Whoever holds the lease sweeps, and keeps it until the next sweep; without
 * being renewed it ends by itself.
 */

static void
ngx_http_pdns_sweep_timer(ngx_event_t *ev)
{
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;

    if (ngx_exiting
        || ngx_http_pdns_lease_take(&s->lease, ngx_http_pdns_sweep_leased, s)
           != NGX_OK)
    {
        ngx_http_pdns_sweep_wait(NGX_HTTP_PDNS_RETRY);
    }
}


static void
ngx_http_pdns_sweep_leased(void *data, redisReply *reply)
{
    ngx_http_pdns_sweep_t  *s = data;

    if (s->done) {
        return;
    }

    if (!ngx_http_pdns_lease_taken(&s->lease, reply)) {
        s->resting &= (reply == NULL);
        ngx_http_pdns_sweep_wait(NGX_HTTP_PDNS_RETRY);
        return;
    }

    if (s->resting && (ngx_msec_int_t) (s->next - ngx_current_msec) > 0) {
        ngx_http_pdns_sweep_rest();
        return;
    }

    s->resting = 0;

    ngx_http_pdns_sweep_scan();
}


/* In small steps: the lease is renewed, and given up when the worker ends. */

static void
ngx_http_pdns_sweep_rest(void)
{
    ngx_msec_t  left;

    left = ngx_http_pdns_sweep.next - ngx_current_msec;

    ngx_http_pdns_sweep_wait(ngx_min(left, NGX_HTTP_PDNS_RETRY));
}


static void
ngx_http_pdns_sweep_scan(void)
{
    ngx_http_pdns_pipe_t   *pipe;
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;

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


void
ngx_http_pdns_sweep_nothing(void *data, ngx_uint_t i, redisReply *reply)
{
    /* void */
}


void
ngx_http_pdns_sweep_page(void)
{
    ngx_http_pdns_sweep_t  *s;

    s = &ngx_http_pdns_sweep;

    if (s->cursor_len != 1 || s->cursor[0] != '0') {
        ngx_http_pdns_sweep_wait(NGX_HTTP_PDNS_REST);
        return;
    }

    s->resting = 1;
    s->next = ngx_current_msec + ngx_http_pdns_worker.conf->sweep;

    ngx_http_pdns_sweep_rest();
}


/* An empty pipe is answered at once. */

void
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

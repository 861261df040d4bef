
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What Redis says of a session's sensor, before its first frame is believed
 * and whenever it may have changed; and the (uuid, type) slot.
 */


#include "ngx_d4_session.h"


#define NGX_D4_NETS  129               /* prefixes 0..128 */


typedef struct {
    ngx_d4_blocked_pt        handler;
    void                    *data;
} ngx_d4_blocked_t;


static ngx_uint_t ngx_d4_nets(d4_addr_t *addr, ngx_str_t *argv);
static void ngx_d4_blocked_handler(void *data, redisReply *reply);
static void ngx_d4_session_facts(void *data, redisReply *reply);
static void ngx_d4_session_facts_key(ngx_d4_session_t *s, redisReply **e);
static void ngx_d4_session_facts_claim(ngx_d4_session_t *s,
    redisReply *claim);
static void ngx_d4_session_banned(void *data, redisReply *reply);
static void ngx_d4_session_rejected(void *data, redisReply *reply);
static void ngx_d4_session_answered(ngx_d4_session_t *s);
static void ngx_d4_session_admit(ngx_d4_session_t *s);
static void ngx_d4_session_review(ngx_d4_session_t *s);
static void ngx_d4_session_claimed(void *data, redisReply *reply);
static void ngx_d4_session_go_live(ngx_d4_session_t *s);
static void ngx_d4_session_busy(ngx_d4_session_t *s, redisReply **e);
static void ngx_d4_session_began(void *data, redisReply *reply);


/*
 * The networks an address can belong to, as members of d4:blocknet.
 */

static ngx_uint_t
ngx_d4_nets(d4_addr_t *addr, ngx_str_t *argv)
{
    ngx_uint_t   i;
    static char  nets[NGX_D4_NETS][D4_NET_TEXT];

    if (addr->bits == 0) {
        return 0;
    }

    for (i = 0; i <= addr->bits; i++) {
        ngx_d4_str(&argv[i], nets[i], d4_addr_net(nets[i], addr, i));
    }

    return i;
}


void *
ngx_d4_blocked(d4_addr_t *addr, ngx_d4_blocked_pt handler, void *data)
{
    char               text[D4_ADDR_TEXT];
    ngx_str_t          argv[1 + NGX_D4_NETS];
    ngx_uint_t         n;
    ngx_d4_blocked_t  *b;

    if (!ngx_d4_worker.active || !ngx_d4_redis_ready(ngx_d4_worker.metadata)) {
        return NULL;
    }

    b = ngx_alloc(sizeof(ngx_d4_blocked_t), ngx_d4_worker.log);
    if (b == NULL) {
        return NULL;
    }

    b->handler = handler;
    b->data = data;

    ngx_d4_str(&argv[0], text, d4_addr_text(text, addr));
    n = 1 + ngx_d4_nets(addr, &argv[1]);

    if (ngx_d4_script(ngx_d4_worker.metadata, NGX_D4_SCRIPT_BLOCKED, n, argv,
                      ngx_d4_blocked_handler, b)
        != NGX_OK)
    {
        ngx_free(b);
        return NULL;
    }

    return b;
}


void
ngx_d4_blocked_cancel(void *handle)
{
    ngx_d4_blocked_t  *b = handle;

    b->handler = NULL;
}


static void
ngx_d4_blocked_handler(void *data, redisReply *reply)
{
    ngx_d4_blocked_t  *b = data;

    if (b->handler) {
        b->handler(b->data, reply && ngx_d4_reply_int(reply)
                            ? D4_END_ADDRESS_BLOCKED : D4_END_NONE);
    }

    ngx_free(b);
}


void
ngx_d4_session_ask(ngx_d4_session_t *s)
{
    char             dashed[D4_UUID_DASHED + 1];
    u_char           type[NGX_INT_T_LEN], key[sizeof("temp_blacklist_uuid:")
                                             + D4_UUID_HEX];
    ngx_str_t        argv[5 + NGX_D4_NETS];
    ngx_uint_t       n;
    ngx_d4_redis_t  *metadata, *streams;

    metadata = ngx_d4_worker.metadata;
    streams = ngx_d4_worker.streams;

    /* what is being renewed is not in Redis yet */

    if (s->asking || s->renew || s->recreate || s->reclaim || s->claiming
        || ngx_d4_session_held(s)
        || !ngx_d4_redis_ready(metadata) || !ngx_d4_redis_ready(streams))
    {
        return;
    }

    s->recheck = 0;
    s->answer_failed = 0;
    s->generation = ngx_d4_worker.shared->generation;
    ngx_memzero(&s->answer, sizeof(d4_facts_t));

    d4_uuid_dashed(dashed, s->uuid);

    ngx_d4_str(&argv[0], s->hex, D4_UUID_HEX);
    ngx_d4_str(&argv[1], dashed, D4_UUID_DASHED);
    ngx_d4_str(&argv[2], type, ngx_sprintf(type, "%ui", s->type) - type);
    ngx_d4_str(&argv[3], s->sid, D4_SID);
    ngx_d4_str(&argv[4], s->addr_text, s->addr_len);
    n = 5 + ngx_d4_nets(&s->addr, &argv[5]);

    if (ngx_d4_script(metadata, NGX_D4_SCRIPT_POLICY, n, argv,
                      ngx_d4_session_facts, s)
        == NGX_OK)
    {
        s->asking++;

    } else {
        s->answer_failed = 1;
    }

    ngx_str_set(&argv[0], "EXISTS");
    ngx_d4_str(&argv[1], key, ngx_sprintf(key, "temp_blacklist_uuid:%s",
                                          s->hex)
                              - key);

    if (ngx_d4_redis_command(streams, 2, argv, ngx_d4_session_banned, s)
        == NGX_OK)
    {
        s->asking++;

    } else {
        s->answer_failed = 1;
    }

    ngx_str_set(&argv[0], "SISMEMBER");
    ngx_str_set(&argv[1], "Error:IncorrectType");
    ngx_d4_str(&argv[2], s->sid, D4_SID);

    if (ngx_d4_redis_command(streams, 3, argv, ngx_d4_session_rejected, s)
        == NGX_OK)
    {
        s->asking++;

    } else {
        s->answer_failed = 1;
    }

    s->refs += s->asking;

    if (s->asking == 0) {
        ngx_d4_session_hold(s, NGX_D4_RETRY_MAX);
    }
}


static void
ngx_d4_session_facts(void *data, redisReply *reply)
{
    ngx_d4_session_t  *s = data;

    redisReply  **e;

    s->asking--;

    if (ngx_d4_session_unref(s)) {
        return;
    }

    if (!ngx_d4_session_succeeded(s, reply, "policy")
        || !ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY) || reply->elements != 10)
    {
        s->answer_failed = 1;

    } else {
        e = reply->element;

        s->answer.address_blocked = ngx_d4_reply_int(e[0]) != 0;
        s->answer.uuid_blocked = ngx_d4_reply_int(e[1]) != 0;
        s->answer.uuid_blocks = ngx_d4_reply_int(e[2]) != 0;
        s->answer.registered = ngx_d4_reply_int(e[3]) != 0;
        s->answer.type_accepted = ngx_d4_reply_int(e[4]) != 0;
        s->answer.stream_max = ngx_d4_reply_text(e[5])
                               ? strtoull(e[5]->str, NULL, 10)
                               : NGX_D4_STREAM_MAX;

        ngx_d4_session_facts_key(s, &e[6]);
        ngx_d4_session_facts_claim(s, e[8]);

        s->answer_gone = ngx_d4_reply_int(e[9]) == 0;
    }

    ngx_d4_session_answered(s);
}


static void
ngx_d4_session_facts_key(ngx_d4_session_t *s, redisReply **e)
{
    size_t         len;
    u_char        *key;
    ngx_d4_conf_t *conf;

    conf = ngx_d4_worker.conf;

    if (ngx_d4_reply_text(e[0]) && e[0]->len) {
        key = (u_char *) e[0]->str;
        len = e[0]->len;

    } else if (conf->default_key.len) {
        key = conf->default_key.data;
        len = conf->default_key.len;

    } else if (ngx_d4_reply_text(e[1]) && e[1]->len) {
        key = (u_char *) e[1]->str;
        len = e[1]->len;

    } else {
        return;
    }

    s->answer.has_key = 1;
    SHA256(key, len, s->answer_digest);

    if (s->stage == NGX_D4_STAGE_POLICY) {
        d4_key_init(&s->key, key, len);
        ngx_memcpy(s->key_digest, s->answer_digest, SHA256_DIGEST_LENGTH);
    }
}


static void
ngx_d4_session_facts_claim(ngx_d4_session_t *s, redisReply *claim)
{
    s->answer_unclaimed = 0;
    s->answer_replaced = 0;

    if (s->type == D4_TYPE_META || s->type == D4_TYPE_EXTENDED) {
        return;
    }

    if (!ngx_d4_reply_text(claim)) {
        s->answer_unclaimed = 1;

    } else if (claim->len < D4_SID
               || ngx_memcmp(claim->str, s->sid, D4_SID) != 0)
    {
        s->answer_replaced = 1;
    }
}


static void
ngx_d4_session_banned(void *data, redisReply *reply)
{
    ngx_d4_session_t  *s = data;

    s->asking--;

    if (ngx_d4_session_unref(s)) {
        return;
    }

    if (ngx_d4_session_succeeded(s, reply, "look at the ban")) {
        s->answer.banned = ngx_d4_reply_int(reply) != 0;

    } else {
        s->answer_failed = 1;
    }

    ngx_d4_session_answered(s);
}


static void
ngx_d4_session_rejected(void *data, redisReply *reply)
{
    ngx_d4_session_t  *s = data;

    s->asking--;

    if (ngx_d4_session_unref(s)) {
        return;
    }

    if (ngx_d4_session_succeeded(s, reply, "look at Error:IncorrectType")) {
        s->answer.incorrect_type = ngx_d4_reply_int(reply) != 0;

    } else {
        s->answer_failed = 1;
    }

    ngx_d4_session_answered(s);
}


static void
ngx_d4_session_answered(ngx_d4_session_t *s)
{
    if (s->asking) {
        return;
    }

    if (s->answer_failed) {
        s->recheck = (s->stage == NGX_D4_STAGE_LIVE);
        ngx_d4_session_work(s);
        return;
    }

    s->facts = s->answer;

    if (s->stage == NGX_D4_STAGE_POLICY) {
        ngx_d4_session_admit(s);

    } else {
        ngx_d4_session_review(s);
    }
}


static void
ngx_d4_session_admit(ngx_d4_session_t *s)
{
    d4_end_t  reason;

    if (s->closed) {
        ngx_d4_session_work(s);
        return;
    }

    reason = d4_policy_sensor(&s->header, &s->facts,
                       ngx_d4_worker.conf->mode == NGX_D4_MODE_REGISTRATION);

    if (reason != D4_END_NONE && !d4_end_defers(reason)) {
        ngx_d4_session_end(s, reason);
        return;
    }

    if (reason != D4_END_NONE) {
        s->verdict = reason;
        s->verdict_until = ngx_current_msec + NGX_D4_VERDICT_WAIT;

    } else if (d4_batch_begin(&s->pending, s->sid, &s->header, s->start, 1, 1)
               != 0)
    {
        ngx_d4_session_end(s, D4_END_MEMORY);
        return;
    }

    s->stage = NGX_D4_STAGE_FIRST;
    s->paused = 0;
    s->handler(s->data, NGX_D4_READY, D4_END_NONE);
}


static void
ngx_d4_session_review(ngx_d4_session_t *s)
{
    d4_end_t  reason;

    if (s->closed) {
        ngx_d4_session_work(s);
        return;
    }

    reason = d4_policy_live(&s->facts,
                       ngx_d4_worker.conf->mode == NGX_D4_MODE_REGISTRATION);

    if (reason == D4_END_NONE
        && (!s->facts.has_key
            || ngx_memcmp(s->key_digest, s->answer_digest,
                          SHA256_DIGEST_LENGTH)
               != 0))
    {
        reason = D4_END_KEY_CHANGED;
    }

    if (reason == D4_END_NONE && s->answer_replaced) {
        reason = D4_END_REPLACED;
    }

    if (reason == D4_END_UUID_BLOCKS) {
        ngx_d4_session_block_address(s);
    }

    if (reason != D4_END_NONE) {
        s->error = d4_end_error(reason);
        ngx_d4_session_end(s, reason);
        return;
    }

    /*
     * Without its hash the session was taken for dead, and its streams were
     * closed: what it still has to say, it says under a new name.
     */

    if (s->answer_gone) {
        s->renew = 1;

    } else if (s->answer_unclaimed) {
        s->reclaim = 1;
    }

    ngx_d4_session_resume(s);
    ngx_d4_session_work(s);
}


void
ngx_d4_session_claim(ngx_d4_session_t *s)
{
    u_char            type[NGX_INT_T_LEN], now[NGX_TIME_T_LEN];
    ngx_str_t         argv[8];
    ngx_d4_worker_t  *w;

    w = &ngx_d4_worker;

    if (s->claiming || ngx_d4_session_held(s)) {
        return;
    }

    /* a slot is worth as much as the lease behind it */

    if (!ngx_d4_control_leased() || !ngx_d4_redis_ready(w->metadata)) {
        ngx_d4_session_again(s, NGX_D4_TICK);
        return;
    }

    if (s->conf->duplicate == NGX_D4_DUPLICATE_REPLACE
        && s->stage == NGX_D4_STAGE_CLAIM)
    {
        s->take[0] = '*';
        s->take[1] = '\0';
    }

    ngx_d4_str(&argv[0], s->hex, D4_UUID_HEX);
    ngx_d4_str(&argv[1], type, ngx_sprintf(type, "%ui", s->type) - type);
    ngx_d4_str(&argv[2], s->sid, D4_SID);
    argv[3] = w->id;
    ngx_d4_str(&argv[4], s->take, ngx_strlen(s->take));
    ngx_d4_str(&argv[5], s->addr_text, s->addr_len);
    ngx_d4_str(&argv[6], now, ngx_sprintf(now, "%T", ngx_time()) - now);
    ngx_d4_str(&argv[7], s->former, ngx_strlen(s->former));

    if (ngx_d4_script(w->metadata, NGX_D4_SCRIPT_CLAIM, 8, argv,
                      ngx_d4_session_claimed, s)
        != NGX_OK)
    {
        ngx_d4_session_again(s, NGX_D4_RETRY_MAX);
        return;
    }

    s->claiming = 1;
    s->refs++;
}


static void
ngx_d4_session_claimed(void *data, redisReply *reply)
{
    ngx_d4_session_t  *s = data;

    s->claiming = 0;

    if (ngx_d4_session_unref(s)) {
        return;
    }

    if (!ngx_d4_session_succeeded(s, reply, "claim")) {
        ngx_d4_session_work(s);
        return;
    }

    if (!ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY) || reply->elements == 0) {
        ngx_d4_session_hold(s, NGX_D4_RETRY_MAX);
        return;
    }

    if (ngx_d4_reply_int(reply->element[0]) == 1) {
        s->take[0] = '\0';

        if (s->stage == NGX_D4_STAGE_CLAIM) {
            ngx_d4_session_go_live(s);
        }

        s->reclaim = 0;
        ngx_d4_session_work(s);
        return;
    }

    if (s->stage == NGX_D4_STAGE_LIVE) {

        /* while we were away, somebody else came and is alive */

        s->reclaim = 0;
        s->error = d4_end_error(D4_END_REPLACED);
        ngx_d4_session_end(s, D4_END_REPLACED);
        ngx_d4_session_work(s);
        return;
    }

    if (reply->elements == 4) {
        ngx_d4_session_busy(s, reply->element);
    }
}


static void
ngx_d4_session_go_live(ngx_d4_session_t *s)
{
    s->stage = NGX_D4_STAGE_LIVE;
    s->begin = 1;
    s->node = ngx_d4_registry_add(s->uuid, s->type, s->sid, &s->addr);

    if (s->node == NULL) {
        (void) ngx_atomic_fetch_add(&ngx_d4_worker.shared->unlisted, 1);
    }

    /* what was announced meanwhile found no session to mark */

    if (s->generation != ngx_d4_worker.shared->generation) {
        s->recheck = 1;
    }

    ngx_d4_session_resume(s);
}


/*
 * Somebody alive holds the slot: e[1] his sid, e[2] when he last sent, as he
 * last wrote it down, e[3] whether his worker is about to exit.  Silence makes
 * him give way; else the newcomer tries again for a moment, because an end and
 * a new start may cross.  A sensor that we have told to go has nothing to do
 * with how long we take for what it sent before: it waits until that is done.
 */

static void
ngx_d4_session_busy(ngx_d4_session_t *s, redisReply **e)
{
    time_t      silent, known;
    ngx_uint_t  leaving;

    silent = -1;
    leaving = (ngx_d4_reply_int(e[3]) == 1);

    if (ngx_d4_reply_text(e[1]) && e[1]->len == D4_SID) {
        silent = ngx_d4_registry_silent(e[1]->str, e[1]->len, &leaving);

        if (silent == -1 && ngx_d4_reply_text(e[2])) {
            known = (time_t) strtoll(e[2]->str, NULL, 10);
            silent = ngx_time() - known
                     - (time_t) (ngx_d4_worker.conf->stat_interval / 1000 + 1);
        }
    }

    if (silent > NGX_D4_SILENT) {
        ngx_memcpy(s->take, e[1]->str, D4_SID);
        s->take[D4_SID] = '\0';
        ngx_d4_session_claim(s);
        return;
    }

    if (leaving) {
        ngx_d4_session_hold(s, NGX_D4_CLAIM_RETRY);
        return;
    }

    if (!s->waiting) {
        s->waiting = 1;
        s->claim_until = ngx_current_msec + NGX_D4_CLAIM_WAIT;
    }

    if ((ngx_msec_int_t) (s->claim_until - ngx_current_msec) > 0) {
        ngx_d4_session_hold(s, NGX_D4_CLAIM_RETRY);
        return;
    }

    ngx_d4_session_write_error(s, D4_END_DUPLICATE);

    if (s->closed) {
        ngx_d4_refused(ngx_d4_worker.log, &s->addr, s->uuid, s->type,
                       D4_END_DUPLICATE);
        ngx_d4_session_free(s);
        return;
    }

    ngx_d4_session_discard(s);
    ngx_d4_session_end(s, D4_END_DUPLICATE);
}


/*
 * The published keys that show who is connected.
 */

void
ngx_d4_session_begin(ngx_d4_session_t *s)
{
    u_char      type[NGX_INT_T_LEN];
    ngx_str_t   argv[3];

    if (s->beginning || s->renew || ngx_d4_session_held(s)) {
        return;
    }

    ngx_d4_str(&argv[0], s->hex, D4_UUID_HEX);
    ngx_d4_str(&argv[1], type, ngx_sprintf(type, "%ui", s->type) - type);
    ngx_d4_str(&argv[2], s->sid, D4_SID);

    if (ngx_d4_script(ngx_d4_worker.streams, NGX_D4_SCRIPT_BEGIN, 3, argv,
                      ngx_d4_session_began, s)
        == NGX_OK)
    {
        s->begin = 0;
        s->beginning = 1;
        s->refs++;
    }
}


static void
ngx_d4_session_began(void *data, redisReply *reply)
{
    ngx_d4_session_t  *s = data;

    s->beginning = 0;

    if (ngx_d4_session_unref(s)) {
        return;
    }

    if (!ngx_d4_session_succeeded(s, reply, "begin")) {
        s->begin = 1;
    }

    ngx_d4_session_work(s);
}


/*
 * A frame of the sensor authenticated and was refused all the same.
 */

void
ngx_d4_session_write_error(ngx_d4_session_t *s, d4_end_t reason)
{
    u_char       key[sizeof("metadata_uuid:") + D4_UUID_HEX];
    const char  *text;
    ngx_str_t    argv[4];

    text = d4_end_error(reason);

    if (text == NULL) {
        return;
    }

    if (s->stage == NGX_D4_STAGE_LIVE) {

        /* with the last statistics, which clear it */

        s->error = text;
        return;
    }

    ngx_str_set(&argv[0], "HSET");
    ngx_d4_str(&argv[1], key, ngx_sprintf(key, "metadata_uuid:%s", s->hex)
                              - key);
    ngx_str_set(&argv[2], "Error");
    ngx_d4_str(&argv[3], text, ngx_strlen(text));

    (void) ngx_d4_redis_command(ngx_d4_worker.metadata, 4, argv, NULL, NULL);
}


void
ngx_d4_session_block_address(ngx_d4_session_t *s)
{
    ngx_str_t  argv[3];

    ngx_str_set(&argv[0], "SADD");
    ngx_str_set(&argv[1], "blacklist_ip");
    ngx_d4_str(&argv[2], s->addr_text, s->addr_len);

    (void) ngx_d4_redis_command(ngx_d4_worker.metadata, 3, argv, NULL, NULL);
}

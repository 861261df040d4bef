
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The worker's lease in Redis, and the leader of this host.
 *
 * The lease is a key that Redis forgets by itself.  What a worker owns is void
 * once it is gone, so a worker believes in it for less long than Redis does,
 * counted from before the command was sent, and asks about all its sessions
 * when it was ever without.
 *
 * The leader is elected over the shared zone and learns what other programs
 * and hosts did, for all workers of its host.  For a moment there may be two
 * of them, or none: all that a leader does may be done twice or later.
 */


#include "ngx_d4_control.h"
#include "ngx_d4_dispatch.h"

#include <openssl/rand.h>


#define NGX_D4_LEASE_MARGIN  1000
#define NGX_D4_LEAD          1000      /* ms without a sign of the leader */
#define NGX_D4_LEAD_MAX      5000      /* more than this: the clock jumped */

#define NGX_D4_NONCE         8

#define ngx_d4_is(verb, s)                                                    \
    ((verb).len == sizeof(s) - 1                                              \
     && ngx_strncmp((verb).data, s, sizeof(s) - 1) == 0)


typedef struct {
    ngx_d4_redis_t          *channel;
    ngx_msec_t               sent;         /* the latest SET */
    unsigned                 asked:1;      /* it was not answered yet */
    unsigned                 held:1;       /* the key should exist */
    unsigned                 granted:1;    /* there was a lease before */
    unsigned                 refused:1;    /* Redis answered an error */
    unsigned                 leading:1;
    unsigned                 telling:1;    /* asked says that we leave */
    unsigned                 told:1;
} ngx_d4_control_t;


static ngx_int_t ngx_d4_control_member(char *command, char *set);
static void ngx_d4_control_lease(void);
static ngx_int_t ngx_d4_control_ask(void);
static void ngx_d4_control_lease_handler(void *data, redisReply *reply);
static void ngx_d4_control_granted(void);
static void ngx_d4_control_lead(void);
static ngx_uint_t ngx_d4_control_elect(void);
static void ngx_d4_control_resign(void);
static void ngx_d4_control_channel_state(ngx_d4_redis_t *rd, ngx_uint_t up);
static void ngx_d4_control_message(ngx_str_t *message);


static ngx_str_t  ngx_d4_control_channel = ngx_string("d4:control");

static ngx_d4_control_t  ngx_d4_control;


ngx_int_t
ngx_d4_control_init(void)
{
    u_char           *p, nonce[NGX_D4_NONCE];
    ngx_d4_worker_t  *w;

    w = &ngx_d4_worker;

    ngx_memzero(&ngx_d4_control, sizeof(ngx_d4_control_t));

    if (RAND_bytes(nonce, NGX_D4_NONCE) != 1) {
        ngx_log_error(NGX_LOG_EMERG, w->log, 0, "RAND_bytes() failed");
        return NGX_ERROR;
    }

    p = ngx_snprintf(w->name, sizeof(w->name) - 2 * NGX_D4_NONCE, "%V:%P:",
                     &w->conf->host, ngx_pid);
    p = ngx_hex_dump(p, nonce, NGX_D4_NONCE);

    w->id.data = w->name;
    w->id.len = p - w->name;
    w->lease_until = 0;

    ngx_d4_poll_init();
    ngx_d4_adopt_init();
    ngx_d4_reaper_init();

    return NGX_OK;
}


void
ngx_d4_control_tick(void)
{
    ngx_d4_control_lease();
    ngx_d4_control_lead();

    if (ngx_d4_control.leading) {
        ngx_d4_poll_tick();

        if (ngx_d4_worker.conf->dispatch) {
            ngx_d4_adopt_tick();
        }
    }

    ngx_d4_reaper_tick();
}


void
ngx_d4_control_done(ngx_uint_t consuming)
{
    ngx_str_t         argv[2];
    u_char            key[sizeof("d4:worker:") + NGX_MAXHOSTNAMELEN + 48];
    ngx_d4_worker_t  *w;

    w = &ngx_d4_worker;

    ngx_d4_control_resign();

    w->lease_until = 0;

    if (!ngx_d4_redis_ready(w->metadata)) {
        return;
    }

    /* with something left, it stays among the workers, to be reaped */

    ngx_str_set(&argv[0], "DEL");
    argv[1].data = key;
    argv[1].len = ngx_sprintf(key, "d4:worker:%V", &w->id) - key;

    (void) ngx_d4_redis_command(w->metadata, 2, argv, NULL, NULL);

    if (w->nsessions == 0 && w->ndispatches == 0 && !consuming) {
        (void) ngx_d4_control_member("SREM", "d4:workers");
        (void) ngx_d4_control_member("SREM", "d4:consumers");
    }
}


/* This worker's name into a set, or out of it. */

static ngx_int_t
ngx_d4_control_member(char *command, char *set)
{
    ngx_str_t  argv[3];

    ngx_d4_str(&argv[0], command, ngx_strlen(command));
    ngx_d4_str(&argv[1], set, ngx_strlen(set));
    argv[2] = ngx_d4_worker.id;

    return ngx_d4_redis_command(ngx_d4_worker.metadata, 3, argv, NULL, NULL);
}


ngx_uint_t
ngx_d4_control_leased(void)
{
    ngx_msec_t  until;

    until = ngx_d4_worker.lease_until;

    return until != 0 && (ngx_msec_int_t) (until - ngx_current_msec) > 0;
}


ngx_uint_t
ngx_d4_control_leading(void)
{
    return ngx_d4_control.leading;
}


static void
ngx_d4_control_lease(void)
{
    ngx_d4_control_t  *ctl;

    ctl = &ngx_d4_control;

    if (ctl->asked || !ngx_d4_redis_ready(ngx_d4_worker.metadata)) {
        return;
    }

    if (ngx_d4_control_leased()
        && ctl->held
        && (!ngx_exiting || ctl->told)
        && ngx_current_msec - ctl->sent < NGX_D4_LEASE_RENEW)
    {
        return;
    }

    if (ctl->refused && ngx_current_msec - ctl->sent < NGX_D4_POLL) {
        return;
    }

    if (ngx_d4_control_ask() == NGX_OK) {
        ctl->asked = 1;
        ctl->telling = (ngx_exiting != 0);
        ctl->sent = ngx_current_msec;
    }
}


/*
 * XX makes Redis tell whether the lease still stood: if not, it was for others
 * to take what this worker owned.  Whoever meets a session of a worker that
 * leaves waits for its end (see the CLAIM script).
 */

static ngx_int_t
ngx_d4_control_ask(void)
{
    ngx_uint_t        n;
    ngx_str_t         argv[6];
    u_char            value[NGX_TIME_T_LEN + sizeof(" leaving")];
    u_char            ttl[NGX_INT_T_LEN];
    u_char            key[sizeof("d4:worker:") + NGX_MAXHOSTNAMELEN + 48];
    ngx_d4_worker_t  *w;

    w = &ngx_d4_worker;

    if (!ngx_d4_control.held
        && (ngx_d4_control_member("SADD", "d4:workers") != NGX_OK
            || (ngx_d4_consume_any()
                && ngx_d4_control_member("SADD", "d4:consumers") != NGX_OK)))
    {
        return NGX_ERROR;
    }

    ngx_str_set(&argv[0], "SET");
    argv[1].data = key;
    argv[1].len = ngx_sprintf(key, "d4:worker:%V", &w->id) - key;
    argv[2].data = value;
    argv[2].len = ngx_sprintf(value, "%T%s", ngx_time(),
                              ngx_exiting ? " leaving" : "")
                  - value;
    ngx_str_set(&argv[3], "PX");
    argv[4].data = ttl;
    argv[4].len = ngx_sprintf(ttl, "%ui", (ngx_uint_t) NGX_D4_LEASE) - ttl;
    n = 5;

    if (ngx_d4_control.held) {
        ngx_str_set(&argv[5], "XX");
        n = 6;
    }

    return ngx_d4_redis_command(w->metadata, n, argv,
                                ngx_d4_control_lease_handler, NULL);
}


static void
ngx_d4_control_lease_handler(void *data, redisReply *reply)
{
    ngx_d4_control_t  *ctl;

    ctl = &ngx_d4_control;
    ctl->asked = 0;

    if (reply == NULL) {
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {

        if (ngx_d4_redis_try_again(reply)) {
            ngx_d4_redis_writes(ngx_d4_worker.metadata, reply);

        } else if (!ctl->refused) {
            ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                          "redis refused the lease of this worker: \"%s\"",
                          reply->str);
        }

        ctl->refused = 1;

        return;
    }

    if (ctl->refused) {
        ctl->refused = 0;
        ngx_d4_redis_writes(ngx_d4_worker.metadata, NULL);
    }

    if (reply->type == REDIS_REPLY_NIL) {
        ctl->held = 0;
        ngx_d4_worker.lease_until = 0;
        ngx_d4_control_lease();

        return;
    }

    ctl->told = ctl->telling;

    ngx_d4_control_granted();
}


static void
ngx_d4_control_granted(void)
{
    ngx_uint_t         stood;
    ngx_d4_control_t  *ctl;

    ctl = &ngx_d4_control;
    stood = ngx_d4_control_leased();

    ctl->held = 1;

    ngx_d4_worker.lease_until = ctl->sent + NGX_D4_LEASE
                                - NGX_D4_LEASE_MARGIN;

    if (ngx_d4_worker.lease_until == 0) {
        ngx_d4_worker.lease_until = 1;
    }

    /* granted too late to be of use: the next answer will tell */

    if (stood || !ngx_d4_control_leased()) {
        return;
    }

    if (ctl->granted) {
        ngx_log_error(NGX_LOG_WARN, ngx_d4_worker.log, 0,
                      "d4 worker was without its lease");

        ngx_d4_sessions_recheck(1);
    }

    ctl->granted = 1;

    ngx_d4_sessions_work();
}


static void
ngx_d4_control_lead(void)
{
    ngx_d4_control_t  *ctl;

    ctl = &ngx_d4_control;

    if (!ngx_d4_control_elect()) {
        ngx_d4_control_resign();
        return;
    }

    if (!ctl->leading) {
        ctl->leading = 1;

        ngx_log_error(NGX_LOG_INFO, ngx_d4_worker.log, 0,
                      "d4 worker %P leads", ngx_pid);
    }

    if (ctl->channel == NULL) {
        ctl->channel = ngx_d4_redis_subscribe(
                           &ngx_d4_worker.conf->redis[NGX_D4_REDIS_METADATA],
                           &ngx_d4_control_channel, ngx_d4_control_message,
                           ngx_d4_control_channel_state, ngx_d4_worker.log);
    }
}


/*
 * 1 when this worker leads.  A leader whose Redis is away does not renew its
 * time, so that a worker whose Redis is there may take over.
 */

static ngx_uint_t
ngx_d4_control_elect(void)
{
    ngx_uint_t          ready;
    ngx_atomic_int_t    left;
    ngx_d4_shared_t    *shared;
    ngx_atomic_uint_t   now, leader;

    if (ngx_exiting || ngx_quit || ngx_terminate || !ngx_d4_worker.active) {
        return 0;
    }

    shared = ngx_d4_worker.shared;

    now = (ngx_atomic_uint_t) ngx_d4_now();

    ready = ngx_d4_redis_ready(ngx_d4_worker.metadata)
            && ngx_d4_redis_ready(ngx_d4_worker.streams);

    leader = shared->leader;

    if (leader != (ngx_atomic_uint_t) ngx_pid) {

        left = (ngx_atomic_int_t) (shared->leader_until - now);

        if (!ready
            || (leader != 0 && left > 0 && left <= NGX_D4_LEAD_MAX)
            || !ngx_atomic_cmp_set(&shared->leader, leader,
                                   (ngx_atomic_uint_t) ngx_pid))
        {
            return 0;
        }
    }

    if (ready) {
        shared->leader_until = now + NGX_D4_LEAD;
    }

    return 1;
}


static void
ngx_d4_control_resign(void)
{
    ngx_d4_redis_t  *channel;

    (void) ngx_atomic_cmp_set(&ngx_d4_worker.shared->leader,
                              (ngx_atomic_uint_t) ngx_pid, 0);

    ngx_d4_control.leading = 0;

    if (ngx_d4_control.channel) {
        channel = ngx_d4_control.channel;
        ngx_d4_control.channel = NULL;

        ngx_d4_redis_close(channel);
    }
}


/* What was said while nobody listened is not known: all is asked again. */

static void
ngx_d4_control_channel_state(ngx_d4_redis_t *rd, ngx_uint_t up)
{
    if (up) {
        ngx_d4_registry_mark(NULL, NULL);
        ngx_d4_poll_now();
    }
}


static void
ngx_d4_control_message(ngx_str_t *message)
{
    u_char     *p, *last, uuid[D4_UUID_SIZE];
    ngx_str_t   verb, arg;

    last = message->data + message->len;
    p = ngx_strlchr(message->data, last, ' ');

    if (p == NULL) {
        p = last;
    }

    verb.data = message->data;
    verb.len = p - message->data;

    if (p < last) {
        p++;
    }

    arg.data = p;
    arg.len = last - p;

    if (ngx_d4_is(verb, "block")) {
        ngx_d4_registry_mark(NULL, NULL);
        return;
    }

    if (ngx_d4_is(verb, "queues")) {
        (void) ngx_atomic_fetch_add(&ngx_d4_worker.shared->queues, 1);
        return;
    }

    if (ngx_d4_is(verb, "types")) {
        ngx_d4_poll_now();
        return;
    }

    if (!ngx_d4_is(verb, "sensor") && !ngx_d4_is(verb, "kick")) {
        return;
    }

    if (d4_uuid_parse(uuid, (char *) arg.data, arg.len) != 0) {
        ngx_log_debug1(NGX_LOG_DEBUG_CORE, ngx_d4_worker.log, 0,
                       "d4 control message of %uz bytes ignored",
                       message->len);
        return;
    }

    ngx_d4_registry_mark(uuid, NULL);

    if (verb.data[0] == 'k') {
        ngx_d4_poll_now();
    }
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The writer of a worker.  Lines become records of the open batch, which goes
 * to the store when it is old or large enough; one batch is on its way, the
 * next one fills meanwhile.  A batch whose connection is lost is sent again
 * whole.  Whoever gave lines is told when the batches that hold them are
 * stored.
 */


#include "ngx_http_pdns.h"
#include "pdns_error.h"


#define NGX_HTTP_PDNS_RECORDS  50000   /* of a batch */
#define NGX_HTTP_PDNS_SLICE    200     /* commands made at once */
#define NGX_HTTP_PDNS_SLICES   3       /* on their way at once */
#define NGX_HTTP_PDNS_SEEN     (1024 * 1024)
#define NGX_HTTP_PDNS_RETRY    500     /* ms until a refused batch is sent */
#define NGX_HTTP_PDNS_TOLD     60      /* s between two logs of other keys */


typedef struct {
    d4_blocks_t                blocks;
    ngx_uint_t                 replies;
    ngx_uint_t                 commands;
    unsigned                   last:1;    /* of the batch */
} ngx_http_pdns_slice_t;


typedef struct {
    ngx_http_pdns_worker_t    *worker;
    ngx_socket_t               fd[3];     /* debug logs of timers read it */
    pdns_batch_t              *open;
    pdns_batch_t              *sent;
    ngx_http_pdns_slice_t      slices[NGX_HTTP_PDNS_SLICES];  /* of sent */
    ngx_uint_t                 slice;     /* the next to be answered */
    ngx_uint_t                 nslices;   /* on their way */
    ngx_uint_t                 got;
    pdns_seen_t                seen;
    u_char                     epoch[64];
    size_t                     epoch_len;
    ngx_queue_t                open_waiters;
    ngx_queue_t                sent_waiters;
    ngx_queue_t                room_waiters;
    ngx_event_t                timer;     /* the open batch is old */
    ngx_event_t                retry;
    ngx_str_t                 *sensor;    /* of the line at hand */
    uint64_t                   seed[2];
    ngx_uint_t                 others;    /* dropped, and not yet logged */
    time_t                     told;
    unsigned                   sending:1; /* it is on its way */
    unsigned                   failed:1;  /* an error was among the replies */
    unsigned                   changed:1; /* the epoch */
    unsigned                   ready:1;
} ngx_http_pdns_store_t;


static void ngx_http_pdns_store_state(ngx_d4_redis_t *rd, ngx_uint_t up);
static void ngx_http_pdns_store_take(void *ctx, pdns_record_t *r);
static void ngx_http_pdns_store_turn(void);
static void ngx_http_pdns_store_send(void);
static ngx_int_t ngx_http_pdns_store_slice(void);
static void ngx_http_pdns_store_reply(void *data, redisReply *reply);
static void ngx_http_pdns_store_other(ngx_http_pdns_slice_t *slice);
static void ngx_http_pdns_store_next(void);
static void ngx_http_pdns_store_answered(void);
static void ngx_http_pdns_store_epoch(redisReply *reply);
static void ngx_http_pdns_store_timer(ngx_event_t *ev);
static void ngx_http_pdns_store_retry(ngx_event_t *ev);
static void ngx_http_pdns_store_move(ngx_queue_t *to, ngx_queue_t *from);
static void ngx_http_pdns_store_tell(ngx_queue_t *waiters);


static ngx_http_pdns_store_t  ngx_http_pdns_store;

static char  ngx_http_pdns_rdata[PDNS_RDATA_TEXT];


static void
ngx_http_pdns_store_event(ngx_event_t *ev, ngx_event_handler_pt handler)
{
    ev->handler = handler;
    ev->log = ngx_http_pdns_worker.log;
    ev->data = &ngx_http_pdns_store;
    ev->cancelable = 1;
}


ngx_int_t
ngx_http_pdns_store_init(ngx_cycle_t *cycle)
{
    ngx_uint_t               i;
    ngx_d4_conf_t           *conf;
    ngx_http_pdns_store_t   *s;
    ngx_http_pdns_worker_t  *w;

    s = &ngx_http_pdns_store;
    w = &ngx_http_pdns_worker;
    conf = ngx_d4_get_conf(cycle);

    ngx_memzero(s, sizeof(ngx_http_pdns_store_t));

    s->worker = w;
    s->seed[0] = (uint64_t) ngx_random() << 32 ^ (uint64_t) ngx_random();
    s->seed[1] = (uint64_t) ngx_random() << 32 ^ (uint64_t) ngx_pid;

    ngx_queue_init(&s->open_waiters);
    ngx_queue_init(&s->sent_waiters);
    ngx_queue_init(&s->room_waiters);

    ngx_http_pdns_store_event(&s->timer, ngx_http_pdns_store_timer);
    ngx_http_pdns_store_event(&s->retry, ngx_http_pdns_store_retry);

    for (i = 0; i < NGX_HTTP_PDNS_SLICES; i++) {
        d4_blocks_init(&s->slices[i].blocks, &w->pool);
    }

    s->open = pdns_batch_create(s->seed, w->conf->right);
    s->sent = pdns_batch_create(s->seed, w->conf->right);

    if (s->open == NULL || s->sent == NULL
        || pdns_seen_init(&s->seen, NGX_HTTP_PDNS_SEEN) != 0)
    {
        return NGX_ERROR;
    }

    w->store = ngx_d4_redis_open(&conf->redis[NGX_D4_REDIS_PDNS],
                                 conf->redis_timeout,
                                 ngx_http_pdns_store_state, w->log);
    if (w->store == NULL) {
        return NGX_ERROR;
    }

    s->ready = 1;

    return NGX_OK;
}


void
ngx_http_pdns_store_done(void)
{
    ngx_uint_t              i;
    ngx_http_pdns_store_t  *s;

    s = &ngx_http_pdns_store;

    if (!s->ready) {
        return;
    }

    s->ready = 0;

    if (s->timer.timer_set) {
        ngx_del_timer(&s->timer);
    }

    if (s->retry.timer_set) {
        ngx_del_timer(&s->retry);
    }

    ngx_d4_redis_close(ngx_http_pdns_worker.store);

    for (i = 0; i < NGX_HTTP_PDNS_SLICES; i++) {
        d4_blocks_free(&s->slices[i].blocks);
    }

    pdns_batch_free(s->open);
    pdns_batch_free(s->sent);
    pdns_seen_free(&s->seen);
}


/* What was written to another life of the store may be lost. */

static void
ngx_http_pdns_store_state(ngx_d4_redis_t *rd, ngx_uint_t up)
{
    ngx_http_pdns_store_t  *s;

    s = &ngx_http_pdns_store;

    if (!up || !s->ready) {
        return;
    }

    pdns_seen_clear(&s->seen);
    pdns_batch_lost(s->sent);
    s->epoch_len = 0;

    ngx_http_pdns_store_turn();
}


pdns_result_t
ngx_http_pdns_store_line(u_char *p, size_t len, ngx_str_t *sensor)
{
    size_t                  i;
    pdns_record_t           r;
    pdns_result_t           rc, taken;
    ngx_http_pdns_store_t  *s;

    s = &ngx_http_pdns_store;

    taken = PDNS_OK;
    s->sensor = sensor;

    for (i = 0; i < len && (p[i] == ' ' || p[i] == '\t'); i++) { /* void */ }

    if (i < len && p[i] == '{') {
        rc = pdns_json_parse((char *) p + i, len - i, ngx_http_pdns_rdata,
                             sizeof(ngx_http_pdns_rdata),
                             ngx_http_pdns_store_take, &taken);

        if (rc == PDNS_OK) {
            rc = taken;
        }

    } else {
        rc = pdns_line_parse(&r, (char *) p, len, ngx_http_pdns_rdata,
                             sizeof(ngx_http_pdns_rdata));

        if (rc == PDNS_OK) {
            ngx_http_pdns_store_take(&rc, &r);
        }
    }

    ngx_http_pdns_stat_result(rc, p, len);

    return rc;
}


void
ngx_http_pdns_store_record(pdns_record_t *r, pdns_result_t rc)
{
    ngx_http_pdns_store.sensor = NULL;

    if (rc == PDNS_OK) {
        ngx_http_pdns_store_take(&rc, r);
    }

    ngx_http_pdns_stat_result(rc, NULL, 0);
}


/* rc is told when a record is not taken for what it is. */

static void
ngx_http_pdns_store_take(void *ctx, pdns_record_t *r)
{
    pdns_result_t          *result = ctx, rc;
    ngx_http_pdns_store_t  *s;

    s = &ngx_http_pdns_store;

    rc = ngx_http_pdns_store_wanted(r);

    if (rc != PDNS_OK) {
        *result = rc;
        return;
    }

    if (s->sensor != NULL && s->sensor->len != 0 && r->sensor.data == NULL) {
        r->sensor.data = (char *) s->sensor->data;
        r->sensor.len = ngx_min(s->sensor->len, PDNS_TEXT_MAX);
    }

    while (pdns_batch_add(s->open, r) != 0) {

        /* without memory, or of one record too much: the batch is full */

        if (s->sending || pdns_batch_size(s->open) == 0) {
            ngx_log_error(NGX_LOG_CRIT, ngx_http_pdns_worker.log, 0,
                          "passive dns record dropped, no memory");
            return;
        }

        ngx_http_pdns_store_turn();
    }

    if (r->sensor.data != NULL) {
        ngx_http_pdns_stat_sensor(r->sensor.data, r->sensor.len);
    }

    if (!s->timer.timer_set) {
        ngx_add_timer(&s->timer, ngx_http_pdns_worker.conf->flush);
    }
}


pdns_result_t
ngx_http_pdns_store_wanted(pdns_record_t *r)
{
    char                        rcode[PDNS_RCODE];
    size_t                      len;
    u_char                      text[PDNS_NAME_TEXT];
    ngx_str_t                  *word;
    ngx_uint_t                  i, *only;
    ngx_http_pdns_main_conf_t  *conf;

    conf = ngx_http_pdns_worker.conf;

    if (conf->excludes != NULL) {
        len = pdns_name_text((char *) text, &r->name);
        word = conf->excludes->elts;

        for (i = 0; i < conf->excludes->nelts; i++) {
            if (len >= word[i].len
                && ngx_strlcasestrn(text, text + len, word[i].data,
                                    word[i].len - 1)
                   != NULL)
            {
                return PDNS_EXCLUDED;
            }
        }
    }

    if (r->rcode.data != NULL) {

        /* what would be removed at once is not written */

        return (conf->errors != 0
                && (time_t) r->last > ngx_time() - conf->errors
                && pdns_rcode_text(rcode, r->rcode.data, r->rcode.len) != 0)
               ? PDNS_OK : PDNS_NX;
    }

    if (conf->only != NULL) {
        only = conf->only->elts;

        for (i = 0; i < conf->only->nelts; i++) {
            if (only[i] == r->rdata.type) {
                return PDNS_OK;
            }
        }

        return PDNS_FILTERED;
    }

    return PDNS_OK;
}


/* A half each: one batch fills up while the other one is on its way. */

ngx_uint_t
ngx_http_pdns_store_room(void)
{
    return pdns_batch_held(ngx_http_pdns_store.open)
           < ngx_http_pdns_worker.conf->memory / 2;
}


void
ngx_http_pdns_store_wait(ngx_http_pdns_waiter_t *w, ngx_uint_t now)
{
    ngx_http_pdns_store_t  *s;

    s = &ngx_http_pdns_store;

    ngx_queue_insert_tail(&s->open_waiters, &w->queue);

    if (!s->timer.timer_set || now) {
        ngx_add_timer(&s->timer,
                      now ? 1 : ngx_http_pdns_worker.conf->flush);
    }

    s->timer.cancelable = 0;

    if (pdns_batch_size(s->open) >= NGX_HTTP_PDNS_RECORDS
        || !ngx_http_pdns_store_room())
    {
        ngx_http_pdns_store_turn();
    }
}


void
ngx_http_pdns_store_wait_room(ngx_http_pdns_waiter_t *w)
{
    ngx_queue_insert_tail(&ngx_http_pdns_store.room_waiters, &w->queue);

    ngx_http_pdns_store_turn();
}


void
ngx_http_pdns_store_forget(ngx_http_pdns_waiter_t *w)
{
    ngx_queue_remove(&w->queue);
}


static void
ngx_http_pdns_store_timer(ngx_event_t *ev)
{
    ngx_http_pdns_store_turn();
}


static void
ngx_http_pdns_store_retry(ngx_event_t *ev)
{
    ngx_http_pdns_store_send();
}


static void
ngx_http_pdns_store_move(ngx_queue_t *to, ngx_queue_t *from)
{
    if (!ngx_queue_empty(from)) {
        ngx_queue_add(to, from);
        ngx_queue_init(from);
    }
}


/* The open batch becomes the one that is sent, if none is. */

static void
ngx_http_pdns_store_turn(void)
{
    pdns_batch_t           *batch;
    ngx_http_pdns_store_t  *s;

    s = &ngx_http_pdns_store;

    if (s->sending) {
        return;
    }

    if (pdns_batch_size(s->sent) == 0 && ngx_queue_empty(&s->sent_waiters)) {

        if (pdns_batch_size(s->open) == 0
            && ngx_queue_empty(&s->open_waiters))
        {
            return;
        }

        batch = s->sent;
        s->sent = s->open;
        s->open = batch;

        ngx_http_pdns_store_move(&s->sent_waiters, &s->open_waiters);

        if (s->timer.timer_set) {
            ngx_del_timer(&s->timer);
        }
    }

    ngx_http_pdns_store_send();
}


static void
ngx_http_pdns_store_send(void)
{
    ngx_http_pdns_store_t  *s;

    s = &ngx_http_pdns_store;

    if (s->sending || !ngx_d4_redis_ready(ngx_http_pdns_worker.store)) {
        return;                        /* it comes up with a turn */
    }

    s->slice = 0;
    s->nslices = 0;
    s->got = 0;
    s->failed = 0;
    s->changed = 0;
    s->sending = 1;

    pdns_batch_rewind(s->sent);

    ngx_http_pdns_store_next();
}


/*
 * A batch is made and sent by slices, so that neither this worker's nor
 * Redis' other clients wait for a whole one.
 */

static void
ngx_http_pdns_store_next(void)
{
    ngx_http_pdns_store_t  *s;

    s = &ngx_http_pdns_store;

    while (!s->failed && s->nslices < NGX_HTTP_PDNS_SLICES
           && !pdns_batch_written(s->sent))
    {
        if (ngx_http_pdns_store_slice() != NGX_OK) {
            s->failed = 1;
        }
    }

    if (s->failed && s->nslices == 0) {

        /* all of it again, but for counts that were added */

        s->sending = 0;
        pdns_seen_clear(&s->seen);

        if (!s->retry.timer_set) {
            ngx_add_timer(&s->retry, NGX_HTTP_PDNS_RETRY);
        }
    }
}


static ngx_int_t
ngx_http_pdns_store_slice(void)
{
    int                     n;
    ngx_http_pdns_slice_t  *slice;
    ngx_http_pdns_store_t  *s;

    s = &ngx_http_pdns_store;

    slice = &s->slices[(s->slice + s->nslices) % NGX_HTTP_PDNS_SLICES];

    d4_blocks_free(&slice->blocks);

    n = pdns_batch_commands(s->sent, &s->seen, NGX_HTTP_PDNS_SLICE,
                            &slice->blocks);
    if (n <= 0) {
        return NGX_ERROR;
    }

    slice->replies = n;
    slice->commands = n;
    slice->last = pdns_batch_written(s->sent);

    if (ngx_d4_redis_each(ngx_http_pdns_worker.store, &slice->blocks, n,
                          ngx_http_pdns_store_reply, s)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    s->nslices++;

    return NGX_OK;
}


static void
ngx_http_pdns_store_reply(void *data, redisReply *reply)
{
    ngx_http_pdns_store_t  *s = data;

    long long               n;
    ngx_http_pdns_slice_t  *slice;

    if (!s->ready) {
        return;
    }

    if (reply == NULL) {

        /* each slice is told; again, when the connection is up */

        pdns_seen_clear(&s->seen);
        s->failed = 1;
        s->sending = (--s->nslices != 0);
        return;
    }

    slice = &s->slices[s->slice];
    n = (reply->type == REDIS_REPLY_INTEGER) ? reply->integer : 0;

    if (reply->type == REDIS_REPLY_ERROR) {

        if (ngx_strncmp(reply->str, "WRONGTYPE", 9) == 0) {
            ngx_http_pdns_store_other(slice);

        } else {
            n = -1;

            if (!s->failed) {
                s->failed = 1;
                ngx_d4_redis_writes(ngx_http_pdns_worker.store, reply);
            }
        }
    }

    pdns_batch_reply(s->sent, s->got, n);

    s->got++;

    if (--slice->replies != 0) {
        return;
    }

    s->slice = (s->slice + 1) % NGX_HTTP_PDNS_SLICES;
    s->nslices--;

    if (s->failed || !slice->last) {
        ngx_http_pdns_store_next();
        return;
    }

    ngx_http_pdns_store_epoch(reply);

    s->sending = 0;

    ngx_d4_redis_writes(ngx_http_pdns_worker.store, NULL);

    ngx_http_pdns_store_answered();
}


/*
 * A key is something else than ours are.  It would be so for ever, so what was
 * to be written there is dropped, and all others' records go on.
 */

static void
ngx_http_pdns_store_other(ngx_http_pdns_slice_t *slice)
{
    size_t                  i, len;
    u_char                  key[256];
    ngx_http_pdns_store_t  *s;

    s = &ngx_http_pdns_store;
    s->others++;

    if (s->told != 0 && ngx_time() - s->told < NGX_HTTP_PDNS_TOLD) {
        return;
    }

    len = pdns_resp_key(&slice->blocks, slice->commands - slice->replies,
                        (char *) key, sizeof(key));

    for (i = 0; i < len; i++) {
        key[i] = (key[i] >= ' ' && key[i] < 0x7f) ? key[i] : '?';
    }

    ngx_log_error(NGX_LOG_ERR, ngx_http_pdns_worker.log, 0,
                  "redis pdns: %ui writes dropped, the last to \"%*s\", "
                  "which is no key of ours: WRONGTYPE", s->others, len, key);

    s->others = 0;
    s->told = ngx_time();
}


static void
ngx_http_pdns_store_epoch(redisReply *reply)
{
    u_char                  text[NGX_INT64_LEN + NGX_TIME_T_LEN + 2];
    ngx_str_t               argv[4];
    ngx_http_pdns_store_t  *s;

    s = &ngx_http_pdns_store;

    if (reply->type == REDIS_REPLY_STRING
        && reply->len <= sizeof(s->epoch))
    {
        s->changed = (s->epoch_len != 0
                      && (s->epoch_len != reply->len
                          || ngx_memcmp(s->epoch, reply->str, reply->len)
                             != 0));
        s->epoch_len = reply->len;
        ngx_memcpy(s->epoch, reply->str, reply->len);
        return;
    }

    if (reply->type != REDIS_REPLY_NIL) {
        return;
    }

    /* a new store, or one that was emptied */

    s->changed = (s->epoch_len != 0);
    s->epoch_len = 0;

    ngx_str_set(&argv[0], "SET");
    ngx_str_set(&argv[1], PDNS_KEY_EPOCH);
    argv[2].data = text;
    argv[2].len = ngx_sprintf(text, "%T-%uL", ngx_time(),
                              (uint64_t) ngx_random() << 31
                              ^ (uint64_t) ngx_random())
                  - text;
    ngx_str_set(&argv[3], "NX");

    (void) ngx_d4_redis_command(ngx_http_pdns_worker.store, 4, argv, NULL,
                                NULL);
}


static void
ngx_http_pdns_store_answered(void)
{
    ngx_queue_t             done, room;
    pdns_added_t            added;
    ngx_http_pdns_store_t  *s;

    s = &ngx_http_pdns_store;

    if (pdns_batch_more(s->sent, &s->seen, s->changed)) {
        ngx_http_pdns_store_send();
        return;
    }

    pdns_batch_added(s->sent, &added);
    ngx_http_pdns_stat_count("H:store", "records", added.records);
    ngx_http_pdns_stat_count("H:store", "names", added.names);

    pdns_batch_reset(s->sent);

    ngx_queue_init(&done);
    ngx_queue_init(&room);
    ngx_http_pdns_store_move(&done, &s->sent_waiters);
    ngx_http_pdns_store_move(&room, &s->room_waiters);

    s->timer.cancelable = ngx_queue_empty(&s->open_waiters);

    /* the next one is on its way before anybody gives more */

    if (pdns_batch_size(s->open) >= NGX_HTTP_PDNS_RECORDS
        || !ngx_queue_empty(&s->open_waiters)
        || !ngx_queue_empty(&room))
    {
        ngx_http_pdns_store_turn();

    } else if (pdns_batch_size(s->open) != 0 && !s->timer.timer_set) {

        /* it was old before, and nobody waits for it any more */

        ngx_add_timer(&s->timer, ngx_http_pdns_worker.conf->flush);
    }

    ngx_http_pdns_store_tell(&done);
    ngx_http_pdns_store_tell(&room);
}


static void
ngx_http_pdns_store_tell(ngx_queue_t *waiters)
{
    ngx_queue_t             *q;
    ngx_http_pdns_waiter_t  *w;

    while (!ngx_queue_empty(waiters)) {
        q = ngx_queue_head(waiters);
        ngx_queue_remove(q);

        w = ngx_queue_data(q, ngx_http_pdns_waiter_t, queue);
        w->stored(w->data);
    }
}

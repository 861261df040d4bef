
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The database of the published analyzer (pdns_published.h), taken over in the
 * background.
 *
 * One worker goes through it with SCAN.  What a page holds is stored before
 * the store remembers where the next page begins, so that it goes on there
 * after any stop; a page that was cut short is taken again, which changes
 * nothing: what the other database counts is kept beside what is counted here.
 * The other database is only read, by commands that any version of it knows.
 */


#include "ngx_http_pdns.h"


#define NGX_HTTP_PDNS_PAUSE    2000    /* ms until the next try */
#define NGX_HTTP_PDNS_PAGE     200     /* sets */
#define NGX_HTTP_PDNS_SET      1000    /* members of a set at a time */


typedef struct {
    ngx_str_t                  key;    /* r:<name>:<type> */
    ngx_str_t                  name;
    ngx_str_t                  type;
    ngx_str_t                  cursor; /* of SSCAN; empty: at its end */
    ngx_array_t                data;   /* of ngx_str_t: members at hand */
} ngx_http_pdns_set_t;


typedef struct {
    ngx_socket_t               fd[4];  /* debug logs of timers read it */
    ngx_d4_redis_t            *redis;
    ngx_event_t                timer;
    ngx_http_pdns_lease_t      lease;  /* renewed by each page */
    ngx_http_pdns_waiter_t     waiter;
    d4_blocks_t                blocks; /* on their way */
    ngx_uint_t                 replies;
    ngx_uint_t                 got;
    ngx_pool_t                *pool;   /* of a page */
    ngx_array_t                sets;   /* of ngx_http_pdns_set_t */
    ngx_uint_t                 set;    /* whose values come */
    ngx_uint_t                 member;
    u_char                     cursor[NGX_INT64_LEN + 1];
    size_t                     cursor_len;
    void                     (*then)(void);
    void                     (*reply)(redisReply *reply);
    unsigned                   failed:1;
    unsigned                   done:1;
} ngx_http_pdns_migrate_t;


static void ngx_http_pdns_migrate_state(ngx_d4_redis_t *rd, ngx_uint_t up);
static void ngx_http_pdns_migrate_timer(ngx_event_t *ev);
static void ngx_http_pdns_migrate_leased(void *data, redisReply *reply);
static void ngx_http_pdns_migrate_cursor(void *data, redisReply *reply);
static void ngx_http_pdns_migrate_scan(void);
static void ngx_http_pdns_migrate_keys(redisReply *reply);
static void ngx_http_pdns_migrate_members(void);
static void ngx_http_pdns_migrate_member(redisReply *reply);
static void ngx_http_pdns_migrate_values(void);
static void ngx_http_pdns_migrate_value(redisReply *reply);
static void ngx_http_pdns_migrate_record(ngx_http_pdns_set_t *set,
    ngx_str_t *data, redisReply *reply);
static void ngx_http_pdns_migrate_page(void);
static void ngx_http_pdns_migrate_stored(void *data);
static void ngx_http_pdns_migrate_renewed(void *data, redisReply *reply);
static void ngx_http_pdns_migrate_kept(void *data, redisReply *reply);
static void ngx_http_pdns_migrate_again(void);
static ngx_uint_t ngx_http_pdns_migrate_over(void);
static ngx_int_t ngx_http_pdns_migrate_begin(pdns_resp_t *w);
static void ngx_http_pdns_migrate_send(pdns_resp_t *w,
    void (*reply)(redisReply *reply), void (*then)(void));
static void ngx_http_pdns_migrate_reply(void *data, redisReply *reply);


static ngx_http_pdns_migrate_t  ngx_http_pdns_migrate;

static char  ngx_http_pdns_migrate_text[PDNS_RDATA_TEXT];


ngx_int_t
ngx_http_pdns_migrate_init(ngx_cycle_t *cycle)
{
    ngx_d4_conf_t           *conf;
    ngx_http_pdns_migrate_t  *l;

    l = &ngx_http_pdns_migrate;

    ngx_memzero(l, sizeof(ngx_http_pdns_migrate_t));

    if (!ngx_http_pdns_worker.conf->migrate || ngx_worker != 0) {
        return NGX_OK;
    }

    conf = ngx_d4_get_conf(cycle);

    if (ngx_http_pdns_lease_init(cycle, &l->lease, "H:migrate:lease")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    l->timer.handler = ngx_http_pdns_migrate_timer;
    l->timer.data = l;
    l->timer.log = ngx_http_pdns_worker.log;
    l->timer.cancelable = 1;

    l->waiter.stored = ngx_http_pdns_migrate_stored;

    d4_blocks_init(&l->blocks, &ngx_http_pdns_worker.pool);

    l->redis = ngx_d4_redis_open(&conf->redis[NGX_D4_REDIS_PDNS_LEGACY],
                                  conf->redis_timeout,
                                  ngx_http_pdns_migrate_state,
                                  ngx_http_pdns_worker.log);
    if (l->redis == NULL) {
        return NGX_ERROR;
    }

    ngx_add_timer(&l->timer, 100);

    return NGX_OK;
}


void
ngx_http_pdns_migrate_done(void)
{
    ngx_http_pdns_migrate_t  *l;

    l = &ngx_http_pdns_migrate;

    if (l->redis == NULL) {
        return;
    }

    l->done = 1;

    ngx_http_pdns_lease_give(&l->lease);

    if (l->timer.timer_set) {
        ngx_del_timer(&l->timer);
    }

    ngx_d4_redis_close(l->redis);
    l->redis = NULL;

    d4_blocks_free(&l->blocks);

    if (l->pool != NULL) {
        ngx_destroy_pool(l->pool);
    }
}


static void
ngx_http_pdns_migrate_state(ngx_d4_redis_t *rd, ngx_uint_t up)
{
    /* the timer looks whether it is there */
}


static void
ngx_http_pdns_migrate_again(void)
{
    if (!ngx_http_pdns_migrate.done && !ngx_http_pdns_migrate_over()) {
        ngx_add_timer(&ngx_http_pdns_migrate.timer, NGX_HTTP_PDNS_PAUSE);
    }
}


/* A worker that is about to end leaves the rest to the next one, at once. */

static ngx_uint_t
ngx_http_pdns_migrate_over(void)
{
    if (!ngx_exiting) {
        return 0;
    }

    ngx_http_pdns_lease_give(&ngx_http_pdns_migrate.lease);

    return 1;
}


/* Whoever has the lease of the store goes on where it was left. */

static void
ngx_http_pdns_migrate_timer(ngx_event_t *ev)
{
    ngx_http_pdns_migrate_t  *l;

    l = &ngx_http_pdns_migrate;

    if (ngx_http_pdns_migrate_over()) {
        return;
    }

    if (!ngx_d4_redis_ready(l->redis)
        || ngx_http_pdns_lease_take(&l->lease, ngx_http_pdns_migrate_leased, l)
           != NGX_OK)
    {
        ngx_http_pdns_migrate_again();
    }
}


static void
ngx_http_pdns_migrate_leased(void *data, redisReply *reply)
{
    ngx_str_t                argv[2];
    ngx_http_pdns_migrate_t  *l;

    l = data;

    if (l->done) {
        return;
    }

    ngx_str_set(&argv[0], "GET");
    ngx_str_set(&argv[1], "H:migrate:cursor");

    if (!ngx_http_pdns_lease_taken(&l->lease, reply)
        || ngx_d4_redis_command(ngx_http_pdns_worker.store, 2, argv,
                                ngx_http_pdns_migrate_cursor, l)
           != NGX_OK)
    {
        ngx_http_pdns_migrate_again();
    }
}


static void
ngx_http_pdns_migrate_cursor(void *data, redisReply *reply)
{
    ngx_http_pdns_migrate_t  *l;

    l = data;

    if (l->done) {
        return;
    }

    if (reply != NULL && reply->type == REDIS_REPLY_NIL) {
        l->cursor[0] = '0';
        l->cursor_len = 1;

        ngx_log_error(NGX_LOG_NOTICE, ngx_http_pdns_worker.log, 0,
                      "passive dns: taking over the published database");

    } else if (reply != NULL && reply->type == REDIS_REPLY_STRING
               && reply->len == 4 && ngx_memcmp(reply->str, "done", 4) == 0)
    {
        ngx_http_pdns_lease_give(&l->lease);
        return;

    } else if (reply != NULL && reply->type == REDIS_REPLY_STRING
               && reply->len < sizeof(l->cursor))
    {
        l->cursor_len = reply->len;
        ngx_memcpy(l->cursor, reply->str, reply->len);

    } else {
        ngx_http_pdns_migrate_again();
        return;
    }

    ngx_http_pdns_migrate_scan();
}


static void
ngx_http_pdns_migrate_scan(void)
{
    pdns_resp_t              w;
    ngx_http_pdns_migrate_t  *l;

    l = &ngx_http_pdns_migrate;

    if (l->pool != NULL) {
        ngx_destroy_pool(l->pool);
    }

    l->pool = ngx_create_pool(16384, ngx_http_pdns_worker.log);

    if (l->pool == NULL
        || ngx_array_init(&l->sets, l->pool, NGX_HTTP_PDNS_PAGE,
                          sizeof(ngx_http_pdns_set_t))
           != NGX_OK)
    {
        ngx_http_pdns_migrate_again();
        return;
    }

    d4_blocks_free(&l->blocks);
    pdns_resp_init(&w, &l->blocks);
    pdns_resp_command(&w, 6, "SCAN");
    pdns_resp_word(&w, l->cursor, l->cursor_len);
    pdns_resp_text(&w, "MATCH");
    pdns_resp_text(&w, "r:*");
    pdns_resp_text(&w, "COUNT");
    pdns_resp_number(&w, 5 * NGX_HTTP_PDNS_PAGE);

    ngx_http_pdns_migrate_send(&w, ngx_http_pdns_migrate_keys,
                              ngx_http_pdns_migrate_members);
}


static void
ngx_http_pdns_migrate_keys(redisReply *reply)
{
    u_char                  *p, *colon;
    ngx_uint_t               i;
    redisReply              *keys, *key;
    ngx_http_pdns_set_t     *set;
    ngx_http_pdns_migrate_t  *l;

    l = &ngx_http_pdns_migrate;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[0]->len >= sizeof(l->cursor)
        || reply->element[1]->type != REDIS_REPLY_ARRAY)
    {
        l->failed = 1;
        return;
    }

    l->cursor_len = reply->element[0]->len;
    ngx_memcpy(l->cursor, reply->element[0]->str, l->cursor_len);

    keys = reply->element[1];

    for (i = 0; i < keys->elements; i++) {
        key = keys->element[i];

        if (key->type != REDIS_REPLY_STRING || key->len < 4) {
            continue;
        }

        set = ngx_array_push(&l->sets);

        if (set == NULL || (p = ngx_pnalloc(l->pool, key->len)) == NULL) {
            l->failed = 1;
            return;
        }

        ngx_memcpy(p, key->str, key->len);

        for (colon = p + key->len - 1; colon > p && *colon != ':'; colon--) {
            /* void */
        }

        set->key.data = p;
        set->key.len = key->len;
        set->name.data = p + 2;
        set->name.len = (colon > p + 2) ? (size_t) (colon - (p + 2)) : 0;
        set->type.data = colon + 1;
        set->type.len = p + key->len - (colon + 1);
        ngx_str_set(&set->cursor, "0");

        if (ngx_array_init(&set->data, l->pool, 4, sizeof(ngx_str_t))
            != NGX_OK)
        {
            l->failed = 1;
            return;
        }
    }
}


/* The commands of a step, if the one before it was whole. */

static ngx_int_t
ngx_http_pdns_migrate_begin(pdns_resp_t *w)
{
    ngx_http_pdns_migrate_t  *l;

    l = &ngx_http_pdns_migrate;

    if (l->failed) {
        ngx_http_pdns_migrate_again();
        return NGX_ERROR;
    }

    d4_blocks_free(&l->blocks);
    pdns_resp_init(w, &l->blocks);

    return NGX_OK;
}


/* The members of all sets, a part of each that is large. */

static void
ngx_http_pdns_migrate_members(void)
{
    pdns_resp_t              w;
    ngx_uint_t               i;
    ngx_http_pdns_set_t     *set;
    ngx_http_pdns_migrate_t  *l;

    l = &ngx_http_pdns_migrate;

    if (ngx_http_pdns_migrate_begin(&w) != NGX_OK) {
        return;
    }

    set = l->sets.elts;

    for (i = 0; i < l->sets.nelts; i++) {
        set[i].data.nelts = 0;

        if (set[i].cursor.len == 0) {
            continue;
        }

        pdns_resp_command(&w, 5, "SSCAN");
        pdns_resp_word(&w, set[i].key.data, set[i].key.len);
        pdns_resp_word(&w, set[i].cursor.data, set[i].cursor.len);
        pdns_resp_text(&w, "COUNT");
        pdns_resp_number(&w, NGX_HTTP_PDNS_SET);
    }

    if (w.commands == 0) {
        ngx_http_pdns_migrate_page();
        return;
    }

    l->set = 0;

    ngx_http_pdns_migrate_send(&w, ngx_http_pdns_migrate_member,
                              ngx_http_pdns_migrate_values);
}


static void
ngx_http_pdns_migrate_member(redisReply *reply)
{
    ngx_str_t               *data;
    ngx_uint_t               i;
    redisReply              *member, *cursor;
    ngx_http_pdns_set_t     *set;
    ngx_http_pdns_migrate_t  *l;

    l = &ngx_http_pdns_migrate;
    set = l->sets.elts;

    while (set[l->set].cursor.len == 0) {
        l->set++;
    }

    set += l->set++;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[1]->type != REDIS_REPLY_ARRAY)
    {
        set->cursor.len = 0;           /* not a set */
        return;
    }

    cursor = reply->element[0];
    set->cursor.len = 0;

    if (cursor->len != 1 || cursor->str[0] != '0') {
        set->cursor.data = ngx_pnalloc(l->pool, cursor->len);

        if (set->cursor.data == NULL) {
            l->failed = 1;
            return;
        }

        ngx_memcpy(set->cursor.data, cursor->str, cursor->len);
        set->cursor.len = cursor->len;
    }

    for (i = 0; i < reply->element[1]->elements; i++) {
        member = reply->element[1]->element[i];
        data = ngx_array_push(&set->data);

        if (data != NULL) {
            data->len = member->len;
            data->data = ngx_pnalloc(l->pool, member->len + 1);
        }

        if (data == NULL || data->data == NULL) {
            l->failed = 1;
            return;
        }

        ngx_memcpy(data->data, member->str, member->len);
    }
}


static void
ngx_http_pdns_migrate_values(void)
{
    u_char                  *p, *key;
    size_t                   len;
    ngx_str_t               *data;
    pdns_resp_t              w;
    ngx_uint_t               i, n, k;
    ngx_http_pdns_set_t     *set;
    ngx_http_pdns_migrate_t  *l;

    l = &ngx_http_pdns_migrate;

    if (ngx_http_pdns_migrate_begin(&w) != NGX_OK) {
        return;
    }

    set = l->sets.elts;

    for (i = 0; i < l->sets.nelts; i++) {
        data = set[i].data.elts;

        for (n = 0; n < set[i].data.nelts; n++) {
            len = 4 + set[i].name.len + data[n].len + set[i].type.len;

            key = ngx_pnalloc(l->pool, len);
            if (key == NULL) {
                ngx_http_pdns_migrate_again();
                return;
            }

            p = ngx_sprintf(key, "s:%V:", &set[i].name);
            p = ngx_cpymem(p, data[n].data, data[n].len);
            ngx_sprintf(p, ":%V", &set[i].type);

            pdns_resp_command(&w, 4, "MGET");

            for (k = 0; k < 3; k++) {
                key[0] = "slo"[k];
                pdns_resp_word(&w, key, len);
            }
        }
    }

    if (w.commands == 0) {
        ngx_http_pdns_migrate_members();
        return;
    }

    l->set = 0;
    l->member = 0;

    ngx_http_pdns_migrate_send(&w, ngx_http_pdns_migrate_value,
                              ngx_http_pdns_migrate_members);
}


static void
ngx_http_pdns_migrate_value(redisReply *reply)
{
    ngx_str_t               *data;
    ngx_http_pdns_set_t     *set;
    ngx_http_pdns_migrate_t  *l;

    l = &ngx_http_pdns_migrate;
    set = l->sets.elts;

    while (l->member == set[l->set].data.nelts) {
        l->set++;
        l->member = 0;
    }

    data = set[l->set].data.elts;

    ngx_http_pdns_migrate_record(&set[l->set], &data[l->member++], reply);
}


static void
ngx_http_pdns_migrate_record(ngx_http_pdns_set_t *set, ngx_str_t *data,
    redisReply *reply)
{
    uint16_t        type;
    ngx_uint_t      i;
    pdns_str_t      name, text, numbers[3];
    pdns_record_t   r;
    pdns_result_t   rc;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        return;
    }

    for (i = 0; i < 3; i++) {
        numbers[i].data = reply->element[i]->str;
        numbers[i].len = reply->element[i]->len;

        if (reply->element[i]->type != REDIS_REPLY_STRING) {
            numbers[i].data = NULL;
        }
    }

    name.data = (char *) set->name.data;
    name.len = set->name.len;
    text.data = (char *) data->data;
    text.len = data->len;

    if (pdns_type_parse(&type, (char *) set->type.data, set->type.len) != 0) {
        type = 0;
    }

    rc = pdns_published_record(&r, &name, &text, type, numbers,
                               ngx_http_pdns_migrate_text,
                               sizeof(ngx_http_pdns_migrate_text));

    ngx_http_pdns_store_record(&r, rc);
}


/* All of a page is taken: the next one when it is stored. */

static void
ngx_http_pdns_migrate_page(void)
{
    ngx_http_pdns_store_wait(&ngx_http_pdns_migrate.waiter, 1);
}


static void
ngx_http_pdns_migrate_stored(void *data)
{
    ngx_http_pdns_migrate_t  *l;

    l = &ngx_http_pdns_migrate;

    if (l->done) {
        return;
    }

    if (ngx_http_pdns_lease_take(&l->lease, ngx_http_pdns_migrate_renewed, l)
        != NGX_OK)
    {
        ngx_http_pdns_migrate_again();
    }
}


static void
ngx_http_pdns_migrate_renewed(void *data, redisReply *reply)
{
    ngx_str_t                 argv[3];
    ngx_uint_t                last;
    ngx_http_pdns_migrate_t  *l;

    l = data;

    if (l->done) {
        return;
    }

    /* a worker that was too slow has lost it: another one is further on */

    if (!ngx_http_pdns_lease_taken(&l->lease, reply)) {
        ngx_http_pdns_migrate_again();
        return;
    }

    last = (l->cursor_len == 1 && l->cursor[0] == '0');

    ngx_str_set(&argv[0], "SET");
    ngx_str_set(&argv[1], "H:migrate:cursor");

    if (last) {
        ngx_str_set(&argv[2], "done");

    } else {
        argv[2].data = l->cursor;
        argv[2].len = l->cursor_len;
    }

    if (ngx_d4_redis_command(ngx_http_pdns_worker.store, 3, argv,
                             ngx_http_pdns_migrate_kept, l)
        != NGX_OK)
    {
        ngx_http_pdns_migrate_again();
    }
}


static void
ngx_http_pdns_migrate_kept(void *data, redisReply *reply)
{
    ngx_http_pdns_migrate_t  *l;

    l = data;

    if (l->done) {
        return;
    }

    if (reply == NULL || reply->type != REDIS_REPLY_STATUS) {
        ngx_http_pdns_migrate_again();
        return;
    }

    if (l->cursor_len == 1 && l->cursor[0] == '0') {
        ngx_log_error(NGX_LOG_NOTICE, ngx_http_pdns_worker.log, 0,
                      "passive dns: the published database is taken over");
        ngx_http_pdns_lease_give(&l->lease);
        return;
    }

    if (!ngx_http_pdns_migrate_over()) {
        ngx_http_pdns_migrate_scan();
    }
}


static void
ngx_http_pdns_migrate_send(pdns_resp_t *w, void (*reply)(redisReply *reply),
    void (*then)(void))
{
    ngx_http_pdns_migrate_t  *l;

    l = &ngx_http_pdns_migrate;

    l->reply = reply;
    l->then = then;
    l->replies = w->commands;
    l->got = 0;
    l->failed = 0;

    if (w->failed
        || ngx_d4_redis_each(l->redis, &l->blocks, l->replies,
                             ngx_http_pdns_migrate_reply, l)
           != NGX_OK)
    {
        ngx_http_pdns_migrate_again();
    }
}


static void
ngx_http_pdns_migrate_reply(void *data, redisReply *reply)
{
    ngx_http_pdns_migrate_t  *l;

    l = data;

    if (l->done) {
        return;
    }

    if (reply == NULL) {
        ngx_http_pdns_migrate_again();
        return;
    }

    if (!l->failed) {
        l->reply(reply);
    }

    if (++l->got == l->replies) {
        l->then();
    }
}

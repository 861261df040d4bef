
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Files that are complete: compressed in a thread, a piece at a time, and
 * handed to the queues of the types whose elements are files.
 *
 * The list d4:closing:<store>, with the queues, has all of them, and whose
 * they are.  A file leaves it by the script that pushes its name, when its
 * compressed copy is durable and the plain one is gone: until then everything
 * may be done again, by another worker, too, and comes to the same name.
 */


#include "ngx_d4_control.h"
#include "ngx_d4_dispatch.h"
#include "storage/d4_compress.h"
#include "storage/d4_object.h"


#define NGX_D4_CLOSING_SCAN    2000        /* ms between looks at the list */
#define NGX_D4_CLOSING_LOOKS   3           /* of a worker that may have missed
                                              something */
#define NGX_D4_CLOSING_SURE    3           /* looks without the worker */
#define NGX_D4_CLOSING_WORKERS 32
#define NGX_D4_CLOSING_NAME    sizeof(ngx_d4_worker.name)
#define NGX_D4_CLOSING_RETRY   2000        /* ms after a failure */


typedef struct {
    ngx_queue_t              queue;
    char                     file[D4_PATH_MAX];
    uint64_t                 length;
    char                     hex[D4_UUID_HEX + 1];
    ngx_uint_t               type;
    ngx_str_t                ext;
    u_char                   ext_text[D4_PATH_NAME + 1];
    ngx_d4_targets_t         targets;
    d4_words_t               script;
    ngx_msec_t               retry_at;
    unsigned                 aside:1;      /* keep what is not committed */
    unsigned                 closed:1;     /* on disk */
    unsigned                 retry:1;
} ngx_d4_closing_t;


typedef struct {                           /* for the thread */
    ngx_d4_closing_t        *closing;
    d4_compress_t           *compress;
    const char              *file;
    uint64_t                 length;
    int                      level;
    ngx_uint_t               aside;
    d4_store_rc_t            rc;
    ngx_err_t                err;
    uint64_t                 beyond;       /* bytes that were set aside */
    char                     name[D4_STORE_PATH + 1];      /* where to */
} ngx_d4_closing_task_t;


typedef struct {                           /* another one with files */
    size_t                   len;
    ngx_uint_t               missing;      /* looks in which it had no lease */
    ngx_uint_t               seen;         /* in which look at the list */
    u_char                   name[NGX_D4_CLOSING_NAME];
} ngx_d4_closing_worker_t;


typedef struct {
    uint64_t                 length;
    ngx_uint_t               type;
    char                     file[D4_PATH_MAX];
    char                     hex[D4_UUID_HEX + 1];
    u_char                   ext[D4_PATH_NAME + 1];
} ngx_d4_closing_take_t;


static void ngx_d4_closing_work(void);
static ngx_int_t ngx_d4_closing_compress(ngx_d4_closing_t *c);
static void ngx_d4_closing_handler(void *data, ngx_log_t *log);
static d4_store_rc_t ngx_d4_closing_piece(ngx_d4_closing_task_t *t);
static void ngx_d4_closing_compressed(ngx_event_t *ev);
static void ngx_d4_closing_push(ngx_d4_closing_t *c);
static void ngx_d4_closing_targets(void *data, redisReply *reply);
static void ngx_d4_closing_send(ngx_d4_closing_t *c);
static void ngx_d4_closing_pushed(void *data, redisReply *reply);
static void ngx_d4_closing_later(ngx_d4_closing_t *c);
static void ngx_d4_closing_free(ngx_d4_closing_t *c);
static void ngx_d4_closing_scan(void);
static void ngx_d4_closing_page(const char *cursor);
static void ngx_d4_closing_scanned(void *data, redisReply *reply);
static void ngx_d4_closing_entry(redisReply *file, redisReply *value);
static void ngx_d4_closing_mine(redisReply *file, redisReply *value);
static ngx_d4_closing_worker_t *ngx_d4_closing_worker(redisReply *value);
static void ngx_d4_closing_ask(void);
static void ngx_d4_closing_asked(void *data, redisReply *reply);
static void ngx_d4_closing_take(redisReply *file, redisReply *value);
static void ngx_d4_closing_taken(void *data, redisReply *reply);
static ngx_int_t ngx_d4_closing_parse(ngx_d4_closing_take_t *take,
    redisReply *file, redisReply *value);
static void ngx_d4_closing_add_taken(ngx_d4_closing_take_t *take);
static ngx_uint_t ngx_d4_closing_known(const char *file);


static ngx_queue_t             ngx_d4_closings;
static ngx_uint_t              ngx_d4_closings_n;
static ngx_uint_t              ngx_d4_closing_busy;

static ngx_d4_closing_worker_t  ngx_d4_closers[NGX_D4_CLOSING_WORKERS];
static ngx_uint_t               ngx_d4_closers_n;
static ngx_uint_t               ngx_d4_closers_round;
static ngx_msec_t               ngx_d4_closing_scanned_at;
static ngx_uint_t               ngx_d4_closing_scanning;
static ngx_uint_t               ngx_d4_closing_looks;


void
ngx_d4_closing_init(void)
{
    ngx_queue_init(&ngx_d4_closings);

    ngx_d4_closings_n = 0;
    ngx_d4_closing_busy = 0;
    ngx_d4_closers_n = 0;
    ngx_d4_closing_scanning = 0;
    ngx_d4_closing_looks = 0;
}


void
ngx_d4_closing_value(char *buf, uint64_t length, const char *hex,
    ngx_uint_t type, ngx_str_t *ext)
{
    (void) ngx_snprintf((u_char *) buf, NGX_D4_CLOSING_VALUE,
                        "%V %uL %s %ui %*s%Z", &ngx_d4_worker.id, length, hex,
                        type, ext->len ? ext->len : (size_t) 1,
                        ext->len ? ext->data : (u_char *) "-");
}


void
ngx_d4_closing_add(const char *file, uint64_t length, const char *hex,
    ngx_uint_t type, ngx_str_t *ext, ngx_uint_t aside)
{
    ngx_d4_closing_t  *c;

    if (ngx_d4_closing_known(file)) {
        return;
    }

    c = ngx_calloc(sizeof(ngx_d4_closing_t), ngx_d4_worker.log);

    if (c == NULL) {
        return;                            /* the list still has it */
    }

    (void) ngx_cpystrn((u_char *) c->file, (u_char *) file, D4_PATH_MAX);
    (void) ngx_cpystrn((u_char *) c->hex, (u_char *) hex, D4_UUID_HEX + 1);

    d4_words_init(&c->script, &ngx_d4_worker.pool);

    c->length = length;
    c->type = type;
    c->aside = aside;
    c->ext.data = c->ext_text;
    c->ext.len = ngx_min(ext->len, D4_PATH_NAME);

    if (c->ext.len) {
        ngx_memcpy(c->ext_text, ext->data, c->ext.len);
    }

    ngx_queue_insert_tail(&ngx_d4_closings, &c->queue);
    ngx_d4_closings_n++;

    ngx_d4_closing_work();
}


ngx_uint_t
ngx_d4_closing_pending(void)
{
    return ngx_d4_closing_busy;
}


void
ngx_d4_closing_tick(void)
{
    ngx_d4_closing_work();

    if ((ngx_d4_control_leading() || ngx_d4_closing_looks)
        && !ngx_d4_closing_scanning && !ngx_exiting
        && ngx_current_msec - ngx_d4_closing_scanned_at
           >= NGX_D4_CLOSING_SCAN)
    {
        ngx_d4_closing_scanned_at = ngx_current_msec;
        ngx_d4_closing_scan();
    }
}


void
ngx_d4_closing_look(void)
{
    ngx_d4_closing_looks = NGX_D4_CLOSING_LOOKS;
}


/* One file at a time: there is one thread for it. */

static void
ngx_d4_closing_work(void)
{
    ngx_queue_t       *q;
    ngx_d4_closing_t  *c;

    if (ngx_d4_closing_busy || ngx_exiting || !ngx_d4_disk_ready()) {
        return;                            /* on exit another worker does it */
    }

    for (q = ngx_queue_head(&ngx_d4_closings);
         q != ngx_queue_sentinel(&ngx_d4_closings);
         q = ngx_queue_next(q))
    {
        c = ngx_queue_data(q, ngx_d4_closing_t, queue);

        if (c->retry) {
            if ((ngx_msec_int_t) (ngx_current_msec - c->retry_at) < 0) {
                continue;
            }

            c->retry = 0;
        }

        ngx_d4_closing_busy = 1;

        if (c->closed) {
            ngx_d4_closing_push(c);

        } else if (ngx_d4_closing_compress(c) != NGX_OK) {
            ngx_d4_closing_later(c);
        }

        return;
    }
}


static ngx_int_t
ngx_d4_closing_compress(ngx_d4_closing_t *c)
{
    ngx_thread_task_t      *task;
    ngx_d4_closing_task_t  *t;

    task = ngx_d4_disk_task(sizeof(ngx_d4_closing_task_t),
                            ngx_d4_closing_handler,
                            ngx_d4_closing_compressed);
    if (task == NULL) {
        return NGX_ERROR;
    }

    t = task->ctx;

    t->closing = c;
    t->file = c->file;
    t->length = c->length;
    t->level = (int) ngx_d4_worker.conf->compress_level;
    t->aside = c->aside;

    if (ngx_thread_task_post(ngx_d4_worker.conf->compress_pool, task)
        != NGX_OK)
    {
        ngx_free(task);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* In a thread: the next piece. */

static void
ngx_d4_closing_handler(void *data, ngx_log_t *log)
{
    ngx_d4_closing_task_t  *t = data;

    t->rc = ngx_d4_closing_piece(t);

    if (t->rc != D4_STORE_AGAIN) {
        t->err = ngx_errno;
        d4_compress_free(t->compress);
        t->compress = NULL;
    }
}


static d4_store_rc_t
ngx_d4_closing_piece(ngx_d4_closing_task_t *t)
{
    d4_store_t     *store;
    d4_store_rc_t   rc;

    store = ngx_d4_disk_store();

    if (t->compress == NULL) {

        if (t->aside) {
            rc = d4_object_aside(store, t->file, t->length, t->name,
                                 &t->beyond);

            if (rc != D4_STORE_OK && rc != D4_STORE_MISSING) {
                return rc;
            }
        }

        if (t->length == 0) {

            /* nothing of it was committed */

            rc = d4_store_remove(store, t->file);

            return (rc == D4_STORE_MISSING) ? D4_STORE_OK : rc;
        }

        rc = d4_compress_start(&t->compress, store, t->file, t->length,
                               t->level);

        if (rc == D4_STORE_MISSING
            && d4_store_taken(store, t->file) == D4_STORE_EXISTS)
        {
            return D4_STORE_OK;            /* all was done before */
        }

        if (rc != D4_STORE_OK) {
            return rc;
        }
    }

    rc = d4_compress_step(t->compress);

    if (rc == D4_STORE_MISSING) {
        return D4_STORE_BUSY;              /* somebody else does the same */
    }

    if (rc == D4_STORE_OK) {
        rc = d4_store_remove(store, t->file);

        if (rc == D4_STORE_MISSING) {
            rc = D4_STORE_OK;              /* they have just done it */
        }
    }

    return rc;
}


static void
ngx_d4_closing_compressed(ngx_event_t *ev)
{
    ngx_d4_closing_t       *c;
    ngx_thread_task_t      *task;
    ngx_d4_closing_task_t  *t;

    task = ev->data;
    t = task->ctx;
    c = t->closing;

    if (t->rc == D4_STORE_AGAIN) {

        if (!ngx_exiting
            && ngx_thread_task_post(ngx_d4_worker.conf->compress_pool, task)
               == NGX_OK)
        {
            return;
        }

        d4_compress_free(t->compress);
        ngx_free(task);
        ngx_d4_closing_later(c);
        return;
    }

    if (t->beyond) {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "d4 file \"%s\" had %uL bytes that were not committed "
                      "and are not in its stream: they are in \"%s\"",
                      c->file, t->beyond, t->name);
    }

    if (t->rc == D4_STORE_OK) {
        c->closed = 1;

        ngx_d4_disk_works();
        ngx_d4_closing_push(c);

    } else if (t->rc == D4_STORE_SHORT || t->rc == D4_STORE_MISSING
               || t->rc == D4_STORE_UNSAFE || t->rc == D4_STORE_DAMAGED)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, t->err,
                      "d4 file \"%s\", of which %uL bytes were committed: "
                      "%s; it is left as it is", c->file, c->length,
                      d4_store_text(t->rc));

        /* nobody gets the name of what is not there */

        ngx_d4_dispatch_count(c->type, NGX_D4_COUNT_ERRORS, 1);
        c->closed = 1;
        c->length = 0;
        ngx_d4_closing_push(c);

    } else {
        ngx_d4_disk_fails(t->rc, t->err);
        ngx_d4_closing_later(c);
    }

    ngx_free(task);
}


/* It is on disk: its name is pushed where the type's elements are files. */

static void
ngx_d4_closing_push(ngx_d4_closing_t *c)
{
    switch (c->type) {

    case D4_TYPE_PCAP:
    case D4_TYPE_PCAPNG:
    case D4_TYPE_YAF:

        if (c->length
            && ngx_d4_targets_ask(c->hex, c->type, &c->ext,
                                  ngx_d4_closing_targets, c)
               != NGX_OK)
        {
            ngx_d4_closing_later(c);
            return;
        }

        if (c->length) {
            return;
        }

        break;

    default:
        break;
    }

    ngx_d4_closing_send(c);
}


static void
ngx_d4_closing_targets(void *data, redisReply *reply)
{
    ngx_d4_closing_t  *c = data;

    if (reply == NULL
        || ngx_d4_targets_answer(&c->targets, c->type, &c->ext, reply)
           != NGX_OK)
    {
        ngx_d4_closing_later(c);
        return;
    }

    ngx_d4_closing_send(c);
}


static void
ngx_d4_closing_send(ngx_d4_closing_t *c)
{
    int               rc;
    size_t            len;
    u_char            path[NGX_D4_DISK_PATH];
    d4_words_t       *w;
    const ngx_str_t  *script;

    w = &c->script;
    script = ngx_d4_script_text(NGX_D4_SCRIPT_PUSHED);

    d4_words_free(w);

    len = ngx_d4_disk_path(path, c->file);
    len = ngx_sprintf(path + len, ".gz") - path;

    rc = d4_words_text(w, "EVAL")
         | d4_words_add(w, script->data, script->len)
         | d4_words_text(w, "0")
         | d4_words_text(w, ngx_d4_store_id)
         | d4_words_text(w, c->file)
         | d4_words_number(w, (uint64_t) ngx_d4_worker.conf->queue_unread)
         | d4_words_number(w, (uint64_t) ngx_time())
         | d4_words_number(w, len)
         | ngx_d4_targets_words(&c->targets, w, 0)
         | d4_words_add(w, path, len)
         | d4_words_head(w);

    if (rc != 0
        || ngx_d4_redis_blocks(ngx_d4_worker.queues, &w->out, 1,
                               ngx_d4_closing_pushed, c)
           != NGX_OK)
    {
        ngx_d4_closing_later(c);
    }
}


static void
ngx_d4_closing_pushed(void *data, redisReply *reply)
{
    ngx_d4_closing_t  *c = data;

    if (reply == NULL || !ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY)
        || reply->elements == 0)
    {
        if (reply && ngx_d4_reply_is(reply, REDIS_REPLY_ERROR)
            && !ngx_d4_redis_try_again(reply))
        {
            ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                          "d4 file \"%s\" cannot be queued: %*s", c->file,
                          (size_t) ngx_min(reply->len, 200), reply->str);
        }

        ngx_d4_closing_later(c);
        return;
    }

    /* 0: somebody else had done it */

    if (ngx_d4_reply_int(reply->element[0]) && c->length) {
        ngx_d4_dispatch_count(c->type, NGX_D4_COUNT_FILES, 1);
        ngx_d4_dispatch_count(c->type, NGX_D4_COUNT_ELEMENTS,
                              c->targets.n ? 1 : 0);
        ngx_d4_targets_pushed(&c->targets, reply->element + 1,
                              reply->elements - 1, c->type);
    }

    ngx_d4_closing_free(c);
    ngx_d4_closing_work();
}


static void
ngx_d4_closing_later(ngx_d4_closing_t *c)
{
    c->retry = 1;
    c->retry_at = ngx_current_msec + NGX_D4_CLOSING_RETRY;

    ngx_d4_closing_busy = 0;
}


static void
ngx_d4_closing_free(ngx_d4_closing_t *c)
{
    ngx_d4_closing_busy = 0;
    ngx_d4_closings_n--;

    ngx_queue_remove(&c->queue);
    ngx_d4_targets_free(&c->targets);
    d4_words_free(&c->script);
    ngx_free(c);
}


static ngx_uint_t
ngx_d4_closing_known(const char *file)
{
    ngx_queue_t       *q;
    ngx_d4_closing_t  *c;

    for (q = ngx_queue_head(&ngx_d4_closings);
         q != ngx_queue_sentinel(&ngx_d4_closings);
         q = ngx_queue_next(q))
    {
        c = ngx_queue_data(q, ngx_d4_closing_t, queue);

        if (ngx_strcmp(c->file, file) == 0) {
            return 1;
        }
    }

    return 0;
}


/*
 * The leader looks for files of workers that are gone.  One whose lease is
 * missing in several looks is dead enough: whoever takes a file over says so
 * in the list, and a file is closed in the same way by whoever does it.
 *
 * Any worker finds here what it was not told of: the answer to the script that
 * put one of its files on the list may have been lost, or came for nobody.
 */

static void
ngx_d4_closing_scan(void)
{
    if (!ngx_d4_disk_ready() || !ngx_d4_redis_ready(ngx_d4_worker.metadata)) {
        ngx_d4_closers_n = 0;
        return;
    }

    ngx_d4_closers_round++;

    ngx_d4_closing_page("0");
}


static void
ngx_d4_closing_page(const char *cursor)
{
    u_char     key[sizeof("d4:closing:") + D4_STORE_ID];
    ngx_str_t  argv[5];

    ngx_str_set(&argv[0], "HSCAN");
    ngx_d4_str(&argv[1], key, ngx_sprintf(key, "d4:closing:%s",
                                          ngx_d4_store_id)
                              - key);
    ngx_d4_str(&argv[2], cursor, ngx_strlen(cursor));
    ngx_str_set(&argv[3], "COUNT");
    ngx_str_set(&argv[4], "256");

    ngx_d4_closing_scanning = (ngx_d4_redis_command(ngx_d4_worker.queues, 5,
                                                    argv,
                                                    ngx_d4_closing_scanned,
                                                    NULL)
                               == NGX_OK);
}


static void
ngx_d4_closing_scanned(void *data, redisReply *reply)
{
    size_t       i;
    ngx_uint_t   n;
    redisReply  *list;

    ngx_d4_closing_scanning = 0;

    if (reply == NULL || !ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY)
        || reply->elements != 2)
    {
        ngx_d4_closers_n = 0;
        return;
    }

    list = reply->element[1];

    for (i = 0; i + 1 < list->elements; i += 2) {
        ngx_d4_closing_entry(list->element[i], list->element[i + 1]);
    }

    if (ngx_strcmp(reply->element[0]->str, "0") != 0) {
        ngx_d4_closing_page(reply->element[0]->str);
        return;
    }

    if (ngx_d4_closing_looks) {
        ngx_d4_closing_looks--;
    }

    n = 0;

    for (i = 0; i < ngx_d4_closers_n; i++) {
        if (ngx_d4_closers[i].seen == ngx_d4_closers_round) {
            ngx_d4_closers[n++] = ngx_d4_closers[i];
        }
    }

    ngx_d4_closers_n = n;

    if (n) {
        ngx_d4_closing_ask();
    }
}


static void
ngx_d4_closing_entry(redisReply *file, redisReply *value)
{
    ngx_str_t                *id;
    ngx_d4_closing_worker_t  *w;

    id = &ngx_d4_worker.id;

    if (!ngx_d4_reply_text(file) || !ngx_d4_reply_text(value)
        || file->len >= D4_PATH_MAX || value->len >= NGX_D4_CLOSING_VALUE
        || ngx_d4_closing_known(file->str))
    {
        return;
    }

    if (value->len > id->len && value->str[id->len] == ' '
        && ngx_memcmp(value->str, id->data, id->len) == 0)
    {
        ngx_d4_closing_mine(file, value);
        return;
    }

    if (!ngx_d4_control_leading()) {
        return;
    }

    w = ngx_d4_closing_worker(value);

    if (w != NULL && w->missing >= NGX_D4_CLOSING_SURE) {
        ngx_d4_closing_take(file, value);
    }
}


static void
ngx_d4_closing_mine(redisReply *file, redisReply *value)
{
    ngx_queue_t            *q;
    ngx_d4_dispatch_t      *d;
    ngx_d4_closing_take_t   take;

    /* those that know of it close it when they have read the stream */

    for (q = ngx_queue_head(&ngx_d4_worker.dispatches);
         q != ngx_queue_sentinel(&ngx_d4_worker.dispatches);
         q = ngx_queue_next(q))
    {
        d = ngx_queue_data(q, ngx_d4_dispatch_t, queue);

        if (d->former_file && ngx_strcmp(d->former_file, file->str) == 0) {
            return;
        }
    }

    if (ngx_d4_closing_parse(&take, file, value) == NGX_OK) {
        ngx_d4_closing_add_taken(&take);
    }
}


/* Another worker that has files to close. */

static ngx_d4_closing_worker_t *
ngx_d4_closing_worker(redisReply *value)
{
    size_t                    len;
    ngx_uint_t                i;
    ngx_d4_closing_worker_t  *w;

    len = strcspn(value->str, " ");

    if (len == 0 || len > NGX_D4_CLOSING_NAME) {
        return NULL;
    }

    for (i = 0; i < ngx_d4_closers_n; i++) {
        w = &ngx_d4_closers[i];

        if (w->len == len && ngx_memcmp(w->name, value->str, len) == 0) {
            w->seen = ngx_d4_closers_round;
            return w;
        }
    }

    if (i == NGX_D4_CLOSING_WORKERS) {
        return NULL;                       /* when others are done */
    }

    w = &ngx_d4_closers[ngx_d4_closers_n++];

    w->len = len;
    w->missing = 0;
    w->seen = ngx_d4_closers_round;
    ngx_memcpy(w->name, value->str, len);

    return w;
}


static void
ngx_d4_closing_ask(void)
{
    u_char      *p, text[NGX_D4_CLOSING_WORKERS
                         * (sizeof("d4:worker:") + NGX_D4_CLOSING_NAME)];
    ngx_str_t    argv[1 + NGX_D4_CLOSING_WORKERS];
    ngx_uint_t   i;

    p = text;

    ngx_str_set(&argv[0], "MGET");

    for (i = 0; i < ngx_d4_closers_n; i++) {
        argv[1 + i].data = p;
        p = ngx_sprintf(p, "d4:worker:%*s", ngx_d4_closers[i].len,
                        ngx_d4_closers[i].name);
        argv[1 + i].len = p - argv[1 + i].data;
    }

    (void) ngx_d4_redis_command(ngx_d4_worker.metadata,
                                1 + ngx_d4_closers_n, argv,
                                ngx_d4_closing_asked,
                                (void *) (uintptr_t) ngx_d4_closers_round);
}


static void
ngx_d4_closing_asked(void *data, redisReply *reply)
{
    ngx_uint_t                i;
    ngx_d4_closing_worker_t  *w;

    if (reply == NULL || !ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY)
        || reply->elements != ngx_d4_closers_n
        || (uintptr_t) data != ngx_d4_closers_round)
    {
        ngx_d4_closers_n = 0;
        return;
    }

    for (i = 0; i < ngx_d4_closers_n; i++) {
        w = &ngx_d4_closers[i];

        w->missing = ngx_d4_reply_text(reply->element[i]) ? 0 : w->missing + 1;
    }
}


static void
ngx_d4_closing_take(redisReply *file, redisReply *value)
{
    char                    mine[NGX_D4_CLOSING_VALUE];
    ngx_str_t               argv[4], ext;
    ngx_d4_closing_take_t  *take;

    take = ngx_alloc(sizeof(ngx_d4_closing_take_t), ngx_d4_worker.log);
    if (take == NULL) {
        return;
    }

    if (ngx_d4_closing_parse(take, file, value) != NGX_OK) {
        ngx_free(take);
        return;
    }

    ngx_d4_str(&ext, take->ext, ngx_strlen(take->ext));

    ngx_d4_closing_value(mine, take->length, take->hex, take->type, &ext);

    ngx_d4_str(&argv[0], ngx_d4_store_id, D4_STORE_ID);
    ngx_d4_str(&argv[1], file->str, file->len);
    ngx_d4_str(&argv[2], value->str, value->len);
    ngx_d4_str(&argv[3], mine, ngx_strlen(mine));

    if (ngx_d4_script(ngx_d4_worker.queues, NGX_D4_SCRIPT_TAKE, 4, argv,
                      ngx_d4_closing_taken, take)
        != NGX_OK)
    {
        ngx_free(take);
    }
}


static void
ngx_d4_closing_taken(void *data, redisReply *reply)
{
    ngx_d4_closing_take_t  *take = data;

    if (reply && ngx_d4_reply_int(reply) == 1) {
        ngx_d4_closing_add_taken(take);
    }

    ngx_free(take);
}


/* <worker> <length> <uuid> <type> <extended type or -> */

static ngx_int_t
ngx_d4_closing_parse(ngx_d4_closing_take_t *take, redisReply *file,
    redisReply *value)
{
    char        *p[5], text[NGX_D4_CLOSING_VALUE];
    ngx_uint_t   i;

    ngx_memcpy(text, value->str, value->len + 1);
    p[0] = text;

    for (i = 1; i < 5; i++) {
        p[i] = strchr(p[i - 1], ' ');

        if (p[i] == NULL) {
            return NGX_DECLINED;
        }

        *p[i]++ = '\0';
    }

    if (ngx_strcmp(p[4], "-") == 0) {
        p[4] = "";
    }

    ngx_memcpy(take->file, file->str, file->len + 1);
    (void) ngx_cpystrn((u_char *) take->hex, (u_char *) p[2],
                       sizeof(take->hex));
    (void) ngx_cpystrn(take->ext, (u_char *) p[4], sizeof(take->ext));

    take->length = strtoull(p[1], NULL, 10);
    take->type = strtoul(p[3], NULL, 10);

    return NGX_OK;
}


static void
ngx_d4_closing_add_taken(ngx_d4_closing_take_t *take)
{
    ngx_str_t  ext;

    ngx_d4_str(&ext, take->ext, ngx_strlen(take->ext));

    ngx_d4_closing_add(take->file, take->length, take->hex, take->type, &ext,
                       0);
}

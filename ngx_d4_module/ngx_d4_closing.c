
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


#define NGX_D4_CLOSING_RETRY   2000        /* ms after a failure */


typedef struct {
    ngx_str_node_t           name;         /* file; must be first */
    ngx_queue_t              queue;
    char                     file[D4_PATH_MAX];
    uint64_t                 length;
    uint64_t                 inode;        /* 0: not known */
    uint64_t                 known;        /* bytes beyond that exist */
    char                     hex[D4_UUID_HEX + 1];
    ngx_uint_t               type;
    ngx_str_t                ext;
    u_char                   ext_text[D4_PATH_NAME + 1];
    ngx_d4_targets_t         targets;
    d4_words_t               script;
    ngx_msec_t               retry_at;
    unsigned                 closed:1;     /* on disk */
    unsigned                 retry:1;
} ngx_d4_closing_t;


typedef struct {                           /* for the thread */
    ngx_d4_closing_t        *closing;
    d4_compress_t           *compress;
    const char              *file;
    uint64_t                 length;
    uint64_t                 inode;
    uint64_t                 known;
    int                      level;
    d4_store_rc_t            rc;
    ngx_err_t                err;
    ngx_uint_t               other;        /* it is not the session's */
    uint64_t                 beyond;       /* bytes that were set aside */
    char                     name[D4_STORE_PATH + 1];      /* where to */
} ngx_d4_closing_task_t;


static void ngx_d4_closing_work(void);
static ngx_int_t ngx_d4_closing_compress(ngx_d4_closing_t *c);
static void ngx_d4_closing_handler(void *data, ngx_log_t *log);
static d4_store_rc_t ngx_d4_closing_piece(ngx_d4_closing_task_t *t);
static d4_store_rc_t ngx_d4_closing_none(ngx_d4_closing_task_t *t);
static void ngx_d4_closing_compressed(ngx_event_t *ev);
static void ngx_d4_closing_push(ngx_d4_closing_t *c);
static void ngx_d4_closing_targets(void *data, redisReply *reply);
static void ngx_d4_closing_send(ngx_d4_closing_t *c);
static void ngx_d4_closing_pushed(void *data, redisReply *reply);
static void ngx_d4_closing_later(ngx_d4_closing_t *c);
static void ngx_d4_closing_free(ngx_d4_closing_t *c);


static ngx_queue_t        ngx_d4_closings;
static ngx_uint_t         ngx_d4_closing_busy;
static ngx_rbtree_t       ngx_d4_closing_names;
static ngx_rbtree_node_t  ngx_d4_closing_sentinel;


void
ngx_d4_closing_init(void)
{
    ngx_queue_init(&ngx_d4_closings);

    ngx_d4_closing_busy = 0;

    ngx_rbtree_init(&ngx_d4_closing_names, &ngx_d4_closing_sentinel,
                    ngx_str_rbtree_insert_value);

    ngx_d4_closing_list_init();
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
ngx_d4_closing_add(const char *file, uint64_t length, uint64_t inode,
    const char *hex, ngx_uint_t type, ngx_str_t *ext, uint64_t known)
{
    ngx_d4_closing_t  *c;

    if (ngx_d4_closing_known(file)) {
        return;
    }

    c = ngx_calloc(sizeof(ngx_d4_closing_t), ngx_d4_worker.log);

    if (c == NULL) {
        return;
    }

    (void) ngx_cpystrn((u_char *) c->file, (u_char *) file, D4_PATH_MAX);
    (void) ngx_cpystrn((u_char *) c->hex, (u_char *) hex, D4_UUID_HEX + 1);

    d4_words_init(&c->script, &ngx_d4_worker.pool);

    c->length = length;
    c->inode = inode;
    c->type = type;
    c->known = known;
    c->ext.data = c->ext_text;
    c->ext.len = ngx_min(ext->len, D4_PATH_NAME);

    if (c->ext.len) {
        ngx_memcpy(c->ext_text, ext->data, c->ext.len);
    }

    ngx_d4_str(&c->name.str, c->file, ngx_strlen(c->file));
    c->name.node.key = ngx_crc32_long(c->name.str.data, c->name.str.len);

    ngx_rbtree_insert(&ngx_d4_closing_names, &c->name.node);
    ngx_queue_insert_tail(&ngx_d4_closings, &c->queue);

    ngx_d4_closing_work();
}


void
ngx_d4_closing_tick(void)
{
    ngx_d4_closing_work();
    ngx_d4_closing_list_tick();
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
    t->inode = c->inode;
    t->level = (int) ngx_d4_worker.conf->compress_level;
    t->known = c->known;

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

    if (t->length == 0) {
        return ngx_d4_closing_none(t);
    }

    if (t->compress == NULL) {

        if (t->known != NGX_D4_CLOSING_ALL) {
            rc = d4_object_aside(store, t->file, t->length, t->known, t->name,
                                 &t->beyond);

            if (rc != D4_STORE_OK && rc != D4_STORE_MISSING) {
                return rc;
            }
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


/* Nothing of it was committed. */

static d4_store_rc_t
ngx_d4_closing_none(ngx_d4_closing_task_t *t)
{
    int             fd;
    uint64_t        size, inode;
    d4_store_t     *store;
    d4_store_rc_t   rc;

    store = ngx_d4_disk_store();
    inode = 0;

    if (t->known != NGX_D4_CLOSING_ALL
        && d4_store_read(store, t->file, &fd, &size) == D4_STORE_OK)
    {
        (void) d4_store_inode(fd, &inode);
        (void) d4_store_file_close(fd);

        if (inode == t->inode) {
            rc = d4_object_aside(store, t->file, 0, t->known, t->name,
                                 &t->beyond);

            if (rc != D4_STORE_OK && rc != D4_STORE_MISSING) {
                return rc;
            }
        }
    }

    rc = d4_store_remove_own(store, t->file, t->inode);

    if (rc == D4_STORE_EXISTS) {
        t->other = 1;
        return D4_STORE_OK;
    }

    return (rc == D4_STORE_MISSING) ? D4_STORE_OK : rc;
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
                      "and are not all in its stream: they are in \"%s\"",
                      c->file, t->beyond, t->name);
    }

    if (t->other) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_d4_worker.log, 0,
                      "d4 file \"%s\" was there before the session that was "
                      "to make it: it is left as it is", c->file);
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

        /* somebody else has it: that is no fault of the disk */

        if (t->rc != D4_STORE_BUSY) {
            ngx_d4_disk_fails(t->rc, t->err);
        }

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

    ngx_rbtree_delete(&ngx_d4_closing_names, &c->name.node);
    ngx_queue_remove(&c->queue);
    ngx_d4_targets_free(&c->targets);
    d4_words_free(&c->script);
    ngx_free(c);
}


ngx_uint_t
ngx_d4_closing_known(const char *file)
{
    ngx_str_t  name;

    ngx_d4_str(&name, file, ngx_strlen(file));

    return ngx_str_rbtree_lookup(&ngx_d4_closing_names, &name,
                                 ngx_crc32_long(name.data, name.len))
           != NULL;
}

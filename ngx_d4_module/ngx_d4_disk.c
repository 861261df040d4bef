
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What would block a worker: files are made and written in threads.  A thread
 * gets all that it needs with its task and touches nothing else; of a
 * dispatch it reads the buffers of the step, which stay as they are until the
 * task has come back.
 */


#include "ngx_d4_objects.h"
#include "storage/d4_object.h"


#define NGX_D4_DISK_IOV    64
#define NGX_D4_DISK_SPARE  4               /* files beyond open_files */
#define NGX_D4_DISK_OPEN   1000            /* ms between tries */
#define NGX_D4_DISK_NAMES  1000            /* tried for an object */
#define NGX_D4_DISK_QUIET  5000            /* ms without a failure: it works */


typedef struct {                       /* for a thread, and back */
    ngx_d4_dispatch_t       *dispatch;
    d4_blocks_t             *out;
    ngx_d4_objects_t         objects;
    struct tm                tm;

    char                     file[D4_PATH_MAX];
    uint64_t                 offset;
    int                      fd;
    ngx_uint_t               create;   /* that, and nothing else */
    uint64_t                 inode;
    ngx_uint_t               sync;
    uint64_t                 min_free;
    ngx_uint_t               open_files;

    const char              *meta;     /* the object of type 2, to be kept */
    const char              *hex;
    ngx_str_t                ext;

    d4_store_rc_t            rc;
    ngx_err_t                err;
} ngx_d4_disk_t;


static void ngx_d4_disk_handler(void *data, ngx_log_t *log);
static d4_store_rc_t ngx_d4_disk_file(ngx_d4_disk_t *k);
static d4_store_rc_t ngx_d4_disk_blocks(ngx_d4_disk_t *k);
static d4_store_rc_t ngx_d4_disk_meta(ngx_d4_disk_t *k);
static void ngx_d4_disk_done(ngx_event_t *ev);
static void ngx_d4_disk_failed(ngx_d4_dispatch_t *d, ngx_d4_disk_t *k);
static void ngx_d4_disk_keep(ngx_d4_dispatch_t *d, int fd);


char  ngx_d4_store_id[D4_STORE_ID + 1];

static d4_store_t    ngx_d4_store;
static ngx_uint_t    ngx_d4_store_ready;
static ngx_msec_t    ngx_d4_store_tried;
static ngx_queue_t   ngx_d4_open_files;
static ngx_atomic_t  ngx_d4_open_n;            /* threads open, too */

static ngx_uint_t    ngx_d4_disk_bad;      /* a write failed, and is said to */
static ngx_uint_t    ngx_d4_disk_worked;   /* one succeeded since then */
static ngx_msec_t    ngx_d4_disk_failed_at;


void
ngx_d4_disk_init(void)
{
    ngx_queue_init(&ngx_d4_open_files);

    ngx_d4_open_n = 0;
    ngx_d4_store_ready = 0;
    ngx_d4_disk_bad = 0;
    ngx_d4_disk_worked = 0;
    ngx_d4_store_id[0] = '\0';
}


/*
 * Opens the data directory, which happens once, and quickly; where it cannot
 * be opened all sessions wait and it is tried again.
 */

ngx_uint_t
ngx_d4_disk_ready(void)
{
    d4_store_rc_t      rc;
    ngx_err_t          err;
    ngx_d4_conf_t     *conf;
    d4_store_owner_t   owner;

    if (ngx_d4_store_ready) {
        return 1;
    }

    if (ngx_d4_store_tried
        && ngx_current_msec - ngx_d4_store_tried < NGX_D4_DISK_OPEN)
    {
        return 0;
    }

    ngx_d4_store_tried = ngx_current_msec;

    conf = ngx_d4_worker.conf;

    owner.uid = conf->data_uid;
    owner.gid = conf->data_gid;
    owner.file_mode = conf->data_access;
    owner.dir_mode = ngx_dir_access(conf->data_access);

    rc = d4_store_open(&ngx_d4_store, (char *) conf->data.data, &owner);

    if (rc == D4_STORE_OK) {
        rc = d4_store_id(&ngx_d4_store, ngx_d4_store_id);

        if (rc == D4_STORE_OK) {
            ngx_d4_store_ready = 1;
            return 1;
        }

        err = ngx_errno;
        d4_store_close(&ngx_d4_store);
        ngx_set_errno(err);
    }

    err = ngx_errno;
    ngx_d4_disk_failed_at = ngx_current_msec;

    if (!ngx_d4_disk_bad) {
        ngx_d4_disk_bad = 1;
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, err,
                      "d4 data directory \"%V\" cannot be used: %s; sessions "
                      "wait", &conf->data, d4_store_text(rc));
    }

    return 0;
}


d4_store_t *
ngx_d4_disk_store(void)
{
    return &ngx_d4_store;
}


size_t
ngx_d4_disk_path(u_char *buf, const char *file)
{
    return ngx_snprintf(buf, NGX_D4_DISK_PATH, "%V/%s",
                        &ngx_d4_worker.conf->data, file)
           - buf;
}


ngx_int_t
ngx_d4_disk_write(ngx_d4_dispatch_t *d)
{
    ngx_d4_disk_t      *k;
    ngx_d4_conf_t      *conf;
    ngx_thread_task_t  *task;

    if (!ngx_d4_disk_ready()) {
        return NGX_ERROR;
    }

    conf = ngx_d4_worker.conf;

    task = ngx_d4_disk_task(sizeof(ngx_d4_disk_t), ngx_d4_disk_handler,
                            ngx_d4_disk_done);
    if (task == NULL) {
        return NGX_ERROR;
    }

    k = task->ctx;

    k->dispatch = d;
    k->out = &d->out;
    k->fd = d->fd;
    k->offset = d->length;
    k->create = d->create;
    k->sync = conf->data_sync;
    k->min_free = (uint64_t) conf->data_min_free;
    k->open_files = (ngx_uint_t) conf->open_files;

    if (d->file) {
        ngx_memcpy(k->file, d->file, ngx_strlen(d->file) + 1);
    }

    k->hex = d->hex;
    k->ext = d->ext;

    if (d->nlines) {
        ngx_d4_objects_init(&k->objects, d);
    }

    if (d->new_meta) {

        /* repeated, it comes to the same name */

        k->meta = d4_meta_json(d->meta);
        ngx_d4_dispatch_time(d->started, &k->tm);
    }

    if (ngx_thread_task_post(conf->data_pool, task) != NGX_OK) {
        ngx_free(task);
        return NGX_ERROR;
    }

    d->writing = 1;
    d->refs++;

    return NGX_OK;
}


ngx_thread_task_t *
ngx_d4_disk_task(size_t size, void (*handler)(void *data, ngx_log_t *log),
    ngx_event_handler_pt done)
{
    ngx_thread_task_t  *task;

    task = ngx_calloc(sizeof(ngx_thread_task_t) + size, ngx_d4_worker.log);

    if (task != NULL) {
        task->ctx = task + 1;
        task->handler = handler;
        task->event.handler = done;
        task->event.data = task;
        task->event.log = ngx_d4_worker.log;
    }

    return task;
}


/* In a thread. */

static void
ngx_d4_disk_handler(void *data, ngx_log_t *log)
{
    ngx_d4_disk_t  *k = data;

    d4_store_space_t  space;

    k->rc = D4_STORE_OK;

    if (k->min_free) {
        k->rc = d4_store_space(&ngx_d4_store, &space);

        if (k->rc == D4_STORE_OK && space.free < k->min_free) {
            k->rc = D4_STORE_FULL;
            errno = 0;
        }
    }

    if (k->rc == D4_STORE_OK && k->meta) {
        k->rc = ngx_d4_disk_meta(k);
    }

    if (k->rc == D4_STORE_OK && k->out->bytes) {
        k->rc = ngx_d4_disk_file(k);
    }

    if (k->rc == D4_STORE_OK && k->objects.nlines) {
        k->rc = ngx_d4_objects_write(&k->objects, &ngx_d4_store, k->sync);
    }

    k->err = (k->rc == D4_STORE_OK) ? 0 : ngx_errno;
}


static d4_store_rc_t
ngx_d4_disk_file(ngx_d4_disk_t *k)
{
    uint64_t       size;
    ngx_uint_t     opened;
    d4_store_rc_t  rc;

    size = 0;
    opened = (k->fd == -1);

    if (opened) {

        if (k->create) {
            rc = d4_store_create(&ngx_d4_store, k->file, &k->fd);

        } else {

            /* beyond what is committed is what a write of ours left */

            rc = d4_store_append(&ngx_d4_store, k->file, k->offset, &k->fd,
                                 &size);
        }

        if (rc != D4_STORE_OK) {
            k->fd = -1;                /* whatever it was is closed */
            return rc;
        }

        (void) ngx_atomic_fetch_add(&ngx_d4_open_n, 1);

        if (!k->create && size != k->offset) {
            rc = d4_store_cut(k->fd, k->offset);

            if (rc != D4_STORE_OK) {
                return rc;
            }
        }
    }

    if (k->create) {
        rc = d4_store_inode(k->fd, &k->inode);
        k->create = 0;

    } else {
        rc = ngx_d4_disk_blocks(k);

        if (rc == D4_STORE_OK && k->sync) {
            rc = d4_store_sync(k->fd);
        }
    }

    /*
     * Too many at once, before the worker could close others: the next write
     * opens it again.
     */

    if (rc == D4_STORE_OK && opened
        && ngx_d4_open_n > k->open_files + NGX_D4_DISK_SPARE)
    {
        rc = d4_store_file_close(k->fd);
        k->fd = -1;
        (void) ngx_atomic_fetch_add(&ngx_d4_open_n, -1);
    }

    return rc;
}


static d4_store_rc_t
ngx_d4_disk_blocks(ngx_d4_disk_t *k)
{
    int             n;
    size_t          len;
    uint64_t        offset;
    d4_block_t     *block;
    struct iovec    iov[NGX_D4_DISK_IOV];
    d4_store_rc_t   rc;

    offset = k->offset;
    block = k->out->first;

    while (block != NULL) {
        len = 0;

        for (n = 0; n < NGX_D4_DISK_IOV && block != NULL; n++) {
            iov[n].iov_base = block->data;
            iov[n].iov_len = block->used;
            len += block->used;
            block = block->next;
        }

        rc = d4_store_write(k->fd, offset, iov, n);

        if (rc != D4_STORE_OK) {

            /* nothing of the step stays, so that it can be repeated whole */

            if (offset != k->offset) {
                n = errno;
                (void) d4_store_cut(k->fd, k->offset);
                errno = n;
            }

            return rc;
        }

        offset += len;
    }

    return D4_STORE_OK;
}


/* The object of type 2, beside the files that it describes. */

static d4_store_rc_t
ngx_d4_disk_meta(ngx_d4_disk_t *k)
{
    char            path[D4_PATH_MAX];
    unsigned        n;
    d4_object_t     what;
    d4_store_rc_t   rc;

    for (n = 0; n < NGX_D4_DISK_NAMES; n++) {

        if (d4_path_extended(path, k->hex, (char *) k->ext.data, k->ext.len,
                             D4_PATH_META, &k->tm, n)
            != 0)
        {
            errno = 0;
            return D4_STORE_BAD_PATH;
        }

        rc = d4_object_write(&ngx_d4_store, path, k->meta, strlen(k->meta), 0,
                             (int) k->sync, &what);

        if (rc != D4_STORE_OK || what != D4_OBJECT_DIFFERENT) {
            return rc;
        }
    }

    return D4_STORE_OK;
}


static void
ngx_d4_disk_done(ngx_event_t *ev)
{
    ngx_d4_disk_t      *k;
    ngx_thread_task_t  *task;
    ngx_d4_dispatch_t  *d;

    task = ev->data;
    k = task->ctx;
    d = k->dispatch;

    d->writing = 0;

    if (d->dead && k->fd != -1 && d->fd == NGX_INVALID_FILE) {
        (void) d4_store_file_close(k->fd);
        (void) ngx_atomic_fetch_add(&ngx_d4_open_n, -1);
    }

    if (ngx_d4_dispatch_unref(d)) {
        ngx_d4_objects_free(&k->objects);
        ngx_free(task);
        return;
    }

    if (k->fd != -1 && d->fd == NGX_INVALID_FILE) {
        ngx_d4_disk_keep(d, k->fd);
    }

    d->create = k->create;

    if (k->inode) {
        d->inode = k->inode;
    }

    if (k->rc != D4_STORE_OK) {
        ngx_d4_disk_failed(d, k);

    } else if (ngx_d4_objects_elements(&k->objects, d) != NGX_OK) {
        ngx_d4_dispatch_later(d);

    } else {
        ngx_d4_disk_works();
        d->written = (k->inode == 0);
    }

    ngx_d4_objects_free(&k->objects);
    ngx_free(task);

    ngx_d4_dispatch_work(d);
}


static void
ngx_d4_disk_failed(ngx_d4_dispatch_t *d, ngx_d4_disk_t *k)
{
    switch (k->rc) {

    case D4_STORE_EXISTS:

        /* not one of ours; the next name, then */

        if (d->file && k->create) {
            ngx_free(d->file);
            d->file = NULL;
            d->number++;
            return;
        }

        break;

    case D4_STORE_SHORT:
    case D4_STORE_LONG:
    case D4_STORE_MISSING:
    case D4_STORE_UNSAFE:
    case D4_STORE_DAMAGED:

        if (!k->create) {

            /* somebody was at the file: it is closed, and a new one begun */

            ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, k->err,
                          "d4 file \"%s\", of which %uL bytes were "
                          "committed: %s", k->file, k->offset,
                          d4_store_text(k->rc));

            ngx_d4_dispatch_restart(d);
            return;
        }

        break;

    default:
        break;
    }

    ngx_d4_disk_fails(k->rc, k->err);
    ngx_d4_dispatch_later(d);
}


/* Said once: sessions wait, and their sensors are held back. */

void
ngx_d4_disk_fails(d4_store_rc_t rc, ngx_err_t err)
{
    ngx_d4_disk_failed_at = ngx_current_msec;
    ngx_d4_disk_worked = 0;

    if (ngx_d4_disk_bad) {
        return;
    }

    ngx_d4_disk_bad = 1;

    ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, err,
                  "d4 data directory \"%V\": %s; sessions wait",
                  &ngx_d4_worker.conf->data, d4_store_text(rc));
}


/*
 * On a full disk one file may find room where another does not: it works when
 * nothing has failed for longer than what failed waits for its next try.
 */

void
ngx_d4_disk_works(void)
{
    ngx_d4_disk_worked = 1;
    ngx_d4_disk_tick();
}


void
ngx_d4_disk_tick(void)
{
    if (!ngx_d4_disk_bad || !ngx_d4_disk_worked
        || ngx_current_msec - ngx_d4_disk_failed_at < NGX_D4_DISK_QUIET)
    {
        return;
    }

    ngx_d4_disk_bad = 0;

    ngx_log_error(NGX_LOG_NOTICE, ngx_d4_worker.log, 0,
                  "d4 data directory \"%V\" is written to again",
                  &ngx_d4_worker.conf->data);
}


/*
 * Files stay open while they are written to often; beyond the limit the one
 * that was opened first is closed, and opened again when its session has
 * something for it.
 */

static void
ngx_d4_disk_keep(ngx_d4_dispatch_t *d, int fd)
{
    ngx_queue_t        *q;
    ngx_d4_dispatch_t  *other;

    d->fd = fd;

    ngx_queue_insert_tail(&ngx_d4_open_files, &d->fd_queue);

    for (q = ngx_queue_head(&ngx_d4_open_files);
         ngx_d4_open_n > (ngx_uint_t) ngx_d4_worker.conf->open_files
         && q != ngx_queue_sentinel(&ngx_d4_open_files);
         /* void */ )
    {
        other = ngx_queue_data(q, ngx_d4_dispatch_t, fd_queue);
        q = ngx_queue_next(q);

        /* not under a thread */

        if (other != d && !other->writing) {
            ngx_d4_disk_close(other);
        }
    }
}


void
ngx_d4_disk_close(ngx_d4_dispatch_t *d)
{
    if (d->fd == NGX_INVALID_FILE) {
        return;
    }

    if (d4_store_file_close(d->fd) != D4_STORE_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, ngx_errno,
                      "d4 file \"%s\" was not written to disk",
                      d->file ? d->file : "");
    }

    ngx_queue_remove(&d->fd_queue);
    (void) ngx_atomic_fetch_add(&ngx_d4_open_n, -1);

    d->fd = NGX_INVALID_FILE;
}

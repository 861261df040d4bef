
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * How long files are kept: the leader of a host goes through its data
 * directory in a thread, a piece at a time, once a minute where there is a
 * limit and once an hour to remove what crashes left.
 */


#include "ngx_d4_control.h"
#include "ngx_d4_dispatch.h"
#include "storage/d4_retention.h"


#define NGX_D4_RETENTION_PAUSE  60000      /* ms between runs */
#define NGX_D4_RETENTION_IDLE   3600000    /* the same, without limits */
#define NGX_D4_RETENTION_STEP   512        /* names looked at in one task */


typedef struct {                           /* for the thread */
    d4_retention_t          *retention;
    d4_retention_conf_t      conf;
    d4_store_rc_t            rc;
    ngx_err_t                err;
} ngx_d4_retention_task_t;


static void ngx_d4_retention_handler(void *data, ngx_log_t *log);
static int ngx_d4_retention_in_use(void *data, const char *path);
static void ngx_d4_retention_done(ngx_event_t *ev);
static void ngx_d4_retention_report(const d4_retention_stat_t *stat);


static ngx_uint_t  ngx_d4_retention_busy;
static ngx_uint_t  ngx_d4_retention_failed;
static ngx_msec_t  ngx_d4_retention_at;


void
ngx_d4_retention_init(void)
{
    ngx_d4_retention_busy = 0;
    ngx_d4_retention_failed = 0;
    ngx_d4_retention_at = ngx_current_msec + NGX_D4_RETENTION_PAUSE / 10;
}


void
ngx_d4_retention_tick(void)
{
    ngx_d4_conf_t            *conf;
    ngx_thread_task_t        *task;
    ngx_d4_retention_task_t  *t;

    if (ngx_d4_retention_busy || ngx_exiting || !ngx_d4_control_leading()
        || (ngx_msec_int_t) (ngx_current_msec - ngx_d4_retention_at) < 0
        || !ngx_d4_disk_ready())
    {
        return;
    }

    conf = ngx_d4_worker.conf;

    ngx_d4_retention_at = ngx_current_msec + NGX_D4_RETENTION_PAUSE;

    task = ngx_d4_disk_task(sizeof(ngx_d4_retention_task_t),
                            ngx_d4_retention_handler, ngx_d4_retention_done);
    if (task == NULL) {
        return;
    }

    t = task->ctx;

    t->conf.now = ngx_time();
    t->conf.age = conf->data_retention;
    t->conf.size = (uint64_t) conf->data_max;
    t->conf.in_use = ngx_d4_retention_in_use;

    if (ngx_thread_task_post(conf->data_pool, task) != NGX_OK) {
        ngx_free(task);
        return;
    }

    ngx_d4_retention_busy = 1;
}


/* In a thread. */

static void
ngx_d4_retention_handler(void *data, ngx_log_t *log)
{
    ngx_d4_retention_task_t  *t = data;

    if (t->retention == NULL) {
        t->retention = d4_retention_create(ngx_d4_disk_store(), &t->conf);

        if (t->retention == NULL) {
            t->rc = D4_STORE_LIMIT;
            t->err = ngx_errno;
            return;
        }
    }

    t->rc = d4_retention_step(t->retention, NGX_D4_RETENTION_STEP);
    t->err = ngx_errno;
}


static int
ngx_d4_retention_in_use(void *data, const char *path)
{
    return d4_path_growing(path);
}


static void
ngx_d4_retention_done(ngx_event_t *ev)
{
    ngx_thread_task_t        *task;
    ngx_d4_retention_task_t  *t;

    task = ev->data;
    t = task->ctx;

    if (t->rc == D4_STORE_AGAIN && !ngx_exiting
        && ngx_thread_task_post(ngx_d4_worker.conf->data_pool, task)
           == NGX_OK)
    {
        return;
    }

    if (t->rc == D4_STORE_OK) {
        ngx_d4_retention_failed = 0;
        ngx_d4_retention_report(d4_retention_stat(t->retention));

    } else if (t->rc != D4_STORE_AGAIN && !ngx_d4_retention_failed) {
        ngx_d4_retention_failed = 1;
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, t->err,
                      "d4 data directory cannot be gone through: %s",
                      d4_store_text(t->rc));
    }

    if (t->conf.age == 0 && t->conf.size == 0) {
        ngx_d4_retention_at = ngx_current_msec + NGX_D4_RETENTION_IDLE;
    }

    d4_retention_free(t->retention);
    ngx_free(task);

    ngx_d4_retention_busy = 0;
}


static void
ngx_d4_retention_report(const d4_retention_stat_t *stat)
{
    if (stat->removed_files || stat->removed_parts) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_d4_worker.log, 0,
                      "d4 data directory: %uL old files of %uL bytes and %uL "
                      "unfinished ones removed, %uL files of %uL bytes left",
                      stat->removed_files, stat->removed_bytes,
                      stat->removed_parts, stat->files, stat->bytes);
    }

    if (stat->errors) {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, stat->err,
                      "d4 data directory: %uL files could not be looked at "
                      "or removed, the first one \"%s\": %s", stat->errors,
                      stat->path, d4_store_text(stat->error));
    }
}

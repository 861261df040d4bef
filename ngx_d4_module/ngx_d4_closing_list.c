
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The list of files to be closed, gone through for those that nobody closes:
 * of workers that are gone, and of this one where it was not told.
 */


#include "ngx_d4_control.h"
#include "ngx_d4_dispatch.h"


#define NGX_D4_CLOSING_SCAN    2000        /* ms between looks at the list */
#define NGX_D4_CLOSING_LOOKS   3           /* of a worker that may have missed
                                              something */
#define NGX_D4_CLOSING_SURE    3           /* looks without the worker */
#define NGX_D4_CLOSING_WORKERS 32
#define NGX_D4_CLOSING_NAME    sizeof(ngx_d4_worker.name)


typedef struct {                           /* another one with files */
    size_t                   len;
    ngx_uint_t               missing;      /* looks in which it had no lease */
    ngx_uint_t               seen;         /* in which look at the list */
    u_char                   name[NGX_D4_CLOSING_NAME];
} ngx_d4_closing_worker_t;


typedef struct {
    uint64_t                 length;
    uint64_t                 inode;
    ngx_uint_t               type;
    char                     file[D4_PATH_MAX];
    char                     hex[D4_UUID_HEX + 1];
    u_char                   ext[D4_PATH_NAME + 1];
} ngx_d4_closing_take_t;


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


static ngx_d4_closing_worker_t  ngx_d4_closers[NGX_D4_CLOSING_WORKERS];
static ngx_uint_t               ngx_d4_closers_n;
static ngx_uint_t               ngx_d4_closers_round;
static ngx_msec_t               ngx_d4_closing_scanned_at;
static ngx_uint_t               ngx_d4_closing_scanning;
static ngx_uint_t               ngx_d4_closing_looks;


void
ngx_d4_closing_list_init(void)
{
    ngx_d4_closers_n = 0;
    ngx_d4_closing_scanning = 0;
    ngx_d4_closing_looks = 0;
}


void
ngx_d4_closing_list_tick(void)
{
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

    if (take->inode) {
        (void) ngx_sprintf((u_char *) mine + ngx_strlen(mine), " %uL%Z",
                           take->inode);
    }

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


/* As NGX_D4_CLOSING_VALUE says. */

static ngx_int_t
ngx_d4_closing_parse(ngx_d4_closing_take_t *take, redisReply *file,
    redisReply *value)
{
    char        *p[5], *inode, text[NGX_D4_CLOSING_VALUE];
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

    inode = strchr(p[4], ' ');

    if (inode != NULL) {
        *inode++ = '\0';
    }

    if (ngx_strcmp(p[4], "-") == 0) {
        p[4] = "";
    }

    ngx_memcpy(take->file, file->str, file->len + 1);
    (void) ngx_cpystrn((u_char *) take->hex, (u_char *) p[2],
                       sizeof(take->hex));
    (void) ngx_cpystrn(take->ext, (u_char *) p[4], sizeof(take->ext));

    take->length = strtoull(p[1], NULL, 10);
    take->inode = inode ? strtoull(inode, NULL, 10) : 0;
    take->type = strtoul(p[3], NULL, 10);

    return NGX_OK;
}


static void
ngx_d4_closing_add_taken(ngx_d4_closing_take_t *take)
{
    ngx_str_t  ext;

    ngx_d4_str(&ext, take->ext, ngx_strlen(take->ext));

    ngx_d4_closing_add(take->file, take->length, take->inode, take->hex,
                       take->type, &ext, NGX_D4_CLOSING_ALL);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_d4_objects.h"
#include "storage/d4_object.h"


typedef struct {                           /* a place in the lines */
    d4_block_t              *block;
    uint32_t                 pos;
} ngx_d4_objects_at_t;


typedef struct {                           /* of one line */
    ngx_d4_objects_t        *objects;
    const d4_store_t        *store;
    ngx_uint_t               sync;
    d4_store_rc_t            rc;
    ngx_uint_t               taken;        /* names that others have */
    char                     path[D4_PATH_MAX];
} ngx_d4_objects_line_t;


static d4_store_rc_t ngx_d4_objects_line(ngx_d4_objects_t *o,
    ngx_d4_objects_line_t *l, const char *line, size_t len);
static int ngx_d4_objects_object(void *data, const d4_handler_object_t *obj);
static void ngx_d4_objects_error(ngx_d4_objects_t *o, const char *reason);
static d4_store_rc_t ngx_d4_objects_path(ngx_d4_objects_t *o,
    const char *path);
static void ngx_d4_objects_read(ngx_d4_objects_at_t *at, void *p, size_t len);


void
ngx_d4_objects_init(ngx_d4_objects_t *o, ngx_d4_dispatch_t *d)
{
    o->lines = &d->lines;
    o->nlines = d->nlines;
    o->handler = d->handler;
    o->level = (int) ngx_d4_worker.conf->compress_level;

    /* repeated, it comes to the same directory */

    ngx_d4_dispatch_time(d->lines_at, &o->tm);

    o->meta.uuid = d->hex;
    o->meta.tm = &o->tm;
    o->meta.extension = d4_meta_extension(d->meta);
    o->meta.compress = d4_meta_compress(d->meta) ? 1 : 0;
    o->meta.shared = d4_meta_segregate(d->meta) ? 0 : 1;
}


d4_store_rc_t
ngx_d4_objects_write(ngx_d4_objects_t *o, const d4_store_t *store,
    ngx_uint_t sync)
{
    char                   *line, *p;
    size_t                  size;
    uint64_t                len;
    ngx_uint_t              i;
    d4_store_rc_t           rc;
    ngx_d4_objects_at_t     at;
    ngx_d4_objects_line_t   l;

    l.objects = o;
    l.store = store;
    l.sync = sync;

    at.block = o->lines->first;
    at.pos = 0;

    line = NULL;
    size = 0;
    rc = D4_STORE_OK;

    for (i = 0; i < o->nlines && rc == D4_STORE_OK; i++) {

        ngx_d4_objects_read(&at, &len, sizeof(len));

        if (len > size) {
            p = realloc(line, (size_t) len);

            if (p == NULL) {
                rc = D4_STORE_LIMIT;
                break;
            }

            line = p;
            size = (size_t) len;
        }

        ngx_d4_objects_read(&at, line, (size_t) len);

        rc = ngx_d4_objects_line(o, &l, line, (size_t) len);
    }

    free(line);

    return rc;
}


static d4_store_rc_t
ngx_d4_objects_line(ngx_d4_objects_t *o, ngx_d4_objects_line_t *l,
    const char *line, size_t len)
{
    d4_handler_out_t  out;

    l->rc = D4_STORE_OK;
    l->taken = 0;
    l->path[0] = '\0';

    out.object = ngx_d4_objects_object;
    out.data = l;

    switch (d4_handler_line(o->handler, &o->meta, line, len, &out)) {

    case D4_HANDLER_DONE:
        break;

    case D4_HANDLER_REFUSED:
        ngx_d4_objects_error(o, out.reason);
        return ngx_d4_objects_path(o, "");

    case D4_HANDLER_STOPPED:
        return l->rc;

    default: /* D4_HANDLER_NOMEM */
        return D4_STORE_LIMIT;
    }

    if (out.skipped) {
        ngx_d4_objects_error(o, out.reason);
    }

    if (l->taken) {
        ngx_d4_objects_error(o, "the name of its file is taken");
    }

    return ngx_d4_objects_path(o, l->path);
}


static int
ngx_d4_objects_object(void *data, const d4_handler_object_t *obj)
{
    ngx_d4_objects_line_t  *l = data;

    int           level;
    const char   *path;
    d4_object_t   what;

    level = obj->gzip ? l->objects->level : 0;
    path = obj->path;

    l->rc = d4_object_write(l->store, path, obj->data, obj->len, level,
                            (int) l->sync, &what);

    /* a link or a directory of that name is none of ours either */

    if (obj->other != NULL
        && (l->rc == D4_STORE_UNSAFE
            || (l->rc == D4_STORE_OK && what == D4_OBJECT_DIFFERENT)))
    {
        path = obj->other;
        l->rc = d4_object_write(l->store, path, obj->data, obj->len, level,
                                (int) l->sync, &what);
    }

    if (l->rc != D4_STORE_OK) {
        return -1;
    }

    if (what == D4_OBJECT_DIFFERENT) {
        l->taken++;
        return 0;
    }

    if (obj->element) {
        (void) ngx_cpystrn((u_char *) l->path, (u_char *) path, D4_PATH_MAX);
    }

    return 0;
}


static void
ngx_d4_objects_error(ngx_d4_objects_t *o, const char *reason)
{
    if (o->errors++ == 0) {
        o->reason = reason;
    }
}


static d4_store_rc_t
ngx_d4_objects_path(ngx_d4_objects_t *o, const char *path)
{
    char    *p;
    size_t   n, size;

    n = strlen(path) + 1;

    if (n > o->size - o->len) {
        size = 2 * o->size + D4_PATH_MAX;

        p = realloc(o->paths, size);
        if (p == NULL) {
            return D4_STORE_LIMIT;
        }

        o->paths = p;
        o->size = size;
    }

    memcpy(o->paths + o->len, path, n);
    o->len += n;

    return D4_STORE_OK;
}


ngx_int_t
ngx_d4_objects_elements(ngx_d4_objects_t *o, ngx_d4_dispatch_t *d)
{
    int                   rc;
    char                 *p;
    u_char               *line, path[NGX_D4_DISK_PATH];
    uint64_t              len;
    ngx_uint_t            i, lines;
    ngx_d4_objects_at_t   at;

    if (o->nlines == 0) {
        return NGX_OK;
    }

    if (o->errors) {
        ngx_d4_dispatch_bad(d, o->reason, o->errors);
    }

    lines = ngx_d4_targets_lines(&d->targets);

    d4_words_free(&d->a);
    d4_words_free(&d->b);

    at.block = o->lines->first;
    at.pos = 0;
    p = o->paths;

    for (i = 0; i < o->nlines; i++) {

        if (*p && d4_words_add(&d->a, path, ngx_d4_disk_path(path, p)) != 0) {
            break;
        }

        p += strlen(p) + 1;

        if (!lines) {
            continue;
        }

        ngx_d4_objects_read(&at, &len, sizeof(len));

        line = ngx_alloc((size_t) len, ngx_d4_worker.log);

        if (line == NULL) {
            break;
        }

        ngx_d4_objects_read(&at, line, (size_t) len);
        rc = d4_words_add(&d->b, line, (size_t) len);

        ngx_free(line);

        if (rc != 0) {
            break;
        }
    }

    return (i == o->nlines) ? NGX_OK : NGX_ERROR;
}


void
ngx_d4_objects_free(ngx_d4_objects_t *o)
{
    free(o->paths);
    o->paths = NULL;
}


static void
ngx_d4_objects_read(ngx_d4_objects_at_t *at, void *p, size_t len)
{
    u_char  *out = p;

    size_t  n;

    while (len) {

        while (at->pos == at->block->used) {
            at->block = at->block->next;
            at->pos = 0;
        }

        n = ngx_min(len, (size_t) (at->block->used - at->pos));

        ngx_memcpy(out, at->block->data + at->pos, n);

        at->pos += (uint32_t) n;
        out += n;
        len -= n;
    }
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Lines of extended types that become files of their own: the part of a disk
 * task that makes them.
 */


#ifndef _NGX_D4_OBJECTS_H_INCLUDED_
#define _NGX_D4_OBJECTS_H_INCLUDED_


#include "ngx_d4_dispatch.h"


#pragma GCC visibility push(hidden)


typedef struct {
    d4_blocks_t             *lines;    /* each: its length, its bytes */
    ngx_uint_t               nlines;
    const d4_handler_t      *handler;
    d4_handler_meta_t        meta;
    struct tm                tm;
    int                      level;

    char                    *paths;    /* one for each line, ended with a
                                          zero; empty: it gave none */
    size_t                   len;
    size_t                   size;
    ngx_uint_t               errors;
    const char              *reason;   /* of the first */
} ngx_d4_objects_t;


/* What a thread needs of d's step; nothing else of d is touched. */
void ngx_d4_objects_init(ngx_d4_objects_t *o, ngx_d4_dispatch_t *d);

/* In a thread.  It may be repeated, and comes to the same files. */
d4_store_rc_t ngx_d4_objects_write(ngx_d4_objects_t *o,
    const d4_store_t *store, ngx_uint_t sync);

/* Back in the worker: the elements of d's step.  NGX_ERROR: no memory. */
ngx_int_t ngx_d4_objects_elements(ngx_d4_objects_t *o, ngx_d4_dispatch_t *d);

void ngx_d4_objects_free(ngx_d4_objects_t *o);


#pragma GCC visibility pop

#endif /* _NGX_D4_OBJECTS_H_INCLUDED_ */

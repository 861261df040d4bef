
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Between the parts that show analyzer queues and that change them.
 */


#ifndef _NGX_HTTP_D4_QUEUE_H_INCLUDED_
#define _NGX_HTTP_D4_QUEUE_H_INCLUDED_


#include "ngx_http_d4_api.h"


#pragma GCC visibility push(hidden)


/* ngx_http_d4_queues.c */

/* The queue of the path; NGX_ERROR: was answered with 400. */
ngx_int_t ngx_http_d4_queue_id(ngx_http_d4_api_t *a, ngx_str_t *id);

/* Adds the key of a queue's list: with the extended type's name, not 254. */
void ngx_http_d4_queue_list_word(ngx_array_t *words, ngx_str_t *type,
    ngx_str_t *extended, ngx_str_t *id);

void ngx_http_d4_queue_get(ngx_http_d4_api_t *a);


/* ngx_http_d4_queue_edit.c: handlers, and the fields of their bodies */

void ngx_http_d4_queue_create(ngx_http_d4_api_t *a);
void ngx_http_d4_queue_update(ngx_http_d4_api_t *a);
void ngx_http_d4_queue_delete(ngx_http_d4_api_t *a);
void ngx_http_d4_queue_done(ngx_http_d4_api_t *a);

extern const d4_field_t  ngx_http_d4_queue_create_fields[];
extern const d4_field_t  ngx_http_d4_queue_update_fields[];


#pragma GCC visibility pop

#endif /* _NGX_HTTP_D4_QUEUE_H_INCLUDED_ */

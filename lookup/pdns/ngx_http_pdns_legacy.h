
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The published analyzer's database beside the store: ngx_http_pdns_legacy.c
 * reads all that it holds of one key, ngx_http_pdns_overlay.c puts that and
 * the records of the store into one order.
 */


#ifndef _NGX_HTTP_PDNS_LEGACY_H_INCLUDED_
#define _NGX_HTTP_PDNS_LEGACY_H_INCLUDED_


#include "ngx_http_pdns.h"


#pragma GCC visibility push(hidden)


/* A record of it, its spellings made one. */

struct ngx_http_pdns_before_s {
    ngx_str_t                  raw;    /* as the store's key would hold it */
    ngx_str_t                  name;
    ngx_str_t                  member;
    ngx_str_t                  rdata;
    uint64_t                   first;
    uint64_t                   last;
    uint64_t                   count;
    uint16_t                   type;
    unsigned                   taken:1; /* it is in the answer, or cannot be */
};


typedef struct {
    char                       letter; /* r or v */
    pdns_str_t                 text;   /* the name, or the data */
    uint16_t                   type;
    ngx_str_t                  cursor; /* of SSCAN; empty: at its end */
} ngx_http_pdns_set_t;


typedef struct {
    ngx_http_pdns_set_t       *set;
    ngx_str_t                  text;
} ngx_http_pdns_member_t;


struct ngx_http_pdns_overlay_s {
    ngx_http_pdns_leaf_t      *leaf;     /* whose records these are; or NULL */
    ngx_pool_t                *pool;
    ngx_array_t               *probes;   /* of leaves that are asked about */
    ngx_array_t                sets;     /* of ngx_http_pdns_set_t */
    ngx_uint_t                 set;      /* the first of those being read */
    ngx_uint_t                 total;
    size_t                     held;
    ngx_array_t               *members;  /* at hand */
    ngx_array_t                records;  /* by their raw member */
    ngx_http_pdns_before_t   **order;    /* and by their place */
    pdns_cursor_t              start;    /* the records behind it are next */
    ngx_array_t               *between;  /* of pointers to them */
    unsigned                   over:1;   /* more than may be read */
};


/* All that it holds of o->leaf is in o->records. */
void ngx_http_pdns_overlay_begin(ngx_http_pdns_ctx_t *ctx);


#pragma GCC visibility pop

#endif /* _NGX_HTTP_PDNS_LEGACY_H_INCLUDED_ */

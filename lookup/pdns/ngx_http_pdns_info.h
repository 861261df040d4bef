
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Figures of the store and of what goes into it: ngx_http_pdns_info.c asks for
 * them and answers "info", ngx_http_pdns_metrics.c writes the text that
 * "pdns_metrics" answers.
 */


#ifndef _NGX_HTTP_PDNS_INFO_H_INCLUDED_
#define _NGX_HTTP_PDNS_INFO_H_INCLUDED_


#include "ngx_http_pdns.h"


#pragma GCC visibility push(hidden)


#define NGX_HTTP_PDNS_TOP  100         /* sensors that are told of */


typedef struct {
    ngx_str_t                  name;
    uint64_t                   n;
    time_t                     time;   /* of a queue's length */
} ngx_http_pdns_figure_t;


typedef struct {
    ngx_http_request_t        *request;
    ngx_http_pdns_pipe_t      *pipe;
    uint64_t                   lines[PDNS_RESULTS];
    ngx_str_t                  samples[PDNS_RESULTS];
    ngx_array_t                sensors;   /* of ngx_http_pdns_figure_t */
    ngx_array_t                queues;
    uint64_t                   all;       /* sensors */
    uint64_t                   recent;    /* lines, of some seconds */
    uint64_t                   records;
    uint64_t                   names;
    uint64_t                   errors;
    uint64_t                   memory;
    uint64_t                   maxmemory;
    unsigned                   metrics:1; /* not as JSON */
} ngx_http_pdns_about_t;


/* Lines that were refused, by all reasons. */
uint64_t ngx_http_pdns_about_rejected(ngx_http_pdns_about_t *about);

/* Answers with the figures; up 0: the store could not be asked. */
ngx_int_t ngx_http_pdns_metrics_answer(ngx_http_pdns_about_t *about,
    ngx_uint_t up);


#pragma GCC visibility pop

#endif /* _NGX_HTTP_PDNS_INFO_H_INCLUDED_ */

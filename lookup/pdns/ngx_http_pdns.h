
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Passive DNS over HTTP: what the files of the module share.
 *
 * ngx_http_pdns_module.c   directives, life of a worker, which handler
 * ngx_http_pdns_request.c  from a URI to what is asked for
 * ngx_http_pdns_lookup.c   a lookup from its start to its end
 * ngx_http_pdns_args.c     its arguments and headers
 * ngx_http_pdns_start.c    which keys and ranges of keys a value stands for
 * ngx_http_pdns_walk.c     the keys of those ranges
 * ngx_http_pdns_export.c   the keys of everything
 * ngx_http_pdns_read.c     the records of keys
 * ngx_http_pdns_large.c    those of large keys, in pieces
 * ngx_http_pdns_detail.c   what is not known of them yet
 * ngx_http_pdns_output.c   the answer, at the client's pace
 * ngx_http_pdns_page.c     its header, and where the next page begins
 * ngx_http_pdns_reply.c    short answers: errors
 * ngx_http_pdns_info.c     figures, ngx_http_pdns_metrics.c for Prometheus
 * ngx_http_pdns_pipe.c     pipelines of commands to the store
 * ngx_http_pdns_store.c    the writer of a worker
 * ngx_http_pdns_stat.c     what it counts
 * ngx_http_pdns_ingest.c   records that are posted
 * ngx_http_pdns_queue.c    records from queues
 * ngx_http_pdns_lease.c    the turn of one worker of all
 * ngx_http_pdns_sweep.c    the end of old records, with ngx_http_pdns_remove.c
 * ngx_http_pdns_legacy.c   what the published analyzer's database has of a key
 * ngx_http_pdns_overlay.c  put together with what the store has of it
 * ngx_http_pdns_range.c    the addresses of a network that either of them has
 * ngx_http_pdns_migrate.c  the published analyzer's database, taken over
 * ngx_http_pdns_errors.c   the end of error answers
 * ngx_http_pdns_bulk.c     a lookup for each of many values
 */


#ifndef _NGX_HTTP_PDNS_H_INCLUDED_
#define _NGX_HTTP_PDNS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_d4.h"
#include "ngx_d4_consume.h"
#include "pdns_batch.h"
#include "pdns_cof.h"
#include "pdns_cursor.h"
#include "pdns_extra.h"
#include "pdns_json.h"
#include "pdns_line.h"
#include "pdns_published.h"
#include "pdns_query.h"


#pragma GCC visibility push(hidden)


#define NGX_HTTP_PDNS_LEAVES   64      /* keys read in one pipeline */
#define NGX_HTTP_PDNS_CHUNK    1000    /* records of a large key in one */
#define NGX_HTTP_PDNS_MAX      1000000 /* records of one DNSDB answer */
#define NGX_HTTP_PDNS_OFFSET   3000000 /* and those left out before it */


typedef struct {
    ngx_uint_t                 type;   /* 0: all others */
    time_t                     ttl;
} ngx_http_pdns_retention_t;


typedef struct {
    ngx_array_t               *retention; /* of ngx_http_pdns_retention_t */
    ngx_msec_t                 sweep;
    ngx_array_t               *queues;    /* of ngx_str_t: keys */
    ngx_array_t               *excludes;  /* of ngx_str_t: substrings */
    ngx_array_t               *only;      /* of ngx_uint_t: types kept */
    ngx_flag_t                 right;
    ngx_flag_t                 migrate;
    time_t                     errors;    /* kept for so long, 0: not */
    ngx_uint_t                 errors_max;   /* names with any */
    ngx_flag_t                 legacy;
    ngx_uint_t                 legacy_limit; /* records of a key */
    size_t                     memory;    /* of batches not yet written */
    ngx_msec_t                 flush;
    ngx_uint_t                 used;      /* "pdns on" stands somewhere */
} ngx_http_pdns_main_conf_t;


typedef struct {
    ngx_flag_t                 enable;
    ngx_flag_t                 ingest;
    ngx_flag_t                 export;
    ngx_flag_t                 metrics;
    ngx_uint_t                 limit;
    ngx_uint_t                 bulk;
    size_t                     buffer;
    ngx_str_t                  origin;
} ngx_http_pdns_loc_conf_t;


/* A pipeline of commands, and who wants the replies. */

typedef struct ngx_http_pdns_pipe_s  ngx_http_pdns_pipe_t;

typedef void (*ngx_http_pdns_reply_pt)(void *data, ngx_uint_t i,
    redisReply *reply);

/* ok 0: the connection was lost, or an error was among the replies. */
typedef void (*ngx_http_pdns_done_pt)(void *data, ngx_uint_t ok);

struct ngx_http_pdns_pipe_s {
    pdns_resp_t                w;
    d4_blocks_t                blocks;
    ngx_d4_redis_t            *rd;        /* the store's, unless set */
    ngx_uint_t                 replies;
    ngx_uint_t                 got;
    ngx_http_pdns_reply_pt     reply;
    ngx_http_pdns_done_pt      done;
    void                      *data;      /* NULL: nobody any more */
    unsigned                   failed:1;
};


/* The connections of a worker. */

typedef struct {
    ngx_d4_redis_t            *lookup;
    ngx_d4_redis_t            *store;
    ngx_d4_redis_t            *legacy;    /* or NULL */
    d4_pool_t                  pool;
    ngx_http_pdns_main_conf_t *conf;
    ngx_log_t                 *log;
} ngx_http_pdns_worker_t;

extern ngx_http_pdns_worker_t  ngx_http_pdns_worker;
extern ngx_module_t            ngx_http_pdns_module;


ngx_http_pdns_pipe_t *ngx_http_pdns_pipe(void);

/*
 * Sends what was written to pipe->w; the pipe is the module's from here on.
 * NGX_ERROR: the store is down or there is no memory; the pipe is gone.
 */
ngx_int_t ngx_http_pdns_pipe_send(ngx_http_pdns_pipe_t *pipe,
    ngx_http_pdns_reply_pt reply, ngx_http_pdns_done_pt done, void *data);

/* Neither of the handlers is called any more. */
void ngx_http_pdns_pipe_cancel(ngx_http_pdns_pipe_t *pipe);

/* A pipe that was not sent. */
void ngx_http_pdns_pipe_free(ngx_http_pdns_pipe_t *pipe);


/* A key whose records are wanted. */

typedef enum {
    NGX_HTTP_PDNS_OWNER = 0,           /* N: of name */
    NGX_HTTP_PDNS_TARGET,              /* R: of name */
    NGX_HTTP_PDNS_ADDR,                /* R: of addr */
    NGX_HTTP_PDNS_DATA                 /* R: of the digest of rdata */
} ngx_http_pdns_leaf_type_t;

typedef struct {
    ngx_http_pdns_leaf_type_t  type;
    pdns_name_t                name;
    u_char                     addr[16];
    size_t                     alen;
    ngx_str_t                  rdata;  /* DATA: its canonical text */
    u_char                     digest[PDNS_DIGEST];
    ngx_str_t                  query;  /* of bulk: what was asked, or empty */
    ngx_uint_t                 index;  /* of a few that are no range */
    unsigned                   resume:1;  /* ctx->from is in it */
    unsigned                   error:1;   /* OWNER: error answers, X: */
    unsigned                   probed:1;  /* pdns_legacy was asked */
    unsigned                   legacy:1;  /* and knows it */
    unsigned                   stored:1;  /* of a range: the store does */
} ngx_http_pdns_leaf_t;


typedef struct ngx_http_pdns_before_s   ngx_http_pdns_before_t;
typedef struct ngx_http_pdns_overlay_s  ngx_http_pdns_overlay_t;


typedef struct {
    ngx_str_t                  name;   /* canonical text of the owner */
    ngx_str_t                  raw;    /* member of its sorted set */
    ngx_str_t                  member; /* type and data */
    ngx_str_t                  rdata;  /* text; empty: not yet known */
    uint64_t                   first;
    uint64_t                   last;
    uint64_t                   count;
    uint64_t                   zone_first;
    uint64_t                   zone_last;
    ngx_str_t                  bailiwick;
    ngx_str_t                  sensor;
    ngx_str_t                  origin;
    u_char                     texts[3];  /* 1: that one is there */
    uint16_t                   type;
    unsigned                   known:1;   /* first and count are */
    unsigned                   extra:1;   /* E: holds more */
    ngx_http_pdns_leaf_t      *leaf;
    ngx_http_pdns_before_t    *before;    /* what pdns_legacy has of it */
} ngx_http_pdns_row_t;


/* A member of a sorted set as it was read. */

typedef struct {
    ngx_str_t                  member;
    int64_t                    score;
} ngx_http_pdns_item_t;


/* One level of what a wildcard or a network stands for: a range of a key. */

typedef struct {
    pdns_key_t                 key;
    ngx_str_t                  min;    /* as ZRANGEBYLEX has them */
    ngx_str_t                  max;
    u_char                     bound[2][PDNS_NAME_TEXT + 2];
    unsigned                   set:1;
    unsigned                   ended:1;
} ngx_http_pdns_level_t;


typedef struct {
    ngx_uint_t                 levels; /* 1 to 3, the last lists keys */
    ngx_http_pdns_level_t      level[3];
    ngx_str_t                  tag;    /* what level 3 lists is below it */
    u_char                     tag_data[PDNS_NAME_TEXT];
    ngx_str_t                  top;    /* a top-level domain */
    u_char                     top_data[PDNS_NAME_TEXT];
    ngx_array_t                outer;  /* of ngx_str_t: what level 2 listed */
    ngx_pool_t                *pool;   /* and their memory */
    ngx_uint_t                 next;   /* of them */
    ngx_uint_t                 asked;  /* how many are being listed */
    ngx_uint_t                 limit;  /* and how much of each at most */
    ngx_array_t               *lists;  /* of ngx_array_t: what is listed */
    ngx_str_t                  resume_top;   /* where the first of each */
    ngx_str_t                  resume_outer; /* level begins */
    ngx_str_t                  resume_inner;
    pdns_name_t                from;
    unsigned                   resume:1;
} ngx_http_pdns_walk_t;


typedef enum {
    NGX_HTTP_PDNS_COF = 0,
    NGX_HTTP_PDNS_SAF,                 /* DNSDB version 2 */
    NGX_HTTP_PDNS_DNSDB_1,
    NGX_HTTP_PDNS_BULK
} ngx_http_pdns_form_t;


typedef struct ngx_http_pdns_ctx_s  ngx_http_pdns_ctx_t;

typedef void (*ngx_http_pdns_step_pt)(ngx_http_pdns_ctx_t *ctx);


struct ngx_http_pdns_ctx_s {
    ngx_http_request_t        *request;
    ngx_http_pdns_loc_conf_t  *conf;
    ngx_http_pdns_pipe_t      *pipe;      /* on its way */
    ngx_http_pdns_step_pt      then;      /* what follows it */

    /* what is asked for */
    ngx_http_pdns_form_t       form;
    ngx_uint_t                 flags;     /* PDNS_COF_* */
    pdns_value_t               value;
    ngx_str_t                  text;      /* the value as it came */
    pdns_filter_t              filter;
    ngx_str_t                  origin;
    ngx_str_t                  bailiwick; /* DNSDB's filter */
    uint64_t                   limit;     /* records still wanted */
    uint64_t                   page;      /* and at the start */
    uint64_t                   offset;
    uint64_t                   max_count; /* of a summary; 0: none */
    ngx_str_t                  kept;      /* number of a cursor in the store */
    ngx_str_t                  scan;      /* where an export is */
    pdns_cursor_t             *from;      /* or NULL */
    unsigned                   capped:1;  /* limit is not the client's */
    unsigned                   paged:1;   /* it asked for pages */
    unsigned                   summarize:1;
    unsigned                   expand:1;
    unsigned                   expanded:1; /* for good: it has no pages */
    unsigned                   all:1;     /* an export */
    unsigned                   errors:1;  /* of error answers */
    unsigned                   oldest:1;  /* these come first */

    /* where it stands */
    ngx_http_pdns_walk_t      *walk;      /* NULL: one key, or a few */
    ngx_http_pdns_walk_t      *walk_data;
    ngx_pool_t                *pool;      /* of the keys that are read now */
    ngx_array_t                leaves;    /* of ngx_http_pdns_leaf_t */
    ngx_uint_t                 leaf;      /* the next of them to read */
    ngx_uint_t                 reading;   /* how many are being read */
    ngx_array_t               *heads;     /* what was read of each */
    ngx_array_t               *asked;     /* rows that were asked about */
    ngx_uint_t                 most;      /* members read of each */
    ngx_uint_t                 width;     /* keys for the next step, least */
    ngx_pool_t                *row_pool;  /* of the records read last */
    ngx_array_t                rows;      /* of ngx_http_pdns_row_t */
    ngx_uint_t                 row;       /* the first not yet put out */
    ngx_uint_t                 row_end;   /* of those that are next */
    ngx_uint_t                 window;    /* how many they were, at most */
    ngx_uint_t                 detailed;  /* questions asked about them */
    ngx_http_pdns_leaf_t      *large;     /* a key that is read in pieces */
    pdns_cursor_t             *at;        /* and where */
    uint64_t                   low;       /* the place is between these */
    uint64_t                   high;      /* ranks; or at low, if equal */
    uint64_t                   equal;
    uint64_t                   start;     /* rank of the piece read */
    ngx_uint_t                 overlap;   /* ranks that may have moved */
    ngx_uint_t                 tries;
    int64_t                    rank;      /* of the member, -1: none */
    int64_t                    score;
    unsigned                   listed:1;  /* no more keys are to come */
    unsigned                   more:1;    /* than the limit */
    unsigned                   over:1;    /* all is read */

    ngx_http_pdns_overlay_t   *overlay;   /* of pdns_legacy, or NULL */
    unsigned                   partial:1; /* it has more than may be read */
    unsigned                   lost:1;    /* it cannot be reached */
    unsigned                   range:1;   /* a network asked one by one */
    ngx_uint_t                 range_next;

    ngx_array_t               *values;    /* of bulk: of ngx_str_t */
    ngx_uint_t                 nvalue;
    uint64_t                   left;      /* for the value at hand */
    ngx_str_t                  left_of;

    /* the summary */
    uint64_t                   results;
    uint64_t                   total;
    uint64_t                   time_first;
    uint64_t                   time_last;

    /* the answer */
    pdns_cursor_t             *last;      /* the last record that is in it */
    ngx_str_t                  number;    /* of the cursor */
    uint64_t                   there;     /* records on all pages; 0: ? */
    unsigned                   within:1;  /* the next is of the same second */
    ngx_chain_t               *out;
    ngx_chain_t              **tail;
    ngx_chain_t               *free;
    ngx_chain_t               *busy;
    ngx_buf_t                 *buf;
    size_t                     size;      /* buffered so far */
    unsigned                   sent:1;    /* the header is */
    unsigned                   begun:1;
    unsigned                   waiting:1; /* for the client */
    unsigned                   counted:1; /* those that are there */
};


/* A handler: NGX_DONE and a count taken, or a status. */
ngx_int_t ngx_http_pdns_lookup(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx);

/* Sends the pipe and goes on with then; on failure the request ends. */
void ngx_http_pdns_ask(ngx_http_pdns_ctx_t *ctx, ngx_http_pdns_pipe_t *pipe,
    ngx_http_pdns_reply_pt reply, ngx_http_pdns_step_pt then);

/*
 * How many records the page needs to be complete and to know of a next one;
 * and how many keys to look at for them, more with each step that finds less.
 */
uint64_t ngx_http_pdns_needed(ngx_http_pdns_ctx_t *ctx);
ngx_uint_t ngx_http_pdns_width(ngx_http_pdns_ctx_t *ctx);

/* The lookup goes on, or fails with a status. */
void ngx_http_pdns_next(ngx_http_pdns_ctx_t *ctx);
void ngx_http_pdns_fail(ngx_http_pdns_ctx_t *ctx, ngx_int_t status);


/* An export begins. */
void ngx_http_pdns_export(ngx_http_pdns_ctx_t *ctx);


/*
 * Sets out from the value, and a cursor if there is one.  NGX_ERROR, or
 * NGX_DECLINED: the cursor is none of this value.
 */
ngx_int_t ngx_http_pdns_walk_start(ngx_http_pdns_ctx_t *ctx);

/*
 * Asks for more keys; ctx->leaves has them when the lookup goes on.  NGX_DONE:
 * there are no more, and nothing was asked.
 */
ngx_int_t ngx_http_pdns_walk(ngx_http_pdns_ctx_t *ctx);

/*
 * The range of a level (ngx_http_pdns_start.c): one of its bounds, a mark and
 * a member; or all that begins with p, or all there is.
 */
void ngx_http_pdns_bound(ngx_http_pdns_level_t *level, ngx_uint_t high,
    u_char mark, u_char *p, size_t len);
void ngx_http_pdns_range(ngx_http_pdns_level_t *level, u_char *p, size_t len);


/* What a cursor calls a key, at most PDNS_NAME_TEXT bytes. */
size_t ngx_http_pdns_leaf_id(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_leaf_t *leaf, u_char *id);


/* Asks for records of the next keys; ctx->rows has them afterwards. */
void ngx_http_pdns_read(ngx_http_pdns_ctx_t *ctx);

/* Asks for what is not known of the next rows; NGX_DONE: all is known. */
ngx_int_t ngx_http_pdns_detail(ngx_http_pdns_ctx_t *ctx);

/* Reading itself (ngx_http_pdns_read.c, ngx_http_pdns_large.c). */
int64_t ngx_http_pdns_score(redisReply *reply);
uint64_t ngx_http_pdns_total(int64_t count, int64_t before);
void ngx_http_pdns_read_reply(void *data, ngx_uint_t i,
    redisReply *reply);
ngx_int_t ngx_http_pdns_read_rows(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_leaf_t *leaf, ngx_array_t *items);
ngx_int_t ngx_http_pdns_read_start(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_leaf_t *leaf, pdns_cursor_t *from);
void ngx_http_pdns_read_large(ngx_http_pdns_ctx_t *ctx);

/* 1 when the published database is asked as well. */
#define ngx_http_pdns_published(ctx)                                          \
    (ngx_http_pdns_worker.legacy != NULL && !(ctx)->all                       \
     && (!(ctx)->errors || ngx_http_pdns_worker.conf->errors != 0))

/* 1 when what a leaf has of this type and last time may be in the answer. */
ngx_uint_t ngx_http_pdns_wanted(ngx_http_pdns_ctx_t *ctx,
    ngx_http_pdns_leaf_t *leaf, uint16_t type, uint64_t last);

/* Rows of one key: put in order; or the names in them, with all they have. */
void ngx_http_pdns_rows_order(ngx_http_pdns_ctx_t *ctx, ngx_uint_t from);
ngx_int_t ngx_http_pdns_expand(ngx_http_pdns_ctx_t *ctx);


/*
 * The published analyzer's database beside the store (ngx_http_pdns_legacy.c,
 * ngx_http_pdns_overlay.c): a connection of each worker; which of the next
 * leaves it knows, after which they are read; the leaf at hand with what it
 * has of it, a piece at a time.
 */
ngx_int_t ngx_http_pdns_legacy_init(ngx_cycle_t *cycle);
void ngx_http_pdns_legacy_done(void);
ngx_http_pdns_pipe_t *ngx_http_pdns_legacy_pipe(void);
ngx_int_t ngx_http_pdns_overlay_create(ngx_http_pdns_ctx_t *ctx);
void ngx_http_pdns_legacy_probe(ngx_http_pdns_ctx_t *ctx);
void ngx_http_pdns_legacy_read(ngx_http_pdns_ctx_t *ctx);
void ngx_http_pdns_legacy_cleanup(ngx_http_pdns_ctx_t *ctx);

/* The row's numbers, as the store has them, with what was before. */
void ngx_http_pdns_overlay_add(ngx_http_pdns_row_t *row, int64_t count,
    int64_t before);

/*
 * A network of which each address is asked for (ngx_http_pdns_range.c): sets
 * ctx->range when the value is one, before it is walked through; its next
 * addresses, as ngx_http_pdns_walk().
 */
void ngx_http_pdns_range_start(ngx_http_pdns_ctx_t *ctx);
ngx_int_t ngx_http_pdns_range_list(ngx_http_pdns_ctx_t *ctx);

/* 1 when the key in ctx->large is one that is read so. */
ngx_uint_t ngx_http_pdns_overlay(ngx_http_pdns_ctx_t *ctx);
void ngx_http_pdns_overlay_read(ngx_http_pdns_ctx_t *ctx);
void ngx_http_pdns_overlay_piece(ngx_http_pdns_ctx_t *ctx);


/* The key of a leaf. */
void ngx_http_pdns_leaf_key(pdns_key_t *key, ngx_http_pdns_leaf_t *leaf);


/* Puts the next rows into the answer: NGX_OK, NGX_DONE: it is complete. */
ngx_int_t ngx_http_pdns_output_rows(ngx_http_pdns_ctx_t *ctx);

/*
 * Its header (ngx_http_pdns_page.c), of an answer that is there as a whole or
 * not; and before that the cursor's number, NGX_AGAIN: when it is kept,
 * ngx_http_pdns_output_end() is called again.
 */
ngx_int_t ngx_http_pdns_page_header(ngx_http_pdns_ctx_t *ctx,
    ngx_uint_t complete);
ngx_int_t ngx_http_pdns_page_keep(ngx_http_pdns_ctx_t *ctx);

/* Sends what is due.  NGX_AGAIN: the client is slow. */
ngx_int_t ngx_http_pdns_output_flush(ngx_http_pdns_ctx_t *ctx);

/* The end of the answer; ends the request. */
void ngx_http_pdns_output_end(ngx_http_pdns_ctx_t *ctx);

/* The end after a failure behind the header. */
void ngx_http_pdns_output_fail(ngx_http_pdns_ctx_t *ctx);


/*
 * Sends {"error":code,"message":text} with a status; returns what a handler
 * may return or finalize with.
 */
ngx_int_t ngx_http_pdns_error(ngx_http_request_t *r, ngx_uint_t status,
    const char *code, const char *text);

/* Sends JSON text (or another type) in one piece. */
ngx_int_t ngx_http_pdns_text(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, ngx_str_t *text);

/* Figures, as JSON and for Prometheus. */
ngx_int_t ngx_http_pdns_info(ngx_http_request_t *r);
ngx_int_t ngx_http_pdns_metrics(ngx_http_request_t *r);


/* The route of a request and what it asks for; the content handler. */
ngx_int_t ngx_http_pdns_handler(ngx_http_request_t *r);

/*
 * What the arguments ask for (ngx_http_pdns_args.c): NGX_DECLINED, or what the
 * handler is to return; and a value without its "%xx".
 */
ngx_int_t ngx_http_pdns_unescape(ngx_http_request_t *r,
    ngx_str_t *value);
ngx_int_t ngx_http_pdns_args(ngx_http_request_t *r,
    ngx_http_pdns_ctx_t *ctx);


/* A lookup for each line of the body, as ctx has it. */
ngx_int_t ngx_http_pdns_bulk(ngx_http_request_t *r, ngx_http_pdns_ctx_t *ctx);

/* Takes the lines of the body; answers when they are stored. */
ngx_int_t ngx_http_pdns_ingest(ngx_http_request_t *r);


/* The writer (ngx_http_pdns_store.c). */

typedef struct ngx_http_pdns_waiter_s  ngx_http_pdns_waiter_t;

/* What was taken before has been stored, or there is room. */
typedef void (*ngx_http_pdns_stored_pt)(void *data);

struct ngx_http_pdns_waiter_s {
    ngx_queue_t                queue;
    ngx_http_pdns_stored_pt    stored;
    void                      *data;
};

ngx_int_t ngx_http_pdns_store_init(ngx_cycle_t *cycle);
void ngx_http_pdns_store_done(void);

/* Takes one line of any kind; a result other than PDNS_OK is counted. */
pdns_result_t ngx_http_pdns_store_line(u_char *p, size_t len,
    ngx_str_t *sensor);

/*
 * Takes a record, if rc is PDNS_OK and it is wanted; counts what became of
 * it.
 */
void ngx_http_pdns_store_record(pdns_record_t *r, pdns_result_t rc);

/* Whether the configuration has this record kept. */
pdns_result_t ngx_http_pdns_store_wanted(pdns_record_t *r);

/*
 * Calls the waiter when all that was taken so far is in the store; with now,
 * it is written at once.
 */
void ngx_http_pdns_store_wait(ngx_http_pdns_waiter_t *w, ngx_uint_t now);

/*
 * 1 when more may be taken.  When it is 0: calls the waiter as soon as that
 * may have changed, which is well before all is stored.
 */
ngx_uint_t ngx_http_pdns_store_room(void);
void ngx_http_pdns_store_wait_room(ngx_http_pdns_waiter_t *w);

/* It waits no more, for either. */
void ngx_http_pdns_store_forget(ngx_http_pdns_waiter_t *w);


/*
 * The turn of one worker of all hosts (ngx_http_pdns_lease.c), known by a key;
 * init makes the connection, NGX_ERROR without memory.  Take asks for it, or
 * renews it, as ngx_d4_redis_command(); taken tells what the reply (or NULL)
 * says: 1, it is this worker's for 20 seconds.  Give ends it if it still is,
 * done is the end of the connection.
 */

typedef struct {
    const char                *key;
    u_char                     id[64];
    size_t                     id_len;
    unsigned                   held:1;
} ngx_http_pdns_lease_t;

ngx_int_t ngx_http_pdns_lease_init(ngx_cycle_t *cycle,
    ngx_http_pdns_lease_t *l, const char *key);
void ngx_http_pdns_lease_done(void);
ngx_int_t ngx_http_pdns_lease_take(ngx_http_pdns_lease_t *l,
    ngx_d4_reply_pt handler, void *data);
ngx_uint_t ngx_http_pdns_lease_taken(ngx_http_pdns_lease_t *l,
    redisReply *reply);
void ngx_http_pdns_lease_give(ngx_http_pdns_lease_t *l);


/* The published analyzer's database, taken over (ngx_http_pdns_migrate.c). */
ngx_int_t ngx_http_pdns_migrate_init(ngx_cycle_t *cycle);
void ngx_http_pdns_migrate_done(void);


/*
 * Counters (ngx_http_pdns_stat.c): what became of a line, which may be NULL; a
 * record of a sensor, at most PDNS_TEXT_MAX bytes; n more of a hash's field.
 */

#define NGX_HTTP_PDNS_SENSED  "H:sensors"
#define NGX_HTTP_PDNS_QUEUES  "H:queues"
#define NGX_HTTP_PDNS_RATE    "H:rate:"
#define NGX_HTTP_PDNS_SPAN    10       /* seconds that are counted together */
#define NGX_HTTP_PDNS_SPANS   6        /* of which the rate is the mean */

ngx_int_t ngx_http_pdns_stat_init(ngx_cycle_t *cycle);
void ngx_http_pdns_stat_done(void);
void ngx_http_pdns_stat_result(pdns_result_t rc, u_char *p, size_t len);
void ngx_http_pdns_stat_sensor(const char *id, size_t len);
void ngx_http_pdns_stat_count(const char *key, const char *field, uint64_t n);



/*
 * Seconds that records of a type are kept, 0: for ever; and their end
 * (ngx_http_pdns_sweep.c).
 */
time_t ngx_http_pdns_retention(ngx_uint_t type);
ngx_int_t ngx_http_pdns_sweep_init(ngx_cycle_t *cycle);
void ngx_http_pdns_sweep_exit(void);

/* Error answers that are too old or too many (ngx_http_pdns_errors.c). */
void ngx_http_pdns_errors_init(void);
void ngx_http_pdns_errors_exit(void);

/* Becomes a consumer of the queues (ngx_http_pdns_queue.c). */
ngx_int_t ngx_http_pdns_queue_init(void);

#pragma GCC visibility pop

#endif /* _NGX_HTTP_PDNS_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The REST API: one request from its route to its answer.
 *
 * A handler is called with a request that is authenticated, authorised and
 * whose body and arguments were checked.  It asks Redis with
 * ngx_http_d4_ask() and goes on in the function given to ngx_http_d4_wait(),
 * as often as it likes; it ends with exactly one answer.  When the client
 * leaves, no further step is called.
 */


#ifndef _NGX_HTTP_D4_API_H_INCLUDED_
#define _NGX_HTTP_D4_API_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_d4.h"
#include "api/d4_body.h"
#include "api/d4_out.h"
#include "api/d4_query.h"
#include "api/d4_secret.h"


#pragma GCC visibility push(hidden)


/* rights; a route needs one of them */
#define NGX_HTTP_D4_ADMIN        0x01
#define NGX_HTTP_D4_USER         0x02
#define NGX_HTTP_D4_VIEWER       0x04
#define NGX_HTTP_D4_REGISTER     0x08
#define NGX_HTTP_D4_ANYONE       0x00  /* no authentication at all */
#define NGX_HTTP_D4_KNOWN        0x0f  /* any of the roles */

/* roles as sets of rights */
#define NGX_HTTP_D4_ROLE_ADMIN   0x0f
#define NGX_HTTP_D4_ROLE_USER    0x0e

/* flags of a route */
#define NGX_HTTP_D4_NDJSON       0x01  /* the body is one */
#define NGX_HTTP_D4_QUIET        0x02  /* not in the audit log */
#define NGX_HTTP_D4_NO_BODY      0x04  /* a body is optional, and unread */
#define NGX_HTTP_D4_MATCHES      0x08  /* If-Match goes with its change */
#define NGX_HTTP_D4_IS_THERE     0x10  /* or holds for "*" only */

#define NGX_HTTP_D4_ASKS         64    /* in one step */


typedef struct ngx_http_d4_api_s  ngx_http_d4_api_t;

typedef void (*ngx_http_d4_pt)(ngx_http_d4_api_t *a);


/* A reply of Redis, copied into a->pool. */
typedef struct ngx_http_d4_reply_s  ngx_http_d4_reply_t;

struct ngx_http_d4_reply_s {
    int                      type;     /* REDIS_REPLY_* */
    int64_t                  integer;
    ngx_str_t                str;      /* zero-terminated, too */
    ngx_uint_t               n;
    ngx_http_d4_reply_t     *element;
};


typedef struct {
    ngx_uint_t               method;
    const char              *path;     /* below v1/, see d4_route_match() */
    ngx_uint_t               rights;
    ngx_uint_t               flags;
    ngx_http_d4_pt           handler;
    const d4_field_t        *fields;   /* of the body; NULL: it has none */
    const char              *args;     /* allowed arguments, with spaces */
} ngx_http_d4_route_t;


typedef struct {
    ngx_http_d4_api_t       *api;
    ngx_http_d4_reply_t     *reply;
    uint64_t                 asked;    /* us, of a monotonic clock */
    uint64_t                 took;
} ngx_http_d4_ask_t;


struct ngx_http_d4_api_s {
    ngx_http_request_t      *request;  /* NULL: it is gone */
    ngx_pool_t              *pool;     /* of the replies; see _forget() */
    const ngx_http_d4_route_t  *route;

    d4_text_t                params[D4_ROUTE_PARAMS];
    ngx_int_t                nparams;
    d4_arg_t                 args[D4_QUERY_ARGS];
    ngx_int_t                nargs;
    json_t                  *body;

    ngx_str_t                user;     /* e-mail; empty: nobody yet */
    ngx_uint_t               rights;
    ngx_uint_t               narrowed; /* the token has less than its user */
    ngx_str_t                token;    /* its hash, when a token was used */
    ngx_str_t                login;    /* hash of the cookie, when one was */
    ngx_str_t                address;  /* of the client, as text */

    ngx_http_d4_pt           next;
    ngx_uint_t               pending;  /* asks and tasks not answered */
    ngx_uint_t               nasks;
    ngx_http_d4_ask_t        asks[NGX_HTTP_D4_ASKS];
    ngx_http_d4_reply_t     *reply[NGX_HTTP_D4_ASKS];

    d4_out_t                 out;
    void                    *data;     /* the handler's own */
    ngx_http_d4_reply_t     *page;     /* of a list */
    int64_t                  number;   /* of the handler, too */
    void                    *stream;
    ngx_str_t                uuid;     /* the sensor's, when in the path */
    ngx_str_t                made;     /* a secret that was made, shown once */
    ngx_str_t                hash;     /* of a password */
    ngx_str_t                match;    /* If-Match, see ngx_http_d4_match() */
    ngx_str_t                none_match;
    ngx_str_t                state;    /* of what is sent */
    char                     uuid_hex[D4_UUID_HEX + 1];
    char                     uuid_dashed[D4_UUID_DASHED + 1];

    ngx_event_t              timer;    /* of ngx_http_d4_later() */
    ngx_event_t              guard;    /* of the whole */

    unsigned                 down:1;   /* a Redis was not there */
    unsigned                 refused:1;    /* a Redis said: not now */
    unsigned                 unmatched:1;  /* nor is it in that state */
    unsigned                 body_read:1;
    unsigned                 answered:1;
    unsigned                 header_sent:1;    /* of an answer of ours */
    unsigned                 streaming:1;
};


/* the main configuration, of the core half of the module */
typedef struct {
    ngx_flag_t               used;     /* there is a location of ours */
    ngx_thread_pool_t       *pool;     /* for bcrypt and disks */
    ngx_url_t               *webhook;  /* NULL: none */
    ngx_str_t                webhook_uri;
    ngx_str_t                webhook_host; /* with its port */
    ngx_str_t                webhook_name; /* without */
#if (NGX_SSL)
    ngx_ssl_t               *webhook_ssl;
#endif
    ngx_msec_t               monitor;  /* between rounds */
} ngx_http_d4_main_t;


typedef struct {
    ngx_flag_t               api;
    ngx_flag_t               insecure; /* without TLS, too */
    ngx_flag_t               health;
    ngx_uint_t               metrics;  /* 0, 1, 2: with sensors */
    size_t                   body;
    time_t                   login;    /* s a login lasts */
} ngx_http_d4_conf_t;


extern ngx_module_t  ngx_http_d4_module;
extern ngx_module_t  ngx_http_d4_core_module;

/* connections of this worker, by role */
extern ngx_d4_redis_t  *ngx_http_d4_redis[NGX_D4_REDIS_SERVER];

/* when this worker began, and how often a connection was lost */
extern time_t      ngx_http_d4_started;
extern ngx_uint_t  ngx_http_d4_lost[NGX_D4_REDIS_SERVER];

const char *ngx_http_d4_redis_role(ngx_uint_t role);
ngx_http_d4_main_t *ngx_http_d4_main(void);


/* Requests (ngx_http_d4_api.c). */

ngx_int_t ngx_http_d4_api_handler(ngx_http_request_t *r);

/* A location with one route and nothing to ask for who it is. */
ngx_int_t ngx_http_d4_serve(ngx_http_request_t *r,
    const ngx_http_d4_route_t *route);

/* The body is read, checked, and then the route's handler called. */
void ngx_http_d4_authorised(ngx_http_d4_api_t *a);


/* What it says (ngx_http_d4_request.c). */

/* The value of an argument, or NULL; of a header, or NULL. */
d4_arg_t *ngx_http_d4_arg(ngx_http_d4_api_t *a, const char *name);
ngx_str_t *ngx_http_d4_header(ngx_http_request_t *r, const char *name);

/*
 * A number among the arguments; NGX_ERROR: was answered with 400.  Without
 * the argument *n stays.
 */
ngx_int_t ngx_http_d4_arg_number(ngx_http_d4_api_t *a, const char *name,
    int64_t min, int64_t max, int64_t *n);

/* The argument is one of the words (NULL at the end); the same answers. */
ngx_int_t ngx_http_d4_arg_word(ngx_http_d4_api_t *a, const char *name,
    const char *const *words, ngx_uint_t *index);

/*
 * The id of the entry that a page of a stream ended with, as the end of the
 * next one: "(id", or "+" without the argument; the same answers.
 */
ngx_int_t ngx_http_d4_arg_entry(ngx_http_d4_api_t *a, const char *name,
    ngx_str_t *end);

/* A string with the text and a final zero, the request's; empty: no memory. */
ngx_str_t ngx_http_d4_copy(ngx_http_d4_api_t *a, const void *p, size_t len);

/* A member of the body as a string; len 0 and data NULL without it. */
ngx_str_t ngx_http_d4_member(ngx_http_d4_api_t *a, const char *name);

/* Sets a uuid (any form) as a->uuid; NGX_ERROR: was answered with 400. */
ngx_int_t ngx_http_d4_set_uuid(ngx_http_d4_api_t *a, const char *text,
    size_t len);


/* Redis (ngx_http_d4_ask.c). */

/*
 * Asks one Redis.  fmt is a command whose words are divided by single spaces
 * and in which %V is an ngx_str_t *, %s a string, %i an ngx_int_t, %L an
 * int64_t; what they stand for is never divided.
 */
void ngx_http_d4_ask(ngx_http_d4_api_t *a, ngx_uint_t role, const char *fmt,
    ...);

/* The same word by word: an array of ngx_str_t in a->pool, to be added to. */
ngx_array_t *ngx_http_d4_words(ngx_http_d4_api_t *a, const char *fmt, ...);
void ngx_http_d4_word(ngx_array_t *words, const void *p, size_t len);
void ngx_http_d4_word_number(ngx_array_t *words, int64_t n);
void ngx_http_d4_ask_words(ngx_http_d4_api_t *a, ngx_uint_t role,
    ngx_array_t *words);

/*
 * Calls next when all that was asked is answered: a->reply[i] is the answer
 * to the i-th question since the last wait.  None of them is an error: those
 * were answered with 503 or 500.
 */
void ngx_http_d4_wait(ngx_http_d4_api_t *a, ngx_http_d4_pt next);

/* Enters the request from an event of another; call with the step to do. */
void ngx_http_d4_enter(ngx_http_d4_api_t *a, ngx_http_d4_pt step);

/* Takes one of a->pending; frees a when it was the last of a dead request. */
ngx_uint_t ngx_http_d4_gone(ngx_http_d4_api_t *a);

/* Calls next after so many milliseconds. */
void ngx_http_d4_later(ngx_http_d4_api_t *a, ngx_msec_t ms,
    ngx_http_d4_pt next);

/* Gives back the memory of all replies so far. */
void ngx_http_d4_forget(ngx_http_d4_api_t *a);

/* Publishes on d4:control, as part of the step. */
void ngx_http_d4_announce(ngx_http_d4_api_t *a, const char *verb,
    ngx_str_t *argument);

/* Runs work(data) in a thread, then next(a); data is the caller's. */
typedef void (*ngx_http_d4_work_pt)(void *data);
typedef struct ngx_http_d4_task_s  ngx_http_d4_task_t;

/*
 * Room of size bytes (zeroed) for the work, kept until it is done, even if
 * the request is gone; wiped then.  NULL: no memory.
 */
void *ngx_http_d4_task(ngx_http_d4_api_t *a, size_t size);
void ngx_http_d4_run(ngx_http_d4_api_t *a, void *data,
    ngx_http_d4_work_pt work, ngx_http_d4_pt next);


/* Answers (ngx_http_d4_send.c). */

/* What a->out holds, as JSON. */
void ngx_http_d4_send(ngx_http_d4_api_t *a, ngx_uint_t status);

/* The same of another type; the text of type must stay. */
void ngx_http_d4_send_type(ngx_http_d4_api_t *a, ngx_uint_t status,
    const char *type);

/* {"status":"error","reason":...}; fmt as in printf(). */
void ngx_http_d4_error(ngx_http_d4_api_t *a, ngx_uint_t status,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* 412 (ngx_http_d4_match.c) */
void ngx_http_d4_unmatched(ngx_http_d4_api_t *a);

/* {"status":"success"} */
void ngx_http_d4_success(ngx_http_d4_api_t *a);

/* A header of the answer, copied. */
void ngx_http_d4_set_header(ngx_http_d4_api_t *a, const char *name,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * Streaming: begin sends the header; then each piece (what a->out holds) is
 * sent and next called when there is room again; end closes it, truncated
 * (so that the client sees it) if whole is 0.
 */
ngx_int_t ngx_http_d4_stream_begin(ngx_http_d4_api_t *a, const char *type);
void ngx_http_d4_stream_piece(ngx_http_d4_api_t *a, ngx_http_d4_pt next);
void ngx_http_d4_stream_end(ngx_http_d4_api_t *a, ngx_uint_t whole);


/* Who it is (ngx_http_d4_auth.c, ngx_http_d4_login.c). */

void ngx_http_d4_authenticate(ngx_http_d4_api_t *a);

/* Something was changed: whoever comes next is asked about. */
void ngx_http_d4_auth_forget(void);

/* Counts a failure of this address and answers 401, or 429. */
void ngx_http_d4_auth_failed(ngx_http_d4_api_t *a);

/* Rights of a role, by name; 0: there is no such role.  And the reverse. */
ngx_uint_t ngx_http_d4_role(const char *name, size_t len);
const char *ngx_http_d4_role_name(ngx_uint_t rights);


/* Who did what (ngx_http_d4_audit.c); target may be NULL. */

void ngx_http_d4_audit(ngx_http_d4_api_t *a, ngx_uint_t status);


/* Writing what Redis said (ngx_http_d4_json.c); nil becomes null. */

void ngx_http_d4_json_string(d4_out_t *o, const char *key,
    ngx_http_d4_reply_t *reply);
void ngx_http_d4_json_number(d4_out_t *o, const char *key,
    ngx_http_d4_reply_t *reply);
void ngx_http_d4_json_dash(d4_out_t *o, const char *key,
    ngx_http_d4_reply_t *reply);           /* "-" becomes null, too */
void ngx_http_d4_json_strings(d4_out_t *o, const char *key,
    ngx_http_d4_reply_t *reply);

/* The number in a string or integer, or none. */
int64_t ngx_http_d4_number(ngx_http_d4_reply_t *reply, int64_t none);

/* The value of a field in the flat array of HGETALL, or NULL. */
ngx_http_d4_reply_t *ngx_http_d4_field(ngx_http_d4_reply_t *reply,
    const char *name);

/* "next": the cursor of a scan, or null when it is over. */
void ngx_http_d4_json_scan(d4_out_t *o, ngx_http_d4_reply_t *cursor);

/* What a type is called. */
const char *ngx_http_d4_type_name(ngx_uint_t type);

/* A day as "2026-11-25". */
void ngx_http_d4_json_day(d4_out_t *o, const char *key, unsigned day);

/* Today, and the range of days of the arguments from and to. */
unsigned ngx_http_d4_today(void);
ngx_int_t ngx_http_d4_days(ngx_http_d4_api_t *a, unsigned *from,
    unsigned *to, ngx_uint_t *n);


/* Routes of the parts; each table ends with a NULL path. */

extern const ngx_http_d4_route_t  *const ngx_http_d4_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_list_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_sensor_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_sensor_part_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_action_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_bulk_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_type_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_block_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_queue_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_stat_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_user_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_token_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_login_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_server_routes[];
extern const ngx_http_d4_route_t  ngx_http_d4_monitor_routes[];


#pragma GCC visibility pop

#endif /* _NGX_HTTP_D4_API_H_INCLUDED_ */

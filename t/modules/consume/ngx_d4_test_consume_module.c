
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Consumes lists into files, for tests of the consuming API.
 *
 *     test_consume LIST FILE [elements=N] [bytes=SIZE] [blocks=N]
 *                  [delay=TIME] [nack=N] [reverse] [wake=LIST];
 *
 * Each worker appends what it got to FILE.<pid> as "<length>:<element>\n"
 * after the delay, then acknowledges the block.  nack: the first N times that
 * blocks are due they are given back instead.  reverse: when the timer ends
 * all blocks are due, and the newest is acknowledged first.  wake: after each
 * block says that something was pushed to that list.  What it learns of its
 * blocks is in the error log: "consume test: ...".
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_d4_consume.h"


typedef struct {
    uint64_t                  token;
    size_t                    len;
    u_char                   *data;
} ngx_d4_test_block_t;


typedef struct {
    void                     *reserved;
    void                     *unused[2];

    /* event ident must be after 3 pointers as in ngx_connection_t */
    ngx_int_t                 ident;

    ngx_d4_consume_conf_t     conf;
    ngx_str_t                 file;
    ngx_msec_t                delay;
    ngx_int_t                 nack;
    ngx_uint_t                reverse;
    ngx_str_t                 wake;

    ngx_d4_consumer_t        *consumer;
    ngx_fd_t                  fd;
    ngx_event_t               timer;
    ngx_uint_t                nblocks;
    ngx_d4_test_block_t       blocks[NGX_D4_CONSUME_BLOCKS];
} ngx_d4_test_consume_t;


typedef struct {
    ngx_array_t               consumers;   /* ngx_d4_test_consume_t * */
} ngx_d4_test_conf_t;


static void ngx_d4_test_block(void *data, uint64_t token,
    ngx_str_t *elements, ngx_uint_t n);
static void ngx_d4_test_acked(void *data, uint64_t token, ngx_uint_t lost);
static void ngx_d4_test_due(ngx_event_t *ev);
static void ngx_d4_test_end(ngx_d4_test_consume_t *t, ngx_uint_t i);
static ngx_int_t ngx_d4_test_init_process(ngx_cycle_t *cycle);
static void *ngx_d4_test_create_conf(ngx_cycle_t *cycle);
static char *ngx_d4_test_consume(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_d4_test_parameter(ngx_conf_t *cf, ngx_d4_test_consume_t *t,
    ngx_str_t *value);


static ngx_command_t  ngx_d4_test_commands[] = {

    { ngx_string("test_consume"),
      NGX_MAIN_CONF|NGX_DIRECT_CONF|NGX_CONF_2MORE,
      ngx_d4_test_consume,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_core_module_t  ngx_d4_test_consume_module_ctx = {
    ngx_string("d4_test_consume"),
    ngx_d4_test_create_conf,
    NULL
};


ngx_module_t  ngx_d4_test_consume_module = {
    NGX_MODULE_V1,
    &ngx_d4_test_consume_module_ctx,       /* module context */
    ngx_d4_test_commands,                  /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_d4_test_init_process,              /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void
ngx_d4_test_block(void *data, uint64_t token, ngx_str_t *elements,
    ngx_uint_t n)
{
    ngx_d4_test_consume_t  *t = data;

    size_t                len;
    u_char               *p;
    ngx_uint_t            i;
    ngx_d4_test_block_t  *b;

    len = 0;

    for (i = 0; i < n; i++) {
        len += NGX_SIZE_T_LEN + sizeof(":\n") - 1 + elements[i].len;
    }

    p = ngx_alloc(len, ngx_cycle->log);
    if (p == NULL) {
        return;
    }

    b = &t->blocks[t->nblocks++];
    b->token = token;
    b->data = p;

    for (i = 0; i < n; i++) {
        p = ngx_sprintf(p, "%uz:", elements[i].len);
        p = ngx_cpymem(p, elements[i].data, elements[i].len);
        *p++ = LF;
    }

    b->len = p - b->data;

    if (t->delay == 0) {
        ngx_d4_test_due(&t->timer);
        return;
    }

    if (!t->timer.timer_set) {
        ngx_add_timer(&t->timer, t->delay);
    }

    if (t->nblocks < t->conf.blocks) {
        ngx_d4_consume_more(t->consumer);
    }
}


static void
ngx_d4_test_acked(void *data, uint64_t token, ngx_uint_t lost)
{
    if (lost) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "consume test: block %uL was lost", token);
    }
}


static void
ngx_d4_test_due(ngx_event_t *ev)
{
    ngx_uint_t              i;
    ngx_d4_test_consume_t  *t;

    t = ev->data;

    if (t->nack) {
        t->nack--;

        for (i = 0; i < t->nblocks; i++) {
            ngx_free(t->blocks[i].data);
        }

        t->nblocks = 0;

        ngx_d4_consume_nack(t->consumer);

    } else if (t->reverse) {

        while (t->nblocks) {
            ngx_d4_test_end(t, t->nblocks - 1);
        }

    } else {
        ngx_d4_test_end(t, 0);
    }

    if (t->nblocks) {
        ngx_add_timer(ev, t->delay);
    }

    ngx_d4_consume_more(t->consumer);
}


static void
ngx_d4_test_end(ngx_d4_test_consume_t *t, ngx_uint_t i)
{
    ngx_d4_test_block_t  b;

    b = t->blocks[i];
    t->nblocks--;

    ngx_memmove(&t->blocks[i], &t->blocks[i + 1],
                (t->nblocks - i) * sizeof(ngx_d4_test_block_t));

    if (ngx_write_fd(t->fd, b.data, b.len) != (ssize_t) b.len) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "consume test: write() failed");
    }

    ngx_free(b.data);

    if (t->wake.len) {
        ngx_d4_consume_wake(&t->wake);
    }

    if (ngx_d4_consume_ack(t->consumer, b.token) != NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "consume test: block %uL is lost", b.token);
    }
}


static ngx_int_t
ngx_d4_test_init_process(ngx_cycle_t *cycle)
{
    u_char                  *name;
    ngx_uint_t               i;
    ngx_d4_test_conf_t      *conf;
    ngx_d4_test_consume_t  **tests, *t;

    conf = (ngx_d4_test_conf_t *) ngx_get_conf(cycle->conf_ctx,
                                               ngx_d4_test_consume_module);

    tests = conf->consumers.elts;

    for (i = 0; i < conf->consumers.nelts; i++) {
        t = tests[i];

        t->consumer = ngx_d4_consume(&t->conf, t);
        if (t->consumer == NULL) {
            continue;
        }

        name = ngx_pnalloc(cycle->pool, t->file.len + NGX_INT64_LEN + 2);
        if (name == NULL) {
            return NGX_ERROR;
        }

        ngx_sprintf(name, "%V.%P%Z", &t->file, ngx_pid);

        t->fd = ngx_open_file(name, NGX_FILE_APPEND, NGX_FILE_CREATE_OR_OPEN,
                              NGX_FILE_DEFAULT_ACCESS);
        if (t->fd == NGX_INVALID_FILE) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                          "open(\"%s\") failed", name);
            return NGX_ERROR;
        }

        t->ident = -1;
        t->timer.handler = ngx_d4_test_due;
        t->timer.data = t;
        t->timer.log = cycle->log;
        t->timer.cancelable = 1;

        ngx_d4_consume_more(t->consumer);
    }

    return NGX_OK;
}


static void *
ngx_d4_test_create_conf(ngx_cycle_t *cycle)
{
    ngx_d4_test_conf_t  *conf;

    conf = ngx_pcalloc(cycle->pool, sizeof(ngx_d4_test_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&conf->consumers, cycle->pool, 4, sizeof(void *))
        != NGX_OK)
    {
        return NULL;
    }

    return conf;
}


static char *
ngx_d4_test_consume(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_d4_test_conf_t  *tcf = conf;

    ngx_str_t               *value;
    ngx_uint_t               i;
    ngx_d4_test_consume_t   *t, **tp;

    t = ngx_pcalloc(cf->pool, sizeof(ngx_d4_test_consume_t));
    tp = ngx_array_push(&tcf->consumers);

    if (t == NULL || tp == NULL) {
        return NGX_CONF_ERROR;
    }

    *tp = t;
    value = cf->args->elts;

    t->conf.list = value[1];
    t->conf.elements = 100;
    t->conf.bytes = 1024 * 1024;
    t->conf.blocks = 1;
    t->conf.block = ngx_d4_test_block;
    t->conf.acked = ngx_d4_test_acked;

    t->file = value[2];

    if (ngx_conf_full_name(cf->cycle, &t->file, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    for (i = 3; i < cf->args->nelts; i++) {
        if (ngx_d4_test_parameter(cf, t, &value[i]) != NGX_CONF_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_d4_test_parameter(ngx_conf_t *cf, ngx_d4_test_consume_t *t,
    ngx_str_t *value)
{
    ngx_int_t  n;
    ngx_str_t  s;

    s.data = (u_char *) ngx_strchr(value->data, '=');

    if (s.data == NULL) {
        t->reverse = (ngx_strcmp(value->data, "reverse") == 0);
        return t->reverse ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    s.data++;
    s.len = value->data + value->len - s.data;

    if (ngx_strncmp(value->data, "wake=", 5) == 0) {
        t->wake = s;
        n = NGX_OK;

    } else if (ngx_strncmp(value->data, "delay=", 6) == 0) {
        n = ngx_parse_time(&s, 0);
        t->delay = n;

    } else if (ngx_strncmp(value->data, "bytes=", 6) == 0) {
        n = ngx_parse_size(&s);
        t->conf.bytes = n;

    } else {
        n = ngx_atoi(s.data, s.len);

        if (ngx_strncmp(value->data, "elements=", 9) == 0) {
            t->conf.elements = n;

        } else if (ngx_strncmp(value->data, "blocks=", 7) == 0) {
            t->conf.blocks = n;

        } else if (ngx_strncmp(value->data, "nack=", 5) == 0) {
            t->nack = n;

        } else {
            return NGX_CONF_ERROR;
        }
    }

    return (n == NGX_ERROR) ? NGX_CONF_ERROR : NGX_CONF_OK;
}

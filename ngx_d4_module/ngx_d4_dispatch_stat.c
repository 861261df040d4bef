
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What the dispatcher has done, by type: for this host in the shared zone, and
 * for all of them and for each day in the hash d4:dispatch:<day> of metadata,
 * as <type>:<what>.  These are figures for people: what was counted when a
 * worker or Redis goes down at the wrong moment may be missing.
 */


#include "ngx_d4_dispatch.h"


#define NGX_D4_STAT_COMMANDS  64           /* a tick */


static const char  *ngx_d4_count_names[] = {
    "files", "bytes", "elements", "dropped", "errors", "rejected"
};


static uint64_t  ngx_d4_counts[256][NGX_D4_COUNT_N];
static u_char    ngx_d4_counts_set[256];
static ngx_uint_t  ngx_d4_counts_at;


void
ngx_d4_dispatch_count(ngx_uint_t type, ngx_d4_count_id_t what, uint64_t n)
{
    if (type == D4_TYPE_META) {
        type = D4_TYPE_EXTENDED;
    }

    if (n == 0 || type > 255) {
        return;
    }

    ngx_d4_counts[type][what] += n;
    ngx_d4_counts_set[type] = 1;

    (void) ngx_atomic_fetch_add(&ngx_d4_worker.shared->dispatch[type][what],
                                (ngx_atomic_int_t) n);
}


void
ngx_d4_dispatch_undone(ngx_d4_dispatch_t *d, uint64_t ms)
{
    d->undone = ms;

    if (d->session && d->session->node) {
        d->session->node->undone = (ngx_atomic_uint_t) ms;
    }
}


void
ngx_d4_dispatch_lagged(ngx_d4_dispatch_t *d)
{
    uint64_t         now, ms;
    ngx_uint_t       i, type;
    ngx_atomic_t    *lag;
    ngx_queue_t     *q;
    ngx_d4_input_t  *in;

    if (d->undone) {
        now = ngx_d4_now();
        ms = (now > d->undone) ? now - d->undone : 0;

        type = (d->type == D4_TYPE_META) ? D4_TYPE_EXTENDED : d->type;
        lag = ngx_d4_worker.shared->lag[type & 255];

        for (i = 0; ms > ngx_d4_lag_ms[i]; i++) { /* void */ }

        (void) ngx_atomic_fetch_add(&lag[i], 1);
        (void) ngx_atomic_fetch_add(&lag[NGX_D4_LAGS], (ngx_atomic_int_t) ms);
    }

    if (ngx_queue_empty(&d->input)) {
        ngx_d4_dispatch_undone(d, 0);
        return;
    }

    q = ngx_queue_head(&d->input);
    in = ngx_queue_data(q, ngx_d4_input_t, queue);

    ngx_d4_dispatch_undone(d, in->since);
}


void
ngx_d4_dispatch_stat_tick(void)
{
    u_char      key[sizeof("d4:dispatch:20260101")];
    u_char      field[NGX_INT_T_LEN + sizeof(":elements")];
    u_char      value[NGX_INT64_LEN];
    ngx_tm_t    tm;
    ngx_str_t   argv[4];
    ngx_uint_t  i, type, what, sent;

    if (!ngx_d4_redis_ready(ngx_d4_worker.metadata)) {
        return;
    }

    ngx_localtime(ngx_time(), &tm);

    ngx_str_set(&argv[0], "HINCRBY");
    ngx_d4_str(&argv[1], key,
               ngx_sprintf(key, "d4:dispatch:%04d%02d%02d", tm.ngx_tm_year,
                           tm.ngx_tm_mon, tm.ngx_tm_mday)
               - key);

    sent = 0;

    /* a tenth of the types each tick: each about once a second */

    for (i = 0; i < 26 && sent < NGX_D4_STAT_COMMANDS; i++) {
        type = ngx_d4_counts_at;
        ngx_d4_counts_at = (type + 1) % 256;

        if (!ngx_d4_counts_set[type]) {
            continue;
        }

        ngx_d4_counts_set[type] = 0;

        for (what = 0; what < NGX_D4_COUNT_N; what++) {

            if (ngx_d4_counts[type][what] == 0) {
                continue;
            }

            ngx_d4_str(&argv[2], field,
                       ngx_sprintf(field, "%ui:%s", type,
                                   ngx_d4_count_names[what])
                       - field);
            ngx_d4_str(&argv[3], value,
                       ngx_sprintf(value, "%uL", ngx_d4_counts[type][what])
                       - value);

            if (ngx_d4_redis_command(ngx_d4_worker.metadata, 4, argv, NULL,
                                     NULL)
                != NGX_OK)
            {
                ngx_d4_counts_set[type] = 1;
                return;
            }

            ngx_d4_counts[type][what] = 0;
            sent++;
        }
    }
}

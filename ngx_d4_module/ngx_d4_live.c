
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What other modules may see of the shared zone: copies in a form of its own,
 * so that the zone's layout stays inside the core.
 */


#include "ngx_d4_core.h"


#define NGX_D4_LIVE_MAX  64


static void ngx_d4_session_view(ngx_d4_session_view_t *v,
    ngx_d4_node_t *node);


ngx_uint_t
ngx_d4_session_list(uint32_t *cursor, ngx_d4_session_view_t *views,
    ngx_uint_t max)
{
    ngx_uint_t     i, n;
    ngx_d4_node_t  nodes[NGX_D4_LIVE_MAX];

    if (!ngx_d4_worker.active) {
        return 0;
    }

    n = ngx_d4_registry_read(cursor, nodes, ngx_min(max, NGX_D4_LIVE_MAX));

    for (i = 0; i < n; i++) {
        ngx_d4_session_view(&views[i], &nodes[i]);
    }

    return n;
}


ngx_uint_t
ngx_d4_session_find(const u_char *uuid, ngx_d4_session_view_t *views,
    ngx_uint_t max)
{
    ngx_uint_t     i, n;
    ngx_d4_node_t  nodes[NGX_D4_LIVE_MAX];

    if (!ngx_d4_worker.active) {
        return 0;
    }

    n = ngx_d4_registry_find(uuid, nodes, ngx_min(max, NGX_D4_LIVE_MAX));

    for (i = 0; i < n; i++) {
        ngx_d4_session_view(&views[i], &nodes[i]);
    }

    return n;
}


static void
ngx_d4_session_view(ngx_d4_session_view_t *v, ngx_d4_node_t *node)
{
    d4_uuid_hex((char *) v->uuid, node->uuid);

    ngx_memcpy(v->sid, node->sid, D4_SID);
    v->sid[D4_SID] = '\0';

    v->type = node->type;
    v->addr = node->addr;
    v->pid = node->pid;
    v->start = node->start;
    v->last = (time_t) node->last;
    v->frames = node->frames;
    v->bytes = node->bytes;
    v->undone = node->undone;
}


void
ngx_d4_session_totals(ngx_d4_totals_t *totals)
{
    ngx_uint_t        i;
    ngx_d4_shared_t  *shared;

    ngx_memzero(totals, sizeof(ngx_d4_totals_t));

    if (!ngx_d4_worker.active) {
        return;
    }

    shared = ngx_d4_worker.shared;

    totals->accepted = shared->accepted;
    totals->frames = shared->frames;
    totals->bytes = shared->bytes;
    totals->sessions = shared->nodes_used;
    totals->sessions_max = shared->nodes_max;
    totals->unlisted = shared->unlisted;

    for (i = 0; i < D4_END_N; i++) {
        totals->ends[i] = shared->ends[i];
    }
}


uint64_t
ngx_d4_dispatch_total(ngx_uint_t type, ngx_uint_t what)
{
    if (!ngx_d4_worker.active) {
        return 0;
    }

    return ngx_d4_worker.shared->dispatch[type][what];
}


const uint64_t  ngx_d4_lag_ms[NGX_D4_LAGS] = {
    10, 100, 500, 1000, 5000, 30000, 300000, UINT64_MAX
};


uint64_t
ngx_d4_dispatch_lag(ngx_uint_t type, uint64_t n[NGX_D4_LAGS])
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_D4_LAGS; i++) {
        n[i] = ngx_d4_worker.active ? ngx_d4_worker.shared->lag[type][i] : 0;
    }

    return ngx_d4_worker.active ? ngx_d4_worker.shared->lag[type][i] : 0;
}

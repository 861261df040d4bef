
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The shared zone: what every worker of this host must see of every session.
 *
 * All of it is allocated once, when the zone is made: the table of slots and
 * the links of two hash chains over them, by uuid and by sid.  Slots are known
 * by number, the links hold number + 1 so that zeroed memory is an empty
 * chain.  The zone stands at the same address in all processes of one nginx,
 * which is why it may hold pointers into itself, but no others.
 *
 * A zone is taken over at reload, together with the sessions that old workers
 * still have.  A new binary starts with a new zone.
 */


#include "ngx_d4_core.h"

#include <signal.h>


#define NGX_D4_ZONE_MAGIC    0x64345a31    /* "d4Z1" */
#define NGX_D4_ZONE_LAYOUT   3

#define NGX_D4_ZONE_LOOK     1024          /* slots looked at in one lock */
#define NGX_D4_ZONE_PIDS     NGX_MAX_PROCESSES


typedef struct {
    ngx_d4_shared_t          shared;       /* must be first */
    uint32_t                *uuid_head;
    uint32_t                *uuid_next;
    uint32_t                *sid_head;
    uint32_t                *sid_next;
} ngx_d4_table_t;


typedef struct {
    ngx_uint_t               n;
    ngx_pid_t                pid[NGX_D4_ZONE_PIDS];
    u_char                   gone[NGX_D4_ZONE_PIDS];
} ngx_d4_pids_t;


static ngx_int_t ngx_d4_registry_alloc(ngx_shm_zone_t *zone,
    ngx_slab_pool_t *shpool);
static void ngx_d4_registry_unlink(ngx_d4_table_t *table, uint32_t slot);
static void ngx_d4_registry_drop(uint32_t *head, uint32_t *next,
    uint32_t slot);
static void ngx_d4_registry_mark_all(ngx_d4_shared_t *shared);
static ngx_uint_t ngx_d4_registry_gone(ngx_d4_pids_t *pids, ngx_pid_t pid);


#define ngx_d4_registry_table()                                               \
    ((ngx_d4_table_t *) ngx_d4_worker.shared)

#define ngx_d4_registry_uuid_hash(table, uuid)                                \
    (ngx_murmur_hash2((u_char *) (uuid), D4_UUID_SIZE)                        \
     % (table)->shared.nodes_max)

#define ngx_d4_registry_sid_hash(table, sid)                                  \
    (ngx_murmur_hash2((u_char *) (sid), D4_SID) % (table)->shared.nodes_max)


ngx_int_t
ngx_d4_registry_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_d4_shared_t  *shared;
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;
    shared = data;

    if (shared == NULL && zone->shm.exists) {
        shared = shpool->data;
    }

    if (shared == NULL) {
        return ngx_d4_registry_alloc(zone, shpool);
    }

    if (shared->magic != NGX_D4_ZONE_MAGIC
        || shared->layout != NGX_D4_ZONE_LAYOUT)
    {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                      "d4 zone \"%V\" has another layout", &zone->shm.name);
        return NGX_ERROR;
    }

    zone->data = shared;

    return NGX_OK;
}


static ngx_int_t
ngx_d4_registry_alloc(ngx_shm_zone_t *zone, ngx_slab_pool_t *shpool)
{
    size_t            len;
    uint64_t          n;
    uint32_t         *links;
    ngx_d4_table_t   *table;
    ngx_d4_shared_t  *shared;

    shpool->log_nomem = 0;

    len = sizeof(" in d4 zone \"\"") + zone->shm.name.len;

    shpool->log_ctx = ngx_slab_alloc(shpool, len);
    if (shpool->log_ctx == NULL) {
        goto failed;
    }

    ngx_sprintf(shpool->log_ctx, " in d4 zone \"%V\"%Z", &zone->shm.name);

    /* an eighth is left for what joins the table later */

    n = zone->shm.size / 8 * 7
        / (sizeof(ngx_d4_node_t) + 4 * sizeof(uint32_t));
    n = ngx_min(n, NGX_MAX_INT32_VALUE);

    table = ngx_slab_calloc(shpool, sizeof(ngx_d4_table_t));
    links = ngx_slab_alloc(shpool, n * 4 * sizeof(uint32_t));

    if (table == NULL || links == NULL) {
        goto failed;
    }

    ngx_memzero(links, n * 4 * sizeof(uint32_t));

    table->uuid_head = links;
    table->uuid_next = links + n;
    table->sid_head = links + 2 * n;
    table->sid_next = links + 3 * n;

    /* slots are filled when they are taken: their pages stay untouched */

    shared = &table->shared;

    shared->nodes = ngx_slab_alloc(shpool, n * sizeof(ngx_d4_node_t));
    if (shared->nodes == NULL) {
        goto failed;
    }

    shared->magic = NGX_D4_ZONE_MAGIC;
    shared->layout = NGX_D4_ZONE_LAYOUT;
    shared->nodes_max = (uint32_t) n;

    shpool->data = shared;
    zone->data = shared;

    return NGX_OK;

failed:

    ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                  "d4 zone \"%V\" is too small", &zone->shm.name);

    return NGX_ERROR;
}


ngx_d4_node_t *
ngx_d4_registry_add(const u_char *uuid, ngx_uint_t type, const char *sid,
    d4_addr_t *addr)
{
    uint32_t          slot, *head;
    ngx_d4_node_t    *node;
    ngx_d4_table_t   *table;
    ngx_d4_shared_t  *shared;

    table = ngx_d4_registry_table();
    shared = &table->shared;

    ngx_shmtx_lock(&ngx_d4_worker.shpool->mutex);

    if (shared->nodes_free) {
        slot = shared->nodes_free - 1;
        shared->nodes_free = shared->nodes[slot].next;

    } else if (shared->nodes_top < shared->nodes_max) {
        slot = shared->nodes_top++;

    } else {
        ngx_shmtx_unlock(&ngx_d4_worker.shpool->mutex);
        return NULL;
    }

    node = &shared->nodes[slot];

    ngx_memzero(node, sizeof(ngx_d4_node_t));

    node->used = 1;
    node->pid = ngx_pid;
    node->start = ngx_time();
    node->last = (ngx_atomic_uint_t) ngx_time();
    node->leaving = (ngx_exiting != 0);
    node->type = (u_char) type;
    node->addr = *addr;

    ngx_memcpy(node->uuid, uuid, D4_UUID_SIZE);
    ngx_memcpy(node->sid, sid, D4_SID);

    head = &table->uuid_head[ngx_d4_registry_uuid_hash(table, node->uuid)];
    table->uuid_next[slot] = *head;
    *head = slot + 1;

    /* a slot in use is not in the free list: next is its chain */

    node->next = ngx_d4_registry_sid_hash(table, node->sid);

    head = &table->sid_head[node->next];
    table->sid_next[slot] = *head;
    *head = slot + 1;

    shared->nodes_used++;

    ngx_shmtx_unlock(&ngx_d4_worker.shpool->mutex);

    return node;
}


void
ngx_d4_registry_remove(ngx_d4_node_t *node)
{
    ngx_d4_table_t  *table;

    if (node == NULL) {
        return;
    }

    table = ngx_d4_registry_table();

    ngx_shmtx_lock(&ngx_d4_worker.shpool->mutex);

    ngx_d4_registry_unlink(table, (uint32_t) (node - table->shared.nodes));

    ngx_shmtx_unlock(&ngx_d4_worker.shpool->mutex);
}


static void
ngx_d4_registry_unlink(ngx_d4_table_t *table, uint32_t slot)
{
    uint32_t       *head;
    ngx_d4_node_t  *node;

    node = &table->shared.nodes[slot];

    head = &table->uuid_head[ngx_d4_registry_uuid_hash(table, node->uuid)];
    ngx_d4_registry_drop(head, table->uuid_next, slot);
    ngx_d4_registry_drop(&table->sid_head[node->next], table->sid_next, slot);

    node->used = 0;
    node->next = table->shared.nodes_free;

    table->shared.nodes_free = slot + 1;
    table->shared.nodes_used--;
}


static void
ngx_d4_registry_drop(uint32_t *head, uint32_t *next, uint32_t slot)
{
    while (*head) {

        if (*head == slot + 1) {
            *head = next[slot];
            return;
        }

        head = &next[*head - 1];
    }
}


void
ngx_d4_registry_rename(ngx_d4_node_t *node, const char *sid)
{
    uint32_t         slot, *head;
    ngx_d4_table_t  *table;

    table = ngx_d4_registry_table();
    slot = (uint32_t) (node - table->shared.nodes);

    ngx_shmtx_lock(&ngx_d4_worker.shpool->mutex);

    ngx_d4_registry_drop(&table->sid_head[node->next], table->sid_next, slot);

    ngx_memcpy(node->sid, sid, D4_SID);
    node->next = ngx_d4_registry_sid_hash(table, node->sid);

    head = &table->sid_head[node->next];
    table->sid_next[slot] = *head;
    *head = slot + 1;

    ngx_shmtx_unlock(&ngx_d4_worker.shpool->mutex);
}


ngx_uint_t
ngx_d4_registry_read(uint32_t *cursor, ngx_d4_node_t *nodes, ngx_uint_t max)
{
    uint32_t          slot, end;
    ngx_uint_t        n;
    ngx_d4_shared_t  *shared;

    shared = ngx_d4_worker.shared;
    slot = *cursor;
    n = 0;

    while (n < max && slot < shared->nodes_top) {

        ngx_shmtx_lock(&ngx_d4_worker.shpool->mutex);

        end = ngx_min(shared->nodes_top, slot + NGX_D4_ZONE_LOOK);

        while (n < max && slot < end) {

            if (shared->nodes[slot].used) {
                nodes[n++] = shared->nodes[slot];
            }

            slot++;
        }

        ngx_shmtx_unlock(&ngx_d4_worker.shpool->mutex);
    }

    *cursor = slot;

    return n;
}


ngx_uint_t
ngx_d4_registry_find(const u_char *uuid, ngx_d4_node_t *nodes, ngx_uint_t max)
{
    uint32_t          link;
    ngx_uint_t        n;
    ngx_d4_node_t    *node;
    ngx_d4_table_t   *table;

    table = ngx_d4_registry_table();
    n = 0;

    ngx_shmtx_lock(&ngx_d4_worker.shpool->mutex);

    link = table->uuid_head[ngx_d4_registry_uuid_hash(table, uuid)];

    while (link && n < max) {
        node = &table->shared.nodes[link - 1];

        if (ngx_memcmp(node->uuid, uuid, D4_UUID_SIZE) == 0) {
            nodes[n++] = *node;
        }

        link = table->uuid_next[link - 1];
    }

    ngx_shmtx_unlock(&ngx_d4_worker.shpool->mutex);

    return n;
}


void
ngx_d4_registry_mark(const u_char *uuid, const char *sid)
{
    uint32_t          link, *next;
    ngx_d4_node_t    *node;
    ngx_d4_table_t   *table;
    ngx_d4_shared_t  *shared;

    table = ngx_d4_registry_table();
    shared = &table->shared;

    if (uuid == NULL && sid == NULL) {
        ngx_d4_registry_mark_all(shared);
        return;
    }

    ngx_shmtx_lock(&ngx_d4_worker.shpool->mutex);

    if (uuid) {
        next = table->uuid_next;
        link = table->uuid_head[ngx_d4_registry_uuid_hash(table, uuid)];

    } else {
        next = table->sid_next;
        link = table->sid_head[ngx_d4_registry_sid_hash(table, sid)];
    }

    while (link) {
        node = &shared->nodes[link - 1];

        if ((sid == NULL || ngx_memcmp(node->sid, sid, D4_SID) == 0)
            && (uuid == NULL
                || ngx_memcmp(node->uuid, uuid, D4_UUID_SIZE) == 0))
        {
            node->recheck = 1;
        }

        link = next[link - 1];
    }

    ngx_shmtx_unlock(&ngx_d4_worker.shpool->mutex);

    /*
     * Moved even if nothing was marked: sessions without a slot, or on their
     * way to one, have to see it.
     */

    (void) ngx_atomic_fetch_add(&shared->generation, 1);
}


static void
ngx_d4_registry_mark_all(ngx_d4_shared_t *shared)
{
    uint32_t  slot, end;

    slot = 0;

    while (slot < shared->nodes_top) {

        ngx_shmtx_lock(&ngx_d4_worker.shpool->mutex);

        end = ngx_min(shared->nodes_top, slot + NGX_D4_ZONE_LOOK);

        for ( /* void */ ; slot < end; slot++) {
            shared->nodes[slot].recheck = 1;
        }

        ngx_shmtx_unlock(&ngx_d4_worker.shpool->mutex);
    }

    (void) ngx_atomic_fetch_add(&shared->generation, 1);
}


time_t
ngx_d4_registry_silent(const char *sid, size_t len, ngx_uint_t *leaving)
{
    time_t            silent;
    uint32_t          link;
    ngx_d4_node_t    *node;
    ngx_d4_table_t   *table;
    ngx_d4_shared_t  *shared;

    if (len != D4_SID) {
        return -1;
    }

    table = ngx_d4_registry_table();
    shared = &table->shared;
    silent = -1;

    ngx_shmtx_lock(&ngx_d4_worker.shpool->mutex);

    link = table->sid_head[ngx_d4_registry_sid_hash(table, sid)];

    while (link) {
        node = &shared->nodes[link - 1];

        if (ngx_memcmp(node->sid, sid, D4_SID) == 0) {
            silent = ngx_time() - (time_t) node->last;
            silent = ngx_max(silent, 0);

            if (node->leaving) {
                *leaving = 1;
            }

            break;
        }

        link = table->sid_next[link - 1];
    }

    ngx_shmtx_unlock(&ngx_d4_worker.shpool->mutex);

    return silent;
}


void
ngx_d4_registry_sweep(void)
{
    uint32_t          slot, end;
    ngx_d4_node_t    *node;
    ngx_d4_pids_t     pids;
    ngx_d4_table_t   *table;
    ngx_d4_shared_t  *shared;

    table = ngx_d4_registry_table();
    shared = &table->shared;
    pids.n = 0;
    slot = 0;

    while (slot < shared->nodes_top) {

        ngx_shmtx_lock(&ngx_d4_worker.shpool->mutex);

        end = ngx_min(shared->nodes_top, slot + NGX_D4_ZONE_LOOK);

        for ( /* void */ ; slot < end; slot++) {
            node = &shared->nodes[slot];

            if (node->used && ngx_d4_registry_gone(&pids, node->pid)) {
                ngx_d4_registry_unlink(table, slot);
            }
        }

        ngx_shmtx_unlock(&ngx_d4_worker.shpool->mutex);
    }
}


static ngx_uint_t
ngx_d4_registry_gone(ngx_d4_pids_t *pids, ngx_pid_t pid)
{
    ngx_uint_t  i;

    for (i = 0; i < pids->n; i++) {
        if (pids->pid[i] == pid) {
            return pids->gone[i];
        }
    }

    if (i == NGX_D4_ZONE_PIDS) {
        return 0;                          /* the next sweep sees to it */
    }

    pids->pid[i] = pid;
    pids->gone[i] = (kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH);
    pids->n++;

    return pids->gone[i];
}

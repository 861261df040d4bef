
#include "pdns_batch_core.h"
#include "pdns_error.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>


#define PDNS_CHUNK       65536
#define PDNS_TABLE       1024          /* places at the start, a power of 2 */
#define PDNS_EXTRAS      1000          /* of a record, in one batch */


static pdns_node_t *pdns_batch_name(pdns_batch_t *b, const pdns_name_t *name);
static int pdns_batch_group(pdns_batch_t *b, pdns_node_t *node,
    const pdns_name_t *name, const uint8_t *addr);
static pdns_node_t *pdns_batch_target(pdns_batch_t *b,
    const pdns_record_t *r);
static pdns_entry_t *pdns_batch_entry(pdns_batch_t *b, pdns_node_t *name,
    const uint8_t *m, size_t len);
static int pdns_batch_fill(pdns_batch_t *b, pdns_entry_t *e,
    const pdns_record_t *r);
static int pdns_batch_rest(pdns_batch_t *b, pdns_entry_t *e,
    const pdns_record_t *r);
static int pdns_batch_text(pdns_batch_t *b, pdns_entry_t *e, char kind,
    const pdns_str_t *text, uint64_t last);


pdns_batch_t *
pdns_batch_create(const uint64_t seed[2], int right)
{
    pdns_batch_t  *b;

    b = calloc(1, sizeof(pdns_batch_t));
    if (b == NULL) {
        return NULL;
    }

    b->seed[0] = seed[0];
    b->seed[1] = seed[1];
    b->right = right;
    b->life = 1;

    return b;
}


void
pdns_batch_free(pdns_batch_t *b)
{
    pdns_batch_reset(b);

    free(b->names.places);
    free(b->targets.places);
    free(b->entries.places);
    free(b->errors.places);
    free(b->groups.places);
    free(b->expect);
    free(b->counts);
    free(b);
}


static void
pdns_table_clear(pdns_table_t *t)
{
    if (t->used > 0) {
        memset(t->places, 0, t->size * sizeof(pdns_link_t *));
        t->used = 0;
    }
}


void
pdns_batch_reset(pdns_batch_t *b)
{
    pdns_chunk_t  *chunk;

    while (b->chunks != NULL) {
        chunk = b->chunks;
        b->chunks = chunk->next;
        free(chunk);
    }

    pdns_table_clear(&b->names);
    pdns_table_clear(&b->targets);
    pdns_table_clear(&b->entries);
    pdns_table_clear(&b->errors);
    pdns_table_clear(&b->groups);

    b->held = 0;
    b->again = 0;
    b->first_name = NULL;
    b->first_target = NULL;
    b->first_error = NULL;
    b->todo = NULL;
    b->added.records = 0;
    b->added.names = 0;

    pdns_batch_rewind(b);
}


size_t
pdns_batch_size(const pdns_batch_t *b)
{
    return b->entries.used + b->errors.used;
}


size_t
pdns_batch_held(const pdns_batch_t *b)
{
    return b->held;
}


void
pdns_batch_added(const pdns_batch_t *b, pdns_added_t *added)
{
    *added = b->added;
}


void *
pdns_alloc(pdns_batch_t *b, size_t size)
{
    void          *p;
    size_t         room;
    pdns_chunk_t  *chunk;

    size = (size + 7) & ~(size_t) 7;
    chunk = b->chunks;

    if (chunk == NULL || size > chunk->size - chunk->used) {
        room = PDNS_CHUNK - sizeof(pdns_chunk_t);

        if (room < size) {
            room = size;
        }

        chunk = malloc(sizeof(pdns_chunk_t) + room);
        if (chunk == NULL) {
            return NULL;
        }

        chunk->used = 0;
        chunk->size = room;
        chunk->next = b->chunks;
        b->chunks = chunk;
        b->held += sizeof(pdns_chunk_t) + room;
    }

    p = chunk->data + chunk->used;
    chunk->used += size;

    return p;
}


int
pdns_table_grow(pdns_table_t *t)
{
    size_t         i, size, place;
    pdns_link_t   *link, *next, **places;

    if (t->used < t->size) {
        return 0;
    }

    size = (t->size == 0) ? PDNS_TABLE : t->size * 2;

    places = calloc(size, sizeof(pdns_link_t *));
    if (places == NULL) {
        return -1;
    }

    for (i = 0; i < t->size; i++) {
        for (link = t->places[i]; link != NULL; link = next) {
            next = link->next;
            place = link->hash & (size - 1);
            link->next = places[place];
            places[place] = link;
        }
    }

    free(t->places);
    t->places = places;
    t->size = size;

    return 0;
}


void
pdns_table_put(pdns_table_t *t, pdns_link_t *link)
{
    size_t  place;

    place = link->hash & (t->size - 1);
    link->next = t->places[place];
    t->places[place] = link;
    t->used++;
}


int
pdns_batch_add(pdns_batch_t *b, const pdns_record_t *r)
{
    size_t         len;
    uint8_t        m[PDNS_MEMBER];
    pdns_node_t   *name;
    pdns_entry_t  *e;

    if (r->rcode.data != NULL) {
        return pdns_batch_error(b, r);
    }

    if (pdns_table_grow(&b->names) != 0
        || pdns_table_grow(&b->targets) != 0
        || pdns_table_grow(&b->entries) != 0
        || pdns_table_grow(&b->groups) != 0)
    {
        return -1;
    }

    name = pdns_batch_name(b, &r->name);
    if (name == NULL) {
        return -1;
    }

    len = pdns_member(m, &r->rdata);

    e = pdns_batch_entry(b, name, m, len);
    if (e == NULL) {
        return -1;
    }

    /* a failure leaves nothing that is not added again */

    if (pdns_batch_rest(b, e, r) != 0
        || (e->target == NULL && pdns_batch_fill(b, e, r) != 0))
    {
        return -1;
    }

    if (e->first == 0 || r->first < e->first) {
        e->first = r->first;
    }

    if (r->last > e->last) {
        e->last = r->last;
    }

    e->count += r->count;

    if (e->count > PDNS_COUNT_MAX) {
        e->count = PDNS_COUNT_MAX;
    }

    return 0;
}


static pdns_node_t *
pdns_batch_name(pdns_batch_t *b, const pdns_name_t *name)
{
    uint64_t       hash;
    pdns_link_t   *link;
    pdns_node_t   *node;

    hash = pdns_hash(b->seed, name->wire, name->len);

    for (link = b->names.places[hash & (b->names.size - 1)];
         link != NULL;
         link = link->next)
    {
        node = (pdns_node_t *) link;

        if (link->hash == hash && node->len == name->len
            && memcmp(node->data, name->wire, name->len) == 0)
        {
            return node;
        }
    }

    node = pdns_alloc(b, offsetof(pdns_node_t, data) + name->len);
    if (node == NULL) {
        return NULL;
    }

    memset(node, 0, offsetof(pdns_node_t, data));

    node->link.hash = hash;
    node->owner = 1;
    node->len = name->len;
    memcpy(node->data, name->wire, name->len);

    if (pdns_batch_group(b, node, name, NULL) != 0) {
        return NULL;
    }

    pdns_table_put(&b->names, &node->link);
    node->all = b->first_name;
    b->first_name = node;

    return node;
}


/*
 * The index that a node belongs to: of a name or, with addr, of the address
 * that its key is of.
 */

static int
pdns_batch_group(pdns_batch_t *b, pdns_node_t *node, const pdns_name_t *name,
    const uint8_t *addr)
{
    uint64_t       hash;
    unsigned       tag;
    pdns_key_t     key;
    pdns_link_t   *link;
    pdns_group_t  *group;

    tag = 0;

    if (addr != NULL) {
        pdns_key_bucket(&key, addr, node->alen);

    } else {
        tag = pdns_name_tag(name);
        pdns_key_below(&key, name, tag);
    }

    hash = pdns_hash(b->seed, key.data, key.len);

    for (link = b->groups.places[hash & (b->groups.size - 1)];
         link != NULL;
         link = link->next)
    {
        group = (pdns_group_t *) link;

        if (link->hash == hash && group->len == key.len
            && memcmp(group->data, key.data, key.len) == 0)
        {
            goto found;
        }
    }

    if (pdns_table_grow(&b->groups) != 0) {
        return -1;
    }

    group = pdns_alloc(b, sizeof(pdns_group_t) + key.len);
    if (group == NULL) {
        return -1;
    }

    memset(group, 0, sizeof(pdns_group_t));

    group->link.hash = hash;
    group->alen = (addr != NULL) ? node->alen : 0;
    group->tag = (uint8_t) tag;
    group->len = (uint16_t) key.len;
    memcpy(group->data, key.data, key.len);

    pdns_table_put(&b->groups, &group->link);

found:

    node->group = group;

    return 0;
}


static pdns_node_t *
pdns_batch_target(pdns_batch_t *b, const pdns_record_t *r)
{
    size_t         more;
    uint64_t       hash;
    pdns_key_t     key;
    pdns_link_t   *link;
    pdns_node_t   *node;

    pdns_key_rdata(&key, &r->rdata);

    hash = pdns_hash(b->seed, key.data, key.len);

    for (link = b->targets.places[hash & (b->targets.size - 1)];
         link != NULL;
         link = link->next)
    {
        node = (pdns_node_t *) link;

        if (link->hash == hash && node->len == key.len
            && memcmp(node->data, key.data, key.len) == 0)
        {
            return node;
        }
    }

    more = r->rdata.alen;

    if (more == 0 && r->rdata.named) {
        more = r->rdata.name.len;
    }

    node = pdns_alloc(b, offsetof(pdns_node_t, data) + key.len + more);
    if (node == NULL) {
        return NULL;
    }

    memset(node, 0, offsetof(pdns_node_t, data));

    node->link.hash = hash;
    node->len = (uint16_t) key.len;
    memcpy(node->data, key.data, key.len);

    /* what is indexed stands behind the key */

    if (r->rdata.alen != 0) {
        node->alen = r->rdata.alen;
        memcpy(node->data + key.len, r->rdata.addr, node->alen);

        if (pdns_batch_group(b, node, NULL, r->rdata.addr) != 0) {
            return NULL;
        }

    } else if (r->rdata.named && r->rdata.name.labels > 0) {
        node->wlen = r->rdata.name.len;
        memcpy(node->data + key.len, r->rdata.name.wire, node->wlen);

        if (pdns_batch_group(b, node, &r->rdata.name, NULL) != 0) {
            return NULL;
        }
    }

    pdns_table_put(&b->targets, &node->link);
    node->all = b->first_target;
    b->first_target = node;

    return node;
}


static pdns_entry_t *
pdns_batch_entry(pdns_batch_t *b, pdns_node_t *name, const uint8_t *m,
    size_t len)
{
    uint64_t       hash;
    pdns_link_t   *link;
    pdns_entry_t  *e;

    hash = pdns_hash(b->seed, m, len)
           ^ name->link.hash * UINT64_C(0x9e3779b97f4a7c15);

    for (link = b->entries.places[hash & (b->entries.size - 1)];
         link != NULL;
         link = link->next)
    {
        e = (pdns_entry_t *) link;

        if (link->hash == hash && e->name == name && e->mlen == len
            && memcmp(e->member, m, len) == 0)
        {
            return e;
        }
    }

    e = pdns_alloc(b, offsetof(pdns_entry_t, member) + len);
    if (e == NULL) {
        return NULL;
    }

    memset(e, 0, offsetof(pdns_entry_t, member));

    e->link.hash = hash;
    e->name = name;
    e->mlen = (uint8_t) len;
    memcpy(e->member, m, len);

    return e;
}


/* Makes a new entry complete, and only then part of the batch. */

static int
pdns_batch_fill(pdns_batch_t *b, pdns_entry_t *e, const pdns_record_t *r)
{
    char         *text;
    pdns_node_t  *target;

    target = pdns_batch_target(b, r);
    if (target == NULL) {
        return -1;
    }

    if (pdns_member_digest(e->member, e->mlen) != NULL) {
        text = pdns_alloc(b, r->rdata.len);
        if (text == NULL) {
            return -1;
        }

        memcpy(text, r->rdata.text, r->rdata.len);
        e->rest->text.data = text;
        e->rest->text.len = r->rdata.len;
    }

    e->target = target;
    e->whole = !r->rdata.named || r->rdata.whole;

    e->next_of_target = target->first;
    target->first = e;

    e->next_of_name = e->name->first;
    e->name->first = e;

    pdns_table_put(&b->entries, &e->link);

    return 0;
}


static int
pdns_batch_rest(pdns_batch_t *b, pdns_entry_t *e, const pdns_record_t *r)
{
    pdns_rest_t  *rest;

    rest = e->rest;

    if (rest == NULL) {

        if (r->before == 0 && r->zone_first == 0 && r->bailiwick.data == NULL
            && r->sensor.data == NULL && r->origin.data == NULL
            && pdns_member_digest(e->member, e->mlen) == NULL)
        {
            return 0;
        }

        rest = pdns_alloc(b, sizeof(pdns_rest_t));
        if (rest == NULL) {
            return -1;
        }

        memset(rest, 0, sizeof(pdns_rest_t));
        e->rest = rest;
    }

    if (r->before > rest->before) {
        rest->before = (r->before < PDNS_COUNT_MAX) ? r->before
                                                    : PDNS_COUNT_MAX;
    }

    if (r->zone_first != 0) {
        e->name->extra = 1;

        if (rest->zone_first == 0 || r->zone_first < rest->zone_first) {
            rest->zone_first = r->zone_first;
        }

        if (r->zone_last > rest->zone_last) {
            rest->zone_last = r->zone_last;
        }
    }

    if (pdns_batch_text(b, e, PDNS_EXTRA_BAILIWICK, &r->bailiwick, r->last)
        || pdns_batch_text(b, e, PDNS_EXTRA_SENSOR, &r->sensor, r->last)
        || pdns_batch_text(b, e, PDNS_EXTRA_ORIGIN, &r->origin, r->last))
    {
        return -1;
    }

    return 0;
}


static int
pdns_batch_text(pdns_batch_t *b, pdns_entry_t *e, char kind,
    const pdns_str_t *text, uint64_t last)
{
    pdns_more_t  *more, **link, **oldest;

    if (text->data == NULL) {
        return 0;
    }

    oldest = NULL;

    for (link = &e->rest->extra; *link != NULL; link = &more->next) {
        more = *link;

        if (more->kind != kind) {
            continue;
        }

        if (more->len == text->len
            && memcmp(more->text, text->data, text->len) == 0)
        {
            if (last > more->last) {
                more->last = last;
            }

            return 0;
        }

        if (oldest == NULL || more->last < (*oldest)->last) {
            oldest = link;
        }
    }

    /* of too many the oldest goes: the last one is what is asked for */

    if (e->rest->nextra >= PDNS_EXTRAS && oldest != NULL) {

        if (last <= (*oldest)->last) {
            return 0;
        }

        *oldest = (*oldest)->next;
        e->rest->nextra--;
    }

    more = pdns_alloc(b, sizeof(pdns_more_t) + text->len);
    if (more == NULL) {
        return -1;
    }

    more->kind = kind;
    more->last = last;
    more->len = text->len;
    memcpy(more->text, text->data, text->len);

    more->next = e->rest->extra;
    e->rest->extra = more;
    e->rest->nextra++;
    e->name->extra = 1;

    return 0;
}

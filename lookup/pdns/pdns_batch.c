
#include "pdns_batch.h"
#include "pdns_extra.h"

#include <stdlib.h>
#include <string.h>


#define PDNS_CHUNK       65536
#define PDNS_TABLE       1024          /* places at the start, a power of 2 */
#define PDNS_PER_ZADD    256           /* members of one command */
#define PDNS_EXTRAS      64            /* of a record, in one batch */


typedef struct pdns_node_s    pdns_node_t;
typedef struct pdns_entry_s   pdns_entry_t;
typedef struct pdns_chunk_s   pdns_chunk_t;


struct pdns_chunk_s {
    pdns_chunk_t   *next;
    size_t          used;
    size_t          size;
    uint8_t         data[];
};


/* all that a table holds begins so */

typedef struct pdns_link_s {
    struct pdns_link_s  *next;         /* in its place of the table */
    uint64_t             hash;
} pdns_link_t;


typedef struct {
    pdns_link_t   **places;
    size_t          size;
    size_t          used;
} pdns_table_t;


/* A name, or data that R: is about: something with a key of its own. */

struct pdns_node_s {
    pdns_link_t     link;
    pdns_node_t    *all;               /* the next one of its kind */
    pdns_entry_t   *first;
    pdns_entry_t  **last;
    unsigned        extra:1;           /* E: is written, too */
    unsigned        sent:1;            /* its indexes are on the way */
    uint64_t        index;             /* hash of what is indexed */
    uint8_t         alen;              /* the address behind the key */
    uint8_t         wlen;              /* the name behind the key */
    uint16_t        len;
    uint8_t         data[];            /* name: the wire form; else the key */
};


/* a bailiwick, sensor or origin of a record */

typedef struct pdns_more_s {
    struct pdns_more_s  *next;
    uint64_t             last;
    size_t               len;
    char                 kind;
    char                 text[];
} pdns_more_t;


struct pdns_entry_s {
    pdns_link_t     link;
    pdns_node_t    *name;
    pdns_node_t    *target;
    pdns_entry_t   *next_of_name;
    pdns_entry_t   *next_of_target;
    uint64_t        first;
    uint64_t        last;
    uint64_t        count;
    uint64_t        zone_first;
    uint64_t        zone_last;
    pdns_str_t      text;              /* of data kept by its digest */
    pdns_more_t    *extra;
    uint16_t        nextra;
    const uint8_t  *rmember;
    uint16_t        rlen;
    uint8_t         mlen;
    uint8_t         member[];
};


/* what a reply is about */

typedef enum {
    PDNS_REPLY_OTHER = 0,
    PDNS_REPLY_NAME,                   /* N: members that were new */
    PDNS_REPLY_BELOW                   /* W: a new name */
} pdns_about_t;


struct pdns_batch_s {
    uint64_t        seed[2];
    int             right;
    int             again;             /* only what was lost */
    pdns_chunk_t   *chunks;
    size_t          held;
    pdns_table_t    names;
    pdns_table_t    targets;
    pdns_table_t    entries;
    pdns_node_t    *first_name;
    pdns_node_t    *first_target;
    uint8_t        *expect;            /* pdns_about_t of each command */
    size_t          nexpect;
    size_t          expect_size;
    pdns_added_t    added;
};


static void *pdns_alloc(pdns_batch_t *b, size_t size);
static int pdns_table_grow(pdns_table_t *t);
static pdns_node_t *pdns_batch_name(pdns_batch_t *b, const pdns_name_t *name);
static pdns_node_t *pdns_batch_target(pdns_batch_t *b,
    const pdns_record_t *r);
static pdns_entry_t *pdns_batch_entry(pdns_batch_t *b, pdns_node_t *name,
    const uint8_t *m, size_t len);
static int pdns_batch_fill(pdns_batch_t *b, pdns_entry_t *e,
    const pdns_record_t *r);
static int pdns_batch_extra(pdns_batch_t *b, pdns_entry_t *e,
    const pdns_record_t *r);
static int pdns_batch_text(pdns_batch_t *b, pdns_entry_t *e, char kind,
    const pdns_str_t *text, uint64_t last);
static int pdns_batch_index(pdns_batch_t *b, const pdns_seen_t *seen,
    pdns_node_t *node);
static void pdns_write_name(pdns_batch_t *b, pdns_resp_t *w, pdns_node_t *node,
    const pdns_name_t *name);
static void pdns_write_extra(pdns_batch_t *b, pdns_resp_t *w,
    const pdns_key_t *key, pdns_entry_t *e);
static void pdns_write_below(pdns_batch_t *b, pdns_resp_t *w,
    pdns_seen_t *seen, const pdns_name_t *name);
static int pdns_write_first(pdns_batch_t *b, pdns_seen_t *seen,
    const pdns_key_t *key, const void *member, size_t len);
static void pdns_write_target(pdns_batch_t *b, pdns_resp_t *w,
    pdns_node_t *node);
static void pdns_write_bucket(pdns_batch_t *b, pdns_resp_t *w,
    pdns_seen_t *seen, pdns_node_t *node);
static void pdns_expect(pdns_batch_t *b, pdns_resp_t *w, pdns_about_t about);


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

    return b;
}


void
pdns_batch_free(pdns_batch_t *b)
{
    pdns_batch_reset(b);

    free(b->names.places);
    free(b->targets.places);
    free(b->entries.places);
    free(b->expect);
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

    b->held = 0;
    b->again = 0;
    b->first_name = NULL;
    b->first_target = NULL;
    b->nexpect = 0;
    b->added.records = 0;
    b->added.names = 0;
}


size_t
pdns_batch_size(const pdns_batch_t *b)
{
    return b->entries.used;
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


static void *
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


static int
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


static void
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

    if (pdns_table_grow(&b->names) != 0
        || pdns_table_grow(&b->targets) != 0
        || pdns_table_grow(&b->entries) != 0)
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

    if (pdns_batch_extra(b, e, r) != 0
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

    node = pdns_alloc(b, sizeof(pdns_node_t) + name->len);
    if (node == NULL) {
        return NULL;
    }

    memset(node, 0, sizeof(pdns_node_t));

    node->link.hash = hash;
    node->index = hash;
    node->last = &node->first;
    node->len = name->len;
    memcpy(node->data, name->wire, name->len);

    pdns_table_put(&b->names, &node->link);
    node->all = b->first_name;
    b->first_name = node;

    return node;
}


static pdns_node_t *
pdns_batch_target(pdns_batch_t *b, const pdns_record_t *r)
{
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

    node = pdns_alloc(b, sizeof(pdns_node_t) + key.len + PDNS_NAME_WIRE);
    if (node == NULL) {
        return NULL;
    }

    memset(node, 0, sizeof(pdns_node_t));

    node->link.hash = hash;
    node->last = &node->first;
    node->len = (uint16_t) key.len;
    memcpy(node->data, key.data, key.len);

    /* what is indexed stands behind the key */

    if (r->rdata.alen != 0) {
        node->index = hash;
        node->alen = r->rdata.alen;
        memcpy(node->data + key.len, r->rdata.addr, node->alen);

    } else if (r->rdata.named && r->rdata.name.labels > 0) {
        node->index = pdns_hash(b->seed, r->rdata.name.wire,
                                r->rdata.name.len);
        node->wlen = r->rdata.name.len;
        memcpy(node->data + key.len, r->rdata.name.wire, node->wlen);
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

    e = pdns_alloc(b, sizeof(pdns_entry_t) + len);
    if (e == NULL) {
        return NULL;
    }

    memset(e, 0, sizeof(pdns_entry_t));

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
    size_t        n;
    char         *text;
    uint8_t      *copy, rm[PDNS_MEMBER_R];
    pdns_node_t  *target;

    target = pdns_batch_target(b, r);
    if (target == NULL) {
        return -1;
    }

    n = pdns_key_rmember(rm, &r->name, &r->rdata);

    copy = pdns_alloc(b, n);
    if (copy == NULL) {
        return -1;
    }

    memcpy(copy, rm, n);

    if (pdns_member_digest(e->member, e->mlen) != NULL) {
        text = pdns_alloc(b, r->rdata.len);
        if (text == NULL) {
            return -1;
        }

        memcpy(text, r->rdata.text, r->rdata.len);
        e->text.data = text;
        e->text.len = r->rdata.len;
    }

    e->rmember = copy;
    e->rlen = (uint16_t) n;
    e->target = target;

    *target->last = e;
    target->last = &e->next_of_target;

    /* the list of a name goes through its entries in the same way */

    *e->name->last = e;
    e->name->last = &e->next_of_name;

    pdns_table_put(&b->entries, &e->link);

    return 0;
}


static int
pdns_batch_extra(pdns_batch_t *b, pdns_entry_t *e, const pdns_record_t *r)
{
    if (r->zone_first != 0) {
        e->name->extra = 1;

        if (e->zone_first == 0 || r->zone_first < e->zone_first) {
            e->zone_first = r->zone_first;
        }

        if (r->zone_last > e->zone_last) {
            e->zone_last = r->zone_last;
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
    pdns_more_t  *more;

    if (text->data == NULL) {
        return 0;
    }

    for (more = e->extra; more != NULL; more = more->next) {

        if (more->kind == kind && more->len == text->len
            && memcmp(more->text, text->data, text->len) == 0)
        {
            if (last > more->last) {
                more->last = last;
            }

            return 0;
        }
    }

    if (e->nextra == PDNS_EXTRAS) {
        return -1;
    }

    more = pdns_alloc(b, sizeof(pdns_more_t) + text->len);
    if (more == NULL) {
        return -1;
    }

    more->kind = kind;
    more->last = last;
    more->len = text->len;
    memcpy(more->text, text->data, text->len);

    more->next = e->extra;
    e->extra = more;
    e->nextra++;
    e->name->extra = 1;

    return 0;
}


int
pdns_batch_commands(pdns_batch_t *b, pdns_seen_t *seen, d4_blocks_t *out)
{
    pdns_name_t   name;
    pdns_node_t  *node;
    pdns_resp_t   w;

    pdns_resp_init(&w, out);
    b->nexpect = 0;

    for (node = b->first_name; node != NULL; node = node->all) {

        if (node->first == NULL) {
            continue;
        }

        pdns_name_load(&name, node->data, node->len);

        if (!b->again) {
            pdns_write_name(b, &w, node, &name);
        }

        if (pdns_batch_index(b, seen, node)) {
            pdns_write_below(b, &w, seen, &name);
        }
    }

    for (node = b->first_target; node != NULL; node = node->all) {

        if (!b->again) {
            pdns_write_target(b, &w, node);
        }

        if (node->index == 0 || !pdns_batch_index(b, seen, node)) {
            continue;
        }

        if (node->alen != 0) {
            pdns_write_bucket(b, &w, seen, node);

        } else {
            pdns_name_load(&name, node->data + node->len, node->wlen);
            pdns_write_below(b, &w, seen, &name);
        }
    }

    pdns_resp_command(&w, 2, "GET");
    pdns_resp_text(&w, PDNS_KEY_EPOCH);

    return w.failed ? -1 : (int) w.commands;
}


/* 1 when the indexes of a node are to be written now. */

static int
pdns_batch_index(pdns_batch_t *b, const pdns_seen_t *seen, pdns_node_t *node)
{
    if (b->again) {
        return !node->sent;
    }

    node->sent = !pdns_seen(seen, node->index);

    return node->sent;
}


static void
pdns_expect(pdns_batch_t *b, pdns_resp_t *w, pdns_about_t about)
{
    size_t    size;
    uint8_t  *expect;

    if (b->nexpect == b->expect_size) {
        size = (b->expect_size == 0) ? 4096 : b->expect_size * 2;

        expect = realloc(b->expect, size);
        if (expect == NULL) {
            w->failed = 1;
            return;
        }

        b->expect = expect;
        b->expect_size = size;
    }

    b->expect[b->nexpect++] = (uint8_t) about;
}


static void
pdns_write_name(pdns_batch_t *b, pdns_resp_t *w, pdns_node_t *node,
    const pdns_name_t *name)
{
    size_t         n, extra;
    pdns_key_t     key, ekey;
    pdns_entry_t  *e, *from;

    pdns_key_name(&key, 'N', name);

    e = node->first;
    extra = node->extra;

    while (e != NULL) {
        from = e;

        for (n = 0; e != NULL && n < PDNS_PER_ZADD; n++) {
            e = e->next_of_name;
        }

        pdns_resp_command(w, 3 + 4 * n + 2 * extra, "ZADD");
        pdns_resp_word(w, key.data, key.len);
        pdns_resp_text(w, "GT");

        for ( /* void */ ; from != e; from = from->next_of_name) {
            pdns_resp_number(w, (int64_t) from->last);
            pdns_resp_prefixed(w, 'l', from->member, from->mlen);
            pdns_resp_number(w, -(int64_t) from->first);
            pdns_resp_prefixed(w, 'f', from->member, from->mlen);
        }

        if (extra) {
            pdns_resp_text(w, "0");
            pdns_resp_text(w, "e");
            extra = 0;
        }

        pdns_expect(b, w, PDNS_REPLY_NAME);
    }

    if (node->extra) {
        pdns_key_name(&ekey, 'E', name);
    }

    for (e = node->first; e != NULL; e = e->next_of_name) {

        pdns_resp_command(w, 4, "ZINCRBY");
        pdns_resp_word(w, key.data, key.len);
        pdns_resp_number(w, (int64_t) e->count);
        pdns_resp_prefixed(w, 'c', e->member, e->mlen);
        pdns_expect(b, w, PDNS_REPLY_OTHER);

        if (node->extra) {
            pdns_write_extra(b, w, &ekey, e);
        }
    }
}


static void
pdns_write_extra(pdns_batch_t *b, pdns_resp_t *w, const pdns_key_t *key,
    pdns_entry_t *e)
{
    size_t        n;
    uint8_t       member[PDNS_EXTRA];
    pdns_str_t    text;
    pdns_more_t  *more;

    n = e->nextra + ((e->zone_first != 0) ? 2 : 0);

    if (n == 0) {
        return;
    }

    pdns_resp_command(w, 3 + 2 * n, "ZADD");
    pdns_resp_word(w, key->data, key->len);
    pdns_resp_text(w, "GT");

    if (e->zone_first != 0) {
        pdns_resp_number(w, -(int64_t) e->zone_first);
        n = pdns_extra_member(member, PDNS_EXTRA_ZONE_FIRST, e->member,
                              e->mlen, NULL);
        pdns_resp_word(w, member, n);

        pdns_resp_number(w, (int64_t) e->zone_last);
        n = pdns_extra_member(member, PDNS_EXTRA_ZONE_LAST, e->member,
                              e->mlen, NULL);
        pdns_resp_word(w, member, n);
    }

    for (more = e->extra; more != NULL; more = more->next) {
        text.data = more->text;
        text.len = more->len;

        pdns_resp_number(w, (int64_t) more->last);
        n = pdns_extra_member(member, more->kind, e->member, e->mlen, &text);
        pdns_resp_word(w, member, n);
    }

    pdns_expect(b, w, PDNS_REPLY_OTHER);
}


static void
pdns_write_index(pdns_batch_t *b, pdns_resp_t *w, const pdns_key_t *key,
    const void *member, size_t len, pdns_about_t about)
{
    pdns_resp_command(w, 4, "ZADD");
    pdns_resp_word(w, key->data, key->len);
    pdns_resp_text(w, "0");
    pdns_resp_word(w, member, len);
    pdns_expect(b, w, about);
}


static void
pdns_write_below(pdns_batch_t *b, pdns_resp_t *w, pdns_seen_t *seen,
    const pdns_name_t *name)
{
    char        top[PDNS_NAME_TEXT], text[PDNS_NAME_TEXT];
    size_t      n, topn;
    unsigned    tag;
    pdns_key_t  key;

    tag = pdns_name_tag(name);

    pdns_key_below(&key, name, tag);
    text[0] = '\0';
    n = (tag < name->labels)
        ? pdns_name_key(text, name, tag, name->labels) : 0;
    pdns_write_index(b, w, &key, text, n, PDNS_REPLY_BELOW);

    if (name->labels == 0) {
        return;
    }

    topn = pdns_name_key(top, name, 0, 1);
    n = (tag > 1) ? pdns_name_key(text, name, 1, tag) : 0;

    pdns_key_tags(&key, top, topn, text, n);

    if (pdns_write_first(b, seen, &key, text, n)) {
        pdns_write_index(b, w, &key, text, n, PDNS_REPLY_OTHER);

        pdns_key_tops(&key, top, topn);
        pdns_write_index(b, w, &key, text, (n < 2) ? n : 2, PDNS_REPLY_OTHER);
    }

    if (b->right) {
        n = pdns_name_text(text, name);
        pdns_key_prefix(&key, text, n);
        pdns_write_index(b, w, &key, text, n, PDNS_REPLY_OTHER);
    }
}


/*
 * Of an index of indexes, which has few members that are met often: 1 when
 * this one is to be written.  It counts as seen as soon as it is on its way.
 */

static int
pdns_write_first(pdns_batch_t *b, pdns_seen_t *seen, const pdns_key_t *key,
    const void *member, size_t len)
{
    uint64_t  hash;

    hash = pdns_hash(b->seed, key->data, key->len)
           ^ pdns_hash(b->seed, member, len) * UINT64_C(0x9e3779b97f4a7c15);

    if (pdns_seen(seen, hash)) {
        return 0;
    }

    pdns_seen_add(seen, hash);

    return 1;
}


static void
pdns_write_target(pdns_batch_t *b, pdns_resp_t *w, pdns_node_t *node)
{
    size_t          n;
    pdns_key_t      key;
    pdns_entry_t   *e, *from;

    e = node->first;

    while (e != NULL) {
        from = e;

        for (n = 0; e != NULL && n < PDNS_PER_ZADD; n++) {
            e = e->next_of_target;
        }

        pdns_resp_command(w, 3 + 2 * n, "ZADD");
        pdns_resp_word(w, node->data, node->len);
        pdns_resp_text(w, "GT");

        for ( /* void */ ; from != e; from = from->next_of_target) {
            pdns_resp_number(w, (int64_t) from->last);
            pdns_resp_word(w, from->rmember, from->rlen);
        }

        pdns_expect(b, w, PDNS_REPLY_OTHER);
    }

    /* behind R:, so that a sweeper that finds no R: may drop the text */

    for (e = node->first; e != NULL; e = e->next_of_target) {

        if (e->text.data == NULL) {
            continue;
        }

        pdns_key_digest(&key, 'D',
                        e->member + e->mlen - PDNS_DIGEST);
        pdns_resp_command(w, 3, "SETNX");
        pdns_resp_word(w, key.data, key.len);
        pdns_resp_word(w, e->text.data, e->text.len);
        pdns_expect(b, w, PDNS_REPLY_OTHER);
    }
}


static void
pdns_write_bucket(pdns_batch_t *b, pdns_resp_t *w, pdns_seen_t *seen,
    pdns_node_t *node)
{
    size_t          n;
    pdns_key_t      key;
    const uint8_t  *addr;

    addr = node->data + node->len;
    n = pdns_bucket_size(node->alen);

    pdns_key_buckets(&key, node->alen);

    if (pdns_write_first(b, seen, &key, addr, n)) {
        pdns_write_index(b, w, &key, addr, n, PDNS_REPLY_OTHER);
    }

    pdns_key_bucket(&key, addr, node->alen);
    pdns_write_index(b, w, &key, addr + n, node->alen - n, PDNS_REPLY_OTHER);
}


void
pdns_batch_reply(pdns_batch_t *b, size_t i, long long n)
{
    if (i >= b->nexpect || n <= 0) {
        return;
    }

    switch (b->expect[i]) {

    case PDNS_REPLY_NAME:
        b->added.records += (uint64_t) n / 2;
        break;

    case PDNS_REPLY_BELOW:
        b->added.names++;
        break;

    default:
        break;
    }
}


int
pdns_batch_more(pdns_batch_t *b, pdns_seen_t *seen, int changed)
{
    int           again;
    pdns_node_t  *node;

    again = b->again;

    if (changed) {
        pdns_seen_clear(seen);
    }

    for (node = b->first_name; node != NULL; node = node->all) {

        if (node->sent || again) {
            pdns_seen_add(seen, node->index);

        } else if (changed) {
            b->again = 1;
        }
    }

    for (node = b->first_target; node != NULL; node = node->all) {

        if (node->index == 0) {
            continue;
        }

        if (node->sent || again) {
            pdns_seen_add(seen, node->index);

        } else if (changed) {
            b->again = 1;
        }
    }

    return b->again && !again;
}

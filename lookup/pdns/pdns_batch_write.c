
#include "pdns_batch_core.h"
#include "pdns_error.h"

#include <stdlib.h>
#include <string.h>


#define PDNS_PER_ZADD    256           /* members of one command */


static void pdns_write_names(pdns_batch_t *b, pdns_resp_t *w,
    const pdns_seen_t *seen);
static void pdns_write_targets(pdns_batch_t *b, pdns_resp_t *w,
    const pdns_seen_t *seen);
static void pdns_write_next(pdns_batch_t *b, const pdns_seen_t *seen,
    pdns_entry_t *e);
static void pdns_write_groups(pdns_batch_t *b, pdns_resp_t *w,
    pdns_seen_t *seen);
static void pdns_write_name(pdns_batch_t *b, pdns_resp_t *w,
    const pdns_name_t *name, pdns_entry_t *e, pdns_entry_t *end, size_t n);
static void pdns_write_count(pdns_batch_t *b, pdns_resp_t *w,
    const pdns_key_t *key, pdns_entry_t *e);
static void pdns_write_extra(pdns_batch_t *b, pdns_resp_t *w,
    const pdns_key_t *key, pdns_entry_t *e);
static void pdns_write_target(pdns_batch_t *b, pdns_resp_t *w,
    pdns_node_t *node, pdns_entry_t *e, pdns_entry_t *end, size_t n);
static uint64_t pdns_node_index(const pdns_batch_t *b,
    const pdns_node_t *node);
static void pdns_todo(pdns_batch_t *b, pdns_node_t *node);
static pdns_node_t *pdns_write_group(pdns_batch_t *b, pdns_resp_t *w,
    pdns_seen_t *seen, pdns_node_t *node);
static size_t pdns_write_member(pdns_group_t *group, pdns_node_t *node,
    uint8_t *member);
static void pdns_write_index(pdns_batch_t *b, pdns_resp_t *w,
    const pdns_key_t *key, const void *member, size_t len);
static void pdns_write_above(pdns_batch_t *b, pdns_resp_t *w,
    pdns_seen_t *seen, pdns_group_t *group, pdns_node_t *node);
static void pdns_write_prefix(pdns_batch_t *b, pdns_resp_t *w,
    pdns_node_t *node);
static int pdns_write_first(pdns_batch_t *b, pdns_seen_t *seen,
    const pdns_key_t *key, const void *member, size_t len);


void
pdns_batch_rewind(pdns_batch_t *b)
{
    pdns_group_t  *group;

    b->begun = 0;
    b->nexpect = 0;
    b->ncounts = 0;
    b->count = 0;

    if (b->again) {
        return;
    }

    for (group = b->todo; group != NULL; group = group->next) {
        group->first = NULL;
    }

    b->todo = NULL;
}


int
pdns_batch_written(const pdns_batch_t *b)
{
    return b->begun && b->phase == PDNS_WRITTEN;
}


int
pdns_batch_commands(pdns_batch_t *b, pdns_seen_t *seen, size_t max,
    d4_blocks_t *out)
{
    pdns_resp_t  w;

    pdns_resp_init(&w, out);

    if (!b->begun) {
        b->begun = 1;
        b->phase = b->again ? PDNS_WRITE_GROUPS : PDNS_WRITE_NAMES;
        b->node = b->again ? NULL : b->first_name;
        b->entry = NULL;
        b->group = b->todo;
        b->fault = b->again ? NULL : b->first_error;
    }

    while (w.commands < max && b->phase != PDNS_WRITTEN && !w.failed) {

        switch (b->phase) {

        case PDNS_WRITE_NAMES:
            pdns_write_names(b, &w, seen);
            break;

        case PDNS_WRITE_TARGETS:
            pdns_write_targets(b, &w, seen);
            break;

        case PDNS_WRITE_GROUPS:
            pdns_write_groups(b, &w, seen);
            break;

        case PDNS_WRITE_ERRORS:
            if (b->fault == NULL) {
                b->phase = PDNS_WRITE_EPOCH;
                break;
            }

            pdns_write_errors(b, &w);
            break;

        default: /* PDNS_WRITE_EPOCH */
            pdns_resp_command(&w, 2, "GET");
            pdns_resp_text(&w, PDNS_KEY_EPOCH);
            pdns_expect(b, &w, PDNS_REPLY_OTHER);
            b->phase = PDNS_WRITTEN;
        }
    }

    return w.failed ? -1 : (int) w.commands;
}


/* The next records of a name, or what follows the last name. */

static void
pdns_write_names(pdns_batch_t *b, pdns_resp_t *w, const pdns_seen_t *seen)
{
    size_t         n;
    pdns_name_t    name;
    pdns_entry_t  *e, *from;

    if (b->node == NULL) {
        b->phase = PDNS_WRITE_TARGETS;
        b->node = b->first_target;
        return;
    }

    from = (b->entry != NULL) ? b->entry : b->node->first;
    e = from;

    for (n = 0; e != NULL && n < PDNS_PER_ZADD; n++) {
        e = e->next_of_name;
    }

    if (n > 0) {
        pdns_name_load(&name, b->node->data, b->node->len);
        pdns_write_name(b, w, &name, from, e, n);
    }

    pdns_write_next(b, seen, e);
}


static void
pdns_write_targets(pdns_batch_t *b, pdns_resp_t *w, const pdns_seen_t *seen)
{
    size_t         n;
    pdns_entry_t  *e, *from;

    if (b->node == NULL) {
        b->phase = PDNS_WRITE_GROUPS;
        b->group = b->todo;
        return;
    }

    from = (b->entry != NULL) ? b->entry : b->node->first;
    e = from;

    for (n = 0; e != NULL && n < PDNS_PER_ZADD; n++) {
        e = e->next_of_target;
    }

    if (n > 0) {
        pdns_write_target(b, w, b->node, from, e, n);
    }

    pdns_write_next(b, seen, e);
}


/* On to the entry e of the node or, behind its last one, to the next node. */

static void
pdns_write_next(pdns_batch_t *b, const pdns_seen_t *seen, pdns_entry_t *e)
{
    pdns_node_t  *node;

    b->entry = e;

    if (e != NULL) {
        return;
    }

    node = b->node;
    b->node = node->all;

    if (node->group != NULL && node->first != NULL) {
        node->sent = !pdns_seen(seen, pdns_node_index(b, node));

        if (node->sent) {
            pdns_todo(b, node);
        }
    }
}


/* The hash of what is indexed: a name, wherever it stands, or an address. */

static uint64_t
pdns_node_index(const pdns_batch_t *b, const pdns_node_t *node)
{
    return (node->wlen == 0) ? node->link.hash
                             : pdns_hash(b->seed, node->data + node->len,
                                         node->wlen);
}


/* The indexes of a node are to be written. */

static void
pdns_todo(pdns_batch_t *b, pdns_node_t *node)
{
    pdns_group_t  *group;

    group = node->group;

    if (group->first == NULL) {
        group->next = b->todo;
        b->todo = group;
    }

    node->next_of_group = group->first;
    group->first = node;
}


static void
pdns_write_groups(pdns_batch_t *b, pdns_resp_t *w, pdns_seen_t *seen)
{
    if (b->group == NULL) {
        b->phase = PDNS_WRITE_ERRORS;
        return;
    }

    b->node = pdns_write_group(b, w, seen, (b->node != NULL)
                                           ? b->node : b->group->first);

    if (b->node == NULL) {
        b->group = b->group->next;
    }
}


void
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


void
pdns_expect_count(pdns_batch_t *b, pdns_resp_t *w, uint32_t *counted)
{
    size_t      size;
    uint32_t  **counts;

    if (b->ncounts == b->counts_size) {
        size = (b->counts_size == 0) ? 1024 : b->counts_size * 2;

        counts = realloc(b->counts, size * sizeof(uint32_t *));
        if (counts == NULL) {
            w->failed = 1;
            return;
        }

        b->counts = counts;
        b->counts_size = size;
    }

    b->counts[b->ncounts++] = counted;

    pdns_expect(b, w, PDNS_REPLY_COUNT);
}


/* n records of a name, from e to before end. */

static void
pdns_write_name(pdns_batch_t *b, pdns_resp_t *w, const pdns_name_t *name,
    pdns_entry_t *e, pdns_entry_t *end, size_t n)
{
    unsigned       extra;
    pdns_key_t     key, ekey;
    pdns_entry_t  *from;

    pdns_key_name(&key, 'N', name);
    extra = e->name->extra;

    pdns_resp_command(w, 3 + 4 * n + 2 * extra, "ZADD");
    pdns_resp_word(w, key.data, key.len);
    pdns_resp_text(w, "GT");

    for (from = e; from != end; from = from->next_of_name) {
        pdns_resp_number(w, (int64_t) from->last);
        pdns_resp_prefixed(w, 'l', from->member, from->mlen);
        pdns_resp_number(w, -(int64_t) from->first);
        pdns_resp_prefixed(w, 'f', from->member, from->mlen);
    }

    if (extra) {
        pdns_resp_text(w, "0");
        pdns_resp_text(w, "e");
        pdns_key_name(&ekey, 'E', name);
    }

    pdns_expect(b, w, PDNS_REPLY_NAME);

    for (from = e; from != end; from = from->next_of_name) {

        pdns_write_count(b, w, &key, from);

        if (extra) {
            pdns_write_extra(b, w, &ekey, from);
        }
    }
}


static void
pdns_write_count(pdns_batch_t *b, pdns_resp_t *w, const pdns_key_t *key,
    pdns_entry_t *e)
{
    if (e->count != 0 && e->counted != b->life) {
        pdns_resp_command(w, 4, "ZINCRBY");
        pdns_resp_word(w, key->data, key->len);
        pdns_resp_number(w, (int64_t) e->count);
        pdns_resp_prefixed(w, 'c', e->member, e->mlen);
        pdns_expect_count(b, w, &e->counted);
    }

    if (e->rest != NULL && e->rest->before != 0) {
        pdns_resp_command(w, 5, "ZADD");
        pdns_resp_word(w, key->data, key->len);
        pdns_resp_text(w, "GT");
        pdns_resp_number(w, (int64_t) e->rest->before);
        pdns_resp_prefixed(w, 'b', e->member, e->mlen);
        pdns_expect(b, w, PDNS_REPLY_OTHER);
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
    pdns_rest_t  *rest;

    rest = e->rest;

    if (rest == NULL) {
        return;
    }

    n = rest->nextra + ((rest->zone_first != 0) ? 2 : 0);

    if (n == 0) {
        return;
    }

    pdns_resp_command(w, 3 + 2 * n, "ZADD");
    pdns_resp_word(w, key->data, key->len);
    pdns_resp_text(w, "GT");

    if (rest->zone_first != 0) {
        pdns_resp_number(w, -(int64_t) rest->zone_first);
        n = pdns_extra_member(member, PDNS_EXTRA_ZONE_FIRST, e->member,
                              e->mlen, NULL);
        pdns_resp_word(w, member, n);

        pdns_resp_number(w, (int64_t) rest->zone_last);
        n = pdns_extra_member(member, PDNS_EXTRA_ZONE_LAST, e->member,
                              e->mlen, NULL);
        pdns_resp_word(w, member, n);
    }

    for (more = rest->extra; more != NULL; more = more->next) {
        text.data = more->text;
        text.len = more->len;

        pdns_resp_number(w, (int64_t) more->last);
        n = pdns_extra_member(member, more->kind, e->member, e->mlen, &text);
        pdns_resp_word(w, member, n);
    }

    pdns_expect(b, w, PDNS_REPLY_OTHER);
}


/* n records of data, from e to before end. */

static void
pdns_write_target(pdns_batch_t *b, pdns_resp_t *w, pdns_node_t *node,
    pdns_entry_t *e, pdns_entry_t *end, size_t n)
{
    size_t         len;
    uint8_t        rm[PDNS_MEMBER_R];
    pdns_key_t     key;
    pdns_name_t    name;
    pdns_entry_t  *from;

    pdns_resp_command(w, 3 + 2 * n, "ZADD");
    pdns_resp_word(w, node->data, node->len);
    pdns_resp_text(w, "GT");

    for (from = e; from != end; from = from->next_of_target) {
        pdns_name_load(&name, from->name->data, from->name->len);
        len = pdns_key_rmember_of(rm, &name, from->member, from->mlen,
                                  from->whole);

        pdns_resp_number(w, (int64_t) from->last);
        pdns_resp_word(w, rm, len);
    }

    pdns_expect(b, w, PDNS_REPLY_OTHER);

    /* behind R:, so that a sweeper that finds no R: may drop the text */

    for (from = e; from != end; from = from->next_of_target) {

        if (from->rest == NULL || from->rest->text.data == NULL) {
            continue;
        }

        pdns_key_digest(&key, 'D', from->member + from->mlen - PDNS_DIGEST);
        pdns_resp_command(w, 3, "SETNX");
        pdns_resp_word(w, key.data, key.len);
        pdns_resp_word(w, from->rest->text.data, from->rest->text.len);
        pdns_expect(b, w, PDNS_REPLY_OTHER);
    }
}


/*
 * What is to be written to an index, from a node on, as much as one command
 * may hold: what lies in one place of the store is met once.  Returns the node
 * to go on with.
 */

static pdns_node_t *
pdns_write_group(pdns_batch_t *b, pdns_resp_t *w, pdns_seen_t *seen,
    pdns_node_t *node)
{
    size_t         n, len;
    uint8_t        member[PDNS_NAME_TEXT];
    pdns_node_t   *one, *end;
    pdns_group_t  *group;

    group = node->group;
    end = node;

    for (n = 0; end != NULL && n < PDNS_PER_ZADD; n++) {
        end = end->next_of_group;
    }

    pdns_write_above(b, w, seen, group, node);

    pdns_resp_command(w, 2 + 2 * n, "ZADD");
    pdns_resp_word(w, group->data, group->len);

    for (one = node; one != end; one = one->next_of_group) {
        len = pdns_write_member(group, one, member);

        pdns_resp_text(w, "0");
        pdns_resp_word(w, member, len);

        pdns_seen_add(seen, pdns_node_index(b, one));
    }

    pdns_expect(b, w, (group->alen == 0) ? PDNS_REPLY_BELOW
                                         : PDNS_REPLY_OTHER);

    if (b->right && group->alen == 0) {
        for (one = node; one != end; one = one->next_of_group) {
            pdns_write_prefix(b, w, one);
        }
    }

    return end;
}


static void
pdns_node_name(const pdns_node_t *node, pdns_name_t *name)
{
    if (node->owner) {
        pdns_name_load(name, node->data, node->len);

    } else {
        pdns_name_load(name, node->data + node->len, node->wlen);
    }
}


/* What an index calls a node: its last labels, or its last bytes. */

static size_t
pdns_write_member(pdns_group_t *group, pdns_node_t *node, uint8_t *member)
{
    size_t       n;
    pdns_name_t  name;

    if (group->alen != 0) {
        n = pdns_bucket_size(node->alen);
        memcpy(member, node->data + node->len + n, node->alen - n);

        return node->alen - n;
    }

    pdns_node_name(node, &name);

    return (group->tag < name.labels)
           ? pdns_name_key((char *) member, &name, group->tag, name.labels)
           : 0;
}


static void
pdns_write_index(pdns_batch_t *b, pdns_resp_t *w, const pdns_key_t *key,
    const void *member, size_t len)
{
    pdns_resp_command(w, 4, "ZADD");
    pdns_resp_word(w, key->data, key->len);
    pdns_resp_text(w, "0");
    pdns_resp_word(w, member, len);
    pdns_expect(b, w, PDNS_REPLY_OTHER);
}


/* The index of indexes that lists a group; node is one of those in it. */

static void
pdns_write_above(pdns_batch_t *b, pdns_resp_t *w, pdns_seen_t *seen,
    pdns_group_t *group, pdns_node_t *node)
{
    char            top[PDNS_NAME_TEXT], text[PDNS_NAME_TEXT];
    size_t          n, topn;
    pdns_key_t      key;
    pdns_name_t     name;
    const uint8_t  *addr;

    if (group->alen != 0) {
        addr = node->data + node->len;
        n = pdns_bucket_size(group->alen);

        pdns_key_buckets(&key, group->alen);

        if (pdns_write_first(b, seen, &key, addr, n)) {
            pdns_write_index(b, w, &key, addr, n);
        }

        return;
    }

    if (group->tag == 0) {
        return;                        /* the root */
    }

    pdns_node_name(node, &name);

    topn = pdns_name_key(top, &name, 0, 1);
    n = (group->tag > 1) ? pdns_name_key(text, &name, 1, group->tag) : 0;

    pdns_key_tags(&key, top, topn, text, n);

    if (!pdns_write_first(b, seen, &key, text, n)) {
        return;
    }

    pdns_write_index(b, w, &key, text, n);

    n = (n < 2) ? n : 2;
    pdns_key_tops(&key, top, topn);

    if (pdns_write_first(b, seen, &key, text, n)) {
        pdns_write_index(b, w, &key, text, n);
    }
}


static void
pdns_write_prefix(pdns_batch_t *b, pdns_resp_t *w, pdns_node_t *node)
{
    char         text[PDNS_NAME_TEXT];
    size_t       n;
    pdns_key_t   key;
    pdns_name_t  name;

    pdns_node_name(node, &name);

    if (name.labels == 0) {
        return;
    }

    n = pdns_name_text(text, &name);
    pdns_key_prefix(&key, text, n);
    pdns_write_index(b, w, &key, text, n);
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


void
pdns_batch_reply(pdns_batch_t *b, size_t i, long long n)
{
    if (i >= b->nexpect) {
        return;
    }

    switch (b->expect[i]) {

    case PDNS_REPLY_NAME:
        b->added.records += (n > 0) ? (uint64_t) n / 2 : 0;
        break;

    case PDNS_REPLY_BELOW:
        b->added.names += (n > 0) ? (uint64_t) n : 0;
        break;

    case PDNS_REPLY_COUNT:
        *b->counts[b->count++] = (n < 0) ? 0 : b->life;
        break;

    default:
        break;
    }
}


void
pdns_batch_lost(pdns_batch_t *b)
{
    b->life++;
}


int
pdns_batch_more(pdns_batch_t *b, pdns_seen_t *seen, int changed)
{
    int            i;
    pdns_node_t   *node;
    pdns_group_t  *group;

    if (!changed) {
        return 0;
    }

    /* only what this batch has written is known to be there */

    pdns_seen_clear(seen);

    for (group = b->todo; group != NULL; group = group->next) {
        for (node = group->first; node != NULL; node = node->next_of_group) {
            pdns_seen_add(seen, pdns_node_index(b, node));
        }
    }

    if (b->again) {
        return 0;
    }

    /* what was left out because it had been there */

    pdns_batch_rewind(b);

    for (i = 0; i < 2; i++) {
        node = (i == 0) ? b->first_name : b->first_target;

        for ( /* void */ ; node != NULL; node = node->all) {
            if (node->group != NULL && node->first != NULL && !node->sent) {
                pdns_todo(b, node);
            }
        }
    }

    b->again = (b->todo != NULL);

    return b->again;
}


#include "pdns_batch_core.h"
#include "pdns_error.h"

#include <stdlib.h>
#include <string.h>


#define PDNS_PER_ZADD    256           /* members of one command */


static int pdns_batch_index(pdns_batch_t *b, const pdns_seen_t *seen,
    pdns_node_t *node);
static void pdns_write_name(pdns_batch_t *b, pdns_resp_t *w, pdns_node_t *node,
    const pdns_name_t *name);
static void pdns_write_count(pdns_batch_t *b, pdns_resp_t *w,
    const pdns_key_t *key, pdns_entry_t *e);
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

    if (!b->again) {
        pdns_write_errors(b, &w);
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

        pdns_write_count(b, w, &key, e);

        if (node->extra) {
            pdns_write_extra(b, w, &ekey, e);
        }
    }
}


static void
pdns_write_count(pdns_batch_t *b, pdns_resp_t *w, const pdns_key_t *key,
    pdns_entry_t *e)
{
    if (e->count != 0) {
        pdns_resp_command(w, 4, "ZINCRBY");
        pdns_resp_word(w, key->data, key->len);
        pdns_resp_number(w, (int64_t) e->count);
        pdns_resp_prefixed(w, 'c', e->member, e->mlen);
        pdns_expect(b, w, PDNS_REPLY_OTHER);
    }

    if (e->before != 0) {
        pdns_resp_command(w, 5, "ZADD");
        pdns_resp_word(w, key->data, key->len);
        pdns_resp_text(w, "GT");
        pdns_resp_number(w, (int64_t) e->before);
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


#include "d4_templates.h"
#include "d4_units.h"

#include <stdlib.h>
#include <string.h>


/* entries that are no longer in force wait for so many others */
#define D4_TEMPLATES_DEAD  D4_TEMPLATES

/* a message and a set of its own, for each */
#define D4_TEMPLATES_COST  (D4_IPFIX_HEADER + D4_IPFIX_SET)


/* the message being built */
typedef struct {
    d4_carry_t  out;
    size_t      msg;                       /* where it and its set begin */
    size_t      set;
    uint32_t    domain;
    uint32_t    time;
    uint32_t    sequence;
    uint8_t     kind;                      /* of the set */
} d4_templates_build_t;


static int d4_templates_room(d4_templates_t *t, size_t n);
static void d4_templates_compact(d4_templates_t *t);
static d4_template_entry_t *d4_templates_find(d4_templates_t *t, uint64_t key);
static void d4_templates_drop(d4_templates_t *t, d4_template_entry_t *e);
static int d4_templates_withdraw(d4_templates_t *t, uint32_t domain,
    const d4_template_t *tpl);
static int d4_templates_same(const d4_templates_t *t,
    const d4_template_entry_t *e, const d4_template_t *tpl);
static const uint8_t *d4_templates_data(const d4_templates_t *t,
    const d4_template_entry_t *e);
static int d4_templates_write(d4_templates_build_t *b,
    const d4_template_entry_t *e, const uint8_t *data);
static void d4_templates_end(d4_templates_build_t *b);
static int d4_template_set(d4_template_walk_t *w);
static int d4_template_padding(const uint8_t *p, const uint8_t *end);
static void d4_templates_put16(uint8_t *p, size_t v);
static void d4_templates_put32(uint8_t *p, uint32_t v);


void
d4_templates_init(d4_templates_t *t, d4_pool_t *pool)
{
    memset(t, 0, sizeof(d4_templates_t));

    d4_carry_init(&t->built, pool);
    d4_carry_init(&t->added, pool);
}


void
d4_templates_free(d4_templates_t *t)
{
    t->built.pool->held -= t->size * sizeof(d4_template_entry_t);

    free(t->entries);
    d4_carry_free(&t->built);
    d4_carry_free(&t->added);

    t->entries = NULL;
    t->size = 0;
}


int
d4_templates_drops(d4_templates_t *t, const uint8_t *msg, size_t len, size_t n)
{
    uint64_t              domain;
    d4_template_t         tpl;
    d4_template_walk_t    w;
    d4_template_entry_t  *e;

    if (t->live + n > D4_TEMPLATES
        || t->cost + len + n * D4_TEMPLATES_COST > D4_PREAMBLE_MAX)
    {
        return 1;
    }

    domain = d4_units_u32(msg + 12, 1);

    d4_template_walk(&w, msg, len);

    while (d4_template_next(&w, &tpl) == 1) {

        if (tpl.fields == 0 && tpl.id < D4_IPFIX_DATA) {
            return 1;
        }

        e = d4_templates_find(t, domain << 16 | tpl.id);

        if (e != NULL && !d4_templates_same(t, e, &tpl)) {
            return 1;
        }
    }

    return 0;
}


int
d4_templates_learn(d4_templates_t *t, const uint8_t *msg, size_t len, size_t n)
{
    int                   changed;
    size_t                base;
    uint32_t              domain;
    uint64_t              key;
    d4_template_t         tpl;
    d4_template_walk_t    w;
    d4_template_entry_t  *e;

    base = t->added.len;

    /* all the memory it takes, before anything changes */

    if (d4_templates_room(t, n) != 0
        || d4_carry_add(&t->added, msg, len) != 0)
    {
        return -1;
    }

    changed = 0;
    domain = d4_units_u32(msg + 12, 1);

    d4_template_walk(&w, msg, len);

    while (d4_template_next(&w, &tpl) == 1) {

        if (tpl.fields == 0) {
            changed |= d4_templates_withdraw(t, domain, &tpl);
            continue;
        }

        key = (uint64_t) domain << 16 | tpl.id;
        e = d4_templates_find(t, key);

        if (e != NULL) {
            if (d4_templates_same(t, e, &tpl)) {
                continue;
            }

            d4_templates_drop(t, e);
        }

        if (t->n == t->size) {
            d4_templates_compact(t);
        }

        e = &t->entries[t->n++];

        e->key = key;
        e->time = d4_units_u32(msg + 4, 1);
        e->sequence = d4_units_u32(msg + 8, 1);
        e->off = (uint32_t) (base + (tpl.data - msg));
        e->len = (uint16_t) tpl.len;
        e->set = (uint8_t) tpl.set;
        e->young = 1;

        t->live++;
        t->cost += tpl.len + D4_TEMPLATES_COST;

        while (t->live > D4_TEMPLATES || t->cost > D4_PREAMBLE_MAX) {
            while (t->entries[t->first].key == 0) {
                t->first++;
            }

            d4_templates_drop(t, &t->entries[t->first]);
        }

        changed = 1;
    }

    if (!changed) {
        t->added.len = base;
    }

    t->changed |= changed;

    return 0;
}


/*
 * Room for n more, or for as many as there may be before those that are out
 * of force are removed.
 */

static int
d4_templates_room(d4_templates_t *t, size_t n)
{
    size_t                size;
    d4_pool_t            *pool;
    d4_template_entry_t  *entries;

    size = t->n + n;

    if (size > D4_TEMPLATES + D4_TEMPLATES_DEAD) {
        size = D4_TEMPLATES + D4_TEMPLATES_DEAD;
    }

    if (size <= t->size) {
        return 0;
    }

    entries = realloc(t->entries, size * sizeof(d4_template_entry_t));
    if (entries == NULL) {
        return -1;
    }

    pool = t->built.pool;
    pool->held += (size - t->size) * sizeof(d4_template_entry_t);

    t->entries = entries;
    t->size = size;

    return 0;
}


static void
d4_templates_compact(d4_templates_t *t)
{
    size_t  i, n;

    n = 0;

    for (i = t->first; i < t->n; i++) {
        if (t->entries[i].key != 0) {
            t->entries[n++] = t->entries[i];
        }
    }

    t->first = 0;
    t->n = n;
}


static d4_template_entry_t *
d4_templates_find(d4_templates_t *t, uint64_t key)
{
    size_t  i;

    for (i = t->first; i < t->n; i++) {
        if (t->entries[i].key == key) {
            return &t->entries[i];
        }
    }

    return NULL;
}


static void
d4_templates_drop(d4_templates_t *t, d4_template_entry_t *e)
{
    e->key = 0;

    t->live--;
    t->cost -= e->len + D4_TEMPLATES_COST;
}


/* One template of the domain, or all of the set's kind. */

static int
d4_templates_withdraw(d4_templates_t *t, uint32_t domain,
    const d4_template_t *tpl)
{
    int                   changed;
    size_t                i;
    d4_template_entry_t  *e;

    if (tpl->id >= D4_IPFIX_DATA) {
        e = d4_templates_find(t, (uint64_t) domain << 16 | tpl->id);

        if (e == NULL) {
            return 0;
        }

        d4_templates_drop(t, e);
        return 1;
    }

    changed = 0;

    for (i = t->first; i < t->n; i++) {
        e = &t->entries[i];

        if (e->key != 0 && e->key >> 16 == domain && e->set == tpl->set) {
            d4_templates_drop(t, e);
            changed = 1;
        }
    }

    return changed;
}


static int
d4_templates_same(const d4_templates_t *t, const d4_template_entry_t *e,
    const d4_template_t *tpl)
{
    return e->set == tpl->set && e->len == tpl->len
           && memcmp(d4_templates_data(t, e), tpl->data, tpl->len) == 0;
}


static const uint8_t *
d4_templates_data(const d4_templates_t *t, const d4_template_entry_t *e)
{
    return (e->young ? t->added.data : t->built.data) + e->off;
}


int
d4_templates_build(d4_templates_t *t)
{
    size_t                 i;
    d4_templates_build_t   b;
    d4_template_entry_t   *e;

    memset(&b, 0, sizeof(d4_templates_build_t));
    d4_carry_init(&b.out, t->built.pool);

    d4_templates_compact(t);

    for (i = 0; i < t->n; i++) {
        e = &t->entries[i];

        if (d4_templates_write(&b, e, d4_templates_data(t, e)) != 0) {
            d4_carry_free(&b.out);
            return -1;
        }

        e->next = (uint32_t) (b.out.len - e->len);
    }

    d4_templates_end(&b);

    for (i = 0; i < t->n; i++) {
        t->entries[i].off = t->entries[i].next;
        t->entries[i].young = 0;
    }

    d4_carry_free(&t->built);
    d4_carry_free(&t->added);

    t->built = b.out;
    t->changed = 0;

    return 0;
}


static int
d4_templates_write(d4_templates_build_t *b, const d4_template_entry_t *e,
    const uint8_t *data)
{
    uint8_t   head[D4_IPFIX_HEADER], set[D4_IPFIX_SET];
    uint32_t  domain;

    domain = (uint32_t) (e->key >> 16);

    if (b->out.len == 0 || domain != b->domain || e->time != b->time
        || e->sequence != b->sequence
        || b->out.len - b->msg + D4_IPFIX_SET + e->len > UINT16_MAX)
    {
        d4_templates_end(b);

        b->msg = b->out.len;
        b->domain = domain;
        b->time = e->time;
        b->sequence = e->sequence;
        b->kind = 0;

        d4_templates_put16(head, D4_IPFIX_VERSION);
        d4_templates_put16(head + 2, 0);
        d4_templates_put32(head + 4, e->time);
        d4_templates_put32(head + 8, e->sequence);
        d4_templates_put32(head + 12, domain);

        if (d4_carry_add(&b->out, head, D4_IPFIX_HEADER) != 0) {
            return -1;
        }
    }

    if (e->set != b->kind) {
        d4_templates_end(b);

        b->set = b->out.len;
        b->kind = e->set;

        d4_templates_put16(set, e->set);
        d4_templates_put16(set + 2, 0);

        if (d4_carry_add(&b->out, set, D4_IPFIX_SET) != 0) {
            return -1;
        }
    }

    return d4_carry_add(&b->out, data, e->len);
}


/* The lengths of the set and the message so far. */

static void
d4_templates_end(d4_templates_build_t *b)
{
    if (b->kind != 0) {
        d4_templates_put16(b->out.data + b->set + 2, b->out.len - b->set);
        d4_templates_put16(b->out.data + b->msg + 2, b->out.len - b->msg);
    }
}


void
d4_template_walk(d4_template_walk_t *w, const uint8_t *msg, size_t len)
{
    w->p = msg + D4_IPFIX_HEADER;
    w->end = msg + len;
    w->set_end = w->p;
    w->set = 0;
}


int
d4_template_next(d4_template_walk_t *w, d4_template_t *tpl)
{
    int             rc;
    unsigned        i;
    const uint8_t  *q;

    for ( ;; ) {

        if (w->p == w->set_end) {
            rc = d4_template_set(w);

            if (rc != 1) {
                return rc;
            }

            continue;
        }

        if (d4_template_padding(w->p, w->set_end)) {
            w->p = w->set_end;
            continue;
        }

        break;
    }

    if (w->set_end - w->p < 4) {
        return -1;
    }

    q = w->p;

    tpl->data = q;
    tpl->set = w->set;
    tpl->id = d4_units_u16(q, 1);
    tpl->fields = d4_units_u16(q + 2, 1);

    q += 4;

    if (tpl->fields == 0) {
        if (tpl->id < D4_IPFIX_DATA && tpl->id != w->set) {
            return -1;
        }

    } else {
        if (tpl->id < D4_IPFIX_DATA) {
            return -1;
        }

        /* how many of the fields are the scope */

        q += (w->set == D4_IPFIX_OPTIONS) ? 2 : 0;

        for (i = 0; i < tpl->fields; i++) {
            if (w->set_end - q < 4) {
                return -1;
            }

            q += (q[0] & 0x80) ? 8 : 4;        /* an enterprise's own */
        }

        if (q > w->set_end) {
            return -1;
        }
    }

    tpl->len = q - w->p;
    w->p = q;

    return 1;
}


/* Goes to the next set that holds templates: 1, 0 at the end, or -1. */

static int
d4_template_set(d4_template_walk_t *w)
{
    size_t  len;

    while (w->p != w->end) {

        if (w->end - w->p < D4_IPFIX_SET) {
            return -1;
        }

        w->set = d4_units_u16(w->p, 1);
        len = d4_units_u16(w->p + 2, 1);

        if (len < D4_IPFIX_SET || len > (size_t) (w->end - w->p)
            || w->set < D4_IPFIX_TEMPLATE)
        {
            return -1;
        }

        w->set_end = w->p + len;

        if (w->set == D4_IPFIX_TEMPLATE || w->set == D4_IPFIX_OPTIONS) {
            w->p += D4_IPFIX_SET;
            return 1;
        }

        w->p = w->set_end;
    }

    return 0;
}


/* Less than a record, or all zero. */

static int
d4_template_padding(const uint8_t *p, const uint8_t *end)
{
    if (end - p >= 2 && d4_units_u16(p, 1) != 0) {
        return 0;
    }

    while (p != end && *p == 0) {
        p++;
    }

    return p == end;
}


static void
d4_templates_put16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t) (v >> 8);
    p[1] = (uint8_t) v;
}


static void
d4_templates_put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t) (v >> 24);
    p[1] = (uint8_t) (v >> 16);
    p[2] = (uint8_t) (v >> 8);
    p[3] = (uint8_t) v;
}

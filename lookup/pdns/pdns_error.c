
#include "pdns_batch_core.h"
#include "pdns_error.h"

#include <string.h>
#include <strings.h>


#define PDNS_PER_ZADD  64              /* members of one command */


struct pdns_fault_s {
    pdns_link_t     link;
    pdns_fault_t   *all;
    uint64_t        first;
    uint64_t        last;
    uint64_t        count;
    uint64_t        before;
    uint32_t        counted;
    uint8_t         mlen;
    uint8_t         member[PDNS_MEMBER_ERROR];
    uint8_t         len;
    uint8_t         wire[];
};


static pdns_fault_t *pdns_batch_fault(pdns_batch_t *b,
    const pdns_name_t *name, const uint8_t *m, size_t len);


static size_t
pdns_rcode_number(char out[PDNS_RCODE], const char *p, size_t len)
{
    size_t  i;

    if (len == 0 || len > 5) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return 0;
        }
    }

    memcpy(out, "RCODE", 5);
    memcpy(out + 5, p, len);

    return 5 + len;
}


size_t
pdns_rcode_text(char out[PDNS_RCODE], const char *p, size_t len)
{
    size_t  i;

    static const char *const  rcodes[] = {
        "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN",
        "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"
    };

    if (len == 7 && strncasecmp(p, "NOTIMPL", 7) == 0) {
        len = 6;
    }

    for (i = 0; i < sizeof(rcodes) / sizeof(rcodes[0]); i++) {
        if (strlen(rcodes[i]) == len && strncasecmp(p, rcodes[i], len) == 0) {
            memcpy(out, rcodes[i], len);
            return len;
        }
    }

    if (len > 5 && strncasecmp(p, "RCODE", 5) == 0) {
        return pdns_rcode_number(out, p + 5, len - 5);
    }

    if (len > 14 && strncasecmp(p, "UNKNOWN-ERROR-", 14) == 0) {
        return pdns_rcode_number(out, p + 14, len - 14);
    }

    return 0;
}


int
pdns_batch_error(pdns_batch_t *b, const pdns_record_t *r)
{
    char           text[PDNS_RCODE];
    uint8_t        m[PDNS_MEMBER];
    pdns_rdata_t   rdata;
    pdns_fault_t  *f;

    if (pdns_table_grow(&b->errors) != 0) {
        return -1;
    }

    memset(&rdata, 0, sizeof(pdns_rdata_t));

    rdata.type = r->rdata.type;
    rdata.len = pdns_rcode_text(text, r->rcode.data, r->rcode.len);
    rdata.text = text;

    f = pdns_batch_fault(b, &r->name, m, pdns_member(m, &rdata));

    if (f == NULL) {
        return -1;
    }

    if (f->first == 0 || r->first < f->first) {
        f->first = r->first;
    }

    if (r->last > f->last) {
        f->last = r->last;
    }

    f->count += r->count;

    if (f->count > PDNS_COUNT_MAX) {
        f->count = PDNS_COUNT_MAX;
    }

    if (r->before > f->before) {
        f->before = (r->before < PDNS_COUNT_MAX) ? r->before : PDNS_COUNT_MAX;
    }

    return 0;
}


static pdns_fault_t *
pdns_batch_fault(pdns_batch_t *b, const pdns_name_t *name, const uint8_t *m,
    size_t len)
{
    uint64_t       hash;
    pdns_link_t   *link;
    pdns_fault_t  *f;

    hash = pdns_hash(b->seed, m, len)
           ^ pdns_hash(b->seed, name->wire, name->len)
             * UINT64_C(0x9e3779b97f4a7c15);

    for (link = b->errors.places[hash & (b->errors.size - 1)];
         link != NULL;
         link = link->next)
    {
        f = (pdns_fault_t *) link;

        if (link->hash == hash && f->len == name->len && f->mlen == len
            && memcmp(f->member, m, len) == 0
            && memcmp(f->wire, name->wire, name->len) == 0)
        {
            return f;
        }
    }

    f = pdns_alloc(b, sizeof(pdns_fault_t) + name->len);
    if (f == NULL) {
        return NULL;
    }

    memset(f, 0, sizeof(pdns_fault_t));

    f->link.hash = hash;
    f->mlen = (uint8_t) len;
    memcpy(f->member, m, len);
    f->len = name->len;
    memcpy(f->wire, name->wire, name->len);

    pdns_table_put(&b->errors, &f->link);
    f->all = b->first_error;
    b->first_error = f;

    return f;
}


static void
pdns_fault_key(pdns_key_t *key, const pdns_fault_t *f)
{
    pdns_name_t  name;

    pdns_name_load(&name, f->wire, f->len);
    pdns_key_name(key, 'X', &name);
}


/*
 * The list of names comes behind them: what is in it is found by whoever
 * removes.
 */

void
pdns_write_errors(pdns_batch_t *b, pdns_resp_t *w)
{
    size_t         n;
    pdns_key_t     key;
    pdns_fault_t  *f, *from;

    from = b->fault;
    n = 0;

    for (f = from; f != NULL && n < PDNS_PER_ZADD; f = f->all) {
        pdns_fault_key(&key, f);

        pdns_resp_command(w, 7, "ZADD");
        pdns_resp_word(w, key.data, key.len);
        pdns_resp_text(w, "GT");
        pdns_resp_number(w, (int64_t) f->last);
        pdns_resp_prefixed(w, 'l', f->member, f->mlen);
        pdns_resp_number(w, -(int64_t) f->first);
        pdns_resp_prefixed(w, 'f', f->member, f->mlen);
        pdns_expect(b, w, PDNS_REPLY_OTHER);

        if (f->count != 0 && f->counted != b->life) {
            pdns_resp_command(w, 4, "ZINCRBY");
            pdns_resp_word(w, key.data, key.len);
            pdns_resp_number(w, (int64_t) f->count);
            pdns_resp_prefixed(w, 'c', f->member, f->mlen);
            pdns_expect_count(b, w, &f->counted);
        }

        if (f->before != 0) {
            pdns_resp_command(w, 5, "ZADD");
            pdns_resp_word(w, key.data, key.len);
            pdns_resp_text(w, "GT");
            pdns_resp_number(w, (int64_t) f->before);
            pdns_resp_prefixed(w, 'b', f->member, f->mlen);
            pdns_expect(b, w, PDNS_REPLY_OTHER);
        }

        n++;
    }

    b->fault = f;

    pdns_resp_command(w, 3 + 2 * n, "ZADD");
    pdns_resp_text(w, PDNS_KEY_ERRORS);
    pdns_resp_text(w, "GT");

    for ( /* void */ ; from != f; from = from->all) {
        pdns_fault_key(&key, from);
        pdns_resp_number(w, (int64_t) from->last);
        pdns_resp_word(w, key.data, key.len);
    }

    pdns_expect(b, w, PDNS_REPLY_OTHER);
}

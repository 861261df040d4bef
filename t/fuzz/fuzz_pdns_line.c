
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Lines of every kind: what is taken as a record, written as COF and read
 * back is the same record; what a batch makes of it is well-formed.
 */


#include "../unit/unit.h"
#include "pdns_batch.h"
#include "pdns_cof.h"
#include "pdns_json.h"
#include "pdns_line.h"


static char           buf[PDNS_RDATA_TEXT], buf2[PDNS_RDATA_TEXT];
static char           out[4 * 1024 * 1024], out2[4 * 1024 * 1024];
static const uint64_t seed[2] = { 3, 4 };


static void
require(int truth)
{
    if (!truth) {
        abort();
    }
}


static size_t
write_record(char *to, pdns_record_t *r)
{
    char            name[PDNS_NAME_TEXT];
    size_t          i, n;
    pdns_answer_t   a;

    memset(&a, 0, sizeof(a));

    a.rrname.data = name;
    a.rrname.len = pdns_name_text(name, &r->name);
    a.rdata.data = r->rdata.text;
    a.rdata.len = r->rdata.len;
    a.type = r->rdata.type;
    a.first = r->first;
    a.last = r->last;
    a.count = r->count;
    a.zone_first = r->zone_first;
    a.zone_last = r->zone_last;
    a.bailiwick = r->bailiwick;
    a.sensor = r->sensor;
    a.origin = r->origin;

    require(pdns_cof_bound(&a) <= sizeof(out));
    n = pdns_cof_write(to, &a, PDNS_COF_SAF|PDNS_COF_ARRAY|PDNS_COF_DOTS
                               |PDNS_COF_RFC3339|PDNS_COF_MS);
    require(n <= pdns_cof_bound(&a));
    n = pdns_cof_write(to, &a, 0);
    require(n <= pdns_cof_bound(&a) && to[n - 1] == '\n');

    for (i = 0; i + 1 < n; i++) {
        require((uint8_t) to[i] >= 0x20 && (uint8_t) to[i] < 0x7f);
    }

    return n;
}


static void
take_again(void *ctx, pdns_record_t *r)
{
    *(size_t *) ctx = write_record(out2, r);
}


static void
commands(pdns_record_t *r)
{
    int             n, argc;
    uint8_t        *flat;
    d4_pool_t       pool;
    unit_word_t     words[64];
    pdns_seen_t     seen;
    d4_blocks_t     blocks;
    pdns_batch_t   *b;
    const uint8_t  *p;

    b = pdns_batch_create(seed, 1);
    require(b != NULL && pdns_seen_init(&seen, 8) == 0);
    require(pdns_batch_add(b, r) == 0 && pdns_batch_add(b, r) == 0);
    require(pdns_batch_size(b) == 1);

    d4_pool_init(&pool, 0);
    d4_blocks_init(&blocks, &pool);
    n = pdns_batch_commands(b, &seen, SIZE_MAX, &blocks);
    require(n > 3 && pdns_batch_written(b));

    flat = unit_flat(&blocks);
    p = flat;

    while ((argc = unit_resp(&p, flat + blocks.bytes, words, 64)) > 0) {
        n--;
    }

    require(argc == 0 && n == 0);

    free(flat);
    d4_blocks_free(&blocks);
    pdns_batch_free(b);
    pdns_seen_free(&seen);
}


static void
take(void *ctx, pdns_record_t *r)
{
    size_t  n, n2;

    (void) ctx;

    if (r->rcode.data != NULL) {
        return;
    }

    require(r->first != 0 && r->first <= r->last && r->count > 0);

    n = write_record(out, r);
    n2 = 0;

    /* no data of a line is longer than what JSON takes */

    require(pdns_json_parse(out, n, buf2, sizeof(buf2), take_again, &n2)
            == PDNS_OK);
    require(n == n2 && memcmp(out, out2, n) == 0);

    commands(r);
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t size)
{
    pdns_record_t  r;

    if (size > 0 && p[0] == '{') {
        (void) pdns_json_parse((const char *) p, size, buf, sizeof(buf), take,
                               NULL);

    } else if (pdns_line_parse(&r, (const char *) p, size, buf, sizeof(buf))
               == PDNS_OK)
    {
        take(NULL, &r);
    }

    return 0;
}

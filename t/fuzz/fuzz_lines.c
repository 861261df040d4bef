
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The decoders of text: any split of the input gives the same records, and
 * the records are the input.  The first four bytes choose the decoder, the
 * longest record, how the input is split and whether another decoder goes on
 * at each border.
 */


#include "../unit/text_records.h"


typedef struct {
    size_t    most;
    uint32_t  seed;
} split_t;


static d4_decoder_t *
lines(d4_pool_t *pool, size_t max)
{
    return d4_lines_create(pool, max, ".txt");
}


static size_t
whole(void *data, size_t left)
{
    (void) data;

    return left;
}


static size_t
some(void *data, size_t left)
{
    size_t    n;
    split_t  *split;

    split = data;
    split->seed = split->seed * 1103515245 + 12345;
    n = 1 + (split->seed >> 16) % split->most;

    return (n < left) ? n : left;
}


/* An element of a line is a line, an element of dnscap begins with a "[". */

static void
elements(const text_records_t *t, int dnscap, size_t max)
{
    size_t                i;
    const uint8_t        *p;
    const text_record_t  *r;

    p = t->bytes;

    for (i = 0; i < t->n; i++) {
        r = &t->list[i];

        if (dnscap) {
            text_require((r->element != 0) == (p[0] == '['));
            text_require(r->element == 0 || r->element + 1 >= r->len);

        } else {
            text_require(memchr(p, '\n', r->element) == NULL);
            text_require(r->element == max || i + 1 == t->n
                         || p[r->len - 1] == '\n');
            text_require(r->element + (p[r->len - 1] == '\n') == r->len);
        }

        p += r->len;
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t size)
{
    size_t          max;
    split_t         split;
    text_create_t   create;
    text_records_t  a, b;

    if (size < 4) {
        return 0;
    }

    create = (p[0] & 1) ? d4_dnscap_create : lines;
    max = (p[1] == 0) ? 65536 : p[1];
    split.most = (p[2] == 0) ? 1 : p[2];
    split.seed = p[3];

    memset(&a, 0, sizeof(text_records_t));
    memset(&b, 0, sizeof(text_records_t));

    text_run(&a, create, max, 0, p + 4, size - 4, whole, NULL);
    text_run(&b, create, max, p[3] & 1, p + 4, size - 4, some, &split);
    text_require(text_same(&a, &b));

    elements(&a, p[0] & 1, max);

    text_free(&a);
    text_free(&b);

    return 0;
}


#include "d4_text.h"

#include <stdlib.h>
#include <string.h>


void
d4_text_init(d4_text_t *t, const d4_decoder_ops_t *ops, d4_pool_t *pool,
    size_t max, const char *suffix)
{
    memset(t, 0, sizeof(d4_text_t));

    t->head.ops = ops;
    t->head.suffix = suffix;
    t->head.max = (max != 0) ? max : D4_RECORD_LINE;
    t->head.pool = pool;

    d4_carry_init(&t->carry, pool);
}


void
d4_text_drop(d4_text_t *t)
{
    if (t->handed) {
        d4_carry_clear(&t->carry);
        t->handed = 0;
    }
}


d4_decode_t
d4_text_take(d4_text_t *t, const uint8_t **p, size_t len, d4_record_t *r)
{
    if (t->carry.len == 0) {
        memset(r, 0, sizeof(d4_record_t));

        r->data = *p;
        r->len = len;
        *p += len;

        return D4_DECODE_RECORD;
    }

    if (d4_carry_add(&t->carry, *p, len) != 0) {
        return D4_DECODE_NOMEM;
    }

    memset(r, 0, sizeof(d4_record_t));

    r->data = t->carry.data;
    r->len = t->carry.len;
    t->handed = 1;
    *p += len;

    return D4_DECODE_RECORD;
}


d4_decode_t
d4_text_keep(d4_text_t *t, const uint8_t **p, const uint8_t *end)
{
    if (d4_carry_add(&t->carry, *p, (size_t) (end - *p)) != 0) {
        return D4_DECODE_NOMEM;
    }

    *p = end;

    return D4_DECODE_AGAIN;
}


/* Text has no preamble: any place between two records is as good. */

int
d4_text_restore(d4_decoder_t *head, const uint8_t *preamble, size_t len,
    int resume)
{
    (void) head;
    (void) preamble;
    (void) resume;

    return (len == 0) ? 0 : -1;
}


size_t
d4_text_held(const d4_decoder_t *head)
{
    const d4_text_t  *t;

    t = (const d4_text_t *) head;

    return t->handed ? 0 : t->carry.len;
}


void
d4_text_free(d4_decoder_t *head)
{
    d4_text_t  *t;

    t = (d4_text_t *) head;

    d4_carry_free(&t->carry);
    free(t);
}

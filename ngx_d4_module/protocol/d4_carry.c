
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_carry.h"

#include <stdlib.h>
#include <string.h>


#define D4_CARRY_MIN  256


void
d4_carry_init(d4_carry_t *c, d4_pool_t *pool)
{
    memset(c, 0, sizeof(d4_carry_t));

    c->pool = pool;
}


int
d4_carry_add(d4_carry_t *c, const void *p, size_t len)
{
    size_t    size;
    uint8_t  *data;

    if (len > c->size - c->len) {
        size = c->size ? c->size : D4_CARRY_MIN;

        while (len > size - c->len) {
            if (size > SIZE_MAX / 2) {
                return -1;
            }

            size *= 2;
        }

        data = realloc(c->data, size);
        if (data == NULL) {
            return -1;
        }

        c->pool->held += size - c->size;
        c->data = data;
        c->size = size;
    }

    if (len) {
        memcpy(c->data + c->len, p, len);
        c->len += len;
    }

    return 0;
}


void
d4_carry_clear(d4_carry_t *c)
{
    if (c->size > D4_CARRY_KEEP) {
        d4_carry_free(c);
        return;
    }

    c->len = 0;
}


void
d4_carry_free(d4_carry_t *c)
{
    free(c->data);

    c->pool->held -= c->size;
    c->data = NULL;
    c->len = 0;
    c->size = 0;
}

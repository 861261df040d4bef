
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_block.h"

#include <stdlib.h>
#include <string.h>


static d4_block_t *d4_block_get(d4_blocks_t *b);
static void d4_block_put(d4_blocks_t *b, d4_block_t *block);


void
d4_pool_init(d4_pool_t *pool, size_t spare_max)
{
    memset(pool, 0, sizeof(d4_pool_t));
    pool->spare_max = spare_max;
}


void
d4_pool_clear(d4_pool_t *pool)
{
    d4_block_t  *block;

    while (pool->spare != NULL) {
        block = pool->spare;
        pool->spare = block->next;
        free(block);
    }

    pool->spare_held = 0;
}


void
d4_blocks_init(d4_blocks_t *b, d4_pool_t *pool)
{
    memset(b, 0, sizeof(d4_blocks_t));
    b->pool = pool;
}


int
d4_blocks_write(d4_blocks_t *b, const void *p, size_t len)
{
    size_t          n;
    d4_mark_t       mark;
    d4_block_t     *block;
    const uint8_t  *from;

    from = p;
    d4_blocks_mark(b, &mark);

    while (len > 0) {
        block = b->last;

        if (block == NULL || block->used == block->size) {
            block = d4_block_get(b);

            if (block == NULL) {
                d4_blocks_rewind(b, &mark);
                return -1;
            }
        }

        n = block->size - block->used;

        if (n > len) {
            n = len;
        }

        memcpy(block->data + block->used, from, n);

        block->used += (uint32_t) n;
        b->bytes += n;
        from += n;
        len -= n;
    }

    return 0;
}


void
d4_blocks_mark(const d4_blocks_t *b, d4_mark_t *m)
{
    m->last = b->last;
    m->used = (b->last != NULL) ? b->last->used : 0;
    m->bytes = b->bytes;
}


void
d4_blocks_rewind(d4_blocks_t *b, const d4_mark_t *m)
{
    d4_block_t  *block, *next;

    if (m->last == NULL) {
        d4_blocks_free(b);
        return;
    }

    next = m->last->next;

    m->last->next = NULL;
    m->last->used = m->used;
    b->last = m->last;
    b->bytes = m->bytes;

    while (next != NULL) {
        block = next;
        next = block->next;
        d4_block_put(b, block);
    }
}


int
d4_blocks_split(d4_blocks_t *b, const d4_mark_t *m, d4_blocks_t *dst)
{
    uint32_t     skip;
    d4_mark_t    mark;
    d4_block_t  *block;

    d4_blocks_mark(dst, &mark);

    block = (m->last != NULL) ? m->last : b->first;
    skip = m->used;

    while (block != NULL) {
        if (d4_blocks_write(dst, block->data + skip, block->used - skip)
            != 0)
        {
            d4_blocks_rewind(dst, &mark);
            return -1;
        }

        block = block->next;
        skip = 0;
    }

    d4_blocks_rewind(b, m);

    return 0;
}


void
d4_blocks_join(d4_blocks_t *dst, d4_blocks_t *src)
{
    if (src->first == NULL) {
        return;
    }

    if (dst->last != NULL) {
        dst->last->next = src->first;

    } else {
        dst->first = src->first;
    }

    dst->last = src->last;
    dst->bytes += src->bytes;
    dst->held += src->held;

    d4_blocks_init(src, src->pool);
}


void
d4_blocks_free(d4_blocks_t *b)
{
    d4_block_t  *block;

    while (b->first != NULL) {
        block = b->first;
        b->first = block->next;
        d4_block_put(b, block);
    }

    b->last = NULL;
    b->bytes = 0;
}


/* Links one more empty block to the end: small the first, then large ones. */

static d4_block_t *
d4_block_get(d4_blocks_t *b)
{
    size_t       size;
    d4_pool_t   *pool;
    d4_block_t  *block;

    pool = b->pool;
    size = (b->first == NULL) ? D4_BLOCK_SMALL : D4_BLOCK_LARGE;

    if (size == D4_BLOCK_LARGE && pool->spare != NULL) {
        block = pool->spare;
        pool->spare = block->next;
        pool->spare_held -= size;

    } else {
        block = malloc(size);

        if (block == NULL) {
            return NULL;
        }
    }

    block->next = NULL;
    block->size = (uint32_t) (size - sizeof(d4_block_t));
    block->used = 0;

    if (b->last == NULL) {
        b->first = block;

    } else {
        b->last->next = block;
    }

    b->last = block;
    b->held += size;
    pool->held += size;

    return block;
}


static void
d4_block_put(d4_blocks_t *b, d4_block_t *block)
{
    size_t      size;
    d4_pool_t  *pool;

    pool = b->pool;
    size = block->size + sizeof(d4_block_t);

    b->held -= size;
    pool->held -= size;

    if (size == D4_BLOCK_LARGE && pool->spare_held + size <= pool->spare_max) {
        block->next = pool->spare;
        pool->spare = block;
        pool->spare_held += size;
        return;
    }

    free(block);
}


/*
 * A byte buffer that grows by blocks, so that what was written never moves
 * and what is held follows what arrived.  All blocks come from a pool that
 * counts them: the memory budget of a worker is that count.
 */


#ifndef _D4_BLOCK_H_INCLUDED_
#define _D4_BLOCK_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


/* a buffer's first block is small, for the many sensors that say little */
#define D4_BLOCK_SMALL    4096
#define D4_BLOCK_LARGE    65536        /* both with the block's own header */


typedef struct d4_block_s  d4_block_t;

struct d4_block_s {
    d4_block_t  *next;
    uint32_t     size;                 /* bytes of data there is room for */
    uint32_t     used;
    uint8_t      data[];
};


typedef struct {
    size_t       held;                 /* bytes of all blocks in use */
    size_t       spare_max;            /* bytes kept in spare at most */
    size_t       spare_held;
    d4_block_t  *spare;                /* large blocks for re-use */
} d4_pool_t;


typedef struct {
    d4_block_t  *first;
    d4_block_t  *last;
    size_t       bytes;                /* written */
    size_t       held;                 /* of the pool */
    d4_pool_t   *pool;
} d4_blocks_t;


typedef struct {                       /* a place in a buffer */
    d4_block_t  *last;                 /* NULL: the very start */
    uint32_t     used;
    size_t       bytes;
} d4_mark_t;


void d4_pool_init(d4_pool_t *pool, size_t spare_max);

/* Frees the spare blocks; what buffers still hold stays theirs. */
void d4_pool_clear(d4_pool_t *pool);

void d4_blocks_init(d4_blocks_t *b, d4_pool_t *pool);

/* Appends.  Returns 0, or -1 without memory: then the buffer is unchanged. */
int d4_blocks_write(d4_blocks_t *b, const void *p, size_t len);

/* Remembers the end; rewind cuts the buffer back to it. */
void d4_blocks_mark(const d4_blocks_t *b, d4_mark_t *m);
void d4_blocks_rewind(d4_blocks_t *b, const d4_mark_t *m);

/*
 * Appends a copy of what b holds behind m to dst, then cuts b back to m.
 * Returns 0, or -1 without memory: then neither is changed.
 */
int d4_blocks_split(d4_blocks_t *b, const d4_mark_t *m, d4_blocks_t *dst);

/* Moves what src holds behind what dst holds; both are of one pool. */
void d4_blocks_join(d4_blocks_t *dst, d4_blocks_t *src);

/* Gives all blocks back to the pool; the buffer is empty and usable again. */
void d4_blocks_free(d4_blocks_t *b);


#pragma GCC visibility pop

#endif /* _D4_BLOCK_H_INCLUDED_ */

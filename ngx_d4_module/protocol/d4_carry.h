
/*
 * The beginning of a record whose end has not arrived yet, in one piece.  It
 * grows by doubling, so that the whole costs a copy of each byte or two, and
 * what it holds counts in the pool as blocks do.
 */


#ifndef _D4_CARRY_H_INCLUDED_
#define _D4_CARRY_H_INCLUDED_


#include "d4_block.h"


#pragma GCC visibility push(hidden)


typedef struct {
    uint8_t    *data;
    size_t      len;
    size_t      size;
    d4_pool_t  *pool;
} d4_carry_t;


void d4_carry_init(d4_carry_t *c, d4_pool_t *pool);

/* Appends.  Returns 0, or -1 without memory: then nothing has changed. */
int d4_carry_add(d4_carry_t *c, const void *p, size_t len);

/* Empty again; up to D4_CARRY_KEEP bytes stay for the next record. */
void d4_carry_clear(d4_carry_t *c);

/* Gives all memory back; empty and usable again. */
void d4_carry_free(d4_carry_t *c);


#define D4_CARRY_KEEP  4096


#pragma GCC visibility pop

#endif /* _D4_CARRY_H_INCLUDED_ */

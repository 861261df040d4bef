
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * A limit per second: a bucket that holds what one second allows.  Pure.
 */


#ifndef _D4_RATE_H_INCLUDED_
#define _D4_RATE_H_INCLUDED_


#include <stdint.h>


typedef struct {
    int64_t  rate;                 /* a second, 0: no limit */
    int64_t  tokens;               /* thousandths; negative: in debt */
    int64_t  last;                 /* milliseconds */
} d4_rate_t;


void d4_rate_init(d4_rate_t *r, uint64_t rate, int64_t now);

/*
 * When cost may be spent: 0 for now, else the time.  More than one second
 * allows may be spent once the bucket is full.
 */
int64_t d4_rate_wait(d4_rate_t *r, uint64_t cost, int64_t now);
void d4_rate_spend(d4_rate_t *r, uint64_t cost);


#endif /* _D4_RATE_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_rate.h"


void
d4_rate_init(d4_rate_t *r, uint64_t rate, int64_t now)
{
    r->rate = rate;
    r->tokens = r->rate * 1000;
    r->last = now;
}


int64_t
d4_rate_wait(d4_rate_t *r, uint64_t cost, int64_t now)
{
    int64_t  full, need, passed;

    if (r->rate == 0) {
        return 0;
    }

    full = r->rate * 1000;

    /* how long it takes to fill, at most, so that nothing overflows */

    passed = now - r->last;
    r->last = now;

    if (passed > (full - r->tokens) / r->rate) {
        r->tokens = full;

    } else {
        r->tokens += passed * r->rate;
    }

    need = (int64_t) cost * 1000;
    if (need > full) {
        need = full;
    }

    if (r->tokens >= need) {
        return 0;
    }

    return now + (need - r->tokens + r->rate - 1) / r->rate;
}


void
d4_rate_spend(d4_rate_t *r, uint64_t cost)
{
    if (r->rate != 0) {
        r->tokens -= (int64_t) cost * 1000;
    }
}

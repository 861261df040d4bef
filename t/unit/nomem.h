
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Real lack of memory: the address space of this process is limited to what
 * it has, so that the next mapping fails.  Sanitizers need theirs free.
 */


#ifndef _D4_NOMEM_H_INCLUDED_
#define _D4_NOMEM_H_INCLUDED_


#include <sys/resource.h>


#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NOMEM_POSSIBLE  0
#endif
#endif

#if !defined(NOMEM_POSSIBLE) && defined(__SANITIZE_ADDRESS__)
#define NOMEM_POSSIBLE  0
#endif

#if !defined(NOMEM_POSSIBLE)
#define NOMEM_POSSIBLE  1
#endif


static inline void
nomem(int on)
{
    struct rlimit  limit;

    if (getrlimit(RLIMIT_AS, &limit) != 0) {
        abort();
    }

    limit.rlim_cur = on ? 4096 : limit.rlim_max;

    if (setrlimit(RLIMIT_AS, &limit) != 0) {
        abort();
    }
}


#endif /* _D4_NOMEM_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What Redis says about itself in reply to INFO, and whether such a server may
 * be trusted with what sensors send.
 */


#ifndef _D4_INFO_H_INCLUDED_
#define _D4_INFO_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


#define D4_INFO_TEXT         47

#define D4_INFO_MIN_VERSION  60200


typedef struct {
    uint32_t  version;                 /* 60205 is 6.2.5; 0: not said */
    uint64_t  maxmemory;               /* 0: no limit, or not said */
    unsigned  cluster:1;
    unsigned  loading:1;
    unsigned  volatile_only:1;         /* append-only is said to be off */

    /* as written, control bytes replaced; empty: not said */
    char      version_text[D4_INFO_TEXT + 1];
    char      role[D4_INFO_TEXT + 1];
    char      policy[D4_INFO_TEXT + 1];
    char      run_id[D4_INFO_TEXT + 1];
} d4_info_t;


typedef enum {
    D4_INFO_USABLE = 0,
    D4_INFO_LOADING,                   /* not yet */
    D4_INFO_VERSION,                   /* not said, or too old */
    D4_INFO_ROLE,                      /* not a master */
    D4_INFO_CLUSTER,
    D4_INFO_POLICY                     /* would drop keys when it is full */
} d4_info_verdict_t;


/* Reads any text; what it does not say stays zero. */
void d4_info_parse(d4_info_t *info, const char *text, size_t len);

/* What has to be mended first; LOADING only if nothing has. */
d4_info_verdict_t d4_info_check(const d4_info_t *info);


#pragma GCC visibility pop

#endif /* _D4_INFO_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * How much a sensor has on disk: <data>/<uuid>/<type>/YYYY/MM/DD/...
 */


#ifndef _D4_DISK_H_INCLUDED_
#define _D4_DISK_H_INCLUDED_


#include <stdint.h>


#pragma GCC visibility push(hidden)


#define D4_DISK_MAX    1000000         /* entries that are looked at */
#define D4_DISK_DEPTH  8


typedef struct {
    uint64_t  files;
    uint64_t  bytes;                   /* their sizes */
} d4_disk_sum_t;

typedef struct {
    uint64_t       files;
    uint64_t       bytes;
    int            complete;           /* nothing was left out */
    d4_disk_sum_t  types[256];
} d4_disk_t;


/*
 * Sums up what is below path; blocks.  A directory that is not there holds
 * nothing; links are not followed.  Directories that are deeper, and entries
 * beyond the most, are left out.
 */
void d4_disk_walk(const char *path, d4_disk_t *disk);


#pragma GCC visibility pop

#endif /* _D4_DISK_H_INCLUDED_ */

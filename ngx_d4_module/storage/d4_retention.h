
/*
 * Removes old files of a store: those beyond an age, and the oldest ones until
 * the rest is not larger than a limit.  One run goes through the store once to
 * count, and where that finds too much, once or twice more: it keeps sums by
 * day, then by second within the day where the cut is, never a list of files,
 * so that its memory is bounded (32 kB, 700 kB more where it has to cut) and
 * what it removes is exactly the oldest.  A file's time is its last change; of
 * what is older than eleven years anything counts as equally old.
 *
 * What it looks at: regular files below directories of the root whose names
 * are uuids (32 hex digits) or "datas".  What it never touches: anything else
 * in the root, links, names that begin with a dot, files younger than
 * D4_RETENTION_GUARD, files whose writer lives, files the caller says are in
 * use.  Files that were never completed (".<...>.part") are removed when they
 * have not changed for D4_RETENTION_PART, with or without limits.  Directories
 * of years, months, days and below that are empty and older than the guard
 * are removed, too.
 */


#ifndef _D4_RETENTION_H_INCLUDED_
#define _D4_RETENTION_H_INCLUDED_


#include "d4_store.h"

#include <time.h>


#pragma GCC visibility push(hidden)


/* seconds */
#define D4_RETENTION_GUARD  900
#define D4_RETENTION_PART   3600


typedef struct {
    time_t    now;
    time_t    age;                     /* seconds to keep a file; 0: ever */
    uint64_t  size;                    /* bytes of all files; 0: no limit */

    /*
     * Asked about files that are not compressed, with the path below the
     * root, in the thread that calls d4_retention_step: not 0 keeps the file,
     * because it is still to be compressed or announced.  NULL: none is.
     */
    int     (*in_use)(void *data, const char *path);
    void     *data;
} d4_retention_conf_t;


typedef struct {
    uint64_t       files;              /* that are left, in files and bytes */
    uint64_t       bytes;
    uint64_t       removed_files;
    uint64_t       removed_bytes;
    uint64_t       removed_dirs;
    uint64_t       removed_parts;
    uint64_t       in_use;             /* had to go, but are in use */

    uint64_t       errors;             /* what could not be read or removed */
    d4_store_rc_t  error;              /* the first of them */
    int            err;                /* its errno */
    char           path[D4_STORE_PATH + 1];
} d4_retention_stat_t;


typedef struct d4_retention_s  d4_retention_t;


/* Begins a run.  The store must outlive it.  NULL without memory. */
d4_retention_t *d4_retention_create(const d4_store_t *s,
    const d4_retention_conf_t *conf);

/*
 * Looks at up to entries names.  AGAIN: call again; OK: the run is over, also
 * where single files could not be dealt with.  Anything else: it cannot go on.
 */
d4_store_rc_t d4_retention_step(d4_retention_t *r, unsigned entries);

/* What was found and done so far. */
const d4_retention_stat_t *d4_retention_stat(const d4_retention_t *r);

void d4_retention_free(d4_retention_t *r);


#pragma GCC visibility pop

#endif /* _D4_RETENTION_H_INCLUDED_ */

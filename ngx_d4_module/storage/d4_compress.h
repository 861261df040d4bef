
/*
 * A closed file becomes <file>.gz, in steps that a thread is not busy with for
 * long.
 *
 * The compressed file has the temporary name ".<name>.gz.part" until it is
 * complete and on the disk; then it is renamed, and the plain file is still
 * there: the caller removes it when the new name has been announced.  Whatever
 * stops in between is begun again in the same way and gives the same name:
 * what an earlier attempt left is replaced.  It cannot be anybody else's,
 * because d4_store_create gives out a name only when neither it nor its .gz
 * is taken.
 */


#ifndef _D4_COMPRESS_H_INCLUDED_
#define _D4_COMPRESS_H_INCLUDED_


#include "d4_store.h"


#pragma GCC visibility push(hidden)


/* input of one step at most */
#define D4_COMPRESS_STEP  (1024 * 1024)


typedef struct d4_compress_s  d4_compress_t;


/*
 * Begins with the first n bytes of the file path; what it has beyond is left
 * out (d4_object_aside).  level is zlib's, 1 to 9.  The store must outlive it.
 * OK: *c is to be stepped and freed, about 300 kB and three descriptors until
 * then.  SHORT: the file has no n bytes.  MISSING: there is no such file; if
 * <file>.gz exists, this was done before.  BUSY: others begin the same in this
 * moment.
 */
d4_store_rc_t d4_compress_start(d4_compress_t **c, const d4_store_t *s,
    const char *path, uint64_t n, int level);

/*
 * Does a bounded part of it.  AGAIN: call again.  OK: <file>.gz is there, has
 * the time of the plain file and survives a loss of power.  MISSING: another
 * one has begun the same, and this attempt is over.  Anything else: it failed.
 */
d4_store_rc_t d4_compress_step(d4_compress_t *c);

/* Bytes of the compressed file so far. */
uint64_t d4_compress_bytes(const d4_compress_t *c);

/*
 * Ends it; where it had not come to OK, the unfinished file is removed.  errno
 * stays.  NULL is nothing.
 */
void d4_compress_free(d4_compress_t *c);


#pragma GCC visibility pop

#endif /* _D4_COMPRESS_H_INCLUDED_ */


/*
 * Small files that are written at once and whole: certificates, records of
 * sessions, files that a sensor sends, the meta object of a session, and what
 * has to be kept of a file before it is cut.
 *
 * A file is written under a temporary name beside its place and then renamed,
 * so that its name never stands for a part of it, and never over another one.
 */


#ifndef _D4_OBJECT_H_INCLUDED_
#define _D4_OBJECT_H_INCLUDED_


#include "d4_store.h"


#pragma GCC visibility push(hidden)


typedef enum {
    D4_OBJECT_NEW = 0,                 /* written */
    D4_OBJECT_SAME,                    /* there already, with these bytes */
    D4_OBJECT_DIFFERENT                /* another one is there, untouched */
} d4_object_t;


/*
 * Writes the len bytes at p to path.  level 1 to 9: with gzip, 0: as they are;
 * what is there already is compared by its content in either case.  sync: it
 * has to survive a loss of power, which may otherwise leave an empty file
 * that is DIFFERENT from then on.  SAME makes an old file young again: it is
 * needed, and retention goes by the age.
 *
 * Takes the time it takes to write and compress all of it.  Where the result
 * is not OK, what is not set and there is no new file.
 */
d4_store_rc_t d4_object_write(const d4_store_t *s, const char *path,
    const void *p, size_t len, int level, int sync, d4_object_t *what);

/*
 * Copies what a file has beyond its first n bytes, unless it is no more than
 * the known ones that are found elsewhere, to <path>.beyond, or to
 * <path>.beyond-2 and so on where that one holds anything else, for a caller
 * who is about to cut the file or to compress no more of it.  Writes the name
 * to out and the number of bytes, with 0 nothing is written and out is "".
 * Repeating it changes nothing.  SHORT: the file has no n bytes; EXISTS: all
 * the names are taken.  The copy survives a loss of power.
 */
d4_store_rc_t d4_object_aside(const d4_store_t *s, const char *path,
    uint64_t n, uint64_t known, char out[D4_STORE_PATH + 1], uint64_t *bytes);


#pragma GCC visibility pop

#endif /* _D4_OBJECT_H_INCLUDED_ */

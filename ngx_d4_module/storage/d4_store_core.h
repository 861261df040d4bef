
/*
 * What the parts of the store share; not for callers.
 */


#ifndef _D4_STORE_CORE_H_INCLUDED_
#define _D4_STORE_CORE_H_INCLUDED_


#include "d4_store.h"


#pragma GCC visibility push(hidden)


#define D4_STORE_TEMP     256          /* a temporary name, with its zero */

#define D4_STORE_TRIES    8            /* of what races with others */


/* How a reason of the system is called here. */
d4_store_rc_t d4_store_code(int err);

/* Closes fd if it is one; errno stays. */
void d4_store_drop(int fd);

/*
 * Opens the directory of path, with make the directories on the way are made.
 * name points at the last part of path.  Close it with d4_store_dir_close.
 */
d4_store_rc_t d4_store_dir(const d4_store_t *s, const char *path, int make,
    int *dir, const char **name);

/* errno stays */
void d4_store_dir_close(const d4_store_t *s, int dir);

/* fsync where a file system can do it for directories */
d4_store_rc_t d4_store_dir_sync(int dir);

/*
 * Opens the regular file name in dir with flags, O_RDONLY or O_WRONLY.  size
 * is what it has; links: with more than one name, too.
 */
d4_store_rc_t d4_store_open_at(int dir, const char *name, int flags, int links,
    int *fd, uint64_t *size);

/*
 * Makes a new file, opens it for reading and writing and gives it its owner
 * and mode.
 */
d4_store_rc_t d4_store_create_at(const d4_store_t *s, int dir,
    const char *name, int *fd);

/* The same with a temporary name, written to temp, of what will be name. */
d4_store_rc_t d4_store_create_temp(const d4_store_t *s, int dir,
    const char *name, char temp[D4_STORE_TEMP], int *fd);

/* Renames; EXISTS where anything has the new name. */
d4_store_rc_t d4_store_move(int dir, const char *name, int to_dir,
    const char *to);

/* Writes len bytes at the position of fd. */
d4_store_rc_t d4_store_write_all(int fd, const void *p, size_t len);

/*
 * Reads up to len bytes at offset, fewer only at the end of the file; got is
 * their number.
 */
d4_store_rc_t d4_store_read_at(int fd, uint64_t offset, void *p, size_t len,
    size_t *got);


#pragma GCC visibility pop

#endif /* _D4_STORE_CORE_H_INCLUDED_ */


/*
 * A data store: the directory below which all of a D4 server's files are, and
 * its files.
 *
 * Nothing outside of it can be written through it.  A path (d4_path.h) is
 * relative to the data root; it is opened part by part, and no symbolic link
 * is ever followed below the root (the root itself may be one).  A file that
 * is written to is a regular one with a single name.  No existing file is
 * overwritten, ever; what is beyond a known length is cut only by the one
 * function that says so.
 *
 * All functions may block: they are for threads, in any number at once; a
 * store does not change after d4_store_open.  They return what came of it;
 * where that is not OK, errno is the system's reason, or 0 where it has none.
 * A result that names no further consequence leaves the store as it was.
 *
 * Parts of paths that begin with a dot are refused; the names of our own that
 * do begin with one, so that nobody takes them for data, are ".d4-store" in
 * the root and ".<...>.part", a file that is not complete.
 */


#ifndef _D4_STORE_H_INCLUDED_
#define _D4_STORE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>
#include <sys/uio.h>


#pragma GCC visibility push(hidden)


#define D4_STORE_ID       32
#define D4_STORE_PATH     1023         /* longest path */
#define D4_STORE_NAME     220          /* longest part of one */


/* name, text for a log */

#define D4_STORE_RESULTS(X)                                                   \
    X(OK,         "done")                                                     \
    X(AGAIN,      "not finished")                                             \
    X(FULL,       "no space or quota left")                                   \
    X(READ_ONLY,  "read-only file system")                                    \
    X(PERMISSION, "not permitted")                                            \
    X(MISSING,    "does not exist")                                           \
    X(EXISTS,     "exists")                                                   \
    X(SHORT,      "shorter than committed")                                   \
    X(LONG,       "longer than committed")                                    \
    X(BUSY,       "in use")                                                   \
    X(UNSAFE,     "a link, or not the kind of file that belongs there")       \
    X(BAD_PATH,   "not a path of the data directory")                         \
    X(DAMAGED,    "not what was written there")                               \
    X(LIMIT,      "out of descriptors or memory")                             \
    X(IO,         "input/output error")

#define D4_STORE_ENUM(name, text)  D4_STORE_##name,

typedef enum {
    D4_STORE_RESULTS(D4_STORE_ENUM)
    D4_STORE_RESULT_MAX
} d4_store_rc_t;


typedef struct {                       /* of what is created */
    uid_t   uid;                       /* (uid_t) -1: as it comes */
    gid_t   gid;                       /* (gid_t) -1: as it comes */
    mode_t  file_mode;
    mode_t  dir_mode;                  /* S_ISGID is inherited besides */
} d4_store_owner_t;

/* whatever the umask is */
#define D4_STORE_OWNER_DEFAULT  { (uid_t) -1, (gid_t) -1, 0640, 0750 }


typedef struct {
    int               fd;              /* the data root */
    d4_store_owner_t  owner;
} d4_store_t;


typedef struct {
    uint64_t  free;                    /* bytes, for an ordinary user */
    uint64_t  total;
    uint64_t  files;                   /* that can be made; UINT64_MAX where
                                          they are not counted */
} d4_store_space_t;


/* A text without the reason of the system, a constant. */
const char *d4_store_text(d4_store_rc_t rc);


/* The store */

/*
 * Opens the directory root, which has to exist and to be writable.  owner NULL
 * is the default.  Creates nothing.
 */
d4_store_rc_t d4_store_open(d4_store_t *s, const char *root,
    const d4_store_owner_t *owner);
void d4_store_close(d4_store_t *s);

/* Makes and removes a file, with the owner and mode it would have. */
d4_store_rc_t d4_store_probe(const d4_store_t *s);

/*
 * The name of the store: D4_STORE_ID hex digits and a zero, read from
 * ".d4-store", which is made with a random one the first time, by whoever of
 * many comes first.  DAMAGED: there is something else in it.
 */
d4_store_rc_t d4_store_id(const d4_store_t *s, char id[D4_STORE_ID + 1]);

d4_store_rc_t d4_store_space(const d4_store_t *s, d4_store_space_t *space);


/* Names */

/* OK: neither path nor path.gz exists; EXISTS: one of them does. */
d4_store_rc_t d4_store_taken(const d4_store_t *s, const char *path);

/* Removes a regular file. */
d4_store_rc_t d4_store_remove(const d4_store_t *s, const char *path);

/*
 * Removes the regular file of this inode, and one that is empty and has no
 * writer.  EXISTS: what has the name is neither; BUSY: it is empty and has a
 * writer.
 */
d4_store_rc_t d4_store_remove_own(const d4_store_t *s, const char *path,
    uint64_t inode);

/*
 * Renames a regular file and makes the directories on the way.  EXISTS where
 * anything has the new name: both stay as they are.
 */
d4_store_rc_t d4_store_rename(const d4_store_t *s, const char *from,
    const char *to);

/*
 * Makes the name of a file last, and of the directories above it: fsync of
 * each up to the root.
 */
d4_store_rc_t d4_store_sync_names(const d4_store_t *s, const char *path);


/*
 * Files.  A file that is created or opened for writing is locked until it is
 * closed, which the end of a process does, too: BUSY says that its writer
 * lives.  The descriptor is the caller's, to be closed with
 * d4_store_file_close or close.
 */

/*
 * Makes a new file and the directories on the way, and opens it for writing.
 * EXISTS when path or path.gz exists.  MISSING: empty directories were removed
 * on the way as fast as they were made, so call again.
 */
d4_store_rc_t d4_store_create(const d4_store_t *s, const char *path, int *fd);

/*
 * Opens a file for writing whose first committed bytes are known to be good;
 * its size, which may be larger, goes to size.  SHORT: it is smaller, size is
 * set; such a file is never extended.  BUSY: another writer has it, or
 * where there are no locks might have it.
 */
d4_store_rc_t d4_store_append(const d4_store_t *s, const char *path,
    uint64_t committed, int *fd, uint64_t *size);

/* Opens a file for reading. */
d4_store_rc_t d4_store_read(const d4_store_t *s, const char *path, int *fd,
    uint64_t *size);

/*
 * Writes all of it at offset, which has to be the size of the file: SHORT or
 * LONG, and nothing is written, where it is not.  When it fails otherwise, the
 * file is cut back to offset, so that it can be called again in the same way;
 * if that fails, too, the next call says LONG.
 */
d4_store_rc_t d4_store_write(int fd, uint64_t offset, const struct iovec *iov,
    int n);
d4_store_rc_t d4_store_write_buf(int fd, uint64_t offset, const void *p,
    size_t len);

/* Cuts a file to size, which destroys what is beyond.  SHORT: never longer. */
d4_store_rc_t d4_store_cut(int fd, uint64_t size);

d4_store_rc_t d4_store_size(int fd, uint64_t *size);

/* What tells it from other files that have had or will have its name. */
d4_store_rc_t d4_store_inode(int fd, uint64_t *inode);

/* Makes the content last: fdatasync. */
d4_store_rc_t d4_store_sync(int fd);

/* Closes; an error may be of an earlier write. */
d4_store_rc_t d4_store_file_close(int fd);


#pragma GCC visibility pop

#endif /* _D4_STORE_H_INCLUDED_ */

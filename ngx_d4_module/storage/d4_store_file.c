
/*
 * Copyright (C) The ngx_d4 authors
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#define _FILE_OFFSET_BITS  64

#include "d4_store_core.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/stat.h>


#define D4_STORE_PIECES  64            /* of one system call */


static d4_store_rc_t d4_store_create_in(const d4_store_t *s, int dir,
    const char *name, int *fd);
static int d4_store_pieces(struct iovec *out, const struct iovec **iov, int *n,
    size_t *done);


d4_store_rc_t
d4_store_create(const d4_store_t *s, const char *path, int *fd)
{
    int            dir, tries;
    const char    *name;
    d4_store_rc_t  rc;

    for (tries = 0; /* void */ ; tries++) {
        rc = d4_store_dir(s, path, 1, &dir, &name);

        if (rc == D4_STORE_OK) {
            rc = d4_store_create_in(s, dir, name, fd);
            d4_store_dir_close(s, dir);
        }

        /* a directory that was empty has been removed meanwhile */

        if (rc != D4_STORE_MISSING || tries == D4_STORE_TRIES) {
            return rc;
        }
    }
}


static d4_store_rc_t
d4_store_create_in(const d4_store_t *s, int dir, const char *name, int *fd)
{
    int            err;
    char           gz[D4_STORE_TEMP];
    struct stat    st;
    d4_store_rc_t  rc;

    rc = d4_store_create_at(s, dir, name, fd);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    /*
     * A file is removed only after its .gz is there: if its name is free
     * because it was compressed, then this finds the .gz.
     */

    snprintf(gz, sizeof(gz), "%s.gz", name);

    if (fstatat(dir, gz, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        err = EEXIST;

    } else if (errno != ENOENT) {
        err = errno;

    /* no locks there: then nobody ever appends to what another one began */

    } else if (flock(*fd, LOCK_EX|LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        err = EWOULDBLOCK;

    } else if (fstat(*fd, &st) != 0) {
        err = errno;

    } else if (st.st_nlink == 0) {

        /* it was empty and not locked yet: somebody took it for nobody's */

        (void) close(*fd);
        errno = ENOENT;
        return D4_STORE_MISSING;

    } else {
        return D4_STORE_OK;
    }

    (void) close(*fd);
    (void) unlinkat(dir, name, 0);
    errno = err;

    return d4_store_code(err);
}


d4_store_rc_t
d4_store_append(const d4_store_t *s, const char *path, uint64_t committed,
    int *fd, uint64_t *size)
{
    int            dir;
    const char    *name;
    d4_store_rc_t  rc;

    rc = d4_store_dir(s, path, 0, &dir, &name);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    rc = d4_store_open_at(dir, name, O_WRONLY, 0, fd, size);
    d4_store_dir_close(s, dir);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    if (flock(*fd, LOCK_EX|LOCK_NB) != 0) {
        rc = D4_STORE_BUSY;

    } else {

        /* the former writer may have written until now */

        rc = d4_store_size(*fd, size);

        if (rc == D4_STORE_OK && *size < committed) {
            errno = 0;
            rc = D4_STORE_SHORT;
        }
    }

    if (rc != D4_STORE_OK) {
        d4_store_drop(*fd);
    }

    return rc;
}


d4_store_rc_t
d4_store_read(const d4_store_t *s, const char *path, int *fd, uint64_t *size)
{
    int            dir;
    const char    *name;
    d4_store_rc_t  rc;

    rc = d4_store_dir(s, path, 0, &dir, &name);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    rc = d4_store_open_at(dir, name, O_RDONLY, 0, fd, size);
    d4_store_dir_close(s, dir);

    return rc;
}


d4_store_rc_t
d4_store_open_at(int dir, const char *name, int flags, int links, int *fd,
    uint64_t *size)
{
    struct stat  st;

    /* a pipe must not make it wait */

    *fd = openat(dir, name,
                 flags|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

    if (*fd == -1) {
        return d4_store_code(errno);
    }

    if (fstat(*fd, &st) != 0) {
        d4_store_drop(*fd);
        return d4_store_code(errno);
    }

    if (!S_ISREG(st.st_mode) || (st.st_nlink > 1 && !links)) {
        (void) close(*fd);
        errno = 0;
        return D4_STORE_UNSAFE;
    }

    *size = (uint64_t) st.st_size;

    return D4_STORE_OK;
}


d4_store_rc_t
d4_store_write_buf(int fd, uint64_t offset, const void *p, size_t len)
{
    struct iovec  iov;

    iov.iov_base = (void *) p;
    iov.iov_len = len;

    return d4_store_write(fd, offset, &iov, 1);
}


d4_store_rc_t
d4_store_write(int fd, uint64_t offset, const struct iovec *iov, int n)
{
    int            count, err;
    size_t         done;
    ssize_t        written;
    uint64_t       size, at;
    struct iovec   pieces[D4_STORE_PIECES];
    d4_store_rc_t  rc;

    size = 0;
    rc = d4_store_size(fd, &size);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    if (size != offset) {
        errno = 0;
        return size < offset ? D4_STORE_SHORT : D4_STORE_LONG;
    }

    at = offset;
    done = 0;

    for ( ;; ) {
        count = d4_store_pieces(pieces, &iov, &n, &done);

        if (count == 0) {
            return D4_STORE_OK;
        }

        written = pwritev(fd, pieces, count, (off_t) at);

        if (written > 0) {
            at += (uint64_t) written;
            done += (size_t) written;
            continue;
        }

        if (written == -1 && errno == EINTR) {
            continue;
        }

        err = (written == 0) ? EIO : errno;

        if (at != offset) {
            (void) d4_store_cut(fd, offset);
        }

        errno = err;

        return d4_store_code(err);
    }
}


/*
 * What is to be written next: skips the done bytes of *iov that were written,
 * and all that is empty.
 */

static int
d4_store_pieces(struct iovec *out, const struct iovec **iov, int *n,
    size_t *done)
{
    int     i, count;
    size_t  skip;

    while (*n > 0 && *done >= (*iov)->iov_len) {
        *done -= (*iov)->iov_len;
        (*iov)++;
        (*n)--;
    }

    skip = *done;
    count = 0;

    for (i = 0; i < *n && count < D4_STORE_PIECES; i++) {
        if ((*iov)[i].iov_len == 0) {
            continue;
        }

        out[count].iov_base = (char *) (*iov)[i].iov_base + skip;
        out[count].iov_len = (*iov)[i].iov_len - skip;
        skip = 0;
        count++;
    }

    return count;
}


d4_store_rc_t
d4_store_write_all(int fd, const void *p, size_t len)
{
    ssize_t      n;
    const char  *from;

    from = p;

    while (len > 0) {
        n = write(fd, from, len);

        if (n > 0) {
            from += n;
            len -= (size_t) n;
            continue;
        }

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == 0) {
            errno = EIO;
        }

        return d4_store_code(errno);
    }

    return D4_STORE_OK;
}


d4_store_rc_t
d4_store_read_at(int fd, uint64_t offset, void *p, size_t len, size_t *got)
{
    char     *to;
    ssize_t   n;

    to = p;
    *got = 0;

    while (*got < len) {
        n = pread(fd, to + *got, len - *got, (off_t) (offset + *got));

        if (n == 0) {
            break;
        }

        if (n > 0) {
            *got += (size_t) n;
            continue;
        }

        if (errno != EINTR) {
            return d4_store_code(errno);
        }
    }

    return D4_STORE_OK;
}


d4_store_rc_t
d4_store_cut(int fd, uint64_t size)
{
    uint64_t       old;
    d4_store_rc_t  rc;

    old = 0;
    rc = d4_store_size(fd, &old);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    if (old < size) {
        errno = 0;
        return D4_STORE_SHORT;
    }

    if (ftruncate(fd, (off_t) size) != 0) {
        return d4_store_code(errno);
    }

    return D4_STORE_OK;
}


d4_store_rc_t
d4_store_size(int fd, uint64_t *size)
{
    struct stat  st;

    if (fstat(fd, &st) != 0) {
        return d4_store_code(errno);
    }

    *size = (uint64_t) st.st_size;

    return D4_STORE_OK;
}


d4_store_rc_t
d4_store_inode(int fd, uint64_t *inode)
{
    struct stat  st;

    if (fstat(fd, &st) != 0) {
        return d4_store_code(errno);
    }

    *inode = (uint64_t) st.st_ino;

    return D4_STORE_OK;
}


d4_store_rc_t
d4_store_sync(int fd)
{
    return fdatasync(fd) == 0 ? D4_STORE_OK : d4_store_code(errno);
}


d4_store_rc_t
d4_store_file_close(int fd)
{
    /* Linux has closed it in any case */

    if (close(fd) != 0 && errno != EINTR) {
        return d4_store_code(errno);
    }

    return D4_STORE_OK;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#define _FILE_OFFSET_BITS  64

#include "d4_object.h"
#include "d4_store_core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/stat.h>

#include <zlib.h>


#define D4_OBJECT_PIECE   16384
#define D4_OBJECT_YOUNG   300          /* seconds */
#define D4_OBJECT_ASIDES  99


typedef struct {                       /* what a file is to hold */
    const uint8_t  *p;
    size_t          len;
    int             level;

    int             fd;                /* or -1: the bytes of this file */
    uint64_t        offset;            /* from here */
    uint64_t        bytes;             /* so many */
} d4_object_source_t;


static d4_store_rc_t d4_object_put(const d4_store_t *s, const char *path,
    const d4_object_source_t *from, int sync, d4_object_t *what);
static d4_store_rc_t d4_object_put_in(const d4_store_t *s, int dir,
    const char *name, const d4_object_source_t *from, int sync,
    d4_object_t *what);
static d4_store_rc_t d4_object_compare(int dir, const char *name,
    const d4_object_source_t *from, d4_object_t *what);
static d4_store_rc_t d4_object_same(int fd, uint64_t size,
    const d4_object_source_t *from, int *same);
static d4_store_rc_t d4_object_same_file(int fd, uint64_t size,
    const d4_object_source_t *from, int *same);
static d4_store_rc_t d4_object_same_gzip(int fd,
    const d4_object_source_t *from, int *same);
static d4_store_rc_t d4_object_copy(int fd, const d4_object_source_t *from);
static d4_store_rc_t d4_object_gzip(int fd, const d4_object_source_t *from);


d4_store_rc_t
d4_object_write(const d4_store_t *s, const char *path, const void *p,
    size_t len, int level, int sync, d4_object_t *what)
{
    d4_object_source_t  from;

    memset(&from, 0, sizeof(from));

    from.p = (p != NULL) ? p : (const uint8_t *) "";
    from.len = len;
    from.level = level;
    from.fd = -1;

    return d4_object_put(s, path, &from, sync, what);
}


d4_store_rc_t
d4_object_aside(const d4_store_t *s, const char *path, uint64_t n,
    uint64_t known, char out[D4_STORE_PATH + 1], uint64_t *bytes)
{
    int                 i, len;
    char                number[16];
    uint64_t            size;
    d4_object_t         what;
    d4_store_rc_t       rc;
    d4_object_source_t  from;

    memset(&from, 0, sizeof(from));

    out[0] = '\0';
    *bytes = 0;

    rc = d4_store_read(s, path, &from.fd, &size);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    if (size <= n || size - n <= known) {
        d4_store_drop(from.fd);
        errno = 0;
        return size < n ? D4_STORE_SHORT : D4_STORE_OK;
    }

    from.offset = n;
    from.bytes = size - n;
    number[0] = '\0';

    for (i = 1; i <= D4_OBJECT_ASIDES; i++) {
        if (i > 1) {
            snprintf(number, sizeof(number), "-%d", i);
        }

        len = snprintf(out, D4_STORE_PATH + 1, "%s.beyond%s", path, number);

        if (len > D4_STORE_PATH) {
            errno = 0;
            rc = D4_STORE_BAD_PATH;
            break;
        }

        rc = d4_object_put(s, out, &from, 1, &what);

        if (rc != D4_STORE_OK || what != D4_OBJECT_DIFFERENT) {
            break;
        }

        errno = EEXIST;
        rc = D4_STORE_EXISTS;
    }

    d4_store_drop(from.fd);

    if (rc == D4_STORE_OK) {
        *bytes = from.bytes;

    } else {
        out[0] = '\0';
    }

    return rc;
}


static d4_store_rc_t
d4_object_put(const d4_store_t *s, const char *path,
    const d4_object_source_t *from, int sync, d4_object_t *what)
{
    int            dir, tries;
    const char    *name;
    d4_store_rc_t  rc;

    for (tries = 0; /* void */ ; tries++) {
        rc = d4_store_dir(s, path, 1, &dir, &name);

        if (rc == D4_STORE_OK) {
            rc = d4_object_put_in(s, dir, name, from, sync, what);
            d4_store_dir_close(s, dir);
        }

        /* a directory that was empty has been removed meanwhile */

        if (rc != D4_STORE_MISSING || tries == D4_STORE_TRIES) {
            break;
        }
    }

    if (rc == D4_STORE_OK && sync && *what == D4_OBJECT_NEW) {
        rc = d4_store_sync_names(s, path);
    }

    return rc;
}


static d4_store_rc_t
d4_object_put_in(const d4_store_t *s, int dir, const char *name,
    const d4_object_source_t *from, int sync, d4_object_t *what)
{
    int            fd, err;
    char           temp[D4_STORE_TEMP];
    d4_store_rc_t  rc;

    rc = d4_object_compare(dir, name, from, what);

    if (rc != D4_STORE_MISSING) {
        return rc;
    }

    rc = d4_store_create_temp(s, dir, name, temp, &fd);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    rc = d4_object_copy(fd, from);

    if (rc == D4_STORE_OK && sync) {
        rc = (fsync(fd) == 0) ? D4_STORE_OK : d4_store_code(errno);
    }

    /* a file system on another machine may say only now that it is full */

    if (rc == D4_STORE_OK) {
        rc = d4_store_file_close(fd);

    } else {
        d4_store_drop(fd);
    }

    if (rc == D4_STORE_OK) {
        rc = d4_store_move(dir, temp, dir, name);

        if (rc == D4_STORE_OK) {
            *what = D4_OBJECT_NEW;
            return rc;
        }
    }

    err = errno;
    (void) unlinkat(dir, temp, 0);
    errno = err;

    if (rc == D4_STORE_EXISTS) {

        /* another one wrote it in the same moment */

        rc = d4_object_compare(dir, name, from, what);
    }

    return rc;
}


static d4_store_rc_t
d4_object_compare(int dir, const char *name, const d4_object_source_t *from,
    d4_object_t *what)
{
    int            fd, same;
    uint64_t       size;
    struct stat    st;
    d4_store_rc_t  rc;

    same = 0;
    rc = d4_store_open_at(dir, name, O_RDONLY, 1, &fd, &size);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    rc = d4_object_same(fd, size, from, &same);

    if (rc == D4_STORE_OK) {
        *what = same ? D4_OBJECT_SAME : D4_OBJECT_DIFFERENT;

        /* where it cannot be made young it is of no consequence */

        if (same && fstat(fd, &st) == 0
            && st.st_mtime < time(NULL) - D4_OBJECT_YOUNG)
        {
            (void) futimens(fd, NULL);
        }
    }

    d4_store_drop(fd);

    return rc;
}


static d4_store_rc_t
d4_object_same(int fd, uint64_t size, const d4_object_source_t *from,
    int *same)
{
    char           piece[D4_OBJECT_PIECE];
    size_t         n;
    uint64_t       at;
    d4_store_rc_t  rc;

    if (from->fd != -1) {
        return d4_object_same_file(fd, size, from, same);
    }

    if (from->level != 0) {
        return d4_object_same_gzip(fd, from, same);
    }

    if (size != from->len) {
        return D4_STORE_OK;
    }

    for (at = 0; at < from->len; at += n) {
        rc = d4_store_read_at(fd, at, piece, sizeof(piece), &n);

        if (rc != D4_STORE_OK) {
            return rc;
        }

        if (n == 0 || n > from->len - at
            || memcmp(piece, from->p + at, n) != 0)
        {
            return D4_STORE_OK;
        }
    }

    *same = 1;

    return D4_STORE_OK;
}


static d4_store_rc_t
d4_object_same_file(int fd, uint64_t size, const d4_object_source_t *from,
    int *same)
{
    char           a[D4_OBJECT_PIECE], b[D4_OBJECT_PIECE];
    size_t         n, m, want;
    uint64_t       at;
    d4_store_rc_t  rc;

    if (size != from->bytes) {
        return D4_STORE_OK;
    }

    for (at = 0; at < size; at += n) {
        want = (size - at < sizeof(a)) ? (size_t) (size - at) : sizeof(a);

        rc = d4_store_read_at(fd, at, a, want, &n);

        if (rc == D4_STORE_OK) {
            rc = d4_store_read_at(from->fd, from->offset + at, b, want, &m);
        }

        if (rc != D4_STORE_OK) {
            return rc;
        }

        if (n == 0 || n != m || memcmp(a, b, n) != 0) {
            return D4_STORE_OK;
        }
    }

    *same = 1;

    return D4_STORE_OK;
}


/*
 * By what it unpacks to: another version of zlib may pack the same bytes in
 * another way.  It is left at the first byte that is not the same, so that
 * nothing is unpacked beyond the length of what is compared.
 */

static d4_store_rc_t
d4_object_same_gzip(int fd, const d4_object_source_t *from, int *same)
{
    int            state;
    char           in[D4_OBJECT_PIECE], out[D4_OBJECT_PIECE];
    size_t         n, got, at;
    uint64_t       offset;
    z_stream       z;
    d4_store_rc_t  rc;

    memset(&z, 0, sizeof(z));

    if (inflateInit2(&z, 15 + 16) != Z_OK) {
        errno = ENOMEM;
        return D4_STORE_LIMIT;
    }

    rc = D4_STORE_OK;
    state = Z_OK;
    offset = 0;
    at = 0;

    while (state == Z_OK) {
        if (z.avail_in == 0) {
            rc = d4_store_read_at(fd, offset, in, sizeof(in), &n);

            if (rc != D4_STORE_OK || n == 0) {
                break;
            }

            offset += n;
            z.next_in = (Bytef *) in;
            z.avail_in = (uInt) n;
        }

        z.next_out = (Bytef *) out;
        z.avail_out = sizeof(out);
        state = inflate(&z, Z_NO_FLUSH);

        got = sizeof(out) - z.avail_out;

        if (got > from->len - at || memcmp(out, from->p + at, got) != 0) {
            break;
        }

        at += got;

        if (state == Z_STREAM_END && at == from->len && z.avail_in == 0) {

            /* nothing may follow */

            rc = d4_store_read_at(fd, offset, in, 1, &n);
            *same = (rc == D4_STORE_OK && n == 0);
        }

        if (state == Z_MEM_ERROR) {
            errno = ENOMEM;
            rc = D4_STORE_LIMIT;
        }
    }

    (void) inflateEnd(&z);

    return rc;
}


static d4_store_rc_t
d4_object_copy(int fd, const d4_object_source_t *from)
{
    char           piece[D4_OBJECT_PIECE];
    size_t         n, want;
    uint64_t       at;
    d4_store_rc_t  rc;

    if (from->fd == -1) {
        return from->level != 0 ? d4_object_gzip(fd, from)
                                : d4_store_write_all(fd, from->p, from->len);
    }

    for (at = 0; at < from->bytes; at += n) {
        want = (from->bytes - at < sizeof(piece))
               ? (size_t) (from->bytes - at) : sizeof(piece);

        rc = d4_store_read_at(from->fd, from->offset + at, piece, want, &n);

        if (rc == D4_STORE_OK && n == 0) {
            errno = 0;
            rc = D4_STORE_SHORT;
        }

        if (rc == D4_STORE_OK) {
            rc = d4_store_write_all(fd, piece, n);
        }

        if (rc != D4_STORE_OK) {
            return rc;
        }
    }

    return D4_STORE_OK;
}


static d4_store_rc_t
d4_object_gzip(int fd, const d4_object_source_t *from)
{
    int            state, flush, err;
    char           out[D4_OBJECT_PIECE];
    size_t         rest;
    z_stream       z;
    d4_store_rc_t  rc;

    memset(&z, 0, sizeof(z));

    if (deflateInit2(&z, from->level, Z_DEFLATED, 15 + 16, 8,
                     Z_DEFAULT_STRATEGY)
        != Z_OK)
    {
        errno = ENOMEM;
        return D4_STORE_LIMIT;
    }

    z.next_in = (Bytef *) from->p;
    rest = from->len;

    do {
        if (z.avail_in == 0) {
            z.avail_in = (rest < INT32_MAX) ? (uInt) rest : INT32_MAX;
            rest -= z.avail_in;
        }

        flush = (rest == 0) ? Z_FINISH : Z_NO_FLUSH;

        z.next_out = (Bytef *) out;
        z.avail_out = sizeof(out);
        state = deflate(&z, flush);

        rc = d4_store_write_all(fd, out, sizeof(out) - z.avail_out);

    } while (rc == D4_STORE_OK && state == Z_OK);

    err = errno;
    (void) deflateEnd(&z);
    errno = err;

    if (rc == D4_STORE_OK && state != Z_STREAM_END) {
        errno = 0;
        rc = D4_STORE_IO;
    }

    return rc;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#define _FILE_OFFSET_BITS  64

#include "d4_compress.h"
#include "d4_store_core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/random.h>
#include <sys/stat.h>

#include <zlib.h>


#define D4_COMPRESS_IN   16384
#define D4_COMPRESS_OUT  16384


typedef enum {
    D4_COMPRESS_DATA = 0,
    D4_COMPRESS_SYNC,
    D4_COMPRESS_RENAME,
    D4_COMPRESS_DONE,
    D4_COMPRESS_FAILED
} d4_compress_state_t;


struct d4_compress_s {
    const d4_store_t     *store;
    int                   dir;
    int                   in;
    int                   out;         /* -1: there is no part file */

    uint64_t              offset;      /* read */
    uint64_t              end;
    uint64_t              written;

    d4_compress_state_t   state;
    z_stream              z;

    char                  path[D4_STORE_PATH + 1];
    char                  name[D4_STORE_TEMP];       /* of the .gz */
    char                  part[D4_STORE_TEMP];
    unsigned char         input[D4_COMPRESS_IN];
    unsigned char         output[D4_COMPRESS_OUT];
};


static d4_store_rc_t d4_compress_open(d4_compress_t *c, const char *path);
static d4_store_rc_t d4_compress_data(d4_compress_t *c);
static d4_store_rc_t d4_compress_piece(d4_compress_t *c, size_t len,
    int flush);
static d4_store_rc_t d4_compress_rename(d4_compress_t *c);
static d4_store_rc_t d4_compress_claim(d4_compress_t *c);
static int d4_compress_ours(const d4_compress_t *c);


d4_store_rc_t
d4_compress_start(d4_compress_t **result, const d4_store_t *s,
    const char *path, uint64_t n, int level)
{
    d4_store_rc_t   rc;
    d4_compress_t  *c;

    *result = NULL;

    c = malloc(sizeof(d4_compress_t));

    if (c == NULL) {
        return D4_STORE_LIMIT;
    }

    memset(c, 0, offsetof(d4_compress_t, path));

    c->store = s;
    c->end = n;
    c->dir = -1;
    c->in = -1;
    c->out = -1;

    if (deflateInit2(&c->z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY)
        != Z_OK)
    {
        free(c);
        errno = ENOMEM;
        return D4_STORE_LIMIT;
    }

    rc = d4_compress_open(c, path);

    if (rc != D4_STORE_OK) {
        d4_compress_free(c);
        return rc;
    }

    *result = c;

    return D4_STORE_OK;
}


static d4_store_rc_t
d4_compress_open(d4_compress_t *c, const char *path)
{
    int            tries;
    uint64_t       size;
    const char    *name;
    d4_store_rc_t  rc;

    size = 0;
    rc = d4_store_dir(c->store, path, 0, &c->dir, &name);

    if (rc != D4_STORE_OK) {
        c->dir = -1;
        return rc;
    }

    memcpy(c->path, path, strlen(path) + 1);
    snprintf(c->name, sizeof(c->name), "%.*s.gz", D4_STORE_NAME, name);
    snprintf(c->part, sizeof(c->part), ".%.*s.gz.part", D4_STORE_NAME, name);

    rc = d4_store_open_at(c->dir, name, O_RDONLY, 0, &c->in, &size);

    if (rc != D4_STORE_OK) {
        c->in = -1;
        return rc;
    }

    if (size < c->end) {
        errno = 0;
        return D4_STORE_SHORT;
    }

    /*
     * An earlier attempt that was killed left its part; one that only sleeps
     * finds later that the name is not its own any more.
     */

    for (tries = 0; tries < D4_STORE_TRIES; tries++) {
        if (unlinkat(c->dir, c->part, 0) != 0 && errno != ENOENT) {
            return d4_store_code(errno);
        }

        rc = d4_store_create_at(c->store, c->dir, c->part, &c->out);

        if (rc == D4_STORE_OK) {
            return rc;
        }

        c->out = -1;

        if (rc != D4_STORE_EXISTS) {
            return rc;
        }
    }

    return D4_STORE_BUSY;
}


d4_store_rc_t
d4_compress_step(d4_compress_t *c)
{
    d4_store_rc_t  rc;

    switch (c->state) {

    case D4_COMPRESS_DATA:
        rc = d4_compress_data(c);
        break;

    case D4_COMPRESS_SYNC:
        rc = fsync(c->out) == 0 ? D4_STORE_OK : d4_store_code(errno);
        break;

    case D4_COMPRESS_RENAME:
        rc = d4_compress_rename(c);
        break;

    case D4_COMPRESS_DONE:
        return D4_STORE_OK;

    default:
        errno = 0;
        return D4_STORE_IO;
    }

    if (rc == D4_STORE_AGAIN) {
        return rc;
    }

    if (rc != D4_STORE_OK) {
        c->state = D4_COMPRESS_FAILED;
        return rc;
    }

    c->state++;

    return c->state == D4_COMPRESS_DONE ? D4_STORE_OK : D4_STORE_AGAIN;
}


static d4_store_rc_t
d4_compress_data(d4_compress_t *c)
{
    size_t         n, want, done;
    d4_store_rc_t  rc;

    for (done = 0; done < D4_COMPRESS_STEP; done += n) {
        want = (c->end - c->offset < D4_COMPRESS_IN)
               ? (size_t) (c->end - c->offset) : D4_COMPRESS_IN;

        rc = d4_store_read_at(c->in, c->offset, c->input, want, &n);

        if (rc != D4_STORE_OK) {
            return rc;
        }

        if (n != want) {
            errno = 0;
            return D4_STORE_SHORT;
        }

        c->offset += n;

        if (c->offset == c->end) {
            return d4_compress_piece(c, n, Z_FINISH);
        }

        rc = d4_compress_piece(c, n, Z_NO_FLUSH);

        if (rc != D4_STORE_OK) {
            return rc;
        }
    }

    return D4_STORE_AGAIN;
}


static d4_store_rc_t
d4_compress_piece(d4_compress_t *c, size_t len, int flush)
{
    int            state;
    size_t         n;
    d4_store_rc_t  rc;

    c->z.next_in = c->input;
    c->z.avail_in = (uInt) len;

    do {
        c->z.next_out = c->output;
        c->z.avail_out = sizeof(c->output);

        state = deflate(&c->z, flush);

        n = sizeof(c->output) - c->z.avail_out;
        rc = d4_store_write_all(c->out, c->output, n);

        if (rc != D4_STORE_OK) {
            return rc;
        }

        c->written += n;

        /* with room left in the output, all of the input was taken */

    } while (state == Z_OK && c->z.avail_out == 0);

    /* Z_BUF_ERROR: the output was full and there was nothing behind it */

    if (flush == Z_FINISH ? state != Z_STREAM_END
                          : state != Z_OK && state != Z_BUF_ERROR)
    {
        errno = 0;
        return D4_STORE_IO;
    }

    return D4_STORE_OK;
}


static d4_store_rc_t
d4_compress_rename(d4_compress_t *c)
{
    struct stat      st;
    d4_store_rc_t    rc;
    struct timespec  times[2];

    rc = d4_compress_claim(c);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    if (renameat(c->dir, c->part, c->dir, c->name) != 0) {
        return d4_store_code(errno);
    }

    /*
     * Only now: a part that looks old would be taken for one that somebody
     * left.  Where the time cannot be set the file is as good.
     */

    if (fstat(c->in, &st) == 0) {
        times[0] = st.st_mtim;
        times[1] = st.st_mtim;
        (void) futimens(c->out, times);
    }

    rc = d4_store_file_close(c->out);
    c->out = -1;

    if (rc != D4_STORE_OK) {
        return rc;
    }

    return d4_store_sync_names(c->store, c->path);
}


/*
 * Between a look at the name of the part and its renaming another attempt may
 * put its own there, which is not complete.  So the part first gets a name
 * that nobody else knows, and is looked at under that.
 */

static d4_store_rc_t
d4_compress_claim(d4_compress_t *c)
{
    char      claim[D4_STORE_TEMP];
    uint64_t  random;

    if (getrandom(&random, sizeof(random), 0) != (ssize_t) sizeof(random)) {
        return D4_STORE_IO;
    }

    snprintf(claim, sizeof(claim), ".%.*s.%016llx.part", D4_STORE_NAME + 3,
             c->name, (unsigned long long) random);

    if (!d4_compress_ours(c)) {
        errno = ENOENT;
        return D4_STORE_MISSING;
    }

    if (renameat(c->dir, c->part, c->dir, claim) != 0) {
        return d4_store_code(errno);
    }

    memcpy(c->part, claim, sizeof(claim));

    if (!d4_compress_ours(c)) {

        /* the other one will miss it, and begin again */

        (void) unlinkat(c->dir, claim, 0);
        errno = ENOENT;
        return D4_STORE_MISSING;
    }

    return D4_STORE_OK;
}


/* 1 while the name of the part leads to the file that is written here. */

static int
d4_compress_ours(const d4_compress_t *c)
{
    struct stat  file, name;

    return fstat(c->out, &file) == 0
           && fstatat(c->dir, c->part, &name, AT_SYMLINK_NOFOLLOW) == 0
           && file.st_dev == name.st_dev
           && file.st_ino == name.st_ino;
}


uint64_t
d4_compress_bytes(const d4_compress_t *c)
{
    return c->written;
}


void
d4_compress_free(d4_compress_t *c)
{
    int  err;

    if (c == NULL) {
        return;
    }

    err = errno;

    if (c->out != -1) {
        if (d4_compress_ours(c)) {
            (void) unlinkat(c->dir, c->part, 0);
        }

        (void) close(c->out);
    }

    if (c->in != -1) {
        (void) close(c->in);
    }

    if (c->dir != -1) {
        d4_store_dir_close(c->store, c->dir);
    }

    (void) deflateEnd(&c->z);
    free(c);

    errno = err;
}

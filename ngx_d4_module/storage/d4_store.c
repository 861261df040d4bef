
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
#include <string.h>
#include <unistd.h>

#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>


#define D4_STORE_FILE  ".d4-store"


#define D4_STORE_TEXT(name, text)  text,

static const char *const  d4_store_texts[] = {
    D4_STORE_RESULTS(D4_STORE_TEXT)
};


static d4_store_rc_t d4_store_id_read(const d4_store_t *s,
    char id[D4_STORE_ID + 1]);
static d4_store_rc_t d4_store_id_make(const d4_store_t *s,
    char id[D4_STORE_ID + 1]);


const char *
d4_store_text(d4_store_rc_t rc)
{
    return (unsigned) rc < D4_STORE_RESULT_MAX ? d4_store_texts[rc]
                                               : "unknown result";
}


d4_store_rc_t
d4_store_code(int err)
{
    switch (err) {

    case ENOSPC:
    case EDQUOT:
        return D4_STORE_FULL;

    case EROFS:
        return D4_STORE_READ_ONLY;

    case EACCES:
    case EPERM:
        return D4_STORE_PERMISSION;

    case ENOENT:
        return D4_STORE_MISSING;

    case EEXIST:
        return D4_STORE_EXISTS;

    case EWOULDBLOCK:
        return D4_STORE_BUSY;

    /* what open() says of links, directories, pipes and sockets */

    case ELOOP:
    case ENOTDIR:
    case EISDIR:
    case ENXIO:
        return D4_STORE_UNSAFE;

    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return D4_STORE_LIMIT;

    default:
        return D4_STORE_IO;
    }
}


d4_store_rc_t
d4_store_open(d4_store_t *s, const char *root, const d4_store_owner_t *owner)
{
    static const d4_store_owner_t  usual = D4_STORE_OWNER_DEFAULT;

    s->owner = (owner != NULL) ? *owner : usual;
    s->fd = open(root, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (s->fd == -1) {
        return d4_store_code(errno);
    }

    if (faccessat(s->fd, ".", W_OK|X_OK, AT_EACCESS) != 0) {
        d4_store_drop(s->fd);
        s->fd = -1;
        return d4_store_code(errno);
    }

    return D4_STORE_OK;
}


void
d4_store_close(d4_store_t *s)
{
    d4_store_drop(s->fd);
    s->fd = -1;
}


void
d4_store_drop(int fd)
{
    int  err;

    if (fd != -1) {
        err = errno;
        (void) close(fd);
        errno = err;
    }
}


d4_store_rc_t
d4_store_probe(const d4_store_t *s)
{
    int            fd;
    char           temp[D4_STORE_TEMP];
    d4_store_rc_t  rc;

    rc = d4_store_create_temp(s, s->fd, "d4-probe", temp, &fd);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    (void) close(fd);

    return unlinkat(s->fd, temp, 0) == 0 ? D4_STORE_OK : d4_store_code(errno);
}


d4_store_rc_t
d4_store_space(const d4_store_t *s, d4_store_space_t *space)
{
    struct statvfs  fs;

    if (fstatvfs(s->fd, &fs) != 0) {
        return d4_store_code(errno);
    }

    space->free = (uint64_t) fs.f_bavail * fs.f_frsize;
    space->total = (uint64_t) fs.f_blocks * fs.f_frsize;
    space->files = (fs.f_files != 0) ? (uint64_t) fs.f_favail : UINT64_MAX;

    return D4_STORE_OK;
}


d4_store_rc_t
d4_store_id(const d4_store_t *s, char id[D4_STORE_ID + 1])
{
    int            tries;
    d4_store_rc_t  rc;

    id[0] = '\0';

    for (tries = 0; /* void */ ; tries++) {
        rc = d4_store_id_read(s, id);

        if (rc != D4_STORE_MISSING || tries == D4_STORE_TRIES) {
            return rc;
        }

        rc = d4_store_id_make(s, id);

        /* another one was first: its id is in force */

        if (rc != D4_STORE_EXISTS) {
            return rc;
        }
    }
}


static d4_store_rc_t
d4_store_id_read(const d4_store_t *s, char id[D4_STORE_ID + 1])
{
    int            fd;
    char           text[D4_STORE_ID + 2];
    size_t         n;
    uint64_t       size;
    d4_store_rc_t  rc;

    rc = d4_store_open_at(s->fd, D4_STORE_FILE, O_RDONLY, 1, &fd, &size);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    rc = d4_store_read_at(fd, 0, text, sizeof(text), &n);
    d4_store_drop(fd);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    /* an editor may have added a newline */

    if (n == D4_STORE_ID + 1 && text[D4_STORE_ID] == '\n') {
        n--;
    }

    text[n < D4_STORE_ID ? n : D4_STORE_ID] = '\0';

    if (n != D4_STORE_ID
        || strspn(text, "0123456789abcdef") != D4_STORE_ID)
    {
        errno = 0;
        return D4_STORE_DAMAGED;
    }

    memcpy(id, text, D4_STORE_ID + 1);

    return D4_STORE_OK;
}


/* The file appears complete, or not at all. */

static d4_store_rc_t
d4_store_id_make(const d4_store_t *s, char id[D4_STORE_ID + 1])
{
    int            i, fd, err;
    char           temp[D4_STORE_TEMP], text[D4_STORE_ID + 1];
    uint8_t        random[D4_STORE_ID / 2];
    d4_store_rc_t  rc;

    static const char  digits[] = "0123456789abcdef";

    if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random)) {
        return D4_STORE_IO;
    }

    for (i = 0; i < D4_STORE_ID / 2; i++) {
        text[2 * i] = digits[random[i] >> 4];
        text[2 * i + 1] = digits[random[i] & 15];
    }

    text[D4_STORE_ID] = '\0';

    rc = d4_store_create_temp(s, s->fd, "d4-store", temp, &fd);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    rc = d4_store_write_all(fd, text, D4_STORE_ID);

    if (rc == D4_STORE_OK && fsync(fd) != 0) {
        rc = d4_store_code(errno);
    }

    d4_store_drop(fd);

    if (rc == D4_STORE_OK) {
        rc = d4_store_move(s->fd, temp, s->fd, D4_STORE_FILE);
    }

    if (rc != D4_STORE_OK) {
        err = errno;
        (void) unlinkat(s->fd, temp, 0);
        errno = err;
        return rc;
    }

    rc = d4_store_dir_sync(s->fd);

    if (rc == D4_STORE_OK) {
        memcpy(id, text, sizeof(text));
    }

    return rc;
}

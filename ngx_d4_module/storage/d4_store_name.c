
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
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>


static d4_store_rc_t d4_store_check(const char *path);
static d4_store_rc_t d4_store_enter(const d4_store_t *s, int dir,
    const char *name, int make, int *fd);
static int d4_store_own_dir(const d4_store_t *s, int fd);
static d4_store_rc_t d4_store_mine(int fd, uint64_t inode);
static d4_store_rc_t d4_store_regular(int dir, const char *name);


d4_store_rc_t
d4_store_dir(const d4_store_t *s, const char *path, int make, int *dir,
    const char **name)
{
    int            fd, next;
    char           part[D4_STORE_NAME + 1];
    const char    *p, *slash;
    d4_store_rc_t  rc;

    rc = d4_store_check(path);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    fd = s->fd;

    for (p = path; /* void */ ; p = slash + 1) {
        slash = strchr(p, '/');

        if (slash == NULL) {
            break;
        }

        memcpy(part, p, (size_t) (slash - p));
        part[slash - p] = '\0';

        rc = d4_store_enter(s, fd, part, make, &next);
        d4_store_dir_close(s, fd);

        if (rc != D4_STORE_OK) {
            return rc;
        }

        fd = next;
    }

    *dir = fd;
    *name = p;

    return D4_STORE_OK;
}


/*
 * What d4_path.h makes, and nothing else: however a path came about, it names
 * something below the root, and none of the names that begin with a dot.
 */

static d4_store_rc_t
d4_store_check(const char *path)
{
    size_t       i, part;
    const char  *p;

    static const char  good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz0123456789._-:+";

    errno = 0;

    for (i = 0, part = 0, p = path; p[i] != '\0'; i++) {
        if (i == D4_STORE_PATH) {
            return D4_STORE_BAD_PATH;
        }

        if (p[i] == '/' && part != 0) {
            part = 0;
            continue;
        }

        if (strchr(good, p[i]) == NULL
            || (part == 0 && p[i] == '.')
            || part == D4_STORE_NAME)
        {
            return D4_STORE_BAD_PATH;
        }

        part++;
    }

    return part != 0 ? D4_STORE_OK : D4_STORE_BAD_PATH;
}


/* Opens the directory name in dir, and makes it before if it has to. */

static d4_store_rc_t
d4_store_enter(const d4_store_t *s, int dir, const char *name, int make,
    int *fd)
{
    int  tries, made, err;

    for (tries = 0; tries < D4_STORE_TRIES; tries++) {
        made = 0;
        *fd = openat(dir, name, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

        if (*fd == -1 && errno == ENOENT && make) {

            made = (mkdirat(dir, name, 0700) == 0);

            if (!made && errno != EEXIST) {
                return d4_store_code(errno);
            }

            *fd = openat(dir, name,
                         O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

            /* retention removes directories that are empty */

            if (*fd == -1 && errno == ENOENT) {
                continue;
            }
        }

        break;
    }

    if (*fd == -1) {
        return d4_store_code(errno);
    }

    if (made && d4_store_own_dir(s, *fd) != 0) {
        err = errno;
        (void) close(*fd);
        (void) unlinkat(dir, name, AT_REMOVEDIR);
        errno = err;
        return d4_store_code(errno);
    }

    return D4_STORE_OK;
}


static int
d4_store_own_dir(const d4_store_t *s, int fd)
{
    struct stat  st;

    if ((s->owner.uid != (uid_t) -1 || s->owner.gid != (gid_t) -1)
        && fchown(fd, s->owner.uid, s->owner.gid) != 0)
    {
        return -1;
    }

    if (fstat(fd, &st) != 0) {
        return -1;
    }

    /* where the administrator has a group inherited, it goes on below */

    return fchmod(fd, s->owner.dir_mode | (st.st_mode & S_ISGID));
}


void
d4_store_dir_close(const d4_store_t *s, int dir)
{
    if (dir != s->fd) {
        d4_store_drop(dir);
    }
}


d4_store_rc_t
d4_store_dir_sync(int dir)
{
    if (fsync(dir) != 0 && errno != EINVAL && errno != ENOTSUP) {
        return d4_store_code(errno);
    }

    return D4_STORE_OK;
}


d4_store_rc_t
d4_store_create_at(const d4_store_t *s, int dir, const char *name, int *fd)
{
    int  err;

    *fd = openat(dir, name,
                 O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_NOCTTY|O_CLOEXEC, 0600);

    if (*fd == -1) {
        return d4_store_code(errno);
    }

    if (((s->owner.uid != (uid_t) -1 || s->owner.gid != (gid_t) -1)
         && fchown(*fd, s->owner.uid, s->owner.gid) != 0)
        || fchmod(*fd, s->owner.file_mode) != 0)
    {
        err = errno;
        (void) close(*fd);
        (void) unlinkat(dir, name, 0);
        errno = err;
        return d4_store_code(errno);
    }

    return D4_STORE_OK;
}


d4_store_rc_t
d4_store_create_temp(const d4_store_t *s, int dir, const char *name,
    char temp[D4_STORE_TEMP], int *fd)
{
    uint64_t  random;

    if (getrandom(&random, sizeof(random), 0) != (ssize_t) sizeof(random)) {
        return D4_STORE_IO;
    }

    snprintf(temp, D4_STORE_TEMP, ".%.*s.%016llx.part", D4_STORE_NAME, name,
             (unsigned long long) random);

    return d4_store_create_at(s, dir, temp, fd);
}


d4_store_rc_t
d4_store_move(int dir, const char *name, int to_dir, const char *to)
{
    int  err;

    if (renameat2(dir, name, to_dir, to, RENAME_NOREPLACE) == 0) {
        return D4_STORE_OK;
    }

    if (errno != EINVAL && errno != ENOSYS) {
        return d4_store_code(errno);
    }

    /* a kernel or a file system (NFS) that cannot do it at once */

    if (linkat(dir, name, to_dir, to, 0) != 0) {
        return d4_store_code(errno);
    }

    if (unlinkat(dir, name, 0) != 0) {
        err = errno;
        (void) unlinkat(to_dir, to, 0);
        errno = err;
        return d4_store_code(errno);
    }

    return D4_STORE_OK;
}


d4_store_rc_t
d4_store_taken(const d4_store_t *s, const char *path)
{
    int            dir;
    char           gz[D4_STORE_TEMP];
    const char    *name;
    struct stat    st;
    d4_store_rc_t  rc;

    rc = d4_store_dir(s, path, 0, &dir, &name);

    if (rc == D4_STORE_MISSING) {
        return D4_STORE_OK;
    }

    if (rc != D4_STORE_OK) {
        return rc;
    }

    snprintf(gz, sizeof(gz), "%s.gz", name);

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0
        || (errno == ENOENT
            && fstatat(dir, gz, &st, AT_SYMLINK_NOFOLLOW) == 0))
    {
        rc = D4_STORE_EXISTS;
        errno = EEXIST;

    } else if (errno != ENOENT) {
        rc = d4_store_code(errno);
    }

    d4_store_dir_close(s, dir);

    return rc;
}


d4_store_rc_t
d4_store_remove(const d4_store_t *s, const char *path)
{
    int            dir;
    const char    *name;
    d4_store_rc_t  rc;

    rc = d4_store_dir(s, path, 0, &dir, &name);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    rc = d4_store_regular(dir, name);

    if (rc == D4_STORE_OK && unlinkat(dir, name, 0) != 0) {
        rc = d4_store_code(errno);
    }

    d4_store_dir_close(s, dir);

    return rc;
}


d4_store_rc_t
d4_store_remove_own(const d4_store_t *s, const char *path, uint64_t inode)
{
    int            dir, fd;
    uint64_t       size;
    const char    *name;
    d4_store_rc_t  rc;

    rc = d4_store_dir(s, path, 0, &dir, &name);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    rc = d4_store_open_at(dir, name, O_RDONLY, 1, &fd, &size);

    if (rc == D4_STORE_OK) {
        rc = d4_store_mine(fd, inode);

        if (rc == D4_STORE_OK && unlinkat(dir, name, 0) != 0) {
            rc = d4_store_code(errno);
        }

        /* until here the lock of an empty one is held */

        d4_store_drop(fd);
    }

    d4_store_dir_close(s, dir);

    return rc;
}


static d4_store_rc_t
d4_store_mine(int fd, uint64_t inode)
{
    uint64_t       found, size;
    d4_store_rc_t  rc;

    found = 0;
    size = 0;
    rc = d4_store_inode(fd, &found);

    if (rc != D4_STORE_OK || found == inode) {
        return rc;
    }

    rc = d4_store_size(fd, &size);

    if (rc == D4_STORE_OK && size == 0) {

        if (flock(fd, LOCK_EX|LOCK_NB) != 0) {
            return errno == EWOULDBLOCK ? D4_STORE_BUSY : D4_STORE_EXISTS;
        }

        /* its writer may have written until now */

        rc = d4_store_size(fd, &size);
    }

    if (rc == D4_STORE_OK && size != 0) {
        errno = 0;
        rc = D4_STORE_EXISTS;
    }

    return rc;
}


d4_store_rc_t
d4_store_rename(const d4_store_t *s, const char *from, const char *to)
{
    int            dir, to_dir, tries;
    const char    *name, *to_name;
    d4_store_rc_t  rc;

    rc = d4_store_dir(s, from, 0, &dir, &name);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    for (tries = 0; tries < D4_STORE_TRIES; tries++) {
        rc = d4_store_regular(dir, name);

        if (rc != D4_STORE_OK) {
            break;
        }

        rc = d4_store_dir(s, to, 1, &to_dir, &to_name);

        if (rc == D4_STORE_OK) {
            rc = d4_store_move(dir, name, to_dir, to_name);
            d4_store_dir_close(s, to_dir);
        }

        /* a directory that was empty has been removed meanwhile */

        if (rc != D4_STORE_MISSING) {
            break;
        }
    }

    d4_store_dir_close(s, dir);

    return rc;
}


static d4_store_rc_t
d4_store_regular(int dir, const char *name)
{
    struct stat  st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return d4_store_code(errno);
    }

    if (!S_ISREG(st.st_mode)) {
        errno = 0;
        return D4_STORE_UNSAFE;
    }

    return D4_STORE_OK;
}


d4_store_rc_t
d4_store_sync_names(const d4_store_t *s, const char *path)
{
    int            dir;
    char           part[D4_STORE_PATH + 1], *slash;
    const char    *name;
    d4_store_rc_t  rc;

    rc = d4_store_check(path);

    if (rc != D4_STORE_OK) {
        return rc;
    }

    memcpy(part, path, strlen(path) + 1);

    do {
        rc = d4_store_dir(s, part, 0, &dir, &name);

        if (rc != D4_STORE_OK) {
            return rc;
        }

        rc = d4_store_dir_sync(dir);
        d4_store_dir_close(s, dir);

        if (rc != D4_STORE_OK) {
            return rc;
        }

        slash = strrchr(part, '/');

        if (slash != NULL) {
            *slash = '\0';
        }

    } while (slash != NULL);

    return D4_STORE_OK;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>


static DIR *d4_disk_open(int at, const char *name);
static void d4_disk_add(d4_disk_t *disk, int type, const struct stat *st);
static int d4_disk_type(const char *name);


/*
 * One open directory for each level, so that neither names nor the depth can
 * lead out of the tree.
 */

void
d4_disk_walk(const char *path, d4_disk_t *disk)
{
    int             level, type;
    DIR            *dirs[D4_DISK_DEPTH];
    uint64_t        seen;
    struct stat     st;
    struct dirent  *entry;

    memset(disk, 0, sizeof(d4_disk_t));
    disk->complete = 1;

    dirs[0] = d4_disk_open(AT_FDCWD, path);

    if (dirs[0] == NULL) {
        disk->complete = (errno == ENOENT);
        return;
    }

    seen = 0;
    level = 0;
    type = -1;

    while (level >= 0) {

        entry = readdir(dirs[level]);

        if (entry == NULL || seen == D4_DISK_MAX) {
            disk->complete = disk->complete && entry == NULL;
            closedir(dirs[level--]);
            continue;
        }

        if (strcmp(entry->d_name, ".") == 0
            || strcmp(entry->d_name, "..") == 0)
        {
            continue;
        }

        seen++;

        if (level == 0) {
            type = d4_disk_type(entry->d_name);
        }

        if (fstatat(dirfd(dirs[level]), entry->d_name, &st,
                    AT_SYMLINK_NOFOLLOW)
            != 0)
        {
            continue;                      /* went away meanwhile */
        }

        if (S_ISREG(st.st_mode)) {
            d4_disk_add(disk, level ? type : -1, &st);
            continue;
        }

        if (!S_ISDIR(st.st_mode)) {
            continue;
        }

        if (level + 1 == D4_DISK_DEPTH) {
            disk->complete = 0;
            continue;
        }

        dirs[level + 1] = d4_disk_open(dirfd(dirs[level]), entry->d_name);

        if (dirs[level + 1]) {
            level++;

        } else if (errno != ENOENT) {
            disk->complete = 0;
        }
    }
}


static DIR *
d4_disk_open(int at, const char *name)
{
    int   fd;
    DIR  *dir;

    fd = openat(at, name, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);
    if (fd == -1) {
        return NULL;
    }

    dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
    }

    return dir;
}


static void
d4_disk_add(d4_disk_t *disk, int type, const struct stat *st)
{
    disk->files++;
    disk->bytes += (uint64_t) st->st_size;

    if (type >= 0) {
        disk->types[type].files++;
        disk->types[type].bytes += (uint64_t) st->st_size;
    }
}


/* The number from 0 to 255 that a directory is named by, or -1. */

static int
d4_disk_type(const char *name)
{
    int  n;

    n = 0;

    if (*name == '\0' || strlen(name) > 3) {
        return -1;
    }

    for ( /* void */ ; *name; name++) {
        if (*name < '0' || *name > '9') {
            return -1;
        }

        n = n * 10 + (*name - '0');
    }

    return n < 256 ? n : -1;
}

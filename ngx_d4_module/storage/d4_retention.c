
/*
 * Copyright (C) The ngx_d4 authors
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#define _FILE_OFFSET_BITS  64

#include "d4_retention.h"
#include "d4_store_core.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/stat.h>


#define D4_RETENTION_DAYS     4096
#define D4_RETENTION_SECONDS  86400

/* root, uuid, type, year, month, day, extended type, "files", and one more */
#define D4_RETENTION_DEPTH    9

/* directories of years are the first that go when they are empty */
#define D4_RETENTION_YEAR     3


typedef enum {
    D4_RETENTION_COUNT = 0,            /* and remove by age */
    D4_RETENTION_BY_DAY,               /* before the day of the cut */
    D4_RETENTION_BY_SECOND,            /* in that day */
    D4_RETENTION_DONE
} d4_retention_pass_t;


typedef struct {
    DIR       *dir;
    size_t     path;                   /* length of its path */
    uint64_t   left;                   /* names that stay in it */
    int        removable;
} d4_retention_level_t;


struct d4_retention_s {
    const d4_store_t      *store;
    d4_retention_conf_t    conf;
    d4_retention_stat_t    stat;

    d4_retention_pass_t    pass;
    int                    depth;      /* of the directory that is read; -1 */
    d4_retention_level_t   levels[D4_RETENTION_DEPTH];
    size_t                 path_len;
    char                   path[D4_STORE_PATH + 1];

    int64_t                first_day;  /* since the epoch, that of days[0] */
    int                    cut_day;
    int                    cut_second;
    uint64_t               rest;       /* bytes to go of the cut second */
    uint64_t              *seconds;    /* bytes by second of the cut day */
    uint64_t               days[D4_RETENTION_DAYS];  /* bytes by day */
};


static d4_store_rc_t d4_retention_begin(d4_retention_t *r);
static d4_store_rc_t d4_retention_next_pass(d4_retention_t *r);
static void d4_retention_entry(d4_retention_t *r, const char *name);
static void d4_retention_enter(d4_retention_t *r, const char *name);
static void d4_retention_leave(d4_retention_t *r);
static int d4_retention_top(const char *name);
static int d4_retention_file(d4_retention_t *r, const char *name,
    const struct stat *st);
static int d4_retention_part(d4_retention_t *r, const char *name,
    const struct stat *st);
static int d4_retention_decide(d4_retention_t *r, const struct stat *st);
static int d4_retention_remove(d4_retention_t *r, const char *name,
    const struct stat *st, int plain);
static int d4_retention_day(const d4_retention_t *r, time_t t);
static int d4_retention_second(const d4_retention_t *r, time_t t);
static int d4_retention_cut(const uint64_t *bytes, int n, uint64_t *excess);
static uint64_t d4_retention_excess(const d4_retention_t *r);
static void d4_retention_error(d4_retention_t *r, d4_store_rc_t rc);
static int d4_retention_ends(const char *name, const char *end);


d4_retention_t *
d4_retention_create(const d4_store_t *s, const d4_retention_conf_t *conf)
{
    d4_retention_t  *r;

    r = calloc(1, sizeof(d4_retention_t));

    if (r == NULL) {
        return NULL;
    }

    r->store = s;
    r->conf = *conf;
    r->depth = -1;

    if (r->conf.age != 0 && r->conf.age < D4_RETENTION_GUARD) {
        r->conf.age = D4_RETENTION_GUARD;
    }

    r->first_day = (int64_t) conf->now / D4_RETENTION_SECONDS
                   - (D4_RETENTION_DAYS - 1);

    return r;
}


void
d4_retention_free(d4_retention_t *r)
{
    if (r == NULL) {
        return;
    }

    while (r->depth >= 0) {
        closedir(r->levels[r->depth--].dir);
    }

    free(r->seconds);
    free(r);
}


const d4_retention_stat_t *
d4_retention_stat(const d4_retention_t *r)
{
    return &r->stat;
}


d4_store_rc_t
d4_retention_step(d4_retention_t *r, unsigned entries)
{
    d4_store_rc_t   rc;
    struct dirent  *entry;

    while (entries-- > 0 && r->pass != D4_RETENTION_DONE) {

        if (r->depth == -1) {
            rc = d4_retention_begin(r);

            if (rc != D4_STORE_OK) {
                return rc;
            }
        }

        errno = 0;
        entry = readdir(r->levels[r->depth].dir);

        if (entry != NULL) {
            d4_retention_entry(r, entry->d_name);
            continue;
        }

        if (errno != 0) {
            d4_retention_error(r, d4_store_code(errno));
            r->levels[r->depth].left++;
        }

        d4_retention_leave(r);

        if (r->depth == -1) {
            rc = d4_retention_next_pass(r);

            if (rc != D4_STORE_OK) {
                return rc;
            }
        }
    }

    return r->pass == D4_RETENTION_DONE ? D4_STORE_OK : D4_STORE_AGAIN;
}


/* Opens the root for one pass. */

static d4_store_rc_t
d4_retention_begin(d4_retention_t *r)
{
    int  fd;

    fd = openat(r->store->fd, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        return d4_store_code(errno);
    }

    memset(&r->levels[0], 0, sizeof(d4_retention_level_t));
    r->levels[0].dir = fdopendir(fd);

    if (r->levels[0].dir == NULL) {
        d4_store_drop(fd);
        return d4_store_code(errno);
    }

    r->depth = 0;
    r->path_len = 0;
    r->path[0] = '\0';

    return D4_STORE_OK;
}


static d4_store_rc_t
d4_retention_next_pass(d4_retention_t *r)
{
    uint64_t  excess;

    excess = d4_retention_excess(r);

    /* a cut behind the last day: all that could be removed was */

    if (excess == 0 || r->pass == D4_RETENTION_BY_SECOND
        || (r->pass == D4_RETENTION_BY_DAY && r->cut_day == D4_RETENTION_DAYS))
    {
        r->pass = D4_RETENTION_DONE;
        return D4_STORE_OK;
    }

    if (r->pass == D4_RETENTION_COUNT) {
        r->seconds = calloc(D4_RETENTION_SECONDS, sizeof(uint64_t));

        if (r->seconds == NULL) {
            return D4_STORE_LIMIT;
        }

        r->cut_day = d4_retention_cut(r->days, D4_RETENTION_DAYS, &excess);
        r->pass = D4_RETENTION_BY_DAY;

        return D4_STORE_OK;
    }

    r->cut_second = d4_retention_cut(r->seconds, D4_RETENTION_SECONDS,
                                     &excess);
    r->rest = excess;
    r->pass = D4_RETENTION_BY_SECOND;

    return D4_STORE_OK;
}


static void
d4_retention_entry(d4_retention_t *r, const char *name)
{
    int          fd, stays;
    size_t       len;
    struct stat  st;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return;
    }

    if (r->depth == 0 && !d4_retention_top(name)) {
        return;
    }

    fd = dirfd(r->levels[r->depth].dir);
    len = strlen(name);

    if (len + 1 > sizeof(r->path) - 1 - r->path_len) {
        d4_retention_error(r, D4_STORE_BAD_PATH);
        r->levels[r->depth].left++;
        return;
    }

    if (r->path_len != 0) {
        r->path[r->path_len++] = '/';
    }

    memcpy(r->path + r->path_len, name, len + 1);
    r->path_len += len;

    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        stays = (errno != ENOENT);

        if (stays) {
            d4_retention_error(r, d4_store_code(errno));
        }

    } else if (S_ISDIR(st.st_mode) && name[0] != '.') {
        r->levels[r->depth].left++;
        d4_retention_enter(r, name);
        return;

    } else {
        stays = !S_ISREG(st.st_mode) || r->depth == 0
                || d4_retention_file(r, name, &st);
    }

    r->levels[r->depth].left += stays;
    r->path_len = r->levels[r->depth].path;
    r->path[r->path_len] = '\0';
}


/* Goes on in the directory name, whose path is r->path. */

static void
d4_retention_enter(d4_retention_t *r, const char *name)
{
    int                    fd;
    DIR                   *dir;
    struct stat            st;
    d4_retention_level_t  *level;

    dir = NULL;
    fd = -1;
    errno = 0;

    if (r->depth + 1 < D4_RETENTION_DEPTH) {
        fd = openat(dirfd(r->levels[r->depth].dir), name,
                    O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

        if (fd != -1 && fstat(fd, &st) == 0) {
            dir = fdopendir(fd);
        }
    }

    if (dir == NULL) {
        d4_store_drop(fd);

        if (errno != ENOENT) {
            d4_retention_error(r, errno != 0 ? d4_store_code(errno)
                                             : D4_STORE_BAD_PATH);
        }

        r->path_len = r->levels[r->depth].path;
        r->path[r->path_len] = '\0';

        return;
    }

    level = &r->levels[++r->depth];

    memset(level, 0, sizeof(d4_retention_level_t));
    level->dir = dir;
    level->path = r->path_len;

    /*
     * A directory that was made just now is about to get its first file; what
     * is removed from it in a moment changes its time.
     */

    level->removable = (r->depth >= D4_RETENTION_YEAR
                        && strncmp(r->path, "datas/", 6) != 0
                        && st.st_mtime < r->conf.now - D4_RETENTION_GUARD);
}


/* Returns to the directory above, and removes an empty one. */

static void
d4_retention_leave(d4_retention_t *r)
{
    const char            *name;
    d4_retention_level_t  *level, *above;

    level = &r->levels[r->depth];
    closedir(level->dir);

    r->depth--;

    if (r->depth == -1) {
        return;
    }

    above = &r->levels[r->depth];

    if (level->removable && level->left == 0) {
        name = r->path + above->path + (above->path != 0);

        if (unlinkat(dirfd(above->dir), name, AT_REMOVEDIR) == 0) {
            r->stat.removed_dirs++;
            above->left--;

        } else if (errno != ENOTEMPTY && errno != EEXIST) {
            d4_retention_error(r, d4_store_code(errno));
        }
    }

    r->path_len = above->path;
    r->path[r->path_len] = '\0';
}


/* The root may be shared with others: only what can be of sensors counts. */

static int
d4_retention_top(const char *name)
{
    return strcmp(name, "datas") == 0
           || (strspn(name, "0123456789abcdef") == 32 && name[32] == '\0');
}


/* Returns 1 when the file stays. */

static int
d4_retention_file(d4_retention_t *r, const char *name, const struct stat *st)
{
    int       plain, gone;
    uint64_t  size;

    if (name[0] == '.') {
        return d4_retention_part(r, name, st);
    }

    size = (uint64_t) st->st_size;

    if (r->pass == D4_RETENTION_COUNT) {
        r->stat.files++;
        r->stat.bytes += size;
    }

    if (st->st_mtime >= r->conf.now - D4_RETENTION_GUARD) {
        return 1;
    }

    plain = !d4_retention_ends(name, ".gz");

    if (d4_retention_decide(r, st)) {
        gone = d4_retention_remove(r, name, st, plain);

        if (gone && r->pass == D4_RETENTION_BY_SECOND
            && d4_retention_second(r, st->st_mtime) == r->cut_second)
        {
            r->rest -= (size < r->rest) ? size : r->rest;
        }

        return !gone;
    }

    /* sums are of what could be removed */

    if ((r->pass == D4_RETENTION_COUNT
         || (r->pass == D4_RETENTION_BY_DAY
             && d4_retention_day(r, st->st_mtime) == r->cut_day))
        && (!plain || r->conf.in_use == NULL
            || !r->conf.in_use(r->conf.data, r->path)))
    {
        if (r->pass == D4_RETENTION_COUNT) {
            r->days[d4_retention_day(r, st->st_mtime)] += size;

        } else {
            r->seconds[d4_retention_second(r, st->st_mtime)] += size;
        }
    }

    return 1;
}


static int
d4_retention_part(d4_retention_t *r, const char *name, const struct stat *st)
{
    if (!d4_retention_ends(name, ".part")
        || st->st_mtime >= r->conf.now - D4_RETENTION_PART)
    {
        return 1;
    }

    if (unlinkat(dirfd(r->levels[r->depth].dir), name, 0) == 0) {
        r->stat.removed_parts++;
        return 0;
    }

    if (errno == ENOENT) {
        return 0;
    }

    d4_retention_error(r, d4_store_code(errno));

    return 1;
}


/* 1 when a file older than the guard is to be removed in this pass. */

static int
d4_retention_decide(d4_retention_t *r, const struct stat *st)
{
    int  day, second;

    switch (r->pass) {

    case D4_RETENTION_COUNT:
        return r->conf.age != 0 && st->st_mtime < r->conf.now - r->conf.age;

    case D4_RETENTION_BY_DAY:
        return d4_retention_day(r, st->st_mtime) < r->cut_day;

    default:
        day = d4_retention_day(r, st->st_mtime);
        second = d4_retention_second(r, st->st_mtime);

        return day == r->cut_day
               && (second < r->cut_second
                   || (second == r->cut_second && r->rest != 0));
    }
}


/* Returns 1 when it is gone. */

static int
d4_retention_remove(d4_retention_t *r, const char *name,
    const struct stat *st, int plain)
{
    int  dir, fd, gone;

    dir = dirfd(r->levels[r->depth].dir);
    fd = -1;

    if (plain) {
        if (r->conf.in_use != NULL && r->conf.in_use(r->conf.data, r->path)) {
            r->stat.in_use++;
            return 0;
        }

        /* a writer locks its file, however long it has been silent */

        fd = openat(dir, name,
                    O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

        if (fd == -1 && errno != ENOENT) {
            d4_retention_error(r, d4_store_code(errno));
            return 0;
        }

        if (fd != -1 && flock(fd, LOCK_SH|LOCK_NB) != 0
            && errno == EWOULDBLOCK)
        {
            (void) close(fd);
            r->stat.in_use++;
            return 0;
        }
    }

    if (unlinkat(dir, name, 0) == 0) {
        r->stat.removed_files++;
        r->stat.removed_bytes += (uint64_t) st->st_size;
        gone = 1;

    } else if (errno == ENOENT) {
        gone = 1;

    } else {
        d4_retention_error(r, d4_store_code(errno));
        gone = 0;
    }

    if (gone) {

        /* what was not there when files were counted is not in the sums */

        r->stat.files -= (r->stat.files != 0);
        r->stat.bytes -= ((uint64_t) st->st_size < r->stat.bytes)
                         ? (uint64_t) st->st_size : r->stat.bytes;
    }

    d4_store_drop(fd);

    return gone;
}


static int
d4_retention_day(const d4_retention_t *r, time_t t)
{
    int64_t  day;

    if (t < 0) {
        return 0;
    }

    day = (int64_t) t / D4_RETENTION_SECONDS - r->first_day;

    if (day < 0) {
        return 0;
    }

    return day < D4_RETENTION_DAYS ? (int) day : D4_RETENTION_DAYS - 1;
}


static int
d4_retention_second(const d4_retention_t *r, time_t t)
{
    if (t < 0 || (int64_t) t / D4_RETENTION_SECONDS < r->first_day) {
        return 0;
    }

    return (int) ((int64_t) t % D4_RETENTION_SECONDS);
}


/*
 * The first place up to which, it included, there are excess bytes, or n.
 * excess becomes what is to go of that place.
 */

static int
d4_retention_cut(const uint64_t *bytes, int n, uint64_t *excess)
{
    int  i;

    for (i = 0; i < n; i++) {
        if (bytes[i] >= *excess) {
            return i;
        }

        *excess -= bytes[i];
    }

    return n;
}


static uint64_t
d4_retention_excess(const d4_retention_t *r)
{
    return (r->conf.size != 0 && r->stat.bytes > r->conf.size)
           ? r->stat.bytes - r->conf.size : 0;
}


static void
d4_retention_error(d4_retention_t *r, d4_store_rc_t rc)
{
    if (r->stat.errors++ == 0) {
        r->stat.error = rc;
        r->stat.err = errno;
        memcpy(r->stat.path, r->path, sizeof(r->stat.path));
    }
}


static int
d4_retention_ends(const char *name, const char *end)
{
    size_t  n, m;

    n = strlen(name);
    m = strlen(end);

    return n >= m && memcmp(name + n - m, end, m) == 0;
}

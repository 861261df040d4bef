
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * A directory of its own for a test of the storage, and children that run a
 * part of it as somebody else, in mounts of their own, or to be killed.
 */


#ifndef _D4_SCRATCH_H_INCLUDED_
#define _D4_SCRATCH_H_INCLUDED_


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../../ngx_d4_module/storage/d4_store.h"


#define NOBODY  65534


static char        root[256];          /* the data root */
static char        outside[256];       /* beside it: nothing may come here */
static char        scratch[200];       /* holds both */
static d4_store_t  store;


/* In a child: the number of the line that is not true. */

#define CHECK(truth)                                                          \
    do {                                                                      \
        if (!(truth)) {                                                       \
            return __LINE__;                                                  \
        }                                                                     \
    } while (0)

/* In a child, in the place of a line: it could not be done here. */

#define IMPOSSIBLE  100000


static inline int
scratch_remove_one(const char *path, const struct stat *st, int flag,
    struct FTW *ftw)
{
    (void) st;
    (void) flag;
    (void) ftw;

    return remove(path);
}


static inline void
scratch_empty(const char *path)
{
    (void) nftw(path, scratch_remove_one, 16, FTW_DEPTH|FTW_PHYS);
}


static inline int
scratch_setup(void **state)
{
    const char  *tmp;

    (void) state;

    tmp = getenv("TMPDIR");
    snprintf(scratch, sizeof(scratch), "%s/d4-store.XXXXXX",
             tmp != NULL && strlen(tmp) < 150 ? tmp : "/tmp");

    if (mkdtemp(scratch) == NULL || chmod(scratch, 0755) != 0) {
        return -1;
    }

    snprintf(root, sizeof(root), "%s/data", scratch);
    snprintf(outside, sizeof(outside), "%s/outside", scratch);

    return 0;
}


static inline int
scratch_teardown(void **state)
{
    (void) state;

    scratch_empty(scratch);

    return 0;
}


/* before and after each test: an empty store, open */

static inline int
scratch_begin(void **state)
{
    (void) state;

    umask(022);

    if (mkdir(root, 0755) != 0 || mkdir(outside, 0755) != 0) {
        return -1;
    }

    return d4_store_open(&store, root, NULL) == D4_STORE_OK ? 0 : -1;
}


static inline int
scratch_end(void **state)
{
    (void) state;

    d4_store_close(&store);
    scratch_empty(root);
    scratch_empty(outside);

    return 0;
}


/* The place of a file below the root, in one of a few buffers. */

static inline const char *
in_root(const char *path)
{
    static int   i;
    static char  buf[4][2048];

    i = (i + 1) % 4;

    if (snprintf(buf[i], sizeof(buf[i]), "%s/%s", root, path)
        >= (int) sizeof(buf[i]))
    {
        abort();
    }

    return buf[i];
}


static inline const char *
in_outside(const char *path)
{
    static int   i;
    static char  buf[4][2048];

    i = (i + 1) % 4;

    if (snprintf(buf[i], sizeof(buf[i]), "%s/%s", outside, path)
        >= (int) sizeof(buf[i]))
    {
        abort();
    }

    return buf[i];
}


/* Writes a file with plain means. */

static inline void
put(const char *path, const void *p, size_t len)
{
    int  fd;

    fd = open(path, O_WRONLY|O_CREAT|O_TRUNC, 0644);

    if (fd == -1 || write(fd, p, len) != (ssize_t) len || close(fd) != 0) {
        abort();
    }
}


static inline void
put_text(const char *path, const char *text)
{
    put(path, text, strlen(text));
}


/* Reads a file whole, to be freed; NULL: there is none. */

static inline char *
get(const char *path, size_t *len)
{
    int          fd;
    char        *p;
    struct stat  st;

    *len = 0;
    fd = open(path, O_RDONLY);

    if (fd == -1) {
        return NULL;
    }

    if (fstat(fd, &st) != 0) {
        abort();
    }

    p = malloc((size_t) st.st_size + 1);

    if (p == NULL || read(fd, p, (size_t) st.st_size) != st.st_size) {
        abort();
    }

    p[st.st_size] = '\0';
    *len = (size_t) st.st_size;
    close(fd);

    return p;
}


static inline int
has_text(const char *path, const char *text)
{
    int     same;
    char   *p;
    size_t  len;

    p = get(path, &len);
    same = p != NULL && len == strlen(text) && memcmp(p, text, len) == 0;
    free(p);

    return same;
}


static inline int
exists(const char *path)
{
    struct stat  st;

    return lstat(path, &st) == 0;
}


/* The number of names in a directory whose name has the end; "": of all. */

static inline int
names(const char *path, const char *end)
{
    int             n;
    DIR            *dir;
    size_t          len;
    struct dirent  *entry;

    dir = opendir(path);

    if (dir == NULL) {
        return -1;
    }

    n = 0;

    while ((entry = readdir(dir)) != NULL) {
        len = strlen(entry->d_name);

        if (strcmp(entry->d_name, ".") != 0
            && strcmp(entry->d_name, "..") != 0
            && len >= strlen(end)
            && strcmp(entry->d_name + len - strlen(end), end) == 0)
        {
            n++;
        }
    }

    closedir(dir);

    return n;
}


/* The number of open descriptors of this process. */

static inline int
descriptors(void)
{
    int  n, fd;

    for (n = 0, fd = 0; fd < 1024; fd++) {
        n += fcntl(fd, F_GETFD) != -1;
    }

    return n;
}


/*
 * Runs f in a child: 0, the line at which a CHECK failed, or the negative
 * number of the signal that ended it.
 */

static inline int
in_child(int (*f)(void))
{
    int    status, line, ends[2];
    pid_t  pid;

    fflush(NULL);

    if (pipe(ends) != 0) {
        abort();
    }

    pid = fork();

    if (pid == -1) {
        abort();
    }

    if (pid == 0) {
        line = f();
        _exit(write(ends[1], &line, sizeof(line)) == sizeof(line) ? 0 : 1);
    }

    close(ends[1]);

    if (read(ends[0], &line, sizeof(line)) != sizeof(line)) {
        line = -1;
    }

    close(ends[0]);

    if (waitpid(pid, &status, 0) != pid) {
        abort();
    }

    return WIFSIGNALED(status) ? -WTERMSIG(status) : line;
}


/* In a child: an ordinary user from now on, who root is not. */

static inline int
be_nobody(void)
{
    if (geteuid() != 0) {
        return 0;
    }

    return setgroups(0, NULL) != 0 || setgid(NOBODY) != 0
           || setuid(NOBODY) != 0;
}


/* Writes what the kernel reads of a user namespace. */

static inline int
write_map(const char *path, const char *format, unsigned id)
{
    int   fd, n;
    char  text[64];

    n = snprintf(text, sizeof(text), format, id, id);
    fd = open(path, O_WRONLY);

    if (fd == -1) {
        return -1;
    }

    n = (write(fd, text, (size_t) n) == n) ? 0 : -1;
    close(fd);

    return n;
}


/*
 * In a child: mounts a small tmpfs over the data root that only this child
 * sees, and opens it as the store.  0, or -1 where mounting is not permitted.
 */

static inline int
mount_small(const char *options)
{
    uid_t  uid;
    gid_t  gid;

    if (unshare(CLONE_NEWNS) != 0) {
        uid = geteuid();
        gid = getegid();

        if (unshare(CLONE_NEWUSER|CLONE_NEWNS) != 0
            || write_map("/proc/self/setgroups", "deny", 0) != 0
            || write_map("/proc/self/uid_map", "%u %u 1", uid) != 0
            || write_map("/proc/self/gid_map", "%u %u 1", gid) != 0)
        {
            perror("# a namespace of its own");
            return -1;
        }
    }

    if (mount(NULL, "/", NULL, MS_REC|MS_PRIVATE, NULL) != 0
        || mount("d4-test", root, "tmpfs", 0, options) != 0)
    {
        perror("# mount");
        return -1;
    }

    d4_store_close(&store);

    return d4_store_open(&store, root, NULL) == D4_STORE_OK ? 0 : -1;
}


/* The same for a test as a whole: skipped only where it cannot be done. */

#define assert_child(f)                                                       \
    do {                                                                      \
        int  line_ = in_child(f);                                             \
                                                                              \
        if (line_ == IMPOSSIBLE) {                                            \
            print_message("# " #f ": not permitted on this system\n");        \
            skip();                                                           \
        }                                                                     \
                                                                              \
        if (line_ != 0) {                                                     \
            fail_msg("line %d (negative: signal)", line_);                    \
        }                                                                     \
    } while (0)


#endif /* _D4_SCRATCH_H_INCLUDED_ */

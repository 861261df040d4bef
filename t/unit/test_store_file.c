
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "scratch.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>


#define SIZE  70000


static char  bytes[SIZE];


static void
fill(void)
{
    size_t  i;

    for (i = 0; i < SIZE; i++) {
        bytes[i] = (char) (i * 31 + i / 251);
    }
}


/* Creates a file with this content and closes it. */

static d4_store_rc_t
make(const char *path, const char *text)
{
    int            fd;
    d4_store_rc_t  rc;

    rc = d4_store_create(&store, path, &fd);

    if (rc == D4_STORE_OK) {
        rc = d4_store_write_buf(fd, 0, text, strlen(text));
        close(fd);
    }

    return rc;
}


/* writing */

static void
test_write(void **state)
{
    int           i, n, fd;
    char         *file;
    size_t        len;
    uint64_t      size;
    struct iovec  iov[300];

    (void) state;

    fill();
    assert_int_equal(d4_store_create(&store, "d/f", &fd), D4_STORE_OK);

    /* nothing at all */

    assert_int_equal(d4_store_write(fd, 0, NULL, 0), D4_STORE_OK);
    assert_int_equal(d4_store_write_buf(fd, 0, NULL, 0), D4_STORE_OK);

    /* pieces of all lengths, empty ones among them, more than go at once */

    for (n = 0, len = 0; n < 300; n++) {
        iov[n].iov_base = bytes + len;
        iov[n].iov_len = (n % 7 == 3) ? 0 : (size_t) n;
        len += iov[n].iov_len;
    }

    for (i = 0, size = 0; i < n; i += 150) {
        assert_int_equal(d4_store_write(fd, size, iov + i, 150), D4_STORE_OK);
        assert_int_equal(d4_store_size(fd, &size), D4_STORE_OK);
    }

    assert_int_equal(size, len);
    assert_int_equal(d4_store_write_buf(fd, len, bytes + len, SIZE - len),
                     D4_STORE_OK);

    file = get(in_root("d/f"), &len);
    assert_int_equal(len, SIZE);
    assert_memory_equal(file, bytes, SIZE);
    free(file);

    /* only ever at the end */

    assert_int_equal(d4_store_write_buf(fd, SIZE + 1, "x", 1),
                     D4_STORE_SHORT);
    assert_int_equal(d4_store_write_buf(fd, SIZE - 1, "x", 1), D4_STORE_LONG);
    assert_int_equal(d4_store_write_buf(fd, 0, "x", 1), D4_STORE_LONG);
    assert_int_equal(errno, 0);

    assert_int_equal(d4_store_cut(fd, SIZE + 1), D4_STORE_SHORT);
    assert_int_equal(d4_store_size(fd, &size), D4_STORE_OK);
    assert_int_equal(size, SIZE);
    assert_int_equal(d4_store_cut(fd, SIZE), D4_STORE_OK);
    assert_int_equal(d4_store_cut(fd, 10), D4_STORE_OK);
    assert_int_equal(d4_store_write_buf(fd, 10, "y", 1), D4_STORE_OK);
    assert_int_equal(d4_store_file_close(fd), D4_STORE_OK);

    file = get(in_root("d/f"), &len);
    assert_int_equal(len, 11);
    assert_memory_equal(file, bytes, 10);
    assert_int_equal(file[10], 'y');
    free(file);

    assert_int_equal(d4_store_file_close(fd), D4_STORE_IO);
    assert_int_equal(errno, EBADF);
}


/* A limit of the process: a part is written, then an error. */

static int
write_limited(void)
{
    int            fd;
    struct iovec   iov[2];
    struct rlimit  limit;

    CHECK(d4_store_create(&store, "f", &fd) == D4_STORE_OK);
    CHECK(d4_store_write_buf(fd, 0, bytes, 1000) == D4_STORE_OK);

    signal(SIGXFSZ, SIG_IGN);
    limit.rlim_cur = limit.rlim_max = 5000;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);

    iov[0].iov_base = bytes;
    iov[0].iov_len = 3000;
    iov[1].iov_base = bytes;
    iov[1].iov_len = 3000;

    CHECK(d4_store_write(fd, 1000, iov, 2) == D4_STORE_IO);
    CHECK(errno == EFBIG);
    CHECK(d4_store_write(fd, 1000, iov, 1) == D4_STORE_OK);

    return 0;
}


static void
test_write_limited(void **state)
{
    size_t   len;
    char    *file;

    (void) state;

    fill();
    assert_child(write_limited);

    file = get(in_root("f"), &len);
    assert_int_equal(len, 4000);
    assert_memory_equal(file, bytes, 1000);
    assert_memory_equal(file + 1000, bytes, 3000);
    free(file);
}


/* the disk is full, really */

static int
full_disk(void)
{
    int               fd, fd2;
    char             *file, id[D4_STORE_ID + 1], path[64];
    size_t            len;
    uint64_t          size, rest;
    struct iovec      iov[2];
    d4_store_space_t  space;

    if (mount_small("size=256k,mode=0755") != 0) {
        return IMPOSSIBLE;
    }

    CHECK(d4_store_space(&store, &space) == D4_STORE_OK);
    CHECK(space.total == 256 * 1024 && space.free <= space.total);

    CHECK(d4_store_create(&store, "d/f", &fd) == D4_STORE_OK);
    CHECK(d4_store_create(&store, "d/other", &fd2) == D4_STORE_OK);
    CHECK(d4_store_write_buf(fd2, 0, bytes, SIZE) == D4_STORE_OK);

    for (size = 0; size < 2 * SIZE; size += SIZE) {
        CHECK(d4_store_write_buf(fd, size, bytes, SIZE) == D4_STORE_OK);
    }

    /* a record of which a part would fit: none of it is left */

    iov[0].iov_base = bytes;
    iov[0].iov_len = SIZE / 2;
    iov[1].iov_base = bytes + SIZE / 2;
    iov[1].iov_len = SIZE - SIZE / 2;

    for (rest = 0; rest < 3; rest++) {
        CHECK(d4_store_write(fd, size, iov, 2) == D4_STORE_FULL);
        CHECK(errno == ENOSPC);
        CHECK(d4_store_size(fd, &rest) == D4_STORE_OK && rest == size);
    }

    /* what is small goes on for a while */

    while (d4_store_write_buf(fd, size, bytes, 1000) == D4_STORE_OK) {
        size += 1000;
    }

    CHECK(errno == ENOSPC);
    CHECK(d4_store_size(fd, &rest) == D4_STORE_OK && rest == size);
    CHECK(d4_store_space(&store, &space) == D4_STORE_OK);
    CHECK(space.free == 0);

    /* space returns: the same call, nothing twice */

    close(fd2);
    CHECK(d4_store_remove(&store, "d/other") == D4_STORE_OK);
    CHECK(d4_store_write_buf(fd, size, bytes, 1000) == D4_STORE_OK);
    close(fd);

    file = get(in_root("d/f"), &len);
    CHECK(file != NULL && len == size + 1000);
    CHECK(memcmp(file, bytes, SIZE) == 0);
    CHECK(memcmp(file + SIZE, bytes, SIZE) == 0);

    for (rest = 2 * SIZE; rest < len; rest += 1000) {
        CHECK(memcmp(file + rest, bytes, 1000) == 0);
    }

    free(file);

    /* no more files: what was begun is taken back */

    CHECK(mount(NULL, root, NULL, MS_REMOUNT, "size=256k,nr_inodes=10") == 0);

    for (rest = 0; rest < 10; rest++) {
        snprintf(path, sizeof(path), "e/%d", (int) rest);

        if (make(path, "") != D4_STORE_OK) {
            break;
        }
    }

    CHECK(rest < 10 && errno == ENOSPC);
    CHECK(names(in_root("e"), "") == (int) rest);
    CHECK(d4_store_create(&store, "g/h/f", &fd) == D4_STORE_FULL);
    CHECK(d4_store_probe(&store) == D4_STORE_FULL);
    CHECK(d4_store_id(&store, id) == D4_STORE_FULL);
    CHECK(names(root, "") == 2);
    CHECK(d4_store_space(&store, &space) == D4_STORE_OK && space.files == 0);

    CHECK(d4_store_remove(&store, "e/0") == D4_STORE_OK);
    CHECK(d4_store_id(&store, id) == D4_STORE_OK);

    return 0;
}


static void
test_full_disk(void **state)
{
    (void) state;

    fill();
    assert_child(full_disk);
}


static int
read_only(void)
{
    int         fd;
    char        id[D4_STORE_ID + 1];
    uint64_t    size;
    d4_store_t  s;

    if (mount_small("size=256k,mode=0755") != 0) {
        return IMPOSSIBLE;
    }

    CHECK(make("d/f", "x") == D4_STORE_OK);
    CHECK(mount(NULL, root, NULL, MS_REMOUNT|MS_RDONLY, NULL) == 0);

    CHECK(d4_store_open(&s, root, NULL) == D4_STORE_READ_ONLY);
    CHECK(errno == EROFS);
    CHECK(d4_store_probe(&store) == D4_STORE_READ_ONLY);
    CHECK(d4_store_id(&store, id) == D4_STORE_READ_ONLY);
    CHECK(d4_store_create(&store, "d/g", &fd) == D4_STORE_READ_ONLY);
    CHECK(d4_store_create(&store, "e/g", &fd) == D4_STORE_READ_ONLY);
    CHECK(d4_store_append(&store, "d/f", 1, &fd, &size)
          == D4_STORE_READ_ONLY);
    CHECK(d4_store_remove(&store, "d/f") == D4_STORE_READ_ONLY);
    CHECK(d4_store_rename(&store, "d/f", "d/g") == D4_STORE_READ_ONLY);
    CHECK(d4_store_read(&store, "d/f", &fd, &size) == D4_STORE_OK);
    CHECK(size == 1);

    CHECK(mount(NULL, root, NULL, MS_REMOUNT, NULL) == 0);
    CHECK(make("d/g", "x") == D4_STORE_OK);

    return 0;
}


static void
test_read_only(void **state)
{
    (void) state;

    assert_child(read_only);
}


/* a directory that somebody else owns */

static int
not_permitted(void)
{
    int       fd;
    uint64_t  size;

    CHECK(be_nobody() == 0);

    CHECK(d4_store_create(&store, "d/g", &fd) == D4_STORE_PERMISSION);
    CHECK(errno == EACCES);
    CHECK(d4_store_create(&store, "d/e/g", &fd) == D4_STORE_PERMISSION);
    CHECK(d4_store_append(&store, "d/f", 1, &fd, &size)
          == D4_STORE_PERMISSION);
    CHECK(d4_store_remove(&store, "d/f") == D4_STORE_PERMISSION);
    CHECK(d4_store_rename(&store, "d/f", "d/g") == D4_STORE_PERMISSION);
    CHECK(d4_store_create(&store, "secret/g", &fd) == D4_STORE_PERMISSION);
    CHECK(d4_store_taken(&store, "secret/g") == D4_STORE_PERMISSION);

    return 0;
}


static void
test_not_permitted(void **state)
{
    (void) state;

    assert_int_equal(make("d/f", "x"), D4_STORE_OK);
    assert_int_equal(chmod(in_root("d/f"), 0444), 0);
    assert_int_equal(chmod(in_root("d"), 0555), 0);
    assert_int_equal(mkdir(in_root("secret"), 0000), 0);

    assert_child(not_permitted);

    assert_true(has_text(in_root("d/f"), "x"));
    assert_int_equal(chmod(in_root("d"), 0755), 0);
}


static int
no_descriptors(void)
{
    int            fd, n;
    uint64_t       size;
    struct rlimit  limit;

    CHECK(make("a/b/f", "x") == D4_STORE_OK);

    /* room for one more */

    fd = open("/", O_RDONLY);
    CHECK(fd != -1);
    close(fd);

    n = descriptors();
    limit.rlim_cur = limit.rlim_max = (rlim_t) fd + 1;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);

    CHECK(d4_store_create(&store, "a/b/g", &fd) == D4_STORE_LIMIT);
    CHECK(errno == EMFILE);
    CHECK(d4_store_append(&store, "a/b/f", 1, &fd, &size) == D4_STORE_LIMIT);
    CHECK(d4_store_remove(&store, "a/b/f") == D4_STORE_LIMIT);
    CHECK(descriptors() == n);

    return 0;
}


static void
test_no_descriptors(void **state)
{
    (void) state;

    assert_child(no_descriptors);
    assert_true(has_text(in_root("a/b/f"), "x"));
    assert_int_equal(names(in_root("a/b"), ""), 1);
}


/* appending */

static void
test_append(void **state)
{
    int       fd, fd2;
    uint64_t  size;

    (void) state;

    assert_int_equal(d4_store_append(&store, "d/f", 0, &fd, &size),
                     D4_STORE_MISSING);
    assert_int_equal(make("d/f", "0123456789"), D4_STORE_OK);
    assert_int_equal(d4_store_append(&store, "d/g", 0, &fd, &size),
                     D4_STORE_MISSING);

    assert_int_equal(d4_store_append(&store, "d/f", 10, &fd, &size),
                     D4_STORE_OK);
    assert_int_equal(size, 10);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(d4_store_write_buf(fd, 10, "ab", 2), D4_STORE_OK);

    /* one writer at a time */

    assert_int_equal(d4_store_append(&store, "d/f", 10, &fd2, &size),
                     D4_STORE_BUSY);
    assert_int_equal(errno, EWOULDBLOCK);
    close(fd);

    /* longer is for the caller to judge */

    assert_int_equal(d4_store_append(&store, "d/f", 10, &fd, &size),
                     D4_STORE_OK);
    assert_int_equal(size, 12);
    assert_int_equal(d4_store_write_buf(fd, 10, "x", 1), D4_STORE_LONG);
    assert_int_equal(d4_store_cut(fd, 10), D4_STORE_OK);
    assert_int_equal(d4_store_write_buf(fd, 10, "x", 1), D4_STORE_OK);
    close(fd);
    assert_true(has_text(in_root("d/f"), "0123456789x"));

    /* shorter is reported and stays as it is */

    assert_int_equal(d4_store_append(&store, "d/f", 12, &fd, &size),
                     D4_STORE_SHORT);
    assert_int_equal(errno, 0);
    assert_int_equal(size, 11);
    assert_true(has_text(in_root("d/f"), "0123456789x"));

    assert_int_equal(d4_store_append(&store, "d/f", UINT64_MAX, &fd, &size),
                     D4_STORE_SHORT);

    assert_int_equal(d4_store_read(&store, "d/f", &fd, &size), D4_STORE_OK);
    assert_int_equal(size, 11);
    assert_int_equal(d4_store_write_buf(fd, 11, "x", 1), D4_STORE_IO);
    close(fd);
}


/* A writer that sleeps keeps its file, one that was killed does not. */

static void
test_lock(void **state)
{
    int       i, fd, status, ready[2];
    char      c;
    pid_t     pid;
    uint64_t  size;

    (void) state;

    assert_int_equal(make("appended", "x"), D4_STORE_OK);

    for (i = 0; i < 2; i++) {
        assert_int_equal(pipe(ready), 0);
        pid = fork();
        assert_int_not_equal(pid, -1);

        if (pid == 0) {
            if ((i == 0 ? d4_store_create(&store, "created", &fd)
                        : d4_store_append(&store, "appended", 1, &fd, &size))
                != D4_STORE_OK)
            {
                _exit(1);
            }

            (void) !write(ready[1], "x", 1);

            for ( ;; ) {
                pause();
            }
        }

        close(ready[1]);
        assert_int_equal(read(ready[0], &c, 1), 1);
        close(ready[0]);

        assert_int_equal(kill(pid, SIGSTOP), 0);
        assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
        assert_true(WIFSTOPPED(status));

        assert_int_equal(d4_store_append(&store, i == 0 ? "created"
                                                        : "appended",
                                         0, &fd, &size), D4_STORE_BUSY);

        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);

        assert_int_equal(d4_store_append(&store, i == 0 ? "created"
                                                        : "appended",
                                         0, &fd, &size), D4_STORE_OK);
        close(fd);
    }
}


/* several at once */

#define THREADS  4
#define ROUNDS   300

static pthread_barrier_t  barrier;
static int                wins[THREADS][ROUNDS];
static d4_store_rc_t      others[THREADS];


static void *
create_all(void *data)
{
    int            i, fd, self;
    char           path[64];
    d4_store_rc_t  rc;

    self = (int) (intptr_t) data;

    for (i = 0; i < ROUNDS; i++) {
        snprintf(path, sizeof(path), "d%d/e/f%d", i / 3, i);
        pthread_barrier_wait(&barrier);

        rc = d4_store_create(&store, path, &fd);
        wins[self][i] = (rc == D4_STORE_OK);

        if (rc == D4_STORE_OK) {
            if (d4_store_write_buf(fd, 0, &self, sizeof(self)) != D4_STORE_OK)
            {
                others[self] = D4_STORE_IO;
            }

            close(fd);

        } else if (rc != D4_STORE_EXISTS) {
            others[self] = rc;
        }
    }

    return NULL;
}


/* Only what is known to be one's own is removed, and what is nobody's. */

static void
test_remove_own(void **state)
{
    int       fd;
    uint64_t  inode, other, size;

    (void) state;

    other = 0;
    inode = 0;

    assert_int_equal(d4_store_remove_own(&store, "d/f", 1), D4_STORE_MISSING);
    assert_int_equal(make("d/f", "one"), D4_STORE_OK);
    assert_int_equal(make("d/g", "two"), D4_STORE_OK);

    assert_int_equal(d4_store_read(&store, "d/g", &fd, &size), D4_STORE_OK);
    assert_int_equal(d4_store_inode(fd, &other), D4_STORE_OK);
    close(fd);

    assert_int_equal(d4_store_remove_own(&store, "d/f", 0), D4_STORE_EXISTS);
    assert_int_equal(d4_store_remove_own(&store, "d/f", other),
                     D4_STORE_EXISTS);

    assert_int_equal(d4_store_read(&store, "d/f", &fd, &size), D4_STORE_OK);
    assert_int_equal(d4_store_inode(fd, &inode), D4_STORE_OK);
    assert_int_equal(size, 3);
    close(fd);

    assert_int_not_equal(inode, other);
    assert_int_equal(d4_store_remove_own(&store, "d/f", inode), D4_STORE_OK);
    assert_int_equal(d4_store_remove_own(&store, "d/f", inode),
                     D4_STORE_MISSING);

    /* empty: its writer may be about to write */

    assert_int_equal(d4_store_create(&store, "d/f", &fd), D4_STORE_OK);
    assert_int_equal(d4_store_remove_own(&store, "d/f", other),
                     D4_STORE_BUSY);
    assert_int_equal(d4_store_write_buf(fd, 0, "x", 1), D4_STORE_OK);
    assert_int_equal(d4_store_remove_own(&store, "d/f", other),
                     D4_STORE_EXISTS);
    assert_int_equal(d4_store_cut(fd, 0), D4_STORE_OK);
    close(fd);
    assert_int_equal(d4_store_remove_own(&store, "d/f", other), D4_STORE_OK);

    /* a file that its writer has open is its own all the same */

    assert_int_equal(d4_store_create(&store, "d/f", &fd), D4_STORE_OK);
    assert_int_equal(d4_store_inode(fd, &inode), D4_STORE_OK);
    assert_int_equal(d4_store_write_buf(fd, 0, "x", 1), D4_STORE_OK);
    assert_int_equal(d4_store_remove_own(&store, "d/f", inode), D4_STORE_OK);
    close(fd);

    assert_int_equal(d4_store_remove_own(&store, "../f", 1),
                     D4_STORE_BAD_PATH);
}


static void
test_race(void **state)
{
    int        i, j, n, winner;
    char      *file, path[64];
    size_t     len;
    pthread_t  threads[THREADS];

    (void) state;

    memset(wins, 0, sizeof(wins));
    memset(others, 0, sizeof(others));
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, create_all,
                                        (void *) (intptr_t) i), 0);
    }

    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(others[i], D4_STORE_OK);
    }

    pthread_barrier_destroy(&barrier);

    for (i = 0; i < ROUNDS; i++) {
        for (n = 0, winner = 0, j = 0; j < THREADS; j++) {
            n += wins[j][i];
            winner = wins[j][i] ? j : winner;
        }

        assert_int_equal(n, 1);

        snprintf(path, sizeof(path), "d%d/e/f%d", i / 3, i);
        file = get(in_root(path), &len);
        assert_non_null(file);
        assert_int_equal(len, sizeof(winner));
        assert_memory_equal(file, &winner, sizeof(winner));
        free(file);
    }
}


/* directories vanish when they are empty, as retention makes them */

static volatile int  stop, removed;

static void *
remove_for_ever(void *data)
{
    (void) data;

    while (!stop) {
        removed += (unlinkat(store.fd, "a/b/c", AT_REMOVEDIR) == 0);
        removed += (unlinkat(store.fd, "a/b", AT_REMOVEDIR) == 0);
        removed += (unlinkat(store.fd, "a", AT_REMOVEDIR) == 0);
        usleep(1000);
    }

    return NULL;
}


static void
test_vanishing(void **state)
{
    int            i, fd, failed, lost;
    pthread_t      thread;
    d4_store_rc_t  rc;

    (void) state;

    stop = 0;
    failed = lost = removed = 0;
    assert_int_equal(pthread_create(&thread, NULL, remove_for_ever, NULL), 0);

    for (i = 0; i < 3000 || (removed < 100 && i < 1000000); i++) {
        rc = d4_store_create(&store, "a/b/c/f", &fd);

        if (rc == D4_STORE_OK) {
            close(fd);
            rc = d4_store_remove(&store, "a/b/c/f");
        }

        failed += (rc != D4_STORE_OK && rc != D4_STORE_MISSING);
        lost += (rc == D4_STORE_MISSING);
    }

    stop = 1;
    pthread_join(thread, NULL);
    assert_int_equal(failed, 0);
    assert_true(removed >= 100);

    /* a slow disk can make it lose each of its tries, which it then says */

    assert_true(lost < i / 10);
}


static int  before;


static int
setup(void **state)
{
    before = descriptors();

    return scratch_setup(state);
}


/* whatever failed above, nothing was left open */

static void
test_descriptors(void **state)
{
    (void) state;

    assert_int_equal(descriptors(), before + 1);
}


#define test(f)                                                               \
    cmocka_unit_test_setup_teardown(f, scratch_begin, scratch_end)

int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test(test_write),
        test(test_write_limited),
        test(test_full_disk),
        test(test_read_only),
        test(test_not_permitted),
        test(test_no_descriptors),
        test(test_append),
        test(test_lock),
        test(test_remove_own),
        test(test_race),
        test(test_vanishing),
        test(test_descriptors),
    };

    return cmocka_run_group_tests(tests, setup, scratch_teardown);
}

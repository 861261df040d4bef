
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "scratch.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <zlib.h>

#include "../../ngx_d4_module/storage/d4_compress.h"


#define MIB   (1024 * 1024)
#define SIZE  (3 * MIB + 12345)


static char  *bytes;


static void
fill(void)
{
    size_t    i;
    unsigned  r;

    bytes = malloc(SIZE);

    if (bytes == NULL) {
        abort();
    }

    /* lines, and every now and then what does not pack */

    for (i = 0, r = 1; i < SIZE; i++) {
        r = r * 1103515245u + 12345u;
        bytes[i] = (i / 5000 % 5 == 0) ? (char) (r >> 16)
                                       : "one line like another\n"[i % 22];
    }
}


static int
holds(const char *path, const void *p, size_t len)
{
    int     same;
    char   *file;
    size_t  n;

    file = get(in_root(path), &n);
    same = file != NULL && n == len && memcmp(file, p, len) == 0;
    free(file);

    return same;
}


/* by zlib and, as consumers do it, by the programs */

static int
unpacks(const char *path, const void *p, size_t len)
{
    int     n, ok;
    char   *out, command[1024];
    FILE   *zcat;
    gzFile  gz;
    size_t  got;

    gz = gzopen(in_root(path), "rb");
    out = malloc(len + 2);

    if (out == NULL) {
        abort();
    }

    if (gz == NULL) {
        free(out);
        return 0;
    }

    n = gzread(gz, out, (unsigned) len + 2);
    ok = n == (int) len && !gzdirect(gz) && memcmp(out, p, len) == 0;
    gzclose(gz);

    snprintf(command, sizeof(command), "gzip -t '%s' && zcat '%s'",
             in_root(path), in_root(path));
    zcat = popen(command, "r");

    if (zcat == NULL) {
        abort();
    }

    memset(out, 0, len);
    got = fread(out, 1, len + 2, zcat);
    ok = ok && pclose(zcat) == 0 && got == len && memcmp(out, p, len) == 0;

    free(out);

    return ok;
}


/* All of it; the number of steps goes to steps. */

static d4_store_rc_t
compress_file(const char *path, uint64_t n, int level, int *steps)
{
    d4_store_rc_t   rc;
    d4_compress_t  *c;

    *steps = 0;
    rc = d4_compress_start(&c, &store, path, n, level);

    if (rc != D4_STORE_OK) {
        assert_null(c);
        return rc;
    }

    do {
        rc = d4_compress_step(c);
        ++*steps;

    } while (rc == D4_STORE_AGAIN);

    if (rc == D4_STORE_OK) {
        assert_int_equal(d4_compress_step(c), D4_STORE_OK);
    }

    d4_compress_free(c);

    return rc;
}


static void
test_sizes(void **state)
{
    int              level, steps;
    char             path[64], gz[80];
    size_t           i;
    struct stat      st;
    struct timespec  times[2];

    static const size_t  sizes[] = {
        0, 1, 16383, 16384, 16385, 70000, MIB - 1, MIB, MIB + 1, SIZE
    };

    (void) state;

    memset(times, 0, sizeof(times));
    times[0].tv_sec = times[1].tv_sec = 1700000000;
    times[0].tv_nsec = times[1].tv_nsec = 123000000;

    assert_int_equal(mkdir(in_root("d"), 0755), 0);

    for (level = 1; level <= 9; level += 4) {
        for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            snprintf(path, sizeof(path), "d/%d-%zu.cap", level, sizes[i]);
            snprintf(gz, sizeof(gz), "%s.gz", path);

            put(in_root(path), bytes, sizes[i]);
            assert_int_equal(utimensat(AT_FDCWD, in_root(path), times, 0), 0);

            assert_int_equal(compress_file(path, sizes[i], level, &steps),
                             D4_STORE_OK);

            /* what one step may read, then fsync, then the name */

            assert_in_range(steps, sizes[i] / MIB + 2, sizes[i] / MIB + 3);
            assert_true(unpacks(gz, bytes, sizes[i]));
            assert_true(holds(path, bytes, sizes[i]));

            assert_int_equal(stat(in_root(gz), &st), 0);
            assert_int_equal(st.st_mtim.tv_sec, 1700000000);
            assert_int_equal(st.st_mtim.tv_nsec, 123000000);
            assert_int_equal(st.st_mode & 07777, 0640);
            assert_int_equal(st.st_nlink, 1);

            assert_int_equal(d4_store_remove(&store, path), D4_STORE_OK);
            assert_int_equal(d4_store_taken(&store, path), D4_STORE_EXISTS);
        }
    }

    assert_int_equal(names(in_root("d"), ""), 3 * (int) i);
    assert_int_equal(names(in_root("d"), ".cap.gz"), 3 * (int) i);
}


/* only what is committed, and never less */

static void
test_first(void **state)
{
    int             steps;
    d4_compress_t  *c;

    (void) state;

    put(in_root("f"), bytes, 100000);

    assert_int_equal(compress_file("f", 33333, 6, &steps), D4_STORE_OK);
    assert_true(unpacks("f.gz", bytes, 33333));
    assert_true(holds("f", bytes, 100000));

    assert_int_equal(compress_file("f", 100001, 6, &steps), D4_STORE_SHORT);
    assert_int_equal(errno, 0);
    assert_int_equal(compress_file("f", UINT64_MAX, 6, &steps),
                     D4_STORE_SHORT);
    assert_int_equal(compress_file("g", 0, 6, &steps), D4_STORE_MISSING);
    assert_int_equal(compress_file("g/f", 0, 6, &steps), D4_STORE_MISSING);
    assert_int_equal(compress_file("../f", 0, 6, &steps), D4_STORE_BAD_PATH);
    assert_int_equal(names(root, ""), 2);
    assert_true(unpacks("f.gz", bytes, 33333));

    /* a file that becomes shorter meanwhile */

    put(in_root("f"), bytes, SIZE);
    assert_int_equal(d4_compress_start(&c, &store, "f", SIZE, 1),
                     D4_STORE_OK);
    assert_int_equal(d4_compress_step(c), D4_STORE_AGAIN);
    assert_int_equal(truncate(in_root("f"), SIZE - 1), 0);
    assert_int_equal(d4_compress_step(c), D4_STORE_AGAIN);
    assert_int_equal(d4_compress_step(c), D4_STORE_AGAIN);
    assert_int_equal(d4_compress_step(c), D4_STORE_SHORT);
    assert_int_equal(d4_compress_step(c), D4_STORE_IO);
    d4_compress_free(c);

    assert_int_equal(names(root, ""), 2);
    assert_true(unpacks("f.gz", bytes, 33333));
}


static void
test_abort(void **state)
{
    int             i, steps;
    d4_compress_t  *c;

    (void) state;

    put(in_root("f"), bytes, SIZE);

    for (i = 0; i < 6; i++) {
        assert_int_equal(d4_compress_start(&c, &store, "f", SIZE, 1),
                         D4_STORE_OK);
        assert_int_equal(names(root, ""), 2);

        for (steps = 0; steps < i; steps++) {
            assert_int_equal(d4_compress_step(c),
                             steps < 5 ? D4_STORE_AGAIN : D4_STORE_OK);
        }

        assert_true(i == 0 || d4_compress_bytes(c) > 0);

        errno = 4711;
        d4_compress_free(c);
        assert_int_equal(errno, 4711);
        assert_int_equal(names(root, ""), 1);
    }

    d4_compress_free(NULL);
}


/* Killed behind each of its steps, then begun again. */

static int  kill_after;

static int
killed(void)
{
    int             i;
    d4_compress_t  *c;

    CHECK(d4_compress_start(&c, &store, "d/f", SIZE, 1) == D4_STORE_OK);

    for (i = 0; i < kill_after; i++) {
        CHECK(d4_compress_step(c) == (i < 5 ? D4_STORE_AGAIN : D4_STORE_OK));
    }

    kill(getpid(), SIGKILL);

    return __LINE__;
}


static void
test_killed(void **state)
{
    int     steps;
    char   *whole;
    size_t  len;

    (void) state;

    assert_int_equal(mkdir(in_root("d"), 0755), 0);
    put(in_root("d/f"), bytes, SIZE);
    assert_int_equal(compress_file("d/f", SIZE, 1, &steps), D4_STORE_OK);
    assert_int_equal(steps, 6);
    whole = get(in_root("d/f.gz"), &len);
    assert_non_null(whole);
    assert_int_equal(unlink(in_root("d/f.gz")), 0);

    for (kill_after = 0; kill_after <= 6; kill_after++) {
        assert_int_equal(in_child(killed), -SIGKILL);
        assert_true(holds("d/f", bytes, SIZE));

        /* the name stands for the whole file, or is not there */

        assert_int_equal(exists(in_root("d/f.gz.")), 0);
        assert_int_equal(exists(in_root("d/f.gz")), kill_after == 6);
        assert_int_equal(exists(in_root("d/.f.gz.part")), kill_after < 6);

        assert_int_equal(compress_file("d/f", SIZE, 1, &steps), D4_STORE_OK);
        assert_int_equal(names(in_root("d"), ""), 2);
        assert_true(holds("d/f.gz", whole, len));
        assert_true(unpacks("d/f.gz", bytes, SIZE));

        assert_int_equal(unlink(in_root("d/f.gz")), 0);
    }

    free(whole);
}


/* At any moment: what was left is never taken for the whole. */

static void
test_killed_anytime(void **state)
{
    int             i, status, steps, done;
    pid_t           pid;
    d4_compress_t  *c;

    (void) state;

    assert_int_equal(mkdir(in_root("d"), 0755), 0);
    put(in_root("d/f"), bytes, SIZE);
    done = 0;

    for (i = 0; i < 40; i++) {
        pid = fork();
        assert_int_not_equal(pid, -1);

        if (pid == 0) {
            if (d4_compress_start(&c, &store, "d/f", SIZE, 1) == D4_STORE_OK)
            {
                while (d4_compress_step(c) == D4_STORE_AGAIN) { /* void */ }
            }

            for ( ;; ) {
                pause();
            }
        }

        usleep((useconds_t) (i * 4000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);

        if (exists(in_root("d/f.gz"))) {
            done++;
            assert_true(unpacks("d/f.gz", bytes, SIZE));
        }

        if (i % 4 == 0) {
            assert_int_equal(compress_file("d/f", SIZE, 1, &steps),
                             D4_STORE_OK);
            assert_true(unpacks("d/f.gz", bytes, SIZE));
        }

        (void) unlink(in_root("d/f.gz"));
    }

    print_message("# %d of 40 had come to the end\n", done);
}


/* One that slept for long finds that another one has begun again. */

static void
test_overtaken(void **state)
{
    int             i, j, k;
    d4_compress_t  *slow, *quick;
    d4_store_rc_t   rc;

    (void) state;

    put(in_root("f"), bytes, SIZE);

    /* i steps before it is overtaken; the other one ends, or does not */

    for (i = 0; i < 6; i++) {
        for (j = 0; j < 2; j++) {
            assert_int_equal(d4_compress_start(&slow, &store, "f", SIZE, 1),
                             D4_STORE_OK);
            rc = D4_STORE_AGAIN;

            for (k = 0; k < i; k++) {
                rc = d4_compress_step(slow);
                assert_int_equal(rc, D4_STORE_AGAIN);
            }

            assert_int_equal(d4_compress_start(&quick, &store, "f", SIZE, 1),
                             D4_STORE_OK);

            while (j == 0 && d4_compress_step(quick) == D4_STORE_AGAIN) {
                /* void */
            }

            while (rc == D4_STORE_AGAIN) {
                rc = d4_compress_step(slow);
            }

            assert_int_equal(rc, D4_STORE_MISSING);
            assert_int_equal(d4_compress_step(slow), D4_STORE_IO);
            d4_compress_free(slow);

            while (j == 1 && d4_compress_step(quick) == D4_STORE_AGAIN) {
                /* void */
            }

            assert_int_equal(d4_compress_step(quick), D4_STORE_OK);
            d4_compress_free(quick);

            assert_true(unpacks("f.gz", bytes, SIZE));
            assert_int_equal(names(root, ""), 2);
            assert_int_equal(unlink(in_root("f.gz")), 0);
        }
    }
}


/* Many of them at once on one file: whoever says it is done has it right. */

#define THREADS  4

static int  successes[THREADS], failures[THREADS];

static void *
compress_often(void *data)
{
    int             i, self;
    d4_store_rc_t   rc;
    d4_compress_t  *c;

    self = (int) (intptr_t) data;

    for (i = 0; i < 200; i++) {
        rc = d4_compress_start(&c, &store, "d/f", 40000, 1);

        while (rc == D4_STORE_OK || rc == D4_STORE_AGAIN) {
            rc = d4_compress_step(c);

            if (rc == D4_STORE_OK) {
                successes[self]++;
                break;
            }
        }

        if (rc != D4_STORE_OK && rc != D4_STORE_MISSING
            && rc != D4_STORE_BUSY)
        {
            failures[self]++;
        }

        d4_compress_free(c);
    }

    return NULL;
}


static void
test_race(void **state)
{
    int        i, n;
    pthread_t  threads[THREADS];

    (void) state;

    assert_int_equal(mkdir(in_root("d"), 0755), 0);
    put(in_root("d/f"), bytes, 40000);

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, compress_often,
                                        (void *) (intptr_t) i), 0);
    }

    for (n = 0, i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(failures[i], 0);
        n += successes[i];
    }

    assert_true(n > 0);
    assert_true(unpacks("d/f.gz", bytes, 40000));
    assert_int_equal(names(in_root("d"), ""), 2);
}


/* links in the places of all three */

static void
test_links(void **state)
{
    int  steps;

    (void) state;

    put_text(in_outside("file"), "outside");
    put(in_outside("secret"), bytes, 10);

    assert_int_equal(symlink(in_outside("secret"), in_root("a")), 0);
    assert_int_equal(link(in_outside("secret"), in_root("b")), 0);
    assert_int_equal(symlink(outside, in_root("c")), 0);
    assert_int_equal(mkfifo(in_root("d"), 0644), 0);
    assert_int_equal(mkdir(in_root("e"), 0755), 0);

    assert_int_equal(compress_file("a", 10, 6, &steps), D4_STORE_UNSAFE);
    assert_int_equal(compress_file("b", 10, 6, &steps), D4_STORE_UNSAFE);
    assert_int_equal(compress_file("c/secret", 10, 6, &steps),
                     D4_STORE_UNSAFE);
    assert_int_equal(compress_file("d", 0, 6, &steps), D4_STORE_UNSAFE);
    assert_int_equal(compress_file("e", 0, 6, &steps), D4_STORE_UNSAFE);
    assert_int_equal(names(root, ""), 5);

    /* a part that is a link is not written through, nor is a hard one */

    put_text(in_root("e/f"), "text");
    assert_int_equal(symlink(in_outside("file"), in_root("e/.f.gz.part")), 0);
    assert_int_equal(compress_file("e/f", 4, 6, &steps), D4_STORE_OK);
    assert_true(unpacks("e/f.gz", "text", 4));
    assert_true(has_text(in_outside("file"), "outside"));

    assert_int_equal(link(in_outside("file"), in_root("e/.f.gz.part")), 0);
    assert_int_equal(compress_file("e/f", 4, 6, &steps), D4_STORE_OK);
    assert_true(has_text(in_outside("file"), "outside"));

    assert_int_equal(mkdir(in_root("e/.f.gz.part"), 0755), 0);
    assert_int_equal(compress_file("e/f", 4, 6, &steps), D4_STORE_UNSAFE);
    assert_int_equal(rmdir(in_root("e/.f.gz.part")), 0);

    /* nor is a .gz */

    assert_int_equal(unlink(in_root("e/f.gz")), 0);
    assert_int_equal(symlink(in_outside("file"), in_root("e/f.gz")), 0);
    assert_int_equal(compress_file("e/f", 4, 6, &steps), D4_STORE_OK);
    assert_true(unpacks("e/f.gz", "text", 4));
    assert_true(has_text(in_outside("file"), "outside"));

    assert_int_equal(unlink(in_root("e/f.gz")), 0);
    assert_int_equal(mkdir(in_root("e/f.gz"), 0755), 0);
    assert_int_equal(compress_file("e/f", 4, 6, &steps), D4_STORE_UNSAFE);
    assert_int_equal(names(in_root("e"), ""), 2);
    assert_int_equal(names(outside, ""), 2);
}


/* no room for it: the plain file is as it was, and it can be done later */

static int
full_disk(void)
{
    int             fd, steps;
    d4_compress_t  *c;

    if (mount_small("size=256k,mode=0755") != 0) {
        return IMPOSSIBLE;
    }

    CHECK(d4_store_create(&store, "d/f", &fd) == D4_STORE_OK);
    CHECK(d4_store_write_buf(fd, 0, bytes, 150000) == D4_STORE_OK);
    close(fd);
    CHECK(d4_store_create(&store, "d/g", &fd) == D4_STORE_OK);
    CHECK(d4_store_write_buf(fd, 0, bytes, 90000) == D4_STORE_OK);
    close(fd);

    CHECK(d4_compress_start(&c, &store, "d/f", 150000, 1) == D4_STORE_OK);
    CHECK(d4_compress_step(c) == D4_STORE_FULL && errno == ENOSPC);
    d4_compress_free(c);
    CHECK(names(in_root("d"), "") == 2);

    CHECK(d4_store_remove(&store, "d/g") == D4_STORE_OK);
    CHECK(compress_file("d/f", 150000, 1, &steps) == D4_STORE_OK);
    CHECK(unpacks("d/f.gz", bytes, 150000));

    CHECK(mount(NULL, root, NULL, MS_REMOUNT|MS_RDONLY, NULL) == 0);
    CHECK(compress_file("d/f", 150000, 1, &steps) == D4_STORE_READ_ONLY);

    return 0;
}


static void
test_full_disk(void **state)
{
    (void) state;

    assert_child(full_disk);
}


static int
not_permitted(void)
{
    int  steps;

    CHECK(be_nobody() == 0);
    CHECK(compress_file("d/f", 4, 1, &steps) == D4_STORE_PERMISSION);
    CHECK(compress_file("d/g", 4, 1, &steps) == D4_STORE_PERMISSION);

    return 0;
}


static void
test_not_permitted(void **state)
{
    (void) state;

    assert_int_equal(mkdir(in_root("d"), 0755), 0);
    put_text(in_root("d/f"), "text");
    put_text(in_root("d/g"), "text");
    assert_int_equal(chmod(in_root("d/g"), 0000), 0);
    assert_int_equal(chmod(in_root("d"), 0555), 0);
    assert_child(not_permitted);
    assert_int_equal(names(in_root("d"), ""), 2);
    assert_int_equal(chmod(in_root("d"), 0755), 0);
}


static int  before;


static int
setup(void **state)
{
    before = descriptors();
    fill();

    return scratch_setup(state);
}


static int
teardown(void **state)
{
    free(bytes);

    return scratch_teardown(state);
}


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
        test(test_sizes),
        test(test_first),
        test(test_abort),
        test(test_killed),
        test(test_killed_anytime),
        test(test_overtaken),
        test(test_race),
        test(test_links),
        test(test_full_disk),
        test(test_not_permitted),
        test(test_descriptors),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

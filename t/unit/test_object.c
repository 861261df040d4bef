
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "scratch.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <zlib.h>

#include "../../ngx_d4_module/storage/d4_object.h"


#define SIZE  200000


static char  bytes[SIZE];


static void
fill(void)
{
    size_t    i;
    unsigned  r;

    /* half of it packs well, the other half does not */

    for (i = 0, r = 1; i < SIZE; i++) {
        r = r * 1103515245u + 12345u;
        bytes[i] = (i / 1000 % 2) ? (char) (r >> 16) : 'a';
    }
}


/* Writes and says how it ended: the result, or 100 + what came of it. */

static int
object(const char *path, const void *p, size_t len, int level, int sync)
{
    d4_object_t    what;
    d4_store_rc_t  rc;

    what = (d4_object_t) 50;
    rc = d4_object_write(&store, path, p, len, level, sync, &what);

    return rc == D4_STORE_OK ? (int) what : 100 + (int) rc;
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


static int
unpacks(const char *path, const void *p, size_t len)
{
    int     n;
    char   *out;
    gzFile  gz;

    gz = gzopen(in_root(path), "rb");
    out = malloc(len + 2);

    if (gz == NULL || out == NULL) {
        abort();
    }

    n = gzread(gz, out, (unsigned) len + 2);
    n = (n == (int) len && !gzdirect(gz) && memcmp(out, p, len) == 0);

    gzclose(gz);
    free(out);

    return n;
}


static void
test_write(void **state)
{
    int          level;
    char         path[64];
    size_t       i;
    struct stat  st;

    static const size_t  sizes[] = {
        0, 1, 16383, 16384, 16385, 32768, SIZE - 1
    };

    (void) state;

    fill();

    for (level = 0; level <= 9; level += 3) {
        for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            snprintf(path, sizeof(path), "d/%d/%zu.x", level, sizes[i]);

            assert_int_equal(object(path, bytes, sizes[i], level, i % 2),
                             D4_OBJECT_NEW);

            if (level == 0) {
                assert_true(holds(path, bytes, sizes[i]));

            } else {
                assert_true(unpacks(path, bytes, sizes[i]));
            }

            assert_int_equal(object(path, bytes, sizes[i], level, i % 2),
                             D4_OBJECT_SAME);

            /* longer, shorter, another first or last byte */

            assert_int_equal(object(path, bytes, sizes[i] + 1, level, 0),
                             D4_OBJECT_DIFFERENT);

            if (sizes[i] > 0) {
                assert_int_equal(object(path, bytes, sizes[i] - 1, level, 0),
                                 D4_OBJECT_DIFFERENT);
                bytes[0]++;
                assert_int_equal(object(path, bytes, sizes[i], level, 0),
                                 D4_OBJECT_DIFFERENT);
                bytes[0]--;
                bytes[sizes[i] - 1]++;
                assert_int_equal(object(path, bytes, sizes[i], level, 0),
                                 D4_OBJECT_DIFFERENT);
                bytes[sizes[i] - 1]--;
            }

            assert_int_equal(object(path, bytes, sizes[i], level, 0),
                             D4_OBJECT_SAME);
        }

        snprintf(path, sizeof(path), "d/%d", level);
        assert_int_equal(names(in_root(path), ""), (int) i);
        assert_int_equal(names(in_root(path), ".x"), (int) i);
    }

    /* nothing at all has no address either */

    assert_int_equal(object("d/0/0.x", NULL, 0, 0, 0), D4_OBJECT_SAME);
    assert_int_equal(object("d/3/0.x", NULL, 0, 1, 0), D4_OBJECT_SAME);
    assert_int_equal(object("n", NULL, 0, 0, 1), D4_OBJECT_NEW);
    assert_true(holds("n", "", 0));

    assert_int_equal(stat(in_root("n"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_nlink, 1);
}


/* the same bytes, packed by other means: it is the content that counts */

static void
test_packed(void **state)
{
    char    *p;
    gzFile   gz;
    size_t   len;

    (void) state;

    fill();

    gz = gzopen(in_root("a.gz"), "wb1");
    assert_non_null(gz);
    assert_int_equal(gzwrite(gz, bytes, SIZE), SIZE);
    assert_int_equal(gzclose(gz), Z_OK);

    assert_int_equal(object("a.gz", bytes, SIZE, 9, 0), D4_OBJECT_SAME);
    assert_int_equal(object("a.gz", bytes, SIZE, 0, 0), D4_OBJECT_DIFFERENT);

    /* cut short anywhere, continued, damaged, or not packed at all */

    p = get(in_root("a.gz"), &len);
    assert_non_null(p);
    put(in_root("b.gz"), p, len - 1);
    assert_int_equal(object("b.gz", bytes, SIZE, 9, 0), D4_OBJECT_DIFFERENT);
    put(in_root("b.gz"), p, 1);
    assert_int_equal(object("b.gz", bytes, SIZE, 9, 0), D4_OBJECT_DIFFERENT);
    put(in_root("b.gz"), p, 16384);
    assert_int_equal(object("b.gz", bytes, SIZE, 9, 0), D4_OBJECT_DIFFERENT);
    put(in_root("b.gz"), p, 0);
    assert_int_equal(object("b.gz", bytes, SIZE, 9, 0), D4_OBJECT_DIFFERENT);
    put(in_root("b.gz"), p, len + 1);
    assert_int_equal(object("b.gz", bytes, SIZE, 9, 0), D4_OBJECT_DIFFERENT);
    p[len / 2]++;
    put(in_root("b.gz"), p, len);
    assert_int_equal(object("b.gz", bytes, SIZE, 9, 0), D4_OBJECT_DIFFERENT);
    put(in_root("b.gz"), bytes, SIZE);
    assert_int_equal(object("b.gz", bytes, SIZE, 9, 0), D4_OBJECT_DIFFERENT);
    assert_true(holds("b.gz", bytes, SIZE));

    free(p);
}


/* What is in the place already stays, and nothing outside is written. */

static void
test_taken(void **state)
{
    (void) state;

    put_text(in_outside("file"), "outside");
    assert_int_equal(mkdir(in_root("d"), 0755), 0);
    assert_int_equal(mkdir(in_root("d/dir"), 0755), 0);
    assert_int_equal(mkfifo(in_root("d/pipe"), 0644), 0);
    assert_int_equal(symlink(in_outside("file"), in_root("d/link")), 0);
    assert_int_equal(symlink(in_outside("new"), in_root("d/dangling")), 0);
    assert_int_equal(symlink(outside, in_root("d/out")), 0);

    assert_int_equal(object("d/dir", "x", 1, 0, 0), 100 + D4_STORE_UNSAFE);
    assert_int_equal(object("d/pipe", "x", 1, 0, 0), 100 + D4_STORE_UNSAFE);
    assert_int_equal(object("d/link", "x", 1, 0, 0), 100 + D4_STORE_UNSAFE);
    assert_int_equal(object("d/dangling", "x", 1, 0, 0),
                     100 + D4_STORE_UNSAFE);
    assert_int_equal(object("d/out/x", "x", 1, 0, 0), 100 + D4_STORE_UNSAFE);
    assert_int_equal(object("../x", "x", 1, 0, 0), 100 + D4_STORE_BAD_PATH);
    assert_int_equal(object("d/.x", "x", 1, 0, 0), 100 + D4_STORE_BAD_PATH);
    assert_int_equal(object("d/dir/x/y/z", "x", 1, 0, 0), D4_OBJECT_NEW);

    assert_int_equal(names(outside, ""), 1);
    assert_true(has_text(in_outside("file"), "outside"));
    assert_int_equal(names(in_root("d"), ""), 5);
}


/* one that is needed again does not look old to retention */

static void
test_young(void **state)
{
    time_t           now;
    struct stat      st;
    struct timespec  old[2], recent[2];

    (void) state;

    now = time(NULL);
    memset(old, 0, sizeof(old));
    old[0].tv_sec = old[1].tv_sec = 1000000000;
    memset(recent, 0, sizeof(recent));
    recent[0].tv_sec = recent[1].tv_sec = now - 100;

    assert_int_equal(object("f", "x", 1, 0, 0), D4_OBJECT_NEW);
    assert_int_equal(utimensat(AT_FDCWD, in_root("f"), old, 0), 0);

    assert_int_equal(object("f", "y", 1, 0, 0), D4_OBJECT_DIFFERENT);
    assert_int_equal(stat(in_root("f"), &st), 0);
    assert_int_equal(st.st_mtime, 1000000000);

    assert_int_equal(object("f", "x", 1, 0, 0), D4_OBJECT_SAME);
    assert_int_equal(stat(in_root("f"), &st), 0);
    assert_true(st.st_mtime >= now - 2);

    /* no write for each time it is seen */

    assert_int_equal(utimensat(AT_FDCWD, in_root("f"), recent, 0), 0);
    assert_int_equal(object("f", "x", 1, 0, 0), D4_OBJECT_SAME);
    assert_int_equal(stat(in_root("f"), &st), 0);
    assert_int_equal(st.st_mtime, now - 100);
}


static int
full_disk(void)
{
    if (mount_small("size=128k,mode=0755") != 0) {
        return IMPOSSIBLE;
    }

    CHECK(object("d/a", bytes, SIZE, 0, 1) == 100 + D4_STORE_FULL);
    CHECK(errno == ENOSPC);
    CHECK(names(in_root("d"), "") == 0);

    /* nothing is left of it, so that there is room for another one */

    CHECK(object("d/b", bytes, 100000, 0, 1) == D4_OBJECT_NEW);
    CHECK(object("d/c", bytes, 100000, 1, 1) == 100 + D4_STORE_FULL);
    CHECK(names(in_root("d"), "") == 1);
    CHECK(holds("d/b", bytes, 100000));
    CHECK(unlink(in_root("d/b")) == 0);
    CHECK(object("d/c", bytes, 100000, 1, 1) == D4_OBJECT_NEW);
    CHECK(unpacks("d/c", bytes, 100000));

    return 0;
}


static void
test_full_disk(void **state)
{
    (void) state;

    fill();
    assert_child(full_disk);
}


/* threads that write the same, and threads that write something else */

#define THREADS  4
#define ROUNDS   300

static pthread_barrier_t  barrier;
static int                results[THREADS][ROUNDS];


static void *
write_all(void *data)
{
    int    i, self;
    char   path[64];

    self = (int) (intptr_t) data;

    for (i = 0; i < ROUNDS; i++) {
        snprintf(path, sizeof(path), "d%d/f%d", i / 10, i);
        pthread_barrier_wait(&barrier);

        /* even rounds: all the same; odd rounds: each its own */

        results[self][i] = object(path, bytes + (i % 2 ? self : 0), 5000,
                                  i % 3, 0);
    }

    return NULL;
}


static void
test_race(void **state)
{
    int        i, j, n[3], winner;
    char       path[64];
    pthread_t  threads[THREADS];

    (void) state;

    fill();
    bytes[5000 + 1] = 1;
    bytes[5000 + 2] = 2;
    bytes[5000 + 3] = 3;

    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_all,
                                        (void *) (intptr_t) i), 0);
    }

    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }

    pthread_barrier_destroy(&barrier);

    for (i = 0; i < ROUNDS; i++) {
        memset(n, 0, sizeof(n));

        for (winner = 0, j = 0; j < THREADS; j++) {
            assert_in_range(results[j][i], 0, 2);
            n[results[j][i]]++;
            winner = (results[j][i] == D4_OBJECT_NEW) ? j : winner;
        }

        assert_int_equal(n[D4_OBJECT_NEW], 1);

        /* what others wrote is the same for all, or for none */

        snprintf(path, sizeof(path), "d%d/f%d", i / 10, i);
        assert_int_equal(i % 2 ? n[D4_OBJECT_DIFFERENT] : n[D4_OBJECT_SAME],
                         THREADS - 1);

        if (i % 3 == 0) {
            assert_true(holds(path, bytes + (i % 2 ? winner : 0), 5000));

        } else {
            assert_true(unpacks(path, bytes + (i % 2 ? winner : 0), 5000));
        }

        snprintf(path, sizeof(path), "d%d", i / 10);
        assert_int_equal(names(in_root(path), ".part"), 0);
    }
}


/* what a file has beyond what is known to be good */

static void
test_aside(void **state)
{
    int       i;
    char      out[D4_STORE_PATH + 1], path[64];
    uint64_t  n;

    (void) state;

    fill();
    assert_int_equal(object("d/f", bytes, SIZE, 0, 0), D4_OBJECT_NEW);

    assert_int_equal(d4_object_aside(&store, "d/f", 1234, 0, out, &n),
                     D4_STORE_OK);
    assert_int_equal(n, SIZE - 1234);
    assert_string_equal(out, "d/f.beyond");
    assert_true(holds("d/f.beyond", bytes + 1234, SIZE - 1234));
    assert_true(holds("d/f", bytes, SIZE));

    /* once more: it is there */

    assert_int_equal(d4_object_aside(&store, "d/f", 1234, 0, out, &n),
                     D4_STORE_OK);
    assert_int_equal(n, SIZE - 1234);
    assert_string_equal(out, "d/f.beyond");
    assert_int_equal(names(in_root("d"), ""), 2);

    /* other bytes get another name: nothing set aside is destroyed */

    assert_int_equal(d4_object_aside(&store, "d/f", SIZE - 1, 0, out, &n),
                     D4_STORE_OK);
    assert_int_equal(n, 1);
    assert_string_equal(out, "d/f.beyond-2");
    assert_true(holds("d/f.beyond-2", bytes + SIZE - 1, 1));
    assert_int_equal(d4_object_aside(&store, "d/f", SIZE - 1, 0, out, &n),
                     D4_STORE_OK);
    assert_string_equal(out, "d/f.beyond-2");

    bytes[1234]++;
    put(in_root("d/f"), bytes, SIZE);
    assert_int_equal(d4_object_aside(&store, "d/f", 1234, 0, out, &n),
                     D4_STORE_OK);
    assert_string_equal(out, "d/f.beyond-3");

    /* what is known to be elsewhere, and one byte more than that */

    assert_int_equal(d4_object_aside(&store, "d/f", 1234, SIZE - 1234, out,
                                     &n),
                     D4_STORE_OK);
    assert_int_equal(n, 0);
    assert_string_equal(out, "");
    assert_int_equal(names(in_root("d"), ""), 4);
    assert_int_equal(d4_object_aside(&store, "d/f", 1234, SIZE - 1235, out,
                                     &n),
                     D4_STORE_OK);
    assert_int_equal(n, SIZE - 1234);
    assert_string_equal(out, "d/f.beyond-3");

    /* nothing beyond; not even so much; no file */

    assert_int_equal(d4_object_aside(&store, "d/f", SIZE, 0, out, &n),
                     D4_STORE_OK);
    assert_int_equal(n, 0);
    assert_string_equal(out, "");
    assert_int_equal(d4_object_aside(&store, "d/f", SIZE + 1, 0, out, &n),
                     D4_STORE_SHORT);
    assert_int_equal(d4_object_aside(&store, "d/g", 0, 0, out, &n),
                     D4_STORE_MISSING);
    assert_int_equal(d4_object_aside(&store, "d/../f", 0, 0, out, &n),
                     D4_STORE_BAD_PATH);
    assert_int_equal(names(in_root("d"), ""), 4);

    /* never through a link */

    assert_int_equal(object("e/f", "ab", 2, 0, 0), D4_OBJECT_NEW);
    assert_int_equal(symlink(in_outside("x"), in_root("e/f.beyond")), 0);
    assert_int_equal(d4_object_aside(&store, "e/f", 1, 0, out, &n),
                     D4_STORE_UNSAFE);
    assert_string_equal(out, "");
    assert_false(exists(in_outside("x")));

    /* as many names as there are */

    for (i = 4; i <= 99; i++) {
        snprintf(path, sizeof(path), "d/f.beyond-%d", i);
        put_text(in_root(path), "other");
    }

    assert_int_equal(d4_object_aside(&store, "d/f", 1, 0, out, &n),
                     D4_STORE_EXISTS);
    assert_string_equal(out, "");
    assert_int_equal(n, 0);
}


static int  before;


static int
setup(void **state)
{
    before = descriptors();

    return scratch_setup(state);
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
        test(test_write),
        test(test_packed),
        test(test_taken),
        test(test_young),
        test(test_full_disk),
        test(test_race),
        test(test_aside),
        test(test_descriptors),
    };

    return cmocka_run_group_tests(tests, setup, scratch_teardown);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


#include "scratch.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../ngx_d4_module/storage/d4_retention.h"


#define NOW   1700000000
#define DAY   86400
#define U1    "0123456789ab4def8123456789abcdef"
#define U2    "fedcba98765443218123456789abcdef"


static d4_retention_stat_t  result;


/* Gives a name a time; links are not followed. */

static void
date(const char *path, time_t t)
{
    struct timespec  times[2];

    memset(times, 0, sizeof(times));
    times[0].tv_sec = times[1].tv_sec = t;

    if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) != 0) {
        abort();
    }
}


/* A file of so many bytes with this time, and the directories above it. */

static void
file(const char *path, size_t size, time_t t)
{
    char    *p, full[2048];
    size_t   n;

    n = (size_t) snprintf(full, sizeof(full), "%s/%s", root, path);

    for (p = full + strlen(root) + 1; *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            (void) mkdir(full, 0755);
            *p = '/';
        }
    }

    assert_true(n < sizeof(full));
    put(full, "", 0);
    assert_int_equal(truncate(full, (off_t) size), 0);
    date(full, t);
}


static int
old_dir(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void) st;
    (void) ftw;

    if (flag == FTW_DP) {
        date(path, NOW - 1000000);
    }

    return 0;
}


/* All directories look old. */

static void
old_dirs(void)
{
    (void) nftw(root, old_dir, 16, FTW_DEPTH|FTW_PHYS);
}


/* One run in steps of so many names; returns the number of steps. */

static int
run(time_t age, uint64_t size, unsigned entries,
    int (*in_use)(void *data, const char *path), void *data)
{
    int                  steps;
    d4_store_rc_t        rc;
    d4_retention_t      *r;
    d4_retention_conf_t  conf;

    memset(&conf, 0, sizeof(conf));
    conf.now = NOW;
    conf.age = age;
    conf.size = size;
    conf.in_use = in_use;
    conf.data = data;

    r = d4_retention_create(&store, &conf);
    assert_non_null(r);

    steps = 0;

    do {
        rc = d4_retention_step(r, entries);
        steps++;

    } while (rc == D4_STORE_AGAIN);

    assert_int_equal(rc, D4_STORE_OK);
    assert_int_equal(d4_retention_step(r, entries), D4_STORE_OK);

    result = *d4_retention_stat(r);
    d4_retention_free(r);

    return steps;
}


static int
is(const char *path)
{
    return exists(in_root(path));
}


static void
test_age(void **state)
{
    (void) state;

    file(U1 "/1/2023/11/01/a.cap.gz", 10, NOW - 1001);
    file(U1 "/1/2023/11/01/b.cap.gz", 20, NOW - 1000);
    file(U1 "/254/2023/11/01/x/c.txt", 30, NOW - 100 * DAY);
    file("datas/ja3-jl/certs/d.crt", 40, NOW - 2000);
    file("datas/ja3-jl/certs/e.crt", 50, NOW);
    file("datas/ja3-jl/jsons/f.json", 60, NOW + 1000000);

    run(0, 0, 100, NULL, NULL);
    assert_int_equal(result.files, 6);
    assert_int_equal(result.bytes, 210);
    assert_int_equal(result.removed_files, 0);

    run(1000, 0, 100, NULL, NULL);
    assert_int_equal(result.files, 3);
    assert_int_equal(result.bytes, 130);
    assert_int_equal(result.removed_files, 3);
    assert_int_equal(result.removed_bytes, 80);
    assert_int_equal(result.errors, 0);

    assert_false(is(U1 "/1/2023/11/01/a.cap.gz"));
    assert_true(is(U1 "/1/2023/11/01/b.cap.gz"));
    assert_false(is(U1 "/254/2023/11/01/x/c.txt"));
    assert_false(is("datas/ja3-jl/certs/d.crt"));
    assert_true(is("datas/ja3-jl/certs/e.crt"));
    assert_true(is("datas/ja3-jl/jsons/f.json"));

    /* an age below the guard is the guard */

    file(U1 "/1/2023/11/01/g.cap.gz", 10, NOW - 900);
    file(U1 "/1/2023/11/01/h.cap.gz", 10, NOW - 901);
    run(1, 0, 100, NULL, NULL);
    assert_true(is(U1 "/1/2023/11/01/g.cap.gz"));
    assert_false(is(U1 "/1/2023/11/01/h.cap.gz"));
    assert_false(is(U1 "/1/2023/11/01/b.cap.gz"));
}


/* What is not of sensors, is a link, or has a name that begins with a dot. */

static void
test_untouched(void **state)
{
    size_t  i;

    static const char *const  paths[] = {
        ".d4-store", "readme", "other/1/2000/01/01/a.cap",
        "0123456789ab4def8123456789abcde/1/f",
        "0123456789ab4def8123456789abcdef0/1/f",
        "0123456789AB4DEF8123456789ABCDEF/1/f",
        "dataset/f", ".hidden/f", "ffffffffffffffffffffffffffffffff",
        U1 "/1/.hidden", U1 "/1/.dir/f", U1 "/1/.part/f"
    };

    (void) state;

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        file(paths[i], 1000, 0);
    }

    put_text(in_outside("file"), "outside");
    date(in_outside("file"), 0);
    assert_int_equal(mkdir(in_outside("1"), 0755), 0);
    put_text(in_outside("1/file"), "outside");
    date(in_outside("1/file"), 0);

    assert_int_equal(symlink(outside, in_root(U2)), 0);
    assert_int_equal(symlink(outside, in_root("datas")), 0);
    assert_int_equal(symlink(in_outside("file"), in_root(U1 "/1/link")), 0);
    assert_int_equal(symlink(outside, in_root(U1 "/1/links")), 0);
    assert_int_equal(mkfifo(in_root(U1 "/1/pipe"), 0644), 0);
    date(in_root(U2), 0);
    date(in_root(U1 "/1/link"), 0);
    date(in_root(U1 "/1/links"), 0);
    date(in_root(U1 "/1/pipe"), 0);

    file(U1 "/1/gone", 1, 0);
    old_dirs();

    run(1000, 1, 100, NULL, NULL);
    assert_int_equal(result.removed_files, 1);
    assert_int_equal(result.removed_dirs, 0);
    assert_int_equal(result.files, 0);
    assert_int_equal(result.bytes, 0);
    assert_int_equal(result.errors, 0);
    assert_false(is(U1 "/1/gone"));

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        assert_true(is(paths[i]));
    }

    assert_true(is(U2) && is("datas") && is(U1 "/1/link"));
    assert_true(is(U1 "/1/links") && is(U1 "/1/pipe"));
    assert_true(has_text(in_outside("file"), "outside"));
    assert_true(has_text(in_outside("1/file"), "outside"));
}


static void
test_dirs(void **state)
{
    (void) state;

    file(U1 "/1/2023/10/30/a.cap.gz", 1, 0);
    file(U1 "/1/2023/10/31/a.cap.gz", 1, 0);
    file(U1 "/1/2023/10/31/b.cap.gz", 1, NOW);
    file(U1 "/254/2022/10/31/filewatcher/files/x", 1, 0);
    file(U1 "/254/2022/10/31/filewatcher/y", 1, 0);
    file(U2 "/8/2023/11/14/.a.part", 1, NOW);
    file("datas/ja3-jl/certs/x.crt", 1, 0);
    assert_int_equal(mkdir(in_root(U2 "/8/2023/11/13"), 0755), 0);
    old_dirs();
    assert_int_equal(mkdir(in_root(U2 "/8/2023/11/15"), 0755), 0);
    date(in_root(U2 "/8/2023/11/15"), NOW - 800);

    run(1000, 0, 100, NULL, NULL);
    assert_int_equal(result.removed_files, 5);
    assert_int_equal(result.errors, 0);

    assert_false(is(U1 "/1/2023/10/30"));
    assert_true(is(U1 "/1/2023/10/31/b.cap.gz"));

    /* up to the year, but neither the type nor what all sensors share */

    assert_false(is(U1 "/254/2022"));
    assert_true(is(U1 "/254"));
    assert_true(is("datas/ja3-jl/certs"));

    assert_false(is(U2 "/8/2023/11/13"));
    assert_true(is(U2 "/8/2023/11/14/.a.part"));
    assert_true(is(U2 "/8/2023/11/15"));
    assert_int_equal(result.removed_dirs, 1 + 5 + 1);

    /* a file in the way that cannot be known of: the directory stays */

    file(U2 "/8/2023/11/16/.other", 1, 0);
    old_dirs();
    run(1000, 0, 100, NULL, NULL);
    assert_true(is(U2 "/8/2023/11/16/.other"));
    assert_int_equal(result.errors, 0);
}


static void
test_parts(void **state)
{
    (void) state;

    file(U1 "/1/2023/11/01/.a.cap.gz.part", 10, NOW - 3601);
    file(U1 "/1/2023/11/01/.b.cap.gz.part", 10, NOW - 3600);
    file(U1 "/1/2023/11/01/c.part", 10, NOW - 3601);
    file("datas/ja3-jl/certs/.d.crt.0123456789abcdef.part", 10, 0);

    run(0, 0, 100, NULL, NULL);
    assert_int_equal(result.removed_parts, 2);
    assert_int_equal(result.removed_files, 0);
    assert_int_equal(result.files, 1);

    assert_false(is(U1 "/1/2023/11/01/.a.cap.gz.part"));
    assert_true(is(U1 "/1/2023/11/01/.b.cap.gz.part"));
    assert_true(is(U1 "/1/2023/11/01/c.part"));
    assert_int_equal(names(in_root("datas/ja3-jl/certs"), ""), 0);
}


/* Size: the same as sorting all of them by age would remove. */

#define FILES  600

typedef struct {
    char      path[128];
    size_t    size;
    time_t    time;
    int       stays;
} file_t;


static file_t  files[FILES];


static int
by_time(const void *a, const void *b)
{
    time_t  x, y;

    x = ((const file_t *) a)->time;
    y = ((const file_t *) b)->time;

    return (x > y) - (x < y);
}


static void
make_files(unsigned seed)
{
    int       i, day;
    unsigned  r;

    r = seed;

    for (i = 0; i < FILES; i++) {
        r = r * 1103515245u + 12345u;
        day = (r >> 16) % 30;
        r = r * 1103515245u + 12345u;

        /* times differ, some by no more than a second */

        files[i].time = NOW - day * DAY - (r >> 16) % 500 - i % 3;
        r = r * 1103515245u + 12345u;
        files[i].size = (r >> 16) % 5000;
        files[i].stays = 1;

        snprintf(files[i].path, sizeof(files[i].path),
                 "%s/%d/2023/11/%02d/%d%s", i % 2 ? U1 : U2, i % 5,
                 30 - day, i, i % 4 ? ".gz" : "");
    }

    qsort(files, FILES, sizeof(file_t), by_time);

    for (i = 0; i < FILES; i++) {
        file(files[i].path, files[i].size, files[i].time);
    }

    old_dirs();
}


static int
kept(void *data, const char *path)
{
    return strcmp(data, path) == 0;
}


static void
test_size(void **state)
{
    int             i, j, k, steps;
    uint64_t        bytes, all, left, limit, gone;
    const unsigned  entries[] = { 1, 7, 100000 };

    (void) state;

    for (k = 0; k < 6; k++) {
        make_files(4711 + (unsigned) k);

        for (all = 0, i = 0; i < FILES; i++) {
            all += files[i].size;
        }

        limit = (uint64_t []) { all, all - 1, all / 2, all / 10, 1,
                                all - files[0].size } [k];

        /* all of a second while the next one is needed, too */

        for (left = all, i = 0; i < FILES && left > limit; i++) {
            if (files[i].time >= NOW - D4_RETENTION_GUARD) {
                break;
            }

            files[i].stays = 0;
            left -= files[i].size;
        }

        for (j = i; i > 0 && j < FILES && files[j].time == files[i - 1].time;
             j++)
        {
            /* of the last second any may have gone */
        }

        steps = run(0, limit, entries[k % 3], NULL, NULL);
        assert_true(k % 3 != 0 || steps > FILES);
        assert_int_equal(result.errors, 0);

        for (bytes = 0, gone = 0, i = 0; i < FILES; i++) {
            if (!exists(in_root(files[i].path))) {
                gone++;
                assert_true(!files[i].stays || i < j);

            } else {
                bytes += files[i].size;

                assert_true(files[i].stays
                            || (i < j && j > 0
                                && files[i].time == files[j - 1].time));
            }
        }

        /* the same sums, and not more removed than had to be */

        assert_int_equal(bytes, result.bytes);
        assert_int_equal(FILES - gone, result.files);
        assert_int_equal(gone, result.removed_files);
        assert_int_equal(all - bytes, result.removed_bytes);
        assert_true(bytes <= limit || left > limit);
        assert_true(bytes + 5000 > limit);

        scratch_empty(in_root(U1));
        scratch_empty(in_root(U2));
    }
}


/* within one second no more than is needed, and nothing but old ones */

static void
test_second(void **state)
{
    int   i, n;
    char  path[128];

    (void) state;

    for (i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), U1 "/1/2023/11/01/%d.gz", i);
        file(path, 100, NOW - 5000);
    }

    file(U1 "/1/2023/11/01/older.gz", 1, NOW - 5001);
    file(U1 "/1/2023/11/01/younger.gz", 1, NOW - 4999);
    file(U1 "/1/2023/11/01/young.gz", 10000, NOW);

    run(0, 15001, 10, NULL, NULL);
    n = names(in_root(U1 "/1/2023/11/01"), ".gz");
    assert_int_equal(n, 2 + 50);
    assert_false(is(U1 "/1/2023/11/01/older.gz"));
    assert_true(is(U1 "/1/2023/11/01/younger.gz"));

    /* a limit that cannot be reached */

    run(0, 9999, 10, NULL, NULL);
    assert_int_equal(names(in_root(U1 "/1/2023/11/01"), ""), 1);
    assert_true(is(U1 "/1/2023/11/01/young.gz"));
    assert_int_equal(result.bytes, 10000);

    run(0, 10000, 10, NULL, NULL);
    assert_true(is(U1 "/1/2023/11/01/young.gz"));
}


/* times that no day has a sum of its own for */

static void
test_times(void **state)
{
    (void) state;

    file(U1 "/1/a.gz", 100, -1000000);
    file(U1 "/1/b.gz", 100, 0);
    file(U1 "/1/c.gz", 100, NOW - 4096 * (time_t) DAY);
    file(U1 "/1/d.gz", 100, NOW - 4000 * (time_t) DAY);
    file(U1 "/1/e.gz", 100, NOW - 1000);
    file(U1 "/1/f.gz", 100, NOW + 10000 * (time_t) DAY);

    run(0, 300, 100, NULL, NULL);
    assert_int_equal(result.removed_files, 3);
    assert_true(is(U1 "/1/d.gz"));

    run(0, 299, 100, NULL, NULL);
    assert_false(is(U1 "/1/d.gz"));
    assert_true(is(U1 "/1/e.gz"));

    run(0, 1, 100, NULL, NULL);
    assert_false(is(U1 "/1/e.gz"));
    assert_true(is(U1 "/1/f.gz"));
    assert_int_equal(result.bytes, 100);

    file(U1 "/1/a.gz", 100, -1000000);
    run(1000, 0, 100, NULL, NULL);
    assert_false(is(U1 "/1/a.gz"));
}


static void
test_in_use(void **state)
{
    char  keep[] = U1 "/1/2023/11/01/b.cap";
    char  gz[] = U1 "/1/2023/11/01/c.cap.gz";

    (void) state;

    file(U1 "/1/2023/11/01/a.cap", 100, NOW - 9 * DAY);
    file(U1 "/1/2023/11/01/b.cap", 100, NOW - 8 * DAY);
    file(U1 "/1/2023/11/01/c.cap.gz", 100, NOW - 7 * DAY);
    file(U1 "/1/2023/11/01/d.cap.gz", 100, NOW - 6 * DAY);

    /* what is in use is in nobody's way: the next ones go */

    run(0, 200, 3, kept, keep);
    assert_false(is(U1 "/1/2023/11/01/a.cap"));
    assert_true(is(U1 "/1/2023/11/01/b.cap"));
    assert_false(is(U1 "/1/2023/11/01/c.cap.gz"));
    assert_true(is(U1 "/1/2023/11/01/d.cap.gz"));
    assert_int_equal(result.bytes, 200);

    run(1000, 0, 3, kept, keep);
    assert_true(is(U1 "/1/2023/11/01/b.cap"));
    assert_false(is(U1 "/1/2023/11/01/d.cap.gz"));
    assert_int_equal(result.in_use, 1);

    /* nobody is asked about what is compressed */

    file(gz, 100, NOW - 7 * DAY);
    run(1000, 0, 3, kept, gz);
    assert_false(is(gz));
    assert_false(is(keep));
    assert_int_equal(result.in_use, 0);
}


/* the file of a session that is silent for days */

static void
test_writer(void **state)
{
    int   fd;
    char  path[] = U1 "/8/2023/11/01/a.passivedns.txt";

    (void) state;

    assert_int_equal(d4_store_create(&store, path, &fd), D4_STORE_OK);
    assert_int_equal(d4_store_write_buf(fd, 0, "line\n", 5), D4_STORE_OK);
    date(in_root(path), NOW - 9 * DAY);
    file(U1 "/8/2023/11/01/b.gz", 5, NOW - 8 * DAY);

    run(1000, 1, 3, NULL, NULL);
    assert_true(has_text(in_root(path), "line\n"));
    assert_false(is(U1 "/8/2023/11/01/b.gz"));
    assert_int_equal(result.in_use, 2);
    assert_int_equal(result.bytes, 5);

    close(fd);
    run(1000, 1, 3, NULL, NULL);
    assert_false(is(path));
    assert_int_equal(result.bytes, 0);
}


/* Others add and remove meanwhile. */

static void
test_busy(void **state)
{
    int                  i, n;
    char                 path[128];
    d4_store_rc_t        rc;
    d4_retention_t      *r;
    d4_retention_conf_t  conf;

    (void) state;

    for (i = 0; i < 200; i++) {
        snprintf(path, sizeof(path), U1 "/1/2023/11/%02d/%d.gz", i % 20, i);
        file(path, 100, NOW - (i % 20 + 1) * DAY);
    }

    old_dirs();

    memset(&conf, 0, sizeof(conf));
    conf.now = NOW;
    conf.size = 10000;

    r = d4_retention_create(&store, &conf);
    assert_non_null(r);
    i = n = 0;

    while ((rc = d4_retention_step(r, 3)) == D4_STORE_AGAIN) {

        if (i < 200) {
            snprintf(path, sizeof(path), U1 "/1/2023/11/%02d/%d.gz", i % 20,
                     i);
            n += (unlink(in_root(path)) == 0);
            i += 7;

            snprintf(path, sizeof(path), U2 "/1/2023/11/%02d/%d.gz", i % 20,
                     i);
            file(path, 100, NOW);
        }

        /* a directory that becomes a link */

        if (i == 70) {
            assert_int_equal(rename(in_root(U1 "/1/2023/11/07"),
                                    in_outside("07")), 0);
            assert_int_equal(symlink(in_outside("07"),
                                     in_root(U1 "/1/2023/11/07")), 0);
            n += 10;
        }
    }

    assert_int_equal(rc, D4_STORE_OK);
    assert_true(n > 10);
    assert_true(d4_retention_stat(r)->removed_files > 0);
    assert_true(names(in_outside("07"), "") > 0);
    d4_retention_free(r);

    /* stopped in the middle of it */

    r = d4_retention_create(&store, &conf);
    assert_non_null(r);
    assert_int_equal(d4_retention_step(r, 7), D4_STORE_AGAIN);
    d4_retention_free(r);
    d4_retention_free(NULL);
}


/* What it cannot read or remove is counted, and it goes on. */

static int
not_permitted(void)
{
    int                  i;
    d4_retention_t      *r;
    d4_retention_conf_t  conf;

    CHECK(be_nobody() == 0);

    memset(&conf, 0, sizeof(conf));
    conf.now = NOW;
    conf.age = 1000;

    r = d4_retention_create(&store, &conf);
    CHECK(r != NULL);

    for (i = 0; d4_retention_step(r, 2) == D4_STORE_AGAIN; i++) {
        CHECK(i < 1000);
    }

    CHECK(d4_retention_step(r, 2) == D4_STORE_OK);
    CHECK(d4_retention_stat(r)->errors == 2);
    CHECK(d4_retention_stat(r)->error == D4_STORE_PERMISSION);
    CHECK(d4_retention_stat(r)->err == EACCES);
    CHECK(strcmp(d4_retention_stat(r)->path, U1 "/1") == 0
          || strcmp(d4_retention_stat(r)->path, U2 "/1/a.gz") == 0);
    CHECK(d4_retention_stat(r)->removed_files == 1);

    d4_retention_free(r);

    return 0;
}


static void
test_errors(void **state)
{
    (void) state;

    file(U1 "/1/a.gz", 1, 0);
    file(U2 "/1/a.gz", 1, 0);
    file("datas/x/a.gz", 1, 0);
    assert_int_equal(chmod(in_root(U1 "/1"), 0000), 0);
    assert_int_equal(chmod(in_root(U2 "/1"), 0555), 0);
    assert_int_equal(chmod(in_root("datas/x"), 0777), 0);

    assert_child(not_permitted);

    assert_int_equal(chmod(in_root(U1 "/1"), 0755), 0);
    assert_int_equal(chmod(in_root(U2 "/1"), 0755), 0);
    assert_true(is(U1 "/1/a.gz"));
    assert_true(is(U2 "/1/a.gz"));
    assert_false(is("datas/x/a.gz"));

    /* nothing of ours is so deep */

    file(U1 "/1/3/4/5/6/7/8/deepest.gz", 1, 0);
    file(U1 "/1/3/4/5/6/7/8/9/deeper.gz", 1, 0);
    run(1000, 0, 100, NULL, NULL);
    assert_false(is(U1 "/1/3/4/5/6/7/8/deepest.gz"));
    assert_true(is(U1 "/1/3/4/5/6/7/8/9/deeper.gz"));
    assert_int_equal(result.errors, 1);
    assert_int_equal(result.error, D4_STORE_BAD_PATH);
    assert_string_equal(result.path, U1 "/1/3/4/5/6/7/8/9");
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
        test(test_age),
        test(test_untouched),
        test(test_dirs),
        test(test_parts),
        test(test_size),
        test(test_second),
        test(test_times),
        test(test_in_use),
        test(test_writer),
        test(test_busy),
        test(test_errors),
        test(test_descriptors),
    };

    return cmocka_run_group_tests(tests, setup, scratch_teardown);
}

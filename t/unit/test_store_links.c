
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "scratch.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>


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


/* paths */

static void
test_paths(void **state)
{
    int       fd;
    char      path[1100];
    size_t    i;
    uint64_t  size;

    static const char *const  paths[] = {
        "", "/", "//", "/etc/passwd", "a/", "a//b", "/a", ".", "..", "./a",
        "../a", "a/.", "a/..", "a/../b", "a/./b", "a/.b", ".b", ".d4-store",
        ".x.part", "a b", "a\nb", "a\\b", "a*", "a\tb", "\303\244", "a\177",
        "a/b\001", "~", "a;b", "a=b", "a@b", "%2e%2e"
    };

    (void) state;

    assert_int_equal(mkdir(in_root("a"), 0755), 0);

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        assert_int_equal(d4_store_create(&store, paths[i], &fd),
                         D4_STORE_BAD_PATH);
        assert_int_equal(errno, 0);
        assert_int_equal(d4_store_append(&store, paths[i], 0, &fd, &size),
                         D4_STORE_BAD_PATH);
        assert_int_equal(d4_store_read(&store, paths[i], &fd, &size),
                         D4_STORE_BAD_PATH);
        assert_int_equal(d4_store_remove(&store, paths[i]),
                         D4_STORE_BAD_PATH);
        assert_int_equal(d4_store_taken(&store, paths[i]), D4_STORE_BAD_PATH);
        assert_int_equal(d4_store_rename(&store, paths[i], "x"),
                         D4_STORE_BAD_PATH);
        assert_int_equal(d4_store_sync_names(&store, paths[i]),
                         D4_STORE_BAD_PATH);
    }

    assert_int_equal(make("file", "x"), D4_STORE_OK);
    assert_int_equal(d4_store_rename(&store, "file", "../file"),
                     D4_STORE_BAD_PATH);
    assert_int_equal(names(root, ""), 2);

    /* the longest part, and one more */

    memset(path, 'a', sizeof(path));
    path[D4_STORE_NAME] = '\0';
    assert_int_equal(make(path, "x"), D4_STORE_OK);
    path[D4_STORE_NAME] = 'a';
    path[D4_STORE_NAME + 1] = '\0';
    assert_int_equal(make(path, "x"), D4_STORE_BAD_PATH);

    /* the longest path, and one more */

    for (i = 0; i < sizeof(path); i++) {
        path[i] = (i % 2) ? '/' : 'd';
    }

    path[D4_STORE_PATH] = '\0';
    assert_int_equal(make(path, "x"), D4_STORE_OK);
    path[D4_STORE_PATH] = '/';
    path[D4_STORE_PATH + 1] = 'e';
    path[D4_STORE_PATH + 2] = '\0';
    assert_int_equal(make(path, "x"), D4_STORE_BAD_PATH);
}


/* links and what else is not a file */

static void
refused(const char *path)
{
    int       fd;
    uint64_t  size;

    assert_int_equal(d4_store_append(&store, path, 0, &fd, &size),
                     D4_STORE_UNSAFE);
    assert_int_equal(d4_store_read(&store, path, &fd, &size),
                     D4_STORE_UNSAFE);
    assert_int_equal(d4_store_remove(&store, path), D4_STORE_UNSAFE);
    assert_int_equal(d4_store_rename(&store, path, "elsewhere/x"),
                     D4_STORE_UNSAFE);
}


static void
test_links(void **state)
{
    int       fd;
    uint64_t  size;

    (void) state;

    put_text(in_outside("file"), "outside");
    assert_int_equal(mkdir(in_outside("d"), 0755), 0);
    put_text(in_outside("d/file"), "outside");
    assert_int_equal(make("u/1/day/own", "inside"), D4_STORE_OK);

    /* in the place of the file: to a file, to nothing, to one inside */

    assert_int_equal(symlink(in_outside("file"), in_root("u/1/day/a")), 0);
    assert_int_equal(symlink(in_outside("new"), in_root("u/1/day/b")), 0);
    assert_int_equal(symlink("own", in_root("u/1/day/c")), 0);
    assert_int_equal(symlink(in_outside("d"), in_root("u/1/day/d")), 0);
    assert_int_equal(symlink("e", in_root("u/1/day/e")), 0);

    refused("u/1/day/a");
    refused("u/1/day/b");
    refused("u/1/day/c");
    refused("u/1/day/d");
    refused("u/1/day/e");

    assert_int_equal(make("u/1/day/a", "evil"), D4_STORE_EXISTS);
    assert_int_equal(make("u/1/day/b", "evil"), D4_STORE_EXISTS);
    assert_int_equal(make("u/1/day/c", "evil"), D4_STORE_EXISTS);
    assert_int_equal(make("u/1/day/d", "evil"), D4_STORE_EXISTS);
    assert_int_equal(make("u/1/day/e", "evil"), D4_STORE_EXISTS);
    assert_int_equal(d4_store_taken(&store, "u/1/day/b"), D4_STORE_EXISTS);
    assert_int_equal(d4_store_rename(&store, "u/1/day/own", "u/1/day/b"),
                     D4_STORE_EXISTS);

    /* in the place of the .gz */

    assert_int_equal(symlink(in_outside("new"), in_root("u/1/day/f.gz")), 0);
    assert_int_equal(make("u/1/day/f", "evil"), D4_STORE_EXISTS);
    assert_false(exists(in_root("u/1/day/f")));
    assert_int_equal(d4_store_taken(&store, "u/1/day/f"), D4_STORE_EXISTS);

    /* in the place of each directory: to one, to nothing, to one inside */

    assert_int_equal(symlink(outside, in_root("v")), 0);
    assert_int_equal(symlink(in_outside("none"), in_root("w")), 0);
    assert_int_equal(symlink("u", in_root("x")), 0);
    assert_int_equal(symlink(outside, in_root("u/v")), 0);
    assert_int_equal(symlink(outside, in_root("u/1/v")), 0);
    assert_int_equal(symlink("day", in_root("u/1/w")), 0);
    assert_int_equal(symlink("/", in_root("u/1/day/v")), 0);

    refused("v/file");
    refused("v/d/file");
    refused("w/file");
    refused("x/1/day/own");
    refused("u/v/d/file");
    refused("u/1/v/d/file");
    refused("u/1/w/own");
    refused("u/1/day/v/etc/passwd");

    assert_int_equal(make("v/new", "evil"), D4_STORE_UNSAFE);
    assert_int_equal(make("v/new/new", "evil"), D4_STORE_UNSAFE);
    assert_int_equal(make("w/new", "evil"), D4_STORE_UNSAFE);
    assert_int_equal(make("x/new", "evil"), D4_STORE_UNSAFE);
    assert_int_equal(make("u/v/new", "evil"), D4_STORE_UNSAFE);
    assert_int_equal(make("u/1/v/d/new", "evil"), D4_STORE_UNSAFE);
    assert_int_equal(make("u/1/w/new", "evil"), D4_STORE_UNSAFE);
    assert_int_equal(make("u/1/day/v/tmp/new", "evil"), D4_STORE_UNSAFE);
    assert_int_equal(d4_store_rename(&store, "u/1/day/own", "v/new"),
                     D4_STORE_UNSAFE);
    assert_int_equal(d4_store_taken(&store, "v/new"), D4_STORE_UNSAFE);

    /* nothing has changed there, and what is a file is still one */

    assert_int_equal(names(outside, ""), 2);
    assert_int_equal(names(in_outside("d"), ""), 1);
    assert_true(has_text(in_outside("file"), "outside"));
    assert_true(has_text(in_outside("d/file"), "outside"));
    assert_true(has_text(in_root("u/1/day/own"), "inside"));
    assert_int_equal(d4_store_append(&store, "u/1/day/own", 6, &fd, &size),
                     D4_STORE_OK);
    close(fd);
}


static void
test_hard_links(void **state)
{
    int       fd;
    uint64_t  size;

    (void) state;

    put_text(in_outside("file"), "outside");
    assert_int_equal(mkdir(in_root("d"), 0755), 0);
    assert_int_equal(link(in_outside("file"), in_root("d/file")), 0);

    assert_int_equal(d4_store_append(&store, "d/file", 0, &fd, &size),
                     D4_STORE_UNSAFE);
    assert_int_equal(errno, 0);
    assert_int_equal(d4_store_read(&store, "d/file", &fd, &size),
                     D4_STORE_UNSAFE);
    assert_int_equal(make("d/file", "evil"), D4_STORE_EXISTS);
    assert_true(has_text(in_outside("file"), "outside"));

    /* to take a name away does nothing to the others */

    assert_int_equal(d4_store_remove(&store, "d/file"), D4_STORE_OK);
    assert_true(has_text(in_outside("file"), "outside"));
}


static void
test_kinds(void **state)
{
    (void) state;

    assert_int_equal(mkfifo(in_root("pipe"), 0644), 0);
    assert_int_equal(mkdir(in_root("dir"), 0755), 0);
    put_text(in_root("file"), "x");

    refused("pipe");
    refused("dir");
    assert_int_equal(make("file/x", "x"), D4_STORE_UNSAFE);
    assert_int_equal(make("pipe/x", "x"), D4_STORE_UNSAFE);
    assert_int_equal(make("pipe", "x"), D4_STORE_EXISTS);
    assert_int_equal(make("dir", "x"), D4_STORE_EXISTS);
    assert_int_equal(d4_store_remove(&store, "none"), D4_STORE_MISSING);
    assert_int_equal(d4_store_remove(&store, "none/none"), D4_STORE_MISSING);
}


/* a directory that is one moment a directory, the other a link outside */

static volatile int  stop;

static void *
swap_for_ever(void *data)
{
    (void) data;

    while (!stop) {
        (void) renameat2(store.fd, "d", store.fd, "link", RENAME_EXCHANGE);
    }

    return NULL;
}


static void
test_swapped(void **state)
{
    int            i, made, unsafe;
    char           path[64];
    pthread_t      thread;
    d4_store_rc_t  rc;

    (void) state;

    assert_int_equal(mkdir(in_root("d"), 0755), 0);
    assert_int_equal(symlink(outside, in_root("link")), 0);

    stop = 0;
    made = unsafe = 0;
    assert_int_equal(pthread_create(&thread, NULL, swap_for_ever, NULL), 0);

    for (i = 0; i < 200000 && (i < 5000 || made < 100 || unsafe < 100); i++) {
        snprintf(path, sizeof(path), "d/e/%d", i);
        rc = make(path, "x");

        made += (rc == D4_STORE_OK);
        unsafe += (rc == D4_STORE_UNSAFE);

        if (rc != D4_STORE_OK && rc != D4_STORE_UNSAFE) {
            break;
        }
    }

    stop = 1;
    pthread_join(thread, NULL);

    assert_true(made >= 100 && unsafe >= 100);
    assert_int_equal(names(outside, ""), 0);

    /* those that were made are all in the one directory */

    if (names(in_root("d/e"), "") != made) {
        assert_int_equal(renameat2(store.fd, "d", store.fd, "link",
                                   RENAME_EXCHANGE), 0);
        assert_int_equal(names(in_root("d/e"), ""), made);
    }
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
        test(test_paths),
        test(test_links),
        test(test_hard_links),
        test(test_kinds),
        test(test_swapped),
        test(test_descriptors),
    };

    return cmocka_run_group_tests(tests, setup, scratch_teardown);
}

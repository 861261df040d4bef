
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


static mode_t
mode_of(const char *path)
{
    struct stat  st;

    return stat(in_root(path), &st) == 0 ? st.st_mode & 07777 : 0;
}


/* opening */

static int
open_as_nobody(void)
{
    d4_store_t  s;

    CHECK(be_nobody() == 0);

    CHECK(d4_store_open(&s, root, NULL) == D4_STORE_PERMISSION);
    CHECK(errno == EACCES && s.fd == -1);

    /* who opened it before finds out when it comes to it */

    CHECK(d4_store_probe(&store) == D4_STORE_PERMISSION);

    return 0;
}


static void
test_open(void **state)
{
    d4_store_t        s;
    d4_store_space_t  space;

    (void) state;

    assert_int_equal(d4_store_open(&s, in_root("none"), NULL),
                     D4_STORE_MISSING);
    assert_int_equal(errno, ENOENT);

    put_text(in_root("file"), "x");
    assert_int_equal(d4_store_open(&s, in_root("file"), NULL),
                     D4_STORE_UNSAFE);
    assert_int_equal(errno, ENOTDIR);

    /* the root may be a link: that is how an administrator moves it */

    assert_int_equal(symlink(root, in_outside("link")), 0);
    assert_int_equal(d4_store_open(&s, in_outside("link"), NULL),
                     D4_STORE_OK);
    assert_int_equal(fcntl(s.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(d4_store_probe(&s), D4_STORE_OK);
    assert_int_equal(names(root, ""), 1);

    assert_int_equal(d4_store_space(&s, &space), D4_STORE_OK);
    assert_true(space.free <= space.total && space.total > 0);
    assert_true(space.files > 0);

    d4_store_close(&s);
    assert_int_equal(s.fd, -1);

    if (geteuid() != 0) {
        assert_int_equal(chmod(root, 0555), 0);
    }

    assert_child(open_as_nobody);
    assert_int_equal(chmod(root, 0755), 0);
}


static void
test_text(void **state)
{
    int  rc;

    (void) state;

    for (rc = 0; rc < D4_STORE_RESULT_MAX; rc++) {
        assert_true(strlen(d4_store_text(rc)) > 3);
    }

    assert_string_equal(d4_store_text(D4_STORE_SHORT),
                        "shorter than committed");
    assert_string_equal(d4_store_text(D4_STORE_RESULT_MAX), "unknown result");
    assert_string_equal(d4_store_text((d4_store_rc_t) -1), "unknown result");
}


/* the id */

static void
test_id(void **state)
{
    char    id[D4_STORE_ID + 1], again[D4_STORE_ID + 1], *file;
    size_t  len;

    (void) state;

    assert_int_equal(d4_store_id(&store, id), D4_STORE_OK);
    assert_int_equal(strlen(id), D4_STORE_ID);
    assert_int_equal(strspn(id, "0123456789abcdef"), D4_STORE_ID);

    file = get(in_root(".d4-store"), &len);
    assert_non_null(file);
    assert_int_equal(len, D4_STORE_ID);
    assert_string_equal(file, id);
    free(file);

    assert_int_equal(mode_of(".d4-store"), 0640);
    assert_int_equal(names(root, ""), 1);

    assert_int_equal(d4_store_id(&store, again), D4_STORE_OK);
    assert_string_equal(id, again);

    put_text(in_root(".d4-store"), "0123456789abcdef0123456789abcdef\n");
    assert_int_equal(d4_store_id(&store, id), D4_STORE_OK);
    assert_string_equal(id, "0123456789abcdef0123456789abcdef");
}


static void
test_id_damaged(void **state)
{
    char    id[D4_STORE_ID + 1];
    size_t  i;

    static const char *const  texts[] = {
        "", "\n", "x", "0123456789abcdef0123456789abcde",
        "0123456789abcdef0123456789abcdeg",
        "0123456789ABCDEF0123456789ABCDEF",
        "0123456789abcdef0123456789abcdef0",
        "0123456789abcdef0123456789abcdef\n\n",
        "0123456789abcdef0123456789abcdef\n0"
    };

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        put_text(in_root(".d4-store"), texts[i]);
        assert_int_equal(d4_store_id(&store, id), D4_STORE_DAMAGED);
        assert_int_equal(errno, 0);
        assert_string_equal(id, "");
        assert_true(has_text(in_root(".d4-store"), texts[i]));
    }

    /* a link, wherever it leads, is neither read nor written */

    put_text(in_outside("id"), "0123456789abcdef0123456789abcdef");
    assert_int_equal(unlink(in_root(".d4-store")), 0);
    assert_int_equal(symlink(in_outside("id"), in_root(".d4-store")), 0);
    assert_int_equal(d4_store_id(&store, id), D4_STORE_UNSAFE);

    assert_int_equal(unlink(in_root(".d4-store")), 0);
    assert_int_equal(symlink(in_outside("new"), in_root(".d4-store")), 0);
    assert_int_equal(d4_store_id(&store, id), D4_STORE_UNSAFE);
    assert_false(exists(in_outside("new")));
}


/* many processes at once: one id, made by one of them */

#define RACERS  8

static void
test_id_race(void **state)
{
    int     i, n, round, start[2], ids[2], status;
    char    c, got[RACERS][D4_STORE_ID + 1], id[D4_STORE_ID + 1];
    pid_t   pids[RACERS];

    (void) state;

    for (round = 0; round < 20; round++) {
        assert_int_equal(pipe(start), 0);
        assert_int_equal(pipe(ids), 0);

        for (i = 0; i < RACERS; i++) {
            pids[i] = fork();
            assert_int_not_equal(pids[i], -1);

            if (pids[i] == 0) {
                close(start[1]);
                (void) !read(start[0], &c, 1);

                if (d4_store_id(&store, id) != D4_STORE_OK) {
                    memset(id, '?', sizeof(id));
                }

                _exit(write(ids[1], id, sizeof(id)) != sizeof(id));
            }
        }

        /* all of them see the end of the pipe at the same time */

        close(start[0]);
        close(start[1]);
        close(ids[1]);

        for (n = 0; n < RACERS; n++) {
            assert_int_equal(read(ids[0], got[n], sizeof(got[n])),
                             sizeof(got[n]));
        }

        close(ids[0]);

        for (i = 0; i < RACERS; i++) {
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_int_equal(status, 0);
            assert_int_equal(strspn(got[i], "0123456789abcdef"), D4_STORE_ID);
            assert_string_equal(got[i], got[0]);
        }

        assert_true(has_text(in_root(".d4-store"), got[0]));
        assert_int_equal(names(root, ""), 1);
        assert_int_equal(unlink(in_root(".d4-store")), 0);
    }
}


/* creating */

static void
test_create(void **state)
{
    int          fd, fd2;
    struct stat  st;

    (void) state;

    assert_int_equal(d4_store_create(&store, "a/b/c/file.cap", &fd),
                     D4_STORE_OK);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 0);

    assert_int_equal(d4_store_create(&store, "a/b/c/file.cap", &fd2),
                     D4_STORE_EXISTS);
    assert_int_equal(errno, EEXIST);

    assert_int_equal(d4_store_write_buf(fd, 0, "one", 3), D4_STORE_OK);
    assert_int_equal(d4_store_create(&store, "a/b/c/file.cap", &fd2),
                     D4_STORE_EXISTS);
    assert_int_equal(d4_store_sync(fd), D4_STORE_OK);
    assert_int_equal(d4_store_sync_names(&store, "a/b/c/file.cap"),
                     D4_STORE_OK);
    assert_int_equal(d4_store_file_close(fd), D4_STORE_OK);
    assert_true(has_text(in_root("a/b/c/file.cap"), "one"));

    /* directly in the root, too */

    assert_int_equal(make("file", "two"), D4_STORE_OK);
    assert_true(has_text(in_root("file"), "two"));
    assert_int_equal(d4_store_sync_names(&store, "file"), D4_STORE_OK);
    assert_int_equal(d4_store_sync_names(&store, "none/file"),
                     D4_STORE_MISSING);

    /* a name is taken as long as its .gz is there */

    assert_int_equal(rename(in_root("a/b/c/file.cap"),
                            in_root("a/b/c/file.cap.gz")), 0);
    assert_int_equal(d4_store_taken(&store, "a/b/c/file.cap"),
                     D4_STORE_EXISTS);
    assert_int_equal(d4_store_create(&store, "a/b/c/file.cap", &fd),
                     D4_STORE_EXISTS);
    assert_int_equal(names(in_root("a/b/c"), ""), 1);

    assert_int_equal(d4_store_taken(&store, "a/b/c/file2.cap"), D4_STORE_OK);
    assert_int_equal(d4_store_taken(&store, "a/none/c/file.cap"),
                     D4_STORE_OK);
    assert_int_equal(d4_store_taken(&store, "a/b/c/file.cap.gz"),
                     D4_STORE_EXISTS);
}


static void
test_owner(void **state)
{
    int          i, fd;
    d4_store_t   s;
    struct stat  st;

    static const mode_t  umasks[] = { 0, 022, 077, 027 };

    d4_store_owner_t  owner = D4_STORE_OWNER_DEFAULT;

    (void) state;

    for (i = 0; i < 4; i++) {
        umask(umasks[i]);
        assert_int_equal(make(i == 0 ? "0/d/f" : i == 1 ? "1/d/f"
                              : i == 2 ? "2/d/f" : "3/d/f", "x"),
                         D4_STORE_OK);
    }

    umask(022);

    assert_int_equal(mode_of("0"), 0750);
    assert_int_equal(mode_of("0/d/f"), 0640);
    assert_int_equal(mode_of("1/d"), 0750);
    assert_int_equal(mode_of("2/d"), 0750);
    assert_int_equal(mode_of("2/d/f"), 0640);
    assert_int_equal(mode_of("3/d"), 0750);
    assert_int_equal(mode_of("3/d/f"), 0640);

    /* what was there stays as it is; a group that is inherited goes on */

    assert_int_equal(mkdir(in_root("old"), 0700), 0);
    assert_int_equal(chmod(in_root("old"), 02711), 0);
    assert_int_equal(make("old/new/f", "x"), D4_STORE_OK);
    assert_int_equal(mode_of("old"), 02711);
    assert_int_equal(mode_of("old/new"), 02750);

    owner.file_mode = 0604;
    owner.dir_mode = 0705;

    if (geteuid() == 0) {
        owner.uid = 1234;
        owner.gid = 5678;

    } else {
        owner.uid = geteuid();
        owner.gid = getegid();
    }

    assert_int_equal(d4_store_open(&s, root, &owner), D4_STORE_OK);
    assert_int_equal(d4_store_create(&s, "own/d/f", &fd), D4_STORE_OK);
    assert_int_equal(d4_store_probe(&s), D4_STORE_OK);
    close(fd);

    assert_int_equal(stat(in_root("own/d/f"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0604);
    assert_int_equal(st.st_uid, owner.uid);
    assert_int_equal(st.st_gid, owner.gid);
    assert_int_equal(stat(in_root("own"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0705);
    assert_int_equal(st.st_uid, owner.uid);
    assert_int_equal(st.st_gid, owner.gid);

    d4_store_close(&s);
}


/* To give away files takes more than an ordinary user may do. */

static int
give_away(void)
{
    int               fd;
    d4_store_t        s;
    d4_store_owner_t  owner = D4_STORE_OWNER_DEFAULT;

    CHECK(chmod(root, 0777) == 0);
    CHECK(be_nobody() == 0);

    owner.uid = 1;
    CHECK(d4_store_open(&s, root, &owner) == D4_STORE_OK);
    CHECK(d4_store_probe(&s) == D4_STORE_PERMISSION && errno == EPERM);
    CHECK(d4_store_create(&s, "f", &fd) == D4_STORE_PERMISSION);
    CHECK(d4_store_create(&s, "d/f", &fd) == D4_STORE_PERMISSION);
    CHECK(names(root, "") == 0);

    return 0;
}


static void
test_owner_refused(void **state)
{
    (void) state;

    assert_child(give_away);
}


/* renaming and removing */

static void
test_rename(void **state)
{
    (void) state;

    assert_int_equal(make("a/b/f", "one"), D4_STORE_OK);
    assert_int_equal(make("a/c/g", "two"), D4_STORE_OK);

    assert_int_equal(d4_store_rename(&store, "a/b/f", "a/c/g"),
                     D4_STORE_EXISTS);
    assert_int_equal(d4_store_rename(&store, "a/b/f", "a/b/f"),
                     D4_STORE_EXISTS);
    assert_int_equal(d4_store_rename(&store, "a/b/none", "a/c/h"),
                     D4_STORE_MISSING);
    assert_true(has_text(in_root("a/b/f"), "one"));
    assert_true(has_text(in_root("a/c/g"), "two"));

    assert_int_equal(d4_store_rename(&store, "a/b/f", "n/e/w/f"),
                     D4_STORE_OK);
    assert_true(has_text(in_root("n/e/w/f"), "one"));
    assert_false(exists(in_root("a/b/f")));
    assert_int_equal(d4_store_rename(&store, "n/e/w/f", "n/e/w/g"),
                     D4_STORE_OK);

    assert_int_equal(d4_store_remove(&store, "n/e/w/g"), D4_STORE_OK);
    assert_int_equal(d4_store_remove(&store, "n/e/w/g"), D4_STORE_MISSING);
}


/* a kernel, or a container, without renameat2 */

#include <linux/filter.h>
#include <linux/seccomp.h>

static int
no_renameat2(void)
{
    char  id[D4_STORE_ID + 1];

    struct sock_filter  code[] = {
        BPF_STMT(BPF_LD|BPF_W|BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP|BPF_JEQ|BPF_K, SYS_renameat2, 0, 1),
        BPF_STMT(BPF_RET|BPF_K, SECCOMP_RET_ERRNO|ENOSYS),
        BPF_STMT(BPF_RET|BPF_K, SECCOMP_RET_ALLOW)
    };

    struct sock_fprog  program = { 4, code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
        || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    {
        perror("# seccomp");
        return IMPOSSIBLE;
    }

    CHECK(renameat2(store.fd, "a", store.fd, "b", RENAME_NOREPLACE) == -1);
    CHECK(errno == ENOSYS || errno == EINVAL);

    CHECK(make("a", "one") == D4_STORE_OK);
    CHECK(make("b", "two") == D4_STORE_OK);
    CHECK(d4_store_rename(&store, "a", "b") == D4_STORE_EXISTS);
    CHECK(has_text(in_root("a"), "one") && has_text(in_root("b"), "two"));
    CHECK(d4_store_rename(&store, "a", "d/c") == D4_STORE_OK);
    CHECK(!exists(in_root("a")) && has_text(in_root("d/c"), "one"));
    CHECK(d4_store_id(&store, id) == D4_STORE_OK);
    CHECK(has_text(in_root(".d4-store"), id));
    CHECK(names(root, "") == 3);

    return 0;
}


static void
test_no_renameat2(void **state)
{
    (void) state;

    assert_child(no_renameat2);
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
        test(test_open),
        test(test_text),
        test(test_id),
        test(test_id_damaged),
        test(test_id_race),
        test(test_create),
        test(test_owner),
        test(test_owner_refused),
        test(test_rename),
        test(test_no_renameat2),
        test(test_descriptors),
    };

    return cmocka_run_group_tests(tests, setup, scratch_teardown);
}

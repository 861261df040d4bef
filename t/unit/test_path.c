
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../ngx_d4_module/storage/d4_path.h"


#define UUID    "0123456789ab4def8123456789abcdef"
#define SHA1    "da39a3ee5e6b4b0d3255bfef95601890afd80709"
#define SHA256  "e3b0c44298fc1c149afbf4c8996fb924"                            \
                "27ae41e4649b934ca495991b7852b855"


static const struct tm  when = {
    .tm_year = 124, .tm_mon = 2, .tm_mday = 5,
    .tm_hour = 9, .tm_min = 15, .tm_sec = 2
};


static void
test_numeric(void **state)
{
    char      out[D4_PATH_MAX];
    size_t    i;
    unsigned  type;

    static const struct {
        unsigned     type;
        const char  *path;
    } paths[] = {
        { 1, UUID "/1/2024/03/05/" UUID "-2024-03-05-091502.cap" },
        { 3, UUID "/3/2024/03/05/" UUID "-2024-03-05-091502.syslog.txt" },
        { 4, UUID "/4/2024/03/05/" UUID "-2024-03-05-091502.dnscap.txt" },
        { 5, UUID "/5/2024/03/05/" UUID "-2024-03-05-091502.pcapng" },
        { 6, UUID "/6/2024/03/05/" UUID "-2024-03-05-091502.ndjson" },
        { 7, UUID "/7/2024/03/05/" UUID "-2024-03-05-091502.ipfix" },
        { 8, UUID "/8/2024/03/05/" UUID "-2024-03-05-091502.passivedns.txt" }
    };

    (void) state;

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        assert_int_equal(d4_path_numeric(out, UUID, paths[i].type, &when, 0),
                         0);
        assert_string_equal(out, paths[i].path);
    }

    /* no other type has files of its own */

    for (type = 0, i = 0; type < 1000; type++) {
        if (i < 7 && paths[i].type == type) {
            i++;
            continue;
        }

        strcpy(out, "x");
        assert_int_equal(d4_path_numeric(out, UUID, type, &when, 0), -1);
        assert_string_equal(out, "");
        assert_null(d4_path_suffix(type));
    }

    assert_int_equal(d4_path_numeric(out, UUID, 1, &when, 2), 0);
    assert_string_equal(out, UUID "/1/2024/03/05/" UUID
                        "-2024-03-05-091502-2.cap");

    assert_int_equal(d4_path_numeric(out, UUID, 8, &when, 4294967295u), 0);
    assert_string_equal(out, UUID "/8/2024/03/05/" UUID
                        "-2024-03-05-091502-4294967295.passivedns.txt");
}


static void
test_extended(void **state)
{
    char  out[D4_PATH_MAX], ext[D4_PATH_NAME + 1];

    (void) state;

    assert_int_equal(d4_path_extended(out, UUID, "maltrail and more", 8,
                                      D4_PATH_TEXT, &when, 0), 0);
    assert_string_equal(out, UUID "/254/2024/03/05/maltrail/" UUID
                        "-2024-03-05-091502.txt");

    assert_int_equal(d4_path_extended(out, UUID, "ja3-jl", 6, D4_PATH_META,
                                      &when, 7), 0);
    assert_string_equal(out, UUID "/254/2024/03/05/ja3-jl/" UUID
                        "-2024-03-05-091502-7.json");

    /* the longest of all */

    memset(ext, 'e', sizeof(ext));
    assert_int_equal(d4_path_extended(out, UUID, ext, D4_PATH_NAME,
                                      D4_PATH_META, &when, 4294967295u), 0);
    assert_int_equal(strlen(out), 32 + 16 + 100 + 1 + 32 + 18 + 11 + 5);

    assert_int_equal(d4_path_extended(out, UUID, ext, D4_PATH_NAME + 1,
                                      D4_PATH_META, &when, 0), -1);
    assert_string_equal(out, "");
}


static void
test_handlers(void **state)
{
    char  out[D4_PATH_MAX], long_name[2000];

    (void) state;

    assert_int_equal(d4_path_cert(out, SHA1, 0), 0);
    assert_string_equal(out, "datas/ja3-jl/certs/" SHA1 ".crt");
    assert_int_equal(d4_path_cert(out, SHA1, 1), 0);
    assert_string_equal(out, "datas/ja3-jl/certs/" SHA1 "-1.crt");
    assert_int_equal(d4_path_cert(out, SHA256, 0), -1);
    assert_string_equal(out, "");

    assert_int_equal(d4_path_session(out, "2024-03-05T09:15:02.118734+02:00",
                                     32, 0), 0);
    assert_string_equal(out, "datas/ja3-jl/jsons/"
                        "2024-03-05T09:15:02.118734+02:00.json");

    assert_int_equal(d4_path_session(out, "../../../etc/cron.d/x\0y", 23, 3),
                     0);
    assert_string_equal(out,
                        "datas/ja3-jl/jsons/_._.._.._etc_cron.d_x_y-3.json");

    assert_int_equal(d4_path_session(out, NULL, 0, 0), 0);
    assert_string_equal(out, "datas/ja3-jl/jsons/_.json");

    assert_int_equal(d4_path_watched(out, UUID, &when, SHA256, "pdf", 3, 0, 0),
                     0);
    assert_string_equal(out, UUID "/254/2024/03/05/filewatcher/files/"
                        SHA256 ".pdf");

    assert_int_equal(d4_path_watched(out, NULL, NULL, SHA256, NULL, 0, 0, 0),
                     0);
    assert_string_equal(out, "datas/filewatcher/files/" SHA256 ".");

    assert_int_equal(d4_path_watched(out, NULL, NULL, SHA256, "/../x", 5, 1,
                                     4), 0);
    assert_string_equal(out, "datas/filewatcher/files/" SHA256
                        "-4._.._x.gz");

    memset(long_name, 'e', sizeof(long_name));
    assert_int_equal(d4_path_watched(out, UUID, &when, SHA256, long_name,
                                     sizeof(long_name), 1, 4294967295u), 0);
    assert_int_equal(strlen(out),
                     32 + 16 + 18 + 64 + 11 + 1 + D4_PATH_NAME + 3);

    assert_int_equal(d4_path_watched_json(out, UUID, &when, SHA256, 0), 0);
    assert_string_equal(out, UUID "/254/2024/03/05/filewatcherjson/files/"
                        SHA256 ".json");
    assert_int_equal(d4_path_watched_json(out, UUID, &when, SHA1, 0), -1);
    assert_int_equal(d4_path_watched_json(out, "", &when, SHA256, 0), -1);
}


/* A wrong character at any place of a uuid, and wrong lengths. */

static void
test_uuid(void **state)
{
    char    out[D4_PATH_MAX], uuid[40];
    size_t  i;

    (void) state;

    for (i = 0; i <= 33; i++) {
        memset(uuid, 'a', sizeof(uuid));
        uuid[i] = '\0';

        assert_int_equal(d4_path_numeric(out, uuid, 1, &when, 0),
                         i == 32 ? 0 : -1);
        assert_int_equal(d4_path_extended(out, uuid, "x", 1, D4_PATH_TEXT,
                                          &when, 0), i == 32 ? 0 : -1);
        assert_int_equal(d4_path_watched(out, uuid, &when, SHA256, "", 0, 0,
                                         0), i == 32 ? 0 : -1);
    }

    for (i = 0; i < 32; i++) {
        strcpy(uuid, UUID);
        uuid[i] = 'g';
        assert_int_equal(d4_path_numeric(out, uuid, 1, &when, 0), -1);
        uuid[i] = 'A';
        assert_int_equal(d4_path_numeric(out, uuid, 1, &when, 0), -1);
        uuid[i] = '/';
        assert_int_equal(d4_path_numeric(out, uuid, 1, &when, 0), -1);
        uuid[i] = '.';
        assert_int_equal(d4_path_numeric(out, uuid, 1, &when, 0), -1);
        uuid[i] = '-';
        assert_int_equal(d4_path_numeric(out, uuid, 1, &when, 0), -1);
    }

    assert_int_equal(d4_path_cert(out, "../../../../../../../../../../../../x"
                                  "yz", 0), -1);
}


static void
test_time(void **state)
{
    char       out[D4_PATH_MAX];
    size_t     i;
    struct tm  tm;

    static const struct {
        size_t  field;
        int     low;
        int     high;
    } ranges[] = {
        { offsetof(struct tm, tm_year), 0, 8099 },
        { offsetof(struct tm, tm_mon), 0, 11 },
        { offsetof(struct tm, tm_mday), 1, 31 },
        { offsetof(struct tm, tm_hour), 0, 23 },
        { offsetof(struct tm, tm_min), 0, 59 },
        { offsetof(struct tm, tm_sec), 0, 60 }
    };

    (void) state;

    for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        tm = when;
        *(int *) ((char *) &tm + ranges[i].field) = ranges[i].low;
        assert_int_equal(d4_path_numeric(out, UUID, 1, &tm, 0), 0);
        *(int *) ((char *) &tm + ranges[i].field) = ranges[i].high;
        assert_int_equal(d4_path_numeric(out, UUID, 1, &tm, 0), 0);
        *(int *) ((char *) &tm + ranges[i].field) = ranges[i].low - 1;
        assert_int_equal(d4_path_numeric(out, UUID, 1, &tm, 0), -1);
        *(int *) ((char *) &tm + ranges[i].field) = ranges[i].high + 1;
        assert_int_equal(d4_path_numeric(out, UUID, 1, &tm, 0), -1);
        *(int *) ((char *) &tm + ranges[i].field) = -2147483647 - 1;
        assert_int_equal(d4_path_numeric(out, UUID, 1, &tm, 0), -1);
        *(int *) ((char *) &tm + ranges[i].field) = 2147483647;
        assert_int_equal(d4_path_numeric(out, UUID, 1, &tm, 0), -1);
    }

    tm = when;
    tm.tm_year = 0;
    tm.tm_mon = 11;
    tm.tm_mday = 31;
    tm.tm_hour = 23;
    tm.tm_min = 59;
    tm.tm_sec = 60;
    assert_int_equal(d4_path_numeric(out, UUID, 1, &tm, 0), 0);
    assert_string_equal(out, UUID "/1/1900/12/31/" UUID
                        "-1900-12-31-235960.cap");
}


/* each byte alone, at the start and behind it */

static void
test_names(void **state)
{
    int     c, plain, harmless;
    char    in[2], out[D4_PATH_NAME + 1], name[D4_PATH_NAME + 50];
    size_t  len;

    (void) state;

    for (c = 0; c < 256; c++) {
        plain = (c != 0
                 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                           "abcdefghijklmnopqrstuvwxyz._-", c) != NULL);
        harmless = plain || c == ':' || c == '+';

        in[0] = (char) c;
        assert_int_equal(d4_path_ext_valid(in, 1), plain && c != '.');
        assert_int_equal(d4_path_clean(out, in, 1), 1);
        assert_int_equal(out[0], harmless && c != '.' ? (char) c : '_');
        assert_int_equal(out[1], '\0');

        in[0] = 'x';
        in[1] = (char) c;
        assert_int_equal(d4_path_ext_valid(in, 2), plain);
        assert_int_equal(d4_path_clean(out, in, 2), 2);
        assert_int_equal(out[1], harmless ? (char) c : '_');
        assert_int_equal(out[2], '\0');
    }

    assert_int_equal(d4_path_ext_valid("", 0), 0);
    assert_int_equal(d4_path_ext_valid(NULL, 0), 0);
    assert_int_equal(d4_path_ext_valid("..", 2), 0);
    assert_int_equal(d4_path_ext_valid("a/b", 3), 0);

    memset(name, 'n', sizeof(name));

    for (len = 0; len <= sizeof(name); len++) {
        assert_int_equal(d4_path_ext_valid(name, len),
                         len >= 1 && len <= D4_PATH_NAME);
        assert_int_equal(d4_path_clean(out, name, len),
                         len == 0 ? 1
                         : len > D4_PATH_NAME ? D4_PATH_NAME : len);
    }
}


/* What is still written to has the suffix of its type; it is no object. */

static void
test_growing(void **state)
{
    size_t              i;
    static const char  *growing[] = {
        UUID "/1/2026/01/02/" UUID "-2026-01-02-030405.cap",
        UUID "/5/2026/01/02/" UUID "-2026-01-02-030405-1.pcapng",
        UUID "/7/2026/01/02/" UUID "-2026-01-02-030405.ipfix",
        UUID "/6/2026/01/02/" UUID "-2026-01-02-030405.ndjson",
        UUID "/8/2026/01/02/" UUID "-2026-01-02-030405.passivedns.txt",
        UUID "/254/2026/01/02/name/" UUID "-2026-01-02-030405.txt",
        UUID "/254/2026/01/02/files/" UUID "-2026-01-02-030405.txt",
    };
    static const char  *complete[] = {
        UUID "/1/2026/01/02/" UUID "-2026-01-02-030405.cap.gz",
        UUID "/254/2026/01/02/files/" UUID "-2026-01-02-030405.txt.gz",
        UUID "/254/2026/01/02/files/" UUID "-2026-01-02-030405.json",
        UUID "/254/2026/01/02/files/" UUID "-2026-01-02-030405.txt.beyond",
        UUID "/254/2026/01/02/filewatcher/files/0123.txt",
        UUID "/254/2026/01/02/files/files/0123.cap",
        "datas/filewatcher/files/0123.txt",
        "datas/ja3-jl/jsons/1.json",
        ".txt",
        "",
    };

    (void) state;

    for (i = 0; i < sizeof(growing) / sizeof(growing[0]); i++) {
        assert_int_equal(d4_path_growing(growing[i]), 1);
    }

    for (i = 0; i < sizeof(complete) / sizeof(complete[0]); i++) {
        assert_int_equal(d4_path_growing(complete[i]), 0);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_numeric),
        cmocka_unit_test(test_extended),
        cmocka_unit_test(test_handlers),
        cmocka_unit_test(test_uuid),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_growing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

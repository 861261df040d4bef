
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"
#include "../../ngx_d4_module/api/d4_disk.h"
#include "../../ngx_d4_module/api/d4_secret.h"
#include "../../ngx_d4_module/protocol/d4_uuid.h"


static void
test_made(void **state)
{
    int      i;
    char     token[2][D4_TOKEN + 1], key[2][D4_KEY + 1];
    char     password[D4_PASSWORD + 1];
    uint8_t  uuid[2][16];

    (void) state;

    for (i = 0; i < 2; i++) {
        assert_int_equal(d4_token_make(token[i]), 0);
        assert_int_equal(d4_key_make(key[i]), 0);
        assert_int_equal(d4_uuid_make(uuid[i]), 0);
        assert_int_equal(strlen(token[i]), D4_TOKEN);
        assert_int_equal(strlen(key[i]), D4_KEY);
        assert_true(d4_token_ours(token[i], D4_TOKEN));
        assert_false(d4_token_published(token[i], D4_TOKEN));
        assert_true(d4_uuid_is_v4(uuid[i]));
        assert_int_equal(strspn(key[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz0123456789-_"),
                         D4_KEY);
    }

    assert_string_not_equal(token[0], token[1]);
    assert_string_not_equal(key[0], key[1]);
    assert_memory_not_equal(uuid[0], uuid[1], 16);

    for (i = 0; i < 100; i++) {
        assert_int_equal(d4_password_make(password), 0);
        assert_int_equal(strlen(password), D4_PASSWORD);
        assert_true(d4_password_good(password, D4_PASSWORD));
    }
}


static void
test_forms(void **state)
{
    char  text[64];

    (void) state;

    memset(text, 'a', sizeof(text));
    assert_true(d4_token_published(text, 41));
    assert_false(d4_token_published(text, 40));
    assert_false(d4_token_published(text, 42));
    assert_false(d4_token_ours(text, D4_TOKEN));

    text[7] = '*';
    assert_false(d4_token_published(text, 41));
    text[7] = '\0';
    assert_false(d4_token_published(text, 41));

    memset(text, 'a', sizeof(text));
    memcpy(text, "d4_", 3);
    assert_true(d4_token_ours(text, D4_TOKEN));
    assert_false(d4_token_ours(text, D4_TOKEN - 1));
    text[D4_TOKEN - 1] = '\n';
    assert_false(d4_token_ours(text, D4_TOKEN));
}


static void
test_hash(void **state)
{
    char  hash[D4_HASH + 1];

    (void) state;

    /* FIPS 180-4, examples of SHA-256 */

    d4_hash(hash, "abc", 3);
    assert_string_equal(hash, "ba7816bf8f01cfea414140de5dae2223"
                              "b00361a396177a9cb410ff61f20015ad");
    d4_hash(hash, "", 0);
    assert_string_equal(hash, "e3b0c44298fc1c149afbf4c8996fb924"
                              "27ae41e4649b934ca495991b7852b855");
}


static void
test_passwords(void **state)
{
    char    hash[D4_BCRYPT + 1], again[D4_BCRYPT + 1], long_one[100];
    size_t  i;

    static const char *const  good[] = { "Password12", "aB34567890" };
    static const char *const  bad[] = {
        "", "Passwor12", "password12", "PASSWORD12", "Password1x"
    };

    (void) state;

    for (i = 0; i < 2; i++) {
        assert_true(d4_password_good(good[i], strlen(good[i])));
    }

    for (i = 0; i < 5; i++) {
        assert_false(d4_password_good(bad[i], strlen(bad[i])));
    }

    memset(long_one, '0', sizeof(long_one));
    memcpy(long_one, "aB", 2);
    assert_true(d4_password_good(long_one, 72));
    assert_false(d4_password_good(long_one, 73));
    assert_false(d4_password_good("Password12\0x", 12));

    assert_int_equal(d4_password_hash(hash, "Password12", 4), 0);
    assert_int_equal(d4_password_hash(again, "Password12", 4), 0);
    assert_int_equal(strlen(hash), D4_BCRYPT);
    assert_memory_equal(hash, "$2b$04$", 7);
    assert_string_not_equal(hash, again);
    assert_true(d4_password_check("Password12", hash));
    assert_true(d4_password_check("Password12", again));
    assert_false(d4_password_check("Password13", hash));
    assert_false(d4_password_check("", hash));

    /* made by another implementation (OpenBSD's vectors) */

    assert_true(d4_password_check("U*U",
        "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));

    assert_false(d4_password_check("x", ""));
    assert_false(d4_password_check("*", "*"));
    assert_false(d4_password_check("x", "$1$abc$def"));
    assert_false(d4_password_check("x",
        "$2b$99$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));
}


static void
put(const char *dir, const char *name, size_t len)
{
    char   path[512];
    FILE  *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);

    while (len--) {
        fputc('x', f);
    }

    fclose(f);
}


static void
make(const char *dir, const char *name)
{
    char  path[512];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
}


static void
test_disk(void **state)
{
    int        i;
    char       dir[] = "/tmp/d4diskXXXXXX", path[512];
    char       deep[256], command[64];
    d4_disk_t  disk;

    (void) state;

    assert_non_null(mkdtemp(dir));

    d4_disk_walk("/nowhere/at/all", &disk);
    assert_true(disk.complete);
    assert_int_equal(disk.files, 0);

    make(dir, "1");
    make(dir, "1/2026");
    make(dir, "254");
    make(dir, "x");
    put(dir, "1/2026/a", 100);
    put(dir, "1/b", 10);
    put(dir, "254/c", 1000);
    put(dir, "x/d", 1);
    put(dir, "e", 5);

    /* a link out of it is not followed */

    snprintf(path, sizeof(path), "%s/1/link", dir);
    assert_int_equal(symlink("/etc", path), 0);
    snprintf(path, sizeof(path), "%s/2", dir);
    assert_int_equal(symlink("/etc", path), 0);

    d4_disk_walk(dir, &disk);
    assert_true(disk.complete);
    assert_int_equal(disk.files, 5);
    assert_int_equal(disk.bytes, 1116);
    assert_int_equal(disk.types[1].files, 2);
    assert_int_equal(disk.types[1].bytes, 110);
    assert_int_equal(disk.types[254].bytes, 1000);
    assert_int_equal(disk.types[2].files, 0);

    /* what is too deep is left out, and said so */

    strcpy(deep, "8");
    make(dir, deep);

    for (i = 0; i < D4_DISK_DEPTH; i++) {
        strcat(deep, "/d");
        make(dir, deep);
    }

    d4_disk_walk(dir, &disk);
    assert_false(disk.complete);
    assert_int_equal(disk.files, 5);

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_disk)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

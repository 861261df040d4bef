
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "../../ngx_d4_module/protocol/d4_info.h"


/* parts of the reply of a Redis 7.0.15, and of a Valkey 8.0.1 */

#define REDIS                                                                 \
    "# Server\r\nredis_version:7.0.15\r\nredis_git_sha1:00000000\r\n"         \
    "redis_mode:standalone\r\n"                                               \
    "run_id:7043f2d26e50f8e9ec9fc3b41bf73df3613abccf\r\ntcp_port:0\r\n\r\n"   \
    "# Memory\r\nused_memory:882832\r\nmaxmemory:1048576\r\n"                 \
    "maxmemory_human:1.00M\r\nmaxmemory_policy:noeviction\r\n\r\n"            \
    "# Persistence\r\nloading:0\r\nasync_loading:0\r\naof_enabled:1\r\n\r\n"  \
    "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n"              \
    "# Cluster\r\ncluster_enabled:0\r\n"

#define VALKEY                                                                \
    "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\n"               \
    "valkey_version:8.0.1\r\nvalkey_release_stage:ga\r\n"


static d4_info_t
parse(const char *text)
{
    size_t      len;
    char       *copy;
    d4_info_t   info;

    /* a copy without an end, so that a read beyond it is seen */

    len = strlen(text);
    copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    copy = realloc(copy, len + (len == 0));
    assert_non_null(copy);

    memset(&info, 0xff, sizeof(d4_info_t));
    d4_info_parse(&info, copy, len);

    free(copy);

    return info;
}


static void
test_redis(void **state)
{
    d4_info_t  info;

    (void) state;

    info = parse(REDIS);

    assert_int_equal(info.version, 70015);
    assert_string_equal(info.version_text, "7.0.15");
    assert_string_equal(info.run_id,
                        "7043f2d26e50f8e9ec9fc3b41bf73df3613abccf");
    assert_string_equal(info.role, "master");
    assert_string_equal(info.policy, "noeviction");
    assert_int_equal(info.maxmemory, 1048576);
    assert_int_equal(info.cluster, 0);
    assert_int_equal(info.loading, 0);
    assert_int_equal(info.volatile_only, 0);

    assert_int_equal(d4_info_check(&info), D4_INFO_USABLE);
}


static void
test_valkey(void **state)
{
    d4_info_t  info;

    (void) state;

    info = parse(VALKEY);

    assert_int_equal(info.version, 70204);
    assert_int_equal(d4_info_check(&info), D4_INFO_USABLE);
}


static void
test_version(void **state)
{
    size_t      i;
    d4_info_t   info;

    static const struct {
        const char  *text;
        uint32_t     version;
        int          usable;
    } tests[] = {
        { "redis_version:6.2.0", 60200, 1 },
        { "redis_version:6.2", 60200, 1 },
        { "redis_version:6.2.255", 60299, 1 },
        { "redis_version:6.1.300", 60199, 0 },
        { "redis_version:6.0.16\r\n", 60016, 0 },
        { "redis_version:10.0.1\n", 100001, 1 },
        { "redis_version:255.255.255", 2559999, 1 },
        { "redis_version:7.4-rc1", 70400, 1 },
        { "redis_version:99999999999999999999999.1.1", 99990101, 1 },
        { "redis_version:", 0, 0 },
        { "redis_version:seven", 0, 0 },
        { "redis_versions:7.0.0", 0, 0 },
        { "xredis_version:7.0.0", 0, 0 },
        { "redis_version", 0, 0 },
        { "", 0, 0 },
    };

    (void) state;

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        info = parse(tests[i].text);

        assert_int_equal(info.version, tests[i].version);
        assert_int_equal(d4_info_check(&info),
                         tests[i].usable ? D4_INFO_USABLE : D4_INFO_VERSION);
    }
}


static void
test_verdicts(void **state)
{
    d4_info_t  info;

    (void) state;

    info = parse(REDIS "role:slave\r\n");
    assert_int_equal(d4_info_check(&info), D4_INFO_ROLE);

    info = parse(REDIS "role:sentinel\r\n");
    assert_int_equal(d4_info_check(&info), D4_INFO_ROLE);

    info = parse(REDIS "cluster_enabled:1\r\n");
    assert_int_equal(d4_info_check(&info), D4_INFO_CLUSTER);

    info = parse(REDIS "maxmemory_policy:allkeys-lru\r\n");
    assert_int_equal(d4_info_check(&info), D4_INFO_POLICY);
    assert_string_equal(info.policy, "allkeys-lru");

    info = parse(REDIS "loading:1\r\n");
    assert_int_equal(d4_info_check(&info), D4_INFO_LOADING);

    /* what has to be mended comes before what has to be waited for */

    info = parse(REDIS "loading:1\r\nrole:slave\r\n");
    assert_int_equal(d4_info_check(&info), D4_INFO_ROLE);

    info = parse(REDIS "aof_enabled:0\r\n");
    assert_int_equal(d4_info_check(&info), D4_INFO_USABLE);
    assert_int_equal(info.volatile_only, 1);
}


static void
test_hostile(void **state)
{
    size_t     i, len;
    char       text[sizeof(REDIS)];
    d4_info_t  info;

    (void) state;

    /* values are cut and cleaned */

    info = parse("role:\x1b[31mred\x7f\xff and a text that does not fit in, "
                 "for it is much too long\r\n");
    assert_string_equal(info.role,
                        "?[31mred???and?a?text?that?does?not?fit?in,?for");
    assert_int_equal(strlen(info.role), D4_INFO_TEXT);

    info = parse("maxmemory:18446744073709551615");
    assert_true(info.maxmemory > 1000000000000000000);

    info = parse("maxmemory:-1\nloading:\ncluster_enabled:no\n:\n::\n\r\n\r");
    assert_int_equal(info.maxmemory, 0);
    assert_int_equal(info.loading, 0);
    assert_int_equal(info.cluster, 0);

    /* a reply cut anywhere is read without harm */

    for (len = 0; len < sizeof(REDIS); len++) {
        memcpy(text, REDIS, len);
        text[len] = '\0';

        info = parse(text);
        assert_true(info.version <= 70015);
    }

    for (i = 0; i < sizeof(REDIS) - 1; i++) {
        memcpy(text, REDIS, sizeof(REDIS));
        text[i] = ':';

        info = parse(text);
        assert_true(d4_info_check(&info) <= D4_INFO_POLICY);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_redis),
        cmocka_unit_test(test_valkey),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

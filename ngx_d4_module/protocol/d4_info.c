
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_info.h"

#include <string.h>


static void d4_info_line(d4_info_t *info, const char *p, const char *last);
static void d4_info_copy(char *dst, const char *p, const char *last);
static uint32_t d4_info_version(const char *p, const char *last);
static uint64_t d4_info_number(const char **pp, const char *last);


void
d4_info_parse(d4_info_t *info, const char *text, size_t len)
{
    const char  *p, *last, *end;

    memset(info, 0, sizeof(d4_info_t));

    p = text;
    last = text + len;

    while (p < last) {
        end = memchr(p, '\n', (size_t) (last - p));

        if (end == NULL) {
            end = last;
        }

        if (end > p && end[-1] == '\r') {
            d4_info_line(info, p, end - 1);

        } else {
            d4_info_line(info, p, end);
        }

        p = (end < last) ? end + 1 : last;
    }
}


d4_info_verdict_t
d4_info_check(const d4_info_t *info)
{
    if (info->version < D4_INFO_MIN_VERSION) {
        return D4_INFO_VERSION;
    }

    if (info->role[0] != '\0' && strcmp(info->role, "master") != 0) {
        return D4_INFO_ROLE;
    }

    if (info->cluster) {
        return D4_INFO_CLUSTER;
    }

    if (info->policy[0] != '\0' && strcmp(info->policy, "noeviction") != 0) {
        return D4_INFO_POLICY;
    }

    if (info->loading) {
        return D4_INFO_LOADING;
    }

    return D4_INFO_USABLE;
}


static void
d4_info_line(d4_info_t *info, const char *p, const char *last)
{
    size_t       len;
    const char  *value, *next;

    value = memchr(p, ':', (size_t) (last - p));

    if (value == NULL) {
        return;
    }

    len = (size_t) (value - p);
    value++;
    next = value;

#define d4_info_is(name)                                                      \
    (len == sizeof(name) - 1 && memcmp(p, name, sizeof(name) - 1) == 0)

    if (d4_info_is("redis_version")) {
        info->version = d4_info_version(value, last);
        d4_info_copy(info->version_text, value, last);

    } else if (d4_info_is("role")) {
        d4_info_copy(info->role, value, last);

    } else if (d4_info_is("run_id")) {
        d4_info_copy(info->run_id, value, last);

    } else if (d4_info_is("maxmemory_policy")) {
        d4_info_copy(info->policy, value, last);

    } else if (d4_info_is("maxmemory")) {
        info->maxmemory = d4_info_number(&next, last);

    } else if (d4_info_is("cluster_enabled")) {
        info->cluster = (d4_info_number(&next, last) != 0);

    } else if (d4_info_is("loading")) {
        info->loading = (d4_info_number(&next, last) != 0);

    } else if (d4_info_is("aof_enabled")) {
        info->volatile_only = (last - value == 1 && *value == '0');
    }

#undef d4_info_is
}


static void
d4_info_copy(char *dst, const char *p, const char *last)
{
    size_t  i;

    for (i = 0; p < last && i < D4_INFO_TEXT; i++, p++) {
        dst[i] = (*p > ' ' && *p < 0x7f) ? *p : '?';
    }

    dst[i] = '\0';
}


/* Valkey and others say the Redis they are compatible with. */

static uint32_t
d4_info_version(const char *p, const char *last)
{
    int       i;
    uint32_t  version;
    uint64_t  n;

    version = 0;

    for (i = 0; i < 3; i++) {
        n = d4_info_number(&p, last);

        if (n > 99 && i > 0) {
            n = 99;
        }

        if (n > 9999) {
            n = 9999;
        }

        version = version * 100 + (uint32_t) n;

        if (p < last && *p == '.') {
            p++;
        }
    }

    return version;
}


static uint64_t
d4_info_number(const char **pp, const char *last)
{
    uint64_t     n;
    const char  *p;

    n = 0;

    for (p = *pp; p < last && *p >= '0' && *p <= '9'; p++) {
        if (n <= (UINT64_MAX - 9) / 10) {
            n = n * 10 + (uint64_t) (*p - '0');
        }
    }

    *pp = p;

    return n;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Paths: whatever a sensor chooses, the path stays in the directory it belongs
 * to and has the parts it has to have.  The first four bytes choose the number
 * and the time, the rest is the name; also taken as a uuid and as a digest.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../ngx_d4_module/storage/d4_path.h"


#define UUID    "0123456789ab4def8123456789abcdef"
#define SHA256  "e3b0c44298fc1c149afbf4c8996fb924"                            \
                "27ae41e4649b934ca495991b7852b855"


static void
require(int truth)
{
    if (!truth) {
        abort();
    }
}


static int
plain(char c)
{
    return c != '\0'
           && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                     "0123456789._-:+", c) != NULL;
}


/* The path begins as it has to and has so many parts, none of them hidden. */

static void
check(const char *path, const char *start, int parts)
{
    size_t  i;

    require(strlen(path) < D4_PATH_MAX);
    require(strncmp(path, start, strlen(start)) == 0);

    for (i = 0; path[i] != '\0'; i++) {
        if (i == 0 || path[i - 1] == '/') {
            require(path[i] != '.');
            parts--;
        }

        if (path[i] == '/') {
            require(i != 0 && path[i - 1] != '/' && path[i + 1] != '\0');

        } else {
            require(plain(path[i]));
        }
    }

    require(parts == 0);
}


static int
hex(const char *text, size_t len)
{
    return strspn(text, "0123456789abcdef") == len && text[len] == '\0';
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t size)
{
    int          rc;
    char         out[D4_PATH_MAX], clean[D4_PATH_NAME + 1];
    char         again[D4_PATH_NAME + 1], text[70];
    size_t       i, len, n;
    unsigned     number;
    struct tm    tm;
    const char  *name;

    if (size < 4) {
        return 0;
    }

    number = p[0] * 16843009u;

    memset(&tm, 0, sizeof(tm));
    tm.tm_year = p[1];
    tm.tm_mon = p[2] % 12;
    tm.tm_mday = 1 + p[2] % 31;
    tm.tm_hour = p[3] % 24;
    tm.tm_min = p[3] % 60;
    tm.tm_sec = p[3] % 61;

    name = (const char *) p + 4;
    len = size - 4;

    n = d4_path_clean(clean, name, len);
    require(n >= 1 && n <= D4_PATH_NAME && strlen(clean) == n);
    require(n == (len == 0 ? 1 : len > D4_PATH_NAME ? D4_PATH_NAME : len));
    require(clean[0] != '.');

    for (i = 0; i < n; i++) {
        require(plain(clean[i]));
        require(i >= len || clean[i] == name[i] || clean[i] == '_');
    }

    require(d4_path_clean(again, clean, n) == n && !strcmp(clean, again));

    rc = d4_path_extended(out, UUID, name, len,
                          (p[1] & 1) ? D4_PATH_META : D4_PATH_TEXT, &tm,
                          number);
    require((rc == 0) == d4_path_ext_valid(name, len));

    if (rc == 0) {
        require(len == n && memcmp(name, clean, n) == 0);
        check(out, UUID "/254/", 7);

    } else {
        require(out[0] == '\0');
    }

    require(d4_path_session(out, name, len, number) == 0);
    check(out, "datas/ja3-jl/jsons/", 4);

    require(d4_path_watched(out, UUID, &tm, SHA256, name, len, p[2] & 1,
                            number) == 0);
    check(out, UUID "/254/", 8);

    require(d4_path_watched(out, NULL, NULL, SHA256, name, len, p[2] & 1,
                            number) == 0);
    check(out, "datas/filewatcher/files/" SHA256, 4);

    memset(text, 0, sizeof(text));
    memcpy(text, name, len < sizeof(text) ? len : sizeof(text) - 1);

    rc = d4_path_numeric(out, text, p[2], &tm, number);
    require((rc == 0) == (hex(text, 32) && d4_path_suffix(p[2]) != NULL));

    if (rc == 0) {
        check(out, text, 6);
    }

    rc = d4_path_cert(out, text, number);
    require((rc == 0) == hex(text, 40));

    if (rc == 0) {
        check(out, "datas/ja3-jl/certs/", 4);
    }

    rc = d4_path_watched_json(out, UUID, &tm, text, number);
    require((rc == 0) == hex(text, 64));

    if (rc == 0) {
        check(out, UUID "/254/", 8);
    }

    return 0;
}

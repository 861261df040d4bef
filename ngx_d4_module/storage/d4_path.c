
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_path.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>


#define D4_PATH_UUID      32
#define D4_PATH_SHA1      40
#define D4_PATH_SHA256    64

/* <uuid>/254/YYYY/MM/DD/<ext>/ is what the directory "files" is below */
#define D4_PATH_OBJECTS   6

/* "/YYYY/MM/DD", "YYYY-MM-DD-HHMMSS", "-4294967295", with their zeros */
#define D4_PATH_DAY       12
#define D4_PATH_TIME      18
#define D4_PATH_NUMBER    12


static int d4_path_write(char out[D4_PATH_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int d4_path_hex(const char *text, size_t len);
static int d4_path_times(char day[D4_PATH_DAY], char time[D4_PATH_TIME],
    const struct tm *tm);
static void d4_path_number(char out[D4_PATH_NUMBER], unsigned n);
static int d4_path_plain(char c);


const char *
d4_path_suffix(unsigned type)
{
    switch (type) {

    case 1:
        return ".cap";

    case 3:
        return ".syslog.txt";

    case 4:
        return ".dnscap.txt";

    case 5:
        return ".pcapng";

    case 6:
        return ".ndjson";

    case 7:
        return ".ipfix";

    case 8:
        return ".passivedns.txt";

    default:
        return NULL;
    }
}


int
d4_path_ext_valid(const char *name, size_t len)
{
    size_t  i;

    if (len == 0 || len > D4_PATH_NAME || name[0] == '.') {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (!d4_path_plain(name[i])) {
            return 0;
        }
    }

    return 1;
}


size_t
d4_path_clean(char out[D4_PATH_NAME + 1], const char *p, size_t len)
{
    size_t  i;

    if (len > D4_PATH_NAME) {
        len = D4_PATH_NAME;
    }

    for (i = 0; i < len; i++) {

        /* the two that a time of day has */

        if (d4_path_plain(p[i]) || p[i] == ':' || p[i] == '+') {
            out[i] = p[i];

        } else {
            out[i] = '_';
        }
    }

    if (len == 0) {
        len = 1;
        out[0] = '_';
    }

    if (out[0] == '.') {
        out[0] = '_';
    }

    out[len] = '\0';

    return len;
}


int
d4_path_numeric(char out[D4_PATH_MAX], const char *uuid, unsigned type,
    const struct tm *tm, unsigned n)
{
    char         day[D4_PATH_DAY], time[D4_PATH_TIME], number[D4_PATH_NUMBER];
    const char  *suffix;

    out[0] = '\0';

    suffix = d4_path_suffix(type);

    if (suffix == NULL
        || d4_path_hex(uuid, D4_PATH_UUID) != 0
        || d4_path_times(day, time, tm) != 0)
    {
        return -1;
    }

    d4_path_number(number, n);

    return d4_path_write(out, "%s/%u%s/%s-%s%s%s",
                         uuid, type, day, uuid, time, number, suffix);
}


int
d4_path_extended(char out[D4_PATH_MAX], const char *uuid, const char *ext,
    size_t len, d4_path_kind_t kind, const struct tm *tm, unsigned n)
{
    char  day[D4_PATH_DAY], time[D4_PATH_TIME], number[D4_PATH_NUMBER];

    out[0] = '\0';

    if (!d4_path_ext_valid(ext, len)
        || d4_path_hex(uuid, D4_PATH_UUID) != 0
        || d4_path_times(day, time, tm) != 0)
    {
        return -1;
    }

    d4_path_number(number, n);

    return d4_path_write(out, "%s/254%s/%.*s/%s-%s%s.%s",
                         uuid, day, (int) len, ext, uuid, time, number,
                         kind == D4_PATH_META ? "json" : "txt");
}


int
d4_path_cert(char out[D4_PATH_MAX], const char *sha1, unsigned n)
{
    char  number[D4_PATH_NUMBER];

    out[0] = '\0';

    if (d4_path_hex(sha1, D4_PATH_SHA1) != 0) {
        return -1;
    }

    d4_path_number(number, n);

    return d4_path_write(out, "datas/ja3-jl/certs/%s%s.crt", sha1, number);
}


int
d4_path_session(char out[D4_PATH_MAX], const char *timestamp, size_t len,
    unsigned n)
{
    char  name[D4_PATH_NAME + 1], number[D4_PATH_NUMBER];

    d4_path_clean(name, timestamp, len);
    d4_path_number(number, n);

    return d4_path_write(out, "datas/ja3-jl/jsons/%s%s.json", name, number);
}


int
d4_path_watched(char out[D4_PATH_MAX], const char *uuid, const struct tm *tm,
    const char *sha256, const char *extension, size_t len, int gz, unsigned n)
{
    char         name[D4_PATH_NAME + 1], number[D4_PATH_NUMBER];
    char         day[D4_PATH_DAY], time[D4_PATH_TIME];
    const char  *end;

    out[0] = '\0';
    name[0] = '\0';
    end = gz ? ".gz" : "";

    if (d4_path_hex(sha256, D4_PATH_SHA256) != 0) {
        return -1;
    }

    if (len != 0) {
        d4_path_clean(name, extension, len);
    }

    d4_path_number(number, n);

    if (uuid == NULL) {
        return d4_path_write(out, "datas/filewatcher/files/%s%s.%s%s",
                             sha256, number, name, end);
    }

    if (d4_path_hex(uuid, D4_PATH_UUID) != 0
        || d4_path_times(day, time, tm) != 0)
    {
        return -1;
    }

    return d4_path_write(out, "%s/254%s/filewatcher/files/%s%s.%s%s",
                         uuid, day, sha256, number, name, end);
}


int
d4_path_watched_json(char out[D4_PATH_MAX], const char *uuid,
    const struct tm *tm, const char *sha256, unsigned n)
{
    char  day[D4_PATH_DAY], time[D4_PATH_TIME], number[D4_PATH_NUMBER];

    out[0] = '\0';

    if (d4_path_hex(uuid, D4_PATH_UUID) != 0
        || d4_path_hex(sha256, D4_PATH_SHA256) != 0
        || d4_path_times(day, time, tm) != 0)
    {
        return -1;
    }

    d4_path_number(number, n);

    return d4_path_write(out, "%s/254%s/filewatcherjson/files/%s%s.json",
                         uuid, day, sha256, number);
}


int
d4_path_growing(const char *path)
{
    size_t              i, len, n;
    const char         *p;
    static const char  *suffixes[] = {
        ".cap", ".pcapng", ".ipfix", ".ndjson", ".txt"
    };

    if (strncmp(path, "datas/", 6) == 0) {
        return 0;
    }

    /* an extended type may be called "files", too */

    p = path;

    for (i = 0; i < D4_PATH_OBJECTS && p != NULL; i++) {
        p = strchr(p, '/');

        if (p != NULL) {
            p++;
        }
    }

    if (p != NULL && strncmp(p, "files/", 6) == 0) {
        return 0;
    }

    len = strlen(path);

    for (i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        n = strlen(suffixes[i]);

        if (len > n && strcmp(path + len - n, suffixes[i]) == 0) {
            return 1;
        }
    }

    return 0;
}


static int
d4_path_write(char out[D4_PATH_MAX], const char *format, ...)
{
    int      n;
    va_list  args;

    va_start(args, format);
    n = vsnprintf(out, D4_PATH_MAX, format, args);
    va_end(args);

    if (n < 0 || n >= D4_PATH_MAX) {
        out[0] = '\0';
        return -1;
    }

    return 0;
}


/* 0 when text is len lower-case hex digits and a zero. */

static int
d4_path_hex(const char *text, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (!(text[i] >= '0' && text[i] <= '9')
            && !(text[i] >= 'a' && text[i] <= 'f'))
        {
            return -1;
        }
    }

    return text[len] == '\0' ? 0 : -1;
}


static int
d4_path_times(char day[D4_PATH_DAY], char time[D4_PATH_TIME],
    const struct tm *tm)
{
    unsigned  year, month;

    /* leap seconds have number 60 */

    if (tm->tm_year < 0 || tm->tm_year > 9999 - 1900
        || tm->tm_mon < 0 || tm->tm_mon > 11
        || tm->tm_mday < 1 || tm->tm_mday > 31
        || tm->tm_hour < 0 || tm->tm_hour > 23
        || tm->tm_min < 0 || tm->tm_min > 59
        || tm->tm_sec < 0 || tm->tm_sec > 60)
    {
        return -1;
    }

    /* the remainders say to the compiler what was just checked */

    year = (unsigned) tm->tm_year + 1900;
    month = (unsigned) tm->tm_mon + 1;

    snprintf(day, D4_PATH_DAY, "/%04u/%02u/%02u",
             year % 10000, month % 100, (unsigned) tm->tm_mday % 100);

    snprintf(time, D4_PATH_TIME, "%04u-%02u-%02u-%02u%02u%02u",
             year % 10000, month % 100, (unsigned) tm->tm_mday % 100,
             (unsigned) tm->tm_hour % 100, (unsigned) tm->tm_min % 100,
             (unsigned) tm->tm_sec % 100);

    return 0;
}


static void
d4_path_number(char out[D4_PATH_NUMBER], unsigned n)
{
    out[0] = '\0';

    if (n != 0) {
        snprintf(out, D4_PATH_NUMBER, "-%u", n);
    }
}


/* letters and digits of ASCII, whatever the locale */

static int
d4_path_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

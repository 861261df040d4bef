
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "d4_log.h"


int  d4_log_verbose;


static void d4_log_write(const char *fmt, va_list args);


void
d4_log(const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    d4_log_write(fmt, args);
    va_end(args);
}


void
d4_debug(const char *fmt, ...)
{
    va_list  args;

    if (!d4_log_verbose) {
        return;
    }

    va_start(args, fmt);
    d4_log_write(fmt, args);
    va_end(args);
}


int64_t
d4_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


static void
d4_log_write(const char *fmt, va_list args)
{
    int    n;
    char  *p, line[1024];

    p = line + snprintf(line, sizeof(line), "d4: ");
    n = vsnprintf(p, line + sizeof(line) - 1 - p, fmt, args);

    if (n < 0) {
        return;
    }

    for ( /* void */ ; *p != '\0'; p++) {
        if ((unsigned char) *p < ' ' || *p == 0x7f) {
            *p = '?';
        }
    }

    *p++ = '\n';

    if (write(STDERR_FILENO, line, p - line) == -1) {
        return;                    /* there is nobody else to tell */
    }
}

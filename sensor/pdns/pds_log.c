
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "pds_log.h"


void
pds_log(const char *fmt, ...)
{
    int      n;
    char    *p, line[2048];
    va_list  args;

    p = line + snprintf(line, sizeof(line), "d4-pdns: ");

    va_start(args, fmt);
    n = vsnprintf(p, (size_t) (line + sizeof(line) - 1 - p), fmt, args);
    va_end(args);

    if (n < 0) {
        return;
    }

    for ( /* void */ ; *p != '\0'; p++) {
        if ((unsigned char) *p < ' ' || *p == 0x7f) {
            *p = '?';
        }
    }

    *p++ = '\n';

    if (write(STDERR_FILENO, line, (size_t) (p - line)) == -1) {
        return;                    /* there is nobody else to tell */
    }
}

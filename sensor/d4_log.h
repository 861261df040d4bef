
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Messages to people, one line each, on standard error; and the clock.
 */


#ifndef _D4_LOG_H_INCLUDED_
#define _D4_LOG_H_INCLUDED_


#include <stdarg.h>
#include <stdint.h>


extern int  d4_log_verbose;

/* Writes "d4: ..." in one piece; control characters become "?". */
void d4_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same, only with -v. */
void d4_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Milliseconds of a clock that only goes forward. */
int64_t d4_now(void);


#endif /* _D4_LOG_H_INCLUDED_ */

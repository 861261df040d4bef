
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The path and the arguments of a request, numbers, days and networks in
 * them.  Nothing here keeps or changes state.
 */


#ifndef _D4_QUERY_H_INCLUDED_
#define _D4_QUERY_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "../protocol/d4_addr.h"


#pragma GCC visibility push(hidden)


#define D4_QUERY_ARGS    16
#define D4_ROUTE_PARAMS  3


typedef struct {
    const char  *name;                 /* not zero-terminated */
    const char  *value;
    size_t       name_len;
    size_t       value_len;
} d4_arg_t;

typedef struct {
    const char  *text;                 /* not zero-terminated */
    size_t       len;
} d4_text_t;


/*
 * Splits and unescapes the arguments a=b&c=d in place.  Returns how many
 * there are, or -1: a bad escape, a NUL, the same name twice, too many.
 */
int d4_query_parse(char *text, size_t len, d4_arg_t args[D4_QUERY_ARGS]);

/*
 * Matches a path with a template such as "sensors/{}/key"; "{*}" at the end
 * takes all that is left, slashes too.  Segments are not empty.  Returns the
 * number of params filled, or -1.
 */
int d4_route_match(const char *route, const char *path, size_t len,
    d4_text_t params[D4_ROUTE_PARAMS]);

/* Reads a decimal number from min to max.  Returns 0 or -1. */
int d4_number(const char *text, size_t len, int64_t min, int64_t max,
    int64_t *n);

/*
 * Days are numbers, 20261125 for 2026-11-25.  Reads "20261125" or
 * "2026-11-25": the day, or 0.
 */
unsigned d4_day_parse(const char *text, size_t len);

/* The day before or after; of a day that is one. */
unsigned d4_day_next(unsigned day);
unsigned d4_day_before(unsigned day);

/*
 * Reads "address" or "network/prefix", IPv4 or IPv6; without a prefix it is
 * that of the single address.  IPv4-mapped IPv6 becomes IPv4.  Returns 0 or
 * -1.
 */
int d4_net_parse(const char *text, size_t len, d4_addr_t *addr,
    unsigned *prefix);


#pragma GCC visibility pop

#endif /* _D4_QUERY_H_INCLUDED_ */

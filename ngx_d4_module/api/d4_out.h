
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * A writer of JSON into one buffer that grows.  Each value goes with its key
 * inside an object and with NULL inside an array; commas come by themselves.
 * Without memory the writer turns into one that writes nothing: failed tells.
 */


#ifndef _D4_OUT_H_INCLUDED_
#define _D4_OUT_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


typedef struct {
    char    *data;
    size_t   len;
    size_t   size;
    int      failed;
} d4_out_t;


void d4_out_init(d4_out_t *o);

/* Gives the memory back; the writer is empty and usable again. */
void d4_out_free(d4_out_t *o);

void d4_out_object(d4_out_t *o, const char *key);
void d4_out_object_end(d4_out_t *o);
void d4_out_array(d4_out_t *o, const char *key);
void d4_out_array_end(d4_out_t *o);

/* The key of the next value, where it is not a constant. */
void d4_out_key(d4_out_t *o, const void *key, size_t len);

/*
 * A string of any bytes: what is not UTF-8 becomes U+FFFD, one for each byte.
 */
void d4_out_string(d4_out_t *o, const char *key, const void *p, size_t len);
void d4_out_text(d4_out_t *o, const char *key, const char *text);

void d4_out_int(d4_out_t *o, const char *key, int64_t n);
void d4_out_uint(d4_out_t *o, const char *key, uint64_t n);
void d4_out_bool(d4_out_t *o, const char *key, int truth);
void d4_out_null(d4_out_t *o, const char *key);

/* Bytes as they are, between values: the newlines of NDJSON, other formats. */
void d4_out_raw(d4_out_t *o, const void *p, size_t len);
void d4_out_printf(d4_out_t *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));


/* Length of the UTF-8 character (RFC 3629) at p, or 0 if there is none. */
size_t d4_utf8_len(const uint8_t *p, size_t len);


#pragma GCC visibility pop

#endif /* _D4_OUT_H_INCLUDED_ */


/*
 * Reads a JSON text (RFC 8259, UTF-8, strictly) token by token, in place and
 * without memory of its own.  Nothing is converted that nobody asks for: a
 * number may have any number of digits, as those in certificates do.  A copy
 * of a reader goes on from where the reader was.
 */


#ifndef _D4_JREAD_H_INCLUDED_
#define _D4_JREAD_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


#define D4_JREAD_DEPTH  64             /* arrays and objects in one another */


typedef enum {
    D4_JREAD_END = 0,                  /* the value and the text are over */
    D4_JREAD_BAD,                      /* r->error says why; for good */
    D4_JREAD_OBJECT,                   /* begins: name and value, ... CLOSE */
    D4_JREAD_ARRAY,                    /* begins: value, ... CLOSE */
    D4_JREAD_CLOSE,
    D4_JREAD_NAME,
    D4_JREAD_STRING,
    D4_JREAD_NUMBER,
    D4_JREAD_TRUE,
    D4_JREAD_FALSE,
    D4_JREAD_NULL
} d4_jread_kind_t;


typedef struct {
    const char      *p;
    const char      *end;
    const char      *error;            /* a constant */

    /* the last name or string, without its quotes, or number */
    const char      *text;
    size_t           len;
    unsigned         escaped:1;        /* text is not what it stands for */

    unsigned         expect:3;
    unsigned         depth;            /* after the last token */
    uint64_t         objects;          /* bit n: level n + 1 is an object */
} d4_jread_t;


/* A text of len bytes, which have to stay; it holds one value of any kind. */
void d4_jread_init(d4_jread_t *r, const void *text, size_t len);

d4_jread_kind_t d4_jread_next(d4_jread_t *r);

/*
 * After OBJECT or ARRAY: goes on to its CLOSE.  0, or -1 where that is BAD.
 * After anything else there is nothing to do.
 */
int d4_jread_skip(d4_jread_t *r, d4_jread_kind_t kind);

/* After NAME or STRING: 1 when it stands for word, which is ASCII. */
int d4_jread_is(const d4_jread_t *r, const char *word);

/*
 * After NAME or STRING: writes what it stands for, in UTF-8, to out, which has
 * room for r->len bytes, and returns the length.  "\u0000" is a zero like any
 * other byte.
 */
size_t d4_jread_string(const d4_jread_t *r, char *out);


#pragma GCC visibility pop

#endif /* _D4_JREAD_H_INCLUDED_ */

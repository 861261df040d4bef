
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Checks a JSON text (RFC 8259, UTF-8, strictly) and takes out the white
 * space.  Enough for a meta header; no tree is built.
 */


#ifndef _D4_JSON_H_INCLUDED_
#define _D4_JSON_H_INCLUDED_


#include <stddef.h>


#define D4_JSON_DEPTH  64          /* arrays and objects in one another */


typedef struct {
    const char  *error;            /* what is wrong, NULL: nothing */
    size_t       at;               /* and where: offset in the input */
    const char  *type;             /* in text: the outermost object's member */
    size_t       type_len;         /* "type", a string; NULL: none */
    unsigned     object:1;         /* the value is an object */
} d4_json_t;


/*
 * Minifies the len bytes of text in place.  Returns the new length, or 0 with
 * j->error.  The member's name is compared as written: "\u0074ype" is another
 * one; the type is given as written, too.
 */
size_t d4_json_minify(char *text, size_t len, d4_json_t *j);


#endif /* _D4_JSON_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Request bodies: JSON of bounded depth and size, whose members are checked
 * against a table, so that what a handler reads of it is what it expects.
 */


#ifndef _D4_BODY_H_INCLUDED_
#define _D4_BODY_H_INCLUDED_


#include <jansson.h>
#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


#define D4_BODY_DEPTH    8
#define D4_BODY_VALUES   200000        /* values, keys and brackets */
#define D4_BODY_REASON   192


typedef enum {
    D4_FIELD_STRING = 0,               /* min, max: bytes */
    D4_FIELD_UUID,                     /* any form of one */
    D4_FIELD_INT,                      /* min, max: the value */
    D4_FIELD_BOOL,
    D4_FIELD_LIST,                     /* of strings; min, max: how many */
    D4_FIELD_UUIDS,                    /* of uuids; min, max: how many */
    D4_FIELD_OBJECTS                   /* of objects; min, max: how many */
} d4_field_type_t;

#define D4_FIELD_REQUIRED  1
#define D4_FIELD_NULL      2           /* null is allowed, too: "none" */


/* 1 when the text may be the value, or an item of the list */
typedef int (*d4_field_pt)(const char *text, size_t len);

typedef struct {
    const char       *name;
    d4_field_type_t   type;
    unsigned          flags;
    int64_t           min;
    int64_t           max;
    d4_field_pt       check;           /* NULL: any text without control
                                          characters */
} d4_field_t;


/*
 * Parses len bytes.  Returns a new reference, or NULL with the reason (zero
 * terminated, printable).  Duplicate keys, NUL in a string and invalid UTF-8
 * are errors, as are more than D4_BODY_DEPTH levels or D4_BODY_VALUES values.
 */
json_t *d4_body_parse(const char *text, size_t len,
    char reason[D4_BODY_REASON]);

/*
 * Checks an object against the table, which ends with a NULL name.  Returns
 * 0, or -1 with the reason.
 */
int d4_body_check(json_t *json, const d4_field_t *fields,
    char reason[D4_BODY_REASON]);

/* The string member, or NULL; *len (may be NULL) gets its length. */
const char *d4_body_string(json_t *json, const char *name, size_t *len);

/* The integer member, or the default. */
int64_t d4_body_int(json_t *json, const char *name, int64_t none);

/* The boolean member, or the default. */
int d4_body_bool(json_t *json, const char *name, int none);


/* Checks for the table; all also take part in checking paths and arguments. */

int d4_check_text(const char *text, size_t len);     /* no control bytes */
int d4_check_key(const char *text, size_t len);      /* 1..1000 printable */
int d4_check_word(const char *text, size_t len);     /* [A-Za-z0-9._-]{1,64} */
int d4_check_tag(const char *text, size_t len);      /* 1..100, no comma */
int d4_check_mail(const char *text, size_t len);     /* a@b, 3..254 */
int d4_check_uuid(const char *text, size_t len);     /* version 4 */


#pragma GCC visibility pop

#endif /* _D4_BODY_H_INCLUDED_ */

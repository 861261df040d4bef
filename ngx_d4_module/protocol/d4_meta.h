
/*
 * The meta header of type 2: one JSON object, in as many frames as the sensor
 * likes, that says what the frames of type 254 behind it are (d4-core.md §4).
 *
 * The payloads are taken as one text.  As the published server did, every line
 * feed is deleted from it first, also within a string, where JSON has none.
 * The end of the object is found on the way, by its braces; only then it is
 * parsed, once.  What follows the object is ignored.
 *
 * The object is kept as text that says the same, without white space; of a
 * member that comes twice the last is the one that counts, and the only one in
 * that text.  Giving it to another d4_meta_t gives the same text and all else
 * again.  It has to be JSON in UTF-8 without the character zero, with integers
 * of 64 bits and numbers that a double can hold.
 */


#ifndef _D4_META_H_INCLUDED_
#define _D4_META_H_INCLUDED_


#include "d4_carry.h"


#pragma GCC visibility push(hidden)


#define D4_META_MAX        100000      /* bytes: what the Go client sends */
#define D4_META_DEPTH      64          /* arrays and objects in one another */
#define D4_META_NAME       100         /* the longest type */
#define D4_META_EXTENSION  16
#define D4_META_ENCODING   32
#define D4_META_TAGS       64          /* how many, and the longest */
#define D4_META_TAG        256


typedef enum {
    D4_META_AGAIN = 0,         /* not whole yet */
    D4_META_DONE,
    D4_META_NOMEM,             /* nothing was taken: call again */

    /* errors, for good */
    D4_META_LARGE,             /* longer than max, as sent or as kept */
    D4_META_DEEP,
    D4_META_OBJECT,            /* anything but an object */
    D4_META_JSON,              /* not valid */
    D4_META_TYPE,              /* no "type" that is a string */
    D4_META_UNSUPPORTED        /* a type no file or key can be named by */
} d4_meta_status_t;


typedef struct {
    size_t            taken;   /* bytes, line feeds included */
    uint32_t          depth;   /* 0: the object has not begun */
    unsigned          string:1;
    unsigned          escape:1;
} d4_meta_scan_t;


typedef struct {
    d4_carry_t        text;    /* what was sent, or what was made of it */
    size_t            max;
    d4_meta_status_t  status;
    d4_meta_scan_t    scan;    /* what is known of text */

    /* where in text; 0: there is none */
    uint32_t          type;
    uint32_t          extension;
    uint32_t          encoding;
    uint32_t          tags[D4_META_TAGS];
    uint32_t          ntags;
    uint32_t          ignored;

    unsigned          compress:1;
    unsigned          shared:1;
    unsigned          bad_extension:1;
} d4_meta_t;


/*
 * max: bytes of the whole up to 1 GiB, 0 for D4_META_MAX.  The text counts in
 * the pool.
 */
void d4_meta_init(d4_meta_t *m, d4_pool_t *pool, size_t max);

/* Gives all memory back; as after d4_meta_init(). */
void d4_meta_free(d4_meta_t *m);

/*
 * Takes the next len bytes.  An answer other than AGAIN and NOMEM stands: what
 * comes later is not looked at.
 */
d4_meta_status_t d4_meta_add(d4_meta_t *m, const void *p, size_t len);

/* Whether the object has begun. */
#define d4_meta_begun(m)  ((m)->scan.depth != 0)

/* What is wrong, as text for an Error; a constant. */
const char *d4_meta_text(d4_meta_status_t status);

/*
 * 1 when a type of len bytes can name an extended type: 1 to D4_META_NAME of
 * A-Z a-z 0-9 . _ - and no dot in front.  Else 0.
 */
int d4_meta_name_ok(const char *name, size_t len);


/*
 * After DONE, all with a final zero and valid until d4_meta_free(); before it,
 * NULL and 0.
 */

/* The object, as it is stored. */
const char *d4_meta_json(const d4_meta_t *m);

/* "type": what d4_meta_name_ok() allows. */
const char *d4_meta_type(const d4_meta_t *m);

/*
 * "extension" of 1 to D4_META_EXTENSION letters and digits, else NULL; for one
 * that is there and not so, m->bad_extension is set.
 */
const char *d4_meta_extension(const d4_meta_t *m);

/* "encoding" of 1 to D4_META_ENCODING visible ASCII characters, else NULL. */
const char *d4_meta_encoding(const d4_meta_t *m);

/* "compress" is true; "segregate" is not false. */
int d4_meta_compress(const d4_meta_t *m);
int d4_meta_segregate(const d4_meta_t *m);

/*
 * The tag number i from 0 to m->ntags - 1: first "misp:org:" and the value of
 * "misp:org", then the strings of "tags", which is an array or one string.
 * UTF-8 of 1 to D4_META_TAG bytes without ASCII control characters; others,
 * and those beyond D4_META_TAGS, are only counted, in m->ignored.
 */
const char *d4_meta_tag(const d4_meta_t *m, uint32_t i);


#pragma GCC visibility pop

#endif /* _D4_META_H_INCLUDED_ */


/*
 * What becomes of the lines of an extended type (type 254, d4-core.md
 * section 4): each type has a handler of its name, or the default one.
 *
 * Most handlers leave lines as they are, for the file of the session and for
 * queues.  Others make objects of each line: files that are written at once,
 * and whose path is what queues get.  Nothing that a sensor chose is in a path
 * as it came.  The same line gives the same objects again.
 */


#ifndef _D4_HANDLER_H_INCLUDED_
#define _D4_HANDLER_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <time.h>


#pragma GCC visibility push(hidden)


#define D4_HANDLER_CERTS  100          /* taken from one record */


typedef enum {
    D4_HANDLER_DONE = 0,
    D4_HANDLER_REFUSED,                /* the line is not what it has to be:
                                          nothing was handed out */
    D4_HANDLER_STOPPED,                /* by the caller of the line */
    D4_HANDLER_NOMEM                   /* some may have been handed out */
} d4_handler_status_t;


/* what the session's meta header and the clock say */
typedef struct {
    const char       *uuid;            /* of the sensor, 32 hex digits */
    const struct tm  *tm;              /* day of its directory */
    const char       *extension;       /* of letters and digits, or NULL */
    unsigned          compress:1;
    unsigned          shared:1;        /* "segregate" is false */
} d4_handler_meta_t;


/* A file, valid during the call. */
typedef struct {
    const char       *path;            /* below the data root */
    const char       *other;           /* where path is anything else's */
    const uint8_t    *data;
    size_t            len;
    unsigned          gzip:1;          /* to be compressed, path says so */
    unsigned          element:1;       /* queues get the path: the last one */
} d4_handler_object_t;

/* Takes an object; anything but 0 stops the line. */
typedef int (*d4_handler_object_pt)(void *data,
    const d4_handler_object_t *object);


typedef struct {
    d4_handler_object_pt  object;
    void                 *data;

    const char           *reason;      /* of REFUSED, or of skipped; a
                                          constant */
    unsigned              skipped;     /* parts of the line that gave none of
                                          the objects they should have */
} d4_handler_out_t;

typedef d4_handler_status_t (*d4_handler_line_pt)(
    const d4_handler_meta_t *meta, const char *line, size_t len,
    d4_handler_out_t *out);


typedef struct {
    const char          *name;         /* of the type; default: "" */
    size_t               max;          /* bytes of a line, without its end */
    unsigned             disk:1;       /* lines go to a file of the session */
    unsigned             lines:1;      /* and to queues */
    unsigned             objects:1;    /* instead of them, objects */
    d4_handler_line_pt   line;         /* NULL without objects */
} d4_handler_t;


/* The handler of an extended type; the default one if it has none. */
const d4_handler_t *d4_handler_find(const char *type);

/*
 * With h->objects: makes the objects of one line of len bytes without its line
 * feed.  out->object and out->data are the caller's, the rest is set.  An
 * empty line has none.  Uses nothing shared: in any thread.
 */
d4_handler_status_t d4_handler_line(const d4_handler_t *h,
    const d4_handler_meta_t *meta, const void *line, size_t len,
    d4_handler_out_t *out);


/* The handlers (d4_handler_*.c), as d4_handler_line(). */

d4_handler_status_t d4_handler_ja3(const d4_handler_meta_t *meta,
    const char *line, size_t len, d4_handler_out_t *out);
d4_handler_status_t d4_handler_watched(const d4_handler_meta_t *meta,
    const char *line, size_t len, d4_handler_out_t *out);
d4_handler_status_t d4_handler_watched_json(const d4_handler_meta_t *meta,
    const char *line, size_t len, d4_handler_out_t *out);


/* For them: the digest as lower-case hex digits with a zero, 0 or -1. */

#define D4_HANDLER_SHA1    40
#define D4_HANDLER_SHA256  64

int d4_handler_sha1(char hex[D4_HANDLER_SHA1 + 1], const void *p, size_t len);
int d4_handler_sha256(char hex[D4_HANDLER_SHA256 + 1], const void *p,
    size_t len);


#pragma GCC visibility pop

#endif /* _D4_HANDLER_H_INCLUDED_ */

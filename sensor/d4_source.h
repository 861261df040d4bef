
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Where the content comes from: standard input, a fifo that writers come to
 * and leave, a file that is read once or followed.
 */


#ifndef _D4_SOURCE_H_INCLUDED_
#define _D4_SOURCE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include "d4_config.h"


#define D4_SOURCE_NOTHING  0           /* wait: d4_source_fd() and _wake() */
#define D4_SOURCE_END      -1          /* nothing will come any more */
#define D4_SOURCE_RESTART  -2          /* what follows starts anew */
#define D4_SOURCE_ERROR    -3          /* logged */


#define D4_SOURCE_AHEAD    65536       /* bytes read at once at most, where
                                          less is asked for */

typedef struct {
    const d4_options_t  *options;
    const char          *path;         /* NULL: standard input */
    int                  fd;           /* -1: not there (yet) */
    int                  fifo;
    int                  file;         /* a regular file */
    int                  followed;
    int                  ended;
    int                  fed;          /* something came from this one */
    int                  replaced;     /* the path names another file now */
    int64_t              wake;         /* look again then; 0: when ready */
    off_t                offset;
    dev_t                dev;
    ino_t                ino;
    size_t               pos;          /* of ahead, what was handed out */
    size_t               have;
    uint8_t              ahead[D4_SOURCE_AHEAD];
} d4_source_t;


/* Returns 0, or -1 after a message. */
int d4_source_open(d4_source_t *s, const d4_config_t *c);
void d4_source_close(d4_source_t *s);

/* What to poll for input, -1: nothing; when to read anyway, 0: never. */
int d4_source_fd(const d4_source_t *s);
int64_t d4_source_wake(const d4_source_t *s);

/* 1 when there is something to read that need not be waited for. */
int d4_source_held(const d4_source_t *s);

/* Reads when it is ready or time: bytes (1 to len), or one of the above. */
ssize_t d4_source_read(d4_source_t *s, uint8_t *buf, size_t len, int64_t now);


#endif /* _D4_SOURCE_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Lines to standard output, in order and none of them lost: when the reader
 * does not keep up, the sensor waits and the kernel counts the packets it
 * drops.
 */


#ifndef _PDS_OUTPUT_H_INCLUDED_
#define _PDS_OUTPUT_H_INCLUDED_


#include <signal.h>
#include <stddef.h>
#include <stdint.h>


typedef struct {
    int              fd;
    int              failed;           /* the reader has gone, reported */
    const sigset_t  *mask;             /* of signals, while waiting */
    char            *buf;
    size_t           size;
    size_t           have;
} pds_output_t;


/*
 * Lines of line_max bytes at most.  Returns 0, or -1 without memory.  The
 * descriptor stays open and its flags as they are.
 */
int pds_output_init(pds_output_t *o, int fd, size_t line_max,
    const sigset_t *mask);
void pds_output_free(pds_output_t *o);

/* Takes a line; the data is the output, so that this is a pds_line_pt. */
void pds_output_line(void *data, const char *line, size_t len);

/*
 * Writes all there is.  Returns 0, or -1 when that failed, now or before.  It
 * waits as long as it takes, after pds_signal_stop a few seconds in all.
 */
int pds_output_flush(pds_output_t *o);


#endif /* _PDS_OUTPUT_H_INCLUDED_ */

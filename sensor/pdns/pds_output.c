
/*
 * Copyright (C) The ngx_d4 authors
 */


#define _GNU_SOURCE                /* ppoll() */

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pds_log.h"
#include "pds_output.h"
#include "pds_signal.h"


#define PDS_OUTPUT_BUFFER  65536
#define PDS_OUTPUT_STOP    5           /* seconds for a reader that hangs */


static int pds_output_wait(pds_output_t *o, time_t *deadline);


int
pds_output_init(pds_output_t *o, int fd, size_t line_max,
    const sigset_t *mask)
{
    memset(o, 0, sizeof(pds_output_t));

    o->fd = fd;
    o->mask = mask;
    o->size = (line_max > PDS_OUTPUT_BUFFER) ? line_max : PDS_OUTPUT_BUFFER;
    o->buf = malloc(o->size);

    return (o->buf == NULL) ? -1 : 0;
}


void
pds_output_free(pds_output_t *o)
{
    free(o->buf);
}


void
pds_output_line(void *data, const char *line, size_t len)
{
    pds_output_t  *o;

    o = data;

    if (len > o->size - o->have) {
        pds_output_flush(o);
    }

    if (o->failed) {
        return;
    }

    memcpy(o->buf + o->have, line, len);
    o->have += len;
}


/*
 * A pipe that poll() calls writable takes PIPE_BUF bytes at once, so that its
 * reader never keeps this from hearing signals.
 */

int
pds_output_flush(pds_output_t *o)
{
    size_t   done, len;
    time_t   deadline;
    ssize_t  n;

    done = 0;
    deadline = 0;

    while (!o->failed && done < o->have) {

        if (pds_output_wait(o, &deadline) != 0) {
            continue;
        }

        len = o->have - done;
        n = write(o->fd, o->buf + done, len < PIPE_BUF ? len : PIPE_BUF);

        if (n > 0) {
            done += (size_t) n;

        } else if (n == -1 && errno != EINTR && errno != EAGAIN) {
            pds_log("standard output: %s", strerror(errno));
            o->failed = 1;
        }
    }

    o->have = 0;

    return o->failed ? -1 : 0;
}


/* Returns 0 when it may be written to. */

static int
pds_output_wait(pds_output_t *o, time_t *deadline)
{
    int              n;
    struct pollfd    pfd;
    struct timespec  now, second;

    pfd.fd = o->fd;
    pfd.events = POLLOUT;
    second.tv_sec = 1;
    second.tv_nsec = 0;

    n = ppoll(&pfd, 1, &second, o->mask);

    if (n > 0) {
        return 0;
    }

    if (pds_signal_stop) {
        clock_gettime(CLOCK_MONOTONIC, &now);

        if (*deadline == 0) {
            *deadline = now.tv_sec + PDS_OUTPUT_STOP;
        }

        if (now.tv_sec >= *deadline) {
            pds_log("standard output: not read, giving up");
            o->failed = 1;
        }
    }

    return -1;
}

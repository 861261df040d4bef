
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "d4_log.h"
#include "d4_source.h"


static ssize_t d4_source_take(d4_source_t *s, uint8_t *buf, size_t len);
static int d4_source_reopen(d4_source_t *s);
static ssize_t d4_source_fifo_end(d4_source_t *s);
static ssize_t d4_source_file_end(d4_source_t *s, int64_t now);


int
d4_source_open(d4_source_t *s, const d4_config_t *c)
{
    struct stat  st;

    memset(s, 0, sizeof(d4_source_t));

    s->options = c->options;
    s->path = c->source;
    s->fd = -1;

    if (s->path == NULL) {
        s->fd = STDIN_FILENO;
        s->file = (fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode));
        return 0;
    }

    s->followed = s->options->follow;

    if (d4_source_reopen(s) != 0) {
        if (errno == ENOENT && s->followed) {
            d4_log("%s: waiting for it to appear", s->path);
            s->wake = 1;
            return 0;
        }

        d4_log("%s: %s", s->path, strerror(errno));
        return -1;
    }

    if (s->file && s->options->from_end) {
        s->offset = lseek(s->fd, 0, SEEK_END);
    }

    return 0;
}


void
d4_source_close(d4_source_t *s)
{
    if (s->path != NULL && s->fd != -1) {
        close(s->fd);
    }

    s->fd = -1;
    s->ended = 1;
    s->pos = 0;
    s->have = 0;
}


int
d4_source_fd(const d4_source_t *s)
{
    return s->ended || s->wake != 0 ? -1 : s->fd;
}


int64_t
d4_source_wake(const d4_source_t *s)
{
    return s->ended ? 0 : s->wake;
}


ssize_t
d4_source_read(d4_source_t *s, uint8_t *buf, size_t len, int64_t now)
{
    ssize_t  n;

    if (s->ended) {
        return D4_SOURCE_END;
    }

    s->wake = 0;

    if (s->fd == -1 && d4_source_reopen(s) != 0) {
        if (errno != ENOENT) {
            d4_log("%s: %s", s->path, strerror(errno));
            return D4_SOURCE_ERROR;
        }

        s->wake = now + s->options->poll;
        return D4_SOURCE_NOTHING;
    }

    n = d4_source_take(s, buf, len);

    if (n > 0) {
        s->fed = 1;
        s->replaced = 0;
        return n;
    }

    if (n == -1) {
        if (errno == EAGAIN || errno == EINTR) {
            return D4_SOURCE_NOTHING;
        }

        d4_log("%s: %s", s->path != NULL ? s->path : "stdin",
               strerror(errno));
        return D4_SOURCE_ERROR;
    }

    if (s->fifo) {
        return d4_source_fifo_end(s);
    }

    if (s->file && s->followed) {
        return d4_source_file_end(s, now);
    }

    if (s->options->keep_waiting) {
        s->wake = now + s->options->poll;
        return D4_SOURCE_NOTHING;
    }

    s->ended = 1;

    return D4_SOURCE_END;
}


int
d4_source_held(const d4_source_t *s)
{
    return s->pos != s->have;
}


/*
 * A system call for a small frame costs more than the frame.  Where a full
 * queue drops frames, they come no faster than they can leave.
 */

static ssize_t
d4_source_take(d4_source_t *s, uint8_t *buf, size_t len)
{
    ssize_t  n;

    if (s->pos == s->have) {

        if (len >= D4_SOURCE_AHEAD
            || s->options->overflow != D4_QUEUE_BLOCK)
        {
            n = read(s->fd, buf, len);
            s->offset += n > 0 ? n : 0;
            return n;
        }

        n = read(s->fd, s->ahead, D4_SOURCE_AHEAD);

        if (n <= 0) {
            return n;
        }

        s->offset += n;
        s->pos = 0;
        s->have = n;
    }

    if (len > s->have - s->pos) {
        len = s->have - s->pos;
    }

    memcpy(buf, s->ahead + s->pos, len);
    s->pos += len;

    return len;
}


/* Opens the path and lets go of what was open before.  Keeps errno. */

static int
d4_source_reopen(d4_source_t *s)
{
    int          fd, err;
    struct stat  st;

    /* without O_NONBLOCK a fifo without a writer would hold up everything */

    fd = open(s->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    if (fstat(fd, &st) != 0) {
        err = errno;
        close(fd);
        errno = err;
        return -1;
    }

    if (s->fd != -1) {
        close(s->fd);
    }

    s->fd = fd;
    s->fifo = S_ISFIFO(st.st_mode);
    s->file = S_ISREG(st.st_mode);
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    s->offset = 0;
    s->fed = 0;
    s->replaced = 0;

    return 0;
}


/*
 * The last writer left.  The fifo is opened anew before the old descriptor is
 * closed, so that a writer that comes just now never finds it without reader.
 */

static ssize_t
d4_source_fifo_end(d4_source_t *s)
{
    int  fed;

    fed = s->fed;

    if (d4_source_reopen(s) != 0) {
        d4_log("%s: %s", s->path, strerror(errno));
        return D4_SOURCE_ERROR;
    }

    return fed ? D4_SOURCE_RESTART : D4_SOURCE_NOTHING;
}


static ssize_t
d4_source_file_end(d4_source_t *s, int64_t now)
{
    struct stat  st;

    s->wake = now + s->options->poll;

    if (fstat(s->fd, &st) != 0) {
        d4_log("%s: %s", s->path, strerror(errno));
        return D4_SOURCE_ERROR;
    }

    if (st.st_size < s->offset) {
        d4_log("%s: was truncated, begin again", s->path);

        if (lseek(s->fd, 0, SEEK_SET) == -1) {
            d4_log("%s: %s", s->path, strerror(errno));
            return D4_SOURCE_ERROR;
        }

        s->offset = 0;
        s->wake = 1;

        return D4_SOURCE_RESTART;
    }

    if (st.st_size > s->offset) {

        /* written to since it was read: not yet the time to leave it */

        s->wake = 1;
        return D4_SOURCE_NOTHING;
    }

    if (stat(s->path, &st) != 0
        || (st.st_dev == s->dev && st.st_ino == s->ino))
    {
        s->replaced = 0;
        return D4_SOURCE_NOTHING;
    }

    if (!s->replaced) {

        /* whoever wrote to the old one may not have noticed yet */

        s->replaced = 1;
        return D4_SOURCE_NOTHING;
    }

    d4_log("%s: was replaced, go on with the new one", s->path);

    if (d4_source_reopen(s) != 0) {
        d4_log("%s: %s", s->path, strerror(errno));
        return D4_SOURCE_ERROR;
    }

    s->wake = 1;

    return D4_SOURCE_RESTART;
}

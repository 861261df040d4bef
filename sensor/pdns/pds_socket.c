
/*
 * Copyright (C) The ngx_d4 authors
 */


#define _GNU_SOURCE                /* accept4() */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "pds_log.h"
#include "pds_socket.h"


static int pds_socket_bind(int fd, const char *path);
static int pds_socket_stale(const struct sockaddr_un *sun);
static int pds_socket_permit(const pds_options_t *o);
static void pds_socket_accept(pds_socket_t *s);
static void pds_socket_input(pds_socket_t *s, pds_connection_t *c);
static void pds_socket_end(pds_socket_t *s, pds_connection_t *c);
static void pds_socket_frame(void *data, const uint8_t *p, size_t len);


void
pds_socket_init(pds_socket_t *s)
{
    unsigned  i;

    memset(s, 0, sizeof(pds_socket_t));

    s->fd = -1;

    for (i = 0; i < PDS_CONNECTIONS; i++) {
        s->connection[i].fd = -1;
    }
}


int
pds_socket_open(pds_socket_t *s, const pds_options_t *o,
    pds_sensor_t *sensor)
{
    s->path = o->dnstap;
    s->sensor = sensor;

    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (s->fd == -1) {
        pds_log("%s: %s", s->path, strerror(errno));
        return -1;
    }

    if (pds_socket_bind(s->fd, s->path) != 0) {
        close(s->fd);
        s->fd = -1;
        return -1;
    }

    if (pds_socket_permit(o) != 0) {
        pds_socket_close(s);
        return -1;
    }

    if (listen(s->fd, PDS_CONNECTIONS) != 0) {
        pds_log("%s: %s", s->path, strerror(errno));
        pds_socket_close(s);
        return -1;
    }

    return 0;
}


void
pds_socket_close(pds_socket_t *s)
{
    unsigned  i;

    for (i = 0; i < PDS_CONNECTIONS; i++) {
        if (s->connection[i].fd != -1) {
            pds_socket_end(s, &s->connection[i]);
        }
    }

    if (s->fd != -1) {
        close(s->fd);
        s->fd = -1;

        /* another user may not be allowed to: the next start does it */

        unlink(s->path);
    }
}


unsigned
pds_socket_poll(const pds_socket_t *s, struct pollfd *pfd)
{
    unsigned  i, n;

    n = 0;

    if (s->fd != -1 && s->connections < PDS_CONNECTIONS) {
        pfd[n].fd = s->fd;
        pfd[n++].events = POLLIN;
    }

    for (i = 0; i < PDS_CONNECTIONS; i++) {
        if (s->connection[i].fd != -1) {
            pfd[n].fd = s->connection[i].fd;
            pfd[n++].events = POLLIN;
        }
    }

    return n;
}


void
pds_socket_read(pds_socket_t *s, const struct pollfd *pfd, unsigned n,
    int64_t now)
{
    unsigned           i, j;
    pds_connection_t  *c;

    s->now = now;

    for (i = 0; i < n; i++) {
        if (pfd[i].revents == 0) {
            continue;
        }

        for (j = 0; j < PDS_CONNECTIONS; j++) {
            c = &s->connection[j];

            if (c->fd == pfd[i].fd) {
                pds_socket_input(s, c);
                break;
            }
        }

        if (pfd[i].fd == s->fd) {
            pds_socket_accept(s);
        }
    }
}


static int
pds_socket_bind(int fd, const char *path)
{
    int                 rc;
    mode_t              mask;
    struct sockaddr_un  sun;

    memset(&sun, 0, sizeof(struct sockaddr_un));
    sun.sun_family = AF_UNIX;

    if (strlen(path) >= sizeof(sun.sun_path)) {
        pds_log("%s: the path of a socket is too long", path);
        return -1;
    }

    strcpy(sun.sun_path, path);

    if (pds_socket_stale(&sun)) {
        unlink(path);
    }

    /* nobody connects before it is known who may */

    mask = umask(0177);
    rc = bind(fd, (struct sockaddr *) &sun, sizeof(struct sockaddr_un));
    umask(mask);

    if (rc != 0) {
        pds_log("%s: %s", path, strerror(errno));
        return -1;
    }

    return 0;
}


/* 1 for a socket that nobody listens on. */

static int
pds_socket_stale(const struct sockaddr_un *sun)
{
    int          fd, refused;
    struct stat  st;

    if (lstat(sun->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return 0;
    }

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return 0;
    }

    refused = connect(fd, (const struct sockaddr *) sun,
                      sizeof(struct sockaddr_un)) != 0
              && errno == ECONNREFUSED;
    close(fd);

    return refused;
}


static int
pds_socket_permit(const pds_options_t *o)
{
    uid_t          uid;
    gid_t          gid;
    struct group  *gr;
    struct passwd *pw;

    uid = (uid_t) -1;
    gid = (gid_t) -1;

    if (o->user != NULL) {
        pw = getpwnam(o->user);

        if (pw == NULL) {
            pds_log("there is no user \"%s\"", o->user);
            return -1;
        }

        uid = pw->pw_uid;
        gid = pw->pw_gid;
    }

    if (o->group != NULL) {
        gr = getgrnam(o->group);

        if (gr == NULL) {
            pds_log("there is no group \"%s\"", o->group);
            return -1;
        }

        gid = gr->gr_gid;
    }

    if (chown(o->dnstap, uid, gid) != 0 || chmod(o->dnstap, 0660) != 0) {
        pds_log("%s: %s", o->dnstap, strerror(errno));
        return -1;
    }

    return 0;
}


static void
pds_socket_accept(pds_socket_t *s)
{
    int                fd;
    pds_connection_t  *c;

    fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd == -1) {
        return;
    }

    for (c = s->connection; c->fd != -1; c++) { /* void */ }

    c->fd = fd;
    pds_frames_init(&c->frames);
    c->frames.frame = pds_socket_frame;
    c->frames.data = s;
    s->connections++;
}


/* A reply is far smaller than the buffer of a new socket. */

static void
pds_socket_input(pds_socket_t *s, pds_connection_t *c)
{
    int            rc;
    ssize_t        n;
    pds_frames_t  *f;

    n = recv(c->fd, s->buf, sizeof(s->buf), 0);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }

    if (n <= 0) {
        pds_socket_end(s, c);
        return;
    }

    f = &c->frames;
    rc = pds_frames_add(f, s->buf, (size_t) n);

    if (rc == -1) {
        pds_log("%s: a writer sends no dnstap, or frames that are too large",
                s->path);
    }

    if (f->reply_len != 0) {
        if (send(c->fd, f->reply, f->reply_len, MSG_NOSIGNAL)
            != (ssize_t) f->reply_len)
        {
            rc = -1;
        }

        f->reply_len = 0;
    }

    if (rc != 0) {
        pds_socket_end(s, c);
    }
}


static void
pds_socket_end(pds_socket_t *s, pds_connection_t *c)
{
    close(c->fd);
    c->fd = -1;
    pds_frames_free(&c->frames);
    s->connections--;
}


static void
pds_socket_frame(void *data, const uint8_t *p, size_t len)
{
    pds_socket_t  *s;

    s = data;
    pds_sensor_frame(s->sensor, s->now, p, len);
}

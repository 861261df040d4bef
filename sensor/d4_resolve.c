
/*
 * Copyright (C) The ngx_d4 authors
 */


#define _GNU_SOURCE                /* pipe2() */

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#include "d4_resolve.h"


/* what the child writes, in less than a pipe takes in one piece */

typedef struct {
    int           error;               /* of getaddrinfo() */
    int           n;
    d4_address_t  list[D4_RESOLVE_MAX];
} d4_resolve_answer_t;


static void d4_resolve_look(d4_resolve_answer_t *a, const char *host,
    const char *port, int flags);


void
d4_resolve_init(d4_resolve_t *r)
{
    memset(r, 0, sizeof(d4_resolve_t));

    r->pid = -1;
    r->fd = -1;
}


int
d4_resolve_start(d4_resolve_t *r, const char *host, const char *port)
{
    int                  fd[2];
    d4_resolve_answer_t  a;

    d4_resolve_look(&a, host, port, AI_NUMERICHOST);

    if (a.error == 0) {
        r->n = a.n;
        memcpy(r->list, a.list, sizeof(r->list));
        return 1;
    }

    if (pipe2(fd, O_CLOEXEC) != 0) {
        r->error = strerror(errno);
        return -1;
    }

    r->pid = fork();

    if (r->pid == -1) {
        r->error = strerror(errno);
        close(fd[0]);
        close(fd[1]);
        return -1;
    }

    if (r->pid == 0) {
        d4_resolve_look(&a, host, port, 0);
        _exit(write(fd[1], &a, sizeof(a)) == sizeof(a) ? 0 : 1);
    }

    close(fd[1]);
    r->fd = fd[0];

    return 0;
}


int
d4_resolve_finish(d4_resolve_t *r)
{
    ssize_t              n;
    d4_resolve_answer_t  a;

    n = read(r->fd, &a, sizeof(a));

    d4_resolve_stop(r);

    if (n != sizeof(a)) {
        r->error = "the name could not be looked up";
        return -1;
    }

    if (a.error != 0) {
        r->error = gai_strerror(a.error);
        return -1;
    }

    r->n = a.n;
    memcpy(r->list, a.list, sizeof(r->list));

    return 1;
}


void
d4_resolve_stop(d4_resolve_t *r)
{
    if (r->pid != -1) {
        kill(r->pid, SIGKILL);

        while (waitpid(r->pid, NULL, 0) == -1 && errno == EINTR) {
            /* void */
        }

        r->pid = -1;
    }

    if (r->fd != -1) {
        close(r->fd);
        r->fd = -1;
    }
}


static void
d4_resolve_look(d4_resolve_answer_t *a, const char *host, const char *port,
    int flags)
{
    struct addrinfo  hints, *list, *ai;

    memset(a, 0, sizeof(d4_resolve_answer_t));
    memset(&hints, 0, sizeof(struct addrinfo));

    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV | flags;

    a->error = getaddrinfo(host, port, &hints, &list);
    if (a->error != 0) {
        return;
    }

    for (ai = list; ai != NULL && a->n < D4_RESOLVE_MAX; ai = ai->ai_next) {
        if (ai->ai_addrlen > sizeof(struct sockaddr_storage)) {
            continue;
        }

        a->list[a->n].len = ai->ai_addrlen;
        memcpy(&a->list[a->n].addr, ai->ai_addr, ai->ai_addrlen);
        a->n++;
    }

    freeaddrinfo(list);

    if (a->n == 0) {
        a->error = EAI_NONAME;
    }
}

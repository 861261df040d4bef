
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * The passive DNS sensor: what DNS servers answer, from packets or from a
 * resolver's dnstap, as lines for a D4 client (type 8) or for anybody else who
 * reads what passivedns writes.
 */


#define _GNU_SOURCE                /* ppoll(), setresuid() */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "pds_capture.h"
#include "pds_log.h"
#include "pds_output.h"
#include "pds_signal.h"
#include "pds_socket.h"


#define PDS_TICK      1000             /* milliseconds */
#define PDS_DRAIN     1000             /* batches left at the end, at most */


typedef struct {
    pds_options_t    options;
    pds_sensor_t    *sensor;
    pds_output_t     output;
    pds_socket_t     socket;
    pds_capture_t    capture[PDS_INTERFACES];
    unsigned         captures;
    sigset_t         mask;
    int              failed;           /* a source or the output */
} pds_program_t;


static void pds_standard_files(void);
static int pds_start(pds_program_t *p);
static int pds_become(const char *user);
static void pds_live(pds_program_t *p);
static void pds_live_wait(pds_program_t *p);
static void pds_live_captures(pds_program_t *p);
static void pds_live_end(pds_program_t *p);
static void pds_files(pds_program_t *p);
static void pds_file(pds_program_t *p, const char *name);
static void pds_file_frames(pds_program_t *p, const char *name, FILE *file);
static void pds_file_frame(void *data, const uint8_t *frame, size_t len);
static void pds_asked(pds_program_t *p);
static void pds_statistics(const pds_program_t *p);
static int64_t pds_now(void);


int
main(int argc, char **argv)
{
    int                   code;
    static pds_program_t  p;

    pds_standard_files();
    pds_socket_init(&p.socket);

    code = pds_options_parse(&p.options, argc, argv);

    if (code != -1) {
        return code;
    }

    pds_signals(&p.mask);

    if (pds_start(&p) != 0) {
        return PDS_EXIT_CONFIG;
    }

    if (p.options.files != 0) {
        pds_files(&p);

    } else {
        pds_live(&p);
    }

    pds_sensor_flush(p.sensor);

    if (pds_output_flush(&p.output) != 0) {
        p.failed = 1;
    }

    pds_statistics(&p);

    pds_socket_close(&p.socket);

    while (p.captures != 0) {
        pds_capture_close(&p.capture[--p.captures]);
    }

    pds_sensor_destroy(p.sensor);
    pds_output_free(&p.output);

    return p.failed ? PDS_EXIT_FAILED : PDS_EXIT_OK;
}


/* Else what is opened first would become where lines are written to. */

static void
pds_standard_files(void)
{
    int  fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd != -1 && fd <= STDERR_FILENO);

    if (fd != -1) {
        close(fd);
    }
}


static int
pds_start(pds_program_t *p)
{
    unsigned        i;
    pds_key_t       key;
    pds_options_t  *o;

    o = &p->options;

    if (getrandom(&key, sizeof(pds_key_t), 0) != sizeof(pds_key_t)) {
        pds_log("no random numbers: %s", strerror(errno));
        return -1;
    }

    p->sensor = pds_sensor_create(&o->conf, &key);

    if (p->sensor == NULL
        || pds_output_init(&p->output, STDOUT_FILENO, o->conf.line_max,
                           &p->mask)
           != 0)
    {
        pds_log("no memory");
        return -1;
    }

    p->sensor->line = pds_output_line;
    p->sensor->data = &p->output;

    for (i = 0; i < o->interfaces; i++) {
        if (pds_capture_interface(&p->capture[i], o->interface[i], o) != 0) {
            return -1;
        }

        p->captures++;
    }

    if (o->dnstap != NULL && pds_socket_open(&p->socket, o, p->sensor) != 0) {
        return -1;
    }

    if (o->user != NULL && pds_become(o->user) != 0) {
        pds_socket_close(&p->socket);
        return -1;
    }

    return 0;
}


static int
pds_become(const char *user)
{
    struct passwd  *pw;

    pw = getpwnam(user);

    if (pw == NULL) {
        pds_log("there is no user \"%s\"", user);
        return -1;
    }

    if (initgroups(user, pw->pw_gid) != 0
        || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0
        || setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0
        || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    {
        pds_log("cannot become \"%s\": %s", user, strerror(errno));
        return -1;
    }

    if (pw->pw_uid != 0 && setuid(0) == 0) {
        pds_log("cannot give up the rights of root");
        return -1;
    }

    return 0;
}


static void
pds_live(pds_program_t *p)
{
    while (!pds_signal_stop && !p->failed) {
        pds_live_wait(p);
        pds_asked(p);

        if (pds_output_flush(&p->output) != 0) {
            p->failed = 1;
        }
    }

    if (!p->output.failed) {
        pds_live_end(p);
    }
}


static void
pds_live_wait(pds_program_t *p)
{
    int              n;
    int64_t          now;
    unsigned         i, captures, sockets;
    struct pollfd    pfd[PDS_INTERFACES + 1 + PDS_CONNECTIONS];
    struct timespec  tick;

    for (i = 0; i < p->captures; i++) {
        pfd[i].fd = p->capture[i].fd;
        pfd[i].events = POLLIN;
    }

    captures = i;
    sockets = pds_socket_poll(&p->socket, pfd + captures);

    tick.tv_sec = PDS_TICK / 1000;
    tick.tv_nsec = 0;

    n = ppoll(pfd, captures + sockets, &tick, &p->mask);
    now = pds_now();

    pds_sensor_clock(p->sensor, now);
    pds_live_captures(p);

    if (n > 0) {
        pds_socket_read(&p->socket, pfd + captures, sockets, now);
    }
}


/* Each one, whether poll() says so or not: asking costs next to nothing. */

static void
pds_live_captures(pds_program_t *p)
{
    unsigned  i;

    for (i = 0; i < p->captures; i++) {
        if (pds_capture_read(&p->capture[i], p->sensor) == -1) {
            p->failed = 1;
        }
    }
}


/* What came before the signal may still be on its way out of the kernel. */

static void
pds_live_end(pds_program_t *p)
{
    unsigned         i, n;
    struct timespec  delay;

    if (p->captures == 0 || p->failed) {
        return;
    }

    delay.tv_sec = 0;
    delay.tv_nsec = 2 * PDS_CAPTURE_DELAY * 1000000;
    nanosleep(&delay, NULL);

    for (i = 0; i < p->captures; i++) {
        for (n = 0; n < PDS_DRAIN; n++) {
            if (pds_capture_read(&p->capture[i], p->sensor) <= 0) {
                break;
            }
        }
    }
}


static void
pds_files(pds_program_t *p)
{
    unsigned  i;

    /* reading waits, and is to be interrupted */

    sigprocmask(SIG_SETMASK, &p->mask, NULL);

    for (i = 0; i < p->options.files && !pds_signal_stop; i++) {
        pds_file(p, p->options.file[i]);

        if (p->output.failed) {
            p->failed = 1;
            return;
        }
    }
}


static void
pds_file(pds_program_t *p, const char *name)
{
    int             c, n;
    FILE           *file;
    pds_capture_t   capture;

    file = (strcmp(name, "-") == 0) ? stdin : fopen(name, "rb");

    if (file == NULL) {
        pds_log("%s: %s", name, strerror(errno));
        p->failed = 1;
        return;
    }

    /* Frame Streams begin with a zero byte, no capture does */

    c = getc(file);

    if (c == 0) {
        ungetc(c, file);
        pds_file_frames(p, name, file);
        fclose(file);
        return;
    }

    if (c != EOF) {
        ungetc(c, file);
    }

    if (pds_signal_stop) {
        fclose(file);
        return;
    }

    if (pds_capture_file(&capture, name, file, &p->options) != 0) {
        if (!pds_signal_stop) {
            p->failed = 1;
        }

        return;
    }

    do {
        n = pds_capture_read(&capture, p->sensor);
        pds_asked(p);

        if (n == -1) {
            p->failed = 1;
        }

    } while (n > 0 && !pds_signal_stop
             && pds_output_flush(&p->output) == 0);

    pds_capture_close(&capture);
}


static void
pds_file_frames(pds_program_t *p, const char *name, FILE *file)
{
    int           rc;
    size_t        n;
    uint8_t       buf[65536];
    pds_frames_t  frames;

    pds_frames_init(&frames);
    frames.frame = pds_file_frame;
    frames.data = p;
    rc = 0;

    while (rc == 0 && !pds_signal_stop
           && (n = fread(buf, 1, sizeof(buf), file)) != 0)
    {
        rc = pds_frames_add(&frames, buf, n);
        pds_asked(p);

        if (pds_output_flush(&p->output) != 0) {
            break;
        }
    }

    if (rc == -1) {
        pds_log("%s: holds no dnstap, or frames that are too large", name);
        p->failed = 1;

    } else if (ferror(file) && !pds_signal_stop) {
        pds_log("%s: %s", name, strerror(errno));
        p->failed = 1;
    }

    pds_frames_free(&frames);
}


static void
pds_file_frame(void *data, const uint8_t *frame, size_t len)
{
    int64_t         when;
    pds_program_t  *p;

    p = data;
    when = pds_sensor_frame(p->sensor, pds_now(), frame, len);
    pds_sensor_clock(p->sensor, when);
}


static void
pds_asked(pds_program_t *p)
{
    if (pds_signal_stats) {
        pds_signal_stats = 0;
        pds_statistics(p);
    }

    if (pds_signal_flush) {
        pds_signal_flush = 0;
        pds_sensor_flush(p->sensor);
    }
}


static void
pds_statistics(const pds_program_t *p)
{
    char                 text[1024];
    unsigned             i;
    uint64_t             received, dropped, all[2];
    pds_text_t           t;
    const pds_sensor_t  *s;

    s = p->sensor;
    all[0] = 0;
    all[1] = 0;

    for (i = 0; i < p->captures; i++) {
        pds_capture_stats(&p->capture[i], &received, &dropped);
        all[0] += received;
        all[1] += dropped;
    }

    pds_text_init(&t, text, sizeof(text) - 1);

#define PDS_STAT(name)                                                        \
    pds_text_copy(&t, #name "=", sizeof(#name));                              \
    pds_text_number(&t, s->stats.name);                                       \
    pds_text_char(&t, ' ');

    PDS_STATS(PDS_STAT)

#undef PDS_STAT

    *t.p = '\0';

    pds_log("%sunrelated=%llu bad_records=%llu lost_fragments=%llu "
            "streams=%llu lost_streams=%llu unknown_segments=%llu "
            "entries=%zu evicted=%llu cache_bytes=%zu fragment_bytes=%zu "
            "tcp_bytes=%zu connections=%u kernel_received=%llu "
            "kernel_dropped=%llu", text,
            (unsigned long long) s->message.unrelated,
            (unsigned long long) s->message.bad_rdata,
            (unsigned long long) s->frag.dropped,
            (unsigned long long) s->tcp.begun,
            (unsigned long long) s->tcp.lost,
            (unsigned long long) s->tcp.unknown,
            s->cache.entries, (unsigned long long) s->cache.evicted,
            s->cache.held, s->frag.held, s->tcp.held, p->socket.connections,
            (unsigned long long) all[0], (unsigned long long) all[1]);
}


static int64_t
pds_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_REALTIME, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

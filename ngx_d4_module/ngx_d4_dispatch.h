
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * From the streams to files and queues: one ngx_d4_dispatch_t for each session
 * whose stream this worker owns.  It takes the frames in the order of the
 * stream, from the worker's memory while the session lives here, read back
 * from Redis where it was taken over, and gives them to the decoder of their
 * type.  What comes out is dealt with in steps, one at a time:
 *
 *   decode    records are collected, for a file and for queues
 *   name      a file that is to be begun gets a name, in the session's cursor
 *   write     in a thread, behind what the cursor says was committed
 *   commit    one script pushes the elements and moves the cursor
 *   trim      what was committed leaves the stream
 *
 * The cursor (d4:cursor:<sid>, with the queues) is what survives: whoever owns
 * the session goes on from it, and all that was done beyond it is done again.
 * Each step may fail, and is then repeated as it is; what was decoded is kept.
 */


#ifndef _NGX_D4_DISPATCH_H_INCLUDED_
#define _NGX_D4_DISPATCH_H_INCLUDED_


#include "ngx_d4_session.h"
#include "protocol/d4_border.h"
#include "protocol/d4_decoder.h"
#include "protocol/d4_handler.h"
#include "protocol/d4_meta.h"
#include "protocol/d4_resp.h"
#include "storage/d4_path.h"
#include "storage/d4_store.h"


#pragma GCC visibility push(hidden)


#define NGX_D4_STEP_BYTES      (1024 * 1024)
#define NGX_D4_STEP_ELEMENTS   8192
#define NGX_D4_DISPATCH_RETRY  1000    /* ms after a step failed */
#define NGX_D4_DISPATCH_LAST   60000   /* ms at most, for a cursor that cannot
                                          be used */
#define NGX_D4_QUEUES_MAX      64      /* of one session */
#define NGX_D4_QUEUES_AGE      2000    /* ms a definition is believed */
#define NGX_D4_ADOPTED         64      /* read back at the same time */
#define NGX_D4_READ_BYTES      (1024 * 1024)   /* enough for one answer */
#define NGX_D4_STATE_NONE      0xffffffff


typedef d4_position_t  ngx_d4_position_t;


#define NGX_D4_QUEUE_NAME      100     /* the longest name of a queue */
#define NGX_D4_QUEUE_MOST      1000000000000ull


typedef struct {                       /* frames that wait to be decoded */
    ngx_queue_t              queue;
    uint64_t                 since;    /* Unix ms; here, and stored */
    d4_batch_t               batch;
} ngx_d4_input_t;


typedef struct {
    ngx_str_t                list;     /* analyzer:<type or ext>:<uuid> */
    ngx_str_t                uuid;     /* part of list */
    uint64_t                 max;
    uint64_t                 max_bytes;
    time_t                   updated;  /* last_updated was written */
    unsigned                 line:1;   /* wants lines where others get paths */
    unsigned                 wrong:1;  /* not a list, and that was said */
} ngx_d4_target_t;


typedef struct {                       /* the queues of one session */
    ngx_uint_t               n;
    ngx_d4_target_t         *targets;
    ngx_msec_t               asked;    /* ngx_current_msec, when answered */
    ngx_atomic_uint_t        generation;
    unsigned                 known:1;
    unsigned                 kept:1;   /* the API's keeper watches them, and
                                          reports what is full or unread */
} ngx_d4_targets_t;


struct ngx_d4_dispatch_s {
    ngx_queue_t              queue;
    ngx_queue_t              input;    /* ngx_d4_input_t.queue */
    ngx_queue_t              fd_queue; /* those with an open file */
    ngx_queue_t              post_queue;

    ngx_d4_session_t        *session;  /* NULL: not of this worker, or over */
    char                     hex[D4_UUID_HEX + 1];
    char                     sid[D4_SID + 1];
    ngx_uint_t               type;     /* of the session; 2 stands for 254 */
    ngx_uint_t               stream;   /* 2, then 254; else type */

    d4_meta_t               *meta;     /* sessions of type 2 */
    const d4_handler_t      *handler;
    ngx_str_t                ext;
    time_t                   ext_seen; /* last_seen was written */
    d4_decoder_t            *decoder;
    uint32_t                 state;    /* version of the committed preamble */

    d4_payloads_t            it;       /* in the first input */
    const u_char            *p;        /* the piece being decoded */
    const u_char            *end;
    ngx_d4_position_t        at;       /* of p */
    ngx_d4_position_t        border;   /* decoded: all before it */
    ngx_d4_position_t        committed;
    d4_border_t              track;    /* of border */
    size_t                   held;     /* of the pool, by input and step */
    uint64_t                 frames;   /* in input, not yet decoded */
    uint64_t                 undone;   /* Unix ms of the oldest frame that is
                                          not committed; 0: none */

    uint64_t                 epoch;
    uint64_t                 seq;      /* of the last commit that was begun */

    /* the file */
    ngx_fd_t                 fd;
    char                    *file;     /* its path below data, or NULL */
    uint64_t                 length;   /* committed */
    time_t                   opened;
    ngx_int_t                day;
    ngx_uint_t               number;   /* to begin with, of its name */
    uint64_t                 inode;    /* of the file, once it is made */
    char                    *former_file;  /* of a former owner, to close */
    uint64_t                 former_length;
    uint64_t                 former_inode;
    uint64_t                 former_known; /* bytes behind the cursor that
                                              the stream has, as far as */
    ngx_d4_position_t        former_at;    /* it was read */
    ngx_uint_t               former_begun;

    /* the step */
    d4_blocks_t              out;      /* for the file */
    d4_words_t               a;        /* elements */
    d4_words_t               b;        /* the same records' lines */
    d4_words_t               commit;   /* the script, whole */
    d4_carry_t               stash;    /* a record that begins a new file */
    size_t                   stash_element;
    ngx_d4_position_t        stash_border;
    d4_blocks_t              lines;    /* for the handler: length, bytes */
    ngx_uint_t               nlines;
    time_t                   lines_at; /* of the first of them */
    ngx_d4_targets_t         targets;
    uint64_t                 elements; /* of the step */
    ngx_uint_t               errors;
    time_t                   started;  /* the session */
    ngx_msec_t               retry_at;
    ngx_msec_t               unusable; /* its cursor; ms to the next try */
    ngx_uint_t               refs;

    /* the stream read back */
    ngx_d4_position_t        read;     /* the last entry that was read */
    ngx_msec_t               read_at;  /* not before */
    size_t                   largest;  /* entry, so far */
    size_t                   parked;   /* 0: no; bytes of its record */
    time_t                   adopted;  /* 0: a session of this worker */
    ngx_pid_t                former_pid;   /* 0: of another host */

    unsigned                 cursor:1;     /* is ours, as far as we know */
    unsigned                 accepting:1;  /* the extended type */

    unsigned                 step:1;       /* there is one */
    unsigned                 sealed:1;     /* commit is what is sent */
    unsigned                 writing:1;    /* a thread is at its file */
    unsigned                 written:1;    /* its file part is on disk */
    unsigned                 create:1;     /* the file does not exist yet */
    unsigned                 owned:1;      /* the cursor knows its inode */
    unsigned                 rotate:1;     /* the file closes with it */
    unsigned                 stashed:1;
    unsigned                 preamble:1;   /* a file begins with it */
    unsigned                 new_meta:1;   /* goes with the commit */
    unsigned                 finish:1;     /* it is the last one */
    unsigned                 done:1;       /* that is committed */
    unsigned                 dropped:1;    /* the stream is */

    unsigned                 reading:1;    /* from the stream */
    unsigned                 read_begun:1;
    unsigned                 waiting:1;    /* for its turn to be read */
    unsigned                 missed:1;     /* something came in meanwhile */
    unsigned                 sealed_stream:1;  /* its end is final */
    unsigned                 foreign:1;    /* of the published server */
    unsigned                 ended:1;      /* nothing comes any more */
    unsigned                 detached:1;   /* its session has another sid */
    unsigned                 retake:1;     /* whoever has it by now */
    unsigned                 rejected:1;
    unsigned                 restart:1;    /* as soon as nothing is under
                                              way */
    unsigned                 retry:1;
    unsigned                 dead:1;
    unsigned                 posted:1;
};


/* ngx_d4_dispatch.c */

/* Does what can be done now. */
void ngx_d4_dispatch_work(ngx_d4_dispatch_t *d);

/* The same, later in this turn of the event loop. */
void ngx_d4_dispatch_post(ngx_d4_dispatch_t *d);

/* An answer came; 1: it was only waited for, and d is gone. */
ngx_uint_t ngx_d4_dispatch_unref(ngx_d4_dispatch_t *d);

/* The step failed: it is tried again in a while. */
void ngx_d4_dispatch_later(ngx_d4_dispatch_t *d);

/*
 * The cursor cannot be used, for want of what: said once, and looked at again
 * now and then, until somebody has mended it.
 */
void ngx_d4_dispatch_unusable(ngx_d4_dispatch_t *d, const char *what);

/* It could not be opened: until then, or soon if that was not the reason. */
void ngx_d4_dispatch_put_off(ngx_d4_dispatch_t *d);

/* Somebody else owns the session. */
void ngx_d4_dispatch_lose(ngx_d4_dispatch_t *d, const char *why);

/* The session is not what it says: it ends, with this Error for its sensor. */
void ngx_d4_dispatch_reject(ngx_d4_dispatch_t *d, const char *reason);

/* sid: D4_SID characters; type 254 counts as 2.  NULL without memory. */
ngx_d4_dispatch_t *ngx_d4_dispatch_create(const char *sid, const char *hex,
    ngx_uint_t type);
void ngx_d4_dispatch_free(ngx_d4_dispatch_t *d);

/* A batch of d's stream joins the input; it is empty afterwards. */
ngx_int_t ngx_d4_dispatch_input(ngx_d4_dispatch_t *d, d4_batch_t *batch);

/* An answer to a script: 1 if it succeeded, else the step waits. */
ngx_uint_t ngx_d4_dispatch_succeeded(ngx_d4_dispatch_t *d, ngx_d4_redis_t *rd,
    redisReply *reply, const char *what);


/* Forgets the step; or all, down to the cursor, which is opened again. */
void ngx_d4_dispatch_drop_step(ngx_d4_dispatch_t *d);
void ngx_d4_dispatch_again(ngx_d4_dispatch_t *d);


/* ngx_d4_dispatch_decode.c: input to a step */

void ngx_d4_dispatch_decode(ngx_d4_dispatch_t *d);

/* n records were none: counted, and logged once for a session. */
void ngx_d4_dispatch_bad(ngx_d4_dispatch_t *d, const char *reason,
    ngx_uint_t n);

/* The calendar that files are named by. */
void ngx_d4_dispatch_time(time_t t, struct tm *tm);

/* 1 when the file has to close: its time or its day is over. */
ngx_uint_t ngx_d4_dispatch_expired(ngx_d4_dispatch_t *d);

/*
 * Makes the decoder of the session's type, as it was when state was committed
 * or, for a new session, with the preamble of another one of its sensor.
 */
ngx_int_t ngx_d4_dispatch_decoder(ngx_d4_dispatch_t *d, redisReply *state,
    redisReply *header);

/* One that knows nothing yet; NULL without memory. */
d4_decoder_t *ngx_d4_dispatch_create_decoder(ngx_d4_dispatch_t *d);


/* ngx_d4_dispatch_meta.c: type 2 */

/* The object is whole: is its type accepted? */
void ngx_d4_dispatch_accept(ngx_d4_dispatch_t *d);

/* Goes on with stream 254; NGX_ERROR without memory. */
ngx_int_t ngx_d4_dispatch_extend(ngx_d4_dispatch_t *d);

/* The object was committed: what is in the stream of type 2 goes. */
void ngx_d4_dispatch_extended(ngx_d4_dispatch_t *d);

/* An owner learns the object, if there is one, from the cursor. */
ngx_int_t ngx_d4_dispatch_recall(ngx_d4_dispatch_t *d, redisReply *meta);
void ngx_d4_dispatch_forget_meta(ngx_d4_dispatch_t *d);

/* The sensor sent something of its extended type. */
void ngx_d4_dispatch_seen(ngx_d4_dispatch_t *d);


/* ngx_d4_dispatch_commit.c: the cursor moves */

void ngx_d4_dispatch_name(ngx_d4_dispatch_t *d);
void ngx_d4_dispatch_commit(ngx_d4_dispatch_t *d);

/* The file goes to be compressed. */
void ngx_d4_dispatch_close_file(ngx_d4_dispatch_t *d);


/* ngx_d4_dispatch_cursor.c: whose it is */

void ngx_d4_dispatch_open(ngx_d4_dispatch_t *d);
void ngx_d4_dispatch_drop(ngx_d4_dispatch_t *d);

/* It is gone: makes it again, or gives the session up. */
void ngx_d4_dispatch_check(ngx_d4_dispatch_t *d);

/* Gives up what is somebody else's by now. */
void ngx_d4_dispatch_verify(ngx_d4_dispatch_t *d);

/* The answer of the script OPEN: NGX_OK, or it is lost or tried again. */
ngx_int_t ngx_d4_dispatch_take(ngx_d4_dispatch_t *d, redisReply *reply);


/* ngx_d4_dispatch_own.c: the file that was made goes to the cursor */

void ngx_d4_dispatch_own(ngx_d4_dispatch_t *d);


/* ngx_d4_dispatch_read.c: the stream read back */

void ngx_d4_dispatch_read(ngx_d4_dispatch_t *d);

/* Tells the published server that its session is rejected, until it ends. */
void ngx_d4_dispatch_tell(ngx_d4_dispatch_t *d);

/*
 * Closes the file of the former owner.  What it has beyond what was committed
 * is set aside unless the stream was found to have it.
 */
void ngx_d4_dispatch_close_former(ngx_d4_dispatch_t *d);


/* ngx_d4_dispatch_room.c: records that have begun, and memory */

/* Bytes of a record that has not ended, and of those that go with it. */
size_t ngx_d4_dispatch_begun(ngx_d4_dispatch_t *d);

/* 1 when there is memory for what is read next, or d is the favourite. */
ngx_uint_t ngx_d4_dispatch_room(ngx_d4_dispatch_t *d);

/* Forgets what is not committed: it is read again, not before its turn. */
void ngx_d4_dispatch_park(ngx_d4_dispatch_t *d);
void ngx_d4_dispatch_unpark(ngx_d4_dispatch_t *d);

/* 1 when one that was parked may go on within the budget. */
ngx_uint_t ngx_d4_dispatch_fits(ngx_d4_dispatch_t *d);

/* If it was the favourite, it is another one's turn. */
void ngx_d4_dispatch_unfavour(ngx_d4_dispatch_t *d);

void ngx_d4_dispatch_room_tick(void);


/* ngx_d4_dispatch_stat.c: what was done */

void ngx_d4_dispatch_count(ngx_uint_t type, ngx_d4_count_id_t what,
    uint64_t n);
void ngx_d4_dispatch_stat_tick(void);

/* The oldest frame that is not committed came then; 0: there is none. */
void ngx_d4_dispatch_undone(ngx_d4_dispatch_t *d, uint64_t ms);

/* All that was decoded is committed. */
void ngx_d4_dispatch_lagged(ngx_d4_dispatch_t *d);


/* ngx_d4_queues.c: where elements go */

/* 1 when what is known is new enough; else it was asked for. */
ngx_uint_t ngx_d4_targets_fresh(ngx_d4_dispatch_t *d);
void ngx_d4_targets_free(ngx_d4_targets_t *t);

/* 1 when a queue wants lines where others get paths. */
ngx_uint_t ngx_d4_targets_lines(ngx_d4_targets_t *t);

/* Asks for the queues of a sensor's type or (ext not empty) extended type. */
ngx_int_t ngx_d4_targets_ask(const char *hex, ngx_uint_t type, ngx_str_t *ext,
    ngx_d4_reply_pt handler, void *data);

/* The answer; NGX_ERROR: it is none, or no memory. */
ngx_int_t ngx_d4_targets_answer(ngx_d4_targets_t *t, ngx_uint_t type,
    ngx_str_t *ext, redisReply *reply);

/*
 * Appends their number and list, max, max_bytes and kind of each; lines: those
 * that want lines get kind b.  0, or -1 without memory.
 */
int ngx_d4_targets_words(ngx_d4_targets_t *t, d4_words_t *w,
    ngx_uint_t lines);

/* What a push said of each: e[0..n-1] are {length, dropped, flags}. */
void ngx_d4_targets_pushed(ngx_d4_targets_t *t, redisReply **e, size_t n,
    ngx_uint_t type);


/* ngx_d4_disk.c: threads */

void ngx_d4_disk_init(void);

/* 1 when the data directory is open. */
ngx_uint_t ngx_d4_disk_ready(void);
d4_store_t *ngx_d4_disk_store(void);

/* The id of the data directory, when it is open. */
extern char  ngx_d4_store_id[D4_STORE_ID + 1];

/*
 * Writes the file part of d's step, in a thread; ngx_d4_dispatch_work() is
 * called when it is done.  NGX_ERROR: not even begun.
 */
ngx_int_t ngx_d4_disk_write(ngx_d4_dispatch_t *d);

/* Closes the file, if it is open. */
void ngx_d4_disk_close(ngx_d4_dispatch_t *d);

/* The absolute path of a file below data; its length. */
size_t ngx_d4_disk_path(u_char *buf, const char *file);

#define NGX_D4_DISK_PATH  (D4_PATH_MAX + NGX_MAX_PATH + 8)

/* A file could not be written, or was: a change is logged. */
void ngx_d4_disk_fails(d4_store_rc_t rc, ngx_err_t err);
void ngx_d4_disk_works(void);
void ngx_d4_disk_tick(void);

/* A task with size bytes for its ctx, zeroed; ngx_free()d when it is done. */
ngx_thread_task_t *ngx_d4_disk_task(size_t size,
    void (*handler)(void *data, ngx_log_t *log), ngx_event_handler_pt done);


/* ngx_d4_closing.c: files to be compressed */

/* <worker> <length> <uuid> <type> <extended type or ->[ <inode>] */
#define NGX_D4_CLOSING_VALUE  (sizeof(ngx_d4_worker.name) + D4_UUID_HEX       \
                               + D4_PATH_NAME + 3 * NGX_INT64_LEN + 9)

void ngx_d4_closing_init(void);

/* The value of a file on the list d4:closing:<store>. */
void ngx_d4_closing_value(char *buf, uint64_t length, const char *hex,
    ngx_uint_t type, ngx_str_t *ext);

#define NGX_D4_CLOSING_ALL  (~(uint64_t) 0)

/*
 * A file that is on the list, in this host's data directory, and is this
 * worker's to close.  length: what was committed of it; known: if it has more
 * bytes than these beyond that, they are kept.  One of which nothing was
 * committed is removed if it is inode, or empty and nobody's, and left if it
 * is any other file of that name.
 */
void ngx_d4_closing_add(const char *file, uint64_t length, uint64_t inode,
    const char *hex, ngx_uint_t type, ngx_str_t *ext, uint64_t known);

void ngx_d4_closing_tick(void);

/* 1 when the file is being closed by this worker. */
ngx_uint_t ngx_d4_closing_known(const char *file);

/* ngx_d4_closing_list.c: files on the list that nobody closes */

void ngx_d4_closing_list_init(void);
void ngx_d4_closing_list_tick(void);


/* ngx_d4_retention.c: files that are not kept any longer */

void ngx_d4_retention_init(void);
void ngx_d4_retention_tick(void);


/* ngx_d4_adopt.c: sessions that nobody dispatches */

void ngx_d4_adopt_init(void);

/* Asks for the cursor of a session of a dead worker, or of nobody's. */
ngx_int_t ngx_d4_adopt(ngx_str_t *sid, ngx_str_t *former, ngx_str_t *uuid,
    ngx_str_t *type, ngx_d4_reply_pt handler, void *data);

/* The answer; former NULL: it was the published server's. */
void ngx_d4_adopted(ngx_str_t *sid, ngx_str_t *former, redisReply *reply);

/* Each tick of the leader. */
void ngx_d4_adopt_tick(void);


#pragma GCC visibility pop

#endif /* _NGX_D4_DISPATCH_H_INCLUDED_ */

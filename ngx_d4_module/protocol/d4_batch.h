
/*
 * A batch of frames as one Redis transaction, written once, as the frames
 * arrive, in the form in which it is sent:
 *
 *   MULTI
 *   XADD stream:<type>:<sid> [NOMKSTREAM] <ms>-<n> message <payload>
 *        uuid <hex> timestamp <decimal> version <decimal>        per frame
 *   ... further commands ...
 *   EXEC
 *
 * The entry fields are those of the published D4 server.  The payload of the
 * frame being received is written behind the last whole frame and taken back
 * if the frame turns out not to be authentic.
 */


#ifndef _D4_BATCH_H_INCLUDED_
#define _D4_BATCH_H_INCLUDED_


#include "d4_block.h"
#include "d4_header.h"


#pragma GCC visibility push(hidden)


#define D4_SID            36           /* a session id: a dashed uuid */


typedef struct {
    d4_blocks_t  out;
    d4_mark_t    border;               /* end of the last whole command */
    uint32_t     commands;             /* whole commands between MULTI, EXEC */
    uint32_t     frames;               /* whole frames */
    uint64_t     bytes;                /* of their payloads */
    uint8_t      open;                 /* a frame is being received */
    uint8_t      sealed;
} d4_batch_t;


void d4_batch_init(d4_batch_t *b, d4_pool_t *pool);

/*
 * Opens a frame that will be entry <ms>-<n> of stream:<type>:<sid>, type as
 * in h; create: the stream may come into being with it, else Redis answers
 * nil when it does not exist.  sid is D4_SID characters.  The batch must be
 * neither open nor sealed.  0, or -1 without memory (batch unchanged).
 */
int d4_batch_begin(d4_batch_t *b, const char *sid, const d4_header_t *h,
    uint64_t ms, uint64_t n, int create);

/* Appends payload to the open frame; h->size bytes in all.  0 or -1. */
int d4_batch_data(d4_batch_t *b, const uint8_t *p, size_t len);

/* Closes the open frame, which counts from now on.  0 or -1 (still open). */
int d4_batch_commit(d4_batch_t *b, const d4_header_t *h);

/* Takes the open frame back, and MULTI with it if it was the first. */
void d4_batch_rollback(d4_batch_t *b);

/*
 * Adds a whole command of argc zero-terminated words behind the frames.  The
 * batch must not be open nor sealed, and not empty.  0 or -1 (unchanged).
 */
int d4_batch_command(d4_batch_t *b, int argc, const char **argv);

/*
 * Moves the open frame, if there is one, into the empty batch next (as begun
 * there) and leaves b with whole commands only.  0 or -1 (both unchanged).
 */
int d4_batch_split(d4_batch_t *b, d4_batch_t *next);

/*
 * Ends the transaction: after it b->commands + 2 replies are to come.  The
 * batch must not be open, nor empty.  0, or -1 without memory (not sealed).
 */
int d4_batch_seal(d4_batch_t *b);

/*
 * Replaces the session id in place: in the keys of the XADD commands, the
 * open one too, and where a whole word of another command is the old id or
 * ends in ":" and it.  Payloads are never touched.  Sealed or not.
 */
void d4_batch_rekey(d4_batch_t *b, const char *from, const char *to);

/* Frees what it holds; empty and usable again. */
void d4_batch_clear(d4_batch_t *b);


/* Goes through the payloads of the whole frames that a batch holds. */

typedef struct {
    d4_block_t  *block;
    uint32_t     pos;
    uint32_t     words;                /* of the entry, behind its payload */
    size_t       left;                 /* bytes of the payload to come */
    size_t       size;                 /* of the payload */
    uint64_t     ms;                   /* the entry's id */
    uint64_t     n;
    unsigned     type;                 /* of its stream */
} d4_payloads_t;

void d4_payloads_init(d4_payloads_t *it, const d4_batch_t *b);

/* On to the next entry: 1, or 0 when there is none. */
int d4_payloads_entry(d4_payloads_t *it);

/*
 * The next piece of the entry's payload, in place, at most max bytes: its
 * length and *p, or 0 when the payload is used up.
 */
size_t d4_payloads_piece(d4_payloads_t *it, const uint8_t **p, size_t max);


#pragma GCC visibility pop

#endif /* _D4_BATCH_H_INCLUDED_ */

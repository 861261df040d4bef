
/*
 * Cuts a byte stream into D4 frames at any split of the input and verifies
 * each frame's HMAC while its bytes pass.  Nothing but the 62 bytes of a
 * partial header is kept: payload is handed out as it arrives, from the
 * caller's own buffer, and only D4_FRAME_END says whether it may be believed.
 */


#ifndef _D4_FRAME_H_INCLUDED_
#define _D4_FRAME_H_INCLUDED_


#include "d4_header.h"
#include "d4_hmac.h"


#pragma GCC visibility push(hidden)


typedef enum {
    D4_FRAME_AGAIN = 0,    /* the input is used up */
    D4_FRAME_HEADER,       /* f->header is whole; set the key, check limits */
    D4_FRAME_DATA,         /* a piece of payload: *data, *len (never 0) */
    D4_FRAME_END           /* the frame is whole; f->authentic tells */
} d4_frame_event_t;


typedef struct {
    d4_header_t      header;       /* valid from HEADER to the next HEADER */
    uint8_t          raw[D4_HEADER_SIZE];
    uint8_t          have;         /* bytes of raw filled */
    uint8_t          state;
    uint8_t          authentic;    /* at END: 1 if the HMAC is right */
    uint32_t         left;         /* payload bytes still to come */
    const d4_key_t  *key;          /* NULL: no frame is authentic */
    d4_hmac_t        hmac;
} d4_frame_t;


/* Starts at a frame border, without a key. */
void d4_frame_init(d4_frame_t *f);

/*
 * Takes input from *p, which it advances, up to end, and returns the next
 * event.  Call until AGAIN; END and HEADER may come without taking input.
 * The caller sets f->key (kept by reference) no later than at HEADER; a header
 * it does not want is its own to refuse: the decoder has no limits.
 */
d4_frame_event_t d4_frame_next(d4_frame_t *f, const uint8_t **p,
    const uint8_t *end, const uint8_t **data, size_t *len);

/*
 * Bytes up to the next border of header or payload: 1..62 within a header, 1
 * or more within a payload, 0 when an event is due without input.  A caller
 * that reads no more than this never holds bytes the decoder did not ask for.
 */
size_t d4_frame_wants(const d4_frame_t *f);

/* 1 when a frame was begun and is not finished, 0 at a frame border. */
int d4_frame_begun(const d4_frame_t *f);


#pragma GCC visibility pop

#endif /* _D4_FRAME_H_INCLUDED_ */

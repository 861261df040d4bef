
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Frame Streams, the reader's side: how dnstap comes through a socket (with a
 * handshake in both directions) or out of a file (without).  The control
 * frames are libfstrm's; nothing here waits.  No input or output of its own.
 */


#ifndef _PDS_FRAMES_H_INCLUDED_
#define _PDS_FRAMES_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include <fstrm.h>


/* two DNS messages of the largest size, and what dnstap says of them */
#define PDS_FRAME_MAX    262140

#define PDS_FRAME_REPLY  (FSTRM_CONTROL_FRAME_LENGTH_MAX + 8)


/* The content of a data frame, valid during the call. */
typedef void (*pds_frame_pt)(void *data, const uint8_t *p, size_t len);


typedef enum {
    PDS_FRAMES_NEW = 0,
    PDS_FRAMES_READY,                  /* READY came, and was accepted */
    PDS_FRAMES_STARTED,
    PDS_FRAMES_STOPPED
} pds_frames_state_t;


typedef struct {
    pds_frame_pt           frame;
    void                  *data;

    uint8_t                reply[PDS_FRAME_REPLY];
    size_t                 reply_len;  /* to be sent to the writer, then 0 */

    struct fstrm_control  *control;
    pds_frames_state_t     state;
    int                    both;       /* directions */
    uint8_t               *buf;        /* of a frame that is not whole */
    size_t                 size;
    size_t                 have;
} pds_frames_t;


/* The caller sets frame and data afterwards. */
void pds_frames_init(pds_frames_t *f);
void pds_frames_free(pds_frames_t *f);

/*
 * Takes what was read.  Returns 0 to go on (after sending the reply), 1 when
 * the writer has stopped, or -1 when this is no dnstap, a frame is too large,
 * or there is no memory.
 */
int pds_frames_add(pds_frames_t *f, const uint8_t *p, size_t len);


#endif /* _PDS_FRAMES_H_INCLUDED_ */

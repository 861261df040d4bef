
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdlib.h>
#include <string.h>

#include "pds_bytes.h"
#include "pds_dnstap.h"
#include "pds_frames.h"


#define PDS_FRAME_BUFFER  4096


static size_t pds_frames_want(const uint8_t *p, size_t have);
static int pds_frames_keep(pds_frames_t *f, size_t size);
static int pds_frames_frame(pds_frames_t *f, const uint8_t *p, size_t len);
static int pds_frames_control(pds_frames_t *f, const uint8_t *p, size_t len);
static int pds_frames_content(pds_frames_t *f);
static int pds_frames_reply(pds_frames_t *f, fstrm_control_type type);


void
pds_frames_init(pds_frames_t *f)
{
    memset(f, 0, sizeof(pds_frames_t));
    f->control = fstrm_control_init();
}


void
pds_frames_free(pds_frames_t *f)
{
    fstrm_control_destroy(&f->control);
    free(f->buf);
    memset(f, 0, sizeof(pds_frames_t));
}


int
pds_frames_add(pds_frames_t *f, const uint8_t *p, size_t len)
{
    size_t  n, want;

    while (len != 0) {

        if (f->state == PDS_FRAMES_STOPPED) {
            return 1;
        }

        if (f->have == 0) {

            /* most frames are whole in what was read */

            want = pds_frames_want(p, len);

            if (want == 0) {
                return -1;
            }

            if (want <= len) {
                if (pds_frames_frame(f, p, want) != 0) {
                    return -1;
                }

                p += want;
                len -= want;
                continue;
            }
        }

        want = (f->have == 0) ? 4 : pds_frames_want(f->buf, f->have);

        if (want == 0) {
            return -1;
        }

        n = (len < want - f->have) ? len : want - f->have;

        if (pds_frames_keep(f, f->have + n) != 0) {
            return -1;
        }

        memcpy(f->buf + f->have, p, n);
        f->have += n;
        p += n;
        len -= n;

        if (pds_frames_want(f->buf, f->have) == f->have) {
            n = f->have;
            f->have = 0;

            if (pds_frames_frame(f, f->buf, n) != 0) {
                return -1;
            }
        }
    }

    return f->state == PDS_FRAMES_STOPPED;
}


/*
 * A frame: its length, then its content; or zero, then the length of a control
 * frame.  Returns the length of it all, or more than have as long as that is
 * not known; 0 when it cannot be.
 */

static size_t
pds_frames_want(const uint8_t *p, size_t have)
{
    size_t  len;

    if (have < 4) {
        return 4;
    }

    len = pds_get32(p);

    if (len != 0) {
        return len > PDS_FRAME_MAX ? 0 : 4 + len;
    }

    if (have < 8) {
        return 8;
    }

    len = pds_get32(p + 4);

    return (len == 0 || len > FSTRM_CONTROL_FRAME_LENGTH_MAX) ? 0 : 8 + len;
}


static int
pds_frames_keep(pds_frames_t *f, size_t size)
{
    size_t    room;
    uint8_t  *buf;

    if (size <= f->size) {
        return 0;
    }

    for (room = PDS_FRAME_BUFFER; room < size; room *= 2) { /* void */ }

    buf = realloc(f->buf, room);

    if (buf == NULL) {
        return -1;
    }

    f->buf = buf;
    f->size = room;

    return 0;
}


static int
pds_frames_frame(pds_frames_t *f, const uint8_t *p, size_t len)
{
    if (pds_get32(p) == 0) {
        return pds_frames_control(f, p, len);
    }

    if (f->state != PDS_FRAMES_STARTED) {
        return -1;
    }

    f->frame(f->data, p + 4, len - 4);

    return 0;
}


static int
pds_frames_control(pds_frames_t *f, const uint8_t *p, size_t len)
{
    fstrm_control_type  type;

    if (fstrm_control_decode(f->control, p, len,
                             FSTRM_CONTROL_FLAG_WITH_HEADER)
        != fstrm_res_success
        || fstrm_control_get_type(f->control, &type) != fstrm_res_success)
    {
        return -1;
    }

    switch (type) {

    case FSTRM_CONTROL_READY:
        if (f->state != PDS_FRAMES_NEW || pds_frames_content(f) != 0) {
            return -1;
        }

        f->state = PDS_FRAMES_READY;
        f->both = 1;

        return pds_frames_reply(f, FSTRM_CONTROL_ACCEPT);

    case FSTRM_CONTROL_START:
        if ((f->state != PDS_FRAMES_NEW && f->state != PDS_FRAMES_READY)
            || pds_frames_content(f) != 0)
        {
            return -1;
        }

        f->state = PDS_FRAMES_STARTED;

        return 0;

    case FSTRM_CONTROL_STOP:
        if (f->state != PDS_FRAMES_STARTED) {
            return -1;
        }

        f->state = PDS_FRAMES_STOPPED;

        return f->both ? pds_frames_reply(f, FSTRM_CONTROL_FINISH) : 0;

    default:
        return -1;
    }
}


/* A frame that names no content is as good as one that names ours. */

static int
pds_frames_content(pds_frames_t *f)
{
    return fstrm_control_match_field_content_type(f->control,
               (const uint8_t *) PDS_DNSTAP_CONTENT,
               sizeof(PDS_DNSTAP_CONTENT) - 1)
           == fstrm_res_success ? 0 : -1;
}


static int
pds_frames_reply(pds_frames_t *f, fstrm_control_type type)
{
    size_t  len;

    fstrm_control_reset(f->control);

    if (fstrm_control_set_type(f->control, type) != fstrm_res_success) {
        return -1;
    }

    if (type == FSTRM_CONTROL_ACCEPT
        && fstrm_control_add_field_content_type(f->control,
               (const uint8_t *) PDS_DNSTAP_CONTENT,
               sizeof(PDS_DNSTAP_CONTENT) - 1)
           != fstrm_res_success)
    {
        return -1;
    }

    len = sizeof(f->reply) - f->reply_len;

    if (fstrm_control_encode(f->control, f->reply + f->reply_len, &len,
                             FSTRM_CONTROL_FLAG_WITH_HEADER)
        != fstrm_res_success)
    {
        return -1;
    }

    f->reply_len += len;

    return 0;
}

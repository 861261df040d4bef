
/*
 * What the decoders of text have in common (d4_lines.c, d4_dnscap.c): records
 * that lie whole in the input are handed out where they are, others are put
 * together in a carry.
 */


#ifndef _D4_TEXT_H_INCLUDED_
#define _D4_TEXT_H_INCLUDED_


#include "d4_decoder.h"


#pragma GCC visibility push(hidden)


typedef struct {
    d4_decoder_t  head;
    d4_carry_t    carry;       /* a record without its end */
    uint8_t       handed;      /* the carry is what was returned last */
} d4_text_t;


/* max 0: D4_RECORD_LINE.  suffix is kept as it is. */
void d4_text_init(d4_text_t *t, const d4_decoder_ops_t *ops, d4_pool_t *pool,
    size_t max, const char *suffix);

/* To begin each call of a decoder with: what was handed out is gone. */
void d4_text_drop(d4_text_t *t);

/*
 * The record is what is carried and the len bytes from *p, which is advanced
 * over them.  RECORD, or NOMEM: then nothing has changed.
 */
d4_decode_t d4_text_take(d4_text_t *t, const uint8_t **p, size_t len,
    d4_record_t *r);

/* Carries the input up to end.  AGAIN, or NOMEM: then nothing has changed. */
d4_decode_t d4_text_keep(d4_text_t *t, const uint8_t **p, const uint8_t *end);

/* Three of the decoder's operations. */
int d4_text_restore(d4_decoder_t *head, const uint8_t *preamble, size_t len,
    int resume);
size_t d4_text_held(const d4_decoder_t *head);
void d4_text_free(d4_decoder_t *head);


#pragma GCC visibility pop

#endif /* _D4_TEXT_H_INCLUDED_ */

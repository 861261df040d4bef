
/*
 * Commands of many words in Redis' protocol (RESP2), written into a buffer
 * that is sent in place: words first, as they come, and then the head that
 * counts them.
 */


#ifndef _D4_RESP_H_INCLUDED_
#define _D4_RESP_H_INCLUDED_


#include "d4_block.h"


#pragma GCC visibility push(hidden)


typedef struct {
    d4_blocks_t  out;
    uint32_t     count;                /* of words */
    size_t       bytes;                /* of the words themselves */
} d4_words_t;


void d4_words_init(d4_words_t *w, d4_pool_t *pool);

/* Appends a word.  0, or -1 without memory: nothing has changed. */
int d4_words_add(d4_words_t *w, const void *p, size_t len);

/* The same with a text that ends with a zero, and with a decimal. */
int d4_words_text(d4_words_t *w, const char *text);
int d4_words_number(d4_words_t *w, uint64_t n);

/* Moves the words of src behind those of w; both are of one pool. */
void d4_words_join(d4_words_t *w, d4_words_t *src);

/*
 * Puts the head of a command of all of w's words in front of them: w->out is
 * then a whole command.  0, or -1 without memory: nothing has changed.
 */
int d4_words_head(d4_words_t *w);

/* Empty and usable again. */
void d4_words_free(d4_words_t *w);


#pragma GCC visibility pop

#endif /* _D4_RESP_H_INCLUDED_ */

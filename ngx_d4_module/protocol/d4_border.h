
/*
 * Positions in a session's stream, which is a row of entries, and the border
 * that a cursor is to name: up to there everything is dealt with.
 *
 * A decoder may hold bytes of entries that are long gone from memory, and the
 * border lies before the first of them, somewhere within an entry.  Which one
 * that is need not be known: a position is so many bytes behind the beginning
 * of an entry, and they may go on in those that follow it.  So two beginnings
 * are remembered, however many entries are held: one not behind the border,
 * and one that takes its place as soon as the border has come to it.
 */


#ifndef _D4_BORDER_H_INCLUDED_
#define _D4_BORDER_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


typedef struct {
    uint64_t       ms;         /* an entry's id */
    uint64_t       n;
    uint64_t       off;        /* bytes of it, and behind it, dealt with */
    uint64_t       resume;     /* 1: a record is yet to be found */
} d4_position_t;


typedef struct {
    d4_position_t  anchor;
    d4_position_t  mark;       /* the later one, if marked */
    uint64_t       anchor_taken;
    uint64_t       mark_taken;
    uint64_t       taken;      /* bytes, by the decoder */
    uint64_t       skip;       /* of what is read again */
    d4_position_t  from;
    int            skipping;
    int            marked;
} d4_border_t;


/* A decoder begins where the cursor says; NULL: with the first entry. */
void d4_border_init(d4_border_t *b, const d4_position_t *cursor);

/*
 * An entry of size bytes comes, and after what d4_border_init() was told: how
 * many of its first bytes were dealt with.
 */
uint64_t d4_border_skip(d4_border_t *b, uint64_t ms, uint64_t n,
    uint64_t size);

/* The decoder, which holds so many bytes, begins with an entry. */
void d4_border_entry(d4_border_t *b, const d4_position_t *at, size_t held);

/* It took len bytes. */
#define d4_border_take(b, len)  ((b)->taken += (len))

/*
 * It holds so many bytes of what it took, up to at: the position of the first
 * of them, with resume 0.
 */
void d4_border_get(d4_border_t *b, const d4_position_t *at, size_t held,
    d4_position_t *border);


#pragma GCC visibility pop

#endif /* _D4_BORDER_H_INCLUDED_ */

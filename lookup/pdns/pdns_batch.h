
/*
 * What is to be written to the store: records are summed by name, type and
 * data (least, greatest time, sum of counts), and become commands that do the
 * same to what the store holds.  All of them commute, so that any number of
 * writers may send any batch in any order; what is sent twice and was not
 * acknowledged counts twice, and changes nothing else.  What another database
 * has counted is not added but kept beside it, so that it may be sent again
 * and again.
 *
 * The life of a batch: add..., commands until all are written, one reply for
 * each command; when pdns_batch_more() says so commands and replies again;
 * reset.
 */


#ifndef _PDNS_BATCH_H_INCLUDED_
#define _PDNS_BATCH_H_INCLUDED_


#include "pdns_hash.h"
#include "pdns_key.h"
#include "pdns_resp.h"


#pragma GCC visibility push(hidden)


typedef struct pdns_batch_s  pdns_batch_t;


typedef struct {                       /* of what was acknowledged */
    uint64_t  records;                 /* new in the store */
    uint64_t  names;
} pdns_added_t;


/* right: keep the index of P: keys as well.  NULL without memory. */
pdns_batch_t *pdns_batch_create(const uint64_t seed[2], int right);
void pdns_batch_free(pdns_batch_t *b);

/*
 * Adds a record, or an error answer whose rcode is one of pdns_rcode_text();
 * copied.  Returns 0, or -1 without memory: it is not in.
 */
int pdns_batch_add(pdns_batch_t *b, const pdns_record_t *r);

/* Distinct records in it, and the bytes it takes. */
size_t pdns_batch_size(const pdns_batch_t *b);
size_t pdns_batch_held(const pdns_batch_t *b);

/*
 * Writes the next commands to out, about max of them or all that are left, and
 * returns how many they are, or -1 without memory.  Indexes of what seen knows
 * are left out.  The last command reads the store's epoch; written is 1 from
 * then on.  If what is written may not be carried out, seen has to be cleared
 * and rewind called before it is written again.
 */
int pdns_batch_commands(pdns_batch_t *b, pdns_seen_t *seen, size_t max,
    d4_blocks_t *out);
int pdns_batch_written(const pdns_batch_t *b);
void pdns_batch_rewind(pdns_batch_t *b);

/*
 * Command i was answered, in their order: with an integer, or 0, or -1 for an
 * error.  A count that was added is not written again after rewind, unless the
 * store may have forgotten it: lost.
 */
void pdns_batch_reply(pdns_batch_t *b, size_t i, long long n);
void pdns_batch_lost(pdns_batch_t *b);

/*
 * All is answered.  changed: the epoch is another one than what seen knows is
 * from, so that its indexes may be gone.  1: those that were left out have to
 * be written, commands() has them now.  0: the batch is done, and seen knows
 * what it wrote.
 */
int pdns_batch_more(pdns_batch_t *b, pdns_seen_t *seen, int changed);

/* What the replies told. */
void pdns_batch_added(const pdns_batch_t *b, pdns_added_t *added);

void pdns_batch_reset(pdns_batch_t *b);


#pragma GCC visibility pop

#endif /* _PDNS_BATCH_H_INCLUDED_ */

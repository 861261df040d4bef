
/*
 * Keys and members of the store.  What stands in braces is the hash tag by
 * which a cluster would place a key: the tag of a name (pdns_name_tag()), so
 * that a name and what lies below it are together, or part of an address.
 *
 *   N:{com.example}www   of a name, each record in three members:
 *                        l + member, its last time; f + member, its first time
 *                        made negative; c + member, its count; b + member,
 *                        what the published database counts besides.  The
 *                        member e, if there is an E: key
 *   E:{com.example}www   what came in besides, see pdns_extra_*
 *   X:{com.example}www   error answers: as in N:, the type that was asked for
 *                        and the rcode in place of data
 *   R:{...}              of data: type + name (+ 0 + type + data, where the
 *                        key is only a name in it), the record's last time
 *   D:{#abcd}digest      the text of long data
 *   W:{com.example}      labels of the names below, reversed; score 0
 *   T:com, U:com:ex      tags below a top-level domain: the first two
 *                        characters; the rest of the tags that begin so
 *   P:examp              names by what they begin with, after a "www."
 *   4:, 4:<2 bytes>      addresses: buckets, the other bytes; and 6:, of 4
 *   H:errors             the X: keys, each with the last time in it
 *   H:epoch              a random text; whoever takes members out of W: T: U:
 *                        P: 4: 6: sets another one before, so that writers
 *                        forget what they have written there
 */


#ifndef _PDNS_KEY_H_INCLUDED_
#define _PDNS_KEY_H_INCLUDED_


#include "pdns_record.h"


#pragma GCC visibility push(hidden)


#define PDNS_KEY         (PDNS_NAME_TEXT + 8)

/* of R: the type twice, a name, data */
#define PDNS_MEMBER_R    (3 + PDNS_NAME_TEXT + 1 + PDNS_MEMBER)

#define PDNS_KEY_EPOCH   "H:epoch"

#define PDNS_BUCKET_4    2
#define PDNS_BUCKET_6    4
#define PDNS_BUCKET_P    5


typedef struct {
    size_t   len;
    uint8_t  data[PDNS_KEY];
} pdns_key_t;


/* kind is N, E or X. */
void pdns_key_name(pdns_key_t *key, char kind, const pdns_name_t *name);

/* The name that an N:, E: or X: key is of.  Returns 0, or -1: it is none. */
int pdns_key_owner(pdns_name_t *name, const uint8_t *key, size_t len);

/* R: of an address of 4 or 16 bytes, of a name, of data as it is. */
void pdns_key_addr(pdns_key_t *key, const uint8_t *addr, size_t len);
void pdns_key_target(pdns_key_t *key, const pdns_name_t *name);
void pdns_key_rdata(pdns_key_t *key, const pdns_rdata_t *r);

/* kind is R or D. */
void pdns_key_digest(pdns_key_t *key, char kind,
    const uint8_t digest[PDNS_DIGEST]);

/*
 * R: the member of a record, at most PDNS_MEMBER_R bytes.  The second one is
 * for whom has its member of N: only; whole: the key is all of the data.
 */
size_t pdns_key_rmember(uint8_t *out, const pdns_name_t *name,
    const pdns_rdata_t *r);
size_t pdns_key_rmember_of(uint8_t *out, const pdns_name_t *name,
    const uint8_t *m, size_t len, int whole);

/*
 * W: of the first tag labels of name.  T: and U: of a top-level domain in key
 * text, and of what follows it in a tag.
 */
void pdns_key_below(pdns_key_t *key, const pdns_name_t *name, unsigned tag);
void pdns_key_tops(pdns_key_t *key, const char *top, size_t len);
void pdns_key_tags(pdns_key_t *key, const char *top, size_t len,
    const char *rest, size_t rest_len);

/* P: of the names that begin with this text. */
void pdns_key_prefix(pdns_key_t *key, const char *text, size_t len);

/* 4: and 6:, the list of buckets, and the bucket of an address. */
void pdns_key_buckets(pdns_key_t *key, size_t alen);
void pdns_key_bucket(pdns_key_t *key, const uint8_t *addr, size_t alen);
size_t pdns_bucket_size(size_t alen);


#pragma GCC visibility pop

#endif /* _PDNS_KEY_H_INCLUDED_ */

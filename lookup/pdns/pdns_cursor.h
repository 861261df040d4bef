
/*
 * Where an answer goes on: behind which record.  Records of one key come with
 * the newest first, those of the same second in descending order of their
 * members; or all in the opposite order.  Keys (of a wildcard or a network)
 * come in ascending order.
 */


#ifndef _PDNS_CURSOR_H_INCLUDED_
#define _PDNS_CURSOR_H_INCLUDED_


#include "pdns_key.h"


#pragma GCC visibility push(hidden)


typedef struct {
    uint64_t  time;                    /* 0: behind all records of the key */
    int       oldest;                  /* 1: the oldest come first */
    size_t    leaf_len;                /* 0: there is only one key */
    size_t    member_len;
    uint8_t   leaf[PDNS_NAME_TEXT];    /* the name or address of the key */
    uint8_t   member[PDNS_MEMBER_R];
} pdns_cursor_t;


#define PDNS_CURSOR_BIN   (12 + PDNS_NAME_TEXT + PDNS_MEMBER_R)
#define PDNS_CURSOR_TEXT  (PDNS_CURSOR_BIN * 4 / 3 + 8)

/* numbers from here on name a cursor that is kept in the store */
#define PDNS_CURSOR_KEPT  (UINT64_C(1) << 62)


/* Compact bytes, at most PDNS_CURSOR_BIN.  Returns their number. */
size_t pdns_cursor_pack(uint8_t *out, const pdns_cursor_t *c);

/* Returns 0, or -1: these bytes are no cursor. */
int pdns_cursor_unpack(pdns_cursor_t *c, const uint8_t *p, size_t len);

/* The same as text fit for a URL (base64url), with a final zero. */
size_t pdns_cursor_text(char out[PDNS_CURSOR_TEXT], const pdns_cursor_t *c);
int pdns_cursor_parse(pdns_cursor_t *c, const char *p, size_t len);

/*
 * The number of a cursor between two seconds of a single key, below
 * PDNS_CURSOR_KEPT: behind all records of c->time and later, or earlier when
 * the oldest come first.  And back; returns 0, or -1.
 */
uint64_t pdns_cursor_number(const pdns_cursor_t *c);
int pdns_cursor_numbered(pdns_cursor_t *c, uint64_t number);

/*
 * 1 when a record of this time and member comes behind the cursor, whose key
 * is that of the record.
 */
int pdns_cursor_behind(const pdns_cursor_t *c, uint64_t time,
    const uint8_t *member, size_t len);


#pragma GCC visibility pop

#endif /* _PDNS_CURSOR_H_INCLUDED_ */

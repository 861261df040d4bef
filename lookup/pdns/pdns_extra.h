
/*
 * What a COF record may hold besides: members of the sorted set E: of its
 * name.  Each is a kind, the length of the record's member, that member, and a
 * text; the score is the last time it came, or the time itself.  Of several
 * texts the last is shown.
 */


#ifndef _PDNS_EXTRA_H_INCLUDED_
#define _PDNS_EXTRA_H_INCLUDED_


#include "pdns_record.h"


#pragma GCC visibility push(hidden)


#define PDNS_EXTRA_BAILIWICK   'b'
#define PDNS_EXTRA_SENSOR      's'
#define PDNS_EXTRA_ORIGIN      'o'
#define PDNS_EXTRA_ZONE_FIRST  'y'     /* made negative, as all firsts are */
#define PDNS_EXTRA_ZONE_LAST   'z'

#define PDNS_EXTRA             (2 + PDNS_MEMBER + PDNS_TEXT_MAX)


/* Writes the member, at most PDNS_EXTRA bytes; returns its length. */
size_t pdns_extra_member(uint8_t *out, char kind, const uint8_t *m, size_t len,
    const pdns_str_t *text);

/* Takes one apart; the parts point into p.  Returns 0, or -1: it is none. */
int pdns_extra_parse(const uint8_t *p, size_t len, char *kind,
    const uint8_t **m, size_t *mlen, pdns_str_t *text);


#pragma GCC visibility pop

#endif /* _PDNS_EXTRA_H_INCLUDED_ */

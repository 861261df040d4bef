
/*
 * Record data in its one canonical form, whatever a sensor, a file or a client
 * wrote: addresses as RFC 5952 has them; the names in the data of types that
 * consist of names (NS, CNAME, PTR, DNAME, MX, SRV, SOA, RP and their like) in
 * the form of pdns_name.h; all else in presentation form as it came, with
 * blanks between words made one space and bytes outside of ASCII as \DDD.
 * Unknown data is "\# length hex" (RFC 3597).
 */


#ifndef _PDNS_RDATA_H_INCLUDED_
#define _PDNS_RDATA_H_INCLUDED_


#include "pdns_name.h"
#include "pdns_type.h"


#pragma GCC visibility push(hidden)


#define PDNS_RDATA_TEXT   65536        /* the longest text and a zero */
#define PDNS_RDATA_SHORT  60           /* longer text is kept by its digest */
#define PDNS_DIGEST       16
#define PDNS_MEMBER       (3 + PDNS_RDATA_SHORT)


typedef struct {
    uint16_t      type;
    uint8_t       alen;                /* 4 or 16: an address; or 0 */
    uint8_t       addr[16];
    unsigned      named:1;             /* name is what it points to */
    unsigned      whole:1;             /* and there is nothing else in it */
    pdns_name_t   name;
    const char   *text;
    size_t        len;
} pdns_rdata_t;


/*
 * Reads p and writes the canonical text with a final zero to buf, where
 * r->text points to.  Returns 0, or -1: no data of this type, or longer than
 * buf.
 */
int pdns_rdata_parse(pdns_rdata_t *r, uint16_t type, const char *p, size_t len,
    char *buf, size_t size);

/* Reads the wire form of len bytes; as pdns_rdata_parse(). */
int pdns_rdata_wire(pdns_rdata_t *r, uint16_t type, const uint8_t *p,
    size_t len, char *buf, size_t size);

/* The first 16 bytes of the text's SHA-256. */
void pdns_digest(uint8_t out[PDNS_DIGEST], const char *text, size_t len);

/*
 * Type and data as they are part of the store's members: the type in one byte
 * (0xff and two bytes for those from 255 on), then the bytes of an address, or
 * the text, or 0xff and the digest of a text above 60 bytes.  Returns the
 * length.
 */
size_t pdns_member(uint8_t out[PDNS_MEMBER], const pdns_rdata_t *r);

/*
 * Takes a member apart: its type, and where its data begins.  Returns 0, or -1
 * when it is none.
 */
int pdns_member_type(uint16_t *type, size_t *at, const uint8_t *m, size_t len);

/*
 * The text of a member's data with a final zero in out; returns its length, or
 * -1 when it is a digest or does not fit.
 */
int pdns_member_text(char *out, size_t size, const uint8_t *m, size_t len);

/* The digest in a member, or NULL when its data is there in full. */
const uint8_t *pdns_member_digest(const uint8_t *m, size_t len);

/* Text of an address of 4 or 16 bytes; returns its length. */
size_t pdns_addr_text(char out[46], const uint8_t *addr, size_t len);


#pragma GCC visibility pop

#endif /* _PDNS_RDATA_H_INCLUDED_ */

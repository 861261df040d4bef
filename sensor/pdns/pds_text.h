
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Text in the presentation form of DNS (RFC 1035 and 3597) into a buffer
 * of fixed size.  Pure.
 *
 * Nothing but printable ASCII is written, and never a "|" out of a name or a
 * string: that is "\124", so that "||" is between two fields and nowhere else.
 */


#ifndef _PDS_TEXT_H_INCLUDED_
#define _PDS_TEXT_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


typedef struct {
    char  *p;                          /* where the next character goes */
    char  *end;
    int    full;                       /* something did not fit */
} pds_text_t;


void pds_text_init(pds_text_t *t, char *buf, size_t size);

/* What is written as it is. */
void pds_text_char(pds_text_t *t, char c);
void pds_text_copy(pds_text_t *t, const char *s, size_t len);
void pds_text_number(pds_text_t *t, uint64_t n);

/* A byte of a quoted string, escaped where it has to be. */
void pds_text_quoted(pds_text_t *t, uint8_t c);

/* An address of family AF_INET or AF_INET6, in network order. */
void pds_text_address(pds_text_t *t, int family, const uint8_t *p);

/* A name of pds_name.h, with its final dot.  Returns what is behind it. */
const uint8_t *pds_text_name(pds_text_t *t, const uint8_t *name);

/*
 * Data of pds_rdata.h by a layout of pds_type.h that has numbers of up to 4
 * bytes, addresses, names and strings only.
 */
void pds_text_fields(pds_text_t *t, const char *layout, const uint8_t *p,
    size_t len);

/* Any data: "\# length hex". */
void pds_text_generic(pds_text_t *t, const uint8_t *p, size_t len);


#endif /* _PDS_TEXT_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * What is known of types, classes and response codes: their names, and how
 * the data of a type is laid out (IANA's registry of DNS parameters and the
 * RFCs it names).  Pure.
 */


#ifndef _PDS_TYPE_H_INCLUDED_
#define _PDS_TYPE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define PDS_TYPE_CNAME  5
#define PDS_TYPE_LOC    29
#define PDS_TYPE_DNAME  39
#define PDS_TYPE_OPT    41
#define PDS_TYPE_RRSIG  46
#define PDS_TYPE_SVCB   64
#define PDS_TYPE_HTTPS  65
#define PDS_TYPE_IXFR   251
#define PDS_TYPE_AXFR   252

#define PDS_CLASS_IN    1

#define PDS_AS_GENERIC  0              /* in the form of RFC 3597 */
#define PDS_AS_FIELDS   0xffff         /* field by field */

#define PDS_RCODES      16
#define PDS_RCODE_OK    0
#define PDS_RCODE_NX    3

#define PDS_NUMBER_TEXT 24             /* any name or number, and a zero */


typedef struct {
    uint16_t     type;
    const char  *name;

    /*
     * One letter a field, NULL: not known, taken as it is.
     *
     *   b h w q   numbers of 1, 2, 4, 8 bytes
     *   i I       addresses of IPv4 and IPv6
     *   n         a name that may be compressed
     *   N         one that is not
     *   s         a character string
     *   S         one or more of them, up to the end
     *   t         one that is not empty: CAA's tag
     *   g         IPSECKEY's gateway, of the kind the field before says
     *   m         a bitmap of types, up to the end
     *   x X       bytes up to the end, X: one or more
     */
    const char  *layout;

    /* as which type the library prints it, or one of PDS_AS_... */
    uint16_t     as;

    /* that layout holds in class IN only */
    uint16_t     in_only;
} pds_type_t;


/* Returns NULL for a type without a name. */
const pds_type_t *pds_type_find(unsigned type);

/*
 * The number of a type, by its name in any case, as TYPEnnn (RFC 3597) or as
 * a decimal number; -1 when it is none.
 */
int pds_type_number(const char *name, size_t len);

/* 1 when records of a type are no data: OPT, TSIG, ANY, ... */
int pds_type_meta(unsigned type);

/* Write a name, or the decimal number of what has none; return the length. */
size_t pds_type_text(char out[PDS_NUMBER_TEXT], unsigned type);
size_t pds_class_text(char out[PDS_NUMBER_TEXT], unsigned class);

/* The same for 0..15, as passivedns spells them; "" for 0. */
size_t pds_rcode_text(char out[PDS_NUMBER_TEXT], unsigned rcode);

/* The number of a response code by its name in any case, -1: none. */
int pds_rcode_number(const char *name, size_t len);


#endif /* _PDS_TYPE_H_INCLUDED_ */

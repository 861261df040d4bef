
/*
 * Resource record types: the mnemonics of IANA's registry, TYPEnnn of RFC 3597
 * and bare numbers.
 */


#ifndef _PDNS_TYPE_H_INCLUDED_
#define _PDNS_TYPE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


#define PDNS_A        1
#define PDNS_NS       2
#define PDNS_MD       3
#define PDNS_MF       4
#define PDNS_CNAME    5
#define PDNS_SOA      6
#define PDNS_MB       7
#define PDNS_MG       8
#define PDNS_MR       9
#define PDNS_PTR      12
#define PDNS_MINFO    14
#define PDNS_MX       15
#define PDNS_TXT      16
#define PDNS_RP       17
#define PDNS_AFSDB    18
#define PDNS_RT       21
#define PDNS_SIG      24
#define PDNS_PX       26
#define PDNS_AAAA     28
#define PDNS_SRV      33
#define PDNS_NAPTR    35
#define PDNS_KX       36
#define PDNS_DNAME    39
#define PDNS_DS       43
#define PDNS_RRSIG    46
#define PDNS_NSEC     47
#define PDNS_DNSKEY   48
#define PDNS_NSEC3    50
#define PDNS_NSEC3PARAM  51
#define PDNS_CDS      59
#define PDNS_CDNSKEY  60
#define PDNS_SVCB     64
#define PDNS_HTTPS    65
#define PDNS_SPF      99
#define PDNS_LP       107
#define PDNS_ANY      255
#define PDNS_TA       32768
#define PDNS_DLV      32769

#define PDNS_TYPE_TEXT  16             /* the longest text and a zero */


/*
 * Reads a mnemonic in any case, TYPEnnn, a decimal number, "ANY" or "*".
 * Returns 0, or -1 when it is none of these or above 65535.
 */
int pdns_type_parse(uint16_t *type, const char *p, size_t len);

/* The mnemonic in upper case, or NULL: the registry has none. */
const char *pdns_type_name(uint16_t type);

/* The mnemonic, or TYPEnnn; returns the length, a zero follows. */
size_t pdns_type_text(char out[PDNS_TYPE_TEXT], uint16_t type);

/* 1 for what DNSDB's "ANY" leaves out and its "ANY-DNSSEC" is made of. */
int pdns_type_dnssec(uint16_t type);


#pragma GCC visibility pop

#endif /* _PDNS_TYPE_H_INCLUDED_ */

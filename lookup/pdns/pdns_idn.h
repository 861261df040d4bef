
/*
 * Internationalised names as people type them: the U-labels of a name in UTF-8
 * become the A-labels that are in DNS (RFC 5891, punycode of RFC 3492).
 */


#ifndef _PDNS_IDN_H_INCLUDED_
#define _PDNS_IDN_H_INCLUDED_


#include <stddef.h>


#pragma GCC visibility push(hidden)


/*
 * Writes the name with its A-labels to out and returns the length, at most
 * size; -1: no valid UTF-8, or a label that becomes too long.  Letters of the
 * Latin, Greek, Cyrillic, Armenian and fullwidth alphabets are lower-cased;
 * the text is otherwise taken as it is, and must be composed (NFC).  The full
 * stops of other scripts separate labels as "." does.  ASCII is copied.
 */
int pdns_idn_ascii(char *out, size_t size, const char *p, size_t len);


#pragma GCC visibility pop

#endif /* _PDNS_IDN_H_INCLUDED_ */

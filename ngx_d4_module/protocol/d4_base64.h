
/*
 * Base64 of RFC 4648 section 4, strictly: nothing but the alphabet, padded.
 */


#ifndef _D4_BASE64_H_INCLUDED_
#define _D4_BASE64_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


/* bytes of room that d4_base64_decode() needs for len characters */
#define d4_base64_room(len)  ((len) / 4 * 3)


/* Decodes len characters: the number of bytes, or -1 if it is not base64. */
ptrdiff_t d4_base64_decode(uint8_t *out, const char *text, size_t len);


#pragma GCC visibility pop

#endif /* _D4_BASE64_H_INCLUDED_ */

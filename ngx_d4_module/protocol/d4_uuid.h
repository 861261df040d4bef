
/*
 * Sensor and session uuids: 16 bytes in RFC 4122 order, 32 lower-case hex
 * digits in Redis keys ("hex"), 36 characters for people ("dashed").
 */


#ifndef _D4_UUID_H_INCLUDED_
#define _D4_UUID_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


#define D4_UUID_HEX       32
#define D4_UUID_DASHED    36


/* Write the text and a final zero: 33 and 37 bytes at out. */
void d4_uuid_hex(char *out, const uint8_t *uuid);
void d4_uuid_dashed(char *out, const uint8_t *uuid);

/*
 * Reads either form in either case, all len bytes of it, into 16 bytes at
 * uuid.  Returns 0, or -1 when the text is no uuid.
 */
int d4_uuid_parse(uint8_t *uuid, const char *text, size_t len);

/* 1 for version 4 of the RFC 4122 variant, else 0. */
int d4_uuid_is_v4(const uint8_t *uuid);


#pragma GCC visibility pop

#endif /* _D4_UUID_H_INCLUDED_ */

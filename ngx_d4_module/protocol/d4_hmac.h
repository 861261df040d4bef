
/*
 * HMAC-SHA-256 (RFC 2104, RFC 6234) with the two key blocks hashed once per
 * key, so that a short frame costs two compressions less and nothing is
 * allocated per frame.
 */


#ifndef _D4_HMAC_H_INCLUDED_
#define _D4_HMAC_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#ifndef OPENSSL_SUPPRESS_DEPRECATED
#define OPENSSL_SUPPRESS_DEPRECATED
#endif

#include <openssl/sha.h>


#pragma GCC visibility push(hidden)


typedef struct {
    SHA256_CTX  inner;
    SHA256_CTX  outer;
} d4_key_t;


typedef struct {
    SHA256_CTX  ctx;
} d4_hmac_t;


/* Prepares a key of any length, raw bytes; the bytes are not kept. */
void d4_key_init(d4_key_t *k, const uint8_t *key, size_t len);

/* Wipes the prepared key. */
void d4_key_clear(d4_key_t *k);

/* One digest: start, any number of updates, final into 32 bytes at out. */
void d4_hmac_start(d4_hmac_t *h, const d4_key_t *k);
void d4_hmac_update(d4_hmac_t *h, const uint8_t *p, size_t len);
void d4_hmac_final(d4_hmac_t *h, const d4_key_t *k, uint8_t *out);

/* 1 when the two digests of 32 bytes are equal, else 0; in constant time. */
int d4_hmac_equal(const uint8_t *a, const uint8_t *b);

/*
 * The digest of a whole frame into 32 bytes at out: D4_HEADER_SIZE bytes of
 * wire header (whatever stands in its hmac field counts as zero), then size
 * bytes of payload.
 */
void d4_hmac_frame(const d4_key_t *k, const uint8_t *header,
    const uint8_t *payload, size_t size, uint8_t *out);


#pragma GCC visibility pop

#endif /* _D4_HMAC_H_INCLUDED_ */

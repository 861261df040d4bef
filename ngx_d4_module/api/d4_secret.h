
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Tokens, keys of sensors and passwords: made, hashed, checked.
 */


#ifndef _D4_SECRET_H_INCLUDED_
#define _D4_SECRET_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


#define D4_TOKEN        46             /* "d4_" and 43 URL-safe characters */
#define D4_TOKEN_OLD    41             /* of the published server */
#define D4_KEY          64             /* URL-safe characters */
#define D4_HASH         64             /* SHA-256 in hex */
#define D4_PASSWORD     30             /* of one that is made */
#define D4_PASSWORD_MIN 10
#define D4_PASSWORD_MAX 72             /* bcrypt reads no more */
#define D4_BCRYPT       60


/* Each writes its characters and a final zero; 0, or -1: no randomness. */
int d4_token_make(char out[D4_TOKEN + 1]);
int d4_key_make(char out[D4_KEY + 1]);

/* A uuid of version 4, 16 bytes. */
int d4_uuid_make(uint8_t *uuid);
int d4_password_make(char out[D4_PASSWORD + 1]);

/* SHA-256 of len bytes as hex and a final zero. */
void d4_hash(char out[D4_HASH + 1], const char *text, size_t len);

/* 1 if the text can be one of our tokens, or one as published. */
int d4_token_ours(const char *text, size_t len);
int d4_token_published(const char *text, size_t len);

/*
 * 1 if the password keeps the rules: 10 to 72 bytes, an upper and a lower
 * case letter and two digits, no NUL.
 */
int d4_password_good(const char *text, size_t len);

/*
 * bcrypt of a password (zero-terminated): takes a good part of a second.
 * Returns 0, or -1: no memory or no randomness.
 */
int d4_password_hash(char out[D4_BCRYPT + 1], const char *password,
    unsigned cost);

/* 1 if it is the password of that hash; any other answer is 0. */
int d4_password_check(const char *password, const char *hash);


#pragma GCC visibility pop

#endif /* _D4_SECRET_H_INCLUDED_ */

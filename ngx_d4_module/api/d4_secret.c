
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_secret.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>


static int d4_secret_text(char *out, size_t n);
static int d4_secret_charset(const char *text, size_t len);


static const char  d4_secret_chars[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";


/* n characters of 6 random bits each, and a final zero. */

static int
d4_secret_text(char *out, size_t n)
{
    size_t   i;
    uint8_t  bytes[D4_KEY];

    if (RAND_bytes(bytes, (int) n) != 1) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        out[i] = d4_secret_chars[bytes[i] & 63];
    }

    out[n] = '\0';

    OPENSSL_cleanse(bytes, sizeof(bytes));

    return 0;
}


int
d4_token_make(char out[D4_TOKEN + 1])
{
    memcpy(out, "d4_", 3);

    return d4_secret_text(out + 3, D4_TOKEN - 3);
}


int
d4_key_make(char out[D4_KEY + 1])
{
    return d4_secret_text(out, D4_KEY);
}


int
d4_password_make(char out[D4_PASSWORD + 1])
{
    do {
        if (d4_secret_text(out, D4_PASSWORD) != 0) {
            return -1;
        }

    } while (!d4_password_good(out, D4_PASSWORD));

    return 0;
}


void
d4_hash(char out[D4_HASH + 1], const char *text, size_t len)
{
    size_t   i;
    uint8_t  digest[SHA256_DIGEST_LENGTH];

    static const char  hex[] = "0123456789abcdef";

    SHA256((const uint8_t *) text, len, digest);

    for (i = 0; i < sizeof(digest); i++) {
        *out++ = hex[digest[i] >> 4];
        *out++ = hex[digest[i] & 15];
    }

    *out = '\0';
}


static int
d4_secret_charset(const char *text, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (text[i] == '\0' || strchr(d4_secret_chars, text[i]) == NULL) {
            return 0;
        }
    }

    return 1;
}


int
d4_token_ours(const char *text, size_t len)
{
    return len == D4_TOKEN && memcmp(text, "d4_", 3) == 0
           && d4_secret_charset(text, len);
}


int
d4_token_published(const char *text, size_t len)
{
    return len == D4_TOKEN_OLD && d4_secret_charset(text, len);
}


int
d4_password_good(const char *text, size_t len)
{
    size_t    i;
    unsigned  upper, lower, digits;

    if (len < D4_PASSWORD_MIN || len > D4_PASSWORD_MAX) {
        return 0;
    }

    upper = 0;
    lower = 0;
    digits = 0;

    for (i = 0; i < len; i++) {
        if (text[i] == '\0') {
            return 0;
        }

        upper += (text[i] >= 'A' && text[i] <= 'Z');
        lower += (text[i] >= 'a' && text[i] <= 'z');
        digits += (text[i] >= '0' && text[i] <= '9');
    }

    return upper >= 1 && lower >= 1 && digits >= 2;
}


int
d4_password_hash(char out[D4_BCRYPT + 1], const char *password, unsigned cost)
{
    char                 salt[CRYPT_GENSALT_OUTPUT_SIZE], *hash;
    uint8_t              random[16];
    struct crypt_data   *data;

    if (RAND_bytes(random, sizeof(random)) != 1
        || crypt_gensalt_rn("$2b$", cost, (char *) random, sizeof(random),
                            salt, sizeof(salt))
           == NULL)
    {
        return -1;
    }

    data = calloc(1, sizeof(struct crypt_data));
    if (data == NULL) {
        return -1;
    }

    hash = crypt_r(password, salt, data);

    if (hash == NULL || strlen(hash) != D4_BCRYPT) {
        hash = NULL;

    } else {
        memcpy(out, hash, D4_BCRYPT + 1);
    }

    OPENSSL_cleanse(data, sizeof(struct crypt_data));
    free(data);

    return hash ? 0 : -1;
}


int
d4_password_check(const char *password, const char *hash)
{
    int                  same;
    char                *made;
    struct crypt_data   *data;

    /* nothing but bcrypt: what else a table holds must not be let in */

    if (strlen(hash) != D4_BCRYPT || memcmp(hash, "$2", 2) != 0) {
        return 0;
    }

    data = calloc(1, sizeof(struct crypt_data));
    if (data == NULL) {
        return 0;
    }

    made = crypt_r(password, hash, data);

    same = made && strlen(made) == D4_BCRYPT
           && CRYPTO_memcmp(made, hash, D4_BCRYPT) == 0;

    OPENSSL_cleanse(data, sizeof(struct crypt_data));
    free(data);

    return same;
}


int
d4_uuid_make(uint8_t *uuid)
{
    if (RAND_bytes(uuid, 16) != 1) {
        return -1;
    }

    uuid[6] = (uint8_t) (0x40 | (uuid[6] & 0x0f));
    uuid[8] = (uint8_t) (0x80 | (uuid[8] & 0x3f));

    return 0;
}

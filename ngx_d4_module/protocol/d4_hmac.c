
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_hmac.h"
#include "d4_header.h"

#include <string.h>

#include <openssl/crypto.h>


static void d4_key_block(SHA256_CTX *ctx, const uint8_t *key, uint8_t pad);


void
d4_key_init(d4_key_t *k, const uint8_t *key, size_t len)
{
    uint8_t     block[SHA256_CBLOCK];
    SHA256_CTX  ctx;

    memset(block, 0, sizeof(block));

    if (len > sizeof(block)) {
        SHA256_Init(&ctx);
        SHA256_Update(&ctx, key, len);
        SHA256_Final(block, &ctx);
        OPENSSL_cleanse(&ctx, sizeof(ctx));

    } else if (len > 0) {
        memcpy(block, key, len);
    }

    d4_key_block(&k->inner, block, 0x36);
    d4_key_block(&k->outer, block, 0x5c);

    OPENSSL_cleanse(block, sizeof(block));
}


static void
d4_key_block(SHA256_CTX *ctx, const uint8_t *key, uint8_t pad)
{
    size_t   i;
    uint8_t  block[SHA256_CBLOCK];

    for (i = 0; i < sizeof(block); i++) {
        block[i] = key[i] ^ pad;
    }

    SHA256_Init(ctx);
    SHA256_Update(ctx, block, sizeof(block));

    OPENSSL_cleanse(block, sizeof(block));
}


void
d4_key_clear(d4_key_t *k)
{
    OPENSSL_cleanse(k, sizeof(d4_key_t));
}


void
d4_hmac_start(d4_hmac_t *h, const d4_key_t *k)
{
    h->ctx = k->inner;
}


void
d4_hmac_update(d4_hmac_t *h, const uint8_t *p, size_t len)
{
    SHA256_Update(&h->ctx, p, len);
}


void
d4_hmac_final(d4_hmac_t *h, const d4_key_t *k, uint8_t *out)
{
    uint8_t  digest[SHA256_DIGEST_LENGTH];

    SHA256_Final(digest, &h->ctx);

    h->ctx = k->outer;
    SHA256_Update(&h->ctx, digest, sizeof(digest));
    SHA256_Final(out, &h->ctx);
}


int
d4_hmac_equal(const uint8_t *a, const uint8_t *b)
{
    return CRYPTO_memcmp(a, b, D4_HMAC_SIZE) == 0;
}


void
d4_hmac_frame(const d4_key_t *k, const uint8_t *header,
    const uint8_t *payload, size_t size, uint8_t *out)
{
    uint8_t    raw[D4_HEADER_SIZE];
    d4_hmac_t  h;

    memcpy(raw, header, D4_HEADER_SIZE);
    memset(raw + D4_HMAC_OFFSET, 0, D4_HMAC_SIZE);

    d4_hmac_start(&h, k);
    d4_hmac_update(&h, raw, D4_HEADER_SIZE);

    if (size > 0) {
        d4_hmac_update(&h, payload, size);
    }

    d4_hmac_final(&h, k, out);
}

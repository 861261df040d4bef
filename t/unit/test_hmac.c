
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit.h"
#include "../../ngx_d4_module/protocol/d4_hmac.h"
#include "../../ngx_d4_module/protocol/d4_header.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>


typedef struct {
    const char  *key;                  /* hex */
    const char  *data;                 /* text */
    const char  *digest;
} hmac_vector_t;


#define HEX_AA_20                                                             \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_AA_131                                                            \
    HEX_AA_20 HEX_AA_20 HEX_AA_20 HEX_AA_20 HEX_AA_20 HEX_AA_20               \
    "aaaaaaaaaaaaaaaaaaaaaa"


/* RFC 4231: test cases 1, 2, 6 and 7 (the last two: a key above 64 bytes) */

static const hmac_vector_t  rfc4231[] = {
    { "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "Hi There",
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
    { "4a656665", "what do ya want for nothing?",
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
    { HEX_AA_131, "Test Using Larger Than Block-Size Key - Hash Key First",
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
    { HEX_AA_131, "This is a test using a larger than block-size key and a "
      "larger than block-size data. The key needs to be hashed before being "
      "used by the HMAC algorithm.",
      "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2" }
};


static void
hmac(uint8_t *out, const uint8_t *key, size_t key_len, const uint8_t *p,
    size_t len)
{
    d4_key_t   k;
    d4_hmac_t  h;

    d4_key_init(&k, key, key_len);
    d4_hmac_start(&h, &k);
    d4_hmac_update(&h, p, len);
    d4_hmac_final(&h, &k, out);
    d4_key_clear(&k);
}


static void
test_rfc4231(void **state)
{
    size_t   i, n;
    uint8_t  key[200], digest[32], out[32];

    (void) state;

    for (i = 0; i < sizeof(rfc4231) / sizeof(rfc4231[0]); i++) {
        n = unit_hex(key, rfc4231[i].key);
        unit_hex(digest, rfc4231[i].digest);

        hmac(out, key, n, (const uint8_t *) rfc4231[i].data,
             strlen(rfc4231[i].data));

        assert_memory_equal(out, digest, 32);
    }
}


/* against libcrypto's own HMAC, for every length around the block size */

static void
test_lengths(void **state)
{
    size_t    i, k, n;
    uint8_t   buf[400], out[32], expected[32];
    unsigned  len;

    (void) state;

    for (i = 0; i < sizeof(buf); i++) {
        buf[i] = (uint8_t) (i * 7 + 3);
    }

    for (k = 0; k <= 140; k++) {
        for (n = 0; n <= 260; n += (n < 130) ? 1 : 13) {
            hmac(out, buf + 1, k, buf, n);

            assert_non_null(HMAC(EVP_sha256(), buf + 1, (int) k, buf, n,
                                 expected, &len));
            assert_memory_equal(out, expected, 32);
        }
    }
}


static void
test_updates(void **state)
{
    size_t     a, b;
    d4_key_t   k;
    d4_hmac_t  h;
    uint8_t    data[150], whole[32], out[32];

    (void) state;

    memset(data, 'x', sizeof(data));
    data[70] = 'y';

    d4_key_init(&k, (const uint8_t *) UNIT_KEY, strlen(UNIT_KEY));
    hmac(whole, (const uint8_t *) UNIT_KEY, strlen(UNIT_KEY), data,
         sizeof(data));

    /* the key is used again and again */

    for (a = 0; a <= sizeof(data); a++) {
        for (b = a; b <= sizeof(data); b++) {
            d4_hmac_start(&h, &k);
            d4_hmac_update(&h, data, a);
            d4_hmac_update(&h, data + a, b - a);
            d4_hmac_update(&h, data + b, sizeof(data) - b);
            d4_hmac_final(&h, &k, out);

            assert_memory_equal(out, whole, 32);
        }
    }
}


static void
test_frames(void **state)
{
    size_t      i, n;
    d4_key_t    k;
    uint8_t     frame[128], out[32], sent[32];
    const char *frames[] = { UNIT_HELLO, UNIT_META, UNIT_EMPTY, UNIT_SENSOR,
                             UNIT_SENSOR_EMPTY };

    (void) state;

    d4_key_init(&k, (const uint8_t *) UNIT_KEY, strlen(UNIT_KEY));

    for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        n = unit_hex(frame, frames[i]);
        memcpy(sent, frame + D4_HMAC_OFFSET, 32);

        d4_hmac_frame(&k, frame, frame + D4_HEADER_SIZE,
                      n - D4_HEADER_SIZE, out);
        assert_memory_equal(out, sent, 32);

        /* what stands in the field does not count */

        memset(frame + D4_HMAC_OFFSET, 0x5a, 32);
        d4_hmac_frame(&k, frame, frame + D4_HEADER_SIZE,
                      n - D4_HEADER_SIZE, out);
        assert_memory_equal(out, sent, 32);

        /* every other byte does */

        frame[0] ^= 1;
        d4_hmac_frame(&k, frame, frame + D4_HEADER_SIZE,
                      n - D4_HEADER_SIZE, out);
        assert_memory_not_equal(out, sent, 32);
    }
}


static void
test_equal(void **state)
{
    size_t   bit;
    uint8_t  a[32], b[32];

    (void) state;

    memset(a, 0x33, sizeof(a));
    memcpy(b, a, sizeof(a));
    assert_int_equal(d4_hmac_equal(a, b), 1);

    for (bit = 0; bit < 256; bit++) {
        b[bit / 8] ^= (uint8_t) (1 << bit % 8);
        assert_int_equal(d4_hmac_equal(a, b), 0);
        b[bit / 8] ^= (uint8_t) (1 << bit % 8);
    }
}


static void
test_clear(void **state)
{
    size_t    i;
    uint8_t   any;
    d4_key_t  k;

    (void) state;

    d4_key_init(&k, (const uint8_t *) UNIT_KEY, strlen(UNIT_KEY));
    d4_key_clear(&k);

    any = 0;

    for (i = 0; i < sizeof(k); i++) {
        any |= ((uint8_t *) &k)[i];
    }

    assert_int_equal(any, 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_rfc4231),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_updates),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

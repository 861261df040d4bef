
#include "d4_base64.h"

#include <limits.h>

#include <openssl/evp.h>


static int d4_base64_digit(char c);


ptrdiff_t
d4_base64_decode(uint8_t *out, const char *text, size_t len)
{
    int     n;
    size_t  i, pad;

    if (len % 4 != 0 || len > INT_MAX) {
        return -1;
    }

    if (len == 0) {
        return 0;
    }

    pad = (text[len - 1] == '=') + (text[len - 1] == '='
                                    && text[len - 2] == '=');

    /* OpenSSL takes more than this, such as white space */

    for (i = 0; i < len - pad; i++) {
        if (!d4_base64_digit(text[i])) {
            return -1;
        }
    }

    n = EVP_DecodeBlock(out, (const unsigned char *) text, (int) len);

    return (n < 0) ? -1 : n - (ptrdiff_t) pad;
}


static int
d4_base64_digit(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
           || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

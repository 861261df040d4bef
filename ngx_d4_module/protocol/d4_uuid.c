
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_uuid.h"

#include <string.h>


static int d4_uuid_digit(char c);


static const char  d4_uuid_digits[] = "0123456789abcdef";


void
d4_uuid_hex(char *out, const uint8_t *uuid)
{
    int  i;

    for (i = 0; i < 16; i++) {
        *out++ = d4_uuid_digits[uuid[i] >> 4];
        *out++ = d4_uuid_digits[uuid[i] & 15];
    }

    *out = '\0';
}


void
d4_uuid_dashed(char *out, const uint8_t *uuid)
{
    int  i;

    for (i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *out++ = '-';
        }

        *out++ = d4_uuid_digits[uuid[i] >> 4];
        *out++ = d4_uuid_digits[uuid[i] & 15];
    }

    *out = '\0';
}


int
d4_uuid_parse(uint8_t *uuid, const char *text, size_t len)
{
    int      i, dashed, high, low;
    uint8_t  bytes[16];

    if (len != D4_UUID_HEX && len != D4_UUID_DASHED) {
        return -1;
    }

    dashed = (len == D4_UUID_DASHED);

    for (i = 0; i < 16; i++) {
        if (dashed && (i == 4 || i == 6 || i == 8 || i == 10)
            && *text++ != '-')
        {
            return -1;
        }

        high = d4_uuid_digit(*text++);
        low = d4_uuid_digit(*text++);

        if (high < 0 || low < 0) {
            return -1;
        }

        bytes[i] = (uint8_t) (high << 4 | low);
    }

    memcpy(uuid, bytes, sizeof(bytes));

    return 0;
}


static int
d4_uuid_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }

    return -1;
}


int
d4_uuid_is_v4(const uint8_t *uuid)
{
    return (uuid[6] & 0xf0) == 0x40 && (uuid[8] & 0xc0) == 0x80;
}

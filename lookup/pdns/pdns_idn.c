
#include "pdns_idn.h"

#include <stdint.h>
#include <string.h>


/* RFC 3492, section 5 */
#define IDN_BASE     36
#define IDN_TMIN     1
#define IDN_TMAX     26
#define IDN_SKEW     38
#define IDN_DAMP     700
#define IDN_BIAS     72
#define IDN_N        128

#define IDN_LABEL    63                /* more characters cannot fit */


static int idn_label(char *out, size_t size, const uint32_t *cp, size_t n);
static int idn_punycode(char *out, size_t size, const uint32_t *cp, size_t n);
static int idn_decode(uint32_t *cp, const char **pp, const char *end);
static uint32_t idn_lower(uint32_t c);


int
pdns_idn_ascii(char *out, size_t size, const char *p, size_t len)
{
    int          rc;
    size_t       n, used;
    uint32_t     c, cp[IDN_LABEL];
    const char  *end;

    end = p + len;
    used = 0;
    n = 0;

    while (p < end) {

        if (idn_decode(&c, &p, end) != 0) {
            return -1;
        }

        if (c != '.' && c != 0x3002 && c != 0xff0e && c != 0xff61) {

            if (n == IDN_LABEL) {
                return -1;
            }

            cp[n++] = c;
            continue;
        }

        rc = idn_label(out + used, size - used, cp, n);

        if (rc < 0 || used + (size_t) rc == size) {
            return -1;
        }

        used += (size_t) rc;
        out[used++] = '.';
        n = 0;
    }

    rc = idn_label(out + used, size - used, cp, n);

    return (rc < 0) ? -1 : (int) used + rc;
}


/* ASCII stays as it is, case and escapes included. */

static int
idn_label(char *out, size_t size, const uint32_t *cp, size_t n)
{
    int       rc;
    size_t    i;
    uint32_t  lower[IDN_LABEL];

    for (i = 0; i < n && cp[i] < 128; i++) { /* void */ }

    if (i < n) {
        for (i = 0; i < n; i++) {
            lower[i] = idn_lower(cp[i]);
        }

        cp = lower;

        for (i = 0; i < n && cp[i] < 128; i++) { /* void */ }
    }

    if (i == n) {
        if (n > size) {
            return -1;
        }

        for (i = 0; i < n; i++) {
            out[i] = (char) cp[i];
        }

        return (int) n;
    }

    if (size < 4) {
        return -1;
    }

    memcpy(out, "xn--", 4);

    rc = idn_punycode(out + 4, size - 4, cp, n);

    return (rc < 0 || rc + 4 > IDN_LABEL) ? -1 : rc + 4;
}


static char
idn_digit(uint32_t d)
{
    return (char) (d < 26 ? 'a' + d : '0' + d - 26);
}


static uint32_t
idn_adapt(uint32_t delta, uint32_t points, int first)
{
    uint32_t  k;

    delta = first ? delta / IDN_DAMP : delta / 2;
    delta += delta / points;

    for (k = 0; delta > (IDN_BASE - IDN_TMIN) * IDN_TMAX / 2; k += IDN_BASE) {
        delta /= IDN_BASE - IDN_TMIN;
    }

    return k + (IDN_BASE - IDN_TMIN + 1) * delta / (delta + IDN_SKEW);
}


/*
 * At most 63 characters below 0x110000: delta stays below 0x110000 * 64, far
 * from the overflow that RFC 3492 warns of.
 */

static int
idn_punycode(char *out, size_t size, const uint32_t *cp, size_t len)
{
    size_t    i, used;
    uint32_t  n, m, q, k, t, delta, bias, done, basic;

    used = 0;

    for (i = 0; i < len; i++) {
        if (cp[i] < 128) {
            if (used == size) {
                return -1;
            }

            out[used++] = (char) cp[i];
        }
    }

    basic = (uint32_t) used;
    done = basic;

    if (basic > 0) {
        if (used == size) {
            return -1;
        }

        out[used++] = '-';
    }

    n = IDN_N;
    bias = IDN_BIAS;
    delta = 0;

    while (done < len) {
        m = UINT32_MAX;

        for (i = 0; i < len; i++) {
            if (cp[i] >= n && cp[i] < m) {
                m = cp[i];
            }
        }

        delta += (m - n) * (done + 1);
        n = m;

        for (i = 0; i < len; i++) {

            if (cp[i] < n) {
                delta++;
            }

            if (cp[i] != n) {
                continue;
            }

            q = delta;

            for (k = IDN_BASE; ; k += IDN_BASE) {
                t = (k <= bias) ? IDN_TMIN
                    : (k >= bias + IDN_TMAX) ? IDN_TMAX : k - bias;

                if (used == size) {
                    return -1;
                }

                if (q < t) {
                    break;
                }

                out[used++] = idn_digit(t + (q - t) % (IDN_BASE - t));
                q = (q - t) / (IDN_BASE - t);
            }

            out[used++] = idn_digit(q);
            bias = idn_adapt(delta, done + 1, done == basic);
            delta = 0;
            done++;
        }

        delta++;
        n++;
    }

    return (int) used;
}


/* RFC 3629: no overlong form, no surrogate, nothing above 0x10ffff. */

static int
idn_decode(uint32_t *cp, const char **pp, const char *end)
{
    size_t         i, n;
    uint32_t       c, least;
    const uint8_t *p;

    p = (const uint8_t *) *pp;
    c = *p;

    if (c < 0x80) {
        n = 0;
        least = 0;

    } else if (c >= 0xc2 && c < 0xe0) {
        n = 1;
        c &= 0x1f;
        least = 0x80;

    } else if (c >= 0xe0 && c < 0xf0) {
        n = 2;
        c &= 0x0f;
        least = 0x800;

    } else if (c >= 0xf0 && c < 0xf5) {
        n = 3;
        c &= 0x07;
        least = 0x10000;

    } else {
        return -1;
    }

    if ((size_t) (end - *pp) < n + 1) {
        return -1;
    }

    for (i = 1; i <= n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return -1;
        }

        c = c << 6 | (p[i] & 0x3f);
    }

    if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return -1;
    }

    *cp = c;
    *pp += n + 1;

    return 0;
}


static uint32_t
idn_lower(uint32_t c)
{
    if (c >= 0xff01 && c <= 0xff5e) {
        c -= 0xfee0;                   /* fullwidth ASCII */
    }

    if (c >= 'A' && c <= 'Z') {
        return c + 32;
    }

    if (c < 0xc0) {
        return c;
    }

    if (c <= 0xde) {
        return (c == 0xd7) ? c : c + 32;
    }

    if (c >= 0x100 && c <= 0x17f) {

        /* pairs, upper case first; which is the even one changes twice */

        if (c == 0x130) {
            return 'i';
        }

        if (c == 0x178) {
            return 0xff;
        }

        if ((c >= 0x139 && c <= 0x148) || c >= 0x179) {
            return (c & 1) && c != 0x17f ? c + 1 : c;
        }

        return (c == 0x138 || c == 0x149) ? c : c | 1;
    }

    if (c >= 0x391 && c <= 0x3ab && c != 0x3a2) {
        return c + 32;                 /* Greek */
    }

    switch (c) {

    case 0x386:
        return 0x3ac;

    case 0x388:
    case 0x389:
    case 0x38a:
        return c + 37;

    case 0x38c:
        return 0x3cc;

    case 0x38e:
    case 0x38f:
        return c + 63;

    default:
        break;
    }

    if (c >= 0x400 && c <= 0x40f) {
        return c + 80;                 /* Cyrillic */
    }

    if (c >= 0x410 && c <= 0x42f) {
        return c + 32;
    }

    if ((c >= 0x460 && c <= 0x481) || (c >= 0x48a && c <= 0x4bf)
        || (c >= 0x4d0 && c <= 0x52f) || (c >= 0x1e00 && c <= 0x1e95)
        || (c >= 0x1ea0 && c <= 0x1eff))
    {
        return c | 1;
    }

    if (c >= 0x531 && c <= 0x556) {
        return c + 48;                 /* Armenian */
    }

    return c;
}

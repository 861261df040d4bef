
/*
 * The packet-shaped decoders: any split of the input gives the same records,
 * skips and preambles, all of the input is accounted for, little is held, and
 * from every border on a decoder that is restored there gives the same.  The
 * first byte chooses the type and whether another session is resumed, the next
 * two the sizes of the pieces, the fourth how much of the input is what was
 * received before and gives the preamble.
 */


#include <stdio.h>

#define DECODE_REQUIRE(truth)                                                 \
    if (!(truth)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #truth);           \
        abort();                                                              \
    }

#include "../unit/decode.h"


static const decode_create_t  create[] = {
    d4_pcap_create,
    d4_pcapng_create,
    d4_ipfix_create,
    d4_capture_create
};


/* The border where input was cut, for another session to go on from. */

static void
before(decode_create_t make, const uint8_t *p, size_t len, decode_t *t)
{
    memset(t, 0, sizeof(decode_t));
    t->watch = 1;
    decode_all(t, make, NULL, p, len, 0, 0);
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t size)
{
    size_t            first, second, cut;
    decode_t          past, whole, split;
    decode_border_t   b, *from;
    decode_create_t   make;

    if (size < 4 || size > 65536) {
        return 0;
    }

    make = create[(p[0] & 0x7f) % 4];
    first = p[1];
    second = p[2];
    cut = 0;
    from = NULL;
    memset(&past, 0, sizeof(decode_t));

    p += 4;
    size -= 4;

    if (p[-4] & 0x80) {
        cut = p[-1] < size ? p[-1] : size;
        before(make, p, cut, &past);

        if (past.rejected) {
            decode_clear(&past);
            return 0;
        }

        if (past.n) {
            b = past.borders[past.n - 1];
            b.resume = 1;
            from = &b;
        }
    }

    memset(&whole, 0, sizeof(decode_t));
    whole.watch = 1;
    decode_all(&whole, make, from, p + cut, size - cut, 0, 0);

    memset(&split, 0, sizeof(decode_t));
    split.watch = 1;
    decode_all(&split, make, from, p + cut, size - cut, first ? first : 1000,
               second ? second : 3000);

    DECODE_REQUIRE(whole.held <= DECODE_HELD_MAX);
    DECODE_REQUIRE(split.held <= DECODE_HELD_MAX);

    decode_same(&whole, 0, &split);

    if (size < 4096) {
        decode_borders(&whole, make, p + cut, size - cut, 0);
        decode_borders(&split, make, p + cut, size - cut, 50);
    }

    decode_clear(&whole);
    decode_clear(&split);
    decode_clear(&past);

    return 0;
}

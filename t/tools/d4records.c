
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * d4records lines|dnscap PIECE
 *
 * Runs a decoder of text over standard input, which it hands over in pieces of
 * PIECE bytes, and writes a line for each record: its length, the length of
 * its element, 1 if it was cut, and how much of the input had been seen when
 * it came.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../ngx_d4_module/protocol/d4_decoder.h"


static void
show(const d4_record_t *r, size_t seen)
{
    if (printf("%zu %zu %d %zu\n", r->len, r->element, r->cut, seen) < 0) {
        exit(1);
    }
}


static d4_decoder_t *
decoder(const char *name, d4_pool_t *pool)
{
    d4_decoder_t  *d;

    if (strcmp(name, "lines") == 0) {
        d = d4_lines_create(pool, 0, ".txt");

    } else if (strcmp(name, "dnscap") == 0) {
        d = d4_dnscap_create(pool, 0);

    } else {
        fprintf(stderr, "d4records: no decoder \"%s\"\n", name);
        exit(2);
    }

    if (d == NULL) {
        exit(1);
    }

    return d;
}


int
main(int argc, char **argv)
{
    size_t          piece, n, seen;
    uint8_t        *buf;
    d4_pool_t       pool;
    d4_decode_t     rc;
    d4_record_t     r;
    d4_decoder_t   *d;
    const uint8_t  *p;

    piece = (argc == 3) ? strtoul(argv[2], NULL, 10) : 0;

    if (piece == 0) {
        fprintf(stderr, "usage: d4records lines|dnscap PIECE\n");
        return 2;
    }

    d4_pool_init(&pool, 0);
    d = decoder(argv[1], &pool);

    buf = malloc(piece);
    if (buf == NULL) {
        return 1;
    }

    seen = 0;

    while ((n = fread(buf, 1, piece, stdin)) != 0) {
        seen += n;
        p = buf;

        while ((rc = d4_decoder_next(d, &p, buf + n, &r)) == D4_DECODE_RECORD)
        {
            show(&r, seen);
        }

        if (rc != D4_DECODE_AGAIN) {
            return 1;
        }
    }

    while (d4_decoder_finish(d, &r) == D4_DECODE_RECORD) {
        show(&r, seen);
    }

    d4_decoder_free(d);
    free(buf);

    return ferror(stdin) || fflush(stdout) != 0;
}

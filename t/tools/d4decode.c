
/*
 * A capture from standard input to files, as the dispatcher would write it:
 *
 *     d4decode TYPE PIECE PREFIX SIZE[,SIZE...] [PREAMBLE] < INPUT
 *
 * Input is taken PIECE bytes at a time.  Files are PREFIX.000 and so on, each
 * begins with the preamble and ends between two records once it has SIZE
 * bytes; the sizes take turns.  PREAMBLE is a file that another run left as
 * PREFIX.preamble: another session that goes on.
 *
 * Prints what was skipped or rejected and why; nothing is nothing.
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../ngx_d4_module/protocol/d4_decoder.h"


#define MAX_SIZES  64


typedef struct {
    d4_decoder_t  *decoder;
    const char    *prefix;
    FILE          *file;
    size_t         len;
    unsigned       number;
    unsigned       n;
    size_t         sizes[MAX_SIZES];
} out_t;


static const struct {
    int            type;
    d4_decoder_t  *(*create)(d4_pool_t *pool, size_t max);
} types[] = {
    { 1, d4_capture_create },
    { 5, d4_pcapng_create },
    { 7, d4_ipfix_create }
};


static void
die(const char *what)
{
    fprintf(stderr, "d4decode: %s: %s\n", what, strerror(errno));
    exit(1);
}


static FILE *
named(const out_t *o, const char *suffix)
{
    FILE  *f;
    char   name[4096];

    snprintf(name, sizeof(name), "%s.%s", o->prefix, suffix);

    f = fopen(name, "w");
    if (f == NULL) {
        die(name);
    }

    return f;
}


static void
put(FILE *f, const uint8_t *p, size_t len)
{
    if (len != 0 && fwrite(p, len, 1, f) != 1) {
        die("write");
    }
}


static void
done(out_t *o)
{
    if (o->file != NULL && fclose(o->file) != 0) {
        die("close");
    }

    o->file = NULL;
}


static void
record(out_t *o, const d4_record_t *r)
{
    char  number[16];

    if (r->fresh || o->len >= o->sizes[o->number % o->n]) {
        done(o);
    }

    if (r->len == 0) {
        return;
    }

    if (o->file == NULL) {
        snprintf(number, sizeof(number), "%03u", o->number++);
        o->file = named(o, number);
        o->len = o->decoder->preamble_len;
        put(o->file, o->decoder->preamble, o->len);
    }

    put(o->file, r->data, r->len);
    o->len += r->len;
}


/* 1 to go on, 0 when it is over. */

static int
event(out_t *o, d4_decode_t rc, const d4_record_t *r)
{
    switch (rc) {

    case D4_DECODE_AGAIN:
        return 0;

    case D4_DECODE_RECORD:
        record(o, r);
        return 1;

    case D4_DECODE_SKIP:
        printf("skip %zu %s\n", r->len, r->reason);
        return 1;

    case D4_DECODE_REJECT:
        printf("reject %s\n", r->reason);
        return 0;

    default:
        die("memory");
        return 0;
    }
}


static void
restore(d4_decoder_t *d, const char *name)
{
    FILE            *f;
    size_t           len;
    static uint8_t   preamble[D4_PREAMBLE_MAX];

    f = fopen(name, "r");
    if (f == NULL) {
        die(name);
    }

    len = fread(preamble, 1, sizeof(preamble), f);
    fclose(f);

    if (d4_decoder_restore(d, preamble, len, 1) != 0) {
        errno = EINVAL;
        die(name);
    }
}


static void
run(out_t *o, size_t piece)
{
    size_t          n;
    uint8_t        *buf;
    d4_decode_t     rc;
    d4_record_t     r;
    const uint8_t  *p;

    buf = malloc(piece);
    if (buf == NULL) {
        die("memory");
    }

    rc = D4_DECODE_AGAIN;

    while (rc == D4_DECODE_AGAIN && (n = fread(buf, 1, piece, stdin)) != 0) {
        p = buf;

        do {
            rc = d4_decoder_next(o->decoder, &p, buf + n, &r);
        } while (event(o, rc, &r));
    }

    if (rc == D4_DECODE_AGAIN) {
        do {
            rc = d4_decoder_finish(o->decoder, &r);
        } while (event(o, rc, &r));
    }

    done(o);
    free(buf);
}


int
main(int argc, char **argv)
{
    char       *p;
    FILE       *f;
    out_t       o;
    size_t      i;
    d4_pool_t   pool;

    if (argc < 5 || argc > 6 || atoi(argv[2]) < 1) {
        fprintf(stderr, "usage: d4decode TYPE PIECE PREFIX SIZE[,SIZE...] "
                        "[PREAMBLE] < INPUT\n");
        return 2;
    }

    memset(&o, 0, sizeof(out_t));
    d4_pool_init(&pool, 0);

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (types[i].type == atoi(argv[1])) {
            o.decoder = types[i].create(&pool, 0);
        }
    }

    if (o.decoder == NULL) {
        errno = EINVAL;
        die("type");
    }

    o.prefix = argv[3];

    for (p = strtok(argv[4], ","); p != NULL && o.n < MAX_SIZES;
         p = strtok(NULL, ","))
    {
        o.sizes[o.n++] = strtoul(p, NULL, 10);
    }

    if (o.n == 0) {
        errno = EINVAL;
        die("sizes");
    }

    if (argc == 6) {
        restore(o.decoder, argv[5]);
    }

    run(&o, strtoul(argv[2], NULL, 10));

    f = named(&o, "preamble");
    put(f, o.decoder->preamble, o.decoder->preamble_len);

    if (fclose(f) != 0) {
        die("close");
    }

    d4_decoder_free(o.decoder);

    return 0;
}

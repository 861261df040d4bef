
#include "d4_units.h"

#include <string.h>


#define D4_UNITS_RUN     65536          /* where a run of units ends */
#define D4_UNITS_SKIP    65536          /* of no use: skipped in such parts */
#define D4_UNITS_AHEAD   (1024 * 1024)  /* what may prove a border */
#define D4_UNITS_BITE    16384          /* held at once while searching */
#define D4_UNITS_RETURN  65536          /* given back at once */


typedef enum {
    D4_PROOF_OPEN = 0,
    D4_PROOF_GIVEN,
    D4_PROOF_FAILED
} d4_proof_t;


static d4_decode_t d4_units_step(d4_units_t *u, const uint8_t **p,
    const uint8_t *end, d4_record_t *r);
static void d4_units_tidy(d4_units_t *u);
static int d4_units_walk(d4_units_t *u, const uint8_t **p,
    const uint8_t *end, d4_record_t *r, d4_decode_t *rc);
static int d4_units_ready(const d4_units_t *u, size_t rest, const uint8_t *p);
static int d4_units_returns(const d4_units_t *u, size_t len, const uint8_t *p);
static d4_unit_t d4_units_whole(d4_units_t *u, const uint8_t *data,
    size_t len, int held, size_t *size);
static d4_decode_t d4_units_record(d4_units_t *u, const uint8_t **p,
    const uint8_t *data, size_t size, d4_record_t *r);
static int d4_units_more(d4_units_t *u, size_t size, const uint8_t **p,
    const uint8_t *end, d4_record_t *r, d4_decode_t *rc);
static int d4_units_odd(d4_units_t *u, d4_unit_t what, const uint8_t **p,
    const uint8_t *end, d4_record_t *r, d4_decode_t *rc);
static int d4_units_search(d4_units_t *u, const uint8_t **p,
    const uint8_t *end, d4_record_t *r, d4_decode_t *rc);
static d4_proof_t d4_units_proof(d4_units_t *u, const uint8_t *p, size_t len,
    size_t *need);
static void d4_units_skip(d4_units_t *u, size_t len, const char *reason,
    d4_record_t *r);
static int d4_units_hold(d4_units_t *u, size_t len, const uint8_t **p,
    const uint8_t *end);


void
d4_units_init(d4_units_t *u, const d4_units_format_t *format,
    const d4_decoder_ops_t *ops, const char *suffix, d4_pool_t *pool,
    size_t max)
{
    memset(u, 0, sizeof(d4_units_t));

    u->decoder.ops = ops;
    u->decoder.suffix = suffix;
    u->decoder.max = max ? max : D4_RECORD_FILE;
    u->decoder.pool = pool;
    u->format = format;

    d4_carry_init(&u->carry, pool);
}


void
d4_units_restored(d4_units_t *u, int resume)
{
    u->begun = !resume;
    u->resume = (resume != 0);
    u->fresh = u->resume;
    u->decoder.preamble_version++;
}


void
d4_units_free(d4_units_t *u)
{
    d4_carry_free(&u->carry);
    u->pos = 0;
}


d4_decode_t
d4_units_next(d4_decoder_t *d, const uint8_t **p, const uint8_t *end,
    d4_record_t *r)
{
    return d4_units_step((d4_units_t *) d, p, end, r);
}


d4_decode_t
d4_units_finish(d4_decoder_t *d, d4_record_t *r)
{
    d4_units_t     *u = (d4_units_t *) d;
    const uint8_t  *p;

    if (u->rejected) {
        return D4_DECODE_AGAIN;
    }

    u->eof = 1;
    p = (const uint8_t *) "";

    return d4_units_step(u, &p, p, r);
}


size_t
d4_units_held(const d4_decoder_t *d)
{
    const d4_units_t  *u = (const d4_units_t *) d;

    return u->carry.len - u->pos;
}


static d4_decode_t
d4_units_step(d4_units_t *u, const uint8_t **p, const uint8_t *end,
    d4_record_t *r)
{
    int          done;
    d4_decode_t  rc;

    memset(r, 0, sizeof(d4_record_t));

    if (u->rejected) {
        r->reason = u->reason;
        return D4_DECODE_REJECT;
    }

    d4_units_tidy(u);
    u->piece = *p;

    do {
        done = u->searching ? d4_units_search(u, p, end, r, &rc)
                            : d4_units_walk(u, p, end, r, &rc);
    } while (!done);

    return rc;
}


/*
 * What was handed out is no longer used.  The rest moves only when it is not
 * the larger part: a byte is moved once on average, however much comes out of
 * what is held.
 */

static void
d4_units_tidy(d4_units_t *u)
{
    size_t  rest;

    rest = u->carry.len - u->pos;

    if (rest == 0) {
        d4_carry_clear(&u->carry);
        u->pos = 0;

    } else if (u->pos >= rest) {
        memmove(u->carry.data, u->carry.data + u->pos, rest);
        u->carry.len = rest;
        u->pos = 0;
    }
}


/* One event from a border on: 1 and *rc, or 0 when there is more to do. */

static int
d4_units_walk(d4_units_t *u, const uint8_t **p, const uint8_t *end,
    d4_record_t *r, d4_decode_t *rc)
{
    int             held;
    size_t          len, size;
    d4_unit_t       what;
    const uint8_t  *data;

    len = u->carry.len - u->pos;
    held = (len != 0);

    if (held) {
        data = u->carry.data + u->pos;

    } else {
        data = *p;
        len = end - *p;
        u->whole = 0;
    }

    if (len == 0) {
        *rc = D4_DECODE_AGAIN;
        return 1;
    }

    u->reason = NULL;
    what = d4_units_whole(u, data, len, held, &size);

    if (what == D4_UNIT_MORE
        && (u->whole == 0
            || (held && !d4_units_ready(u, len - u->whole, *p))))
    {
        return d4_units_more(u, size, p, end, r, rc);
    }

    if (u->whole == 0 && (what == D4_UNIT_BAD || what == D4_UNIT_ALIEN)) {
        return d4_units_odd(u, what, p, end, r, rc);
    }

    *rc = d4_units_record(u, p, data, size, r);

    return 1;
}


/*
 * Whether units that are held can be handed out with rest bytes behind them:
 * not before the last one is whole, too, so that there is a border, unless
 * those bytes can go back to the input, or there are too many.
 */

static int
d4_units_ready(const d4_units_t *u, size_t rest, const uint8_t *p)
{
    return u->eof || d4_units_returns(u, rest, p)
           || u->whole >= D4_UNITS_AHEAD;
}


/* Whether the last bytes of what is held can go back to the input. */

static int
d4_units_returns(const d4_units_t *u, size_t len, const uint8_t *p)
{
    return len <= D4_UNITS_RETURN && len <= (size_t) (p - u->piece);
}


/* Counts whole units and returns what it ended with. */

static d4_unit_t
d4_units_whole(d4_units_t *u, const uint8_t *data, size_t len, int held,
    size_t *size)
{
    d4_unit_t  what;

    while (u->whole != len && (held || u->whole < D4_UNITS_RUN)) {

        what = u->format->measure(u, data + u->whole, len - u->whole, size);

        if (what != D4_UNIT_PLAIN) {
            return what;
        }

        u->begun = 1;
        u->whole += *size;
    }

    return D4_UNIT_PLAIN;
}


/* Hands out the whole units at data, or if there are none, a START of size. */

static d4_decode_t
d4_units_record(d4_units_t *u, const uint8_t **p, const uint8_t *data,
    size_t size, d4_record_t *r)
{
    int     rc;
    size_t  len;

    rc = 0;
    len = u->whole;

    if (len == 0) {
        rc = u->format->start(u, data, size);

    } else {
        if (u->format->take != NULL) {
            rc = u->format->take(u, data, &len);
        }

        size = len;
    }

    if (rc == -1) {
        return D4_DECODE_NOMEM;
    }

    if (rc == 1) {
        u->decoder.preamble_version++;
    }

    r->data = data;
    r->len = len;
    r->fresh = u->fresh || (len == 0 && rc == 1);

    u->whole -= len;
    u->fresh = 0;
    u->begun = 1;

    if (data == *p) {
        *p += size;
        return D4_DECODE_RECORD;
    }

    u->pos += size;

    /* what came from this piece goes back to it: then there is a border */

    len = u->carry.len - u->pos;

    if (d4_units_returns(u, len, *p)) {
        u->carry.len -= len;
        *p -= len;
    }

    return D4_DECODE_RECORD;
}


/* The last unit is not whole: holds what there is of it, up to size. */

static int
d4_units_more(d4_units_t *u, size_t size, const uint8_t **p,
    const uint8_t *end, d4_record_t *r, d4_decode_t *rc)
{
    size_t  len;

    len = u->carry.len - u->pos;

    if (u->eof) {
        d4_units_skip(u, len, "truncated record", r);
        *rc = D4_DECODE_SKIP;
        return 1;
    }

    if (*p == end) {
        *rc = D4_DECODE_AGAIN;
        return 1;
    }

    if (d4_units_hold(u, u->whole + size - len, p, end) != 0) {
        *rc = D4_DECODE_NOMEM;
        return 1;
    }

    return 0;
}


/* Neither a unit nor the beginning of one: rejects it, or searches. */

static int
d4_units_odd(d4_units_t *u, d4_unit_t what, const uint8_t **p,
    const uint8_t *end, d4_record_t *r, d4_decode_t *rc)
{
    if (what == D4_UNIT_ALIEN && (u->begun || !u->resume)) {
        u->rejected = 1;
        r->reason = u->reason;
        *rc = D4_DECODE_REJECT;
        return 1;
    }

    if (u->carry.len == u->pos
        && d4_units_hold(u, D4_UNITS_BITE, p, end) != 0)
    {
        *rc = D4_DECODE_NOMEM;
        return 1;
    }

    u->searching = 1;
    u->begun = 1;

    if (what == D4_UNIT_ALIEN) {
        u->scan = 0;
        u->why = "before the first border that can be proven";

    } else {
        u->scan = 1;
        u->why = (u->reason != NULL) ? u->reason : "corrupt record";
    }

    return 0;
}


/*
 * Goes on from one byte to the next until a border is proven, or the input is
 * used up.  Returns as d4_units_walk() does.
 */

static int
d4_units_search(d4_units_t *u, const uint8_t **p, const uint8_t *end,
    d4_record_t *r, d4_decode_t *rc)
{
    size_t      len, need;
    d4_proof_t  proof;

    for ( ;; ) {
        len = u->carry.len - u->pos;

        if (u->scan >= D4_UNITS_SKIP || (u->eof && u->scan == len)) {
            break;
        }

        proof = d4_units_proof(u, u->carry.data + u->pos + u->scan,
                               len - u->scan, &need);

        if (proof == D4_PROOF_FAILED) {
            u->scan++;
            continue;
        }

        if (proof == D4_PROOF_GIVEN) {
            u->searching = 0;
            u->fresh = 1;

            if (u->scan == 0) {
                return 0;
            }

            break;
        }

        if (*p == end) {
            *rc = D4_DECODE_AGAIN;
            return 1;
        }

        need -= len - u->scan;

        if (need < D4_UNITS_BITE) {
            need = D4_UNITS_BITE;
        }

        if (d4_units_hold(u, need, p, end) != 0) {
            *rc = D4_DECODE_NOMEM;
            return 1;
        }
    }

    if (u->scan == 0) {
        *rc = D4_DECODE_AGAIN;
        return 1;
    }

    d4_units_skip(u, u->scan, u->why, r);
    u->scan = 0;
    *rc = D4_DECODE_SKIP;

    return 1;
}


/*
 * Whether a border is at p; *need is how many bytes it takes to know.  At the
 * end of all input a shorter chain will do: one unit that ends there, or two
 * and a part of the next.
 */

static d4_proof_t
d4_units_proof(d4_units_t *u, const uint8_t *p, size_t len, size_t *need)
{
    size_t     off, size;
    unsigned   n;
    d4_unit_t  what;

    off = 0;

    for (n = 0; n < u->format->chain; n++) {

        what = u->format->prove(u, n, p + off, len - off, &size);

        if (what == D4_UNIT_BAD || size > D4_UNITS_AHEAD - off) {
            return D4_PROOF_FAILED;
        }

        if (what == D4_UNIT_MORE) {

            if (!u->eof) {
                *need = off + size;
                return D4_PROOF_OPEN;
            }

            return (n > 1 || (n == 1 && off == len)) ? D4_PROOF_GIVEN
                                                     : D4_PROOF_FAILED;
        }

        off += size;
    }

    return D4_PROOF_GIVEN;
}


static void
d4_units_skip(d4_units_t *u, size_t len, const char *reason, d4_record_t *r)
{
    r->data = u->carry.data + u->pos;
    r->len = len;
    r->reason = reason;

    u->pos += len;
}


/* Moves up to len bytes of input to what is held: 0, or -1 without memory. */

static int
d4_units_hold(d4_units_t *u, size_t len, const uint8_t **p,
    const uint8_t *end)
{
    if (len > (size_t) (end - *p)) {
        len = end - *p;
    }

    if (d4_carry_add(&u->carry, *p, len) != 0) {
        return -1;
    }

    *p += len;

    return 0;
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Input to a step: records are taken from the decoder until there is enough
 * for a write and a commit, until there is no input left, or until a file has
 * to end.
 */


#include "ngx_d4_dispatch.h"


static ngx_uint_t ngx_d4_dispatch_piece(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_pass(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_next_input(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_begin_entry(ngx_d4_dispatch_t *d);
static ngx_uint_t ngx_d4_dispatch_records(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_border(ngx_d4_dispatch_t *d, ngx_uint_t resume);
static ngx_uint_t ngx_d4_dispatch_collect(ngx_d4_dispatch_t *d);
static ngx_int_t ngx_d4_dispatch_finish(ngx_d4_dispatch_t *d);
static ngx_int_t ngx_d4_dispatch_record(ngx_d4_dispatch_t *d, d4_record_t *r);
static ngx_int_t ngx_d4_dispatch_emit(ngx_d4_dispatch_t *d, const u_char *p,
    size_t len, size_t element);
static ngx_int_t ngx_d4_dispatch_stash(ngx_d4_dispatch_t *d, d4_record_t *r);
static ngx_int_t ngx_d4_dispatch_unstash(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_skip(ngx_d4_dispatch_t *d, d4_record_t *r);
static ngx_uint_t ngx_d4_dispatch_full(ngx_d4_dispatch_t *d);
static ngx_uint_t ngx_d4_dispatch_large(ngx_d4_dispatch_t *d);


void
ngx_d4_dispatch_decode(ngx_d4_dispatch_t *d)
{
    if (d->rejected) {
        d->finish = 1;
        d->rotate = (d->file || d->out.bytes);
        d->step = 1;
        return;
    }

    if (d->accepting) {
        ngx_d4_dispatch_accept(d);         /* there was no answer */
        return;
    }

    d->preamble = 1;

    if (d->stashed && ngx_d4_dispatch_unstash(d) != NGX_OK) {
        ngx_d4_dispatch_restart(d);
        return;
    }

    while (!ngx_d4_dispatch_full(d)) {

        if (d->p == d->end && !ngx_d4_dispatch_piece(d)) {
            break;
        }

        if (d->decoder == NULL) {

            if (!ngx_d4_dispatch_collect(d)) {
                return;
            }

            continue;
        }

        if (!ngx_d4_dispatch_records(d)) {
            return;
        }

        if (d->rotate) {
            break;
        }
    }

    if (ngx_queue_empty(&d->input) && d->p == d->end && d->ended
        && !d->reading && !d->rotate && !d->stashed)
    {
        if (ngx_d4_dispatch_finish(d) != NGX_OK) {
            ngx_d4_dispatch_restart(d);
            return;
        }
    }

    if (!d->rotate && d->file && d->out.bytes == 0
        && ngx_d4_dispatch_expired(d))
    {
        d->rotate = 1;
    }

    d->step = d->out.bytes || d->nlines || d->a.count || d->rotate
              || d->finish
              || ngx_memcmp(&d->border, &d->committed,
                            sizeof(ngx_d4_position_t))
                 != 0;
}


/* The next piece of payload to decode: 0 when there is none. */

static ngx_uint_t
ngx_d4_dispatch_piece(ngx_d4_dispatch_t *d)
{
    size_t      len, skip;
    ngx_uint_t  surplus;

    surplus = 0;

    while (!ngx_queue_empty(&d->input)) {

        len = d4_payloads_piece(&d->it, &d->p, NGX_D4_STEP_BYTES);

        if (len != 0) {
            d->end = d->p + len;
            return 1;
        }

        d->p = NULL;
        d->end = NULL;

        if (!d4_payloads_entry(&d->it)) {
            ngx_d4_dispatch_next_input(d);

            if (surplus) {
                surplus = 0;
                ngx_d4_dispatch_extended(d);
            }

            continue;
        }

        if (d->frames) {
            d->frames--;
        }

        if (d->it.type != d->stream) {

            if (d->it.type == D4_TYPE_EXTENDED && d->handler == NULL) {
                ngx_d4_dispatch_reject(d, "incorrect JSON object");
                return 0;
            }

            /* type 2 behind its object */

            ngx_d4_dispatch_pass(d);
            surplus = 1;
            continue;
        }

        /* what a former owner had dealt with */

        skip = d4_border_skip(&d->track, d->it.ms, d->it.n, d->it.size);

        d->at.ms = d->it.ms;
        d->at.n = d->it.n;
        d->at.off = skip;

        while (skip) {
            len = d4_payloads_piece(&d->it, &d->p, skip);

            if (len == 0) {
                break;
            }

            skip -= len;
        }

        d->p = NULL;

        ngx_d4_dispatch_begin_entry(d);
    }

    return 0;
}


static void
ngx_d4_dispatch_begin_entry(ngx_d4_dispatch_t *d)
{
    size_t  held;

    /* of type 2, all that came is needed until its object is whole */

    if (d->decoder == NULL) {
        return;
    }

    held = d4_decoder_held(d->decoder);

    d4_border_entry(&d->track, &d->at, held);

    if (held == 0) {
        ngx_d4_dispatch_border(d, d->border.resume);
    }
}


/* What is left of an entry is of no use. */

static void
ngx_d4_dispatch_pass(ngx_d4_dispatch_t *d)
{
    while (d4_payloads_piece(&d->it, &d->p, NGX_MAX_SIZE_T_VALUE)) {
        /* void */
    }

    d->p = NULL;
    d->end = NULL;
}


static void
ngx_d4_dispatch_next_input(ngx_d4_dispatch_t *d)
{
    ngx_queue_t     *q;
    ngx_d4_input_t  *in;

    q = ngx_queue_head(&d->input);
    in = ngx_queue_data(q, ngx_d4_input_t, queue);

    d->held -= in->batch.out.held;

    ngx_queue_remove(q);
    d4_batch_clear(&in->batch);
    ngx_free(in);

    if (!ngx_queue_empty(&d->input)) {
        q = ngx_queue_head(&d->input);
        in = ngx_queue_data(q, ngx_d4_input_t, queue);

        d4_payloads_init(&d->it, &in->batch);
    }
}


/* Takes records from a piece: 0 when the session cannot go on. */

static ngx_uint_t
ngx_d4_dispatch_records(ngx_d4_dispatch_t *d)
{
    ngx_int_t       rc;
    ngx_uint_t      over, known;
    d4_record_t     r;
    d4_decode_t     what;
    const u_char   *p;

    over = d->file && ngx_d4_dispatch_expired(d);

    for ( ;; ) {

        if ((over || ngx_d4_dispatch_large(d))
            && d4_decoder_held(d->decoder) == 0)
        {
            d->rotate = 1;
            return 1;
        }

        p = d->p;
        known = (d->decoder->preamble_len != 0);

        what = d4_decoder_next(d->decoder, &d->p, d->end, &r);

        /* what comes with the first record is not needed in front of it */

        d->preamble = known || r.fresh;

        d->at.off += d->p - p;
        d4_border_take(&d->track, d->p - p);

        switch (what) {

        case D4_DECODE_AGAIN:
            return 1;

        case D4_DECODE_RECORD:
            rc = ngx_d4_dispatch_record(d, &r);
            break;

        case D4_DECODE_SKIP:
            rc = NGX_DECLINED;
            ngx_d4_dispatch_skip(d, &r);
            ngx_d4_dispatch_border(d, 1);
            break;

        case D4_DECODE_REJECT:
            ngx_d4_dispatch_reject(d, r.reason);
            return 0;

        default: /* D4_DECODE_NOMEM */
            rc = NGX_ERROR;
            break;
        }

        if (rc == NGX_ERROR) {
            ngx_d4_dispatch_restart(d);
            return 0;
        }

        if (rc == NGX_DONE) {
            d->rotate = 1;
            return 1;
        }

        if (rc == NGX_OK) {
            ngx_d4_dispatch_border(d, 0);
        }

        if (ngx_d4_dispatch_full(d)) {
            return 1;
        }
    }
}


/*
 * All that the decoder does not hold any more is dealt with; what it holds is
 * read again by another owner.  resume: it looks for a record there.
 */

static void
ngx_d4_dispatch_border(ngx_d4_dispatch_t *d, ngx_uint_t resume)
{
    d4_border_get(&d->track, &d->at, d4_decoder_held(d->decoder), &d->border);

    d->border.resume = resume;
}


/* NGX_DONE: a new file begins with the record, which waits for that step. */

static ngx_int_t
ngx_d4_dispatch_record(ngx_d4_dispatch_t *d, d4_record_t *r)
{
    if (r->cut) {
        ngx_d4_dispatch_skip(d, r);
    }

    if (r->fresh && (d->file || d->out.bytes)) {

        if (r->len) {
            return ngx_d4_dispatch_stash(d, r);
        }

        ngx_d4_dispatch_border(d, 0);

        return NGX_DONE;
    }

    /* a preamble alone goes to the cursor; a file begins with a record */

    if (r->len == 0) {
        return NGX_OK;
    }

    return ngx_d4_dispatch_emit(d, r->data, r->len, r->element);
}


static ngx_int_t
ngx_d4_dispatch_emit(ngx_d4_dispatch_t *d, const u_char *p, size_t len,
    size_t element)
{
    uint64_t          size;
    d4_mark_t         mark;

    if (d->handler && d->handler->objects) {

        if (element == 0) {
            return NGX_OK;
        }

        size = element;
        d4_blocks_mark(&d->lines, &mark);

        if (d4_blocks_write(&d->lines, &size, sizeof(size)) != 0
            || d4_blocks_write(&d->lines, p, element) != 0)
        {
            return NGX_ERROR;
        }

        if (d->nlines++ == 0) {
            d->lines_at = ngx_time();
        }

        return NGX_OK;
    }

    if (d->handler == NULL || d->handler->disk) {

        if (d->file == NULL && d->out.bytes == 0
            && d->preamble
            && d4_blocks_write(&d->out, d->decoder->preamble,
                               d->decoder->preamble_len)
               != 0)
        {
            return NGX_ERROR;
        }

        if (d4_blocks_write(&d->out, p, len) != 0) {
            return NGX_ERROR;
        }
    }

    if (element && (d->handler == NULL || d->handler->lines)
        && d4_words_add(&d->a, p, element) != 0)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * The step ends before the record, with the border as it was.
 */

static ngx_int_t
ngx_d4_dispatch_stash(ngx_d4_dispatch_t *d, d4_record_t *r)
{
    if (d4_carry_add(&d->stash, r->data, r->len) != 0) {
        return NGX_ERROR;
    }

    d->stashed = 1;
    d->stash_element = r->element;

    d4_border_get(&d->track, &d->at, d4_decoder_held(d->decoder),
                  &d->stash_border);

    return NGX_DONE;
}


static ngx_int_t
ngx_d4_dispatch_unstash(ngx_d4_dispatch_t *d)
{
    if (ngx_d4_dispatch_emit(d, d->stash.data, d->stash.len,
                             d->stash_element)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    d->stashed = 0;
    d->border = d->stash_border;
    d4_carry_free(&d->stash);

    return NGX_OK;
}


static void
ngx_d4_dispatch_skip(ngx_d4_dispatch_t *d, d4_record_t *r)
{
    ngx_d4_dispatch_bad(d, r->reason, 1);
}


void
ngx_d4_dispatch_bad(ngx_d4_dispatch_t *d, const char *reason, ngx_uint_t n)
{
    ngx_d4_dispatch_count(d->type, NGX_D4_COUNT_ERRORS, n);

    if (d->errors == 0) {
        ngx_log_error(NGX_LOG_INFO, ngx_d4_worker.log, 0,
                      "d4 session %s of %s, type %ui: %s, at entry %uL-%uL; "
                      "further errors of this session are counted", d->sid,
                      d->hex, d->type, reason, d->at.ms, d->at.n);
    }

    d->errors += n;
}


/* Type 2 until its object is whole: 0 when something has to come first. */

static ngx_uint_t
ngx_d4_dispatch_collect(ngx_d4_dispatch_t *d)
{
    d4_meta_status_t  rc;

    rc = d4_meta_add(d->meta, d->p, d->end - d->p);

    if (rc == D4_META_NOMEM) {
        ngx_d4_dispatch_restart(d);
        return 0;
    }

    if (rc == D4_META_AGAIN) {
        d->p = d->end;
        return 1;
    }

    ngx_d4_dispatch_pass(d);

    if (rc != D4_META_DONE) {
        ngx_d4_dispatch_reject(d, d4_meta_text(rc));
        return 0;
    }

    ngx_d4_dispatch_accept(d);

    return 0;
}


static ngx_int_t
ngx_d4_dispatch_finish(ngx_d4_dispatch_t *d)
{
    ngx_int_t    rc;
    d4_record_t  r;

    if (d->decoder == NULL) {

        if (d4_meta_begun(d->meta)) {
            ngx_d4_dispatch_bad(d, "it ends within its JSON object", 1);
        }

        d->finish = 1;
        d->border = d->at;
        return NGX_OK;
    }

    for ( ;; ) {

        switch (d4_decoder_finish(d->decoder, &r)) {

        case D4_DECODE_RECORD:
            rc = ngx_d4_dispatch_record(d, &r);

            if (rc == NGX_DONE) {
                d->rotate = 1;
                return NGX_OK;
            }

            if (rc != NGX_OK) {
                return NGX_ERROR;
            }

            ngx_d4_dispatch_border(d, 0);
            break;

        case D4_DECODE_SKIP:
            ngx_d4_dispatch_skip(d, &r);
            ngx_d4_dispatch_border(d, 1);
            break;

        case D4_DECODE_REJECT:
            ngx_d4_dispatch_reject(d, r.reason);

            /* fall through */

        case D4_DECODE_AGAIN:
            d->finish = 1;
            d->rotate = (d->file || d->out.bytes);
            d->border = d->at;
            return NGX_OK;

        default:
            return NGX_ERROR;
        }
    }
}


static ngx_uint_t
ngx_d4_dispatch_full(ngx_d4_dispatch_t *d)
{
    return d->out.bytes >= NGX_D4_STEP_BYTES
           || d->lines.bytes >= NGX_D4_STEP_BYTES
           || d->a.bytes >= NGX_D4_STEP_BYTES
           || d->a.count >= NGX_D4_STEP_ELEMENTS
           || d->nlines >= NGX_D4_STEP_ELEMENTS / 8;
}


ngx_uint_t
ngx_d4_dispatch_expired(ngx_d4_dispatch_t *d)
{
    struct tm       tm;
    ngx_d4_conf_t  *conf;

    conf = ngx_d4_worker.conf;

    if (ngx_time() - d->opened > conf->rotate_time) {
        return 1;
    }

    ngx_d4_dispatch_time(ngx_time(), &tm);

    return tm.tm_mday != d->day;
}


static ngx_uint_t
ngx_d4_dispatch_large(ngx_d4_dispatch_t *d)
{
    off_t  size;

    size = ngx_d4_worker.conf->rotate_size;

    return size && d->length + d->out.bytes >= (uint64_t) size;
}


void
ngx_d4_dispatch_time(time_t t, struct tm *tm)
{
    if (ngx_d4_worker.conf->data_utc) {
        ngx_libc_gmtime(t, tm);

    } else {
        ngx_libc_localtime(t, tm);
    }
}


d4_decoder_t *
ngx_d4_dispatch_create_decoder(ngx_d4_dispatch_t *d)
{
    size_t          max;
    d4_pool_t      *pool;
    ngx_d4_conf_t  *conf;

    conf = ngx_d4_worker.conf;
    pool = &ngx_d4_worker.pool;
    max = conf->line_max;

    switch (d->stream) {

    case D4_TYPE_PCAP:
        return d4_capture_create(pool, 0);

    case D4_TYPE_DNSCAP:
        return d4_dnscap_create(pool, max);

    case D4_TYPE_PCAPNG:
        return d4_pcapng_create(pool, 0);

    case D4_TYPE_YAF:
        return d4_ipfix_create(pool, 0);

    case D4_TYPE_EXTENDED:
        if (d->handler->objects) {
            max = conf->object_max;
        }

        return d4_lines_create(pool, max, ".txt");

    default:
        return d4_lines_create(pool, max, d4_path_suffix(d->stream));
    }
}


ngx_int_t
ngx_d4_dispatch_decoder(ngx_d4_dispatch_t *d, redisReply *state,
    redisReply *header)
{
    d4_decoder_t  *dec;

    dec = ngx_d4_dispatch_create_decoder(d);
    if (dec == NULL) {
        return NGX_ERROR;
    }

    d->decoder = dec;
    d->state = NGX_D4_STATE_NONE;

    /*
     * The same session goes on where it was; another one of the sensor may
     * begin in the middle of what its sensor sends.
     */

    if (state && state->len) {
        if (d4_decoder_restore(dec, (u_char *) state->str, state->len,
                               d->border.resume)
            != 0)
        {
            ngx_d4_dispatch_unusable(d, "state");

            d4_decoder_free(dec);
            d->decoder = NULL;

            return NGX_ERROR;
        }

        d->state = dec->preamble_version;

    } else if (header && header->len
               && d4_decoder_restore(dec, (u_char *) header->str, header->len,
                                     1)
                  == 0)
    {
        d->border.resume = 1;
    }

    return NGX_OK;
}

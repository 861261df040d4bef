
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Refusals: counted and logged one by one, reported to Redis in sums.
 *
 * Who refuses ten thousand connections a second must not write as often, so
 * equal ones (address and reason) are summed in a table of fixed size, and
 * those that find no room are summed by their reason alone.  What was sent is
 * kept until Redis acknowledges it: after a connection was lost it is sent
 * again, so a refusal may be reported twice but is not lost.
 */


#include "ngx_d4_core.h"


#define NGX_D4_REFUSED_TABLE  256
#define NGX_D4_REFUSED_WRITE  1000     /* ms between writes */
#define NGX_D4_REFUSED_RATE   100      /* entries in each of them */

/* behind the table one entry for each reason, with no address */
#define NGX_D4_REFUSED_N      (NGX_D4_REFUSED_TABLE + D4_END_N)


typedef struct {
    d4_addr_t                addr;
    d4_end_t                 reason;
    ngx_int_t                type;         /* of the latest; -1: none */
    u_char                   uuid[D4_UUID_SIZE];
    unsigned                 has_uuid:1;
    unsigned                 used:1;
    ngx_uint_t               count;        /* not sent yet */
    ngx_uint_t               sent;         /* not acknowledged yet */
    time_t                   first;
    time_t                   fresh;        /* the first one not sent */
    time_t                   last;
} ngx_d4_refusal_t;


typedef struct {
    ngx_uint_t               count;
    ngx_uint_t               sent;
} ngx_d4_refusals_t;


static ngx_d4_refusal_t *ngx_d4_refused_entry(d4_addr_t *addr,
    d4_end_t reason);
static void ngx_d4_refused_write(ngx_d4_refusal_t *e);
static u_char *ngx_d4_refused_word(ngx_str_t *word, u_char *p, u_char *last);
static void ngx_d4_refused_handler(void *data, redisReply *reply);
static void ngx_d4_refused_write_sum(d4_end_t reason);
static void ngx_d4_refused_sum_handler(void *data, redisReply *reply);
static ngx_uint_t ngx_d4_refused_ok(redisReply *reply);


static ngx_d4_refusal_t   ngx_d4_refused_table[NGX_D4_REFUSED_N];
static ngx_d4_refusals_t  ngx_d4_refused_sums[D4_END_N];

static ngx_msec_t         ngx_d4_refused_written;
static ngx_uint_t         ngx_d4_refused_next;
static ngx_uint_t         ngx_d4_refused_error;


void
ngx_d4_refused(ngx_log_t *log, d4_addr_t *addr, const u_char *uuid,
    ngx_int_t type, d4_end_t reason)
{
    char               hex[D4_UUID_HEX + 1];
    u_char             text[NGX_INT_T_LEN + 1];
    ngx_d4_refusal_t  *e;

    (void) ngx_atomic_fetch_add(&ngx_d4_worker.shared->ends[reason], 1);

    if (!d4_end_refusal(reason)) {
        return;
    }

    ngx_memcpy(hex, "-", 2);
    ngx_memcpy(text, "-", 2);

    if (uuid) {
        d4_uuid_hex(hex, uuid);
    }

    if (type >= 0) {
        ngx_sprintf(text, "%i%Z", type);
    }

    ngx_log_error(NGX_LOG_INFO, log, 0, "d4 refused: %s, uuid: %s, type: %s",
                  d4_end_name(reason), hex, text);

    ngx_d4_stay();

    e = ngx_d4_refused_entry(addr, reason);

    if (e->count == 0) {
        e->fresh = ngx_time();

        if (e->sent == 0) {
            e->first = e->fresh;
        }
    }

    e->last = ngx_time();
    e->type = type;
    e->has_uuid = (uuid != NULL);
    e->count++;

    if (uuid) {
        ngx_memcpy(e->uuid, uuid, D4_UUID_SIZE);
    }

    ngx_d4_refused_sums[reason].count++;
}


static ngx_d4_refusal_t *
ngx_d4_refused_entry(d4_addr_t *addr, d4_end_t reason)
{
    ngx_uint_t         i;
    ngx_d4_refusal_t  *e, *spare;

    spare = NULL;

    for (i = 0; i < NGX_D4_REFUSED_TABLE; i++) {
        e = &ngx_d4_refused_table[i];

        if (!e->used) {
            if (spare == NULL) {
                spare = e;
            }

            continue;
        }

        if (e->reason == reason && e->addr.bits == addr->bits
            && ngx_memcmp(e->addr.bytes, addr->bytes, addr->bits / 8) == 0)
        {
            return e;
        }
    }

    if (spare) {
        spare->addr = *addr;

    } else {
        spare = &ngx_d4_refused_table[NGX_D4_REFUSED_TABLE + reason];
        spare->addr.bits = 0;
    }

    spare->used = 1;
    spare->reason = reason;

    return spare;
}


void
ngx_d4_refused_tick(void)
{
    ngx_uint_t         i, n;
    ngx_d4_refusal_t  *e;

    if (!ngx_d4_redis_ready(ngx_d4_worker.metadata)) {
        return;
    }

    /* a worker that exits does not hold back what it has left */

    if (!ngx_exiting && ngx_current_msec - ngx_d4_refused_written
                        < NGX_D4_REFUSED_WRITE)
    {
        return;
    }

    ngx_d4_refused_written = ngx_current_msec;

    n = 0;

    for (i = 0; i < NGX_D4_REFUSED_N && n < NGX_D4_REFUSED_RATE; i++) {

        e = &ngx_d4_refused_table[ngx_d4_refused_next];
        ngx_d4_refused_next = (ngx_d4_refused_next + 1) % NGX_D4_REFUSED_N;

        if (e->count && e->sent == 0) {
            ngx_d4_refused_write(e);
            n++;
        }
    }

    for (i = 0; i < D4_END_N; i++) {
        if (ngx_d4_refused_sums[i].count && ngx_d4_refused_sums[i].sent == 0) {
            ngx_d4_refused_write_sum(i);
        }
    }
}


ngx_uint_t
ngx_d4_refused_pending(void)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_D4_REFUSED_N; i++) {
        n += (ngx_d4_refused_table[i].used != 0);
    }

    for (i = 0; i < D4_END_N; i++) {
        n += (ngx_d4_refused_sums[i].count || ngx_d4_refused_sums[i].sent);
    }

    return n;
}


static void
ngx_d4_refused_write(ngx_d4_refusal_t *e)
{
    u_char           *p, text[8 * NGX_INT64_LEN + D4_ADDR_TEXT];
    ngx_str_t         argv[20];
    ngx_uint_t        i;
    ngx_d4_worker_t  *w;

    static const ngx_str_t  names[] = {
        ngx_string("address"), ngx_string("reason"), ngx_string("uuid"),
        ngx_string("type"), ngx_string("count"), ngx_string("first"),
        ngx_string("last")
    };

    w = &ngx_d4_worker;

    ngx_str_set(&argv[0], "XADD");
    ngx_str_set(&argv[1], "d4:refused");
    ngx_str_set(&argv[2], "MAXLEN");
    ngx_str_set(&argv[3], "~");
    ngx_str_set(&argv[5], "*");

    for (i = 0; i < 7; i++) {
        argv[6 + 2 * i] = names[i];
    }

    p = text;
    p = ngx_d4_refused_word(&argv[4], p,
                            ngx_sprintf(p, "%i", w->conf->refused_max));
    p = ngx_d4_refused_word(&argv[7], p,
                            p + d4_addr_text((char *) p, &e->addr));
    p = ngx_d4_refused_word(&argv[9], p,
                            ngx_sprintf(p, "%s", d4_end_name(e->reason)));

    if (e->has_uuid) {
        d4_uuid_hex((char *) p, e->uuid);
        p = ngx_d4_refused_word(&argv[11], p, p + D4_UUID_HEX);

    } else {
        ngx_str_set(&argv[11], "-");
    }

    if (e->type >= 0) {
        p = ngx_d4_refused_word(&argv[13], p, ngx_sprintf(p, "%i", e->type));

    } else {
        ngx_str_set(&argv[13], "-");
    }

    p = ngx_d4_refused_word(&argv[15], p, ngx_sprintf(p, "%ui", e->count));
    p = ngx_d4_refused_word(&argv[17], p, ngx_sprintf(p, "%T", e->first));
    (void) ngx_d4_refused_word(&argv[19], p, ngx_sprintf(p, "%T", e->last));

    if (ngx_d4_redis_command(w->metadata, 20, argv, ngx_d4_refused_handler, e)
        == NGX_OK)
    {
        e->sent = e->count;
        e->count = 0;
    }
}


static u_char *
ngx_d4_refused_word(ngx_str_t *word, u_char *p, u_char *last)
{
    word->data = p;
    word->len = last - p;

    return last;
}


static void
ngx_d4_refused_handler(void *data, redisReply *reply)
{
    ngx_d4_refusal_t  *e = data;

    if (!ngx_d4_refused_ok(reply)) {
        e->count += e->sent;
        e->sent = 0;
        return;
    }

    e->sent = 0;
    e->first = e->fresh;
    e->used = (e->count != 0);
}


/* The day's hash: reason -> refusals. */

static void
ngx_d4_refused_write_sum(d4_end_t reason)
{
    u_char              *p, text[3 * NGX_INT64_LEN + 32];
    ngx_tm_t             tm;
    ngx_str_t            argv[4];
    ngx_d4_worker_t     *w;
    ngx_d4_refusals_t   *sum;

    w = &ngx_d4_worker;
    sum = &ngx_d4_refused_sums[reason];

    ngx_localtime(ngx_time(), &tm);

    ngx_str_set(&argv[0], "HINCRBY");

    p = text;
    p = ngx_d4_refused_word(&argv[1], p,
                            ngx_sprintf(p, "d4:refused:%04d%02d%02d",
                                        tm.ngx_tm_year, tm.ngx_tm_mon,
                                        tm.ngx_tm_mday));

    argv[2].data = (u_char *) d4_end_name(reason);
    argv[2].len = ngx_strlen(argv[2].data);

    p = ngx_d4_refused_word(&argv[3], p, ngx_sprintf(p, "%ui", sum->count));

    if (ngx_d4_redis_command(w->metadata, 4, argv, ngx_d4_refused_sum_handler,
                             sum)
        != NGX_OK)
    {
        return;
    }

    sum->sent = sum->count;
    sum->count = 0;

    if (w->conf->stat_retention > 0) {
        ngx_str_set(&argv[0], "EXPIRE");
        (void) ngx_d4_refused_word(&argv[2], p,
                             ngx_sprintf(p, "%T", w->conf->stat_retention));

        (void) ngx_d4_redis_command(w->metadata, 3, argv, NULL, NULL);
    }
}


static void
ngx_d4_refused_sum_handler(void *data, redisReply *reply)
{
    ngx_d4_refusals_t  *sum = data;

    if (!ngx_d4_refused_ok(reply)) {
        sum->count += sum->sent;
    }

    sum->sent = 0;
}


static ngx_uint_t
ngx_d4_refused_ok(redisReply *reply)
{
    if (reply == NULL) {
        return 0;
    }

    if (reply->type != REDIS_REPLY_ERROR) {
        ngx_d4_refused_error = 0;
        return 1;
    }

    if (!ngx_d4_refused_error && !ngx_d4_redis_try_again(reply)) {
        ngx_d4_refused_error = 1;

        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "redis did not take the refusals: \"%s\"", reply->str);
    }

    return 0;
}

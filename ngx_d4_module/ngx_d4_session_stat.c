
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Statistics of a session: summed in the worker, written about once a second
 * by one script each, within a budget, so that with very many sensors it is
 * the interval that grows.  A sum is sent under a number until it is answered,
 * which the script remembers, so it counts once.
 */


#include "ngx_d4_session.h"


#define NGX_D4_STAMP  (D4_ADDR_TEXT + sizeof("-20260101000000"))


static void ngx_d4_stat_queue_up(ngx_d4_session_t *s);
static ngx_uint_t ngx_d4_stat_take(ngx_d4_session_t *s);
static void ngx_d4_stat_send(ngx_d4_session_t *s, ngx_uint_t end);
static void ngx_d4_stat_sent(void *data, redisReply *reply);
static void ngx_d4_session_finished(void *data, redisReply *reply);


static ngx_queue_t  ngx_d4_stats;
static ngx_int_t    ngx_d4_stat_tokens;    /* thousandths of a flush */


void
ngx_d4_stat_init(void)
{
    ngx_queue_init(&ngx_d4_stats);
}


void
ngx_d4_stat_add(ngx_d4_session_t *s, ngx_uint_t index, ngx_d4_count_t *count)
{
    ngx_d4_delta_t  *delta;

    delta = &s->delta[index];

    if (delta->frames == 0) {
        delta->first = ngx_time();
    }

    delta->frames += count->frames;
    delta->bytes += count->bytes;
    delta->last = ngx_time();

    ngx_d4_stat_queue_up(s);
}


static void
ngx_d4_stat_queue_up(ngx_d4_session_t *s)
{
    if (!s->in_stat) {
        s->in_stat = 1;
        s->stat_since = ngx_current_msec;
        ngx_queue_insert_tail(&ngx_d4_stats, &s->stat_queue);
    }
}


void
ngx_d4_stat_forget(ngx_d4_session_t *s)
{
    if (s->in_stat) {
        s->in_stat = 0;
        ngx_queue_remove(&s->stat_queue);
    }
}


void
ngx_d4_stat_tick(void)
{
    ngx_queue_t       *q;
    ngx_d4_conf_t     *conf;
    ngx_d4_session_t  *s;

    conf = ngx_d4_worker.conf;

    ngx_d4_stat_tokens += conf->stat_budget * NGX_D4_TICK;

    if (ngx_d4_stat_tokens > conf->stat_budget * 1000) {
        ngx_d4_stat_tokens = conf->stat_budget * 1000;
    }

    if (!ngx_d4_redis_ready(ngx_d4_worker.metadata)) {
        return;
    }

    while (!ngx_queue_empty(&ngx_d4_stats) && ngx_d4_stat_tokens >= 1000) {
        q = ngx_queue_head(&ngx_d4_stats);
        s = ngx_queue_data(q, ngx_d4_session_t, stat_queue);

        if (ngx_current_msec - s->stat_since < conf->stat_interval) {
            break;
        }

        ngx_d4_stat_tokens -= 1000;

        ngx_d4_stat_forget(s);
        ngx_d4_stat_flush(s);
    }
}


/*
 * Takes the next sum to send, unless one is still unanswered.
 */

static ngx_uint_t
ngx_d4_stat_take(ngx_d4_session_t *s)
{
    ngx_uint_t  i;

    if (s->flush.frames) {
        return 1;
    }

    for (i = 0; i < 2; i++) {
        if (s->delta[i].frames == 0) {
            continue;
        }

        s->flush = s->delta[i];
        s->flush.type = ngx_d4_stream_type(s, i);

        ngx_memzero(&s->delta[i], sizeof(ngx_d4_delta_t));
        s->seq++;

        return 1;
    }

    return 0;
}


void
ngx_d4_stat_flush(ngx_d4_session_t *s)
{
    if (!s->flushing && !s->renew && !s->reclaim && ngx_d4_stat_take(s)) {
        ngx_d4_stat_send(s, 0);
    }
}


static void
ngx_d4_stat_send(ngx_d4_session_t *s, ngx_uint_t end)
{
    u_char            stamp[NGX_D4_STAMP], day[sizeof("20260101")];
    u_char            num[7][NGX_INT64_LEN + 1];
    ngx_tm_t          tm;
    ngx_str_t         argv[15];
    ngx_int_t         rc;
    ngx_uint_t        type;
    ngx_d4_delta_t   *f;
    ngx_d4_worker_t  *w;

    w = &ngx_d4_worker;
    f = &s->flush;

    type = f->frames ? f->type : s->type;

    ngx_localtime(f->frames ? f->first : ngx_time(), &tm);

#define ngx_d4_stat_number(str, buf, value)                                   \
    ngx_d4_str(str, buf, ngx_sprintf(buf, "%uL", (uint64_t) (value)) - buf)

    ngx_d4_str(&argv[0], s->sid, D4_SID);
    argv[1] = w->id;
    ngx_d4_str(&argv[2], s->hex, D4_UUID_HEX);
    ngx_d4_str(&argv[3], s->addr_text, s->addr_len);
    ngx_d4_stat_number(&argv[4], num[0], type);
    ngx_d4_stat_number(&argv[5], num[1], s->seq);
    ngx_d4_stat_number(&argv[6], num[2], f->frames);
    ngx_d4_stat_number(&argv[7], num[3], f->bytes);
    ngx_d4_str(&argv[8], day,
               ngx_sprintf(day, "%04d%02d%02d", tm.ngx_tm_year, tm.ngx_tm_mon,
                           tm.ngx_tm_mday)
               - day);
    ngx_d4_stat_number(&argv[9], num[4], f->first);
    ngx_d4_stat_number(&argv[10], num[5], f->last);
    ngx_d4_stat_number(&argv[11], num[6], w->conf->stat_retention);
    ngx_str_set(&argv[12], "0");
    ngx_str_null(&argv[13]);
    ngx_str_null(&argv[14]);

#undef ngx_d4_stat_number

    if (end) {
        argv[12].data = (u_char *) "1";

        if (s->error) {
            ngx_d4_str(&argv[14], s->error, ngx_strlen(s->error));
        }
    }

    if (!s->stamped) {
        ngx_d4_str(&argv[13], stamp,
                   ngx_sprintf(stamp, "%s-%04d%02d%02d%02d%02d%02d",
                               s->addr_text, tm.ngx_tm_year, tm.ngx_tm_mon,
                               tm.ngx_tm_mday, tm.ngx_tm_hour, tm.ngx_tm_min,
                               tm.ngx_tm_sec)
                   - stamp);
    }

    rc = ngx_d4_script(w->metadata, NGX_D4_SCRIPT_FLUSH, 15, argv,
                       ngx_d4_stat_sent, s);

    if (rc == NGX_OK) {
        s->flushing = 1;
        s->finishing = end;
        s->refs++;
        return;
    }

    if (end) {
        ngx_d4_session_again(s, NGX_D4_RETRY_MAX);

    } else {
        ngx_d4_stat_queue_up(s);
    }
}


static void
ngx_d4_stat_sent(void *data, redisReply *reply)
{
    ngx_d4_session_t  *s = data;

    ngx_uint_t  end;

    end = s->finishing;

    s->flushing = 0;
    s->finishing = 0;

    if (ngx_d4_session_unref(s)) {
        return;
    }

    if (!ngx_d4_session_succeeded(s, reply, "statistics")) {
        ngx_d4_stat_queue_up(s);
        ngx_d4_session_work(s);
        return;
    }

    if (s->flush.frames) {
        s->flush.frames = 0;
        s->stamped = 1;
    }

    if (end) {
        ngx_d4_session_free(s);
        return;
    }

    if (s->delta[0].frames || s->delta[1].frames) {
        ngx_d4_stat_queue_up(s);
    }

    ngx_d4_session_work(s);
}


/*
 * What a consumer has rejected is deleted, as published; everything else that
 * was stored is handed over by ended_session once the last frame is there.
 */

void
ngx_d4_session_finish(ngx_d4_session_t *s)
{
    u_char      type[NGX_INT_T_LEN];
    ngx_str_t   argv[6];

    if (s->reason == D4_END_INCORRECT_TYPE && !s->sending) {
        ngx_d4_session_discard(s);
    }

    if (s->pending.frames || s->inflight.frames || s->sending || s->look
        || s->renew || s->recreate || s->begin || s->beginning || s->reclaim
        || s->claiming
        || s->flushing || s->finishing || ngx_d4_session_held(s))
    {
        return;
    }

    if (!s->ended) {
        ngx_d4_str(&argv[0], s->hex, D4_UUID_HEX);
        ngx_d4_str(&argv[1], type, ngx_sprintf(type, "%ui", s->type) - type);
        ngx_d4_str(&argv[2], s->sid, D4_SID);
        ngx_str_set(&argv[3], "0");
        ngx_str_set(&argv[4], "0");
        ngx_str_set(&argv[5], "0");

        if (s->reason == D4_END_INCORRECT_TYPE) {
            argv[5].data = (u_char *) "1";

        } else if (s->listed) {
            argv[3].data = (u_char *) "1";
        }

        if (ngx_d4_script(ngx_d4_worker.streams, NGX_D4_SCRIPT_END, 6, argv,
                          ngx_d4_session_finished, s)
            == NGX_OK)
        {
            s->finishing = 1;
            s->refs++;
        }

        return;
    }

    (void) ngx_d4_stat_take(s);
    ngx_d4_stat_send(s, s->delta[0].frames == 0 && s->delta[1].frames == 0);
}


static void
ngx_d4_session_finished(void *data, redisReply *reply)
{
    ngx_d4_session_t  *s = data;

    s->finishing = 0;

    if (ngx_d4_session_unref(s)) {
        return;
    }

    if (ngx_d4_session_succeeded(s, reply, "end")) {
        s->ended = 1;

        /* who has no dispatch may have its cursor all the same */

        if (s->dispatch == NULL && s->listed
            && ngx_d4_worker.conf->dispatch)
        {
            s->dispatch = ngx_d4_dispatch_begin(s, 0);
        }

        if (s->dispatch) {
            ngx_d4_dispatch_ended(s->dispatch);
            s->dispatch = NULL;
        }
    }

    ngx_d4_session_work(s);
}

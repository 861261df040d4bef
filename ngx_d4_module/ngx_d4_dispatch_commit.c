
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The cursor of a session moves: a file gets its name, and what was done is
 * committed.
 */


#include "ngx_d4_dispatch.h"


static void ngx_d4_dispatch_named(void *data, redisReply *reply);
static int ngx_d4_dispatch_seal(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_committed(void *data, redisReply *reply);
static void ngx_d4_dispatch_moved(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_trim(ngx_d4_dispatch_t *d);


void
ngx_d4_dispatch_name(ngx_d4_dispatch_t *d)
{
    char         path[D4_PATH_MAX];
    size_t       len;
    u_char       epoch[NGX_INT64_LEN], number[NGX_INT_T_LEN];
    u_char       now[NGX_TIME_T_LEN];
    ngx_str_t    argv[7];
    struct tm    tm;
    const char  *suffix;

    suffix = d->decoder->suffix;
    ngx_d4_dispatch_time(ngx_time(), &tm);

    if (d->type == D4_TYPE_META) {
        (void) d4_path_extended(path, d->hex, (char *) d->ext.data,
                                d->ext.len, D4_PATH_TEXT, &tm, 0);

    } else {
        (void) d4_path_numeric(path, d->hex, d->type, &tm, 0);
    }

    len = ngx_strlen(path);

    if (len <= ngx_strlen(suffix)) {
        ngx_log_error(NGX_LOG_ALERT, ngx_d4_worker.log, 0,
                      "d4 dispatch of session %s has no file name", d->sid);
        ngx_d4_dispatch_later(d);
        return;
    }

    ngx_d4_str(&argv[0], d->sid, D4_SID);
    ngx_d4_str(&argv[1], epoch, ngx_sprintf(epoch, "%uL", d->epoch) - epoch);
    ngx_d4_str(&argv[2], ngx_d4_store_id, D4_STORE_ID);
    ngx_d4_str(&argv[3], path, len - ngx_strlen(suffix));
    ngx_d4_str(&argv[4], suffix, ngx_strlen(suffix));
    ngx_d4_str(&argv[5], number, ngx_sprintf(number, "%ui", d->number)
                                 - number);
    ngx_d4_str(&argv[6], now, ngx_sprintf(now, "%T", ngx_time()) - now);

    if (ngx_d4_script(ngx_d4_worker.queues, NGX_D4_SCRIPT_NAME, 7, argv,
                      ngx_d4_dispatch_named, d)
        == NGX_OK)
    {
        d->opened = ngx_time();
        d->day = tm.tm_mday;
        d->refs++;
    }
}


static void
ngx_d4_dispatch_named(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    if (ngx_d4_dispatch_unref(d)) {
        return;
    }

    if (!ngx_d4_dispatch_succeeded(d, ngx_d4_worker.queues, reply, "name")) {
        return;
    }

    if (!ngx_d4_reply_text(reply)) {

        if (ngx_d4_reply_int(reply) == 1) {
            ngx_d4_dispatch_check(d);

        } else {
            ngx_d4_dispatch_restart(d);
        }

        return;
    }

    d->file = ngx_alloc(reply->len + 1, ngx_d4_worker.log);

    if (d->file == NULL) {
        ngx_d4_dispatch_later(d);
        return;
    }

    ngx_memcpy(d->file, reply->str, reply->len + 1);

    d->number = 0;
    d->length = 0;
    d->inode = 0;
    d->create = 1;
    d->owned = 0;

    ngx_d4_dispatch_work(d);
}


void
ngx_d4_dispatch_commit(ngx_d4_dispatch_t *d)
{
    if (!d->sealed && ngx_d4_dispatch_seal(d) != 0) {
        ngx_d4_dispatch_restart(d);        /* elements may be gone with it */
        return;
    }

    d->sealed = 1;

    if (ngx_d4_redis_blocks(ngx_d4_worker.queues, &d->commit.out, 1,
                            ngx_d4_dispatch_committed, d)
        == NGX_OK)
    {
        d->refs++;
    }
}


/* The script with all it needs, once for a step, however often it is sent. */

static int
ngx_d4_dispatch_seal(ngx_d4_dispatch_t *d)
{
    int               rc;
    char              closing[NGX_D4_CLOSING_VALUE];
    d4_words_t       *w;
    const ngx_str_t  *script;

    w = &d->commit;
    script = ngx_d4_script_text(NGX_D4_SCRIPT_COMMIT);

    d->seq++;

    closing[0] = '\0';

    if (d->rotate && d->file) {
        ngx_d4_closing_value(closing, d->length + d->out.bytes, d->hex,
                             d->type, &d->ext);
    }

    rc = d4_words_text(w, "EVAL")
         | d4_words_add(w, script->data, script->len)
         | d4_words_text(w, "0")
         | d4_words_text(w, d->sid)
         | d4_words_number(w, d->epoch)
         | d4_words_number(w, d->seq)
         | d4_words_number(w, d->stream)
         | d4_words_number(w, d->border.ms)
         | d4_words_number(w, d->border.n)
         | d4_words_number(w, d->border.off)
         | d4_words_number(w, d->border.resume)
         | d4_words_number(w, d->length + d->out.bytes)
         | d4_words_text(w, closing);

    if (d->decoder && d->decoder->preamble_len
        && d->decoder->preamble_version != d->state)
    {
        rc |= d4_words_number(w, d->type)
              | d4_words_add(w, d->decoder->preamble,
                             d->decoder->preamble_len);

    } else {
        rc |= d4_words_text(w, "") | d4_words_text(w, "");
    }

    if (d->new_meta) {
        rc |= d4_words_text(w, d4_meta_json(d->meta))
              | d4_words_add(w, d->ext.data, d->ext.len);

    } else {
        rc |= d4_words_text(w, "") | d4_words_text(w, "");
    }

    rc |= d4_words_number(w, d->finish)
          | d4_words_text(w, ngx_d4_store_id)
          | d4_words_text(w, d->file ? d->file : "")
          | d4_words_number(w, (uint64_t) ngx_time())
          | d4_words_number(w, (uint64_t) ngx_d4_worker.conf->queue_unread)
          | d4_words_number(w, d->a.count)
          | d4_words_number(w, d->b.count)
          | d4_words_number(w, d->a.bytes)
          | d4_words_number(w, d->b.bytes)
          | ngx_d4_targets_words(&d->targets, w, d->nlines);

    if (rc != 0) {
        return -1;
    }

    d->elements = d->a.count;

    d4_words_join(w, &d->a);
    d4_words_join(w, &d->b);

    return d4_words_head(w);
}


static void
ngx_d4_dispatch_committed(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    redisReply  **e;

    if (ngx_d4_dispatch_unref(d)) {
        return;
    }

    if (!ngx_d4_dispatch_succeeded(d, ngx_d4_worker.queues, reply, "commit")) {
        return;
    }

    if (!ngx_d4_reply_is(reply, REDIS_REPLY_ARRAY) || reply->elements == 0
        || !ngx_d4_reply_text(reply->element[0]))
    {
        ngx_log_error(NGX_LOG_ALERT, ngx_d4_worker.log, 0,
                      "d4 dispatch of session %s: unexpected answer to a "
                      "commit", d->sid);
        ngx_d4_dispatch_later(d);
        return;
    }

    e = reply->element;

    if (ngx_strcmp(e[0]->str, "fenced") == 0) {

        /* somebody has opened it since; who, opening it again tells */

        ngx_d4_dispatch_restart(d);
        return;
    }

    if (ngx_strcmp(e[0]->str, "gone") == 0) {
        ngx_d4_dispatch_check(d);
        return;
    }

    if (ngx_strcmp(e[0]->str, "older") == 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_d4_worker.log, 0,
                      "redis queues lost acknowledged commits of d4 session "
                      "%s of %s", d->sid, d->hex);
    }

    ngx_d4_targets_pushed(&d->targets, e + 1, reply->elements - 1, d->type);

    ngx_d4_dispatch_moved(d);
    ngx_d4_dispatch_work(d);
}


/* The step is done. */

static void
ngx_d4_dispatch_moved(ngx_d4_dispatch_t *d)
{
    ngx_d4_dispatch_count(d->type, NGX_D4_COUNT_BYTES, d->out.bytes);
    ngx_d4_dispatch_count(d->type, NGX_D4_COUNT_ELEMENTS, d->elements);
    ngx_d4_dispatch_lagged(d);

    d->length += d->out.bytes;

    if (d->decoder) {
        d->state = d->decoder->preamble_version;
    }

    d4_words_free(&d->commit);
    d4_blocks_free(&d->out);
    d4_blocks_free(&d->lines);
    d->nlines = 0;
    d->elements = 0;

    if (d->rotate && d->file) {
        ngx_d4_dispatch_close_file(d);
    }

    if (d->new_meta) {
        ngx_d4_dispatch_extended(d);
    }

    ngx_d4_dispatch_seen(d);

    if (ngx_memcmp(&d->committed, &d->border, sizeof(ngx_d4_position_t))
        != 0)
    {
        d->committed = d->border;

        ngx_d4_dispatch_unfavour(d);

        if (!d->finish) {
            ngx_d4_dispatch_trim(d);
        }
    }

    d->done = d->finish;
    d->step = 0;
    d->sealed = 0;
    d->written = 0;
    d->rotate = 0;
    d->new_meta = 0;

    if (d->session) {
        ngx_d4_session_resume(d->session);
    }
}


void
ngx_d4_dispatch_close_file(ngx_d4_dispatch_t *d)
{
    ngx_d4_disk_close(d);

    ngx_d4_closing_add(d->file, d->length, d->inode, d->hex, d->type, &d->ext,
                       NGX_D4_CLOSING_ALL);

    ngx_free(d->file);
    d->file = NULL;
    d->length = 0;
}


/*
 * What was committed leaves the stream.  If this is lost, the next one does
 * it; the entry that the cursor stands in stays.
 */

static void
ngx_d4_dispatch_trim(ngx_d4_dispatch_t *d)
{
    u_char     key[NGX_D4_STREAM_KEY], id[2 * NGX_INT64_LEN + 2];
    ngx_str_t  argv[4];

    ngx_str_set(&argv[0], "XTRIM");
    ngx_d4_str(&argv[1], key, ngx_sprintf(key, "stream:%ui:%s", d->stream,
                                          d->sid)
                              - key);
    ngx_str_set(&argv[2], "MINID");
    ngx_d4_str(&argv[3], id, ngx_sprintf(id, "%uL-%uL", d->committed.ms,
                                         d->committed.n)
                             - id);

    (void) ngx_d4_redis_command(ngx_d4_worker.streams, 4, argv, NULL, NULL);
}

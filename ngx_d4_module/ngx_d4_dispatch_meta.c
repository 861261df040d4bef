
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Sessions of type 2, then 254: the object that says what follows, whether
 * that is accepted, and what others may know of it.
 */


#include "ngx_d4_dispatch.h"


#define NGX_D4_META_TAGS   64
#define NGX_D4_META_ARGS   (5 + NGX_D4_META_TAGS)
#define NGX_D4_META_SEEN   5               /* s between notes of last_seen */


static void ngx_d4_dispatch_show(ngx_d4_dispatch_t *d);
static void ngx_d4_dispatch_accepted(void *data, redisReply *reply);


/* A session of type 2 begins to collect its object. */

static ngx_int_t
ngx_d4_dispatch_collector(ngx_d4_dispatch_t *d)
{
    if (d->meta) {
        return NGX_OK;
    }

    d->meta = ngx_alloc(sizeof(d4_meta_t), ngx_d4_worker.log);
    if (d->meta == NULL) {
        return NGX_ERROR;
    }

    d4_meta_init(d->meta, &ngx_d4_worker.pool, 0);

    return NGX_OK;
}


void
ngx_d4_dispatch_forget_meta(ngx_d4_dispatch_t *d)
{
    d4_meta_free(d->meta);
    ngx_free(d->meta);

    d->meta = NULL;
    d->handler = NULL;
    ngx_str_null(&d->ext);
}


ngx_int_t
ngx_d4_dispatch_recall(ngx_d4_dispatch_t *d, redisReply *meta)
{
    if (ngx_d4_dispatch_collector(d) != NGX_OK) {
        return NGX_ERROR;
    }

    if (d->stream != D4_TYPE_EXTENDED) {
        return NGX_OK;
    }

    if (!ngx_d4_reply_text(meta)
        || d4_meta_add(d->meta, (u_char *) meta->str, meta->len)
           != D4_META_DONE)
    {
        ngx_d4_dispatch_unusable(d, "meta");
        ngx_d4_dispatch_forget_meta(d);
        return NGX_ERROR;
    }

    return ngx_d4_dispatch_extend(d);
}


ngx_int_t
ngx_d4_dispatch_extend(ngx_d4_dispatch_t *d)
{
    const char  *name;

    name = d4_meta_type(d->meta);

    ngx_d4_str(&d->ext, name, ngx_strlen(name));

    d->handler = d4_handler_find(name);
    d->stream = D4_TYPE_EXTENDED;

    if (d->session) {
        ngx_d4_session_object(d->session, d4_meta_json(d->meta));
        ngx_d4_dispatch_show(d);
    }

    return ngx_d4_dispatch_decoder(d, NULL, NULL);
}


/* The published keys that show who sends an extended type. */

static void
ngx_d4_dispatch_show(ngx_d4_dispatch_t *d)
{
    ngx_str_t  argv[3];

    ngx_d4_str(&argv[0], d->hex, D4_UUID_HEX);
    ngx_d4_str(&argv[1], d->sid, D4_SID);
    argv[2] = d->ext;

    (void) ngx_d4_script(ngx_d4_worker.streams, NGX_D4_SCRIPT_EXTEND, 3, argv,
                         NULL, NULL);
}


/* What is accepted is asked of Redis, where the object is noted as well. */

void
ngx_d4_dispatch_accept(ngx_d4_dispatch_t *d)
{
    u_char       now[NGX_TIME_T_LEN];
    ngx_str_t    argv[NGX_D4_META_ARGS];
    ngx_uint_t   i, n;
    const char  *text;

    ngx_d4_str(&argv[0], d->hex, D4_UUID_HEX);
    ngx_d4_str(&argv[1], d->sid, D4_SID);

    text = d4_meta_type(d->meta);
    ngx_d4_str(&argv[2], text, ngx_strlen(text));

    ngx_d4_str(&argv[3], now, ngx_sprintf(now, "%T", ngx_time()) - now);

    text = d4_meta_json(d->meta);
    ngx_d4_str(&argv[4], text, ngx_strlen(text));

    n = ngx_min(d->meta->ntags, NGX_D4_META_TAGS);

    for (i = 0; i < n; i++) {
        text = d4_meta_tag(d->meta, i);
        ngx_d4_str(&argv[5 + i], text, ngx_strlen(text));
    }

    d->accepting = 1;

    if (ngx_d4_script(ngx_d4_worker.metadata, NGX_D4_SCRIPT_META, 5 + n, argv,
                      ngx_d4_dispatch_accepted, d)
        == NGX_OK)
    {
        d->refs++;

    } else {
        ngx_d4_dispatch_later(d);
    }
}


static void
ngx_d4_dispatch_accepted(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    u_char  text[NGX_D4_ERROR_TEXT];

    if (ngx_d4_dispatch_unref(d)) {
        return;
    }

    if (!ngx_d4_dispatch_succeeded(d, ngx_d4_worker.metadata, reply,
                                   "extended type"))
    {
        return;
    }

    d->accepting = 0;

    if (ngx_d4_reply_int(reply) == 0) {
        (void) ngx_snprintf(text, sizeof(text) - 1,
                            "unsupported extended type %s%Z",
                            d4_meta_type(d->meta));
        text[sizeof(text) - 1] = '\0';

        ngx_d4_dispatch_reject(d, (char *) text);
        ngx_d4_dispatch_work(d);
        return;
    }

    d->started = (time_t) (d->at.ms / 1000);

    if (ngx_d4_dispatch_extend(d) != NGX_OK) {
        ngx_d4_dispatch_restart(d);
        return;
    }

    /* from here on the cursor is in the other stream */

    ngx_memzero(&d->at, sizeof(ngx_d4_position_t));
    ngx_memzero(&d->border, sizeof(ngx_d4_position_t));
    ngx_memzero(&d->read, sizeof(ngx_d4_position_t));
    d4_border_init(&d->track, NULL);

    d->read_begun = 0;
    d->new_meta = 1;
    d->step = 1;

    ngx_d4_dispatch_work(d);
}


/* The object is in the cursor: the stream of type 2 is not needed. */

void
ngx_d4_dispatch_extended(ngx_d4_dispatch_t *d)
{
    u_char     key[NGX_D4_STREAM_KEY];
    ngx_str_t  argv[4];

    ngx_str_set(&argv[0], "XTRIM");
    ngx_d4_str(&argv[1], key, ngx_sprintf(key, "stream:2:%s", d->sid) - key);
    ngx_str_set(&argv[2], "MAXLEN");
    ngx_str_set(&argv[3], "0");

    (void) ngx_d4_redis_command(ngx_d4_worker.streams, 4, argv, NULL, NULL);
}


/* As published, but now and then rather than with each entry. */

void
ngx_d4_dispatch_seen(ngx_d4_dispatch_t *d)
{
    u_char      key[sizeof("metadata_extended_type_by_uuid::") + D4_UUID_HEX
                    + D4_PATH_NAME];
    u_char      now[NGX_TIME_T_LEN];
    ngx_str_t   argv[4];

    if (d->ext.len == 0 || ngx_time() - d->ext_seen < NGX_D4_META_SEEN) {
        return;
    }

    d->ext_seen = ngx_time();

    ngx_str_set(&argv[0], "HSET");
    ngx_d4_str(&argv[1], key,
               ngx_sprintf(key, "metadata_extended_type_by_uuid:%s:%V", d->hex,
                           &d->ext)
               - key);
    ngx_str_set(&argv[2], "last_seen");
    ngx_d4_str(&argv[3], now, ngx_sprintf(now, "%T", ngx_time()) - now);

    (void) ngx_d4_redis_command(ngx_d4_worker.metadata, 4, argv, NULL, NULL);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Looks up the live sessions of this host in the published lists.
 *
 * Nothing is decided here.  A hit marks the session, and its worker asks for
 * all that its policy needs.  The sessions are gone through in chunks, one in
 * flight; an answer that is missing ends the round.
 */


#include "ngx_d4_control.h"


#define NGX_D4_LIVE_CHUNK    256

#define NGX_D4_LIVE_BAN      "temp_blacklist_uuid:"

/* the longest command: its words, and the text that they need */
#define NGX_D4_LIVE_WORDS    (2 + 2 * NGX_D4_LIVE_CHUNK)
#define NGX_D4_LIVE_TEXT                                                      \
    (NGX_D4_LIVE_CHUNK * (D4_UUID_HEX + 1 + D4_UUID_DASHED + 1))


typedef u_char *(*ngx_d4_list_pt)(u_char *p, ngx_str_t *words,
    ngx_d4_node_t *node);

/* a published list, and how a session is looked up in it */
typedef struct {
    ngx_str_t                key;          /* empty: words are whole keys */
    ngx_uint_t               words;        /* per session */
    ngx_d4_list_pt           write;
    unsigned                 streams:1;    /* on that Redis, not metadata */
    unsigned                 member:1;     /* it is bad not to be in it */
    unsigned                 some:1;       /* the list is not empty */
} ngx_d4_list_t;


typedef struct {
    ngx_uint_t               wait;         /* answers to come */
    uint32_t                 cursor;
    ngx_uint_t               nnodes;
    unsigned                 busy:1;
    unsigned                 failed:1;
    ngx_d4_node_t            nodes[NGX_D4_LIVE_CHUNK];
} ngx_d4_live_t;


static void ngx_d4_live_size_handler(void *data, redisReply *reply);
static void ngx_d4_live_chunk(void);
static ngx_uint_t ngx_d4_live_wanted(ngx_d4_list_t *list);
static void ngx_d4_live_list(ngx_d4_list_t *list);
static void ngx_d4_live_list_handler(void *data, redisReply *reply);
static ngx_d4_redis_t *ngx_d4_live_redis(ngx_d4_list_t *list);
static u_char *ngx_d4_live_uuid(u_char *p, ngx_str_t *words,
    ngx_d4_node_t *node);
static u_char *ngx_d4_live_addr(u_char *p, ngx_str_t *words,
    ngx_d4_node_t *node);
static u_char *ngx_d4_live_sid(u_char *p, ngx_str_t *words,
    ngx_d4_node_t *node);
static u_char *ngx_d4_live_ban(u_char *p, ngx_str_t *words,
    ngx_d4_node_t *node);


static ngx_d4_list_t  ngx_d4_live_lists[] = {
    { ngx_string("blacklist_uuid"), 2, ngx_d4_live_uuid, 0, 0, 0 },
    { ngx_string("blacklist_ip_by_uuid"), 2, ngx_d4_live_uuid, 0, 0, 0 },
    { ngx_string("blacklist_ip"), 1, ngx_d4_live_addr, 0, 0, 0 },
    { ngx_string("registered_uuid"), 2, ngx_d4_live_uuid, 0, 1, 0 },
    { ngx_string("Error:IncorrectType"), 1, ngx_d4_live_sid, 1, 0, 0 },
    { ngx_null_string, 1, ngx_d4_live_ban, 1, 0, 0 }
};

#define NGX_D4_LIVE_LISTS                                                     \
    (sizeof(ngx_d4_live_lists) / sizeof(ngx_d4_live_lists[0]))

static ngx_d4_live_t  ngx_d4_live;


void
ngx_d4_poll_live_init(void)
{
    ngx_memzero(&ngx_d4_live, sizeof(ngx_d4_live_t));
}


ngx_uint_t
ngx_d4_poll_live_busy(void)
{
    return ngx_d4_live.busy;
}


/* First which lists are worth asking: most are empty most of the time. */

void
ngx_d4_poll_live(void)
{
    ngx_uint_t      i;
    ngx_str_t       argv[2];
    ngx_d4_list_t  *list;
    ngx_d4_live_t  *live;

    live = &ngx_d4_live;

    if (ngx_d4_worker.shared->nodes_used == 0) {
        return;
    }

    live->busy = 1;
    live->failed = 0;
    live->cursor = 0;
    live->nnodes = 0;

    for (i = 0; i < NGX_D4_LIVE_LISTS; i++) {
        list = &ngx_d4_live_lists[i];
        list->some = 0;

        if (list->key.len == 0) {
            continue;
        }

        ngx_str_set(&argv[0], "SCARD");
        argv[1] = list->key;

        if (ngx_d4_redis_command(ngx_d4_live_redis(list), 2, argv,
                                 ngx_d4_live_size_handler, list)
            != NGX_OK)
        {
            live->failed = 1;
            continue;
        }

        live->wait++;
    }

    if (live->wait == 0) {
        live->busy = 0;
    }
}


static void
ngx_d4_live_size_handler(void *data, redisReply *reply)
{
    ngx_d4_list_t  *list = data;

    if (reply == NULL) {
        ngx_d4_live.failed = 1;

    } else {
        list->some = (reply->type == REDIS_REPLY_INTEGER
                      && reply->integer > 0);
    }

    if (--ngx_d4_live.wait == 0) {
        ngx_d4_live_chunk();
    }
}


static void
ngx_d4_live_chunk(void)
{
    ngx_uint_t      i;
    ngx_d4_live_t  *live;

    live = &ngx_d4_live;

    if (!live->failed && ngx_d4_control_leading()) {
        live->nnodes = ngx_d4_registry_read(&live->cursor, live->nodes,
                                            NGX_D4_LIVE_CHUNK);

        for (i = 0; i < NGX_D4_LIVE_LISTS && live->nnodes; i++) {
            if (ngx_d4_live_wanted(&ngx_d4_live_lists[i])) {
                ngx_d4_live_list(&ngx_d4_live_lists[i]);
            }
        }
    }

    if (live->wait == 0) {
        live->busy = 0;
    }
}


static ngx_uint_t
ngx_d4_live_wanted(ngx_d4_list_t *list)
{
    if (list->member) {
        return ngx_d4_worker.conf->mode == NGX_D4_MODE_REGISTRATION;
    }

    return list->some || list->key.len == 0;
}


static void
ngx_d4_live_list(ngx_d4_list_t *list)
{
    u_char         *p, text[NGX_D4_LIVE_TEXT];
    ngx_str_t       argv[NGX_D4_LIVE_WORDS];
    ngx_uint_t      i, n;
    ngx_d4_live_t  *live;

    live = &ngx_d4_live;
    n = 0;

    if (list->key.len) {
        ngx_str_set(&argv[n], "SMISMEMBER");
        n++;
        argv[n++] = list->key;

    } else {
        ngx_str_set(&argv[n], "MGET");
        n++;
    }

    p = text;

    for (i = 0; i < live->nnodes; i++) {
        p = list->write(p, &argv[n], &live->nodes[i]);
        n += list->words;
    }

    if (ngx_d4_redis_command(ngx_d4_live_redis(list), n, argv,
                             ngx_d4_live_list_handler, list)
        != NGX_OK)
    {
        live->failed = 1;
        return;
    }

    live->wait++;
}


static void
ngx_d4_live_list_handler(void *data, redisReply *reply)
{
    ngx_d4_list_t  *list = data;

    ngx_uint_t      i, j, found;
    redisReply     *e;
    ngx_d4_live_t  *live;

    live = &ngx_d4_live;

    if (reply == NULL) {
        live->failed = 1;

    } else if (reply->type == REDIS_REPLY_ARRAY
               && reply->elements == live->nnodes * list->words)
    {
        for (i = 0; i < live->nnodes; i++) {
            found = 0;

            for (j = 0; j < list->words; j++) {
                e = reply->element[i * list->words + j];
                found |= list->key.len ? (e->integer == 1)
                                       : (e->type == REDIS_REPLY_STRING);
            }

            if (found != list->member) {
                ngx_d4_registry_mark(live->nodes[i].uuid, live->nodes[i].sid);
            }
        }
    }

    if (--live->wait == 0) {
        ngx_d4_live_chunk();
    }
}


static ngx_d4_redis_t *
ngx_d4_live_redis(ngx_d4_list_t *list)
{
    return list->streams ? ngx_d4_worker.streams : ngx_d4_worker.metadata;
}


static u_char *
ngx_d4_live_uuid(u_char *p, ngx_str_t *words, ngx_d4_node_t *node)
{
    d4_uuid_hex((char *) p, node->uuid);

    words[0].data = p;
    words[0].len = D4_UUID_HEX;

    p += D4_UUID_HEX + 1;

    d4_uuid_dashed((char *) p, node->uuid);

    words[1].data = p;
    words[1].len = D4_UUID_DASHED;

    return p + D4_UUID_DASHED + 1;
}


static u_char *
ngx_d4_live_addr(u_char *p, ngx_str_t *words, ngx_d4_node_t *node)
{
    words[0].data = p;
    words[0].len = d4_addr_text((char *) p, &node->addr);

    return p + words[0].len + 1;
}


static u_char *
ngx_d4_live_sid(u_char *p, ngx_str_t *words, ngx_d4_node_t *node)
{
    words[0].data = (u_char *) node->sid;
    words[0].len = D4_SID;

    return p;
}


static u_char *
ngx_d4_live_ban(u_char *p, ngx_str_t *words, ngx_d4_node_t *node)
{
    words[0].data = p;
    p = ngx_cpymem(p, NGX_D4_LIVE_BAN, sizeof(NGX_D4_LIVE_BAN) - 1);
    d4_uuid_hex((char *) p, node->uuid);
    p += D4_UUID_HEX;
    words[0].len = p - words[0].data;

    return p + 1;
}

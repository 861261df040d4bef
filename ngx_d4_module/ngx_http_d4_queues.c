
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Analyzer queues: definitions in metadata, as published; the lists, which
 * consumers read from, in queues.
 */


#include "ngx_http_d4_match.h"
#include "ngx_http_d4_queue.h"


#define NGX_HTTP_D4_QUEUES       100   /* in a page */
#define NGX_HTTP_D4_SAMPLE       11    /* elements, as published */
#define NGX_HTTP_D4_SAMPLE_LINE  3000  /* bytes of each */
#define NGX_HTTP_D4_QUEUE_ID     64


static void ngx_http_d4_queues_list(ngx_http_d4_api_t *a);
static void ngx_http_d4_queues_page(ngx_http_d4_api_t *a);
static void ngx_http_d4_queues_lengths(ngx_http_d4_api_t *a);
static void ngx_http_d4_queues_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_queue_got(ngx_http_d4_api_t *a);
static void ngx_http_d4_queue_json(ngx_http_d4_api_t *a,
    ngx_http_d4_reply_t *queue, ngx_http_d4_reply_t *len,
    ngx_http_d4_reply_t *bytes);
static void ngx_http_d4_queue_empty(ngx_http_d4_api_t *a);
static void ngx_http_d4_queue_emptied(ngx_http_d4_api_t *a);
static void ngx_http_d4_queue_sample(ngx_http_d4_api_t *a);
static void ngx_http_d4_queue_sampled(ngx_http_d4_api_t *a);
static void ngx_http_d4_queue_sample_send(ngx_http_d4_api_t *a);


/*
 * Lua: queue(q) is {id, type, extended type, description, max_size, max_bytes,
 * element, last_updated, members}, and what the keeper saw: {dropped, full,
 * unread, last read, growth, pushed, elements a second in and out}
 */

#define NGX_HTTP_D4_LUA_QUEUE                                                 \
    "local function queue(q) "                                                \
        "local m=redis.call('HMGET','analyzer:'..q,'type','metatype',"        \
            "'description','max_size','max_bytes','element','last_updated') " \
        "if not m[1] then return false end "                                  \
        "local n=redis.call('SCARD','analyzer_sensor_group:'..q) "            \
        "local w=redis.call('HMGET','d4:watch:'..q,'dropped','full',"         \
            "'unread','read','growth','pushed','in_rate','out_rate') "        \
        "return {q,m[1],m[2],m[3],m[4],m[5],m[6],m[7],n,unpack(w,1,8)} "      \
        "end "

static const char  ngx_http_d4_script_queues[] =
    NGX_HTTP_D4_LUA_QUEUE
    "local out={} "
    "for _,q in ipairs(ARGV) do "
        "local v=queue(q) if v then out[#out+1]=v end end "
    "return out";

static const char  ngx_http_d4_script_queue[] =
    NGX_HTTP_D4_LUA_QUEUE
    NGX_HTTP_D4_LUA_QUEUE_STATE
    "local v=queue(ARGV[1]) "
    "if not v then return {} end "
    "v[18]=redis.call('SRANDMEMBER','analyzer_sensor_group:'..ARGV[1],1000) "
    "v[19]=state(ARGV[1]) "
    "return v";


static const d4_field_t  ngx_http_d4_queue_nothing[] = {
    { NULL, 0, 0, 0, 0, NULL }
};


const ngx_http_d4_route_t  ngx_http_d4_queue_routes[] = {

    { NGX_HTTP_GET, "queues", NGX_HTTP_D4_VIEWER, 0, ngx_http_d4_queues_list,
      NULL, "next" },

    { NGX_HTTP_POST, "queues", NGX_HTTP_D4_USER, NGX_HTTP_D4_IS_THERE,
      ngx_http_d4_queue_create, ngx_http_d4_queue_create_fields, NULL },

    { NGX_HTTP_GET, "queues/{}", NGX_HTTP_D4_VIEWER, 0, ngx_http_d4_queue_get,
      NULL, NULL },

    { NGX_HTTP_PATCH, "queues/{}", NGX_HTTP_D4_USER, NGX_HTTP_D4_MATCHES,
      ngx_http_d4_queue_update, ngx_http_d4_queue_update_fields, NULL },

    { NGX_HTTP_DELETE, "queues/{}", NGX_HTTP_D4_USER, NGX_HTTP_D4_MATCHES,
      ngx_http_d4_queue_delete, NULL, NULL },

    { NGX_HTTP_POST, "queues/{}/empty", NGX_HTTP_D4_USER,
      NGX_HTTP_D4_NO_BODY|NGX_HTTP_D4_MATCHES, ngx_http_d4_queue_empty,
      ngx_http_d4_queue_nothing, NULL },

    { NGX_HTTP_GET, "queues/{}/sample", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_queue_sample, NULL, NULL },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};


/* An id in the form it was given: the published server keeps it so. */

ngx_int_t
ngx_http_d4_queue_id(ngx_http_d4_api_t *a, ngx_str_t *id)
{
    if (!d4_check_word(a->params[0].text, a->params[0].len)) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid queue");
        return NGX_ERROR;
    }

    id->data = (u_char *) a->params[0].text;
    id->len = a->params[0].len;

    return NGX_OK;
}


static void
ngx_http_d4_queues_list(ngx_http_d4_api_t *a)
{
    int64_t  at;

    at = 0;

    if (ngx_http_d4_arg_number(a, "next", 0, INT64_MAX, &at) != NGX_OK) {
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA,
                    "SSCAN all_analyzer_queues %L COUNT %i", at,
                    (ngx_int_t) NGX_HTTP_D4_QUEUES);
    ngx_http_d4_wait(a, ngx_http_d4_queues_page);
}


static void
ngx_http_d4_queues_page(ngx_http_d4_api_t *a)
{
    ngx_uint_t            i;
    ngx_array_t          *words;
    ngx_http_d4_reply_t  *r;

    r = a->reply[0];
    a->page = &r->element[0];

    words = ngx_http_d4_words(a, "EVAL %s 0", ngx_http_d4_script_queues);

    for (i = 0; i < r->element[1].n; i++) {
        ngx_http_d4_word(words, r->element[1].element[i].str.data,
                         r->element[1].element[i].str.len);
    }

    ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);
    ngx_http_d4_wait(a, ngx_http_d4_queues_lengths);
}


/* The key of a queue's list: the extended type's name, not 254. */

void
ngx_http_d4_queue_list_word(ngx_array_t *words, ngx_str_t *type,
    ngx_str_t *extended, ngx_str_t *id)
{
    u_char  text[NGX_HTTP_D4_QUEUE_ID * 3 + 16], *p;

    if ((type->len == 3 && ngx_strncmp(type->data, "254", 3) == 0)
        && extended->len)
    {
        type = extended;
    }

    p = ngx_snprintf(text, sizeof(text), "analyzer:%V:%V", type, id);

    ngx_http_d4_word(words, text, p - text);
}


/* One script asks for all of them, so that a page is one question. */

static const char  ngx_http_d4_script_lengths[] =
    "local out={} "
    "for i,k in ipairs(ARGV) do "
        "if redis.call('TYPE',k).ok=='list' then "
            "out[i]=redis.call('LLEN',k) "
        "else out[i]=redis.call('EXISTS',k)*-1 end end "
    "return out";


static void
ngx_http_d4_queues_lengths(ngx_http_d4_api_t *a)
{
    ngx_uint_t             i;
    ngx_array_t           *words;
    ngx_http_d4_reply_t   *e;

    words = ngx_http_d4_words(a, "EVAL %s 0", ngx_http_d4_script_lengths);

    for (i = 0; i < a->reply[0]->n; i++) {
        e = a->reply[0]->element[i].element;
        ngx_http_d4_queue_list_word(words, &e[1].str, &e[2].str, &e[0].str);
    }

    a->data = a->reply[0];

    ngx_http_d4_ask_words(a, NGX_D4_REDIS_QUEUES, words);
    ngx_http_d4_wait(a, ngx_http_d4_queues_send);
}


static void
ngx_http_d4_queues_send(ngx_http_d4_api_t *a)
{
    ngx_uint_t            i;
    ngx_http_d4_reply_t  *queues;

    queues = a->data;

    d4_out_object(&a->out, NULL);
    d4_out_array(&a->out, "queues");

    for (i = 0; i < queues->n && i < a->reply[0]->n; i++) {
        ngx_http_d4_queue_json(a, &queues->element[i],
                               &a->reply[0]->element[i], NULL);
    }

    d4_out_array_end(&a->out);
    ngx_http_d4_json_scan(&a->out, a->page);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_queue_json(ngx_http_d4_api_t *a, ngx_http_d4_reply_t *queue,
    ngx_http_d4_reply_t *len, ngx_http_d4_reply_t *bytes)
{
    d4_out_t             *o;
    ngx_http_d4_reply_t  *e;

    o = &a->out;
    e = queue->element;

    d4_out_object(o, NULL);
    ngx_http_d4_json_string(o, "id", &e[0]);
    ngx_http_d4_json_number(o, "type", &e[1]);
    ngx_http_d4_json_string(o, "extended_type", &e[2]);
    ngx_http_d4_json_string(o, "description", &e[3]);
    ngx_http_d4_json_number(o, "max_size", &e[4]);
    ngx_http_d4_json_number(o, "max_bytes", &e[5]);
    ngx_http_d4_json_string(o, "element", &e[6]);
    ngx_http_d4_json_number(o, "last_updated", &e[7]);
    d4_out_bool(o, "group", e[8].integer != 0);
    ngx_http_d4_json_number(o, "dropped", &e[9]);
    d4_out_bool(o, "full", ngx_http_d4_number(&e[10], 0) != 0);
    d4_out_bool(o, "unread", ngx_http_d4_number(&e[11], 0) != 0);
    ngx_http_d4_json_number(o, "last_read", &e[12]);
    ngx_http_d4_json_number(o, "growth", &e[13]);
    ngx_http_d4_json_number(o, "pushed",
                            ngx_http_d4_number(&e[14], -1) < 0 ? NULL
                                                               : &e[14]);
    ngx_http_d4_json_number(o, "in_rate", &e[15]);
    ngx_http_d4_json_number(o, "out_rate", &e[16]);

    if (len->integer < 0) {
        d4_out_null(o, "length");

    } else {
        d4_out_int(o, "length", len->integer);
    }

    if (bytes) {
        d4_out_int(o, "bytes", ngx_http_d4_number(bytes, 0));
    }

    if (queue->n > 17) {
        ngx_http_d4_json_strings(o, "sensors", &e[17]);
    }

    d4_out_object_end(o);
}


static void
ngx_http_d4_queue_read(ngx_http_d4_api_t *a, ngx_http_d4_pt next)
{
    ngx_str_t  id;

    if (ngx_http_d4_queue_id(a, &id) != NGX_OK) {
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "EVAL %s 0 %V",
                    ngx_http_d4_script_queue, &id);
    ngx_http_d4_wait(a, next);
}


void
ngx_http_d4_queue_get(ngx_http_d4_api_t *a)
{
    ngx_http_d4_queue_read(a, ngx_http_d4_queue_got);
}


static void
ngx_http_d4_queue_send(ngx_http_d4_api_t *a)
{
    ngx_http_d4_queue_json(a, a->data, &a->reply[0]->element[0], a->reply[1]);
    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_queue_got(ngx_http_d4_api_t *a)
{
    ngx_array_t          *words;
    ngx_http_d4_reply_t  *e;

    if (a->reply[0]->n == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such queue");
        return;
    }

    a->data = a->reply[0];
    e = a->reply[0]->element;

    ngx_http_d4_set_state(a, &e[18]);

    words = ngx_http_d4_words(a, "EVAL %s 0", ngx_http_d4_script_lengths);
    ngx_http_d4_queue_list_word(words, &e[1].str, &e[2].str, &e[0].str);
    ngx_http_d4_ask_words(a, NGX_D4_REDIS_QUEUES, words);

    words = ngx_http_d4_words(a, "MEMORY USAGE");
    ngx_http_d4_queue_list_word(words, &e[1].str, &e[2].str, &e[0].str);
    ngx_http_d4_ask_words(a, NGX_D4_REDIS_QUEUES, words);

    ngx_http_d4_wait(a, ngx_http_d4_queue_send);
}


static void
ngx_http_d4_queue_empty(ngx_http_d4_api_t *a)
{
    ngx_str_t  id;

    if (ngx_http_d4_queue_id(a, &id) != NGX_OK) {
        return;
    }

    ngx_http_d4_change(a, NGX_D4_REDIS_METADATA, NGX_HTTP_D4_A_QUEUE, &id,
                       ngx_http_d4_words(a, "EVAL %s 0 %V",
                                         ngx_http_d4_script_queue, &id));
    ngx_http_d4_wait(a, ngx_http_d4_queue_emptied);
}


static void
ngx_http_d4_queue_emptied(ngx_http_d4_api_t *a)
{
    ngx_array_t          *words;
    ngx_http_d4_reply_t  *e;

    if (a->reply[0]->n == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such queue");
        return;
    }

    e = a->reply[0]->element;

    words = ngx_http_d4_words(a, "UNLINK");
    ngx_http_d4_queue_list_word(words, &e[1].str, &e[2].str, &e[0].str);
    ngx_http_d4_ask_words(a, NGX_D4_REDIS_QUEUES, words);
    ngx_http_d4_wait(a, ngx_http_d4_queue_done);
}


static void
ngx_http_d4_queue_sample(ngx_http_d4_api_t *a)
{
    ngx_http_d4_queue_read(a, ngx_http_d4_queue_sampled);
}


/* Elements may be large: they are cut where they are. */

static const char  ngx_http_d4_script_sample[] =
    "if redis.call('TYPE',ARGV[1]).ok~='list' then return {} end "
    "local r=redis.call('LRANGE',ARGV[1],0,ARGV[2]-1) "
    "for i,v in ipairs(r) do "
        "r[i]={string.sub(v,1,tonumber(ARGV[3])),#v} end "
    "return r";


static void
ngx_http_d4_queue_sampled(ngx_http_d4_api_t *a)
{
    ngx_array_t          *words;
    ngx_http_d4_reply_t  *e;

    if (a->reply[0]->n == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such queue");
        return;
    }

    e = a->reply[0]->element;

    words = ngx_http_d4_words(a, "EVAL %s 0", ngx_http_d4_script_sample);
    ngx_http_d4_queue_list_word(words, &e[1].str, &e[2].str, &e[0].str);
    ngx_http_d4_word_number(words, NGX_HTTP_D4_SAMPLE);
    ngx_http_d4_word_number(words, NGX_HTTP_D4_SAMPLE_LINE);
    ngx_http_d4_ask_words(a, NGX_D4_REDIS_QUEUES, words);
    ngx_http_d4_wait(a, ngx_http_d4_queue_sample_send);
}


static void
ngx_http_d4_queue_sample_send(ngx_http_d4_api_t *a)
{
    ngx_uint_t            i;
    ngx_http_d4_reply_t  *e;

    d4_out_object(&a->out, NULL);
    d4_out_array(&a->out, "elements");

    for (i = 0; i < a->reply[0]->n; i++) {
        e = a->reply[0]->element[i].element;

        d4_out_object(&a->out, NULL);
        ngx_http_d4_json_string(&a->out, "text", &e[0]);
        d4_out_int(&a->out, "bytes", e[1].integer);
        d4_out_object_end(&a->out);
    }

    d4_out_array_end(&a->out);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}

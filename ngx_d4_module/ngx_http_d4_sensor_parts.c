
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * What belongs to one sensor: sessions, types, statistics, addresses, files.
 */


#include "ngx_http_d4_sensor.h"
#include "api/d4_disk.h"


#define NGX_HTTP_D4_SESSIONS  64       /* that are shown */


typedef struct {
    ngx_uint_t              n;
    ngx_d4_session_view_t   views[NGX_HTTP_D4_SESSIONS];
    ngx_uint_t              nsids;
    ngx_str_t               sids[NGX_HTTP_D4_SESSIONS];
} ngx_http_d4_sessions_t;

typedef struct {
    char                    path[NGX_MAX_PATH];
    d4_disk_t               disk;
} ngx_http_d4_files_t;


static void ngx_http_d4_sessions(ngx_http_d4_api_t *a);
static void ngx_http_d4_sessions_others(ngx_http_d4_api_t *a);
static void ngx_http_d4_sessions_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_session_live(ngx_http_d4_api_t *a,
    ngx_d4_session_view_t *v);
static void ngx_http_d4_session_known(ngx_http_d4_api_t *a, ngx_str_t *sid,
    ngx_http_d4_reply_t *e);
static void ngx_http_d4_sensor_types(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_types_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_stats(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_stats_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_addresses(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_addresses_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_sensor_files(ngx_http_d4_api_t *a);
static void ngx_http_d4_files_work(void *data);
static void ngx_http_d4_files_send(ngx_http_d4_api_t *a);


static const char  ngx_http_d4_script_types[] =
    "local out={} "
    "local function add(all,key,kind) "
        "for _,t in ipairs(redis.call('SMEMBERS',all..ARGV[1])) do "
            "local m=redis.call('HMGET',key..ARGV[1]..':'..t,'first_seen',"
                "'last_seen') "
            "out[#out+1]={kind,t,m[1],m[2]} end end "
    "add('all_types_by_uuid:','metadata_type_by_uuid:','') "
    "add('all_extended_types_by_uuid:','metadata_extended_type_by_uuid:',"
        "'ext') "
    "return out";


/* uuid, day... -> {type, packets, ...}, bytes for each day */

static const char  ngx_http_d4_script_days[] =
    "local out={} "
    "for i=2,#ARGV do "
        "local d=ARGV[i] "
        "out[#out+1]={redis.call('ZRANGE','stat_uuid_type:'..d..':'..ARGV[1],"
            "0,-1,'WITHSCORES'),redis.call('ZSCORE','d4:bytes:'..d..':uuid',"
            "ARGV[1])} end "
    "return out";


const ngx_http_d4_route_t  ngx_http_d4_sensor_part_routes[] = {

    { NGX_HTTP_GET, "sensors/{}/sessions", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_sessions, NULL, NULL },

    { NGX_HTTP_GET, "sensors/{}/types", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_sensor_types, NULL, NULL },

    { NGX_HTTP_GET, "sensors/{}/stats", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_sensor_stats, NULL, "from to" },

    { NGX_HTTP_GET, "sensors/{}/addresses", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_sensor_addresses, NULL, NULL },

    { NGX_HTTP_GET, "sensors/{}/files", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_sensor_files, NULL, NULL },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};


/*
 * Sessions of this host come from the shared zone, as they are; those of
 * others from Redis, as they last wrote it down.
 */

static void
ngx_http_d4_sessions(ngx_http_d4_api_t *a)
{
    u_char                   uuid[D4_UUID_SIZE];
    ngx_http_d4_sessions_t  *s;

    s = ngx_pcalloc(a->request->pool, sizeof(ngx_http_d4_sessions_t));
    if (s == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return;
    }

    (void) d4_uuid_parse(uuid, a->uuid_hex, D4_UUID_HEX);

    s->n = ngx_d4_session_find(uuid, s->views, NGX_HTTP_D4_SESSIONS);
    a->data = s;

    ngx_http_d4_ask(a, NGX_D4_REDIS_STREAMS,
                    "SRANDMEMBER map:active_connection-uuid-session_uuid:%V "
                    "%i", &a->uuid, (ngx_int_t) NGX_HTTP_D4_SESSIONS);
    ngx_http_d4_wait(a, ngx_http_d4_sessions_others);
}


static void
ngx_http_d4_sessions_others(ngx_http_d4_api_t *a)
{
    ngx_uint_t               i, j;
    ngx_http_d4_reply_t     *r;
    ngx_http_d4_sessions_t  *s;

    s = a->data;
    r = a->reply[0];

    for (i = 0; i < r->n && s->nsids < NGX_HTTP_D4_SESSIONS; i++) {

        for (j = 0; j < s->n; j++) {
            if (r->element[i].str.len == D4_SID
                && ngx_memcmp(r->element[i].str.data, s->views[j].sid, D4_SID)
                   == 0)
            {
                break;
            }
        }

        if (j < s->n) {
            continue;
        }

        s->sids[s->nsids++] = r->element[i].str;

        ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA,
                        "HMGET d4:session:%V type address worker start last "
                        "frames bytes state", &r->element[i].str);
    }

    ngx_http_d4_wait(a, ngx_http_d4_sessions_send);
}


static void
ngx_http_d4_sessions_send(ngx_http_d4_api_t *a)
{
    ngx_uint_t               i;
    ngx_http_d4_sessions_t  *s;

    s = a->data;

    d4_out_object(&a->out, NULL);
    d4_out_array(&a->out, "sessions");

    for (i = 0; i < s->n; i++) {
        ngx_http_d4_session_live(a, &s->views[i]);
    }

    for (i = 0; i < s->nsids; i++) {
        ngx_http_d4_session_known(a, &s->sids[i], a->reply[i]->element);
    }

    d4_out_array_end(&a->out);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_session_live(ngx_http_d4_api_t *a, ngx_d4_session_view_t *v)
{
    char       text[D4_ADDR_TEXT];
    d4_out_t  *o;

    o = &a->out;

    (void) d4_addr_text(text, &v->addr);

    d4_out_object(o, NULL);
    d4_out_text(o, "session", (char *) v->sid);
    d4_out_int(o, "type", v->type);
    d4_out_text(o, "address", text);
    d4_out_string(o, "host",
                  ngx_d4_get_conf((ngx_cycle_t *) ngx_cycle)->host.data,
                  ngx_d4_get_conf((ngx_cycle_t *) ngx_cycle)->host.len);
    d4_out_int(o, "start", v->start);
    d4_out_int(o, "last", v->last);
    d4_out_uint(o, "frames", v->frames);
    d4_out_uint(o, "bytes", v->bytes);
    d4_out_object_end(o);
}


static void
ngx_http_d4_session_known(ngx_http_d4_api_t *a, ngx_str_t *sid,
    ngx_http_d4_reply_t *e)
{
    u_char    *colon;
    d4_out_t  *o;

    o = &a->out;

    if (e[0].type != REDIS_REPLY_STRING
        || e[7].str.len != 4 || ngx_strncmp(e[7].str.data, "live", 4) != 0)
    {
        return;
    }

    d4_out_object(o, NULL);
    d4_out_string(o, "session", sid->data, sid->len);
    ngx_http_d4_json_number(o, "type", &e[0]);
    ngx_http_d4_json_string(o, "address", &e[1]);

    colon = ngx_strlchr(e[2].str.data, e[2].str.data + e[2].str.len, ':');
    d4_out_string(o, "host", e[2].str.data,
                  colon ? (size_t) (colon - e[2].str.data) : e[2].str.len);

    ngx_http_d4_json_number(o, "start", &e[3]);
    ngx_http_d4_json_number(o, "last", &e[4]);
    d4_out_int(o, "frames", ngx_http_d4_number(&e[5], 0));
    d4_out_int(o, "bytes", ngx_http_d4_number(&e[6], 0));
    d4_out_object_end(o);
}


static void
ngx_http_d4_sensor_types(ngx_http_d4_api_t *a)
{
    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "EVAL %s 0 %V",
                    ngx_http_d4_script_types, &a->uuid);
    ngx_http_d4_ask(a, NGX_D4_REDIS_STREAMS,
                    "SMEMBERS active_connection_by_uuid:%V", &a->uuid);
    ngx_http_d4_ask(a, NGX_D4_REDIS_STREAMS,
                    "SMEMBERS active_connection_extended_type:%V", &a->uuid);
    ngx_http_d4_wait(a, ngx_http_d4_sensor_types_send);
}


static void
ngx_http_d4_sensor_types_send(ngx_http_d4_api_t *a)
{
    ngx_uint_t            i, j, ext, live;
    ngx_http_d4_reply_t  *e, *set;

    d4_out_object(&a->out, NULL);

    for (ext = 0; ext < 2; ext++) {

        d4_out_array(&a->out, ext ? "extended_types" : "types");
        set = a->reply[1 + ext];

        for (i = 0; i < a->reply[0]->n; i++) {
            e = a->reply[0]->element[i].element;

            if ((e[0].str.len != 0) != ext) {
                continue;
            }

            live = 0;

            for (j = 0; j < set->n; j++) {
                if (set->element[j].str.len == e[1].str.len
                    && ngx_memcmp(set->element[j].str.data, e[1].str.data,
                                  e[1].str.len)
                       == 0)
                {
                    live = 1;
                }
            }

            d4_out_object(&a->out, NULL);

            if (ext) {
                ngx_http_d4_json_string(&a->out, "name", &e[1]);

            } else {
                ngx_http_d4_json_number(&a->out, "type", &e[1]);
            }

            d4_out_bool(&a->out, "connected", live != 0);
            ngx_http_d4_json_number(&a->out, "first_seen", &e[2]);
            ngx_http_d4_json_number(&a->out, "last_seen", &e[3]);
            d4_out_object_end(&a->out);
        }

        d4_out_array_end(&a->out);
    }

    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_sensor_stats(ngx_http_d4_api_t *a)
{
    unsigned      from, to, day;
    ngx_uint_t    i, n;
    ngx_array_t  *words;

    if (ngx_http_d4_days(a, &from, &to, &n) != NGX_OK) {
        return;
    }

    words = ngx_http_d4_words(a, "EVAL %s 0 %V", ngx_http_d4_script_days,
                              &a->uuid);
    day = from;

    for (i = 0; i < n; i++) {
        ngx_http_d4_word_number(words, day);
        day = d4_day_next(day);
    }

    a->number = from;

    ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);
    ngx_http_d4_wait(a, ngx_http_d4_sensor_stats_send);
}


static void
ngx_http_d4_sensor_stats_send(ngx_http_d4_api_t *a)
{
    int64_t               packets, n;
    unsigned              day;
    ngx_uint_t            i, j;
    ngx_http_d4_reply_t  *e, *types;

    day = a->number;

    d4_out_object(&a->out, NULL);
    d4_out_array(&a->out, "days");

    for (i = 0; i < a->reply[0]->n; i++) {
        e = a->reply[0]->element[i].element;
        types = &e[0];
        packets = 0;

        d4_out_object(&a->out, NULL);
        ngx_http_d4_json_day(&a->out, "date", day);

        d4_out_object(&a->out, "types");

        for (j = 0; j + 1 < types->n; j += 2) {
            n = ngx_http_d4_number(&types->element[j + 1], 0);
            packets += n;

            d4_out_key(&a->out, types->element[j].str.data,
                       types->element[j].str.len);
            d4_out_int(&a->out, NULL, n);
        }

        d4_out_object_end(&a->out);

        d4_out_int(&a->out, "packets", packets);
        d4_out_int(&a->out, "bytes", ngx_http_d4_number(&e[1], 0));
        d4_out_object_end(&a->out);

        day = d4_day_next(day);
    }

    d4_out_array_end(&a->out);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_sensor_addresses(ngx_http_d4_api_t *a)
{
    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA, "LRANGE list_uuid_ip:%V 0 15",
                    &a->uuid);
    ngx_http_d4_wait(a, ngx_http_d4_sensor_addresses_send);
}


/* "<address>-YYYYmmddHHMMSS", local time, newest first */

static void
ngx_http_d4_sensor_addresses_send(ngx_http_d4_api_t *a)
{
    u_char      *p;
    ngx_str_t   *s;
    ngx_uint_t   i;

    d4_out_object(&a->out, NULL);
    d4_out_array(&a->out, "addresses");

    for (i = 0; i < a->reply[0]->n; i++) {
        s = &a->reply[0]->element[i].str;

        if (s->len < 16 || s->data[s->len - 15] != '-') {
            continue;
        }

        p = s->data + s->len - 14;

        d4_out_object(&a->out, NULL);
        d4_out_string(&a->out, "address", s->data, s->len - 15);
        d4_out_key(&a->out, "time", 4);
        d4_out_printf(&a->out, "\"%.4s-%.2s-%.2sT%.2s:%.2s:%.2s\"", p, p + 4,
                      p + 6, p + 8, p + 10, p + 12);
        d4_out_object_end(&a->out);
    }

    d4_out_array_end(&a->out);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


/* Disks are walked in a thread, up to a bound that the answer tells. */

static void
ngx_http_d4_sensor_files(ngx_http_d4_api_t *a)
{
    ngx_str_t            *data;
    ngx_http_d4_files_t  *f;

    data = &ngx_d4_get_conf((ngx_cycle_t *) ngx_cycle)->data;

    if (data->len == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND,
                          "No \"data\" is configured");
        return;
    }

    f = ngx_http_d4_task(a, sizeof(ngx_http_d4_files_t));
    if (f == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return;
    }

    ngx_snprintf((u_char *) f->path, sizeof(f->path) - 1, "%V/%V", data,
                 &a->uuid);

    ngx_http_d4_run(a, f, ngx_http_d4_files_work, ngx_http_d4_files_send);
}


static void
ngx_http_d4_files_work(void *data)
{
    ngx_http_d4_files_t  *f = data;

    d4_disk_walk(f->path, &f->disk);
}


static void
ngx_http_d4_files_send(ngx_http_d4_api_t *a)
{
    ngx_uint_t            i;
    ngx_http_d4_files_t  *f;

    f = a->data;

    d4_out_object(&a->out, NULL);
    d4_out_uint(&a->out, "files", f->disk.files);
    d4_out_uint(&a->out, "bytes", f->disk.bytes);
    d4_out_bool(&a->out, "complete", f->disk.complete);
    d4_out_array(&a->out, "types");

    for (i = 0; i < 256; i++) {
        if (f->disk.types[i].files == 0) {
            continue;
        }

        d4_out_object(&a->out, NULL);
        d4_out_int(&a->out, "type", i);
        d4_out_uint(&a->out, "files", f->disk.types[i].files);
        d4_out_uint(&a->out, "bytes", f->disk.types[i].bytes);
        d4_out_object_end(&a->out);
    }

    d4_out_array_end(&a->out);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Lists of sensors: sorted by an index of ours, filtered, in pages.
 *
 * A page costs Redis no more than NGX_HTTP_D4_LIST_SCAN members of an index,
 * however few of them a filter lets through: a page may be shorter than asked
 * for, even empty, while there is a next one.
 */


#include "ngx_http_d4_sensor.h"


#define NGX_HTTP_D4_LIST_SCAN    "1000"
#define NGX_HTTP_D4_LIST_CURSOR  400
#define NGX_HTTP_D4_EXPORT_PAGE  200


typedef struct {
    ngx_str_t    cursor;               /* raw; empty: from the start */
    ngx_uint_t   order;
    ngx_uint_t   desc;
    ngx_uint_t   state;                /* 0: any */
    ngx_uint_t   connected;
    int64_t      limit;
    ngx_str_t    tag;
    ngx_str_t    group;
    ngx_str_t    name;
} ngx_http_d4_list_t;


static void ngx_http_d4_list(ngx_http_d4_api_t *a);
static void ngx_http_d4_list_pending(ngx_http_d4_api_t *a);
static ngx_http_d4_list_t *ngx_http_d4_list_args(ngx_http_d4_api_t *a);
static ngx_int_t ngx_http_d4_list_cursor(ngx_http_d4_api_t *a,
    ngx_http_d4_list_t *l);
static void ngx_http_d4_list_ask(ngx_http_d4_api_t *a,
    ngx_http_d4_list_t *l);
static void ngx_http_d4_list_connected(ngx_http_d4_api_t *a);
static void ngx_http_d4_list_live(ngx_http_d4_api_t *a);
static void ngx_http_d4_list_page(ngx_http_d4_api_t *a);
static void ngx_http_d4_list_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_list_write(ngx_http_d4_api_t *a,
    ngx_http_d4_reply_t *page, ngx_uint_t i, ngx_uint_t connected);
static void ngx_http_d4_export(ngx_http_d4_api_t *a);
static void ngx_http_d4_export_ask(ngx_http_d4_api_t *a);
static void ngx_http_d4_export_page(ngx_http_d4_api_t *a);
static void ngx_http_d4_export_send(ngx_http_d4_api_t *a);


/*
 * order, desc (0 or 1), cursor, limit, scan, state, tag, group, name prefix
 * -> next cursor or "", sensor...; {} for a cursor that is none
 */

#define NGX_HTTP_D4_LUA_KEEP                                                  \
    "local all=state=='' and tag=='' and group=='' and name=='' "             \
    "local function keep(u) "                                                 \
        "if all then return true end "                                        \
        "if state~='' and not has(state=='pending' "                          \
            "and 'sensor_pending_registration' or 'registered_uuid',u) then " \
            "return false end "                                               \
        "if tag~='' and not redis.call('ZSCORE','d4:index:tag:'..tag,u) "     \
            "then return false end "                                          \
        "if group~='' and not redis.call('ZSCORE','d4:index:group:'..group,"  \
            "u) then return false end "                                       \
        "if name~='' then "                                                   \
            "local n=redis.call('HGET','metadata_uuid:'..u,'name') "          \
            "return n and string.sub(string.lower(n),1,#name)==name end "     \
        "return true end "

static const char  ngx_http_d4_script_list[] =
    NGX_HTTP_D4_LUA_INDEX
    NGX_HTTP_D4_LUA_SENSOR
    "local order,desc,cursor,limit,scan=ARGV[1],ARGV[2]=='1',ARGV[3],"
        "tonumber(ARGV[4]),tonumber(ARGV[5]) "
    "local state,tag,group,name=ARGV[6],ARGV[7],ARGV[8],"
        "string.lower(ARGV[9]) "
    NGX_HTTP_D4_LUA_KEEP
    "local key='d4:index:'..order "
    "if order=='uuid' and tag~='' then key='d4:index:tag:'..tag "
    "elseif order=='uuid' and group~='' then "
        "key='d4:index:group:'..group end "
    "local function seen(n) "
        "local start=0 "
        "if cursor~='' then "
            "local score,u=string.match(cursor,'^(%d+):(%x+)$') "
            "if not score then return nil end "
            "local s=redis.call('ZSCORE',key,u) "
            "if s and tonumber(s)==tonumber(score) then "
                "start=redis.call(desc and 'ZREVRANK' or 'ZRANK',key,u)+1 "
            "elseif desc then "
                "start=redis.call('ZCOUNT',key,score,'+inf') "
            "else start=redis.call('ZCOUNT',key,'-inf',score) end end "
        "local r=redis.call(desc and 'ZREVRANGE' or 'ZRANGE',key,start,"
            "start+n-1,'WITHSCORES') "
        "local t={} "
        "for i=1,#r,2 do "
            "t[#t+1]={r[i],string.format('%.0f',tonumber(r[i+1]))..':'..r[i]} "
        "end return t end "
    "local function lex(n) "
        "local low,high='-','+' "
        "if order=='name' and name~='' then "
            "low,high='['..name,'('..name..'\\255' end "
        "if cursor~='' then "
            "if desc then high='('..cursor else low='('..cursor end end "
        "local r "
        "if desc then r=redis.call('ZREVRANGEBYLEX',key,high,low,'LIMIT',0,n) "
        "else r=redis.call('ZRANGEBYLEX',key,low,high,'LIMIT',0,n) end "
        "for i,v in ipairs(r) do r[i]={string.sub(v,-32),v} end "
        "return r end "
    "local out,full={''},false "
    "while not full do "
        "local n=math.min(100,scan) "
        "local t=(order=='seen' and seen or lex)(n) "
        "if not t then return {} end "
        "local page={} "
        "for _,v in ipairs(t) do "
            "cursor=v[2] "
            "if keep(v[1]) then "
                "page[#page+1]=v[1] "
                "if #out+#page>limit then full=true break end end end "
        "for _,v in ipairs(sensors(page)) do out[#out+1]=v end "
        "if not full and #t<n then return out end "
        "scan=scan-n "
        "if scan<=0 then full=true end end "
    "out[1]=cursor "
    "return out";


/* state, tag, group, name prefix, uuid... -> "", sensor... */

static const char  ngx_http_d4_script_some[] =
    NGX_HTTP_D4_LUA_INDEX
    NGX_HTTP_D4_LUA_SENSOR
    "local state,tag,group,name=ARGV[1],ARGV[2],ARGV[3],"
        "string.lower(ARGV[4]) "
    NGX_HTTP_D4_LUA_KEEP
    "local out,page={''},{} "
    "local function flush() "
        "for _,v in ipairs(sensors(page)) do out[#out+1]=v end "
        "page={} end "
    "for i=5,#ARGV do if keep(ARGV[i]) then "
        "page[#page+1]=ARGV[i] "
        "if #page==500 then flush() end end end "
    "flush() "
    "return out";


static const char *const  ngx_http_d4_orders[] = {
    "uuid", "name", "seen", "-uuid", "-name", "-seen", NULL
};

static const char *const  ngx_http_d4_states[] = {
    "", "registered", "pending", NULL
};

static const char *const  ngx_http_d4_yes[] = { "false", "true", NULL };


const ngx_http_d4_route_t  ngx_http_d4_list_routes[] = {

    { NGX_HTTP_GET, "sensors", NGX_HTTP_D4_VIEWER, 0, ngx_http_d4_list, NULL,
      "limit next sort state connected tag group name" },

    { NGX_HTTP_GET, "pending", NGX_HTTP_D4_ADMIN, 0, ngx_http_d4_list_pending,
      NULL, "limit next sort tag group name" },

    { NGX_HTTP_GET, "sensors/export", NGX_HTTP_D4_VIEWER, 0,
      ngx_http_d4_export, NULL, "state tag group name" },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};


static void
ngx_http_d4_list(ngx_http_d4_api_t *a)
{
    ngx_http_d4_list_t  *l;

    l = ngx_http_d4_list_args(a);

    if (l == NULL) {
        return;
    }

    if (l->connected) {
        ngx_http_d4_list_connected(a);
        return;
    }

    ngx_http_d4_list_ask(a, l);
    ngx_http_d4_wait(a, ngx_http_d4_list_page);
}


static void
ngx_http_d4_list_pending(ngx_http_d4_api_t *a)
{
    ngx_http_d4_list_t  *l;

    l = ngx_http_d4_list_args(a);

    if (l == NULL) {
        return;
    }

    l->state = 2;

    ngx_http_d4_list_ask(a, l);
    ngx_http_d4_wait(a, ngx_http_d4_list_page);
}


static ngx_http_d4_list_t *
ngx_http_d4_list_args(ngx_http_d4_api_t *a)
{
    d4_arg_t            *arg;
    ngx_uint_t           i, sort;
    ngx_http_d4_list_t  *l;

    static const struct {
        const char  *name;
        size_t       offset;
    } texts[] = {
        { "tag", offsetof(ngx_http_d4_list_t, tag) },
        { "group", offsetof(ngx_http_d4_list_t, group) },
        { "name", offsetof(ngx_http_d4_list_t, name) }
    };

    l = ngx_pcalloc(a->request->pool, sizeof(ngx_http_d4_list_t));
    if (l == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return NULL;
    }

    a->data = l;
    l->limit = 100;
    sort = 0;

    if (ngx_http_d4_arg_number(a, "limit", 1, 1000, &l->limit) != NGX_OK
        || ngx_http_d4_arg_word(a, "sort", ngx_http_d4_orders, &sort) != NGX_OK
        || ngx_http_d4_arg_word(a, "state", ngx_http_d4_states, &l->state)
           != NGX_OK
        || ngx_http_d4_arg_word(a, "connected", ngx_http_d4_yes,
                                &l->connected)
           != NGX_OK
        || ngx_http_d4_list_cursor(a, l) != NGX_OK)
    {
        return NULL;
    }

    l->order = sort % 3;
    l->desc = sort / 3;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {

        arg = ngx_http_d4_arg(a, texts[i].name);

        if (arg == NULL) {
            continue;
        }

        if (!d4_check_text(arg->value, arg->value_len)
            || arg->value_len > 100)
        {
            ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid %s",
                              texts[i].name);
            return NULL;
        }

        *(ngx_str_t *) ((u_char *) l + texts[i].offset)
            = ngx_http_d4_copy(a, arg->value, arg->value_len);
    }

    if (l->connected && ngx_http_d4_arg(a, "sort")) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST,
                          "connected sensors are not sorted");
        return NULL;
    }

    return l;
}


/* To clients a cursor is a word in base64. */

static ngx_int_t
ngx_http_d4_list_cursor(ngx_http_d4_api_t *a, ngx_http_d4_list_t *l)
{
    d4_arg_t   *arg;
    ngx_str_t   word;

    arg = ngx_http_d4_arg(a, "next");

    if (arg == NULL) {
        return NGX_OK;
    }

    word.data = (u_char *) arg->value;
    word.len = arg->value_len;

    l->cursor = ngx_http_d4_copy(a, word.data, word.len);

    if (word.len == 0 || word.len > NGX_HTTP_D4_LIST_CURSOR
        || l->cursor.len == 0
        || ngx_decode_base64url(&l->cursor, &word) != NGX_OK
        || l->cursor.len == 0)
    {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid next");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_d4_list_ask(ngx_http_d4_api_t *a, ngx_http_d4_list_t *l)
{
    ngx_http_d4_ask(a, NGX_D4_REDIS_METADATA,
                    "EVAL %s 0 %s %i %V %L %s %s %V %V %V",
                    ngx_http_d4_script_list, ngx_http_d4_orders[l->order],
                    (ngx_int_t) l->desc, &l->cursor, l->limit,
                    NGX_HTTP_D4_LIST_SCAN, ngx_http_d4_states[l->state],
                    &l->tag, &l->group, &l->name);
}


/* Who is connected is in the order of Redis' own scan of that set. */

static void
ngx_http_d4_list_connected(ngx_http_d4_api_t *a)
{
    int64_t              at;
    ngx_http_d4_list_t  *l;

    l = a->data;
    at = 0;

    if (l->cursor.len
        && d4_number((char *) l->cursor.data, l->cursor.len, 0, INT64_MAX, &at)
           != 0)
    {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid next");
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_STREAMS,
                    "SSCAN active_connection %L COUNT %L", at, l->limit);
    ngx_http_d4_wait(a, ngx_http_d4_list_live);
}


static void
ngx_http_d4_list_live(ngx_http_d4_api_t *a)
{
    ngx_uint_t            i;
    ngx_array_t          *words;
    ngx_http_d4_list_t   *l;
    ngx_http_d4_reply_t  *r;

    l = a->data;
    r = a->reply[0];

    l->cursor = r->element[0].str;

    if (l->cursor.len == 1 && l->cursor.data[0] == '0') {
        ngx_str_null(&l->cursor);
    }

    l->cursor = ngx_http_d4_copy(a, l->cursor.data, l->cursor.len);

    words = ngx_http_d4_words(a, "EVAL %s 0 %s %V %V %V",
                              ngx_http_d4_script_some,
                              ngx_http_d4_states[l->state], &l->tag,
                              &l->group, &l->name);

    for (i = 0; i < r->element[1].n; i++) {
        if (r->element[1].element[i].str.len == D4_UUID_HEX) {
            ngx_http_d4_word(words, r->element[1].element[i].str.data,
                             D4_UUID_HEX);
        }
    }

    ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);
    ngx_http_d4_wait(a, ngx_http_d4_list_send);
}


/* Asks which of a page are connected. */

static ngx_uint_t
ngx_http_d4_list_ask_live(ngx_http_d4_api_t *a, ngx_http_d4_reply_t *page)
{
    ngx_uint_t    i;
    ngx_array_t  *words;

    if (page->n < 2) {
        return 0;
    }

    words = ngx_http_d4_words(a, "SMISMEMBER active_connection");

    for (i = 1; i < page->n; i++) {
        ngx_http_d4_word(words, page->element[i].element[0].str.data,
                         page->element[i].element[0].str.len);
    }

    ngx_http_d4_ask_words(a, NGX_D4_REDIS_STREAMS, words);

    return 1;
}


static void
ngx_http_d4_list_page(ngx_http_d4_api_t *a)
{
    ngx_http_d4_list_t   *l;
    ngx_http_d4_reply_t  *page;

    l = a->data;
    page = a->reply[0];

    if (page->n == 0) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid next");
        return;
    }

    l->cursor = page->element[0].str;

    if (!ngx_http_d4_list_ask_live(a, page)) {
        ngx_http_d4_list_send(a);
        return;
    }

    a->page = page;

    ngx_http_d4_wait(a, ngx_http_d4_list_send);
}


/* A page, or with a->page that one and who of it is connected. */

static void
ngx_http_d4_list_send(ngx_http_d4_api_t *a)
{
    ngx_str_t             next;
    ngx_uint_t            i, connected;
    ngx_http_d4_list_t   *l;
    ngx_http_d4_reply_t  *page, *live;

    l = a->data;
    page = a->page ? a->page : a->reply[0];
    live = a->page ? a->reply[0] : NULL;

    d4_out_object(&a->out, NULL);
    d4_out_array(&a->out, "sensors");

    for (i = 1; i < page->n; i++) {
        connected = live ? (live->element[i - 1].integer != 0)
                         : l->connected;
        ngx_http_d4_list_write(a, page, i, connected);
    }

    d4_out_array_end(&a->out);

    if (l->cursor.len) {
        next.data = ngx_pnalloc(a->pool,
                                ngx_base64_encoded_length(l->cursor.len));

        if (next.data == NULL) {
            ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
            return;
        }

        ngx_encode_base64url(&next, &l->cursor);
        d4_out_string(&a->out, "next", next.data, next.len);

    } else {
        d4_out_null(&a->out, "next");
    }

    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_list_write(ngx_http_d4_api_t *a, ngx_http_d4_reply_t *page,
    ngx_uint_t i, ngx_uint_t connected)
{
    if (page->element[i].n == NGX_HTTP_D4_SENSOR_LEN) {
        ngx_http_d4_sensor_json(a, NULL, &page->element[i], connected);
    }
}


/* All of a list as NDJSON, page by page as the client takes it. */

static void
ngx_http_d4_export(ngx_http_d4_api_t *a)
{
    ngx_http_d4_list_t  *l;

    l = ngx_http_d4_list_args(a);

    if (l == NULL) {
        return;
    }

    l->limit = NGX_HTTP_D4_EXPORT_PAGE;

    ngx_http_d4_export_ask(a);
}


static void
ngx_http_d4_export_ask(ngx_http_d4_api_t *a)
{
    ngx_http_d4_forget(a);

    a->page = NULL;

    ngx_http_d4_list_ask(a, a->data);
    ngx_http_d4_wait(a, ngx_http_d4_export_page);
}


static void
ngx_http_d4_export_page(ngx_http_d4_api_t *a)
{
    if (!a->streaming
        && ngx_http_d4_stream_begin(a, "application/x-ndjson") != NGX_OK)
    {
        return;
    }

    a->page = a->reply[0];

    if (!ngx_http_d4_list_ask_live(a, a->page)) {
        ngx_http_d4_export_send(a);
        return;
    }

    ngx_http_d4_wait(a, ngx_http_d4_export_send);
}


static void
ngx_http_d4_export_end(ngx_http_d4_api_t *a)
{
    ngx_http_d4_stream_end(a, 1);
}


static void
ngx_http_d4_export_send(ngx_http_d4_api_t *a)
{
    ngx_str_t             cursor;
    ngx_uint_t            i;
    ngx_http_d4_list_t   *l;
    ngx_http_d4_reply_t  *page;

    l = a->data;
    page = a->page;

    for (i = 1; i < page->n; i++) {
        ngx_http_d4_list_write(a, page, i,
                               a->reply[0]->element[i - 1].integer != 0);
        d4_out_raw(&a->out, "\n", 1);
    }

    cursor = page->element[0].str;

    if (cursor.len == 0) {
        ngx_http_d4_stream_piece(a, ngx_http_d4_export_end);
        return;
    }

    /* the place is kept in one piece of memory, however many pages */

    if (l->cursor.data == NULL || l->cursor.len == 0) {
        l->cursor.data = ngx_pnalloc(a->request->pool,
                                     NGX_HTTP_D4_LIST_CURSOR);
    }

    if (l->cursor.data == NULL || cursor.len > NGX_HTTP_D4_LIST_CURSOR) {
        ngx_http_d4_stream_end(a, 0);
        return;
    }

    ngx_memcpy(l->cursor.data, cursor.data, cursor.len);
    l->cursor.len = cursor.len;

    ngx_http_d4_stream_piece(a, ngx_http_d4_export_ask);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Many sensors in one call: registered, approved, tagged, imported.
 *
 * Sensors are worked on in slices, so that neither Redis nor this worker does
 * nothing else meanwhile.  What was done stays done when a later one fails:
 * each has its own result.
 */


#include "ngx_http_d4_sensor.h"


#define NGX_HTTP_D4_BULK        1000   /* in a call */
#define NGX_HTTP_D4_SLICE       50     /* in a step */
#define NGX_HTTP_D4_LINE        65536  /* bytes of a line of an import */
#define NGX_HTTP_D4_BAD_LINES   100    /* that are reported */


typedef struct {
    json_t         *list;              /* of objects */
    size_t          next;
    ngx_uint_t      n;                 /* of the slice */
    char            uuid[NGX_HTTP_D4_SLICE][D4_UUID_HEX + 1];
    char            key[NGX_HTTP_D4_SLICE][D4_KEY + 1];
} ngx_http_d4_register_t;


typedef struct {
    ngx_chain_t    *chain;             /* where the body is read on */
    off_t           offset;            /* in its buffer */
    size_t          len;               /* of the line so far */
    ngx_uint_t      number;            /* of the line */
    ngx_uint_t      n;                 /* of the slice */
    int64_t         created;
    int64_t         updated;
    int64_t         existing;
    int64_t         failed;
    ngx_uint_t      update;
    u_char          line[NGX_HTTP_D4_LINE];
} ngx_http_d4_import_t;


static void ngx_http_d4_bulk_register(ngx_http_d4_api_t *a);
static void ngx_http_d4_bulk_slice(ngx_http_d4_api_t *a);
static void ngx_http_d4_bulk_registered(ngx_http_d4_api_t *a);
static void ngx_http_d4_bulk_approve(ngx_http_d4_api_t *a);
static void ngx_http_d4_bulk_tag(ngx_http_d4_api_t *a);
static void ngx_http_d4_bulk_done(ngx_http_d4_api_t *a);
static void ngx_http_d4_import(ngx_http_d4_api_t *a);
static void ngx_http_d4_import_slice(ngx_http_d4_api_t *a);
static ngx_int_t ngx_http_d4_import_line(ngx_http_d4_api_t *a,
    ngx_http_d4_import_t *im);
static void ngx_http_d4_import_take(ngx_http_d4_api_t *a,
    ngx_http_d4_import_t *im);
static void ngx_http_d4_import_bad(ngx_http_d4_api_t *a,
    ngx_http_d4_import_t *im, const char *reason);
static void ngx_http_d4_import_stored(ngx_http_d4_api_t *a);
static void ngx_http_d4_import_send(ngx_http_d4_api_t *a);


/* now, uuid... -> how many were not registered yet */

static const char  ngx_http_d4_script_approve_all[] =
    NGX_HTTP_D4_LUA_INDEX
    "local n=0 "
    "for i=2,#ARGV do "
        "local u=ARGV[i] "
        "unindex(u) "
        "redis.call('SREM','sensor_pending_registration',u,dash(u)) "
        "if not has('registered_uuid',u) then "
            "redis.call('SADD','registered_uuid',u) "
            "redis.call('HSETNX','metadata_uuid:'..u,'created',ARGV[1]) "
            "n=n+1 end "
        "index(u) "
        "redis.call('PUBLISH','d4:control','sensor '..u) end "
    "return n";

/*
 * most, number of tags to add, of tags to remove, tag..., uuid... -> how many
 * sensors have other tags now; those not registered or pending have none
 */

static const char  ngx_http_d4_script_tag_all[] =
    NGX_HTTP_D4_LUA_INDEX
    "local most,add,del=tonumber(ARGV[1]),tonumber(ARGV[2]),tonumber(ARGV[3]) "
    "local n=0 "
    "for i=4+add+del,#ARGV do "
        "local u=ARGV[i] "
        "if has('registered_uuid',u) or has('sensor_pending_registration',u) "
            "then "
            "local old=redis.call('HGET','metadata_uuid:'..u,'tags') or '' "
            "local set,list={},{} "
            "for j=4+add,3+add+del do set[ARGV[j]]=true end "
            "local function take(v) if not set[v] and #list<most then "
                "set[v]=true list[#list+1]=v end end "
            "for _,v in ipairs(split(old)) do take(v) end "
            "for j=4,3+add do take(ARGV[j]) end "
            "local new=table.concat(list,',') "
            "if new~=old then "
                "unindex(u) "
                "if new=='' then redis.call('HDEL','metadata_uuid:'..u,"
                    "'tags') "
                "else redis.call('HSET','metadata_uuid:'..u,'tags',new) end "
                "index(u) "
                "n=n+1 end end end "
    "return n";


static const d4_field_t  ngx_http_d4_bulk_register_fields[] = {
    { "sensors", D4_FIELD_OBJECTS, D4_FIELD_REQUIRED, 1, NGX_HTTP_D4_BULK,
      NULL },
    { NULL, 0, 0, 0, 0, NULL }
};

static const d4_field_t  ngx_http_d4_bulk_approve_fields[] = {
    { "uuids", D4_FIELD_UUIDS, D4_FIELD_REQUIRED, 1, NGX_HTTP_D4_BULK, NULL },
    { NULL, 0, 0, 0, 0, NULL }
};

static const d4_field_t  ngx_http_d4_bulk_tag_fields[] = {
    { "uuids", D4_FIELD_UUIDS, D4_FIELD_REQUIRED, 1, NGX_HTTP_D4_BULK, NULL },
    { "add", D4_FIELD_LIST, 0, 0, NGX_HTTP_D4_TAGS, d4_check_tag },
    { "remove", D4_FIELD_LIST, 0, 0, NGX_HTTP_D4_TAGS, d4_check_tag },
    { NULL, 0, 0, 0, 0, NULL }
};


const ngx_http_d4_route_t  ngx_http_d4_bulk_routes[] = {

    { NGX_HTTP_POST, "sensors/bulk/register", NGX_HTTP_D4_ADMIN, 0,
      ngx_http_d4_bulk_register, ngx_http_d4_bulk_register_fields, NULL },

    { NGX_HTTP_POST, "sensors/bulk/approve", NGX_HTTP_D4_ADMIN, 0,
      ngx_http_d4_bulk_approve, ngx_http_d4_bulk_approve_fields, NULL },

    { NGX_HTTP_POST, "sensors/bulk/tag", NGX_HTTP_D4_USER, 0,
      ngx_http_d4_bulk_tag, ngx_http_d4_bulk_tag_fields, NULL },

    { NGX_HTTP_POST, "sensors/import", NGX_HTTP_D4_ADMIN, NGX_HTTP_D4_NDJSON,
      ngx_http_d4_import, NULL, "update" },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};


static void
ngx_http_d4_bulk_register(ngx_http_d4_api_t *a)
{
    size_t                   i;
    char                     reason[D4_BODY_REASON];
    json_t                  *item;
    ngx_http_d4_register_t  *b;

    b = ngx_pcalloc(a->request->pool, sizeof(ngx_http_d4_register_t));
    if (b == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return;
    }

    b->list = json_object_get(a->body, "sensors");

    /* nothing is done unless all are well-formed */

    json_array_foreach(b->list, i, item) {
        if (d4_body_check(item, ngx_http_d4_create_fields, reason) != 0) {
            ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Sensor %zu: %s", i,
                              reason);
            return;
        }
    }

    a->data = b;

    d4_out_object(&a->out, NULL);
    d4_out_array(&a->out, "results");

    ngx_http_d4_bulk_slice(a);
}


static void
ngx_http_d4_bulk_slice(ngx_http_d4_api_t *a)
{
    u_char                   uuid[D4_UUID_SIZE];
    json_t                  *item;
    const char              *key, *text;
    ngx_array_t             *words;
    ngx_http_d4_register_t  *b;

    b = a->data;

    ngx_http_d4_forget(a);

    for (b->n = 0; b->n < NGX_HTTP_D4_SLICE; b->n++) {

        item = json_array_get(b->list, b->next);

        if (item == NULL) {
            break;
        }

        b->next++;

        text = d4_body_string(item, "uuid", NULL);
        key = d4_body_string(item, "hmac_key", NULL);

        if (text ? d4_uuid_parse(uuid, text, ngx_strlen(text)) != 0
                 : d4_uuid_make(uuid) != 0)
        {
            ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR,
                              "No randomness");
            return;
        }

        d4_uuid_hex(b->uuid[b->n], uuid);
        b->key[b->n][0] = '\0';

        if (key == NULL) {
            if (d4_key_make(b->key[b->n]) != 0) {
                ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR,
                                  "No randomness");
                return;
            }

            key = b->key[b->n];
        }

        words = ngx_http_d4_words(a, "EVAL %s 0", ngx_http_d4_script_create);
        ngx_http_d4_create_words(a, words, item, b->uuid[b->n], "registered",
                                 key);
        ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);
    }

    ngx_http_d4_wait(a, ngx_http_d4_bulk_registered);
}


static void
ngx_http_d4_bulk_registered(ngx_http_d4_api_t *a)
{
    d4_out_t                *o;
    ngx_uint_t               i;
    ngx_http_d4_register_t  *b;

    b = a->data;
    o = &a->out;

    for (i = 0; i < b->n; i++) {
        d4_out_object(o, NULL);
        d4_out_text(o, "uuid", b->uuid[i]);

        if (a->reply[i]->integer) {
            d4_out_text(o, "status", "success");

            if (b->key[i][0]) {
                d4_out_text(o, "hmac_key", b->key[i]);
            }

        } else {
            d4_out_text(o, "status", "error");
            d4_out_text(o, "reason", "Sensor already registered");
        }

        d4_out_object_end(o);
    }

    if (b->next < json_array_size(b->list)) {
        ngx_http_d4_bulk_slice(a);
        return;
    }

    d4_out_array_end(o);
    d4_out_object_end(o);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_bulk_uuids(ngx_http_d4_api_t *a, ngx_array_t *words)
{
    char     hex[D4_UUID_HEX + 1];
    size_t   i;
    u_char   uuid[D4_UUID_SIZE];
    json_t  *list, *item;

    list = json_object_get(a->body, "uuids");

    json_array_foreach(list, i, item) {
        (void) d4_uuid_parse(uuid, json_string_value(item),
                             json_string_length(item));
        d4_uuid_hex(hex, uuid);
        ngx_http_d4_word(words, hex, D4_UUID_HEX);
    }
}


static void
ngx_http_d4_bulk_approve(ngx_http_d4_api_t *a)
{
    ngx_array_t  *words;

    words = ngx_http_d4_words(a, "EVAL %s 0 %L",
                              ngx_http_d4_script_approve_all,
                              (int64_t) ngx_time());
    ngx_http_d4_bulk_uuids(a, words);
    ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);
    ngx_http_d4_wait(a, ngx_http_d4_bulk_done);
}


static void
ngx_http_d4_bulk_tag(ngx_http_d4_api_t *a)
{
    size_t        i;
    json_t       *add, *del, *item;
    ngx_array_t  *words;

    add = json_object_get(a->body, "add");
    del = json_object_get(a->body, "remove");

    words = ngx_http_d4_words(a, "EVAL %s 0 %i %i %i",
                              ngx_http_d4_script_tag_all,
                              (ngx_int_t) NGX_HTTP_D4_TAGS,
                              (ngx_int_t) json_array_size(add),
                              (ngx_int_t) json_array_size(del));

    json_array_foreach(add, i, item) {
        ngx_http_d4_word(words, json_string_value(item),
                         json_string_length(item));
    }

    json_array_foreach(del, i, item) {
        ngx_http_d4_word(words, json_string_value(item),
                         json_string_length(item));
    }

    ngx_http_d4_bulk_uuids(a, words);
    ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);
    ngx_http_d4_wait(a, ngx_http_d4_bulk_done);
}


static void
ngx_http_d4_bulk_done(ngx_http_d4_api_t *a)
{
    d4_out_object(&a->out, NULL);
    d4_out_text(&a->out, "status", "success");
    d4_out_int(&a->out, "changed", a->reply[0]->integer);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


/*
 * What an export wrote, one sensor a line; what is not for an administrator to
 * say is passed over.  A sensor without hmac_key has no key of its own.
 */

static void
ngx_http_d4_import(ngx_http_d4_api_t *a)
{
    ngx_uint_t             update;
    ngx_http_d4_import_t  *im;

    static const char *const  yes[] = { "false", "true", NULL };

    update = 0;

    if (ngx_http_d4_arg_word(a, "update", yes, &update) != NGX_OK) {
        return;
    }

    im = ngx_pcalloc(a->request->pool, sizeof(ngx_http_d4_import_t));
    if (im == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return;
    }

    im->update = update;
    im->chain = a->request->request_body ? a->request->request_body->bufs
                                         : NULL;

    a->data = im;

    d4_out_object(&a->out, NULL);
    d4_out_array(&a->out, "errors");

    ngx_http_d4_import_slice(a);
}


static void
ngx_http_d4_import_slice(ngx_http_d4_api_t *a)
{
    ngx_int_t              rc;
    ngx_uint_t             lines;
    ngx_http_d4_import_t  *im;

    im = a->data;

    ngx_http_d4_forget(a);

    im->n = 0;
    rc = NGX_OK;

    for (lines = 0; im->n < NGX_HTTP_D4_SLICE
                    && lines < 4 * NGX_HTTP_D4_SLICE; lines++)
    {
        rc = ngx_http_d4_import_line(a, im);

        if (rc != NGX_OK) {
            break;
        }

        ngx_http_d4_import_take(a, im);
    }

    if (rc == NGX_ERROR) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR,
                          "The body could not be read");
        return;
    }

    if (im->n) {
        ngx_http_d4_wait(a, ngx_http_d4_import_stored);
        return;
    }

    if (rc == NGX_DONE) {
        ngx_http_d4_import_send(a);
        return;
    }

    /* bad lines only: others have their turn */

    ngx_http_d4_later(a, 1, ngx_http_d4_import_slice);
}


/*
 * The next line without its newline in im->line, its length in im->len; one
 * that is too long has the length NGX_HTTP_D4_LINE.  NGX_DONE at the end.
 */

static ngx_int_t
ngx_http_d4_import_line(ngx_http_d4_api_t *a, ngx_http_d4_import_t *im)
{
    u_char     *p, *end, buf[4096];
    size_t      n, take;
    ssize_t     rc;
    ngx_buf_t  *b;

    im->len = 0;

    for ( ;; ) {

        if (im->chain == NULL) {
            im->number += (im->len != 0);
            return im->len ? NGX_OK : NGX_DONE;
        }

        b = im->chain->buf;
        n = (size_t) ngx_min(ngx_buf_size(b) - im->offset, 4096);

        if (n == 0) {
            im->chain = im->chain->next;
            im->offset = 0;
            continue;
        }

        p = b->pos + im->offset;

        if (b->in_file) {
            rc = ngx_read_file(b->file, buf, n, b->file_pos + im->offset);

            if (rc <= 0) {
                return NGX_ERROR;
            }

            n = rc;
            p = buf;
        }

        end = ngx_strlchr(p, p + n, '\n');
        take = end ? (size_t) (end - p) : n;

        if (take >= NGX_HTTP_D4_LINE - im->len) {
            im->len = NGX_HTTP_D4_LINE;

        } else {
            ngx_memcpy(im->line + im->len, p, take);
            im->len += take;
        }

        im->offset += take + (end != NULL);

        if (end) {
            im->number++;
            return NGX_OK;
        }
    }
}


static void
ngx_http_d4_import_take(ngx_http_d4_api_t *a, ngx_http_d4_import_t *im)
{
    char          hex[D4_UUID_HEX + 1], reason[D4_BODY_REASON];
    size_t        i;
    u_char        uuid[D4_UUID_SIZE];
    json_t       *json;
    const char   *text, *key, *state;
    ngx_array_t  *words;

    static const char *const  shown[] = {
        "state", "connected", "blocked", "own_key", "created", "first_seen",
        "last_seen", "error", "types", NULL
    };

    if (im->len == 0 || (im->len == 1 && im->line[0] == '\r')) {
        return;
    }

    if (im->len == NGX_HTTP_D4_LINE) {
        ngx_http_d4_import_bad(a, im, "The line is too long");
        return;
    }

    json = d4_body_parse((char *) im->line, im->len, reason);

    if (json == NULL) {
        ngx_http_d4_import_bad(a, im, reason);
        return;
    }

    text = d4_body_string(json, "state", NULL);
    state = (text && ngx_strcmp(text, "pending") == 0) ? "pending"
                                                       : "registered";

    for (i = 0; shown[i]; i++) {
        (void) json_object_del(json, shown[i]);
    }

    text = d4_body_string(json, "uuid", NULL);

    if (d4_body_check(json, ngx_http_d4_create_fields, reason) != 0
        || text == NULL)
    {
        ngx_http_d4_import_bad(a, im, text ? reason : "There is no uuid");
        json_decref(json);
        return;
    }

    (void) d4_uuid_parse(uuid, text, ngx_strlen(text));
    d4_uuid_hex(hex, uuid);

    key = d4_body_string(json, "hmac_key", NULL);

    words = ngx_http_d4_words(a, "EVAL %s 0",
                              im->update ? ngx_http_d4_script_upsert
                                         : ngx_http_d4_script_create);
    ngx_http_d4_create_words(a, words, json, hex, state, key ? key : "");
    ngx_http_d4_ask_words(a, NGX_D4_REDIS_METADATA, words);

    im->n++;

    json_decref(json);
}


static void
ngx_http_d4_import_bad(ngx_http_d4_api_t *a, ngx_http_d4_import_t *im,
    const char *reason)
{
    if (im->failed++ < NGX_HTTP_D4_BAD_LINES) {
        d4_out_object(&a->out, NULL);
        d4_out_uint(&a->out, "line", im->number);
        d4_out_text(&a->out, "reason", reason);
        d4_out_object_end(&a->out);
    }
}


static void
ngx_http_d4_import_stored(ngx_http_d4_api_t *a)
{
    ngx_uint_t             i;
    ngx_http_d4_import_t  *im;

    im = a->data;

    for (i = 0; i < im->n; i++) {

        switch (a->reply[i]->integer) {

        case 0:
            im->existing++;
            break;

        case 1:
            im->created++;
            break;

        default:
            im->updated++;
        }
    }

    ngx_http_d4_import_slice(a);
}


static void
ngx_http_d4_import_send(ngx_http_d4_api_t *a)
{
    ngx_http_d4_import_t  *im;

    im = a->data;

    d4_out_array_end(&a->out);
    d4_out_int(&a->out, "created", im->created);
    d4_out_int(&a->out, "updated", im->updated);
    d4_out_int(&a->out, "existing", im->existing);
    d4_out_int(&a->out, "failed", im->failed);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}

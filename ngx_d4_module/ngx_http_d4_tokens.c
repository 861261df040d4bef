
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Tokens: several of each user, named, limited in time and role.  A token is
 * shown when it is made; what is kept is its hash.
 *
 * d4:token:<hash> (users) is a hash with email, name, role, created, expires;
 * d4:tokens:<email> the set of a user's hashes.  The id is the first sixteen
 * digits of the hash.
 */


#include "ngx_http_d4_auth.h"


#define NGX_HTTP_D4_TOKENS    "100"    /* of a user */
#define NGX_HTTP_D4_TOKEN_ID  16


static void ngx_http_d4_tokens(ngx_http_d4_api_t *a);
static void ngx_http_d4_tokens_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_token_create(ngx_http_d4_api_t *a);
static void ngx_http_d4_token_created(ngx_http_d4_api_t *a);
static void ngx_http_d4_token_delete(ngx_http_d4_api_t *a);
static void ngx_http_d4_token_deleted(ngx_http_d4_api_t *a);
static void ngx_http_d4_published(ngx_http_d4_api_t *a);
static ngx_int_t ngx_http_d4_token_owner(ngx_http_d4_api_t *a,
    ngx_str_t *email);


/* email -> {hash, name, role, created, expires}...; forgets expired ones */

static const char  ngx_http_d4_script_tokens[] =
    "local k='d4:tokens:'..ARGV[1] "
    "local out={} "
    "for _,h in ipairs(redis.call('SMEMBERS',k)) do "
        "local t=redis.call('HMGET','d4:token:'..h,'name','role','created',"
            "'expires') "
        "if t[3] then out[#out+1]={h,t[1],t[2],t[3],t[4]} "
        "else redis.call('SREM',k,h) end end "
    "return out";

/*
 * email, hash, name, role, now, expires or 0, most -> 1; 0: no such user; -1:
 * too many
 */

static const char  ngx_http_d4_script_token_create[] =
    "local e,h=ARGV[1],ARGV[2] "
    "if redis.call('HEXISTS','user:all',e)==0 then return 0 end "
    "local k='d4:tokens:'..e "
    "if redis.call('SCARD',k)>=tonumber(ARGV[7]) then "
        "for _,v in ipairs(redis.call('SMEMBERS',k)) do "
            "if redis.call('EXISTS','d4:token:'..v)==0 then "
                "redis.call('SREM',k,v) end end "
        "if redis.call('SCARD',k)>=tonumber(ARGV[7]) then return -1 end end "
    "redis.call('HSET','d4:token:'..h,'email',e,'name',ARGV[3],'role',ARGV[4],"
        "'created',ARGV[5],'expires',ARGV[6]) "
    "if ARGV[6]~='0' then redis.call('EXPIREAT','d4:token:'..h,ARGV[6]) end "
    "redis.call('SADD',k,h) "
    "return 1";

/* email, id -> 1, or 0: no such token */

static const char  ngx_http_d4_script_token_delete[] =
    "local k='d4:tokens:'..ARGV[1] "
    "for _,h in ipairs(redis.call('SMEMBERS',k)) do "
        "if string.sub(h,1,16)==ARGV[2] then "
            "redis.call('SREM',k,h) "
            "return redis.call('DEL','d4:token:'..h) end end "
    "return 0";

/* email -> 1, or 0: there is none */

static const char  ngx_http_d4_script_published[] =
    "local t=redis.call('HGET','user_metadata:'..ARGV[1],'token') "
    "if not t then return 0 end "
    "redis.call('HDEL','user:tokens',t) "
    "redis.call('HDEL','user_metadata:'..ARGV[1],'token') "
    "return 1";


static int
ngx_http_d4_check_token_role(const char *text, size_t len)
{
    return ngx_http_d4_role(text, len) != 0;
}


static const d4_field_t  ngx_http_d4_token_fields[] = {
    { "name", D4_FIELD_STRING, D4_FIELD_REQUIRED, 1, 100, NULL },
    { "role", D4_FIELD_STRING, 0, 1, 32, ngx_http_d4_check_token_role },
    { "expires", D4_FIELD_INT, 0, 1, 1000000000000, NULL },
    { NULL, 0, 0, 0, 0, NULL }
};


const ngx_http_d4_route_t  ngx_http_d4_token_routes[] = {

    { NGX_HTTP_GET, "tokens", NGX_HTTP_D4_KNOWN, 0, ngx_http_d4_tokens, NULL,
      NULL },

    { NGX_HTTP_POST, "tokens", NGX_HTTP_D4_KNOWN,
      NGX_HTTP_D4_IS_THERE, ngx_http_d4_token_create,
      ngx_http_d4_token_fields, NULL },

    { NGX_HTTP_DELETE, "tokens/published", NGX_HTTP_D4_KNOWN,
      NGX_HTTP_D4_IS_THERE, ngx_http_d4_published, NULL, NULL },

    { NGX_HTTP_DELETE, "tokens/{}", NGX_HTTP_D4_KNOWN,
      NGX_HTTP_D4_IS_THERE, ngx_http_d4_token_delete, NULL, NULL },

    { NGX_HTTP_GET, "users/{}/tokens", NGX_HTTP_D4_ADMIN, 0,
      ngx_http_d4_tokens, NULL, NULL },

    { NGX_HTTP_POST, "users/{}/tokens", NGX_HTTP_D4_ADMIN,
      NGX_HTTP_D4_IS_THERE, ngx_http_d4_token_create,
      ngx_http_d4_token_fields, NULL },

    { NGX_HTTP_DELETE, "users/{}/tokens/published", NGX_HTTP_D4_ADMIN,
      NGX_HTTP_D4_IS_THERE, ngx_http_d4_published, NULL, NULL },

    { NGX_HTTP_DELETE, "users/{}/tokens/{}", NGX_HTTP_D4_ADMIN,
      NGX_HTTP_D4_IS_THERE, ngx_http_d4_token_delete, NULL, NULL },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};


/* Whose: the user of the path, or the one who asks. */

static ngx_int_t
ngx_http_d4_token_owner(ngx_http_d4_api_t *a, ngx_str_t *email)
{
    if (a->route->path[0] != 'u') {

        /* a token that may do less must not touch those that may do more */

        if (a->narrowed && a->route->method != NGX_HTTP_GET) {
            ngx_http_d4_error(a, NGX_HTTP_FORBIDDEN,
                              "This token is of a narrower role than yours");
            return NGX_ERROR;
        }

        *email = a->user;
        return NGX_OK;
    }

    if (!d4_check_mail(a->params[0].text, a->params[0].len)) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid email");
        return NGX_ERROR;
    }

    email->data = (u_char *) a->params[0].text;
    email->len = a->params[0].len;

    return NGX_OK;
}


static void
ngx_http_d4_tokens(ngx_http_d4_api_t *a)
{
    ngx_str_t  email;

    if (ngx_http_d4_token_owner(a, &email) != NGX_OK) {
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "EVAL %s 0 %V",
                    ngx_http_d4_script_tokens, &email);
    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "HEXISTS user_metadata:%V token",
                    &email);
    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "HEXISTS user:all %V", &email);
    ngx_http_d4_wait(a, ngx_http_d4_tokens_send);
}


static void
ngx_http_d4_tokens_send(ngx_http_d4_api_t *a)
{
    d4_out_t             *o;
    ngx_uint_t            i;
    ngx_http_d4_reply_t  *e;

    if (a->reply[2]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such user");
        return;
    }

    o = &a->out;

    d4_out_object(o, NULL);
    d4_out_array(o, "tokens");

    for (i = 0; i < a->reply[0]->n; i++) {
        e = a->reply[0]->element[i].element;

        d4_out_object(o, NULL);
        d4_out_string(o, "id", e[0].str.data,
                      ngx_min(e[0].str.len, NGX_HTTP_D4_TOKEN_ID));
        ngx_http_d4_json_string(o, "name", &e[1]);

        if (e[2].str.len) {
            ngx_http_d4_json_string(o, "role", &e[2]);

        } else {
            d4_out_null(o, "role");
        }

        ngx_http_d4_json_number(o, "created", &e[3]);

        if (ngx_http_d4_number(&e[4], 0)) {
            ngx_http_d4_json_number(o, "expires", &e[4]);

        } else {
            d4_out_null(o, "expires");
        }

        d4_out_object_end(o);
    }

    d4_out_array_end(o);
    d4_out_bool(o, "published_token", a->reply[1]->integer != 0);
    d4_out_object_end(o);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


/*
 * Nobody makes a token that may do more than they may themselves with what
 * they asked with: a token of a narrow role stays one.
 */

static void
ngx_http_d4_token_create(ngx_http_d4_api_t *a)
{
    char        token[D4_TOKEN + 1], hash[D4_HASH + 1];
    int64_t     expires;
    ngx_str_t   email, name, role;
    ngx_uint_t  rights;

    if (ngx_http_d4_token_owner(a, &email) != NGX_OK) {
        return;
    }

    name = ngx_http_d4_member(a, "name");
    role = ngx_http_d4_member(a, "role");
    expires = d4_body_int(a->body, "expires", 0);

    if (role.data == NULL && a->route->path[0] != 'u') {
        role.data = (u_char *) ngx_http_d4_role_name(a->rights);
        role.len = ngx_strlen(role.data);
    }

    rights = role.len ? ngx_http_d4_role((char *) role.data, role.len) : 0;

    if (rights & ~a->rights) {
        ngx_http_d4_error(a, NGX_HTTP_FORBIDDEN,
                          "That role is more than yours");
        return;
    }

    if (expires && expires <= ngx_time()) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "expires is in the past");
        return;
    }

    if (d4_token_make(token) != 0) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No randomness");
        return;
    }

    d4_hash(hash, token, D4_TOKEN);

    a->made = ngx_http_d4_copy(a, token, D4_TOKEN);
    a->hash = ngx_http_d4_copy(a, hash, NGX_HTTP_D4_TOKEN_ID);

    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "EVAL %s 0 %V %s %V %V %L %L %s",
                    ngx_http_d4_script_token_create, &email, hash, &name,
                    &role, (int64_t) ngx_time(), expires, NGX_HTTP_D4_TOKENS);
    ngx_http_d4_announce(a, "users", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_token_created);
}


static void
ngx_http_d4_token_created(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such user");
        return;
    }

    if (a->reply[0]->integer < 0) {
        ngx_http_d4_error(a, NGX_HTTP_CONFLICT, "Too many tokens");
        return;
    }

    d4_out_object(&a->out, NULL);
    d4_out_string(&a->out, "id", a->hash.data, a->hash.len);
    d4_out_string(&a->out, "token", a->made.data, a->made.len);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_CREATED);
}


static void
ngx_http_d4_token_delete(ngx_http_d4_api_t *a)
{
    ngx_str_t  email, id;

    if (ngx_http_d4_token_owner(a, &email) != NGX_OK) {
        return;
    }

    id.data = (u_char *) a->params[a->nparams - 1].text;
    id.len = a->params[a->nparams - 1].len;

    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "EVAL %s 0 %V %V",
                    ngx_http_d4_script_token_delete, &email, &id);
    ngx_http_d4_announce(a, "users", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_token_deleted);
}


static void
ngx_http_d4_token_deleted(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such token");
        return;
    }

    ngx_http_d4_success(a);
}


/* The published server's token of a user lies there in clear. */

static void
ngx_http_d4_published(ngx_http_d4_api_t *a)
{
    ngx_str_t  email;

    if (ngx_http_d4_token_owner(a, &email) != NGX_OK) {
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "EVAL %s 0 %V",
                    ngx_http_d4_script_published, &email);
    ngx_http_d4_announce(a, "users", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_token_deleted);
}

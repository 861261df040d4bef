
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Users, in the published keys: who is made here can work with the published
 * server, and the other way round.
 */


#include "ngx_http_d4_auth.h"
#include "ngx_http_d4_match.h"


static void ngx_http_d4_users(ngx_http_d4_api_t *a);
static void ngx_http_d4_users_roles(ngx_http_d4_api_t *a);
static void ngx_http_d4_users_send(ngx_http_d4_api_t *a);
static void ngx_http_d4_user_get(ngx_http_d4_api_t *a);
static void ngx_http_d4_user_got(ngx_http_d4_api_t *a);
static void ngx_http_d4_user_json(ngx_http_d4_api_t *a,
    ngx_http_d4_reply_t *e);
static void ngx_http_d4_user_create(ngx_http_d4_api_t *a);
static void ngx_http_d4_user_write(ngx_http_d4_api_t *a);
static void ngx_http_d4_user_created(ngx_http_d4_api_t *a);
static void ngx_http_d4_user_update(ngx_http_d4_api_t *a);
static void ngx_http_d4_user_rewrite(ngx_http_d4_api_t *a);
static void ngx_http_d4_user_updated(ngx_http_d4_api_t *a);
static void ngx_http_d4_user_delete(ngx_http_d4_api_t *a);
static void ngx_http_d4_user_deleted(ngx_http_d4_api_t *a);
static ngx_int_t ngx_http_d4_user_param(ngx_http_d4_api_t *a,
    ngx_str_t *email);


/* email... -> {email, role, tokens of ours, a published one, state}... */

static const char  ngx_http_d4_script_users[] =
    NGX_HTTP_D4_LUA_USER_STATE
    "local out={} "
    "for _,e in ipairs(ARGV) do "
        "if redis.call('HEXISTS','user:all',e)==1 then "
            "local role='' "
            "for _,v in ipairs({'admin','user','viewer','sensor_register'}) "
                "do if role=='' and redis.call('SISMEMBER','user_role:'..v,e)"
                "==1 then role=v end end "
            "out[#out+1]={e,role,redis.call('SCARD','d4:tokens:'..e),"
                "redis.call('HEXISTS','user_metadata:'..e,'token'),"
                "state(e)} end end "
    "return out";


/*
 * Lua: roles(e,role) puts a user under the role and those it contains, as
 * published; others(e) tells whether there is an administrator but e.
 */

#define NGX_HTTP_D4_LUA_ROLES                                                 \
    "local contains={admin={'admin','user','sensor_register'},"               \
        "user={'user','sensor_register'},viewer={'viewer'},"                  \
        "sensor_register={'sensor_register'}} "                               \
    "local function roles(e,role) "                                           \
        "for _,v in ipairs({'admin','user','viewer','sensor_register'}) do "  \
            "redis.call('SREM','user_role:'..v,e) end "                       \
        "for _,v in ipairs(contains[role] or {}) do "                         \
            "redis.call('SADD','user_role:'..v,e) end end "                   \
    "local function others(e) "                                               \
        "return redis.call('SCARD','user_role:admin')"                        \
            "-redis.call('SISMEMBER','user_role:admin',e)>0 end "

/* email, hash, role -> 1, or 0: it exists */

static const char  ngx_http_d4_script_user_create[] =
    NGX_HTTP_D4_LUA_ROLES
    "local e=ARGV[1] "
    "if redis.call('HSETNX','user:all',e,ARGV[2])==0 then return 0 end "
    "redis.call('HSET','user_metadata:'..e,'role',ARGV[3]) "
    "roles(e,ARGV[3]) "
    "return 1";

/*
 * email, hash or "", role or "" -> 1; 0: no such user; -1: it is the last
 * administrator
 */

static const char  ngx_http_d4_script_user_update[] =
    NGX_HTTP_D4_LUA_ROLES
    "local e=ARGV[1] "
    "if redis.call('HEXISTS','user:all',e)==0 then return 0 end "
    "if ARGV[3]~='' then "
        "if ARGV[3]~='admin' and redis.call('SISMEMBER','user_role:admin',e)"
            "==1 and not others(e) then return -1 end "
        "redis.call('HSET','user_metadata:'..e,'role',ARGV[3]) "
        "roles(e,ARGV[3]) end "
    "if ARGV[2]~='' then redis.call('HSET','user:all',e,ARGV[2]) end "
    "return 1";

/* email -> 1; 0: no such user; -1: it is the last administrator */

static const char  ngx_http_d4_script_user_delete[] =
    NGX_HTTP_D4_LUA_ROLES
    "local e=ARGV[1] "
    "if redis.call('HEXISTS','user:all',e)==0 then return 0 end "
    "if redis.call('SISMEMBER','user_role:admin',e)==1 and not others(e) then "
        "return -1 end "
    "local t=redis.call('HGET','user_metadata:'..e,'token') "
    "if t then redis.call('HDEL','user:tokens',t) end "
    "for _,h in ipairs(redis.call('SMEMBERS','d4:tokens:'..e)) do "
        "redis.call('DEL','d4:token:'..h) end "
    "redis.call('DEL','d4:tokens:'..e,'user_metadata:'..e) "
    "redis.call('HDEL','user:all',e) "
    "roles(e,'') "
    "return 1";


static int
ngx_http_d4_check_role(const char *text, size_t len)
{
    return ngx_http_d4_role(text, len) != 0;
}


static const d4_field_t  ngx_http_d4_user_create_fields[] = {
    { "email", D4_FIELD_STRING, D4_FIELD_REQUIRED, 3, 254, d4_check_mail },
    { "role", D4_FIELD_STRING, D4_FIELD_REQUIRED, 1, 32,
      ngx_http_d4_check_role },
    { "password", D4_FIELD_STRING, 0, D4_PASSWORD_MIN, D4_PASSWORD_MAX,
      d4_password_good },
    { NULL, 0, 0, 0, 0, NULL }
};

static const d4_field_t  ngx_http_d4_user_update_fields[] = {
    { "role", D4_FIELD_STRING, 0, 1, 32, ngx_http_d4_check_role },
    { "password", D4_FIELD_STRING, 0, D4_PASSWORD_MIN, D4_PASSWORD_MAX,
      d4_password_good },
    { NULL, 0, 0, 0, 0, NULL }
};


const ngx_http_d4_route_t  ngx_http_d4_user_routes[] = {

    { NGX_HTTP_GET, "users", NGX_HTTP_D4_ADMIN, 0, ngx_http_d4_users, NULL,
      "next" },

    { NGX_HTTP_POST, "users", NGX_HTTP_D4_ADMIN, NGX_HTTP_D4_IS_THERE,
      ngx_http_d4_user_create, ngx_http_d4_user_create_fields, NULL },

    { NGX_HTTP_GET, "users/{}", NGX_HTTP_D4_ADMIN, 0, ngx_http_d4_user_get,
      NULL, NULL },

    { NGX_HTTP_PATCH, "users/{}", NGX_HTTP_D4_ADMIN, NGX_HTTP_D4_MATCHES,
      ngx_http_d4_user_update, ngx_http_d4_user_update_fields, NULL },

    { NGX_HTTP_DELETE, "users/{}", NGX_HTTP_D4_ADMIN, NGX_HTTP_D4_MATCHES,
      ngx_http_d4_user_delete, NULL, NULL },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};


static void
ngx_http_d4_users(ngx_http_d4_api_t *a)
{
    int64_t  at;

    at = 0;

    if (ngx_http_d4_arg_number(a, "next", 0, INT64_MAX, &at) != NGX_OK) {
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "HSCAN user:all %L COUNT 200", at);
    ngx_http_d4_wait(a, ngx_http_d4_users_roles);
}


static void
ngx_http_d4_users_roles(ngx_http_d4_api_t *a)
{
    ngx_uint_t            i;
    ngx_array_t          *words;
    ngx_http_d4_reply_t  *r;

    r = &a->reply[0]->element[1];
    a->page = &a->reply[0]->element[0];

    words = ngx_http_d4_words(a, "EVAL %s 0", ngx_http_d4_script_users);

    for (i = 0; i + 1 < r->n; i += 2) {
        ngx_http_d4_word(words, r->element[i].str.data, r->element[i].str.len);
    }

    ngx_http_d4_ask_words(a, NGX_D4_REDIS_USERS, words);
    ngx_http_d4_wait(a, ngx_http_d4_users_send);
}


static void
ngx_http_d4_users_send(ngx_http_d4_api_t *a)
{
    ngx_uint_t  i;

    d4_out_object(&a->out, NULL);
    d4_out_array(&a->out, "users");

    for (i = 0; i < a->reply[0]->n; i++) {
        ngx_http_d4_user_json(a, a->reply[0]->element[i].element);
    }

    d4_out_array_end(&a->out);
    ngx_http_d4_json_scan(&a->out, a->page);
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_user_json(ngx_http_d4_api_t *a, ngx_http_d4_reply_t *e)
{
    d4_out_object(&a->out, NULL);
    ngx_http_d4_json_string(&a->out, "email", &e[0]);

    if (e[1].str.len) {
        ngx_http_d4_json_string(&a->out, "role", &e[1]);

    } else {
        d4_out_null(&a->out, "role");
    }

    d4_out_int(&a->out, "tokens", e[2].integer);
    d4_out_bool(&a->out, "published_token", e[3].integer != 0);
    d4_out_object_end(&a->out);
}


static ngx_int_t
ngx_http_d4_user_param(ngx_http_d4_api_t *a, ngx_str_t *email)
{
    if (!d4_check_mail(a->params[0].text, a->params[0].len)) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid email");
        return NGX_ERROR;
    }

    email->data = (u_char *) a->params[0].text;
    email->len = a->params[0].len;

    return NGX_OK;
}


static void
ngx_http_d4_user_get(ngx_http_d4_api_t *a)
{
    ngx_str_t  email;

    if (ngx_http_d4_user_param(a, &email) != NGX_OK) {
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "EVAL %s 0 %V",
                    ngx_http_d4_script_users, &email);
    ngx_http_d4_wait(a, ngx_http_d4_user_got);
}


static void
ngx_http_d4_user_got(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->n == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such user");
        return;
    }

    ngx_http_d4_set_state(a, &a->reply[0]->element[0].element[4]);
    ngx_http_d4_user_json(a, a->reply[0]->element[0].element);
    ngx_http_d4_send(a, NGX_HTTP_OK);
}


/* Without a password one is made, and shown once. */

static void
ngx_http_d4_user_create(ngx_http_d4_api_t *a)
{
    char       made[D4_PASSWORD + 1];
    ngx_str_t  password;

    password = ngx_http_d4_member(a, "password");

    if (password.data == NULL) {

        if (d4_password_make(made) != 0) {
            ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR,
                              "No randomness");
            return;
        }

        a->made = ngx_http_d4_copy(a, made, D4_PASSWORD);
        password = a->made;
    }

    ngx_http_d4_hash_password(a, &password, ngx_http_d4_user_write);
}


static void
ngx_http_d4_user_write(ngx_http_d4_api_t *a)
{
    ngx_str_t  email, role;

    email = ngx_http_d4_member(a, "email");
    role = ngx_http_d4_member(a, "role");

    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "EVAL %s 0 %V %V %V",
                    ngx_http_d4_script_user_create, &email, &a->hash, &role);
    ngx_http_d4_announce(a, "users", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_user_created);
}


static void
ngx_http_d4_user_created(ngx_http_d4_api_t *a)
{
    ngx_str_t  email, role;

    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_CONFLICT, "That user exists");
        return;
    }

    email = ngx_http_d4_member(a, "email");
    role = ngx_http_d4_member(a, "role");

    d4_out_object(&a->out, NULL);
    d4_out_string(&a->out, "email", email.data, email.len);
    d4_out_string(&a->out, "role", role.data, role.len);

    if (a->made.len) {
        d4_out_string(&a->out, "password", a->made.data, a->made.len);
    }

    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_CREATED);
}


static void
ngx_http_d4_user_update(ngx_http_d4_api_t *a)
{
    ngx_str_t  email, password;

    if (ngx_http_d4_user_param(a, &email) != NGX_OK) {
        return;
    }

    password = ngx_http_d4_member(a, "password");

    if (password.data) {
        ngx_http_d4_hash_password(a, &password, ngx_http_d4_user_rewrite);
        return;
    }

    ngx_http_d4_user_rewrite(a);
}


static void
ngx_http_d4_user_rewrite(ngx_http_d4_api_t *a)
{
    ngx_str_t  email, role;

    email.data = (u_char *) a->params[0].text;
    email.len = a->params[0].len;
    role = ngx_http_d4_member(a, "role");

    ngx_http_d4_change(a, NGX_D4_REDIS_USERS, NGX_HTTP_D4_A_USER, &email,
                       ngx_http_d4_words(a, "EVAL %s 0 %V %V %V",
                                         ngx_http_d4_script_user_update,
                                         &email, &a->hash, &role));
    ngx_http_d4_announce(a, "users", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_user_updated);
}


static void
ngx_http_d4_user_refused(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer == 0) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "No such user");
        return;
    }

    ngx_http_d4_error(a, NGX_HTTP_CONFLICT, "That is the last administrator");
}


static void
ngx_http_d4_user_updated(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer != 1) {
        ngx_http_d4_user_refused(a);
        return;
    }

    ngx_http_d4_user_get(a);
}


static void
ngx_http_d4_user_delete(ngx_http_d4_api_t *a)
{
    ngx_str_t  email;

    if (ngx_http_d4_user_param(a, &email) != NGX_OK) {
        return;
    }

    ngx_http_d4_change(a, NGX_D4_REDIS_USERS, NGX_HTTP_D4_A_USER, &email,
                       ngx_http_d4_words(a, "EVAL %s 0 %V",
                                         ngx_http_d4_script_user_delete,
                                         &email));
    ngx_http_d4_announce(a, "users", NULL);
    ngx_http_d4_wait(a, ngx_http_d4_user_deleted);
}


static void
ngx_http_d4_user_deleted(ngx_http_d4_api_t *a)
{
    if (a->reply[0]->integer != 1) {
        ngx_http_d4_user_refused(a);
        return;
    }

    ngx_http_d4_success(a);
}

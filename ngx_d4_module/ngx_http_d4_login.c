
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Logins with a password: a cookie whose hash is kept in the cache database,
 * so that every worker and every host knows it and a reload forgets nothing.
 *
 * Each login has a new cookie, whatever the browser sent.  A login is bound to
 * the password it was made with.
 */


#include "ngx_http_d4_auth.h"


/*
 * What an unknown user's password is compared with, so that the time taken
 * does not tell that there is no such user; no password has this hash.
 */
#define NGX_HTTP_D4_NOBODY                                                    \
    "$2b$12$C6UzMDM.H6dfI/f/IKcEe.7uU1c1Rr5vSgCy4xUBYrwRz9nVCzCVe"

#define NGX_HTTP_D4_COST  12


typedef struct {
    char         password[D4_PASSWORD_MAX + 1];
    char         old[D4_PASSWORD_MAX + 1];
    char         hash[D4_BCRYPT + 1];
    char         made[D4_BCRYPT + 1];
    ngx_uint_t   right;
    ngx_uint_t   change;
} ngx_http_d4_password_t;


static void ngx_http_d4_login(ngx_http_d4_api_t *a);
static void ngx_http_d4_login_allowed(ngx_http_d4_api_t *a);
static void ngx_http_d4_login_check(ngx_http_d4_api_t *a);
static void ngx_http_d4_password_work(void *data);
static void ngx_http_d4_login_checked(ngx_http_d4_api_t *a);
static void ngx_http_d4_login_done(ngx_http_d4_api_t *a);
static void ngx_http_d4_set_cookie(ngx_http_d4_api_t *a, const char *value,
    time_t age);
static void ngx_http_d4_logout(ngx_http_d4_api_t *a);
static void ngx_http_d4_logged_out(ngx_http_d4_api_t *a);
static void ngx_http_d4_me(ngx_http_d4_api_t *a);
static void ngx_http_d4_password(ngx_http_d4_api_t *a);
static void ngx_http_d4_password_known(ngx_http_d4_api_t *a);
static void ngx_http_d4_password_check_done(ngx_http_d4_api_t *a);
static void ngx_http_d4_password_set(ngx_http_d4_api_t *a);


static const d4_field_t  ngx_http_d4_login_fields[] = {
    { "email", D4_FIELD_STRING, D4_FIELD_REQUIRED, 1, 254, NULL },
    { "password", D4_FIELD_STRING, D4_FIELD_REQUIRED, 1, 1000, NULL },
    { NULL, 0, 0, 0, 0, NULL }
};

static const d4_field_t  ngx_http_d4_password_fields[] = {
    { "old", D4_FIELD_STRING, D4_FIELD_REQUIRED, 1, 1000, NULL },
    { "new", D4_FIELD_STRING, D4_FIELD_REQUIRED, 1, 1000, NULL },
    { NULL, 0, 0, 0, 0, NULL }
};

static const d4_field_t  ngx_http_d4_logout_fields[] = {
    { NULL, 0, 0, 0, 0, NULL }
};


const ngx_http_d4_route_t  ngx_http_d4_login_routes[] = {

    { NGX_HTTP_POST, "login", NGX_HTTP_D4_ANYONE, 0, ngx_http_d4_login,
      ngx_http_d4_login_fields, NULL },

    { NGX_HTTP_POST, "logout", NGX_HTTP_D4_KNOWN, NGX_HTTP_D4_NO_BODY,
      ngx_http_d4_logout, ngx_http_d4_logout_fields, NULL },

    { NGX_HTTP_GET, "me", NGX_HTTP_D4_KNOWN, 0, ngx_http_d4_me, NULL, NULL },

    { NGX_HTTP_PUT, "me/password", NGX_HTTP_D4_KNOWN, 0,
      ngx_http_d4_password, ngx_http_d4_password_fields, NULL },

    { 0, NULL, 0, 0, NULL, NULL, NULL }
};


/* An address that guessed wrong too often waits; tokens go on working. */

static void
ngx_http_d4_login(ngx_http_d4_api_t *a)
{
    ngx_str_t  key;

    a->user = ngx_http_d4_member(a, "email");

    if (!d4_check_mail((char *) a->user.data, a->user.len)) {
        ngx_str_null(&a->user);
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Invalid email");
        return;
    }

    key = ngx_http_d4_failures(a);

    ngx_http_d4_ask(a, NGX_D4_REDIS_CACHE, "GET %V", &key);
    ngx_http_d4_ask(a, NGX_D4_REDIS_CACHE, "TTL %V", &key);
    ngx_http_d4_wait(a, ngx_http_d4_login_allowed);
}


static void
ngx_http_d4_login_allowed(ngx_http_d4_api_t *a)
{
    int64_t  ttl;

    if (ngx_http_d4_number(a->reply[0], 0) >= NGX_HTTP_D4_FAILURES) {
        ttl = ngx_max(a->reply[1]->integer, 1);

        ngx_http_d4_set_header(a, "Retry-After", "%d", (int) ttl);
        ngx_http_d4_error(a, 429, "Max Connection Attempts reached, Please "
                          "wait %ds", (int) ttl);
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "EVAL %s 0   %L %V",
                    ngx_http_d4_script_user, (int64_t) ngx_time(), &a->user);
    ngx_http_d4_wait(a, ngx_http_d4_login_check);
}


static ngx_http_d4_password_t *
ngx_http_d4_password_task(ngx_http_d4_api_t *a, const char *member)
{
    ngx_str_t                password;
    ngx_http_d4_password_t  *p;

    p = ngx_http_d4_task(a, sizeof(ngx_http_d4_password_t));
    if (p == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return NULL;
    }

    /* bcrypt would not look at what comes after these */

    password = ngx_http_d4_member(a, member);

    ngx_memcpy(p->password, password.data,
               ngx_min(password.len, D4_PASSWORD_MAX));

    return p;
}


static void
ngx_http_d4_login_check(ngx_http_d4_api_t *a)
{
    ngx_str_t               *hash;
    ngx_http_d4_password_t  *p;

    p = ngx_http_d4_password_task(a, "password");
    if (p == NULL) {
        return;
    }

    ngx_memcpy(p->hash, NGX_HTTP_D4_NOBODY, D4_BCRYPT);

    if (a->reply[0]->n == 6) {
        hash = &a->reply[0]->element[4].str;

        if (hash->len == D4_BCRYPT) {
            ngx_memcpy(p->hash, hash->data, D4_BCRYPT);
        }

        a->rights = (ngx_uint_t) a->reply[0]->element[1].integer;
    }

    /* as published: who only registers sensors does not log in */

    a->page = (a->rights & (NGX_HTTP_D4_ADMIN|NGX_HTTP_D4_USER
                            |NGX_HTTP_D4_VIEWER))
              ? a->reply[0] : NULL;

    ngx_http_d4_run(a, p, ngx_http_d4_password_work,
                    ngx_http_d4_login_checked);
}


static void
ngx_http_d4_password_work(void *data)
{
    ngx_http_d4_password_t  *p = data;

    p->right = d4_password_check(p->change ? p->old : p->password, p->hash);

    if (p->right && p->change
        && d4_password_hash(p->made, p->password, NGX_HTTP_D4_COST) != 0)
    {
        p->made[0] = '\0';
    }
}


static void
ngx_http_d4_login_checked(ngx_http_d4_api_t *a)
{
    char                     cookie[D4_TOKEN + 1], hash[D4_HASH + 1];
    char                     stamp[17];
    ngx_str_t                old;
    ngx_http_d4_conf_t      *dlcf;
    ngx_http_d4_password_t  *p;

    p = a->data;
    dlcf = ngx_http_get_module_loc_conf(a->request, ngx_http_d4_module);

    if (!p->right || a->page == NULL) {
        ngx_http_d4_auth_failed(a);
        return;
    }

    if (d4_token_make(cookie) != 0) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No randomness");
        return;
    }

    d4_hash(hash, cookie, D4_TOKEN);
    ngx_http_d4_stamp(stamp, &a->page->element[4].str);

    a->made = ngx_http_d4_copy(a, cookie, D4_TOKEN);

    old = ngx_http_d4_cookie(a);

    if (old.len) {
        ngx_http_d4_ask(a, NGX_D4_REDIS_CACHE, "DEL d4:login:%V", &old);
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_CACHE,
                    "HSET d4:login:%s email %V stamp %s created %L", hash,
                    &a->user, stamp, (int64_t) ngx_time());
    ngx_http_d4_ask(a, NGX_D4_REDIS_CACHE, "EXPIRE d4:login:%s %L", hash,
                    (int64_t) dlcf->login);
    ngx_http_d4_wait(a, ngx_http_d4_login_done);
}


static void
ngx_http_d4_login_done(ngx_http_d4_api_t *a)
{
    ngx_http_d4_conf_t  *dlcf;

    dlcf = ngx_http_get_module_loc_conf(a->request, ngx_http_d4_module);

    ngx_http_d4_set_cookie(a, (char *) a->made.data, dlcf->login);

    d4_out_object(&a->out, NULL);
    d4_out_string(&a->out, "email", a->user.data, a->user.len);
    d4_out_text(&a->out, "role", ngx_http_d4_role_name(
                                     ngx_http_d4_rights(a->rights)));
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_set_cookie(ngx_http_d4_api_t *a, const char *value, time_t age)
{
    const char  *secure;

    secure = "";

#if (NGX_HTTP_SSL)
    if (a->request->connection->ssl) {
        secure = "; Secure";
    }
#endif

    ngx_http_d4_set_header(a, "Set-Cookie",
                           NGX_HTTP_D4_COOKIE "=%s; Path=/; Max-Age=%lld; "
                           "HttpOnly; SameSite=Strict%s", value,
                           (long long) age, secure);
}


static void
ngx_http_d4_logout(ngx_http_d4_api_t *a)
{
    ngx_str_t  cookie;

    cookie = ngx_http_d4_cookie(a);

    if (cookie.len) {
        ngx_http_d4_ask(a, NGX_D4_REDIS_CACHE, "DEL d4:login:%V", &cookie);
    }

    ngx_http_d4_wait(a, ngx_http_d4_logged_out);
}


static void
ngx_http_d4_logged_out(ngx_http_d4_api_t *a)
{
    ngx_http_d4_set_cookie(a, "", 0);
    ngx_http_d4_success(a);
}


static void
ngx_http_d4_me(ngx_http_d4_api_t *a)
{
    d4_out_object(&a->out, NULL);
    d4_out_string(&a->out, "email", a->user.data, a->user.len);
    d4_out_text(&a->out, "role", ngx_http_d4_role_name(a->rights));
    d4_out_text(&a->out, "by", a->token.len ? "token" : "login");
    d4_out_object_end(&a->out);

    ngx_http_d4_send(a, NGX_HTTP_OK);
}


static void
ngx_http_d4_password(ngx_http_d4_api_t *a)
{
    ngx_str_t  password, key;

    password = ngx_http_d4_member(a, "new");

    if (!d4_password_good((char *) password.data, password.len)) {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "A password has from 10 to "
                          "72 bytes with an upper and a lower case letter "
                          "and two digits");
        return;
    }

    key = ngx_http_d4_failures(a);

    ngx_http_d4_ask(a, NGX_D4_REDIS_CACHE, "GET %V", &key);
    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "HGET user:all %V", &a->user);
    ngx_http_d4_wait(a, ngx_http_d4_password_known);
}


static void
ngx_http_d4_password_known(ngx_http_d4_api_t *a)
{
    ngx_str_t                old;
    ngx_http_d4_password_t  *p;

    if (ngx_http_d4_number(a->reply[0], 0) >= NGX_HTTP_D4_FAILURES) {
        ngx_http_d4_set_header(a, "Retry-After", "%d", NGX_HTTP_D4_BLOCKED);
        ngx_http_d4_error(a, 429, "Max Connection Attempts reached");
        return;
    }

    p = ngx_http_d4_password_task(a, "new");
    if (p == NULL) {
        return;
    }

    old = ngx_http_d4_member(a, "old");

    p->change = 1;
    ngx_memcpy(p->old, old.data, ngx_min(old.len, D4_PASSWORD_MAX));
    ngx_memcpy(p->hash, NGX_HTTP_D4_NOBODY, D4_BCRYPT);

    if (a->reply[1]->str.len == D4_BCRYPT) {
        ngx_memcpy(p->hash, a->reply[1]->str.data, D4_BCRYPT);
    }

    ngx_http_d4_run(a, p, ngx_http_d4_password_work,
                    ngx_http_d4_password_check_done);
}


static void
ngx_http_d4_password_check_done(ngx_http_d4_api_t *a)
{
    ngx_http_d4_password_t  *p;

    p = a->data;

    if (!p->right) {
        ngx_http_d4_auth_failed(a);
        return;
    }

    if (p->made[0] == '\0') {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return;
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "HSET user:all %V %s", &a->user,
                    p->made);
    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS,
                    "HDEL user_metadata:%V change_passwd", &a->user);
    ngx_http_d4_wait(a, ngx_http_d4_password_set);
}


static void
ngx_http_d4_password_set(ngx_http_d4_api_t *a)
{
    ngx_http_d4_success(a);
}


/* Another user's password: hash it, then next(a) with a->made as the hash. */

typedef struct {
    char             password[D4_PASSWORD_MAX + 1];
    char             made[D4_BCRYPT + 1];
    ngx_http_d4_pt   next;
} ngx_http_d4_hash_t;


static void
ngx_http_d4_hash_work(void *data)
{
    ngx_http_d4_hash_t  *h = data;

    if (d4_password_hash(h->made, h->password, NGX_HTTP_D4_COST) != 0) {
        h->made[0] = '\0';
    }
}


static void
ngx_http_d4_hash_done(ngx_http_d4_api_t *a)
{
    ngx_http_d4_hash_t  *h;

    h = a->data;

    if (h->made[0] == '\0') {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return;
    }

    a->hash = ngx_http_d4_copy(a, h->made, D4_BCRYPT);

    h->next(a);
}


void
ngx_http_d4_hash_password(ngx_http_d4_api_t *a, ngx_str_t *password,
    ngx_http_d4_pt next)
{
    ngx_http_d4_hash_t  *h;

    h = ngx_http_d4_task(a, sizeof(ngx_http_d4_hash_t));
    if (h == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return;
    }

    ngx_memcpy(h->password, password->data,
               ngx_min(password->len, D4_PASSWORD_MAX));
    h->next = next;

    ngx_http_d4_run(a, h, ngx_http_d4_hash_work, ngx_http_d4_hash_done);
}

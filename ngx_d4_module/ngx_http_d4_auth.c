
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Who sends a request, and what they may do.
 *
 * A token is looked up by its hash, so how long that takes says nothing about
 * how close a guess was.  The tokens of the published server lie in clear in
 * its own table; only what has their form is looked up there.
 *
 * A cookie is good for requests of the same origin only, and with JSON where
 * something changes.
 */


#include "ngx_http_d4_auth.h"


#define NGX_HTTP_D4_REMEMBERED  64     /* tokens, each for so many ms */
#define NGX_HTTP_D4_REMEMBER    1000
#define NGX_HTTP_D4_EMAIL       254


/*
 * Tokens that were good a moment ago, so that who reads many things asks Redis
 * once a second who it is.  Forgotten with every change that is made here;
 * elsewhere, one that is deleted is good for a second more.  Each has one
 * place, by its hash.  Before a change, and where the answer is who it is,
 * Redis is always asked.
 */

typedef struct {
    u_char                   hash[D4_HASH];
    ngx_msec_t               until;    /* ngx_current_msec */
    time_t                   expires;  /* 0: never */
    ngx_uint_t               rights;
    ngx_uint_t               narrowed;
    size_t                   len;      /* 0: nothing here */
    u_char                   email[NGX_HTTP_D4_EMAIL];
} ngx_http_d4_remembered_t;


static ngx_http_d4_remembered_t *ngx_http_d4_place(ngx_str_t *hash);
static ngx_uint_t ngx_http_d4_recall(ngx_http_d4_api_t *a);
static void ngx_http_d4_remember(ngx_http_d4_api_t *a, time_t expires);
static ngx_int_t ngx_http_d4_token(ngx_http_d4_api_t *a, ngx_str_t *token);
static void ngx_http_d4_token_known(ngx_http_d4_api_t *a);
static void ngx_http_d4_cookie_known(ngx_http_d4_api_t *a);
static void ngx_http_d4_cookie_user(ngx_http_d4_api_t *a);
static void ngx_http_d4_admit(ngx_http_d4_api_t *a);
static ngx_uint_t ngx_http_d4_same_origin(ngx_http_request_t *r);
static void ngx_http_d4_auth_counted(ngx_http_d4_api_t *a);


const char  ngx_http_d4_script_user[] =
    "local e,role,id,until_=ARGV[4],'','',0 "
    "if ARGV[1]~='' then "
        "local t=redis.call('HMGET','d4:token:'..ARGV[1],"
            "'email','role','expires') "
        "if t[1] then "
            "until_=tonumber(t[3] or '') or 0 "
            "if until_>0 and until_<=tonumber(ARGV[3]) then return {} end "
            "e,role,id=t[1],t[2] or '',ARGV[1] "
        "elseif ARGV[2]~='' then "
            "e=redis.call('HGET','user:tokens',ARGV[2]) "
            "if not e then return {} end "
        "else return {} end end "
    "local p=redis.call('HGET','user:all',e) "
    "if not p then return {} end "
    "local r=0 "
    "for i,v in ipairs({'admin','user','viewer','sensor_register'}) do "
        "if redis.call('SISMEMBER','user_role:'..v,e)==1 then "
            "r=r+2^(i-1) end end "
    "return {e,r,role,id,p,until_}";


static ngx_http_d4_remembered_t
    ngx_http_d4_remembered[NGX_HTTP_D4_REMEMBERED];


static const struct {
    const char  *name;
    ngx_uint_t   rights;
} ngx_http_d4_role_names[] = {
    { "admin", NGX_HTTP_D4_ROLE_ADMIN },
    { "user", NGX_HTTP_D4_ROLE_USER },
    { "viewer", NGX_HTTP_D4_VIEWER },
    { "sensor_register", NGX_HTTP_D4_REGISTER }
};

#define NGX_HTTP_D4_NROLES                                                    \
    (sizeof(ngx_http_d4_role_names) / sizeof(ngx_http_d4_role_names[0]))


ngx_uint_t
ngx_http_d4_role(const char *name, size_t len)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_D4_NROLES; i++) {
        if (ngx_strlen(ngx_http_d4_role_names[i].name) == len
            && ngx_memcmp(ngx_http_d4_role_names[i].name, name, len) == 0)
        {
            return ngx_http_d4_role_names[i].rights;
        }
    }

    return 0;
}


const char *
ngx_http_d4_role_name(ngx_uint_t rights)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_D4_NROLES; i++) {
        if ((rights & ngx_http_d4_role_names[i].rights)
            == ngx_http_d4_role_names[i].rights)
        {
            return ngx_http_d4_role_names[i].name;
        }
    }

    return "none";
}


void
ngx_http_d4_authenticate(ngx_http_d4_api_t *a)
{
    ngx_str_t  token, hash;

    switch (ngx_http_d4_token(a, &token)) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        hash = ngx_http_d4_cookie(a);

        if (hash.len == 0) {
            ngx_http_d4_set_header(a, "WWW-Authenticate", "%s",
                                   "Bearer realm=\"d4\"");
            ngx_http_d4_error(a, NGX_HTTP_UNAUTHORIZED,
                              "Authentication needed");
            return;
        }

        a->login = hash;

        ngx_http_d4_ask(a, NGX_D4_REDIS_CACHE,
                        "HMGET d4:login:%V email stamp", &hash);
        ngx_http_d4_wait(a, ngx_http_d4_cookie_known);

        return;

    default:
        ngx_http_d4_auth_failed(a);
        return;
    }

    hash.len = D4_HASH;
    hash.data = ngx_pnalloc(a->request->pool, D4_HASH + 1);

    if (hash.data == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return;
    }

    d4_hash((char *) hash.data, (char *) token.data, token.len);

    a->token = hash;

    if (ngx_http_d4_recall(a)) {
        ngx_http_d4_admit(a);
        return;
    }

    if (!d4_token_published((char *) token.data, token.len)) {
        ngx_str_null(&token);
    }

    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "EVAL %s 0 %V %V %L ",
                    ngx_http_d4_script_user, &hash, &token,
                    (int64_t) ngx_time());
    ngx_http_d4_wait(a, ngx_http_d4_token_known);
}


/*
 * The token: in Authorization, plain or as Bearer, or in X-Auth-Token where
 * Authorization belongs to auth_basic.  NGX_DECLINED: there is none.
 */

static ngx_int_t
ngx_http_d4_token(ngx_http_d4_api_t *a, ngx_str_t *token)
{
    u_char     *p, *dst, *last;
    ngx_str_t  *value;

    value = ngx_http_d4_header(a->request, "X-Auth-Token");

    if (value == NULL) {
        value = ngx_http_d4_header(a->request, "Authorization");

        if (value == NULL
            || (value->len >= 6
                && ngx_strncasecmp(value->data, (u_char *) "Basic ", 6) == 0))
        {
            return NGX_DECLINED;
        }
    }

    p = value->data;
    last = p + value->len;

    if (value->len >= 7
        && ngx_strncasecmp(p, (u_char *) "Bearer ", 7) == 0)
    {
        p += 7;
    }

    if (last - p > 128) {
        return NGX_ERROR;
    }

    *token = ngx_http_d4_copy(a, p, last - p);

    /* as published: spaces do not count */

    dst = token->data;

    for ( /* void */ ; p < last; p++) {
        if (*p != ' ') {
            *dst++ = *p;
        }
    }

    token->len = dst - token->data;

    if (!d4_token_ours((char *) token->data, token->len)
        && !d4_token_published((char *) token->data, token->len))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_d4_token_known(ngx_http_d4_api_t *a)
{
    ngx_uint_t            rights;
    ngx_http_d4_reply_t  *e;

    if (a->reply[0]->n != 6) {
        ngx_http_d4_auth_failed(a);
        return;
    }

    e = a->reply[0]->element;

    a->user = ngx_http_d4_copy(a, e[0].str.data, e[0].str.len);
    a->rights = ngx_http_d4_rights((ngx_uint_t) e[1].integer);

    if (e[2].str.len) {
        rights = a->rights;
        a->rights &= ngx_http_d4_role((char *) e[2].str.data, e[2].str.len);
        a->narrowed = (a->rights != rights);
    }

    ngx_http_d4_remember(a, (time_t) e[5].integer);

    ngx_http_d4_admit(a);
}


static ngx_http_d4_remembered_t *
ngx_http_d4_place(ngx_str_t *hash)
{
    return &ngx_http_d4_remembered[ngx_hextoi(hash->data, 4)
                                   % NGX_HTTP_D4_REMEMBERED];
}


static ngx_uint_t
ngx_http_d4_recall(ngx_http_d4_api_t *a)
{
    ngx_http_d4_remembered_t  *p;

    p = ngx_http_d4_place(&a->token);

    if (a->route->method != NGX_HTTP_GET
        || a->route->rights == NGX_HTTP_D4_KNOWN
        || p->len == 0
        || ngx_memcmp(p->hash, a->token.data, D4_HASH) != 0
        || (ngx_msec_int_t) (p->until - ngx_current_msec) <= 0
        || (p->expires && p->expires <= ngx_time()))
    {
        return 0;
    }

    a->user = ngx_http_d4_copy(a, p->email, p->len);
    a->rights = p->rights;
    a->narrowed = p->narrowed;

    return a->user.len != 0;
}


/*
 * The second began when Redis was asked.  Answers come in the order of the
 * questions: one that is remembered after a change was asked for knows of it.
 */

static void
ngx_http_d4_remember(ngx_http_d4_api_t *a, time_t expires)
{
    ngx_msec_t                 took;
    ngx_http_d4_remembered_t  *p;

    took = (ngx_msec_t) (a->asks[0].took / 1000) + 1;

    if (a->route->method != NGX_HTTP_GET || took >= NGX_HTTP_D4_REMEMBER
        || a->user.len == 0 || a->user.len > NGX_HTTP_D4_EMAIL)
    {
        return;
    }

    p = ngx_http_d4_place(&a->token);

    ngx_memcpy(p->hash, a->token.data, D4_HASH);
    p->until = ngx_current_msec + NGX_HTTP_D4_REMEMBER - took;
    p->expires = expires;
    p->rights = a->rights;
    p->narrowed = a->narrowed;
    p->len = a->user.len;
    ngx_memcpy(p->email, a->user.data, a->user.len);
}


void
ngx_http_d4_auth_forget(void)
{
    ngx_memzero(ngx_http_d4_remembered, sizeof(ngx_http_d4_remembered));
}


/*
 * Roles contain others: the published server lists a user under all of them,
 * other programs may not.
 */

ngx_uint_t
ngx_http_d4_rights(ngx_uint_t roles)
{
    if (roles & NGX_HTTP_D4_ADMIN) {
        return NGX_HTTP_D4_ROLE_ADMIN;
    }

    if (roles & NGX_HTTP_D4_USER) {
        return NGX_HTTP_D4_ROLE_USER;
    }

    return roles;
}


ngx_str_t
ngx_http_d4_cookie(ngx_http_d4_api_t *a)
{
    ngx_str_t            value, hash;
    ngx_http_request_t  *r;

    static ngx_str_t  name = ngx_string(NGX_HTTP_D4_COOKIE);

    r = a->request;

    ngx_str_null(&hash);

#if (nginx_version >= 1023000)
    if (ngx_http_parse_multi_header_lines(r, r->headers_in.cookie, &name,
                                          &value)
        == NULL)
#else
    if (ngx_http_parse_multi_header_lines(&r->headers_in.cookies, &name,
                                          &value)
        == NGX_DECLINED)
#endif
    {
        return hash;
    }

    if (!d4_token_ours((char *) value.data, value.len)) {
        return hash;
    }

    hash.data = ngx_pnalloc(r->pool, D4_HASH + 1);

    if (hash.data) {
        hash.len = D4_HASH;
        d4_hash((char *) hash.data, (char *) value.data, value.len);
    }

    return hash;
}


static void
ngx_http_d4_cookie_known(ngx_http_d4_api_t *a)
{
    ngx_http_d4_reply_t  *e;

    e = a->reply[0]->element;

    if (e[0].str.len == 0 || e[1].str.len == 0) {
        ngx_http_d4_error(a, NGX_HTTP_UNAUTHORIZED, "Authentication needed");
        return;
    }

    if (a->route->method != NGX_HTTP_GET
        && !ngx_http_d4_same_origin(a->request))
    {
        ngx_http_d4_error(a, NGX_HTTP_FORBIDDEN,
                          "With a cookie, changes are for the same origin");
        return;
    }

    a->data = &a->reply[0]->element[1];

    ngx_http_d4_ask(a, NGX_D4_REDIS_USERS, "EVAL %s 0   %L %V",
                    ngx_http_d4_script_user, (int64_t) ngx_time(), &e[0].str);
    ngx_http_d4_wait(a, ngx_http_d4_cookie_user);
}


/* A login is over when its user is gone or has another password. */

static void
ngx_http_d4_cookie_user(ngx_http_d4_api_t *a)
{
    char                  stamp[17];
    ngx_http_d4_reply_t  *e, *then;

    then = a->data;
    a->data = NULL;

    if (a->reply[0]->n == 6) {
        e = a->reply[0]->element;

        ngx_http_d4_stamp(stamp, &e[4].str);

        if (then->str.len == 16
            && ngx_memcmp(then->str.data, stamp, 16) == 0)
        {
            a->user = ngx_http_d4_copy(a, e[0].str.data, e[0].str.len);
            a->rights = ngx_http_d4_rights((ngx_uint_t) e[1].integer);

            ngx_http_d4_admit(a);
            return;
        }
    }

    ngx_http_d4_error(a, NGX_HTTP_UNAUTHORIZED, "Authentication needed");
}


void
ngx_http_d4_stamp(char out[17], ngx_str_t *hash)
{
    char  digest[D4_HASH + 1];

    d4_hash(digest, (char *) hash->data, hash->len);

    ngx_memcpy(out, digest, 16);
    out[16] = '\0';
}


/*
 * A browser says where a request comes from; one that says neither is none
 * that a cookie was given to.
 */

static ngx_uint_t
ngx_http_d4_same_origin(ngx_http_request_t *r)
{
    ngx_str_t  *origin, *site, host;

    origin = ngx_http_d4_header(r, "Origin");

    if (origin == NULL) {
        site = ngx_http_d4_header(r, "Sec-Fetch-Site");

        return site && site->len == 11
               && ngx_strncmp(site->data, "same-origin", 11) == 0;
    }

    host = *origin;

    if (host.len > 8 && ngx_strncasecmp(host.data, (u_char *) "https://", 8)
                        == 0)
    {
        host.data += 8;
        host.len -= 8;

    } else if (host.len > 7
               && ngx_strncasecmp(host.data, (u_char *) "http://", 7) == 0
#if (NGX_HTTP_SSL)
               && r->connection->ssl == NULL
#endif
              )
    {
        host.data += 7;
        host.len -= 7;

    } else {
        return 0;
    }

    return r->headers_in.host
           && r->headers_in.host->value.len == host.len
           && ngx_strncasecmp(r->headers_in.host->value.data, host.data,
                              host.len)
              == 0;
}


static void
ngx_http_d4_admit(ngx_http_d4_api_t *a)
{
    if (!(a->rights & a->route->rights)) {
        ngx_http_d4_error(a, NGX_HTTP_FORBIDDEN, "Access Forbidden");
        return;
    }

    ngx_http_d4_authorised(a);
}


ngx_str_t
ngx_http_d4_failures(ngx_http_d4_api_t *a)
{
    char        key[sizeof("failed_login_ip_api:") + D4_NET_TEXT];
    size_t      len;
    d4_addr_t   addr;

    len = ngx_sprintf((u_char *) key, "failed_login_ip_api:") - (u_char *) key;

    d4_addr_set(&addr, a->request->connection->sockaddr);

    /* who has one IPv6 address has a whole network of them */

    if (addr.bits == 128) {
        len += d4_addr_net(key + len, &addr, 64);

    } else {
        len += d4_addr_text(key + len, &addr);
    }

    return ngx_http_d4_copy(a, key, len);
}


void
ngx_http_d4_auth_failed(ngx_http_d4_api_t *a)
{
    ngx_str_t  key;

    key = ngx_http_d4_failures(a);

    ngx_http_d4_ask(a, NGX_D4_REDIS_CACHE, "INCR %V", &key);
    ngx_http_d4_ask(a, NGX_D4_REDIS_CACHE, "EXPIRE %V %i", &key,
                    (ngx_int_t) NGX_HTTP_D4_BLOCKED);
    ngx_http_d4_wait(a, ngx_http_d4_auth_counted);
}


static void
ngx_http_d4_auth_counted(ngx_http_d4_api_t *a)
{
    ngx_log_error(NGX_LOG_WARN, a->request->connection->log, 0,
                  "d4 api: authentication failed");

    if (a->reply[0]->integer > NGX_HTTP_D4_FAILURES) {
        ngx_http_d4_set_header(a, "Retry-After", "%d", NGX_HTTP_D4_BLOCKED);
        ngx_http_d4_error(a, 429, "Max Connection Attempts reached, Please "
                          "wait %ds", NGX_HTTP_D4_BLOCKED);
        return;
    }

    ngx_http_d4_set_header(a, "WWW-Authenticate", "%s",
                           "Bearer realm=\"d4\"");
    ngx_http_d4_error(a, NGX_HTTP_UNAUTHORIZED, "Authentication failed");
}

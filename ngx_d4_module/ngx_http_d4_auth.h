
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Between who it is, logins, users and tokens.
 */


#ifndef _NGX_HTTP_D4_AUTH_H_INCLUDED_
#define _NGX_HTTP_D4_AUTH_H_INCLUDED_


#include "ngx_http_d4_api.h"


#pragma GCC visibility push(hidden)


#define NGX_HTTP_D4_COOKIE    "d4_session"
#define NGX_HTTP_D4_FAILURES  5        /* of an address ... */
#define NGX_HTTP_D4_BLOCKED   300      /* ... within so many seconds */

/*
 * users; hash of the token or "", token as published or "", now (Unix s),
 * email or "" -> email, rights of the user, role of the token or "", hash of
 * the token or "", password's hash; {} when there is no such user
 */
extern const char  ngx_http_d4_script_user[];

/* Where failures of this address are counted; in a->request's pool. */
ngx_str_t ngx_http_d4_failures(ngx_http_d4_api_t *a);

/* The state of a password that a login is bound to: 16 hex digits. */
void ngx_http_d4_stamp(char out[17], ngx_str_t *hash);

/* What the roles of a user (as that script says) contain. */
ngx_uint_t ngx_http_d4_rights(ngx_uint_t roles);

/* Hashes a password in a thread, then calls next with a->hash. */
void ngx_http_d4_hash_password(ngx_http_d4_api_t *a, ngx_str_t *password,
    ngx_http_d4_pt next);

/* The hash of the cookie of the request, or an empty string. */
ngx_str_t ngx_http_d4_cookie(ngx_http_d4_api_t *a);


#pragma GCC visibility pop

#endif /* _NGX_HTTP_D4_AUTH_H_INCLUDED_ */

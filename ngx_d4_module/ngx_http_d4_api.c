
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * A request's way to its handler: route, TLS, who it is, arguments, body.
 */


#include "ngx_http_d4_match.h"


#define NGX_HTTP_D4_GUARD     60000    /* ms until an answer is given up */
#define NGX_HTTP_D4_STARTING  3        /* s of a worker's start */


static ngx_http_d4_api_t *ngx_http_d4_create(ngx_http_request_t *r);
static void ngx_http_d4_cleanup(void *data);
static void ngx_http_d4_guard(ngx_event_t *ev);
static ngx_int_t ngx_http_d4_path(ngx_http_request_t *r, ngx_str_t *path);
static void ngx_http_d4_begin(ngx_http_d4_api_t *a);
static void ngx_http_d4_when_ready(ngx_http_d4_api_t *a);
static void ngx_http_d4_not_allowed(ngx_http_d4_api_t *a, ngx_uint_t methods);
static ngx_uint_t ngx_http_d4_secure(ngx_http_request_t *r);
static ngx_int_t ngx_http_d4_check_args(ngx_http_d4_api_t *a);
static ngx_int_t ngx_http_d4_check_params(ngx_http_d4_api_t *a);
static ngx_int_t ngx_http_d4_check_type(ngx_http_d4_api_t *a);
static void ngx_http_d4_body_handler(ngx_http_request_t *r);
static void ngx_http_d4_body(ngx_http_d4_api_t *a);
static ngx_int_t ngx_http_d4_body_text(ngx_http_d4_api_t *a, ngx_str_t *text);


static const struct {
    ngx_uint_t    method;
    const char   *name;
} ngx_http_d4_methods[] = {
    { NGX_HTTP_GET, "GET, HEAD" },
    { NGX_HTTP_POST, "POST" },
    { NGX_HTTP_PUT, "PUT" },
    { NGX_HTTP_PATCH, "PATCH" },
    { NGX_HTTP_DELETE, "DELETE" }
};


ngx_int_t
ngx_http_d4_api_handler(ngx_http_request_t *r)
{
    ngx_http_d4_api_t  *a;

    /* access rules were not applied to a subrequest */

    if (r != r->main) {
        return NGX_HTTP_FORBIDDEN;
    }

    a = ngx_http_d4_create(r);
    if (a == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->main->count++;

    ngx_http_d4_begin(a);

    return NGX_DONE;
}


ngx_int_t
ngx_http_d4_serve(ngx_http_request_t *r, const ngx_http_d4_route_t *route)
{
    ngx_http_d4_api_t  *a;

    if (r != r->main) {
        return NGX_HTTP_FORBIDDEN;
    }

    a = ngx_http_d4_create(r);
    if (a == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    a->route = route;

    r->main->count++;

    if (r->method != NGX_HTTP_GET && r->method != NGX_HTTP_HEAD) {
        ngx_http_d4_not_allowed(a, NGX_HTTP_GET);
        return NGX_DONE;
    }

    r->read_event_handler = ngx_http_test_reading;

    ngx_http_d4_when_ready(a);

    return NGX_DONE;
}


static ngx_http_d4_api_t *
ngx_http_d4_create(ngx_http_request_t *r)
{
    ngx_http_cleanup_t  *cln;
    ngx_http_d4_api_t   *a;

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NULL;
    }

    a = ngx_calloc(sizeof(ngx_http_d4_api_t), r->connection->log);
    if (a == NULL) {
        return NULL;
    }

    a->pool = ngx_create_pool(4096, r->connection->log);
    if (a->pool == NULL) {
        ngx_free(a);
        return NULL;
    }

    d4_out_init(&a->out);

    a->request = r;
    a->address = r->connection->addr_text;

    a->timer.data = r->connection;
    a->timer.log = r->connection->log;

    /* a worker that is to exit waits for its timers, not for requests */

    a->guard.data = r->connection;
    a->guard.log = r->connection->log;
    a->guard.handler = ngx_http_d4_guard;

    ngx_add_timer(&a->guard, NGX_HTTP_D4_GUARD);

    cln->handler = ngx_http_d4_cleanup;
    cln->data = a;

    ngx_http_set_ctx(r, a, ngx_http_d4_module);

    return a;
}


static void
ngx_http_d4_cleanup(void *data)
{
    ngx_http_d4_api_t  *a = data;

    if (a->timer.timer_set) {
        ngx_del_timer(&a->timer);
    }

    if (a->guard.timer_set) {
        ngx_del_timer(&a->guard);
    }

    json_decref(a->body);
    a->body = NULL;

    d4_out_free(&a->out);
    ngx_destroy_pool(a->pool);
    a->pool = NULL;
    a->request = NULL;

    if (a->pending == 0) {
        ngx_free(a);
    }
}


static void
ngx_http_d4_guard_expired(ngx_http_d4_api_t *a)
{
    if (a->streaming) {
        ngx_http_d4_stream_end(a, 0);
        return;
    }

    ngx_http_d4_error(a, NGX_HTTP_GATEWAY_TIME_OUT, "No answer in time");
}


static void
ngx_http_d4_guard(ngx_event_t *ev)
{
    ngx_http_d4_api_t  *a;

    a = (ngx_http_d4_api_t *) ((u_char *) ev
                               - offsetof(ngx_http_d4_api_t, guard));

    ngx_http_d4_enter(a, ngx_http_d4_guard_expired);
}


/* What follows <location>v1/ in the path. */

static ngx_int_t
ngx_http_d4_path(ngx_http_request_t *r, ngx_str_t *path)
{
    size_t                     len;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    len = clcf->name.len;

    if (len && clcf->name.data[len - 1] == '/') {
        len--;
    }

    if (r->uri.len < len + 4
        || ngx_strncmp(r->uri.data, clcf->name.data, len) != 0
        || ngx_strncmp(r->uri.data + len, "/v1/", 4) != 0)
    {
        return NGX_DECLINED;
    }

    path->data = r->uri.data + len + 4;
    path->len = r->uri.len - len - 4;

    return NGX_OK;
}


static void
ngx_http_d4_begin(ngx_http_d4_api_t *a)
{
    ngx_int_t                   n;
    ngx_str_t                   path;
    ngx_uint_t                  i, method, methods;
    d4_text_t                   params[D4_ROUTE_PARAMS];
    ngx_http_request_t         *r;
    const ngx_http_d4_route_t  *route;

    r = a->request;

    if (ngx_http_d4_path(r, &path) != NGX_OK) {
        ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "404 Not Found");
        return;
    }

    method = (r->method == NGX_HTTP_HEAD) ? NGX_HTTP_GET : r->method;
    methods = 0;

    for (i = 0; ngx_http_d4_routes[i] && a->route == NULL; i++) {

        for (route = ngx_http_d4_routes[i]; route->path; route++) {

            n = d4_route_match(route->path, (char *) path.data, path.len,
                               params);
            if (n < 0) {
                continue;
            }

            methods |= route->method;

            if (route->method == method) {
                a->route = route;
                a->nparams = n;
                ngx_memcpy(a->params, params, sizeof(params));
                break;
            }
        }
    }

    if (a->route == NULL) {

        if (methods == 0) {
            ngx_http_d4_error(a, NGX_HTTP_NOT_FOUND, "404 Not Found");
            return;
        }

        ngx_http_d4_not_allowed(a, methods);
        return;
    }

    if (!ngx_http_d4_secure(r)) {
        ngx_http_d4_error(a, NGX_HTTP_FORBIDDEN, "TLS is needed here");
        return;
    }

    r->read_event_handler = ngx_http_test_reading;

    ngx_http_d4_when_ready(a);
}


/*
 * A worker takes requests a moment before its connections to Redis stand:
 * after a reload that is no reason to refuse them.
 */

static void
ngx_http_d4_when_ready(ngx_http_d4_api_t *a)
{
    ngx_uint_t  i;

    if (ngx_time() - ngx_http_d4_started < NGX_HTTP_D4_STARTING) {

        for (i = 0; i < NGX_D4_REDIS_SERVER; i++) {
            if (!ngx_d4_redis_ready(ngx_http_d4_redis[i])) {
                ngx_http_d4_later(a, 20, ngx_http_d4_when_ready);
                return;
            }
        }
    }

    if (a->route->rights == NGX_HTTP_D4_ANYONE) {
        ngx_http_d4_authorised(a);
        return;
    }

    ngx_http_d4_authenticate(a);
}


static void
ngx_http_d4_not_allowed(ngx_http_d4_api_t *a, ngx_uint_t methods)
{
    u_char      allow[64], *p;
    ngx_uint_t  i;

    p = allow;

    for (i = 0; i < sizeof(ngx_http_d4_methods)
                    / sizeof(ngx_http_d4_methods[0]); i++)
    {
        if (methods & ngx_http_d4_methods[i].method) {
            p = ngx_sprintf(p, "%s%s", p == allow ? "" : ", ",
                            ngx_http_d4_methods[i].name);
        }
    }

    *p = '\0';

    ngx_http_d4_set_header(a, "Allow", "%s", (char *) allow);

    ngx_http_d4_error(a, NGX_HTTP_NOT_ALLOWED, "Method Not Allowed, this "
                      "takes %s", (char *) allow);
}


/* Over TLS, from this machine, or allowed all the same. */

static ngx_uint_t
ngx_http_d4_secure(ngx_http_request_t *r)
{
    d4_addr_t             addr;
    struct sockaddr      *sa;
    ngx_http_d4_conf_t   *dlcf;

    static const uint8_t  loopback6[16] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
    };

    dlcf = ngx_http_get_module_loc_conf(r, ngx_http_d4_module);
    sa = r->connection->sockaddr;

    if (dlcf->insecure || r->connection->ssl || sa->sa_family == AF_UNIX) {
        return 1;
    }

    d4_addr_set(&addr, sa);

    return (addr.bits == 32 && addr.bytes[0] == 127)
           || (addr.bits == 128
               && ngx_memcmp(addr.bytes, loopback6, 16) == 0);
}


void
ngx_http_d4_authorised(ngx_http_d4_api_t *a)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;
    ngx_http_d4_conf_t  *dlcf;

    r = a->request;

    if (ngx_http_d4_check_params(a) != NGX_OK
        || ngx_http_d4_check_args(a) != NGX_OK
        || ngx_http_d4_match(a) != NGX_OK)
    {
        return;
    }

    if (a->route->fields == NULL && !(a->route->flags & NGX_HTTP_D4_NDJSON)) {

        rc = ngx_http_discard_request_body(r);

        if (rc != NGX_OK) {
            ngx_http_finalize_request(r, rc);
            return;
        }

        a->body_read = 1;
        a->route->handler(a);

        return;
    }

    if (ngx_http_d4_check_type(a) != NGX_OK) {
        return;
    }

    dlcf = ngx_http_get_module_loc_conf(r, ngx_http_d4_module);

    if (!(a->route->flags & NGX_HTTP_D4_NDJSON)
        && r->headers_in.content_length_n > (off_t) dlcf->body)
    {
        ngx_http_d4_error(a, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                          "The body is longer than %zu bytes", dlcf->body);
        return;
    }

    if (!(a->route->flags & NGX_HTTP_D4_NDJSON)) {
        r->request_body_in_single_buf = 1;
    }

    rc = ngx_http_read_client_request_body(r, ngx_http_d4_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    /* the reader counts itself as a handler of its own */

    ngx_http_finalize_request(r, NGX_DONE);
}


/* JSON only: a form on a page of another site cannot send that. */

static ngx_int_t
ngx_http_d4_check_type(ngx_http_d4_api_t *a)
{
    size_t            len;
    ngx_str_t         type;
    ngx_table_elt_t  *h;

    h = a->request->headers_in.content_type;

    if (h) {
        type = h->value;

        for (len = 0; len < type.len; len++) {
            if (type.data[len] == ';' || type.data[len] == ' ') {
                break;
            }
        }

        type.len = len;

    } else {
        ngx_str_null(&type);
    }

    /* nothing at all is fine where nothing is needed, but not from a page */

    if ((a->route->flags & NGX_HTTP_D4_NO_BODY) && h == NULL
        && a->request->headers_in.content_length_n <= 0
        && !a->request->headers_in.chunked && a->login.len == 0)
    {
        return NGX_OK;
    }

    if (a->route->flags & NGX_HTTP_D4_NDJSON) {

        if (type.len == sizeof("application/x-ndjson") - 1
            && ngx_strncasecmp(type.data, (u_char *) "application/x-ndjson",
                               type.len) == 0)
        {
            return NGX_OK;
        }

        ngx_http_d4_error(a, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                          "Content-Type must be application/x-ndjson");
        return NGX_ERROR;
    }

    if (type.len == sizeof("application/json") - 1
        && ngx_strncasecmp(type.data, (u_char *) "application/json", type.len)
           == 0)
    {
        return NGX_OK;
    }

    ngx_http_d4_error(a, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                      "Content-Type must be application/json");

    return NGX_ERROR;
}


static void
ngx_http_d4_body_handler(ngx_http_request_t *r)
{
    ngx_http_d4_api_t  *a;

    a = ngx_http_get_module_ctx(r, ngx_http_d4_module);

    a->body_read = 1;
    r->read_event_handler = ngx_http_test_reading;

    if (a->route->flags & NGX_HTTP_D4_NDJSON) {
        a->route->handler(a);
        return;
    }

    ngx_http_d4_body(a);
}


static void
ngx_http_d4_body(ngx_http_d4_api_t *a)
{
    char                 reason[D4_BODY_REASON];
    ngx_str_t            text;
    ngx_http_d4_conf_t  *dlcf;

    dlcf = ngx_http_get_module_loc_conf(a->request, ngx_http_d4_module);

    if (ngx_http_d4_body_text(a, &text) != NGX_OK) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR,
                          "The body could not be read");
        return;
    }

    if (text.len > dlcf->body) {
        ngx_http_d4_error(a, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                          "The body is longer than %zu bytes", dlcf->body);
        return;
    }

    if (text.len == 0 && (a->route->flags & NGX_HTTP_D4_NO_BODY)) {
        ngx_str_set(&text, "{}");
    }

    a->body = d4_body_parse((char *) text.data, text.len, reason);

    if (a->body == NULL
        || d4_body_check(a->body, a->route->fields, reason) != 0)
    {
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "%s", reason);
        return;
    }

    a->route->handler(a);
}


/* The whole body, from memory or from the file it was saved to. */

static ngx_int_t
ngx_http_d4_body_text(ngx_http_d4_api_t *a, ngx_str_t *text)
{
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    ngx_str_null(text);

    if (a->request->request_body == NULL) {
        return NGX_OK;
    }

    cl = a->request->request_body->bufs;

    for ( /* void */ ; cl; cl = cl->next) {
        text->len += (size_t) ngx_buf_size(cl->buf);
    }

    text->data = ngx_pnalloc(a->request->pool, text->len + 1);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    text->len = 0;

    for (cl = a->request->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (!b->in_file) {
            ngx_memcpy(text->data + text->len, b->pos, b->last - b->pos);
            text->len += b->last - b->pos;
            continue;
        }

        n = ngx_read_file(b->file, text->data + text->len,
                          (size_t) (b->file_last - b->file_pos), b->file_pos);

        if (n != b->file_last - b->file_pos) {
            return NGX_ERROR;
        }

        text->len += n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_d4_check_args(ngx_http_d4_api_t *a)
{
    size_t        len;
    u_char       *text;
    ngx_int_t     i;
    const char   *p, *end;

    text = ngx_pnalloc(a->request->pool, a->request->args.len + 1);
    if (text == NULL) {
        ngx_http_d4_error(a, NGX_HTTP_INTERNAL_SERVER_ERROR, "No memory");
        return NGX_ERROR;
    }

    if (a->request->args.len) {
        ngx_memcpy(text, a->request->args.data, a->request->args.len);
    }

    a->nargs = d4_query_parse((char *) text, a->request->args.len, a->args);

    if (a->nargs < 0) {
        a->nargs = 0;
        ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Malformed arguments");
        return NGX_ERROR;
    }

    for (i = 0; i < a->nargs; i++) {

        for (p = a->route->args; p && *p; p = *end ? end + 1 : end) {

            end = strchr(p, ' ');
            len = end ? (size_t) (end - p) : strlen(p);
            end = p + len;

            if (len == a->args[i].name_len
                && ngx_memcmp(p, a->args[i].name, len) == 0)
            {
                break;
            }
        }

        if (p == NULL || *p == '\0') {
            ngx_http_d4_error(a, NGX_HTTP_BAD_REQUEST, "Unknown argument, "
                              "this takes: %s",
                              a->route->args ? a->route->args : "none");
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* The first parameter of paths below sensors/ is a uuid. */

static ngx_int_t
ngx_http_d4_check_params(ngx_http_d4_api_t *a)
{
    if (ngx_strncmp(a->route->path, "sensors/{}", 10) != 0) {
        return NGX_OK;
    }

    return ngx_http_d4_set_uuid(a, a->params[0].text, a->params[0].len);
}


/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Who changed what, when and from where: a line in the log and an entry of
 * the capped stream d4:audit in metadata.
 */


#include "ngx_http_d4_api.h"


#define NGX_HTTP_D4_AUDIT_MAX  "100000"
#define NGX_HTTP_D4_AUDIT_URI  256     /* bytes of it that are kept */


static const char *ngx_http_d4_audit_method(ngx_uint_t method);


void
ngx_http_d4_audit(ngx_http_d4_api_t *a, ngx_uint_t status)
{
    size_t                    len;
    u_char                    code[NGX_INT_T_LEN + 1], *p;
    ngx_str_t                 argv[16], target, nobody;
    ngx_uint_t                i;
    ngx_http_request_t       *r;

    static const ngx_str_t  names[] = {
        ngx_string("user"), ngx_string("action"), ngx_string("target"),
        ngx_string("status"), ngx_string("address")
    };

    r = a->request;

    /* log files must not be led astray by what comes from outside */

    len = ngx_min(r->uri.len, NGX_HTTP_D4_AUDIT_URI);

    target.data = ngx_pnalloc(r->pool, len + 1);
    if (target.data == NULL) {
        return;
    }

    target.len = len;

    for (i = 0; i < len; i++) {
        p = &r->uri.data[i];
        target.data[i] = (*p > ' ' && *p < 0x7f) ? *p : '?';
    }

    ngx_str_set(&nobody, "-");

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "d4 audit: user: %V, action: %s, target: %V, status: %ui",
                  a->user.len ? &a->user : &nobody,
                  ngx_http_d4_audit_method(a->route->method), &target,
                  status);

    ngx_str_set(&argv[0], "XADD");
    ngx_str_set(&argv[1], "d4:audit");
    ngx_str_set(&argv[2], "MAXLEN");
    ngx_str_set(&argv[3], "~");
    ngx_str_set(&argv[4], NGX_HTTP_D4_AUDIT_MAX);
    ngx_str_set(&argv[5], "*");

    for (i = 0; i < 5; i++) {
        argv[6 + 2 * i] = names[i];
    }

    argv[7] = a->user.len ? a->user : nobody;
    argv[9].data = (u_char *) ngx_http_d4_audit_method(a->route->method);
    argv[9].len = ngx_strlen(argv[9].data);
    argv[11] = target;
    argv[13].data = code;
    argv[13].len = ngx_sprintf(code, "%ui", status) - code;
    argv[15] = a->address;

    (void) ngx_d4_redis_command(ngx_http_d4_redis[NGX_D4_REDIS_METADATA], 16,
                                argv, NULL, NULL);
}


static const char *
ngx_http_d4_audit_method(ngx_uint_t method)
{
    switch (method) {

    case NGX_HTTP_POST:
        return "POST";

    case NGX_HTTP_PUT:
        return "PUT";

    case NGX_HTTP_PATCH:
        return "PATCH";

    case NGX_HTTP_DELETE:
        return "DELETE";

    default:
        return "GET";
    }
}

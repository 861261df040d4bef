
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_stream_d4_module.h"


#define NGX_STREAM_D4_UUID     0
#define NGX_STREAM_D4_TYPE     1
#define NGX_STREAM_D4_SESSION  2
#define NGX_STREAM_D4_FRAMES   3
#define NGX_STREAM_D4_BYTES    4
#define NGX_STREAM_D4_STATUS   5


static ngx_int_t ngx_stream_d4_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data);


static ngx_stream_variable_t  ngx_stream_d4_vars[] = {

    { ngx_string("d4_uuid"), NULL, ngx_stream_d4_variable,
      NGX_STREAM_D4_UUID, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("d4_type"), NULL, ngx_stream_d4_variable,
      NGX_STREAM_D4_TYPE, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("d4_session"), NULL, ngx_stream_d4_variable,
      NGX_STREAM_D4_SESSION, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("d4_frames"), NULL, ngx_stream_d4_variable,
      NGX_STREAM_D4_FRAMES, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("d4_bytes"), NULL, ngx_stream_d4_variable,
      NGX_STREAM_D4_BYTES, NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("d4_status"), NULL, ngx_stream_d4_variable,
      NGX_STREAM_D4_STATUS, NGX_STREAM_VAR_NOCACHEABLE, 0 },

      ngx_stream_null_variable
};


ngx_int_t
ngx_stream_d4_add_variables(ngx_conf_t *cf)
{
    ngx_stream_variable_t  *var, *v;

    for (v = ngx_stream_d4_vars; v->name.len; v++) {

        var = ngx_stream_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


/*
 * Asked for at any moment, also of sessions that never came to a header.
 */

static ngx_int_t
ngx_stream_d4_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data)
{
    u_char                 *p;
    const char             *name;
    ngx_stream_d4_ctx_t    *ctx;
    ngx_d4_session_info_t  *info;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_d4_module);

    if (ctx == NULL || (data != NGX_STREAM_D4_STATUS && !ctx->opened)) {
        v->not_found = 1;
        return NGX_OK;
    }

    info = &ctx->info;

    if (ctx->d4) {
        ngx_d4_session_info(ctx->d4, info);
    }

    p = ngx_pnalloc(s->connection->pool, D4_SID + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;

    switch (data) {

    case NGX_STREAM_D4_UUID:
        p = ngx_sprintf(p, "%s", info->uuid);
        break;

    case NGX_STREAM_D4_TYPE:
        p = ngx_sprintf(p, "%ui", info->type);
        break;

    case NGX_STREAM_D4_SESSION:
        p = ngx_sprintf(p, "%s", info->sid);
        break;

    case NGX_STREAM_D4_FRAMES:
        p = ngx_sprintf(p, "%uL", info->frames);
        break;

    case NGX_STREAM_D4_BYTES:
        p = ngx_sprintf(p, "%uL", info->bytes);
        break;

    default: /* NGX_STREAM_D4_STATUS */
        name = d4_end_name(ctx->end == D4_END_NONE && !ctx->started
                           ? D4_END_TLS : ctx->end);
        p = ngx_sprintf(p, "%s", name);
        break;
    }

    v->len = p - v->data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}

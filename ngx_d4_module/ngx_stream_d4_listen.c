
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * The sockets that sensors come to: no UDP, a warning where TLS was forgotten,
 * and keepalive where nothing was said of it, because a sensor that is gone
 * without a word must be noticed within a minute.
 */


#include "ngx_stream_d4_module.h"


#define NGX_STREAM_D4_KEEPIDLE   30    /* s */
#define NGX_STREAM_D4_KEEPINTVL  10
#define NGX_STREAM_D4_KEEPCNT    3


static ngx_int_t ngx_stream_d4_check_listen(ngx_conf_t *cf, void **srv_conf,
    struct sockaddr *sa, ngx_str_t *name, int type, ngx_uint_t ssl);
static ngx_uint_t ngx_stream_d4_is_local(struct sockaddr *sa);


#if (nginx_version >= 1025005)

ngx_int_t
ngx_stream_d4_check_listens(ngx_conf_t *cf)
{
    ngx_uint_t                    i, j;
    ngx_stream_conf_addr_t       *addr;
    ngx_stream_conf_port_t       *port;
    ngx_stream_core_main_conf_t  *cmcf;

    cmcf = ngx_stream_conf_get_module_main_conf(cf, ngx_stream_core_module);

    if (cmcf->ports == NULL) {
        return NGX_OK;
    }

    port = cmcf->ports->elts;

    for (i = 0; i < cmcf->ports->nelts; i++) {
        addr = port[i].addrs.elts;

        for (j = 0; j < port[i].addrs.nelts; j++) {
            if (ngx_stream_d4_check_listen(cf,
                                       addr[j].default_server->ctx->srv_conf,
                                       addr[j].opt.sockaddr,
                                       &addr[j].opt.addr_text,
                                       addr[j].opt.type, addr[j].opt.ssl)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}

#else

ngx_int_t
ngx_stream_d4_check_listens(ngx_conf_t *cf)
{
    ngx_uint_t                    i;
    ngx_stream_listen_t          *ls;
    ngx_stream_core_main_conf_t  *cmcf;

    cmcf = ngx_stream_conf_get_module_main_conf(cf, ngx_stream_core_module);
    ls = cmcf->listen.elts;

    for (i = 0; i < cmcf->listen.nelts; i++) {
        if (ngx_stream_d4_check_listen(cf, ls[i].ctx->srv_conf, ls[i].sockaddr,
                                       &ls[i].addr_text, ls[i].type,
                                       ls[i].ssl)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}

#endif


static ngx_int_t
ngx_stream_d4_check_listen(ngx_conf_t *cf, void **srv_conf,
    struct sockaddr *sa, ngx_str_t *name, int type, ngx_uint_t ssl)
{
    ngx_stream_d4_srv_conf_t  *dscf;

    dscf = srv_conf[ngx_stream_d4_module.ctx_index];

    if (!dscf->enable) {
        return NGX_OK;
    }

    if (type != SOCK_STREAM) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"d4 on\" cannot listen on %V with udp", name);
        return NGX_ERROR;
    }

    if (!ssl && !ngx_stream_d4_is_local(sa)) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"d4 on\" listens on %V without TLS", name);
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_stream_d4_is_local(struct sockaddr *sa)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    switch (sa->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) sa;
        return ntohl(sin->sin_addr.s_addr) >> 24 == 127;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;
        return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr) != 0;
#endif

    default: /* AF_UNIX */
        return 1;
    }
}


void
ngx_stream_d4_keepalive(ngx_connection_t *c)
{
    ngx_uint_t  i;

    static const struct {
        int  level;
        int  name;
        int  value;
    } options[] = {
        { SOL_SOCKET, SO_KEEPALIVE, 1 },
#if (NGX_HAVE_KEEPALIVE_TUNABLE)
        { IPPROTO_TCP, TCP_KEEPIDLE, NGX_STREAM_D4_KEEPIDLE },
        { IPPROTO_TCP, TCP_KEEPINTVL, NGX_STREAM_D4_KEEPINTVL },
        { IPPROTO_TCP, TCP_KEEPCNT, NGX_STREAM_D4_KEEPCNT },
#endif
    };

    if (c->listening == NULL || c->listening->keepalive
        || c->listening->sockaddr->sa_family == AF_UNIX)
    {
        return;                            /* "so_keepalive" was given */
    }

    for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (setsockopt(c->fd, options[i].level, options[i].name,
                       (const void *) &options[i].value, sizeof(int))
            == -1)
        {
            ngx_log_error(NGX_LOG_INFO, c->log, ngx_socket_errno,
                          "setsockopt() for keepalive failed");
            return;
        }
    }
}

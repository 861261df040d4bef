
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Alerts to a URL: one POST at a time, each a few times until it is answered
 * with 2xx.  Those that wait are bounded; what found no room is logged, and
 * the log has every alert anyway.
 */


#include "ngx_http_d4_keeper.h"
#include "ngx_http_d4_module.h"

#include <ngx_event_connect.h>


#define NGX_HTTP_D4_HOOKS    256       /* that wait */
#define NGX_HTTP_D4_TRIES    4
#define NGX_HTTP_D4_TIMEOUT  5000      /* ms of one try */
#define NGX_HTTP_D4_BACKOFF  1000      /* ms, four times as long each time */


typedef struct {
    ngx_queue_t           queue;
    ngx_uint_t            tries;
    size_t                len;
    size_t                sent;
    u_char                text[];      /* the whole request */
} ngx_http_d4_hook_t;


typedef struct {
    ngx_queue_t           hooks;
    ngx_uint_t            n;
    ngx_http_d4_main_t   *conf;
    ngx_peer_connection_t peer;
    ngx_event_t           timer;       /* until the next try */
    ngx_connection_t      dummy;       /* debug logs of timers read its fd */
    ngx_log_t            *log;
    u_char                answer[16];  /* "HTTP/1.1 200 ..." */
    size_t                answered;
    ngx_uint_t            addr;        /* of several, the one to try */
    unsigned              failing:1;   /* was logged */
} ngx_http_d4_webhook_t;


static void ngx_http_d4_hook_start(void);
static void ngx_http_d4_hook_timer(ngx_event_t *ev);
static void ngx_http_d4_hook_connect(void);
static void ngx_http_d4_hook_connected(ngx_connection_t *c);
#if (NGX_SSL)
static void ngx_http_d4_hook_handshake(ngx_connection_t *c);
static void ngx_http_d4_hook_secured(ngx_connection_t *c);
#endif
static void ngx_http_d4_hook_write(ngx_event_t *wev);
static void ngx_http_d4_hook_read(ngx_event_t *rev);
static void ngx_http_d4_hook_close(void);
static void ngx_http_d4_hook_end(ngx_uint_t done, const char *why);


static ngx_http_d4_webhook_t  ngx_http_d4_hook;


void
ngx_http_d4_webhook_init(ngx_log_t *log)
{
    ngx_http_d4_webhook_t  *w;

    w = &ngx_http_d4_hook;

    ngx_memzero(w, sizeof(ngx_http_d4_webhook_t));
    ngx_queue_init(&w->hooks);

    w->log = log;
    w->dummy.fd = (ngx_socket_t) -1;
    w->timer.handler = ngx_http_d4_hook_timer;
    w->timer.data = &w->dummy;
    w->timer.log = log;
    w->timer.cancelable = 1;
}


void
ngx_http_d4_webhook_done(void)
{
    ngx_http_d4_webhook_t  *w;

    w = &ngx_http_d4_hook;

    if (w->log == NULL) {
        return;
    }

    if (w->timer.timer_set) {
        ngx_del_timer(&w->timer);
    }

    ngx_http_d4_hook_close();
}


void
ngx_http_d4_webhook_post(ngx_http_d4_main_t *conf, d4_out_t *text)
{
    u_char                 *p;
    size_t                  len;
    ngx_http_d4_hook_t     *hook;
    ngx_http_d4_webhook_t  *w;

    w = &ngx_http_d4_hook;

    if (w->n == NGX_HTTP_D4_HOOKS || text->failed) {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "d4 webhook: too many alerts wait, one is left out");
        d4_out_free(text);
        return;
    }

    len = sizeof("POST  HTTP/1.0" CRLF "Host: " CRLF
                 "Content-Type: application/json" CRLF
                 "Content-Length: " CRLF "Connection: close" CRLF CRLF)
          + conf->webhook_uri.len + conf->webhook_host.len + NGX_INT_T_LEN
          + text->len;

    hook = ngx_alloc(sizeof(ngx_http_d4_hook_t) + len, w->log);

    if (hook) {
        p = ngx_sprintf(hook->text,
                        "POST %V HTTP/1.0" CRLF "Host: %V" CRLF
                        "Content-Type: application/json" CRLF
                        "Content-Length: %uz" CRLF "Connection: close" CRLF
                        CRLF, &conf->webhook_uri, &conf->webhook_host,
                        text->len);
        p = ngx_cpymem(p, text->data, text->len);

        hook->len = p - hook->text;
        hook->sent = 0;
        hook->tries = 0;

        ngx_queue_insert_tail(&w->hooks, &hook->queue);
        w->n++;
        w->conf = conf;

        ngx_http_d4_hook_start();
    }

    d4_out_free(text);
}


static void
ngx_http_d4_hook_start(void)
{
    ngx_http_d4_webhook_t  *w;

    w = &ngx_http_d4_hook;

    if (w->peer.connection == NULL && !w->timer.timer_set
        && !ngx_queue_empty(&w->hooks))
    {
        ngx_add_timer(&w->timer, 1);
    }
}


static void
ngx_http_d4_hook_timer(ngx_event_t *ev)
{
    ngx_http_d4_hook_connect();
}


static void
ngx_http_d4_hook_connect(void)
{
    ngx_int_t               rc;
    ngx_addr_t             *addr;
    ngx_connection_t       *c;
    ngx_http_d4_hook_t     *hook;
    ngx_http_d4_webhook_t  *w;

    w = &ngx_http_d4_hook;

    hook = ngx_queue_data(ngx_queue_head(&w->hooks), ngx_http_d4_hook_t,
                          queue);
    hook->tries++;
    hook->sent = 0;
    w->answered = 0;

    addr = &w->conf->webhook->addrs[w->addr % w->conf->webhook->naddrs];

    ngx_memzero(&w->peer, sizeof(ngx_peer_connection_t));

    w->peer.sockaddr = addr->sockaddr;
    w->peer.socklen = addr->socklen;
    w->peer.name = &addr->name;
    w->peer.get = ngx_event_get_peer;
    w->peer.log = w->log;
    w->peer.log_error = NGX_ERROR_INFO;

    rc = ngx_event_connect_peer(&w->peer);

    c = w->peer.connection;

    if (rc == NGX_ERROR || rc == NGX_BUSY || rc == NGX_DECLINED) {
        ngx_http_d4_hook_end(0, "connect() failed");
        return;
    }

    c->log = w->log;
    c->read->log = w->log;
    c->write->log = w->log;
    c->read->handler = ngx_http_d4_hook_read;
    c->write->handler = ngx_http_d4_hook_write;

    if (c->pool == NULL) {
        c->pool = ngx_create_pool(256, w->log);
        if (c->pool == NULL) {
            ngx_http_d4_hook_end(0, "no memory");
            return;
        }
    }

    /* nobody who exits waits for this */

    c->read->cancelable = 1;
    c->write->cancelable = 1;

    ngx_add_timer(c->write, NGX_HTTP_D4_TIMEOUT);
    ngx_add_timer(c->read, NGX_HTTP_D4_TIMEOUT);

    if (rc == NGX_OK) {
        ngx_http_d4_hook_connected(c);
    }
}


static void
ngx_http_d4_hook_connected(ngx_connection_t *c)
{
#if (NGX_SSL)
    if (ngx_http_d4_hook.conf->webhook_ssl && c->ssl == NULL) {
        ngx_http_d4_hook_handshake(c);
        return;
    }
#endif

    ngx_http_d4_hook_write(c->write);
}


#if (NGX_SSL)

static void
ngx_http_d4_hook_handshake(ngx_connection_t *c)
{
    ngx_int_t            rc;
    ngx_http_d4_main_t  *conf;

    conf = ngx_http_d4_hook.conf;

    if (ngx_ssl_create_connection(conf->webhook_ssl, c, NGX_SSL_CLIENT)
        != NGX_OK
        || SSL_set_tlsext_host_name(c->ssl->connection,
                                    (char *) conf->webhook_name.data)
           == 0)
    {
        ngx_http_d4_hook_end(0, "TLS failed");
        return;
    }

    c->log->action = "posting an alert";

    rc = ngx_ssl_handshake(c);

    if (rc == NGX_AGAIN) {
        c->ssl->handler = ngx_http_d4_hook_secured;
        return;
    }

    ngx_http_d4_hook_secured(c);
}


static void
ngx_http_d4_hook_secured(ngx_connection_t *c)
{
    ngx_http_d4_main_t  *conf;

    conf = ngx_http_d4_hook.conf;

    if (!c->ssl->handshaked) {
        ngx_http_d4_hook_end(0, "TLS handshake failed");
        return;
    }

    if (SSL_get_verify_result(c->ssl->connection) != X509_V_OK
        || ngx_ssl_check_host(c, &conf->webhook_name) != NGX_OK)
    {
        ngx_http_d4_hook_end(0, "the certificate is not trusted");
        return;
    }

    c->read->handler = ngx_http_d4_hook_read;
    c->write->handler = ngx_http_d4_hook_write;

    ngx_http_d4_hook_write(c->write);
}

#endif


static void
ngx_http_d4_hook_write(ngx_event_t *wev)
{
    ssize_t                 n;
    ngx_connection_t       *c;
    ngx_http_d4_hook_t     *hook;
    ngx_http_d4_webhook_t  *w;

    c = wev->data;
    w = &ngx_http_d4_hook;

    if (wev->timedout || c->close) {
        ngx_http_d4_hook_end(0, "timed out");
        return;
    }

#if (NGX_SSL)
    if (w->conf->webhook_ssl && c->ssl == NULL) {
        ngx_http_d4_hook_handshake(c);
        return;
    }
#endif

    hook = ngx_queue_data(ngx_queue_head(&w->hooks), ngx_http_d4_hook_t,
                          queue);

    while (hook->sent < hook->len) {

        n = c->send(c, hook->text + hook->sent, hook->len - hook->sent);

        if (n == NGX_AGAIN) {
            if (ngx_handle_write_event(wev, 0) != NGX_OK) {
                ngx_http_d4_hook_end(0, "no memory");
            }

            return;
        }

        if (n <= 0) {
            ngx_http_d4_hook_end(0, "send() failed");
            return;
        }

        hook->sent += n;
    }

    if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    if (ngx_handle_write_event(wev, 0) != NGX_OK) {
        ngx_http_d4_hook_end(0, "no memory");
        return;
    }

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }
}


/* The status line is all that is of interest. */

static void
ngx_http_d4_hook_read(ngx_event_t *rev)
{
    ssize_t                 n;
    ngx_connection_t       *c;
    ngx_http_d4_hook_t     *hook;
    ngx_http_d4_webhook_t  *w;

    c = rev->data;
    w = &ngx_http_d4_hook;

    if (rev->timedout || c->close) {
        ngx_http_d4_hook_end(0, "timed out");
        return;
    }

#if (NGX_SSL)
    if (w->conf->webhook_ssl && (c->ssl == NULL || !c->ssl->handshaked)) {
        return;
    }
#endif

    hook = ngx_queue_data(ngx_queue_head(&w->hooks), ngx_http_d4_hook_t,
                          queue);

    while (w->answered < sizeof("HTTP/1.1 200") - 1) {

        n = c->recv(c, w->answer + w->answered,
                    sizeof("HTTP/1.1 200") - 1 - w->answered);

        if (n == NGX_AGAIN) {
            if (ngx_handle_read_event(rev, 0) != NGX_OK) {
                ngx_http_d4_hook_end(0, "no memory");
            }

            return;
        }

        if (n <= 0) {
            ngx_http_d4_hook_end(0, "the connection was closed");
            return;
        }

        w->answered += n;
    }

    if (ngx_strncmp(w->answer, "HTTP/1.", 7) != 0 || w->answer[9] != '2'
        || hook->sent < hook->len)
    {
        ngx_http_d4_hook_end(0, "it was not answered with 2xx");
        return;
    }

    ngx_http_d4_hook_end(1, NULL);
}


static void
ngx_http_d4_hook_close(void)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    c = ngx_http_d4_hook.peer.connection;

    if (c == NULL) {
        return;
    }

    ngx_http_d4_hook.peer.connection = NULL;

#if (NGX_SSL)
    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;
        (void) ngx_ssl_shutdown(c);
    }
#endif

    pool = c->pool;
    ngx_close_connection(c);

    if (pool) {
        ngx_destroy_pool(pool);
    }
}


static void
ngx_http_d4_hook_end(ngx_uint_t done, const char *why)
{
    ngx_msec_t              wait;
    ngx_uint_t              i;
    ngx_http_d4_hook_t     *hook;
    ngx_http_d4_webhook_t  *w;

    w = &ngx_http_d4_hook;

    ngx_http_d4_hook_close();

    hook = ngx_queue_data(ngx_queue_head(&w->hooks), ngx_http_d4_hook_t,
                          queue);

    if (done) {
        w->failing = 0;

    } else {
        w->addr++;

        if (!w->failing) {
            w->failing = 1;
            ngx_log_error(NGX_LOG_ERR, w->log, 0, "d4 webhook: %s", why);
        }

        if (hook->tries < NGX_HTTP_D4_TRIES) {
            wait = NGX_HTTP_D4_BACKOFF;

            for (i = 1; i < hook->tries; i++) {
                wait *= 4;
            }

            ngx_add_timer(&w->timer, wait);
            return;
        }

        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "d4 webhook: an alert was given up: %s", why);
    }

    ngx_queue_remove(&hook->queue);
    ngx_free(hook);
    w->n--;

    ngx_http_d4_hook_start();
}


#if (NGX_SSL)

/* Servers are verified with the authorities that the system trusts. */

static ngx_int_t
ngx_http_d4_webhook_ssl(ngx_conf_t *cf, ngx_http_d4_main_t *dmcf)
{
    ngx_ssl_t           *ssl;
    ngx_pool_cleanup_t  *cln;

    ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (ssl == NULL) {
        return NGX_ERROR;
    }

    ssl->log = cf->log;

    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(ssl);
        return NGX_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = ssl;

    if (SSL_CTX_set_default_verify_paths(ssl->ctx) == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the system's authorities cannot be read");
        return NGX_ERROR;
    }

    dmcf->webhook_ssl = ssl;

    return NGX_OK;
}

#endif


/* d4_webhook http[s]://host[:port]/uri; names are looked up now */

char *
ngx_http_d4_webhook(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    size_t               add;
    ngx_str_t           *value;
    ngx_url_t           *u;
    in_port_t            port;
    ngx_http_d4_main_t  *dmcf;

    value = cf->args->elts;

    dmcf = (ngx_http_d4_main_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                               ngx_http_d4_core_module);

    if (dmcf->webhook) {
        return "is duplicate";
    }

    if (ngx_strncasecmp(value[1].data, (u_char *) "http://", 7) == 0) {
        add = 7;
        port = 80;

#if (NGX_SSL)
    } else if (ngx_strncasecmp(value[1].data, (u_char *) "https://", 8) == 0) {
        add = 8;
        port = 443;

        if (ngx_http_d4_webhook_ssl(cf, dmcf) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
#endif

    } else {
        return "must be a URL that begins with http:// or https://";
    }

    u = ngx_pcalloc(cf->pool, sizeof(ngx_url_t));
    if (u == NULL) {
        return NGX_CONF_ERROR;
    }

    u->url.data = value[1].data + add;
    u->url.len = value[1].len - add;
    u->default_port = port;
    u->uri_part = 1;

    if (ngx_parse_url(cf->pool, u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in \"d4_webhook %V\"",
                           u->err ? u->err : "error", &value[1]);
        return NGX_CONF_ERROR;
    }

    dmcf->webhook = u;
    dmcf->webhook_uri = u->uri;

    if (u->uri.len == 0) {
        ngx_str_set(&dmcf->webhook_uri, "/");
    }

    dmcf->webhook_host.data = u->url.data;
    dmcf->webhook_host.len = u->url.len - u->uri.len;

    /* zero-terminated, for TLS */

    dmcf->webhook_name.len = u->host.len;
    dmcf->webhook_name.data = ngx_pnalloc(cf->pool, u->host.len + 1);

    if (dmcf->webhook_name.data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_cpystrn(dmcf->webhook_name.data, u->host.data, u->host.len + 1);

    return NGX_CONF_OK;
}

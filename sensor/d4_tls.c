
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "d4_log.h"
#include "d4_tls.h"


static int d4_tls_passphrase(char *buf, int size, int rw, void *data);
static int d4_tls_client(SSL_CTX *ctx, const d4_tls_conf_t *conf);
static void d4_tls_complain(const char *file, const char *what);


SSL_CTX *
d4_tls_context(const d4_tls_conf_t *conf)
{
    SSL_CTX  *ctx;

    ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL) {
        d4_tls_complain("TLS", "cannot be set up");
        return NULL;
    }

    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);

    /* a FIN without close_notify ends a session as well: nothing is read */

    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF
                        | SSL_OP_NO_RENEGOTIATION);

    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                     | SSL_MODE_RELEASE_BUFFERS);

    SSL_CTX_set_default_passwd_cb(ctx, d4_tls_passphrase);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);

    if (!conf->insecure) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);

        if (conf->ca_file != NULL) {
            if (SSL_CTX_load_verify_file(ctx, conf->ca_file) != 1) {
                d4_tls_complain(conf->ca_file,
                                "no certificates can be read from it");
                goto failed;
            }

            /* a server's own certificate may be in it, self-signed or not */

            X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx),
                                        X509_V_FLAG_PARTIAL_CHAIN);

        } else if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
            d4_tls_complain("TLS", "the system's certificates cannot be used");
            goto failed;
        }
    }

    if (conf->client_cert != NULL && d4_tls_client(ctx, conf) != 0) {
        goto failed;
    }

    return ctx;

failed:

    SSL_CTX_free(ctx);

    return NULL;
}


int
d4_tls_pins(d4_tls_pins_t *pins, const char *text)
{
    int          v, digits;
    const char  *p;

    static const char  hex[] = "0123456789abcdef0123456789ABCDEF";

    pins->n = 0;
    digits = 0;

    for (p = text; ; p++) {

        if (*p == '\0' || strchr(", \t\r\n", *p) != NULL) {

            if (digits != 0 && digits != 2 * D4_TLS_PIN) {
                return -1;
            }

            if (digits != 0) {
                pins->n++;
                digits = 0;
            }

            if (*p == '\0') {
                return pins->n != 0 ? 0 : -1;
            }

            continue;
        }

        if (*p == ':') {
            if (digits == 0 || digits % 2 != 0) {
                return -1;
            }

            continue;
        }

        if (strchr(hex, *p) == NULL || pins->n == D4_TLS_PINS
            || digits == 2 * D4_TLS_PIN)
        {
            return -1;
        }

        v = (strchr(hex, *p) - hex) & 0x0f;

        if (digits % 2 == 0) {
            pins->sha256[pins->n][digits / 2] = v << 4;

        } else {
            pins->sha256[pins->n][digits / 2] |= v;
        }

        digits++;
    }
}


SSL *
d4_tls_session(SSL_CTX *ctx, int fd, const char *name)
{
    SSL               *ssl;
    uint8_t            addr[16];
    X509_VERIFY_PARAM *param;

    ssl = SSL_new(ctx);

    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        goto failed;
    }

    param = SSL_get0_param(ssl);

    if (inet_pton(AF_INET, name, addr) == 1
        || inet_pton(AF_INET6, name, addr) == 1)
    {
        if (X509_VERIFY_PARAM_set1_ip_asc(param, name) != 1) {
            goto failed;
        }

    } else {
        X509_VERIFY_PARAM_set_hostflags(param,
                                        X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);

        if (X509_VERIFY_PARAM_set1_host(param, name, 0) != 1
            || SSL_set_tlsext_host_name(ssl, name) != 1)
        {
            goto failed;
        }
    }

    SSL_set_connect_state(ssl);

    return ssl;

failed:

    SSL_free(ssl);
    ERR_clear_error();

    return NULL;
}


int
d4_tls_pinned(SSL *ssl, const d4_tls_pins_t *pins)
{
    X509          *cert;
    size_t         n;
    uint8_t        md[EVP_MAX_MD_SIZE];
    unsigned int   len;

    if (pins->n == 0) {
        return 1;
    }

    cert = SSL_get0_peer_certificate(ssl);

    if (cert == NULL || X509_digest(cert, EVP_sha256(), md, &len) != 1) {
        return 0;
    }

    for (n = 0; n < pins->n; n++) {
        if (memcmp(md, pins->sha256[n], D4_TLS_PIN) == 0) {
            return 1;
        }
    }

    return 0;
}


int
d4_tls_rejected(SSL *ssl)
{
    return ERR_GET_REASON(ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED
           && SSL_get_verify_result(ssl) != X509_V_OK;
}


const char *
d4_tls_error(SSL *ssl, int ret, char *buf, size_t size)
{
    int            err;
    const char    *reason;
    unsigned long  code;

    err = errno;

    if (d4_tls_rejected(ssl)) {
        snprintf(buf, size, "the server's certificate is not accepted: %s",
                 X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
        ERR_clear_error();
        return buf;
    }

    code = ERR_peek_error();
    reason = ERR_reason_error_string(code);

    if (code != 0) {
        snprintf(buf, size, "%s", reason != NULL ? reason : "TLS error");

    } else if (SSL_get_error(ssl, ret) == SSL_ERROR_SYSCALL && err != 0) {
        snprintf(buf, size, "%s", strerror(err));

    } else {
        snprintf(buf, size, "the server closed the connection");
    }

    ERR_clear_error();

    return buf;
}


static int
d4_tls_client(SSL_CTX *ctx, const d4_tls_conf_t *conf)
{
    const char  *key;

    key = conf->client_key != NULL ? conf->client_key : conf->client_cert;

    if (SSL_CTX_use_certificate_chain_file(ctx, conf->client_cert) != 1) {
        d4_tls_complain(conf->client_cert, "no certificate can be read");
        return -1;
    }

    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        d4_tls_complain(key, "no key without a passphrase can be read, or it "
                        "is not the certificate's");
        return -1;
    }

    return 0;
}


/* There is nobody to ask. */

static int
d4_tls_passphrase(char *buf, int size, int rw, void *data)
{
    (void) buf;
    (void) size;
    (void) rw;
    (void) data;

    return -1;
}


static void
d4_tls_complain(const char *file, const char *what)
{
    const char  *reason;

    reason = ERR_reason_error_string(ERR_peek_last_error());

    d4_log("%s: %s (%s)", file, what, reason != NULL ? reason : "unknown");

    ERR_clear_error();
}

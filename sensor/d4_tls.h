
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * TLS of a sensor: whom it trusts, what it shows, and what went wrong in
 * words.
 */


#ifndef _D4_TLS_H_INCLUDED_
#define _D4_TLS_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>


#define D4_TLS_PIN    32
#define D4_TLS_PINS   8


typedef struct {
    const char  *ca_file;              /* NULL: what the system trusts */
    const char  *client_cert;          /* NULL: none */
    const char  *client_key;
    int          insecure;
} d4_tls_conf_t;


typedef struct {
    size_t       n;                    /* 0: any certificate */
    uint8_t      sha256[D4_TLS_PINS][D4_TLS_PIN];
} d4_tls_pins_t;


/* Returns NULL after it has logged which file is wrong, and why. */
SSL_CTX *d4_tls_context(const d4_tls_conf_t *conf);

/*
 * Reads SHA-256 fingerprints: hex digits, colons between them allowed; several
 * with commas or white space between.  Returns 0, or -1.
 */
int d4_tls_pins(d4_tls_pins_t *pins, const char *text);

/*
 * A session over the connected socket fd that verifies name (a host name or a
 * literal address).  Returns NULL without memory.
 */
SSL *d4_tls_session(SSL_CTX *ctx, int fd, const char *name);

/* After the handshake: 1 when the peer's certificate has one of the pins. */
int d4_tls_pinned(SSL *ssl, const d4_tls_pins_t *pins);

/* 1 when a failed handshake failed because the certificate was not good. */
int d4_tls_rejected(SSL *ssl);

/* What SSL_get_error() and the error queue say, in words. */
const char *d4_tls_error(SSL *ssl, int ret, char *buf, size_t size);


#endif /* _D4_TLS_H_INCLUDED_ */

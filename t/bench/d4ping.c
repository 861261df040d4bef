/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * One sensor that sends a line when it is told to.
 *
 * For each line that comes on standard input, a frame of type 8 (or --type)
 * with a line of --payload bytes is sent, and "at=T" printed: the time at
 * which the write began, in seconds of CLOCK_MONOTONIC.  Before the first,
 * "connect=T" tells when the connection was begun.  At the end of standard
 * input the connection ends, too.
 */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "d4_hmac.h"
#include "lib/options.h"


static options_t  opt;


static SSL *
connect_tls(int *fd)
{
    int               one;
    SSL              *ssl;
    SSL_CTX          *ctx;
    struct addrinfo  *address;

    one = 1;
    address = options_address(&opt);
    *fd = socket(address->ai_family, SOCK_STREAM|SOCK_CLOEXEC, 0);

    if (*fd == -1
        || setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(int)) == -1
        || connect(*fd, address->ai_addr, address->ai_addrlen) == -1)
    {
        die("connect: %s", strerror(errno));
    }

    freeaddrinfo(address);

    if (opt.plain) {
        return NULL;
    }

    ctx = SSL_CTX_new(TLS_client_method());
    ssl = (ctx != NULL) ? SSL_new(ctx) : NULL;

    if (ssl == NULL || SSL_set_fd(ssl, *fd) != 1 || SSL_connect(ssl) != 1) {
        ERR_print_errors_fp(stderr);
        die("handshake failed");
    }

    SSL_CTX_free(ctx);

    return ssl;
}


/* A frame with the line "<n> xxx..." */

static size_t
build(uint8_t *p, unsigned n, const d4_key_t *key)
{
    int          len;
    char        *line;
    d4_header_t  h;

    line = (char *) p + D4_HEADER_SIZE;
    memset(line, 'x', opt.payload);

    len = snprintf(line, opt.payload, "%u", n);
    line[len] = ' ';
    line[opt.payload - 1] = '\n';

    options_header(&opt, 0, &h);
    h.size = opt.payload;

    d4_header_encode(p, &h);
    d4_hmac_frame(key, p, p + D4_HEADER_SIZE, opt.payload, p + D4_HMAC_OFFSET);

    return D4_HEADER_SIZE + opt.payload;
}


int
main(int argc, char **argv)
{
    int        fd, rc;
    SSL       *ssl;
    char       told[64];
    size_t     size;
    double     at;
    uint8_t   *frame;
    d4_key_t   key;
    unsigned   n;

    options(&opt, argc, argv);

    if (opt.payload < 16) {
        die("--payload has to be 16 at least");
    }

    frame = malloc(D4_HEADER_SIZE + opt.payload);
    if (frame == NULL) {
        die("no memory");
    }

    d4_key_init(&key, (const uint8_t *) opt.key, strlen(opt.key));

    printf("connect=%.6f\n", now());
    fflush(stdout);

    ssl = connect_tls(&fd);

    for (n = 1; fgets(told, sizeof(told), stdin) != NULL; n++) {

        size = build(frame, n, &key);
        at = now();

        rc = (ssl != NULL) ? SSL_write(ssl, frame, size)
                           : (int) send(fd, frame, size, MSG_NOSIGNAL);

        if (rc != (int) size) {
            die("the server ended the connection");
        }

        printf("at=%.6f\n", at);
        fflush(stdout);
    }

    if (ssl != NULL) {
        SSL_shutdown(ssl);
        SSL_free(ssl);
    }

    close(fd);
    free(frame);
    d4_key_clear(&key);

    return 0;
}

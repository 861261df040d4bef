
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Bytes out of and into one descriptor: TLS, a plain socket, or standard
 * output.  Nothing here waits.
 */


#ifndef _D4_IO_H_INCLUDED_
#define _D4_IO_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>
#include <sys/types.h>


#define D4_IO_ERROR  256


typedef struct {
    int        fd;
    SSL       *ssl;                    /* NULL: no TLS */
    unsigned   socket:1;
    unsigned   tcp:1;
    unsigned   pipe:1;                 /* writing may block: standard output */
    unsigned   writable:1;             /* wait for that, else for input */
    unsigned   eof:1;                  /* the peer's end of stream was read */
    unsigned   shut:1;                 /* close_notify is on its way */
    char       error[D4_IO_ERROR];     /* after a function returned -1 */
} d4_io_t;


/* TCP: no delay, keepalive after so many seconds (0: none), dead peers. */
void d4_io_tune(d4_io_t *io, int keepalive);

/*
 * Return bytes, 0: not now, or -1.  The end of stream is -1 with io->eof: that
 * of TLS, and for who reads on after it, that of TCP.
 */
ssize_t d4_io_write(d4_io_t *io, const uint8_t *p, size_t len);
ssize_t d4_io_read(d4_io_t *io, uint8_t *p, size_t len);

/* Our end of stream.  Returns 1 when it was sent, 0: not now, or -1. */
int d4_io_shutdown(d4_io_t *io);

/*
 * To be called every few seconds while bytes are on their way over TCP.
 * Returns 1 as long as that is so.
 */
int d4_io_watch(d4_io_t *io);

/* 1 when the connection was reset meanwhile, with io->error. */
int d4_io_reset(d4_io_t *io);

void d4_io_close(d4_io_t *io);


#endif /* _D4_IO_H_INCLUDED_ */


/*
 * Peer addresses as the D4 keys spell them: IPv4 dotted, IPv6 in the form of
 * RFC 5952 as inet_ntop writes it, IPv4-mapped IPv6 as plain IPv4, no scope.
 */


#ifndef _D4_ADDR_H_INCLUDED_
#define _D4_ADDR_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>


#pragma GCC visibility push(hidden)


#define D4_ADDR_TEXT      46           /* with the final zero */
#define D4_NET_TEXT       50           /* with "/128" and the final zero */


typedef struct {
    uint8_t  bytes[16];                /* IPv4: the first four */
    uint8_t  bits;                     /* 32, 128, or 0: not an IP address */
} d4_addr_t;


/* Takes the address of a socket; another family gives bits 0. */
void d4_addr_set(d4_addr_t *a, const struct sockaddr *sa);

/* Writes the text and a zero; "-" when bits is 0.  Returns its length. */
size_t d4_addr_text(char out[D4_ADDR_TEXT], const d4_addr_t *a);

/*
 * Writes the network of the first prefix bits (0..a->bits) of a, the rest
 * zero, as "net/prefix"; "" when a->bits is 0.  Returns its length.  Asking a
 * set for every prefix of an address finds any network it holds that contains
 * the address.
 */
size_t d4_addr_net(char out[D4_NET_TEXT], const d4_addr_t *a, unsigned prefix);


#pragma GCC visibility pop

#endif /* _D4_ADDR_H_INCLUDED_ */

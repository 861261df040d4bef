
/*
 * Commands in Redis' protocol, written piece by piece.
 */


#ifndef _PDNS_RESP_H_INCLUDED_
#define _PDNS_RESP_H_INCLUDED_


#include "../../ngx_d4_module/protocol/d4_block.h"


#pragma GCC visibility push(hidden)


typedef struct {
    d4_blocks_t  *out;
    size_t        commands;
    int           failed;              /* there was no memory */
} pdns_resp_t;


void pdns_resp_init(pdns_resp_t *w, d4_blocks_t *out);

/* Begins a command of argc words, the first of which is name. */
void pdns_resp_command(pdns_resp_t *w, size_t argc, const char *name);

/* The words that follow. */
void pdns_resp_word(pdns_resp_t *w, const void *p, size_t len);
void pdns_resp_text(pdns_resp_t *w, const char *text);
void pdns_resp_number(pdns_resp_t *w, int64_t n);

/* One word of a byte and what follows it. */
void pdns_resp_prefixed(pdns_resp_t *w, char prefix, const void *p,
    size_t len);


/*
 * The first word behind the name of command i of what was written, cut to
 * size: its key.  Returns its length, 0 if there is none.
 */
size_t pdns_resp_key(const d4_blocks_t *in, size_t i, char *out, size_t size);


#pragma GCC visibility pop

#endif /* _PDNS_RESP_H_INCLUDED_ */

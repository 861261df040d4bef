
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * What a sensor is: the configuration directory, one value per file, with
 * what the options override.
 */


#ifndef _D4_CONFIG_H_INCLUDED_
#define _D4_CONFIG_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "d4_header.h"
#include "d4_hmac.h"

#include "d4_cut.h"
#include "d4_options.h"
#include "d4_tls.h"


typedef enum {
    D4_SOURCE_STDIN = 0,
    D4_SOURCE_PATH
} d4_source_kind_t;


typedef enum {
    D4_DEST_STDOUT = 0,
    D4_DEST_TCP,
    D4_DEST_TLS,
    D4_DEST_UNIX
} d4_dest_kind_t;


typedef struct {
    const d4_options_t  *options;
    uint8_t              uuid[D4_UUID_SIZE];
    uint8_t              version;
    uint8_t              type;         /* of the data: never 2 */
    uint32_t             snaplen;
    d4_cut_kind_t        cut;
    d4_key_t             key;
    d4_source_kind_t     source_kind;
    d4_dest_kind_t       dest_kind;
    char                *source;       /* path */
    char                *destination;  /* as written */
    char                *host;         /* or path of a unix socket */
    char                *port;
    char                *meta;         /* minified, NULL: none is sent */
    size_t               meta_len;
    SSL_CTX             *tls;
    d4_tls_pins_t        pins;
} d4_config_t;


/*
 * Reads and checks all of it.  Returns 0, or -1 after a message for each thing
 * that is wrong; then there is nothing to free.  Makes the uuid when there is
 * none, unless the options say to check only.
 */
int d4_config_load(d4_config_t *c, const d4_options_t *o);

/* Frees and wipes. */
void d4_config_free(d4_config_t *c);


#endif /* _D4_CONFIG_H_INCLUDED_ */


/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a hash that nobody who does not
 * know the key can find collisions of.  What is hashed here comes from
 * strangers.  Pure.
 */


#ifndef _PDS_HASH_H_INCLUDED_
#define _PDS_HASH_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


typedef struct {
    uint64_t  k0;
    uint64_t  k1;
} pds_key_t;


uint64_t pds_hash(const pds_key_t *key, const void *data, size_t len);


#endif /* _PDS_HASH_H_INCLUDED_ */

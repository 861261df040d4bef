
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_policy.h"
#include "d4_uuid.h"

#include <string.h>


typedef struct {
    const char  *name;
    const char  *error;
    int          refusal;
} d4_end_info_t;


#define D4_END_INFO(id, name, refusal, error)  { name, error, refusal },
static const d4_end_info_t  d4_end_info[] = {
    D4_ENDS(D4_END_INFO)
};
#undef D4_END_INFO


const char *
d4_end_name(d4_end_t end)
{
    return d4_end_info[end].name;
}


const char *
d4_end_error(d4_end_t end)
{
    return d4_end_info[end].error;
}


int
d4_end_refusal(d4_end_t end)
{
    return d4_end_info[end].refusal;
}


int
d4_end_defers(d4_end_t end)
{
    switch (end) {

    case D4_END_BANNED:
    case D4_END_TYPE_REFUSED:
    case D4_END_META_FIRST:
    case D4_END_TYPE_CHANGED:
    case D4_END_UUID_CHANGED:
        return 1;

    default:
        return 0;
    }
}


d4_end_t
d4_policy_header(const d4_header_t *h, const d4_limits_t *l)
{
    if (!(l->versions[h->version >> 3] >> (h->version & 7) & 1)) {
        return D4_END_VERSION;
    }

    if (h->size > l->max_payload) {
        return D4_END_TOO_LARGE;
    }

    if (!d4_uuid_is_v4(h->uuid)) {
        return D4_END_BAD_UUID;
    }

    return D4_END_NONE;
}


d4_end_t
d4_policy_next(const d4_header_t *h, const uint8_t *uuid, uint8_t type)
{
    if (memcmp(h->uuid, uuid, D4_UUID_SIZE) != 0) {
        return D4_END_UUID_CHANGED;
    }

    if (h->type == type
        || (type == D4_TYPE_META && h->type == D4_TYPE_EXTENDED))
    {
        return D4_END_NONE;
    }

    return D4_END_TYPE_CHANGED;
}


d4_end_t
d4_policy_sensor(const d4_header_t *h, const d4_facts_t *f, int registration)
{
    if (f->address_blocked) {
        return D4_END_ADDRESS_BLOCKED;
    }

    if (f->uuid_blocked) {
        return D4_END_UUID_BLOCKED;
    }

    if (registration && !f->registered) {
        return D4_END_NOT_REGISTERED;
    }

    if (!f->has_key) {
        return D4_END_NO_KEY;
    }

    if (f->banned) {
        return D4_END_BANNED;
    }

    if (!f->type_accepted) {
        return D4_END_TYPE_REFUSED;
    }

    if (h->type == D4_TYPE_EXTENDED) {
        return D4_END_META_FIRST;
    }

    return D4_END_NONE;
}


d4_end_t
d4_policy_authentic(const d4_header_t *h, const d4_facts_t *f,
    const d4_limits_t *l, uint64_t now)
{
    uint64_t  skew;

    if (f->uuid_blocks) {
        return D4_END_UUID_BLOCKS;
    }

    skew = (h->timestamp > now) ? h->timestamp - now : now - h->timestamp;

    if (l->max_skew != 0 && skew > l->max_skew) {
        return D4_END_CLOCK;
    }

    if (f->stream_max == 0) {
        return D4_END_NO_STREAM;
    }

    return D4_END_NONE;
}


d4_end_t
d4_policy_live(const d4_facts_t *f, int registration)
{
    if (f->address_blocked) {
        return D4_END_ADDRESS_BLOCKED;
    }

    if (f->uuid_blocked) {
        return D4_END_UUID_BLOCKED;
    }

    if (f->uuid_blocks) {
        return D4_END_UUID_BLOCKS;
    }

    if (registration && !f->registered) {
        return D4_END_NOT_REGISTERED;
    }

    if (f->banned) {
        return D4_END_KICKED;
    }

    if (!f->type_accepted) {
        return D4_END_TYPE_REFUSED;
    }

    if (f->incorrect_type) {
        return D4_END_INCORRECT_TYPE;
    }

    if (f->stream_max == 0) {
        return D4_END_NO_STREAM;
    }

    return D4_END_NONE;
}

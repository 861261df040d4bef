
/*
 * Why a session ends, and what is decided about a frame's header and about a
 * sensor from the facts that Redis holds.  Decisions only: no input or output.
 */


#ifndef _D4_POLICY_H_INCLUDED_
#define _D4_POLICY_H_INCLUDED_


#include "d4_header.h"


#pragma GCC visibility push(hidden)


/*
 * id, name (for $d4_status, logs and counters), 1 if it is a refusal of the
 * sensor rather than an ordinary end, text for the sensor's Error field or
 * NULL (written only where a frame of the sensor authenticated).
 */
#define D4_ENDS(X)                                                            \
    X(NONE,              "-",                  0, NULL)                       \
    X(CLOSED,            "closed",             0, NULL)                       \
    X(RESET,             "reset",              0, NULL)                       \
    X(SHUTDOWN,          "shutdown",           0, NULL)                       \
    X(TRUNCATED,         "truncated",          0, NULL)                       \
    X(TLS,               "tls",                0, NULL)                       \
    X(INTERNAL,          "internal",           0, NULL)                       \
    X(REDIS,             "redis_unavailable",  0, NULL)                       \
    X(ADDRESS_BLOCKED,   "address_blocked",    1, NULL)                       \
    X(MEMORY,            "memory",             1, NULL)                       \
    X(HANDSHAKE_TIMEOUT, "handshake_timeout",  1, NULL)                       \
    X(FRAME_TIMEOUT,     "frame_timeout",      1, NULL)                       \
    X(VERSION,           "version",            1, NULL)                       \
    X(TOO_LARGE,         "payload_too_large",  1, NULL)                       \
    X(BAD_UUID,          "bad_uuid",           1, NULL)                       \
    X(UUID_BLOCKED,      "uuid_blocked",       1, NULL)                       \
    X(NOT_REGISTERED,    "not_registered",     1, NULL)                       \
    X(NO_KEY,            "no_key",             1, NULL)                       \
    X(BAD_HMAC,          "bad_hmac",           1, NULL)                       \
    X(BANNED,            "banned",             1,                             \
      "Error: this sensor is temporarily blacklisted")                        \
    X(TYPE_REFUSED,      "type_not_accepted",  1,                             \
      "Error: this type is not accepted")                                     \
    X(META_FIRST,        "meta_first",         1,                             \
      "Error: a type 2 header must come before type 254")                     \
    X(CLOCK,             "clock_skew",         1,                             \
      "Error: the frame's time is too far from the server's")                 \
    X(UUID_BLOCKS,       "uuid_blocks_address", 1,                            \
      "Error: addresses that use this uuid are blocked")                      \
    X(NO_STREAM,         "stream_limit",       1,                             \
      "Error: the stream limit of this sensor is 0")                          \
    X(DUPLICATE,         "duplicate",          1,                             \
      "Error: this uuid already sends this type")                             \
    X(TYPE_CHANGED,      "type_changed",       1,                             \
      "Error: the type changed within a session")                             \
    X(UUID_CHANGED,      "uuid_changed",       1,                             \
      "Error: the uuid changed within a session")                             \
    X(INCORRECT_TYPE,    "incorrect_type",     1, NULL)                       \
    X(KICKED,            "kicked",             1,                             \
      "Error: this sensor was kicked")                                        \
    X(REPLACED,          "replaced",           1,                             \
      "Error: a newer session of this uuid and type replaced this one")       \
    X(KEY_CHANGED,       "key_changed",        1,                             \
      "Error: the key of this sensor was changed")


#define D4_END_ID(id, name, refusal, error)  D4_END_##id,
typedef enum {
    D4_ENDS(D4_END_ID)
    D4_END_N
} d4_end_t;
#undef D4_END_ID


/* what a server allows in general */
typedef struct {
    uint32_t  max_payload;
    uint32_t  max_skew;                /* seconds; 0: not checked */
    uint8_t   versions[32];            /* bit n: version n is accepted */
} d4_limits_t;


/* what Redis says of one sensor (and session) */
typedef struct {
    unsigned  address_blocked:1;
    unsigned  uuid_blocked:1;
    unsigned  uuid_blocks:1;           /* block each address that uses it */
    unsigned  registered:1;
    unsigned  banned:1;
    unsigned  type_accepted:1;
    unsigned  incorrect_type:1;        /* a consumer rejected the session */
    unsigned  has_key:1;
    uint64_t  stream_max;              /* entries */
} d4_facts_t;


/* Name, Error text or NULL, and whether it is a refusal. */
const char *d4_end_name(d4_end_t end);
const char *d4_end_error(d4_end_t end);
int d4_end_refusal(d4_end_t end);

/*
 * 1 when the refusal may wait for the end of the frame that caused it, so
 * that its HMAC decides whether the sensor's Error is written; else 0.
 */
int d4_end_defers(d4_end_t end);

/*
 * What the header alone decides: D4_END_NONE, or VERSION, TOO_LARGE,
 * BAD_UUID.  Checked for every frame, first.
 */
d4_end_t d4_policy_header(const d4_header_t *h, const d4_limits_t *l);

/*
 * A later header against the session's own uuid (16 bytes) and type: NONE,
 * UUID_CHANGED or TYPE_CHANGED.  2 to 254 is the one change allowed.
 */
d4_end_t d4_policy_next(const d4_header_t *h, const uint8_t *uuid,
    uint8_t type);

/*
 * A sensor before its first frame has authenticated: NONE, or
 * ADDRESS_BLOCKED, UUID_BLOCKED, NOT_REGISTERED (registration mode only),
 * NO_KEY, BANNED, TYPE_REFUSED, META_FIRST.
 */
d4_end_t d4_policy_sensor(const d4_header_t *h, const d4_facts_t *f,
    int registration);

/*
 * What is decided only once a frame has authenticated: NONE, UUID_BLOCKS,
 * CLOCK (time farther than l->max_skew seconds from now), NO_STREAM.
 */
d4_end_t d4_policy_authentic(const d4_header_t *h, const d4_facts_t *f,
    const d4_limits_t *l, uint64_t now);

/*
 * A live session after its facts were read again: NONE, ADDRESS_BLOCKED,
 * UUID_BLOCKED, UUID_BLOCKS, NOT_REGISTERED, KICKED (banned), TYPE_REFUSED,
 * INCORRECT_TYPE, NO_STREAM.  A key that went away or changed is no fact of
 * these: the caller compares keys.  All orders here are those of the checks.
 */
d4_end_t d4_policy_live(const d4_facts_t *f, int registration);


#pragma GCC visibility pop

#endif /* _D4_POLICY_H_INCLUDED_ */


/*
 * The templates of an IPFIX session that are in force (RFC 7011, sections 3.4
 * and 8), and the messages that repeat them: each is what is left of one that
 * defined them, with its time and sequence number, of its template and
 * options template sets only.
 *
 * At most D4_TEMPLATES of them, and messages of at most D4_PREAMBLE_MAX bytes,
 * are kept; the templates that were defined first give way.
 */


#ifndef _D4_TEMPLATES_H_INCLUDED_
#define _D4_TEMPLATES_H_INCLUDED_


#include "d4_carry.h"


#pragma GCC visibility push(hidden)


#define D4_TEMPLATES          1024

#define D4_IPFIX_VERSION      10
#define D4_IPFIX_HEADER       16
#define D4_IPFIX_SET          4            /* the header of a set */
#define D4_IPFIX_TEMPLATE     2            /* what is in a set */
#define D4_IPFIX_OPTIONS      3
#define D4_IPFIX_DATA         256          /* and above: the template's id */


/* a template record */
typedef struct {
    const uint8_t  *data;
    size_t          len;
    uint16_t        set;                   /* TEMPLATE or OPTIONS */
    uint16_t        id;
    uint16_t        fields;                /* 0: withdrawn */
} d4_template_t;


/* the template records of a message, one after the other */
typedef struct {
    const uint8_t  *p;
    const uint8_t  *end;                   /* of the message */
    const uint8_t  *set_end;
    uint16_t        set;
} d4_template_walk_t;


typedef struct {
    uint64_t        key;                   /* domain and id; 0: no more */
    uint32_t        time;
    uint32_t        sequence;
    uint32_t        off;
    uint32_t        next;                  /* off in what is being built */
    uint16_t        len;
    uint8_t         set;
    uint8_t         young;                 /* off is in added, not in built */
} d4_template_entry_t;


typedef struct {
    d4_template_entry_t  *entries;         /* in the order of definition */
    size_t                first;           /* none before it is in force */
    size_t                n;
    size_t                size;
    size_t                live;
    size_t                cost;            /* bytes to repeat them, at most */
    int                   changed;         /* what is built is not all */
    d4_carry_t            built;           /* the messages */
    d4_carry_t            added;           /* messages since */
} d4_templates_t;


void d4_templates_init(d4_templates_t *t, d4_pool_t *pool);
void d4_templates_free(d4_templates_t *t);

/*
 * Whether some that are in force would not be, or might have to give way,
 * after d4_templates_learn() with the same message.
 */
int d4_templates_drops(d4_templates_t *t, const uint8_t *msg, size_t len,
    size_t n);

/*
 * Learns from a message of len bytes whose sets are sound and hold n template
 * records; t->changed tells if there was anything new.  0, or -1 without
 * memory: then nothing has changed.
 */
int d4_templates_learn(d4_templates_t *t, const uint8_t *msg, size_t len,
    size_t n);

/*
 * Brings the messages that repeat the templates up to date: t->built.  0, or
 * -1 without memory: then they are as they were.
 */
int d4_templates_build(d4_templates_t *t);

/* msg: len bytes of a message, len at least D4_IPFIX_HEADER. */
void d4_template_walk(d4_template_walk_t *w, const uint8_t *msg, size_t len);

/* 1 and the next one, 0 at the end, or -1 when the sets are not sound. */
int d4_template_next(d4_template_walk_t *w, d4_template_t *tpl);


#pragma GCC visibility pop

#endif /* _D4_TEMPLATES_H_INCLUDED_ */

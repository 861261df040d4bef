
/*
 * Inside a batch: pdns_batch.c collects records, pdns_batch_write.c makes
 * commands of them.
 */


#ifndef _PDNS_BATCH_CORE_H_INCLUDED_
#define _PDNS_BATCH_CORE_H_INCLUDED_


#include "pdns_batch.h"
#include "pdns_extra.h"


#pragma GCC visibility push(hidden)


typedef struct pdns_group_s   pdns_group_t;
typedef struct pdns_node_s    pdns_node_t;
typedef struct pdns_entry_s   pdns_entry_t;
typedef struct pdns_chunk_s   pdns_chunk_t;
typedef struct pdns_fault_s   pdns_fault_t;


struct pdns_chunk_s {
    pdns_chunk_t   *next;
    size_t          used;
    size_t          size;
    uint8_t         data[];
};


/* all that a table holds begins so */

typedef struct pdns_link_s {
    struct pdns_link_s  *next;         /* in its place of the table */
    uint64_t             hash;
} pdns_link_t;


typedef struct {
    pdns_link_t   **places;
    size_t          size;
    size_t          used;
} pdns_table_t;


/*
 * A key of an index, W: or a bucket of addresses, and what is to be written
 * there.
 */

struct pdns_group_s {
    pdns_link_t     link;
    pdns_group_t   *next;              /* of those with something to write */
    pdns_node_t    *first;
    uint8_t         alen;              /* of addresses; 0: names */
    uint8_t         tag;               /* of names: labels of the tag */
    uint16_t        len;
    uint8_t         data[];            /* the key */
};


/* A name, or data that R: is about: something with a key of its own. */

struct pdns_node_s {
    pdns_link_t     link;
    pdns_node_t    *all;               /* the next one of its kind */
    pdns_group_t   *group;             /* NULL: it has no index */
    pdns_node_t    *next_of_group;
    pdns_entry_t   *first;
    uint8_t         extra;             /* E: is written, too */
    uint8_t         sent;              /* its indexes are on the way */
    uint8_t         owner;             /* a name; else data */
    uint8_t         alen;              /* the address behind the key */
    uint8_t         wlen;              /* the name behind the key */
    uint16_t        len;
    uint8_t         data[];            /* name: the wire form; else the key */
};


/* a bailiwick, sensor or origin of a record */

typedef struct pdns_more_s {
    struct pdns_more_s  *next;
    uint64_t             last;
    size_t               len;
    char                 kind;
    char                 text[];
} pdns_more_t;


/* what few records have */

typedef struct {
    uint64_t        before;
    uint64_t        zone_first;
    uint64_t        zone_last;
    pdns_str_t      text;              /* of data kept by its digest */
    pdns_more_t    *extra;
    uint16_t        nextra;
} pdns_rest_t;


/* There are as many as memory holds, so what they take is what is summed. */

struct pdns_entry_s {
    pdns_link_t     link;
    pdns_node_t    *name;
    pdns_node_t    *target;
    pdns_entry_t   *next_of_name;
    pdns_entry_t   *next_of_target;
    uint64_t        first;
    uint64_t        last;
    uint64_t        count;
    pdns_rest_t    *rest;
    uint32_t        counted;           /* in this life of the store */
    uint8_t         whole;             /* the target is all of the data */
    uint8_t         mlen;
    uint8_t         member[];
};


/* what a reply is about */

typedef enum {
    PDNS_REPLY_OTHER = 0,
    PDNS_REPLY_NAME,                   /* N: members that were new */
    PDNS_REPLY_BELOW,                  /* W: names that were new */
    PDNS_REPLY_COUNT                   /* a count that was added */
} pdns_about_t;


/* how far it is written */

typedef enum {
    PDNS_WRITE_NAMES = 0,
    PDNS_WRITE_TARGETS,
    PDNS_WRITE_GROUPS,
    PDNS_WRITE_ERRORS,
    PDNS_WRITE_EPOCH,
    PDNS_WRITTEN
} pdns_phase_t;


struct pdns_batch_s {
    uint64_t        seed[2];
    int             right;
    int             again;             /* only what was lost */
    int             begun;             /* commands have been written */
    pdns_chunk_t   *chunks;
    size_t          held;
    pdns_table_t    names;
    pdns_table_t    targets;
    pdns_table_t    entries;
    pdns_table_t    groups;
    pdns_table_t    errors;            /* answers without data */
    pdns_node_t    *first_name;
    pdns_node_t    *first_target;
    pdns_fault_t   *first_error;
    pdns_group_t   *todo;
    pdns_phase_t    phase;
    pdns_node_t    *node;              /* the next one to write */
    pdns_entry_t   *entry;             /* and the next of its entries */
    pdns_group_t   *group;
    pdns_fault_t   *fault;
    uint8_t        *expect;            /* pdns_about_t of each command */
    size_t          nexpect;
    size_t          expect_size;
    uint32_t      **counts;            /* "counted" of those to be answered */
    size_t          ncounts;
    size_t          counts_size;
    size_t          count;             /* the next one */
    uint32_t        life;              /* of the store */
    pdns_added_t    added;
};


/* NULL without memory; it is the batch's. */
void *pdns_alloc(pdns_batch_t *b, size_t size);

/* Room for one more: 0, or -1 without memory; and takes it. */
int pdns_table_grow(pdns_table_t *t);
void pdns_table_put(pdns_table_t *t, pdns_link_t *link);

/* What the command just written will be answered with. */
void pdns_expect(pdns_batch_t *b, pdns_resp_t *w, pdns_about_t about);

/* That a count was added, which is not to be done twice. */
void pdns_expect_count(pdns_batch_t *b, pdns_resp_t *w, uint32_t *counted);


#pragma GCC visibility pop

#endif /* _PDNS_BATCH_CORE_H_INCLUDED_ */


/*
 * Domain names in their one canonical form: labels of lower-case bytes, as on
 * the wire but without the root label.  As text: presentation form (RFC 1035,
 * section 5.1, escapes as BIND writes them), no trailing dot, "." the root.
 * As part of a key: the same text with the labels reversed ("com.example.www",
 * so that what is below a name stands together), without braces and colons.
 */


#ifndef _PDNS_NAME_H_INCLUDED_
#define _PDNS_NAME_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


#define PDNS_NAME_WIRE    254          /* RFC 1035: 255 with the root label */
#define PDNS_NAME_LABELS  127
#define PDNS_NAME_TEXT    1024         /* the longest text and a zero */


typedef struct {
    uint8_t  wire[PDNS_NAME_WIRE];     /* length, bytes, length, bytes... */
    uint8_t  at[PDNS_NAME_LABELS];     /* where each label's length stands */
    uint8_t  len;
    uint8_t  labels;                   /* 0: the root */
} pdns_name_t;


/*
 * Reads presentation form in any case, with or without a trailing dot; bytes
 * above 126 stand for themselves.  Returns 0, or -1: an empty label, a label
 * above 63 bytes, a name above 255, a bad escape, or nothing at all.
 */
int pdns_name_parse(pdns_name_t *name, const char *p, size_t len);

/* Reads what name->wire held, len bytes of it. */
void pdns_name_load(pdns_name_t *name, const uint8_t *wire, size_t len);

/* Reads the uncompressed wire form, len bytes with the root label. */
int pdns_name_wire(pdns_name_t *name, const uint8_t *p, size_t len);

/* Writes the text and a zero, returns its length. */
size_t pdns_name_text(char out[PDNS_NAME_TEXT], const pdns_name_t *name);

/* The labels from..to-1, counted from the top-level domain, as key text. */
size_t pdns_name_key(char out[PDNS_NAME_TEXT], const pdns_name_t *name,
    unsigned from, unsigned to);

/* Reads the key text of a whole name.  Returns 0, or -1. */
int pdns_name_unkey(pdns_name_t *name, const char *p, size_t len);

/*
 * How many of the highest labels tell where a name is kept: two, for the
 * reverse trees four (in-addr.arpa) and ten (ip6.arpa), and never more than
 * the name has.  A fixed rule, because another one would move keys.
 */
unsigned pdns_name_tag(const pdns_name_t *name);

/* The tag of the names below one whose labels these are. */
unsigned pdns_name_tag_below(const pdns_name_t *name);

/* 1 when the canonical names are the same. */
int pdns_name_equal(const pdns_name_t *a, const pdns_name_t *b);

/*
 * The name of the reverse tree that stands for an address of 4 or 16 bytes.
 */
void pdns_name_reverse(pdns_name_t *name, const uint8_t *addr, size_t len);


#pragma GCC visibility pop

#endif /* _PDNS_NAME_H_INCLUDED_ */

#ifndef _D4_HANDLER_H_INCLUDED_
#define _D4_HANDLER_H_INCLUDED_
#include <stddef.h>
typedef struct { const char *name; unsigned disk:1; unsigned objects:1; } d4_handler_t;
static const d4_handler_t d4_handler_default = { "default", 1, 0 };
static inline const d4_handler_t *d4_handler_find(const char *n){ (void) n; return &d4_handler_default; }
#endif
